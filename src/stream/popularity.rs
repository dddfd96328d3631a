//! What sells, and what sells lately.

use std::ops::Range;

use super::Interactions;

/// Half-lives after which a row weighs nothing: below 1e-12.
const FADED: f64 = 40.0;

/// How often each item was taken in these rows, non-clicks not counted: one number for each item seen before their end.
/// From row 0 on, rows that were [forgotten](Interactions::forget) count too.
///
/// # Panics
/// When the rows end past the last one, or begin or end among those that were forgotten.
///
/// ```
/// use scall_gpu::stream::{Interactions, item_counts};
/// let data = Interactions::from_rows([("ann", "tea", 1), ("bob", "jam", 2), ("bob", "tea", 3)])?;
/// assert_eq!(item_counts(&data, 0..3), [2, 1]);
/// assert_eq!(item_counts(&data, 1..3), [1, 1]);
/// # Ok::<(), scall_gpu::Error>(())
/// ```
pub fn item_counts(data: &Interactions, rows: Range<usize>) -> Vec<u32> {
    let forgotten = data.forgotten();
    let mut counts = vec![0; data.items_seen(rows.end) as usize];
    let mut first = rows.start;
    if first == 0 && forgotten.rows > 0 {
        counts[..forgotten.item_counts.len()].copy_from_slice(&forgotten.item_counts);
        first = forgotten.rows;
    }
    let clicks = (first..rows.end).filter(|&row| data.clicked(row));
    data.pairs(clicks).for_each(|(_, item)| counts[item as usize] += 1);
    counts
}

/// How often each item was taken in rows `0..row_end`, a row of age a (0 for the last) weighing `2^(-a / half_life)`,
/// and a non-click nothing: one number for each item seen there. Rows that were [forgotten](Interactions::forget) weigh
/// nothing.
///
/// Summed in f64 in the order of the rows, with software's exponential, so it has the same bits everywhere.
///
/// # Cost
/// One pass over the last 40 half-lives of rows; nothing is kept from one call to the next.
///
/// # Panics
/// When `row_end` is past the last row.
///
/// ```
/// use scall_gpu::stream::{Interactions, decayed_counts};
/// let data = Interactions::from_rows([("ann", "tea", 1), ("bob", "jam", 2), ("bob", "tea", 3)])?;
/// assert_eq!(decayed_counts(&data, 3, 1.0), [1.25, 0.5]);
/// assert_eq!(decayed_counts(&data, 2, f64::INFINITY), [1.0, 1.0]);
/// # Ok::<(), scall_gpu::Error>(())
/// ```
pub fn decayed_counts(data: &Interactions, row_end: usize, half_life: f64) -> Vec<f64> {
    let mut counts = vec![0.0; data.items_seen(row_end) as usize];
    // A float beyond usize's range becomes its largest.
    let first = row_end.saturating_sub((FADED * half_life).ceil() as usize).max(data.kept().start);
    for (row, (_, item)) in (first..row_end).zip(data.pairs(first..row_end)) {
        let age = (row_end - 1 - row) as f64;
        if data.clicked(row) {
            counts[item as usize] += libm::exp2(-age / half_life);
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_life_halves() {
        let rows = (0..1000).map(|r| ("u", if r < 900 { "old" } else { "new" }, r));
        let data = Interactions::from_rows(rows).unwrap();
        let [old, new] = decayed_counts(&data, 1000, 100.0)[..] else { panic!() };
        let sum = |from: u32, to: u32| (from..to).map(|age| 0.5f64.powf(f64::from(age) / 100.0)).sum::<f64>();
        assert!((new - sum(0, 100)).abs() < 1e-9 && (old - sum(100, 1000)).abs() < 1e-9);
        // Ten rows of half-life 1/4 are forgotten; the old item is still counted, as nothing.
        assert_eq!(decayed_counts(&data, 1000, 0.25)[0], 0.0);
        assert_eq!(decayed_counts(&data, 0, 1.0), [0.0; 0]);
    }
}
