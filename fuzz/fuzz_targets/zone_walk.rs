//! See `perennial_fuzz::zone_walk`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perennial_fuzz::zone_walk(bytes));
