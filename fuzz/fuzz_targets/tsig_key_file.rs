//! See `perennial_fuzz::tsig_key_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perennial_fuzz::tsig_key_file(bytes));
