//! Control flow as twins call it: blocks, tests, joins, scopes, returns.
//!
//! Every arm of the author's control flow is a labelled block of the twin that yields `Some` value, or `None` where it
//! diverges after having recorded its edge. So divergence is rustc's own `!`.

use crate::builder::{Builder, JoinState, ValueId, with};
use crate::handles::{AnyVar, Place, Var};
use crate::natives;
use crate::place::{PlaceId, PlaceKind, RootHome};
use crate::shims;
use crate::types::Type;
use metatrace_graph::{Blk, Op, Operand, Term, VReg};
use std::marker::PhantomData;

/// Begins the twin of a function that returns `R`.
#[inline(never)]
pub fn begin<R>(name: &'static str, edition_2024: bool, overflow_checks: bool) {
    begin_of(Type::of::<R>(), name, edition_2024, overflow_checks);
}

#[inline(never)]
fn begin_of(result: Type, name: &'static str, edition_2024: bool, overflow_checks: bool) {
    with(|b| b.begin(name, result, edition_2024, overflow_checks));
}

/// A parameter, which becomes a local.
#[inline(never)]
pub fn param<T>() -> Place<T> {
    Place::new(param_of(Type::of::<T>()))
}

#[inline(never)]
fn param_of(ty: Type) -> PlaceId {
    with(|b| b.param(ty))
}

/// A fresh block.
#[inline(never)]
pub fn block() -> Blk {
    with(|b| b.graph.block())
}

/// Goes on in that block.
#[inline(never)]
pub fn switch(block: Blk) {
    with(|b| b.current = block);
}

/// The current block.
#[inline(never)]
pub fn cur() -> Blk {
    with(|b| b.current)
}

/// Ends the block with a jump.
#[inline(never)]
pub fn goto(to: Blk) {
    with(|b| b.goto(to));
}

/// Goes on where `cond` holds, else goes to `fail`.
#[inline(never)]
pub fn test(cond: Var<bool>, fail: Blk) {
    with(|b| {
        let cond = b.word(cond.__value());
        b.test(cond, fail);
    });
}

/// Closes the scopes of a condition, and goes on where it holds, else goes to `fail`.
#[inline(never)]
pub fn test_leaving(depth: usize, cond: Var<bool>, fail: Blk) {
    with(|b| {
        let cond = b.leave_scopes(depth, cond.__value());
        let cond = b.word(cond);
        b.test(cond, fail);
    });
}

/// How many scopes are open.
#[inline(never)]
pub fn depth() -> usize {
    with(|b| b.scopes.len())
}

/// Opens a scope, of temporaries or of locals.
#[inline(never)]
pub fn scope(temporaries: bool) -> usize {
    with(|b| {
        let depth = b.push_scope(temporaries);
        b.scopes_changed();
        depth
    })
}

/// A scope for temporaries in edition 2024; before, they belong to the enclosing one.
#[inline(never)]
pub fn scope24() -> usize {
    if with(|b| b.edition_2024) { scope(true) } else { depth() }
}

/// What scopes own at some time. A number, so that twins have nothing to drop when they unwind.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot(u32);

/// What the scopes from `depth` upwards own.
#[inline(never)]
pub fn snap(depth: usize) -> Snapshot {
    with(|b| {
        let owned = b.owned_above(depth);
        b.snapshots.push(owned);
        Snapshot(b.snapshots.len() as u32 - 1)
    })
}

/// Drops that.
#[inline(never)]
pub fn drop_list(snapshot: &Snapshot) {
    with(|b| {
        let owned = b.snapshots[snapshot.0 as usize].clone();
        b.drop_owners(&owned);
    });
}

/// Drops what the scopes from `depth` upwards own; they stay open.
#[inline(never)]
pub fn unwind_to(depth: usize) {
    with(|b| b.unwind_to(depth));
}

/// Closes the scopes from `depth` upwards.
#[inline(never)]
pub fn pop(depth: usize) {
    with(|b| b.pop_scopes(depth));
}

/// The end of a block without a value: closes the scopes from `depth` upwards.
#[inline(never)]
pub fn done(depth: usize) -> Var<()> {
    pop(depth);
    unit()
}

/// Forgets the scopes from `depth` upwards: control has left them.
#[inline(never)]
pub fn trunc(depth: usize) {
    with(|b| b.truncate_scopes(depth));
}

/// Closes scopes with a value that outlives what they own. `V` is `Var<T>`, or what rustc falls back to where the scope
/// has diverged.
#[inline(never)]
pub fn leave<V>(depth: usize, value: V) -> V {
    match shims::number_of_handle(&value) {
        None => value,
        Some(id) => shims::handle_of_number(leave_with(depth, ValueId(id)).0),
    }
}

#[inline(never)]
fn leave_with(depth: usize, value: ValueId) -> ValueId {
    with(|b| b.leave_scopes(depth, value))
}

/// Returns from the function.
#[inline(never)]
pub fn ret<T>(value: &Var<T>) {
    return_value(value.__value());
}

#[inline(never)]
fn return_value(value: ValueId) {
    with(|b| b.return_value(value));
}

/// The end of a block that cannot be reached.
#[inline(never)]
pub fn unreachable_() {
    with(|b| b.end(Term::Unreachable));
}

/// Calls a function that has jitcode.
#[inline(never)]
pub fn call<R>(key: fn(), args: &[AnyVar]) -> Var<R> {
    let ty = Type::of::<R>();
    let args: Vec<u32> = args.iter().map(|arg| arg.0).collect();
    let name = crate::library::name_of_key(key);
    Var::number(natives::inline(key as usize, name, &args, ty))
}

/// `()`.
#[inline(never)]
pub fn unit() -> Var<()> {
    Var::new(with(Builder::unit))
}

/// Where the arms of a branch, or the `break`s of a loop, meet. `V` is `Var<T>`, or what rustc falls back to where every
/// arm diverges.
pub struct Join<V> {
    id: u32,
    of: PhantomData<fn() -> V>,
}

impl<V> Clone for Join<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Join<V> {}

impl<V> std::fmt::Debug for Join<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Join({})", self.id)
    }
}

#[inline(never)]
fn new_join() -> u32 {
    with(|b| {
        let (block, depth) = (b.graph.block(), b.scopes.len());
        b.joins.push(JoinState {
            block,
            depth,
            value: None,
            owned: false,
        });
        b.joins.len() as u32 - 1
    })
}

impl<V> Join<V> {
    /// A join in the current scope.
    #[allow(clippy::new_without_default)]
    #[inline(never)]
    pub fn new() -> Join<V> {
        Join {
            id: new_join(),
            of: PhantomData,
        }
    }

    /// How many scopes were open when it was made.
    #[inline(never)]
    pub fn depth(self) -> usize {
        join_depth(self.id)
    }

    /// An edge to the join, which leaves every scope inside it.
    #[inline(never)]
    pub fn brk(self, value: V) {
        let id = shims::number_of_handle(&value).expect("an arm that does not diverge has a value");
        join_edge(self.id, ValueId(id));
    }

    /// The end of an arm.
    #[inline(never)]
    pub fn arm(self, value: Option<V>) {
        if let Some(value) = value {
            self.brk(value);
        }
        trunc(self.depth());
    }

    /// The end of an arm behind a test, which goes on where the test fails.
    #[inline(never)]
    pub fn case(self, value: Option<V>, fail: Blk) {
        self.arm(value);
        switch(fail);
    }

    /// Goes on where the arms meet; `None` where none gets there.
    #[inline(never)]
    pub fn end(self) -> Option<V> {
        join_end(self.id).map(|id| shims::handle_of_number(id.0))
    }
}

#[inline(never)]
fn join_depth(join: u32) -> usize {
    with(|b| b.joins[join as usize].depth)
}

#[inline(never)]
fn join_edge(join: u32, value: ValueId) {
    with(|b| {
        let (ty, words) = (b.get(value).ty, b.words(value));
        if b.joins[join as usize].value.is_none() {
            let kinds: Vec<_> = ty.shape().kinds().collect();
            let regs = kinds.into_iter().map(|kind| b.reg(kind)).collect();
            b.joins[join as usize].value = Some((ty, regs));
        }
        let regs = b.joins[join as usize]
            .value
            .as_ref()
            .map(|(_, regs)| regs.clone())
            .expect("just set");
        for (dst, src) in regs.into_iter().zip(words) {
            b.emit(Op::Move { dst, src });
        }
        b.joins[join as usize].owned |= b.get(value).owner.is_some();
        b.consume(value);
        let JoinState { block, depth, .. } = b.joins[join as usize];
        b.unwind_to(depth);
        b.goto(block);
    });
}

#[inline(never)]
fn join_end(join: u32) -> Option<ValueId> {
    with(|b| {
        let JoinState { block, depth, .. } = b.joins[join as usize];
        b.truncate_scopes(depth);
        b.current = block;
        let (ty, regs) = b.joins[join as usize].value.clone()?;
        let words = regs.into_iter().map(Operand::Reg).collect();
        let owned = b.joins[join as usize].owned;
        Some(if owned {
            b.owned_value(ty, words)
        } else {
            b.value(ty, words)
        })
    })
}

/// `continue`: goes to a loop's head.
#[inline(never)]
pub fn cont(head: Blk, depth: usize) {
    with(|b| {
        b.unwind_to(depth);
        b.goto(head);
    });
}

/// The end of a loop's body.
#[inline(never)]
pub fn again(value: Option<Var<()>>, head: Blk, depth: usize) {
    if value.is_some() {
        cont(head, depth);
    }
    trunc(depth);
}

impl Builder {
    fn param(&mut self, ty: Type) -> PlaceId {
        self.params.push(ty);
        let words: Vec<VReg> = if self.portal.is_some() && ty.drop.is_some() {
            let address = self.reg(metatrace_ir::Kind::Ref);
            let mem = crate::place::Mem::behind(Operand::Reg(address), ty.name.as_str().into());
            self.graph.params.push(address);
            if let Some(portal) = &mut self.portal {
                portal.params.push(crate::builder::PortalParam {
                    ty,
                    regs: vec![address],
                    root: None,
                });
            }
            return self.mem_place(mem);
        } else {
            let kinds: Vec<_> = ty.shape().kinds().collect();
            kinds.into_iter().map(|kind| self.reg(kind)).collect()
        };
        self.graph.params.extend(&words);
        let root = self.new_root(ty, true);
        if let RootHome::Unset = self.roots[root as usize].home {
            self.roots[root as usize].home = RootHome::Regs(words.clone());
        }
        let place = self.place(PlaceKind::Root(root));
        if self.is_addressed(root) {
            let operands: Vec<_> = words.iter().map(|reg| Operand::Reg(*reg)).collect();
            self.write(place, ty, &operands);
        }
        let owners = self.roots[root as usize].owners.clone();
        self.owns(&owners);
        if let Some(portal) = &mut self.portal {
            portal.params.push(crate::builder::PortalParam {
                ty,
                regs: words,
                root: Some(root),
            });
        }
        place
    }

    pub(crate) fn return_value(&mut self, value: ValueId) {
        let words = self.words(value);
        self.consume(value);
        self.unwind_to(0);
        self.end(Term::Return(words));
    }

    /// A place for the loads of a receiver, and that place with its loads there.
    pub(crate) fn receiver(&mut self, place: PlaceId) -> PlaceId {
        if self.sequence.is_some() {
            return self.place_in(place, self.sequence);
        }
        self.graph.sequences.push(Vec::new());
        let sequence = self.graph.sequences.len() as u32 - 1;
        self.emit(Op::Sequence(sequence));
        self.place_in(place, Some(sequence))
    }

    /// Emits into a place's placeholder until the returned one is put back.
    pub(crate) fn enter_sequence_of(&mut self, place: PlaceId) -> Option<u32> {
        let outer = self.sequence;
        if let Some(sequence) = self.places[place.0 as usize].sequence {
            self.sequence = Some(sequence);
        }
        outer
    }
}
