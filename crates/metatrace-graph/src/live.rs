//! Liveness of virtual registers, and removal of what nobody reads.

use crate::graph::{Graph, Op, VReg};

/// A set of registers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Set(Vec<u64>);

impl Set {
    pub(crate) fn new(registers: usize) -> Set {
        Set(vec![0; registers.div_ceil(64)])
    }

    pub(crate) fn insert(&mut self, reg: VReg) {
        self.0[reg.0 as usize / 64] |= 1 << (reg.0 % 64);
    }

    pub(crate) fn remove(&mut self, reg: VReg) {
        self.0[reg.0 as usize / 64] &= !(1 << (reg.0 % 64));
    }

    pub(crate) fn contains(&self, reg: VReg) -> bool {
        self.0[reg.0 as usize / 64] >> (reg.0 % 64) & 1 != 0
    }

    pub(crate) fn union(&mut self, other: &Set) {
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }
}

/// What is live before an operation, from what is live behind it.
pub(crate) fn before_op(graph: &Graph, live_in: &[Set], op: &Op, live: &mut Set) {
    op.for_each_def(&mut |def| live.remove(def));
    if let Some(cleanup) = op.unwind_block() {
        live.union(&live_in[cleanup.0 as usize]);
    }
    op.for_each_use(graph.merge_point.as_ref(), &mut |reg| live.insert(reg));
}

/// What is live at the end of a block, before its last branch reads its operands.
pub(crate) fn at_end(graph: &Graph, live_in: &[Set], block: usize) -> Set {
    let mut live = Set::new(graph.kinds.len());
    let term = &graph.blocks[block].term;
    term.for_each_target(&mut |to| live.union(&live_in[to.0 as usize]));
    if let Some(def) = term.def() {
        live.remove(def);
        // Where it overflows, the register keeps its value.
        if let crate::graph::Term::Overflow { overflow, .. } = term {
            live.union(&live_in[overflow.0 as usize]);
        }
    }
    term.for_each_use(&mut |reg| live.insert(reg));
    live
}

/// What is live at the start of each block.
pub(crate) fn live_in(graph: &Graph) -> Vec<Set> {
    let mut live_in = vec![Set::new(graph.kinds.len()); graph.blocks.len()];
    loop {
        let mut changed = false;
        for block in (0..graph.blocks.len()).rev() {
            let mut live = at_end(graph, &live_in, block);
            for op in graph.blocks[block].ops.iter().rev() {
                before_op(graph, &live_in, op, &mut live);
            }
            if live != live_in[block] {
                live_in[block] = live;
                changed = true;
            }
        }
        if !changed {
            return live_in;
        }
    }
}

/// Removes operations without effect whose result is not used.
pub(crate) fn remove_dead(graph: &mut Graph) {
    let live_in = live_in(graph);
    for block in 0..graph.blocks.len() {
        let mut live = at_end(graph, &live_in, block);
        let mut ops = std::mem::take(&mut graph.blocks[block].ops);
        ops.reverse();
        ops.retain(|op| {
            let mut used = false;
            op.for_each_def(&mut |def| used |= live.contains(def));
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
