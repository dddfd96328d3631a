//! How large each row is: a [`Budget`] says how many parameters there are, a [`SizePolicy`] divides them.
//!
//! ```
//! use scall_gpu::device::Device;
//! use scall_gpu::sizing::{Budget, BudgetOptions, FrequencyRanked, Population, SizePolicy, SizingContext};
//! # fn main() -> scall_gpu::Result<()> {
//! let options = BudgetOptions { d_max: 16, ..BudgetOptions::default() };
//! let budget: Budget = "mean=4".parse()?;
//! let resolved = budget.resolve(Population { users: 3, items: 2 }, &options)?;
//! let decision = FrequencyRanked::default().decide(&SizingContext {
//!     device: &Device::cpu(),
//!     segment: 1,
//!     seed: 7,
//!     users: &[5, 0, 9],
//!     items: &[2, 12],
//!     params: resolved.embedding_params(),
//!     d_min: options.d_min,
//!     d_max: options.d_max,
//! })?;
//! assert_eq!(decision.users.iter().chain(&decision.items).sum::<u32>(), 20);
//! assert!(decision.users[2] >= decision.users[0]);
//! # Ok(()) }
//! ```

mod budget;
mod policies;
mod policy;

pub use crate::kernels::sizing::sample::{Distribution, Profile};
pub use budget::{Budget, BudgetOptions, Population, Resolved};
pub use policies::{FrequencyRanked, Random, Uniform};
pub use policy::{Action, Decision, SizePolicy, SizingContext};
