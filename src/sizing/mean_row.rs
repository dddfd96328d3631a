//! The mean embedding of a table.

use crate::Result;
use crate::table::RaggedTable;

/// Mean over all rows of their values from the `skip`-th on, missing dims as zero: `[dims]`; all zeros for a table
/// without rows. Summed in f64 in the order of the rows, so the same values give the same bits on every device.
///
/// # Cost
/// Reads the table back: 4 bytes a value.
///
/// # Errors
/// What the device reports.
pub fn mean_row(table: &RaggedTable, skip: u32, dims: u32) -> Result<Vec<f32>> {
    let mut sums = vec![0.0f64; dims as usize];
    let values = table.read()?;
    let mut rest = values.as_slice();
    for size in table.sizes() {
        let (row, tail) = rest.split_at(size as usize);
        rest = tail;
        let row = row.get(skip as usize..).unwrap_or_default();
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let rows = f64::from(table.rows().max(1));
    Ok(sums.into_iter().map(|sum| (sum / rows) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::table::{Account, TableOptions};

    #[test]
    fn missing_dims_count_as_zero() {
        let device = Device::cpu();
        let table = |sizes: &[u32]| {
            let mut table = RaggedTable::new(&device, sizes, TableOptions::default(), &Account::unlimited()).unwrap();
            let values: Vec<f32> = (1..=table.len()).map(|v| v as f32).collect();
            table.rows_mut().write(&values).unwrap();
            table
        };
        // [1 2 3], [], [4], [5 6]
        assert_eq!(mean_row(&table(&[3, 0, 1, 2]), 0, 4).unwrap(), [10.0 / 4.0, 8.0 / 4.0, 3.0 / 4.0, 0.0]);
        assert_eq!(mean_row(&table(&[3, 0, 1, 2]), 1, 1).unwrap(), [8.0 / 4.0]);
        assert_eq!(mean_row(&table(&[]), 0, 2).unwrap(), [0.0, 0.0]);
    }
}
