//! The streaming loop: segment after segment, search, sizes, resize, train, evaluate, report.
//!
//! Source: `docs/method.md` sections 2 to 7. The test rows of a segment are used once for its report; once the next
//! segment has begun they are past, and a search may probe on them.

mod bias;
mod config;
mod evaluation;
mod exposures;
mod follow;
mod held;
mod live;
mod options;
mod probe;
mod recommend;
mod regularize;
mod replay;
mod report;
mod scall;
mod segment;
mod state;
mod step;
mod training;

pub use config::{BudgetConfig, Config, DataConfig, DeviceChoice, ModelConfig, PolicyConfig};
pub use follow::{Followed, follow};
pub use held::Held;
pub use options::{EarlyStop, ProbeOptions, ScallOptions};
pub use recommend::{RecommendOptions, Recommendations, Scored};
pub use replay::{Exclude, Replay};
pub use report::{Phase, Sampled, Seconds, SegmentReport, Summary};
pub use scall::Scall;
