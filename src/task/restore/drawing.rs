//! The comparison of an image before and after.

use super::report::{Fidelity, Row};
use crate::data::{Image, resize};
use crate::error::Result;
use crate::files::file_name;
use crate::picture;
use crate::report::Format;

/// Comparisons show at most so many pixels a side, from the middle.
pub(super) const SHOWN: usize = 512;
/// An error of so much of the range is drawn black or white.
const LARGEST_ERROR: f32 = 0.25;
/// Images of less contrast are drawn from their least value to their largest.
const NARROW: f32 = 0.25;

/// The image before and after, side by side, and what changed; the truth and the error, where it is known.
pub(super) fn compare(
    row: &Row,
    [title, before, after]: [&str; 3],
    image: &Image,
    restored: &Image,
    reference: Option<&Image>,
) -> Result<Image> {
    let [least, most] = picture::extremes(&middle(restored));
    let is_usual = most - least >= NARROW && least >= -NARROW && most <= 1.0 + NARROW;
    let range = match is_usual || most == least {
        true => [0.0, 1.0],
        false => [least, most],
    };
    let limit = LARGEST_ERROR * (range[1] - range[0]);
    let drawn = |image: &Image| picture::between(&middle(image), range);
    let difference = |a: &Image, b: &Image| {
        let values = a.values.iter().zip(&b.values).map(|(a, b)| a - b);
        let difference = Image {
            values: values.collect(),
            ..*a
        };
        picture::symmetric(&middle(&difference), Some(limit))
    };
    let label = |name: &str, of: Option<Fidelity>| match of {
        Some(Fidelity { psnr, .. }) => format!("{name}, {psnr:.2} dB"),
        None => name.to_owned(),
    };
    let digits = Format::Significant(2).write(limit.into());
    let scaled = |name: &str| format!("{name}, grey ± {digits}");
    let mut headers = vec![label(before, row.before), label(after, row.after)];
    let mut images = vec![drawn(image), drawn(restored)];
    match reference {
        None => {
            headers.push(scaled("difference"));
            images.push(difference(image, restored));
        }
        Some(clean) => {
            headers.extend(["reference".into(), scaled("error")]);
            images.extend([drawn(clean), difference(restored, clean)]);
        }
    }
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let title = format!("{}: {title}", file_name(&row.image));
    picture::table(&title, &headers, &[(String::new(), images)])
}

/// The middle of an image, as much as is shown; of other than three channels, the first.
fn middle(image: &Image) -> Image {
    let whole = [image.height, image.width];
    let size = whole.map(|side| side.min(SHOWN));
    let corner = [0, 1].map(|d| (whole[d] - size[d]) / 2);
    let middle = resize::crop(image, corner, size);
    match middle.channels {
        1 | 3 => middle,
        _ => Image {
            channels: 1,
            values: middle.plane(0).to_vec(),
            ..middle
        },
    }
}
