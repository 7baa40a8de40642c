//! Paths in settings, checkpoints and lists, whatever bytes their names are of.
//!
//! A path that is UTF-8 is written as text, any other as the list of its bytes, so that it is found
//! again. Reports are for people: there what is no UTF-8 is replaced.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of a file without its folder, to be shown.
pub(crate) fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// A path as it is written.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Stored {
    /// UTF-8.
    Text(String),
    /// Anything else.
    Bytes(Vec<u8>),
}

impl Stored {
    pub(crate) fn new(path: &Path) -> Self {
        match path.to_str() {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Bytes(bytes(path)),
        }
    }

    pub(crate) fn into_path(self) -> PathBuf {
        match self {
            Self::Text(text) => text.into(),
            Self::Bytes(bytes) => name(bytes).into(),
        }
    }
}

#[cfg(unix)]
fn bytes(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().to_vec()
}

#[cfg(unix)]
fn name(bytes: Vec<u8>) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes)
}

/// Names of other systems are not of bytes; what is no text of theirs is replaced.
#[cfg(not(unix))]
fn bytes(path: &Path) -> Vec<u8> {
    path.to_string_lossy().into_owned().into_bytes()
}

#[cfg(not(unix))]
fn name(bytes: Vec<u8>) -> OsString {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// For a `PathBuf`: `#[serde(with = "crate::files::stored")]`.
pub(crate) mod stored {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        Stored::new(path).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        Ok(Stored::deserialize(from)?.into_path())
    }
}

/// For an `Option<PathBuf>`: `#[serde(default, with = "crate::files::stored_option")]`.
pub(crate) mod stored_option {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        path: &Option<PathBuf>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let stored = path.as_deref().map(Stored::new);
        stored.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<Stored>::deserialize(from)?.map(Stored::into_path))
    }
}

/// A path in a report: `#[serde(serialize_with = "crate::files::lossily")]`.
pub(crate) fn lossily<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    path.to_string_lossy().serialize(serializer)
}

/// Paths in a report.
pub(crate) fn each_lossily<S: Serializer>(
    paths: &[PathBuf],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}

/// A path in a report, if there is one.
pub(crate) fn option_lossily<S: Serializer>(
    path: &Option<PathBuf>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let text = path.as_deref().map(Path::to_string_lossy);
    text.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Record {
        #[serde(with = "stored")]
        path: PathBuf,
        #[serde(default, with = "stored_option")]
        other: Option<PathBuf>,
    }

    #[test]
    fn every_name_survives_json_and_toml() {
        let mut paths = vec![PathBuf::from("a/é.png"), PathBuf::new()];
        if cfg!(unix) {
            paths.push(name(b"a/\xff\n\".png".to_vec()).into());
        }
        for path in paths {
            for other in [None, Some(path.clone())] {
                let path = path.clone();
                let record = Record { path, other };
                let json = serde_json::to_string(&record).unwrap();
                assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record);
                let toml = toml::to_string(&record).unwrap();
                assert_eq!(toml::from_str::<Record>(&toml).unwrap(), record);
            }
        }
    }

    #[test]
    fn a_usual_name_is_plain_text() {
        let (path, other) = ("a/b.png".into(), None);
        let json = serde_json::to_string(&Record { path, other }).unwrap();
        assert_eq!(json, r#"{"path":"a/b.png","other":null}"#);
    }
}
