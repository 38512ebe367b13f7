//! Which registers matter where execution may resume.
//!
//! The classic backward data flow over basic blocks, on bit sets. Constants are never live. The result is kept only for
//! resumable instructions, as ranges of one pool, equal sets shared.

use crate::insn::{Insn, Pc, Reg};
use crate::{InlineCall, JitCode, MergePoint, NativeCall, Position, SwitchTable};
use rustc_hash::FxHashMap;
use std::ops::Range;

/// The live registers of a function's resumable instructions.
#[derive(Clone, Debug, Default)]
pub struct Liveness {
    entries: Vec<Entry>,
    /// By instruction: its place among the entries, and one; 0 if nothing resumes there.
    places: Vec<u32>,
    pool: Vec<Reg>,
    /// The greens that are live at a portal's header.
    greens_at_header: Vec<Reg>,
}

#[derive(Clone, Debug)]
struct Entry {
    before: Range<u32>,
    calling: Range<u32>,
    unwinding: Range<u32>,
}

impl Liveness {
    /// The live registers at a position, in ascending order.
    ///
    /// # Panics
    /// If execution cannot resume at `pc`: a bug of whoever made the snapshot.
    pub fn at(&self, pc: Pc, position: Position) -> &[Reg] {
        let place = self.places.get(pc as usize).and_then(|place| place.checked_sub(1));
        let place = place.unwrap_or_else(|| panic!("nothing resumes at {pc}"));
        let entry = &self.entries[place as usize];
        let range = match position {
            Position::Before => &entry.before,
            Position::Calling => &entry.calling,
            Position::Unwinding => &entry.unwinding,
        };
        &self.pool[range.start as usize..range.end as usize]
    }

    /// The greens that are a portal's parameters: live at its header, behind which the others are evaluated.
    pub fn greens_at_header(&self) -> &[Reg] {
        &self.greens_at_header
    }

    /// Computes the liveness of a function whose other fields are complete.
    pub fn compute(code: &JitCode) -> Liveness {
        let mut liveness = Analysis::new(code).run();
        let header = code.insns.iter().position(|insn| matches!(insn, Insn::Header));
        if let (Some(header), Some(point)) = (header, &code.merge_point) {
            let live = liveness.at(header as Pc, Position::Before);
            let is_live = |green: &&Reg| live.contains(green);
            liveness.greens_at_header = point.greens.iter().filter(is_live).copied().collect();
        }
        liveness
    }
}

/// A set of registers.
#[derive(Clone, PartialEq, Eq, Debug)]
struct RegSet(Vec<u64>);

impl RegSet {
    fn new(registers: usize) -> RegSet {
        RegSet(vec![0; registers.div_ceil(64)])
    }

    fn insert(&mut self, reg: Reg) {
        self.0[reg.0 as usize / 64] |= 1 << (reg.0 % 64);
    }

    fn remove(&mut self, reg: Reg) {
        self.0[reg.0 as usize / 64] &= !(1 << (reg.0 % 64));
    }

    fn union(&mut self, other: &RegSet) {
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }

    fn iter(&self) -> impl Iterator<Item = Reg> + '_ {
        self.0.iter().enumerate().flat_map(|(n, word)| {
            (0..64)
                .filter(move |bit| word >> bit & 1 != 0)
                .map(move |bit| Reg((n * 64 + bit) as u16))
        })
    }
}

struct Analysis<'a> {
    code: &'a JitCode,
    /// First instruction of each block, ascending.
    starts: Vec<Pc>,
    /// Live at the start of each block.
    live_in: Vec<RegSet>,
}

impl<'a> Analysis<'a> {
    fn new(code: &'a JitCode) -> Analysis<'a> {
        let mut starts = vec![0];
        for (pc, insn) in code.insns.iter().enumerate() {
            for_each_target(code, *insn, |target| starts.push(target));
            if has_targets(code, *insn) || insn.ends_block() {
                starts.push(pc as Pc + 1);
            }
        }
        starts.sort_unstable();
        starts.dedup();
        starts.retain(|start| (*start as usize) < code.insns.len());
        let live_in = vec![RegSet::new(code.registers.len()); starts.len()];
        Analysis { code, starts, live_in }
    }

    fn run(mut self) -> Liveness {
        loop {
            let mut changed = false;
            for block in (0..self.starts.len()).rev() {
                let live = self.walk(block, |_, _, _| {});
                changed |= live != self.live_in[block];
                self.live_in[block] = live;
            }
            if !changed {
                return self.collect();
            }
        }
    }

    /// The set live at the start of the block at `pc`.
    fn at_block(&self, pc: Pc) -> &RegSet {
        let block = self
            .starts
            .binary_search(&pc)
            .unwrap_or_else(|_| panic!("{pc} begins no block"));
        &self.live_in[block]
    }

    /// Walks a block backwards; `visit` sees each instruction with the sets behind and before it. Returns the set live at
    /// the block's start.
    fn walk(&self, block: usize, mut visit: impl FnMut(Pc, &RegSet, &RegSet)) -> RegSet {
        let code = self.code;
        let start = self.starts[block];
        let end = self.starts.get(block + 1).copied().unwrap_or(code.insns.len() as Pc);
        let falls_through = !code.insns[end as usize - 1].ends_block();
        let mut live = match self.live_in.get(block + 1) {
            Some(next) if falls_through => next.clone(),
            _ => RegSet::new(code.registers.len()),
        };
        for pc in (start..end).rev() {
            let insn = code.insns[pc as usize];
            let behind = live.clone();
            for_each_def(code, insn, |reg| live.remove(reg));
            for_each_target(code, insn, |target| live.union(self.at_block(target)));
            for_each_use(code, insn, |reg| {
                if (reg.0 as usize) < code.registers.len() {
                    live.insert(reg);
                }
            });
            visit(pc, &behind, &live);
        }
        live
    }

    fn collect(self) -> Liveness {
        let mut liveness = Liveness {
            places: vec![0; self.code.insns.len()],
            ..Liveness::default()
        };
        let mut known: FxHashMap<Vec<Reg>, Range<u32>> = FxHashMap::default();
        for block in 0..self.starts.len() {
            self.walk(block, |pc, behind, before| {
                let insn = self.code.insns[pc as usize];
                if !insn.is_resumable() {
                    return;
                }
                let mut intern = |set: &RegSet| {
                    let regs: Vec<Reg> = set.iter().collect();
                    let pool = &mut liveness.pool;
                    known
                        .entry(regs)
                        .or_insert_with_key(|regs| {
                            let start = pool.len() as u32;
                            pool.extend_from_slice(regs);
                            start..pool.len() as u32
                        })
                        .clone()
                };
                let unwind = match insn {
                    Insn::CallNative { call } => self.code.native_calls[call as usize].unwind,
                    Insn::CallInline { call } => self.code.inline_calls[call as usize].unwind,
                    _ => None,
                };
                let none = RegSet::new(self.code.registers.len());
                let unwinding = unwind.map_or(&none, |target| self.at_block(target));
                let mut calling = behind.clone();
                for_each_def(self.code, insn, |reg| calling.remove(reg));
                calling.union(unwinding);
                let entry = Entry {
                    before: intern(before),
                    calling: intern(&calling),
                    unwinding: intern(unwinding),
                };
                liveness.entries.push(entry);
                liveness.places[pc as usize] = liveness.entries.len() as u32;
            });
        }
        liveness
    }
}

fn has_targets(code: &JitCode, insn: Insn) -> bool {
    let mut any = false;
    for_each_target(code, insn, |_| any = true);
    any
}

/// Calls `visit` with each instruction that control may go to, the next one excepted.
fn for_each_target(code: &JitCode, insn: Insn, mut visit: impl FnMut(Pc)) {
    match insn {
        Insn::Goto { to } => visit(to),
        Insn::Branch { if_false, .. } | Insn::BranchIf { if_false, .. } => visit(if_false),
        Insn::Overflow { overflow, .. } => visit(overflow),
        Insn::Switch { table, .. } => {
            let SwitchTable { cases, default } = &code.switches[table as usize];
            cases.iter().for_each(|(_, target)| visit(*target));
            visit(*default);
        }
        Insn::CallNative { call } => {
            if let NativeCall {
                unwind: Some(target), ..
            } = code.native_calls[call as usize]
            {
                visit(target);
            }
        }
        Insn::CallInline { call } => {
            if let InlineCall {
                unwind: Some(target), ..
            } = code.inline_calls[call as usize]
            {
                visit(target);
            }
        }
        _ => {}
    }
}

fn for_each_def(code: &JitCode, insn: Insn, mut visit: impl FnMut(Reg)) {
    match insn {
        Insn::Move { dst, .. }
        | Insn::Pure { dst, .. }
        | Insn::PtrField { dst, .. }
        | Insn::PtrItem { dst, .. }
        | Insn::Load { dst, .. }
        | Insn::LoadItem { dst, .. }
        | Insn::Alloca { dst, .. } => visit(dst),
        // `dst` is written only where control falls through, but a register written on one way out and live on the
        // other keeps its old value there: the use on the target's side makes it live again.
        Insn::Overflow { dst, .. } => visit(dst),
        Insn::CallNative { call } => {
            if let Some(dst) = code.native_calls[call as usize].dst {
                visit(dst);
            }
        }
        Insn::CallInline { call } => code.inline_calls[call as usize].dsts.iter().for_each(|dst| visit(*dst)),
        // It clears what is not a parameter. Greens that are evaluated behind it are no parameters: not live there anyway.
        Insn::Header => {
            let greens = &merge_point(code).greens;
            let all = (0..code.registers.len() as u16).map(Reg);
            all.filter(|reg| !greens.contains(reg)).for_each(visit);
        }
        _ => {}
    }
}

fn for_each_use(code: &JitCode, insn: Insn, mut visit: impl FnMut(Reg)) {
    match insn {
        Insn::Move { src, .. } => visit(src),
        Insn::Pure { op, a, b, .. } => {
            visit(a);
            if is_binary(op) {
                visit(b);
            }
        }
        Insn::Overflow { a, b, .. } => {
            visit(a);
            visit(b);
        }
        Insn::BranchIf { op, a, b, .. } => {
            visit(a);
            if is_binary(op) {
                visit(b);
            }
        }
        Insn::PtrField { base, .. } | Insn::Load { base, .. } => visit(base),
        Insn::PtrItem { base, index, .. } | Insn::LoadItem { base, index, .. } => {
            visit(base);
            visit(index);
        }
        Insn::Store { base, src, .. } => {
            visit(base);
            visit(src);
        }
        Insn::StoreItem { base, index, src, .. } => {
            visit(base);
            visit(index);
            visit(src);
        }
        Insn::Branch { cond, .. } => visit(cond),
        Insn::Switch { value, .. } => visit(value),
        Insn::Promote { reg } => visit(reg),
        Insn::CallNative { call } => code.native_calls[call as usize].args.iter().for_each(|arg| visit(*arg)),
        Insn::CallInline { call } => code.inline_calls[call as usize].args.iter().for_each(|arg| visit(*arg)),
        Insn::Return { values } => code.returns[values as usize].iter().for_each(|value| visit(*value)),
        Insn::Header => merge_point(code).reds.iter().for_each(|red| visit(*red)),
        Insn::MergePoint => {
            let MergePoint { greens, reds, .. } = merge_point(code);
            greens.iter().chain(reds).for_each(|reg| visit(*reg));
        }
        Insn::Alloca { .. } | Insn::Goto { .. } | Insn::ResumeUnwind | Insn::Unreachable | Insn::BackEdge => {}
    }
}

fn merge_point(code: &JitCode) -> &MergePoint {
    code.merge_point
        .as_ref()
        .unwrap_or_else(|| panic!("{} is not a portal", code.name))
}

/// Whether an operation of jitcode reads its second operand.
pub(crate) fn is_binary(op: metatrace_ir::Opcode) -> bool {
    matches!(op.info().operands, metatrace_ir::op::Operands::Fixed(&[_, _]))
}
