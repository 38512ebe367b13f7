//! Brainfuck to C, character by character, for the compiled peer: what a static compiler makes of the same program.

use crate::contender::Program;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Translates and compiles a program with `gcc -O2`; the binary lies in `scratch`.
///
/// # Errors
/// The program cannot be read, or there is no compiler, or it fails.
pub fn compile(program: &Program, scratch: &Path) -> Result<PathBuf, String> {
    let source = std::fs::read(&program.path).map_err(|error| format!("{}: {error}", program.path.display()))?;
    let stem = program.path.file_stem().unwrap_or_default();
    let c = scratch.join(stem).with_extension("c");
    let binary = scratch.join(stem).with_extension("out");
    if !binary.exists() {
        std::fs::write(&c, translate(&source)).map_err(|error| error.to_string())?;
        let gcc = Command::new("gcc").arg("-O2").arg("-o").arg(&binary).arg(&c).output();
        let gcc = gcc.map_err(|error| format!("gcc: {error}"))?;
        if !gcc.status.success() {
            return Err(String::from_utf8_lossy(&gcc.stderr).into_owned());
        }
    }
    Ok(binary)
}

/// The program as C. Runs of `+-` and of `<>` become one statement, as gcc would make of them anyway.
fn translate(source: &[u8]) -> String {
    let mut out = String::from(
        "#include <stdio.h>\nstatic unsigned char tape[30000];\nint main(void) {\n  unsigned char *p = tape;\n  int c;\n",
    );
    let mut ops = source.iter().copied().filter(|op| b"+-<>.,[]".contains(op)).peekable();
    while let Some(op) = ops.next() {
        let mut run = 1;
        while b"+-<>".contains(&op) && ops.next_if_eq(&op).is_some() {
            run += 1;
        }
        // Writing to a String cannot fail.
        let _ = match op {
            b'+' => writeln!(out, "*p += {run};"),
            b'-' => writeln!(out, "*p -= {run};"),
            b'>' => writeln!(out, "p += {run};"),
            b'<' => writeln!(out, "p -= {run};"),
            b'.' => writeln!(out, "putchar(*p);"),
            b',' => writeln!(out, "c = getchar(); *p = c == EOF ? 0 : c;"),
            b'[' => writeln!(out, "while (*p) {{"),
            _ => writeln!(out, "}}"),
        };
    }
    out.push_str("  return 0;\n}\n");
    out
}
