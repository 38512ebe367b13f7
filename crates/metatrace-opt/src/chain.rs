//! Tests of one value in a row: where the last says which value it is, the first can ask that.
//!
//! ```text
//! i1 = int_eq(i0, 3)
//! guard_false(i1) [i0]
//! i2 = int_lt(i0, 9)                 ──▶   early guard_value(i0, 5) [i0]
//! guard_true(i2) [i0]
//! guard_value(i0, 5) [i0]
//! ```
//!
//! An interpreter that asks one type after the other, or the cases of a match in order, so pays for one test. Why a guard may
//! become stronger, and what `early` means, `group` says. Only guards that stand in a row are merged, no others between them:
//! the value that the trace was recorded with is one of several that are usual, not all but certain as bounds are, and who
//! would have left at a test between would leave early.
//!
//! Absent: tests of a field of the value.

use crate::edits::Edit;
use crate::range::Range;
use crate::{Pass, Rewrites};
use metatrace_ir::eval::eval;
use metatrace_ir::{Kind, Opcode, Ref, Trace};

/// The rules of this pass.
pub(crate) const RULES: &[&str] = &["chain_value", "chain_implied"];

pub(crate) struct Chain;

impl Pass for Chain {
    fn restart(&mut self) {}

    fn plan(&mut self, trace: &Trace, _born: &[Range], edits: &mut [Edit], rewrites: &mut Rewrites) {
        let mut row: Vec<(usize, Question)> = Vec::new();
        let mut part = 0;
        for (n, op) in trace.ops.iter().enumerate() {
            if op.opcode == Opcode::Label {
                part = n + 1;
                row.clear();
            }
            if !op.opcode.is_guard() || edits[n] == Edit::Remove {
                continue;
            }
            // a guard that is to ask something else stands in no row
            let question = question(trace, n, part).filter(|_| edits[n] == Edit::Keep);
            let Some(question) = question else {
                row.clear();
                continue;
            };
            if row.last().is_some_and(|(_, last)| last.value != question.value) {
                row.clear();
            }
            if let (Test::Is(constant), Some((first, _))) = (question.test, row.first())
                && row.iter().all(|(_, question)| holds(trace, question, constant))
            {
                edits[*first] = Edit::Value(question.value, constant);
                rewrites.count("chain_value");
                for implied in row.iter().skip(1).map(|(n, _)| *n).chain([n]) {
                    edits[implied] = Edit::Remove;
                    rewrites.count("chain_implied");
                }
                // whatever else is asked of it is known
                row.clear();
                continue;
            }
            row.push((n, question));
        }
    }
}

/// What a guard asks of one value.
struct Question {
    value: Ref,
    test: Test,
}

#[derive(Clone, Copy)]
enum Test {
    /// Whether it is this constant.
    Is(Ref),
    /// Whether this comparison with these operands, of which the value is one and constants are the others, is true or not.
    Compares(usize, bool),
    /// Whether it is not zero, or zero.
    IsTrue(bool),
}

/// What guard `n` asks, if it is about one value; `part` is the first operation behind the last label.
fn question(trace: &Trace, n: usize, part: usize) -> Option<Question> {
    let op = &trace.ops[n];
    // which bits a NaN has is asked only where the guest asks
    let is_number = |value: Ref| trace.kind(value) != Kind::Float;
    let asks = |value: Ref, test| (!value.is_const() && is_number(value)).then_some(Question { value, test });
    match op.opcode {
        Opcode::GuardValue => asks(op.args[0], Test::Is(op.args[1])),
        Opcode::GuardNonnull => asks(op.args[0], Test::IsTrue(true)),
        Opcode::GuardIsnull => asks(op.args[0], Test::IsTrue(false)),
        Opcode::GuardTrue | Opcode::GuardFalse => {
            let (tested, truth) = (op.args[0], op.opcode == Opcode::GuardTrue);
            let definition = trace.defining_op_in(tested, part);
            let comparison = definition.filter(|n| trace.ops[*n].opcode.is_comparison());
            let Some(n) = comparison else {
                return asks(tested, Test::IsTrue(truth));
            };
            let comparison = &trace.ops[n];
            let is_equality = matches!(comparison.opcode, Opcode::IntEq | Opcode::PtrEq);
            match (truth, &comparison.args[..]) {
                (true, &[value, constant]) if is_equality && constant.is_const() => asks(value, Test::Is(constant)),
                (_, &[value, constant]) if constant.is_const() => asks(value, Test::Compares(n, truth)),
                (_, &[constant, value]) if constant.is_const() => asks(value, Test::Compares(n, truth)),
                (_, &[value]) => asks(value, Test::Compares(n, truth)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Whether the guard holds if the value is this constant.
fn holds(trace: &Trace, question: &Question, constant: Ref) -> bool {
    let bits = |value: Ref| {
        let value = if value == question.value { constant } else { value };
        trace.as_const(value).expect("the others are constants").bits
    };
    match question.test {
        Test::Is(other) => bits(other) == bits(constant),
        Test::IsTrue(truth) => (bits(constant) != 0) == truth,
        Test::Compares(n, truth) => {
            let comparison = &trace.ops[n];
            let words: Vec<u64> = comparison.args.iter().map(|arg| bits(*arg)).collect();
            eval(comparison.opcode, &words).is_some_and(|result| (result != 0) == truth)
        }
    }
}
