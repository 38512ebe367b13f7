//! Macros of std in staged code: what formats is outlined, with the same text; assertions panic with the same message.

use crate::harness::{D, agree, make};
use metatrace::jit;
use std::fmt::Write as _;

#[jit]
#[derive(Clone, Copy, Debug)]
struct Point {
    x: i64,
    y: f64,
}

#[jit]
fn formatting(a: u8, s: &str, p: Point, o: &Option<u8>) -> String {
    let width = 6;
    let text = format!("{a} {} {s:?} {:>5}|{p:?}", a as u32 + 1, p.x);
    let more = format!(
        "{0:1$.2} {named}{{a}} {a:#04x} {a:>width$} {:?}",
        p.y,
        8,
        named = s.len()
    );
    let none = format!("literal");
    format!("{text} {more} {none} {o:?} {} {}", 5, "x")
}

#[jit]
fn writing(out: &mut String, n: u8) -> Result<usize, std::fmt::Error> {
    write!(out, "{n}")?;
    writeln!(out, " and {}", n / 2)?;
    let mut own = String::new();
    write!(own, "{n:?}")?;
    let r = &mut own;
    write!(r, "!")?;
    out.push_str(&own);
    Ok(out.len())
}

#[jit]
fn vectors(n: u8, d: Option<u8>) -> (Vec<u8>, Vec<u16>, Vec<Option<u8>>, usize) {
    let empty: Vec<u8> = vec![];
    let list = vec![n, n / 2, 7];
    let repeated = vec![n as u16; (n % 4) as usize];
    let owned = vec![make(1), make(2)];
    (list, repeated, vec![d, None], empty.len() + owned.len())
}

#[jit]
fn matching(n: u8, o: Option<u8>) -> (bool, bool, bool, bool) {
    (
        matches!(n, 0..=9 | 200),
        matches!(o, Some(k) if k > n),
        matches!(o, None | Some(3)) && !matches!(n, 7),
        matches!(Point { x: n as i64, y: 1.0 }, Point { x: 0..=4, .. }),
    )
}

#[jit]
fn panics(n: u8, s: &str) -> u8 {
    match n {
        0 => panic!("plain"),
        1 => panic!("{n} and {}", s),
        2 => unreachable!(),
        3 => unreachable!("n = {n}"),
        4 => todo!(),
        5 => todo!("later: {}", n + 1),
        6 => unimplemented!("{s}"),
        7 => panic!(),
        _ => n,
    }
}

#[jit]
fn assertions(n: u8, m: u8) -> u8 {
    assert!(n != 1);
    assert!(n != 2 && m != 2, "n = {n}, m = {}", m);
    assert_eq!(n % 10, m % 10);
    assert_ne!(n, 13);
    assert_eq!(n / 100, 0, "too large: {}", {
        let k = n;
        k
    });
    debug_assert!(m < 50, "debug");
    debug_assert_eq!(n / 40, 0);
    n
}

#[jit]
fn lazily_formatted(n: u8, d: &mut Vec<u8>) -> u8 {
    assert!(n < 3, "{}", {
        d.push(n);
        d.len()
    });
    n
}

#[jit]
fn droppable_arguments(n: u8) -> String {
    let d = make(1);
    let text = format!("{:?} {}", make(2), d.0);
    assert_eq!(make(3), D(3), "{:?}", make(4));
    if n > 3 {
        panic!("{:?} {:?}", d, make(5));
    }
    text
}

#[jit]
fn compile_time() -> (&'static str, &'static str, bool, u32) {
    (concat!("a", 1, 'c'), stringify!(x + y), cfg!(debug_assertions), line!())
}

#[test]
fn text() {
    for n in [0, 1, 9, 77, 255] {
        for s in ["", "two words", "\"{}\""] {
            agree!(formatting(
                n,
                s,
                Point {
                    x: -5,
                    y: n as f64 / 7.0
                },
                &Some(n)
            ));
        }
        agree!(s = String::from("> ") => writing(s, n));
        agree!(vectors(n, Some(n)));
    }
    agree!(compile_time());
}

#[test]
fn messages() {
    for n in 0..15 {
        agree!(panics(n, "why"));
        agree!(droppable_arguments(n));
        agree!(s = vec![5] => lazily_formatted(n, s));
        for m in [0, 1, 2, 3, 10, 13] {
            agree!(assertions(n, m));
            agree!(assertions(n + 100, m));
            agree!(assertions(m + 40, m));
            agree!(assertions(m, m + 50));
        }
    }
}

#[test]
fn predicates() {
    for n in 0..=255 {
        for o in [None, Some(3), Some(n), Some(100)] {
            agree!(matching(n, o));
        }
    }
}
