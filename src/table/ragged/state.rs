//! A table as numbers in memory: for what is kept as a whole, a table with all that belongs to it. As a file of its own
//! a table is
//! [saved](RaggedTable::save).

use std::sync::Arc;

use super::RaggedTable;
use crate::Result;
use crate::device::{Buffer, Device};
use crate::file::{Numbers, State};
use crate::rows::{Directory, Format, Rows, Stored, Values, with_codec};

impl RaggedTable {
    /// Sizes, values as they are stored, optimizer state, count of steps and learning rate: what
    /// [`restore_state`](Self::restore_state) takes.
    ///
    /// # Cost
    /// All of it is on the host then.
    ///
    /// # Errors
    /// What the device reports.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::{Buffer, Device};
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let (device, account) = (Device::cpu(), Account::unlimited());
    /// let mut table = RaggedTable::new(&device, &[2, 3], TableOptions::default(), &account)?;
    /// let kept = table.state()?;
    /// table.apply_gradients(&[0, 1], &Buffer::from_slice(&device, &[1.0; 6])?, 3)?;
    /// table.append_rows(&[4])?;
    ///
    /// table.restore_state(&kept)?;
    /// assert_eq!((table.sizes().collect::<Vec<_>>(), table.steps()), (vec![2, 3], 0));
    /// assert_eq!(table.state()?, kept);
    /// # Ok(()) }
    /// ```
    pub fn state(&self) -> Result<State> {
        let rows = self.as_rows();
        let mut state = State::default();
        state.put("sizes", self.sizes().collect::<Vec<u32>>());
        state.put("values", numbers(&rows.read_stored()?)?);
        for number in 0..rows.state_size().numbers() {
            state.put(format!("state.{number}"), rows.read_state(number)?);
        }
        state.put("steps", [self.steps]);
        state.put("learning_rate", [self.options.rule.optimizer.learning_rate()]);
        Ok(state)
    }

    /// Makes this table the one whose [`state`](Self::state) that was, which had the same options: it goes on bit for
    /// bit. What it held goes.
    ///
    /// # Cost
    /// The new rows are on the device before the old ones go.
    ///
    /// # Errors
    /// [`Error::BadState`](crate::Error::BadState) for the state of something else, or of a table with another
    /// optimizer or format;
    /// [`Error::OverBudget`](crate::Error::OverBudget) when the account has no room; what the device reports. The table
    /// is then as before.
    pub fn restore_state(&mut self, state: &State) -> Result<()> {
        let (layout, state_size) = (self.rows.layout(), self.rows.state_size());
        let moments: Vec<String> = (0..state_size.numbers()).map(|number| format!("state.{number}")).collect();
        let known = ["sizes", "values", "steps", "learning_rate"].into_iter().chain(moments.iter().map(String::as_str));
        state.only(&known.collect::<Vec<_>>())?;
        let sizes = state.numbers::<u32>("sizes")?;
        let directory = Directory::new(self.device(), sizes, layout, state_size)?;
        let values = values(state, layout.format, directory.stored_values(layout.format) as usize)?;
        let lens = state_size.lens(sizes.len(), directory.values() as usize);
        let moments = moments.iter().zip(lens).map(|(name, len)| state.exactly::<f32>(name, len));
        let moments = moments.collect::<Result<Vec<_>>>()?;
        let (steps, rate) = (state.one::<u32>("steps")?, state.one::<f32>("learning_rate")?);
        let rule = self.options.rule.with_learning_rate(rate);
        if let Err(error) = rule.check("RaggedTable::restore_state") {
            return Err(state.wrong("learning_rate", "a rate of this optimizer", &error.to_string()));
        }

        let (old, new) = (self.used_bytes(), self.counted_bytes_of(&directory));
        // Room for the larger of both until it is known which one stays: then only room is given back.
        let reserved = old.max(new);
        self.account.exchange(old, reserved)?;
        let rows = Rows::arranged(self.device(), &directory, layout, state_size).and_then(|mut rows| {
            rows.write_stored(&values)?;
            moments.iter().enumerate().try_for_each(|(number, moments)| rows.write_state(number, moments))?;
            rows.expect(self.rows.largest_expected());
            Ok(rows)
        });
        let restored = rows.map(|rows| {
            (self.rows, self.steps, self.options.rule) = (rows, steps, rule);
            (self.peak_bytes, self.pages) = (0, Arc::default());
        });
        self.account.settle(reserved, self.used_bytes());
        restored
    }
}

/// Values as numbers: f32 as they are, others as their bits.
fn numbers(values: &Values) -> Result<Numbers> {
    with_codec!(values.format(), V => {
        let values = V::of(values).expect("values of their own format").host("RaggedTable::state", "values")?;
        Ok(match size_of::<V>() {
            4 => bytemuck::cast_slice::<V, f32>(values).into(),
            2 => bytemuck::cast_slice::<V, u16>(values).into(),
            _ => bytemuck::cast_slice::<V, u8>(values).into(),
        })
    })
}

/// The way back.
fn values(state: &State, format: Format, len: usize) -> Result<Values> {
    let name = "values";
    with_codec!(format, V => {
        let values: &[V] = match size_of::<V>() {
            4 => bytemuck::cast_slice(state.exactly::<f32>(name, len)?),
            2 => bytemuck::cast_slice(state.exactly::<u16>(name, len)?),
            _ => bytemuck::cast_slice(state.exactly::<u8>(name, len * size_of::<V>())?),
        };
        Ok(V::values(Buffer::from_slice(&Device::Cpu, values)?))
    })
}

#[cfg(test)]
mod tests;
