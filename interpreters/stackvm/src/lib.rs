//! A virtual machine with an operand stack, and its assembler: [`assemble`] turns text into [`Code`], [`Vm`] runs it.
//!
//! A program is a list of functions; `main` is the one that runs, its parameters are the program's arguments, its result the
//! program's. Values are ints of 64 bits (overflow is an error), floats, bools, nil, and references to arrays of values.
//! The language of the assembler is described at [`assemble`], the machine at [`Vm`].

#![deny(unsafe_code)]

mod arith;
mod assembler;
mod cli;
mod code;
mod error;
mod heap;
mod output;
mod value;
mod vm;

pub use assembler::assemble;
pub use cli::{Command, Failure, Options, USAGE, parse_command, run_file};
pub use code::{Code, Function, Op, Position};
pub use error::{AssembleError, RuntimeError, VmError};
pub use output::Output;
pub use value::{ArrayId, Expected, Kind, Value};
pub use vm::{Frame, MAX_FRAMES, MAX_STACK, MAX_VARIABLES, Vm};
