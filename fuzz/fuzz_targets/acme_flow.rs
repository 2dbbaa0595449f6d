//! See `perennial_fuzz::acme_flow`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perennial_fuzz::acme_flow(bytes));
