//! Residual calls.
//!
//! A shim gets up to six words in registers and returns two; it may change every register but rbx, rbp and r12 to
//! r15. So what lives on is first brought where it survives: a register that the callee preserves, or a slot.

use crate::encode;
use crate::locations::{Bank, Location, Reg};
use crate::moves::Target;
use crate::walk::Walk;
use metatrace_ir::{CallDescr, Ref};

impl Walk<'_> {
    pub(crate) fn call(&mut self) {
        let op = &self.trace.ops[self.at];
        let (function, args) = op.args.split_first().expect("a call has a function");
        assert!(
            args.len() <= CallDescr::MAX_ARGS,
            "a shim takes at most {} words",
            CallDescr::MAX_ARGS
        );
        self.save();
        let target = |(arg, reg): (&Ref, Reg)| (self.locate(*arg), Target::Register(reg));
        let mut moves: Vec<(Location, Target)> = args.iter().zip(Reg::ARGUMENTS).map(target).collect();
        match self.locate(*function) {
            Location::Constant(address) if (self.context.reaches)(address) => {
                self.move_all(moves);
                self.code.call_to(address);
            }
            Location::Constant(address) => {
                self.move_all(moves);
                self.code.push(encode::mov_imm(Reg::R11, address));
                self.code.push(encode::call(Reg::R11));
            }
            variable => {
                moves.push((variable, Target::Register(Reg::RAX)));
                self.move_all(moves);
                self.code.push(encode::call(Reg::RAX));
            }
        }
        for bank in Bank::ALL {
            for reg in bank.allocatable().without(Reg::CALLEE_SAVED).iter() {
                self.drop_register(reg);
            }
        }
        if op.opcode.result().is_some() {
            self.define_in(Reg::RAX);
        }
    }

    /// Brings what lives on and would be lost to where it survives. It stays where it was, too, until the call.
    fn save(&mut self) {
        let mut lost: Vec<(Option<usize>, Reg, usize)> = Vec::new();
        for bank in Bank::ALL {
            for reg in bank.allocatable().without(Reg::CALLEE_SAVED).iter() {
                if let Some(value) = self.holders[reg.index()].filter(|value| self.live.is_used(*value, self.at + 1)) {
                    lost.push((self.live.next_use(value, self.at + 1), reg, value));
                }
            }
        }
        // registers for what is needed first
        lost.sort_by_key(|(next, reg, _)| (next.is_none(), *next, *reg));
        for (next, reg, value) in lost {
            let place = self.places[value];
            let free = Reg::CALLEE_SAVED.iter().find(|reg| self.holders[reg.index()].is_none());
            match free {
                Some(to) if next.is_some() && reg.bank() == Bank::General && place.slot.is_none() => {
                    self.code.push(encode::mov(to, reg));
                    self.drop_register(reg);
                    self.hold(to, value);
                }
                _ => self.spill(reg),
            }
        }
    }
}
