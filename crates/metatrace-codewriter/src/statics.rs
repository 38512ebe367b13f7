//! Associated functions and constants of std types, under mangled names: what `Vec::new()` or `i64::from(x)` become. The
//! twins import this module's traits.

use crate::handles::{JitType, Place, Var};
use crate::natives::{Facts, NativeFlags, native1, std_call};
use crate::shape::scalar_of;
use crate::types::Type;
use std::cell::Cell;
use std::rc::Rc;

/// `Vec`.
pub trait VecStatics<T>: Sized {
    #[doc(hidden)]
    fn __jit_new() -> Var<Self>;
    #[doc(hidden)]
    fn __jit_with_capacity(capacity: &Var<usize>) -> Var<Self>;
}

impl<T> VecStatics<T> for Vec<T> {
    #[inline(never)]
    fn __jit_new() -> Var<Self> {
        Type::learn_known::<Vec<T>>();
        crate::scalar::lit(Vec::new())
    }

    #[inline(never)]
    fn __jit_with_capacity(capacity: &Var<usize>) -> Var<Self> {
        Type::learn_known::<Vec<T>>();
        std_call::<_, (usize,), Vec<T>>("with_capacity", Facts::STD, Vec::with_capacity, &[capacity.__id()])
    }
}

/// `Box`, `Rc`, `Cell`.
pub trait BoxStatics<T>: Sized {
    #[doc(hidden)]
    fn __jit_new(value: &Var<T>) -> Var<Self>;
}

impl<T> BoxStatics<T> for Box<T> {
    #[inline(never)]
    fn __jit_new(value: &Var<T>) -> Var<Self> {
        Type::learn_known::<Box<T>>();
        std_call::<_, (T,), Box<T>>("Box::new", Facts::STD, Box::new, &[value.__id()])
    }
}

impl<T> BoxStatics<T> for Rc<T> {
    #[inline(never)]
    fn __jit_new(value: &Var<T>) -> Var<Self> {
        Type::learn_known::<Rc<T>>();
        std_call::<_, (T,), Rc<T>>("Rc::new", Facts::STD, Rc::new, &[value.__id()])
    }
}

impl<T> BoxStatics<T> for Cell<T> {
    #[inline(never)]
    fn __jit_new(value: &Var<T>) -> Var<Self> {
        Type::learn::<Cell<T>>();
        std_call::<_, (T,), Cell<T>>("Cell::new", Facts::STD, Cell::new, &[value.__id()])
    }
}

/// `Rc::ptr_eq`, `Rc::clone` and the like.
pub trait RcStatics<T>: Sized {
    #[doc(hidden)]
    fn __jit_ptr_eq<'a>(a: &Var<&'a Rc<T>>, b: &Var<&'a Rc<T>>) -> Var<bool>
    where
        T: 'a;
    #[doc(hidden)]
    fn __jit_clone<'a>(a: &Var<&'a Rc<T>>) -> Var<Rc<T>>
    where
        T: 'a;
}

impl<T> RcStatics<T> for Rc<T> {
    fn __jit_ptr_eq<'a>(a: &Var<&'a Rc<T>>, b: &Var<&'a Rc<T>>) -> Var<bool>
    where
        T: 'a,
    {
        let f = |a: &Rc<T>, b: &Rc<T>| Rc::ptr_eq(a, b);
        std_call::<_, (&Rc<T>, &Rc<T>), bool>("Rc::ptr_eq", Facts::STD, f, &[a.__id(), b.__id()])
    }

    fn __jit_clone<'a>(a: &Var<&'a Rc<T>>) -> Var<Rc<T>>
    where
        T: 'a,
    {
        Type::learn_known::<Rc<T>>();
        std_call::<_, (&Rc<T>,), Rc<T>>("Rc::clone", Facts::STD, |a: &Rc<T>| Rc::clone(a), &[a.__id()])
    }
}

/// Conversions by `T::from`.
pub trait FromStatics: Sized {
    #[doc(hidden)]
    #[inline(never)]
    fn __jit_from<A>(value: &Var<A>) -> Var<Self>
    where
        Self: From<A>,
    {
        convert(*value)
    }
}

macro_rules! from {
    ($($t:ident)*) => {$(impl FromStatics for $t {})*};
}
from!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize f64 bool char String);

/// `From`: between scalars that is a cast.
#[inline(never)]
fn convert<A, B: From<A>>(value: Var<A>) -> Var<B> {
    let (from, to) = (Type::of::<A>(), Type::of::<B>());
    match (scalar_of(from), scalar_of(to)) {
        (Some(from), Some(to)) => Var::number(crate::scalar::cast_value(from, to, Type::of::<B>(), value.__id())),
        _ => native1(NativeFlags::default(), "from", |value: A| B::from(value), value),
    }
}

/// `String`.
pub trait StringStatics {
    #[doc(hidden)]
    fn __jit_new() -> Var<String>;
    #[doc(hidden)]
    fn __jit_with_capacity(capacity: &Var<usize>) -> Var<String>;
}

impl StringStatics for String {
    #[inline(never)]
    fn __jit_new() -> Var<String> {
        Type::learn::<String>();
        crate::scalar::lit(String::new())
    }

    #[inline(never)]
    fn __jit_with_capacity(capacity: &Var<usize>) -> Var<String> {
        Type::learn::<String>();
        std_call::<_, (usize,), String>("with_capacity", Facts::STD, String::with_capacity, &[capacity.__id()])
    }
}

/// `f64::from_bits`.
pub trait FloatStatics {
    #[doc(hidden)]
    fn __jit_from_bits(bits: &Var<u64>) -> Var<f64>;
}

impl FloatStatics for f64 {
    fn __jit_from_bits(bits: &Var<u64>) -> Var<f64> {
        Var::number(crate::scalar::scalar_value(Type::of::<f64>(), |b| {
            let bits = b.word(bits.__value());
            b.reinterpret(bits, metatrace_ir::Kind::Float)
        }))
    }
}

/// Types whose `clone` stages: it is a native call, of scalars a copy.
pub trait JitClone {}
impl<T: ?Sized> JitClone for Rc<T> {}
impl<T> JitClone for Vec<T> {}
impl<T: ?Sized> JitClone for Box<T> {}
impl<T> JitClone for Option<T> {}
impl<T, E> JitClone for Result<T, E> {}
impl<T, const N: usize> JitClone for [T; N] {}
impl JitClone for String {}
macro_rules! clones {
    ($($t:ident)*) => {$(impl JitClone for $t {})*};
}
clones!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize f64 bool char);

impl<T: JitClone + Clone + JitType, M> Place<T, M> {
    /// `clone`.
    #[doc(hidden)]
    #[inline(never)]
    pub fn __m_clone<'a>(&self) -> Var<T>
    where
        T: 'a,
    {
        if !std::mem::needs_drop::<T>() && scalar_of(Type::of::<T>()).is_some() {
            return self.__here().__peek();
        }
        std_call::<_, (&'a T,), T>(
            "clone",
            Facts::STD,
            |value: &'a T| value.clone(),
            &[self.__addr().__id()],
        )
    }

    /// `to_owned`.
    #[doc(hidden)]
    #[inline(never)]
    pub fn __m_to_owned(&self) -> Var<T> {
        self.__m_clone()
    }

    /// `into`.
    #[doc(hidden)]
    #[inline(never)]
    pub fn __m_into<U: From<T>>(&self) -> Var<U> {
        convert(self.__get())
    }
}

impl<M> Place<str, M> {
    /// `to_owned`.
    #[doc(hidden)]
    #[inline(never)]
    pub fn __m_to_owned(&self) -> Var<String> {
        Type::learn::<String>();
        std_call::<_, (&str,), String>(
            "to_owned",
            Facts::STD,
            |text: &str| text.to_owned(),
            &[self.__addr().__id()],
        )
    }
}

impl<T: Clone, M> Place<[T], M> {
    /// `to_owned`.
    #[doc(hidden)]
    #[inline(never)]
    pub fn __m_to_owned(&self) -> Var<Vec<T>> {
        Type::learn_known::<Vec<T>>();
        std_call::<_, (&[T],), Vec<T>>(
            "to_owned",
            Facts::STD,
            |items: &[T]| items.to_owned(),
            &[self.__addr().__id()],
        )
    }
}
