//! See `perennial_fuzz::acme_dns_persist`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perennial_fuzz::acme_dns_persist(bytes));
