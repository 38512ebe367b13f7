//! Resume data: what an exit needs to rebuild the interpreter's frames, and a bridge to begin.
//!
//! One writer ([`encode`], from the snapshots of an optimised trace), two readers ([`Rebuilder`]): the blackhole, which
//! executes the exit's program and fills registers with words, and the bridge tracer, which records the program and fills
//! registers with values of the bridge, having asked what is known of its inputs ([`ResumeData::inputs`]).
//!
//! **Encoding.** All guards of a trace share one string of bytes, a guard is a place in it. Numbers are written seven bits at
//! a time, low bits first. What two guards have in common is there once: outer frames, for a frame refers to the one that
//! called it, and frames or facts that are wholly the same.
//!
//! ```text
//! guard = frame's place, program, kinds of further values, roots, derived inputs, narrow inputs, inputs below others
//!         each of these but the first is a list: length, items
//! frame = distance back to the caller's frame (0: none), jitcode, pc, words
//! word  = the next k values of the exit, of one kind           (k << 2 | kind) << 2 | 0
//!       | the result of step n of the program                  (n << 2 | 3) << 2 | 0
//!       | the exit's value n, which an earlier register holds   n << 2 | 1
//!       | a small int                                           zigzag(int) << 2 | 2
//!       | constant n of the trace                               (n << 1 | is green) << 2 | 3
//! step  = number of its result, opcode, descriptor (0: none), words that are not next values
//! ```
//!
//! The values of an exit are numbered as they first occur, outermost frame first ([`metatrace_ir::trace::Exit`]), so most
//! registers hold the *next* value, and their kinds come with them; *further* values are those that only the program needs.
//! The results of the program are numbered in the same way: as they first occur in the frames, then in the program's order.
//! So a frame that guards share means the same at each. How many words a frame has, liveness tells.

mod bounds;
mod narrow;
#[cfg(test)]
mod tests;

use bounds::Bounds;
use metatrace_ir::Word as MemoryWord;
use metatrace_ir::ownership::Ownership;
use metatrace_ir::trace::{Exit, Exits};
use metatrace_ir::{
    Const, Derived, DescrRef, InputWord, JitCodeId, Kind, Opcode, Reach, Ref, Root, RootKind, Snapshot, SnapshotId,
    Trace,
};
use metatrace_jitcode::{JitCodeSource, Pc, Position, Stack};
use narrow::Narrow;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::fmt;
use std::rc::Rc;

pub use bounds::Below;

/// How to rebuild the frames at one guard.
#[derive(Clone)]
pub struct ResumeData {
    pool: Rc<Pool>,
    /// Where the guard's record begins.
    start: u32,
    /// The guard.
    pub opcode: Opcode,
    /// It may have failed although what was recorded at its place holds.
    pub early: bool,
}

/// The resume data of a trace.
struct Pool {
    bytes: Box<[u8]>,
    consts: Box<[Const]>,
    descrs: Box<[DescrRef]>,
}

/// Executes an exit's program, in whatever its values are.
pub trait Rebuilder {
    /// What registers are filled with.
    type Value: Copy;

    /// The exit's value with this number.
    fn exit(&mut self, n: usize) -> Self::Value;

    /// A constant, with whether it is green.
    fn constant(&mut self, constant: Const, green: bool) -> Self::Value;

    /// Executes a sunk operation: a pure one, an allocation or a store. Its result, if it has one.
    fn execute(&mut self, opcode: Opcode, descr: Option<&DescrRef>, args: &[Self::Value]) -> Self::Value;
}

/// What a bridge knows of its inputs, which are the exit's values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inputs {
    /// Their kinds.
    pub kinds: Vec<Kind>,
    /// Facts about the memory behind them.
    pub roots: Vec<Root>,
    /// Which of them lead into the memory of others.
    pub derived: Vec<Derived>,
    /// Which of them are narrow ints.
    pub words: Vec<InputWord>,
    /// Which of them are below others.
    pub below: Vec<Below>,
}

const KINDS: [Kind; 3] = [Kind::Int, Kind::Ref, Kind::Float];
const ROOTS: [RootKind; 3] = [RootKind::Exclusive, RootKind::Shared, RootKind::Green];
const NARROW: [MemoryWord; 7] = [
    MemoryWord::U8,
    MemoryWord::U16,
    MemoryWord::U32,
    MemoryWord::I8,
    MemoryWord::I16,
    MemoryWord::I32,
    MemoryWord::Length,
];
const REACHES: [Reach; 3] = [Reach::Inside, Reach::Below, Reach::Perhaps];

/// The place of an enum's variant in its table.
fn place<T: PartialEq>(table: &[T], variant: &T) -> u64 {
    let place = table.iter().position(|known| known == variant);
    place.expect("the table has all variants") as u64
}

/// Where a register's word comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Word {
    /// The exit's value with this number.
    Exit(usize),
    /// The result of the program's step with this number.
    Sunk(usize),
    /// A constant; whether it is green.
    Const(Const, bool),
}

/// A sunk operation, and what its operands are made of.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Step<'a, T> {
    /// The number of its result.
    number: usize,
    opcode: Opcode,
    descr: Option<&'a DescrRef>,
    args: SmallVec<[T; 4]>,
}

impl ResumeData {
    /// How the innermost frame stands.
    pub fn position(&self) -> Position {
        if self.opcode == Opcode::GuardNoException {
            Position::Unwinding
        } else {
            Position::Before
        }
    }

    /// The instruction at which the innermost frame resumes.
    pub fn pc(&self) -> Pc {
        self.frames()[0].pc
    }

    /// The number of frames.
    pub fn depth(&self) -> usize {
        self.frames().len()
    }

    /// Executes the program, and puts the frames onto the stack.
    pub fn rebuild<R: Rebuilder>(&self, source: &dyn JitCodeSource, rebuilder: &mut R, stack: &mut Stack<R::Value>) {
        let nothing = rebuilder.constant(Const::int(0), false);
        let results = self.execute(rebuilder, nothing);
        let innermost_first = self.frames();
        let mut exit_values = 0;
        for (depth, recipe) in innermost_first.iter().enumerate().rev() {
            let position = if depth == 0 { self.position() } else { Position::Calling };
            let code = source.by_id(recipe.jitcode);
            let frame = stack.push(code.clone(), recipe.pc, nothing);
            let mut words = recipe.words(&self.pool, exit_values);
            let mut live = code.live(recipe.pc, position).iter();
            while let Some(item) = words.next() {
                match item {
                    Item::Run(values, _) => {
                        for (n, reg) in values.zip(live.by_ref()) {
                            frame.registers[reg.0 as usize] = rebuilder.exit(n);
                        }
                    }
                    Item::Word(found) => {
                        let reg = live.next().expect("as many live registers as words");
                        frame.registers[reg.0 as usize] = word(found, rebuilder, &results);
                    }
                }
            }
            assert_eq!(live.len(), 0, "as many words as live registers");
            exit_values = words.exit_values;
        }
    }

    /// The results of the program's steps, by their numbers.
    fn execute<R: Rebuilder>(&self, rebuilder: &mut R, nothing: R::Value) -> SmallVec<[R::Value; 8]> {
        let mut record = self.record();
        let count = record.number() as usize;
        let mut results = SmallVec::from_elem(nothing, count);
        for _ in 0..count {
            let step = record.step(|arg| word(arg, rebuilder, &results));
            results[step.number] = rebuilder.execute(step.opcode, step.descr, &step.args);
        }
        results
    }

    /// What is known of the exit's values.
    pub fn inputs(&self) -> Inputs {
        let mut kinds = Vec::new();
        for recipe in self.frames().iter().rev() {
            recipe.all_words(&self.pool, &mut kinds);
        }
        let mut reader = self.record();
        reader.steps().for_each(drop);
        kinds.extend(reader.list(|reader| KINDS[reader.number() as usize]));
        let roots = reader.list(|reader| {
            let number = reader.number();
            Root {
                value: Ref::value((number >> 2) as usize),
                kind: ROOTS[number as usize & 3],
            }
        });
        let derived = reader.list(|reader| {
            let (value, number) = (reader.number(), reader.number());
            Derived {
                value: Ref::value(value as usize),
                root: Ref::value((number >> 2) as usize),
                reach: REACHES[number as usize & 3],
            }
        });
        let words = reader.list(|reader| {
            let number = reader.number();
            InputWord {
                value: Ref::value((number >> 3) as usize),
                word: NARROW[number as usize & 7],
            }
        });
        let below = reader.list(|reader| Below {
            value: reader.number() as usize,
            distance: unzigzag(reader.number()),
            bound: reader.number() as usize,
        });
        Inputs {
            kinds,
            roots,
            derived,
            words,
            below,
        }
    }

    /// The guard's record, behind the place of its frame.
    fn record(&self) -> Reader<'_> {
        let mut reader = self.pool.at(self.start);
        reader.number();
        reader
    }

    /// Innermost first.
    fn frames(&self) -> SmallVec<[FrameRecipe; 8]> {
        let mut frames = SmallVec::new();
        let mut at = self.pool.at(self.start).number() as u32;
        loop {
            let mut reader = self.pool.at(at);
            let distance = reader.number() as u32;
            let (jitcode, pc) = (JitCodeId(reader.number() as u32), reader.number() as u32);
            let (count, at_words) = (reader.number(), reader.at as u32);
            frames.push(FrameRecipe {
                jitcode,
                pc,
                count,
                at_words,
            });
            if distance == 0 {
                return frames;
            }
            at -= distance;
        }
    }
}

/// `guard_true e0 Exclusive e2 Below e0 [j0@12: e0 e1] [j3@7: s0 0x5] s0 = int_add e2 0x1`: facts, then the frames, outermost
/// first, then the program; `e0` is the exit's first value.
impl fmt::Debug for ResumeData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inputs {
            roots,
            derived,
            words,
            below,
            ..
        } = self.inputs();
        let number = |value: Ref| value.as_value().expect("an input");
        let mark = if self.early { "early " } else { "" };
        write!(f, "{mark}{}", self.opcode.name())?;
        for Root { value, kind } in roots {
            write!(f, " e{} {kind:?}", number(value))?;
        }
        for Derived { value, root, reach } in derived {
            write!(f, " e{} {reach:?} e{}", number(value), number(root))?;
        }
        for InputWord { value, word } in words {
            write!(f, " e{} {word:?}", number(value))?;
        }
        for Below { value, distance, bound } in below {
            write!(f, " e{value}{distance:+} < e{bound}")?;
        }
        let mut kinds = Vec::new();
        for recipe in self.frames().iter().rev() {
            write!(f, " [j{}@{}:", recipe.jitcode.0, recipe.pc)?;
            for word in recipe.all_words(&self.pool, &mut kinds) {
                write!(f, " {word}")?;
            }
            write!(f, "]")?;
        }
        for step in self.record().steps() {
            write!(f, " s{} = {}", step.number, step.opcode.name())?;
            step.args.iter().try_for_each(|arg| write!(f, " {arg}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Word::Exit(n) => write!(f, "e{n}"),
            Word::Sunk(n) => write!(f, "s{n}"),
            Word::Const(Const { bits, .. }, true) => write!(f, "green {bits:#x}"),
            Word::Const(Const { bits, .. }, false) => write!(f, "{bits:#x}"),
        }
    }
}

/// What a register or an operand is filled with.
fn word<R: Rebuilder>(word: Word, rebuilder: &mut R, results: &[R::Value]) -> R::Value {
    match word {
        Word::Exit(n) => rebuilder.exit(n),
        Word::Sunk(n) => results[n],
        Word::Const(constant, green) => rebuilder.constant(constant, green),
    }
}

/// Where to find a frame's words.
#[derive(Clone, Copy)]
struct FrameRecipe {
    jitcode: JitCodeId,
    pc: Pc,
    count: u64,
    at_words: u32,
}

impl FrameRecipe {
    /// Its words, to be read behind those of the frames around it, which hold so many values of the exit.
    fn words<'a>(&self, pool: &'a Pool, exit_values: usize) -> Words<'a> {
        Words {
            reader: pool.at(self.at_words),
            left: self.count as usize,
            exit_values,
        }
    }

    /// All words; `kinds` are those of the exit's values, as far as they have been read.
    fn all_words(&self, pool: &Pool, kinds: &mut Vec<Kind>) -> Vec<Word> {
        let mut all = Vec::new();
        let mut words = self.words(pool, kinds.len());
        while let Some(item) = words.next() {
            match item {
                Item::Run(values, kind) => {
                    kinds.resize(values.end, kind);
                    all.extend(values.map(Word::Exit));
                }
                Item::Word(word) => all.push(word),
            }
        }
        all
    }
}

/// The words of a frame.
struct Words<'a> {
    reader: Reader<'a>,
    /// How many are to be read.
    left: usize,
    /// How many values of the exit there were until now.
    exit_values: usize,
}

/// What is written in one.
enum Item {
    /// Values of the exit that come next, and their kind.
    Run(std::ops::Range<usize>, Kind),
    Word(Word),
}

impl Words<'_> {
    fn next(&mut self) -> Option<Item> {
        if self.left == 0 {
            return None;
        }
        let number = self.reader.number();
        let item = match KINDS.get((number >> 2 & 3) as usize) {
            Some(kind) if number & 3 == 0 => {
                let start = self.exit_values;
                self.exit_values += (number >> 4) as usize;
                Item::Run(start..self.exit_values, *kind)
            }
            _ => Item::Word(self.reader.word(number)),
        };
        let read = match &item {
            Item::Run(values, _) => values.len(),
            Item::Word(_) => 1,
        };
        self.left = self.left.checked_sub(read).expect("no more words than the frame has");
        Some(item)
    }
}

impl Pool {
    fn at(&self, at: u32) -> Reader<'_> {
        Reader {
            pool: self,
            at: at as usize,
        }
    }
}

struct Reader<'a> {
    pool: &'a Pool,
    at: usize,
}

impl<'a> Reader<'a> {
    #[inline]
    fn number(&mut self) -> u64 {
        let byte = self.pool.bytes[self.at];
        self.at += 1;
        // most are small
        if byte < 0x80 {
            return byte.into();
        }
        self.long_number(byte)
    }

    /// The rest of a number of several bytes.
    #[inline(never)]
    fn long_number(&mut self, first: u8) -> u64 {
        let (mut number, mut shift) = (u64::from(first & 0x7f), 7);
        loop {
            let byte = self.pool.bytes[self.at];
            self.at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return number;
            }
            shift += 7;
        }
    }

    /// A word that is not the next value.
    fn word(&self, number: u64) -> Word {
        let rest = number >> 2;
        match number & 3 {
            0 => Word::Sunk((rest >> 2) as usize),
            1 => Word::Exit(rest as usize),
            2 => Word::Const(Const::int(unzigzag(rest)), false),
            _ => Word::Const(self.pool.consts[(rest >> 1) as usize], rest & 1 != 0),
        }
    }

    /// The program; what follows it can be read when it has been.
    fn steps(&mut self) -> impl ExactSizeIterator<Item = Step<'a, Word>> {
        let count = self.number() as usize;
        (0..count).map(|_| self.step(|word| word))
    }

    fn step<T>(&mut self, mut arg: impl FnMut(Word) -> T) -> Step<'a, T> {
        let (number, opcode) = (self.number() as usize, Opcode::ALL[self.number() as usize]);
        let descr = self.number().checked_sub(1);
        let mut args = SmallVec::new();
        for _ in 0..self.number() {
            let number = self.number();
            args.push(arg(self.word(number)));
        }
        Step {
            number,
            opcode,
            args,
            descr: descr.map(|n| &self.pool.descrs[n as usize]),
        }
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let length = self.number();
        (0..length).map(|_| item(self)).collect()
    }
}

/// Small numbers of either sign as small ones.
fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// The resume data of all guards of a trace, in the order of its operations; `None` for operations that cannot exit.
///
/// # Panics
/// If a snapshot does not name its frame.
pub fn encode(trace: &Trace) -> Vec<Option<ResumeData>> {
    let mut ownership = Ownership::new(&trace.roots, &trace.derived);
    let mut narrow = Narrow::new(trace);
    let mut bounds = Bounds::new(trace);
    let mut writer = Writer::new(trace);
    let (mut starts, mut exits) = (Vec::with_capacity(trace.ops.len()), Exits::default());
    for (n, op) in trace.ops.iter().enumerate() {
        let guard = |snapshot| {
            let exit = exits.of(trace, op);
            let (roots, derived) = ownership.inherited(&exit.values);
            let inputs = Inputs {
                kinds: Vec::new(),
                roots,
                derived,
                words: narrow.inherited(&exit.values),
                below: bounds.inherited(&exit.values),
            };
            writer.guard(snapshot, &inputs, exit)
        };
        starts.push(op.snapshot.map(guard));
        ownership.follow(trace, n);
        narrow.follow(n);
        bounds.follow(n);
    }
    let pool = Rc::new(Pool {
        bytes: writer.bytes.into(),
        consts: writer.consts.into(),
        descrs: writer.descrs.into(),
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

/// Numbers of what an exit has, in the order in which it first occurs.
#[derive(Default)]
struct Numbers {
    values: Numbering,
    results: Numbering,
}

impl Numbers {
    /// Those of another exit.
    fn restart(&mut self, trace: &Trace) {
        self.values.restart(trace);
        self.results.restart(trace);
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
    fn restart(&mut self, trace: &Trace) {
        self.known.resize(trace.value_count(), (0, 0));
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

struct Writer<'a> {
    trace: &'a Trace,
    bytes: Vec<u8>,
    consts: Vec<Const>,
    const_numbers: FxHashMap<Const, u64>,
    descrs: Vec<DescrRef>,
    descr_numbers: FxHashMap<DescrRef, u64>,
    /// By snapshot: where its frame is, once it has been written.
    frames: Vec<Option<u32>>,
    /// Where records are, by their sort and content; a frame's content is its caller's place instead of the distance.
    known: FxHashMap<Box<[u8]>, u32>,
    numbers: Numbers,
    /// The sort and content of a record while it is made, in memory that is kept.
    key: Vec<u8>,
}

impl Writer<'_> {
    fn new(trace: &Trace) -> Writer<'_> {
        Writer {
            trace,
            bytes: Vec::with_capacity(trace.ops.len() * 8),
            consts: Vec::new(),
            const_numbers: FxHashMap::default(),
            descrs: Vec::new(),
            descr_numbers: FxHashMap::default(),
            frames: vec![None; trace.snapshots.len()],
            known: FxHashMap::default(),
            numbers: Numbers::default(),
            key: Vec::with_capacity(64),
        }
    }

    /// Writes a guard's record, unless there is one like it; its place. The kinds of the inputs follow from the exit.
    fn guard(&mut self, innermost: SnapshotId, inputs: &Inputs, exit: &Exit) -> u32 {
        let mut chain: SmallVec<[SnapshotId; 8]> = SmallVec::new();
        let mut next = Some(innermost);
        while let Some(id) = next {
            chain.push(id);
            next = self.trace.snapshots[id.0 as usize].parent;
        }
        let mut numbers = std::mem::take(&mut self.numbers);
        numbers.restart(self.trace);
        let mut parent = None;
        for id in chain.into_iter().rev() {
            parent = Some(self.frame(id, parent, &mut numbers));
        }
        let mut record = std::mem::take(&mut self.key);
        record.push(b'g');
        push_number(&mut record, parent.expect("the innermost frame at least").into());
        let further = &exit.values[numbers.values.count as usize..];
        further.iter().for_each(|value| _ = numbers.value(*value));
        push_number(&mut record, exit.program.len() as u64);
        for &value in &exit.program {
            self.step(value, &mut numbers, &mut record);
        }
        push_number(&mut record, further.len() as u64);
        for &value in further {
            push_number(&mut record, place(&KINDS, &self.trace.kind(value)));
        }
        let number = |value: Ref| value.as_value().expect("an input") as u64;
        push_number(&mut record, inputs.roots.len() as u64);
        for root in &inputs.roots {
            push_number(&mut record, number(root.value) << 2 | place(&ROOTS, &root.kind));
        }
        push_number(&mut record, inputs.derived.len() as u64);
        for derived in &inputs.derived {
            push_number(&mut record, number(derived.value));
            push_number(&mut record, number(derived.root) << 2 | place(&REACHES, &derived.reach));
        }
        push_number(&mut record, inputs.words.len() as u64);
        for narrow in &inputs.words {
            push_number(&mut record, number(narrow.value) << 3 | place(&NARROW, &narrow.word));
        }
        push_number(&mut record, inputs.below.len() as u64);
        for below in &inputs.below {
            push_number(&mut record, below.value as u64);
            push_number(&mut record, zigzag(below.distance));
            push_number(&mut record, below.bound as u64);
        }
        self.numbers = numbers;
        let place = self.known.get(&record[..]).copied();
        let place = place.unwrap_or_else(|| {
            let place = self.here();
            self.bytes.extend_from_slice(&record[1..]);
            self.known.insert(record.as_slice().into(), place);
            place
        });
        record.clear();
        self.key = record;
        place
    }

    fn step(&mut self, value: Ref, numbers: &mut Numbers, bytes: &mut Vec<u8>) {
        let op = self.trace.sunk_op(value).expect("programs are of sunk operations");
        let descr = op.descr.as_ref().map_or(0, |descr| self.descr(descr) + 1);
        push_number(bytes, numbers.result(value));
        push_number(bytes, op.opcode as u64);
        push_number(bytes, descr);
        push_number(bytes, op.args.len() as u64);
        for &arg in &op.args {
            let word = self.word(arg, numbers);
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
    fn frame(&mut self, id: SnapshotId, parent: Option<u32>, numbers: &mut Numbers) -> u32 {
        let snapshot = &self.trace.snapshots[id.0 as usize];
        if let Some(known) = self.frames[id.0 as usize] {
            for value in snapshot.values.iter().filter(|value| !value.is_const()) {
                match self.trace.sunk_op(*value) {
                    Some(_) => numbers.result(*value),
                    None => numbers.value(*value),
                };
            }
            return known;
        }
        let frame = snapshot.frame.expect("a recorded snapshot names its frame");
        let mut key = std::mem::take(&mut self.key);
        key.push(b'f');
        key.extend_from_slice(&parent.unwrap_or(u32::MAX).to_le_bytes());
        let content = key.len();
        push_number(&mut key, frame.jitcode.0.into());
        push_number(&mut key, frame.pc.into());
        push_number(&mut key, snapshot.values.len() as u64);
        self.words(snapshot, numbers, &mut key);
        let place = self.known.get(&key[..]).copied();
        let place = place.unwrap_or_else(|| {
            let place = self.here();
            push_number(&mut self.bytes, parent.map_or(0, |parent| place - parent).into());
            self.bytes.extend_from_slice(&key[content..]);
            self.known.insert(key.as_slice().into(), place);
            place
        });
        key.clear();
        self.key = key;
        self.frames[id.0 as usize] = Some(place);
        place
    }

    fn words(&mut self, snapshot: &Snapshot, numbers: &mut Numbers, bytes: &mut Vec<u8>) {
        let mut run: Option<(Kind, u64)> = None;
        for &value in &snapshot.values {
            let in_line = !value.is_const() && self.trace.sunk_op(value).is_none();
            if in_line && !numbers.values.has(value) {
                numbers.value(value);
                let kind = self.trace.kind(value);
                match &mut run {
                    Some((of, length)) if *of == kind => *length += 1,
                    _ => {
                        push_run(bytes, run.replace((kind, 1)));
                    }
                }
                continue;
            }
            push_run(bytes, run.take());
            let word = self.word(value, numbers);
            push_number(bytes, word);
        }
        push_run(bytes, run);
    }

    /// A word that is not the next value.
    fn word(&mut self, value: Ref, numbers: &mut Numbers) -> u64 {
        if let Some(constant) = self.trace.as_const(value) {
            return self.constant(constant, value.is_green());
        }
        match self.trace.sunk_op(value) {
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

    /// Where the next record will be.
    fn here(&self) -> u32 {
        u32::try_from(self.bytes.len()).expect("resume data of less than 4 GiB")
    }
}

fn push_run(bytes: &mut Vec<u8>, run: Option<(Kind, u64)>) {
    if let Some((kind, length)) = run {
        push_number(bytes, (length << 2 | place(&KINDS, &kind)) << 2);
    }
}
