//! Common subexpressions: an operation without effect that was done before, on the same operands, is that value.
//!
//! ```text
//! i2 = int_add(i0, i1)      i2 = int_add(i0, i1)
//! i3 = int_add(i1, i0)  ──▶ i4 = int_lt(i2, i0)
//! i4 = int_lt(i3, i0)       jump(i2, i4, i4, …)
//! i5 = int_gt(i0, i3)
//! jump(i3, i4, i5, …)
//! ```
//!
//! Calls of elidable functions are among them: the first did not panic, so the guard behind the second goes too. A sum
//! that a guard has seen not to overflow is the sum without the check as well.

use crate::context::Context;
use crate::peel::Carry;
use crate::{Classes, Decision, Interests, Pass, empty};
use metatrace_ir::{Class, Descr, Op, Opcode, Ref};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// The rules of this pass.
pub(crate) const RULES: &[&str] = &["common_subexpression", "common_overflow_check", "common_call"];

/// Operations with the same key have the same result.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    opcode: Opcode,
    a: Ref,
    /// As `a`, where there is one operand.
    b: Ref,
    /// Of addresses: distance of items and offset.
    place: (u32, u32),
}

/// What is called, and its arguments.
type Call = (Opcode, SmallVec<[Ref; 4]>);

#[derive(Default)]
pub(crate) struct Pure {
    known: FxHashMap<Key, Ref>,
    calls: FxHashMap<Call, Ref>,
    /// The key of the operation that was visited last, which is the one that is emitted next.
    visited: Option<Key>,
    /// The operation before, if it set the overflow flag.
    unchecked: Option<(Key, Ref)>,
}

impl Pass for Pure {
    fn restart(&mut self) {
        empty(&mut self.known);
        empty(&mut self.calls);
        (self.visited, self.unchecked) = (None, None);
    }

    fn interests(&self) -> Interests {
        Interests {
            visited: Classes::of(&[Class::Pure, Class::Partial, Class::Overflow, Class::Call]),
            before: Classes::NONE,
            emitted: Classes::of(&[Class::Pure, Class::Partial, Class::Overflow, Class::Call, Class::Guard]),
        }
    }

    fn visit(&mut self, op: &Op, context: &mut Context) -> Decision {
        self.visited = key(op);
        let (rule, known) = match &self.visited {
            Some(key) if op.opcode.class() == Class::Overflow => ("common_overflow_check", self.known.get(key)),
            Some(key) => ("common_subexpression", self.known.get(key)),
            None => ("common_call", call(op).and_then(|call| self.calls.get(&call))),
        };
        known.map_or(Decision::Keep, |value| Decision::Equal(rule, context.resolve(*value)))
    }

    fn emitted(&mut self, op: &Op, value: Ref, _context: &mut Context) {
        let unchecked = self.unchecked.take();
        if op.opcode.is_guard() {
            if op.opcode == Opcode::GuardNoOverflow {
                self.known.extend(unchecked);
            }
            return;
        }
        let Some(key) = self.visited.take() else {
            self.calls.extend(call(op).map(|call| (call, value)));
            return;
        };
        let opcode = match key.opcode {
            Opcode::IntAddOvf => Opcode::IntAdd,
            Opcode::IntSubOvf => Opcode::IntSub,
            Opcode::IntMulOvf => Opcode::IntMul,
            opcode => opcode,
        };
        if opcode != key.opcode {
            self.unchecked = Some((key, value));
        }
        self.known.insert(Key { opcode, ..key }, value);
    }

    fn enter_loop(&mut self, _carry: Carry, _context: &mut Context) {
        self.unchecked = None;
    }

    fn start(&mut self, _before: &[Ref], _behind: &[Ref], _context: &mut Context) {
        self.known.clear();
        self.calls.clear();
        self.unchecked = None;
    }
}

/// The key of an operation that may be merged with its like, and is no call.
fn key(op: &Op) -> Option<Key> {
    if !matches!(op.opcode.class(), Class::Pure | Class::Partial | Class::Overflow) {
        return None;
    }
    let (a, b) = match op.args[..] {
        [a] => (a, a),
        [a, b] => (a, b),
        _ => return None,
    };
    let place = match op.descr.as_deref() {
        Some(Descr::Field(field)) => (0, field.offset),
        Some(Descr::Array(array)) => (array.item_size, array.offset),
        _ => (0, 0),
    };
    let opcode = op.opcode;
    Some(match opcode.swapped() {
        _ if opcode.info().commutative => Key {
            opcode,
            a: a.min(b),
            b: a.max(b),
            place,
        },
        Some(smaller) if smaller < opcode => Key {
            opcode: smaller,
            a: b,
            b: a,
            place,
        },
        _ => Key { opcode, a, b, place },
    })
}

/// A call that may be merged with its like: the function's address is an operand.
fn call(op: &Op) -> Option<Call> {
    let is_pure = matches!(op.opcode, Opcode::CallPureI | Opcode::CallPureR);
    is_pure.then(|| (op.opcode, SmallVec::from_slice(&op.args)))
}
