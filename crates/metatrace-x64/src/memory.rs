//! The code of loads, stores and address computations.
//!
//! An address becomes one memory operand: base, index times 1, 2, 4 or 8, displacement. What does not fit is computed
//! into a register first: the scratch register, or one that remembers it for the accesses that follow, as to the
//! words of one item.

use crate::encode::{self, Mem, Rm, Shift};
use crate::integers::immediate;
use crate::locations::{Bank, Location, Reg};
use crate::walk::{Scaled, Walk};
use metatrace_ir::{Opcode, Ref, Word};

impl Walk<'_> {
    pub(crate) fn load(&mut self) {
        let op = &self.trace.ops[self.at];
        let (mem, word) = match op.opcode {
            Opcode::GetfieldGcI | Opcode::GetfieldGcR | Opcode::GetfieldGcF => self.field(),
            _ => self.item(),
        };
        let to = self.define();
        self.code.push(encode::load(to, mem, word));
    }

    pub(crate) fn store(&mut self) {
        let op = &self.trace.ops[self.at];
        let value = *op.args.last().expect("a store has a value");
        let (mem, word) = match op.opcode {
            Opcode::SetfieldGc => self.field(),
            _ => self.item(),
        };
        let imm = match self.locate(value) {
            Location::Constant(bits) if word.size() < 8 => Some(bits as i32),
            location => immediate(location),
        };
        let inst = match imm {
            Some(imm) => encode::store_imm(mem, imm, word),
            None => {
                let from = self.stored(value, mem);
                encode::store(mem, from, word)
            }
        };
        self.code.push(inst);
    }

    /// The value of a store in a register, the scratch register if the address does not need it.
    fn stored(&mut self, value: Ref, mem: Mem) -> Reg {
        let bank = if self.is_float(value) {
            Bank::Float
        } else {
            Bank::General
        };
        let in_address = |reg| mem.base == reg || mem.index.is_some_and(|(index, _)| index == reg);
        let scratch_is_free = !in_address(bank.scratch());
        match self.operand(value) {
            Location::Register(reg) => reg,
            location if scratch_is_free => {
                let scratch = bank.scratch();
                self.load_location(scratch, location);
                scratch
            }
            _ => self.in_register(value),
        }
    }

    pub(crate) fn address(&mut self) {
        let mem = match self.trace.ops[self.at].opcode {
            Opcode::PtrField => self.field().0,
            _ => self.item().0,
        };
        let to = self.define();
        self.code.push(match mem {
            Mem {
                base,
                index: None,
                disp: 0,
            } => encode::mov(to, base),
            mem => encode::lea(to, mem),
        });
    }

    fn field(&mut self) -> (Mem, Word) {
        let op = &self.trace.ops[self.at];
        let field = op.descr().field();
        (self.at_offset(op.args[0], field.offset.into()), field.word)
    }

    fn item(&mut self) -> (Mem, Word) {
        let op = &self.trace.ops[self.at];
        let array = op.descr().array();
        let (base, index) = (op.args[0], op.args[1]);
        let mem = match self.locate(index) {
            Location::Constant(index) => {
                let offset = index
                    .wrapping_mul(array.item_size.into())
                    .wrapping_add(array.offset.into());
                self.at_offset(base, offset)
            }
            _ => self.at_index(base, index, array.item_size, array.offset),
        };
        (mem, array.word)
    }

    fn at_offset(&mut self, base: Ref, offset: u64) -> Mem {
        let disp = i32::try_from(offset as i64).ok();
        match (self.locate(base), disp) {
            (Location::Constant(address), _) => {
                self.code.push(encode::mov_imm(Reg::R11, address.wrapping_add(offset)));
                Mem::new(Reg::R11, 0)
            }
            (Location::FrameAddress(at), Some(disp)) if at.checked_add(disp).is_some() => Mem::frame(at + disp),
            (_, Some(disp)) => Mem::new(self.in_register(base), disp),
            (_, None) => {
                let base = self.in_register(base);
                self.code.push(encode::mov_imm(Reg::R11, offset));
                Mem {
                    base,
                    index: Some((Reg::R11, 0)),
                    disp: 0,
                }
            }
        }
    }

    fn at_index(&mut self, base: Ref, index: Ref, size: u32, offset: u32) -> Mem {
        let (base, disp) = match (self.locate(base), i32::try_from(offset)) {
            (Location::FrameAddress(at), Ok(offset)) if at.checked_add(offset).is_some() => (Reg::RBP, at + offset),
            // the scratch register may be needed for the index
            (Location::Constant(address), _) => {
                let reg = self.temporary(Bank::General);
                self.code
                    .push(encode::mov_imm(reg, address.wrapping_add(offset.into())));
                (reg, 0)
            }
            (_, Ok(offset)) => (self.in_register(base), offset),
            (_, Err(_)) => panic!("an item of more than 2 GiB"),
        };
        let (index, shift) = self.scaled(index, size);
        Mem {
            base,
            index: Some((index, shift)),
            disp,
        }
    }

    /// A register and a shift that give `index * size`. What takes instructions is remembered if it is needed again.
    fn scaled(&mut self, index: Ref, size: u32) -> (Reg, u8) {
        let shift = size.trailing_zeros().min(3) as u8;
        if size >> shift == 1 {
            return (self.in_register(index), shift);
        }
        let again = self.live.scaled_again[self.at];
        if let Some(n) = self
            .scaled
            .iter()
            .position(|scaled| (scaled.index, scaled.size) == (index, size))
        {
            let Scaled { reg, shift, .. } = if again {
                self.scaled[n]
            } else {
                self.scaled.swap_remove(n)
            };
            self.pinned.insert(reg);
            return (reg, shift);
        }
        let from = self.in_register(index);
        let reg = if again { self.temporary(Bank::General) } else { Reg::R11 };
        let shift = self.scale(reg, from, size);
        if again {
            self.scaled.push(Scaled {
                index,
                size,
                reg,
                shift,
            });
        }
        (reg, shift)
    }

    /// Code that makes `to` an index times a size, but for the shift that is returned.
    fn scale(&mut self, to: Reg, index: Reg, size: u32) -> u8 {
        let shift = size.trailing_zeros().min(3) as u8;
        if let odd @ (3 | 5 | 9) = size >> shift {
            let times = Mem {
                base: index,
                index: Some((index, (odd - 1).trailing_zeros() as u8)),
                disp: 0,
            };
            self.code.push(encode::lea(to, times));
            return shift;
        }
        if size.is_power_of_two() {
            self.code.push(encode::mov(to, index));
            self.code
                .push(encode::shift_imm(Shift::Left, to, size.trailing_zeros() as u8));
        } else if let Ok(size) = i32::try_from(size) {
            self.code.push(encode::imul_imm(to, Rm::Reg(index), size));
        } else {
            self.code.push(encode::mov_imm(to, size.into()));
            self.code.push(encode::imul(to, Rm::Reg(index)));
        }
        0
    }
}
