//! Rows of different sizes in memory: what the kernels of a table read and write.
//!
//! ```text
//! row           0   1     2      3          4      sizes 2, 0, 3, 1, 2
//! values        a a       c c c  d          e e    one arena, row after row
//! ends (u16)    2   2     5      6          2      where a row ends, counted from its block's base
//! bases (u32)   0                           6      one a block of rows: here of 4
//! ```
//!
//! Row r lies at `base(r >> s) + start`, `start` being 0 for the first row of a block and the end before it otherwise, and ends at
//! `base + end(r)`. `2^s` is the largest number of rows (at most 4,096) whose ends fit 16 bits, whatever their sizes: 512 for rows of up
//! to 64 values, 128 of up to 256. So the directory takes 2 bytes a row and a word a block, and a row is found by three loads.
//!
//! Values are f32 or f16 ([`Format`]). Rows may begin at multiples of 16 bytes ([`Layout::aligned`]); those of f16 begin at a word in any
//! case, so that no two rows share one. What lies between rows is never read.
//!
//! Rows that do not fit one page (a GPU's largest binding, or less on request) lie in several, each with a directory of its own. A row never
//! straddles pages. Kernels go from page to page, so every one takes any number of them; where several rows are summed, on a GPU those of a
//! page come before those of the next.
//!
//! Source: the packed layout of jagged tensors, and of offsets relative to a block as in succinct indexes (Elias-Fano without the low bits).

use half::f16;

use super::optimizer::StateSize;
use crate::device::{Binding, Buffer, Device};
use crate::kernels::check;
use crate::{Error, Result};

mod directory;
mod host;

pub use directory::Directory;
pub(crate) use directory::{PageLimits, Place, WIDEST};
pub(in crate::kernels) use host::{BEYOND_CACHES, VALUES_AHEAD, prefetch_slice};
pub(in crate::kernels::table) use host::{HostDirectory, Noise};
pub(crate) use host::{HostRows, Value};

/// What a value is stored as. Kernels compute in f32 either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// 4 bytes a value.
    #[default]
    F32,
    /// 2 bytes a value, two to a word, so no feature of a device is needed. Updates round at random ([`super::update`]), so that steps smaller
    /// than half the distance to the next f16 are not lost.
    F16,
}

impl Format {
    /// Bytes of a value.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    /// Values of a 32-bit word.
    pub(crate) fn per_word(self) -> u32 {
        4 / self.bytes() as u32
    }
}

/// How rows lie in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Layout {
    /// What a value is stored as (default: f32).
    pub format: Format,
    /// Whether every row begins at a multiple of 16 bytes (default: no). Costs 6 bytes a row on average.
    pub aligned: bool,
    /// Bytes of the values of a page at most (default: what the device binds; 64 MiB on the CPU). A resize needs room for a page beside
    /// the table, so smaller pages lower its peak; every page is one more dispatch of each kernel.
    pub page_bytes: Option<u64>,
}

impl Layout {
    /// Values between two places where a row may begin.
    pub fn alignment(&self) -> u32 {
        match (self.format, self.aligned) {
            (Format::F32, false) => 1,
            (Format::F16, false) => 2,
            (format, true) => (16 / format.bytes()) as u32,
        }
    }

    /// What a page holds at most on a device, if an optimizer keeps this state.
    pub(crate) fn page_limits(&self, device: &Device, state: StateSize) -> PageLimits {
        // State has the place of its value, in f32.
        let bytes = if state.per_value > 0 { 4 } else { self.format.bytes() };
        let most = match device.as_gpu() {
            Some(gpu) => gpu.limits().max_storage_buffer_binding_size.min(gpu.limits().max_buffer_size),
            None => CPU_PAGE_BYTES,
        };
        let page = self.page_bytes.map_or(most, |page| page.min(most));
        let values = (page / bytes).min(PageLimits::NONE.values.into()) as u32;
        // A row of any size takes at most 6 bytes of the directory.
        let rows = (page / 8).clamp(1, u32::MAX.into()) as u32;
        PageLimits { values: values - values % self.alignment(), rows }
    }

    /// Bytes of the row directories of `tables` tables with so many rows and values together, no row wider than `widest`: at most.
    pub fn metadata_bytes_at_most(&self, tables: u64, rows: u64, values: u64, widest: u32) -> u64 {
        // Each table, and each page past its first, may end amid a word and a block. On the smallest pages there are, a page is half full.
        let page = self.page_bytes.unwrap_or(CPU_PAGE_BYTES).min(CPU_PAGE_BYTES);
        let alignment = u64::from(self.alignment());
        let values = values.saturating_add(rows.saturating_mul(alignment - 1));
        let (page_values, page_rows) = (page / 4 / alignment * alignment, page / 8);
        let pages =
            (tables.saturating_add(values / page_values.div_ceil(2).max(1))).saturating_add(rows / page_rows.max(1));
        let blocks = rows >> directory::shift(widest, self.alignment());
        rows.saturating_mul(2).saturating_add(blocks.saturating_mul(4)).saturating_add(pages.saturating_mul(8))
    }
}

/// Values of a CPU page: where a row is found by its page costs little there.
const CPU_PAGE_BYTES: u64 = 64 << 20;

/// The values of a page.
#[derive(Debug)]
#[non_exhaustive]
pub enum Values {
    /// As f32.
    F32(Buffer<f32>),
    /// As f16, two to a word.
    F16(Buffer<f16>),
}

impl Values {
    fn zeroed(device: &Device, format: Format, len: usize) -> Result<Self> {
        Ok(match format {
            Format::F32 => Self::F32(Buffer::zeroed(device, len)?),
            Format::F16 => Self::F16(Buffer::zeroed(device, len)?),
        })
    }

    /// What they are stored as.
    pub fn format(&self) -> Format {
        match self {
            Self::F32(_) => Format::F32,
            Self::F16(_) => Format::F16,
        }
    }

    /// Their number, what lies between rows included.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
        }
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their bytes.
    pub fn size_bytes(&self) -> u64 {
        self.len() as u64 * self.format().bytes()
    }

    /// The wgpu buffer, when they live on a GPU.
    pub fn as_wgpu(&self) -> Option<&wgpu::Buffer> {
        match self {
            Self::F32(values) => values.as_wgpu(),
            Self::F16(values) => values.as_wgpu(),
        }
    }

    pub(crate) fn binding(&self, arg: &'static str) -> Binding<'_> {
        match self {
            Self::F32(values) => values.binding(arg),
            Self::F16(values) => values.binding(arg),
        }
    }

    fn duplicate(&self, device: &Device) -> Result<Self> {
        Ok(match self {
            Self::F32(values) => Self::F32(duplicate(device, values)?),
            Self::F16(values) => Self::F16(duplicate(device, values)?),
        })
    }

    fn read(&self) -> Result<Vec<f32>> {
        match self {
            Self::F32(values) => values.read(),
            Self::F16(values) => Ok(values.read()?.into_iter().map(f16::to_f32).collect()),
        }
    }
}

fn duplicate<T: crate::device::Element>(device: &Device, from: &Buffer<T>) -> Result<Buffer<T>> {
    let mut to = Buffer::zeroed(device, from.len())?;
    let mut commands = device.commands();
    commands.copy(from, &mut to, from.len())?;
    commands.submit()?;
    Ok(to)
}

/// A page on the CPU: where rows lie, values, state.
type HostPageMut<'a, V> = (HostDirectory<'a>, &'a mut [V], &'a mut [Buffer<f32>]);

/// Neighbouring rows with their directory and optimizer state.
#[derive(Debug)]
pub struct Page {
    pub(crate) place: Place,
    directory: Buffer<u32>,
    /// The directory on the host, when the buffer is not there itself.
    mirror: Option<Vec<u32>>,
    pub(crate) values: Values,
    pub(crate) state: Vec<Buffer<f32>>,
    /// Numbers of state with the values' shape; those behind them are one a row.
    per_value: usize,
}

impl Page {
    /// A page of a directory, everything zero.
    pub(crate) fn zeroed(
        device: &Device,
        of: &Directory,
        page: usize,
        format: Format,
        size: StateSize,
    ) -> Result<Self> {
        let (place, len) = of.place(page);
        let values = Values::zeroed(device, format, len)?;
        let state =
            size.lens(place.rows as usize, len).map(|len| Buffer::zeroed(device, len)).collect::<Result<_>>()?;
        Self::of(device, of, page, (values, state, size.per_value as usize))
    }

    fn of(
        device: &Device,
        of: &Directory,
        page: usize,
        (values, state, per_value): (Values, Vec<Buffer<f32>>, usize),
    ) -> Result<Self> {
        let words = of.words(page);
        let mirror = device.as_gpu().map(|_| words.to_vec());
        let directory = Buffer::from_slice(device, words)?;
        Ok(Self { place: of.place(page).0, directory, mirror, values, state, per_value })
    }

    /// Id of its first row.
    pub fn first_row(&self) -> u32 {
        self.place.first
    }

    /// Number of its rows.
    pub fn rows(&self) -> u32 {
        self.place.rows
    }

    /// Its values.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Its row directory on the device: the bases of its blocks, then the ends of its rows in pairs. See the [module](self).
    pub fn directory(&self) -> &Buffer<u32> {
        &self.directory
    }

    /// The optimizer's state: a buffer for each number of [`state_size`](super::optimizer::Optimizer::state_size), those of the values'
    /// shape (with the values' place for each) before those with one number a row.
    pub fn state(&self) -> &[Buffer<f32>] {
        &self.state
    }

    /// Its values and directory on their way into a kernel.
    pub(crate) fn bindings(&self) -> [Binding<'_>; 2] {
        [self.values.binding("rows"), self.directory.binding("rows")]
    }

    /// What the CPU reads of it, and what it writes: values and state.
    pub(in crate::kernels::table) fn host_mut<V: Value>(&mut self, op: &'static str) -> Result<HostPageMut<'_, V>> {
        let words = self.directory.host(op, "rows")?;
        let values = V::of_mut(&mut self.values).expect("rows in the format that the twin was made for");
        Ok((HostDirectory::new(self.place, words), values.host_mut(op, "rows")?, &mut self.state))
    }

    /// The first number of state that is one a row.
    pub(in crate::kernels::table) fn per_row_state(&self) -> usize {
        self.per_value
    }

    /// The buffer of a number of state; where the optimizer has none, the values are bound in its place and not touched there.
    pub(crate) fn state_binding(&self, number: usize) -> Binding<'_> {
        match self.state.get(number) {
            Some(state) => state.binding(["state[0]", "state[1]"][number]),
            None => self.values.binding("rows").shared(),
        }
    }

    /// The override of `shaders/common/half.wgsl`.
    pub(crate) fn half(&self) -> (&'static str, f64) {
        ("half", f64::from(u32::from(self.values.format() == Format::F16)))
    }

    /// Whether its rows can be read as f32 four at a time.
    pub(crate) fn has_aligned_fours(&self) -> bool {
        let fours = self.place.alignment.is_multiple_of(4) && self.values.len() >= 4;
        fours && self.values.format() == Format::F32
    }

    pub(crate) fn words(&self) -> &[u32] {
        match &self.mirror {
            Some(words) => words,
            None => self.directory.as_slice().expect("a mirror for a GPU's directory"),
        }
    }

    /// Leaves only its rows before the one of an id.
    pub(crate) fn truncate(&mut self, id: u32) {
        self.place.rows = self.place.rows.min(id - self.place.first);
    }

    /// Where each of its rows lies among its values, in order.
    pub(crate) fn spans(&self) -> impl ExactSizeIterator<Item = std::ops::Range<usize>> + '_ {
        self.place.spans(self.words())
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.values.size_bytes() + self.state.iter().map(Buffer::size_bytes).sum::<u64>() + self.directory.size_bytes()
    }
}

/// Rows of different sizes on one device. See the [module](self).
///
/// ```
/// use scall_gpu::device::Device;
/// use scall_gpu::kernels::table::rows::{Layout, Rows};
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
    pages: Vec<Page>,
}

impl Rows {
    /// Rows of these sizes, values and state zero.
    ///
    /// # Errors
    /// [`Error::Limit`] for a row past 65,535 values or past a page, or a directory past the device's largest binding.
    pub fn zeroed(device: &Device, sizes: &[u32], layout: Layout, state: StateSize) -> Result<Self> {
        Self::arranged(device, &Directory::new(device, sizes, layout, state)?, layout, state)
    }

    /// Rows of these sizes in a caller's buffers, such as wrapped ones of wgpu: one page, row after row, the rows aligned or not.
    ///
    /// # Errors
    /// [`Error::Shape`] for values or state of another length than the rows have in this layout; those of [`Rows::zeroed`].
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
        let pages = vec![Page::of(device, &directory, 0, (values, state, state_size.per_value as usize))?];
        Ok(Self {
            device: device.clone(),
            layout,
            state_size,
            values: directory.values(),
            widest: directory.widest(),
            pages,
        })
    }

    /// Dense rows of one width in one page, zero: `[rows, width]`, f32 and without state, for kernels that take rows.
    ///
    /// # Errors
    /// [`Error::Limit`] for a width past 65,535, and past the device's largest binding.
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
        Self { device: device.clone(), layout, state_size, values, widest, pages }
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

    /// Number of values of all rows, without what lies between them.
    pub fn values(&self) -> u64 {
        self.values
    }

    /// Size of the widest row.
    pub fn widest(&self) -> u32 {
        self.widest
    }

    /// The pages, in the order of their rows; at least one.
    pub fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// The pages for writing: a target of [`Migrate`](super::migrate::Migrate). They stay where they are, none is exchanged for another.
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

    /// Bytes of the values, what lies between rows included; of the state; and of the directory.
    pub fn size_bytes(&self) -> [u64; 3] {
        let sum = |bytes: fn(&Page) -> u64| self.pages.iter().map(bytes).sum();
        [
            sum(|page| page.values.size_bytes()),
            sum(|page| page.state.iter().map(Buffer::size_bytes).sum()),
            sum(|page| page.directory.size_bytes()),
        ]
    }

    /// The values on the host, row after row and nothing between, as f32.
    ///
    /// # Errors
    /// What the device reports.
    pub fn read(&self) -> Result<Vec<f32>> {
        self.gathered(|page| page.values.read())
    }

    /// [`read`](Self::read) for values that are f16, as they are.
    ///
    /// # Panics
    /// When they are f32.
    pub(crate) fn read_f16(&self) -> Result<Vec<f16>> {
        let mut out = Vec::with_capacity(self.values as usize);
        for page in &self.pages {
            let Values::F16(values) = &page.values else { panic!("values of f16") };
            let values = values.read()?;
            page.spans().for_each(|span| out.extend_from_slice(&values[span]));
        }
        Ok(out)
    }

    /// [`write`](Self::write) for values that are f16, as they are.
    ///
    /// # Panics
    /// When they are f32.
    pub(crate) fn write_f16(&mut self, values: &[f16]) -> Result<()> {
        check::len("Rows::write", "values", values.len(), self.values)?;
        let mut rest = values;
        for page in &mut self.pages {
            let mut out = vec![f16::ZERO; page.values.len()];
            for span in page.spans() {
                let (row, behind) = rest.split_at(span.len());
                out[span].copy_from_slice(row);
                rest = behind;
            }
            let Values::F16(own) = &mut page.values else { panic!("values of f16") };
            own.write(&out)?;
        }
        Ok(())
    }

    /// One number of the state on the host: of the values' shape, row after row and nothing between; or one a row.
    ///
    /// # Errors
    /// What the device reports.
    ///
    /// # Panics
    /// When there is no such number.
    pub fn read_state(&self, number: usize) -> Result<Vec<f32>> {
        if number < self.state_size.per_value as usize {
            return self.gathered(|page| page.state[number].read());
        }
        let mut out = Vec::with_capacity(self.len() as usize);
        for page in &self.pages {
            // A page that was cut short keeps its buffers.
            out.extend_from_slice(&page.state[number].read()?[..page.place.rows as usize]);
        }
        Ok(out)
    }

    fn gathered(&self, read: impl Fn(&Page) -> Result<Vec<f32>>) -> Result<Vec<f32>> {
        let mut out = Vec::with_capacity(self.values as usize);
        for page in &self.pages {
            let values = read(page)?;
            page.spans().for_each(|span| out.extend_from_slice(&values[span]));
        }
        Ok(out)
    }

    /// Writes all values from the host, row after row; f16 takes the nearest.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of values; what the device reports.
    pub fn write(&mut self, values: &[f32]) -> Result<()> {
        check::len("Rows::write", "values", values.len(), self.values)?;
        self.scattered(values, |page, values| match &mut page.values {
            Values::F32(own) => own.write(values),
            Values::F16(own) => own.write(&values.iter().map(|&value| host::nearest(value)).collect::<Vec<_>>()),
        })
    }

    /// Writes one number of the state from the host, in the shape of [`read_state`](Self::read_state).
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of values; what the device reports.
    ///
    /// # Panics
    /// When there is no such number.
    pub fn write_state(&mut self, number: usize, values: &[f32]) -> Result<()> {
        let ragged = number < self.state_size.per_value as usize;
        let expected = if ragged { self.values } else { self.len().into() };
        check::len("Rows::write_state", "values", values.len(), expected)?;
        if ragged {
            return self.scattered(values, |page, values| page.state[number].write(values));
        }
        self.pages.iter_mut().try_for_each(|page| {
            let Place { first, rows, .. } = page.place;
            page.state[number].write(&values[first as usize..][..rows as usize])
        })
    }

    fn scattered(&mut self, values: &[f32], write: impl Fn(&mut Page, &[f32]) -> Result<()>) -> Result<()> {
        let mut rest = values;
        for page in &mut self.pages {
            let mut out = vec![0.0; page.values.len()];
            for span in page.spans() {
                let (row, behind) = rest.split_at(span.len());
                out[span].copy_from_slice(row);
                rest = behind;
            }
            write(page, &out)?;
        }
        Ok(())
    }

    /// A copy of everything.
    pub(crate) fn duplicate(&self) -> Result<Self> {
        let copy = |page: &Page| {
            Ok(Page {
                place: page.place,
                directory: duplicate(&self.device, &page.directory)?,
                mirror: page.mirror.clone(),
                values: page.values.duplicate(&self.device)?,
                state: page.state.iter().map(|state| duplicate(&self.device, state)).collect::<Result<_>>()?,
                per_value: page.per_value,
            })
        };
        let pages = self.pages.iter().map(copy).collect::<Result<_>>()?;
        let Self { layout, state_size, values, widest, .. } = *self;
        Ok(Self { device: self.device.clone(), layout, state_size, values, widest, pages })
    }

    /// A copy of the values.
    pub(crate) fn copy_values(&self) -> Result<Vec<Values>> {
        self.pages.iter().map(|page| page.values.duplicate(&self.device)).collect()
    }

    /// Whether a copy of values has the shape of these.
    pub(crate) fn check_copy(&self, op: &'static str, saved: &[Values]) -> Result<()> {
        let len = |values: &Values| values.len() as u64;
        let (expected, got) = (self.pages.iter().map(|page| len(&page.values)), saved.iter().map(len));
        if expected.clone().eq(got.clone()) {
            return Ok(());
        }
        Err(Error::Shape { op, arg: "snapshot", expected: expected.sum(), got: got.sum() })
    }

    /// Puts a copy of the values back.
    pub(crate) fn restore_values(&mut self, saved: &[Values]) -> Result<()> {
        self.check_copy("Rows::restore_values", saved)?;
        let mut commands = self.device.commands();
        for (page, saved) in self.pages.iter_mut().zip(saved) {
            match (&mut page.values, saved) {
                (Values::F32(own), Values::F32(saved)) => commands.copy(saved, own, saved.len())?,
                (Values::F16(own), Values::F16(saved)) => commands.copy(saved, own, saved.len())?,
                _ => unreachable!("a snapshot in the format of its rows"),
            }
        }
        commands.submit()
    }

    /// Takes the pages to move their rows; [`in_pages`](Self::in_pages) makes rows of pages again.
    pub(crate) fn take_pages(&mut self) -> Vec<Page> {
        std::mem::take(&mut self.pages)
    }

    /// The values of rows that are dense f32 in one page, as their owner made them.
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
