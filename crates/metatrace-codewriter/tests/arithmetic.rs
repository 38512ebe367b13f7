//! Arithmetic of staged code against Rust's, results and panics alike: all pairs of 8-bit values, edge values of the wider
//! types, with and without overflow checks.

use metatrace_codewriter::stage::*;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a computation gives: a value, or a panic's message.
fn outcome<R: Debug>(f: impl FnOnce() -> R) -> Result<String, String> {
    catch_unwind(AssertUnwindSafe(f))
        .map(|value| format!("{value:?}"))
        .map_err(|payload| {
            let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
            text.or_else(|| payload.downcast_ref::<String>().cloned())
                .unwrap_or_default()
        })
}

/// Runs the jitcode of a twin with two parameters.
fn staged<A: Copy, B: Copy, R>(twin: fn(), a: A, b: B) -> R {
    let address = |value: *const u8, size| (value, size);
    // SAFETY: the twins below are of functions with these parameter and result types.
    unsafe {
        run(
            twin,
            &[
                address((&raw const a).cast(), size_of::<A>()),
                address((&raw const b).cast(), size_of::<B>()),
            ],
        )
    }
}

fn silent<R>(f: impl FnOnce() -> R) -> R {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = f();
    std::panic::set_hook(hook);
    result
}

macro_rules! twin {
    ($checks:literal, |$a:ident: $A:ty, $b:ident: $B:ty| -> $R:ty { $body:expr }) => {{
        fn build(_: PhantomData<fn($A, $B) -> $R>) {
            probe!($R);
            begin::<$R>("twin", true, $checks);
            let ($a, $b) = (param::<$A>(), param::<$B>());
            let ($a, $b) = ($a.__get(), $b.__get());
            ret::<$R>(&$body);
        }
        key(build)
    }};
}

/// `operator(checks, native, staged)` for each pair.
macro_rules! same {
    ($checks:literal, $values:expr, $others:expr, $A:ty, $B:ty, $R:ty, $name:expr, $native:expr, |$a:ident, $b:ident| $body:expr) => {{
        let twin = twin!($checks, |$a: $A, $b: $B| -> $R { $body });
        for x in $values {
            for y in $others {
                let (x, y): ($A, $B) = (x, y);
                let native: fn($A, $B) -> $R = $native;
                let (expected, found) = (outcome(|| native(x, y)), outcome(|| staged::<$A, $B, $R>(twin, x, y)));
                assert_eq!(expected, found, "{x:?} {} {y:?}", $name);
            }
        }
    }};
}

macro_rules! integer_tests {
    ($($name:ident $t:ident $values:expr;)*) => {$(
        #[test]
        fn $name() {
            silent(|| {
                let values: Vec<$t> = $values.collect();
                let v = || values.iter().copied();
                same!(true, v(), v(), $t, $t, $t, "+", |a, b| a.checked_add(b).unwrap_or_else(|| panic!("attempt to add with overflow")), |a, b| add(a, b));
                same!(true, v(), v(), $t, $t, $t, "-", |a, b| a.checked_sub(b).unwrap_or_else(|| panic!("attempt to subtract with overflow")), |a, b| sub(a, b));
                same!(true, v(), v(), $t, $t, $t, "*", |a, b| a.checked_mul(b).unwrap_or_else(|| panic!("attempt to multiply with overflow")), |a, b| mul(a, b));
                same!(false, v(), v(), $t, $t, $t, "+", |a, b| a.wrapping_add(b), |a, b| add(a, b));
                same!(false, v(), v(), $t, $t, $t, "-", |a, b| a.wrapping_sub(b), |a, b| sub(a, b));
                same!(false, v(), v(), $t, $t, $t, "*", |a, b| a.wrapping_mul(b), |a, b| mul(a, b));
                same!(false, v(), v(), $t, $t, $t, "/", |a, b| a / b, |a, b| div(a, b));
                same!(false, v(), v(), $t, $t, $t, "%", |a, b| a % b, |a, b| rem(a, b));
                same!(true, v(), v(), $t, $t, $t, "&^|", |a, b| (a & b) ^ (a | !b), |a, b| bitxor(bitand(a, b), bitor(a, not(b))));
                same!(false, v(), v(), $t, $t, bool, "<", |a, b| a < b, |a, b| lt(a, b));
                same!(false, v(), v(), $t, $t, bool, "<=", |a, b| a <= b, |a, b| le(a, b));
                same!(false, v(), v(), $t, $t, bool, "==", |a, b| a == b, |a, b| eq(a, b));
                same!(false, v(), v(), $t, $t, Option<$t>, "checked_add", |a, b| a.checked_add(b), |a, b| a.checked_add(&b));
                same!(false, v(), v(), $t, $t, Option<$t>, "checked_sub", |a, b| a.checked_sub(b), |a, b| a.checked_sub(&b));
                same!(false, v(), v(), $t, $t, Option<$t>, "checked_mul", |a, b| a.checked_mul(b), |a, b| a.checked_mul(&b));
                same!(false, v(), v(), $t, $t, ($t, bool), "overflowing_mul", |a, b| a.overflowing_mul(b), |a, b| a.overflowing_mul(&b));
                same!(false, v(), v(), $t, $t, ($t, bool), "overflowing_add", |a, b| a.overflowing_add(b), |a, b| a.overflowing_add(&b));
                same!(false, v(), v(), $t, $t, $t, "saturating_sub", |a, b| a.saturating_sub(b), |a, b| a.saturating_sub(&b));
                same!(false, v(), v(), $t, $t, $t, "rem_euclid", |a, b| a.rem_euclid(b), |a, b| a.rem_euclid(&b));
                same!(true, v(), 0..9u32, $t, u32, $t, "pow", |a, b| a.checked_pow(b).unwrap_or_else(|| panic!("attempt to multiply with overflow")), |a, b| a.pow(&b));
                same!(false, v(), 0..9u32, $t, u32, $t, "pow", |a, b| a.wrapping_pow(b), |a, b| a.pow(&b));
                same!(false, v(), v(), $t, $t, $t, "min", |a, b| a.min(b), |a, b| a.min(&b));
                same!(false, v(), v(), $t, $t, $t, "max", |a, b| a.max(b), |a, b| a.max(&b));
                same!(false, v(), [0], $t, $t, u32, "leading_zeros", |a, _| a.leading_zeros(), |a, _b| a.leading_zeros());
                same!(false, v(), [0], $t, $t, u32, "trailing_zeros", |a, _| a.trailing_zeros(), |a, _b| a.trailing_zeros());
                same!(false, v(), [0], $t, $t, u32, "count_ones", |a, _| a.count_ones(), |a, _b| a.count_ones());
                same!(false, v(), 0..70u32, $t, u32, $t, "<<", |a, b| a.wrapping_shl(b), |a, b| shl(a, b));
                same!(false, v(), 0..70u32, $t, u32, $t, ">>", |a, b| a.wrapping_shr(b), |a, b| shr(a, b));
                same!(true, v(), 0..70u32, $t, u32, $t, "<<", |a, b| a.checked_shl(b).unwrap_or_else(|| panic!("attempt to shift left with overflow")), |a, b| shl(a, b));
                same!(true, v(), -3..70i8, $t, i8, $t, ">>", |a, b| u32::try_from(b).ok().and_then(|b| a.checked_shr(b)).unwrap_or_else(|| panic!("attempt to shift right with overflow")), |a, b| shr(a, b));
                same!(false, v(), [0], $t, $t, f64, "as f64", |a, _| a as f64, |a, _b| cast::<$t, f64>(a));
                integer_tests!(@ v, $t: u8 u16 u32 u64 i8 i16 i32 i64);
            });
        }
    )*};
    (@ $v:ident, $t:ident: $($u:ident)*) => {$(
        same!(false, $v(), [0], $t, $t, $u, concat!("as ", stringify!($u)), |a, _| a as $u, |a, _b| cast::<$t, $u>(a));
    )*};
}

macro_rules! edges {
    ($t:ident) => {
        [
            0,
            1,
            2,
            3,
            7,
            10,
            100,
            $t::MAX,
            $t::MAX - 1,
            $t::MAX / 2,
            $t::MAX / 2 + 1,
            $t::MIN,
            $t::MIN + 1,
            $t::MAX / 3,
            (1 as $t).wrapping_neg(),
            (5 as $t).wrapping_neg(),
        ]
        .into_iter()
    };
}

integer_tests! {
    bytes u8 (0..=u8::MAX).step_by(3).chain([1, 2, 127, 128, 254]);
    signed_bytes i8 (i8::MIN..=i8::MAX).step_by(3).chain([0, 1, -1, 127, -127]);
    halves u16 edges!(u16);
    signed_halves i16 edges!(i16);
    words u32 edges!(u32);
    signed_words i32 edges!(i32);
    longs u64 edges!(u64);
    signed_longs i64 edges!(i64);
}

const FLOATS: [f64; 14] = [
    0.0,
    -0.0,
    1.0,
    -1.5,
    255.9,
    256.0,
    -128.7,
    1e10,
    -1e30,
    1e300,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::MIN_POSITIVE,
];

#[test]
fn floats() {
    silent(|| {
        same!(true, FLOATS, FLOATS, f64, f64, f64, "+", |a, b| a + b, |a, b| add(a, b));
        same!(true, FLOATS, FLOATS, f64, f64, f64, "-", |a, b| a - b, |a, b| sub(a, b));
        same!(true, FLOATS, FLOATS, f64, f64, f64, "*", |a, b| a * b, |a, b| mul(a, b));
        same!(true, FLOATS, FLOATS, f64, f64, f64, "/", |a, b| a / b, |a, b| div(a, b));
        same!(true, FLOATS, FLOATS, f64, f64, f64, "%", |a, b| a % b, |a, b| rem(a, b));
        same!(true, FLOATS, FLOATS, f64, f64, bool, "<", |a, b| a < b, |a, b| lt(a, b));
        same!(true, FLOATS, FLOATS, f64, f64, bool, ">=", |a, b| a >= b, |a, b| ge(
            a, b
        ));
        same!(true, FLOATS, FLOATS, f64, f64, bool, "!=", |a, b| a != b, |a, b| ne(
            a, b
        ));
        same!(true, FLOATS, FLOATS, f64, f64, f64, "min", |a, b| a.min(b), |a, b| a
            .min(&b));
        same!(true, FLOATS, [0.0], f64, f64, f64, "neg", |a, _| -a, |a, _b| neg(a));
        same!(
            true,
            FLOATS,
            [0.0],
            f64,
            f64,
            u8,
            "as u8",
            |a, _| a as u8,
            |a, _b| cast::<f64, u8>(a)
        );
        same!(
            true,
            FLOATS,
            [0.0],
            f64,
            f64,
            i16,
            "as i16",
            |a, _| a as i16,
            |a, _b| cast::<f64, i16>(a)
        );
        same!(
            true,
            FLOATS,
            [0.0],
            f64,
            f64,
            u32,
            "as u32",
            |a, _| a as u32,
            |a, _b| cast::<f64, u32>(a)
        );
        same!(
            true,
            FLOATS,
            [0.0],
            f64,
            f64,
            i64,
            "as i64",
            |a, _| a as i64,
            |a, _b| cast::<f64, i64>(a)
        );
        same!(
            true,
            FLOATS,
            [0.0],
            f64,
            f64,
            u64,
            "as u64",
            |a, _| a as u64,
            |a, _b| cast::<f64, u64>(a)
        );
    });
}
