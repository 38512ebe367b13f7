//! What is known at a place of the program: copies, values that have been computed or loaded, conditions that hold.
//!
//! A forward data flow of available facts. Facts are numbered as they are met, and what is known at a place is a set of
//! numbers: where paths meet, only what all of them know is known. Loads are forgotten at stores and calls. Operands that
//! are copies become what they copy, what is known is not computed again, and branches on known conditions become jumps.
//!
//! ```text
//! i2 = i1; branch uint_lt i2 i9; …; branch uint_lt i1 i9      becomes      branch uint_lt i1 i9; …
//! ```

use crate::graph::{Blk, Block, Graph, Op, Operand, Term, VReg, is_binary};
use metatrace_ir::{ArrayDescr, Class, Const, Descr, DescrRef, Effect, FieldDescr, Opcode, eval};
use metatrace_jitcode::data_flow::BitSet;
use rustc_hash::{FxBuildHasher, FxHashMap};
use std::hash::{Hash, Hasher};
use std::rc::Rc;

/// What has a value that may be known.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Expression {
    Copy(VReg),
    Pure(Opcode, Operand, Operand),
    Load(Operand, Place),
    LoadItem(Operand, Operand, Place),
    PtrField(Operand, Place),
    PtrItem(Operand, Operand, Place),
}

/// The descriptor of a field or an array, hashed by its offset only: contents are long, and seldom differ in nothing else.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Place(DescrRef);

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &*self.0 {
            Descr::Array(array) => array.offset.hash(state),
            field => field.field().offset.hash(state),
        }
    }
}

impl Expression {
    /// What the operation computes, and where to.
    fn of(op: &Op) -> Option<(Expression, VReg)> {
        let place = |descr: &DescrRef| Place(descr.clone());
        Some(match op {
            Op::Pure { op, dst, a, b } if op.class() == Class::Pure => (Expression::pure(*op, *a, *b), *dst),
            Op::Load { dst, base, descr } => (Expression::Load(*base, place(descr)), *dst),
            Op::LoadItem {
                dst,
                base,
                index,
                descr,
            } => (Expression::LoadItem(*base, *index, place(descr)), *dst),
            Op::PtrField { dst, base, descr } => (Expression::PtrField(*base, place(descr)), *dst),
            Op::PtrItem {
                dst,
                base,
                index,
                descr,
            } => (Expression::PtrItem(*base, *index, place(descr)), *dst),
            _ => return None,
        })
    }

    fn pure(op: Opcode, a: Operand, b: Operand) -> Expression {
        Expression::Pure(op, a, if is_binary(op) { b } else { a })
    }

    /// The registers that it reads; a register may be visited twice.
    fn for_each_use(&self, visit: impl FnMut(VReg)) {
        let operands = match self {
            Expression::Copy(copy) => [Some(Operand::Reg(*copy)), None],
            Expression::Load(base, _) | Expression::PtrField(base, _) => [Some(*base), None],
            Expression::Pure(_, a, b) | Expression::LoadItem(a, b, _) | Expression::PtrItem(a, b, _) => {
                [Some(*a), Some(*b)]
            }
        };
        operands
            .into_iter()
            .flatten()
            .filter_map(Operand::as_reg)
            .for_each(visit);
    }

    fn reads(&self, reg: VReg) -> bool {
        let mut reads = false;
        self.for_each_use(|used| reads |= used == reg);
        reads
    }

    fn is_load(&self) -> bool {
        matches!(self, Expression::Load(..) | Expression::LoadItem(..))
    }
}

/// What a register is as an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Address {
    /// Anything.
    Any,
    /// Of a frame slot, used for nothing but accesses: no one else knows the slot.
    PrivateSlot,
    /// Of a frame slot.
    Slot,
    /// Computed in one place, and used for nothing but accesses.
    Computed,
}

/// What each register is as an address.
#[derive(Debug)]
struct Addresses(Vec<Address>);

impl Addresses {
    fn of(graph: &Graph) -> Addresses {
        let definitions = crate::copies::definitions(graph);
        let mut addresses = vec![Address::Any; graph.kinds.len()];
        for op in graph.blocks.iter().flat_map(|block| &block.ops) {
            let (dst, address) = match op {
                Op::Alloca { dst, .. } => (*dst, Address::PrivateSlot),
                Op::PtrField { dst, .. } | Op::PtrItem { dst, .. } => (*dst, Address::Computed),
                _ => continue,
            };
            if definitions[dst.0 as usize] == 1 {
                addresses[dst.0 as usize] = address;
            }
        }
        let mut escape = |reg: VReg| {
            let address = &mut addresses[reg.0 as usize];
            *address = match address {
                Address::PrivateSlot | Address::Slot => Address::Slot,
                Address::Computed | Address::Any => Address::Any,
            };
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
        Addresses(addresses)
    }

    fn what(&self, base: Operand) -> Address {
        base.as_reg().map_or(Address::Any, |reg| self.0[reg.0 as usize])
    }

    /// Whether memory behind two addresses may be the same.
    fn may_alias(&self, a: Operand, b: Operand) -> bool {
        let is_slot = |address| matches!(address, Address::PrivateSlot | Address::Slot);
        match (self.what(a), self.what(b)) {
            (one, other) if is_slot(one) && is_slot(other) => a == b,
            (one, other) => one != Address::PrivateSlot && other != Address::PrivateSlot,
        }
    }
}

/// The descriptor of a field behind an address, from the address' own base.
fn behind_address(address: &Place, field: &DescrRef) -> DescrRef {
    let field = field.field();
    let path = field.name.find('.').map_or("", |at| &field.name[at..]);
    match &*address.0 {
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

fn overlap(a: &DescrRef, b: &DescrRef) -> bool {
    let range = |descr: &DescrRef| {
        let field = descr.field();
        (field.offset, field.offset + field.word.size())
    };
    let ((a, a_end), (b, b_end)) = (range(a), range(b));
    a < b_end && b < a_end
}

/// That an expression has this value.
#[derive(Debug)]
struct Fact {
    expression: Expression,
    value: Operand,
    /// The fact met before it that gives the expression another value.
    other: Option<usize>,
}

/// That a fact is about a register, or has it as value.
#[derive(Debug)]
struct Reader {
    fact: usize,
    /// The one before it with the same register.
    other: Option<usize>,
}

/// The facts met so far. Which of them are known where, sets of their numbers say.
#[derive(Debug)]
struct Facts {
    addresses: Addresses,
    facts: Vec<Fact>,
    /// The last fact met about an expression.
    last: FxHashMap<Expression, usize>,
    /// Facts that end where a register gets another value, in one list for each register.
    readers: Vec<Reader>,
    /// For each register, the last of its readers.
    last_reader: Vec<Option<usize>>,
    /// Those about memory's content.
    loads: Vec<usize>,
}

impl Facts {
    fn new(graph: &Graph) -> Facts {
        // About as many as operations.
        let roughly: usize = graph.blocks.iter().map(|block| block.ops.len() + 1).sum();
        Facts {
            addresses: Addresses::of(graph),
            facts: Vec::with_capacity(roughly),
            last: FxHashMap::with_capacity_and_hasher(roughly, FxBuildHasher),
            readers: Vec::with_capacity(2 * roughly),
            last_reader: vec![None; graph.kinds.len()],
            loads: Vec::new(),
        }
    }

    /// The facts about an expression.
    fn about(&self, expression: &Expression) -> impl Iterator<Item = usize> {
        let last = self.last.get(expression).copied();
        std::iter::successors(last, |fact| self.facts[*fact].other)
    }

    /// The facts that end where the register gets another value.
    fn reading(&self, reg: VReg) -> impl Iterator<Item = usize> {
        let last = self.last_reader[reg.0 as usize].map(|last| &self.readers[last]);
        let readers = std::iter::successors(last, |reader| Some(&self.readers[reader.other?]));
        readers.map(|reader| reader.fact)
    }

    fn value(&self, known: &BitSet, expression: &Expression) -> Option<Operand> {
        let fact = self.about(expression).find(|fact| known.contains(*fact))?;
        Some(self.facts[fact].value)
    }

    fn learn(&mut self, known: &mut BitSet, expression: Expression, value: Operand) {
        let mut same = None;
        for fact in self.about(&expression) {
            known.remove(fact);
            if self.facts[fact].value == value {
                same = Some(fact);
            }
        }
        known.insert(same.unwrap_or_else(|| self.add(expression, value)));
    }

    /// Numbers a fact that has not been met.
    fn add(&mut self, expression: Expression, value: Operand) -> usize {
        let number = self.facts.len();
        let mut read = |reg: VReg| {
            let other = self.last_reader[reg.0 as usize].replace(self.readers.len());
            self.readers.push(Reader { fact: number, other });
        };
        expression.for_each_use(&mut read);
        value.as_reg().into_iter().for_each(read);
        if expression.is_load() {
            self.loads.push(number);
        }
        let other = self.last.insert(expression.clone(), number);
        self.facts.push(Fact {
            expression,
            value,
            other,
        });
        number
    }

    /// The register gets another value.
    fn kill(&self, known: &mut BitSet, reg: VReg) {
        self.reading(reg).for_each(|fact| known.remove(fact));
    }

    fn forget_loads(&self, known: &mut BitSet, is_changed: impl Fn(&Expression) -> bool) {
        for fact in &self.loads {
            if known.contains(*fact) && is_changed(&self.facts[*fact].expression) {
                known.remove(*fact);
            }
        }
    }

    /// Forgets what an operation writes to memory.
    fn forget_written(&self, known: &mut BitSet, op: &Op) {
        use Expression::{Load, LoadItem};
        match op {
            Op::Store { base, descr, .. } => self.forget_loads(known, |load| match load {
                Load(other, field) if other == base => overlap(&field.0, descr),
                Load(other, _) | LoadItem(other, ..) => self.addresses.may_alias(*base, *other),
                _ => false,
            }),
            Op::StoreItem { base, .. } => self.forget_loads(known, |load| match load {
                Load(other, _) | LoadItem(other, ..) => self.addresses.may_alias(*base, *other),
                _ => false,
            }),
            // A call may write to all memory but slots whose address has gone nowhere.
            Op::Inline(_) => self.forget_called(known),
            Op::Native(call) if call.descr.call().effect != Effect::Elidable => self.forget_called(known),
            _ => {}
        }
    }

    fn forget_called(&self, known: &mut BitSet) {
        self.forget_loads(known, |load| match load {
            Expression::Load(base, _) => self.addresses.what(*base) != Address::PrivateSlot,
            _ => true,
        });
    }

    fn substitute(&self, known: &BitSet, operand: &mut Operand) {
        if let Operand::Reg(reg) = operand
            && let Some(source) = self.value(known, &Expression::Copy(*reg))
        {
            *operand = source;
        }
    }

    /// Rewrites the operation with what is known, and learns from it.
    fn step(&mut self, known: &mut BitSet, op: &mut Op) {
        op.for_each_use_mut(&mut |operand| self.substitute(known, operand));
        fold(op);
        self.access_directly(known, op);
        let computed = Expression::of(op);
        if let Some((expression, dst)) = &computed
            && let Some(src) = self.value(known, expression)
        {
            *op = Op::Move { dst: *dst, src };
        }
        self.forget_written(known, op);
        match op {
            Op::Header | Op::MergePoint => known.clear(),
            Op::Promote { reg } => self.kill(known, *reg),
            _ => {}
        }
        op.for_each_def(&mut |def| self.kill(known, def));
        match op {
            Op::Move { dst, src } if *src != Operand::Reg(*dst) => self.learn(known, Expression::Copy(*dst), *src),
            Op::Distinct { dst, never, .. } => self.learn_distinct(known, *dst, *never),
            // What has been stored is what a load gives: registers hold words as loads extend them.
            Op::Store { base, src, descr } => self.learn(known, Expression::Load(*base, Place(descr.clone())), *src),
            Op::StoreItem {
                base,
                index,
                src,
                descr,
            } => self.learn(known, Expression::LoadItem(*base, *index, Place(descr.clone())), *src),
            _ => {
                if let Some((expression, dst)) = computed
                    && !expression.reads(dst)
                {
                    self.learn(known, expression, Operand::Reg(dst));
                }
            }
        }
    }

    fn learn_distinct(&mut self, known: &mut BitSet, dst: VReg, never: u64) {
        let dst = Operand::Reg(dst);
        let mut know = |op, b, holds: bool| self.learn(known, Expression::pure(op, dst, b), Operand::int(holds.into()));
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

    /// How the address was computed, if it is used for nothing but accesses.
    fn address(&self, known: &BitSet, base: Operand) -> Option<&Expression> {
        let reg = base
            .as_reg()
            .filter(|_| self.addresses.what(base) == Address::Computed)?;
        let is_address = |fact: &&Fact| {
            fact.value == base && matches!(fact.expression, Expression::PtrField(..) | Expression::PtrItem(..))
        };
        let facts = self.reading(reg).filter(|fact| known.contains(*fact));
        let address = facts.map(|fact| &self.facts[fact]).find(is_address)?;
        Some(&address.expression)
    }

    /// An access behind a computed address becomes one of the place itself.
    fn access_directly(&self, known: &BitSet, op: &mut Op) {
        let how = |base: &Operand, descr: &DescrRef| match self.address(known, *base)? {
            Expression::PtrField(base, place) => Some((*base, None, behind_address(place, descr))),
            Expression::PtrItem(base, index, place) => Some((*base, Some(*index), behind_address(place, descr))),
            _ => None,
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

    /// What is known where `term` goes with its condition being `holds`.
    fn behind(&mut self, known: &BitSet, term: &Term, holds: bool) -> BitSet {
        let mut known = known.clone();
        match term {
            Term::Compare { op, a, b, .. } => {
                let mut know = |op, holds: bool| {
                    self.learn(&mut known, Expression::pure(op, *a, *b), Operand::int(holds.into()));
                };
                know(*op, holds);
                if let Some(negated) = op.negated() {
                    know(negated, !holds);
                }
            }
            Term::Overflow { dst, .. } => self.kill(&mut known, *dst),
            _ => {}
        }
        known
    }

    /// A branch on a known condition becomes a jump.
    fn decide(&self, known: &BitSet, term: &mut Term) {
        if let Term::Compare { op, a, b, then, or } = *term
            && let Some(Operand::Const(truth)) = self.value(known, &Expression::pure(op, a, b))
        {
            *term = Term::Goto(if truth.bits != 0 { then } else { or });
        }
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
///
/// A block is rewritten with what is known at its start so far, and again whenever that turns out to be less.
pub(crate) fn apply(graph: &mut Graph) {
    let mut facts = Facts::new(graph);
    let order = reverse_postorder(graph);
    let mut at_start: Vec<Option<BitSet>> = vec![None; graph.blocks.len()];
    let mut rewritten: Vec<Option<Block>> = vec![None; graph.blocks.len()];
    let mut pending = vec![false; graph.blocks.len()];
    at_start[0] = Some(BitSet::default());
    pending[0] = true;
    while pending.contains(&true) {
        for n in &order {
            if !std::mem::take(&mut pending[*n]) {
                continue;
            }
            let mut known = at_start[*n].clone().expect("something has led here");
            let mut block = graph.blocks[*n].clone();
            block.ops.iter_mut().for_each(|op| facts.step(&mut known, op));
            block
                .term
                .for_each_use_mut(&mut |operand| facts.substitute(&known, operand));
            let mut flow =
                |to: Blk, known: BitSet| pending[to.0 as usize] |= flow_into(&mut at_start[to.0 as usize], known);
            let mut holds = true;
            block.term.for_each_target(&mut |to| {
                flow(to, facts.behind(&known, &block.term, std::mem::take(&mut holds)));
            });
            let cleanups = block.ops.iter().filter_map(Op::unwind_block);
            cleanups.for_each(|cleanup| flow(cleanup, BitSet::default()));
            facts.decide(&known, &mut block.term);
            rewritten[*n] = Some(block);
        }
    }
    for (block, rewritten) in graph.blocks.iter_mut().zip(rewritten) {
        if let Some(rewritten) = rewritten {
            *block = rewritten;
        }
    }
}

/// Whether less is known at a block's start than before, or control has not come there before.
fn flow_into(start: &mut Option<BitSet>, known: BitSet) -> bool {
    match start {
        None => {
            *start = Some(known);
            true
        }
        Some(start) => start.intersect(&known),
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
        graph.blocks[block].for_each_successor(&mut |to| work.push((to.0 as usize, false)));
    }
    order.reverse();
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use metatrace_ir::Kind;

    fn graph(registers: usize, blocks: Vec<(Vec<Op>, Term)>) -> Graph {
        let mut graph = Graph::new("f");
        (0..registers).for_each(|_| _ = graph.reg(Kind::Int));
        graph.blocks = blocks.into_iter().map(|(ops, term)| Block { ops, term }).collect();
        apply(&mut graph);
        graph
    }

    fn reg(n: u32) -> Operand {
        Operand::Reg(VReg(n))
    }

    fn copy(dst: u32, src: Operand) -> Op {
        Op::Move { dst: VReg(dst), src }
    }

    fn add(dst: u32, a: Operand, b: Operand) -> Op {
        let op = Opcode::IntAdd;
        Op::Pure {
            op,
            dst: VReg(dst),
            a,
            b,
        }
    }

    fn either(then: u32, or: u32) -> Term {
        Term::If {
            cond: reg(9),
            then: Blk(then),
            or: Blk(or),
        }
    }

    /// On the way in `v1` is `v0`; behind the first round it is not, and what was rewritten by that is made again.
    #[test]
    fn a_copy_is_refuted_at_the_back_edge() {
        let round = vec![add(2, reg(1), Operand::int(5)), add(1, reg(1), Operand::int(1))];
        let blocks = vec![
            (vec![copy(1, reg(0))], Term::Goto(Blk(1))),
            (round.clone(), either(1, 2)),
            (Vec::new(), Term::Return(vec![reg(2)])),
        ];
        assert_eq!(graph(10, blocks).blocks[1].ops, round);
        // where each round makes the copy again, it holds
        let blocks = vec![
            (vec![copy(1, reg(0))], Term::Goto(Blk(1))),
            (vec![add(2, reg(1), Operand::int(5)), copy(1, reg(0))], either(1, 2)),
            (Vec::new(), Term::Return(vec![reg(2)])),
        ];
        assert_eq!(graph(10, blocks).blocks[1].ops[0], add(2, reg(0), Operand::int(5)));
    }

    /// What two paths know differently nobody knows where they meet; what both know is known.
    #[test]
    fn paths_meet() {
        let (sum, other) = (add(2, reg(0), Operand::int(5)), add(3, reg(0), Operand::int(5)));
        let meeting = vec![add(4, reg(0), Operand::int(5)), add(5, reg(0), Operand::int(6))];
        let blocks = |left: Op, right: Op| {
            vec![
                (vec![add(6, reg(0), Operand::int(6))], either(1, 2)),
                (vec![left], Term::Goto(Blk(3))),
                (vec![right], Term::Goto(Blk(3))),
                (meeting.clone(), Term::Return(vec![reg(4), reg(5)])),
            ]
        };
        let apart = graph(10, blocks(sum.clone(), other));
        assert_eq!(apart.blocks[3].ops, [meeting[0].clone(), copy(5, reg(6))]);
        let alike = graph(10, blocks(sum.clone(), sum));
        assert_eq!(alike.blocks[3].ops, [copy(4, reg(2)), copy(5, reg(6))]);
    }
}
