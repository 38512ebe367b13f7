//! The command line: what was asked for ([`parse_command`]), doing it ([`run_file`]), and what to say when it fails.
//!
//! Nothing here prints or exits; that is `main`'s.

use crate::assembler::assemble;
use crate::code::Function;
use crate::error::{AssembleError, RuntimeError, VmError};
use crate::output::Output;
use crate::vm::Vm;
use lexopt::prelude::{Long, Short, Value, ValueExt};
use metatrace::{ConfigError, JitDriver, Log, LogError};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// The text of `--help`.
pub const USAGE: &str = "\
Usage: stackvm PROGRAM [ARG...] [--jit PARAMS|off]

Assembles and runs PROGRAM. Each ARG is an int, for one parameter of its function `main`, whose result is printed.

  --jit PARAMS|off    parameters of the JIT, such as threshold=100; off: only interpret
  -h, --help          print this
  -V, --version       print the version

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
    pub program: PathBuf,
    /// The arguments of `main`.
    pub arguments: Vec<i64>,
    /// Parameters for the JIT as they were given; `off` turns it off, `None` leaves the defaults.
    pub jit: Option<String>,
}

/// Why `stackvm` failed.
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
    Assemble(PathBuf, AssembleError),
    /// Not one argument for each parameter of `main`.
    Arguments {
        /// The program.
        program: PathBuf,
        /// The names of its parameters.
        parameters: Vec<String>,
        /// How many arguments it was given.
        given: usize,
    },
    /// The program stopped with an error.
    Run(PathBuf, RuntimeError),
    /// Its result could not be written.
    Result(VmError),
}

/// Reads the arguments.
///
/// # Errors
/// An unknown option, one without its value, an ARG that is no int, or no PROGRAM.
pub fn parse_command(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut program, mut arguments, mut jit) = (None, Vec::new(), None);
    loop {
        if let Some(number) = negative_number(&mut parser) {
            arguments.push(int(number)?);
            continue;
        }
        match parser.next()? {
            None => break,
            Some(Value(path)) if program.is_none() => program = Some(PathBuf::from(path)),
            Some(Value(argument)) => arguments.push(int(argument)?),
            Some(Long("jit")) => jit = Some(parser.value()?.string()?),
            Some(Short('h') | Long("help")) => return Ok(Command::Help),
            Some(Short('V') | Long("version")) => return Ok(Command::Version),
            Some(other) => return Err(other.unexpected()),
        }
    }
    let program = program.ok_or("missing argument PROGRAM")?;
    Ok(Command::Run(Options {
        program,
        arguments,
        jit,
    }))
}

/// The next argument, if it is one like `-5`, which would pass for an option.
fn negative_number(parser: &mut lexopt::Parser) -> Option<OsString> {
    let mut arguments = parser.try_raw_args()?;
    let next = arguments.peek()?.to_str()?;
    if next.strip_prefix('-')?.starts_with(|c: char| c.is_ascii_digit()) {
        arguments.next()
    } else {
        None
    }
}

fn int(argument: OsString) -> Result<i64, lexopt::Error> {
    argument.parse()
}

/// Loads and runs a program, and prints its result.
///
/// # Errors
/// All but [`Failure::Usage`].
pub fn run_file(options: &Options, output: Output) -> Result<(), Failure> {
    let file = &options.program;
    let source = std::fs::read_to_string(file).map_err(|error| Failure::Load(file.clone(), error))?;
    let code = assemble(&source).map_err(|error| Failure::Assemble(file.clone(), error))?;
    check_arguments(options, code.main())?;
    let mut jit = driver(options.jit.as_deref())?;
    let mut vm = Vm::new(&code, &options.arguments, output);
    let result = vm.execute(&jit);
    jit.finish_log().map_err(Failure::WriteLog)?;
    let result = result.map_err(|error| Failure::Run(file.clone(), error))?;
    vm.print_value(result).map_err(Failure::Result)?;
    vm.into_output().flush().map_err(Failure::Result)
}

/// A driver with the parameters that were asked for, logging as the environment says.
fn driver<'p>(parameters: Option<&str>) -> Result<JitDriver<'p>, Failure> {
    let mut jit = JitDriver::with_param_text(parameters.unwrap_or("default")).map_err(Failure::Jit)?;
    if let Some(log) = Log::from_env().map_err(Failure::OpenLog)? {
        jit.set_log(log);
    }
    Ok(jit)
}

fn check_arguments(options: &Options, main: &Function) -> Result<(), Failure> {
    if options.arguments.len() == main.parameters().len() {
        return Ok(());
    }
    Err(Failure::Arguments {
        program: options.program.clone(),
        parameters: main.parameters().to_vec(),
        given: options.arguments.len(),
    })
}

impl Failure {
    /// The exit status that tells it: 1 when the program failed, 2 when it did not start.
    pub fn exit_status(&self) -> u8 {
        match self {
            Failure::Run(..) | Failure::Result(_) | Failure::WriteLog(_) => 1,
            Failure::Usage(_)
            | Failure::Jit(_)
            | Failure::OpenLog(_)
            | Failure::Load(..)
            | Failure::Assemble(..)
            | Failure::Arguments { .. } => 2,
        }
    }

    /// Whether it is worth no message: nobody reads our output any more.
    pub fn is_silent(&self) -> bool {
        let (Failure::Run(_, RuntimeError { error, .. }) | Failure::Result(error)) = self else {
            return false;
        };
        *error == VmError::Output(io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(error) => write!(f, "{error} (`stackvm --help` tells more)"),
            Failure::Jit(error) => error.fmt(f),
            Failure::OpenLog(error) => error.fmt(f),
            Failure::WriteLog(error) => write!(f, "cannot write the log: {error}"),
            Failure::Load(file, error) => write!(f, "cannot read {}: {error}", file.display()),
            Failure::Assemble(file, error) => write!(f, "{}:{error}", file.display()),
            Failure::Arguments {
                program,
                parameters,
                given,
            } => {
                let many = if parameters.len() == 1 { "argument" } else { "arguments" };
                write!(f, "{} takes {} {many}", program.display(), parameters.len())?;
                if !parameters.is_empty() {
                    write!(f, " ({})", parameters.join(", "))?;
                }
                write!(f, ", {given} given")
            }
            Failure::Run(
                _,
                RuntimeError {
                    error: error @ VmError::Output(_),
                    ..
                },
            ) => error.fmt(f),
            Failure::Run(file, error) => write!(f, "{}:{error}", file.display()),
            Failure::Result(error) => error.fmt(f),
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
    fn arguments_and_options_in_any_order() {
        let options = Options {
            program: "x.svm".into(),
            arguments: vec![3, -5],
            jit: Some("off".into()),
        };
        assert_eq!(parse(&["x.svm", "3", "--jit", "off", "-5"]), Ok(Command::Run(options)));
        let options = Options {
            program: "-1".into(),
            arguments: vec![-1],
            jit: None,
        };
        assert_eq!(parse(&["--", "-1", "-1"]), Ok(Command::Run(options)));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(parse(&[]), Err("missing argument PROGRAM".into()));
        assert_eq!(parse(&["a.svm", "--fast"]), Err("invalid option '--fast'".into()));
        assert_eq!(
            parse(&["a.svm", "--jit"]),
            Err("missing argument for option '--jit'".into())
        );
        assert!(parse(&["a.svm", "many"]).is_err_and(|error| error.contains("\"many\"")));
    }
}
