//! Tables as files: safetensors, laid out as `docs/table-file.md` says.

mod header;
mod stretch;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use self::header::Header;
use self::stretch::{Reader, Writer};
use super::ragged::Storage;
use super::row_map::Parts;
use super::{Account, Offsets, RaggedTable, RowMap};
use crate::device::{Buffer, Device};
use crate::kernels::check;
use crate::{Error, Result};

impl RaggedTable {
    /// Writes the table to a file: values, sizes, optimizer, its state and steps, and how new rows start. `docs/table-file.md` has the
    /// layout, and how NumPy reads it.
    ///
    /// The file is written beside `file`, with `.part` behind its name, and takes its place when it is whole and on the disk.
    ///
    /// # Cost
    /// One pass. On the CPU nothing is copied but a piece at a time; of a GPU's buffers one at a time is on the host.
    ///
    /// # Errors
    /// [`Error::Io`], or what the device reports. A file that was there is then as before.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::Device;
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let file = directory.path().join("table.safetensors");
    /// let account = Account::unlimited();
    /// let table = RaggedTable::new(&Device::cpu(), &[4, 0, 2], TableOptions::default(), &account)?;
    /// table.save(&file)?;
    /// let loaded = RaggedTable::load(&Device::cpu(), &account, &file)?;
    /// assert_eq!(loaded.values().read()?, table.values().read()?);
    /// # Ok(()) }
    /// ```
    pub fn save(&self, file: &Path) -> Result<()> {
        save(self, None, file)
    }

    /// [`save`](Self::save), with the keys of the rows: [`load_with_ids`](Self::load_with_ids) gives both back.
    ///
    /// # Errors
    /// [`Error::Argument`] for a map with more rows than the table; those of [`save`](Self::save).
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::Device;
    /// use scall_gpu::table::{Account, RaggedTable, RowMap, RowMapOptions, TableOptions};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let file = directory.path().join("table.safetensors");
    /// let (device, account) = (Device::cpu(), Account::unlimited());
    /// let table = RaggedTable::new(&device, &[4, 0, 2], TableOptions::default(), &account)?;
    /// let mut ids = RowMap::new(3, RowMapOptions::default())?;
    /// ids.assign(&[700, 800])?;
    /// table.save_with_ids(&ids, &file)?;
    /// let (_, loaded) = RaggedTable::load_with_ids(&device, &account, &file)?;
    /// assert_eq!(loaded.and_then(|ids| ids.get(800)), Some(1));
    /// # Ok(()) }
    /// ```
    pub fn save_with_ids(&self, ids: &RowMap, file: &Path) -> Result<()> {
        let (op, rows) = ("RaggedTable::save_with_ids", self.rows());
        check::domain(op, "ids", ids.rows(), ids.rows() <= rows, &format!("of at most the table's {rows} rows"))?;
        save(self, Some(ids), file)
    }

    /// Reads a file that [`save`](Self::save) wrote, or one of that layout: training goes on bit for bit. Keys that are in it
    /// too are checked and left out.
    ///
    /// # Cost
    /// One pass. Nothing is allocated before the file's length and the account are known to hold it; for a GPU, one buffer at a time
    /// is on the host.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::BadFile`] with what was expected where and what was found; [`Error::OverBudget`] when the account has no
    /// room; [`Error::Limit`] past the device's largest binding.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::Error;
    /// use scall_gpu::device::Device;
    /// use scall_gpu::table::{Account, Counts, RaggedTable, TableOptions};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let file = directory.path().join("table.safetensors");
    /// let (device, account) = (Device::cpu(), Account::unlimited());
    /// RaggedTable::new(&device, &[4, 0, 2], TableOptions::default(), &account)?.save(&file)?;
    /// let small = Account::new(10, Counts::default());
    /// assert!(matches!(RaggedTable::load(&device, &small, &file), Err(Error::OverBudget { .. })));
    /// std::fs::write(&file, "not a table")?;
    /// assert!(matches!(RaggedTable::load(&device, &account, &file), Err(Error::BadFile { .. })));
    /// # Ok(()) }
    /// ```
    pub fn load(device: &Device, account: &Account, file: &Path) -> Result<Self> {
        Self::load_with_ids(device, account, file).map(|(table, _)| table)
    }

    /// [`load`](Self::load), with the keys of the rows where the file has them.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::Device;
    /// use scall_gpu::table::{Account, RaggedTable, RowMap, RowMapOptions, TableOptions};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let file = directory.path().join("table.safetensors");
    /// let (device, account) = (Device::cpu(), Account::unlimited());
    /// let table = RaggedTable::new(&device, &[4, 2], TableOptions::default(), &account)?;
    /// table.save(&file)?;
    /// assert!(RaggedTable::load_with_ids(&device, &account, &file)?.1.is_none());
    /// let mut ids = RowMap::new(2, RowMapOptions::default())?;
    /// ids.assign(&[700])?;
    /// table.save_with_ids(&ids, &file)?;
    /// let (table, ids) = RaggedTable::load_with_ids(&device, &account, &file)?;
    /// assert_eq!((table.size(0), ids.and_then(|ids| ids.key(0))), (4, Some(700)));
    /// # Ok(()) }
    /// ```
    pub fn load_with_ids(device: &Device, account: &Account, file: &Path) -> Result<(Self, Option<RowMap>)> {
        let mut reader = Reader::open(file)?;
        let header = Header::read(&mut reader)?;
        Buffer::<f32>::check_len(device, header.values)?;
        Buffer::<u32>::check_len(device, header.rows + 1)?;
        let state = header.options.rule.optimizer.state_size();
        let bytes = account.counted_bytes(header.rows as u64, header.values as u64, state);
        account.exchange(0, bytes)?;
        match contents(device, &mut reader, &header) {
            Ok((storage, ids)) => Ok((Self::restored(device, header.options, account, storage, header.steps), ids)),
            Err(error) => {
                // Giving back cannot overdraw.
                let _ = account.exchange(bytes, 0);
                Err(error)
            }
        }
    }
}

fn save(table: &RaggedTable, ids: Option<&RowMap>, file: &Path) -> Result<()> {
    let mut beside = OsString::from(file);
    beside.push(".part");
    let beside = Path::new(&beside);
    let failed = |source: io::Error| Error::Io { file: file.to_owned(), source };
    let written = File::create(beside).map_err(failed).and_then(|part| {
        let mut writer = Writer::new(part);
        write(table, ids, &mut writer, &failed)?;
        writer.finish().map_err(failed)
    });
    written.and_then(|()| fs::rename(beside, file).map_err(failed)).inspect_err(|_| {
        // What is left of a failure has no use; that there may be none is no second one.
        let _ = fs::remove_file(beside);
    })
}

fn write(
    table: &RaggedTable,
    ids: Option<&RowMap>,
    writer: &mut Writer,
    failed: &impl Fn(io::Error) -> Error,
) -> Result<()> {
    let ids = ids.map(RowMap::parts);
    writer.bytes(&header::bytes(table, ids.as_ref())).map_err(failed)?;
    if let Some(Parts { rows: (keys, scores), .. }) = ids {
        writer.numbers(keys, u64::to_le_bytes).map_err(failed)?;
        writer.numbers(scores, f64::to_le_bytes).map_err(failed)?;
    }
    writer.numbers(table.host_offsets(), u32::to_le_bytes).map_err(failed)?;
    for buffer in [table.values()].into_iter().chain(table.optimizer_state()) {
        match buffer.as_slice() {
            Some(numbers) => writer.numbers(numbers, f32::to_le_bytes),
            None => writer.numbers(&buffer.read()?, f32::to_le_bytes),
        }
        .map_err(failed)?;
    }
    let checksum = writer.checksum();
    writer.numbers(&checksum, u32::to_le_bytes).map_err(failed)
}

/// Everything behind the header, in the order in which it lies there.
fn contents(device: &Device, reader: &mut Reader<'_>, header: &Header) -> Result<(Storage, Option<RowMap>)> {
    let (mut offsets, mut values, mut keys, mut scores) = (Vec::new(), None, Vec::new(), Vec::new());
    let mut state: Vec<Option<Buffer<f32>>> = header.state.iter().map(|_| None).collect();
    for name in &header.order {
        match name.as_str() {
            "offsets" => offsets = reader.numbers(header.rows + 1, u32::from_le_bytes)?,
            "values" => values = Some(Buffer::from_vec(device, reader.numbers(header.values, f32::from_le_bytes)?)?),
            "ids" => keys = reader.numbers(header.ids.map_or(0, |ids| ids.rows), u64::from_le_bytes)?,
            "ids.score" => scores = reader.numbers(header.ids.map_or(0, |ids| ids.rows), f64::from_le_bytes)?,
            "checksum" => {
                let own = reader.checksum();
                let found: Vec<u32> = reader.numbers(2, u32::from_le_bytes)?;
                if found != own {
                    let words = |words: &[u32]| format!("{:08x}{:08x}", words[1], words[0]);
                    return Err(reader.bad(&format!("`checksum` {}", words(&own)), &words(&found)));
                }
            }
            other => {
                let number = header.state.iter().position(|(name, _)| name == other).expect("a name that was checked");
                let numbers = reader.numbers(header.state[number].1, f32::from_le_bytes)?;
                state[number] = Some(Buffer::from_vec(device, numbers)?);
            }
        }
    }
    let offsets = match Offsets::new(offsets, header.values as u64) {
        Ok(offsets) => offsets,
        Err(Error::Argument { expected, got, .. }) => {
            return Err(reader.bad(&format!("`offsets` {expected}"), &got));
        }
        Err(other) => return Err(other),
    };
    let widest = offsets.sizes().max().unwrap_or(0);
    if let Err(Error::Limit { allowed, .. }) = check::dims("RaggedTable::load", widest) {
        return Err(reader.bad(&format!("`offsets` of rows of at most {allowed} values"), &widest.to_string()));
    }
    let ids = match header.ids {
        None => None,
        Some(ids) => {
            let header::Ids { capacity, options, clock, .. } = ids;
            let map = RowMap::from_parts(Parts { capacity, options, clock, rows: (keys, scores) });
            Some(map.map_err(|[part, expected, found]| reader.bad(&format!("`ids` with {part} {expected}"), &found))?)
        }
    };
    let values = values.expect("a tensor that was checked");
    let state = state.into_iter().map(|state| state.expect("a tensor that was checked")).collect();
    Ok((Storage::of(device, offsets, values, state)?, ids))
}

#[cfg(test)]
mod tests;
