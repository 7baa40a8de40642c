//! Images: reading a folder of them, preparing them, and drawing the sample scenes.

pub mod folder;
mod image;
mod lump;
pub mod preprocess;
mod quality;
pub mod scenes;
mod window;

pub use image::Image;
pub use lump::{Lump, Range};
pub use preprocess::{Prepare, Preprocess, Undo};
pub use quality::{psnr, snr};
