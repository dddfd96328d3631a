//! Rows of earlier segments that are trained on again.

use std::ops::RangeTo;

use rand::RngExt;

use crate::rng::Philox;

/// A uniform sample without replacement of at most `capacity` of the earlier rows, ascending.
///
/// Every set of `capacity` rows is equally likely, as with a reservoir fed row by row; where there are no more rows
/// than that, all are returned. The paper's capacity is 0.2 times the rows of the segment that the sample goes with.
///
/// Determinism: integers only, so a seed gives the same rows on every platform.
///
/// # Cost
/// `capacity` draws and one bit an earlier row; the bits also put the rows in order.
///
/// ```
/// use scall_gpu::{rng::{Philox, Purpose}, stream::replay};
/// let rows = replay(..1000, 3, &mut Philox::new(7, Purpose::Replay));
/// assert!(rows.len() == 3 && rows.is_sorted() && rows[2] < 1000);
/// ```
///
/// Source: `docs/method.md` section 2; the algorithm is Floyd's, in Bentley and Floyd, "A sample of brilliance", CACM
/// 30(9), 1987.
pub fn replay(earlier: RangeTo<usize>, capacity: usize, rng: &mut Philox) -> Vec<usize> {
    let rows = earlier.end;
    let mut chosen = vec![0u64; rows.div_ceil(64)];
    for last in rows.saturating_sub(capacity)..rows {
        let row = rng.random_range(0..=last);
        let taken = chosen[row / 64] >> (row % 64) & 1 == 1;
        let row = if taken { last } else { row };
        chosen[row / 64] |= 1 << (row % 64);
    }
    let mut sample = Vec::with_capacity(capacity.min(rows));
    for (word, mut bits) in chosen.into_iter().enumerate() {
        while bits != 0 {
            sample.push(64 * word + bits.trailing_zeros() as usize);
            bits &= bits - 1;
        }
    }
    sample
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    #[test]
    fn at_most_the_capacity() {
        let mut rng = Philox::new(1, Purpose::Replay);
        assert!(replay(..0, 5, &mut rng).is_empty());
        assert!(replay(..5, 0, &mut rng).is_empty());
        assert_eq!(replay(..5, 5, &mut rng), [0, 1, 2, 3, 4]);
        assert_eq!(replay(..5, usize::MAX, &mut rng), [0, 1, 2, 3, 4]);
        assert_eq!(replay(..129, 128, &mut rng).len(), 128);
    }

    #[test]
    fn a_seed_fixes_the_rows() {
        let draw = |seed| replay(..10_000, 100, &mut Philox::new(seed, Purpose::Replay));
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }

    /// Chi-square of how often each row, and each pair of rows, is drawn. With fixed seeds this either always or never
    /// fails; the bounds lie 4 standard deviations above the mean of the statistic.
    #[test]
    fn uniform_over_rows_and_pairs() {
        const ROWS: usize = 40;
        const CAPACITY: usize = 8;
        const TRIALS: u32 = 40_000;
        let mut rng = Philox::new(11, Purpose::Replay);
        let mut counts = [[0u32; ROWS]; ROWS];
        for _ in 0..TRIALS {
            let sample = replay(..ROWS, CAPACITY, &mut rng);
            for &a in &sample {
                sample.iter().for_each(|&b| counts[a][b] += 1);
            }
        }
        // Sum of squared deviations in units of a count's binomial variance.
        let statistic = |counts: &[u32], share: f64| -> f64 {
            let trials = f64::from(TRIALS);
            let squares = counts.iter().map(|&n| (f64::from(n) - trials * share).powi(2));
            squares.sum::<f64>() / (trials * share * (1.0 - share))
        };
        let share = CAPACITY as f64 / ROWS as f64;
        let rows: Vec<_> = (0..ROWS).map(|a| counts[a][a]).collect();
        let of_rows = statistic(&rows, share);
        assert!(of_rows < 40.0 + 4.0 * 80f64.sqrt(), "rows: {of_rows}");

        let pair_share = share * (CAPACITY - 1) as f64 / (ROWS - 1) as f64;
        let pairs: Vec<_> = (0..ROWS).flat_map(|a| (0..a).map(move |b| (a, b))).map(|(a, b)| counts[a][b]).collect();
        let of_pairs = statistic(&pairs, pair_share);
        assert!(of_pairs < 780.0 + 4.0 * 1560f64.sqrt(), "pairs: {of_pairs}");
    }
}
