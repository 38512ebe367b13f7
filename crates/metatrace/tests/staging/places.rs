//! Places: references, fields, arrays, slices, Vecs; what they load and store.

use crate::harness::agree;
use metatrace::jit;

#[jit]
#[derive(Clone, Debug, PartialEq)]
pub struct Outer {
    inner: Inner,
    k: usize,
    pair: (u8, Inner),
    list: Vec<Inner>,
    boxed: Box<Inner>,
}

#[jit]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inner {
    bytes: [u8; 4],
    word: u16,
    flag: bool,
    real: f64,
}

#[jit]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wide(u8, i16, u32, i64, char, bool, f64, usize);

#[jit]
#[derive(Debug)]
pub struct Node {
    value: i64,
    next: Option<Box<Node>>,
}

fn inner(n: u8) -> Inner {
    Inner {
        bytes: [n, 1, 2, 3],
        word: n as u16 * 300,
        flag: n % 2 == 0,
        real: n as f64 / 4.0,
    }
}

fn outer(n: u8) -> Outer {
    Outer {
        inner: inner(n),
        k: n as usize % 5,
        pair: (n, inner(n + 1)),
        list: (0..n % 4).map(inner).collect(),
        boxed: Box::new(inner(n + 2)),
    }
}

#[jit]
fn fields(o: &mut Outer) -> u8 {
    o.inner.bytes[2] = o.inner.bytes[o.k];
    o.inner.word += o.pair.1.word;
    o.pair.1.bytes[3] ^= o.inner.bytes[1];
    o.boxed.bytes[0] = 9;
    o.boxed.real = o.inner.real * 2.0;
    o.inner.flag = !o.boxed.flag;
    o.inner.bytes[0]
}

#[jit]
fn copies(o: &mut Outer, n: usize) -> u16 {
    let mut a = o.inner;
    a.word = a.word.wrapping_add(1);
    let b = a;
    a.bytes[0] = 77;
    o.list.push(a);
    o.list[n] = b;
    o.pair = (b.bytes[0], o.list[0]);
    *o.boxed = o.list[n];
    let (x, y) = (&o.inner, &o.list[n]);
    x.word ^ y.word
}

#[jit]
fn wide(w: &mut Wide, v: Wide) -> Wide {
    w.0 = v.0.wrapping_add(w.0);
    w.1 = v.1.wrapping_mul(w.1);
    w.2 ^= v.2;
    w.3 = w.3.wrapping_sub(v.3);
    if w.5 {
        w.4 = v.4
    }
    w.5 = v.5 ^ w.5;
    w.6 += v.6;
    w.7 |= v.7;
    Wide(v.0, w.1, 5, v.3, w.4, w.5, 0.5, w.7)
}

#[jit]
fn references(v: &mut [i64], i: usize) -> i64 {
    let p = &mut v[i];
    *p += 1;
    let q = &mut *p;
    *q *= 3;
    let r: &i64 = q;
    let s = *r;
    let t = &&s;
    v[i / 2] = **t;
    s
}

#[jit]
fn locals_by_address(n: i64) -> i64 {
    let mut a = n;
    let mut b = [n, 1, 2];
    let mut c = (n, 5);
    bump(&mut a);
    bump(&mut b[1]);
    bump(&mut c.1);
    {
        let p = if n > 0 { &mut a } else { &mut b[2] };
        *p += 100;
    }
    let mut i = 0;
    while i < 3 {
        let r = &mut b[i];
        *r += c.0;
        i += 1;
    }
    a + b[0] * 2 + b[1] * 3 + b[2] * 5 + c.1
}

#[jit]
fn bump(n: &mut i64) {
    *n += 1;
}

#[jit]
fn rebinding<'a>(mut p: &'a i64, q: &'a i64, n: usize) -> &'a i64 {
    let mut i = 0;
    while i < n {
        if *p < *q {
            p = q;
        }
        i += 1;
    }
    p
}

#[jit]
fn walk(mut node: &Node) -> i64 {
    let mut t = 0;
    loop {
        t += node.value;
        match &node.next {
            Some(next) => node = next,
            None => return t,
        }
    }
}

#[jit]
fn grow_list(mut node: &mut Node, n: i64) -> i64 {
    let mut depth = 0;
    while node.next.is_some() {
        node.value += n;
        depth += 1;
        match &mut node.next {
            Some(next) => node = &mut **next,
            None => unreachable!(),
        }
    }
    node.next = Some(Box::new(Node { value: n, next: None }));
    depth
}

#[jit]
fn vectors(v: &mut Vec<u64>, i: usize) -> Option<u64> {
    v[i] = v[i + 1] + v[i - 1];
    v[i] <<= 3;
    v.swap(i, 0);
    let n = v.len();
    v[n - 1] = 0;
    v.push(n as u64);
    let x = v.pop();
    let y = v.pop()?;
    v.push(y + 1);
    v.truncate(3);
    if v.is_empty() { x } else { v.last().copied() }
}

#[jit]
fn many_pushes(n: usize) -> Vec<(u8, i64)> {
    let mut v = Vec::new();
    for i in 0..n {
        v.push((i as u8, -(i as i64)));
        if i % 7 == 0 {
            v.pop();
        }
    }
    v
}

#[jit]
fn slices(v: &[u16], a: usize, b: usize) -> u32 {
    let all = &v[..];
    let middle = &v[a..b];
    let tail = &all[a..];
    let head = &v[..b];
    let closed = &v[a..=b];
    let closed_head = &v[..=a];
    let mut t = 0;
    for part in &[all, middle, tail, head, closed, closed_head] {
        t = t * 31 + part.len() as u32;
        for x in *part {
            t = t.wrapping_mul(3).wrapping_add(*x as u32) & 0xFF_FFFF;
        }
    }
    t
}

#[jit]
fn slice_methods(v: &mut [u8], i: usize) -> (Option<u8>, bool, usize, u8) {
    if let Some(x) = v.get_mut(i) {
        *x = x.wrapping_add(1);
    }
    let first = v.first().copied();
    let last = match v.last() {
        Some(x) => *x,
        None => 0,
    };
    v.reverse();
    (first, v.contains(&last), v.len(), last)
}

#[jit]
fn arrays(n: usize, x: u8) -> [u8; 5] {
    let mut a = [x; 5];
    let b = [1, 2, x, 4, 5];
    a[n] = b[4 - n];
    let grid = [[1u8, 2], [3, x]];
    a[0] = grid[n / 3][n % 2];
    let mut c = a;
    c[4] ^= 0xFF;
    c
}

#[jit]
fn zero_sized(v: &mut Vec<()>, n: usize) -> usize {
    let mut unit = ();
    for _ in 0..n {
        v.push(unit);
        unit = ();
    }
    v.len()
}

#[test]
fn structs() {
    for n in 0..12 {
        agree!(s = outer(n) => fields(s));
        for i in 0..4 {
            agree!(s = outer(n) => copies(s, i));
        }
    }
    let wides = [
        Wide(0, -1, 7, i64::MIN, 'x', true, 1.5, 9),
        Wide(255, i16::MAX, u32::MAX, 3, '\u{10ffff}', false, -0.0, usize::MAX),
    ];
    for a in wides {
        for b in wides {
            agree!(s = a => wide(s, b));
        }
    }
}

#[test]
fn borrows() {
    for n in -2..6 {
        agree!(locals_by_address(n));
        for i in 0..4 {
            agree!(s = vec![n, 5, 6] => references(s, i));
            agree!(rebinding(&n, &2, i));
        }
    }
    for n in 0..5 {
        let list = |n: i64| {
            (0..n).fold(Node { value: n, next: None }, |next, value| Node {
                value,
                next: Some(Box::new(next)),
            })
        };
        agree!(walk(&list(n)));
        agree!(s = list(n) => grow_list(s, 7));
    }
}

#[test]
fn sequences() {
    for n in 0..9 {
        for i in 0..n + 1 {
            agree!(s = (0..n as u64).collect::<Vec<_>>() => vectors(s, i));
            agree!(s = (0..n as u8).collect::<Vec<_>>() => slice_methods(s, i));
            for j in 0..n + 2 {
                agree!(slices(&(0..n as u16).map(|x| x * 999).collect::<Vec<_>>(), i, j));
            }
        }
        agree!(many_pushes(n * n));
        agree!(s = vec![(); n] => zero_sized(s, n));
    }
}

#[test]
fn fixed_arrays() {
    for n in 0..6 {
        for x in [0, 9, 255] {
            agree!(arrays(n, x));
        }
    }
}
