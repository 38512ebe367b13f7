//! Loops, guards, labels and jumps.

use super::Make;
use super::bench::{Bench, Left, bits, parse};
use super::shims::{descrs, mix, mixed};
use crate::{BackendError, Forcing, LoopToken};
use metatrace_ir::TargetToken;

pub(super) fn counting_loop(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    bench.compile(
        1,
        "[i0, i1, i2]
         label(i0, i1, i2, descr=TargetToken(1))
         debug_merge_point(0, 0, 'loop')
         i3 = int_add(i2, i0)
         i4 = int_add(i0, 1)
         i5 = int_lt(i4, i1)
         guard_true(i5, descr=<Guard0x1>) [i3, i4]
         jump(i4, i1, i3, descr=TargetToken(1))",
    );
    bench.expect(1, &[0, 1000, 7], 1, &[7 + 999 * 1000 / 2, 1000]);
    bench.expect(1, &[5, 5, 0], 1, &[5, 6]);
}

/// Jumps whose arguments exchange places, in registers of both banks and on the stack.
pub(super) fn swaps_and_cycles(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    for (token, n) in [2usize, 3, 5, 12, 17, 30].into_iter().enumerate() {
        for (kind, letter) in ["i", "f"].into_iter().enumerate() {
            let token = (2 * token + kind) as u32;
            let names: Vec<String> = (0..n).map(|n| format!("{letter}{n}")).collect();
            let all = names.join(", ");
            // two cycles, the second of length 2, and the rest stays
            let mut permutation: Vec<usize> = (0..n).collect();
            let cycle = if n > 4 { n - 3 } else { n };
            permutation[..cycle].rotate_left(1);
            if n > 4 {
                permutation.swap(n - 3, n - 2);
            }
            let jump: Vec<&str> = permutation.iter().map(|n| &names[*n][..]).collect();
            bench.compile(
                token,
                &format!(
                    "[i90, {all}]
                     label(i90, {all}, descr=TargetToken({token}))
                     i91 = int_sub(i90, 1)
                     i92 = int_gt(i91, 0)
                     guard_true(i92, descr=<Guard{token:#x}>) [{all}]
                     jump(i91, {}, descr=TargetToken({token}))",
                    jump.join(", ")
                ),
            );
            for rounds in [1u64, 2, 3, 7, 100] {
                let start: Vec<u64> = (0..n as u64).map(|n| (n as f64 + 0.25).to_bits()).collect();
                let mut expected = start.clone();
                for _ in 1..rounds {
                    expected = permutation.iter().map(|n| expected[*n]).collect();
                }
                bench.expect(token, &[&[rounds], &start[..]].concat(), token, &expected);
            }
        }
    }
    fibonacci(&bench);
}

fn fibonacci(bench: &Bench) {
    bench.compile(
        1000,
        "[i0, i1, i2]
         label(i0, i1, i2, descr=TargetToken(1000))
         i3 = int_add(i1, i2)
         i4 = int_sub(i0, 1)
         i5 = int_is_true(i4)
         guard_true(i5, descr=<Guard0x1000>) [i1, i2, i3]
         jump(i4, i2, i3, descr=TargetToken(1000))",
    );
    bench.expect(
        1000,
        &[50, 0, 1],
        0x1000,
        &[7_778_742_049, 12_586_269_025, 20_365_011_074],
    );
}

/// More live values than registers, ints and floats, all used in every iteration.
pub(super) fn many_live_values(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    for (token, n) in [5usize, 10, 14, 20, 40].into_iter().enumerate() {
        let token = token as u32;
        let names =
            |letter: &str, from: usize| -> Vec<String> { (from..from + n).map(|n| format!("{letter}{n}")).collect() };
        let (ints, floats) = (names("i", 0), names("f", 0));
        let (next_ints, next_floats) = (names("i", 100), names("f", 100));
        let all = format!("{}, {}", ints.join(", "), floats.join(", "));
        let mut text = format!("[i99, {all}]\nlabel(i99, {all}, descr=TargetToken({token}))\n");
        for k in 0..n {
            text += &format!("{} = int_add({}, {})\n", next_ints[k], ints[k], ints[(k + 1) % n]);
            text += &format!(
                "{} = float_sub({}, {})\n",
                next_floats[k],
                floats[k],
                floats[(k + 2) % n]
            );
        }
        let next = format!("{}, {}", next_ints.join(", "), next_floats.join(", "));
        text += &format!(
            "i200 = int_sub(i99, 1)\ni201 = int_gt(i200, 0)\nguard_true(i201, descr=<Guard{token:#x}>) [{next}, {all}]\n"
        );
        text += &format!("jump(i200, {next}, descr=TargetToken({token}))\n");
        bench.compile(token, &text);
        for rounds in [1, 2, 9] {
            let mut i: Vec<u64> = (0..n as u64).map(|n| n * n + 3).collect();
            let mut f: Vec<f64> = (0..n).map(|n| (n * n) as f64 / 4.0).collect();
            let args = [&[rounds], &i[..], &bits(&f)].concat();
            let mut expected = vec![];
            for _ in 0..rounds {
                let next_i: Vec<u64> = (0..n).map(|k| i[k].wrapping_add(i[(k + 1) % n])).collect();
                let next_f: Vec<f64> = (0..n).map(|k| f[k] - f[(k + 2) % n]).collect();
                expected = [&next_i[..], &bits(&next_f), &i, &bits(&f)].concat();
                (i, f) = (next_i, next_f);
            }
            bench.expect(token, &args, token, &expected);
        }
    }
}

/// Label arguments that the loop does not use, but its exits do; some change in each iteration.
pub(super) fn values_for_exits_only(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    let ints: Vec<String> = (10..30).map(|n| format!("i{n}")).collect();
    let floats: Vec<String> = (10..30).map(|n| format!("f{n}")).collect();
    let all = format!("{}, {}", ints.join(", "), floats.join(", "));
    let mut changed: Vec<&str> = ints.iter().map(|name| &name[..]).collect();
    (changed[0], changed[1], changed[2]) = ("i0", "i10", "i4");
    bench.compile(
        1,
        &format!(
            "[i0, {all}, i3, f4]
             label(i0, {all}, i3, f4, descr=TargetToken(1))
             i4 = int_xor(i0, i3)
             i5 = int_sub(i0, 1)
             f6 = float_mul(f4, 1.5)
             i7 = int_gt(i5, 0)
             guard_true(i7, descr=<Guard0x1>) [{all}, i4, f4, f6, i3]
             jump(i5, {}, {}, i3, f6, descr=TargetToken(1))",
            changed.join(", "),
            floats.join(", ")
        ),
    );
    let mut i: Vec<u64> = (10..30).collect();
    let f: Vec<f64> = (10..30).map(f64::from).collect();
    let args = [&[5], &i[..], &bits(&f), &[0xff], &bits(&[1.0])].concat();
    let mut f4 = 1.0;
    let mut r4 = 5 ^ 0xff;
    for i0 in [5, 4, 3, 2] {
        (i[0], i[1], i[2]) = (i0, i[0], r4);
        f4 *= 1.5;
        r4 = (i0 - 1) ^ 0xff;
    }
    bench.expect(
        1,
        &args,
        1,
        &[&i[..], &bits(&f), &[r4], &bits(&[f4, f4 * 1.5]), &[0xff]].concat(),
    );
}

/// A preamble that leads into a loop with other arguments, and an argument that is of no use behind its label.
pub(super) fn label_behind_label(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    bench.compile(
        1,
        "[i0, i1, f2]
         label(i0, i1, f2, descr=TargetToken(1))
         i3 = int_mul(i1, 3)
         f4 = float_neg(f2)
         i5 = int_lt(i0, 100)
         guard_true(i5, descr=<Guard0x1>) [i0, i3]
         i10 = int_add(i0, 1)
         label(i3, f4, i10, i1, descr=TargetToken(2))
         i6 = int_lt(i10, 100)
         guard_true(i6, descr=<Guard0x2>) [i10, i3, f4]
         i7 = int_add(i10, i3)
         f8 = float_add(f4, 1.0)
         jump(i3, f8, i7, i1, descr=TargetToken(2))",
    );
    bench.expect(1, &[200, 5, 0], 1, &[200, 15]);
    bench.expect(1, &[3, 5, 1.5f64.to_bits()], 2, &[109, 15, 5.5f64.to_bits()]);
}

pub(super) fn every_guard(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    let big = 0x1234_5678_9abc_def0u64;
    let nan = 0x7ff8_0000_0000_0001u64;
    let guards: &[(&str, &[u64], &[u64])] = &[
        ("[i0] guard_true(i0", &[1], &[0]),
        ("[i0] guard_false(i0", &[0], &[1]),
        ("[i0] guard_value(i0, 5", &[5], &[0, 6, 5 | 1 << 32]),
        ("[i0] guard_value(i0, -1", &[u64::MAX], &[0, 0xffff_ffff]),
        ("[i0] guard_value(i0, 0", &[0], &[1, 1 << 63]),
        (
            &format!("[i0] guard_value(i0, {big:#x}"),
            &[big],
            &[0, big & 0xffff_ffff, !0],
        ),
        (
            &format!("[p0] guard_value(p0, ConstPtr({big:#x})"),
            &[big],
            &[0, big ^ 1],
        ),
        ("[f0] guard_value(f0, 0.0", &[0], &[1 << 63, 1.0f64.to_bits()]),
        ("[f0] guard_value(f0, 1.5", &[1.5f64.to_bits()], &[0, nan]),
        (&format!("[f0] guard_value(f0, float({nan:#x})"), &[nan], &[0, nan + 1]),
        ("[p0] guard_nonnull(p0", &[1, 1 << 32, !0], &[0]),
        ("[p0] guard_isnull(p0", &[0], &[1, 1 << 32, !0]),
    ];
    let mut token = 0;
    for (text, pass, fail) in guards {
        let (input, op) = text.split_once(' ').expect("input and guard");
        let name = &input[1..3];
        // with the value needed at the exit, behind it, both, neither; and with other values around it
        for (at_exit, behind) in [("", ""), (name, ""), ("", name), (name, name)] {
            for crowd in [0, 20] {
                let many: String = (0..crowd).map(|n| format!(", i{}, f{}", n + 10, n + 10)).collect();
                let uses: String = (0..crowd)
                    .map(|n| format!("i{} = int_add(i{}, 1)\n", n + 50, n + 10))
                    .collect();
                let used: String = (0..crowd).map(|n| format!(", i{}, f{}", n + 50, n + 10)).collect();
                bench.compile(
                    token,
                    &format!(
                        "[{name}{many}]\n{uses}{op}, descr=<Guard0x1>) [{}]\nfinish(descr=<Guard0x2>) [{}]",
                        format!("{at_exit}{used}").trim_start_matches(", "),
                        format!("{behind}{used}").trim_start_matches(", "),
                    ),
                );
                let others: Vec<u64> = (0..crowd).flat_map(|n| [n, (n as f64).to_bits()]).collect();
                let sums: Vec<u64> = (0..crowd).flat_map(|n| [n + 1, (n as f64).to_bits()]).collect();
                let words = pass
                    .iter()
                    .map(|word| (*word, 2, behind))
                    .chain(fail.iter().map(|word| (*word, 1, at_exit)));
                for (word, guard, shown) in words {
                    let first: &[u64] = if shown.is_empty() { &[] } else { &[word] };
                    bench.expect(token, &[&[word], &others[..]].concat(), guard, &[first, &sums].concat());
                }
                token += 1;
            }
        }
    }
    bench.compile(
        token,
        "[i0, f1]
         i2 = int_add(i0, 1)
         guard_always_fails(descr=<Guard0x1>) [i2, f1]
         finish(descr=<Guard0x2>) [i0]",
    );
    bench.expect(token, &[7, 9], 1, &[8, 9]);
}

/// Comparisons whose guard does not follow at once, or that more than their guard need.
pub(super) fn distant_comparisons(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    let address = mix(2);
    bench.compile(
        1,
        &format!(
            "{}[i0, i1, f2, f3]
             i4 = int_lt(i0, i1)
             i5 = float_le(f2, f3)
             i6 = int_add(i0, 1)
             i7 = uint_gt(i0, i1)
             i8 = int_sub(i1, i6)
             f9 = float_add(f2, f3)
             guard_true(i4, descr=<Guard0x1>) [i6, i8, i5]
             i10 = call_i({address}, i0, i1, descr=mix2)
             guard_false(i7, descr=<Guard0x2>) [i10, i7]
             i11 = int_add(i5, i4)
             guard_true(i5, descr=<Guard0x3>) [i11, f9]
             i12 = int_eq(i4, i5)
             guard_true(i12, descr=<Guard0x4>) []
             i13 = int_add(i12, i11)
             guard_true(i12, descr=<Guard0x5>) []
             finish(descr=<Guard0x6>) [i13, i8, f9]",
            descrs()
        ),
    );
    let f = |a: f64, b: f64| [a.to_bits(), b.to_bits()];
    let run = |i0: i64, i1: i64, f: [u64; 2]| bench.run(1, &[i0 as u64, i1 as u64, f[0], f[1]]);
    assert_eq!(run(5, 3, f(1.0, 2.0)), Left::new(1, &[6, -3i64 as u64, 1]));
    assert_eq!(run(5, 3, f(1.0, f64::NAN)), Left::new(1, &[6, -3i64 as u64, 0]));
    assert_eq!(run(-5, 3, f(1.0, 2.0)), Left::new(2, &[mixed(&[-5i64 as u64, 3]), 1]));
    assert_eq!(run(2, 9, f(3.0, 2.0)), Left::new(3, &[1, 5.0f64.to_bits()]));
    assert_eq!(run(2, 9, f(1.0, 2.0)), Left::new(6, &[3, 6, 3.0f64.to_bits()]));
}

/// The result of a comparison is among the values of its own guard's exit, fused or not.
pub(super) fn comparison_in_its_own_exit(make: &mut Make<'_>) {
    for forcing in [Forcing::Off, Forcing::OneIn { n: 2, seed: 3 }] {
        let bench = Bench::new(make(forcing));
        for (token, check) in ["guard_true", "guard_false"].into_iter().enumerate() {
            let token = token as u32;
            bench.compile(
                token,
                &format!(
                    "[i0, i1, f2, f3]
                     i4 = int_lt(i0, i1)
                     {check}(i4, descr=<Guard{:#x}>) [i0, i4]
                     i5 = float_eq(f2, f3)
                     {check}(i5, descr=<Guard{:#x}>) [i5, i1]
                     finish(descr=<Guard{:#x}>) [i0, i1]",
                    16 * token + 1,
                    16 * token + 2,
                    16 * token + 3,
                ),
            );
            for (i0, i1, f2, f3) in [
                (1, 2, 1.0f64, 1.0f64),
                (2, 1, 1.0, 2.0),
                (1, 2, 1.0, 2.0),
                (2, 1, 1.0, 1.0),
                (1, 2, f64::NAN, 1.0),
                (2, 1, f64::NAN, 1.0),
            ] {
                for _ in 0..20 {
                    let left = bench.run(token, &[i0, i1, f2.to_bits(), f3.to_bits()]);
                    let expected = match left.guard & 15 {
                        1 => [i0, u64::from(i0 < i1)],
                        2 => [u64::from(f2 == f3), i1],
                        _ => [i0, i1],
                    };
                    assert_eq!(left.values, expected);
                    let first = if (i0 < i1) == (check == "guard_true") {
                        if (f2 == f3) == (check == "guard_true") { 3 } else { 2 }
                    } else {
                        1
                    };
                    assert!(left.guard & 15 <= first && (forcing != Forcing::Off || left.guard & 15 == first));
                }
            }
        }
    }
}

/// Jumps that pass constants, and one value in several places.
pub(super) fn constant_arguments(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    bench.compile(
        1,
        "[i0, i1, i2, p3, f4, f5, i6]
         label(i0, i1, i2, p3, f4, f5, i6, descr=TargetToken(1))
         i7 = int_sub(i0, 1)
         i8 = int_gt(i7, 0)
         guard_true(i8, descr=<Guard0x1>) [i1, i2, p3, f4, f5, i6]
         jump(i7, 7, i1, ConstPtr(0x123456789abc), f5, -0.0, i1, descr=TargetToken(1))",
    );
    let start = [11, 12, 13, 1.5f64.to_bits(), 2.5f64.to_bits(), 14];
    let run = |rounds: u64| bench.run(1, &[&[rounds], &start[..]].concat());
    assert_eq!(run(1), Left::new(1, &start));
    let p = 0x1234_5678_9abc;
    let minus_zero = (-0.0f64).to_bits();
    assert_eq!(run(2), Left::new(1, &[7, 11, p, 2.5f64.to_bits(), minus_zero, 11]));
    assert_eq!(run(3), Left::new(1, &[7, 7, p, minus_zero, minus_zero, 7]));
}

/// A frame of many pages.
pub(super) fn big_frames(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    bench.compile(
        1,
        "# descr Big = size(100000)
         # descr Big.first = field(offset=0, i64)
         # descr Big.last = field(offset=99992, i64)
         [i0]
         p1 = alloca(descr=Big)
         setfield_gc(p1, i0, descr=Big.first)
         setfield_gc(p1, 7, descr=Big.last)
         i2 = getfield_gc_i(p1, descr=Big.first)
         i3 = getfield_gc_i(p1, descr=Big.last)
         finish(descr=<Guard0x1>) [i2, i3, i0]",
    );
    bench.expect(1, &[5], 1, &[5, 7, 5]);
    let mut huge = String::from("# descr Huge = size(1000000000)\n[i0]\n");
    for n in 1..4 {
        huge += &format!("p{n} = alloca(descr=Huge)\n");
    }
    huge += "finish(descr=<Guard0x1>) [p1, p2, p3]";
    match bench.try_compile(2, &parse(&huge)) {
        Ok(_) | Err(BackendError::FrameTooLarge { .. }) => {}
        Err(other) => panic!("{other}"),
    }
}

/// A trace whose jump goes to the label of a loop that exists, with a frame of its own.
pub(super) fn entry_into_a_loop(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    bench.compile(
        1,
        "[i0, i1, f2]
         label(i0, i1, f2, descr=TargetToken(1))
         i3 = int_sub(i0, 1)
         f4 = float_add(f2, 0.5)
         i5 = int_gt(i3, 0)
         guard_true(i5, descr=<Guard0x1>) [i1, f4]
         jump(i3, i1, f4, descr=TargetToken(1))",
    );
    let many: String = (10..40).map(|n| format!(", i{n}")).collect();
    let sums: String = (10..40)
        .map(|n| format!("i{} = int_add(i{n}, i{})\n", n + 50, (n + 1 - 10) % 30 + 10))
        .collect();
    let exit: String = (60..90).map(|n| format!(", i{n}")).collect();
    bench.compile(
        2,
        &format!(
            "[f0{many}]
             {sums}i91 = int_lt(i60, 1000)
             guard_true(i91, descr=<Guard0x2>) [f0{exit}]
             jump(5, i89, f0, descr=TargetToken(1))"
        ),
    );
    let words: Vec<u64> = (0..30).map(|n| 100 + n * 3).collect();
    bench.expect(
        2,
        &[&[1.0f64.to_bits()], &words[..]].concat(),
        1,
        &[187 + 100, 3.5f64.to_bits()],
    );
}

/// A refusal changes nothing: what is defined in the refused trace is unknown.
pub(super) fn unknown_target(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    let unknown = parse("[i0]\nlabel(i0, descr=TargetToken(1))\njump(i0, descr=TargetToken(2))");
    assert_eq!(
        bench.try_compile(1, &unknown).err(),
        Some(BackendError::UnknownTarget(TargetToken(2)))
    );
    let refused = parse("[i0]\nlabel(i0, descr=TargetToken(3))\njump(i0, descr=TargetToken(1))");
    assert_eq!(
        bench.try_compile(1, &refused).err(),
        Some(BackendError::UnknownTarget(TargetToken(1)))
    );
    bench.compile(
        1,
        "[i0]\nlabel(i0, descr=TargetToken(1))\nfinish(descr=<Guard0x1>) [i0]",
    );
    bench.expect(1, &[7], 1, &[7]);
    bench.backend.free_loop(LoopToken(1));
    assert_eq!(
        bench.try_compile(1, &refused).err(),
        Some(BackendError::UnknownTarget(TargetToken(1)))
    );
}
