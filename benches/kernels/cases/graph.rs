//! Products with a sparse matrix.

use scall_gpu::Result;
use scall_gpu::device::{Buffer, Device};
use scall_gpu::kernels::graph::spmm::{Operand, Spmm};
use scall_gpu::models::{Bipartite, Normalisation};
use scall_gpu::stream::UserItems;

use super::{Case, Meter, assert_close, finish, upload};
use crate::data::{HostRows, ragged, skewed, uniform};

pub fn spmm(device: &Device, meter: &mut dyn Meter, nodes: usize) -> Result<()> {
    let (users, items) = ((nodes * 2 / 3) as u32, (nodes / 3) as u32);
    let edges = nodes * 10 / 3;
    let graph = |items_of_edges: Vec<u32>| {
        let pairs = uniform(edges, users, 3).into_iter().zip(items_of_edges);
        Bipartite::new(&UserItems::new(users, pairs)?, items, Normalisation::Symmetric)
    };
    let even = graph(uniform(edges, items, 1))?;
    let rows = even.row_offsets().len() - 1;
    product(device, meter, &even, ("even", &HostRows::new(vec![64; rows]), 64))?;
    // Wide rows, but not gigabytes of them.
    if nodes <= 200_000 {
        product(device, meter, &even, ("even", &HostRows::new(vec![256; rows]), 256))?;
    }
    product(device, meter, &graph(skewed(edges, items, 2))?, ("skewed", &HostRows::new(vec![64; rows]), 64))?;
    product(device, meter, &even, ("ragged", &HostRows::new(ragged(rows, 10)), 32))
}

fn product(
    device: &Device,
    meter: &mut dyn Meter,
    graph: &Bipartite,
    (kind, x, d): (&str, &HostRows, usize),
) -> Result<()> {
    let (offsets, host_columns) = (graph.row_offsets(), graph.columns());
    let rows = offsets.len() - 1;
    let read: u64 = host_columns.iter().map(|&column| x.size(column)).sum();
    let case = Case::new(
        format!("{rows} nodes, {} non-zeros, {d} columns, {kind}", host_columns.len()),
        4 * read + 4 * (d * rows) as u64 + 8 * host_columns.len() as u64 + 4 * rows as u64,
    );
    let mut want = vec![0.0f32; rows * d];
    let mut naive = || {
        for (r, y) in want.chunks_exact_mut(d).enumerate() {
            y.fill(0.0);
            let range = offsets[r] as usize..offsets[r + 1] as usize;
            for (&column, value) in host_columns[range.clone()].iter().zip(&graph.values()[range]) {
                y.iter_mut().zip(x.row(column)).for_each(|(y, x)| *y += value * x);
            }
        }
    };
    naive();
    let (row_offsets, columns) = (upload(device, offsets)?, upload(device, host_columns)?);
    let values = upload(device, graph.values())?;
    let (table, dense) = (x.on(device, Default::default())?, upload(device, &x.values)?);
    let x = if kind == "ragged" { Operand::Ragged(&table) } else { Operand::Dense(&dense) };
    let mut y = Buffer::zeroed(device, rows * d)?;
    let mut workspace = Buffer::zeroed(device, Spmm::workspace_len(columns.len(), d as u32))?;
    let run = &mut || {
        let spmm = Spmm {
            row_offsets: &row_offsets,
            columns: &columns,
            values: &values,
            x,
            x_first: 0,
            dims: d as u32,
            y: &mut y,
            y_first: 0,
            accumulate: None,
            workspace: &mut workspace,
        };
        finish(device, spmm)
    };
    run()?;
    meter.measure(case, run, Some(&mut naive))?;
    assert_close("graph/spmm", &y.read()?, &want);
    Ok(())
}
