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
