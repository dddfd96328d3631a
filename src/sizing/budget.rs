//! What the embedding tables of users and items may hold together.

use super::Amount;
use crate::rows::StateSize;
use crate::rows::{Layout, WIDEST};
use crate::table::Counts;
use crate::{Error, Result};

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

/// How large the rows of a model are besides their dims: what a budget in bytes has to know of it.
///
/// A model makes its own ([`Embeddings::shape`](crate::models::Embeddings::shape),
/// [`ModelOptions::shape`](crate::models::ModelOptions::shape)). The default is that of a plain table: f32, packed,
/// without state or bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// How rows lie in memory. Where rows are aligned or of f16, a budget in bytes expects that each row leaves as much
    /// unused as one can.
    pub layout: Layout,
    /// What the optimizer keeps, for a budget that counts it.
    pub state: StateSize,
    /// Whether one parameter of each item row is a bias, next to its dims.
    pub item_bias: bool,
}

/// A budget, what it counts, and the bounds of a row's size. It knows nothing of a model: [`resolve`](Self::resolve) is
/// given its [`Shape`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// How much.
    pub amount: Amount,
    /// What counts next to the values, where the amount is in bytes.
    pub counts: Counts,
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
    /// A budget with the defaults: values and row directory counted, sizes 1 to 64.
    pub fn new(amount: Amount) -> Self {
        Self { amount, counts: Counts::default(), d_min: 1, d_max: 64 }
    }

    /// What the budget is for this population, with rows of this shape.
    ///
    /// A number of parameters is a number of values, whatever they take; a number of bytes holds as many values as
    /// their layout, their optimizer state and the row directory leave room for, so about twice the values in f16.
    ///
    /// # Numerics
    /// Whole numbers, without overflow: what is past 2^64 counts as 2^64 - 1.
    ///
    /// # Errors
    /// [`Error::Infeasible`] when it has no room for rows of the least size; [`Error::Argument`] for bounds or a mean
    /// size outside their domain.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::rows::{Format, Layout};
    /// use scall_gpu::sizing::{Amount, Budget, Population, Shape};
    /// let population = Population { users: 100, items: 50 };
    /// let packed = Shape { item_bias: true, ..Shape::default() };
    /// let resolved = Budget::new(Amount::MeanSize(8.0)).resolve(population, &packed)?;
    /// assert_eq!((resolved.params, resolved.dims), (1200, 1150));
    /// // 4 bytes a parameter, 2 for each row, and 8 for the last word and block of each table's directory.
    /// assert_eq!(resolved.bytes, 4 * 1200 + 2 * 150 + 2 * 8);
    ///
    /// // The same bytes hold twice the values of two bytes, less one for each row, which begins at a whole word.
    /// let halves = Shape { layout: Layout { format: Format::F16, ..Layout::default() }, ..packed };
    /// let resolved = Budget::new(Amount::Bytes(resolved.bytes)).resolve(population, &halves)?;
    /// assert_eq!(resolved.params, 2 * 1200 - 150);
    /// # Ok::<(), scall_gpu::Error>(())
    /// ```
    pub fn resolve(&self, population: Population, shape: &Shape) -> Result<Resolved> {
        self.resolved(population, shape, 1)
    }

    /// The same for sizes that [`in_groups`](Self::in_groups) has made: rows of values that share words leave none of
    /// them unused then, so there are more to divide.
    ///
    /// # Errors
    /// Those of [`resolve`](Self::resolve).
    pub fn resolve_in_groups(&self, population: Population, shape: &Shape) -> Result<Resolved> {
        self.resolved(population, shape, shape.layout.format.group() as u64)
    }

    fn resolved(&self, population: Population, shape: &Shape, group: u64) -> Result<Resolved> {
        let wrong = |arg, expected: &str, got: String| Error::Argument {
            op: "Budget::resolve",
            arg,
            expected: expected.to_owned(),
            got,
        };
        if self.d_min > self.d_max || self.d_max == 0 {
            return Err(wrong("d_max", "at least 1 and at least d_min", self.d_max.to_string()));
        }
        if self.d_min > WIDEST {
            return Err(wrong("d_min", &format!("at most {WIDEST}, the widest row"), self.d_min.to_string()));
        }
        let entities = population.entities();
        let bytes = self.bytes_of(entities, shape, group);
        let biases = if shape.item_bias { u64::from(population.items) } else { 0 };
        let least = match group {
            1 => entities * u64::from(self.d_min) + biases,
            _ => entities * self.least_groups(shape) * group,
        };
        let params = match self.amount {
            Amount::Params(params) => params,
            Amount::MeanSize(mean) if mean.is_finite() && mean >= 0.0 => (mean * entities as f64).floor() as u64,
            Amount::MeanSize(mean) => return Err(wrong("mean", "finite and not negative", mean.to_string())),
            Amount::Bytes(budget) => {
                let fixed = bytes.fixed(budget / bytes.a_value);
                let min = fixed.saturating_add(bytes.a_value.saturating_mul(least));
                if budget < min {
                    return Err(Error::Infeasible { entities, min, budget, unit: "bytes" });
                }
                (budget - fixed) / bytes.a_value
            }
        };
        let params = params - params % group;
        if params < least {
            return Err(Error::Infeasible { entities, min: least, budget: params, unit: "parameters" });
        }
        let bytes = match self.amount {
            Amount::Bytes(bytes) => bytes,
            _ => params.saturating_mul(bytes.a_value).saturating_add(bytes.fixed(params)),
        };
        Ok(Resolved { params, dims: params - biases, bytes })
    }

    /// What rows of this shape take, of what the budget counts.
    fn bytes_of(&self, entities: u64, shape: &Shape, group: u64) -> RowBytes {
        let Shape { layout, state, item_bias } = *shape;
        let state = if self.counts.optimizer { state } else { StateSize::default() };
        let a_value = layout.format.bytes() + state.bytes(0, 1);
        let between = (u64::from(layout.alignment()) - group) * a_value;
        RowBytes {
            a_value,
            of_rows: entities.saturating_mul(between.saturating_add(state.bytes(1, 0))),
            // No row is wider than a directory can say.
            directory: self.counts.metadata.then_some(Directories {
                layout,
                entities,
                widest: self.d_max.saturating_add(item_bias.into()).min(WIDEST),
            }),
        }
    }
}

/// What the rows of two tables take in bytes.
struct RowBytes {
    a_value: u64,
    /// State of the rows, and what may lie between them.
    of_rows: u64,
    directory: Option<Directories>,
}

/// What the row directories of two tables depend on.
struct Directories {
    layout: Layout,
    entities: u64,
    widest: u32,
}

impl RowBytes {
    /// All that the values themselves do not take, where there are this many: at most.
    fn fixed(&self, values: u64) -> u64 {
        let directory =
            self.directory.as_ref().map_or(0, |of| of.layout.metadata_bytes_at_most(2, of.entities, values, of.widest));
        directory.saturating_add(self.of_rows)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::device::Device;
    use crate::rows::{Directory, Format};
    use crate::sizing::Sizes;

    const POPULATION: Population = Population { users: 10, items: 6 };

    const BIASED: Shape = Shape {
        layout: Layout { format: Format::F32, aligned: false, page_bytes: None },
        state: StateSize { per_value: 1, per_row: 0 },
        item_bias: true,
    };

    fn bytes(amount: u64, counts: Counts, d_min: u32) -> Budget {
        Budget { counts, d_min, ..Budget::new(Amount::Bytes(amount)) }
    }

    #[test]
    fn what_counts_comes_off_the_bytes() {
        // Of 16 rows in two tables: 2 bytes a row, and 8 for what each directory has left of a word and a block.
        for (optimizer, metadata, params) in
            [(false, false, 250), (true, false, 125), (false, true, 238), (true, true, 119)]
        {
            let resolved = bytes(1000, Counts { optimizer, metadata }, 1).resolve(POPULATION, &BIASED).unwrap();
            assert_eq!((resolved.params, resolved.dims, resolved.bytes), (params, params - 6, 1000));
        }
    }

    #[test]
    fn state_of_rows_comes_off_the_bytes() {
        let counts = Counts { optimizer: true, metadata: true };
        let (budget, shape) =
            (bytes(1000, counts, 1), Shape { state: StateSize { per_value: 0, per_row: 1 }, ..BIASED });
        // 48 of directory, 4 * 16 of accumulators.
        assert_eq!(budget.resolve(POPULATION, &shape).unwrap().params, (1000 - 48 - 64) / 4);
        let budget = Budget { amount: Amount::Params(100), ..budget };
        assert_eq!(budget.resolve(POPULATION, &shape).unwrap().bytes, 400 + 48 + 64);
    }

    #[test]
    fn no_room_is_infeasible() {
        // 48 of directory, and 4 for each of 16 rows and 6 biases.
        let tight = bytes(48 + 88, Counts::default(), 1);
        assert_eq!(tight.resolve(POPULATION, &BIASED).unwrap().dims, 16);
        let error = bytes(48 + 87, Counts::default(), 1).resolve(POPULATION, &BIASED).unwrap_err();
        assert_eq!(error.to_string(), "infeasible budget: 16 entities need at least 136 bytes, the budget is 135");
        assert_eq!(bytes(48 + 24, Counts::default(), 0).resolve(POPULATION, &BIASED).unwrap().dims, 0);
        let error = Budget::new(Amount::MeanSize(1.0)).resolve(POPULATION, &BIASED).unwrap_err();
        assert!(matches!(error, Error::Infeasible { entities: 16, min: 22, budget: 16, unit: "parameters" }));
    }

    /// Sizes of the rows of both tables, all dims given away: at random within the bounds, and as many at the largest
    /// size as can be.
    fn sizes(population: Population, budget: &Budget, dims: u64, seed: u32) -> Sizes {
        let Budget { d_min, d_max, .. } = *budget;
        let rows = population.entities() as usize;
        let mut sizes = vec![d_min; rows];
        let mut left = dims.min(rows as u64 * u64::from(d_max)) - rows as u64 * u64::from(d_min);
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
        Sizes { users: sizes, items, action: None }
    }

    proptest! {
        /// Whatever the layout: two tables with all that a budget in bytes gives are within it, and what they leave is
        /// what rows leave between them, a parameter's bytes, and what the directories of two tables may have more.
        #[test]
        fn tables_made_of_a_budget_are_within_it(
            (users, items) in (0..200u32, 0..200u32),
            (d_min, d_max) in (0..3u32, 3..130u32),
            (optimizer, metadata, aligned, item_bias) in any::<(bool, bool, bool, bool)>(),
            format in prop::sample::select(Format::ALL),
            page_bytes in prop_oneof![Just(None), (600..5000u64).prop_map(Some)],
            (per_value, per_row) in (0..3u32, 0..2u32),
            (mean, seed) in (3..40u64, any::<u32>()),
        ) {
            let population = Population { users, items };
            let (counts, state) = (Counts { optimizer, metadata }, StateSize { per_value, per_row });
            let layout = Layout { format, aligned, page_bytes };
            let a_value = layout.format.bytes() + 4 * u64::from(per_value * u32::from(optimizer));
            let between = u64::from(layout.alignment().max(8)) * a_value;
            let amount = Amount::Bytes(population.entities() * (mean * a_value + 8 + between) + 200);
            let budget = Budget { amount, counts, d_min, d_max };
            let resolved = budget.resolve(population, &Shape { layout, state, item_bias }).unwrap();
            let device = Device::cpu();
            let (mut used, mut pages) = (0, 0);
            let sizes = sizes(population, &budget, resolved.dims, seed);
            let items: Vec<u32> = sizes.items.into_iter().map(|size| size + u32::from(item_bias)).collect();
            for sizes in [sizes.users, items] {
                let directory = Directory::new(&device, &sizes, layout, state).unwrap();
                let [values, of_state, metadata] = directory.bytes(layout, state);
                used += values + of_state * u64::from(optimizer) + metadata * u64::from(counts.metadata);
                pages += directory.pages() as u64;
            }
            prop_assert!(used <= resolved.bytes, "{used} bytes of {}", resolved.bytes);
            // Where the largest sizes did not limit what could be given away.
            if resolved.dims <= population.entities() * u64::from(d_max) {
                let between = population.entities() * u64::from(layout.alignment() - 1) * a_value;
                let directories = match page_bytes {
                    Some(_) => 8 * 12 * (pages + 2),
                    None => 16 + 4 * population.entities() / 256,
                };
                let left = resolved.bytes - used;
                prop_assert!(left < between + a_value + directories, "{left} bytes left of {}", resolved.bytes);
            }
        }

        /// Numbers of any size: an answer that holds together or an error, and never a sum that went round.
        #[test]
        fn no_numbers_overflow(
            (users, items, d_min, d_max) in (large32(), large32(), large32(), large32()),
            amount in prop_oneof![
                large64().prop_map(Amount::Params),
                large64().prop_map(Amount::Bytes),
                prop_oneof![Just(1e30), 0.0..1e6f64].prop_map(Amount::MeanSize),
            ],
            (optimizer, metadata, aligned, item_bias) in any::<(bool, bool, bool, bool)>(),
            format in prop::sample::select(Format::ALL),
            page_bytes in prop::option::of(large64()),
            (per_value, per_row) in (large32(), large32()),
        ) {
            let budget = Budget { amount, counts: Counts { optimizer, metadata }, d_min, d_max };
            let layout = Layout { format, aligned, page_bytes };
            let shape = Shape { layout, state: StateSize { per_value, per_row }, item_bias };
            let least = (u128::from(users) + u128::from(items)) * u128::from(d_min)
                + if item_bias { u128::from(items) } else { 0 };
            match budget.resolve(Population { users, items }, &shape) {
                Ok(resolved) => {
                    prop_assert!(u128::from(resolved.params) >= least);
                    let values = u128::from(resolved.params) * u128::from(format.bytes());
                    prop_assert!(u128::from(resolved.bytes) >= values.min(u64::MAX.into()), "{resolved:?}");
                }
                Err(Error::Infeasible { min, budget, .. }) => prop_assert!(min > budget),
                Err(Error::Argument { arg: "d_max", .. }) => prop_assert!(d_min > d_max || d_max == 0),
                Err(Error::Argument { arg: "d_min", .. }) => prop_assert!(d_min > WIDEST),
                Err(error) => prop_assert!(false, "{error}"),
            }
        }
    }

    /// Small numbers, any, and those near the end.
    fn large32() -> impl Strategy<Value = u32> {
        prop_oneof![0..9u32, any::<u32>(), (0..3u32).prop_map(|less| u32::MAX - less)]
    }

    /// The same of 64 bits.
    fn large64() -> impl Strategy<Value = u64> {
        prop_oneof![0..9u64, any::<u64>(), (0..3u64).prop_map(|less| u64::MAX - less)]
    }
}
