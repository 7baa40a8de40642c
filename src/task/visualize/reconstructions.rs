//! Images beside what each layer makes of them.

use super::coded::Coded;
use super::display::{self, shrunk, signed};
use crate::data::Image;
use crate::error::Result;
use crate::picture::{limit, table};
use crate::run::{Run, to_image};

/// Two rows for each image: in pixels, with the preprocessing undone, and as the network sees it.
///
/// The first row gets back, for nothing, what the preprocessing took out (local means above all),
/// so the second is the honest one.
pub(super) fn draw(run: &Run, images: &[Coded]) -> Result<Image> {
    let layers = run.state.tops();
    let headers: Vec<String> = std::iter::once("image".to_string())
        .chain(
            layers
                .iter()
                .map(|layer| format!("from layer {}", layer + 1)),
        )
        .collect();
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let mut rows = Vec::new();
    for coded in images {
        let seen = shrunk(&coded.prepared);
        let shown = Some(limit([&seen]));
        let drawn = |image: &Image| display::pixels(&shrunk(image), coded.range);
        let mut pixels = vec![drawn(&coded.pixels()?)];
        let mut prepared = vec![signed(&seen, shown)];
        let mut ratios = Vec::new();
        for (layer, codes) in &coded.codes {
            let network = coded.stack(run, *layer)?;
            let sum = to_image(&network.synthesize(codes.clone()), 0)?;
            ratios.extend(match coded.snr(&sum) {
                snr if snr.is_nan() => None,
                snr => Some(format!("{snr:.1}")),
            });
            pixels.push(drawn(&coded.undo.invert(&sum)?));
            prepared.push(signed(&shrunk(&sum), shown));
        }
        let label = match ratios.is_empty() {
            true => "prepared".to_string(),
            false => format!("prepared, SNR {} dB", ratios.join(", ")),
        };
        rows.push((coded.name.clone(), pixels));
        rows.push((label, prepared));
    }
    let title =
        "Reconstructions: in pixels, with the preprocessing undone; as the network sees them";
    table(title, &headers, &rows)
}
