//! What a configuration has to satisfy, and what is said where it does not.

use super::{Config, Form, LayerSettings, Sparsity, Train, Update};
use crate::data::scan;
use crate::error::{Error, Result};
use crate::model::{Boundary, Objective};
use crate::solve::CoordinateDescent;
use crate::solve::SolverName;

impl Config {
    /// Checks every number and every pair of settings that could contradict each other.
    ///
    /// # Errors
    /// [`Error::Config`], naming the key.
    pub fn check(&self) -> Result<()> {
        let fail = |message: String| Err(Error::Config(message));
        self.preprocess.check()?;
        scan::patterns(&self.data.exclude)?;
        if !self.data.exclude.is_empty() && self.data.images.is_none() {
            return fail(
                "data.exclude is for a folder of images: give data.images, or leave it out".into(),
            );
        }
        let train = &self.train;
        for (key, value) in [
            ("data.sample_count", self.data.sample_count),
            ("data.sample_size", self.data.sample_size),
            ("data.channels", self.data.channels.unwrap_or(1)),
            ("data.limit", self.data.limit.unwrap_or(1)),
            ("data.max_side", self.data.max_side.unwrap_or(1)),
            ("train.batch", train.batch),
            ("train.cg", train.cg),
            ("train.cg_filters", train.cg_filters),
            ("train.steps", train.steps),
            ("train.rounds", train.rounds),
            ("train.beta.steps", train.beta.steps),
            ("checkpoint.keep", self.checkpoint.keep),
        ] {
            if value == 0 {
                return fail(format!("{key} is 0; it must be at least 1"));
            }
        }
        for (key, value) in [
            ("train.beta.start", train.beta.start),
            ("train.beta.growth", train.beta.growth),
            ("train.adam.rate", train.adam.rate),
            ("train.filter_rate", train.filter_rate),
        ] {
            if !(value.is_finite() && value > 0.0) {
                return fail(format!("{key} is {value}; it must be above 0"));
            }
        }
        for (key, value) in [
            ("train.rescale_maps", train.rescale_maps),
            ("train.start_noise", train.start_noise),
            ("checkpoint.every_seconds", self.checkpoint.every_seconds),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return fail(format!("{key} is {value}; it must be 0 or above"));
            }
        }
        for (key, value) in [
            ("train.adam.beta_1", train.adam.beta_1),
            ("train.adam.beta_2", train.adam.beta_2),
        ] {
            if !(0.0..1.0).contains(&value) {
                return fail(format!("{key} is {value}; it must lie from 0 to below 1"));
            }
        }
        if let Some(norm) = train
            .ista
            .norm
            .filter(|norm| !(norm.is_finite() && *norm > 0.0))
        {
            return fail(format!("train.ista.norm is {norm}; it must be above 0"));
        }
        if self.layers.is_empty() {
            return fail("there is no [[layer]]; describe at least one".into());
        }
        if train.solver == SolverName::Adam && train.update_filters == Update::Epoch {
            return fail(
                "train.solver = \"adam\" moves maps and filters together, which contradicts \
                 train.update_filters = \"epoch\"; use \"batch\", or another solver"
                    .into(),
            );
        }
        if train.form == Form::Joint {
            let solver = self.method(train.solver);
            solver.check(self.layers.len()).map_err(|error| {
                Error::Config(format!(
                    "train.form is \"joint\" and train.solver {error}, or form \"layer-wise\""
                ))
            })?;
        }
        if train.update_filters == Update::Online && train.form != Form::Adaptive {
            self.check_online()?;
        }
        self.check_adaptive()?;
        self.check_below()?;
        let connectivities = self.connectivities()?;
        for (l, (layer, g)) in self.layers.iter().zip(connectivities).enumerate() {
            layer.check(l + 1)?;
            self.check_weights(l + 1, layer, g.maps())?;
        }
        Ok(())
    }

    /// Jointly only the maps on top are free, and only their signs and weights count.
    fn check_below(&self) -> Result<()> {
        let below = &self.layers[..self.layers.len() - 1];
        let idle = |layer: &LayerSettings| layer.non_negative || !layer.penalty_weights.is_empty();
        match below.iter().position(idle) {
            Some(l) if self.train.form == Form::Joint => Err(Error::Config(format!(
                "layer {}: non_negative and penalty_weights are for the top layer where train.form is \"joint\"; \
                 leave them out",
                l + 1
            ))),
            _ => Ok(()),
        }
    }

    fn check_weights(&self, number: usize, layer: &LayerSettings, maps: usize) -> Result<()> {
        let weights = &layer.penalty_weights;
        let wrong = weights.iter().find(|w| !(w.is_finite() && **w >= 0.0));
        let solver = self.train.solver;
        let complaint = if weights.is_empty() {
            return Ok(());
        } else if weights.len() != maps {
            format!(
                "{} penalty_weights for {maps} maps; give one for each",
                weights.len()
            )
        } else if let Some(weight) = wrong {
            format!("one of the penalty_weights is {weight}; they must be 0 or above")
        } else if !solver.method().takes_weights() {
            format!(
                "penalty_weights go with train.solver = \"descent\" or \"fista\", not \"{}\"",
                solver.name()
            )
        } else {
            return Ok(());
        };
        Err(Error::Config(format!("layer {number}: {complaint}")))
    }

    fn check_adaptive(&self) -> Result<()> {
        let Train {
            form,
            solver,
            refine,
            boundary,
            ..
        } = self.train;
        let adaptive = form == Form::Adaptive;
        let pooled = self.layers.iter().position(|layer| !layer.pool.is_none());
        let complaint = match pooled {
            Some(l) if !adaptive => format!(
                "layer {}: pool is for train.form = \"adaptive\"; choose that, or leave pool out",
                l + 1
            ),
            _ if adaptive && solver != SolverName::Ista => {
                "train.form = \"adaptive\" goes with train.solver = \"ista\"".into()
            }
            _ if solver == SolverName::Ista && !adaptive => {
                "train.solver = \"ista\" goes with train.form = \"adaptive\"; use \"fista\", which is \
                 the same without pooling"
                    .into()
            }
            _ if adaptive && boundary != Boundary::Valid => format!(
                "train.boundary = \"{}\" is for train.form = \"layer-wise\" or \"joint\"; leave it out",
                boundary.name()
            ),
            _ if refine && !adaptive => {
                "train.refine is for train.form = \"adaptive\"; leave it out".into()
            }
            _ if refine && self.train.update_filters == Update::Online => {
                "train.refine with train.update_filters = \"online\" would learn the layers below anew from \
                 the first batch; use \"batch\" or \"epoch\""
                    .into()
            }
            _ => return Ok(()),
        };
        Err(Error::Config(complaint))
    }

    fn check_online(&self) -> Result<()> {
        let Train { solver, rounds, .. } = self.train;
        let [layer] = &self.layers[..] else {
            return Err(Error::Config(format!(
                "train.update_filters = \"online\" stores no maps, so it learns one layer, not {}; \
                 use \"batch\", or describe one [[layer]]",
                self.layers.len()
            )));
        };
        if !matches!(solver, SolverName::Fista | SolverName::CoordinateDescent) {
            return Err(Error::Config(
                "train.update_filters = \"online\" goes with train.solver = \"descent\" or \
                 \"fista\"; use one of those, or \"batch\""
                    .into(),
            ));
        }
        match layer.sparsity {
            Sparsity::OfMax { of_max }
                if solver == SolverName::CoordinateDescent
                    && rounds < CoordinateDescent::rounds_to(of_max) =>
            {
                Err(Error::Config(format!(
                    "train.rounds is {rounds}: online each visit begins at the largest weight and halves it \
                     from round to round, which does not reach sparsity.of_max = {of_max}; take {} or more",
                    CoordinateDescent::rounds_to(of_max) + 3
                )))
            }
            _ => Ok(()),
        }
    }
}

impl LayerSettings {
    fn check(&self, number: usize) -> Result<()> {
        let complaint = if self.size.contains(&0) {
            "size is 0; filters need at least 1 tap".to_string()
        } else if self.epochs == 0 {
            "epochs is 0; visit every image at least once".to_string()
        } else {
            let weight = match self.sparsity {
                Sparsity::Weight(weight) => weight,
                Sparsity::OfMax { of_max } if of_max > 0.0 && of_max < 1.0 => of_max,
                Sparsity::OfMax { of_max } => {
                    return Err(Error::Config(format!(
                        "layer {number}: sparsity.of_max is {of_max}; it must lie between 0 and 1"
                    )));
                }
            };
            match Objective::new(self.data_weight, weight, self.p) {
                Ok(_) => return Ok(()),
                Err(error) => error.to_string(),
            }
        };
        Err(Error::Config(format!("layer {number}: {complaint}")))
    }
}
