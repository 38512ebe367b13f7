//! What can go wrong: with a program's text ([`ParseError`]), and while it runs ([`Error`]).
//!
//! Both print as one line without a file name, which only the command line knows.

use crate::program::Position;
use metatrace::jit;
use std::fmt;
use std::io;

/// Why a program stopped before its end.
#[derive(Debug)]
#[repr(u8)]
pub enum Error {
    /// The pointer left the tape.
    Tape {
        /// The end that it passed.
        end: TapeEnd,
        /// The op that moved it; one that stands for several characters is placed at the first of them.
        position: Position,
    },
    /// Input could not be read.
    Input(io::Error),
    /// Output could not be written.
    Output(io::Error),
}

/// An end of the tape.
#[jit]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TapeEnd {
    /// Before the first cell.
    Left,
    /// After the last cell.
    Right,
}

/// A bracket without its partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Which bracket stands alone.
    pub bracket: Unmatched,
    /// Where it stands.
    pub position: Position,
}

/// The bracket that has no partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmatched {
    /// A `[` that nothing closes.
    Open,
    /// A `]` that closes nothing.
    Close,
}

impl Error {
    /// Whether the reader of our output has gone away: an end that is nobody's mistake.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Error::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Tape {
                end: TapeEnd::Left,
                position,
            } => {
                write!(f, "{position}: the pointer moved left of the first cell")
            }
            Error::Tape {
                end: TapeEnd::Right,
                position,
            } => {
                write!(f, "{position}: the pointer moved right of the last cell")
            }
            Error::Input(error) => write!(f, "cannot read input: {error}"),
            Error::Output(error) => write!(f, "cannot write output: {error}"),
        }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.bracket {
            Unmatched::Open => "this `[` is never closed",
            Unmatched::Close => "this `]` closes nothing",
        };
        write!(f, "{}: {what}", self.position)
    }
}

impl std::error::Error for ParseError {}
