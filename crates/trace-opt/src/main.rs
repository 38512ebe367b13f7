//! `trace-opt`: runs passes of the optimiser on a trace in text. See `trace-opt --help`.
//!
//! - `cli`: what is asked for, doing it, and what to say when it fails;
//! - `input`: the trace in a text, which may be a log.
//!
//! Only this file prints. Where something fails, nothing is on standard output.
#![forbid(unsafe_code)]

mod cli;
mod input;

use cli::{Command, Failure};
use std::io::{self, Write, stderr, stdout};
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match cli::parse_command(lexopt::Parser::from_env()) {
        Ok(Command::Run(options)) => cli::run(&options),
        Ok(Command::Help) => Ok(cli::Output::text(cli::usage())),
        Ok(Command::Version) => Ok(cli::Output::text(concat!(
            "trace-opt ",
            env!("CARGO_PKG_VERSION"),
            "\n"
        ))),
        Err(error) => Err(Failure::Usage(error)),
    };
    let failure = match outcome {
        Ok(output) => match write(&output) {
            Ok(()) => return ExitCode::SUCCESS,
            // nobody reads any more
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::FAILURE,
            Err(error) => Failure::Write(error),
        },
        Err(failure) => failure,
    };
    // A message that cannot be written has no better place to go.
    let _ = writeln!(stderr(), "trace-opt: {failure}");
    ExitCode::from(failure.exit_status())
}

fn write(output: &cli::Output) -> io::Result<()> {
    let _ = stderr().write_all(output.notes.as_bytes());
    stdout().write_all(output.text.as_bytes())?;
    stdout().flush()
}
