//! Writes a trace anew with some of its operations gone or passed by, and guards testing something else: for what is decided
//! over the whole of a trace that is written.
//!
//! Sums that a guard's test needs are made once, and what is the same sum in the given trace is taken from there.
//!
//! Where there is nothing to put in, operations only move up; that this gives what writing them one after the other gives, a test
//! says. Operations are moved, not copied, and all that stays keeps its order: so frames and lists of pending stores get other
//! numbers where they are.

use metatrace_ir::{Const, Op, Opcode, Ref, Trace};
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

/// The trace with these edits, one for each of its operations.
pub(crate) fn edited(mut trace: Trace, edits: &[Edit]) -> Trace {
    if edits.iter().all(|edit| *edit == Edit::Keep) {
        return trace;
    }
    debug_assert_ne!(edits.last(), Some(&Edit::Remove), "a trace ends as it did");
    let needs_sums = |edit: &Edit| matches!(edit, Edit::Below(..) | Edit::Above(..));
    let renumbering = match edits.iter().any(needs_sums) {
        true => with_sums(&mut trace, edits),
        false => in_place(&mut trace, edits),
    };
    for snapshot in &mut trace.snapshots {
        renumbering.renumber(&mut snapshot.values);
    }
    trace
}

/// Where there is no operation to put in, those that stay move up.
fn in_place(trace: &mut Trace, edits: &[Edit]) -> Renumbering {
    let inputs = trace.inputs.len();
    let mut renumbering = Renumbering::new(inputs, edits.len());
    let (mut kept, mut edits) = (0, edits.iter());
    trace.ops.retain_mut(|op| {
        let next = Ref::value(inputs + kept);
        let edit = *edits.next().expect("one for each operation");
        let number = match edit {
            // nobody reads the number
            Edit::Remove => next,
            Edit::Bypass(operand) => renumbering.number(operand),
            Edit::Value(value, constant) => {
                renumbering.test(op, Opcode::GuardValue, &[value, constant]);
                next
            }
            Edit::Keep => {
                renumbering.translate(op);
                next
            }
            Edit::Below(..) | Edit::Above(..) => unreachable!("these put operations in"),
        };
        renumbering.numbers.push(number);
        let stays = matches!(edit, Edit::Keep | Edit::Value(..));
        kept += usize::from(stays);
        stays
    });
    renumbering
}

fn with_sums(trace: &mut Trace, edits: &[Edit]) -> Renumbering {
    let given = std::mem::take(&mut trace.ops);
    trace.ops.reserve(given.len());
    let mut writer = Writer {
        renumbering: Renumbering::new(trace.inputs.len(), given.len()),
        trace,
        sums: FxHashMap::default(),
    };
    for (op, edit) in given.into_iter().zip(edits) {
        writer.write(op, *edit);
    }
    writer.renumbering
}

/// What the values of the given trace have become.
struct Renumbering {
    /// By value of the given trace, up to the operation that is written now: the value in the new one.
    numbers: Vec<Ref>,
    /// The list of pending stores that was met last, and what it has become: neighbours share one.
    pending: Option<[Rc<[Ref]>; 2]>,
}

impl Renumbering {
    fn new(inputs: usize, operations: usize) -> Renumbering {
        let mut numbers = Vec::with_capacity(inputs + operations);
        numbers.extend((0..inputs).map(Ref::value));
        Renumbering { numbers, pending: None }
    }

    fn number(&self, value: Ref) -> Ref {
        value.as_value().map_or(value, |n| self.numbers[n])
    }

    fn renumber(&self, values: &mut [Ref]) {
        for value in values {
            *value = self.number(*value);
        }
    }

    fn translate(&mut self, op: &mut Op) {
        self.renumber(&mut op.args);
        let Some(pending) = &mut op.pending else { return };
        if let Some([met, renumbered]) = &self.pending
            && Rc::ptr_eq(met, pending)
        {
            *pending = renumbered.clone();
            return;
        }
        let mut stores: SmallVec<[Ref; 8]> = SmallVec::from_slice(pending);
        self.renumber(&mut stores);
        let renumbered: Rc<[Ref]> = Rc::from(&stores[..]);
        let met = std::mem::replace(pending, renumbered.clone());
        self.pending = Some([met, renumbered]);
    }

    /// Gives the guard another test, of values of the given trace, which it fails early.
    fn test(&mut self, guard: &mut Op, opcode: Opcode, args: &[Ref]) {
        guard.opcode = opcode;
        guard.args = SmallVec::from_slice(args);
        guard.early = true;
        self.translate(guard);
    }
}

/// A sum that is there.
struct Sum {
    value: Ref,
    /// Whether it was put in for a test, and no operation of the given trace is that sum yet. Only one is, so that equal
    /// sums of the given trace stay different values.
    is_free: bool,
}

/// Writes the operations one after the other, where some have to be put in.
struct Writer<'a> {
    trace: &'a mut Trace,
    renumbering: Renumbering,
    /// Sums that are executed in line, of values of the given trace; of this part.
    sums: FxHashMap<Term, Sum>,
}

impl Writer<'_> {
    fn write(&mut self, mut op: Op, edit: Edit) {
        let number = match edit {
            // nobody reads the number
            Edit::Remove => Ref::value(self.trace.value_count()),
            Edit::Bypass(operand) => self.renumbering.number(operand),
            Edit::Keep => self.keep(op),
            Edit::Below(term, bound) => {
                let sum = self.sum(term);
                let bound = self.renumbering.number(bound);
                self.compared(op, Opcode::UintLt, [sum, bound])
            }
            Edit::Above(term, width) => {
                let sum = self.sum(term);
                let width = self.trace.constant(Const::int(width));
                self.compared(op, Opcode::UintGt, [sum, width])
            }
            Edit::Value(value, constant) => {
                self.renumbering.test(&mut op, Opcode::GuardValue, &[value, constant]);
                self.trace.push(op)
            }
        };
        self.renumbering.numbers.push(number);
    }

    fn keep(&mut self, mut op: Op) -> Ref {
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
        self.renumbering.translate(&mut op);
        let value = self.trace.push(op);
        if let Some(sum) = sum {
            let is_free = false;
            self.sums.entry(sum).or_insert(Sum { value, is_free });
        }
        value
    }

    /// The guard, which fails early, with the comparison of these values of the new trace as its test.
    fn compared(&mut self, mut guard: Op, comparison: Opcode, operands: [Ref; 2]) -> Ref {
        let tested = self.trace.push(Op::new(comparison, &operands));
        self.renumbering.test(&mut guard, Opcode::GuardTrue, &[]);
        guard.args.push(tested);
        self.trace.push(guard)
    }

    /// The sum, computed now if it is not there.
    fn sum(&mut self, term: Term) -> Ref {
        let x = self.renumbering.number(term.x);
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_up_gives_what_writing_gives() {
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
        let write = |writer: fn(&mut Trace, &[Edit]) -> Renumbering| {
            let mut trace = trace.clone();
            let renumbering = writer(&mut trace, &edits);
            (trace.ops, renumbering.numbers)
        };
        let (ops, numbers) = write(in_place);
        assert_eq!((ops.len(), numbers[4]), (6, numbers[3]));
        assert_eq!((ops, numbers), write(with_sums));
    }
}
