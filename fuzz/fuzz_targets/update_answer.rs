//! See `perennial_fuzz::update_answer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perennial_fuzz::update_answer(bytes));
