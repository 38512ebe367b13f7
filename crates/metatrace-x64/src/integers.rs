//! The code of operations on integers.

use crate::encode::{self, Alu, Cond, Count, Mem, Rm, Shift, Unary};
use crate::guards::Holds;
use crate::locations::{Bank, Location, Reg, RegSet};
use crate::walk::Walk;
use metatrace_ir::{Opcode, Ref, Word};

/// A constant that fits an instruction, sign-extended.
pub(crate) fn immediate(location: Location) -> Option<i32> {
    match location {
        Location::Constant(bits) => i32::try_from(bits as i64).ok(),
        _ => None,
    }
}

impl Walk<'_> {
    pub(crate) fn int_op(&mut self) {
        use Opcode::*;
        let op = &self.trace.ops[self.at];
        let a = op.args[0];
        let b = op.args.get(1).copied().unwrap_or(a);
        match op.opcode {
            IntAdd => self.add(a, b),
            IntSub => self.sub(a, b),
            IntAddOvf => self.alu_op(Alu::Add, a, b, true),
            IntSubOvf => self.alu_op(Alu::Sub, a, b, false),
            IntAnd => self.and(a, b),
            IntOr => self.alu_op(Alu::Or, a, b, true),
            IntXor => self.alu_op(Alu::Xor, a, b, true),
            IntMul | IntMulOvf => self.multiply(a, b),
            UintMulHigh => self.multiply_high(a, b),
            IntFloordiv => self.divide(Unary::Idiv, Reg::RAX, a, b),
            IntMod => self.divide(Unary::Idiv, Reg::RDX, a, b),
            UintFloordiv => self.divide(Unary::Div, Reg::RAX, a, b),
            UintMod => self.divide(Unary::Div, Reg::RDX, a, b),
            IntLshift => self.shift(Shift::Left, a, b),
            IntRshift => self.shift(Shift::Arithmetic, a, b),
            UintRshift => self.shift(Shift::Logical, a, b),
            IntNeg => self.unary(Unary::Neg, a),
            IntInvert => self.unary(Unary::Not, a),
            IntSignext => self.sign_extend(a, b),
            IntClz => self.count_bits(Count::Lzcnt, a),
            IntCtz => self.count_bits(Count::Tzcnt, a),
            IntPopcount => self.count_bits(Count::Popcnt, a),
            other => panic!("{} is no operation on integers", other.name()),
        }
    }

    fn alu_op(&mut self, op: Alu, a: Ref, b: Ref, commutes: bool) {
        let (to, right) = self.two_address(a, b, commutes);
        self.alu(op, to, right);
    }

    fn alu(&mut self, op: Alu, to: Reg, right: Location) {
        let inst = match immediate(right) {
            Some(imm) => encode::alu_imm(op, Rm::Reg(to), imm),
            None => {
                let right = self.rm(Bank::General, right);
                encode::alu(op, to, right)
            }
        };
        self.code.push(inst);
    }

    fn add(&mut self, a: Ref, b: Ref) {
        let (a, b) = if self.known(a).is_some() { (b, a) } else { (a, b) };
        if !self.sum(a, b, 1) {
            self.alu_op(Alu::Add, a, b, true);
        }
    }

    fn sub(&mut self, a: Ref, b: Ref) {
        let negated = immediate(self.locate(b)).is_some_and(|imm| imm != i32::MIN);
        if !(negated && self.sum(a, b, -1)) {
            self.alu_op(Alu::Sub, a, b, false);
        }
    }

    /// `a + sign * b` in a register of its own, where both are needed later on: one `lea`. Whether that was so.
    fn sum(&mut self, a: Ref, b: Ref, sign: i32) -> bool {
        let Location::Register(base) = self.locate(a) else {
            return false;
        };
        if self.dies(a) {
            return false;
        }
        let mem = match self.locate(b) {
            Location::Register(index) if !self.dies(b) && sign == 1 => Mem {
                base,
                index: Some((index, 0)),
                disp: 0,
            },
            location => match immediate(location) {
                Some(imm) => Mem::new(base, sign * imm),
                None => return false,
            },
        };
        let to = self.define();
        self.code.push(encode::lea(to, mem));
        true
    }

    fn and(&mut self, a: Ref, b: Ref) {
        let (a, b) = if self.known(a).is_some() { (b, a) } else { (a, b) };
        let word = match self.locate(b) {
            Location::Constant(0xff) => Some(Word::U8),
            Location::Constant(0xffff) => Some(Word::U16),
            Location::Constant(0xffff_ffff) => Some(Word::U32),
            _ => None,
        };
        if let Some(word) = word {
            return self.extend(a, word);
        }
        let (to, right) = self.two_address(a, b, true);
        match immediate(right) {
            Some(imm) if imm >= 0 => self.code.push(encode::and32_imm(to, imm)),
            _ => self.alu(Alu::And, to, right),
        }
    }

    fn sign_extend(&mut self, a: Ref, bytes: Ref) {
        let word = match self.locate(bytes) {
            Location::Constant(1) => Word::I8,
            Location::Constant(2) => Word::I16,
            Location::Constant(4) => Word::I32,
            other => panic!("int_signext to {other:?} bytes"),
        };
        self.extend(a, word);
    }

    fn extend(&mut self, a: Ref, word: Word) {
        let from = self.operand(a);
        let from = self.rm(Bank::General, from);
        let to = self.define();
        self.code.push(encode::extend(to, from, word));
    }

    fn multiply(&mut self, a: Ref, b: Ref) {
        let (a, b) = if self.known(a).is_some() { (b, a) } else { (a, b) };
        if let Some(imm) = immediate(self.locate(b)) {
            let from = self.operand(a);
            let from = self.rm(Bank::General, from);
            let to = self.define();
            self.code.push(encode::imul_imm(to, from, imm));
        } else {
            let (to, right) = self.two_address(a, b, true);
            let right = self.rm(Bank::General, right);
            self.code.push(encode::imul(to, right));
        }
    }

    fn unary(&mut self, op: Unary, a: Ref) {
        let to = self.define_over(a);
        self.code.push(encode::unary(op, Rm::Reg(to)));
    }

    /// `a` in rax for an instruction that changes rax and rdx, and `b` where that instruction can read it.
    fn in_rax(&mut self, a: Ref, b: Ref) -> Rm {
        let pair = RegSet::of(&[Reg::RAX, Reg::RDX]);
        let right = match self.operand(b) {
            Location::Register(reg) if pair.contains(reg) => {
                self.code.push(encode::mov(Reg::R11, reg));
                Rm::Reg(Reg::R11)
            }
            location => self.rm(Bank::General, location),
        };
        let left = self.operand(a);
        if left == Location::Register(Reg::RAX) && self.dies(a) {
            self.drop_register(Reg::RAX);
        } else {
            self.clear(Reg::RAX, pair);
            // if it was in rax it still is, and elsewhere, too
            self.load_location(Reg::RAX, left);
        }
        self.pinned.insert(Reg::RAX);
        self.clear(Reg::RDX, pair);
        right
    }

    fn multiply_high(&mut self, a: Ref, b: Ref) {
        let right = self.in_rax(a, b);
        self.code.push(encode::unary(Unary::Mul, right));
        self.define_in(Reg::RDX);
    }

    fn divide(&mut self, op: Unary, result: Reg, a: Ref, b: Ref) {
        let right = self.in_rax(a, b);
        self.code.push(match op {
            Unary::Idiv => encode::cqo(),
            _ => encode::mov_imm(Reg::RDX, 0),
        });
        self.code.push(encode::unary(op, right));
        self.define_in(result);
    }

    fn shift(&mut self, op: Shift, a: Ref, b: Ref) {
        if let Location::Constant(count) = self.locate(b) {
            let to = self.define_over(a);
            self.code.push(encode::shift_imm(op, to, (count & 63) as u8));
        } else if self.context.features.bmi2 {
            let count = self.in_register(b);
            let from = self.operand(a);
            let from = self.rm(Bank::General, from);
            let to = self.define();
            self.code.push(encode::shift_by(op, to, from, count));
        } else {
            self.shift_by_cl(op, a, b);
        }
    }

    fn shift_by_cl(&mut self, op: Shift, a: Ref, b: Ref) {
        let count = self.operand(b);
        if count != Location::Register(Reg::RCX) {
            self.clear(Reg::RCX, RegSet::EMPTY);
            self.load_location(Reg::RCX, count);
        }
        self.pinned.insert(Reg::RCX);
        // not in the count's register, even where the value is the count
        let from = self.operand(a);
        let to = match from {
            Location::Register(reg) if reg != Reg::RCX && self.dies(a) => {
                self.define_in(reg);
                reg
            }
            from => {
                let to = self.define_apart();
                self.load_location(to, from);
                to
            }
        };
        self.code.push(encode::shift_cl(op, to));
    }

    fn count_bits(&mut self, op: Count, a: Ref) {
        let features = self.context.features;
        let exists = match op {
            Count::Lzcnt => features.lzcnt,
            Count::Tzcnt => features.bmi1,
            _ => features.popcnt,
        };
        if exists {
            let from = self.operand(a);
            let from = self.rm(Bank::General, from);
            let to = self.define();
            self.code.push(encode::count(op, to, from));
            return;
        }
        let to = self.define_over(a);
        match op {
            Count::Lzcnt => self.scan_bits(Count::Bsr, to, 127),
            Count::Tzcnt => self.scan_bits(Count::Bsf, to, 64),
            _ => self.sum_bits(to),
        }
        if op == Count::Lzcnt {
            // from the position of the highest bit to the number of zeros above it; 127 to 64
            self.code.push(encode::alu_imm(Alu::Xor, Rm::Reg(to), 63));
        }
    }

    fn scan_bits(&mut self, op: Count, to: Reg, of_zero: u64) {
        self.code.push(encode::mov_imm(Reg::R11, of_zero));
        self.code.push(encode::count(op, to, Rm::Reg(to)));
        self.code.push(encode::cmov(Cond::Equal, to, Reg::R11));
    }

    /// The sum of the bits in pairs, of those in fours, in bytes, then of the bytes by a multiplication (Warren,
    /// Hacker's Delight, 5-1).
    fn sum_bits(&mut self, to: Reg) {
        let half = self.temporary(Bank::General);
        let masked = |walk: &mut Self, reg: Reg, mask: u64| {
            walk.code.push(encode::mov_imm(Reg::R11, mask));
            walk.code.push(encode::alu(Alu::And, reg, Rm::Reg(Reg::R11)));
        };
        let shifted = |walk: &mut Self, count: u8| {
            walk.code.push(encode::mov(half, to));
            walk.code.push(encode::shift_imm(Shift::Logical, half, count));
        };
        shifted(self, 1);
        masked(self, half, 0x5555_5555_5555_5555);
        self.code.push(encode::alu(Alu::Sub, to, Rm::Reg(half)));
        shifted(self, 2);
        masked(self, half, 0x3333_3333_3333_3333);
        masked(self, to, 0x3333_3333_3333_3333);
        self.code.push(encode::alu(Alu::Add, to, Rm::Reg(half)));
        shifted(self, 4);
        self.code.push(encode::alu(Alu::Add, to, Rm::Reg(half)));
        masked(self, to, 0x0f0f_0f0f_0f0f_0f0f);
        self.code.push(encode::mov_imm(Reg::R11, 0x0101_0101_0101_0101));
        self.code.push(encode::imul(to, Rm::Reg(Reg::R11)));
        self.code.push(encode::shift_imm(Shift::Logical, to, 56));
    }

    /// A comparison whose result is a value.
    pub(crate) fn comparison(&mut self) {
        let op = &self.trace.ops[self.at];
        let test = self.compare(op.opcode, &op.args);
        let to = self.define();
        test.insts.into_iter().for_each(|inst| self.code.push(inst));
        match test.holds {
            Holds::Known(holds) => self.code.push(encode::mov_imm(to, holds.into())),
            Holds::If(cond) => {
                self.code.push(encode::setcc(cond, to));
                self.code.push(encode::extend(to, Rm::Reg(to), Word::U8));
            }
            Holds::FloatEqual | Holds::FloatNotEqual => {
                // NaN sets the parity flag, and equality, too
                let (ordered, unequal) = if test.holds == Holds::FloatEqual {
                    (Cond::NoParity, 0)
                } else {
                    (Cond::Parity, 1)
                };
                self.code.push(encode::mov_imm(Reg::R11, unequal));
                self.code.push(encode::setcc(ordered, to));
                self.code.push(encode::extend(to, Rm::Reg(to), Word::U8));
                self.code.push(encode::cmov(Cond::NotEqual, to, Reg::R11));
            }
        }
    }
}
