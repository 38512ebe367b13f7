//! Literals and what their types are inferred from.

use crate::harness::agree;
use metatrace::jit;

#[jit]
fn before(y: i64) -> i64 {
    let z = -5;
    y + z
}

#[jit]
fn after(y: i64) -> i64 {
    let z = 5;
    z + y
}

#[jit]
fn by_use(y: i64) -> i64 {
    let w = y + 1;
    let q = y.abs() - w;
    let b = w < q;
    if b { q } else { -w }
}

#[jit]
fn by_shift(y: u32) -> u64 {
    let n = 5;
    let one = 1u64 << n;
    one << (y & 63)
}

#[jit]
fn casts(x: u8) -> u64 {
    let m = 0xFFFF_FFFFu32 as u64;
    let big = 0xFFFF_FFFF as u32;
    let signed = -1 as i8 as u8;
    let inverted = !0 as u16;
    m + big as u64 + signed as u64 + inverted as u64 + x as u64
}

#[jit]
fn defaults() -> bool {
    let mut n = 0;
    n += 1;
    let f = 1.5 * 2.0;
    n > 3 || f > 2.0
}

#[jit]
fn chars_and_bytes(c: char, b: u8) -> u32 {
    let letter = c >= 'a' && c <= 'z' || c == '\u{e9}';
    let digit = b >= b'0' && b <= b'9';
    letter as u32 * 2 + digit as u32
}

#[jit]
fn strings(c: bool) -> &'static str {
    if c { "yes" } else { "" }
}

#[jit]
fn bytes(i: usize) -> u8 {
    let text = b"bytes";
    text[i]
}

#[jit]
fn suffixes(x: u8) -> i64 {
    let i8min = -128i8;
    let t = x >> 3u32;
    i8min as i64 + t as i64 + 1_000i64 + 0x7f_i64 + 0b11i64
}

const LIMIT: usize = 10;
static TABLE: [u8; 4] = [1, 2, 3, 4];
const SLICE: &[u16] = &[7, 8, 9];
const WIDE: u64 = 1 << 40;

#[jit]
fn constants(i: usize) -> u64 {
    TABLE[i] as u64 + WIDE + SLICE[i] as u64 + u64::MAX / 2 + TABLE.len() as u64 + LIMIT as u64
}

#[jit]
fn promoted(c: bool) -> &'static [u8] {
    if c { &[1, 2, 3] } else { &TABLE }
}

#[jit]
fn promoted_scalar(n: u8) -> &'static u8 {
    const NINE: u8 = 9;
    match n {
        0 => &3,
        1 => &NINE,
        _ => &TABLE[2],
    }
}

#[test]
fn inference() {
    for y in [0, 1, -1, 7, -8, i64::MAX, i64::MIN, i64::MIN + 5, 1 << 40] {
        agree!(before(y));
        agree!(after(y));
        agree!(by_use(y));
    }
    agree!(defaults());
    for x in 0..=255 {
        agree!(casts(x));
        agree!(suffixes(x));
        agree!(by_shift(x as u32));
        agree!(chars_and_bytes(x as char, x));
    }
}

#[test]
fn constants_and_statics() {
    for i in 0..7 {
        agree!(constants(i));
        agree!(bytes(i));
        agree!(promoted_scalar(i as u8));
    }
    for c in [false, true] {
        agree!(strings(c));
        agree!(promoted(c));
    }
}
