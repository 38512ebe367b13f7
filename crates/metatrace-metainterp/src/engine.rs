//! Green keys, loops, guards, and the protocol of entering and leaving code.
//!
//! [`Engine::enter`] is called at a back-edge that is due. It runs the loop of the green key if there is one, or records
//! it if the key is hot, and goes on from merge point to merge point as long as there is code; then it writes the reds
//! back, and the native function goes on.
//!
//! - [`state`]: what is remembered of portals, keys, loops and guards;
//! - [`tracing`]: recordings from a merge point or a guard; [`compile`]: what is made of them;
//! - [`exits`]: what happens where code is left.

mod compile;
mod exits;
mod state;
mod tracing;

use crate::abort::Abort;
use crate::params::Parameters;
use crate::recorder::Scratch;
use crate::resume::Encoder;
use crate::stats::Stats;
use crate::warm::Counters;
use exits::Handler;
use metatrace_backend::{Backend, BackendError, LoopToken};
use metatrace_ir::TargetToken;
use metatrace_jitcode::domain::Flow;
use metatrace_jitcode::{CalleeKey, Concrete, Interp, Outcome, PortalCode, PortalSource, SmallCode, Stack, Words};
use metatrace_log::Log;
use metatrace_opt::Optimizer;
use smallvec::SmallVec;
use state::{Portal, PortalId, State};
use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::time::Instant;

pub use state::hash_greens;

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
/// Makes the backend before anything is recorded.
pub type BackendFactory = Box<dyn Fn(&Parameters) -> Result<Box<dyn Backend>, BackendError>>;

/// The meta-interpreter of one driver.
pub struct Engine {
    params: RefCell<Parameters>,
    counters: Counters,
    source: Rc<dyn PortalSource>,
    make_backend: BackendFactory,
    backend: OnceCell<Result<Box<dyn Backend>, BackendError>>,
    state: RefCell<State>,
    stats: RefCell<Stats>,
    optimizer: RefCell<Optimizer>,
    encoder: RefCell<Encoder>,
    /// What the last recording has left.
    scratch: Cell<Scratch>,
    tracing: Cell<bool>,
    /// What the last execution on plain words has left; empty while one is under way, so that one nested in it has its own.
    stack: Cell<Stack<u64>>,
    /// Merge points passed in compiled code, if they are counted: machine code adds to it in place.
    merge_points: Box<Cell<u64>>,
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
    ///
    /// # Panics
    /// If the parameters ask for what is [not in this build](Parameters::are_built).
    pub fn new(params: Parameters, source: Rc<dyn PortalSource>, make_backend: BackendFactory) -> Engine {
        params.are_built().unwrap_or_else(|error| panic!("{error}"));
        let counters = Counters::new(if params.enabled { params.threshold } else { u32::MAX });
        Engine {
            params: RefCell::new(params),
            counters,
            source,
            make_backend,
            backend: OnceCell::new(),
            state: RefCell::default(),
            stats: RefCell::default(),
            optimizer: RefCell::default(),
            encoder: RefCell::default(),
            scratch: Cell::default(),
            tracing: Cell::new(false),
            stack: Cell::default(),
            merge_points: Box::default(),
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

    /// Replaces the parameters. What concerns the backend has no effect once something was hot enough to be recorded.
    ///
    /// # Panics
    /// If they ask for what is [not in this build](Parameters::are_built).
    pub fn set_parameters(&self, params: Parameters) {
        params.are_built().unwrap_or_else(|error| panic!("{error}"));
        self.counters
            .set_threshold(if params.enabled { params.threshold } else { u32::MAX });
        *self.params.borrow_mut() = params;
    }

    /// What has been done so far.
    pub fn stats(&self) -> Stats {
        let merge_points = self.merge_points.get();
        Stats {
            merge_points,
            ..self.stats.borrow().clone()
        }
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
        // before anything is recorded or staged: without a backend both would be in vain
        if let Action::Record = action
            && let Err(error) = self.backend()
        {
            self.abort_at(portal, entry.greens, error.into());
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
                    if let Some(token) = self.entry_of(portal, &greens) {
                        // SAFETY: the blackhole came to this merge point with these reds.
                        outcome = unsafe { self.run(token, &reds) };
                        continue;
                    }
                    let mut args: SmallVec<[u64; 32]> = SmallVec::from_slice(entry.params);
                    args.extend_from_slice(&code.param_values(&greens, &reds));
                    // SAFETY: the addresses are the parameters'; the words are theirs at this merge point.
                    unsafe { self.run_words(&code.store_params, &args) };
                    return Next::Go;
                }
                Outcome::Return(words) => {
                    let mut args = words;
                    args.insert(0, entry.result);
                    // SAFETY: the address is that of memory for the result, by the caller's promise.
                    unsafe { self.run_words(&code.store_result, &args) };
                    return Next::Return;
                }
                Outcome::Panic(payload) => return Next::Panic(payload.into_box()),
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
        let strict = self.params.borrow().strict;
        let stage = || {
            if strict && let Err(error) = self.source.build_twins(portal.key) {
                panic!("strict: {error}");
            }
            self.source.portal(portal.key)
        };
        portal.code.get_or_init(stage).clone()
    }

    fn decide(&self, portal: PortalId, entry: &Entry<'_>) -> Action {
        if !self.code_may_run() {
            self.counters.unpin(entry.hash);
            return Action::Stay;
        }
        let threshold = self.params.borrow().threshold;
        let state = &mut *self.state.borrow_mut();
        let cell = state.cell(portal, entry.greens, entry.hash);
        let cell = &mut state.cells[cell.0];
        if let Some(token) = cell.entry() {
            self.counters.pin(entry.hash);
            return Action::Run(token);
        }
        let is_shared = self.counters.is_pinned(entry.hash);
        self.counters.reset(entry.hash);
        cell.ticks = cell.ticks.saturating_add(if is_shared { 1 } else { threshold });
        match cell.code {
            Some((token, _)) if cell.ticks >= cell.demotion.wait(threshold) => {
                cell.ticks = 0;
                cell.demotion.is_on = false;
                self.counters.pin(entry.hash);
                Action::Run(token)
            }
            None if cell.ticks >= cell.backoff.scale(threshold)
                && !cell.backoff.has_given_up()
                && !self.tracing.get() =>
            {
                cell.ticks = 0;
                Action::Record
            }
            _ => Action::Stay,
        }
    }

    /// The loop of a key that may be entered from the interpreter.
    fn entry_of(&self, portal: PortalId, greens: &[u64]) -> Option<LoopToken> {
        if !self.code_may_run() {
            return None;
        }
        self.state.borrow().known_cell(portal, greens)?.entry()
    }

    /// Where traces jump to at a key.
    fn target_of(&self, portal: PortalId, greens: &[u64]) -> Option<TargetToken> {
        let state = self.state.borrow();
        let (_, target) = state.known_cell(portal, greens)?.code?;
        Some(target)
    }

    fn new_target(&self) -> TargetToken {
        let mut state = self.state.borrow_mut();
        state.targets += 1;
        TargetToken(state.targets)
    }

    // ---- execution

    /// Whether there is no reason yet to leave all to the interpreter: the JIT is off, the backend cannot be had, or this
    /// process has lost its code by being forked.
    fn code_may_run(&self) -> bool {
        if !self.params.borrow().enabled {
            return false;
        }
        match self.backend.get() {
            Some(Ok(backend)) => backend.is_available(),
            Some(Err(_)) => false,
            None => true,
        }
    }

    /// Runs one of the small jitcodes of a portal.
    ///
    /// # Safety
    /// `args` are valid arguments of it.
    unsafe fn run_words(&self, SmallCode { code, copies }: &SmallCode, args: &[u64]) -> Words<u64> {
        if let Some(copies) = copies {
            // SAFETY: forwarded.
            return unsafe { copies.execute(args) };
        }
        let mut interp = Interp::new(
            Concrete {
                at_merge_point: Flow::Continue,
            },
            &*self.source,
            self.stack.take(),
        );
        // SAFETY: forwarded.
        let outcome = unsafe { interp.call(code, args) };
        self.give_back(interp.stack);
        match outcome {
            Outcome::Return(words) => words,
            other => panic!("{} ended in {other:?}", code.name),
        }
    }

    /// Keeps the memory of an execution for the next.
    fn give_back(&self, mut stack: Stack<u64>) {
        stack.clear();
        self.stack.set(stack);
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
        let mut handler = Handler::new(self, token);
        // SAFETY: the reds are valid inputs of the loop's trace.
        unsafe { backend.execute(token, reds, &mut handler) };
        handler.into_outcome()
    }

    fn count_abort(&self, reason: Abort, place: &str) {
        self.stats.borrow_mut().aborts.count(reason);
        self.log("jit-abort", || format!("{place}: {reason}"));
        if self.params.borrow().strict && !reason.is_the_guests() {
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
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Whoever wants to know of an error has called `finish_log`.
        let _ = self.finish_log();
    }
}
