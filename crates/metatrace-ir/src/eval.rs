//! What each pure operation computes, on 64-bit words: the one definition of Rust's arithmetic in the project; and which
//! word in memory an access means.
//!
//! Floats travel as their IEEE bits, booleans as 0 and 1.

use crate::descr::{Descr, Word};
use crate::op::Opcode;

/// The address and the type of the word that a field's or array's descriptor means behind these operands: a pointer, or a
/// data pointer and an index; further operands do not matter.
///
/// # Panics
/// If the descriptor is neither.
#[inline]
pub fn location(descr: &Descr, args: &[u64]) -> (u64, Word) {
    match descr {
        Descr::Field(field) => (args[0].wrapping_add(field.offset.into()), field.word),
        descr => {
            let array = descr.array();
            let item = args[1].wrapping_mul(array.item_size.into());
            (args[0].wrapping_add(item).wrapping_add(array.offset.into()), array.word)
        }
    }
}

/// As [`eval`], with the descriptor of the operation: `ptr_field` and `ptr_item` too.
pub fn eval_with_descr(op: Opcode, descr: Option<&Descr>, args: &[u64]) -> Option<u64> {
    match (op, descr) {
        (Opcode::PtrField | Opcode::PtrItem, Some(descr)) => Some(location(descr, args).0),
        _ => eval(op, args),
    }
}

/// The result of a pure, partial or overflow operation on `args`; of an overflow operation the wrapped result.
/// `None` where the operation is undefined (division by zero, MIN / -1) or is not one of arithmetic (memory, calls,
/// addresses: see [`eval_with_descr`]).
pub fn eval(op: Opcode, args: &[u64]) -> Option<u64> {
    use Opcode::*;
    let a = args.first().copied().unwrap_or(0);
    let b = args.get(1).copied().unwrap_or(0);
    let (sa, sb) = (a as i64, b as i64);
    let (fa, fb) = (f64::from_bits(a), f64::from_bits(b));
    let shift = (b & 63) as u32;
    Some(match op {
        IntAdd | IntAddOvf => a.wrapping_add(b),
        IntSub | IntSubOvf => a.wrapping_sub(b),
        IntMul | IntMulOvf => a.wrapping_mul(b),
        UintMulHigh => ((a as u128 * b as u128) >> 64) as u64,
        IntFloordiv => sa.checked_div(sb)? as u64,
        IntMod => sa.checked_rem(sb)? as u64,
        UintFloordiv => a.checked_div(b)?,
        UintMod => a.checked_rem(b)?,
        IntAnd => a & b,
        IntOr => a | b,
        IntXor => a ^ b,
        IntLshift => a << shift,
        IntRshift => (sa >> shift) as u64,
        UintRshift => a >> shift,
        IntNeg => a.wrapping_neg(),
        IntInvert => !a,
        IntSignext => match b {
            1 => a as i8 as i64 as u64,
            2 => a as i16 as i64 as u64,
            4 => a as i32 as i64 as u64,
            _ => return None,
        },
        IntClz => a.leading_zeros().into(),
        IntCtz => a.trailing_zeros().into(),
        IntPopcount => a.count_ones().into(),
        IntLt => (sa < sb).into(),
        IntLe => (sa <= sb).into(),
        IntEq | PtrEq => (a == b).into(),
        IntNe | PtrNe => (a != b).into(),
        IntGt => (sa > sb).into(),
        IntGe => (sa >= sb).into(),
        UintLt => (a < b).into(),
        UintLe => (a <= b).into(),
        UintGt => (a > b).into(),
        UintGe => (a >= b).into(),
        IntIsZero => (a == 0).into(),
        IntIsTrue => (a != 0).into(),
        FloatLt => (fa < fb).into(),
        FloatLe => (fa <= fb).into(),
        FloatEq => (fa == fb).into(),
        FloatNe => (fa != fb).into(),
        FloatGt => (fa > fb).into(),
        FloatGe => (fa >= fb).into(),
        FloatAdd => (fa + fb).to_bits(),
        FloatSub => (fa - fb).to_bits(),
        FloatMul => (fa * fb).to_bits(),
        FloatTruediv => (fa / fb).to_bits(),
        FloatNeg => (-fa).to_bits(),
        FloatAbs => fa.abs().to_bits(),
        FloatSqrt => fa.sqrt().to_bits(),
        CastFloatToInt => fa as i64 as u64,
        CastFloatToUint => fa as u64,
        CastIntToFloat => (sa as f64).to_bits(),
        CastUintToFloat => (a as f64).to_bits(),
        ConvertFloatBytesToLonglong
        | ConvertLonglongBytesToFloat
        | CastPtrToInt
        | CastIntToPtr
        | SameAsI
        | SameAsR
        | SameAsF => a,
        PtrField | PtrItem | GetfieldGcI | GetfieldGcR | GetfieldGcF | SetfieldGc | GetarrayitemRawI
        | GetarrayitemRawR | GetarrayitemRawF | SetarrayitemRaw | Alloca | New | NewWithVtable | NewArray | CallI
        | CallR | CallN | CallPureI | CallPureR | GuardTrue | GuardFalse | GuardValue | GuardNonnull | GuardIsnull
        | GuardNoOverflow | GuardOverflow | GuardNoException | GuardAlwaysFails | Label | Jump | Finish
        | RecordTrue | DebugMergePoint => return None,
    })
}

/// Whether an overflow operation overflows `i64` on these operands.
///
/// # Panics
/// If `op` is of another class.
pub fn overflows(op: Opcode, a: u64, b: u64) -> bool {
    let (a, b) = (a as i64, b as i64);
    match op {
        Opcode::IntAddOvf => a.checked_add(b).is_none(),
        Opcode::IntSubOvf => a.checked_sub(b).is_none(),
        Opcode::IntMulOvf => a.checked_mul(b).is_none(),
        other => panic!("{} sets no overflow flag", other.name()),
    }
}
