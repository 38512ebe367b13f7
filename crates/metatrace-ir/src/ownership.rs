//! Who owns which memory: what accesses cannot overlap, what calls cannot reach, what a bridge may still rely on.
//!
//! The tracer asks while it records, the optimiser while it rewrites, and resume data is told what to hand on to a bridge.
//! They feed the same operations to the same [`Ownership`], so none of them can be wiser, or more credulous, than another.
//!
//! **Provenance.** A pointer that the trace computes leads into *regions*: one for each exclusive root, one for each
//! allocation of the trace, and the unknown, which is all other memory. Facts hang at roots, never at the types of
//! references: in `let r = &self.a; r.x; self.a.x = 7; (&self.a).x` two names of one place are legal Rust. What is loaded
//! from an owning place (a `Box`, a `Vec`'s buffer, a `&mut`) leads *below* the root; the address of a field or item leads
//! where its base does; so do sums of pointers and numbers. (A sum of numbers leads to the unknown; that two such are of one
//! number is found out when memory behind them is accessed.) Where a pointer was proved to be a constant, any constant that
//! may be an address may have been computed from it, and so leads where it does or to the unknown. A word that owns at times
//! only ([`Pointee::Mixed`]: variants of an enum share it) leads below the root or to the unknown. Everything else leads to
//! the unknown.
//!
//! **Places.** An access is at `origin + index * item_size + offset`, where the origin is the pointer that other addresses
//! were computed from. Two places with one origin and index differ by their offsets; with one origin and size of items,
//! by where in an item they lie; with different origins, by who owns them: the memory of a root itself is not below it;
//! what a place owns is apart from the memory the place lies in; and what two different places own is apart, as long as
//! no pointer that one of them gave has been moved elsewhere. `rows[i]` and `rows[j]` of a `Vec<Vec<T>>` may be one place, so
//! their buffers may be one buffer.
//!
//! **Moves.** An owning pointer that is stored keeps leading where it led, and has a new owner: what is loaded from the region
//! that it was stored to may be it. `frames.push(frame)` makes a buffer that the trace knows from elsewhere the buffer of
//! `frames[i]`, for any `i`. The bits that stay in the old place mean nothing.
//!
//! | memory | why others cannot reach it | what may change it |
//! |---|---|---|
//! | an exclusive root's, on frozen paths | it is behind a `&mut` parameter: for the activation there is no other way there than pointers derived from the parameter | a store that may overlap it; a call that gets such a pointer, or memory in which one was stored; a store of such a pointer elsewhere |
//! | below it: `Box`, `Vec` | owned by the place that the pointer was loaded from; unsafe code keeps no pointer into it undeclared | the same; and it may be *replaced* where its owner may have been stored to |
//! | behind an `Rc`, a `&`, a raw pointer in it | nobody keeps others away: unknown | every store to, and call that may reach, the unknown |
//! | an allocation's, not escaped | nobody has been told its address | a store that may overlap it |
//! | behind a shared root or green constant, on frozen paths | Rust keeps it unchanged behind a `&` for the activation, or for the driver's life | nothing |
//! | behind a `Cell`, `RefCell`, atomic | they are changed through `&` | unknown, with the root's own region: through the root it can be reached too |
//! | raw memory | | never remembered |
//!
//! A pointer that is stored or passed on may live on, but not beyond the next access through its root: Rust's rules for
//! references see to that. So the root's memory is forgotten at the moment when the pointer leaves; what is found out
//! later through the root holds. A *word* that the trace keeps, the data pointer of a `Vec` say, is no reference: it lives
//! on beside its root, and that is why provenance follows words.
//!
//! **Bridges** ([`Ownership::inherited`]) begin with values only. A root among them stays exclusive if each value that may
//! lead into its memory is handed on together with that fact ([`Derived`]), and if no such pointer has been stored where
//! the bridge could find it. At a `label` other traces arrive, so there a root beside an argument that may lead into its
//! memory is no root any more.
//!
//! [`Contents`] remembers what memory holds, by these rules. Absent: facts by type (two objects of one type with different
//! fields), what a call reads, places of bridges' inputs other than by depth, and what memory is known to hold at a guard.

mod contents;
mod pointers;
#[cfg(test)]
mod tests;

pub use contents::{Content, Contents};
pub use pointers::Place;

use crate::descr::{Descr, Effect, Memory, Pointee, Word};
use crate::op::{Class, Opcode};
use crate::trace::{Derived, Op, Reach, Root, RootKind, Trace};
use crate::value::{Kind, Ref};
use pointers::{Depth, Pointer, Pointers, Regions};
use rustc_hash::FxHashMap;
use std::ops::RangeInclusive;

/// An access to memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    regions: Regions,
    depth: Depth,
    /// Where.
    pub place: Place,
    /// What is read or written there.
    pub word: Word,
    /// Whether the memory never changes.
    pub is_frozen: bool,
    /// Which kind of memory it is; nothing may be remembered of raw memory.
    pub memory: Memory,
}

impl Access {
    /// Whether the two are computed from one address and index, and differ in their offsets at most.
    fn has_base_of(&self, other: &Access) -> bool {
        (self.place.origin, self.place.index) == (other.place.origin, other.place.index)
            && (self.regions, self.depth) == (other.regions, other.depth)
    }
}

/// Which of the accesses with one base a change may concern.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Scope {
    Nothing,
    /// Those at these offsets.
    Near(RangeInclusive<i64>),
    Everything,
}

/// What is known of the pointers of a trace, at the operation observed last. See the module's documentation.
#[derive(Default, Debug)]
pub struct Ownership {
    pointers: Pointers,
    /// Owning pointers that were loaded, and where from, while that place is known to hold them.
    owned: FxHashMap<Ref, Access>,
    /// Regions given out, the unknown among them.
    regions: u32,
    allocations: Regions,
    /// Allocations whose address may be known elsewhere: they belong to the unknown as well.
    escaped: Regions,
    /// By region: those into which pointers were stored there.
    reach: Vec<Regions>,
    /// By region: those into which owning pointers stored there lead.
    moved_in: Vec<Regions>,
    /// The first operation of this part, where a trace is [followed](Ownership::follow).
    part: usize,
    /// The exclusive roots of this part.
    roots: Vec<(Ref, Regions)>,
    /// Regions into which constants lead that are addresses: those of pointers that were proved to be constants, for other
    /// constants may have been computed from them. All, where that was in an earlier part.
    constants: Regions,
}

/// What the rules ask of the values of a trace.
pub trait Values {
    /// The bits of a constant.
    fn bits(&self, value: Ref) -> Option<u64>;

    /// The operation that defines a value, if that is part of what can be relied on: behind a label, not what was computed
    /// before it.
    fn definition(&self, value: Ref) -> Option<&Op>;

    /// Whether the word may be an address.
    fn may_be_address(&self, value: Ref) -> bool;
}

/// The values of a trace from some operation on: behind the last label, or all.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The trace.
    pub trace: &'a Trace,
    /// The first operation of the part.
    pub start: usize,
}

impl Values for Part<'_> {
    fn bits(&self, value: Ref) -> Option<u64> {
        self.trace.as_const(value).map(|constant| constant.bits)
    }

    fn definition(&self, value: Ref) -> Option<&Op> {
        let n = self.trace.defining_op(value)?;
        (n >= self.start).then(|| &self.trace.ops[n])
    }

    fn may_be_address(&self, value: Ref) -> bool {
        let descr = self.definition(value).and_then(|op| op.descr.as_deref());
        let word = descr.and_then(Descr::word).unwrap_or(Word::U64);
        match (self.trace.kind(value), self.bits(value)) {
            (Kind::Float, _) => false,
            (Kind::Ref, bits) => bits != Some(0),
            (Kind::Int, Some(bits)) => !(-4096..=4096).contains(&(bits as i64)),
            (Kind::Int, None) => {
                word.size() == 8 && !self.definition(value).is_some_and(|op| op.opcode.is_comparison())
            }
        }
    }
}

/// What an operation may change in memory, as [`Ownership::may_change`] tells it.
#[derive(Debug)]
struct Change(Kinds);

#[derive(Debug)]
enum Kinds {
    Store {
        access: Access,
        /// Regions into which a pointer is stored elsewhere.
        leaves: Regions,
    },
    Call {
        reached: Regions,
        beyond: BeyondReach,
    },
}

/// What an operation may see of memory, as [`Ownership::sight`] tells it.
#[derive(Debug)]
pub struct Sight(Sights);

#[derive(Debug)]
enum Sights {
    Load(Access),
    Change(Change),
}

/// How many owners are followed.
const OWNERS: u32 = 4;

impl Ownership {
    /// At the start of a trace with these facts about its inputs.
    pub fn new(roots: &[Root], derived: &[Derived]) -> Ownership {
        let mut ownership = Ownership::default();
        ownership.restart(roots, derived);
        ownership
    }

    /// Goes to the start of another trace, with these facts about its inputs.
    pub fn restart(&mut self, roots: &[Root], derived: &[Derived]) {
        self.pointers.clear();
        self.constants = Regions::NONE;
        self.start(&[], &[], roots);
        for fact in derived {
            self.derive(fact);
        }
    }

    /// Begins a part of the trace behind a label, whose arguments are `before` in the part that ends and `behind` in the
    /// one that begins, with these facts about them.
    pub fn start(&mut self, before: &[Ref], behind: &[Ref], roots: &[Root]) {
        let derived = before
            .iter()
            .map(|value| self.noted(*value).regions)
            .collect::<Vec<_>>();
        let is_root = |value: &Ref| roots.iter().any(|root| root.value == *value);
        // beside a pointer into its memory, a root is not the only way there
        let others = behind.iter().zip(&derived).filter(|(value, _)| !is_root(value));
        let shadowed = others
            .fold(Regions::NONE, |all, (_, regions)| all | *regions)
            .without(Regions::UNKNOWN);
        let exclusive_regions: FxHashMap<Ref, Regions> = behind.iter().copied().zip(derived).collect();

        self.pointers.clear();
        self.owned.clear();
        self.regions = 1;
        (self.allocations, self.escaped) = (Regions::NONE, Regions::NONE);
        if self.constants.without(Regions::UNKNOWN) != Regions::NONE {
            self.constants = Regions::ALL;
        }
        self.reach.clear();
        self.reach.push(Regions::NONE);
        self.moved_in.clear();
        self.moved_in.push(Regions::NONE);
        self.part = 0;
        self.roots.clear();
        for root in roots {
            let own = exclusive_regions.get(&root.value).copied().unwrap_or(Regions::NONE);
            let pointer = match root.kind {
                RootKind::Exclusive if own.without(Regions::UNKNOWN).meets(shadowed) => continue,
                // at an earlier label it was beside a pointer into its memory
                RootKind::Exclusive if !before.is_empty() && own == Regions::UNKNOWN => continue,
                RootKind::Exclusive => {
                    let regions = self.new_region();
                    self.roots.push((root.value, regions));
                    Pointer {
                        regions,
                        depth: Depth::Root,
                        ..unknown(root.value)
                    }
                }
                RootKind::Shared | RootKind::Green => Pointer {
                    is_frozen: true,
                    ..unknown(root.value)
                },
            };
            self.pointers.insert(root.value, pointer);
        }
    }

    fn derive(&mut self, fact: &Derived) {
        let root = self.noted(fact.root).regions;
        let known = self.noted(fact.value);
        let (regions, depth) = match fact.reach {
            Reach::Inside => (root, Depth::Root),
            Reach::Below => (root, Depth::Below),
            Reach::Perhaps => (known.regions | root | Regions::UNKNOWN, Depth::Any),
        };
        self.pointers.insert(
            fact.value,
            Pointer {
                regions,
                depth,
                ..known
            },
        );
    }

    fn new_region(&mut self) -> Regions {
        let region = Regions::nth(self.regions);
        self.regions += 1;
        if self.reach.len() < 64 {
            // whatever owned memory holds, it may hold references to the unknown
            self.reach.push(Regions::UNKNOWN);
            self.moved_in.push(Regions::NONE);
        }
        region
    }

    /// What is noted of a value, which is no constant.
    fn noted(&self, value: Ref) -> Pointer {
        self.pointers.get(value).copied().unwrap_or_else(|| unknown(value))
    }

    /// Where a value leads.
    #[inline(always)] // a few instructions, asked for at every turn
    fn pointer(&self, value: Ref, values: &dyn Values) -> Pointer {
        if let Some(known) = self.pointers.get(value) {
            return Pointer {
                is_frozen: known.is_frozen || value.is_green(),
                ..*known
            };
        }
        let regions = match self.may_be_promoted(value, values) {
            true => Regions::UNKNOWN | self.constants,
            false => Regions::UNKNOWN,
        };
        Pointer {
            regions,
            is_frozen: value.is_green(),
            ..unknown(value)
        }
    }

    /// Whether it is a constant that may have been computed from a pointer which was proved to be one. What a green constant
    /// points to is no exclusive memory.
    fn may_be_promoted(&self, value: Ref, values: &dyn Values) -> bool {
        value.is_const()
            && self.constants.without(Regions::UNKNOWN) != Regions::NONE
            && !value.is_green()
            && values.may_be_address(value)
    }

    /// Whether nothing is known of where a value leads but that it is the unknown.
    fn is_number(&self, value: Ref, values: &dyn Values) -> bool {
        self.pointers.get(value).is_none() && !value.is_green() && !self.may_be_promoted(value, values)
    }

    /// As [`pointer`](Self::pointer), with where an unknown one comes from: what it is the sum of, if it is one. A sum is noted
    /// when it is computed only if an operand is more than a [number](Self::is_number).
    fn located(&self, value: Ref, values: &dyn Values) -> Pointer {
        if self.pointers.get(value).is_some() {
            return self.pointer(value, values);
        }
        let (base, distance) = sum(value, values);
        let base = self.pointer(base, values);
        let offset = base.place.offset.wrapping_add(distance);
        Pointer {
            place: Place { offset, ..base.place },
            ..base
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

    /// What a load or store accesses; `None` for other operations.
    pub fn access_of(&self, op: &Op, values: &dyn Values) -> Option<Access> {
        let descr = op.descr.as_deref()?;
        match op.opcode.class() {
            Class::Load | Class::Store => {
                let index = matches!(descr, Descr::Array(_)).then(|| op.args[1]);
                Some(self.access(op.args[0], index, descr, values))
            }
            _ => None,
        }
    }

    /// What is accessed behind a pointer.
    ///
    /// # Panics
    /// If the descriptor is not a field's or, with an index, an array's.
    pub fn access(&self, base: Ref, index: Option<Ref>, descr: &Descr, values: &dyn Values) -> Access {
        let pointer = self.located(base, values);
        let place = place(&pointer, base, index, descr, values);
        let (word, frozen, memory) = match descr {
            Descr::Field(field) => (field.word, field.frozen, field.memory),
            Descr::Array(array) => (array.word, array.frozen, array.memory),
            other => panic!("not a memory location: {other:?}"),
        };
        let exclusive = frozen && memory != Memory::Raw;
        Access {
            regions: pointer.regions_along(exclusive),
            depth: pointer.depth,
            place,
            word,
            is_frozen: pointer.is_frozen && exclusive,
            memory,
        }
    }

    /// Notes what the operation's result leads to; `access` is what a load accesses.
    #[inline(always)] // nearly all operations are on numbers, and are done with at once
    pub(super) fn define(&mut self, op: &Op, value: Ref, access: Option<&Access>, values: &dyn Values) {
        use Opcode::*;
        if op.opcode.result().is_none_or(|kind| kind == Kind::Float) || op.opcode.is_comparison() {
            return;
        }
        let is_number = |arg: &Ref| self.is_number(*arg, values);
        let is_arithmetic = matches!(op.opcode.class(), Class::Pure | Class::Partial | Class::Overflow)
            && !matches!(
                op.opcode,
                PtrField | PtrItem | CastPtrToInt | CastIntToPtr | SameAsI | SameAsR
            );
        if is_arithmetic && op.args.iter().all(is_number) {
            return;
        }
        let base = || self.located(op.args[0], values);
        let pointer = match (op.opcode, op.descr.as_deref()) {
            (PtrField | PtrItem, Some(descr)) => {
                let base = base();
                let index = op.args.get(1).copied();
                let place = place(&base, op.args[0], index, descr, values);
                // behind the field may lie what the path to it does not tell
                let frozen = match descr {
                    Descr::Field(field) => field.frozen,
                    descr => descr.array().frozen,
                };
                self.address(base, place, frozen)
            }
            (CastPtrToInt | CastIntToPtr | SameAsI | SameAsR, _) => base(),
            (IntAdd, _) if values.bits(op.args[1]).is_some() && is_number(&op.args[1]) => {
                let distance = values.bits(op.args[1]).expect("just seen") as i64;
                let base = base();
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
                Class::Load => self.loaded(op, value, access),
                Class::Call => self.returned(op, value, values),
                _ => self.computed(op, value, values),
            },
        };
        let is_known =
            pointer.regions != Regions::UNKNOWN || pointer.is_frozen || pointer.place != unknown(value).place;
        if is_known {
            self.pointers.insert(value, pointer);
        }
    }

    /// The address of a place in the memory that `base` leads to.
    fn address(&self, base: Pointer, place: Place, on_frozen_path: bool) -> Pointer {
        Pointer {
            regions: base.regions_along(on_frozen_path),
            depth: base.depth,
            is_frozen: base.is_frozen && on_frozen_path,
            place,
        }
    }

    /// What a pointer that was loaded leads to.
    fn loaded(&mut self, op: &Op, value: Ref, access: Option<&Access>) -> Pointer {
        let access = access.expect("a load accesses memory");
        let is_rust = access.memory == Memory::Rust;
        match pointee(op) {
            Pointee::Owned | Pointee::Exclusive if is_rust => {
                if access.regions.is_single() && access.regions != Regions::UNKNOWN {
                    self.owned.insert(value, *access);
                }
                let regions = self.owned_from(access.regions);
                let depth = if regions == access.regions {
                    Depth::Below
                } else {
                    Depth::Any
                };
                Pointer {
                    regions,
                    depth,
                    is_frozen: access.is_frozen,
                    ..unknown(value)
                }
            }
            Pointee::Mixed if is_rust => Pointer {
                regions: self.owned_from(access.regions) | Regions::UNKNOWN,
                depth: Depth::Any,
                ..unknown(value)
            },
            Pointee::Shared => Pointer {
                is_frozen: access.is_frozen,
                ..unknown(value)
            },
            Pointee::Owned | Pointee::Exclusive | Pointee::Mixed | Pointee::Unknown | Pointee::Counted => {
                unknown(value)
            }
        }
    }

    /// Where the owning pointers in these regions may lead: into the regions themselves, and to what was moved in.
    fn owned_from(&self, mut regions: Regions) -> Regions {
        let mut done = Regions::NONE;
        while let Some(n) = regions.without(done).numbers().next() {
            done = done | Regions::nth(n as u32);
            regions = regions | self.moved_in.get(n).copied().unwrap_or(Regions::NONE);
        }
        regions
    }

    /// An owning pointer is stored: what it leads to has a new owner, and the place it came from is not that any more.
    fn moved(&mut self, stored: Ref, into: &Access, values: &dyn Values) {
        if let Some(from) = self.owned.remove(&stored) {
            let names: Vec<Ref> = self.owned.keys().copied().collect();
            for name in names {
                if self.may_overlap(&self.owned[&name], &from) {
                    self.owned.remove(&name);
                }
            }
        }
        let leads_to = self.pointer(stored, values).regions.without(into.regions);
        for n in into.regions.numbers() {
            if let Some(moved) = self.moved_in.get_mut(n) {
                *moved = *moved | leads_to;
            }
        }
    }

    /// What the result of a call leads to. Objects that arguments lead to, perhaps; a call that is not elidable has ended
    /// what was known of them, and so ends what an address among its ints might break.
    fn returned(&self, op: &Op, value: Ref, values: &dyn Values) -> Pointer {
        let elidable = matches!(op.descr.as_deref(), Some(Descr::Call(call)) if call.effect == Effect::Elidable);
        if elidable || op.opcode.result() == Some(Kind::Ref) {
            Pointer {
                regions: self.union(&op.args[1..], values) | Regions::UNKNOWN,
                ..unknown(value)
            }
        } else {
            unknown(value)
        }
    }

    /// What the result of arithmetic leads to, if it is a pointer: where its operands lead.
    fn computed(&self, op: &Op, value: Ref, values: &dyn Values) -> Pointer {
        let mut known = op
            .args
            .iter()
            .map(|arg| self.pointer(*arg, values))
            .filter(|pointer| pointer.regions != Regions::UNKNOWN || pointer.is_frozen);
        match (known.next(), known.next()) {
            (None, _) => unknown(value),
            (Some(base), None) if op.opcode == Opcode::IntAdd => Pointer {
                place: unknown(value).place,
                ..base
            },
            _ => Pointer {
                regions: self.union(&op.args, values) | Regions::UNKNOWN,
                ..unknown(value)
            },
        }
    }

    fn union(&self, args: &[Ref], values: &dyn Values) -> Regions {
        let regions = args.iter().map(|arg| self.pointer(*arg, values).regions);
        regions.fold(Regions::NONE, |all, regions| all | regions)
    }

    /// A guard has proved the pointer to be this constant, which from now on stands for it.
    pub fn learned(&mut self, value: Ref, constant: Ref) {
        let pointer = self.noted(value);
        self.constants = self.constants | pointer.regions;
        if let Some(known) = self.pointers.of_constants.get_mut(&constant) {
            known.regions = known.regions | pointer.regions;
        } else if self.pointers.get(value).is_some() {
            self.pointers.insert(constant, pointer);
        }
    }

    /// What the operation may change in memory; to be asked before it is observed. `None`: nothing. `access` is what a store
    /// [accesses](Self::access_of).
    fn change(&self, op: &Op, access: Option<&Access>, values: &dyn Values) -> Option<Change> {
        match (op.opcode.class(), op.descr.as_deref()) {
            (Class::Store, _) => {
                let access = *access.expect("a store accesses memory");
                let leaves = self.leaving(*op.args.last().expect("a store has a value"), &access, values);
                // allocations that escape are part of the unknown from then on
                let leaves = leaves.without(self.allocations);
                Some(Change(Kinds::Store { access, leaves }))
            }
            (Class::Call, Some(Descr::Call(call))) if call.effect != Effect::Elidable => {
                Some(self.reached_by(op, call.effect, values))
            }
            _ => None,
        }
    }

    /// The memory that a call reaches.
    fn reached_by(&self, op: &Op, effect: Effect, values: &dyn Values) -> Change {
        let args = &op.args[1..];
        let mut reached = Regions::NONE;
        for &arg in args.iter().filter(|arg| values.may_be_address(**arg)) {
            reached = reached | self.pointer(arg, values).regions | Regions::UNKNOWN;
        }
        if effect == Effect::Any {
            reached = reached | Regions::UNKNOWN;
        }
        Change(Kinds::Call {
            reached: self.closure(reached),
            beyond: self.beyond_reach(args, values),
        })
    }

    /// Whether the memory of an access may be another behind the change.
    fn may_change(&self, Change(change): &Change, access: &Access) -> bool {
        match change {
            Kinds::Store { access: store, leaves } => {
                self.may_overlap(access, store) || self.reaches(*leaves, access.regions)
            }
            Kinds::Call { reached, beyond } => self.reaches(*reached, access.regions) && !beyond.contains(access),
        }
    }

    /// Where among accesses with the base of `base` those are that the change may concern.
    fn scope(&self, Change(change): &Change, base: &Access) -> Scope {
        let concerns = match change {
            Kinds::Call { reached, .. } => self.reaches(*reached, base.regions),
            Kinds::Store { leaves, .. } if self.reaches(*leaves, base.regions) => true,
            Kinds::Store { access, .. } if access.place.origin == base.place.origin => {
                let (at, size) = (access.place.offset, i64::from(Word::U64.size()));
                match (at.checked_sub(size), at.checked_add(size)) {
                    (Some(from), Some(to)) if access.place.index == base.place.index => return Scope::Near(from..=to),
                    _ => true,
                }
            }
            Kinds::Store { access, .. } => self.may_overlap(base, access),
        };
        if concerns { Scope::Everything } else { Scope::Nothing }
    }

    /// What the operation may see of memory, or must not overtake; to be asked before it is observed. `None`: nothing. An
    /// elidable call changes nothing, but it may read what its arguments lead to: a local that it gets by reference, or
    /// what one of its arguments is the version of.
    #[inline]
    pub fn sight(&self, op: &Op, values: &dyn Values) -> Option<Sight> {
        let sight = match (op.opcode.class(), op.descr.as_deref()) {
            (Class::Load, _) => Sights::Load(self.access_of(op, values)?),
            (Class::Call, Some(Descr::Call(call))) => Sights::Change(self.reached_by(op, call.effect, values)),
            _ => Sights::Change(self.change(op, self.access_of(op, values).as_ref(), values)?),
        };
        Some(Sight(sight))
    }

    /// Whether it matters to who has this sight what is at an access's place.
    pub fn may_see(&self, Sight(sight): &Sight, access: &Access) -> bool {
        match sight {
            Sights::Load(load) => self.may_overlap(load, access),
            Sights::Change(change) => self.may_change(change, access),
        }
    }

    /// Whether the store `op`, of this access, may be executed later, as long as nobody [sees](Ownership::may_see) the place: it
    /// goes to memory that only this trace can reach, and what is stored makes no other way there.
    #[inline]
    pub fn is_delayable(&self, op: &Op, access: &Access, values: &dyn Values) -> bool {
        let is_exclusive = access.regions.is_single()
            && !access.regions.meets(Regions::UNKNOWN | self.escaped)
            && access.memory == Memory::Rust;
        let stored = *op.args.last().expect("a store has a value");
        is_exclusive && self.leaving(stored, access, values) == Regions::NONE
    }

    /// Notes an operation, which defines `value`; `access` is what a load or store accesses, `change` what it may change.
    fn observe(&mut self, op: &Op, value: Ref, access: Option<&Access>, change: Option<Change>, values: &dyn Values) {
        self.define(op, value, access, values);
        match change {
            None => {}
            Some(Change(Kinds::Store { access, .. })) => {
                let stored = *op.args.last().expect("a store has a value");
                let leaves = self.leaving(stored, &access, values);
                self.escape(self.pointer(stored, values).regions);
                if pointee(op).may_own() && values.may_be_address(stored) {
                    self.moved(stored, &access, values);
                }
                for n in access.regions.numbers() {
                    if let Some(reach) = self.reach.get_mut(n) {
                        *reach = *reach | leaves;
                    }
                }
            }
            Some(Change(Kinds::Call { reached, .. })) => self.escape(reached),
        }
    }

    /// Notes operation `n` of a trace, those before it having been noted, and what follows if it is a label or a guard.
    #[inline]
    pub fn follow(&mut self, trace: &Trace, n: usize) {
        let op = &trace.ops[n];
        let values = Part {
            trace,
            start: self.part,
        };
        if !matches!(op.opcode.class(), Class::Guard | Class::Control | Class::Debug) {
            let access = self.access_of(op, &values);
            let change = self.change(op, access.as_ref(), &values);
            self.observe(op, trace.result(n), access.as_ref(), change, &values);
        }
        match op.opcode {
            Opcode::Label => {
                self.start(&op.args, &op.args, &trace.roots_behind(&op.args));
                self.part = n + 1;
            }
            Opcode::GuardValue => self.learned(op.args[0], op.args[1]),
            _ => {}
        }
    }

    /// The regions to whose memory there is another way once the pointer is stored: those it leads to, unless it stays
    /// within the memory it came from.
    fn leaving(&self, value: Ref, access: &Access, values: &dyn Values) -> Regions {
        let leads_to = self.pointer(value, values).regions.without(Regions::UNKNOWN);
        if leads_to == access.regions {
            Regions::NONE
        } else {
            leads_to
        }
    }

    /// Adds what a bridge may rely on whose inputs are these values: facts about roots among its inputs, and about inputs that
    /// lead into their memory.
    pub fn inherited(&self, values: &[Ref], roots: &mut Vec<Root>, derived: &mut Vec<Derived>) {
        // where the bridge finds pointers besides: in memory, and in constants
        let known = self.escaped | self.constants;
        let elsewhere = self.reach.iter().fold(known, |all, regions| all | *regions);
        let is_frozen = |value: &Ref| {
            let pointer = self.noted(*value);
            pointer.is_frozen && pointer.regions == Regions::UNKNOWN
        };
        let frozen = values.iter().enumerate().filter(|(_, value)| is_frozen(value));
        roots.extend(frozen.map(|(n, _)| Root {
            value: Ref::value(n),
            kind: RootKind::Shared,
        }));
        for &(root, region) in &self.roots {
            let Some(place) = values.iter().position(|value| *value == root) else {
                continue;
            };
            let is_shared = self.roots.iter().any(|(other, of)| *of == region && *other != root);
            if is_shared || elsewhere.meets(region) {
                continue;
            }
            let root = Ref::value(place);
            roots.push(Root {
                value: root,
                kind: RootKind::Exclusive,
            });
            for (n, value) in values.iter().enumerate().filter(|(n, _)| *n != place) {
                let pointer = self.noted(*value);
                let reach = match pointer.depth {
                    _ if !pointer.regions.meets(region) => continue,
                    Depth::Root if pointer.regions == region => Reach::Inside,
                    Depth::Below if pointer.regions == region => Reach::Below,
                    _ => Reach::Perhaps,
                };
                let value = Ref::value(n);
                derived.push(Derived { value, root, reach });
            }
        }
        roots.sort_by_key(|root| root.value);
    }

    /// Pointers into these regions may be known elsewhere.
    fn escape(&mut self, regions: Regions) {
        self.escaped = self.escaped | Regions(regions.0 & self.allocations.0);
    }

    /// The regions that can be reached from these.
    fn closure(&self, regions: Regions) -> Regions {
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
    fn reaches(&self, reached: Regions, regions: Regions) -> bool {
        reached.meets(self.with_escaped(regions))
    }

    /// The place no longer holds the owning pointer, as far as is known.
    pub fn disown(&mut self, value: Ref, access: &Access) {
        if self.owned.get(&value).is_some_and(|owner| owner.place == access.place) {
            self.owned.remove(&value);
        }
    }

    /// Whether the two accesses may touch a common byte.
    pub fn may_overlap(&self, a: &Access, b: &Access) -> bool {
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
    fn beyond_reach(&self, args: &[Ref], values: &dyn Values) -> BeyondReach {
        let pointers: Vec<Pointer> = args.iter().map(|arg| self.pointer(*arg, values)).collect();
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
#[derive(Debug)]
struct BeyondReach {
    pointers: Vec<Pointer>,
    /// Regions into which pointers were stored somewhere, or may have been.
    known_elsewhere: Regions,
}

impl BeyondReach {
    fn contains(&self, access: &Access) -> bool {
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

/// The place of a field, or of item `index`, behind the pointer `base`.
fn place(pointer: &Pointer, base: Ref, index: Option<Ref>, descr: &Descr, values: &dyn Values) -> Place {
    let place = pointer.place;
    let (index, size, offset) = match (descr, index) {
        (Descr::Field(field), _) => {
            let offset = place.offset.wrapping_add(field.offset.into());
            return Place { offset, ..place };
        }
        (Descr::Array(array), Some(index)) => (index, array.item_size, array.offset),
        (other, _) => panic!("not a memory location: {other:?}"),
    };
    let at = |items: i64| items.wrapping_mul(size.into()).wrapping_add(offset.into());
    if let Some(items) = values.bits(index) {
        return Place {
            offset: place.offset.wrapping_add(at(items as i64)),
            ..place
        };
    }
    let (index, items) = sum(index, values);
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

/// The sum that the value is of another one and a number. Rules have merged sums of sums, but for those of different rounds
/// of a loop.
fn sum(mut value: Ref, values: &dyn Values) -> (Ref, i64) {
    let mut number: i64 = 0;
    for _ in 0..4 {
        match values.definition(value) {
            Some(op) if op.opcode == Opcode::IntAdd && values.bits(op.args[1]).is_some() => {
                number = number.wrapping_add(values.bits(op.args[1]).expect("just seen") as i64);
                value = op.args[0];
            }
            _ => break,
        }
    }
    (value, number)
}

/// What the word that a load or store names leads to, as its type has it.
fn pointee(op: &Op) -> Pointee {
    op.descr.as_deref().expect("an access has a descriptor").pointee()
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
