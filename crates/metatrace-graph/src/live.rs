//! Liveness of virtual registers, and removal of what nobody reads.

use crate::cfg::edges;
use crate::graph::{Graph, Op, Term};
use metatrace_jitcode::data_flow::{BitSet, backward};

/// What is live before an operation, from what is live behind it.
fn before_op(graph: &Graph, live_in: &[BitSet], op: &Op, live: &mut BitSet) {
    op.for_each_def(&mut |def| live.remove(def.0 as usize));
    if let Some(cleanup) = op.unwind_block() {
        live.union(&live_in[cleanup.0 as usize]);
    }
    op.for_each_use(graph.merge_point.as_ref(), &mut |reg| live.insert(reg.0 as usize));
}

/// Makes `live` what is live at the end of a block, before its last branch reads its operands.
fn at_end(live_in: &[BitSet], term: &Term, live: &mut BitSet) {
    live.clear();
    term.for_each_target(&mut |to| {
        live.union(&live_in[to.0 as usize]);
    });
    if let Term::Overflow { dst, overflow, .. } = term {
        live.remove(dst.0 as usize);
        // Where it overflows, the register keeps its value.
        live.union(&live_in[overflow.0 as usize]);
    }
    term.for_each_use(&mut |reg| live.insert(reg.0 as usize));
}

/// What is live at the start of each block.
pub(crate) fn live_in(graph: &Graph) -> Vec<BitSet> {
    backward(graph.blocks.len(), edges(graph), |n, live_in, live| {
        let block = &graph.blocks[n];
        at_end(live_in, &block.term, live);
        for op in block.ops.iter().rev() {
            before_op(graph, live_in, op, live);
        }
    })
}

/// Removes operations without effect whose result is not used.
pub(crate) fn remove_dead(graph: &mut Graph) {
    let live_in = live_in(graph);
    let mut live = BitSet::default();
    for block in 0..graph.blocks.len() {
        at_end(&live_in, &graph.blocks[block].term, &mut live);
        let mut ops = std::mem::take(&mut graph.blocks[block].ops);
        ops.reverse();
        ops.retain(|op| {
            let mut used = false;
            op.for_each_def(&mut |def| used |= live.contains(def.0 as usize));
            if op.is_removable() && (!used || matches!(op, Op::Move { dst, src } if src.as_reg() == Some(*dst))) {
                return false;
            }
            before_op(graph, &live_in, op, &mut live);
            true
        });
        ops.reverse();
        graph.blocks[block].ops = ops;
    }
}
