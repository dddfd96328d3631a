//! Memory of a buffer on the CPU.

use std::ops::{Deref, DerefMut};

use super::element::Element;

/// Bytes of a cache line: a row of a whole number of lines then touches no other.
const LINE: usize = 64;

/// From so many bytes on memory is asked for in pages of 2 MiB where the system has them (transparent huge pages on
/// Linux): rows that lie anywhere then miss fewer translations, and fresh memory comes with a few hundred times fewer
/// faults.
#[cfg(target_os = "linux")]
const HUGE: usize = 4 << 20;

/// Elements that begin with a cache line.
#[derive(Debug)]
pub(super) enum HostMemory<T> {
    /// Those from `begin` on, in a vector that has room to choose it.
    Vector { values: Vec<T>, begin: usize },
    /// A mapping of its own, of as many bytes.
    #[cfg(target_os = "linux")]
    Mapped(memmap2::MmapMut),
}

impl<T: Element> HostMemory<T> {
    pub fn zeroed(len: usize) -> Self {
        if let Some(mapped) = Self::mapped(len) {
            return mapped;
        }
        let mut values = vec![T::zeroed(); len + Self::room()];
        let begin = Self::begin(&values);
        values.truncate(begin + len);
        Self::Vector { values, begin }
    }

    pub fn from_slice(from: &[T]) -> Self {
        if let Some(mut mapped) = Self::mapped(from.len()) {
            mapped.copy_from_slice(from);
            return mapped;
        }
        let mut values = Vec::with_capacity(from.len() + Self::room());
        let begin = Self::begin(&values);
        values.resize(begin, T::zeroed());
        values.extend_from_slice(from);
        Self::Vector { values, begin }
    }

    /// The caller's, which begin wherever they do.
    pub fn from_vec(values: Vec<T>) -> Self {
        Self::Vector { values, begin: 0 }
    }

    /// Zeros, where they are many.
    #[cfg(target_os = "linux")]
    fn mapped(len: usize) -> Option<Self> {
        let bytes = len.checked_mul(size_of::<T>()).filter(|bytes| *bytes >= HUGE)?;
        let map = memmap2::MmapMut::map_anon(bytes).ok()?;
        // A kernel without huge pages says so, and gives small ones.
        let _ = map.advise(memmap2::Advice::HugePage);
        Some(Self::Mapped(map))
    }

    #[cfg(not(target_os = "linux"))]
    fn mapped(_: usize) -> Option<Self> {
        None
    }

    /// More elements than any begin needs.
    fn room() -> usize {
        LINE / size_of::<T>().max(1)
    }

    #[allow(clippy::ptr_arg, reason = "it is the vector that does not move")]
    fn begin(values: &Vec<T>) -> usize {
        // Where no element begins with a line, any place will do.
        Some(values.as_ptr().align_offset(LINE)).filter(|begin| *begin <= Self::room()).unwrap_or(0)
    }
}

impl<T: Element> Deref for HostMemory<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Vector { values, begin } => &values[*begin..],
            #[cfg(target_os = "linux")]
            Self::Mapped(map) => bytemuck::cast_slice(map),
        }
    }
}

impl<T: Element> DerefMut for HostMemory<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::Vector { values, begin } => &mut values[*begin..],
            #[cfg(target_os = "linux")]
            Self::Mapped(map) => bytemuck::cast_slice_mut(map),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_begin_with_a_line() {
        let is_aligned = |values: &[u16]| values.as_ptr().addr().is_multiple_of(LINE);
        for len in [0, 1, 31, 32, 1000, 1 << 20, (4 << 20) + 1] {
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
