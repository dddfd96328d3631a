//! Rows of different sizes in memory: what the kernels of a table read and write.
//!
//! ```text
//! row           0   1     2      3          4      sizes 2, 0, 3, 1, 2
//! values        a a       c c c  d          e e    one arena, row after row
//! ends (u16)    2   2     5      6          2      where a row ends, counted from its block's base
//! bases (u32)   0                           6      one a block of rows: here of 4
//! ```
//!
//! Row r lies from `base(r >> s) + start(r)` to `base(r >> s) + end(r)`. `start(r)` is 0 for the first row of a block,
//! and the end of the row before it otherwise. A block has `2^s` rows: the largest power of two, at most 4,096, of rows
//! whose ends fit 16 bits whatever their sizes. That is 512 for rows of up to 64 values, and 128 for rows of up to 256.
//! So the directory takes 2 bytes a row and a word a block, and a row is found by three loads.
//!
//! How a value is stored is its [`Format`]. Rows may begin at multiples of 16 bytes ([`Layout::aligned`]). Rows of
//! values of one or two bytes begin at a word in any case, so that no two rows share one. What lies between rows is
//! never read.
//!
//! Rows that do not fit one page (a GPU's largest binding, or less on request) lie in several pages, each with a
//! directory of its own. A row never straddles two. Kernels go from page to page, so all of them take any number of
//! pages. Where several rows are summed on a GPU, the rows of one page come before those of the next.
//!
//! Source: the packed layout of jagged tensors. Offsets relative to a block are known from succinct indexes (Elias-Fano
//! without the low bits).

use crate::Result;
use crate::check;
use crate::device::{Buffer, Device, check_distinct};

mod codec;
mod directory;
mod host;
mod host_directory;
mod layout;
mod page;
mod place;
mod state;
mod transfer;

#[cfg(test)]
pub(crate) use codec::Scalar;
pub use codec::{Code, Format, Values};
pub(crate) use codec::{Codec, Noise, Stored, WIDEST_VECTOR, per_word, with_codec};
pub use directory::Directory;
pub(crate) use host::{BEYOND_CACHES, HostRows, VALUES_AHEAD, prefetch_slice};
pub(crate) use host_directory::HostDirectory;
pub use layout::Layout;
pub use page::Page;
pub(crate) use page::{PageLaunch, PageParams};
pub(crate) use place::{PageLimits, Place, WIDEST};
pub use state::StateSize;

/// Rows of different sizes on one device. See the [module](self).
///
/// ```
/// use scall_gpu::device::Device;
/// use scall_gpu::rows::{Layout, Rows};
/// # fn main() -> scall_gpu::Result<()> {
/// let mut rows = Rows::zeroed(&Device::cpu(), &[2, 0, 1], Layout::default(), Default::default())?;
/// rows.write(&[1.0, 2.0, 3.0])?;
/// assert_eq!((rows.len(), rows.size(0)), (3, 2));
/// assert_eq!(rows.read()?, [1.0, 2.0, 3.0]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Rows {
    device: Device,
    layout: Layout,
    state_size: StateSize,
    values: u64,
    widest: u32,
    /// The largest size that a row will ever have, 0 where nobody has said.
    largest: u32,
    pages: Vec<Page>,
}

impl Rows {
    /// Rows of these sizes, values and state zero.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) for a row past 65,535 values or past a page, or a directory past the
    /// device's largest binding.
    pub fn zeroed(device: &Device, sizes: &[u32], layout: Layout, state: StateSize) -> Result<Self> {
        Self::arranged(device, &Directory::new(device, sizes, layout, state)?, layout, state)
    }

    /// Rows of these sizes in a caller's buffers, such as wrapped ones of wgpu: one page, row after row, the rows
    /// aligned or not.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for values or state of another length than the rows have in this layout;
    /// [`Error::Buffer`](crate::Error::Buffer)
    /// where two of the buffers share bytes of one wgpu buffer; those of [`Rows::zeroed`].
    pub fn from_parts(
        device: &Device,
        sizes: &[u32],
        aligned: bool,
        values: Values,
        state: (StateSize, Vec<Buffer<f32>>),
    ) -> Result<Self> {
        let layout = Layout { format: values.format(), aligned, page_bytes: None };
        let (state_size, state) = state;
        let op = "Rows::from_parts";
        let directory = Directory::in_pages(sizes, layout.alignment(), PageLimits::NONE, &[])?;
        let (place, len) = directory.place(0);
        check::len(op, "sizes", place.rows as usize, sizes.len() as u64)?;
        check::len(op, "values", values.len(), len as u64)?;
        let lens = state_size.lens(place.rows as usize, len);
        check::len(op, "state", state.len(), lens.len() as u64)?;
        for (state, len) in state.iter().zip(lens) {
            check::len(op, "state", state.len(), len as u64)?;
        }
        let names = ["values", "state[0]", "state[1]"];
        let parts = [values.as_wgpu_binding()].into_iter().chain(state.iter().map(Buffer::as_wgpu_binding));
        check_distinct(op, names.into_iter().zip(parts))?;
        let pages = vec![Page::of(device, &directory, 0, (values, state, state_size.per_value as usize))?];
        Ok(Self {
            device: device.clone(),
            layout,
            state_size,
            values: directory.values(),
            widest: directory.widest(),
            largest: 0,
            pages,
        })
    }

    /// Dense rows of one width in one page, zero: `[rows, width]`, f32 and without state, for kernels that take rows.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) for a width past 65,535, and past the device's largest binding.
    pub fn dense(device: &Device, rows: u32, width: u32) -> Result<Self> {
        check::indexable("Rows::dense", "rows", u64::from(rows) * u64::from(width))?;
        let sizes = vec![width; rows as usize];
        let directory = Directory::in_pages(&sizes, 1, PageLimits { values: u32::MAX, rows: u32::MAX }, &[])?;
        Self::arranged(device, &directory, Layout::default(), StateSize::default())
    }

    /// Zeros at the places of a directory.
    pub(crate) fn arranged(device: &Device, of: &Directory, layout: Layout, state: StateSize) -> Result<Self> {
        let pages = (0..of.pages()).map(|page| Page::zeroed(device, of, page, layout.format, state));
        Ok(Self::in_pages(device, pages.collect::<Result<_>>()?, (layout, state)))
    }

    /// Pages that follow each other, at least one.
    pub(crate) fn in_pages(device: &Device, pages: Vec<Page>, (layout, state_size): (Layout, StateSize)) -> Self {
        let sizes = pages.iter().flat_map(Page::spans).map(|span| span.len() as u32);
        let (values, widest) =
            sizes.fold((0, 0), |(sum, most): (u64, u32), size| (sum + u64::from(size), most.max(size)));
        Self { device: device.clone(), layout, state_size, values, widest, largest: 0, pages }
    }

    /// The device they live on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How they lie in memory.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The state that is kept with them.
    pub fn state_size(&self) -> StateSize {
        self.state_size
    }

    /// Number of rows.
    pub fn len(&self) -> u32 {
        let last = self.pages[self.pages.len() - 1].place;
        last.first + last.rows
    }

    /// True when there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of values of all rows, without those between rows.
    pub fn values(&self) -> u64 {
        self.values
    }

    /// Size of the widest row.
    pub fn widest(&self) -> u32 {
        self.widest
    }

    /// The largest size that a row will ever have, as far as that was said, else 0.
    pub(crate) fn largest_expected(&self) -> u32 {
        self.largest
    }

    /// Says what the largest size will be.
    pub(crate) fn expect(&mut self, largest: u32) {
        self.largest = largest;
    }

    /// The pages, in the order of their rows; at least one.
    pub fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// The pages for writing, as [`Migrate`](crate::kernels::table::migrate::Migrate) takes them. A caller must not
    /// exchange one page for another.
    pub fn pages_mut(&mut self) -> &mut [Page] {
        &mut self.pages
    }

    /// Size of one row.
    ///
    /// # Panics
    /// When `row` is not below [`len`](Self::len).
    pub fn size(&self, row: u32) -> u32 {
        let page = &self.pages[self.pages.partition_point(|page| page.place.first <= row) - 1];
        page.place.span(page.words(), row - page.place.first).len() as u32
    }

    /// The sizes of all rows.
    pub fn sizes(&self) -> impl Iterator<Item = u32> + '_ {
        self.pages.iter().flat_map(|page| page.spans().map(|span| span.len() as u32))
    }

    /// Bytes of the values, including those between rows; of the state; and of the directory.
    pub fn size_bytes(&self) -> [u64; 3] {
        let sum = |bytes: fn(&Page) -> u64| self.pages.iter().map(bytes).sum();
        [
            sum(|page| page.values.size_bytes()),
            sum(|page| page.state.iter().map(Buffer::size_bytes).sum()),
            sum(|page| page.directory.size_bytes()),
        ]
    }

    /// Takes the pages, to move their rows. [`in_pages`](Self::in_pages) makes rows of pages.
    pub(crate) fn take_pages(&mut self) -> Vec<Page> {
        std::mem::take(&mut self.pages)
    }

    /// The values of rows that are dense f32 in one page, as [`dense`](Self::dense) makes them.
    pub(crate) fn as_dense(&self) -> &Buffer<f32> {
        match &self.pages[..] {
            [Page { values: Values::F32(values), .. }] => values,
            _ => panic!("dense rows lie in one page of f32"),
        }
    }

    /// The same, to write.
    pub(crate) fn dense_mut(&mut self) -> &mut Buffer<f32> {
        match &mut self.pages[..] {
            [Page { values: Values::F32(values), .. }] => values,
            _ => panic!("dense rows lie in one page of f32"),
        }
    }
}
