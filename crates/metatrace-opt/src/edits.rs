//! Writes a trace anew with some of its operations gone or passed by, and guards testing something else: for what is decided
//! over the whole of a trace that is written.
//!
//! Sums that a guard's test needs are made once, and what is the same sum in the given trace is taken from there.
//!
//! Operations are moved, not copied, and all that stays keeps its order: so frames and lists of pending stores get other
//! numbers where they are.

use crate::{LARGE, empty};
use metatrace_ir::{Args, Const, Op, Opcode, Ref, Trace};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::rc::Rc;

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
    /// Nobody needs the result.
    Remove,
    /// It goes, too, and whoever needs the result takes this operand for it.
    Bypass(Ref),
    /// The guard tests, early, `x + c <u n`.
    Below(Term, Ref),
    /// The guard tests, early, `x + c >u n`.
    Above(Term, i64),
    /// The guard tests, early, whether the value is this constant.
    Value(Ref, Ref),
}

impl Edit {
    /// The values that will be asked for instead of the operation's operands; `None` where it asks for these as before.
    pub(crate) fn operands(self) -> Option<SmallVec<[Ref; 2]>> {
        let operands: &[Ref] = match self {
            Edit::Keep => return None,
            Edit::Remove => &[],
            Edit::Below(term, bound) => &[term.x, bound],
            Edit::Bypass(value) | Edit::Above(Term { x: value, .. }, _) | Edit::Value(value, _) => &[value],
        };
        Some(SmallVec::from_slice(operands))
    }
}

/// Writes traces anew, one after the other, in memory that it keeps.
#[derive(Default)]
pub(crate) struct Editor {
    /// Where the operations of the next trace go.
    ops: Vec<Op>,
    numbers: Vec<Ref>,
    sums: FxHashMap<Term, Sum>,
}

impl Editor {
    /// The trace with these edits, one for each of its operations.
    pub(crate) fn edited(&mut self, mut trace: Trace, edits: &[Edit]) -> Trace {
        if edits.iter().all(|edit| *edit == Edit::Keep) {
            return trace;
        }
        debug_assert_ne!(edits.last(), Some(&Edit::Remove), "a trace ends as it did");
        let mut given = std::mem::replace(&mut trace.ops, std::mem::take(&mut self.ops));
        trace.ops.reserve(given.len());
        self.numbers.clear();
        self.numbers.extend((0..trace.inputs.len()).map(Ref::value));
        empty(&mut self.sums);
        let mut writer = Writer {
            trace,
            numbers: &mut self.numbers,
            sums: &mut self.sums,
            has_sums: edits
                .iter()
                .any(|edit| matches!(edit, Edit::Below(..) | Edit::Above(..))),
            pending: None,
        };
        for (op, edit) in given.drain(..).zip(edits) {
            writer.write(op, *edit);
        }
        let Writer { mut trace, numbers, .. } = writer;
        for snapshot in &mut trace.snapshots {
            renumber(numbers, &mut snapshot.values);
        }
        if given.capacity() <= LARGE {
            self.ops = given;
        }
        trace
    }
}

/// A sum that is there.
struct Sum {
    value: Ref,
    /// Whether it was put in for a test, and no operation of the given trace is that sum yet. Only one is, so that equal
    /// sums of the given trace stay different values.
    is_free: bool,
}

struct Writer<'a> {
    trace: Trace,
    /// By value of the given trace, up to the operation that is written now: the value in the new one.
    numbers: &'a mut Vec<Ref>,
    /// Sums that are executed in line, of values of the given trace; of this part. Kept only where tests need some.
    sums: &'a mut FxHashMap<Term, Sum>,
    has_sums: bool,
    /// The list of pending stores that was met last, and what it has become: neighbours share one.
    pending: Option<[Rc<[Ref]>; 2]>,
}

fn renumber(numbers: &[Ref], values: &mut [Ref]) {
    for value in values {
        *value = number(numbers, *value);
    }
}

fn number(numbers: &[Ref], value: Ref) -> Ref {
    value.as_value().map_or(value, |n| numbers[n])
}

impl Writer<'_> {
    fn write(&mut self, op: Op, edit: Edit) {
        // of what is removed nobody reads the number
        let next = Ref::value(self.trace.value_count());
        let number = match edit {
            Edit::Remove => next,
            Edit::Bypass(operand) => self.value(operand),
            Edit::Keep => self.keep(op),
            Edit::Below(term, bound) => {
                let sum = self.sum(term);
                let bound = self.value(bound);
                let tested = self.trace.push(Op::new(Opcode::UintLt, &[sum, bound]));
                self.guard(op, Opcode::GuardTrue, &[tested])
            }
            Edit::Above(term, width) => {
                let sum = self.sum(term);
                let width = self.trace.constant(Const::int(width));
                let tested = self.trace.push(Op::new(Opcode::UintGt, &[sum, width]));
                self.guard(op, Opcode::GuardTrue, &[tested])
            }
            Edit::Value(value, constant) => {
                let args = [value, constant].map(|arg| self.value(arg));
                self.guard(op, Opcode::GuardValue, &args)
            }
        };
        self.numbers.push(number);
    }

    fn keep(&mut self, mut op: Op) -> Ref {
        if !self.has_sums {
            self.translate(&mut op);
            return self.trace.push(op);
        }
        if op.opcode == Opcode::Label {
            self.sums.clear();
        }
        let sum = match (op.opcode, &op.args[..]) {
            (Opcode::IntAdd, &[x, c]) if !op.sunk && !x.is_const() => {
                self.trace.as_const(c).map(|c| Term { x, c: c.bits as i64 })
            }
            _ => None,
        };
        if let Some(known) = sum.and_then(|sum| self.sums.get_mut(&sum))
            && std::mem::take(&mut known.is_free)
        {
            return known.value;
        }
        self.translate(&mut op);
        let value = self.trace.push(op);
        if let Some(sum) = sum {
            let is_free = false;
            self.sums.entry(sum).or_insert(Sum { value, is_free });
        }
        value
    }

    fn translate(&mut self, op: &mut Op) {
        renumber(self.numbers, &mut op.args);
        let Some(pending) = &mut op.pending else { return };
        if let Some([met, renumbered]) = &self.pending
            && Rc::ptr_eq(met, pending)
        {
            *pending = renumbered.clone();
            return;
        }
        let mut stores: SmallVec<[Ref; 8]> = SmallVec::from_slice(pending);
        renumber(self.numbers, &mut stores);
        let renumbered: Rc<[Ref]> = Rc::from(&stores[..]);
        let met = std::mem::replace(pending, renumbered.clone());
        self.pending = Some([met, renumbered]);
    }

    /// The guard with another test, which it fails early.
    fn guard(&mut self, mut guard: Op, opcode: Opcode, args: &[Ref]) -> Ref {
        guard.args = Args::default();
        self.translate(&mut guard);
        guard.opcode = opcode;
        guard.args = Args::new(args);
        guard.early = true;
        self.trace.push(guard)
    }

    /// The sum, computed now if it is not there.
    fn sum(&mut self, term: Term) -> Ref {
        let x = self.value(term.x);
        if term.c == 0 {
            return x;
        }
        if let Some(known) = self.sums.get(&term) {
            return known.value;
        }
        let c = self.trace.constant(Const::int(term.c));
        let sum = self.trace.push(Op::new(Opcode::IntAdd, &[x, c]));
        let known = Sum {
            value: sum,
            is_free: true,
        };
        self.sums.insert(term, known);
        sum
    }

    fn value(&self, value: Ref) -> Ref {
        number(self.numbers, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_is_gone_and_who_needed_it_has_another() {
        let text = "# root p0 = exclusive
            # descr S.x = field(offset=0, i64, frozen)
            [p0, i1, i2]
            i3 = int_add(i1, 1)
            i4 = int_and(i3, 255)
            sunk s5 = setfield_gc(p0, i4, descr=S.x)
            i6 = int_lt(i4, 9)
            guard_true(i6) [i1] {s5}
            i7 = int_lt(i2, 9)
            guard_true(i7) [i3] {s5}
            guard_value(i2, 5) [i1, i3] {s5}
            finish() [i3] {s5}";
        let trace: Trace = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
        let [i2, i3] = [2, 3].map(Ref::value);
        let mut edits = vec![Edit::Keep; trace.ops.len()];
        edits[1] = Edit::Bypass(i3);
        (edits[5], edits[7]) = (Edit::Remove, Edit::Remove);
        edits[6] = Edit::Value(i2, trace.ops[7].args[1]);
        let edited = Editor::default().edited(trace, &edits);
        let expected = "# root p0 = exclusive
            # descr S.x = field(offset=0, i64, frozen)
            [p0, i1, i2]
            i3 = int_add(i1, 1)
            sunk s4 = setfield_gc(p0, i3, descr=S.x)
            i5 = int_lt(i3, 9)
            guard_true(i5) [i1] {s4}
            early guard_value(i2, 5) [i3] {s4}
            finish() [i3] {s4}";
        let expected: Trace = expected.parse().unwrap_or_else(|error| panic!("{error}\n{expected}"));
        assert_eq!(expected.same_up_to_renaming(&edited), Ok(()), "{edited}");
    }
}
