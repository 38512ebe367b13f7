//! What operations compute, as circuits: [`eval`](metatrace_ir::eval::eval) on words of unknown bits.
//!
//! A [`Word`] has a width, 64 as in traces or less where a circuit of 64 bits is too hard to reason about: that of two
//! unknown factors. Shifts need a width that is a power of two, floats and sign extension need 64. Floats are computed
//! with as far as signs, comparisons and conversions go; sums and products of floats are absent.
//!
//! The tests compare each circuit with `eval`, and each condition's circuit with the condition.

use super::gates::{Bit, Graph, Values};
use crate::rules::condition::Integer;
use metatrace_ir::Opcode;
use std::iter;
use std::ops::{BitAnd, BitOr, BitXor, Not};

const MOST: usize = 64;

/// An integer of `width` unknown bits; the bits beyond are false.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word<'g> {
    bits: [Bit<'g>; MOST],
    width: usize,
}

/// What an operation gives: its result, and whether it has one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Computed<'g> {
    pub(super) word: Word<'g>,
    pub(super) defined: Bit<'g>,
}

impl<'g> Word<'g> {
    /// The low bits of this number.
    pub(super) fn constant(graph: &'g Graph, width: usize, n: u64) -> Word<'g> {
        Word::of((0..width).map(|at| graph.constant(n >> at & 1 != 0)), graph)
    }

    /// New inputs.
    pub(super) fn input(graph: &'g Graph, width: usize) -> Word<'g> {
        Word::of(iter::repeat_with(|| graph.input()).take(width), graph)
    }

    /// These bits, from the lowest.
    fn of(bits: impl IntoIterator<Item = Bit<'g>>, graph: &'g Graph) -> Word<'g> {
        let mut word = Word {
            bits: [graph.constant(false); MOST],
            width: 0,
        };
        for bit in bits {
            word.bits[word.width] = bit;
            word.width += 1;
        }
        word
    }

    pub(super) fn bits(&self) -> &[Bit<'g>] {
        &self.bits[..self.width]
    }

    pub(super) fn sign(self) -> Bit<'g> {
        self.bits[self.width - 1]
    }

    /// The number it is in the `lane`th of these values.
    pub(super) fn value(&self, values: &Values, lane: usize) -> u64 {
        let bits = self.bits().iter().enumerate();
        bits.map(|(at, bit)| (values.bit(*bit) >> lane & 1) << at).sum()
    }

    fn graph(self) -> &'g Graph {
        self.bits[0].graph()
    }

    fn no(self) -> Bit<'g> {
        self.graph().constant(false)
    }

    /// 1 if the bit is true, else 0; of this word's width.
    fn truth(self, bit: Bit<'g>) -> Word<'g> {
        let mut word = self.number(0);
        word.bits[0] = bit;
        word
    }

    fn map(self, f: impl FnMut(Bit<'g>) -> Bit<'g>) -> Word<'g> {
        Word::of(self.bits().iter().copied().map(f), self.graph())
    }

    fn zip(self, other: Word<'g>, f: impl Fn(Bit<'g>, Bit<'g>) -> Bit<'g>) -> Word<'g> {
        assert_eq!(self.width, other.width);
        let pairs = self.bits().iter().zip(other.bits());
        Word::of(pairs.map(|(a, b)| f(*a, *b)), self.graph())
    }

    fn any(self) -> Bit<'g> {
        self.bits().iter().fold(self.no(), |any, bit| any | *bit)
    }

    pub(super) fn select(condition: Bit<'g>, then: Word<'g>, otherwise: Word<'g>) -> Word<'g> {
        then.zip(otherwise, |a, b| condition.select(a, b))
    }

    /// The bits from `from` to below `to`, as a word of that width.
    fn part(self, from: usize, to: usize) -> Word<'g> {
        Word::of(self.bits[from..to].iter().copied(), self.graph())
    }

    /// The sum, and the carry out of it.
    fn sum(self, other: Word<'g>, carry: Bit<'g>) -> (Word<'g>, Bit<'g>) {
        let (bits, carry) = sum(self.bits(), other.bits(), carry);
        (Word::of(bits, self.graph()), carry)
    }

    fn minus(self, other: Word<'g>) -> Word<'g> {
        self.sum(!other, self.graph().constant(true)).0
    }

    fn negated(self) -> Word<'g> {
        self.number(0).minus(self)
    }

    fn negated_if(self, condition: Bit<'g>) -> Word<'g> {
        Word::select(condition, self.negated(), self)
    }

    fn minimum(self) -> Word<'g> {
        self.number(1 << (self.width - 1))
    }

    /// Its bits and as many copies of `high` above.
    fn twice_as_wide(self, high: Bit<'g>) -> Vec<Bit<'g>> {
        let high = iter::repeat_n(high, self.width);
        self.bits().iter().copied().chain(high).collect()
    }

    fn times(self, other: Word<'g>) -> Word<'g> {
        Word::of(product(self.bits(), other.bits()), self.graph())
    }

    fn unsigned_high_product(self, other: Word<'g>) -> Word<'g> {
        let product = product(&self.twice_as_wide(self.no()), &other.twice_as_wide(self.no()));
        Word::of(product[self.width..].iter().copied(), self.graph())
    }

    fn shifted(self, count: Word<'g>, towards: Towards, filler: Bit<'g>) -> Word<'g> {
        assert!(self.width.is_power_of_two(), "shifts take the low bits of the count");
        let mut shifted = self;
        for (n, count) in count.bits[..self.width.ilog2() as usize].iter().enumerate() {
            let by = 1 << n;
            let from = |at: usize| match towards {
                Towards::High => at.checked_sub(by),
                Towards::Low => Some(at + by).filter(|from| *from < self.width),
            };
            let bit = |at| count.select(from(at).map_or(filler, |from| shifted.bits[from]), shifted.bits[at]);
            shifted = Word::of((0..self.width).map(bit), self.graph());
        }
        shifted
    }

    fn up(self, count: Word<'g>) -> Word<'g> {
        self.shifted(count, Towards::High, self.no())
    }

    fn down(self, count: Word<'g>) -> Word<'g> {
        self.shifted(count, Towards::Low, self.no())
    }

    /// Quotient and remainder, of unsigned numbers: of 0 as divisor, anything.
    fn divided(self, divisor: Word<'g>) -> (Word<'g>, Word<'g>) {
        let (mut quotient, mut rest) = (self.number(0), self.number(0));
        for at in (0..self.width).rev() {
            let high = rest.sign();
            rest.bits.copy_within(0..self.width - 1, 1);
            rest.bits[0] = self.bits[at];
            let fits = high | !rest.below(divisor);
            quotient.bits[at] = fits;
            rest = Word::select(fits, rest.minus(divisor), rest);
        }
        (quotient, rest)
    }

    /// Quotient and remainder, of signed numbers.
    fn divided_signed(self, divisor: Word<'g>) -> (Word<'g>, Word<'g>) {
        let magnitude = |n: Word<'g>| n.negated_if(n.sign());
        let (quotient, rest) = magnitude(self).divided(magnitude(divisor));
        let signs_differ = self.sign() ^ divisor.sign();
        (quotient.negated_if(signs_differ), rest.negated_if(self.sign()))
    }

    fn leading_zeros(self) -> Word<'g> {
        let all = self.number(self.width as u64);
        let from_low = self.bits().iter().enumerate();
        from_low.fold(all, |count, (at, bit)| {
            Word::select(*bit, self.number((self.width - 1 - at) as u64), count)
        })
    }

    fn trailing_zeros(self) -> Word<'g> {
        let all = self.number(self.width as u64);
        let from_high = self.bits().iter().enumerate().rev();
        from_high.fold(all, |count, (at, bit)| {
            Word::select(*bit, self.number(at as u64), count)
        })
    }

    fn ones(self) -> Word<'g> {
        let bits = self.bits().iter();
        bits.fold(self.number(0), |count, bit| count.plus(self.truth(*bit)))
    }

    fn sum_overflows(self, other: Word<'g>) -> Bit<'g> {
        let sum = self.plus(other);
        (self.sign() ^ sum.sign()) & (other.sign() ^ sum.sign())
    }

    fn difference_overflows(self, other: Word<'g>) -> Bit<'g> {
        let difference = self.minus(other);
        (self.sign() ^ other.sign()) & (self.sign() ^ difference.sign())
    }

    fn product_overflows(self, other: Word<'g>) -> Bit<'g> {
        let product = product(&self.twice_as_wide(self.sign()), &other.twice_as_wide(other.sign()));
        let sign = product[self.width - 1];
        let above = product[self.width..].iter();
        above.fold(self.no(), |any, bit| any | (*bit ^ sign))
    }

    /// One of these, by the number of bytes that it is; what it is for no bytes otherwise.
    fn by_bytes(self, of: impl Fn(usize) -> Word<'g>, otherwise: Word<'g>) -> Word<'g> {
        assert_eq!(self.width, MOST, "bytes are those of a whole word");
        [1, 2, 4].into_iter().fold(otherwise, |word, bytes| {
            Word::select(self.is(bytes as u64), of(bytes), word)
        })
    }
}

enum Towards {
    High,
    Low,
}

fn sum<'g>(a: &[Bit<'g>], b: &[Bit<'g>], mut carry: Bit<'g>) -> (Vec<Bit<'g>>, Bit<'g>) {
    let mut bits = Vec::with_capacity(a.len());
    for (a, b) in a.iter().zip(b) {
        let differ = *a ^ *b;
        bits.push(differ ^ carry);
        carry = *a & *b | carry & differ;
    }
    (bits, carry)
}

/// As many bits of the product as the factors have. A constant factor is a sum and difference of few powers of two.
fn product<'g>(a: &[Bit<'g>], b: &[Bit<'g>]) -> Vec<Bit<'g>> {
    let graph = a[0].graph();
    let (no, yes) = (graph.constant(false), graph.constant(true));
    let shifted = |by: usize| iter::repeat_n(no, by).chain(a[..a.len() - by].iter().copied());
    let mut product = vec![no; a.len()];
    if let Some(n) = signed_constant(b) {
        for (at, digit) in signed_digits(n, b.len()) {
            let row: Vec<Bit<'g>> = shifted(at).map(|bit| if digit { bit } else { !bit }).collect();
            product = sum(&product, &row, if digit { no } else { yes }).0;
        }
    } else {
        for (at, bit) in b.iter().enumerate() {
            let row: Vec<Bit<'g>> = shifted(at).map(|of_a| of_a & *bit).collect();
            product = sum(&product, &row, no).0;
        }
    }
    product
}

fn signed_constant(bits: &[Bit<'_>]) -> Option<i128> {
    let sign = bits.last()?.as_constant()?;
    bits.iter().rev().try_fold(if sign { -1 } else { 0 }, |n: i128, bit| {
        Some(n << 1 | i128::from(bit.as_constant()?))
    })
}

/// The non-adjacent form: the places of 1 and, `false`, of -1.
fn signed_digits(mut n: i128, width: usize) -> impl Iterator<Item = (usize, bool)> {
    (0..width).filter_map(move |at| {
        let digit = (n & 1 != 0).then_some(n & 3 == 1);
        n = n.wrapping_sub(digit.map_or(0, |is_one| if is_one { 1 } else { -1 })) >> 1;
        Some((at, digit?))
    })
}

impl<'g> BitAnd for Word<'g> {
    type Output = Word<'g>;

    fn bitand(self, other: Word<'g>) -> Word<'g> {
        self.zip(other, |a, b| a & b)
    }
}

impl<'g> BitOr for Word<'g> {
    type Output = Word<'g>;

    fn bitor(self, other: Word<'g>) -> Word<'g> {
        self.zip(other, |a, b| a | b)
    }
}

impl<'g> BitXor for Word<'g> {
    type Output = Word<'g>;

    fn bitxor(self, other: Word<'g>) -> Word<'g> {
        self.zip(other, |a, b| a ^ b)
    }
}

impl<'g> Not for Word<'g> {
    type Output = Word<'g>;

    fn not(self) -> Word<'g> {
        self.map(|bit| !bit)
    }
}

impl<'g> Integer for Word<'g> {
    type Truth = Bit<'g>;

    fn number(self, n: u64) -> Word<'g> {
        Word::constant(self.graph(), self.width, n)
    }

    fn equals(self, other: Word<'g>) -> Bit<'g> {
        !(self ^ other).any()
    }

    fn lt(self, other: Word<'g>) -> Bit<'g> {
        (self ^ self.minimum()).below(other ^ self.minimum())
    }

    fn below(self, other: Word<'g>) -> Bit<'g> {
        !self.sum(!other, self.graph().constant(true)).1
    }

    fn plus(self, other: Word<'g>) -> Word<'g> {
        self.sum(other, self.no()).0
    }

    fn saturating_add(self, other: Word<'g>) -> Word<'g> {
        let (sum, carry) = self.sum(other, self.no());
        sum.map(|bit| bit | carry)
    }

    fn low_bytes(self) -> Word<'g> {
        self.by_bytes(|bytes| self.number(u64::MAX >> (64 - 8 * bytes)), self.number(u64::MAX))
    }

    fn signext(self, bytes: Word<'g>) -> Word<'g> {
        let extended = |bytes: usize| {
            let low = &self.bits[..8 * bytes];
            let sign = iter::repeat(low[low.len() - 1]);
            Word::of(low.iter().copied().chain(sign).take(MOST), self.graph())
        };
        bytes.by_bytes(extended, self)
    }

    fn sum_fits(self, other: Word<'g>) -> Bit<'g> {
        !self.sum_overflows(other)
    }

    fn difference_fits(self, other: Word<'g>) -> Bit<'g> {
        !self.difference_overflows(other)
    }

    fn product_fits(self, other: Word<'g>) -> Bit<'g> {
        !self.product_overflows(other)
    }
}

/// The bits of a float, as IEEE 754 sees them.
const MANTISSA: usize = 52;
const BIAS: u64 = 1023;

impl<'g> Word<'g> {
    fn magnitude(self) -> Word<'g> {
        let mut magnitude = self;
        magnitude.bits[MOST - 1] = self.no();
        magnitude
    }

    fn is_nan(self) -> Bit<'g> {
        self.number(f64::INFINITY.to_bits()).below(self.magnitude())
    }

    fn float_equals(self, other: Word<'g>) -> Bit<'g> {
        let zeros = (self | other).magnitude().is(0);
        !self.is_nan() & !other.is_nan() & (self.equals(other) | zeros)
    }

    fn float_lt(self, other: Word<'g>) -> Bit<'g> {
        let (a, b) = (self.magnitude(), other.magnitude());
        let of_signs = self.sign().select(
            other.sign().select(b.below(a), !(a | b).is(0)),
            !other.sign() & a.below(b),
        );
        !self.is_nan() & !other.is_nan() & of_signs
    }

    /// `as f64`, to nearest, ties to even.
    fn to_float(self) -> Word<'g> {
        let magnitude = self.negated_if(self.sign());
        let zeros = magnitude.leading_zeros();
        // the highest one is in the highest place, and is not written
        let normal = magnitude.up(zeros);
        let dropped = MOST - 1 - MANTISSA;
        let half = normal.bits[dropped - 1];
        let rounds_up = half & (normal.part(0, dropped - 1).any() | normal.bits[dropped]);
        let exponent = self.number(BIAS + 63).minus(zeros);
        let written = normal.part(dropped, MOST - 1).bits;
        let exponent_bits = exponent.bits[..MOST - MANTISSA].iter();
        let down = Word::of(written[..MANTISSA].iter().chain(exponent_bits).copied(), self.graph());
        let mut float = down.plus(self.truth(rounds_up));
        float.bits[MOST - 1] = self.sign();
        Word::select(self.is(0), self, float)
    }

    /// `as i64`: saturates, NaN gives 0.
    fn float_to_int(self) -> Word<'g> {
        let exponent = self.magnitude().down(self.number(MANTISSA as u64));
        let one = self.graph().constant(true);
        // with the highest one in the highest place
        let normal = iter::repeat_n(self.no(), MOST - 1 - MANTISSA)
            .chain(self.bits[..MANTISSA].iter().copied())
            .chain([one]);
        let integer = Word::of(normal, self.graph()).down(self.number(BIAS + 63).minus(exponent));
        let limit = Word::select(self.sign(), self.minimum(), !self.minimum());
        let large = !exponent.below(self.number(BIAS + 63));
        let small = exponent.below(self.number(BIAS));
        let saturated = Word::select(large, limit, integer.negated_if(self.sign()));
        Word::select(small | self.is_nan(), self.number(0), saturated)
    }
}

/// The result of an operation, an overflow operation's wrapped; `None` if there is no circuit for it.
pub(super) fn computed<'g>(opcode: Opcode, args: &[Word<'g>]) -> Option<Computed<'g>> {
    use Opcode::*;
    let a = args[0];
    let b = args.get(1).copied().unwrap_or(a);
    let truth = |bit| a.truth(bit);
    let word = match opcode {
        IntAdd | IntAddOvf => a.plus(b),
        IntSub | IntSubOvf => a.minus(b),
        IntMul | IntMulOvf => a.times(b),
        UintMulHigh => a.unsigned_high_product(b),
        IntFloordiv => a.divided_signed(b).0,
        IntMod => a.divided_signed(b).1,
        UintFloordiv => a.divided(b).0,
        UintMod => a.divided(b).1,
        IntAnd => a & b,
        IntOr => a | b,
        IntXor => a ^ b,
        IntLshift => a.up(b),
        IntRshift => a.shifted(b, Towards::Low, a.sign()),
        UintRshift => a.down(b),
        IntNeg => a.negated(),
        IntInvert => !a,
        IntSignext => a.signext(b),
        IntClz => a.leading_zeros(),
        IntCtz => a.trailing_zeros(),
        IntPopcount => a.ones(),
        IntLt => truth(a.lt(b)),
        IntLe => truth(a.le(b)),
        IntEq | PtrEq => truth(a.equals(b)),
        IntNe | PtrNe => truth(!a.equals(b)),
        IntGt => truth(b.lt(a)),
        IntGe => truth(b.le(a)),
        UintLt => truth(a.below(b)),
        UintLe => truth(!b.below(a)),
        UintGt => truth(b.below(a)),
        UintGe => truth(!a.below(b)),
        IntIsZero => truth(a.is(0)),
        IntIsTrue => truth(!a.is(0)),
        FloatLt => truth(a.float_lt(b)),
        FloatLe => truth(a.float_lt(b) | a.float_equals(b)),
        FloatEq => truth(a.float_equals(b)),
        FloatNe => truth(!a.float_equals(b)),
        FloatGt => truth(b.float_lt(a)),
        FloatGe => truth(b.float_lt(a) | a.float_equals(b)),
        FloatNeg => a ^ a.minimum(),
        FloatAbs => a.magnitude(),
        CastIntToFloat => a.to_float(),
        CastFloatToInt => a.float_to_int(),
        ConvertFloatBytesToLonglong
        | ConvertLonglongBytesToFloat
        | CastPtrToInt
        | CastIntToPtr
        | SameAsI
        | SameAsR
        | SameAsF => a,
        _ => return None,
    };
    let defined = match opcode {
        IntFloordiv | IntMod => !b.is(0) & !(a.equals(a.minimum()) & b.is(u64::MAX)),
        UintFloordiv | UintMod => !b.is(0),
        IntSignext => b.is(1) | b.is(2) | b.is(4),
        _ => !a.no(),
    };
    Some(Computed { word, defined })
}

/// Whether an overflow operation overflows.
pub(super) fn overflows<'g>(opcode: Opcode, a: Word<'g>, b: Word<'g>) -> Bit<'g> {
    match opcode {
        Opcode::IntAddOvf => a.sum_overflows(b),
        Opcode::IntSubOvf => a.difference_overflows(b),
        Opcode::IntMulOvf => a.product_overflows(b),
        other => panic!("{} sets no overflow flag", other.name()),
    }
}

#[cfg(test)]
mod tests;
