//! Green keys, loops, guards, and the protocol of entering and leaving code.
//!
//! [`Engine::enter`] is called at a back-edge that is due. It runs the loop of the green key if there is one, or records
//! it if the key is hot, and goes on from merge point to merge point as long as there is code; then it writes the reds
//! back, and the native function goes on.

use crate::abort::{Abort, Backoff};
use crate::assemble::{Ending, close_bridge, cut_loop};
use crate::params::Parameters;
use crate::recorder::{End, FrozenAddresses, GreenKey, Limits, Mark, Recorder, Setting, Surroundings};
use crate::resume::{self, ResumeData};
use crate::stats::Stats;
use crate::value::Value;
use crate::warm::Counters;
use metatrace_backend::{Assembled, Backend, BackendError, Exit, ExitHandler, LoopToken};
use metatrace_ir::text::Offsets;
use metatrace_ir::{Class, GuardId, Kind, Opcode, Ref, Root, RootKind, TargetToken, Trace};
use metatrace_jitcode::domain::Flow;
use metatrace_jitcode::{Activation, CalleeKey, Concrete, Insn, Interp, JitCode, Outcome, PortalCode, PortalSource};
use metatrace_log::{Log, TraceKind, trace_text};
use metatrace_native::Payload;
use rustc_hash::FxHashMap;
use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::time::Instant;

/// Prints the location of a green key: a function of the key's words that the driver's front end supplies.
#[derive(Clone, Copy, Debug)]
pub struct Location {
    /// The author's function, erased.
    pub function: *const (),
    /// Calls it.
    ///
    /// # Safety
    /// To be called with `function` and words of a green key that the driver retains.
    pub call: unsafe fn(*const (), &[u64]) -> String,
}

/// A back-edge that is due.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The portal.
    pub portal: CalleeKey,
    /// Its readable name.
    pub name: &'static str,
    /// How to print its green keys.
    pub location: Option<Location>,
    /// The words of the green key.
    pub greens: &'a [u64],
    /// The key's hash, as counted.
    pub hash: u64,
    /// Addresses of the portal's parameters, in order.
    pub params: &'a [u64],
    /// Address of an uninitialised result of the portal.
    pub result: u64,
}

/// How the native portal function goes on.
#[derive(Debug)]
pub enum Next {
    /// At its merge point, with the reds as they are now.
    Go,
    /// It returns; the result has been written.
    Return,
    /// It panics with this payload.
    Panic(Box<dyn Any + Send>),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct PortalId(usize);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct CellId(usize);

#[derive(Debug)]
struct Portal {
    name: &'static str,
    location: Option<Location>,
    code: OnceCell<Rc<PortalCode>>,
    key: CalleeKey,
}

/// What is known of a green key.
#[derive(Debug)]
struct KeyCell {
    hash: u64,
    /// Back-edges counted by look-up, where the table's counter is not the key's own.
    ticks: u32,
    backoff: Backoff,
    code: Option<(LoopToken, TargetToken)>,
}

#[derive(Debug)]
struct Loop {
    cell: CellId,
    bridges: u32,
    balance: Balance,
}

/// Time spent in a loop's code, and on getting out of it, over its latest exits.
#[derive(Debug, Default)]
struct Balance {
    exits: u32,
    inside_ns: u64,
    outside_ns: u64,
}

impl Balance {
    /// Exits after which a balance is drawn.
    const PERIOD: u32 = 2000;

    /// Adds an exit; whether the code has cost more than it can have saved: machine code is a few times faster than the
    /// interpreter, so what it saves is at most a few times the time spent in it.
    fn add(&mut self, inside_ns: u64, outside_ns: u64) -> bool {
        self.exits += 1;
        self.inside_ns += inside_ns;
        self.outside_ns += outside_ns;
        if self.exits < Self::PERIOD {
            return false;
        }
        let is_losing = self.inside_ns.saturating_mul(3) < self.outside_ns;
        *self = Balance::default();
        is_losing
    }
}

#[derive(Debug)]
struct Guard {
    portal: PortalId,
    token: LoopToken,
    resume: ResumeData,
    exits: u32,
    backoff: Backoff,
}

#[derive(Debug, Default)]
struct State {
    portals: Vec<Rc<Portal>>,
    portal_ids: FxHashMap<CalleeKey, PortalId>,
    cells: Vec<KeyCell>,
    cell_ids: FxHashMap<(PortalId, GreenKey), CellId>,
    loops: Vec<Loop>,
    targets: u32,
    guards: Vec<Rc<RefCell<Guard>>>,
}

/// Makes the backend when the first trace is compiled.
pub type BackendFactory = Box<dyn Fn(&Parameters) -> Result<Box<dyn Backend>, BackendError>>;

/// The meta-interpreter of one driver.
pub struct Engine {
    params: RefCell<Parameters>,
    counters: Counters,
    source: Box<dyn PortalSource>,
    make_backend: BackendFactory,
    backend: OnceCell<Result<Box<dyn Backend>, BackendError>>,
    state: RefCell<State>,
    stats: RefCell<Stats>,
    tracing: Cell<bool>,
    frozen: FrozenAddresses,
    log: Option<Log>,
    start: Instant,
}

/// What to do at a back-edge that is due.
enum Action {
    Stay,
    Run(LoopToken),
    Record,
}

impl Engine {
    /// A cold engine. Nothing is staged, and no backend made, before something gets hot.
    pub fn new(params: Parameters, source: Box<dyn PortalSource>, make_backend: BackendFactory) -> Engine {
        let counters = Counters::new(if params.enabled { params.threshold } else { u32::MAX });
        Engine {
            params: RefCell::new(params),
            counters,
            source,
            make_backend,
            backend: OnceCell::new(),
            state: RefCell::default(),
            stats: RefCell::default(),
            tracing: Cell::new(false),
            frozen: FrozenAddresses::default(),
            log: None,
            start: Instant::now(),
        }
    }

    /// From here on, writes what it does to `log`.
    pub fn set_log(&mut self, log: Log) {
        self.log = Some(log);
    }

    /// Ends the log with the summary.
    ///
    /// # Errors
    /// What was wrong with writing the log.
    pub fn finish_log(&mut self) -> std::io::Result<()> {
        let Some(log) = self.log.take() else { return Ok(()) };
        let total = self.start.elapsed().as_nanos() as u64;
        log.write_section("jit-summary", || self.stats().summary(total));
        log.finish()
    }

    fn section(&self, category: &'static str) -> Option<metatrace_log::Section<'_>> {
        self.log.as_ref().map(|log| log.section(category))
    }

    fn log<T: std::fmt::Display>(&self, category: &'static str, content: impl FnOnce() -> T) {
        if let Some(log) = &self.log {
            log.write_section(category, content);
        }
    }

    /// The back-edge counters.
    #[inline(always)]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The parameters.
    pub fn parameters(&self) -> Parameters {
        self.params.borrow().clone()
    }

    /// Replaces the parameters. What concerns the backend has no effect once there is code.
    pub fn set_parameters(&self, params: Parameters) {
        self.counters
            .set_threshold(if params.enabled { params.threshold } else { u32::MAX });
        *self.params.borrow_mut() = params;
    }

    /// What has been done so far.
    pub fn stats(&self) -> Stats {
        self.stats.borrow().clone()
    }

    /// Takes over at a back-edge that is due.
    ///
    /// # Safety
    /// The addresses are those of the portal's parameters and of memory for its result; the greens are the key at this
    /// merge point, and references among them live as long as the engine.
    pub unsafe fn enter(&self, entry: &Entry<'_>) -> Next {
        let portal = self.portal_id(entry);
        let action = self.decide(portal, entry);
        if let Action::Stay = action {
            return Next::Go;
        }
        let code = self.portal_code(portal);
        // SAFETY: the addresses are the parameters', by the caller's promise.
        let words = unsafe { self.run_words(&code.load_params, entry.params) };
        let reds = code.reds_of_params(&words);
        let mut outcome = match action {
            // SAFETY: the reds are those of this merge point, and the code is the key's.
            Action::Run(token) => unsafe { self.run(token, &reds) },
            // SAFETY: likewise.
            _ => unsafe { self.record_loop(portal, entry.greens, &words) },
        };
        loop {
            match outcome {
                Outcome::MergePoint { greens, reds } => {
                    if let Some((token, _)) = self.code_of(portal, &greens) {
                        // SAFETY: the blackhole came to this merge point with these reds.
                        outcome = unsafe { self.run(token, &reds) };
                        continue;
                    }
                    let mut args = entry.params.to_vec();
                    args.extend(code.param_values(&greens, &reds));
                    // SAFETY: the addresses are the parameters'; the words are theirs at this merge point.
                    unsafe { self.run_words(&code.store_params, &args) };
                    return Next::Go;
                }
                Outcome::Return(words) => {
                    let mut args = vec![entry.result];
                    args.extend(words);
                    // SAFETY: the address is that of memory for the result, by the caller's promise.
                    unsafe { self.run_words(&code.store_result, &args) };
                    return Next::Return;
                }
                // SAFETY: the payload has come out of an execution, which gave it away.
                Outcome::Panic(payload) => return Next::Panic(unsafe { payload.into_box() }),
            }
        }
    }

    // ---- keys

    fn portal_id(&self, entry: &Entry<'_>) -> PortalId {
        let state = &mut *self.state.borrow_mut();
        let portals = &mut state.portals;
        *state.portal_ids.entry(entry.portal).or_insert_with(|| {
            let (name, location) = (entry.name, entry.location);
            portals.push(Rc::new(Portal {
                name,
                location,
                code: OnceCell::new(),
                key: entry.portal,
            }));
            PortalId(portals.len() - 1)
        })
    }

    fn portal(&self, portal: PortalId) -> Rc<Portal> {
        self.state.borrow().portals[portal.0].clone()
    }

    fn portal_code(&self, portal: PortalId) -> Rc<PortalCode> {
        let portal = self.portal(portal);
        portal.code.get_or_init(|| self.source.portal(portal.key)).clone()
    }

    fn decide(&self, portal: PortalId, entry: &Entry<'_>) -> Action {
        let Parameters { threshold, enabled, .. } = *self.params.borrow();
        if !enabled {
            self.counters.unpin(entry.hash);
            return Action::Stay;
        }
        let state = &mut *self.state.borrow_mut();
        let cell = state.cell(portal, entry.greens, entry.hash);
        let cell = &mut state.cells[cell.0];
        if let Some((token, _)) = cell.code {
            self.counters.pin(entry.hash);
            return Action::Run(token);
        }
        let is_shared = self.counters.is_pinned(entry.hash);
        self.counters.reset(entry.hash);
        if self.tracing.get() || cell.backoff.has_given_up() {
            return Action::Stay;
        }
        cell.ticks = cell.ticks.saturating_add(if is_shared { 1 } else { threshold });
        if cell.ticks < cell.backoff.scale(threshold) {
            return Action::Stay;
        }
        cell.ticks = 0;
        Action::Record
    }

    fn code_of(&self, portal: PortalId, greens: &[u64]) -> Option<(LoopToken, TargetToken)> {
        let state = self.state.borrow();
        let cell = state.cell_ids.get(&(portal, GreenKey::from_slice(greens)))?;
        state.cells[cell.0].code
    }

    fn new_target(&self) -> TargetToken {
        let mut state = self.state.borrow_mut();
        state.targets += 1;
        TargetToken(state.targets)
    }

    // ---- execution

    /// Runs one of the small jitcodes of a portal.
    ///
    /// # Safety
    /// `args` are valid arguments of it.
    unsafe fn run_words(&self, code: &Rc<JitCode>, args: &[u64]) -> Vec<u64> {
        let mut interp = Interp::new(
            Concrete {
                at_merge_point: Flow::Continue,
            },
            &*self.source,
            Vec::new(),
        );
        // SAFETY: forwarded.
        match unsafe { interp.call(code, args) } {
            Outcome::Return(words) => words,
            other => panic!("{} ended in {other:?}", code.name),
        }
    }

    fn backend(&self) -> Result<&dyn Backend, BackendError> {
        let backend = self.backend.get_or_init(|| (self.make_backend)(&self.params.borrow()));
        match backend {
            Ok(backend) => Ok(&**backend),
            Err(error) => Err(error.clone()),
        }
    }

    /// Enters a loop and executes until the next merge point behind its exit.
    ///
    /// # Safety
    /// `reds` are the words at the loop's merge point.
    unsafe fn run(&self, token: LoopToken, reds: &[u64]) -> Outcome<u64> {
        let backend = self.backend().expect("a loop was compiled");
        self.stats.borrow_mut().entries += 1;
        let mut handler = Handler {
            engine: self,
            token,
            start: Instant::now(),
            outcome: None,
        };
        // SAFETY: the reds are valid inputs of the loop's trace.
        unsafe { backend.execute(token, reds, &mut handler) };
        handler.outcome.expect("a backend reports the exit")
    }

    fn setting<'a>(&'a self, surroundings: &'a dyn Surroundings, code: &'a PortalCode) -> Setting<'a> {
        let params = self.params.borrow();
        let limits = Limits {
            ops: params.trace_limit as usize,
            depth: params.max_inline_depth as usize,
        };
        Setting {
            surroundings,
            limits,
            red_roots: &code.red_roots,
            frozen: &self.frozen,
        }
    }

    /// Executes from a merge point, recording a loop.
    ///
    /// # Safety
    /// `words` are those of the portal's parameters at the merge point.
    unsafe fn record_loop(&self, portal: PortalId, greens: &[u64], words: &[u64]) -> Outcome<u64> {
        let code = self.portal_code(portal);
        let kinds = code.red_kinds();
        let mut trace = Trace::new(kinds.clone());
        trace.roots = roots_of_inputs(&code.red_roots);
        let traced: Vec<Value> = {
            let reds = code.reds_of_params(words);
            let reds: Vec<Value> = reds
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
        let recorder = Recorder::new_loop(trace, setting);
        let mut interp = Interp::new(recorder, &*self.source, Vec::new());
        // SAFETY: the words are the parameters', by the caller's promise.
        let outcome = self.recording(|| unsafe { interp.call(&code.jitcode, &traced) });
        let recorder = interp.domain;
        self.count_recording(&recorder);
        if let Err(reason) = self.finish_loop(portal, &recorder) {
            self.abort_at(portal, greens, reason);
        }
        concrete(outcome)
    }

    /// Runs `execution` with the flag set that keeps other recordings from starting.
    fn recording<R>(&self, execution: impl FnOnce() -> R) -> R {
        struct Reset<'a>(&'a Cell<bool>);
        impl Drop for Reset<'_> {
            fn drop(&mut self) {
                self.0.set(false);
            }
        }
        self.tracing.set(true);
        self.stats.borrow_mut().tracings += 1;
        let start = Instant::now();
        let reset = Reset(&self.tracing);
        let result = execution();
        drop(reset);
        self.stats.borrow_mut().tracing_ns += start.elapsed().as_nanos() as u64;
        result
    }

    // ---- compilation

    fn finish_loop(&self, portal: PortalId, recorder: &Recorder<'_>) -> Result<(), Abort> {
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
    fn compile_cut(&self, portal: PortalId, recorder: &Recorder<'_>, mark: &Mark, reds: &[Ref]) -> Result<(), Abort> {
        let label = self.new_target();
        self.compile_loop(portal, recorder, mark, label, &Ending::Jump(label, reds.to_vec()))
    }

    fn compile_loop(
        &self,
        portal: PortalId,
        recorder: &Recorder<'_>,
        mark: &Mark,
        label: TargetToken,
        ending: &Ending,
    ) -> Result<(), Abort> {
        let code = self.portal_code(portal);
        let trace = cut_loop(&recorder.trace, mark, label, ending, &code.red_roots);
        let token = LoopToken(self.state.borrow().loops.len() as u32);
        let kind = TraceKind::Loop(token.0, self.location(portal, &mark.key));
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
    fn compile(
        &self,
        portal: PortalId,
        token: LoopToken,
        kind: &TraceKind,
        recorded: &Trace,
        assemble: impl FnOnce(&dyn Backend, &Trace) -> Result<Assembled, BackendError>,
    ) -> Result<(), Abort> {
        let start = Instant::now();
        self.log("jit-log-noopt", || trace_text(recorded, &TraceKind::Recorded, None));
        check(recorded);
        let optimize = self.params.borrow().optimize;
        let mut trace = if optimize {
            optimized(recorded)
        } else {
            recorded.clone()
        };
        let first_guard = self.state.borrow().guards.len();
        let exits = trace.ops.iter_mut().filter(|op| op.opcode.can_exit());
        for (n, op) in exits.enumerate() {
            op.guard = Some(GuardId((first_guard + n) as u32));
        }
        check(&trace);
        let resume = resume::encode(&trace);
        let assembled = assemble(self.backend()?, &trace)?;
        self.log_compiled(kind, &trace, &assembled);
        let guard = |resume| Guard {
            portal,
            token,
            resume,
            exits: 0,
            backoff: Backoff::default(),
        };
        let guards = resume
            .into_iter()
            .flatten()
            .map(|resume| Rc::new(RefCell::new(guard(resume))));
        self.state.borrow_mut().guards.extend(guards);
        let stats = &mut *self.stats.borrow_mut();
        stats.backend_runs += 1;
        stats.backend_ns += start.elapsed().as_nanos() as u64;
        stats.opt_ops += trace.ops.len() as u64;
        stats.opt_guards += trace.ops.iter().filter(|op| op.opcode.is_guard()).count() as u64;
        Ok(())
    }

    fn log_compiled(&self, kind: &TraceKind, trace: &Trace, assembled: &Assembled) {
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

    fn count_recording(&self, recorder: &Recorder<'_>) {
        let stats = &mut *self.stats.borrow_mut();
        let of_class = |class| {
            recorder
                .trace
                .ops
                .iter()
                .filter(|op| op.opcode.class() == class)
                .count() as u64
        };
        stats.ops += recorder.executed;
        stats.heapcached_ops += recorder.heapcached;
        stats.recorded_ops += recorder.trace.ops.len() as u64;
        stats.recorded_calls += of_class(Class::Call);
        stats.recorded_guards += of_class(Class::Guard);
    }

    fn count_abort(&self, reason: Abort, place: &str) {
        *self.stats.borrow_mut().aborts.entry(reason).or_default() += 1;
        self.log("jit-abort", || format!("{place}: {reason}"));
        if self.params.borrow().strict {
            panic!("strict: a trace at {place} was given up: {reason}");
        }
    }

    fn abort_at(&self, portal: PortalId, greens: &[u64], reason: Abort) {
        {
            let state = &mut *self.state.borrow_mut();
            let cell = state.cell_by_key(portal, greens);
            state.cells[cell.0].backoff.abort(reason);
        }
        let place = self.location(portal, greens);
        self.count_abort(reason, &place);
    }

    /// The printable location of a green key.
    fn location(&self, portal: PortalId, greens: &[u64]) -> String {
        let portal = self.portal(portal);
        match portal.location {
            // SAFETY: the words are those of a key, whose references live as long as the engine.
            Some(Location { function, call }) => unsafe { call(function, greens) },
            None => {
                let words: Vec<String> = greens.iter().map(u64::to_string).collect();
                format!("{}({})", portal.name, words.join(" "))
            }
        }
    }

    // ---- exits

    /// Goes on where a trace was left.
    ///
    /// # Safety
    /// `exit` is reported by the backend, whose frame is alive.
    unsafe fn exit(&self, exit: &Exit<'_>) -> Outcome<u64> {
        self.stats.borrow_mut().exits += 1;
        let guard = self.state.borrow().guards[exit.guard.0 as usize].clone();
        if self.wants_bridge(&guard, exit) {
            // SAFETY: forwarded.
            return unsafe { self.record_bridge(&guard, exit) };
        }
        let frames = {
            let guard = guard.borrow();
            guard
                .resume
                .rebuild(&*self.source, |n| exit.values[n], |constant| constant.bits)
        };
        let blackhole = Concrete {
            at_merge_point: Flow::Stop,
        };
        let mut interp = Interp::new(blackhole, &*self.source, frames);
        // SAFETY: the frames hold what the trace's snapshot says is live.
        unsafe {
            match exit.payload {
                Some(payload) => interp.unwind(Payload::from_word(payload)),
                None => interp.resume(),
            }
        }
    }

    fn wants_bridge(&self, guard: &Rc<RefCell<Guard>>, exit: &Exit<'_>) -> bool {
        let guard = &mut *guard.borrow_mut();
        guard.exits = guard.exits.saturating_add(1);
        let can_have_one = exit.payload.is_none() && guard.resume.opcode != Opcode::Finish;
        can_have_one
            && !self.tracing.get()
            && !guard.backoff.has_given_up()
            && guard.exits >= guard.backoff.scale(self.params.borrow().trace_eagerness)
    }

    /// # Safety
    /// As for [`exit`](Self::exit).
    unsafe fn record_bridge(&self, guard_cell: &Rc<RefCell<Guard>>, exit: &Exit<'_>) -> Outcome<u64> {
        let (portal, token) = {
            let mut guard = guard_cell.borrow_mut();
            guard.exits = 0;
            (guard.portal, guard.token)
        };
        let surroundings = KeySurroundings { engine: self, portal };
        let code = self.portal_code(portal);
        let (recorder, frames) = {
            let guard = guard_cell.borrow();
            let resume = &guard.resume;
            let mut trace = Trace::new(resume.kinds.to_vec());
            trace.roots = roots_of_inputs(&resume.roots);
            let inputs: Vec<Value> = (0..exit.values.len())
                .map(|n| Value::traced(resume.kinds[n], exit.values[n], trace.input(n)))
                .collect();
            let frames = resume.rebuild(&*self.source, |n| inputs[n], |constant| self.frozen.value(constant));
            let known = self.known_branch(resume, &frames);
            (
                Recorder::new_bridge(trace, self.setting(&surroundings, &code), frames.len(), known),
                frames,
            )
        };
        let _section = self.section("jit-tracing");
        let mut interp = Interp::new(recorder, &*self.source, frames);
        // SAFETY: the frames hold what the trace's snapshot says is live.
        let outcome = self.recording(|| unsafe { interp.resume() });
        let recorder = interp.domain;
        self.count_recording(&recorder);
        if let Err(reason) = self.finish_bridge(portal, token, guard_cell, exit.guard, recorder) {
            guard_cell.borrow_mut().backoff.abort(reason);
            self.count_abort(reason, &format!("guard {:#x}", exit.guard.0));
        }
        concrete(outcome)
    }

    /// The branch at which the innermost frame stands, if the failure of the guard has decided it. Where guards are forced
    /// to fail it has decided nothing.
    fn known_branch(&self, resume: &ResumeData, frames: &[Activation<Value>]) -> Option<u32> {
        let params = self.params.borrow();
        let is_forced = params.force_exits != 0 || params.force_guard.is_some();
        let is_branch_guard = matches!(resume.opcode, Opcode::GuardTrue | Opcode::GuardFalse);
        let frame = frames.last().expect("a guard has a frame");
        let insn = frame.code.insns[resume.pc() as usize];
        let is_branch = matches!(insn, Insn::Branch { .. } | Insn::BranchIf { .. });
        (is_branch_guard && is_branch && !is_forced).then_some(resume.pc())
    }

    fn finish_bridge(
        &self,
        portal: PortalId,
        token: LoopToken,
        guard_cell: &Rc<RefCell<Guard>>,
        guard: GuardId,
        recorder: Recorder<'_>,
    ) -> Result<(), Abort> {
        let ending = match &recorder.end {
            Some(End::Close { mark, reds }) => {
                // The loop is compiled first; the next exit finds it and jumps there.
                let eagerness = self.params.borrow().trace_eagerness;
                self.compile_cut(portal, &recorder, mark, reds)?;
                guard_cell.borrow_mut().exits = eagerness.saturating_sub(1);
                return Ok(());
            }
            Some(End::Jump { target, reds }) => Ending::Jump(*target, reds.clone()),
            Some(End::Finish) => Ending::Finish,
            Some(End::Aborted(reason)) => return Err(*reason),
            None => return Err(Abort::NoMergePoint),
        };
        if self.state.borrow().loops[token.0 as usize].bridges >= self.params.borrow().max_bridges {
            return Err(Abort::TooManyBridges);
        }
        let trace = close_bridge(recorder.trace, ending);
        let kind = TraceKind::Bridge(guard.0);
        self.compile(portal, token, &kind, &trace, |backend, trace| {
            backend.compile_bridge(token, guard, trace)
        })?;
        guard_cell.borrow_mut().backoff.give_up();
        self.state.borrow_mut().loops[token.0 as usize].bridges += 1;
        self.stats.borrow_mut().bridges += 1;
        Ok(())
    }

    /// Draws the balance of the loop that was entered, and gives it up where it loses.
    fn balance(&self, token: LoopToken, inside_ns: u64, outside_ns: u64) {
        let params = self.params.borrow();
        if params.force_exits != 0 || params.force_guard.is_some() || params.reference {
            return;
        }
        let state = &mut *self.state.borrow_mut();
        let entered = &mut state.loops[token.0 as usize];
        if entered.balance.add(inside_ns, outside_ns) {
            let cell = &mut state.cells[entered.cell.0];
            if cell.code.is_some_and(|(current, _)| current == token) {
                cell.code = None;
                cell.backoff.fail();
                self.counters.unpin(cell.hash);
                self.stats.borrow_mut().demotions += 1;
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Whoever wants to know of an error has called `finish_log`.
        let _ = self.finish_log();
    }
}

impl State {
    fn cell(&mut self, portal: PortalId, greens: &[u64], hash: u64) -> CellId {
        let cells = &mut self.cells;
        *self
            .cell_ids
            .entry((portal, GreenKey::from_slice(greens)))
            .or_insert_with(|| {
                cells.push(KeyCell {
                    hash,
                    ticks: 0,
                    backoff: Backoff::default(),
                    code: None,
                });
                CellId(cells.len() - 1)
            })
    }

    fn cell_by_key(&mut self, portal: PortalId, greens: &[u64]) -> CellId {
        self.cell(portal, greens, hash_greens(greens))
    }
}

/// The hash of a green key, by which back-edges are counted: Fibonacci hashing, word by word.
#[inline(always)]
pub fn hash_greens(greens: &[u64]) -> u64 {
    greens.iter().fold(0, |hash: u64, green| {
        (hash.rotate_left(5) ^ green).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    })
}

fn concrete(outcome: Outcome<Value>) -> Outcome<u64> {
    let bits = |values: Vec<Value>| values.into_iter().map(|value| value.bits).collect();
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

fn optimized(trace: &Trace) -> Trace {
    metatrace_opt::optimize(trace, &metatrace_opt::Options::default())
}

/// In debug builds, a trace that breaks an invariant is a bug of ours, found where it was made.
fn check(trace: &Trace) {
    if cfg!(debug_assertions)
        && let Err(error) = metatrace_ir::verify::verify(trace)
    {
        panic!("{error}\n{trace}");
    }
}

struct Handler<'a> {
    engine: &'a Engine,
    token: LoopToken,
    start: Instant,
    outcome: Option<Outcome<u64>>,
}

impl ExitHandler for Handler<'_> {
    fn exit(&mut self, exit: Exit<'_>) {
        let left = Instant::now();
        // SAFETY: called by the backend, with its frame alive.
        self.outcome = Some(unsafe { self.engine.exit(&exit) });
        let inside = left.duration_since(self.start).as_nanos() as u64;
        self.engine
            .balance(self.token, inside, left.elapsed().as_nanos() as u64);
    }
}

struct KeySurroundings<'a> {
    engine: &'a Engine,
    portal: PortalId,
}

impl Surroundings for KeySurroundings<'_> {
    fn target(&self, key: &[u64]) -> Option<TargetToken> {
        self.engine.code_of(self.portal, key).map(|(_, target)| target)
    }

    fn location(&self, key: &[u64]) -> Option<String> {
        let log = self.engine.log.as_ref()?;
        let is_read = log.wants("jit-log-noopt") || log.wants("jit-log-opt-loop") || log.wants("jit-log-opt-bridge");
        is_read.then(|| self.engine.location(self.portal, key))
    }
}
