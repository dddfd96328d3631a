//! Tables past what a device binds, and past 2^32 values: checked at some rows, against a table that has only these.

mod common;

use std::time::Instant;

use common::devices;
use scall_gpu::device::{Buffer, Device};
use scall_gpu::rows::{Format, Layout};
use scall_gpu::table::{Account, Counts, RaggedTable, TableOptions};

/// A large table and its oracle: as many rows, all of them empty but those that are looked at. What a row is depends on
/// no other.
struct Pair {
    large: RaggedTable,
    sparse: RaggedTable,
    looked_at: Vec<u32>,
    account: Account,
    /// Difference of an update on another device, in parts of the value.
    epsilon: f32,
}

impl Pair {
    fn new(device: &Device, (sizes, widest): (&[u32], u32), options: TableOptions, looked_at: Vec<u32>) -> Self {
        // No more than the values need, and what their directory takes at most while no row is wider.
        let values: u64 = sizes.iter().map(|&size| u64::from(size)).sum();
        let rows = sizes.len() as u64;
        let directory = options.layout.metadata_bytes_at_most(1, rows, values, widest);
        let account = Account::new(options.layout.format.bytes() * values + directory, Counts::default());
        let large = RaggedTable::new(device, sizes, options, &account).unwrap();
        let epsilon = if device.as_gpu().is_some() { 1e-6 } else { 0.0 };
        let mut only = vec![0; sizes.len()];
        looked_at.iter().for_each(|&row| only[row as usize] = sizes[row as usize]);
        let sparse = RaggedTable::new(&Device::cpu(), &only, options, &Account::unlimited()).unwrap();
        Self { large, sparse, looked_at, account, epsilon }
    }

    fn check(&self, what: &str, dims: u32) {
        let found = self.large.lookup(&self.looked_at, dims).unwrap().read().unwrap();
        let want = self.sparse.lookup(&self.looked_at, dims).unwrap().read().unwrap();
        assert!(want.iter().filter(|&&value| value != 0.0).count() > want.len() / 4);
        for (at, (found, want)) in found.iter().zip(&want).enumerate() {
            let row = self.looked_at[at / dims as usize];
            let same = (found - want).abs() <= self.epsilon * want.abs();
            assert!(same, "{what}: row {row}, dim {}: {found}, expected {want}", at % dims as usize);
        }
        assert!(self.account.used_bytes() <= self.account.capacity_bytes());
    }

    fn update(&mut self, dims: u32) {
        let ids = [&self.looked_at[..], &self.looked_at[..self.looked_at.len() / 2]].concat();
        let gradients: Vec<f32> = (0..ids.len() as u32 * dims).map(|i| (i % 97) as f32 / 31.0 - 1.5).collect();
        for table in [&mut self.large, &mut self.sparse] {
            let gradients = Buffer::from_slice(table.device(), &gradients).unwrap();
            table.apply_gradients(&ids, &gradients, dims).unwrap();
        }
    }

    fn resize(&mut self, sizes: &[u32]) {
        let plan = self.large.plan(sizes).unwrap();
        self.large.resize(&plan).unwrap();
        let mut only = vec![0; sizes.len()];
        self.looked_at.iter().for_each(|&row| only[row as usize] = sizes[row as usize]);
        let plan = self.sparse.plan(&only).unwrap();
        self.sparse.resize(&plan).unwrap();
    }
}

/// Past the 128 MiB that every device binds (all that lavapipe does), in pages as the device wants them.
#[test]
fn a_table_past_the_largest_binding() {
    const ROWS: u32 = 34_000;
    const WIDTH: u32 = 1024;
    for device in devices().into_iter().filter(|device| device.as_gpu().is_some()) {
        let looked_at: Vec<u32> =
            (0..40).map(|i| i * 871 % ROWS).chain([0, ROWS - 1, 32_766, 32_767, 32_768]).collect();
        let mut pair =
            Pair::new(&device, (&vec![WIDTH; ROWS as usize], WIDTH + 24), TableOptions::default(), looked_at);
        assert!(pair.large.memory().values_bytes > 128 << 20);
        let binding = device.as_gpu().unwrap().limits().max_storage_buffer_binding_size;
        let pages = pair.large.as_rows().pages().len();
        assert_eq!(pages > 1, pair.large.memory().values_bytes > binding, "{pages} pages, {binding} bytes a binding");
        pair.check("fresh", WIDTH);
        pair.update(WIDTH);
        pair.check("updated", WIDTH);
        // The front grows, the rest shrinks, as many values as before: rows wander over the border of the pages.
        let sizes: Vec<u32> = (0..ROWS).map(|row| if row < ROWS / 2 { WIDTH + 24 } else { WIDTH - 24 }).collect();
        pair.resize(&sizes);
        pair.check("resized", WIDTH + 24);
        pair.update(WIDTH + 24);
        pair.check("updated again", WIDTH + 24);
        let memory = pair.large.memory();
        assert!(memory.peak_bytes <= memory.total_bytes() + binding + (4 << 20), "{memory:?}");
    }
}

/// More than 2^32 values (9 GB of f16), on the CPU.
#[test]
#[ignore = "10 GB of memory, two minutes of CPU time: cargo test --release --test large -- --ignored --nocapture"]
fn a_table_past_two_to_the_32_values() {
    const ROWS: u32 = 1_120_000;
    const WIDTH: u32 = 4000;
    let begun = Instant::now();
    let say = |what: &str| println!("{:6.1} s: {what}", begun.elapsed().as_secs_f64());
    let layout = Layout { format: Format::F16, ..Layout::default() };
    let options = TableOptions { layout, ..TableOptions::default() };
    // Value 2^32 is in row 1,073,741.
    let looked_at: Vec<u32> =
        (0..60).map(|i| i * 18_649 % ROWS).chain(1_073_738..1_073_745).chain([ROWS - 2, ROWS - 1]).collect();
    let mut pair = Pair::new(&Device::cpu(), (&vec![WIDTH; ROWS as usize], WIDTH + 200), options, looked_at);
    assert!(pair.large.len() > (1 << 32) + 100_000_000 && pair.large.memory().values_bytes > 4 << 30);
    say(&format!("{} values drawn, {:?}", pair.large.len(), pair.large.memory()));
    pair.check("fresh", WIDTH);
    say("looked up");
    pair.update(WIDTH);
    pair.check("updated", WIDTH);
    say("updated");
    let sizes: Vec<u32> = (0..ROWS).map(|row| if row < ROWS / 2 { WIDTH + 200 } else { WIDTH - 200 }).collect();
    pair.resize(&sizes);
    let memory = pair.large.memory();
    assert!(pair.large.len() > 1 << 32);
    assert!(memory.peak_bytes <= memory.total_bytes() + (65 << 20), "{memory:?}");
    say(&format!("resized, {memory:?}"));
    pair.check("resized", WIDTH + 200);
    pair.update(WIDTH + 200);
    pair.check("updated again", WIDTH + 200);
    say("looked up and updated again");
}
