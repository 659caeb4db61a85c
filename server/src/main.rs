//! `seedpodd`.

fn main() {}
