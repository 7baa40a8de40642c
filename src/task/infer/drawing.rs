//! What was inferred from one image, written and drawn.

use super::anomaly::over;
use super::files::Job;
use super::{Inferred, InferredLayer};
use crate::arrays::{self, Bundle};
use crate::data::Image;
use crate::error::Result;
use crate::picture::{self, Axes, Panel, Series, between, extremes, panels, peak, symmetric};
use crate::report::Results;

/// Channels of a signal that are drawn.
const CHANNELS: usize = 4;

impl Inferred {
    /// Writes the maps and the picture.
    pub(super) fn write(&self, job: &Job, results: &Results) -> Result<()> {
        if let Some(name) = &job.maps {
            let mut bundle = Bundle::default();
            let mut put = |name: String, image: &Image, axes: usize| {
                bundle.put(name, &image.shape()[3 - axes..], image.values.clone())
            };
            if job.is_array {
                put("image".into(), &self.original, 3)?;
            }
            for layer in &self.layers {
                let name = format!("layer{}", layer.row.layer);
                if job.is_array {
                    put(format!("{name}.reconstruction"), &layer.reconstruction, 3)?;
                }
                if let Some((scores, _)) = &layer.scores {
                    put(format!("{name}.anomaly"), scores, 2)?;
                }
                put(name, &layer.codes, 3)?;
            }
            arrays::write(results.path(name)?, &bundle, true)?;
        }
        results.picture(&job.picture, &self.picture(&job.name)?)
    }

    /// The image, the reconstruction from each layer, the error of the last and, where there are scores, those
    /// over the image; of a signal as curves.
    pub(super) fn picture(&self, title: &str) -> Result<Image> {
        match self.original.height {
            1 => self.curves(title),
            _ => self.row(title),
        }
    }

    fn row(&self, title: &str) -> Result<Image> {
        // Arrays may have any range.
        let drawn = |image: &Image| match self.is_array {
            true => between(image, extremes(&self.original)),
            false => image.clone(),
        };
        let mut headers = vec!["image".to_string()];
        let mut images = vec![drawn(&self.original)];
        for layer in &self.layers {
            headers.push(layer.name());
            images.push(drawn(&layer.reconstruction));
        }
        if let Some(last) = self.layers.last() {
            let error = self.error(last);
            headers.push(format!("error, grey ± {:.2}", peak([&error])));
            images.push(symmetric(&error, None));
        }
        for (scores, usual) in self.layers.iter().filter_map(|l| l.scores.as_ref()) {
            headers.push(format!(
                "score, largest {:.1}",
                super::anomaly::largest(scores).0
            ));
            images.push(over(&drawn(&self.original), scores, usual));
        }
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        picture::table(title, &headers, &[(String::new(), images)])
    }

    fn curves(&self, title: &str) -> Result<Image> {
        let line = |name: &str, plane: &[f32]| {
            let points = plane.iter().enumerate();
            Series::new(name, points.map(|(i, &v)| (i as f64, f64::from(v))))
        };
        let panel = |title: String, series| Panel {
            series,
            axes: Axes {
                title,
                x_label: "sample".into(),
                ..Axes::default()
            },
        };
        let mut all = Vec::new();
        let channels = self.original.channels;
        for c in 0..channels.min(CHANNELS) {
            let which = match channels {
                1 => String::new(),
                _ => format!(", channel {c} of {channels}"),
            };
            let mut series = vec![line("signal", self.original.plane(c))];
            let layers = self.layers.iter();
            series.extend(layers.map(|layer| line(&layer.name(), layer.reconstruction.plane(c))));
            all.push(panel(format!("{title}{which}"), series));
            if let Some(last) = self.layers.last() {
                let error = line("error", self.error(last).plane(c));
                all.push(panel(format!("error{which}"), vec![error]));
            }
        }
        let scored = self.layers.iter();
        let scored: Vec<_> = scored
            .filter_map(|layer| Some(line(&layer.name(), &layer.scores.as_ref()?.0.values)))
            .collect();
        if !scored.is_empty() {
            all.push(panel("anomaly score, usually 2".into(), scored));
        }
        panels(&all, 2)
    }

    fn error(&self, layer: &InferredLayer) -> Image {
        let mut error = layer.reconstruction.clone();
        for (e, y) in error.values.iter_mut().zip(&self.original.values) {
            *e -= y;
        }
        error
    }
}

impl InferredLayer {
    /// The layer, and how well it explains the image.
    fn name(&self) -> String {
        let ratio = self.row.psnr.or(self.row.snr);
        let ratio = ratio.map(|ratio| format!(": {ratio:.1} dB"));
        format!("layer {}{}", self.row.layer, ratio.unwrap_or_default())
    }
}
