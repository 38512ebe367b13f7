//! The table of algebraic rules, and what matches it.
//!
//! A rule is a name, a pattern, what takes its place, and perhaps a condition:
//!
//! ```text
//! add_constants: (IntAdd (IntAdd x c) d) => (IntAdd x {IntAdd c d});
//! rshift_natural: (IntRshift x c) => (UintRshift x c), if |m| m.x.is_natural();
//! ```
//!
//! `x`, `y` are any values, the same letter the same value; `c`, `d` are constants, known by their bits; a number or `[n]`
//! is the constant with these bits. What takes the place is a value, a constant, `{…}` computed now by
//! [`eval`](metatrace_ir::eval), an operation `(…)` (a guard keeps its exit), or `none`: the guard is gone. A rule whose
//! pattern is an operation that sets the overflow flag says, by having another in its place, that it does not overflow.
//!
//! What ranges and known bits decide by themselves (`x & 0`, a shift by more than there is) needs no rule: `fold` asks them
//! when none applies.
//!
//! A condition is about what is known of `x` and `y`, and about the bits of `c` and `d` ([`condition`]).
//!
//! Every rule is proved for all values in a test (but for one, of float products), tested against `eval` on boundary values,
//! and seen to fire in a golden trace. Rules must make progress: nothing may lead back to what it came from. Operands of
//! commutative patterns are tried in both orders; [`fold`] puts constants on the right, and so do the patterns.
//!
//! [`fold`]: crate::fold

mod condition;

use crate::context::Context;
use crate::ones;
use crate::tree::{Step, Tree};
use condition::{Condition, Integer, Known, Matched};
use metatrace_ir::eval::eval;
use metatrace_ir::{Const, Kind, Op, Opcode, Ref};
use std::sync::OnceLock;

/// What a rule looks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pattern {
    /// Any value: variable 0 or 1.
    Value(usize),
    /// Any constant: variable 0 or 1.
    Constant(usize),
    /// The constant with these bits.
    Bits(u64),
    /// A value with this definition.
    Op(Opcode, &'static [Pattern]),
}

/// What takes the place of what was found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Term {
    Value(usize),
    Constant(usize),
    Bits(u64),
    /// A constant computed from constants.
    Eval(Opcode, &'static [Term]),
    Op(Opcode, &'static [Term]),
    /// Nothing: a guard that always holds.
    None,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) opcode: Opcode,
    pub(crate) args: &'static [Pattern],
    pub(crate) term: Term,
    pub(crate) condition: Option<Condition>,
}

macro_rules! pattern {
    (x) => { Pattern::Value(0) };
    (y) => { Pattern::Value(1) };
    (c) => { Pattern::Constant(0) };
    (d) => { Pattern::Constant(1) };
    ($bits:literal) => { Pattern::Bits($bits) };
    ([$bits:expr]) => { Pattern::Bits($bits) };
    (($op:ident $($arg:tt)*)) => { Pattern::Op(Opcode::$op, &[$(pattern!($arg)),*]) };
}

macro_rules! term {
    (none) => { Term::None };
    (x) => { Term::Value(0) };
    (y) => { Term::Value(1) };
    (c) => { Term::Constant(0) };
    (d) => { Term::Constant(1) };
    ($bits:literal) => { Term::Bits($bits) };
    ([$bits:expr]) => { Term::Bits($bits) };
    ({$op:ident $($arg:tt)*}) => { Term::Eval(Opcode::$op, &[$(term!($arg)),*]) };
    (($op:ident $($arg:tt)*)) => { Term::Op(Opcode::$op, &[$(term!($arg)),*]) };
}

macro_rules! condition {
    () => {
        None
    };
    (|$m:ident| $condition:expr) => {{
        fn holds<I: Integer>($m: &Matched<I>) -> I::Truth {
            $condition
        }
        Some(Condition {
            holds: |m| holds(m),
            #[cfg(test)]
            circuit: |m| holds(m),
        })
    }};
}

macro_rules! rules {
    ($($name:ident: ($op:ident $($arg:tt)*) => $term:tt $(, if |$m:ident| $condition:expr)?;)*) => {
        &[$(Rule {
            name: stringify!($name),
            opcode: Opcode::$op,
            args: &[$(pattern!($arg)),*],
            term: term!($term),
            condition: condition!($(|$m| $condition)?),
        }),*]
    };
}

const ONES: u64 = u64::MAX;

/// The rules; of those that match, the first applies.
pub(crate) static TABLE: &[Rule] = rules! {
    // ---- sums. Differences with a constant become sums, so that constants meet
    add_zero: (IntAdd x 0) => x;
    add_constants: (IntAdd (IntAdd x c) d) => (IntAdd x {IntAdd c d});
    add_to_difference: (IntAdd (IntSub c x) d) => (IntSub {IntAdd c d} x);
    add_cancels: (IntAdd (IntSub x y) y) => x;
    add_negated: (IntAdd x (IntNeg y)) => (IntSub x y);
    add_self: (IntAdd x x) => (IntLshift x 1);
    sub_self: (IntSub x x) => 0;
    sub_constant: (IntSub x c) => (IntAdd x {IntNeg c});
    sub_from_zero: (IntSub 0 x) => (IntNeg x);
    sub_sum_from_constant: (IntSub c (IntAdd x d)) => (IntSub {IntSub c d} x);
    sub_difference_from_constant: (IntSub c (IntSub d x)) => (IntAdd x {IntSub c d});
    sub_cancels: (IntSub (IntAdd x y) y) => x;
    sub_whole: (IntSub x (IntAdd x y)) => (IntNeg y);
    sub_difference_cancels: (IntSub x (IntSub x y)) => y;
    sub_part: (IntSub (IntSub x y) x) => (IntNeg y);
    sub_negated: (IntSub x (IntNeg y)) => (IntAdd x y);
    neg_neg: (IntNeg (IntNeg x)) => x;
    neg_difference: (IntNeg (IntSub x y)) => (IntSub y x);
    // ---- products and quotients
    mul_one: (IntMul x 1) => x;
    mul_minus_one: (IntMul x [ONES]) => (IntNeg x);
    mul_power_of_two: (IntMul x c) => (IntLshift x {IntCtz c}), if |m| m.c.is_power_of_two();
    mul_constants: (IntMul (IntMul x c) d) => (IntMul x {IntMul c d});
    mul_high_zero: (UintMulHigh x 0) => 0;
    mul_high_one: (UintMulHigh x 1) => 0;
    div_one: (IntFloordiv x 1) => x;
    mod_one: (IntMod x 1) => 0;
    div_natural: (IntFloordiv x c) => (UintRshift x {IntCtz c}), if |m| m.x.is_natural() & m.c.is_power_of_two();
    mod_natural: (IntMod x c) => (IntAnd x {IntSub c 1}), if |m| m.x.is_natural() & m.c.is_power_of_two();
    udiv_power_of_two: (UintFloordiv x c) => (UintRshift x {IntCtz c}), if |m| m.c.is_power_of_two();
    umod_power_of_two: (UintMod x c) => (IntAnd x {IntSub c 1}), if |m| m.c.is_power_of_two();
    // ---- bits
    and_ones: (IntAnd x [ONES]) => x;
    and_self: (IntAnd x x) => x;
    and_inverse: (IntAnd x (IntInvert x)) => 0;
    and_constants: (IntAnd (IntAnd x c) d) => (IntAnd x {IntAnd c d});
    and_again: (IntAnd (IntAnd x y) y) => (IntAnd x y);
    and_keeps: (IntAnd x y) => x, if |m| (m.x.possible() & !m.y.ones).is(0);
    and_keeps_other: (IntAnd x y) => y, if |m| (m.y.possible() & !m.x.ones).is(0);
    and_of_or: (IntAnd (IntOr x y) c) => (IntAnd x c), if |m| (m.y.possible() & m.c).is(0);
    and_of_xor: (IntAnd (IntXor x y) c) => (IntAnd x c), if |m| (m.y.possible() & m.c).is(0);
    and_of_sum: (IntAnd (IntAdd x y) c) => (IntAnd x c), if |m| m.c.below(m.y.lowest_possible());
    and_of_difference: (IntAnd (IntSub x y) c) => (IntAnd x c), if |m| m.c.below(m.y.lowest_possible());
    and_of_signext: (IntAnd (IntSignext x c) d) => (IntAnd x d), if |m| (m.d & !m.c.low_bytes()).is(0);
    and_of_masked_sum: (IntAnd (IntAdd (IntAnd x c) d) c) => (IntAnd (IntAdd x d) c),
        if |m| m.c.is_low_mask();
    and_of_masked_difference: (IntAnd (IntSub d (IntAnd x c)) c) => (IntAnd (IntSub d x) c),
        if |m| m.c.is_low_mask();
    and_of_masked_product: (IntAnd (IntMul (IntAnd x c) d) c) => (IntAnd (IntMul x d) c),
        if |m| m.c.is_low_mask();
    and_of_masked_shift: (IntAnd (IntLshift (IntAnd x c) d) c) => (IntAnd (IntLshift x d) c),
        if |m| m.c.is_low_mask();
    signext_of_extended_sum: (IntSignext (IntAdd (IntSignext x c) d) c) => (IntSignext (IntAdd x d) c);
    or_zero: (IntOr x 0) => x;
    or_self: (IntOr x x) => x;
    or_keeps: (IntOr x y) => x, if |m| (m.y.possible() & !m.x.ones).is(0);
    or_keeps_other: (IntOr x y) => y, if |m| (m.x.possible() & !m.y.ones).is(0);
    or_constants: (IntOr (IntOr x c) d) => (IntOr x {IntOr c d});
    xor_zero: (IntXor x 0) => x;
    xor_ones: (IntXor x [ONES]) => (IntInvert x);
    xor_self: (IntXor x x) => 0;
    xor_constants: (IntXor (IntXor x c) d) => (IntXor x {IntXor c d});
    xor_cancels: (IntXor (IntXor x y) y) => x;
    xor_bool: (IntXor x 1) => (IntIsZero x), if |m| m.x.is_bool();
    invert_invert: (IntInvert (IntInvert x)) => x;
    // ---- shifts: the low 6 bits count
    lshift_count: (IntLshift x c) => (IntLshift x {IntAnd c 63}), if |m| !m.c.is_count();
    rshift_count: (IntRshift x c) => (IntRshift x {IntAnd c 63}), if |m| !m.c.is_count();
    urshift_count: (UintRshift x c) => (UintRshift x {IntAnd c 63}), if |m| !m.c.is_count();
    lshift_zero: (IntLshift x 0) => x;
    rshift_zero: (IntRshift x 0) => x;
    urshift_zero: (UintRshift x 0) => x;
    rshift_of_zero: (IntRshift 0 x) => 0;
    urshift_of_zero: (UintRshift 0 x) => 0;
    lshift_twice: (IntLshift (IntLshift x c) d) => (IntLshift x {IntAdd c d}),
        if |m| m.c.saturating_add(m.d).is_count();
    rshift_twice: (IntRshift (IntRshift x c) d) => (IntRshift x {IntAdd c d}),
        if |m| m.c.saturating_add(m.d).is_count();
    urshift_twice: (UintRshift (UintRshift x c) d) => (UintRshift x {IntAdd c d}),
        if |m| m.c.saturating_add(m.d).is_count();
    shift_up_and_down: (UintRshift (IntLshift x c) c) => (IntAnd x {UintRshift [ONES] c});
    shift_down_and_up: (IntLshift (UintRshift x c) c) => (IntAnd x {IntLshift [ONES] c});
    shift_down_and_up_signed: (IntLshift (IntRshift x c) c) => (IntAnd x {IntLshift [ONES] c});
    shift_signext_byte: (IntRshift (IntLshift x 56) 56) => (IntSignext x 1);
    shift_signext_half: (IntRshift (IntLshift x 48) 48) => (IntSignext x 2);
    shift_signext_word: (IntRshift (IntLshift x 32) 32) => (IntSignext x 4);
    rshift_natural: (IntRshift x c) => (UintRshift x c), if |m| m.x.is_natural();
    signext_keeps: (IntSignext x c) => x, if |m| m.x.is_extended(m.c);
    signext_narrower: (IntSignext (IntSignext x c) d) => (IntSignext x d), if |m| m.d.below(m.c);
    signext_of_and: (IntSignext (IntAnd x c) d) => (IntSignext x d), if |m| (m.d.low_bytes() & !m.c).is(0);
    // ---- overflow that cannot happen
    add_ovf_zero: (IntAddOvf x 0) => x;
    sub_ovf_zero: (IntSubOvf x 0) => x;
    sub_ovf_self: (IntSubOvf x x) => 0;
    mul_ovf_zero: (IntMulOvf x 0) => 0;
    mul_ovf_one: (IntMulOvf x 1) => x;
    add_ovf_in_range: (IntAddOvf x y) => (IntAdd x y), if |m| m.x.sums_fit(m.y);
    sub_ovf_in_range: (IntSubOvf x y) => (IntSub x y), if |m| m.x.differences_fit(m.y);
    mul_ovf_in_range: (IntMulOvf x y) => (IntMul x y), if |m| m.x.products_fit(m.y);
    // ---- comparisons of the same, and of what cannot meet
    lt_self: (IntLt x x) => 0;
    le_self: (IntLe x x) => 1;
    eq_self: (IntEq x x) => 1;
    ne_self: (IntNe x x) => 0;
    gt_self: (IntGt x x) => 0;
    ge_self: (IntGe x x) => 1;
    ult_self: (UintLt x x) => 0;
    ule_self: (UintLe x x) => 1;
    ugt_self: (UintGt x x) => 0;
    uge_self: (UintGe x x) => 1;
    ptr_eq_self: (PtrEq x x) => 1;
    ptr_ne_self: (PtrNe x x) => 0;
    lt_always: (IntLt x y) => 1, if |m| m.x.hi.lt(m.y.lo);
    lt_never: (IntLt x y) => 0, if |m| m.y.hi.le(m.x.lo);
    le_always: (IntLe x y) => 1, if |m| m.x.hi.le(m.y.lo);
    le_never: (IntLe x y) => 0, if |m| m.y.hi.lt(m.x.lo);
    gt_always: (IntGt x y) => 1, if |m| m.y.hi.lt(m.x.lo);
    gt_never: (IntGt x y) => 0, if |m| m.x.hi.le(m.y.lo);
    ge_always: (IntGe x y) => 1, if |m| m.y.hi.le(m.x.lo);
    ge_never: (IntGe x y) => 0, if |m| m.x.hi.lt(m.y.lo);
    eq_never: (IntEq x y) => 0, if |m| m.x.is_apart_from(m.y);
    ne_always: (IntNe x y) => 1, if |m| m.x.is_apart_from(m.y);
    eq_bits_differ: (IntEq x y) => 0, if |m| m.x.differs_from(m.y);
    ne_bits_differ: (IntNe x y) => 1, if |m| m.x.differs_from(m.y);
    // signed orders of natural numbers are the unsigned ones, in which they are kept: one compare asks for both ends
    lt_natural: (IntLt x y) => (UintLt x y), if |m| m.x.is_natural() & m.y.is_natural();
    le_natural: (IntLe x y) => (UintLe x y), if |m| m.x.is_natural() & m.y.is_natural();
    gt_natural: (IntGt x y) => (UintGt x y), if |m| m.x.is_natural() & m.y.is_natural();
    ge_natural: (IntGe x y) => (UintGe x y), if |m| m.x.is_natural() & m.y.is_natural();
    ult_always: (UintLt x y) => 1, if |m| m.x.is_natural() & m.x.hi.lt(m.y.lo);
    ult_never: (UintLt x y) => 0, if |m| m.y.is_natural() & m.y.hi.le(m.x.lo);
    ule_always: (UintLe x y) => 1, if |m| m.x.is_natural() & m.x.hi.le(m.y.lo);
    ule_never: (UintLe x y) => 0, if |m| m.y.is_natural() & m.y.hi.lt(m.x.lo);
    ugt_always: (UintGt x y) => 1, if |m| m.y.is_natural() & m.y.hi.lt(m.x.lo);
    ugt_never: (UintGt x y) => 0, if |m| m.x.is_natural() & m.x.hi.le(m.y.lo);
    uge_always: (UintGe x y) => 1, if |m| m.y.is_natural() & m.y.hi.le(m.x.lo);
    uge_never: (UintGe x y) => 0, if |m| m.x.is_natural() & m.x.hi.lt(m.y.lo);
    ult_zero: (UintLt x 0) => 0;
    uge_zero: (UintGe x 0) => 1;
    ult_one: (UintLt x 1) => (IntIsZero x);
    uge_one: (UintGe x 1) => (IntIsTrue x);
    ugt_zero: (UintGt x 0) => (IntIsTrue x);
    ule_zero: (UintLe x 0) => (IntIsZero x);
    // ---- equality, truth, and the comparisons they are about
    eq_zero: (IntEq x 0) => (IntIsZero x);
    ne_zero: (IntNe x 0) => (IntIsTrue x);
    eq_one_of_bool: (IntEq x 1) => x, if |m| m.x.is_bool();
    ne_one_of_bool: (IntNe x 1) => (IntIsZero x), if |m| m.x.is_bool();
    eq_sum: (IntEq (IntAdd x c) d) => (IntEq x {IntSub d c});
    ne_sum: (IntNe (IntAdd x c) d) => (IntNe x {IntSub d c});
    is_true_of_bool: (IntIsTrue x) => x, if |m| m.x.is_bool();
    is_true_never_zero: (IntIsTrue x) => 1, if |m| m.x.is_never_zero();
    is_zero_never_zero: (IntIsZero x) => 0, if |m| m.x.is_never_zero();
    is_true_known_bit: (IntIsTrue x) => 1, if |m| !m.x.ones.is(0);
    is_zero_known_bit: (IntIsZero x) => 0, if |m| !m.x.ones.is(0);
    is_zero_of_is_true: (IntIsZero (IntIsTrue x)) => (IntIsZero x);
    is_zero_of_is_zero: (IntIsZero (IntIsZero x)) => (IntIsTrue x);
    is_zero_of_difference: (IntIsZero (IntSub x y)) => (IntEq x y);
    is_true_of_difference: (IntIsTrue (IntSub x y)) => (IntNe x y);
    is_zero_of_xor: (IntIsZero (IntXor x y)) => (IntEq x y);
    is_true_of_xor: (IntIsTrue (IntXor x y)) => (IntNe x y);
    is_zero_of_neg: (IntIsZero (IntNeg x)) => (IntIsZero x);
    is_true_of_neg: (IntIsTrue (IntNeg x)) => (IntIsTrue x);
    not_lt: (IntIsZero (IntLt x y)) => (IntGe x y);
    not_le: (IntIsZero (IntLe x y)) => (IntGt x y);
    not_gt: (IntIsZero (IntGt x y)) => (IntLe x y);
    not_ge: (IntIsZero (IntGe x y)) => (IntLt x y);
    not_eq: (IntIsZero (IntEq x y)) => (IntNe x y);
    not_ne: (IntIsZero (IntNe x y)) => (IntEq x y);
    not_ult: (IntIsZero (UintLt x y)) => (UintGe x y);
    not_ule: (IntIsZero (UintLe x y)) => (UintGt x y);
    not_ugt: (IntIsZero (UintGt x y)) => (UintLe x y);
    not_uge: (IntIsZero (UintGe x y)) => (UintLt x y);
    not_ptr_eq: (IntIsZero (PtrEq x y)) => (PtrNe x y);
    not_ptr_ne: (IntIsZero (PtrNe x y)) => (PtrEq x y);
    not_float_eq: (IntIsZero (FloatEq x y)) => (FloatNe x y);
    not_float_ne: (IntIsZero (FloatNe x y)) => (FloatEq x y);
    // ---- floats: only what keeps every bit, of NaN too
    float_neg_neg: (FloatNeg (FloatNeg x)) => x;
    float_abs_neg: (FloatAbs (FloatNeg x)) => (FloatAbs x);
    float_abs_abs: (FloatAbs (FloatAbs x)) => (FloatAbs x);
    float_div_by_power_of_two: (FloatTruediv x c) => (FloatMul x {FloatTruediv [0x3ff0_0000_0000_0000] c}),
        if |m| m.c.has_exact_inverse();
    // ---- conversions there and back
    ptr_to_int_to_ptr: (CastIntToPtr (CastPtrToInt x)) => x;
    int_to_ptr_to_int: (CastPtrToInt (CastIntToPtr x)) => x;
    float_to_bits_to_float: (ConvertLonglongBytesToFloat (ConvertFloatBytesToLonglong x)) => x;
    bits_to_float_to_bits: (ConvertFloatBytesToLonglong (ConvertLonglongBytesToFloat x)) => x;
    int_to_float_to_int: (CastFloatToInt (CastIntToFloat x)) => x,
        if |m| m.x.within(-(1 << 53), 1 << 53);
    same_int: (SameAsI x) => x;
    same_ptr: (SameAsR x) => x;
    same_float: (SameAsF x) => x;
    // ---- guards
    guard_true_of_is_true: (GuardTrue (IntIsTrue x)) => (GuardTrue x);
    guard_true_of_is_zero: (GuardTrue (IntIsZero x)) => (GuardFalse x);
    guard_false_of_is_true: (GuardFalse (IntIsTrue x)) => (GuardFalse x);
    guard_false_of_is_zero: (GuardFalse (IntIsZero x)) => (GuardTrue x);
    guard_true_of_null: (GuardTrue (PtrEq x 0)) => (GuardIsnull x);
    guard_false_of_null: (GuardFalse (PtrEq x 0)) => (GuardNonnull x);
    guard_true_of_nonnull: (GuardTrue (PtrNe x 0)) => (GuardNonnull x);
    guard_false_of_nonnull: (GuardFalse (PtrNe x 0)) => (GuardIsnull x);
    guard_true_fails: (GuardTrue 0) => (GuardAlwaysFails);
    guard_true_holds: (GuardTrue x) => none, if |m| m.x.is_never_zero();
    guard_true_known_bit: (GuardTrue x) => none, if |m| !m.x.ones.is(0);
    guard_false_holds: (GuardFalse 0) => none;
    guard_false_fails: (GuardFalse x) => (GuardAlwaysFails), if |m| m.x.is_never_zero();
    guard_false_known_bit: (GuardFalse x) => (GuardAlwaysFails), if |m| !m.x.ones.is(0);
    guard_value_holds: (GuardValue c d) => none, if |m| m.c.equals(m.d);
    guard_value_fails: (GuardValue c d) => (GuardAlwaysFails), if |m| !m.c.equals(m.d);
    guard_value_out_of_range: (GuardValue x y) => (GuardAlwaysFails), if |m| m.x.is_apart_from(m.y);
    guard_value_bits_differ: (GuardValue x y) => (GuardAlwaysFails), if |m| m.x.differs_from(m.y);
    guard_nonnull_fails: (GuardNonnull 0) => (GuardAlwaysFails);
    guard_nonnull_holds: (GuardNonnull c) => none, if |m| !m.c.is(0);
    guard_isnull_holds: (GuardIsnull 0) => none;
    guard_isnull_fails: (GuardIsnull c) => (GuardAlwaysFails), if |m| !m.c.is(0);
};

/// The rules whose pattern begins with one operation, and which of them an operand refuses at first sight: most rules are.
/// Sets of rules are bits, by their place in the table.
#[derive(Default)]
struct Rules {
    rules: Vec<&'static Rule>,
    /// By operand.
    operands: Vec<Candidates>,
    /// Those that want the same value twice.
    of_same: u64,
    /// Those that take any values, and decide by their conditions.
    of_any: u64,
}

/// Rules, by what they want at one place of their patterns.
#[derive(Clone, Default)]
struct Candidates {
    any: u64,
    constant: u64,
    /// For constants with some bits.
    bits: Vec<(u64, u64)>,
    /// For values with some definition.
    defined: Vec<(Opcode, u64)>,
}

impl Rules {
    fn of(opcode: Opcode) -> &'static Rules {
        static BY_OPCODE: OnceLock<Vec<Rules>> = OnceLock::new();
        let by_opcode = BY_OPCODE.get_or_init(|| {
            let mut by_opcode = Vec::new();
            by_opcode.resize_with(Opcode::ALL.len(), Rules::default);
            for rule in TABLE {
                by_opcode[rule.opcode as usize].add(rule);
            }
            by_opcode
        });
        &by_opcode[opcode as usize]
    }

    fn add(&mut self, rule: &'static Rule) {
        let n = self.rules.len();
        assert!(n < 64, "a set has 64 bits: {} is one rule too many", rule.name);
        self.rules.push(rule);
        self.operands.resize(rule.args.len(), Candidates::default());
        for (candidates, pattern) in self.operands.iter_mut().zip(rule.args) {
            *candidates.of_pattern(pattern) |= 1 << n;
        }
        match rule.args {
            [Pattern::Value(a), Pattern::Value(b)] if a == b => self.of_same |= 1 << n,
            [Pattern::Value(0)] | [Pattern::Value(0), Pattern::Value(1)] => self.of_any |= 1 << n,
            _ => {}
        }
    }

    /// Those that may match the operands: as they are, and in the other order.
    fn candidates(&self, args: &[Ref], commutative: bool, context: &Context) -> [u64; 2] {
        let shape = |n: usize| Shape::of(args[n], context);
        match &self.operands[..] {
            [a] => [a.of_shape(shape(0)), 0],
            [a, b] => {
                let shapes = [shape(0), shape(1)];
                let in_order = a.of_shape(shapes[0]) & b.of_shape(shapes[1]);
                let swapped = match commutative {
                    true => a.of_shape(shapes[1]) & b.of_shape(shapes[0]),
                    false => 0,
                };
                let refused = if args[0] == args[1] { 0 } else { self.of_same };
                [in_order & !refused, swapped & !refused]
            }
            [] => [0, 0],
            _ => unreachable!("patterns have at most two operands"),
        }
    }
}

impl Candidates {
    fn of_pattern(&mut self, pattern: &Pattern) -> &mut u64 {
        match *pattern {
            Pattern::Value(_) => &mut self.any,
            Pattern::Constant(_) => &mut self.constant,
            Pattern::Bits(bits) => entry(&mut self.bits, bits),
            Pattern::Op(opcode, _) => entry(&mut self.defined, opcode),
        }
    }

    fn of_shape(&self, shape: Shape) -> u64 {
        self.any
            | match shape {
                Shape::Constant(bits) => self.constant | find(&self.bits, bits),
                Shape::Defined(opcode) => find(&self.defined, opcode),
                Shape::Other => 0,
            }
    }
}

/// The set of a key in a list, which is too short for a map.
fn entry<K: PartialEq>(list: &mut Vec<(K, u64)>, key: K) -> &mut u64 {
    let known = list.iter().position(|(known, _)| *known == key);
    let n = known.unwrap_or_else(|| {
        list.push((key, 0));
        list.len() - 1
    });
    &mut list[n].1
}

fn find<K: PartialEq>(list: &[(K, u64)], key: K) -> u64 {
    let found = list.iter().find(|(known, _)| *known == key);
    found.map_or(0, |(_, set)| *set)
}

/// What an operation may become.
pub(crate) enum Outcome {
    Op(Op),
    Value(Ref),
    /// Several operations.
    Tree(Tree),
    Nothing,
}

/// The first rule that applies to `op`, and what it makes of it.
pub(crate) fn apply(op: &Op, context: &mut Context) -> Option<(&'static str, Outcome)> {
    let rules = Rules::of(op.opcode);
    let commutative = op.opcode.info().commutative;
    let [in_order, swapped] = rules.candidates(&op.args, commutative, context);
    // what is known of the operands is looked up once for all rules that take any
    let mut known = None;
    for n in ones(in_order | swapped) {
        let is_in = |rules: u64| rules >> n & 1 != 0;
        let rule = rules.rules[n];
        let mut found = Found::default();
        let holds = if is_in(rules.of_any) {
            found.values = [op.args.first().copied(), op.args.get(1).copied()];
            let known = known.get_or_insert_with(|| found.matched(context));
            rule.condition.is_none_or(|condition| (condition.holds)(known))
        } else {
            let mut matches = is_in(in_order) && found.in_order(rule.args, &op.args, context);
            if !matches && is_in(swapped) {
                found = Found::default();
                matches = found.in_order(rule.args, &[op.args[1], op.args[0]], context);
            }
            let holds = |condition: Condition| (condition.holds)(&found.matched(context));
            matches && rule.condition.is_none_or(holds)
        };
        if holds {
            return Some((rule.name, found.build(rule.term, op, context)));
        }
    }
    None
}

/// What an operand is at first sight.
#[derive(Clone, Copy)]
enum Shape {
    Constant(u64),
    Defined(Opcode),
    Other,
}

impl Shape {
    fn of(value: Ref, context: &Context) -> Shape {
        match (context.bits(value), context.definition(value)) {
            (Some(bits), _) => Shape::Constant(bits),
            (None, Some(op)) => Shape::Defined(op.opcode),
            (None, None) => Shape::Other,
        }
    }
}

/// The variables of a pattern while it is matched.
#[derive(Clone, Copy, Default)]
struct Found {
    values: [Option<Ref>; 2],
    constants: [Option<u64>; 2],
}

impl Found {
    /// Whether the patterns match in one of the orders. If not, what is bound means nothing.
    fn all(&mut self, patterns: &[Pattern], args: &[Ref], commutative: bool, context: &Context) -> bool {
        let &[a, b] = args else {
            return self.in_order(patterns, args, context);
        };
        if !commutative {
            return self.in_order(patterns, args, context);
        }
        let before = *self;
        self.in_order(patterns, args, context) || {
            *self = before;
            self.in_order(patterns, &[b, a], context)
        }
    }

    /// Whether the patterns match. If not, what is bound means nothing.
    fn in_order(&mut self, patterns: &[Pattern], args: &[Ref], context: &Context) -> bool {
        for (pattern, arg) in patterns.iter().zip(args) {
            if !self.one(pattern, *arg, context) {
                return false;
            }
        }
        true
    }

    fn one(&mut self, pattern: &Pattern, value: Ref, context: &Context) -> bool {
        match *pattern {
            Pattern::Value(n) => *self.values[n].get_or_insert(value) == value,
            Pattern::Constant(n) => match context.bits(value) {
                Some(bits) => *self.constants[n].get_or_insert(bits) == bits,
                None => false,
            },
            Pattern::Bits(bits) => context.bits(value) == Some(bits),
            Pattern::Op(opcode, patterns) => match context.definition(value) {
                Some(op) if op.opcode == opcode => self.all(patterns, &op.args, opcode.info().commutative, context),
                _ => false,
            },
        }
    }

    fn matched(&self, context: &Context) -> Matched<u64> {
        let known = |value: Option<Ref>| match value {
            Some(value) => Known::new(context.range(value), context.known_bits(value)),
            None => Known::NOTHING,
        };
        Matched {
            x: known(self.values[0]),
            y: known(self.values[1]),
            c: self.constants[0].unwrap_or(0),
            d: self.constants[1].unwrap_or(0),
        }
    }

    fn build(&self, term: Term, op: &Op, context: &mut Context) -> Outcome {
        match term {
            Term::None => Outcome::Nothing,
            Term::Op(_, args) if args.iter().any(|arg| matches!(arg, Term::Op(..))) => {
                let mut tree = Tree::default();
                self.push_term(term, context, &mut tree);
                Outcome::Tree(tree)
            }
            Term::Op(opcode, args) => {
                let operands = args.iter().map(|arg| self.value(*arg, Kind::Int, context));
                // no rule is about operations with a descriptor
                Outcome::Op(Op {
                    opcode,
                    args: operands.collect(),
                    descr: None,
                    snapshot: op.snapshot,
                    guard: op.guard,
                    sunk: op.sunk,
                    early: op.early,
                    pending: op.pending.clone(),
                })
            }
            term => Outcome::Value(self.value(term, op.opcode.result().unwrap_or(Kind::Int), context)),
        }
    }

    /// Appends the steps of a term, whose constants are ints.
    fn push_term(&self, term: Term, context: &mut Context, tree: &mut Tree) {
        match term {
            Term::Op(opcode, args) => {
                for arg in args {
                    self.push_term(*arg, context, tree);
                }
                tree.push_op(opcode, args.len());
            }
            term => tree.push(Step::Value(self.value(term, Kind::Int, context))),
        }
    }

    /// A value or a constant of `kind`; the kind of a computed constant is its operation's.
    fn value(&self, term: Term, kind: Kind, context: &mut Context) -> Ref {
        let bits = match term {
            Term::Value(n) => return self.values[n].expect("the pattern has the variable"),
            term => {
                let [c, d] = &self.constants;
                evaluate(term, [c.unwrap_or(0), d.unwrap_or(0)])
            }
        };
        let kind = match term {
            Term::Eval(opcode, _) => opcode.result().unwrap_or(kind),
            _ => kind,
        };
        context.constant(Const { kind, bits })
    }
}

/// The bits of a constant term.
fn evaluate(term: Term, constants: [u64; 2]) -> u64 {
    match term {
        Term::Constant(n) => constants[n],
        Term::Bits(bits) => bits,
        Term::Eval(opcode, args) => {
            let bits = match *args {
                [a] => eval(opcode, &[evaluate(a, constants)]),
                [a, b] => eval(opcode, &[evaluate(a, constants), evaluate(b, constants)]),
                _ => unreachable!("operations on constants have one operand or two"),
            };
            bits.expect("rules compute what is defined")
        }
        Term::Value(_) | Term::Op(..) | Term::None => unreachable!("not a constant"),
    }
}

#[cfg(test)]
mod proofs;
#[cfg(test)]
mod tests;
