//! Policies that are saved and restored: the restored one decides what the other one would have.

use scall_gpu::device::Device;
use scall_gpu::file::{Numbers, State};
use scall_gpu::rng::{Philox, Purpose, below};
use scall_gpu::sizing::{
    Bet, BetOptions, FrequencyRanked, GrowOnly, LinTs, LinTsOptions, LinUcb, LinUcbOptions, MagnitudeCut,
    MixedDimensions, Outcome, Probe, Random, SizePolicy, Sizes, SizingContext, Uniform,
};
use scall_gpu::{Error, Result};

use rand::Rng;

const D_MAX: u32 = 16;

/// All policies, new.
fn policies() -> Vec<Box<dyn SizePolicy>> {
    let ranked = FrequencyRanked { draws: 2, ..FrequencyRanked::default() };
    vec![
        Box::new(Uniform),
        Box::new(ranked),
        Box::new(Random { profile: ranked }),
        Box::new(MixedDimensions::default()),
        Box::new(MagnitudeCut::default()),
        Box::new(GrowOnly::default()),
        Box::new(Bet::new(BetOptions { probes: 3, draws: 2, ..BetOptions::default() })),
        Box::new(LinUcb::new(LinUcbOptions { probes: 3, ..LinUcbOptions::default() })),
        Box::new(LinTs::new(LinTsOptions { probes: 3, ..LinTsOptions::default() })),
        #[cfg(feature = "search")]
        scall(scall_gpu::sizing::Deploy::Best),
        #[cfg(feature = "search")]
        scall(scall_gpu::sizing::Deploy::Mean),
    ]
}

#[cfg(feature = "search")]
fn scall(deploy: scall_gpu::sizing::Deploy) -> Box<dyn SizePolicy> {
    use scall_gpu::agent::AgentOptions;
    use scall_gpu::sizing::{ScallPolicy, ScallPolicyOptions};
    let agent = AgentOptions { hidden: 8, warm_up: 4, ..AgentOptions::default() };
    let options = ScallPolicyOptions { agent, groups: 4, draws: 2, probes: 4, deploy, ..ScallPolicyOptions::default() };
    Box::new(ScallPolicy::new(options))
}

/// The more the first users get the better; what is deployed is in the middle.
struct Judge(Sizes);

impl Probe for Judge {
    fn run(&mut self, sizes: &Sizes) -> Result<Outcome> {
        let head = f64::from(sizes.users.iter().take(5).sum::<u32>());
        let mean = |sizes: &[u32]| vec![sizes.len() as f32 / 64.0; D_MAX as usize];
        let (user_mean, item_mean) = (mean(&sizes.users), mean(&sizes.items));
        Ok(Outcome { quality: head / 80.0, of_users: Vec::new(), user_mean, item_mean })
    }

    fn deployed(&self) -> &Sizes {
        &self.0
    }
}

/// A policy's next answers: a search, a decision, an admission.
fn go_on(policy: &mut dyn SizePolicy, segment: usize, deployed: Option<&Sizes>) -> [Sizes; 2] {
    let device = Device::cpu();
    let mut rng = Philox::substream(5, Purpose::User, segment as u32);
    let mut frequencies = |n: usize| (0..n).map(|_| below(rng.next_u32(), 30)).collect::<Vec<u32>>();
    let (users, items) = (frequencies(20 + 3 * segment), frequencies(15 + 2 * segment));
    let entities = (users.len() + items.len()) as u64;
    let (dims, d_min) = (6 * entities, 1);
    let context = SizingContext {
        device: &device,
        segment,
        seed: 3,
        users: &users,
        items: &items,
        dims,
        d_min,
        d_max: D_MAX,
        rows: None,
    };
    if let Some(deployed) = deployed {
        let known = (deployed.users.len(), deployed.items.len());
        let last = SizingContext {
            segment: segment - 1,
            users: &users[..known.0],
            items: &items[..known.1],
            dims: 6 * (known.0 + known.1) as u64,
            ..context
        };
        policy.search(&last, &mut Judge(deployed.clone())).unwrap();
    }
    let decided = policy.decide(&context).unwrap();
    let more: Vec<u32> = users.iter().copied().chain([7, 0]).collect();
    let admitted = policy.admit(&SizingContext { users: &more, dims: 6 * (entities + 2), ..context }).unwrap();
    [decided, admitted]
}

#[test]
fn a_restored_policy_goes_on_with_the_same_bits() {
    for (which, mut policy) in policies().into_iter().enumerate() {
        let name = policy.name();
        let mut deployed: Option<Sizes> = None;
        for segment in 0..6 {
            let state = policy.save().unwrap();
            let mut restored = policies().swap_remove(which);
            restored.restore(&state).unwrap();
            assert_eq!(restored.save().unwrap(), state, "{name}");
            // One that has learned something else forgets it.
            let mut other = policies().swap_remove(which);
            let first = go_on(&mut *other, 0, None);
            go_on(&mut *other, 1, Some(&first[1]));
            other.restore(&state).unwrap();

            let answers = go_on(&mut *policy, segment, deployed.as_ref());
            assert_eq!(go_on(&mut *restored, segment, deployed.as_ref()), answers, "{name}, segment {segment}");
            assert_eq!(go_on(&mut *other, segment, deployed.as_ref()), answers, "{name}, segment {segment}");
            assert_eq!(restored.save().unwrap(), policy.save().unwrap(), "{name}");
            deployed = Some(answers[1].clone());
        }
        let learns = ["bet", "linucb", "lints", "grow", "scall"].contains(&name);
        assert_eq!(!policy.save().unwrap().is_empty(), learns, "{name}");
    }
}

/// A policy that has been through a few segments.
fn learned(which: usize) -> Box<dyn SizePolicy> {
    let mut policy = policies().swap_remove(which);
    let first = go_on(&mut *policy, 0, None);
    go_on(&mut *policy, 1, Some(&first[1]));
    policy
}

#[test]
fn other_states_are_refused_and_change_nothing() {
    for which in 0..policies().len() {
        let mut policy = learned(which);
        let (name, own) = (policy.name(), policy.save().unwrap());
        for other in 0..policies().len() {
            let foreign = learned(other);
            let state = foreign.save().unwrap();
            // An empty state is that of a policy that has not learned yet.
            if foreign.name() != name && !state.is_empty() {
                let error = policy.restore(&state).unwrap_err();
                assert!(matches!(error, Error::BadState { .. }), "{name} from {}: {error}", foreign.name());
                assert_eq!(policy.save().unwrap(), own, "{name} after {}", foreign.name());
            }
        }
        // Each entry one number short, of another type, or gone.
        let entries: Vec<(String, Numbers)> = own.iter().map(|(name, of)| (name.to_owned(), of.clone())).collect();
        for damaged in 0..entries.len() {
            for damage in 0..3 {
                let mut state = State::default();
                for (i, (name, numbers)) in entries.iter().enumerate() {
                    match (i == damaged, damage) {
                        (false, _) => state.put(name.clone(), numbers.clone()),
                        (true, 0) => state.put(name.clone(), shorter(numbers)),
                        (true, 1) => state.put(name.clone(), [-1i64]),
                        (true, _) => {}
                    }
                }
                // Sizes and counts of fewer rows are those of an earlier time, and an action need not be there.
                let entry = entries[damaged].0.as_str();
                let may = damage == 0 && name == "grow" && entry != "segment" || damage == 2 && entry == "chosen";
                match policy.restore(&state) {
                    Ok(()) => assert!(may, "{name}: {entry} with damage {damage}"),
                    Err(error) => {
                        assert!(matches!(error, Error::BadState { .. }), "{name}: {entry}: {error}");
                        assert_eq!(policy.save().unwrap(), own, "{name}: {entry}");
                    }
                }
                policy.restore(&own).unwrap();
            }
        }
    }
}

fn shorter(numbers: &Numbers) -> Numbers {
    match numbers.clone() {
        Numbers::U8(mut numbers) => numbers.pop().map(|_| numbers.into()).unwrap(),
        Numbers::U32(mut numbers) => numbers.pop().map(|_| numbers.into()).unwrap(),
        Numbers::U64(mut numbers) => numbers.pop().map(|_| numbers.into()).unwrap(),
        Numbers::F32(mut numbers) => numbers.pop().map(|_| numbers.into()).unwrap(),
        Numbers::F64(mut numbers) => numbers.pop().map(|_| numbers.into()).unwrap(),
        other => panic!("{other:?}"),
    }
}
