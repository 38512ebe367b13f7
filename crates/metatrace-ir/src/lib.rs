//! The trace IR: the linear operations that the tracer records, the optimiser rewrites and the backends run.
//!
//! - [`op`]: the one table of operations, with names, operand kinds and effects;
//! - [`value`]: kinds, references to values, constants;
//! - [`descr`]: facts of layout or effect (fields, arrays, sizes, calls);
//! - [`trace`]: a [`Trace`], its guards' snapshots, its roots, and the builder;
//! - [`eval`]: what each pure operation computes, on plain words: the one definition of Rust's arithmetic that constant
//!   folding, the jitcode interpreter and the reference executor share;
//! - [`ownership`]: which pointers may lead to the same memory, and who may change it;
//! - [`text`]: the textual form, printed and (feature `parse`) parsed; [`mod@verify`]: the invariants, checked;
//! - [`compare`]: whether two traces are the same.
//!
//! Invariants: every value is a 64-bit word of one of three kinds; every operand is defined before it is used; a trace
//! has one entry and ends in `jump` or `finish`. Absent: anything that knows how traces are made or executed.
#![forbid(unsafe_code)]

pub mod args;
pub mod compare;
pub mod descr;
pub mod eval;
pub mod op;
pub mod ownership;
#[cfg(feature = "random")]
pub mod random;
pub mod text;
pub mod trace;
pub mod value;
pub mod verify;

pub use args::Args;
pub use descr::{
    ArrayDescr, CallDescr, Descr, DescrRef, Effect, FieldDescr, Memory, Pointee, SizeDescr, TargetToken, Word,
};
pub use op::{Class, OpInfo, Opcode};
pub use trace::{
    Derived, Frame, FramesOnce, GuardId, InputWord, JitCodeId, Op, Reach, Root, RootKind, Snapshot, SnapshotId, Trace,
};
pub use value::{Const, Kind, Ref};
pub use verify::verify;
