//! Machine code as text.

use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter, OpKind};
use metatrace_backend::Assembled;
use metatrace_ir::Trace;
use std::fmt::Write;

/// The instructions of compiled code, one on a line with its offset, under the operation of the trace that it belongs
/// to. Targets of jumps within the code are offsets, others addresses. Behind the code of the last operation come
/// exits, and what is seldom run; then constants, shown as if they were code.
pub fn disassemble(assembled: &Assembled, trace: &Trace) -> String {
    let mut decoder = Decoder::with_ip(64, &assembled.code, 0, DecoderOptions::NONE);
    let mut formatter = IntelFormatter::new();
    formatter.options_mut().set_space_after_operand_separator(true);
    formatter.options_mut().set_hex_prefix("0x");
    formatter.options_mut().set_hex_suffix("");
    formatter.options_mut().set_uppercase_hex(false);
    formatter.options_mut().set_branch_leading_zeros(false);
    let mut text = String::new();
    let mut instruction = Instruction::default();
    let mut op = 0;
    while decoder.can_decode() {
        let at = decoder.position();
        while assembled
            .op_offsets
            .get(op)
            .is_some_and(|offset| *offset as usize <= at)
        {
            writeln!(text, "; {}", trace.print_op(op)).expect("strings take everything");
            op += 1;
        }
        decoder.decode_out(&mut instruction);
        let jumps = instruction.op0_kind() == OpKind::NearBranch64;
        if jumps && instruction.near_branch_target() >= assembled.code.len() as u64 {
            instruction.set_near_branch64(instruction.near_branch64().wrapping_add(assembled.address));
        }
        write!(text, "{at:6x}  ").expect("strings take everything");
        formatter.format(&instruction, &mut text);
        text.push('\n');
    }
    text
}
