//! Which memory pointers lead to, by ownership: what accesses cannot overlap, and what calls cannot reach.
//!
//! Facts hang at roots. A pointer loaded from an owning place (a `Box`, a `Vec`'s buffer, a `&mut`) of a root's memory leads
//! to memory below that root; the address of a field or item leads where its base leads; sums of pointers and numbers do;
//! everything else leads to unknown memory, which is no exclusive root's.
//!
//! **Places.** An access is at `origin + index * item_size + offset`, where the origin is the pointer that other addresses
//! were computed from. Two places with one origin and index differ by their offsets; with one origin and size of items,
//! by where in an item they lie; with different origins, by who owns them:
//! the memory of a root itself is not below it; what a place owns is apart from the memory the place lies in; and what two
//! different places own is apart, as long as both are known still to hold the owning pointers.

use crate::context::Context;
use metatrace_ir::{Class, Descr, Effect, Kind, Memory, Op, Opcode, Pointee, Ref, Root, RootKind, Word};
use rustc_hash::FxHashMap;
use std::ops::BitOr;

/// Sets of regions of memory: the unknown, and one for each exclusive root and allocation. Past 63 of these, the rest
/// share one.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Regions(u64);

impl Regions {
    pub(super) const NONE: Regions = Regions(0);
    pub(super) const UNKNOWN: Regions = Regions(1);
    const ALL: Regions = Regions(u64::MAX);

    fn nth(n: u32) -> Regions {
        Regions(1 << n.min(63))
    }

    fn meets(self, other: Regions) -> bool {
        self.0 & other.0 != 0
    }

    fn without(self, other: Regions) -> Regions {
        Regions(self.0 & !other.0)
    }

    fn is_single(self) -> bool {
        self.0.is_power_of_two()
    }

    /// The numbers of the regions.
    fn numbers(self) -> impl Iterator<Item = usize> {
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
enum Depth {
    /// Into the memory that the root points to.
    Root,
    /// Into memory that is owned by that, at any distance.
    Below,
    Any,
}

/// `origin + index * item_size + offset`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Place {
    origin: Ref,
    /// A value and the size of an item.
    index: Option<(Ref, u32)>,
    offset: i64,
}

/// What is known of a pointer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pointer {
    pub(super) regions: Regions,
    depth: Depth,
    /// Whether what lies on frozen paths behind it never changes.
    is_frozen: bool,
    place: Place,
}

/// An access to memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    pub(super) regions: Regions,
    depth: Depth,
    pub(super) place: Place,
    pub(super) word: Word,
    /// Whether the memory never changes.
    pub(super) is_frozen: bool,
}

#[derive(Default)]
pub(super) struct Aliases {
    pointers: FxHashMap<Ref, Pointer>,
    /// Owning pointers that were loaded, and where from, while that place is known to hold them.
    owned: FxHashMap<Ref, Access>,
    /// Regions given out, the unknown among them.
    regions: u32,
    allocations: Regions,
    /// Allocations whose address may be known elsewhere: they belong to the unknown as well.
    escaped: Regions,
    /// By region: those into which pointers were stored there.
    reach: Vec<Regions>,
    /// Constants that were proved to be pointers of an earlier part: they may lead anywhere.
    promoted: Vec<Ref>,
}

/// How many owners are followed.
const OWNERS: u32 = 4;

impl Aliases {
    /// Begins a part of the trace with these facts.
    pub(super) fn start(&mut self, before: &[Ref], behind: &[Ref], roots: &[Root]) {
        let derived = before
            .iter()
            .map(|value| self.pointer(*value).regions)
            .collect::<Vec<_>>();
        let is_root = |value: &Ref| roots.iter().any(|root| root.value == *value);
        // beside a pointer into its memory, a root is not the only way there
        let others = behind.iter().zip(&derived).filter(|(value, _)| !is_root(value));
        let shadowed = others
            .fold(Regions::NONE, |all, (_, regions)| all | *regions)
            .without(Regions::UNKNOWN);
        let exclusive_regions: FxHashMap<Ref, Regions> = behind.iter().copied().zip(derived).collect();

        let mut promoted = std::mem::take(&mut self.promoted);
        promoted.extend(self.pointers.keys().filter(|value| value.is_const()));
        *self = Aliases {
            regions: 1,
            reach: vec![Regions::NONE],
            promoted,
            ..Aliases::default()
        };
        for &constant in &self.promoted {
            let pointer = Pointer {
                regions: Regions::ALL,
                ..unknown(constant)
            };
            self.pointers.insert(constant, pointer);
        }
        for root in roots {
            let own = exclusive_regions.get(&root.value).copied().unwrap_or(Regions::NONE);
            let pointer = match root.kind {
                RootKind::Exclusive if own.without(Regions::UNKNOWN).meets(shadowed) => continue,
                RootKind::Exclusive => Pointer {
                    regions: self.new_region(),
                    depth: Depth::Root,
                    ..unknown(root.value)
                },
                RootKind::Shared | RootKind::Green => Pointer {
                    is_frozen: true,
                    ..unknown(root.value)
                },
            };
            self.pointers.insert(root.value, pointer);
        }
    }

    fn new_region(&mut self) -> Regions {
        let region = Regions::nth(self.regions);
        self.regions += 1;
        if self.reach.len() < 64 {
            // whatever owned memory holds, it may hold references to the unknown
            self.reach.push(Regions::UNKNOWN);
        }
        region
    }

    pub(super) fn pointer(&self, value: Ref) -> Pointer {
        let known = self.pointers.get(&value).copied().unwrap_or_else(|| unknown(value));
        Pointer {
            is_frozen: known.is_frozen || value.is_green(),
            ..known
        }
    }

    /// The regions, and the unknown if an allocation among them has escaped.
    fn with_escaped(&self, regions: Regions) -> Regions {
        if regions.meets(self.escaped) {
            regions | Regions::UNKNOWN
        } else {
            regions
        }
    }

    /// What a load or store accesses, and in which memory.
    pub(super) fn access(&self, op: &Op, context: &Context) -> Option<(Access, Memory)> {
        let pointer = self.pointer(*op.args.first()?);
        let (place, word, frozen, memory) = match op.descr.as_deref()? {
            Descr::Field(field) => {
                let offset = pointer.place.offset.wrapping_add(field.offset.into());
                (
                    Place {
                        offset,
                        ..pointer.place
                    },
                    field.word,
                    field.frozen,
                    field.memory,
                )
            }
            Descr::Array(array) => {
                let place = item(
                    pointer.place,
                    op.args[0],
                    op.args[1],
                    (array.item_size, array.offset),
                    context,
                );
                (place, array.word, array.frozen, array.memory)
            }
            _ => return None,
        };
        let exclusive = frozen && memory != Memory::Raw;
        let regions = if exclusive {
            pointer.regions
        } else {
            pointer.regions | Regions::UNKNOWN
        };
        let is_frozen = pointer.is_frozen && exclusive;
        Some((
            Access {
                regions,
                depth: pointer.depth,
                place,
                word,
                is_frozen,
            },
            memory,
        ))
    }

    /// Notes what the operation's result leads to.
    pub(super) fn define(&mut self, op: &Op, value: Ref, context: &Context) {
        use Opcode::*;
        if op.opcode.result().is_none_or(|kind| kind == Kind::Float) || op.opcode.is_comparison() {
            return;
        }
        let base = op.args.first().map(|arg| self.pointer(*arg));
        let pointer = match (op.opcode, base, op.descr.as_deref()) {
            (PtrField, Some(base), Some(Descr::Field(field))) => {
                let offset = base.place.offset.wrapping_add(field.offset.into());
                // behind the field may lie what the path to it does not tell
                let is_frozen = base.is_frozen && field.frozen;
                self.address(base, Place { offset, ..base.place }, field.frozen, is_frozen)
            }
            (PtrItem, Some(base), Some(Descr::Array(array))) => {
                let place = item(
                    base.place,
                    op.args[0],
                    op.args[1],
                    (array.item_size, array.offset),
                    context,
                );
                self.address(base, place, array.frozen, base.is_frozen && array.frozen)
            }
            (CastPtrToInt | CastIntToPtr | SameAsI | SameAsR, Some(base), _) => base,
            (IntAdd, Some(base), _) if context.bits(op.args[1]).is_some() => {
                let distance = context.bits(op.args[1]).expect("just seen") as i64;
                let offset = base.place.offset.wrapping_add(distance);
                Pointer {
                    place: Place { offset, ..base.place },
                    ..base
                }
            }
            (Alloca | New | NewWithVtable | NewArray, ..) => {
                let regions = self.new_region();
                self.allocations = self.allocations | regions;
                Pointer {
                    regions,
                    depth: Depth::Root,
                    ..unknown(value)
                }
            }
            _ => match op.opcode.class() {
                Class::Load => self.loaded(op, value, context),
                Class::Call => self.returned(op, value),
                _ => self.computed(op, value),
            },
        };
        let is_known =
            pointer.regions != Regions::UNKNOWN || pointer.is_frozen || pointer.place != unknown(value).place;
        if is_known {
            self.pointers.insert(value, pointer);
        }
    }

    /// The address of a place in the memory that `base` leads to.
    fn address(&self, base: Pointer, place: Place, on_frozen_path: bool, is_frozen: bool) -> Pointer {
        let regions = if on_frozen_path {
            base.regions
        } else {
            base.regions | Regions::UNKNOWN
        };
        Pointer {
            regions,
            depth: base.depth,
            is_frozen,
            place,
        }
    }

    /// What a pointer that was loaded leads to.
    fn loaded(&mut self, op: &Op, value: Ref, context: &Context) -> Pointer {
        let Some((access, memory)) = self.access(op, context) else {
            return unknown(value);
        };
        let pointee = match op.descr.as_deref() {
            Some(Descr::Field(field)) => field.pointee,
            Some(Descr::Array(array)) => array.pointee,
            _ => Pointee::Unknown,
        };
        let owning = matches!(pointee, Pointee::Owned | Pointee::Exclusive) && memory == Memory::Rust;
        let is_frozen = access.is_frozen && (owning || pointee == Pointee::Shared);
        if !owning {
            return Pointer {
                is_frozen,
                ..unknown(value)
            };
        }
        if access.regions.is_single() && access.regions != Regions::UNKNOWN {
            self.owned.insert(value, access);
        }
        Pointer {
            regions: access.regions,
            depth: Depth::Below,
            is_frozen,
            ..unknown(value)
        }
    }

    /// What the result of a call leads to. Objects that arguments lead to, perhaps; a call that is not elidable has ended
    /// what was known of them, and so ends what an address among its ints might break.
    fn returned(&self, op: &Op, value: Ref) -> Pointer {
        let elidable = matches!(op.descr.as_deref(), Some(Descr::Call(call)) if call.effect == Effect::Elidable);
        if elidable || op.opcode.result() == Some(Kind::Ref) {
            Pointer {
                regions: self.union(&op.args[1..]) | Regions::UNKNOWN,
                ..unknown(value)
            }
        } else {
            unknown(value)
        }
    }

    /// What the result of arithmetic leads to, if it is a pointer: where its operands lead.
    fn computed(&self, op: &Op, value: Ref) -> Pointer {
        let mut known = op
            .args
            .iter()
            .map(|arg| self.pointer(*arg))
            .filter(|pointer| pointer.regions != Regions::UNKNOWN || pointer.is_frozen);
        match (known.next(), known.next()) {
            (None, _) => unknown(value),
            (Some(base), None) if op.opcode == Opcode::IntAdd => Pointer {
                place: unknown(value).place,
                ..base
            },
            _ => Pointer {
                regions: self.union(&op.args) | Regions::UNKNOWN,
                ..unknown(value)
            },
        }
    }

    fn union(&self, values: &[Ref]) -> Regions {
        values
            .iter()
            .fold(Regions::NONE, |all, value| all | self.pointer(*value).regions)
    }

    /// A guard has proved the pointer to be this constant, which from now on stands for it.
    pub(super) fn learned(&mut self, value: Ref, constant: Ref) {
        let pointer = self.pointer(value);
        if let Some(known) = self.pointers.get_mut(&constant) {
            known.regions = known.regions | pointer.regions;
        } else if self.pointers.contains_key(&value) {
            self.pointers.insert(constant, pointer);
        }
    }

    /// Notes that `value` is stored. Returns the roots to whose memory there is now another way, which ends what is known
    /// of it: those it leads to, unless it stays within the memory it came from.
    pub(super) fn store_pointer(&mut self, value: Ref, access: &Access) -> Regions {
        let leads_to = self.pointer(value).regions.without(Regions::UNKNOWN);
        self.escape(leads_to);
        if leads_to == Regions::NONE || leads_to == access.regions {
            return Regions::NONE;
        }
        for n in access.regions.numbers() {
            if let Some(reach) = self.reach.get_mut(n) {
                *reach = *reach | leads_to;
            }
        }
        // allocations have escaped: from now on they are part of the unknown
        leads_to.without(self.allocations)
    }

    /// Pointers into these regions may be known elsewhere.
    pub(super) fn escape(&mut self, regions: Regions) {
        self.escaped = self.escaped | Regions(regions.0 & self.allocations.0);
    }

    /// The regions that can be reached from these.
    pub(super) fn closure(&self, regions: Regions) -> Regions {
        let mut reached = self.with_escaped(regions);
        if reached.meets(Regions::UNKNOWN) {
            reached = reached | self.escaped;
        }
        let mut done = Regions::NONE;
        while let Some(n) = reached.without(done).numbers().next() {
            done = done | Regions::nth(n as u32);
            reached = reached | self.reach.get(n).copied().unwrap_or(Regions::NONE);
            if reached.meets(Regions::UNKNOWN) {
                reached = reached | self.escaped;
            }
        }
        reached
    }

    /// Whether memory in `regions` is among what is reached.
    pub(super) fn reaches(&self, reached: Regions, regions: Regions) -> bool {
        reached.meets(self.with_escaped(regions))
    }

    /// The place no longer holds the owning pointer, as far as is known.
    pub(super) fn disown(&mut self, value: Ref, access: &Access) {
        if self.owned.get(&value).is_some_and(|owner| owner.place == access.place) {
            self.owned.remove(&value);
        }
    }

    /// Whether the two accesses may touch a common byte.
    pub(super) fn may_overlap(&self, a: &Access, b: &Access) -> bool {
        self.overlap(a, b, OWNERS)
    }

    fn overlap(&self, a: &Access, b: &Access, fuel: u32) -> bool {
        if !self.with_escaped(a.regions).meets(self.with_escaped(b.regions)) {
            return false;
        }
        if a.place.origin == b.place.origin {
            return same_origin_overlap(a, b);
        }
        let one_root = a.regions == b.regions && a.regions.is_single() && a.regions != Regions::UNKNOWN;
        let apart = one_root
            && matches!(
                (a.depth, b.depth),
                (Depth::Root, Depth::Below) | (Depth::Below, Depth::Root)
            );
        !apart && !self.owners_are_apart(a, b, fuel)
    }

    /// Whether what two origins lead to is apart by who owns it.
    fn owners_are_apart(&self, a: &Access, b: &Access, fuel: u32) -> bool {
        let owner_of = |origin: Ref| self.owned.get(&origin);
        let below = |mut origin: Ref, above: Ref| {
            for _ in 0..OWNERS {
                match owner_of(origin) {
                    Some(owner) if owner.place.origin == above => return true,
                    Some(owner) => origin = owner.place.origin,
                    None => return false,
                }
            }
            false
        };
        if below(a.place.origin, b.place.origin) || below(b.place.origin, a.place.origin) {
            return true;
        }
        match (owner_of(a.place.origin), owner_of(b.place.origin)) {
            (Some(a), Some(b)) => fuel > 0 && !self.overlap(a, b, fuel - 1),
            _ => false,
        }
    }

    /// What calls with these arguments cannot reach in the regions that they do reach.
    pub(super) fn beyond_reach(&self, args: &[Ref]) -> BeyondReach {
        let pointers: Vec<Pointer> = args.iter().map(|arg| self.pointer(*arg)).collect();
        // what is stored in reached memory may lead anywhere into a region
        let stored = self.reach.iter().fold(Regions::NONE, |all, regions| all | *regions);
        BeyondReach {
            pointers,
            known_elsewhere: (stored | self.escaped).without(Regions::UNKNOWN),
        }
    }
}

/// The arguments of a call: the address of a field does not reach what lies before it in a root's memory, and a pointer
/// into what the root owns does not reach the root's memory itself.
pub(super) struct BeyondReach {
    pointers: Vec<Pointer>,
    /// Regions into which pointers were stored somewhere, or may have been.
    known_elsewhere: Regions,
}

impl BeyondReach {
    pub(super) fn contains(&self, access: &Access) -> bool {
        let end = access.place.offset.saturating_add(access.word.size().into());
        let misses = |pointer: &Pointer| {
            let before = pointer.place.origin == access.place.origin
                && pointer.place.index.is_none()
                && access.place.index.is_none()
                && end <= pointer.place.offset;
            !pointer.regions.meets(access.regions) || pointer.depth == Depth::Below || before
        };
        access.depth == Depth::Root
            && access.regions.is_single()
            && access.regions != Regions::UNKNOWN
            && !self.known_elsewhere.meets(access.regions)
            && self.pointers.iter().all(misses)
    }
}

fn unknown(value: Ref) -> Pointer {
    let place = Place {
        origin: value,
        index: None,
        offset: 0,
    };
    Pointer {
        regions: Regions::UNKNOWN,
        depth: Depth::Any,
        is_frozen: false,
        place,
    }
}

/// The place of item `index` behind the pointer `base`, which is at `place`; `shape`: size of items, offset in them.
fn item(place: Place, base: Ref, index: Ref, shape: (u32, u32), context: &Context) -> Place {
    let (size, offset) = shape;
    let at = |items: i64| items.wrapping_mul(size.into()).wrapping_add(offset.into());
    if let Some(items) = context.bits(index) {
        return Place {
            offset: place.offset.wrapping_add(at(items as i64)),
            ..place
        };
    }
    let (index, items) = match context.definition(index) {
        Some(op) if op.opcode == Opcode::IntAdd && context.bits(op.args[1]).is_some() => {
            (op.args[0], context.bits(op.args[1]).expect("just seen") as i64)
        }
        _ => (index, 0),
    };
    // an address that has an index already becomes an origin of its own
    let from = if place.index.is_some() {
        Place {
            origin: base,
            index: None,
            offset: 0,
        }
    } else {
        place
    };
    Place {
        origin: from.origin,
        index: Some((index, size)),
        offset: from.offset.wrapping_add(at(items)),
    }
}

/// Whether two accesses with one origin may touch a common byte.
fn same_origin_overlap(a: &Access, b: &Access) -> bool {
    let (a_size, b_size) = (i64::from(a.word.size()), i64::from(b.word.size()));
    if a.place.index == b.place.index {
        let distance = b.place.offset.wrapping_sub(a.place.offset);
        return -b_size < distance && distance < a_size;
    }
    // at unknown distance, but each within an item of the same size
    let sizes = [a.place.index, b.place.index].map(|index| index.map(|(_, size)| size));
    let size = match sizes {
        [Some(a), Some(b)] if a != b => return true,
        [Some(size), _] | [_, Some(size)] => i64::from(size),
        [None, None] => unreachable!("the same index"),
    };
    let (a_at, b_at) = (
        a.place.offset.rem_euclid(size.max(1)),
        b.place.offset.rem_euclid(size.max(1)),
    );
    let within = a_at + a_size <= size && b_at + b_size <= size;
    !within || (a_at < b_at + b_size && b_at < a_at + a_size)
}
