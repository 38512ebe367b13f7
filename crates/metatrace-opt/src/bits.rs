//! Known bits of integers, beside their ranges: each refines the other.
//!
//! ```text
//! i1 = int_lshift(i0, 3)     the low three bits are 0
//! i2 = int_or(i1, 1)         and the lowest is 1: i2 is not 0, and int_and(i2, 7) is 1
//! ```
//!
//! Sums and differences are those of Vishwanathan, Shachnai, Narayana and Nagarakatte, "Sound, Precise, and Fast Abstract
//! Interpretation with Tristate Numbers" (CGO 2022), which are Linux's. Products know their low zeros only.

use crate::range::Range;
use metatrace_ir::Opcode;

/// Bits that are known to be 0, and to be 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bits {
    /// Those that are 0.
    pub zeros: u64,
    /// Those that are 1.
    pub ones: u64,
}

const SIGN: u64 = 1 << 63;

impl Bits {
    /// Nothing known.
    pub const ANY: Bits = Bits { zeros: 0, ones: 0 };
    /// Of 0 and 1.
    pub const BOOL: Bits = Bits { zeros: !1, ones: 0 };

    /// All known.
    pub fn constant(word: u64) -> Bits {
        Bits {
            zeros: !word,
            ones: word,
        }
    }

    /// Those that are the same in all numbers of a range.
    pub fn of_range(range: Range) -> Bits {
        let differ = (range.lo ^ range.hi) as u64;
        let same = !u64::MAX.checked_shr(differ.leading_zeros()).unwrap_or(0);
        let word = range.lo as u64;
        Bits {
            zeros: !word & same,
            ones: word & same,
        }
    }

    /// The numbers with these bits, from the least to the greatest.
    pub fn range(self) -> Range {
        let unknown = self.unknown();
        Range::new(
            (self.ones | unknown & SIGN) as i64,
            (self.ones | unknown & !SIGN) as i64,
        )
    }

    /// Those that may be either.
    pub fn unknown(self) -> u64 {
        !(self.zeros | self.ones)
    }

    /// Those that may be 1.
    pub fn possible(self) -> u64 {
        !self.zeros
    }

    /// What is known by both; `None` if they contradict each other.
    pub fn meet(self, other: Bits) -> Option<Bits> {
        let both = Bits {
            zeros: self.zeros | other.zeros,
            ones: self.ones | other.ones,
        };
        (both.zeros & both.ones == 0).then_some(both)
    }

    /// How many of the lowest bits are known to be 0.
    fn trailing_zeros(self) -> u32 {
        self.zeros.trailing_ones()
    }

    fn low_zeros(count: u32) -> Bits {
        Bits {
            zeros: !u64::MAX.checked_shl(count).unwrap_or(0),
            ones: 0,
        }
    }

    fn without(value: u64, unknown: u64) -> Bits {
        Bits {
            zeros: !value & !unknown,
            ones: value & !unknown,
        }
    }

    fn add(self, other: Bits) -> Bits {
        let (m, n) = (self.unknown(), other.unknown());
        let least = self.ones.wrapping_add(other.ones);
        let most = least.wrapping_add(m.wrapping_add(n));
        Bits::without(least, (least ^ most) | m | n)
    }

    fn sub(self, other: Bits) -> Bits {
        let (m, n) = (self.unknown(), other.unknown());
        let difference = self.ones.wrapping_sub(other.ones);
        let (most, least) = (difference.wrapping_add(m), difference.wrapping_sub(n));
        Bits::without(difference, (most ^ least) | m | n)
    }

    fn map(self, of: impl Fn(u64) -> u64) -> Bits {
        Bits {
            zeros: of(self.zeros),
            ones: of(self.ones),
        }
    }
}

/// What both say of a value: each says it of the other. `None` if no number is left.
pub fn refine(range: Range, bits: Bits) -> Option<(Range, Bits)> {
    let bits = bits.meet(Bits::of_range(range))?;
    let range = range.intersect(bits.range())?;
    Some((range, bits.meet(Bits::of_range(range))?))
}

/// The bits of an operation's result; `b` is what `a` is where there is one operand.
pub fn transfer(opcode: Opcode, a: Bits, b: Bits) -> Bits {
    use Opcode::*;
    let count = (b.unknown() == 0).then_some((b.ones & 63) as u32);
    match opcode {
        IntAnd => Bits {
            zeros: a.zeros | b.zeros,
            ones: a.ones & b.ones,
        },
        IntOr => Bits {
            zeros: a.zeros & b.zeros,
            ones: a.ones | b.ones,
        },
        IntXor => Bits {
            zeros: a.zeros & b.zeros | a.ones & b.ones,
            ones: a.zeros & b.ones | a.ones & b.zeros,
        },
        IntInvert => Bits {
            zeros: a.ones,
            ones: a.zeros,
        },
        IntAdd | IntAddOvf => a.add(b),
        IntSub | IntSubOvf => a.sub(b),
        IntNeg => Bits::constant(0).sub(a),
        IntMul | IntMulOvf => Bits::low_zeros(a.trailing_zeros().saturating_add(b.trailing_zeros()).min(64)),
        IntLshift => match count {
            Some(count) => {
                let shifted = a.map(|bits| bits << count);
                Bits {
                    zeros: shifted.zeros | Bits::low_zeros(count).zeros,
                    ..shifted
                }
            }
            None => Bits::low_zeros(a.trailing_zeros()),
        },
        UintRshift => match count {
            Some(count) => {
                let shifted = a.map(|bits| bits >> count);
                Bits {
                    zeros: shifted.zeros | !(u64::MAX >> count),
                    ..shifted
                }
            }
            None => Bits::ANY,
        },
        IntRshift => count.map_or(Bits::ANY, |count| a.map(|bits| (bits as i64 >> count) as u64)),
        IntSignext if count.is_some() => {
            let rest = 64 - 8 * b.ones.clamp(1, 8) as u32;
            a.map(|bits| ((bits << rest) as i64 >> rest) as u64)
        }
        SameAsI => a,
        _ => Bits::ANY,
    }
}

/// What the result of an operation says of its operand `n`, where the operands' bits and the result's are these.
pub fn backward(opcode: Opcode, result: Bits, a: Bits, b: Bits, n: usize) -> Bits {
    use Opcode::*;
    let other = if n == 0 { b } else { a };
    let count = (b.unknown() == 0).then_some((b.ones & 63) as u32);
    match (opcode, n) {
        (IntAdd | IntAddOvf, _) => result.sub(other),
        (IntSub | IntSubOvf, 0) => result.add(b),
        (IntSub | IntSubOvf, _) => a.sub(result),
        (IntNeg, _) => Bits::constant(0).sub(result),
        (IntInvert, _) => transfer(IntInvert, result, result),
        (IntXor, _) => transfer(IntXor, result, other),
        (IntAnd, _) => Bits {
            zeros: result.zeros & other.ones,
            ones: result.ones,
        },
        (IntOr, _) => Bits {
            zeros: result.zeros,
            ones: result.ones & other.zeros,
        },
        (IntLshift, 0) => count.map_or(Bits::ANY, |count| result.map(|bits| bits >> count)),
        (UintRshift | IntRshift, 0) => count.map_or(Bits::ANY, |count| result.map(|bits| bits << count)),
        (IntSignext, 0) if count.is_some() => {
            let rest = 64 - 8 * b.ones.clamp(1, 8) as u32;
            result.map(|bits| bits << rest >> rest)
        }
        (SameAsI, _) => result,
        _ => Bits::ANY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metatrace_ir::eval::eval;
    use metatrace_ir::random::Random;

    const OPS: &[Opcode] = &[
        Opcode::IntAnd,
        Opcode::IntOr,
        Opcode::IntXor,
        Opcode::IntInvert,
        Opcode::IntAdd,
        Opcode::IntSub,
        Opcode::IntNeg,
        Opcode::IntMul,
        Opcode::IntLshift,
        Opcode::UintRshift,
        Opcode::IntRshift,
        Opcode::IntSignext,
        Opcode::SameAsI,
    ];

    fn holds(bits: Bits, word: u64) -> bool {
        word & bits.zeros == 0 && !word & bits.ones == 0
    }

    /// All that can be known of four bits that stand at `at`; the others are 0.
    fn all(at: u32) -> Vec<Bits> {
        let others = !(15u64 << at);
        let mut all = Vec::new();
        for zeros in 0..16u64 {
            for ones in (0..16u64).filter(|ones| ones & zeros == 0) {
                all.push(Bits {
                    zeros: zeros << at | others,
                    ones: ones << at,
                });
            }
        }
        all
    }

    fn members(bits: Bits, at: u32) -> impl Iterator<Item = u64> {
        (0..16u64)
            .map(move |word| word << at)
            .filter(move |word| holds(bits, *word))
    }

    fn check(opcode: Opcode, (a, b): (Bits, Bits), (x, y): (u64, u64)) {
        let Some(result) = eval(opcode, &[x, y]) else { return };
        let of_result = transfer(opcode, a, b);
        assert!(
            holds(of_result, result),
            "{} of {x:#x} in {a:x?}, {y:#x} in {b:x?} is {result:#x}, not in {of_result:x?}",
            opcode.name()
        );
        let of_x = backward(opcode, of_result, a, b, 0);
        let of_y = backward(opcode, of_result, a, b, 1);
        assert!(
            holds(of_x, x),
            "{} of {x:#x} in {a:x?}, {y:#x} in {b:x?}: {of_x:x?}",
            opcode.name()
        );
        let is_unary = matches!(opcode, Opcode::IntInvert | Opcode::IntNeg | Opcode::SameAsI);
        assert!(
            is_unary || holds(of_y, y),
            "{} of {x:#x}, {y:#x}: {of_y:x?}",
            opcode.name()
        );
        // the same where the result is known
        let known = Bits::constant(result);
        assert!(holds(backward(opcode, known, a, b, 0), x), "{} back", opcode.name());
        assert!(
            is_unary || holds(backward(opcode, known, a, b, 1), y),
            "{} back",
            opcode.name()
        );
    }

    /// At the lower and at the upper end of a word, and across.
    #[test]
    fn four_bits_exhaustively() {
        for (at_a, at_b) in [(0, 0), (60, 60), (60, 0), (5, 0)] {
            let (all_a, all_b) = (all(at_a), all(at_b));
            for a in &all_a {
                for b in &all_b {
                    for x in members(*a, at_a) {
                        for y in members(*b, at_b) {
                            OPS.iter().for_each(|opcode| check(*opcode, (*a, *b), (x, y)));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn random_words() {
        let mut random = Random(3);
        let mut known = 0;
        for _ in 0..200_000 {
            let opcode = *random.pick(OPS);
            let (x, mut y) = (random.interesting_word(), random.interesting_word());
            if opcode == Opcode::IntSignext {
                y = *random.pick(&[1, 2, 4]);
            }
            let mut around = |word: u64| {
                let shown = *random.pick(&[0, u64::MAX, random.clone().word(), 0xff, !0xff]);
                Bits {
                    zeros: !word & shown,
                    ones: word & shown,
                }
            };
            let (a, b) = (around(x), around(y));
            check(opcode, (a, b), (x, y));
            known += u32::from(transfer(opcode, a, b) != Bits::ANY);
        }
        assert!(known > 100_000, "{known}");
    }

    #[test]
    fn ranges_and_bits_refine_each_other() {
        for zeros in 0..16u64 {
            for ones in (0..16u64).filter(|ones| ones & zeros == 0) {
                let bits = Bits {
                    zeros: zeros | 0xfff0,
                    ones,
                };
                for lo in -20..20i64 {
                    for hi in lo..20 {
                        let range = Range::new(lo, hi);
                        let both: Vec<i64> = (lo..=hi).filter(|n| holds(bits, *n as u64)).collect();
                        match refine(range, bits) {
                            None => assert!(both.is_empty()),
                            Some((range, bits)) => assert!(
                                both.iter()
                                    .all(|n| Range::constant(*n).within(range) && holds(bits, *n as u64))
                            ),
                        }
                    }
                }
            }
        }
        let even = refine(Range::new(0, 100), Bits::low_zeros(3)).expect("not empty");
        assert_eq!(even.1.possible(), 0x78);
        assert_eq!(even.0, Range::new(0, 100));
    }
}
