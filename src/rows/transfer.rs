//! Rows to and from the host, copies of rows, and snapshots of their values.

use std::borrow::Cow;
use std::ops::Range;

use super::codec::{Codec, Stored, Values, duplicate, with_codec};
use super::directory::stored_values;
use super::{Page, Place, Rows};
use crate::check;
use crate::device::{Buffer, Device, Element};
use crate::{Error, Result};

/// The elements in which these values of a row are stored.
fn in_groups<V: Codec>(Range { start, end }: Range<usize>) -> Range<usize> {
    start..start + (end - start).next_multiple_of(V::GROUP)
}

impl Rows {
    /// The values on the host as f32, row after row with nothing between.
    ///
    /// # Errors
    /// What the device reports.
    pub fn read(&self) -> Result<Vec<f32>> {
        self.gathered(|page| page.values.read())
    }

    /// The values on the host as they are stored, row after row with nothing between: rows of
    /// [`I8`](crate::rows::Format::I8) in whole words.
    ///
    /// # Errors
    /// What the device reports.
    pub fn read_stored(&self) -> Result<Values> {
        with_codec!(self.layout.format, V => {
            let mut out = Vec::with_capacity(self.stored_len() as usize);
            for page in &self.pages {
                let values = V::of(&page.values).expect("pages of one format").read()?;
                page.spans().for_each(|span| out.extend_from_slice(&values[in_groups::<V>(span)]));
            }
            Ok(V::values(Buffer::from_vec(&Device::Cpu, out)?))
        })
    }

    /// Writes all values as they are stored, from the host: what [`read_stored`](Self::read_stored) returned.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of values; [`Error::Buffer`] for values of a GPU or of another format; what
    /// the device reports.
    pub fn write_stored(&mut self, values: &Values) -> Result<()> {
        let op = "Rows::write_stored";
        check::len(op, "values", values.len(), self.stored_len())?;
        with_codec!(self.layout.format, V => {
            let Some(values) = V::of(values) else {
                let (arg, expected, got) = ("values", "in the format of the rows", values.format().name().to_owned());
                return Err(Error::Buffer { op, arg, expected, got });
            };
            self.scatter(values.host(op, "values")?, in_groups::<V>, |page, values: &[V]| {
                V::of_mut(&mut page.values).expect("pages of one format").write(values)
            })
        })
    }

    /// One number of the state on the host: of the values' shape, row after row with nothing between; or one a row.
    ///
    /// # Errors
    /// What the device reports.
    ///
    /// # Panics
    /// When there is no such number.
    pub fn read_state(&self, number: usize) -> Result<Vec<f32>> {
        if number < self.state_size.per_value as usize {
            return self.gathered(|page| page.state[number].read());
        }
        let mut out = Vec::with_capacity(self.len() as usize);
        for page in &self.pages {
            // A page that was cut short keeps its buffers.
            out.extend_from_slice(&page.state[number].read()?[..page.place.rows as usize]);
        }
        Ok(out)
    }

    fn gathered(&self, read: impl Fn(&Page) -> Result<Vec<f32>>) -> Result<Vec<f32>> {
        let mut out = Vec::with_capacity(self.values as usize);
        for page in &self.pages {
            let values = read(page)?;
            page.spans().for_each(|span| out.extend_from_slice(&values[span]));
        }
        Ok(out)
    }

    /// Writes all values from the host, row after row. A format other than f32 stores the nearest value that it has.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of values; what the device reports.
    pub fn write(&mut self, values: &[f32]) -> Result<()> {
        check::len("Rows::write", "values", values.len(), self.values)?;
        with_codec!(self.layout.format, V => {
            // Values that are stored as f32 are taken as they are.
            let same = bytemuck::try_cast_slice(values).ok().filter(|_| self.layout.format.is_f32());
            let stored: Cow<'_, [V]> = match same {
                Some(values) => Cow::Borrowed(values),
                None => self.stored::<V>(values).into(),
            };
            self.scatter(&stored, in_groups::<V>, |page, values: &[V]| {
                V::of_mut(&mut page.values).expect("pages of one format").write(values)
            })
        })
    }

    /// Writes one number of the state from the host, in the shape of [`read_state`](Self::read_state).
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of values; what the device reports.
    ///
    /// # Panics
    /// When there is no such number.
    pub fn write_state(&mut self, number: usize, values: &[f32]) -> Result<()> {
        let ragged = number < self.state_size.per_value as usize;
        let expected = if ragged { self.values } else { self.len().into() };
        check::len("Rows::write_state", "values", values.len(), expected)?;
        if ragged {
            return self.scatter(values, in_groups::<f32>, |page, values| page.state[number].write(values));
        }
        self.pages.iter_mut().try_for_each(|page| {
            let Place { first, rows, .. } = page.place;
            page.state[number].write(&values[first as usize..][..rows as usize])
        })
    }

    /// Elements that all rows take as they are stored, with nothing between.
    fn stored_len(&self) -> u64 {
        stored_values(self.values, || self.sizes(), self.layout.format)
    }

    /// Values of all rows as they are stored.
    fn stored<V: Codec>(&self, values: &[f32]) -> Vec<V> {
        let mut stored = vec![<V as bytemuck::Zeroable>::zeroed(); self.stored_len() as usize];
        if V::GROUP == 1 {
            V::store(values, &mut stored);
            return stored;
        }
        let (mut from, mut to) = (0, 0);
        for size in self.sizes().map(|size| size as usize) {
            V::store(&values[from..from + size], &mut stored[to..]);
            (from, to) = (from + size, to + size.next_multiple_of(V::GROUP));
        }
        stored
    }

    /// Gives each page its values, with zeros between rows. `whole` says which elements a row of some values takes.
    fn scatter<T: Element>(
        &mut self,
        values: &[T],
        whole: fn(Range<usize>) -> Range<usize>,
        write: impl Fn(&mut Page, &[T]) -> Result<()>,
    ) -> Result<()> {
        let mut rest = values;
        for page in &mut self.pages {
            let mut out = vec![T::zeroed(); page.values.len()];
            for span in page.spans().map(whole) {
                let (row, others) = rest.split_at(span.len());
                out[span].copy_from_slice(row);
                rest = others;
            }
            write(page, &out)?;
        }
        Ok(())
    }

    /// A copy of everything.
    pub(crate) fn duplicate(&self) -> Result<Self> {
        let copy = |(number, page): (usize, &Page)| {
            // Labels as new pages have them.
            let state =
                page.state.iter().enumerate().map(|(moment, state)| {
                    duplicate(&self.device.labeled(format_args!("state/{moment}/{number}")), state)
                });
            Ok(Page {
                place: page.place,
                directory: duplicate(&self.device.labeled(format_args!("directory/{number}")), &page.directory)?,
                mirror: page.mirror.clone(),
                values: page.values.duplicate(&self.device.labeled(format_args!("values/{number}")))?,
                state: state.collect::<Result<_>>()?,
                per_value: page.per_value,
            })
        };
        let pages = self.pages.iter().enumerate().map(copy).collect::<Result<_>>()?;
        let Self { layout, state_size, values, widest, largest, .. } = *self;
        Ok(Self { device: self.device.clone(), layout, state_size, values, widest, largest, pages })
    }

    /// A copy of the values.
    pub(crate) fn copy_values(&self) -> Result<Vec<Values>> {
        self.pages.iter().map(|page| page.values.duplicate(&self.device)).collect()
    }

    /// Whether a copy of values has the shape of these.
    pub(crate) fn check_copy(&self, op: &'static str, saved: &[Values]) -> Result<()> {
        if let Some(other) = saved.iter().find(|values| values.format() != self.layout.format) {
            let (arg, expected, got) = ("snapshot", "in the format of the rows", other.format().name().to_owned());
            return Err(Error::Buffer { op, arg, expected, got });
        }
        let len = |values: &Values| values.len() as u64;
        let (expected, got) = (self.pages.iter().map(|page| len(&page.values)), saved.iter().map(len));
        if expected.clone().eq(got.clone()) {
            return Ok(());
        }
        Err(Error::Shape { op, arg: "snapshot", expected: expected.sum(), got: got.sum() })
    }

    /// Puts a copy of the values back.
    pub(crate) fn restore_values(&mut self, saved: &[Values]) -> Result<()> {
        self.check_copy("Rows::restore_values", saved)?;
        let mut commands = self.device.commands();
        for (page, saved) in self.pages.iter_mut().zip(saved) {
            with_codec!(self.layout.format, V => {
                let own = V::of_mut(&mut page.values).expect("pages of one format");
                let saved = V::of(saved).expect("a snapshot in the format of its rows");
                commands.copy(saved, own, saved.len())?;
            })
        }
        commands.submit()
    }
}
