//! Sizes by what training made large.

use super::recipe::stateless;
use crate::Result;
use crate::check::domain;
use crate::sizing::weighted::{as_held, weighted, with_newcomers};
use crate::sizing::{SizePolicy, Sizes, SizingContext};
use crate::table::RaggedTable;

/// Magnitude pruning, re-packed: rows keep room for as many coordinates as they have among the largest `|value|`.
///
/// One threshold over both tables, as the soft threshold of PEP in its global form, here a quantile instead of a
/// learned one: the share [`keep`](Self::keep) of all coordinates lies above it. A row's weight is its count of them
/// plus one, so that a row that lost all can come back and a full one can grow; sizes are the weights scaled to the
/// budget. Ours: a ragged row is a prefix, so what counts is how many coordinates a row kept, not which; a new row
/// weighs as much as the mean of its side. Item biases are no coordinates.
///
/// # Cost
/// Reads both tables back, 4 bytes a value; selects the threshold in linear time.
///
/// # Source
/// After Liu et al., "Learnable Embedding Sizes for Recommender Systems" (PEP), ICLR 2021 (arXiv 2101.07577).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MagnitudeCut {
    /// Part of all coordinates that counts as kept, 0 to 1 (default 0.5: rows differ most where half is kept).
    pub keep: f64,
}

impl Default for MagnitudeCut {
    fn default() -> Self {
        Self { keep: 0.5 }
    }
}

/// The magnitudes of a table's coordinates, row after row, and how many each row has.
struct Magnitudes {
    values: Vec<f32>,
    counts: Vec<usize>,
}

impl Magnitudes {
    fn of(table: &RaggedTable, skip: usize) -> Result<Self> {
        let read = table.read()?;
        let (mut values, mut counts) = (Vec::with_capacity(read.len()), Vec::new());
        let mut rest = read.as_slice();
        for size in table.sizes() {
            let (row, tail) = rest.split_at(size as usize);
            rest = tail;
            let row = row.get(skip..).unwrap_or_default();
            values.extend(row.iter().map(|value| value.abs()));
            counts.push(row.len());
        }
        Ok(Self { values, counts })
    }

    /// A weight for each of `entities` rows.
    fn weights(&self, threshold: f32, entities: usize) -> Vec<f32> {
        let mut rest = self.values.as_slice();
        let kept = self.counts.iter().map(|&count| {
            let (row, tail) = rest.split_at(count);
            rest = tail;
            1.0 + row.iter().filter(|&&value| value >= threshold).count() as f32
        });
        with_newcomers(kept.collect(), entities)
    }
}

/// The least of the `keep` share of largest magnitudes; ties with it are kept too.
fn threshold(mut magnitudes: Vec<f32>, keep: f64) -> f32 {
    let kept = (keep * magnitudes.len() as f64).ceil() as usize;
    match kept {
        0 => f32::INFINITY,
        kept => *magnitudes.select_nth_unstable_by(kept - 1, |a, b| b.total_cmp(a)).1,
    }
}

impl SizePolicy for MagnitudeCut {
    fn name(&self) -> &'static str {
        "magnitude"
    }

    fn options(&self) -> String {
        format!("{:?}", self)
    }

    fn check(&self) -> Result<()> {
        domain("MagnitudeCut", "keep", self.keep, (0.0..=1.0).contains(&self.keep), "from 0 to 1")
    }

    fn decide(&mut self, context: &SizingContext<'_>) -> Result<Sizes> {
        self.check()?;
        let Some(rows) = context.rows else {
            return weighted(context, &vec![1.0; context.users.len() + context.items.len()]);
        };
        let (users, items) = (Magnitudes::of(rows.users, 0)?, Magnitudes::of(rows.items, rows.item_bias.into())?);
        let threshold = threshold([&users.values[..], &items.values].concat(), self.keep);
        let mut weights = users.weights(threshold, context.users.len());
        weights.extend(items.weights(threshold, context.items.len()));
        weighted(context, &weights)
    }

    /// Known rows keep their proportions: their values have been trained since the decision.
    fn admit(&mut self, context: &SizingContext<'_>) -> Result<Sizes> {
        as_held(context)
    }

    stateless!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::sizing::CurrentRows;
    use crate::table::{Account, TableOptions};

    fn table(rows: &[&[f32]]) -> RaggedTable {
        let sizes: Vec<u32> = rows.iter().map(|row| row.len() as u32).collect();
        let mut table =
            RaggedTable::new(&Device::cpu(), &sizes, TableOptions::default(), &Account::unlimited()).unwrap();
        table.rows_mut().write(&rows.concat()).unwrap();
        table
    }

    #[test]
    fn the_threshold_is_a_quantile() {
        let values = vec![4.0, 1.0, 3.0, 2.0];
        for (keep, least) in [(1.0, 1.0), (0.5, 3.0), (0.3, 3.0), (0.25, 4.0), (0.0, f32::INFINITY)] {
            assert_eq!(threshold(values.clone(), keep), least, "{keep}");
        }
        assert_eq!(threshold(Vec::new(), 0.5), f32::INFINITY);
    }

    #[test]
    fn rows_keep_what_is_large_and_biases_do_not_count() {
        let device = Device::cpu();
        let users = table(&[&[3.0, -4.0, 0.1], &[0.2, 0.1], &[]]);
        // The biases 9 would be the largest.
        let items = table(&[&[9.0, 0.3, -5.0], &[9.0]]);
        let rows = Some(CurrentRows { users: &users, items: &items, item_bias: true });
        let context = SizingContext {
            device: &device,
            segment: 1,
            seed: 0,
            users: &[0; 4],
            items: &[0; 3],
            dims: 22,
            d_min: 0,
            d_max: 64,
            rows,
        };
        // 7 coordinates, 4 kept: 3, 4, 5 and 0.3. Weights: users 3, 1, 1 and 5/3 for the new one; items 3, 1, and 2.
        let sizes = MagnitudeCut::default().decide(&context).unwrap();
        assert_eq!((sizes.users, sizes.items), (vec![5, 2, 2, 3], vec![5, 2, 3]));
        // An admission stretches the sizes held: 3, 2, 0 and 5/3; 2, 0 and 1.
        let sizes = MagnitudeCut::default().admit(&SizingContext { dims: 29, ..context }).unwrap();
        assert_eq!((sizes.users, sizes.items), (vec![9, 6, 0, 5], vec![6, 0, 3]));
    }
}
