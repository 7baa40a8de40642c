//! Missing pixels filled in.

use super::denoise::{Denoiser, Step};
use super::patches::Region;
use super::planes::{Planes, mirrored};
use super::{filters::Filters, groups, interpolate::interpolate};
use crate::data::Image;
use crate::data::resize::crop;
use crate::error::{Error, Result};
use crate::solve::Callback;

/// The most atoms of a patch. Codes that follow every detail of what is filled in so far change nothing in it.
const MOST: usize = 8;

/// Fills in missing pixels: impute and code.
///
/// From an interpolation on, with `M` 1 where a pixel is known and 0 where it is missing,
///
/// ```text
/// x <- M y + (1 - M) code(x, sigma)
/// ```
///
/// in rounds with a `sigma` that falls geometrically: both passes of a [`Denoiser`] take what is left of the
/// interpolation for noise.
///
/// ```
/// use deconvnet::data::{psnr, scenes};
/// use deconvnet::restore::{Filters, Inpainter};
///
/// let clean = scenes::sample(0, 40, 1).grey();
/// let missing: Vec<bool> = (0..1600).map(|k| (k * 7919) % 13 < 6).collect();
/// let mut holed = clean.clone();
/// for (v, missing) in holed.values.iter_mut().zip(&missing) {
///     *v = if *missing { 0.0 } else { *v };
/// }
/// let filled = Inpainter::new(Filters::built_in()).inpaint(&holed, &missing, &mut ())?;
/// let filled = filled.expect("nothing asks to stop");
/// assert!(psnr(&clean, &filled) > psnr(&clean, &holed) + 8.0);
/// # Ok::<(), deconvnet::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Inpainter {
    /// What fills in.
    pub denoiser: Denoiser,
    /// The first and the last standard deviation of what is taken for noise, pixels in `[0, 1]`.
    pub sigma: [f64; 2],
    /// How often.
    pub rounds: usize,
}

impl Inpainter {
    /// With the settings that served best on photographs.
    pub fn new(filters: Filters) -> Self {
        Self {
            denoiser: Denoiser::new(filters),
            sigma: [15.0 / 255.0, 1.0 / 255.0],
            rounds: 24,
        }
    }

    /// An image, pixels in `[0, 1]`, with the pixels filled in that are `missing`, row by row, in all channels.
    /// The others stay as they are. None where `watch` asks to stop between two rounds.
    ///
    /// # Errors
    /// [`Error::Input`] where the image is not finite, the mask is of another size, no pixel is missing or all
    /// are; [`Error::Config`] for settings that are none.
    pub fn inpaint(
        &self,
        image: &Image,
        missing: &[bool],
        watch: &mut dyn Callback<Step>,
    ) -> Result<Option<Image>> {
        let [first, last] = self.sigma;
        if !(first.is_finite() && last > 0.0 && first >= last) || self.rounds == 0 {
            return Err(Error::Config(format!(
                "{} rounds with a standard deviation from {first} to {last}: it must fall and stay \
                 above 0, in at least one round",
                self.rounds
            )));
        }
        let start = interpolate(image, missing)?;
        let size = self.denoiser.working_size();
        let mut planes = Planes::new(&mirrored(&start, size));
        let mask = Image {
            channels: 1,
            values: missing.iter().map(|&m| f32::from(u8::from(m))).collect(),
            ..*image
        };
        let mask: Vec<bool> = mirrored(&mask, size)
            .values
            .iter()
            .map(|v| *v > 0.5)
            .collect();
        let region = Region::of(&mask, planes.size[1]);
        for round in 0..self.rounds {
            let part = round as f64 / (self.rounds - 1).max(1) as f64;
            let sigma = first * (last / first).powf(part);
            self.round(&mut planes, &mask, &region, sigma)?;
            watch.event(Step {
                done: round + 1,
                of: self.rounds,
            });
            if round + 1 < self.rounds && watch.interrupted() {
                return Ok(None);
            }
        }
        let mut filled = crop(&planes.image(), [0, 0], [image.height, image.width]);
        let n = missing.len();
        for (k, (v, y)) in filled.values.iter_mut().zip(&image.values).enumerate() {
            if !missing[k % n] {
                *v = *y;
            }
        }
        Ok(Some(filled))
    }

    fn round(&self, planes: &mut Planes, mask: &[bool], region: &Region, sigma: f64) -> Result<()> {
        let size = planes.size;
        let mut coded = Vec::new();
        for plane in &planes.values {
            coded.push(self.denoiser.code(plane, size, sigma, MOST, region)?);
        }
        if self.denoiser.groups {
            let matched = groups::padded(&coded[0]);
            for (plane, guide) in planes.values.iter().zip(&mut coded) {
                *guide = groups::refine(plane, guide, &matched, size, sigma as f32, region);
            }
        }
        for (plane, coded) in planes.values.iter_mut().zip(&coded) {
            let pixels = plane.iter_mut().zip(coded).zip(mask);
            for ((v, coded), _) in pixels.filter(|(_, missing)| **missing) {
                *v = *coded;
            }
        }
        Ok(())
    }
}
