//! `for` loops: over ranges of integers and over the items of slices.

use crate::builder::{Builder, ValueId, with};
use crate::handles::Var;
use crate::natives::{Facts, std_call};
use crate::place::{Base, Mem};
use crate::pointers::{deref, deref_mut};
use crate::scalar::{Compare, JitInt};
use crate::sequences::{array_slice, vec_slice};
use crate::types::{KnownType, Scalar, Type, TypeIsJit, TypeShape, field};
use metatrace_graph::{Blk, Op, Operand, VReg};
use metatrace_ir::{Kind, Opcode};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

/// An iterator of staged code.
pub trait JitIter {
    /// What it yields.
    type Item;
    /// The next item; goes to `done` where there is none.
    fn next(&self, done: Blk) -> Var<Self::Item>;
}

/// What `for` goes over.
pub trait IntoJitIter {
    /// Its iterator.
    type Iter: JitIter;
    /// Makes it.
    fn jit_iter(self) -> Self::Iter;
}

/// A range of integers as iterator.
pub struct IntRange<T> {
    next: VReg,
    end: Operand,
    /// Set when the last item of an inclusive range has been yielded.
    done: Option<VReg>,
    of: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for IntRange<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IntRange({:?}..{:?})", self.next, self.end)
    }
}

#[inline(never)]
fn start_range(start: ValueId, end: ValueId) -> (VReg, Operand) {
    with(|b| {
        let (src, end) = (b.word(start), b.word(end));
        let next = b.reg(Kind::Int);
        b.emit(Op::Move { dst: next, src });
        (next, end)
    })
}

/// `a..b`.
#[inline(never)]
pub fn range<T: JitInt>(start: Var<T>, end: Var<T>) -> IntRange<T> {
    let (next, end) = start_range(start.__value(), end.__value());
    IntRange {
        next,
        end,
        done: None,
        of: PhantomData,
    }
}

/// `a..=b`.
#[inline(never)]
pub fn range_inclusive<T: JitInt>(start: Var<T>, end: Var<T>) -> IntRange<T> {
    let (next, end) = start_range(start.__value(), end.__value());
    let done = with(|b| {
        let empty = b.compare(Compare::Gt, T::SCALAR, Operand::Reg(next), end);
        let done = b.reg(Kind::Int);
        b.emit(Op::Move { dst: done, src: empty });
        done
    });
    IntRange {
        next,
        end,
        done: Some(done),
        of: PhantomData,
    }
}

impl Builder {
    fn next_in_range(&mut self, next: VReg, end: Operand, last: Option<VReg>, scalar: Scalar, done: Blk) -> Operand {
        let item = self.copy(Operand::Reg(next));
        let more = match last {
            None => self.compare(Compare::Lt, scalar, item, end),
            Some(last) => self.pure1(Opcode::IntIsZero, Operand::Reg(last)),
        };
        self.test(more, done);
        if let Some(last) = last {
            let src = self.compare(Compare::Eq, scalar, item, end);
            self.emit(Op::Move { dst: last, src });
        }
        let wide = self.pure(Opcode::IntAdd, item, Operand::int(1));
        // Below `end` the increment fits.
        let src = if last.is_some() {
            self.extend(scalar, wide)
        } else {
            wide
        };
        self.emit(Op::Move { dst: next, src });
        item
    }
}

impl<T: JitInt> JitIter for IntRange<T> {
    type Item = T;
    #[inline(never)]
    fn next(&self, done: Blk) -> Var<T> {
        let ty = Type::of::<T>();
        Var::new(with(|b| {
            let item = b.next_in_range(self.next, self.end, self.done, T::SCALAR, done);
            b.value(ty, vec![item])
        }))
    }
}

impl<T: JitInt> IntoJitIter for IntRange<T> {
    type Iter = Self;
    #[inline(never)]
    fn jit_iter(self) -> Self {
        self
    }
}

/// The items of a slice, by references of type `R`.
pub struct SliceIter<T, R> {
    data: Operand,
    len: Operand,
    index: VReg,
    of: PhantomData<fn() -> (T, R)>,
}

impl<T, R> fmt::Debug for SliceIter<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SliceIter({:?})", self.index)
    }
}

#[inline(never)]
fn start_slice(slice: ValueId) -> (Operand, Operand, VReg) {
    with(|b| {
        let words = b.words(slice);
        let index = b.reg(Kind::Int);
        b.emit(Op::Move {
            dst: index,
            src: Operand::int(0),
        });
        (words[0], words[1], index)
    })
}

impl<T, R> SliceIter<T, R> {
    fn over(slice: ValueId) -> SliceIter<T, R> {
        let (data, len, index) = start_slice(slice);
        SliceIter {
            data,
            len,
            index,
            of: PhantomData,
        }
    }
}

impl Builder {
    fn next_in_slice(&mut self, data: Operand, len: Operand, index: VReg, item: Type, done: Blk) -> Operand {
        let at = self.copy(Operand::Reg(index));
        let more = self.pure(Opcode::UintLt, at, len);
        self.test(more, done);
        let src = self.pure(Opcode::IntAdd, at, Operand::int(1));
        self.emit(Op::Move { dst: index, src });
        let name = format!("[{}]", item.name).into();
        let base = Base::Item {
            data,
            index: at,
            size: item.size,
        };
        self.address(&Mem {
            base,
            offset: 0,
            frozen: true,
            name,
            enum_start: None,
        })
    }
}

impl<T, R: KnownType> JitIter for SliceIter<T, R> {
    type Item = R;
    #[inline(never)]
    fn next(&self, done: Blk) -> Var<R> {
        let (item, reference) = (Type::of::<T>(), Type::learn_known::<R>());
        Var::new(with(|b| {
            let address = b.next_in_slice(self.data, self.len, self.index, item, done);
            b.value(reference, vec![address])
        }))
    }
}

impl<'a, T> IntoJitIter for Var<&'a [T]> {
    type Iter = SliceIter<T, &'a T>;
    #[inline(never)]
    fn jit_iter(self) -> Self::Iter {
        SliceIter::over(self.__value())
    }
}

impl<'a, T> IntoJitIter for Var<&'a mut [T]> {
    type Iter = SliceIter<T, &'a mut T>;
    #[inline(never)]
    fn jit_iter(self) -> Self::Iter {
        SliceIter::over(self.__value())
    }
}

impl<'a, T> IntoJitIter for Var<&'a Vec<T>> {
    type Iter = SliceIter<T, &'a T>;
    #[inline(never)]
    fn jit_iter(self) -> Self::Iter {
        vec_slice(deref(self)).__addr().jit_iter()
    }
}

impl<'a, T> IntoJitIter for Var<&'a mut Vec<T>> {
    type Iter = SliceIter<T, &'a mut T>;
    #[inline(never)]
    fn jit_iter(self) -> Self::Iter {
        vec_slice(deref_mut(self)).__addr_mut().jit_iter()
    }
}

impl<'a, T, const N: usize> IntoJitIter for Var<&'a [T; N]> {
    type Iter = SliceIter<T, &'a T>;
    #[inline(never)]
    fn jit_iter(self) -> Self::Iter {
        array_slice(deref(self)).__addr().jit_iter()
    }
}

impl<'a, T, const N: usize> IntoJitIter for Var<&'a mut [T; N]> {
    type Iter = SliceIter<T, &'a mut T>;
    #[inline(never)]
    fn jit_iter(self) -> Self::Iter {
        array_slice(deref_mut(self)).__addr_mut().jit_iter()
    }
}

// ---- ranges as values

/// `a..=b` as a value.
#[inline(never)]
pub fn range_inclusive_val<T>(start: Var<T>, end: Var<T>) -> Var<RangeInclusive<T>> {
    let callee = |start: T, end: T| start..=end;
    std_call::<_, (T, T), RangeInclusive<T>>("range_inclusive", Facts::PURE, callee, &[start.__id(), end.__id()])
}

crate::pointers::coerce_to_shared! {
    [T] Range<T>; [T] RangeFrom<T>; [T] RangeTo<T>; [T] RangeInclusive<T>; [T] RangeToInclusive<T>;
}

impl<T> TypeIsJit for Range<T> {
    fn shape() -> TypeShape {
        let fields = vec![
            field::<T>("start", std::mem::offset_of!(Self, start)),
            field::<T>("end", std::mem::offset_of!(Self, end)),
        ];
        TypeShape::Struct { name: "Range", fields }
    }
}

macro_rules! one_ended {
    ($($range:ident $field:ident $make:ident),*) => {$(
        impl<T> TypeIsJit for $range<T> {
            fn shape() -> TypeShape {
                let fields = vec![field::<T>(stringify!($field), std::mem::offset_of!(Self, $field))];
                TypeShape::Struct { name: stringify!($range), fields }
            }
        }

        /// A range as a value.
        #[inline(never)]
        pub fn $make<T>($field: Var<T>) -> Var<$range<T>> {
            made(Type::learn::<$range<T>>(), &[$field.__value()])
        }
    )*};
}
one_ended!(RangeFrom start range_from, RangeTo end range_to, RangeToInclusive end range_to_inclusive);

fn made<R>(ty: Type, ends: &[ValueId]) -> Var<R> {
    Var::new(with(|b| {
        let fields: Vec<Vec<Operand>> = ends.iter().map(|end| b.words(*end)).collect();
        let words = b.construct_words(ty, 0, &fields);
        b.value(ty, words)
    }))
}

/// `a..b` as a value.
#[inline(never)]
pub fn range_val<T>(start: Var<T>, end: Var<T>) -> Var<Range<T>> {
    made(Type::learn::<Range<T>>(), &[start.__value(), end.__value()])
}

/// `..` as a value.
#[inline(never)]
pub fn range_full() -> Var<RangeFull> {
    crate::scalar::lit(..)
}

/// A range that is a value, as iterator.
impl<T: JitInt> IntoJitIter for Var<Range<T>> {
    type Iter = IntRange<T>;
    #[inline(never)]
    fn jit_iter(self) -> IntRange<T> {
        let place = crate::handles::tmp(self);
        let (start, end) = (place.__field::<T>(0).__peek(), place.__field::<T>(1).__peek());
        range(start, end)
    }
}
