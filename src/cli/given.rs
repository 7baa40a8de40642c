//! A group of flags, with which of them were typed: what is idle can then be refused.

use clap::{ArgMatches, Args, Command, FromArgMatches, Id};

use crate::error::{Error, Result};

/// Flags, and the names of those that were given.
#[derive(Debug)]
pub struct Given<T> {
    pub args: T,
    names: Vec<String>,
}

impl<T> Given<T> {
    /// The flags that were given, without dashes in front.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

/// # Errors
/// [`Error::Config`] for the first of these flags, if there is one.
pub fn refuse<'a>(mut flags: impl Iterator<Item = &'a str>, what: &str) -> Result<()> {
    match flags.next() {
        Some(flag) => Err(Error::Config(format!(
            "--{flag} is of no use with {what}; leave it out"
        ))),
        None => Ok(()),
    }
}

impl<T: Args> Args for Given<T> {
    fn group_id() -> Option<Id> {
        T::group_id()
    }

    fn augment_args(command: Command) -> Command {
        T::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        T::augment_args_for_update(command)
    }
}

impl<T: Args> FromArgMatches for Given<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        // A group has those of its flags that were typed, defaults not among them.
        let ids = T::group_id().and_then(|group| matches.get_many::<Id>(group.as_str()));
        let names = ids.into_iter().flatten();
        Ok(Self {
            args: T::from_arg_matches(matches)?,
            names: names.map(|id| id.as_str().replace('_', "-")).collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
