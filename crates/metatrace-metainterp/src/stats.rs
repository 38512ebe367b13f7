//! What a driver has done, for tests, logs and curious authors.

use crate::abort::Abort;
use metatrace_log::{Counters, Summary};
use std::fmt;

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
    /// Merge points passed in compiled code, with the parameter `count=1`.
    pub merge_points: u64,
    /// Loops given up because their exits cost more than their code saved.
    pub demotions: u64,
    /// Traces given up, by reason.
    pub aborts: Aborts,
    /// Recordings begun.
    pub tracings: u64,
    /// Traces handed to the backend.
    pub backend_runs: u64,
    /// Operations executed while recording.
    pub ops: u64,
    /// Loads that the tracer knew the result of.
    pub heapcached_ops: u64,
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
    /// Nanoseconds from the starts of recordings until code has come of them, or nothing.
    pub tracing_ns: u64,
    /// Of these, nanoseconds in the backend, which assembles.
    pub backend_ns: u64,
}

/// How often traces were given up, by reason.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Aborts([u64; Abort::ALL.len()]);

impl Aborts {
    /// For this reason.
    pub fn of(&self, reason: Abort) -> u64 {
        self.0[reason as usize]
    }

    /// The reasons for which traces were given up, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (Abort, u64)> {
        let counts = Abort::ALL.iter().map(|reason| (*reason, self.of(*reason)));
        counts.filter(|(_, count)| *count > 0)
    }

    pub(crate) fn count(&mut self, reason: Abort) {
        self.0[reason as usize] += 1;
    }
}

impl fmt::Debug for Aborts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Stats {
    /// Aborts of all reasons.
    pub fn total_aborts(&self) -> u64 {
        self.aborts.iter().map(|(_, count)| count).sum()
    }

    /// As the log has them: RPython's summary counts optimising as tracing. `total_ns`: since the driver was made.
    pub fn summary(&self, total_ns: u64) -> Summary {
        let aborts = |reasons: &[Abort]| reasons.iter().map(|reason| self.aborts.of(*reason)).sum();
        let too_long = aborts(&[Abort::TraceTooLong]);
        let bad_loop = aborts(&[Abort::NoMergePoint, Abort::InliningTooDeep, Abort::Panic]);
        Summary {
            tracing: Counters {
                count: self.tracings,
                // a recording under way is not counted yet
                ns: self.tracing_ns.saturating_sub(self.backend_ns),
            },
            backend: Counters {
                count: self.backend_runs,
                ns: self.backend_ns,
            },
            total_ns,
            ops: self.ops,
            heapcached_ops: self.heapcached_ops,
            recorded_ops: self.recorded_ops,
            calls: self.recorded_calls,
            guards: self.recorded_guards,
            opt_ops: self.opt_ops,
            opt_guards: self.opt_guards,
            abort_too_long: too_long,
            abort_compiling: self.total_aborts() - too_long - bad_loop,
            abort_bad_loop: bad_loop,
            loops: self.loops,
            bridges: self.bridges,
            freed_loops: self.demotions,
        }
    }
}
