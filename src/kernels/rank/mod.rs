//! Training and ranking: sample triples, their loss and gradients, the best items of each user.

pub mod bpr;
pub mod log_triples;
pub mod top_k;
pub mod triples;

use crate::device::{Change, Changes};
use crate::rng::key;

/// How the parameters of a prepared operator that draws triples follow its step and seed.
fn draw_changes() -> Changes {
    Box::new(|change, params| {
        match change {
            Change::Step(step) => params.set("step", step),
            Change::Seed(seed) => {
                let [low, high] = key(seed);
                params.set("seed_low", low);
                params.set("seed_high", high);
            }
            _ => return Ok(false),
        }
        Ok(true)
    })
}
