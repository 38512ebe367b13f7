//! Writes a trace anew with some of its guards gone, and others testing something else: for passes that decide over the
//! whole of a trace that is written.
//!
//! Sums that a guard's test needs are made once, and what is the same sum in the given trace is taken from there. What only
//! the guards needed that are gone is dropped behind the last pass.

use crate::Rewrites;
use metatrace_ir::{Const, Op, Opcode, Ref, Snapshot, SnapshotId, Trace};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// A value as a sum of another and a constant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Term {
    pub(crate) x: Ref,
    pub(crate) c: i64,
}

/// What becomes of an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Edit {
    Keep,
    Remove,
    /// The guard tests, early, `x + c <u n`.
    Below(Term, Ref),
    /// The guard tests, early, `x + c >u n`.
    Above(Term, i64),
    /// The guard tests, early, whether the value is this constant.
    Value(Ref, Ref),
}

/// The trace with these edits, one for each of its operations; each that changes something counts for the rule that `rule`
/// names.
pub(crate) fn edited(trace: Trace, edits: &[Edit], rewrites: &mut Rewrites, rule: fn(Edit) -> &'static str) -> Trace {
    let changes: Vec<Edit> = edits.iter().copied().filter(|edit| *edit != Edit::Keep).collect();
    if changes.is_empty() {
        return trace;
    }
    changes.into_iter().for_each(|edit| rewrites.count(rule(edit)));
    Writer::new(&trace, edits).write()
}

struct Writer<'a> {
    given: &'a Trace,
    edits: &'a [Edit],
    trace: Trace,
    /// By value of the given trace.
    values: Vec<Option<Ref>>,
    /// By constant of the given trace.
    constants: Vec<Option<Ref>>,
    /// By snapshot of the given trace.
    snapshots: Vec<Option<SnapshotId>>,
    /// Sums that are executed in line, of values of the given trace; of this part.
    sums: FxHashMap<Term, Ref>,
}

impl<'a> Writer<'a> {
    fn new(given: &'a Trace, edits: &'a [Edit]) -> Writer<'a> {
        let trace = Trace::like(given);
        let inputs = given.inputs.len();
        let mut values = vec![None; given.value_count()];
        (0..inputs).for_each(|n| values[n] = Some(Ref::value(n)));
        Writer {
            given,
            edits,
            trace,
            values,
            constants: Vec::new(),
            snapshots: vec![None; given.snapshots.len()],
            sums: FxHashMap::default(),
        }
    }

    fn write(mut self) -> Trace {
        for (n, edit) in self.edits.iter().enumerate() {
            let op = &self.given.ops[n];
            match *edit {
                Edit::Remove => {}
                Edit::Keep => self.copy(n),
                Edit::Below(term, bound) => {
                    let sum = self.sum(term);
                    let bound = self.value(bound);
                    let tested = self.trace.push(Op::new(Opcode::UintLt, &[sum, bound]));
                    self.guard(op, Opcode::GuardTrue, &[tested]);
                }
                Edit::Above(term, width) => {
                    let sum = self.sum(term);
                    let width = self.trace.constant(Const::int(width));
                    let tested = self.trace.push(Op::new(Opcode::UintGt, &[sum, width]));
                    self.guard(op, Opcode::GuardTrue, &[tested]);
                }
                Edit::Value(value, constant) => {
                    let args = [value, constant].map(|arg| self.value(arg));
                    self.guard(op, Opcode::GuardValue, &args);
                }
            }
        }
        self.trace
    }

    fn copy(&mut self, n: usize) {
        let op = &self.given.ops[n];
        if op.opcode == Opcode::Label {
            self.sums.clear();
        }
        let sum = match (op.opcode, &op.args[..]) {
            (Opcode::IntAdd, &[x, c]) if !op.sunk && !x.is_const() => {
                self.given.as_const(c).map(|c| Term { x, c: c.bits as i64 })
            }
            _ => None,
        };
        let known = sum.and_then(|sum| self.sums.get(&sum).copied());
        let value = known.unwrap_or_else(|| {
            let op = self.translated(op);
            self.trace.push(op)
        });
        self.values[self.given.inputs.len() + n] = Some(value);
        if let Some(sum) = sum {
            self.sums.insert(sum, value);
        }
    }

    fn translated(&mut self, op: &Op) -> Op {
        let mut op = op.clone();
        for arg in &mut op.args {
            *arg = self.value(*arg);
        }
        op.snapshot = op.snapshot.map(|snapshot| self.snapshot(snapshot));
        if let Some(stores) = &mut op.pending {
            *stores = stores.iter().map(|store| self.value(*store)).collect();
        }
        op
    }

    /// The guard with another test, which it fails early.
    fn guard(&mut self, guard: &Op, opcode: Opcode, args: &[Ref]) {
        let untested = Op {
            opcode,
            args: SmallVec::new(),
            early: true,
            ..guard.clone()
        };
        let mut guard = self.translated(&untested);
        guard.args.extend_from_slice(args);
        self.trace.push(guard);
    }

    /// The sum, computed now if it is not there.
    fn sum(&mut self, term: Term) -> Ref {
        let x = self.value(term.x);
        if term.c == 0 {
            return x;
        }
        if let Some(known) = self.sums.get(&term) {
            return *known;
        }
        let c = self.trace.constant(Const::int(term.c));
        let sum = self.trace.push(Op::new(Opcode::IntAdd, &[x, c]));
        self.sums.insert(term, sum);
        sum
    }

    fn value(&mut self, value: Ref) -> Ref {
        match value.as_value() {
            None => self.trace.constant_from(self.given, value, &mut self.constants),
            Some(n) => self.values[n].expect("defined before it is used"),
        }
    }

    fn snapshot(&mut self, id: SnapshotId) -> SnapshotId {
        let mut missing: SmallVec<[SnapshotId; 8]> = SmallVec::new();
        let mut next = Some(id);
        while let Some(id) = next.filter(|id| self.snapshots[id.0 as usize].is_none()) {
            missing.push(id);
            next = self.given.snapshots[id.0 as usize].parent;
        }
        for id in missing.into_iter().rev() {
            let Snapshot { frame, values, parent } = &self.given.snapshots[id.0 as usize];
            let mut values = SmallVec::from_slice(values);
            for value in &mut values {
                *value = self.value(*value);
            }
            let snapshot = Snapshot {
                frame: *frame,
                values,
                parent: parent.and_then(|parent| self.snapshots[parent.0 as usize]),
            };
            self.snapshots[id.0 as usize] = Some(self.trace.add_snapshot(snapshot));
        }
        self.snapshots[id.0 as usize].expect("just translated")
    }
}
