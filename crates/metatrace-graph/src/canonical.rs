//! Of several ways to say the same, the one that optimised traces use.
//!
//! ```text
//! i2 = int_sub i1 1                           i2 = int_add i1 -1
//! if int_eq i2 0 b4 else b5       becomes     if i2 b5 else b4
//! ```
//!
//! Each recording would say it the other way, and the optimiser rewrite it each time. The last of the passes, for the others
//! know what a comparison says, and nothing of a value that is tested itself.

use crate::graph::{Graph, Op, Operand, Term};
use metatrace_ir::Opcode;

/// Differences with a constant become sums, comparisons with zero become tests of the value.
pub(crate) fn choose(graph: &mut Graph) {
    for block in &mut graph.blocks {
        for op in &mut block.ops {
            if let Op::Pure { op, b, .. } = op
                && *op == Opcode::IntSub
                && let Some(constant) = b.as_const()
            {
                *op = Opcode::IntAdd;
                *b = Operand::int(constant.wrapping_neg());
            }
        }
        let Term::Compare { op, a, b, then, or } = block.term else {
            continue;
        };
        block.term = match (op, b.as_const()) {
            (Opcode::IntIsTrue, _) | (Opcode::IntNe, Some(0)) => Term::If { cond: a, then, or },
            (Opcode::IntIsZero, _) | (Opcode::IntEq, Some(0)) => Term::If {
                cond: a,
                then: or,
                or: then,
            },
            _ => continue,
        };
    }
}
