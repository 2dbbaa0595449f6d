//! See `perennial_fuzz::nameserver`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perennial_fuzz::nameserver(bytes));
