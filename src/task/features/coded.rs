//! The maps of a deconvolutional network, and its strongest activations projected to layer 1.

use std::path::Path;

use burn::tensor::{Device, Tensor};

use crate::backend;
use crate::data::{Image, Reader, resize};
use crate::error::{Error, Result};
use crate::model::{alone, strongest};
use crate::pooling::Switches;
use crate::run::{Free, Run, Work, to_image, to_tensor};
use crate::solve::{Budget, Encoded, Encoder};
use crate::task::visualize::receptive_field;

/// Maps of a deconvolutional network.
pub(crate) struct Coded {
    pub run: Run,
    /// From 0.
    pub layers: Vec<usize>,
    pub rounds: Option<usize>,
    pub projections: usize,
    pub device: Device,
}

impl Coded {
    pub fn layer_names(&self) -> Vec<String> {
        let each = self.layers.iter().map(|l| format!("layer {}", l + 1));
        let projected = (self.projections > 0).then(|| {
            let top = self.run.state.learnt_layers();
            format!("{} strongest of layer {top}", self.projections)
        });
        each.chain(projected).collect()
    }

    /// As many rounds as asked for at most, and no layer above the last that is wanted.
    fn encoder(&self) -> Encoder<'_> {
        let mut encoder = self.run.encoder();
        if self.projections == 0 {
            let last = self.layers.iter().max().copied().unwrap_or(0);
            encoder.stages.retain(|stage| stage.layers.end - 1 <= last);
        }
        for stage in &mut encoder.stages {
            if let (Budget::Rounds(rounds), Some(most)) = (&mut stage.budget, self.rounds) {
                *rounds = most.min(*rounds);
            }
        }
        encoder
    }

    /// As [`super::source::MapSource::maps`].
    pub fn maps(&self, path: &Path, room: Option<u64>) -> Result<Vec<Vec<Image>>> {
        let (prepared, _) = self.run.state.prepare_file(path, &Reader::default())?;
        let encoder = self.encoder();
        let tops = encoder.stages.iter().map(|stage| stage.layers.end - 1);
        let free = Free {
            memory: room.filter(|_| backend::is_cpu(&self.device)),
            disk: None,
        };
        let work = Work::coding(&self.run.state, tops.collect(), false);
        work.check(&[prepared.shape()], free, true)?;
        let coded = encoder.encode(to_tensor(&prepared, &self.device), &mut ())?;
        let layer = |layer: &usize| {
            let found = coded.iter().find(|coded| coded.layer == *layer);
            let codes = &found
                .expect("a stage for each layer asked for")
                .solved
                .codes;
            Ok(vec![self.cropped(codes, *layer, &prepared)?])
        };
        let mut all = self.layers.iter().map(layer).collect::<Result<Vec<_>>>()?;
        if self.projections > 0 {
            all.push(self.projected(&coded, &prepared)?);
        }
        Ok(all)
    }

    /// The middle of the maps of a layer that lies on the image.
    fn cropped(&self, maps: &Tensor<4>, layer: usize, image: &Image) -> Result<Image> {
        let stack = self.run.network.part(0..layer + 1);
        // Those of any boundary become those of a 'valid' convolution, whose margins are equal on both sides.
        let maps = stack
            .boundary()
            .extended(maps.clone(), receptive_field(&stack));
        let maps = to_image(&maps, 0)?;
        let whole = [maps.height, maps.width];
        let size = match stack.is_pooled() {
            // Maps over pooled ones are smaller than the image: only their own margin is cut off.
            true => {
                let filter = stack.top().filter_size();
                [0, 1].map(|d| whole[d] + 1 - filter[d])
            }
            false => [image.height, image.width],
        };
        let corner = [0, 1].map(|d| (whole[d] - size[d]) / 2);
        Ok(resize::crop(&maps, corner, size))
    }

    /// The maps of layer 1 that maps of the top layer stand for, at the switches of the image.
    fn down_to_first(&self, coded: &[Encoded]) -> Result<impl Fn(Tensor<4>) -> Tensor<4>> {
        let maps = coded.iter().map(|one| (one.layer, &one.solved.codes));
        let stack = self
            .run
            .network
            .stack(1..self.run.state.learnt_layers(), maps)?;
        let pool = self.run.network.layers()[0].pool;
        let first = coded.first().filter(|_| !pool.is_none());
        let switches = first.map(|first| Switches::of(&first.solved.codes, pool));
        Ok(move |top| match &switches {
            Some(switches) => switches.unpool(stack.project(top)),
            None => stack.project(top),
        })
    }

    /// The maps of layer 1 that the strongest activations of the top layer stand for, each alone.
    fn projected(&self, coded: &[Encoded], image: &Image) -> Result<Vec<Image>> {
        let down = self.down_to_first(coded)?;
        let top = &coded.last().expect("a stage at least").solved.codes;
        let values = backend::read(top)?;
        let each = strongest(&values, self.projections).into_iter().map(|at| {
            let maps = down(alone(top.dims(), at, values[at], &self.device));
            self.cropped(&maps, 0, image)
        });
        each.collect()
    }
}

/// The numbers of the layers asked for, from 0.
pub(super) fn layers_of(run: &Run, names: &[String]) -> Result<Vec<usize>> {
    let known = run.state.tops();
    if names.is_empty() {
        return Ok(known);
    }
    let each = names.iter().map(|name| {
        let number = name.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
        number.filter(|layer| known.contains(layer)).ok_or_else(|| {
            let known: Vec<_> = known.iter().map(|l| (l + 1).to_string()).collect();
            Error::Config(format!(
                "there are no maps of a layer '{name}'; there are those of layer {}",
                known.join(", ")
            ))
        })
    });
    each.collect()
}

#[cfg(test)]
#[path = "coded_tests.rs"]
mod tests;
