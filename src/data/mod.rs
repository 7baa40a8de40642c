//! Images: reading a folder of them, preparing them, and drawing the sample scenes.

pub mod folder;
mod image;
pub mod preprocess;
pub mod scenes;
mod window;

pub use image::Image;
pub use preprocess::{Lump, Prepare, Preprocess, Range, Undo};
