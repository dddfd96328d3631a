//! The oracle is a dense perceptron in f64, and central differences over it.

use super::super::networks::{PARAMS, noise};
use super::*;
use crate::testing::signed;

const STATE: usize = 3;

/// A perceptron in f64: weights and bias of three layers, row by row.
#[derive(Clone)]
struct Dense([Vec<f64>; PARAMS]);

impl Dense {
    fn of(net: &Mlp) -> Self {
        Self(net.params.each_ref().map(widen))
    }

    fn forward(&self, input: &[f64]) -> Vec<f64> {
        let mut x = input.to_vec();
        for layer in 0..3 {
            let (weights, bias) = (&self.0[2 * layer], &self.0[2 * layer + 1]);
            let sum = |j: usize| (0..x.len()).map(|i| x[i] * weights[i * bias.len() + j]).sum::<f64>() + bias[j];
            let y: Vec<f64> = (0..bias.len()).map(sum).collect();
            x = if layer < 2 { y.iter().map(|y| y.max(0.0)).collect() } else { y };
        }
        x
    }

    fn value(&self, state: &[f64], action: &[f64]) -> f64 {
        self.forward(&[state, action].concat())[0]
    }

    /// The action of an actor for a noise, and the logarithm of its density.
    fn sample(&self, state: &[f64], noise: &[f64]) -> (Vec<f64>, f64) {
        let heads = self.forward(state);
        let (mut action, mut log_prob) = (vec![], 0.0);
        for i in 0..ACTIONS {
            let std = heads[ACTIONS + i].clamp(-20.0, 2.0).exp();
            let y = (heads[i] + std * noise[i]).tanh();
            let density = (-0.5 * noise[i] * noise[i]).exp() / (std * (2.0 * std::f64::consts::PI).sqrt());
            action.push((y + 1.0) / 2.0);
            log_prob += density.ln() - (0.5 * (1.0 - y * y) + 1e-6).ln();
        }
        (action, log_prob)
    }

    /// d loss / d parameter, for every parameter.
    fn gradient(&self, loss: impl Fn(&Self) -> f64) -> [Vec<f64>; PARAMS] {
        const H: f64 = 1e-6;
        std::array::from_fn(|p| {
            let at = |i: usize, h: f64| {
                let mut moved = self.clone();
                moved.0[p][i] += h;
                loss(&moved)
            };
            (0..self.0[p].len()).map(|i| (at(i, H) - at(i, -H)) / (2.0 * H)).collect()
        })
    }
}

fn widen(tensor: &Tensor<2>) -> Vec<f64> {
    values(tensor).into_iter().map(f64::from).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

fn small(seed: u64) -> AgentOptions {
    AgentOptions { hidden: 12, seed, ..AgentOptions::default() }
}

fn transition(i: usize) -> Transition {
    let salt = i as u32;
    let action = std::array::from_fn(|entry| ((i * 3 + entry) % 11) as f32 / 10.0);
    let reward = (i % 5) as f32 - 1.5;
    Transition { state: signed(STATE, salt), action, reward, next_state: signed(STATE, salt + 1) }
}

/// An agent that remembers so many transitions and has learned for some steps.
fn trained(options: AgentOptions, remembered: usize, steps: usize) -> Agent {
    let mut agent = Agent::new(STATE, options).unwrap();
    (0..remembered).for_each(|i| agent.remember(transition(i)).unwrap());
    for _ in 0..steps {
        agent.learn().unwrap();
    }
    agent
}

#[track_caller]
fn assert_close(got: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((got - expected).abs() <= tolerance * (1.0 + expected.abs()), "{what}: {got}, not {expected}");
}

#[test]
fn weights_start_as_xavier_says() {
    let agent = Agent::new(40, AgentOptions { hidden: 64, ..small(3) }).unwrap();
    let bounds = |inputs: f64, heads: f64| [inputs + 64.0, 128.0, 64.0 + heads].map(|fans| (6.0 / fans).sqrt());
    for (net, inputs, heads) in [(&agent.actor.net, 40.0, 3.0), (&agent.critics[0].net, 43.0, 1.0)] {
        let dense = Dense::of(net);

        for (layer, bound) in bounds(inputs, heads).into_iter().enumerate() {
            let weights = &dense.0[2 * layer];
            let n = weights.len() as f64;
            let max = weights.iter().fold(0.0f64, |max, w| max.max(w.abs()));
            assert!(max <= bound * (1.0 + 1e-6) && max > bound * (1.0 - 10.0 / n), "layer {layer}: {max} of {bound}");
            let (mean, sigma) = (weights.iter().sum::<f64>() / n, bound / (3.0 * n).sqrt());
            assert!(mean.abs() < 4.0 * sigma, "layer {layer}: mean {mean}");
            assert!(dense.0[2 * layer + 1].iter().all(|&bias| bias == 0.0));
        }
    }
    let [one, two] = agent.critics.each_ref().map(|critic| Dense::of(&critic.net).0);
    assert_ne!(one, two, "two critics");
    assert_eq!([one, two], agent.targets.each_ref().map(|target| Dense::of(target).0), "targets start as copies");
}

#[test]
fn actions_have_the_density_they_are_drawn_with() {
    let mut agent = trained(small(5), 30, 20);
    for i in 0..50 {
        let state = signed(STATE, 100 + i);
        let noise = widen(&noise(1, &mut Philox::substream(5, Purpose::Explore, i)));
        let (action, log_prob) = Dense::of(&agent.actor.net).sample(&wide(&state), &noise);
        let got = agent.act(&state).unwrap();
        for (got, expected) in got.action.iter().zip(action) {
            assert_close(f64::from(*got), expected, 1e-6, "action");
        }
        assert_close(f64::from(got.log_prob), log_prob, 1e-5, "log density");

        let mean = Dense::of(&agent.actor.net).forward(&wide(&state));
        for (got, mean) in agent.mean_action(&state).unwrap().iter().zip(mean) {
            assert_close(f64::from(*got), (mean.tanh() + 1.0) / 2.0, 1e-6, "mean action");
        }
    }
}

#[test]
fn far_out_actions_stay_finite() {
    let mut agent = Agent::new(STATE, small(1)).unwrap();
    for scale in [1.0, 1e3, 1e10, 1e30] {
        let proposal = agent.act(&[scale, -scale, scale]).unwrap();
        assert!(proposal.action.iter().all(|a| (0.0..=1.0).contains(a)), "{proposal:?}");
        assert!(proposal.log_prob.is_finite(), "{proposal:?}");
    }
}

/// Everything that a learning step does, in f64: what it draws, its targets and losses, its gradients by central
/// differences, Adam, and the targets' move.
#[test]
fn a_learning_step_is_what_the_formulas_say() {
    let clipped = AgentOptions { actor_max_norm: 0.01, weight_decay: 0.1, ..small(11) };
    let options = AgentOptions { capacity: 20, ..small(7) };
    for (options, remembered, steps, batch) in
        [(options, 1, 0, 1), (options, 12, 1, 1), (options, 13, 0, 8), (options, 50, 4, 8), (clipped, 20, 0, 8)]
    {
        let before = trained(options, remembered, steps);
        let mut after = before.clone();
        let losses = after.learn().unwrap();
        let case = format!("{remembered} remembered, step {steps}");

        let mut rng = Philox::substream(options.seed, Purpose::Learn, steps as u32);
        let drawn = before.replay.draw(batch, &mut rng);
        assert_eq!(drawn.len(), batch, "{case}");
        let [next_noise, fresh_noise] = [0, 1].map(|_| widen(&noise(batch, &mut rng)));
        let rows: Vec<_> = drawn.iter().map(|t| (wide(&t.state), wide(&t.action), wide(&t.next_state))).collect();
        let actor = Dense::of(&before.actor.net);
        let lower = |critics: &[Dense; 2], state: &[f64], action: &[f64]| {
            critics[0].value(state, action).min(critics[1].value(state, action))
        };

        let target_nets = before.targets.each_ref().map(Dense::of);
        let targets: Vec<f64> = (0..batch)
            .map(|b| {
                let (action, log_prob) = actor.sample(&rows[b].2, &next_noise[3 * b..][..3]);
                let value = lower(&target_nets, &rows[b].2, &action) - 0.2 * log_prob;
                f64::from(drawn[b].reward) + 0.99 * value
            })
            .collect();
        let critic_loss = |critic: &Dense| {
            let squares = (0..batch).map(|b| (critic.value(&rows[b].0, &rows[b].1) - targets[b]).powi(2));
            squares.sum::<f64>() / batch as f64
        };
        let moved = after.critics.each_ref().map(|critic| Dense::of(&critic.net));
        let fresh = |actor: &Dense, b: usize| actor.sample(&rows[b].0, &fresh_noise[3 * b..][..3]);
        let actor_loss = |actor: &Dense| {
            let losses = (0..batch).map(|b| {
                let (action, log_prob) = fresh(actor, b);
                0.2 * log_prob - lower(&moved, &rows[b].0, &action)
            });
            losses.sum::<f64>() / batch as f64
        };
        assert_close(f64::from(losses.actor), actor_loss(&actor), 1e-5, &case);
        let log_prob = (0..batch).map(|b| fresh(&actor, b).1).sum::<f64>() / batch as f64;
        assert_close(f64::from(losses.log_prob), log_prob, 1e-5, &case);
        for (i, critic) in before.critics.iter().enumerate() {
            let dense = Dense::of(&critic.net);
            assert_close(f64::from(losses.critics[i]), critic_loss(&dense), 1e-5, &case);
            let gradient = dense.gradient(critic_loss);
            assert_step([critic, &after.critics[i]], gradient, steps, options.weight_decay, 3e-4);
        }
        let mut gradient = actor.gradient(actor_loss);
        let norm = gradient.iter().flatten().map(|g| g * g).sum::<f64>().sqrt();
        let scale = (f64::from(options.actor_max_norm) / norm).min(1.0);
        gradient.iter_mut().flatten().for_each(|g| *g *= scale);
        assert_step([&before.actor, &after.actor], gradient, steps, options.weight_decay, 2e-4);

        for (i, target) in after.targets.iter().map(Dense::of).enumerate() {
            for (p, (target, was)) in target.0.iter().flatten().zip(target_nets[i].0.iter().flatten()).enumerate() {
                let critic = moved[i].0.iter().flatten().nth(p).unwrap();
                assert_close(*target, 0.995 * was + 0.005 * critic, 1e-6, &case);
            }
        }
    }
}

/// Adam's moments and its step, from a gradient in f64.
#[track_caller]
fn assert_step([before, after]: [&Trained; 2], gradient: [Vec<f64>; PARAMS], steps: usize, decay: f32, rate: f64) {
    let (t, decay) = (steps as i32 + 1, f64::from(decay));
    let [was, is] = [before, after].map(|trained| Dense::of(&trained.net).0);
    for (p, gradient) in gradient.iter().enumerate() {
        for (i, gradient) in gradient.iter().enumerate() {
            let g = gradient + decay * was[p][i];
            let [m, v] = before.moments[p].each_ref().map(|moment| f64::from(moment[i]));
            let what = format!("parameter {p}[{i}]");
            let new = after.moments[p].each_ref().map(|moment| f64::from(moment[i]));
            assert_close(new[0], 0.9 * m + 0.1 * g, 2e-5, &what);
            assert_close(new[1], 0.999 * v + 0.001 * g * g, 2e-5, &what);
            // The step from the moments that were found: its sign would amplify the rounding of a tiny gradient.
            let [m, v] = [new[0] / (1.0 - 0.9f64.powi(t)), new[1] / (1.0 - 0.999f64.powi(t))];
            let step = rate * m / (v.sqrt() + 1e-8);
            assert_close(is[p][i], was[p][i] - step, 2e-7, &what);
            assert!(step.abs() <= 4.0 * rate);
        }
    }
}

#[test]
fn one_seed_gives_the_same_bits() {
    let run = |seed: u64, disturb: bool| {
        let mut agent = Agent::new(STATE, small(seed)).unwrap();
        let mut other = Agent::new(STATE, small(99)).unwrap();
        for i in 0..20 {
            let mut step = transition(i);
            step.action = agent.act(&step.state).unwrap().action;
            agent.observe(step).unwrap();
            if disturb {
                other.act(&[0.0; STATE]).unwrap();
                other.observe(transition(i + 5)).unwrap();
            }
        }
        agent.to_bytes()
    };
    let bytes = run(1, false);
    assert!(bytes == run(1, true), "agents do not disturb each other");
    assert!(bytes != run(2, false), "another seed, other bits");
    let on_a_thread = std::thread::spawn(move || run(1, false)).join().unwrap();
    assert!(bytes == on_a_thread, "threads make no difference");
}

/// A bandit: one state, and a reward that is highest at (0.7, 0.3, 0.7), scaled as the paper scales its own. With a
/// tenth of it the entropy draws the mean towards the middle; with three times as much the critics take longer than
/// this.
#[test]
fn the_best_action_is_found() {
    const BEST: [f32; ACTIONS] = [0.7, 0.3, 0.7];
    let mut agent = Agent::new(4, AgentOptions { seed: 1, ..AgentOptions::default() }).unwrap();
    let state = vec![1.0, 0.5, 0.0, 0.25];
    for _ in 0..400 {
        let action = agent.act(&state).unwrap().action;
        let reward = -10.0 * action.iter().zip(BEST).map(|(a, best)| (a - best).powi(2)).sum::<f32>();
        agent.observe(Transition { state: state.clone(), action, reward, next_state: state.clone() }).unwrap();
    }
    let mean = agent.mean_action(&state).unwrap();
    for (mean, best) in mean.iter().zip(BEST) {
        assert!((mean - best).abs() < 0.05, "{mean:?}, not {BEST:?}");
    }
}

#[test]
fn mistakes_are_named() {
    let mut agent = Agent::new(STATE, small(1)).unwrap();
    let error = agent.learn().unwrap_err().to_string();
    assert_eq!(error, "Agent::learn: `replay` must be at least one transition, got 0");
    assert!(matches!(agent.act(&[0.0]), Err(Error::Shape { arg: "state", expected: 3, got: 1, .. })));
    let good = transition(1);
    let nan = vec![0.0, f32::NAN, 0.0];
    for (step, arg) in [
        (Transition { state: nan.clone(), ..good.clone() }, "state"),
        (Transition { next_state: nan, ..good.clone() }, "next_state"),
        (Transition { next_state: vec![], ..good.clone() }, "next_state"),
        (Transition { reward: f32::INFINITY, ..good.clone() }, "reward"),
        (Transition { action: [0.5, 1.1, 0.5], ..good.clone() }, "action"),
        (Transition { action: [f32::NAN; 3], ..good.clone() }, "action"),
    ] {
        let error = agent.observe(step).unwrap_err().to_string();
        assert!(error.starts_with(&format!("Agent::remember: `{arg}`")), "{error}");
    }
    assert!(agent.replay.is_empty() && agent.learned == 0, "nothing was written");
    for (state_len, options) in [
        (0, small(1)),
        (3, AgentOptions { hidden: 0, ..small(1) }),
        (3, AgentOptions { capacity: 0, ..small(1) }),
        (3, AgentOptions { learning_steps: 0, ..small(1) }),
        (3, AgentOptions { actor_rate: f64::NAN, ..small(1) }),
        (3, AgentOptions { discount: 1.5, ..small(1) }),
        (3, AgentOptions { entropy_weight: -0.1, ..small(1) }),
    ] {
        assert!(matches!(Agent::new(state_len, options), Err(Error::Argument { op: "Agent::new", .. })));
    }
    for (state_len, hidden) in [(usize::MAX, 1), (1 << 20, 1 << 9), (4, 1 << 15), (4, usize::MAX)] {
        let error = Agent::new(state_len, AgentOptions { hidden, ..small(0) }).unwrap_err();
        assert!(matches!(error, Error::Limit { op: "Agent::new", limit: "parameters of a layer", .. }), "{error}");
    }
}

#[test]
fn a_loss_past_f32_is_divergence() {
    let mut agent = Agent::new(STATE, small(1)).unwrap();
    let error = agent.observe(Transition { reward: f32::MAX, ..transition(1) }).unwrap_err();
    assert!(matches!(error, Error::Diverged { steps: 0, loss: f32::INFINITY }), "{error}");
}

#[test]
fn agents_may_change_threads() {
    fn assert_send_and_sync<T: Send + Sync>() {}
    assert_send_and_sync::<Agent>();
}
