//! Passes that stand alone: each keeps the trace valid without the others.
#![forbid(unsafe_code)]

use metatrace_ir::{TargetToken, Trace, verify};
use metatrace_opt::{Options, PASSES, optimize};

/// Optimised with each pass alone, and with all but one, peeled and not, the trace is valid.
fn stays_valid(text: &str) {
    let trace: Trace = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    for pass in PASSES {
        for options in [Options::NONE.with(pass, true), Options::default().with(pass, false)] {
            for peel in [None, Some(TargetToken(1000))] {
                let optimized = optimize(&trace, &Options { peel, ..options });
                assert_eq!(verify(&optimized), Ok(()), "{pass:?} {options:?}\n{optimized}");
            }
        }
    }
}

#[test]
fn a_guard_goes_with_the_overflow_check_before_it() {
    stays_valid(
        "[i0, i1]
         label(i0, i1, descr=TargetToken(1))
         i2 = int_add_ovf(i0, 1)
         guard_no_overflow() [i2]
         i3 = int_add_ovf(i0, 1)
         guard_no_overflow() [i3]
         jump(i0, i3, descr=TargetToken(1))",
    );
}

#[test]
fn a_guard_goes_with_the_call_before_it() {
    stays_valid(
        "# descr f = call(args=i, result=i, effect=elidable, can_panic)
         [i0, i1]
         i2 = call_pure_i(4096, i0, descr=f)
         guard_no_exception() [i2]
         i3 = call_pure_i(4096, i0, descr=f)
         guard_no_exception() [i3]
         finish() [i2, i3]",
    );
}

/// A sum that a test needs earlier is one of the two; the other stays another value.
#[test]
fn equal_sums_stay_two_arguments_of_a_label() {
    stays_valid(
        "# word i1 = length
         [i0, i1, i2]
         i3 = uint_lt(i0, i1)
         guard_true(i3) [i0]
         i4 = int_add(i0, 2)
         i5 = int_eq(i4, i1)
         guard_false(i5) [i4]
         i6 = int_add(i0, 1)
         i7 = int_eq(i6, i1)
         guard_false(i7) [i6]
         i8 = int_eq(i2, 7)
         guard_false(i8) [i2]
         i9 = int_add(i0, 2)
         i10 = uint_lt(i9, i1)
         guard_true(i10) [i9]
         i11 = int_add(i0, 3)
         i12 = uint_lt(i11, i1)
         guard_true(i12) [i11, i9, i6]
         label(i4, i9, i1, i2, i11, descr=TargetToken(4))
         finish() [i4, i9, i1, i2, i11]",
    );
}
