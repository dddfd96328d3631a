//! The smallest program: a ragged table, and some of its rows.
//!
//! ```text
//! cargo run --release --example lookup
//! ```

#[path = "common/exit.rs"]
mod exit;

use std::process::ExitCode;

use scall_gpu::Result;
use scall_gpu::device::Device;
use scall_gpu::table::{Account, Counts, RaggedTable, TableOptions};

fn main() -> ExitCode {
    exit::exit(run())
}

fn run() -> Result<()> {
    let device = Device::auto();
    println!("device  {}", device.describe());

    // Five rows that share 64 bytes of values, and a row directory: 2 bytes a row in whole words, and a word for their
    // block.
    let account = Account::new(64 + 12 + 4, Counts::default());
    let mut table = RaggedTable::new(&device, &[4, 1, 0, 6, 2], TableOptions::default(), &account)?;

    // Rows 3, 2 and 0, four dims wide: longer rows are cut, shorter ones padded with zeros.
    let rows = table.lookup(&[3, 2, 0], 4)?.read()?;
    for (id, row) in [3, 2, 0].iter().zip(rows.chunks(4)) {
        println!("row {id}   {row:+.4?}");
    }

    // Row 3 shrinks, row 2 gets a first dim: whatever stays keeps its bits.
    let plan = table.plan(&[4, 1, 1, 3, 2])?;
    table.resize(&plan)?;
    println!(
        "resized {} values kept, {} dropped, {} new",
        plan.kept_values(),
        plan.dropped_values(),
        plan.new_values()
    );

    // More than the account holds is refused before anything moves.
    let refused = table.append_rows(&[8]).expect_err("12 bytes more than there is room for");
    println!("refused {refused}");

    let memory = table.memory();
    println!("held    {} bytes of {}", memory.total_bytes(), account.capacity_bytes());
    Ok(())
}
