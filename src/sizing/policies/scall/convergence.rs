//! When a search has found its action.

use std::collections::VecDeque;

use crate::agent::ACTIONS;

/// Watches the mean action from step to step and says when it rests.
///
/// It rests once more than `min_steps` actions have been seen and, among the last `window` of them, none of the entries
/// moved by more than `tolerance` from one to the next. The paper looks at the users' share alone, so its search may
/// end while the shapes of the profiles still move; here all entries count.
///
/// # Example
/// ```
/// use scall_gpu::sizing::Convergence;
/// let mut convergence = Convergence::default();
/// let steps = (1..).find(|&step| convergence.push([0.5, 0.4, if step < 9 { 0.1 * step as f32 } else { 0.9 }]));
/// assert_eq!(steps, Some(13)); // the actions of steps 9 to 13 are equal
/// ```
///
/// Source: `docs/method.md` section 7.
#[derive(Clone, Debug, PartialEq)]
pub struct Convergence {
    /// Largest move of an entry that counts as rest (default 0.01, as in the paper).
    pub tolerance: f32,
    /// Last actions that are compared (default 5, as in the paper).
    pub window: usize,
    /// Steps that a search takes more than (default 10, as in the paper).
    pub min_steps: usize,
    steps: usize,
    last: VecDeque<[f32; ACTIONS]>,
}

impl Default for Convergence {
    fn default() -> Self {
        Self { tolerance: 0.01, window: 5, min_steps: 10, steps: 0, last: VecDeque::new() }
    }
}

impl Convergence {
    /// Takes the mean action after a step and says whether the search is at its end. An entry that is not a number
    /// never rests.
    pub fn push(&mut self, action: [f32; ACTIONS]) -> bool {
        self.steps += 1;
        self.last.push_back(action);
        while self.last.len() > self.window.max(1) {
            self.last.pop_front();
        }
        let rests =
            |(a, b): (&[f32; ACTIONS], &[f32; ACTIONS])| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= self.tolerance);
        self.steps > self.min_steps
            && self.last.len() >= self.window
            && self.last.iter().zip(self.last.iter().skip(1)).all(rests)
    }

    /// Actions seen.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Forgets them: a search on another segment begins.
    pub fn restart(&mut self) {
        self.steps = 0;
        self.last.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(action: impl Fn(usize) -> [f32; ACTIONS]) -> Option<usize> {
        let mut convergence = Convergence::default();
        (1..=40).find(|&step| convergence.push(action(step)))
    }

    #[test]
    fn more_than_ten_steps_are_taken() {
        assert_eq!(ends(|_| [0.5; 3]), Some(11));
    }

    #[test]
    fn every_entry_has_to_rest() {
        for entry in 0..ACTIONS {
            let action = |step: usize, rest: usize| {
                let mut action = [0.5; ACTIONS];
                action[entry] = 0.02 * step.min(rest) as f32;
                action
            };
            assert_eq!(ends(|step| action(step, 30)), Some(34));
            assert_eq!(ends(|step| action(step, 99)), None);
        }
    }

    #[test]
    fn slow_moves_are_rest() {
        assert_eq!(ends(|step| [0.009 * step as f32, 0.0, 0.0]), Some(11));
        assert_eq!(ends(|step| [0.011 * step as f32, 0.0, 0.0]), None);
        assert_eq!(ends(|_| [0.5, f32::NAN, 0.5]), None);
    }

    #[test]
    fn a_restart_forgets() {
        let mut convergence = Convergence::default();
        for _ in 0..11 {
            convergence.push([0.5; 3]);
        }
        convergence.restart();
        assert!(!convergence.push([0.5; 3]));
        assert_eq!(convergence.steps(), 1);
    }
}
