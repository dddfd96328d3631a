//! Files as they are written, damaged, and edited.

use super::*;
use crate::testing::signed;

const STATE: usize = 4;

fn step(agent: &mut Agent, i: u32) {
    let state = signed(STATE, i);
    let action = agent.act(&state).unwrap().action;
    let (reward, next_state) = (action[0] - action[1], signed(STATE, i + 1));
    agent.observe(Transition { state, action, reward, next_state }).unwrap();
}

fn agent(steps: u32) -> Agent {
    let rates = AgentOptions { actor_rate: 1.0 / 3.0e3, critic_rate: 0.001, weight_decay: 0.2, ..Default::default() };
    let rates = AgentOptions { actor_max_norm: 0.7, discount: 0.9, entropy_weight: 0.1, target_rate: 0.3, ..rates };
    let options = AgentOptions { hidden: 6, capacity: 15, batch: 5, warm_up: 7, learning_steps: 2, seed: 9, ..rates };
    let mut agent = Agent::new(STATE, options).unwrap();
    (0..steps).for_each(|i| step(&mut agent, i));
    agent
}

/// New, with a few transitions, and with a memory that has wrapped.
#[test]
fn a_loaded_agent_goes_on_bit_for_bit() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("agent.safetensors");
    for steps in [0, 1, 9, 40] {
        let mut saved = agent(steps);
        saved.save(&file).unwrap();
        let mut loaded = Agent::load(&file, STATE).unwrap();
        assert_eq!(format!("{loaded:?}"), format!("{saved:?}"));
        assert_eq!(loaded.replay, saved.replay);
        for i in steps..steps + 20 {
            assert_eq!(loaded.to_bytes(), saved.to_bytes());
            step(&mut saved, i);
            step(&mut loaded, i);
        }
        assert_eq!(loaded.mean_action(&[0.5; STATE]).unwrap(), saved.mean_action(&[0.5; STATE]).unwrap());
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
}

/// Two threads, one path: after each save there is a whole file, one of theirs.
#[test]
fn two_threads_save_to_one_path() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("agent.safetensors");
    let agents = [agent(0), agent(9)];
    let bytes = agents.each_ref().map(Agent::to_bytes);
    std::thread::scope(|scope| {
        for own in agents {
            let (bytes, file) = (&bytes, &file);
            scope.spawn(move || {
                for _ in 0..100 {
                    own.save(file).unwrap();
                    assert!(bytes.contains(&Agent::load(file, STATE).unwrap().to_bytes()));
                }
            });
        }
    });
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left next to it");
}

#[test]
fn another_layout_is_refused() {
    let error = Agent::from_bytes(&agent(3).to_bytes(), 5).unwrap_err().to_string();
    assert_eq!(error, "Agent::from_bytes: `bytes` must be an agent for states of 5 values, got one for 4");
}

#[test]
fn damage_is_refused() {
    let bytes = agent(9).to_bytes();
    // Every length, and every bit position somewhere, header and all tensors alike.
    for len in (0..bytes.len()).step_by(37).chain([bytes.len() - 1]) {
        assert!(Agent::from_bytes(&bytes[..len], STATE).is_err(), "{len} bytes");
    }
    for at in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(Agent::from_bytes(&damaged, STATE).is_err(), "byte {at}");
    }
    assert!(Agent::from_bytes(&[&bytes[..], &[0]].concat(), STATE).is_err());
}

/// Files that are whole, with a good checksum, but not an agent.
#[test]
fn other_contents_are_refused() {
    let bytes = agent(9).to_bytes();
    let refusal = |edit: &dyn Fn(&mut Tensors)| {
        let mut tensors = Tensors::default();
        for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
            tensors.add(name, view.dtype(), view.shape().to_vec(), view.data().to_vec());
        }
        tensors.0.remove("checksum");
        edit(&mut tensors);
        tensors.add_u64("checksum", &[tensors.checksum()]);
        Agent::from_bytes(&tensors.bytes(), STATE).map(drop)
    };
    assert!(refusal(&|_| ()).is_ok());
    let set = |t: &mut Tensors, name: &str, at: usize, value: &[u8]| {
        t.0.get_mut(name).unwrap().2[at..at + value.len()].copy_from_slice(value);
    };
    type Edit<'a> = &'a dyn Fn(&mut Tensors);
    let cases: [(Edit<'_>, &str); 9] = [
        (&|t| drop(t.0.remove("critic2.1.weight.m2")), "a tensor \"critic2.1.weight.m2\""),
        (&|t| drop(t.0.remove("replay.reward")), "\"replay.state\" as f32 [0, 4]"),
        (&|t| drop(t.0.remove("counters")), "a tensor \"counters\""),
        (&|t| set(t, "target1.0.bias", 4, &f32::NAN.to_le_bytes()), "finite values in \"target1.0.bias\""),
        (&|t| set(t, "counters", 0, b"scallac9"), "an agent of this version"),
        (&|t| set(t, "counters", 16, &[7]), "\"actor.0.weight\" as f32 [4, 7]"),
        (&|t| set(t, "counters", 23, &[0xFF]), "options in their domain"),
        (&|t| set(t, "counters", 24, &[3]), "at most 3 transitions"),
        (&|t| set(t, "rates", 0, &(-1.0f64).to_le_bytes()), "options in their domain"),
    ];
    for (edit, message) in cases {
        let error = refusal(edit).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn files_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("agent");
    assert!(matches!(Agent::load(&file, STATE), Err(Error::Io { .. })));
    fs::write(&file, b"not an agent").unwrap();
    let error = Agent::load(&file, STATE).unwrap_err();
    assert!(matches!(&error, Error::BadFile { file: named, .. } if *named == file), "{error}");
    assert!(matches!(agent(0).save(&directory.path().join("no/such")), Err(Error::Io { .. })));
}
