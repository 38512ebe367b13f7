//! What the tracer remembers of a word: the word itself, and how the trace would write it.

use metatrace_ir::{Const, Kind, Ref};

/// A word and its place in the trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Value {
    /// The word.
    pub bits: u64,
    /// Its kind.
    pub kind: Kind,
    /// How the trace refers to it.
    pub source: Source,
}

/// How the trace refers to a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// It depends on the trace's inputs.
    Trace(Ref),
    /// It is the same whenever the trace runs.
    Const,
    /// The same, and it points to memory whose frozen parts do not change while the driver lives: loads from there are
    /// constants too.
    Frozen,
}

impl Value {
    /// A constant.
    pub fn constant(kind: Kind, bits: u64) -> Value {
        Value {
            bits,
            kind,
            source: Source::Const,
        }
    }

    /// A constant that a trace refers to; `green`: by a green reference.
    pub fn of_constant(Const { kind, bits }: Const, green: bool) -> Value {
        let source = if green { Source::Frozen } else { Source::Const };
        Value { bits, kind, source }
    }

    /// A value of the trace.
    pub fn traced(kind: Kind, bits: u64, value: Ref) -> Value {
        Value {
            bits,
            kind,
            source: Source::Trace(value),
        }
    }

    /// Whether it is the same whenever the trace runs.
    pub fn is_const(self) -> bool {
        !matches!(self.source, Source::Trace(_))
    }

    /// The constant; `None` where it depends on the inputs.
    pub fn as_const(self) -> Option<Const> {
        self.is_const().then_some(Const {
            kind: self.kind,
            bits: self.bits,
        })
    }
}
