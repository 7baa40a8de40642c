//! How often a classifier is right.

use serde::Serialize;

/// What became of labelled vectors.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Accuracy {
    /// The mean of the shares of the classes that have any vectors.
    pub mean: f64,
    /// The share of all vectors that are told right.
    pub overall: f64,
    /// For each class the share that is told right; none for a class without vectors.
    pub classes: Vec<Option<f64>>,
    /// For each class, how many were taken for each: `[classes, classes]`.
    pub confusion: Vec<usize>,
}

/// Compares what was told of vectors with their labels.
///
/// ```
/// let found = deconvnet::classify::accuracy(&[0, 0, 0, 1], &[0, 0, 1, 1], 3);
/// assert_eq!(found.classes, [Some(2.0 / 3.0), Some(1.0), None]);
/// assert_eq!((found.overall, found.confusion[1]), (0.75, 1));
/// ```
pub fn accuracy(labels: &[usize], told: &[usize], classes: usize) -> Accuracy {
    let mut confusion = vec![0; classes * classes];
    for (label, told) in labels.iter().zip(told) {
        confusion[label * classes + told] += 1;
    }
    let shares: Vec<Option<f64>> = (0..classes)
        .map(|class| {
            let row = &confusion[class * classes..][..classes];
            let all: usize = row.iter().sum();
            (all > 0).then(|| row[class] as f64 / all as f64)
        })
        .collect();
    let known: Vec<f64> = shares.iter().flatten().copied().collect();
    let right = labels
        .iter()
        .zip(told)
        .filter(|(label, told)| label == told);
    Accuracy {
        mean: known.iter().sum::<f64>() / known.len().max(1) as f64,
        overall: right.count() as f64 / labels.len().max(1) as f64,
        classes: shares,
        confusion,
    }
}
