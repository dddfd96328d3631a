//! How rows lie in memory.

use super::place::{PageLimits, shift};
use super::{Format, StateSize};
use crate::device::Device;

/// How rows lie in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Layout {
    /// What a value is stored as (default: f32).
    pub format: Format,
    /// Whether every row begins at a multiple of 16 bytes (default: no). Costs 6 bytes a row on average.
    pub aligned: bool,
    /// The most bytes of a page's values (default: what the device binds; 64 MiB on the CPU). A resize needs room for
    /// one page in addition to the table, so smaller pages lower its peak. Every page is one more dispatch of each
    /// kernel.
    pub page_bytes: Option<u64>,
}

impl Layout {
    /// The distance in values between two places where a row may begin.
    pub fn alignment(&self) -> u32 {
        if self.aligned { (16 / self.format.bytes()) as u32 } else { self.format.per_word() }
    }

    /// The most that a page holds on a device, if an optimizer keeps this state.
    pub(crate) fn page_limits(&self, device: &Device, state: StateSize) -> PageLimits {
        // State lies at the place of its value, in f32.
        let bytes = if state.per_value > 0 { 4 } else { self.format.bytes() };
        let most = match device.as_gpu() {
            Some(gpu) => gpu.limits().max_storage_buffer_binding_size.min(gpu.limits().max_buffer_size),
            None => CPU_PAGE_BYTES,
        };
        let page = self.page_bytes.map_or(most, |page| page.min(most));
        let values = (page / bytes).min(PageLimits::NONE.values.into()) as u32;
        // A row of any size takes at most 6 bytes of the directory.
        let rows = (page / 8).clamp(1, u32::MAX.into()) as u32;
        PageLimits { values: values - values % self.alignment(), rows }
    }

    /// An upper bound for the bytes of the row directories of `tables` tables, which have this number of rows and
    /// values together and no row wider than `widest`.
    pub fn metadata_bytes_at_most(&self, tables: u64, rows: u64, values: u64, widest: u32) -> u64 {
        // Each table, and each page after its first, may end within a word and within a block. The smallest pages may
        // be only half full.
        let page = self.page_bytes.unwrap_or(CPU_PAGE_BYTES).min(CPU_PAGE_BYTES);
        let alignment = u64::from(self.alignment());
        let values = values.saturating_add(rows.saturating_mul(alignment - 1));
        let (page_values, page_rows) = (page / 4 / alignment * alignment, page / 8);
        let pages =
            (tables.saturating_add(values / page_values.div_ceil(2).max(1))).saturating_add(rows / page_rows.max(1));
        let blocks = rows >> shift(widest, self.alignment());
        rows.saturating_mul(2).saturating_add(blocks.saturating_mul(4)).saturating_add(pages.saturating_mul(8))
    }
}

/// Bytes of a page's values on the CPU. Finding the page of a row costs little there.
const CPU_PAGE_BYTES: u64 = 64 << 20;
