//! Generic functions, impls and traits; lifetimes, written and elided; associated constants and types.

use crate::harness::agree;
use metatrace::jit;

#[jit]
#[derive(Clone, Debug)]
struct Stack<T> {
    items: Vec<T>,
    limit: usize,
}

#[jit]
impl<T: Copy> Stack<T> {
    fn new(limit: usize) -> Self {
        Self {
            items: Vec::new(),
            limit,
        }
    }

    fn push(&mut self, item: T) -> Result<(), T> {
        if self.items.len() >= self.limit {
            return Err(item);
        }
        self.items.push(item);
        Ok(())
    }

    fn top(&self) -> Option<&T> {
        self.items.last()
    }

    fn first(&self) -> T {
        self.items[0]
    }

    fn count(&self) -> usize {
        self.items.len() + self.limit
    }
}

#[jit]
fn use_stack(n: u8) -> (usize, Option<u8>, usize) {
    let mut a = Stack::new(3);
    let mut b: Stack<(u8, i64)> = Stack::new(2);
    let mut failed = 0;
    for i in 0..n {
        if let Err(x) = a.push(i) {
            failed += x as usize;
        }
        if b.push((i, -1)).is_err() {
            failed += 100;
        }
    }
    let top = a.top().copied();
    let sum = if n > 0 {
        a.first() as usize + b.first().0 as usize
    } else {
        0
    };
    (failed, top, a.count() + sum)
}

#[jit]
fn identity<T>(t: T) -> T {
    t
}

#[jit]
fn larger<T: Copy + Bigger>(a: T, b: T) -> T
where
    T: PartialEq,
{
    if T::bigger(a, b) { a } else { b }
}

trait Bigger: metatrace::__stage::AssocIsJit<{ hash("bigger") }, (Self, Self), bool> + Sized {
    fn bigger(a: Self, b: Self) -> bool;
}

#[jit]
#[derive(Clone, Copy, Debug, PartialEq)]
struct Meters(i64);

#[jit]
impl Bigger for Meters {
    fn bigger(a: Meters, b: Meters) -> bool {
        a.0 > b.0
    }
}

/// The hash by which methods are found.
const fn hash(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let (mut hash, mut i) = (0xcbf2_9ce4_8422_2325u64, 0);
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x100_0000_01b3);
        i += 1;
    }
    hash
}

#[jit]
fn use_functions(a: i64, b: u8) -> (i64, u8, bool, i64) {
    let x = identity(a);
    let y = identity::<u8>(b);
    let z = identity(a > 3);
    let w = larger(Meters(a), Meters(b as i64));
    (x, *identity(&y), z, w.0)
}

#[jit]
fn array_len<const N: usize>(a: &[u8; N], n: usize) -> usize {
    let mut t = N;
    for x in a {
        t += *x as usize;
    }
    t + n
}

#[jit]
fn use_const_generics(n: usize) -> usize {
    array_len(&[1, 2, 3], n) + array_len::<1>(&[9], n)
}

#[jit]
#[derive(Clone, Copy, Debug)]
struct Cursor<'p> {
    code: &'p [u8],
    node: &'p Tree<'p>,
    pos: usize,
}

#[jit]
#[derive(Debug)]
struct Tree<'p> {
    kids: &'p [&'p Tree<'p>],
    v: u8,
}

#[jit]
impl<'p> Cursor<'p> {
    fn next(&mut self) -> Option<&'p u8> {
        if self.pos < self.code.len() {
            let r = &self.code[self.pos];
            self.pos += 1;
            Some(r)
        } else {
            None
        }
    }

    fn down(&mut self, i: usize) -> &Tree<'p> {
        self.node = self.node.kids[i];
        self.node
    }

    fn pick<'a>(&'a self, other: &'a Cursor<'p>, c: bool) -> &'a Tree<'p> {
        if c { self.node } else { other.node }
    }

    fn later(&self, key: &u8, other: &Cursor<'_>) -> &u8 {
        let mut i = self.pos;
        while i < self.code.len() && self.code[i] != *key {
            i += other.pos + 1;
        }
        &self.code[i]
    }

    fn of(code: &'p [u8], node: &'p Tree<'p>) -> Self {
        Cursor { code, node, pos: 0 }
    }

    fn longest<'a, 'b: 'a>(a: &'a [u8], b: &'b [u8]) -> &'a [u8] {
        if a.len() > b.len() { a } else { b }
    }
}

#[jit]
fn drive<'p>(it: &mut Cursor<'p>, default: &'p u8, i: usize) -> &'p u8 {
    let mut last = default;
    while let Some(x) = it.next() {
        if *x > *last {
            last = x;
        }
    }
    let n = it.down(i);
    if n.v > 3 { last } else { default }
}

#[jit]
fn references<'p>(code: &'p [u8], tree: &'p Tree<'p>, c: bool) -> u64 {
    let a = Cursor::of(code, tree);
    let mut b = Cursor::of(&code[1..], tree);
    b.down(0);
    let picked = a.pick(&b, c);
    let k = *a.later(&5, &b);
    let l = Cursor::longest(a.code, b.code).len();
    picked.v as u64 * 1000 + k as u64 + l as u64
}

#[jit]
#[allow(elided_lifetimes_in_paths)]
fn elided(it: &Cursor, k: usize) -> u8 {
    it.code[k]
}

#[jit]
fn outlives<'a, 'b: 'a>(x: &'a u8, y: &'b u8) -> &'a u8 {
    if *x > 3 { x } else { y }
}

trait Shape {
    type Size;
    const SIDES: u8;
    fn size(&self) -> Self::Size;
    fn twice(&self) -> [Self::Size; 2];
}

#[jit]
#[derive(Clone, Copy, Debug)]
struct Square(u16);

#[jit]
impl Shape for Square {
    type Size = u16;
    const SIDES: u8 = 4;
    fn size(&self) -> Self::Size {
        let n: Self::Size = self.0;
        n * n
    }
    fn twice(&self) -> [Self::Size; 2] {
        [self.size(), self.size() + Self::SIDES as Self::Size]
    }
}

#[jit]
fn associated(n: u16) -> (u16, u16, u8) {
    let s = Square(n);
    (s.size(), s.twice()[1], <Square as Shape>::SIDES + Square::SIDES)
}

#[jit]
fn sides<S: Shape>(_s: &S) -> u8 {
    S::SIDES * 2
}

#[jit]
fn generic_constant(n: u16) -> u8 {
    sides(&Square(n))
}

#[jit]
#[derive(Clone, Debug)]
#[repr(u8)]
enum Tree2<T, const N: usize> {
    Leaf(T),
    Node { left: Box<Tree2<T, N>>, tags: [u8; N] },
    Empty,
}

#[jit]
impl<T: Copy, const N: usize> Tree2<T, N> {
    fn leftmost(&self, depth: usize) -> Option<(T, usize)> {
        match self {
            Tree2::Leaf(t) => Some((*t, depth)),
            Tree2::Node { left, tags } => left.leftmost(depth + tags[0] as usize + N),
            Self::Empty => None,
        }
    }
}

#[jit]
fn leftmost(t: &Tree2<i64, 3>) -> Option<(i64, usize)> {
    t.leftmost(0)
}

#[jit]
fn longest<'a>(words: &'a [&'a str], default: &'a str) -> &'a str {
    let mut best = default;
    for word in words {
        if word.len() > best.len() {
            best = *word;
        }
    }
    best
}

#[test]
fn types() {
    for n in 0..7 {
        agree!(use_stack(n));
        agree!(use_functions(n as i64 - 3, n));
        agree!(use_const_generics(n as usize));
        agree!(associated(n as u16 * 50));
        agree!(generic_constant(n as u16));
    }
}

#[test]
fn lifetimes() {
    let leaf = Tree { kids: &[], v: 9 };
    let kids = [&leaf];
    let root = Tree { kids: &kids, v: 2 };
    let kids = [&root, &leaf];
    let tree = Tree { kids: &kids, v: 1 };
    let code = [1, 9, 5, 7];
    for n in 0..5 {
        let cursor = || Cursor {
            code: &code[..n],
            node: &tree,
            pos: 0,
        };
        for i in 0..3 {
            agree!(s = cursor() => drive(s, &4, i));
            agree!(elided(&cursor(), i));
        }
        agree!(references(&code[..n], &tree, n % 2 == 0));
        agree!(outlives(&(n as u8), &7));
        agree!(longest(&["a", "ccc", "bb"][..n.min(3)], "xx"));
    }
}

#[test]
fn generic_enums() {
    let leaf = Tree2::Leaf(7);
    let node = |left: Tree2<i64, 3>| Tree2::Node {
        left: Box::new(left),
        tags: [4, 5, 6],
    };
    agree!(leftmost(&leaf));
    agree!(leftmost(&node(node(leaf.clone()))));
    agree!(leftmost(&node(Tree2::Empty)));
}
