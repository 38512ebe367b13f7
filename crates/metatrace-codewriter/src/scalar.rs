//! Numbers, `bool` and `char`: Rust's arithmetic, comparisons and casts on words.
//!
//! Narrow integers are kept extended to 64 bits according to their signedness. Checked operations compute wide, look
//! whether the result fits, and go to a cold block that panics as Rust does.

use crate::assembly;
use crate::builder::{Builder, ValueId, with};
use crate::handles::{JitType, Place, Var};
use crate::natives::{Callee, Facts, native, panic, peek, scalar_call, std_call};
use crate::types::{Scalar, Type, TypeIsJit, TypeShape};
use metatrace_graph::{Blk, Op, Operand, Term};
use metatrace_ir::{Const, Kind, Opcode};
use std::mem::ManuallyDrop;

/// A scalar type.
pub trait JitScalar: Copy + PartialOrd + JitType + JitEq + TypeIsJit {
    /// Which.
    const SCALAR: Scalar;
}

/// Numbers.
#[diagnostic::on_unimplemented(
    message = "arithmetic on `{Self}` does not stage",
    label = "integers of up to 64 bits and `f64` have arithmetic that stages",
    note = "leave it to a function marked `#[jit::dont_look_inside]`"
)]
pub trait JitArith: JitScalar {}
/// Integers.
#[diagnostic::on_unimplemented(
    message = "integer arithmetic on `{Self}` does not stage",
    label = "integers of up to 64 bits have it",
    note = "leave it to a function marked `#[jit::dont_look_inside]`"
)]
pub trait JitInt: JitArith {}
/// What `&`, `|`, `^` and `!` apply to.
#[diagnostic::on_unimplemented(
    message = "a bit operator on `{Self}` does not stage",
    label = "integers of up to 64 bits and `bool` have bit operators that stage",
    note = "leave it to a function marked `#[jit::dont_look_inside]`"
)]
pub trait JitBits: JitScalar {}
/// What unary `-` applies to.
#[diagnostic::on_unimplemented(
    message = "`-` on `{Self}` does not stage",
    label = "signed integers of up to 64 bits and `f64` have a `-` that stages",
    note = "leave it to a function marked `#[jit::dont_look_inside]`"
)]
pub trait JitNeg: JitScalar {}
/// Constants: any type.
pub trait JitConst {}
impl<T> JitConst for T {}

/// Types with operators `==`, `<` …
#[diagnostic::on_unimplemented(
    message = "comparing `{Self}` does not stage",
    label = "scalars, `#[jit]` types and std types made of such can be compared",
    note = "leave it to a function marked `#[jit::dont_look_inside]`"
)]
pub trait JitEq {
    /// Which scalar it is, where it is one.
    const SCALAR_EQ: Option<Scalar> = None;
}

/// Enums without fields, which `as` casts.
pub trait JitFieldless: TypeIsJit {}

/// What `as` casts from.
#[diagnostic::on_unimplemented(
    message = "`as` from `{Self}` does not stage",
    label = "scalars and fieldless `#[jit]` enums can be cast",
    note = "leave it to a function marked `#[jit::dont_look_inside]`"
)]
pub trait JitCastFrom {
    /// The scalar that the value's word is.
    const FROM: Scalar;
}

impl<T: JitFieldless> JitCastFrom for T {
    const FROM: Scalar = Scalar::U8;
}

impl Scalar {
    fn bits(self) -> u32 {
        self.word().size() * 8
    }

    fn is_signed(self) -> bool {
        self.word().is_signed()
    }

    /// The smallest and the largest value of an integer type, as register contents.
    fn range(self) -> (u64, u64) {
        let bits = self.bits();
        if self.is_signed() {
            ((i64::MIN >> (64 - bits)) as u64, (i64::MAX >> (64 - bits)) as u64)
        } else {
            (0, u64::MAX >> (64 - bits))
        }
    }

    /// Whether all values of `other` are values of this type, and look the same.
    fn contains(self, other: Scalar) -> bool {
        match (self.is_signed(), other.is_signed()) {
            (a, b) if a == b => self.bits() >= other.bits(),
            (true, false) => self.bits() > other.bits(),
            _ => false,
        }
    }
}

macro_rules! scalars {
    ($($t:ident $scalar:ident [$($bound:ident)*];)*) => {$(
        impl JitScalar for $t {
            const SCALAR: Scalar = Scalar::$scalar;
        }
        $(impl $bound for $t {})*
        impl JitEq for $t {
            const SCALAR_EQ: Option<Scalar> = Some(Scalar::$scalar);
        }
        impl JitCastFrom for $t {
            const FROM: Scalar = Scalar::$scalar;
        }
        impl TypeIsJit for $t {
            fn shape() -> TypeShape {
                TypeShape::Scalar(Scalar::$scalar)
            }
        }
        impl JitType for $t {
            type Target = Var<$t>;
            #[inline(never)]
            fn target(place: Place<Self>) -> Var<$t> {
                place.__get()
            }
        }
    )*};
}
scalars! {
    u8 U8 [JitArith JitInt JitBits];
    u16 U16 [JitArith JitInt JitBits];
    u32 U32 [JitArith JitInt JitBits];
    u64 U64 [JitArith JitInt JitBits];
    usize U64 [JitArith JitInt JitBits];
    i8 I8 [JitArith JitInt JitBits JitNeg];
    i16 I16 [JitArith JitInt JitBits JitNeg];
    i32 I32 [JitArith JitInt JitBits JitNeg];
    i64 I64 [JitArith JitInt JitBits JitNeg];
    isize I64 [JitArith JitInt JitBits JitNeg];
    f64 F64 [JitArith JitNeg];
    bool Bool [JitBits];
    char Char [];
}

/// Learns the scalar types, which need no probe.
pub(crate) fn learn_scalars() {
    macro_rules! learn {
        ($($t:ident)*) => { $(Type::learn::<$t>(); Type::learn::<Option<$t>>();)* };
    }
    learn!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize f64 bool char);
    Type::learn::<()>();
}

/// A binary operation of arithmetic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arith {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    And,
    Or,
    Xor,
}

/// What an operation that may overflow gives.
struct Outcome {
    /// The 64-bit result: the right one where it fits.
    wide: Operand,
    wrapped: Operand,
    fits: Operand,
}

fn panicking(b: &mut Builder, name: &'static str, callee: Callee) {
    panic(b, name, callee, &[]);
}

/// A cold block that panics with a constant message.
macro_rules! panics {
    ($message:literal) => {
        |b: &mut Builder| panicking(b, $message, Callee::of::<_, (), ()>(|| panic!($message)))
    };
}

fn overflow_panic(b: &mut Builder, arith: Arith) {
    match arith {
        Arith::Add => panics!("attempt to add with overflow")(b),
        Arith::Sub => panics!("attempt to subtract with overflow")(b),
        Arith::Mul => panics!("attempt to multiply with overflow")(b),
        Arith::Div => panics!("attempt to divide with overflow")(b),
        Arith::Rem => panics!("attempt to calculate the remainder with overflow")(b),
        Arith::And | Arith::Or | Arith::Xor => unreachable!("bit operations do not overflow"),
    }
}

impl Builder {
    /// Brings a 64-bit result back to the type's width.
    pub(crate) fn extend(&mut self, scalar: Scalar, bits: Operand) -> Operand {
        match (scalar.bits(), scalar.is_signed()) {
            (64, _) => bits,
            (width, true) => self.pure(Opcode::IntSignext, bits, Operand::int(u64::from(width / 8))),
            (width, false) => self.pure(Opcode::IntAnd, bits, Operand::int(u64::MAX >> (64 - width))),
        }
    }

    fn arith(&mut self, arith: Arith, scalar: Scalar, a: Operand, b: Operand) -> Operand {
        match (arith, scalar) {
            (_, Scalar::F64) => self.float_arith(arith, a, b),
            (Arith::And, _) => self.pure(Opcode::IntAnd, a, b),
            (Arith::Or, _) => self.pure(Opcode::IntOr, a, b),
            (Arith::Xor, _) => self.pure(Opcode::IntXor, a, b),
            (Arith::Div | Arith::Rem, _) => self.divide(arith, scalar, a, b),
            _ if self.overflow_checks => self.checked(arith, scalar, a, b),
            _ => self.wrapping(arith, scalar, a, b),
        }
    }

    fn float_arith(&mut self, arith: Arith, a: Operand, b: Operand) -> Operand {
        let op = match arith {
            Arith::Add => Opcode::FloatAdd,
            Arith::Sub => Opcode::FloatSub,
            Arith::Mul => Opcode::FloatMul,
            Arith::Div => Opcode::FloatTruediv,
            Arith::Rem => {
                let callee = Callee::of_scalars::<_, (f64, f64), f64>(|a: f64, b: f64| a % b);
                let ty = Type::of::<f64>();
                let (a, b) = (self.value(ty, vec![a]), self.value(ty, vec![b]));
                let result = native(self, "fmod", Facts::PURE, callee, &[a.0, b.0], ty);
                return self.word(result);
            }
            Arith::And | Arith::Or | Arith::Xor => unreachable!("floats have no bit operations"),
        };
        self.pure(op, a, b)
    }

    pub(crate) fn wrapping(&mut self, arith: Arith, scalar: Scalar, a: Operand, b: Operand) -> Operand {
        let op = match arith {
            Arith::Add => Opcode::IntAdd,
            Arith::Sub => Opcode::IntSub,
            Arith::Mul => Opcode::IntMul,
            other => unreachable!("{other:?} does not wrap"),
        };
        let wide = self.pure(op, a, b);
        self.extend(scalar, wide)
    }

    fn checked(&mut self, arith: Arith, scalar: Scalar, a: Operand, b: Operand) -> Operand {
        if scalar == Scalar::I64 {
            let overflow = self.graph.block();
            let result = self.signed_or(arith, a, b, overflow);
            let here = std::mem::replace(&mut self.current, overflow);
            overflow_panic(self, arith);
            self.current = here;
            return result;
        }
        let Outcome { wide, fits, .. } = self.overflowing(arith, scalar, a, b);
        self.check(fits, |b| overflow_panic(b, arith));
        wide
    }

    /// Adds, subtracts or multiplies `i64`s; goes to `overflow` where the result does not fit.
    fn signed_or(&mut self, arith: Arith, a: Operand, b: Operand, overflow: Blk) -> Operand {
        let op = match arith {
            Arith::Add => Opcode::IntAddOvf,
            Arith::Sub => Opcode::IntSubOvf,
            _ => Opcode::IntMulOvf,
        };
        let dst = self.reg(Kind::Int);
        let fits = self.graph.block();
        self.end(Term::Overflow {
            op,
            dst,
            a,
            b,
            fits,
            overflow,
        });
        self.current = fits;
        Operand::Reg(dst)
    }

    /// Of all types but `i64`.
    fn overflowing(&mut self, arith: Arith, scalar: Scalar, a: Operand, b: Operand) -> Outcome {
        let op = match arith {
            Arith::Add => Opcode::IntAdd,
            Arith::Sub => Opcode::IntSub,
            _ => Opcode::IntMul,
        };
        let wide = self.pure(op, a, b);
        let wrapped = self.extend(scalar, wide);
        let fits = match (arith, scalar.bits(), scalar.is_signed()) {
            (Arith::Add, 64, _) => self.pure(Opcode::UintGe, wide, a),
            (Arith::Sub, 64, _) => self.pure(Opcode::UintGe, a, b),
            (_, 64, _) => {
                let high = self.pure(Opcode::UintMulHigh, a, b);
                self.pure1(Opcode::IntIsZero, high)
            }
            (_, _, true) => self.pure(Opcode::IntEq, wide, wrapped),
            (_, _, false) => self.pure(Opcode::UintLe, wide, Operand::int(scalar.range().1)),
        };
        Outcome { wide, wrapped, fits }
    }

    fn divide(&mut self, arith: Arith, scalar: Scalar, a: Operand, b: Operand) -> Operand {
        self.check_nonzero(arith, b);
        if scalar.is_signed() {
            self.check_min_by_minus_one(arith, scalar, a, b);
        }
        self.quotient(arith, scalar, a, b)
    }

    /// MIN / -1 wraps. Where a word could not hold the quotient, -1 becomes 1 and the quotient is negated, without a branch:
    /// most divisors are constants in a trace.
    fn divide_wrapping(&mut self, arith: Arith, scalar: Scalar, a: Operand, b: Operand) -> Operand {
        self.check_nonzero(arith, b);
        if !scalar.is_signed() || scalar.bits() < 64 {
            let wide = self.quotient(arith, scalar, a, b);
            return self.extend(scalar, wide);
        }
        let is_minus_one = self.pure(Opcode::IntEq, b, Operand::int(u64::MAX));
        let twice = self.pure(Opcode::IntAdd, is_minus_one, is_minus_one);
        let positive = self.pure(Opcode::IntAdd, b, twice);
        let quotient = self.quotient(arith, scalar, a, positive);
        match arith {
            Arith::Div => {
                let sign = self.pure(Opcode::IntSub, Operand::int(1), twice);
                self.pure(Opcode::IntMul, quotient, sign)
            }
            // of a division by 1 and by -1 nothing remains
            _ => quotient,
        }
    }

    fn check_nonzero(&mut self, arith: Arith, b: Operand) {
        let nonzero = self.pure(Opcode::IntNe, b, Operand::int(0));
        match arith {
            Arith::Div => self.check(nonzero, panics!("attempt to divide by zero")),
            _ => self.check(
                nonzero,
                panics!("attempt to calculate the remainder with a divisor of zero"),
            ),
        }
    }

    /// Of a divisor that is neither zero nor, for the least number of 64 bits, -1.
    fn quotient(&mut self, arith: Arith, scalar: Scalar, a: Operand, b: Operand) -> Operand {
        let op = match (arith, scalar.is_signed()) {
            (Arith::Div, true) => Opcode::IntFloordiv,
            (Arith::Div, false) => Opcode::UintFloordiv,
            (_, true) => Opcode::IntMod,
            (_, false) => Opcode::UintMod,
        };
        self.pure(op, a, b)
    }

    fn check_min_by_minus_one(&mut self, arith: Arith, scalar: Scalar, a: Operand, b: Operand) {
        let is_minus_one = self.pure(Opcode::IntEq, b, Operand::int(u64::MAX));
        if is_minus_one.as_const() == Some(0) {
            return;
        }
        let fine = self.graph.block();
        self.test(is_minus_one, fine);
        let in_range = self.pure(Opcode::IntNe, a, Operand::int(scalar.range().0));
        self.check(in_range, |b| overflow_panic(b, arith));
        self.goto(fine);
        self.current = fine;
    }

    fn shift(&mut self, left: bool, scalar: Scalar, a: Operand, by: Operand) -> Operand {
        let width = u64::from(scalar.bits());
        let mut by = by;
        if self.overflow_checks {
            let fits = self.pure(Opcode::UintLt, by, Operand::int(width));
            if left {
                self.check(fits, panics!("attempt to shift left with overflow"));
            } else {
                self.check(fits, panics!("attempt to shift right with overflow"));
            }
        } else if width < 64 {
            by = self.pure(Opcode::IntAnd, by, Operand::int(width - 1));
        }
        self.shift_by(left, scalar, a, by)
    }

    /// Shifts by less than the width; of 64-bit types by the low bits.
    pub(crate) fn shift_by(&mut self, left: bool, scalar: Scalar, a: Operand, by: Operand) -> Operand {
        if left {
            let wide = self.pure(Opcode::IntLshift, a, by);
            self.extend(scalar, wide)
        } else if scalar.is_signed() {
            self.pure(Opcode::IntRshift, a, by)
        } else {
            self.pure(Opcode::UintRshift, a, by)
        }
    }

    pub(crate) fn compare(&mut self, order: Compare, scalar: Scalar, a: Operand, b: Operand) -> Operand {
        use Opcode::*;
        let ops = match (scalar, scalar.is_signed()) {
            (Scalar::F64, _) => [FloatEq, FloatNe, FloatLt, FloatLe, FloatGt, FloatGe],
            (_, true) => [IntEq, IntNe, IntLt, IntLe, IntGt, IntGe],
            (_, false) => [IntEq, IntNe, UintLt, UintLe, UintGt, UintGe],
        };
        self.pure(ops[order as usize], a, b)
    }

    fn negate(&mut self, scalar: Scalar, a: Operand) -> Operand {
        if scalar == Scalar::F64 {
            return self.pure1(Opcode::FloatNeg, a);
        }
        if self.overflow_checks {
            let fits = self.pure(Opcode::IntNe, a, Operand::int(scalar.range().0));
            self.check(fits, panics!("attempt to negate with overflow"));
        }
        let wide = self.pure1(Opcode::IntNeg, a);
        self.extend(scalar, wide)
    }

    fn not(&mut self, scalar: Scalar, a: Operand) -> Operand {
        if scalar == Scalar::Bool {
            return self.pure1(Opcode::IntIsZero, a);
        }
        let wide = self.pure1(Opcode::IntInvert, a);
        self.extend(scalar, wide)
    }

    fn cast(&mut self, from: Scalar, to: Scalar, a: Operand) -> Operand {
        match (from, to) {
            (Scalar::F64, Scalar::F64) => a,
            (Scalar::F64, _) => self.cast_float(to, a),
            (_, Scalar::F64) if from == Scalar::U64 => self.pure1(Opcode::CastUintToFloat, a),
            (_, Scalar::F64) => self.pure1(Opcode::CastIntToFloat, a),
            _ if to.contains(from) => a,
            _ => self.extend(to, a),
        }
    }

    fn cast_float(&mut self, to: Scalar, a: Operand) -> Operand {
        macro_rules! saturate {
            ($t:ty) => {{
                let callee = Callee::of_scalars::<_, (f64,), $t>(|value: f64| value as $t);
                let value = self.value(Type::of::<f64>(), vec![a]);
                let result = native(
                    self,
                    concat!("f64_as_", stringify!($t)),
                    Facts::PURE,
                    callee,
                    &[value.0],
                    Type::of::<$t>(),
                );
                self.word(result)
            }};
        }
        match to {
            Scalar::I64 => self.pure1(Opcode::CastFloatToInt, a),
            Scalar::U64 => self.pure1(Opcode::CastFloatToUint, a),
            Scalar::U8 | Scalar::Bool => saturate!(u8),
            Scalar::U16 => saturate!(u16),
            Scalar::U32 | Scalar::Char => saturate!(u32),
            Scalar::I8 => saturate!(i8),
            Scalar::I16 => saturate!(i16),
            Scalar::I32 => saturate!(i32),
            Scalar::F64 => a,
        }
    }
}

/// A comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Compare {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// A scalar that an operation on words gives.
#[inline(never)]
pub(crate) fn scalar_value(ty: Type, f: impl FnOnce(&mut Builder) -> Operand) -> u32 {
    with(|b| {
        let word = f(b);
        b.value(ty, vec![word]).0
    })
}

fn word_of(b: &Builder, id: u32) -> Operand {
    b.word(ValueId(id))
}

fn arith_value(arith: Arith, scalar: Scalar, ty: Type, a: u32, b: u32) -> u32 {
    scalar_value(ty, |builder| {
        let (a, b) = (word_of(builder, a), word_of(builder, b));
        builder.arith(arith, scalar, a, b)
    })
}

fn shift_value(left: bool, scalar: Scalar, ty: Type, a: u32, by: u32) -> u32 {
    scalar_value(ty, |b| {
        let (a, by) = (word_of(b, a), word_of(b, by));
        b.shift(left, scalar, a, by)
    })
}

macro_rules! operators {
    ($bound:ident: $($name:ident $assign:ident $arith:ident),*) => {$(
        #[doc = concat!("The operator of `", stringify!($arith), "`.")]
        #[inline(never)]
        pub fn $name<T: $bound>(a: Var<T>, b: Var<T>) -> Var<T> {
            Var::number(arith_value(Arith::$arith, T::SCALAR, Type::of::<T>(), a.__id(), b.__id()))
        }

        #[doc = concat!("The assigning operator of `", stringify!($arith), "`.")]
        #[inline(never)]
        pub fn $assign<T: $bound>(right: Var<T>, left: Place<T>) -> Var<()> {
            let old = left.__peek();
            left.__init(&$name(old, right));
            crate::control::unit()
        }
    )*};
}
operators!(JitArith: add add_assign Add, sub sub_assign Sub, mul mul_assign Mul, div div_assign Div, rem rem_assign Rem);
operators!(JitBits: bitand bitand_assign And, bitor bitor_assign Or, bitxor bitxor_assign Xor);

macro_rules! shifts {
    ($($name:ident $assign:ident $left:literal),*) => {$(
        /// A shift.
        #[inline(never)]
        pub fn $name<T: JitInt, U: JitInt>(a: Var<T>, by: Var<U>) -> Var<T> {
            Var::number(shift_value($left, T::SCALAR, Type::of::<T>(), a.__id(), by.__id()))
        }

        /// An assigning shift.
        #[inline(never)]
        pub fn $assign<T: JitInt, U: JitInt>(by: Var<U>, left: Place<T>) -> Var<()> {
            let old = left.__peek();
            left.__init(&$name(old, by));
            crate::control::unit()
        }
    )*};
}
shifts!(shl shl_assign true, shr shr_assign false);

fn compare_scalars(order: Compare, scalar: Scalar, a: u32, b: u32) -> u32 {
    scalar_value(Type::of::<bool>(), |builder| {
        let (a, b) = (word_of(builder, a), word_of(builder, b));
        builder.compare(order, scalar, a, b)
    })
}

macro_rules! comparisons {
    ($bound:ident: $($name:ident $order:ident)*) => {$(
        #[doc = concat!("The operator of `", stringify!($name), "`.")]
        #[inline(never)]
        pub fn $name<T: JitEq + $bound>(a: Var<T>, b: Var<T>) -> Var<bool> {
            Var::number(match T::SCALAR_EQ {
                Some(scalar) => compare_scalars(Compare::$order, scalar, a.__id(), b.__id()),
                None => {
                    let callee = Callee::of::<_, (ManuallyDrop<T>, ManuallyDrop<T>), bool>(
                        |a: ManuallyDrop<T>, b: ManuallyDrop<T>| T::$name(&a, &b),
                    );
                    let args = [a.__id(), b.__id()];
                    peek(concat!(stringify!($name)), Facts::ANY, callee, &args, Type::of::<bool>())
                }
            })
        }
    )*};
}
comparisons!(PartialEq: eq Eq ne Ne);
comparisons!(PartialOrd: lt Lt le Le gt Gt ge Ge);

impl JitEq for str {}
impl JitEq for String {}
impl JitEq for () {}
impl<T: JitEq + ?Sized> JitEq for &T {}
impl<T: JitEq + ?Sized> JitEq for &mut T {}
impl<T: JitEq> JitEq for Option<T> {}
impl<T: JitEq, E: JitEq> JitEq for Result<T, E> {}
impl<T: JitEq> JitEq for [T] {}
impl<T: JitEq, const N: usize> JitEq for [T; N] {}
impl<T: JitEq> JitEq for Vec<T> {}
impl<T: JitEq + ?Sized> JitEq for Box<T> {}
impl<T: JitEq + ?Sized> JitEq for std::rc::Rc<T> {}

/// Unary `-`.
#[inline(never)]
pub fn neg<T: JitNeg>(a: Var<T>) -> Var<T> {
    Var::number(scalar_value(Type::of::<T>(), |b| {
        let a = word_of(b, a.__id());
        b.negate(T::SCALAR, a)
    }))
}

/// `!`.
#[inline(never)]
pub fn not<T: JitBits>(a: Var<T>) -> Var<T> {
    Var::number(scalar_value(Type::of::<T>(), |b| {
        let a = word_of(b, a.__id());
        b.not(T::SCALAR, a)
    }))
}

/// `as`.
#[inline(never)]
pub fn cast<A: JitCastFrom, U: JitScalar>(a: Var<A>) -> Var<U> {
    Var::number(cast_value(A::FROM, U::SCALAR, Type::of::<U>(), a.__id()))
}

pub(crate) fn cast_value(from: Scalar, to: Scalar, ty: Type, a: u32) -> u32 {
    scalar_value(ty, |b| {
        let a = word_of(b, a);
        b.cast(from, to, a)
    })
}

pub(crate) fn constant_words(ty: Type, words: &[u64]) -> Vec<Operand> {
    let constant = |(word, bits): (&crate::shape::ShapeWord, &u64)| {
        Operand::Const(Const {
            kind: word.word.kind(),
            bits: *bits,
        })
    };
    ty.shape().words.iter().zip(words).map(constant).collect()
}

/// A constant.
#[inline(never)]
pub fn lit<T: JitConst>(value: T) -> Var<T> {
    let ty = Type::of::<T>();
    Var::new(constant(ty, &assembly::words_of(ty, value)))
}

#[inline(never)]
fn constant(ty: Type, words: &[u64]) -> ValueId {
    let words = constant_words(ty, words);
    with(|b| b.owned_value(ty, words))
}

/// A string literal.
#[inline(never)]
pub fn lit_str(text: &'static str) -> Var<&'static str> {
    Type::learn_known::<&'static str>();
    lit(text)
}

/// Pairs of a result and whether it is exact, for the `checked_` and `overflowing_` methods.
#[inline(never)]
fn overflowing_pair(arith: Arith, scalar: Scalar, a: u32, b: u32) -> (Operand, Operand) {
    with(|builder| {
        let (a, b) = (word_of(builder, a), word_of(builder, b));
        if scalar != Scalar::I64 {
            let Outcome { wrapped, fits, .. } = builder.overflowing(arith, scalar, a, b);
            return (wrapped, fits);
        }
        let (overflow, join) = (builder.graph.block(), builder.graph.block());
        let (value, exact) = (builder.reg(Kind::Int), builder.reg(Kind::Int));
        let result = builder.signed_or(arith, a, b, overflow);
        builder.emit(Op::Move {
            dst: value,
            src: result,
        });
        builder.emit(Op::Move {
            dst: exact,
            src: Operand::int(1),
        });
        builder.goto(join);
        builder.current = overflow;
        let wrapped = builder.wrapping(arith, scalar, a, b);
        builder.emit(Op::Move {
            dst: value,
            src: wrapped,
        });
        builder.emit(Op::Move {
            dst: exact,
            src: Operand::int(0),
        });
        builder.goto(join);
        builder.current = join;
        (Operand::Reg(value), Operand::Reg(exact))
    })
}

#[inline(never)]
fn checked_value(arith: Arith, scalar: Scalar, option: Type, a: u32, b: u32) -> u32 {
    let (value, exact) = overflowing_pair(arith, scalar, a, b);
    with(|b| {
        let words = b.option_words(option, exact, value);
        b.value(option, words).0
    })
}

#[inline(never)]
fn overflowing_value(arith: Arith, scalar: Scalar, pair: Type, a: u32, b: u32) -> u32 {
    let (value, exact) = overflowing_pair(arith, scalar, a, b);
    with(|b| {
        let overflowed = b.pure1(Opcode::IntIsZero, exact);
        b.value(pair, vec![value, overflowed]).0
    })
}

fn wrapping_value(arith: Arith, scalar: Scalar, ty: Type, a: u32, b: u32) -> u32 {
    scalar_value(ty, |builder| {
        let (a, b) = (word_of(builder, a), word_of(builder, b));
        builder.wrapping(arith, scalar, a, b)
    })
}

fn wrapping_quotient(arith: Arith, scalar: Scalar, ty: Type, a: u32, b: u32) -> u32 {
    scalar_value(ty, |builder| {
        let (a, b) = (word_of(builder, a), word_of(builder, b));
        builder.divide_wrapping(arith, scalar, a, b)
    })
}

fn wrapping_shift_value(left: bool, scalar: Scalar, ty: Type, a: u32, by: u32) -> u32 {
    scalar_value(ty, |b| {
        let (a, by) = (word_of(b, a), word_of(b, by));
        let by = b.pure(Opcode::IntAnd, by, Operand::int(u64::from(scalar.bits() - 1)));
        b.shift_by(left, scalar, a, by)
    })
}

fn choose_value(order: Compare, scalar: Scalar, ty: Type, a: u32, b: u32) -> u32 {
    scalar_value(ty, |builder| {
        let (a, b) = (word_of(builder, a), word_of(builder, b));
        let (dst, other, join) = (builder.reg(Kind::Int), builder.graph.block(), builder.graph.block());
        let first = builder.compare(order, scalar, a, b);
        builder.test(first, other);
        builder.emit(Op::Move { dst, src: a });
        builder.goto(join);
        builder.current = other;
        builder.emit(Op::Move { dst, src: b });
        builder.goto(join);
        builder.current = join;
        Operand::Reg(dst)
    })
}

fn bit_count(op: Opcode, scalar: Scalar, a: u32) -> u32 {
    scalar_value(Type::of::<u32>(), |b| {
        let a = word_of(b, a);
        let width = scalar.bits();
        let mask = Operand::int(u64::MAX >> (64 - width));
        let narrow = if width < 64 && scalar.is_signed() {
            b.pure(Opcode::IntAnd, a, mask)
        } else {
            a
        };
        match op {
            Opcode::IntClz => {
                let zeros = b.pure1(op, narrow);
                b.pure(Opcode::IntSub, zeros, Operand::int(u64::from(64 - width)))
            }
            Opcode::IntCtz if width < 64 => {
                let marked = b.pure(Opcode::IntOr, narrow, Operand::int(1 << width));
                b.pure1(op, marked)
            }
            _ => b.pure1(op, narrow),
        }
    })
}

// Methods that are native calls are `#[inline]`: with their shims they are compiled where they are called. There are
// hundreds of them, of which an interpreter calls a few. All others stay out of line, since twins call them often.
macro_rules! int_methods {
    ($($t:ident)*) => {$(
        impl Var<$t> {
            int_methods!(@ $t wrapping_value $t: wrapping_add Add, wrapping_sub Sub, wrapping_mul Mul);
            int_methods!(@ $t checked_value Option<$t>: checked_add Add, checked_sub Sub, checked_mul Mul);
            int_methods!(@ $t overflowing_value ($t, bool): overflowing_add Add, overflowing_sub Sub, overflowing_mul Mul);
            int_methods!(@ $t wrapping_quotient $t: wrapping_div Div, wrapping_rem Rem);
            int_methods!(# $t $t: saturating_add($t), saturating_sub($t), saturating_mul($t));
            int_methods!(# $t $t: rem_euclid($t), div_euclid($t), wrapping_pow(u32), saturating_pow(u32));
            int_methods!(# $t $t: rotate_left(u32), rotate_right(u32), swap_bytes(), abs_diff_as_self($t));
            int_methods!(? $t Option<$t>: checked_div($t), checked_rem($t), checked_pow(u32), checked_shl(u32), checked_shr(u32), checked_neg());

            /// `pow`.
            #[inline]
            pub fn pow(self, exponent: &Var<u32>) -> Var<$t> {
                let args = [self.__id(), exponent.__id()];
                if overflow_checks() {
                    let checked = |base: $t, exponent: u32| match base.checked_pow(exponent) {
                        Some(power) => power,
                        None => panic!("attempt to multiply with overflow"),
                    };
                    scalar_call::<_, ($t, u32), $t>("pow", ELIDABLE, checked, &args)
                } else {
                    scalar_call::<_, ($t, u32), $t>("pow", Facts::PURE, |a: $t, b: u32| a.wrapping_pow(b), &args)
                }
            }

            /// `wrapping_neg`.
            #[inline(never)]
            pub fn wrapping_neg(self) -> Var<$t> {
                lit::<$t>(0).wrapping_sub(&self)
            }

            /// `wrapping_shl`.
            #[inline(never)]
            pub fn wrapping_shl(self, by: &Var<u32>) -> Var<$t> {
                Var::number(wrapping_shift_value(true, <$t>::SCALAR, Type::of::<$t>(), self.__id(), by.__id()))
            }

            /// `wrapping_shr`.
            #[inline(never)]
            pub fn wrapping_shr(self, by: &Var<u32>) -> Var<$t> {
                Var::number(wrapping_shift_value(false, <$t>::SCALAR, Type::of::<$t>(), self.__id(), by.__id()))
            }

            /// `min`.
            #[inline(never)]
            pub fn min(self, other: &Var<$t>) -> Var<$t> {
                Var::number(choose_value(Compare::Le, <$t>::SCALAR, Type::of::<$t>(), self.__id(), other.__id()))
            }

            /// `max`.
            #[inline(never)]
            pub fn max(self, other: &Var<$t>) -> Var<$t> {
                Var::number(choose_value(Compare::Gt, <$t>::SCALAR, Type::of::<$t>(), self.__id(), other.__id()))
            }

            /// `leading_zeros`.
            #[inline(never)]
            pub fn leading_zeros(self) -> Var<u32> {
                Var::number(bit_count(Opcode::IntClz, <$t>::SCALAR, self.__id()))
            }

            /// `trailing_zeros`.
            #[inline(never)]
            pub fn trailing_zeros(self) -> Var<u32> {
                Var::number(bit_count(Opcode::IntCtz, <$t>::SCALAR, self.__id()))
            }

            /// `count_ones`.
            #[inline(never)]
            pub fn count_ones(self) -> Var<u32> {
                Var::number(bit_count(Opcode::IntPopcount, <$t>::SCALAR, self.__id()))
            }
        }
    )*};
    (@ $t:ident $make:ident $r:ty: $($name:ident $arith:ident),*) => {$(
        #[doc = concat!("`", stringify!($name), "`.")]
        #[inline(never)]
        pub fn $name(self, other: &Var<$t>) -> Var<$r> {
            Var::number($make(Arith::$arith, <$t>::SCALAR, Type::learn::<$r>(), self.__id(), other.__id()))
        }
    )*};
    (# $t:ident $r:ty: $($name:ident($($a:ty)?)),*) => {$(
        int_methods!(~ scalar_call $t $r, $name($($a)?));
    )*};
    (? $t:ident $r:ty: $($name:ident($($a:ty)?)),*) => {$(
        int_methods!(~ std_call $t $r, $name($($a)?));
    )*};
    (~ $call:ident $t:ident $r:ty, abs_diff_as_self($a:ty)) => {};
    (~ $call:ident $t:ident $r:ty, $name:ident()) => {
        #[doc = concat!("`", stringify!($name), "`.")]
        #[inline]
        pub fn $name(self) -> Var<$r> {
            Type::learn::<$r>();
            $call::<_, ($t,), $r>(stringify!($name), ELIDABLE, |a: $t| a.$name(), &[self.__id()])
        }
    };
    (~ $call:ident $t:ident $r:ty, $name:ident($a:ty)) => {
        #[doc = concat!("`", stringify!($name), "`.")]
        #[inline]
        pub fn $name(self, other: &Var<$a>) -> Var<$r> {
            Type::learn::<$r>();
            $call::<_, ($t, $a), $r>(stringify!($name), ELIDABLE, |a: $t, b: $a| a.$name(b), &[self.__id(), other.__id()])
        }
    };
}

#[inline(never)]
fn overflow_checks() -> bool {
    with(|b| b.overflow_checks)
}

/// Pure, but may panic.
const ELIDABLE: Facts = Facts {
    effect: metatrace_ir::Effect::Elidable,
    can_panic: true,
    aborts: false,
};

int_methods!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);

macro_rules! signed_methods {
    ($($t:ident $u:ident)*) => {$(
        impl Var<$t> {
            /// `abs`.
            #[inline(never)]
            pub fn abs(self) -> Var<$t> {
                Var::number(absolute(<$t>::SCALAR, Type::of::<$t>(), self.__id()))
            }

            /// `signum`.
            #[inline]
            pub fn signum(self) -> Var<$t> {
                scalar_call::<_, ($t,), $t>("signum", Facts::PURE, |a: $t| a.signum(), &[self.__id()])
            }

            /// `unsigned_abs`.
            #[inline]
            pub fn unsigned_abs(self) -> Var<$u> {
                scalar_call::<_, ($t,), $u>("unsigned_abs", Facts::PURE, |a: $t| a.unsigned_abs(), &[self.__id()])
            }

            /// `wrapping_abs`.
            #[inline]
            pub fn wrapping_abs(self) -> Var<$t> {
                scalar_call::<_, ($t,), $t>("wrapping_abs", Facts::PURE, |a: $t| a.wrapping_abs(), &[self.__id()])
            }

            /// `is_negative`.
            #[inline(never)]
            pub fn is_negative(self) -> Var<bool> {
                lt(self, lit::<$t>(0))
            }

            /// `is_positive`.
            #[inline(never)]
            pub fn is_positive(self) -> Var<bool> {
                gt(self, lit::<$t>(0))
            }
        }
    )*};
}
signed_methods!(i8 u8 i16 u16 i32 u32 i64 u64 isize usize);

fn absolute(scalar: Scalar, ty: Type, a: u32) -> u32 {
    scalar_value(ty, |b| {
        let a = word_of(b, a);
        let (dst, negative, join) = (b.reg(Kind::Int), b.graph.block(), b.graph.block());
        let positive = b.pure(Opcode::IntGe, a, Operand::int(0));
        b.test(positive, negative);
        b.emit(Op::Move { dst, src: a });
        b.goto(join);
        b.current = negative;
        let negated = b.negate(scalar, a);
        b.emit(Op::Move { dst, src: negated });
        b.goto(join);
        b.current = join;
        Operand::Reg(dst)
    })
}

macro_rules! float_methods {
    ($($name:ident($($arg:ident: $a:ty),*) -> $r:ty;)*) => {
        impl Var<f64> {
            /// `sqrt`.
            #[inline(never)]
            pub fn sqrt(self) -> Var<f64> {
                Var::number(scalar_value(Type::of::<f64>(), |b| {
                    let a = word_of(b, self.__id());
                    b.pure1(Opcode::FloatSqrt, a)
                }))
            }

            /// `abs`.
            #[inline(never)]
            pub fn abs(self) -> Var<f64> {
                Var::number(scalar_value(Type::of::<f64>(), |b| {
                    let a = word_of(b, self.__id());
                    b.pure1(Opcode::FloatAbs, a)
                }))
            }

            /// `to_bits`.
            #[inline(never)]
            pub fn to_bits(self) -> Var<u64> {
                Var::number(scalar_value(Type::of::<u64>(), |b| {
                    let a = word_of(b, self.__id());
                    b.pure1(Opcode::ConvertFloatBytesToLonglong, a)
                }))
            }

            $(
                #[doc = concat!("`", stringify!($name), "`.")]
                #[inline]
                pub fn $name(self $(, $arg: &Var<$a>)*) -> Var<$r> {
                    scalar_call::<_, (f64, $($a),*), $r>(
                        stringify!($name), Facts::PURE, |a: f64 $(, $arg: $a)*| a.$name($($arg),*), &[self.__id() $(, $arg.__id())*],
                    )
                }
            )*
        }
    };
}
float_methods! {
    floor() -> f64;
    ceil() -> f64;
    round() -> f64;
    trunc() -> f64;
    fract() -> f64;
    sin() -> f64;
    cos() -> f64;
    tan() -> f64;
    exp() -> f64;
    ln() -> f64;
    log2() -> f64;
    log10() -> f64;
    signum() -> f64;
    is_nan() -> bool;
    is_finite() -> bool;
    is_infinite() -> bool;
    is_sign_negative() -> bool;
    powi(n: i32) -> f64;
    powf(n: f64) -> f64;
    atan2(n: f64) -> f64;
    hypot(n: f64) -> f64;
    min(n: f64) -> f64;
    max(n: f64) -> f64;
    copysign(n: f64) -> f64;
    rem_euclid(n: f64) -> f64;
    mul_add(n: f64, m: f64) -> f64;
}

macro_rules! char_methods {
    ($t:ident $call:ident: $($name:ident($($arg:ident: $a:ty),*) -> $r:ty;)*) => {
        impl Var<$t> {
            $(
                #[doc = concat!("`", stringify!($name), "`.")]
                #[inline]
                pub fn $name(self $(, $arg: &Var<$a>)*) -> Var<$r> {
                    Type::learn::<$r>();
                    $call::<_, ($t, $($a),*), $r>(
                        stringify!($name), ELIDABLE, |a: $t $(, $arg: $a)*| a.$name($($arg),*), &[self.__id() $(, $arg.__id())*],
                    )
                }
            )*
        }
    };
}
char_methods! { char scalar_call:
    is_alphabetic() -> bool;
    is_numeric() -> bool;
    is_alphanumeric() -> bool;
    is_whitespace() -> bool;
    is_ascii() -> bool;
    is_ascii_digit() -> bool;
    is_ascii_alphabetic() -> bool;
    is_ascii_alphanumeric() -> bool;
    to_ascii_uppercase() -> char;
    to_ascii_lowercase() -> char;
    len_utf8() -> usize;
}
char_methods! { char std_call:
    to_digit(radix: u32) -> Option<u32>;
}
char_methods! { u8 scalar_call:
    is_ascii_digit() -> bool;
    is_ascii_alphabetic() -> bool;
    is_ascii_alphanumeric() -> bool;
    is_ascii_whitespace() -> bool;
    to_ascii_uppercase() -> u8;
    to_ascii_lowercase() -> u8;
}
