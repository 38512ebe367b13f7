//! What only exits need they compute.
//!
//! ```text
//! i2 = int_add(i0, 1)                      sunk i2 = int_add(i0, 1)
//! guard_true(i1) [i2]                 ──▶  guard_true(i1) [i2]
//! jump(i0, i1, descr=TargetToken(0))       jump(i0, i1, descr=TargetToken(0))
//! ```
//!
//! An interpreter's position moves with each bytecode, its stack pointer with most; in a trace they are sums of a few values
//! that are at hand anyway, and only exits ask for them. Sunk are pure operations of whose operands at most one has to be kept
//! for it: the exit then needs that in place of the result, never more than before. Constants need not be kept, nor what the
//! trace needs anyway where the last exit is that asks for the result, or behind it.
//!
//! Only marks change. Done when the trace is written, after everything that adds operations: one scan from the end.

use crate::by_value::ByValue;
use crate::dead::{Need, Needs};
use crate::{Pass, Rewrites};
use metatrace_ir::{Class, Opcode, Ref, Trace};

/// The rules of this pass.
pub(crate) const RULES: &[&str] = &["sunk_value"];

#[derive(Default)]
pub(crate) struct Sink {
    needs: Needs,
    /// The last operation that needs a value, or has an exit that does, as far as the scan from the end knows.
    uses: ByValue<usize>,
}

impl Pass for Sink {
    fn restart(&mut self) {}

    fn finish(&mut self, trace: &mut Trace, rewrites: &mut Rewrites) {
        let Sink { needs, uses } = self;
        needs.start(trace, |_| true);
        uses.restart(trace, 0);
        for n in (0..trace.ops.len()).rev() {
            let exit = &trace.ops[n];
            uses.update_frames(trace, exit, |last| last.max(n));
            uses.update(exit.pending.as_deref().unwrap_or_default(), |last| last.max(n));
            let result = trace.result(n);
            let need = needs.of(result);
            let op = &mut trace.ops[n];
            let is_pure = op.opcode.class() == Class::Pure;
            if is_pure && need == Need::None {
                continue;
            }
            // never executed, so it takes nothing to keep its operands
            op.sunk |= op.opcode == Opcode::RecordTrue || (is_pure && need == Need::Records);
            if is_pure && need == Need::Exits && !op.sunk {
                let last = uses.of(result);
                let has_to_be_kept = |arg: &&Ref| !arg.is_const() && uses.of(**arg) < last;
                op.sunk = op.args.iter().filter(has_to_be_kept).count() <= 1;
                if op.sunk {
                    rewrites.count("sunk_value");
                }
            }
            needs.add(&op.args, Need::of_operands(op, need));
            let last = if op.sunk { uses.of(result) } else { n };
            uses.update(&op.args, |known| known.max(last));
        }
    }
}
