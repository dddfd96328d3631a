//! Tables of a recommender that exist already.

use super::Embeddings;
use crate::kernels::table::update::UpdateRule;
use crate::rows::Layout;
use crate::table::RaggedTable;
use crate::{Result, check};

impl Embeddings {
    /// Tables that exist already, such as [loaded](RaggedTable::load) ones: row r of `users` is user r, row r of
    /// `items` item r. With `item_bias`, value 0 of each item row is its bias. Profilers of a GPU show the buffers of a
    /// model by the names that its tables have: `users` and `items`, where each was made on a device that is
    /// [labeled](crate::device::Device::labeled) so.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) that names the table which differs from the other in account,
    /// device, values' layout or optimizer, or which is not what `item_bias` says: every item has its bias then, and
    /// new rows begin with one of zero ([`TableOptions::zero_dims`](crate::table::TableOptions::zero_dims)).
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::{Buffer, Device};
    /// use scall_gpu::models::{Embeddings, ModelOptions, RankRequest};
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let (device, account) = (Device::cpu(), Account::unlimited());
    /// let options = ModelOptions::from_name("mf")?; // with a bias, and Adagrad
    /// let table = |sizes: &[u32], zero_dims: u32, values: &[f32]| {
    ///     let of_table = TableOptions { rule: options.training().rule, zero_dims, ..TableOptions::default() };
    ///     let mut table = RaggedTable::new(&device, sizes, of_table, &account)?;
    ///     let ids: Vec<u32> = (0..table.rows()).collect();
    ///     table.store_rows(&ids, &Buffer::from_slice(&device, values)?, table.widest())?;
    ///     Ok::<_, scall_gpu::Error>(table)
    /// };
    /// let users = table(&[2, 2], 0, &[1.0, 0.0, 0.0, 1.0])?;
    /// let items = table(&[3, 3], 1, &[0.0, 2.0, 0.0, 0.1, 0.0, 2.0])?; // a bias, then the embedding
    /// let model = options.with_embeddings(Embeddings::from_tables(users, items, true)?)?;
    ///
    /// let excluded = |_| &[][..];
    /// let request =
    ///     RankRequest {
    ///         users: &[0, 1],
    ///         candidates: &[0, 1],
    ///         excluded: &excluded,
    ///         k: 1,
    ///         item_biases: None,
    ///         scores: false,
    ///     };
    /// let lists = model.rank(request)?;
    /// assert_eq!((lists.user(0), lists.user(1)), (&[0][..], &[1][..]));
    /// # Ok(()) }
    /// ```
    pub fn from_tables(users: RaggedTable, items: RaggedTable, item_bias: bool) -> Result<Self> {
        let op = "Embeddings::from_tables";
        let same = users.account().is_same(items.account());
        check::domain(op, "items", "another one", same, "of the account of `users`")?;
        let same = users.device().is_same(items.device());
        check::domain(op, "items", items.device().describe(), same, "on the device of `users`")?;
        let [lie, other] = [&users, &items].map(|table| lie(table.as_rows().layout()));
        check::domain(op, "items", &other, lie == other, &format!("of values like those of `users`, {lie}"))?;
        let [name, other] = [&users, &items].map(|table| table.options().rule.optimizer.name());
        check::domain(op, "items", other, name == other, &format!("moved by the optimizer of `users`, {name}"))?;
        if item_bias {
            let zeros = items.options().zero_dims;
            check::domain(
                op,
                "items",
                zeros,
                zeros == 1,
                "of `zero_dims` 1, where new rows begin with a bias of zero",
            )?;
            if let Some(item) = items.sizes().position(|size| size == 0) {
                let found = format!("row {item} of no values");
                check::domain(op, "items", found, false, "of rows that begin with a bias")?;
            }
        }
        Ok(Self { device: users.device().unlabeled(), users, items, item_bias, peak_bytes: 0 })
    }

    /// That they are what these options of a model ask for; from here on they move by its rule. Errors name `op`.
    pub(in crate::models) fn adopt(
        &mut self,
        op: &'static str,
        rule: UpdateRule,
        item_bias: bool,
        layout: Layout,
    ) -> Result<()> {
        let (with, without) = ("with an item bias", "without an item bias");
        let words = |bias| if bias { with } else { without };
        let same = self.item_bias == item_bias;
        check::domain(
            op,
            "embeddings",
            words(self.item_bias),
            same,
            &format!("{}, as in the options", words(item_bias)),
        )?;
        let (lie, found) = (lie(layout), lie(self.users.as_rows().layout()));
        check::domain(op, "embeddings", &found, lie == found, &format!("of values as in the options, {lie}"))?;
        self.users.set_rule(op, rule)?;
        self.items.set_rule(op, rule)
    }
}

/// How values lie in memory, whatever the pages: what a budget in bytes goes by.
fn lie(layout: Layout) -> String {
    format!("{} {}", if layout.aligned { "aligned" } else { "packed" }, layout.format.name())
}
