//! The command line: what is asked for ([`parse_command`]), doing it ([`run`]), and what to say when it fails.

use crate::input::{self, InputError};
use lexopt::prelude::{Long, Short, Value, ValueExt};
use metatrace_check::{Mismatch, check, numbered};
use metatrace_ir::{Descr, TargetToken, Trace, verify};
use metatrace_opt::{Options, PASSES, PassInfo, Rewrites, optimize_counting};
use std::fmt::{self, Write as _};
use std::io::{self, Read};
use std::path::PathBuf;

/// The text of `--help`.
pub fn usage() -> String {
    let mut usage = "\
Usage: trace-opt [FILE] [--passes NAMES] [--peel] [--section N] [--stats] [--check N] [--verify]

Optimises the trace in FILE, or on standard input, and prints the result in the full textual form. Roots and descriptors
are declared in the text. A log is accepted, too: PYPYLOG=jit-log-noopt:FILE makes one; the form that other sections of a
log have says nothing of roots, frames and green constants. What stands behind a line `---` is not read.

  --passes NAMES      only these passes, separated by commas; `all` (the default) or `none`
  --peel              peel the first round off a loop, as it is done with loops that run
  --section N         the Nth trace of a log with several
  --stats             say how often each rule fired, on standard error
  --check N           run both traces in N simulated worlds, and fail if they differ in one
  --seed N            start of the sequence that chooses the worlds
  --verify            only check that the trace is well formed, and print nothing
  -h, --help          print this
  -V, --version       print the version

Passes, in the order in which they run:
"
    .to_owned();
    for pass in PASSES {
        let _ = writeln!(usage, "  {:<18}  {}", pass.name, pass.about);
    }
    usage + "\nExit status: 0, or 1 if the text is no well-formed trace, or 2 if the command line makes no sense, or 3 if the traces
differ or the optimised one is not well formed.\n"
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Work on a trace.
    Run(Request),
    /// Print [`usage`].
    Help,
    /// Print the version.
    Version,
}

/// What to do with which trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The file with its text; `None` is standard input.
    pub file: Option<PathBuf>,
    /// The passes.
    pub passes: Options,
    /// Whether loops are peeled.
    pub peel: bool,
    /// Which trace of a log, from 1.
    pub section: Option<usize>,
    /// Whether to count rules.
    pub stats: bool,
    /// In how many worlds to compare, and which.
    pub check: metatrace_check::Options,
    /// Whether to do nothing but check the trace.
    pub verify: bool,
}

/// What there is to print.
#[derive(Debug, Default)]
pub struct Output {
    /// On standard output.
    pub text: String,
    /// On standard error.
    pub notes: String,
}

impl Output {
    /// Only this text.
    pub fn text(text: impl Into<String>) -> Output {
        Output {
            text: text.into(),
            ..Output::default()
        }
    }
}

/// Why nothing was printed.
#[derive(Debug)]
pub enum Failure {
    /// The command line makes no sense.
    Usage(lexopt::Error),
    /// The text cannot be read.
    Read(String, io::Error),
    /// The text is no well-formed trace.
    Input(String, InputError),
    /// The trace has sunk operations, which only the optimiser makes.
    Optimized(String),
    /// The optimised trace does something else.
    Differs(Box<Mismatch>, String),
    /// The optimised trace is not well formed.
    Malformed(String, String),
    /// The result cannot be written.
    Write(io::Error),
}

/// Reads the arguments.
///
/// # Errors
/// An unknown option or pass, or an option without its value.
pub fn parse_command(mut arguments: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut request = Request {
        file: None,
        passes: Options::default(),
        peel: false,
        section: None,
        stats: false,
        check: metatrace_check::Options { worlds: 0, seed: 1 },
        verify: false,
    };
    let mut has_file = false;
    while let Some(argument) = arguments.next()? {
        match argument {
            Value(path) if !has_file => {
                has_file = true;
                request.file = (path != "-").then(|| path.into());
            }
            Long("passes") => request.passes = passes(&arguments.value()?.string()?)?,
            Long("peel") => request.peel = true,
            Long("section") => request.section = Some(arguments.value()?.parse()?),
            Long("stats") => request.stats = true,
            Long("check") => request.check.worlds = arguments.value()?.parse()?,
            Long("seed") => request.check.seed = arguments.value()?.parse()?,
            Long("verify") => request.verify = true,
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Run(request))
}

fn passes(names: &str) -> Result<Options, String> {
    let named = |options: Options, name: &str| {
        let pass = PassInfo::by_name(name).ok_or_else(|| {
            let known: Vec<&str> = PASSES.iter().map(|pass| pass.name).collect();
            format!("no pass is called '{name}' (passes: {})", known.join(", "))
        })?;
        Ok(options.with(pass, true))
    };
    match names.trim() {
        "all" => Ok(Options::default()),
        "none" => Ok(Options::NONE),
        names => names.split(',').map(str::trim).try_fold(Options::NONE, named),
    }
}

/// Does what is asked for.
///
/// # Errors
/// All but [`Failure::Usage`].
pub fn run(request: &Request) -> Result<Output, Failure> {
    let name = match &request.file {
        Some(file) => file.display().to_string(),
        None => "standard input".to_owned(),
    };
    let text = read(request).map_err(|error| Failure::Read(name.clone(), error))?;
    let trace = input::trace(&text, request.section).map_err(|error| Failure::Input(name.clone(), error))?;
    if request.verify {
        return Ok(Output::default());
    }
    if trace.ops.iter().any(|op| op.sunk) {
        return Err(Failure::Optimized(name));
    }
    // without names, no exit could be told to be the same
    let trace = if request.check.worlds > 0 {
        numbered(&trace)
    } else {
        trace
    };
    let passes = Options {
        peel: request.peel.then(|| unused_label(&trace)),
        ..request.passes
    };
    let (optimized, rewrites) = optimize_counting(&trace, &passes);
    let mut output = Output::text(optimized.to_string());
    if input::is_log_form(&text) {
        output.notes += "trace-opt: note: in this form of a log, roots, frames and green constants are lost\n";
    }
    if let Err(error) = verify(&optimized) {
        return Err(Failure::Malformed(error.to_string(), optimized.to_string()));
    }
    if request.stats {
        output.notes += &statistics(trace.ops.len(), optimized.ops.len(), &rewrites);
    }
    if request.check.worlds > 0 {
        let report = check(&trace, &optimized, &request.check);
        let report = report.map_err(|mismatch| Failure::Differs(Box::new(mismatch), optimized.to_string()))?;
        let guards = trace.ops.iter().filter(|op| op.opcode.can_exit()).count();
        let _ = writeln!(
            output.notes,
            "no difference in {} worlds ({} undefined): {} states compared, {} of {guards} exits reached",
            report.worlds, report.undefined, report.states, report.guards
        );
    }
    Ok(output)
}

/// A name for a label that the trace neither has nor jumps to.
fn unused_label(trace: &Trace) -> TargetToken {
    let labels = trace.ops.iter().filter_map(|op| match op.descr.as_deref() {
        Some(Descr::Target(token)) => Some(token.0),
        _ => None,
    });
    TargetToken(labels.max().map_or(0, |last| last.wrapping_add(1)))
}

fn read(request: &Request) -> io::Result<String> {
    let bytes = match &request.file {
        Some(file) => std::fs::read(file)?,
        None => {
            let mut bytes = Vec::new();
            io::stdin().read_to_end(&mut bytes)?;
            bytes
        }
    };
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no UTF-8 text"))
}

fn statistics(before: usize, after: usize, rewrites: &Rewrites) -> String {
    let mut rules: Vec<(&str, u32)> = rewrites.iter().collect();
    rules.sort_by_key(|(rule, count)| (std::cmp::Reverse(*count), *rule));
    let mut text = format!("{before} operations became {after}\n");
    for (rule, count) in rules {
        let _ = writeln!(text, "{count:>7} {rule}");
    }
    text
}

impl Failure {
    /// The exit status that tells it.
    pub fn exit_status(&self) -> u8 {
        match self {
            Failure::Read(..) | Failure::Input(..) | Failure::Optimized(_) | Failure::Write(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Differs(..) | Failure::Malformed(..) => 3,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(error) => write!(f, "{error} (`trace-opt --help` tells more)"),
            Failure::Read(name, error) => write!(f, "cannot read {name}: {error}"),
            Failure::Input(name, error) => write!(f, "{name}:{error}"),
            Failure::Optimized(name) => write!(f, "{name}: it has sunk operations, so it is optimised already"),
            Failure::Differs(mismatch, optimized) => write!(f, "the optimised trace differs: {mismatch}\n{optimized}"),
            Failure::Malformed(error, optimized) => {
                write!(
                    f,
                    "the result is not well formed, a bug of the optimiser: {error}\n{optimized}"
                )
            }
            Failure::Write(error) => write!(f, "cannot write: {error}"),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Command, String> {
        parse_command(lexopt::Parser::from_args(arguments)).map_err(|error| error.to_string())
    }

    #[test]
    fn passes_are_chosen_by_name() {
        let chosen = |names: &str| match parse(&["--passes", names]) {
            Ok(Command::Run(request)) => request.passes,
            other => panic!("{names}: {other:?}"),
        };
        assert_eq!(chosen("all"), Options::default());
        assert_eq!(chosen("none"), Options::NONE);
        let every: Vec<&str> = PASSES.iter().map(|pass| pass.name).collect();
        assert_eq!(chosen(&every.join(",")), Options::default());
        let expected = Options {
            heap: true,
            fold: true,
            ..Options::NONE
        };
        assert_eq!(chosen("heap, fold"), expected);
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(parse(&["a", "b"]), Err("unexpected argument \"b\"".into()));
        assert_eq!(
            parse(&["--passes"]),
            Err("missing argument for option '--passes'".into())
        );
        let error = parse(&["--passes", "fold,haep"]).expect_err("no such pass");
        assert!(
            error.starts_with("no pass is called 'haep' (passes: guards, fold"),
            "{error}"
        );
        assert!(parse(&["--section", "x"]).is_err());
    }
}
