//! Names of choices, written once.

use crate::error::{Error, Result};

/// An enum without fields with a name for each variant, which serde, `ALL`, `name`, `Display` and `FromStr` go by:
///
/// ```text
/// named! {
///     /// What passes.
///     #[derive(Default)]
///     pub enum Rule: "rule" {
///         /// What is positive.
///         #[default]
///         Deconvnet = "deconvnet",
///     }
/// }
/// ```
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

    (
        $(#[$of_all:meta])*
        $visible:vis enum $choice:ident: $what:literal {
            $($(#[$of_one:meta])* $variant:ident = $name:literal),+ $(,)?
        }
    ) => {
        $(#[$of_all])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        $visible enum $choice {
            $($(#[$of_one])* #[serde(rename = $name)] $variant),+
        }

        crate::named::named!($what, $choice { $($variant = $name),+ });
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
