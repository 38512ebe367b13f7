//! What a driver has done, for tests, logs and curious authors.

use crate::abort::Abort;
use std::collections::BTreeMap;

/// Counters of a driver.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Traces compiled that start at a merge point.
    pub loops: u64,
    /// Traces compiled that start at a guard.
    pub bridges: u64,
    /// Entries into compiled code from the interpreter.
    pub entries: u64,
    /// Exits from compiled code.
    pub exits: u64,
    /// Loops given up because their exits cost more than their code saved.
    pub demotions: u64,
    /// Traces given up, by reason.
    pub aborts: BTreeMap<Abort, u64>,
    /// Recordings begun.
    pub tracings: u64,
    /// Traces handed to the backend.
    pub backend_runs: u64,
    /// Operations executed while recording, and those recorded.
    pub ops: u64,
    /// Operations recorded.
    pub recorded_ops: u64,
    /// Of these, calls.
    pub recorded_calls: u64,
    /// Of these, guards.
    pub recorded_guards: u64,
    /// Operations after optimisation.
    pub opt_ops: u64,
    /// Of these, guards.
    pub opt_guards: u64,
    /// Nanoseconds spent recording.
    pub tracing_ns: u64,
    /// Nanoseconds spent optimising and assembling.
    pub backend_ns: u64,
}

impl Stats {
    /// Aborts of all reasons.
    pub fn total_aborts(&self) -> u64 {
        self.aborts.values().sum()
    }
}
