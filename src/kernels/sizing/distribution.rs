//! The families of size profiles, and what a kernel needs of one.

use crate::Result;
use crate::check;

/// A family of size profiles: draws of it, sorted, are the relative sizes of the ranks.
///
/// Published ranges are those of SCALL (`docs/method.md` section 3). The last two families are those of BET, an earlier
/// system of its authors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Distribution {
    /// Density `alpha * x^(alpha - 1)` on [0, 1]: `U^(1 / alpha)`. Published range 0.1..30. Default, as in the paper.
    #[default]
    PowerLaw,
    /// Pareto of type I with scale 1: `U^(-1 / alpha)`. Published range 30..100.
    Pareto,
    /// Normal on [0, 1] with mean `1 / n` and standard deviation alpha before truncation. Published range 1e-6..1e-5.
    TruncatedNormal,
    /// Exponential of rate alpha on [0, 1]: `-ln(1 - U * (1 - exp(-alpha))) / alpha`. Published range 0..5.
    TruncatedExponential,
    /// `exp(alpha * Z)` for a standard normal Z. Published range 0..0.5.
    LogNormal,
}

impl Distribution {
    /// All families.
    pub const ALL: [Self; 5] =
        [Self::PowerLaw, Self::Pareto, Self::TruncatedNormal, Self::TruncatedExponential, Self::LogNormal];

    /// Least and largest alpha that the published systems search in.
    pub const fn alpha_range(self) -> (f32, f32) {
        match self {
            Self::PowerLaw => (0.1, 30.0),
            Self::Pareto => (30.0, 100.0),
            Self::TruncatedNormal => (1e-6, 1e-5),
            Self::TruncatedExponential => (0.0, 5.0),
            Self::LogNormal => (0.0, 0.5),
        }
    }

    /// Maps an action in [0, 1] onto [`alpha_range`](Self::alpha_range).
    pub fn alpha(self, action: f32) -> f32 {
        let (least, largest) = self.alpha_range();
        (least + action * (largest - least)).clamp(least, largest)
    }

    /// Least and largest alpha at which the formula keeps its accuracy in f32.
    pub const fn alpha_domain(self) -> (f32, f32) {
        match self {
            Self::PowerLaw | Self::Pareto => (1e-3, 1e6),
            // Much wider than its interval it is flat, and the difference of its quantiles would lose all digits.
            Self::TruncatedNormal => (1e-20, 1.0),
            Self::TruncatedExponential => (0.0, 60.0),
            Self::LogNormal => (0.0, 6.0),
        }
    }

    /// The name that [`FromStr`](std::str::FromStr) reads.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PowerLaw => "power-law",
            Self::Pareto => "pareto",
            Self::TruncatedNormal => "truncated-normal",
            Self::TruncatedExponential => "truncated-exponential",
            Self::LogNormal => "log-normal",
        }
    }
}

check::by_name!(Distribution, "Distribution", "name");

/// One size profile: a family and its shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// The family.
    pub distribution: Distribution,
    /// Its shape, within [`Distribution::alpha_domain`].
    pub alpha: f32,
}

impl Profile {
    pub(crate) fn check(&self, op: &'static str) -> Result<()> {
        let (least, largest) = self.distribution.alpha_domain();
        let ok = (least..=largest).contains(&self.alpha);
        check::domain(op, "alpha", self.alpha, ok, &format!("in {least}..={largest} for {}", self.distribution))
    }

    /// The constants of the inverse distribution function for `entities` draws; their order is that of `Profile` in
    /// `shaders/sizing/sample.wgsl`. A draw is normalised to sum 1, so constant factors of the formulas are left out.
    pub(super) fn constants(&self, entities: u32) -> Constants {
        let alpha = f64::from(self.alpha);
        let [a, b, c, d, e] = match self.distribution {
            Distribution::PowerLaw | Distribution::Pareto => [1.0 / alpha, 0.0, 0.0, 0.0, 0.0],
            Distribution::TruncatedNormal => {
                let mean = 1.0 / f64::from(entities.max(1));
                let below = |z: f64| 0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2);
                let above = |z: f64| 0.5 * libm::erfc(z * std::f64::consts::FRAC_1_SQRT_2);
                let (low, high) = (-mean / alpha, (1.0 - mean) / alpha);
                [mean, alpha, above(low) - above(high), above(high), below(low)]
            }
            Distribution::TruncatedExponential => {
                // Below 1e-6 it is uniform to within f32.
                let rate = alpha.max(1e-6);
                [-libm::expm1(-rate), libm::exp(-rate), 0.0, 0.0, 0.0]
            }
            Distribution::LogNormal => [alpha, 0.0, 0.0, 0.0, 0.0],
        };
        Constants { kind: self.distribution as u32, a: a as f32, b: b as f32, c: c as f32, d: d as f32, e: e as f32 }
    }
}

/// A profile as the kernels read it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Constants {
    pub kind: u32,
    pub a: f32,
    pub b: f32,
    pub c: f32,
    pub d: f32,
    pub e: f32,
}

impl Constants {
    /// With the row that they are for, as the shader reads them.
    pub(super) fn words(&self, row: u32) -> [u32; 6] {
        [row, self.a.to_bits(), self.b.to_bits(), self.c.to_bits(), self.d.to_bits(), self.e.to_bits()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn published_ranges_lie_in_the_domain() {
        for distribution in Distribution::ALL {
            let (least, largest) = distribution.alpha_range();
            for alpha in [least, largest, distribution.alpha(0.5)] {
                Profile { distribution, alpha }.check("test").unwrap();
            }
            assert_eq!(distribution.name().parse::<Distribution>().unwrap(), distribution);
        }
        assert_eq!(Distribution::PowerLaw.alpha(2.0), 30.0);
        assert!("zipf".parse::<Distribution>().unwrap_err().to_string().contains("power-law"));
    }

    #[test]
    fn alpha_outside_the_domain_is_an_error() {
        for (distribution, alpha) in [
            (Distribution::PowerLaw, 0.0),
            (Distribution::Pareto, -1.0),
            (Distribution::TruncatedNormal, 1.5),
            (Distribution::TruncatedExponential, f32::NAN),
            (Distribution::LogNormal, f32::INFINITY),
        ] {
            let error = Profile { distribution, alpha }.check("sizing/sample").unwrap_err();
            assert!(matches!(error, Error::Argument { arg: "alpha", .. }), "{error}");
        }
    }
}
