//! What guards prove: behind a guard its condition is a constant, and what follows from it needs no guard.
//!
//! ```text
//! i2 = uint_lt(i0, i1)        i2 = uint_lt(i0, i1)
//! guard_true(i2) []       ──▶ guard_true(i2) []
//! i3 = uint_ge(i0, i1)        jump(0, …)
//! guard_false(i3) []
//! jump(i3, …)
//! ```
//!
//! Facts are the truth of comparisons in one form (`a > b` is `b < a`, `a >= b` is not `a < b`), the ranges of values
//! compared with constants, and values that are constants. Floats keep their orders apart, for NaN breaks negation.

use crate::context::Context;
use crate::range::Range;
use crate::{Classes, Decision, Interests, Pass, empty};
use metatrace_ir::{Args, Class, Kind, Op, Opcode, Ref, Word};
use rustc_hash::FxHashMap;

/// The rules of this pass.
pub(crate) const RULES: &[&str] = &[
    "implied_comparison",
    "repeated_guard",
    "contradicted_guard",
    "repeated_null_guard",
    "contradicted_null_guard",
    "known_anyway",
];

/// A comparison in its one form.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Comparison {
    /// `<`, `==`, and for floats `<=`.
    opcode: Opcode,
    a: Ref,
    b: Ref,
}

#[derive(Default)]
pub(crate) struct Guards {
    known: FxHashMap<Comparison, bool>,
}

impl Pass for Guards {
    fn restart(&mut self) {
        empty(&mut self.known);
    }

    fn interests(&self) -> Interests {
        Interests {
            visited: Classes::of(&[Class::Pure, Class::Guard, Class::Debug]),
            before: Classes::NONE,
            emitted: Classes::of(&[Class::Guard, Class::Debug, Class::Load, Class::Store, Class::Alloc]),
        }
    }

    fn visit(&mut self, op: &Op, context: &mut Context) -> Decision {
        if op.opcode.is_comparison() {
            let (comparison, negated) = normal(op, context);
            return match self.known.get(&comparison) {
                None => Decision::Keep,
                Some(truth) => Decision::Equal("implied_comparison", context.int((truth ^ negated).into())),
            };
        }
        if op.opcode == Opcode::RecordTrue && op.args[0].is_const() {
            return Decision::Remove("known_anyway");
        }
        let (expected, holds, fails) = match op.opcode {
            Opcode::GuardTrue => (true, "repeated_guard", "contradicted_guard"),
            Opcode::GuardFalse => (false, "repeated_guard", "contradicted_guard"),
            Opcode::GuardNonnull => (true, "repeated_null_guard", "contradicted_null_guard"),
            Opcode::GuardIsnull => (false, "repeated_null_guard", "contradicted_null_guard"),
            _ => return Decision::Keep,
        };
        match self.known.get(&is_zero(op.args[0], context)) {
            None => Decision::Keep,
            // zero is what is known, truth is what is asked
            Some(zero) if *zero != expected => Decision::Remove(holds),
            Some(_) => Decision::Replace(
                fails,
                Op {
                    opcode: Opcode::GuardAlwaysFails,
                    ..without_args(op)
                },
            ),
        }
    }

    fn emitted(&mut self, op: &Op, value: Ref, context: &mut Context) {
        match op.opcode {
            Opcode::GuardTrue | Opcode::GuardNonnull | Opcode::RecordTrue => self.truth(op.args[0], true, context),
            Opcode::GuardFalse | Opcode::GuardIsnull => self.truth(op.args[0], false, context),
            Opcode::GuardValue => self.constant(op.args[0], op.args[1], context),
            _ => {}
        }
        if op.opcode.class() == Class::Store
            && op.descr().word() == Some(Word::Length)
            && let Some(stored) = op.args.last()
        {
            context.narrow(*stored, Range::of_word(Word::Length));
        }
        match op.opcode.class() {
            Class::Alloc => self.nonnull(value, context),
            // an access proves its pointer
            Class::Load | Class::Store if context.kind(op.args[0]) == Kind::Ref => self.nonnull(op.args[0], context),
            _ => {}
        }
    }

    fn start(&mut self, _before: &[Ref], _behind: &[Ref], _context: &mut Context) {
        self.known.clear();
    }
}

impl Guards {
    fn nonnull(&mut self, pointer: Ref, context: &mut Context) {
        self.known.insert(is_zero(pointer, context), false);
    }

    /// `value` is zero, or is not.
    fn truth(&mut self, value: Ref, truth: bool, context: &mut Context) {
        if !truth {
            let zero = Ref::zero(context.kind(value));
            self.constant(value, zero, context);
        } else if context.known_bits(value).possible().is_power_of_two() {
            let only = context.int(context.known_bits(value).possible() as i64);
            self.constant(value, only, context);
        } else {
            let comparison = is_zero(value, context);
            self.known.insert(comparison, false);
            narrow(comparison, false, context);
        }
    }

    /// `value` is `constant`.
    fn constant(&mut self, value: Ref, constant: Ref, context: &mut Context) {
        context.learn(value, constant);
        let truth = context.bits(constant) != Some(0);
        if let Some(op) = context.definition(value)
            && op.opcode.is_comparison()
        {
            let op = op.clone();
            self.assume(&op, truth, context);
        }
    }

    /// The comparison holds, or does not, and so does what follows.
    fn assume(&mut self, op: &Op, truth: bool, context: &mut Context) {
        let (comparison, negated) = normal(op, context);
        let holds = truth ^ negated;
        self.known.insert(comparison, holds);
        let Comparison { opcode, a, b } = comparison;
        let mut also = |opcode, a, b, truth| {
            self.known.insert(Comparison { opcode, a, b }, truth);
        };
        match (opcode, holds) {
            (Opcode::IntLt | Opcode::UintLt, true) => {
                also(opcode, b, a, false);
                also(Opcode::IntEq, a.min(b), a.max(b), false);
                if opcode == Opcode::UintLt && context.range(b).is_natural() {
                    also(Opcode::IntLt, a, b, true);
                    also(Opcode::IntLt, b, a, false);
                }
            }
            (Opcode::UintLt, false) if context.range(a).is_natural() && context.range(b).is_natural() => {
                also(Opcode::IntLt, a, b, false);
            }
            (Opcode::FloatLt, true) => {
                also(Opcode::FloatLt, b, a, false);
                also(Opcode::FloatLe, a, b, true);
                also(Opcode::FloatLe, b, a, false);
                also(Opcode::FloatEq, a.min(b), a.max(b), false);
            }
            (Opcode::FloatLe, true) => also(Opcode::FloatLt, b, a, false),
            // constants are the greater references; equal words need not have the same memory behind them
            (Opcode::IntEq | Opcode::PtrEq, true) if b.is_const() => self.constant(a, b.plain(), context),
            _ => {}
        }
        narrow(comparison, holds, context);
    }
}

/// `value == 0`, or the same for a pointer.
fn is_zero(value: Ref, context: &Context) -> Comparison {
    let kind = context.kind(value);
    let zero = Ref::zero(kind);
    let opcode = if kind == Kind::Ref {
        Opcode::PtrEq
    } else {
        Opcode::IntEq
    };
    Comparison {
        opcode,
        a: value.min(zero),
        b: value.max(zero),
    }
}

/// The one form of a comparison, and whether it is the negation of that.
fn normal(op: &Op, context: &Context) -> (Comparison, bool) {
    use Opcode::*;
    if let [value] = op.args[..] {
        return (is_zero(value, context), op.opcode == IntIsTrue);
    }
    let (a, b) = (op.args[0], op.args[1]);
    let (opcode, a, b, negated) = match op.opcode {
        IntLt => (IntLt, a, b, false),
        IntGe => (IntLt, a, b, true),
        IntGt => (IntLt, b, a, false),
        IntLe => (IntLt, b, a, true),
        UintLt => (UintLt, a, b, false),
        UintGe => (UintLt, a, b, true),
        UintGt => (UintLt, b, a, false),
        UintLe => (UintLt, b, a, true),
        FloatLt => (FloatLt, a, b, false),
        FloatGt => (FloatLt, b, a, false),
        FloatLe => (FloatLe, a, b, false),
        FloatGe => (FloatLe, b, a, false),
        IntEq | PtrEq | FloatEq => (op.opcode, a.min(b), a.max(b), false),
        IntNe => (IntEq, a.min(b), a.max(b), true),
        PtrNe => (PtrEq, a.min(b), a.max(b), true),
        FloatNe => (FloatEq, a.min(b), a.max(b), true),
        other => unreachable!("{} is no comparison of two operands", other.name()),
    };
    (Comparison { opcode, a, b }, negated)
}

/// What the comparison says of where its operands lie.
fn narrow(comparison: Comparison, holds: bool, context: &mut Context) {
    let Comparison { opcode, a, b } = comparison;
    let of_b = context.range(b);
    // what is less than a natural number, unsigned, is one
    let naturals = of_b.is_natural() && (holds || context.range(a).is_natural());
    let opcode = match opcode {
        Opcode::UintLt if naturals => {
            if holds {
                context.narrow(a, Range::new(0, i64::MAX));
            }
            Opcode::IntLt
        }
        opcode => opcode,
    };
    let of_a = context.range(a);
    match (opcode, holds) {
        (Opcode::IntLt, true) => {
            if let Some(hi) = of_b.hi.checked_sub(1) {
                context.narrow(a, Range::new(i64::MIN, hi));
            }
            if let Some(lo) = of_a.lo.checked_add(1) {
                context.narrow(b, Range::new(lo, i64::MAX));
            }
        }
        (Opcode::IntLt, false) => {
            context.narrow(a, Range::new(of_b.lo, i64::MAX));
            context.narrow(b, Range::new(i64::MIN, of_a.hi));
        }
        (Opcode::IntEq, false) => {
            if of_b.single() == Some(of_a.lo) && of_a.lo < of_a.hi {
                context.narrow(a, Range::new(of_a.lo + 1, of_a.hi));
            } else if of_b.single() == Some(of_a.hi) && of_a.lo < of_a.hi {
                context.narrow(a, Range::new(of_a.lo, of_a.hi - 1));
            }
        }
        _ => {}
    }
}

fn without_args(op: &Op) -> Op {
    let mut op = op.clone();
    op.args = Args::default();
    op
}
