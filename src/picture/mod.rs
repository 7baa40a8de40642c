//! Pictures: filter mosaics, feature maps, patches and curves, as PNG files.
//!
//! Every picture is an [`Image`](crate::data::Image) with pixels in `[0, 1]`, so that pictures can
//! be tested, put inside one another and written by the one function [`save_png`]:
//!
//! - [`mosaic()`]: a sheet of filters, feature maps or patches;
//! - [`table()`]: labelled rows of images under headers, such as an input beside its reconstructions;
//! - [`pairs()`]: patches beside projections, nine by nine;
//! - [`matrix()`]: which map of one layer is connected to which of the next;
//! - [`shares()`]: which class was taken for which;
//! - [`groups()`] and [`with_legend()`]: a map of groups in colours, and their names;
//! - [`curves()`] and [`panels()`]: line plots;
//! - [`symmetric`], [`unit_range`], [`between`], [`diverging`] and [`heat`] turn values of any range into
//!   pixels, and [`wave`] a signal, an image of height 1, into a tile with curves.
//!
//! Sheets show images of other than one or three channels as their planes side by side.

mod axis;
mod canvas;
mod colour;
mod curves;
mod drawable;
mod frame;
mod layout;
mod legend;
mod matrix;
mod mosaic;
mod pairs;
mod png;
mod shares;
mod table;
mod text;

pub use colour::{diverging, extremes, heat, limit, peak, symmetric, unit_range};
pub use curves::{Axes, Panel, Series, curves, panels};
pub use drawable::{between, drawable, wave};
pub use legend::{GROUPS, groups, with_legend};
pub use matrix::matrix;
pub use mosaic::{MosaicOptions, Tile, mosaic};
pub use pairs::{pairs, pairs_in_rows};
pub use png::{png_bytes, save_png, save_png_of, save_png_rows};
pub use shares::shares;
pub use table::table;
