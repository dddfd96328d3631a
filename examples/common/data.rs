//! The file that is streamed.

use std::path::Path;

use scall_gpu::stream::{self, Column, Columns, Format, Interactions};
use scall_gpu::text::printable;
use scall_gpu::{Error, Result};

use super::setup::Setup;

/// A year of grocery purchases; see `examples/data/README.md`.
const SAMPLE: &[u8] = include_bytes!("../data/completejourney.csv.zst");
const SAMPLE_NAME: &str = "completejourney.csv.zst (embedded)";

impl Setup {
    /// The user's file, or the embedded sample, with its name as it can be shown.
    pub fn load(&self) -> Result<(String, Interactions)> {
        let format = self.format()?;
        match &self.data {
            Some(path) => Ok((printable(path), stream::read(path, &format)?)),
            None => {
                let name = Path::new(SAMPLE_NAME);
                let unreadable = |source| Error::Io { file: name.to_owned(), source };
                let unpacked = zstd::Decoder::new(SAMPLE).map_err(unreadable)?;
                Ok((SAMPLE_NAME.to_owned(), stream::read_from(unpacked, name, &format)?))
            }
        }
    }

    /// How the data file is written.
    fn format(&self) -> Result<Format> {
        let mut format = match (&self.format, &self.data) {
            (Some(name), _) => Format::from_name(name)?,
            (None, Some(path)) => Format::guess(path)?,
            (None, None) => Format::Csv(Columns::default()),
        };
        if let Some(names) = &self.columns {
            let [user, item, timestamp] = names.clone().map(|name| match name.parse() {
                Ok(position) => Column::Position(position),
                Err(_) => Column::Name(name),
            });
            match &mut format {
                Format::Csv(columns) | Format::Tsv(columns) => {
                    *columns = Columns { user, item, timestamp, header: !self.no_header };
                }
                Format::DoubleColon => {
                    return Err(Error::Argument {
                        op: "examples",
                        arg: "--columns",
                        expected: "left out for a :: file, whose columns are fixed".into(),
                        got: names.join(","),
                    });
                }
            }
        }
        Ok(format)
    }
}
