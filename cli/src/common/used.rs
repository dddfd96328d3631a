//! Whether a flag means something for what is run: one that does nothing is an error, not ignored. And which flag
//! helps.

use scall_gpu::kernels::table::optimizer::Optimizer;
use scall_gpu::models::ModelOptions;
use scall_gpu::run::Config;
use scall_gpu::sizing::{CommonOption, Distribution, PolicyOptions};
use scall_gpu::{Error, Result};

use super::setup::Setup;

/// Refuses flags that none of the policies, or the model, has a use for. `decays` says whether something else than a
/// bias counts with `--half-life`.
///
/// # Errors
/// For a flag without a use, and for a model that there is not.
pub fn check_used(setup: &Setup, config: &Config, policies: &[String], decays: bool) -> Result<()> {
    let check = |given: bool, used: bool, arg: &'static str, users: &str, got: String| {
        if used || !given {
            return Ok(());
        }
        Err(Error::Argument { op: "scall", arg, expected: format!("left out, as only {users} would use it"), got })
    };
    let of_policies = |given: bool, arg: &'static str, option: CommonOption| {
        let users = PolicyOptions::with(option);
        let used = policies.iter().any(|policy| users.contains(&policy.as_str()));
        check(given, used, arg, &listed(&users), policies.join(", "))
    };
    of_policies(setup.sizes.alpha.is_some(), "--alpha", CommonOption::Alpha(1.0))?;
    of_policies(setup.sizes.user_share.is_some(), "--user-share", CommonOption::UserShare(0.5))?;
    let family = CommonOption::Distribution(Distribution::default());
    of_policies(setup.sizes.distribution.is_some(), "--distribution", family)?;
    of_policies(setup.sizes.probes.is_some(), "--probes", CommonOption::Probes(8))?;
    of_policies(setup.sizes.proposals_at_once.is_some(), "--proposals-at-once", CommonOption::ProposalsAtOnce(2))?;

    let adagrad = |options: &ModelOptions| {
        let optimizer = options.training().rule.optimizer;
        matches!(optimizer, Optimizer::Adagrad { .. } | Optimizer::RowWiseAdagrad { .. })
    };
    let model = config.model_options()?;
    let by_name = |name: &&&str| ModelOptions::from_name(name).is_ok_and(|options| adagrad(&options));
    let users: Vec<&str> = ModelOptions::NAMES.iter().filter(by_name).copied().collect();
    check(setup.training.epsilon.is_some(), adagrad(&model), "--epsilon", &listed(&users), model.name().into())?;
    let (bias, sampling) = (config.model.bias.as_str(), config.model.sampling.as_str());
    let of_bias = || format!("a {bias} bias");
    check(setup.training.keep_bias.is_some(), bias == "learned", "--keep-bias", "a learned bias", of_bias())?;
    let counted = bias == "counted" || decays;
    check(setup.training.half_life.is_some(), counted, "--half-life", "a counted bias", of_bias())?;
    let of_sampling = || format!("--sampling {sampling}");
    let (window, share) = (setup.training.window.is_some(), setup.training.block_share.is_some());
    check(window, sampling != "users", "--window", "--sampling log or blocks", of_sampling())?;
    check(share, sampling == "blocks", "--block-share", "--sampling blocks", of_sampling())
}

/// `a, b and c`.
fn listed(names: &[&str]) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => names.concat(),
    }
}

/// An error in words, and what helps where flags do.
pub fn helped(error: Error) -> String {
    match error {
        Error::Infeasible { .. } => format!(
            "{error} (a row has --min-size dims at least, and an item a bias: --min-size 0 and --bias none need less)"
        ),
        error => error.to_string(),
    }
}
