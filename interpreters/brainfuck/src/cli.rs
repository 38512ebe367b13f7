//! The command line: what was asked for ([`parse_command`]), doing it ([`run_file`]), and what to say when it fails.
//!
//! Nothing here prints or exits; that is `main`'s.

use crate::dispatch;
use crate::error::{Error, ParseError};
use crate::io::Io;
use crate::program::{Form, Program};
use lexopt::prelude::{Long, Short, Value, ValueExt};
use metatrace::{ConfigError, JitDriver, Log, LogError};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The text of `--help`.
pub const USAGE: &str = "\
Usage: bf FILE [--optimize] [--jit PARAMS|off]

Runs the brainfuck program in FILE on standard input and output.

  --optimize          fold runs and simple loops into single operations first
  --jit PARAMS|off    parameters of the JIT, such as threshold=100; off: only interpret
  -h, --help          print this
  -V, --version       print the version

Cells: 30,000 of 8 bits, wrapping. The end of input reads as 0.
Exit status: 0, or 1 if the program fails while it runs, or 2 if it cannot be started.
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Run a program.
    Run(Options),
    /// Print [`USAGE`].
    Help,
    /// Print the version.
    Version,
}

/// How to run which program.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// The file with its source.
    pub file: PathBuf,
    /// The form in which it runs.
    pub form: Form,
    /// Parameters for the JIT as they were given; `off` turns it off, `None` leaves the defaults.
    pub jit: Option<String>,
}

/// Why `bf` failed.
#[derive(Debug)]
pub enum Failure {
    /// The command line makes no sense.
    Usage(lexopt::Error),
    /// There are no such parameters of the JIT.
    Jit(ConfigError),
    /// The environment asks for a log that cannot be.
    OpenLog(LogError),
    /// The log could not be written.
    WriteLog(io::Error),
    /// The source could not be read.
    Load(PathBuf, io::Error),
    /// The source is no program.
    Parse(PathBuf, ParseError),
    /// The program stopped with an error.
    Run(PathBuf, Error),
}

/// Reads the arguments.
///
/// # Errors
/// An unknown option, one without its value, or no FILE.
pub fn parse_command(mut arguments: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut file, mut form, mut jit) = (None, Form::Plain, None);
    while let Some(argument) = arguments.next()? {
        match argument {
            Value(path) if file.is_none() => file = Some(PathBuf::from(path)),
            Long("optimize") => form = Form::Optimized,
            Long("jit") => jit = Some(arguments.value()?.string()?),
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version),
            other => return Err(other.unexpected()),
        }
    }
    let file = file.ok_or("missing argument FILE")?;
    Ok(Command::Run(Options { file, form, jit }))
}

/// Loads and runs a program.
///
/// # Errors
/// All but [`Failure::Usage`].
pub fn run_file(options: &Options, io: &mut Io) -> Result<(), Failure> {
    let file = &options.file;
    let source = std::fs::read(file).map_err(|error| Failure::Load(file.clone(), error))?;
    let program = Program::parse(&source, options.form).map_err(|error| Failure::Parse(file.clone(), error))?;
    let mut jit = driver(options.jit.as_deref())?;
    let outcome = dispatch::run(&jit, &program, io);
    jit.finish_log().map_err(Failure::WriteLog)?;
    outcome.map_err(|error| Failure::Run(file.clone(), error))
}

/// A driver with the parameters that were asked for, logging as the environment says.
fn driver<'p>(parameters: Option<&str>) -> Result<JitDriver<'p>, Failure> {
    let mut jit = JitDriver::with_param_text(parameters.unwrap_or("default")).map_err(Failure::Jit)?;
    if let Some(log) = Log::from_env().map_err(Failure::OpenLog)? {
        jit.set_log(log);
    }
    Ok(jit)
}

impl Failure {
    /// The exit status that tells it: 1 when the program failed, 2 when it did not start.
    pub fn exit_status(&self) -> u8 {
        match self {
            Failure::Run(..) | Failure::WriteLog(_) => 1,
            Failure::Usage(_) | Failure::Jit(_) | Failure::OpenLog(_) | Failure::Load(..) | Failure::Parse(..) => 2,
        }
    }

    /// Whether it is worth no message: nobody reads our output any more.
    pub fn is_silent(&self) -> bool {
        matches!(self, Failure::Run(_, error) if error.is_broken_pipe())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(error) => write!(f, "{error} (`bf --help` tells more)"),
            Failure::Jit(error) => error.fmt(f),
            Failure::OpenLog(error) => error.fmt(f),
            Failure::WriteLog(error) => write!(f, "cannot write the log: {error}"),
            Failure::Load(file, error) => write!(f, "cannot read {}: {error}", file.display()),
            Failure::Parse(file, error) => located(f, file, error),
            Failure::Run(file, error @ Error::Tape { .. }) => located(f, file, error),
            Failure::Run(_, error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

/// An error that begins with its position, behind the name of its file.
fn located(f: &mut fmt::Formatter<'_>, file: &Path, error: &dyn fmt::Display) -> fmt::Result {
    write!(f, "{}:{error}", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Command, String> {
        parse_command(lexopt::Parser::from_args(arguments)).map_err(|error| error.to_string())
    }

    #[test]
    fn options_in_any_order() {
        let options = Options {
            file: "x.b".into(),
            form: Form::Optimized,
            jit: Some("off".into()),
        };
        assert_eq!(parse(&["--jit", "off", "x.b", "--optimize"]), Ok(Command::Run(options)));
        let plain = Options {
            file: "x.b".into(),
            form: Form::Plain,
            jit: None,
        };
        assert_eq!(parse(&["x.b"]), Ok(Command::Run(plain)));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(parse(&[]), Err("missing argument FILE".into()));
        assert_eq!(parse(&["a.b", "--fast"]), Err("invalid option '--fast'".into()));
        assert_eq!(parse(&["a.b", "b.b"]), Err("unexpected argument \"b.b\"".into()));
        assert_eq!(
            parse(&["a.b", "--jit"]),
            Err("missing argument for option '--jit'".into())
        );
    }
}
