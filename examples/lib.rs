//! The examples are the files beside this one: see the README for the order to read them in.
