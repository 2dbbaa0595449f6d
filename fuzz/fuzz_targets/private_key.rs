//! See `perennial_fuzz::private_key`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perennial_fuzz::private_key(bytes));
