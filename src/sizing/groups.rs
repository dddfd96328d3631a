//! Sizes in whole groups, for formats that store neighbouring values together.

use std::borrow::Cow;

use super::weighted::by_weight;
use super::{Budget, Shape, Sizes};
#[cfg(doc)]
use crate::Error;
use crate::Result;
use crate::check;
use crate::kernels::sizing::apportion::Allotment;

impl Budget {
    /// The least groups of a row: room for the least size, also with an item's bias.
    pub(super) fn least_groups(&self, shape: &Shape) -> u64 {
        let group = shape.layout.format.group() as u64;
        (u64::from(self.d_min) + u64::from(shape.item_bias)).div_ceil(group)
    }

    /// The sizes that rows of this shape get for those that a policy decided on: the same, where each value is stored
    /// by itself. Of [`I8`](crate::rows::Format::I8) a row takes whole words whatever its size, so there the words that
    /// all values together fill are divided in proportion to the rows' values, and each row is as wide as its words.
    /// They are within what [`resolve_in_groups`](Self::resolve_in_groups) gives.
    ///
    /// # Errors
    /// [`Error::Limit`] past 2^32 rows or words of both sides together.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::rows::{Format, Layout};
    /// use scall_gpu::sizing::{Amount, Budget, Population, Shape, Sizes};
    /// let shape = Shape { layout: Layout { format: Format::I8, ..Layout::default() }, ..Shape::default() };
    /// let budget = Budget::new(Amount::Bytes(60));
    /// let resolved = budget.resolve_in_groups(Population { users: 2, items: 1 }, &shape)?;
    /// assert_eq!(resolved.dims, 36); // 9 words, and 24 bytes of directories
    /// let decided = Sizes { users: vec![17, 2], items: vec![17], action: None };
    /// let rows = budget.in_groups(&decided, &shape)?;
    /// assert_eq!((&rows.users[..], &rows.items[..]), (&[16, 4][..], &[16][..])); // whole words
    /// # Ok::<(), scall_gpu::Error>(())
    /// ```
    pub fn in_groups<'a>(&self, sizes: &'a Sizes, shape: &Shape) -> Result<Cow<'a, Sizes>> {
        let group = shape.layout.format.group() as u32;
        if group == 1 {
            return Ok(Cow::Borrowed(sizes));
        }
        let bias = u32::from(shape.item_bias);
        let users = sizes.users.iter().map(|&dims| dims as f32);
        let values: Vec<f32> = users.chain(sizes.items.iter().map(|&dims| (dims + bias) as f32)).collect();
        let sum = |side: &[u32]| side.iter().map(|&dims| u64::from(dims)).sum::<u64>();
        let all = sum(&sizes.users) + sum(&sizes.items) + u64::from(bias) * sizes.items.len() as u64;
        let (rows, least) = (values.len() as u64, self.least_groups(shape));
        let most = u64::from(self.d_max).div_ceil(group.into()).max(least);
        let total = (all / u64::from(group)).clamp(rows * least, rows * most);
        check::below_2_32("sizing/groups", "sizes", "32-bit sum of both sides", total.max(rows))?;
        let allotment = Allotment { total: total as u32, d_min: least as u32, d_max: most as u32 };
        let mut users = by_weight(&values, allotment)?;
        users.iter_mut().for_each(|groups| *groups *= group);
        let mut items = users.split_off(sizes.users.len());
        users.iter_mut().for_each(|dims| *dims = (*dims).min(self.d_max));
        items.iter_mut().for_each(|values| *values = (*values - bias).min(self.d_max));
        Ok(Cow::Owned(Sizes { users, items, action: sizes.action }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::device::Device;
    use crate::rows::{Directory, Format, Layout, StateSize};
    use crate::sizing::{Amount, Population};
    use crate::table::Counts;

    fn shape(item_bias: bool) -> Shape {
        let layout = Layout { format: Format::I8, ..Layout::default() };
        Shape { layout, state: StateSize { per_value: 0, per_row: 1 }, item_bias }
    }

    #[test]
    fn other_formats_have_the_sizes_that_were_decided_on() {
        let sizes = Sizes { users: vec![1, 5], items: vec![3], action: None };
        for format in [Format::F32, Format::F16, Format::BF16] {
            let shape = Shape { layout: Layout { format, ..Layout::default() }, ..shape(true) };
            let budget = Budget::new(Amount::Bytes(1000));
            assert_eq!(*budget.in_groups(&sizes, &shape).unwrap(), sizes);
            let population = Population { users: 2, items: 1 };
            let both = [budget.resolve_in_groups(population, &shape), budget.resolve(population, &shape)];
            let [in_groups, one_by_one] = both.map(Result::unwrap);
            assert_eq!(in_groups, one_by_one);
        }
    }

    #[test]
    fn words_go_where_the_values_were() {
        let budget = Budget::new(Amount::Bytes(10_000));
        let sizes = Sizes { users: vec![9, 2, 3, 1], items: vec![30, 1], action: None };
        // 9 + 2 + 3 + 1 + 31 + 2 values are 12 words.
        let in_groups = budget.in_groups(&sizes, &shape(true)).unwrap();
        assert_eq!((&in_groups.users[..], &in_groups.items[..]), (&[8, 4, 4, 4][..], &[23, 3][..]));
        // No size passes the largest, in however many words.
        let budget = Budget { d_max: 6, ..budget };
        let sizes = Sizes { users: vec![6; 3], items: vec![6; 2], action: None };
        let in_groups = budget.in_groups(&sizes, &shape(true)).unwrap();
        assert_eq!((&in_groups.users[..], &in_groups.items[..]), (&[6, 4, 4][..], &[6, 6][..]));
    }

    proptest! {
        /// Whatever is decided on within the budget, the tables are within it too, and all but a few bytes are used.
        #[test]
        fn tables_are_within_the_budget_and_fill_it(
            (users, items) in (0..120u32, 0..120u32),
            (d_min, d_max) in (0..9u32, 9..130u32),
            (item_bias, optimizer, aligned) in any::<(bool, bool, bool)>(),
            (mean, seed) in (8..60u64, any::<u32>()),
        ) {
            let population = Population { users, items };
            let shape = Shape { layout: Layout { aligned, ..shape(item_bias).layout }, ..shape(item_bias) };
            let amount = Amount::Bytes(population.entities() * (mean + 2 + 16 + 4) + 200);
            let budget = Budget { amount, counts: Counts { optimizer, metadata: true }, d_min, d_max };
            let resolved = budget.resolve_in_groups(population, &shape).unwrap();
            let least = population.entities() * u64::from(d_min);
            prop_assume!(resolved.dims >= least);
            // Any sizes that add up to what there is, or to as much as rows take.
            let mut left = resolved.dims.min(population.entities() * u64::from(d_max)) - least;
            let mut sizes = vec![d_min; population.entities() as usize];
            for (i, size) in (0u32..).zip(&mut sizes) {
                let word = (i ^ seed).wrapping_mul(0x9E37_79B9) >> 16;
                let more = u64::from(word % (d_max - d_min + 1)).min(left);
                (*size, left) = (*size + more as u32, left - more);
            }
            let of_items = sizes.split_off(users as usize);
            let decided = Sizes { users: sizes, items: of_items, action: None };
            let rows = budget.in_groups(&decided, &shape).unwrap();
            let values: Vec<u32> = rows.items.iter().map(|dims| dims + u32::from(item_bias)).collect();
            let mut used = 0;
            for sizes in [&rows.users, &values] {
                let directory = Directory::new(&Device::Cpu, sizes, shape.layout, shape.state).unwrap();
                let [values, state, metadata] = directory.bytes(shape.layout, shape.state);
                used += values + metadata + state * u64::from(optimizer);
            }
            prop_assert!(used <= resolved.bytes, "{used} bytes of {}", resolved.bytes);
            prop_assert!(rows.users.iter().chain(&rows.items).all(|&dims| dims <= d_max));
            prop_assert!(rows.users.iter().chain(&rows.items).all(|&dims| dims >= d_min.min(d_max)));
            let decided: u32 = decided.users.iter().chain(&decided.items).sum();
            let given: u32 = rows.users.iter().chain(&rows.items).sum();
            let cut = if d_max.is_multiple_of(4) { 8 } else { 8 + 4 * population.entities() as u32 };
            prop_assert!(given + cut >= decided, "{given} dims of {decided}");
        }
    }
}
