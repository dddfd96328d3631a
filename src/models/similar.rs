//! Rows that are alike.

use rayon::prelude::*;

use crate::Result;
use crate::table::RaggedTable;

/// The `k` rows whose embeddings have the largest cosine with that of `row`, best first, ties to the smaller row;
/// `row` itself is left out, and so are rows of zeros. The first `skipped` values of a row, such as a bias, are no part
/// of its embedding; a dim that one of two rows does not have counts as zero.
///
/// On the host: all rows of the table are read, `4 * values` bytes.
pub(crate) fn similar(table: &RaggedTable, row: u32, skipped: u32, k: usize) -> Result<Vec<(u32, f32)>> {
    let (values, sizes): (Vec<f32>, Vec<u32>) = (table.read()?, table.sizes().collect());
    let mut begin = 0;
    let rows: Vec<&[f32]> = sizes
        .iter()
        .map(|&size| {
            let row = &values[begin..begin + size as usize];
            begin += size as usize;
            &row[(skipped as usize).min(row.len())..]
        })
        .collect();
    let query = rows[row as usize];
    let length = |row: &[f32]| row.iter().map(|value| value * value).sum::<f32>().sqrt();
    let query_length = length(query);
    let cosine = |(id, other): (usize, &&[f32])| {
        let dot: f32 = query.iter().zip(*other).map(|(a, b)| a * b).sum();
        let cosine = dot / (query_length * length(other));
        // Rows of zeros have no direction.
        (id as u32 != row && cosine.is_finite()).then_some((id as u32, cosine))
    };
    let mut found: Vec<(u32, f32)> = rows.par_iter().enumerate().filter_map(cosine).collect();
    let better = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if found.len() > k {
        found.select_nth_unstable_by(k - 1, better);
        found.truncate(k);
    }
    found.sort_unstable_by(better);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Buffer, Device};
    use crate::table::{Account, TableOptions};

    #[test]
    fn the_cosine_decides() {
        let sizes = [3, 2, 3, 1, 0, 3];
        let options = TableOptions::default();
        let mut table = RaggedTable::new(&Device::cpu(), &sizes, options, &Account::unlimited()).unwrap();
        // A bias, then the embedding; row 2 points as row 0 does, row 5 the other way, row 1 in between.
        let rows = [[9.0, 1.0, 1.0], [9.0, 2.0, 0.0], [-5.0, 3.0, 3.0], [7.0, 0.0, 0.0], [0.0; 3], [9.0, -1.0, -1.0]];
        let values = Buffer::from_slice(&Device::cpu(), &rows.concat()).unwrap();
        table.store_rows(&[0, 1, 2, 3, 4, 5], &values, 3).unwrap();
        let found = similar(&table, 0, 1, 10).unwrap();
        let ids: Vec<u32> = found.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [2, 1, 5]);
        for ((_, cosine), expected) in found.iter().zip([1.0, 0.5f32.sqrt(), -1.0]) {
            assert!((cosine - expected).abs() < 1e-6, "{cosine} {expected}");
        }
        assert_eq!(similar(&table, 0, 1, 1).unwrap(), found[..1]);
        // A row of no values is like none.
        assert!(similar(&table, 4, 1, 3).unwrap().is_empty());
    }
}
