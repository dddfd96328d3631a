//! Reading rows, and setting them.

use super::RaggedTable;
use crate::Result;
use crate::check;
use crate::device::{Buffer, Kernel, Recorder};
use crate::kernels::table::bags::{LookupBags, Pooling};
use crate::kernels::table::lookup::{Lookup, LookupPacked, LookupSizes, Output};
use crate::kernels::table::store::Store;
use crate::kernels::{Count, Countable, Counted};
use crate::table::Offsets;

/// Row ids on the device, all of a buffer (which is one by `into()`) or the first of them.
#[derive(Clone, Copy, Debug)]
pub struct Ids<'a> {
    /// The ids.
    pub ids: &'a Buffer<u32>,
    /// How many of them, where that is not all.
    pub count: Option<Count<'a>>,
}

impl<'a> From<&'a Buffer<u32>> for Ids<'a> {
    fn from(ids: &'a Buffer<u32>) -> Self {
        Self { ids, count: None }
    }
}

/// Bags of ids to look up, and where the pooled rows go: see [`LookupBags`], which has the same fields.
#[derive(Debug)]
pub struct BagLookup<'a, T: Output = f32> {
    /// Row ids, bag after bag.
    pub ids: &'a Buffer<u32>,
    /// `bags + 1` offsets into `ids`, monotone, the last at most its length.
    pub bags: &'a Buffer<u32>,
    /// How many of the bags, where that is not all.
    pub count: Option<Count<'a>>,
    /// Ids in the longest bag, or more.
    pub longest_bag: u32,
    /// A factor for each id.
    pub weights: Option<&'a Buffer<f32>>,
    /// Sum, mean or max.
    pub pooling: Pooling,
    /// Output width `D`; even for f16.
    pub dims: u32,
    /// `bags * D` values; every one is written.
    pub out: &'a mut Buffer<T>,
    /// For the max of f32: `bags * D` positions in `ids`, which the way back wants.
    pub winners: Option<&'a mut Buffer<u32>>,
}

/// Rows to look up without padding, and where they go: see [`LookupPacked`], which has the same fields.
#[derive(Debug)]
pub struct PackedLookup<'a, T: Output = f32> {
    /// Row ids.
    pub ids: &'a Buffer<u32>,
    /// How many of them, where that is not all.
    pub count: Option<Count<'a>>,
    /// An offset into `out` for each id and one more, never falling.
    pub out_offsets: &'a Buffer<u32>,
    /// Widest stretch between two of these, or wider.
    pub widest: u32,
    /// The output; what lies outside of all stretches is left as it is. Even for f16.
    pub out: &'a mut Buffer<T>,
}

impl RaggedTable {
    /// The first `dims` values of some rows, zero-padded: `[ids, dims]`.
    ///
    /// # Errors
    /// [`Error::IdOutOfRange`](crate::Error::IdOutOfRange) for an id past the table.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::{Buffer, Device};
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let device = Device::cpu();
    /// let mut table = RaggedTable::new(&device, &[1, 0, 3], TableOptions::default(), &Account::unlimited())?;
    /// table.store_rows(&[0, 2], &Buffer::from_slice(&device, &[1.0, 0.0, 0.0, 2.0, 3.0, 4.0])?, 3)?;
    /// assert_eq!(table.lookup(&[2, 0, 1], 2)?.read()?, [2.0, 3.0, 1.0, 0.0, 0.0, 0.0]); // [3, 2]
    /// assert!(table.lookup(&[3], 2).is_err()); // there is no row 3
    /// # Ok(()) }
    /// ```
    pub fn lookup(&self, ids: &[u32], dims: u32) -> Result<Buffer<f32>> {
        check::dims(Lookup::<f32>::NAME, dims)?;
        let ids = self.upload_ids(Lookup::<f32>::NAME, ids)?;
        let mut out = Buffer::zeroed(self.device(), ids.len() * dims as usize)?;
        let mut commands = self.device().commands();
        self.record_lookup(&mut commands, &ids, dims, &mut out)?;
        commands.submit()?;
        Ok(out)
    }

    /// [`lookup`](Self::lookup) for ids that are on the device, as a part of the caller's commands or pass: into `out`,
    /// `[ids, dims]`, every value of which is written. An id past the table is an empty row. Nothing but bind groups is
    /// made.
    ///
    /// # Errors
    /// Those of [`Lookup`].
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::{Buffer, Device};
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let device = Device::cpu();
    /// let mut table = RaggedTable::new(&device, &[1, 0, 3], TableOptions::default(), &Account::unlimited())?;
    /// table.store_rows(&[0, 2], &Buffer::from_slice(&device, &[1.0, 0.0, 0.0, 2.0, 3.0, 4.0])?, 3)?;
    /// let ids = Buffer::from_slice(&device, &[2u32, 0])?;
    /// let mut out = Buffer::<f32>::zeroed(&device, 2 * 2)?;
    /// let mut commands = device.commands();
    /// table.record_lookup(&mut commands, &ids, 2, &mut out)?;
    /// commands.submit()?;
    /// assert_eq!(out.read()?, [2.0, 3.0, 1.0, 0.0]);
    /// # Ok(()) }
    /// ```
    pub fn record_lookup<'a, T: Output>(
        &self,
        recorder: &mut impl Recorder,
        ids: impl Into<Ids<'a>>,
        dims: u32,
        out: &mut Buffer<T>,
    ) -> Result<()> {
        let Ids { ids, count } = ids.into();
        run(recorder, Lookup { rows: &self.rows, ids, dims, out }, count)
    }

    /// The first `dims` values of some rows without padding, one row after the other, and where each begins and the
    /// last ends: `[sum of min(size, dims)]` and `[ids + 1]`.
    ///
    /// # Errors
    /// [`Error::IdOutOfRange`](crate::Error::IdOutOfRange) for an id past the table;
    /// [`Error::Limit`](crate::Error::Limit) past 2^32 values.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::{Buffer, Device};
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let device = Device::cpu();
    /// let mut table = RaggedTable::new(&device, &[1, 0, 3], TableOptions::default(), &Account::unlimited())?;
    /// table.store_rows(&[0, 2], &Buffer::from_slice(&device, &[1.0, 0.0, 0.0, 2.0, 3.0, 4.0])?, 3)?;
    /// let (values, offsets) = table.lookup_packed(&[2, 1, 0], 2)?;
    /// assert_eq!(values.read()?, [2.0, 3.0, 1.0]);
    /// assert_eq!(offsets.read()?, [0, 2, 2, 3]);
    /// # Ok(()) }
    /// ```
    pub fn lookup_packed(&self, ids: &[u32], dims: u32) -> Result<(Buffer<f32>, Buffer<u32>)> {
        check::dims(Lookup::<f32>::NAME, dims)?;
        let on_device = self.upload_ids(Lookup::<f32>::NAME, ids)?;
        let sizes: Vec<u32> = ids.iter().map(|&id| self.size(id).min(dims)).collect();
        let out_offsets = Offsets::from_sizes(&sizes)?;
        let mut out = Buffer::zeroed(self.device(), out_offsets.values())?;
        let out_offsets = Buffer::from_vec(self.device(), out_offsets.into_vec())?;
        let widest = sizes.iter().copied().max().unwrap_or(0);
        let mut commands = self.device().commands();
        let packed = PackedLookup { ids: &on_device, count: None, out_offsets: &out_offsets, widest, out: &mut out };
        self.record_lookup_packed(&mut commands, packed)?;
        commands.submit()?;
        Ok((out, out_offsets))
    }

    /// [`lookup_packed`](Self::lookup_packed) for ids that are on the device, as a part of the caller's commands or
    /// pass. The offsets are those of [`record_lookup_sizes`](Self::record_lookup_sizes) after a
    /// [`Scan`](crate::kernels::prim::scan::Scan), or the caller's own. Nothing but bind groups is made.
    ///
    /// # Errors
    /// Those of [`LookupPacked`].
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::{Buffer, Device};
    /// use scall_gpu::table::{Account, PackedLookup, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let device = Device::cpu();
    /// let mut table = RaggedTable::new(&device, &[1, 2], TableOptions::default(), &Account::unlimited())?;
    /// table.store_rows(&[0, 1], &Buffer::from_slice(&device, &[1.0, 0.0, 2.0, 3.0])?, 2)?;
    /// let ids = Buffer::from_slice(&device, &[1u32, 0])?;
    /// let out_offsets = Buffer::from_slice(&device, &[0u32, 2, 3])?;
    /// let mut out = Buffer::<f32>::zeroed(&device, 3)?;
    /// let mut commands = device.commands();
    /// let lookup = PackedLookup { ids: &ids, count: None, out_offsets: &out_offsets, widest: 2, out: &mut out };
    /// table.record_lookup_packed(&mut commands, lookup)?;
    /// commands.submit()?;
    /// assert_eq!(out.read()?, [2.0, 3.0, 1.0]);
    /// # Ok(()) }
    /// ```
    pub fn record_lookup_packed<T: Output>(
        &self,
        recorder: &mut impl Recorder,
        lookup: PackedLookup<'_, T>,
    ) -> Result<()> {
        let PackedLookup { ids, count, out_offsets, widest, out } = lookup;
        run(recorder, LookupPacked { rows: &self.rows, ids, out_offsets, widest, out }, count)
    }

    /// The sizes of some rows, at most `dims` each, and a 0 after them, as a part of the caller's commands or pass: an
    /// exclusive [`Scan`](crate::kernels::prim::scan::Scan) makes offsets of them. Nothing but bind groups is made.
    ///
    /// # Errors
    /// Those of [`LookupSizes`].
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::{Buffer, Device};
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let device = Device::cpu();
    /// let table = RaggedTable::new(&device, &[1, 0, 3], TableOptions::default(), &Account::unlimited())?;
    /// let ids = Buffer::from_slice(&device, &[2u32, 1, 0])?;
    /// let mut sizes = Buffer::zeroed(&device, 3 + 1)?;
    /// let mut commands = device.commands();
    /// table.record_lookup_sizes(&mut commands, &ids, 2, &mut sizes)?;
    /// commands.submit()?;
    /// assert_eq!(sizes.read()?, [2, 0, 1, 0]);
    /// # Ok(()) }
    /// ```
    pub fn record_lookup_sizes<'a>(
        &self,
        recorder: &mut impl Recorder,
        ids: impl Into<Ids<'a>>,
        dims: u32,
        sizes: &mut Buffer<u32>,
    ) -> Result<()> {
        let Ids { ids, count } = ids.into();
        run(recorder, LookupSizes { rows: &self.rows, ids, dims, out: sizes }, count)
    }

    /// The rows of each bag as one, `[bags, dims]`: bag k has the ids `bags[k]..bags[k + 1]`.
    ///
    /// # Errors
    /// [`Error::IdOutOfRange`](crate::Error::IdOutOfRange) for an id past the table;
    /// [`Error::Argument`](crate::Error::Argument) for bags that fall or pass the last id.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::{Buffer, Device};
    /// use scall_gpu::kernels::table::bags::Pooling;
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let device = Device::cpu();
    /// let mut table = RaggedTable::new(&device, &[1, 2], TableOptions::default(), &Account::unlimited())?;
    /// table.store_rows(&[0, 1], &Buffer::from_slice(&device, &[1.0, 0.0, 3.0, 4.0])?, 2)?;
    /// let pooled = table.lookup_bags(&[0, 1, 1], &[0, 2, 2, 3], Pooling::Mean, 2)?; // rows 0 and 1; none; row 1
    /// assert_eq!(pooled.read()?, [2.0, 2.0, 0.0, 0.0, 3.0, 4.0]); // [3, 2]
    /// # Ok(()) }
    /// ```
    pub fn lookup_bags(&self, ids: &[u32], bags: &[u32], pooling: Pooling, dims: u32) -> Result<Buffer<f32>> {
        let op = LookupBags::<f32>::NAME;
        check::rows(op, "bags", bags.len())?;
        check::dims(op, dims)?;
        check::offsets(op, "bags", bags, ids.len())?;
        let ids = self.upload_ids(op, ids)?;
        let longest_bag = bags.windows(2).map(|bag| bag[1] - bag[0]).max().unwrap_or(0);
        let mut out = Buffer::zeroed(self.device(), (bags.len() - 1) * dims as usize)?;
        let bags = Buffer::from_slice(self.device(), bags)?;
        let mut commands = self.device().commands();
        let (count, weights, winners) = (None, None, None);
        let lookup =
            BagLookup { ids: &ids, bags: &bags, count, longest_bag, weights, pooling, dims, out: &mut out, winners };
        self.record_lookup_bags(&mut commands, lookup)?;
        commands.submit()?;
        Ok(out)
    }

    /// [`lookup_bags`](Self::lookup_bags) for ids that are on the device, as a part of the caller's commands or pass.
    /// An id past the table is an empty row. Nothing but bind groups is made.
    ///
    /// # Errors
    /// Those of [`LookupBags`].
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::{Buffer, Device};
    /// use scall_gpu::kernels::table::bags::Pooling;
    /// use scall_gpu::table::{Account, BagLookup, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let device = Device::cpu();
    /// let mut table = RaggedTable::new(&device, &[1, 2], TableOptions::default(), &Account::unlimited())?;
    /// table.store_rows(&[0, 1], &Buffer::from_slice(&device, &[1.0, 0.0, 3.0, 4.0])?, 2)?;
    /// let (ids, bags) = (Buffer::from_slice(&device, &[0u32, 1])?, Buffer::from_slice(&device, &[0u32, 2])?);
    /// let weights = Buffer::from_slice(&device, &[1.0f32, 0.5])?;
    /// let mut out = Buffer::<f32>::zeroed(&device, 2)?;
    /// let mut commands = device.commands();
    /// let lookup = BagLookup {
    ///     ids: &ids,
    ///     bags: &bags,
    ///     count: None,
    ///     longest_bag: 2,
    ///     weights: Some(&weights),
    ///     pooling: Pooling::Sum,
    ///     dims: 2,
    ///     out: &mut out,
    ///     winners: None,
    /// };
    /// table.record_lookup_bags(&mut commands, lookup)?;
    /// commands.submit()?;
    /// assert_eq!(out.read()?, [2.5, 2.0]); // [1, 2]
    /// # Ok(()) }
    /// ```
    pub fn record_lookup_bags<T: Output>(&self, recorder: &mut impl Recorder, lookup: BagLookup<'_, T>) -> Result<()> {
        let BagLookup { ids, bags, count, longest_bag, weights, pooling, dims, out, winners } = lookup;
        let kernel = LookupBags { rows: &self.rows, ids, bags, longest_bag, weights, pooling, dims, out, winners };
        run(recorder, kernel, count)
    }

    /// Sets the first `dims` values of some rows: `values` is `[ids, dims]`, and what a row has no room for is left
    /// out. State and the count of steps stay.
    ///
    /// # Errors
    /// [`Error::IdOutOfRange`](crate::Error::IdOutOfRange) for an id past the table,
    /// [`Error::Shape`](crate::Error::Shape) for values of another shape; nothing is written then.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::{Buffer, Device};
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let device = Device::cpu();
    /// let mut table = RaggedTable::new(&device, &[1, 2], TableOptions::default(), &Account::unlimited())?;
    /// // Pretrained rows of two values, of which row 0 takes one.
    /// table.store_rows(&[0, 1], &Buffer::from_slice(&device, &[1.0, 2.0, 3.0, 4.0])?, 2)?;
    /// assert_eq!(table.read()?, [1.0, 3.0, 4.0]);
    /// # Ok(()) }
    /// ```
    pub fn store_rows(&mut self, ids: &[u32], values: &Buffer<f32>, dims: u32) -> Result<()> {
        let ids = self.upload_ids(Store::NAME, ids)?;
        let mut commands = self.device().commands();
        self.record_store(&mut commands, &ids, values, dims)?;
        commands.submit()
    }

    /// [`store_rows`](Self::store_rows) for ids that are on the device, which have to be distinct, as a part of the
    /// caller's commands or pass. Ids past the table are left out. Nothing but bind groups is made.
    ///
    /// # Errors
    /// Those of [`Store`].
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::{Buffer, Device};
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let device = Device::cpu();
    /// let mut table = RaggedTable::new(&device, &[1, 2], TableOptions::default(), &Account::unlimited())?;
    /// let (ids, values) = (Buffer::from_slice(&device, &[1u32, 0])?, Buffer::from_slice(&device, &[7.0f32, 8.0])?);
    /// let mut commands = device.commands();
    /// table.record_store(&mut commands, &ids, &values, 1)?; // [2, 1]
    /// commands.submit()?;
    /// assert_eq!(table.read()?[..2], [8.0, 7.0]); // the second dim of row 1 stays
    /// # Ok(()) }
    /// ```
    pub fn record_store(
        &mut self,
        recorder: &mut impl Recorder,
        ids: &Buffer<u32>,
        values: &Buffer<f32>,
        dims: u32,
    ) -> Result<()> {
        recorder.run(Store { rows: &mut self.rows, ids, values, dims })
    }
}

/// Runs a kernel on all of its ids (or bags), or on the first.
pub(super) fn run<K: Countable>(recorder: &mut impl Recorder, kernel: K, count: Option<Count<'_>>) -> Result<()> {
    match count {
        None => recorder.run(kernel),
        Some(count) => recorder.run(Counted { count, of: kernel }),
    }
}
