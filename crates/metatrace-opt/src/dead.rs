//! What nobody needs is dropped: operations whose result has no use, and which have no other effect. That a rule has looked
//! through a value, or that a load was forwarded, leaves such operations behind.
//!
//! One scan from the end decides, by what is planned for the other operations; `edits` drops them and gives the values that stay
//! their numbers.

use crate::edits::Edit;
use metatrace_ir::{FramesOnce, Op, Opcode, Ref, Trace};

/// Who needs a value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Need {
    /// Nobody.
    None,
    /// What is recorded as known.
    Records,
    /// Exits, or operations that these execute.
    Exits,
    /// An operation of the trace.
    Trace,
}

/// Who needs what, when the scan from the end has come to its definition.
#[derive(Default)]
pub(crate) struct Needs {
    by_value: Vec<Need>,
    frames: FramesOnce,
}

impl Needs {
    /// Goes to the end of a trace: nothing is needed but by frames and pending stores of those exits that are `left`, which is
    /// asked about operations.
    pub(crate) fn restart(&mut self, trace: &Trace, left: impl Fn(usize) -> bool) {
        self.by_value.clear();
        self.by_value.resize(trace.value_count(), Need::None);
        self.frames.restart(trace);
        for (n, op) in trace.ops.iter().enumerate() {
            if !op.opcode.can_exit() || !left(n) {
                continue;
            }
            for frame in self.frames.of(trace, op) {
                add(&mut self.by_value, &frame.values, Need::Exits);
            }
            self.add(op.pending.as_deref().unwrap_or_default(), Need::Exits);
        }
    }

    /// These values are needed.
    pub(crate) fn add(&mut self, values: &[Ref], need: Need) {
        add(&mut self.by_value, values, need);
    }

    /// Who needs a value.
    pub(crate) fn of(&self, value: Ref) -> Need {
        self.by_value[value.as_value().expect("no constant")]
    }
}

fn add(by_value: &mut [Need], values: &[Ref], need: Need) {
    for n in values.iter().filter_map(|value| value.as_value()) {
        by_value[n] = by_value[n].max(need);
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
    needs.restart(trace, |n| edits[n] != Edit::Remove);
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
