//! See `perennial_fuzz::nat64_address`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perennial_fuzz::nat64_address(bytes));
