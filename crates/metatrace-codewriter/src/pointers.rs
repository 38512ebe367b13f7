//! References, `Box`, `Rc`, cells: types whose places lead to other places, and the coercions between them.
//!
//! Coercions of handles mirror rustc's coercions of values: `Deref` on `Var<&mut T>` leads to `Var<&T>`, on `Var<&Vec<T>>` to
//! `Var<&[T]>`, and so on, so that `&Var<…>` arguments coerce where the author's arguments would.

use crate::builder::{ValueId, with};
use crate::handles::{JitType, Place, Var, leak};
use crate::layout;
use crate::place::{Mem, PlaceId, PlaceKind, SliceData, SlicePlace};
use crate::types::{FieldShape, KnownType, Type, TypeIsJit, TypeShape, field, name_of};
use metatrace_graph::Operand;
use metatrace_ir::{Const, Kind, Pointee};
use std::cell::{Cell, RefCell, UnsafeCell};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

/// The place behind the words of a reference; `offset` bytes further.
pub(crate) fn behind<T: ?Sized>(words: Vec<Operand>, offset: u32) -> PlaceId {
    place_behind(words, offset, || name_of::<T>())
}

#[inline(never)]
fn place_behind(words: Vec<Operand>, offset: u32, name: impl FnOnce() -> Rc<str>) -> PlaceId {
    with(|b| match words[..] {
        [reference] => {
            let reference = b.reinterpret(reference, Kind::Ref);
            b.mem_place(Mem {
                offset,
                ..Mem::behind(reference, name())
            })
        }
        [data, len] => {
            let slice = SlicePlace {
                data: SliceData::Pointer(data),
                len,
                frozen: true,
            };
            b.place(PlaceKind::Slice(slice))
        }
        _ => unreachable!("references have one word or two"),
    })
}

#[inline(never)]
fn words_of(value: ValueId) -> Vec<Operand> {
    with(|b| b.words(value))
}

/// The place that a place of pointer type leads to.
pub(crate) fn pointee<P, T: ?Sized>(place: Place<P>, offset: u32) -> Place<T> {
    let value = place.__peek();
    let words = words_of(value.__value());
    let target = behind::<T>(words, offset);
    Place::new(target)
}

impl<T: ?Sized> KnownType for &T {
    fn known_shape() -> TypeShape {
        TypeShape::Pointer(Pointee::Shared)
    }
}

impl<T: ?Sized> KnownType for &mut T {
    fn known_shape() -> TypeShape {
        TypeShape::Pointer(Pointee::Exclusive)
    }
}

impl<T: ?Sized> KnownType for Box<T> {
    fn known_shape() -> TypeShape {
        TypeShape::Pointer(Pointee::Owned)
    }
}

impl<T: ?Sized> KnownType for Rc<T> {
    fn known_shape() -> TypeShape {
        TypeShape::Pointer(Pointee::Counted)
    }
}

impl<T: ?Sized> KnownType for Arc<T> {
    fn known_shape() -> TypeShape {
        TypeShape::Pointer(Pointee::Counted)
    }
}

impl<T> KnownType for *const T {
    fn known_shape() -> TypeShape {
        TypeShape::RawPointer
    }
}

impl<T> KnownType for *mut T {
    fn known_shape() -> TypeShape {
        TypeShape::RawPointer
    }
}

impl<'a, T: ?Sized> JitType for &'a T {
    type Target = Place<T>;
    #[inline(never)]
    fn target(place: Place<Self>) -> Place<T> {
        Type::learn_known::<&'a T>();
        pointee(place, 0)
    }
}

impl<'a, T: ?Sized> JitType for &'a mut T {
    type Target = Place<T>;
    #[inline(never)]
    fn target(place: Place<Self>) -> Place<T> {
        Type::learn_known::<&'a mut T>();
        pointee(place, 0)
    }
}

impl<T: ?Sized> JitType for Box<T> {
    type Target = Place<T>;
    #[inline(never)]
    fn target(place: Place<Self>) -> Place<T> {
        Type::learn_known::<Box<T>>();
        let content: Place<T> = pointee(place, 0);
        with(|b| b.places[content.__id().0 as usize].boxed = Some(place.__id()));
        content
    }
}

impl<T> JitType for Rc<T> {
    type Target = Place<T>;
    #[inline(never)]
    fn target(place: Place<Self>) -> Place<T> {
        Type::learn_known::<Rc<T>>();
        pointee(place, layout::rc_offset(align_of::<T>() as u32))
    }
}

/// `Cell`, `UnsafeCell`: their content changes behind shared references.
macro_rules! cells {
    ($($cell:ident)*) => {$(
        impl<T> TypeIsJit for $cell<T> {
            fn shape() -> TypeShape {
                TypeShape::Cell(vec![content::<T>()])
            }
        }
    )*};
}
cells!(Cell UnsafeCell);

fn content<T>() -> FieldShape {
    field::<T>("content", 0)
}

/// A place of type `Cell<T>`.
#[derive(Debug)]
pub struct CellProxy<T>(Place<Cell<T>>);

impl<T> JitType for Cell<T> {
    type Target = CellProxy<T>;
    #[inline(never)]
    fn target(place: Place<Self>) -> CellProxy<T> {
        Type::learn::<Cell<T>>();
        CellProxy(place)
    }
}

impl<T> CellProxy<T> {
    /// `Cell::get`.
    #[inline(never)]
    pub fn get(&self) -> Var<T>
    where
        T: Copy,
    {
        self.0.__here().__field::<T>(0).__peek()
    }

    /// `Cell::set`.
    #[inline(never)]
    pub fn set(&self, value: &Var<T>) -> Var<()> {
        self.0.__here().__field::<T>(0).__assign(value)
    }

    /// `Cell::replace`.
    #[inline(never)]
    pub fn replace(&self, value: &Var<T>) -> Var<T> {
        let place = self.0.__here().__field::<T>(0);
        let old = crate::memory::taken(place);
        place.__init(value);
        old
    }

    /// `Cell::take`.
    #[inline(never)]
    pub fn take(&self) -> Var<T>
    where
        T: Default,
    {
        self.replace(&crate::memory::default::<T>())
    }
}

impl<T> JitType for RefCell<T> {
    type Target = ();
    #[inline(never)]
    fn target(_: Place<Self>) {}
}

impl JitType for () {
    type Target = ();
    #[inline(never)]
    fn target(_: Place<Self>) {}
}

impl TypeIsJit for () {
    fn shape() -> TypeShape {
        TypeShape::Struct {
            name: "()",
            fields: Vec::new(),
        }
    }
}

// ---- coercions

impl<'a, T: ?Sized + CoerceRef<'a>> Deref for Var<&'a T> {
    type Target = T::Next;
    #[inline(never)]
    fn deref(&self) -> &T::Next {
        leak(T::next(*self))
    }
}

impl<'a, T: ?Sized + CoerceMut<'a>> Deref for Var<&'a mut T> {
    type Target = T::Next;
    #[inline(never)]
    fn deref(&self) -> &T::Next {
        leak(T::next(*self))
    }
}

/// What `&T` coerces to.
pub trait CoerceRef<'a> {
    /// A handle of it.
    type Next;
    /// Makes it.
    fn next(reference: Var<&'a Self>) -> Self::Next;
}

/// What `&mut T` coerces to.
pub trait CoerceMut<'a> {
    /// A handle of it.
    type Next;
    /// Makes it.
    fn next(reference: Var<&'a mut Self>) -> Self::Next;
}

/// The place behind a reference.
pub(crate) fn deref<T: ?Sized>(reference: Var<&T>) -> Place<T> {
    let words = words_of(reference.__value());
    Place::new(behind::<T>(words, 0))
}

/// The place behind a mutable reference.
pub(crate) fn deref_mut<T: ?Sized>(reference: Var<&mut T>) -> Place<T> {
    let words = words_of(reference.__value());
    Place::new(behind::<T>(words, 0))
}

/// The same words as a reference of another type.
fn retyped<T, U: KnownType>(reference: Var<T>) -> Var<U> {
    let ty = Type::learn_known::<U>();
    Var::new(retyped_value(reference.__value(), ty))
}

#[inline(never)]
fn retyped_value(reference: ValueId, ty: Type) -> ValueId {
    with(|b| {
        let words = b.words(reference);
        b.value(ty, words)
    })
}

impl<'a, T: 'a> CoerceRef<'a> for Vec<T> {
    type Next = Var<&'a [T]>;
    #[inline(never)]
    fn next(reference: Var<&'a Self>) -> Self::Next {
        crate::sequences::vec_slice(deref(reference)).__addr()
    }
}

impl<'a, T: 'a, const N: usize> CoerceRef<'a> for [T; N] {
    type Next = Var<&'a [T]>;
    #[inline(never)]
    fn next(reference: Var<&'a Self>) -> Self::Next {
        crate::sequences::array_slice(deref(reference)).__addr()
    }
}

impl<'a> CoerceRef<'a> for String {
    type Next = Var<&'a str>;
    #[inline(never)]
    fn next(reference: Var<&'a Self>) -> Self::Next {
        crate::sequences::string_str(deref(reference)).__addr()
    }
}

impl<'a, 'b: 'a, T: ?Sized> CoerceRef<'a> for &'b T {
    type Next = Var<&'b T>;
    #[inline(never)]
    fn next(reference: Var<&'a Self>) -> Self::Next {
        Type::learn_known::<&'b T>();
        deref(reference).__peek()
    }
}

impl<'a, 'b: 'a, T: ?Sized> CoerceRef<'a> for &'b mut T {
    type Next = Var<&'a T>;
    #[inline(never)]
    fn next(reference: Var<&'a Self>) -> Self::Next {
        pointee::<&'b mut T, T>(deref(reference), 0).__addr()
    }
}

impl<'a, T: ?Sized + 'a> CoerceRef<'a> for Box<T> {
    type Next = Var<&'a T>;
    #[inline(never)]
    fn next(reference: Var<&'a Self>) -> Self::Next {
        pointee::<Box<T>, T>(deref(reference), 0).__addr()
    }
}

impl<'a, T: 'a> CoerceRef<'a> for Rc<T> {
    type Next = Var<&'a T>;
    #[inline(never)]
    fn next(reference: Var<&'a Self>) -> Self::Next {
        <Rc<T> as JitType>::target(deref(reference)).__addr()
    }
}

impl<'a, T: 'a> CoerceMut<'a> for Vec<T> {
    type Next = Var<&'a mut [T]>;
    #[inline(never)]
    fn next(reference: Var<&'a mut Self>) -> Self::Next {
        crate::sequences::vec_slice(deref_mut(reference)).__addr_mut()
    }
}

impl<'a, T: 'a, const N: usize> CoerceMut<'a> for [T; N] {
    type Next = Var<&'a mut [T]>;
    #[inline(never)]
    fn next(reference: Var<&'a mut Self>) -> Self::Next {
        crate::sequences::array_slice(deref_mut(reference)).__addr_mut()
    }
}

impl<'a, T: 'a> CoerceMut<'a> for [T] {
    type Next = Var<&'a [T]>;
    #[inline(never)]
    fn next(reference: Var<&'a mut Self>) -> Self::Next {
        retyped(reference)
    }
}

/// `&mut T` as `&T`: what derived coercions do.
#[inline(never)]
pub fn as_shared<T: ?Sized>(reference: Var<&mut T>) -> Var<&T> {
    retyped(reference)
}

/// Types whose `&mut` coerces to `&`, as derives say of their types.
macro_rules! coerce_to_shared {
    ($([$($T:ident)*] $t:ty;)*) => {$(
        impl<'a, $($T: 'a),*> crate::pointers::CoerceMut<'a> for $t {
            type Next = crate::handles::Var<&'a Self>;
            #[inline(never)]
            fn next(reference: crate::handles::Var<&'a mut Self>) -> Self::Next {
                crate::pointers::as_shared(reference)
            }
        }
    )*};
}
pub(crate) use coerce_to_shared;

coerce_to_shared! {
    [] u8; [] u16; [] u32; [] u64; [] usize; [] i8; [] i16; [] i32; [] i64; [] isize; [] f64; [] bool; [] char; [] ();
    [] str; [T] Option<T>; [T E] Result<T, E>; [T] Cell<T>; [T] RefCell<T>; [T] Rc<T>;
}

impl<'a, 'b: 'a, T: ?Sized> CoerceMut<'a> for &'b T {
    type Next = Var<&'a &'b T>;
    #[inline(never)]
    fn next(reference: Var<&'a mut Self>) -> Self::Next {
        as_shared(reference)
    }
}

impl<'a, 'b: 'a, T: ?Sized> CoerceMut<'a> for &'b mut T {
    type Next = Var<&'a mut T>;
    #[inline(never)]
    fn next(reference: Var<&'a mut Self>) -> Self::Next {
        pointee::<&'b mut T, T>(deref_mut(reference), 0).__addr_mut()
    }
}

impl<'a, T: ?Sized + 'a> CoerceMut<'a> for Box<T> {
    type Next = Var<&'a mut T>;
    #[inline(never)]
    fn next(reference: Var<&'a mut Self>) -> Self::Next {
        pointee::<Box<T>, T>(deref_mut(reference), 0).__addr_mut()
    }
}

impl<'a> CoerceMut<'a> for String {
    type Next = Var<&'a mut str>;
    #[inline(never)]
    fn next(reference: Var<&'a mut Self>) -> Self::Next {
        crate::sequences::string_str(deref_mut(reference)).__addr_mut()
    }
}

/// A place at a constant address.
#[inline(never)]
pub fn static_place<T: ?Sized>(target: &'static T) -> Place<T> {
    let words = crate::shims::words_of_reference(target);
    let words = match words[..] {
        [address] => vec![Operand::Const(Const::ptr(address))],
        [data, len] => vec![Operand::int(data), Operand::int(len)],
        _ => unreachable!("references have one word or two"),
    };
    Place::new(behind::<T>(words, 0))
}
