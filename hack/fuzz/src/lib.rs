//! What the fuzz targets do with an input: each module has a `run`, which panics when something does not hold.

pub mod dice;
pub mod generate;
pub mod manifest;
pub mod references;
#[cfg(feature = "server")]
pub mod volumes;
