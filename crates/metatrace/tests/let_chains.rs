//! The part of the staging suite that needs edition 2024; `staging.rs` is compiled in edition 2021 as well.

#[allow(dead_code)]
#[path = "staging/harness.rs"]
mod harness;
#[path = "staging/let_chains.rs"]
mod let_chains;
