//! What a backend is: it turns traces into something that runs, runs it, and reports exits.
//!
//! The life of a piece of code:
//!
//! 1. [`Backend::compile_loop`] takes a trace whose inputs arrive as words. Each `label` in it becomes a target that any
//!    later `jump` may name.
//! 2. [`Backend::execute`] runs a loop from its start. Control leaves machine code at a guard that fails (and has no
//!    bridge) or at `finish`; then, *while the frame is still alive*, so that `alloca` slots are valid, the
//!    [`ExitHandler`] gets the guard's name and the values of [`Trace::exit`], in that order. When the handler
//!    returns, `execute` returns.
//! 3. [`Backend::compile_bridge`] attaches a trace to a guard: its inputs are the guard's exit values, in order. From
//!    then on the guard's failure continues in the bridge, in the same frame.
//!
//! Sunk operations are the handler's: a backend makes no code for them, and delivers what they depend on.
//!
//! Guards and `finish` have a name by then. A guard on a panicked call and `finish` take no bridge: what follows them
//! is not for a trace.
//!
//! An `alloca` slot is there until `execute` returns, but may be used for something else once its operation is executed
//! again, or once a `jump` has gone to a label of another trace.
//!
//! Re-entrance: all methods take `&self`, and no interior borrow is held while code runs or a handler works; a handler
//! may compile bridges and loops, and execute others.
//!
//! [`reference`](mod@reference) is the executor that interprets traces. The module `conformance`, behind the feature
//! of that name, is the suite that every backend passes.

#![deny(unsafe_code)]

#[cfg(any(test, feature = "conformance"))]
#[allow(unsafe_code, reason = "runs code on memory of its own")]
pub mod conformance;
pub mod forcing;
#[allow(unsafe_code, reason = "works on the guest's real memory")]
pub mod reference;

use metatrace_ir::{GuardId, Opcode, TargetToken, Trace};
use std::fmt;
use std::time::Duration;

pub use forcing::Forcing;

/// Owner of compiled code: a loop or an entry trace with its bridges. Numbered by the caller.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct LoopToken(pub u32);

/// One leaving of a trace.
#[derive(Debug)]
pub struct Exit<'a> {
    /// The guard that failed, or the `finish` that was reached.
    pub guard: GuardId,
    /// The values of [`Trace::exit`], in that order.
    pub values: &'a [u64],
    /// Whether the guard was compiled so that it may fail although its condition holds ([`Forcing`]): then this exit, and
    /// each that a bridge of the guard is entered by, says nothing of the condition.
    pub may_be_forced: bool,
    /// Behind a call that panicked (`guard_no_exception`): the payload's word, to be unpacked once.
    pub payload: Option<u64>,
    /// The time that was spent in the code, without what the backend does to enter and to leave it. `None` where there is no
    /// machine code: the time then says nothing of what it would have saved.
    pub inside: Option<Duration>,
}

/// Takes over where a trace was left.
pub trait ExitHandler {
    /// Called once by [`Backend::execute`], with the frame of the code still alive.
    fn exit(&mut self, exit: Exit<'_>);
}

/// What is known of a compiled trace.
#[derive(Clone, Debug, Default)]
pub struct Assembled {
    /// Address of the code; 0 where there is none.
    pub address: u64,
    /// Its bytes, for logs; empty where there are none.
    pub code: Vec<u8>,
    /// Offset in `code` where each operation's instructions begin, by operation; empty where there is no code.
    pub op_offsets: Vec<u32>,
    /// Bytes of stack the code needs.
    pub frame_size: u32,
}

/// Why a backend refused a trace. The program goes on in the interpreter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BackendError {
    /// The backend has no code for this operation.
    Unsupported(Opcode),
    /// No more room for code.
    OutOfCodeMemory,
    /// The trace needs a larger frame than the backend allows.
    FrameTooLarge {
        /// Bytes needed.
        needed: u32,
    },
    /// A `jump` to a label that was never compiled.
    UnknownTarget(TargetToken),
    /// The machine or the operating system cannot run generated code.
    Unavailable(String),
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackendError::Unsupported(op) => write!(f, "the backend has no code for {}", op.name()),
            BackendError::OutOfCodeMemory => write!(f, "no more room for code"),
            BackendError::FrameTooLarge { needed } => write!(f, "the trace needs a frame of {needed} bytes"),
            BackendError::UnknownTarget(token) => write!(f, "jump to the unknown target {}", token.0),
            BackendError::Unavailable(why) => write!(f, "generated code cannot run here: {why}"),
        }
    }
}

impl std::error::Error for BackendError {}

/// Runs traces. See the module's documentation for the protocol.
pub trait Backend {
    /// Readable name, for logs.
    fn name(&self) -> &'static str;

    /// Whether code can be compiled and executed now. A backend whose code is in memory that a forked child shares with
    /// its parent gives up in the child, for good: to compile is an error there, to execute a panic.
    fn is_available(&self) -> bool {
        true
    }

    /// Compiles a trace that starts a loop or leads into one.
    ///
    /// # Errors
    /// Where the backend cannot; nothing has changed then.
    /// # Panics
    /// If the token has code already.
    fn compile_loop(&self, token: LoopToken, trace: &Trace) -> Result<Assembled, BackendError>;

    /// Compiles a trace that continues the failure of `guard`, whose inputs are the guard's exit values, and attaches
    /// it, in the place of an earlier bridge if there is one.
    ///
    /// # Errors
    /// Where the backend cannot; nothing has changed then.
    /// # Panics
    /// If the guard is not compiled.
    fn compile_bridge(&self, token: LoopToken, guard: GuardId, trace: &Trace) -> Result<Assembled, BackendError>;

    /// Runs a loop from its start until an exit, and calls `handler` there.
    ///
    /// # Safety
    /// `args` are valid inputs of the loop's trace: the trace's memory operations are allowed on what they point to.
    #[allow(unsafe_code, reason = "the contract is unsafe, nothing here")]
    unsafe fn execute(&self, token: LoopToken, args: &[u64], handler: &mut dyn ExitHandler);

    /// Gives up the loop and its bridges. Their memory is reused once no activation runs in them; other code must not
    /// jump to their labels any more. An activation that does run in them goes on, and whether its guards still find
    /// their bridges is up to the backend.
    fn free_loop(&self, token: LoopToken);
}
