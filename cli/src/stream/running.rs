//! A run from its beginning, or from where it was kept.

use scall_gpu::device::Device;
use scall_gpu::file::{Checkpoints, Saver};
use scall_gpu::run::Config;
use scall_gpu::text::printable;
use scall_gpu::{Error, Result, Scall};
use serde_json::Value;

use super::args::Args;
use super::plot::Profile;
use super::report::repeatable;
use crate::common::{Kept, Notes, headline, open, read};

/// The folder of checkpoints, and the last of them.
pub type Folder = (Checkpoints, Option<Kept>);

/// A run, and what is kept of it.
pub struct Running {
    pub config: Config,
    /// The data's name.
    pub data: String,
    /// What stands over the table of the data.
    pub headline: String,
    pub device: Device,
    pub scall: Scall,
    /// Of the segments done.
    pub profiles: Vec<Profile>,
    /// Whether an item's first value is its bias.
    pub item_bias: bool,
    saver: Option<Saver>,
}

impl Running {
    /// The run that the flags describe, at its beginning or where it was kept.
    ///
    /// # Errors
    /// For options, data and checkpoints that cannot be used, and for a folder with a checkpoint where a run would
    /// begin.
    pub fn begin(args: &Args, config: Config, kept: Option<Folder>) -> Result<Self> {
        let (checkpoints, kept) = match kept {
            Some((checkpoints, kept)) => (Some(checkpoints), kept),
            None => (None, None),
        };
        let saver = checkpoints.map(Saver::new);
        let item_bias = config.scall_options()?.model.shape().item_bias;
        if let Some(kept) = kept {
            if !args.resume {
                let file = saver.as_ref().map(|of| of.folder().to_owned()).unwrap_or_default();
                let expected = "a folder without a checkpoint, or --resume to go on from it".to_owned();
                return Err(Error::BadFile { file, expected, found: "one".to_owned() });
            }
            kept.check_same(&config)?;
            let (data, profiles) = (kept.notes.data.clone(), kept.notes.profiles.clone());
            let profiles = profiles.iter().map(Profile::of_json).collect::<Option<Vec<_>>>();
            let profiles = profiles.ok_or_else(|| Error::other("the checkpoint's profiles are not readable"))?;
            let device = open(config.device)?;
            let scall = kept.restore(&device)?;
            let headline = headline(&data, scall.data());
            return Ok(Self { config, data, headline, device, scall, profiles, item_bias, saver });
        }
        let data = read(&config)?;
        let (headline, name, data) = (data.headline(), data.name, data.rows);
        let device = open(config.device)?;
        let scall = config.build_on(&device, data)?;
        Ok(Self { config, data: name, headline, device, scall, profiles: Vec::new(), item_bias, saver })
    }

    /// What the flags say, over what was kept where that is wanted.
    ///
    /// # Errors
    /// Those of [`Args::config`] and of the checkpoint.
    pub fn config(args: &Args) -> Result<(Config, Option<Folder>)> {
        let Some(folder) = &args.checkpoint else { return Ok((args.config()?, None)) };
        let checkpoints = Checkpoints::open(folder)?;
        let kept = Kept::latest(&checkpoints)?;
        let config = match &kept {
            Some(kept) if args.resume => args.over_kept(&kept.config)?,
            _ => args.config()?,
        };
        Ok((config, Some((checkpoints, kept))))
    }

    /// Takes note of the segment that is done, and saves everything where it is time to: what is written is a copy, so
    /// that the next segment need not wait for it.
    ///
    /// # Errors
    /// What taking the copy reports, and what the write before did.
    pub fn segment_ends(&mut self, every: u32, interrupted: bool) -> Result<()> {
        self.profiles.push(Profile::of(&self.scall, self.item_bias));
        let Some(saver) = &mut self.saver else { return Ok(()) };
        let (done, all) = self.scall.progress();
        if !done.is_multiple_of(every as usize) && done < all && !interrupted {
            return Ok(());
        }
        let config: Value = serde_json::from_str(&repeatable(&self.config).to_json()?).map_err(Error::other)?;
        let profiles = self.profiles.iter().map(Profile::json).collect();
        let notes = Notes { config, data: self.data.clone(), profiles };
        let notes = serde_json::to_string(&notes).map_err(Error::other)?;
        // Before the copy is taken: one is in memory at a time.
        saver.wait()?;
        saver.save_then(self.scall.state()?, notes, |path| {
            tracing::info!("checkpoint {} is written", printable(path));
            Ok(())
        })
    }

    /// Waits until all that was saved is on the disk.
    ///
    /// # Errors
    /// What the last write reports.
    pub fn saved(&mut self) -> Result<()> {
        self.saver.as_mut().map_or(Ok(()), |saver| saver.wait().map(drop))
    }
}
