//! Bridges, and what handlers may do.

use super::Make;
use super::bench::{Bench, Handler, Left, bits, execute, parse};
use super::shims::{descrs, fussy, increment};
use crate::{Backend, BackendError, Exit, ExitHandler, Forcing, LoopToken};
use metatrace_ir::{GuardId, Opcode};
use metatrace_native::{ShimResult, catch};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Inputs that arrive in registers of both banks, in slots, and as the known result of a comparison.
pub(super) fn registers_slots_and_constants(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    for (token, n) in [1usize, 5, 20].into_iter().enumerate() {
        let token = token as u32;
        let ints: Vec<String> = (10..10 + n).map(|n| format!("i{n}")).collect();
        let floats: Vec<String> = (10..10 + n).map(|n| format!("f{n}")).collect();
        let all = format!("{}, {}", ints.join(", "), floats.join(", "));
        let mut text = format!("[i0, {all}]\n");
        for k in 10..10 + n {
            text += &format!("i{} = int_mul(i{k}, 3)\nf{} = float_add(f{k}, f10)\n", k + 40, k + 40);
        }
        let computed = text.matches("i5").count();
        assert!(computed > 0);
        let next: Vec<String> = (50..50 + n).flat_map(|k| [format!("i{k}"), format!("f{k}")]).collect();
        let guard = token + 1;
        text += &format!(
            "i2 = int_gt(i0, 0)\nguard_true(i2, descr=<Guard{guard:#x}>) [i0, i2, {all}, {next}]\n\
             finish(descr=<Guard0x100>) [{next}]",
            next = next.join(", ")
        );
        bench.compile(token, &text);
        let i: Vec<u64> = (0..n as u64).map(|n| n + 7).collect();
        let f: Vec<f64> = (0..n).map(|n| n as f64).collect();
        let args = |i0: u64| [&[i0], &i[..], &bits(&f)].concat();
        let next_words: Vec<u64> = (0..n).flat_map(|k| [i[k] * 3, (f[k] + f[0]).to_bits()]).collect();
        let exit = [&[0, 0], &i[..], &bits(&f), &next_words].concat();
        bench.expect(token, &args(0), guard, &exit);
        bench.expect(token, &args(1), 0x100, &next_words);
        bench.bridge(
            token,
            guard,
            &format!(
                "[i0, i2, {all}, {next}]\ni3 = int_add(i2, i10)\nf4 = float_mul(f10, f50)\n\
                 finish(descr=<Guard0x101>) [i3, f4, i2, {next}, {all}]",
                next = next.join(", ")
            ),
        );
        let f4 = (f[0] * (f[0] + f[0])).to_bits();
        let expected = [&[i[0], f4, 0], &next_words[..], &i, &bits(&f)].concat();
        bench.expect(token, &args(0), 0x101, &expected);
        bench.expect(token, &args(1), 0x100, &next_words);
    }
}

pub(super) fn bridge_of_a_bridge(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    bench.compile(
        1,
        "[i0, f1]\nguard_value(i0, 0, descr=<Guard0x0>) [i0, f1]\nfinish(descr=<Guard0x100>) [i0]",
    );
    for n in 1..=30u32 {
        bench.bridge(
            1,
            n - 1,
            &format!(
                "[i0, f1]\nf2 = float_add(f1, 1.0)\ni3 = int_sub(i0, {n})\ni4 = int_is_zero(i3)\n\
                 guard_true(i4, descr=<Guard{n:#x}>) [i0, f2]\nfinish(descr=<Guard{:#x}>) [f2, i3]",
                0x100 + n
            ),
        );
    }
    bench.expect(1, &[0, 0], 0x100, &[0]);
    bench.expect(1, &[1, 0], 0x101, &[1.0f64.to_bits(), 0]);
    bench.expect(1, &[30, 0], 0x100 + 30, &[30.0f64.to_bits(), 0]);
    bench.expect(1, &[31, 0], 30, &[31, 30.0f64.to_bits()]);
}

const COLLATZ: &str = "[i0, i1]
    label(i0, i1, descr=TargetToken(1))
    i2 = int_ne(i0, 1)
    guard_true(i2, descr=<Guard0x1>) [i1, i0]
    i3 = int_and(i0, 1)
    guard_false(i3, descr=<Guard0x2>) [i0, i1]
    i4 = int_rshift(i0, 1)
    i5 = int_add(i1, 1)
    jump(i4, i5, descr=TargetToken(1))";

const COLLATZ_ODD: &str = "[i0, i1]
    i2 = int_mul(i0, 3)
    i3 = int_add(i2, 1)
    i4 = int_add(i1, 1)
    jump(i3, i4, descr=TargetToken(1))";

pub(super) fn back_into_the_loop(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    bench.compile(1, COLLATZ);
    bench.expect(1, &[64, 0], 1, &[6, 1]);
    bench.expect(1, &[27, 0], 2, &[27, 0]);
    bench.bridge(1, 2, COLLATZ_ODD);
    bench.expect(1, &[27, 0], 1, &[111, 1]);
    bench.expect(1, &[97, 0], 1, &[118, 1]);
}

/// A bridge with its own label and loop, whose exit has a bridge that goes back to the first loop.
pub(super) fn loop_in_a_bridge(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    bench.compile(
        1,
        "[i0, i1, i2]
         label(i0, i1, i2, descr=TargetToken(1))
         i3 = int_lt(i0, i1)
         guard_true(i3, descr=<Guard0x1>) [i0, i2, i1]
         i4 = int_add(i0, 1)
         guard_value(i2, 0, descr=<Guard0x2>) [i4, i1, i2]
         jump(i4, i1, i2, descr=TargetToken(1))",
    );
    bench.bridge(
        1,
        2,
        "[i0, i1, i2]
         label(i2, i0, i1, descr=TargetToken(2))
         i3 = int_is_true(i2)
         guard_true(i3, descr=<Guard0x3>) [i1, i0, i2]
         i4 = int_sub(i2, 1)
         i5 = int_add(i0, 1000)
         jump(i4, i5, i1, descr=TargetToken(2))",
    );
    bench.expect(1, &[0, 50, 0], 1, &[50, 0, 50]);
    bench.expect(1, &[0, 5000, 3], 3, &[5000, 3001, 0]);
    bench.bridge(1, 3, "[i1, i0, i2]\njump(i0, i1, i2, descr=TargetToken(1))");
    bench.expect(1, &[0, 5000, 3], 1, &[5000, 0, 5000]);
    bench.bridge(1, 1, "[i0, i2, i1]\nfinish(descr=<Guard0x9>) [i1, i0]");
    bench.expect(1, &[0, 5000, 3], 9, &[5000, 5000]);
}

/// A bridge that needs many slots and jumps back, again and again.
pub(super) fn bigger_frame_than_its_loop(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    bench.compile(
        1,
        "[i0, i1]
         label(i0, i1, descr=TargetToken(1))
         i2 = int_sub(i0, 1)
         i3 = int_is_true(i2)
         guard_true(i3, descr=<Guard0x1>) [i1]
         i4 = int_and(i2, 1)
         guard_true(i4, descr=<Guard0x2>) [i2, i1]
         i5 = int_add(i1, 1)
         jump(i2, i5, descr=TargetToken(1))",
    );
    let n = 700;
    let mut text = String::from("[i0, i1]\n");
    for k in 0..n {
        text += &format!("i{} = int_add(i1, {k})\n", k + 10);
    }
    let mut sum = "i1".to_string();
    for k in 0..n {
        text += &format!("i{} = int_xor({sum}, i{})\n", k + 1000, (k * 7) % n + 10);
        sum = format!("i{}", k + 1000);
    }
    let all: Vec<String> = (0..n).map(|k| format!("i{}", k + 10)).collect();
    text += &format!(
        "i5 = int_ne(i0, -1)\nguard_true(i5, descr=<Guard0x3>) [{}]\n",
        all.join(", ")
    );
    text += &format!("jump(i0, {sum}, descr=TargetToken(1))");
    bench.bridge(1, 2, &text);
    let step = |i1: u64| (0..n as u64).fold(i1, |sum, k| sum ^ i1.wrapping_add((k * 7) % n as u64));
    for start in [1u64, 2, 3, 10, 1000] {
        let (mut i0, mut i1) = (start, 5u64);
        loop {
            i0 -= 1;
            if i0 == 0 {
                break;
            }
            i1 = if i0 & 1 == 1 { i1.wrapping_add(1) } else { step(i1) };
        }
        bench.expect(1, &[start, 5], 1, &[i1]);
    }
}

/// A slot that the loop made is passed to its bridge, which has one of its own and many spilled values.
pub(super) fn frame_slots_in_bridges(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    let head = format!(
        "{}# descr Cell = size(8)\n# descr Cell.value = field(offset=0, i64)\n",
        descrs()
    );
    let increment = increment as *const () as u64;
    bench.compile(
        1,
        &format!(
            "{head}[i0]
             p1 = alloca(descr=Cell)
             setfield_gc(p1, i0, descr=Cell.value)
             i2 = call_i({increment}, p1, descr=increment)
             guard_value(i2, 0, descr=<Guard0x1>) [p1, i0]
             finish(descr=<Guard0x2>) []"
        ),
    );
    let mut text = format!("{head}[p1, i0]\np2 = alloca(descr=Cell)\nsetfield_gc(p2, 500, descr=Cell.value)\n");
    for k in 0..40 {
        text += &format!("i{} = int_add(i0, {k})\n", k + 10);
    }
    text += &format!("i3 = call_i({increment}, p1, descr=increment)\ni4 = call_i({increment}, p2, descr=increment)\n");
    for k in 0..40 {
        let first = if k == 0 {
            "i3".to_string()
        } else {
            format!("i{}", k + 99)
        };
        text += &format!("i{} = int_add({first}, i{})\n", k + 100, k + 10);
    }
    text += "i5 = getfield_gc_i(p1, descr=Cell.value)\ni6 = getfield_gc_i(p2, descr=Cell.value)\n";
    text += "finish(descr=<Guard0x3>) [i3, i4, i5, i6, i139]";
    bench.bridge(1, 1, &text);
    let sum = 9 + (0..40).map(|k| 7 + k).sum::<u64>();
    bench.expect(1, &[7], 3, &[9, 501, 9, 501, sum]);
}

pub(super) fn replaced_bridge(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    bench.compile(
        1,
        "[i0]\nguard_false(i0, descr=<Guard0x1>) [i0]\nfinish(descr=<Guard0x2>) []",
    );
    for n in 3..6 {
        bench.bridge(
            1,
            1,
            &format!("[i0]\ni1 = int_add(i0, {n})\nfinish(descr=<Guard{n:#x}>) [i1]"),
        );
        bench.expect(1, &[1], n, &[1 + u64::from(n)]);
        bench.expect(1, &[0], 2, &[]);
    }
}

pub(super) fn no_bridge_for_panics(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    bench.compile(
        1,
        &format!(
            "{}[i0]\ni1 = call_i({}, i0, descr=fussy1)\nguard_no_exception(descr=<Guard0x1>) [i0]\n\
             finish(descr=<Guard0x2>) [i1]",
            descrs(),
            fussy(1)
        ),
    );
    let bridge = parse("[i0]\nfinish(descr=<Guard0x3>) [i0]");
    for (guard, opcode) in [(1, Opcode::GuardNoException), (2, Opcode::Finish)] {
        let refused = bench.backend.compile_bridge(LoopToken(1), GuardId(guard), &bridge);
        assert_eq!(refused.err(), Some(BackendError::Unsupported(opcode)));
    }
}

/// Compiles a bridge for the exit it is called for, and runs the loop again.
struct Grow<'a> {
    backend: &'a dyn Backend,
    left: Option<Left>,
}

impl ExitHandler for Grow<'_> {
    fn exit(&mut self, exit: Exit<'_>) {
        let first = Left {
            guard: exit.guard.0,
            values: exit.values.to_vec(),
            payload: None,
        };
        assert_eq!(first, Left::new(2, &[27, 0]));
        self.backend
            .compile_bridge(LoopToken(1), exit.guard, &parse(COLLATZ_ODD))
            .expect("the bridge compiles");
        self.backend
            .compile_loop(
                LoopToken(2),
                &parse("[i0]\ni1 = int_add(i0, 1)\nfinish(descr=<Guard0x20>) [i1]"),
            )
            .expect("the loop compiles");
        // SAFETY: neither loop touches memory.
        unsafe {
            assert_eq!(execute(self.backend, LoopToken(2), &[5]), Left::new(0x20, &[6]));
            assert_eq!(execute(self.backend, LoopToken(1), &[97, 0]), Left::new(1, &[118, 1]));
        }
        // what the first exit gave is still there
        assert_eq!(exit.values, [27, 0]);
        self.left = Some(first);
    }
}

pub(super) fn reentrant_handlers(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    bench.compile(1, COLLATZ);
    let mut grow = Grow {
        backend: &*bench.backend,
        left: None,
    };
    // SAFETY: the loop touches no memory.
    unsafe { bench.backend.execute(LoopToken(1), &[27, 0], &mut grow) };
    assert!(grow.left.is_some());
    bench.expect(1, &[27, 0], 1, &[111, 1]);
}

/// A handler that panics leaves the backend as it was.
pub(super) fn panicking_handler(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    bench.compile(1, COLLATZ);
    for _ in 0..3 {
        let mut handler = Handler(|exit: Exit<'_>| resume_unwind(Box::new(exit.guard.0)));
        // SAFETY: the loop touches no memory.
        let result = catch_unwind(AssertUnwindSafe(|| unsafe {
            bench.backend.execute(LoopToken(1), &[27, 0], &mut handler)
        }));
        assert_eq!(result.expect_err("the handler panics").downcast_ref::<u32>(), Some(&2));
    }
    bench.expect(1, &[64, 0], 1, &[6, 1]);
    bench.backend.free_loop(LoopToken(1));
    bench.compile(1, COLLATZ);
    bench.expect(1, &[64, 0], 1, &[6, 1]);
}

/// Loops come and go, also while an activation is in one of them.
pub(super) fn freed_loops(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    for round in 0..200u32 {
        bench.compile(1, COLLATZ);
        bench.bridge(1, 2, COLLATZ_ODD);
        bench.expect(1, &[27, 0], 1, &[111, 1]);
        // freed by the handler of an exit, and another loop compiled while the exit is handled
        let backend = &*bench.backend;
        let mut called = false;
        let mut handler = Handler(|exit: Exit<'_>| {
            backend.free_loop(LoopToken(1));
            let other = format!("[i0]\ni1 = int_add(i0, {round})\nfinish(descr=<Guard0x9>) [i1]");
            backend
                .compile_loop(LoopToken(2), &parse(&other))
                .expect("the loop compiles");
            // SAFETY: the loop touches no memory.
            let left = unsafe { execute(backend, LoopToken(2), &[1]) };
            assert_eq!(left, Left::new(9, &[1 + u64::from(round)]));
            assert_eq!(exit.values, [6, 1]);
            called = true;
        });
        // SAFETY: the loop touches no memory.
        unsafe { backend.execute(LoopToken(1), &[64, 0], &mut handler) };
        assert!(called);
        bench.backend.free_loop(LoopToken(2));
    }
}

struct Free<'a> {
    backend: &'a dyn Backend,
    rounds: u32,
}

extern "C" fn free_all(context: u64) -> ShimResult {
    // SAFETY: the trace passes the address of the case's `Free`, which outlives the execution.
    let context = unsafe { &*(context as *const Free<'_>) };
    catch(|| {
        for token in 1..4 {
            context.backend.free_loop(LoopToken(token));
        }
        // what is compiled now is not where the activation still has to return to
        for token in 0..context.rounds {
            let trace = parse(
                "[i0]\ni1 = int_add(i0, 5)\nguard_value(i1, 9, descr=<Guard0x50>) [i1]\nfinish(descr=<Guard0x51>) []",
            );
            context
                .backend
                .compile_loop(LoopToken(100 + token), &trace)
                .expect("the loop compiles");
        }
        0
    })
}

/// A call frees the loop that it was called from, a loop that led to it, and a bridge that is ahead; the activation
/// goes on to its end.
pub(super) fn freed_by_a_shim(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    let context = Free {
        backend: &*bench.backend,
        rounds: 50,
    };
    let free_all = free_all as *const () as u64;
    bench.compile(
        1,
        "# descr free_all = call(args=i, effect=any)
             [i0, i1]
             label(i0, i1, descr=TargetToken(1))
             i2 = int_sub(i0, 1)
             i3 = int_is_true(i2)
             guard_true(i3, descr=<Guard0x1>) [i1, i2]
             i4 = int_eq(i2, 5)
             guard_false(i4, descr=<Guard0x2>) [i1, i2]
             jump(i2, i1, descr=TargetToken(1))",
    );
    bench.compile(2, "[i0, i1]\njump(i0, i1, descr=TargetToken(1))");
    bench.bridge(
        3,
        2,
        &format!(
            "# descr free_all = call(args=i, effect=any)
             [i1, i2]
             call_n({free_all}, i1, descr=free_all)
             i3 = int_add(i2, 0)
             jump(i3, i1, descr=TargetToken(1))"
        ),
    );
    let address = &raw const context as u64;
    bench.expect(2, &[9, address], 1, &[address, 0]);
    for token in [1, 2, 3] {
        bench.compile(
            token,
            COLLATZ
                .replace("TargetToken(1)", &format!("TargetToken({token})"))
                .replace("<Guard0x", &format!("<Guard0x{token}0"))
                .as_str(),
        );
        bench.expect(token, &[64, 0], 0x1 + 0x100 * token, &[6, 1]);
    }
}

/// A bridge that belongs to another loop than its guard: when that one is freed, the guard leaves as before.
pub(super) fn bridge_of_another_loop(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    bench.compile(
        1,
        "[i0]\nguard_false(i0, descr=<Guard0x1>) [i0]\nfinish(descr=<Guard0x2>) []",
    );
    for _ in 0..3 {
        bench.bridge(
            2,
            1,
            "[i0]\ni1 = int_add(i0, 10)\nguard_value(i1, 11, descr=<Guard0x3>) [i1]\nfinish(descr=<Guard0x4>) [i0]",
        );
        bench.bridge(2, 3, "[i1]\nfinish(descr=<Guard0x5>) [i1]");
        bench.expect(1, &[1], 4, &[1]);
        bench.expect(1, &[2], 5, &[12]);
        bench.backend.free_loop(LoopToken(2));
        bench.compile(3, "[i0]\nfinish(descr=<Guard0x6>) []");
        bench.expect(1, &[1], 1, &[1]);
        bench.expect(1, &[0], 2, &[]);
        bench.backend.free_loop(LoopToken(3));
    }
    bench.backend.free_loop(LoopToken(1));
}
