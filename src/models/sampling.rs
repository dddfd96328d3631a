//! What training triples are drawn from, on the device.

use crate::check;
use crate::device::{Buffer, Device, Recorder};
use crate::kernels::rank::log_triples::SampleLogTriples;
use crate::kernels::rank::triples::SampleTriples;
use crate::stream::UserItems;
use crate::{Error, Result};

/// How training triples are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

impl Sampling {
    /// The names that [`from_name`](Self::from_name) takes.
    pub const NAMES: &'static [&'static str] = &["log", "users"];

    /// By name: `log` with a window of 5,000 rows, or `users`.
    ///
    /// # Errors
    /// [`Error::Argument`] for any other name.
    pub fn from_name(name: &str) -> Result<Self> {
        check::named("Sampling::from_name", "name", &[Self::Log { window: 5000 }, Self::Users], Self::name, name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log { .. } => "log",
            Self::Users => "users",
        }
    }
}

/// What to draw training triples from.
#[derive(Clone, Copy, Debug)]
pub struct TrainingData<'a> {
    /// The (user, item) rows to learn, in time order. Negatives are drawn from the items among them.
    pub rows: &'a [(u32, u32)],
    /// All that users ever touched, the rows included: a negative is never among it.
    pub history: &'a UserItems,
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
    Log { users: Buffer<u32>, items: Buffer<u32>, window: u32 },
}

impl TrainingSet {
    /// Lays the data out on the device.
    ///
    /// # Errors
    /// [`Error::Argument`] for no rows; [`Error::Limit`] past the device's largest binding.
    pub fn new(device: &Device, data: TrainingData<'_>, sampling: Sampling) -> Result<Self> {
        let TrainingData { rows, history } = data;
        if rows.is_empty() {
            let (expected, got) = ("at least one interaction".into(), "none".into());
            return Err(Error::Argument { op: "TrainingSet::new", arg: "rows", expected, got });
        }
        match sampling {
            Sampling::Users => Self::by_user(device, rows, history),
            Sampling::Log { window } => {
                let (users, items) = rows.iter().copied().unzip();
                let layout = Layout::Log {
                    users: Buffer::from_vec(device, users)?,
                    items: Buffer::from_vec(device, items)?,
                    window,
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
            &Layout::Log { ref users, ref items, window } => recorder.run(SampleLogTriples {
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
                count: batch,
                triples,
            }),
        }
    }

    /// Bytes held on the device.
    pub fn bytes(&self) -> u64 {
        let buffers = match &self.layout {
            Layout::ByUser { users, positive_offsets, positives, items } => {
                vec![users, positive_offsets, positives, items]
            }
            Layout::Log { users, items, .. } => vec![users, items],
        };
        let touched = self.touched_offsets.size_bytes() + self.touched.size_bytes();
        touched + buffers.into_iter().map(Buffer::size_bytes).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_by_user() {
        // User 1 has nothing among the rows; user 2 touched item 5 before, which is not among them.
        let rows = [(0, 4), (2, 9), (2, 4), (0, 7)];
        let history = UserItems::new(3, [(0, 4), (0, 7), (1, 9), (2, 4), (2, 5), (2, 9)]).unwrap();
        let device = Device::cpu();
        let set = TrainingSet::new(&device, TrainingData { rows: &rows, history: &history }, Sampling::Users).unwrap();
        let read = |buffer: &Buffer<u32>| buffer.read().unwrap();
        let Layout::ByUser { users, positive_offsets, positives, items } = &set.layout else {
            panic!("{:?}", set.layout)
        };
        assert_eq!(read(users), [0, 2]);
        assert_eq!(read(positive_offsets), [0, 2, 4]);
        assert_eq!(read(positives), [4, 7, 4, 9]);
        assert_eq!(read(items), [4, 7, 9]);
        assert_eq!(read(&set.touched_offsets), [0, 2, 4]);
        assert_eq!(read(&set.touched), [0, 1, 0, 2]);
        assert!(TrainingSet::new(&device, TrainingData { rows: &[], history: &history }, Sampling::Users).is_err());
    }

    #[test]
    fn both_samplings_draw_positives_from_the_rows_and_negatives_from_what_is_untouched() {
        let rows: Vec<(u32, u32)> = (0..300).map(|r| (r % 7, r * 5 % 60)).collect();
        let history = UserItems::new(7, rows.iter().copied().chain([(3, 1), (4, 2)])).unwrap();
        let device = Device::cpu();
        for sampling in [Sampling::Users, Sampling::Log { window: 40 }] {
            let set = TrainingSet::new(&device, TrainingData { rows: &rows, history: &history }, sampling).unwrap();
            let mut triples = Buffer::zeroed(&device, 3 * 500).unwrap();
            let mut commands = device.commands();
            set.record_triples(&mut commands, 1, 2, &mut triples).unwrap();
            commands.submit().unwrap();
            let triples = triples.read().unwrap();
            for b in 0..500 {
                let [user, positive, negative] = [triples[b], triples[500 + b], triples[1000 + b]];
                assert!(rows.contains(&(user, positive)), "{sampling:?}");
                assert!(negative == u32::MAX || !history.contains(user, negative), "{sampling:?}");
            }
        }
    }
}
