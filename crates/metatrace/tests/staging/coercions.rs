//! Coercions and inference: what rustc does for values, the twin's handles must do as well.

use crate::harness::agree;
use metatrace::jit;
use std::rc::Rc;

#[jit]
#[derive(Clone, Debug)]
struct S {
    v: Vec<u8>,
    text: String,
    boxed: Box<[i64; 2]>,
}

type Link = Box<Pointed>;
type Lent<'a> = &'a Pointed;

#[jit]
#[derive(Debug, Clone, PartialEq)]
pub struct Pointed {
    pub n: i64,
    pub next: Option<Link>,
}

/// The parameters' types do not look like what they are.
#[jit]
fn aliased(link: Link, lent: Lent<'_>) -> i64 {
    let n = link.n + lent.n;
    match lent {
        Pointed { next: Some(next), .. } => n + next.n,
        _ => n,
    }
}

#[test]
fn aliases() {
    let last = Pointed { n: 5, next: None };
    let first = Pointed {
        n: 7,
        next: Some(Box::new(last.clone())),
    };
    agree!(aliased(Box::new(last.clone()), &first));
    agree!(aliased(Box::new(first.clone()), &last));
}

#[jit]
fn total(v: &[u8]) -> usize {
    let mut t = 0;
    for x in v {
        t += *x as usize;
    }
    t
}

#[jit]
fn set_first(v: &mut [u8], x: &u8) -> u8 {
    v[0] = *x;
    v[0]
}

#[jit]
fn text_len(s: &str) -> usize {
    s.len()
}

#[jit]
fn pair_sum(p: &[i64; 2]) -> i64 {
    p[0] + p[1]
}

#[jit]
impl S {
    fn sum_with(&self, other: &[u8]) -> usize {
        total(&self.v) + total(other)
    }

    fn reset(&mut self, from: &S) {
        self.v[0] = from.v[0];
    }
}

#[jit]
fn arguments(v: &mut Vec<u8>, s: &mut S, x: &mut u8) -> usize {
    let r = &s.v;
    let a = total(r) + total(&s.v) + total(v) + total(&mut *v) + total(&[1, 2, 3]) + total(&v[1..]);
    let b = set_first(v, &3) + set_first(&mut *v, x) + set_first(&mut s.v, &*x);
    let c = text_len(&s.text) + text_len("abc");
    let d = pair_sum(&s.boxed) as usize;
    let t = S {
        v: s.v.clone(),
        text: s.text.clone(),
        boxed: s.boxed.clone(),
    };
    s.reset(&t);
    let e = s.sum_with(v) + s.sum_with(&t.v) + t.sum_with(&[1, 1]);
    a + b as usize + c + d + e
}

#[jit]
fn through_some(x: &mut u8) -> u8 {
    let o = Some(x);
    match o {
        Some(p) => {
            *p = p.wrapping_add(1);
            *p
        }
        None => 0,
    }
}

#[jit]
fn reborrows(x: &mut u8) -> u8 {
    let a = &mut *x;
    *a += 1;
    let b: &u8 = a;
    let c = *b;
    let y;
    y = x;
    *y ^= c;
    let z: &u8 = if c > 3 { y } else { &4 };
    *z
}

#[jit]
fn branches<'a>(a: &'a mut Vec<u8>, b: &'a [u8; 2], c: u8) -> &'a [u8] {
    match c {
        0 => a,
        1 => b,
        2 => &a[1..],
        3 => {
            if b[0] > 3 {
                return b;
            }
            &[7, 8, 9]
        }
        4 => loop {
            if b[1] > 3 {
                break b;
            }
            break &a[..];
        },
        _ => &[],
    }
}

#[jit]
fn wrapped<'a>(a: &'a mut Vec<u8>, b: &'a [u8], c: bool) -> Result<&'a [u8], Option<&'a u8>> {
    if c {
        Ok(a)
    } else if b.is_empty() {
        Err(Some(&a[0]))
    } else {
        Ok(b)
    }
}

#[jit]
fn annotated(v: &Vec<u8>, n: u8) -> usize {
    let s: &[u8] = v;
    let t: &[u8] = if n > 3 { v } else { &[1] };
    let u: Vec<u16> = Vec::new();
    let w: u8 = 3;
    let x: Option<u64> = None;
    let y: Option<&[u8]> = Some(v);
    let z = Vec::<u32>::with_capacity(2);
    s.len() + t.len() + u.len() + w as usize + x.is_none() as usize + y.unwrap().len() + z.len()
}

#[jit]
fn inferred_later(n: u8) -> (Option<u8>, usize, u64) {
    let mut best = None;
    let mut list = Vec::new();
    let zero = 0;
    for i in 0..n {
        if i > 3 {
            best = Some(i)
        }
        list.push(i as u16);
    }
    let default = Default::default();
    let sum = best.unwrap_or(default) as u64 + zero;
    (best, list.len(), sum)
}

#[jit]
fn comparisons(v: &[u8], x: &u8, s: &str, t: &String) -> (bool, bool, bool, bool) {
    (v[0] == *x, &v[1] == x, s == "x", t.as_str() == s)
}

#[jit]
fn returned<'a>(v: &'a mut Vec<u8>, n: u8) -> &'a u8 {
    v.push(n);
    let i = v.len() - 1;
    &v[i]
}

#[jit]
fn weakened<'a>(v: &'a mut u8) -> &'a u8 {
    *v += 1;
    v
}

#[test]
fn arguments_coerce() {
    for n in 1..5u8 {
        let state = || {
            let s = S {
                v: vec![n; 3],
                text: "x".repeat(n as usize),
                boxed: Box::new([n as i64, 5]),
            };
            (vec![n, 2], s, n)
        };
        agree!(s = state() => arguments(&mut s.0, &mut s.1, &mut s.2));
        agree!(s = n => through_some(s));
        agree!(s = n => reborrows(s));
        agree!(s = vec![n] => returned(s, 9));
        agree!(s = n => weakened(s));
    }
}

#[test]
fn branches_coerce() {
    for c in 0..6 {
        for b in [[1, 2], [5, 6], [1, 6]] {
            agree!(s = vec![1, 2, 3] => branches(s, &b, c));
        }
        agree!(annotated(&vec![1, 2], c));
        agree!(s = vec![4] => wrapped(s, &[1, 2, 3][..c as usize / 2], c == 4));
        agree!(inferred_later(c * 2));
    }
    for (s, t) in [("x", "x"), ("y", "x"), ("", "y")] {
        agree!(comparisons(&[1, 2], &1, s, &t.to_string()));
        agree!(comparisons(&[3, 1], &1, s, &t.to_string()));
    }
}

#[jit]
#[derive(Debug)]
struct Node<'n, T: Copy>
where
    T: 'n,
{
    value: T,
    names: &'n str,
    next: Option<Box<Node<'n, T>>>,
}

#[jit]
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum Sign {
    Plus(i64),
    Minus,
}

#[jit]
impl Node<'_, i64> {
    fn add(&mut self, n: i64) -> i64 {
        self.value += n;
        self.value
    }

    fn value(&self) -> i64 {
        self.value
    }
}

#[jit]
fn bump(node: &mut Node<'_, i64>) -> i64 {
    node.add(1)
}

#[jit]
fn look(node: &Node<'_, i64>) -> i64 {
    node.value + node.names.len() as i64
}

#[jit]
fn turn(sign: &mut Sign) -> i64 {
    let old = read_sign(sign);
    *sign = Sign::Plus(old + 1);
    read_sign(sign)
}

#[jit]
fn read_sign(sign: &Sign) -> i64 {
    match sign {
        Sign::Plus(n) => *n,
        Sign::Minus => -1,
    }
}

#[jit]
fn str_len(text: &str) -> usize {
    text.len()
}

#[jit]
fn mut_str_len(text: &mut str) -> usize {
    str_len(text)
}

#[jit]
fn mutable_pointers(boxed: &mut Box<Node<'_, i64>>, text: &mut String, items: &mut Vec<u8>, sign: &mut Sign) -> i64 {
    let a = bump(boxed) + bump(&mut *boxed) + look(boxed);
    let b = boxed.add(3) + boxed.value();
    let c = match &mut boxed.next {
        Some(next) => bump(next) + next.add(5) + look(next),
        None => 0,
    };
    let d = mut_str_len(text) + str_len(text) + text.len();
    let e = set_first(items, &9) as usize + total(items);
    a + b + c + (d + e) as i64 + turn(sign)
}

#[jit]
fn counted(rc: &Rc<S>, mut shared: Rc<S>) -> usize {
    let again = &mut shared;
    rc.sum_with(&rc.v) + s_len(rc) + s_len(again) + again.sum_with(&[1])
}

#[jit]
fn s_len(s: &S) -> usize {
    s.v.len() + s.text.len()
}

#[jit]
fn nested(outer: &mut &mut Node<'_, i64>, tuple: &mut (u8, i64)) -> i64 {
    bump(outer) + outer.add(2) + second(tuple)
}

#[jit]
fn second(tuple: &(u8, i64)) -> i64 {
    tuple.1
}

#[test]
fn mutable_pointers_coerce() {
    let node = |next| Node {
        value: 4i64,
        names: "two",
        next,
    };
    for sign in [Sign::Plus(3), Sign::Minus] {
        for depth in 0..2 {
            let state = || {
                let inner = (depth > 0).then(|| Box::new(node(None)));
                (Box::new(node(inner)), String::from("text"), vec![1, 2, 3], sign)
            };
            agree!(s = state() => mutable_pointers(&mut s.0, &mut s.1, &mut s.2, &mut s.3));
        }
    }
    agree!(s = (node(None), (1, 20)) => nested(&mut &mut s.0, &mut s.1));
    let shared = Rc::new(S {
        v: vec![1, 2],
        text: "four".into(),
        boxed: Box::new([1, 2]),
    });
    agree!(counted(&shared, shared.clone()));
}
