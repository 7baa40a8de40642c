//! Which vectors are learnt from and which measure.

use rand::{SeedableRng, rngs::ChaCha8Rng, seq::SliceRandom};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How splits are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Splits {
    /// Vectors of each class to learn from.
    pub training: usize,
    /// Others of each class to measure by, at most.
    pub test: usize,
    /// How many splits.
    pub count: usize,
    /// What they are drawn by.
    pub seed: u64,
    /// Vectors of each class, among those to learn from, that are the same in every split: whatever is
    /// learnt from these has seen no vector that measures.
    pub shared: usize,
}

impl Default for Splits {
    /// 30 to learn from and up to 30 to measure by, five times.
    fn default() -> Self {
        Self {
            training: 30,
            test: 30,
            count: 5,
            seed: 0,
            shared: 1,
        }
    }
}

/// One way to part them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Rows to learn from, class by class.
    pub training: Vec<usize>,
    /// Rows to measure by.
    pub test: Vec<usize>,
}

impl Splits {
    /// The rows that are learnt from in every split, [`Splits::shared`] of each class.
    ///
    /// # Errors
    /// As [`Splits::draw`].
    pub fn shared_rows(&self, labels: &[usize], classes: &[String]) -> Result<Vec<usize>> {
        let each = self.classes(labels, classes, &|_| true)?;
        Ok(each
            .into_iter()
            .flat_map(|rows| rows[..self.shared.min(self.training)].to_vec())
            .collect())
    }

    /// Draws them: the same seed parts the same labels in the same way.
    ///
    /// # Errors
    /// [`Error::Input`] naming the classes that have too few vectors to learn from any and measure by
    /// another, [`Error::Config`] where nothing is asked for.
    pub fn draw(&self, labels: &[usize], classes: &[String]) -> Result<Vec<Split>> {
        match self.test {
            0 => Err(nothing_asked_for()),
            _ => self.draw_among(labels, classes, &|_| true),
        }
    }

    /// [`Splits::draw`] of the rows that can be used, perhaps with none to measure by. Those that cannot leave the order of the others as it
    /// was, so that what all splits share stays in what is learnt from.
    ///
    /// # Errors
    /// As [`Splits::draw`].
    pub fn draw_among(
        &self,
        labels: &[usize],
        classes: &[String],
        usable: &dyn Fn(usize) -> bool,
    ) -> Result<Vec<Split>> {
        let each = self.classes(labels, classes, usable)?;
        let shared = self.shared.min(self.training);
        let splits = (0..self.count).map(|number| {
            let mut split = Split {
                training: Vec::new(),
                test: Vec::new(),
            };
            for (class, rows) in each.iter().enumerate() {
                let (fixed, others) = rows.split_at(shared);
                let mut others = others.to_vec();
                others.shuffle(&mut self.stream(1 + number, class));
                split.training.extend(fixed);
                let (training, rest) = others.split_at(self.training - shared);
                split.training.extend(training);
                split.test.extend(rest.iter().take(self.test));
            }
            split
        });
        Ok(splits.collect())
    }

    fn stream(&self, number: usize, class: usize) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream((number as u64) << 32 | class as u64);
        rng
    }

    /// The rows of each class, in an order drawn for all splits.
    fn classes(
        &self,
        labels: &[usize],
        classes: &[String],
        usable: &dyn Fn(usize) -> bool,
    ) -> Result<Vec<Vec<usize>>> {
        if self.count == 0 || self.training == 0 {
            return Err(nothing_asked_for());
        }
        let (beside, purpose) = match self.test {
            0 => (0, ""),
            _ => (1, " and measure by others"),
        };
        if classes.len() < 2 {
            return Err(Error::Input(format!(
                "there is one class only ({}): at least two are needed to learn to tell them apart",
                classes.first().map_or("", String::as_str)
            )));
        }
        let mut each = vec![Vec::new(); classes.len()];
        for (row, &label) in labels.iter().enumerate() {
            each[label].push(row);
        }
        for (class, rows) in each.iter_mut().enumerate() {
            rows.shuffle(&mut self.stream(0, class));
            rows.retain(|&row| usable(row));
        }
        let few: Vec<String> = each
            .iter()
            .zip(classes)
            .filter(|(rows, _)| rows.len() < self.training + beside)
            .map(|(rows, class)| format!("{class} ({})", rows.len()))
            .collect();
        if let Some(least) = each.iter().map(Vec::len).min().filter(|_| !few.is_empty()) {
            const SHOWN: usize = 5;
            let more = match few.len().saturating_sub(SHOWN) {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            let advice = match least {
                n if n <= beside => "add images to them, or leave them out".into(),
                n => format!(
                    "learn from at most {} of each class, or leave them out",
                    n - beside
                ),
            };
            return Err(Error::Input(format!(
                "to learn from {} images of each class{purpose}, these have too few: {}{more}; {advice}",
                self.training,
                few[..few.len().min(SHOWN)].join(", ")
            )));
        }
        Ok(each)
    }
}

fn nothing_asked_for() -> Error {
    Error::Config(
        "there must be at least one split, and in each at least one image of a class to learn from and one to measure by"
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|k| format!("class{k}")).collect()
    }

    #[test]
    fn splits_are_disjoint_seeded_and_share_what_they_say() {
        let labels: Vec<usize> = (0..90).map(|k| k % 3).collect();
        let splits = Splits {
            training: 10,
            test: 15,
            count: 4,
            seed: 7,
            shared: 2,
        };
        let drawn = splits.draw(&labels, &names(3)).unwrap();
        assert_eq!(drawn, splits.draw(&labels, &names(3)).unwrap());
        let shared = splits.shared_rows(&labels, &names(3)).unwrap();
        assert_eq!(shared.len(), 6);
        for split in &drawn {
            assert_eq!((split.training.len(), split.test.len()), (30, 45));
            assert!(split.test.iter().all(|row| !split.training.contains(row)));
            assert!(shared.iter().all(|row| split.training.contains(row)));
            let of_class = split.training.iter().filter(|&&row| labels[row] == 1);
            assert_eq!(of_class.count(), 10);
        }
        assert_ne!(drawn[0], drawn[1]);
        let other = Splits { seed: 8, ..splits };
        assert_ne!(other.draw(&labels, &names(3)).unwrap(), drawn);
    }

    #[test]
    fn what_cannot_be_used_leaves_what_is_shared_in_place() {
        let labels: Vec<usize> = (0..90).map(|k| k % 3).collect();
        let splits = Splits {
            training: 10,
            test: 15,
            ..Splits::default()
        };
        let shared = splits.shared_rows(&labels, &names(3)).unwrap();
        for lost in (0..90).filter(|row| !shared.contains(row)) {
            let usable = |row| row != lost;
            for split in splits.draw_among(&labels, &names(3), &usable).unwrap() {
                assert!(shared.iter().all(|row| split.training.contains(row)));
                assert!(!split.training.contains(&lost) && !split.test.contains(&lost));
            }
        }
    }

    #[test]
    fn too_little_is_told() {
        let splits = Splits::default();
        let told = |labels: &[usize], classes: usize| {
            splits
                .draw(labels, &names(classes))
                .unwrap_err()
                .to_string()
        };
        assert!(told(&[0; 40], 1).contains("one class only (class0)"));
        let mut labels = vec![0; 40];
        labels.extend([1; 20]);
        let message = told(&labels, 2);
        says!(message, "class1 (20)", "at most 19");
        assert!(told(&labels, 3).contains("class2 (0)"));
        for none in [Splits { count: 0, ..splits }, Splits { test: 0, ..splits }] {
            assert!(none.draw(&labels, &names(2)).is_err());
        }
        // With none to measure by, all may be learnt from, and no more.
        let all = |training| Splits {
            training,
            test: 0,
            ..splits
        };
        let drawn = all(20).draw_among(&labels, &names(2), &|_| true).unwrap();
        assert_eq!((drawn[0].training.len(), drawn[0].test.len()), (40, 0));
        let error = all(21).draw_among(&labels, &names(2), &|_| true);
        says!(error.unwrap_err(), "of each class, these", "at most 20");
    }
}
