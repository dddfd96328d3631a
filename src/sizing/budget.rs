//! What the embedding tables of users and items may hold together.

use std::fmt;
use std::str::FromStr;

use crate::rows::Layout;
use crate::rows::StateSize;
use crate::table::Counts;
use crate::{Error, Result};

/// The size of a budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// So many parameters (values), for ever.
    Params(u64),
    /// So many parameters an entity, on average: grows with the entities (SCALL's budget mode c).
    MeanSize(f64),
    /// So many bytes, for ever (SCALL's budget mode B), of what the budget counts.
    Bytes(u64),
}

/// How many entities need a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Population {
    /// Users.
    pub users: u32,
    /// Items.
    pub items: u32,
}

impl Population {
    /// Users and items together.
    pub fn entities(&self) -> u64 {
        u64::from(self.users) + u64::from(self.items)
    }
}

/// A budget, what it counts, and the bounds of a row's size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// How much.
    pub amount: Amount,
    /// What counts besides the values, where the amount is in bytes.
    pub counts: Counts,
    /// Optimizer state, for a budget that counts it.
    pub state: StateSize,
    /// How rows lie in memory (default: f32, packed). Of aligned rows and of f16, a budget in bytes expects that each row leaves as much
    /// unused as one can.
    pub layout: Layout,
    /// One parameter of each item row is a bias, beside its dims.
    pub item_bias: bool,
    /// Least size of a row (default 1, as in the paper; 0 lets a fixed budget survive any number of entities).
    pub d_min: u32,
    /// Largest size of a row (default 64).
    pub d_max: u32,
}

/// A budget for a population.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Parameters that the tables may hold.
    pub params: u64,
    /// Those of them that are dims to divide among the rows; the rest are biases.
    pub dims: u64,
    /// The budget in bytes of what it counts.
    pub bytes: u64,
}

impl Budget {
    /// A budget with the defaults: values and row directory counted, a bias an item, sizes 1 to 64.
    pub fn new(amount: Amount) -> Self {
        let (counts, state) = (Counts::default(), StateSize::default());
        Self { amount, counts, state, layout: Layout::default(), item_bias: true, d_min: 1, d_max: 64 }
    }

    /// What the budget is for this population.
    ///
    /// # Errors
    /// [`Error::Infeasible`] when it has no room for rows of the least size; [`Error::Argument`] for bounds or a mean
    /// size outside their domain.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::sizing::{Amount, Budget, Population};
    /// let budget = Budget::new(Amount::MeanSize(8.0));
    /// let resolved = budget.resolve(Population { users: 100, items: 50 })?;
    /// assert_eq!((resolved.params, resolved.dims), (1200, 1150));
    /// // 4 bytes a parameter, 2 for each row, and 8 for what the directory of each table has amid a word and a block.
    /// assert_eq!(resolved.bytes, 4 * 1200 + 2 * 150 + 2 * 8);
    /// # Ok::<(), scall_gpu::Error>(())
    /// ```
    pub fn resolve(&self, population: Population) -> Result<Resolved> {
        let wrong = |arg, expected: &str, got: String| Error::Argument {
            op: "Budget::resolve",
            arg,
            expected: expected.to_owned(),
            got,
        };
        if self.d_min > self.d_max || self.d_max == 0 {
            return Err(wrong("d_max", "at least 1 and at least d_min", self.d_max.to_string()));
        }
        let entities = population.entities();
        let state = if self.counts.optimizer { self.state } else { StateSize::default() };
        let a_value = self.layout.format.bytes() + state.bytes(0, 1);
        let between = entities * u64::from(self.layout.alignment() - 1) * a_value;
        let widest = self.d_max.saturating_add(self.item_bias.into());
        let directory = |values| match self.counts.metadata {
            true => self.layout.metadata_bytes_at_most(2, entities, values, widest),
            false => 0,
        };
        let fixed = |values| directory(values).saturating_add(between + state.bytes(entities, 0));
        let biases = if self.item_bias { u64::from(population.items) } else { 0 };
        let least = entities * u64::from(self.d_min) + biases;
        let params = match self.amount {
            Amount::Params(params) => params,
            Amount::MeanSize(mean) if mean.is_finite() && mean >= 0.0 => (mean * entities as f64).floor() as u64,
            Amount::MeanSize(mean) => return Err(wrong("mean", "finite and not negative", mean.to_string())),
            Amount::Bytes(bytes) => {
                let fixed = fixed(bytes / a_value);
                let min = fixed + a_value * least;
                if bytes < min {
                    return Err(Error::Infeasible { entities, min, budget: bytes, unit: "bytes" });
                }
                (bytes - fixed) / a_value
            }
        };
        if params < least {
            return Err(Error::Infeasible { entities, min: least, budget: params, unit: "parameters" });
        }
        let bytes = match self.amount {
            Amount::Bytes(bytes) => bytes,
            // A budget past 2^64 bytes is one without end.
            _ => params.saturating_mul(a_value).saturating_add(fixed(params)),
        };
        Ok(Resolved { params, dims: params - biases, bytes })
    }
}

impl FromStr for Amount {
    type Err = Error;

    /// Reads `mean=8`, `params=100000`, or `bytes=10MB` (B, kB, MB, GB by 1000; KiB, MiB, GiB by 1024).
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::Argument {
            op: "Amount",
            arg: "budget",
            expected: "mean=NUMBER, params=COUNT or bytes=SIZE such as 10MB or 512KiB".to_owned(),
            got: format!("{text:?}"),
        };
        let (kind, value) = text.split_once('=').ok_or_else(wrong)?;
        match kind {
            "mean" => match value.parse::<f64>() {
                Ok(mean) if mean.is_finite() && mean > 0.0 => Ok(Self::MeanSize(mean)),
                _ => Err(wrong()),
            },
            "params" => value.parse().map(Self::Params).map_err(|_| wrong()),
            "bytes" => {
                let digits = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
                let (number, unit) = value.split_at(digits);
                let scale: u64 = match unit.to_ascii_lowercase().as_str() {
                    "" | "b" => 1,
                    "kb" => 1000,
                    "mb" => 1_000_000,
                    "gb" => 1_000_000_000,
                    "kib" => 1 << 10,
                    "mib" => 1 << 20,
                    "gib" => 1 << 30,
                    _ => return Err(wrong()),
                };
                let number: f64 = number.parse().map_err(|_| wrong())?;
                Ok(Self::Bytes((number * scale as f64).floor() as u64))
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Params(params) => write!(f, "params={params}"),
            Self::MeanSize(mean) => write!(f, "mean={mean}"),
            Self::Bytes(bytes) => write!(f, "bytes={bytes}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::device::Device;
    use crate::rows::{Directory, Format};

    const POPULATION: Population = Population { users: 10, items: 6 };

    fn bytes(amount: u64, counts: Counts, d_min: u32) -> Budget {
        Budget { counts, d_min, state: StateSize { per_value: 1, per_row: 0 }, ..Budget::new(Amount::Bytes(amount)) }
    }

    #[test]
    fn what_counts_comes_off_the_bytes() {
        // Of 16 rows in two tables: 2 bytes a row, and 8 for what each directory has amid a word and a block.
        for (optimizer, metadata, params) in
            [(false, false, 250), (true, false, 125), (false, true, 238), (true, true, 119)]
        {
            let resolved = bytes(1000, Counts { optimizer, metadata }, 1).resolve(POPULATION).unwrap();
            assert_eq!((resolved.params, resolved.dims, resolved.bytes), (params, params - 6, 1000));
        }
    }

    #[test]
    fn state_of_rows_comes_off_the_bytes() {
        let counts = Counts { optimizer: true, metadata: true };
        let budget = Budget { state: StateSize { per_value: 0, per_row: 1 }, ..bytes(1000, counts, 1) };
        // 48 of directory, 4 * 16 of accumulators.
        assert_eq!(budget.resolve(POPULATION).unwrap().params, (1000 - 48 - 64) / 4);
        let budget = Budget { amount: Amount::Params(100), ..budget };
        assert_eq!(budget.resolve(POPULATION).unwrap().bytes, 400 + 48 + 64);
    }

    #[test]
    fn no_room_is_infeasible() {
        // 48 of directory, and 4 for each of 16 rows and 6 biases.
        let tight = bytes(48 + 88, Counts::default(), 1);
        assert_eq!(tight.resolve(POPULATION).unwrap().dims, 16);
        let error = bytes(48 + 87, Counts::default(), 1).resolve(POPULATION).unwrap_err();
        assert_eq!(error.to_string(), "infeasible budget: 16 entities need at least 136 bytes, the budget is 135");
        assert_eq!(bytes(48 + 24, Counts::default(), 0).resolve(POPULATION).unwrap().dims, 0);
        let error = Budget::new(Amount::MeanSize(1.0)).resolve(POPULATION).unwrap_err();
        assert!(matches!(error, Error::Infeasible { entities: 16, min: 22, budget: 16, unit: "parameters" }));
    }

    /// Sizes of the rows of both tables, all dims given away: at random within the bounds, and as many at the largest size as can be.
    fn sizes(population: Population, budget: &Budget, resolved: &Resolved, seed: u32) -> [Vec<u32>; 2] {
        let Budget { d_min, d_max, item_bias, .. } = *budget;
        let rows = population.entities() as usize;
        let mut sizes = vec![d_min; rows];
        let mut left = resolved.dims.min(rows as u64 * u64::from(d_max)) - rows as u64 * u64::from(d_min);
        let mut order: Vec<usize> = (0..rows).collect();
        order.sort_by_key(|&row| (row as u32 ^ seed).wrapping_mul(0x9E37_79B9).rotate_left(9));
        for most in [(seed % 7).min(d_max - d_min), d_max - d_min] {
            for &row in &order {
                let more = u64::from((d_min + most).saturating_sub(sizes[row])).min(left);
                sizes[row] += more as u32;
                left -= more;
            }
        }
        assert_eq!(left, 0);
        let items = sizes.split_off(population.users as usize);
        [sizes, items.into_iter().map(|size| size + u32::from(item_bias)).collect()]
    }

    proptest! {
        /// Whatever the layout: two tables with all that a budget in bytes gives are within it, and what they leave is what rows leave
        /// between them, a parameter's bytes, and what the directories of two tables may have more.
        #[test]
        fn tables_made_of_a_budget_are_within_it(
            (users, items) in (0..200u32, 0..200u32),
            (d_min, d_max) in (0..3u32, 3..130u32),
            (optimizer, metadata, aligned, item_bias) in any::<(bool, bool, bool, bool)>(),
            format in prop_oneof![Just(Format::F32), Just(Format::F16)],
            page_bytes in prop_oneof![Just(None), (600..5000u64).prop_map(Some)],
            (per_value, per_row) in (0..3u32, 0..2u32),
            (mean, seed) in (3..40u64, any::<u32>()),
        ) {
            let population = Population { users, items };
            let (counts, state) = (Counts { optimizer, metadata }, StateSize { per_value, per_row });
            let layout = Layout { format, aligned, page_bytes };
            let a_value = layout.format.bytes() + 4 * u64::from(per_value * u32::from(optimizer));
            let amount = Amount::Bytes(population.entities() * (mean * a_value + 4 + 8 * a_value) + 200);
            let budget = Budget { amount, counts, state, layout, item_bias, d_min, d_max };
            let resolved = budget.resolve(population).unwrap();
            let device = Device::cpu();
            let (mut used, mut pages) = (0, 0);
            for sizes in sizes(population, &budget, &resolved, seed) {
                let directory = Directory::new(&device, &sizes, layout, state).unwrap();
                let [values, of_state, metadata] = directory.bytes(layout, state);
                used += values + of_state * u64::from(optimizer) + metadata * u64::from(counts.metadata);
                pages += directory.pages() as u64;
            }
            prop_assert!(used <= resolved.bytes, "{used} bytes of {}", resolved.bytes);
            // Where the largest sizes did not limit what could be given away.
            if resolved.dims <= population.entities() * u64::from(d_max) {
                let between = population.entities() * u64::from(layout.alignment() - 1) * a_value;
                let directories = if page_bytes.is_some() { 8 * 12 * (pages + 2) } else { 16 + 4 * population.entities() / 256 };
                let left = resolved.bytes - used;
                prop_assert!(left < between + a_value + directories, "{left} bytes left of {}", resolved.bytes);
            }
        }
    }

    #[test]
    fn amounts_are_read() {
        for (text, amount) in [
            ("mean=8", Amount::MeanSize(8.0)),
            ("mean=0.5", Amount::MeanSize(0.5)),
            ("params=123", Amount::Params(123)),
            ("bytes=10MB", Amount::Bytes(10_000_000)),
            ("bytes=1.5MiB", Amount::Bytes(1_572_864)),
            ("bytes=77", Amount::Bytes(77)),
        ] {
            assert_eq!(text.parse::<Amount>().unwrap(), amount);
        }
        for text in ["", "8", "mean=", "mean=-1", "mean=nan", "params=1.5", "bytes=10XB", "bytes=MB", "rows=3"] {
            let error = text.parse::<Amount>().unwrap_err().to_string();
            assert!(error.contains("10MB") && error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
