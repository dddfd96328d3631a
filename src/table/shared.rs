//! Vectors for keys that have no rows of their own: they share those of one table.

use super::{Account, BagLookup, Occurrences, RaggedTable, TableOptions};
use crate::check::domain;
use crate::device::{Buffer, Device, Recorder};
use crate::file::{Numbers, State};
use crate::kernels::table::addresses::{Addresses, Sharing};
use crate::kernels::table::bags::Pooling;
use crate::kernels::table::update::{BagGradients, Gradients};
use crate::{Error, Result, check};

/// Vectors of one width for every key of 64 bits, in a fixed number of bytes: keys share rows.
///
/// For ids that never end and come too seldom for a row, such as hashed ones or pairs of ids. Two keys whose rows
/// differ in part learn a little of each other, so **where an id can have a row of its own, even one of few values in
/// [`Format::I8`](crate::rows::Format::I8), that ranks better at the same bytes**: a [`RaggedTable`] with a
/// [`RowMap`](super::RowMap) is for those.
///
/// The rows are those of a [`RaggedTable`] in any format, with any optimizer. Which rows a key reads, the kernel
/// [`addresses`](crate::kernels::table::addresses) says; lookups, sums and updates are the kernels of any table. So
/// keys that stand twice in a batch are exact, and a key that was never seen has a vector too, always the same one
/// until its rows are trained.
///
/// # Bytes
/// Those of the table's rows of one size.
///
/// # Example
/// ```
/// use scall_gpu::device::{Buffer, Device};
/// use scall_gpu::kernels::table::addresses::Sharing;
/// use scall_gpu::kernels::table::optimizer::Optimizer;
/// use scall_gpu::table::{Account, SharedTable, TableOptions};
/// # fn main() -> scall_gpu::Result<()> {
/// let device = Device::cpu();
/// let rule = Optimizer::Sgd { learning_rate: 0.5 }.into();
/// let options = TableOptions { rule, ..TableOptions::default() };
/// let sharing = Sharing::Blocks { blocks: 2, bits: 10 }; // 2,048 rows for 2^20 vectors that differ, and more keys
/// let mut table = SharedTable::new(&device, sharing, 8, options, &Account::unlimited())?;
/// assert_eq!((table.dims(), table.table().rows()), (8, 2048));
///
/// let keys = [17, u64::MAX, 17];
/// let before = table.lookup(&keys)?.read()?; // [3, 8]
/// assert_eq!(before[..8], before[16..]);
/// table.apply_gradients(&keys, &Buffer::from_slice(&device, &[0.1; 3 * 8])?)?;
/// let after = table.lookup(&keys)?.read()?;
/// assert!((before[0] - after[0] - 0.2).abs() < 1e-6); // two rows, each along both gradients of key 17
///
/// table.grow()?; // twice the rows, and every vector as it was
/// assert_eq!((table.lookup(&keys)?.read()?, table.table().rows()), (after, 4096));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct SharedTable {
    table: RaggedTable,
    sharing: Sharing,
}

/// Room for a batch's addresses and for what an update needs: made once, used for every batch of that many keys.
#[derive(Debug)]
pub struct SharedBatch {
    /// `[B, K]`.
    addresses: Buffer<u32>,
    /// 0, K, 2 K, ..: the rows of each key are a bag.
    bags: Buffer<u32>,
    workspace: Buffer<u32>,
}

impl SharedTable {
    /// A table of new rows for vectors of `dims` values. The seed of `options` is that of addresses too.
    ///
    /// # Errors
    /// [`Error::Argument`] for a sharing outside its domain, or chunks that do not divide `dims`;
    /// [`Error::OverBudget`] where the account has no room; those of [`RaggedTable::new`].
    pub fn new(device: &Device, sharing: Sharing, dims: u32, options: TableOptions, account: &Account) -> Result<Self> {
        let op = "SharedTable::new";
        sharing.check(op)?;
        check::dims(op, dims)?;
        let width = match sharing {
            Sharing::Blocks { .. } => dims,
            Sharing::Chunks { chunks, .. } => {
                let expected = format!("a multiple of the {chunks} chunks");
                domain(op, "dims", dims, dims.is_multiple_of(chunks), &expected)?;
                dims / chunks
            }
        };
        let table = RaggedTable::new(device, &vec![width; sharing.rows() as usize], options, account)?;
        Ok(Self { table, sharing })
    }

    /// Rows that were shared so before: a table that was [saved](RaggedTable::save) and loaded.
    ///
    /// # Errors
    /// [`Error::Argument`] for a sharing outside its domain, and for rows of different sizes; [`Error::Shape`] for
    /// another number of rows.
    pub fn of(table: RaggedTable, sharing: Sharing) -> Result<Self> {
        let op = "SharedTable::of";
        sharing.check(op)?;
        let (expected, got) = (sharing.rows(), u64::from(table.rows()));
        if expected != got {
            return Err(Error::Shape { op, arg: "table", expected, got });
        }
        let width = table.size(0);
        let equal = table.sizes().all(|size| size == width) && width > 0;
        domain(op, "table", "rows of several", equal, "one whose rows have one size above 0")?;
        Ok(Self { table, sharing })
    }

    /// The vectors of keys: `[keys, dims]`.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn lookup(&self, keys: &[u64]) -> Result<Buffer<f32>> {
        let device = self.table.device();
        let (words, mut batch) = (self.upload(keys)?, self.batch(keys.len() as u32)?);
        let mut out = Buffer::zeroed(device, keys.len() * self.dims() as usize)?;
        let mut commands = device.commands();
        self.record_lookup(&mut commands, &words, &mut batch, &mut out)?;
        commands.submit()?;
        Ok(out)
    }

    /// Steps the rows of keys along the gradients of their vectors, `[keys, dims]`: those of one row are summed first,
    /// then it steps once.
    ///
    /// # Errors
    /// [`Error::Shape`] for gradients of another shape.
    pub fn apply_gradients(&mut self, keys: &[u64], gradients: &Buffer<f32>) -> Result<()> {
        let (words, mut batch) = (self.upload(keys)?, self.batch(keys.len() as u32)?);
        let mut commands = self.table.device().commands();
        self.record_update(&mut commands, &words, gradients, &mut batch)?;
        commands.submit()
    }

    /// Room for batches of `count` keys, for the methods below.
    ///
    /// # Errors
    /// [`Error::Limit`] for more addresses than a number of 32 bits counts, or past the device's largest binding.
    pub fn batch(&self, count: u32) -> Result<SharedBatch> {
        let parts = self.sharing.parts();
        let addresses = u64::from(count) * u64::from(parts);
        check::indexable("SharedTable::batch", "count", addresses)?;
        let device = self.table.device();
        let bags: Vec<u32> = (0..=count).map(|key| key * parts).collect();
        let workspace = self.table.update_workspace_len(addresses as u32, self.table.widest());
        Ok(SharedBatch {
            addresses: Buffer::zeroed(device, addresses as usize)?,
            bags: Buffer::from_vec(device, bags)?,
            workspace: Buffer::zeroed(device, workspace)?,
        })
    }

    /// [`lookup`](Self::lookup) of keys on the device, as a part of the caller's commands or pass: keys are `[B, 2]`
    /// words, the low one first, of the number of keys that the batch is for.
    ///
    /// # Errors
    /// Those of the kernels, [`Error::Shape`] for another number of keys among them.
    pub fn record_lookup(
        &self,
        recorder: &mut impl Recorder,
        keys: &Buffer<u32>,
        batch: &mut SharedBatch,
        out: &mut Buffer<f32>,
    ) -> Result<()> {
        let SharedBatch { addresses, bags, .. } = batch;
        self.record_addresses(recorder, keys, addresses)?;
        match self.sharing {
            Sharing::Chunks { .. } => self.table.record_lookup(recorder, &*addresses, self.table.widest(), out),
            Sharing::Blocks { blocks, .. } => {
                let (ids, longest_bag, dims) = (&*addresses, blocks, self.dims());
                let (count, weights, winners, pooling) = (None, None, None, Pooling::Sum);
                let lookup = BagLookup { ids, bags, count, longest_bag, weights, pooling, dims, out, winners };
                self.table.record_lookup_bags(recorder, lookup)
            }
        }
    }

    /// [`apply_gradients`](Self::apply_gradients) of keys on the device, as
    /// [`record_lookup`](Self::record_lookup) takes them.
    ///
    /// # Errors
    /// Those of the kernels, [`Error::Shape`] for another number of keys or gradients among them.
    pub fn record_update(
        &mut self,
        recorder: &mut impl Recorder,
        keys: &Buffer<u32>,
        gradients: &Buffer<f32>,
        batch: &mut SharedBatch,
    ) -> Result<()> {
        let SharedBatch { addresses, bags, workspace } = batch;
        self.record_addresses(recorder, keys, addresses)?;
        let gradients = match self.sharing {
            Sharing::Chunks { .. } => gradients.into(),
            Sharing::Blocks { .. } => {
                let (weights, winners, pooling) = (None, None, Pooling::Sum);
                Gradients::Bags(BagGradients { gradients, bags, weights, pooling, winners })
            }
        };
        let (ids, count, dims) = (&*addresses, (addresses.len() as u32).into(), self.table.widest());
        self.table.record_update(recorder, Occurrences { ids, first: 0, count, gradients, dims }, workspace)
    }

    fn record_addresses(&self, recorder: &mut impl Recorder, keys: &Buffer<u32>, out: &mut Buffer<u32>) -> Result<()> {
        let (sharing, seed) = (self.sharing, self.table.options().seed);
        recorder.run(Addresses { keys, sharing, seed, out })
    }

    /// Gives each block a bit more: twice the rows, each as two copies of what it was, optimizer state included. Every
    /// key keeps its vector, bit for bit; keys that shared a row learn apart from there.
    ///
    /// # Cost
    /// All of the table is on the host meanwhile.
    ///
    /// # Errors
    /// [`Error::Argument`] for chunks, whose rows would be others, and for a bit too many;
    /// [`Error::OverBudget`] where the account has no room. Nothing has changed then.
    pub fn grow(&mut self) -> Result<()> {
        let op = "SharedTable::grow";
        let Sharing::Blocks { blocks, bits } = self.sharing else {
            return domain(op, "sharing", "chunks", false, "blocks");
        };
        let sharing = Sharing::Blocks { blocks, bits: bits + 1 };
        sharing.check(op)?;
        let (state, mut grown) = (self.table.state()?, State::default());
        for (name, numbers) in state.iter() {
            let of_rows = !["steps", "learning_rate"].contains(&name);
            grown.put(name, if of_rows { twice(numbers, blocks as usize) } else { numbers.clone() });
        }
        self.table.restore_state(&grown)?;
        self.sharing = sharing;
        Ok(())
    }

    /// The rows.
    pub fn table(&self) -> &RaggedTable {
        &self.table
    }

    /// The same, to set its learning rate or to look for gradients that were not finite.
    pub fn table_mut(&mut self) -> &mut RaggedTable {
        &mut self.table
    }

    /// How they are shared.
    pub fn sharing(&self) -> Sharing {
        self.sharing
    }

    /// Width of a key's vector.
    pub fn dims(&self) -> u32 {
        match self.sharing {
            Sharing::Blocks { .. } => self.table.widest(),
            Sharing::Chunks { chunks, .. } => chunks * self.table.widest(),
        }
    }

    fn upload(&self, keys: &[u64]) -> Result<Buffer<u32>> {
        let words: Vec<u32> = keys.iter().flat_map(|&key| [key as u32, (key >> 32) as u32]).collect();
        Buffer::from_vec(self.table.device(), words)
    }
}

/// Numbers of some blocks, those of each block once more after it.
fn twice(numbers: &Numbers, blocks: usize) -> Numbers {
    fn of<T: Copy>(numbers: &[T], blocks: usize) -> Vec<T> {
        let block = (numbers.len() / blocks).max(1);
        numbers.chunks(block).flat_map(|block| [block, block].concat()).collect()
    }
    match numbers {
        Numbers::U8(numbers) => of(numbers, blocks).into(),
        Numbers::U16(numbers) => of(numbers, blocks).into(),
        Numbers::U32(numbers) => of(numbers, blocks).into(),
        Numbers::U64(numbers) => of(numbers, blocks).into(),
        Numbers::I64(numbers) => of(numbers, blocks).into(),
        Numbers::F32(numbers) => of(numbers, blocks).into(),
        Numbers::F64(numbers) => of(numbers, blocks).into(),
    }
}

#[cfg(test)]
mod tests;
