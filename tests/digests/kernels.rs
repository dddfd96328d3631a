//! Kernels that own no table, each on sizes that take its different ways.

use crate::api::*;
use crate::draw::Draw;
use crate::record::{Digest, Digests};

pub fn results(device: &Device, digests: &mut Digests) {
    sort(device, digests);
    scan(device, digests);
    segments(device, digests);
    reduce(device, digests);
    rank(device, digests);
    sample_and_apportion(device, digests);
    triples(device, digests);
    log_triples(device, digests);
    block_triples(device, digests);
    addresses(device, digests);
    bpr(device, digests);
    spmm(device, digests);
    top_k(device, digests);
}

fn upload<T: bytemuck::Pod + Send + Sync + Unpin>(device: &Device, values: &[T]) -> Buffer<T> {
    Buffer::from_slice(device, values).unwrap()
}

fn zeroed<T: bytemuck::Pod + Send + Sync + Unpin>(device: &Device, len: usize) -> Buffer<T> {
    Buffer::zeroed(device, len).unwrap()
}

/// Elements compared all with all, in few tiles, and in many.
fn sort(device: &Device, digests: &mut Digests) {
    for (count, bits) in [(0, 32), (1, 32), (1000, 32), (9000, 17), (9000, 5), (70_000, 32), (70_000, 9)] {
        let mut draw = Draw::of("sort");
        let bound = u32::try_from(1u64 << bits).unwrap_or(u32::MAX);
        let mut keys = upload(device, &draw.words(count as usize, bound));
        let mut payload = upload(device, &(0..count).collect::<Vec<u32>>());
        let mut workspace = zeroed(device, Sort::workspace_len(count));
        Sort { keys: &mut keys, payload: &mut payload, count, bits, workspace: &mut workspace }.run(device).unwrap();
        let digest = Digest::of(&keys.read().unwrap()).and(&payload.read().unwrap());
        digests.add(format!("prim/sort/{count}-of-{bits}-bits"), digest);
    }
}

fn scan(device: &Device, digests: &mut Digests) {
    for count in [0, 1, 4096, 5000, 100_000] {
        for inclusive in [false, true] {
            let mut values = upload(device, &Draw::of("scan").words(count as usize, u32::MAX));
            let mut workspace = zeroed(device, Scan::workspace_len(count));
            Scan { values: &mut values, count, inclusive, workspace: &mut workspace }.run(device).unwrap();
            let way = if inclusive { "inclusive" } else { "exclusive" };
            digests.add(format!("prim/scan/{count}-{way}"), Digest::of(&values.read().unwrap()));
        }
    }
}

fn segments(device: &Device, digests: &mut Digests) {
    for (count, bound) in [(1, 1), (5000, 40), (5000, 4000)] {
        let mut keys = Draw::of("runs").words(count as usize, bound);
        keys.sort_unstable();
        let keys = upload(device, &keys);
        let (mut runs, mut starts) = (zeroed(device, keys.len() + 1), zeroed(device, keys.len() + 1));
        let mut workspace = zeroed(device, Runs::workspace_len(count));
        Runs { keys: &keys, runs: &mut runs, starts: &mut starts, workspace: &mut workspace }.run(device).unwrap();
        let digest = Digest::of(&runs.read().unwrap()).and(&starts.read().unwrap());
        digests.add(format!("prim/segments/runs-{count}-below-{bound}"), digest);
    }
    for (parts, total) in [(3000, 9000), (500, 9000), (9, 9000), (3, 70_000)] {
        let mut draw = Draw::of("segmented sum");
        let offsets = draw.offsets(parts, total);
        let longest = offsets.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        let (values, offsets) = (upload(device, &draw.floats(total as usize)), upload(device, &offsets));
        let mut sums = zeroed(device, parts);
        SegmentedSum { values: &values, offsets: &offsets, longest, sums: &mut sums }.run(device).unwrap();
        digests.add(format!("prim/segments/sum-{parts}-of-{total}"), Digest::of(&sums.read().unwrap()));
    }
}

fn reduce(device: &Device, digests: &mut Digests) {
    for count in [0, 1, 5000, 100_000] {
        let mut draw = Draw::of("reduce");
        let input = upload(device, &draw.words(count as usize, u32::MAX));
        for (name, operator) in [("sum", Operator::Sum), ("min", Operator::Min), ("max", Operator::Max)] {
            let mut out = zeroed(device, Reduce::<u32>::out_len(count));
            Reduce { input: &input, operator, out: &mut out }.run(device).unwrap();
            digests.add(format!("prim/reduce/{name}-{count}"), Digest::of(&out.read().unwrap()[..1]));
        }
        let input = upload(device, &draw.floats(count as usize));
        let mut out = zeroed(device, Reduce::<f32>::out_len(count));
        Reduce { input: &input, operator: Operator::Sum, out: &mut out }.run(device).unwrap();
        digests.add(format!("prim/reduce/sum-f32-{count}"), Digest::of(&out.read().unwrap()[..1]));
    }
}

fn rank(device: &Device, digests: &mut Digests) {
    for (count, most) in [(1, 5), (3000, 40), (12_000, 100_000)] {
        let frequencies = upload(device, &Draw::of("rank").words(count, most));
        let mut order = zeroed(device, count);
        let mut workspace = zeroed(device, Rank::workspace_len(count as u32));
        Rank { frequencies: &frequencies, order: &mut order, workspace: &mut workspace }.run(device).unwrap();
        digests.add(format!("sizing/rank/{count}-below-{most}"), Digest::of(&order.read().unwrap()));
    }
}

fn sample_and_apportion(device: &Device, digests: &mut Digests) {
    let profiles: Vec<Profile> = Distribution::ALL
        .into_iter()
        .flat_map(|distribution| [0.1, 0.7].map(|at| Profile { distribution, alpha: distribution.alpha(at) }))
        .collect();
    for (entities, draws, profiles_per_stream) in [(1, 3, 1), (700, 70, 1), (5000, 20, 4)] {
        let mut weights = zeroed(device, profiles.len() * entities as usize);
        let mut workspace = zeroed(device, Sample::workspace_len(profiles.len(), entities, draws));
        Sample {
            profiles: &profiles,
            entities,
            draws,
            seed: 11,
            first_stream: 3,
            profiles_per_stream,
            out: &mut weights,
            workspace: &mut workspace,
        }
        .run(device)
        .unwrap();
        digests.add(format!("sizing/sample/{entities}-{draws}"), Digest::of(&weights.read().unwrap()));
    }
    // Weights that are the same on every device.
    for (entities, total, d_min, d_max) in [(1, 5, 0, 9), (700, 9000, 1, 64), (9000, 60_000, 0, 30), (9000, 9000, 1, 1)]
    {
        let mut weights = Draw::of("apportion").floats(entities + 3);
        weights.iter_mut().for_each(|weight| *weight = (*weight * *weight * *weight).abs());
        weights.sort_unstable_by(|a, b| b.total_cmp(a));
        let weights = upload(device, &weights);
        let mut sizes = zeroed(device, entities);
        let mut workspace = zeroed(device, Apportion::workspace_len(entities as u32));
        let allotment = Allotment { total, d_min, d_max };
        Apportion { weights: &weights, first: 3, allotment, sizes: &mut sizes, workspace: &mut workspace }
            .run(device)
            .unwrap();
        digests.add(format!("sizing/apportion/{entities}-{total}"), Digest::of(&sizes.read().unwrap()));
    }
}

/// Users' rows of ids below `bound`, ascending and distinct within a row, and their offsets.
fn histories(draw: &mut Draw, users: usize, bound: u32) -> (Vec<u32>, Vec<u32>) {
    let (mut offsets, mut items) = (vec![0], Vec::new());
    for _ in 0..users {
        let len = draw.below(30) as usize;
        let mut row = draw.words(len, bound);
        row.sort_unstable();
        row.dedup();
        items.extend(row);
        offsets.push(items.len() as u32);
    }
    (offsets, items)
}

/// What a kernel makes of a batch of triples.
fn drawn(device: &Device, batch: u32, draw: impl FnOnce(&mut Buffer<u32>) -> scall_gpu::Result<()>) -> Digest {
    let mut triples = zeroed(device, 3 * batch as usize);
    draw(&mut triples).unwrap();
    Digest::of(&triples.read().unwrap())
}

fn triples(device: &Device, digests: &mut Digests) {
    let mut draw = Draw::of("triples");
    let users: Vec<u32> = (0..90).map(|i| 3 * i + 1).collect();
    let items: Vec<u32> = (0..200).map(|i| 2 * i).collect();
    let (positive_offsets, positives) = histories(&mut draw, users.len(), 400);
    let (touched_offsets, touched) = histories(&mut draw, users.len(), 200);
    let [users, items] = [users, items].map(|ids| upload(device, &ids));
    let [positive_offsets, positives] = [positive_offsets, positives].map(|words| upload(device, &words));
    let [touched_offsets, touched] = [touched_offsets, touched].map(|words| upload(device, &words));
    for (batch, step) in [(1, 0), (3000, 7)] {
        let digest = drawn(device, batch, |triples| {
            SampleTriples {
                users: &users,
                positive_offsets: &positive_offsets,
                positives: &positives,
                items: &items,
                touched_offsets: &touched_offsets,
                touched: &touched,
                step,
                steps: 1,
                seed: 1 << 40,
                batch,
                triples,
            }
            .run(device)
        });
        digests.add(format!("rank/triples/{batch}"), digest);
    }
}

fn log_triples(device: &Device, digests: &mut Digests) {
    let mut draw = Draw::of("log triples");
    let (users, items) = (draw.words(4000, 95), draw.words(4000, 60));
    let (touched_offsets, touched) = histories(&mut draw, 90, 60);
    let [users, items] = [users, items].map(|ids| upload(device, &ids));
    let [touched_offsets, touched] = [touched_offsets, touched].map(|words| upload(device, &words));
    for (batch, window, step) in [(1, 1, 0), (3000, 50, 7), (3000, 100_000, 8)] {
        let digest = drawn(device, batch, |triples| {
            SampleLogTriples {
                users: &users,
                items: &items,
                touched_offsets: &touched_offsets,
                touched: &touched,
                window,
                step,
                steps: 1,
                seed: 1 << 40,
                batch,
                first: 0,
                count: batch,
                triples,
            }
            .run(device)
        });
        digests.add(format!("rank/log_triples/{batch}-{window}"), digest);
    }
}

fn block_triples(device: &Device, digests: &mut Digests) {
    let mut draw = Draw::of("block triples");
    let users = upload(device, &draw.words(300, 90));
    let [positives, negatives] = [0, 1].map(|_| histories(&mut draw, 300, 60));
    let [positive_offsets, negative_offsets] = [&positives.0, &negatives.0].map(|offsets| upload(device, offsets));
    let [positives, negatives] = [&positives.1, &negatives.1].map(|items| upload(device, items));
    for (batch, first, step) in [(1, 0, 0), (3000, 0, 7), (3000, 1234, 8)] {
        let digest = drawn(device, batch, |triples| {
            SampleBlockTriples {
                users: &users,
                positive_offsets: &positive_offsets,
                positives: &positives,
                negative_offsets: &negative_offsets,
                negatives: &negatives,
                step,
                steps: 1,
                seed: 1 << 40,
                batch,
                first,
                count: batch - first,
                triples,
            }
            .run(device)
        });
        digests.add(format!("rank/block_triples/{batch}-from-{first}"), digest);
    }
}

fn addresses(device: &Device, digests: &mut Digests) {
    let mut draw = Draw::of("addresses");
    let keys = upload(device, &draw.words(6000, u32::MAX));
    let small: Vec<u32> = (0..3000).flat_map(|key| [key, 0]).collect();
    let small = upload(device, &small);
    for (name, sharing) in
        [("blocks", Sharing::Blocks { blocks: 3, bits: 9 }), ("chunks", Sharing::Chunks { chunks: 4, rows: 12_345 })]
    {
        for (of, keys) in [("large", &keys), ("small", &small)] {
            let mut out = zeroed(device, 3000 * sharing.parts() as usize);
            Addresses { keys, sharing, seed: 1 << 40, out: &mut out }.run(device).unwrap();
            digests.add(format!("table/addresses/{name}-{of}"), Digest::of(&out.read().unwrap()));
        }
    }
}

/// Rows of these sizes with values of the draw.
fn rows_of(device: &Device, draw: &mut Draw, sizes: &[u32], layout: Layout) -> Rows {
    let mut rows = Rows::zeroed(device, sizes, layout, Default::default()).unwrap();
    rows.write(&draw.floats(sizes.iter().sum::<u32>() as usize)).unwrap();
    rows
}

/// Rows that the kernels below read: of each format, in one page and in several.
fn layouts() -> [(&'static str, Layout); 8] {
    let in_pages = |format| Layout { format, aligned: true, page_bytes: Some(2048) };
    let in_one = |format| Layout { format, ..Layout::default() };
    [
        ("f32-one-page", in_one(Format::F32)),
        ("f32-pages", in_pages(Format::F32)),
        ("f16-one-page", in_one(Format::F16)),
        ("f16-pages", in_pages(Format::F16)),
        ("bf16-one-page", in_one(Format::BF16)),
        ("bf16-pages", in_pages(Format::BF16)),
        ("i8-one-page", in_one(Format::I8)),
        ("i8-pages", in_pages(Format::I8)),
    ]
}

fn bpr(device: &Device, digests: &mut Digests) {
    const BATCH: u32 = 700;
    let biases = [("none", BiasUse::None), ("learned", BiasUse::Learned), ("fixed", BiasUse::Fixed)];
    for (name, layout) in layouts() {
        for (bias, item_bias) in biases {
            for [user_dims, item_dims] in [[24, 25], [5, 3]] {
                let mut draw = Draw::of("bpr");
                let (of_users, of_items) = (draw.sizes(80, 60), draw.sizes(120, 60));
                let [users, items] = [of_users, of_items].map(|sizes| rows_of(device, &mut draw, &sizes, layout));
                // Some ids lie past the tables.
                let triples = [draw.words(BATCH as usize, 81), draw.words(2 * BATCH as usize, 121)].concat();
                let triples = upload(device, &triples);
                let values = upload(device, &draw.floats(80 * user_dims as usize));
                let weights = upload(device, &draw.floats(80));
                let of_users = [
                    ("ragged", UserRows::Ragged(&users)),
                    ("history", UserRows::History { values: &values, weights: &weights }),
                ];
                for (kind, users) in of_users {
                    let mut loss = zeroed(device, BATCH as usize);
                    let mut user_gradients = zeroed(device, (BATCH * user_dims) as usize);
                    let mut item_gradients = zeroed(device, (2 * BATCH * item_dims) as usize);
                    let words = Bpr::workspace_len(BATCH, users, &items, [user_dims, item_dims]);
                    let mut workspace = zeroed(device, words);
                    Bpr {
                        triples: &triples,
                        first: 0,
                        users,
                        items: &items,
                        item_bias,
                        l2: 0.01,
                        l2_bias: 0.02,
                        user_dims,
                        item_dims,
                        loss: &mut loss,
                        user_gradients: &mut user_gradients,
                        item_gradients: &mut item_gradients,
                        workspace: &mut workspace,
                    }
                    .run(device)
                    .unwrap();
                    let digest = Digest::of(&loss.read().unwrap())
                        .and(&user_gradients.read().unwrap())
                        .and(&item_gradients.read().unwrap());
                    digests.add(format!("rank/bpr/{name}-{kind}-bias-{bias}-{user_dims}"), digest);
                }
            }
        }
    }
}

fn spmm(device: &Device, digests: &mut Digests) {
    const ROWS: usize = 60;
    const COLUMNS: usize = 90;
    const NONZEROS: u32 = 3000;
    let mut draw = Draw::of("spmm");
    let offsets = upload(device, &draw.offsets(ROWS, NONZEROS));
    let columns = upload(device, &draw.words(NONZEROS as usize, COLUMNS as u32 + 1));
    let values = upload(device, &draw.floats(NONZEROS as usize));
    let sizes = draw.sizes(COLUMNS, 60);
    let mut run = |name: String, (x, dims): (Operand<'_>, u32), [x_first, y_first]: [u32; 2], accumulates: bool| {
        let outputs = ROWS * (y_first + dims) as usize;
        let mut draw = Draw::of("spmm outputs");
        let (mut y, mut total) = (upload(device, &draw.floats(outputs)), upload(device, &draw.floats(outputs)));
        let mut workspace = zeroed(device, Spmm::workspace_len(NONZEROS as usize, dims));
        Spmm {
            row_offsets: &offsets,
            columns: &columns,
            values: &values,
            x,
            x_first,
            dims,
            y: &mut y,
            y_first,
            accumulate: accumulates.then_some(Accumulate { total: &mut total, scale: 0.3 }),
            workspace: &mut workspace,
        }
        .run(device)
        .unwrap();
        digests.add(format!("graph/spmm/{name}"), Digest::of(&y.read().unwrap()).and(&total.read().unwrap()));
    };
    let firsts = [([0, 0], false), ([1, 0], true), ([0, 1], true)];
    for dims in [3, 24, 77] {
        for ([x_first, y_first], accumulates) in firsts {
            let name = |kind| format!("{kind}-{dims}-from-{x_first}-to-{y_first}");
            let dense = upload(device, &Draw::of("dense").floats(COLUMNS * (x_first + dims) as usize));
            run(name("dense"), (Operand::Dense(&dense), dims), [x_first, y_first], accumulates);
            for (kind, layout) in layouts() {
                let x = rows_of(device, &mut Draw::of("ragged"), &sizes, layout);
                run(name(kind), (Operand::Ragged(&x), dims), [x_first, y_first], accumulates);
            }
        }
    }
}

fn top_k(device: &Device, digests: &mut Digests) {
    for (queries, candidates, dims, k) in [(1, 1, 1, 1), (40, 3000, 24, 20), (40, 3000, 24, 60), (9, 700, 130, 100)] {
        for item_bias in [false, true] {
            let mut draw = Draw::of("top k");
            let stride = dims + u32::from(item_bias);
            let (offsets, excluded) = histories(&mut draw, queries as usize, candidates);
            let values = upload(device, &draw.floats((queries * dims) as usize));
            let lists = (queries * k) as usize;
            let (mut best_scores, mut best_positions) = (zeroed(device, lists), zeroed(device, lists));
            let (offsets, excluded) = (upload(device, &offsets), upload(device, &excluded));
            // Two tiles, the second of them first.
            let middle = candidates / 3;
            for (base, end, fresh) in [(middle, candidates, true), (0, middle, false)] {
                let tile = upload(device, &draw.floats(((end - base) * stride) as usize));
                TopK {
                    queries: &values,
                    query_count: queries,
                    candidates: &tile,
                    candidate_count: end - base,
                    candidate_base: base,
                    dims,
                    item_bias,
                    ragged: None,
                    excluded_offsets: &offsets,
                    excluded: &excluded,
                    k,
                    fresh,
                    best_scores: &mut best_scores,
                    best_positions: &mut best_positions,
                }
                .run(device)
                .unwrap();
            }
            let digest = Digest::of(&best_positions.read().unwrap()).and(&best_scores.read().unwrap());
            let bias = if item_bias { "bias" } else { "no-bias" };
            digests.add(format!("rank/top_k/{queries}-{candidates}-{dims}-{k}-{bias}"), digest);
        }
    }
}
