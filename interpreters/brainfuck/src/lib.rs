//! A brainfuck interpreter: [`Program::parse`] turns source text into ops, [`interpret`] runs them.
//!
//! The dialect: 30,000 cells of 8 bits that wrap around, a pointer that may not leave them, and a `,` at the end of input
//! that leaves 0. Every character but `><+-.,[]` is a comment.
//!
//! [`interpret`] is an ordinary dispatch loop over one enum of ops, marked for metatrace's JIT. In the default form an op is one character of source;
//! [`Form::Optimized`] folds runs and simple loops into wider ops, which the same loop executes.

#![deny(unsafe_code)]

mod cli;
mod dispatch;
mod error;
mod io;
mod optimize;
mod program;

pub use cli::{Command, Failure, Options, USAGE, parse_command, run_file};
pub use dispatch::{TAPE_CELLS, interpret, run};
pub use error::{Error, ParseError, TapeEnd, Unmatched};
pub use io::Io;
pub use program::{Form, Op, Position, Program};
