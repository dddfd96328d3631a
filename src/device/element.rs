//! What a buffer may hold.

/// What a buffer may hold: plain old data.
pub trait Element: bytemuck::Pod + Send + Sync + Unpin {}
impl<T: bytemuck::Pod + Send + Sync + Unpin> Element for T {}

/// Bytes of this many elements.
pub(super) fn bytes_of<T>(len: usize) -> u64 {
    len as u64 * size_of::<T>() as u64
}
