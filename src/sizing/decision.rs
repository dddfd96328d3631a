//! Whether sizes that a policy decided on are those that it may.

use super::{SizePolicy, Sizes, SizingContext};
use crate::{Error, Result};

impl Sizes {
    /// Whether a policy may decide on these in a context.
    ///
    /// # Errors
    /// [`Error::BadSizes`] with the policy's name and the first entity that is wrong; [`Error::OverBudget`] for a sum
    /// that is too large from a policy that promises none; [`Error::Infeasible`].
    pub(crate) fn check_decision(&self, policy: &dyn SizePolicy, context: &SizingContext<'_>) -> Result<()> {
        let (name, total) = (policy.name(), context.total()?);
        let sum = self.check_each(name, context)?;
        match policy.is_exact() {
            true if sum < total => Err(bad(name, format!("sizes that add up to {total} dims"), sum.to_string())),
            false if sum > total => Err(Error::OverBudget { needed: sum, budget: total, unit: "parameters" }),
            _ => self.check_sum(name, sum, total),
        }
    }

    /// Whether a policy may probe these in a context: they may add up to less than there is.
    ///
    /// # Errors
    /// [`Error::BadSizes`] with the policy's name and the first entity that is wrong; [`Error::Infeasible`].
    pub(crate) fn check_probe(&self, policy: &'static str, context: &SizingContext<'_>) -> Result<()> {
        let (total, sum) = (context.total()?, self.check_each(policy, context)?);
        self.check_sum(policy, sum, total)
    }

    /// One size for each entity, within the bounds; their sum.
    fn check_each(&self, policy: &'static str, context: &SizingContext<'_>) -> Result<u64> {
        let sides = [("users", &self.users, context.users), ("items", &self.items, context.items)];
        for (side, sizes, entities) in sides {
            let (wanted, got) = (entities.len(), sizes.len());
            if wanted != got {
                let (wrong, first) = if got < wanted { ("none", got) } else { ("another", wanted) };
                let expected = format!("a size for each of {wanted} {side}");
                return Err(bad(policy, expected, format!("{wrong} for {side}[{first}]")));
            }
        }
        let (least, most) = (context.d_min, context.d_max);
        let mut sum = 0u64;
        for (side, sizes, _) in sides {
            for (entity, &size) in sizes.iter().enumerate() {
                if !(least..=most).contains(&size) {
                    let expected = format!("from {least} to {most} dims for {side}[{entity}]");
                    return Err(bad(policy, expected, size.to_string()));
                }
                sum += u64::from(size);
            }
        }
        Ok(sum)
    }

    fn check_sum(&self, policy: &'static str, sum: u64, total: u64) -> Result<()> {
        if sum <= total {
            return Ok(());
        }
        let sides = [("users", &self.users), ("items", &self.items)];
        let all =
            sides.into_iter().flat_map(|(side, sizes)| sizes.iter().enumerate().map(move |(i, size)| (side, i, size)));
        let mut end = 0u64;
        let passing = all.into_iter().find(|(_, _, size)| {
            end += u64::from(**size);
            end > total
        });
        let at =
            passing.map_or(String::new(), |(side, entity, _)| format!(", more than that from {side}[{entity}] on"));
        Err(bad(policy, format!("sizes that add up to {total} dims"), format!("{sum}{at}")))
    }
}

fn bad(policy: &'static str, expected: String, found: String) -> Error {
    Error::BadSizes { policy, expected, found }
}
