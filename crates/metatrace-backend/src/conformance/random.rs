//! Random programs: loops, straight traces and bridges that read and write one buffer, call shims and always end.
//!
//! A seed makes some traces at a time. They are compiled on two backends and run on the same inputs; both must
//! leave at the same guards with the same values, and leave the buffer alike. Guards that failed then get bridges, from
//! the same seed, and so on.
//!
//! What has no fixed meaning does not get into what is compared: the address of a frame slot is only used to access the
//! slot, and the bits of a float that an operation computed (which NaN is it?) never become an integer.

use super::bench::{execute, same, show};
use super::shims::{fussy, mix, payload};
use crate::{Backend, LoopToken};
use metatrace_ir::random::Random;
use metatrace_ir::{
    ArrayDescr, CallDescr, Class, Const, Descr, DescrRef, Effect, FieldDescr, GuardId, Kind, Memory, Op, Opcode,
    Pointee, Ref, SizeDescr, Snapshot, TargetToken, Trace, Word,
};
use std::collections::BTreeSet;
use std::rc::Rc;

/// Words that may be read as integers, and those that hold floats; then one word of fuel.
const WORDS: usize = 64;
const FUEL: usize = 2 * WORDS;

/// How far a seed goes.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// About how many operations a trace has.
    pub ops: usize,
    /// How many times guards that failed get bridges.
    pub rounds: usize,
    /// How many inputs each trace is run on.
    pub runs: usize,
}

impl Size {
    /// For tests that run thousands of seeds.
    pub fn smoke() -> Size {
        Size {
            ops: 40,
            rounds: 3,
            runs: 4,
        }
    }
}

/// Compares two empty backends, made with the same forcing, on the programs of one seed.
///
/// # Panics
/// Where they differ, with all traces.
pub fn compare(seed: u64, size: Size, reference: &dyn Backend, tested: &dyn Backend) {
    let mut program = Program::new(seed);
    let mut comparison = Comparison {
        reference,
        tested,
        log: vec![format!("seed {seed}, {size:?}")],
    };
    for round in 0..size.rounds {
        let pieces = program.round(round, size);
        for piece in &pieces {
            comparison.compile(piece);
        }
        for (token, inputs) in program.entries.clone() {
            for _ in 0..size.runs {
                let args: Vec<u64> = inputs.iter().map(|kind| program.word(*kind)).collect();
                let left = comparison.run(token, &args, &mut program);
                program.failed.insert(left);
            }
        }
    }
}

/// A trace and where it goes.
struct Piece {
    token: LoopToken,
    guard: Option<GuardId>,
    trace: Trace,
}

struct Comparison<'a> {
    reference: &'a dyn Backend,
    tested: &'a dyn Backend,
    log: Vec<String>,
}

impl Comparison<'_> {
    fn compile(&mut self, piece: &Piece) {
        self.log
            .push(format!("{:?}, {:?}\n{}", piece.token, piece.guard, show(&piece.trace)));
        metatrace_ir::verify(&piece.trace)
            .unwrap_or_else(|error| self.fail(&format!("the generator is wrong: {error}")));
        for backend in [self.reference, self.tested] {
            let result = match piece.guard {
                None => backend.compile_loop(piece.token, &piece.trace),
                Some(guard) => backend.compile_bridge(piece.token, guard, &piece.trace),
            };
            if let Err(error) = result {
                self.fail(&format!("{}: {error}", backend.name()));
            }
        }
    }

    /// Runs a loop on both backends; the guard at which they left.
    fn run(&mut self, token: LoopToken, args: &[u64], program: &mut Program) -> u32 {
        let image = program.image();
        let [(expected, expected_memory), (left, memory)] = [self.reference, self.tested].map(|backend| {
            program.memory.copy_from_slice(&image);
            // SAFETY: the generator's traces access the program's buffer and their own frame slots only.
            let mut left = unsafe { execute(backend, token, args) };
            left.payload = left.payload.map(payload);
            (left, program.memory.to_vec())
        });
        let kinds = &program.exits[expected.guard as usize].values;
        let agree = expected.guard == left.guard
            && expected.payload == left.payload
            && expected.values.len() == left.values.len()
            && kinds
                .iter()
                .zip(expected.values.iter().zip(&left.values))
                .all(|(info, (a, b))| info.agree(*a, *b))
            && expected_memory.iter().zip(&memory).enumerate().all(|(n, (a, b))| {
                same(
                    if (WORDS..FUEL).contains(&n) {
                        Kind::Float
                    } else {
                        Kind::Int
                    },
                    *a,
                    *b,
                )
            });
        if !agree {
            let words = expected_memory
                .iter()
                .zip(&memory)
                .enumerate()
                .filter(|(_, (a, b))| a != b);
            let words: Vec<String> = words.map(|(n, (a, b))| format!("word {n}: {a:#x} {b:#x}")).collect();
            self.fail(&format!(
                "{token:?} on {args:x?}:\n{expected:x?}\n{left:x?}\n{}",
                words.join("\n")
            ));
        }
        expected.guard
    }

    fn fail(&self, what: &str) -> ! {
        panic!("{}\n{what}", self.log.join("\n"));
    }
}

/// What the generator knows of a value.
#[derive(Clone, Debug)]
struct Info {
    kind: Kind,
    sort: Sort,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sort {
    /// Its bits are the same on every backend.
    Exact,
    /// A float that may be any NaN.
    Computed,
    /// The address of a frame slot of 16 bytes, which holds two integers.
    Slot,
}

impl Info {
    fn agree(&self, a: u64, b: u64) -> bool {
        self.sort == Sort::Slot || same(self.kind, a, b)
    }

    fn is_exact(&self, kind: Kind) -> bool {
        self.kind == kind && self.sort == Sort::Exact
    }
}

/// What an exit gives.
struct ExitInfo {
    values: Vec<Info>,
    token: LoopToken,
    takes_bridge: bool,
}

/// All traces of a seed, and the buffer.
struct Program {
    random: Random,
    memory: Box<[u64]>,
    descrs: Descrs,
    entries: Vec<(LoopToken, Vec<Kind>)>,
    labels: Vec<(TargetToken, Vec<Info>)>,
    /// By guard.
    exits: Vec<ExitInfo>,
    failed: BTreeSet<u32>,
    bridged: BTreeSet<u32>,
}

struct Descrs {
    ints: Vec<DescrRef>,
    floats: Vec<DescrRef>,
    fuel: DescrRef,
    slot: DescrRef,
    slot_words: [DescrRef; 2],
}

impl Descrs {
    fn new() -> Descrs {
        let array = |item_size: u32, offset: u32, word: Word| {
            let name = format!("{word:?}s{item_size}+{offset}");
            Rc::new(Descr::Array(ArrayDescr {
                name,
                item_size,
                offset,
                word,
                memory: Memory::Raw,
                frozen: false,
                pointee: Pointee::Unknown,
            }))
        };
        let field = |name: &str, offset: u32| {
            Rc::new(Descr::Field(FieldDescr {
                name: name.to_string(),
                offset,
                word: Word::I64,
                memory: Memory::Raw,
                frozen: false,
                pointee: Pointee::Unknown,
            }))
        };
        let ints = [
            Word::U8,
            Word::I8,
            Word::U16,
            Word::I16,
            Word::U32,
            Word::I32,
            Word::U64,
            Word::I64,
        ];
        let mut arrays = Vec::new();
        for word in ints {
            let size = word.size();
            arrays.extend([array(size, 0, word), array(size * 3, size, word), array(16, 8, word)]);
        }
        let at = 8 * WORDS as u32;
        let floats = [array(at + 8, at, Word::F64), array(at + 24, at, Word::F64)];
        let slot = SizeDescr {
            name: "Slot".to_string(),
            size: 16,
            align: 8,
            vtable: None,
            memory: Memory::Rust,
        };
        Descrs {
            ints: arrays,
            // index 0 only; the others are below
            floats: [floats.to_vec(), vec![array(8, 0, Word::F64)]].concat(),
            fuel: field("fuel", 8 * FUEL as u32),
            slot: Rc::new(Descr::Size(slot)),
            slot_words: [field("Slot.a", 0), field("Slot.b", 8)],
        }
    }
}

impl Program {
    fn new(seed: u64) -> Program {
        Program {
            random: Random(seed),
            memory: vec![0; FUEL + 1].into_boxed_slice(),
            descrs: Descrs::new(),
            entries: Vec::new(),
            labels: Vec::new(),
            exits: Vec::new(),
            failed: BTreeSet::new(),
            bridged: BTreeSet::new(),
        }
    }

    /// The traces to compile next: entries at first, then bridges for what has failed.
    fn round(&mut self, round: usize, size: Size) -> Vec<Piece> {
        if round == 0 {
            return (0..1 + self.random.below(2)).map(|_| self.entry(size)).collect();
        }
        let open: Vec<u32> = self.failed.difference(&self.bridged).copied().collect();
        let open: Vec<u32> = open
            .into_iter()
            .filter(|guard| self.exits[*guard as usize].takes_bridge)
            .collect();
        let mut pieces = Vec::new();
        for guard in open {
            if self.random.one_in(4) {
                continue;
            }
            self.bridged.insert(guard);
            let ExitInfo { values, token, .. } = &self.exits[guard as usize];
            let (values, token) = (values.clone(), *token);
            let trace = Generator::new(self, token, values).generate(size);
            pieces.push(Piece {
                token,
                guard: Some(GuardId(guard)),
                trace,
            });
        }
        pieces
    }

    fn entry(&mut self, size: Size) -> Piece {
        let token = LoopToken(self.entries.len() as u32);
        let most = if self.random.one_in(3) { 40 } else { 8 };
        let count = self.random.below(most);
        let inputs: Vec<Kind> = (0..count)
            .map(|_| if self.random.one_in(3) { Kind::Float } else { Kind::Int })
            .collect();
        let infos = inputs
            .iter()
            .map(|kind| Info {
                kind: *kind,
                sort: Sort::Exact,
            })
            .collect();
        self.entries.push((token, inputs));
        let trace = Generator::new(self, token, infos).generate(size);
        Piece {
            token,
            guard: None,
            trace,
        }
    }

    /// A word for an input or a constant.
    fn word(&mut self, kind: Kind) -> u64 {
        match kind {
            Kind::Float if self.random.one_in(2) => (self.random.below(1000) as f64 / 8.0 - 50.0).to_bits(),
            Kind::Float => self.random.interesting_float(),
            _ if self.random.one_in(2) => self.random.below(100) as u64,
            _ => self.random.interesting_word(),
        }
    }

    /// What the buffer holds when a run begins.
    fn image(&mut self) -> Vec<u64> {
        let mut image: Vec<u64> = (0..WORDS).map(|_| self.word(Kind::Int)).collect();
        image.extend((WORDS..FUEL).map(|_| self.word(Kind::Float)).collect::<Vec<u64>>());
        image.push(20);
        image
    }
}

/// Makes one trace.
struct Generator<'a> {
    program: &'a mut Program,
    token: LoopToken,
    trace: Trace,
    values: Vec<(Ref, Info)>,
    label: Option<(TargetToken, Vec<Info>)>,
    /// Indices used since the last label, with what they are below.
    indices: Vec<(Ref, usize)>,
}

impl Generator<'_> {
    fn new(program: &mut Program, token: LoopToken, inputs: Vec<Info>) -> Generator<'_> {
        let trace = Trace::new(inputs.iter().map(|info| info.kind).collect());
        let values = inputs
            .into_iter()
            .enumerate()
            .map(|(n, info)| (Ref::value(n), info))
            .collect();
        Generator {
            program,
            token,
            trace,
            values,
            label: None,
            indices: Vec::new(),
        }
    }

    fn generate(mut self, size: Size) -> Trace {
        let ops = 1 + self.below(size.ops);
        if self.one_in(2) {
            let before = self.below(ops);
            self.ops(before);
            self.loop_header();
        }
        self.ops(ops);
        self.end();
        self.trace
    }

    fn below(&mut self, n: usize) -> usize {
        self.program.random.below(n)
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.program.random.one_in(n)
    }

    fn constant(&mut self, kind: Kind, bits: u64) -> Ref {
        self.trace.constant(Const { kind, bits })
    }

    fn int(&mut self, value: u64) -> Ref {
        self.constant(Kind::Int, value)
    }

    /// A value that `fits`, perhaps a recent one.
    fn pick(&mut self, fits: impl Fn(&Info) -> bool) -> Option<Ref> {
        let fitting: Vec<Ref> = self
            .values
            .iter()
            .filter(|(_, info)| fits(info))
            .map(|(value, _)| *value)
            .collect();
        if fitting.is_empty() {
            return None;
        }
        let from = if self.one_in(2) {
            fitting.len().saturating_sub(4)
        } else {
            0
        };
        let n = from + self.below(fitting.len() - from);
        Some(fitting[n])
    }

    /// An operand of exact bits: a value, seldom a constant.
    fn exact(&mut self, kind: Kind) -> Ref {
        self.operand(kind, true)
    }

    fn operand(&mut self, kind: Kind, exact: bool) -> Ref {
        let value = if self.one_in(5) {
            None
        } else {
            self.pick(|info| info.is_exact(kind) || (!exact && info.kind == kind && info.sort == Sort::Computed))
        };
        value.unwrap_or_else(|| {
            let bits = self.program.word(kind);
            self.constant(kind, bits)
        })
    }

    fn push(&mut self, op: Op, sort: Sort) -> Ref {
        let kind = op.opcode.result();
        let value = self.trace.push(op);
        if let Some(kind) = kind {
            self.values.push((value, Info { kind, sort }));
        }
        value
    }

    fn exact_op(&mut self, opcode: Opcode, args: &[Ref]) -> Ref {
        self.push(Op::new(opcode, args), Sort::Exact)
    }

    fn ops(&mut self, count: usize) {
        for _ in 0..count {
            match self.below(20) {
                0..=8 => self.arithmetic(),
                9 => self.division(),
                10 => self.overflow(),
                11..=12 => self.load(),
                13..=14 => self.store(),
                15 => self.call(),
                16 => self.slot(),
                _ => self.guard(),
            }
        }
    }

    fn arithmetic(&mut self) {
        let pure: Vec<Opcode> = Opcode::ALL
            .iter()
            .copied()
            .filter(|op| op.class() == Class::Pure && !matches!(op, Opcode::PtrField | Opcode::PtrItem))
            .collect();
        let opcode = pure[self.below(pure.len())];
        let metatrace_ir::op::Operands::Fixed(kinds) = opcode.info().operands else {
            panic!("{} is pure", opcode.name())
        };
        let exact = opcode == Opcode::ConvertFloatBytesToLonglong;
        if kinds.contains(&Kind::Ref) {
            return; // addresses are of two sorts, which generic code does not tell apart
        }
        let mut args: Vec<Ref> = kinds.iter().map(|kind| self.operand(*kind, exact)).collect();
        if opcode == Opcode::IntSignext {
            let width = 1 << self.below(3);
            args[1] = self.int(width);
        }
        if opcode == Opcode::CastIntToPtr {
            return;
        }
        let sort = if opcode.result() == Some(Kind::Float) && kinds[0] == Kind::Float {
            Sort::Computed
        } else {
            Sort::Exact
        };
        self.push(Op::new(opcode, &args), sort);
    }

    fn division(&mut self) {
        let opcodes = [
            Opcode::IntFloordiv,
            Opcode::IntMod,
            Opcode::UintFloordiv,
            Opcode::UintMod,
        ];
        let opcode = opcodes[self.below(4)];
        let a = self.exact(Kind::Int);
        let divisor = if self.one_in(3) {
            let divisor = [1, 2, 3, 7, 10, 64, 1000, 1 << 40, i64::MAX as u64][self.below(9)];
            self.int(divisor)
        } else {
            let b = self.exact(Kind::Int);
            let mask = self.int(0xffff);
            let b = self.exact_op(Opcode::IntAnd, &[b, mask]);
            let one = self.int(1);
            self.exact_op(Opcode::IntOr, &[b, one])
        };
        self.exact_op(opcode, &[a, divisor]);
    }

    fn overflow(&mut self) {
        let opcode = [Opcode::IntAddOvf, Opcode::IntSubOvf, Opcode::IntMulOvf][self.below(3)];
        let (a, b) = (self.exact(Kind::Int), self.exact(Kind::Int));
        let visible = self.values.clone();
        let result = self.exact_op(opcode, &[a, b]);
        if self.one_in(6) {
            return;
        }
        let check = if self.one_in(4) {
            Opcode::GuardOverflow
        } else {
            Opcode::GuardNoOverflow
        };
        let behind = std::mem::replace(&mut self.values, visible);
        if self.one_in(4) {
            self.values.push((
                result,
                Info {
                    kind: Kind::Int,
                    sort: Sort::Exact,
                },
            ));
        }
        self.exit(check, &[], true);
        self.values = behind;
    }

    /// The buffer's address: a constant, or a value.
    fn base(&mut self, kind: Kind) -> Ref {
        let address = self.program.memory.as_ptr() as u64;
        let constant = self.constant(kind, address);
        if self.one_in(2) {
            return constant;
        }
        // computed at run time as far as a backend can see, and from then on not to be told from other integers
        let base = self.constant(Kind::Int, address);
        let value = self.trace.push(Op::new(Opcode::SameAsI, &[base]));
        self.values.push((
            value,
            Info {
                kind: Kind::Int,
                sort: Sort::Exact,
            },
        ));
        match kind {
            Kind::Int => value,
            _ => self.trace.push(Op::new(Opcode::CastIntToPtr, &[value])),
        }
    }

    /// An index below `limit`.
    fn index(&mut self, limit: usize) -> Ref {
        if self.one_in(2) {
            let index = self.below(limit) as u64;
            return self.int(index);
        }
        // often the index of an earlier access, as to another word of one item
        let usable: Vec<Ref> = self
            .indices
            .iter()
            .filter(|(_, below)| *below <= limit)
            .map(|(index, _)| *index)
            .collect();
        if !usable.is_empty() && !self.one_in(3) {
            return usable[self.below(usable.len())];
        }
        let below = (limit + 1).next_power_of_two() / 2;
        let mask = self.int(below as u64 - 1);
        let value = self.exact(Kind::Int);
        let index = self.exact_op(Opcode::IntAnd, &[value, mask]);
        self.indices.push((index, below));
        index
    }

    /// An array access: descriptor, base, index.
    fn item(&mut self) -> (DescrRef, Ref, Ref) {
        let floats = self.one_in(3);
        let descrs = if floats {
            &self.program.descrs.floats
        } else {
            &self.program.descrs.ints
        };
        let descrs = descrs.clone();
        let n = self.below(descrs.len());
        let descr = descrs[n].clone();
        let array = descr.array();
        if floats && array.offset == 0 {
            let base = self.base(Kind::Int);
            let index = WORDS + self.below(WORDS);
            let index = self.int(index as u64);
            return (descr, base, index);
        }
        let bytes = 8 * if floats { FUEL } else { WORDS };
        let limit = (bytes - array.offset as usize - array.word.size() as usize) / array.item_size as usize + 1;
        let base = self.base(Kind::Int);
        let index = self.index(limit);
        (descr, base, index)
    }

    fn load(&mut self) {
        if self.one_in(4) {
            let slot = self.pick(|info| info.sort == Sort::Slot);
            let word = self.below(2);
            let descr = self.program.descrs.slot_words[word].clone();
            if let Some(slot) = slot {
                self.push(Op::with_descr(Opcode::GetfieldGcI, &[slot], descr), Sort::Exact);
                return;
            }
        }
        let (descr, base, index) = self.item();
        let kind = descr.array().word.kind();
        let sort = if kind == Kind::Float {
            Sort::Computed
        } else {
            Sort::Exact
        };
        self.push(Op::with_descr(Opcode::getarrayitem(kind), &[base, index], descr), sort);
    }

    fn store(&mut self) {
        if self.one_in(4) {
            let slot = self.pick(|info| info.sort == Sort::Slot);
            let word = self.below(2);
            let descr = self.program.descrs.slot_words[word].clone();
            let value = self.exact(Kind::Int);
            if let Some(slot) = slot {
                self.push(Op::with_descr(Opcode::SetfieldGc, &[slot, value], descr), Sort::Exact);
                return;
            }
        }
        let (descr, base, index) = self.item();
        let value = self.operand(descr.array().word.kind(), false);
        self.push(
            Op::with_descr(Opcode::SetarrayitemRaw, &[base, index, value], descr),
            Sort::Exact,
        );
    }

    fn call(&mut self) {
        let count = self.below(7);
        let can_panic = self.one_in(2);
        let function = if can_panic { fussy(count) } else { mix(count) };
        let mut args = vec![self.int(function)];
        args.extend((0..count).map(|_| self.exact(Kind::Int)).collect::<Vec<Ref>>());
        let result = (!self.one_in(6)).then_some(Kind::Int);
        let descr = CallDescr {
            name: format!("{}{count}", if can_panic { "fussy" } else { "mix" }),
            args: vec![Kind::Int; count],
            result,
            effect: if can_panic { Effect::Any } else { Effect::Elidable },
            can_panic,
        };
        let opcode = if result.is_some() && !can_panic && self.one_in(2) {
            Opcode::CallPureI
        } else {
            Opcode::call(result)
        };
        let op = Op::with_descr(opcode, &args, Rc::new(Descr::Call(descr)));
        let visible = self.values.clone();
        self.push(op, Sort::Exact);
        if can_panic {
            let behind = std::mem::replace(&mut self.values, visible);
            self.exit(Opcode::GuardNoException, &[], false);
            self.values = behind;
        }
    }

    fn slot(&mut self) {
        let descr = self.program.descrs.slot.clone();
        let slot = self.push(Op::with_descr(Opcode::Alloca, &[], descr), Sort::Slot);
        for word in self.program.descrs.slot_words.clone() {
            let value = self.exact(Kind::Int);
            self.push(Op::with_descr(Opcode::SetfieldGc, &[slot, value], word), Sort::Exact);
        }
    }

    fn guard(&mut self) {
        match self.below(8) {
            0 => {
                let value = self.exact(Kind::Int);
                let bits = self.program.word(Kind::Int);
                let bits = self.int(bits);
                self.exit(Opcode::GuardValue, &[value, bits], true);
            }
            1 => {
                let bits = self.program.word(Kind::Float);
                let constant = self.constant(Kind::Float, bits);
                let value = self.exact(Kind::Float);
                self.exit(Opcode::GuardValue, &[value, constant], true);
            }
            2 => {
                let value = self.exact(Kind::Int);
                self.exit(
                    [Opcode::GuardTrue, Opcode::GuardFalse][value_parity(value)],
                    &[value],
                    true,
                );
            }
            n => {
                let comparisons: Vec<Opcode> = Opcode::ALL
                    .iter()
                    .copied()
                    .filter(|op| op.is_comparison() && !matches!(op, Opcode::PtrEq | Opcode::PtrNe))
                    .collect();
                let opcode = comparisons[self.below(comparisons.len())];
                let metatrace_ir::op::Operands::Fixed(kinds) = opcode.info().operands else {
                    panic!("{} compares", opcode.name())
                };
                let args: Vec<Ref> = kinds.iter().map(|kind| self.operand(*kind, false)).collect();
                let result = self.exact_op(opcode, &args);
                if n == 3 {
                    self.arithmetic();
                }
                if !self.one_in(3) {
                    self.values.retain(|(value, _)| *value != result);
                }
                let check = if self.one_in(2) {
                    Opcode::GuardTrue
                } else {
                    Opcode::GuardFalse
                };
                self.exit(check, &[result], true);
            }
        }
    }

    /// A guard or `finish`, with some of the visible values.
    fn exit(&mut self, opcode: Opcode, args: &[Ref], takes_bridge: bool) {
        let share = [1, 2, 8][self.below(3)];
        let mut kept = Vec::new();
        for n in 0..self.values.len() {
            if self.one_in(share) {
                kept.push(self.values[n].clone());
            }
        }
        if self.one_in(3) {
            kept.reverse();
        }
        let values = kept.iter().map(|(value, _)| *value).collect();
        let snapshot = self.trace.add_snapshot(Snapshot {
            frame: None,
            values,
            parent: None,
        });
        let mut op = Op::with_snapshot(opcode, args, snapshot);
        op.guard = Some(GuardId(self.program.exits.len() as u32));
        self.program.exits.push(ExitInfo {
            values: kept.into_iter().map(|(_, info)| info).collect(),
            token: self.token,
            takes_bridge,
        });
        self.trace.push(op);
    }

    /// A label behind which only some values are known, and the guard that ends every loop.
    fn loop_header(&mut self) {
        let share = 1 + self.below(3);
        let mut args = Vec::new();
        for n in 0..self.values.len() {
            let (value, info) = self.values[n].clone();
            // an address must not come back from an iteration in which its slot was another's
            if info.sort != Sort::Slot && !self.one_in(share + 1) {
                let sort = if info.kind == Kind::Float {
                    Sort::Computed
                } else {
                    Sort::Exact
                };
                args.push((value, Info { kind: info.kind, sort }));
            }
        }
        for n in (1..args.len()).rev() {
            let other = self.below(n + 1);
            args.swap(n, other);
        }
        let token = TargetToken(self.program.labels.len() as u32);
        let infos: Vec<Info> = args.iter().map(|(_, info)| info.clone()).collect();
        let refs: Vec<Ref> = args.iter().map(|(value, _)| *value).collect();
        self.trace
            .push(Op::with_descr(Opcode::Label, &refs, Rc::new(Descr::Target(token))));
        self.program.labels.push((token, infos.clone()));
        self.label = Some((token, infos));
        self.values = args;
        self.indices.clear();
        self.burn_fuel();
    }

    fn burn_fuel(&mut self) {
        let descr = self.program.descrs.fuel.clone();
        let base = self.base(Kind::Ref);
        let fuel = self.push(Op::with_descr(Opcode::GetfieldGcI, &[base], descr.clone()), Sort::Exact);
        let one = self.int(1);
        let rest = self.exact_op(Opcode::IntSub, &[fuel, one]);
        self.push(Op::with_descr(Opcode::SetfieldGc, &[base, rest], descr), Sort::Exact);
        let zero = self.int(0);
        let goes_on = self.trace.push(Op::new(Opcode::IntGt, &[rest, zero]));
        self.exit(Opcode::GuardTrue, &[goes_on], false);
    }

    fn end(&mut self) {
        let own = self.label.take();
        let target = match own {
            Some(own) if !self.one_in(5) => Some(own),
            _ if self.one_in(2) && !self.program.labels.is_empty() => {
                let n = self.below(self.program.labels.len());
                Some(self.program.labels[n].clone())
            }
            _ => None,
        };
        let Some((token, infos)) = target else {
            self.exit(Opcode::Finish, &[], false);
            return;
        };
        let args: Vec<Ref> = infos
            .iter()
            .map(|info| self.operand(info.kind, info.sort == Sort::Exact))
            .collect();
        self.trace
            .push(Op::with_descr(Opcode::Jump, &args, Rc::new(Descr::Target(token))));
    }
}

fn value_parity(value: Ref) -> usize {
    value.as_value().unwrap_or(0) % 2
}
