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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Blk, Block};
    use metatrace_ir::Kind;

    fn end(op: Opcode, b: Option<u64>) -> (Operand, Blk, Blk) {
        let mut graph = Graph::new("f");
        let a = Operand::Reg(graph.reg(Kind::Int));
        let (then, or) = (Blk(1), Blk(2));
        graph.blocks = vec![Block::new()];
        graph.blocks[0].term = Term::Compare {
            op,
            a,
            b: b.map_or(a, Operand::int),
            then,
            or,
        };
        choose(&mut graph);
        match graph.blocks[0].term {
            Term::If { cond, then, or } => (cond, then, or),
            Term::Compare { a, then, or, .. } => (a, Blk(then.0 + 10), or),
            ref term => unreachable!("{term:?}"),
        }
    }

    #[test]
    fn comparisons_with_zero_are_tests() {
        let tested = |op, b| {
            let (_, then, or) = end(op, b);
            (then.0, or.0)
        };
        assert_eq!(tested(Opcode::IntIsTrue, None), (1, 2));
        assert_eq!(tested(Opcode::IntNe, Some(0)), (1, 2));
        assert_eq!(tested(Opcode::IntIsZero, None), (2, 1));
        assert_eq!(tested(Opcode::IntEq, Some(0)), (2, 1));
        assert_eq!(tested(Opcode::IntEq, Some(1)), (11, 2), "stays a comparison");
        assert_eq!(tested(Opcode::IntLt, Some(0)), (11, 2), "stays a comparison");
    }

    #[test]
    fn differences_with_constants_are_sums() {
        let sum = |constant: u64| {
            let mut graph = Graph::new("f");
            let (dst, a) = (graph.reg(Kind::Int), graph.reg(Kind::Int));
            graph.block();
            graph.blocks[0].ops.push(Op::Pure {
                op: Opcode::IntSub,
                dst,
                a: Operand::Reg(a),
                b: Operand::int(constant),
            });
            choose(&mut graph);
            match graph.blocks[0].ops[0] {
                Op::Pure { op, b, .. } => (op, b.as_const()),
                ref op => unreachable!("{op:?}"),
            }
        };
        assert_eq!(sum(1), (Opcode::IntAdd, Some(u64::MAX)));
        let least = i64::MIN as u64;
        assert_eq!(sum(least), (Opcode::IntAdd, Some(least)));
    }
}
