//! Who is compared: a solver with its settings, and the short names for them.

use serde::Serialize;

use super::What;
use crate::config::{Config, SolverName};
use crate::error::{Error, Result};
use crate::solve::{Learner, Method, Schedule};

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
        let mut method = config.method(solver.parse()?);
        match (&mut method, variant) {
            (_, None) => {}
            (Method::Split(split), Some(variant)) => {
                split.schedule = schedule(variant).ok_or_else(|| {
                    Error::Config(format!(
                        "'{name}' has no beta schedule; write START x GROWTH x STEPS, all above 0, \
                         for example split:1x10x6"
                    ))
                })?;
            }
            (Method::Adam(adam), Some(variant)) => {
                adam.rate = positive(variant).ok_or_else(|| {
                    Error::Config(format!(
                        "'{name}' has no learning rate; write a number above 0, \
                         for example adam:0.01"
                    ))
                })?;
            }
            (Method::Fista(_) | Method::Descent(_), Some(variant)) => {
                return Err(Error::Config(format!(
                    "{solver} has no variant '{variant}'; write {solver} alone"
                )));
            }
        }
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
    pub fn usual(what: What, config: &Config) -> Vec<Self> {
        let plain = |solver: SolverName| {
            let method = config.method(solver);
            Self {
                name: method.name().into(),
                method,
            }
        };
        let schedules: &[(f64, usize)] = match what {
            What::Coding => &[(10.0, 6), (6.0, 7), (1.5, 29)],
            What::Learning => &[],
        };
        let mut all = Vec::new();
        for &(growth, steps) in schedules {
            let mut contender = plain(SolverName::Split);
            contender.name = format!("split:1x{growth}x{steps}");
            if let Method::Split(split) = &mut contender.method {
                split.schedule = Schedule {
                    start: 1.0,
                    growth,
                    steps,
                };
            }
            all.push(contender);
        }
        if what == What::Learning {
            all.push(plain(SolverName::Split));
        }
        all.extend([SolverName::Adam, SolverName::Fista, SolverName::Descent].map(plain));
        all
    }

    /// Adds to the message of a failure whose it is.
    pub(super) fn blame(&self, error: Error) -> Error {
        match error {
            Error::Numeric(message) => Error::Numeric(format!("{}: {message}", self.name)),
            other => other,
        }
    }

    /// The learner that finds maps this way, with everything else as the configuration has it.
    pub(super) fn learner(&self, config: &Config) -> Learner {
        let mut config = config.clone();
        config.train.solver = match &self.method {
            Method::Split(split) => {
                config.train.beta = split.schedule;
                SolverName::Split
            }
            Method::Adam(_) => SolverName::Adam,
            Method::Fista(_) => SolverName::Fista,
            Method::Descent(_) => SolverName::Descent,
        };
        Learner {
            codes: self.method.clone(),
            ..config.learner()
        }
    }
}

/// `START x GROWTH x STEPS`, with or without spaces.
fn schedule(text: &str) -> Option<Schedule> {
    let mut parts = text.split('x').map(str::trim);
    let schedule = Schedule {
        start: positive(parts.next()?)?,
        growth: positive(parts.next()?)?,
        steps: parts.next()?.parse().ok().filter(|&steps| steps > 0)?,
    };
    parts.next().is_none().then_some(schedule)
}

fn positive(text: &str) -> Option<f64> {
    text.parse()
        .ok()
        .filter(|x: &f64| x.is_finite() && *x > 0.0)
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
        let Method::Split(split) = &all[3].method else {
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
            ("lbfgs", "choose split, adam, fista or descent"),
            ("", "choose split, adam, fista or descent"),
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
        for what in [What::Coding, What::Learning] {
            for contender in Contender::usual(what, &config) {
                assert_eq!(
                    Contender::parse(&contender.name, &config).unwrap(),
                    contender
                );
            }
        }
    }
}
