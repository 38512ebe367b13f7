//! `bf`: runs brainfuck programs. See `bf --help`.

#![forbid(unsafe_code)]

use brainfuck::{Command, Failure, Io, USAGE, parse_command, run_file};
use std::io::{Write, stderr, stdin, stdout};
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match parse_command(lexopt::Parser::from_env()) {
        Ok(Command::Run(options)) => run_file(&options, &mut Io::new(stdin(), stdout())),
        Ok(Command::Help) => return print(USAGE),
        Ok(Command::Version) => return print(concat!("bf ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(error) => Err(Failure::Usage(error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_silent() {
                // A message that cannot be written has no better place to go.
                let _ = writeln!(stderr(), "bf: {failure}");
            }
            ExitCode::from(failure.exit_status())
        }
    }
}

fn print(text: &str) -> ExitCode {
    match stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(stderr(), "bf: cannot write: {error}");
            ExitCode::FAILURE
        }
    }
}
