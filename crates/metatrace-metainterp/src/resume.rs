//! Resume data: what an exit needs to rebuild the interpreter's frames, and a bridge to begin.
//!
//! One writer ([`encode`], from the snapshots of an optimised trace), two readers: the blackhole, which fills registers with
//! words ([`ResumeData::rebuild`]), and the bridge tracer, which fills them with inputs of the bridge and asks what is known
//! of these ([`ResumeData::inputs`]).
//!
//! **Encoding.** All guards of a trace share one string of bytes, a guard is a place in it. Numbers are written seven bits at
//! a time, low bits first. What two guards have in common is there once: outer frames, for a frame refers to the one that
//! called it, and frames or facts that are wholly the same.
//!
//! ```text
//! guard = frame's place, roots, derived inputs                 each list: length, items
//! frame = distance back to the caller's frame (0: none), jitcode, pc, words
//! word  = the next k values of the exit, of one kind           (k << 2 | kind) << 2 | 0
//!       | the exit's value n, which an earlier register holds   n << 2 | 1
//!       | a small int                                           zigzag(int) << 2 | 2
//!       | constant n of the trace                               (n << 1 | is green) << 2 | 3
//! ```
//!
//! The values of an exit are numbered as they first occur, outermost frame first ([`Trace::exit_args`]), so most registers
//! hold the *next* value, and their kinds come with them. How many words a frame has, liveness tells.
//!
//! Absent: virtuals and pending stores, which the optimiser does not make.

#[cfg(test)]
mod tests;

use metatrace_ir::ownership::Ownership;
use metatrace_ir::{Const, Derived, JitCodeId, Kind, Opcode, Reach, Ref, Root, RootKind, Snapshot, SnapshotId, Trace};
use metatrace_jitcode::{Activation, JitCodeSource, Pc, Position};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::fmt;
use std::rc::Rc;

/// How to rebuild the frames at one guard.
#[derive(Clone)]
pub struct ResumeData {
    pool: Rc<Pool>,
    /// Where the guard's record begins.
    start: u32,
    /// The guard.
    pub opcode: Opcode,
}

/// The resume data of a trace.
struct Pool {
    bytes: Box<[u8]>,
    consts: Box<[Const]>,
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
}

const KINDS: [Kind; 3] = [Kind::Int, Kind::Ref, Kind::Float];
const ROOTS: [RootKind; 3] = [RootKind::Exclusive, RootKind::Shared, RootKind::Green];
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
    /// A constant; whether it is green.
    Const(Const, bool),
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

    /// The frames, the outermost first. `exit` gives the value of an exit's word by its number, `constant` a constant's, with
    /// whether it is green.
    pub fn rebuild<V: Copy>(
        &self,
        source: &dyn JitCodeSource,
        mut exit: impl FnMut(usize) -> V,
        mut constant: impl FnMut(Const, bool) -> V,
    ) -> Vec<Activation<V>> {
        let nothing = constant(Const::int(0), false);
        let innermost_first = self.frames();
        let mut kinds = Vec::new();
        let mut frames = Vec::with_capacity(innermost_first.len());
        for (depth, recipe) in innermost_first.iter().enumerate().rev() {
            let position = if depth == 0 { self.position() } else { Position::Calling };
            let code = source.by_id(recipe.jitcode);
            let mut frame = Activation::new(code.clone(), recipe.pc, nothing);
            let mut words = recipe.words(&self.pool, &mut kinds);
            for reg in code.live(recipe.pc, position) {
                frame.registers[reg.0 as usize] = match words.next() {
                    Word::Exit(n) => exit(n),
                    Word::Const(word, green) => constant(word, green),
                };
            }
            words.end();
            frames.push(frame);
        }
        frames
    }

    /// What is known of the exit's values.
    pub fn inputs(&self) -> Inputs {
        let mut kinds = Vec::new();
        for recipe in self.frames().iter().rev() {
            recipe.all_words(&self.pool, &mut kinds);
        }
        let mut reader = self.pool.at(self.start);
        reader.number();
        let root = |reader: &mut Reader<'_>| {
            let number = reader.number();
            Root {
                value: Ref::value((number >> 2) as usize),
                kind: ROOTS[number as usize & 3],
            }
        };
        let roots = reader.list(root);
        let derived = |reader: &mut Reader<'_>| {
            let (value, number) = (reader.number(), reader.number());
            Derived {
                value: Ref::value(value as usize),
                root: Ref::value((number >> 2) as usize),
                reach: REACHES[number as usize & 3],
            }
        };
        let derived = reader.list(derived);
        Inputs { kinds, roots, derived }
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

/// `guard_true e0 Exclusive e2 Below e0 [j0@12: e0 e1] [j3@7: e2 0x5]`: facts, then the frames, outermost first; `e0` is the
/// exit's first value.
impl fmt::Debug for ResumeData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inputs { roots, derived, .. } = self.inputs();
        let number = |value: Ref| value.as_value().expect("an input");
        write!(f, "{}", self.opcode.name())?;
        for Root { value, kind } in roots {
            write!(f, " e{} {kind:?}", number(value))?;
        }
        for Derived { value, root, reach } in derived {
            write!(f, " e{} {reach:?} e{}", number(value), number(root))?;
        }
        let mut kinds = Vec::new();
        for recipe in self.frames().iter().rev() {
            write!(f, " [j{}@{}:", recipe.jitcode.0, recipe.pc)?;
            for word in recipe.all_words(&self.pool, &mut kinds) {
                match word {
                    Word::Exit(n) => write!(f, " e{n}")?,
                    Word::Const(Const { bits, .. }, true) => write!(f, " green {bits:#x}")?,
                    Word::Const(Const { bits, .. }, false) => write!(f, " {bits:#x}")?,
                }
            }
            write!(f, "]")?;
        }
        Ok(())
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
    /// Its words, to be read behind those of the frames around it: `kinds` are those of the exit's values so far.
    fn words<'a>(&self, pool: &'a Pool, kinds: &'a mut Vec<Kind>) -> Words<'a> {
        Words {
            reader: pool.at(self.at_words),
            left: self.count,
            run: 0..0,
            kinds,
        }
    }

    fn all_words(&self, pool: &Pool, kinds: &mut Vec<Kind>) -> Vec<Word> {
        let mut words = self.words(pool, kinds);
        let all = (0..self.count).map(|_| words.next()).collect();
        words.end();
        all
    }
}

/// The words of a frame.
struct Words<'a> {
    reader: Reader<'a>,
    left: u64,
    /// Values of the exit that come next.
    run: std::ops::Range<usize>,
    kinds: &'a mut Vec<Kind>,
}

impl Words<'_> {
    fn next(&mut self) -> Word {
        self.left = self.left.checked_sub(1).expect("as many words as live registers");
        if let Some(n) = self.run.next() {
            return Word::Exit(n);
        }
        let number = self.reader.number();
        let rest = number >> 2;
        match number & 3 {
            0 => {
                let (start, kind) = (self.kinds.len(), KINDS[rest as usize & 3]);
                self.run = start..start + (rest >> 2) as usize;
                self.kinds.resize(self.run.end, kind);
                Word::Exit(self.run.next().expect("a run is not empty"))
            }
            1 => Word::Exit(rest as usize),
            2 => Word::Const(Const::int((rest >> 1) as i64 ^ -((rest & 1) as i64)), false),
            _ => Word::Const(self.reader.pool.consts[(rest >> 1) as usize], rest & 1 != 0),
        }
    }

    /// All words have been read.
    fn end(self) {
        assert_eq!((self.left, self.run.len()), (0, 0), "as many words as live registers");
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

impl Reader<'_> {
    fn number(&mut self) -> u64 {
        let mut number = 0;
        for shift in (0..).step_by(7) {
            let byte = self.pool.bytes[self.at];
            self.at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        number
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let length = self.number();
        (0..length).map(|_| item(self)).collect()
    }
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
    let mut writer = Writer::new(trace);
    let mut starts = Vec::new();
    for (n, op) in trace.ops.iter().enumerate() {
        let guard = |snapshot| {
            let (roots, derived) = ownership.inherited(&trace.exit_args(snapshot));
            writer.guard(snapshot, &roots, &derived)
        };
        starts.push(op.snapshot.map(guard));
        ownership.follow(trace, n);
    }
    let pool = Rc::new(Pool {
        bytes: writer.bytes.into(),
        consts: writer.consts.into(),
    });
    let guards = starts.into_iter().zip(&trace.ops);
    let guard = |(start, op): (Option<u32>, &metatrace_ir::Op)| {
        let (pool, opcode) = (pool.clone(), op.opcode);
        start.map(|start| ResumeData { pool, start, opcode })
    };
    guards.map(guard).collect()
}

struct Writer<'a> {
    trace: &'a Trace,
    bytes: Vec<u8>,
    consts: Vec<Const>,
    const_numbers: FxHashMap<Const, u64>,
    /// Where frames are that have been written.
    frames: FxHashMap<SnapshotId, u32>,
    /// Where records are, by their sort and content; a frame's content is its caller's place instead of the distance.
    known: FxHashMap<Vec<u8>, u32>,
}

impl Writer<'_> {
    fn new(trace: &Trace) -> Writer<'_> {
        Writer {
            trace,
            bytes: Vec::new(),
            consts: Vec::new(),
            const_numbers: FxHashMap::default(),
            frames: FxHashMap::default(),
            known: FxHashMap::default(),
        }
    }

    /// Writes a guard's record, unless there is one like it; its place.
    fn guard(&mut self, innermost: SnapshotId, roots: &[Root], derived: &[Derived]) -> u32 {
        let mut chain: SmallVec<[SnapshotId; 8]> = SmallVec::new();
        let mut next = Some(innermost);
        while let Some(id) = next {
            chain.push(id);
            next = self.trace.snapshots[id.0 as usize].parent;
        }
        let mut numbers = FxHashMap::default();
        let mut parent = None;
        for id in chain.into_iter().rev() {
            parent = Some(self.frame(id, parent, &mut numbers));
        }
        let mut record = Vec::new();
        push_number(&mut record, parent.expect("the innermost frame at least").into());
        let number = |value: Ref| value.as_value().expect("an input") as u64;
        push_number(&mut record, roots.len() as u64);
        for root in roots {
            push_number(&mut record, number(root.value) << 2 | place(&ROOTS, &root.kind));
        }
        push_number(&mut record, derived.len() as u64);
        for derived in derived {
            push_number(&mut record, number(derived.value));
            push_number(&mut record, number(derived.root) << 2 | place(&REACHES, &derived.reach));
        }
        let key = [&[b'g'][..], &record].concat();
        self.intern(key, &record)
    }

    /// Writes a frame, unless it is there; its place. `numbers` are those of the exit's values in the frames around it, and
    /// then in this one too.
    fn frame(&mut self, id: SnapshotId, parent: Option<u32>, numbers: &mut FxHashMap<Ref, u64>) -> u32 {
        let snapshot = &self.trace.snapshots[id.0 as usize];
        if let Some(known) = self.frames.get(&id) {
            for value in snapshot.values.iter().filter(|value| !value.is_const()) {
                let next = numbers.len() as u64;
                numbers.entry(*value).or_insert(next);
            }
            return *known;
        }
        let frame = snapshot.frame.expect("a recorded snapshot names its frame");
        let mut content = Vec::new();
        push_number(&mut content, frame.jitcode.0.into());
        push_number(&mut content, frame.pc.into());
        push_number(&mut content, snapshot.values.len() as u64);
        self.words(snapshot, numbers, &mut content);
        let key = [&[b'f'][..], &parent.unwrap_or(u32::MAX).to_le_bytes(), &content].concat();
        let mut record = Vec::new();
        let here = self.bytes.len() as u32;
        push_number(&mut record, parent.map_or(0, |parent| here - parent).into());
        record.extend(content);
        let place = self.intern(key, &record);
        self.frames.insert(id, place);
        place
    }

    fn words(&mut self, snapshot: &Snapshot, numbers: &mut FxHashMap<Ref, u64>, bytes: &mut Vec<u8>) {
        let mut run: Option<(Kind, u64)> = None;
        for &value in &snapshot.values {
            let next = numbers.len() as u64;
            let is_new = !value.is_const() && *numbers.entry(value).or_insert(next) == next;
            if is_new {
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
            let word = match self.trace.as_const(value) {
                None => numbers[&value] << 2 | 1,
                Some(constant) => self.constant(constant, value.is_green()),
            };
            push_number(bytes, word);
        }
        push_run(bytes, run);
    }

    fn constant(&mut self, constant: Const, green: bool) -> u64 {
        let int = constant.bits as i64;
        if constant.kind == Kind::Int && !green && (-(1 << 20)..1 << 20).contains(&int) {
            return ((int << 1 ^ int >> 63) as u64) << 2 | 2;
        }
        let consts = &mut self.consts;
        let number = *self.const_numbers.entry(constant).or_insert_with(|| {
            consts.push(constant);
            consts.len() as u64 - 1
        });
        (number << 1 | u64::from(green)) << 2 | 3
    }

    fn intern(&mut self, key: Vec<u8>, record: &[u8]) -> u32 {
        let bytes = &mut self.bytes;
        *self.known.entry(key).or_insert_with(|| {
            let place = u32::try_from(bytes.len()).expect("resume data of less than 4 GiB");
            bytes.extend(record);
            place
        })
    }
}

fn push_run(bytes: &mut Vec<u8>, run: Option<(Kind, u64)>) {
    if let Some((kind, length)) = run {
        push_number(bytes, (length << 2 | place(&KINDS, &kind)) << 2);
    }
}
