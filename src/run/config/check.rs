//! What is wrong with a configuration, by the key that says it, before anything runs.

use super::{BudgetConfig, Config, DataConfig, ModelConfig};
use crate::kernels::rank::top_k::{MAX_DIMS, MAX_K};
use crate::kernels::table::optimizer::Optimizer;
use crate::models::{ItemBias, ModelOptions, Sampling};
use crate::sizing::Amount;
use crate::stream::Cut;
use crate::{Error, Result};

/// Probes that a segment may have: those of the sizes in use and of what is compared with need three.
const PROBES: std::ops::RangeInclusive<u32> = 3..=10_000;

/// The error for a key.
pub(super) fn bad(key: &str, expected: String, found: String) -> Error {
    Error::BadConfig { file: None, line: None, key: key.to_owned(), expected, found }
}

/// Makes the error for an argument one for the key that gave it.
pub(super) fn keyed(key: &str) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::Argument { expected, got, .. } => bad(key, expected, got),
        other => other,
    }
}

fn domain(key: &str, value: impl std::fmt::Display, ok: bool, expected: &str) -> Result<()> {
    if ok { Ok(()) } else { Err(bad(key, expected.to_owned(), value.to_string())) }
}

impl Config {
    /// That all names are known, all numbers are within their domain, and none is without a use.
    ///
    /// # Errors
    /// [`Error::BadConfig`] for the first that is not, with the key as a file has it.
    pub fn check(&self) -> Result<()> {
        self.check_data()?;
        self.check_budget()?;
        if let Some(probes) = self.policy.probes {
            let (least, most) = (PROBES.start(), PROBES.end());
            domain("policy.probes", probes, PROBES.contains(&probes), &format!("from {least} to {most}"))?;
        }
        if let Some(proposals) = self.policy.proposals_at_once {
            domain("policy.proposals_at_once", proposals, (1..=1000).contains(&proposals), "from 1 to 1000")?;
        }
        let in_range = self.cutoffs.longest() <= MAX_K;
        domain("cutoffs", &self.cutoffs, in_range, &format!("list lengths from 1 to {MAX_K}"))?;
        self.policy()?;
        self.model.check()?;
        self.scall_options()?.check().map_err(|error| match error {
            // Its names are those of keys, but for those of model and budget, which are checked by now.
            Error::Argument { arg, expected, got, .. } => bad(arg, expected, got),
            other => other,
        })
    }

    fn check_data(&self) -> Result<()> {
        let DataConfig { segments, .. } = &self.data;
        self.read_options()?;
        let cuts = !matches!(segments, Cut::Equal { segments: 0 } | Cut::NewEntities { entities: 0 });
        domain("data.segments", segments, cuts, "a count of at least 1")
    }

    fn check_budget(&self) -> Result<()> {
        let &BudgetConfig { amount, min_size, max_size, .. } = &self.budget;
        if let Amount::MeanSize(mean) = amount {
            domain("budget.amount", amount, mean.is_finite() && mean > 0.0, "a mean that is finite and above 0")?;
        }
        let in_range = (1..=MAX_DIMS).contains(&max_size);
        domain("budget.max_size", max_size, in_range, &format!("from 1 to {MAX_DIMS}"))?;
        domain("budget.min_size", min_size, min_size <= max_size, &format!("at most max_size, which is {max_size}"))
    }
}

impl ModelConfig {
    fn check(&self) -> Result<()> {
        let options = self.options()?;
        self.check_used(&options)?;
        for (key, value) in [("model.half_life", self.half_life), ("model.max_norm", self.max_norm.map(f64::from))] {
            // Without the key there is no half-life and no norm, so infinity needs no second way to be said.
            let value = value.unwrap_or(1.0);
            domain(key, value, value.is_finite(), "finite")?;
        }
        options.check().map_err(|error| match error {
            Error::Argument { arg, expected, got, .. } => bad(&format!("model.{}", self.key(arg)), expected, got),
            other => other,
        })
    }

    /// The key that gives what the options call `arg`.
    fn key(&self, arg: &'static str) -> &'static str {
        match arg {
            "sampling.window" => "window",
            "sampling.share" => "block_share",
            "keep" => "keep_bias",
            "rate.factor" | "rate.every" | "rate.least" => "rate",
            "learning_rate" if self.learning_rate.is_some() => arg,
            "epsilon" if self.epsilon.is_some() => arg,
            "batch" | "l2" | "half_life" | "user_init_std" | "item_init_std" | "weight_decay" | "max_norm" => arg,
            // A constant of the optimizer's.
            _ => "optimizer",
        }
    }

    /// That nothing is given that the other choices make meaningless.
    fn check_used(&self, options: &ModelOptions) -> Result<()> {
        let training = options.training();
        let of = training.rule.optimizer;
        let adagrad = matches!(of, Optimizer::Adagrad { .. } | Optimizer::RowWiseAdagrad { .. });
        let counted = matches!(training.item_bias, ItemBias::Counted { .. });
        let learned = matches!(training.item_bias, ItemBias::Learned { .. });
        let log = training.sampling.window().is_some();
        let blocks = matches!(training.sampling, Sampling::Blocks { .. });
        let bias = || format!("it with {} bias", self.bias);
        let check = |key: &str, given: bool, used: bool, user: &str, found: String| {
            let expected = format!("nothing, as only {user} would use it");
            if given && !used { Err(bad(key, expected, found)) } else { Ok(()) }
        };
        let optimizer = format!("it with {}", of.name());
        check("model.epsilon", self.epsilon.is_some(), adagrad, "adagrad", optimizer)?;
        check("model.half_life", self.half_life.is_some(), counted, "a counted bias", bias())?;
        check("model.keep_bias", self.keep_bias.is_some(), learned, "a learned bias", bias())?;
        let sampling = || format!("it with {}", self.sampling);
        check("model.window", self.window.is_some(), log, "sampling by log or blocks", sampling())?;
        check("model.block_share", self.block_share.is_some(), blocks, "sampling by blocks", sampling())
    }
}
