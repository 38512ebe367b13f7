//! Evaluation order: of operands, arguments, receivers, places; and what borrows see.

use crate::harness::agree;
use metatrace::jit;

#[jit]
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
pub enum V {
    I(i64),
    P(i64, u8),
    N,
}

#[jit]
#[derive(Clone, Copy, Debug)]
pub struct Point {
    x: i64,
    y: i64,
}

#[jit]
#[derive(Clone, Debug)]
pub struct S<'a> {
    a: i64,
    o: Option<i64>,
    v: Vec<i64>,
    p: &'a [i64],
    e: V,
    q: &'a Point,
    r: &'a Point,
}

#[jit]
impl V {
    fn sum(self, o: V) -> i64 {
        match (self, o) {
            (V::I(a), V::I(b)) => a * 100 + b,
            (V::P(a, k), x) if k > 3 => a + k as i64 + x.one(),
            (V::P(a, _), V::N) | (V::N, V::P(a, _)) => a,
            (V::P(..), _) | (_, V::P(..)) => -3,
            _ => -1,
        }
    }

    fn one(&self) -> i64 {
        match self {
            V::I(a) => *a,
            V::P(a, b @ 1..=9) => *a - *b as i64,
            V::P(a, _) => *a,
            V::N => 0,
        }
    }
}

#[jit]
impl Point {
    fn plus(&self, n: i64) -> i64 {
        self.x * 1000 + n + self.y
    }
}

#[jit]
impl<'a> S<'a> {
    fn next(&mut self) -> i64 {
        self.a += 1;
        self.e = V::I(self.a);
        self.q = self.r;
        self.a
    }

    fn receiver_value(&mut self) -> i64 {
        self.a.wrapping_mul(self.next())
    }

    fn receiver_enum(&mut self) -> i64 {
        self.e.sum(V::I(self.next()))
    }

    fn receiver_through_reference(&mut self) -> i64 {
        self.q.plus(self.next())
    }

    fn operands(&mut self) -> i64 {
        self.a * 10 + self.next() * 100 + self.a - self.next()
    }

    fn two_phase(&mut self) -> usize {
        self.v.push(self.v.len() as i64);
        let n = self.v.len();
        self.v[n - 1] += self.v[0];
        self.v.len()
    }

    fn places(&mut self, mut i: usize) -> usize {
        self.v[{
            i += 1;
            i
        }] = {
            i += 1;
            i as i64
        };
        self.v[i] += {
            i += 1;
            self.a
        };
        self.v[i % 2] -= self.next();
        i
    }

    fn scrutinee(&mut self) -> i64 {
        let n = match self.a {
            n => {
                self.a = 7;
                n
            }
        };
        if let Some(k) = self.o {
            self.o = None;
            n + k
        } else {
            self.o = Some(n);
            n
        }
    }

    fn swapped_fields(&mut self) -> i64 {
        let (x, y) = (self.a, self.p[0]);
        let (x, y) = (y, x);
        let p = Point {
            y: self.next(),
            x: self.next(),
        };
        let q = Point { x: self.next(), ..p };
        p.x * 100 + p.y + x - y + q.x * 10_000 + q.y
    }

    fn assignments(&mut self) -> i64 {
        let (mut x, mut y) = (1, 2);
        (x, y) = (y, x);
        (x, self.a) = (self.next(), x);
        (self.v[0], _) = (self.next(), self.next());
        Point { x, y } = Point { y: x, x: y };
        (x, (y, ..)) = (y, (x, y));
        _ = self.next();
        x * 10 + y
    }

    fn index_then_panic(&mut self) -> i64 {
        self.v[99] = self.next();
        0
    }
}

#[jit]
fn three(a: i64, b: i64, c: i64) -> i64 {
    a * 100 + b * 10 + c
}

#[jit]
fn values(mut x: i64) -> i64 {
    let t = (
        x,
        {
            x += 1;
            x
        },
        x,
    );
    let a = three(
        x,
        {
            x += 5;
            x
        },
        {
            x *= 2;
            x
        },
    );
    x = x + {
        x += 1;
        x
    };
    x += {
        x += 1;
        x
    };
    let b = x == {
        x += 1;
        x
    };
    let c = x < {
        x += 1;
        x
    } && {
        x += 1;
        x > 3
    } || {
        x += 100;
        false
    };
    let d = [
        x,
        {
            x -= 1;
            x
        },
        x,
    ][(x & 1) as usize];
    t.0 * 7 + t.1 * 11 + t.2 * 13 + a + x + b as i64 + c as i64 + d
}

#[jit]
fn receiver(mut x: u8) -> u8 {
    x.wrapping_add({
        x = x.wrapping_mul(3);
        x
    })
}

#[jit]
fn shadows(x: u8) -> u8 {
    let x = x.wrapping_add(1);
    let x = {
        let x = x.wrapping_mul(2);
        x
    };
    for x in 0..3 {
        let _ = x;
    }
    x
}

macro_rules! methods {
    ($($name:ident($($arg:ident: $t:ty),*) -> $r:ty;)*) => {$(
        #[jit]
        fn $name(s: &mut S<'_> $(, $arg: $t)*) -> $r {
            s.$name($($arg),*)
        }
    )*};
}
methods! {
    receiver_value() -> i64;
    receiver_enum() -> i64;
    receiver_through_reference() -> i64;
    operands() -> i64;
    two_phase() -> usize;
    places(i: usize) -> usize;
    scrutinee() -> i64;
    swapped_fields() -> i64;
    assignments() -> i64;
    index_then_panic() -> i64;
}

#[jit]
fn sum(a: V, b: V) -> i64 {
    a.sum(b)
}

#[test]
fn methods() {
    let (q, r) = (Point { x: 5, y: 6 }, Point { x: 8, y: 9 });
    let numbers = [4, 5, 6, 7, 8, 9, 1, 2, 3, 4];
    for e in [V::N, V::I(4), V::P(5, 0), V::P(6, 7)] {
        for n in 0..6 {
            for o in [None, Some(n)] {
                let s = || S {
                    a: n * 3,
                    o,
                    v: (0..n + 2).collect(),
                    p: &numbers[..1 + n as usize],
                    e,
                    q: &q,
                    r: &r,
                };
                agree!(s = s() => receiver_value(s));
                agree!(s = s() => receiver_enum(s));
                agree!(s = s() => receiver_through_reference(s));
                agree!(s = s() => operands(s));
                agree!(s = s() => two_phase(s));
                agree!(s = s() => places(s, 0));
                agree!(s = s() => places(s, n as usize));
                agree!(s = s() => scrutinee(s));
                agree!(s = s() => swapped_fields(s));
                agree!(s = s() => assignments(s));
                agree!(s = s() => index_then_panic(s));
            }
        }
    }
}

#[test]
fn operands_and_arguments() {
    for x in -20..60 {
        agree!(values(x));
    }
    for x in 0..=255 {
        agree!(receiver(x));
        agree!(shadows(x));
    }
    let es = [V::N, V::I(1), V::I(20), V::P(5, 0), V::P(6, 7), V::P(7, 150)];
    for a in es {
        for b in es {
            agree!(sum(a, b));
        }
    }
}
