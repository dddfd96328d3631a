//! What follows from the list of codecs.

/// Makes [`Format`], [`Values`], and the macros that go from a format to its code, from the list of codecs.
macro_rules! codecs {
    ($d:tt $($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        /// What a value is stored as. Kernels compute in f32 in any case.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Format {
            $($(#[$doc])* $name,)*
        }

        impl Format {
            /// Every format, in the order of the list.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }

        /// The values of a page, or of rows on the host.
        #[derive(Debug)]
        #[non_exhaustive]
        pub enum Values {
            $(
                #[doc = concat!("Stored as [`", stringify!($name), "`](Format::", stringify!($name), ").")]
                $name(Buffer<$type>),
            )*
        }

        $(
            impl Stored for $type {
                const FORMAT: Format = Format::$name;

                fn of(values: &Values) -> Option<&Buffer<Self>> {
                    if let Values::$name(values) = values { Some(values) } else { None }
                }

                fn of_mut(values: &mut Values) -> Option<&mut Buffer<Self>> {
                    if let Values::$name(values) = values { Some(values) } else { None }
                }

                fn values(buffer: Buffer<Self>) -> Values {
                    Values::$name(buffer)
                }
            }
        )*

        /// Evaluates an expression with the type that stores values of a format. No other place goes from a format to
        /// code.
        macro_rules! with_codec {
            ($d format:expr, $d codec:ident => $d body:expr) => {
                match $d format {
                    $($d crate::rows::Format::$name => {
                        type $d codec = $type;
                        $d body
                    })*
                }
            };
        }

        /// Evaluates an expression with the buffer of [`Values`], whatever its type.
        macro_rules! with_values {
            ($d values:expr, $d buffer:ident => $d body:expr) => {
                match $d values {
                    $($d crate::rows::Values::$name($d buffer) => $d body,)*
                }
            };
        }
    };
}
