//! Guards forced to fail.

use super::Make;
use super::bench::{Bench, Handler};
use super::shims::{descrs, fussy, is_refused, mixed, payload};
use crate::{Exit, Forcing, LoopToken};
use metatrace_ir::GuardId;

const LOOP: &str = "[i0, i1, f2]
    label(i0, i1, f2, descr=TargetToken(1))
    i3 = int_lt(i0, 100)
    guard_true(i3, descr=<Guard0x1>) [i0, i1, f2]
    i4 = int_add_ovf(i1, i0)
    guard_no_overflow(descr=<Guard0x2>) [i1, i0, f2]
    f5 = float_add(f2, 0.5)
    i6 = float_ne(f5, 1000.0)
    guard_true(i6, descr=<Guard0x3>) [i0, i4, f5]
    i7 = int_add(i0, 1)
    guard_false(0, descr=<Guard0x4>) [i7, i4, f5]
    jump(i7, i4, f5, descr=TargetToken(1))";

/// Every execution of the chosen guard fails, and of no other.
pub(super) fn one_guard(make: &mut Make<'_>) {
    for (chosen, values) in [
        (1, [0, 0, 0]),
        (3, [0, 0, 0.5f64.to_bits()]),
        (4, [1, 0, 0.5f64.to_bits()]),
    ] {
        let bench = Bench::new(make(Forcing::Guard(GuardId(chosen))));
        bench.compile(1, LOOP);
        for _ in 0..3 {
            bench.expect(1, &[0, 0, 0], chosen, &values);
        }
        // a forced guard has bridges like any other
        bench.bridge(1, chosen, "[i0, i1, f2]\nfinish(descr=<Guard0x20>) [f2, i1, i0]");
        bench.expect(1, &[0, 0, 0], 0x20, &[values[2], values[1], values[0]]);
    }
    let bench = Bench::new(make(Forcing::Guard(GuardId(2))));
    bench.compile(1, LOOP);
    bench.expect(1, &[0, 0, 0], 1, &[100, 4950, 50.0f64.to_bits()]);
    exits_say_whether_they_may_be_forced(make);
}

/// At guard 1, whose condition does not hold for these inputs whatever is forced.
fn exits_say_whether_they_may_be_forced(make: &mut Make<'_>) {
    let one_in_n = Forcing::OneIn { n: 1000, seed: 1 };
    for (forcing, expected) in [
        (Forcing::Off, false),
        (Forcing::Guard(GuardId(3)), false),
        (Forcing::Guard(GuardId(1)), true),
        (one_in_n, true),
    ] {
        let bench = Bench::new(make(forcing));
        bench.compile(1, LOOP);
        let mut seen = None;
        let mut handler = Handler(|exit: Exit<'_>| seen = Some((exit.guard, exit.may_be_forced)));
        // SAFETY: the loop touches no memory.
        unsafe { bench.backend.execute(LoopToken(1), &[100, 0, 0], &mut handler) };
        assert_eq!(seen, Some((GuardId(1), expected)), "{forcing:?}");
    }
}

/// The state at an exit of the loop behind `n` iterations.
fn state(n: u64, guard: u32) -> [u64; 3] {
    let sum = |n: u64| n * n.saturating_sub(1) / 2;
    let half = |n: u64| (n as f64 / 2.0).to_bits();
    match guard {
        1 => [n, sum(n), half(n)],
        3 => [n, sum(n + 1), half(n + 1)],
        4 => [n + 1, sum(n + 1), half(n + 1)],
        other => panic!("{other} is not forced"),
    }
}

/// Forced exits occur at every forcible guard, about as often as asked for, with the right state; going on from there
/// gives the right result.
pub(super) fn one_in_n(make: &mut Make<'_>) {
    for n in [1, 2, 7, 50] {
        let bench = Bench::new(make(Forcing::OneIn { n, seed: 12345 }));
        bench.compile(1, LOOP);
        let mut exits = [0u64; 5];
        for _ in 0..200 {
            let mut args = [0, 0, 0];
            loop {
                let left = bench.run(1, &args);
                exits[left.guard as usize] += 1;
                let iteration = left.values[0] - u64::from(left.guard == 4);
                assert_eq!(left.values, state(iteration, left.guard));
                if iteration >= 100 {
                    break;
                }
                // what the interpreter would do until the next iteration
                args = state(iteration + 1, 1);
            }
        }
        assert_eq!(exits[2], 0, "overflow guards are not forced");
        let forced = exits.iter().sum::<u64>() - 200;
        // a forced exit skips the guards behind it, so the more often, the fewer executions
        let executions = if n == 1 { 100 * 200 } else { 3 * 100 * 200 };
        let expected = executions / u64::from(n);
        assert!(
            forced > expected / 3 && forced < expected * 2,
            "{forced} forced exits where about {expected} were asked for"
        );
        assert!(n == 1 || exits[1] > 200 && exits[3] > 0 && exits[4] > 0, "{exits:?}");
    }
    panics_are_never_forced(make);
}

fn panics_are_never_forced(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::OneIn { n: 1, seed: 1 }));
    bench.compile(
        1,
        &format!(
            "{}[i0]\ni1 = call_i({}, i0, descr=fussy1)\nguard_no_exception(descr=<Guard0x1>) [i0]\n\
             finish(descr=<Guard0x2>) [i1]",
            descrs(),
            fussy(1)
        ),
    );
    for i0 in 0..50 {
        let left = bench.run(1, &[i0]);
        assert_eq!(left.guard, if is_refused(&[i0]) { 1 } else { 2 });
        assert_eq!(left.payload.map(payload), is_refused(&[i0]).then(|| mixed(&[i0])));
    }
}
