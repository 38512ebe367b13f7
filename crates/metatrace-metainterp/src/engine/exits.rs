//! Exits: frames are rebuilt and the execution goes on, as blackhole or recording a bridge; and the balance of a loop.

use super::Engine;
use super::state::{Guard, WayOut};
use crate::abort::Abort;
use crate::resume::Rebuilder;
use metatrace_backend::{Exit, ExitHandler, LoopToken};
use metatrace_ir::eval::{eval_with_descr, location};
use metatrace_ir::{Class, Const, DescrRef, GuardId, Opcode};
use metatrace_jitcode::domain::Flow;
use metatrace_jitcode::{Concrete, Interp, Outcome};
use metatrace_native::Payload;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// How an execution went on behind an exit.
pub(super) struct Continuation {
    pub(super) outcome: Outcome<u64>,
    pub(super) way_out: WayOut,
}

impl Engine {
    /// Goes on where a trace was left.
    ///
    /// # Safety
    /// `exit` is reported by the backend, whose frame is alive.
    unsafe fn exit(&self, exit: &Exit<'_>) -> Continuation {
        self.stats.borrow_mut().exits += 1;
        let guard = self.state.borrow().guards[exit.guard.0 as usize].clone();
        if self.wants_bridge(&guard, exit) && self.can_have_bridge(&guard, exit.guard) {
            // SAFETY: forwarded.
            return unsafe { self.record_bridge(&guard, exit) };
        }
        let mut stack = self.stack.take();
        let mut words = ExitWords { exit: exit.values };
        guard.borrow().resume.rebuild(&*self.source, &mut words, &mut stack);
        let blackhole = Concrete {
            at_merge_point: Flow::Stop,
        };
        let mut interp = Interp::new(blackhole, &*self.source, stack);
        // SAFETY: the frames hold what the trace's snapshot says is live.
        let outcome = unsafe {
            match exit.payload {
                Some(payload) => interp.unwind(Payload::from_word(payload)),
                None => interp.resume(),
            }
        };
        let way_out = WayOut::Blackhole { steps: interp.steps() };
        self.give_back(interp.stack);
        Continuation { outcome, way_out }
    }

    pub(super) fn wants_bridge(&self, guard: &Rc<RefCell<Guard>>, exit: &Exit<'_>) -> bool {
        let guard = &mut *guard.borrow_mut();
        guard.exits = guard.exits.saturating_add(1);
        let can_have_one = exit.payload.is_none() && guard.resume.opcode != Opcode::Finish;
        can_have_one
            && !self.tracing.get()
            && !guard.has_bridge
            && !guard.backoff.has_given_up()
            && guard.exits >= self.wait_for_bridge(guard)
    }

    /// Exits at the guard until it gets a bridge. The more bridges its loop has, the less of its executions each of them serves.
    pub(super) fn wait_for_bridge(&self, guard: &Guard) -> u32 {
        const BRIDGES: u32 = 32;
        let bridges = self.state.borrow().loops[guard.token.0 as usize].bridges;
        let wait = guard.backoff.scale(self.params.borrow().trace_eagerness);
        wait.saturating_mul(1 + bridges / BRIDGES)
    }

    /// Whether the guard's loop may grow; if not, the guard is given up.
    fn can_have_bridge(&self, guard: &Rc<RefCell<Guard>>, name: GuardId) -> bool {
        let token = guard.borrow().token;
        let bridges = self.state.borrow().loops[token.0 as usize].bridges;
        let has_room = bridges < self.params.borrow().max_bridges;
        if !has_room {
            guard.borrow_mut().backoff.abort(Abort::TooManyBridges);
            self.count_abort(Abort::TooManyBridges, &format!("guard {:#x}", name.0));
        }
        has_room
    }

    /// Draws the balance of the loop that was entered, and demotes it where it loses: entering it was the decision, wherever
    /// in the code it led to the exit was.
    fn balance(&self, token: LoopToken, inside: Duration, way_out: WayOut) {
        if !self.params.borrow().demotion {
            return;
        }
        let state = &mut *self.state.borrow_mut();
        let entered = &mut state.loops[token.0 as usize];
        let cell = &mut state.cells[entered.cell.0];
        match entered.balance.add(inside.as_nanos() as u64, way_out) {
            None => {}
            Some(true) => cell.demotion.win(),
            Some(false) => {
                cell.demotion.lose();
                self.counters.unpin(cell.hash);
                self.stats.borrow_mut().demotions += 1;
            }
        }
    }
}

/// Executes an exit's program on words.
struct ExitWords<'a> {
    /// The exit's values.
    exit: &'a [u64],
}

impl Rebuilder for ExitWords<'_> {
    type Value = u64;

    fn exit(&mut self, n: usize) -> u64 {
        self.exit[n]
    }

    fn constant(&mut self, constant: Const, _: bool) -> u64 {
        constant.bits
    }

    fn execute(&mut self, opcode: Opcode, descr: Option<&DescrRef>, args: &[u64]) -> u64 {
        // SAFETY: resume data is encoded from a trace whose stores are allowed on what its values point to, and the exit's
        // values are those of the trace; what delays a store knows that the memory is still there.
        unsafe { execute_sunk(opcode, descr, args) }
    }
}

/// The result of a sunk operation.
///
/// # Safety
/// A store is allowed on what its operands point to.
pub(super) unsafe fn execute_sunk(opcode: Opcode, descr: Option<&DescrRef>, args: &[u64]) -> u64 {
    match (opcode.class(), descr) {
        (Class::Store, Some(descr)) => {
            let (address, word) = location(descr, args);
            let value = *args.last().expect("a store has a value");
            // SAFETY: by the caller's promise.
            unsafe { metatrace_native::store(address, word, value) };
            0
        }
        (Class::Alloc, _) => {
            // no instruction of jitcode records one that may be sunk
            panic!("{} at an exit, where nobody makes memory", opcode.name())
        }
        (_, descr) => eval_with_descr(opcode, descr.map(|descr| &**descr), args)
            .unwrap_or_else(|| panic!("{} at an exit, of {args:?}", opcode.name())),
    }
}

/// Takes the exit of one execution of a loop.
pub(super) struct Handler<'a> {
    engine: &'a Engine,
    token: LoopToken,
    outcome: Option<Outcome<u64>>,
}

impl<'a> Handler<'a> {
    pub(super) fn new(engine: &'a Engine, token: LoopToken) -> Handler<'a> {
        Handler {
            engine,
            token,
            outcome: None,
        }
    }

    /// How the execution went on behind the exit.
    pub(super) fn into_outcome(self) -> Outcome<u64> {
        self.outcome.expect("a backend reports the exit")
    }
}

impl ExitHandler for Handler<'_> {
    fn exit(&mut self, exit: Exit<'_>) {
        // SAFETY: called by the backend, with its frame alive.
        let continuation = unsafe { self.engine.exit(&exit) };
        self.outcome = Some(continuation.outcome);
        match exit.inside {
            Some(inside) if !exit.may_be_forced => self.engine.balance(self.token, inside, continuation.way_out),
            _ => {}
        }
    }
}
