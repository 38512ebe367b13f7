//! Loop peeling: the same walk a second time over the same recorded loop, all passes keeping what they know.
//!
//! ```text
//! [p0, i1]                                       [p0, i1]
//! label(p0, i1, descr=TargetToken(1))            label(p0, i1, descr=TargetToken(1))
//! i2 = getfield_gc_i(p0, descr=Frame.limit)      i2 = getfield_gc_i(p0, descr=Frame.limit)
//! i3 = int_lt(i1, i2)                            i3 = int_lt(i1, i2)
//! guard_true(i3) [p0, i1]                   ──▶  guard_true(i3) [p0, i1]
//! i4 = int_add(i1, 1)                            i4 = int_add(i1, 1)
//! jump(p0, i4, descr=TargetToken(1))             label(p0, i2, i4, descr=TargetToken(2))
//!                                                i5 = int_lt(i4, i2)
//!                                                guard_true(i5) [p0, i4]
//!                                                i6 = int_add(i4, 1)
//!                                                jump(p0, i2, i6, descr=TargetToken(2))
//! ```
//!
//! The first walk makes the *preamble*, which everybody enters; the second the *loop*, which only the preamble enters.
//!
//! **Why what the first walk has proved holds in the loop.** Give each recorded value a name, its *role*; `first` and `second`
//! say which value plays it in the preamble and in the loop. All that the first walk knows at its end follows from one
//! execution of the recorded operations, from any state that the first label admits. Each round of the loop is such an
//! execution. So what is known at the end of the preamble of the values that play some roles is true at the end of each round
//! of the values that play them then; facts that hold for the first round only do not exist, since the preamble begins with a
//! label. What the loop uses of the preamble's values therefore becomes an argument of its label, and the jump passes the
//! value that plays its role at the end of the round. Where that is the same value, it is an invariant of the loop.
//!
//! **Stores that stay pending.** A store whose address is invariant may stay pending over the label: in each round it is
//! pending with the value that plays the role of the one it had. So the cell is in a register, and only exits store it. This
//! needs that it is pending at the end of the round as well; where it is not (a call has seen the cell, say) the loop is made
//! again without pending stores at its label.
//!
//! **Bits of floats.** Where an interpreter keeps floats as words, a round would end by making a word and the next begin by
//! making a float of it. Such words are made behind the label of the floats that are carried.
//!
//! **Allocations.** What the jump passes is real, other virtuals of the preamble are nothing to the loop, which makes its own.
//!
//! **Given up** is where a value of the preamble plays no role (it was made on the way to another), and where a guard of the
//! second walk always fails: then there is no second round to speak of.
//!
//! Rules do not look behind the label through values that vary: `i6` above is not `i1 + 2`, for then `i1` would be an argument.

use crate::context::Context;
use crate::driver::Driver;
use metatrace_ir::{Descr, Op, Opcode, Ref, TargetToken, Trace};
use rustc_hash::{FxHashMap, FxHashSet};
use std::rc::Rc;

/// What may stay pending over the label of the loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Carry {
    /// Stores at invariant addresses.
    Stores,
    /// No store.
    Nothing,
}

/// Why there is no peeled loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GivenUp {
    /// A store that was pending at the label is not at the end.
    StoreWasSeen,
    /// Anything else.
    NoLoop,
}

/// Whether the trace is a loop from its start to its end.
pub(crate) fn is_loop(trace: &Trace) -> bool {
    let labels = trace.ops.iter().filter(|op| op.opcode == Opcode::Label).count();
    match (trace.ops.first(), trace.ops.last()) {
        (Some(first), Some(last)) => {
            labels == 1
                && first.opcode == Opcode::Label
                && last.opcode == Opcode::Jump
                && first.descr().target() == last.descr().target()
        }
        _ => false,
    }
}

/// The preamble and the loop, whose label is `target`.
pub(crate) fn peel(mut driver: Driver<'_>, target: TargetToken, carry: Carry) -> Result<Trace, GivenUp> {
    let input = driver.input;
    let last = input.ops.len() - 1;
    (0..last).for_each(|n| driver.op(n));
    driver.settle(last);
    let ends: Vec<Ref> = driver.values_of(&input.ops[last].args);
    let in_line = |value: &Option<Ref>| value.map(|value| driver.context.in_line(value));
    let first: Vec<Option<Ref>> = driver.values.iter().map(in_line).collect();

    let starts: Vec<Ref> = driver.values_of(&input.ops[0].args);
    let same = starts.iter().zip(&ends).filter(|(start, end)| start == end);
    let same: Vec<Ref> = same.map(|(start, _)| *start).filter(|arg| !arg.is_const()).collect();
    let passes = &driver.passes;
    let stays = |op: &Op, value: Ref, context: &Context| passes.iter().any(|pass| pass.repeats(op, value, context));
    driver.context.enter_loop(&same, stays);
    for pass in driver.passes.iter_mut() {
        pass.enter_loop(carry, driver.context);
    }
    let descr = Rc::new(Descr::Target(target));
    let label = driver.context.push(Op::with_descr(Opcode::Label, &[], descr.clone()));
    driver.part += 1;
    restate_bits(&mut driver, &first, label);
    for (arg, end) in input.ops[0].args.iter().zip(ends) {
        driver.values[arg.as_value().expect("a label's argument is no constant")] = Some(end);
    }
    let before = driver.context.exits_always();
    (1..last).for_each(|n| driver.op(n));
    if driver.context.exits_always() > before {
        return Err(GivenUp::NoLoop);
    }
    driver.settle(last);
    let mut same = Vec::new();
    for pass in driver.passes.iter_mut() {
        same.extend(pass.close_loop(driver.context).ok_or(GivenUp::StoreWasSeen)?);
    }
    let roles = Roles::new(&mut driver, &first);
    if !same.into_iter().all(|value| roles.is_same(value)) {
        return Err(GivenUp::StoreWasSeen);
    }
    let (args, next) = roles.arguments(&driver, label).ok_or(GivenUp::NoLoop)?;
    driver.context.set_args(label, &args);
    driver.context.push(Op::with_descr(Opcode::Jump, &next, descr));
    Ok(driver.finish())
}

/// The bits of floats that vary are made again behind the label, of the floats: these are carried, and rules see that the bits
/// are theirs. What nobody needs of it is dropped with the rest.
fn restate_bits(driver: &mut Driver<'_>, first: &[Option<Ref>], label: Ref) {
    let bits_of_floats = driver.context.bits_of_floats(label);
    if bits_of_floats.is_empty() {
        return;
    }
    let roles: FxHashSet<Ref> = first.iter().copied().flatten().collect();
    for value in bits_of_floats {
        let float = driver.context.operands(value)[0];
        if roles.contains(&float) && driver.context.resolve(value) == value {
            let bits = Op::new(Opcode::ConvertFloatBytesToLonglong, &[float]);
            let restated = driver.context.push(bits);
            driver.context.replace(value, restated);
        }
    }
}

/// By value of the preamble: what plays its role at the end of a round.
struct Roles(FxHashMap<Ref, Ref>);

impl Roles {
    /// `first`: by recorded value, the value that plays its role in the preamble.
    fn new(driver: &mut Driver<'_>, first: &[Option<Ref>]) -> Roles {
        let mut roles: FxHashMap<Ref, Ref> = FxHashMap::default();
        roles.reserve(first.len());
        for (first, second) in first.iter().zip(driver.values.iter()) {
            let (Some(first), Some(second)) = (*first, *second) else {
                continue;
            };
            let second = driver.context.resolve(second);
            // of roles that are always played by equal values, one that is invariant
            let known = roles.entry(first).or_insert(second);
            if second == first {
                *known = second;
            }
        }
        Roles(roles)
    }

    /// Whether the value is a constant, or plays the same role in each round.
    fn is_same(&self, value: Ref) -> bool {
        value.is_const() || self.0.get(&value) == Some(&value)
    }

    /// The arguments of the loop's label and of its jump: values of the preamble that the loop needs, what plays their roles
    /// at the end, and what that needs in turn. `None` if a value plays no role.
    fn arguments(&self, driver: &Driver<'_>, label: Ref) -> Option<(Vec<Ref>, Vec<Ref>)> {
        let mut needed = driver.context.needed_behind(label);
        let mut seen = vec![false; driver.context.value_count()];
        let mut arguments: Vec<(Ref, Ref)> = Vec::new();
        while let Some(value) = needed.pop() {
            let Some(n) = value.as_value() else { continue };
            if std::mem::replace(&mut seen[n], true) {
                continue;
            }
            if value > label {
                needed.extend_from_slice(driver.context.operands(value));
            } else {
                // a label's argument is a value of the trace, not of its exits
                let in_line = |value: &Ref| !driver.context.is_sunk(*value);
                let end = self.0.get(&value).copied().filter(in_line)?;
                if !in_line(&value) {
                    return None;
                }
                arguments.push((value, end));
                needed.push(end);
            }
        }
        // in the order of their definition
        arguments.sort_unstable();
        Some(arguments.into_iter().unzip())
    }
}
