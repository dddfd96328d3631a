//! The policy: who gets how many dims. And the probe, by which one learns what pays.

use super::{Outcome, Sizes, SizingContext};
use crate::Result;
use crate::file::State;

/// Chooses the sizes of all rows when a segment begins.
///
/// The sizes handed out add up to exactly the [`total`](SizingContext::total) of the context: its dims, or `d_max` for
/// every row where that is less. There is one for each entity, each from `d_min` to `d_max`. [`Scall`](crate::Scall)
/// checks all of that before anything moves, also of the sizes that a search probes, which may add up to less; what is
/// wrong is [`Error::BadSizes`](crate::Error::BadSizes).
///
/// A policy may move between threads, as may what holds it.
pub trait SizePolicy: Send + Sync {
    /// Its name, for reports and errors.
    fn name(&self) -> &'static str;

    /// What its decisions follow from besides what it has learned, in any words: a loop that was kept is only taken up
    /// by one whose policy says the same (default: nothing).
    fn options(&self) -> String {
        String::new()
    }

    /// Checks its options, before anything runs.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) that names the option.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Whether its sizes add up to exactly what there is (default: yes). Those of a policy that promises less may add
    /// up to less; to more they are [`Error::OverBudget`](crate::Error::OverBudget).
    fn is_exact(&self) -> bool {
        true
    }

    /// Whether [`search`](Self::search) does anything: only then are the last segment's rows kept to probe on.
    fn searches(&self) -> bool {
        false
    }

    /// Learns from the segment that has just ended, by training on it with other sizes. `last` is the context that it
    /// was sized in, `rows` included.
    ///
    /// # Errors
    /// Those of the probe.
    fn search(&mut self, last: &SizingContext<'_>, probe: &mut dyn Probe) -> Result<()> {
        let _ = (last, probe);
        Ok(())
    }

    /// Chooses sizes.
    ///
    /// # Errors
    /// [`Error::Infeasible`](crate::Error::Infeasible) when there is no room for rows of the least size; what the
    /// device reports.
    fn decide(&mut self, context: &SizingContext<'_>) -> Result<Sizes>;

    /// Chooses sizes when entities arrive between two segments: as [`decide`](Self::decide) did last, without a new
    /// decision.
    ///
    /// # Errors
    /// Those of [`decide`](Self::decide).
    fn admit(&mut self, context: &SizingContext<'_>) -> Result<Sizes> {
        self.decide(context)
    }

    /// All that it has learned and decided, but for its options: an empty state for a policy that remembers nothing.
    /// There is no default, since a policy that remembers would lose it without a word.
    ///
    /// # Errors
    /// Those of what it is made of.
    fn save(&self) -> Result<State>;

    /// Goes on where the policy was that was [saved](Self::save): from here on it decides the same bits. Both have to
    /// have the same options.
    ///
    /// # Errors
    /// [`Error::BadState`](crate::Error::BadState) for a state of another policy; this one stays as it was then.
    fn restore(&mut self, state: &State) -> Result<()>;
}

/// Tries sizes on the segment that has just ended: its training rows are trained on, its test rows are ranked. All
/// probes of a segment draw the same triples, so that the sizes are what differs.
pub trait Probe {
    /// How well a recommender with these sizes does.
    ///
    /// # Errors
    /// What training and ranking report.
    fn run(&mut self, sizes: &Sizes) -> Result<Outcome>;

    /// The same for each of several, which do not depend on each other and may be tried side by side.
    ///
    /// # Errors
    /// The first that a probe reports.
    fn run_all(&mut self, sizes: &[Sizes]) -> Result<Vec<Outcome>> {
        sizes.iter().map(|sizes| self.run(sizes)).collect()
    }

    /// The sizes that the segment really had.
    fn deployed(&self) -> &Sizes;
}
