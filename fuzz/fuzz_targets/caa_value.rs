//! See `perennial_fuzz::caa_value`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perennial_fuzz::caa_value(bytes));
