//! Ownership: who drops what, and when.
//!
//! Each value and local with drop glue has an [`Owner`], which belongs to a scope. [`Op::Owns`] says that the value is
//! there, [`Op::Moved`] that it has gone, [`Op::Drop`] drops it if it is there. `ownership` finds out by data flow what
//! is there where, and makes a flag only of what differs between paths. Calls list the owners of all scopes: what to drop
//! if they unwind.
//!
//! **Parts.** Where the author moves a part out of a local, the next run of the twin gives each part that is dropped an
//! owner of its own ([`Part`]). Which variant of an enum is there, the drop of a part finds out by the tag, which stays.

use crate::builder::{Builder, ValueId};
use crate::place::{PlaceId, PlaceKind};
use crate::types::{Type, TypeShape};
use metatrace_graph::{Op, Operand, OwnerId};

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
    /// In a local or temporary.
    Part(Part),
}

/// From a root inwards: variant and field, once for each level.
pub(crate) type Path = Vec<(u32, u32)>;

/// A part of a local; the whole, where the path is empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    pub(crate) root: u32,
    pub(crate) path: Path,
    /// Variants whose fields have owners of their own: this is the owner of the others.
    pub(crate) except: Vec<u32>,
}

impl Builder {
    fn push_owner(&mut self, ty: Type, home: Home) -> OwnerId {
        self.owners.push(Owner { ty, home });
        OwnerId(self.owners.len() as u32 - 1)
    }

    /// The innermost of the first `depth` scopes that is of that sort.
    fn scope_for(&self, depth: usize, temporaries: bool) -> usize {
        self.scopes[..depth]
            .iter()
            .rposition(|scope| scope.temporaries == temporaries)
            .unwrap_or(0)
    }

    /// Makes the owners of a local, in the innermost scope of that sort.
    pub(crate) fn own_root(&mut self, root: u32, temporaries: bool) {
        let scope = self.scope_for(self.scopes.len(), temporaries);
        let owners = self.owners_of_root(root);
        self.scopes[scope].owned.extend(owners.iter().rev());
        self.roots[root as usize].owners = owners;
        self.scopes_changed();
    }

    /// In the order in which they are dropped.
    fn owners_of_root(&mut self, root: u32) -> Vec<OwnerId> {
        let ty = self.roots[root as usize].ty;
        let mut parts = Vec::new();
        parts_of(
            ty,
            Part {
                root,
                path: Vec::new(),
                except: Vec::new(),
            },
            self.known_parts(root),
            &mut parts,
        );
        parts
            .into_iter()
            .map(|(ty, part)| self.push_owner(ty, Home::Part(part)))
            .collect()
    }

    /// The root takes over what `old` owns, to be dropped at the same time.
    pub(crate) fn take_ownership(&mut self, root: u32, old: OwnerId) {
        let new = self.owners_of_root(root);
        for scope in &mut self.scopes {
            if let Some(at) = scope.owned.iter().position(|id| *id == old) {
                scope.owned.splice(at + 1..at + 1, new.iter().rev().copied());
            }
        }
        self.scopes_changed();
        self.emit(Op::Moved(old));
        self.owns(&new);
        self.roots[root as usize].owners = new;
    }

    pub(crate) fn own_value(&mut self, value: ValueId) {
        let depth = self.scopes.len();
        self.own_value_below(depth, value);
    }

    /// In the innermost scope of temporaries of the first `depth` ones.
    fn own_value_below(&mut self, depth: usize, value: ValueId) {
        let ty = self.get(value).ty;
        if ty.drop.is_none() {
            return;
        }
        let words = self.words(value);
        let owner = self.push_owner(ty, Home::Words(words));
        let scope = self.scope_for(depth, true);
        self.scopes[scope].owned.push(owner);
        self.scopes_changed();
        self.values[value.0 as usize].owner = Some(owner);
        self.owns(&[owner]);
    }

    pub(crate) fn owns(&mut self, owners: &[OwnerId]) {
        for owner in owners {
            self.emit(Op::Owns(*owner));
        }
    }

    pub(crate) fn moved(&mut self, owners: &[OwnerId]) {
        for owner in owners {
            self.emit(Op::Moved(*owner));
        }
    }

    /// The value goes somewhere else.
    pub(crate) fn consume(&mut self, value: ValueId) {
        if let Some(owner) = self.get(value).owner {
            self.emit(Op::Moved(owner));
        }
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
        let outer = self.value(ty, words);
        self.own_value_below(depth, outer);
        self.pop_scopes(depth);
        outer
    }

    // ---- moves

    /// The root and path of a place that is a local or a part of one.
    fn path_of(&self, place: PlaceId) -> Option<(u32, Path)> {
        match &self.places[place.0 as usize].kind {
            PlaceKind::Root(root) => Some((*root, Vec::new())),
            PlaceKind::Field {
                parent, variant, index, ..
            } => {
                let (root, mut path) = self.path_of(*parent)?;
                path.push((*variant, *index));
                Some((root, path))
            }
            PlaceKind::Mem(_) | PlaceKind::Slice(_) => None,
        }
    }

    /// The owners of a place that is a local or part of one; `None` where they are not told apart from its owner's.
    pub(crate) fn owners_of_place(&self, place: PlaceId) -> Option<(u32, Path, Vec<OwnerId>)> {
        let (root, mut path) = self.path_of(place)?;
        let ty = self.roots[root as usize].ty;
        // What is the only part that is dropped stands for the whole.
        while let Some((variant, index)) = path.pop() {
            if !is_only_dropped_field(type_at(ty, &path), variant, index) {
                path.push((variant, index));
                break;
            }
        }
        let owners = self.roots[root as usize].owners.iter().copied();
        let under = owners.filter(|owner| match &self.owners[owner.0 as usize].home {
            Home::Part(part) => part.path.starts_with(&path),
            Home::Words(_) => path.is_empty(),
        });
        let under = under.collect();
        Some((root, path, under))
    }

    /// The value has been moved out of the place.
    pub(crate) fn moved_out(&mut self, place: PlaceId, ty: Type) {
        if ty.drop.is_none() {
            return;
        }
        if let Some((root, path, owners)) = self.owners_of_place(place) {
            if owners.is_empty() && !self.roots[root as usize].owners.is_empty() {
                self.learnt.part(root, path);
            }
            self.moved(&owners);
            return;
        }
        match self.places[place.0 as usize].boxed {
            Some(boxed) => self.box_emptied(place, boxed, ty),
            None => self.refuse(&format!(
                "a `{ty:?}`, which is dropped, moves out of memory: use `&mut`, or `mem::take` and the like"
            )),
        }
    }
}

fn type_at(root: Type, path: &[(u32, u32)]) -> Type {
    path.iter().fold(root, |ty, (variant, index)| {
        let structure = ty.structure().expect("its fields have been asked for");
        structure.fields(*variant as usize)[*index as usize].ty
    })
}

fn is_only_dropped_field(ty: Type, variant: u32, index: u32) -> bool {
    let structure = ty.structure().expect("its fields have been asked for");
    let mut fields = structure.fields(variant as usize).iter().enumerate();
    fields.all(|(n, field)| n == index as usize || field.ty.drop.is_none())
}

/// The parts of a value of which `moved` ones may be gone, in the order of drops. `moved` is in order.
fn parts_of(ty: Type, whole: Part, moved: &[(u32, Path)], parts: &mut Vec<(Type, Part)>) {
    if ty.drop.is_none() {
        return;
    }
    let depth = whole.path.len();
    let inside = moved
        .iter()
        .map(|(_, path)| path)
        .filter(|path| path.len() > depth && path.starts_with(&whole.path));
    let mut variants: Vec<u32> = inside.map(|path| path[depth].0).collect();
    variants.dedup();
    if variants.is_empty() {
        parts.push((ty, whole));
        return;
    }
    let structure = ty.structure().expect("its fields have been asked for");
    for variant in &variants {
        for (index, field) in structure.fields(*variant as usize).iter().enumerate() {
            let mut part = whole.clone();
            part.path.push((*variant, index as u32));
            parts_of(field.ty, part, moved, parts);
        }
    }
    if matches!(structure, TypeShape::Enum { .. } | TypeShape::Sum { .. }) {
        parts.push((
            ty,
            Part {
                except: variants,
                ..whole
            },
        ));
    }
}
