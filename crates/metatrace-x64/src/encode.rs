//! Instructions as bytes, for operands that are chosen at run time.
//!
//! dynasm fixes the widths of immediates and displacements when this crate is compiled; here the shortest that fits is
//! taken. Names follow Intel's manual; operands are in its order, the destination first. Instructions work on 64 bits
//! where the name does not say otherwise.

use crate::locations::{Bank, Reg};
use metatrace_ir::Word;
use smallvec::SmallVec;

/// The bytes of one instruction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Inst {
    pub(crate) bytes: SmallVec<[u8; 16]>,
    /// A reference to the constant pool: where its 4 bytes are; they end the instruction.
    pub(crate) pool: Option<(usize, PoolRef)>,
}

/// A constant that an instruction reads from behind the code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct PoolRef(pub(crate) u32);

/// A register or memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rm {
    Reg(Reg),
    Mem(Mem),
    Pool(PoolRef),
}

/// Memory at `base + index * 2^scale + disp`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mem {
    pub(crate) base: Reg,
    pub(crate) index: Option<(Reg, u8)>,
    pub(crate) disp: i32,
}

impl Mem {
    pub(crate) fn new(base: Reg, disp: i32) -> Mem {
        Mem {
            base,
            index: None,
            disp,
        }
    }

    /// At this distance from `rbp`.
    pub(crate) fn frame(offset: i32) -> Mem {
        Mem::new(Reg::RBP, offset)
    }
}

/// Two-operand arithmetic, by its number in the encoding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Alu {
    Add = 0,
    Or = 1,
    And = 4,
    Sub = 5,
    Xor = 6,
    Cmp = 7,
}

/// Shifts, by their number in the encoding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shift {
    Left = 4,
    Logical = 5,
    Arithmetic = 7,
}

/// One-operand arithmetic, by its number in the encoding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unary {
    Not = 2,
    Neg = 3,
    Mul = 4,
    Div = 6,
    Idiv = 7,
}

/// Bit counts; the first two exist in CPUs with a flag of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Count {
    Lzcnt,
    Tzcnt,
    Popcnt,
    Bsf,
    Bsr,
}

/// Scalar double arithmetic, by opcode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sse {
    Sqrt = 0x51,
    Add = 0x58,
    Mul = 0x59,
    Sub = 0x5c,
    Div = 0x5e,
}

/// Conditions, by their number in the encoding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cond {
    Overflow = 0,
    NoOverflow = 1,
    Below = 2,
    AboveEqual = 3,
    Equal = 4,
    NotEqual = 5,
    BelowEqual = 6,
    Above = 7,
    Parity = 10,
    NoParity = 11,
    Less = 12,
    GreaterEqual = 13,
    LessEqual = 14,
    Greater = 15,
}

impl Cond {
    /// The condition that holds when this one does not.
    pub(crate) fn negated(self) -> Cond {
        use Cond::*;
        match self {
            Overflow => NoOverflow,
            NoOverflow => Overflow,
            Below => AboveEqual,
            AboveEqual => Below,
            Equal => NotEqual,
            NotEqual => Equal,
            BelowEqual => Above,
            Above => BelowEqual,
            Parity => NoParity,
            NoParity => Parity,
            Less => GreaterEqual,
            GreaterEqual => Less,
            LessEqual => Greater,
            Greater => LessEqual,
        }
    }
}

/// What varies in an instruction's encoding beside its operands.
#[derive(Clone, Copy, Default)]
struct Form {
    /// 0x66, 0xf2 or 0xf3, in front of REX.
    prefix: Option<u8>,
    /// 64 bits.
    wide: bool,
    /// The register field, or the memory's register, is a byte: `sil` … need a REX.
    byte_reg: bool,
    byte_rm: bool,
}

const WIDE: Form = Form {
    prefix: None,
    wide: true,
    byte_reg: false,
    byte_rm: false,
};
const NARROW: Form = Form {
    prefix: None,
    wide: false,
    byte_reg: false,
    byte_rm: false,
};

fn sse(prefix: u8) -> Form {
    Form {
        prefix: Some(prefix),
        ..NARROW
    }
}

fn reg_rm(form: Form, opcode: &[u8], reg: u8, rm: Rm) -> Inst {
    let mut inst = Inst {
        bytes: SmallVec::new(),
        pool: None,
    };
    if let Some(prefix) = form.prefix {
        inst.bytes.push(prefix);
    }
    let (base, index) = match rm {
        Rm::Reg(reg) => (reg.code(), 0),
        Rm::Mem(mem) => (mem.base.code(), mem.index.map_or(0, |(index, _)| index.code())),
        Rm::Pool(_) => (0, 0),
    };
    let rex = u8::from(form.wide) << 3 | reg >> 3 << 2 | index >> 3 << 1 | base >> 3;
    let byte_needs_rex = (form.byte_reg && reg >= 4) || (form.byte_rm && matches!(rm, Rm::Reg(reg) if reg.code() >= 4));
    if rex != 0 || byte_needs_rex {
        inst.bytes.push(0x40 | rex);
    }
    inst.bytes.extend_from_slice(opcode);
    let reg = (reg & 7) << 3;
    match rm {
        Rm::Reg(rm) => inst.bytes.push(0xc0 | reg | rm.code() & 7),
        Rm::Mem(mem) => memory(&mut inst.bytes, reg, mem),
        Rm::Pool(pool) => {
            inst.bytes.push(reg | 5); // rip-relative
            inst.pool = Some((inst.bytes.len(), pool));
            inst.bytes.extend_from_slice(&[0; 4]);
        }
    }
    inst
}

/// ModRM, SIB and displacement; `reg` is in its place already.
fn memory(bytes: &mut SmallVec<[u8; 16]>, reg: u8, mem: Mem) {
    let base = mem.base.code() & 7;
    let mode = match mem.disp {
        0 if base != 5 => 0, // rbp and r13 have no form without displacement
        disp if i8::try_from(disp).is_ok() => 1,
        _ => 2,
    };
    match mem.index {
        Some((index, scale)) => {
            assert!(index != Reg::RSP, "rsp is no index");
            bytes.extend_from_slice(&[mode << 6 | reg | 4, scale << 6 | (index.code() & 7) << 3 | base]);
        }
        None if base == 4 => bytes.extend_from_slice(&[mode << 6 | reg | 4, 0x24]),
        None => bytes.push(mode << 6 | reg | base),
    }
    match mode {
        0 => {}
        1 => bytes.push(mem.disp as u8),
        _ => bytes.extend_from_slice(&mem.disp.to_le_bytes()),
    }
}

fn with_immediate(mut inst: Inst, bytes: &[u8]) -> Inst {
    assert!(inst.pool.is_none(), "a pool reference ends its instruction");
    inst.bytes.extend_from_slice(bytes);
    inst
}

fn raw(bytes: &[u8]) -> Inst {
    Inst {
        bytes: SmallVec::from_slice(bytes),
        pool: None,
    }
}

/// Between registers of either bank.
pub(crate) fn mov(to: Reg, from: Reg) -> Inst {
    match (to.bank(), from.bank()) {
        (Bank::General, Bank::General) => reg_rm(WIDE, &[0x89], from.code(), Rm::Reg(to)),
        (Bank::Float, Bank::Float) => reg_rm(NARROW, &[0x0f, 0x28], to.code(), Rm::Reg(from)), // movaps
        (Bank::Float, Bank::General) => reg_rm(
            Form {
                wide: true,
                ..sse(0x66)
            },
            &[0x0f, 0x6e],
            to.code(),
            Rm::Reg(from),
        ),
        (Bank::General, Bank::Float) => reg_rm(
            Form {
                wide: true,
                ..sse(0x66)
            },
            &[0x0f, 0x7e],
            from.code(),
            Rm::Reg(to),
        ),
    }
}

/// A constant into a general register; the flags stay as they are.
pub(crate) fn mov_imm(to: Reg, value: u64) -> Inst {
    let code = to.code();
    if let Ok(value) = u32::try_from(value) {
        let mut inst = raw(&[]);
        if code >= 8 {
            inst.bytes.push(0x41);
        }
        inst.bytes.push(0xb8 | code & 7);
        with_immediate(inst, &value.to_le_bytes())
    } else if let Ok(value) = i32::try_from(value as i64) {
        with_immediate(reg_rm(WIDE, &[0xc7], 0, Rm::Reg(to)), &value.to_le_bytes())
    } else {
        with_immediate(raw(&[0x48 | code >> 3, 0xb8 | code & 7]), &value.to_le_bytes())
    }
}

/// A word from memory, extended after its sign.
pub(crate) fn load(to: Reg, from: Mem, word: Word) -> Inst {
    load_rm(to, Rm::Mem(from), word)
}

fn load_rm(to: Reg, from: Rm, word: Word) -> Inst {
    if to.bank() == Bank::Float {
        assert_eq!(word.size(), 8, "floats are 8 bytes");
        return reg_rm(sse(0xf2), &[0x0f, 0x10], to.code(), from); // movsd
    }
    let byte = Form {
        byte_rm: true,
        ..NARROW
    };
    match word {
        Word::U8 => reg_rm(byte, &[0x0f, 0xb6], to.code(), from),
        Word::U16 => reg_rm(NARROW, &[0x0f, 0xb7], to.code(), from),
        Word::U32 => reg_rm(NARROW, &[0x8b], to.code(), from),
        Word::I8 => reg_rm(Form { byte_rm: true, ..WIDE }, &[0x0f, 0xbe], to.code(), from),
        Word::I16 => reg_rm(WIDE, &[0x0f, 0xbf], to.code(), from),
        Word::I32 => reg_rm(WIDE, &[0x63], to.code(), from),
        Word::U64 | Word::Length | Word::I64 | Word::Ref | Word::F64 => reg_rm(WIDE, &[0x8b], to.code(), from),
    }
}

/// A register, memory or constant, as it is, into a register.
pub(crate) fn load_word(to: Reg, from: Rm) -> Inst {
    match from {
        Rm::Reg(from) => mov(to, from),
        from => load_rm(to, from, Word::U64),
    }
}

/// The low bytes of a register of 8, 16, 32 or 64 bits, extended after the word's sign.
pub(crate) fn extend(to: Reg, from: Rm, word: Word) -> Inst {
    load_rm(to, from, word)
}

/// The low bytes of a register into memory.
pub(crate) fn store(to: Mem, from: Reg, word: Word) -> Inst {
    let to = Rm::Mem(to);
    if from.bank() == Bank::Float {
        assert_eq!(word.size(), 8, "floats are 8 bytes");
        return reg_rm(sse(0xf2), &[0x0f, 0x11], from.code(), to); // movsd
    }
    match word.size() {
        1 => reg_rm(
            Form {
                byte_reg: true,
                ..NARROW
            },
            &[0x88],
            from.code(),
            to,
        ),
        2 => reg_rm(sse(0x66), &[0x89], from.code(), to),
        4 => reg_rm(NARROW, &[0x89], from.code(), to),
        _ => reg_rm(WIDE, &[0x89], from.code(), to),
    }
}

/// The low bytes of a constant into memory; 8 bytes are sign-extended from 4.
pub(crate) fn store_imm(to: Mem, value: i32, word: Word) -> Inst {
    let to = Rm::Mem(to);
    match word.size() {
        1 => with_immediate(reg_rm(NARROW, &[0xc6], 0, to), &[value as u8]),
        2 => with_immediate(reg_rm(sse(0x66), &[0xc7], 0, to), &(value as u16).to_le_bytes()),
        4 => with_immediate(reg_rm(NARROW, &[0xc7], 0, to), &value.to_le_bytes()),
        _ => with_immediate(reg_rm(WIDE, &[0xc7], 0, to), &value.to_le_bytes()),
    }
}

pub(crate) fn lea(to: Reg, mem: Mem) -> Inst {
    reg_rm(WIDE, &[0x8d], to.code(), Rm::Mem(mem))
}

pub(crate) fn alu(op: Alu, to: Reg, from: Rm) -> Inst {
    reg_rm(WIDE, &[(op as u8) << 3 | 3], to.code(), from)
}

/// With the left operand in memory or a register; `cmp [slot], reg` needs it.
pub(crate) fn alu_reversed(op: Alu, to: Rm, from: Reg) -> Inst {
    reg_rm(WIDE, &[(op as u8) << 3 | 1], from.code(), to)
}

pub(crate) fn alu_imm(op: Alu, to: Rm, value: i32) -> Inst {
    match i8::try_from(value) {
        Ok(value) => with_immediate(reg_rm(WIDE, &[0x83], op as u8, to), &[value as u8]),
        Err(_) => with_immediate(reg_rm(WIDE, &[0x81], op as u8, to), &value.to_le_bytes()),
    }
}

/// `and` with a constant below 2^31, which clears the upper half.
pub(crate) fn and32_imm(to: Reg, value: i32) -> Inst {
    match i8::try_from(value) {
        Ok(value) => with_immediate(reg_rm(NARROW, &[0x83], Alu::And as u8, Rm::Reg(to)), &[value as u8]),
        Err(_) => with_immediate(
            reg_rm(NARROW, &[0x81], Alu::And as u8, Rm::Reg(to)),
            &value.to_le_bytes(),
        ),
    }
}

pub(crate) fn test(a: Reg, b: Reg) -> Inst {
    reg_rm(WIDE, &[0x85], b.code(), Rm::Reg(a))
}

pub(crate) fn test32(a: Reg, b: Reg) -> Inst {
    reg_rm(NARROW, &[0x85], b.code(), Rm::Reg(a))
}

pub(crate) fn imul(to: Reg, from: Rm) -> Inst {
    reg_rm(WIDE, &[0x0f, 0xaf], to.code(), from)
}

pub(crate) fn imul_imm(to: Reg, from: Rm, value: i32) -> Inst {
    match i8::try_from(value) {
        Ok(value) => with_immediate(reg_rm(WIDE, &[0x6b], to.code(), from), &[value as u8]),
        Err(_) => with_immediate(reg_rm(WIDE, &[0x69], to.code(), from), &value.to_le_bytes()),
    }
}

pub(crate) fn unary(op: Unary, rm: Rm) -> Inst {
    reg_rm(WIDE, &[0xf7], op as u8, rm)
}

/// Sign-extends rax into rdx.
pub(crate) fn cqo() -> Inst {
    raw(&[0x48, 0x99])
}

pub(crate) fn shift_imm(op: Shift, to: Reg, count: u8) -> Inst {
    with_immediate(reg_rm(WIDE, &[0xc1], op as u8, Rm::Reg(to)), &[count])
}

/// By cl.
pub(crate) fn shift_cl(op: Shift, to: Reg) -> Inst {
    reg_rm(WIDE, &[0xd3], op as u8, Rm::Reg(to))
}

/// BMI2: `shlx`, `shrx`, `sarx`.
pub(crate) fn shift_by(op: Shift, to: Reg, from: Rm, count: Reg) -> Inst {
    let form = reg_rm(WIDE, &[0xf7], to.code(), from);
    let rex = form.bytes[0];
    let pp = match op {
        Shift::Left => 1,
        Shift::Arithmetic => 2,
        Shift::Logical => 3,
    };
    let inverted = (!rex & 7) << 5; // R, X and B
    let mut inst = raw(&[0xc4, inverted | 2, 0x80 | (!count.code() & 15) << 3 | pp]);
    inst.bytes.extend_from_slice(&form.bytes[1..]);
    inst
}

pub(crate) fn count(op: Count, to: Reg, from: Rm) -> Inst {
    let (prefix, opcode) = match op {
        Count::Lzcnt => (Some(0xf3), 0xbd),
        Count::Tzcnt => (Some(0xf3), 0xbc),
        Count::Popcnt => (Some(0xf3), 0xb8),
        Count::Bsf => (None, 0xbc),
        Count::Bsr => (None, 0xbd),
    };
    reg_rm(Form { prefix, ..WIDE }, &[0x0f, opcode], to.code(), from)
}

/// The low byte of a register to 0 or 1.
pub(crate) fn setcc(cond: Cond, to: Reg) -> Inst {
    reg_rm(
        Form {
            byte_rm: true,
            ..NARROW
        },
        &[0x0f, 0x90 | cond as u8],
        0,
        Rm::Reg(to),
    )
}

pub(crate) fn cmov(cond: Cond, to: Reg, from: Reg) -> Inst {
    reg_rm(WIDE, &[0x0f, 0x40 | cond as u8], to.code(), Rm::Reg(from))
}

pub(crate) fn sse_op(op: Sse, to: Reg, from: Rm) -> Inst {
    reg_rm(sse(0xf2), &[0x0f, op as u8], to.code(), from)
}

pub(crate) fn ucomisd(a: Reg, b: Rm) -> Inst {
    reg_rm(sse(0x66), &[0x0f, 0x2e], a.code(), b)
}

/// All 16 bytes; memory must be aligned to 16.
pub(crate) fn xorps(to: Reg, from: Rm) -> Inst {
    reg_rm(NARROW, &[0x0f, 0x57], to.code(), from)
}

/// All 16 bytes; memory must be aligned to 16.
pub(crate) fn andps(to: Reg, from: Rm) -> Inst {
    reg_rm(NARROW, &[0x0f, 0x54], to.code(), from)
}

pub(crate) fn cvtsi2sd(to: Reg, from: Rm) -> Inst {
    reg_rm(
        Form {
            prefix: Some(0xf2),
            ..WIDE
        },
        &[0x0f, 0x2a],
        to.code(),
        from,
    )
}

pub(crate) fn cvttsd2si(to: Reg, from: Rm) -> Inst {
    reg_rm(
        Form {
            prefix: Some(0xf2),
            ..WIDE
        },
        &[0x0f, 0x2c],
        to.code(),
        from,
    )
}

/// Through a register.
pub(crate) fn call(target: Reg) -> Inst {
    reg_rm(NARROW, &[0xff], 2, Rm::Reg(target))
}

/// A conditional jump whose last 4 bytes are the distance, to be filled in.
pub(crate) fn jcc(cond: Cond) -> Inst {
    raw(&[0x0f, 0x80 | cond as u8, 0, 0, 0, 0])
}

/// A jump whose last 4 bytes are the distance, to be filled in.
pub(crate) fn jmp() -> Inst {
    raw(&[0xe9, 0, 0, 0, 0])
}

/// One instruction that does nothing, of 1 to 9 bytes: those that Intel's manual recommends.
pub(crate) fn nop(len: usize) -> Inst {
    raw(match len {
        1 => &[0x90],
        2 => &[0x66, 0x90],
        3 => &[0x0f, 0x1f, 0x00],
        4 => &[0x0f, 0x1f, 0x40, 0x00],
        5 => &[0x0f, 0x1f, 0x44, 0x00, 0x00],
        6 => &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
        7 => &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
        8 => &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
        9 => &[0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
        other => panic!("no nop of {other} bytes"),
    })
}

/// The instruction, longer by segment prefixes, which mean nothing: cheaper than a nop.
pub(crate) fn lengthened(mut inst: Inst, by: usize) -> Inst {
    inst.bytes.insert_many(0, std::iter::repeat_n(0x3e, by));
    inst.pool = inst.pool.map(|(at, pool)| (at + by, pool));
    inst
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};

    fn text(inst: Inst) -> String {
        let mut decoder = Decoder::with_ip(64, &inst.bytes, 0, DecoderOptions::NONE);
        let instruction = decoder.decode();
        assert_eq!(
            instruction.len(),
            inst.bytes.len(),
            "one instruction: {:x?}",
            inst.bytes
        );
        let mut text = String::new();
        IntelFormatter::new().format(&instruction, &mut text);
        text
    }

    fn general() -> impl Iterator<Item = Reg> {
        Bank::General.allocatable().with(Reg::RBP).with(Reg::R11).iter()
    }

    /// Each base and index register, of which some need another form than the rest.
    #[test]
    fn memory_operands_decode_as_they_were_meant() {
        for base in general().chain([Reg::RSP]) {
            for disp in [0, 1, -128, 127, 128, -129, i32::MAX, i32::MIN] {
                let plain = Mem::new(base, disp);
                let offset = match disp {
                    0 => String::new(),
                    1.. => format!("+{}", hex(disp.into())),
                    _ => format!("-{}", hex(-i64::from(disp))),
                };
                assert_eq!(text(lea(Reg::R9, plain)), format!("lea r9,[{base:?}{offset}]"));
                for index in general() {
                    for scale in 0..4 {
                        let mem = Mem {
                            base,
                            index: Some((index, scale)),
                            disp,
                        };
                        let times = if scale == 0 {
                            String::new()
                        } else {
                            format!("*{}", 1 << scale)
                        };
                        assert_eq!(
                            text(lea(Reg::RDI, mem)),
                            format!("lea rdi,[{base:?}+{index:?}{times}{offset}]")
                        );
                    }
                }
            }
        }
    }

    /// As the decoder writes it: with a leading zero where it would begin with a letter.
    fn hex(number: i64) -> String {
        let digits = format!("{number:X}");
        let digits = if digits.starts_with(|c: char| c.is_alphabetic()) {
            format!("0{digits}")
        } else {
            digits
        };
        if number < 10 { digits } else { format!("{digits}h") }
    }

    #[test]
    fn instructions_decode_as_they_were_meant() {
        let [rax, rsi, r13] = [
            Reg::RAX,
            Reg::RSI,
            Bank::General.allocatable().iter().nth(10).expect("a register"),
        ];
        let [xmm1, xmm9] = [1, 9].map(|n| Bank::Float.allocatable().iter().nth(n).expect("a register"));
        let at = Mem::new(r13, 0);
        let cases = [
            (store(at, rsi, Word::U8), "mov [r13],sil"),
            (store(at, rax, Word::U16), "mov [r13],ax"),
            (store(at, xmm9, Word::F64), "movsd [r13],xmm9"),
            (store_imm(at, -1, Word::U16), "mov word ptr [r13],0FFFFh"),
            (store_imm(at, -1, Word::U64), "mov qword ptr [r13],0FFFFFFFFFFFFFFFFh"),
            (load(rsi, at, Word::I8), "movsx rsi,byte ptr [r13]"),
            (load(r13, at, Word::U16), "movzx r13d,word ptr [r13]"),
            (load(xmm1, at, Word::F64), "movsd xmm1,[r13]"),
            (extend(r13, Rm::Reg(rsi), Word::U8), "movzx r13d,sil"),
            (extend(rax, Rm::Reg(r13), Word::I32), "movsxd rax,r13d"),
            (mov(xmm9, r13), "movq xmm9,r13"),
            (mov(r13, xmm9), "movq r13,xmm9"),
            (mov(xmm9, xmm1), "movaps xmm9,xmm1"),
            (mov_imm(r13, 5), "mov r13d,5"),
            (mov_imm(r13, u64::MAX), "mov r13,0FFFFFFFFFFFFFFFFh"),
            (mov_imm(r13, 1 << 40), "mov r13,10000000000h"),
            (alu(Alu::Sub, r13, Rm::Reg(rax)), "sub r13,rax"),
            (alu_reversed(Alu::Cmp, Rm::Mem(at), rax), "cmp [r13],rax"),
            (alu_imm(Alu::Add, Rm::Reg(r13), 1000), "add r13,3E8h"),
            (imul_imm(rax, Rm::Reg(r13), -3), "imul rax,r13,0FFFFFFFFFFFFFFFDh"),
            (shift_by(Shift::Left, rax, Rm::Mem(at), r13), "shlx rax,[r13],r13"),
            (shift_by(Shift::Logical, r13, Rm::Reg(rsi), rax), "shrx r13,rsi,rax"),
            (shift_by(Shift::Arithmetic, rsi, Rm::Reg(r13), rsi), "sarx rsi,r13,rsi"),
            (shift_cl(Shift::Arithmetic, r13), "sar r13,cl"),
            (count(Count::Lzcnt, r13, Rm::Reg(rax)), "lzcnt r13,rax"),
            (setcc(Cond::Parity, rsi), "setp sil"),
            (cmov(Cond::Above, rax, r13), "cmova rax,r13"),
            (cvtsi2sd(xmm9, Rm::Reg(r13)), "cvtsi2sd xmm9,r13"),
            (cvttsd2si(r13, Rm::Reg(xmm9)), "cvttsd2si r13,xmm9"),
            (ucomisd(xmm9, Rm::Mem(at)), "ucomisd xmm9,[r13]"),
            (sse_op(Sse::Sqrt, xmm1, Rm::Reg(xmm9)), "sqrtsd xmm1,xmm9"),
            (call(r13), "call r13"),
            (unary(Unary::Idiv, Rm::Mem(at)), "idiv qword ptr [r13]"),
        ];
        for (inst, expected) in cases {
            assert_eq!(text(inst), expected);
        }
        for len in 1..=9 {
            assert_eq!(nop(len).bytes.len(), len);
            assert!(
                ["nop", "xchg ax,ax"]
                    .iter()
                    .any(|name| text(nop(len)).starts_with(name)),
                "{len}"
            );
        }
    }
}
