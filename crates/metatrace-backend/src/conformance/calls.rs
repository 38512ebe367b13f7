//! Residual calls.

use super::Make;
use super::bench::{Bench, Handler, Left, bits};
use super::shims::{descrs, fussy, increment, is_refused, mix, mixed, payload};
use crate::{Backend, Exit, Forcing, LoopToken};
use metatrace_native::{ShimResult, catch};
use std::time::Duration;

pub(super) fn every_argument_count(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    let values: Vec<u64> = (0..6).map(|n| 0x1111_1111_1111 * (n + 1)).collect();
    for n in 0..=6usize {
        let names: Vec<String> = (0..6).map(|n| format!("i{n}")).collect();
        let mut operands = vec![mix(n).to_string()];
        operands.extend_from_slice(&names[..n]);
        let text = format!(
            "{}[{}]\ni9 = call_i({}, descr=mix{n})\nfinish(descr=<Guard0x1>) [i9, {}]",
            descrs(),
            names.join(", "),
            operands.join(", "),
            names.join(", ")
        );
        bench.compile(n as u32, &text);
        bench.expect(n as u32, &values, 1, &[&[mixed(&values[..n])], &values[..]].concat());
    }
}

/// Arguments in any order, doubled, constant, dead and alive behind the call; results that are arguments again.
pub(super) fn permuted_arguments(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    let address = mix(6);
    bench.compile(
        1,
        &format!(
            "{}[i0, i1, i2, i3, i4, i5]
             i6 = call_i({address}, i5, i4, i3, i2, i1, i0, descr=mix6)
             i7 = call_i({address}, i1, i2, i3, i4, i5, i0, descr=mix6)
             i8 = call_i({address}, i6, 7, i7, i6, -1, 0x123456789abcdef0, descr=mix6)
             i9 = call_i({address}, i3, i3, i0, i8, i0, i8, descr=mix6)
             i10 = int_add(i0, i4)
             finish(descr=<Guard0x1>) [i6, i7, i8, i9, i10]",
            descrs()
        ),
    );
    let [a, b, c, d, e, f] = [11, 22, 33, 44, 55, 66];
    let r6 = mixed(&[f, e, d, c, b, a]);
    let r7 = mixed(&[b, c, d, e, f, a]);
    let r8 = mixed(&[r6, 7, r7, r6, u64::MAX, 0x1234_5678_9abc_def0]);
    let r9 = mixed(&[d, d, a, r8, a, r8]);
    bench.expect(1, &[a, b, c, d, e, f], 1, &[r6, r7, r8, r9, a + e]);
}

/// More values of both banks than a callee saves, in a loop.
pub(super) fn values_across_calls(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    let ints: Vec<String> = (0..9).map(|n| format!("i{n}")).collect();
    let floats: Vec<String> = (0..9).map(|n| format!("f{n}")).collect();
    let all = format!("{}, {}", ints.join(", "), floats.join(", "));
    let mut text = format!("{}[{all}]\nlabel({all}, descr=TargetToken(1))\n", descrs());
    text += &format!("i20 = call_i({}, i1, i2, descr=mix2)\n", mix(2));
    for n in 0..9 {
        text += &format!("f{} = float_add(f{n}, {n}.5)\n", n + 20);
    }
    text += &format!("i21 = call_i({}, i20, descr=mix1)\n", mix(1));
    text += "i30 = int_sub(i0, 1)\ni31 = int_gt(i30, 0)\n";
    text += &format!("guard_true(i31, descr=<Guard0x1>) [{all}, i20, i21]\n");
    let rotated = ["i30", "i21", "i1", "i2", "i3", "i4", "i5", "i6", "i7"].join(", ");
    let moved: Vec<String> = (0..9).map(|n| format!("f{}", 20 + (n + 1) % 9)).collect();
    text += &format!("jump({rotated}, {}, descr=TargetToken(1))\n", moved.join(", "));
    bench.compile(1, &text);

    let mut i: Vec<u64> = (0..9).map(|n| n * 1000 + 12).collect();
    let mut f: Vec<f64> = (0..9).map(|n| n as f64 / 8.0).collect();
    let args = [&i[..], &bits(&f)].concat();
    let expected = loop {
        let r20 = mixed(&[i[1], i[2]]);
        let r21 = mixed(&[r20]);
        if i[0] - 1 == 0 {
            break [&i[..], &bits(&f), &[r20, r21]].concat();
        }
        i = vec![i[0] - 1, r21, i[1], i[2], i[3], i[4], i[5], i[6], i[7]];
        let sums: Vec<f64> = f.iter().enumerate().map(|(n, float)| float + n as f64 + 0.5).collect();
        f = (0..9).map(|n| sums[(n + 1) % 9]).collect();
    };
    bench.expect(1, &args, 1, &expected);
}

pub(super) fn panics(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    for n in 0..=6usize {
        let operands: String = (0..n).map(|n| format!(", i{n}")).collect();
        let text = format!(
            "{}[i0, i1, i2, i3, i4, i5, f6]
             i10 = int_add(i0, i1)
             f11 = float_add(f6, 1.0)
             i20 = call_i({}{operands}, descr=fussy{n})
             guard_no_exception(descr=<Guard0x1>) [i10, i0, f11, 5, i5]
             finish(descr=<Guard0x2>) [i20, i10, f11]",
            descrs(),
            fussy(n)
        );
        bench.compile(n as u32, &text);
        let mut outcomes = [0, 0];
        for seed in 0..40 {
            let words: Vec<u64> = (0..6).map(|n| seed * 7 + n).collect();
            let result = mixed(&words[..n]);
            let left = bench.run(n as u32, &[&words[..], &bits(&[0.5])].concat());
            let refused = is_refused(&words[..n]);
            outcomes[usize::from(refused)] += 1;
            if refused {
                let word = left.payload.expect("the payload of the panic");
                assert_eq!(payload(word), result);
                let values = [&[words[0] + words[1], words[0]], &bits(&[1.5])[..], &[words[5]]].concat();
                assert_eq!((left.guard, left.values), (1, values));
            } else {
                let values = [&[result, words[0] + words[1]], &bits(&[1.5])[..]].concat();
                assert_eq!(left, Left::new(2, &values));
            }
        }
        assert!(n == 0 || outcomes.iter().all(|count| *count > 0), "both outcomes occur");
    }
}

/// Slots of the frame: their address passed to a call, their content read back and by the exit's handler; sizes and
/// alignments.
pub(super) fn frame_slots(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    bench.compile(
        1,
        &format!(
            "{}# descr Cell = size(8)
             # descr Big = size(200, align=16)
             # descr Odd = size(1, align=1)
             # descr Cell.value = field(offset=0, i64)
             # descr Big.last = field(offset=192, i64)
             # descr Odd.value = field(offset=0, u8)
             [i0]
             label(i0, descr=TargetToken(1))
             p1 = alloca(descr=Cell)
             p2 = alloca(descr=Big)
             p3 = alloca(descr=Odd)
             p4 = alloca(descr=Cell)
             setfield_gc(p1, i0, descr=Cell.value)
             setfield_gc(p2, 1000, descr=Big.last)
             setfield_gc(p3, 7, descr=Odd.value)
             setfield_gc(p4, 5, descr=Cell.value)
             i5 = call_i({increment}, p1, descr=increment)
             p6 = ptr_field(p2, descr=Big.last)
             i7 = call_i({increment}, p6, descr=increment)
             i8 = getfield_gc_i(p1, descr=Cell.value)
             i9 = getfield_gc_i(p2, descr=Big.last)
             i10 = getfield_gc_i(p3, descr=Odd.value)
             i11 = getfield_gc_i(p4, descr=Cell.value)
             i12 = int_lt(i8, 10)
             guard_true(i12, descr=<Guard0x1>) [p1, p2, p4, i5, i7, i8, i9, i10, i11]
             jump(i8, descr=TargetToken(1))",
            descrs(),
            increment = increment as *const () as u64
        ),
    );
    let mut called = false;
    let mut handler = Handler(|exit: Exit<'_>| {
        called = true;
        let [p1, p2, p4, rest @ ..] = exit.values else {
            panic!("{:x?}", exit.values)
        };
        assert_eq!(rest, [10, 1001, 10, 1001, 7, 5]);
        assert_eq!([p1, p2, p4].map(|p| p % 8), [0; 3]);
        assert_eq!(p2 % 16, 0);
        // SAFETY: the trace's slots, which live until the handler returns.
        let contents = unsafe { [*(*p1 as *const u64), *(*p2 as *const u64).add(24), *(*p4 as *const u64)] };
        assert_eq!(contents, [10, 1001, 5]);
    });
    // SAFETY: the trace touches only slots of its own.
    unsafe { bench.backend.execute(LoopToken(1), &[3], &mut handler) };
    assert!(called);
}

struct Reentrant<'a> {
    backend: &'a dyn Backend,
    token: LoopToken,
}

extern "C" fn reenter(context: u64, n: u64) -> ShimResult {
    // SAFETY: the trace passes the address of the case's `Reentrant`, which outlives the execution.
    let context = unsafe { &*(context as *const Reentrant<'_>) };
    catch(|| {
        if n == 0 {
            return 1;
        }
        let mut result = None;
        let mut handler = Handler(|exit: Exit<'_>| result = Some(exit.values[0]));
        // SAFETY: the same loop with a valid context and a smaller number.
        unsafe {
            context
                .backend
                .execute(context.token, &[context as *const _ as u64, n - 1], &mut handler)
        };
        result.expect("the handler is called") + n
    })
}

/// A shim that runs the loop it was called from.
pub(super) fn reentrant_shims(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    bench.compile(
        1,
        &format!(
            "# descr reenter = call(args=ii, result=i, effect=any, can_panic)
             [i0, i1]
             i2 = int_mul(i1, 1000)
             i3 = call_i({}, i0, i1, descr=reenter)
             guard_no_exception(descr=<Guard0x1>) []
             i4 = int_add(i3, i2)
             finish(descr=<Guard0x2>) [i4, i1]",
            reenter as *const () as u64
        ),
    );
    let context = Reentrant {
        backend: &*bench.backend,
        token: LoopToken(1),
    };
    let n = 20;
    let sum = n * (n + 1) / 2;
    bench.expect(1, &[&raw const context as u64, n], 2, &[1 + sum + sum * 1000, n]);
}

/// A call whose result nobody uses is made all the same, unless it is elidable.
pub(super) fn dead_calls(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    let mut cell = 5u64;
    bench.compile(
        1,
        &format!(
            "{}# descr forget = call(args=p, effect=any)
             [p0, i1]
             i2 = call_i({increment}, p0, descr=increment)
             call_n({increment}, p0, descr=forget)
             i3 = int_add(i1, 1)
             finish(descr=<Guard0x1>) [i1]",
            descrs(),
            increment = increment as *const () as u64
        ),
    );
    bench.expect(1, &[&raw mut cell as u64, 9], 1, &[9]);
    assert_eq!(cell, 7);
}

extern "C" fn sleep(ms: u64) -> ShimResult {
    catch(|| {
        std::thread::sleep(Duration::from_millis(ms));
        0
    })
}

/// What a call takes is spent in the code that makes it.
pub(super) fn time_inside(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    bench.compile(
        1,
        &format!(
            "# descr sleep = call(args=i, effect=any)
             [i0]
             call_n({}, i0, descr=sleep)
             finish(descr=<Guard0x1>) []",
            sleep as *const () as u64
        ),
    );
    let mut inside = None;
    let mut handler = Handler(|exit: Exit<'_>| inside = Some(exit.inside));
    // SAFETY: the trace touches no memory.
    unsafe { bench.backend.execute(LoopToken(1), &[3], &mut handler) };
    let inside = inside.expect("the handler is called");
    assert!(inside.is_none_or(|time| time >= Duration::from_millis(3)), "{inside:?}");
}
