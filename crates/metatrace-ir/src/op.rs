//! The one table of operations. It generates the [`Opcode`] enum, names, operand kinds, results and effect classes;
//! printer, parser, verifier and executors read them from here.
//!
//! Names and type suffixes are RPython's. Integer operations work on 64-bit words: narrower integers are computed wide
//! and brought back into range by `int_and`, `int_signext` or a check, so no operation knows a width but these.

use crate::value::Kind;
use std::str::FromStr;

/// What an operation does besides computing its result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Total and without effect: may be folded, merged, moved and removed.
    Pure,
    /// Without effect but undefined for some operands (division by zero): may be folded, merged and removed; may be
    /// moved only where a guard that precedes it still does.
    Partial,
    /// Pure, and sets the overflow flag that the guard right behind it tests.
    Overflow,
    /// Leaves the trace when its condition fails; carries a snapshot.
    Guard,
    /// Reads memory.
    Load,
    /// Writes memory.
    Store,
    /// Makes memory.
    Alloc,
    /// Calls native code: a constant function address, then the arguments.
    Call,
    /// `label`, `jump`, `finish`.
    Control,
    /// No effect on execution.
    Debug,
}

impl Class {
    /// All classes, each at the place of its number.
    pub const ALL: [Class; 10] = [
        Class::Pure,
        Class::Partial,
        Class::Overflow,
        Class::Guard,
        Class::Load,
        Class::Store,
        Class::Alloc,
        Class::Call,
        Class::Control,
        Class::Debug,
    ];
}

/// The kinds of an operation's operands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operands {
    /// Exactly these.
    Fixed(&'static [Kind]),
    /// One, of any kind.
    One,
    /// Two of the same kind, the second a constant.
    ValueAndConst,
    /// Any number of any kinds.
    Any,
}

/// A row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpInfo {
    /// RPython's name, with type suffix.
    pub name: &'static str,
    /// Kinds of the operands.
    pub operands: Operands,
    /// Kind of the result; `None` for operations without.
    pub result: Option<Kind>,
    /// Whether the two operands may be exchanged.
    pub commutative: bool,
}

macro_rules! kinds {
    (any) => { Operands::Any };
    (one) => { Operands::One };
    (value_const) => { Operands::ValueAndConst };
    ($($k:ident)*) => { Operands::Fixed(&[$(kind!($k)),*]) };
}
macro_rules! kind {
    (i) => {
        Kind::Int
    };
    (p) => {
        Kind::Ref
    };
    (f) => {
        Kind::Float
    };
}
macro_rules! result {
    (n) => {
        None
    };
    ($k:ident) => {
        Some(kind!($k))
    };
}
macro_rules! commutes {
    () => {
        false
    };
    (commutes) => {
        true
    };
}

macro_rules! ops {
    ($($(#[$doc:meta])* $op:ident $name:literal ($($operands:tt)*) $result:ident $class:ident $($commutes:ident)?;)*) => {
        /// An operation of the trace IR.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Opcode { $($(#[$doc])* #[doc = concat!("`", $name, "`")] $op,)* }

        impl Opcode {
            /// Every operation, in the table's order.
            pub const ALL: &'static [Opcode] = &[$(Opcode::$op),*];
        }

        static TABLE: &[OpInfo] = &[$(OpInfo {
            name: $name,
            operands: kinds!($($operands)*),
            result: result!($result),
            commutative: commutes!($($commutes)?),
        }),*];

        /// By opcode: apart from the rows, since they are asked for at every turn.
        static CLASSES: &[Class] = &[$(Class::$class),*];
    };
}

ops! {
    // ---- integers: wrapping 64-bit arithmetic
    IntAdd "int_add" (i i) i Pure commutes;
    IntSub "int_sub" (i i) i Pure;
    IntMul "int_mul" (i i) i Pure commutes;
    /// The high 64 bits of the unsigned 128-bit product.
    UintMulHigh "uint_mul_high" (i i) i Pure commutes;
    /// Signed division that truncates, undefined for 0 and for MIN / -1.
    IntFloordiv "int_floordiv" (i i) i Partial;
    /// Remainder of the truncating signed division, undefined for 0 and for MIN % -1.
    IntMod "int_mod" (i i) i Partial;
    /// Unsigned division, undefined for 0.
    UintFloordiv "uint_floordiv" (i i) i Partial;
    /// Unsigned remainder, undefined for 0.
    UintMod "uint_mod" (i i) i Partial;
    IntAnd "int_and" (i i) i Pure commutes;
    IntOr "int_or" (i i) i Pure commutes;
    IntXor "int_xor" (i i) i Pure commutes;
    /// Shifts use the low 6 bits of the count.
    IntLshift "int_lshift" (i i) i Pure;
    IntRshift "int_rshift" (i i) i Pure;
    UintRshift "uint_rshift" (i i) i Pure;
    IntNeg "int_neg" (i) i Pure;
    IntInvert "int_invert" (i) i Pure;
    /// Sign-extends the low n bytes; n is a constant 1, 2 or 4.
    IntSignext "int_signext" (i i) i Pure;
    /// Leading zeros, trailing zeros (64 for 0) and ones of the 64-bit word.
    IntClz "int_clz" (i) i Pure;
    IntCtz "int_ctz" (i) i Pure;
    IntPopcount "int_popcount" (i) i Pure;
    IntAddOvf "int_add_ovf" (i i) i Overflow commutes;
    IntSubOvf "int_sub_ovf" (i i) i Overflow;
    IntMulOvf "int_mul_ovf" (i i) i Overflow commutes;
    // ---- comparisons: 0 or 1
    IntLt "int_lt" (i i) i Pure;
    IntLe "int_le" (i i) i Pure;
    IntEq "int_eq" (i i) i Pure commutes;
    IntNe "int_ne" (i i) i Pure commutes;
    IntGt "int_gt" (i i) i Pure;
    IntGe "int_ge" (i i) i Pure;
    UintLt "uint_lt" (i i) i Pure;
    UintLe "uint_le" (i i) i Pure;
    UintGt "uint_gt" (i i) i Pure;
    UintGe "uint_ge" (i i) i Pure;
    IntIsZero "int_is_zero" (i) i Pure;
    IntIsTrue "int_is_true" (i) i Pure;
    PtrEq "ptr_eq" (p p) i Pure commutes;
    PtrNe "ptr_ne" (p p) i Pure commutes;
    FloatLt "float_lt" (f f) i Pure;
    FloatLe "float_le" (f f) i Pure;
    FloatEq "float_eq" (f f) i Pure commutes;
    FloatNe "float_ne" (f f) i Pure commutes;
    FloatGt "float_gt" (f f) i Pure;
    FloatGe "float_ge" (f f) i Pure;
    // ---- floats
    FloatAdd "float_add" (f f) f Pure commutes;
    FloatSub "float_sub" (f f) f Pure;
    FloatMul "float_mul" (f f) f Pure commutes;
    FloatTruediv "float_truediv" (f f) f Pure;
    FloatNeg "float_neg" (f) f Pure;
    FloatAbs "float_abs" (f) f Pure;
    FloatSqrt "float_sqrt" (f) f Pure;
    // ---- conversions
    /// Rust's `as i64`: saturates, NaN gives 0.
    CastFloatToInt "cast_float_to_int" (f) i Pure;
    /// Rust's `as u64`: saturates, NaN gives 0.
    CastFloatToUint "cast_float_to_uint" (f) i Pure;
    CastIntToFloat "cast_int_to_float" (i) f Pure;
    CastUintToFloat "cast_uint_to_float" (i) f Pure;
    ConvertFloatBytesToLonglong "convert_float_bytes_to_longlong" (f) i Pure;
    ConvertLonglongBytesToFloat "convert_longlong_bytes_to_float" (i) f Pure;
    CastPtrToInt "cast_ptr_to_int" (p) i Pure;
    CastIntToPtr "cast_int_to_ptr" (i) p Pure;
    SameAsI "same_as_i" (i) i Pure;
    SameAsR "same_as_r" (p) p Pure;
    SameAsF "same_as_f" (f) f Pure;
    // ---- addresses: the field's or item's own, for pointers that are stored or passed on
    PtrField "ptr_field" (p) p Pure;
    PtrItem "ptr_item" (i i) p Pure;
    // ---- memory
    GetfieldGcI "getfield_gc_i" (p) i Load;
    GetfieldGcR "getfield_gc_r" (p) p Load;
    GetfieldGcF "getfield_gc_f" (p) f Load;
    SetfieldGc "setfield_gc" (any) n Store;
    /// Operands: data pointer (an int), index.
    GetarrayitemRawI "getarrayitem_raw_i" (i i) i Load;
    GetarrayitemRawR "getarrayitem_raw_r" (i i) p Load;
    GetarrayitemRawF "getarrayitem_raw_f" (i i) f Load;
    /// Operands: data pointer, index, value.
    SetarrayitemRaw "setarrayitem_raw" (any) n Store;
    /// A slot in the frame of the activation, alive until the activation leaves the trace; uninitialised.
    Alloca "alloca" () p Alloc;
    New "new" () p Alloc;
    NewWithVtable "new_with_vtable" () p Alloc;
    /// Operand: the length.
    NewArray "new_array" (i) p Alloc;
    // ---- calls: function address (a constant int), arguments
    CallI "call_i" (any) i Call;
    CallR "call_r" (any) p Call;
    CallN "call_n" (any) n Call;
    /// Calls of elidable functions.
    CallPureI "call_pure_i" (any) i Call;
    CallPureR "call_pure_r" (any) p Call;
    // ---- guards
    GuardTrue "guard_true" (i) n Guard;
    GuardFalse "guard_false" (i) n Guard;
    GuardValue "guard_value" (value_const) n Guard;
    GuardNonnull "guard_nonnull" (p) n Guard;
    GuardIsnull "guard_isnull" (p) n Guard;
    /// Right behind an operation of class `Overflow`.
    GuardNoOverflow "guard_no_overflow" () n Guard;
    GuardOverflow "guard_overflow" () n Guard;
    /// Right behind a call that may panic; its exit unwinds.
    GuardNoException "guard_no_exception" () n Guard;
    GuardAlwaysFails "guard_always_fails" () n Guard;
    // ---- control
    Label "label" (any) n Control;
    Jump "jump" (any) n Control;
    /// Leaves the trace for good; its snapshot says where execution goes on.
    Finish "finish" () n Control;
    /// What is known without a test: the operand is not zero. Nothing is executed; a bridge so begins with what the trace that
    /// it leaves has proved.
    RecordTrue "record_true" (i) n Debug;
    DebugMergePoint "debug_merge_point" () n Debug;
}

// Passes in other crates ask these of every operation, several times: hence the `inline`s.
impl Opcode {
    /// The operation's row.
    #[inline]
    pub fn info(self) -> &'static OpInfo {
        &TABLE[self as usize]
    }

    /// RPython's name of it.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// Kind of the result.
    #[inline]
    pub fn result(self) -> Option<Kind> {
        self.info().result
    }

    /// Whether exits may execute it in the place of the trace, or nobody has to.
    pub fn may_be_sunk(self) -> bool {
        match self.class() {
            Class::Pure | Class::Store => true,
            Class::Alloc => self != Opcode::Alloca,
            Class::Debug => self == Opcode::RecordTrue,
            Class::Partial | Class::Overflow | Class::Load | Class::Call | Class::Guard | Class::Control => false,
        }
    }

    /// Effect class.
    #[inline]
    pub fn class(self) -> Class {
        CLASSES[self as usize]
    }

    /// Whether it is a guard.
    #[inline]
    pub fn is_guard(self) -> bool {
        self.class() == Class::Guard
    }

    /// Whether it may leave the trace, and so has a snapshot: guards and `finish`.
    #[inline]
    pub fn can_exit(self) -> bool {
        self.is_guard() || self == Opcode::Finish
    }

    /// Whether it compares two words of the same kind to 0 or 1.
    #[inline]
    pub fn is_comparison(self) -> bool {
        (Opcode::IntLt..=Opcode::FloatGe).contains(&self)
    }

    /// The comparison that holds exactly when this one does not; `None` for the float orders, which NaN breaks.
    pub fn negated(self) -> Option<Opcode> {
        use Opcode::*;
        Some(match self {
            IntLt => IntGe,
            IntLe => IntGt,
            IntEq => IntNe,
            IntNe => IntEq,
            IntGt => IntLe,
            IntGe => IntLt,
            UintLt => UintGe,
            UintLe => UintGt,
            UintGt => UintLe,
            UintGe => UintLt,
            IntIsZero => IntIsTrue,
            IntIsTrue => IntIsZero,
            PtrEq => PtrNe,
            PtrNe => PtrEq,
            FloatEq => FloatNe,
            FloatNe => FloatEq,
            _ => return None,
        })
    }

    /// The comparison with its operands exchanged: `a op b` is `b op.swapped() a`.
    pub fn swapped(self) -> Option<Opcode> {
        use Opcode::*;
        Some(match self {
            IntLt => IntGt,
            IntLe => IntGe,
            IntGt => IntLt,
            IntGe => IntLe,
            UintLt => UintGt,
            UintLe => UintGe,
            UintGt => UintLt,
            UintGe => UintLe,
            FloatLt => FloatGt,
            FloatLe => FloatGe,
            FloatGt => FloatLt,
            FloatGe => FloatLe,
            op if op.info().commutative => op,
            _ => return None,
        })
    }

    /// `getfield_gc_*` for a word of this kind.
    pub fn getfield(kind: Kind) -> Opcode {
        match kind {
            Kind::Int => Opcode::GetfieldGcI,
            Kind::Ref => Opcode::GetfieldGcR,
            Kind::Float => Opcode::GetfieldGcF,
        }
    }

    /// `getarrayitem_raw_*` for a word of this kind.
    pub fn getarrayitem(kind: Kind) -> Opcode {
        match kind {
            Kind::Int => Opcode::GetarrayitemRawI,
            Kind::Ref => Opcode::GetarrayitemRawR,
            Kind::Float => Opcode::GetarrayitemRawF,
        }
    }

    /// `same_as_*` for this kind.
    pub fn same_as(kind: Kind) -> Opcode {
        match kind {
            Kind::Int => Opcode::SameAsI,
            Kind::Ref => Opcode::SameAsR,
            Kind::Float => Opcode::SameAsF,
        }
    }

    /// `call_*` for this result; calls never return floats.
    pub fn call(result: Option<Kind>) -> Opcode {
        match result {
            Some(Kind::Int) => Opcode::CallI,
            Some(Kind::Ref) => Opcode::CallR,
            None => Opcode::CallN,
            Some(Kind::Float) => panic!("shims return floats as bits"),
        }
    }
}

/// The name is no operation's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownOpcode;

impl FromStr for Opcode {
    type Err = UnknownOpcode;

    fn from_str(name: &str) -> Result<Opcode, UnknownOpcode> {
        Opcode::ALL
            .iter()
            .copied()
            .find(|op| op.name() == name)
            .ok_or(UnknownOpcode)
    }
}

const _: () = {
    let mut n = 0;
    while n < Class::ALL.len() {
        assert!(Class::ALL[n] as usize == n);
        n += 1;
    }
};
