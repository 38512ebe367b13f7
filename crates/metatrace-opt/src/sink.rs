//! What only exits need they compute.
//!
//! ```text
//! i2 = int_add(i0, 1)                      sunk i2 = int_add(i0, 1)
//! guard_true(i1) [i2]                 ──▶  guard_true(i1) [i2]
//! jump(i0, i1, descr=TargetToken(0))       jump(i0, i1, descr=TargetToken(0))
//! ```
//!
//! An interpreter's position moves with each bytecode, its stack pointer with most; in a trace they are sums of a few values
//! that are at hand anyway, and only exits ask for them. Sunk are pure operations with at most one operand that
//! has to be kept for it, besides constants and invariants of the loop: the exit then needs that in place of the result,
//! never more than before.
//!
//! Only marks change. Done when the trace is written, after everything that adds operations: one scan from the end.

use crate::context::Born;
use crate::dead::{Need, Needs};
use crate::{Pass, Rewrites};
use metatrace_ir::{Class, Opcode, Ref, Trace};
use rustc_hash::FxHashSet;

/// The rules of this pass.
pub(crate) const RULES: &[&str] = &["sunk_value"];

pub(crate) struct Sink;

impl Pass for Sink {
    fn only_finishes(&self) -> bool {
        true
    }

    fn finish(&mut self, mut trace: Trace, _born: &[Born], rewrites: &mut Rewrites) -> Trace {
        let mut needs = Needs::of_exits(&trace);
        let invariants = invariants(&trace);
        for n in (0..trace.ops.len()).rev() {
            let need = needs.of(trace.result(n));
            let op = &mut trace.ops[n];
            let is_pure = op.opcode.class() == Class::Pure;
            if is_pure && need == Need::None {
                continue;
            }
            let is_kept = |arg: &&Ref| !arg.is_const() && !invariants.contains(*arg);
            let operands = op.args.iter().filter(is_kept).count();
            if is_pure && need == Need::Exits && operands <= 1 && !op.sunk {
                op.sunk = true;
                rewrites.count("sunk_value");
            }
            needs.add(&op.args, if op.sunk { Need::Exits } else { Need::Trace });
        }
        trace
    }
}

/// The arguments of a loop's label that its jump passes as they are: they are kept until the end anyway.
fn invariants(trace: &Trace) -> FxHashSet<Ref> {
    let label = trace.ops.iter().rfind(|op| op.opcode == Opcode::Label);
    match (label, trace.ops.last()) {
        (Some(label), Some(jump)) if jump.opcode == Opcode::Jump && jump.descr() == label.descr() => {
            let pairs = label.args.iter().zip(&jump.args);
            pairs.filter(|(arg, next)| arg == next).map(|(arg, _)| *arg).collect()
        }
        _ => FxHashSet::default(),
    }
}
