//! `throughput`: what compiling costs for each recorded operation, stage by stage and over lengths of traces, so that a
//! stage whose cost grows faster than the trace shows.
//!
//! The traces are loops that interpreters have recorded (`benches/traces`), each round behind the one before until the
//! wanted length is reached. Stages: the optimiser, the optimiser with peeling (of which one cost is for twice the work),
//! resume data, the x86-64 backend. A second table has what interpreters say of whole programs (`jit-summary`), with
//! `--rpython` the same interpreter in RPython beside ours.
//!
//! For instructions: `valgrind --tool=callgrind --toggle-collect='*throughput::stage_*' target/release/throughput --once
//! STAGE SHAPE OPERATIONS`.
#![forbid(unsafe_code)]

mod rpython;

use metatrace_backend::{Backend, LoopToken};
use metatrace_ir::{GuardId, Op, Opcode, Ref, Snapshot, SnapshotId, TargetToken, Trace};
use metatrace_metainterp::resume::Encoder;
use metatrace_opt::{Optimizer, Options};
use metatrace_x64::X64Backend;
use rustc_hash::FxHashMap;
use std::fs::File;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// Recorded loops: tests and moves on bytes; a stack machine's frames and calls; its arrays.
const SHAPES: [(&str, &str); 3] = [
    ("brainfuck", include_str!("../traces/brainfuck.trace")),
    ("calls", include_str!("../traces/calls.trace")),
    ("sieve", include_str!("../traces/sieve.trace")),
];

const LENGTHS: [usize; 3] = [1_000, 10_000, 100_000];

/// Operations that each stage gets in a measurement, at least.
const WORK: usize = 200_000;

/// A loop with as many rounds in one as it takes to have so many operations.
struct Unrolled<'a> {
    round: &'a Trace,
    trace: Trace,
    /// By value of the round: its value in the rounds that are copied now.
    values: Vec<Option<Ref>>,
    snapshots: FxHashMap<SnapshotId, SnapshotId>,
}

fn unrolled(round: &Trace, operations: usize) -> Trace {
    let (label, rest) = round.ops.split_first().expect("a loop has a label");
    let (jump, body) = rest.split_last().expect("a loop has a jump");
    assert!(
        label.opcode == Opcode::Label && jump.opcode == Opcode::Jump,
        "not a loop"
    );
    let mut trace = Trace::new(round.inputs.clone());
    trace.roots = round.roots.clone();
    trace.derived = round.derived.clone();
    trace.words = round.words.clone();
    trace.push(label.clone());
    let mut unrolled = Unrolled {
        round,
        trace,
        values: vec![None; round.value_count()],
        snapshots: FxHashMap::default(),
    };
    let mut args = label.args.clone();
    while unrolled.trace.ops.len() < operations {
        for (arg, value) in label.args.iter().zip(&args) {
            unrolled.values[arg.as_value().expect("no constant")] = Some(*value);
        }
        unrolled.snapshots.clear();
        for (n, op) in body.iter().enumerate() {
            let copy = unrolled.op(op);
            let value = unrolled.trace.push(copy);
            unrolled.values[round.inputs.len() + 1 + n] = Some(value);
        }
        args = unrolled.op(jump).args;
    }
    unrolled.trace.push(Op { args, ..jump.clone() });
    unrolled.trace
}

impl Unrolled<'_> {
    fn op(&mut self, op: &Op) -> Op {
        Op {
            args: op.args.iter().map(|arg| self.value(*arg)).collect(),
            snapshot: op.snapshot.map(|snapshot| self.snapshot(snapshot)),
            ..op.clone()
        }
    }

    fn value(&mut self, value: Ref) -> Ref {
        match value.as_value() {
            None => self.trace.constant_of(self.round, value),
            Some(n) => self.values[n].expect("defined before it is used"),
        }
    }

    fn snapshot(&mut self, id: SnapshotId) -> SnapshotId {
        if let Some(known) = self.snapshots.get(&id) {
            return *known;
        }
        let Snapshot { frame, values, parent } = &self.round.snapshots[id.0 as usize];
        let snapshot = Snapshot {
            frame: *frame,
            parent: parent.map(|parent| self.snapshot(parent)),
            values: values.iter().map(|value| self.value(*value)).collect(),
        };
        let copy = self.trace.add_snapshot(snapshot);
        self.snapshots.insert(id, copy);
        copy
    }
}

/// The loop that is assembled, each time anew.
const TOKEN: LoopToken = LoopToken(0);

/// A stage of compilation, over what the stages before it have made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Optimise,
    Peel,
    Resume,
    Assemble,
}

const STAGES: [(&str, Stage); 4] = [
    ("optimise", Stage::Optimise),
    ("peel", Stage::Peel),
    ("resume", Stage::Resume),
    ("assemble", Stage::Assemble),
];

/// What an engine keeps from trace to trace.
struct Kept {
    optimizer: Optimizer,
    encoder: Encoder,
    backend: X64Backend,
}

impl Kept {
    fn new() -> Kept {
        Kept {
            optimizer: Optimizer::default(),
            encoder: Encoder::default(),
            backend: X64Backend::new(metatrace_x64::Options::default()).expect("a machine of this kind"),
        }
    }
}

/// A trace, and what the optimiser makes of it, with names for its guards.
struct Subject {
    recorded: Trace,
    optimised: Trace,
}

impl Subject {
    fn new(text: &str, operations: usize) -> Subject {
        let round: Trace = text.parse().expect("the trace was printed by the recorder");
        let recorded = unrolled(&round, operations);
        let mut optimised = metatrace_opt::optimize(&recorded, &Options::default());
        let exits = optimised.ops.iter_mut().filter(|op| op.opcode.can_exit());
        for (n, op) in exits.enumerate() {
            op.guard = Some(GuardId(n as u32));
        }
        Subject { recorded, optimised }
    }

    fn run(&self, stage: Stage, kept: &mut Kept) {
        match stage {
            Stage::Optimise => stage_optimise(&mut kept.optimizer, &self.recorded),
            Stage::Peel => stage_peel(&mut kept.optimizer, &self.recorded),
            Stage::Resume => stage_resume(&mut kept.encoder, &self.optimised),
            Stage::Assemble => stage_assemble(&kept.backend, &self.optimised),
        }
    }

    /// Nanoseconds for each recorded operation: the best of some rounds, for others use the machine too.
    fn nanoseconds(&self, stage: Stage, kept: &mut Kept) -> f64 {
        let length = self.recorded.ops.len();
        let rounds = (WORK / length).max(3);
        let times = (0..rounds).map(|_| {
            let start = Instant::now();
            self.run(stage, kept);
            let time = start.elapsed().as_secs_f64();
            kept.backend.free_loop(TOKEN);
            time
        });
        times.fold(f64::INFINITY, f64::min) * 1e9 / length as f64
    }
}

// apart, so that a profiler finds them

#[inline(never)]
fn stage_optimise(optimizer: &mut Optimizer, trace: &Trace) {
    let optimised = black_box(optimizer.optimize(trace, &Options::default()));
    optimizer.recycle(optimised);
}

#[inline(never)]
fn stage_peel(optimizer: &mut Optimizer, trace: &Trace) {
    let options = Options {
        peel: Some(TargetToken(u32::MAX)),
        ..Options::default()
    };
    let peeled = black_box(optimizer.optimize(trace, &options));
    optimizer.recycle(peeled);
}

#[inline(never)]
fn stage_resume(encoder: &mut Encoder, trace: &Trace) {
    black_box(encoder.encode(trace));
}

#[inline(never)]
fn stage_assemble(backend: &X64Backend, trace: &Trace) {
    black_box(backend.compile_loop(TOKEN, trace).expect("code for every trace"));
}

fn table() {
    println!("ns for each recorded operation (lower is better), and millions of them in a second without peeling");
    print!("{:10} {:>10} {:>9}", "shape", "operations", "optimised");
    STAGES.iter().for_each(|(name, _)| print!(" {name:>9}"));
    println!(" {:>9}", "M ops/s");
    for (shape, text) in SHAPES {
        for length in LENGTHS {
            let subject = Subject::new(text, length);
            print!(
                "{shape:10} {:>10} {:>9}",
                subject.recorded.ops.len(),
                subject.optimised.ops.len()
            );
            let (mut sum, mut kept) = (0.0, Kept::new());
            for (_, stage) in STAGES {
                let time = subject.nanoseconds(stage, &mut kept);
                print!(" {time:>9.0}");
                if stage != Stage::Peel {
                    sum += time;
                }
            }
            println!(" {:>9.2}", 1e3 / sum);
        }
    }
}

/// What an interpreter's `jit-summary` says of a run: recorded operations, and the seconds that tracing and assembling took.
/// RPython and metatrace alike count optimising as tracing.
struct Summary {
    recorded: f64,
    tracing: f64,
    backend: f64,
}

impl Summary {
    /// # Errors
    /// Why the interpreter does not run the program, or does not say.
    fn of(interpreter: &Path, program: &Path) -> Result<Summary, String> {
        let log = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
        let input = File::open(program.with_extension("in")).map_or_else(|_| Stdio::null(), Stdio::from);
        let output = Command::new(interpreter)
            .arg(program)
            .env("PYPYLOG", format!("jit-summary:{}", log.path().display()))
            .stdin(input)
            .stdout(Stdio::null())
            .output()
            .map_err(|error| format!("{}: {error}", interpreter.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let why = said.lines().last().unwrap_or_default();
            return Err(format!("{}: {} {why}", interpreter.display(), output.status));
        }
        let text = std::fs::read_to_string(log.path()).map_err(|error| error.to_string())?;
        let last = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            let field = line.and_then(|line| line.split_whitespace().last()?.parse().ok());
            field.ok_or_else(|| format!("{} says nothing of {name}", interpreter.display()))
        };
        Ok(Summary {
            recorded: last("recorded ops:")?,
            tracing: last("Tracing:")?,
            backend: last("Backend:")?,
        })
    }

    /// Millions of recorded operations a second.
    fn rate(&self) -> f64 {
        self.recorded / (self.tracing + self.backend) / 1e6
    }

    /// The run with the median rate of some; the first error.
    fn median(interpreter: &Path, program: &Path) -> Result<Summary, String> {
        let runs = (0..5).map(|_| Summary::of(interpreter, program));
        let mut runs: Vec<Summary> = runs.collect::<Result<_, _>>()?;
        runs.sort_by(|a, b| a.rate().total_cmp(&b.rate()));
        Ok(runs.swap_remove(2))
    }
}

/// `rpython`: the peer, or why it is absent.
fn summaries(programs: &[PathBuf], rpython: Result<PathBuf, String>) {
    let bin = std::env::current_exe().expect("a program has a file");
    let mut interpreters = vec![("metatrace", bin.with_file_name("bf"))];
    match rpython {
        Ok(binary) => interpreters.push(("rpython", binary)),
        Err(why) => println!("\nRPython is absent: {why}"),
    }
    println!(
        "\nwhole programs, median of 5: recorded operations, seconds to record and optimise and to assemble them, M ops/s"
    );
    for program in programs {
        for (name, interpreter) in &interpreters {
            let line = match Summary::median(interpreter, program) {
                Err(why) => format!("absent: {why}"),
                Ok(summary) => format!(
                    "{:>10} {:>10.4} {:>10.4} {:>9.3}",
                    summary.recorded,
                    summary.tracing,
                    summary.backend,
                    summary.rate()
                ),
            };
            let file = program.file_name().unwrap_or_default().to_string_lossy();
            println!("{file:16} {name:10} {line}");
        }
    }
}

fn once(words: &[String]) -> Option<()> {
    let [stage, shape, operations] = words else { return None };
    let (_, stage) = STAGES.iter().find(|(name, _)| name == stage)?;
    let (_, text) = SHAPES.iter().find(|(name, _)| name == shape)?;
    let subject = Subject::new(text, operations.parse().ok()?);
    subject.run(*stage, &mut Kept::new());
    println!("{} recorded operations", subject.recorded.ops.len());
    Some(())
}

const USAGE: &str = "usage: throughput [--rpython] [PROGRAM.b…] | --once STAGE SHAPE OPERATIONS";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some((_, words)) = words.split_first().filter(|(first, _)| *first == "--once") {
        return match once(words) {
            Some(()) => ExitCode::SUCCESS,
            None => {
                eprintln!("{USAGE}");
                ExitCode::FAILURE
            }
        };
    }
    let (flags, files): (Vec<String>, Vec<String>) = words.into_iter().partition(|word| word.starts_with('-'));
    if flags.iter().any(|flag| flag != "--rpython") {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    }
    let rpython = rpython::interpreter(!flags.is_empty());
    table();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../interpreters/brainfuck/programs/e.b");
    let programs: Vec<PathBuf> = [own].into_iter().chain(files.iter().map(PathBuf::from)).collect();
    summaries(&programs, rpython);
    ExitCode::SUCCESS
}
