//! Resume data: what an exit needs to rebuild the interpreter's frames, and a bridge to begin.
//!
//! One writer ([`Encoder`], from the snapshots of an optimised trace), two readers ([`Rebuilder`]): the blackhole, which
//! executes the exit's program and fills registers with words, and the bridge tracer, which records the program and fills
//! registers with values of the bridge, having asked what is known of its inputs ([`ResumeData::inputs`]).
//!
//! **Encoding.** All guards of a trace share one string of bytes, a guard is a place in it. Numbers are written seven bits at
//! a time, low bits first. Frames that guards share are there once, for a frame refers to the one that called it; so is what
//! two guards in a row have wholly in common.
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
mod encoder;
mod narrow;
#[cfg(test)]
mod tests;

use metatrace_ir::Word as MemoryWord;
use metatrace_ir::{Const, Derived, DescrRef, InputWord, JitCodeId, Kind, Opcode, Reach, Ref, Root, RootKind};
use metatrace_jitcode::{JitCodeSource, Pc, Position, Stack};
use smallvec::SmallVec;
use std::fmt;
use std::rc::Rc;

pub use bounds::Below;
pub use encoder::Encoder;

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
#[derive(Clone, PartialEq, Eq, Default, Debug)]
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

impl Inputs {
    fn clear(&mut self) {
        self.kinds.clear();
        self.roots.clear();
        self.derived.clear();
        self.words.clear();
        self.below.clear();
    }
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
            recipe.add_kinds(&self.pool, &mut kinds);
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
            for word in recipe.all_words(&self.pool, kinds.len()) {
                write!(f, " {word}")?;
            }
            recipe.add_kinds(&self.pool, &mut kinds);
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

    /// The kinds of the exit's values in it, behind those that have been read.
    fn add_kinds(&self, pool: &Pool, kinds: &mut Vec<Kind>) {
        let mut words = self.words(pool, kinds.len());
        while let Some(item) = words.next() {
            if let Item::Run(values, kind) = item {
                kinds.resize(values.end, kind);
            }
        }
    }

    /// All words, to be read as [`words`](Self::words) are.
    fn all_words(&self, pool: &Pool, exit_values: usize) -> Vec<Word> {
        let mut all = Vec::new();
        let mut words = self.words(pool, exit_values);
        while let Some(item) = words.next() {
            match item {
                Item::Run(values, _) => all.extend(values.map(Word::Exit)),
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
