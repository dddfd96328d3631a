//! Everything about an optimizer apart from its formula, and what follows from that: checks, names, files.
//!
//! # Adding an optimizer
//! Its recipe in `list.rs`, its formula for the CPU and its oracle in `formulas.rs`, the formula again in
//! `shaders/common/optimizer.wgsl`, and a line in the changelog. The state that tables hold, the file of a table,
//! checks, command lines and tests follow from the recipe.

use std::fmt;
use std::str::FromStr;

use super::Optimizer;
use super::formulas::Formula;
use crate::check;
use crate::rows::StateSize;
use crate::{Error, Result};

/// An optimizer, apart from its formula.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    /// Its name in files and on command lines.
    pub name: &'static str,
    /// The variant of [`Optimizer`], which two names may share.
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
    domain: Domain,
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
enum Domain {
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
    fn has(self, value: f32) -> bool {
        match self {
            Self::Finite => value.is_finite(),
            Self::Positive => value.is_finite() && value > 0.0,
            Self::NotNegative => value.is_finite() && value >= 0.0,
            Self::Share => (0.0..1.0).contains(&value),
        }
    }

    fn words(self) -> &'static str {
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

/// Makes [`Optimizer`], the recipes, and the ways between them, from the list of optimizers.
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

impl Optimizer {
    pub(crate) fn recipe(&self) -> &'static Recipe {
        let (variant, flag) = self.variant();
        let found = Self::RECIPES.iter().find(|recipe| recipe.variant == variant && recipe.flag == flag);
        found.expect("a recipe for every optimizer")
    }

    /// The names of all optimizers.
    pub fn names() -> impl ExactSizeIterator<Item = &'static str> {
        Self::RECIPES.iter().map(|recipe| recipe.name)
    }

    /// Its name in files and on command lines.
    pub fn name(&self) -> &'static str {
        self.recipe().name
    }

    /// Its constants by name.
    pub fn constants(&self) -> impl ExactSizeIterator<Item = (&'static str, f32)> {
        self.recipe().constants.iter().map(|constant| constant.name).zip(self.values())
    }

    /// What each of its numbers of state is, in the order of their buffers.
    ///
    /// ```
    /// use scall_gpu::kernels::table::optimizer::Optimizer;
    /// let adam: Optimizer = "row_wise_adam".parse()?;
    /// assert!(adam.state_names().eq(["average of gradients", "average of mean squares"]));
    /// assert_eq!((adam.state_size().per_value, adam.state_size().per_row), (1, 1));
    /// # Ok::<(), scall_gpu::Error>(())
    /// ```
    pub fn state_names(&self) -> impl ExactSizeIterator<Item = &'static str> {
        self.recipe().state.iter().map(|state| state.name)
    }

    /// Numbers of state that it keeps: first those of values, then those of rows.
    pub fn state_size(&self) -> StateSize {
        self.recipe().state_size()
    }

    /// The step size.
    pub fn learning_rate(&self) -> f32 {
        let mut constants = self.recipe().constants.iter().zip(self.values());
        constants.find(|(constant, _)| constant.kind.slot == Slot::LearningRate).expect("every optimizer has one").1
    }

    /// The same with another step size.
    pub fn with_learning_rate(self, rate: f32) -> Self {
        let mut values = self.values().into_iter();
        let same_or_rate = |constant: &Constant| {
            let value = values.next().expect("a value for each constant");
            Ok::<_, Error>(if constant.kind.slot == Slot::LearningRate { rate } else { value })
        };
        Self::from_recipe(self.recipe(), same_or_rate).expect("nothing that can fail")
    }

    /// Domain of the constants.
    pub(super) fn check(&self, op: &'static str) -> Result<()> {
        self.recipe().constants.iter().zip(self.values()).try_for_each(|(&Constant { field, kind, .. }, value)| {
            check::domain(op, field, value, kind.domain.has(value), kind.domain.words())
        })
    }
}

/// Its name, then its constants: `adam:learning_rate=0.001,beta1=0.9,beta2=0.999,epsilon=1e-8`, as [`FromStr`] reads
/// it.
impl fmt::Display for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        for (number, (name, value)) in self.constants().enumerate() {
            // `{:?}` is the shortest text that gives the same number back.
            write!(f, "{}{name}={value:?}", if number == 0 { ':' } else { ',' })?;
        }
        Ok(())
    }
}

/// Reads a name, and after a colon those constants that are not the usual ones: `adam`, `adam:epsilon=1e-6,beta1=0.8`.
///
/// # Errors
/// [`Error::Argument`] for a name or a constant that there is not, a constant twice, or one that is no number or
/// outside its domain.
impl FromStr for Optimizer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let op = "Optimizer";
        let wrong = |arg, expected: String, got: &str| Error::Argument { op, arg, expected, got: format!("{got:?}") };
        let (name, constants) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
        let Some(recipe) = Self::RECIPES.iter().find(|recipe| recipe.name == name) else {
            return Err(wrong("name", one_of(Self::names()), name));
        };
        let mut given = vec![None; recipe.constants.len()];
        for part in constants.iter().flat_map(|constants| constants.split(',')) {
            let Some((name, value)) = part.split_once('=') else {
                return Err(wrong("constants", "NAME=NUMBER, with commas between".to_owned(), part));
            };
            let Some(number) = recipe.constants.iter().position(|constant| constant.name == name) else {
                let names = one_of(recipe.constants.iter().map(|constant| constant.name));
                return Err(wrong("constants", format!("of {}: {names}", recipe.name), name));
            };
            let Constant { field, .. } = recipe.constants[number];
            let value = value.parse::<f32>().map_err(|_| wrong(field, "a number".to_owned(), value))?;
            if given[number].replace(value).is_some() {
                return Err(wrong(field, "given once".to_owned(), text));
            }
        }
        let mut given = given.into_iter();
        let optimizer =
            Self::from_recipe(recipe, |constant| Ok::<_, Error>(given.next().flatten().unwrap_or(constant.default)))?;
        optimizer.check(op)?;
        Ok(optimizer)
    }
}

fn one_of(names: impl Iterator<Item = &'static str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
