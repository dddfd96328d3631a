//! A kernel's dispatches, made once and recorded any number of times.
//!
//! # How changed parameters keep their order
//! Immediates are recorded with their dispatch, so each recording has its own. Uniforms are not: a recording refers to
//! bytes of a buffer, which must hold its parameters when the device comes to it, and a write of the queue comes before
//! everything that is submitted after it. So a recording whose parameters differ from those of the one before takes a
//! set of uniforms of its own in the buffer, and a set is written again only when no recording refers to it any more:
//! when its commands are done, or were dropped without being submitted, which a callback of the pass says. The write
//! may then come as early as it likes. When all sets are in use, a larger buffer is made; so after as many recordings
//! as are under way at once, none is made any more.

use std::sync::Arc;

use super::dispatches::Dispatches;
use super::gpu::Gpu;
use super::shader::{Group, Param};
use crate::{Error, Result};

/// What may change between two recordings of a [`Prepared`] kernel. Which of these a kernel has, its `prepare` says.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// The training step.
    Step(u32),
    /// The key of random numbers.
    Seed(u64),
    /// How many ids (or triples) of those that it was prepared for are used: at most all of them.
    Count(u32),
    /// The optimizer's step size.
    LearningRate(f32),
}

impl Change {
    fn arg(self) -> &'static str {
        match self {
            Self::Step(_) => "step",
            Self::Seed(_) => "seed",
            Self::Count(_) => "count",
            Self::LearningRate(_) => "learning_rate",
        }
    }
}

/// The parameters of a kernel's dispatches, by their names in the shader's `Params`.
pub struct Parameters<'a> {
    words: &'a mut [u32],
    places: &'a [(String, Vec<usize>)],
    has_changed: bool,
}

impl Parameters<'_> {
    /// Sets all parameters of a group, by way of a list that is kept so that it need not grow again.
    pub(crate) fn set_group<G: Param>(&mut self, group: G, words: &mut Vec<u32>) {
        words.clear();
        group.push(words);
        let Group { fields, .. } = G::GROUP.expect("a group of parameters");
        fields.iter().zip(words.iter()).for_each(|(name, &word)| self.set(name, word));
    }

    /// Sets a parameter in every dispatch that has one of this name.
    pub(crate) fn set(&mut self, name: &str, word: u32) {
        let (_, places) = self.places.iter().find(|(own, _)| own == name).expect("a parameter of the kernel");
        for &place in places {
            self.has_changed |= self.words[place] != word;
            self.words[place] = word;
        }
    }
}

/// How a kernel's parameters follow a change: false where it has nothing of the kind.
pub type Changes = Box<dyn FnMut(Change, &mut Parameters<'_>) -> Result<bool> + Send>;

/// A kernel's dispatches, made once by [`Kernel::prepare`](super::Kernel::prepare) and recorded any number of times, in
/// [`Commands`](super::Commands) or in a [`Pass`](super::Pass).
///
/// A recording makes no buffer and no bind group, and allocates nothing on the host. (Where a device has no immediates
/// and parameters change, that holds from the moment on when there are as many sets of them as recordings under way at
/// once, but for a callback a recording.)
///
/// It keeps the wgpu buffers that it was made with, also when the [`Buffer`](super::Buffer)s are dropped: drop it
/// before them if their memory counts.
///
/// ```
/// use scall_gpu::device::{Buffer, Change, Device, Kernel};
/// use scall_gpu::kernels::rank::log_triples::SampleLogTriples;
/// # fn main() -> scall_gpu::Result<()> {
/// # let (device, queue) = scall_gpu::wgpu::Device::noop(&Default::default());
/// # let device = Device::from_wgpu(device, queue);
/// # let gpu = device.as_gpu().expect("it is one");
/// # let words = |words: &[u32]| Buffer::from_slice(&device, words);
/// let (users, items) = (words(&[0, 1, 0])?, words(&[2, 1, 0])?);
/// let (touched_offsets, touched) = (words(&[0, 2, 3])?, words(&[0, 2, 1])?);
/// let mut triples = words(&[0; 3 * 64])?;
/// let sample = SampleLogTriples {
///     users: &users,
///     items: &items,
///     touched_offsets: &touched_offsets,
///     touched: &touched,
///     window: 2,
///     step: 1,
///     steps: 1,
///     seed: 7,
///     batch: 64,
///     first: 0,
///     count: 64,
///     triples: &mut triples,
/// };
/// let mut sample = sample.prepare(gpu)?;
/// for step in 1..=3 {
///     sample.set(Change::Step(step))?;
///     let mut commands = device.commands();
///     commands.replay(&mut sample)?;
///     commands.submit()?;
/// }
/// # Ok(()) }
/// ```
pub struct Prepared {
    gpu: Gpu,
    list: Dispatches,
    places: Vec<(String, Vec<usize>)>,
    changes: Changes,
    /// Parameters have changed since the last recording.
    has_changed: bool,
    sets: Option<Sets>,
}

/// Sets of uniforms in one buffer. The first is born with its contents and never written.
struct Sets {
    buffer: wgpu::Buffer,
    /// For each but the first, what the recordings that refer to it hold.
    holds: Vec<Arc<()>>,
    current: u32,
    bytes: Vec<u8>,
}

/// Sets at first, besides that which is born with its contents.
const SETS: usize = 3;

impl Prepared {
    pub(super) fn new(gpu: &Gpu, list: Dispatches, changes: Changes) -> Result<Self> {
        let places = list.places();
        let mut prepared = Self { gpu: gpu.clone(), list, places, changes, has_changed: false, sets: None };
        gpu.guarded(|| prepared.make_sets(SETS))?;
        gpu.check_alive()?;
        Ok(prepared)
    }

    /// The kernel's name.
    pub fn name(&self) -> &'static str {
        self.list.kernel()
    }

    /// The GPU that it was prepared for.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Changes a parameter from the next recording on.
    ///
    /// # Errors
    /// [`Error::Argument`] where the kernel has nothing of the kind, or for a value out of its domain.
    pub fn set(&mut self, change: Change) -> Result<()> {
        let Self { list, places, changes, .. } = self;
        let mut params = Parameters { words: list.words_mut(), places, has_changed: false };
        let known = changes(change, &mut params)?;
        self.has_changed |= params.has_changed;
        if known {
            return Ok(());
        }
        let (expected, got) = ("a parameter that the kernel has".to_owned(), format!("{change:?}"));
        Err(Error::Argument { op: self.name(), arg: change.arg(), expected, got })
    }

    pub(super) fn record(&mut self, pass: &mut wgpu::ComputePass<'_>) -> Result<()> {
        if std::mem::take(&mut self.has_changed) {
            self.take_set()?;
        }
        let current = self.sets.as_ref().map_or(0, |sets| sets.current);
        self.list.record(&self.gpu, pass, current);
        if let Some(sets) = &self.sets
            && current > 0
        {
            let hold = sets.holds[current as usize - 1].clone();
            pass.on_submitted_work_done(move || drop(hold));
        }
        Ok(())
    }

    /// A set of uniforms with the parameters as they are now, to which no other recording refers.
    fn take_set(&mut self) -> Result<()> {
        let Self { gpu, list, sets: Some(sets), .. } = self else { return Ok(()) };
        match sets.holds.iter().position(|hold| Arc::strong_count(hold) == 1) {
            Some(free) => {
                sets.current = free as u32 + 1;
                list.write_uniforms(&mut sets.bytes);
                let offset = u64::from(sets.current) * sets.bytes.len() as u64;
                gpu.counters().bytes_uploaded.add(sets.bytes.len() as u64);
                gpu.guarded(|| {
                    gpu.queue().write_buffer(&sets.buffer, offset, &sets.bytes);
                    Ok(())
                })
            }
            None => {
                let sets = 2 * sets.holds.len() + 1;
                let gpu = gpu.clone();
                gpu.guarded(|| self.make_sets(sets))
            }
        }
    }

    /// A buffer for this number of sets besides the first, where parameters are uniforms.
    fn make_sets(&mut self, sets: usize) -> Result<()> {
        let Some(bytes) = self.list.uniforms() else { return Ok(()) };
        let mut all = bytes.clone();
        all.resize((sets + 1) * bytes.len(), 0);
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = self.gpu.create_filled(self.name(), usage, &all)?;
        self.list.bind(&self.gpu, &buffer);
        self.gpu.check_alive()?;
        let holds = (0..sets).map(|_| Arc::new(())).collect();
        self.sets = Some(Sets { buffer, holds, current: 0, bytes });
        Ok(())
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Prepared({} on {:?})", self.name(), self.gpu)
    }
}
