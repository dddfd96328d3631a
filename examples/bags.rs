//! Learns rows from bags: a basket of products is pooled into one vector, and its gradient goes back to every product
//! in it, without ever being written out for each.
//!
//! ```text
//! cargo run --release --example bags
//! ```

#[path = "common/exit.rs"]
mod exit;

use std::process::ExitCode;

use rand::Rng;
use scall_gpu::Result;
use scall_gpu::device::{Buffer, Device};
use scall_gpu::kernels::table::bags::Pooling;
use scall_gpu::kernels::table::update::{BagGradients, Gradients, Optimizer};
use scall_gpu::rng::{Philox, Purpose};
use scall_gpu::table::{Account, Occurrences, RaggedTable, TableOptions};

const PRODUCTS: u32 = 2_000;
const BASKETS: usize = 4_096;
const DIMS: u32 = 16;

fn main() -> ExitCode {
    exit::exit(run())
}

fn run() -> Result<()> {
    let device = Device::auto();
    println!("device   {}", device.describe());

    // Frequent products, which come first, get 16 dims, rare ones 2.
    let sizes: Vec<u32> = (0..PRODUCTS).map(|product| if product < 200 { DIMS } else { 2 }).collect();
    let rule = Optimizer::Adagrad { learning_rate: 0.1, epsilon: 1e-8 }.into();
    let options = TableOptions { rule, ..TableOptions::default() };
    let mut table = RaggedTable::new(&device, &sizes, options, &Account::unlimited())?;
    println!("table    {PRODUCTS} rows, {} values, dense {}", table.len(), PRODUCTS * DIMS);

    // Baskets of 1 to 20 products, small numbers more often than large ones, and what should come out: the mean of
    // hidden rows.
    let mut rng = Philox::new(7, Purpose::User);
    let mut unit = || f64::from(rng.next_u32()) / 4_294_967_296.0;
    let mut bags = vec![0u32];
    let mut products = Vec::new();
    for _ in 0..BASKETS {
        let length = 1 + (unit() * 20.0) as usize;
        products.extend((0..length).map(|_| (f64::from(PRODUCTS) * unit().powi(3)) as u32));
        bags.push(products.len() as u32);
    }
    let hidden: Vec<f32> = (0..PRODUCTS * DIMS).map(|_| unit() as f32 - 0.5).collect();
    let mut wanted = vec![0.0; BASKETS * DIMS as usize];
    for (basket, ends) in wanted.chunks_exact_mut(DIMS as usize).zip(bags.windows(2)) {
        let products = &products[ends[0] as usize..ends[1] as usize];
        for &product in products {
            // A row has no more than its dims: beyond them nothing is asked of it.
            for (j, want) in basket.iter_mut().enumerate().take(sizes[product as usize] as usize) {
                *want += hidden[(product * DIMS) as usize + j] / products.len() as f32;
            }
        }
    }

    let (ids, bag_ends) = (Buffer::from_slice(&device, &products)?, Buffer::from_slice(&device, &bags)?);
    let count = products.len() as u32;
    let mut workspace = Buffer::zeroed(&device, table.update_workspace_len(count, DIMS))?;
    for step in 0..=60 {
        let pooled = table.lookup_bags(&products, &bags, Pooling::Mean, DIMS)?.read()?;
        // Half the squared distance: its gradient is the difference.
        let difference: Vec<f32> = pooled.iter().zip(&wanted).map(|(is, should)| is - should).collect();
        if step % 20 == 0 {
            let loss: f32 = difference.iter().map(|d| d * d).sum::<f32>() / (2 * BASKETS) as f32;
            println!("step {step:>3} loss {loss:.5}");
        }
        let gradients = Buffer::from_vec(&device, difference)?;
        let of = BagGradients {
            gradients: &gradients,
            bags: &bag_ends,
            weights: None,
            pooling: Pooling::Mean,
            winners: None,
        };
        let occurrences =
            Occurrences { ids: &ids, first: 0, count: count.into(), gradients: Gradients::Bags(of), dims: DIMS };
        let mut commands = device.commands();
        table.record_update(&mut commands, occurrences, &mut workspace)?;
        commands.submit()?;
    }
    Ok(())
}
