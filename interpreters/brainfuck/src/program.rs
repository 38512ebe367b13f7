//! Programs: from source text to a list of ops with resolved jumps.
//!
//! Invariants of a [`Program`], which [`Program::parse`] establishes and nothing else can build:
//! - the last op is [`Op::Halt`], and no jump leads past it, so every `pc` that a run reaches is in bounds;
//! - jumps come in pairs that lead to each other's successor;
//! - `positions` runs parallel to `ops`.

use crate::error::{Error, ParseError, TapeEnd, Unmatched};
use crate::optimize;
use metatrace::jit;
use std::fmt;

/// One operation. Moves and jumps count in cells and in ops.
#[jit]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Op {
    /// `>`
    Right,
    /// `<`
    Left,
    /// `+`
    Inc,
    /// `-`
    Dec,
    /// `.`
    Put,
    /// `,`
    Get,
    /// `[`: when the cell is 0, on to this op, the one behind the matching `]`.
    Open(usize),
    /// `]`: when the cell is not 0, back to this op, the one behind the matching `[`.
    Close(usize),
    /// The end of the program.
    Halt,
    /// A run of `>`.
    RightBy(usize),
    /// A run of `<`.
    LeftBy(usize),
    /// A run of `+` and `-`, its sum modulo 256.
    Add(u8),
    /// `[-]` or `[+]`.
    Clear,
    /// Adds `factor` times this cell to the one `distance` to the right; does nothing, not even check the tape's end,
    /// when this cell is 0. A part of a multiplying loop such as `[->++<]`.
    MulRight {
        /// How far the other cell is.
        distance: usize,
        /// The multiplier, modulo 256.
        factor: u8,
    },
    /// Like [`Op::MulRight`], to the left.
    MulLeft {
        /// How far the other cell is.
        distance: usize,
        /// The multiplier, modulo 256.
        factor: u8,
    },
}

/// A place in the source, both counted from 1. A column is one character of UTF-8 text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// How much work one op stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One op for each character.
    Plain,
    /// Runs, clearing loops and multiplying loops folded into one op each.
    Optimized,
}

/// A parsed program.
#[jit]
#[derive(Debug)]
pub struct Program {
    pub(crate) ops: Vec<Op>,
    positions: Vec<Position>,
}

/// An op and where it comes from: the form in which a program is rewritten. Its jumps are not resolved yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located {
    pub(crate) op: Op,
    pub(crate) position: Position,
}

impl Program {
    /// Parses `source`, in which every byte that is not a command is a comment.
    ///
    /// # Errors
    /// A bracket that has no partner.
    pub fn parse(source: &[u8], form: Form) -> Result<Program, ParseError> {
        let mut code = lex(source);
        if form == Form::Optimized {
            code = optimize::fold_runs(&code);
            code = optimize::fold_loops(&code);
        }
        link(&mut code)?;
        Ok(Program {
            ops: code.iter().map(|located| located.op).collect(),
            positions: code.iter().map(|located| located.position).collect(),
        })
    }

    /// The ops, the last of which is [`Op::Halt`].
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Where in the source the op at `pc` stands; of several characters, the first.
    ///
    /// # Panics
    /// If `pc` is not the index of an op.
    pub fn position(&self, pc: usize) -> Position {
        self.positions[pc]
    }
}

#[jit]
impl Program {
    /// The error of an op at `pc` that moves the pointer past `end`.
    #[jit::dont_look_inside]
    pub(crate) fn tape_error(&self, pc: usize, end: TapeEnd) -> Error {
        Error::Tape {
            end,
            position: self.position(pc),
        }
    }
}

/// Keeps the commands, with their positions, and adds the final [`Op::Halt`].
fn lex(source: &[u8]) -> Vec<Located> {
    let mut code = Vec::new();
    let mut position = Position { line: 1, column: 1 };
    for &byte in source {
        if let Some(op) = command(byte) {
            code.push(Located { op, position });
        }
        position.advance(byte);
    }
    code.push(Located { op: Op::Halt, position });
    code
}

fn command(byte: u8) -> Option<Op> {
    Some(match byte {
        b'>' => Op::Right,
        b'<' => Op::Left,
        b'+' => Op::Inc,
        b'-' => Op::Dec,
        b'.' => Op::Put,
        b',' => Op::Get,
        b'[' => Op::Open(0),
        b']' => Op::Close(0),
        _ => return None,
    })
}

/// Resolves all jumps.
fn link(code: &mut [Located]) -> Result<(), ParseError> {
    let mut unclosed = Vec::new();
    for close in 0..code.len() {
        let Located { op, position } = code[close];
        match op {
            Op::Open(_) => unclosed.push(close),
            Op::Close(_) => {
                let open = unclosed.pop().ok_or(ParseError {
                    bracket: Unmatched::Close,
                    position,
                })?;
                code[open].op = Op::Open(close + 1);
                code[close].op = Op::Close(open + 1);
            }
            _ => {}
        }
    }
    match unclosed.pop() {
        Some(open) => Err(ParseError {
            bracket: Unmatched::Open,
            position: code[open].position,
        }),
        None => Ok(()),
    }
}

impl Position {
    /// Steps over `byte`. The continuation bytes of UTF-8 belong to the character before them.
    fn advance(&mut self, byte: u8) {
        if byte == b'\n' {
            self.line += 1;
            self.column = 1;
        } else if byte & 0b1100_0000 != 0b1000_0000 {
            self.column += 1;
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_lead_behind_their_partner() {
        let program = Program::parse(b"+[>[-]<]", Form::Plain).expect("balanced");
        let expected = [
            Op::Inc,
            Op::Open(8),
            Op::Right,
            Op::Open(6),
            Op::Dec,
            Op::Close(4),
            Op::Left,
            Op::Close(2),
            Op::Halt,
        ];
        assert_eq!(program.ops(), expected);
    }

    #[test]
    fn positions_count_lines_and_characters() {
        let program = Program::parse("é+\n é é>".as_bytes(), Form::Plain).expect("balanced");
        assert_eq!(program.position(0), Position { line: 1, column: 2 });
        assert_eq!(program.position(1), Position { line: 2, column: 5 });
    }

    #[test]
    fn unmatched_brackets_are_located() {
        let open = Program::parse(b"[]\n +[>[-]", Form::Plain).expect_err("unbalanced");
        assert_eq!(open.to_string(), "2:3: this `[` is never closed");
        let close = Program::parse(b"[-]\n]", Form::Optimized).expect_err("unbalanced");
        assert_eq!(close.to_string(), "2:1: this `]` closes nothing");
    }
}
