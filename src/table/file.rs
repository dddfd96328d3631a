//! Tables as files: safetensors, laid out as `docs/table-file.md` says.

mod header;
mod stretch;

use std::borrow::Cow;
use std::path::Path;

use self::header::Header;
use self::stretch::{Reader, Writer};
use super::row_map::Parts;
use super::{Account, RaggedTable, RowMap};
use crate::check;
use crate::device::{Buffer, Device};
use crate::file::atomic;
use crate::rows::{Codec, Directory, Rows, Stored, Values, WIDEST, with_codec};
use crate::{Error, Result};

impl RaggedTable {
    /// Writes the table to a file: values, sizes, optimizer, its state and steps, and how new rows start.
    /// `docs/table-file.md` has the layout, and how NumPy reads it.
    ///
    /// The file takes the place of `file` when it is whole and on the disk ([`atomic::write()`]): a reader sees the old
    /// one or the new one, and several writers of one file, threads or processes, do not disturb each other.
    ///
    /// # Cost
    /// One pass. Values, and each number of the state, are on the host one after the other.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io), what the device reports, or [`Error::Limit`](crate::Error::Limit) past 2^32
    /// values. A file that was there is then as before.
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
    /// assert_eq!(loaded.read()?, table.read()?);
    /// # Ok(()) }
    /// ```
    pub fn save(&self, file: &Path) -> Result<()> {
        save(self, Contained::All(None), file)
    }

    /// [`save`](Self::save), with the keys of the rows: [`load_with_ids`](Self::load_with_ids) gives both back.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for a map with more rows than the table; those of
    /// [`save`](Self::save).
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
        save(self, Contained::All(Some(ids)), file)
    }

    /// [`save`](Self::save), with these rows alone and in this order: [`load`](Self::load) gives a table of them. With
    /// the rows that have changed since an earlier file ([`Mark`](crate::file::Mark) finds them), the file is small.
    ///
    /// # Errors
    /// [`Error::IdOutOfRange`](crate::Error::IdOutOfRange) for a row that the table does not have; those of
    /// [`save`](Self::save).
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
    /// table.save_rows(&[2, 0], &file)?;
    /// let loaded = RaggedTable::load(&Device::cpu(), &account, &file)?;
    /// assert_eq!(loaded.sizes().collect::<Vec<_>>(), [2, 4]);
    /// assert_eq!(loaded.read()?[..2], table.read()?[4..]);
    /// # Ok(()) }
    /// ```
    pub fn save_rows(&self, rows: &[u32], file: &Path) -> Result<()> {
        if let Some(position) = rows.iter().position(|&row| row >= self.rows()) {
            let (op, arg) = ("RaggedTable::save_rows", "rows");
            return Err(Error::IdOutOfRange { op, arg, position, id: rows[position], rows: self.rows().into() });
        }
        save(self, Contained::Rows(rows), file)
    }

    /// Reads a file that [`save`](Self::save) wrote, or one of that layout: training goes on bit for bit. Keys that are
    /// in it too are checked and left out.
    ///
    /// # Cost
    /// One pass. Nothing is allocated before the length of the file shows that it is there, and no row before the
    /// account has given its bytes. Values and state are on the host in addition to the table.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); [`Error::BadFile`](crate::Error::BadFile) with what was expected where and what
    /// was found; [`Error::OverBudget`](crate::Error::OverBudget) when the account has no room;
    /// [`Error::Limit`](crate::Error::Limit) past the device's largest binding.
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
        let (layout, state) = (header.options.layout, header.options.rule.optimizer.state_size());
        // What the values take at least; how much it is, the sizes will say.
        let mut bytes = header.stored as u64 * layout.format.bytes();
        account.exchange(0, bytes)?;
        let mut load = || {
            let contents = contents(&mut reader, &header)?;
            let directory = Directory::new(device, &contents.sizes(), layout, state)?;
            let exact = account.counted_bytes(directory.bytes(layout, state));
            account.exchange(bytes, exact)?;
            bytes = exact;
            let mut rows = Rows::arranged(device, &directory, layout, state)?;
            contents.write(&mut rows)?;
            Ok((rows, contents.ids))
        };
        match load() {
            Ok((rows, ids)) => Ok((Self::restored(header.options, account, rows, header.steps), ids)),
            Err(error) => {
                // Giving back cannot overdraw.
                let _ = account.exchange(bytes, 0);
                Err(error)
            }
        }
    }
}

/// What of a table goes into its file.
#[derive(Clone, Copy)]
enum Contained<'a> {
    /// All of it, with the keys of the rows if they are wanted.
    All(Option<&'a RowMap>),
    /// These rows.
    Rows(&'a [u32]),
}

impl Contained<'_> {
    /// The numbers that go into the file, of some that row r has from `starts[r]` to `starts[r + 1]`.
    fn of<'n, T: Copy>(&self, numbers: &'n [T], starts: impl Fn(usize) -> usize) -> Cow<'n, [T]> {
        match self {
            Self::All(_) => Cow::Borrowed(numbers),
            Self::Rows(rows) => {
                let ranges = rows.iter().map(|&row| starts(row as usize)..starts(row as usize + 1));
                ranges.flat_map(|range| &numbers[range]).copied().collect()
            }
        }
    }
}

fn save(table: &RaggedTable, contained: Contained<'_>, file: &Path) -> Result<()> {
    atomic::write(file, |file| write(table, contained, &mut Writer::new(file)))
}

fn write(table: &RaggedTable, contained: Contained<'_>, writer: &mut Writer<'_>) -> Result<()> {
    let ends = |sizes: &[u32]| -> Vec<u64> {
        let ends = sizes.iter().scan(0, |end, &size| {
            *end += u64::from(size);
            Some(*end)
        });
        std::iter::once(0).chain(ends).collect()
    };
    let sizes: Vec<u32> = table.sizes().collect();
    let starts = ends(&sizes);
    let offsets = ends(&contained.of(&sizes, |row| row));
    let values_len = offsets[offsets.len() - 1];
    check::indexable("RaggedTable::save", "values", values_len)?;
    let offsets: Vec<u32> = offsets.into_iter().map(|end| end as u32).collect();
    let of_values = |row: usize| starts[row] as usize;
    let rows = table.as_rows();
    let format = rows.layout().format;
    let stored_sizes: Vec<u32> = sizes.iter().map(|&size| format.stored_len(size as usize) as u32).collect();
    let stored_starts = ends(&stored_sizes);
    let stored: u64 = contained.of(&stored_sizes, |row| row).iter().map(|&size| u64::from(size)).sum();
    let ids = match contained {
        Contained::All(ids) => ids.map(RowMap::parts),
        Contained::Rows(_) => None,
    };
    writer.bytes(&header::bytes(table, (offsets.len() - 1, values_len as usize, stored as usize), ids.as_ref()))?;
    if let Some(Parts { rows: (keys, scores), .. }) = ids {
        writer.numbers(keys, u64::to_le_bytes)?;
        writer.numbers(scores, f64::to_le_bytes)?;
    }
    writer.numbers(&offsets, u32::to_le_bytes)?;
    let values = |writer: &mut Writer| {
        let values = rows.read_stored()?;
        with_codec!(format, V => {
            let values = V::of(&values).and_then(Buffer::as_slice);
            let values = values.expect("values on the host in the format of the rows");
            writer.numbers(&contained.of(values, |row| stored_starts[row] as usize), V::to_le_bytes)
        })
    };
    let words = format.dtype_bytes() == 4;
    if words {
        values(writer)?;
    }
    let state_size = rows.state_size();
    for number in 0..state_size.numbers() {
        let state = rows.read_state(number)?;
        let of_row = number >= state_size.per_value as usize;
        writer.numbers(&contained.of(&state, |row| if of_row { row } else { of_values(row) }), f32::to_le_bytes)?;
    }
    if !words {
        values(writer)?;
    }
    let checksum = writer.checksum();
    writer.numbers(&checksum, u32::to_le_bytes)
}

/// What comes after the header.
struct Contents {
    offsets: Vec<u32>,
    values: Values,
    state: Vec<Vec<f32>>,
    ids: Option<RowMap>,
}

impl Contents {
    fn sizes(&self) -> Vec<u32> {
        self.offsets.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    fn write(&self, rows: &mut Rows) -> Result<()> {
        rows.write_stored(&self.values)?;
        self.state.iter().enumerate().try_for_each(|(number, state)| rows.write_state(number, state))
    }
}

/// Everything after the header, in the order of the file.
fn contents(reader: &mut Reader<'_>, header: &Header) -> Result<Contents> {
    let (mut offsets, mut keys, mut scores) = (Vec::new(), Vec::new(), Vec::new());
    let format = header.options.layout.format;
    let mut values = Values::zeroed(&Device::Cpu, format, 0)?;
    let mut state: Vec<Vec<f32>> = header.state.iter().map(|_| Vec::new()).collect();
    for name in &header.order {
        match name.as_str() {
            "offsets" => offsets = reader.numbers(header.rows + 1, u32::from_le_bytes)?,
            "values" => {
                values = with_codec!(format, V => {
                    V::values(Buffer::from_vec(&Device::Cpu, reader.numbers(header.stored, V::from_le_bytes)?)?)
                });
            }
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
                state[number] = reader.numbers(header.state[number].1, f32::from_le_bytes)?;
            }
        }
    }
    let wrong = |expected: String, found: String| Err(reader.bad(&format!("`offsets` {expected}"), &found));
    if offsets[0] != 0 {
        return wrong("begun with 0".to_owned(), offsets[0].to_string());
    }
    if let Some(i) = offsets.windows(2).position(|pair| pair[0] > pair[1]) {
        return wrong(
            "never falling".to_owned(),
            format!("[{i}] = {} before [{}] = {}", offsets[i], i + 1, offsets[i + 1]),
        );
    }
    let end = offsets[offsets.len() - 1];
    if end as usize != header.values {
        return wrong(format!("ended at the arena's length {}", header.values), end.to_string());
    }
    let widest = offsets.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    if widest > WIDEST {
        return wrong(format!("of rows of at most {WIDEST} values"), widest.to_string());
    }
    check_groups(reader, header, &offsets, &values)?;
    let ids = match header.ids {
        None => None,
        Some(ids) => {
            let header::Ids { capacity, options, clock, .. } = ids;
            let map = RowMap::from_parts(Parts { capacity, options, clock, rows: (keys, scores) });
            Some(map.map_err(|[part, expected, found]| reader.bad(&format!("`ids` with {part} {expected}"), &found))?)
        }
    };
    Ok(Contents { offsets, values, state, ids })
}

/// Whether values that share words are those that the rows need, and as the library stores them.
fn check_groups(reader: &Reader<'_>, header: &Header, offsets: &[u32], values: &Values) -> Result<()> {
    let format = header.options.layout.format;
    let group = format.group();
    if group == 1 {
        return Ok(());
    }
    let sizes = || offsets.windows(2).map(|pair| (pair[1] - pair[0]) as usize);
    let stored: usize = sizes().map(|size| format.stored_len(size)).sum();
    if stored != header.stored {
        let expected = format!("`values` of {} words, as the rows have", stored / group);
        return Err(reader.bad(&expected, &(header.stored / group).to_string()));
    }
    with_codec!(format, V => {
        let values = V::of(values).and_then(Buffer::as_slice).expect("values on the host in the format of the file");
        let mut begin = 0;
        for (row, size) in sizes().enumerate() {
            if !V::is_own(&values[begin..], size) {
                let expected = "`values` of codes from -63 to 63, 0 after a row's last";
                return Err(reader.bad(expected, &format!("others in row {row}")));
            }
            begin += format.stored_len(size);
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests;
