//! metatrace's attributes: from the syntax of an ordinary interpreter to each function's *staging twin*.
//!
//! A proc macro sees no types, so it does not guess them: for every marked function it emits the function, untouched, and a
//! twin with the same control structure in which a value of type `T` is a handle `Var<T>`, a place a `Place<T>`, and an
//! operation a generic call of the runtime. rustc infers the twin's types as it infers the function's, and running the twin
//! once builds the function's jitcode. Nothing here knows about tracing.
//!
//! | module | syntax |
//! |---|---|
//! | [`attrs`] | the attributes themselves |
//! | [`items`] | functions, methods, impls: what is emitted beside them |
//! | [`traits`] | traits whose methods generic code calls |
//! | [`shape`] | structs and enums: what the runtime learns of their layout |
//! | [`portal`] | portals: the rule, the native loops, the merge point |
//! | [`body`], [`stmt`], [`expr`], [`call`], [`flow`], [`pat`], [`mac`] | a function's body, construct by construct |
//! | [`names`], [`syntax`], [`errors`] | mangling and hygiene, questions about syntax, what does not stage |
//!
//! Authors reach the attributes as `metatrace::jit` and `metatrace::jit::…`; their meaning is documented there. Without the
//! feature `jit`, each emits its item alone.

#![forbid(unsafe_code)]

mod attrs;
mod body;
mod call;
mod errors;
mod expr;
mod flow;
mod items;
mod mac;
mod names;
mod pat;
mod portal;
mod shape;
mod stmt;
mod syntax;
mod traits;

use attrs::Marker;
use proc_macro::TokenStream;

/// Makes an item known to the JIT.
///
/// On a function, or the methods of an impl: calls of it are traced into. On a struct or enum: staged code can use its
/// fields and variants. An enum must say `#[repr(u8)]`, so that its layout is known. On a trait: generic code can call its
/// methods, and every impl of it is a `#[jit] impl`.
#[proc_macro_attribute]
pub fn jit(arguments: TokenStream, item: TokenStream) -> TokenStream {
    items::expand(Marker::Jit, arguments.into(), item.into()).into()
}

/// Makes a portal of the function that holds the interpreter's loop:
/// `#[jit::portal(driver = jit, greens(pc, program))]`; the other parameters are red.
///
/// Its body is one `loop` or `while` that begins with `jit_merge_point!()`. `location = function` names the greens in logs.
#[proc_macro_attribute]
pub fn portal(arguments: TokenStream, item: TokenStream) -> TokenStream {
    items::expand(Marker::Portal, arguments.into(), item.into()).into()
}

/// Calls of the function are residual: machine code calls it, and the JIT never looks inside. It may contain anything.
#[proc_macro_attribute]
pub fn dont_look_inside(arguments: TokenStream, item: TokenStream) -> TokenStream {
    items::expand(Marker::DontLookInside, arguments.into(), item.into()).into()
}

/// A residual function whose result depends on its arguments alone, and that has no effects: calls with constant arguments
/// happen at compile time, equal ones once.
#[proc_macro_attribute]
pub fn elidable(arguments: TokenStream, item: TokenStream) -> TokenStream {
    items::expand(Marker::Elidable, arguments.into(), item.into()).into()
}

/// A residual function that never panics: machine code does not check for it. If it does panic, the process aborts.
#[proc_macro_attribute]
pub fn nounwind(arguments: TokenStream, item: TokenStream) -> TokenStream {
    items::expand(Marker::NoUnwind, arguments.into(), item.into()).into()
}

/// Says that loops of the function may be unrolled while tracing. Marked functions are always traced into, so it tells
/// readers only; `#[jit::dont_look_inside]` is what keeps a loop out of traces.
#[proc_macro_attribute]
pub fn unroll_safe(arguments: TokenStream, item: TokenStream) -> TokenStream {
    items::expand(Marker::UnrollSafe, arguments.into(), item.into()).into()
}

/// `build_twins!(run)`, `build_twins!(Machine::run)`: stages a portal and every function that it may trace into, and gives
/// a `Result` of what is known then (`Twins`) or of what cannot be staged and why (`Unstageable`).
#[proc_macro]
pub fn build_twins(portal: TokenStream) -> TokenStream {
    items::build_twins(portal.into()).into()
}

/// What `#[jit]` puts on structs and enums; a derive sees them after `#[cfg]`.
#[doc(hidden)]
#[proc_macro_derive(__JitShape)]
pub fn jit_shape(item: TokenStream) -> TokenStream {
    shape::derive(item.into()).into()
}
