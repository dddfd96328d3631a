//! Parquet, by the crate of the Apache project, with the feature `parquet`.
//!
//! Columns are found by their names, those within others by their way (`user.id`). Times with a type of their own are
//! taken as they are; numbers are times as in other formats. A file that is no Parquet, or is damaged, is an error
//! without a line; how well damage is found is up to that crate.

#[cfg(feature = "parquet")]
mod read;

use super::Reader;
use super::input::Input;
use super::rows::Rows;
use crate::Result;

/// The reader.
pub(super) struct Parquet;

impl Reader for Parquet {
    fn name(&self) -> &'static str {
        "parquet"
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".parquet"]
    }

    fn summary(&self) -> &'static str {
        "Parquet, where the program was built with --features parquet"
    }

    #[cfg(feature = "parquet")]
    fn read(&self, input: Input<'_>, rows: &mut Rows<'_>) -> Result<()> {
        read::read(input, rows)
    }

    #[cfg(not(feature = "parquet"))]
    fn read(&self, input: Input<'_>, _: &mut Rows<'_>) -> Result<()> {
        Err(crate::Error::BadFile {
            file: input.name.into(),
            expected: "another format, as this program was built without --features parquet".into(),
            found: "Parquet".into(),
        })
    }
}
