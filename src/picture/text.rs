//! Text in the one font that is built in: a subset of DejaVu Sans.
//!
//! It holds Latin letters, Greek ones and the signs that labels need. A sign it lacks is written in Latin
//! letters, as in "Bei Jing" for 北京, or as a question mark where there is no way to.

use std::borrow::Cow;
use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, ScaleFont, point};

/// The font; a test sees to it that it can be read, so that drawing text need not be able to fail.
static FONT: LazyLock<Option<FontRef<'static>>> =
    LazyLock::new(|| FontRef::try_from_slice(include_bytes!("font/DejaVuSans-subset.ttf")).ok());

/// The width of `text` in pixels, in lines of height `size`.
pub(super) fn width(text: &str, size: f32) -> f32 {
    layout(text, size, |_, _| ())
}

/// Calls `plot(x, y, cover)` for each pixel that `text` touches, counted from the upper left corner
/// of a box of [`width`] by `size`; `cover` in `[0, 1]` is how much of the pixel it touches.
pub(super) fn draw(text: &str, size: f32, mut plot: impl FnMut(i32, i32, f32)) {
    let Some(font) = FONT.as_ref() else { return };
    let scaled = font.as_scaled(size);
    layout(text, size, |sign, x| {
        let glyph = scaled.glyph_id(sign);
        let at = point(x, scaled.ascent());
        if let Some(outline) = font.outline_glyph(glyph.with_scale_and_position(size, at)) {
            let corner = outline.px_bounds().min;
            outline.draw(|x, y, cover| {
                plot(
                    corner.x as i32 + x as i32,
                    corner.y as i32 + y as i32,
                    cover,
                );
            });
        }
    });
}

/// The largest size from `sizes.0` up to `sizes.1` at which all of `texts` fit into `room` pixels.
pub(super) fn size_to_fit<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    room: f32,
    sizes: (f32, f32),
) -> f32 {
    let widest = texts
        .into_iter()
        .map(|text| width(text, sizes.1))
        .fold(1.0, f32::max);
    (sizes.1 * room / widest).floor().clamp(sizes.0, sizes.1)
}

/// `text`, or as much of it as fits into `room` pixels with "…" behind it.
pub(super) fn shorten(text: &str, room: f32, size: f32) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut short: String = text.to_owned();
    while short.pop().is_some() {
        let candidate = format!("{}…", short.trim_end());
        if width(&candidate, size) <= room {
            return candidate;
        }
    }
    String::new()
}

/// Calls `place(sign, x)` for each sign, and returns where the next one would be.
fn layout(text: &str, size: f32, mut place: impl FnMut(char, f32)) -> f32 {
    let Some(font) = FONT.as_ref() else {
        return 0.0;
    };
    let text = shown(text, font);
    let font = font.as_scaled(size);
    let mut x = 0.0;
    let mut before = None;
    for sign in text.chars() {
        let glyph = font.glyph_id(sign);
        x += before.map_or(0.0, |before| font.kern(before, glyph));
        place(sign, x);
        x += font.h_advance(glyph);
        before = Some(glyph);
    }
    x
}

/// The text in signs that the font has.
fn shown<'a>(text: &'a str, font: &FontRef) -> Cow<'a, str> {
    let has = |sign: char| font.glyph_id(sign).0 != 0 && !sign.is_control();
    if text.chars().all(has) {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    for sign in text.chars() {
        if has(sign) {
            out.push(sign);
        } else if sign.is_whitespace() {
            out.push(' ');
        } else {
            out.push_str(deunicode::deunicode_char(sign).unwrap_or("?"));
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_font_has_every_sign_that_labels_use() {
        let font = FONT.as_ref().expect("the built-in font can be read");
        let signs = (' '..='~').chain("λβ∑×·–—²≤µ°…−⁻⁰¹²³⁴⁵⁶⁷⁸⁹≥±≈‖∞→".chars());
        for sign in signs {
            assert_ne!(font.glyph_id(sign).0, 0, "{sign:?} is missing");
        }
    }

    #[test]
    fn signs_that_the_font_lacks_are_written_in_latin_letters() {
        let font = FONT.as_ref().unwrap();
        for (text, wanted) in [
            ("Ågl β ∑", "Ågl β ∑"),
            ("Москва.png", "Moskva.png"),
            ("北京", "Bei Jing "),
            ("e\u{301}te\u{301}", "ete"),
            ("a\tb\nc\u{7}", "a b c"),
            ("\u{fffd}\u{e000}x", "??x"),
        ] {
            assert_eq!(shown(text, font), wanted, "{text:?}");
        }
        let emoji = shown("😀 ｆ", font);
        assert!(emoji.is_ascii() && emoji.len() > 3, "{emoji}");
        // No box is drawn for anything.
        for sign in ('\u{20}'..='\u{2fff}').chain('\u{4e00}'..='\u{4fff}') {
            let text = sign.to_string();
            let boxed = |c| font.glyph_id(c).0 == 0;
            assert!(!shown(&text, font).contains(boxed), "{sign:?}");
        }
    }

    #[test]
    fn text_stays_in_its_box() {
        let (mut count, size) = (0, 20.0);
        let room = width("Ågl|j", size);
        draw("Ågl|j", size, |x, y, cover| {
            assert!((-1..=room as i32 + 1).contains(&x) && (-1..=21).contains(&y));
            count += usize::from(cover > 0.5);
        });
        assert!(count > 100, "{count}");
    }

    #[test]
    fn long_text_is_cut_with_an_ellipsis() {
        let text = "a rather long caption";
        assert_eq!(shorten(text, 1000.0, 16.0), text);
        let short = shorten(text, 80.0, 16.0);
        assert!(short.ends_with('…') && width(&short, 16.0) <= 80.0);
        assert!(short.starts_with("a rat"));
        assert_eq!(shorten(text, 1.0, 16.0), "");
    }

    #[test]
    fn the_size_follows_the_widest_text() {
        assert_eq!(size_to_fit(["a"], 100.0, (10.0, 18.0)), 18.0);
        let texts = ["a", "a very long caption"];
        assert_eq!(size_to_fit(texts, 20.0, (10.0, 18.0)), 10.0);
        let size = size_to_fit(["0.123 · map 4"], 90.0, (10.0, 18.0));
        assert!(size < 18.0 && width("0.123 · map 4", size) <= 90.0);
    }
}
