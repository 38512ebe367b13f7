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
/// operations without a result are never referred to). A constant whose bits are a number of 27 bits, extended by its
/// sign, is in the reference itself: most are places in the guest's program or in jitcode, and need no entry. Others are indices into the trace's table. Equal constants of a trace have equal references, and constants sort
/// behind values.
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
    /// A constant in the reference itself: two bits for its kind, the rest for its bits, which are extended by their sign.
    const SMALL: u32 = 1 << 29;
    const SMALL_BITS: u32 = 27;

    /// The value with number `n`.
    #[inline]
    pub const fn value(n: usize) -> Ref {
        assert!(n < Self::GREEN as usize, "a trace has fewer than 2^30 values");
        Ref(n as u32)
    }

    /// The constant with index `n` in the trace's table.
    #[inline]
    pub const fn constant(n: usize) -> Ref {
        assert!(n < Self::SMALL as usize, "a trace has fewer than 2^29 constants");
        Ref(n as u32 | Self::CONST)
    }

    /// A constant that is in the reference itself; `None` if it is too large.
    #[inline]
    pub(crate) const fn small(Const { kind, bits }: Const) -> Option<Ref> {
        let unused = i64::BITS - Self::SMALL_BITS;
        if (bits as i64) << unused >> unused != bits as i64 {
            return None;
        }
        let bits = bits as u32 & ((1 << Self::SMALL_BITS) - 1);
        Some(Ref(Self::CONST
            | Self::SMALL
            | (kind as u32) << Self::SMALL_BITS
            | bits))
    }

    /// The constant of this kind whose bits are 0.
    #[inline]
    pub const fn zero(kind: Kind) -> Ref {
        match Ref::small(Const { kind, bits: 0 }) {
            Some(zero) => zero,
            None => unreachable!(),
        }
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

    /// Which constant this is; `None` for other values.
    #[inline]
    pub(crate) fn as_const(self) -> Option<Constant> {
        if !self.is_const() {
            return None;
        }
        let rest = self.0 & (Self::SMALL - 1);
        if self.0 & Self::SMALL == 0 {
            return Some(Constant::Entry(rest as usize));
        }
        let kind = match rest >> Self::SMALL_BITS {
            0 => Kind::Int,
            1 => Kind::Ref,
            // there are no others
            _ => Kind::Float,
        };
        let unused = u32::BITS - Self::SMALL_BITS;
        let bits = (rest << unused) as i32 >> unused;
        Some(Constant::Small(Const {
            kind,
            bits: bits as u64,
        }))
    }
}

/// What a reference to a constant says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Constant {
    /// The constant itself.
    Small(Const),
    /// Its index in the trace's table.
    Entry(usize),
}

impl fmt::Debug for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = if self.is_green() { 'g' } else { 'c' };
        match self.as_const() {
            Some(Constant::Entry(n)) => write!(f, "{letter}{n}"),
            Some(Constant::Small(Const { kind, bits })) => write!(f, "{letter}({}{})", kind.letter(), bits as i64),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Trace;

    #[test]
    fn constants_are_found_by_their_references() {
        let edge = 1 << (Ref::SMALL_BITS - 1);
        let mut trace = Trace::new(Vec::new());
        for kind in [Kind::Int, Kind::Ref, Kind::Float] {
            assert_eq!(trace.as_const(Ref::zero(kind)), Some(Const { kind, bits: 0 }));
            for (int, is_small) in [
                (1, true),
                (-1, true),
                (edge - 1, true),
                (-edge, true),
                (edge, false),
                (-edge - 1, false),
                (i64::MIN, false),
                (i64::MAX, false),
            ] {
                let constant = Const { kind, bits: int as u64 };
                let value = trace.constant(constant);
                assert_eq!(Ref::small(constant), is_small.then_some(value), "{constant:?}");
                assert_eq!(trace.constant(constant), value, "{constant:?}");
                for value in [value, value.green(), value.green().plain()] {
                    assert_eq!(trace.as_const(value), Some(constant), "{constant:?}");
                    assert_eq!(value.as_value(), None, "{constant:?}");
                    assert!(
                        value > Ref::value(Ref::GREEN as usize - 1),
                        "{constant:?} is in front of values"
                    );
                }
                assert!(value.green().is_green() && !value.is_green(), "{constant:?}");
                assert_eq!(value.green().plain(), value, "{constant:?}");
            }
        }
    }
}
