//! Rank
