//! Played handoffs.
