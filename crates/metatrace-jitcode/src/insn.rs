//! The instruction set.
//!
//! Arithmetic is the trace IR's own: [`Insn::Pure`] carries an [`Opcode`], so the two levels share one definition of what
//! an operation computes. What Rust checks (bounds, division by zero, overflow of narrow types) is explicit control flow.

use metatrace_ir::Opcode;

/// A register, or a constant (numbers from the function's register count upwards).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Reg(pub u16);

/// Index of an instruction.
pub type Pc = u32;

/// Index into [`crate::JitCode::descrs`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DescrIndex(pub u16);

/// An instruction. Indices refer to the tables of the jitcode.
#[allow(missing_docs, reason = "operands bear the names that the variants' texts use")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Insn {
    /// `dst = src`, same kind.
    Move { dst: Reg, src: Reg },
    /// A pure or partial operation; unary ones ignore `b`.
    Pure { op: Opcode, dst: Reg, a: Reg, b: Reg },
    /// `int_*_ovf`: goes to `overflow` (and leaves `dst` alone) where the result does not fit `i64`.
    Overflow {
        op: Opcode,
        dst: Reg,
        a: Reg,
        b: Reg,
        overflow: Pc,
    },
    /// Address of a field.
    PtrField { dst: Reg, base: Reg, descr: DescrIndex },
    /// Address of an array item.
    PtrItem {
        dst: Reg,
        base: Reg,
        index: Reg,
        descr: DescrIndex,
    },
    /// Loads a field.
    Load { dst: Reg, base: Reg, descr: DescrIndex },
    /// Stores a field.
    Store { base: Reg, src: Reg, descr: DescrIndex },
    /// Loads an array item.
    LoadItem {
        dst: Reg,
        base: Reg,
        index: Reg,
        descr: DescrIndex,
    },
    /// Stores an array item.
    StoreItem {
        base: Reg,
        index: Reg,
        src: Reg,
        descr: DescrIndex,
    },
    /// The frame slot that belongs to this instruction in this activation. What it holds at first is unspecified.
    Alloca { dst: Reg, descr: DescrIndex },
    /// Unconditional jump.
    Goto { to: Pc },
    /// Falls through where `cond` is not 0.
    Branch { cond: Reg, if_false: Pc },
    /// Falls through where the comparison holds; unary comparisons (`int_is_zero`, `int_is_true`) ignore `b`.
    BranchIf { op: Opcode, a: Reg, b: Reg, if_false: Pc },
    /// Jumps by table.
    Switch { value: Reg, table: u16 },
    /// Residual call.
    CallNative { call: u16 },
    /// Call of jitcode.
    CallInline { call: u16 },
    /// Returns the words of a list.
    Return { values: u16 },
    /// Ends a cleanup: the panic in flight goes on in the caller.
    ResumeUnwind,
    /// Never reached.
    Unreachable,
    /// The tracer makes a constant of the register.
    Promote { reg: Reg },
    /// Head of the portal's loop: only the parameters, which are reds and greens, outlive it. What the other registers hold
    /// means nothing behind it; the tracer clears them, so that what one iteration leaves in a register is never taken for a
    /// value of the next. Green expressions are evaluated between this and the merge point.
    Header,
    /// The merge point.
    MergePoint,
    /// A back-edge: `can_enter_jit`.
    BackEdge,
}

impl Insn {
    /// Whether the instruction may make a guard of the trace, so that execution may resume at it.
    pub fn is_resumable(self) -> bool {
        match self {
            Insn::Overflow { .. }
            | Insn::Branch { .. }
            | Insn::BranchIf { .. }
            | Insn::Switch { .. }
            | Insn::CallNative { .. }
            | Insn::CallInline { .. }
            | Insn::Return { .. }
            | Insn::Promote { .. }
            | Insn::Header
            | Insn::MergePoint => true,
            Insn::Move { .. }
            | Insn::Pure { .. }
            | Insn::PtrField { .. }
            | Insn::PtrItem { .. }
            | Insn::Load { .. }
            | Insn::Store { .. }
            | Insn::LoadItem { .. }
            | Insn::StoreItem { .. }
            | Insn::Alloca { .. }
            | Insn::Goto { .. }
            | Insn::ResumeUnwind
            | Insn::Unreachable
            | Insn::BackEdge => false,
        }
    }

    /// Whether control never falls through to the next instruction.
    pub fn ends_block(self) -> bool {
        matches!(
            self,
            Insn::Goto { .. } | Insn::Switch { .. } | Insn::Return { .. } | Insn::ResumeUnwind | Insn::Unreachable
        )
    }
}
