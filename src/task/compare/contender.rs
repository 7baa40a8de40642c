//! Who is compared: a solver with its settings, and the short names for them.

use serde::Serialize;

use super::Mode;
use crate::config::{Config, LayerSettings};
use crate::error::{Error, Result};
use crate::solve::{Method, Schedule, SolverName};

/// A solver with its settings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contender {
    /// What table and plots call it.
    pub name: String,
    /// The solver.
    pub method: Method,
}

impl Contender {
    /// One contender by name, with the other settings taken from `config`:
    ///
    /// - `split`, `adam`, `fista`: as the configuration has them;
    /// - `split:1x10x6`: the alternation with beta starting at 1, growing tenfold, 6 values;
    /// - `adam:0.03`: Adam with that learning rate for the maps.
    ///
    /// # Errors
    /// [`Error::Config`] for any other name.
    pub fn parse(name: &str, config: &Config) -> Result<Self> {
        let (solver, variant) = match name.split_once(':') {
            Some((solver, variant)) => (solver, Some(variant)),
            None => (name, None),
        };
        let method = config.method(solver.parse()?);
        let method = match variant {
            Some(text) => method.variant(text)?,
            None => method,
        };
        Ok(Self {
            name: name.into(),
            method,
        })
    }

    /// Several contenders, separated by commas. See [`Contender::parse`].
    ///
    /// # Errors
    /// As there.
    pub fn list(names: &str, config: &Config) -> Result<Vec<Self>> {
        names
            .split(',')
            .map(|name| Self::parse(name.trim(), config))
            .collect()
    }

    /// The contenders where none are named. Coding: the schedule of the authors' tool, two gentler
    /// ones, Adam, FISTA and descent. Learning: the solvers as the configuration has them.
    pub fn usual(what: Mode, config: &Config) -> Vec<Self> {
        let plain = |solver: SolverName| {
            let method = config.method(solver);
            Self {
                name: method.name().into(),
                method,
            }
        };
        let schedules: &[(f64, usize)] = match what {
            Mode::Coding => &[(10.0, 6), (6.0, 7), (1.5, 29)],
            Mode::Learning => &[],
        };
        let mut all = Vec::new();
        for &(growth, steps) in schedules {
            let mut contender = plain(SolverName::HalfQuadratic);
            contender.name = format!("split:1x{growth}x{steps}");
            if let Method::HalfQuadratic(split) = &mut contender.method {
                split.schedule = Schedule {
                    start: 1.0,
                    growth,
                    steps,
                };
            }
            all.push(contender);
        }
        if what == Mode::Learning {
            all.push(plain(SolverName::HalfQuadratic));
        }
        all.extend(
            [
                SolverName::Adam,
                SolverName::Fista,
                SolverName::CoordinateDescent,
            ]
            .map(plain),
        );
        let weighted = |layer: &LayerSettings| !layer.penalty_weights.is_empty();
        if config.layers.iter().any(weighted) {
            all.retain(|contender| contender.method.takes_weights());
        }
        all
    }

    /// Adds to the message of a failure whose it is.
    pub(super) fn named(&self, error: Error) -> Error {
        match error {
            Error::Numeric(message) => Error::Numeric(format!("{}: {message}", self.name)),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_variants() {
        let mut config = Config::default();
        config.train.cg = 5;
        let all = Contender::list("split, adam,fista,split:1x1.5x29,adam:0.03", &config).unwrap();
        let names: Vec<_> = all.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(
            names,
            ["split", "adam", "fista", "split:1x1.5x29", "adam:0.03"]
        );
        let Method::HalfQuadratic(split) = &all[3].method else {
            panic!("{:?}", all[3]);
        };
        let expected = Schedule {
            start: 1.0,
            growth: 1.5,
            steps: 29,
        };
        assert_eq!((split.schedule, split.cg), (expected, 5));
        assert!(matches!(&all[4].method, Method::Adam(adam) if adam.rate == 0.03));
        assert_eq!(all[2].method, config.method(SolverName::Fista));
    }

    #[test]
    fn wrong_names_say_what_is_right() {
        for (name, hint) in [
            ("lbfgs", "choose split, adam, fista, descent or ista"),
            ("", "choose split, adam, fista, descent or ista"),
            ("split:1x10", "split:1x10x6"),
            ("split:1x10x0", "split:1x10x6"),
            ("split:1x-2x6", "split:1x10x6"),
            ("split:1x10x6x2", "split:1x10x6"),
            ("adam:fast", "adam:0.01"),
            ("adam:0", "adam:0.01"),
            ("fista:2", "fista alone"),
        ] {
            let error = Contender::parse(name, &Config::default()).expect_err(name);
            assert!(error.to_string().contains(hint), "{name}: {error}");
        }
    }

    #[test]
    fn the_usual_names_can_be_typed() {
        let config = Config::default();
        for what in [Mode::Coding, Mode::Learning] {
            for contender in Contender::usual(what, &config) {
                assert_eq!(
                    Contender::parse(&contender.name, &config).unwrap(),
                    contender
                );
            }
        }
    }
}
