//! A table that stays inside its budget while its population grows, and what a resize keeps.
//!
//! ```text
//! cargo run --release --example resize
//! ```

#[path = "common/exit.rs"]
mod exit;

use std::process::ExitCode;

use scall_gpu::Result;
use scall_gpu::device::Device;
use scall_gpu::sizing::{Budget, FrequencyRanked, Population, Shape, SizePolicy, SizingContext};
use scall_gpu::table::{Account, RaggedTable, TableOptions};

fn main() -> ExitCode {
    exit::exit(run())
}

fn run() -> Result<()> {
    let device = Device::auto();
    println!("device   {}", device.describe());

    // 64 kB for values and row directory, at most 32 dims a row.
    let budget = Budget { d_max: 32, ..Budget::new("bytes=64kB".parse()?) };
    let account = Account::new(64_000, budget.counts);
    let mut table = RaggedTable::new(&device, &[], TableOptions::default(), &account)?;
    let mut policy = FrequencyRanked::default();

    println!("    rows     dims a row       held     kept  dropped    drawn");
    for (segment, rows) in [500, 1_000, 2_000, 4_000].into_iter().enumerate() {
        // The directory of new rows takes room too: what is left is what there is to divide.
        let dims = budget.resolve(Population { users: rows, items: 0 }, &Shape::default())?.dims;
        // Few rows occur often, most of them hardly ever; which ones changes with the segment.
        let frequencies: Vec<u32> = (0..rows).map(|row| 1_000 / (1 + (row * 7 + 31 * segment as u32) % rows)).collect();
        let context = SizingContext {
            device: &device,
            segment,
            seed: 0,
            users: &frequencies,
            items: &[],
            dims,
            d_min: budget.d_min,
            d_max: budget.d_max,
            rows: None,
        };
        let sizes = policy.decide(&context)?.users;
        let plan = table.plan(&sizes)?;
        table.resize(&plan)?;
        let (least, most) = (sizes.iter().min().unwrap_or(&0), sizes.iter().max().unwrap_or(&0));
        println!(
            "{rows:>8} {:>14} {:>8} B {:>8} {:>8} {:>8}",
            format!("{least} to {most}"),
            account.used_bytes(),
            plan.kept_values(),
            plan.dropped_values(),
            plan.new_values(),
        );
        assert!(account.used_bytes() <= account.capacity_bytes());
    }
    Ok(())
}
