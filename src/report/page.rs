//! One self-contained page: pictures and words, opens offline, nothing is loaded from anywhere.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::data::Image;
use crate::error::Result;
use crate::picture;

/// A page made of sections of figures; a click on a figure shows it large.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    title: String,
    body: String,
    figures: usize,
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;\
color:#222;background:#fff}h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.5rem}\
.figures{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0;max-width:100%}\
figcaption{font-size:.85rem;color:#666}img{max-width:100%;image-rendering:pixelated}\
.small img{height:9rem;object-fit:contain;object-position:left}.large{display:none}.large:target{display:flex;position:fixed;inset:0;\
background:#000d;align-items:center;justify-content:center;z-index:1}\
.large img{width:95vw;height:95vh;object-fit:contain}nav a{margin-right:1rem}\
table{border-collapse:collapse}td,th{padding:.15rem .8rem;text-align:left;border-bottom:1px solid #ddd}";

impl Page {
    /// An empty page.
    pub fn new(title: &str) -> Self {
        Self {
            title: title.to_string(),
            ..Self::default()
        }
    }

    /// A heading.
    pub fn section(&mut self, heading: &str) {
        let heading = escaped(heading);
        let _ = write!(self.body, "<h2>{heading}</h2>");
    }

    /// A paragraph.
    pub fn words(&mut self, words: &str) {
        let words = escaped(words);
        let _ = write!(self.body, "<p>{words}</p>");
    }

    /// A row of figures with captions.
    ///
    /// # Errors
    /// [`crate::Error::Input`] where a picture cannot be drawn.
    pub fn figures<'a>(
        &mut self,
        small: bool,
        figures: impl IntoIterator<Item = (&'a Image, String)>,
    ) -> Result<()> {
        let class = if small { "figures small" } else { "figures" };
        let _ = write!(self.body, "<div class=\"{class}\">");
        for (image, caption) in figures {
            self.figures += 1;
            let (number, caption) = (self.figures, escaped(&caption));
            let data = STANDARD.encode(picture::png_bytes(image)?);
            let _ = write!(
                self.body,
                "<figure><a href=\"#f{number}\"><img src=\"data:image/png;base64,{data}\" alt=\"{caption}\"></a>\
                 <figcaption>{caption}</figcaption></figure>\
                 <a class=\"large\" id=\"f{number}\" href=\"#\"><img alt=\"{caption}\"></a>"
            );
        }
        self.body.push_str("</div>");
        Ok(())
    }

    /// The document.
    pub fn html(&self) -> String {
        let title = escaped(&self.title);
        // The large picture borrows the small one's bytes, so that each is in the file once.
        let script = "const show=()=>{const t=document.querySelector('.large:target');\
            if(t)t.firstChild.src=t.previousElementSibling.querySelector('img').src};\
            addEventListener('hashchange',show);addEventListener('load',show);\
            addEventListener('keydown',e=>{if(e.key=='Escape')location.hash=''})";
        format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
             <style>{STYLE}</style><h1>{title}</h1>{}<script>{script}</script></html>\n",
            self.body
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_everything_and_escapes_words() {
        let mut page = Page::new("a < b");
        page.section("one & two");
        let image = Image::zeros(1, 2, 2);
        page.figures(true, [(&image, "\"first\"".to_string())])
            .unwrap();
        let html = page.html();
        assert!(html.contains("a &lt; b") && html.contains("one &amp; two"));
        assert!(html.contains("data:image/png;base64,iVBOR") && html.contains("&quot;first&quot;"));
        assert!(!html.contains("http"));
    }
}
