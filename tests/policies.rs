//! Policies that remember or search: budgets along a random stream, and what each of them is for.

mod common;
#[path = "common/judge.rs"]
mod judge;

use common::devices;
use judge::{Judge, context};
use proptest::prelude::*;
use scall_gpu::device::Device;
use scall_gpu::kernels::table::update::Optimizer;
use scall_gpu::models::{Embeddings, EmbeddingsOptions};
use scall_gpu::rng::{Philox, Purpose, below};
use scall_gpu::rows::{Format, Layout};
use scall_gpu::sizing::{
    Amount, Bet, BetOptions, Budget, CurrentRows, FrequencyRanked, GrowOnly, GrowOnlyOptions, LinTs, LinTsOptions,
    LinUcb, LinUcbOptions, MagnitudeCut, MixedDimensions, Random, SizePolicy, Sizes, SizingContext, Uniform,
};
use scall_gpu::stream::{Cut, Interactions, cut};
use scall_gpu::table::Account;
use scall_gpu::{Error, Phase, ProbeOptions, Result, Scall, ScallOptions};

use rand::Rng;

fn policies() -> Vec<Box<dyn SizePolicy>> {
    vec![
        Box::new(MixedDimensions::default()),
        Box::new(MagnitudeCut::default()),
        Box::new(GrowOnly::default()),
        Box::new(Bet::new(BetOptions { probes: 3, draws: 2, ..BetOptions::default() })),
        Box::new(LinUcb::new(LinUcbOptions { probes: 3, ..LinUcbOptions::default() })),
        Box::new(LinTs::new(LinTsOptions { probes: 3, ..LinTsOptions::default() })),
    ]
}

fn total(sizes: &Sizes) -> u64 {
    sizes.users.iter().chain(&sizes.items).map(|&size| u64::from(size)).sum()
}

/// Frequencies of a segment: a long tail, and some who are absent.
fn segment(rng: &mut Philox, entities: usize) -> Vec<u32> {
    (0..entities)
        .map(|_| below(rng.next_u32(), 4) * below(rng.next_u32(), 40) / (1 + below(rng.next_u32(), 9)))
        .collect()
}

/// Tables in one of some layouts, by a number.
fn tables(device: &Device, layout: u64) -> Embeddings {
    let rule = Optimizer::Sgd { learning_rate: 0.1 }.into();
    let layouts = [
        Layout::default(),
        Layout { format: Format::F16, ..Layout::default() },
        Layout { page_bytes: Some(400), ..Layout::default() },
        Layout { format: Format::F16, aligned: true, page_bytes: Some(400) },
    ];
    let layout = layouts[layout as usize % layouts.len()];
    let options = EmbeddingsOptions { rule, init_std: [0.01; 2], item_bias: true, seed: 9, layout };
    Embeddings::new(device, options, &Account::unlimited()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Entities arrive between segments and within, dims come and go, one side may be empty.
    #[test]
    fn every_policy_keeps_the_budget_along_a_stream(
        arrivals in prop::collection::vec((0usize..40, 0usize..40, 0usize..5), 1..5),
        d_min in 0u32..2,
        spread in 0u32..20,
        part in 0.0f64..1.1,
        seed in any::<u64>(),
    ) {
        for device in devices() {
            for mut policy in policies() {
                let mut rng = Philox::new(seed, Purpose::User);
                let mut tables = tables(&device, seed);
                let (mut users, mut items) = (0, 0);
                let mut deployed = Sizes { users: Vec::new(), items: Vec::new(), action: None };
                for (t, &(new_users, new_items, late)) in arrivals.iter().enumerate() {
                    for admitted in [false, true] {
                        (users, items) = match admitted {
                            false => (users + new_users, items + new_items),
                            true => (users + late, items + late),
                        };
                        let (n, d_max) = ((users + items) as u64, d_min + spread);
                        let dims = n * u64::from(d_min) + (part * (n * u64::from(spread)) as f64) as u64;
                        let frequencies = [segment(&mut rng, users), segment(&mut rng, items)];
                        let rows = CurrentRows { users: tables.users(), items: tables.items(), item_bias: true };
                        let context = SizingContext {
                            segment: t,
                            d_min,
                            d_max,
                            rows: Some(rows),
                            ..context(&device, &frequencies[0], &frequencies[1], dims)
                        };
                        let sizes = match admitted {
                            false => {
                                let sizes = policy.decide(&context).unwrap();
                                prop_assert_eq!(&sizes, &policy.decide(&context).unwrap(), "{} again", policy.name());
                                deployed = sizes.clone();
                                sizes
                            }
                            true => policy.admit(&context).unwrap(),
                        };
                        let name = policy.name();
                        prop_assert_eq!((sizes.users.len(), sizes.items.len()), (users, items), "{}", name);
                        prop_assert_eq!(total(&sizes), dims.min(n * u64::from(d_max)), "{}", name);
                        let bounds = d_min..=d_max;
                        prop_assert!(sizes.users.iter().chain(&sizes.items).all(|size| bounds.contains(size)), "{}", name);
                        if !admitted && policy.searches() {
                            // Qualities without sense, down to none at all.
                            let quality = |sizes: &Sizes| f64::from(sizes.users.first().copied().unwrap_or(0) % 3);
                            let mut judge = Judge::new(deployed.clone(), quality);
                            policy.search(&context, &mut judge).unwrap();
                            let right = dims.min(n * u64::from(d_max));
                            prop_assert!(judge.asked.iter().all(|(_, sizes)| total(sizes) == right), "{} probes", name);
                        }
                        tables.resize(&sizes).unwrap();
                    }
                }
            }
        }
    }
}

#[test]
fn too_few_parameters_are_infeasible_for_every_policy() {
    for mut policy in policies() {
        let error = policy.decide(&context(&Device::cpu(), &[1; 10], &[2; 5], 14)).unwrap_err();
        let name = policy.name();
        assert!(matches!(error, Error::Infeasible { entities: 15, min: 15, budget: 14, .. }), "{name}: {error}");
    }
}

#[test]
fn options_outside_their_domain_are_errors() {
    let wrong: [(Box<dyn SizePolicy>, &str); 8] = [
        (Box::new(MixedDimensions { temperature: f64::NAN }), "temperature"),
        (Box::new(MagnitudeCut { keep: 1.5 }), "keep"),
        (Box::new(GrowOnly::new(GrowOnlyOptions { candidates: vec![4, 2], cut: true })), "candidates"),
        (Box::new(GrowOnly::new(GrowOnlyOptions { candidates: Vec::new(), cut: true })), "candidates"),
        (Box::new(LinUcb::new(LinUcbOptions { gamma: 2.0, ..LinUcbOptions::default() })), "gamma"),
        (Box::new(LinUcb::new(LinUcbOptions { ridge: 0.0, ..LinUcbOptions::default() })), "ridge"),
        (Box::new(LinTs::new(LinTsOptions { gamma: -0.1, ..LinTsOptions::default() })), "gamma"),
        (Box::new(LinTs::new(LinTsOptions { a: f64::NAN, ..LinTsOptions::default() })), "a"),
    ];
    for (mut policy, name) in wrong {
        let error = policy.decide(&context(&Device::cpu(), &[1; 4], &[2; 4], 40)).unwrap_err();
        assert!(matches!(error, Error::Argument { arg, .. } if arg == name), "{name}: {error}");
        refused_by_a_loop(policy, name);
    }
    // Those that a decision meets late, or never.
    let ranked = FrequencyRanked::default();
    let late: [(Box<dyn SizePolicy>, &str); 9] = [
        (Box::new(Bet::new(BetOptions { draws: 0, ..BetOptions::default() })), "draws"),
        (Box::new(LinUcb::new(LinUcbOptions { alpha: -1.0, ..LinUcbOptions::default() })), "alpha"),
        (Box::new(LinTs::new(LinTsOptions { ridge: f64::INFINITY, ..LinTsOptions::default() })), "ridge"),
        (Box::new(LinTs::new(LinTsOptions { a: -0.1, ..LinTsOptions::default() })), "a"),
        (Box::new(FrequencyRanked { alpha_users: Some(f32::NAN), ..ranked }), "alpha"),
        (Box::new(FrequencyRanked { user_share: Some(1.5), ..ranked }), "user_share"),
        (Box::new(FrequencyRanked { draws: 0, ..ranked }), "draws"),
        (Box::new(Random { profile: FrequencyRanked { draws: 0, ..ranked } }), "draws"),
        (Box::new(Random { profile: FrequencyRanked { alpha_items: Some(-1.0), ..ranked } }), "alpha"),
    ];
    late.into_iter().for_each(|(policy, name)| refused_by_a_loop(policy, name));
}

/// A loop begins with none of these: it names the option, where a search would have met it segments later.
#[cfg(feature = "search")]
#[test]
fn options_of_the_actor_critic_are_errors_when_the_loop_begins() {
    use scall_gpu::agent::AgentOptions;
    use scall_gpu::sizing::{ScallPolicy, ScallPolicyOptions};
    let (good, agent) = (ScallPolicyOptions::default(), AgentOptions::default());
    let of_agent = |agent| ScallPolicyOptions { agent, ..good };
    for (options, name) in [
        (ScallPolicyOptions { groups: 0, ..good }, "groups"),
        (ScallPolicyOptions { groups: usize::MAX, ..good }, "groups"),
        (ScallPolicyOptions { draws: 0, ..good }, "draws"),
        (ScallPolicyOptions { near_best_std: -1.0, ..good }, "near_best_std"),
        (ScallPolicyOptions { reward_range: (1.0, f32::NAN), ..good }, "reward_range"),
        (of_agent(AgentOptions { hidden: 0, ..agent }), "hidden"),
        (of_agent(AgentOptions { batch: 0, ..agent }), "batch"),
        (of_agent(AgentOptions { capacity: 0, ..agent }), "capacity"),
        (of_agent(AgentOptions { learning_steps: 0, ..agent }), "learning_steps"),
        (of_agent(AgentOptions { actor_rate: f64::NAN, ..agent }), "actor_rate"),
        (of_agent(AgentOptions { critic_rate: -1.0, ..agent }), "critic_rate"),
        (of_agent(AgentOptions { weight_decay: f32::INFINITY, ..agent }), "weight_decay"),
        (of_agent(AgentOptions { actor_max_norm: f32::NAN, ..agent }), "actor_max_norm"),
        (of_agent(AgentOptions { discount: 1.5, ..agent }), "discount"),
        (of_agent(AgentOptions { entropy_weight: -0.5, ..agent }), "entropy_weight"),
        (of_agent(AgentOptions { target_rate: 2.0, ..agent }), "target_rate"),
    ] {
        refused_by_a_loop(Box::new(ScallPolicy::new(options)), name);
    }
    // Networks of more parameters than fit any memory.
    let large = of_agent(AgentOptions { hidden: 1 << 20, ..agent });
    let loops = Scall::new(&Device::cpu(), Box::new(ScallPolicy::new(large)), loop_options());
    assert!(matches!(loops.err().unwrap(), Error::Limit { op: "ScallPolicy", .. }));
}

fn loop_options() -> ScallOptions {
    ScallOptions::new(Budget::new(Amount::MeanSize(4.0)))
}

#[track_caller]
fn refused_by_a_loop(policy: Box<dyn SizePolicy>, name: &str) {
    let error = Scall::new(&Device::cpu(), policy, loop_options()).err().unwrap();
    assert!(matches!(error, Error::Argument { arg, .. } if arg == name), "{name}: {error}");
}

#[test]
fn mixed_dimensions_follow_a_power_of_frequency() {
    let mut rng = Philox::new(4, Purpose::User);
    let (users, items) = (segment(&mut rng, 300), segment(&mut rng, 200));
    let device = Device::cpu();
    let context = context(&device, &users, &items, 4000);
    let sizes = |temperature: f64| {
        let sizes = MixedDimensions { temperature }.decide(&context).unwrap();
        assert_eq!(total(&sizes), 4000);
        let of = |frequency: &u32, size: &u32| (*frequency, *size);
        let users = users.iter().zip(&sizes.users).map(|(f, s)| of(f, s));
        users.chain(items.iter().zip(&sizes.items).map(|(f, s)| of(f, s))).collect::<Vec<_>>()
    };
    // Temperature 0 is uniform, over both sides.
    assert!(sizes(0.0).iter().all(|&(_, size)| size == 8));
    let mut halves = sizes(0.5);
    halves.sort_unstable();
    for pair in halves.windows(2) {
        assert!(pair[0].1 <= pair[1].1, "{pair:?}");
    }
    let sum: f64 = halves.iter().map(|&(n, _)| (f64::from(n) + 1.0).sqrt()).sum();
    for &(n, size) in &halves {
        let exact = 4000.0 * (f64::from(n) + 1.0).sqrt() / sum;
        assert!((f64::from(size) - exact).abs() < 1.0 || exact < 1.0, "{n}: {size}, {exact}");
    }
}

#[test]
fn rows_climb_and_stay() {
    let device = Device::cpu();
    let mut policy = GrowOnly::default();
    let mut decide = |segment, users: &[u32], dims| {
        let sizes = policy.decide(&SizingContext { segment, ..context(&device, users, &[], dims) }).unwrap();
        assert_eq!(total(&sizes), dims);
        sizes.users
    };
    // What each has earned: 8, 4, 2. They hold 14, and 2 more let the first climb on.
    assert_eq!(decide(1, &[9, 4, 0], 16), [10, 4, 2]);
    // Who is absent keeps the row, the third has earned 4 and a newcomer 2; what is left goes to the first.
    assert_eq!(decide(2, &[0, 0, 6, 1], 24), [14, 4, 4, 2]);
    // No room for all that was earned: the third comes first and takes what there is, the others keep what they have.
    assert_eq!(decide(3, &[0, 0, 90, 0, 0], 36), [14, 4, 15, 2, 1]);
    // Fewer dims than they hold: all shrink in proportion, down to one dim.
    assert_eq!(decide(4, &[1, 1, 1, 1, 1], 18), [7, 2, 7, 1, 1]);
}

/// Users and items that keep coming back, more of them in each quarter.
fn stream(rows: u32) -> Interactions {
    let mut rng = Philox::new(11, Purpose::User);
    let mut draw = |n: u32| below(rng.next_u32(), n);
    let rows: Vec<_> = (0..rows)
        .map(|row| (format!("u{}", draw(40 + row / 20)), format!("i{}", draw(50 + row / 40)), i64::from(row)))
        .collect();
    Interactions::from_rows(rows).unwrap()
}

#[test]
fn growth_without_a_cut_passes_the_budget() {
    let data = stream(4000);
    let segments = cut(&data, Cut::Equal { segments: 4 }).unwrap();
    let run = |cut| {
        let policy = Box::new(GrowOnly::new(GrowOnlyOptions { cut, ..GrowOnlyOptions::default() }));
        let options = ScallOptions { steps: 5, ..ScallOptions::new(Budget::new("mean=4".parse().unwrap())) };
        let mut scall = Scall::over(&Device::cpu(), data.clone(), segments.clone(), policy, options).unwrap();
        std::iter::from_fn(|| scall.step(|_| {}).transpose()).collect::<Result<Vec<_>>>()
    };
    let reports = run(true).unwrap();
    assert!(reports.len() == 4 && reports.iter().all(|report| report.params == report.budget_params));
    let Err(Error::OverBudget { needed, budget, unit: "parameters" }) = run(false) else {
        panic!("rows of 10 occurrences and more hold 8 dims and more");
    };
    // It asks for what the rows have earned: more than half as much again.
    assert!(needed * 2 > budget * 3, "{needed} of {budget}");
}

#[test]
fn the_best_probe_is_deployed() {
    let (users, items) = (vec![3; 60], vec![5; 40]);
    for device in devices() {
        let context = context(&device, &users, &items, 800);
        let mut policy = Bet::new(BetOptions { probes: 12, draws: 4, ..BetOptions::default() });
        let uniform = Uniform.decide(&context).unwrap();
        assert_eq!(policy.decide(&context).unwrap(), uniform);

        // The more the users get the better.
        let share = |sizes: &Sizes| sizes.users.iter().sum::<u32>().into();
        let mut judge = Judge::new(uniform.clone(), share);
        policy.search(&context, &mut judge).unwrap();
        assert_eq!((judge.asked.len(), &judge.asked[0].1), (12, &uniform));
        let best = judge.asked.iter().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap().clone();
        assert!(best.0 > share(&uniform));
        let deployed = policy.decide(&context).unwrap();
        // Of equal ones either.
        assert_eq!((&deployed.users, &deployed.items), (&best.1.users, &best.1.items));

        // Nothing beats what is deployed: it stays.
        let mut judge = Judge::new(deployed.clone(), |sizes: &Sizes| f64::from(u8::from(sizes.users == best.1.users)));
        policy.search(&SizingContext { segment: 2, ..context }, &mut judge).unwrap();
        assert_eq!(policy.decide(&context).unwrap(), deployed);
    }
}

/// One after the other, or all at once on more threads than this machine may have.
#[test]
fn probes_side_by_side_find_the_same() {
    let data = stream(3000);
    let segments = cut(&data, Cut::Equal { segments: 3 }).unwrap();
    let threads = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
    for device in devices() {
        let run = |at_once| {
            let options = ScallOptions {
                steps: 12,
                probe: ProbeOptions { steps: 12, at_once, ..ProbeOptions::default() },
                ..ScallOptions::new(Budget::new("mean=4".parse().unwrap()))
            };
            let policy = Bet::new(BetOptions { probes: 6, draws: 2, ..BetOptions::default() });
            let mut scall = Scall::over(&device, data.clone(), segments.clone(), Box::new(policy), options).unwrap();
            let (mut found, mut heard) = (Vec::new(), Vec::new());
            let mut progress = |phase| {
                if let Phase::Search { probes } = phase {
                    heard.push(probes);
                }
            };
            while let Some(report) = scall.step(&mut progress).unwrap() {
                found.push((report.action, report.loss, report.test_candidates, report.all_candidates));
            }
            (found, heard)
        };
        let (found, heard) = run(1);
        assert_eq!(heard, [[1, 2, 3, 4, 5, 6]; 2].concat());
        assert!(found.iter().any(|(action, ..)| action.is_some()), "no draw was better than uniform sizes");
        assert_eq!(threads.install(|| run(4)), (found, heard), "{}", device.describe());
    }
}
