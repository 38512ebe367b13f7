//! Compiles traces from text, runs them, and keeps what their exits gave.

use crate::{Assembled, Backend, BackendError, Exit, ExitHandler, LoopToken};
use metatrace_ir::{GuardId, Kind, Trace};

/// A backend under test.
pub(super) struct Bench {
    pub(super) backend: Box<dyn Backend>,
}

/// What an exit gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Left {
    /// The guard or `finish`.
    pub guard: u32,
    /// The values, in the exit's order.
    pub values: Vec<u64>,
    /// The payload of a panicked call.
    pub payload: Option<u64>,
}

impl Left {
    pub(super) fn new(guard: u32, values: &[u64]) -> Left {
        Left {
            guard,
            values: values.to_vec(),
            payload: None,
        }
    }
}

/// A handler that calls a closure.
pub(super) struct Handler<F>(pub(super) F);

impl<F: FnMut(Exit<'_>)> ExitHandler for Handler<F> {
    fn exit(&mut self, exit: Exit<'_>) {
        (self.0)(exit);
    }
}

/// Runs a loop once; what its exit gave.
///
/// # Safety
/// As for [`Backend::execute`].
pub(super) unsafe fn execute(backend: &dyn Backend, token: LoopToken, args: &[u64]) -> Left {
    let mut left = None;
    let mut handler = Handler(|exit: Exit<'_>| {
        let earlier = left.replace(Left {
            guard: exit.guard.0,
            values: exit.values.to_vec(),
            payload: exit.payload,
        });
        assert_eq!(earlier, None, "the handler is called once");
    });
    // SAFETY: by the caller's promise.
    unsafe { backend.execute(token, args, &mut handler) };
    left.expect("the handler is called")
}

impl Bench {
    pub(super) fn new(backend: Box<dyn Backend>) -> Bench {
        Bench { backend }
    }

    /// Compiles a loop.
    #[track_caller]
    pub(super) fn compile(&self, token: u32, text: &str) -> Assembled {
        self.compile_trace(token, &parse(text))
    }

    #[track_caller]
    pub(super) fn compile_trace(&self, token: u32, trace: &Trace) -> Assembled {
        self.try_compile(token, trace)
            .unwrap_or_else(|error| panic!("{error}\n{}", show(trace)))
    }

    pub(super) fn try_compile(&self, token: u32, trace: &Trace) -> Result<Assembled, BackendError> {
        check(trace);
        self.backend.compile_loop(LoopToken(token), trace)
    }

    /// Compiles a bridge.
    #[track_caller]
    pub(super) fn bridge(&self, token: u32, guard: u32, text: &str) -> Assembled {
        let trace = parse(text);
        check(&trace);
        let result = self.backend.compile_bridge(LoopToken(token), GuardId(guard), &trace);
        result.unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    /// Runs a loop. The words are inputs that its trace may use as it does: every case sees to that.
    pub(super) fn run(&self, token: u32, args: &[u64]) -> Left {
        // SAFETY: the traces of the suite touch only memory that their case owns.
        unsafe { execute(&*self.backend, LoopToken(token), args) }
    }

    /// Runs a loop, which must leave at `guard` with these values.
    #[track_caller]
    pub(super) fn expect(&self, token: u32, args: &[u64], guard: u32, values: &[u64]) {
        assert_eq!(self.run(token, args), Left::new(guard, values), "{token} on {args:x?}");
    }
}

/// The trace of a text.
#[track_caller]
pub(super) fn parse(text: &str) -> Trace {
    text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"))
}

pub(super) fn show(trace: &Trace) -> String {
    trace.print(&Default::default()).to_string()
}

fn check(trace: &Trace) {
    metatrace_ir::verify(trace).unwrap_or_else(|error| panic!("the suite is wrong: {error}\n{}", show(trace)));
}

/// Whether two words of a kind are the same for the suite: any NaN is like any other.
pub(super) fn same(kind: Kind, a: u64, b: u64) -> bool {
    let nan = |bits| f64::from_bits(bits).is_nan();
    a == b || (kind == Kind::Float && nan(a) && nan(b))
}

/// Bits of floats, for expectations.
pub(super) fn bits(floats: &[f64]) -> Vec<u64> {
    floats.iter().map(|float| float.to_bits()).collect()
}
