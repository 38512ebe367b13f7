//! Values. They are small and `Copy`; an array is a reference into the table of its machine.
//!
//! No operation converts a value silently, except an int to a float where it meets one (see `arith`).

use crate::error::VmError;
use metatrace::jit;
use std::fmt;

/// What variables, array elements and the operand stack hold.
#[jit]
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
pub enum Value {
    /// A signed integer.
    Int(i64),
    /// An IEEE 754 double.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// No value: what variables and array elements hold at first.
    Nil,
    /// A reference to an array.
    Array(ArrayId),
}

/// The number of an array in the table of the machine that made it.
#[jit]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrayId(pub(crate) u32);

/// The type of a value.
#[jit]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// [`Value::Int`]
    Int,
    /// [`Value::Float`]
    Float,
    /// [`Value::Bool`]
    Bool,
    /// [`Value::Nil`]
    Nil,
    /// [`Value::Array`]
    Array,
}

/// What an instruction takes.
#[jit]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Expected {
    /// An int.
    Int,
    /// An int or a float.
    Number,
    /// A bool.
    Bool,
    /// An array.
    Array,
}

#[jit]
impl Value {
    /// Its type.
    pub fn kind(self) -> Kind {
        match self {
            Value::Int(_) => Kind::Int,
            Value::Float(_) => Kind::Float,
            Value::Bool(_) => Kind::Bool,
            Value::Nil => Kind::Nil,
            Value::Array(_) => Kind::Array,
        }
    }

    pub(crate) fn as_int(self) -> Result<i64, VmError> {
        match self {
            Value::Int(number) => Ok(number),
            other => Err(other.instead_of(Expected::Int)),
        }
    }

    /// The number as a float; the nearest one for a large int.
    pub(crate) fn as_float(self) -> Result<f64, VmError> {
        match self {
            Value::Int(number) => Ok(number as f64),
            Value::Float(number) => Ok(number),
            other => Err(other.instead_of(Expected::Number)),
        }
    }

    pub(crate) fn as_bool(self) -> Result<bool, VmError> {
        match self {
            Value::Bool(truth) => Ok(truth),
            other => Err(other.instead_of(Expected::Bool)),
        }
    }

    pub(crate) fn as_array(self) -> Result<ArrayId, VmError> {
        match self {
            Value::Array(array) => Ok(array),
            other => Err(other.instead_of(Expected::Array)),
        }
    }

    pub(crate) fn instead_of(self, expected: Expected) -> VmError {
        VmError::Type {
            expected,
            found: self.kind(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Int => "an int",
            Kind::Float => "a float",
            Kind::Bool => "a bool",
            Kind::Nil => "nil",
            Kind::Array => "an array",
        })
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Expected::Int => "an int",
            Expected::Number => "a number",
            Expected::Bool => "a bool",
            Expected::Array => "an array",
        })
    }
}
