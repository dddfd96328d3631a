//! Neighbouring rows with their directory, values and state.

use super::codec::{Codec, Values};
use super::host_directory::HostDirectory;
use super::{Directory, Format, Place, Rows, StateSize};
use crate::Result;
use crate::device::{Binding, Buffer, CodecSource, Device, Dispatches, Gpu, Launch, Shader, param_group};

param_group! {
    /// What a kernel has to know of a page: `shaders/rows/page_params.wgsl`.
    "page", struct PageParams {
        first_row: u32,
        rows: u32,
        blocks: u32,
        shift: u32,
        alignment: u32,
    }
}

impl From<Place> for PageParams {
    fn from(Place { first, rows, blocks, shift, alignment, one_size: _ }: Place) -> Self {
        Self { first_row: first, rows, blocks, shift, alignment }
    }
}

/// A dispatch for a page.
pub(crate) struct PageLaunch<'a> {
    pub shader: &'static Shader,
    pub entry: &'static str,
    pub constants: Vec<(&'static str, f64)>,
    pub params: Vec<u32>,
    /// In the order of the declaration.
    pub bindings: Vec<Binding<'a>>,
    pub groups: u64,
}

impl Rows {
    /// Adds a dispatch for each page, with the page's codec.
    pub(crate) fn launch_pages<'a>(
        &'a self,
        gpu: &Gpu,
        list: &mut Dispatches,
        mut launch: impl FnMut(&'a Page) -> PageLaunch<'a>,
    ) -> Result<()> {
        self.pages.iter().try_for_each(|page| page.launch(gpu, list, launch(page)))
    }
}

/// A page on the CPU: where rows lie, values, state.
type HostPageMut<'a, V> = (HostDirectory<'a>, &'a mut [V], &'a mut [Buffer<f32>]);

/// Neighbouring rows with their directory and optimizer state.
#[derive(Debug)]
pub struct Page {
    pub(crate) place: Place,
    pub(super) directory: Buffer<u32>,
    /// A copy of the directory on the host, when the buffer is on a GPU.
    pub(super) mirror: Option<Vec<u32>>,
    pub(crate) values: Values,
    pub(crate) state: Vec<Buffer<f32>>,
    /// How many numbers of state have the values' shape; those after them are one a row.
    pub(super) per_value: usize,
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
        let values = Values::zeroed(&device.labeled(format_args!("values/{page}")), format, len)?;
        let state = size.lens(place.rows as usize, len).enumerate().map(|(number, len)| {
            let device = device.labeled(format_args!("state/{number}/{page}"));
            Buffer::zeroed(&device, len)
        });
        let state = state.collect::<Result<_>>()?;
        Self::of(device, of, page, (values, state, size.per_value as usize))
    }

    pub(super) fn of(
        device: &Device,
        of: &Directory,
        page: usize,
        (values, state, per_value): (Values, Vec<Buffer<f32>>, usize),
    ) -> Result<Self> {
        let words = of.words(page);
        let mirror = device.as_gpu().map(|_| words.to_vec());
        let directory = Buffer::from_slice(&device.labeled(format_args!("directory/{page}")), words)?;
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

    /// Its row directory on the device: the bases of its blocks, then the ends of its rows in pairs. See the
    /// [module](super).
    pub fn directory(&self) -> &Buffer<u32> {
        &self.directory
    }

    /// The optimizer's state: a buffer for each number of
    /// [`state_size`](crate::kernels::table::optimizer::Optimizer::state_size). Those of the values' shape, which have
    /// a number at the place of each value, come before those with one number a row.
    pub fn state(&self) -> &[Buffer<f32>] {
        &self.state
    }

    /// Its values and directory as a kernel binds them.
    pub(crate) fn bindings(&self) -> [Binding<'_>; 2] {
        [self.values.binding("rows"), self.directory.binding("rows")]
    }

    /// What the CPU reads of it, and what it writes: values and state.
    pub(crate) fn host_mut<V: Codec>(&mut self, op: &'static str) -> Result<HostPageMut<'_, V>> {
        let words = self.directory.host(op, "rows")?;
        let values = V::of_mut(&mut self.values).expect("rows in the format that the twin was made for");
        Ok((HostDirectory::new(self.place, words), values.host_mut(op, "rows")?, &mut self.state))
    }

    /// The first number of state that is one a row.
    pub(crate) fn per_row_state(&self) -> usize {
        self.per_value
    }

    /// The buffer of a number of state. Where the optimizer has none, the values are bound in its place, and not
    /// touched there.
    pub(crate) fn state_binding(&self, number: usize) -> Binding<'_> {
        match self.state.get(number) {
            Some(state) => state.binding(["state[0]", "state[1]"][number]),
            None => self.values.binding("rows").shared(),
        }
    }

    /// Adds a dispatch with the page's codec.
    pub(crate) fn launch(&self, gpu: &Gpu, list: &mut Dispatches, launch: PageLaunch<'_>) -> Result<()> {
        let PageLaunch { shader, entry, constants, params, bindings, groups } = launch;
        let (codecs, constants, bindings) = (&[self.codec()], &constants, &bindings);
        Launch { shader, entry, codecs, constants, params, bindings, groups }.record(gpu, list)
    }

    /// Its place, as kernels take it.
    pub(crate) fn params(&self) -> PageParams {
        self.place.into()
    }

    /// Its codec in WGSL.
    pub(crate) fn codec(&self) -> CodecSource {
        self.format().source()
    }

    /// What its values are stored as.
    pub fn format(&self) -> Format {
        self.values.format()
    }

    /// Whether its rows can be read as f32 four at a time.
    pub(crate) fn has_aligned_fours(&self) -> bool {
        let fours = self.place.alignment.is_multiple_of(4) && self.values.len() >= 4;
        fours && self.format().is_f32()
    }

    pub(crate) fn words(&self) -> &[u32] {
        match &self.mirror {
            Some(words) => words,
            None => self.directory.as_slice().expect("a mirror for a GPU's directory"),
        }
    }

    /// Drops its rows from an id on.
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
