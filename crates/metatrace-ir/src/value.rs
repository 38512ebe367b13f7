//! Kinds, references to values, and constants.

use std::fmt;

/// The three kinds of word, after the register banks of the jitcode.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Kind {
    /// A 64-bit integer; narrower integers are kept extended according to their signedness. Also data pointers of
    /// slices and `Vec`s.
    Int,
    /// A pointer to the start of an object.
    Ref,
    /// An `f64`.
    Float,
}

impl Kind {
    /// The letter that begins the names of values of this kind.
    pub fn letter(self) -> char {
        match self {
            Kind::Int => 'i',
            Kind::Ref => 'p',
            Kind::Float => 'f',
        }
    }

    /// The kind whose names begin with `letter`.
    pub fn from_letter(letter: char) -> Option<Kind> {
        match letter {
            'i' => Some(Kind::Int),
            'p' => Some(Kind::Ref),
            'f' => Some(Kind::Float),
            _ => None,
        }
    }
}

/// A value of a trace: an input, the result of an operation, or a constant.
///
/// Values are numbered through: input `n` is value `n`, operation `n` defines value `inputs + n` (the numbers of
/// operations without a result are never referred to). Constants are indices into the trace's constant table.
///
/// A reference to a constant also says whether it is *green*: a pointer to memory that does not change along frozen paths
/// while the driver lives. Another pointer may have the same word (the address of a struct is that of its first field,
/// behind which a `Cell` may begin; freed memory is allocated again), so this is a fact about the reference, which goes
/// wherever the value goes, and not about the word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ref(u32);

impl Ref {
    const CONST: u32 = 1 << 31;
    const GREEN: u32 = 1 << 30;

    /// The value with number `n`.
    #[inline]
    pub const fn value(n: usize) -> Ref {
        assert!(n < Self::GREEN as usize, "a trace has fewer than 2^30 values");
        Ref(n as u32)
    }

    /// The constant with index `n` in the trace's table.
    #[inline]
    pub const fn constant(n: usize) -> Ref {
        let Ref(n) = Ref::value(n);
        Ref(n | Self::CONST)
    }

    /// Whether this is a constant.
    #[inline]
    pub const fn is_const(self) -> bool {
        self.0 & Self::CONST != 0
    }

    /// The number of the value, `None` for a constant.
    #[inline]
    pub fn as_value(self) -> Option<usize> {
        (!self.is_const()).then_some(self.0 as usize)
    }

    /// The constant as a green one.
    ///
    /// # Panics
    /// If this is no constant.
    #[inline]
    pub const fn green(self) -> Ref {
        assert!(self.is_const(), "only constants are green");
        Ref(self.0 | Self::GREEN)
    }

    /// Whether this is a green constant.
    #[inline]
    pub fn is_green(self) -> bool {
        self.0 & Self::GREEN != 0
    }

    /// The word without what is known of the memory behind it.
    #[inline]
    pub fn plain(self) -> Ref {
        Ref(self.0 & !Self::GREEN)
    }

    /// The index of the constant, `None` for other values.
    #[inline]
    pub fn as_const(self) -> Option<usize> {
        self.is_const()
            .then_some((self.0 & !(Self::CONST | Self::GREEN)) as usize)
    }
}

impl fmt::Debug for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_const() {
            Some(n) if self.is_green() => write!(f, "g{n}"),
            Some(n) => write!(f, "c{n}"),
            None => write!(f, "v{}", self.0),
        }
    }
}

/// A constant: its kind and its bits (a float's IEEE bits, a pointer's address).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Const {
    /// The kind of the word.
    pub kind: Kind,
    /// Its bits.
    pub bits: u64,
}

impl Const {
    /// An integer constant.
    pub fn int(value: i64) -> Const {
        Const {
            kind: Kind::Int,
            bits: value as u64,
        }
    }

    /// A pointer constant.
    pub fn ptr(address: u64) -> Const {
        Const {
            kind: Kind::Ref,
            bits: address,
        }
    }

    /// A float constant.
    pub fn float(value: f64) -> Const {
        Const {
            kind: Kind::Float,
            bits: value.to_bits(),
        }
    }
}
