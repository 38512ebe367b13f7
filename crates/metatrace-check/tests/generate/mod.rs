//! Random traces on memory, as an interpreter written in Rust could give them.
//!
//! All objects have one layout: numbers of several widths, some of them at one place; a buffer and a node that they own;
//! counted and shared references to others; a cell, a raw word and a length. What is generated keeps to Rust's rules: what
//! is behind a `&` is written in cells only, an owning pointer is moved and never copied, and a pointer into exclusive
//! memory that is stored where a call finds it is taken back at once. Which guards fail is left to who runs the trace.
//!
//! One seed makes one step, so a test that drops seeds shrinks the trace.

mod allocations;

use metatrace_ir::random::Random;
use metatrace_ir::{
    ArrayDescr, CallDescr, Const, Derived, Descr, DescrRef, Effect, FieldDescr, InputWord, Kind, Memory, Op, Opcode,
    Pointee, Reach, Ref, Root, RootKind, SizeDescr, Snapshot, TargetToken, Trace, Word,
};
use std::rc::Rc;

/// Where a buffer is that is known to be somewhere.
const ADDRESS: i64 = 140_000_000;

/// What a value is for.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Role {
    Number,
    Float,
    /// An object of an exclusive root, itself or below it.
    Exclusive,
    /// A root: what is passed for it where the trace is entered again is one as well.
    Root(RootKind, Kind),
    /// An object that must not be written, but in its cells.
    Frozen,
    /// Any other object.
    Unknown,
    /// An allocation of the trace.
    Own,
    /// An object that is no label's: it is there for this run only, or may be an exclusive one.
    Passing,
    /// The data of an exclusive buffer, and that of others.
    Buffer,
    FrozenBuffer,
    UnknownBuffer,
    /// Exclusive items that own buffers.
    Owners,
}

impl Role {
    /// Of a word that is no pointer.
    fn of_word(word: Word) -> Role {
        match word {
            Word::F64 => Role::Float,
            _ => Role::Number,
        }
    }

    fn is_object(self) -> bool {
        use Role::*;
        matches!(self, Exclusive | Root(_, Kind::Ref) | Frozen | Unknown | Own | Passing)
    }

    fn is_frozen(self) -> bool {
        matches!(
            self,
            Role::Frozen | Role::FrozenBuffer | Role::Root(RootKind::Shared | RootKind::Green, _)
        )
    }

    fn is_buffer(self) -> bool {
        matches!(
            self,
            Role::Buffer | Role::FrozenBuffer | Role::UnknownBuffer | Role::Root(_, Kind::Int)
        )
    }
}

fn field(name: &str, offset: u32, word: Word, pointee: Pointee, frozen: bool, memory: Memory) -> DescrRef {
    let name = name.to_string();
    Rc::new(Descr::Field(FieldDescr {
        name,
        offset,
        word,
        memory,
        frozen,
        pointee,
    }))
}

const NUMBERS: [(u32, Word); 9] = [
    (0, Word::I64),
    (0, Word::U64),
    (8, Word::U8),
    (8, Word::I8),
    (10, Word::I16),
    (12, Word::U32),
    (16, Word::F64),
    (16, Word::U64),
    (24, Word::Length),
];

fn number(random: &mut Random) -> DescrRef {
    match random.below(12) {
        0 => field("cell", 64, Word::I64, Pointee::Unknown, false, Memory::Rust),
        1 => field("raw", 72, Word::I64, Pointee::Unknown, true, Memory::Raw),
        _ => {
            let (offset, word) = *random.pick(&NUMBERS);
            field(
                &format!("{word:?}@{offset}"),
                offset,
                word,
                Pointee::Unknown,
                true,
                Memory::Rust,
            )
        }
    }
}

fn buffer() -> DescrRef {
    field("buffer", 32, Word::U64, Pointee::Owned, true, Memory::Rust)
}

fn node() -> DescrRef {
    field("node", 40, Word::Ref, Pointee::Owned, true, Memory::Rust)
}

fn items(random: &mut Random) -> DescrRef {
    let shapes = [
        (8, 0, Word::I64),
        (8, 0, Word::I64),
        (8, 4, Word::I32),
        (1, 0, Word::U8),
        (1, 0, Word::U8),
        (4, 0, Word::U32),
        (16, 8, Word::F64),
    ];
    let (item_size, offset, word) = *random.pick(&shapes);
    Rc::new(Descr::Array(ArrayDescr {
        name: format!("{word:?}x{item_size}+{offset}"),
        item_size,
        offset,
        word,
        memory: Memory::Rust,
        frozen: true,
        pointee: Pointee::Unknown,
    }))
}

fn owners() -> DescrRef {
    Rc::new(Descr::Array(ArrayDescr {
        name: "owners".to_string(),
        item_size: 8,
        offset: 0,
        word: Word::U64,
        memory: Memory::Rust,
        frozen: true,
        pointee: Pointee::Owned,
    }))
}

/// A trace in the making.
struct Generator {
    trace: Trace,
    random: Random,
    visible: Vec<(Ref, Role)>,
    labels: Vec<(DescrRef, Vec<Role>)>,
}

/// The trace that the seeds stand for. The first decides on inputs and the end.
pub fn trace(seeds: &[u64]) -> Trace {
    let (first, steps) = seeds.split_first().expect("one seed at least");
    let mut generator = Generator::new(Random(*first));
    if !generator.is_bridge() && !generator.random.one_in(4) {
        generator.label();
    }
    let mut end = generator.random.clone();
    for seed in steps {
        generator.random = Random(*seed);
        generator.step();
    }
    std::mem::swap(&mut generator.random, &mut end);
    generator.end();
    generator.trace
}

impl Generator {
    fn new(mut random: Random) -> Generator {
        use Role::*;
        let all = [
            (Root(RootKind::Exclusive, Kind::Ref), Kind::Ref),
            (Root(RootKind::Exclusive, Kind::Ref), Kind::Ref),
            (Root(RootKind::Exclusive, Kind::Int), Kind::Int),
            (Root(RootKind::Shared, Kind::Ref), Kind::Ref),
            (Unknown, Kind::Ref),
            (Unknown, Kind::Ref),
            (Number, Kind::Int),
            (Number, Kind::Int),
            (Number, Kind::Int),
            (Float, Kind::Float),
        ];
        let mut chosen: Vec<(Role, Kind)> = all.into_iter().filter(|_| !random.one_in(4)).collect();
        let roots = chosen
            .iter()
            .filter(|(role, kind)| *kind == Kind::Ref && *role == Root(RootKind::Exclusive, Kind::Ref));
        let derives = roots.count() > 0 && random.one_in(3);
        if derives {
            chosen.extend([(Exclusive, Kind::Ref), (Buffer, Kind::Int)]);
        }
        let mut trace = Trace::new(chosen.iter().map(|(_, kind)| *kind).collect());
        let mut visible = Vec::new();
        for (n, (role, kind)) in chosen.iter().enumerate() {
            let value = Ref::value(n);
            match role {
                Root(root, _) => trace.roots.push(metatrace_ir::Root { value, kind: *root }),
                Number if random.one_in(3) => {
                    let word = *random.pick(&[Word::U8, Word::I32, Word::Length]);
                    trace.words.push(InputWord { value, word });
                }
                _ => {}
            }
            if matches!(role, Exclusive | Buffer) && *kind != Kind::Float {
                let root = trace.roots[0].value;
                let reach = *random.pick(&[Reach::Inside, Reach::Below, Reach::Below, Reach::Perhaps]);
                trace.derived.push(Derived { value, root, reach });
            }
            visible.push((value, *role));
        }
        Generator {
            trace,
            random,
            visible,
            labels: Vec::new(),
        }
    }

    /// Only bridges know what derives from roots, and they have no labels.
    fn is_bridge(&self) -> bool {
        !self.trace.derived.is_empty()
    }

    // ---- values

    fn constant(&mut self, value: i64) -> Ref {
        self.trace.constant(Const::int(value))
    }

    fn find(&mut self, accept: impl Fn(Role) -> bool) -> Option<(Ref, Role)> {
        let found: Vec<_> = self.visible.iter().copied().filter(|(_, role)| accept(*role)).collect();
        if found.is_empty() {
            return None;
        }
        // recent values make longer chains
        let from = if self.random.one_in(2) {
            found.len().saturating_sub(4)
        } else {
            0
        };
        Some(*self.random.pick(&found[from..]))
    }

    fn number(&mut self) -> Ref {
        match self.find(|role| role == Role::Number) {
            Some((value, _)) if !self.random.one_in(4) => value,
            _ => {
                let word = self.random.interesting_word() as i64;
                let value = if self.random.one_in(4) { word } else { word % 100 };
                let value = self.near_another().unwrap_or(value);
                self.constant(value)
            }
        }
    }

    /// A constant next to another one that is no address, where comparisons change their minds.
    fn near_another(&mut self) -> Option<i64> {
        let ints = self.trace.constants().filter(|constant| constant.kind == Kind::Int);
        let ints = ints.map(|constant| constant.bits as i64);
        let ints: Vec<i64> = ints.filter(|int| int.abs_diff(ADDRESS) > 4096).collect();
        if ints.is_empty() || self.random.one_in(2) {
            return None;
        }
        let near = self.random.below(3) as i64 - 1;
        Some(self.random.pick(&ints).wrapping_add(near))
    }

    fn float(&mut self) -> Ref {
        match self.find(|role| role == Role::Float) {
            Some((value, _)) if !self.random.one_in(4) => value,
            _ => {
                let value = *self.random.pick(&[0.0, -0.0, 1.0, 2.5, f64::INFINITY, f64::NAN]);
                self.trace.constant(Const::float(value))
            }
        }
    }

    fn of_word(&mut self, word: Word) -> Ref {
        match word {
            Word::F64 => self.float(),
            Word::Length => {
                let (number, mask) = (self.number(), self.constant(i64::MAX));
                self.push(Op::new(Opcode::IntAnd, &[number, mask]), Role::Number)
            }
            _ => self.number(),
        }
    }

    fn push(&mut self, op: Op, role: Role) -> Ref {
        let has_result = op.opcode.result().is_some();
        let value = self.trace.push(op);
        if has_result {
            self.visible.push((value, role));
        }
        value
    }

    fn index(&mut self) -> Ref {
        let small = self.random.below(4) as i64;
        if self.random.one_in(3) {
            return self.constant(small);
        }
        let (number, mask) = (self.number(), self.constant(3));
        let index = self.push(Op::new(Opcode::IntAnd, &[number, mask]), Role::Number);
        if self.random.one_in(2) {
            return index;
        }
        let distance = self.constant(small);
        self.push(Op::new(Opcode::IntAdd, &[index, distance]), Role::Number)
    }

    // ---- steps

    fn step(&mut self) {
        match self.random.below(36) {
            0..=3 => self.arithmetic(),
            4 => self.overflow(),
            5..=8 => self.guard(),
            9..=11 => self.access_field(true),
            12..=14 => self.access_field(false),
            15..=18 => self.access_item(),
            19..=21 => self.follow(),
            22 | 23 => self.call(),
            24 if self.random.one_in(2) => self.item_owner(),
            24 => self.move_owner(),
            25 => self.allocate(),
            26 => self.address(),
            27 => self.pass_in_memory(),
            28 => self.constant_pointer(),
            30..=32 => self.use_own(),
            33 => self.bounds(),
            34 => self.restore(),
            35 if self.random.one_in(2) => self.promote(),
            _ if !self.is_bridge() && self.random.one_in(4) => self.label(),
            _ => self.floats(),
        }
    }

    fn arithmetic(&mut self) {
        use Opcode::*;
        let opcodes = [
            IntAdd,
            IntAdd,
            IntSub,
            IntMul,
            IntAnd,
            IntAnd,
            IntOr,
            IntXor,
            IntLshift,
            IntRshift,
            UintRshift,
            IntNeg,
            IntInvert,
            IntClz,
            IntLt,
            IntLe,
            IntEq,
            IntNe,
            IntGt,
            IntGe,
            UintLt,
            UintLe,
            UintGt,
            UintGe,
            IntIsZero,
            IntIsTrue,
            IntSignext,
            IntFloordiv,
            IntMod,
            UintFloordiv,
            UintMod,
            UintMulHigh,
        ];
        let opcode = *self.random.pick(&opcodes);
        let mut args = vec![self.number()];
        match opcode {
            IntNeg | IntInvert | IntClz | IntIsZero | IntIsTrue => {}
            IntSignext => {
                let width = *self.random.pick(&[1, 2, 4]);
                args.push(self.constant(width));
            }
            IntFloordiv | IntMod | UintFloordiv | UintMod => {
                let divisor = *self.random.pick(&[1, 2, 3, 7, 8, 10, -1, -4, 255, i64::MIN]);
                args.push(self.constant(divisor));
            }
            _ => args.push(self.number()),
        }
        self.push(Op::new(opcode, &args), Role::Number);
    }

    fn overflow(&mut self) {
        let opcode = *self
            .random
            .pick(&[Opcode::IntAddOvf, Opcode::IntSubOvf, Opcode::IntMulOvf]);
        let args = [self.number(), self.number()];
        self.push(Op::new(opcode, &args), Role::Number);
        let result = self.visible.pop().expect("just pushed");
        self.exit(Opcode::GuardNoOverflow, &[]);
        self.visible.push(result);
    }

    fn floats(&mut self) {
        use Opcode::*;
        let (a, b) = (self.float(), self.float());
        match self.random.below(4) {
            0 => {
                let opcode = *self.random.pick(&[FloatAdd, FloatSub, FloatMul, FloatTruediv]);
                self.push(Op::new(opcode, &[a, b]), Role::Float);
            }
            1 => {
                let opcode = *self
                    .random
                    .pick(&[FloatLt, FloatLe, FloatEq, FloatNe, FloatGt, FloatGe]);
                self.push(Op::new(opcode, &[a, b]), Role::Number);
            }
            2 => {
                let opcode = *self
                    .random
                    .pick(&[CastFloatToInt, CastFloatToUint, ConvertFloatBytesToLonglong]);
                self.push(Op::new(opcode, &[a]), Role::Number);
            }
            _ => {
                let number = self.number();
                let opcode = *self.random.pick(&[CastIntToFloat, ConvertLonglongBytesToFloat]);
                self.push(Op::new(opcode, &[number]), Role::Float);
            }
        }
    }

    fn guard(&mut self) {
        use Opcode::*;
        if self.random.one_in(5) {
            let value = self.number();
            let constant = self.random.below(5) as i64;
            let constant = self.constant(constant);
            return self.exit(GuardValue, &[value, constant]);
        }
        if self.random.one_in(8)
            && let Some((pointer, _)) = self.find(|role| matches!(role, Role::Unknown | Role::Exclusive | Role::Own))
        {
            return self.exit(GuardNonnull, &[pointer]);
        }
        let opcode = *self
            .random
            .pick(&[IntLt, IntLe, IntEq, IntNe, IntGt, IntGe, UintLt, UintGe, UintLt]);
        let mut args = [self.number(), self.number()];
        if self.random.one_in(2) {
            let constant = self.near_another().unwrap_or(10);
            args[1] = self.constant(constant);
        }
        let condition = self.push(Op::new(opcode, &args), Role::Number);
        let guard = *self.random.pick(&[GuardTrue, GuardTrue, GuardFalse]);
        self.exit(guard, &[condition]);
    }

    /// Tests of places around one, as a guest's pointer has them that moves over an array.
    fn bounds(&mut self) {
        use Opcode::*;
        let (start, bound) = (self.number(), self.of_word(Word::Length));
        let mut distance = 0;
        for _ in 0..2 + self.random.below(5) {
            distance += self.random.below(5) as i64 - 1;
            let moved = self.constant(distance);
            let place = match distance {
                0 => start,
                _ => self.push(Op::new(IntAdd, &[start, moved]), Role::Number),
            };
            let small = self.random.below(4) as i64;
            let small = self.constant(small);
            let (opcode, args, guard) = match self.random.below(8) {
                0..=2 => (UintLt, [place, bound], GuardTrue),
                3 | 4 => (IntEq, [place, bound], GuardFalse),
                5 => {
                    self.exit(GuardTrue, &[place]);
                    continue;
                }
                6 => {
                    let room = self.push(Op::new(IntSub, &[bound, place]), Role::Number);
                    (UintGt, [room, small], GuardTrue)
                }
                _ => (IntGe, [place, small], GuardTrue),
            };
            let condition = self.push(Op::new(opcode, &args), Role::Number);
            self.exit(guard, &[condition]);
        }
    }

    fn exit(&mut self, opcode: Opcode, args: &[Ref]) {
        let kept = self.visible.clone();
        let values = kept
            .into_iter()
            .filter(|_| self.random.one_in(3))
            .map(|(value, _)| value);
        let mut values: Vec<Ref> = values.collect();
        if self.random.one_in(3) {
            values.push(self.constant(7));
        }
        let snapshot = Snapshot {
            frame: None,
            values: values.into(),
            parent: None,
        };
        let snapshot = self.trace.add_snapshot(snapshot);
        self.trace.push(Op::with_snapshot(opcode, args, snapshot));
    }

    fn access_field(&mut self, load: bool) {
        let descr = number(&mut self.random);
        let facts = descr.field().clone();
        let can_write = |role: Role| !role.is_frozen() || !facts.frozen;
        let accept = |role: Role| role.is_object() && (load || can_write(role));
        let Some((pointer, _)) = self.find(accept) else { return };
        if load {
            self.load_number(pointer, descr);
        } else {
            let value = self.of_word(facts.word);
            self.push(
                Op::with_descr(Opcode::SetfieldGc, &[pointer, value], descr),
                Role::Number,
            );
        }
    }

    fn load_number(&mut self, pointer: Ref, descr: DescrRef) {
        let word = descr.field().word;
        let load = Op::with_descr(Opcode::getfield(word.kind()), &[pointer], descr);
        self.push(load, Role::of_word(word));
    }

    /// Stores some word at some place of a buffer.
    fn store_item(&mut self, buffer: Ref) {
        let place = self.item();
        self.store_item_at(buffer, &place);
    }

    /// A place of any buffer.
    fn item(&mut self) -> (Ref, DescrRef) {
        (self.index(), items(&mut self.random))
    }

    fn store_item_at(&mut self, buffer: Ref, (index, descr): &(Ref, DescrRef)) {
        let value = self.of_word(descr.array().word);
        self.trace.push(Op::with_descr(
            Opcode::SetarrayitemRaw,
            &[buffer, *index, value],
            descr.clone(),
        ));
    }

    fn load_item_at(&mut self, buffer: Ref, (index, descr): &(Ref, DescrRef)) -> Ref {
        let word = descr.array().word;
        let load = Op::with_descr(Opcode::getarrayitem(word.kind()), &[buffer, *index], descr.clone());
        self.push(load, Role::of_word(word))
    }

    fn access_item(&mut self) {
        let load = self.random.one_in(2);
        let Some((buffer, _)) = self.find(|role| role.is_buffer() && (load || !role.is_frozen())) else {
            return;
        };
        let descr = items(&mut self.random);
        let mut buffer = buffer;
        let mut index = self.index();
        if self.random.one_in(6) {
            let address = self
                .trace
                .push(Op::with_descr(Opcode::PtrItem, &[buffer, index], descr.clone()));
            buffer = self.trace.push(Op::new(Opcode::CastPtrToInt, &[address]));
            index = self.constant(0);
        } else if self.random.one_in(6) {
            let distance = self.random.below(3) as i64 * 8;
            let distance = self.constant(distance);
            buffer = self.trace.push(Op::new(Opcode::IntAdd, &[buffer, distance]));
        }
        let place = (index, descr);
        if load {
            self.load_item_at(buffer, &place);
        } else {
            self.store_item_at(buffer, &place);
        }
    }

    /// What an item holds is stored there again, after other stores: to it, to one that may be it, and to another one. Loads see
    /// some of them.
    fn restore(&mut self) {
        let exclusive = |role: Role| matches!(role, Role::Buffer | Role::Root(RootKind::Exclusive, Kind::Int));
        let Some((buffer, _)) = self.find(exclusive) else {
            return;
        };
        let (perhaps, descr) = self.item();
        let at = self.random.below(4) as i64;
        let (index, other) = (self.constant(at), self.constant(at + 1));
        let [item, perhaps, other] = [index, perhaps, other].map(|index| (index, descr.clone()));
        let old = self.load_item_at(buffer, &item);
        for _ in 0..3 + self.random.below(3) {
            match self.random.below(5) {
                0 | 1 => self.store_item_at(buffer, &item),
                2 => self.store_item_at(buffer, &perhaps),
                3 => self.store_item_at(buffer, &other),
                _ => _ = self.load_item_at(buffer, &other),
            }
        }
        let store = Op::with_descr(Opcode::SetarrayitemRaw, &[buffer, index, old], descr);
        self.trace.push(store);
    }

    /// An exclusive buffer is known to be at an address; its items are accessed by that and by what is computed from it.
    fn promote(&mut self) {
        let Some((buffer, _)) = self.find(|role| role == Role::Root(RootKind::Exclusive, Kind::Int)) else {
            return;
        };
        let address = self.constant(ADDRESS);
        self.exit(Opcode::GuardValue, &[buffer, address]);
        let (_, descr) = self.item();
        let at = self.random.below(4) as i64;
        let (at, first) = (self.constant(at), self.constant(0));
        let (item, first) = ((at, descr.clone()), (first, descr));
        for _ in 0..2 + self.random.below(3) {
            self.load_item_at(address, &item);
            match self.random.below(4) {
                0 => self.store_item_at(buffer, &item),
                1 => {
                    let folded = self.random.below(4) as i64;
                    let folded = self.constant(ADDRESS + 8 * folded);
                    self.store_item_at(folded, &first);
                }
                _ => {
                    let (number, mask) = (self.number(), self.constant(24));
                    let distance = self.push(Op::new(Opcode::IntAnd, &[number, mask]), Role::Number);
                    let mut operands = [address, distance];
                    if self.random.one_in(2) {
                        operands.reverse();
                    }
                    let sum = self.trace.push(Op::new(Opcode::IntAdd, &operands));
                    self.store_item_at(sum, &first);
                }
            }
        }
        self.load_item_at(address, &item);
    }

    /// Loads a pointer that an object holds.
    fn follow(&mut self) {
        let Some((pointer, role)) = self.find(Role::is_object) else {
            return;
        };
        let below = match role {
            Role::Exclusive | Role::Root(RootKind::Exclusive, _) => (Role::Buffer, Role::Exclusive),
            role if role.is_frozen() => (Role::FrozenBuffer, Role::Frozen),
            _ => (Role::UnknownBuffer, Role::Unknown),
        };
        // what an allocation owns is nothing yet
        let ways = if matches!(role, Role::Own | Role::Passing) {
            2
        } else {
            0
        };
        let (descr, role) = match ways + self.random.below(4 - ways) {
            0 => (buffer(), below.0),
            1 => (node(), below.1),
            2 => (
                field("rc", 48, Word::Ref, Pointee::Counted, true, Memory::Rust),
                Role::Unknown,
            ),
            _ => {
                let shared = if role.is_frozen() { Role::Frozen } else { Role::Unknown };
                (
                    field("shared", 56, Word::Ref, Pointee::Shared, true, Memory::Rust),
                    shared,
                )
            }
        };
        let opcode = Opcode::getfield(descr.field().word.kind());
        let value = self.trace.push(Op::with_descr(opcode, &[pointer], descr));
        if self.random.one_in(3) && opcode == Opcode::GetfieldGcR {
            self.exit(Opcode::GuardNonnull, &[value]);
        }
        self.visible.push((value, role));
    }

    fn call(&mut self) {
        let effect = *self
            .random
            .pick(&[Effect::Any, Effect::Arguments, Effect::Arguments, Effect::Elidable]);
        let mut args = Vec::new();
        for _ in 0..self.random.below(3) {
            let arg = match self.random.below(3) {
                0 => Some(self.number()),
                _ => self
                    .find(|role| role.is_object() || role.is_buffer())
                    .map(|(value, _)| value),
            };
            args.extend(arg);
        }
        let result = *self
            .random
            .pick(&[None, Some(Kind::Int), Some(Kind::Int), Some(Kind::Ref)]);
        self.record_call(effect, &args, result);
    }

    fn record_call(&mut self, effect: Effect, args: &[Ref], result: Option<Kind>) {
        let can_panic = self.random.one_in(2);
        let descr = CallDescr {
            name: format!("{effect:?}"),
            args: args.iter().map(|arg| self.trace.kind(*arg)).collect(),
            result,
            effect,
            can_panic,
        };
        let opcode = match (effect, result) {
            (Effect::Elidable, Some(Kind::Int)) => Opcode::CallPureI,
            (Effect::Elidable, Some(Kind::Ref)) => Opcode::CallPureR,
            (_, result) => Opcode::call(result),
        };
        let mut operands = vec![self.constant(4096)];
        operands.extend(args);
        let value = self
            .trace
            .push(Op::with_descr(opcode, &operands, Rc::new(Descr::Call(descr))));
        if can_panic {
            self.exit(Opcode::GuardNoException, &[]);
        }
        match result {
            Some(Kind::Int) => self.visible.push((value, Role::Number)),
            Some(Kind::Ref) => {
                // the call may return what it got
                let leads_into_root =
                    |role: Role| !matches!(role, Role::Number | Role::Float | Role::Own | Role::Unknown);
                let of_args = |(value, role): &(Ref, Role)| args.contains(value) && leads_into_root(*role);
                let is_passing = self.visible.iter().any(of_args);
                let role = if is_passing { Role::Passing } else { Role::Unknown };
                self.visible.push((value, role));
            }
            _ => {}
        }
    }

    /// Exchanges what two objects own, or gives what one owns to the other; both names stay in use. A call may get the new
    /// owner, and so what it owns.
    fn move_owner(&mut self) {
        let exclusive = |role: Role| matches!(role, Role::Exclusive | Role::Root(RootKind::Exclusive, Kind::Ref));
        let (Some((a, _)), Some((b, _))) = (self.find(exclusive), self.find(exclusive)) else {
            return;
        };
        let descr = if self.random.one_in(2) { buffer() } else { node() };
        let kind = descr.field().word.kind();
        let role = if kind == Kind::Int {
            Role::Buffer
        } else {
            Role::Exclusive
        };
        let load = |generator: &mut Generator, from| {
            generator.push(Op::with_descr(Opcode::getfield(kind), &[from], descr.clone()), role)
        };
        let (of_a, of_b) = (load(self, a), load(self, b));
        let held = (kind == Kind::Ref && self.random.one_in(2)).then(|| number(&mut self.random));
        let look = |generator: &mut Generator| {
            if let Some(descr) = &held {
                generator.load_number(of_a, descr.clone());
            }
        };
        look(self);
        self.trace
            .push(Op::with_descr(Opcode::SetfieldGc, &[a, of_b], descr.clone()));
        self.trace.push(Op::with_descr(Opcode::SetfieldGc, &[b, of_a], descr));
        if held.is_some() {
            self.record_call(Effect::Arguments, &[b], None);
        }
        look(self);
    }

    /// A buffer that an item owns: loaded, or exchanged for what an object owns. Which item it is may not be known. What lies in
    /// the buffer that has moved is looked at by its first name as well, before and behind a store by another one.
    fn item_owner(&mut self) {
        let exclusive = |role: Role| matches!(role, Role::Exclusive | Role::Root(RootKind::Exclusive, Kind::Ref));
        let owners = match self.find(|role| role == Role::Owners) {
            Some((owners, _)) => owners,
            None => {
                let Some((pointer, _)) = self.find(exclusive) else {
                    return;
                };
                let descr = field("owners", 80, Word::U64, Pointee::Owned, true, Memory::Rust);
                self.push(Op::with_descr(Opcode::GetfieldGcI, &[pointer], descr), Role::Owners)
            }
        };
        let index = self.index();
        let load = Op::with_descr(Opcode::GetarrayitemRawI, &[owners, index], self::owners());
        let item = self.push(load, Role::Buffer);
        let Some((pointer, _)) = self.find(exclusive).filter(|_| self.random.one_in(2)) else {
            return;
        };
        let own = self.push(Op::with_descr(Opcode::GetfieldGcI, &[pointer], buffer()), Role::Buffer);
        let place = self.item();
        self.load_item_at(own, &place);
        let store = Op::with_descr(Opcode::SetarrayitemRaw, &[owners, index, own], self::owners());
        self.trace.push(store);
        self.trace
            .push(Op::with_descr(Opcode::SetfieldGc, &[pointer, item], buffer()));
        let other = self.index();
        let load = Op::with_descr(Opcode::GetarrayitemRawI, &[owners, other], self::owners());
        let held = self.push(load, Role::Buffer);
        if self.random.one_in(2) {
            self.store_item_at(held, &place);
            self.load_item_at(own, &place);
        }
    }

    /// An access through the address of a field.
    fn address(&mut self) {
        let Some((pointer, role)) = self.find(Role::is_object) else {
            return;
        };
        let whole = field("U64@0", 0, Word::U64, Pointee::Unknown, true, Memory::Rust);
        let at_8 = field("U64@8", 8, Word::U64, Pointee::Unknown, true, Memory::Rust);
        let address = self.trace.push(Op::with_descr(Opcode::PtrField, &[pointer], at_8));
        if role.is_frozen() || self.random.one_in(2) {
            self.push(Op::with_descr(Opcode::GetfieldGcI, &[address], whole), Role::Number);
        } else {
            let value = self.number();
            self.trace
                .push(Op::with_descr(Opcode::SetfieldGc, &[address, value], whole));
        }
        if self.random.one_in(4) {
            self.record_call(Effect::Arguments, &[address], None);
        }
    }

    /// A pointer that is passed in a slot, and taken back.
    fn pass_in_memory(&mut self) {
        let Some((pointer, _)) = self.find(Role::is_object) else {
            return;
        };
        let descr = Descr::Size(SizeDescr {
            name: "slot".to_string(),
            size: 16,
            align: 8,
            vtable: None,
            memory: Memory::Rust,
        });
        let slot = self.trace.push(Op::with_descr(Opcode::Alloca, &[], Rc::new(descr)));
        let held = field("slot", 0, Word::Ref, Pointee::Unknown, true, Memory::Rust);
        self.trace
            .push(Op::with_descr(Opcode::SetfieldGc, &[slot, pointer], held.clone()));
        self.record_call(Effect::Arguments, &[slot], Some(Kind::Int));
        let null = self.trace.constant(Const::ptr(0));
        self.trace.push(Op::with_descr(Opcode::SetfieldGc, &[slot, null], held));
    }

    fn constant_pointer(&mut self) {
        let descr = number(&mut self.random);
        let constant = self.trace.constant(Const::ptr(0x5000)).green();
        self.load_number(constant, descr);
    }

    // ---- labels

    /// A label; exclusive roots stay, and nothing that leads into their memory does.
    fn label(&mut self) {
        let kept = std::mem::take(&mut self.visible);
        let is_first = self.trace.ops.is_empty();
        let stays = |random: &mut Random, role: Role| match role {
            Role::Root(..) => true,
            Role::Exclusive | Role::Buffer | Role::Owners | Role::Passing => is_first,
            _ => is_first || random.one_in(2),
        };
        self.visible = kept
            .into_iter()
            .filter(|(_, role)| stays(&mut self.random, *role))
            .collect();
        for (_, role) in &mut self.visible {
            // whoever jumps here may pass another's
            *role = if *role == Role::Own { Role::Unknown } else { *role };
        }
        let args: Vec<Ref> = self.visible.iter().map(|(value, _)| *value).collect();
        let roles = self.visible.iter().map(|(_, role)| *role).collect();
        let descr = Rc::new(Descr::Target(TargetToken(self.labels.len() as u32 + 1)));
        self.trace.push(Op::with_descr(Opcode::Label, &args, descr.clone()));
        self.labels.push((descr, roles));
    }

    fn end(&mut self) {
        let target = match self.random.below(5) {
            0 => None,
            1 => self.labels.first().cloned(),
            _ => self.labels.last().cloned(),
        };
        let Some((descr, roles)) = target else {
            return self.exit(Opcode::Finish, &[]);
        };
        let mut args = Vec::new();
        let mut roots: Vec<Root> = Vec::new();
        for role in roles {
            let used = |value: &Ref| roots.iter().any(|root| root.value == *value);
            let arg = match role {
                Role::Number => Some(self.number()),
                Role::Float => Some(self.float()),
                role => {
                    let found: Vec<Ref> = self
                        .visible
                        .iter()
                        .filter(|(_, of)| *of == role || (*of == Role::Own && role == Role::Unknown))
                        .map(|(value, _)| *value)
                        .collect();
                    let free: Vec<Ref> = found.into_iter().filter(|value| !used(value)).collect();
                    (!free.is_empty()).then(|| *self.random.pick(&free))
                }
            };
            let Some(arg) = arg else {
                return self.exit(Opcode::Finish, &[]);
            };
            if let Role::Root(kind, _) = role {
                roots.push(Root { value: arg, kind });
            }
            args.push(arg);
        }
        self.trace.push(Op::with_descr(Opcode::Jump, &args, descr));
    }
}
