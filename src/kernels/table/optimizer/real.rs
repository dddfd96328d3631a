//! Numbers in f64 that carry by how much f32 may miss them.

use std::ops::{Add, Div, Mul, Sub};

const EPS: f64 = f32::EPSILON as f64;

/// A number, and how far from it a device may be that computes it in f32: fused or not, with the roots and quotients of
/// WGSL.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernels) struct Real {
    pub value: f64,
    pub error: f64,
}

impl Real {
    pub fn new(value: f64, error: f64) -> Self {
        Self { value, error }
    }

    /// After an operation that may miss by this number of units in the last place of an f32.
    fn rounded(value: f64, error: f64, units: f64) -> Self {
        Self { value, error: error + units * EPS * value.abs() + f64::from(f32::MIN_POSITIVE) }
    }

    pub fn sqrt(self) -> Self {
        let root = self.value.max(0.0).sqrt();
        // The slope at 0 is infinite, the root of an error is not.
        let error = (self.error / root).min(self.error.sqrt());
        Self::rounded(root, if self.error == 0.0 { 0.0 } else { error }, 3.0)
    }

    /// The part of it that is beyond a limit, in either direction.
    pub fn beyond(self, limit: f32) -> Self {
        let over = (self.value.abs() - f64::from(limit)).max(0.0);
        let is_within = self.value.abs() + self.error <= limit.into();
        Self::rounded(over.copysign(self.value), if is_within { 0.0 } else { self.error }, 1.0)
    }

    /// Whether it is within the range of f32: tests stay clear of the largest f32.
    pub fn is_finite(self) -> bool {
        self.value.abs() <= f32::MAX.into()
    }
}

impl From<f32> for Real {
    fn from(value: f32) -> Self {
        Self::new(value.into(), 0.0)
    }
}

impl From<f64> for Real {
    /// Of a number that the host computes in f64 and rounds to f32.
    fn from(value: f64) -> Self {
        Self::rounded(value, 0.0, 1.0)
    }
}

impl<T: Into<Self>> Add<T> for Real {
    type Output = Self;

    fn add(self, other: T) -> Self {
        let other = other.into();
        Self::rounded(self.value + other.value, self.error + other.error, 1.0)
    }
}

impl<T: Into<Self>> Sub<T> for Real {
    type Output = Self;

    fn sub(self, other: T) -> Self {
        let other = other.into();
        Self::rounded(self.value - other.value, self.error + other.error, 1.0)
    }
}

impl<T: Into<Self>> Mul<T> for Real {
    type Output = Self;

    fn mul(self, other: T) -> Self {
        let other = other.into();
        let error = self.value.abs() * other.error + other.value.abs() * self.error + self.error * other.error;
        Self::rounded(self.value * other.value, error, 1.0)
    }
}

impl<T: Into<Self>> Div<T> for Real {
    type Output = Self;

    fn div(self, other: T) -> Self {
        let other = other.into();
        let value = self.value / other.value;
        let least = (other.value.abs() - other.error).max(0.0);
        let error = if self.error == 0.0 && other.error == 0.0 {
            0.0
        } else {
            (self.error + value.abs() * other.error) / least
        };
        Self::rounded(value, error, 3.0)
    }
}

macro_rules! from_the_left {
    ($($number:ty),*) => {$(
        impl Sub<Real> for $number {
            type Output = Real;

            fn sub(self, other: Real) -> Real {
                Real::from(self) - other
            }
        }

        impl Mul<Real> for $number {
            type Output = Real;

            fn mul(self, other: Real) -> Real {
                Real::from(self) * other
            }
        }
    )*};
}
from_the_left!(f32);
