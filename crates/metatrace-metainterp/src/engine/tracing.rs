//! Recordings: what they start from, a merge point or a guard's exit, and what becomes of them.

use super::Engine;
use super::exits::{Continuation, execute_sunk};
use super::state::{Guard, PortalId, WayOut};
use crate::assemble::words_of_inputs;
use crate::recorder::{Limits, Recorder, Setting, Surroundings};
use crate::resume::{Below, Rebuilder, ResumeData};
use crate::value::Value;
use metatrace_backend::Exit;
use metatrace_ir::{Class, Const, DescrRef, Kind, Opcode, Ref, Root, RootKind, TargetToken, Word};
use metatrace_jitcode::{Activation, Insn, Interp, Outcome, Pc, PortalCode, Words};
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

/// The time of a recording, with all recordings that begin meanwhile: what a log asks the author may run the portal again.
struct Stopwatch {
    start: Instant,
    before: u64,
}

impl Stopwatch {
    fn start(engine: &Engine) -> Stopwatch {
        Stopwatch {
            start: Instant::now(),
            before: engine.stats.borrow().tracing_ns,
        }
    }

    fn stop(self, engine: &Engine) {
        engine.stats.borrow_mut().tracing_ns = self.before + self.start.elapsed().as_nanos() as u64;
    }
}

impl Engine {
    pub(super) fn setting<'a>(&'a self, surroundings: &'a dyn Surroundings, code: &'a PortalCode) -> Setting<'a> {
        let params = self.params.borrow();
        let limits = Limits {
            ops: params.trace_limit as usize,
            depth: params.max_inline_depth as usize,
        };
        Setting {
            surroundings,
            limits,
            red_roots: &code.red_roots,
            counter: params.count.then(|| std::ptr::from_ref(&*self.merge_points) as u64),
        }
    }

    /// Executes from a merge point, recording a loop.
    ///
    /// # Safety
    /// `words` are those of the portal's parameters at the merge point.
    #[inline(never)] // so that the way of an entry that records nothing stays short
    pub(super) unsafe fn record_loop(&self, portal: PortalId, greens: &[u64], words: &[u64]) -> Outcome<u64> {
        let stopwatch = Stopwatch::start(self);
        let code = self.portal_code(portal);
        let kinds = code.red_kinds();
        let mut scratch = self.scratch.take();
        let mut trace = scratch.trace();
        trace.inputs.clone_from(&kinds);
        trace.roots = roots_of_inputs(&code.red_roots);
        trace.words = words_of_inputs(&code.red_words);
        let traced: Words<Value> = {
            let reds = code.reds_of_params(words);
            let reds: Words<Value> = reds
                .iter()
                .enumerate()
                .map(|(n, red)| Value::traced(kinds[n], *red, Ref::value(n)))
                .collect();
            let greens: Vec<Value> = greens.iter().map(|green| Value::constant(Kind::Int, *green)).collect();
            let mut values = code.param_values(&greens, &reds);
            for (value, kind) in values.iter_mut().zip(&code.jitcode.params) {
                value.kind = *kind;
            }
            values
        };
        let surroundings = KeySurroundings { engine: self, portal };
        let setting = self.setting(&surroundings, &code);
        let _section = self.section("jit-tracing");
        let stack = std::mem::take(&mut scratch.stack);
        let recorder = Recorder::new_loop(trace, setting, scratch);
        let mut interp = Interp::new(recorder, &*self.source, stack);
        // SAFETY: the words are the parameters', by the caller's promise.
        let outcome = self.recording(|| unsafe { interp.call(&code.jitcode, &traced) });
        let recorder = interp.domain;
        self.count_recording(&recorder);
        if let Err(reason) = self.finish_loop(portal, &recorder) {
            self.abort_at(portal, greens, reason);
        }
        self.scratch.set(recorder.into_scratch(interp.stack));
        stopwatch.stop(self);
        concrete(outcome)
    }

    /// Runs `execution` with the flag set that keeps other recordings from starting.
    pub(super) fn recording<R>(&self, execution: impl FnOnce() -> R) -> R {
        struct Reset<'a>(&'a Cell<bool>);
        impl Drop for Reset<'_> {
            fn drop(&mut self) {
                self.0.set(false);
            }
        }
        self.tracing.set(true);
        self.stats.borrow_mut().tracings += 1;
        let _reset = Reset(&self.tracing);
        execution()
    }

    /// # Safety
    /// As for [`exit`](Self::exit).
    #[inline(never)] // likewise, of an exit
    pub(super) unsafe fn record_bridge(&self, guard_cell: &Rc<RefCell<Guard>>, exit: &Exit<'_>) -> Continuation {
        let stopwatch = Stopwatch::start(self);
        let (portal, token) = {
            let mut guard = guard_cell.borrow_mut();
            guard.exits = 0;
            (guard.portal, guard.token)
        };
        let surroundings = KeySurroundings { engine: self, portal };
        let code = self.portal_code(portal);
        let (recorder, stack) = {
            let resume = &guard_cell.borrow().resume.clone();
            let known = resume.inputs();
            let mut scratch = self.scratch.take();
            let mut stack = std::mem::take(&mut scratch.stack);
            let mut trace = scratch.trace();
            trace.inputs = known.kinds;
            (trace.roots, trace.derived, trace.words) = (known.roots, known.derived, known.words);
            let recorder = Recorder::new_bridge(trace, self.setting(&surroundings, &code), resume.depth(), scratch);
            let exit_values = exit.values;
            let mut program = RecordedProgram { recorder, exit_values };
            resume.rebuild(&*self.source, &mut program, &mut stack);
            program.record_below(&known.below);
            let mut recorder = program.recorder;
            if !exit.may_be_forced {
                recorder.known_branch = known_branch(resume, &stack);
            }
            (recorder, stack)
        };
        let _section = self.section("jit-tracing");
        let mut interp = Interp::new(recorder, &*self.source, stack);
        // SAFETY: the frames hold what the trace's snapshot says is live.
        let outcome = self.recording(|| unsafe { interp.resume() });
        let mut recorder = interp.domain;
        self.count_recording(&recorder);
        let operations = recorder.trace.ops.len() as u64;
        let recorded = Instant::now();
        if let Err(reason) = self.finish_bridge(portal, token, guard_cell, exit.guard, &mut recorder) {
            guard_cell.borrow_mut().backoff.abort(reason);
            self.count_abort(reason, &format!("guard {:#x}", exit.guard.0));
        }
        self.scratch.set(recorder.into_scratch(interp.stack));
        let compile_ns = recorded.elapsed().as_nanos() as u64;
        stopwatch.stop(self);
        Continuation {
            outcome: concrete(outcome),
            way_out: WayOut::Recording { operations, compile_ns },
        }
    }

    pub(super) fn count_recording(&self, recorder: &Recorder<'_>) {
        let stats = &mut *self.stats.borrow_mut();
        stats.ops += recorder.executed;
        stats.heapcached_ops += recorder.heapcached;
        stats.recorded_ops += recorder.trace.ops.len() as u64;
        for op in &recorder.trace.ops {
            let class = op.opcode.class();
            stats.recorded_calls += u64::from(class == Class::Call);
            stats.recorded_guards += u64::from(class == Class::Guard);
        }
    }
}

/// Executes an exit's program and records it: a bridge begins with it.
struct RecordedProgram<'a> {
    recorder: Recorder<'a>,
    exit_values: &'a [u64],
}

impl Rebuilder for RecordedProgram<'_> {
    type Value = Value;

    fn exit(&mut self, n: usize) -> Value {
        let trace = &self.recorder.trace;
        Value::traced(trace.inputs[n], self.exit_values[n], trace.input(n))
    }

    fn constant(&mut self, constant: Const, green: bool) -> Value {
        Value::of_constant(constant, green)
    }

    #[inline]
    fn execute(&mut self, opcode: Opcode, descr: Option<&DescrRef>, args: &[Value]) -> Value {
        let words: SmallVec<[u64; 3]> = args.iter().map(|arg| arg.bits).collect();
        // SAFETY: as when the blackhole executes it.
        let result = unsafe { execute_sunk(opcode, descr, &words) };
        let mut args: SmallVec<[Value; 3]> = args.into();
        if let (Class::Store, Some(descr)) = (opcode.class(), descr)
            && let Some(value) = args.last_mut()
        {
            // where only the low bits are stored the trace may have left the others as they were
            *value = self.extended(*value, descr.word().expect("a store has a word"));
        }
        self.recorder.record(opcode, &args, descr, result)
    }
}

impl RecordedProgram<'_> {
    /// The number that a load of such a word would give where the value has been stored.
    fn extended(&mut self, value: Value, word: Word) -> Value {
        let bits = word.extend(value.bits);
        let (opcode, operand) = match word {
            Word::U8 | Word::U16 | Word::U32 => (Opcode::IntAnd, u64::MAX >> (64 - 8 * word.size())),
            Word::I8 | Word::I16 | Word::I32 => (Opcode::IntSignext, word.size().into()),
            Word::U64 | Word::I64 | Word::Length | Word::Ref | Word::F64 => return value,
        };
        if value.is_const() {
            let kind = value.kind;
            return Value::of_constant(Const { kind, bits }, value.is_frozen());
        }
        let operand = Value::constant(Kind::Int, operand);
        self.recorder.record(opcode, &[value, operand], None, bits)
    }

    /// A bridge begins with what the guards in front of its own have proved.
    fn record_below(&mut self, known: &[Below]) {
        for &Below { value, distance, bound } in known {
            let (value, bound) = (self.exit(value), self.exit(bound));
            let place = match distance {
                0 => value,
                _ => {
                    let distance = Value::constant(Kind::Int, distance as u64);
                    let sum = value.bits.wrapping_add(distance.bits);
                    self.recorder.record(Opcode::IntAdd, &[value, distance], None, sum)
                }
            };
            debug_assert!(place.bits < bound.bits, "{place:?} was below {bound:?}");
            let is_below = self.recorder.record(Opcode::UintLt, &[place, bound], None, 1);
            self.recorder.record(Opcode::RecordTrue, &[is_below], None, 0);
        }
    }
}

/// The branch at which the innermost frame stands, if the failure of the guard has decided it.
fn known_branch(resume: &ResumeData, frames: &[Activation<Value>]) -> Option<(usize, Pc)> {
    let is_branch_guard = matches!(resume.opcode, Opcode::GuardTrue | Opcode::GuardFalse) && !resume.early;
    let frame = frames.last().expect("a guard has a frame");
    let insn = frame.code.insns[resume.pc() as usize];
    let is_branch = matches!(insn, Insn::Branch { .. } | Insn::BranchIf { .. });
    (is_branch_guard && is_branch).then_some((frames.len(), resume.pc()))
}

fn concrete(outcome: Outcome<Value>) -> Outcome<u64> {
    let bits = |values: Words<Value>| values.into_iter().map(|value| value.bits).collect();
    match outcome {
        Outcome::MergePoint { greens, reds } => Outcome::MergePoint {
            greens: bits(greens),
            reds: bits(reds),
        },
        Outcome::Return(values) => Outcome::Return(bits(values)),
        Outcome::Panic(payload) => Outcome::Panic(payload),
    }
}

/// Facts about the inputs of a trace, from what is known of each.
fn roots_of_inputs(kinds: &[Option<RootKind>]) -> Vec<Root> {
    let root = |(n, kind): (usize, &Option<RootKind>)| {
        kind.map(|kind| Root {
            value: Ref::value(n),
            kind,
        })
    };
    kinds.iter().enumerate().filter_map(root).collect()
}

struct KeySurroundings<'a> {
    engine: &'a Engine,
    portal: PortalId,
}

impl Surroundings for KeySurroundings<'_> {
    fn target(&self, key: &[u64]) -> Option<TargetToken> {
        self.engine.target_of(self.portal, key)
    }

    fn location(&self, key: &[u64]) -> Option<String> {
        let log = self.engine.log.as_ref()?;
        let is_read = log.wants("jit-log-noopt") || log.wants("jit-log-opt-loop") || log.wants("jit-log-opt-bridge");
        is_read.then(|| self.engine.location(self.portal, key))
    }
}
