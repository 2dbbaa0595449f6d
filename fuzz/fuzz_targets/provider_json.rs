//! See `perennial_fuzz::provider_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perennial_fuzz::provider_json(bytes));
