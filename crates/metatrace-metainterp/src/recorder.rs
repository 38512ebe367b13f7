//! The tracer: the domain that records what the jitcode interpreter does.
//!
//! A recording begins at a merge point or at a guard's exit and ends in one of the ways of [`End`]. Operations whose
//! operands are all constants are not recorded; loads from frozen memory behind a constant are constants. Giving up never
//! disturbs the execution: once [`Recorder::end`] is set, the recorder only passes words on until the next merge point.
//!
//! **Memory.** An interpreter that keeps its position in a frame stores a constant there and loads it again a few operations
//! later; the recording must know that it *is* the constant, or the next bytecode's dispatch is not folded. So what is
//! recorded is also told to [`Contents`], and what is known to be in memory is not loaded again. Words in registers are
//! extended after their type, so what a narrow store leaves behind is the register's own content.
//!
//! **Closing.** At a merge point behind a back-edge, the recorder jumps to the loop of that green key if there is one, else
//! closes the loop if the recording has passed this key before, else remembers the place (a [`Mark`]). A loop that closes
//! at a mark behind the recording's start is cut out of it: inner loops are so compiled first. What makes the cut right is
//! that a [header](metatrace_jitcode::Insn::Header) behind a back-edge leaves nothing in the registers but the parameters: greens,
//! which are made constants there, and reds, which are made distinct values of the trace (a constant or repeated red becomes a
//! `same_as`). What memory holds is forgotten, and the frame is the only one. So nothing recorded behind a mark, no
//! snapshot either, refers to what was recorded before it.

use crate::abort::Abort;
use crate::value::{Source, Value};
use metatrace_ir::ownership::{Access, Contents, Part};
use metatrace_ir::{
    Args, CallDescr, Const, Descr, Effect, FieldDescr, Frame, Kind, Memory, Op, Opcode, Pointee, Ref, Root, RootKind,
    Snapshot, SnapshotId, TargetToken, Trace, Word,
};
use metatrace_jitcode::domain::Flow;
use metatrace_jitcode::{Activation, DescrIndex, Domain, Exchange, JitCode, NativeCall, Pc, Position, Reg, Stack};
use smallvec::SmallVec;
use std::rc::Rc;

/// The words of a green key.
pub type GreenKey = SmallVec<[u64; 4]>;

/// A place where the recording passed a merge point.
#[derive(Clone, Debug)]
pub struct Mark {
    /// The green key there.
    pub key: GreenKey,
    /// Operations recorded before.
    pub op: usize,
    /// The reds: distinct values of the trace.
    pub reds: Vec<Ref>,
}

/// How a recording ended.
#[derive(Clone, Debug)]
pub enum End {
    /// It came back to a mark.
    Close {
        /// Which one.
        mark: Mark,
        /// The reds at the end.
        reds: Vec<Ref>,
    },
    /// It came to a loop that exists.
    Jump {
        /// The loop's label.
        target: TargetToken,
        /// The reds at the end.
        reds: Vec<Ref>,
    },
    /// The portal returned; the last operation is `finish`.
    Finish,
    /// Given up.
    Aborted(Abort),
}

/// What the recorder must know of its driver.
pub trait Surroundings {
    /// The label of the loop with this green key, if it has been compiled.
    fn target(&self, key: &[u64]) -> Option<TargetToken>;

    /// The printable location of a green key, where merge points are to be recorded.
    fn location(&self, key: &[u64]) -> Option<String>;
}

/// Bounds of a recording.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Operations.
    pub ops: usize,
    /// Nested calls.
    pub depth: usize,
}

/// What a recording is made for.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// The driver.
    pub surroundings: &'a dyn Surroundings,
    /// Bounds.
    pub limits: Limits,
    /// What is known of the memory behind the portal's reds.
    pub red_roots: &'a [Option<RootKind>],
    /// The address of a counter of the merge points passed in compiled code, if they are to be counted.
    pub counter: Option<u64>,
}

/// What a recording leaves for the next: memory, and nothing that is known.
#[derive(Default, Debug)]
pub struct Scratch {
    trace: Trace,
    contents: Contents,
    words: Vec<u64>,
    /// For the execution.
    pub stack: Stack<Value>,
}

impl Scratch {
    /// An empty trace, to be recorded.
    pub fn trace(&mut self) -> Trace {
        let mut trace = std::mem::take(&mut self.trace);
        trace.clear();
        trace.reserve_usual();
        trace
    }
}

/// Records one trace. See the module's documentation.
pub struct Recorder<'a> {
    /// What has been recorded.
    pub trace: Trace,
    /// How the recording ended, once it has.
    pub end: Option<End>,
    /// Instructions seen, recorded or not.
    pub executed: u64,
    /// Loads whose result was known.
    pub heapcached: u64,
    surroundings: &'a dyn Surroundings,
    limits: Limits,
    memory: Contents,
    /// By operation: the word that it computed.
    words: Vec<u64>,
    /// The first operation behind the last header: what was computed before may be another value in a loop that is cut out.
    part: usize,
    /// What is known of the reds' memory at a merge point.
    red_roots: &'a [Option<RootKind>],
    counter: Option<u64>,
    /// Snapshots of suspended frames, outermost first, made when first needed.
    suspended: Vec<Option<SnapshotId>>,
    marks: Vec<Mark>,
    /// The header that was passed last, until its merge point.
    header: Option<Mark>,
    behind_back_edge: bool,
    /// Whether the next merge point is the one where the recording starts.
    at_start: bool,
    /// Where a bridge starts: the depth and the instruction of a branch whose outcome the guard's failure has decided.
    pub known_branch: Option<(usize, Pc)>,
}

impl<'a> Recorder<'a> {
    /// A recording that starts at a merge point; the trace's inputs are the reds.
    pub fn new_loop(trace: Trace, setting: Setting<'a>, scratch: Scratch) -> Recorder<'a> {
        let reds = (0..trace.inputs.len()).map(|n| trace.input(n)).collect();
        let start = Mark {
            key: GreenKey::new(),
            op: 0,
            reds,
        };
        Recorder {
            header: Some(start),
            at_start: true,
            ..Recorder::new(trace, setting, 1, scratch)
        }
    }

    /// A recording that starts at a guard with `depth` frames.
    pub fn new_bridge(trace: Trace, setting: Setting<'a>, depth: usize, scratch: Scratch) -> Recorder<'a> {
        Recorder::new(trace, setting, depth, scratch)
    }

    fn new(trace: Trace, setting: Setting<'a>, depth: usize, scratch: Scratch) -> Recorder<'a> {
        let Scratch {
            mut contents,
            mut words,
            ..
        } = scratch;
        contents.restart(&trace.roots, &trace.derived);
        words.clear();
        let Setting {
            surroundings,
            limits,
            red_roots,
            counter,
        } = setting;
        Recorder {
            memory: contents,
            words,
            part: 0,
            trace,
            end: None,
            executed: 0,
            heapcached: 0,
            surroundings,
            limits,
            red_roots,
            counter,
            suspended: vec![None; depth - 1],
            marks: Vec::new(),
            header: None,
            behind_back_edge: false,
            at_start: false,
            known_branch: None,
        }
    }

    /// What it leaves for the next, with the stack of its execution.
    pub fn into_scratch(self, mut stack: Stack<Value>) -> Scratch {
        stack.clear();
        Scratch {
            trace: self.trace,
            contents: self.memory,
            words: self.words,
            stack,
        }
    }

    /// Gives up.
    pub fn abort(&mut self, reason: Abort) {
        if self.end.is_none() {
            self.end = Some(End::Aborted(reason));
        }
    }

    /// The merge points passed so far; the first is where a loop's recording started.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    fn recording(&mut self) -> bool {
        self.executed += 1;
        self.end.is_none()
    }

    /// Appends an operation that gave `result`; `access` is what a load accesses, where that has been asked already.
    fn push(&mut self, op: Op, result: u64, access: Option<&Access>) -> Ref {
        if self.trace.ops.len() >= self.limits.ops {
            self.abort(Abort::TraceTooLong);
        }
        let value = self.trace.push(op);
        let (trace, start) = (&self.trace, self.part);
        let op = trace.ops.last().expect("just pushed");
        let part = Part { trace, start };
        match access {
            Some(access) => self.memory.observe_access(op, value, access, &part),
            None => self.memory.observe(op, value, &part),
        }
        self.words.push(result);
        debug_assert_eq!(self.words.len(), trace.ops.len());
        value
    }

    /// How the trace writes a value.
    fn reference(&mut self, value: Value) -> Ref {
        let (kind, bits) = (value.kind, value.bits);
        match value.source() {
            Source::Trace(reference) => reference,
            Source::Const => self.trace.constant(Const { kind, bits }),
            Source::Frozen => self.trace.constant(Const { kind, bits }).green(),
        }
    }

    fn references(&mut self, values: &[Value]) -> Args {
        values.iter().map(|value| self.reference(*value)).collect()
    }

    /// Records an operation that gave `result`.
    pub fn record(&mut self, opcode: Opcode, args: &[Value], descr: Option<&Rc<Descr>>, result: u64) -> Value {
        let args = self.references(args);
        let op = Op {
            args,
            descr: descr.cloned(),
            ..Op::new(opcode, &[])
        };
        let value = self.push(op, result, None);
        Value::traced(opcode.result().unwrap_or(Kind::Int), result, value)
    }

    /// A load of this kind, which gave `result`.
    fn record_load(&mut self, kind: Kind, descr: &Rc<Descr>, base: Value, index: Option<Value>, result: u64) -> Value {
        if !self.recording() {
            return Value::constant(kind, result);
        }
        let args = self.references(&operands(base, index));
        let (trace, start) = (&self.trace, self.part);
        let at_index = index.map(|_| args[1]);
        let access = self
            .memory
            .ownership()
            .access(args[0], at_index, descr, &Part { trace, start });
        if let Some(known) = self.known(&access, descr, result) {
            self.heapcached += 1;
            return known;
        }
        let opcode = if index.is_some() {
            Opcode::getarrayitem(kind)
        } else {
            Opcode::getfield(kind)
        };
        let op = Op {
            args,
            descr: Some(descr.clone()),
            ..Op::new(opcode, &[])
        };
        let value = self.push(op, result, Some(&access));
        Value::traced(kind, result, value)
    }

    /// What is known to be where a load goes, which gave `result`.
    fn known(&self, access: &Access, descr: &Descr, result: u64) -> Option<Value> {
        let (trace, word) = (&self.trace, access.word);
        let content = self.memory.at(access)?;
        let value = content.value;
        if content.word() != word || trace.kind(value) != word.kind() {
            return None;
        }
        if cfg!(debug_assertions) {
            let known = trace.defining_op(value).map(|op| self.words[op]);
            let known = known.or_else(|| trace.as_const(value).map(|constant| constant.bits));
            assert!(
                known.is_none_or(|known| known == result),
                "what {descr:?} is known to hold\n{trace}"
            );
        }
        Some(match trace.as_const(value) {
            Some(constant) => Value::of_constant(constant, value.is_green()),
            None => Value::traced(word.kind(), result, value),
        })
    }

    fn guard(&mut self, frames: &[Activation<Value>], opcode: Opcode, args: &[Value], position: Position) {
        let snapshot = self.snapshot(frames, position);
        let args = self.references(args);
        let guard = Op {
            args,
            ..Op::with_snapshot(opcode, &[], snapshot)
        };
        self.push(guard, 0, None);
    }

    /// Counts the merge point, if they are counted. Where the trace ends in a jump, the loop's start does it.
    fn count(&mut self) {
        let Some(counter) = self.counter else { return };
        let descr = Rc::new(Descr::Field(FieldDescr {
            name: "counter".to_owned(),
            offset: 0,
            word: Word::U64,
            memory: Memory::Raw,
            frozen: false,
            pointee: Pointee::Unknown,
        }));
        let (counter, one) = (Value::constant(Kind::Ref, counter), Value::constant(Kind::Int, 1));
        let count = self.record(Opcode::GetfieldGcI, &[counter], Some(&descr), 0);
        let count = self.record(Opcode::IntAdd, &[count, one], None, 0);
        self.record(Opcode::SetfieldGc, &[counter, count], Some(&descr), 0);
    }

    /// The chain of frames, the innermost as it stands, the others inside their calls.
    fn snapshot(&mut self, frames: &[Activation<Value>], position: Position) -> SnapshotId {
        let (innermost, callers) = frames.split_last().expect("an activation is running");
        let mut parent = None;
        for (depth, frame) in callers.iter().enumerate() {
            let known = self.suspended[depth];
            parent = Some(known.unwrap_or_else(|| self.frame_snapshot(frame, Position::Calling, parent)));
            self.suspended[depth] = parent;
        }
        self.frame_snapshot(innermost, position, parent)
    }

    fn frame_snapshot(
        &mut self,
        frame: &Activation<Value>,
        position: Position,
        parent: Option<SnapshotId>,
    ) -> SnapshotId {
        let live = frame.code.live(frame.pc, position);
        let values = live
            .iter()
            .map(|reg| self.reference(frame.registers[reg.0 as usize]))
            .collect();
        let frame = Some(Frame {
            jitcode: frame.code.id,
            pc: frame.pc,
        });
        self.trace.add_snapshot(Snapshot { frame, values, parent })
    }

    /// Whether this branch's outcome is known because a bridge starts at it. Asked once.
    fn outcome_is_known(&mut self, frames: &[Activation<Value>]) -> bool {
        let here = (frames.len(), frames.last().expect("an activation is running").pc);
        self.known_branch.take() == Some(here)
    }

    /// The value as a constant, perhaps a green one, guarded where it is none yet.
    fn make_const(&mut self, frames: &[Activation<Value>], value: Value, green: bool) -> Value {
        let Value { kind, bits, .. } = value;
        let constant = Value::of_constant(Const { kind, bits }, green);
        if let Source::Trace(reference) = value.source() {
            self.guard(frames, Opcode::GuardValue, &[value, constant], Position::Before);
            let constant = self.reference(constant);
            self.memory.learned(reference, constant);
        }
        constant
    }

    /// Whether `base` points to memory that does not change, along a path that says so.
    fn is_frozen(base: Value, index: Option<Value>, frozen: bool) -> bool {
        frozen && base.is_frozen() && index.is_none_or(Value::is_const)
    }
}

/// What the innermost activation holds in a register.
fn held(exchange: &Exchange<'_, Value>, reg: Reg) -> Value {
    let constant = |Const { kind, bits }| Value::constant(kind, bits);
    exchange.innermost().get(reg, constant)
}

fn layout(descr: &Descr) -> (Kind, bool) {
    match descr {
        Descr::Field(field) => (field.word.kind(), field.frozen),
        Descr::Array(array) => (array.word.kind(), array.frozen),
        other => panic!("not a memory location: {other:?}"),
    }
}

fn operands(base: Value, index: Option<Value>) -> SmallVec<[Value; 3]> {
    std::iter::once(base).chain(index).collect()
}

impl Domain for Recorder<'_> {
    type Value = Value;

    fn bits(value: Value) -> u64 {
        value.bits
    }

    fn constant(&mut self, constant: Const) -> Value {
        Value::constant(constant.kind, constant.bits)
    }

    fn pure(&mut self, op: Opcode, args: &[Value], result: u64) -> Value {
        let kind = op.result().expect("a pure operation has a result");
        if !self.recording() || args.iter().all(|arg| arg.is_const()) {
            // sub-slices of frozen memory: an address computed from a frozen one
            let is_address = matches!(
                op,
                Opcode::IntAdd | Opcode::CastPtrToInt | Opcode::CastIntToPtr | Opcode::SameAsI | Opcode::SameAsR
            );
            let is_frozen = is_address && args.iter().any(|arg| arg.is_frozen());
            return if is_frozen {
                Value::frozen(kind, result)
            } else {
                Value::constant(kind, result)
            };
        }
        self.record(op, args, None, result)
    }

    fn overflow(
        &mut self,
        frames: &[Activation<Value>],
        op: Opcode,
        args: [Value; 2],
        result: u64,
        overflowed: bool,
    ) -> Value {
        if !self.recording() || args.iter().all(|arg| arg.is_const()) {
            return Value::constant(Kind::Int, result);
        }
        let value = self.record(op, &args, None, result);
        let guard = if overflowed {
            Opcode::GuardOverflow
        } else {
            Opcode::GuardNoOverflow
        };
        self.guard(frames, guard, &[], Position::Before);
        value
    }

    fn address(&mut self, code: &JitCode, descr: DescrIndex, base: Value, index: Option<Value>, result: u64) -> Value {
        let descr = code.descr(descr);
        if Self::is_frozen(base, index, layout(descr).1) {
            return Value::frozen(Kind::Ref, result);
        }
        let all_const = base.is_const() && index.is_none_or(Value::is_const);
        if !self.recording() || all_const {
            return Value::constant(Kind::Ref, result);
        }
        let opcode = if index.is_some() {
            Opcode::PtrItem
        } else {
            Opcode::PtrField
        };
        self.record(opcode, &operands(base, index), Some(descr), result)
    }

    #[inline] // for what is frozen, as all of the guest's program is
    fn load(&mut self, code: &JitCode, descr: DescrIndex, base: Value, index: Option<Value>, result: u64) -> Value {
        let descr = code.descr(descr);
        let (kind, is_frozen_path) = layout(descr);
        if Self::is_frozen(base, index, is_frozen_path) {
            self.executed += 1;
            let is_pointer = kind == Kind::Ref || !matches!(descr.pointee(), Pointee::Unknown | Pointee::Mixed);
            return if is_pointer {
                Value::frozen(kind, result)
            } else {
                Value::constant(kind, result)
            };
        }
        self.record_load(kind, descr, base, index, result)
    }

    #[inline]
    fn store(&mut self, code: &JitCode, descr: DescrIndex, base: Value, index: Option<Value>, value: Value) {
        if self.recording() {
            let opcode = if index.is_some() {
                Opcode::SetarrayitemRaw
            } else {
                Opcode::SetfieldGc
            };
            let mut args = operands(base, index);
            args.push(value);
            self.record(opcode, &args, Some(code.descr(descr)), 0);
        }
    }

    fn alloca(&mut self, code: &JitCode, descr: DescrIndex, address: u64) -> Value {
        if !self.recording() {
            return Value::constant(Kind::Ref, address);
        }
        self.record(Opcode::Alloca, &[], Some(code.descr(descr)), address)
    }

    fn branch(&mut self, frames: &[Activation<Value>], cond: Value, holds: bool) {
        if self.recording() && !self.outcome_is_known(frames) && !cond.is_const() {
            let guard = if holds { Opcode::GuardTrue } else { Opcode::GuardFalse };
            self.guard(frames, guard, &[cond], Position::Before);
        }
    }

    fn branch_if(&mut self, frames: &[Activation<Value>], op: Opcode, args: &[Value], holds: bool) {
        // guards test a word themselves
        match op {
            Opcode::IntIsTrue => return self.branch(frames, args[0], holds),
            Opcode::IntIsZero => return self.branch(frames, args[0], !holds),
            _ => {}
        }
        if self.recording() && !self.outcome_is_known(frames) && !args.iter().all(|arg| arg.is_const()) {
            let cond = self.record(op, args, None, holds.into());
            let guard = if holds { Opcode::GuardTrue } else { Opcode::GuardFalse };
            self.guard(frames, guard, &[cond], Position::Before);
        }
    }

    #[inline]
    fn switch(&mut self, frames: &[Activation<Value>], value: Value, case: bool, cases: &[(u64, Pc)]) {
        self.known_branch = None;
        if !self.recording() || value.is_const() {
            return;
        }
        if case {
            self.make_const(frames, value, false);
            return;
        }
        for (case, _) in cases {
            let case = Value::constant(Kind::Int, *case);
            let equal = self.record(Opcode::IntEq, &[value, case], None, 0);
            self.guard(frames, Opcode::GuardFalse, &[equal], Position::Before);
        }
    }

    fn promote(&mut self, frames: &[Activation<Value>], value: Value) -> Value {
        if !self.recording() || value.is_const() {
            return value;
        }
        self.make_const(frames, value, false)
    }

    fn before_call(&mut self, _: &[Activation<Value>], _: &NativeCall, _: &[Value]) {}

    fn after_call(
        &mut self,
        frames: &[Activation<Value>],
        call: &NativeCall,
        args: &[Value],
        result: Option<u64>,
    ) -> Value {
        let descr: &CallDescr = call.call_descr();
        let kind = descr.result.unwrap_or(Kind::Int);
        let Some(result) = result else {
            self.abort(Abort::Panic);
            return Value::constant(kind, 0);
        };
        let elidable = descr.effect == Effect::Elidable;
        if !self.recording() || (elidable && args.iter().all(|arg| arg.is_const())) {
            return Value::constant(kind, result);
        }
        let opcode = match (elidable, descr.result) {
            (true, Some(Kind::Int)) => Opcode::CallPureI,
            (true, Some(Kind::Ref)) => Opcode::CallPureR,
            (_, result) => Opcode::call(result),
        };
        let mut operands: SmallVec<[Value; 8]> = SmallVec::new();
        operands.push(Value::constant(Kind::Int, call.function));
        operands.extend_from_slice(args);
        let value = self.record(opcode, &operands, Some(&call.descr), result);
        if descr.can_panic {
            self.guard(frames, Opcode::GuardNoException, &[], Position::Unwinding);
        }
        value
    }

    fn enter_inline(&mut self, frames: &[Activation<Value>], _: &JitCode) {
        self.known_branch = None;
        if self.recording() {
            if frames.len() > self.limits.depth {
                self.abort(Abort::InliningTooDeep);
            }
            self.suspended.push(None);
        }
    }

    fn leave(&mut self, frames: &[Activation<Value>]) {
        if !self.recording() {
            return;
        }
        if self.suspended.pop().is_none() {
            let snapshot = self.snapshot(frames, Position::Before);
            self.push(Op::with_snapshot(Opcode::Finish, &[], snapshot), 0, None);
            if self.end.is_none() {
                self.end = Some(End::Finish);
            }
        }
    }

    fn unwind(&mut self, _: &[Activation<Value>]) {
        self.abort(Abort::Panic);
    }

    #[inline]
    fn header(&mut self, exchange: &mut Exchange<'_, Value>) {
        if !self.recording() || !self.behind_back_edge || self.header.is_some() {
            return;
        }
        let code = exchange.innermost().code.clone();
        let point = code.merge_point.as_ref().expect("only portals have headers");
        // before the mark: what is recorded behind it must not depend on how a green was computed
        let mut kept: SmallVec<[(Reg, Value); 8]> = SmallVec::new();
        for &green in code.liveness.greens_at_header() {
            let value = self.make_const(exchange.frames(), held(exchange, green), false);
            kept.push((green, value));
        }
        let mut seen = SmallVec::<[Ref; 8]>::new();
        for &red in &point.reds {
            let mut value = held(exchange, red);
            let fresh = match value.source() {
                Source::Trace(reference) if !seen.contains(&reference) => reference,
                _ => {
                    value = self.record(Opcode::same_as(value.kind), &[value], None, value.bits);
                    self.reference(value)
                }
            };
            seen.push(fresh);
            kept.push((red, value));
        }
        exchange.fill(Value::constant(Kind::Int, 0));
        for (reg, value) in kept {
            exchange.set(reg, value);
        }
        let roots = seen.iter().zip(self.red_roots);
        let root = |(value, kind): (&Ref, &Option<RootKind>)| {
            let (value, kind) = (*value, (*kind)?);
            Some(Root { value, kind })
        };
        let roots: Vec<Root> = roots.filter_map(root).collect();
        self.part = self.trace.ops.len();
        self.memory.start(&[], &[], &roots);
        self.header = Some(Mark {
            key: GreenKey::new(),
            op: self.trace.ops.len(),
            reds: seen.into_vec(),
        });
    }

    #[inline]
    fn merge_point(&mut self, exchange: &mut Exchange<'_, Value>) -> Flow {
        if !self.recording() {
            return Flow::Stop;
        }
        self.known_branch = None;
        let code = exchange.innermost().code.clone();
        let point = code.merge_point.as_ref().expect("a merge point is a portal's");
        let mut key = GreenKey::new();
        for (&reg, is_frozen) in point.greens.iter().zip(&point.frozen) {
            let green = self.make_const(exchange.frames(), held(exchange, reg), *is_frozen);
            exchange.set(reg, green);
            key.push(green.bits);
        }
        if let Some(location) = self.surroundings.location(&key) {
            let descr = Rc::new(Descr::Location(0, 0, location));
            self.push(Op::with_descr(Opcode::DebugMergePoint, &[], descr), 0, None);
        }
        let Some(mark) = self.header.take() else {
            self.count();
            return if self.end.is_some() { Flow::Stop } else { Flow::Continue };
        };
        self.behind_back_edge = false;
        let is_start = std::mem::take(&mut self.at_start);
        let mark = Mark { key, ..mark };
        if !is_start && self.end.is_none() {
            let reds = point.reds.iter().map(|red| self.reference(held(exchange, *red)));
            let reds: Vec<Ref> = reds.collect();
            if let Some(target) = self.surroundings.target(&mark.key) {
                self.end = Some(End::Jump { target, reds });
            } else if let Some(known) = self.marks.iter().rfind(|known| known.key == mark.key) {
                self.end = Some(End::Close {
                    mark: known.clone(),
                    reds,
                });
            }
        }
        self.marks.push(mark);
        if self.end.is_none() {
            self.count();
        }
        if self.end.is_some() { Flow::Stop } else { Flow::Continue }
    }

    fn back_edge(&mut self, _: &[Activation<Value>]) {
        self.behind_back_edge = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metatrace_ir::JitCodeId;
    use metatrace_jitcode::Insn;
    use metatrace_jitcode::liveness::Liveness;

    struct Nowhere;

    impl Surroundings for Nowhere {
        fn target(&self, _: &[u64]) -> Option<TargetToken> {
            None
        }

        fn location(&self, _: &[u64]) -> Option<String> {
            None
        }
    }

    /// `fn (p0) { promote p0; i1 = p0.x; return i1 }`
    fn code() -> Rc<JitCode> {
        let field = FieldDescr {
            name: "S.x".into(),
            offset: 0,
            word: Word::U64,
            memory: Memory::Rust,
            frozen: true,
            pointee: Pointee::Unknown,
        };
        let load = Insn::Load {
            dst: Reg(1),
            base: Reg(0),
            descr: DescrIndex(0),
        };
        let mut code = JitCode {
            id: JitCodeId(0),
            name: "promotes".into(),
            params: vec![Kind::Ref],
            results: vec![Kind::Int],
            registers: vec![Kind::Ref, Kind::Int],
            consts: Vec::new(),
            insns: vec![Insn::Promote { reg: Reg(0) }, load, Insn::Return { values: 0 }],
            descrs: vec![Rc::new(Descr::Field(field))],
            native_calls: Vec::new(),
            inline_calls: Vec::new(),
            switches: Vec::new(),
            returns: vec![Box::new([Reg(1)])],
            merge_point: None,
            liveness: Liveness::default(),
        };
        code.liveness = Liveness::compute(&code);
        Rc::new(code)
    }

    #[test]
    fn a_pointer_with_the_word_of_a_green_is_promoted_and_is_not_green() {
        let (code, word) = (code(), 0x5500);
        let trace = Trace::new(vec![Kind::Ref]);
        let pointer = Value::traced(Kind::Ref, word, trace.input(0));
        let setting = Setting {
            surroundings: &Nowhere,
            limits: Limits { ops: 10, depth: 1 },
            red_roots: &[],
            counter: None,
        };
        let mut recorder = Recorder::new_bridge(trace, setting, 1, Scratch::default());
        let green = Value::frozen(Kind::Ref, word);
        let load = |recorder: &mut Recorder<'_>, base| recorder.load(&code, DescrIndex(0), base, None, 7);
        assert_eq!(load(&mut recorder, green), Value::constant(Kind::Int, 7));
        let mut stack = Stack::default();
        stack.push(code.clone(), 0, pointer);
        let promoted = recorder.promote(&stack, pointer);
        assert_eq!(promoted, Value::constant(Kind::Ref, word));
        assert!(!load(&mut recorder, promoted).is_const(), "its memory may change");
        let opcodes: Vec<Opcode> = recorder.trace.ops.iter().map(|op| op.opcode).collect();
        assert_eq!(opcodes, [Opcode::GuardValue, Opcode::GetfieldGcI]);
    }
}
