//! Staging against the function itself: every function here is run natively and by its jitcode, and must do the same.

#![allow(clippy::all, reason = "the functions are odd on purpose")]

#[path = "staging/cfg.rs"]
mod cfg;
#[path = "staging/coercions.rs"]
mod coercions;
#[path = "staging/drops.rs"]
mod drops;
#[path = "staging/flow.rs"]
mod flow;
#[path = "staging/generics.rs"]
mod generics;
#[path = "staging/harness.rs"]
mod harness;
#[path = "staging/leaks.rs"]
mod leaks;
#[path = "staging/literals.rs"]
mod literals;
#[path = "staging/macros.rs"]
mod macros;
#[path = "staging/methods.rs"]
mod methods;
#[path = "staging/names.rs"]
mod names;
#[path = "staging/numeric.rs"]
mod numeric;
#[path = "staging/order.rs"]
mod order;
#[path = "staging/patterns.rs"]
mod patterns;
#[path = "staging/places.rs"]
mod places;
#[path = "staging/portals.rs"]
mod portals;
#[path = "staging/second_panic.rs"]
mod second_panic;
#[path = "staging/shapes.rs"]
mod shapes;
#[path = "staging/sums.rs"]
mod sums;
