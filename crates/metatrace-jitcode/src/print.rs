//! Jitcode as text: one line per instruction, for reading and for golden tests.

use crate::insn::{DescrIndex, Insn, Reg};
use crate::liveness::is_binary;
use crate::{JitCode, Position};
use metatrace_ir::{Descr, Kind};
use std::fmt;

impl fmt::Display for JitCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let params: Vec<String> = (0..self.params.len()).map(|n| self.reg(Reg(n as u16))).collect();
        let results: Vec<&str> = self.results.iter().map(|kind| kind_name(*kind)).collect();
        writeln!(
            f,
            "jitcode {}({}) -> ({})",
            self.name,
            params.join(", "),
            results.join(", ")
        )?;
        for (pc, insn) in self.insns.iter().enumerate() {
            write!(f, "{pc:>5}  {}", self.show(*insn))?;
            if insn.is_resumable() {
                write!(f, "  live {}", self.regs(self.live(pc as u32, Position::Before)))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Int => "int",
        Kind::Ref => "ref",
        Kind::Float => "float",
    }
}

fn unwind_text(unwind: Option<u32>) -> String {
    unwind.map_or(String::new(), |target| format!(" unwind {target}"))
}

impl JitCode {
    fn reg(&self, reg: Reg) -> String {
        let n = reg.0 as usize;
        match n.checked_sub(self.registers.len()) {
            None => format!("{}{n}", self.registers[n].letter()),
            Some(constant) => {
                let constant = self.consts[constant];
                match constant.kind {
                    Kind::Int => format!("{}", constant.bits as i64),
                    Kind::Ref => format!("ptr({:#x})", constant.bits),
                    Kind::Float => format!("{:?}", f64::from_bits(constant.bits)),
                }
            }
        }
    }

    fn regs(&self, regs: &[Reg]) -> String {
        let regs: Vec<String> = regs.iter().map(|reg| self.reg(*reg)).collect();
        format!("[{}]", regs.join(", "))
    }

    fn descr_name(&self, index: DescrIndex) -> &str {
        match &**self.descr(index) {
            Descr::Field(field) => &field.name,
            Descr::Array(array) => &array.name,
            Descr::Size(size) => &size.name,
            Descr::Call(call) => &call.name,
            Descr::Target(_) | Descr::Location(..) => "?",
        }
    }

    fn show(&self, insn: Insn) -> String {
        let r = |reg| self.reg(reg);
        let d = |descr| self.descr_name(descr);
        match insn {
            Insn::Move { dst, src } => format!("{} = {}", r(dst), r(src)),
            Insn::Pure { op, dst, a, b } if is_binary(op) => format!("{} = {} {} {}", r(dst), op.name(), r(a), r(b)),
            Insn::Pure { op, dst, a, .. } => format!("{} = {} {}", r(dst), op.name(), r(a)),
            Insn::Overflow {
                op,
                dst,
                a,
                b,
                overflow,
            } => {
                format!("{} = {} {} {} overflow {overflow}", r(dst), op.name(), r(a), r(b))
            }
            Insn::PtrField { dst, base, descr } => format!("{} = &{}.{}", r(dst), r(base), d(descr)),
            Insn::PtrItem {
                dst,
                base,
                index,
                descr,
            } => {
                format!("{} = &{}[{}].{}", r(dst), r(base), r(index), d(descr))
            }
            Insn::Load { dst, base, descr } => format!("{} = {}.{}", r(dst), r(base), d(descr)),
            Insn::Store { base, src, descr } => format!("{}.{} = {}", r(base), d(descr), r(src)),
            Insn::LoadItem {
                dst,
                base,
                index,
                descr,
            } => {
                format!("{} = {}[{}].{}", r(dst), r(base), r(index), d(descr))
            }
            Insn::StoreItem {
                base,
                index,
                src,
                descr,
            } => {
                format!("{}[{}].{} = {}", r(base), r(index), d(descr), r(src))
            }
            Insn::Alloca { dst, descr } => format!("{} = alloca {}", r(dst), d(descr)),
            Insn::Goto { to } => format!("goto {to}"),
            Insn::Branch { cond, if_false } => format!("branch {} else {if_false}", r(cond)),
            Insn::BranchIf { op, a, b, if_false } if is_binary(op) => {
                format!("branch {} {} {} else {if_false}", op.name(), r(a), r(b))
            }
            Insn::BranchIf { op, a, if_false, .. } => format!("branch {} {} else {if_false}", op.name(), r(a)),
            Insn::Switch { value, table } => {
                let table = &self.switches[table as usize];
                let cases: Vec<String> = table.cases.iter().map(|(case, to)| format!("{case}: {to}")).collect();
                format!("switch {} {{{}}} else {}", r(value), cases.join(", "), table.default)
            }
            Insn::CallNative { call } => {
                let call = &self.native_calls[call as usize];
                let dst = call.dst.map_or(String::new(), |dst| format!("{} = ", r(dst)));
                let unwind = unwind_text(call.unwind);
                format!(
                    "{dst}native {}{}{unwind}",
                    call.call_descr().name,
                    self.regs(&call.args)
                )
            }
            Insn::CallInline { call } => {
                let call = &self.inline_calls[call as usize];
                let unwind = unwind_text(call.unwind);
                format!(
                    "{} = call {}{}{unwind}",
                    self.regs(&call.dsts),
                    call.callee.name,
                    self.regs(&call.args)
                )
            }
            Insn::Return { values } => format!("return {}", self.regs(&self.returns[values as usize])),
            Insn::ResumeUnwind => "resume unwind".to_owned(),
            Insn::Unreachable => "unreachable".to_owned(),
            Insn::Promote { reg } => format!("promote {}", r(reg)),
            Insn::Header => "header".to_owned(),
            Insn::MergePoint => match &self.merge_point {
                Some(point) => format!("merge point {} {}", self.regs(&point.greens), self.regs(&point.reds)),
                None => "merge point".to_owned(),
            },
            Insn::BackEdge => "back-edge".to_owned(),
        }
    }
}
