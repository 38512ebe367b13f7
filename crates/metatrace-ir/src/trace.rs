//! A trace: inputs, operations, constants, snapshots, roots.
//!
//! ```text
//! [p0, i1]
//! label(p0, i1, descr=TargetToken(1))
//! i2 = getfield_gc_i(p0, descr=…)
//! i3 = int_lt(i1, i2)
//! guard_true(i3) [p0, i1]
//! i4 = int_add(i1, 1)
//! jump(p0, i4, descr=TargetToken(1))
//! ```
//!
//! Invariants (the verifier's): operands are defined before use; behind a `label` only its arguments and constants are
//! defined, and its arguments are distinct values that each `jump` to it assigns anew; guards and `finish`, and only they,
//! have a snapshot; the last operation, and only it, is `jump` or `finish`.
//!
//! A *snapshot* is the chain of interpreter frames at a guard, innermost first; outer frames are shared between the
//! guards of one call. It is the truth while a trace is recorded and optimised.
//!
//! A *sunk* operation is not executed where it stands, but by the exits that need it:
//!
//! ```text
//! sunk i3 = int_add(i1, -9)                            only exits need the sum
//! sunk s4 = setfield_gc(p0, i3, descr=Frame.pc)        a pending store
//! guard_true(i2) [p0, i1] {s4}                         an exit here adds and stores, then rebuilds its frame
//! ```
//!
//! So an exit is a small program ([`Exit`]): the sunk operations that the snapshot's values depend on, and the stores that
//! are *pending* at the guard with what they depend on, in the order of the trace. It runs before the frames are rebuilt; a
//! bridge begins with the same operations. Sunk are pure operations, allocations, and stores; and `record_true`, which is never
//! executed, with what only it needs. Nothing in line depends on a sunk operation.

use crate::args::Args;
use crate::descr::{DescrRef, Effect, Word};
use crate::op::{Class, Opcode};
use crate::value::{Const, Constant, Kind, Ref};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;
use std::rc::Rc;

/// Names a guard (or a `finish`) for its whole life: unique within a driver, printed as `<Guard0x…>`. While a trace is
/// optimised, the name says which recorded guard it is: a peeled loop has it in each of its rounds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct GuardId(pub u32);

/// Names a jitcode within its store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct JitCodeId(pub u32);

/// Index of a snapshot in its trace.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct SnapshotId(pub u32);

/// Where a frame of a snapshot resumes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Frame {
    /// The function.
    pub jitcode: JitCodeId,
    /// The instruction at which it resumes.
    pub pc: u32,
}

/// One interpreter frame at a guard, and the frames that called it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Snapshot {
    /// Which frame; `None` in traces written by hand, whose guards list just values.
    pub frame: Option<Frame>,
    /// The frame's live values, in the order of the jitcode's liveness. There are many snapshots, and few values in most.
    pub values: SmallVec<[Ref; 12]>,
    /// The caller's frame.
    pub parent: Option<SnapshotId>,
}

/// An operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Op {
    /// What it does.
    pub opcode: Opcode,
    /// Its operands.
    pub args: Args,
    /// Its descriptor, for the operations that need one.
    pub descr: Option<DescrRef>,
    /// Guards and `finish`: the frames at it.
    pub snapshot: Option<SnapshotId>,
    /// Guards and `finish`: their name, once the trace goes to a backend.
    pub guard: Option<GuardId>,
    /// Whether it is not executed where it stands, but by the exits that need it.
    pub sunk: bool,
    /// Guards: it may fail although what was recorded at its place holds, so that its failure decides nothing of that.
    pub early: bool,
    /// Guards and `finish`: the sunk stores that are pending there, in the order in which they are to be executed.
    pub pending: Option<Rc<[Ref]>>,
}

/// What an exit needs. Behind a guard's failure `program` is executed, then the frames of the snapshot are rebuilt.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Exit {
    /// The values of the trace that it needs, each once, without constants: those in frames, outermost frame first, then
    /// those that only the program needs. The order is the contract between the backend, which delivers them, and the
    /// resume data, which refers to them by position.
    pub values: Vec<Ref>,
    /// The sunk operations, in the order of their execution.
    pub program: Vec<Ref>,
}

/// Visits the frames of exits, each frame once however many exits share it.
#[derive(Default, Debug)]
pub struct FramesOnce {
    /// By snapshot: whether it was visited.
    met: Vec<bool>,
}

impl FramesOnce {
    /// Of a trace that gets no further snapshots meanwhile.
    pub fn new(trace: &Trace) -> FramesOnce {
        let mut frames = FramesOnce::default();
        frames.restart(trace);
        frames
    }

    /// Visits those of another trace, or all once more, in the same memory.
    pub fn restart(&mut self, trace: &Trace) {
        self.met.clear();
        self.met.resize(trace.snapshots.len(), false);
    }

    /// Those of the frames at an operation that were at none before; none if it has no exit. To be gone through to its end:
    /// what is left out is not visited again.
    pub fn of<'a>(&mut self, trace: &'a Trace, op: &Op) -> impl Iterator<Item = &'a Snapshot> {
        let frames = op.snapshot.into_iter().flat_map(|innermost| trace.frame_ids(innermost));
        // a frame's callers are visited with it
        let new = frames.take_while(|id| !std::mem::replace(&mut self.met[id.0 as usize], true));
        new.map(|id| &trace.snapshots[id.0 as usize])
    }
}

/// Finds the exits of a trace, one after the other, in memory that it keeps.
#[derive(Default, Debug)]
pub struct Exits {
    /// By value: the last exit that has met it.
    met: Vec<u32>,
    count: u32,
    found: Exit,
}

impl Exits {
    /// Goes to another trace.
    pub fn restart(&mut self) {
        self.met.clear();
        self.count = 0;
    }

    /// As [`Trace::exit`]; all between two [restarts](Self::restart) are of one trace.
    pub fn of(&mut self, trace: &Trace, op: &Op) -> &Exit {
        let Exits { met, count, found } = self;
        met.resize(trace.value_count(), 0);
        *count += 1;
        found.values.clear();
        found.values.reserve(32);
        found.program.clear();
        trace.find_exit(op, found, |value| {
            let n = value.as_value().expect("constants are not asked about");
            std::mem::replace(&mut met[n], *count) != *count
        });
        found
    }
}

impl Op {
    /// An operation without descriptor and snapshot.
    #[inline]
    pub fn new(opcode: Opcode, args: &[Ref]) -> Op {
        Op {
            opcode,
            args: Args::new(args),
            descr: None,
            snapshot: None,
            guard: None,
            sunk: false,
            early: false,
            pending: None,
        }
    }

    /// With a descriptor.
    pub fn with_descr(opcode: Opcode, args: &[Ref], descr: DescrRef) -> Op {
        Op {
            descr: Some(descr),
            ..Op::new(opcode, args)
        }
    }

    /// With a snapshot.
    #[inline]
    pub fn with_snapshot(opcode: Opcode, args: &[Ref], snapshot: SnapshotId) -> Op {
        Op {
            snapshot: Some(snapshot),
            ..Op::new(opcode, args)
        }
    }

    /// The descriptor. Panics where there is none: the verifier has let a wrong operation through.
    #[inline]
    pub fn descr(&self) -> &DescrRef {
        self.descr
            .as_ref()
            .unwrap_or_else(|| panic!("{} without a descriptor", self.opcode.name()))
    }
}

/// What is known of the memory behind an input that is a pointer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RootKind {
    /// A `&mut` parameter: nobody else reads or writes what it owns while the trace runs.
    Exclusive,
    /// A `&` parameter: what it reaches along frozen paths does not change while the trace runs.
    Shared,
    /// A green: what it reaches along frozen paths does not change while the driver lives.
    Green,
}

/// A fact about an input; what is known of constants is part of the [reference](Ref). Where the input is an argument of a `label`, the fact holds of the argument
/// behind it: whoever jumps there passes a pointer of which the same is known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Root {
    /// The input: a pointer, or the data pointer of a slice.
    pub value: Ref,
    /// What is known.
    pub kind: RootKind,
}

/// How a pointer leads into the memory of an exclusive root.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reach {
    /// Into the memory that the root points to.
    Inside,
    /// Into memory that is owned by that, at any distance.
    Below,
    /// Into either, or into other memory.
    Perhaps,
}

/// A fact about an input that is no root itself: it was computed from an exclusive root, so it leads into the root's
/// memory. There may be several about one input, if they all say [`Reach::Perhaps`]. Behind a `label` they are forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Derived {
    /// The input.
    pub value: Ref,
    /// An exclusive root.
    pub root: Ref,
    /// How far into it.
    pub reach: Reach,
}

/// A fact about an input that is an int: it is one of the word's numbers, as if it were loaded from there. Where the input is
/// an argument of a `label`, the fact holds of the argument behind it, as those of roots do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct InputWord {
    /// The input.
    pub value: Ref,
    /// A word narrower than any int.
    pub word: Word,
}

/// So many operations, and a guard among four of them, most recordings have: where traces are made one after the other in the
/// same memory, it does not grow step by step.
const USUAL_OPS: usize = 1 << 9;
const USUAL_SNAPSHOTS: usize = USUAL_OPS / 4;

/// A trace. See the module's documentation.
#[derive(Clone, Default, Debug)]
pub struct Trace {
    /// Kinds of the inputs, which are values 0, 1, ….
    pub inputs: Vec<Kind>,
    /// Facts about inputs.
    pub roots: Vec<Root>,
    /// Inputs that lead into the memory of roots.
    pub derived: Vec<Derived>,
    /// Inputs that are not just any int.
    pub words: Vec<InputWord>,
    /// The operations.
    pub ops: Vec<Op>,
    /// The constants that are not small, without repetition.
    consts: Vec<Const>,
    const_index: FxHashMap<Const, Ref>,
    /// Snapshots; a parent comes before its children. Those that no operation leads to mean nothing.
    pub snapshots: Vec<Snapshot>,
}

impl Trace {
    /// An empty trace with these inputs.
    pub fn new(inputs: Vec<Kind>) -> Trace {
        Trace {
            inputs,
            ..Trace::default()
        }
    }

    /// Empties the trace for another to be made in the same memory; what only long traces need is given back.
    pub fn clear(&mut self) {
        const LONG: usize = 1 << 12;
        if self.ops.capacity() > LONG || self.snapshots.capacity() > LONG {
            *self = Trace::default();
            return;
        }
        self.inputs.clear();
        self.roots.clear();
        self.derived.clear();
        self.words.clear();
        self.ops.clear();
        self.consts.clear();
        self.const_index.clear();
        self.snapshots.clear();
    }

    /// Goes to the start of a trace that is made of `other`: with its inputs, what is known of them, and room for as much as it
    /// has and a bit more, or for what is usual.
    pub fn restart_like(&mut self, other: &Trace) {
        self.clear();
        self.inputs.extend_from_slice(&other.inputs);
        self.roots.extend_from_slice(&other.roots);
        self.derived.extend_from_slice(&other.derived);
        self.words.extend_from_slice(&other.words);
        let (ops, snapshots) = (other.ops.len() + other.ops.len() / 8, other.snapshots.len());
        self.reserve(ops.max(USUAL_OPS), snapshots.max(USUAL_SNAPSHOTS));
    }

    /// Makes room for as many operations and snapshots as most traces have.
    pub fn reserve_usual(&mut self) {
        self.reserve(USUAL_OPS, USUAL_SNAPSHOTS);
    }

    /// Makes room for so many more operations and snapshots.
    pub fn reserve(&mut self, ops: usize, snapshots: usize) {
        self.ops.reserve(ops);
        self.snapshots.reserve(snapshots);
    }

    /// The value of input `n`.
    #[inline]
    pub fn input(&self, n: usize) -> Ref {
        assert!(n < self.inputs.len(), "the trace has {} inputs", self.inputs.len());
        Ref::value(n)
    }

    /// The value that operation `n` defines.
    #[inline]
    pub fn result(&self, n: usize) -> Ref {
        Ref::value(self.inputs.len() + n)
    }

    /// The operation that defines `value`; `None` for inputs and constants.
    #[inline]
    pub fn defining_op(&self, value: Ref) -> Option<usize> {
        value.as_value()?.checked_sub(self.inputs.len())
    }

    /// As [`defining_op`](Self::defining_op), if that operation is `part` or one behind it.
    #[inline]
    pub fn defining_op_in(&self, value: Ref, part: usize) -> Option<usize> {
        self.defining_op(value).filter(|definition| *definition >= part)
    }

    /// The number of values: inputs and operations.
    #[inline]
    pub fn value_count(&self) -> usize {
        self.inputs.len() + self.ops.len()
    }

    /// Appends an operation; returns the value it defines (not to be used if it has no result).
    #[inline]
    pub fn push(&mut self, op: Op) -> Ref {
        self.ops.push(op);
        self.result(self.ops.len() - 1)
    }

    /// The reference to a constant, entered into the table when it is new and not small.
    #[inline]
    pub fn constant(&mut self, constant: Const) -> Ref {
        match Ref::small(constant) {
            Some(small) => small,
            None => self.entry(constant),
        }
    }

    fn entry(&mut self, constant: Const) -> Ref {
        let consts = &mut self.consts;
        *self.const_index.entry(constant).or_insert_with(|| {
            consts.push(constant);
            Ref::constant(consts.len() - 1)
        })
    }

    /// The reference to a constant of another trace, green if it is there.
    ///
    /// # Panics
    /// If `value` is no constant of it.
    pub fn constant_of(&mut self, other: &Trace, value: Ref) -> Ref {
        let constant = other.as_const(value).expect("a constant");
        let known = self.constant(constant);
        if value.is_green() { known.green() } else { known }
    }

    /// As [`constant_of`](Self::constant_of), for many of one trace: `known` is what has been asked before, by index.
    #[inline]
    pub fn constant_from(&mut self, other: &Trace, value: Ref, known: &mut Vec<Option<Ref>>) -> Ref {
        let n = match value.as_const().expect("a constant") {
            Constant::Small(_) => return value,
            Constant::Entry(n) => n,
        };
        if known.len() <= n {
            known.resize(other.consts.len(), None);
        }
        let plain = *known[n].get_or_insert_with(|| self.entry(other.consts[n]));
        if value.is_green() { plain.green() } else { plain }
    }

    /// The constants that the operations and snapshots have, in their order, with repetitions; also of snapshots that no
    /// operation has.
    pub fn constants(&self) -> impl Iterator<Item = Const> {
        let of_ops = self.ops.iter().flat_map(|op| &op.args);
        let of_snapshots = self.snapshots.iter().flat_map(|snapshot| &snapshot.values);
        of_ops.chain(of_snapshots).filter_map(|value| self.as_const(*value))
    }

    /// As [`as_const`](Self::as_const); `None`, too, where the table has no such entry.
    #[inline]
    pub(crate) fn find_const(&self, value: Ref) -> Option<Const> {
        match value.as_const()? {
            Constant::Small(constant) => Some(constant),
            Constant::Entry(n) => self.consts.get(n).copied(),
        }
    }

    /// The constant behind a reference; `None` for other values.
    #[inline]
    pub fn as_const(&self, value: Ref) -> Option<Const> {
        value
            .is_const()
            .then(|| self.find_const(value).expect("a constant of this trace"))
    }

    /// The kind of a value.
    ///
    /// # Panics
    /// If the value is an operation's that has no result.
    #[inline]
    pub fn kind(&self, value: Ref) -> Kind {
        if let Some(constant) = self.as_const(value) {
            return constant.kind;
        }
        match self.defining_op(value) {
            None => self.inputs[value.as_value().expect("not a constant")],
            Some(n) => {
                let op = &self.ops[n];
                op.opcode
                    .result()
                    .unwrap_or_else(|| panic!("{} has no result", op.opcode.name()))
            }
        }
    }

    /// What is still known of roots behind a label with these arguments, if no label is before it.
    pub fn roots_behind(&self, args: &[Ref]) -> Vec<Root> {
        let is_arg = |root: &&Root| args.contains(&root.value);
        self.roots.iter().filter(is_arg).copied().collect()
    }

    /// Appends a snapshot.
    #[inline]
    pub fn add_snapshot(&mut self, snapshot: Snapshot) -> SnapshotId {
        let id = SnapshotId(self.snapshots.len() as u32);
        self.snapshots.push(snapshot);
        id
    }

    /// The chain of frames from `innermost` outwards.
    pub fn frames(&self, innermost: SnapshotId) -> impl Iterator<Item = &Snapshot> {
        self.frame_ids(innermost).map(|id| &self.snapshots[id.0 as usize])
    }

    fn frame_ids(&self, innermost: SnapshotId) -> impl Iterator<Item = SnapshotId> {
        std::iter::successors(Some(innermost), |id| self.snapshots[id.0 as usize].parent)
    }

    /// Whether operation `n` has no effect but its result: nobody misses it when that is not needed.
    pub fn is_removable(&self, n: usize) -> bool {
        let op = &self.ops[n];
        match op.opcode.class() {
            Class::Pure | Class::Partial | Class::Load | Class::Alloc => true,
            Class::Store => op.sunk,
            Class::Overflow => {
                let next = self.ops.get(n + 1).map(|op| op.opcode);
                !matches!(next, Some(Opcode::GuardNoOverflow | Opcode::GuardOverflow))
            }
            Class::Call => {
                let call = op.descr().call();
                call.effect == Effect::Elidable && !call.can_panic
            }
            Class::Guard | Class::Control | Class::Debug => false,
        }
    }

    /// The sunk operation that computes `value`, if one does.
    #[inline]
    pub fn sunk_op(&self, value: Ref) -> Option<&Op> {
        let op = &self.ops[self.defining_op(value)?];
        op.sunk.then_some(op)
    }

    /// What an exit at this operation, a guard or `finish`, needs; nothing at others. Who asks for many has [`Exits`].
    pub fn exit(&self, op: &Op) -> Exit {
        let mut exit = Exit::default();
        let mut seen = FxHashSet::default();
        self.find_exit(op, &mut exit, |value| seen.insert(value));
        exit
    }

    /// `is_first`: whether it is asked about the value, which is no constant, for the first time.
    fn find_exit(&self, op: &Op, exit: &mut Exit, mut is_first: impl FnMut(Ref) -> bool) {
        let mut frames: SmallVec<[SnapshotId; 8]> = SmallVec::new();
        let mut next = op.snapshot;
        while let Some(id) = next {
            frames.push(id);
            next = self.snapshots[id.0 as usize].parent;
        }
        if frames.is_empty() {
            return;
        }
        let mut needed: SmallVec<[Ref; 8]> = SmallVec::new();
        while let Some(id) = frames.pop() {
            for &value in &self.snapshots[id.0 as usize].values {
                if !value.is_const() && is_first(value) {
                    if self.sunk_op(value).is_some() {
                        needed.push(value);
                    } else {
                        exit.values.push(value);
                    }
                }
            }
        }
        needed.extend_from_slice(op.pending.as_deref().unwrap_or_default());
        while let Some(value) = needed.pop() {
            let Some(op) = self.sunk_op(value) else {
                exit.values.push(value);
                continue;
            };
            exit.program.push(value);
            for &arg in &op.args {
                if !arg.is_const() && is_first(arg) {
                    needed.push(arg);
                }
            }
        }
        exit.program.sort_unstable();
    }
}
