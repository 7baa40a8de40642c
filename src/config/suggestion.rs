//! What is said of a key that is not known: where it belongs, or which one is meant.

use serde::de::DeserializeOwned;

/// Where keys are, in words, and a text of settings that leads there.
pub(crate) type Table = (&'static str, &'static str);

/// Names are alike from here on, from 0 to 1.
const ALIKE: f64 = 0.8;

/// The message about settings that are no `T`. Of an unknown key it says in which of the `tables` there
/// is a key of that name; if there is none, which key is nearest, in its own table before others.
pub(crate) fn with_suggestion<T: DeserializeOwned>(
    error: &toml::de::Error,
    tables: &[Table],
) -> String {
    let told = error.to_string().trim_end().to_owned();
    match suggestion::<T>(error.message(), tables) {
        Some(suggestion) => format!("{told}\n{suggestion}"),
        None => told,
    }
}

fn suggestion<T: DeserializeOwned>(message: &str, tables: &[Table]) -> Option<String> {
    let names = names(message)?;
    let (wrong, here) = names.split_first()?;
    let keys: Vec<_> = tables
        .iter()
        .map(|&(place, text)| (place, keys::<T>(text)))
        .collect();
    let mut places: Vec<&str> = Vec::new();
    for (place, names) in &keys {
        if names.contains(wrong) && !places.contains(place) {
            places.push(place);
        }
    }
    if !places.is_empty() {
        return Some(format!("`{wrong}` belongs {}", places.join(" or ")));
    }
    if let Some((_, name)) = nearest(wrong, here) {
        return Some(format!("did you mean `{name}`?"));
    }
    let elsewhere = keys.iter().filter_map(|(place, names)| {
        let (alike, name) = nearest(wrong, names)?;
        Some((alike, format!("did you mean `{name}` {place}?")))
    });
    let best = elsewhere.max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(best.1)
}

/// The key most like `wrong` and how alike it is, if one is.
fn nearest<'a>(wrong: &str, names: &'a [String]) -> Option<(f64, &'a String)> {
    let alike = names
        .iter()
        .map(|name| (strsim::jaro_winkler(wrong, name), name));
    let best = alike.max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(alike, _)| *alike >= ALIKE)
}

/// The keys of the table that `text` leads to, as its reader lists them when it finds another.
fn keys<T: DeserializeOwned>(text: &str) -> Vec<String> {
    let error = toml::from_str::<T>(&format!("{text}\nno-such-key = 0")).err();
    let names = error.and_then(|error| names(error.message()));
    names.unwrap_or_default().into_iter().skip(1).collect()
}

/// The key that is not known and those that are, from a message.
fn names(message: &str) -> Option<Vec<String>> {
    let (_, list) = message.split_once("unknown field")?;
    Some(
        list.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect(),
    )
}
