//! Sets of regions, and what is known of each pointer: where it may lead, how deep, and from where.

use crate::value::Ref;
use rustc_hash::FxHashMap;
use std::ops::BitOr;

/// Sets of regions of memory: the unknown, and one for each exclusive root and allocation. Past 63 of these, the rest
/// share one.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Regions(pub(super) u64);

impl Regions {
    pub(super) const NONE: Regions = Regions(0);
    pub(super) const UNKNOWN: Regions = Regions(1);
    pub(super) const ALL: Regions = Regions(u64::MAX);

    pub(super) fn nth(n: u32) -> Regions {
        Regions(1 << n.min(63))
    }

    pub(super) fn meets(self, other: Regions) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn without(self, other: Regions) -> Regions {
        Regions(self.0 & !other.0)
    }

    pub(super) fn is_single(self) -> bool {
        self.0.is_power_of_two()
    }

    /// The numbers of the regions.
    pub(super) fn numbers(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let n = rest.trailing_zeros();
            rest &= rest.wrapping_sub(1);
            (n < 64).then_some(n as usize)
        })
    }
}

impl BitOr for Regions {
    type Output = Regions;

    fn bitor(self, other: Regions) -> Regions {
        Regions(self.0 | other.0)
    }
}

/// How far below its root a pointer leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Depth {
    /// Into the memory that the root points to.
    Root,
    /// Into memory that is owned by that, at any distance.
    Below,
    Any,
}

/// `origin + index * item_size + offset`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Place {
    pub(super) origin: Ref,
    /// A value and the size of an item.
    pub(super) index: Option<(Ref, u32)>,
    pub(super) offset: i64,
}

/// What is known of a pointer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pointer {
    pub(super) regions: Regions,
    pub(super) depth: Depth,
    /// Whether what lies on frozen paths behind it never changes.
    pub(super) is_frozen: bool,
    pub(super) place: Place,
}

impl Pointer {
    /// The regions of a place that it leads to: off the frozen paths, others may have a way there.
    pub(super) fn regions_along(&self, frozen_path: bool) -> Regions {
        if frozen_path {
            self.regions
        } else {
            self.regions | Regions::UNKNOWN
        }
    }
}

/// What is known of pointers. Nearly all are values of the trace, whose numbers are dense.
#[derive(Default, Debug)]
pub(super) struct Pointers {
    known: Vec<Pointer>,
    /// By value: its place among the known, and one; 0 for none.
    of_values: Vec<u32>,
    pub(super) of_constants: FxHashMap<Ref, Pointer>,
}

impl Pointers {
    pub(super) fn get(&self, value: Ref) -> Option<&Pointer> {
        match value.as_value() {
            Some(n) => self.known.get((*self.of_values.get(n)? as usize).wrapping_sub(1)),
            None => self.of_constants.get(&value),
        }
    }

    /// Forgets all, and keeps the memory for it.
    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.of_values.clear();
        self.of_constants.clear();
    }

    pub(super) fn insert(&mut self, value: Ref, pointer: Pointer) {
        let Some(n) = value.as_value() else {
            self.of_constants.insert(value, pointer);
            return;
        };
        if self.known.is_empty() {
            self.known.reserve(32);
        }
        match entry(&mut self.of_values, n) {
            place @ 0 => {
                self.known.push(pointer);
                *place = self.known.len() as u32;
            }
            place => self.known[*place as usize - 1] = pointer,
        }
    }
}

/// The entry of value `n` in a list by value, which grows in steps that are enough for most traces.
pub(super) fn entry<T: Clone + Default>(by_value: &mut Vec<T>, n: usize) -> &mut T {
    if by_value.len() <= n {
        by_value.resize((n + 1).next_multiple_of(256), T::default());
    }
    &mut by_value[n]
}
