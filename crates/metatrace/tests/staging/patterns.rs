//! Patterns: tests, bindings, binding modes, guards, alternatives.

use crate::harness::agree;
use metatrace::jit;

#[jit]
#[derive(Clone, Copy, PartialEq, Debug)]
#[repr(u8)]
pub enum Op {
    Add(u8),
    Sub(u8),
    Jump { to: usize, cond: bool },
    Pair(u8, Inner),
    Triple(u8, u16, i64) = 40,
    Halt,
    Nop = 99,
}

#[jit]
#[derive(Clone, Copy, PartialEq, Debug)]
#[repr(u8)]
pub enum Inner {
    A(u16),
    B(u16),
    C,
}

#[jit]
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Point {
    x: i64,
    y: i64,
}

#[jit]
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Pair(i64, Point);

#[jit]
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Unit;

fn ops() -> Vec<Op> {
    let mut ops = vec![Op::Halt, Op::Nop];
    for (n, cond) in [(0, true), (7, true), (8, false), (usize::MAX, false)] {
        ops.push(Op::Jump { to: n, cond });
    }
    for a in [0, 1, 3, 4, 5, 6, 9, 200, 255] {
        ops.extend([Op::Add(a), Op::Sub(a), Op::Triple(a, a as u16 * 200, -(a as i64))]);
        ops.extend([Inner::A(0), Inner::A(9), Inner::B(3), Inner::B(500), Inner::C].map(|inner| Op::Pair(a, inner)));
    }
    ops
}

#[jit]
fn nested(op: &Op) -> u32 {
    match op {
        Op::Add(n) | Op::Sub(n) if *n > 100 => *n as u32,
        Op::Jump { to, cond: true } => *to as u32,
        Op::Jump { .. } => 0,
        Op::Pair(k @ 1..=5, Inner::A(z) | Inner::B(z)) if *z > 3 => *k as u32 + *z as u32,
        Op::Pair(_, Inner::C) => 4,
        Op::Pair(..) => 9,
        Op::Triple(3 | 4, ..) => 17,
        Op::Triple(a, b, _) if *a as u16 == *b => 18,
        Op::Triple(_, _, -6) => 19,
        Op::Triple(_, 1800, c) => *c as u32,
        Op::Halt => 1,
        _ => 2,
    }
}

#[jit]
fn by_value(op: Op) -> u32 {
    match op {
        Op::Pair(k, i) => {
            let z = match i {
                Inner::A(x) | Inner::B(x) => x,
                Inner::C => 0,
            };
            k as u32 + z as u32
        }
        Op::Add(0) => 3,
        Op::Add(255) => 4,
        Op::Add(n) if n > 3 && n < 9 => n as u32,
        Op::Jump { to: 7, cond } => cond as u32 + 50,
        Op::Jump {
            cond: false,
            to: target @ ..100,
        } => target as u32 + 60,
        Op::Triple(a, b, c) => (a as u32).wrapping_mul(b as u32).wrapping_add(c as u32),
        Op::Sub { .. } => 70,
        _ => unreachable!("{op:?}"),
    }
}

const SEVEN: u8 = 7;
const ADD_FIVE: Op = Op::Add(5);
const NOTHING: Option<u8> = None;

#[jit]
fn constants(a: u8, op: Op, o: Option<u8>) -> u8 {
    let x = match a {
        SEVEN => 1,
        0 | 1 => 2,
        10..=20 => 3,
        u8::MAX => 4,
        b'z' => 5,
        Limits::LOW..Limits::HIGH => 6,
        100.. => 7,
        _ => 8,
    };
    let y = match op {
        ADD_FIVE => 10,
        Op::Add(_) => 20,
        Op::Halt => 30,
        _ => 40,
    };
    let z = match o {
        NOTHING => 50,
        Some(SEVEN) => 60,
        Some(_) => 70,
    };
    x + y + z
}

pub struct Limits;
impl Limits {
    const LOW: u8 = 30;
    const HIGH: u8 = 33;
}

#[jit]
fn literals(c: char, n: i64, b: bool, f: f64, s: &str) -> u32 {
    let x = match c {
        'a'..='f' | 'A'..='F' => 1,
        '0'..'8' => 2,
        '\u{e9}' => 3,
        _ => 4,
    };
    let y = match n {
        i64::MIN..=-10 => 10,
        -9..0 => 20,
        0 => 30,
        1.. => 40,
    };
    let z = match (b, f) {
        (true, 0.0..=1.5) => 100,
        (_, 2.0) => 200,
        (false, _) => 300,
        _ => 400,
    };
    let w = match s {
        "" => 1000,
        "abc" | "abd" => 2000,
        _ => 3000,
    };
    x + y + z + w
}

#[jit]
fn tuples(a: (u8, (i64, bool)), b: (u8, u8, u8)) -> i64 {
    let (x, (y, z)) = a;
    let (first, ..) = b;
    let (_, mut middle, _) = b;
    middle = middle.wrapping_add(first);
    match (x, a.1, z) {
        (0, _, true) => y,
        (1.., (n, _), _) if n < 0 => n + middle as i64,
        (_, (n @ 0..=9, true), _) | (_, (n, false), false) => n * 2,
        _ => a.1.0 + x as i64,
    }
}

#[jit]
fn structs(p: Point, q: &Pair, r: &mut Point) -> i64 {
    let Point { x, y: height } = p;
    let Pair(n, Point { y, .. }) = q;
    let Point { x: rx, .. } = r;
    *rx += 1;
    match *q {
        Pair(0, Point { x: 0, .. }) => x,
        Pair(k, Point { x: a, y: b }) if a == b => k + height,
        Pair(_, inner) => match inner {
            Point { x: 1..=5, y } => y,
            Point { x, .. } => x + *n + *y,
        },
    }
}

#[jit]
fn modes(a: &mut i64, b: &mut Op, c: &Option<Op>) -> i64 {
    match (&mut *a, &mut *b) {
        (x, Op::Jump { to, cond }) => {
            *x += 1;
            *to = to.wrapping_add(*x as usize);
            *cond = !*cond;
        }
        (x, Op::Add(n) | Op::Sub(n)) if *x > 2 => *n = 3,
        (x, y) => {
            *x += 2;
            *y = Op::Pair(1, Inner::A(2));
        }
    }
    let r = match c {
        Some(Op::Pair(n, Inner::A(k))) if *k > 1 => *n as i64 + *k as i64,
        Some(v @ Op::Add(_)) => nested(v) as i64,
        Some(Op::Halt | Op::Nop) => 1,
        Some(other) => nested(other) as i64 + 1000,
        None => 2,
    };
    let n = *a;
    n + r
}

#[jit]
fn references(p: &(u8, &i64), v: &[Point], o: Option<&mut u8>) -> i64 {
    let &(a, &b) = p;
    let mut t = a as i64 + b;
    for &Point { x, y } in v {
        t = t.wrapping_add(x).wrapping_mul(3).wrapping_add(y);
    }
    for Point { x, .. } in v {
        t = t.wrapping_add(*x);
    }
    if let Some(&mut n) = o {
        t = t.wrapping_add(n as i64);
    }
    t
}

#[jit]
fn ref_bindings(op: &mut Op, point: &mut Point) -> i64 {
    match *op {
        Op::Triple(ref mut a, _, ref c) if *c < -4 => {
            *a = a.wrapping_add(1);
            *c + *a as i64
        }
        Op::Add(ref n) => *n as i64,
        ref other => nested(other) as i64,
    };
    let Point { ref mut x, ref y } = *point;
    *x = x.wrapping_add(*y);
    let ref _z = *x;
    let ref mut w = point.y;
    *w += 1;
    *w
}

#[jit]
fn at_bindings(n: u8, op: Op) -> u32 {
    let low @ 0..=255 = n;
    match op {
        whole @ Op::Pair(k @ (1 | 3 | 5..=8), inner @ (Inner::A(_) | Inner::C)) => {
            by_value(whole) + k as u32 + matches!(inner, Inner::C) as u32
        }
        Op::Pair(k @ 200.., _) => k as u32,
        _ if matches!(op, Op::Add(1..=4) | Op::Halt) => 7,
        _ if matches!(op, Op::Jump { to, .. } if to > 7) => 8,
        _ => low as u32,
    }
}

use self::Inner as In;
use self::Op::{Add, Halt, Pair as Both, Sub};

#[jit]
fn imported(op: &Op) -> u8 {
    match op {
        Add(n) => *n,
        Sub(n) => n.wrapping_add(1),
        Halt => 3,
        Both(_, In::A(_)) => 4,
        self::Op::Pair(_, self::In::B(n)) => *n as u8,
        _ => 0,
    }
}

#[jit]
fn unit_struct(u: Unit, o: Option<Unit>) -> u8 {
    let Unit = u;
    match o {
        Some(Unit) => 1,
        None => 2,
    }
}

#[jit]
fn guards(a: &mut u8, o: Option<u8>) -> u8 {
    match o {
        Some(n)
            if {
                *a += 1;
                n > 5
            } =>
        {
            n
        }
        Some(n) | Some(n) if n > *a => 100,
        Some(_)
            if let Some(k) = a.checked_sub(3)
                && k < 9 =>
        {
            k
        }
        x => x.unwrap_or(50),
    }
}

#[jit]
fn parameters(&x: &u8, (a, b): (u8, Point), Point { y, .. }: Point, _: Unit, mut n: u8) -> i64 {
    n = n.wrapping_add(x).wrapping_add(a);
    n as i64 + b.x + y
}

#[test]
fn enums() {
    let ops = ops();
    for op in &ops {
        agree!(nested(op));
        agree!(imported(op));
        for n in [0, 7, 255] {
            agree!(at_bindings(n, *op));
        }
        agree!(by_value(*op));
        agree!(s = (*op, Point { x: 3, y: 4 }) => ref_bindings(&mut s.0, &mut s.1));
        for a in [1, 4] {
            for c in [None, Some(*op)] {
                agree!(s = (a, *op) => modes(&mut s.0, &mut s.1, &c));
            }
        }
    }
}

#[test]
fn constant_patterns() {
    for a in 0..=255 {
        for o in [None, Some(a), Some(7)] {
            agree!(constants(a, Op::Add(a), o));
        }
        agree!(constants(a, Op::Halt, None::<u8>));
        agree!(s = a / 2 => guards(s, Some(a)));
    }
    agree!(s = 3 => guards(s, None::<u8>));
}

#[test]
fn literal_patterns() {
    for c in ['a', 'f', 'g', 'A', 'G', '0', '7', '8', 'é', '\0', char::MAX] {
        for n in [i64::MIN, -11, -10, -9, -1, 0, 1, i64::MAX] {
            agree!(literals(c, n, n < 0, n as f64 / 2.0 + 2.0, "abd"));
        }
    }
    for f in [-0.0, 0.0, 1.5, 1.6, 2.0, f64::NAN, f64::INFINITY] {
        for s in ["", "abc", "abd", "abcd", "xyz"] {
            agree!(literals('a', 0, true, f, s));
            agree!(literals('a', 0, false, f, s));
        }
    }
}

#[test]
fn structs_and_tuples() {
    for x in [-5, 0, 1, 2, 5, 6] {
        for y in [-1, 0, 2] {
            for z in [false, true] {
                for b in [0, 1, 200] {
                    agree!(tuples((b, (x * y, z)), (b, 3, 100)));
                }
            }
            let (p, q) = (Point { x, y }, Point { x: y, y: x });
            for n in [0, 3] {
                agree!(s = p => structs(p, &Pair(n, q), s));
                agree!(s = 9u8 => references(&(n as u8, &x), &[p, q], Some(s)));
                agree!(parameters(&(n as u8), (4, p), q, Unit, 250));
            }
            agree!(references(&(7u8, &y), &[p; 0], None::<&mut u8>));
        }
    }
    agree!(unit_struct(Unit, None::<Unit>));
    agree!(unit_struct(Unit, Some(Unit)));
}
