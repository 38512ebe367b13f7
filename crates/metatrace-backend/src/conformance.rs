//! The suite that every backend passes, as named cases; a backend's tests run each of them.
//!
//! Fixed scenarios are traces in their textual form, with the exits they must give. Arithmetic is compared with
//! [`metatrace_ir::eval`]. [`random`] makes whole programs of traces and bridges, to be run on the reference executor
//! and on the backend under test, which must agree on every exit and on memory.
//!
//! Words that have no fixed meaning are not compared: addresses of frame slots, and which NaN an operation gives.

mod arithmetic;
mod bench;
mod bridges;
mod calls;
mod control;
mod forced;
mod memory;
pub mod random;
mod shims;

use crate::{Backend, Forcing};

/// Makes a backend under test, empty.
pub type Make<'a> = dyn FnMut(Forcing) -> Box<dyn Backend> + 'a;

/// A named case.
#[derive(Clone, Copy)]
pub struct Case {
    /// Group and name.
    pub name: &'static str,
    /// Runs it; panics where the backend does not conform.
    pub run: fn(&mut Make<'_>),
}

macro_rules! cases {
    ($($group:ident: $($name:ident)*;)*) => {
        /// Every case.
        pub fn cases() -> Vec<Case> {
            vec![$($(Case { name: concat!(stringify!($group), "::", stringify!($name)), run: $group::$name }),*),*]
        }
    };
}

cases! {
    arithmetic: variables constants dead_operands pressure overflow_guards comparison_guards;
    memory: fields items narrow_values addresses stores_of_constants allocations;
    control: counting_loop swaps_and_cycles many_live_values values_for_exits_only label_behind_label every_guard
        distant_comparisons comparison_in_its_own_exit constant_arguments big_frames entry_into_a_loop unknown_target;
    calls: every_argument_count permuted_arguments values_across_calls panics frame_slots reentrant_shims dead_calls
        time_inside;
    bridges: registers_slots_and_constants bridge_of_a_bridge back_into_the_loop loop_in_a_bridge
        bigger_frame_than_its_loop frame_slots_in_bridges replaced_bridge no_bridge_for_panics reentrant_handlers
        panicking_handler freed_loops freed_by_a_shim bridge_of_another_loop;
    forced: one_guard one_in_n;
}

/// Runs every case.
///
/// # Panics
/// At the first that fails.
pub fn run(make: &mut Make<'_>) {
    for case in cases() {
        (case.run)(make);
    }
}
