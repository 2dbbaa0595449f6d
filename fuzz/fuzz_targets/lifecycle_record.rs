//! See `perennial_fuzz::lifecycle_record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perennial_fuzz::lifecycle_record(bytes));
