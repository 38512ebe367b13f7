//! Ownership: who drops what, and when.
//!
//! Each value and local with drop glue has an [`Owner`], which belongs to a scope. [`Op::Owns`] says that the value is
//! there, [`Op::Moved`] that it has gone, [`Op::Drop`] drops it if it is there. The lowering finds out by data flow what
//! is there where, and makes a flag only of what differs between paths. Calls list the owners of all scopes: what to drop
//! if they unwind.

use crate::builder::{Builder, ValueId};
use crate::graph::{Op, Operand, OwnerId};
use crate::types::Type;

/// Something to drop.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) ty: Type,
    pub(crate) home: Home,
}

/// Where an owned value is.
#[derive(Clone, Debug)]
pub(crate) enum Home {
    Words(Vec<Operand>),
    /// In a local or addressed temporary.
    Root(u32),
}

impl Builder {
    /// Makes an owner in the innermost scope of that sort.
    pub(crate) fn new_owner(&mut self, ty: Type, home: Home, temporaries: bool) -> Option<OwnerId> {
        self.new_owner_below(self.scopes.len(), ty, home, temporaries)
    }

    /// The same in the innermost of the first `depth` scopes.
    fn new_owner_below(&mut self, depth: usize, ty: Type, home: Home, temporaries: bool) -> Option<OwnerId> {
        ty.drop?;
        let id = self.push_owner(ty, home);
        let scope = self.scopes[..depth]
            .iter()
            .rposition(|scope| scope.temporaries == temporaries)
            .unwrap_or(0);
        self.scopes[scope].owned.push(id);
        self.scopes_changed();
        Some(id)
    }

    fn push_owner(&mut self, ty: Type, home: Home) -> OwnerId {
        self.owners.push(Owner { ty, home });
        OwnerId(self.owners.len() as u32 - 1)
    }

    /// An owner that takes over what `old` owns, at the same time of the scope's end.
    pub(crate) fn replace_owner(&mut self, old: OwnerId, home: Home) -> OwnerId {
        let new = self.push_owner(self.owners[old.0 as usize].ty, home);
        for scope in &mut self.scopes {
            if let Some(at) = scope.owned.iter().position(|id| *id == old) {
                scope.owned.insert(at + 1, new);
            }
        }
        self.scopes_changed();
        self.emit(Op::Moved(old));
        self.emit(Op::Owns(new));
        new
    }

    pub(crate) fn own_value(&mut self, value: ValueId) {
        let ty = self.get(value).ty;
        if ty.drop.is_none() {
            return;
        }
        let words = self.words(value);
        let owner = self.new_owner(ty, Home::Words(words), true);
        self.values[value.0 as usize].owner = owner;
        self.owns(owner);
    }

    pub(crate) fn owns(&mut self, owner: Option<OwnerId>) {
        if let Some(owner) = owner {
            self.emit(Op::Owns(owner));
        }
    }

    pub(crate) fn moved(&mut self, owner: Option<OwnerId>) {
        if let Some(owner) = owner {
            self.emit(Op::Moved(owner));
        }
    }

    /// The value goes somewhere else.
    pub(crate) fn consume(&mut self, value: ValueId) {
        let owner = self.get(value).owner;
        self.moved(owner);
    }

    pub(crate) fn drop_owners(&mut self, owners: &[OwnerId]) {
        for owner in owners {
            let unwind = self.owned_now();
            self.emit(Op::Drop { owner: *owner, unwind });
        }
    }

    /// Drops what the scopes from `depth` upwards own.
    pub(crate) fn unwind_to(&mut self, depth: usize) {
        let owners = self.owned_above(depth);
        self.drop_owners(&owners);
    }

    pub(crate) fn pop_scopes(&mut self, depth: usize) {
        self.unwind_to(depth);
        self.truncate_scopes(depth);
    }

    /// Leaves scopes with a value that outlives what they own.
    pub(crate) fn leave_scopes(&mut self, depth: usize, value: ValueId) -> ValueId {
        if self.get(value).owner.is_none() {
            self.pop_scopes(depth);
            return value;
        }
        let (ty, words) = (self.get(value).ty, self.words(value));
        self.consume(value);
        let outer = self.new_owner_below(depth, ty, Home::Words(words.clone()), true);
        self.owns(outer);
        self.pop_scopes(depth);
        let value = self.value(ty, words);
        self.values[value.0 as usize].owner = outer;
        value
    }
}
