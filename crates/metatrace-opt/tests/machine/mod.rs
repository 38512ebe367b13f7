//! A little evaluator of traces on a simulated memory, for comparing a trace with its optimised form.
//!
//! Memory is a set of objects. A residual call writes to whatever it could reach: from each pointer it gets, all that lies
//! behind it in its object, and what addresses found there lead to; with any effect, all shared memory too. What it writes
//! follows from how many calls came before. Outcomes have one NaN only, since Rust does not say which one arithmetic gives.

#![allow(dead_code)] // each test uses a part

use metatrace_ir::eval::{eval, location, overflows};
use metatrace_ir::random::Random;
use metatrace_ir::{
    CallDescr, Class, Descr, Effect, Frame, GuardId, Kind, Op, Opcode, Ref, SnapshotId, TargetToken, Trace, Word,
};
use std::collections::BTreeMap;

/// Who may write to an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// Only who got a pointer to it.
    Exclusive,
    /// Calls with any effect as well.
    Shared,
    /// Nobody.
    Frozen,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Object {
    pub bytes: Vec<u8>,
    pub owner: Owner,
}

/// How a trace was left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// At a guard or `finish`: its name, and the frames with their values, innermost first.
    Exit(Option<GuardId>, Vec<(Option<Frame>, Vec<u64>)>),
    /// By a jump.
    Jump(TargetToken, Vec<u64>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Machine {
    pub objects: BTreeMap<u64, Object>,
    next: u64,
    calls: u64,
    /// Arguments of each call, and a digest of the memory that it can reach.
    pub log: Vec<(Vec<u64>, u64)>,
    /// Addresses of words that own a buffer, which a call may replace.
    pub buffers: Vec<u64>,
    overflowed: bool,
    /// The guard that failed, if it is an early one.
    pub left_early: Option<GuardId>,
    /// The guard that is to fail whatever it tests.
    pub fails: Option<GuardId>,
}

impl Machine {
    pub fn new() -> Machine {
        let objects = BTreeMap::new();
        Machine {
            objects,
            // far from the numbers that traces compute
            next: 0x7a5c_93e1_0000_0000,
            calls: 0,
            log: Vec::new(),
            buffers: Vec::new(),
            overflowed: false,
            left_early: None,
            fails: None,
        }
    }

    pub fn allocate(&mut self, size: usize, owner: Owner) -> u64 {
        let address = self.next;
        self.next += (size as u64).next_multiple_of(64) + 64;
        self.objects.insert(
            address,
            Object {
                bytes: vec![0; size],
                owner,
            },
        );
        address
    }

    /// The start of the object that an address lies in.
    fn object_at(&self, address: u64) -> Option<u64> {
        let (start, object) = self.objects.range(..=address).next_back()?;
        (address < start + object.bytes.len() as u64).then_some(*start)
    }

    pub fn read(&self, address: u64, word: Word) -> u64 {
        let start = self
            .object_at(address)
            .unwrap_or_else(|| panic!("no object at {address:#x}"));
        let at = (address - start) as usize;
        let mut bits = [0; 8];
        let size = word.size() as usize;
        bits[..size].copy_from_slice(&self.objects[&start].bytes[at..at + size]);
        word.extend(u64::from_le_bytes(bits))
    }

    pub fn write(&mut self, address: u64, word: Word, value: u64) {
        let start = self
            .object_at(address)
            .unwrap_or_else(|| panic!("no object at {address:#x}"));
        let at = (address - start) as usize;
        let object = self.objects.get_mut(&start).expect("just found");
        object.bytes[at..at + word.size() as usize].copy_from_slice(&value.to_le_bytes()[..word.size() as usize]);
    }

    /// Runs a trace from its operation `from`. `values` are those of its inputs, or, for a start behind a label, those
    /// known to be visible.
    pub fn run(&mut self, trace: &Trace, from: usize, values: &[(Ref, u64)]) -> Outcome {
        let mut state = vec![0; trace.value_count()];
        for (value, bits) in values {
            state[value.as_value().expect("an input")] = *bits;
        }
        for n in from..trace.ops.len() {
            if let Some(outcome) = self.step(trace, n, &mut state) {
                return outcome;
            }
        }
        panic!("the trace does not end\n{trace}");
    }

    /// Where a trace is to be left whose optimised form was run by `other`: at an early guard, if the other was.
    pub fn like(other: &Machine) -> Machine {
        Machine {
            fails: other.left_early,
            ..Machine::new()
        }
    }

    /// Executes one operation on the values so far.
    pub fn step(&mut self, trace: &Trace, n: usize, state: &mut [u64]) -> Option<Outcome> {
        let op = &trace.ops[n];
        let args: Vec<u64> = op.args.iter().map(|arg| value_of(trace, state, *arg)).collect();
        match op.opcode {
            Opcode::Jump => {
                let values = op.args.iter().map(|arg| outcome_value(trace, state, *arg));
                return Some(Outcome::Jump(op.descr().target(), values.collect()));
            }
            _ if op.sunk => return None,
            Opcode::Finish => return Some(self.exit(trace, state, op)),
            Opcode::Label | Opcode::DebugMergePoint => return None,
            opcode if opcode.is_guard() => {
                let fails = !self.holds(opcode, &args) || op.guard.is_some() && op.guard == self.fails;
                self.left_early = op.guard.filter(|_| fails && op.early);
                return fails.then(|| self.exit(trace, state, op));
            }
            _ => {}
        }
        let result = self.compute(op, &args);
        if op.opcode.result().is_some() {
            state[trace.result(n).as_value().expect("a result")] = result;
        }
        None
    }

    /// Leaves the trace: the exit's program is executed, its frames are read.
    fn exit(&mut self, trace: &Trace, state: &mut [u64], op: &Op) -> Outcome {
        for value in trace.exit(op).program {
            let sunk = trace.sunk_op(value).expect("a sunk operation");
            let args: Vec<u64> = sunk.args.iter().map(|arg| value_of(trace, state, *arg)).collect();
            state[value.as_value().expect("a result")] = self.compute(sunk, &args);
        }
        let values = |values: &[Ref]| values.iter().map(|value| outcome_value(trace, state, *value)).collect();
        let snapshot: SnapshotId = op.snapshot.expect("a guard has a snapshot");
        let frames = trace.frames(snapshot).map(|frame| (frame.frame, values(&frame.values)));
        Outcome::Exit(op.guard, frames.collect())
    }

    pub fn holds(&self, opcode: Opcode, args: &[u64]) -> bool {
        match opcode {
            Opcode::GuardTrue | Opcode::GuardNonnull => args[0] != 0,
            Opcode::GuardFalse | Opcode::GuardIsnull => args[0] == 0,
            Opcode::GuardValue => args[0] == args[1],
            Opcode::GuardNoOverflow => !self.overflowed,
            Opcode::GuardOverflow => self.overflowed,
            Opcode::GuardNoException => true,
            _ => false,
        }
    }

    fn compute(&mut self, op: &Op, args: &[u64]) -> u64 {
        if op.opcode.class() == Class::Overflow {
            self.overflowed = overflows(op.opcode, args[0], args[1]);
        }
        match (op.opcode.class(), op.descr.as_deref()) {
            (Class::Load, _) => {
                let (address, word) = location(op.descr(), args);
                self.read(address, word)
            }
            (Class::Store, _) => {
                let (address, word) = location(op.descr(), args);
                self.write(address, word, *args.last().expect("a value"));
                0
            }
            (_, Some(Descr::Call(descr))) => self.call(descr, args),
            (Class::Alloc, Some(Descr::Size(size))) => self.allocate(size.size as usize, Owner::Exclusive),
            (_, Some(descr)) => location(descr, args).0,
            // undefined operands are the trace's mistake, which random traces make: anything will do
            (_, None) => eval(op.opcode, args).unwrap_or(0),
        }
    }

    fn call(&mut self, descr: &CallDescr, args: &[u64]) -> u64 {
        let pointer = args[1..].iter().copied().find(|arg| self.object_at(*arg).is_some());
        if descr.effect == Effect::Elidable {
            let mixed = args.iter().fold(7, |mixed, arg| Random(mixed ^ arg).word());
            return if descr.result == Some(Kind::Ref) {
                pointer.unwrap_or(0)
            } else {
                mixed
            };
        }
        self.calls += 1;
        let reachable = self.reachable(descr, args);
        self.log.push((args.to_vec(), self.digest(&reachable)));
        let mut random = Random(self.calls);
        for (start, from) in reachable {
            self.scramble(start, from, &mut random);
        }
        match descr.result {
            Some(Kind::Ref) => pointer.unwrap_or(0),
            _ => random.interesting_word(),
        }
    }

    /// Of these objects, each from one of its bytes on.
    fn digest(&self, objects: &BTreeMap<u64, u64>) -> u64 {
        let bytes = objects.iter().flat_map(|(start, from)| {
            let bytes = &self.objects[start].bytes[*from as usize..];
            start.to_le_bytes().into_iter().chain(bytes.iter().copied())
        });
        bytes.fold(1, |digest: u64, byte| {
            (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        })
    }

    /// Objects a call may write to, and from which of their bytes on.
    fn reachable(&self, descr: &CallDescr, args: &[u64]) -> BTreeMap<u64, u64> {
        let mut reached: BTreeMap<u64, u64> = BTreeMap::new();
        let mut pending: Vec<u64> = args[1..].to_vec();
        if descr.effect == Effect::Any {
            pending.extend(
                self.objects
                    .iter()
                    .filter(|(_, object)| object.owner == Owner::Shared)
                    .map(|(at, _)| *at),
            );
        }
        while let Some(address) = pending.pop() {
            let Some(start) = self.object_at(address) else { continue };
            let from = address - start;
            if self.objects[&start].owner == Owner::Frozen || reached.get(&start).is_some_and(|known| *known <= from) {
                continue;
            }
            reached.insert(start, from);
            let end = self.objects[&start].bytes.len() as u64 / 8 * 8;
            let words = (from.next_multiple_of(8)..end).step_by(8);
            pending.extend(words.map(|at| self.read(start + at, Word::U64)));
        }
        reached
    }

    /// Writes anything to an object's numbers; what owns a buffer may get another one.
    fn scramble(&mut self, start: u64, from: u64, random: &mut Random) {
        let end = self.objects[&start].bytes.len() as u64 / 8 * 8;
        for at in (from.next_multiple_of(8)..end).step_by(8) {
            let word = self.read(start + at, Word::U64);
            if self.buffers.contains(&(start + at)) && random.one_in(2) {
                let new = self.allocate(64, Owner::Exclusive);
                self.write(start + at, Word::U64, new);
            } else if self.object_at(word).is_none() && word != 0 || random.one_in(8) && word == 0 {
                self.write(start + at, Word::U64, random.word() >> 8);
            }
        }
    }
}

pub fn value_of(trace: &Trace, state: &[u64], value: Ref) -> u64 {
    match (trace.as_const(value), value.as_value()) {
        (Some(constant), _) => constant.bits,
        (None, Some(n)) => state[n],
        (None, None) => unreachable!("constant or value"),
    }
}

/// A value as outcomes are compared: there is one NaN.
fn outcome_value(trace: &Trace, state: &[u64], value: Ref) -> u64 {
    let bits = value_of(trace, state, value);
    let is_nan = trace.kind(value) == Kind::Float && f64::from_bits(bits).is_nan();
    if is_nan { f64::NAN.to_bits() } else { bits }
}
