//! Steps that make memory, link what they made, compare its addresses, and tell others of it.

use super::{Generator, Role, field, items};
use metatrace_ir::{Const, Descr, DescrRef, Kind, Memory, Op, Opcode, Pointee, Ref, SizeDescr, Word};
use std::rc::Rc;

fn counted() -> DescrRef {
    field("rc", 48, Word::Ref, Pointee::Counted, true, Memory::Rust)
}

fn object(vtable: Option<u64>) -> DescrRef {
    Rc::new(Descr::Size(SizeDescr {
        name: "object".to_string(),
        size: 96,
        align: 8,
        vtable,
        memory: Memory::Rust,
    }))
}

impl Generator {
    /// An object of the trace's own, some fields of which are stored, and which may be told to others.
    pub(super) fn allocate(&mut self) {
        let (own, role) = match self.random.below(5) {
            0 => (self.make(Opcode::Alloca, &[], object(None)), Role::Passing),
            1 => (self.make(Opcode::NewWithVtable, &[], object(Some(0x4200))), Role::Own),
            2 => return self.array(),
            _ => (self.make(Opcode::New, &[], object(None)), Role::Own),
        };
        for (offset, word) in [(0, Word::I64), (8, Word::U8), (16, Word::F64), (24, Word::Length)] {
            // a slot holds nothing before
            if role == Role::Own && self.random.one_in(2) {
                continue;
            }
            let value = self.of_word(word);
            let name = format!("{word:?}@{offset}");
            let descr = field(&name, offset, word, Pointee::Unknown, true, Memory::Rust);
            self.set(own, value, descr);
        }
        if self.random.one_in(3)
            && let Some((other, _)) = self.find(|role| role == Role::Unknown)
        {
            self.set(own, other, counted());
        }
        self.visible.push((own, role));
        if self.random.one_in(4)
            && let Some((other, _)) = self.find(|role| role == Role::Unknown)
        {
            self.set(other, own, counted());
        }
    }

    fn make(&mut self, opcode: Opcode, args: &[Ref], descr: DescrRef) -> Ref {
        self.trace.push(Op::with_descr(opcode, args, descr))
    }

    fn set(&mut self, pointer: Ref, value: Ref, descr: DescrRef) {
        self.make(Opcode::SetfieldGc, &[pointer, value], descr);
    }

    /// An array, its data pointer, and some items.
    fn array(&mut self) {
        let length = self.constant(16);
        // 16 items of one byte are less than some accesses need
        let descr = items(&mut self.random);
        let array = self.make(Opcode::NewArray, &[length], descr);
        let data = self.trace.push(Op::new(Opcode::CastPtrToInt, &[array]));
        for _ in 0..self.random.below(4) {
            self.store_item(data);
        }
        self.visible.extend([(array, Role::Own), (data, Role::UnknownBuffer)]);
    }

    /// What becomes of an object that was made: others hold it, its address is compared.
    pub(super) fn use_own(&mut self) {
        let Some((own, _)) = self.find(|role| role == Role::Own) else {
            return self.allocate();
        };
        match self.random.below(6) {
            0..=2 => {
                let (holder, _) = self.find(|role| role == Role::Own).expect("one at least");
                self.set(holder, own, counted());
                if self.random.one_in(3) {
                    self.set(own, holder, counted());
                }
                let load = Op::with_descr(Opcode::GetfieldGcR, &[own], counted());
                if self.random.one_in(2) {
                    self.push(load, Role::Unknown);
                }
            }
            3 => {
                let guard = *self.random.pick(&[Opcode::GuardNonnull, Opcode::GuardIsnull]);
                self.exit(guard, &[own]);
            }
            4 => {
                let copy = self.push(Op::new(Opcode::SameAsR, &[own]), Role::Own);
                let number = self.trace.push(Op::new(Opcode::CastPtrToInt, &[copy]));
                self.visible.push((number, Role::UnknownBuffer));
            }
            _ => {
                let null = self.trace.constant(Const::ptr(0));
                let other = self.find(|role| role.is_object()).map_or(null, |(other, _)| other);
                let other = if self.random.one_in(4) { null } else { other };
                let opcode = *self.random.pick(&[Opcode::PtrEq, Opcode::PtrNe]);
                debug_assert_eq!(self.trace.kind(other), Kind::Ref);
                self.push(Op::new(opcode, &[own, other]), Role::Number);
            }
        }
    }
}
