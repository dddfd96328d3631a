use super::*;
use crate::agent::AgentOptions;
use crate::device::Device;
use crate::sizing::Distribution;

/// A world where it pays to give the users a quarter of the dims and the most frequent items the most.
struct Planted {
    deployed: Sizes,
    probes: u32,
}

fn quality(sizes: &Sizes) -> f64 {
    let total = |sizes: &[u32]| sizes.iter().map(|&size| f64::from(size)).sum::<f64>();
    let (users, items) = (total(&sizes.users), total(&sizes.items));
    let share = users / (users + items);
    // How much of the items' dims the first half has: the frequencies below fall with the index.
    let top = total(&sizes.items[..sizes.items.len() / 2]) / items;
    0.2 - 0.1 * (share - 0.25).powi(2) - 0.1 * (top - 0.8).powi(2)
}

fn outcome(quality: f64, of_users: Vec<f32>) -> Outcome {
    Outcome { quality, of_users, user_mean: vec![0.1; 16], item_mean: vec![-0.1; 16] }
}

impl Probe for Planted {
    fn run(&mut self, sizes: &Sizes) -> Result<Outcome> {
        self.probes += 1;
        Ok(outcome(quality(sizes), Vec::new()))
    }

    fn deployed(&self) -> &Sizes {
        &self.deployed
    }
}

fn follow(options: ScallPolicyOptions, seed: u64, segments: usize) -> (Vec<Sizes>, u32) {
    let mut probes = 0;
    let deployed = follow_probes(options, seed, segments, |policy, last, deployed| {
        let mut planted = Planted { deployed, probes: 0 };
        policy.search(last, &mut planted).unwrap();
        probes += planted.probes;
    });
    (deployed, probes)
}

/// What is deployed on some segments, where `search` lets the policy search on each with what it had there.
fn follow_probes(
    options: ScallPolicyOptions,
    seed: u64,
    segments: usize,
    mut search: impl FnMut(&mut ScallPolicy, &SizingContext<'_>, Sizes),
) -> Vec<Sizes> {
    let device = Device::cpu();
    let users: Vec<u32> = (0..60).map(|u| 60 - u).collect();
    let items: Vec<u32> = (0..40).map(|i| 200 / (i + 1)).collect();
    let mut policy = ScallPolicy::new(options);
    let context = SizingContext {
        device: &device,
        segment: 0,
        seed,
        users: &users,
        items: &items,
        dims: 400,
        d_min: 1,
        d_max: 16,
        rows: None,
    };
    let mut deployed = vec![Uniform.decide(&context).unwrap()];
    for segment in 1..=segments {
        search(&mut policy, &SizingContext { segment: segment - 1, ..context }, deployed[segment - 1].clone());
        let sizes = policy.decide(&SizingContext { segment, ..context }).unwrap();
        assert_eq!(sizes.users.iter().chain(&sizes.items).sum::<u32>(), 400);
        assert_eq!(policy.admit(&SizingContext { segment, ..context }).unwrap(), sizes);
        deployed.push(sizes);
    }
    deployed
}

/// A world of 300 test users a segment, each of whom is ranked a little better or worse by luck: the mean of them is
/// off by 0.8 %, a ratio of two such means by 1.1 %. What is really gained over uniform sizes follows from the sizes.
struct Noisy {
    deployed: Sizes,
    gain: fn(&Sizes) -> f64,
    rng: Philox,
}

impl Probe for Noisy {
    fn run(&mut self, sizes: &Sizes) -> Result<Outcome> {
        let quality = 0.2 * (1.0 + (self.gain)(sizes)) as f32;
        let of_users: Vec<f32> = (0..300)
            .map(|user| {
                let luck = standard_normal_action(&mut self.rng)[0] * 0.008 * 0.2 * 300f32.sqrt();
                quality + (user % 5) as f32 / 20.0 - 0.1 + luck
            })
            .collect();
        Ok(outcome(of_users.iter().map(|&q| f64::from(q)).sum::<f64>() / 300.0, of_users))
    }

    fn deployed(&self) -> &Sizes {
        &self.deployed
    }
}

/// What is deployed on six segments after the first, for 20 seeds.
fn deployed_in_noise(gain: fn(&Sizes) -> f64) -> Vec<Vec<Sizes>> {
    let of_seed = |seed: u64| {
        let mut deployed = follow_probes(quick(), seed, 6, |policy, last, deployed| {
            let rng = Philox::substream(seed, Purpose::User, last.segment as u32);
            policy.search(last, &mut Noisy { deployed, gain, rng }).unwrap();
        });
        deployed.split_off(1)
    };
    (0..20).map(of_seed).collect()
}

#[test]
fn where_sizes_decide_nothing_they_stay_uniform() {
    let deployed = deployed_in_noise(|_| 0.0);
    let other = deployed.iter().flatten().filter(|sizes| sizes.action.is_some()).count();
    assert!(other <= 8, "{other} of 120 segments");
}

#[test]
fn what_is_eight_percent_better_is_found() {
    // The users' share of uniform sizes is 0.6, where the first term is 0.0094.
    let gain = |sizes: &Sizes| {
        let share = f64::from(sizes.users.iter().sum::<u32>()) / 400.0;
        0.0894 * libm::exp(-((share - 0.3) / 0.2).powi(2)) - 0.0094
    };
    let gains: Vec<[f64; 6]> = deployed_in_noise(gain)
        .iter()
        .map(|segments| std::array::from_fn(|t| segments[t].action.map_or(0.0, |_| gain(&segments[t]))))
        .collect();
    assert!(gains.iter().all(|gains| gains[5] > 0.03), "{gains:?}");
    let mean = gains.iter().map(|gains| gains[5]).sum::<f64>() / 20.0;
    assert!(mean > 0.05, "{mean}: {gains:?}");
}

fn quick() -> ScallPolicyOptions {
    let agent = AgentOptions { hidden: 32, ..AgentOptions::default() };
    ScallPolicyOptions { agent, groups: 8, draws: 10, probes: 8, ..ScallPolicyOptions::default() }
}

#[test]
fn what_pays_is_found_and_deployed() {
    let (deployed, probes) = follow(quick(), 3, 5);
    // The reference, the proposals and the mean action a segment; uniform sizes too, once they are not the reference.
    assert_eq!(probes, 5 * (1 + 8 + 1) + 4);
    let qualities: Vec<f64> = deployed.iter().map(quality).collect();
    let (first, last) = (0.2 - qualities[0], 0.2 - qualities[5]);
    assert!(last < 0.25 * first, "{qualities:?}");
    assert!(qualities[1..].iter().all(|&quality| quality > qualities[0]), "{qualities:?}");
    assert!(deployed[5].action.is_some());
}

#[test]
fn the_papers_policy_deploys_its_mean_action() {
    let options = ScallPolicyOptions { agent: quick().agent, groups: 8, draws: 10, ..ScallPolicyOptions::paper(14) };
    let (deployed, probes) = follow(options, 3, 2);
    assert!(probes <= 2 * (1 + 14) && probes > 2 * (1 + 10), "a search takes more than ten steps: {probes}");
    let action = deployed[2].action.unwrap();
    let (least, largest) = Distribution::PowerLaw.alpha_range();
    assert!((least..=largest).contains(&action.alpha_items) && (0.0..=1.0).contains(&action.user_share));
}

#[test]
fn one_seed_gives_one_search() {
    let run = |seed| follow(quick(), seed, 2).0;
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

/// What is probed together, round after round.
struct Rounds(Planted, Vec<usize>);

impl Probe for Rounds {
    fn run(&mut self, sizes: &Sizes) -> Result<Outcome> {
        self.0.run(sizes)
    }

    fn run_all(&mut self, sizes: &[Sizes]) -> Result<Vec<Outcome>> {
        self.1.push(sizes.len());
        sizes.iter().map(|sizes| self.0.run(sizes)).collect()
    }

    fn deployed(&self) -> &Sizes {
        self.0.deployed()
    }
}

#[test]
fn proposals_of_a_round_are_drawn_from_one_state_and_probed_together() {
    let device = Device::cpu();
    let (users, items) = (vec![3; 60], vec![5; 40]);
    let (users, items) = (&users[..], &items[..]);
    let context = SizingContext {
        device: &device,
        segment: 0,
        seed: 3,
        users,
        items,
        dims: 400,
        d_min: 1,
        d_max: 16,
        rows: None,
    };
    let search = |proposals_at_once| {
        let mut policy = ScallPolicy::new(ScallPolicyOptions { proposals_at_once, ..quick() });
        let planted = Planted { deployed: Uniform.decide(&context).unwrap(), probes: 0 };
        let mut rounds = Rounds(planted, Vec::new());
        policy.search(&context, &mut rounds).unwrap();
        let replay = policy.agent().unwrap().replay();
        let begins: Vec<Vec<f32>> = replay.iter().map(|transition| transition.state.clone()).collect();
        assert_eq!(rounds.0.probes, 1 + 8 + 1);
        (rounds.1, begins)
    };
    // The reference, eight proposals, the mean action.
    let (one, begins) = search(1);
    assert_eq!(one, [1; 10]);
    assert!(begins.windows(2).all(|two| two[0] != two[1]));
    let (rounds, begins) = search(3);
    assert_eq!(rounds, [1, 3, 3, 2, 1]);
    for (number, two) in begins.windows(2).enumerate() {
        assert_eq!(two[0] == two[1], (number + 1) % 3 != 0, "{number}");
    }
    let mut policy = ScallPolicy::new(ScallPolicyOptions { proposals_at_once: 0, ..quick() });
    assert!(policy.check().unwrap_err().to_string().contains("`proposals_at_once` must be at least 1"));
    policy.options.proposals_at_once = 1;
    policy.check().unwrap();
}

#[test]
fn shapes_are_spread_over_their_range() {
    let policy = ScallPolicy::new(quick());
    let alphas = [0.0, 0.5, 1.0].map(|entry| policy.action([0.5, entry, 0.5]).alpha_users);
    assert!((alphas[1] - (0.1f32 * 30.0).sqrt()).abs() < 1e-3, "{alphas:?}");
    assert_eq!([alphas[0], alphas[2]], [0.1, 30.0]);
    let paper = ScallPolicy::new(ScallPolicyOptions::paper(1));
    assert_eq!(paper.action([0.5, 0.5, 0.5]).alpha_items, Distribution::PowerLaw.alpha(0.5));
    // A range that begins at 0 has no logarithm.
    let linear = ScallPolicyOptions { distribution: Distribution::LogNormal, ..quick() };
    assert_eq!(ScallPolicy::new(linear).action([0.5, 0.5, 0.5]).alpha_items, 0.25);
}

#[test]
fn the_state_has_ranges_as_they_would_be_without_bounds() {
    let device = Device::cpu();
    let (users, items) = (vec![1; 40], vec![1; 40]);
    let context = SizingContext {
        device: &device,
        segment: 1,
        seed: 3,
        users: &users,
        items: &items,
        dims: 320,
        d_min: 1,
        d_max: 8,
        rows: None,
    };
    let mut policy = ScallPolicy::new(quick());
    // The steepest profile of the range would give its first row far more than 8; the flattest gives all the same.
    let (sizes, [users, items]) = policy.sizes(&context, [0.5, 0.0, 1.0]).unwrap();
    assert_eq!((sizes.users.iter().max(), sizes.users.iter().min()), (Some(&8), Some(&1)));
    assert!(users > 1.5 && items < 0.5, "{users} {items}");
    policy.chosen = Some([0.5, 0.0, 1.0]);
    policy.decide(&context).unwrap();
    assert_eq!(policy.ranges, [users, items]);
    let state = policy.state(&context, policy.ranges, None).unwrap();
    assert_eq!(state[state.len() - 2..], [users, items]);
}

#[test]
fn a_segment_without_anything_to_gain_teaches_nothing() {
    struct Nothing(Sizes);
    impl Probe for Nothing {
        fn run(&mut self, _: &Sizes) -> Result<Outcome> {
            Ok(outcome(0.0, Vec::new()))
        }
        fn deployed(&self) -> &Sizes {
            &self.0
        }
    }
    let device = Device::cpu();
    let (users, items) = ([1, 2, 3], [4, 0]);
    let (users, items) = (&users[..], &items[..]);
    let context =
        SizingContext { device: &device, segment: 0, seed: 0, users, items, dims: 20, d_min: 1, d_max: 16, rows: None };
    let uniform = Uniform.decide(&context).unwrap();
    let mut policy = ScallPolicy::new(quick());
    policy.search(&context, &mut Nothing(uniform.clone())).unwrap();
    assert_eq!(policy.decide(&context).unwrap(), uniform);
}
