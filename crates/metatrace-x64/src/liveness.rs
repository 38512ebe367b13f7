//! One scan of a trace from its end: what is dead, when each value is used next, which comparisons become part of the
//! guard that tests them.
//!
//! A *real use* needs the value in a register or as a memory operand: an operand, or an argument of a jump that changes
//! there. A value that only exits still need has no real use left; it is the first to go to a slot.
//!
//! A comparison is *fused* with a guard when that guard is all that tests its result. It is then computed at the guard,
//! which so uses the comparison's operands; in the guard's own exit the result is known.

use metatrace_ir::trace::Exits;
use metatrace_ir::{Class, Kind, Opcode, Ref, Trace};
use rustc_hash::FxHashSet;
use smallvec::SmallVec;
use std::ops::Range;

/// Index of an operation.
pub(crate) type At = usize;

/// What is known of a trace before code is made for it.
#[derive(Default)]
pub(crate) struct Liveness {
    /// By operation: whether no code is made for it where it stands: its result is not needed, or it is fused or sunk.
    pub(crate) skipped: Vec<bool>,
    /// By operation: the comparison that is fused with this guard.
    pub(crate) fused: Vec<Option<At>>,
    /// By operation: the values of its exit, among `exit_values`.
    exits: Vec<Range<u32>>,
    exit_values: Vec<Ref>,
    /// By operation on an item of an array: whether a later one needs the same index times the same size.
    pub(crate) scaled_again: Vec<bool>,
    /// By operation: the first call from here on.
    next_call: Vec<Option<At>>,
    values: Vec<Uses>,
    notes: Notes,
}

#[derive(Default)]
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

/// What a scan needs while it runs, in memory that is kept.
#[derive(Default)]
struct Notes {
    /// By value.
    fusions: Vec<Fusion>,
    /// Indices and the sizes they are multiplied by, up to the next label.
    scaled: FxHashSet<(Ref, u32)>,
    found: Exits,
}

/// Empties a list and gives it so many entries.
pub(crate) fn refill<T: Clone>(list: &mut Vec<T>, count: usize, entry: T) {
    list.clear();
    list.resize(count, entry);
}

impl Liveness {
    /// Scans a trace, in the memory of what was known of another. With `forced_results`, a guard may leave without having
    /// evaluated its condition, so a comparison that is needed in its own exit is not fused.
    pub(crate) fn scan(&mut self, trace: &Trace, forced_results: bool) {
        let count = trace.ops.len();
        refill(&mut self.skipped, count, false);
        refill(&mut self.fused, count, None);
        refill(&mut self.exits, count, 0..0);
        self.exit_values.clear();
        refill(&mut self.scaled_again, count, false);
        refill(&mut self.next_call, count + 1, None);
        self.values.clear();
        self.values.resize_with(trace.value_count(), Uses::default);
        let mut notes = std::mem::take(&mut self.notes);
        refill(&mut notes.fusions, trace.value_count(), Fusion::Open);
        notes.scaled.clear();
        notes.found.restart();
        let mut scan = Scan {
            trace,
            forced_results,
            notes: &mut notes,
            live: self,
        };
        for at in (0..count).rev() {
            scan.op(at);
        }
        for uses in &mut self.values {
            uses.real.reverse();
        }
        self.notes = notes;
    }

    /// The values of an operation's exit.
    pub(crate) fn exit(&self, at: At) -> &[Ref] {
        let Range { start, end } = self.exits[at];
        &self.exit_values[start as usize..end as usize]
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
    notes: &'a mut Notes,
    live: &'a mut Liveness,
}

impl Scan<'_> {
    fn op(&mut self, at: At) {
        let op = &self.trace.ops[at];
        let value = self.trace.inputs.len() + at;
        self.live.next_call[at] = self.live.next_call[at + 1];
        let is_unused = self.live.values[value].last.is_none() && self.trace.is_removable(at);
        if op.sunk || op.opcode.class() == Class::Debug || is_unused {
            self.live.skipped[at] = true;
            return;
        }
        if op.opcode.can_exit() {
            let start = self.live.exit_values.len();
            let exit = self.notes.found.of(self.trace, op);
            self.live.exit_values.extend_from_slice(&exit.values);
            let end = self.live.exit_values.len();
            self.live.exits[at] = start as u32..end as u32;
            for n in start..end {
                self.exit_use(self.live.exit_values[n], at);
            }
        }
        match op.opcode {
            Opcode::GuardTrue | Opcode::GuardFalse => self.tested(op.args[0], at),
            Opcode::Jump => self.jump(at),
            Opcode::Label => op.args.iter().for_each(|arg| {
                self.notes.scaled.clear();
                // behind the label the argument is used or not: that is known by now
                if let Some(n) = arg.as_value().filter(|n| self.live.values[*n].last.is_some()) {
                    self.notes.fusions[n] = Fusion::Refused;
                }
            }),
            _ => {
                let uses_at = match self.notes.fusions[value] {
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
        if is_on_item(op.opcode) {
            self.live.scaled_again[at] = !self.notes.scaled.insert((op.args[1], op.descr().array().item_size));
        }
        if op.opcode.class() == Class::Call {
            self.live.next_call[at] = Some(at);
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
            self.notes.fusions[n] = Fusion::Refused;
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
        let own_guard = self.trace.ops[at].args.first() == Some(&arg) && self.notes.fusions[n] == Fusion::Open;
        if self.forced_results || !own_guard {
            self.notes.fusions[n] = Fusion::Refused;
        }
    }

    /// By `guard_true` or `guard_false`.
    fn tested(&mut self, arg: Ref, at: At) {
        let Some(n) = arg.as_value() else { return };
        let fusion = self.notes.fusions[n];
        self.real_use(arg, at);
        if fusion == Fusion::Open {
            self.notes.fusions[n] = Fusion::With(at);
        }
    }

    fn jump(&mut self, at: At) {
        let trace = self.trace;
        let jump = &trace.ops[at];
        let label = trace
            .ops
            .iter()
            .find(|op| op.opcode == Opcode::Label && op.descr() == jump.descr());
        for (n, arg) in jump.args.iter().enumerate() {
            match label {
                Some(label) if label.args.get(n) == Some(arg) => {
                    if let Some(n) = self.used(*arg, at) {
                        self.notes.fusions[n] = Fusion::Refused;
                    }
                }
                _ => self.real_use(*arg, at),
            }
        }
    }
}

/// Whether the operation has an index, times the size of items.
fn is_on_item(opcode: Opcode) -> bool {
    use Opcode::*;
    matches!(
        opcode,
        GetarrayitemRawI | GetarrayitemRawR | GetarrayitemRawF | SetarrayitemRaw | PtrItem
    )
}

/// The largest number of counted values that have a real use ahead at one time, in the operations from `start` up to
/// the next label. `args` are the values that exist at `start`.
pub(crate) fn pressure(
    live: &Liveness,
    trace: &Trace,
    start: At,
    args: &[usize],
    is_counted: impl Fn(Kind) -> bool,
) -> usize {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str, forced_results: bool) -> (Trace, Liveness) {
        let trace: Trace = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
        // behind another trace, of which nothing may be left
        let before = "[i0, i1]
            i2 = int_lt(i0, i1)
            guard_true(i2, descr=<Guard0x1>) [i0]
            i3 = int_add(i0, i1)
            i4 = int_add(i3, i1)
            guard_true(i4, descr=<Guard0x2>) [i3, i1]
            jump(i3, i4, descr=TargetToken(9))";
        let mut live = Liveness::default();
        live.scan(&before.parse().expect("parses"), true);
        live.scan(&trace, forced_results);
        (trace, live)
    }

    #[test]
    fn comparisons_are_fused_with_the_one_guard_that_tests_them() {
        let text = "[i0, i1]
            i2 = int_lt(i0, i1)
            i3 = int_add(i1, 1)
            i4 = int_eq(i0, 7)
            i5 = int_gt(i0, 9)
            guard_true(i2, descr=<Guard0x1>) [i3, i2]
            guard_false(i4, descr=<Guard0x2>) [i5]
            i6 = int_ne(i1, i0)
            guard_true(i6, descr=<Guard0x3>) []
            guard_false(i6, descr=<Guard0x4>) []
            finish(descr=<Guard0x5>) []";
        let (_, live) = scan(text, false);
        let mut fused = [None; 11];
        (fused[4], fused[5]) = (Some(0), Some(2));
        assert_eq!(live.fused, fused[..10]);
        assert_eq!(
            live.skipped,
            [true, false, true, false, false, false, false, false, false, false]
        );
        // i0 is used by i5, and where the comparisons are made now
        assert_eq!(live.values[0].real[..], [3, 4, 5, 6]);
        assert_eq!(live.next_use(1, 2), Some(4));
        // in the exit of a guard that is forced, the result of a comparison has to be known
        let (_, live) = scan(text, true);
        assert_eq!((live.fused[4], live.fused[5]), (None, Some(2)));
    }

    #[test]
    fn what_nobody_needs_is_dead() {
        let text = "# descr C = call(args=i, result=i, effect=any)
            # descr P = call(args=i, result=i, effect=elidable)
            # descr S = size(8)
            # descr F = field(offset=0, i64)
            [i0, p1]
            i2 = int_add(i0, 1)
            i3 = int_mul(i2, i2)
            i4 = getfield_gc_i(p1, descr=F)
            i5 = call_i(4096, i0, descr=C)
            i6 = call_pure_i(4096, i0, descr=P)
            p7 = alloca(descr=S)
            i8 = int_add_ovf(i0, 1)
            i9 = int_add_ovf(i0, 2)
            guard_no_overflow(descr=<Guard0x1>) []
            i10 = int_floordiv(i0, 3)
            finish(descr=<Guard0x2>) []";
        let (_, live) = scan(text, false);
        assert_eq!(
            live.skipped,
            [true, true, true, false, true, true, true, false, false, true, false]
        );
    }

    #[test]
    fn arguments_that_stay_are_not_used_by_the_jump() {
        let (trace, live) = scan(
            "[i0, i1, i2]
             label(i0, i1, i2, descr=TargetToken(1))
             i3 = int_add(i0, i1)
             guard_true(i3, descr=<Guard0x1>) [i2]
             jump(i3, i1, i2, descr=TargetToken(1))",
            false,
        );
        assert_eq!(live.values[0].real[..], [1]);
        assert_eq!((&live.values[1].real[..], live.last_use(1)), (&[1][..], Some(3)));
        assert_eq!((&live.values[2].real[..], live.last_use(2)), (&[][..], Some(3)));
        let i3 = trace.result(1).as_value().expect("a value");
        assert_eq!(live.values[i3].real[..], [2, 3]);
        assert_eq!(pressure(&live, &trace, 1, &[0, 1, 2], |_| true), 2);
    }
}
