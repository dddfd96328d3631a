//! Bind groups that are kept, for those who launch the same kernels on the same buffers many times.
//!
//! Making a bind group is most of what a launch costs on the host, and a loop of steps binds the same few dozen sets of
//! buffers over and over. Kept groups hold their buffers, also those that are dropped elsewhere: so they belong to one
//! call, and go with it.

use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use std::sync::{Arc, Mutex};

use hashbrown::HashTable;

use super::dispatches::Bound;
use super::faults::lock;
use super::pipeline::{Key, Pipeline};

/// The bind groups of a call, with their pipelines. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct BindGroups(Arc<Mutex<HashTable<Kept>>>);

/// A group, and what it was made for.
struct Kept {
    hash: u64,
    key: Key,
    buffers: Vec<Owned>,
    made: Made,
}

/// A part of a buffer, see [`Bound`].
pub(super) type Owned = (wgpu::Buffer, u64, Option<wgpu::BufferSize>);

/// A pipeline, and the group of its bindings.
#[derive(Clone)]
pub(super) struct Made {
    pub pipeline: Pipeline,
    pub group: wgpu::BindGroup,
}

impl BindGroups {
    /// The group of these buffers for a pipeline, made if there is none.
    pub(super) fn get(&self, key: &Key, buffers: &[Bound<'_>], make: impl FnOnce() -> Made) -> Made {
        let hash = BuildHasherDefault::<Folded>::default().hash_one((key, Parts(buffers)));
        let is_it = |kept: &Kept| kept.hash == hash && kept.key == *key && Bound::are(buffers, &kept.buffers);
        let mut kept = lock(&self.0);
        if let Some(kept) = kept.find(hash, is_it) {
            return kept.made.clone();
        }
        let (made, key, buffers) = (make(), *key, buffers.iter().map(Bound::owned).collect());
        kept.insert_unique(hash, Kept { hash, key, buffers, made: made.clone() }, |kept| kept.hash);
        made
    }
}

/// Parts of buffers, to hash.
struct Parts<'a>(&'a [Bound<'a>]);

impl Hash for Parts<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for part in self.0 {
            part.buffer.hash(state);
            state.write_u64(part.offset);
        }
    }
}

/// Addresses and small numbers, folded by products: they are ours, so nobody can choose them to collide, and a group is
/// looked up at every launch.
#[derive(Default)]
struct Folded(u64);

impl Hasher for Folded {
    fn finish(&self) -> u64 {
        // The table takes its place from the upper bits and a tag from the lower.
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, word: u64) {
        // The fraction of the golden ratio, as in Fibonacci hashing (Knuth, volume 3, section 6.4).
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}
