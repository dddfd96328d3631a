//! Tables through a life: new, updated by occurrences, by bags and as a whole, resized, reset, looked up.

use half::f16;

use crate::api::*;
use crate::draw::Draw;
use crate::record::{Digest, Digests};

/// Width of gradients; some rows are wider.
const DIMS: u32 = 24;
const ROWS: usize = 1000;
const WIDE: u32 = 300;
const COUNT: usize = 2000;

pub fn results(device: &Device, digests: &mut Digests) {
    for (name, layout) in layouts() {
        for (number, (rule_name, rule)) in rules().into_iter().enumerate() {
            life(device, &format!("table/{name}/{rule_name}"), (layout, rule, number), digests);
        }
        lookups(device, &format!("lookup/{name}"), layout, digests);
    }
}

/// f32 and f16, packed and aligned, in one page and in several; bf16, which takes the same ways as f16, and i8 in two
/// of them.
fn layouts() -> Vec<(String, Layout)> {
    let mut all = Vec::new();
    for (format_name, format) in
        [("f32", Format::F32), ("f16", Format::F16), ("bf16", Format::BF16), ("i8", Format::I8)]
    {
        for (place, aligned) in [("packed", false), ("aligned", true)] {
            for (pages, page_bytes) in [("one-page", None), ("pages", Some(8192))] {
                if matches!(format, Format::F32 | Format::F16) || aligned == page_bytes.is_some() {
                    let layout = Layout { format, aligned, page_bytes };
                    all.push((format!("{format_name}-{place}-{pages}"), layout));
                }
            }
        }
    }
    all
}

/// Every optimizer, as it is and with decay and clipping.
fn rules() -> Vec<(String, UpdateRule)> {
    let (learning_rate, epsilon, beta1, beta2) = (0.05, 1e-8, 0.9, 0.999);
    let momentum = |nesterov| Optimizer::Momentum { learning_rate, momentum: 0.9, nesterov };
    let optimizers = [
        ("sgd", Optimizer::Sgd { learning_rate }),
        ("momentum", momentum(false)),
        ("nesterov", momentum(true)),
        ("adagrad", Optimizer::Adagrad { learning_rate, epsilon }),
        ("adam", Optimizer::Adam { learning_rate, beta1, beta2, epsilon }),
        ("adamw", Optimizer::AdamW { learning_rate, beta1, beta2, epsilon, weight_decay: 0.01 }),
        ("row-wise-adagrad", Optimizer::RowWiseAdagrad { learning_rate, epsilon }),
        ("row-wise-adam", Optimizer::RowWiseAdam { learning_rate, beta1, beta2, epsilon }),
    ];
    let with = |(name, optimizer): (&str, Optimizer)| {
        let plain = UpdateRule::new(optimizer);
        let own_decay = matches!(optimizer, Optimizer::AdamW { .. });
        let held = UpdateRule { weight_decay: if own_decay { 0.0 } else { 0.02 }, max_norm: 1.5, ..plain };
        [(name.to_owned(), plain), (format!("{name}-decay-clip"), held)]
    };
    optimizers.into_iter().flat_map(with).collect()
}

/// Values and state of a table.
fn contents(table: &RaggedTable) -> Digest {
    let sizes: Vec<u32> = table.sizes().collect();
    let values = Digest::of(&sizes).and(&table.read().unwrap());
    let state = table.options().rule.optimizer.state_size().numbers();
    (0..state).fold(values, |digest, number| digest.and(&table.as_rows().read_state(number).unwrap()))
}

fn options(layout: Layout, rule: UpdateRule) -> TableOptions {
    TableOptions { rule, init_std: 0.5, zero_dims: 1, seed: 77, layout }
}

/// Ids of a batch: one row is hot, and some lie past the table.
fn ids_of(draw: &mut Draw, rows: u32) -> Vec<u32> {
    let mut ids = draw.words(COUNT, rows + 2);
    ids.iter_mut().step_by(4).for_each(|id| *id = 17);
    ids[5] = u32::MAX;
    ids
}

fn life(device: &Device, name: &str, (layout, rule, number): (Layout, UpdateRule, usize), digests: &mut Digests) {
    // Of the optimizer's number, so that the same inputs pass through all layouts.
    let mut draw = Draw::of(&format!("life {number}"));
    let sizes = draw.sizes(ROWS, WIDE);
    let mut table = RaggedTable::new(device, &sizes, options(layout, rule), &Account::unlimited()).unwrap();
    digests.add(format!("{name}/new"), contents(&table));

    let ids = ids_of(&mut draw, ROWS as u32);
    by_occurrences(device, &mut table, &mut draw, &ids);
    digests.add(format!("{name}/update"), contents(&table));

    // One way of pooling each: the optimizers together pass through all.
    let bags = draw.offsets(60, COUNT as u32);
    by_bags(device, &mut table, &mut draw, (&ids, &bags), number % 5);
    digests.add(format!("{name}/bags"), contents(&table));

    let gradients = Buffer::from_vec(device, draw.floats(ROWS * DIMS as usize)).unwrap();
    let mut commands = device.commands();
    table.record_update_all(&mut commands, &gradients, DIMS).unwrap();
    commands.submit().unwrap();
    digests.add(format!("{name}/update_all"), contents(&table));

    let sizes = draw.sizes(ROWS + 40, WIDE);
    let plan = table.plan(&sizes).unwrap();
    table.resize(&plan).unwrap();
    digests.add(format!("{name}/resize"), contents(&table));

    let rows = draw.words(50, ROWS as u32 + 40);
    table.reset_rows(&rows).unwrap();
    let ids = ids_of(&mut draw, ROWS as u32 + 40);
    by_occurrences(device, &mut table, &mut draw, &ids);
    digests.add(format!("{name}/reset-update"), contents(&table));
}

fn by_occurrences(device: &Device, table: &mut RaggedTable, draw: &mut Draw, ids: &[u32]) {
    let ids = Buffer::from_slice(device, ids).unwrap();
    let gradients = Buffer::from_vec(device, draw.floats((COUNT - 7) * DIMS as usize)).unwrap();
    let occurrences = Occurrences {
        ids: &ids,
        first: 7,
        count: (COUNT as u32 - 7).into(),
        gradients: (&gradients).into(),
        dims: DIMS,
    };
    update(device, table, occurrences);
}

fn update(device: &Device, table: &mut RaggedTable, occurrences: Occurrences<'_>) {
    let words = table.update_workspace_len(occurrences.count.at_most(), occurrences.dims);
    let mut workspace = Buffer::zeroed(device, words).unwrap();
    let mut commands = device.commands();
    table.record_update(&mut commands, occurrences, &mut workspace).unwrap();
    commands.submit().unwrap();
}

/// Sum, mean, both weighted, max: forward for the winners, and back.
fn by_bags(device: &Device, table: &mut RaggedTable, draw: &mut Draw, (ids, bags): (&[u32], &[u32]), way: usize) {
    let (pooling, weighted) = [
        (Pooling::Sum, false),
        (Pooling::Mean, false),
        (Pooling::Sum, true),
        (Pooling::Mean, true),
        (Pooling::Max, false),
    ][way];
    let longest_bag = longest(bags);
    let outputs = (bags.len() - 1) * DIMS as usize;
    let (weights, gradients) = (draw.floats(ids.len()), draw.floats(outputs));
    let [ids, bags] = [ids, bags].map(|words| Buffer::from_slice(device, words).unwrap());
    let [weights, gradients] = [weights, gradients].map(|values| Buffer::from_vec(device, values).unwrap());
    let weights = weighted.then_some(&weights);
    let mut winners = Buffer::zeroed(device, outputs).unwrap();
    if pooling == Pooling::Max {
        let mut out = Buffer::<f32>::zeroed(device, outputs).unwrap();
        LookupBags {
            rows: table.as_rows(),
            ids: &ids,
            bags: &bags,
            longest_bag,
            weights,
            pooling,
            dims: DIMS,
            out: &mut out,
            winners: Some(&mut winners),
        }
        .run(device)
        .unwrap();
    }
    let winners = (pooling == Pooling::Max).then_some(&winners);
    let of = BagGradients { gradients: &gradients, bags: &bags, weights, pooling, winners };
    let gradients = Gradients::Bags(of);
    update(device, table, Occurrences { ids: &ids, first: 0, count: (COUNT as u32).into(), gradients, dims: DIMS });
}

fn longest(offsets: &[u32]) -> u32 {
    offsets.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
}

/// All that reads a table, and a store into it.
fn lookups(device: &Device, name: &str, layout: Layout, digests: &mut Digests) {
    let mut draw = Draw::of("lookups");
    let sizes = draw.sizes(ROWS, WIDE);
    let table =
        RaggedTable::new(device, &sizes, options(layout, UpdateRule::default()), &Account::unlimited()).unwrap();
    let rows = table.as_rows();
    let host_ids = ids_of(&mut draw, ROWS as u32);
    let ids = Buffer::from_slice(device, &host_ids).unwrap();
    for dims in [1, 22, DIMS, 310] {
        let mut out = Buffer::<f32>::zeroed(device, COUNT * dims as usize).unwrap();
        Lookup { rows, ids: &ids, dims, out: &mut out }.run(device).unwrap();
        digests.add(format!("{name}/padded-{dims}"), Digest::of(&out.read().unwrap()));
        if dims % 2 == 0 {
            let mut out = Buffer::<f16>::zeroed(device, COUNT * dims as usize).unwrap();
            Lookup { rows, ids: &ids, dims, out: &mut out }.run(device).unwrap();
            digests.add(format!("{name}/padded-f16-{dims}"), Digest::of(&out.read().unwrap()));
        }
        packed(device, &format!("{name}/packed"), (rows, &ids, dims), digests);
    }
    let bags = draw.offsets(60, COUNT as u32);
    let longest_bag = longest(&bags);
    let bags = Buffer::from_vec(device, bags).unwrap();
    let weights = Buffer::from_vec(device, draw.floats(COUNT)).unwrap();
    for dims in [22, DIMS] {
        let outputs = (bags.len() - 1) * dims as usize;
        for (way, pooling, weights) in [
            ("sum", Pooling::Sum, None),
            ("weighted-sum", Pooling::Sum, Some(&weights)),
            ("mean", Pooling::Mean, None),
            ("weighted-mean", Pooling::Mean, Some(&weights)),
            ("max", Pooling::Max, None),
        ] {
            let (ids, bags) = (&ids, &bags);
            let mut out = Buffer::<f32>::zeroed(device, outputs).unwrap();
            let mut winners = Buffer::zeroed(device, outputs).unwrap();
            let of_max = (pooling == Pooling::Max).then_some(&mut winners);
            LookupBags { rows, ids, bags, longest_bag, weights, pooling, dims, out: &mut out, winners: of_max }
                .run(device)
                .unwrap();
            let digest = Digest::of(&out.read().unwrap()).and(&winners.read().unwrap());
            digests.add(format!("{name}/bags-{way}-{dims}"), digest);
            let mut out = Buffer::<f16>::zeroed(device, outputs).unwrap();
            LookupBags { rows, ids, bags, longest_bag, weights, pooling, dims, out: &mut out, winners: None }
                .run(device)
                .unwrap();
            digests.add(format!("{name}/bags-f16-{way}-{dims}"), Digest::of(&out.read().unwrap()));
        }
    }
    store(device, name, layout, digests);
}

fn packed(device: &Device, name: &str, (rows, ids, dims): (&Rows, &Buffer<u32>, u32), digests: &mut Digests) {
    let mut offsets = Buffer::zeroed(device, ids.len() + 1).unwrap();
    LookupSizes { rows, ids, dims, out: &mut offsets }.run(device).unwrap();
    digests.add(format!("{name}-sizes-{dims}"), Digest::of(&offsets.read().unwrap()));
    let count = offsets.len() as u32;
    let mut workspace = Buffer::zeroed(device, Scan::workspace_len(count)).unwrap();
    Scan { values: &mut offsets, count, inclusive: false, workspace: &mut workspace }.run(device).unwrap();
    // Even, since f16 are written in pairs.
    let len = offsets.read().unwrap()[ids.len()].next_multiple_of(2) as usize;
    let mut out = Buffer::<f32>::zeroed(device, len).unwrap();
    LookupPacked { rows, ids, out_offsets: &offsets, widest: dims, out: &mut out }.run(device).unwrap();
    digests.add(format!("{name}-{dims}"), Digest::of(&out.read().unwrap()));
    let mut out = Buffer::<f16>::zeroed(device, len).unwrap();
    LookupPacked { rows, ids, out_offsets: &offsets, widest: dims, out: &mut out }.run(device).unwrap();
    digests.add(format!("{name}-f16-{dims}"), Digest::of(&out.read().unwrap()));
}

fn store(device: &Device, name: &str, layout: Layout, digests: &mut Digests) {
    let mut draw = Draw::of("store");
    let sizes = draw.sizes(ROWS, WIDE);
    let mut rows = Rows::zeroed(device, &sizes, layout, Default::default()).unwrap();
    // Every third row, and one past the table.
    let ids: Vec<u32> = (0..ROWS as u32 + 3).step_by(3).collect();
    let values = Buffer::from_vec(device, draw.floats(ids.len() * DIMS as usize)).unwrap();
    let ids = Buffer::from_vec(device, ids).unwrap();
    Store { rows: &mut rows, ids: &ids, values: &values, dims: DIMS }.run(device).unwrap();
    digests.add(format!("{name}/store"), Digest::of(&rows.read().unwrap()));
}
