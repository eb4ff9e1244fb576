//! Enums whose values have stable names in flags and environment variables.

use std::fmt;

/// A text that names no value of an enum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    /// The text.
    pub given: String,
    /// The names that are known.
    pub known: Vec<&'static str>,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { given, known } = self;
        write!(formatter, "{given:?} is none of {}", known.join(", "))
    }
}

impl std::error::Error for UnknownName {}

/// Gives an enum of unit variants its names: `ALL`, `name`, `Display` and `FromStr`.
macro_rules! names {
    ($enum:ident { $($variant:ident: $name:literal,)+ }) => {
        impl $enum {
            /// All values.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in flags, environment variables and settings files.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        impl std::fmt::Display for $enum {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.name())
            }
        }

        impl std::str::FromStr for $enum {
            type Err = $crate::names::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => Err($crate::names::UnknownName {
                        given: text.to_owned(),
                        known: vec![$($name),+],
                    }),
                }
            }
        }
    };
}

pub(crate) use names;
