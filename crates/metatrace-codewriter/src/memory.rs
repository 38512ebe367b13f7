//! `mem::swap`, `mem::take`, `mem::replace`, and outlined native code.

use crate::builder::{Builder, ValueId, with};
use crate::control;
use crate::handles::{Place, Var};
use crate::natives::{self, Callee, Facts, native, std_call};
use crate::place::{Located, PlaceId, PlaceKind};
use crate::pointers::deref_mut;
use crate::types::Type;
use metatrace_graph::Operand;

/// The value in a place that something else will be put in at once.
pub(crate) fn taken<T>(place: Place<T>) -> Var<T> {
    let ty = Type::of::<T>();
    Var::new(with(|b| {
        let words = b.read(place.__id(), ty);
        b.owned_value(ty, words)
    }))
}

/// Puts a value where there is none to drop.
pub(crate) fn overwrite(place: PlaceId, value: ValueId) {
    crate::handles::init_value(place, value);
}

/// `Default::default`.
pub(crate) fn default<T: Default>() -> Var<T> {
    std_call::<_, (), T>("default", Facts::STD, T::default, &[])
}

/// `mem::swap`; the function is the author's path, which must be std's.
#[inline(never)]
pub fn mem_swap<'a, T: 'a, F: Fn(&'a mut T, &'a mut T)>(f: F, a: &Var<&'a mut T>, b: &Var<&'a mut T>) -> Var<()> {
    check_std(&f, "core::mem::swap");
    let (first, second) = (deref_mut(*a), deref_mut(*b));
    let ty = Type::of::<T>();
    with(|builder| {
        let (x, y) = (builder.read(first.__id(), ty), builder.read(second.__id(), ty));
        builder.write(first.__id(), ty, &y);
        builder.write(second.__id(), ty, &x);
    });
    control::unit()
}

/// `mem::replace`.
#[inline(never)]
pub fn mem_replace<'a, T: 'a, F: Fn(&'a mut T, T) -> T>(f: F, place: &Var<&'a mut T>, value: &Var<T>) -> Var<T> {
    check_std(&f, "core::mem::replace");
    replaced(*place, *value)
}

fn replaced<'a, T: 'a>(place: Var<&'a mut T>, value: Var<T>) -> Var<T> {
    let place = deref_mut(place);
    let old = taken(place);
    overwrite(place.__id(), value.__value());
    old
}

/// `mem::take`.
#[inline(never)]
pub fn mem_take<'a, T: Default + 'a, F: Fn(&'a mut T) -> T>(f: F, place: &Var<&'a mut T>) -> Var<T> {
    check_std(&f, "core::mem::take");
    replaced(*place, default::<T>())
}

/// The macro takes these functions for std's by their names.
fn check_std<F>(_: &F, name: &str) {
    let found = std::any::type_name::<F>();
    if !found.starts_with(name) {
        with(|b| {
            b.refuse(&format!(
                "`{found}` is named like a function of std: mark it, or call it by another name"
            ))
        });
    }
}

/// A reference for the time of a call. What lives in registers is copied: nobody sees the address.
fn borrowed<T: ?Sized>(place: Place<T>) -> ValueId {
    let reference = Type::learn_known::<&T>();
    let words = with(|b| b.shared_copy(place.__id()));
    match words {
        Some(words) => with(|b| b.value(reference, words)),
        None => place.__addr().__value(),
    }
}

impl Builder {
    /// The address of a copy of what is in registers, where copies cannot be told from the original.
    fn shared_copy(&mut self, place: PlaceId) -> Option<Vec<Operand>> {
        let PlaceKind::Root(root) = self.places[place.0 as usize].kind else {
            return None;
        };
        let ty = self.roots[root as usize].ty;
        let frozen = ty.structure().is_some() && ty.shape().words.iter().all(|word| word.frozen);
        match self.locate(place) {
            Located::Words(..) if frozen => {
                let words = self.read(place, ty);
                Some(vec![natives::spill(self, ty, &words)])
            }
            _ => None,
        }
    }
}

/// A native call with the addresses of places.
#[inline(never)]
fn outlined(callee: Callee, args: &[ValueId], result: Type) -> ValueId {
    let args: Vec<u32> = args.iter().map(|arg| arg.0).collect();
    with(|b| native(b, "outlined", Facts::ANY, callee, &args, result))
}

macro_rules! outlines {
    ($($name:ident $name_mut:ident ($first:ident: $First:ident $(, $arg:ident: $T:ident)*);)*) => {$(
        /// Native code that borrows its arguments.
        #[inline(never)]
        #[allow(clippy::too_many_arguments)]
        pub fn $name<'a, Callee_: Fn(&'a $First $(, &'a $T)*) -> R, $First: ?Sized + 'a $(, $T: ?Sized + 'a)*, R>(
            $first: Place<$First> $(, $arg: Place<$T>)*, f: Callee_,
        ) -> Var<R> {
            let callee = Callee::of::<Callee_, (&'a $First, $(&'a $T,)*), R>(f);
            let args = [borrowed($first) $(, borrowed($arg))*];
            Var::new(outlined(callee, &args, Type::of::<R>()))
        }

        /// Native code that borrows its arguments, the first mutably.
        #[inline(never)]
        #[allow(clippy::too_many_arguments)]
        pub fn $name_mut<'a, Callee_: Fn(&'a mut $First $(, &'a $T)*) -> R, $First: ?Sized + 'a $(, $T: ?Sized + 'a)*, R>(
            $first: Place<$First> $(, $arg: Place<$T>)*, f: Callee_,
        ) -> Var<R> {
            let callee = Callee::of::<Callee_, (&'a mut $First, $(&'a $T,)*), R>(f);
            let args = [$first.__addr_mut().__value() $(, borrowed($arg))*];
            Var::new(outlined(callee, &args, Type::of::<R>()))
        }
    )*};
}

/// Native code without arguments.
#[inline(never)]
pub fn outline0<Callee_: Fn() -> R, R>(f: Callee_) -> Var<R> {
    Var::new(outlined(Callee::of::<Callee_, (), R>(f), &[], Type::of::<R>()))
}

outlines! {
    outline1 outline_mut1(a: A);
    outline2 outline_mut2(a: A, b: B);
    outline3 outline_mut3(a: A, b: B, c: C);
    outline4 outline_mut4(a: A, b: B, c: C, d: D);
    outline5 outline_mut5(a: A, b: B, c: C, d: D, e: E);
    outline6 outline_mut6(a: A, b: B, c: C, d: D, e: E, f_: F);
    outline7 outline_mut7(a: A, b: B, c: C, d: D, e: E, f_: F, g: G);
    outline8 outline_mut8(a: A, b: B, c: C, d: D, e: E, f_: F, g: G, h: H);
    outline9 outline_mut9(a: A, b: B, c: C, d: D, e: E, f_: F, g: G, h: H, i: I);
    outline10 outline_mut10(a: A, b: B, c: C, d: D, e: E, f_: F, g: G, h: H, i: I, j: J);
    outline11 outline_mut11(a: A, b: B, c: C, d: D, e: E, f_: F, g: G, h: H, i: I, j: J, k: K);
    outline12 outline_mut12(a: A, b: B, c: C, d: D, e: E, f_: F, g: G, h: H, i: I, j: J, k: K, l: L);
}
