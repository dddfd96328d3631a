//! From a configuration to what runs.

use std::path::PathBuf;

use super::check::{bad, keyed};
use super::{Config, PolicyConfig};
use crate::device::Device;
use crate::models::{ModelOptions, Sampling};
use crate::run::{Scall, ScallOptions};
use crate::sizing::{Budget, CommonOption, PolicyOptions, SizePolicy};
use crate::stream::{self, Format, Interactions, ReadOptions, ReadReport, Segment};
use crate::table::Counts;
use crate::{Error, Result};

impl PolicyConfig {
    /// The options that are given, with their keys.
    pub(super) fn given(&self) -> impl Iterator<Item = (&'static str, CommonOption)> {
        let given = [
            ("policy.distribution", self.distribution.map(CommonOption::Distribution)),
            ("policy.alpha", self.alpha.map(CommonOption::Alpha)),
            ("policy.user_share", self.user_share.map(CommonOption::UserShare)),
            ("policy.probes", self.probes.map(CommonOption::Probes)),
            ("policy.proposals_at_once", self.proposals_at_once.map(CommonOption::ProposalsAtOnce)),
        ];
        given.into_iter().filter_map(|(key, option)| Some((key, option?)))
    }
}

impl Config {
    /// The same with another policy. Options that it does not have are left out.
    ///
    /// # Errors
    /// [`Error::BadConfig`] for a name that no policy of this build has.
    pub fn with_policy(&self, name: &str) -> Result<Self> {
        PolicyOptions::from_name(name).map_err(keyed("policy.name"))?;
        let policy = &self.policy;
        let has = |option| PolicyOptions::with(option).contains(&name);
        let policy = PolicyConfig {
            name: name.to_owned(),
            published: policy.published,
            distribution: policy.distribution.filter(|&family| has(CommonOption::Distribution(family))),
            alpha: policy.alpha.filter(|&alpha| has(CommonOption::Alpha(alpha))),
            user_share: policy.user_share.filter(|&share| has(CommonOption::UserShare(share))),
            probes: policy.probes.filter(|&probes| has(CommonOption::Probes(probes))),
            proposals_at_once: policy.proposals_at_once.filter(|&count| has(CommonOption::ProposalsAtOnce(count))),
        };
        Ok(Self { policy, ..self.clone() })
    }

    /// The model, with the run's seed.
    ///
    /// # Errors
    /// [`Error::BadConfig`] for a name that there is not. Numbers are for [`check`](Self::check).
    pub fn model_options(&self) -> Result<ModelOptions> {
        Ok(self.model.options()?.with_seed(self.seed))
    }

    /// The policy's options.
    ///
    /// # Errors
    /// [`Error::BadConfig`] for a name that no policy of this build has, and for an option that this one does not have.
    pub fn policy_options(&self) -> Result<PolicyOptions> {
        let PolicyConfig { name, published, .. } = &self.policy;
        let found = if *published { PolicyOptions::published(name) } else { PolicyOptions::from_name(name) };
        let mut options = found.map_err(keyed("policy.name"))?;
        for (key, option) in self.policy.given() {
            if !options.set(option) {
                let users = PolicyOptions::with(option).join(", ");
                return Err(bad(key, format!("nothing, as only {users} would use it"), format!("it with {name}")));
            }
        }
        Ok(options)
    }

    /// The policy, which knows nothing yet.
    ///
    /// # Errors
    /// [`Error::BadConfig`] for a name that no policy of this build has, for an option that this one does not have, and
    /// for one outside its domain.
    pub fn policy(&self) -> Result<Box<dyn SizePolicy>> {
        self.policy_options()?.build().map_err(|error| match error {
            Error::Argument { arg, expected, got, .. } => bad(&format!("policy.{arg}"), expected, got),
            other => other,
        })
    }

    /// Training steps a segment, the most of them with an early stop.
    ///
    /// # Errors
    /// [`Error::BadConfig`] for a model that there is not.
    pub fn steps(&self) -> Result<u32> {
        Ok(self.model.steps.unwrap_or(self.model.options()?.usual_steps()))
    }

    /// What the tables may hold.
    pub fn budget(&self) -> Budget {
        let budget = &self.budget;
        Budget {
            amount: budget.amount,
            counts: Counts { optimizer: budget.count_optimizer, metadata: !budget.ignore_metadata },
            d_min: budget.min_size,
            d_max: budget.max_size,
        }
    }

    /// The loop's options.
    ///
    /// # Errors
    /// [`Error::BadConfig`] for a model that there is not.
    pub fn scall_options(&self) -> Result<ScallOptions> {
        Ok(ScallOptions {
            model: self.model_options()?,
            steps: self.steps()?,
            early_stop: self.early_stop,
            probe: self.probe,
            train_share: self.train_share,
            replay: self.replay,
            exclude: self.exclude,
            late_seconds: self.late_seconds,
            evaluate_users: self.evaluate_users,
            choose_l2: self.model.l2.is_none(),
            cutoffs: self.cutoffs.clone(),
            coherence: self.coherence,
            seed: self.seed,
            ..ScallOptions::new(self.budget())
        })
    }

    /// How the files of data are read, and which rows are kept. Without a path and a format they are CSV.
    ///
    /// # Errors
    /// [`Error::BadConfig`] for a name of a format that there is not, for the name of a file that does not tell one,
    /// for columns of a format that has fixed ones, and for numbers outside their domain.
    pub fn read_options(&self) -> Result<ReadOptions> {
        let data = &self.data;
        let format = match &data.format {
            Some(name) => Some(Format::from_name(name).map_err(keyed("data.format"))?),
            None if data.path.is_empty() => Some(Format::Csv),
            None => None,
        };
        let options = ReadOptions {
            format,
            columns: data.columns.clone(),
            encoding: data.encoding,
            time_unit: data.time_unit,
            min_rating: data.min_rating,
            clicks: data.clicks,
            filters: data.r#where.clone(),
            dedup: data.dedup,
            k_core: data.k_core,
            skip_bad: data.skip_bad,
        };
        let named = |error| match error {
            Error::Argument { arg, expected, got, .. } => bad(&format!("data.{arg}"), expected, got),
            other => other,
        };
        options.check().map_err(named)?;
        if format.is_none() {
            // Folders and patterns are looked into when they are read.
            for path in data.path.iter().filter(|path| path.is_file() || path.as_os_str() == "-") {
                let format = Some(Format::guess(path).map_err(keyed("data.path"))?);
                ReadOptions { format, ..options.clone() }.check().map_err(named)?;
            }
        }
        Ok(options)
    }

    /// The files that the paths mean, in the order in which they are read; `-` is standard input.
    ///
    /// # Errors
    /// Those of [`files`](crate::stream::files).
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        stream::files(&self.data.path)
    }

    /// Reads the files of data.
    ///
    /// # Errors
    /// [`Error::BadConfig`] where there is no path, and those of [`read_options`](Self::read_options); what
    /// [`read`](crate::stream::read) finds.
    pub fn read(&self) -> Result<Interactions> {
        Ok(self.read_and_report()?.0)
    }

    /// The same, with what was found while they were read.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub fn read_and_report(&self) -> Result<(Interactions, ReadReport)> {
        if self.data.path.is_empty() {
            return Err(bad("data.path", "a file of interactions".to_owned(), "none".to_owned()));
        }
        stream::read_all(&self.data.path, self.read_options()?)
    }

    /// Cuts a stream.
    ///
    /// # Errors
    /// Those of [`cut`](crate::stream::cut).
    pub fn segments(&self, data: &Interactions) -> Result<Vec<Segment>> {
        stream::cut(data, self.data.segments)
    }

    /// The device.
    ///
    /// # Errors
    /// [`Error::NoGpu`] where a GPU is asked for and there is none.
    pub fn open_device(&self) -> Result<Device> {
        self.device.open()
    }

    /// A loop at the beginning of a recorded stream, on the device of the configuration.
    ///
    /// # Errors
    /// Those of [`check`](Self::check), of [`open_device`](Self::open_device), and of [`segments`](Self::segments);
    /// [`Error::BadConfig`] for sampling by blocks where the stream has no non-clicks.
    pub fn build(&self, data: Interactions) -> Result<Scall> {
        self.check()?;
        self.build_checked(&self.open_device()?, data)
    }

    /// The same on a device that the caller has.
    ///
    /// # Errors
    /// Those of [`build`](Self::build), but for the device.
    pub fn build_on(&self, device: &Device, data: Interactions) -> Result<Scall> {
        self.check()?;
        self.build_checked(device, data)
    }

    fn build_checked(&self, device: &Device, data: Interactions) -> Result<Scall> {
        let segments = self.segments(&data)?;
        if let Sampling::Blocks { .. } = self.model_options()?.training().sampling
            && !data.has_non_clicks()
        {
            let expected = "log or users, as a stream without non-clicks (data.clicks, --clicks) has no blocks";
            return Err(bad("model.sampling", expected.to_owned(), "blocks".to_owned()));
        }
        Scall::over(device, data, segments, self.policy()?, self.scall_options()?)
    }
}
