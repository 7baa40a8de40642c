//! What work on images takes of memory and disk, beside what the machine has.

use std::path::Path;

use super::{CACHE_BYTES, State};
use crate::config::{Config, Form};
use crate::connectivity::Connectivity;
use crate::error::{Error, Result};
use crate::machine;
use crate::pooling::Pool;

/// A solver's step holds about so many tensors of the size of a batch's maps.
const TENSORS: u64 = 14;
/// Bytes of one number.
const NUMBER: u64 = 4;
/// Images smaller than this are not recommended.
const LEAST_SIDE: usize = 16;

/// Work on images, as far as it decides what it takes.
#[derive(Clone, Debug)]
pub struct Work {
    layers: Vec<Layer>,
    /// The layer on top of each stage.
    tops: Vec<usize>,
    batch: usize,
    /// How often the maps of a stage that is done, and of the one in progress, are on disk.
    copies: [u64; 2],
    /// How often the maps of all stages of one image are in memory, beside those of the step.
    kept: u64,
}

/// What decides the size of a layer's maps.
#[derive(Clone, Copy, Debug)]
struct Layer {
    maps: usize,
    filter: [usize; 2],
    pool: Pool,
}

/// Bytes of memory at the peak, and of disk at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Memory.
    pub memory: u64,
    /// Disk.
    pub disk: u64,
}

/// What there is, in bytes; absent where it is not known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Free {
    /// Memory.
    pub memory: Option<u64>,
    /// Disk.
    pub disk: Option<u64>,
}

impl Free {
    /// The memory of this machine, unless the work is done in that of a graphics card, and the disk of
    /// the folder that is written to.
    pub fn here(on_processor: bool, folder: &Path) -> Self {
        Self {
            memory: on_processor.then(machine::free_memory).flatten(),
            disk: machine::free_disk(folder),
        }
    }
}

impl Work {
    /// Learning. The maps of all images but those of a batch are on disk, once for each checkpoint that
    /// is kept and for the one being made, unless the filters are updated online.
    ///
    /// # Errors
    /// [`Error::Config`] where numbers of maps do not fit together.
    pub fn learning(config: &Config) -> Result<Self> {
        let sizes: Vec<_> = config.layers.iter().map(|layer| layer.size).collect();
        let layers = layers(&config.connectivities()?, &sizes, config);
        let copies = match config.learner().codes.has_separate_maps() {
            _ if !config.keeps_maps() => 0,
            // The sparse copy beside the maps.
            true => 2,
            false => 1,
        };
        Ok(Self {
            tops: match config.train.form {
                Form::LayerWise | Form::Adaptive => (0..layers.len()).collect(),
                Form::Joint => vec![layers.len() - 1],
            },
            layers,
            batch: config.train.batch,
            copies: [copies, copies * (config.checkpoint.keep as u64 + 2)],
            kept: 0,
        })
    }

    /// Coding image by image up to each layer of `tops`, from 0; `written` if the maps are.
    pub fn coding(state: &State, tops: Vec<usize>, written: bool) -> Self {
        Self {
            layers: layers(&state.connectivity, &state.sizes, &state.config),
            tops,
            batch: 1,
            copies: [written.into(); 2],
            kept: 2,
        }
    }

    /// What the work takes on prepared images of these shapes, `[channels, height, width]`.
    pub fn estimate(&self, images: &[[usize; 3]]) -> Estimate {
        let maps = |top: usize, &[_, height, width]: &[usize; 3]| {
            let planes = self.layers[..top]
                .iter()
                .fold([1, 1, height, width], |planes, layer| {
                    layer.pool.pooled(layer.maps(planes))
                });
            let maps = self.layers[top].maps(planes);
            NUMBER * maps.iter().map(|&n| n as u64).product::<u64>()
        };
        let batch = self.batch.min(images.len()) as u64;
        let (mut step, mut disk, mut all) = (0, 0, 0);
        for &top in &self.tops {
            let largest = images.iter().map(|image| maps(top, image)).max();
            let largest = largest.unwrap_or(0);
            step = step.max(TENSORS * batch * largest);
            all += largest;
            let sum: u64 = images.iter().map(|image| maps(top, image)).sum();
            // Only the stage in progress has several revisions.
            disk = (disk + self.copies[0] * sum).max(self.copies[1] * sum);
        }
        let pixels: u64 = images
            .iter()
            .map(|image| image.iter().product::<usize>() as u64)
            .sum();
        Estimate {
            memory: step + self.kept * all + (NUMBER * pixels).min(CACHE_BYTES as u64),
            disk,
        }
    }

    /// Refuses work that takes more than there is; says which size of images would fit, where they can
    /// be `scaled`.
    ///
    /// # Errors
    /// [`Error::Resources`].
    pub fn check(&self, images: &[[usize; 3]], free: Free, scaled: bool) -> Result<()> {
        let lacking = self.estimate(images).beyond(free);
        if lacking.is_empty() {
            return Ok(());
        }
        let fits = |side: usize| {
            let images: Vec<_> = images.iter().map(|&image| scale(image, side)).collect();
            self.estimate(&images).beyond(free).is_empty()
        };
        let largest = images.iter().map(|[_, h, w]| *h.max(w)).max();
        let max_side = largest
            .filter(|_| scaled)
            .and_then(|largest| largest_side(largest, fits));
        let smaller = match max_side {
            Some(side) => format!("images of at most {side} pixels a side would fit, and "),
            None => String::new(),
        };
        let stored = match self.copies[1] {
            0..=1 => "",
            _ => "; one layer whose filters are updated online stores no maps",
        };
        Err(Error::Resources {
            message: format!(
                "this would take about {}; {smaller}fewer maps take less{stored}",
                lacking.join(" and ")
            ),
            max_side,
            forced: true,
        })
    }
}

impl Estimate {
    /// Refuses work that takes more than there is, with this advice.
    ///
    /// # Errors
    /// [`Error::Resources`].
    pub fn check(self, free: Free, advice: &str) -> Result<()> {
        self.refuse(free, advice, true)
    }

    /// The same where there is no way to begin it all the same.
    ///
    /// # Errors
    /// [`Error::Resources`].
    pub fn must_fit(self, free: Free, advice: &str) -> Result<()> {
        self.refuse(free, advice, false)
    }

    fn refuse(self, free: Free, advice: &str, forced: bool) -> Result<()> {
        let lacking = self.beyond(free);
        match lacking.is_empty() {
            true => Ok(()),
            false => Err(Error::Resources {
                message: format!("this would take about {}; {advice}", lacking.join(" and ")),
                max_side: None,
                forced,
            }),
        }
    }

    /// What is lacking, in words.
    fn beyond(self, free: Free) -> Vec<String> {
        let each = [
            ("memory", self.memory, free.memory),
            ("disk", self.disk, free.disk),
        ];
        let lacking = each.into_iter().filter_map(|(of, wanted, free)| {
            let free = free.filter(|&free| wanted > free)?;
            let [wanted, free] = [wanted.div_ceil(1 << 20), free >> 20];
            Some(format!(
                "{wanted} MiB of {of}, of which {free} MiB are free"
            ))
        });
        lacking.collect()
    }
}

impl Layer {
    /// The shape of its maps, given that of the planes below.
    fn maps(self, [n, _, height, width]: [usize; 4]) -> [usize; 4] {
        let [h, w] = self.filter;
        [n, self.maps, height + h - 1, width + w - 1]
    }
}

fn layers(connectivity: &[Connectivity], sizes: &[[usize; 2]], config: &Config) -> Vec<Layer> {
    let layers = connectivity.iter().zip(sizes).zip(&config.layers);
    let layers = layers.map(|((g, &filter), settings)| Layer {
        maps: g.maps(),
        filter,
        pool: settings.pool,
    });
    layers.collect()
}

/// The shape scaled down so that neither side is longer than `side`.
fn scale([channels, height, width]: [usize; 3], side: usize) -> [usize; 3] {
    let longer = height.max(width);
    if longer <= side {
        return [channels, height, width];
    }
    let scaled = |n: usize| (n * side).div_ceil(longer);
    [channels, scaled(height), scaled(width)]
}

/// The largest side below `largest` that fits, of two digits that count.
fn largest_side(largest: usize, fits: impl Fn(usize) -> bool) -> Option<usize> {
    let (mut fitting, mut too_large) = (LEAST_SIDE, largest);
    if fitting >= too_large || !fits(fitting) {
        return None;
    }
    while too_large - fitting > 1 {
        let middle = fitting.midpoint(too_large);
        match fits(middle) {
            true => fitting = middle,
            false => too_large = middle,
        }
    }
    let unit = 10_usize.pow(fitting.ilog10() - 1);
    Some(fitting / unit * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHOTOGRAPH: [usize; 3] = [3, 2996, 3996];
    const GIB: u64 = 1 << 30;

    fn free(memory: u64, disk: u64) -> Free {
        Free {
            memory: Some(memory),
            disk: Some(disk),
        }
    }

    #[test]
    fn a_photograph_by_default_settings_is_refused_with_a_side_that_fits() {
        let work = Work::learning(&Config::default()).unwrap();
        let estimate = work.estimate(&[PHOTOGRAPH]);
        assert!(estimate.memory > 90 * GIB, "{estimate:?}");
        assert!(estimate.disk > 50 * GIB, "{estimate:?}");
        let most = free(8 * GIB, 100 * GIB);
        let refused = work.check(&[PHOTOGRAPH], most, true);
        let Err(Error::Resources {
            message, max_side, ..
        }) = refused
        else {
            panic!("refused");
        };
        let side = max_side.unwrap();
        says!(message, "of memory, of which 8192 MiB are free");
        says!(message, &format!("at most {side} pixels"));
        assert!(!message.contains("of disk,"), "{message}");
        // It fits, and not much more does.
        assert!(work.check(&[scale(PHOTOGRAPH, side)], most, true).is_ok());
        let larger = [scale(PHOTOGRAPH, side * 6 / 5)];
        assert!(work.check(&larger, most, true).is_err());
    }

    #[test]
    fn disk_counts_as_well_and_what_is_unknown_does_not() {
        let work = Work::learning(&Config::default()).unwrap();
        let refused = work.check(&[PHOTOGRAPH], free(u64::MAX, GIB), false);
        let message = refused.unwrap_err().to_string();
        says!(message, "of disk, of which 1024 MiB", "online");
        assert!(!message.contains("pixels"), "{message}");
        assert!(work.check(&[PHOTOGRAPH], Free::default(), true).is_ok());
        assert!(work.check(&[[3, 96, 96]], free(GIB, GIB), true).is_ok());
        let (memory, disk) = (3 * GIB, 2 * GIB);
        let both = Estimate { memory, disk };
        assert!(both.check(free(3 * GIB, 2 * GIB), "").is_ok());
        let refused = both.check(free(2 * GIB, GIB), "use less").unwrap_err();
        let words = "3072 MiB of memory, of which 2048 MiB are free and 2048 MiB of disk, of which 1024 MiB are free; use less";
        assert!(refused.to_string().ends_with(words), "{refused}");
        // Nothing fits into nothing.
        let refused = work.check(&[PHOTOGRAPH], free(0, 0), true).unwrap_err();
        assert!(matches!(refused, Error::Resources { max_side: None, .. }));
    }

    #[test]
    fn online_stores_nothing() {
        let online =
            "[train]\nsolver = \"fista\"\nupdate_filters = \"online\"\n[[layer]]\nmaps = 9";
        let work = Work::learning(&Config::parse(online).unwrap()).unwrap();
        let estimate = work.estimate(&[PHOTOGRAPH; 50]);
        assert_eq!(estimate.disk, 0);
        // 14 tensors of 9 maps, 6 pixels larger, and the images that are cached.
        let step = 14 * 4 * 9 * 3002 * 4002;
        assert_eq!(estimate.memory, step + CACHE_BYTES as u64);
    }
}
