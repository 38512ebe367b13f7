//! Moves and drops: what is dropped, once, and when: locals, temporaries, moves, partial moves, assignments, unwinding.
//!
//! This module is compiled in the editions 2021 (by `tests/edition-2021`) and 2024, which differ in when they drop the temporaries of a block's tail
//! and of an `if let`.

use crate::harness::{D, agree, event, log, make};
use metatrace::jit;

/// `Some(d)` if `c`.
#[jit::dont_look_inside]
fn some(d: D, c: bool) -> Option<D> {
    if c { Some(d) } else { None }
}

#[jit::dont_look_inside]
fn eat(d: D, e: D) {
    log(d.0 + e.0);
}

#[jit::dont_look_inside]
fn list(n: u32) -> Vec<D> {
    (0..n).map(|i| D(i + 300)).collect()
}

#[jit::dont_look_inside]
fn fail_at(n: u32, limit: u32) {
    event(format_args!("fail_at {n}"));
    assert!(n < limit, "{n} is too much");
}

#[jit]
#[derive(Debug)]
#[repr(u8)]
enum E {
    A(D),
    B(u8, D),
    C,
    Two { x: D, y: D, n: u8 },
}

#[jit]
#[derive(Debug)]
#[allow(dead_code)]
#[repr(u8)]
enum Error {
    Text(String, D),
    No,
}

#[jit]
#[derive(Debug)]
struct Why(D);

impl From<Why> for Error {
    fn from(why: Why) -> Error {
        Error::Text("why".into(), D(why.0.0 + 500))
    }
}

#[jit]
#[derive(Debug)]
struct P {
    a: D,
    b: D,
    n: u32,
}

#[jit]
impl D {
    fn finish(self, n: u32) -> u32 {
        log(self.0);
        self.0 + n
    }

    fn number(&self) -> u32 {
        self.0
    }

    fn sum(&self, other: &D) -> u32 {
        self.0 + other.0
    }
}

#[jit]
fn take(d: D, c: bool) -> u32 {
    let x = make(90);
    if c {
        log(d.0);
        return x.0;
    }
    d.0
}

#[jit]
fn scopes(c: bool) {
    let a = make(1);
    let b = make(2);
    {
        let _c = make(3);
        log(0);
    }
    let a = if c { a } else { make(4) };
    let moved = b;
    if c {
        take(a, c);
    }
    log(moved.0);
}

#[jit]
fn temporaries(c: bool) {
    make(1);
    log(0);
    let _ = make(2);
    log(1);
    let _x = make(3);
    _ = make(4);
    log(2);
    let n = make(6).0 + make(7).number();
    log(n);
    if make(8).0 == 8 && make(9).0 == c as u32 {
        log(3)
    }
    match make(10).0 {
        10 => log(4),
        _ => log(5),
    }
    match some(make(11), c).is_some() {
        true => log(6),
        false => log(7),
    };
    log(make(12).sum(&make(13)));
    while make(14).0 == 15 {}
}

#[jit]
fn extended(c: bool) -> u32 {
    let r = &make(1);
    log(r.0);
    let (s, t) = (&make(2), make(3));
    log(s.0 + t.0);
    let p = Pair {
        left: &make(4),
        right: if c { 5 } else { 6 },
    };
    log(p.left.0);
    let q = Some(&make(7));
    log(9);
    let n = &make(8).0;
    log(*n);
    let array = [&make(10), &make(11)];
    match q {
        Some(d) => d.0 + r.0 + array[1].0 + p.right,
        None => 0,
    }
}

#[jit]
struct Pair<'a> {
    left: &'a D,
    right: u32,
}

#[jit]
fn if_lets(c: bool) -> u32 {
    if let Some(x) = some(make(12), c).as_ref() {
        log(x.0)
    } else {
        log(8)
    }
    if let Some(x) = some(make(1), c) {
        log(x.0)
    } else if let Some(z) = some(make(3), !c) {
        log(z.0)
    } else {
        log(4)
    }
    while let Some(x) = some(make(5), false) {
        log(x.0);
    }
    if let Some(y) = some(make(21), c) { y.0 } else { 22 }
}

#[jit]
fn tails(c: bool) -> u32 {
    let k = {
        let a = make(13);
        a.0 + make(14).0
    };
    log(k);
    let n = {
        let a = make(15);
        match some(make(16), c).as_ref() {
            Some(d) => d.0 + a.0,
            None => 1,
        }
    };
    log(n);
    let last = make(17);
    last.sum(&make(18))
}

#[jit]
fn let_else(n: u32) -> u32 {
    let a = make(1);
    let Some(b) = some(make(2), n > 0) else {
        log(3);
        return a.0;
    };
    let Some(c) = Holder(some(make(4), n > 1).as_ref()).map_number() else {
        return b.0;
    };
    c + b.0
}

trait MapNumber {
    fn map_number(&self) -> Option<u32>;
}

#[jit]
impl MapNumber for Holder<'_> {
    fn map_number(&self) -> Option<u32> {
        match self.0 {
            Some(d) => Some(d.0),
            None => None,
        }
    }
}

#[jit]
struct Holder<'a>(Option<&'a D>);

#[jit]
#[allow(unused_assignments)]
fn assignments(c: bool) {
    let mut a = make(1);
    a = make(2);
    if c {
        eat(a, make(5));
        a = make(3);
    }
    log(0);
    let x;
    if c {
        x = make(4);
        log(x.0);
    }
    let mut p = P {
        a: make(6),
        b: make(7),
        n: 8,
    };
    p.a = make(9);
    p.n += p.b.0;
    log(p.n);
    let mut o = some(make(10), c);
    o = None;
    log(1);
    o = some(make(11), c);
    if let Some(d) = &mut o {
        *d = make(12);
    }
    log(a.0);
    p.b = a;
}

#[jit]
fn vectors(c: bool) {
    let mut v = Vec::new();
    v.push(make(10));
    v.push(make(11));
    v[0] = make(12);
    log(1);
    v.pop();
    log(2);
    v.push(make(13));
    let old = std::mem::replace(&mut v[0], make(14));
    log(old.0);
    if c {
        v.truncate(1);
        log(3);
    }
    while let Some(d) = v.pop() {
        log(d.0);
    }
    let b = Box::new(make(20));
    log(b.0);
    let n = list(2).pop().unwrap().0;
    log(n);
    for d in &list(3) {
        log(d.0);
        if d.0 == 301 {
            break;
        }
    }
}

#[jit]
fn loops(n: u32) -> u32 {
    for i in 0..n {
        let _a = make(i);
        if i == 2 {
            continue;
        }
        let _b = make(i + 10);
        if i == 4 {
            break;
        }
        log(i);
    }
    let mut i = 0;
    let d = loop {
        let a = make(i + 20);
        let _b = make(i + 30);
        i += 1;
        if i > n {
            break a;
        }
    };
    'outer: loop {
        let _c = make(40);
        for j in 0..3 {
            let _e = make(50 + j);
            if j == n {
                break 'outer;
            }
            if j == 1 {
                i += 5;
                if i > 20 {
                    break 'outer;
                }
                continue 'outer;
            }
        }
    }
    d.0
}

#[jit]
fn moved_in_loop(n: u32) -> Option<D> {
    let mut held = None;
    let mut i = 0;
    while i < n {
        let d = make(i);
        if i % 2 == 0 {
            held = Some(d);
        } else if i == 3 {
            eat(d, make(60));
        }
        i += 1;
    }
    held
}

#[jit]
fn early(n: u32) -> Option<D> {
    let a = make(1);
    if n == 0 {
        return Some(a);
    }
    let b = make(2);
    let e = some(make(4), n > 2)?;
    if n == 3 { Some(e) } else { Some(b) }
}

#[jit]
fn fails(n: u32) -> Result<D, Why> {
    let a = make(70);
    if n == 0 { Err(Why(a)) } else { Ok(a) }
}

#[jit]
fn tries(n: u32) -> Result<P, Error> {
    let z = make(60);
    if n == 9 {
        return Err(Error::No);
    }
    if n == 8 {
        return Err(Error::Text(format!("n is {n}"), z));
    }
    let p = P {
        a: make(1),
        b: fails(n)?,
        n: 3,
    };
    eat(make(2), fails(n - 1)?);
    Ok(p)
}

#[jit]
fn matches(e: E, n: u8) -> u32 {
    let r = match e {
        E::A(d) if d.0 > 5 => take(d, true),
        E::B(k, d) if k == n => d.0,
        E::A(d) | E::B(_, d) => {
            log(d.0);
            1
        }
        E::Two { x, y: _, n: 3 } => x.0,
        E::Two { n: 4, .. } => 4,
        E::Two { x, y, .. } => x.finish(y.0),
        E::C => 2,
    };
    log(r);
    r
}

#[jit]
fn guarded(e: E, n: u32) -> u32 {
    match e {
        E::A(d) if d.0 > n => d.0,
        E::B(_, d) if n > 5 && d.number() == n => d.0,
        _ => {
            log(7);
            2
        }
    }
}

#[jit]
fn pairs(c: bool) -> u32 {
    let (x, _y) = (make(1), make(2));
    log(0);
    let _t = (make(3), make(4));
    match (some(make(5), c), some(make(6), !c)) {
        (Some(a), None) => log(a.0),
        (None, Some(b)) => log(b.0 + 1),
        _ => log(3),
    }
    x.0
}

#[jit]
fn partial_fields(c: bool) -> u32 {
    let p = P {
        a: make(1),
        b: make(2),
        n: 3,
    };
    let x = p.a;
    log(0);
    if c {
        eat(x, make(4));
        log(5);
        return p.n;
    }
    x.0 + p.b.0
}

#[jit]
fn partial_tuples(c: bool) -> u32 {
    match (some(make(1), true), some(make(2), c)) {
        (Some(a), _) => a.0,
        _ => 0,
    }
}

#[jit]
fn partial_patterns(c: bool) -> u32 {
    let P { a, n, .. } = P {
        a: make(1),
        b: make(2),
        n: 3,
    };
    log(n);
    let (left, _) = (make(5), make(6));
    log(7);
    if c {
        return left.0;
    }
    a.0
}

#[jit]
fn partial_and_refilled(c: bool) -> u32 {
    let mut p = P {
        a: make(1),
        b: make(2),
        n: 3,
    };
    if c {
        eat(p.a, p.b);
        p.a = make(4);
        p.b = make(5);
    }
    log(6);
    p = P {
        a: p.a,
        b: make(7),
        n: 8,
    };
    let moved = p;
    log(9);
    moved.n
}

#[jit]
fn parameters(_: D, a: D, (b, _): (D, D), _unused: D) -> u32 {
    log(0);
    a.0 + b.0
}

#[jit]
#[allow(path_statements)]
fn arguments(c: bool) -> Option<u32> {
    eat(
        make(1),
        match some(make(2), c) {
            Some(d) => d,
            None => return None,
        },
    );
    log(make(9).finish(some(make(3), c)?.sum(&make(4))));
    let x = if c { make(5) } else { make(6) };
    let y = match c {
        true => x,
        false => make(7),
    };
    let _ = y;
    _ = y;
    log(1);
    match y {
        _ => log(2),
    }
    y;
    log(3);
    let mut i = 0;
    while some(make(i + 40), i < 2).is_some() {
        i += 1;
        if i == 5 {
            return Some(make(50).0);
        }
    }
    let v = loop {
        break make(60).0 + {
            let z = make(61);
            z.0
        };
    };
    Some(v)
}

#[jit]
fn unwinds(limit: u32, c: bool) -> u32 {
    let a = make(1);
    fail_at(1, limit);
    let b = some(make(2), c);
    fail_at(2, limit);
    eat(make(3), {
        fail_at(3, limit);
        make(4)
    });
    let mut v = Vec::new();
    v.push(make(5));
    let p = P {
        a: make(6),
        b: {
            fail_at(4, limit);
            make(7)
        },
        n: 1,
    };
    if let Some(d) = b {
        fail_at(5, limit);
        v.push(d);
    }
    let moved = p.a;
    fail_at(6, limit);
    match (moved, p.n) {
        (d, 1)
            if {
                fail_at(7, limit);
                d.0 == 6
            } =>
        {
            v.push(d)
        }
        _ => log(1),
    }
    let n = inner_unwinds(limit, make(8));
    v[0] = make(9);
    assert!(limit > 10, "at the end {}", v.len());
    a.0 + n
}

#[jit]
fn inner_unwinds(limit: u32, d: D) -> u32 {
    let t = (make(10), make(11));
    let n = t.0.0 - limit;
    fail_at(8, limit);
    drop_in_callee(t.1);
    fail_at(9, limit);
    d.0 + n
}

#[jit]
fn drop_in_callee(_d: D) {}

#[jit]
fn drops_early(n: u32, c: bool) -> u32 {
    let (a, b) = (make(n), make(n + 1));
    let list = vec![make(n + 2), make(n + 3)];
    if c {
        drop(a);
    }
    drop(list);
    log(4);
    drop((b, make(n + 4)));
    n
}

#[jit]
fn strings(a: String, b: &String) -> bool {
    let c: String = format!("{a}!");
    let r = a == c || *b == a;
    let k = a.len() + b.len() > 3;
    r && k && a != c
}

#[jit]
fn shadowed(c: bool) -> u32 {
    let d = make(1);
    let d = P { a: d, b: make(2), n: 3 };
    let d = if c { d.b } else { make(4) };
    d.0
}

/// The temporaries of an `if let` live on in its `else` before edition 2024, and leave with it.
#[jit]
fn if_let_operand(c: bool) -> u32 {
    let n = 1 + if let Some(x) = some(make(1), c).as_ref() {
        log(2);
        x.0
    } else if let Some(y) = some(make(3), !c).as_ref() {
        log(4);
        y.0
    } else {
        5
    };
    log(n);
    n
}

#[jit]
fn if_let_tail(c: bool) -> u32 {
    let a = make(1);
    if let Some(x) = some(make(2), c).as_ref() {
        log(3);
        x.0 + a.0
    } else {
        let b = make(4);
        if let Some(y) = some(make(5), b.0 > 4).as_ref() {
            y.0
        } else {
            log(6);
            b.0
        }
    }
}

/// The temporaries of a tail outlive the block's variables before edition 2024.
#[jit]
fn nested_tails(c: bool) -> u32 {
    let n = {
        let _a = make(1);
        {
            let _b = make(2);
            make(3).0 + {
                log(31);
                make(4).0
            }
        }
    };
    log(n);
    let m = 'block: {
        let _d = make(5);
        if c {
            break 'block make(6).0;
        }
        make(7).0
    };
    log(m);
    loop {
        let _e = make(8);
        if make(9).0 == 9 {
            log(10);
            break make(11).0;
        }
    }
}

/// The right operand's temporaries go with it, the left one's live on.
#[jit]
fn lazy_operands(c: bool) -> u32 {
    let n = (c && make(1).0 == 1) as u32 + make(2).0 + (make(3).0 == 3 || make(4).0 == 4) as u32;
    log(n);
    if (!c || make(5).0 == 6 || make(6).0 == 6) && log_true(7) {
        log(8);
    }
    n
}

#[jit]
fn log_true(n: u32) -> bool {
    log(n);
    true
}

/// A block's value belongs to the statement around the block.
#[jit]
fn discarded(c: bool) -> u32 {
    {
        {
            make(1)
        };
        log(2);
        {
            let _a = make(3);
            {
                make(4)
            };
            log(5);
        }
        log(6);
    }
    {
        if c {
            make(7)
        } else {
            make(8)
        };
        log(9);
        match c {
            true => {
                let a = make(10);
                log(a.0);
                a
            }
            false => make(11),
        };
        log(12);
    }
    let n = { { make(13) }.0 } + { log_true(14) as u32 };
    log(n);
    n
}

/// What the update does not take of its base stays there.
#[jit]
fn updates(c: bool) -> u32 {
    let base = P {
        a: make(1),
        b: make(2),
        n: 3,
    };
    let one = P { n: 4, ..base };
    let two = if c {
        P {
            a: make(5),
            n: 6,
            ..one
        }
    } else {
        P {
            b: make(7),
            a: make(8),
            ..P {
                a: make(9),
                b: make(10),
                n: 11,
            }
        }
    };
    log(two.a.0);
    log(two.b.0);
    two.n
}

/// What the pattern did not take goes before the `else`.
#[jit]
fn let_else_fails(n: u32) -> u32 {
    let (d, Some(x)) = (make(1), some(make(2), n == 0)) else {
        log(3);
        let Some(y) = number(some(make(4), n > 1).as_ref(), make(5)) else {
            log(6);
            return 7;
        };
        return y;
    };
    let E::Two { x: e, n: 1, .. } = two(n + 1) else {
        log(8);
        return x.0;
    };
    d.0 + x.0 + e.0
}

#[jit]
fn two(n: u32) -> E {
    E::Two {
        x: make(10),
        y: make(11),
        n: n as u8,
    }
}

#[jit]
fn number(d: Option<&D>, other: D) -> Option<u32> {
    match d {
        Some(d) => Some(d.0 + other.0),
        None => None,
    }
}

#[jit]
fn leaving_an_else(n: u32) -> Result<u32, u32> {
    let _a = make(1);
    let mut k = 0;
    loop {
        let _b = make(2);
        k += 1;
        if let Some(x) = some(make(3), k > n).as_ref() {
            log(x.0);
        } else {
            match n {
                0 => return Ok(make(4).0),
                1 => break,
                2 => {
                    log(5);
                    if k < 2 {
                        continue;
                    }
                    Err(make(6).0)?
                }
                3 => panic!("{}", make(7).0),
                _ => {}
            }
        }
        if k > 5 {
            return Ok(k);
        }
    }
    if let Some(x) = some(make(8), n > 4).as_ref() {
        Ok(x.0)
    } else {
        Err(n)
    }
}

macro_rules! for_both {
    ($($f:ident)*) => {$(
        for c in [false, true] {
            agree!($f(c));
        }
    )*};
}

#[test]
fn scopes_and_temporaries() {
    for_both!(scopes temporaries extended if_lets tails assignments vectors pairs arguments shadowed);
    for_both!(if_let_operand if_let_tail nested_tails lazy_operands discarded updates);
    for n in 0..3 {
        agree!(let_else_fails(n));
    }
    for n in 0..6 {
        agree!(leaving_an_else(n));
    }
    for n in 0..3 {
        agree!(let_else(n));
    }
    agree!(parameters(make(1), make(2), (make(3), make(4)), make(5)));
}

#[test]
fn partial_moves() {
    for_both!(partial_fields partial_tuples partial_patterns partial_and_refilled);
}

#[test]
fn control_flow() {
    for n in 0..8 {
        agree!(loops(n));
        agree!(moved_in_loop(n));
        agree!(early(n));
        agree!(take(make(n), n > 3));
    }
    for n in 1..10 {
        agree!(tries(n));
        agree!(fails(n - 1));
    }
}

#[test]
fn patterns() {
    for n in 0..10u8 {
        agree!(matches(E::A(make(n as u32)), 3));
        agree!(matches(E::B(n, make(n as u32)), 3));
        agree!(matches(
            E::Two {
                x: make(1),
                y: make(2),
                n
            },
            3
        ));
        agree!(guarded(E::A(make(n as u32)), 4));
        agree!(guarded(E::B(0, make(n as u32)), n as u32 | 6));
        agree!(guarded(E::C, n as u32));
    }
    agree!(matches(E::C, 3));
}

#[test]
fn unwinding() {
    for limit in 0..14 {
        agree!(unwinds(limit, false));
        agree!(unwinds(limit, true));
    }
}

#[test]
fn dropped_by_calls() {
    agree!(drops_early(10, true));
    agree!(drops_early(10, false));
}

#[test]
fn heap() {
    for a in ["", "x", "xyz"] {
        for b in ["", "xyz"] {
            agree!(strings(a.to_string(), &b.to_string()));
        }
    }
}
