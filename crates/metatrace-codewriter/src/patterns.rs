//! Patterns: scrutinees with default binding modes, tests, bindings; constructors and tuples as expressions.
//!
//! A constructor in a pattern or call is passed as a value, so that rustc resolves the path; which variant it makes is told
//! by its `type_name`, which is compared with what the derive recorded, never parsed.

use crate::assembly;
use crate::builder::{Builder, ValueId, with};
use crate::handles::{JitType, Mv, Place, Rf, RfMut, Under, Var, leak};
use crate::methods::Probe;
use crate::natives::Callee;
use crate::place::{PlaceId, PlaceKind};
use crate::pointers::pointee;
use crate::scalar::{Compare, JitEq, JitScalar, eq, lit_str};
use crate::sums::variant_of_ctor;
use crate::types::{Type, TypeIsJit, TypeShape, field};
use metatrace_graph::{Blk, Operand};
use std::fmt;
use std::marker::PhantomData;
use std::mem::offset_of;
use std::ops::{Bound, Deref, RangeBounds};

/// What a pattern is matched on.
pub struct Scrut<T: ?Sized, M>(Place<T, M>);

impl<T: ?Sized, M> Clone for Scrut<T, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized, M> Copy for Scrut<T, M> {}

impl<T: ?Sized, M> fmt::Debug for Scrut<T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scrut({:?})", self.0)
    }
}

/// A place as scrutinee.
#[inline(never)]
pub fn scrut<T: ?Sized>(place: Place<T>) -> Scrut<T, Mv> {
    Scrut(place.__here())
}

impl<'a, X: ?Sized, M> Deref for Scrut<&'a X, M> {
    type Target = Scrut<X, Rf>;
    #[inline(never)]
    fn deref(&self) -> &Self::Target {
        Type::learn_known::<&'a X>();
        leak(Scrut(pointee::<&'a X, X>(self.0.__cast(), 0).__cast()))
    }
}

impl<'a, X: ?Sized, M: Under> Deref for Scrut<&'a mut X, M> {
    type Target = Scrut<X, M::Mut>;
    #[inline(never)]
    fn deref(&self) -> &Self::Target {
        Type::learn_known::<&'a mut X>();
        leak(Scrut(pointee::<&'a mut X, X>(self.0.__cast(), 0).__cast()))
    }
}

impl<T: TypeIsJit, M> Scrut<T, M> {
    #[doc(hidden)]
    #[inline(always)]
    pub fn __adt(&self) -> Scrut<T, M> {
        *self
    }

    #[doc(hidden)]
    #[inline(never)]
    pub fn __test_variant(self, variant: u32, fail: Blk) {
        test_variant(self.0.__id(), Type::learn::<T>(), variant, fail);
    }

    #[doc(hidden)]
    #[inline(never)]
    pub fn __field<F>(&self, index: u32) -> Scrut<F, M> {
        Type::learn::<T>();
        Scrut(self.0.__field(index))
    }

    #[doc(hidden)]
    #[inline(never)]
    pub fn __variant_field<F>(&self, variant: u32, index: u32) -> Scrut<F, M> {
        Type::learn::<T>();
        Scrut(self.0.__variant_field(variant, index))
    }

    /// Whether it is this constant.
    #[doc(hidden)]
    #[inline(never)]
    pub fn __test_unit(self, constant: &T, fail: Blk) {
        let ty = Type::learn::<T>();
        let words = assembly::words_at(ty, constant);
        test_constant(self.0.__id(), ty, &words, fail);
    }
}

#[inline(never)]
fn test_variant(place: PlaceId, ty: Type, variant: u32, fail: Blk) {
    with(|b| b.test_variant(place, ty, variant, fail));
}

#[inline(never)]
fn test_constant(place: PlaceId, ty: Type, words: &[u64], fail: Blk) {
    with(|b| b.test_constant(place, ty, words, fail));
}

impl Builder {
    /// Whether the place holds this constant, which has a type that patterns may compare.
    fn test_constant(&mut self, place: PlaceId, ty: Type, words: &[u64], fail: Blk) {
        match ty.structure() {
            Some(TypeShape::Scalar(scalar)) => {
                let scalar = *scalar;
                let found = self.read(place, ty)[0];
                let constant = crate::scalar::constant_words(ty, words)[0];
                let same = self.compare(Compare::Eq, scalar, found, constant);
                self.test(same, fail);
            }
            Some(structure @ (TypeShape::Struct { .. } | TypeShape::Enum { .. } | TypeShape::Sum { .. })) => {
                let variant = assembly::tag_of(words, ty);
                self.test_variant(place, ty, variant as u32, fail);
                for (n, field) in structure.fields(variant).iter().enumerate() {
                    let part = self.field(place, ty, variant as u32, n as u32);
                    let Some(words) = assembly::field_words(ty, variant, n, words) else {
                        self.refuse(&format!("a constant of type `{ty:?}` in a pattern"))
                    };
                    self.test_constant(part, field.ty, &words, fail);
                }
            }
            _ => self.refuse(&format!("a constant of type `{ty:?}` in a pattern")),
        }
    }
}

#[inline(never)]
fn test_scalar(place: PlaceId, ty: Type, order: Compare, scalar: crate::types::Scalar, bits: u64, fail: Blk) {
    with(|b| {
        let found = b.read(place, ty)[0];
        let constant = crate::scalar::constant_words(ty, &[bits])[0];
        let holds = b.compare(order, scalar, found, constant);
        b.test(holds, fail);
    });
}

impl<T: JitScalar, M> Scrut<T, M> {
    #[doc(hidden)]
    #[inline(never)]
    pub fn __test_eq(self, constant: T, fail: Blk) {
        self.test_order(Compare::Eq, constant, fail);
    }

    fn test_order(&self, order: Compare, constant: T, fail: Blk) {
        let ty = Type::learn::<T>();
        let bits = assembly::words_of(ty, constant)[0];
        test_scalar(self.0.__id(), ty, order, T::SCALAR, bits, fail);
    }

    #[doc(hidden)]
    #[inline(never)]
    pub fn __test_range(self, range: impl RangeBounds<T>, fail: Blk) {
        if let Bound::Included(start) = range.start_bound() {
            self.test_order(Compare::Ge, *start, fail);
        }
        match range.end_bound() {
            Bound::Included(end) => self.test_order(Compare::Le, *end, fail),
            Bound::Excluded(end) => self.test_order(Compare::Lt, *end, fail),
            Bound::Unbounded => {}
        }
    }
}

impl<M> Scrut<str, M> {
    #[doc(hidden)]
    #[inline(never)]
    pub fn __test_eq(self, constant: &'static str, fail: Blk) {
        crate::control::test(eq(self.0.__addr(), lit_str(constant)), fail);
    }
}

impl<T> Scrut<T, Mv> {
    #[doc(hidden)]
    #[inline(never)]
    pub fn __bind(self) -> Place<T> {
        Place::__bind(self.0.__get())
    }

    /// A guard sees the value; it moves only when the guard has held.
    #[doc(hidden)]
    #[inline(never)]
    pub fn __peek(self) -> Place<T> {
        unowned(self.0.__peek())
    }
}

/// A place that holds the bits of a value owned elsewhere.
fn unowned<T>(value: Var<T>) -> Place<T> {
    Place::new(with(|b| {
        let root = b.value_root(value.__value());
        b.place(PlaceKind::Root(root))
    }))
}

macro_rules! by_reference {
    ($M:ident $address:ident $($m:tt)*) => {
        impl<T: ?Sized> Scrut<T, $M> {
            #[doc(hidden)]
            #[inline(never)]
            pub fn __bind<'a>(self) -> Place<&'a $($m)* T> {
                Place::__bind(self.0.$address())
            }

            #[doc(hidden)]
            #[inline(never)]
            pub fn __peek<'a>(self) -> Place<&'a $($m)* T> {
                self.__bind()
            }
        }
    };
}
by_reference!(Rf __addr);
by_reference!(RfMut __addr_mut mut);

impl<T, M> Scrut<T, M> {
    #[doc(hidden)]
    #[inline(never)]
    pub fn __or_moved(self) {
        if typeid::of::<M>() == typeid::of::<Mv>() {
            self.0.__moved();
        }
    }
}

impl<T: ?Sized, M> Scrut<T, M> {
    #[doc(hidden)]
    #[inline(never)]
    pub fn __bind_ref<'a>(self) -> Place<&'a T> {
        Place::__bind(self.0.__addr())
    }

    #[doc(hidden)]
    #[inline(never)]
    pub fn __bind_mut<'a>(self) -> Place<&'a mut T> {
        Place::__bind(self.0.__addr_mut())
    }
}

impl<'a, T: ?Sized> Scrut<&'a T, Mv> {
    #[doc(hidden)]
    #[inline(never)]
    pub fn __deref_pat(self) -> Scrut<T, Mv> {
        Scrut(pointee::<&'a T, T>(self.0, 0))
    }
}

impl<'a, T: ?Sized> Scrut<&'a mut T, Mv> {
    #[doc(hidden)]
    #[inline(never)]
    pub fn __deref_mut_pat(self) -> Scrut<T, Mv> {
        Scrut(pointee::<&'a mut T, T>(self.0, 0))
    }
}

/// A binding whose value an or-pattern has put into a slot.
#[inline(never)]
pub fn bind_raw<T>(place: Place<T>) -> Place<T> {
    let value = place.__peek();
    with(|b| b.own_value(value.__value()));
    Place::__bind(value)
}

/// A constructor in an expression.
#[derive(Clone, Copy, Debug)]
pub struct Ctor<F, E, A>(F, PhantomData<fn() -> (E, A)>);

impl<F, E, A> Ctor<F, E, A> {
    #[doc(hidden)]
    #[inline(always)]
    pub fn __probe(&self) -> Probe<E> {
        Probe::new()
    }
}

#[inline(never)]
fn construct(name: &'static str, ty: Type, ctor: Callee, args: &[u32]) -> u32 {
    let variant = variant_of_ctor(ty, name);
    with(|b| b.construct(name, ty, variant, ctor, args).0)
}

/// The variant that a constructor in a pattern stands for, tested.
#[inline(never)]
fn pattern(name: &str, ty: Type, scrutinee: PlaceId, fail: Blk) -> u32 {
    with(|b| {
        let Some(variant) = variant_of_ctor(ty, name) else {
            b.refuse(&format!("`{name}` makes no variant of `{ty:?}`"))
        };
        b.test_variant(scrutinee, ty, variant, fail);
        variant
    })
}

/// Scrutinees of a type that patterns take apart. Projections of what is none are errors that rustc has already reported,
/// and reports no more of.
pub trait AdtScrut: Copy {
    /// The type.
    type Of;
    /// A part's scrutinee.
    type Part<X>: Copy;
    /// Tests for the variant that a constructor stands for.
    fn is_made_by(self, constructor: &'static str, fail: Blk) -> u32;
    /// A field of a variant.
    fn part<X>(self, variant: u32, index: u32) -> Self::Part<X>;
}

impl<T: TypeIsJit, M> AdtScrut for Scrut<T, M> {
    type Of = T;
    type Part<X> = Scrut<X, M>;

    fn is_made_by(self, constructor: &'static str, fail: Blk) -> u32 {
        pattern(constructor, Type::learn::<T>(), self.0.__id(), fail)
    }

    fn part<X>(self, variant: u32, index: u32) -> Scrut<X, M> {
        self.__variant_field::<X>(variant, index)
    }
}

/// A constructor pattern without subpatterns, `V(..)`.
#[inline(never)]
pub fn pat_any<F, K: AdtScrut>(_: &F, scrutinee: K, fail: Blk) {
    scrutinee.is_made_by(std::any::type_name::<F>(), fail);
}

/// Function items with fields as arguments, for `V(a, ..)`.
pub trait Fields<A, E> {
    /// Scrutinees of all of them.
    type Scruts<M>;
    /// Makes them.
    fn scruts<M>(scrutinee: Scrut<E, M>, variant: u32) -> Self::Scruts<M>;
}

/// A constructor pattern with a rest, `V(a, ..)`: scrutinees of all fields.
#[inline(never)]
pub fn pat_rest<F: Fields<A, E>, A, E: TypeIsJit, M>(_: &F, scrutinee: Scrut<E, M>, fail: Blk) -> F::Scruts<M> {
    let variant = pattern(std::any::type_name::<F>(), Type::learn::<E>(), scrutinee.0.__id(), fail);
    F::scruts(scrutinee, variant)
}

/// Tuples as scrutinees.
pub trait TupleFields {
    /// Scrutinees of all fields.
    type Scruts<M>;
    /// Makes them.
    fn scruts<M>(scrutinee: Scrut<Self, M>) -> Self::Scruts<M>
    where
        Self: Sized;
}

impl<T: TupleFields, M> Scrut<T, M> {
    /// Scrutinees of all fields of a tuple, for `(a, ..)`.
    #[doc(hidden)]
    #[inline(never)]
    pub fn __tup_rest(&self) -> T::Scruts<M> {
        T::scruts(*self)
    }
}

#[inline(never)]
fn tuple_value(ty: Type, args: &[u32]) -> ValueId {
    with(|b| {
        for arg in args {
            b.consume(ValueId(*arg));
        }
        let fields: Vec<Vec<Operand>> = args.iter().map(|arg| b.words(ValueId(*arg))).collect();
        let words = b.construct_words(ty, 0, &fields);
        b.owned_value(ty, words)
    })
}

macro_rules! tuples {
    ($($tup:ident $tuple:ident $pat:ident $parts:ident $ctor:ident $call:ident ($($T:ident $v:ident $i:tt),*);)*) => {$(
        crate::pointers::coerce_to_shared!([$($T)*] ($($T,)*););

        impl<$($T),*> TypeIsJit for ($($T,)*) {
            fn shape() -> TypeShape {
                TypeShape::Struct { name: "tuple", fields: vec![$(field::<$T>(stringify!($i), offset_of!(Self, $i))),*] }
            }
        }

        impl<$($T),*> JitType for ($($T,)*) {
            type Target = ($(Place<$T>,)*);
            #[inline(never)]
            fn target(place: Place<Self>) -> Self::Target {
                Type::learn::<Self>();
                ($(place.__field::<$T>($i),)*)
            }
        }

        impl<$($T: JitEq),*> JitEq for ($($T,)*) {}

        impl<$($T),*> TupleFields for ($($T,)*) {
            type Scruts<M> = ($(Scrut<$T, M>,)*);
            #[inline(never)]
            fn scruts<M>(scrutinee: Scrut<Self, M>) -> Self::Scruts<M> {
                ($(scrutinee.__field::<$T>($i),)*)
            }
        }

        impl<$($T,)* M> Scrut<($($T,)*), M> {
            #[doc(hidden)]
            pub fn $tup(&self) -> ($(Scrut<$T, M>,)*) {
                TupleFields::scruts(*self)
            }
        }

        impl<F: Fn($($T),*) -> E, $($T,)* E: TypeIsJit> Fields<($($T,)*), E> for F {
            type Scruts<M> = ($(Scrut<$T, M>,)*);
            #[inline(never)]
            fn scruts<M>(scrutinee: Scrut<E, M>, variant: u32) -> Self::Scruts<M> {
                ($(scrutinee.__variant_field::<$T>(variant, $i),)*)
            }
        }

        /// A tuple.
        #[inline(never)]
        #[allow(clippy::too_many_arguments)]
        pub fn $tuple<$($T),*>($($v: Var<$T>),*) -> Var<($($T,)*)> {
            Var::new(tuple_value(Type::learn::<($($T,)*)>(), &[$($v.__id()),*]))
        }

        /// A constructor pattern. Only its name is compiled for each constructor.
        #[inline(always)]
        pub fn $pat<F: Fn($($T),*) -> E, $($T,)* E, Scrutinee: AdtScrut<Of = E>>(
            _: &F, scrutinee: Scrutinee, fail: Blk,
        ) -> ($(Scrutinee::Part<$T>,)*) {
            $parts::<$($T,)* Scrutinee>(std::any::type_name::<F>(), scrutinee, fail)
        }

        #[inline(never)]
        fn $parts<$($T,)* Scrutinee: AdtScrut>(
            constructor: &'static str, scrutinee: Scrutinee, fail: Blk,
        ) -> ($(Scrutinee::Part<$T>,)*) {
            let variant = scrutinee.is_made_by(constructor, fail);
            ($(scrutinee.part::<$T>(variant, $i),)*)
        }

        /// A constructor in an expression.
        #[inline(always)]
        #[allow(clippy::too_many_arguments)]
        pub fn $ctor<F: Fn($($T),*) -> E, $($T,)* E>(f: F) -> Ctor<F, E, ($($T,)*)> {
            Ctor(f, PhantomData)
        }

        impl<F: Fn($($T),*) -> E + Copy, $($T,)* E> Ctor<F, E, ($($T,)*)> {
            /// Its call.
            #[inline(never)]
            #[allow(clippy::too_many_arguments)]
            pub fn $call(&self, $($v: &Var<$T>),*) -> Var<E> {
                let ctor = Callee::of::<F, ($($T,)*), E>(self.0);
                Var::number(construct(std::any::type_name::<F>(), Type::of::<E>(), ctor, &[$($v.__id()),*]))
            }
        }
    )*};
}
tuples! {
    __tup1 tuple1 pat1 parts1 ctor1 call1 (A a 0);
    __tup2 tuple2 pat2 parts2 ctor2 call2 (A a 0, B b 1);
    __tup3 tuple3 pat3 parts3 ctor3 call3 (A a 0, B b 1, C c 2);
    __tup4 tuple4 pat4 parts4 ctor4 call4 (A a 0, B b 1, C c 2, D d 3);
    __tup5 tuple5 pat5 parts5 ctor5 call5 (A a 0, B b 1, C c 2, D d 3, G e 4);
    __tup6 tuple6 pat6 parts6 ctor6 call6 (A a 0, B b 1, C c 2, D d 3, G e 4, H f_ 5);
    __tup7 tuple7 pat7 parts7 ctor7 call7 (A a 0, B b 1, C c 2, D d 3, G e 4, H f_ 5, I g 6);
    __tup8 tuple8 pat8 parts8 ctor8 call8 (A a 0, B b 1, C c 2, D d 3, G e 4, H f_ 5, I g 6, J h 7);
    __tup9 tuple9 pat9 parts9 ctor9 call9 (A a 0, B b 1, C c 2, D d 3, G e 4, H f_ 5, I g 6, J h 7, K i 8);
    __tup10 tuple10 pat10 parts10 ctor10 call10 (A a 0, B b 1, C c 2, D d 3, G e 4, H f_ 5, I g 6, J h 7, K i 8, L j 9);
    __tup11 tuple11 pat11 parts11 ctor11 call11 (A a 0, B b 1, C c 2, D d 3, G e 4, H f_ 5, I g 6, J h 7, K i 8, L j 9, N k 10);
    __tup12 tuple12 pat12 parts12 ctor12 call12 (A a 0, B b 1, C c 2, D d 3, G e 4, H f_ 5, I g 6, J h 7, K i 8, L j 9, N k 10, O l 11);
}
