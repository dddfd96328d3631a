//! Where kernels run: the CPU, or any GPU that wgpu reaches.
//!
//! [`Device::auto`] takes a hardware GPU, else the CPU. The choice is visible ([`Device::describe`]) and never changes
//! in mid-run. A [`Buffer`] lives on one device; [`Commands`] collects kernel launches for it.

mod adapter;
mod bind_groups;
mod buffer;
mod commands;
mod counters;
mod dispatches;
mod element;
mod faults;
mod gpu;
mod host;
mod kernel;
mod launch;
mod pipeline;
mod place;
mod prepared;
mod readback;
pub(crate) mod shader;
mod stretch;
mod timing;
mod waiter;
mod warm_up;

pub use adapter::GpuOptions;
pub(crate) use bind_groups::BindGroups;
pub use buffer::Buffer;
pub use commands::Commands;
pub(crate) use commands::Reading;
pub use counters::GpuCounts;
pub use dispatches::Dispatches;
pub use element::Element;
pub use gpu::Gpu;
pub(crate) use kernel::sealed::Operator;
pub use kernel::{Kernel, Pass, Recorder};
pub(crate) use launch::{Binding, Launch, check_distinct};
pub use place::Device;
pub use prepared::{Change, Changes, Parameters, Prepared};
pub(crate) use shader::{Access, CodecSource, Entry, Shader, param_group, params, reads, writes};
pub use timing::{KERNEL_TIMES, clock_start};
pub use warm_up::KernelPipelines;
