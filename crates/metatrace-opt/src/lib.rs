//! The optimiser: one forward walk over a trace, which every operation makes through all passes.
//!
//! ```text
//! [p0, i1]                                          [p0, i1]
//! i2 = getarrayitem_raw_i(i1, 0, descr=bytes)       i2 = getarrayitem_raw_i(i1, 0, descr=bytes)
//! i3 = int_add(i2, 1)                               i3 = int_add(i2, 1)
//! i4 = int_and(i3, 255)                   ──▶       i4 = int_and(i3, 255)
//! setarrayitem_raw(i1, 0, i4, descr=bytes)          setarrayitem_raw(i1, 0, i4, descr=bytes)
//! i5 = getarrayitem_raw_i(i1, 0, descr=bytes)       guard_true(i4) [p0, i1]
//! i6 = int_is_true(i5)                              jump(p0, i1, descr=TargetToken(0))
//! guard_true(i6) [p0, i1]
//! jump(p0, i1, descr=TargetToken(0))
//! ```
//!
//! - `driver` walks, maps values, snapshots and labels, and alone writes the new trace;
//! - `context` is what passes may ask: definitions, constants, ranges and known bits, what guards have proved;
//! - the passes, in their order: `guards` (what guards prove), `fold` (constants, and the rules of `rules`),
//!   `pure` (common subexpressions), `virtuals` (allocations that nobody else sees), `heap` (loads and stores);
//! - when the trace is written, passes *plan* what becomes of its guards: with `group` a bounds guard takes over the work of
//!   those behind it, with `chain` the first of several tests of one value asks what the last does. What nobody needs then is
//!   `dead`; `demand` *passes by* masks whose cleared bits nobody looks at. All that is done in one rewriting (`edits`);
//! - then `sink` marks what is left to exits, since only they need it.
//!
//! **The contract of a pass.** It is told of the operations that it is interested in. `Pass::visit` sees one whose operands are
//! values of the new trace and says what becomes of it: `Decision`. A replacement makes the way through all passes again.
//! `Pass::before` is asked what has to come first, `Pass::emitted` sees what is kept, and learns from it. What guards prove of
//! values (`Pass::learned`) all passes are told. At a `label` everything learnt is forgotten, for other traces jump there; only
//! facts about roots stay with the arguments that carry them. All passes take constant time per operation.
//!
//! Loops are walked over twice ([`Options::peel`], `peel`): once for the first round, which everybody enters, once for all
//! others.
//! Absent: virtuals over labels; contents of memory that bridges inherit.
#![forbid(unsafe_code)]

mod bits;
mod by_value;
mod chain;
mod context;
mod dead;
mod demand;
mod division;
mod driver;
mod edits;
mod fold;
mod group;
mod guards;
mod heap;
mod peel;
mod pure;
mod range;
mod rules;
mod sink;
mod tree;
mod virtuals;

use context::Context;
use driver::{Driver, Passes, Scratch};
use edits::Edit;
use metatrace_ir::{Class, Op, Ref, TargetToken, Trace};
use peel::{Carry, GivenUp};
use range::Range;
use rustc_hash::{FxHashMap, FxHashSet};
use std::fmt;
use tree::Tree;

/// Which passes take part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Constants and algebra.
    pub fold: bool,
    /// What guards prove.
    pub guards: bool,
    /// Common subexpressions.
    pub pure: bool,
    /// Allocations that nobody else sees.
    pub virtuals: bool,
    /// Loads and stores.
    pub heap: bool,
    /// Bounds guards in groups.
    pub group: bool,
    /// Tests of one value in a row.
    pub chain: bool,
    /// Masks of bits that nobody looks at.
    pub demand: bool,
    /// Values that only exits need.
    pub sink: bool,
    /// The label of the loop that is peeled off its first round, where the trace is a loop.
    pub peel: Option<TargetToken>,
}

/// A pass, for who chooses among them.
pub struct PassInfo {
    /// What it is called in lists of passes.
    pub name: &'static str,
    /// What it does, in a few words.
    pub about: &'static str,
    switch: fn(&mut Options) -> &mut bool,
    rules: fn() -> Vec<&'static str>,
    make: fn() -> Box<dyn Pass>,
}

/// All passes, in their order.
pub static PASSES: &[PassInfo] = &[
    PassInfo {
        name: "guards",
        about: "what guards prove",
        switch: |options| &mut options.guards,
        rules: || guards::RULES.to_vec(),
        make: || Box::new(guards::Guards::default()),
    },
    PassInfo {
        name: "fold",
        about: "constants and algebra",
        switch: |options| &mut options.fold,
        rules: || {
            let table = rules::TABLE.iter().map(|rule| rule.name);
            table
                .chain(fold::RULES.iter().chain(division::RULES).copied())
                .collect()
        },
        make: || Box::new(fold::Fold),
    },
    PassInfo {
        name: "pure",
        about: "common subexpressions",
        switch: |options| &mut options.pure,
        rules: || pure::RULES.to_vec(),
        make: || Box::new(pure::Pure::default()),
    },
    PassInfo {
        name: "virtuals",
        about: "allocations that nobody else sees",
        switch: |options| &mut options.virtuals,
        rules: || virtuals::RULES.to_vec(),
        make: || Box::new(virtuals::Virtuals::default()),
    },
    PassInfo {
        name: "heap",
        about: "loads and stores",
        switch: |options| &mut options.heap,
        rules: || heap::RULES.to_vec(),
        make: || Box::new(heap::Heap::default()),
    },
    PassInfo {
        name: "group",
        about: "bounds guards in groups",
        switch: |options| &mut options.group,
        rules: || group::RULES.to_vec(),
        make: || Box::new(group::Group::default()),
    },
    PassInfo {
        name: "chain",
        about: "tests of one value in a row",
        switch: |options| &mut options.chain,
        rules: || chain::RULES.to_vec(),
        make: || Box::new(chain::Chain),
    },
    PassInfo {
        name: "demand",
        about: "masks of bits that nobody looks at",
        switch: |options| &mut options.demand,
        rules: || demand::RULES.to_vec(),
        make: || Box::new(demand::Demand::default()),
    },
    PassInfo {
        name: "sink",
        about: "values that only exits need",
        switch: |options| &mut options.sink,
        rules: || sink::RULES.to_vec(),
        make: || Box::new(sink::Sink::default()),
    },
];

impl PassInfo {
    /// The pass of this name.
    pub fn by_name(name: &str) -> Option<&'static PassInfo> {
        PASSES.iter().find(|pass| pass.name == name)
    }

    fn takes_part(&self, mut options: Options) -> bool {
        *(self.switch)(&mut options)
    }
}

impl fmt::Debug for PassInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Options {
    /// No pass at all: the trace is walked and written again.
    pub const NONE: Options = Options {
        fold: false,
        guards: false,
        pure: false,
        virtuals: false,
        heap: false,
        group: false,
        chain: false,
        demand: false,
        sink: false,
        peel: None,
    };

    /// With this pass, or without it.
    pub fn with(mut self, pass: &PassInfo, takes_part: bool) -> Options {
        *(pass.switch)(&mut self) = takes_part;
        self
    }
}

impl Default for Options {
    /// All passes, without peeling, for which the trace needs a name for a label.
    fn default() -> Options {
        PASSES
            .iter()
            .fold(Options::NONE, |options, pass| options.with(pass, true))
    }
}

/// How often each rule has rewritten an operation.
#[derive(Clone, Default, Debug)]
pub struct Rewrites {
    /// The rules, as they were applied: they are counted when somebody asks.
    applied: Vec<&'static str>,
}

impl Rewrites {
    fn count(&mut self, rule: &'static str) {
        self.applied.push(rule);
    }

    /// How often the rule has.
    pub fn of(&self, rule: &str) -> u32 {
        self.applied.iter().filter(|name| **name == rule).count() as u32
    }

    /// The rules that have, and how often, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u32)> {
        let mut names = self.applied.clone();
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(|name| (name, self.of(name)))
    }
}

/// A trace that does the same, with the same inputs, guards and exits: the first guard of the given trace that fails
/// fails here too, with the same values, or one before it that is marked as [early](Op::early) does, with the values that
/// it has in the given trace.
///
/// # Panics
/// If an operation of the given trace is sunk: it is optimised already. In debug builds, if the result breaks an invariant
/// of traces: a bug here, or the given trace breaks it already.
pub fn optimize(trace: &Trace, options: &Options) -> Trace {
    Optimizer::default().optimize(trace, options)
}

/// As [`optimize`], with a count of what was done.
///
/// # Panics
/// As [`optimize`].
pub fn optimize_counting(trace: &Trace, options: &Options) -> (Trace, Rewrites) {
    Optimizer::default().optimize_counting(trace, options)
}

/// Optimises one trace after the other. Most are short, so what it keeps is the memory for the next.
pub struct Optimizer {
    /// As in [`PASSES`].
    passes: Passes,
    scratch: Scratch,
}

impl Default for Optimizer {
    fn default() -> Optimizer {
        Optimizer {
            passes: Passes::new(PASSES.iter().map(|pass| (pass.make)()).collect()),
            scratch: Scratch::default(),
        }
    }
}

impl fmt::Debug for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Optimizer").finish_non_exhaustive()
    }
}

impl Optimizer {
    /// As [`optimize`].
    ///
    /// # Panics
    /// As [`optimize`].
    pub fn optimize(&mut self, trace: &Trace, options: &Options) -> Trace {
        if let Some(target) = options.peel.filter(|_| peel::is_loop(trace)) {
            let mut peeled = peel::peel(self.driver(trace, options), target, Carry::Stores);
            if let Err(GivenUp::StoreWasSeen) = peeled {
                peeled = peel::peel(self.driver(trace, options), target, Carry::Nothing);
            }
            if let Ok(peeled) = peeled {
                return peeled;
            }
        }
        self.driver(trace, options).run()
    }

    /// As [`optimize_counting`].
    ///
    /// # Panics
    /// As [`optimize`].
    pub fn optimize_counting(&mut self, trace: &Trace, options: &Options) -> (Trace, Rewrites) {
        let optimized = self.optimize(trace, options);
        (optimized, std::mem::take(&mut self.scratch.rewrites))
    }

    /// Takes a trace back that nobody needs any more: the next is made in its memory.
    pub fn recycle(&mut self, trace: Trace) {
        self.scratch.recycle(trace);
    }

    fn driver<'a>(&'a mut self, trace: &'a Trace, options: &Options) -> Driver<'a> {
        self.passes
            .choose(|n, pass| PASSES[n].takes_part(*options) && pass.has_work(trace));
        Driver::new(trace, &mut self.passes, &mut self.scratch)
    }
}

/// The names of all rules.
pub fn rule_names() -> impl Iterator<Item = &'static str> {
    let of_passes = PASSES.iter().flat_map(|pass| (pass.rules)());
    of_passes.chain(driver::RULES.iter().copied())
}

/// What becomes of an operation, and by which rule.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Decision {
    /// It goes on to the next pass, at last into the new trace.
    Keep,
    /// Another operation takes its place; it starts at the first pass.
    Replace(&'static str, Op),
    /// Its result is this value.
    Equal(&'static str, Ref),
    /// Operations take its place, which all start at the first pass.
    Build(&'static str, Tree),
    /// It has no result, and nothing takes its place.
    Remove(&'static str),
    /// These operations come first, each through all passes, and the operation starts again. Their operands may be sunk
    /// values that earlier ones of them stand for.
    First(&'static str, Vec<(SunkOrNew, Op)>),
}

/// The sunk value in whose place the result of an operation is from now on, if any.
type SunkOrNew = Option<Ref>;

/// A set of classes of operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Classes(u16);

impl Classes {
    const NONE: Classes = Classes::of(&[]);
    const ALL: Classes = Classes(u16::MAX);

    const fn of(classes: &[Class]) -> Classes {
        let (mut set, mut n) = (0, 0);
        while n < classes.len() {
            set |= 1 << classes[n] as u16;
            n += 1;
        }
        Classes(set)
    }

    fn contains(self, class: Class) -> bool {
        self.0 >> class as u16 & 1 != 0
    }
}

/// The operations that a pass wants to see; of others it is not told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Interests {
    /// To [decide](Pass::visit) what becomes of them.
    visited: Classes,
    /// [Before](Pass::before) they become part of the trace.
    before: Classes,
    /// When they [are](Pass::emitted) part of it.
    emitted: Classes,
}

impl Interests {
    const NONE: Interests = Interests {
        visited: Classes::NONE,
        before: Classes::NONE,
        emitted: Classes::NONE,
    };
}

/// A pass. See the module's documentation.
trait Pass {
    /// Another trace comes next: nothing of what was found out is true of it. [`start`](Pass::start) follows.
    fn restart(&mut self);

    /// Whether there is anything for it to do in this trace. If not, it is not asked again.
    fn has_work(&self, _input: &Trace) -> bool {
        true
    }

    /// What it wants to see of the walk, the same for every trace: it is asked once. Labels are shown to
    /// [`before`](Pass::before) and [`start`](Pass::start) anyway.
    fn interests(&self) -> Interests {
        Interests::NONE
    }

    /// What becomes of the operation, whose operands are values of the new trace.
    fn visit(&mut self, _op: &Op, _context: &mut Context) -> Decision {
        Decision::Keep
    }

    /// The operation is about to become part of the trace. What has to come before it is put there; of an exit, the pending
    /// stores are noted.
    fn before(&mut self, _op: &mut Op, _context: &mut Context) {}

    /// The operation is now part of the trace and defines `value`, if it has a result.
    fn emitted(&mut self, _op: &Op, _value: Ref, _context: &mut Context) {}

    /// A guard has proved that a value is this constant.
    fn learned(&mut self, _value: Ref, _constant: Ref, _context: &Context) {}

    /// Whether the load, which has given `value`, is likely to give it again in the next round of a loop, from the same address.
    fn repeats(&self, _load: &Op, _value: Ref, _context: &Context) -> bool {
        false
    }

    /// The label of a peeled loop comes next, behind which everything that is known is still true, of the values that play
    /// the same roles.
    fn enter_loop(&mut self, _carry: Carry, _context: &mut Context) {}

    /// The jump of a peeled loop comes next. The values that have to be invariant for what was carried over its label; `None`
    /// if that is no longer there.
    fn close_loop(&mut self, _context: &mut Context) -> Option<Vec<Ref>> {
        Some(Vec::new())
    }

    /// A part of the trace begins: at its start, and behind each label, where nothing else is known than the
    /// [roots](Context::roots). `before` and `behind` are the label's arguments in the two parts.
    fn start(&mut self, _before: &[Ref], _behind: &[Ref], _context: &mut Context) {}

    /// The trace is written. The pass's turn to say what becomes of its guards, and of nothing else; what another pass has planned
    /// stays as it is.
    /// `born`: where each of its values lies, wherever it is visible.
    fn plan(&mut self, _trace: &Trace, _born: &[Range], _edits: &mut [Edit], _rewrites: &mut Rewrites) {}

    /// By now what nobody needs is to be removed. The pass's turn to say which of the operations that are kept can be passed by,
    /// for their result might as well be an operand.
    fn bypass(&mut self, _trace: &Trace, _edits: &mut [Edit], _rewrites: &mut Rewrites) {}

    /// The pass's turn to change operations of the trace in their places, when all has been done that was planned.
    fn finish(&mut self, _trace: &mut Trace, _rewrites: &mut Rewrites) {}
}

/// The places of the ones in a set of bits.
#[inline]
fn ones(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let n = set.trailing_zeros();
        (set != 0).then(|| {
            set &= set - 1;
            n as usize
        })
    })
}

/// So many entries has a list or map at most that is kept between traces. A larger one, which a long trace has left, would hold
/// memory for nothing, and a map would take long to empty for each trace to come.
const LARGE: usize = 1 << 12;

/// Empties a map, which is given back if it is large.
fn empty<K, V>(map: &mut FxHashMap<K, V>) {
    match map.capacity() > LARGE {
        true => *map = FxHashMap::default(),
        false => map.clear(),
    }
}

/// As [`empty`].
fn empty_set<T>(set: &mut FxHashSet<T>) {
    match set.capacity() > LARGE {
        true => *set = FxHashSet::default(),
        false => set.clear(),
    }
}
