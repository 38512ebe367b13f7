//! Resume data: what an exit needs to rebuild the interpreter's frames.
//!
//! One writer ([`encode`], from the snapshots of an optimised trace), two readers: the blackhole, which fills registers with
//! words, and the bridge tracer, which fills them with inputs of the bridge. Both go through [`ResumeData::rebuild`].
//!
//! Frames are a chain, innermost first. The chain's outer part is shared by all guards inside one call: the positions of
//! the exit's values are numbered from the outermost frame on ([`Trace::exit_args`]), so they agree.

use metatrace_ir::ownership::{Ownership, Part};
use metatrace_ir::{Const, Derived, JitCodeId, Kind, Opcode, Ref, Root, SnapshotId, Trace};
use metatrace_jitcode::{Activation, JitCodeSource, Pc, Position};
use rustc_hash::FxHashMap;
use std::rc::Rc;

/// Where a register's word comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Word {
    /// The exit's value with this number.
    Exit(u32),
    /// A constant of the trace.
    Const(Ref),
}

/// One frame of the chain.
#[derive(Debug)]
struct FrameRecipe {
    jitcode: JitCodeId,
    pc: Pc,
    words: Box<[Word]>,
    parent: Option<Rc<FrameRecipe>>,
}

/// How to rebuild the frames at one guard.
#[derive(Clone, Debug)]
pub struct ResumeData {
    innermost: Rc<FrameRecipe>,
    consts: Rc<[Const]>,
    /// Kinds of the exit's values.
    pub kinds: Box<[Kind]>,
    /// Facts about the exit's values that a bridge may rely on.
    pub roots: Vec<Root>,
    /// Which of them lead into the memory of others.
    pub derived: Vec<Derived>,
    /// The guard.
    pub opcode: Opcode,
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
        self.innermost.pc
    }

    /// The innermost frame's function.
    pub fn jitcode(&self) -> JitCodeId {
        self.innermost.jitcode
    }

    /// The frames, the outermost first. `exit` gives the value of an exit's word by its number, `constant` a constant's, with
    /// whether it is green.
    pub fn rebuild<V: Copy>(
        &self,
        source: &dyn JitCodeSource,
        mut exit: impl FnMut(usize) -> V,
        mut constant: impl FnMut(Const, bool) -> V,
    ) -> Vec<Activation<V>> {
        let chain = std::iter::successors(Some(&self.innermost), |frame| frame.parent.as_ref());
        let mut position = self.position();
        let mut frames: Vec<Activation<V>> = Vec::new();
        for recipe in chain {
            let code = source.by_id(recipe.jitcode);
            let mut frame = Activation::new(code.clone(), recipe.pc, constant(Const::int(0), false));
            for (reg, word) in code.live(recipe.pc, position).iter().zip(&recipe.words) {
                frame.registers[reg.0 as usize] = match *word {
                    Word::Exit(n) => exit(n as usize),
                    Word::Const(value) => {
                        let word = self.consts[value.as_const().expect("a constant")];
                        constant(word, value.is_green())
                    }
                };
            }
            frames.push(frame);
            position = Position::Calling;
        }
        frames.reverse();
        frames
    }
}

/// The resume data of all guards of a trace, in the order of its operations; `None` for operations that cannot exit.
pub fn encode(trace: &Trace) -> Vec<Option<ResumeData>> {
    let mut ownership = Ownership::new(&trace.roots, &trace.derived);
    let mut part = 0;
    let consts: Rc<[Const]> = trace.consts().into();
    let mut shared: FxHashMap<SnapshotId, Rc<FrameRecipe>> = FxHashMap::default();
    let mut encoded = Vec::new();
    for (n, op) in trace.ops.iter().enumerate() {
        let resume = op.snapshot.map(|snapshot| {
            let args = trace.exit_args(snapshot);
            let numbers: FxHashMap<_, _> = args.iter().enumerate().map(|(n, arg)| (*arg, n as u32)).collect();
            let (roots, derived) = ownership.inherited(&args);
            ResumeData {
                innermost: recipe(trace, snapshot, &numbers, &mut shared),
                consts: consts.clone(),
                kinds: args.iter().map(|arg| trace.kind(*arg)).collect(),
                roots,
                derived,
                opcode: op.opcode,
            }
        });
        encoded.push(resume);
        let values = Part { trace, start: part };
        let change = ownership.change(op, &values);
        ownership.observe(op, trace.result(n), change, &values);
        match op.opcode {
            Opcode::Label => {
                part = n + 1;
                let roots = trace.roots_behind(&op.args);
                ownership.start(&op.args, &op.args, &roots);
            }
            Opcode::GuardValue => ownership.learned(op.args[0], op.args[1]),
            _ => {}
        }
    }
    encoded
}

fn recipe(
    trace: &Trace,
    id: SnapshotId,
    numbers: &FxHashMap<Ref, u32>,
    shared: &mut FxHashMap<SnapshotId, Rc<FrameRecipe>>,
) -> Rc<FrameRecipe> {
    let snapshot = &trace.snapshots[id.0 as usize];
    let parent = snapshot.parent.map(|parent| {
        if let Some(known) = shared.get(&parent) {
            return known.clone();
        }
        let made = recipe(trace, parent, numbers, shared);
        shared.insert(parent, made.clone());
        made
    });
    let frame = snapshot.frame.expect("a recorded snapshot names its frame");
    let word = |value: &Ref| match numbers.get(value) {
        Some(n) => Word::Exit(*n),
        None => Word::Const(*value),
    };
    Rc::new(FrameRecipe {
        jitcode: frame.jitcode,
        pc: frame.pc,
        words: snapshot.values.iter().map(word).collect(),
        parent,
    })
}
