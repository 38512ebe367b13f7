//! Walks over the trace, sends each operation through the passes, and writes the new trace.
//!
//! Snapshots are translated when the first guard that has them is written, and shared as before; a frame that two guards
//! share so keeps the values it had at the first, which are the same. They are translated anew when an allocation has become
//! real since, for then what was sunk is another object. Snapshots that no operation has any more mean nothing: what they
//! held may be gone.

use crate::context::Context;
use crate::dead::{Needs, remove_dead};
use crate::edits::{Edit, Editor};
use crate::tree::{Step, Tree};
use crate::{Classes, Decision, Pass, Rewrites, SunkOrNew, ones};
use metatrace_ir::{Class, Op, Opcode, Ref, Snapshot, SnapshotId, Trace};
use rustc_hash::FxHashSet;
use smallvec::SmallVec;

/// More replacements of one operation than that are a cycle of rules.
const MAX_REPLACEMENTS: usize = 64;

/// The rules of the driver: a guard goes with the operation that it stands right behind.
pub(crate) const RULES: &[&str] = &[
    "overflow_guard_holds",
    "overflow_guard_fails",
    "exception_guard_of_common_call",
];

/// How long a translation of a snapshot is valid: the number of labels passed, and of sunk values that were replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Moment {
    part: u32,
    replaced: usize,
}

/// The passes that are interested in a class of operations, as bits.
#[derive(Clone, Copy, Default)]
struct Interested {
    visit: u64,
    before: u64,
    emitted: u64,
}

/// All passes, in their order, of which some take part in a walk.
pub(crate) struct Passes {
    all: Vec<Box<dyn Pass>>,
    /// By class of operations.
    interested: [Interested; Class::ALL.len()],
    /// Those that take part, as bits.
    chosen: u64,
}

impl Passes {
    pub(crate) fn new(all: Vec<Box<dyn Pass>>) -> Passes {
        assert!(all.len() <= 64, "sets of passes are bits of a word");
        let mut interested = [Interested::default(); Class::ALL.len()];
        for (n, pass) in all.iter().enumerate() {
            let interests = pass.interests();
            for class in Class::ALL {
                let of_class = &mut interested[class as usize];
                let bit = |classes: Classes| u64::from(classes.contains(class)) << n;
                of_class.visit |= bit(interests.visited);
                of_class.before |= bit(interests.before);
                of_class.emitted |= bit(interests.emitted);
            }
        }
        let chosen = 0;
        Passes {
            all,
            interested,
            chosen,
        }
    }

    /// Says which take part.
    pub(crate) fn choose(&mut self, takes_part: impl Fn(usize, &dyn Pass) -> bool) {
        self.chosen = 0;
        for (n, pass) in self.all.iter().enumerate() {
            self.chosen |= u64::from(takes_part(n, &**pass)) << n;
        }
    }

    /// Those that take part.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &dyn Pass> {
        ones(self.chosen).map(|n| &*self.all[n])
    }

    /// Those that take part.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Box<dyn Pass>> {
        let Passes { all, chosen, .. } = self;
        let takes_part = |(n, pass)| (*chosen >> n & 1 != 0).then_some(pass);
        all.iter_mut().enumerate().filter_map(takes_part)
    }

    /// Those that take part and are interested.
    fn interested_in(&self, class: Class) -> Interested {
        let Interested { visit, before, emitted } = self.interested[class as usize];
        Interested {
            visit: visit & self.chosen,
            before: before & self.chosen,
            emitted: emitted & self.chosen,
        }
    }
}

/// What walks keep for those that come behind them: memory, and nothing that is known.
#[derive(Default)]
pub(crate) struct Scratch {
    context: Context,
    values: Vec<Option<Ref>>,
    snapshots: Vec<Option<(Moment, SnapshotId)>>,
    ending: Ending,
    /// Of the last walk.
    pub(crate) rewrites: Rewrites,
}

/// What is needed when the trace is written.
#[derive(Default)]
struct Ending {
    edits: Vec<Edit>,
    needs: Needs,
    editor: Editor,
}

impl Scratch {
    /// The next trace is to be made in this one's memory.
    pub(crate) fn recycle(&mut self, trace: Trace) {
        self.context.recycle(trace);
    }
}

/// The state of a walk.
pub(crate) struct Driver<'a> {
    pub(crate) input: &'a Trace,
    pub(crate) context: &'a mut Context,
    pub(crate) passes: &'a mut Passes,
    /// By value of the given trace: its value in the new one.
    pub(crate) values: &'a mut Vec<Option<Ref>>,
    /// By snapshot of the given trace: its translation, and when that was made.
    snapshots: &'a mut Vec<Option<(Moment, SnapshotId)>>,
    ending: &'a mut Ending,
    /// The number of labels passed.
    pub(crate) part: u32,
    /// The operation before was a call and is no longer there.
    call_removed: bool,
    rewrites: &'a mut Rewrites,
}

impl<'a> Driver<'a> {
    /// Before the first operation.
    pub(crate) fn new(input: &'a Trace, passes: &'a mut Passes, scratch: &'a mut Scratch) -> Driver<'a> {
        let Scratch {
            context,
            values,
            snapshots,
            ending,
            rewrites,
        } = scratch;
        rewrites.applied.clear();
        context.restart(input);
        for pass in passes.iter_mut() {
            pass.restart();
            pass.start(&[], &[], context);
        }
        values.clear();
        values.extend((0..input.inputs.len()).map(|n| Some(Ref::value(n))));
        values.resize(input.value_count(), None);
        snapshots.clear();
        snapshots.resize(input.snapshots.len(), None);
        Driver {
            input,
            context,
            passes,
            values,
            snapshots,
            ending,
            part: 0,
            call_removed: false,
            rewrites,
        }
    }

    /// Walks over the whole trace.
    pub(crate) fn run(mut self) -> Trace {
        for n in 0..self.input.ops.len() {
            self.op(n);
        }
        self.finish()
    }

    /// The new trace.
    pub(crate) fn finish(self) -> Trace {
        let (trace, born) = self.context.take_trace();
        let Ending { edits, needs, editor } = self.ending;
        edits.clear();
        edits.resize(trace.ops.len(), Edit::Keep);
        for pass in self.passes.iter_mut() {
            pass.plan(&trace, born, edits, self.rewrites);
        }
        remove_dead(&trace, edits, needs);
        for pass in self.passes.iter_mut() {
            pass.bypass(&trace, edits, self.rewrites);
        }
        let mut trace = editor.edited(trace, edits);
        for pass in self.passes.iter_mut() {
            pass.finish(&mut trace, self.rewrites);
        }
        if cfg!(debug_assertions)
            && let Err(error) = metatrace_ir::verify(&trace)
        {
            let (input, given) = (self.input, metatrace_ir::verify(self.input));
            panic!("the optimised trace is not valid: {error}\nthe given one: {given:?}\n{input}\n---\n{trace}");
        }
        trace
    }

    /// Operation `n` of the given trace.
    pub(crate) fn op(&mut self, n: usize) {
        let op = &self.input.ops[n];
        assert!(
            !op.sunk,
            "operation {n} is sunk, the trace optimised already:\n{}",
            self.input
        );
        if op.opcode == Opcode::Label {
            return self.label(n);
        }
        if !matches!(op.opcode, Opcode::GuardNoOverflow | Opcode::GuardOverflow) {
            self.context.overflow = None;
        }
        let call_removed = std::mem::take(&mut self.call_removed);
        let mut op = op.clone();
        match (op.opcode, self.context.overflow) {
            (Opcode::GuardNoException, _) if call_removed => {
                return self.rewrites.count("exception_guard_of_common_call");
            }
            (Opcode::GuardNoOverflow, Some(false)) | (Opcode::GuardOverflow, Some(true)) => {
                return self.rewrites.count("overflow_guard_holds");
            }
            (Opcode::GuardNoOverflow, Some(true)) | (Opcode::GuardOverflow, Some(false)) => {
                self.rewrites.count("overflow_guard_fails");
                op.opcode = Opcode::GuardAlwaysFails;
            }
            _ => {}
        }
        for arg in &mut op.args {
            *arg = self.value(*arg);
        }
        if self.context.wants_exits() {
            self.look_behind(n);
        }
        let value = self.rewrite(&mut op);
        self.values[self.input.inputs.len() + n] = value;
    }

    /// Tells the passes what the exit holds that stands right behind operation `n`, where nothing can be put in between.
    fn look_behind(&mut self, n: usize) {
        let guards = [Opcode::GuardNoException, Opcode::GuardNoOverflow, Opcode::GuardOverflow];
        let input = self.input;
        let behind = input.ops.get(n + 1).filter(|op| guards.contains(&op.opcode));
        let snapshot = behind.and_then(|op| op.snapshot);
        let frames = snapshot.into_iter().flat_map(|innermost| input.frames(innermost));
        let values = frames.flat_map(|frame| &frame.values).filter_map(|value| {
            // but for the operation's own result
            let value = self.values[value.as_value()?]?;
            Some(self.context.resolve(value))
        });
        let values = values.collect();
        self.context.set_exit_behind(values);
    }

    /// Operation `n` of the given trace, a label or jump, is about to come: what its operands need is there.
    pub(crate) fn settle(&mut self, n: usize) {
        let op = &self.input.ops[n];
        for _ in 0..MAX_REPLACEMENTS {
            let mut op = op.clone();
            for arg in &mut op.args {
                *arg = self.value(*arg);
            }
            match self.decide(&op) {
                Decision::First(rule, ops) => self.first(rule, ops),
                _ => return,
            }
        }
    }

    /// Operations that a pass wants to come first.
    fn first(&mut self, rule: &'static str, ops: Vec<(SunkOrNew, Op)>) {
        self.rewrites.count(rule);
        for (sunk, mut op) in ops {
            self.resolve_args(&mut op);
            let value = self.rewrite(&mut op);
            if let Some(sunk) = sunk {
                self.context.replace(sunk, value.expect("a sunk value is a result"));
            }
        }
    }

    fn resolve_args(&self, op: &mut Op) {
        for arg in &mut op.args {
            *arg = self.context.resolve(*arg);
        }
    }

    /// The values in the new trace.
    pub(crate) fn values_of(&mut self, values: &[Ref]) -> Vec<Ref> {
        values.iter().map(|value| self.value(*value)).collect()
    }

    /// The value in the new trace.
    #[inline(always)]
    fn value(&mut self, value: Ref) -> Ref {
        match value.as_value() {
            None => self.context.constant_of(self.input, value),
            Some(n) => self.context.resolve(self.values[n].expect("defined before it is used")),
        }
    }

    /// Sends an operation through the passes and writes what is left of it. Its snapshot is still the given trace's. By
    /// reference, for moving it about costs time.
    fn rewrite(&mut self, op: &mut Op) -> Option<Ref> {
        let class = op.opcode.class();
        for _ in 0..MAX_REPLACEMENTS {
            match self.decide(op) {
                Decision::Keep => return self.emit(op),
                Decision::Replace(rule, replacement) => {
                    self.rewrites.count(rule);
                    if class == Class::Overflow && replacement.opcode.class() != Class::Overflow {
                        self.context.overflow = Some(false);
                    }
                    *op = replacement;
                }
                Decision::Equal(rule, value) => {
                    self.rewrites.count(rule);
                    self.call_removed = class == Class::Call;
                    if class == Class::Overflow {
                        self.context.overflow.get_or_insert(false);
                    }
                    return Some(value);
                }
                Decision::Build(rule, tree) => {
                    self.rewrites.count(rule);
                    let (range, _) = self.context.knowledge_of(op);
                    let value = self.build(&tree, op.sunk);
                    self.context.narrow(value, range);
                    return Some(value);
                }
                Decision::Remove(rule) => {
                    self.rewrites.count(rule);
                    return None;
                }
                Decision::First(rule, ops) => {
                    self.first(rule, ops);
                    self.resolve_args(op);
                }
            }
        }
        panic!("rules replace each other without end: {op:?} in\n{}", self.input);
    }

    fn build(&mut self, tree: &Tree, sunk: bool) -> Ref {
        let mut values: SmallVec<[Ref; 8]> = SmallVec::new();
        for step in tree.steps() {
            let value = match *step {
                Step::Value(value) => value,
                Step::Op { opcode, arity } => {
                    let operands = values.len() - usize::from(arity);
                    let mut op = Op {
                        sunk,
                        ..Op::new(opcode, &values[operands..])
                    };
                    values.truncate(operands);
                    // a later operand may have made an allocation that an earlier one is a view of
                    self.resolve_args(&mut op);
                    self.rewrite(&mut op).expect("it has a result")
                }
            };
            values.push(value);
        }
        debug_assert_eq!(values.len(), 1, "what is left is the tree's: {tree:?}");
        values.pop().expect("a tree has a root")
    }

    fn decide(&mut self, op: &Op) -> Decision {
        for n in ones(self.passes.interested_in(op.opcode.class()).visit) {
            match self.passes.all[n].visit(op, self.context) {
                Decision::Keep => {}
                decided => return decided,
            }
        }
        Decision::Keep
    }

    fn emit(&mut self, op: &mut Op) -> Option<Ref> {
        op.snapshot = op.snapshot.map(|snapshot| self.snapshot(snapshot));
        let Interested { before, emitted, .. } = self.passes.interested_in(op.opcode.class());
        for n in ones(before) {
            self.passes.all[n].before(op, self.context);
        }
        let value = self.context.push(op.clone());
        if op.opcode == Opcode::GuardValue {
            // whatever passes take part: the trace goes on with the constant
            self.context.learn(op.args[0], op.args[1]);
        }
        for n in ones(emitted) {
            self.passes.all[n].emitted(op, value, self.context);
        }
        while let Some((value, constant)) = self.context.take_learned() {
            for pass in self.passes.iter_mut() {
                pass.learned(value, constant, self.context);
            }
        }
        op.opcode.result().map(|_| value)
    }

    fn snapshot(&mut self, innermost: SnapshotId) -> SnapshotId {
        let now = Moment {
            part: self.part,
            replaced: self.context.replaced(),
        };
        let mut untranslated: SmallVec<[SnapshotId; 8]> = SmallVec::new();
        let mut next = Some(innermost);
        let mut parent = None;
        while let Some(id) = next {
            let translated = self.snapshots[id.0 as usize].filter(|(moment, _)| *moment == now);
            parent = translated.map(|(_, id)| id);
            if parent.is_some() {
                break;
            }
            untranslated.push(id);
            next = self.input.snapshots[id.0 as usize].parent;
        }
        for id in untranslated.into_iter().rev() {
            let Snapshot { frame, values, .. } = &self.input.snapshots[id.0 as usize];
            let mut values = SmallVec::from_slice(values);
            for value in &mut values {
                *value = self.value(*value);
            }
            let new = Snapshot {
                frame: *frame,
                values,
                parent,
            };
            let known = self.snapshots[id.0 as usize].filter(|(moment, _)| moment.part == now.part);
            let same = known.filter(|(_, known)| *self.context.snapshot(*known) == new);
            let translated = same.map_or_else(|| self.context.add_snapshot(new), |(_, known)| known);
            self.snapshots[id.0 as usize] = Some((now, translated));
            parent = Some(translated);
        }
        parent.expect("the innermost frame at least")
    }

    /// A label keeps its number of arguments. They are distinct values in the given trace, but two may be the same, or a
    /// constant, or an input of which something is declared, by now: then a copy is made.
    fn label(&mut self, n: usize) {
        self.settle(n);
        let mut op = self.input.ops[n].clone();
        for pass in self.passes.iter_mut() {
            pass.before(&mut op, self.context);
        }
        let mut taken = FxHashSet::default();
        let mut before = Vec::new();
        let mut declared = Vec::new();
        let mut args = Vec::new();
        for arg in &op.args {
            let n = arg.as_value().expect("a label's argument is no constant");
            let value = self.context.in_line(self.values[n].expect("defined before it is used"));
            before.push(value);
            // whoever jumps there keeps to what is declared of the recorded argument, not of what it happens to be here
            let is_input = n < self.input.inputs.len();
            declared.push(is_input.then_some(value));
            let is_borrowed = !is_input && self.context.is_declared(value);
            if value.is_const() || is_borrowed || !taken.insert(value) {
                let copy = Op::new(Opcode::same_as(self.context.kind(value)), &[value]);
                args.push(self.context.push(copy));
            } else {
                args.push(value);
            }
        }
        self.context.push(Op {
            args: args.iter().copied().collect(),
            ..op.clone()
        });
        self.context.start_part(&declared, &args);
        for pass in self.passes.iter_mut() {
            pass.start(&before, &args, self.context);
        }
        for (arg, value) in op.args.iter().zip(args) {
            self.values[arg.as_value().expect("a label's argument is no constant")] = Some(value);
        }
        self.part += 1;
    }
}
