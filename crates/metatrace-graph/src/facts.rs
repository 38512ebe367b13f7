//! What is known at a place of the program: copies, values that have been computed or loaded, conditions that hold.
//!
//! A forward data flow of available facts: where paths meet, only what all of them know is known. Loads are forgotten at
//! stores and calls. Then operands that are copies become what they copy, what is known is not computed again, and
//! branches on known conditions become jumps.
//!
//! ```text
//! i2 = i1; branch uint_lt i2 i9; …; branch uint_lt i1 i9      becomes      branch uint_lt i1 i9; …
//! ```

use crate::graph::{Block, Graph, Op, Operand, Term, VReg, is_binary};
use metatrace_ir::{ArrayDescr, Class, Const, Descr, DescrRef, Effect, FieldDescr, Opcode, eval};
use rustc_hash::{FxHashMap, FxHashSet};
use std::rc::Rc;

/// What something is known about.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Fact {
    Copy(VReg),
    Pure(Opcode, Operand, Operand),
    Load(Operand, DescrRef),
    LoadItem(Operand, Operand, DescrRef),
    PtrField(Operand, DescrRef),
    PtrItem(Operand, Operand, DescrRef),
}

/// More facts than these are not worth their time.
const ENOUGH: usize = 200;

impl Fact {
    fn reads(&self, reg: VReg) -> bool {
        let is = |operand: &Operand| *operand == Operand::Reg(reg);
        match self {
            Fact::Copy(copy) => *copy == reg,
            Fact::Pure(_, a, b) => is(a) || is(b),
            Fact::Load(base, _) | Fact::PtrField(base, _) => is(base),
            Fact::LoadItem(base, index, _) | Fact::PtrItem(base, index, _) => is(base) || is(index),
        }
    }

    fn is_load(&self) -> bool {
        matches!(self, Fact::Load(..) | Fact::LoadItem(..))
    }

    /// What the operation's result will be known as.
    fn of(op: &Op) -> Option<(Fact, VReg)> {
        Some(match op {
            Op::Pure { op, dst, a, b } if op.class() == Class::Pure => (Fact::pure(*op, *a, *b), *dst),
            Op::Load { dst, base, descr } => (Fact::Load(*base, descr.clone()), *dst),
            Op::LoadItem {
                dst,
                base,
                index,
                descr,
            } => (Fact::LoadItem(*base, *index, descr.clone()), *dst),
            Op::PtrField { dst, base, descr } => (Fact::PtrField(*base, descr.clone()), *dst),
            Op::PtrItem {
                dst,
                base,
                index,
                descr,
            } => (Fact::PtrItem(*base, *index, descr.clone()), *dst),
            _ => return None,
        })
    }

    fn pure(op: Opcode, a: Operand, b: Operand) -> Fact {
        Fact::Pure(op, a, if is_binary(op) { b } else { a })
    }
}

/// Frame slots, by the register that holds their address; whether that address goes anywhere.
#[derive(Debug, Default)]
struct Slots {
    slots: FxHashMap<VReg, bool>,
    /// Registers that are used only as bases of accesses.
    bases: FxHashSet<VReg>,
}

impl Slots {
    fn of(graph: &Graph) -> Slots {
        let mut slots = Slots::default();
        let definitions = crate::copies::definitions(graph);
        for op in graph.blocks.iter().flat_map(|block| &block.ops) {
            let (dst, slot) = match op {
                Op::Alloca { dst, .. } => (*dst, true),
                Op::PtrField { dst, .. } | Op::PtrItem { dst, .. } => (*dst, false),
                _ => continue,
            };
            if definitions[dst.0 as usize] == 1 && slot {
                slots.slots.insert(dst, false);
            } else if definitions[dst.0 as usize] == 1 {
                slots.bases.insert(dst);
            }
        }
        let mut escape = |reg: VReg| {
            slots.bases.remove(&reg);
            if let Some(escaped) = slots.slots.get_mut(&reg) {
                *escaped = true;
            }
        };
        for block in &graph.blocks {
            for op in &block.ops {
                match op {
                    Op::Load { .. } => {}
                    Op::Store { src, .. } => src.as_reg().into_iter().for_each(&mut escape),
                    _ => op.for_each_use(graph.merge_point.as_ref(), &mut escape),
                }
            }
            block.term.for_each_use(&mut escape);
        }
        slots
    }

    /// Whether memory behind two addresses may be the same.
    fn may_alias(&self, a: Operand, b: Operand) -> bool {
        let slot = |operand: Operand| operand.as_reg().and_then(|reg| self.slots.get(&reg));
        match (slot(a), slot(b)) {
            (Some(_), Some(_)) => a == b,
            (Some(escaped), None) | (None, Some(escaped)) => *escaped,
            (None, None) => true,
        }
    }
}

impl Address {
    fn reads(&self, reg: VReg) -> bool {
        self.base == Operand::Reg(reg) || self.index == Some(Operand::Reg(reg))
    }

    /// The descriptor of a field behind the address, from the address' own base.
    fn field(&self, field: &DescrRef) -> DescrRef {
        let field = field.field();
        let path = field.name.find('.').map_or("", |at| &field.name[at..]);
        match &*self.descr {
            Descr::Array(array) => Rc::new(Descr::Array(ArrayDescr {
                name: format!("{}{path}", array.name),
                offset: array.offset + field.offset,
                word: field.word,
                frozen: array.frozen && field.frozen,
                pointee: field.pointee,
                ..array.clone()
            })),
            descr => {
                let outer = descr.field();
                Rc::new(Descr::Field(FieldDescr {
                    name: format!("{}{path}", outer.name),
                    offset: outer.offset + field.offset,
                    frozen: outer.frozen && field.frozen,
                    ..field.clone()
                }))
            }
        }
    }
}

fn overlap(a: &DescrRef, b: &DescrRef) -> bool {
    let range = |descr: &DescrRef| {
        let field = descr.field();
        (field.offset, field.offset + field.word.size())
    };
    let ((a, a_end), (b, b_end)) = (range(a), range(b));
    a < b_end && b < a_end
}

/// How an address was computed.
#[derive(Clone, PartialEq, Debug)]
struct Address {
    base: Operand,
    index: Option<Operand>,
    descr: DescrRef,
}

#[derive(Clone, PartialEq, Debug, Default)]
struct Known {
    facts: FxHashMap<Fact, Operand>,
    /// Of registers that are used for nothing but accesses.
    addresses: FxHashMap<VReg, Address>,
}

impl Known {
    /// The register gets another value.
    fn kill(&mut self, reg: VReg) {
        self.addresses.retain(|address, how| *address != reg && !how.reads(reg));
        self.facts
            .retain(|fact, value| *value != Operand::Reg(reg) && !fact.reads(reg));
    }

    fn insert(&mut self, fact: Fact, value: Operand) {
        if self.facts.len() < ENOUGH {
            self.facts.insert(fact, value);
        }
    }

    fn substitute(&self, operand: &mut Operand) {
        if let Operand::Reg(reg) = operand
            && let Some(source) = self.facts.get(&Fact::Copy(*reg))
        {
            *operand = *source;
        }
    }

    fn meet(&mut self, other: &Known) {
        self.addresses
            .retain(|address, how| other.addresses.get(address) == Some(how));
        self.facts.retain(|fact, value| other.facts.get(fact) == Some(value));
    }

    /// Rewrites the operation with what is known, and learns from it.
    fn step(&mut self, op: &mut Op, slots: &Slots) {
        op.for_each_use_mut(&mut |operand| self.substitute(operand));
        fold(op);
        self.access_directly(op);
        if let Some((fact, dst)) = Fact::of(op)
            && let Some(known) = self.facts.get(&fact)
        {
            *op = Op::Move { dst, src: *known };
        }
        match op {
            Op::Store { base, descr, .. } => self.facts.retain(|fact, _| match fact {
                Fact::Load(other, field) if other == base => !overlap(field, descr),
                Fact::Load(other, _) | Fact::LoadItem(other, ..) => !slots.may_alias(*base, *other),
                _ => true,
            }),
            Op::StoreItem { base, .. } => self.facts.retain(|fact, _| match fact {
                Fact::Load(other, _) | Fact::LoadItem(other, ..) => !slots.may_alias(*base, *other),
                _ => true,
            }),
            Op::Inline(_) => self.forget_loads(slots),
            Op::Native(call) if call.descr.call().effect != Effect::Elidable => self.forget_loads(slots),
            Op::Header | Op::MergePoint => *self = Known::default(),
            Op::Promote { reg } => self.kill(*reg),
            _ => {}
        }
        op.for_each_def(&mut |def| self.kill(def));
        self.note_address(op, slots);
        match op {
            Op::Move { dst, src } if *src != Operand::Reg(*dst) => self.insert(Fact::Copy(*dst), *src),
            Op::Distinct { dst, never, .. } => self.note_distinct(*dst, *never),
            // What has been stored is what a load gives: registers hold words as loads extend them.
            Op::Store { base, src, descr } => self.insert(Fact::Load(*base, descr.clone()), *src),
            Op::StoreItem {
                base,
                index,
                src,
                descr,
            } => {
                self.insert(Fact::LoadItem(*base, *index, descr.clone()), *src);
            }
            _ => {
                if let Some((fact, dst)) = Fact::of(op)
                    && !fact.reads(dst)
                {
                    self.insert(fact, Operand::Reg(dst));
                }
            }
        }
    }

    fn note_distinct(&mut self, dst: VReg, never: u64) {
        let dst = Operand::Reg(dst);
        let mut know = |op, b, holds: bool| self.insert(Fact::pure(op, dst, b), Operand::int(holds.into()));
        know(Opcode::IntEq, Operand::int(never), false);
        know(Opcode::IntNe, Operand::int(never), true);
        if never == 0 {
            let null = Operand::Const(Const::ptr(0));
            know(Opcode::IntIsZero, dst, false);
            know(Opcode::IntIsTrue, dst, true);
            know(Opcode::PtrEq, null, false);
            know(Opcode::PtrNe, null, true);
        }
    }

    fn note_address(&mut self, op: &Op, slots: &Slots) {
        let (dst, address) = match op {
            Op::PtrField { dst, base, descr } => (
                *dst,
                Address {
                    base: *base,
                    index: None,
                    descr: descr.clone(),
                },
            ),
            Op::PtrItem {
                dst,
                base,
                index,
                descr,
            } => (
                *dst,
                Address {
                    base: *base,
                    index: Some(*index),
                    descr: descr.clone(),
                },
            ),
            _ => return,
        };
        if slots.bases.contains(&dst) && !address.reads(dst) && self.addresses.len() < ENOUGH {
            self.addresses.insert(dst, address);
        }
    }

    /// An access behind a computed address becomes one of the place itself.
    fn access_directly(&self, op: &mut Op) {
        let how = |base: &Operand, descr: &DescrRef| {
            let address = self.addresses.get(&base.as_reg()?)?;
            Some((address.base, address.index, address.field(descr)))
        };
        match op {
            Op::Load { dst, base, descr } => match how(base, descr) {
                Some((base, Some(index), descr)) => {
                    *op = Op::LoadItem {
                        dst: *dst,
                        base,
                        index,
                        descr,
                    }
                }
                Some((base, None, descr)) => *op = Op::Load { dst: *dst, base, descr },
                None => {}
            },
            Op::Store { base, src, descr } => match how(base, descr) {
                Some((base, Some(index), descr)) => {
                    *op = Op::StoreItem {
                        base,
                        index,
                        src: *src,
                        descr,
                    }
                }
                Some((base, None, descr)) => *op = Op::Store { base, src: *src, descr },
                None => {}
            },
            _ => {}
        }
    }

    /// A call may write to all memory but slots whose address has gone nowhere.
    fn forget_loads(&mut self, slots: &Slots) {
        self.facts.retain(|fact, _| match fact {
            Fact::Load(Operand::Reg(base), _) => slots.slots.get(base) == Some(&false),
            fact => !fact.is_load(),
        });
    }

    /// What is known where `term` goes with its condition being `holds`.
    fn behind(&self, term: &Term, holds: bool) -> Known {
        let mut known = self.clone();
        let truth = Operand::int(holds.into());
        match term {
            Term::Compare { op, a, b, .. } => {
                known.insert(Fact::pure(*op, *a, *b), truth);
                if let Some(negated) = op.negated() {
                    known.insert(Fact::pure(negated, *a, *b), Operand::int((!holds).into()));
                }
            }
            Term::Overflow { dst, .. } => known.kill(*dst),
            _ => {}
        }
        known
    }
}

/// Constant operands.
fn fold(op: &mut Op) {
    if let Op::Pure {
        op: opcode,
        dst,
        a: Operand::Const(a),
        b,
    } = op
        && opcode.class() == Class::Pure
    {
        let b = if is_binary(*opcode) { b.as_const() } else { Some(a.bits) };
        if let Some(bits) = b.and_then(|b| eval::eval(*opcode, &[a.bits, b])) {
            let kind = opcode.result().expect("pure operations have results");
            *op = Op::Move {
                dst: *dst,
                src: Operand::Const(Const { kind, bits }),
            };
        }
    }
}

/// Applies what is known everywhere.
pub(crate) fn apply(graph: &mut Graph) {
    let slots = Slots::of(graph);
    let known = analyse(graph, &slots);
    for (block, known) in graph.blocks.iter_mut().zip(known) {
        if let Some(mut known) = known {
            through(block, &mut known, &slots);
        }
    }
}

fn through(block: &mut Block, known: &mut Known, slots: &Slots) {
    block.ops.iter_mut().for_each(|op| known.step(op, slots));
    block.term.for_each_use_mut(&mut |operand| known.substitute(operand));
    if let Term::Compare { op, a, b, then, or } = block.term
        && let Some(Operand::Const(truth)) = known.facts.get(&Fact::pure(op, a, b))
    {
        block.term = Term::Goto(if truth.bits != 0 { then } else { or });
    }
}

/// What is known at the start of each block that is reached.
fn analyse(graph: &Graph, slots: &Slots) -> Vec<Option<Known>> {
    let order = reverse_postorder(graph);
    let mut at_start: Vec<Option<Known>> = vec![None; graph.blocks.len()];
    at_start[0] = Some(Known::default());
    loop {
        let mut changed = false;
        for block in &order {
            let Some(mut known) = at_start[*block].clone() else {
                continue;
            };
            let mut block = graph.blocks[*block].clone();
            through_without_deciding(&mut block, &mut known, slots);
            let mut edges = Vec::new();
            let mut first = true;
            block.term.for_each_target(&mut |to| {
                edges.push((to, known.behind(&block.term, first)));
                first = false;
            });
            for cleanup in block.ops.iter().filter_map(Op::unwind_block) {
                edges.push((cleanup, Known::default()));
            }
            for (to, known) in edges {
                changed |= flow_into(&mut at_start[to.0 as usize], known);
            }
        }
        if !changed {
            return at_start;
        }
    }
}

fn through_without_deciding(block: &mut Block, known: &mut Known, slots: &Slots) {
    block.ops.iter_mut().for_each(|op| known.step(op, slots));
    block.term.for_each_use_mut(&mut |operand| known.substitute(operand));
}

fn flow_into(start: &mut Option<Known>, known: Known) -> bool {
    match start {
        None => {
            *start = Some(known);
            true
        }
        Some(old) => {
            let before = (old.facts.len(), old.addresses.len());
            old.meet(&known);
            (old.facts.len(), old.addresses.len()) != before
        }
    }
}

fn reverse_postorder(graph: &Graph) -> Vec<usize> {
    let mut order = Vec::new();
    let mut seen = vec![false; graph.blocks.len()];
    // A block, and whether its successors have been visited.
    let mut work = vec![(0, false)];
    while let Some((block, done)) = work.pop() {
        if done {
            order.push(block);
            continue;
        }
        if std::mem::replace(&mut seen[block], true) {
            continue;
        }
        work.push((block, true));
        graph.blocks[block]
            .term
            .for_each_target(&mut |to| work.push((to.0 as usize, false)));
        work.extend(
            graph.blocks[block]
                .ops
                .iter()
                .filter_map(Op::unwind_block)
                .map(|to| (to.0 as usize, false)),
        );
    }
    order.reverse();
    order
}
