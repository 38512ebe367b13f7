//! From the flow graph to jitcode.
//!
//! ```text
//! flatten ─▶ ownership ─▶ simplify (threads jumps, propagates copies, removes what is not used,
//! sinks what one side of a branch needs) ─▶ emit
//! ```

mod cfg;
mod check;
mod copies;
mod emit;
mod facts;
mod live;
mod ownership;
mod sink;

use crate::builder::{Builder, PortalParam};
use crate::graph::{Graph, Op, Term, VReg};
use crate::library::Lowered;
use crate::portal::{self, NativeParam};
use crate::types::Type;
use metatrace_ir::{JitCodeId, Kind};

/// The jitcode of what a twin has recorded.
pub(crate) fn lower(mut b: Builder, id: JitCodeId) -> Lowered {
    let result = b.result.expect("the twin has begun a function");
    let portal = b.portal.as_ref().map(|_| portal::parts(&b));
    b.graph.results = results(&b);
    flatten(&mut b.graph);
    let params = native_params(&b);
    cfg::close(&mut b.graph);
    cfg::remove_unreachable(&mut b.graph);
    ownership::expand(&mut b);
    let mut graph = b.graph;
    simplify(&mut graph);
    let jitcode = emit::emit(&graph, id);
    if cfg!(debug_assertions) {
        check::check(&jitcode);
    }
    Lowered {
        jitcode,
        params,
        result,
        portal,
    }
}

fn simplify(graph: &mut Graph) {
    cfg::remove_unreachable(graph);
    copies::single_definitions(graph);
    cfg::fuse_comparisons(graph);
    for _ in 0..3 {
        propagate(graph);
    }
    if cfg::forget_distinctions(graph) {
        propagate(graph);
    }
    cfg::switches(graph);
    cfg::thread_jumps(graph);
    cfg::merge_blocks(graph);
    copies::coalesce(graph);
    live::remove_dead(graph);
    sink::sink(graph);
    cfg::remove_unreachable(graph);
}

fn propagate(graph: &mut Graph) {
    cfg::remove_impossible(graph);
    cfg::thread_jumps(graph);
    cfg::merge_blocks(graph);
    copies::single_definitions(graph);
    facts::apply(graph);
    live::remove_dead(graph);
    cfg::fuse_comparisons(graph);
}

/// The kinds of the result's words.
fn results(b: &Builder) -> Vec<Kind> {
    let returned = b.graph.blocks.iter().find_map(|block| match &block.term {
        Term::Return(words) => Some(words.iter().map(|word| b.graph.kind(*word)).collect()),
        _ => None,
    });
    returned.unwrap_or_default()
}

fn native_params(b: &Builder) -> Vec<NativeParam> {
    let Some(portal) = &b.portal else {
        let param = |ty: &Type| NativeParam {
            ty: *ty,
            by_address: false,
            is_assigned: false,
        };
        return b.params.iter().map(param).collect();
    };
    let mut assigned = vec![false; b.graph.kinds.len()];
    for block in &b.graph.blocks {
        let mut assign = |reg: VReg| assigned[reg.0 as usize] = true;
        block.ops.iter().for_each(|op| op.for_each_def(&mut assign));
        block.term.def().into_iter().for_each(assign);
    }
    let param = |param: &PortalParam| NativeParam {
        ty: param.ty,
        by_address: param.root.is_none(),
        is_assigned: param.regs.iter().any(|reg| assigned[reg.0 as usize]),
    };
    portal.params.iter().map(param).collect()
}

/// Puts receivers' operations where their placeholders are.
fn flatten(graph: &mut Graph) {
    let mut sequences = std::mem::take(&mut graph.sequences);
    for block in &mut graph.blocks {
        if !block.ops.iter().any(|op| matches!(op, Op::Sequence(_))) {
            continue;
        }
        let ops = std::mem::take(&mut block.ops);
        for op in ops {
            match op {
                Op::Sequence(sequence) => block.ops.append(&mut sequences[sequence as usize]),
                op => block.ops.push(op),
            }
        }
    }
}
