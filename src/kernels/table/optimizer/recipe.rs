//! How everything about an optimizer apart from its formula is written down. What follows from that, checks, names and
//! texts, is in `properties.rs`.
//!
//! # Adding an optimizer
//! Its recipe in `list.rs`, its formula for the CPU and its oracle in `formulas.rs`, the formula again in
//! `shaders/common/formulas.wgsl`, and a line in the changelog. The state that tables hold, the file of a table,
//! checks, command lines and tests follow from the recipe.

use super::constants::Formula;
use crate::rows::StateSize;

/// An optimizer, apart from its formula.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    /// Its name in files and on command lines.
    pub name: &'static str,
    /// The variant of [`Optimizer`](super::Optimizer), which two names may share.
    pub variant: &'static str,
    /// The variant's flag, as this name sets it.
    pub flag: bool,
    pub(super) formula: Formula,
    /// The numbers of state: those of values, then those of rows.
    pub state: &'static [State],
    /// In the order of the variant's fields.
    pub constants: &'static [Constant],
}

/// A number of state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    /// What it is.
    pub name: &'static str,
    /// Whether a row has one, not each of its values.
    pub of_row: bool,
}

const fn of_value(name: &'static str) -> State {
    State { name, of_row: false }
}

const fn of_row(name: &'static str) -> State {
    State { name, of_row: true }
}

pub(super) const VELOCITY: State = of_value("velocity");
pub(super) const AVERAGE: State = of_value("average of gradients");
pub(super) const SUM_OF_ADJUSTED: State = of_value("sum of adjusted gradients");
pub(super) const SUM_OF_SQUARES: State = of_value("sum of squares");
pub(super) const AVERAGE_OF_SQUARES: State = of_value("average of squares");
pub(super) const SUM_OF_ROW: State = of_row("sum of mean squares");
pub(super) const AVERAGE_OF_ROW: State = of_row("average of mean squares");

/// A constant of an optimizer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Constant {
    /// The field's name.
    pub field: &'static str,
    /// Its name in files and on command lines.
    pub name: &'static str,
    pub kind: Kind,
    /// What it is where an optimizer is chosen by its name alone.
    pub default: f32,
}

/// Where the formulas find a constant, and what it may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(super) slot: Slot,
    pub(super) domain: Domain,
    /// Of a share of an old average: whether the average is corrected for its start at zero.
    pub(super) corrects: bool,
}

/// The formulas' name for a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    LearningRate,
    Beta1,
    Beta2,
    Epsilon,
    /// Of weights, times the learning rate.
    Decay,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Domain {
    Finite,
    Positive,
    NotNegative,
    Share,
}

const fn kind(slot: Slot, domain: Domain) -> Kind {
    Kind { slot, domain, corrects: false }
}

pub(super) const RATE: Kind = kind(Slot::LearningRate, Domain::Finite);
pub(super) const POSITIVE_RATE: Kind = kind(Slot::LearningRate, Domain::Positive);
pub(super) const SHARE: Kind = kind(Slot::Beta1, Domain::Share);
pub(super) const CORRECTED_SHARE: Kind = Kind { corrects: true, ..SHARE };
pub(super) const CORRECTED_SHARE_OF_SQUARES: Kind = Kind { corrects: true, ..SHARE_OF_SQUARES };
pub(super) const SHARE_OF_SQUARES: Kind = kind(Slot::Beta2, Domain::Share);
/// At 0 a first gradient of 0, which a short row's partner gives, would be 0 / 0.
pub(super) const EPSILON: Kind = kind(Slot::Epsilon, Domain::Positive);
/// FTRL's constants, where its formula finds them.
pub(super) const BETA: Kind = kind(Slot::Epsilon, Domain::NotNegative);
pub(super) const L1: Kind = kind(Slot::Beta1, Domain::NotNegative);
pub(super) const L2: Kind = kind(Slot::Beta2, Domain::NotNegative);
pub(super) const DECAY: Kind = kind(Slot::Decay, Domain::NotNegative);

impl Domain {
    pub fn has(self, value: f32) -> bool {
        match self {
            Self::Finite => value.is_finite(),
            Self::Positive => value.is_finite() && value > 0.0,
            Self::NotNegative => value.is_finite() && value >= 0.0,
            Self::Share => (0.0..1.0).contains(&value),
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::Finite => "finite",
            Self::Positive => "finite and above 0",
            Self::NotNegative => "finite and not negative",
            Self::Share => "at least 0 and below 1",
        }
    }
}

/// The largest number of constants of an optimizer.
pub(super) const MOST_CONSTANTS: usize = 5;

/// Makes the enum `Optimizer`, the recipes, and the ways between them, from the list of optimizers.
macro_rules! optimizers {
    ($(
        $(#[$doc:meta])*
        $variant:ident: $name:literal => $formula:ident, [$($state:ident),*], {
            $($(#[$field_doc:meta])* $field:ident $(as $key:literal)?: $kind:ident = $default:literal,)*
        } $(or { $(#[$flag_doc:meta])* $flag:ident: $flag_name:literal => $flag_formula:ident, })?;
    )*) => {
        /// How a row moves along its gradient.
        ///
        /// Optimizers with state are lazy: in a sparse update only the rows of the batch move, and the state of the
        /// others stays as it is.
        ///
        /// Each has a [name](Self::name) for command lines and files, followed by the constants that are not the usual
        /// ones:
        ///
        /// ```
        /// use scall_gpu::kernels::table::optimizer::Optimizer;
        /// let adam: Optimizer = "adam:learning_rate=0.01".parse()?;
        /// assert_eq!(adam, Optimizer::Adam { learning_rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 });
        /// assert_eq!(adam.to_string(), "adam:learning_rate=0.01,beta1=0.9,beta2=0.999,epsilon=1e-8");
        /// # Ok::<(), scall_gpu::Error>(())
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Optimizer {
            $(
                $(#[$doc])*
                #[doc = concat!("\n\nBy name: `", $name, "`" $(, " or `", $flag_name, "`")?, ".")]
                $variant {
                    $(
                        $(#[$field_doc])*
                        #[doc = concat!("\n\nBy name: " $(, "`", $key, "`, ")?, stringify!($default), ".")]
                        $field: f32,
                    )*
                    $($(#[$flag_doc])* $flag: bool,)?
                },
            )*
        }

        /// A recipe of each variant, by the variant's name.
        #[expect(non_upper_case_globals, reason = "they are named as the variants")]
        mod of {
            use super::*;
            use super::super::recipe::name_of;

            $(pub const $variant: Recipe = Recipe {
                name: $name,
                variant: stringify!($variant),
                flag: false,
                formula: Formula::$formula,
                state: &[$($state),*],
                constants: &[$(Constant {
                    field: stringify!($field),
                    name: name_of(stringify!($field), &[$($key)?]),
                    kind: $kind,
                    default: $default,
                }),*],
            };)*
        }

        impl Optimizer {
            /// Every recipe, in the order of the list.
            pub(crate) const RECIPES: &[Recipe] = &[$(
                of::$variant,
                $(Recipe { name: $flag_name, flag: true, formula: Formula::$flag_formula, ..of::$variant },)?
            )*];

            /// The variant's name, and its flag, false where it has none.
            pub(super) fn variant(&self) -> (&'static str, bool) {
                match *self {
                    $(Self::$variant { $($flag,)? .. } => (of::$variant.variant, false $(|| $flag)?),)*
                }
            }

            /// Its constants in the recipe's order, and zeros after them.
            pub(super) fn values(&self) -> [f32; MOST_CONSTANTS] {
                let mut values = [0.0; MOST_CONSTANTS];
                match *self {
                    $(Self::$variant { $($field,)* .. } => {
                        let own = [$($field),*];
                        values[..own.len()].copy_from_slice(&own);
                    })*
                }
                values
            }

            /// An optimizer by its recipe, with constants from elsewhere.
            pub(crate) fn from_recipe<E>(
                recipe: &Recipe,
                mut constant: impl FnMut(&'static Constant) -> Result<f32, E>,
            ) -> Result<Self, E> {
                let mut constants = recipe.constants.iter();
                let mut next = || constant(constants.next().expect("a constant for each field"));
                $(if recipe.variant == of::$variant.variant {
                    return Ok(Self::$variant { $($field: next()?,)* $($flag: recipe.flag,)? });
                })*
                panic!("no optimizer {}", recipe.variant)
            }
        }
    };
}
pub(super) use optimizers;

/// The name of a constant: the field's, unless another is given.
pub(super) const fn name_of(field: &'static str, other: &[&'static str]) -> &'static str {
    if other.is_empty() { field } else { other[0] }
}

impl Recipe {
    /// Numbers of state that it keeps.
    pub const fn state_size(&self) -> StateSize {
        let mut size = StateSize { per_value: 0, per_row: 0 };
        let mut number = 0;
        while number < self.state.len() {
            if self.state[number].of_row {
                size.per_row += 1;
            } else {
                size.per_value += 1;
            }
            number += 1;
        }
        size
    }

    /// Whether it has weight decay of its own.
    pub(super) fn decays(&self) -> bool {
        self.constants.iter().any(|constant| constant.kind.slot == Slot::Decay)
    }
}
