//! Traits by which twins call the author's methods, and the probe of types.

use crate::handles::{Place, Var};
use crate::types::{KnownType, Type, TypeIsJit};
use std::marker::PhantomData;

/// A method that stages, implemented beside the type; `H` is the hash of its name.
#[diagnostic::on_unimplemented(
    message = "this method of `{Self}` is not known to the JIT",
    note = "mark it: methods stage inside a `#[jit] impl`, with `#[jit::dont_look_inside]` where traces need not see them",
    note = "`residual!(Type::method(…))` calls one that cannot be marked"
)]
pub trait MethodIsJit<const H: u64, Args: ArgTuple, Out> {
    /// Its type parameters: what a turbofish gives.
    type Generics;
    /// Its call.
    fn stage(this: Place<Self>, args: Args::Vars) -> Var<Out>
    where
        Self: Sized;
}

/// An associated function of a trait that stages.
#[diagnostic::on_unimplemented(
    message = "this function of `{Self}` is not known to the JIT",
    note = "mark it: methods stage inside a `#[jit] impl`, with `#[jit::dont_look_inside]` where traces need not see them",
    note = "`residual!(Type::function(…))` calls one that cannot be marked"
)]
pub trait AssocIsJit<const H: u64, Args: ArgTuple, Out> {
    /// Its call.
    fn stage(args: Args::Vars) -> Var<Out>
    where
        Self: Sized;
}

/// Functions that stage. Those that are not marked have a stand-in without it.
#[diagnostic::on_unimplemented(
    message = "this function is not known to the JIT",
    label = "not a `#[jit]` function",
    note = "mark the function `#[jit]`, or `#[jit::dont_look_inside]` where traces need not see its inside",
    note = "`residual!(f(x))` calls a function that cannot be marked"
)]
pub trait FunctionIsJit {}

macro_rules! stand_ins {
    ($($module:ident($($bound:ident)*))*) => {$(
        pub mod $module {
            use super::Unmarked;
            use std::marker::PhantomData;

            /// The twin of a function that has none.
            #[derive(Debug)]
            pub enum __callee {}

            impl __callee {
                pub fn stage<R>($(_: impl $bound),*) -> $crate::stage::Var<R>
                where
                    Unmarked<R>: $crate::stage::FunctionIsJit,
                {
                    unreachable!("it is not implemented")
                }

                pub fn build<R>(_: PhantomData<R>)
                where
                    Unmarked<R>: $crate::stage::FunctionIsJit,
                {
                }
            }
        }
    )*};
}

/// What the call of an unmarked function finds, by the number of its arguments.
#[doc(hidden)]
#[allow(non_camel_case_types, missing_docs, clippy::too_many_arguments)]
pub mod callee {
    use std::marker::PhantomData;

    /// A function without a twin.
    #[derive(Debug)]
    pub struct Unmarked<R>(PhantomData<R>);

    stand_ins! {
        unmarked0()
        unmarked1(Sized)
        unmarked2(Sized Sized)
        unmarked3(Sized Sized Sized)
        unmarked4(Sized Sized Sized Sized)
        unmarked5(Sized Sized Sized Sized Sized)
        unmarked6(Sized Sized Sized Sized Sized Sized)
        unmarked7(Sized Sized Sized Sized Sized Sized Sized)
        unmarked8(Sized Sized Sized Sized Sized Sized Sized Sized)
        unmarked9(Sized Sized Sized Sized Sized Sized Sized Sized Sized)
        unmarked10(Sized Sized Sized Sized Sized Sized Sized Sized Sized Sized)
        unmarked11(Sized Sized Sized Sized Sized Sized Sized Sized Sized Sized Sized)
        unmarked12(Sized Sized Sized Sized Sized Sized Sized Sized Sized Sized Sized Sized)
        unmarked13(Sized Sized Sized Sized Sized Sized Sized Sized Sized Sized Sized Sized Sized)
    }
}

/// Types of arguments.
pub trait ArgTuple {
    /// Their handles.
    type Vars;
}

macro_rules! arg_tuples {
    ($(($($T:ident)*))*) => {$(
        impl<$($T),*> ArgTuple for ($($T,)*) {
            type Vars = ($(Var<$T>,)*);
        }
    )*};
}
arg_tuples!(() (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) (A B C D E F G H I)
    (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L));

/// Learns the shape of `T` where it is known; see [`probe!`](crate::probe).
#[derive(Debug)]
pub struct Probe<T>(#[doc(hidden)] pub PhantomData<fn() -> T>);

impl<T> Probe<T> {
    /// A probe.
    #[allow(clippy::new_without_default)]
    #[inline(always)]
    pub fn new() -> Probe<T> {
        Probe(PhantomData)
    }
}

#[doc(hidden)]
pub trait ProbeJit {
    fn __learn(&self);
}

impl<T: TypeIsJit> ProbeJit for &&Probe<T> {
    #[inline(never)]
    fn __learn(&self) {
        Type::learn::<T>();
    }
}

#[doc(hidden)]
pub trait ProbeKnown {
    fn __learn(&self);
}

impl<T: KnownType> ProbeKnown for &Probe<T> {
    #[inline(never)]
    fn __learn(&self) {
        Type::learn_known::<T>();
    }
}

/// What a probe of another type does: nothing.
#[doc(hidden)]
pub trait ProbeUnknown {
    #[inline(never)]
    fn __learn(&self) {}
}

impl<T> ProbeUnknown for Probe<T> {}

/// Learns the shape of a type, where the JIT knows one. Probe the types that it is made of first.
#[macro_export]
macro_rules! probe {
    ($t:ty) => {{
        #[allow(unused_imports)]
        use $crate::stage::{ProbeJit as _, ProbeKnown as _, ProbeUnknown as _};
        // A constant, which takes no room in the twin's frame.
        (&&&$crate::stage::Probe::<$t>(::core::marker::PhantomData)).__learn();
    }};
}

/// Learns the shape of a constant's type.
#[macro_export]
macro_rules! probe_value {
    ($value:expr) => {{
        #[allow(unused_imports)]
        use $crate::stage::{ProbeJit as _, ProbeKnown as _, ProbeUnknown as _};
        (&&&$crate::stage::probe_of($value)).__learn();
    }};
}

/// A probe of a value's type.
#[inline(always)]
pub fn probe_of<T>(_: &T) -> Probe<T> {
    Probe::new()
}

/// `ctorN(path)`, which learns what the constructor makes.
#[macro_export]
macro_rules! ctor {
    ($ctor:ident, $path:expr) => {{
        #[allow(unused_imports)]
        use $crate::stage::{ProbeJit as _, ProbeKnown as _, ProbeUnknown as _};
        let ctor = $crate::stage::$ctor($path);
        (&&&ctor.__probe()).__learn();
        ctor
    }};
}

/// Whether the author's edition is 2024 or later; the token carries the author's span.
#[macro_export]
macro_rules! edition_2024 {
    ($t:ty) => {
        false
    };
    ($t:tt) => {
        true
    };
}
