//! How much is multiplied.

use super::cpu::{QUERIES, widest};

/// Candidates of a panel: two of the widest vectors. Narrower ones make smaller panels, which multiply no more.
const PANEL: usize = 32;

/// How many products of two values a tile takes on the CPU, and how many it needs.
///
/// A block of six queries and 32 candidates multiplies the dims that both its widest query and its widest candidate
/// have, unless none of its scores can enter a list. Needed is the sum of `min(w_q, w_c)` over all pairs.
///
/// # Example
/// ```
/// use scall_gpu::kernels::rank::top_k::MultiplyAdds;
/// let (wide, narrow) = ([64; 6], [8; 32]);
/// let apart = MultiplyAdds::of(&wide, &[[64; 32], narrow].concat());
/// assert_eq!((apart.done, apart.needed), (6 * 32 * (64 + 8), 6 * 32 * (64 + 8)));
/// // The same candidates in turns.
/// let mixed: Vec<u32> = (0..64).map(|c| [64, 8][c % 2]).collect();
/// let mixed = MultiplyAdds::of(&wide, &mixed);
/// assert_eq!((mixed.done, mixed.needed), (6 * 64 * 64, apart.needed));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultiplyAdds {
    /// The most that all blocks take, places without a query or a candidate included.
    pub done: u64,
    /// Those of the dims that both rows of a pair have.
    pub needed: u64,
}

impl MultiplyAdds {
    /// For queries and candidates of these widths, in their order.
    ///
    /// # Cost
    /// `(U / 6) (M / 32)`, and a sort of each side.
    pub fn of(queries: &[u32], candidates: &[u32]) -> Self {
        let depths = |widths: &[u32], of: usize| -> Vec<usize> {
            widths.chunks(of).map(|some| widest(some.iter().map(|&width| width as usize))).collect()
        };
        let (sixes, panels) = (depths(queries, QUERIES), depths(candidates, PANEL));
        let dims = sixes.iter().flat_map(|six| panels.iter().map(move |panel| *six.min(panel) as u64));
        let done = dims.sum::<u64>() * (QUERIES * PANEL) as u64;
        // Those not narrower than a query give its width, the others their own.
        let mut sorted = candidates.to_vec();
        sorted.sort_unstable();
        let sums: Vec<u64> = std::iter::once(0)
            .chain(sorted.iter().scan(0, |sum, &width| {
                *sum += u64::from(width);
                Some(*sum)
            }))
            .collect();
        let of_query = |&width: &u32| {
            let narrower = sorted.partition_point(|&candidate| candidate < width);
            sums[narrower] + u64::from(width) * (sorted.len() - narrower) as u64
        };
        Self { done, needed: queries.iter().map(of_query).sum() }
    }
}
