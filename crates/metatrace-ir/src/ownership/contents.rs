//! What memory is known to hold.
//!
//! At most [`CAPACITY`] accesses are remembered, so that each operation takes constant time; what is more than that makes the
//! older half go. What is held is a value of the trace: the one that was loaded, whole, or the one that was stored, of which
//! a narrow place holds the low bytes.
//!
//! Accesses with one [base](Access::has_base_of) are kept together, in the order of their offsets: a store is compared with
//! each base once, and where the bases are the same, with what lies close by.

use super::pointers::entry;
use super::{Access, Ownership, Place, Scope, Values};
use crate::descr::{Memory, Word};
use crate::op::Class;
use crate::trace::{Derived, Op, Root};
use crate::value::Ref;
use rustc_hash::FxHashMap;
use std::ops::Range;

/// Accesses that are remembered at a time.
const CAPACITY: usize = 512;

/// Groups for which memory is kept when all is forgotten.
const SPARE: usize = 32;

/// What memory holds at a place.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    access: Access,
    /// The value.
    pub value: Ref,
    /// Whether the value came from a store, so that a narrow place holds only its low bytes.
    pub stored: bool,
    /// The number of contents noted before.
    age: u32,
}

impl Content {
    /// The word that was loaded or stored.
    pub fn word(&self) -> Word {
        self.access.word
    }

    fn offset(&self) -> i64 {
        self.access.place.offset
    }
}

/// What is held behind one base, by offset; never empty.
#[derive(Debug)]
struct Group {
    base: Access,
    contents: Vec<Content>,
}

impl Group {
    /// The places of the contents in this scope.
    fn within(&self, scope: &Scope) -> Range<usize> {
        match scope {
            Scope::Nothing => 0..0,
            Scope::Near(offsets) => self.from(*offsets.start())..self.behind(*offsets.end()),
            Scope::Everything => 0..self.contents.len(),
        }
    }

    /// Room for others.
    fn into_memory(mut self) -> Vec<Content> {
        self.contents.clear();
        self.contents
    }

    /// Where the contents at this offset begin.
    fn from(&self, offset: i64) -> usize {
        self.contents.partition_point(|content| content.offset() < offset)
    }

    /// Where the contents at this offset end.
    fn behind(&self, offset: i64) -> usize {
        self.contents.partition_point(|content| content.offset() <= offset)
    }
}

/// What memory is known to hold, at the operation observed last.
#[derive(Default, Debug)]
pub struct Contents {
    ownership: Ownership,
    groups: Vec<Group>,
    /// Memory for groups to come.
    spare: Vec<Vec<Content>>,
    /// Memory for what is forgotten at a time.
    gone: Vec<Content>,
    /// Contents in all groups.
    count: usize,
    /// Contents noted so far.
    age: u32,
    /// What never changes.
    frozen: FxHashMap<(Place, Word), Ref>,
    /// By value: the constant that it was proved to be.
    learned: Vec<Option<Ref>>,
}

impl Contents {
    /// Knows these facts about a trace's inputs, and nothing of what memory holds.
    pub fn new(roots: &[Root], derived: &[Derived]) -> Contents {
        Contents {
            ownership: Ownership::new(roots, derived),
            ..Contents::default()
        }
    }

    /// Begins a part of the trace, as [`Ownership::start`] does, and forgets what memory holds.
    pub fn start(&mut self, before: &[Ref], behind: &[Ref], roots: &[Root]) {
        self.forget_all();
        self.ownership.start(before, behind, roots);
    }

    /// Goes to the start of another trace, as if made [anew](Contents::new), in the same memory.
    pub fn restart(&mut self, roots: &[Root], derived: &[Derived]) {
        self.forget_all();
        self.age = 0;
        self.ownership.restart(roots, derived);
    }

    fn forget_all(&mut self) {
        let emptied = self.groups.drain(..).map(Group::into_memory);
        self.spare.extend(emptied);
        self.spare.truncate(SPARE);
        self.count = 0;
        self.frozen.clear();
        self.learned.clear();
    }

    /// What is known to be where a load or store goes.
    pub fn of_op(&self, op: &Op, values: &dyn Values) -> Option<Content> {
        self.at(&self.ownership.access_of(op, values)?)
    }

    /// The rules behind it.
    pub fn ownership(&self) -> &Ownership {
        &self.ownership
    }

    /// What is known to be at exactly this place, if possible as a value of the same kind.
    pub fn at(&self, access: &Access) -> Option<Content> {
        let mut found = self.held_at(access)?;
        let learned = found.value.as_value().and_then(|n| *self.learned.get(n)?);
        found.value = learned.unwrap_or(found.value);
        Some(found)
    }

    fn held_at(&self, access: &Access) -> Option<Content> {
        if access.memory == Memory::Raw {
            return None;
        }
        if access.is_frozen
            && let Some(&value) = self.frozen.get(&(access.place, access.word))
        {
            return Some(Content {
                access: *access,
                value,
                stored: false,
                age: 0,
            });
        }
        let (origin, index, offset) = (access.place.origin, access.place.index, access.place.offset);
        let near = |group: &&Group| group.base.place.origin == origin && group.base.place.index == index;
        let mut any = None;
        for group in self.groups.iter().filter(near) {
            let same_size = |content: &&Content| content.access.word.size() == access.word.size();
            let from_here = group.contents[group.from(offset)..].iter();
            let here = from_here.take_while(|content| content.offset() == offset);
            for content in here.filter(same_size) {
                if content.access.word.kind() == access.word.kind() {
                    return Some(*content);
                }
                any.get_or_insert(*content);
            }
        }
        any
    }

    /// Notes an operation, which defines `value`.
    pub fn observe(&mut self, op: &Op, value: Ref, values: &dyn Values) {
        match op.opcode.class() {
            Class::Guard | Class::Control | Class::Debug => return,
            Class::Pure | Class::Partial | Class::Overflow => return self.ownership.define(op, value, None, values),
            Class::Load | Class::Store | Class::Alloc | Class::Call => {}
        }
        let access = self.ownership.access_of(op, values);
        self.observe_memory(op, value, access.as_ref(), values);
    }

    /// As [`observe`](Self::observe), for a load or store of which is known what it [accesses](Ownership::access_of): nothing
    /// was observed since that was asked.
    ///
    /// # Panics
    /// In debug builds, if that is another access.
    #[inline]
    pub fn observe_access(&mut self, op: &Op, value: Ref, access: &Access, values: &dyn Values) {
        debug_assert_eq!(Some(*access), self.ownership.access_of(op, values), "{op:?}");
        self.observe_memory(op, value, Some(access), values);
    }

    fn observe_memory(&mut self, op: &Op, value: Ref, access: Option<&Access>, values: &dyn Values) {
        let change = self.ownership.change(op, access, values);
        if let Some(change) = &change {
            self.forget(
                |ownership, group| group.within(&ownership.scope(change, &group.base)),
                |ownership, content| ownership.may_change(change, &content.access),
            );
        }
        self.ownership.observe(op, value, access, change, values);
        let Some(&access) = access.filter(|access| access.memory != Memory::Raw) else {
            return;
        };
        let stored = op.opcode.class() == Class::Store;
        let value = if stored {
            *op.args.last().expect("a store has a value")
        } else {
            value
        };
        if access.is_frozen && !stored {
            self.frozen.insert((access.place, access.word), value);
        } else {
            self.remember(access, value, stored);
        }
    }

    /// A guard has proved that `value` is `constant`.
    pub fn learned(&mut self, value: Ref, constant: Ref) {
        self.ownership.learned(value, constant);
        if let Some(n) = value.as_value() {
            *entry(&mut self.learned, n) = Some(constant);
        }
    }

    fn remember(&mut self, access: Access, value: Ref, stored: bool) {
        if self.count == CAPACITY {
            self.forget_older();
        }
        let age = self.age;
        self.age += 1;
        self.count += 1;
        let content = Content {
            access,
            value,
            stored,
            age,
        };
        match self.groups.iter_mut().find(|group| group.base.has_base_of(&access)) {
            Some(group) => {
                let place = group.behind(content.offset());
                group.contents.insert(place, content);
            }
            None => {
                let mut contents = self.spare.pop().unwrap_or_default();
                contents.push(content);
                self.groups.push(Group { base: access, contents });
            }
        }
    }

    /// Forgets the older half.
    #[cold]
    fn forget_older(&mut self) {
        let mut ages: Vec<u32> = self.all().map(|content| content.age).collect();
        let (_, median, _) = ages.select_nth_unstable(CAPACITY / 2);
        let median = *median;
        self.forget(|_, group| 0..group.contents.len(), |_, content| content.age < median);
    }

    fn all(&self) -> impl Iterator<Item = &Content> {
        self.groups.iter().flat_map(|group| &group.contents)
    }

    /// Forgets of each group, within a range of its contents, those that are killed.
    fn forget(
        &mut self,
        within: impl Fn(&Ownership, &Group) -> Range<usize>,
        is_killed: impl Fn(&Ownership, &Content) -> bool,
    ) {
        // judged before anything is forgotten: what owns what must be as it was
        let (ownership, mut gone) = (&self.ownership, std::mem::take(&mut self.gone));
        for group in &mut self.groups {
            let within = within(ownership, group);
            if within.is_empty() {
                continue;
            }
            gone.extend(
                group
                    .contents
                    .extract_if(within, |content| is_killed(ownership, content)),
            );
        }
        if !gone.is_empty() {
            self.count -= gone.len();
            let spare = &mut self.spare;
            self.groups.retain_mut(|group| {
                let is_empty = group.contents.is_empty();
                if is_empty {
                    spare.push(std::mem::take(&mut group.contents));
                }
                !is_empty
            });
            for content in gone.drain(..) {
                self.ownership.disown(content.value, &content.access);
            }
        }
        self.gone = gone;
    }
}
