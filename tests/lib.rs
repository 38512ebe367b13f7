//! The corpus: every program of the interpreters, and how to run one in a given mode.
//!
//! A mode is a text of JIT parameters. One run gives everything a guest can observe, and what the driver did.
#![forbid(unsafe_code)]

use brainfuck::{Form, Io, Program};
use metatrace::{JitDriver, Stats};
use stackvm::{Output, Vm};
use std::path::{Path, PathBuf};

/// A guest program with its input.
#[derive(Clone, Debug)]
pub enum Guest {
    /// Brainfuck: the source's path (its input beside it), and the form it runs in.
    Brainfuck(PathBuf, Form),
    /// stackvm: the source's path, and the arguments of its `main`.
    StackVm(PathBuf, Vec<i64>),
}

/// What a run did.
#[derive(Clone, Debug)]
pub struct Run {
    /// All output, and the outcome.
    pub observed: String,
    /// What the driver did.
    pub stats: Stats,
}

impl Guest {
    /// Runs it.
    ///
    /// # Panics
    /// If the program is missing or malformed, or the parameters are no parameters.
    pub fn run(&self, jit: &str) -> Run {
        match self {
            Guest::Brainfuck(path, form) => run_brainfuck(path, *form, jit),
            Guest::StackVm(path, args) => run_stackvm(path, args, jit),
        }
    }
}

fn run_brainfuck(path: &Path, form: Form, params: &str) -> Run {
    let source = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let input = std::fs::read(path.with_extension("in")).unwrap_or_default();
    let program = Program::parse(&source, form).expect("a well-formed program");
    let jit = JitDriver::with_param_text(params).expect("good parameters");
    let mut io = Io::in_memory(&input);
    let outcome = brainfuck::run(&jit, &program, &mut io);
    let output = io.into_output();
    let observed = format!("{}{outcome:?}", String::from_utf8_lossy(&output));
    Run {
        observed,
        stats: jit.stats(),
    }
}

fn run_stackvm(path: &Path, args: &[i64], params: &str) -> Run {
    let source = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let code = stackvm::assemble(&source).expect("a well-formed program");
    let jit = JitDriver::with_param_text(params).expect("good parameters");
    let mut vm = Vm::new(&code, args, Output::in_memory());
    let outcome = vm.execute(&jit);
    let output = vm.into_output().into_bytes();
    let observed = format!("{}{outcome:?}", String::from_utf8_lossy(&output));
    Run {
        observed,
        stats: jit.stats(),
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the repository")
}

/// A brainfuck program of our own.
pub fn own_brainfuck(name: &str, form: Form) -> Guest {
    Guest::Brainfuck(
        root()
            .join("interpreters/brainfuck/programs")
            .join(name)
            .with_extension("b"),
        form,
    )
}

/// A stackvm program of our own.
pub fn own_stackvm(name: &str, args: &[i64]) -> Guest {
    Guest::StackVm(
        root()
            .join("interpreters/stackvm/programs")
            .join(name)
            .with_extension("svm"),
        args.to_vec(),
    )
}

/// A public brainfuck program, where the folder of them stands beside the repository.
pub fn public_brainfuck(name: &str, form: Form) -> Option<Guest> {
    let path = root().join("../shared/bf").join(name).with_extension("b");
    path.is_file().then_some(Guest::Brainfuck(path, form))
}

/// Programs of at most a tenth of a second, each with a loop when it runs.
pub fn small() -> Vec<Guest> {
    let mut guests = vec![own_brainfuck("hello", Form::Plain)];
    for form in [Form::Plain, Form::Optimized] {
        guests.extend(["cat", "reverse"].map(|name| own_brainfuck(name, form)));
        guests.extend(
            ["squares", "sierpinski"]
                .iter()
                .filter_map(|name| public_brainfuck(name, form)),
        );
    }
    guests.extend([
        own_stackvm("sum", &[1000]),
        own_stackvm("count", &[1000]),
        own_stackvm("factorial", &[20]),
        own_stackvm("factorial", &[25]),
        own_stackvm("fibonacci", &[12]),
        own_stackvm("dot", &[100]),
        own_stackvm("pi", &[100]),
        own_stackvm("sieve", &[200]),
        own_stackvm("alias", &[200]),
    ]);
    guests
}

/// The programs that take longer.
pub fn large() -> Vec<Guest> {
    let mut guests = Vec::new();
    for form in [Form::Plain, Form::Optimized] {
        guests.extend(["e", "fibonacci", "primes"].map(|name| own_brainfuck(name, form)));
        let public = ["mandelbrot", "factor", "hanoi", "long", "bench", "dbfi"];
        guests.extend(public.iter().filter_map(|name| public_brainfuck(name, form)));
    }
    guests.extend([
        own_stackvm("sum", &[1_000_000]),
        own_stackvm("count", &[1_000_000]),
        own_stackvm("fibonacci", &[25]),
        own_stackvm("dot", &[100_000]),
        own_stackvm("pi", &[100_000]),
        own_stackvm("sieve", &[100_000]),
    ]);
    guests
}
