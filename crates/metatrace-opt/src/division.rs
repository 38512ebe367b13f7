//! Quotients and remainders by constants without a division: a product's high half, shifted.
//!
//! ```text
//! i1 = uint_floordiv(i0, 10)     ──▶  i1 = uint_mul_high(i0, 0xcccc…), …; i2 = uint_rshift(i1, 3)
//! ```
//!
//! For a divisor `d` between `2^(l-1)` and `2^l` that is no power of two, `m` is `2^(w+l-1)/d` rounded up, on words of `w`
//! bits. The quotient is `m * x / 2^(w+l-1)`, rounded down, for each `x` up to `2^(w-1)`; other words need a bit more, for
//! which the same is done with `m' = m*2 - 2^w` and a sum that cannot overflow. Signed numbers are divided without their signs.
//!
//! # Source
//! Granlund and Montgomery, "Division by Invariant Integers using Multiplication" (PLDI 1994), figures 4.1 and 5.2.

use crate::context::Context;
use crate::tree::Tree;
use metatrace_ir::{Op, Opcode, Ref};

/// The rules of this file; `fold` applies them.
pub(crate) const RULES: &[&str] = &[
    "divide_natural",
    "divide_unsigned",
    "divide_signed",
    "divide_by_minus_one",
    "divide_by_power_of_two",
    "remainder",
];

/// What a multiplication by the inverse of `d` takes, on words of `width` bits: the factor, and how far its high half is
/// shifted. Right for all `x` up to `2^(width-1)`.
fn for_naturals(d: u64, width: u32) -> (u64, u32) {
    let length = u64::BITS - (d - 1).leading_zeros();
    let factor = (1u128 << (width + length - 1)) / u128::from(d) + 1;
    (factor as u64, length - 1)
}

/// The factor for all words, and by how much to shift `(x - high) / 2 + high`.
fn for_words(d: u64, width: u32) -> (u64, u32) {
    let length = u64::BITS - (d - 1).leading_zeros();
    let rest = (1u128 << length) - u128::from(d);
    let factor = (rest << width) / u128::from(d) + 1;
    (factor as u64, length - 1)
}

/// What takes the place of a division or remainder by a constant.
pub(crate) fn by_constant(op: &Op, context: &mut Context) -> Option<(&'static str, Tree)> {
    use Opcode::*;
    let quotient = match op.opcode {
        IntFloordiv | UintFloordiv => op.opcode,
        IntMod => IntFloordiv,
        UintMod => UintFloordiv,
        _ => return None,
    };
    let (x, divisor) = (op.args[0], op.args[1]);
    let d = context.bits(divisor)?;
    let (rule, tree) = if quotient == IntFloordiv {
        signed(x, d as i64, context)?
    } else {
        unsigned(x, d, context)?
    };
    if quotient == op.opcode {
        return Some((rule, tree));
    }
    let product = Tree::op(IntMul, [tree, Tree::value(divisor)]);
    Some(("remainder", Tree::op(IntSub, [Tree::value(x), product])))
}

fn unsigned(x: Ref, d: u64, context: &mut Context) -> Option<(&'static str, Tree)> {
    use Opcode::*;
    if d < 2 || d.is_power_of_two() {
        return None;
    }
    if context.range(x).is_natural() {
        return Some(("divide_natural", natural(Tree::value(x), d, context)));
    }
    let (factor, shift) = for_words(d, u64::BITS);
    let (factor, one) = (context.int(factor as i64), context.int(1));
    let shift = context.int(shift.into());
    let high = || Tree::op(UintMulHigh, [Tree::value(x), Tree::value(factor)]);
    let half = Tree::op(
        UintRshift,
        [Tree::op(IntSub, [Tree::value(x), high()]), Tree::value(one)],
    );
    let sum = Tree::op(IntAdd, [half, high()]);
    Some(("divide_unsigned", Tree::op(UintRshift, [sum, Tree::value(shift)])))
}

/// `x` up to `2^63`, by what is no power of two.
fn natural(x: Tree, d: u64, context: &mut Context) -> Tree {
    let (factor, shift) = for_naturals(d, u64::BITS);
    let (factor, shift) = (context.int(factor as i64), context.int(shift.into()));
    let high = Tree::op(Opcode::UintMulHigh, [x, Tree::value(factor)]);
    Tree::op(Opcode::UintRshift, [high, Tree::value(shift)])
}

fn signed(x: Ref, d: i64, context: &mut Context) -> Option<(&'static str, Tree)> {
    use Opcode::*;
    if d == i64::MIN || d == 0 || d == 1 {
        return None;
    }
    if d == -1 {
        return Some(("divide_by_minus_one", Tree::op(IntNeg, [Tree::value(x)])));
    }
    let size = d.unsigned_abs();
    let whole = context.int(63);
    let sign = || Tree::op(IntRshift, [Tree::value(x), Tree::value(whole)]);
    let (rule, quotient) = if size.is_power_of_two() {
        // rounded towards zero: negative numbers by one less than the divisor more
        let (mask, shift) = (context.int(size as i64 - 1), context.int(size.trailing_zeros().into()));
        let more = Tree::op(IntAnd, [sign(), Tree::value(mask)]);
        let sum = Tree::op(IntAdd, [Tree::value(x), more]);
        ("divide_by_power_of_two", Tree::op(IntRshift, [sum, Tree::value(shift)]))
    } else if context.range(x).is_natural() {
        ("divide_natural", natural(Tree::value(x), size, context))
    } else {
        let flipped = Tree::op(IntXor, [Tree::value(x), sign()]);
        let unsigned = natural(Tree::op(IntSub, [flipped, sign()]), size, context);
        let flipped = Tree::op(IntXor, [unsigned, sign()]);
        ("divide_signed", Tree::op(IntSub, [flipped, sign()]))
    };
    Some(match d > 0 {
        true => (rule, quotient),
        false => (rule, Tree::op(IntNeg, [quotient])),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All divisors and numbers of narrow words.
    #[test]
    fn quotients_are_exact() {
        for width in 2..=9 {
            let words = 1u64 << width;
            let high = |a: u64, b: u64| (a * b) >> width;
            for d in (2..words).filter(|d| !d.is_power_of_two()) {
                let (factor, shift) = for_naturals(d, width);
                assert!(factor < words, "{factor} for {d} has {width} bits");
                for x in 0..=words / 2 {
                    assert_eq!(high(x, factor) >> shift, x / d, "{x} / {d} of {width} bits");
                }
                let (factor, shift) = for_words(d, width);
                assert!(factor < words, "{factor} for {d} has {width} bits");
                for x in 0..words {
                    let high = high(x, factor);
                    assert_eq!((((x - high) >> 1) + high) >> shift, x / d, "{x} / {d} of {width} bits");
                }
            }
        }
    }
}
