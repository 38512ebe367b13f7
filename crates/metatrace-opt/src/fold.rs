//! Constants and algebra: operations on constants are computed, constants go to the right, the rules of [`rules`] apply, and
//! operations of which ranges and known bits leave one result are that.
//!
//! A guard whose condition is a constant is gone or becomes `guard_always_fails`: what follows is never executed then, but
//! stays, so that the trace ends as it did.

use crate::context::Context;
use crate::division;
use crate::rules::{self, Outcome};
use crate::{Classes, Decision, Interests, Pass};
use metatrace_ir::eval::{eval, overflows};
use metatrace_ir::{Args, Class, Const, Kind, Op, Opcode, Ref};
use smallvec::SmallVec;

/// The rules that are not in the table.
pub(crate) const RULES: &[&str] = &["constant", "known", "constant_right", "comparison_constant_right"];

pub(crate) struct Fold;

impl Pass for Fold {
    fn restart(&mut self) {}

    fn interests(&self) -> Interests {
        Interests {
            visited: Classes::of(&[Class::Pure, Class::Partial, Class::Overflow, Class::Guard]),
            ..Interests::NONE
        }
    }

    fn visit(&mut self, op: &Op, context: &mut Context) -> Decision {
        debug_assert!(self.interests().visited.contains(op.opcode.class()), "{op:?}");
        if let Some(constant) = constant(op, context) {
            return Decision::Equal("constant", constant);
        }
        if let [a, b] = op.args[..]
            && a.is_const()
            && !b.is_const()
            && let Some((rule, opcode)) = exchanged(op.opcode)
        {
            return Decision::Replace(
                rule,
                Op {
                    opcode,
                    args: Args::new(&[b, a]),
                    ..op.clone()
                },
            );
        }
        if let Some((rule, outcome)) = rules::apply(op, context) {
            return match outcome {
                Outcome::Tree(tree) => Decision::Build(rule, tree),
                Outcome::Op(op) => Decision::Replace(rule, op),
                Outcome::Value(value) => Decision::Equal(rule, value),
                Outcome::Nothing => Decision::Remove(rule),
            };
        }
        if let Some(constant) = known(op, context) {
            return Decision::Equal("known", constant);
        }
        match division::by_constant(op, context) {
            None => Decision::Keep,
            Some((rule, tree)) => Decision::Build(rule, tree),
        }
    }
}

/// The result, if all operands are constants for which it is defined.
fn constant(op: &Op, context: &mut Context) -> Option<Ref> {
    if op.opcode.class() == Class::Guard || !op.args.iter().all(|arg| arg.is_const()) {
        return None;
    }
    let bits = |arg: &Ref| context.bits(*arg).expect("a constant");
    let args: SmallVec<[u64; 2]> = op.args.iter().map(bits).collect();
    let bits = eval(op.opcode, &args)?;
    if op.opcode.class() == Class::Overflow {
        context.overflow = Some(overflows(op.opcode, args[0], args[1]));
    }
    let kind = op.opcode.result().expect("arithmetic has a result");
    Some(context.constant(Const { kind, bits }))
}

/// The result, if ranges and bits of the operands leave only one.
fn known(op: &Op, context: &mut Context) -> Option<Ref> {
    // comparisons are decided by rules
    let is_number =
        op.opcode.class() == Class::Pure && op.opcode.result() == Some(Kind::Int) && !op.opcode.is_comparison();
    let (range, _) = is_number.then(|| context.knowledge_of(op))?;
    Some(context.int(range.single()?))
}

/// The operation with its operands exchanged.
fn exchanged(opcode: Opcode) -> Option<(&'static str, Opcode)> {
    if opcode.info().commutative {
        Some(("constant_right", opcode))
    } else if opcode.is_comparison() {
        Some(("comparison_constant_right", opcode.swapped()?))
    } else {
        None
    }
}
