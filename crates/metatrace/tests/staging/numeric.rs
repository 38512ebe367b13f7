//! Numbers: every operator and method of every width, on boundary and random values; casts between all of them.

use crate::harness::{Random, Sample, agree};
use metatrace::jit;

/// Operators and methods of an integer type.
macro_rules! ints {
    ($($module:ident $t:ident $u:ident { $($extra:item)* } [$($check:ident)*];)*) => {$(
        mod $module {
            use super::*;

            #[jit] fn add(a: $t, b: $t) -> $t { a + b }
            #[jit] fn sub(a: $t, b: $t) -> $t { a - b }
            #[jit] fn mul(a: $t, b: $t) -> $t { a * b }
            #[jit] fn div(a: $t, b: $t) -> $t { a / b }
            #[jit] fn rem(a: $t, b: $t) -> $t { a % b }
            #[jit] fn bits(a: $t, b: $t) -> ($t, $t, $t, $t) { (a & b, a | b, a ^ b, !a) }
            #[jit] fn order(a: $t, b: $t) -> (bool, bool, bool, bool, bool, bool) {
                (a == b, a != b, a < b, a <= b, a > b, a >= b)
            }
            #[jit] fn assigned(mut a: $t, b: $t) -> $t {
                a ^= b;
                a |= 3;
                a &= !b;
                a -= a / 2;
                a *= 1;
                a %= 100;
                a /= 3;
                a += 1;
                a <<= 2u8;
                a >>= 1i32;
                a
            }
            #[jit] fn wrapping(a: $t, b: $t) -> ($t, $t, $t, $t) {
                (a.wrapping_add(b), a.wrapping_sub(b), a.wrapping_mul(b), a.wrapping_neg())
            }
            #[jit] fn wrapping_division(a: $t, b: $t) -> ($t, $t) { (a.wrapping_div(b), a.wrapping_rem(b)) }
            #[jit] fn wrapping_shifts(a: $t, n: u32) -> ($t, $t) { (a.wrapping_shl(n), a.wrapping_shr(n)) }
            #[jit] fn checked(a: $t, b: $t) -> (Option<$t>, Option<$t>, Option<$t>) {
                (a.checked_add(b), a.checked_sub(b), a.checked_mul(b))
            }
            #[jit] fn checked_division(a: $t, b: $t) -> (Option<$t>, Option<$t>, Option<$t>) {
                (a.checked_div(b), a.checked_rem(b), a.checked_neg())
            }
            #[jit] fn overflowing(a: $t, b: $t) -> (($t, bool), ($t, bool), ($t, bool)) {
                (a.overflowing_add(b), a.overflowing_sub(b), a.overflowing_mul(b))
            }
            #[jit] fn saturating(a: $t, b: $t) -> ($t, $t, $t) {
                (a.saturating_add(b), a.saturating_sub(b), a.saturating_mul(b))
            }
            #[jit] fn counts(a: $t) -> (u32, u32, u32) { (a.leading_zeros(), a.trailing_zeros(), a.count_ones()) }
            #[jit] fn rotations(a: $t, n: u32) -> ($t, $t) { (a.rotate_left(n), a.rotate_right(n)) }
            #[jit] fn extremes(a: $t, b: $t) -> ($t, $t) { (a.min(b), a.max(b)) }
            #[jit] fn euclid(a: $t, b: $t) -> ($t, $t) { (a.div_euclid(b), a.rem_euclid(b)) }
            #[jit] fn power(a: $t, n: u32) -> ($t, Option<$t>) { (a.wrapping_pow(n), a.checked_pow(n)) }
            #[jit] fn limits(a: $t) -> ($t, u32) {
                if a < $t::MAX / 2 { ($t::MAX, $t::BITS) } else { ($t::MIN, 0) }
            }
            #[jit] fn shl(a: $t, n: u8) -> $t { a << n }
            #[jit] fn shr(a: $t, n: i64) -> $t { a >> n }
            #[jit] fn casts(a: $t) -> (u8, u16, u32, u64, usize, f64) {
                (a as u8, a as u16, a as u32, a as u64, a as usize, a as f64)
            }
            #[jit] fn signed_casts(a: $t) -> (i8, i16, i32, i64, isize) {
                (a as i8, a as i16, a as i32, a as i64, a as isize)
            }
            #[jit] fn from_float(f: f64) -> $t { f as $t }
            #[jit] fn mixed(a: $t, b: $u) -> bool { a as $u == b && (a as i64) < (b as i64) }
            $(#[jit] $extra)*

            #[test]
            fn agrees() {
                let mut random = Random::new($t::BITS as u64);
                let samples = $t::samples(&mut random, 12);
                for &a in &samples {
                    agree!(counts(a));
                    agree!(limits(a));
                    agree!(casts(a));
                    agree!(signed_casts(a));
                    for n in [0, 1, 2, 7, 8, 9, 15, 16, 31, 32, 33, 63, 64, 65, 127, 255] {
                        agree!(shl(a, n));
                        agree!(shr(a, n as i64));
                        agree!(wrapping_shifts(a, n as u32));
                        agree!(rotations(a, n as u32));
                        agree!(power(a, n as u32 / 7));
                    }
                    agree!(shr(a, -1));
                    for &b in &samples {
                        agree!(add(a, b));
                        agree!(sub(a, b));
                        agree!(mul(a, b));
                        agree!(div(a, b));
                        agree!(rem(a, b));
                        agree!(bits(a, b));
                        agree!(order(a, b));
                        agree!(assigned(a, b));
                        agree!(wrapping(a, b));
                        agree!(wrapping_division(a, b));
                        agree!(checked(a, b));
                        agree!(checked_division(a, b));
                        agree!(overflowing(a, b));
                        agree!(saturating(a, b));
                        agree!(extremes(a, b));
                        agree!(euclid(a, b));
                        agree!(mixed(a, b as $u));
                        $(agree!($check(a, b));)*
                    }
                }
                for f in f64::samples(&mut random, 60) {
                    agree!(from_float(f));
                }
            }
        }
    )*};
}

ints! {
    byte u8 i8 {} [];
    short u16 i16 {} [];
    word u32 i32 {} [];
    long u64 i64 {} [];
    address usize isize {} [];
    signed_byte i8 u8 {
        fn signs(a: i8, b: i8) -> (i8, i8, u8, i8, bool) { (-a, b.abs(), a.unsigned_abs(), b.signum(), a.is_negative()) }
    } [signs];
    signed_short i16 u16 {
        fn signs(a: i16, b: i16) -> (i16, i16, u16, i16, bool) { (-a, b.abs(), a.unsigned_abs(), b.signum(), a.is_negative()) }
    } [signs];
    signed_word i32 u32 {
        fn signs(a: i32, b: i32) -> (i32, i32, u32, i32, bool) { (-a, b.abs(), a.unsigned_abs(), b.signum(), a.is_negative()) }
    } [signs];
    signed_long i64 u64 {
        fn signs(a: i64, b: i64) -> (i64, i64, u64, i64, bool) { (-a, b.abs(), a.unsigned_abs(), b.signum(), a.is_negative()) }
    } [signs];
    signed_address isize usize {
        fn signs(a: isize, b: isize) -> (isize, isize, usize, isize, bool) {
            (-a, b.abs(), a.unsigned_abs(), b.signum(), a.is_negative())
        }
    } [signs];
}

#[jit]
fn float_arithmetic(a: f64, b: f64) -> (u64, u64, u64, u64, u64) {
    (
        (a + b).to_bits(),
        (a - b).to_bits(),
        (a * b).to_bits(),
        (a / b).to_bits(),
        (-a).to_bits(),
    )
}

#[jit]
fn float_remainder(a: f64, b: f64) -> u64 {
    let mut c = a;
    c %= b;
    c.to_bits()
}

#[jit]
fn float_order(a: f64, b: f64) -> (bool, bool, bool, bool, bool, bool) {
    (a == b, a != b, a < b, a <= b, a > b, a >= b)
}

#[jit]
fn float_methods(a: f64, b: f64) -> (u64, u64, u64, u64) {
    (
        a.sqrt().to_bits(),
        a.abs().to_bits(),
        a.min(b).to_bits(),
        a.max(b).to_bits(),
    )
}

#[jit]
fn float_rounding(a: f64) -> (u64, u64, u64, u64, bool) {
    (
        a.floor().to_bits(),
        a.ceil().to_bits(),
        a.trunc().to_bits(),
        a.round().to_bits(),
        a.is_nan(),
    )
}

#[jit]
fn float_bits(a: u64) -> u64 {
    let f = f64::from_bits(a);
    if f == f { f.to_bits() } else { 0 }
}

#[jit]
fn bools(a: bool, b: bool) -> (bool, bool, bool, bool, u8, i64, bool) {
    let mut c = a;
    c ^= b;
    c |= a & !b;
    (a & b, a | b, a ^ b, !a, a as u8, b as i64, c)
}

#[jit]
fn bool_order(a: bool, b: bool) -> (bool, bool, bool) {
    (a == b, a < b, a >= b)
}

#[jit]
fn chars(c: char, n: u8) -> (u32, u8, char, bool, u64) {
    (c as u32, c as u8, n as char, c < n as char, c as u64)
}

#[jit]
fn char_methods(c: char) -> (bool, bool, Option<u32>, usize) {
    (c.is_ascii_digit(), c.is_alphabetic(), c.to_digit(16), c.len_utf8())
}

#[jit]
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
enum Level {
    Low,
    Middle = 7,
    High,
    Top = 255,
}

#[jit]
fn enum_casts(level: Level) -> (u8, i64, bool) {
    (level as u8, level as i64 - 300, level as usize > 7)
}

#[jit]
fn conversions(a: u8, b: i32, c: char) -> (u64, i64, f64, u32) {
    (u64::from(a), i64::from(b), f64::from(b), u32::from(c))
}

#[jit(overflow = "wrapping")]
fn always_wraps(a: u8, b: u8) -> u8 {
    a + b
}

#[jit(overflow = "checked")]
fn always_checks(a: u8, b: u8) -> u8 {
    a + b
}

#[test]
fn floats() {
    let mut random = Random::new(64);
    let samples = f64::samples(&mut random, 15);
    for &a in &samples {
        agree!(float_rounding(a));
        agree!(float_bits(a.to_bits()));
        for &b in &samples {
            // Which of two NaNs an operation gives, and with which sign, is not specified.
            if !a.is_nan() && !b.is_nan() {
                agree!(float_arithmetic(a, b));
                agree!(float_remainder(a, b));
                agree!(float_methods(a, b));
            }
            agree!(float_order(a, b));
        }
    }
}

#[test]
fn other_scalars() {
    for a in [false, true] {
        for b in [false, true] {
            agree!(bools(a, b));
            agree!(bool_order(a, b));
        }
    }
    for c in char::samples(&mut Random::new(32), 100) {
        agree!(chars(c, c as u8));
        agree!(char_methods(c));
        agree!(conversions(c as u8, (c as i32).wrapping_mul(-70_000), c));
    }
    for level in [Level::Low, Level::Middle, Level::High, Level::Top] {
        agree!(enum_casts(level));
    }
}

#[test]
fn overflow_is_what_the_attribute_says() {
    use crate::harness::{compare, staged};
    for (a, b) in [(200u8, 55u8), (200, 56), (255, 255)] {
        compare(
            "always_wraps",
            || (),
            |_| a.wrapping_add(b).to_string(),
            |_| staged!(always_wraps(a, b)).to_string(),
        );
        compare(
            "always_checks",
            || (),
            |_| match a.checked_add(b) {
                Some(sum) => sum.to_string(),
                None => panic!("attempt to add with overflow"),
            },
            |_| staged!(always_checks(a, b)).to_string(),
        );
    }
}
