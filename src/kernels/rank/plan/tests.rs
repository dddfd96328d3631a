use super::*;
use crate::Error;
use crate::device::Device;
use crate::testing::{assert_rejects, assert_same, devices, gpu, poisoned, upload};

/// Ids with duplicates, a hot row on each side, ids past the tables, missing negatives.
pub(in crate::kernels::rank) fn triples_of(plan: Plan) -> Vec<u32> {
    let (batch, id) = (plan.batch, |i: u32, rows: u32| i.wrapping_mul(0x9E37_79B9) % (rows + 1));
    let step = |s: u32| {
        let of = move |block: u32, rows: u32| {
            (0..batch).map(move |b| match (b + s + block) % 13 {
                0 => u32::MAX,
                1..5 => rows / 2,
                _ => id(b * 3 + block + s * 7919, rows),
            })
        };
        of(0, plan.users).chain(of(1, plan.items)).chain(of(2, plan.items)).collect::<Vec<_>>()
    };
    (0..plan.steps).flat_map(step).collect()
}

fn run(device: &Device, plan: Plan, triples: &[u32]) -> [Vec<u32>; 2] {
    let ids = upload(device, triples);
    let mut order = poisoned(device, plan.order_len([3, 5]));
    PlanSteps { plan, triples: &ids, order: &mut order }.run(device).unwrap();
    assert_same("triples", &ids.read().unwrap(), triples);
    let order = order.read().unwrap();
    let count = plan.count() as usize;
    [order[..count].to_vec(), order[count..2 * count].to_vec()]
}

/// Step by step, by what the words mean.
fn oracle(plan: Plan, triples: &[u32]) -> [Vec<u32>; 2] {
    let mut order = [Vec::new(), Vec::new()];
    for (step, ids) in triples.chunks_exact(3 * plan.batch.max(1) as usize).enumerate() {
        let mut rows: Vec<(u64, u32)> = Vec::new();
        for (occurrence, &id) in (0..).zip(ids) {
            let is_user = occurrence < plan.batch;
            let past = u64::from(plan.users) + u64::from(plan.items);
            let row = match is_user {
                true if id < plan.users => id.into(),
                false if id < plan.items => u64::from(plan.users) + u64::from(id),
                _ => past,
            };
            rows.push((row, occurrence));
        }
        rows.sort_unstable();
        let scale = (u64::from(plan.users) + u64::from(plan.items) + 1).next_power_of_two();
        order[0].extend(rows.iter().map(|(row, _)| (step as u64 * scale + row) as u32));
        order[1].extend(rows.iter().map(|(_, occurrence)| occurrence));
    }
    order
}

fn parity(device: &Device) {
    for (users, items) in [(1, 1), (5, 3), (0, 4), (700, 64), (3, 124)] {
        for (batch, steps) in [(0, 3), (1, 1), (1, 64), (85, 1), (85, 3), (86, 7), (2731, 1), (1000, 8)] {
            let plan = Plan { batch, steps, users, items };
            let triples = triples_of(plan);
            let (got, want) = (run(device, plan, &triples), oracle(plan, &triples));
            assert_same(&format!("{plan:?} keys"), &got[0], &want[0]);
            assert_same(&format!("{plan:?} occurrences"), &got[1], &want[1]);
        }
    }
}

#[test]
fn plans_match_steps_that_are_sorted_one_by_one() {
    devices().iter().for_each(parity);
}

#[test]
fn all_bits_of_a_key() {
    for device in devices() {
        let plan = Plan { batch: 40, steps: 2, users: (1 << 30) - 3, items: (1 << 30) + 1 };
        let triples = triples_of(plan);
        assert_eq!(run(&device, plan, &triples), oracle(plan, &triples));
        assert_eq!(Plan::most_steps(40, plan.users + plan.items), 2);
    }
}

#[test]
fn more_than_65535_groups() {
    if let Some(gpu) = gpu() {
        let plan = Plan { batch: 3000, steps: 8, users: 50, items: 70 };
        let triples = triples_of(plan);
        let device = Device::Gpu(gpu.with_max_groups(17));
        assert_eq!(run(&device, plan, &triples), oracle(plan, &triples));
    }
}

#[test]
fn mutants_are_rejected() {
    assert_rejects(
        SHADER.name,
        &[
            ("if occurrence < params.batch {", "if occurrence <= params.batch {"),
            ("let step = i / (3u * params.batch);", "let step = 0u;"),
            ("(step << params.bits)", "(step << (params.bits - 1u))"),
            ("var row = params.users + params.items;", "var row = params.users;"),
            ("select(row, params.users + id, id < params.items)", "select(row, id, id < params.items)"),
            ("select(row, id, id < params.users)", "id"),
            ("order[params.occurrences + i] = occurrence;", "order[params.occurrences + i] = i;"),
        ],
        parity,
    );
}

#[test]
fn plans_that_do_not_fit_are_errors() {
    let device = Device::cpu();
    let run = |plan: Plan, ids: usize, order: usize| {
        let (triples, mut order) = (poisoned(&device, ids), poisoned(&device, order));
        PlanSteps { plan, triples: &triples, order: &mut order }.run(&device)
    };
    let plan = Plan { batch: 2, steps: 2, users: 3, items: 4 };
    let words = plan.order_len([0, 0]);
    assert!(run(plan, 12, words).is_ok());
    assert!(matches!(run(plan, 6, words), Err(Error::Shape { arg: "triples", expected: 12, got: 6, .. })));
    assert!(matches!(run(plan, 12, words - 1), Err(Error::Shape { arg: "order", .. })));
    let wide = Plan { steps: 3, users: u32::MAX / 4, items: u32::MAX / 4, ..plan };
    let error = run(wide, 18, 1000).unwrap_err().to_string();
    assert_eq!(error, "rank/plan: `plan.steps` must be of at most 1 bits, got 3");
}
