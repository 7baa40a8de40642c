//! Images: reading a folder of them, preparing them, and drawing the sample scenes.

mod image;

pub use image::Image;
