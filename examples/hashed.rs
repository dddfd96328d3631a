//! Vectors for keys that never end, in a fixed number of bytes: pairs of a user and a word here, far more than there
//! are rows.
//!
//! ```sh
//! cargo run --release --example hashed
//! ```
//!
//! Each pair has a score. The table learns that of one pair in sixteen, still two for each of its rows; after some time
//! it grows, and goes on from the same vectors.

use scall_gpu::device::{Buffer, Device};
use scall_gpu::kernels::table::addresses::Sharing;
use scall_gpu::kernels::table::optimizer::Optimizer;
use scall_gpu::rows::{Format, Layout};
use scall_gpu::table::{Account, Counts, SharedTable, TableOptions};

const USERS: u64 = 2_000;
const WORDS: u64 = 500;
const BATCH: u64 = 4_096;

/// The key of a pair: any 64 bits that tell it from all others.
fn key(pair: u64) -> u64 {
    ((pair / WORDS) << 32) + pair % WORDS
}

/// What is to be learned: users and words agree or do not.
fn score(pair: u64) -> f32 {
    let mood = |of: u64| (of.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60) as f32 / 7.5 - 1.0;
    mood(pair / WORDS) * mood(pair % WORDS + USERS)
}

/// The mean squared distance of what the table says from what is right.
fn error(table: &SharedTable, pairs: &[u64]) -> scall_gpu::Result<f32> {
    let keys: Vec<u64> = pairs.iter().copied().map(key).collect();
    let said = table.lookup(&keys)?.read()?;
    let squares = said.iter().zip(pairs).map(|(said, &pair)| (said - score(pair)).powi(2));
    Ok(squares.sum::<f32>() / pairs.len() as f32)
}

fn main() -> scall_gpu::Result<()> {
    let device = Device::auto();
    println!("device   {}", device.describe());
    // A value a key is enough here; 2 blocks of 2^14 rows.
    let account = Account::new(500_000, Counts::default());
    let layout = Layout { format: Format::F32, ..Layout::default() };
    let rule = Optimizer::Adagrad { learning_rate: 0.3, epsilon: 1e-6 }.into();
    let options = TableOptions { rule, layout, ..TableOptions::default() };
    let mut table = SharedTable::new(&device, Sharing::Blocks { blocks: 2, bits: 14 }, 1, options, &account)?;
    println!("table    {} rows in {} bytes", table.table().rows(), account.used_bytes());

    // One pair in sixteen comes, again and again.
    let seen: Vec<u64> =
        (0..USERS * WORDS).filter(|pair| pair.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 60 == 0).collect();
    println!("pairs    {} of {} are trained on", seen.len(), USERS * WORDS);
    for epoch in 0..8 {
        for pairs in seen.chunks(BATCH as usize) {
            let keys: Vec<u64> = pairs.iter().copied().map(key).collect();
            let said = table.lookup(&keys)?.read()?;
            let gradients: Vec<f32> = said.iter().zip(pairs).map(|(said, &pair)| said - score(pair)).collect();
            table.apply_gradients(&keys, &Buffer::from_vec(&device, gradients)?)?;
        }
        println!("epoch {epoch}  mean squared error {:.4}", error(&table, &seen)?);
        if epoch == 3 {
            // Twice the rows, and no vector changes.
            table.grow()?;
            println!("grown    {} rows in {} bytes", table.table().rows(), account.used_bytes());
        }
    }
    let nothing = seen.iter().map(|&pair| score(pair).powi(2)).sum::<f32>() / seen.len() as f32;
    println!("without a table, that is saying 0, it would be {nothing:.4}");
    Ok(())
}
