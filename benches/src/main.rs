//! `bench`: whole-process times of the interpreters with the JIT on and off, and of the same programs as C under `gcc -O2`.
//!
//! Every program is run by each contender in turn, several rounds; the table gives medians and their ratios, so what the
//! machine does besides hits all contenders alike. A run whose output differs from the others' is an error. A peer that
//! cannot be had is named as absent.
//!
//! Absent: statistics beyond the median; anything that needs more than `cargo` and, for the peer, a C compiler.
#![forbid(unsafe_code)]

mod contender;
mod report;
mod translate;

use contender::{Contender, Program};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
Usage: bench [--rounds N] [--only NAME] [--jit PARAMS]

Runs the brainfuck and stackvm programs with the JIT and without it, and gcc -O2
of the brainfuck programs, in turn; prints medians of whole-process wall times
and their ratios. Build first: cargo build --release

  --rounds N     runs of each contender (default 5)
  --only NAME    only programs whose name contains NAME
  --jit PARAMS   parameters for the JIT's runs (default: default)
";

struct Options {
    rounds: usize,
    only: String,
    jit: String,
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
    let programs: Vec<Program> = programs(root)
        .into_iter()
        .filter(|p| p.name.contains(&options.only))
        .collect();
    report::header();
    for program in programs {
        let mut contenders = vec![
            Contender::interpreter("native", bin, &program, "off"),
            Contender::interpreter("jit", bin, &program, &options.jit),
        ];
        if program.is_brainfuck() {
            match translate::compile(&program, scratch.path()) {
                Ok(binary) => contenders.push(Contender::binary("gcc -O2", binary, &program)),
                Err(why) => println!("{}: gcc -O2 is absent: {why}", program.name),
            }
        }
        report::row(&program, &contender::measure(&contenders, options.rounds)?);
    }
    Ok(())
}

/// The interpreters' own programs, and the public ones beside the repository where they are.
fn programs(root: &Path) -> Vec<Program> {
    let own = |path: &str, arg: &str| Program::new(root.join("interpreters").join(path), &[arg], &[]);
    let mut programs = vec![
        own("brainfuck/programs/e.b", ""),
        own("stackvm/programs/sum.svm", "10000000"),
        own("stackvm/programs/count.svm", "10000000"),
        own("stackvm/programs/factorial.svm", "20"),
        own("stackvm/programs/fibonacci.svm", "30"),
        own("stackvm/programs/dot.svm", "1000000"),
        own("stackvm/programs/sieve.svm", "1000000"),
    ];
    let public: PathBuf = root.join("../shared/bf");
    if !public.is_dir() {
        println!(
            "the public brainfuck programs are absent (no folder {})",
            public.display()
        );
        return programs;
    }
    for name in ["mandelbrot", "factor", "hanoi", "long", "bench", "dbfi"] {
        programs.push(Program::new(public.join(format!("{name}.b")), &[], &[]));
    }
    for name in ["mandelbrot", "factor", "hanoi", "long", "bench"] {
        programs.push(Program::new(public.join(format!("{name}.b")), &[], &["--optimize"]));
    }
    programs
}
