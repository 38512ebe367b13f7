//! The flow graph that a running twin records, one word per virtual register.
//!
//! Not in single-assignment form: a local of the author's is one virtual register per word, assigned as often as the
//! author assigns it. Blocks end in a [`Term`]; calls sit inside blocks although they may unwind, and say what is to be
//! dropped then. The lowering makes explicit blocks of that.
//!
//! ```text
//! b3: v7 = int_add v4 v5
//!     v4 = v7
//!     if uint_ge v4 30000 b4 else b5
//! ```

use metatrace_ir::{Const, DescrRef, Kind, Opcode};
use metatrace_jitcode::CalleeKey;
use std::rc::Rc;

/// A virtual register.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub(crate) struct VReg(pub(crate) u32);

/// What an operation reads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Operand {
    Reg(VReg),
    Const(Const),
}

impl Operand {
    pub(crate) fn int(value: u64) -> Operand {
        Operand::Const(Const {
            kind: Kind::Int,
            bits: value,
        })
    }

    pub(crate) fn as_const(self) -> Option<u64> {
        match self {
            Operand::Const(constant) => Some(constant.bits),
            Operand::Reg(_) => None,
        }
    }

    pub(crate) fn as_reg(self) -> Option<VReg> {
        match self {
            Operand::Reg(reg) => Some(reg),
            Operand::Const(_) => None,
        }
    }
}

/// Names a block. The macro's code keeps these and hands them back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Blk(pub(crate) u32);

/// Something a frame owns and drops, see [`crate::drops`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub(crate) struct OwnerId(pub(crate) u32);

/// A residual call.
#[derive(Clone, Debug)]
pub(crate) struct Native {
    pub(crate) function: u64,
    pub(crate) descr: DescrRef,
    pub(crate) args: Vec<Operand>,
    pub(crate) dst: Option<VReg>,
    pub(crate) unwind: Unwind,
}

/// A call of a function with jitcode.
#[derive(Clone, Debug)]
pub(crate) struct Inline {
    pub(crate) key: CalleeKey,
    pub(crate) name: Rc<str>,
    pub(crate) args: Vec<Operand>,
    pub(crate) dsts: Vec<VReg>,
    pub(crate) unwind: Unwind,
}

/// Where a panic goes.
#[derive(Clone, Debug)]
pub(crate) enum Unwind {
    /// What the frame may own at the call, the first to be dropped first.
    Owned(Rc<[OwnerId]>),
    /// The cleanup block; `None`: straight to the caller.
    Block(Option<Blk>),
}

impl Unwind {
    pub(crate) fn block(&self) -> Option<Blk> {
        match self {
            Unwind::Block(block) => *block,
            Unwind::Owned(_) => None,
        }
    }
}

/// An operation.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// The place of a receiver's loads, which become known when its method does.
    Sequence(u32),
    Move {
        dst: VReg,
        src: Operand,
    },
    /// A copy of `src`, which is not `never`: the payload of a variant that is told from the other one by a niche.
    Distinct {
        dst: VReg,
        src: Operand,
        never: u64,
    },
    Pure {
        op: Opcode,
        dst: VReg,
        a: Operand,
        b: Operand,
    },
    PtrField {
        dst: VReg,
        base: Operand,
        descr: DescrRef,
    },
    PtrItem {
        dst: VReg,
        base: Operand,
        index: Operand,
        descr: DescrRef,
    },
    Load {
        dst: VReg,
        base: Operand,
        descr: DescrRef,
    },
    Store {
        base: Operand,
        src: Operand,
        descr: DescrRef,
    },
    LoadItem {
        dst: VReg,
        base: Operand,
        index: Operand,
        descr: DescrRef,
    },
    StoreItem {
        base: Operand,
        index: Operand,
        src: Operand,
        descr: DescrRef,
    },
    Alloca {
        dst: VReg,
        descr: DescrRef,
    },
    Native(Box<Native>),
    Inline(Box<Inline>),
    Promote {
        reg: VReg,
    },
    Header,
    MergePoint,
    BackEdge,
    /// The owner's value is there from now on.
    Owns(OwnerId),
    /// It has moved away.
    Moved(OwnerId),
    /// Drops it if it is there.
    Drop {
        owner: OwnerId,
        unwind: Rc<[OwnerId]>,
    },
}

/// How a block ends.
#[derive(Clone, Debug)]
pub(crate) enum Term {
    /// Nothing has ended it yet.
    Open,
    Goto(Blk),
    If {
        cond: Operand,
        then: Blk,
        or: Blk,
    },
    /// A comparison fused with its branch.
    Compare {
        op: Opcode,
        a: Operand,
        b: Operand,
        then: Blk,
        or: Blk,
    },
    Switch {
        value: Operand,
        cases: Vec<(u64, Blk)>,
        default: Blk,
    },
    Overflow {
        op: Opcode,
        dst: VReg,
        a: Operand,
        b: Operand,
        fits: Blk,
        overflow: Blk,
    },
    Return(Vec<Operand>),
    ResumeUnwind,
    Unreachable,
}

/// A straight piece of code.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) ops: Vec<Op>,
    pub(crate) term: Term,
}

impl Block {
    pub(crate) fn new() -> Block {
        Block {
            ops: Vec::new(),
            term: Term::Open,
        }
    }
}

/// The registers at a portal's merge point.
#[derive(Clone, Debug)]
pub(crate) struct MergeWords {
    pub(crate) greens: Vec<Operand>,
    pub(crate) frozen: Vec<bool>,
    pub(crate) reds: Vec<VReg>,
}

/// A function's graph; execution begins at block 0.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) name: &'static str,
    pub(crate) blocks: Vec<Block>,
    /// The kinds of the virtual registers.
    pub(crate) kinds: Vec<Kind>,
    /// Kept apart from their placeholders.
    pub(crate) sequences: Vec<Vec<Op>>,
    pub(crate) params: Vec<VReg>,
    pub(crate) results: Vec<Kind>,
    pub(crate) merge_point: Option<MergeWords>,
}

impl Graph {
    pub(crate) fn new(name: &'static str) -> Graph {
        Graph {
            name,
            blocks: Vec::new(),
            kinds: Vec::new(),
            sequences: Vec::new(),
            params: Vec::new(),
            results: Vec::new(),
            merge_point: None,
        }
    }

    pub(crate) fn reg(&mut self, kind: Kind) -> VReg {
        self.kinds.push(kind);
        VReg(self.kinds.len() as u32 - 1)
    }

    pub(crate) fn block(&mut self) -> Blk {
        self.blocks.push(Block::new());
        Blk(self.blocks.len() as u32 - 1)
    }

    pub(crate) fn kind(&self, operand: Operand) -> Kind {
        match operand {
            Operand::Reg(reg) => self.kinds[reg.0 as usize],
            Operand::Const(constant) => constant.kind,
        }
    }
}

/// Whether an operation has two operands.
pub(crate) fn is_binary(op: Opcode) -> bool {
    matches!(op.info().operands, metatrace_ir::op::Operands::Fixed(&[_, _]))
}

impl Op {
    // visitors are called through pointers: the matches are long, and the callers many

    /// The register that it writes, calls of jitcode excepted.
    pub(crate) fn for_each_def(&self, visit: &mut dyn FnMut(VReg)) {
        match self {
            Op::Move { dst, .. }
            | Op::Distinct { dst, .. }
            | Op::Pure { dst, .. }
            | Op::PtrField { dst, .. }
            | Op::PtrItem { dst, .. }
            | Op::Load { dst, .. }
            | Op::LoadItem { dst, .. }
            | Op::Alloca { dst, .. } => visit(*dst),
            Op::Native(call) => call.dst.into_iter().for_each(visit),
            Op::Inline(call) => call.dsts.iter().for_each(|dst| visit(*dst)),
            _ => {}
        }
    }

    /// Its destinations, to be renamed.
    pub(crate) fn for_each_def_mut(&mut self, visit: &mut dyn FnMut(&mut VReg)) {
        match self {
            Op::Move { dst, .. }
            | Op::Distinct { dst, .. }
            | Op::Pure { dst, .. }
            | Op::PtrField { dst, .. }
            | Op::PtrItem { dst, .. }
            | Op::Load { dst, .. }
            | Op::LoadItem { dst, .. }
            | Op::Alloca { dst, .. } => visit(dst),
            Op::Native(call) => call.dst.iter_mut().for_each(visit),
            Op::Inline(call) => call.dsts.iter_mut().for_each(visit),
            _ => {}
        }
    }

    /// The operands that it reads; the merge point's are the graph's.
    pub(crate) fn for_each_use_mut(&mut self, visit: &mut dyn FnMut(&mut Operand)) {
        match self {
            Op::Move { src, .. } | Op::Distinct { src, .. } => visit(src),
            Op::Pure { op, a, b, .. } => {
                visit(a);
                if is_binary(*op) {
                    visit(b);
                }
            }
            Op::PtrField { base, .. } | Op::Load { base, .. } => visit(base),
            Op::PtrItem { base, index, .. } | Op::LoadItem { base, index, .. } => {
                visit(base);
                visit(index);
            }
            Op::Store { base, src, .. } => {
                visit(base);
                visit(src);
            }
            Op::StoreItem { base, index, src, .. } => {
                visit(base);
                visit(index);
                visit(src);
            }
            Op::Native(call) => call.args.iter_mut().for_each(visit),
            Op::Inline(call) => call.args.iter_mut().for_each(visit),
            Op::Promote { .. }
            | Op::Sequence(_)
            | Op::Alloca { .. }
            | Op::Header
            | Op::MergePoint
            | Op::BackEdge
            | Op::Owns(_)
            | Op::Moved(_)
            | Op::Drop { .. } => {}
        }
    }

    /// The registers that it reads, in a graph whose drops are explicit.
    pub(crate) fn for_each_use(&self, merge: Option<&MergeWords>, visit: &mut dyn FnMut(VReg)) {
        let mut operand = |operand: &Operand| {
            if let Operand::Reg(reg) = operand {
                visit(*reg);
            }
        };
        match self {
            Op::Move { src, .. } | Op::Distinct { src, .. } => operand(src),
            Op::Pure { op, a, b, .. } => {
                operand(a);
                if is_binary(*op) {
                    operand(b);
                }
            }
            Op::PtrField { base, .. } | Op::Load { base, .. } => operand(base),
            Op::PtrItem { base, index, .. } | Op::LoadItem { base, index, .. } => {
                operand(base);
                operand(index);
            }
            Op::Store { base, src, .. } => {
                operand(base);
                operand(src);
            }
            Op::StoreItem { base, index, src, .. } => {
                operand(base);
                operand(index);
                operand(src);
            }
            Op::Native(call) => call.args.iter().for_each(operand),
            Op::Inline(call) => call.args.iter().for_each(operand),
            Op::Promote { reg } => visit(*reg),
            Op::Header | Op::MergePoint => {
                let merge = merge.expect("only portals have merge points");
                if matches!(self, Op::MergePoint) {
                    merge.greens.iter().for_each(operand);
                }
                merge.reds.iter().for_each(|red| visit(*red));
            }
            Op::Sequence(_) | Op::Alloca { .. } | Op::BackEdge | Op::Owns(_) | Op::Moved(_) | Op::Drop { .. } => {}
        }
    }

    /// Where a panic in it goes.
    pub(crate) fn unwind_block(&self) -> Option<Blk> {
        match self {
            Op::Native(call) => call.unwind.block(),
            Op::Inline(call) => call.unwind.block(),
            _ => None,
        }
    }

    /// Whether it may be left out where its result is not used.
    pub(crate) fn is_removable(&self) -> bool {
        match self {
            Op::Move { .. }
            | Op::Distinct { .. }
            | Op::Pure { .. }
            | Op::PtrField { .. }
            | Op::PtrItem { .. }
            | Op::Load { .. }
            | Op::LoadItem { .. }
            | Op::Alloca { .. } => true,
            Op::Native(call) => {
                let descr = call.descr.call();
                descr.effect == metatrace_ir::Effect::Elidable && !descr.can_panic
            }
            _ => false,
        }
    }
}

impl Term {
    /// The blocks that control may go to.
    pub(crate) fn for_each_target_mut(&mut self, visit: &mut dyn FnMut(&mut Blk)) {
        match self {
            Term::Goto(to) => visit(to),
            Term::If { then, or, .. } | Term::Compare { then, or, .. } => {
                visit(then);
                visit(or);
            }
            Term::Switch { cases, default, .. } => {
                cases.iter_mut().for_each(|(_, to)| visit(to));
                visit(default);
            }
            Term::Overflow { fits, overflow, .. } => {
                visit(fits);
                visit(overflow);
            }
            Term::Open | Term::Return(_) | Term::ResumeUnwind | Term::Unreachable => {}
        }
    }

    pub(crate) fn for_each_target(&self, visit: &mut dyn FnMut(Blk)) {
        match self {
            Term::Goto(to) => visit(*to),
            Term::If { then, or, .. } | Term::Compare { then, or, .. } => {
                visit(*then);
                visit(*or);
            }
            Term::Switch { cases, default, .. } => {
                cases.iter().for_each(|(_, to)| visit(*to));
                visit(*default);
            }
            Term::Overflow { fits, overflow, .. } => {
                visit(*fits);
                visit(*overflow);
            }
            Term::Open | Term::Return(_) | Term::ResumeUnwind | Term::Unreachable => {}
        }
    }

    pub(crate) fn for_each_use_mut(&mut self, visit: &mut dyn FnMut(&mut Operand)) {
        match self {
            Term::If { cond, .. } => visit(cond),
            Term::Compare { op, a, b, .. } => {
                visit(a);
                if is_binary(*op) {
                    visit(b);
                }
            }
            Term::Switch { value, .. } => visit(value),
            Term::Overflow { a, b, .. } => {
                visit(a);
                visit(b);
            }
            Term::Return(values) => values.iter_mut().for_each(visit),
            Term::Open | Term::Goto(_) | Term::ResumeUnwind | Term::Unreachable => {}
        }
    }

    pub(crate) fn for_each_use(&self, visit: &mut dyn FnMut(VReg)) {
        let mut operand = |operand: &Operand| {
            if let Operand::Reg(reg) = operand {
                visit(*reg);
            }
        };
        match self {
            Term::If { cond, .. } => operand(cond),
            Term::Compare { op, a, b, .. } => {
                operand(a);
                if is_binary(*op) {
                    operand(b);
                }
            }
            Term::Switch { value, .. } => operand(value),
            Term::Overflow { a, b, .. } => {
                operand(a);
                operand(b);
            }
            Term::Return(values) => values.iter().for_each(operand),
            Term::Open | Term::Goto(_) | Term::ResumeUnwind | Term::Unreachable => {}
        }
    }

    pub(crate) fn def(&self) -> Option<VReg> {
        match self {
            Term::Overflow { dst, .. } => Some(*dst),
            _ => None,
        }
    }
}
