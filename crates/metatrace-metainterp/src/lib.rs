//! The meta-interpreter: decides when to trace, records, has traces compiled, and takes over at every exit.
//!
//! ```text
//! back-edge ─▶ warm ─▶ engine ─▶ recorder ─▶ assemble ─▶ (optimiser) ─▶ resume ─▶ (backend)
//!                        ▲                                                 │
//!                        └── exit: rebuild frames, blackhole or bridge ◀───┘
//! ```
//!
//! - [`warm`]: back-edge counters; [`params`]: tuning; [`stats`]: what has been done; [`abort`]: reasons to give up;
//! - [`recorder`]: the tracer; [`assemble`]: loops cut out of recordings;
//! - [`resume`]: frames at a guard, written once, read by blackhole and bridge tracer;
//! - [`engine`]: green keys, loops, guards, and the protocol of entering and leaving code.
//!
//! Invariants: no interior borrow is held while user code, machine code or a recording runs, so portals may be re-entered;
//! at most one recording is under way; giving up never disturbs an execution. Absent: any knowledge of a particular
//! backend or of how jitcode is made.

#![deny(unsafe_code)]

pub mod abort;
pub mod assemble;
#[allow(unsafe_code, reason = "runs jitcode and machine code")]
pub mod engine;
pub mod params;
pub mod recorder;
pub mod resume;
pub mod stats;
pub mod value;
pub mod warm;

pub use abort::Abort;
pub use engine::{Engine, Entry, Location, Next};
pub use metatrace_jitcode::{Twins, Unstageable};
pub use params::{ConfigError, Parameters};
pub use recorder::GreenKey;
pub use stats::{Aborts, Stats};
