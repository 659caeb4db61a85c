#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| seedpod_fuzz::manifest::run(data));

#[cfg(not(fuzzing))]
fn main() {}
