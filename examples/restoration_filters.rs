//! Learns the filters that `denoise` and `inpaint` come with, and writes them as bytes with signs:
//!
//!     cargo run --release --example restoration_filters -- FOLDER src/restore/filters.i8
//!
//! FOLDER holds photographs; those shipped were learnt from kodim05, kodim08, kodim19 and kodim23 of the Kodak
//! PhotoCD test suite, in 10 seconds on a CPU.

use std::path::Path;

use deconvnet::data::{folder, scan::scan};
use deconvnet::restore::Filters;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, images, out] = &arguments[..] else {
        return Err("give a folder of photographs and the file to write".into());
    };
    let paths = scan(Path::new(images), &[])?.images;
    let read = paths.iter().map(|path| folder::read(path, false, None));
    let images = read.collect::<deconvnet::Result<Vec<_>>>()?;
    let filters = Filters::learn(&images, 256, [8, 8], 30, 1)?;
    let bytes: Vec<u8> = filters
        .values()
        .chunks_exact(64)
        .flat_map(|filter| {
            let largest = filter
                .iter()
                .fold(0.0, |largest: f32, v| largest.max(v.abs()));
            filter
                .iter()
                .map(move |v| (127.0 * v / largest).round() as i8 as u8)
        })
        .collect();
    std::fs::write(out, bytes)?;
    println!(
        "{} filters of 8 x 8 from {} images",
        filters.count(),
        images.len()
    );
    Ok(())
}
