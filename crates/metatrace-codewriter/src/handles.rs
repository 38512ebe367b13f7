//! The handles that twins are made of. They are numbers into the tables of the current builder; what they are handles of
//! is only in their types, so that rustc infers it.
//!
//! Handles expose no unmangled name but those of the author's world: everything of the runtime begins with `__` or is a
//! free function.

use crate::builder::{ValueId, with};
use crate::place::{PlaceId, PlaceKind};
use crate::types::{Type, TypeIsJit};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

/// A value of type `T`.
#[repr(transparent)]
pub struct Var<T> {
    id: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Var<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Var<T> {}

impl<T> fmt::Debug for Var<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Var({})", self.id)
    }
}

/// A value whose type is not told.
#[derive(Clone, Copy, Debug)]
pub struct AnyVar(pub(crate) u32);

impl<T> Var<T> {
    pub(crate) fn number(id: u32) -> Var<T> {
        Var { id, of: PhantomData }
    }

    pub(crate) fn new(id: ValueId) -> Var<T> {
        Var::number(id.0)
    }

    pub(crate) fn __id(self) -> u32 {
        self.id
    }

    pub(crate) fn __value(self) -> ValueId {
        ValueId(self.id)
    }

    #[doc(hidden)]
    #[inline(always)]
    pub fn __any(self) -> AnyVar {
        AnyVar(self.id)
    }

    #[doc(hidden)]
    #[inline(always)]
    pub fn __arg(&self) -> Var<T> {
        *self
    }
}

/// Binding mode of patterns: by move or copy.
#[derive(Debug)]
pub struct Mv;
/// Binding mode of patterns: `ref`.
#[derive(Debug)]
pub struct Rf;
/// Binding mode of patterns: `ref mut`.
#[derive(Debug)]
pub struct RfMut;

/// The binding mode behind a `&mut`.
pub trait Under {
    /// What it becomes.
    type Mut;
}

impl Under for Mv {
    type Mut = RfMut;
}

impl Under for Rf {
    type Mut = Rf;
}

impl Under for RfMut {
    type Mut = RfMut;
}

/// A place of type `T`; `M` is the default binding mode of patterns on it.
pub struct Place<T: ?Sized, M = Mv> {
    id: u32,
    of: PhantomData<fn() -> (M, *const T)>,
}

impl<T: ?Sized, M> Clone for Place<T, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized, M> Copy for Place<T, M> {}

impl<T: ?Sized, M> fmt::Debug for Place<T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({})", self.id)
    }
}

/// Types whose places dereference to something: a value, another place, a proxy with places for fields.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not known to the JIT",
    label = "mark the type `#[jit]`, or leave what needs its inside to a function marked `#[jit::dont_look_inside]`"
)]
pub trait JitType {
    /// What their places dereference to.
    type Target;
    /// Makes it.
    fn target(place: Place<Self>) -> Self::Target;
}

/// Says that a type has parts that staged code may use; nothing happens.
#[inline(always)]
pub fn parts_of<T: JitType + ?Sized>() {}

/// A reference for `Deref`, which has nowhere to keep its target. The handles of a source text are finitely many.
pub(crate) fn leak<'a, T>(target: T) -> &'a T {
    Box::leak(Box::new(target))
}

impl<T: ?Sized, M> Place<T, M> {
    pub(crate) fn new(id: PlaceId) -> Place<T, M> {
        Place {
            id: id.0,
            of: PhantomData,
        }
    }

    pub(crate) fn __id(self) -> PlaceId {
        PlaceId(self.id)
    }

    pub(crate) fn __cast<U: ?Sized, N>(self) -> Place<U, N> {
        Place {
            id: self.id,
            of: PhantomData,
        }
    }

    #[doc(hidden)]
    #[inline(always)]
    pub fn __mode<N>(&self) -> Place<T, N> {
        self.__cast()
    }

    /// As a receiver: what autoderef loads is loaded here, before the arguments are evaluated.
    #[doc(hidden)]
    #[inline(never)]
    pub fn __recv(&self) -> Place<T, M> {
        Place::new(with(|b| b.receiver(self.__id())))
    }

    /// The same place with its loads where the program now is.
    pub(crate) fn __here(self) -> Place<T, M> {
        Place::new(with(|b| b.place_in(self.__id(), None)))
    }

    #[doc(hidden)]
    #[inline(never)]
    pub fn __addr<'a>(&self) -> Var<&'a T> {
        Type::learn_known::<&'a T>();
        Var::new(reference(self.__id(), Type::of::<&'a T>()))
    }

    #[doc(hidden)]
    #[inline(never)]
    pub fn __addr_mut<'a>(&self) -> Var<&'a mut T> {
        Type::learn_known::<&'a mut T>();
        Var::new(reference(self.__id(), Type::of::<&'a mut T>()))
    }
}

fn reference(place: PlaceId, ty: Type) -> ValueId {
    with(|b| {
        b.in_sequence_of(place, |b| {
            let words = b.reference(place);
            b.value(ty, words)
        })
    })
}

impl<T, M> Place<T, M> {
    /// The value, without moving it.
    #[doc(hidden)]
    #[inline(never)]
    pub fn __peek(self) -> Var<T> {
        Var::new(peek(self.__id(), Type::of::<T>()))
    }

    /// The value, moved out.
    #[doc(hidden)]
    #[inline(never)]
    pub fn __get(self) -> Var<T> {
        Var::new(get(self.__id(), Type::of::<T>()))
    }

    #[doc(hidden)]
    #[inline(never)]
    pub fn __moved(&self) {
        let ty = Type::of::<T>();
        with(|b| b.moved_out(self.__id(), ty));
    }

    /// Writes without dropping what was there.
    #[doc(hidden)]
    #[inline(never)]
    pub fn __init(self, value: &Var<T>) {
        init(self.__id(), value.__value());
    }

    /// Assigns, which as an expression is `()`.
    #[doc(hidden)]
    #[inline(never)]
    pub fn __assign(self, value: &Var<T>) -> Var<()> {
        set(self.__id(), value.__value());
        crate::control::unit()
    }

    /// A value to be made part by part.
    #[doc(hidden)]
    #[inline(never)]
    pub fn __raw() -> Place<T, M> {
        Place::new(raw(Type::of::<T>()))
    }

    /// It is complete.
    #[doc(hidden)]
    #[inline(never)]
    pub fn __owned(self) -> Var<T> {
        Var::new(complete(self.__id(), Type::of::<T>()))
    }

    /// A local, not yet initialised.
    #[doc(hidden)]
    #[inline(never)]
    pub fn __fresh() -> Place<T, M> {
        Place::new(fresh(Type::of::<T>()))
    }
}

impl<T: TypeIsJit, M> Place<T, M> {
    #[doc(hidden)]
    #[inline(never)]
    pub fn __field<F>(&self, index: u32) -> Place<F, M> {
        Place::new(field(self.__id(), Type::learn::<T>(), 0, index))
    }

    #[doc(hidden)]
    #[inline(never)]
    pub fn __variant_field<F>(&self, variant: u32, index: u32) -> Place<F, M> {
        Place::new(field(self.__id(), Type::learn::<T>(), variant, index))
    }

    /// An enum's value to be made part by part.
    #[doc(hidden)]
    #[inline(never)]
    pub fn __raw_variant(variant: u32) -> Place<T, M> {
        Place::new(raw_variant(Type::learn::<T>(), variant))
    }
}

impl<T> Place<T> {
    /// A new local that holds the value.
    #[doc(hidden)]
    #[inline(never)]
    pub fn __bind(value: Var<T>) -> Place<T> {
        Place::new(bind(value.__value()))
    }
}

impl<T: JitType + ?Sized, M> Deref for Place<T, M> {
    type Target = T::Target;

    #[inline(never)]
    fn deref(&self) -> &T::Target {
        let outer = with(|b| b.enter_sequence_of(self.__id()));
        let target = T::target(self.__cast());
        with(|b| b.sequence = outer);
        leak(target)
    }
}

fn peek(place: PlaceId, ty: Type) -> ValueId {
    with(|b| {
        b.in_sequence_of(place, |b| {
            let words = b.read(place, ty);
            b.value(ty, words)
        })
    })
}

fn get(place: PlaceId, ty: Type) -> ValueId {
    with(|b| {
        b.in_sequence_of(place, |b| {
            let words = b.read(place, ty);
            b.moved_out(place, ty);
            b.owned_value(ty, words)
        })
    })
}

pub(crate) fn init(place: PlaceId, value: ValueId) {
    with(|b| {
        let (ty, words) = (b.get(value).ty, b.words(value));
        b.consume(value);
        b.write(place, ty, &words);
    });
}

pub(crate) fn set(place: PlaceId, value: ValueId) {
    with(|b| {
        let (ty, words) = (b.get(value).ty, b.words(value));
        if ty.drop.is_none() {
            return b.write(place, ty, &words);
        }
        match b.owners_of_place(place) {
            // A local, or a part of one that is moved out somewhere: it may be there or not.
            Some((_, _, owners)) if !owners.is_empty() => {
                b.drop_owners(&owners);
                b.consume(value);
                b.write(place, ty, &words);
                b.owns(&owners);
            }
            // The place holds a value at every time, even if the drop of the old one panics.
            _ => {
                let old = b.read(place, ty);
                b.consume(value);
                b.write(place, ty, &words);
                let slot = crate::natives::spill(b, ty, &old);
                crate::natives::drop_at(b, ty, slot);
            }
        }
    });
}

fn raw(ty: Type) -> PlaceId {
    with(|b| {
        let root = b.new_root(ty, false);
        b.place(PlaceKind::Root(root))
    })
}

fn raw_variant(ty: Type, variant: u32) -> PlaceId {
    with(|b| {
        let root = b.new_root(ty, false);
        let place = b.place(PlaceKind::Root(root));
        let words = b.variant_words(ty, variant);
        b.write(place, ty, &words);
        place
    })
}

fn complete(place: PlaceId, ty: Type) -> ValueId {
    with(|b| {
        let words = b.read(place, ty);
        b.owned_value(ty, words)
    })
}

fn fresh(ty: Type) -> PlaceId {
    with(|b| {
        let root = b.new_root(ty, true);
        b.place(PlaceKind::Root(root))
    })
}

pub(crate) fn bind(value: ValueId) -> PlaceId {
    with(|b| {
        let (ty, words) = (b.get(value).ty, b.words(value));
        let root = b.new_root(ty, true);
        let place = b.place(PlaceKind::Root(root));
        b.consume(value);
        b.write(place, ty, &words);
        let owners = b.roots[root as usize].owners.clone();
        b.owns(&owners);
        place
    })
}

fn field(parent: PlaceId, ty: Type, variant: u32, index: u32) -> PlaceId {
    with(|b| b.field(parent, ty, variant, index))
}

/// A new local that holds the value, at the end of the scopes from `depth` upwards, of temporaries.
#[inline(never)]
pub fn bind_leaving<T>(depth: usize, value: Var<T>) -> Place<T> {
    let place = bind(value.__value());
    with(|b| b.pop_scopes(depth));
    Place::new(place)
}

/// A temporary: dropped with its statement.
#[inline(never)]
pub fn tmp<T>(value: Var<T>) -> Place<T> {
    Place::new(with(|b| {
        let root = b.value_root(value.__value());
        b.place(PlaceKind::Root(root))
    }))
}

/// Says the type of a value.
#[inline(always)]
pub fn typed<T>(value: &Var<T>) -> Var<T> {
    *value
}

/// A place where arguments are coerced.
#[inline(always)]
pub fn coerce<T>(value: &Var<T>) -> Var<T> {
    *value
}
