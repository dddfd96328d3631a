//! What a resize holds at once on the CPU, by an allocator that counts. Alone in its file, and one test: others would
//! be counted too.

use peak_alloc::PeakAlloc;
use scall_gpu::device::Device;
use scall_gpu::kernels::table::optimizer::Optimizer;
use scall_gpu::rows::{Format, Layout};
use scall_gpu::table::{Account, RaggedTable, TableOptions};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const PAGE: u64 = 1 << 20;
const ROWS: u32 = 24_000;

#[test]
fn a_resize_holds_a_page_more_than_before_and_after() {
    let device = Device::cpu();
    // Threads, tables of the normal draw, and whatever else is made once.
    let warm = RaggedTable::new(&device, &[8; 9000], TableOptions::default(), &Account::unlimited()).unwrap();
    drop(warm);

    let half = |first: u32, second: u32| (0..ROWS).map(|row| if row < ROWS / 2 { first } else { second }).collect();
    let cases: [(&str, Vec<u32>); 6] = [
        ("grow, then shrink", half(250, 6)),
        ("shrink, then grow", half(6, 250)),
        ("grow", vec![160; ROWS as usize]),
        ("shrink", vec![50; ROWS as usize]),
        ("in turns", (0..ROWS).map(|row| if row % 2 == 0 { 256 } else { 0 }).collect()),
        ("new rows", vec![128; ROWS as usize + 2000]),
    ];
    let sgd = Optimizer::Sgd { learning_rate: 0.1 };
    let row_wise_adam = Optimizer::RowWiseAdam { learning_rate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    for (format, aligned, optimizer) in
        [(Format::F32, false, sgd), (Format::F16, true, sgd), (Format::F32, false, row_wise_adam)]
    {
        for (case, to) in &cases {
            let layout = Layout { format, aligned, page_bytes: Some(PAGE) };
            let options = TableOptions { rule: optimizer.into(), layout, ..TableOptions::default() };
            let base = MEMORY.current_usage() as u64;
            let mut table =
                RaggedTable::new(&device, &vec![128; ROWS as usize], options, &Account::unlimited()).unwrap();
            let before = MEMORY.current_usage() as u64 - base;
            let plan = table.plan(to).unwrap();
            let planned = MEMORY.current_usage() as u64 - base - before;
            MEMORY.reset_peak_usage();
            table.resize(&plan).unwrap();
            let peak = MEMORY.peak_usage() as u64 - base - planned;
            let after = MEMORY.current_usage() as u64 - base - planned;
            let memory = table.memory();

            // The plan has the new directory. Besides: where rows move twice, their sizes and the directory between,
            // once; and what
            // threads and lists of pages take.
            let host = 8 * to.len() as u64 + (64 << 10);
            let page = PAGE + PAGE * 4 / format.bytes() * u64::from(optimizer.state_size().per_value);
            let what = format!(
                "{case}, {optimizer:?}, {layout:?}: {before} bytes before, {after} after, {peak} at once; reported {memory:?}"
            );
            println!("{what}");
            assert!(planned <= 4 * to.len() as u64 + (16 << 10), "{planned} bytes of plan");
            assert!(peak <= before.max(after) + page + host, "{what}");
            assert!(peak.abs_diff(memory.peak_bytes) <= host, "{what}");
            assert!(after.abs_diff(memory.total_bytes()) <= host, "{what}");
            drop((table, plan));
            assert!((MEMORY.current_usage() as u64).abs_diff(base) <= 64 << 10, "{what}: all is given back");
        }
    }
}
