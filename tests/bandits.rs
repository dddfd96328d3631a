//! The linear bandits: that they find which sizes are good, follow a change, and explore as they say.

#[path = "common/judge.rs"]
mod judge;

use judge::{Judge, context};
use scall_gpu::device::Device;
use scall_gpu::sizing::{LinTs, LinTsOptions, LinUcb, LinUcbOptions, SizePolicy, Sizes, SizingContext};

/// How many times the mean the ten most frequent of 100 users hold.
fn head(sizes: &Sizes) -> f64 {
    let sum = |sizes: &[u32]| f64::from(sizes.iter().sum::<u32>());
    sum(&sizes.users[..10]) / 10.0 / ((sum(&sizes.users) + sum(&sizes.items)) / 200.0)
}

/// Lets a bandit search and decide, where quality falls with the distance of the head from `good` in octaves. Returns
/// that distance, averaged over the last three decisions.
fn play(policy: &mut dyn SizePolicy, seed: u64, segments: std::ops::Range<usize>, good: f64) -> f64 {
    let users: Vec<u32> = (0..100).map(|user| 400 / (1 + user)).collect();
    let items = users.clone();
    let device = Device::cpu();
    let off = |sizes: &Sizes| (head(sizes) / good).log2();
    let mut distances = Vec::new();
    for t in segments {
        let context = SizingContext { segment: t, seed, ..context(&device, &users, &items, 4000) };
        let deployed = policy.decide(&context).unwrap();
        policy.search(&context, &mut Judge::new(deployed, |sizes| 0.5 - 0.01 * off(sizes).powi(2))).unwrap();
        distances.push(off(&policy.decide(&context).unwrap()).abs());
    }
    distances.iter().rev().take(3).sum::<f64>() / 3.0
}

/// How far a bandit is off after it has learned the one level, and then the other, on average over seeds. Uniform sizes
/// are 1.3 octaves off, before and after the optimum moves.
fn learned(bandit: impl Fn() -> Box<dyn SizePolicy>) -> [f64; 2] {
    let mut sums = [0.0; 2];
    for seed in 0..4 {
        let mut bandit = bandit();
        sums[0] += play(&mut *bandit, seed, 0..12, 2.5) / 4.0;
        sums[1] += play(&mut *bandit, seed, 12..24, 0.4) / 4.0;
    }
    sums
}

#[test]
fn bandits_find_the_good_level_and_follow_it() {
    let linucb = |gamma| -> Box<dyn SizePolicy> {
        Box::new(LinUcb::new(LinUcbOptions { probes: 10, gamma, ..LinUcbOptions::default() }))
    };
    let lints = |gamma| -> Box<dyn SizePolicy> {
        Box::new(LinTs::new(LinTsOptions { probes: 10, gamma, ..LinTsOptions::default() }))
    };
    for (name, bandit) in [("linucb", &linucb as &dyn Fn(f64) -> Box<dyn SizePolicy>), ("lints", &lints)] {
        let (forgets, remembers) = (learned(|| bandit(0.95)), learned(|| bandit(1.0)));
        assert!(forgets[0] < 0.5 && forgets[1] < 0.5, "{name}, octaves off: {forgets:?}");
        let late = remembers[1] > forgets[1];
        assert!(remembers[0] < 0.5 && late, "{name}, octaves off: {remembers:?}, with a discount {forgets:?}");
    }
}

/// The draw is what explores: each segment and seed tries other sizes, the same ones every time, and none at all where
/// the draw has no width and nothing is known.
#[test]
fn thompson_sampling_tries_what_it_draws() {
    let users: Vec<u32> = (0..100).map(|user| 400 / (1 + user)).collect();
    let device = Device::cpu();
    let tried = |a: f64, seed: u64, segment: usize| {
        let context = SizingContext { seed, segment, ..context(&device, &users, &users, 4000) };
        let mut policy = LinTs::new(LinTsOptions { a, ..LinTsOptions::default() });
        let mut judge = Judge::new(policy.decide(&context).unwrap(), |_| 0.5);
        policy.search(&context, &mut judge).unwrap();
        judge.asked.into_iter().map(|(_, sizes)| sizes).collect::<Vec<_>>()
    };
    let one = tried(0.3, 3, 1);
    assert_eq!((one.len(), &one), (8, &tried(0.3, 3, 1)));
    assert!(one[1..].iter().all(|sizes| *sizes != one[0]), "a probe of what is deployed");
    assert!(one != tried(0.3, 4, 1) && one != tried(0.3, 3, 2));
    assert!(tried(0.0, 3, 1).iter().all(|sizes| *sizes == one[0]));
}
