//! What the agent has seen, drawn from with a preference for the recent.

use std::collections::VecDeque;

use rand::Rng;

use super::ACTIONS;
use crate::rng::Philox;

/// One step of the environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The state that was acted in.
    pub state: Vec<f32>,
    /// What was done, each entry in 0..=1.
    pub action: [f32; ACTIONS],
    /// What it brought.
    pub reward: f32,
    /// The state that followed.
    pub next_state: Vec<f32>,
}

/// The last transitions, oldest first; a full one forgets the oldest for each new one.
///
/// A batch is drawn without replacement, one transition after the other; of n, the newest has weight n and the oldest
/// 1: the chance to be drawn next is a transition's weight over the weights of those not drawn yet.
///
/// Determinism: integers only, so a random stream gives the same batch on every platform.
///
/// # Cost
/// What has been stored, not the capacity: two states a transition. A batch of k takes k^2 steps, whatever n.
///
/// # Example
/// ```
/// use scall_gpu::rng::{Philox, Purpose};
/// use scall_gpu::agent::{ReplayBuffer, Transition};
/// let mut replay = ReplayBuffer::new(2);
/// for reward in [1.0, 2.0, 3.0] {
///     replay.push(Transition { state: vec![0.0], action: [0.5; 3], reward, next_state: vec![0.0] });
/// }
/// let mut batch = replay.draw(8, &mut Philox::new(7, Purpose::User));
/// batch.sort_by(|a, b| a.reward.total_cmp(&b.reward));
/// assert_eq!([batch[0].reward, batch[1].reward], [2.0, 3.0]);
/// ```
///
/// Source: `docs/method.md` section 7.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayBuffer {
    transitions: VecDeque<Transition>,
    capacity: usize,
}

impl ReplayBuffer {
    /// An empty buffer for at most `capacity` transitions.
    pub fn new(capacity: usize) -> Self {
        Self { transitions: VecDeque::new(), capacity }
    }

    /// Adds the newest transition.
    pub fn push(&mut self, transition: Transition) {
        self.transitions.push_back(transition);
        if self.transitions.len() > self.capacity {
            self.transitions.pop_front();
        }
    }

    /// How many transitions it holds.
    pub fn len(&self) -> usize {
        self.transitions.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.transitions.is_empty()
    }

    /// The transitions, oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Transition> {
        self.transitions.iter()
    }

    /// Draws `count` transitions, or as many as there are, in the order drawn.
    pub fn draw(&self, count: usize, rng: &mut Philox) -> Vec<&Transition> {
        self.ranks(count, rng).into_iter().map(|rank| &self.transitions[rank]).collect()
    }

    /// Positions from the oldest. The one at rank r has the r + 1 tickets from r(r + 1)/2 on.
    fn ranks(&self, count: usize, rng: &mut Philox) -> Vec<usize> {
        let n = self.transitions.len();
        let mut tickets = triangle(n as u64);
        let mut drawn = Vec::with_capacity(count.min(n));
        // The same, ascending: a ticket skips the tickets of those already drawn, lowest first.
        let mut taken: Vec<u64> = Vec::with_capacity(count.min(n));
        while drawn.len() < count.min(n) {
            let mut ticket = ((u128::from(rng.next_u64()) * u128::from(tickets)) >> 64) as u64;
            for &rank in &taken {
                if ticket >= triangle(rank) {
                    ticket += rank + 1;
                }
            }
            // The largest rank with rank (rank + 1) / 2 <= ticket.
            let rank = ((8 * ticket + 1).isqrt() - 1) / 2;
            taken.insert(taken.partition_point(|&other| other < rank), rank);
            drawn.push(rank as usize);
            tickets -= rank + 1;
        }
        drawn
    }
}

fn triangle(n: u64) -> u64 {
    n * (n + 1) / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    fn filled(capacity: usize, pushed: usize) -> ReplayBuffer {
        let mut replay = ReplayBuffer::new(capacity);
        for i in 0..pushed {
            let (state, next_state) = (vec![i as f32], vec![i as f32 + 1.0]);
            replay.push(Transition { state, action: [0.25; ACTIONS], reward: -(i as f32), next_state });
        }
        replay
    }

    #[test]
    fn the_oldest_are_forgotten() {
        for (pushed, oldest) in [(0, 0), (1, 0), (4, 0), (5, 1), (8, 4), (9, 5), (100, 96)] {
            let replay = filled(4, pushed);
            let held: Vec<f32> = replay.iter().map(|t| t.state[0]).collect();
            assert_eq!(held, (oldest..pushed).map(|i| i as f32).collect::<Vec<_>>());
        }
        assert!(filled(0, 3).is_empty());
    }

    #[test]
    fn batches_hold_nothing_twice() {
        let mut rng = Philox::new(1, Purpose::User);
        for (held, count) in [(0, 8), (1, 1), (1, 8), (7, 7), (13, 8), (100, 100), (10_000, 8)] {
            // Before the buffer is full, when it is, and long after.
            for pushed in [held, held + 1, 3 * held + 2] {
                let replay = filled(held.max(1), pushed);
                for _ in 0..20 {
                    let mut ranks = replay.ranks(count, &mut rng);
                    assert_eq!(ranks.len(), count.min(replay.len()));
                    ranks.sort_unstable();
                    assert!(ranks.windows(2).all(|w| w[0] < w[1]) && ranks.iter().all(|&r| r < replay.len()));
                }
            }
        }
    }

    #[test]
    fn the_first_draw_is_linear_in_recency() {
        let (replay, mut rng) = (filled(20, 50), Philox::new(2, Purpose::User));
        let (draws, mut counts) = (210_000, [0u32; 20]);
        for _ in 0..draws {
            counts[replay.ranks(1, &mut rng)[0]] += 1;
        }
        // Chi-squared with 19 degrees of freedom: 43.8 is passed once in a thousand seeds.
        let chi: f64 = (0..20)
            .map(|rank| {
                let expected = f64::from(draws) * (rank + 1) as f64 / 210.0;
                (f64::from(counts[rank]) - expected).powi(2) / expected
            })
            .sum();
        assert!(chi < 43.8, "chi-squared {chi}: {counts:?}");
    }

    /// Every ordered pair of 5 against its chance, worked out from the weights.
    #[test]
    fn the_second_draw_leaves_out_the_first() {
        let (replay, mut rng) = (filled(5, 7), Philox::new(3, Purpose::User));
        let (draws, mut counts) = (200_000, [[0u32; 5]; 5]);
        for _ in 0..draws {
            let ranks = replay.ranks(2, &mut rng);
            counts[ranks[0]][ranks[1]] += 1;
        }
        for (a, counts) in counts.iter().enumerate() {
            for (b, &count) in counts.iter().enumerate().filter(|&(b, _)| b != a) {
                let chance = (a + 1) as f64 / 15.0 * (b + 1) as f64 / (14 - a) as f64;
                let sigma = (chance * (1.0 - chance) / f64::from(draws)).sqrt();
                let off = f64::from(count) / f64::from(draws) - chance;
                assert!(off.abs() < 4.5 * sigma, "{a} then {b}: off by {off}, sigma {sigma}");
            }
        }
    }
}
