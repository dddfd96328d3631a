//! Kernels on the first of their ids, where only the device may know how many these are.

use crate::Result;
use crate::check;
use crate::device::{Binding, Buffer, Change, Changes, Dispatches, Gpu, Kernel, Operator};

/// How many of the ids (or of the bags) of an operator are used: the first so many.
#[derive(Clone, Copy, Debug)]
pub enum Count<'a> {
    /// Known here.
    Host(u32),
    /// In a buffer of one word, which a kernel before may have written: nothing is read back. The operator is
    /// dispatched for `at_most` of them, and threads past the count end at once. A count past `at_most` counts as
    /// `at_most`.
    Device {
        /// The word.
        buffer: &'a Buffer<u32>,
        /// What there is room for at most.
        at_most: u32,
    },
}

impl From<u32> for Count<'_> {
    fn from(count: u32) -> Self {
        Self::Host(count)
    }
}

impl<'a> Count<'a> {
    /// The most that it can be, as far as the host knows.
    pub fn at_most(&self) -> u32 {
        match *self {
            Self::Host(count) => count,
            Self::Device { at_most, .. } => at_most,
        }
    }

    /// Whether an operator has room for it.
    pub(crate) fn check(&self, op: &'static str, room: u32) -> Result<()> {
        if let Self::Device { buffer, .. } = self {
            check::len(op, "count", buffer.len(), 1)?;
        }
        check::domain(op, "count", self.at_most(), self.at_most() <= room, &format!("at most {room}"))
    }

    /// The number, on the CPU.
    pub(crate) fn on_host(&self, op: &'static str) -> Result<u32> {
        match *self {
            Self::Host(count) => Ok(count),
            Self::Device { buffer, at_most } => Ok(buffer.host(op, "count")?[0].min(at_most)),
        }
    }

    /// The override of `shaders/common/count.wgsl`.
    pub(crate) fn counted(&self) -> (&'static str, f64) {
        ("counted", f64::from(u32::from(matches!(self, Self::Device { .. }))))
    }

    /// The binding of `shaders/common/count.wgsl`; another buffer that is read stands in for it where the host knows.
    pub(crate) fn binding(&self, stand_in: Binding<'a>) -> Binding<'a> {
        match self {
            Self::Host(_) => stand_in,
            Self::Device { buffer, .. } => buffer.binding("count"),
        }
    }
}

/// A kernel on the first of its ids, or bags. What it would write for the others stays as it is; but sizes of rows
/// ([`LookupSizes`](super::table::lookup::LookupSizes)) are 0 there, so that their prefix sums are offsets for all.
///
/// # Cost
/// That of the kernel for as many ids as there can be at most, without what these would read and write.
///
/// # Errors
/// Those of the kernel; [`Error::Argument`](crate::Error::Argument) for more ids than it has.
///
/// # Example
/// ```
/// use scall_gpu::device::{Buffer, Device, Kernel};
/// use scall_gpu::kernels::table::lookup::Lookup;
/// use scall_gpu::kernels::{Count, Counted};
/// use scall_gpu::rows::{Layout, Rows};
/// # fn main() -> scall_gpu::Result<()> {
/// let device = Device::cpu();
/// let mut rows = Rows::zeroed(&device, &[1, 2], Layout::default(), Default::default())?;
/// rows.write(&[1.0, 2.0, 3.0])?;
/// // Room for three ids, of which another kernel has written two, and their number.
/// let ids = Buffer::from_slice(&device, &[1u32, 0, 77])?;
/// let count = Buffer::from_slice(&device, &[2u32])?;
/// let mut out = Buffer::from_slice(&device, &[9.0f32; 6])?;
/// let of = Lookup { rows: &rows, ids: &ids, dims: 2, out: &mut out };
/// Counted { count: Count::Device { buffer: &count, at_most: 3 }, of }.run(&device)?;
/// assert_eq!(out.read()?, [2.0, 3.0, 1.0, 0.0, 9.0, 9.0]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Counted<'a, K> {
    /// How many.
    pub count: Count<'a>,
    /// The kernel, with as many ids as there can be.
    pub of: K,
}

/// A kernel that can leave its last ids (or bags) out: it says what it does for the first of them, and is a [`Kernel`]
/// on all of them by that.
pub trait Countable: Sized + Operator {
    /// [`Kernel::NAME`].
    #[doc(hidden)]
    const OP: &'static str;

    /// [`Kernel::check`].
    #[doc(hidden)]
    fn check_arguments(&self) -> Result<()>;

    /// The ids, or bags, that it has.
    #[doc(hidden)]
    fn room(&self) -> u32;

    /// [`Kernel::dispatch`] for the first of them.
    #[doc(hidden)]
    fn dispatch_first(self, gpu: &Gpu, list: &mut Dispatches, count: Count<'_>) -> Result<()>;

    /// [`Kernel::twin`] for the first of them.
    #[doc(hidden)]
    fn twin_first(self, count: u32) -> Result<()>;

    /// [`Kernel::changes`], but for the count.
    #[doc(hidden)]
    fn other_changes(&self) -> Changes {
        Box::new(|_, _| Ok(false))
    }
}

impl<K: Countable> Kernel for K {
    const NAME: &'static str = K::OP;

    fn check(&self) -> Result<()> {
        self.check_arguments()
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let count = Count::Host(self.room());
        self.dispatch_first(gpu, list, count)
    }

    fn changes(&self) -> Changes {
        counted_changes(self, self.room())
    }

    fn twin(self) -> Result<()> {
        let count = self.room();
        self.twin_first(count)
    }
}

impl<K: Countable> Kernel for Counted<'_, K> {
    const NAME: &'static str = K::OP;

    fn check(&self) -> Result<()> {
        self.of.check_arguments()?;
        self.count.check(K::OP, self.of.room())
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        self.of.dispatch_first(gpu, list, self.count)
    }

    fn changes(&self) -> Changes {
        counted_changes(&self.of, self.count.at_most())
    }

    fn twin(self) -> Result<()> {
        let count = self.count.on_host(K::OP)?;
        self.of.twin_first(count)
    }
}

/// How the parameters of a prepared kernel with this room follow its count, and whatever else it follows.
fn counted_changes<K: Countable>(kernel: &K, room: u32) -> Changes {
    let mut others = kernel.other_changes();
    Box::new(move |change, params| match change {
        Change::Count(count) => {
            Count::Host(count).check(K::OP, room)?;
            params.set("used", count);
            Ok(true)
        }
        _ => others(change, params),
    })
}
