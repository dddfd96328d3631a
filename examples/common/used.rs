//! Whether a flag means something for what is run: one that does nothing is an error, not ignored.

use scall_gpu::{Error, Result};

use super::model::{Bias, Model, Sampled};
use super::policy::Policy;
use super::setup::Setup;

impl Setup {
    /// Refuses flags that none of the policies, or the model, has a use for. `decays` says whether something else than
    /// a bias counts with `--half-life`.
    pub fn check_used(&self, policies: &[Policy], decays: bool) -> Result<()> {
        use Policy::{Bet, Linucb, Random, Ranked, Scall};
        let model = self.model();
        let any = |users: &[Policy]| policies.iter().any(|policy| users.contains(policy));
        let policy = || policies.iter().map(|policy| policy.name()).collect::<Vec<_>>().join(", ");
        let check = |given: bool, used: bool, arg: &'static str, users: &str, got: String| {
            if used || !given {
                return Ok(());
            }
            Err(Error::Argument {
                op: "examples",
                arg,
                expected: format!("left out, as only {users} would use it"),
                got,
            })
        };
        check(self.alpha.is_some(), any(&[Ranked, Random]), "--alpha", "ranked and random", policy())?;
        check(self.user_share.is_some(), any(&[Ranked, Random]), "--user-share", "ranked and random", policy())?;
        let with_profiles = any(&[Ranked, Random, Scall]);
        check(self.distribution.is_some(), with_profiles, "--distribution", "ranked, random and scall", policy())?;
        check(self.probes.is_some(), any(&[Bet, Linucb, Scall]), "--probes", "bet, linucb and scall", policy())?;
        let adagrad = model != Model::Lightgcn;
        check(self.epsilon.is_some(), adagrad, "--epsilon", "mf and fism", "lightgcn".into())?;
        let bias = self.bias();
        let of_bias = || format!("a {} bias", format!("{bias:?}").to_lowercase());
        let learned = bias == Bias::Learned;
        check(self.keep_bias.is_some(), learned, "--keep-bias", "a learned bias", of_bias())?;
        let counted = bias == Bias::Counted || decays;
        check(self.half_life.is_some(), counted, "--half-life", "a counted bias", of_bias())?;
        let log = self.sampling() == Sampled::Log;
        check(self.window.is_some(), log, "--window", "--sampling log", "--sampling users".into())
    }
}
