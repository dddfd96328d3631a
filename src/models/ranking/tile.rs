//! Candidates that are looked up together.

use super::RankCandidates;
use crate::Result;
use crate::device::{Buffer, Commands, Device};
use crate::kernels::table::lookup::Lookup;
use crate::kernels::table::store::Store;
use crate::rows::Rows;

/// A row to be ranked for, or to be ranked.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Its position in the request.
    pub at: u32,
    /// How many of its values are multiplied.
    pub width: u32,
}

/// Candidates that are looked up together.
pub(super) struct Tile {
    pub count: u32,
    /// Their ids, filled up.
    ids: Buffer<u32>,
    /// Position and width of each.
    pub places: Buffer<u32>,
    /// Biases of the request, filled up, where it has some.
    biases: Option<Buffer<f32>>,
}

impl Tile {
    pub fn new(device: &Device, of: &RankCandidates<'_, '_>, places: &[Place], len: usize) -> Result<Self> {
        let ids: Vec<u32> = places.iter().map(|place| of.request.candidates[place.at as usize]).collect();
        let biases = of.request.item_biases.filter(|_| of.item_bias).map(|biases| {
            let mut biases: Vec<f32> = ids.iter().map(|&id| biases[id as usize]).collect();
            biases.resize(len, 0.0);
            Buffer::from_vec(device, biases)
        });
        Ok(Self {
            count: places.len() as u32,
            ids: padded(device, &ids, len)?,
            places: Buffer::from_vec(device, places.iter().flat_map(|place| [place.at, place.width]).collect())?,
            biases: biases.transpose()?,
        })
    }
}

/// The dense rows of a tile of candidates.
pub(super) enum Candidates {
    /// As they are in the table.
    Rows(Buffer<f32>),
    /// With biases from elsewhere in front.
    Biased {
        rows: Rows,
        /// `0..tile`.
        places: Buffer<u32>,
    },
}

impl Candidates {
    pub fn new(device: &Device, of: &RankCandidates<'_, '_>, tile: usize, stride: u32) -> Result<Self> {
        Ok(match of.request.item_biases.filter(|_| of.item_bias) {
            None => Self::Rows(Buffer::zeroed(device, tile * stride as usize)?),
            Some(_) => Self::Biased {
                rows: Rows::dense(device, tile as u32, stride)?,
                places: Buffer::from_vec(device, (0..tile as u32).collect())?,
            },
        })
    }

    /// Looks a tile up.
    pub fn record(&mut self, commands: &mut Commands, (from, stride): (&Rows, u32), tile: &Tile) -> Result<()> {
        match self {
            Self::Rows(out) => commands.run(Lookup { rows: from, ids: &tile.ids, dims: stride, out }),
            Self::Biased { rows, places } => {
                commands.run(Lookup { rows: from, ids: &tile.ids, dims: stride, out: rows.dense_mut() })?;
                let values = tile.biases.as_ref().expect("a tile of a request with biases");
                commands.run(Store { rows, ids: places, values, dims: 1 })
            }
        }
    }

    pub fn dense(&self) -> &Buffer<f32> {
        match self {
            Self::Rows(rows) => rows,
            Self::Biased { rows, .. } => rows.as_dense(),
        }
    }
}

/// Ids filled up to `len` with u32::MAX, which a lookup takes for an empty row: every block and tile then fits the same
/// buffers.
pub(super) fn padded(device: &Device, ids: &[u32], len: usize) -> Result<Buffer<u32>> {
    let mut padded = ids.to_vec();
    padded.resize(len, u32::MAX);
    Buffer::from_slice(device, &padded)
}
