//! What nobody needs is dropped: operations whose result has no use, and which have no other effect. That a rule has looked
//! through a value, or that a load was forwarded, leaves such operations behind.
//!
//! One scan from the end decides, one from the start drops and gives the values that stay their numbers.

use metatrace_ir::{FramesOnce, Op, Opcode, Ref, Trace};
use std::rc::Rc;

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

/// By value: who needs it, when the scan from the end has come to its definition.
pub(crate) struct Needs(Vec<Need>);

impl Needs {
    /// What frames and pending stores need.
    pub(crate) fn of_exits(trace: &Trace) -> Needs {
        let mut needs = Needs(vec![Need::None; trace.value_count()]);
        let mut frames = FramesOnce::new(trace);
        for op in trace.ops.iter().filter(|op| op.opcode.can_exit()) {
            for frame in frames.of(trace, op) {
                needs.add(&frame.values, Need::Exits);
            }
            needs.add(op.pending.as_deref().unwrap_or_default(), Need::Exits);
        }
        needs
    }

    /// These values are needed.
    pub(crate) fn add(&mut self, values: &[Ref], need: Need) {
        for n in values.iter().filter_map(|value| value.as_value()) {
            self.0[n] = self.0[n].max(need);
        }
    }

    /// Who needs a value.
    pub(crate) fn of(&self, value: Ref) -> Need {
        self.0[value.as_value().expect("no constant")]
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

/// The trace without dead operations; of the facts, of which there is one for each value, those about values that stay.
pub(crate) fn drop_dead<T>(mut trace: Trace, mut facts: Vec<T>) -> (Trace, Vec<T>) {
    let inputs = trace.inputs.len();
    let mut needs = Needs::of_exits(&trace);
    let mut stays = vec![true; trace.value_count()];
    for n in (0..trace.ops.len()).rev() {
        let op = &trace.ops[n];
        let need = needs.of(trace.result(n));
        if need == Need::None && trace.is_removable(n) {
            stays[inputs + n] = false;
        } else {
            needs.add(&op.args, Need::of_operands(op, need));
        }
    }
    if stays.contains(&false) {
        let mut stay = stays.iter();
        facts.retain(|_| *stay.next().expect("one for each value"));
        trace = only(trace, &stays);
    }
    (trace, facts)
}

/// The trace with those of its values that stay.
fn only(mut trace: Trace, stays: &[bool]) -> Trace {
    let mut next = 0;
    let mut numbers: Vec<usize> = Vec::with_capacity(stays.len());
    for stays in stays {
        numbers.push(next);
        next += usize::from(*stays);
    }
    // of frames that no operation has any more, what they held is never read
    let renumber = |value: &mut Ref| {
        if let Some(n) = value.as_value() {
            *value = Ref::value(numbers[n]);
        }
    };
    let mut shared: Option<[Rc<[Ref]>; 2]> = None;
    let mut stay = stays[trace.inputs.len()..].iter();
    trace.ops.retain(|_| *stay.next().expect("one for each operation"));
    for op in &mut trace.ops {
        op.args.iter_mut().for_each(renumber);
        if let Some(pending) = &mut op.pending {
            // neighbours have one list
            if let Some([before, renumbered]) = &shared
                && Rc::ptr_eq(before, pending)
            {
                *pending = renumbered.clone();
                continue;
            }
            let renumbered = pending.iter().map(|store| {
                let mut store = *store;
                renumber(&mut store);
                store
            });
            let renumbered: Rc<[Ref]> = renumbered.collect();
            let before = std::mem::replace(pending, renumbered.clone());
            shared = Some([before, renumbered]);
        }
    }
    let values = trace.snapshots.iter_mut().flat_map(|snapshot| &mut snapshot.values);
    values.for_each(renumber);
    trace
}
