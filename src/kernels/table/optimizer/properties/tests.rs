use super::super::oracle::ALL;
use super::*;
use crate::testing::assert_same;

#[test]
fn every_optimizer_is_tested_and_read_back() {
    assert!(ALL.iter().map(Optimizer::name).eq(Optimizer::names()), "{ALL:?}");
    for optimizer in ALL {
        let (text, recipe) = (optimizer.to_string(), optimizer.recipe());
        assert_eq!(text.parse::<Optimizer>().unwrap(), *optimizer, "{text}");
        assert_eq!(recipe.constants.len(), optimizer.constants().len());
        let values: Vec<f32> = optimizer.constants().map(|(_, value)| value).collect();
        let mut given = values.iter();
        let same = Optimizer::from_recipe(recipe, |_| given.next().copied().ok_or(())).unwrap();
        assert_eq!(same, *optimizer);
        // Two buffers are bound, and a row has one number.
        assert!(recipe.state.len() <= 2 && recipe.state_size().per_row <= 1, "{text}");
        assert!(recipe.state.is_sorted_by_key(|state| state.of_row), "{text}: numbers of rows come last");
        // By the name alone: the defaults, all within their domains.
        let named: Optimizer = optimizer.name().parse().unwrap();
        assert_eq!(named.recipe().name, recipe.name);
        let defaults: Vec<f32> = recipe.constants.iter().map(|constant| constant.default).collect();
        assert_same(&text, &named.constants().map(|(_, value)| value).collect::<Vec<_>>(), &defaults);
        assert_eq!(recipe.constants.iter().filter(|constant| constant.kind.slot == Slot::LearningRate).count(), 1);
        // No two constants in one place.
        for (number, constant) in recipe.constants.iter().enumerate() {
            assert!(recipe.constants[..number].iter().all(|other| other.kind.slot != constant.kind.slot), "{text}");
        }
    }
}

#[test]
fn numbers_that_are_hard_to_write_are_read_back() {
    for rate in [f32::MIN_POSITIVE, 1.0 / 3.0, 1e-45, f32::MAX, -0.0] {
        let optimizer = Optimizer::Sgd { learning_rate: rate };
        let Optimizer::Sgd { learning_rate } = optimizer.to_string().parse().unwrap() else { panic!("{optimizer}") };
        assert_eq!(learning_rate.to_bits(), rate.to_bits());
    }
    let adam_w: Optimizer = "adamw:decoupled_weight_decay=0.5,beta1=0".parse().unwrap();
    let want = Optimizer::AdamW { learning_rate: 1e-3, beta1: 0.0, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.5 };
    assert_eq!(adam_w, want);
    assert!(matches!("nesterov".parse(), Ok(Optimizer::Momentum { nesterov: true, .. })));
}

#[test]
fn texts_that_are_no_optimizer_are_errors() {
    let names = Optimizer::names().collect::<Vec<_>>().join(", ");
    for (text, message) in [
        ("", &*format!("Optimizer: `name` must be {names}, got \"\"")),
        ("Adam", &format!("Optimizer: `name` must be {names}, got \"Adam\"")),
        ("sgd:", "Optimizer: `constants` must be NAME=NUMBER, with commas between, got \"\""),
        ("sgd:0.1", "Optimizer: `constants` must be NAME=NUMBER, with commas between, got \"0.1\""),
        ("sgd:epsilon=1", "Optimizer: `constants` must be of sgd: learning_rate, got \"epsilon\""),
        (
            "adamw:weight_decay=1",
            "Optimizer: `constants` must be of adamw: learning_rate, beta1, beta2, epsilon, decoupled_weight_decay, \
             got \"weight_decay\"",
        ),
        ("sgd:learning_rate=fast", "Optimizer: `learning_rate` must be a number, got \"fast\""),
        ("adagrad:epsilon=1,epsilon=1", "Optimizer: `epsilon` must be given once, got \"adagrad:epsilon=1,epsilon=1\""),
        ("adagrad:epsilon=0", "Optimizer: `epsilon` must be finite and above 0, got 0"),
        ("sgd:learning_rate=nan", "Optimizer: `learning_rate` must be finite, got NaN"),
    ] {
        assert_eq!(text.parse::<Optimizer>().unwrap_err().to_string(), message);
    }
}

/// The shader's names for the formulas have the numbers that they have here.
#[test]
fn formulas_have_the_same_numbers_in_the_shader() {
    let shader = include_str!("../../../../../shaders/common/formulas.wgsl");
    for recipe in Optimizer::RECIPES {
        let name = format!("{:?}", recipe.formula);
        let mut constant = String::new();
        for letter in name.chars() {
            if letter.is_ascii_uppercase() && !constant.is_empty() {
                constant.push('_');
            }
            constant.push(letter.to_ascii_uppercase());
        }
        let line = format!("const {constant} = {}u;", recipe.formula as u32);
        assert!(shader.lines().any(|other| other == line), "no line `{line}`");
    }
}
