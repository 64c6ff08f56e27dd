//! Enums whose variants users call by name, in flags and in results.

/// Gives an enum `ALL` its variants, the `name` of each, and both conversions. The first argument is
/// what an error calls the kind of thing.
macro_rules! named {
    ($what:literal, $kind:ident { $first:ident: $first_name:literal $(, $other:ident: $name:literal)* }) => {
        impl $kind {
            /// Every one there is.
            pub const ALL: &'static [Self] = &[Self::$first $(, Self::$other)*];

            /// The name in flags and results.
            pub fn name(self) -> &'static str {
                match self {
                    Self::$first => $first_name,
                    $(Self::$other => $name,)*
                }
            }
        }

        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $kind {
            type Err = $crate::Error;

            fn from_str(name: &str) -> $crate::Result<Self> {
                let found = Self::ALL.iter().find(|one| one.name() == name);
                found.copied().ok_or_else(|| $crate::Error::UnknownName {
                    what: $what,
                    expected: concat!($first_name $(, ", ", $name)*),
                    found: name.to_owned(),
                })
            }
        }
    };
}
pub(crate) use named;
