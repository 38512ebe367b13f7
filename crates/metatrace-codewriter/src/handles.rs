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

    /// The same place with its loads where the program now is.
    pub(crate) fn __here(self) -> Place<T, M> {
        Place::new(here(self.__id()))
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

#[inline(never)]
fn reference(place: PlaceId, ty: Type) -> ValueId {
    with(|b| {
        b.in_sequence_of(place, |b| {
            let words = b.reference(place);
            b.value(ty, words)
        })
    })
}

impl<T, M> Place<T, M> {
    #[inline(always)]
    pub(crate) fn __peek(self) -> Var<T> {
        peek(self)
    }

    #[doc(hidden)]
    #[inline(always)]
    pub fn __get(self) -> Var<T> {
        get(self)
    }

    #[doc(hidden)]
    #[inline(never)]
    pub fn __moved(&self) {
        moved_out(self.__id(), Type::of::<T>());
    }

    #[inline(always)]
    pub(crate) fn __init(self, value: &Var<T>) {
        init(self, value);
    }

    #[inline(always)]
    pub(crate) fn __assign(self, value: &Var<T>) -> Var<()> {
        assign(self, value)
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
    #[inline(always)]
    pub(crate) fn __bind(value: Var<T>) -> Place<T> {
        bind(value)
    }
}

impl<T: JitType + ?Sized, M> Deref for Place<T, M> {
    type Target = T::Target;

    #[inline(never)]
    fn deref(&self) -> &T::Target {
        let outer = enter_sequence_of(self.__id());
        let target = T::target(self.__cast());
        leave_sequence(outer);
        leak(target)
    }
}

// What twins do with places. Functions, since a path to a function means something before any type is inferred: rustc
// need not look for it among the methods of places.

/// The value of a place, without moving it.
#[inline(never)]
pub fn peek<T, M>(place: Place<T, M>) -> Var<T> {
    Var::new(peek_value(place.__id(), Type::of::<T>()))
}

/// The value of a place, moved out.
#[inline(never)]
pub fn get<T, M>(place: Place<T, M>) -> Var<T> {
    Var::new(get_value(place.__id(), Type::of::<T>()))
}

/// Writes without dropping what was there.
#[inline(never)]
pub fn init<T, M>(place: Place<T, M>, value: &Var<T>) {
    init_value(place.__id(), value.__value());
}

/// Assigns, which as an expression is `()`.
#[inline(never)]
pub fn assign<T, M>(place: Place<T, M>, value: &Var<T>) -> Var<()> {
    set(place.__id(), value.__value());
    crate::control::unit()
}

/// A new local that holds the value.
#[inline(never)]
pub fn bind<T>(value: Var<T>) -> Place<T> {
    Place::new(bind_value(value.__value()))
}

/// A place as a receiver: what autoderef loads is loaded here, before the arguments are evaluated.
#[inline(never)]
pub fn recv<T: ?Sized, M>(place: &Place<T, M>) -> Place<T, M> {
    Place::new(receiver(place.__id()))
}

#[inline(never)]
fn here(place: PlaceId) -> PlaceId {
    with(|b| b.place_in(place, None))
}

#[inline(never)]
fn moved_out(place: PlaceId, ty: Type) {
    with(|b| b.moved_out(place, ty));
}

#[inline(never)]
fn receiver(place: PlaceId) -> PlaceId {
    with(|b| b.receiver(place))
}

#[inline(never)]
fn enter_sequence_of(place: PlaceId) -> Option<u32> {
    with(|b| b.enter_sequence_of(place))
}

#[inline(never)]
fn leave_sequence(outer: Option<u32>) {
    with(|b| b.sequence = outer);
}

#[inline(never)]
fn peek_value(place: PlaceId, ty: Type) -> ValueId {
    with(|b| {
        b.in_sequence_of(place, |b| {
            let words = b.read(place, ty);
            b.value(ty, words)
        })
    })
}

#[inline(never)]
fn get_value(place: PlaceId, ty: Type) -> ValueId {
    with(|b| {
        b.in_sequence_of(place, |b| {
            let words = b.read(place, ty);
            b.moved_out(place, ty);
            b.owned_value(ty, words)
        })
    })
}

#[inline(never)]
pub(crate) fn init_value(place: PlaceId, value: ValueId) {
    with(|b| {
        let (ty, words) = (b.get(value).ty, b.words(value));
        b.consume(value);
        b.write(place, ty, &words);
    });
}

#[inline(never)]
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

#[inline(never)]
fn raw(ty: Type) -> PlaceId {
    with(|b| {
        let root = b.new_root(ty, false);
        b.place(PlaceKind::Root(root))
    })
}

#[inline(never)]
fn raw_variant(ty: Type, variant: u32) -> PlaceId {
    with(|b| {
        let root = b.new_root(ty, false);
        let place = b.place(PlaceKind::Root(root));
        let words = b.variant_words(ty, variant);
        b.write(place, ty, &words);
        place
    })
}

#[inline(never)]
fn complete(place: PlaceId, ty: Type) -> ValueId {
    with(|b| {
        let words = b.read(place, ty);
        b.owned_value(ty, words)
    })
}

#[inline(never)]
fn fresh(ty: Type) -> PlaceId {
    with(|b| {
        let root = b.new_root(ty, true);
        b.place(PlaceKind::Root(root))
    })
}

#[inline(never)]
pub(crate) fn bind_value(value: ValueId) -> PlaceId {
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

#[inline(never)]
fn field(parent: PlaceId, ty: Type, variant: u32, index: u32) -> PlaceId {
    with(|b| b.field(parent, ty, variant, index))
}

/// A new local that holds the value, at the end of the scopes from `depth` upwards, of temporaries.
#[inline(never)]
pub fn bind_leaving<T>(depth: usize, value: Var<T>) -> Place<T> {
    let place = bind_value(value.__value());
    crate::control::pop(depth);
    Place::new(place)
}

/// A temporary: dropped with its statement.
#[inline(never)]
pub fn tmp<T>(value: Var<T>) -> Place<T> {
    Place::new(temporary(value.__value()))
}

#[inline(never)]
fn temporary(value: ValueId) -> PlaceId {
    with(|b| {
        let root = b.value_root(value);
        b.place(PlaceKind::Root(root))
    })
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
