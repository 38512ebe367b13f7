//! Names: fields, methods and variables called like what handles have, imports, renames, nesting, macros, hygiene.

use crate::harness::agree;
use metatrace::jit;

mod library {
    use metatrace::jit;

    #[jit]
    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(u8)]
    pub enum Cell {
        Num(i64),
        Sym(u32),
        Nil,
        At { line: u32, column: u32 },
    }

    #[jit]
    #[derive(Clone, Debug)]
    pub struct Heap {
        pub cells: Vec<Cell>,
        pub top: usize,
        secret: u8,
    }

    #[jit]
    impl Heap {
        pub const CAP: usize = 10;

        pub fn new(cells: Vec<Cell>) -> Heap {
            Heap {
                secret: 3,
                top: 0,
                cells,
            }
        }

        pub fn car(&self, i: usize) -> Cell {
            self.cells[i]
        }

        pub fn bump(n: usize) -> usize {
            n + Self::CAP
        }

        pub fn secret(&self) -> u8 {
            Self::twice(self.secret)
        }

        fn twice(n: u8) -> u8 {
            n * 2
        }
    }

    #[jit]
    pub fn inc(x: usize) -> usize {
        x + 1
    }

    pub mod deep {
        use metatrace::jit;

        #[jit]
        pub fn dec(x: usize) -> usize {
            x.wrapping_sub(super::inc(0))
        }

        #[jit]
        #[derive(Clone, Copy, Debug)]
        pub struct Position {
            pub line: u32,
        }
    }

    pub mod variants {
        pub use super::Cell::*;
    }
}

use library::deep::{self, dec as minus};
use library::{Cell, Cell as C, Heap, inc, variants};

#[jit]
fn across_modules(h: &mut Heap, i: usize) -> i64 {
    let c = h.car(inc(i));
    let k = deep::dec(minus(i));
    let z = Heap::bump(k) % 1000;
    h.top = z;
    match c {
        C::Num(n) => n + z as i64,
        Cell::Sym(s) => s as i64,
        library::Cell::At { line, column: c } => line as i64 - c as i64,
        C::Nil => Heap::CAP as i64 + h.secret() as i64,
    }
}

#[jit]
fn reexported(c: Cell) -> Cell {
    match c {
        variants::Num(n) => variants::Sym(n as u32),
        variants::Sym(n) => Cell::At { column: n, line: 1 },
        variants::Nil => variants::Num(2),
        Cell::At { .. } => variants::Nil,
    }
}

#[jit]
fn struct_paths(line: u32) -> u32 {
    let p = deep::Position { line };
    let deep::Position { line } = p;
    let h = library::Heap::new(vec![Cell::Nil; 2]);
    line + h.cells.len() as u32
}

/// Methods and fields that handles, or std, might have.
#[jit]
#[derive(Clone, Debug)]
struct Odd {
    len: u8,
    loc: u8,
    id: u16,
    value: u32,
    r#type: u8,
    ptr: i8,
}

#[jit]
impl Odd {
    fn len(&self) -> usize {
        self.len as usize
    }
    fn get(&self) -> u8 {
        self.loc
    }
    fn min(&self, n: u8) -> u8 {
        self.len.min(n)
    }
    fn show(&self) -> u8 {
        1
    }
    fn stage(&self) -> u8 {
        2
    }
    fn build(&self, n: u8) -> u8 {
        n
    }
    fn next(&mut self) -> Option<u8> {
        self.len = self.len.checked_sub(1)?;
        Some(self.len)
    }
    fn eq(&self, n: u8) -> bool {
        self.loc == n
    }
    fn add(&self, n: u8) -> u8 {
        self.len.wrapping_add(n)
    }
    fn id(self) -> u16 {
        self.id
    }
    fn call(&self) -> u32 {
        self.value
    }
    fn r#type(&self) -> u8 {
        self.r#type
    }
    fn deref(&self) -> i8 {
        self.ptr
    }
    fn borrow(&self) -> u8 {
        9
    }
}

#[jit]
fn clashing_methods(o: &mut Odd) -> u64 {
    let mut t = o.len() as u64 + o.get() as u64 + o.min(3) as u64;
    while let Some(n) = o.next() {
        t = t * 3 + n as u64;
    }
    t += o.show() as u64 + o.stage() as u64 + o.build(4) as u64 + o.add(1) as u64 + o.call() as u64;
    t += o.r#type() as u64 + o.deref() as u64 + o.eq(5) as u64;
    t += o.borrow() as u64;
    t
}

#[jit]
fn clashing_fields(o: &Odd) -> u32 {
    o.len as u32 + o.loc as u32 + o.id as u32 + o.value + o.r#type as u32 + (o.ptr as u8) as u32
}

#[jit]
fn by_value(o: Odd) -> u16 {
    o.id()
}

#[jit]
fn clashing_variables(a0: u8, x: u8) -> u8 {
    let r = a0;
    let s = x;
    let j = r.wrapping_add(s);
    let __x1 = j;
    let metatrace = __x1;
    let lit = metatrace / 2;
    let block = { lit };
    let add = block;
    let library = add;
    let inc = inc(library as usize);
    let scope = 'exit: {
        if inc > 100 {
            break 'exit 1;
        }
        inc as u8
    };
    scope
}

trait Host {
    fn read(&mut self) -> u8;
    fn peek(&self, at: usize) -> u8;
    fn cost() -> usize
    where
        Self: Sized;
}

#[jit]
#[derive(Clone, Debug)]
struct Tape {
    at: u8,
}

#[jit]
impl Host for Tape {
    fn read(&mut self) -> u8 {
        self.at = self.at.wrapping_add(1);
        self.peek(Self::cost())
    }
    fn peek(&self, at: usize) -> u8 {
        self.at ^ at as u8
    }
    fn cost() -> usize {
        3
    }
}

/// A trait with the same method names, in scope for every type.
trait Loud {
    fn read(&self) -> u8 {
        99
    }
    fn len(&self) -> u8 {
        98
    }
}
impl Loud for u128 {}

#[jit]
fn trait_methods(t: &mut Tape) -> u64 {
    t.read() as u64 * 1000 + t.peek(5) as u64 + <Tape as Host>::cost() as u64 + Tape::cost() as u64
}

#[jit]
impl From<u8> for Tape {
    fn from(at: u8) -> Tape {
        Tape { at }
    }
}

#[jit]
impl From<u16> for Tape {
    fn from(at: u16) -> Tape {
        Tape { at: at as u8 ^ 0xFF }
    }
}

#[jit]
fn conversions(a: u8, b: u16) -> (u8, u8) {
    (Tape::from(a).at, Tape::from(b).at)
}

fn with_nested(n: u8) -> String {
    #[jit]
    fn nested(x: u8) -> u8 {
        x.wrapping_mul(3)
    }
    agree!(nested(n));
    format!("{}", nested(n))
}

#[jit]
fn items_inside(n: u8) -> u8 {
    const STEP: u8 = 5;
    use library::Cell::Num;
    type Byte = u8;
    #[jit]
    fn helper(n: Byte) -> Byte {
        n.wrapping_add(STEP)
    }
    let k: Byte = helper(n);
    match Num(k as i64) {
        Num(n) if n > 100 => STEP,
        _ => k,
    }
}

macro_rules! in_a_macro {
    ($name:ident, $t:ty, $one:expr, $p:pat => $r:expr) => {
        #[jit]
        fn $name(x: $t) -> $t {
            let hidden = $one;
            let x = x.wrapping_add(hidden);
            match x {
                $p => $r,
                other => other * 2 - $one * 3,
            }
        }
    };
}
in_a_macro!(made_by_macro, u32, 1 + 1, 7 | 9 => 3);

#[jit]
fn factorial(n: u64) -> u64 {
    if n == 0 { 1 } else { n * factorial(n - 1) }
}

#[jit]
fn even(n: u32) -> bool {
    n == 0 || odd(n - 1)
}

#[jit]
fn odd(n: u32) -> bool {
    n != 0 && even(n - 1)
}

fn unmarked(a: &[u8], b: u8) -> u8 {
    a.iter().fold(b, |a, b| a.wrapping_add(*b))
}

#[jit]
fn residual_calls(v: &mut Vec<u8>, a: u8) -> u8 {
    use metatrace::residual;
    let t = residual!(unmarked(&v[..], 3));
    let u = residual!(unmarked(v, a));
    v.push(u);
    residual!(std::cmp::max(t, residual!(self::unmarked(v, 1))))
}

#[jit::elidable]
fn pure(a: u8) -> u8 {
    a / 2
}

#[jit::nounwind]
fn calm(a: u8) -> u8 {
    a ^ 5
}

#[jit::dont_look_inside]
#[jit::nounwind]
fn generic_residual<T: Copy + PartialOrd>(a: T, b: T) -> T {
    if a < b { b } else { a }
}

#[jit::unroll_safe]
fn unrolled(n: u8) -> u8 {
    let mut t = 0;
    for i in 0..n {
        t ^= i;
    }
    t
}

#[jit]
fn marked_calls(a: u8) -> u8 {
    let p = metatrace::promote(a);
    pure(p) ^ calm(a) ^ generic_residual(a, 100) ^ unrolled(a & 15) ^ generic_residual::<i64>(a as i64, -1) as u8
}

#[test]
fn modules_and_imports() {
    let cells = vec![Cell::Num(3), Cell::Sym(9), Cell::Nil, Cell::At { line: 9, column: 10 }];
    for c in &cells {
        agree!(reexported(*c));
    }
    for i in 0..5 {
        agree!(s = Heap::new(cells.clone()) => across_modules(s, i));
        agree!(struct_paths(i as u32));
    }
}

#[test]
fn clashes() {
    for n in [0, 1, 5, 200] {
        let odd = || Odd {
            len: n,
            loc: 5,
            id: 300,
            value: 70_000,
            r#type: n / 3,
            ptr: -3,
        };
        agree!(s = odd() => clashing_methods(s));
        agree!(clashing_fields(&odd()));
        agree!(by_value(odd()));
        agree!(clashing_variables(n, 3));
        agree!(s = Tape { at: n } => trait_methods(s));
        agree!(conversions(n, n as u16 * 100));
    }
    assert_eq!((Loud::read(&1u128), Loud::len(&1u128)), (99, 98));
}

#[test]
fn nesting_and_recursion() {
    for n in 0..30 {
        with_nested(n);
        agree!(items_inside(n * 8));
        agree!(made_by_macro(n as u32));
        agree!(factorial(n as u64));
        agree!(even(n as u32));
    }
    agree!(factorial(0));
}

#[test]
fn marked_functions() {
    for a in 0..=255 {
        agree!(marked_calls(a));
        agree!(s = vec![a; 3] => residual_calls(s, a));
    }
}
