//! See `perennial_fuzz::domain_name`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perennial_fuzz::domain_name(bytes));
