//! Copies: operands take the place of registers that only copy them, results go where they are moved to at once.

use crate::cfg::defines;
use crate::graph::{Graph, Op, Operand, Term, VReg};
use rustc_hash::FxHashMap;

/// How often each register is written; parameters and merge point registers count as written once more.
pub(crate) fn definitions(graph: &Graph) -> Vec<u32> {
    let mut count = vec![0; graph.kinds.len()];
    for param in &graph.params {
        count[param.0 as usize] += 1;
    }
    if let Some(merge) = &graph.merge_point {
        // The domain may exchange these for others.
        for reg in merge
            .reds
            .iter()
            .copied()
            .chain(merge.greens.iter().filter_map(|green| green.as_reg()))
        {
            count[reg.0 as usize] += 2;
        }
    }
    for block in &graph.blocks {
        for op in &block.ops {
            op.for_each_def(&mut |def| count[def.0 as usize] += 1);
            if let Op::Promote { reg } = op {
                count[reg.0 as usize] += 1;
            }
        }
        if let Some(def) = block.term.def() {
            count[def.0 as usize] += 1;
        }
    }
    count
}

/// A register with one definition that is a copy of a constant, or of a register with one definition, is that everywhere.
pub(crate) fn single_definitions(graph: &mut Graph) {
    let count = definitions(graph);
    let mut replaced: FxHashMap<VReg, Operand> = FxHashMap::default();
    for block in &graph.blocks {
        for op in &block.ops {
            if let Op::Move { dst, src } = op
                && count[dst.0 as usize] == 1
                && src.as_reg().is_none_or(|src| count[src.0 as usize] == 1)
            {
                replaced.insert(*dst, *src);
            }
        }
    }
    if replaced.is_empty() {
        return;
    }
    let resolve = &mut |operand: &mut Operand| {
        for _ in 0..replaced.len() + 1 {
            match operand.as_reg().and_then(|reg| replaced.get(&reg)) {
                Some(other) => *operand = *other,
                None => break,
            }
        }
    };
    for block in &mut graph.blocks {
        block.ops.iter_mut().for_each(|op| op.for_each_use_mut(resolve));
        block.term.for_each_use_mut(resolve);
    }
}

/// `t = a + b; x = t` becomes `x = a + b` where `t` is not used otherwise.
pub(crate) fn coalesce(graph: &mut Graph) {
    let defs = definitions(graph);
    let uses = crate::cfg::uses(graph);
    let once = |reg: VReg| defs[reg.0 as usize] == 1 && uses[reg.0 as usize] == 1;
    for n in 0..graph.blocks.len() {
        let ops = &mut graph.blocks[n].ops;
        let mut at = 0;
        while at < ops.len() {
            if let Op::Move {
                dst,
                src: Operand::Reg(temp),
            } = ops[at]
                && once(temp)
                && let Some(made) = ops[..at].iter().rposition(|op| defines(op, temp))
                && !touches(&ops[made + 1..at], dst)
                && unwinds_clear(&ops[made..at])
            {
                ops[made].for_each_def_mut(&mut |def| {
                    if *def == temp {
                        *def = dst;
                    }
                });
                ops.remove(at);
                continue;
            }
            at += 1;
        }
    }
    coalesce_overflows(graph, once);
}

/// Whether operations read or write a register.
fn touches(ops: &[Op], reg: VReg) -> bool {
    ops.iter().any(|op| {
        let mut read = matches!(op, Op::Header | Op::MergePoint);
        let merge = crate::graph::MergeWords {
            greens: Vec::new(),
            frozen: Vec::new(),
            reds: Vec::new(),
        };
        op.for_each_use(Some(&merge), &mut |used| read |= used == reg);
        read || defines(op, reg)
    })
}

/// Cleanup code might read the old content of a register that is written early.
fn unwinds_clear(ops: &[Op]) -> bool {
    ops.iter().all(|op| op.unwind_block().is_none())
}

/// The same for the results of checked arithmetic, which end their block.
fn coalesce_overflows(graph: &mut Graph, once: impl Fn(VReg) -> bool) {
    let entries = crate::cfg::entries(graph);
    for n in 0..graph.blocks.len() {
        let Term::Overflow {
            dst: temp,
            fits,
            overflow,
            ..
        } = graph.blocks[n].term
        else {
            continue;
        };
        if !once(temp) || entries[fits.0 as usize] != 1 || fits == overflow {
            continue;
        }
        let ops = &graph.blocks[fits.0 as usize].ops;
        let moved = ops
            .iter()
            .position(|op| matches!(op, Op::Move { src, .. } if *src == Operand::Reg(temp)));
        let Some(at) = moved else { continue };
        let Op::Move { dst, .. } = ops[at] else { continue };
        if touches(&ops[..at], dst) || !unwinds_clear(&ops[..at]) {
            continue;
        }
        graph.blocks[fits.0 as usize].ops.remove(at);
        if let Term::Overflow { dst: made, .. } = &mut graph.blocks[n].term {
            *made = dst;
        }
    }
}
