//! What memory is known to hold.
//!
//! Only the last [`CAPACITY`] accesses are remembered, so that each operation takes constant time. What is held is a value
//! of the trace: the one that was loaded, whole, or the one that was stored, of which a narrow place holds the low bytes.

use super::{Access, Ownership, Place, Values};
use crate::descr::{Descr, Memory, Word};
use crate::op::Class;
use crate::trace::{Derived, Op, Root};
use crate::value::Ref;
use rustc_hash::FxHashMap;

/// Accesses that are remembered at a time.
const CAPACITY: usize = 256;

/// What memory holds at a place.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    access: Access,
    /// The value.
    pub value: Ref,
    /// Whether the value came from a store, so that a narrow place holds only its low bytes.
    pub stored: bool,
}

impl Content {
    /// The word that was loaded or stored.
    pub fn word(&self) -> Word {
        self.access.word
    }
}

/// What memory is known to hold, at the operation observed last.
#[derive(Default, Debug)]
pub struct Contents {
    ownership: Ownership,
    contents: Vec<Content>,
    /// Where the next content goes when all places are taken.
    oldest: usize,
    /// What never changes.
    frozen: FxHashMap<(Place, Word), Ref>,
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
        self.contents.clear();
        self.frozen.clear();
        self.ownership.start(before, behind, roots);
    }

    /// What is known to be where a load or store goes.
    pub fn of_op(&self, op: &Op, values: &dyn Values) -> Option<Content> {
        self.at(&self.ownership.access_of(op, values)?)
    }

    /// What is known to be behind a pointer.
    pub fn behind(&self, base: Ref, index: Option<Ref>, descr: &Descr, values: &dyn Values) -> Option<Content> {
        self.at(&self.ownership.access(base, index, descr, values))
    }

    /// The rules behind it.
    pub fn ownership(&self) -> &Ownership {
        &self.ownership
    }

    /// What is known to be at exactly this place, if possible as a value of the same kind.
    pub fn at(&self, access: &Access) -> Option<Content> {
        if access.memory == Memory::Raw {
            return None;
        }
        if access.is_frozen
            && let Some(&value) = self.frozen.get(&(access.place, access.word))
        {
            let (access, stored) = (*access, false);
            return Some(Content { access, value, stored });
        }
        let same = |content: &&Content| {
            content.access.place == access.place && content.access.word.size() == access.word.size()
        };
        let mut views = self.contents.iter().filter(same);
        let any = views.clone().next();
        views
            .find(|content| content.access.word.kind() == access.word.kind())
            .or(any)
            .copied()
    }

    /// Notes an operation, which defines `value`.
    pub fn observe(&mut self, op: &Op, value: Ref, values: &dyn Values) {
        let change = self.ownership.change(op, values);
        if let Some(change) = &change {
            self.forget(|ownership, content| ownership.may_change(change, &content.access));
        }
        let access = self.ownership.access_of(op, values);
        self.ownership.observe(op, value, change, values);
        let Some(access) = access.filter(|access| access.memory != Memory::Raw) else {
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
            self.remember(Content { access, value, stored });
        }
    }

    /// A guard has proved that `value` is `constant`.
    pub fn learned(&mut self, value: Ref, constant: Ref) {
        self.ownership.learned(value, constant);
        let held = self.contents.iter_mut().map(|content| &mut content.value);
        for held in held.chain(self.frozen.values_mut()).filter(|held| **held == value) {
            *held = constant;
        }
    }

    fn remember(&mut self, content: Content) {
        if self.contents.len() < CAPACITY {
            self.contents.push(content);
            return;
        }
        self.oldest = (self.oldest + 1) % CAPACITY;
        let gone = std::mem::replace(&mut self.contents[self.oldest], content);
        self.ownership.disown(gone.value, &gone.access);
    }

    fn forget(&mut self, killed: impl Fn(&Ownership, &Content) -> bool) {
        // judged before anything is forgotten: what owns what must be as it was
        let ownership = &mut self.ownership;
        let mut gone = Vec::new();
        let judge = &*ownership;
        self.contents.retain(|content| {
            let kill = killed(judge, content);
            if kill {
                gone.push(*content);
            }
            !kill
        });
        for content in gone {
            ownership.disown(content.value, &content.access);
        }
    }
}
