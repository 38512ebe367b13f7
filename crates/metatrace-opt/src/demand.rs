//! Which bits of a value anybody looks at: a mask that keeps all of these does nothing.
//!
//! ```text
//! label(i0, i1, i2, descr=TargetToken(2))            label(i0, i1, i2, descr=TargetToken(2))
//! i3 = int_add(i2, 1)                                i3 = int_add(i2, 1)
//! i4 = int_and(i3, 255)                       ──▶    setarrayitem_raw(i0, i1, i3, descr=bytes)
//! setarrayitem_raw(i0, i1, i4, descr=bytes)          …
//! …                                                  jump(i0, i1, i3, descr=TargetToken(2))
//! jump(i0, i1, i4, descr=TargetToken(2))
//! ```
//!
//! A guest's byte is masked after each sum, but its store writes the low bits whatever the others are, and the next sum's low
//! bits depend on low bits only. Exits, guards, addresses and calls look at all.
//!
//! One scan from the end tells; over the back-edge of a peeled loop, which nobody else enters, it is repeated until nothing more
//! is asked for. What was found out about a masked value is not used behind this: the operations that are left look at what
//! they look at. A store that gets an unmasked value is no longer what a load of its place would give, so a bridge, for which
//! stores are pending, masks their values again.
//!
//! Absent: values whose demanded bits are constant.

use crate::by_value::ByValue;
use crate::context::Context;
use crate::edits::Edit;
use crate::peel::Carry;
use crate::{Pass, Rewrites};
use metatrace_ir::{Class, Kind, Op, Opcode, Ref, Trace};

/// The rules of this pass.
pub(crate) const RULES: &[&str] = &["mask_for_nobody"];

/// So often the bits that a loop's label asks for may grow until all are taken to be asked for.
const MAX_ROUNDS: usize = 4;

#[derive(Default)]
pub(crate) struct Demand {
    /// The last label is that of a peeled loop.
    is_peeled: bool,
    demanded: Demanded,
    /// By value: what stands for it by now.
    values: Vec<Ref>,
}

/// The bits that somebody looks at.
type Demanded = ByValue<u64>;

impl Pass for Demand {
    fn restart(&mut self) {
        self.is_peeled = false;
    }

    fn enter_loop(&mut self, _carry: Carry, _context: &mut Context) {
        self.is_peeled = true;
    }

    fn bypass(&mut self, trace: &Trace, edits: &mut [Edit], rewrites: &mut Rewrites) {
        let mask = |n: usize, edits: &[Edit]| mask(trace, &trace.ops[n]).filter(|_| edits[n] == Edit::Keep);
        if !(0..trace.ops.len()).any(|n| mask(n, edits).is_some()) {
            return;
        }
        self.demanded.find(trace, edits, self.is_peeled);
        let Demand { demanded, values, .. } = self;
        let labels: Vec<&Op> = trace.ops.iter().filter(|op| op.opcode == Opcode::Label).collect();
        values.clear();
        values.extend((0..trace.value_count()).map(Ref::value));
        for n in 0..trace.ops.len() {
            let result = trace.result(n);
            if mask(n, edits).is_some_and(|mask| demanded.of(result) & !mask == 0) {
                let operand = trace.ops[n].args[0];
                let masked = operand.as_value().map_or(operand, |n| values[n]);
                let has_place = |label: &&Op| may_stand_for(masked, result, &label.args, values);
                if labels.iter().all(has_place) {
                    values[result.as_value().expect("a result")] = masked;
                    edits[n] = Edit::Bypass(operand);
                    rewrites.count("mask_for_nobody");
                }
            }
        }
    }
}

/// The bits that a mask or sign extension leaves as they are.
fn mask(trace: &Trace, op: &Op) -> Option<u64> {
    let constant = |n: usize| trace.as_const(op.args[n]).map(|constant| constant.bits);
    match op.opcode {
        Opcode::IntAnd => constant(1),
        Opcode::IntSignext => constant(1).map(|bytes| low(8 * bytes)),
        _ => None,
    }
}

/// Whether a label with these arguments can have `masked` in the place of `value`: its arguments are distinct, and no
/// constants. `values`: what stands for each value by now.
fn may_stand_for(masked: Ref, value: Ref, args: &[Ref], values: &[Ref]) -> bool {
    let is_there = |arg: &Ref| *arg != value && values[arg.as_value().expect("no constant")] == masked;
    !args.contains(&value) || !masked.is_const() && !args.iter().any(is_there)
}

/// The lowest bits.
fn low(count: u64) -> u64 {
    match count {
        0..64 => (1 << count) - 1,
        _ => u64::MAX,
    }
}

impl ByValue<u64> {
    fn find(&mut self, trace: &Trace, edits: &[Edit], is_peeled: bool) {
        let all = vec![u64::MAX; trace.ops.last().map_or(0, |op| op.args.len())];
        let label = trace.ops.iter().rfind(|op| op.opcode == Opcode::Label);
        let Some(label) = label.filter(|_| is_peeled) else {
            return self.scan(trace, edits, &all);
        };
        let mut asked = vec![0; all.len()];
        for _ in 0..=MAX_ROUNDS {
            self.scan(trace, edits, &asked);
            let asked_of = |arg: &Ref| match trace.words.iter().any(|narrow| narrow.value == *arg) {
                // whoever jumps there passes such a number
                true => u64::MAX,
                false => self.of(*arg),
            };
            let next: Vec<u64> = label.args.iter().map(asked_of).collect();
            if next == asked {
                return;
            }
            asked = next;
        }
        self.scan(trace, edits, &all);
    }

    /// As [`find`](Self::find), when these bits are asked for of the arguments of the jump.
    fn scan(&mut self, trace: &Trace, edits: &[Edit], asked: &[u64]) {
        self.restart(trace, 0);
        for (op, edit) in trace.ops.iter().zip(edits) {
            if op.opcode.can_exit() && *edit != Edit::Remove {
                self.update_frames(trace, op, |_| u64::MAX);
            }
        }
        for (n, op) in trace.ops.iter().enumerate().rev() {
            if let Some(operands) = edits[n].operands() {
                self.update(&operands, |_| u64::MAX);
                continue;
            }
            let result = self.of(trace.result(n));
            for (place, arg) in op.args.iter().enumerate() {
                let bits = match op.opcode {
                    // the arguments are the values themselves
                    Opcode::Label => 0,
                    Opcode::Jump => asked[place],
                    _ => of_operand(trace, op, place, result),
                };
                self.update(&[*arg], |asked| asked | bits);
            }
        }
    }
}

/// What an operation looks at in an operand when these bits of its result are asked for.
fn of_operand(trace: &Trace, op: &Op, place: usize, result: u64) -> u64 {
    let constant = |n: usize| {
        op.args
            .get(n)
            .and_then(|arg| trace.as_const(*arg))
            .map(|constant| constant.bits)
    };
    let up_to_highest = low(64 - u64::from(result.leading_zeros()));
    match (op.opcode, constant(1)) {
        _ if op.opcode.class() == Class::Store => match op.descr().word() {
            Some(word) if place + 1 == op.args.len() && word.kind() == Kind::Int => low(8 * u64::from(word.size())),
            _ => u64::MAX,
        },
        _ if result == 0 && op.opcode.class() == Class::Pure => 0,
        (Opcode::IntAdd | Opcode::IntSub | Opcode::IntMul | Opcode::IntNeg, _) => up_to_highest,
        (Opcode::IntAnd, Some(mask)) => result & mask,
        (Opcode::IntAnd | Opcode::IntOr | Opcode::IntXor | Opcode::IntInvert | Opcode::SameAsI, _) => result,
        (Opcode::IntLshift, Some(count)) if place == 0 => result >> (count & 63),
        (Opcode::UintRshift, Some(count)) if place == 0 => result << (count & 63),
        (Opcode::IntSignext, Some(bytes)) => {
            let (kept, sign) = (low(8 * bytes), low(8 * bytes) & !low(8 * bytes - 1));
            result & kept | if result & !kept != 0 { sign } else { 0 }
        }
        _ => u64::MAX,
    }
}
