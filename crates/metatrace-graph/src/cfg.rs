//! The shape of the graph: unreachable blocks, jumps to jumps, comparisons fused with branches, chains of tests that
//! become switches.

use crate::graph::{Blk, Block, Graph, Op, Operand, Term, VReg};
use metatrace_ir::{Opcode, eval};
use rustc_hash::FxHashMap;

/// Which blocks can be reached.
pub(crate) fn reachable(graph: &Graph) -> Vec<bool> {
    let mut seen = vec![false; graph.blocks.len()];
    let mut work = vec![Blk(0)];
    while let Some(block) = work.pop() {
        if std::mem::replace(&mut seen[block.0 as usize], true) {
            continue;
        }
        graph.blocks[block.0 as usize].for_each_successor(&mut |to| work.push(to));
    }
    seen
}

/// Empties blocks that cannot be reached.
pub(crate) fn remove_unreachable(graph: &mut Graph) {
    let seen = reachable(graph);
    for (block, seen) in graph.blocks.iter_mut().zip(seen) {
        if !seen {
            *block = Block {
                ops: Vec::new(),
                term: Term::Unreachable,
            };
        }
    }
}

/// From which to which block control may go, as often as it may.
pub(crate) fn edges(graph: &Graph) -> Vec<(usize, usize)> {
    let mut edges = Vec::new();
    for (n, block) in graph.blocks.iter().enumerate() {
        block.for_each_successor(&mut |to| edges.push((n, to.0 as usize)));
    }
    edges
}

/// In how many ways control comes to each block.
pub(crate) fn entries(graph: &Graph) -> Vec<u32> {
    let mut entries = vec![0; graph.blocks.len()];
    for block in &graph.blocks {
        block.for_each_successor(&mut |to| entries[to.0 as usize] += 1);
    }
    entries
}

/// How often each register is read.
pub(crate) fn uses(graph: &Graph) -> Vec<u32> {
    let mut uses = vec![0; graph.kinds.len()];
    for block in &graph.blocks {
        for op in &block.ops {
            op.for_each_use(graph.merge_point.as_ref(), &mut |reg| uses[reg.0 as usize] += 1);
        }
        block.term.for_each_use(&mut |reg| uses[reg.0 as usize] += 1);
    }
    uses
}

/// Where the last arm of an exhaustive match fails, the twin ends no block: control cannot come there, so what would go
/// there needs no test.
pub(crate) fn close(graph: &mut Graph) {
    for block in &mut graph.blocks {
        if matches!(block.term, Term::Open) {
            block.term = Term::Unreachable;
        }
    }
}

fn is_impossible(graph: &Graph, block: Blk) -> bool {
    let block = &graph.blocks[block.0 as usize];
    block.ops.is_empty() && matches!(block.term, Term::Unreachable)
}

/// Branches of which one side is impossible.
pub(crate) fn remove_impossible(graph: &mut Graph) {
    for n in 0..graph.blocks.len() {
        let decided = match graph.blocks[n].term {
            Term::If { then, or, .. } | Term::Compare { then, or, .. } => {
                if is_impossible(graph, or) {
                    Some(then)
                } else {
                    is_impossible(graph, then).then_some(or)
                }
            }
            _ => None,
        };
        if let Some(to) = decided {
            graph.blocks[n].term = Term::Goto(to);
        }
    }
}

fn is_test(op: Opcode) -> bool {
    op.is_comparison()
}

/// `c = a < b; if c` becomes a comparing branch where `c` is not used otherwise.
pub(crate) fn fuse_comparisons(graph: &mut Graph) {
    let uses = uses(graph);
    for block in &mut graph.blocks {
        fuse_block(block, &uses);
    }
}

fn fuse_block(block: &mut Block, uses: &[u32]) {
    loop {
        match block.term.clone() {
            Term::If {
                cond: Operand::Const(constant),
                then,
                or,
            } => {
                block.term = Term::Goto(if constant.bits != 0 { then } else { or });
                return;
            }
            Term::If {
                cond: Operand::Reg(cond),
                then,
                or,
            } => {
                let Some((op, a, b)) = take_definition(block, cond, uses) else {
                    return;
                };
                block.term = Term::Compare { op, a, b, then, or };
            }
            // `x == 0` of a comparison is its opposite.
            Term::Compare {
                op: op @ (Opcode::IntIsZero | Opcode::IntIsTrue),
                a: Operand::Reg(a),
                then,
                or,
                ..
            } => {
                let Some((inner, x, y)) = take_definition(block, a, uses) else {
                    return;
                };
                let (then, or) = if op == Opcode::IntIsZero {
                    (or, then)
                } else {
                    (then, or)
                };
                block.term = Term::Compare {
                    op: inner,
                    a: x,
                    b: y,
                    then,
                    or,
                };
            }
            // `c == 1` of a comparison is the comparison.
            Term::Compare {
                op: Opcode::IntEq | Opcode::IntNe,
                a: Operand::Reg(a),
                b: Operand::Const(b),
                then,
                or,
            } if b.bits < 2 => {
                let equal = matches!(block.term, Term::Compare { op: Opcode::IntEq, .. });
                let Some((inner, x, y)) = take_definition(block, a, uses) else {
                    return;
                };
                let (then, or) = if equal == (b.bits == 1) { (then, or) } else { (or, then) };
                block.term = Term::Compare {
                    op: inner,
                    a: x,
                    b: y,
                    then,
                    or,
                };
            }
            Term::Compare {
                op,
                a: Operand::Const(a),
                b: Operand::Const(b),
                then,
                or,
            } => {
                let Some(bits) = eval::eval(op, &[a.bits, b.bits]) else {
                    return;
                };
                block.term = Term::Goto(if bits != 0 { then } else { or });
                return;
            }
            _ => return,
        }
    }
}

/// Takes the comparison that defines `reg` out of the block, where it is used only at the block's end and its operands
/// are unchanged there.
fn take_definition(block: &mut Block, reg: VReg, uses: &[u32]) -> Option<(Opcode, Operand, Operand)> {
    if uses[reg.0 as usize] != 1 {
        return None;
    }
    let at = block.ops.iter().rposition(|op| defines(op, reg))?;
    let Op::Pure { op, a, b, .. } = block.ops[at] else {
        return None;
    };
    if !is_test(op) {
        return None;
    }
    let changed = block.ops[at + 1..].iter().any(|later| {
        [a, b]
            .iter()
            .filter_map(|operand| operand.as_reg())
            .any(|operand| defines(later, operand))
    });
    if changed {
        return None;
    }
    block.ops.remove(at);
    Some((op, a, b))
}

pub(crate) fn defines(op: &Op, reg: VReg) -> bool {
    let mut found = false;
    op.for_each_def(&mut |def| found |= def == reg);
    found || matches!(op, Op::Promote { reg: promoted } if *promoted == reg)
}

/// How many operations are copied to a block's end in order to decide a branch there.
const DUPLICATED: usize = 8;

/// Jumps to empty blocks go where these go; a jump to a branch that is decided on this path goes where the branch goes.
pub(crate) fn thread_jumps(graph: &mut Graph) {
    let never = never(graph);
    let entries = entries(graph);
    for n in 0..graph.blocks.len() {
        let mut term = graph.blocks[n].term.clone();
        term.for_each_target_mut(&mut |to| *to = skip_empty(graph, *to));
        graph.blocks[n].term = term;
        for _ in 0..16 {
            let Term::Goto(to) = graph.blocks[n].term else { break };
            if to.0 as usize == n || !thread_branch(graph, n, to, entries[to.0 as usize], &never) {
                break;
            }
        }
    }
    remove_unreachable(graph);
}

/// What registers never hold: addresses of places are not null, what is distinct from a niche is not that.
fn never(graph: &Graph) -> FxHashMap<VReg, u64> {
    let definitions = crate::copies::definitions(graph);
    let ops = graph.blocks.iter().flat_map(|block| &block.ops);
    let never = ops.filter_map(|op| match op {
        Op::PtrField { dst, .. } | Op::PtrItem { dst, .. } | Op::Alloca { dst, .. } => Some((*dst, 0)),
        Op::Distinct { dst, never, .. } => Some((*dst, *never)),
        _ => None,
    });
    never.filter(|(dst, _)| definitions[dst.0 as usize] == 1).collect()
}

/// What a test for a value gives where that value does not occur: the value, and the result.
fn without_value(op: Opcode, b: Option<u64>) -> Option<(u64, bool)> {
    match op {
        Opcode::PtrEq | Opcode::IntEq => Some((b?, false)),
        Opcode::PtrNe | Opcode::IntNe => Some((b?, true)),
        Opcode::IntIsZero => Some((0, false)),
        Opcode::IntIsTrue => Some((0, true)),
        _ => None,
    }
}

/// What is distinct has served: from now on it is a copy like others. Whether there was any.
pub(crate) fn forget_distinctions(graph: &mut Graph) -> bool {
    let mut any = false;
    for op in graph.blocks.iter_mut().flat_map(|block| &mut block.ops) {
        if let Op::Distinct { dst, src, .. } = *op {
            *op = Op::Move { dst, src };
            any = true;
        }
    }
    any
}

fn skip_empty(graph: &Graph, mut to: Blk) -> Blk {
    for _ in 0..graph.blocks.len() {
        let block = &graph.blocks[to.0 as usize];
        match block.term {
            Term::Goto(next) if block.ops.is_empty() && next != to => to = next,
            _ => break,
        }
    }
    to
}

/// Block `n` jumps to `to`: where `to` is short and its branch is decided by what `n` has set, `n` does its work and goes
/// on to the branch's target.
fn thread_branch(graph: &mut Graph, n: usize, to: Blk, entries: u32, never: &FxHashMap<VReg, u64>) -> bool {
    let target = &graph.blocks[to.0 as usize];
    let short = target.ops.len() <= DUPLICATED
        && target
            .ops
            .iter()
            .all(|op| matches!(op, Op::Move { .. } | Op::Distinct { .. } | Op::Pure { .. }));
    if !short || entries < 2 {
        return false;
    }
    let mut known: FxHashMap<VReg, Operand> = FxHashMap::default();
    for op in graph.blocks[n].ops.iter().chain(&target.ops) {
        learn(op, &mut known, never);
    }
    let never_holds = |operand: &Operand| {
        let reg = operand.as_reg()?;
        let copied = || known.get(&reg).and_then(|operand| never.get(&operand.as_reg()?));
        never.get(&reg).or_else(copied).copied()
    };
    let bits = |operand: &Operand| match operand {
        Operand::Const(constant) => Some(constant.bits),
        Operand::Reg(reg) => known.get(reg).and_then(|operand| operand.as_const()),
    };
    let decided = match &target.term {
        Term::If { cond, then, or } => bits(cond).map(|bits| if bits != 0 { *then } else { *or }),
        Term::Compare { op, a, b, then, or } => {
            let distinct = without_value(*op, bits(b)).filter(|(value, _)| never_holds(a) == Some(*value));
            let b = if crate::graph::is_binary(*op) { b } else { a };
            let evaluated = || bits(a).zip(bits(b)).and_then(|(a, b)| eval::eval(*op, &[a, b]));
            let holds = distinct
                .map(|(_, holds)| holds)
                .or_else(|| evaluated().map(|bits| bits != 0));
            holds.map(|holds| if holds { *then } else { *or })
        }
        Term::Switch { value, cases, default } => bits(value).map(|bits| {
            cases
                .iter()
                .find(|(case, _)| *case == bits)
                .map_or(*default, |(_, to)| *to)
        }),
        _ => None,
    };
    let Some(decided) = decided else { return false };
    let ops = target.ops.clone();
    graph.blocks[n].ops.extend(ops);
    graph.blocks[n].term = Term::Goto(decided);
    true
}

/// Follows constants and what never holds some value through moves and pure operations.
fn learn(op: &Op, known: &mut FxHashMap<VReg, Operand>, never: &FxHashMap<VReg, u64>) {
    let value = match op {
        Op::Move { src, .. } => match src {
            Operand::Const(_) => Some(*src),
            Operand::Reg(reg) if never.contains_key(reg) => Some(*src),
            Operand::Reg(reg) => known.get(reg).copied(),
        },
        Op::Pure { op, a, b, .. } => {
            let bits = |operand: &Operand| match operand {
                Operand::Const(constant) => Some(constant.bits),
                Operand::Reg(reg) => known.get(reg).and_then(|operand| operand.as_const()),
            };
            let b = if crate::graph::is_binary(*op) { b } else { a };
            let kind = op.result().expect("pure operations have results");
            let folded = bits(a).zip(bits(b)).and_then(|(a, b)| eval::eval(*op, &[a, b]));
            folded.map(|bits| Operand::Const(metatrace_ir::Const { kind, bits }))
        }
        _ => None,
    };
    op.for_each_def(&mut |dst| {
        match value {
            Some(value) => known.insert(dst, value),
            None => known.remove(&dst),
        };
    });
}

/// A block that alone leads to another one swallows it.
pub(crate) fn merge_blocks(graph: &mut Graph) {
    let entries = entries(graph);
    for n in 0..graph.blocks.len() {
        while let Term::Goto(to) = graph.blocks[n].term {
            if to.0 as usize == n || to == Blk(0) || entries[to.0 as usize] != 1 {
                break;
            }
            let swallowed = std::mem::replace(&mut graph.blocks[to.0 as usize], Block::new());
            graph.blocks[to.0 as usize].term = Term::Unreachable;
            graph.blocks[n].ops.extend(swallowed.ops);
            graph.blocks[n].term = swallowed.term;
        }
    }
}

/// Tests of one register against several constants become a switch.
pub(crate) fn switches(graph: &mut Graph) {
    const ENOUGH: usize = 4;
    let entries = entries(graph);
    for n in 0..graph.blocks.len() {
        let Some((value, first, then, mut next)) = equality(&graph.blocks[n]) else {
            continue;
        };
        let mut cases = vec![(first, then)];
        let mut last = None;
        while let Some((other, case, then, or)) = equality(&graph.blocks[next.0 as usize]) {
            let only_this_test = graph.blocks[next.0 as usize].ops.is_empty() && entries[next.0 as usize] == 1;
            if other != value || !only_this_test || Some(next) == last {
                break;
            }
            if !cases.iter().any(|(known, _)| *known == case) {
                cases.push((case, then));
            }
            last = Some(next);
            next = or;
        }
        if cases.len() >= ENOUGH {
            graph.blocks[n].term = Term::Switch {
                value: Operand::Reg(value),
                cases,
                default: next,
            };
        }
    }
    remove_unreachable(graph);
}

/// A block that ends in `if value == constant`.
fn equality(block: &Block) -> Option<(VReg, u64, Blk, Blk)> {
    match block.term {
        Term::Compare {
            op: Opcode::IntEq,
            a: Operand::Reg(value),
            b: Operand::Const(constant),
            then,
            or,
        } => Some((value, constant.bits, then, or)),
        Term::Compare {
            op: Opcode::IntNe,
            a: Operand::Reg(value),
            b: Operand::Const(constant),
            then,
            or,
        } => Some((value, constant.bits, or, then)),
        Term::Compare {
            op: Opcode::IntIsZero,
            a: Operand::Reg(value),
            then,
            or,
            ..
        } => Some((value, 0, then, or)),
        _ => None,
    }
}
