//! What nobody needs is dropped: operations whose result has no use, and which have no other effect. That a rule has looked
//! through a value, or that a load was forwarded, leaves such operations behind.
//!
//! One scan from the end decides, by what is planned for the other operations; `edits` drops them and gives the values that stay
//! their numbers.

use crate::by_value::ByValue;
use crate::edits::Edit;
use metatrace_ir::{Op, Opcode, Ref, Trace};

/// Who needs a value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(crate) enum Need {
    /// Nobody.
    #[default]
    None,
    /// What is recorded as known.
    Records,
    /// Exits, or operations that these execute.
    Exits,
    /// An operation of the trace.
    Trace,
}

/// Who needs what, when the scan from the end has come to its definition.
pub(crate) type Needs = ByValue<Need>;

impl ByValue<Need> {
    /// Goes to the end of a trace: nothing is needed but by frames and pending stores of those exits that are `left`, which is
    /// asked about operations.
    pub(crate) fn start(&mut self, trace: &Trace, left: impl Fn(usize) -> bool) {
        self.restart(trace, Need::None);
        let exits = trace.ops.iter().enumerate().filter(|(_, op)| op.opcode.can_exit());
        for (_, exit) in exits.filter(|(n, _)| left(*n)) {
            self.update_frames(trace, exit, |known| known.max(Need::Exits));
            self.add(exit.pending.as_deref().unwrap_or_default(), Need::Exits);
        }
    }

    /// These values are needed.
    pub(crate) fn add(&mut self, values: &[Ref], need: Need) {
        self.update(values, |known| known.max(need));
    }
}

impl Need {
    /// How an operation that stays needs its operands.
    pub(crate) fn of_operands(op: &Op, need: Need) -> Need {
        match need {
            _ if op.opcode == Opcode::RecordTrue => Need::Records,
            Need::Records if op.sunk => Need::Records,
            _ if op.sunk => Need::Exits,
            _ => Need::Trace,
        }
    }
}

/// Plans that what is dead is removed.
pub(crate) fn remove_dead(trace: &Trace, edits: &mut [Edit], needs: &mut Needs) {
    needs.start(trace, |n| edits[n] != Edit::Remove);
    for (n, op) in trace.ops.iter().enumerate().rev() {
        if let Some(operands) = edits[n].operands() {
            needs.add(&operands, Need::Trace);
            continue;
        }
        let need = needs.of(trace.result(n));
        if need == Need::None && trace.is_removable(n) {
            edits[n] = Edit::Remove;
        } else {
            needs.add(&op.args, Need::of_operands(op, need));
        }
    }
}
