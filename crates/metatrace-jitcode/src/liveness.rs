//! Which registers matter where execution may resume.
//!
//! The classic backward data flow over basic blocks, on bit sets. Constants are never live. The result is kept only for
//! resumable instructions, as ranges of one pool, equal sets shared.

use crate::data_flow::{BitSet, backward};
use crate::insn::{Insn, Pc, Reg};
use crate::{JitCode, MergePoint, Position, SwitchTable};
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
    #[inline]
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
        let blocks = Blocks::of(code);
        let mut liveness = blocks.collect(&blocks.live_in());
        let header = code.insns.iter().position(|insn| matches!(insn, Insn::Header));
        if let (Some(header), Some(point)) = (header, &code.merge_point) {
            let live = liveness.at(header as Pc, Position::Before);
            let is_live = |green: &&Reg| live.contains(green);
            liveness.greens_at_header = point.greens.iter().filter(is_live).copied().collect();
        }
        liveness
    }
}

/// A function's basic blocks.
struct Blocks<'a> {
    code: &'a JitCode,
    /// First instruction of each block, ascending.
    starts: Vec<Pc>,
}

impl<'a> Blocks<'a> {
    fn of(code: &'a JitCode) -> Blocks<'a> {
        let mut begins = vec![false; code.insns.len() + 1];
        begins[0] = true;
        for (pc, insn) in code.insns.iter().enumerate() {
            begins[pc + 1] |= insn.ends_block();
            for_each_target(code, *insn, |target| {
                begins[target as usize] = true;
                begins[pc + 1] = true;
            });
        }
        let starts = (0..code.insns.len()).filter(|pc| begins[*pc]);
        Blocks {
            code,
            starts: starts.map(|pc| pc as Pc).collect(),
        }
    }

    /// The block that begins at `pc`.
    fn at(&self, pc: Pc) -> usize {
        let block = self.starts.binary_search(&pc);
        block.unwrap_or_else(|_| panic!("{pc} begins no block"))
    }

    /// Its instructions.
    fn range(&self, block: usize) -> Range<usize> {
        let end = self.starts.get(block + 1).map(|end| *end as usize);
        self.starts[block] as usize..end.unwrap_or(self.code.insns.len())
    }

    /// The block that control falls through to.
    fn next(&self, block: usize) -> Option<usize> {
        let last = self.code.insns[self.range(block).end - 1];
        (block + 1 < self.starts.len() && !last.ends_block()).then_some(block + 1)
    }

    /// From which to which block control may go.
    fn edges(&self) -> Vec<(usize, usize)> {
        let mut edges = Vec::new();
        for block in 0..self.starts.len() {
            for insn in &self.code.insns[self.range(block)] {
                for_each_target(self.code, *insn, |target| edges.push((block, self.at(target))));
            }
            edges.extend(self.next(block).map(|next| (block, next)));
        }
        edges
    }

    /// What is live at the start of each block.
    fn live_in(&self) -> Vec<BitSet> {
        backward(self.starts.len(), self.edges(), |block, live_in, live| {
            self.at_end(block, live_in, live);
            for insn in self.code.insns[self.range(block)].iter().rev() {
                self.remove_results(*insn, live);
                self.add_operands(*insn, live_in, live);
            }
        })
    }

    /// Makes `live` what is live where control falls through to the next block.
    fn at_end(&self, block: usize, live_in: &[BitSet], live: &mut BitSet) {
        live.clear();
        if let Some(next) = self.next(block) {
            live.union(&live_in[next]);
        }
    }

    fn remove_results(&self, insn: Insn, live: &mut BitSet) {
        for_each_def(self.code, insn, |reg| live.remove(reg.0 as usize));
    }

    /// What the instruction reads, and what is live where it may jump to.
    fn add_operands(&self, insn: Insn, live_in: &[BitSet], live: &mut BitSet) {
        for_each_target(self.code, insn, |target| {
            live.union(&live_in[self.at(target)]);
        });
        for_each_use(self.code, insn, |reg| {
            if (reg.0 as usize) < self.code.registers.len() {
                live.insert(reg.0 as usize);
            }
        });
    }

    /// What is kept of the data flow.
    fn collect(&self, live_in: &[BitSet]) -> Liveness {
        let mut liveness = Liveness {
            places: vec![0; self.code.insns.len()],
            ..Liveness::default()
        };
        let mut known = FxHashMap::default();
        let mut live = BitSet::default();
        for block in 0..self.starts.len() {
            self.at_end(block, live_in, &mut live);
            for pc in self.range(block).rev() {
                let insn = self.code.insns[pc];
                self.remove_results(insn, &mut live);
                let calling = insn.is_resumable().then(|| live.clone());
                self.add_operands(insn, live_in, &mut live);
                let Some(mut calling) = calling else { continue };
                let none = BitSet::default();
                let unwinding = unwind_target(self.code, insn).map_or(&none, |target| &live_in[self.at(target)]);
                calling.union(unwinding);
                let mut intern = |set| intern(&mut liveness.pool, &mut known, set);
                liveness.entries.push(Entry {
                    before: intern(&live),
                    calling: intern(&calling),
                    unwinding: intern(unwinding),
                });
                liveness.places[pc] = liveness.entries.len() as u32;
            }
        }
        liveness
    }
}

/// The place of a set in the pool.
fn intern(pool: &mut Vec<Reg>, known: &mut FxHashMap<Vec<Reg>, Range<u32>>, set: &BitSet) -> Range<u32> {
    let regs = set.iter().map(|reg| Reg(reg as u16)).collect();
    let place = known.entry(regs).or_insert_with_key(|regs| {
        let start = pool.len() as u32;
        pool.extend_from_slice(regs);
        start..pool.len() as u32
    });
    place.clone()
}

/// Where a panic in a call goes.
fn unwind_target(code: &JitCode, insn: Insn) -> Option<Pc> {
    match insn {
        Insn::CallNative { call } => code.native_calls[call as usize].unwind,
        Insn::CallInline { call } => code.inline_calls[call as usize].unwind,
        _ => None,
    }
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
        Insn::CallNative { .. } | Insn::CallInline { .. } => unwind_target(code, insn).into_iter().for_each(visit),
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
