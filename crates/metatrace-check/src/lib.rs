//! The judge of the optimiser: runs a trace as it was recorded and as it was optimised, on the same inputs and the same
//! simulated memory, and compares what others see of both.
//!
//! ```text
//! recorded   visits g0 g1 g2 g0 g1 ✗g2      world: inputs, memory, what calls return and write,
//! optimised  visits g0    g2 g0    ✗g2             all drawn from one generator by key
//!            state of each visit = state of the recorded run at the same guard, in the same iteration
//! ```
//!
//! - `world`: the choices that both runs share, and which memory there is; what the trace says of roots is kept to: memory
//!   of an exclusive root is reached through that root only, frozen memory does not change, everything else may alias;
//! - `memory`: loads, stores and calls on it;
//! - `run`: one execution;
//! - `search`: worlds in which long traces are really walked through, and the smallest in which a difference shows.
//!
//! **What is compared.** A state is the values of an exit's frames, the memory that the trace has changed, and each call
//! before it: its arguments, and the changed memory that it could see. The optimised run's exit names its guard, and the
//! recorded run was at that guard in the same iteration, in the same state. It may leave earlier than the recorded run
//! does, at a guard marked as early, if that leaves as well; never later. Exits that are not taken are compared too, for any
//! guard may be forced to fail. Both traces are entered at their labels as well.
//!
//! Where the recorded run does what no run may do (it loads through null, it divides by zero) nothing more is promised.
//!
//! Independent of the optimiser: it knows what operations mean (`metatrace_ir::eval`) and what the facts of a trace
//! promise, and no rule by which they are used. Absent: threads, so that raw memory changes only by stores and calls;
//! pointers into the cells of an exclusive root from elsewhere; the order of addresses, and numbers that are computed from those
//! of allocations: a trace that hands one out has another in each run, which is reported as a difference.
#![forbid(unsafe_code)]

mod compare;
mod memory;
mod run;
mod search;
mod world;

use metatrace_ir::{GuardId, Trace};
use std::fmt;

/// How much is tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// The number of worlds in which both traces are run.
    pub worlds: u32,
    /// Start of the sequence that chooses them.
    pub seed: u64,
}

/// What was tried, with no difference found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Worlds in which both traces were run.
    pub worlds: u32,
    /// Those in which the recorded trace did what no run may do.
    pub undefined: u32,
    /// States that were compared.
    pub states: u32,
    /// Guards of the recorded trace that were visited at least once.
    pub guards: u32,
}

/// A difference between the two traces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// What differs.
    pub what: String,
    /// The world in which it does: where the run begins, and its choices.
    pub world: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.what, self.world)
    }
}

impl std::error::Error for Mismatch {}

/// The trace with names for its guards, so that what the optimiser makes of it can be compared.
pub fn numbered(trace: &Trace) -> Trace {
    let mut trace = trace.clone();
    let exits = trace.ops.iter_mut().filter(|op| op.opcode.can_exit());
    for (n, op) in exits.enumerate() {
        op.guard = Some(GuardId(n as u32));
    }
    trace
}

/// Whether `optimized`, which was made of `recorded`, does the same.
///
/// # Errors
/// A world in which it does not.
///
/// # Panics
/// If a guard has no name ([`numbered`] gives them), or a trace is not valid.
pub fn check(recorded: &Trace, optimized: &Trace, options: &Options) -> Result<Report, Mismatch> {
    search::check(recorded, optimized, options)
}
