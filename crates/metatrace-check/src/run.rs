//! One execution of a trace, from its start or one of its labels to where it is left.
//!
//! A guard is *visited* in an iteration: the number of jumps to a label of the trace, and of entries into labels that the
//! recorded trace does not have (the second copy of a peeled loop's body is its second iteration). Sunk operations are
//! skipped; an exit that needs them executes them before its state is read.

use crate::memory::{Access, Below, Event, Memory, Named, Outside, Stored, Taint, Undefined, Value};
use crate::world::{Class, Hints, Key, REAL_REGION, World, fitting, hash, one_nan};
use metatrace_ir::eval::{eval, location, overflows};
use metatrace_ir::{
    CallDescr, Class as OpClass, Descr, Effect, Frame, GuardId, Kind, Memory as Sort, Op, Opcode, Pointee, Reach, Ref,
    RootKind, TargetToken, Trace, Word,
};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;

/// A guard, or `finish`, in an iteration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub(crate) struct Visit {
    pub guard: GuardId,
    pub iteration: u32,
}

/// How a run ended.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Ending {
    /// At operation `op`; `fails` unless it was told to.
    Exit { visit: Visit, op: usize, fails: bool },
    /// By a jump to a label elsewhere.
    Away(TargetToken),
    /// It has gone round often enough; before a jump to this label, if it is one of the recorded trace.
    Enough(Option<TargetToken>),
    /// It did what no run may do.
    Undefined { op: usize, why: Undefined },
}

/// Where frames resume, and their values.
type Frames = Vec<(Option<Frame>, Vec<Named>)>;

/// Everything that a run leaves behind.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct State {
    /// Outermost first; of a jump, its operands.
    pub frames: Frames,
    pub events: Vec<Event>,
    pub memory: Vec<Stored>,
}

#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub ending: Ending,
    pub visits: Vec<Visit>,
    pub state: State,
    /// What the guard that failed depends on: the choices, and the operands of its comparison.
    pub taint: Taint,
    pub compared: Option<(u64, u64)>,
    /// The comparisons that were made, of the first ones: what they depend on, and their operands.
    pub comparisons: Vec<(Taint, u64, u64)>,
}

/// Where runs begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    Start,
    Label(TargetToken),
}

/// What is the same for all runs of a check.
#[derive(Debug)]
pub(crate) struct Setting<'a> {
    pub recorded: &'a Trace,
    pub hints: Hints,
    pub labels: FxHashSet<TargetToken>,
    pub iterations: u32,
    pub steps: usize,
}

impl<'a> Setting<'a> {
    pub(crate) fn new(recorded: &'a Trace) -> Setting<'a> {
        let labels = recorded.ops.iter().filter(|op| op.opcode == Opcode::Label);
        Setting {
            recorded,
            hints: Hints::new(recorded),
            labels: labels.map(|op| op.descr().target()).collect(),
            iterations: 4,
            steps: 4 * recorded.ops.len() + 1000,
        }
    }
}

struct Runner<'a> {
    setting: &'a Setting<'a>,
    trace: &'a Trace,
    world: &'a mut World,
    below: Below,
    memory: Memory,
    values: Vec<Value>,
    iteration: u32,
    overflowed: bool,
    panicked: bool,
    visits: Vec<Visit>,
    comparisons: Vec<(Taint, u64, u64)>,
}

/// Comparisons that are remembered.
const COMPARISONS: usize = 256;

/// Runs `trace`, which is the recorded one or made from it; ends at `stop`, as if the guard there failed.
pub(crate) fn run(setting: &Setting<'_>, trace: &Trace, entry: Entry, stop: Option<Visit>, world: &mut World) -> Run {
    let mut runner = Runner {
        setting,
        trace,
        world,
        below: BTreeMap::new(),
        memory: Memory::default(),
        values: vec![Value::default(); trace.value_count()],
        iteration: 0,
        overflowed: false,
        panicked: false,
        visits: Vec::new(),
        comparisons: Vec::new(),
    };
    let ending = runner.run(entry, stop);
    runner.finish(ending)
}

impl Runner<'_> {
    fn run(&mut self, entry: Entry, stop: Option<Visit>) -> Ending {
        let Some(mut at) = self.enter(entry) else {
            let why = "it does not have the label at which the run begins";
            return Ending::Undefined { op: 0, why };
        };
        for _ in 0..self.setting.steps * 3 {
            let Some(op) = self.trace.ops.get(at) else { break };
            match self.step(at, op, stop) {
                Ok(next) => at = next,
                Err(ending) => return ending,
            }
        }
        Ending::Enough(None)
    }

    // ---- values

    fn value(&self, value: Ref) -> Value {
        match self.trace.as_const(value) {
            Some(constant) => {
                let bits = match constant.kind {
                    Kind::Float => one_nan(constant.bits),
                    Kind::Int | Kind::Ref => constant.bits,
                };
                let taint = Taint::default();
                Value { bits, taint }
            }
            None => self.values[value.as_value().expect("no constant")],
        }
    }

    /// Chooses what the run begins with; where.
    fn enter(&mut self, entry: Entry) -> Option<usize> {
        let recorded = self.setting.recorded;
        let label = |trace: &Trace, token| {
            let is_label = |op: &Op| op.opcode == Opcode::Label && op.descr().target() == token;
            trace.ops.iter().position(is_label)
        };
        let (of_recorded, of_this, at) = match entry {
            Entry::Start => {
                let inputs: Vec<Ref> = (0..recorded.inputs.len()).map(Ref::value).collect();
                (inputs.clone(), inputs, 0)
            }
            Entry::Label(token) => {
                let (given, at) = (label(recorded, token)?, label(self.trace, token)?);
                (
                    recorded.ops[given].args.to_vec(),
                    self.trace.ops[at].args.to_vec(),
                    at + 1,
                )
            }
        };
        if of_recorded.len() != of_this.len() {
            return None;
        }
        // roots first: others derive from them
        let is_root = |value: &Ref| recorded.roots.iter().any(|root| root.value == *value);
        let (roots, others): (Vec<usize>, Vec<usize>) = (0..of_recorded.len()).partition(|n| is_root(&of_recorded[*n]));
        let mut words: FxHashMap<Ref, u64> = FxHashMap::default();
        for n in roots.into_iter().chain(others) {
            let value = of_recorded[n];
            let (bits, choice) = self.input(n as u32, value, entry == Entry::Start, &words);
            words.insert(value, bits);
            let taint = Taint::of(choice);
            self.values[of_this[n].as_value().expect("no constant")] = Value { bits, taint };
        }
        Some(at)
    }

    fn input(&mut self, n: u32, value: Ref, at_start: bool, words: &FxHashMap<Ref, u64>) -> (u64, u32) {
        let recorded = self.setting.recorded;
        let (kind, number) = (recorded.kind(value), value.as_value().expect("no constant"));
        let hints = &self.setting.hints;
        let constants = &hints.compared[number][..];
        if let Some(root) = recorded.roots.iter().find(|root| root.value == value) {
            let class = match root.kind {
                RootKind::Exclusive => Class::Exclusive,
                RootKind::Shared | RootKind::Green => Class::Frozen,
            };
            return self.world.input(n, class, constants);
        }
        let facts = recorded.derived.iter().filter(|fact| fact.value == value && at_start);
        let facts: Vec<_> = facts.collect();
        if !facts.is_empty() {
            let fact = facts[self.world.way(Key::Input(n), facts.len())];
            let reach = match (fact.reach, self.world.way(Key::Input(n), 3)) {
                (Reach::Perhaps, 0) => Some(Reach::Inside),
                (Reach::Perhaps, 1) => Some(Reach::Below),
                (Reach::Perhaps, _) => None,
                (reach, _) => Some(reach),
            };
            let root = words.get(&fact.root).copied();
            match (reach, root) {
                (Some(Reach::Inside), Some(root)) => return self.world.derived(n, root, false),
                (Some(_), Some(root)) => {
                    let known = self.world.derived(n, root, true);
                    let of = |bits| self.world.resolve(bits).map(|(region, _)| region);
                    if let (Some(root), Some(region)) = (of(root), of(known.0)) {
                        self.below.entry(root).or_default().push(region);
                    }
                    return known;
                }
                _ => {}
            }
        }
        let key = Key::Input(n);
        match kind {
            Kind::Float => self.world.number(key, Word::F64, hints, Some(number)),
            Kind::Int if !hints.is_address[number] => {
                let fact = recorded.words.iter().find(|fact| fact.value == value);
                let word = fact.map_or(Word::I64, |fact| fact.word);
                self.world.number(key, word, hints, Some(number))
            }
            _ => {
                let way = (Pointee::Unknown, false);
                self.world
                    .pointer(key, (Class::Unknown, REAL_REGION), way, hints, Some(number))
            }
        }
    }

    // ---- operations

    fn step(&mut self, at: usize, op: &Op, stop: Option<Visit>) -> Result<usize, Ending> {
        if op.sunk {
            return Ok(at + 1);
        }
        match op.opcode {
            Opcode::Label => {
                if !self.setting.labels.contains(&op.descr().target()) {
                    self.round(None)?;
                }
                return Ok(at + 1);
            }
            Opcode::Jump => return self.jump(op),
            Opcode::DebugMergePoint => return Ok(at + 1),
            Opcode::RecordTrue if self.value(op.args[0]).bits != 0 => return Ok(at + 1),
            Opcode::RecordTrue => {
                let why = "something that is recorded as known, and is not true";
                return Err(Ending::Undefined { op: at, why });
            }
            _ => {}
        }
        if op.opcode.can_exit() {
            let guard = op.guard.expect("guards are numbered before a check");
            let iteration = self.iteration;
            let visit = Visit { guard, iteration };
            self.visits.push(visit);
            let is_nan =
                |arg: &Ref| self.trace.kind(*arg) == Kind::Float && f64::from_bits(self.value(*arg).bits).is_nan();
            if op.opcode == Opcode::GuardValue && op.args.iter().any(is_nan) {
                let why = "something with the bits of a NaN";
                return Err(Ending::Undefined { op: at, why });
            }
            let fails = self.fails(op);
            if fails || stop == Some(visit) {
                return Err(Ending::Exit { visit, op: at, fails });
            }
            return Ok(at + 1);
        }
        let value = self.compute(op, at).map_err(|why| Ending::Undefined { op: at, why })?;
        self.values[self.trace.inputs.len() + at] = value;
        Ok(at + 1)
    }

    fn round(&mut self, to: Option<TargetToken>) -> Result<(), Ending> {
        self.iteration += 1;
        if self.iteration >= self.setting.iterations {
            Err(Ending::Enough(to.filter(|to| self.setting.labels.contains(to))))
        } else {
            Ok(())
        }
    }

    fn jump(&mut self, op: &Op) -> Result<usize, Ending> {
        let token = op.descr().target();
        let is_label = |label: &Op| label.opcode == Opcode::Label && label.descr().target() == token;
        let Some(label) = self.trace.ops.iter().position(is_label) else {
            return Err(Ending::Away(token));
        };
        self.round(Some(token))?;
        let words: Vec<Value> = op.args.iter().map(|arg| self.value(*arg)).collect();
        for (arg, word) in self.trace.ops[label].args.iter().zip(words) {
            let fact = self.trace.words.iter().find(|fact| fact.value == *arg);
            if let Some(fact) = fact {
                let fits = self.must_fit(fact.word, word.bits);
                fits.map_err(|why| Ending::Undefined { op: label, why })?;
            }
            self.values[arg.as_value().expect("a label's argument is no constant")] = word;
        }
        Ok(label + 1)
    }

    fn fails(&self, op: &Op) -> bool {
        let word = |n: usize| self.value(op.args[n]).bits;
        match op.opcode {
            Opcode::GuardTrue | Opcode::GuardNonnull => word(0) == 0,
            Opcode::GuardFalse | Opcode::GuardIsnull => word(0) != 0,
            Opcode::GuardValue => word(0) != word(1),
            Opcode::GuardNoOverflow => self.overflowed,
            Opcode::GuardOverflow => !self.overflowed,
            Opcode::GuardNoException => self.panicked,
            Opcode::GuardAlwaysFails | Opcode::Finish => true,
            other => unreachable!("{} is no guard", other.name()),
        }
    }

    fn compute(&mut self, op: &Op, at: usize) -> Result<Value, Undefined> {
        let args: Vec<Value> = op.args.iter().map(|arg| self.value(*arg)).collect();
        self.compute_on(op, at, &args)
    }

    fn compute_on(&mut self, op: &Op, at: usize, args: &[Value]) -> Result<Value, Undefined> {
        let words: Vec<u64> = args.iter().map(|arg| arg.bits).collect();
        let mut taint = Taint::default();
        args.iter().for_each(|arg| taint.add(arg.taint));
        if let [a, b] = words[..]
            && op.opcode.is_comparison()
            && self.comparisons.len() < COMPARISONS
        {
            self.comparisons.push((taint, a, b));
        }
        let bits = match (op.opcode.class(), op.descr.as_deref()) {
            (OpClass::Load, _) => {
                let access = self.access(op, at, &words);
                let mut out = Outside {
                    world: self.world,
                    hints: &self.setting.hints,
                    below: &self.below,
                };
                let mut value = self.memory.load(&access, &mut out)?;
                if access.word == Word::F64 {
                    value.bits = self.float(value.bits)?;
                }
                self.must_fit(access.word, value.bits)?;
                value.taint.add(taint);
                return Ok(value);
            }
            (OpClass::Store, _) => {
                let access = self.access(op, at, &words);
                let value = *args.last().expect("a store has a value");
                if access.word == Word::Length {
                    self.must_fit(access.word, value.bits)?;
                }
                if access.sort == Sort::Raw {
                    let args = [access.address, value.bits].map(|word| self.memory.named(word, self.world));
                    let what = "a store to raw memory".to_owned();
                    let (args, memory) = (args.to_vec(), Vec::new());
                    self.memory.events.push(Event { what, args, memory });
                }
                let mut out = Outside {
                    world: self.world,
                    hints: &self.setting.hints,
                    below: &self.below,
                };
                self.memory.store(&access, value, &mut out)?;
                0
            }
            (OpClass::Call, Some(Descr::Call(call))) => return Ok(self.call(op, call, args)),
            (OpClass::Alloc, Some(Descr::Size(size))) => {
                let address = self.memory.allocate(op.opcode != Opcode::Alloca, (op.opcode, size));
                if let (Opcode::NewWithVtable, Some(vtable)) = (op.opcode, size.vtable) {
                    self.store_vtable(address, vtable)?;
                }
                address
            }
            (OpClass::Alloc, descr) => self.memory.allocate(true, (op.opcode, descr)),
            (_, Some(descr @ (Descr::Field(_) | Descr::Array(_)))) => location(descr, &words).0,
            (OpClass::Overflow, _) => {
                self.overflowed = overflows(op.opcode, words[0], words[1]);
                eval(op.opcode, &words).ok_or("an operation on operands for which it is undefined")?
            }
            _ => self.pure(op.opcode, &words)?,
        };
        Ok(Value { bits, taint })
    }

    fn pure(&self, opcode: Opcode, words: &[u64]) -> Result<u64, Undefined> {
        use Opcode::*;
        let is_recorded = std::ptr::eq(self.trace, self.setting.recorded);
        if is_recorded && opcode == ConvertFloatBytesToLonglong && f64::from_bits(words[0]).is_nan() {
            return Err("something with the bits of a NaN");
        }
        let bits = eval(opcode, words).ok_or("an operation on operands for which it is undefined")?;
        match opcode.result() {
            Some(Kind::Float) if opcode == ConvertLonglongBytesToFloat => self.float(bits),
            Some(Kind::Float) => Ok(one_nan(bits)),
            _ => Ok(bits),
        }
    }

    /// What is no number of a word never gets there.
    fn must_fit(&self, word: Word, bits: u64) -> Result<(), Undefined> {
        let is_recorded = std::ptr::eq(self.trace, self.setting.recorded);
        if is_recorded && fitting(word, bits) != bits {
            return Err("a number that its word does not have");
        }
        Ok(())
    }

    /// A float that was only bits before: which NaN it is must not show, so there is one.
    fn float(&self, bits: u64) -> Result<u64, Undefined> {
        let is_recorded = std::ptr::eq(self.trace, self.setting.recorded);
        if is_recorded && one_nan(bits) != bits {
            return Err("something with the bits of a NaN");
        }
        Ok(one_nan(bits))
    }

    fn access(&self, op: &Op, at: usize, words: &[u64]) -> Access {
        let result = self.trace.inputs.len() + at;
        let is_recorded = std::ptr::eq(self.trace, self.setting.recorded);
        let value = (is_recorded && op.opcode.class() == OpClass::Load).then_some(result);
        let is_address = value.is_some_and(|n| self.setting.hints.is_address[n]);
        let is_green = op.args[0].is_green();
        let (address, word) = location(op.descr(), words);
        let (frozen, sort, pointee) = match &**op.descr() {
            Descr::Field(d) => (d.frozen, d.memory, d.pointee),
            Descr::Array(d) => (d.frozen, d.memory, d.pointee),
            other => unreachable!("no memory location: {other:?}"),
        };
        Access {
            address,
            pointer: words[0],
            word,
            frozen,
            sort,
            pointee,
            value,
            is_address,
            is_green,
        }
    }

    fn store_vtable(&mut self, address: u64, vtable: u64) -> Result<(), Undefined> {
        let access = Access {
            address,
            pointer: address,
            word: Word::U64,
            frozen: true,
            sort: Sort::Gc,
            pointee: Pointee::Unknown,
            value: None,
            is_address: false,
            is_green: false,
        };
        let taint = Taint::default();
        let mut out = Outside {
            world: self.world,
            hints: &self.setting.hints,
            below: &self.below,
        };
        self.memory.store(&access, Value { bits: vtable, taint }, &mut out)
    }

    fn call(&mut self, op: &Op, call: &CallDescr, args: &[Value]) -> Value {
        let key = if call.effect == Effect::Elidable {
            self.panicked = false;
            let alike = args.iter().map(|arg| self.memory.alike(arg.bits, self.world));
            Key::Elidable(hash(alike.collect::<Vec<_>>()))
        } else {
            let arguments: Vec<(Kind, u64)> = call
                .args
                .iter()
                .copied()
                .zip(args[1..].iter().map(|arg| arg.bits))
                .collect();
            let what = format!("{} at {}", call.name, args[0].bits);
            let mut out = Outside {
                world: self.world,
                hints: &self.setting.hints,
                below: &self.below,
            };
            self.memory.call(what, &arguments, call.effect == Effect::Any, &mut out);
            self.panicked = call.can_panic && self.world.one_in(Key::Panic(self.memory.calls), 24);
            Key::Result(self.memory.calls)
        };
        let pointers = args[1..].iter().map(|arg| arg.bits);
        let pointers: Vec<u64> = pointers.filter(|bits| self.world.resolve(*bits).is_some()).collect();
        let (bits, choice) = match (op.opcode.result(), self.world.way(key, 3)) {
            (None, _) => (0, 0),
            (Some(Kind::Ref), 0) if !pointers.is_empty() => (pointers[self.world.way(key, pointers.len())], 0),
            (Some(Kind::Ref), _) => {
                let hints = &self.setting.hints;
                self.world.pointer(
                    key,
                    (Class::Unknown, REAL_REGION),
                    (Pointee::Unknown, false),
                    hints,
                    None,
                )
            }
            (Some(_), _) => self.world.number(key, Word::I64, &self.setting.hints, None),
        };
        let mut taint = Taint::of(choice);
        args.iter().for_each(|arg| taint.add(arg.taint));
        Value { bits, taint }
    }

    // ---- exits

    fn finish(mut self, mut ending: Ending) -> Run {
        let mut frames = Vec::new();
        let (mut taint, mut compared) = (Taint::default(), None);
        match ending.clone() {
            Ending::Exit { op, .. } => {
                (taint, compared) = self.reason(op);
                match self.exit(op) {
                    Ok(found) => frames = found,
                    Err(why) => ending = Ending::Undefined { op, why },
                }
            }
            Ending::Away(_) | Ending::Enough(Some(_)) => {
                let last = self.trace.ops.len() - 1;
                let words: Vec<Ref> = self.trace.ops[last].args.to_vec();
                let words = words
                    .into_iter()
                    .map(|arg| (self.trace.kind(arg), self.value(arg).bits))
                    .collect();
                frames = vec![(None, self.named(words))];
            }
            Ending::Enough(None) | Ending::Undefined { .. } => {}
        }
        let memory = self.memory.all_stored(self.world);
        let state = State {
            frames,
            memory,
            events: self.memory.events,
        };
        Run {
            ending,
            visits: self.visits,
            state,
            taint,
            compared,
            comparisons: self.comparisons,
        }
    }

    fn named(&mut self, words: Vec<(Kind, u64)>) -> Vec<Named> {
        let one = |(kind, bits)| if kind == Kind::Float { one_nan(bits) } else { bits };
        words
            .into_iter()
            .map(|word| self.memory.named(one(word), self.world))
            .collect()
    }

    /// What the guard depends on.
    fn reason(&self, at: usize) -> (Taint, Option<(u64, u64)>) {
        let op = &self.trace.ops[at];
        let mut taint = Taint::default();
        let mut compared = None;
        let of = |op: &Op| match op.args[..] {
            [a, b] => Some((self.value(a).bits, self.value(b).bits)),
            [a] => Some((self.value(a).bits, 0)),
            _ => None,
        };
        for arg in &op.args {
            taint.add(self.value(*arg).taint);
            if let Some(n) = self
                .trace
                .defining_op(*arg)
                .filter(|n| self.trace.ops[*n].opcode.is_comparison())
            {
                compared = of(&self.trace.ops[n]);
            }
        }
        if op.args.is_empty() && at > 0 && self.trace.ops[at - 1].opcode.result().is_some() {
            taint = self.value(self.trace.result(at - 1)).taint;
        }
        (taint, compared.or_else(|| of(op)))
    }

    /// The frames, after what was sunk has been done: allocations and values that are asked for, and the pending stores in
    /// their order.
    fn exit(&mut self, at: usize) -> Result<Frames, Undefined> {
        let op = &self.trace.ops[at];
        let mut done = FxHashMap::default();
        for store in op.pending.iter().flat_map(|pending| pending.iter()) {
            self.sunk(*store, &mut done)?;
        }
        let snapshot = op.snapshot.expect("it has frames");
        let trace = self.trace;
        let mut frames: Vec<_> = trace.frames(snapshot).collect();
        frames.reverse();
        let mut found = Vec::new();
        for frame in frames {
            let mut words = Vec::new();
            for value in &frame.values {
                words.push((trace.kind(*value), self.sunk(*value, &mut done)?.bits));
            }
            found.push((frame.frame, self.named(words)));
        }
        Ok(found)
    }

    /// The value, computed now if it is sunk.
    fn sunk(&mut self, value: Ref, done: &mut FxHashMap<Ref, Value>) -> Result<Value, Undefined> {
        let trace = self.trace;
        let op = match trace.defining_op(value) {
            Some(n) if trace.ops[n].sunk => n,
            _ => return Ok(self.value(value)),
        };
        if let Some(known) = done.get(&value) {
            return Ok(*known);
        }
        let mut args = Vec::new();
        for arg in &trace.ops[op].args {
            args.push(self.sunk(*arg, done)?);
        }
        let known = self.compute_on(&trace.ops[op], op, &args)?;
        done.insert(value, known);
        Ok(known)
    }
}
