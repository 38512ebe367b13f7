//! Programs as the machine runs them.
//!
//! Invariants, which the assembler establishes and nothing else can build:
//! - operands of ops are valid: constants, variables and functions exist, jumps lead to an op of the same function;
//! - the last op of a function is a jump, or returns, so no function runs past its end;
//! - [`Op::JumpBack`] leads backward (or to itself), all other jumps lead forward: loops close at no other op;
//! - `lines` runs parallel to `ops`; the first of a function's variables are its parameters.

use crate::value::Value;
use metatrace::jit;
use std::fmt;

/// One instruction. "Pops a b" means that b was on top.
#[jit]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Op {
    /// Pushes a constant of the function.
    LoadConst(usize),
    /// Pushes a variable of the running call.
    LoadVar(usize),
    /// Pops a value into a variable of the running call.
    StoreVar(usize),
    /// Pops a value.
    Pop,
    /// Pushes the top once more.
    Dup,
    /// Pops a b, pushes a + b.
    Add,
    /// Pops a b, pushes a - b.
    Sub,
    /// Pops a b, pushes a · b.
    Mul,
    /// Pops a b, pushes a / b; of ints, rounded toward zero.
    Div,
    /// Pops a b, pushes the rest of that division, which has the sign of a.
    Rem,
    /// Pops a, pushes -a.
    Neg,
    /// Pops a b, pushes whether they are the same value, or numbers of the same value.
    Equal,
    /// The opposite of [`Op::Equal`].
    NotEqual,
    /// Pops numbers a b, pushes a < b.
    Less,
    /// Pops numbers a b, pushes a <= b.
    LessEqual,
    /// Pops numbers a b, pushes a > b.
    Greater,
    /// Pops numbers a b, pushes a >= b.
    GreaterEqual,
    /// Pops a bool, pushes the other one.
    Not,
    /// Continues at a later op.
    Jump(usize),
    /// Continues at an op that is not later.
    JumpBack(usize),
    /// Pops a bool; if it is false, continues at a later op.
    JumpIfFalse(usize),
    /// Pops a bool; if it is true, continues at a later op.
    JumpIfTrue(usize),
    /// Pops as many values as the function has parameters, the last of them from the top, and runs it.
    Call(usize),
    /// Pops a value, drops the call's other operands, and pushes the value for the caller.
    Return,
    /// Pops a length, pushes a new array of so many nils.
    NewArray,
    /// Pops an array and an index, pushes the element.
    ArrayGet,
    /// Pops an array, an index and a value, and stores the value there.
    ArraySet,
    /// Pops an array, pushes its length.
    ArrayLen,
    /// Pops a value and prints it on a line of its own.
    Print,
}

/// A function.
#[jit]
#[derive(Debug)]
pub struct Function {
    pub(crate) name: String,
    pub(crate) ops: Vec<Op>,
    pub(crate) lines: Vec<usize>,
    pub(crate) constants: Vec<Value>,
    pub(crate) parameters: usize,
    pub(crate) variables: Vec<String>,
}

/// A program.
#[jit]
#[derive(Debug)]
pub struct Code {
    pub(crate) functions: Vec<Function>,
    pub(crate) main: usize,
}

/// A place in the source, both counted from 1. A column is one character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Code {
    /// The function that a program begins with.
    pub fn main(&self) -> &Function {
        &self.functions[self.main]
    }

    /// All functions, in the order of the source.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }
}

impl Function {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its instructions.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// The names of its parameters.
    pub fn parameters(&self) -> &[String] {
        &self.variables[..self.parameters]
    }

    /// The line of the source that holds the instruction at `pc`, counted from 1.
    ///
    /// # Panics
    /// If `pc` is not the index of an instruction.
    pub fn line(&self, pc: usize) -> usize {
        self.lines[pc]
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}
