//! Bounds guards in groups: a guard becomes stronger so that those behind it follow from it, and these go.
//!
//! ```text
//! # word i1 = length
//! i2 = int_add(i0, 1)                       i2 = int_add(i0, 3)
//! i3 = int_eq(i2, i1)                       i3 = uint_lt(i2, i1)
//! guard_false(i3) [i2]                      early guard_true(i3) [i2]
//! i4 = int_add(i0, 2)                 ──▶   i4 = getarrayitem_raw_i(…, i2)
//! i5 = int_eq(i4, i1)
//! guard_false(i5) [i4]
//! …
//! i8 = uint_lt(i6, i1)
//! guard_true(i8) [i6]
//! i9 = getarrayitem_raw_i(…, i6)
//! ```
//!
//! **What is grouped**: guards on one value `x` and a distance `c`: `x + c <u n` (*below*), `x + c != n` (*not at the end*),
//! `x + c != 0` (*not zero*), `n - (x + c) >u k` (*room*), `x + c >= k` (*at least*). The bound `n` must be natural, so that
//! between two places below it nothing wraps around: if `x + l <u n` and `x + h <u n`, then `x + c <u n` for all `c` from `l`
//! to `h`, `x + c != n` for all up to `h`, and `x + c != 0` for all above `l`. What is known of a family `(x, n)` is such a *hull*, from `l` to `h`. "Not at the end" widens
//! it by one at its upper end, "not zero" at its lower end; "room" widens it by `k` above a distance in it, "at least" below one.
//!
//! **Why a guard may become stronger**: it resumes at its instruction, which is evaluated again. One that fails although its
//! own condition holds changes nothing but speed; but then its failure says nothing of the condition, so it is marked
//! [`early`](metatrace_ir::Op::early). It rarely does: near the ends of an array, or where a test of data between the two guards
//! would have led elsewhere; then a bridge asks the guards' own conditions. All guards of one *stretch* of the trace, from label
//! to label, are grouped. Guards on `x` that no index check (*below*) of the trace is about are tests of data.
//!
//! **Over a label.** Nobody else enters the label of a peeled loop, so what is known before it is known behind it, as far as it
//! is true at the jump, too. Which of it is, induction says: what was assumed behind the label and is not known of the jump's
//! arguments at the end is assumed no more, and the loop is gone over again.
//!
//! What a bridge [records](metatrace_ir::Opcode::RecordTrue) as known is learnt as from a guard.
//!
//! The first thing that is planned for a trace that is written. Sunk operations take no part: they are not executed in line.

use crate::context::Context;
use crate::edits::{Edit, Term};
use crate::peel::Carry;
use crate::range::Range;
use crate::{Pass, Rewrites, empty, empty_set};
use metatrace_ir::{Opcode, Ref, Trace};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

/// The rules of this pass.
pub(crate) const RULES: &[&str] = &["group_implied", "group_below", "group_nonzero"];

/// Distances are smaller, so that sums of few of them and a natural number do not wrap around.
const MAX_DISTANCE: i64 = 1 << 30;

/// What a guard that can be grouped asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Condition {
    /// `x + c <u n`.
    Below(Term, Ref),
    /// `x + c != n`.
    NotEnd(Term, Ref),
    /// `x + c != 0`.
    NonZero(Term),
    /// `n - (x + c) >u k`.
    Room(Term, Ref, i64),
    /// `x + c >= k`, as signed numbers.
    AtLeast(Term, i64),
}

impl Condition {
    fn term(self) -> Term {
        match self {
            Condition::Below(term, _)
            | Condition::NotEnd(term, _)
            | Condition::NonZero(term)
            | Condition::Room(term, ..)
            | Condition::AtLeast(term, _) => term,
        }
    }
}

/// From `l` to `h`: all distances at which `x` is below the bound.
type Hull = (i64, i64);

/// What is known of `x`, and of `x` and a bound.
#[derive(Default)]
struct Facts {
    hulls: FxHashMap<(Ref, Ref), Hull>,
    /// Sums that are not the bound.
    not_end: FxHashSet<(Term, Ref)>,
    /// Sums that are not zero.
    nonzero: FxHashSet<Term>,
}

impl Facts {
    fn clear(&mut self) {
        empty(&mut self.hulls);
        empty_set(&mut self.not_end);
        empty_set(&mut self.nonzero);
    }

    fn implies(&self, condition: Condition, bounds: &[Ref]) -> bool {
        let hull = |x, n| self.hulls.get(&(x, n)).copied();
        match condition {
            Condition::Below(Term { x, c }, n) => hull(x, n).is_some_and(|(l, h)| l <= c && c <= h),
            Condition::NotEnd(term @ Term { x, c }, n) => {
                hull(x, n).is_some_and(|(_, h)| c <= h) || self.not_end.contains(&(term, n))
            }
            Condition::NonZero(term @ Term { x, c }) => {
                bounds.iter().any(|n| hull(x, *n).is_some_and(|(l, _)| l < c)) || self.nonzero.contains(&term)
            }
            // below the bound at `h` there are `h - c` more above `c`, and one
            Condition::Room(Term { x, c }, n, k) => hull(x, n).is_some_and(|(_, h)| c + k <= h),
            // with `c` below a bound the sum does not overflow
            Condition::AtLeast(Term { x, c }, k) => bounds
                .iter()
                .any(|n| hull(x, *n).is_some_and(|(l, h)| l <= c - k && c <= h)),
        }
    }

    fn below(&mut self, Term { x, c }: Term, n: Ref) {
        let hull = self.hulls.entry((x, n)).or_insert((c, c));
        *hull = (hull.0.min(c), hull.1.max(c));
        self.widen(x, n);
    }

    fn learn(&mut self, condition: Condition, bounds: &[Ref]) {
        match condition {
            Condition::Below(term, n) => self.below(term, n),
            Condition::NotEnd(term, n) => {
                self.not_end.insert((term, n));
                self.widen(term.x, n);
            }
            Condition::NonZero(term) => {
                self.nonzero.insert(term);
                bounds.iter().for_each(|n| self.widen(term.x, *n));
            }
            Condition::Room(term @ Term { x, c }, n, k) => {
                if self.implies(Condition::Below(term, n), bounds) {
                    self.below(Term { x, c: c + k }, n);
                }
            }
            Condition::AtLeast(term @ Term { x, c }, k) => {
                for &n in bounds {
                    if self.implies(Condition::Below(term, n), bounds) {
                        self.below(Term { x, c: c - k }, n);
                    }
                }
            }
        }
    }

    /// Each end of a hull goes on over what is known to be no end. Linear over all, for what it goes over is known once.
    fn widen(&mut self, x: Ref, n: Ref) {
        let Some((l, h)) = self.hulls.get_mut(&(x, n)) else {
            return;
        };
        while self.not_end.contains(&(Term { x, c: *h + 1 }, n)) {
            *h += 1;
        }
        while self.nonzero.contains(&Term { x, c: *l }) {
            *l -= 1;
        }
    }
}

#[derive(Default)]
pub(crate) struct Group {
    /// The last label is that of a peeled loop.
    is_peeled: bool,
    scratch: Scratch,
}

/// What plans keep for those that come behind them: memory, and nothing that is known.
#[derive(Default)]
struct Scratch {
    terms: Vec<Term>,
    guards: Vec<(usize, Condition)>,
    bounds: BoundsOf,
    facts: Facts,
    goal: Facts,
    nonzero: FxHashSet<Term>,
}

impl Pass for Group {
    fn restart(&mut self) {
        self.is_peeled = false;
    }

    fn enter_loop(&mut self, _carry: Carry, _context: &mut Context) {
        self.is_peeled = true;
    }

    fn plan(&mut self, trace: &Trace, born: &[Range], edits: &mut [Edit], rewrites: &mut Rewrites) {
        debug_assert!(edits.iter().all(|edit| *edit == Edit::Keep), "the first to plan");
        let questions = Questions::of(trace, born, self.is_peeled, &mut self.scratch);
        let mut plan = Plan::new(trace, questions, edits, &mut self.scratch);
        plan.make();
        for (n, _) in &plan.guards {
            rewrites.count(match plan.edits[*n] {
                Edit::Keep => continue,
                Edit::Remove => "group_implied",
                Edit::Below(..) => "group_below",
                Edit::Above(..) => "group_nonzero",
                edit @ (Edit::Value(..) | Edit::Bypass(..)) => unreachable!("not of this pass: {edit:?}"),
            });
        }
        self.scratch.guards = plan.guards;
    }
}

/// The label of a peeled loop, which is entered from before it, and by the jump at the end.
struct Back {
    /// The label's place among the operations.
    label: usize,
    /// Its arguments as sums of what is defined before it, and those of the jump.
    entries: [Vec<Option<Term>>; 2],
}

/// What the guards of a trace ask.
struct Questions {
    /// Those that can be grouped, and what they ask.
    guards: Vec<(usize, Condition)>,
    labels: Vec<usize>,
    back: Option<Back>,
}

struct Plan<'a> {
    trace: &'a Trace,
    guards: Vec<(usize, Condition)>,
    labels: Vec<usize>,
    back: Option<Back>,
    bounds: &'a mut BoundsOf,
    facts: &'a mut Facts,
    /// What is known when all guards of a stretch have passed.
    goal: &'a mut Facts,
    /// The sums of a stretch that guards say are not zero.
    nonzero: &'a mut FxHashSet<Term>,
    /// By operation. The first plan of all: before, all are kept.
    edits: &'a mut [Edit],
}

/// By value: the bounds it is checked against.
#[derive(Default)]
struct BoundsOf(FxHashMap<Ref, SmallVec<[Ref; 2]>>);

impl BoundsOf {
    fn of(&self, x: Ref) -> &[Ref] {
        self.0.get(&x).map_or(&[], |bounds| bounds)
    }
}

impl<'a> Plan<'a> {
    fn new(trace: &'a Trace, questions: Questions, edits: &'a mut [Edit], scratch: &'a mut Scratch) -> Plan<'a> {
        let Questions {
            mut guards,
            labels,
            back,
        } = questions;
        let Scratch {
            bounds,
            facts,
            goal,
            nonzero,
            ..
        } = scratch;
        empty(&mut bounds.0);
        facts.clear();
        for (_, condition) in &guards {
            if let Condition::Below(Term { x, .. }, n) = condition {
                let known = bounds.0.entry(*x).or_default();
                // more are rare, and would cost time
                if !known.contains(n) && known.len() < 4 {
                    known.push(*n);
                }
            }
        }
        guards.retain(|(_, condition)| match condition {
            Condition::Below(term, bound) | Condition::NotEnd(term, bound) | Condition::Room(term, bound, _) => {
                bounds.of(term.x).contains(bound)
            }
            Condition::NonZero(term) | Condition::AtLeast(term, _) => !bounds.of(term.x).is_empty(),
        });
        Plan {
            trace,
            guards,
            labels,
            back,
            bounds,
            facts,
            goal,
            nonzero,
            edits,
        }
    }

    fn make(&mut self) {
        let end = self.trace.ops.len();
        let Some(back) = self.back.take() else {
            return self.walk(0..end);
        };
        self.walk(0..back.label);
        let mut carried = self.carried(&back);
        loop {
            self.facts.clear();
            self.facts.hulls.extend(&carried);
            self.edits[back.label..].fill(Edit::Keep);
            self.walk(back.label + 1..end);
            let assumed = carried.len();
            carried.retain(|pair, hull| self.is_kept(&back, *pair, *hull));
            if carried.len() == assumed {
                return;
            }
        }
    }

    /// The hulls of the label's arguments, by what is known before it.
    fn carried(&self, back: &Back) -> FxHashMap<(Ref, Ref), Hull> {
        let args = &self.trace.ops[back.label].args;
        let mut carried = FxHashMap::default();
        for (arg, term) in args.iter().zip(&back.entries[0]) {
            let Some(Term { x, c }) = *term else { continue };
            for ((value, bound), (l, h)) in &self.facts.hulls {
                if *value == x && (bound.is_const() || args.contains(bound)) {
                    carried.insert((*arg, *bound), (l - c, h - c));
                }
            }
        }
        carried
    }

    /// Whether a hull of label arguments is one of the jump's, by what is known at the end.
    fn is_kept(&self, back: &Back, (arg, bound): (Ref, Ref), (l, h): Hull) -> bool {
        let args = &self.trace.ops[back.label].args;
        let jump = self.trace.ops.last().expect("a loop has a jump");
        let place = |value: Ref| args.iter().position(|arg| *arg == value);
        let Some(Term { x, c }) = place(arg).and_then(|n| back.entries[1][n]) else {
            return false;
        };
        let next = place(bound).map_or(bound, |n| jump.args[n].plain());
        let known = self.facts.hulls.get(&(x, next));
        known.is_some_and(|(low, high)| low - c <= l && h <= high - c)
    }

    /// Decides over the guards of a part of the trace, stretch by stretch.
    fn walk(&mut self, part: std::ops::Range<usize>) {
        let guards = std::mem::take(&mut self.guards);
        let before = |n: usize| guards.partition_point(|(guard, _)| *guard < n);
        let mut start = before(part.start);
        for at in 0..self.labels.len() {
            let label = self.labels[at];
            if part.contains(&label) {
                self.stretch(&guards[start..before(label)]);
                self.facts.clear();
                start = before(label);
            }
        }
        self.stretch(&guards[start..before(part.end)]);
        self.guards = guards;
    }

    /// Decides over the guards of a stretch.
    fn stretch(&mut self, guards: &[(usize, Condition)]) {
        if guards.is_empty() {
            return;
        }
        self.find_goal(guards);
        empty_set(self.nonzero);
        for (_, condition) in guards {
            if let Condition::NonZero(term) = condition {
                self.nonzero.insert(*term);
            }
        }
        for &(n, condition) in guards {
            let bounds = self.bounds.of(condition.term().x);
            if self.trace.ops[n].opcode == Opcode::RecordTrue {
                self.facts.learn(condition, bounds);
            } else if self.facts.implies(condition, bounds) {
                self.edits[n] = Edit::Remove;
            } else {
                self.edits[n] = self.stronger(n, condition);
                if self.edits[n] == Edit::Keep {
                    self.facts.learn(condition, self.bounds.of(condition.term().x));
                }
            }
        }
    }

    /// What is known of the families of these guards when all have passed.
    fn find_goal(&mut self, guards: &[(usize, Condition)]) {
        self.goal.clear();
        for (_, condition) in guards {
            let x = condition.term().x;
            for &n in self.bounds.of(x) {
                if let Some(hull) = self.facts.hulls.get(&(x, n)) {
                    self.goal.hulls.insert((x, n), *hull);
                }
            }
        }
        for (_, condition) in guards {
            self.goal.learn(*condition, self.bounds.of(condition.term().x));
        }
    }

    /// What guard `n`, which is not implied, is to test; tells the facts if that is not its own condition.
    fn stronger(&mut self, n: usize, condition: Condition) -> Edit {
        let Term { x, c } = condition.term();
        let to = |plan: &Plan<'_>, bound: Ref| plan.goal.hulls.get(&(x, bound)).copied();
        let now = |plan: &Plan<'_>, bound: Ref| plan.facts.hulls.get(&(x, bound)).copied();
        let (bound, wanted) = match condition {
            Condition::Below(_, bound) => {
                let (low, high) = to(self, bound).expect("the goal is at least the condition");
                match now(self, bound) {
                    // the first: one end, or what it is
                    None => return Edit::Keep,
                    Some((_, h)) if c > h && high > c => (bound, high),
                    Some((l, _)) if c < l && low < c => (bound, low),
                    Some(_) => return Edit::Keep,
                }
            }
            Condition::NotEnd(_, bound) => match (to(self, bound), now(self, bound)) {
                (Some((_, high)), Some((_, h))) if c == high && c == h + 1 => return Edit::Keep,
                (Some((_, high)), _) if c <= high => (bound, high),
                _ => return Edit::Keep,
            },
            Condition::Room(_, bound, k) => match to(self, bound) {
                Some((_, high)) if c + k <= high => (bound, high),
                _ => return Edit::Keep,
            },
            Condition::AtLeast(term, k) => match self.lower_end(term, k) {
                Some(found) => found,
                None => return Edit::Keep,
            },
            Condition::NonZero(_) => {
                let visible = |bound: &&Ref| self.trace.defining_op(**bound).is_none_or(|definition| definition < n);
                let reaches = |bound: &&Ref| to(self, **bound).is_some_and(|(low, _)| low < c);
                match self.bounds.of(x).iter().filter(visible).find(reaches) {
                    None => return self.run_of_nonzero(Term { x, c }),
                    Some(&bound) => {
                        let (low, _) = to(self, bound).expect("just found");
                        if low == c - 1 && now(self, bound).is_some_and(|(l, _)| l == c) {
                            return Edit::Keep;
                        }
                        (bound, low)
                    }
                }
            }
        };
        let term = Term { x, c: wanted };
        self.facts.below(term, bound);
        Edit::Below(term, bound)
    }

    /// A bound below which `x + c` is already, and how far down the guards of the stretch take it, if that is `k` at least.
    fn lower_end(&self, Term { x, c }: Term, k: i64) -> Option<(Ref, i64)> {
        self.bounds.of(x).iter().find_map(|&bound| {
            let (_, h) = self.facts.hulls.get(&(x, bound))?;
            let (low, _) = self.goal.hulls.get(&(x, bound))?;
            (c <= *h && *low <= c - k).then_some((bound, *low))
        })
    }

    /// All distances around this one at which zero is excluded, in one: `x + h >u h - l`.
    fn run_of_nonzero(&mut self, Term { x, c }: Term) -> Edit {
        let (mut l, mut h) = (c, c);
        while self.nonzero.contains(&Term { x, c: l - 1 }) {
            l -= 1;
        }
        while self.nonzero.contains(&Term { x, c: h + 1 }) {
            h += 1;
        }
        if l == h {
            return Edit::Keep;
        }
        for c in l..=h {
            self.facts.learn(Condition::NonZero(Term { x, c }), self.bounds.of(x));
        }
        Edit::Above(Term { x, c: h }, h - l)
    }
}

impl Questions {
    /// Sums are those of their part: behind a label each argument is itself.
    fn of(trace: &Trace, born: &[Range], is_peeled: bool, scratch: &mut Scratch) -> Questions {
        let itself = |n: usize| Term { x: Ref::value(n), c: 0 };
        let terms = &mut scratch.terms;
        terms.clear();
        terms.extend((0..trace.value_count()).map(itself));
        let mut guards = std::mem::take(&mut scratch.guards);
        guards.clear();
        let sums = |terms: &[Term], args: &[Ref]| args.iter().map(|arg| Some(terms[arg.as_value()?])).collect();
        let (mut labels, mut back) = (Vec::new(), None);
        let mut part = 0;
        for (n, op) in trace.ops.iter().enumerate() {
            match op.opcode {
                Opcode::IntAdd | Opcode::IntAddOvf => {
                    if let (Some(a), Some(c)) = (op.args[0].as_value(), trace.as_const(op.args[1])) {
                        let Term { x, c: distance } = terms[a];
                        let c = (c.bits as i64).saturating_add(distance);
                        if c.abs_diff(0) < MAX_DISTANCE as u64 {
                            terms[trace.inputs.len() + n] = Term { x, c };
                        }
                    }
                }
                Opcode::Label => {
                    labels.push(n);
                    let entries = [sums(terms, &op.args), Vec::new()];
                    back = is_peeled.then_some(Back { label: n, entries });
                    part = n + 1;
                    for arg in &op.args {
                        let arg = arg.as_value().expect("no constant");
                        terms[arg] = itself(arg);
                    }
                }
                _ => {}
            }
            guards.extend(condition(trace, n, part, terms, born).map(|condition| (n, condition)));
        }
        if let (Some(back), Some(jump)) = (&mut back, trace.ops.last()) {
            back.entries[1] = sums(terms, &jump.args);
        }
        Questions { guards, labels, back }
    }
}

/// What guard `n` asks, if it can be grouped; `part` is the first operation behind the last label.
fn condition(trace: &Trace, n: usize, part: usize, terms: &[Term], born: &[Range]) -> Option<Condition> {
    let op = &trace.ops[n];
    let truth = match op.opcode {
        Opcode::GuardTrue | Opcode::RecordTrue => true,
        Opcode::GuardFalse => false,
        _ => return None,
    };
    let tested = op.args[0];
    let range = |value: Ref| match (trace.as_const(value), value.as_value()) {
        (Some(constant), _) => Range::constant(constant.bits as i64),
        (None, Some(n)) => born[n],
        (None, None) => Range::FULL,
    };
    let term = |value: Ref| value.as_value().map(|n| terms[n]);
    let definition = trace.defining_op_in(tested, part);
    let comparison = definition.map(|n| &trace.ops[n]).filter(|op| op.opcode.is_comparison());
    let Some(comparison) = comparison else {
        let is_number = truth && !range(tested).is_bool();
        return is_number.then(|| term(tested).map(Condition::NonZero)).flatten();
    };
    let below = |a: Ref, n: Ref| {
        let is_bound = range(n).is_natural() && a.as_value().is_some();
        is_bound
            .then(|| term(a).map(|term| Condition::Below(term, n.plain())))
            .flatten()
    };
    let opcode = if truth {
        comparison.opcode
    } else {
        comparison.opcode.negated()?
    };
    match (opcode, &comparison.args[..]) {
        (Opcode::UintLt, &[a, n]) => below(a, n),
        (Opcode::UintGt, &[n, a]) if !a.is_const() => below(a, n),
        (Opcode::IntNe, &[a, b]) => match (range(a).is_natural(), range(b).is_natural()) {
            _ if b.is_const() => None,
            (_, true) => Some(Condition::NotEnd(term(a)?, b)),
            (true, false) => Some(Condition::NotEnd(term(b)?, a)),
            (false, false) => None,
        },
        (Opcode::IntIsTrue, &[a]) => Some(Condition::NonZero(term(a)?)),
        (Opcode::UintGt, &[room, k]) => {
            let difference = &trace.ops[trace.defining_op_in(room, part)?];
            let (n, a) = match (difference.opcode, &difference.args[..]) {
                (Opcode::IntSub, &[n, a]) if range(n).is_natural() => (n, a),
                _ => return None,
            };
            Some(Condition::Room(term(a)?, n.plain(), distance(trace, k)?))
        }
        // it is asked only of what is below a bound, and so is natural
        (Opcode::IntGe | Opcode::UintGe, &[a, k]) => Some(Condition::AtLeast(term(a)?, distance(trace, k)?)),
        _ => None,
    }
}

/// A constant distance up or down.
fn distance(trace: &Trace, value: Ref) -> Option<i64> {
    let bits = trace.as_const(value)?.bits as i64;
    (0..MAX_DISTANCE).contains(&bits).then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(text: &str) -> Vec<Edit> {
        let trace: Trace = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut born = vec![Range::FULL; trace.value_count()];
        born[1] = Range::of_word(metatrace_ir::Word::Length);
        let mut edits = vec![Edit::Keep; trace.ops.len()];
        let mut scratch = Scratch::default();
        let questions = Questions::of(&trace, &born, true, &mut scratch);
        Plan::new(&trace, questions, &mut edits, &mut scratch).make();
        edits
    }

    /// In each round the place moves by `step`, from one at which `0` and `4` further on are below the bound.
    fn edit_of_guard_at_2(step: i64) -> Edit {
        let edits = edits(&format!(
            "# word i1 = length
             [i0, i1]
             i2 = uint_lt(i0, i1)
             guard_true(i2) []
             i3 = int_add(i0, 4)
             i4 = uint_lt(i3, i1)
             guard_true(i4) []
             label(i0, i1, descr=TargetToken(2))
             i5 = int_add(i0, 2)
             i6 = uint_lt(i5, i1)
             guard_true(i6) []
             i7 = int_add(i0, {step})
             jump(i7, i1, descr=TargetToken(2))"
        ));
        edits[8]
    }

    #[test]
    fn what_is_known_before_the_label_is_known_behind_it_if_it_is_true_at_the_jump() {
        assert_eq!(edit_of_guard_at_2(0), Edit::Remove);
        assert_eq!(edit_of_guard_at_2(1), Edit::Keep);
        assert_eq!(edit_of_guard_at_2(-1), Edit::Keep);
    }
}
