//! What the tracer remembers of a word: the word itself, and how the trace would write it.

use metatrace_ir::{Const, Kind, Ref};

/// A word and its place in the trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Value {
    /// The word.
    pub bits: u64,
    /// Its kind.
    pub kind: Kind,
    /// The value of the trace; for others [`CONST`] or [`FROZEN`]. In one word, for values are copied at each step.
    place: Ref,
}

/// Stands for [`Source::Const`]: some constant, whichever.
const CONST: Ref = Ref::zero(Kind::Int);

/// Stands for [`Source::Frozen`]: some green constant.
const FROZEN: Ref = CONST.green();

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
            place: CONST,
        }
    }

    /// A constant that points to frozen memory.
    pub fn frozen(kind: Kind, bits: u64) -> Value {
        Value {
            bits,
            kind,
            place: FROZEN,
        }
    }

    /// A constant that a trace refers to; `green`: by a green reference.
    pub fn of_constant(Const { kind, bits }: Const, green: bool) -> Value {
        match green {
            true => Value::frozen(kind, bits),
            false => Value::constant(kind, bits),
        }
    }

    /// A value of the trace.
    ///
    /// # Panics
    /// If that is a constant, in debug builds.
    pub fn traced(kind: Kind, bits: u64, value: Ref) -> Value {
        debug_assert!(!value.is_const(), "{value:?} is a constant");
        Value {
            bits,
            kind,
            place: value,
        }
    }

    /// How the trace refers to it.
    pub fn source(self) -> Source {
        match (self.place.is_const(), self.place.is_green()) {
            (false, _) => Source::Trace(self.place),
            (true, false) => Source::Const,
            (true, true) => Source::Frozen,
        }
    }

    /// Whether it is the same whenever the trace runs.
    pub fn is_const(self) -> bool {
        self.place.is_const()
    }

    /// Whether it is a constant that points to frozen memory.
    pub fn is_frozen(self) -> bool {
        self.place.is_green()
    }

    /// The constant; `None` where it depends on the inputs.
    pub fn as_const(self) -> Option<Const> {
        self.is_const().then_some(Const {
            kind: self.kind,
            bits: self.bits,
        })
    }
}
