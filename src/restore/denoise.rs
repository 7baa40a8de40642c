//! White noise taken away.

use std::ops::Range;

use super::filters::Filters;
use super::groups;
use super::patches::{Region, Stop, approximate};
use super::planes::{Planes, mirrored};
use crate::data::Image;
use crate::data::resize::crop;
use crate::error::{Error, Result};
use crate::solve::Callback;

/// The most atoms of a patch.
const MOST: usize = 32;

/// A part of a restoration is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// How many are done.
    pub done: usize,
    /// Out of how many.
    pub of: usize,
}

/// Takes white noise of a known standard deviation away, in two passes.
///
/// 1. Every patch of the size of the filters, at every pixel, without its mean, gets the fewest filters that
///    come as near to it as the noise is strong (`n sigma^2` left of `n` pixels), by [`Pursuit`](crate::solve::Pursuit);
///    the estimates of all patches over a pixel are averaged, those of few filters counting more.
/// 2. Patches that look alike in that estimate are coded together in their own principal components, weighted as by
///    Wiener with the first estimate as guide.
///
/// Colours are decorrelated by an orthonormal matrix (brightness, two opponents), in which white noise stays white,
/// and each plane is treated by itself; patches are grouped by brightness. Images smaller than a patch are mirrored
/// beyond their borders for the work.
///
/// ```
/// use deconvnet::data::{psnr, scenes};
/// use deconvnet::restore::{Denoiser, Filters};
///
/// let clean = scenes::sample(0, 48, 1).grey();
/// let mut noisy = clean.clone();
/// for (k, v) in noisy.values.iter_mut().enumerate() {
///     *v += if (k * 7919) % 13 < 6 { 0.1 } else { -0.1 };
/// }
/// let denoised = Denoiser::new(Filters::built_in()).denoise(&noisy, 0.1, &mut ())?;
/// assert!(psnr(&clean, &denoised) > psnr(&clean, &noisy) + 3.0);
/// # Ok::<(), deconvnet::Error>(())
/// ```
///
/// # Sources
/// - M. Elad and M. Aharon, Image Denoising via Sparse and Redundant Representations over Learned Dictionaries,
///   IEEE TIP 2006, for the first pass.
/// - M. Lebrun, A. Buades and J.-M. Morel, A Nonlocal Bayesian Image Denoising Algorithm, SIAM J. Imaging
///   Sciences, 2013, for the second.
#[derive(Clone, Debug)]
pub struct Denoiser {
    /// What patches are coded with.
    pub filters: Filters,
    /// Whether there is the second pass.
    pub groups: bool,
}

impl Denoiser {
    /// With both passes.
    pub fn new(filters: Filters) -> Self {
        Self {
            filters,
            groups: true,
        }
    }

    /// The estimate of an image from noise of standard deviation `sigma`, in the units of its values.
    ///
    /// # Errors
    /// [`Error::Input`] where the image is not finite, [`Error::Config`] where `sigma` is not above 0.
    pub fn denoise(
        &self,
        image: &Image,
        sigma: f64,
        watch: &mut dyn Callback<Step>,
    ) -> Result<Image> {
        image.check()?;
        check_sigma(sigma)?;
        let size = self.working_size();
        let mut planes = Planes::new(&mirrored(image, size));
        let of = planes.values.len() * (1 + usize::from(self.groups));
        let mut done = 0;
        let mut tell = || {
            done += 1;
            watch.event(Step { done, of });
        };
        let everywhere = Region::everywhere();
        let mut first = Vec::new();
        for plane in &planes.values {
            first.push(self.code(plane, planes.size, sigma, MOST, &everywhere)?);
            tell();
        }
        if self.groups {
            let matched = groups::padded(&first[0]);
            for (plane, guide) in planes.values.iter().zip(&mut first) {
                let sigma = sigma as f32;
                *guide = groups::refine(plane, guide, &matched, planes.size, sigma, &everywhere);
                tell();
            }
        }
        planes.values = first;
        Ok(crop(&planes.image(), [0, 0], [image.height, image.width]))
    }

    /// The rows, or columns, of an image of `side` that the estimate of some of them hangs on. Of a window of such
    /// rows and columns [`Denoiser::denoise`] makes in those, but for the rounding of sums, what it makes of the whole
    /// image: an image of any size is denoised window by window.
    pub fn around(&self, kept: Range<usize>, side: usize) -> Range<usize> {
        let taps = self.filters.size();
        // From a pixel to a patch that covers it, on to where its group was made, and to the others of that.
        let reach = taps[0].max(taps[1]) + 2 * groups::REACH + groups::SIDE;
        // Groups are made on a grid.
        let start = kept.start.saturating_sub(reach) / groups::STEP * groups::STEP;
        start..(kept.end + reach).min(side)
    }

    /// The first pass over the patches that touch a region, with so many atoms of each at most.
    pub(super) fn code(
        &self,
        plane: &[f32],
        size: [usize; 2],
        sigma: f64,
        most: usize,
        region: &Region,
    ) -> Result<Vec<f32>> {
        let [h, w] = self.filters.size();
        let tolerance = ((h * w) as f64 * sigma * sigma) as f32;
        let stop = Stop { tolerance, most };
        approximate(plane, size, &self.filters, stop, region)
    }

    /// The least size that both passes work on.
    pub(super) fn working_size(&self) -> [usize; 2] {
        self.filters.size().map(|side| side.max(groups::SIDE))
    }
}

/// # Errors
/// [`Error::Config`].
fn check_sigma(sigma: f64) -> Result<()> {
    // Squares of it are divided by in single precision.
    let square = (sigma as f32) * (sigma as f32);
    match sigma > 0.0 && square.is_normal() {
        true => Ok(()),
        false => Err(Error::Config(format!(
            "the standard deviation of the noise is {sigma}; it must be above 0, and neither so small nor so \
             large that its square is no number of single precision"
        ))),
    }
}
