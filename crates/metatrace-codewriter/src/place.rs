//! Places: where values are, and how they are read and written.
//!
//! A place is a root (a local or temporary), something in memory, or a field of a place. [`Builder::locate`] finds out
//! what that means: words of a root's registers ([`WordLoc`]), or memory ([`Mem`]): a base, a constant offset, a name for
//! descriptors. The address of a place in memory is computed only where a reference to it is made, so that
//! `self.stack[i].x` is one load.

use crate::assembly;
use crate::builder::{Builder, ValueId};
use crate::layout::TagLayout;
use crate::natives;
use crate::shape::{FieldWords, Shape, ShapeWord, Source, Tagging};
use crate::shims;
use crate::types::{Type, TypeShape};
use metatrace_graph::{Op, Operand, OwnerId, VReg};
use metatrace_ir::{ArrayDescr, Const, Descr, DescrRef, FieldDescr, Kind, Memory, Opcode, Pointee, Word};
use std::rc::Rc;

/// A local or temporary.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) ty: Type,
    pub(crate) home: RootHome,
    /// Whether it is a local of the author's, which gets its value at once.
    local: bool,
    /// Who drop it, in the order of drops.
    pub(crate) owners: Vec<OwnerId>,
}

/// Where a root lives.
#[derive(Clone, Debug)]
pub(crate) enum RootHome {
    /// Registers not chosen yet: the type's shape may still be learnt.
    Unset,
    /// Registers of its own.
    Regs(Vec<VReg>),
    /// A value that does not change.
    Value(Vec<Operand>),
    /// A frame slot.
    Slot(Operand),
}

/// Number of a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PlaceId(pub(crate) u32);

#[derive(Clone, Debug)]
pub(crate) struct PlaceData {
    pub(crate) kind: PlaceKind,
    /// The receiver's placeholder where its loads go.
    pub(crate) sequence: Option<u32>,
    /// The place of the `Box` that it is the content of.
    pub(crate) boxed: Option<PlaceId>,
}

#[derive(Clone, Debug)]
pub(crate) enum PlaceKind {
    Root(u32),
    Mem(Mem),
    Slice(SlicePlace),
    Field {
        parent: PlaceId,
        ty: Type,
        variant: u32,
        index: u32,
    },
}

/// A place in memory.
#[derive(Clone, Debug)]
pub(crate) struct Mem {
    pub(crate) base: Base,
    pub(crate) offset: u32,
    /// Whether no cell lies between the base and here.
    pub(crate) frozen: bool,
    /// For descriptors: the owner and the path from it.
    pub(crate) name: Rc<str>,
    /// Within an enum, whose words have names by offset: where that begins.
    pub(crate) enum_start: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Base {
    /// A reference.
    Object(Operand),
    /// An item of `size` bytes behind a data pointer.
    Item { data: Operand, index: Operand, size: u32 },
}

/// A place of slice or `str` type.
#[derive(Clone, Debug)]
pub(crate) struct SlicePlace {
    pub(crate) data: SliceData,
    pub(crate) len: Operand,
    pub(crate) frozen: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum SliceData {
    Pointer(Operand),
    /// An array in memory.
    Array(Mem),
}

/// Bits of a register.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RegSlice {
    reg: Operand,
    held: Word,
    from: u32,
    width: u32,
    to: u32,
}

/// A word of a place in registers.
#[derive(Clone, Debug)]
pub(crate) enum WordLoc {
    /// A register's content, seen as this word.
    Whole {
        reg: Operand,
        held: Word,
        word: Word,
    },
    Bits {
        slices: Vec<RegSlice>,
        word: Word,
    },
}

/// Where a place turned out to be.
#[derive(Clone, Debug)]
pub(crate) enum Located {
    /// Registers; whether they can be written.
    Words(Vec<WordLoc>, bool),
    Mem(Mem),
}

impl Mem {
    /// What a reference points to.
    pub(crate) fn behind(reference: Operand, name: Rc<str>) -> Mem {
        Mem {
            base: Base::Object(reference),
            offset: 0,
            frozen: true,
            name,
            enum_start: None,
        }
    }

    fn word_name(&self, suffix: &str, offset: u32) -> String {
        match self.enum_start {
            Some(start) => format!("{}.@{}", self.name, self.offset + offset - start),
            None => format!("{}{suffix}", self.name),
        }
    }

    /// At a known offset, for words that no Rust type names.
    pub(crate) fn word_at(&self, offset: u32, name: &str) -> Mem {
        Mem {
            offset: self.offset + offset,
            name: format!("{}{name}", self.name).into(),
            ..self.clone()
        }
    }
}

impl Builder {
    pub(crate) fn place(&mut self, kind: PlaceKind) -> PlaceId {
        self.places.push(PlaceData {
            kind,
            sequence: self.sequence,
            boxed: None,
        });
        PlaceId(self.places.len() as u32 - 1)
    }

    pub(crate) fn mem_place(&mut self, mem: Mem) -> PlaceId {
        self.place(PlaceKind::Mem(mem))
    }

    /// The same place, whose loads go elsewhere.
    pub(crate) fn place_in(&mut self, place: PlaceId, sequence: Option<u32>) -> PlaceId {
        let place = self.places[place.0 as usize].clone();
        self.places.push(PlaceData { sequence, ..place });
        PlaceId(self.places.len() as u32 - 1)
    }

    /// Emits into the placeholder of a receiver.
    pub(crate) fn in_sequence_of<R>(&mut self, place: PlaceId, f: impl FnOnce(&mut Builder) -> R) -> R {
        match self.places[place.0 as usize].sequence {
            None => f(self),
            sequence => {
                let outer = std::mem::replace(&mut self.sequence, sequence);
                let result = f(self);
                self.sequence = outer;
                result
            }
        }
    }

    pub(crate) fn field(&mut self, parent: PlaceId, ty: Type, variant: u32, index: u32) -> PlaceId {
        let sequence = self.places[parent.0 as usize].sequence;
        let kind = PlaceKind::Field {
            parent,
            ty,
            variant,
            index,
        };
        self.places.push(PlaceData {
            kind,
            sequence,
            boxed: None,
        });
        PlaceId(self.places.len() as u32 - 1)
    }

    // ---- roots

    fn push_root(&mut self, ty: Type, home: RootHome, local: bool) -> u32 {
        self.roots.push(Root {
            ty,
            home,
            local,
            owners: Vec::new(),
        });
        self.roots.len() as u32 - 1
    }

    /// A root without a value: a local of the author's (`local`), or a value made part by part.
    pub(crate) fn new_root(&mut self, ty: Type, local: bool) -> u32 {
        let root = self.push_root(ty, RootHome::Unset, local);
        if self.is_addressed(root) {
            let slot = self.alloca(&ty.name, ty.size, ty.align);
            self.roots[root as usize].home = RootHome::Slot(slot);
        }
        if local {
            self.own_root(root, false);
        }
        root
    }

    /// A root that holds a value: a temporary.
    pub(crate) fn value_root(&mut self, value: ValueId) -> u32 {
        let (ty, words, owner) = (self.get(value).ty, self.words(value), self.get(value).owner);
        let root = self.push_root(ty, RootHome::Value(words.clone()), true);
        self.roots[root as usize].owners.extend(owner);
        let addressed = self.is_addressed(root);
        if addressed {
            let slot = self.alloca(&ty.name, ty.size, ty.align);
            let mem = Mem::behind(slot, ty.name.as_str().into());
            self.store_words(&mem, ty, &words);
            self.roots[root as usize].home = RootHome::Slot(slot);
        }
        if let Some(owner) = owner
            && (addressed || !self.known_parts(root).is_empty())
        {
            self.take_ownership(root, owner);
        }
        root
    }

    pub(crate) fn root_regs(&mut self, root: u32) -> Vec<VReg> {
        if let RootHome::Unset = self.roots[root as usize].home {
            let kinds: Vec<Kind> = self.roots[root as usize].ty.shape().kinds().collect();
            let regs: Vec<VReg> = kinds.iter().map(|kind| self.reg(*kind)).collect();
            if !self.roots[root as usize].local {
                // Its parts may be bits of one register, and come one by one.
                let zero = |kind: &Kind| Operand::Const(Const { kind: *kind, bits: 0 });
                let zeros: Vec<Operand> = kinds.iter().map(zero).collect();
                self.move_all(&regs, &zeros);
            }
            self.roots[root as usize].home = RootHome::Regs(regs);
        }
        match &self.roots[root as usize].home {
            RootHome::Regs(regs) => regs.clone(),
            _ => unreachable!("only roots in registers are asked for them"),
        }
    }

    /// The root must live in memory: says so for the next run. Until then the place is anywhere.
    pub(crate) fn need_address(&mut self, root: u32) -> Mem {
        self.learnt.address(root);
        let nowhere = Operand::Const(Const::ptr(0));
        Mem::behind(nowhere, self.roots[root as usize].ty.name.as_str().into())
    }

    // ---- finding out

    pub(crate) fn locate(&mut self, place: PlaceId) -> Located {
        match self.places[place.0 as usize].kind.clone() {
            PlaceKind::Mem(mem) => Located::Mem(mem),
            PlaceKind::Slice(_) => unreachable!("slices are no values"),
            PlaceKind::Root(root) => self.locate_root(root),
            PlaceKind::Field {
                parent,
                ty,
                variant,
                index,
            } => {
                let located = self.locate(parent);
                self.project(parent, located, ty, variant as usize, index as usize)
            }
        }
    }

    fn locate_root(&mut self, root: u32) -> Located {
        let ty = self.roots[root as usize].ty;
        let (regs, writable) = match self.roots[root as usize].home.clone() {
            RootHome::Slot(slot) => return Located::Mem(Mem::behind(slot, ty.name.as_str().into())),
            RootHome::Value(words) => (words, false),
            RootHome::Unset | RootHome::Regs(_) => (
                self.root_regs(root).into_iter().map(Operand::Reg).collect::<Vec<_>>(),
                true,
            ),
        };
        let words = ty.shape().words.iter().zip(regs);
        let words = words
            .map(|(word, reg)| WordLoc::Whole {
                reg,
                held: word.word,
                word: word.word,
            })
            .collect();
        Located::Words(words, writable)
    }

    fn project(&mut self, parent: PlaceId, located: Located, ty: Type, variant: usize, index: usize) -> Located {
        let Some(structure) = ty.structure() else {
            self.refuse(&format!("the fields of `{ty:?}` are not known"))
        };
        let field = structure.fields(variant)[index];
        match located {
            Located::Words(words, writable) => {
                let fields = ty.view().and_then(|view| view.fields.get(variant));
                match fields.and_then(|fields| fields.get(index)) {
                    Some(FieldWords::Words(sources)) => {
                        let project = |(source, word)| project_word(&words, source, word);
                        let inner = field.ty.shape().words.iter().map(|word| word.word);
                        Located::Words(sources.iter().zip(inner).map(project).collect(), writable)
                    }
                    _ => {
                        let root = self.root_of(parent).expect("what is in registers has a root");
                        Located::Mem(self.need_address(root))
                    }
                }
            }
            Located::Mem(mem) => Located::Mem(self.project_memory(mem, structure, variant, index)),
        }
    }

    fn project_memory(&mut self, mem: Mem, structure: &TypeShape, variant: usize, index: usize) -> Mem {
        let field = structure.fields(variant)[index];
        let inside = |offset: u32| Mem {
            offset: mem.offset + offset,
            enum_start: Some(mem.enum_start.unwrap_or(mem.offset)),
            ..mem.clone()
        };
        match structure {
            TypeShape::Enum { .. } => inside(field.offset),
            TypeShape::Sum { variants, access } => match access.layout(variants) {
                TagLayout::Null => mem,
                TagLayout::Niche { payloads, .. } | TagLayout::Separate { payloads, .. } => inside(payloads[variant]),
                TagLayout::Unknown => {
                    let at = self.address(&mem);
                    let payload = natives::access(self, "payload", assembly::payload_shim as *const (), at, access);
                    let payload = self.reinterpret(payload, Kind::Ref);
                    Mem {
                        frozen: mem.frozen,
                        ..Mem::behind(payload, field.ty.name.as_str().into())
                    }
                }
            },
            _ => Mem {
                offset: mem.offset + field.offset,
                frozen: mem.frozen && !matches!(structure, TypeShape::Cell(_)),
                name: if mem.enum_start.is_some() {
                    mem.name
                } else {
                    format!("{}.{}", mem.name, field.name).into()
                },
                ..mem
            },
        }
    }

    /// The root that a place in registers begins at.
    pub(crate) fn root_of(&self, place: PlaceId) -> Option<u32> {
        match &self.places[place.0 as usize].kind {
            PlaceKind::Root(root) => Some(*root),
            PlaceKind::Field { parent, .. } => self.root_of(*parent),
            PlaceKind::Mem(_) | PlaceKind::Slice(_) => None,
        }
    }

    /// The content of a `Box` has been moved out: what remains is to free the memory.
    pub(crate) fn box_emptied(&mut self, content: PlaceId, boxed: PlaceId, ty: Type) {
        let Located::Mem(mem) = self.locate(content) else {
            unreachable!("the content of a box is in memory")
        };
        let at = self.address(&mem);
        let args = vec![at, Operand::int(ty.size.into()), Operand::int(ty.align.into())];
        let facts = natives::Facts {
            can_panic: false,
            ..natives::Facts::STD
        };
        natives::emit_call(self, "free_box", facts, shims::free_box as *const () as u64, args, None);
        // A box has no parts of its own: it is gone as a whole.
        if let Some((_, _, owners)) = self.owners_of_place(boxed) {
            self.moved(&owners);
        } else {
            self.refuse(
                "the content of a `Box` that is not a local moves out: use `&mut`, or `mem::take` and the like",
            );
        }
    }

    // ---- registers

    fn read_word(&mut self, loc: &WordLoc, copy: bool) -> Operand {
        match loc {
            WordLoc::Whole { reg, word, .. } => {
                let same = self.graph.kind(*reg) == word.kind();
                if same && copy {
                    self.copy(*reg)
                } else {
                    self.reinterpret(*reg, word.kind())
                }
            }
            WordLoc::Bits { slices, word } => {
                let mut bits = None;
                for slice in slices {
                    let part = self.read_slice(slice);
                    bits = Some(match bits {
                        None => part,
                        Some(bits) => self.pure(Opcode::IntOr, bits, part),
                    });
                }
                let bits = bits.unwrap_or(Operand::int(0));
                let extended = match word {
                    Word::I8 | Word::I16 | Word::I32 => {
                        self.pure(Opcode::IntSignext, bits, Operand::int(word.size().into()))
                    }
                    _ => bits,
                };
                self.reinterpret(extended, word.kind())
            }
        }
    }

    /// The bits of a slice where they belong, all others 0.
    fn read_slice(&mut self, slice: &RegSlice) -> Operand {
        let RegSlice {
            reg,
            held,
            from,
            width,
            to,
        } = *slice;
        let mut bits = self.reinterpret(reg, Kind::Int);
        if from != 0 {
            bits = self.pure(Opcode::UintRshift, bits, Operand::int(from.into()));
        }
        if from + width < held.size() * 8 || held.is_signed() {
            bits = self.pure(Opcode::IntAnd, bits, Operand::int(low_bits(width)));
        }
        if to != 0 {
            bits = self.pure(Opcode::IntLshift, bits, Operand::int(to.into()));
        }
        bits
    }

    fn write_word(&mut self, loc: &WordLoc, value: Operand) {
        match loc {
            WordLoc::Whole { reg, .. } => {
                let src = self.reinterpret(value, self.graph.kind(*reg));
                let dst = reg.as_reg().expect("written words are registers");
                self.emit(Op::Move { dst, src });
            }
            WordLoc::Bits { slices, .. } => {
                let value = self.reinterpret(value, Kind::Int);
                for slice in slices {
                    self.write_slice(slice, value);
                }
            }
        }
    }

    fn write_slice(&mut self, slice: &RegSlice, value: Operand) {
        let RegSlice {
            reg, from, width, to, ..
        } = *slice;
        let old = self.reinterpret(reg, Kind::Int);
        let kept = self.pure(Opcode::IntAnd, old, Operand::int(!(low_bits(width) << from)));
        let part = self.pure(Opcode::UintRshift, value, Operand::int(to.into()));
        let part = self.pure(Opcode::IntAnd, part, Operand::int(low_bits(width)));
        let part = self.pure(Opcode::IntLshift, part, Operand::int(from.into()));
        let new = self.pure(Opcode::IntOr, kept, part);
        let src = self.reinterpret(new, self.graph.kind(reg));
        let dst = reg.as_reg().expect("written words are registers");
        self.emit(Op::Move { dst, src });
    }

    // ---- memory

    /// The address of a place in memory, as a reference.
    pub(crate) fn address(&mut self, mem: &Mem) -> Operand {
        match mem.base {
            Base::Object(base) if mem.offset == 0 => base,
            Base::Object(Operand::Const(base)) => Operand::Const(Const::ptr(base.bits + u64::from(mem.offset))),
            Base::Object(base) => {
                let dst = self.reg(Kind::Ref);
                let name = mem.word_name("", 0);
                let descr = field_descr(name, mem.offset, Word::U8, mem.frozen, Pointee::Unknown);
                self.emit(Op::PtrField { dst, base, descr });
                Operand::Reg(dst)
            }
            Base::Item { data, index, size } => {
                let dst = self.reg(Kind::Ref);
                let name = mem.word_name("", 0);
                let descr = array_descr(name, size, mem.offset, Word::U8, mem.frozen, Pointee::Unknown);
                self.emit(Op::PtrItem {
                    dst,
                    base: data,
                    index,
                    descr,
                });
                Operand::Reg(dst)
            }
        }
    }

    /// One word of memory.
    pub(crate) fn load_word(
        &mut self,
        mem: &Mem,
        word: Word,
        offset: u32,
        suffix: &str,
        facts: (bool, Pointee),
    ) -> Operand {
        let dst = self.reg(word.kind());
        let (name, frozen) = (mem.word_name(suffix, offset), mem.frozen && facts.0);
        match mem.base {
            Base::Object(base) => {
                let descr = field_descr(name, mem.offset + offset, word, frozen, facts.1);
                self.emit(Op::Load { dst, base, descr });
            }
            Base::Item { data, index, size } => {
                let descr = array_descr(name, size, mem.offset + offset, word, frozen, facts.1);
                self.emit(Op::LoadItem {
                    dst,
                    base: data,
                    index,
                    descr,
                });
            }
        }
        Operand::Reg(dst)
    }

    pub(crate) fn store_word(
        &mut self,
        mem: &Mem,
        word: Word,
        offset: u32,
        suffix: &str,
        facts: (bool, Pointee),
        src: Operand,
    ) {
        let (name, frozen) = (mem.word_name(suffix, offset), mem.frozen && facts.0);
        match mem.base {
            Base::Object(base) => {
                let descr = field_descr(name, mem.offset + offset, word, frozen, facts.1);
                self.emit(Op::Store { base, src, descr });
            }
            Base::Item { data, index, size } => {
                let descr = array_descr(name, size, mem.offset + offset, word, frozen, facts.1);
                self.emit(Op::StoreItem {
                    base: data,
                    index,
                    src,
                    descr,
                });
            }
        }
    }

    /// The words of the value in memory.
    pub(crate) fn load_words(&mut self, mem: &Mem, ty: Type) -> Vec<Operand> {
        let shape = ty.shape();
        if shape.direct {
            let load = |word: &crate::shape::ShapeWord| {
                self.load_word(mem, word.word, word.offset, &word.name, (word.frozen, word.pointee))
            };
            return shape.words.iter().map(load).collect();
        }
        let at = self.address(mem);
        let at = self.reinterpret(at, Kind::Ref);
        natives::take_apart(self, at, ty)
    }

    /// Writes a value over memory that needs no drop.
    pub(crate) fn store_words(&mut self, mem: &Mem, ty: Type, words: &[Operand]) {
        let shape = ty.shape();
        if shape.direct {
            for (word, src) in shape.words.iter().zip(words) {
                self.store_word(
                    mem,
                    word.word,
                    word.offset,
                    &word.name,
                    (word.frozen, word.pointee),
                    *src,
                );
            }
            return;
        }
        let at = self.address(mem);
        natives::put_together(self, at, ty, words);
    }

    /// A slot for that many words, and `more` bytes behind them.
    pub(crate) fn words_slot(&mut self, words: usize, more: u32) -> Operand {
        self.alloca("words", 8 * words as u32 + more, if more == 0 { 8 } else { 16 })
    }

    /// A word of a slot of whole words.
    pub(crate) fn load_held(&mut self, slot: Operand, number: usize, word: &ShapeWord) -> Operand {
        let memory = Mem::behind(slot, "words".into());
        let (held, name) = (held_whole(word.word.kind()), format!(".{number}"));
        self.load_word(&memory, held, 8 * number as u32, &name, (true, word.pointee))
    }

    /// Fills a slot of whole words.
    pub(crate) fn store_held(&mut self, slot: Operand, shape: &Shape, words: &[Operand]) {
        let memory = Mem::behind(slot, "words".into());
        for (n, (word, src)) in shape.words.iter().zip(words).enumerate() {
            let (held, name) = (held_whole(word.word.kind()), format!(".{n}"));
            self.store_word(&memory, held, 8 * n as u32, &name, (true, word.pointee), *src);
        }
    }

    // ---- places as wholes

    /// The value's words, not moved.
    pub(crate) fn read(&mut self, place: PlaceId, ty: Type) -> Vec<Operand> {
        match self.locate(place) {
            Located::Mem(mem) => self.load_words(&mem, ty),
            Located::Words(locs, copy) => locs.iter().map(|loc| self.read_word(loc, copy)).collect(),
        }
    }

    /// Writes without dropping what was there.
    pub(crate) fn write(&mut self, place: PlaceId, ty: Type, words: &[Operand]) {
        match self.locate(place) {
            Located::Mem(mem) => self.store_words(&mem, ty, words),
            Located::Words(_, false) => {
                let root = self.root_of(place).expect("what is in registers has a root");
                self.need_address(root);
            }
            Located::Words(locs, true) => {
                for (loc, value) in locs.iter().zip(words) {
                    self.write_word(loc, *value);
                }
            }
        }
    }

    /// The place in memory; a root moves there.
    pub(crate) fn in_memory(&mut self, place: PlaceId) -> Mem {
        match self.locate(place) {
            Located::Mem(mem) => mem,
            Located::Words(..) => {
                let root = self.root_of(place).expect("what is in registers has a root");
                self.need_address(root)
            }
        }
    }

    /// The words of a reference to the place.
    pub(crate) fn reference(&mut self, place: PlaceId) -> Vec<Operand> {
        if let PlaceKind::Slice(slice) = self.places[place.0 as usize].kind.clone() {
            return vec![self.data_pointer(&slice.data), slice.len];
        }
        let mem = self.in_memory(place);
        vec![self.address(&mem)]
    }

    pub(crate) fn data_pointer(&mut self, data: &SliceData) -> Operand {
        match data {
            SliceData::Pointer(pointer) => *pointer,
            SliceData::Array(mem) => {
                let address = self.address(mem);
                self.reinterpret(address, Kind::Int)
            }
        }
    }

    /// Whether the place holds this variant.
    pub(crate) fn is_variant(&mut self, place: PlaceId, ty: Type, variant: u32) -> Operand {
        let (Some(structure), Some(view)) = (ty.structure(), ty.view()) else {
            self.refuse(&format!("the variants of `{ty:?}` are not known"))
        };
        if structure.variants().len() < 2 {
            return Operand::int(1);
        }
        match self.locate(place) {
            Located::Mem(mem) => self.is_variant_in_memory(&mem, ty.shape(), structure, variant),
            Located::Words(locs, _) => match &view.tagging {
                Tagging::None => Operand::int(1),
                Tagging::Word { source, word, values } => {
                    let tag = self.read_word(&project_word(&locs, source, *word), false);
                    self.pure(Opcode::IntEq, tag, Operand::int(values[variant as usize]))
                }
                Tagging::Null { source, word } => {
                    let pointer = self.read_word(&project_word(&locs, source, *word), false);
                    self.is_null(pointer, variant == 0)
                }
                Tagging::Niche {
                    source,
                    word,
                    niche,
                    value,
                } => {
                    let found = self.read_word(&project_word(&locs, source, *word), false);
                    if *word == Word::Ref {
                        return self.is_null(found, variant == *niche);
                    }
                    let op = if variant == *niche {
                        Opcode::IntEq
                    } else {
                        Opcode::IntNe
                    };
                    self.pure(op, found, Operand::int(*value))
                }
                Tagging::Native => {
                    let root = self.root_of(place).expect("what is in registers has a root");
                    self.need_address(root);
                    Operand::int(1)
                }
            },
        }
    }

    fn is_variant_in_memory(&mut self, mem: &Mem, shape: &Shape, structure: &TypeShape, variant: u32) -> Operand {
        let facts = (true, Pointee::Unknown);
        match structure {
            TypeShape::Sum { variants, access } => match access.layout(variants) {
                TagLayout::Null => {
                    let first = &variants[1].fields[0].ty.shape().words[0];
                    let facts = (first.frozen, first.pointee);
                    let pointer = self.load_word(mem, first.word, first.offset, &first.name, facts);
                    self.is_null(pointer, variant == 0)
                }
                TagLayout::Niche {
                    niche,
                    value,
                    offset,
                    word,
                    ..
                } => {
                    let is_pointer = |own: &&ShapeWord| own.offset == offset && own.word == Word::Ref;
                    let pointer = shape
                        .words
                        .iter()
                        .filter(|_| shape.direct && value == 0)
                        .find(is_pointer);
                    if let Some(own) = pointer {
                        let found = self.load_word(mem, own.word, offset, &own.name, (own.frozen, own.pointee));
                        return self.is_null(found, variant == niche);
                    }
                    let name = format!(".@{offset}");
                    let found = self.load_word(mem, word, offset, &name, facts);
                    let op = if variant == niche { Opcode::IntEq } else { Opcode::IntNe };
                    self.pure(op, found, Operand::int(value))
                }
                TagLayout::Separate { tag_offset, tag, .. } => {
                    let tag = self.load_word(mem, tag, tag_offset, ".tag", facts);
                    self.pure(Opcode::IntEq, tag, Operand::int(variant.into()))
                }
                TagLayout::Unknown => {
                    let at = self.address(mem);
                    let found = natives::access(self, "variant", assembly::variant_shim as *const (), at, access);
                    self.pure(Opcode::IntEq, found, Operand::int(variant.into()))
                }
            },
            _ => {
                let tag = self.load_word(mem, Word::U8, 0, ".tag", facts);
                let value = structure.variants()[variant as usize].discriminant;
                self.pure(Opcode::IntEq, tag, Operand::int(value.into()))
            }
        }
    }

    fn is_null(&mut self, pointer: Operand, null: bool) -> Operand {
        let kind = self.graph.kind(pointer);
        let op = match (kind, null) {
            (Kind::Ref, true) => Opcode::PtrEq,
            (Kind::Ref, false) => Opcode::PtrNe,
            (_, true) => Opcode::IntIsZero,
            (_, false) => Opcode::IntIsTrue,
        };
        self.pure(op, pointer, Operand::Const(Const { kind, bits: 0 }))
    }
}

/// How a register's content lies in a slot of whole words.
pub(crate) fn held_whole(kind: Kind) -> Word {
    match kind {
        Kind::Int => Word::U64,
        Kind::Ref => Word::Ref,
        Kind::Float => Word::F64,
    }
}

fn low_bits(width: u32) -> u64 {
    if width >= 64 { u64::MAX } else { (1 << width) - 1 }
}

/// The word of a field whose owner's words are `words`.
fn project_word(words: &[WordLoc], source: &Source, word: Word) -> WordLoc {
    let slices = match source {
        Source::Whole(index) => {
            return match words[*index].clone() {
                WordLoc::Whole { reg, held, .. } => WordLoc::Whole { reg, held, word },
                WordLoc::Bits { slices, .. } => WordLoc::Bits { slices, word },
            };
        }
        Source::Bits(slices) => slices,
    };
    let mut parts = Vec::new();
    for slice in slices {
        match &words[slice.word] {
            WordLoc::Whole { reg, held, word: seen } => {
                // Seen as a narrower word than it is held, the register's content is still that word, extended.
                let held = if seen.size() < held.size() { *seen } else { *held };
                parts.push(RegSlice {
                    reg: *reg,
                    held,
                    from: slice.from,
                    width: slice.width,
                    to: slice.to,
                });
            }
            WordLoc::Bits { slices: outer, .. } => {
                for part in outer {
                    let (start, end) = (
                        slice.from.max(part.to),
                        (slice.from + slice.width).min(part.to + part.width),
                    );
                    if start < end {
                        parts.push(RegSlice {
                            from: part.from + start - part.to,
                            width: end - start,
                            to: slice.to + start - slice.from,
                            ..*part
                        });
                    }
                }
            }
        }
    }
    WordLoc::Bits { slices: parts, word }
}

fn field_descr(name: String, offset: u32, word: Word, frozen: bool, pointee: Pointee) -> DescrRef {
    Rc::new(Descr::Field(FieldDescr {
        name,
        offset,
        word,
        memory: Memory::Rust,
        frozen,
        pointee,
    }))
}

fn array_descr(name: String, item_size: u32, offset: u32, word: Word, frozen: bool, pointee: Pointee) -> DescrRef {
    Rc::new(Descr::Array(ArrayDescr {
        name,
        item_size,
        offset,
        word,
        memory: Memory::Rust,
        frozen,
        pointee,
    }))
}
