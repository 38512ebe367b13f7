//! The dispatch loop.
//!
//! [`interpret`] keeps to a shape that a tracing JIT can take as it is: the body is one loop, nothing but parameters is live
//! at its head, and each arm is a few lines of plain code. `pc` and `program` say where the program is (the greens); pointer,
//! tape and streams are its state (the reds). The only back-edge is a taken `]`.

use crate::error::{Error, TapeEnd};
use crate::io::Io;
use crate::program::{Op, Program};
use metatrace::{JitDriver, can_enter_jit, jit, jit_merge_point};

/// Cells of the tape.
pub const TAPE_CELLS: usize = 30_000;

/// Runs `program` on an empty tape, and writes its output, also what it had put before an error.
///
/// # Errors
/// The pointer left the tape, or a stream failed.
pub fn run<'p>(jit: &JitDriver<'p>, program: &'p Program, io: &mut Io) -> Result<(), Error> {
    let mut tape = vec![0; TAPE_CELLS];
    let outcome = interpret(jit, 0, program, 0, &mut tape, io);
    outcome.and(io.flush())
}

/// Runs `program` from the op at `pc`, with the pointer at cell `ptr` of `tape`, to its end.
///
/// # Errors
/// The pointer left the tape, or a stream failed. Output may wait in `io` in either case.
/// # Panics
/// If `pc` is not the index of an op, or `ptr` not that of a cell.
#[jit::portal(driver = jit, greens(pc, program), location = location)]
pub fn interpret<'p>(
    jit: &JitDriver<'p>,
    mut pc: usize,
    program: &'p Program,
    mut ptr: usize,
    tape: &mut [u8],
    io: &mut Io,
) -> Result<(), Error> {
    loop {
        jit_merge_point!();
        match program.ops[pc] {
            Op::Right => {
                ptr += 1;
                if ptr == tape.len() {
                    return Err(program.tape_error(pc, TapeEnd::Right));
                }
            }
            Op::Left => {
                if ptr == 0 {
                    return Err(program.tape_error(pc, TapeEnd::Left));
                }
                ptr -= 1;
            }
            Op::Inc => tape[ptr] = tape[ptr].wrapping_add(1),
            Op::Dec => tape[ptr] = tape[ptr].wrapping_sub(1),
            Op::Put => io.put(tape[ptr])?,
            Op::Get => tape[ptr] = io.get()?,
            Op::Open(target) if tape[ptr] == 0 => {
                pc = target;
                continue;
            }
            Op::Close(target) if tape[ptr] != 0 => {
                pc = target;
                can_enter_jit!();
                continue;
            }
            Op::Halt => return Ok(()),
            Op::RightBy(distance) => {
                if distance >= tape.len() - ptr {
                    return Err(program.tape_error(pc, TapeEnd::Right));
                }
                ptr += distance;
            }
            Op::LeftBy(distance) => {
                if distance > ptr {
                    return Err(program.tape_error(pc, TapeEnd::Left));
                }
                ptr -= distance;
            }
            Op::Add(amount) => tape[ptr] = tape[ptr].wrapping_add(amount),
            Op::Clear => tape[ptr] = 0,
            Op::MulRight { distance, factor } if tape[ptr] != 0 => {
                if distance >= tape.len() - ptr {
                    return Err(program.tape_error(pc, TapeEnd::Right));
                }
                let product = tape[ptr].wrapping_mul(factor);
                tape[ptr + distance] = tape[ptr + distance].wrapping_add(product);
            }
            Op::MulLeft { distance, factor } if tape[ptr] != 0 => {
                if distance > ptr {
                    return Err(program.tape_error(pc, TapeEnd::Left));
                }
                let product = tape[ptr].wrapping_mul(factor);
                tape[ptr - distance] = tape[ptr - distance].wrapping_add(product);
            }
            Op::Open(_) | Op::Close(_) | Op::MulRight { .. } | Op::MulLeft { .. } => {}
        }
        pc += 1;
    }
}

/// How logs name the place of a loop.
fn location((pc, program): (usize, &Program)) -> String {
    let position = program.position(pc);
    format!("bf;program:{}-{}~{:?}", position.line, position.column, program.ops[pc])
}
