//! A loop in a folder.

use std::io::ErrorKind;
use std::path::Path;

use super::super::options::ScallOptions;
use super::super::scall::Scall;
use crate::device::Device;
use crate::file::Checkpoints;
use crate::models::ModelBuilder;
use crate::sizing::SizePolicy;
use crate::{Error, Result};

impl Scall {
    /// Keeps the loop in a folder, which is made if it is not there: [`state`](Self::state) as a
    /// [checkpoint](Checkpoints), whole or absent. [`load`](Self::load) goes on from it. Of those that were kept
    /// before, the last one stays.
    ///
    /// Who saves often holds [`Checkpoints`] open and gives them [`state`](Self::state); a
    /// [`Saver`](crate::file::Saver) writes it while the loop goes on.
    ///
    /// # Errors
    /// Those of [`state`](Self::state), [`Checkpoints::open`] and [`Checkpoints::save`].
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::Device;
    /// use scall_gpu::sizing::{Amount, Budget, FrequencyRanked};
    /// use scall_gpu::{Scall, ScallOptions};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let folder = dir.path().join("shop");
    /// let device = Device::cpu();
    /// let options = ScallOptions::new(Budget::new(Amount::MeanSize(4.0)));
    /// let policy = || Box::new(FrequencyRanked::default());
    /// let mut scall = Scall::new(&device, policy(), options.clone())?;
    /// scall.observe([("ann", "tea", 1), ("bob", "tea", 2), ("bob", "jam", 3), ("cy", "jam", 4), ("ann", "oats", 5)])?;
    /// scall.step(|_| {})?;
    /// scall.save(&folder)?;
    ///
    /// let loaded = Scall::load(&device, policy(), options.clone(), &folder)?;
    /// assert_eq!(loaded.recommend("cy", 2)?, scall.recommend("cy", 2)?);
    ///
    /// let other = ScallOptions { steps: 500, ..options };
    /// let error = Scall::load(&device, policy(), other, &folder).map(drop).unwrap_err().to_string();
    /// assert_eq!(error, "state `options`: expected steps: 500, found steps: 300");
    /// # Ok(()) }
    /// ```
    pub fn save(&self, folder: &Path) -> Result<()> {
        Checkpoints::open(folder)?.save(&self.state()?, "").map(drop)
    }

    /// The loop that was [saved](Self::save) last: it goes on with the bits of the one that was not interrupted, given
    /// the same options and a policy of the same options, on the same device.
    ///
    /// # Errors
    /// [`Error::BadFile`] where there is no checkpoint, and for one that is damaged, which is named; those of
    /// [`restore`](Self::restore).
    pub fn load<M: ModelBuilder + 'static>(
        device: &Device,
        policy: Box<dyn SizePolicy>,
        options: ScallOptions<M>,
        folder: &Path,
    ) -> Result<Self> {
        // Not opened, which would make a folder.
        if !folder.is_dir() {
            return Err(Error::Io { file: folder.to_owned(), source: ErrorKind::NotFound.into() });
        }
        let latest = Checkpoints::open(folder)?.latest()?;
        let none = || Error::BadFile { file: folder.to_owned(), expected: "a checkpoint".into(), found: "none".into() };
        Self::restore(device, policy, options, latest.ok_or_else(none)?.state)
    }
}
