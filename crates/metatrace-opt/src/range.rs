//! Ranges of integers: what one definition says of a value, seen as signed 64-bit.

use metatrace_ir::{Opcode, Word};

/// From `lo` to `hi`, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// The least value.
    pub lo: i64,
    /// The greatest value.
    pub hi: i64,
}

impl Range {
    /// Every word.
    pub const FULL: Range = Range {
        lo: i64::MIN,
        hi: i64::MAX,
    };
    /// What comparisons give.
    pub const BOOL: Range = Range { lo: 0, hi: 1 };

    /// From `lo` to `hi`.
    ///
    /// # Panics
    /// If it would be empty.
    pub fn new(lo: i64, hi: i64) -> Range {
        assert!(lo <= hi, "the range {lo} to {hi} is empty");
        Range { lo, hi }
    }

    /// Just this value.
    pub fn constant(value: i64) -> Range {
        Range { lo: value, hi: value }
    }

    /// What a load of this word gives.
    pub fn of_word(word: Word) -> Range {
        match word {
            Word::U8 => Range::new(0, u8::MAX.into()),
            Word::U16 => Range::new(0, u16::MAX.into()),
            Word::U32 => Range::new(0, u32::MAX.into()),
            Word::I8 => Range::new(i8::MIN.into(), i8::MAX.into()),
            Word::I16 => Range::new(i16::MIN.into(), i16::MAX.into()),
            Word::I32 => Range::new(i32::MIN.into(), i32::MAX.into()),
            Word::Length => Range::new(0, i64::MAX),
            Word::U64 | Word::I64 | Word::Ref | Word::F64 => Range::FULL,
        }
    }

    /// What sign extension of `bytes` bytes gives.
    pub fn of_signext(bytes: u64) -> Range {
        match bytes {
            1 => Range::of_word(Word::I8),
            2 => Range::of_word(Word::I16),
            4 => Range::of_word(Word::I32),
            _ => Range::FULL,
        }
    }

    /// Whether every value of this range is one of the other.
    pub fn within(self, other: Range) -> bool {
        other.lo <= self.lo && self.hi <= other.hi
    }

    /// Whether it is 0 or 1.
    pub fn is_bool(self) -> bool {
        self.within(Range::BOOL)
    }

    /// Whether it is never negative, so that signed and unsigned mean the same.
    pub fn is_natural(self) -> bool {
        self.lo >= 0
    }

    /// The one value, if there is only one.
    pub fn single(self) -> Option<i64> {
        (self.lo == self.hi).then_some(self.lo)
    }

    /// The values of both; `None` if there are none.
    pub fn intersect(self, other: Range) -> Option<Range> {
        let (lo, hi) = (self.lo.max(other.lo), self.hi.min(other.hi));
        (lo <= hi).then_some(Range { lo, hi })
    }

    fn from_i128(lo: i128, hi: i128) -> Option<Range> {
        Some(Range {
            lo: lo.try_into().ok()?,
            hi: hi.try_into().ok()?,
        })
    }

    /// The exact sums, if none overflows.
    pub fn add(self, other: Range) -> Option<Range> {
        Some(Range {
            lo: self.lo.checked_add(other.lo)?,
            hi: self.hi.checked_add(other.hi)?,
        })
    }

    /// The exact differences, if none overflows.
    pub fn sub(self, other: Range) -> Option<Range> {
        Some(Range {
            lo: self.lo.checked_sub(other.hi)?,
            hi: self.hi.checked_sub(other.lo)?,
        })
    }

    /// The exact products, if none overflows.
    pub fn mul(self, other: Range) -> Option<Range> {
        let corners = [
            self.lo.checked_mul(other.lo)?,
            self.lo.checked_mul(other.hi)?,
            self.hi.checked_mul(other.lo)?,
            self.hi.checked_mul(other.hi)?,
        ];
        Some(Range {
            lo: *corners.iter().min()?,
            hi: *corners.iter().max()?,
        })
    }
}

/// What an arithmetic operation on operands of these ranges gives; `b` is full where there is one operand.
pub fn transfer(opcode: Opcode, a: Range, b: Range) -> Range {
    use Opcode::*;
    let shift = b.single().map(|count| (count & 63) as u32);
    let known = match opcode {
        _ if opcode.is_comparison() => Some(Range::BOOL),
        IntAdd | IntAddOvf => a.add(b),
        IntSub | IntSubOvf => a.sub(b),
        IntMul | IntMulOvf => a.mul(b),
        IntNeg => Range::constant(0).sub(a),
        IntInvert => Some(Range::new(!a.hi, !a.lo)),
        IntAnd => match (a.is_natural(), b.is_natural()) {
            (true, true) => Some(Range::new(0, a.hi.min(b.hi))),
            (true, false) => Some(Range::new(0, a.hi)),
            (false, true) => Some(Range::new(0, b.hi)),
            (false, false) => None,
        },
        IntOr | IntXor if a.is_natural() && b.is_natural() => {
            let bits = 64 - (a.hi | b.hi).leading_zeros();
            Some(Range::new(0, ((1u64 << bits) - 1) as i64))
        }
        IntRshift => shift.map(|count| Range::new(a.lo >> count, a.hi >> count)),
        UintRshift => match shift {
            Some(count) if a.is_natural() => Some(Range::new(a.lo >> count, a.hi >> count)),
            Some(count) if count > 0 => Some(Range::new(0, (u64::MAX >> count) as i64)),
            _ => None,
        },
        IntLshift => shift
            .filter(|count| *count < 63)
            .and_then(|count| a.mul(Range::constant(1 << count))),
        IntSignext => {
            let widened = Range::of_signext(b.lo as u64);
            Some(if a.within(widened) { a } else { widened })
        }
        IntClz | IntCtz | IntPopcount => Some(Range::new(0, 64)),
        // the sign is the dividend's
        IntMod => b
            .single()
            .filter(|divisor| *divisor != 0 && *divisor != i64::MIN)
            .map(|divisor| {
                let most = divisor.abs() - 1;
                let least = if a.is_natural() { 0 } else { -most };
                Range::new(least.max(a.lo.min(0)), if a.hi <= 0 { 0 } else { most.min(a.hi) })
            }),
        IntFloordiv => b
            .single()
            .filter(|divisor| *divisor > 0)
            .map(|divisor| Range::new(a.lo / divisor, a.hi / divisor)),
        UintMod => b
            .single()
            .filter(|divisor| *divisor > 0)
            .map(|divisor| Range::new(0, divisor - 1)),
        UintFloordiv => {
            let divisor = b.single().map_or(0, |divisor| divisor as u64);
            (divisor > 1).then(|| Range::new(0, (u64::MAX / divisor) as i64))
        }
        _ => None,
    };
    known.unwrap_or(Range::FULL)
}

/// Where operand `n` lies if the operation's result lies there, and its operands so far here.
pub fn backward(opcode: Opcode, result: Range, a: Range, b: Range, n: usize) -> Range {
    use Opcode::*;
    let count = b.single().map(|count| (count & 63) as u32);
    // exact differences that do not overflow are what wrapping arithmetic gives
    let known = match (opcode, n) {
        (IntAdd | IntAddOvf, 0) => result.sub(b),
        (IntAdd | IntAddOvf, _) => result.sub(a),
        (IntSub | IntSubOvf, 0) => result.add(b),
        (IntSub | IntSubOvf, _) => a.sub(result),
        (IntNeg, _) => Range::constant(0).sub(result),
        (IntInvert, _) => Some(Range::new(!result.hi, !result.lo)),
        (IntRshift | UintRshift, 0) => count
            .filter(|count| opcode == IntRshift || *count > 0)
            .and_then(|count| {
                let end = (i128::from(result.hi) + 1) << count;
                Range::from_i128(i128::from(result.lo) << count, end - 1)
            }),
        (SameAsI, _) => Some(result),
        _ => None,
    };
    known.unwrap_or(Range::FULL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use metatrace_ir::eval::eval;
    use metatrace_ir::random::Random;
    use metatrace_ir::{Class, Kind, op::Operands};

    /// A range around a value; both are often at a boundary.
    fn around(value: i64, random: &mut Random) -> Range {
        match random.below(4) {
            0 => Range::constant(value),
            1 => Range::FULL,
            _ => {
                let other = random.interesting_word() as i64;
                Range::new(value.min(other), value.max(other))
            }
        }
    }

    fn is_of_ints(opcode: Opcode) -> bool {
        matches!(opcode.info().operands, Operands::Fixed(kinds) if kinds.iter().all(|kind| *kind == Kind::Int))
            && opcode.result() == Some(Kind::Int)
            && matches!(opcode.class(), Class::Pure | Class::Partial | Class::Overflow)
    }

    fn arity(opcode: Opcode) -> usize {
        match opcode.info().operands {
            Operands::Fixed(kinds) => kinds.len(),
            _ => unreachable!("arithmetic has fixed operands"),
        }
    }

    /// Of an operation on operands in these ranges, for all that are among `numbers`.
    fn check_all(opcode: Opcode, (a_range, b_range): (Range, Range), numbers: &[i64]) {
        let range = transfer(opcode, a_range, b_range);
        let back = |result, n| backward(opcode, result, a_range, b_range, n);
        let of_any = [back(range, 0), back(range, 1)];
        let within = |range: Range| numbers.iter().filter(move |n| Range::constant(**n).within(range));
        for a in within(a_range) {
            for b in within(b_range) {
                let Some(result) = eval(opcode, &[*a as u64, *b as u64]) else {
                    continue;
                };
                let result = Range::constant(result as i64);
                assert!(
                    result.within(range),
                    "{} of {a} in {a_range:?}, {b} in {b_range:?}",
                    opcode.name()
                );
                for (n, operand) in [*a, *b].into_iter().enumerate().take(arity(opcode)) {
                    let operand = Range::constant(operand);
                    assert!(
                        operand.within(of_any[n]) && operand.within(back(result, n)),
                        "{} of {a} in {a_range:?}, {b} in {b_range:?}: operand {n}",
                        opcode.name()
                    );
                }
            }
        }
    }

    /// All ranges between small numbers, and all between numbers at the ends.
    #[test]
    fn small_ranges_and_ends_exhaustively() {
        let small: Vec<i64> = (-8..=7).collect();
        let ends = [
            i64::MIN,
            i64::MIN + 1,
            i64::MIN + 2,
            -64,
            -2,
            -1,
            0,
            1,
            2,
            63,
            64,
            i64::MAX - 1,
            i64::MAX,
        ];
        let bytes = [1, 2, 4].map(Range::constant).to_vec();
        let any = vec![Range::FULL];
        for numbers in [&small[..], &ends] {
            let ranges: Vec<Range> = numbers
                .iter()
                .flat_map(|lo| {
                    numbers
                        .iter()
                        .filter(move |hi| lo <= *hi)
                        .map(|hi| Range::new(*lo, *hi))
                })
                .collect();
            for opcode in Opcode::ALL.iter().copied().filter(|opcode| is_of_ints(*opcode)) {
                for a in &ranges {
                    let others = match opcode {
                        Opcode::IntSignext => &bytes,
                        _ if arity(opcode) == 1 => &any,
                        _ => &ranges,
                    };
                    for b in others {
                        check_all(opcode, (*a, *b), numbers);
                    }
                }
            }
        }
    }

    #[test]
    fn every_result_lies_in_the_transferred_range() {
        let mut random = Random(1);
        let mut narrowed = 0;
        for opcode in Opcode::ALL.iter().filter(|opcode| is_of_ints(**opcode)) {
            for _ in 0..20_000 {
                let (a, b) = (random.interesting_word() as i64, random.interesting_word() as i64);
                let b = if *opcode == Opcode::IntSignext {
                    *random.pick(&[1, 2, 4])
                } else {
                    b
                };
                let Some(result) = eval(*opcode, &[a as u64, b as u64]) else {
                    continue;
                };
                let b_range = if *opcode == Opcode::IntSignext {
                    Range::constant(b)
                } else {
                    around(b, &mut random)
                };
                let a_range = around(a, &mut random);
                let range = transfer(*opcode, a_range, b_range);
                let result = Range::constant(result as i64);
                assert!(
                    result.within(range),
                    "{} of {a} in {a_range:?}, {b} in {b_range:?}",
                    opcode.name()
                );
                narrowed += u32::from(range != Range::FULL);
                for (n, operand) in [a, b].into_iter().enumerate().take(arity(*opcode)) {
                    for of_result in [range, result] {
                        let back = backward(*opcode, of_result, a_range, b_range, n);
                        assert!(
                            Range::constant(operand).within(back),
                            "{} of {a}, {b}: operand {n} in {back:?}",
                            opcode.name()
                        );
                    }
                }
            }
        }
        assert!(
            narrowed > 100_000,
            "the ranges say too little for this test: {narrowed}"
        );
    }
}
