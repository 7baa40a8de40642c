//! Names of choices, written once.

use crate::error::{Error, Result};

/// `ALL`, `name`, `Display` and `FromStr` of an enum without fields, from the name of each variant.
macro_rules! named {
    ($what:literal, $choice:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $choice {
            /// All of them.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// The name used by flags, settings and tables.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }

        impl std::fmt::Display for $choice {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $choice {
            type Err = crate::error::Error;

            fn from_str(name: &str) -> crate::error::Result<Self> {
                crate::named::find($what, name, &Self::ALL, Self::name)
            }
        }
    };
}

pub(crate) use named;

/// The choice of a name.
///
/// # Errors
/// [`Error::Config`] with all names.
pub(crate) fn find<T: Copy>(
    what: &str,
    name: &str,
    all: &[T],
    name_of: fn(T) -> &'static str,
) -> Result<T> {
    let found = all.iter().copied().find(|&one| name_of(one) == name);
    found.ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|&one| name_of(one)).collect();
        let (last, others) = names.split_last().unwrap_or((&"", &[]));
        Error::Config(format!(
            "there is no {what} '{name}'; choose {} or {last}",
            others.join(", ")
        ))
    })
}
