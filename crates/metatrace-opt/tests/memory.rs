//! Random traces on memory: the optimised trace leaves at the same guard, with the same values, after the same calls on
//! the same memory.
//!
//! A trace is recorded while it runs, on a world of two exclusive frames with buffers and lists of boxes, a shared frame,
//! and unknown objects that may be one or overlap. What is recorded keeps to Rust's rules for references: no address of
//! exclusive memory is used beyond the next access through its root, and owning pointers are moved, never copied
//! (what a moved pointer still reaches by its old name is tested on portals, in `metatrace`'s `tests/aliasing.rs`).
//!
//! What follows an operation of such a trace is also optimised by itself, as a bridge would be, with no more than the facts
//! that [`Ownership::inherited`] hands on. `PROPTEST_CASES=10000` finds a fact too many within seconds.

mod machine;

use machine::{Machine, Outcome, Owner};
use metatrace_ir::ownership::Ownership;
use metatrace_ir::random::Random;
use metatrace_ir::{
    ArrayDescr, CallDescr, Const, Descr, DescrRef, Effect, FieldDescr, GuardId, Kind, Memory, Op, Opcode, Pointee, Ref,
    Root, RootKind, SizeDescr, Snapshot, Trace, Word, verify,
};
use metatrace_opt::{Options, optimize};
use proptest::prelude::*;
use std::collections::HashMap;
use std::rc::Rc;

fn field(name: &str, offset: u32, word: Word, pointee: Pointee, frozen: bool) -> DescrRef {
    let name = name.to_string();
    Rc::new(Descr::Field(FieldDescr {
        name,
        offset,
        word,
        memory: Memory::Rust,
        frozen,
        pointee,
    }))
}

fn number(offset: u32, word: Word) -> DescrRef {
    field(&format!("{word:?}@{offset}"), offset, word, Pointee::Unknown, true)
}

fn array(item_size: u32, offset: u32, word: Word) -> DescrRef {
    let name = format!("{word:?}x{item_size}+{offset}");
    let (memory, pointee) = (Memory::Rust, Pointee::Unknown);
    Rc::new(Descr::Array(ArrayDescr {
        name,
        item_size,
        offset,
        word,
        memory,
        frozen: true,
        pointee,
    }))
}

const FRAME: usize = 80;
const NODE: usize = 40;
const BUFFER: u32 = 32;
const LIST: u32 = 40;

/// Where numbers lie in frames and nodes alike; the words at one place are views of the same bytes.
const NUMBERS: [(u32, Word); 7] = [
    (0, Word::I64),
    (8, Word::U8),
    (8, Word::I8),
    (10, Word::I16),
    (12, Word::U32),
    (16, Word::F64),
    (16, Word::U64),
];

/// A pointer that the recording may use.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Pointer {
    value: Ref,
    what: What,
    /// The input it belongs to.
    root: usize,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum What {
    Frame,
    Node,
    Buffer,
}

struct Recorder {
    trace: Trace,
    machine: Machine,
    state: Vec<u64>,
    random: Random,
    /// Whether only the first items of buffers are accessed, so that accesses meet.
    few_items: bool,
    pointers: Vec<Pointer>,
    numbers: Vec<Ref>,
    guards: u32,
}

// inputs
const FIRST: usize = 0;
const SECOND: usize = 1;
const SHARED: usize = 2;
const UNKNOWN: usize = 3;
const SLICE: usize = 5;
const INPUTS: [Kind; 9] = [
    Kind::Ref,
    Kind::Ref,
    Kind::Ref,
    Kind::Ref,
    Kind::Ref,
    Kind::Int,
    Kind::Int,
    Kind::Int,
    Kind::Int,
];

/// The memory that a trace starts with, and the inputs that are pointers.
fn world(overlap: u64) -> (Machine, Vec<u64>) {
    let mut machine = Machine::new();
    let frame = |machine: &mut Machine, owner| {
        let frame = machine.allocate(FRAME, owner);
        let buffer = machine.allocate(64, owner);
        machine.write(frame + u64::from(BUFFER), Word::U64, buffer);
        let nodes = [0; 3].map(|_| machine.allocate(NODE, owner));
        machine.write(frame + u64::from(LIST), Word::Ref, nodes[0]);
        machine.write(nodes[0] + 24, Word::Ref, nodes[1]);
        machine.write(nodes[1] + 24, Word::Ref, nodes[2]);
        for (n, at) in [frame, nodes[0], nodes[1], nodes[2]].into_iter().enumerate() {
            machine.write(at, Word::U64, 100 + n as u64);
            machine.write(at + 8, Word::U64, 0x8182_8384_8586_8788);
            machine.write(at + 16, Word::F64, 1.5f64.to_bits());
        }
        frame
    };
    let first = frame(&mut machine, Owner::Exclusive);
    let second = frame(&mut machine, Owner::Exclusive);
    machine.buffers = vec![first + u64::from(BUFFER), second + u64::from(BUFFER)];
    // only what is not frozen may change: the cell lies in an object of its own, which the frame's last word leads to
    let shared = frame(&mut machine, Owner::Frozen);
    let unknown = machine.allocate(2 * NODE, Owner::Shared);
    for at in (0..2 * NODE as u64).step_by(8) {
        machine.write(unknown + at, Word::U64, at);
    }
    for frame in [first, second, shared] {
        machine.write(frame + 56, Word::Ref, unknown);
    }
    let slice = machine.allocate(128, Owner::Exclusive);
    (machine, vec![first, second, shared, unknown, unknown + overlap, slice])
}

impl Recorder {
    fn new(overlap: u64, numbers: [u64; 3]) -> Recorder {
        let (machine, mut state) = world(overlap);
        state.extend(numbers);
        let mut trace = Trace::new(INPUTS.to_vec());
        let root = |n, kind| Root {
            value: Ref::value(n),
            kind,
        };
        trace.roots = vec![
            root(FIRST, RootKind::Exclusive),
            root(SECOND, RootKind::Exclusive),
            root(SHARED, RootKind::Shared),
            root(SLICE, RootKind::Exclusive),
        ];
        let pointer = |n: usize, what| Pointer {
            value: Ref::value(n),
            what,
            root: n,
        };
        let mut pointers: Vec<Pointer> = [FIRST, SECOND, SHARED].map(|n| pointer(n, What::Frame)).to_vec();
        pointers.extend([UNKNOWN, UNKNOWN + 1].map(|n| pointer(n, What::Node)));
        pointers.push(pointer(SLICE, What::Buffer));
        let numbers = (SLICE + 1..INPUTS.len()).map(Ref::value).collect();
        Recorder {
            trace,
            machine,
            state,
            random: Random(0),
            few_items: false,
            pointers,
            numbers,
            guards: 0,
        }
    }

    fn bits(&self, value: Ref) -> u64 {
        machine::value_of(&self.trace, &self.state, value)
    }

    fn push(&mut self, op: Op) -> Ref {
        let value = self.trace.push(op);
        self.state.resize(self.trace.value_count(), 0);
        let left = self
            .machine
            .step(&self.trace, self.trace.ops.len() - 1, &mut self.state);
        assert_eq!(left, None, "guards are recorded where they hold");
        value
    }

    fn constant(&mut self, value: i64) -> Ref {
        self.trace.constant(Const::int(value))
    }

    fn number(&mut self) -> Ref {
        if self.random.one_in(4) {
            let word = self.random.interesting_word() as i64;
            // nothing that could be taken for an address
            return self.constant(word % 1000);
        }
        *self.random.pick(&self.numbers)
    }

    fn pointer(&mut self, accept: impl Fn(&Pointer) -> bool) -> Option<Pointer> {
        let candidates: Vec<Pointer> = self.pointers.iter().copied().filter(accept).collect();
        (!candidates.is_empty()).then(|| *self.random.pick(&candidates))
    }

    /// An index from 0 to 7, also as a sum.
    fn index(&mut self) -> Ref {
        if self.few_items || self.random.one_in(3) {
            let index = self.random.below(if self.few_items { 2 } else { 8 }) as i64;
            return self.constant(index);
        }
        let (number, mask) = (self.number(), self.constant(3));
        let index = self.push(Op::new(Opcode::IntAnd, &[number, mask]));
        if self.random.one_in(2) {
            let distance = self.random.below(5) as i64;
            let distance = self.constant(distance);
            return self.push(Op::new(Opcode::IntAdd, &[index, distance]));
        }
        index
    }

    /// A float's word is loaded and stored by its bits.
    fn load(&mut self, op: Op) {
        let value = self.push(op);
        if self.trace.kind(value) == Kind::Float {
            let bits = self.push(Op::new(Opcode::ConvertFloatBytesToLonglong, &[value]));
            self.numbers.push(bits);
        } else {
            self.numbers.push(value);
        }
    }

    fn number_for(&mut self, word: Word) -> Ref {
        let number = self.number();
        if word.kind() == Kind::Float {
            self.push(Op::new(Opcode::CastIntToFloat, &[number]))
        } else {
            number
        }
    }

    fn step(&mut self) {
        match self.random.below(15) {
            0..=2 => self.load_number(),
            3..=5 => self.store_number(),
            6 | 7 => self.access_item(),
            8 => self.follow(),
            9 => self.call(),
            10 => self.exchange(),
            11 => self.slot(),
            12 => self.through_field_address(),
            13 => self.guard(),
            _ => self.returned_pointer(),
        }
    }

    /// A step that has to do with what roots own, most times.
    fn step_below_roots(&mut self) {
        self.few_items = true;
        match self.random.below(12) {
            0..=2 => self.follow(),
            3..=7 => self.access_item(),
            8 => self.guard(),
            _ => self.step(),
        }
    }

    fn load_number(&mut self) {
        let Some(pointer) = self.pointer(|pointer| pointer.what != What::Buffer) else {
            return;
        };
        let (offset, word) = *self.random.pick(&NUMBERS);
        let op = Op::with_descr(Opcode::getfield(word.kind()), &[pointer.value], number(offset, word));
        self.load(op);
    }

    fn store_number(&mut self) {
        let writable = |pointer: &Pointer| pointer.what != What::Buffer && pointer.root != SHARED;
        let Some(pointer) = self.pointer(writable) else { return };
        let (offset, word) = *self.random.pick(&NUMBERS);
        let value = self.number_for(word);
        self.push(Op::with_descr(
            Opcode::SetfieldGc,
            &[pointer.value, value],
            number(offset, word),
        ));
    }

    fn access_item(&mut self) {
        let Some(mut buffer) = self.pointer(|pointer| pointer.what == What::Buffer) else {
            return;
        };
        let shapes = [
            (8, 0, Word::I64),
            (8, 4, Word::I32),
            (8, 0, Word::U8),
            (4, 0, Word::U32),
            (2, 1, Word::I8),
        ];
        let (item_size, offset, word) = *self.random.pick(&shapes);
        let mut index = self.index();
        if self.random.one_in(4) {
            // the address of an item, and the item's first word from there
            let value = self.push(Op::with_descr(
                Opcode::PtrItem,
                &[buffer.value, index],
                array(8, 0, Word::I64),
            ));
            buffer.value = self.push(Op::new(Opcode::CastPtrToInt, &[value]));
            index = self.constant(0);
        } else if self.random.one_in(3) {
            // items that straddle those of the buffer itself
            let (number, mask) = (self.number(), self.constant(3));
            index = self.push(Op::new(Opcode::IntAnd, &[number, mask]));
            let distance = self.random.below(8) as i64;
            let distance = self.constant(distance);
            buffer.value = self.push(Op::new(Opcode::IntAdd, &[buffer.value, distance]));
        }
        let descr = array(item_size, offset, word);
        if buffer.root == SHARED || self.random.one_in(2) {
            self.load(Op::with_descr(Opcode::GetarrayitemRawI, &[buffer.value, index], descr));
        } else {
            let value = self.number();
            self.push(Op::with_descr(
                Opcode::SetarrayitemRaw,
                &[buffer.value, index, value],
                descr,
            ));
        }
    }

    /// Loads what a frame or node owns, or what a counted pointer leads to.
    fn follow(&mut self) {
        let Some(pointer) = self.pointer(|pointer| pointer.what != What::Buffer) else {
            return;
        };
        let (descr, what, mut root) = match (pointer.what, self.random.below(3)) {
            (What::Frame, 0) => {
                let descr = field("buffer", BUFFER, Word::U64, Pointee::Owned, true);
                (descr, What::Buffer, pointer.root)
            }
            (What::Frame, 1) => (
                field("list", LIST, Word::Ref, Pointee::Owned, true),
                What::Node,
                pointer.root,
            ),
            (What::Frame, _) => (field("rc", 56, Word::Ref, Pointee::Counted, true), What::Node, UNKNOWN),
            _ if pointer.root < UNKNOWN => (
                field("next", 24, Word::Ref, Pointee::Owned, true),
                What::Node,
                pointer.root,
            ),
            _ => return,
        };
        let Descr::Field(facts) = &*descr else {
            unreachable!("a field's")
        };
        let opcode = Opcode::getfield(facts.word.kind());
        let value = self.push(Op::with_descr(opcode, &[pointer.value], descr.clone()));
        if self.bits(value) == 0 {
            return;
        }
        if self.random.one_in(4) && self.trace.kind(value) == Kind::Ref {
            // promoted: the constant stands for it from here on
            let bits = self.bits(value);
            let constant = self.trace.constant(Const::ptr(bits));
            self.exit(Opcode::GuardValue, &[value, constant]);
            root = if root == UNKNOWN { UNKNOWN } else { pointer.root };
            self.pointers.push(Pointer {
                value: constant,
                what,
                root,
            });
        }
        self.pointers.push(Pointer { value, what, root });
    }

    /// What is below a root may have moved, or be gone.
    fn forget_below(&mut self, root: usize) {
        self.pointers
            .retain(|pointer| pointer.root != root || pointer.value == Ref::value(root));
    }

    fn call(&mut self) {
        let effect = *self.random.pick(&[Effect::Any, Effect::Arguments]);
        let mut args = Vec::new();
        for _ in 0..self.random.below(3) {
            let arg = if self.random.one_in(3) {
                let number = self.number();
                let byte = self.constant(255);
                self.push(Op::new(Opcode::IntAnd, &[number, byte]))
            } else {
                let Some(pointer) = self.pointer(|_| true) else { return };
                let behind = pointer.root;
                let value = match (pointer.what, self.random.below(3)) {
                    (What::Frame, 0) => {
                        let descr = number(16, Word::U64);
                        self.push(Op::with_descr(Opcode::PtrField, &[pointer.value], descr))
                    }
                    (What::Buffer, 0) => {
                        let distance = self.constant(8);
                        self.push(Op::new(Opcode::IntAdd, &[pointer.value, distance]))
                    }
                    _ => pointer.value,
                };
                if behind < UNKNOWN || behind == SLICE {
                    self.forget_below(behind);
                }
                value
            };
            args.push(arg);
        }
        self.record_call(Opcode::CallI, effect, &args);
    }

    fn record_call(&mut self, opcode: Opcode, effect: Effect, args: &[Ref]) -> Ref {
        let kinds = args.iter().map(|arg| self.trace.kind(*arg)).collect();
        let name = "callee".to_string();
        let descr = CallDescr {
            name,
            args: kinds,
            result: opcode.result(),
            effect,
            can_panic: false,
        };
        let mut operands = vec![self.constant(4096)];
        operands.extend(args);
        self.push(Op::with_descr(opcode, &operands, Rc::new(Descr::Call(descr))))
    }

    /// Exchanges what two places own: the frames' buffers, or a list's first two nodes.
    fn exchange(&mut self) {
        let (a, b) = (Ref::value(FIRST), Ref::value(SECOND));
        if self.random.one_in(2) {
            let descr = field("buffer", BUFFER, Word::U64, Pointee::Owned, true);
            let [of_a, of_b] =
                [a, b].map(|frame| self.push(Op::with_descr(Opcode::GetfieldGcI, &[frame], descr.clone())));
            self.push(Op::with_descr(Opcode::SetfieldGc, &[a, of_b], descr.clone()));
            self.push(Op::with_descr(Opcode::SetfieldGc, &[b, of_a], descr));
            self.forget_below(FIRST);
            self.forget_below(SECOND);
            return;
        }
        let list = field("list", LIST, Word::Ref, Pointee::Owned, true);
        let next = field("next", 24, Word::Ref, Pointee::Owned, true);
        let first = self.push(Op::with_descr(Opcode::GetfieldGcR, &[a], list.clone()));
        let second = self.push(Op::with_descr(Opcode::GetfieldGcR, &[first], next.clone()));
        if self.bits(second) != 0 {
            let third = self.push(Op::with_descr(Opcode::GetfieldGcR, &[second], next.clone()));
            self.push(Op::with_descr(Opcode::SetfieldGc, &[a, second], list));
            self.push(Op::with_descr(Opcode::SetfieldGc, &[second, first], next.clone()));
            self.push(Op::with_descr(Opcode::SetfieldGc, &[first, third], next));
        }
        self.forget_below(FIRST);
    }

    /// A frame slot: private, passed to a call, or its address stored; or it passes an address on.
    fn slot(&mut self) {
        let size = SizeDescr {
            name: "slot".to_string(),
            size: 24,
            align: 8,
            vtable: None,
            memory: Memory::Rust,
        };
        let slot = self.push(Op::with_descr(Opcode::Alloca, &[], Rc::new(Descr::Size(size))));
        let (offset, word) = *self.random.pick(&NUMBERS);
        let value = self.number_for(word);
        self.push(Op::with_descr(Opcode::SetfieldGc, &[slot, value], number(offset, word)));
        // where no number of either unknown object overlaps it
        let kept = field("kept", 32, Word::Ref, Pointee::Unknown, true);
        match self.random.below(4) {
            0 => {
                self.record_call(Opcode::CallI, Effect::Arguments, &[slot]);
            }
            1 => {
                let unknown = Ref::value(UNKNOWN + self.random.below(2));
                self.push(Op::with_descr(Opcode::SetfieldGc, &[unknown, slot], kept.clone()));
                if self.random.one_in(2) {
                    let found = self.push(Op::with_descr(Opcode::GetfieldGcR, &[unknown], kept));
                    let value = self.number();
                    self.push(Op::with_descr(
                        Opcode::SetfieldGc,
                        &[found, value],
                        number(0, Word::I64),
                    ));
                } else {
                    self.record_call(Opcode::CallI, Effect::Any, &[]);
                }
            }
            2 => {
                // an argument in memory; the address is overwritten before the frame is used again
                let raw = field("raw", 16, Word::Ref, Pointee::Unknown, true);
                let root = *self.random.pick(&[FIRST, SECOND]);
                let pointer = match self.pointer(|pointer| pointer.root == root) {
                    Some(pointer) if pointer.what == What::Buffer => {
                        self.push(Op::new(Opcode::CastIntToPtr, &[pointer.value]))
                    }
                    Some(pointer) => pointer.value,
                    None => return,
                };
                self.push(Op::with_descr(Opcode::SetfieldGc, &[slot, pointer], raw.clone()));
                self.record_call(Opcode::CallI, Effect::Arguments, &[slot]);
                let null = self.trace.constant(Const::ptr(0));
                self.push(Op::with_descr(Opcode::SetfieldGc, &[slot, null], raw));
                self.forget_below(root);
            }
            _ => {}
        }
        self.pointers.push(Pointer {
            value: slot,
            what: What::Node,
            root: usize::MAX,
        });
    }

    /// A store or load through the address of a field.
    fn through_field_address(&mut self) {
        let writable = |pointer: &Pointer| pointer.what == What::Frame && pointer.root != SHARED;
        let Some(pointer) = self.pointer(writable) else { return };
        let descr = number(8, Word::U64);
        let address = self.push(Op::with_descr(Opcode::PtrField, &[pointer.value], descr));
        let word = *self.random.pick(&[Word::U64, Word::I8, Word::U16]);
        if self.random.one_in(2) {
            self.load(Op::with_descr(Opcode::GetfieldGcI, &[address], number(8, word)));
        } else {
            let value = self.number();
            self.push(Op::with_descr(Opcode::SetfieldGc, &[address, value], number(8, word)));
        }
    }

    /// A pointer that an elidable or another call returns, used at once.
    fn returned_pointer(&mut self) {
        let root = *self.random.pick(&[FIRST, SECOND, UNKNOWN]);
        let (opcode, effect) = *self.random.pick(&[
            (Opcode::CallPureR, Effect::Elidable),
            (Opcode::CallR, Effect::Arguments),
            (Opcode::CallR, Effect::Any),
        ]);
        let found = self.record_call(opcode, effect, &[Ref::value(root)]);
        let value = self.number();
        self.push(Op::with_descr(
            Opcode::SetfieldGc,
            &[found, value],
            number(0, Word::I64),
        ));
        if root != UNKNOWN {
            self.forget_below(root);
        }
    }

    fn guard(&mut self) {
        let number = self.number();
        let limit = self.constant(100);
        let comparison = *self.random.pick(&[Opcode::IntLt, Opcode::UintLt]);
        let condition = self.push(Op::new(comparison, &[number, limit]));
        let opcode = if self.bits(condition) == 0 {
            Opcode::GuardFalse
        } else {
            Opcode::GuardTrue
        };
        self.exit(opcode, &[condition]);
    }

    fn exit(&mut self, opcode: Opcode, args: &[Ref]) {
        let mut values: Vec<Ref> = (0..3).map(|_| self.number()).collect();
        values.extend(self.numbers.last());
        let snapshot = self.trace.add_snapshot(Snapshot {
            frame: None,
            values: values.into(),
            parent: None,
        });
        self.guards += 1;
        self.push(Op {
            guard: Some(GuardId(self.guards)),
            ..Op::with_snapshot(opcode, args, snapshot)
        });
    }

    fn finish(mut self) -> Trace {
        let values = self.numbers.clone();
        let snapshot = self.trace.add_snapshot(Snapshot {
            frame: None,
            values: values.into(),
            parent: None,
        });
        self.trace.push(Op::with_snapshot(Opcode::Finish, &[], snapshot));
        self.trace
    }
}

/// Without guards that may fail early, which another test is about.
fn options() -> Options {
    Options {
        group: false,
        ..Options::default()
    }
}

/// Runs a trace on a new world.
fn run(trace: &Trace, overlap: u64, numbers: [u64; 3]) -> (Outcome, Machine) {
    let (mut machine, mut words) = world(overlap);
    words.extend(numbers);
    let inputs: Vec<(Ref, u64)> = words
        .into_iter()
        .enumerate()
        .map(|(n, word)| (Ref::value(n), word))
        .collect();
    let outcome = machine.run(trace, 0, &inputs);
    (outcome, machine)
}

/// What comes behind operation `n`, as a bridge whose inputs are the values that are still needed; and which these are.
fn bridge(trace: &Trace, n: usize) -> (Trace, Vec<Ref>) {
    let mut ownership = Ownership::new(&trace.roots, &trace.derived);
    (0..=n).for_each(|n| ownership.follow(trace, n));
    let known = trace.result(n);
    let mut inputs: Vec<Ref> = Vec::new();
    for op in &trace.ops[n + 1..] {
        for &value in op.args.iter().chain(&trace.exit(op).values) {
            if value.as_value().is_some() && value <= known && !inputs.contains(&value) {
                inputs.push(value);
            }
        }
    }
    let mut bridge = Trace::new(inputs.iter().map(|input| trace.kind(*input)).collect());
    ownership.inherited(&inputs, &mut bridge.roots, &mut bridge.derived);
    let mut values: HashMap<Ref, Ref> = inputs
        .iter()
        .enumerate()
        .map(|(n, input)| (*input, Ref::value(n)))
        .collect();
    for m in n + 1..trace.ops.len() {
        let op = &trace.ops[m];
        let mut value = |value: &Ref| match value.is_const() {
            true => bridge.constant_of(trace, *value),
            false => values[value],
        };
        let args = op.args.iter().map(&mut value).collect();
        let snapshot = op.snapshot.map(|snapshot| {
            let values = trace.snapshots[snapshot.0 as usize]
                .values
                .iter()
                .map(&mut value)
                .collect();
            Snapshot {
                values,
                ..trace.snapshots[snapshot.0 as usize].clone()
            }
        });
        let snapshot = snapshot.map(|snapshot| bridge.add_snapshot(snapshot));
        let copy = bridge.push(Op {
            args,
            snapshot,
            ..op.clone()
        });
        values.insert(trace.result(m), copy);
    }
    (bridge, inputs)
}

/// Runs a trace on a new world up to its operation `n`, and then the bridge; `None` if the trace is left before.
fn run_to_bridge(
    (trace, n): (&Trace, usize),
    (bridge, inputs): (&Trace, &[Ref]),
    overlap: u64,
    numbers: [u64; 3],
) -> Option<(Outcome, Machine)> {
    let (mut machine, mut words) = world(overlap);
    words.extend(numbers);
    words.resize(trace.value_count(), 0);
    for n in 0..=n {
        if machine.step(trace, n, &mut words).is_some() {
            return None;
        }
    }
    let word = |(n, input): (usize, &Ref)| (Ref::value(n), words[input.as_value().expect("no constant")]);
    let words: Vec<(Ref, u64)> = inputs.iter().enumerate().map(word).collect();
    let outcome = machine.run(bridge, 0, &words);
    Some((outcome, machine))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn memory_and_calls_are_the_same(
        seeds in proptest::collection::vec(any::<u64>(), 0..50),
        overlap in prop_oneof![Just(0u64), Just(8), Just(40)],
        other in prop_oneof![Just(0u64), Just(8), Just(40)],
        numbers in [0u64..300, 0u64..300, 0u64..300],
        others in [0u64..300, 0u64..300, 0u64..300],
    ) {
        let mut recorder = Recorder::new(overlap, numbers);
        for seed in seeds {
            recorder.random = Random(seed);
            recorder.step();
        }
        let trace = recorder.finish();
        prop_assert_eq!(verify(&trace), Ok(()));
        let optimized = optimize(&trace, &options());
        for (overlap, numbers) in [(overlap, numbers), (overlap, others), (other, numbers)] {
            let (expected, before) = run(&trace, overlap, numbers);
            let (got, after) = run(&optimized, overlap, numbers);
            prop_assert_eq!(&before.log, &after.log, "calls\n{}\n---\n{}", trace, optimized);
            prop_assert_eq!(expected, got, "{}\n---\n{}", trace, optimized);
            prop_assert_eq!(before.objects, after.objects, "memory\n{}\n---\n{}", trace, optimized);
        }
    }

    /// A bridge is optimised with no more than what it inherits, wherever it begins.
    #[test]
    fn bridges_do_the_same(
        seeds in proptest::collection::vec(any::<u64>(), 0..60),
        overlap in prop_oneof![Just(0u64), Just(8), Just(40)],
        numbers in [0u64..300, 0u64..300, 0u64..300],
    ) {
        let mut recorder = Recorder::new(overlap, numbers);
        for seed in seeds {
            recorder.random = Random(seed);
            recorder.step_below_roots();
        }
        let trace = recorder.finish();
        let (expected, before) = run(&trace, overlap, numbers);
        for n in 0..trace.ops.len() - 1 {
            let (bridge, inputs) = bridge(&trace, n);
            prop_assert_eq!(verify(&bridge), Ok(()));
            let optimized = optimize(&bridge, &options());
            let Some((got, after)) = run_to_bridge((&trace, n), (&optimized, &inputs), overlap, numbers) else {
                break;
            };
            prop_assert_eq!(&before.log, &after.log, "calls behind {}\n{}\n---\n{}", n, bridge, optimized);
            prop_assert_eq!(&expected, &got, "behind {}\n{}\n---\n{}", n, bridge, optimized);
            prop_assert_eq!(&before.objects, &after.objects, "memory behind {}\n{}\n---\n{}", n, bridge, optimized);
        }
    }
}
