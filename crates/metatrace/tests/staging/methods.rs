//! Methods that are found in odd ways: through author-defined traits in generic code, with a turbofish, under the names of
//! std's blanket methods; and clones of marked types.

use crate::harness::{D, agree, event, make};
use metatrace::{jit, residual};

#[jit]
trait Step {
    fn step(&mut self, by: i64) -> i64;
    fn make(n: i64) -> Self;
    fn longest<'a>(&'a self, other: &'a Self) -> &'a Self;
    fn name(&self, _: &str) -> &str;
    fn finish(self, log: &mut Vec<i64>) -> i64;
    /// Impls may leave it out, so it has no twin.
    #[allow(dead_code)]
    fn unstaged(&self) -> Vec<String> {
        Vec::new()
    }
}

#[jit]
struct Up {
    n: i64,
    d: D,
}

#[jit]
struct Down {
    n: i64,
}

#[jit]
impl Step for Up {
    fn step(&mut self, by: i64) -> i64 {
        self.n += by;
        self.n
    }

    fn make(n: i64) -> Up {
        Up { n, d: make(n as u32) }
    }

    fn longest<'a>(&'a self, other: &'a Up) -> &'a Up {
        if self.n > other.n { self } else { other }
    }

    fn name(&self, _: &str) -> &str {
        "up"
    }

    fn finish(self, log: &mut Vec<i64>) -> i64 {
        log.push(self.d.0 as i64);
        self.n
    }
}

#[jit]
impl Step for Down {
    fn step(&mut self, by: i64) -> i64 {
        self.n -= by;
        self.n * 2
    }

    fn make(n: i64) -> Down {
        Down { n }
    }

    fn longest<'a>(&'a self, _: &'a Down) -> &'a Down {
        self
    }

    #[jit::dont_look_inside]
    fn name(&self, _: &str) -> &str {
        "downwards"
    }

    fn finish(self, log: &mut Vec<i64>) -> i64 {
        log.push(-1);
        self.n
    }
}

#[jit]
fn steps<T: Step>(t: &mut T, n: i64, log: &mut Vec<i64>) -> i64 {
    let mut other = T::make(n);
    let x = t.step(n) + t.step(n + 1) + other.step(3);
    let name = t.longest(&other).name("").len() as i64;
    x + name + other.finish(log)
}

#[jit]
fn both(n: i64, log: &mut Vec<i64>) -> i64 {
    let mut up = Up::make(n);
    let mut down = Down::make(n);
    steps(&mut up, n, log) + steps(&mut down, n, log) * 1000
}

#[jit]
trait Combine<T> {
    fn combine(&self, with: T) -> T;
}

#[jit]
impl Combine<i64> for Down {
    fn combine(&self, with: i64) -> i64 {
        self.n * with
    }
}

#[jit]
impl Combine<(u8, bool)> for Down {
    fn combine(&self, (n, c): (u8, bool)) -> (u8, bool) {
        (n ^ self.n as u8, !c)
    }
}

#[jit]
fn combined<C: Combine<i64> + Combine<(u8, bool)>>(c: &C, n: i64) -> i64 {
    let (m, _) = c.combine((n as u8, true));
    c.combine(n) + m as i64
}

#[jit]
fn combines(n: i64) -> i64 {
    let d = Down { n: 7 };
    combined(&d, n)
}

#[jit]
impl Down {
    fn same<T>(&self, t: T) -> T {
        t
    }

    fn converted<T: From<u8>>(&self) -> T {
        residual!(T::from(self.n as u8))
    }

    fn swapped<T: Copy, U: Copy>(&self, t: T, u: U) -> (U, T) {
        (u, t)
    }

    fn clone(&self) -> Down {
        Down { n: self.n + 1 }
    }

    fn to_owned(&self) -> i64 {
        self.n * 2
    }

    fn into(self) -> i64 {
        self.n * 3
    }
}

#[jit]
fn turbofish(n: i64) -> i64 {
    let s = Down { n };
    let x = s.same::<i64>(n);
    let y = s.converted::<i64>();
    let z = s.converted::<i16>();
    let (u, t) = s.swapped::<u8, _>(1, z);
    x + y + t as i64 + u as i64
}

#[jit]
fn names_of_blanket_methods(n: i64) -> i64 {
    let s = Down { n };
    let c = s.clone();
    let t = c.to_owned();
    t + s.into()
}

#[jit]
#[derive(Debug, Clone, PartialEq)]
#[repr(u8)]
enum Either {
    One { a: i64, b: Vec<u8> },
    Other(i64),
    Neither,
}

#[jit]
#[derive(Debug, Clone, PartialEq)]
struct Whole {
    n: i64,
    bytes: Vec<u8>,
    either: Either,
    counted: Counted,
}

#[jit]
#[derive(Debug, Clone, Copy, PartialEq)]
struct Plain {
    n: i64,
    m: u8,
}

#[jit]
#[derive(Debug, PartialEq)]
struct Counted(u32);

impl Clone for Counted {
    fn clone(&self) -> Counted {
        event(format_args!("clone {}", self.0));
        Counted(self.0 + 1)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        event(format_args!("drop {}", self.0));
    }
}

#[jit]
fn clones(n: i64) -> i64 {
    let s = Whole {
        n,
        bytes: vec![1, 2],
        either: if n == 7 {
            Either::Neither
        } else if n > 3 {
            Either::One { a: n, b: vec![7] }
        } else {
            Either::Other(n)
        },
        counted: Counted(n as u32),
    };
    let mut t = s.clone();
    t.bytes.push(3);
    if let Either::Neither = t.either {
        return 0;
    }
    let p = Plain { n, m: 2 };
    let q = p.clone();
    let e = s.either.clone();
    let c = t.counted.clone();
    (t.bytes.len() + s.bytes.len()) as i64 + q.n + (e == s.either) as i64 + (t == s) as i64 + c.0 as i64
}

#[test]
fn generic_code_calls_methods_of_author_defined_traits() {
    for n in 0..8 {
        agree!(s = Vec::new() => both(n, s));
        agree!(combines(n));
    }
}

#[test]
fn turbofish_on_methods() {
    for n in 0..8 {
        agree!(turbofish(n));
    }
}

#[test]
fn methods_named_like_std_s() {
    for n in 0..8 {
        agree!(names_of_blanket_methods(n));
    }
}

#[test]
fn marked_types_are_cloned() {
    for n in 0..8 {
        agree!(clones(n));
    }
}
