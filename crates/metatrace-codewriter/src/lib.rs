//! The codewriter: turns `#[jit]` functions into jitcode.
//!
//! A macro makes of every `#[jit]` function a *twin*, in which values of type `T` are handles [`Var<T>`](stage::Var), places
//! [`Place<T>`](stage::Place), and operations generic calls of the functions in [`stage`]. When a twin runs, its calls
//! record a flow graph ([`metatrace_graph`]) in the current builder. `lower` has jitcode made of it, which the [`Library`]
//! stores.
//!
//! ```text
//! twin runs ─▶ builder: graph of words ─▶ ownership: drops made explicit ─▶ metatrace_graph: linear jitcode, liveness
//! ```
//!
//! Unsafe code is in `shims` (generated native code), `assembly` (values by address) and `library` (evaluation) only.

#![deny(unsafe_code)]
#![allow(clippy::type_complexity)]

#[allow(unsafe_code, reason = "values by address")]
mod assembly;
mod builder;
mod control;
mod drops;
mod handles;
mod iter;
mod layout;
#[allow(unsafe_code, reason = "runs jitcode on values by address")]
mod library;
mod lower;
mod memory;
mod methods;
mod natives;
mod overflow;
mod ownership;
mod patterns;
mod place;
mod pointers;
mod portal;
mod scalar;
mod sequences;
mod shape;
#[allow(unsafe_code, reason = "generated native code")]
mod shims;
pub mod stage;
pub mod statics;
mod sums;
mod types;

pub use library::Library;
