//! What a loop holds, all of it.

use super::scall::Scall;

/// Bytes that a loop holds once a segment is done, whatever the budget counts. What a store of earlier rows takes is
/// memory as the tables are, so methods that differ in it are compared by their [`total`](Self::total).
///
/// Source: that rule is MEMO's (Zhou et al., "A model or 603 exemplars: towards memory-efficient class-incremental
/// learning", ICLR 2023).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Embedding values of both tables.
    pub values: u64,
    /// Their optimizer state.
    pub optimizer: u64,
    /// Their row directories, with the host's mirrors of those of a GPU.
    pub directory: u64,
    /// Training rows as they lie on the device, with the items that their users touched and a model's graph.
    pub samples: u64,
    /// A graph model's dense layers, kept for the lists after training.
    pub layers: u64,
    /// The items of each user, on the host.
    pub history: u64,
    /// The columns of the rows that are kept, and what is counted for each user and item. Rows of a recorded stream
    /// that are still to come do not count: they are what is read, not what is kept.
    pub stream: u64,
    /// The names of users and items, and what finds them. Not part of the total: any service has them somewhere.
    pub names: u64,
    /// What training, ranking and a search need besides, and give back. Not part of the total.
    pub working: u64,
}

impl Held {
    /// All but names and what is given back.
    pub fn total(&self) -> u64 {
        let Self { values, optimizer, directory, samples, layers, history, stream, names: _, working: _ } = self;
        values + optimizer + directory + samples + layers + history + stream
    }
}

impl Scall {
    /// What is held now, after row `rows_end`, and what was besides while the segment was learned.
    pub(super) fn held(&self, rows_end: usize, working_bytes: u64) -> Held {
        let memory = self.model.embeddings().memory();
        let (samples, layers) = (self.model.sample_bytes(), self.model.layer_bytes());
        // The directory of a GPU has a mirror on the host.
        let directories = if self.device.as_gpu().is_some() { 2 } else { 1 };
        let counted = self.frequencies.iter().map(|side| size_of_val(side.as_slice()) as u64);
        Held {
            values: memory.values_bytes,
            optimizer: memory.optimizer_bytes,
            directory: directories * memory.metadata_bytes,
            samples,
            layers,
            history: self.history.bytes(),
            stream: self.data.column_bytes(rows_end) + counted.sum::<u64>(),
            names: self.data.name_bytes(),
            working: working_bytes.saturating_sub(samples + layers),
        }
    }
}
