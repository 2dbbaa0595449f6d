//! See `perennial_fuzz::provider_answer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perennial_fuzz::provider_answer(bytes));
