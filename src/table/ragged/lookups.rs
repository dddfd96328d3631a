//! Reading rows by ids that the host has.

use super::RaggedTable;
use crate::Result;
use crate::check;
use crate::device::{Buffer, Kernel};
use crate::kernels::table::bags::{LookupBags, Pooling};
use crate::kernels::table::lookup::{Lookup, LookupPacked};
use crate::table::Offsets;

impl RaggedTable {
    /// The first `dims` values of some rows, zero-padded: `[ids, dims]`.
    ///
    /// # Errors
    /// [`Error::IdOutOfRange`](crate::Error::IdOutOfRange) for an id past the table.
    pub fn lookup(&self, ids: &[u32], dims: u32) -> Result<Buffer<f32>> {
        check::dims("table/lookup", dims)?;
        let ids = self.upload_ids("table/lookup", ids)?;
        let mut out = Buffer::zeroed(self.device(), ids.len() * dims as usize)?;
        Lookup { rows: &self.rows, ids: &ids, dims, out: &mut out }.run(self.device())?;
        Ok(out)
    }

    /// The first `dims` values of some rows without padding, one row behind the other, and where each begins and the last
    /// ends: `[sum of min(size, dims)]` and `[ids + 1]`.
    ///
    /// # Errors
    /// [`Error::IdOutOfRange`](crate::Error::IdOutOfRange) for an id past the table; [`Error::Limit`](crate::Error::Limit) past 2^32 values.
    pub fn lookup_packed(&self, ids: &[u32], dims: u32) -> Result<(Buffer<f32>, Buffer<u32>)> {
        check::dims("table/lookup", dims)?;
        let on_device = self.upload_ids("table/lookup", ids)?;
        let sizes: Vec<u32> = ids.iter().map(|&id| self.size(id).min(dims)).collect();
        let out_offsets = Offsets::from_sizes(&sizes)?;
        let mut out = Buffer::zeroed(self.device(), out_offsets.values())?;
        let out_offsets = Buffer::from_vec(self.device(), out_offsets.into_vec())?;
        let widest = sizes.iter().copied().max().unwrap_or(0);
        LookupPacked { rows: &self.rows, ids: &on_device, out_offsets: &out_offsets, widest, out: &mut out }
            .run(self.device())?;
        Ok((out, out_offsets))
    }

    /// The rows of each bag as one, `[bags, dims]`: bag k has the ids `bags[k]..bags[k + 1]`.
    ///
    /// # Errors
    /// [`Error::IdOutOfRange`](crate::Error::IdOutOfRange) for an id past the table; [`Error::Argument`](crate::Error::Argument) for bags that fall or pass the last id.
    pub fn lookup_bags(&self, ids: &[u32], bags: &[u32], pooling: Pooling, dims: u32) -> Result<Buffer<f32>> {
        let op = "table/bags";
        check::rows(op, "bags", bags.len())?;
        check::dims(op, dims)?;
        check::offsets(op, "bags", bags, ids.len())?;
        let ids = self.upload_ids(op, ids)?;
        let longest_bag = bags.windows(2).map(|bag| bag[1] - bag[0]).max().unwrap_or(0);
        let mut out = Buffer::zeroed(self.device(), (bags.len() - 1) * dims as usize)?;
        let bags = Buffer::from_slice(self.device(), bags)?;
        LookupBags {
            rows: &self.rows,
            ids: &ids,
            bags: &bags,
            longest_bag,
            weights: None,
            pooling,
            dims,
            out: &mut out,
            winners: None,
        }
        .run(self.device())?;
        Ok(out)
    }
}
