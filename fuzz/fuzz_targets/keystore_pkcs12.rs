//! See `perennial_fuzz::keystore_pkcs12`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perennial_fuzz::keystore_pkcs12(bytes));
