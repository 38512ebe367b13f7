//! Comparisons, guards, and the jumps that leave.
//!
//! ```text
//! i3 = int_lt(i1, i2)
//! guard_true(i3) [i1]        cmp rax, rcx
//!                            jge stub         ; distance aligned to 4, patched when there is a bridge
//!                            …
//!                      stub: mov r11d, 17     ; the exit's number
//!                            jmp exit
//! ```
//!
//! With forced exits, `dec [countdown]; jz forced` comes before the comparison; registers are settled by then, so both
//! jumps leave with the same places.

use crate::encode::{self, Alu, Cond, Inst, Mem, Rm};
use crate::integers::immediate;
use crate::locations::{Bank, Location, Reg};
use crate::walk::{Late, Walk};
use dynasmrt::{DynasmLabelApi, dynasm};
use metatrace_backend::Forcing;
use metatrace_ir::{Opcode, Ref};
use smallvec::{SmallVec, smallvec};

/// How the flags say that a comparison holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Holds {
    Known(bool),
    If(Cond),
    /// Equal and not unordered.
    FloatEqual,
    /// Not equal, or unordered.
    FloatNotEqual,
}

/// Instructions that set the flags, and change no register but scratch ones; the last one alone sets them.
pub(crate) struct Test {
    pub(crate) insts: SmallVec<[Inst; 2]>,
    pub(crate) holds: Holds,
}

impl Test {
    fn known(holds: bool) -> Test {
        Test {
            insts: SmallVec::new(),
            holds: Holds::Known(holds),
        }
    }

    fn one(inst: Inst, cond: Cond) -> Test {
        Test {
            insts: smallvec![inst],
            holds: Holds::If(cond),
        }
    }
}

fn condition(opcode: Opcode) -> Cond {
    use Opcode::*;
    match opcode {
        IntLt => Cond::Less,
        IntLe => Cond::LessEqual,
        IntEq | PtrEq | IntIsZero => Cond::Equal,
        IntNe | PtrNe | IntIsTrue => Cond::NotEqual,
        IntGt => Cond::Greater,
        IntGe => Cond::GreaterEqual,
        UintLt => Cond::Below,
        UintLe => Cond::BelowEqual,
        UintGt => Cond::Above,
        UintGe => Cond::AboveEqual,
        other => panic!("{} compares no integers", other.name()),
    }
}

impl Walk<'_> {
    /// Settles the operands of a comparison; what to do with them.
    pub(crate) fn compare(&mut self, opcode: Opcode, args: &[Ref]) -> Test {
        match opcode {
            Opcode::IntIsZero | Opcode::IntIsTrue => self.compare_zero(opcode, args[0]),
            _ if self.is_float(args[0]) => self.compare_floats(opcode, args[0], args[1]),
            _ => self.compare_ints(opcode, args[0], args[1]),
        }
    }

    fn compare_zero(&mut self, opcode: Opcode, a: Ref) -> Test {
        let cond = condition(opcode);
        match self.operand(a) {
            Location::Register(reg) => Test::one(encode::test(reg, reg), cond),
            Location::Slot(slot) => Test::one(encode::alu_imm(Alu::Cmp, Rm::Mem(Mem::frame(slot.offset())), 0), cond),
            Location::Constant(bits) => Test::known((bits == 0) == (opcode == Opcode::IntIsZero)),
            Location::FrameAddress(_) => Test::known(opcode == Opcode::IntIsTrue),
        }
    }

    fn compare_ints(&mut self, opcode: Opcode, a: Ref, b: Ref) -> Test {
        let is_constant = |location| matches!(location, Location::Constant(_));
        let (mut left, mut right) = (self.operand(a), self.operand(b));
        if let (Location::Constant(left), Location::Constant(right)) = (left, right) {
            return Test::known(metatrace_ir::eval::eval(opcode, &[left, right]) == Some(1));
        }
        let mut cond = condition(opcode);
        if is_constant(left) {
            (left, right) = (right, left);
            cond = condition(opcode.swapped().expect("comparisons of integers can be swapped"));
        }
        if let Location::FrameAddress(_) = left {
            // seldom enough: addresses of frame slots compared with something
            let value = if self.locate(a) == left { a } else { b };
            left = Location::Register(self.in_register(value));
        }
        let mut insts = SmallVec::new();
        let left = match left {
            Location::Register(reg) => Rm::Reg(reg),
            Location::Slot(slot) => Rm::Mem(Mem::frame(slot.offset())),
            other => panic!("{other:?} on the left of a comparison"),
        };
        let last = match (left, immediate(right), right) {
            (Rm::Reg(reg), Some(0), _) => encode::test(reg, reg),
            (left, Some(imm), _) => encode::alu_imm(Alu::Cmp, left, imm),
            (left, None, Location::Register(reg)) => encode::alu_reversed(Alu::Cmp, left, reg),
            (Rm::Reg(reg), None, Location::Slot(slot)) => {
                encode::alu(Alu::Cmp, reg, Rm::Mem(Mem::frame(slot.offset())))
            }
            (left, None, right) => {
                insts.push(match right {
                    Location::Constant(bits) => encode::mov_imm(Reg::R11, bits),
                    Location::FrameAddress(offset) => encode::lea(Reg::R11, Mem::frame(offset)),
                    Location::Slot(slot) => encode::load(Reg::R11, Mem::frame(slot.offset()), metatrace_ir::Word::U64),
                    Location::Register(reg) => encode::mov(Reg::R11, reg),
                });
                encode::alu_reversed(Alu::Cmp, left, Reg::R11)
            }
        };
        insts.push(last);
        Test {
            insts,
            holds: Holds::If(cond),
        }
    }

    /// `ucomisd` sets carry and zero for a NaN, so orders are asked for as above or above-equal.
    fn compare_floats(&mut self, opcode: Opcode, a: Ref, b: Ref) -> Test {
        use Opcode::*;
        let (a, b, holds) = match opcode {
            FloatGt => (a, b, Holds::If(Cond::Above)),
            FloatGe => (a, b, Holds::If(Cond::AboveEqual)),
            FloatLt => (b, a, Holds::If(Cond::Above)),
            FloatLe => (b, a, Holds::If(Cond::AboveEqual)),
            FloatEq => (a, b, Holds::FloatEqual),
            FloatNe => (a, b, Holds::FloatNotEqual),
            other => panic!("{} compares no floats", other.name()),
        };
        let (left, right) = (self.operand(a), self.operand(b));
        let right = self.rm(Bank::Float, right);
        let mut insts = SmallVec::new();
        let left = match left {
            Location::Register(reg) => reg,
            other => {
                let left = self.rm(Bank::Float, other);
                insts.push(encode::load_word(Reg::XMM15, left));
                Reg::XMM15
            }
        };
        insts.push(encode::ucomisd(left, right));
        Test { insts, holds }
    }

    /// `guard_value`: the same bits, of floats, too.
    fn compare_bits(&mut self, value: Ref, bits: u64) -> Test {
        let location = self.operand(value);
        let imm = i32::try_from(bits as i64).ok();
        let left = match location {
            Location::Constant(known) => return Test::known(known == bits),
            Location::Register(reg) if reg.bank() == Bank::General => Rm::Reg(reg),
            Location::Slot(slot) => Rm::Mem(Mem::frame(slot.offset())),
            Location::Register(reg) => {
                let word = self.temporary(Bank::General);
                self.code.push(encode::mov(word, reg));
                Rm::Reg(word)
            }
            Location::FrameAddress(_) => Rm::Reg(self.in_register(value)),
        };
        let cond = Holds::If(Cond::Equal);
        match (left, imm) {
            (Rm::Reg(reg), Some(0)) => Test {
                insts: smallvec![encode::test(reg, reg)],
                holds: cond,
            },
            (left, Some(imm)) => Test {
                insts: smallvec![encode::alu_imm(Alu::Cmp, left, imm)],
                holds: cond,
            },
            (left, None) => {
                let constant = encode::mov_imm(Reg::R11, bits);
                Test {
                    insts: smallvec![constant, encode::alu_reversed(Alu::Cmp, left, Reg::R11)],
                    holds: cond,
                }
            }
        }
    }

    /// What a guard tests: the test, and what it must give for the trace to go on.
    fn tested(&mut self) -> (Test, bool) {
        let op = &self.trace.ops[self.at];
        let flags = |cond| Test {
            insts: SmallVec::new(),
            holds: Holds::If(cond),
        };
        match op.opcode {
            Opcode::GuardTrue | Opcode::GuardFalse => {
                let wanted = op.opcode == Opcode::GuardTrue;
                let test = match self.live.fused[self.at] {
                    Some(comparison) => {
                        let comparison = &self.trace.ops[comparison];
                        self.compare(comparison.opcode, &comparison.args)
                    }
                    None => self.compare_zero(Opcode::IntIsTrue, op.args[0]),
                };
                (test, wanted)
            }
            Opcode::GuardNonnull => (self.compare_zero(Opcode::IntIsTrue, op.args[0]), true),
            Opcode::GuardIsnull => (self.compare_zero(Opcode::IntIsZero, op.args[0]), true),
            Opcode::GuardValue => {
                let Some(constant) = self.trace.as_const(op.args[1]) else {
                    panic!("guard_value without a constant")
                };
                (self.compare_bits(op.args[0], constant.bits), true)
            }
            Opcode::GuardNoOverflow => (flags(Cond::Overflow), false),
            Opcode::GuardOverflow => (flags(Cond::Overflow), true),
            // what the shim of the call says, in its second register
            Opcode::GuardNoException => (Test::one(encode::test32(Reg::RDX, Reg::RDX), Cond::Equal), true),
            Opcode::GuardAlwaysFails => (Test::known(false), true),
            other => panic!("{} is no guard", other.name()),
        }
    }

    pub(crate) fn guard(&mut self) {
        let (Test { mut insts, holds }, wanted) = self.tested();
        let exit = self.record_exit();
        if self.force(exit) {
            return;
        }
        let last = insts.pop();
        insts.into_iter().for_each(|inst| self.code.push(inst));
        match (holds, wanted) {
            (Holds::Known(holds), wanted) if holds == wanted => {}
            (Holds::Known(_), _) => self.code.leave_always(exit),
            (Holds::If(cond), true) => self.code.leave_if(last, cond.negated(), exit),
            (Holds::If(cond), false) => self.code.leave_if(last, cond, exit),
            (Holds::FloatEqual, true) | (Holds::FloatNotEqual, false) => {
                self.code.leave_if(last, Cond::NotEqual, exit);
                self.code.leave_if(None, Cond::Parity, exit);
            }
            (Holds::FloatEqual, false) | (Holds::FloatNotEqual, true) => {
                last.into_iter().for_each(|inst| self.code.push(inst));
                let unordered = self.code.ops.new_dynamic_label();
                dynasm!(self.code.ops ; .arch x64 ; jp =>unordered);
                self.code.leave_if(None, Cond::Equal, exit);
                self.code.ops.dynamic_label(unordered);
                self.code.is_joined();
            }
        }
    }

    /// Code that makes the guard fail now and then, or always; whether always.
    fn force(&mut self, exit: u32) -> bool {
        let op = &self.trace.ops[self.at];
        let guard = self.exits[exit as usize].guard;
        if !self.context.forcing.applies_to(op.opcode, guard) {
            return false;
        }
        if let Forcing::Guard(_) = self.context.forcing {
            self.code.leave_always(exit);
            return true;
        }
        let countdown = self.context.countdown.expect("exits are forced by a countdown");
        let start = self.code.ops.new_dynamic_label();
        self.code.push(encode::mov_imm(Reg::R11, countdown));
        dynasm!(self.code.ops ; .arch x64 ; dec QWORD [r11] ; jz =>start);
        self.late.push(Late::Forced { start, exit });
        false
    }
}
