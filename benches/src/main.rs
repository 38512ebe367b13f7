//! `bench`: whole-process times of the interpreters with the JIT on and off, of the same programs as C under `gcc -O2`, and of
//! the same brainfuck interpreter in RPython.
//!
//! Every program is run by each contender in turn, several rounds; the table gives medians and their ratios, so what the
//! machine does besides hits all contenders alike. A run whose output differs from the others' is an error. A peer that
//! cannot be had is named as absent.
//!
//! With `--gate` it judges instead of comparing: no peers, and it is an error if the JIT makes any program slower than the plain
//! interpreter by more than [`report::TOLERANCE`] and [`report::START`].
//!
//! Absent: statistics beyond the median; anything that needs more than `cargo` and, for the peer, a C compiler.
#![forbid(unsafe_code)]

mod contender;
mod report;
mod rpython;
mod translate;

use contender::{Contender, Program};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
Usage: bench [--rounds N] [--only NAME] [--jit PARAMS] [--rpython] [--gate]

Runs the brainfuck and stackvm programs with the JIT and without it, and gcc -O2
of the brainfuck programs, in turn; prints medians of whole-process wall times
and their ratios. Build first: cargo build --release

  --rounds N     runs of each contender (default 5)
  --only NAME    only the program of this name, in all forms
  --jit PARAMS   parameters for the JIT's runs (default: default)
  --rpython      the same brainfuck interpreter in RPython as one more peer; it is
                 translated first, which takes minutes
  --gate         no peers; fails where the JIT makes a program slower than the
                 plain interpreter, by more than 5% and 20 ms
";

struct Options {
    rounds: usize,
    only: String,
    jit: String,
    rpython: bool,
    gate: bool,
}

fn main() -> ExitCode {
    match options().and_then(|options| options.map_or(Ok(()), |options| run(&options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("bench: {message}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Option<Options>, String> {
    use lexopt::prelude::*;
    let mut options = Options {
        rounds: 5,
        only: String::new(),
        jit: "default".to_owned(),
        rpython: false,
        gate: false,
    };
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next().map_err(|error| error.to_string())? {
        let result = match arg {
            Long("rounds") => args
                .value()
                .and_then(|value| value.parse())
                .map(|rounds| options.rounds = rounds),
            Long("only") => args
                .value()
                .and_then(|value| value.string())
                .map(|only| options.only = only),
            Long("jit") => args
                .value()
                .and_then(|value| value.string())
                .map(|jit| options.jit = jit),
            Long("rpython") => {
                options.rpython = true;
                Ok(())
            }
            Long("gate") => {
                options.gate = true;
                Ok(())
            }
            Long("help") => {
                print!("{HELP}");
                return Ok(None);
            }
            other => Err(other.unexpected()),
        };
        result.map_err(|error| error.to_string())?;
    }
    if options.rounds == 0 {
        return Err("--rounds must be at least 1".to_owned());
    }
    Ok(Some(options))
}

fn run(options: &Options) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("benches/ lies in the repository");
    let bin = std::env::current_exe().map_err(|error| error.to_string())?;
    let bin = bin.parent().expect("a program lies in a folder");
    let scratch = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let programs: Vec<Program> = programs(root)?
        .into_iter()
        .filter(|program| options.only.is_empty() || program.stem() == options.only)
        .collect();
    let rpython = rpython::interpreter(options.rpython && !options.gate);
    if let (Err(why), false) = (&rpython, options.gate) {
        println!("RPython is absent: {why}");
    }
    report::header();
    let mut slower = Vec::new();
    for program in programs {
        let mut contenders = vec![
            Contender::interpreter("native", bin, &program, "off"),
            Contender::interpreter("jit", bin, &program, &options.jit),
        ];
        if program.is_brainfuck() && !options.gate {
            match translate::compile(&program, scratch.path()) {
                Ok(binary) => contenders.push(Contender::binary("gcc -O2", binary, &program)),
                Err(why) => println!("{}: gcc -O2 is absent: {why}", program.name),
            }
        }
        if let (Ok(binary), true) = (&rpython, program.is_plain_brainfuck()) {
            let path = program.path.display().to_string();
            contenders.push(Contender::binary("rpython", binary.clone(), &program).with_arg(path));
        }
        let medians = contender::measure(&contenders, options.rounds)?;
        report::row(&program, &medians);
        if report::is_slower(&medians) {
            slower.push(program.name);
        }
    }
    match (options.gate, slower.is_empty()) {
        (true, false) => Err(format!("slower with the JIT than without: {}", slower.join(", "))),
        _ => Ok(()),
    }
}

/// The interpreters' own programs, and the public ones beside the repository where they are; brainfuck in both forms.
fn programs(root: &Path) -> Result<Vec<Program>, String> {
    let mut programs = Vec::new();
    for (name, arg) in [
        ("sum", "10000000"),
        ("count", "10000000"),
        ("factorial", "20"),
        ("fibonacci", "30"),
        ("dot", "1000000"),
        ("pi", "10000000"),
        ("sieve", "1000000"),
        ("alias", "1000000"),
    ] {
        let path = root.join(format!("interpreters/stackvm/programs/{name}.svm"));
        programs.push(Program::new(path, &[arg], &[]));
    }
    let public = root.join("../shared/bf");
    if !public.is_dir() {
        println!(
            "the public brainfuck programs are absent (no folder {})",
            public.display()
        );
    }
    for folder in [root.join("interpreters/brainfuck/programs"), public] {
        for path in brainfuck_in(&folder).map_err(|error| format!("{}: {error}", folder.display()))? {
            programs.push(Program::new(path.clone(), &[], &[]));
            programs.push(Program::new(path, &[], &["--optimize"]));
        }
    }
    Ok(programs)
}

/// The brainfuck programs in a folder, by name; none where there is no folder.
fn brainfuck_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries: std::io::Result<Vec<PathBuf>> = folder.read_dir()?.map(|entry| Ok(entry?.path())).collect();
    let mut paths = entries?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "b"));
    paths.sort();
    Ok(paths)
}
