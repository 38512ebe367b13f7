//! `stackvm`: assembles and runs programs for the stack machine. See `stackvm --help`.

#![forbid(unsafe_code)]

use stackvm::{Command, Failure, Output, USAGE, parse_command, run_file};
use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match parse_command(lexopt::Parser::from_env()) {
        Ok(Command::Run(options)) => run_file(&options, Output::new(stdout())),
        Ok(Command::Help) => return print(USAGE),
        Ok(Command::Version) => return print(concat!("stackvm ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(error) => Err(Failure::Usage(error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_silent() {
                // A message that cannot be written has no better place to go.
                let _ = writeln!(stderr(), "stackvm: {failure}");
            }
            ExitCode::from(failure.exit_status())
        }
    }
}

fn print(text: &str) -> ExitCode {
    match stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(stderr(), "stackvm: cannot write: {error}");
            ExitCode::FAILURE
        }
    }
}
