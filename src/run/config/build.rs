//! From a configuration to what runs.

use super::check::{bad, keyed};
use super::{Config, PolicyConfig};
use crate::device::Device;
use crate::models::ModelOptions;
use crate::run::{Scall, ScallOptions};
use crate::sizing::{Budget, CommonOption, PolicyOptions, SizePolicy};
use crate::stream::{self, Columns, Format, Interactions, Segment};
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
            late_seconds: self.late_seconds,
            evaluate_users: self.evaluate_users,
            seed: self.seed,
            ..ScallOptions::new(self.budget())
        })
    }

    /// How the data file is written: what is said, else by its extension, else a CSV.
    ///
    /// # Errors
    /// [`Error::BadConfig`] for a name or an extension that there is not, and for columns of a `::` file, which are
    /// fixed.
    pub fn format(&self) -> Result<Format> {
        let data = &self.data;
        let mut format = match (&data.format, &data.path) {
            (Some(name), _) => Format::from_name(name).map_err(keyed("data.format"))?,
            (None, Some(path)) => Format::guess(path).map_err(keyed("data.path"))?,
            (None, None) => Format::Csv(Columns::default()),
        };
        match &mut format {
            Format::Csv(columns) | Format::Tsv(columns) => *columns = data.columns.clone(),
            Format::DoubleColon if data.columns != Columns::default() => {
                let expected = "nothing for a :: file, whose columns are fixed".to_owned();
                return Err(bad("data.columns", expected, "columns".to_owned()));
            }
            Format::DoubleColon => {}
        }
        Ok(format)
    }

    /// Reads the data file.
    ///
    /// # Errors
    /// [`Error::BadConfig`] where there is no path, and those of [`format`](Self::format); what
    /// [`read`](crate::stream::read) finds.
    pub fn read(&self) -> Result<Interactions> {
        let Some(path) = &self.data.path else {
            return Err(bad("data.path", "a file of interactions".to_owned(), "none".to_owned()));
        };
        stream::read(path, &self.format()?)
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
    /// Those of [`check`](Self::check), of [`open_device`](Self::open_device), and of [`segments`](Self::segments).
    pub fn build(&self, data: Interactions) -> Result<Scall> {
        self.check()?;
        self.build_checked(&self.open_device()?, data)
    }

    /// The same on a device that the caller has.
    ///
    /// # Errors
    /// Those of [`check`](Self::check) and of [`segments`](Self::segments).
    pub fn build_on(&self, device: &Device, data: Interactions) -> Result<Scall> {
        self.check()?;
        self.build_checked(device, data)
    }

    fn build_checked(&self, device: &Device, data: Interactions) -> Result<Scall> {
        let segments = self.segments(&data)?;
        Scall::over(device, data, segments, self.policy()?, self.scall_options()?)
    }
}
