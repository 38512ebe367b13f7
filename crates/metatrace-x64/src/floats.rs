//! The code of operations on floats, and of conversions.
//!
//! Conversions to integers take what the CPU gives, unless that is the value by which it reports that it has none; then
//! code behind the rest does as Rust wants it: saturate, and 0 for NaN.

use crate::encode::{self, Alu, Cond, Rm, Shift, Sse};
use crate::locations::{Bank, Location, Reg};
use crate::walk::{Late, Walk};
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use metatrace_ir::{Opcode, Ref};

const SIGN: u64 = 1 << 63;
/// 2^63.
const TWO_63: u64 = 0x43e0_0000_0000_0000;

/// A conversion whose fast way gave no result.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SlowConversion {
    FloatToInt { from: Reg, to: Reg },
    FloatToUint { from: Reg, to: Reg },
    UintToFloat { from: Reg, to: Reg },
}

impl Walk<'_> {
    pub(crate) fn float_op(&mut self) {
        use Opcode::*;
        let op = &self.trace.ops[self.at];
        let a = op.args[0];
        match op.opcode {
            FloatAdd => self.sse(Sse::Add, a, op.args[1], true),
            FloatSub => self.sse(Sse::Sub, a, op.args[1], false),
            FloatMul => self.sse(Sse::Mul, a, op.args[1], true),
            FloatTruediv => self.sse(Sse::Div, a, op.args[1], false),
            FloatNeg => {
                let to = self.define_over(a);
                let mask = self.pool_mask(SIGN);
                self.code.push(encode::xorps(to, mask));
            }
            FloatAbs => {
                let to = self.define_over(a);
                let mask = self.pool_mask(!SIGN);
                self.code.push(encode::andps(to, mask));
            }
            FloatSqrt => {
                let to = self.define_over(a);
                self.code.push(encode::sse_op(Sse::Sqrt, to, Rm::Reg(to)));
            }
            CastFloatToInt => self.float_to_int(a),
            CastFloatToUint => self.float_to_uint(a),
            CastIntToFloat => self.int_to_float(a),
            CastUintToFloat => self.uint_to_float(a),
            ConvertFloatBytesToLonglong | ConvertLonglongBytesToFloat => self.reinterpret(a),
            other => panic!("{} is no operation on floats", other.name()),
        }
    }

    fn sse(&mut self, op: Sse, a: Ref, b: Ref, commutes: bool) {
        let (to, right) = self.two_address(a, b, commutes);
        let right = self.rm(Bank::Float, right);
        self.code.push(encode::sse_op(op, to, right));
    }

    /// The same bits in the other bank.
    fn reinterpret(&mut self, a: Ref) {
        let from = self.operand(a);
        let to = self.define();
        self.load_location(to, from);
    }

    fn int_to_float(&mut self, a: Ref) {
        let from = self.operand(a);
        let from = self.rm(Bank::General, from);
        let to = self.define();
        // the instruction leaves the upper half as it is, and so would wait for it
        self.code.push(encode::xorps(to, Rm::Reg(to)));
        self.code.push(encode::cvtsi2sd(to, from));
    }

    fn uint_to_float(&mut self, a: Ref) {
        let from = self.in_register(a);
        let to = self.define();
        self.code.push(encode::test(from, from));
        let (start, back) = self.slowly(SlowConversion::UintToFloat { from, to });
        dynasm!(self.code.ops ; .arch x64 ; js =>start);
        self.code.push(encode::xorps(to, Rm::Reg(to)));
        self.code.push(encode::cvtsi2sd(to, Rm::Reg(from)));
        self.code.ops.dynamic_label(back);
    }

    fn float_to_int(&mut self, a: Ref) {
        let from = self.in_register(a);
        let to = self.define();
        self.code.push(encode::cvttsd2si(to, Rm::Reg(from)));
        // overflows for i64::MIN only, which stands for "no result"
        self.code.push(encode::alu_imm(Alu::Cmp, Rm::Reg(to), 1));
        let (start, back) = self.slowly(SlowConversion::FloatToInt { from, to });
        dynasm!(self.code.ops ; .arch x64 ; jo =>start);
        self.code.ops.dynamic_label(back);
    }

    fn float_to_uint(&mut self, a: Ref) {
        let from = self.in_register(a);
        let to = self.define();
        self.code.push(encode::cvttsd2si(to, Rm::Reg(from)));
        self.code.push(encode::test(to, to));
        let (start, back) = self.slowly(SlowConversion::FloatToUint { from, to });
        dynasm!(self.code.ops ; .arch x64 ; js =>start);
        self.code.ops.dynamic_label(back);
    }

    fn slowly(&mut self, slow: SlowConversion) -> (dynasmrt::DynamicLabel, dynasmrt::DynamicLabel) {
        let (start, back) = (self.code.ops.new_dynamic_label(), self.code.ops.new_dynamic_label());
        self.late.push(Late::Convert { start, back, slow });
        (start, back)
    }

    /// Code that leaves its result in the register of the fast way; it changes scratch registers only.
    pub(crate) fn slow_conversion(&mut self, slow: SlowConversion) {
        match slow {
            SlowConversion::FloatToInt { from, to } => {
                // i64::MIN is right for what is too small
                self.load_location(Reg::XMM15, Location::Constant(0));
                self.code.push(encode::ucomisd(from, Rm::Reg(Reg::XMM15)));
                self.code.push(encode::mov_imm(Reg::R11, i64::MAX as u64));
                self.code.push(encode::cmov(Cond::Above, to, Reg::R11));
                self.code.push(encode::mov_imm(Reg::R11, 0));
                self.code.push(encode::cmov(Cond::Parity, to, Reg::R11));
            }
            SlowConversion::FloatToUint { from, to } => self.slow_float_to_uint(from, to),
            SlowConversion::UintToFloat { from, to } => {
                // half of it, the bit that is lost kept in the lowest, then twice the float
                self.code.push(encode::mov(Reg::R11, from));
                self.code.push(encode::shift_imm(Shift::Logical, Reg::R11, 1));
                let even = self.code.ops.new_dynamic_label();
                dynasm!(self.code.ops ; .arch x64 ; jnc =>even ; or r11, 1 ; =>even);
                self.code.push(encode::xorps(to, Rm::Reg(to)));
                self.code.push(encode::cvtsi2sd(to, Rm::Reg(Reg::R11)));
                self.code.push(encode::sse_op(Sse::Add, to, Rm::Reg(to)));
            }
        }
    }

    /// At least 2^63, or at most -1, or NaN.
    fn slow_float_to_uint(&mut self, from: Reg, to: Reg) {
        let [big, done] = [(); 2].map(|()| self.code.ops.new_dynamic_label());
        let two_63 = self.rm(Bank::Float, Location::Constant(TWO_63));
        self.code.push(encode::ucomisd(from, two_63));
        dynasm!(self.code.ops ; .arch x64 ; jae =>big);
        self.code.push(encode::mov_imm(to, 0));
        dynasm!(self.code.ops ; .arch x64 ; jmp =>done ; =>big);
        self.load_location(Reg::XMM15, Location::Constant(TWO_63 | SIGN));
        self.code.push(encode::sse_op(Sse::Add, Reg::XMM15, Rm::Reg(from)));
        self.code.push(encode::cvttsd2si(to, Rm::Reg(Reg::XMM15)));
        // negative where even that is too large: then the result is all ones
        self.code.push(encode::mov(Reg::R11, to));
        self.code.push(encode::shift_imm(Shift::Arithmetic, Reg::R11, 63));
        self.code.push(encode::alu(Alu::Or, to, Rm::Reg(Reg::R11)));
        self.code.push(encode::mov_imm(Reg::R11, SIGN));
        self.code.push(encode::alu(Alu::Or, to, Rm::Reg(Reg::R11)));
        self.code.ops.dynamic_label(done);
    }
}
