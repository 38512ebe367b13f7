//! Makes drops explicit.
//!
//! A forward data flow finds for each owner whether its value is there: never, always, or on some paths. Where it is not
//! known, a flag tells; drops become calls, and the lists of what calls leave behind when they unwind become cleanup
//! blocks, which share their ends.
//!
//! ```text
//! b1: owns x; native f unwind [x]; drop x; return
//! b1: native f unwind b9; native drop<X>(&x); return
//! b9: native drop<X>(&x); resume unwind
//! ```

use crate::builder::Builder;
use crate::drops::{Home, Owner, Part};
use crate::natives::{self, Facts};
use crate::place::{Located, PlaceKind, RootHome};
use crate::types::Type;
use metatrace_graph::{Blk, Op, Operand, OwnerId, Term, Unwind, VReg};
use metatrace_ir::{Const, Effect, Kind, Opcode};
use rustc_hash::FxHashMap;
use std::rc::Rc;

/// Bits of what may be: the value is not there, it is there.
const NO: u8 = 1;
const YES: u8 = 2;
const MAYBE: u8 = NO | YES;

struct Expansion<'a> {
    b: &'a mut Builder,
    /// At the start of each block.
    at_start: Vec<Option<Vec<u8>>>,
    flags: FxHashMap<OwnerId, VReg>,
    cleanups: FxHashMap<Vec<(OwnerId, bool)>, Blk>,
}

/// Replaces [`Op::Owns`], [`Op::Moved`], [`Op::Drop`] and [`Unwind::Owned`].
pub(crate) fn expand(b: &mut Builder) {
    let count = b.graph.blocks.len();
    let mut expansion = Expansion {
        b,
        at_start: vec![None; count],
        flags: FxHashMap::default(),
        cleanups: FxHashMap::default(),
    };
    expansion.flow();
    expansion.choose_flags();
    for block in 0..count {
        if let Some(state) = expansion.at_start[block].clone() {
            expansion.rewrite(block, state);
        }
    }
    expansion.initialise_flags();
}

fn step(op: &Op, state: &mut [u8]) {
    match op {
        Op::Owns(owner) => state[owner.0 as usize] = YES,
        Op::Moved(owner) | Op::Drop { owner, .. } => state[owner.0 as usize] = NO,
        _ => {}
    }
}

/// What the operation drops, or would drop if it unwound.
fn owners_of(op: &Op) -> (Option<OwnerId>, Option<&Rc<[OwnerId]>>) {
    let unwind = match op {
        Op::Native(call) => Some(&call.unwind),
        Op::Inline(call) => Some(&call.unwind),
        Op::Drop { owner, unwind } => return (Some(*owner), Some(unwind)),
        _ => None,
    };
    match unwind {
        Some(Unwind::Owned(owners)) => (None, Some(owners)),
        _ => (None, None),
    }
}

impl Expansion<'_> {
    fn flow(&mut self) {
        self.at_start[0] = Some(vec![NO; self.b.owners.len()]);
        let mut work = vec![Blk(0)];
        while let Some(block) = work.pop() {
            let mut state = self.at_start[block.0 as usize]
                .clone()
                .expect("blocks are reached with a state");
            let block = &self.b.graph.blocks[block.0 as usize];
            for op in &block.ops {
                step(op, &mut state);
            }
            let mut targets = Vec::new();
            block.term.for_each_target(&mut |to| targets.push(to));
            for to in targets {
                match &mut self.at_start[to.0 as usize] {
                    Some(known) => {
                        let mut changed = false;
                        for (known, new) in known.iter_mut().zip(&state) {
                            changed |= *known | new != *known;
                            *known |= new;
                        }
                        if changed {
                            work.push(to);
                        }
                    }
                    unknown => {
                        *unknown = Some(state.clone());
                        work.push(to);
                    }
                }
            }
        }
    }

    fn choose_flags(&mut self) {
        for block in 0..self.at_start.len() {
            let Some(mut state) = self.at_start[block].clone() else {
                continue;
            };
            let mut unsure = Vec::new();
            for op in &self.b.graph.blocks[block].ops {
                let (dropped, unwinding) = owners_of(op);
                unsure.extend(dropped.into_iter().filter(|owner| state[owner.0 as usize] == MAYBE));
                step(op, &mut state);
                let unwinding = unwinding.into_iter().flat_map(|owners| owners.iter().copied());
                unsure.extend(unwinding.filter(|owner| state[owner.0 as usize] == MAYBE));
            }
            for owner in unsure {
                if !self.flags.contains_key(&owner) {
                    let flag = self.b.reg(Kind::Int);
                    self.flags.insert(owner, flag);
                }
            }
        }
    }

    fn rewrite(&mut self, block: usize, mut state: Vec<u8>) {
        let ops = std::mem::take(&mut self.b.graph.blocks[block].ops);
        let term = std::mem::replace(&mut self.b.graph.blocks[block].term, Term::Open);
        self.b.current = Blk(block as u32);
        for mut op in ops {
            let before = state.clone();
            step(&op, &mut state);
            match &mut op {
                Op::Owns(owner) => self.set_flag(*owner, 1),
                Op::Moved(owner) => self.set_flag(*owner, 0),
                Op::Drop { owner, unwind } => {
                    let cleanup = self.cleanup(unwind, &state);
                    self.drop_owner(*owner, before[owner.0 as usize], cleanup);
                }
                Op::Native(call) => {
                    if let Unwind::Owned(owners) = &call.unwind {
                        call.unwind = Unwind::Block(self.cleanup(&owners.clone(), &state));
                    }
                    self.b.emit(op);
                }
                Op::Inline(call) => {
                    if let Unwind::Owned(owners) = &call.unwind {
                        call.unwind = Unwind::Block(self.cleanup(&owners.clone(), &state));
                    }
                    self.b.emit(op);
                }
                _ => self.b.emit(op),
            }
        }
        let current = self.b.current.0 as usize;
        self.b.graph.blocks[current].term = term;
    }

    fn set_flag(&mut self, owner: OwnerId, value: u64) {
        if let Some(flag) = self.flags.get(&owner) {
            let dst = *flag;
            self.b.emit(Op::Move {
                dst,
                src: Operand::int(value),
            });
        }
    }

    fn drop_owner(&mut self, owner: OwnerId, state: u8, cleanup: Option<Blk>) {
        if state == NO {
            return;
        }
        let behind = self.b.graph.block();
        self.drop_code(owner, state == MAYBE, behind, Unwind::Block(cleanup), false);
        self.b.goto(behind);
        self.b.current = behind;
    }

    /// Drops what is there, or goes to `behind`.
    fn drop_code(&mut self, owner: OwnerId, flagged: bool, behind: Blk, unwind: Unwind, aborting: bool) {
        if flagged {
            self.b.test(Operand::Reg(self.flags[&owner]), behind);
        }
        self.set_flag(owner, 0);
        let Owner { ty, home } = self.b.owners[owner.0 as usize].clone();
        let at = match home {
            Home::Words(words) => natives::spill(self.b, ty, &words),
            Home::Part(part) => self.address_of_part(ty, &part, behind),
        };
        drop_call(self.b, ty, at, unwind, aborting);
    }

    /// Goes to `behind` where the part's variant is not there.
    fn address_of_part(&mut self, ty: Type, part: &Part, behind: Blk) -> Operand {
        let mut place = self.b.place(PlaceKind::Root(part.root));
        let mut at = self.b.roots[part.root as usize].ty;
        for (variant, index) in &part.path {
            self.b.test_variant(place, at, *variant, behind);
            let structure = at.structure().expect("its fields have been asked for");
            place = self.b.field(place, at, *variant, *index);
            at = structure.fields(*variant as usize)[*index as usize].ty;
        }
        for variant in &part.except {
            let found = self.b.is_variant(place, at, *variant);
            let other = self.b.pure1(Opcode::IntIsZero, found);
            self.b.test(other, behind);
        }
        match self.b.locate(place) {
            Located::Mem(mem) => self.b.address(&mem),
            Located::Words(..) => {
                let words = self.b.read(place, ty);
                natives::spill(self.b, ty, &words)
            }
        }
    }

    /// The block that drops what is there of `owners` and unwinds on.
    fn cleanup(&mut self, owners: &[OwnerId], state: &[u8]) -> Option<Blk> {
        let there = owners.iter().filter(|owner| state[owner.0 as usize] != NO);
        let list: Vec<(OwnerId, bool)> = there.map(|owner| (*owner, state[owner.0 as usize] == MAYBE)).collect();
        (!list.is_empty()).then(|| self.cleanup_list(&list))
    }

    fn cleanup_list(&mut self, list: &[(OwnerId, bool)]) -> Blk {
        if let Some(block) = self.cleanups.get(list) {
            return *block;
        }
        let start = self.b.graph.block();
        let next = (list.len() > 1).then(|| self.cleanup_list(&list[1..]));
        let here = std::mem::replace(&mut self.b.current, start);
        let (owner, flagged) = list[0];
        let behind = self.b.graph.block();
        self.drop_code(owner, flagged, behind, Unwind::Block(None), true);
        self.b.goto(behind);
        self.b.current = behind;
        match next {
            Some(next) => self.b.goto(next),
            None => self.b.end(Term::ResumeUnwind),
        }
        self.b.current = here;
        self.cleanups.insert(list.to_vec(), start);
        start
    }

    /// A flag may be looked at on paths where its owner never came to be, and registers of the owner are live there; behind
    /// the merge point, only parameters live.
    fn initialise_flags(&mut self) {
        let mut owners: Vec<OwnerId> = self.flags.keys().copied().collect();
        owners.sort_unstable();
        let mut clear = Vec::new();
        for owner in owners {
            let mut regs = self.registers_of(owner);
            regs.retain(|reg| !self.b.graph.params.contains(reg));
            regs.push(self.flags[&owner]);
            clear.extend(regs.into_iter().map(|dst| {
                let kind = self.b.graph.kinds[dst.0 as usize];
                Op::Move {
                    dst,
                    src: Operand::Const(Const { kind, bits: 0 }),
                }
            }));
        }
        if clear.is_empty() {
            return;
        }
        for block in &mut self.b.graph.blocks {
            if let Some(at) = block.ops.iter().position(|op| matches!(op, Op::MergePoint)) {
                block.ops.splice(at + 1..at + 1, clear.clone());
            }
        }
        self.b.graph.blocks[0].ops.splice(0..0, clear);
    }

    fn registers_of(&mut self, owner: OwnerId) -> Vec<VReg> {
        let operands = match self.b.owners[owner.0 as usize].home.clone() {
            Home::Words(words) => words,
            Home::Part(part) => match self.b.roots[part.root as usize].home.clone() {
                RootHome::Slot(slot) => vec![slot],
                RootHome::Value(words) => words,
                RootHome::Unset | RootHome::Regs(_) => {
                    self.b.root_regs(part.root).into_iter().map(Operand::Reg).collect()
                }
            },
        };
        operands.into_iter().filter_map(Operand::as_reg).collect()
    }
}

fn drop_call(b: &mut Builder, ty: Type, at: Operand, unwind: Unwind, aborting: bool) {
    let shims = ty.drop.expect("only what has drop glue is owned");
    let function = if aborting { shims.aborting } else { shims.catching };
    let facts = Facts {
        effect: Effect::Any,
        can_panic: !aborting,
        aborts: false,
    };
    natives::emit_call(b, &format!("drop<{}>", ty.name), facts, function as u64, vec![at], None);
    b.set_last_unwind(unwind);
}
