//! What recommenders are made of.

use std::sync::Arc;

use super::{ModelOptions, Recommender};
use crate::Result;
use crate::device::Device;
use crate::table::Account;

/// Makes recommenders: [`ModelOptions`] are one of these, the options of a model of your own may be another, which
/// [`ScallOptions::with_model`](crate::ScallOptions::with_model) takes.
///
/// [`Scall`](crate::Scall) makes the recommender that it trains when it begins, which draws from the account of its
/// budget. It makes others later, which draw from accounts without a limit: for probes that begin with new rows, and to
/// take in a state that was kept. Probes do so from several threads.
///
/// [`Recommender`] has an example.
pub trait ModelBuilder: Send + Sync {
    /// The model's name: a [state](crate::Scall::state) is only taken in by a loop whose model has the same.
    fn name(&self) -> &str;

    /// The options, in any words: a [state](crate::Scall::state) is only taken in by a loop whose model says the same
    /// (default: nothing).
    fn options(&self) -> String {
        String::new()
    }

    /// Checks the options, before anything is built.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) that names the option.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// A recommender on `device` whose tables draw from `account`: equal ones for equal seeds. `seed` is that of
    /// [`ScallOptions`](crate::ScallOptions).
    ///
    /// It may have rows already, as one made of [loaded tables](super::Embeddings::from_tables) has. Row r is then the
    /// r-th user, or item, that the stream knows, and the stream has to know all of them when the loop begins: give it
    /// the rows in which they appeared.
    ///
    /// # Errors
    /// What the model's constructor reports.
    fn build(&self, device: &Device, account: &Account, seed: u64) -> Result<Box<dyn Recommender>>;
}

impl ModelBuilder for ModelOptions {
    fn name(&self) -> &str {
        self.name()
    }

    fn options(&self) -> String {
        // The seed is that of the loop, whatever these say.
        format!("{:?}", self.with_seed(0))
    }

    fn check(&self) -> Result<()> {
        self.check()
    }

    fn build(&self, device: &Device, account: &Account, seed: u64) -> Result<Box<dyn Recommender>> {
        self.with_seed(seed).build(device, account)
    }
}

impl<B: ModelBuilder + ?Sized> ModelBuilder for Arc<B> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn options(&self) -> String {
        (**self).options()
    }

    fn check(&self) -> Result<()> {
        (**self).check()
    }

    fn build(&self, device: &Device, account: &Account, seed: u64) -> Result<Box<dyn Recommender>> {
        (**self).build(device, account, seed)
    }
}
