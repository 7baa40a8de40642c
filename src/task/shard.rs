//! Images shared out to several calls, or to the processes of one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::group::Group;

/// One of several calls that share the images of a folder, such as `2/8`. The images are dealt out in
/// turn by their sorted paths: neighbours are often alike in size, and so every shard gets some of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shard {
    /// Which, from 1.
    number: usize,
    /// Out of how many.
    of: usize,
}

impl Shard {
    /// All of so many shards.
    pub fn all(of: usize) -> impl Iterator<Item = Self> {
        (1..=of).map(move |number| Self { number, of })
    }

    /// Out of how many it is.
    pub fn count(self) -> usize {
        self.of
    }

    /// Shard `number`, from 1, of `of`.
    ///
    /// # Errors
    /// [`Error::Config`] where there is no such shard.
    pub fn new(number: usize, of: usize) -> Result<Self> {
        match (1..=of).contains(&number) {
            true => Ok(Self { number, of }),
            false => Err(Error::Config(format!(
                "there is no shard {number}/{of}; of {of} shards they are 1/{of} to {of}/{of}"
            ))),
        }
    }

    /// The shard of this member of a group, where there are others.
    pub fn of_member(group: &Group) -> Option<Self> {
        let (number, of) = (group.rank() + 1, group.size());
        (!group.is_alone()).then_some(Self { number, of })
    }

    /// Whether the image of this index, from 0, is one of its own.
    pub fn has(self, index: usize) -> bool {
        index % self.of == self.number - 1
    }

    /// The index among all images of its own image `k`, both from 0.
    pub fn index(self, k: usize) -> usize {
        self.number - 1 + k * self.of
    }

    /// What the names of its files have more than those of a call that codes all images.
    pub fn part(self) -> String {
        format!("-{}-of-{}", self.number, self.of)
    }

    /// The shard whose file for programs has this name, beside `STEM.json` of a call that has all images.
    pub fn of_file(stem: &str, name: &str) -> Option<Self> {
        let part = name.strip_prefix(stem)?.strip_suffix(".json")?;
        let (number, of) = part.strip_prefix('-')?.split_once("-of-")?;
        Self::new(number.parse().ok()?, of.parse().ok()?).ok()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers = text
            .split_once('/')
            .and_then(|(number, of)| Some((number.trim().parse().ok()?, of.trim().parse().ok()?)));
        match numbers {
            Some((number, of)) if of > 0 => Self::new(number, of),
            _ => Err(Error::Config(format!(
                "'{text}' is no shard: write which and out of how many, such as 2/8 for the second of \
                 eight"
            ))),
        }
    }
}

/// What a shard says of itself in its table for programs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// The shard.
    pub shard: Shard,
    /// The paths of its images below the folder of images, sorted.
    pub names: Vec<String>,
    /// How many images all shards have together.
    pub all: usize,
    /// Checksum of the paths of all of them: another one is that of another folder.
    pub crc32: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_deal_out_every_image_once() {
        for of in 1..5 {
            let shards: Vec<_> = (1..=of).map(|n| Shard::new(n, of).unwrap()).collect();
            for index in 0..7 {
                let mine: Vec<_> = shards.iter().filter(|shard| shard.has(index)).collect();
                assert!(matches!(mine[..], [_]), "{index} of {of}");
                let before = (0..index).filter(|&i| mine[0].has(i)).count();
                assert_eq!(mine[0].index(before), index);
            }
        }
    }

    #[test]
    fn what_is_no_shard_is_told() {
        let shard: Shard = "2/8".parse().unwrap();
        assert_eq!(
            (shard.to_string().as_str(), shard.part().as_str()),
            ("2/8", "-2-of-8")
        );
        assert_eq!(Shard::of_file("table", "table-2-of-8.json"), Some(shard));
        for name in [
            "table.json",
            "table-2-of-8.csv",
            "table-9-of-8.json",
            "table-a-of-8.json",
        ] {
            assert_eq!(Shard::of_file("table", name), None, "{name}");
        }
        for text in ["0/3", "4/3", "1/0", "1", "a/b", "-1/3", "1/3/5", ""] {
            let error = text.parse::<Shard>().unwrap_err().to_string();
            assert!(error.contains("shard"), "{text}: {error}");
        }
    }
}
