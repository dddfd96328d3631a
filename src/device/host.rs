//! Memory of a buffer on the CPU.

use std::ops::{Deref, DerefMut};

use super::buffer::Element;

/// Bytes of a cache line: a row of a whole number of lines then touches no other.
const LINE: usize = 64;

/// Elements that begin with a cache line.
#[derive(Debug)]
pub(super) struct HostMemory<T> {
    values: Vec<T>,
    /// The first element, in a vector that has room to choose it.
    begin: usize,
}

impl<T: Element> HostMemory<T> {
    pub fn zeroed(len: usize) -> Self {
        let values = vec![T::zeroed(); len + Self::room()];
        let begin = Self::begin(&values);
        Self { values, begin }.cut(len)
    }

    pub fn from_slice(from: &[T]) -> Self {
        let mut values = Vec::with_capacity(from.len() + Self::room());
        let begin = Self::begin(&values);
        values.resize(begin, T::zeroed());
        values.extend_from_slice(from);
        Self { values, begin }
    }

    /// The caller's, which begin wherever they do.
    pub fn from_vec(values: Vec<T>) -> Self {
        Self { values, begin: 0 }
    }

    fn cut(mut self, len: usize) -> Self {
        self.values.truncate(self.begin + len);
        self
    }

    /// More elements than any begin needs.
    fn room() -> usize {
        LINE / size_of::<T>().max(1)
    }

    fn begin(values: &Vec<T>) -> usize {
        // Where no element begins with a line, any place will do.
        Some(values.as_ptr().align_offset(LINE)).filter(|begin| *begin <= Self::room()).unwrap_or(0)
    }
}

impl<T> Deref for HostMemory<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[self.begin..]
    }
}

impl<T> DerefMut for HostMemory<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[self.begin..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_begin_with_a_line() {
        let is_aligned = |values: &[u16]| values.as_ptr().addr().is_multiple_of(LINE);
        for len in [0, 1, 31, 32, 1000, 1 << 20] {
            let zeroed = HostMemory::<u16>::zeroed(len);
            assert_eq!(*zeroed, vec![0; len]);
            let values: Vec<u16> = (0..len).map(|i| i as u16).collect();
            let copied = HostMemory::from_slice(&values);
            assert_eq!(*copied, values[..]);
            assert!(is_aligned(&zeroed) && is_aligned(&copied), "{len}");
            assert_eq!(*HostMemory::from_vec(values.clone()), values[..]);
        }
        assert_eq!(*HostMemory::from_slice(&[[1u32; 3]; 5]), [[1; 3]; 5]);
        assert_eq!(*HostMemory::from_slice(&[(); 2]), [(); 2]);
    }
}
