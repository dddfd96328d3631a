//! How many parameters the two tables may hold, by three ways of saying it.

use std::fmt;
use std::str::FromStr;

use crate::table::Counts;
use crate::{Error, Result};

/// The memory that the users' and the items' table share.
///
/// Read from text as `params=1000000`, `mean=8` or `bytes=10MB` (B, kB, MB, GB by thousands, KiB, MiB, GiB by 1,024).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// So many parameters, whatever the number of entities.
    Params(u64),
    /// So many parameters an entity on average: the budget grows with the entities.
    MeanSize(f64),
    /// So many bytes, of all that [`BudgetOptions::counts`] says.
    Bytes(u64),
}

/// What a budget counts, and the bounds of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetOptions {
    /// Whether the optimizer's state and the row directory count (default: the directory alone, as in a table's account).
    pub counts: Counts,
    /// Numbers of optimizer state for each parameter (default 1, Adagrad's), counted when `counts.optimizer` is set.
    pub optimizer_state: u32,
    /// Least size of a row (default 1; 0 lets a fixed budget survive any number of entities).
    pub d_min: u32,
    /// Largest size of a row (default 64).
    pub d_max: u32,
    /// One parameter more in each item's row, its bias (default: none).
    pub item_bias: bool,
}

impl Default for BudgetOptions {
    fn default() -> Self {
        Self { counts: Counts::default(), optimizer_state: 1, d_min: 1, d_max: 64, item_bias: false }
    }
}

/// Entities that have a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Population {
    /// Users.
    pub users: u32,
    /// Items.
    pub items: u32,
}

impl Population {
    /// Users and items.
    pub fn total(self) -> u64 {
        u64::from(self.users) + u64::from(self.items)
    }
}

/// What a budget comes to for a population.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Parameters that both tables hold together: those of the budget, or less when every row is at its largest.
    pub params: u64,
    /// Those of them that are biases.
    pub biases: u64,
    /// Bytes of the tables, as the budget counts.
    pub bytes: u64,
}

impl Resolved {
    /// Parameters to divide among the rows: without the biases.
    pub fn embedding_params(&self) -> u64 {
        self.params - self.biases
    }
}

impl Budget {
    /// The parameters and bytes of this budget for a population.
    ///
    /// # Errors
    /// [`Error::Infeasible`] when the smallest rows do not fit, in bytes for a budget in bytes and otherwise in
    /// parameters; [`Error::Argument`] for bounds that exclude each other or a mean that is no positive number.
    pub fn resolve(&self, population: Population, options: &BudgetOptions) -> Result<Resolved> {
        let BudgetOptions { d_min, d_max, .. } = *options;
        if d_min > d_max {
            return Err(argument("d_min", format!("at most d_max = {d_max}"), d_min.to_string()));
        }
        let entities = population.total();
        let biases = if options.item_bias { population.items.into() } else { 0 };
        let least = entities * u64::from(d_min) + biases;
        let most = entities * u64::from(d_max) + biases;
        let infeasible = |min, budget, unit| Err(Error::Infeasible { entities, min, budget, unit });
        let params = match *self {
            Self::Params(params) => params,
            Self::MeanSize(mean) if mean.is_finite() && mean >= 0.0 => (mean * entities as f64).floor() as u64,
            Self::MeanSize(mean) => {
                return Err(argument("mean", "a finite number, at least 0".to_owned(), mean.to_string()));
            }
            Self::Bytes(bytes) => {
                let needed = options.bytes(population, least);
                if bytes < needed {
                    return infeasible(needed, bytes, "bytes");
                }
                (bytes - options.bytes(population, 0)) / options.bytes_per_param()
            }
        };
        if params < least {
            return infeasible(least, params, "parameters");
        }
        let params = params.min(most);
        Ok(Resolved { params, biases, bytes: options.bytes(population, params) })
    }
}

impl BudgetOptions {
    fn bytes_per_param(&self) -> u64 {
        4 * if self.counts.optimizer { 1 + u64::from(self.optimizer_state) } else { 1 }
    }

    /// Bytes of two tables with `params` parameters together.
    fn bytes(&self, population: Population, params: u64) -> u64 {
        let directory = if self.counts.metadata { 4 * (population.total() + 2) } else { 0 };
        params.saturating_mul(self.bytes_per_param()).saturating_add(directory)
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Params(params) => write!(f, "params={params}"),
            Self::MeanSize(mean) => write!(f, "mean={mean}"),
            Self::Bytes(bytes) => write!(f, "bytes={bytes}"),
        }
    }
}

impl FromStr for Budget {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |expected: &str| argument("budget", expected.to_owned(), format!("{text:?}"));
        let Some((kind, value)) = text.split_once('=') else {
            return Err(wrong("params=N, mean=C or bytes=N with a unit such as MB or MiB"));
        };
        let value = value.trim();
        match kind.trim() {
            "params" => value.replace('_', "").parse().map(Self::Params).map_err(|_| wrong("params= with an integer")),
            "mean" => match value.parse::<f64>() {
                Ok(mean) if mean.is_finite() && mean > 0.0 => Ok(Self::MeanSize(mean)),
                _ => Err(wrong("mean= with a positive number")),
            },
            "bytes" => bytes(value)
                .map(Self::Bytes)
                .ok_or_else(|| wrong("bytes= with a number and one of B, kB, MB, GB, KiB, MiB, GiB")),
            _ => Err(wrong("params=N, mean=C or bytes=N with a unit such as MB or MiB")),
        }
    }
}

/// Whole bytes of a number with a unit.
fn bytes(text: &str) -> Option<u64> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let unit: u64 = match text[split..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    let number = text[..split].trim().replace('_', "");
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(unit);
    }
    let bytes = number.parse::<f64>().ok()? * unit as f64;
    // f64 holds whole numbers up to 2^53.
    (0.0..9e15).contains(&bytes).then_some(bytes as u64)
}

fn argument(arg: &'static str, expected: String, got: String) -> Error {
    Error::Argument { op: "Budget", arg, expected, got }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POPULATION: Population = Population { users: 30, items: 20 };

    fn resolve(budget: &str, options: BudgetOptions) -> Result<Resolved> {
        budget.parse::<Budget>().unwrap().resolve(POPULATION, &options)
    }

    #[test]
    fn three_ways_to_say_it() {
        let options = BudgetOptions::default();
        let want = Resolved { params: 400, biases: 0, bytes: 4 * 400 + 4 * 52 };
        assert_eq!(resolve("params=400", options).unwrap(), want);
        assert_eq!(resolve("mean=8", options).unwrap(), want);
        assert_eq!(resolve("bytes=1811", options).unwrap(), want);
        let bare = BudgetOptions { counts: Counts { optimizer: false, metadata: false }, ..options };
        assert_eq!(resolve("bytes=1.6kB", bare).unwrap(), Resolved { bytes: 1600, ..want });
        let adam = BudgetOptions { counts: Counts { optimizer: true, metadata: true }, optimizer_state: 2, ..options };
        assert_eq!(resolve("bytes=1811", adam).unwrap().params, (1811 - 208) / 12);
    }

    #[test]
    fn a_mean_grows_with_the_entities_and_bytes_do_not() {
        let options = BudgetOptions::default();
        let many = Population { users: 300, items: 200 };
        assert_eq!(Budget::MeanSize(2.5).resolve(many, &options).unwrap().params, 1250);
        let [few, many] =
            [POPULATION, many].map(|population| Budget::Bytes(10_000).resolve(population, &options).unwrap().bytes);
        assert_eq!([few, many], [10_000, 10_000]);
    }

    #[test]
    fn biases_come_first_and_rows_have_a_largest_size() {
        let options = BudgetOptions { item_bias: true, d_max: 4, ..BudgetOptions::default() };
        let resolved = resolve("params=120", options).unwrap();
        assert_eq!((resolved.params, resolved.biases, resolved.embedding_params()), (120, 20, 100));
        assert_eq!(resolve("params=9999", options).unwrap().params, 50 * 4 + 20);
    }

    #[test]
    fn too_little_is_an_error_in_its_own_unit() {
        let options = BudgetOptions { item_bias: true, ..BudgetOptions::default() };
        let error = resolve("params=69", options).unwrap_err();
        assert!(
            matches!(error, Error::Infeasible { entities: 50, min: 70, budget: 69, unit: "parameters" }),
            "{error}"
        );
        let error = resolve("bytes=400", options).unwrap_err();
        assert!(matches!(error, Error::Infeasible { min: 488, budget: 400, unit: "bytes", .. }), "{error}");
        let empty_rows = BudgetOptions { d_min: 0, ..BudgetOptions::default() };
        assert_eq!(resolve("bytes=208", empty_rows).unwrap().params, 0);
        assert!(Budget::MeanSize(f64::NAN).resolve(POPULATION, &options).is_err());
    }

    #[test]
    fn text_and_back() {
        for (text, want) in [
            ("params=1_000", Budget::Params(1000)),
            ("mean=8.5", Budget::MeanSize(8.5)),
            ("bytes=10MB", Budget::Bytes(10_000_000)),
            ("bytes=512 KiB", Budget::Bytes(524_288)),
            ("bytes=1.5GiB", Budget::Bytes(1_610_612_736)),
            ("bytes=7", Budget::Bytes(7)),
        ] {
            assert_eq!(text.parse::<Budget>().unwrap(), want);
            assert_eq!(want.to_string().parse::<Budget>().unwrap(), want);
        }
        for text in ["", "8", "mean=", "mean=-1", "mean=inf", "params=1.5", "bytes=3XB", "bytes=-1", "size=3"] {
            let error = text.parse::<Budget>().unwrap_err();
            assert!(matches!(error, Error::Argument { op: "Budget", .. }), "{text}: {error}");
        }
    }
}
