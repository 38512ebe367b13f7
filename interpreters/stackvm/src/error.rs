//! What can go wrong: in a program's text ([`AssembleError`]), in one instruction ([`VmError`]), and the latter with the
//! place where it happened ([`RuntimeError`]).
//!
//! All print as one line without a file name, which only the command line knows.

use crate::code::Position;
use crate::value::{Expected, Kind};
use metatrace::jit;
use std::fmt;
use std::io;

/// Text that is no program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssembleError {
    /// The word that is wrong, or the end of the text.
    pub position: Position,
    /// What is wrong with it.
    pub message: String,
}

/// Why an instruction could not be executed.
#[jit]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum VmError {
    /// Fewer operands on the stack than it takes, those of callers not counted.
    StackUnderflow,
    /// No room on the operand stack.
    StackOverflow,
    /// Too many calls that have not returned, or too many variables in them.
    CallDepth,
    /// The result of int arithmetic does not fit into 64 bits.
    IntOverflow,
    /// An int divided by 0.
    DivisionByZero,
    /// An operand of the wrong type.
    Type {
        /// What the instruction takes.
        expected: Expected,
        /// What it got.
        found: Kind,
    },
    /// An index outside its array.
    Index {
        /// The index.
        index: i64,
        /// The array's length.
        length: usize,
    },
    /// An array of negative length.
    NegativeLength(i64),
    /// No room for an array.
    ArraySpace,
    /// Output could not be written.
    Output(io::ErrorKind),
}

/// A [`VmError`] and where it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeError {
    /// What happened.
    pub error: VmError,
    /// The function that was running.
    pub function: String,
    /// Index of the instruction in that function.
    pub instruction: usize,
    /// The line of the source that holds the instruction, counted from 1.
    pub line: usize,
}

impl fmt::Display for AssembleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.position, self.message)
    }
}

impl fmt::Display for VmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VmError::StackUnderflow => f.write_str("too few operands on the stack"),
            VmError::StackOverflow => f.write_str("too many operands on the stack"),
            VmError::CallDepth => f.write_str("calls are nested too deeply"),
            VmError::IntOverflow => f.write_str("int overflow"),
            VmError::DivisionByZero => f.write_str("division by zero"),
            VmError::Type { expected, found } => write!(f, "expected {expected}, found {found}"),
            VmError::Index { index, length } => write!(f, "index {index} is outside an array of length {length}"),
            VmError::NegativeLength(length) => write!(f, "an array cannot have length {length}"),
            VmError::ArraySpace => f.write_str("no room for another array"),
            VmError::Output(kind) => write!(f, "cannot write output: {kind}"),
        }
    }
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: in `{}`: {}", self.line, self.function, self.error)
    }
}

impl std::error::Error for AssembleError {}
impl std::error::Error for VmError {}
impl std::error::Error for RuntimeError {}
