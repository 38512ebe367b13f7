//! One scan of a trace from its end: what is dead, when each value is used next, which comparisons become part of the
//! guard that tests them.
//!
//! A *real use* needs the value in a register or as a memory operand: an operand, or an argument of a jump that changes
//! there. A value that only exits still need has no real use left; it is the first to go to a slot.
//!
//! A comparison is *fused* with a guard when that guard is all that tests its result. It is then computed at the guard,
//! which so uses the comparison's operands; in the guard's own exit the result is known.

use metatrace_ir::{Class, Kind, Opcode, Ref, Trace};
use smallvec::SmallVec;

/// Index of an operation.
pub(crate) type At = usize;

/// What is known of a trace before code is made for it.
pub(crate) struct Liveness {
    /// By operation: whether no code is made for it where it stands: its result is not needed, or it is fused.
    pub(crate) skipped: Vec<bool>,
    /// By operation: the comparison that is fused with this guard.
    pub(crate) fused: Vec<Option<At>>,
    /// By operation: the values of its exit.
    pub(crate) exits: Vec<Vec<Ref>>,
    /// By operation: the first call from here on.
    next_call: Vec<Option<At>>,
    values: Vec<Uses>,
}

#[derive(Clone, Default)]
struct Uses {
    /// Backwards while the scan runs, in order then.
    real: SmallVec<[At; 4]>,
    last: Option<At>,
}

/// How the result of a comparison is used, while the scan runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fusion {
    /// No use met yet.
    Open,
    /// By one guard, and perhaps that guard's exit.
    With(At),
    Refused,
}

impl Liveness {
    /// Scans a trace. With `forced_results`, a guard may leave without having evaluated its condition, so a comparison
    /// that is needed in its own exit is not fused.
    pub(crate) fn scan(trace: &Trace, forced_results: bool) -> Liveness {
        let count = trace.ops.len();
        let mut scan = Scan {
            trace,
            forced_results,
            fusions: vec![Fusion::Open; trace.value_count()],
            live: Liveness {
                skipped: vec![false; count],
                fused: vec![None; count],
                exits: vec![Vec::new(); count],
                next_call: vec![None; count + 1],
                values: vec![Uses::default(); trace.value_count()],
            },
        };
        for at in (0..count).rev() {
            scan.op(at);
        }
        for uses in &mut scan.live.values {
            uses.real.reverse();
        }
        scan.live
    }

    /// The last operation that uses the value in any way.
    pub(crate) fn last_use(&self, value: usize) -> Option<At> {
        self.values[value].last
    }

    /// Whether anything uses the value, at `from` or behind.
    pub(crate) fn is_used(&self, value: usize, from: At) -> bool {
        self.values[value].last.is_some_and(|last| last >= from)
    }

    /// The first real use at `from` or behind.
    pub(crate) fn next_use(&self, value: usize, from: At) -> Option<At> {
        self.values[value].real.iter().copied().find(|real| *real >= from)
    }

    pub(crate) fn last_real_use(&self, value: usize) -> Option<At> {
        self.values[value].real.last().copied()
    }

    /// The first call at `from` or behind.
    pub(crate) fn next_call(&self, from: At) -> Option<At> {
        self.next_call[from]
    }

    /// Whether a call at `from` or behind comes before a real use of the value.
    pub(crate) fn is_used_across_call(&self, value: usize, from: At) -> bool {
        match (self.next_call[from], self.last_real_use(value)) {
            (Some(call), Some(last)) => call < last,
            _ => false,
        }
    }
}

struct Scan<'a> {
    trace: &'a Trace,
    forced_results: bool,
    /// By value.
    fusions: Vec<Fusion>,
    live: Liveness,
}

impl Scan<'_> {
    fn op(&mut self, at: At) {
        let op = &self.trace.ops[at];
        let value = self.trace.inputs.len() + at;
        self.live.next_call[at] = self.live.next_call[at + 1];
        if self.live.values[value].last.is_none() && self.is_removable(at) {
            self.live.skipped[at] = true;
            return;
        }
        if let Some(snapshot) = op.snapshot {
            let exit = self.trace.exit_args(snapshot);
            exit.iter().for_each(|arg| self.exit_use(*arg, at));
            self.live.exits[at] = exit;
        }
        match op.opcode {
            Opcode::GuardTrue | Opcode::GuardFalse => self.tested(op.args[0], at),
            Opcode::Jump => self.jump(at),
            Opcode::Label => op.args.iter().for_each(|arg| {
                // behind the label the argument is used or not: that is known by now
                if let Some(n) = arg.as_value().filter(|n| self.live.values[*n].last.is_some()) {
                    self.fusions[n] = Fusion::Refused;
                }
            }),
            _ => {
                let uses_at = match self.fusions[value] {
                    Fusion::With(guard) if op.opcode.is_comparison() => {
                        self.live.skipped[at] = true;
                        self.live.fused[guard] = Some(at);
                        guard
                    }
                    _ => at,
                };
                op.args.iter().for_each(|arg| self.real_use(*arg, uses_at));
            }
        }
        if op.opcode.class() == Class::Call {
            self.live.next_call[at] = Some(at);
        }
    }

    /// Whether nobody misses the operation when its result is not used.
    fn is_removable(&self, at: At) -> bool {
        let op = &self.trace.ops[at];
        match op.opcode.class() {
            Class::Pure | Class::Partial | Class::Load | Class::Alloc | Class::Debug => true,
            Class::Overflow => {
                let next = self.trace.ops.get(at + 1).map(|op| op.opcode);
                !matches!(next, Some(Opcode::GuardNoOverflow | Opcode::GuardOverflow))
            }
            Class::Call => {
                let call = op.descr().call();
                call.effect == metatrace_ir::Effect::Elidable && !call.can_panic
            }
            Class::Guard | Class::Store | Class::Control => false,
        }
    }

    fn used(&mut self, arg: Ref, at: At) -> Option<usize> {
        let n = arg.as_value()?;
        let last = &mut self.live.values[n].last;
        *last = Some(last.map_or(at, |last| last.max(at)));
        Some(n)
    }

    fn real_use(&mut self, arg: Ref, at: At) {
        if let Some(n) = self.used(arg, at) {
            self.fusions[n] = Fusion::Refused;
            // operands of a fused comparison are used further on than what the scan has met last
            let real = &mut self.live.values[n].real;
            let place = real.iter().position(|later| *later <= at).unwrap_or(real.len());
            if real.get(place) != Some(&at) {
                real.insert(place, at);
            }
        }
    }

    fn exit_use(&mut self, arg: Ref, at: At) {
        let Some(n) = self.used(arg, at) else { return };
        let own_guard = self.trace.ops[at].args.first() == Some(&arg) && self.fusions[n] == Fusion::Open;
        if self.forced_results || !own_guard {
            self.fusions[n] = Fusion::Refused;
        }
    }

    /// By `guard_true` or `guard_false`.
    fn tested(&mut self, arg: Ref, at: At) {
        let Some(n) = arg.as_value() else { return };
        let fusion = self.fusions[n];
        self.real_use(arg, at);
        if fusion == Fusion::Open {
            self.fusions[n] = Fusion::With(at);
        }
    }

    fn jump(&mut self, at: At) {
        let trace = self.trace;
        let jump = &trace.ops[at];
        let label = trace.ops.iter().find(|op| op.opcode == Opcode::Label && op.descr() == jump.descr());
        for (n, arg) in jump.args.iter().enumerate() {
            match label {
                Some(label) if label.args.get(n) == Some(arg) => {
                    if let Some(n) = self.used(*arg, at) {
                        self.fusions[n] = Fusion::Refused;
                    }
                }
                _ => self.real_use(*arg, at),
            }
        }
    }
}

/// The largest number of counted values that have a real use ahead at one time, in the operations from `start` up to the
/// next label. `args` are the values that exist at `start`.
pub(crate) fn pressure(live: &Liveness, trace: &Trace, start: At, args: &[usize], is_counted: impl Fn(Kind) -> bool) -> usize {
    let is_label = |at: &At| trace.ops[*at].opcode == Opcode::Label;
    let end = (start..trace.ops.len()).find(is_label).unwrap_or(trace.ops.len());
    // how many values are no longer needed behind each operation
    let mut ends = vec![0usize; end - start + 1];
    let mut now = 0;
    let mut most = 0;
    let begin = |value: usize, ends: &mut Vec<usize>| match live.last_real_use(value) {
        Some(last) if last >= start => {
            ends[(last - start).min(end - start)] += 1;
            1
        }
        _ => 0,
    };
    for value in args {
        if is_counted(trace.kind(Ref::value(*value))) {
            now += begin(*value, &mut ends);
        }
    }
    for at in start..end {
        most = most.max(now);
        now -= ends[at - start];
        let counted = trace.ops[at].opcode.result().is_some_and(&is_counted) && !live.skipped[at];
        if counted {
            now += begin(trace.inputs.len() + at, &mut ends);
        }
    }
    most.max(now)
}
