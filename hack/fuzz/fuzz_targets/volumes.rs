#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| seedpod_fuzz::volumes::run(data));

#[cfg(not(fuzzing))]
fn main() {}
