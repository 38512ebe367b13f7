//! The flow graph that a running twin records, one word per virtual register.
//!
//! Not in single-assignment form: a local of the author's is one virtual register per word, assigned as often as the
//! author assigns it. Blocks end in a [`Term`]; calls sit inside blocks although they may unwind, and say what is to be
//! dropped then, from which the codewriter makes explicit blocks.
//!
//! ```text
//! b3: v7 = int_add v4 v5
//!     v4 = v7
//!     if uint_ge v4 30000 b4 else b5
//! ```

use metatrace_ir::{Const, DescrRef, Kind, Opcode};
use metatrace_jitcode::CalleeKey;
use std::rc::Rc;

/// A virtual register: an index into [`Graph::kinds`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct VReg(pub u32);

/// What an operation reads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operand {
    /// The word of a register.
    Reg(VReg),
    /// A constant.
    Const(Const),
}

impl Operand {
    /// An integer constant.
    pub fn int(value: u64) -> Operand {
        Operand::Const(Const {
            kind: Kind::Int,
            bits: value,
        })
    }

    /// The bits of a constant.
    pub fn as_const(self) -> Option<u64> {
        match self {
            Operand::Const(constant) => Some(constant.bits),
            Operand::Reg(_) => None,
        }
    }

    /// The register, unless it is a constant.
    pub fn as_reg(self) -> Option<VReg> {
        match self {
            Operand::Reg(reg) => Some(reg),
            Operand::Const(_) => None,
        }
    }
}

/// A block: an index into [`Graph::blocks`]. The macro's code keeps these and hands them back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Blk(pub u32);

/// Something a frame owns and drops. What it is, who records the graph knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct OwnerId(pub u32);

/// A residual call.
#[derive(Clone, PartialEq, Debug)]
pub struct Native {
    /// Address of the shim.
    pub function: u64,
    /// A [`metatrace_ir::CallDescr`].
    pub descr: DescrRef,
    /// The argument words.
    pub args: Vec<Operand>,
    /// Where the result goes.
    pub dst: Option<VReg>,
    /// Where a panic goes.
    pub unwind: Unwind,
}

/// A call of a function with jitcode.
#[derive(Clone, PartialEq, Debug)]
pub struct Inline {
    /// Which function.
    pub key: CalleeKey,
    /// Readable name.
    pub name: Rc<str>,
    /// The argument words, in the order of the callee's parameters.
    pub args: Vec<Operand>,
    /// Where the result words go.
    pub dsts: Vec<VReg>,
    /// Where a panic goes.
    pub unwind: Unwind,
}

/// Where a panic goes.
#[derive(Clone, PartialEq, Debug)]
pub enum Unwind {
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
#[allow(missing_docs, reason = "operands bear the names that the variants' texts use")]
#[derive(Clone, PartialEq, Debug)]
pub enum Op {
    /// The place of a receiver's loads, which become known when its method does: an index into [`Graph::sequences`].
    Sequence(u32),
    /// `dst = src`, same kind.
    Move { dst: VReg, src: Operand },
    /// A copy of `src`, which is not `never`: the payload of a variant that is told from the other one by a niche.
    Distinct { dst: VReg, src: Operand, never: u64 },
    /// A pure or partial operation; unary ones ignore `b`.
    Pure {
        op: Opcode,
        dst: VReg,
        a: Operand,
        b: Operand,
    },
    /// Address of a field.
    PtrField { dst: VReg, base: Operand, descr: DescrRef },
    /// Address of an array item; `base` and `index` are integers.
    PtrItem {
        dst: VReg,
        base: Operand,
        index: Operand,
        descr: DescrRef,
    },
    /// Loads a field.
    Load { dst: VReg, base: Operand, descr: DescrRef },
    /// Stores a field.
    Store {
        base: Operand,
        src: Operand,
        descr: DescrRef,
    },
    /// Loads an array item; `base` and `index` are integers.
    LoadItem {
        dst: VReg,
        base: Operand,
        index: Operand,
        descr: DescrRef,
    },
    /// Stores an array item; `base` and `index` are integers.
    StoreItem {
        base: Operand,
        index: Operand,
        src: Operand,
        descr: DescrRef,
    },
    /// The address of the frame slot that belongs to this operation; `descr` says its size.
    Alloca { dst: VReg, descr: DescrRef },
    /// A residual call.
    Native(Box<Native>),
    /// A call of jitcode.
    Inline(Box<Inline>),
    /// The tracer makes a constant of the register.
    Promote { reg: VReg },
    /// Head of the portal's loop: the parameters outlive it.
    Header,
    /// The merge point, of which [`Graph::merge_point`] has the registers.
    MergePoint,
    /// A back-edge of the guest program.
    BackEdge,
    /// The owner's value is there from now on.
    Owns(OwnerId),
    /// It has moved away.
    Moved(OwnerId),
    /// Drops it if it is there; `unwind` is what the frame may own meanwhile.
    Drop { owner: OwnerId, unwind: Rc<[OwnerId]> },
}

/// How a block ends.
#[allow(missing_docs, reason = "operands bear the names that the variants' texts use")]
#[derive(Clone, PartialEq, Debug)]
pub enum Term {
    /// Nothing has ended it yet.
    Open,
    /// Goes to the block.
    Goto(Blk),
    /// Goes to `then` where `cond` is not 0, else to `or`.
    If { cond: Operand, then: Blk, or: Blk },
    /// A comparison fused with its branch; unary ones ignore `b`.
    Compare {
        op: Opcode,
        a: Operand,
        b: Operand,
        then: Blk,
        or: Blk,
    },
    /// Goes where the case with this value goes, else to `default`; the cases' values are distinct.
    Switch {
        value: Operand,
        cases: Vec<(u64, Blk)>,
        default: Blk,
    },
    /// `int_*_ovf`: goes to `overflow`, and leaves `dst` alone, where the result does not fit `i64`.
    Overflow {
        op: Opcode,
        dst: VReg,
        a: Operand,
        b: Operand,
        fits: Blk,
        overflow: Blk,
    },
    /// Returns the result's words.
    Return(Vec<Operand>),
    /// Ends a cleanup: the panic in flight goes on in the caller.
    ResumeUnwind,
    /// Never reached.
    Unreachable,
}

/// A straight piece of code.
#[derive(Clone, PartialEq, Debug)]
pub struct Block {
    /// What it does.
    pub ops: Vec<Op>,
    /// Where it goes then.
    pub term: Term,
}

impl Block {
    pub(crate) fn new() -> Block {
        Block {
            ops: Vec::new(),
            term: Term::Open,
        }
    }

    /// The blocks that control may go to, as often as it may: at the block's end, and where calls unwind.
    pub(crate) fn for_each_successor(&self, visit: &mut dyn FnMut(Blk)) {
        self.term.for_each_target(visit);
        self.ops.iter().filter_map(Op::unwind_block).for_each(visit);
    }
}

/// The registers at a portal's merge point.
#[derive(Clone, Debug)]
pub struct MergeWords {
    /// The words of the green key, in order.
    pub greens: Vec<Operand>,
    /// For each green word, whether it is a reference whose frozen contents live as long as the driver.
    pub frozen: Vec<bool>,
    /// The words of the reds, in order.
    pub reds: Vec<VReg>,
}

/// A function's graph; execution begins at block 0.
#[derive(Debug)]
pub struct Graph {
    /// The function's name.
    pub name: &'static str,
    /// What [`Blk`]s name.
    pub blocks: Vec<Block>,
    /// The kinds of the virtual registers.
    pub kinds: Vec<Kind>,
    /// What takes the place of each [`Op::Sequence`]; each is named by one.
    pub sequences: Vec<Vec<Op>>,
    /// The registers in which the parameters' words arrive.
    pub params: Vec<VReg>,
    /// The kinds of the result's words, from [`crate::close`] on.
    pub(crate) results: Vec<Kind>,
    /// Of a portal, once its header has been recorded.
    pub merge_point: Option<MergeWords>,
}

impl Graph {
    /// A graph without blocks.
    pub fn new(name: &'static str) -> Graph {
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

    /// A fresh register.
    pub fn reg(&mut self, kind: Kind) -> VReg {
        self.kinds.push(kind);
        VReg(self.kinds.len() as u32 - 1)
    }

    /// A fresh block, empty and open.
    pub fn block(&mut self) -> Blk {
        self.blocks.push(Block::new());
        Blk(self.blocks.len() as u32 - 1)
    }

    /// The kind of what an operation reads.
    pub fn kind(&self, operand: Operand) -> Kind {
        match operand {
            Operand::Reg(reg) => self.kinds[reg.0 as usize],
            Operand::Const(constant) => constant.kind,
        }
    }

    /// For each register, whether it is written anywhere, reached or not; that a parameter arrives in it is no write.
    pub fn assigned(&self) -> Vec<bool> {
        let mut assigned = vec![false; self.kinds.len()];
        let mut assign = |reg: VReg| assigned[reg.0 as usize] = true;
        let placed = self.blocks.iter().flat_map(|block| &block.ops);
        for op in placed.chain(self.sequences.iter().flatten()) {
            op.for_each_def(&mut assign);
        }
        self.blocks.iter().filter_map(|block| block.term.def()).for_each(assign);
        assigned
    }
}

/// Whether an operation has two operands.
pub(crate) fn is_binary(op: Opcode) -> bool {
    matches!(op.info().operands, metatrace_ir::op::Operands::Fixed(&[_, _]))
}

impl Op {
    // visitors are called through pointers: the matches are long, and the callers many

    /// The registers that its results go to.
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
    /// The blocks that control may go to, to be renamed.
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

    /// The blocks that control may go to. A block is visited as often as it is named.
    pub fn for_each_target(&self, visit: &mut dyn FnMut(Blk)) {
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
