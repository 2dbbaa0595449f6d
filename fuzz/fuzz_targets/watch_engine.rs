//! See `perennial_fuzz::watch_engine`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perennial_fuzz::watch_engine(bytes));
