//! See `perennial_fuzz::store_index_log`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perennial_fuzz::store_index_log(bytes));
