//! Allocation removal: memory that the trace makes is not made until somebody else is told where it is.
//!
//! ```text
//! [i0, i1]                                      [i0, i1]
//! p2 = new(descr=Pair)                          sunk p2 = new(descr=Pair)
//! setfield_gc(p2, i0, descr=Pair.a)             sunk s3 = setfield_gc(p2, i0, descr=Pair.a)
//! guard_true(i1) [p2]                      ──▶  guard_true(i1) [p2] {s3}
//! i3 = getfield_gc_i(p2, descr=Pair.a)          i4 = int_add(i0, 1)
//! i4 = int_add(i3, 1)                           jump(i4, i1, …)
//! jump(i4, i1, …)
//! ```
//!
//! A *virtual* is such an allocation. It is a sunk operation, and what it holds is known: each field that was stored, by its
//! offset. Fields that were not hold zero, for new memory does (`new_with_vtable` has its vtable at offset 0). Loads and stores
//! are absorbed, comparisons of its address folded. An exit whose frames hold it makes it: the guard lists stores of the fields,
//! those of the virtuals that the fields hold among them.
//!
//! *Views* are other values that are computed from its address: `ptr_field`, casts between pointer and int, and so the data
//! pointer of an array, to which a constant is added. They are sunk too, and absorbed in the same way.
//!
//! **Forcing.** Every other use of a virtual or view, and an access that the known fields do not answer (a part of a field, an
//! index that varies, memory outside of the allocation), makes it real: the allocation, its views and the stores of its fields
//! become part of the trace in front of the operation, virtuals that it holds before itself. From then on the driver puts
//! the real value in the place of the sunk one, in snapshots too: an object has one identity. Exits before made one of
//! their own, and nothing behind them runs.
//!
//! At a label the virtuals that its arguments lead to are forced, and all others forgotten: nothing else is visible behind it.
//!
//! Absent: virtuals over a label, virtuals that are stored in memory of exclusive roots, allocations of variable length, of
//! size zero (whose addresses need not differ), and slots (`alloca`).

use crate::context::Context;
use crate::heap::{is_guarded, seen_as};
use crate::peel::Carry;
use crate::{Classes, Decision, Interests, Pass, SunkOrNew};
use metatrace_ir::{Args, Class, Const, Descr, Memory, Op, Opcode, Ref, Trace, Word};
use rustc_hash::{FxHashMap, FxHashSet};

/// The rules of this pass.
pub(crate) const RULES: &[&str] = &[
    "virtual_allocation",
    "virtual_store",
    "virtual_store_of_zero",
    "virtual_load",
    "virtual_load_truncated",
    "virtual_load_bits",
    "virtual_load_of_zero",
    "virtual_view",
    "virtual_compared",
    "virtual_is_nonnull",
    "virtual_is_not_null",
    "forced_allocation",
];

/// Virtuals at a time.
const MAX_VIRTUALS: usize = 512;
/// Known fields of a virtual.
const MAX_FIELDS: usize = 64;

#[derive(Default)]
pub(crate) struct Virtuals {
    virtuals: FxHashMap<Ref, Virtual>,
    /// Where virtuals and views lead to.
    views: FxHashMap<Ref, View>,
    /// Allocations to come that are forced ones.
    forcing: usize,
}

/// A virtual and the distance from its start.
#[derive(Clone, Copy)]
struct View {
    of: Ref,
    offset: i64,
}

/// An allocation that is not made.
struct Virtual {
    allocation: Op,
    size: i64,
    /// In the order of their offsets. They do not overlap.
    fields: Vec<Field>,
    /// The operations that compute views, with their sunk results, in order.
    views: Vec<(Ref, Op)>,
}

/// A word that a virtual holds.
struct Field {
    offset: i64,
    word: Word,
    value: Ref,
    /// What stores it; `None` if the allocation itself does.
    store: Option<Op>,
    /// The sunk store, once an exit needed it.
    sunk: Option<Ref>,
}

/// What is known of some bytes of a virtual.
enum Bytes<'a> {
    Zero,
    Field(&'a Field),
    /// Neither one field nor none, or outside of it.
    Other,
}

impl Pass for Virtuals {
    fn restart(&mut self) {
        self.forget();
        self.forcing = 0;
    }

    fn has_work(&self, input: &Trace) -> bool {
        input.ops.iter().any(|op| op.opcode.class() == Class::Alloc)
    }

    fn interests(&self) -> Interests {
        Interests {
            visited: Classes::ALL,
            before: Classes::of(&[Class::Guard, Class::Control, Class::Overflow, Class::Call]),
            emitted: Classes::NONE,
        }
    }

    fn visit(&mut self, op: &Op, context: &mut Context) -> Decision {
        if op.opcode.class() == Class::Alloc && !op.sunk {
            let decision = self.allocate(op, context);
            if decision != Decision::Keep {
                return decision;
            }
        }
        if !op.args.iter().any(|arg| self.views.contains_key(arg)) {
            return Decision::Keep;
        }
        let absorbed = match op.opcode.class() {
            _ if op.sunk => None,
            Class::Load => self.load(op, context),
            Class::Store => self.store(op, context),
            Class::Pure => self.compare(op, context).or_else(|| self.view(op, context)),
            Class::Guard => self.guard(op),
            _ => None,
        };
        absorbed.unwrap_or_else(|| Decision::First("forced_allocation", self.force(&op.args)))
    }

    fn before(&mut self, op: &mut Op, context: &mut Context) {
        if self.views.is_empty() {
            return;
        }
        if op.opcode.can_exit() {
            let stores = self.sink(&context.exit_values(op), context);
            op.pending = (!stores.is_empty()).then(|| stores.into());
        } else if is_guarded(op) {
            // nothing can stand between the operation and its guard
            let values = context.exit_behind();
            self.sink(&values, context);
        }
    }

    fn enter_loop(&mut self, _carry: Carry, _context: &mut Context) {
        self.forget();
    }

    fn start(&mut self, _before: &[Ref], _behind: &[Ref], _context: &mut Context) {
        self.forget();
    }
}

impl Virtuals {
    fn forget(&mut self) {
        self.virtuals.clear();
        self.views.clear();
    }

    // ---- what is absorbed

    fn allocate(&mut self, op: &Op, context: &mut Context) -> Decision {
        if self.forcing > 0 {
            self.forcing -= 1;
            return Decision::Keep;
        }
        let Some(size) = size_of(op, context).filter(|_| self.virtuals.len() < MAX_VIRTUALS) else {
            return Decision::Keep;
        };
        context.ask_for_exits();
        let value = context.push(Op {
            sunk: true,
            ..op.clone()
        });
        let mut fields = Vec::new();
        if let (Opcode::NewWithVtable, Descr::Size(descr)) = (op.opcode, &**op.descr()) {
            let vtable = descr.vtable.expect("the verifier wants one");
            fields.push(Field {
                offset: 0,
                word: Word::U64,
                value: context.int(vtable as i64),
                store: None,
                sunk: None,
            });
        }
        let allocation = op.clone();
        let views = Vec::new();
        let made = Virtual {
            allocation,
            size,
            fields,
            views,
        };
        self.virtuals.insert(value, made);
        self.views.insert(value, View { of: value, offset: 0 });
        Decision::Equal("virtual_allocation", value)
    }

    /// Where a load or store goes, if it is to a virtual.
    fn place(&self, op: &Op, context: &Context) -> Option<(View, Word)> {
        let base = self.views.get(&op.args[0])?;
        let (distance, word, memory) = match &**op.descr() {
            Descr::Field(field) => (i64::from(field.offset), field.word, field.memory),
            Descr::Array(array) => (item(op, context)?, array.word, array.memory),
            other => unreachable!("no memory location: {other:?}"),
        };
        let offset = base.offset.checked_add(distance)?;
        // accesses to raw memory stay where they are
        (memory != Memory::Raw).then_some((View { offset, ..*base }, word))
    }

    fn load(&self, op: &Op, context: &mut Context) -> Option<Decision> {
        let (place, wanted) = self.place(op, context)?;
        match self.virtuals[&place.of].bytes(place.offset, wanted) {
            Bytes::Zero => {
                let kind = wanted.kind();
                let zero = context.constant(Const { kind, bits: 0 });
                Some(Decision::Equal("virtual_load_of_zero", zero))
            }
            Bytes::Field(field) => {
                let rules = ["virtual_load", "virtual_load_truncated", "virtual_load_bits"];
                let value = context.resolve(field.value);
                seen_as(value, (field.word, true), wanted, rules, context)
            }
            Bytes::Other => None,
        }
    }

    fn store(&mut self, op: &Op, context: &Context) -> Option<Decision> {
        let (place, word) = self.place(op, context)?;
        let value = *op.args.last().expect("a store has a value");
        let of = self.virtuals.get_mut(&place.of).expect("views lead to virtuals");
        match of.bytes(place.offset, word) {
            Bytes::Other => return None,
            Bytes::Zero if context.bits(value) == Some(0) => return Some(Decision::Remove("virtual_store_of_zero")),
            Bytes::Zero if of.fields.len() == MAX_FIELDS => return None,
            Bytes::Zero | Bytes::Field(_) => {}
        }
        of.set(Field {
            offset: place.offset,
            word,
            value,
            store: Some(op.clone()),
            sunk: None,
        });
        Some(Decision::Remove("virtual_store"))
    }

    /// Two pointers of which one at least is a virtual's: nothing else lies where new memory does.
    fn compare(&self, op: &Op, context: &mut Context) -> Option<Decision> {
        let negated = match op.opcode {
            Opcode::PtrEq => false,
            Opcode::PtrNe => true,
            _ => return None,
        };
        let views = [op.args[0], op.args[1]].map(|arg| self.views.get(&arg).copied());
        // the end of an object may be the start of another
        let inside = |view: View| (0..self.virtuals[&view.of].size).contains(&view.offset);
        let equal = match views {
            [Some(a), Some(b)] if a.of == b.of => a.offset == b.offset,
            views if views.into_iter().flatten().all(inside) => false,
            _ => return None,
        };
        Some(Decision::Equal(
            "virtual_compared",
            context.int((equal ^ negated).into()),
        ))
    }

    /// An address that is computed from a virtual's.
    fn view(&mut self, op: &Op, context: &mut Context) -> Option<Decision> {
        let base = *self.views.get(&op.args[0])?;
        let distance = match (op.opcode, op.descr.as_deref()) {
            (Opcode::PtrField, Some(Descr::Field(field))) => field.offset.into(),
            (Opcode::PtrItem, _) => item(op, context)?,
            (Opcode::IntAdd, _) => context.bits(op.args[1])? as i64,
            (Opcode::CastPtrToInt | Opcode::CastIntToPtr | Opcode::SameAsI | Opcode::SameAsR, _) => 0,
            _ => return None,
        };
        let offset = base.offset.checked_add(distance)?;
        let value = context.push(Op {
            sunk: true,
            ..op.clone()
        });
        let of = self.virtuals.get_mut(&base.of).expect("views lead to virtuals");
        of.views.push((value, op.clone()));
        self.views.insert(value, View { offset, ..base });
        Some(Decision::Equal("virtual_view", value))
    }

    fn guard(&self, op: &Op) -> Option<Decision> {
        let view = self.views.get(op.args.first()?)?;
        // an address far from it may be any
        if !(0..self.virtuals[&view.of].size).contains(&view.offset) {
            return None;
        }
        match op.opcode {
            Opcode::GuardNonnull => Some(Decision::Remove("virtual_is_nonnull")),
            Opcode::GuardIsnull => {
                let mut fails = op.clone();
                fails.opcode = Opcode::GuardAlwaysFails;
                fails.args = Args::default();
                Some(Decision::Replace("virtual_is_not_null", fails))
            }
            _ => None,
        }
    }

    // ---- exits

    /// The virtuals that these values lead to, those that a virtual holds before it, as far as they do not hold each other.
    fn reached(&self, values: &[Ref]) -> Vec<Ref> {
        enum Step {
            Enter(Ref),
            Leave(Ref),
        }
        let mut order = Vec::new();
        let mut seen = FxHashSet::default();
        let mut steps: Vec<Step> = values.iter().rev().map(|value| Step::Enter(*value)).collect();
        while let Some(step) = steps.pop() {
            match step {
                Step::Leave(of) => order.push(of),
                Step::Enter(value) => {
                    if let Some(view) = self.views.get(&value)
                        && seen.insert(view.of)
                    {
                        steps.push(Step::Leave(view.of));
                        let fields = self.virtuals[&view.of].fields.iter().rev();
                        steps.extend(fields.map(|field| Step::Enter(field.value)));
                    }
                }
            }
        }
        order
    }

    /// The stores, as sunk operations, of what is held by the virtuals that these values lead to.
    fn sink(&mut self, values: &[Ref], context: &mut Context) -> Vec<Ref> {
        let mut stores = Vec::new();
        for of in self.reached(values) {
            let fields = &mut self.virtuals.get_mut(&of).expect("reached").fields;
            for field in fields {
                let Some(store) = &mut field.store else { continue };
                let value = context.resolve(field.value);
                if value != field.value {
                    (field.value, field.sunk) = (value, None);
                    *store.args.last_mut().expect("a store has a value") = value;
                }
                stores.push(*field.sunk.get_or_insert_with(|| {
                    context.push(Op {
                        sunk: true,
                        ..store.clone()
                    })
                }));
            }
        }
        stores.sort_unstable();
        stores
    }

    // ---- forcing

    /// What makes the virtuals real that these values lead to. They are virtuals no longer.
    fn force(&mut self, values: &[Ref]) -> Vec<(SunkOrNew, Op)> {
        let order = self.reached(values);
        self.forcing = order.len();
        let mut ops = Vec::new();
        let mut made = FxHashSet::default();
        let mut late = Vec::new();
        for of in order {
            let Virtual {
                allocation,
                fields,
                views,
                ..
            } = self.virtuals.remove(&of).expect("reached");
            made.insert(of);
            ops.push((Some(of), allocation));
            ops.extend(views.into_iter().map(|(value, op)| (Some(value), op)));
            for field in fields {
                let Some(store) = field.store else { continue };
                // virtuals that hold each other
                let is_made = self.views.get(&field.value).is_none_or(|view| made.contains(&view.of));
                let ops = if is_made { &mut ops } else { &mut late };
                ops.push((None, store));
            }
        }
        self.views.retain(|_, view| !made.contains(&view.of));
        ops.append(&mut late);
        ops
    }
}

impl Field {
    fn end(&self) -> i64 {
        self.offset + i64::from(self.word.size())
    }
}

impl Virtual {
    fn bytes(&self, at: i64, word: Word) -> Bytes<'_> {
        let size = i64::from(word.size());
        if at < 0 || at > self.size - size {
            return Bytes::Other;
        }
        let start = self.fields.partition_point(|field| field.end() <= at);
        let end = self.fields.partition_point(|field| field.offset < at + size);
        match &self.fields[start..end] {
            [] => Bytes::Zero,
            [field] if field.offset == at && field.word.size() == word.size() => Bytes::Field(field),
            _ => Bytes::Other,
        }
    }

    /// A field that overlaps no other, or one that is all of it.
    fn set(&mut self, field: Field) {
        match self.fields.binary_search_by_key(&field.offset, |known| known.offset) {
            Ok(n) => self.fields[n] = field,
            Err(n) => self.fields.insert(n, field),
        }
    }
}

/// The size of an allocation that may stay virtual.
fn size_of(op: &Op, context: &Context) -> Option<i64> {
    let size = match (op.opcode, &**op.descr()) {
        (Opcode::New, Descr::Size(descr)) => i64::from(descr.size),
        // there is room for the vtable
        (Opcode::NewWithVtable, Descr::Size(descr)) => i64::from(descr.size).max(8),
        (Opcode::NewArray, Descr::Array(descr)) => {
            let length = i64::try_from(context.bits(op.args[0])?).ok()?;
            length.checked_mul(descr.item_size.into())?
        }
        _ => return None,
    };
    (size > 0).then_some(size)
}

/// How far the item of an array is from its data pointer, if the index is known.
fn item(op: &Op, context: &Context) -> Option<i64> {
    let index = context.bits(op.args[1])? as i64;
    let descr = op.descr().array();
    index
        .checked_mul(descr.item_size.into())?
        .checked_add(descr.offset.into())
}
