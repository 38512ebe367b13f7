//! A meta-tracing JIT for interpreters written in Rust.
//!
//! Write an ordinary interpreter, mark its dispatch loop, and hot loops of the *guest* program are recorded through the
//! interpreter and compiled to machine code. What an author uses:
//!
//! - [`macro@jit`] on functions, `impl` blocks, structs and enums that the JIT shall see through;
//! - [`jit::portal`] on the function (or method) with the dispatch loop, [`jit_merge_point!`] at the loop's head,
//!   [`can_enter_jit!`] at the guest's back-edges;
//! - [`jit::dont_look_inside`], [`jit::elidable`], [`residual!`] and [`promote`] as hints;
//! - a [`JitDriver`], which owns the code and is passed to the portal;
//! - [`build_twins!`] in a test: it tells whether everything that the portal may trace into stages.
//!
//! Deleting all of it leaves a working interpreter. `docs/ARCHITECTURE.md` says how it works.

#![deny(unsafe_code)]

/// The README's code runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// So does that of the guide to what stages.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/STAGING.md")]
struct Staging;

#[allow(unsafe_code, reason = "enters the engine")]
mod driver;
#[allow(unsafe_code, reason = "makes references of words")]
mod greens;

pub use driver::{JitDriver, Next, Portal, enter};
pub use greens::{Green, Greens};
pub use metatrace_log::{Log, LogError};
#[doc(hidden)]
pub use metatrace_macros::__JitShape;
pub use metatrace_macros::{build_twins, jit};
pub use metatrace_metainterp::{Abort, Aborts, ConfigError, Parameters, Stats, Twins, Unstageable};

/// The attributes beside [`macro@jit`] itself.
pub mod jit {
    pub use metatrace_macros::{dont_look_inside, elidable, nounwind, portal, unroll_safe};
}

/// What staging twins call. Not for authors.
#[cfg(feature = "jit")]
#[doc(hidden)]
pub mod __stage {
    pub use metatrace_codewriter::stage::*;
}

/// What a portal's native function calls. Not for authors.
#[doc(hidden)]
pub mod __driver {
    pub use crate::driver::{Next, Portal, SharedDriver, enter, shared};
    #[cfg(feature = "jit")]
    pub use metatrace_codewriter::stage::build_twins;

    /// Without the JIT there are none.
    #[cfg(not(feature = "jit"))]
    pub fn no_twins() -> Result<crate::Twins, crate::Unstageable> {
        Ok(crate::Twins::default())
    }
}

/// Makes a constant of a value in the trace: the compiled code is special for it, and guarded. Costs nothing elsewhere.
#[inline(always)]
pub fn promote<T>(value: T) -> T {
    value
}

/// What stands for the function [`promote`](fn@promote) in staged code.
#[cfg(feature = "jit")]
#[doc(hidden)]
#[allow(non_camel_case_types)]
pub enum promote {}

#[cfg(feature = "jit")]
#[doc(hidden)]
impl promote {
    pub fn stage<T>(value: __stage::Var<T>) -> __stage::Var<T> {
        __stage::promote(value)
    }
}

/// Where a portal's loop begins. First statement of the loop; `name = expression` pairs give greens that are expressions of
/// the parameters.
#[macro_export]
macro_rules! jit_merge_point {
    ($($greens:tt)*) => {};
}

/// A back-edge of the guest program: right before the `continue` that leads back to the merge point.
#[macro_export]
macro_rules! can_enter_jit {
    () => {{}};
}

/// Calls a function that is not marked: the JIT does not look inside.
#[macro_export]
macro_rules! residual {
    ($call:expr) => {
        $call
    };
}
