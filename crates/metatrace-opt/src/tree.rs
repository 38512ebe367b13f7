//! Operations on operations, which come in the place of one.

use metatrace_ir::{Opcode, Ref};
use smallvec::SmallVec;

/// A value, or an operation to be made of others. Operands come before their operation, so that it is built in one go; most
/// trees are so small that they are kept in place.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Tree {
    steps: SmallVec<[Step; 6]>,
}

/// A step of building a tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Take this value.
    Value(Ref),
    /// Make this operation of so many results of the last steps, which are used up by that.
    Op(Opcode, u8),
}

impl Tree {
    pub(crate) fn value(value: Ref) -> Tree {
        let mut tree = Tree::default();
        tree.push(Step::Value(value));
        tree
    }

    pub(crate) fn op<const N: usize>(opcode: Opcode, operands: [Tree; N]) -> Tree {
        let mut tree = Tree::default();
        for operand in operands {
            tree.steps.extend(operand.steps);
        }
        tree.push(Step::Op(opcode, N as u8));
        tree
    }

    /// What comes next when it is built.
    pub(crate) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// In the order in which it is built.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }
}
