//! The seeds hold on each toolchain, without a fuzzer.

use std::{fs, path::PathBuf};

/// Runs all seeds of a target, and says which one failed.
fn run_all(target: &str, run: fn(&[u8])) {
    let manifests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let seeds = manifests.join("seeds").join(target);
    let mut paths: Vec<PathBuf> = fs::read_dir(&seeds)
        .unwrap_or_else(|error| panic!("{}: {error}", seeds.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(!paths.is_empty(), "no seeds in {}", seeds.display());
    paths.sort();
    for path in paths {
        // The test's output is shown when it fails.
        println!("{}", path.display());
        run(&fs::read(&path).unwrap());
    }
}

#[test]
fn manifests() {
    run_all("manifest", seedpod_fuzz::manifest::run);
}

#[test]
fn references() {
    run_all("references", seedpod_fuzz::references::run);
}

#[cfg(feature = "server")]
#[test]
fn volumes() {
    run_all("volumes", seedpod_fuzz::volumes::run);
}

/// Bytes that look random and are the same each time.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    let mut bytes: Vec<u8> = (0..length).map(|_| next()).collect();
    // Not a text.
    bytes[0] = 0x80;
    bytes
}

#[test]
fn generated_bundles() {
    for seed in 0..300 {
        println!("seed {seed}");
        seedpod_fuzz::references::run(&noise(seed, 700));
    }
}

#[cfg(feature = "server")]
#[test]
fn generated_volumes() {
    for seed in 0..300 {
        println!("seed {seed}");
        seedpod_fuzz::volumes::run(&noise(seed, 500));
    }
}
