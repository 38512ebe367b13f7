//! What the tracer knows of memory, so that it does not load twice what it has just stored, loaded or promoted.
//!
//! An interpreter that keeps its position in a frame stores a constant there and loads it again a few operations later; the
//! recording must know that it *is* the constant, or the next bytecode's dispatch is not folded.
//!
//! **Objects.** Every pointer of the trace points into an *object*: an allocation, or the pointee of a reference. Objects
//! form trees of ownership below roots: the buffer of a `Vec` in a struct behind a `&mut` parameter is a child object of that
//! struct. Two objects of one tree are disjoint memory as long as both are *current*. An object is current only while the
//! location that owns it cannot have changed, and cannot be the location that owns another: of `rows[i]` and `rows[j]`
//! only the one that was loaded last is. Objects of different exclusive roots are disjoint. Everything else is the
//! one unknown object.
//!
//! **What ends knowledge.** A store kills what may overlap it in its object (by byte ranges, or by the place within an array
//! item); a store through an object that is not current, all of its root. A root *escapes* when a pointer into it is stored
//! or passed to a residual call; from then on residual calls and stores through the unknown object kill it. Frozen parts of
//! a shared root are never killed; its other parts are not remembered at all.
//! At a merge point where a loop may be cut, everything is forgotten: the cut loop starts without it.
//!
//! Words in registers are extended after their type, so what a narrow store leaves behind is the register's own content.

use crate::recorder::pointee;
use crate::value::{Source, Value};
use metatrace_ir::{Descr, Memory, Pointee, Ref, RootKind};
use rustc_hash::FxHashMap;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct ObjectId(u32);

/// Where a tree of objects hangs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Tree {
    /// Below the exclusive root with this number; frame slots are such roots as well.
    Exclusive(u32),
    /// Below a shared root: frozen parts never change.
    Shared,
    /// Anywhere.
    Unknown,
}

#[derive(Debug)]
struct Object {
    tree: Tree,
    /// Whether it hangs at the root itself, which stays where it is.
    is_root: bool,
    is_current: bool,
    known: Vec<Location>,
}

/// A pointer: its object, and how far from the object's start, where that is known.
#[derive(Clone, Copy, Debug)]
struct Pointer {
    object: ObjectId,
    offset: Option<i64>,
}

/// A word, as the trace refers to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Name {
    Trace(Ref),
    Const(u64),
}

impl Name {
    fn of(value: Value) -> Name {
        match value.source {
            Source::Trace(reference) => Name::Trace(reference),
            Source::Const | Source::Frozen => Name::Const(value.bits),
        }
    }
}

/// Which bytes of an object an access touches.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Extent {
    base: Name,
    index: Option<Name>,
    /// Distance of items and the place within one, for accesses with an index.
    item: (u32, u32),
    size: u32,
    word: metatrace_ir::Word,
    /// The first byte, where it is known.
    start: Option<i64>,
    frozen: bool,
}

impl Extent {
    fn is_same(&self, other: &Extent) -> bool {
        self.word == other.word
            && ((self.base, self.index, self.item) == (other.base, other.index, other.item)
                || (self.start.is_some() && self.start == other.start))
    }

    /// Whether no byte is common, in one object.
    fn is_disjoint(&self, other: &Extent) -> bool {
        if let (Some(a), Some(b)) = (self.start, other.start) {
            return a + i64::from(self.size) <= b || b + i64::from(other.size) <= a;
        }
        let (of_items, within) = self.item;
        let same_items = self.base == other.base && self.index.is_some() && other.index.is_some();
        let (others, other_within) = other.item;
        let apart = within + self.size <= other_within || other_within + other.size <= within;
        same_items
            && of_items == others
            && within + self.size <= of_items
            && other_within + other.size <= of_items
            && apart
    }
}

#[derive(Clone, Copy, Debug)]
struct Location {
    extent: Extent,
    value: Value,
    /// The object that this location owns, if it holds an owning pointer.
    child: Option<ObjectId>,
}

/// The tracer's knowledge of memory. See the module's documentation.
#[derive(Debug)]
pub struct HeapCache {
    objects: Vec<Object>,
    pointers: FxHashMap<Ref, Pointer>,
    /// Exclusive roots so far, frame slots included.
    roots: u32,
    /// Frame slots whose address may be known elsewhere.
    escaped: Vec<u32>,
}

const UNKNOWN: ObjectId = ObjectId(0);
const UNKNOWN_POINTER: Pointer = Pointer {
    object: UNKNOWN,
    offset: None,
};

impl HeapCache {
    /// Knows nothing but these roots.
    pub fn new(roots: impl IntoIterator<Item = (Ref, RootKind)>) -> HeapCache {
        let unknown = Object {
            tree: Tree::Unknown,
            is_root: true,
            is_current: true,
            known: Vec::new(),
        };
        let mut cache = HeapCache {
            objects: vec![unknown],
            pointers: FxHashMap::default(),
            roots: 0,
            escaped: Vec::new(),
        };
        for (value, kind) in roots {
            let tree = match kind {
                RootKind::Exclusive => cache.new_root(),
                RootKind::Shared | RootKind::Green => Tree::Shared,
            };
            cache.new_pointer(value, tree, true);
        }
        cache
    }

    fn new_root(&mut self) -> Tree {
        self.roots += 1;
        Tree::Exclusive(self.roots - 1)
    }

    fn new_pointer(&mut self, value: Ref, tree: Tree, is_root: bool) -> ObjectId {
        let object = ObjectId(self.objects.len() as u32);
        self.objects.push(Object {
            tree,
            is_root,
            is_current: true,
            known: Vec::new(),
        });
        self.pointers.insert(
            value,
            Pointer {
                object,
                offset: Some(0),
            },
        );
        object
    }

    fn pointer(&self, value: Value) -> Pointer {
        let known = match value.source {
            Source::Trace(reference) => self.pointers.get(&reference).copied(),
            Source::Const | Source::Frozen => None,
        };
        known.unwrap_or(UNKNOWN_POINTER)
    }

    fn object(&mut self, id: ObjectId) -> &mut Object {
        &mut self.objects[id.0 as usize]
    }

    fn extent(&self, base: Value, index: Option<Value>, descr: &Descr) -> (Pointer, Extent) {
        let mut pointer = self.pointer(base);
        let index_bits = index.map_or(Some(0), |index| index.is_const().then_some(index.bits as i64));
        let (inner, word, item, frozen) = match descr {
            Descr::Field(field) => (
                Some(i64::from(field.offset)),
                field.word,
                (0, field.offset),
                field.frozen,
            ),
            Descr::Array(array) => {
                let at = |index: i64| i64::from(array.offset) + index.wrapping_mul(array.item_size.into());
                (
                    index_bits.map(at),
                    array.word,
                    (array.item_size, array.offset),
                    array.frozen,
                )
            }
            other => panic!("not a memory location: {other:?}"),
        };
        if !frozen || is_raw(descr) {
            // Behind a cell or a raw pointer there may be other ways to the place.
            pointer = UNKNOWN_POINTER;
        }
        let start = pointer
            .offset
            .zip(inner)
            .map(|(offset, inner)| offset.wrapping_add(inner));
        let index = index.map(Name::of);
        (
            pointer,
            Extent {
                base: Name::of(base),
                index,
                item,
                size: word.size(),
                word,
                start,
                frozen,
            },
        )
    }

    /// What the location holds, if that is known.
    pub fn load(&self, base: Value, index: Option<Value>, descr: &Descr) -> Option<Value> {
        let (pointer, extent) = self.extent(base, index, descr);
        let object = &self.objects[pointer.object.0 as usize];
        let comparable = |known: &&Location| pointer.object != UNKNOWN || known.extent.base == extent.base;
        object
            .known
            .iter()
            .filter(comparable)
            .find(|known| known.extent.is_same(&extent))
            .map(|known| known.value)
    }

    /// The location was found to hold `value`, which the trace has just loaded.
    pub fn loaded(&mut self, base: Value, index: Option<Value>, descr: &Descr, value: Value) {
        let (pointer, extent) = self.extent(base, index, descr);
        let parent = self.object(pointer.object);
        let (tree, is_current) = (parent.tree, parent.is_current);
        let Source::Trace(reference) = value.source else {
            return;
        };
        let child = match (tree, pointee(descr)) {
            (Tree::Exclusive(_), Pointee::Owned | Pointee::Exclusive) if is_current => {
                self.forget_owners_like(pointer.object, &extent);
                Some(self.new_pointer(reference, tree, false))
            }
            (Tree::Exclusive(_), Pointee::Owned | Pointee::Exclusive) => {
                let child = self.new_pointer(reference, tree, false);
                self.object(child).is_current = false;
                None
            }
            (Tree::Shared, Pointee::Owned | Pointee::Exclusive | Pointee::Shared | Pointee::Counted)
                if extent.frozen =>
            {
                self.new_pointer(reference, tree, false);
                None
            }
            _ => None,
        };
        if is_current && (tree != Tree::Shared || extent.frozen) {
            self.object(pointer.object)
                .known
                .push(Location { extent, value, child });
        }
    }

    /// Locations of an object that own a child and may be the one at `extent` are forgotten, their children with them.
    fn forget_owners_like(&mut self, object: ObjectId, extent: &Extent) {
        let mut lost = Vec::new();
        self.object(object).known.retain(|known| {
            let may_be_same = known.child.is_some() && !known.extent.is_disjoint(extent);
            if may_be_same {
                lost.extend(known.child);
            }
            !may_be_same
        });
        self.disown(lost);
    }

    /// The trace has stored `value` to the location.
    pub fn store(&mut self, base: Value, index: Option<Value>, descr: &Descr, value: Value) {
        let (pointer, extent) = self.extent(base, index, descr);
        self.escape(value);
        let Object { tree, is_current, .. } = *self.object(pointer.object);
        match tree {
            Tree::Exclusive(_) if !is_current => return self.kill(|other| other == tree),
            Tree::Exclusive(root) if self.escaped.contains(&root) => self.kill(|other| other == Tree::Unknown),
            Tree::Exclusive(_) => {}
            Tree::Shared => return self.kill(|other| other == Tree::Unknown),
            Tree::Unknown => self.kill_escaped(),
        }
        let object = self.object(pointer.object);
        let mut lost = Vec::new();
        object.known.retain(|known| {
            let comparable = tree != Tree::Unknown || known.extent.base == extent.base;
            let survives = comparable && known.extent.is_disjoint(&extent);
            if !survives {
                lost.extend(known.child);
            }
            survives
        });
        object.known.push(Location {
            extent,
            value,
            child: None,
        });
        self.disown(lost);
    }

    /// The trace has computed an address from `base`.
    pub fn address(&mut self, result: Ref, base: Value, index: Option<Value>, descr: &Descr) {
        let (pointer, extent) = self.extent(base, index, descr);
        self.pointers.insert(
            result,
            Pointer {
                object: pointer.object,
                offset: extent.start,
            },
        );
    }

    /// The trace has computed `result` from `args`, one of which may be a pointer.
    pub fn derived(&mut self, result: Ref, args: &[Value]) {
        let from = args
            .iter()
            .map(|arg| self.pointer(*arg))
            .find(|pointer| pointer.object != UNKNOWN);
        if let Some(pointer) = from {
            self.pointers.insert(
                result,
                Pointer {
                    object: pointer.object,
                    offset: None,
                },
            );
        }
    }

    /// A copy of a value.
    pub fn copied(&mut self, result: Ref, value: Value) {
        let pointer = self.pointer(value);
        if pointer.object != UNKNOWN {
            self.pointers.insert(result, pointer);
        }
    }

    /// A frame slot.
    pub fn alloca(&mut self, result: Ref) {
        let tree = self.new_root();
        self.new_pointer(result, tree, true);
    }

    /// An elidable call: what it returns may point to what its arguments do.
    pub fn elidable_call(&mut self, args: &[Value]) {
        args.iter().for_each(|arg| self.escape(*arg));
    }

    /// A residual call that is not elidable.
    pub fn call(&mut self, args: &[Value]) {
        args.iter().for_each(|arg| self.escape(*arg));
        self.kill_escaped();
        self.kill(|tree| tree == Tree::Unknown);
    }

    /// From here on the trace knows that `value` is `constant`.
    pub fn became_const(&mut self, value: Ref, constant: Value) {
        for known in self.objects.iter_mut().flat_map(|object| &mut object.known) {
            if known.value.source == Source::Trace(value) {
                known.value = constant;
            }
        }
    }

    /// The address of what `value` points into may be known elsewhere from here on.
    fn escape(&mut self, value: Value) {
        let object = self.pointer(value).object;
        if let Tree::Exclusive(root) = self.object(object).tree
            && !self.escaped.contains(&root)
        {
            self.escaped.push(root);
        }
    }

    fn kill_escaped(&mut self) {
        let escaped = std::mem::take(&mut self.escaped);
        self.kill(|tree| matches!(tree, Tree::Exclusive(root) if escaped.contains(&root)));
        self.escaped = escaped;
    }

    /// Forgets what lies in these trees. Their roots stay where they are; what was loaded from them may have moved.
    fn kill(&mut self, is_doomed: impl Fn(Tree) -> bool) {
        for object in self.objects.iter_mut().filter(|object| is_doomed(object.tree)) {
            object.known.clear();
            object.is_current &= object.is_root;
        }
    }

    /// The locations that owned these objects may hold others now.
    fn disown(&mut self, mut lost: Vec<ObjectId>) {
        while let Some(id) = lost.pop() {
            let object = self.object(id);
            object.is_current = false;
            lost.extend(object.known.drain(..).filter_map(|known| known.child));
        }
    }
}

/// Whether nothing may be remembered of the location.
fn is_raw(descr: &Descr) -> bool {
    match descr {
        Descr::Field(field) => field.memory == Memory::Raw,
        Descr::Array(array) => array.memory == Memory::Raw,
        other => panic!("not a memory location: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metatrace_ir::{ArrayDescr, FieldDescr, Kind, Word};

    fn field(offset: u32, pointee: Pointee) -> Descr {
        let name = format!("S.f{offset}");
        Descr::Field(FieldDescr {
            name,
            offset,
            word: Word::U64,
            memory: Memory::Rust,
            frozen: true,
            pointee,
        })
    }

    fn item(offset: u32) -> Descr {
        let (word, memory, pointee) = (Word::U64, Memory::Rust, Pointee::Unknown);
        Descr::Array(ArrayDescr {
            name: "T".into(),
            item_size: 16,
            offset,
            word,
            memory,
            frozen: true,
            pointee,
        })
    }

    fn value(n: usize) -> Value {
        Value::traced(Kind::Int, 0, Ref::value(n))
    }

    /// Values 0 and 1 are exclusive roots, 2 is unknown; the rest are numbers.
    fn cache() -> HeapCache {
        HeapCache::new([0, 1].map(|n| (Ref::value(n), RootKind::Exclusive)))
    }

    const PLAIN: Pointee = Pointee::Unknown;

    #[test]
    fn a_store_is_seen_by_the_next_load_and_kills_only_what_it_overlaps() {
        let mut cache = cache();
        cache.store(value(0), None, &field(8, PLAIN), value(7));
        cache.store(value(0), None, &field(16, PLAIN), value(8));
        cache.store(value(1), None, &field(8, PLAIN), value(9));
        cache.store(value(2), None, &field(8, PLAIN), value(10));
        assert_eq!(cache.load(value(0), None, &field(8, PLAIN)), Some(value(7)));
        assert_eq!(cache.load(value(0), None, &field(16, PLAIN)), Some(value(8)));
        cache.store(value(0), None, &field(12, PLAIN), value(11));
        assert_eq!(cache.load(value(0), None, &field(8, PLAIN)), None);
        assert_eq!(cache.load(value(0), None, &field(16, PLAIN)), None);
        assert_eq!(cache.load(value(1), None, &field(8, PLAIN)), Some(value(9)));
    }

    #[test]
    fn a_buffer_does_not_overlap_its_owner() {
        let mut cache = cache();
        cache.store(value(0), None, &field(0, PLAIN), value(7));
        cache.loaded(value(0), None, &field(8, Pointee::Owned), value(20));
        cache.store(value(20), Some(value(5)), &item(8), value(8));
        cache.store(value(20), Some(value(5)), &item(0), value(9));
        assert_eq!(cache.load(value(0), None, &field(0, PLAIN)), Some(value(7)));
        assert_eq!(cache.load(value(20), Some(value(5)), &item(8)), Some(value(8)));
        cache.store(value(20), Some(value(6)), &item(0), value(10));
        assert_eq!(
            cache.load(value(20), Some(value(5)), &item(0)),
            None,
            "another index may be the same item"
        );
        assert_eq!(cache.load(value(20), Some(value(5)), &item(8)), Some(value(8)));
    }

    #[test]
    fn a_buffer_that_may_have_moved_is_not_trusted() {
        let mut cache = cache();
        cache.loaded(value(0), None, &field(8, Pointee::Owned), value(20));
        cache.store(value(20), Some(value(5)), &item(0), value(8));
        cache.store(value(0), None, &field(8, Pointee::Owned), value(21));
        assert_eq!(cache.load(value(20), Some(value(5)), &item(0)), None);
        cache.loaded(value(20), Some(value(5)), &item(0), value(9));
        assert_eq!(cache.load(value(20), Some(value(5)), &item(0)), None);
    }

    #[test]
    fn a_call_kills_the_roots_it_can_reach() {
        let mut cache = cache();
        cache.store(value(0), None, &field(8, PLAIN), value(7));
        cache.store(value(1), None, &field(8, PLAIN), value(8));
        cache.store(value(2), None, &field(8, PLAIN), value(9));
        cache.call(&[value(1)]);
        assert_eq!(cache.load(value(0), None, &field(8, PLAIN)), Some(value(7)));
        assert_eq!(cache.load(value(1), None, &field(8, PLAIN)), None);
        assert_eq!(cache.load(value(2), None, &field(8, PLAIN)), None);
    }

    #[test]
    fn what_a_call_returns_may_alias_a_root_it_was_given() {
        let mut cache = cache();
        cache.call(&[value(0)]);
        cache.store(value(0), None, &field(8, PLAIN), value(7));
        cache.store(value(1), None, &field(8, PLAIN), value(7));
        cache.store(value(30), None, &field(8, PLAIN), value(8));
        assert_eq!(cache.load(value(0), None, &field(8, PLAIN)), None);
        assert_eq!(
            cache.load(value(1), None, &field(8, PLAIN)),
            Some(value(7)),
            "never escaped"
        );
        cache.store(value(0), None, &field(8, PLAIN), value(9));
        assert_eq!(cache.load(value(30), None, &field(8, PLAIN)), None);
    }

    #[test]
    fn promoted_words_are_constants_wherever_they_are_known() {
        let mut cache = cache();
        cache.loaded(value(0), None, &field(8, PLAIN), value(7));
        let constant = Value::constant(Kind::Int, 42);
        cache.became_const(Ref::value(7), constant);
        assert_eq!(cache.load(value(0), None, &field(8, PLAIN)), Some(constant));
    }

    #[test]
    fn two_items_that_own_buffers_may_be_one() {
        let mut cache = cache();
        let owner = Descr::Array(ArrayDescr {
            pointee: Pointee::Owned,
            ..item(0).array().clone()
        });
        cache.loaded(value(0), None, &field(8, Pointee::Owned), value(20));
        cache.loaded(value(20), Some(value(5)), &owner, value(21));
        cache.loaded(value(21), Some(value(9)), &item(0), value(30));
        cache.loaded(value(20), Some(value(6)), &owner, value(22));
        assert_eq!(
            cache.load(value(21), Some(value(9)), &item(0)),
            None,
            "rows[6] may be rows[5]"
        );
        cache.store(value(22), Some(value(9)), &item(0), value(31));
        assert_eq!(cache.load(value(21), Some(value(9)), &item(0)), None);
        cache.store(value(21), Some(value(9)), &item(0), value(32));
        assert_eq!(cache.load(value(22), Some(value(9)), &item(0)), None);
    }

    #[test]
    fn what_lies_behind_a_cell_is_not_exclusive() {
        let mut cache = cache();
        let cell = Descr::Field(FieldDescr {
            frozen: false,
            ..field(8, PLAIN).field().clone()
        });
        cache.store(value(0), None, &cell, value(7));
        cache.store(value(2), None, &cell, value(8));
        assert_eq!(cache.load(value(0), None, &cell), None);
    }
}
