//! What the probes of all segments together say of an action.

use std::collections::BTreeMap;

use crate::Result;
use crate::agent::ACTIONS;
use crate::file::State;
use crate::sizing::Relative;

/// Standard deviation of the kernel, in each entry of an action: actions nearer than that give sizes that are much
/// alike.
const REACH: f32 = 0.15;

/// What a segment weighs when the next one's begins: tastes move, and so does what pays.
const MEMORY: f64 = 0.9;

/// A segment of this age weighs less than a twentieth and is dropped.
const FORGOTTEN: u32 = 29;

/// How far sizes change quality, as a standard deviation over actions before anything is probed. Searched sizes were
/// worth 0 to 16 % over uniform ones on recorded streams.
const PRIOR: f64 = 0.1;

/// How far a ratio is from the same action's on other segments and with other draws of triples, for other reasons than
/// who its test users are. With the same sizes and other triples, 0.02 were measured; from segment to segment 0.03 to
/// 0.05.
const SPREAD: f64 = 0.05;

/// The same of a segment that began without any rows: there, sizes that leave rows hardly any dims win by up to 27 %,
/// because rows that have seen little are better short, and lose 8 % on the segment that follows.
const SPREAD_WITHOUT_ROWS: f64 = 0.3;

/// Standard errors between a belief and its lower quartile: three to one that the truth is above it.
const QUARTILE: f64 = 0.6745;

/// What it costs to go from one action to another, as a part of quality: rows that change their size forget.
const CHANGE: f64 = 0.01;

/// Quality of probed actions relative to uniform sizes on the same segment, smoothed over their neighbours and over
/// segments: the best of a dozen single probes is mostly the luckiest one, since a segment has few test users.
///
/// A probe k of action a_k has a ratio r_k and a variance v_k, its squared [error](Relative) plus 0.05^2. An action a
/// is believed to be worth `r = 1 + V * sum over segments t of m_t * sum over its probes of w_k (r_k - 1) / v_k`,
/// with variance `V = 1 / (1 / 0.1^2 + sum over t of m_t * sum of w_k / v_k)`, where `w_k = exp(-|a - a_k|^2 / (2 *
/// 0.15^2))` and `m_t = 0.9^(segments since) / max(1, sum of w_k)`. Probes of a segment share test users and triples,
/// so that those near an action count as one at most.
///
/// Source: means weighed by their precision with a spread between studies (DerSimonian and Laird, 1986), segments for
/// studies; a kernel for neighbours (Nadaraya and Watson, 1964); a normal prior about 1, which is uniform sizes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Evidence {
    probes: Vec<Seen>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    action: [f32; ACTIONS],
    ratio: f64,
    variance: f64,
    /// Segments since.
    age: u32,
}

/// What is believed of an action: its quality relative to uniform sizes, and the standard error of that.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Belief {
    ratio: f64,
    error: f64,
}

impl Belief {
    /// What the truth is above with odds of three to one.
    fn lower_quartile(self) -> f64 {
        self.ratio - QUARTILE * self.error
    }
}

impl Evidence {
    pub fn save(&self) -> State {
        let mut state = State::default();
        let probes = &self.probes;
        state.put("actions", probes.iter().flat_map(|seen| seen.action).collect::<Vec<f32>>());
        state.put("ratios", probes.iter().map(|seen| seen.ratio).collect::<Vec<f64>>());
        state.put("variances", probes.iter().map(|seen| seen.variance).collect::<Vec<f64>>());
        state.put("ages", probes.iter().map(|seen| seen.age).collect::<Vec<u32>>());
        state
    }

    pub fn restored(state: &State) -> Result<Self> {
        state.only(&["actions", "ratios", "variances", "ages"])?;
        let ratios = state.numbers::<f64>("ratios")?;
        let variances = state.exactly::<f64>("variances", ratios.len())?;
        let ages = state.exactly::<u32>("ages", ratios.len())?;
        let (actions, []) = state.exactly::<f32>("actions", ACTIONS * ratios.len())?.as_chunks() else {
            unreachable!("a whole number of actions")
        };
        let entries = actions.as_flattened();
        state.check("actions", entries, |entry: f32| (0.0..=1.0).contains(&entry), "from 0 to 1")?;
        state.check("ratios", ratios, |ratio| (0.5..=2.0).contains(&ratio), "from 0.5 to 2")?;
        let varies = |variance: f64| variance.is_finite() && variance >= SPREAD * SPREAD;
        state.check("variances", variances, varies, "finite and at least 0.05^2")?;
        state.check("ages", ages, |age| age < FORGOTTEN, &format!("below {FORGOTTEN}"))?;
        let seen = |k: usize| Seen { action: actions[k], ratio: ratios[k], variance: variances[k], age: ages[k] };
        Ok(Self { probes: (0..ratios.len()).map(seen).collect() })
    }

    /// A new segment begins.
    pub fn fade(&mut self) {
        self.probes.iter_mut().for_each(|seen| seen.age += 1);
        self.probes.retain(|seen| seen.age < FORGOTTEN);
    }

    /// A probe of this action had a quality relative to uniform sizes, on a segment that began with some rows or
    /// `without_rows`. Beyond half and twice it is luck with hardly anybody to rank for, and counts as that; with one
    /// user it counts as nothing.
    pub fn add(&mut self, action: [f32; ACTIONS], Relative { ratio, error }: Relative, without_rows: bool) {
        let spread = if without_rows { SPREAD_WITHOUT_ROWS } else { SPREAD };
        let variance = error * error + spread * spread;
        if variance.is_finite() {
            self.probes.push(Seen { action, ratio: ratio.clamp(0.5, 2.0), variance, age: 0 });
        }
    }

    /// The probed action that is believed best, to look for better ones nearby; none where nothing is believed better
    /// than uniform sizes. Ties to the newer.
    pub fn leader(&self) -> Option<[f32; ACTIONS]> {
        self.largest(|belief| belief.ratio).map(|(_, action)| action)
    }

    /// The action for the next segment, after one that had `in_use`; none are uniform sizes. Those are left for an
    /// action whose lower quartile is above 1, which is what they are worth, since all is measured by them. They come
    /// back when the action in use is believed to be worth less. Another action takes its place when that one's lower
    /// quartile is higher by more than a change costs.
    pub fn choose(&self, in_use: Option<[f32; ACTIONS]>) -> Option<[f32; ACTIONS]> {
        let best = self.largest(Belief::lower_quartile);
        let kept = in_use.map(|action| self.belief(action)).filter(|kept| kept.ratio >= 1.0);
        match kept {
            None => best.map(|(_, action)| action),
            Some(kept) => {
                let enough = kept.lower_quartile().max(1.0) + CHANGE;
                best.filter(|(quartile, _)| *quartile > enough).map_or(in_use, |(_, action)| Some(action))
            }
        }
    }

    /// The probed action of which `value` is largest, and that value, where it is above 1.
    fn largest(&self, value: impl Fn(Belief) -> f64) -> Option<(f64, [f32; ACTIONS])> {
        let valued = self.probes.iter().map(|seen| (value(self.belief(seen.action)), seen.action));
        valued.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(value, _)| *value > 1.0)
    }

    fn belief(&self, action: [f32; ACTIONS]) -> Belief {
        // Of each segment the sums of w, of w / v and of w (r - 1) / v, by its age.
        let mut segments = BTreeMap::<u32, [f64; 3]>::new();
        for seen in &self.probes {
            let distance: f32 = action.iter().zip(seen.action).map(|(a, b)| (a - b).powi(2)).sum();
            let near = libm::exp(f64::from(-distance / (2.0 * REACH * REACH)));
            let sums = segments.entry(seen.age).or_default();
            let of_probe = [near, near / seen.variance, near * (seen.ratio - 1.0) / seen.variance];
            sums.iter_mut().zip(of_probe).for_each(|(sum, of_probe)| *sum += of_probe);
        }
        let (mut precision, mut gains) = (1.0 / (PRIOR * PRIOR), 0.0);
        for (age, [near, precisions, weighed]) in segments {
            let weight = libm::pow(MEMORY, f64::from(age)) / near.max(1.0);
            precision += weight * precisions;
            gains += weight * weighed;
        }
        Belief { ratio: 1.0 + gains / precision, error: (1.0 / precision).sqrt() }
    }
}

#[cfg(test)]
mod tests;
