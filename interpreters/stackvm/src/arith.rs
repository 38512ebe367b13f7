//! Arithmetic and comparison.
//!
//! Two ints give an int, exactly or not at all; a float among the operands makes both floats, and IEEE 754 has its way.

use crate::error::VmError;
use crate::value::Value;
use metatrace::jit;

/// An operation on two numbers that yields a number.
#[jit]
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Arith {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
}

/// An order between two numbers.
#[jit]
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Order {
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

#[jit]
pub(crate) fn arith(op: Arith, a: Value, b: Value) -> Result<Value, VmError> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(Value::Int(int_arith(op, a, b)?)),
        _ => Ok(Value::Float(float_arith(op, a.as_float()?, b.as_float()?))),
    }
}

#[jit]
fn int_arith(op: Arith, a: i64, b: i64) -> Result<i64, VmError> {
    let result = match op {
        Arith::Add => a.checked_add(b),
        Arith::Sub => a.checked_sub(b),
        Arith::Mul => a.checked_mul(b),
        Arith::Div | Arith::Rem if b == 0 => return Err(VmError::DivisionByZero),
        Arith::Div => a.checked_div(b),
        Arith::Rem => Some(a.wrapping_rem(b)),
    };
    match result {
        Some(number) => Ok(number),
        None => Err(VmError::IntOverflow),
    }
}

#[jit]
fn float_arith(op: Arith, a: f64, b: f64) -> f64 {
    match op {
        Arith::Add => a + b,
        Arith::Sub => a - b,
        Arith::Mul => a * b,
        Arith::Div => a / b,
        Arith::Rem => a % b,
    }
}

#[jit]
pub(crate) fn negate(value: Value) -> Result<Value, VmError> {
    match value {
        Value::Int(number) => Ok(Value::Int(int_arith(Arith::Sub, 0, number)?)),
        other => Ok(Value::Float(-other.as_float()?)),
    }
}

#[jit]
pub(crate) fn compare(order: Order, a: Value, b: Value) -> Result<bool, VmError> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(int_order(order, a, b)),
        _ => Ok(float_order(order, a.as_float()?, b.as_float()?)),
    }
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
fn float_order(order: Order, a: f64, b: f64) -> bool {
    match order {
        Order::Less => a < b,
        Order::LessEqual => a <= b,
        Order::Greater => a > b,
        Order::GreaterEqual => a >= b,
    }
}

/// Arrays are equal when they are the same one; values of different types are unequal, except numbers.
#[jit]
pub(crate) fn equal(a: Value, b: Value) -> bool {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Int(a), Value::Float(b)) => a as f64 == b,
        (Value::Float(a), Value::Int(b)) => a == b as f64,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Array(a), Value::Array(b)) => a.0 == b.0,
        (Value::Nil, Value::Nil) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{Expected, Kind};
    use Value::{Bool, Float, Int, Nil};

    #[test]
    fn ints_are_exact_or_an_error() {
        let cases = [
            (Arith::Add, i64::MAX, 1, Err(VmError::IntOverflow)),
            (Arith::Sub, i64::MIN, 1, Err(VmError::IntOverflow)),
            (Arith::Mul, i64::MIN, -1, Err(VmError::IntOverflow)),
            (Arith::Div, i64::MIN, -1, Err(VmError::IntOverflow)),
            (Arith::Div, 1, 0, Err(VmError::DivisionByZero)),
            (Arith::Rem, 1, 0, Err(VmError::DivisionByZero)),
            (Arith::Rem, i64::MIN, -1, Ok(Int(0))),
            (Arith::Div, -7, 2, Ok(Int(-3))),
            (Arith::Rem, -7, 2, Ok(Int(-1))),
        ];
        for (op, a, b, expected) in cases {
            assert_eq!(arith(op, Int(a), Int(b)), expected, "{op:?} {a} {b}");
        }
        assert_eq!(negate(Int(i64::MIN)), Err(VmError::IntOverflow));
    }

    #[test]
    fn a_float_makes_both_floats() {
        assert_eq!(arith(Arith::Add, Int(1), Float(0.5)), Ok(Float(1.5)));
        assert_eq!(arith(Arith::Div, Float(1.0), Int(0)), Ok(Float(f64::INFINITY)));
        assert_eq!(compare(Order::Less, Float(0.5), Int(1)), Ok(true));
        assert!(equal(Int(2), Float(2.0)));
    }

    #[test]
    fn nan_is_in_no_order() {
        for order in [Order::Less, Order::LessEqual, Order::Greater, Order::GreaterEqual] {
            assert_eq!(compare(order, Float(f64::NAN), Int(1)), Ok(false), "{order:?}");
        }
        assert!(!equal(Float(f64::NAN), Float(f64::NAN)));
    }

    #[test]
    fn other_types_are_errors_but_comparable() {
        let error = Err(VmError::Type {
            expected: Expected::Number,
            found: Kind::Bool,
        });
        assert_eq!(arith(Arith::Add, Int(1), Bool(true)), error);
        assert!(!equal(Nil, Bool(false)));
        assert!(equal(Nil, Nil));
    }
}
