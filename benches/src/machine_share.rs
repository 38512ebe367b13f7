//! `machine-share PROGRAM.b…`: the share of a brainfuck program's bytecodes that machine code executes. All bytecodes are
//! counted by a plain interpreter, those of machine code by the code itself (`count=1`).
#![forbid(unsafe_code)]

use brainfuck::{Form, Io, Op, Program, TAPE_CELLS};
use metatrace::JitDriver;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    for path in std::env::args().skip(1) {
        if let Err(message) = measure(Path::new(&path)) {
            eprintln!("machine-share: {path}: {message}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn measure(path: &Path) -> Result<(), String> {
    let source = std::fs::read(path).map_err(|error| error.to_string())?;
    let input = std::fs::read(path.with_extension("in")).unwrap_or_default();
    let program = Program::parse(&source, Form::Plain).map_err(|error| error.to_string())?;
    let all = count(program.ops(), &input);
    let jit = JitDriver::with_param_text("count=1").map_err(|error| error.to_string())?;
    brainfuck::run(&jit, &program, &mut Io::in_memory(&input)).map_err(|error| error.to_string())?;
    let stats = jit.stats();
    let compiled = stats.merge_points;
    let share = 100.0 * compiled as f64 / all as f64;
    println!(
        "{:<14} {all:>14} bytecodes, {share:.4} % in machine code; {} loops, {} bridges, {} exits, {} demotions",
        path.file_stem().unwrap_or_default().display(),
        stats.loops,
        stats.bridges,
        stats.exits,
        stats.demotions
    );
    Ok(())
}

/// The bytecodes that a run in the plain form executes.
fn count(ops: &[Op], input: &[u8]) -> u64 {
    let mut input = input.iter();
    let mut tape = vec![0u8; TAPE_CELLS];
    let (mut pc, mut ptr, mut all) = (0, 0, 0);
    loop {
        all += 1;
        match ops[pc] {
            Op::Right => ptr += 1,
            Op::Left => ptr -= 1,
            Op::Inc => tape[ptr] = tape[ptr].wrapping_add(1),
            Op::Dec => tape[ptr] = tape[ptr].wrapping_sub(1),
            Op::Get => tape[ptr] = input.next().copied().unwrap_or(0),
            Op::Open(target) if tape[ptr] == 0 => {
                pc = target;
                continue;
            }
            Op::Close(target) if tape[ptr] != 0 => {
                pc = target;
                continue;
            }
            Op::Halt => return all,
            _ => {}
        }
        pc += 1;
    }
}
