//! What the probes of all segments together say of an action.

use crate::Result;
use crate::agent::ACTIONS;
use crate::file::State;

/// Standard deviation of the kernel, in each entry of an action: actions nearer than that give sizes that are much
/// alike.
const REACH: f32 = 0.15;

/// What a probe weighs when the next segment's begin: tastes move, and so does what pays.
const MEMORY: f64 = 0.9;

/// Weight of the belief that an action is as good as uniform sizes, in probes.
const PRIOR: f64 = 1.0;

/// Below this weight a probe is dropped.
const FORGOTTEN: f64 = 0.05;

/// Quality of probed actions relative to uniform sizes on the same segment, smoothed over their neighbours: the best of
/// a dozen single probes is mostly the luckiest one, since a segment has few test users.
///
/// `r(a) = (1 + sum over probes k of w_k r_k) / (1 + sum of w_k)`, `w_k = 0.9^(segments since) * exp(-|a - a_k|^2 / (2
/// * 0.15^2))`: a kernel regression (Nadaraya and Watson, 1964) that believes in 1 where it has seen nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Evidence {
    probes: Vec<Seen>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    action: [f32; ACTIONS],
    ratio: f64,
    weight: f64,
}

impl Evidence {
    pub fn save(&self) -> State {
        let mut state = State::default();
        let probes = &self.probes;
        state.put("actions", probes.iter().flat_map(|seen| seen.action).collect::<Vec<f32>>());
        state.put("ratios", probes.iter().map(|seen| seen.ratio).collect::<Vec<f64>>());
        state.put("weights", probes.iter().map(|seen| seen.weight).collect::<Vec<f64>>());
        state
    }

    pub fn restored(state: &State) -> Result<Self> {
        state.only(&["actions", "ratios", "weights"])?;
        let ratios = state.numbers::<f64>("ratios")?;
        let weights = state.exactly::<f64>("weights", ratios.len())?;
        let (actions, []) = state.exactly::<f32>("actions", ACTIONS * ratios.len())?.as_chunks() else {
            unreachable!("a whole number of actions")
        };
        state.check("ratios", ratios, |ratio| (0.5..=2.0).contains(&ratio), "from 0.5 to 2")?;
        state.check("weights", weights, |weight| (0.0..=1.0).contains(&weight), "from 0 to 1")?;
        let entries = actions.as_flattened();
        state.check("actions", entries, |entry: f32| (0.0..=1.0).contains(&entry), "from 0 to 1")?;
        let probes = actions.iter().zip(ratios).zip(weights);
        let seen = |((&action, &ratio), &weight)| Seen { action, ratio, weight };
        Ok(Self { probes: probes.map(seen).collect() })
    }

    /// A new segment begins.
    pub fn fade(&mut self) {
        self.probes.iter_mut().for_each(|seen| seen.weight *= MEMORY);
        self.probes.retain(|seen| seen.weight > FORGOTTEN);
    }

    /// A probe of this action had so many times the quality of uniform sizes. Beyond half and twice it is luck with
    /// hardly anybody to rank for, and counts as that.
    pub fn add(&mut self, action: [f32; ACTIONS], ratio: f64) {
        self.probes.push(Seen { action, ratio: ratio.clamp(0.5, 2.0), weight: 1.0 });
    }

    /// The action held best; none where nothing is better than uniform sizes. Ties to the newer.
    pub fn best(&self) -> Option<[f32; ACTIONS]> {
        let valued = self.probes.iter().map(|seen| (self.ratio(seen.action), seen.action));
        let best = valued.max_by(|a, b| a.0.total_cmp(&b.0));
        best.filter(|(ratio, _)| *ratio > 1.0).map(|(_, action)| action)
    }

    /// The estimate for an action.
    fn ratio(&self, action: [f32; ACTIONS]) -> f64 {
        let (mut sum, mut weights) = (PRIOR, PRIOR);
        for seen in &self.probes {
            let distance: f32 = action.iter().zip(seen.action).map(|(a, b)| (a - b).powi(2)).sum();
            let weight = seen.weight * libm::exp(f64::from(-distance / (2.0 * REACH * REACH)));
            sum += weight * seen.ratio;
            weights += weight;
        }
        sum / weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_count_and_luck_does_not() {
        let mut evidence = Evidence::default();
        assert_eq!(evidence.best(), None);
        // One lucky probe far away, three good ones side by side.
        evidence.add([0.9, 0.9, 0.9], 1.11);
        for step in 0..3 {
            evidence.add([0.2, 0.2, 0.2 + 0.05 * step as f32], 1.08);
        }
        assert_eq!(evidence.best(), Some([0.2, 0.2, 0.25]), "the one in the middle");
        // By the formula, for the lucky one: nothing else is near.
        assert!((evidence.ratio([0.9, 0.9, 0.9]) - (1.0 + 1.11) / 2.0).abs() < 1e-6);
        assert!((evidence.ratio([0.0, 1.0, 1.0]) - 1.0).abs() < 1e-6, "nothing is known there");
    }

    #[test]
    fn old_segments_fade() {
        let mut evidence = Evidence::default();
        evidence.add([0.1; ACTIONS], 1.2);
        for _ in 0..28 {
            evidence.fade();
        }
        assert_eq!(evidence.probes.len(), 1);
        evidence.add([0.8; ACTIONS], 1.05);
        assert_eq!(evidence.best(), Some([0.8; ACTIONS]));
        evidence.fade();
        evidence.fade();
        assert_eq!(evidence.probes.len(), 1, "0.9^30 is below a twentieth");
    }

    #[test]
    fn a_segment_with_hardly_anybody_decides_nothing() {
        let mut evidence = Evidence::default();
        evidence.add([0.9; ACTIONS], 1e300);
        assert!((evidence.ratio([0.9; ACTIONS]) - 1.5).abs() < 1e-9);
        (0..4).for_each(|_| evidence.add([0.9; ACTIONS], 0.0));
        assert_eq!(evidence.best(), None);
    }

    #[test]
    fn nothing_better_than_uniform() {
        let mut evidence = Evidence::default();
        evidence.add([0.5; ACTIONS], 0.97);
        assert_eq!(evidence.best(), None);
    }
}
