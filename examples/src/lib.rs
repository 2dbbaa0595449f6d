//! Shared nothing: the examples are the files beside `src`.
