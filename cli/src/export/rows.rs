//! The rows of a table, and how they are written.

use std::path::Path;

use scall_gpu::Result;
use scall_gpu::file::atomic::Pending;
use scall_gpu::file::{Mark, atomic};
use scall_gpu::table::RaggedTable;
use serde_json::json;

use crate::common::{Interrupt, Progress};

use super::{Format, IDS, OFFSETS, REMOVED, with_suffix};

/// Rows of a table.
pub struct Rows<'a> {
    table: &'a RaggedTable,
    ids: &'a [&'a str],
    values: Vec<f32>,
    /// Where each row ends.
    ends: Vec<usize>,
    /// Values in front of each that are no part of its embedding.
    bias: usize,
    format: Format,
    /// To what the embeddings are filled up with zeros, where they are.
    width: Option<usize>,
    watched: Watched,
}

/// Who looks on while rows are written.
pub struct Watched {
    pub progress: Progress,
    pub interrupt: Interrupt,
}

/// Rows between two looks at the clock and at Ctrl-C.
const CHUNK: usize = 4096;

impl Watched {
    /// Writes something of each row, until it is interrupted.
    fn put_each<T>(
        &self,
        rows: impl Iterator<Item = T>,
        file: &mut Pending,
        mut put: impl FnMut(T, &mut Vec<u8>),
    ) -> Result<()> {
        let mut bytes = Vec::new();
        for (k, row) in rows.enumerate() {
            if k % CHUNK == 0 {
                self.interrupt.check()?;
                self.progress.show(k as u64, "rows");
                file.put(&std::mem::take(&mut bytes))?;
            }
            put(row, &mut bytes);
        }
        file.put(&bytes)
    }
}

impl<'a> Rows<'a> {
    pub fn of(
        table: &'a RaggedTable,
        ids: &'a [&'a str],
        bias: usize,
        format: Format,
        ragged: bool,
        watched: Watched,
    ) -> Result<Self> {
        let ends = table.sizes().scan(0, |end, size| {
            *end += size as usize;
            Some(*end)
        });
        let ends = ends.collect();
        let mut rows = Self { table, ids, values: table.read()?, ends, bias, format, width: None, watched };
        if !ragged {
            rows.width = Some(rows.all().into_iter().map(|row| rows.embedding(row).len()).max().unwrap_or(0));
        }
        Ok(rows)
    }

    /// Their ids.
    pub fn ids(&self) -> &[&str] {
        self.ids
    }

    /// The numbers of all of them.
    pub fn all(&self) -> Vec<usize> {
        (0..self.ids.len()).collect()
    }

    fn row(&self, row: usize) -> &[f32] {
        let begin = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.values[begin..self.ends[row]]
    }

    /// Without its bias, and not filled up.
    fn embedding(&self, row: usize) -> &[f32] {
        let row = self.row(row);
        &row[self.bias.min(row.len())..]
    }

    /// As it is written.
    fn vector(&self, row: usize) -> Vec<f32> {
        let mut vector = self.embedding(row).to_vec();
        vector.resize(self.width.unwrap_or(vector.len()), 0.0);
        vector
    }

    /// What an item's line has as its bias.
    fn bias_of(&self, row: usize) -> Option<f32> {
        (self.bias > 0).then(|| self.row(row).first().copied().unwrap_or(0.0))
    }

    /// Adds every id to a mark, with all numbers that are written of its row.
    pub fn mark(&self, mark: &mut Mark) -> Result<()> {
        let (rows, size) = (self.table.as_rows(), self.table.as_rows().state_size());
        let state: Result<Vec<Vec<f32>>> = match self.format {
            Format::Safetensors => (0..size.numbers()).map(|number| rows.read_state(number)).collect(),
            _ => Ok(Vec::new()),
        };
        let state = state?;
        for (row, id) in self.ids.iter().enumerate() {
            match self.format {
                Format::Jsonl => mark.add(id, self.vector(row).into_iter().chain(self.bias_of(row)))?,
                Format::Npy => mark.add(id, self.vector(row))?,
                Format::Safetensors => {
                    let of_values = self.ends[row] - self.row(row).len()..self.ends[row];
                    let of_row = row..row + 1;
                    let state = state.iter().enumerate().flat_map(|(number, state)| {
                        let per_value = number < size.per_value as usize;
                        &state[if per_value { of_values.clone() } else { of_row.clone() }]
                    });
                    mark.add(id, self.row(row).iter().chain(state).copied())?;
                }
            }
        }
        Ok(())
    }

    /// Writes these rows, and where it is a difference the ids that were removed.
    pub fn write(&self, out: &Path, chosen: &[usize], removed: Option<&[String]>) -> Result<()> {
        match self.format {
            Format::Jsonl => return self.write_lines(out, chosen, removed.unwrap_or_default()),
            Format::Npy => self.write_npy(out, chosen)?,
            Format::Safetensors if removed.is_none() => self.table.save(out)?,
            Format::Safetensors => {
                let chosen: Vec<u32> = chosen.iter().map(|&row| row as u32).collect();
                self.table.save_rows(&chosen, out)?;
            }
        }
        write_ids(out, IDS, chosen.iter().map(|&row| self.ids[row]))?;
        removed.map_or(Ok(()), |removed| write_ids(out, REMOVED, removed.iter().map(String::as_str)))
    }

    fn write_npy(&self, out: &Path, chosen: &[usize]) -> Result<()> {
        let rows = || chosen.iter().map(|&row| self.vector(row));
        let shape = match self.width {
            Some(width) => vec![chosen.len(), width],
            None => {
                let ends = rows().scan(0u64, |end, row| {
                    *end += row.len() as u64;
                    Some(*end)
                });
                write_npy(&with_suffix(out, OFFSETS), "<u8", &[chosen.len() + 1], |file| {
                    let offsets = std::iter::once(0).chain(ends);
                    self.watched.put_each(offsets, file, |offset, bytes| bytes.extend(offset.to_le_bytes()))
                })?;
                vec![chosen.iter().map(|&row| self.embedding(row).len()).sum()]
            }
        };
        write_npy(out, "<f4", &shape, |file| {
            let put = |row: Vec<f32>, bytes: &mut Vec<u8>| bytes.extend(row.into_iter().flat_map(f32::to_le_bytes));
            self.watched.put_each(rows(), file, put)
        })
    }

    fn write_lines(&self, out: &Path, chosen: &[usize], removed: &[String]) -> Result<()> {
        atomic::write(out, |file| {
            self.watched.put_each(chosen.iter(), file, |&row, bytes| {
                let mut line = json!({"id": self.ids[row], "vector": self.vector(row)});
                if let Some(bias) = self.bias_of(row) {
                    line["bias"] = bias.into();
                }
                bytes.extend(format!("{line}\n").into_bytes());
            })?;
            for id in removed {
                file.put(format!("{}\n", json!({"id": id, "deleted": true})).as_bytes())?;
            }
            Ok(())
        })
    }
}

/// `FILE.more`, a line for each id.
fn write_ids<'a>(out: &Path, more: &str, ids: impl Iterator<Item = &'a str>) -> Result<()> {
    let text: String = ids.flat_map(|id| [id, "\n"]).collect();
    atomic::write(&with_suffix(out, more), |file| file.put(text.as_bytes()))
}

/// A NumPy file of version 1.0: magic, version, the header's length, the header, blanks to a multiple of 64, values.
fn write_npy(path: &Path, dtype: &str, shape: &[usize], values: impl FnOnce(&mut Pending) -> Result<()>) -> Result<()> {
    let shape: String = shape.iter().map(|len| format!("{len}, ")).collect();
    let mut header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({}), }}", shape.trim_end());
    // 10 bytes stand before it, and a line's end closes it.
    while !(10 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    atomic::write(path, |file| {
        file.put(b"\x93NUMPY\x01\x00")?;
        file.put(&(header.len() as u16).to_le_bytes())?;
        file.put(header.as_bytes())?;
        values(file)
    })
}
