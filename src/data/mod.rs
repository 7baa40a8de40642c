//! Images: reading them from pictures and arrays, preparing them, and drawing the sample scenes.

pub mod classes;
pub mod folder;
pub mod header;
mod image;
mod jpeg;
mod mask;
pub mod preprocess;
mod quality;
mod raster;
mod reader;
mod rescaling;
pub mod resize;
mod rows;
pub mod scan;
pub mod scenes;
pub mod warp;
mod weighted;
mod window;

pub use header::Depth;
pub use image::Image;
pub use mask::{Masks, mask_for};
pub use preprocess::{Prepare, Preprocess, Streamed, Undo};
pub use quality::{Errors, psnr, snr};
pub use raster::{Raster, spans, windows};
pub use reader::{Reader, array_file};
pub use rescaling::{Range, Rescaling};
pub use rows::{Rows, Survey, survey};
pub use weighted::Weighted;
pub(crate) use window::gaussian;
