//! Pages of results, opened in a browser without a window where there is one.

use std::fs;
use std::path::Path;
use std::process::Command;

use deconvnet::data::scenes;
use deconvnet::picture::save_png;

use super::skipped::skipped;
use super::support::{output, succeeds};

const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Tells in the title what a reader sees: pictures that did not load, requests, and what a click enlarges.
const LOOK: &str = "<script>addEventListener('load',()=>{\
    const small=[...document.querySelectorAll('figure img')];\
    const told={pictures:small.length,broken:small.filter(i=>!i.naturalWidth).length,\
    requests:performance.getEntriesByType('resource').filter(e=>!e.name.startsWith('data:')).length};\
    const large=()=>document.querySelector('.large:target');told.before=!large();\
    document.querySelectorAll('figure a')[small.length-1].click();setTimeout(()=>{\
    const box=large(),image=box&&box.firstChild;\
    told.enlarged=!!box&&getComputedStyle(box).display=='flex'&&image.naturalWidth>0&&\
    image.src==small[small.length-1].src&&image.clientWidth>.9*innerWidth;\
    dispatchEvent(new KeyboardEvent('keydown',{key:'Escape'}));setTimeout(()=>{\
    told.closed=!large();document.title='told '+JSON.stringify(told)+' end'},200)},200)})</script>";

/// What the browser makes of a page once its scripts have run.
fn opened(browser: &str, page: &Path, fragment: &str, more: &[&str]) -> String {
    let url = format!("file://{}{fragment}", page.display());
    let mut command = Command::new(browser);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=5000",
    ]);
    let (code, out, err) = output(command.args(more).arg(url));
    assert_eq!(code, 0, "{err}");
    out
}

#[test]
fn pages_open_offline_and_a_click_enlarges() {
    let runs = |name: &&&str| {
        Command::new(name)
            .arg("--version")
            .output()
            .is_ok_and(|o| o.status.success())
    };
    let Some(browser) = BROWSERS.iter().find(runs) else {
        return skipped("browser", "no Chromium or Chrome is on the path");
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeeds(
        folder,
        "convnet train --samples 30 --size 16 --width 0.06 --batch 10 --epochs 1 --run mine",
    );
    fs::create_dir(folder.join("images")).unwrap();
    for k in 0..3 {
        let path = folder.join(format!("images/a-{k}<&\".png"));
        save_png(&scenes::sample(0, 16, k), path).unwrap();
    }
    let model = "--preset plain --images images --model checkpoints/mine/model-epoch001.onnx";
    succeeds(
        folder,
        &format!("convnet strongest {model} --layers conv1,conv2 --maps 3"),
    );
    let image = "--image images/a-0<&\".png";
    succeeds(
        folder,
        &format!("convnet occlude {model} {image} --side 6 --step 4"),
    );
    for name in ["strongest/strongest.html", "occlusion/occlusion.html"] {
        let page = folder.join(name);
        let html = fs::read_to_string(&page).unwrap();
        let looked = folder.join("looked.html");
        fs::write(&looked, html.replace("</html>", &format!("{LOOK}</html>"))).unwrap();
        let dom = opened(browser, &looked, "", &["--dump-dom"]);
        let told = dom
            .split_once("told ")
            .and_then(|(_, rest)| rest.split_once(" end"));
        let told = told
            .unwrap_or_else(|| panic!("{name}: {dom}"))
            .0
            .replace("&quot;", "\"");
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        let pictures = html.matches("<figure>").count();
        let expected = serde_json::json!({"pictures": pictures, "broken": 0, "requests": 0,
            "before": true, "enlarged": true, "closed": true});
        assert_eq!(told, expected, "{name}");
        // A link to a figure shows it at once.
        let dom = opened(browser, &page, "#f1", &["--dump-dom"]);
        assert_eq!(
            dom.matches("src=\"data:image/png").count(),
            pictures + 1,
            "{name}"
        );
    }
}
