//! The same size for every row.

use super::recipe::stateless;
use crate::Result;
use crate::sizing::profile::even;
use crate::sizing::{SizePolicy, Sizes, SizingContext};

/// Every row the same size, up to one: what is left over goes to the lowest ids. The baseline, and segment 0 of SCALL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uniform;

impl SizePolicy for Uniform {
    fn name(&self) -> &'static str {
        "uniform"
    }

    fn decide(&mut self, context: &SizingContext<'_>) -> Result<Sizes> {
        let (users, items) = context.split(context.even_share())?;
        Ok(Sizes {
            users: even(context, context.users.len(), users)?,
            items: even(context, context.items.len(), items)?,
            action: None,
        })
    }

    stateless!();
}
