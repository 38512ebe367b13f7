//! From a recording to compiled code: the loop or bridge is cut out, optimised, handed to the backend, and its guards'
//! resume data kept.

use super::Engine;
use super::state::{Balance, Guard, Loop, PortalId};
use crate::abort::{Abort, Backoff};
use crate::assemble::{Ending, close_bridge, cut_loop, words_of_inputs};
use crate::recorder::{End, Mark, Recorder};
use metatrace_backend::{Assembled, Backend, BackendError, LoopToken};
use metatrace_ir::text::Offsets;
use metatrace_ir::{GuardId, Ref, TargetToken, Trace};
use metatrace_log::{TraceKind, trace_text};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

impl Engine {
    pub(super) fn finish_loop(&self, portal: PortalId, recorder: &Recorder<'_>) -> Result<(), Abort> {
        let start = recorder.marks().first();
        let (mark, ending) = match &recorder.end {
            Some(End::Close { mark, reds }) => return self.compile_cut(portal, recorder, mark, reds),
            Some(End::Jump { target, reds }) => (start, Ending::Jump(*target, reds.clone())),
            Some(End::Finish) => (start, Ending::Finish),
            Some(End::Aborted(reason)) => return Err(*reason),
            None => return Err(Abort::NoMergePoint),
        };
        let mark = mark.ok_or(Abort::NoMergePoint)?;
        self.compile_loop(portal, recorder, mark, self.new_target(), &ending)
    }

    /// The loop that a recording has closed at one of its marks.
    pub(super) fn compile_cut(
        &self,
        portal: PortalId,
        recorder: &Recorder<'_>,
        mark: &Mark,
        reds: &[Ref],
    ) -> Result<(), Abort> {
        let label = self.new_target();
        self.compile_loop(portal, recorder, mark, label, &Ending::Jump(label, reds.to_vec()))
    }

    pub(super) fn compile_loop(
        &self,
        portal: PortalId,
        recorder: &Recorder<'_>,
        mark: &Mark,
        label: TargetToken,
        ending: &Ending,
    ) -> Result<(), Abort> {
        let code = self.portal_code(portal);
        let mut trace = cut_loop(&recorder.trace, mark, label, ending, &code.red_roots);
        trace.words = words_of_inputs(&code.red_words);
        // Before the token is chosen: printing a location runs the author's code, which may enter the portal again.
        let location = self.log.as_ref().map(|_| self.location(portal, &mark.key));
        let token = LoopToken(self.state.borrow().loops.len() as u32);
        let kind = TraceKind::Loop(token.0, location.unwrap_or_default());
        self.compile(portal, token, &kind, &trace, |backend, trace| {
            backend.compile_loop(token, trace)
        })?;
        let state = &mut *self.state.borrow_mut();
        let hash_cell = state.cell_by_key(portal, &mark.key);
        let cell = &mut state.cells[hash_cell.0];
        cell.code = Some((token, label));
        self.counters.pin(cell.hash);
        state.loops.push(Loop {
            cell: hash_cell,
            bridges: 0,
            balance: Balance::default(),
        });
        self.counters.decay(self.params.borrow().decay);
        self.stats.borrow_mut().loops += 1;
        Ok(())
    }

    /// Optimises a trace, names its guards, hands it to the backend and keeps its resume data.
    pub(super) fn compile(
        &self,
        portal: PortalId,
        token: LoopToken,
        kind: &TraceKind,
        recorded: &Trace,
        assemble: impl FnOnce(&dyn Backend, &Trace) -> Result<Assembled, BackendError>,
    ) -> Result<(), Abort> {
        self.log("jit-log-noopt", || trace_text(recorded, &TraceKind::Recorded, None));
        check(recorded);
        let mut trace = self.optimized(recorded);
        let first_guard = self.state.borrow().guards.len();
        let exits = trace.ops.iter_mut().filter(|op| op.opcode.can_exit());
        for (n, op) in exits.enumerate() {
            op.guard = Some(GuardId((first_guard + n) as u32));
        }
        check(&trace);
        let resume = self.encoder.borrow_mut().encode(&trace);
        let start = Instant::now();
        let backend = self.backend().expect("made before the recording");
        let assembled = assemble(backend, &trace)?;
        let backend_ns = start.elapsed().as_nanos() as u64;
        self.log_compiled(kind, &trace, &assembled);
        let guard = |resume| Guard {
            portal,
            token,
            resume,
            exits: 0,
            has_bridge: false,
            backoff: Backoff::default(),
        };
        let guards = resume
            .into_iter()
            .flatten()
            .map(|resume| Rc::new(RefCell::new(guard(resume))));
        self.state.borrow_mut().guards.extend(guards);
        let stats = &mut *self.stats.borrow_mut();
        stats.backend_runs += 1;
        stats.backend_ns += backend_ns;
        stats.opt_ops += trace.ops.len() as u64;
        stats.opt_guards += trace.ops.iter().filter(|op| op.opcode.is_guard()).count() as u64;
        self.optimizer.borrow_mut().recycle(trace);
        Ok(())
    }

    fn optimized(&self, recorded: &Trace) -> Trace {
        let params = self.params.borrow().clone();
        if !params.optimize {
            return recorded.clone();
        }
        let options = metatrace_opt::Options {
            peel: (recorded.ops.len() < params.disable_unrolling as usize).then(|| self.new_target()),
            ..metatrace_opt::Options::default()
        };
        let optimizer = &mut *self.optimizer.borrow_mut();
        #[cfg(feature = "check")]
        if params.check > 0 {
            return optimized_and_checked(optimizer, recorded, &options, params.check);
        }
        optimizer.optimize(recorded, &options)
    }

    pub(super) fn log_compiled(&self, kind: &TraceKind, trace: &Trace, assembled: &Assembled) {
        if self.log.is_none() {
            return;
        }
        if !assembled.code.is_empty() {
            let _section = self.section("jit-backend");
            self.log("jit-backend-dump", || {
                metatrace_log::dump_text(assembled.address, &assembled.code)
            });
            self.log("jit-backend-addr", || {
                metatrace_log::address_text(kind, assembled.address, assembled.code.len())
            });
        }
        let offsets = Offsets {
            ops: &assembled.op_offsets,
            end: assembled.code.len() as u32,
        };
        let offsets = (!assembled.op_offsets.is_empty()).then_some(offsets);
        let category = match kind {
            TraceKind::Bridge(_) => "jit-log-opt-bridge",
            TraceKind::Loop(..) | TraceKind::Recorded => "jit-log-opt-loop",
        };
        self.log(category, || trace_text(trace, kind, offsets));
    }

    pub(super) fn finish_bridge(
        &self,
        portal: PortalId,
        token: LoopToken,
        guard_cell: &Rc<RefCell<Guard>>,
        guard: GuardId,
        recorder: &mut Recorder<'_>,
    ) -> Result<(), Abort> {
        let ending = match &recorder.end {
            Some(End::Close { mark, reds }) => {
                // The loop is compiled first; the next exit finds it and jumps there.
                self.compile_cut(portal, recorder, mark, reds)?;
                let guard = &mut *guard_cell.borrow_mut();
                guard.exits = self.wait_for_bridge(guard).saturating_sub(1);
                return Ok(());
            }
            Some(End::Jump { target, reds }) => Ending::Jump(*target, reds.clone()),
            Some(End::Finish) => Ending::Finish,
            Some(End::Aborted(reason)) => return Err(*reason),
            None => return Err(Abort::NoMergePoint),
        };
        close_bridge(&mut recorder.trace, &ending);
        let kind = TraceKind::Bridge(guard.0);
        self.compile(portal, token, &kind, &recorder.trace, |backend, trace| {
            backend.compile_bridge(token, guard, trace)
        })?;
        guard_cell.borrow_mut().has_bridge = true;
        self.state.borrow_mut().loops[token.0 as usize].bridges += 1;
        self.stats.borrow_mut().bridges += 1;
        Ok(())
    }
}

/// The optimised trace, once both traces have run in so many worlds.
///
/// # Panics
/// If they differ: a bug of the optimiser. The message has both, and the smallest world in which they do.
#[cfg(feature = "check")]
fn optimized_and_checked(
    optimizer: &mut metatrace_opt::Optimizer,
    recorded: &Trace,
    options: &metatrace_opt::Options,
    worlds: u32,
) -> Trace {
    let recorded = metatrace_check::numbered(recorded);
    let trace = optimizer.optimize(&recorded, options);
    let options = metatrace_check::Options { worlds, seed: 1 };
    if let Err(mismatch) = metatrace_check::check(&recorded, &trace, &options) {
        panic!("an optimised trace differs from what was recorded: {mismatch}\n{recorded}---\n{trace}");
    }
    trace
}

/// In debug builds, a trace that breaks an invariant is a bug of ours, found where it was made.
fn check(trace: &Trace) {
    if cfg!(debug_assertions)
        && let Err(error) = metatrace_ir::verify::verify(trace)
    {
        panic!("{error}\n{trace}");
    }
}
