//! What follows from an optimizer's recipe: its properties, the domains of its constants, its text.

use std::fmt;
use std::str::FromStr;

use super::list::Optimizer;
use super::recipe::{Constant, Recipe, Slot};
use crate::check;
use crate::rows::StateSize;
use crate::{Error, Result};

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
