//! Consistency of jitcode: kinds of registers in every instruction, and that registers are written before they are read.
//! Runs in debug builds; what it finds is a bug of a pass or of who recorded the graph.

use metatrace_ir::op::Operands;
use metatrace_ir::{Kind, Opcode};
use metatrace_jitcode::{Insn, JitCode, Position, Reg};

/// # Panics
/// If the jitcode is inconsistent.
pub(crate) fn check(code: &JitCode) {
    for (pc, insn) in code.insns.iter().enumerate() {
        let fail = |what: &str| panic!("{} at {pc}: {what}\n{code}", code.name);
        let expect = |reg: Reg, kind: Kind| {
            if code.kind(reg) != kind {
                fail(&format!("register {} is not of kind {kind:?}", reg.0));
            }
        };
        check_insn(code, *insn, &expect);
        if let Insn::Move { dst, src } = insn {
            expect(*src, code.kind(*dst));
        }
    }
    if !matches!(code.insns.last(), Some(last) if last.ends_block()) {
        panic!("{} falls off its end\n{code}", code.name);
    }
    check_entry(code);
}

fn operation(code: &JitCode, op: Opcode, dst: Option<Reg>, args: [Reg; 2], expect: &dyn Fn(Reg, Kind)) {
    let Operands::Fixed(kinds) = op.info().operands else {
        panic!("{} in {} has no fixed operands", op.name(), code.name);
    };
    for (kind, arg) in kinds.iter().zip(args) {
        expect(arg, *kind);
    }
    if let (Some(dst), Some(kind)) = (dst, op.result()) {
        expect(dst, kind);
    }
}

fn check_insn(code: &JitCode, insn: Insn, expect: &dyn Fn(Reg, Kind)) {
    match insn {
        Insn::Pure { op, dst, a, b } | Insn::Overflow { op, dst, a, b, .. } => {
            operation(code, op, Some(dst), [a, b], expect);
        }
        Insn::BranchIf { op, a, b, .. } => operation(code, op, None, [a, b], expect),
        Insn::PtrField { dst, base, .. } => {
            expect(base, Kind::Ref);
            expect(dst, Kind::Ref);
        }
        Insn::PtrItem { dst, base, index, .. } => {
            expect(base, Kind::Int);
            expect(index, Kind::Int);
            expect(dst, Kind::Ref);
        }
        Insn::Load { dst, base, descr } => {
            expect(base, Kind::Ref);
            expect(dst, code.descr(descr).field().word.kind());
        }
        Insn::Store { base, src, descr } => {
            expect(base, Kind::Ref);
            expect(src, code.descr(descr).field().word.kind());
        }
        Insn::LoadItem {
            dst,
            base,
            index,
            descr,
        } => {
            expect(base, Kind::Int);
            expect(index, Kind::Int);
            expect(dst, code.descr(descr).array().word.kind());
        }
        Insn::StoreItem {
            base,
            index,
            src,
            descr,
        } => {
            expect(base, Kind::Int);
            expect(index, Kind::Int);
            expect(src, code.descr(descr).array().word.kind());
        }
        Insn::Alloca { dst, .. } => expect(dst, Kind::Ref),
        Insn::Branch { cond, .. } => expect(cond, Kind::Int),
        Insn::Switch { value, .. } => expect(value, Kind::Int),
        Insn::CallNative { call } => {
            let call = &code.native_calls[call as usize];
            let descr = call.call_descr();
            assert_eq!(descr.args.len(), call.args.len(), "arguments of {}", descr.name);
            for (arg, kind) in call.args.iter().zip(&descr.args) {
                expect(*arg, *kind);
            }
            assert_eq!(call.dst.is_some(), descr.result.is_some(), "result of {}", descr.name);
            if let (Some(dst), Some(kind)) = (call.dst, descr.result) {
                expect(dst, kind);
            }
        }
        Insn::Return { values } => {
            let values = &code.returns[values as usize];
            assert_eq!(values.len(), code.results.len(), "result words of {}", code.name);
            for (value, kind) in values.iter().zip(&code.results) {
                expect(*value, *kind);
            }
        }
        _ => {}
    }
}

/// Nothing but the parameters is live at the first resumable instruction of straight entry code.
fn check_entry(code: &JitCode) {
    let mut written: Vec<bool> = (0..code.registers.len()).map(|n| n < code.params.len()).collect();
    for (pc, insn) in code.insns.iter().enumerate() {
        if insn.is_resumable() {
            for reg in code.live(pc as u32, Position::Before) {
                assert!(
                    written[reg.0 as usize],
                    "{} reads register {} before it is written\n{code}",
                    code.name, reg.0
                );
            }
        }
        let (Insn::Move { dst, .. }
        | Insn::Pure { dst, .. }
        | Insn::PtrField { dst, .. }
        | Insn::PtrItem { dst, .. }
        | Insn::Load { dst, .. }
        | Insn::LoadItem { dst, .. }
        | Insn::Alloca { dst, .. }) = insn
        else {
            return;
        };
        written[dst.0 as usize] = true;
    }
}
