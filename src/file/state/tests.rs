use super::*;

#[test]
fn entries_are_what_was_put_in() {
    let mut state = State::default();
    state.put("f", vec![f64::NAN, -0.0]);
    state.put("bits", [1u16, 65_535]);
    state.put("none", Vec::<u64>::new());
    state.put_text("name", "né");
    assert_eq!(state, state.clone());
    assert_eq!(state.numbers::<u16>("bits").unwrap(), [1, 65_535]);
    assert_eq!(state.text("name").unwrap(), "né");
    assert!(state.has("none") && state.numbers::<u64>("none").unwrap().is_empty());
    assert_eq!(state.array::<f64, 2>("f").unwrap().map(f64::to_bits), [f64::NAN, -0.0].map(f64::to_bits));
    assert_eq!(Numbers::from([1u32, 258]).to_le_bytes()[..], [1, 0, 0, 0, 2, 1, 0, 0]);
    // Bits count: zeros of both signs are two numbers, and so are numbers of two types.
    assert_ne!(Numbers::from([0.0f32]), Numbers::from([-0.0f32]));
    assert_ne!(Numbers::from([0u32]), Numbers::from([0.0f32]));
    let names: Vec<&str> = state.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["bits", "f", "name", "none"]);
}

#[test]
fn states_within_states_come_back() {
    let inner = |n: u32| {
        let mut state = State::default();
        state.put("n", [n]);
        state
    };
    let mut policy = inner(1);
    policy.put_state("agent", inner(2));
    let mut state = inner(0);
    // Names that stand next to the one that is taken out.
    for (name, n) in [("policy.", 3u32), ("policy0", 4), ("polic", 5), ("policy/", 6)] {
        state.put(name, [n]);
    }
    let mut whole = state.clone();
    whole.put_state("policy", policy.clone());
    let mut taken = whole.take_state("policy");
    assert_eq!(taken.remove("").unwrap(), Numbers::from([6u32]));
    state.remove("policy/");
    assert_eq!((taken.clone(), whole.clone()), (policy, state));
    let error = taken.take_state("agent").one::<u64>("n").unwrap_err().to_string();
    assert_eq!(error, "state `policy/agent/n`: expected numbers (u64), found 1 numbers (u32)");
    assert!(whole.take_state("policy").is_empty());
}

#[test]
fn what_is_wrong_is_named() {
    let mut state = State::default();
    state.put("rates", [0.5f32, f32::NAN]);
    state.put("text", [0xFFu8]);
    let text = |error: Error| error.to_string();
    assert_eq!(text(state.numbers::<f32>("x").unwrap_err()), "state `x`: expected numbers (f32), found none");
    assert!(text(state.text("text").unwrap_err()).starts_with("state `text`: expected UTF-8 text, found invalid"));
    assert!(state.only(&["rates", "text", "more"]).is_ok());
    assert_eq!(
        text(state.only(&["rates"]).unwrap_err()),
        "state `text`: expected nothing of this name, found 1 numbers (u8)"
    );
    let rates = state.numbers::<f32>("rates").unwrap();
    let error = state.check("rates", rates, f32::is_finite, "finite").unwrap_err();
    assert_eq!(text(error), "state `rates`: expected finite, found NaN");
}
