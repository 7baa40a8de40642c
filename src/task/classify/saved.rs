//! Classifiers and features in files.

use std::path::Path;

use crate::arrays::{self, Bundle};
use crate::classify::{Classifier, Kernel, Split, Vectors};
use crate::error::{Error, Result};
use crate::features::Recipe;
use crate::task::features::{Extractor, lines};

/// Writes a classifier, with what makes the features of images if that is known.
pub(super) fn write(
    path: &Path,
    classifier: &Classifier,
    classes: &[String],
    extractor: Option<&Extractor>,
) -> Result<()> {
    let mut bundle = Bundle::default();
    if let Some(extractor) = extractor {
        extractor.put(&mut bundle)?;
    }
    let support = &classifier.support;
    let [n, d] = [support.len(), support.dimension()];
    bundle.put("support", &[n, d], support.values().to_vec())?;
    bundle.put("weights", &[classes.len(), n], classifier.weights.clone())?;
    bundle.put(
        "thresholds",
        &[classes.len()],
        classifier.thresholds.clone(),
    )?;
    bundle
        .scalars
        .insert("scale".into(), classifier.scale.into());
    bundle
        .texts
        .insert("kernel".into(), classifier.kernel.name().into());
    bundle.texts.insert("classes".into(), lines(classes));
    arrays::write(path, &bundle, true)
}

/// The recipe of features in a file, where it tells.
pub(super) fn recipe(bundle: &Bundle, path: &Path) -> Result<Option<Recipe>> {
    let text = bundle.texts.get("recipe");
    let read = text.map(|text| serde_json::from_str(text));
    read.transpose().map_err(|error| {
        Error::Input(format!(
            "{}: `recipe` is not what was written: {error}",
            path.display()
        ))
    })
}

/// The classifier and the classes in a file.
pub(super) fn read(bundle: &Bundle, path: &Path) -> Result<(Classifier, Vec<String>)> {
    let told = |why: &str| {
        Error::Input(format!(
            "{}: {why}: the classifier is damaged",
            path.display()
        ))
    };
    let classes = names(bundle.text("classes", path)?);
    if classes.len() < 2 {
        return Err(told("it tells fewer than two classes apart"));
    }
    let kernel: Kernel = bundle.text("kernel", path)?.parse()?;
    let support = bundle.array("support", path)?;
    let [n, d] = support.shape[..] else {
        return Err(told("`support` is no matrix"));
    };
    if n == 0 || d == 0 {
        return Err(told("`support` is empty"));
    }
    let weights = bundle.array("weights", path)?;
    let thresholds = bundle.array("thresholds", path)?;
    if weights.shape != [classes.len(), n] || thresholds.shape != [classes.len()] {
        return Err(told("`weights` and `thresholds` do not fit its classes"));
    }
    let scale = bundle.scalar("scale", path)? as f32;
    if !(scale.is_finite() && scale > 0.0) {
        return Err(told("`scale` is no positive number"));
    }
    let classifier = Classifier {
        kernel,
        support: Vectors::new(support.values.clone(), d)
            .map_err(|error| told(&error.to_string()))?,
        weights: weights.values.clone(),
        thresholds: thresholds.values.clone(),
        scale,
    };
    Ok((classifier, classes))
}

/// The features in a file, and their dimension.
pub(super) fn features(bundle: &Bundle, path: &Path) -> Result<(Vectors, usize)> {
    let array = bundle.array("features", path)?;
    let [_, dimension] = array.shape[..] else {
        return Err(Error::Input(format!(
            "{}: `features` has the shape {:?}; it must be a vector for each image, [n, dimension]",
            path.display(),
            array.shape
        )));
    };
    let vectors = Vectors::new(array.values.clone(), dimension)
        .map_err(|error| Error::Input(format!("{}: {error}", path.display())))?;
    Ok((vectors, dimension))
}

/// The labels and classes in a file.
pub(super) fn labels(
    bundle: &Bundle,
    path: &Path,
    count: usize,
) -> Result<(Vec<usize>, Vec<String>)> {
    let told = |why: String| Error::Input(format!("{}: {why}", path.display()));
    let array = bundle.array("labels", path)?;
    if array.values.len() != count {
        return Err(told(format!(
            "{} labels do not fit {count} vectors",
            array.values.len()
        )));
    }
    let classes = match bundle.texts.get("classes") {
        Some(text) => names(text),
        None => {
            let most = array.values.iter().copied().fold(-1.0, f32::max);
            // Every class has a vector.
            if most >= count as f32 {
                return Err(told(format!(
                    "`labels` go up to {most}, and there are {count} vectors; number the classes from 0"
                )));
            }
            (0..(most + 1.0) as usize)
                .map(|k| format!("class {k}"))
                .collect()
        }
    };
    let label = |&value: &f32| {
        let class = value as usize;
        (class as f32 == value && class < classes.len()).then_some(class)
    };
    let labels: Option<Vec<usize>> = array.values.iter().map(label).collect();
    let labels = labels.ok_or_else(|| {
        told(format!(
            "`labels` must be whole numbers from 0 to below {}, its classes",
            classes.len()
        ))
    })?;
    Ok((labels, classes))
}

/// The split of features that know what they were learnt from: all others measure.
pub(super) fn own_split(
    rows: &[f32],
    labels: &[usize],
    classes: &[String],
    path: &Path,
) -> Result<Split> {
    if classes.len() < 2 {
        return Err(Error::Input(format!(
            "{}: there is one class only: at least two are needed to learn to tell them apart",
            path.display()
        )));
    }
    let mut is_training = vec![false; labels.len()];
    for &row in rows {
        let whole = (row >= 0.0 && row.fract() == 0.0).then_some(row as usize);
        match whole.and_then(|row| is_training.get_mut(row)) {
            Some(place) => *place = true,
            None => {
                return Err(Error::Input(format!(
                    "{}: `training` names the vector {row}, and there are {}",
                    path.display(),
                    labels.len()
                )));
            }
        }
    }
    let (training, test): (Vec<usize>, Vec<usize>) =
        (0..labels.len()).partition(|&row| is_training[row]);
    let of_class = |rows: &[usize], class: usize| rows.iter().any(|&row| labels[row] == class);
    let lacking = (0..classes.len()).find(|&class| !of_class(&training, class));
    match lacking {
        _ if test.is_empty() => Err(Error::Input(format!(
            "{}: all vectors are to learn from, and none is left to measure by",
            path.display()
        ))),
        Some(class) => Err(Error::Input(format!(
            "{}: no vector of the class {} is to learn from",
            path.display(),
            classes[class]
        ))),
        None => Ok(Split { training, test }),
    }
}

fn names(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}
