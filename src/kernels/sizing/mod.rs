//! Sizes
