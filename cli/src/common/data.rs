//! The file that is streamed.

use std::path::Path;

use scall_gpu::run::Config;
use scall_gpu::stream::{self, Interactions};
use scall_gpu::text::printable;
use scall_gpu::{Error, Result};

/// A year of grocery purchases; see `examples/data/README.md`.
const SAMPLE: &[u8] = include_bytes!("../../../examples/data/completejourney.csv.zst");
const SAMPLE_NAME: &str = "completejourney.csv.zst (embedded)";

/// The user's file, or the embedded sample, with its name as it can be shown.
///
/// # Errors
/// For a file that cannot be read.
pub fn read(config: &Config) -> Result<(String, Interactions)> {
    match &config.data.path {
        Some(path) => Ok((printable(path), config.read()?)),
        None => {
            let name = Path::new(SAMPLE_NAME);
            let unreadable = |source| Error::Io { file: name.to_owned(), source };
            let unpacked = zstd::Decoder::new(SAMPLE).map_err(unreadable)?;
            Ok((SAMPLE_NAME.to_owned(), stream::read_from(unpacked, name, &config.format()?)?))
        }
    }
}
