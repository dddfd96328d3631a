//! What training triples are drawn from, on the device.

use crate::check;
use crate::device::{Buffer, Device, Recorder};
use crate::kernels::rank::block_triples::SampleBlockTriples;
use crate::kernels::rank::log_triples::SampleLogTriples;
use crate::kernels::rank::triples::SampleTriples;
use crate::stream::{Blocks, UserItems};
use crate::{Error, Result};

/// How training triples are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Sampling {
    /// A user, uniform; one of the user's positives; an item that the user never touched, uniform
    /// ([`SampleTriples`], `docs/method.md` section 2, step 5).
    Users,
    /// A row, uniform, and an item of another row at most `window` before or after it
    /// ([`SampleLogTriples`], `docs/method.md` section 5).
    Log {
        /// Rows before and after.
        window: u32,
    },
    /// A part of each batch from feedback blocks, a click and a non-click that the same user turned down before it
    /// ([`SampleBlockTriples`]); the rest by [`Log`](Self::Log). It parts better what pleases among what users are
    /// shown, and ranks worse among all items (`docs/method.md` section 5). Where there are no blocks, all is by `Log`.
    Blocks {
        /// The part, from 0 to 1.
        share: f32,
        /// Rows before and after, for the rest.
        window: u32,
    },
}

impl Sampling {
    /// The names that [`from_name`](Self::from_name) takes.
    pub const NAMES: &'static [&'static str] = &["log", "users", "blocks"];

    /// The part of a batch that comes from blocks where nothing else is said: all of it, for what blocks are good at.
    pub const BLOCK_SHARE: f32 = 1.0;

    /// By name: `log` with a window of 5,000 rows, `users`, or `blocks` with a share of
    /// [`BLOCK_SHARE`](Self::BLOCK_SHARE) and the same window.
    ///
    /// # Errors
    /// [`Error::Argument`] for any other name.
    pub fn from_name(name: &str) -> Result<Self> {
        let window = 5000;
        let all = [Self::Log { window }, Self::Users, Self::Blocks { share: Self::BLOCK_SHARE, window }];
        check::named("Sampling::from_name", "name", &all, Self::name, name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log { .. } => "log",
            Self::Users => "users",
            Self::Blocks { .. } => "blocks",
        }
    }

    /// The rows around a positive that its negative comes from, where there are such.
    pub fn window(self) -> Option<u32> {
        match self {
            Self::Log { window } | Self::Blocks { window, .. } => Some(window),
            Self::Users => None,
        }
    }

    /// That its numbers are within their domain.
    pub(super) fn check(self, op: &'static str) -> Result<()> {
        if let Some(window) = self.window() {
            check::domain(op, "sampling.window", window, window > 0, "at least 1")?;
        }
        match self {
            Self::Blocks { share, .. } => {
                check::domain(op, "sampling.share", share, (0.0..=1.0).contains(&share), "from 0 to 1")
            }
            _ => Ok(()),
        }
    }
}

/// What to draw training triples from.
#[derive(Clone, Copy, Debug)]
pub struct TrainingData<'a> {
    /// The (user, item) rows to learn, in time order. Negatives are drawn from the items among them.
    pub rows: &'a [(u32, u32)],
    /// All that users ever touched, the rows included: a negative of the log is never among it.
    pub history: &'a UserItems,
    /// The feedback blocks of the rows and the non-clicks between them; none where there are no non-clicks. Only
    /// [`Sampling::Blocks`] looks at them.
    pub blocks: Option<&'a Blocks>,
}

/// Training rows on the device.
#[derive(Debug)]
pub struct TrainingSet {
    layout: Layout,
    touched_offsets: Buffer<u32>,
    touched: Buffer<u32>,
}

/// Steps that triples are drawn for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drawn {
    /// The first.
    pub step: u32,
    pub steps: u32,
    pub seed: u64,
}

#[derive(Debug)]
enum Layout {
    ByUser { users: Buffer<u32>, positive_offsets: Buffer<u32>, positives: Buffer<u32>, items: Buffer<u32> },
    Log { users: Buffer<u32>, items: Buffer<u32>, window: u32, blocks: Option<Box<BlockSet>> },
}

/// Feedback blocks on the device.
#[derive(Debug)]
struct BlockSet {
    /// Their part of a batch.
    share: f32,
    users: Buffer<u32>,
    positive_offsets: Buffer<u32>,
    positives: Buffer<u32>,
    negative_offsets: Buffer<u32>,
    negatives: Buffer<u32>,
}

impl BlockSet {
    fn new(device: &Device, blocks: &Blocks, share: f32) -> Result<Self> {
        let upload = |words: &[u32]| Buffer::from_slice(device, words);
        Ok(Self {
            share,
            users: upload(blocks.users())?,
            positive_offsets: upload(blocks.positive_offsets())?,
            positives: upload(blocks.positives())?,
            negative_offsets: upload(blocks.negative_offsets())?,
            negatives: upload(blocks.negatives())?,
        })
    }

    /// The triples of a batch that come from blocks, to the nearest.
    fn count(&self, batch: u32) -> u32 {
        (f64::from(batch) * f64::from(self.share)).round() as u32
    }

    fn buffers(&self) -> [&Buffer<u32>; 5] {
        let Self { users, positive_offsets, positives, negative_offsets, negatives, .. } = self;
        [users, positive_offsets, positives, negative_offsets, negatives]
    }
}

impl TrainingSet {
    /// Lays the data out on the device.
    ///
    /// # Errors
    /// [`Error::Argument`] for no rows; [`Error::Limit`] past the device's largest binding.
    pub fn new(device: &Device, data: TrainingData<'_>, sampling: Sampling) -> Result<Self> {
        let TrainingData { rows, history, blocks } = data;
        if rows.is_empty() {
            let (expected, got) = ("at least one interaction".into(), "none".into());
            return Err(Error::Argument { op: "TrainingSet::new", arg: "rows", expected, got });
        }
        match sampling {
            Sampling::Users => Self::by_user(device, rows, history),
            Sampling::Log { window } | Sampling::Blocks { window, .. } => {
                let (users, items) = rows.iter().copied().unzip();
                let blocks = match (sampling, blocks) {
                    (Sampling::Blocks { share, .. }, Some(blocks)) if !blocks.is_empty() => {
                        Some(Box::new(BlockSet::new(device, blocks, share)?))
                    }
                    _ => None,
                };
                let layout = Layout::Log {
                    users: Buffer::from_vec(device, users)?,
                    items: Buffer::from_vec(device, items)?,
                    window,
                    blocks,
                };
                Ok(Self {
                    layout,
                    touched_offsets: Buffer::from_slice(device, history.offsets())?,
                    touched: Buffer::from_slice(device, history.items())?,
                })
            }
        }
    }

    fn by_user(device: &Device, rows: &[(u32, u32)], history: &UserItems) -> Result<Self> {
        let segment = UserItems::new(history.users(), rows.iter().copied())?;
        let mut items = segment.items().to_vec();
        items.sort_unstable();
        items.dedup();
        let users: Vec<u32> = (0..segment.users()).filter(|&user| !segment.row(user).is_empty()).collect();
        let (mut positive_offsets, mut touched_offsets, mut touched) = (vec![0], vec![0], Vec::new());
        for &user in &users {
            positive_offsets.push(segment.offsets()[user as usize + 1]);
            touched
                .extend(history.row(user).iter().filter_map(|item| items.binary_search(item).ok()).map(|i| i as u32));
            touched_offsets.push(touched.len() as u32);
        }
        Ok(Self {
            layout: Layout::ByUser {
                users: Buffer::from_vec(device, users)?,
                positive_offsets: Buffer::from_vec(device, positive_offsets)?,
                positives: Buffer::from_slice(device, segment.items())?,
                items: Buffer::from_vec(device, items)?,
            },
            touched_offsets: Buffer::from_vec(device, touched_offsets)?,
            touched: Buffer::from_vec(device, touched)?,
        })
    }

    /// Draws the triples of a step, as a part of what the caller records: users, positives and negatives, a third of
    /// `triples` each. A triple whose user touched everything has no negative, and `u32::MAX` in its place.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn record_triples(
        &self,
        recorder: &mut impl Recorder,
        step: u32,
        seed: u64,
        triples: &mut Buffer<u32>,
    ) -> Result<()> {
        self.record_steps(recorder, Drawn { step, steps: 1, seed }, triples)
    }

    /// The same of several steps, one behind another.
    pub(super) fn record_steps(
        &self,
        recorder: &mut impl Recorder,
        Drawn { step, steps, seed }: Drawn,
        triples: &mut Buffer<u32>,
    ) -> Result<()> {
        let batch = (triples.len() / 3) as u32 / steps.max(1);
        let Self { layout, touched_offsets, touched } = self;
        match layout {
            Layout::ByUser { users, positive_offsets, positives, items } => recorder.run(SampleTriples {
                users,
                positive_offsets,
                positives,
                items,
                touched_offsets,
                touched,
                step,
                steps,
                seed,
                batch,
                triples,
            }),
            &Layout::Log { ref users, ref items, window, ref blocks } => {
                let of_blocks = blocks.as_ref().map_or(0, |blocks| blocks.count(batch));
                let of_log = batch - of_blocks;
                if of_log > 0 {
                    recorder.run(SampleLogTriples {
                        users,
                        items,
                        touched_offsets,
                        touched,
                        window,
                        step,
                        steps,
                        seed,
                        batch,
                        first: 0,
                        count: of_log,
                        triples: &mut *triples,
                    })?;
                }
                let Some(BlockSet { users, positive_offsets, positives, negative_offsets, negatives, .. }) =
                    blocks.as_deref().filter(|_| of_blocks > 0)
                else {
                    return Ok(());
                };
                recorder.run(SampleBlockTriples {
                    users,
                    positive_offsets,
                    positives,
                    negative_offsets,
                    negatives,
                    step,
                    steps,
                    seed,
                    batch,
                    first: of_log,
                    count: of_blocks,
                    triples,
                })
            }
        }
    }

    /// Bytes held on the device.
    pub fn bytes(&self) -> u64 {
        let buffers = match &self.layout {
            Layout::ByUser { users, positive_offsets, positives, items } => {
                vec![users, positive_offsets, positives, items]
            }
            Layout::Log { users, items, blocks, .. } => {
                [users, items].into_iter().chain(blocks.iter().flat_map(|blocks| blocks.buffers())).collect()
            }
        };
        let touched = self.touched_offsets.size_bytes() + self.touched.size_bytes();
        touched + buffers.into_iter().map(Buffer::size_bytes).sum::<u64>()
    }
}

#[cfg(test)]
mod tests;
