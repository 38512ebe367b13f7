//! The writer of resume data. What it writes, the module above says.

use super::bounds::Bounds;
use super::narrow::Narrow;
use super::{Inputs, KINDS, NARROW, Pool, REACHES, ROOTS, ResumeData, place, zigzag};
use metatrace_ir::ownership::Ownership;
use metatrace_ir::trace::{Exit, Exits};
use metatrace_ir::{Const, DescrRef, Kind, Ref, Snapshot, SnapshotId, Trace};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::ops::Range;
use std::rc::Rc;

/// Encodes the guards of one trace after the other, in memory that it keeps.
#[derive(Default)]
pub struct Encoder {
    ownership: Ownership,
    narrow: Narrow,
    bounds: Bounds,
    exits: Exits,
    /// What is known at the guard that is written.
    inputs: Inputs,
    writer: Writer,
}

impl Encoder {
    /// The resume data of all guards of a trace, in the order of its operations; `None` for operations that cannot exit.
    ///
    /// # Panics
    /// If a snapshot does not name its frame.
    pub fn encode(&mut self, trace: &Trace) -> Vec<Option<ResumeData>> {
        let Encoder {
            ownership,
            narrow,
            bounds,
            exits,
            inputs,
            writer,
        } = self;
        ownership.restart(&trace.roots, &trace.derived);
        narrow.restart(trace);
        bounds.restart(trace);
        exits.restart();
        writer.restart(trace);
        let mut starts = Vec::with_capacity(trace.ops.len());
        for (n, op) in trace.ops.iter().enumerate() {
            let guard = |snapshot| {
                let exit = exits.of(trace, op);
                inputs.clear();
                ownership.inherited(&exit.values, &mut inputs.roots, &mut inputs.derived);
                narrow.inherited(&exit.values, &mut inputs.words);
                bounds.inherited(&exit.values, &mut inputs.below);
                writer.guard(trace, snapshot, inputs, exit)
            };
            starts.push(op.snapshot.map(guard));
            ownership.follow(trace, n);
            narrow.follow(trace, n);
            bounds.follow(trace, n);
        }
        let pool = Rc::new(Pool {
            bytes: writer.bytes.as_slice().into(),
            consts: writer.consts.as_slice().into(),
            descrs: writer.descrs.as_slice().into(),
        });
        let guards = starts.into_iter().zip(&trace.ops);
        let guard = |(start, op): (Option<u32>, &metatrace_ir::Op)| {
            let (pool, opcode, early) = (pool.clone(), op.opcode, op.early);
            start.map(|start| ResumeData {
                pool,
                start,
                opcode,
                early,
            })
        };
        guards.map(guard).collect()
    }
}

/// Numbers of what an exit has, in the order in which it first occurs.
#[derive(Default)]
struct Numbers {
    values: Numbering,
    results: Numbering,
}

impl Numbers {
    /// Goes to another trace.
    fn start(&mut self, trace: &Trace) {
        self.values.start(trace);
        self.results.start(trace);
    }

    /// Goes to another exit.
    fn next_exit(&mut self) {
        self.values.next_exit();
        self.results.next_exit();
    }

    /// The number of one of the exit's values.
    fn value(&mut self, value: Ref) -> u64 {
        self.values.number(value)
    }

    /// The number of a step's result.
    fn result(&mut self, value: Ref) -> u64 {
        self.results.number(value)
    }
}

/// Numbers values as they occur, in one exit after the other.
#[derive(Default)]
struct Numbering {
    /// By value: the last exit that had it, and its number there.
    known: Vec<(u32, u32)>,
    exit: u32,
    count: u32,
}

impl Numbering {
    fn start(&mut self, trace: &Trace) {
        self.known.clear();
        self.known.resize(trace.value_count(), (0, 0));
        self.exit = 0;
    }

    fn next_exit(&mut self) {
        self.exit += 1;
        self.count = 0;
    }

    fn has(&self, value: Ref) -> bool {
        value.as_value().is_some_and(|n| self.known[n].0 == self.exit)
    }

    fn number(&mut self, value: Ref) -> u64 {
        if !self.has(value) {
            self.known[value.as_value().expect("no constant")] = (self.exit, self.count);
            self.count += 1;
        }
        self.known[value.as_value().expect("no constant")].1.into()
    }
}

#[derive(Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
    pub(super) consts: Vec<Const>,
    const_numbers: FxHashMap<Const, u64>,
    pub(super) descrs: Vec<DescrRef>,
    descr_numbers: FxHashMap<DescrRef, u64>,
    /// By snapshot: where its frame is, once it has been written.
    frames: Vec<Option<u32>>,
    /// The record of the last guard.
    last: Range<usize>,
    numbers: Numbers,
}

impl Writer {
    pub(super) fn restart(&mut self, trace: &Trace) {
        self.bytes.clear();
        self.consts.clear();
        self.const_numbers.clear();
        self.descrs.clear();
        self.descr_numbers.clear();
        self.frames.clear();
        self.frames.resize(trace.snapshots.len(), None);
        self.last = 0..0;
        self.numbers.start(trace);
    }

    /// Writes a guard's record, unless the last one is like it; its place. The kinds of the inputs follow from the exit.
    pub(super) fn guard(&mut self, trace: &Trace, innermost: SnapshotId, inputs: &Inputs, exit: &Exit) -> u32 {
        let mut chain: SmallVec<[SnapshotId; 8]> = SmallVec::new();
        let mut next = Some(innermost);
        while let Some(id) = next {
            chain.push(id);
            next = trace.snapshots[id.0 as usize].parent;
        }
        let mut numbers = std::mem::take(&mut self.numbers);
        numbers.next_exit();
        let mut parent = None;
        for id in chain.into_iter().rev() {
            parent = Some(self.frame(trace, id, parent, &mut numbers));
        }
        let start = self.bytes.len();
        let mut bytes = std::mem::take(&mut self.bytes);
        push_number(&mut bytes, parent.expect("the innermost frame at least").into());
        let further = &exit.values[numbers.values.count as usize..];
        further.iter().for_each(|value| _ = numbers.value(*value));
        push_number(&mut bytes, exit.program.len() as u64);
        for &value in &exit.program {
            self.step(trace, value, &mut numbers, &mut bytes);
        }
        push_number(&mut bytes, further.len() as u64);
        for &value in further {
            push_number(&mut bytes, place(&KINDS, &trace.kind(value)));
        }
        let number = |value: Ref| value.as_value().expect("an input") as u64;
        push_number(&mut bytes, inputs.roots.len() as u64);
        for root in &inputs.roots {
            push_number(&mut bytes, number(root.value) << 2 | place(&ROOTS, &root.kind));
        }
        push_number(&mut bytes, inputs.derived.len() as u64);
        for derived in &inputs.derived {
            push_number(&mut bytes, number(derived.value));
            push_number(&mut bytes, number(derived.root) << 2 | place(&REACHES, &derived.reach));
        }
        push_number(&mut bytes, inputs.words.len() as u64);
        for narrow in &inputs.words {
            push_number(&mut bytes, number(narrow.value) << 3 | place(&NARROW, &narrow.word));
        }
        push_number(&mut bytes, inputs.below.len() as u64);
        for below in &inputs.below {
            push_number(&mut bytes, below.value as u64);
            push_number(&mut bytes, zigzag(below.distance));
            push_number(&mut bytes, below.bound as u64);
        }
        self.numbers = numbers;
        if bytes[self.last.clone()] == bytes[start..] {
            bytes.truncate(start);
        } else {
            self.last = start..bytes.len();
        }
        self.bytes = bytes;
        place_of(self.last.start)
    }

    fn step(&mut self, trace: &Trace, value: Ref, numbers: &mut Numbers, bytes: &mut Vec<u8>) {
        let op = trace.sunk_op(value).expect("programs are of sunk operations");
        let descr = op.descr.as_ref().map_or(0, |descr| self.descr(descr) + 1);
        push_number(bytes, numbers.result(value));
        push_number(bytes, op.opcode as u64);
        push_number(bytes, descr);
        push_number(bytes, op.args.len() as u64);
        for &arg in &op.args {
            let word = self.word(trace, arg, numbers);
            push_number(bytes, word);
        }
    }

    fn descr(&mut self, descr: &DescrRef) -> u64 {
        let descrs = &mut self.descrs;
        *self.descr_numbers.entry(descr.clone()).or_insert_with(|| {
            descrs.push(descr.clone());
            descrs.len() as u64 - 1
        })
    }

    /// Writes a frame, unless it is there; its place. `numbers` are those of the values in the frames around it, and
    /// then in this one too.
    fn frame(&mut self, trace: &Trace, id: SnapshotId, parent: Option<u32>, numbers: &mut Numbers) -> u32 {
        let snapshot = &trace.snapshots[id.0 as usize];
        if let Some(known) = self.frames[id.0 as usize] {
            for value in snapshot.values.iter().filter(|value| !value.is_const()) {
                match trace.sunk_op(*value) {
                    Some(_) => numbers.result(*value),
                    None => numbers.value(*value),
                };
            }
            return known;
        }
        let frame = snapshot.frame.expect("a recorded snapshot names its frame");
        let place = place_of(self.bytes.len());
        let mut bytes = std::mem::take(&mut self.bytes);
        push_number(&mut bytes, parent.map_or(0, |parent| place - parent).into());
        push_number(&mut bytes, frame.jitcode.0.into());
        push_number(&mut bytes, frame.pc.into());
        push_number(&mut bytes, snapshot.values.len() as u64);
        self.words(trace, snapshot, numbers, &mut bytes);
        self.bytes = bytes;
        self.frames[id.0 as usize] = Some(place);
        place
    }

    fn words(&mut self, trace: &Trace, snapshot: &Snapshot, numbers: &mut Numbers, bytes: &mut Vec<u8>) {
        let mut run: Option<(Kind, u64)> = None;
        for &value in &snapshot.values {
            let in_line = !value.is_const() && trace.sunk_op(value).is_none();
            if in_line && !numbers.values.has(value) {
                numbers.value(value);
                let kind = trace.kind(value);
                match &mut run {
                    Some((of, length)) if *of == kind => *length += 1,
                    _ => {
                        push_run(bytes, run.replace((kind, 1)));
                    }
                }
                continue;
            }
            push_run(bytes, run.take());
            let word = self.word(trace, value, numbers);
            push_number(bytes, word);
        }
        push_run(bytes, run);
    }

    /// A word that is not the next value.
    fn word(&mut self, trace: &Trace, value: Ref, numbers: &mut Numbers) -> u64 {
        if let Some(constant) = trace.as_const(value) {
            return self.constant(constant, value.is_green());
        }
        match trace.sunk_op(value) {
            None => numbers.value(value) << 2 | 1,
            Some(_) => (numbers.result(value) << 2 | KINDS.len() as u64) << 2,
        }
    }

    fn constant(&mut self, constant: Const, green: bool) -> u64 {
        let int = constant.bits as i64;
        if constant.kind == Kind::Int && !green && (-(1 << 20)..1 << 20).contains(&int) {
            return zigzag(int) << 2 | 2;
        }
        let consts = &mut self.consts;
        let number = *self.const_numbers.entry(constant).or_insert_with(|| {
            consts.push(constant);
            consts.len() as u64 - 1
        });
        (number << 1 | u64::from(green)) << 2 | 3
    }
}

/// The place of a record that begins behind so many bytes.
fn place_of(at: usize) -> u32 {
    u32::try_from(at).expect("resume data of less than 4 GiB")
}

fn push_run(bytes: &mut Vec<u8>, run: Option<(Kind, u64)>) {
    if let Some((kind, length)) = run {
        push_number(bytes, (length << 2 | place(&KINDS, &kind)) << 2);
    }
}

fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}
