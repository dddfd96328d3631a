//! What training triples are drawn from, on the device.

use crate::device::{Buffer, Device};
use crate::stream::UserItems;
use crate::{Error, Result};

/// The interactions of one segment, laid out for [`SampleTriples`](crate::kernels::rank::triples::SampleTriples).
#[derive(Debug)]
pub struct TrainingSet {
    pub(super) users: Buffer<u32>,
    pub(super) positive_offsets: Buffer<u32>,
    pub(super) positives: Buffer<u32>,
    pub(super) items: Buffer<u32>,
    pub(super) touched_offsets: Buffer<u32>,
    pub(super) touched: Buffer<u32>,
}

/// What to draw training triples from.
#[derive(Clone, Copy, Debug)]
pub struct TrainingData<'a> {
    /// The interactions to learn: their users and positives are drawn, and negatives from all items among them.
    pub segment: &'a UserItems,
    /// All that users ever touched, the segment included: a negative is never among it.
    pub history: &'a UserItems,
}

impl TrainingSet {
    /// Lays the data out on the device.
    ///
    /// # Errors
    /// [`Error::Argument`] for a segment without interactions; [`Error::Limit`] past the device's largest binding.
    pub fn new(device: &Device, data: TrainingData<'_>) -> Result<Self> {
        let TrainingData { segment, history } = data;
        if segment.is_empty() {
            return Err(Error::Argument {
                op: "TrainingSet::new",
                arg: "segment",
                expected: "at least one interaction".into(),
                got: "none".into(),
            });
        }
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
            users: Buffer::from_vec(device, users)?,
            positive_offsets: Buffer::from_vec(device, positive_offsets)?,
            positives: Buffer::from_slice(device, segment.items())?,
            items: Buffer::from_vec(device, items)?,
            touched_offsets: Buffer::from_vec(device, touched_offsets)?,
            touched: Buffer::from_vec(device, touched)?,
        })
    }

    /// Bytes held on the device.
    pub fn bytes(&self) -> u64 {
        let buffers =
            [&self.users, &self.positive_offsets, &self.positives, &self.items, &self.touched_offsets, &self.touched];
        buffers.map(Buffer::size_bytes).iter().sum()
    }

    /// Number of users that triples are drawn for.
    pub fn users(&self) -> usize {
        self.users.len()
    }

    /// Number of items that negatives are drawn from.
    pub fn items(&self) -> usize {
        self.items.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout() {
        // User 1 has nothing in the segment; user 2 touched item 5 before, which is not in the segment.
        let segment = UserItems::new(3, [(0, 4), (2, 9), (2, 4), (0, 7)]).unwrap();
        let history = UserItems::new(3, [(0, 4), (0, 7), (1, 9), (2, 4), (2, 5), (2, 9)]).unwrap();
        let set = TrainingSet::new(&Device::cpu(), TrainingData { segment: &segment, history: &history }).unwrap();
        let read = |buffer: &Buffer<u32>| buffer.read().unwrap();
        assert_eq!(read(&set.users), [0, 2]);
        assert_eq!(read(&set.positive_offsets), [0, 2, 4]);
        assert_eq!(read(&set.positives), [4, 7, 4, 9]);
        assert_eq!(read(&set.items), [4, 7, 9]);
        assert_eq!(read(&set.touched_offsets), [0, 2, 4]);
        assert_eq!(read(&set.touched), [0, 1, 0, 2]);
        let empty = UserItems::new(3, []).unwrap();
        assert!(TrainingSet::new(&Device::cpu(), TrainingData { segment: &empty, history: &history }).is_err());
    }
}
