//! How a benchmark measures and prints.
