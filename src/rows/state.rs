//! How much state an optimizer keeps with rows.

/// f32 numbers of state that an optimizer keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateSize {
    /// For each value.
    pub per_value: u32,
    /// For each row.
    pub per_row: u32,
}

impl StateSize {
    /// Bytes for a table of this many rows and values.
    pub fn bytes(&self, rows: u64, values: u64) -> u64 {
        let numbers = |of_each: u32, count: u64| u64::from(of_each).saturating_mul(count);
        numbers(self.per_value, values).saturating_add(numbers(self.per_row, rows)).saturating_mul(4)
    }

    /// How many.
    pub fn numbers(&self) -> usize {
        self.per_value as usize + self.per_row as usize
    }

    /// Lengths of the state's buffers, one for each number: first those of the values, then those of the rows.
    pub fn lens(&self, rows: usize, values: usize) -> impl ExactSizeIterator<Item = usize> + use<> {
        let per_value = self.per_value;
        (0..per_value.saturating_add(self.per_row)).map(move |i| if i < per_value { values } else { rows })
    }
}
