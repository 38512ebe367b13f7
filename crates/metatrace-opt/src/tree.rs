//! Operations on operations, which come in the place of one.
//!
//! ```text
//! (x + c) & 255   is   x, c, int_add/2, 255, int_and/2
//! ```
//!
//! A tree is written in the order in which it is built: each operation uses up the results in front of it, and at the end one
//! is left, the tree's. A part that is needed twice stands there twice; `pure` makes one of the two. Constants are made when
//! the tree is, operations when it is built.

use metatrace_ir::{Opcode, Ref};
use smallvec::SmallVec;

/// A value, or an operation to be made of others. Those of the rules' table are so small that they are kept in place; divisions
/// are longer.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Tree {
    steps: SmallVec<[Step; 6]>,
}

/// A step of building a tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Take this value.
    Value(Ref),
    /// Make an operation of the last results.
    Op { opcode: Opcode, arity: u8 },
}

impl Tree {
    pub(crate) fn value(value: Ref) -> Tree {
        let mut tree = Tree::default();
        tree.push(Step::Value(value));
        tree
    }

    pub(crate) fn op<const N: usize>(opcode: Opcode, operands: [Tree; N]) -> Tree {
        let mut operands = operands.into_iter();
        let mut tree = operands.next().expect("an operation has operands");
        for operand in operands {
            tree.steps.extend_from_slice(&operand.steps);
        }
        tree.push_op(opcode, N);
        tree
    }

    /// Appends an operation on the last results.
    pub(crate) fn push_op(&mut self, opcode: Opcode, arity: usize) {
        let arity = u8::try_from(arity).expect("operations in trees have few operands");
        self.push(Step::Op { opcode, arity });
    }

    /// Appends a step.
    pub(crate) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// In the order in which it is built.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }
}
