//! See `perennial_fuzz::txt_quoting`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perennial_fuzz::txt_quoting(bytes));
