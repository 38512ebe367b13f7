//! The flow graph of a staged function, and what makes jitcode of it.
//!
//! ```text
//! what a twin records ─▶ close ─▶ codewriter: drops made explicit ─▶ lower (simplify ─▶ emit ─▶ check) ─▶ jitcode
//! ```
//!
//! - `graph`: blocks of operations over virtual registers, and what operations read and write;
//! - the passes of `simplify`: `cfg` (threads jumps, merges blocks, fuses comparisons with branches, makes switches),
//!   `copies`, `facts` (what is known is not computed again), `live` (removes what is not used), `sink` (what one side of a
//!   branch needs is computed there);
//! - `canonical`: of several ways to say the same, the one that optimised traces use;
//! - `emit`: the order of the blocks, the numbers of the registers, the instructions;
//! - `check`: that these are consistent, in debug builds.
//!
//! Invariants: a register is one word of one kind, and may be written often: a pass that needs a single definition counts
//! them (`copies::definitions`). Numbers of registers and blocks stay: passes empty blocks instead of removing them. What
//! operations compute is [`metatrace_ir::eval`]'s to say.
//!
//! Absent: types and layouts, what an owner is and how it is dropped. The codewriter knows that.

#![forbid(unsafe_code)]

mod canonical;
mod cfg;
mod check;
mod copies;
mod emit;
mod facts;
mod graph;
mod live;
mod sink;

pub use emit::TooLarge;
pub use graph::{Blk, Block, Graph, Inline, MergeWords, Native, Op, Operand, OwnerId, Term, Unwind, VReg};

use metatrace_ir::{JitCodeId, Kind};
use metatrace_jitcode::JitCode;

/// Ends the recording: the sequences are put in their places, open blocks cannot be reached, and what cannot be reached is
/// emptied. The kinds of the result's words are those of the first return, reached or not.
///
/// # Panics
/// If the graph has no blocks.
pub fn close(graph: &mut Graph) {
    graph.results = results(graph);
    flatten(graph);
    cfg::close(graph);
    cfg::remove_unreachable(graph);
}

/// The jitcode of a closed graph whose drops are explicit.
///
/// # Errors
/// Where jitcode cannot number all that the function has.
///
/// # Panics
/// If the graph is not closed, or speaks of owners; in debug builds also where the jitcode is inconsistent.
pub fn lower(mut graph: Graph, id: JitCodeId) -> Result<JitCode, TooLarge> {
    simplify(&mut graph);
    let jitcode = emit::emit(&graph, id)?;
    if cfg!(debug_assertions) {
        check::check(&jitcode);
    }
    Ok(jitcode)
}

fn simplify(graph: &mut Graph) {
    cfg::remove_unreachable(graph);
    copies::single_definitions(graph);
    cfg::fuse_comparisons(graph);
    // The first round has nearly always something to do.
    propagate(graph);
    for _ in 1..3 {
        let before = graph.blocks.clone();
        propagate(graph);
        if graph.blocks == before {
            break;
        }
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
    canonical::choose(graph);
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
fn results(graph: &Graph) -> Vec<Kind> {
    let returned = graph.blocks.iter().find_map(|block| match &block.term {
        Term::Return(words) => Some(words.iter().map(|word| graph.kind(*word)).collect()),
        _ => None,
    });
    returned.unwrap_or_default()
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
