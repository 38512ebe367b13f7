//! What the conditions of rules are written in.
//!
//! A condition has one definition, generic over what an [`Integer`] is: in the optimiser a `u64`, whose condition is
//! plain integer code and a `bool`; in proofs a word of unknown bits, whose condition is a circuit. So `&`, `|` and `!`
//! are those of words and of truths alike, and comparisons are methods.
//!
//! Numbers are words: [`lt`](Integer::lt) sees them signed, [`below`](Integer::below) unsigned.

#[cfg(test)]
use super::proofs::{Bit, Word};
use crate::bits::Bits;
use crate::range::Range;
use std::ops::{BitAnd, BitOr, Not};

/// A number in a condition.
pub(crate) trait Integer: Copy + BitAnd<Output = Self> + BitOr<Output = Self> + Not<Output = Self> {
    /// What a comparison gives.
    type Truth: BitAnd<Output = Self::Truth> + BitOr<Output = Self::Truth> + Not<Output = Self::Truth>;

    /// The number `n`, of the same type as this one.
    fn number(self, n: u64) -> Self;

    fn equals(self, other: Self) -> Self::Truth;

    /// Whether it is less, signed.
    fn lt(self, other: Self) -> Self::Truth;

    /// Whether it is less, unsigned.
    fn below(self, other: Self) -> Self::Truth;

    /// The wrapped sum.
    fn plus(self, other: Self) -> Self;

    /// The unsigned sum, the greatest number if it overflows.
    fn saturating_add(self, other: Self) -> Self;

    /// The low bits of as many bytes, if this is 1, 2 or 4; else all.
    fn low_bytes(self) -> Self;

    /// The sign extension of as many low bytes, if these are 1, 2 or 4; else itself.
    fn signext(self, bytes: Self) -> Self;

    /// Whether the signed sum does not overflow.
    fn sum_fits(self, other: Self) -> Self::Truth;

    /// Whether the signed difference does not overflow.
    fn difference_fits(self, other: Self) -> Self::Truth;

    /// Whether the signed product does not overflow.
    fn product_fits(self, other: Self) -> Self::Truth;

    fn is(self, n: u64) -> Self::Truth {
        self.equals(self.number(n))
    }

    /// Whether it is less or equal, signed.
    fn le(self, other: Self) -> Self::Truth {
        !other.lt(self)
    }

    /// Whether a shift by it shifts by as much.
    fn is_count(self) -> Self::Truth {
        self.below(self.number(64))
    }

    fn is_power_of_two(self) -> Self::Truth {
        !self.is(0) & (self & self.plus(self.number(u64::MAX))).is(0)
    }

    /// Whether it is some of the low bits, all up to one: none and all are, too.
    fn is_low_mask(self) -> Self::Truth {
        (self & self.plus(self.number(1))).is(0)
    }

    /// Whether a division by the float with these bits is a multiplication by its inverse, to the last bit: both are
    /// normal powers of two.
    fn has_exact_inverse(self) -> Self::Truth {
        let exponent = |n: u64| self.number(n << 52);
        let magnitude = self & self.number(u64::MAX >> 1);
        (magnitude & self.number((1 << 52) - 1)).is(0) & exponent(1).le(magnitude) & magnitude.le(exponent(2045))
    }
}

impl Integer for u64 {
    type Truth = bool;

    fn number(self, n: u64) -> u64 {
        n
    }

    fn equals(self, other: u64) -> bool {
        self == other
    }

    fn lt(self, other: u64) -> bool {
        (self as i64) < other as i64
    }

    fn below(self, other: u64) -> bool {
        self < other
    }

    fn plus(self, other: u64) -> u64 {
        self.wrapping_add(other)
    }

    fn saturating_add(self, other: u64) -> u64 {
        u64::saturating_add(self, other)
    }

    fn low_bytes(self) -> u64 {
        match self {
            1 => u8::MAX.into(),
            2 => u16::MAX.into(),
            4 => u32::MAX.into(),
            _ => u64::MAX,
        }
    }

    fn signext(self, bytes: u64) -> u64 {
        match bytes {
            1 => self as i8 as u64,
            2 => self as i16 as u64,
            4 => self as i32 as u64,
            _ => self,
        }
    }

    fn sum_fits(self, other: u64) -> bool {
        (self as i64).checked_add(other as i64).is_some()
    }

    fn difference_fits(self, other: u64) -> bool {
        (self as i64).checked_sub(other as i64).is_some()
    }

    fn product_fits(self, other: u64) -> bool {
        (self as i64).checked_mul(other as i64).is_some()
    }
}

/// What is known of a value: that it lies from `lo` to `hi`, signed, and has these bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<I> {
    pub(crate) lo: I,
    pub(crate) hi: I,
    pub(crate) zeros: I,
    pub(crate) ones: I,
}

impl Known<u64> {
    pub(crate) const NOTHING: Known<u64> = Known {
        lo: i64::MIN as u64,
        hi: i64::MAX as u64,
        zeros: 0,
        ones: 0,
    };

    pub(crate) fn new(range: Range, bits: Bits) -> Known<u64> {
        Known {
            lo: range.lo as u64,
            hi: range.hi as u64,
            zeros: bits.zeros,
            ones: bits.ones,
        }
    }
}

impl<I: Integer> Known<I> {
    /// The bits that may be 1.
    pub(crate) fn possible(self) -> I {
        !self.zeros
    }

    /// The lowest bit that may be 1; 0: none may.
    pub(crate) fn lowest_possible(self) -> I {
        !self.zeros & self.zeros.plus(self.zeros.number(1))
    }

    /// Whether it lies from `lo` to `hi`.
    pub(crate) fn within(self, lo: i64, hi: i64) -> I::Truth {
        let number = |n: i64| self.lo.number(n as u64);
        number(lo).le(self.lo) & self.hi.le(number(hi))
    }

    /// Whether it is never negative, so that signed and unsigned mean the same.
    pub(crate) fn is_natural(self) -> I::Truth {
        self.lo.number(0).le(self.lo)
    }

    /// Whether it is 0 or 1.
    pub(crate) fn is_bool(self) -> I::Truth {
        self.within(0, 1)
    }

    /// Whether its range has no 0.
    pub(crate) fn is_never_zero(self) -> I::Truth {
        let zero = self.lo.number(0);
        zero.lt(self.lo) | self.hi.lt(zero)
    }

    /// Whether the two ranges have no number in common.
    pub(crate) fn is_apart_from(self, other: Known<I>) -> I::Truth {
        self.hi.lt(other.lo) | other.hi.lt(self.lo)
    }

    /// Whether a bit is known to be different in both.
    pub(crate) fn differs_from(self, other: Known<I>) -> I::Truth {
        !((self.ones & other.zeros) | (self.zeros & other.ones)).is(0)
    }

    /// Whether sign extension of as many bytes gives itself.
    pub(crate) fn is_extended(self, bytes: I) -> I::Truth {
        let is_extended = |n: I| n.signext(bytes).equals(n);
        is_extended(self.lo) & is_extended(self.hi)
    }

    /// Whether no sum overflows.
    pub(crate) fn sums_fit(self, other: Known<I>) -> I::Truth {
        self.lo.sum_fits(other.lo) & self.hi.sum_fits(other.hi)
    }

    /// Whether no difference overflows.
    pub(crate) fn differences_fit(self, other: Known<I>) -> I::Truth {
        self.lo.difference_fits(other.hi) & self.hi.difference_fits(other.lo)
    }

    /// Whether no product overflows.
    pub(crate) fn products_fit(self, other: Known<I>) -> I::Truth {
        let fits = |n: I| n.product_fits(other.lo) & n.product_fits(other.hi);
        fits(self.lo) & fits(self.hi)
    }
}

/// What the variables of a pattern stand for: what is known of `x` and `y`, and the bits of `c` and `d`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matched<I> {
    pub(crate) x: Known<I>,
    pub(crate) y: Known<I>,
    pub(crate) c: I,
    pub(crate) d: I,
}

/// What must hold of what a pattern has matched: one definition, of a number type each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Condition {
    pub(crate) holds: fn(&Matched<u64>) -> bool,
    /// The circuit.
    #[cfg(test)]
    pub(crate) circuit: for<'g> fn(&Matched<Word<'g>>) -> Bit<'g>,
}
