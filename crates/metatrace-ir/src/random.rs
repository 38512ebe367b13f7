//! Random valid traces, for property tests.
//!
//! One seed makes one operation (and the guard that belongs to it), so a test that drops seeds shrinks the trace. What
//! is chosen is spread over all operand kinds, interesting constants, nested frames and labels; it means nothing, and
//! must not be executed if it accesses memory or calls.

use crate::descr::{
    ArrayDescr, CallDescr, Descr, DescrRef, Effect, FieldDescr, Memory, Pointee, SizeDescr, TargetToken, Word,
};
use crate::op::{Class, Opcode, Operands};
use crate::trace::{
    Derived, Frame, GuardId, InputWord, JitCodeId, Op, Reach, Root, RootKind, Snapshot, SnapshotId, Trace,
};
use crate::value::{Const, Kind, Ref};
use std::rc::Rc;

/// What may occur.
#[derive(Clone, Debug)]
pub struct Config {
    /// The operations to choose from.
    pub opcodes: Vec<Opcode>,
    /// Whether guards have names.
    pub guard_names: bool,
    /// Whether guards are marked as early.
    pub early: bool,
    /// Whether operations are sunk and stores pending.
    pub sunk: bool,
    /// Whether inputs are declared to be narrow.
    pub words: bool,
}

impl Config {
    /// Everything.
    pub fn everything() -> Config {
        Config {
            opcodes: Opcode::ALL.to_vec(),
            guard_names: true,
            early: true,
            sunk: true,
            words: true,
        }
    }

    /// Arithmetic and guards only.
    pub fn arithmetic() -> Config {
        let address = |op: &Opcode| matches!(op, Opcode::PtrField | Opcode::PtrItem);
        let arithmetic = |op: &Opcode| {
            matches!(
                op.class(),
                Class::Pure | Class::Partial | Class::Overflow | Class::Guard
            )
        };
        let opcodes = Opcode::ALL
            .iter()
            .copied()
            .filter(|op| arithmetic(op) && !address(op))
            .collect();
        Config {
            opcodes,
            guard_names: false,
            early: false,
            sunk: false,
            words: false,
        }
    }
}

/// The trace that the seeds stand for. It ends in `jump` if `jump` is among the operations, else in `finish`.
pub fn trace(seeds: &[u64], config: &Config) -> Trace {
    let mut header = Random(seeds.len() as u64);
    let inputs: Vec<Kind> = [
        Kind::Int,
        Kind::Int,
        Kind::Ref,
        Kind::Ref,
        Kind::Float,
        Kind::Float,
        Kind::Int,
    ]
    .into_iter()
    .cycle()
    .take(header.below(9))
    .collect();
    let mut generator = Generator {
        visible: (0..inputs.len()).map(Ref::value).collect(),
        trace: Trace::new(inputs),
        random: header,
        config,
        sunk: Vec::new(),
        sees_sunk: false,
        snapshots: Vec::new(),
        labels: Vec::new(),
        guards: 0,
    };
    generator.roots();
    generator.derived();
    generator.words();
    for seed in seeds {
        generator.random = Random(*seed);
        let opcode = *generator.random.pick(&config.opcodes);
        generator.op(opcode);
    }
    generator.end();
    generator.trace
}

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next word.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.word() % n as u64) as usize
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// A word that is likely to be at a boundary of some width.
    pub fn interesting_word(&mut self) -> u64 {
        let edges = [
            1 << 7,
            1 << 8,
            1 << 15,
            1 << 16,
            1 << 26,
            -(1 << 26),
            1 << 31,
            1 << 32,
            i64::MIN,
        ];
        let near = if self.one_in(4) { 0 } else { *self.pick(&edges) };
        match self.below(4) {
            0 => self.word(),
            1 => 1 << self.below(64),
            _ => near.wrapping_add(self.below(5) as i64 - 2) as u64,
        }
    }

    /// The bits of a float that is likely to be a special one.
    pub fn interesting_float(&mut self) -> u64 {
        let special = [
            0.0,
            -0.0,
            1.0,
            -1.5,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
            5e-324,
            f64::MAX,
        ];
        match self.below(4) {
            0 => self.word(),
            1 => 0x7ff0_0000_0000_0000 | (self.word() & 0x800f_ffff_ffff_ffff),
            _ => self.pick(&special).to_bits(),
        }
    }
}

struct Generator<'a> {
    trace: Trace,
    random: Random,
    config: &'a Config,
    /// Since the last label.
    visible: Vec<Ref>,
    /// Since the last label: sunk operations.
    sunk: Vec<Ref>,
    /// Whether what is made now may depend on sunk operations.
    sees_sunk: bool,
    snapshots: Vec<SnapshotId>,
    labels: Vec<(DescrRef, Vec<Kind>)>,
    guards: u32,
}

impl Generator<'_> {
    fn roots(&mut self) {
        for n in 0..self.trace.inputs.len() {
            if self.trace.inputs[n] != Kind::Float && self.random.one_in(2) {
                let kind = *self
                    .random
                    .pick(&[RootKind::Exclusive, RootKind::Shared, RootKind::Green]);
                self.trace.roots.push(Root {
                    value: Ref::value(n),
                    kind,
                });
            }
        }
    }

    fn derived(&mut self) {
        let exclusive = self.trace.roots.iter().filter(|root| root.kind == RootKind::Exclusive);
        let exclusive: Vec<Ref> = exclusive.map(|root| root.value).collect();
        for n in 0..self.trace.inputs.len() {
            let value = Ref::value(n);
            let is_root = self.trace.roots.iter().any(|root| root.value == value);
            if !exclusive.is_empty() && !is_root && self.random.one_in(3) {
                let root = *self.random.pick(&exclusive);
                let reach = *self.random.pick(&[Reach::Inside, Reach::Below, Reach::Perhaps]);
                self.trace.derived.push(Derived { value, root, reach });
            }
        }
    }

    fn words(&mut self) {
        for n in 0..self.trace.inputs.len() {
            if self.config.words && self.trace.inputs[n] == Kind::Int && self.random.one_in(2) {
                let word = *self
                    .random
                    .pick(&[Word::U8, Word::I16, Word::U32, Word::Length, Word::I64]);
                self.trace.words.push(InputWord {
                    value: Ref::value(n),
                    word,
                });
            }
        }
    }

    fn value(&mut self, kind: Kind) -> Ref {
        let candidates: Vec<Ref> = self
            .visible
            .iter()
            .chain(self.sunk.iter().filter(|_| self.sees_sunk))
            .copied()
            .filter(|v| self.result(*v) == Some(kind))
            .collect();
        if candidates.is_empty() || self.random.one_in(4) {
            self.constant(kind)
        } else {
            // recent values make longer chains
            let from = if self.random.one_in(2) {
                candidates.len().saturating_sub(3)
            } else {
                0
            };
            *self.random.pick(&candidates[from..])
        }
    }

    fn is_store(&self, value: Ref) -> bool {
        let definition = self.trace.defining_op(value);
        definition.is_some_and(|n| self.trace.ops[n].opcode.class() == Class::Store)
    }

    /// The kind of a value; `None` for what has no result.
    fn result(&self, value: Ref) -> Option<Kind> {
        match self.trace.defining_op(value) {
            Some(n) => self.trace.ops[n].opcode.result(),
            None => Some(self.trace.kind(value)),
        }
    }

    fn constant(&mut self, kind: Kind) -> Ref {
        let bits = match kind {
            Kind::Int => self.int(),
            Kind::Ref => *self.random.pick(&[0, 0x1000, 0x7fff_0000_1238]),
            Kind::Float => self.random.interesting_float(),
        };
        let constant = self.trace.constant(Const { kind, bits });
        if kind != Kind::Float && self.random.one_in(8) {
            constant.green()
        } else {
            constant
        }
    }

    /// Often next to another constant of the trace, where comparisons change their minds.
    fn int(&mut self) -> u64 {
        let known: Vec<Const> = self.trace.constants().collect();
        if !known.is_empty() && self.random.one_in(2) {
            let Const { kind, bits } = *self.random.pick(&known);
            if kind == Kind::Int {
                return bits.wrapping_add(self.random.below(3) as u64).wrapping_sub(1);
            }
        }
        self.random.interesting_word()
    }

    fn kind(&mut self) -> Kind {
        *self.random.pick(&[Kind::Int, Kind::Int, Kind::Ref, Kind::Float])
    }

    fn push(&mut self, op: Op) {
        let (has_result, sunk) = (op.opcode.result().is_some(), op.sunk);
        let value = self.trace.push(op);
        if sunk {
            self.sunk.push(value);
        } else if has_result {
            self.visible.push(value);
        }
    }

    fn op(&mut self, opcode: Opcode) {
        match opcode {
            // these follow what they belong to
            Opcode::GuardNoOverflow | Opcode::GuardOverflow | Opcode::GuardNoException => return,
            Opcode::Jump | Opcode::Finish => return,
            Opcode::Label => return self.label(),
            _ => {}
        }
        let descr = self.descr(opcode);
        let sunk = self.config.sunk && opcode.may_be_sunk() && self.random.one_in(4);
        self.sees_sunk = sunk;
        let args = self.args(opcode, descr.as_deref());
        self.sees_sunk = false;
        let can_panic = matches!(descr.as_deref(), Some(Descr::Call(call)) if call.can_panic);
        let mut op = Op {
            descr,
            sunk,
            ..Op::new(opcode, &args)
        };
        if opcode.is_guard() {
            self.exit(&mut op);
        }
        self.push(op);
        if can_panic {
            self.guard(Opcode::GuardNoException);
        } else if opcode.class() == Class::Overflow && !self.random.one_in(4) {
            let guard = if self.random.one_in(8) {
                Opcode::GuardOverflow
            } else {
                Opcode::GuardNoOverflow
            };
            self.guard(guard);
        }
    }

    fn guard(&mut self, opcode: Opcode) {
        let mut op = Op::new(opcode, &[]);
        self.exit(&mut op);
        self.push(op);
    }

    fn args(&mut self, opcode: Opcode, descr: Option<&Descr>) -> Vec<Ref> {
        let kinds = match (opcode.info().operands, descr) {
            (Operands::Fixed(kinds), _) => kinds.to_vec(),
            (Operands::One, _) => vec![self.kind()],
            (Operands::ValueAndConst, _) => {
                let kind = self.kind();
                return vec![self.value(kind), self.constant(kind)];
            }
            (Operands::Any, Some(Descr::Field(d))) => vec![Kind::Ref, d.word.kind()],
            (Operands::Any, Some(Descr::Array(d))) => vec![Kind::Int, Kind::Int, d.word.kind()],
            (Operands::Any, Some(Descr::Call(d))) => d.args.clone(),
            (Operands::Any, _) => Vec::new(),
        };
        let mut args: Vec<Ref> = kinds.into_iter().map(|kind| self.value(kind)).collect();
        if opcode.class() == Class::Call {
            let address = self.trace.constant(Const::int(0x7f00_0000_1000));
            args.insert(0, address);
        }
        if opcode == Opcode::IntSignext {
            let width = *self.random.pick(&[1, 2, 4]);
            args[1] = self.trace.constant(Const::int(width));
        }
        args
    }

    fn descr(&mut self, opcode: Opcode) -> Option<DescrRef> {
        use Opcode::*;
        let descr = match opcode {
            PtrField | SetfieldGc | GetfieldGcI | GetfieldGcR | GetfieldGcF => self.field(opcode),
            PtrItem | NewArray | SetarrayitemRaw | GetarrayitemRawI | GetarrayitemRawR | GetarrayitemRawF => {
                self.array(opcode)
            }
            Alloca | New | NewWithVtable => {
                let memory = self.memory();
                let vtable = (opcode == NewWithVtable || self.random.one_in(4)).then(|| self.random.word());
                let (size, align) = (self.random.below(100) as u32, 1 << self.random.below(5));
                Descr::Size(SizeDescr {
                    name: self.name(),
                    size,
                    align,
                    vtable,
                    memory,
                })
            }
            CallI | CallR | CallN | CallPureI | CallPureR => {
                let pure = matches!(opcode, CallPureI | CallPureR);
                let effects = [Effect::Any, Effect::Arguments, Effect::Elidable];
                let count = self.random.below(CallDescr::MAX_ARGS + 1);
                Descr::Call(CallDescr {
                    name: self.name(),
                    args: (0..count).map(|_| *self.random.pick(&[Kind::Int, Kind::Ref])).collect(),
                    result: opcode.result(),
                    effect: if pure {
                        Effect::Elidable
                    } else {
                        *self.random.pick(&effects)
                    },
                    can_panic: self.random.one_in(2),
                })
            }
            DebugMergePoint => {
                let (depth, call) = (self.random.below(3) as u32, self.random.below(100) as u32);
                Descr::Location(depth, call, self.name())
            }
            _ => return None,
        };
        Some(Rc::new(descr))
    }

    /// What a load's result or any operation's operand may hold.
    fn word(&mut self, opcode: Opcode) -> Word {
        let ints = [
            Word::U8,
            Word::U16,
            Word::U32,
            Word::U64,
            Word::Length,
            Word::I8,
            Word::I16,
            Word::I32,
            Word::I64,
            Word::Ref,
            Word::F64,
        ];
        match opcode.result() {
            Some(Kind::Int) => *self.random.pick(&ints[..9]),
            Some(Kind::Float) => Word::F64,
            Some(Kind::Ref) if opcode.class() == Class::Load => Word::Ref,
            _ => *self.random.pick(&ints),
        }
    }

    fn field(&mut self, opcode: Opcode) -> Descr {
        let (name, memory, pointee, word) = (self.name(), self.memory(), self.pointee(), self.word(opcode));
        let (offset, frozen) = (8 * self.random.below(4) as u32, self.random.one_in(2));
        Descr::Field(FieldDescr {
            name,
            offset,
            word,
            memory,
            frozen,
            pointee,
        })
    }

    fn array(&mut self, opcode: Opcode) -> Descr {
        let (name, memory, pointee, word) = (self.name(), self.memory(), self.pointee(), self.word(opcode));
        let item_size = *self.random.pick(&[8, 16, 24]);
        let (offset, frozen) = (*self.random.pick(&[0, item_size - word.size()]), self.random.one_in(2));
        Descr::Array(ArrayDescr {
            name,
            item_size,
            offset,
            word,
            memory,
            frozen,
            pointee,
        })
    }

    fn memory(&mut self) -> Memory {
        *self.random.pick(&[Memory::Rust, Memory::Rust, Memory::Raw, Memory::Gc])
    }

    fn pointee(&mut self) -> Pointee {
        use Pointee::*;
        *self
            .random
            .pick(&[Unknown, Unknown, Owned, Exclusive, Shared, Counted, Mixed])
    }

    fn name(&mut self) -> String {
        let names = [
            "Point.x",
            "Point.y",
            "Point",
            "items",
            "put",
            "",
            " ",
            "TargetToken(7)",
            "<T>::f",
            "it's, #1",
            "a\nb\t\"\\",
            "Größe",
            "x~2",
            "Vec<(u8;i64)>",
        ];
        self.random.pick(&names).to_string()
    }

    fn exit(&mut self, op: &mut Op) {
        op.early = self.config.early && op.opcode.is_guard() && self.random.one_in(5);
        let stores: Vec<Ref> = self
            .sunk
            .iter()
            .copied()
            .filter(|store| self.is_store(*store))
            .collect();
        if !stores.is_empty() {
            op.pending = Some(stores.into_iter().filter(|_| !self.random.one_in(3)).collect());
        }
        op.snapshot = Some(if self.random.one_in(4) {
            self.frame(None)
        } else {
            self.frames()
        });
        if self.config.guard_names {
            op.guard = Some(GuardId(self.guards));
            self.guards += 1 + self.random.below(20) as u32;
        }
    }

    fn frames(&mut self) -> SnapshotId {
        let mut parent = None;
        if !self.snapshots.is_empty() && self.random.one_in(2) {
            parent = Some(*self.random.pick(&self.snapshots));
        }
        for _ in 0..self.random.below(3) {
            parent = Some(self.frame(parent));
        }
        self.frame(parent)
    }

    fn frame(&mut self, parent: Option<SnapshotId>) -> SnapshotId {
        self.sees_sunk = true;
        let values = (0..self.random.below(5)).map(|_| {
            let kind = self.kind();
            self.value(kind)
        });
        let values = values.collect();
        self.sees_sunk = false;
        let frame = Frame {
            jitcode: JitCodeId(self.random.below(5) as u32),
            pc: self.random.below(1000) as u32,
        };
        let frame = (!self.random.one_in(4)).then_some(frame);
        let id = self.trace.add_snapshot(Snapshot { frame, values, parent });
        self.snapshots.push(id);
        id
    }

    fn label(&mut self) {
        let mut args = std::mem::take(&mut self.visible);
        args.retain(|_| !self.random.one_in(3));
        let kinds = args.iter().map(|arg| self.trace.kind(*arg)).collect();
        let descr = Rc::new(Descr::Target(TargetToken(self.labels.len() as u32)));
        self.trace.push(Op::with_descr(Opcode::Label, &args, descr.clone()));
        self.labels.push((descr, kinds));
        self.visible = args;
        self.sunk.clear();
        self.snapshots.clear();
    }

    fn end(&mut self) {
        let mut op = Op::new(Opcode::Finish, &[]);
        if self.config.opcodes.contains(&Opcode::Jump) {
            op.opcode = Opcode::Jump;
            let label = self.labels.pop().filter(|_| !self.random.one_in(4));
            let elsewhere = (
                Rc::new(Descr::Target(TargetToken(u32::MAX))),
                vec![Kind::Int, Kind::Ref],
            );
            let (descr, kinds) = label.unwrap_or(elsewhere);
            op.args = kinds.into_iter().map(|kind| self.value(kind)).collect();
            op.descr = Some(descr);
        } else {
            self.exit(&mut op);
        }
        self.push(op);
    }
}
