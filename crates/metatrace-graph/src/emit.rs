//! Linear jitcode from the graph.

use crate::cfg::reachable;
use crate::graph::{Blk, Graph, Op, Operand, Term, VReg, is_binary};
use crate::live;
use metatrace_ir::{Const, DescrRef, JitCodeId, Kind, Opcode};
use metatrace_jitcode::data_flow::BitSet;
use metatrace_jitcode::liveness::Liveness;
use metatrace_jitcode::{Callee, DescrIndex, InlineCall, Insn, JitCode, MergePoint, NativeCall, Pc, Reg, SwitchTable};
use rustc_hash::FxHashMap;
use std::error::Error;
use std::fmt;

/// What there is too much of in a graph: jitcode numbers registers, constants and its tables' entries with 16 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TooLarge {
    /// Registers.
    Registers,
    /// Registers and constants together.
    Operands,
    /// Descriptors, calls of a sort, switches or returns.
    Table,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TooLarge::Registers => "it needs more than 65,535 registers: split it",
            TooLarge::Operands => "it has too many registers and constants: split it",
            TooLarge::Table => "it is too large: split it",
        })
    }
}

impl Error for TooLarge {}

/// Lays the blocks out, numbers the registers, and computes liveness.
pub(crate) fn emit(graph: &Graph, id: JitCodeId) -> Result<JitCode, TooLarge> {
    let order = order(graph);
    let registers = Registers::assign(graph, &order)?;
    let code = JitCode {
        id,
        name: graph.name.into(),
        params: graph.params.iter().map(|reg| graph.kinds[reg.0 as usize]).collect(),
        results: graph.results.clone(),
        registers: registers.kinds.clone(),
        consts: Vec::new(),
        insns: Vec::new(),
        descrs: Vec::new(),
        native_calls: Vec::new(),
        inline_calls: Vec::new(),
        switches: Vec::new(),
        returns: Vec::new(),
        merge_point: None,
        liveness: Liveness::default(),
    };
    let mut emitter = Emitter {
        graph,
        registers,
        code,
        consts: FxHashMap::default(),
        descrs: FxHashMap::default(),
        starts: vec![None; graph.blocks.len()],
    };
    for (n, block) in order.iter().enumerate() {
        emitter.block(*block, order.get(n + 1).copied())?;
    }
    emitter.finish()
}

/// The order of the blocks: likely successors directly behind, blocks that only panic or clean up at the end.
fn order(graph: &Graph) -> Vec<Blk> {
    let reachable = reachable(graph);
    let cold = cold_blocks(graph);
    let mut placed = vec![false; graph.blocks.len()];
    let mut order = Vec::new();
    let mut work = vec![Blk(0)];
    let mut late = Vec::new();
    while let Some(start) = work.pop().or_else(|| late.pop()) {
        let mut next = Some(start);
        while let Some(block) = next.take() {
            if std::mem::replace(&mut placed[block.0 as usize], true) {
                break;
            }
            order.push(block);
            let mut targets = Vec::new();
            graph.blocks[block.0 as usize]
                .term
                .for_each_target(&mut |to| targets.push(to));
            let free = |to: &&Blk| !placed[to.0 as usize] && !cold[to.0 as usize];
            next = targets.iter().find(free).copied();
            for to in targets.into_iter().rev() {
                if Some(to) != next {
                    if cold[to.0 as usize] { &mut late } else { &mut work }.push(to);
                }
            }
            late.extend(graph.blocks[block.0 as usize].ops.iter().filter_map(Op::unwind_block));
        }
    }
    debug_assert!(order.iter().all(|block| reachable[block.0 as usize]));
    order
}

/// Blocks from which control never comes back to the function's purpose.
fn cold_blocks(graph: &Graph) -> Vec<bool> {
    let mut cold: Vec<bool> = graph
        .blocks
        .iter()
        .map(|block| matches!(block.term, Term::Unreachable | Term::ResumeUnwind))
        .collect();
    loop {
        let mut changed = false;
        for (n, block) in graph.blocks.iter().enumerate() {
            let (mut any, mut all) = (false, true);
            block.term.for_each_target(&mut |to| {
                any = true;
                all &= cold[to.0 as usize];
            });
            if any && all && !cold[n] {
                cold[n] = true;
                changed = true;
            }
        }
        if !changed {
            return cold;
        }
    }
}

/// Numbers of registers: the parameters', then those that live across blocks, then those of single blocks, which share.
struct Registers {
    /// By virtual register.
    of: Vec<Option<Reg>>,
    kinds: Vec<Kind>,
}

impl Registers {
    fn assign(graph: &Graph, order: &[Blk]) -> Result<Registers, TooLarge> {
        let mut registers = Registers {
            of: vec![None; graph.kinds.len()],
            kinds: Vec::new(),
        };
        for param in &graph.params {
            registers.add(graph, *param);
        }
        let mut across = BitSet::default();
        for live in live::live_in(graph) {
            across.union(&live);
        }
        let merge: Vec<VReg> = graph
            .merge_point
            .iter()
            .flat_map(|merge| merge.reds.iter().copied())
            .collect();
        let mut local: Vec<Vec<VReg>> = Vec::new();
        for block in order {
            let mut mine = Vec::new();
            let mut meet = |reg: VReg| {
                if registers.get(reg).is_some() || mine.contains(&reg) {
                    return;
                }
                if merge.contains(&reg) || across.contains(reg.0 as usize) {
                    registers.add(graph, reg);
                } else {
                    mine.push(reg);
                }
            };
            let block = &graph.blocks[block.0 as usize];
            for op in &block.ops {
                op.for_each_use(graph.merge_point.as_ref(), &mut meet);
                op.for_each_def(&mut meet);
            }
            block.term.for_each_use(&mut meet);
            block.term.def().into_iter().for_each(&mut meet);
            local.push(mine);
        }
        let shared = registers.kinds.len();
        let mut pools: FxHashMap<Kind, Vec<Reg>> = FxHashMap::default();
        for (block, mine) in order.iter().zip(local) {
            registers.share(graph, *block, &mine, &mut pools);
        }
        debug_assert!(registers.kinds.len() >= shared);
        if registers.kinds.len() > usize::from(u16::MAX) {
            return Err(TooLarge::Registers);
        }
        Ok(registers)
    }

    fn get(&self, reg: VReg) -> Option<Reg> {
        self.of[reg.0 as usize]
    }

    /// Numbers that do not fit wrap: [`Registers::assign`] looks at its end whether there were any.
    fn add(&mut self, graph: &Graph, reg: VReg) -> Reg {
        let number = Reg(self.kinds.len() as u16);
        self.kinds.push(graph.kinds[reg.0 as usize]);
        self.of[reg.0 as usize] = Some(number);
        number
    }

    /// Registers of one block: a linear scan over its operations.
    fn share(&mut self, graph: &Graph, block: Blk, mine: &[VReg], pools: &mut FxHashMap<Kind, Vec<Reg>>) {
        let block = &graph.blocks[block.0 as usize];
        let mut last: FxHashMap<VReg, usize> = FxHashMap::default();
        for (at, op) in block.ops.iter().enumerate() {
            op.for_each_use(graph.merge_point.as_ref(), &mut |reg| {
                last.insert(reg, at);
            });
            op.for_each_def(&mut |reg| {
                last.insert(reg, at);
            });
        }
        block.term.for_each_use(&mut |reg| {
            last.insert(reg, block.ops.len());
        });
        block.term.def().into_iter().for_each(|reg| {
            last.insert(reg, block.ops.len());
        });
        let mut free: FxHashMap<Kind, Vec<Reg>> = pools.clone();
        let mut ends: Vec<(usize, VReg)> = mine.iter().filter_map(|reg| Some((*last.get(reg)?, *reg))).collect();
        ends.sort_unstable_by_key(|(at, _)| *at);
        let mut ended = ends.into_iter().peekable();
        let mut define = |reg: VReg, registers: &mut Registers, free: &mut FxHashMap<Kind, Vec<Reg>>| {
            if registers.get(reg).is_some() || !mine.contains(&reg) {
                return;
            }
            let kind = graph.kinds[reg.0 as usize];
            match free.entry(kind).or_default().pop() {
                Some(number) => registers.of[reg.0 as usize] = Some(number),
                None => {
                    let number = registers.add(graph, reg);
                    pools.entry(kind).or_default().push(number);
                }
            }
        };
        for (at, op) in block.ops.iter().enumerate() {
            // What ends before this operation is free for its result; operands stay apart from results.
            while let Some((_, reg)) = ended.next_if(|(end, _)| *end < at) {
                if let Some(number) = self.get(reg) {
                    free.entry(graph.kinds[reg.0 as usize]).or_default().push(number);
                }
            }
            op.for_each_def(&mut |reg| define(reg, self, &mut free));
        }
        block
            .term
            .def()
            .into_iter()
            .for_each(|reg| define(reg, self, &mut free));
    }
}

struct Emitter<'a> {
    graph: &'a Graph,
    registers: Registers,
    code: JitCode,
    consts: FxHashMap<Const, Reg>,
    descrs: FxHashMap<DescrRef, DescrIndex>,
    /// By block.
    starts: Vec<Option<Pc>>,
}

impl Emitter<'_> {
    fn reg(&self, reg: VReg) -> Reg {
        self.registers.get(reg).expect("what is used has a number")
    }

    fn operand(&mut self, operand: Operand) -> Result<Reg, TooLarge> {
        let constant = match operand {
            Operand::Reg(reg) => return Ok(self.reg(reg)),
            Operand::Const(constant) => constant,
        };
        if let Some(reg) = self.consts.get(&constant) {
            return Ok(*reg);
        }
        let number = self.registers.kinds.len() + self.code.consts.len();
        let reg = Reg(u16::try_from(number).map_err(|_| TooLarge::Operands)?);
        self.code.consts.push(constant);
        self.consts.insert(constant, reg);
        Ok(reg)
    }

    fn operands(&mut self, operands: &[Operand]) -> Result<Box<[Reg]>, TooLarge> {
        operands.iter().map(|operand| self.operand(*operand)).collect()
    }

    fn descr(&mut self, descr: &DescrRef) -> Result<DescrIndex, TooLarge> {
        if let Some(index) = self.descrs.get(descr) {
            return Ok(*index);
        }
        let index = DescrIndex(index16(self.code.descrs.len())?);
        self.code.descrs.push(descr.clone());
        self.descrs.insert(descr.clone(), index);
        Ok(index)
    }

    fn push(&mut self, insn: Insn) {
        self.code.insns.push(insn);
    }

    /// Jump targets are blocks until all blocks have their place.
    fn block(&mut self, block: Blk, next: Option<Blk>) -> Result<(), TooLarge> {
        self.starts[block.0 as usize] = Some(self.code.insns.len() as Pc);
        let graph = self.graph;
        for op in &graph.blocks[block.0 as usize].ops {
            self.op(op)?;
        }
        self.term(&graph.blocks[block.0 as usize].term, next)
    }

    fn op(&mut self, op: &Op) -> Result<(), TooLarge> {
        let insn = match op {
            Op::Move { dst, src } | Op::Distinct { dst, src, .. } => Insn::Move {
                dst: self.reg(*dst),
                src: self.operand(*src)?,
            },
            Op::Pure { op, dst, a, b } => {
                let (dst, a, b) = (self.reg(*dst), self.operand(*a)?, self.second(*op, *a, *b)?);
                Insn::Pure { op: *op, dst, a, b }
            }
            Op::PtrField { dst, base, descr } => Insn::PtrField {
                dst: self.reg(*dst),
                base: self.operand(*base)?,
                descr: self.descr(descr)?,
            },
            Op::PtrItem {
                dst,
                base,
                index,
                descr,
            } => Insn::PtrItem {
                dst: self.reg(*dst),
                base: self.operand(*base)?,
                index: self.operand(*index)?,
                descr: self.descr(descr)?,
            },
            Op::Load { dst, base, descr } => Insn::Load {
                dst: self.reg(*dst),
                base: self.operand(*base)?,
                descr: self.descr(descr)?,
            },
            Op::Store { base, src, descr } => Insn::Store {
                base: self.operand(*base)?,
                src: self.operand(*src)?,
                descr: self.descr(descr)?,
            },
            Op::LoadItem {
                dst,
                base,
                index,
                descr,
            } => Insn::LoadItem {
                dst: self.reg(*dst),
                base: self.operand(*base)?,
                index: self.operand(*index)?,
                descr: self.descr(descr)?,
            },
            Op::StoreItem {
                base,
                index,
                src,
                descr,
            } => Insn::StoreItem {
                base: self.operand(*base)?,
                index: self.operand(*index)?,
                src: self.operand(*src)?,
                descr: self.descr(descr)?,
            },
            Op::Alloca { dst, descr } => Insn::Alloca {
                dst: self.reg(*dst),
                descr: self.descr(descr)?,
            },
            Op::Native(call) => {
                let args = self.operands(&call.args)?;
                let number = index16(self.code.native_calls.len())?;
                self.code.native_calls.push(NativeCall {
                    function: call.function,
                    args,
                    dst: call.dst.map(|dst| self.reg(dst)),
                    descr: call.descr.clone(),
                    unwind: call.unwind.block().map(|block| block.0),
                });
                Insn::CallNative { call: number }
            }
            Op::Inline(call) => {
                let args = self.operands(&call.args)?;
                let number = index16(self.code.inline_calls.len())?;
                self.code.inline_calls.push(InlineCall {
                    callee: Callee::new(call.key, call.name.clone()),
                    args,
                    dsts: call.dsts.iter().map(|dst| self.reg(*dst)).collect(),
                    unwind: call.unwind.block().map(|block| block.0),
                });
                Insn::CallInline { call: number }
            }
            Op::Promote { reg } => Insn::Promote { reg: self.reg(*reg) },
            Op::Header => Insn::Header,
            Op::MergePoint => Insn::MergePoint,
            Op::BackEdge => Insn::BackEdge,
            Op::Sequence(_) | Op::Owns(_) | Op::Moved(_) | Op::Drop { .. } => {
                unreachable!("{op:?} is expanded before jitcode is made")
            }
        };
        self.push(insn);
        Ok(())
    }

    /// Unary operations repeat their operand.
    fn second(&mut self, op: Opcode, a: Operand, b: Operand) -> Result<Reg, TooLarge> {
        self.operand(if is_binary(op) { b } else { a })
    }

    fn term(&mut self, term: &Term, next: Option<Blk>) -> Result<(), TooLarge> {
        match term {
            Term::Goto(to) => self.goto(*to, next),
            Term::If { cond, then, or } => {
                let cond = self.operand(*cond)?;
                if Some(*or) == next && Some(*then) != next {
                    self.push(Insn::BranchIf {
                        op: Opcode::IntIsZero,
                        a: cond,
                        b: cond,
                        if_false: then.0,
                    });
                } else {
                    self.push(Insn::Branch { cond, if_false: or.0 });
                    self.goto(*then, next);
                }
            }
            Term::Compare { op, a, b, then, or } => {
                let (a, b) = (self.operand(*a)?, self.second(*op, *a, *b)?);
                match op.negated() {
                    Some(negated) if Some(*or) == next && Some(*then) != next => {
                        self.push(Insn::BranchIf {
                            op: negated,
                            a,
                            b,
                            if_false: then.0,
                        });
                    }
                    _ => {
                        self.push(Insn::BranchIf {
                            op: *op,
                            a,
                            b,
                            if_false: or.0,
                        });
                        self.goto(*then, next);
                    }
                }
            }
            Term::Switch { value, cases, default } => {
                let value = self.operand(*value)?;
                let table = index16(self.code.switches.len())?;
                let cases = cases.iter().map(|(case, to)| (*case, to.0)).collect();
                self.code.switches.push(SwitchTable {
                    cases,
                    default: default.0,
                });
                self.push(Insn::Switch { value, table });
            }
            Term::Overflow {
                op,
                dst,
                a,
                b,
                fits,
                overflow,
            } => {
                let (dst, a, b) = (self.reg(*dst), self.operand(*a)?, self.operand(*b)?);
                self.push(Insn::Overflow {
                    op: *op,
                    dst,
                    a,
                    b,
                    overflow: overflow.0,
                });
                self.goto(*fits, next);
            }
            Term::Return(values) => {
                let values = self.operands(values)?;
                let number = index16(self.code.returns.len())?;
                self.code.returns.push(values);
                self.push(Insn::Return { values: number });
            }
            Term::ResumeUnwind => self.push(Insn::ResumeUnwind),
            Term::Unreachable => self.push(Insn::Unreachable),
            Term::Open => panic!("{}: control falls off the end of a block", self.graph.name),
        }
        Ok(())
    }

    fn goto(&mut self, to: Blk, next: Option<Blk>) {
        if Some(to) != next {
            self.push(Insn::Goto { to: to.0 });
        }
    }

    fn finish(mut self) -> Result<JitCode, TooLarge> {
        if let Some(merge) = &self.graph.merge_point {
            let greens = self.operands(&merge.greens)?;
            let reds = merge.reds.iter().map(|red| self.reg(*red)).collect();
            self.code.merge_point = Some(MergePoint {
                greens,
                frozen: merge.frozen.clone().into(),
                reds,
            });
        }
        let starts = &self.starts;
        let place = |target: &mut Pc| *target = starts[*target as usize].expect("what can be reached has its place");
        for insn in &mut self.code.insns {
            match insn {
                Insn::Goto { to } => place(to),
                Insn::Branch { if_false, .. } | Insn::BranchIf { if_false, .. } => place(if_false),
                Insn::Overflow { overflow, .. } => place(overflow),
                _ => {}
            }
        }
        for table in &mut self.code.switches {
            table.cases.iter_mut().for_each(|(_, to)| place(to));
            place(&mut table.default);
        }
        self.code
            .native_calls
            .iter_mut()
            .filter_map(|call| call.unwind.as_mut())
            .for_each(place);
        self.code
            .inline_calls
            .iter_mut()
            .filter_map(|call| call.unwind.as_mut())
            .for_each(place);
        self.code.liveness = Liveness::compute(&self.code);
        Ok(self.code)
    }
}

fn index16(number: usize) -> Result<u16, TooLarge> {
    u16::try_from(number).map_err(|_| TooLarge::Table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Inline, Unwind};
    use metatrace_jitcode::CalleeKey;

    /// Of what `record` puts into a function, it takes so many, and refuses one more.
    fn check_limit(limit: u64, too_large: TooLarge, record: fn(&mut Graph, u64)) {
        let refused = |times: u64| {
            let mut graph = Graph::new("f");
            graph.block();
            graph.blocks[0].term = Term::Return(Vec::new());
            (0..times).for_each(|n| record(&mut graph, n));
            crate::close(&mut graph);
            crate::lower(graph, JitCodeId(0)).err()
        };
        assert_eq!(refused(limit), None);
        assert_eq!(refused(limit + 1), Some(too_large));
    }

    #[test]
    fn registers_have_16_bits() {
        check_limit(0xffff, TooLarge::Registers, |graph, _| {
            let reg = graph.reg(Kind::Int);
            graph.params.push(reg);
        });
    }

    #[test]
    fn constants_share_them() {
        check_limit(0x1_0000, TooLarge::Operands, |graph, n| {
            match &mut graph.blocks[0].term {
                Term::Return(words) => words.push(Operand::int(n)),
                term => unreachable!("{term:?}"),
            }
        });
    }

    #[test]
    fn calls_have_16_bits() {
        check_limit(0x1_0000, TooLarge::Table, |graph, _| {
            graph.blocks[0].ops.push(Op::Inline(Box::new(Inline {
                key: CalleeKey(0),
                name: "g".into(),
                args: Vec::new(),
                dsts: Vec::new(),
                unwind: Unwind::Block(None),
            })));
        });
    }
}
