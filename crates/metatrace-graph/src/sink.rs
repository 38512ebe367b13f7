//! What only one side of a branch needs is computed there.
//!
//! ```text
//! i1 = p0.words.1; branch i2 == 0 else b9           becomes          branch i2 == 0 else b9
//! … (nothing of i1) …                                                …
//! b9: return [i1]                                                    b9: i1 = p0.words.1; return [i1]
//! ```
//!
//! So the words of an error that did not happen are not loaded, and no guard has to keep them.

use crate::cfg::{defines, entries};
use crate::copies::definitions;
use crate::graph::{Blk, Graph, Op, Term, VReg};
use crate::live;
use metatrace_jitcode::data_flow::BitSet;

/// Moves operations behind the branch that ends their block, wherever one side alone wants the result.
pub(crate) fn sink(graph: &mut Graph) {
    let definitions = definitions(graph);
    let live_in = live::live_in(graph);
    let entries = entries(graph);
    // The last blocks first: what has sunk into one may sink further, but that is not worth another round.
    for block in (0..graph.blocks.len()).rev() {
        let targets = targets(graph, block);
        let mut at = graph.blocks[block].ops.len();
        while at > 0 {
            at -= 1;
            let op = &graph.blocks[block].ops[at];
            let Some(dst) = result(op).filter(|dst| definitions[dst.0 as usize] == 1) else {
                continue;
            };
            let wanting = wanting(&targets, &live_in, dst);
            let [to] = wanting[..] else { continue };
            if entries[to.0 as usize] == 1 && targets.len() > 1 && may_pass(graph, &live_in, block, at, dst) {
                let op = graph.blocks[block].ops.remove(at);
                graph.blocks[to.0 as usize].ops.insert(0, op);
            }
        }
    }
}

/// Where a branch may go, each block once.
fn targets(graph: &Graph, block: usize) -> Vec<Blk> {
    let mut targets = Vec::new();
    let term = &graph.blocks[block].term;
    if let Term::If { .. } | Term::Compare { .. } | Term::Switch { .. } = term {
        term.for_each_target(&mut |to| targets.push(to));
        targets.sort_unstable();
        targets.dedup();
    }
    targets
}

fn wanting(targets: &[Blk], live_in: &[BitSet], reg: VReg) -> Vec<Blk> {
    let wants = |to: &&Blk| live_in[to.0 as usize].contains(reg.0 as usize);
    targets.iter().filter(wants).copied().collect()
}

/// The result of an operation that may be done later.
fn result(op: &Op) -> Option<VReg> {
    match op {
        Op::Move { dst, .. }
        | Op::Pure { dst, .. }
        | Op::PtrField { dst, .. }
        | Op::PtrItem { dst, .. }
        | Op::Load { dst, .. }
        | Op::LoadItem { dst, .. } => Some(*dst),
        _ => None,
    }
}

/// Whether the operation gives the same result at the end of its block, and nothing there wants it.
fn may_pass(graph: &Graph, live_in: &[BitSet], block: usize, at: usize, dst: VReg) -> bool {
    let block = &graph.blocks[block];
    let (op, later) = (&block.ops[at], &block.ops[at + 1..]);
    let mut operands = Vec::new();
    op.for_each_use(None, &mut |reg| operands.push(reg));
    let is_load = matches!(op, Op::Load { .. } | Op::LoadItem { .. });
    let mut wanted = false;
    block.term.for_each_use(&mut |reg| wanted |= reg == dst);
    let matters = |op: &Op| {
        let mut reads = false;
        op.for_each_use(graph.merge_point.as_ref(), &mut |reg| reads |= reg == dst);
        let cleanup = op.unwind_block();
        reads
            || cleanup.is_some_and(|cleanup| live_in[cleanup.0 as usize].contains(dst.0 as usize))
            || operands.iter().any(|reg| defines(op, *reg))
            || (is_load && writes(op))
    };
    !wanted && !later.iter().any(matters)
}

/// Whether the operation may change memory.
fn writes(op: &Op) -> bool {
    matches!(
        op,
        Op::Store { .. } | Op::StoreItem { .. } | Op::Native(_) | Op::Inline(_) | Op::MergePoint | Op::BackEdge
    )
}
