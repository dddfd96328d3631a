//! A run that was kept: its checkpoint, and what the program wants to know again.

use std::path::Path;

use scall_gpu::device::Device;
use scall_gpu::file::{Checkpoint, Checkpoints};
use scall_gpu::run::{Config, DataConfig};
use scall_gpu::{Error, Result, Scall};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the program keeps beside the loop's state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Notes {
    /// The run, as `--config` takes it.
    pub config: Value,
    /// The data's name, for a person.
    pub data: String,
    /// What plots need of each segment.
    pub profiles: Vec<Value>,
}

/// A run that was kept.
pub struct Kept {
    pub config: Config,
    pub notes: Notes,
    checkpoint: Checkpoint,
}

impl Kept {
    /// The last checkpoint of a folder, if there is one.
    ///
    /// # Errors
    /// For one that is damaged, or that this program did not write.
    pub fn latest(checkpoints: &Checkpoints) -> Result<Option<Self>> {
        let Some(checkpoint) = checkpoints.latest()? else { return Ok(None) };
        let notes: Notes = serde_json::from_str(&checkpoint.notes).map_err(|error| Error::BadFile {
            file: checkpoint.path.join("manifest.json"),
            expected: "a checkpoint that `scall` wrote".to_owned(),
            found: format!("other notes ({error})"),
        })?;
        let config = Config::from_json(&notes.config.to_string())?;
        Ok(Some(Self { config, notes, checkpoint }))
    }

    /// The same, of a folder that has to have one.
    ///
    /// # Errors
    /// Those of [`latest`](Self::latest), and where there is none.
    pub fn open(folder: &Path) -> Result<(Checkpoints, Self)> {
        if !folder.is_dir() {
            // Opening would make it.
            return Err(Error::Io { file: folder.to_owned(), source: std::io::ErrorKind::NotFound.into() });
        }
        let checkpoints = Checkpoints::open(folder)?;
        let kept = Self::latest(&checkpoints)?.ok_or_else(|| Error::BadFile {
            file: folder.to_owned(),
            expected: "a checkpoint, as `scall stream --checkpoint` writes it".to_owned(),
            found: "none".to_owned(),
        })?;
        Ok((checkpoints, kept))
    }

    /// Refuses another run than the one that was kept. It may go on on another device, and under another path of its
    /// file, which is not read again.
    ///
    /// # Errors
    /// [`Error::BadConfig`] with the first key that differs.
    pub fn check_same(&self, asked: &Config) -> Result<()> {
        let plain = |config: &Config| {
            let data = DataConfig { path: Vec::new(), ..config.data.clone() };
            let config = Config { device: self.config.device, data, ..config.clone() };
            serde_json::from_str::<Value>(&config.to_json()?).map_err(Error::other)
        };
        let (kept, asked) = (plain(&self.config)?, plain(asked)?);
        match first_difference(String::new(), &kept, &asked) {
            None => Ok(()),
            Some((key, kept, asked)) => Err(Error::BadConfig {
                file: None,
                line: None,
                key,
                expected: format!("{kept}, as the checkpoint has it"),
                found: asked,
            }),
        }
    }

    /// The loop as it was.
    ///
    /// # Errors
    /// Those of [`Scall::restore`].
    pub fn restore(self, device: &Device) -> Result<Scall> {
        Scall::restore(device, self.config.policy()?, self.config.scall_options()?, self.checkpoint.state)
    }
}

/// Key and both values, where two configurations differ first.
fn first_difference(key: String, one: &Value, other: &Value) -> Option<(String, String, String)> {
    if one == other {
        return None;
    }
    let (Value::Object(of_one), Value::Object(of_other)) = (one, other) else {
        return Some((key, words(one), words(other)));
    };
    let mut names: Vec<&String> = of_one.keys().chain(of_other.keys()).collect();
    names.sort();
    names.dedup();
    names.into_iter().find_map(|name| {
        let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
        let of = |object: &serde_json::Map<String, Value>| object.get(name).cloned().unwrap_or(Value::Null);
        first_difference(key, &of(of_one), &of(of_other))
    })
}

fn words(value: &Value) -> String {
    match value {
        Value::Null => "the default".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
