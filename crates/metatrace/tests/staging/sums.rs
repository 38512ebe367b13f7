//! `Option`, `Result`, `?`, enums with data: by value, in memory, nested.

use crate::harness::{agree, event};
use metatrace::jit;

#[jit]
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
pub enum Value {
    Int(i64),
    Float(f64),
    Bool(bool),
    Nil,
    Pair(u32, u16),
    Named { first: u8, second: i64 },
}

#[jit]
#[derive(Debug, PartialEq)]
#[repr(u8)]
pub enum Low {
    Zero,
    Small(u8),
}

#[jit]
#[derive(Debug, PartialEq)]
#[repr(u8)]
pub enum High {
    Wrapped(Low),
    Text(String),
    Odd { number: u64 },
}

impl From<Low> for High {
    fn from(low: Low) -> High {
        High::Wrapped(low)
    }
}

#[jit]
#[derive(Debug)]
pub struct Store {
    values: Vec<Value>,
    last: Option<Value>,
    cell: Result<u8, Low>,
    nested: Option<Option<Value>>,
    text: Option<String>,
}

fn values() -> Vec<Value> {
    vec![
        Value::Int(3),
        Value::Int(i64::MIN),
        Value::Float(2.5),
        Value::Float(-0.0),
        Value::Bool(true),
        Value::Bool(false),
        Value::Nil,
        Value::Pair(7, 9),
        Value::Named { first: 1, second: -1 },
    ]
}

#[jit]
impl Value {
    fn truthy(&self) -> bool {
        match self {
            Value::Bool(b) => *b,
            Value::Nil => false,
            _ => true,
        }
    }

    fn as_int(self) -> Result<i64, Low> {
        if let Value::Int(i) = self {
            Ok(i)
        } else {
            Err(Low::Small(self.truthy() as u8))
        }
    }

    fn add(self, other: Value) -> Result<Value, Low> {
        Ok(match (self, other) {
            (Value::Int(a), Value::Int(b)) => Value::Int(a.wrapping_add(b)),
            (Value::Float(a), Value::Float(b)) => Value::Float(a + b),
            (Value::Int(a), Value::Float(b)) | (Value::Float(b), Value::Int(a)) => Value::Float(a as f64 + b),
            (Value::Named { first, .. }, Value::Pair(x, y)) => Value::Named {
                second: y as i64,
                first: first + x as u8,
            },
            (Value::Nil, _) => return Err(Low::Zero),
            _ => return Err(Low::Small(2)),
        })
    }

    const ZERO: Value = Value::Int(0);
}

#[jit]
fn add(a: Value, b: Value) -> Result<Value, Low> {
    a.add(b)
}

#[jit]
fn sum_ints(values: &[Value]) -> Result<i64, High> {
    let mut total = 0i64;
    for value in values {
        let n = value.as_int()?;
        if n % 2 != 0 {
            return Err(High::Odd { number: n as u64 });
        }
        total = total.wrapping_add(n);
    }
    if total > 1000 {
        Err(High::Text(format!("{total} is too much")))?
    }
    Ok(total)
}

#[jit]
fn options(v: &[u8], i: usize) -> Option<u8> {
    let x = *v.get(i)?;
    let y = v.get(i + 1).copied()?;
    x.checked_add(y)
}

#[jit]
fn option_methods(a: Option<u8>, b: &Option<u8>) -> (bool, bool, u8, u8, Option<u8>) {
    let c = if a.is_some() { a } else { *b };
    let d = match b.as_ref() {
        Some(x) => *x,
        None => 1,
    };
    (a.is_some(), b.is_none(), a.unwrap_or(d), c.unwrap_or_default(), c)
}

#[jit]
fn unwraps(a: Option<u8>, b: Result<u8, u16>) -> u8 {
    let x = b.unwrap_or(4);
    a.unwrap() / 2 + b.unwrap() / 2 + x / 4
}

#[jit]
fn expects(a: Option<u8>) -> u8 {
    a.expect("a number")
}

#[jit]
fn ok_or(a: Option<u8>) -> Result<u8, Low> {
    let n = a.ok_or(Low::Zero)?;
    match n.checked_sub(3).ok_or(Low::Small(n)) {
        Ok(n) => Ok(n),
        Err(e) => Err(e),
    }
}

#[jit]
fn store(s: &mut Store, v: Value) -> Option<Value> {
    let old = s.last.take();
    s.values.push(v);
    s.last = s.values.pop();
    s.values.push(Value::ZERO);
    s.nested = match (s.nested, v) {
        (None, Value::Nil) => Some(None),
        (None, _) => None,
        (Some(None), v) => Some(Some(v)),
        (Some(inner), _) => {
            s.values.push(inner?);
            None
        }
    };
    s.cell = match &s.cell {
        Ok(n) if *n > 3 => Err(Low::Small(*n)),
        Ok(n) => Ok(*n + 1),
        Err(Low::Zero) => Ok(0),
        Err(Low::Small(n)) => {
            let n = *n;
            if n > 100 { Err(Low::Zero) } else { Ok(n) }
        }
    };
    if let Some(Value::Int(n) | Value::Named { second: n, .. }) = &mut s.last {
        *n = n.wrapping_mul(3);
    }
    if matches!(&s.text, Some(text) if text.len() > 2) {
        s.text = None;
    }
    old
}

#[jit]
fn pops(v: &mut Vec<Value>) -> i64 {
    let mut t = 0i64;
    while let Some(value) = v.pop() {
        t = match value {
            Value::Int(n) => t.wrapping_add(n),
            Value::Float(f) => t.wrapping_sub(f as i64),
            Value::Bool(b) => t * 2 + b as i64,
            Value::Nil => break,
            Value::Pair(a, b) => a as i64 * b as i64,
            Value::Named { first, second } => second - first as i64,
        };
    }
    t
}

#[jit]
fn equality(a: Value, b: Value, o: Option<u8>, t: (u8, bool)) -> (bool, bool, bool, bool) {
    (a == b, a != Value::Nil, o == Some(3) || o != None, t == (3, true))
}

#[jit]
fn returned(n: u8) -> Result<(u8, Option<Value>), (u8, u64)> {
    match n {
        0 => Ok((1, None)),
        1 => Ok((2, Some(Value::Pair(n as u32, 3)))),
        2 => Err((3, 4)),
        _ => Ok((n, Some(if n > 100 { Value::Nil } else { Value::Float(n as f64) }))),
    }
}

#[jit]
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub enum Order {
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

#[jit]
fn int_order(order: Order, a: i64, b: i64) -> bool {
    match order {
        Order::Less => a < b,
        Order::LessEqual => a <= b,
        Order::Greater => a > b,
        Order::GreaterEqual => a >= b,
    }
}

#[jit]
fn ordered(a: i64, b: i64) -> u8 {
    let mut t = int_order(Order::Greater, a, b) as u8;
    t |= (int_order(Order::Less, a, b) as u8) << 1;
    let mut order = Order::LessEqual;
    if t == 0 {
        order = Order::GreaterEqual;
    }
    t | (int_order(order, a, b) as u8) << 2
}

#[jit]
fn uses_returned(n: u8) -> u64 {
    let (a, b) = match returned(n) {
        Ok((a, Some(Value::Pair(x, y)))) => (a, x as u64 + y as u64),
        Ok((a, Some(_))) => (a, 7),
        Ok((a, None)) => (a, 8),
        Err((a, b)) => (a, b),
    };
    a as u64 * 100 + b
}

#[jit]
fn pointers<'a>(a: Option<&'a mut u64>, b: Option<&'a u64>) -> Option<&'a u64> {
    match (a, b) {
        (Some(a), Some(b)) if *a < *b => {
            *a += 1;
            Some(a)
        }
        (_, b) => b,
    }
}

#[test]
fn by_value() {
    for a in values() {
        for b in values() {
            agree!(add(a, b));
            for o in [None, Some(3), Some(4)] {
                agree!(equality(a, b, o, (3, o.is_some())));
            }
        }
    }
    for order in [Order::Less, Order::LessEqual, Order::Greater, Order::GreaterEqual] {
        for a in 0..3 {
            agree!(int_order(order, a, 1));
            agree!(ordered(a, 1));
        }
    }
    for n in [0, 1, 2, 3, 101] {
        agree!(returned(n));
        agree!(uses_returned(n));
        agree!(s = n as u64 => pointers(Some(s), Some(&2)));
        agree!(s = n as u64 => pointers(Some(s), None::<&u64>));
        agree!(pointers(None::<&mut u64>, Some(&(n as u64))));
    }
}

#[test]
fn question_marks() {
    agree!(sum_ints(&[Value::Nil; 0]));
    for a in values() {
        agree!(sum_ints(&[a, Value::Int(4), a]));
    }
    agree!(sum_ints(&[Value::Int(4), Value::Int(996)]));
    agree!(sum_ints(&[Value::Int(4), Value::Int(998)]));
    agree!(sum_ints(&[Value::Int(4), Value::Int(9)]));
    let v = [1, 100, 155, 156, 255];
    for i in 0..7 {
        agree!(options(&v, i));
    }
}

#[test]
fn std_methods() {
    for a in [None, Some(0), Some(3), Some(255)] {
        agree!(expects(a));
        agree!(ok_or(a));
        for b in [None, Some(9)] {
            agree!(option_methods(a, &b));
        }
        for b in [Ok(9), Err(77)] {
            agree!(unwraps(a, b));
        }
    }
}

#[test]
fn in_memory() {
    for v in values() {
        for last in [None, Some(Value::Nil), Some(v)] {
            for nested in [None, Some(None), Some(Some(v))] {
                for (cell, text) in [(0, None), (1, Some("ab")), (2, Some("abc")), (3, None)] {
                    let state = || Store {
                        values: vec![v; 2],
                        last,
                        cell: [
                            Ok(3),
                            Ok(4),
                            Err(Low::Zero),
                            Err(Low::Small(100 + nested.is_some() as u8)),
                        ]
                        .into_iter()
                        .nth(cell)
                        .unwrap(),
                        nested,
                        text: text.map(str::to_owned),
                    };
                    agree!(s = state() => store(s, v));
                }
            }
        }
        agree!(s = [values(), vec![v]].concat() => pops(s));
        agree!(s = values()[..5].to_vec() => pops(s));
    }
}

/// Something whose layout only native code knows: no variant of the `Result` can be made up by a probe.
type Opaque = Result<std::num::NonZero<u8>, std::num::NonZero<u8>>;

#[jit::dont_look_inside]
fn opaque(n: u8) -> Opaque {
    let number = std::num::NonZero::new(n).expect("not 0");
    if n % 2 == 0 { Ok(number) } else { Err(number) }
}

#[jit::dont_look_inside]
fn turned(value: Opaque) -> Opaque {
    match value {
        Ok(number) => Err(number),
        Err(number) => Ok(number),
    }
}

#[jit::dont_look_inside]
fn large(text: String, value: (Opaque, u64, String), last: Opaque) -> (u64, Opaque, Result<String, Opaque>) {
    let (inner, number, more) = value;
    event(format_args!("{text} {inner:?} {number} {more} {last:?}"));
    let result = if number > 5 {
        Ok(text + &more)
    } else {
        Err(turned(last))
    };
    (number + 1, turned(inner), result)
}

#[jit::dont_look_inside]
#[allow(clippy::too_many_arguments, reason = "more words than registers")]
fn many(a: Opaque, b: (u64, u64), c: Opaque, d: String, e: Opaque, f: u64) -> Opaque {
    event(format_args!("{a:?} {b:?} {c:?} {d} {e:?} {f}"));
    assert!(f != 7, "seven");
    turned(e)
}

#[jit]
fn by_words(n: u8) -> (u64, Opaque, Result<String, Opaque>) {
    let value = turned(opaque(n));
    let pair = (turned(opaque(n)), n as u64, String::from("more"));
    let last = many(
        value,
        (1, n as u64),
        opaque(n),
        String::from("text"),
        turned(value),
        n as u64,
    );
    let (number, inner, result) = large(String::from("text "), pair, last);
    match inner {
        Ok(_) => (number, turned(inner), result),
        Err(_) => (number + 100, inner, result),
    }
}

#[test]
fn opaque_results_are_taken_apart_and_put_together() {
    for n in 0..10 {
        agree!(by_words(n));
    }
}
