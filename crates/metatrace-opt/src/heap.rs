//! Loads and stores: a load of what is known to be in memory is that value, and a store of it is nothing.
//!
//! ```text
//! # root p0 = exclusive
//! [p0, p1, i2]                                   [p0, p1, i2]
//! i3 = getfield_gc_i(p0, descr=Frame.pc)         i3 = getfield_gc_i(p0, descr=Frame.pc)
//! setfield_gc(p1, i2, descr=Cell.value)     ──▶  setfield_gc(p1, i2, descr=Cell.value)
//! call_n(4096, p1, descr=put)                    call_n(4096, p1, descr=put)
//! i4 = getfield_gc_i(p0, descr=Frame.pc)         jump(i3, …)
//! jump(i4, …)
//! ```
//!
//! What lets `i4` be `i3` is ownership ([`metatrace_ir::ownership`]): the frame is behind a `&mut`, and neither `p1` nor the
//! call can reach it.
//!
//! **Delayed stores.** A store to memory that only the trace can reach is put off until somebody may see the place: a load or
//! call that may reach it, the end of the trace. A later store to the same place takes its place, and guards list what is
//! pending at them, so that an exit makes up for it:
//!
//! ```text
//! # root p0 = exclusive
//! setfield_gc(p0, i1, descr=Frame.pc)        sunk s3 = setfield_gc(p0, i1, descr=Frame.pc)
//! guard_true(i2) [p0]                   ──▶  guard_true(i2) [p0] {s3}
//! setfield_gc(p0, 7, descr=Frame.pc)         setfield_gc(p0, 7, descr=Frame.pc)
//! jump(p0, …)                                jump(p0, …)
//! ```
//!
//! The address was checked where the store stood, and the memory is still there at the exit, for only what could see it could
//! free it.

use crate::context::Context;
use crate::peel::Carry;
use crate::range::Range;
use crate::{Classes, Decision, Interests, Pass};
use metatrace_ir::ownership::{Access, Content, Contents, Ownership, Values};
use metatrace_ir::{Class, Descr, Kind, Op, Opcode, Ref, Word};
use smallvec::SmallVec;
use std::rc::Rc;

/// The rules of this pass.
pub(crate) const RULES: &[&str] = &[
    "forward_load",
    "forward_store",
    "forward_truncated",
    "forward_bits",
    "redundant_store",
    "delayed_store",
    "undone_store",
];

/// Stores that are pending at a time; one more sends the oldest into the trace.
const MAX_PENDING: usize = 32;

#[derive(Default)]
pub(crate) struct Heap {
    contents: Contents,
    /// In the order in which they are to be executed; those to one place are one.
    pending: Vec<Pending>,
    /// The pending stores as guards list them, while that is still so.
    listed: Option<Rc<[Ref]>>,
    /// How many have to be pending at the end of a peeled loop.
    carried: usize,
}

/// By pending store: whether it is to be executed now.
type Due = SmallVec<[bool; MAX_PENDING]>;

/// A store that is put off.
struct Pending {
    store: Op,
    access: Access,
    /// What memory holds there as long as the store is not executed, if that is known.
    before: Option<Ref>,
    /// The sunk operation, once a guard needed it.
    sunk: Option<Ref>,
    /// Whether it has to be pending at the end of a peeled loop, as it was at its start.
    carried: bool,
}

impl Pass for Heap {
    fn restart(&mut self) {
        self.pending.clear();
        (self.listed, self.carried) = (None, 0);
    }

    fn interests(&self) -> Interests {
        use Class::*;
        Interests {
            visited: Classes::of(&[Load, Store]),
            before: Classes::of(&[Load, Store, Call, Guard, Overflow, Control]),
            emitted: Classes::of(&[Pure, Partial, Overflow, Load, Store, Alloc, Call]),
        }
    }

    fn visit(&mut self, op: &Op, context: &mut Context) -> Decision {
        let access = self.contents.ownership().access_of(op, context);
        let access = access.expect("a load or store accesses memory");
        let content = self.contents.at(&access);
        if op.opcode.class() == Class::Load {
            return content.map_or(Decision::Keep, |content| forwarded(&content, op, context));
        }
        let value = *op.args.last().expect("a store has a value");
        match content {
            Some(content) if context.resolve(content.value) == value => Decision::Remove("redundant_store"),
            _ => self.delay(op, access, context),
        }
    }

    fn before(&mut self, op: &mut Op, context: &mut Context) {
        if self.pending.is_empty() {
            return;
        }
        let is_end = matches!(op.opcode, Opcode::Jump | Opcode::Label);
        let sight = self.contents.ownership().sight(op, context);
        if sight.is_some() || is_end {
            let sees = |pending: &Pending, ownership: &Ownership| match &sight {
                Some(sight) => ownership.may_see(sight, &pending.access),
                None => is_end,
            };
            self.flush(sees).for_each(|store| _ = context.push_late(store));
        }
        if op.opcode.can_exit() {
            let own = self.list(context);
            op.pending = both(op.pending.take(), own);
        } else if is_guarded(op) {
            // nothing can stand between the operation and its guard
            self.list(context);
        }
    }

    fn repeats(&self, load: &Op, value: Ref, context: &Context) -> bool {
        let held = self.contents.of_op(load, context);
        held.is_some_and(|content| context.resolve(content.value) == value)
    }

    fn enter_loop(&mut self, carry: Carry, context: &mut Context) {
        self.flush(|pending, _| {
            carry == Carry::Nothing || !pending.address().iter().all(|arg| context.is_invariant(*arg))
        })
        .for_each(|store| _ = context.push_late(store));
        for pending in &mut self.pending {
            // what memory holds is not what it held in the preamble
            (pending.before, pending.sunk, pending.carried) = (None, None, true);
        }
        self.carried = self.pending.len();
        self.listed = None;
    }

    fn close_loop(&mut self, context: &mut Context) -> Option<Vec<Ref>> {
        let stores = self.flush(|pending, _| !pending.carried);
        stores.for_each(|store| _ = context.push_late(store));
        let addresses = self.pending.iter().flat_map(|pending| pending.address());
        (self.pending.len() == self.carried).then(|| addresses.copied().collect())
    }

    fn emitted(&mut self, op: &Op, value: Ref, context: &mut Context) {
        self.contents.observe(op, value, context);
    }

    fn learned(&mut self, value: Ref, constant: Ref, _context: &Context) {
        self.contents.learned(value, constant);
    }

    fn start(&mut self, before: &[Ref], behind: &[Ref], context: &mut Context) {
        match context.derived() {
            Some(derived) => self.contents.restart(context.roots(), derived),
            None => self.contents.start(before, behind, context.roots()),
        }
    }
}

impl Heap {
    /// Puts a store off, if it may be.
    fn delay(&mut self, op: &Op, access: Access, context: &mut Context) -> Decision {
        let value = *op.args.last().expect("a store has a value");
        if !self.contents.ownership().is_delayable(op, &access, context) {
            return Decision::Keep;
        }
        let same = |pending: &Pending| {
            pending.access.place == access.place && pending.access.word.size() == access.word.size()
        };
        let replaced = self.pending.iter().position(same).map(|n| self.pending.remove(n));
        if self.pending.len() == MAX_PENDING {
            let mut due = Due::from_elem(false, MAX_PENDING);
            due[0] = true;
            self.execute(due).for_each(|store| _ = context.push_late(store));
        }
        let before = match &replaced {
            Some(replaced) => replaced.before,
            None => self.held(&access),
        };
        self.listed = None;
        self.contents.observe_access(op, value, &access, context);
        let ownership = self.contents.ownership();
        let is_back = before.is_some_and(|before| context.resolve(before) == value);
        if is_back
            && !self
                .pending
                .iter()
                .any(|pending| ownership.may_overlap(&pending.access, &access))
        {
            return Decision::Remove("undone_store");
        }
        self.pending.push(Pending {
            store: op.clone(),
            access,
            before,
            sunk: None,
            carried: replaced.is_some_and(|replaced| replaced.carried),
        });
        Decision::Remove("delayed_store")
    }

    /// The value that would change nothing if it was stored there.
    fn held(&self, access: &Access) -> Option<Ref> {
        let content = self.contents.at(access)?;
        (content.word() == access.word).then_some(content.value)
    }

    /// Those pending stores which somebody sees, and what is [executed](Heap::execute) with them.
    fn flush(&mut self, sees: impl Fn(&Pending, &Ownership) -> bool) -> std::vec::IntoIter<Op> {
        let ownership = self.contents.ownership();
        let due = self.pending.iter().map(|pending| sees(pending, ownership)).collect();
        self.execute(due)
    }

    /// Those pending stores which are due, and those which have to come before them: they are no longer pending. Where they may
    /// have stored, memory no longer holds what it held before the stores that stay pending.
    fn execute(&mut self, mut due: Due) -> std::vec::IntoIter<Op> {
        let mut stores = Vec::new();
        if !due.contains(&true) {
            return stores.into_iter();
        }
        let ownership = self.contents.ownership();
        for n in (0..due.len()).rev() {
            let overtaken = |later: usize| {
                due[later] && ownership.may_overlap(&self.pending[later].access, &self.pending[n].access)
            };
            due[n] = due[n] || (n + 1..due.len()).any(overtaken);
        }
        for n in 0..due.len() {
            let is_changed = |earlier: usize| {
                due[earlier] && ownership.may_overlap(&self.pending[earlier].access, &self.pending[n].access)
            };
            if (0..n).any(is_changed) {
                self.pending[n].before = None;
            }
        }
        self.listed = None;
        let mut due = due.into_iter();
        self.pending.retain(|pending| {
            let is_due = due.next().expect("one for each");
            if is_due {
                stores.push(pending.store.clone());
            }
            !is_due
        });
        stores.into_iter()
    }

    /// The pending stores, as sunk operations.
    fn list(&mut self, context: &mut Context) -> Option<Rc<[Ref]>> {
        if self.pending.is_empty() {
            return None;
        }
        let sink = |pending: &mut Pending| {
            let sunk = Op {
                sunk: true,
                ..pending.store.clone()
            };
            *pending.sunk.get_or_insert_with(|| context.push_late(sunk))
        };
        let pending = &mut self.pending;
        let listed = self
            .listed
            .get_or_insert_with(|| pending.iter_mut().map(sink).collect());
        Some(listed.clone())
    }
}

impl Pending {
    /// What the address is computed from.
    fn address(&self) -> &[Ref] {
        let (_, address) = self.store.args.split_last().expect("a store has a value");
        address
    }
}

/// Two lists of pending stores as one.
fn both(a: Option<Rc<[Ref]>>, b: Option<Rc<[Ref]>>) -> Option<Rc<[Ref]>> {
    match (a, b) {
        (Some(a), Some(b)) => {
            let mut all = [&a[..], &b[..]].concat();
            all.sort_unstable();
            Some(all.into())
        }
        (a, b) => a.or(b),
    }
}

/// Whether the operation's guard stands right behind it.
pub(crate) fn is_guarded(op: &Op) -> bool {
    match op.descr.as_deref() {
        Some(Descr::Call(call)) => call.can_panic,
        _ => op.opcode.class() == Class::Overflow,
    }
}

impl Values for Context {
    fn bits(&self, value: Ref) -> Option<u64> {
        Context::bits(self, value)
    }

    fn definition(&self, value: Ref) -> Option<&Op> {
        self.computation(value)
    }

    /// Small numbers and those of narrow types are no addresses.
    fn may_be_address(&self, value: Ref) -> bool {
        let narrow = Range::new(-(1 << 31), (1 << 32) - 1);
        match self.kind(value) {
            Kind::Float => false,
            Kind::Ref => Context::bits(self, value) != Some(0),
            Kind::Int if value.is_const() => !self.range(value).within(Range::new(-4096, 4096)),
            Kind::Int => !self.range(value).within(narrow),
        }
    }
}

/// The load of a place that is known to hold this.
fn forwarded(content: &Content, op: &Op, context: &mut Context) -> Decision {
    let wanted = op.descr().word().expect("a load is of a memory location");
    let value = context.resolve(content.value);
    let whole = if content.stored {
        "forward_store"
    } else {
        "forward_load"
    };
    let rules = [whole, "forward_truncated", "forward_bits"];
    seen_as(value, (content.word(), content.stored), wanted, rules, context).unwrap_or(Decision::Keep)
}

/// The load, as `wanted`, of a place of this word that holds a value, of which it has only the low bytes if it was stored there.
/// `rules`: names for loads of the whole, of low bytes, and of the bits of a float or as one. `None` between ints and
/// pointers: no pointer is made of an int, nor the other way round, for what is known of where it leads would be lost.
pub(crate) fn seen_as(
    value: Ref,
    (held, stored): (Word, bool),
    wanted: Word,
    rules: [&'static str; 3],
    context: &mut Context,
) -> Option<Decision> {
    let [whole, low, bits] = rules;
    let whole = Decision::Equal(whole, value);
    Some(match (held.kind(), wanted.kind()) {
        (held, wanted) if held != wanted => Decision::Replace(bits, bits_of(value, wanted, context)?),
        (Kind::Int, _) if held == wanted && !stored => whole,
        (Kind::Int, _) if wanted.size() == 8 || context.range(value).within(Range::of_word(wanted)) => whole,
        (Kind::Int, _) => Decision::Replace(low, truncated(value, wanted, context)),
        _ => whole,
    })
}

/// The low bytes of an int, extended as a load of `word` would.
fn truncated(value: Ref, word: Word, context: &mut Context) -> Op {
    let bytes = i64::from(word.size());
    if word.is_signed() {
        let bytes = context.int(bytes);
        Op::new(Opcode::IntSignext, &[value, bytes])
    } else {
        let mask = context.int((1 << (8 * bytes)) - 1);
        Op::new(Opcode::IntAnd, &[value, mask])
    }
}

/// An int seen as a float, or the other way round.
fn bits_of(value: Ref, wanted: Kind, context: &Context) -> Option<Op> {
    let opcode = match (context.kind(value), wanted) {
        (Kind::Int, Kind::Float) => Opcode::ConvertLonglongBytesToFloat,
        (Kind::Float, Kind::Int) => Opcode::ConvertFloatBytesToLonglong,
        _ => return None,
    };
    Some(Op::new(opcode, &[value]))
}
