//! Where values are when control comes in, at labels and at jumps; `finish`; frame slots.
//!
//! Behind a label only its arguments are known, so a label is where places are chosen afresh: values that are used
//! soon get registers, the others slots. A jump moves its arguments to where the label wants them. In a loop an
//! argument that does not change costs nothing there, be it in a register or in a slot.

use crate::encode::{self, Mem};
use crate::liveness::{At, pressure};
use crate::locations::{ACTIVATION, Bank, Location, Reg, RegSet, Slot};
use crate::moves::Target;
use crate::walk::{Entry, OwnLabel, Place, Walk};
use dynasmrt::dynasm;
use metatrace_backend::BackendError;
use metatrace_ir::{Class, Kind, Opcode, Ref, TargetToken, Word};
use std::ops::Range;
use std::rc::Rc;

/// Registers of a bank that stay free for what a loop computes.
const SPARE: usize = 2;

impl Walk<'_> {
    // ---- coming in

    /// Code at the start of the piece. Where the instruction is that sets `rsp`, to be completed when the size of the
    /// frame is known.
    pub(crate) fn enter(&mut self, entry: &Entry<'_>) -> u32 {
        match entry {
            Entry::Call => {
                dynasm!(self.code.ops ; .arch x64
                    ; push rbp ; mov rbp, rsp
                    ; push rbx ; push r12 ; push r13 ; push r14 ; push r15
                    ; push rsi);
                let set_rsp = self.set_rsp();
                self.load_inputs();
                set_rsp
            }
            Entry::Guard { inputs, frame } => {
                let set_rsp = self.set_rsp();
                self.take_over(inputs, frame.slots, &frame.exposed);
                set_rsp
            }
        }
    }

    fn set_rsp(&mut self) -> u32 {
        let at = self.code.offset();
        // lea rsp, [rbp + disp32], whatever the displacement
        self.code.ops.extend([0x48, 0x8d, 0xa5, 0, 0, 0, 0]);
        at
    }

    /// Loads the inputs from the memory that rdi points to.
    fn load_inputs(&mut self) {
        let inputs: Vec<usize> = (0..self.trace.inputs.len()).collect();
        let targets = self.choose(&inputs, 0, None);
        let word = |n: usize| Mem::new(Reg::RDI, 8 * n as i32);
        let mut last = None;
        for (n, target) in targets.iter().enumerate() {
            match target {
                None => {}
                Some(Target::Slot(slot)) => {
                    self.code.push(encode::load(Reg::R11, word(n), Word::U64));
                    self.code
                        .push(encode::store(Mem::frame(slot.offset()), Reg::R11, Word::U64));
                }
                Some(Target::Register(Reg::RDI)) => last = Some(n),
                Some(Target::Register(reg)) => self.code.push(encode::load(*reg, word(n), Word::U64)),
            }
        }
        if let Some(n) = last {
            self.code.push(encode::load(Reg::RDI, word(n), Word::U64));
        }
        self.arrive(&inputs, &targets);
    }

    /// The inputs of a bridge are where its guard had them.
    fn take_over(&mut self, inputs: &[Location], slots: u32, exposed: &[Range<u32>]) {
        assert_eq!(
            inputs.len(),
            self.trace.inputs.len(),
            "a bridge has the exit values of its guard as inputs"
        );
        self.slots.count = slots;
        self.slots.exposed = exposed.to_vec();
        self.slots.words = (0..slots)
            .filter(|slot| !exposed.iter().any(|range| range.contains(slot)))
            .map(Slot)
            .collect();
        for (n, location) in inputs.iter().enumerate() {
            if !self.live.is_used(n, 0) {
                continue;
            }
            match *location {
                Location::Register(reg) => self.hold(reg, n),
                Location::Slot(slot) => self.places[n].slot = Some(slot),
                known => self.places[n].known = Some(known),
            }
        }
        self.free_other_slots();
    }

    /// What values are in now is free, all else is not.
    fn free_other_slots(&mut self) {
        let taken: rustc_hash::FxHashSet<Slot> = self.places.iter().filter_map(|place| place.slot).collect();
        self.slots.released.clear();
        self.slots.free = self
            .slots
            .words
            .iter()
            .copied()
            .filter(|slot| !taken.contains(slot))
            .rev()
            .collect();
    }

    /// From now on these values are in these places, and no other value is known.
    fn arrive(&mut self, values: &[usize], targets: &[Option<Target>]) {
        self.places.fill(Place::default());
        self.holders = [None; 32];
        self.scaled.clear();
        for (value, target) in values.iter().zip(targets) {
            match target {
                None => {}
                Some(Target::Register(reg)) => self.hold(*reg, *value),
                Some(Target::Slot(slot)) => self.places[*value].slot = Some(*slot),
            }
        }
        self.free_other_slots();
    }

    // ---- labels

    pub(crate) fn control(&mut self) -> Result<(), BackendError> {
        match self.trace.ops[self.at].opcode {
            Opcode::Label => self.label(),
            Opcode::Jump => self.jump()?,
            Opcode::Finish => {
                let exit = self.record_exit();
                self.leave(exit);
            }
            other => panic!("{} is no control operation", other.name()),
        }
        Ok(())
    }

    fn label(&mut self) {
        let label = &self.trace.ops[self.at];
        let token = label.descr().target();
        let values: Vec<usize> = label
            .args
            .iter()
            .map(|arg| arg.as_value().expect("the arguments of a label are values"))
            .collect();
        let jump = self
            .trace
            .ops
            .last()
            .filter(|op| op.opcode == Opcode::Jump && op.descr().target() == token);
        let back: Option<Vec<Ref>> = jump.map(|jump| jump.args.to_vec());
        let targets = self.choose(&values, self.at + 1, back.as_deref());
        let moves = label
            .args
            .iter()
            .zip(&targets)
            .filter_map(|(arg, to)| to.map(|to| (*arg, to)));
        let moves = self.needed_moves(moves);
        self.move_all(moves);
        self.arrive(&values, &targets);
        if back.is_some() {
            self.code.align(16);
        }
        self.labels.push(OwnLabel {
            token,
            offset: self.code.offset(),
            targets: Rc::from(targets),
        });
        self.plan_hints(self.at + 1);
    }

    /// The moves that bring values to their targets. A value that is in its slot and in a register, too, need not go
    /// there again.
    fn needed_moves(&self, wanted: impl Iterator<Item = (Ref, Target)>) -> Vec<(Location, Target)> {
        let mut moves = Vec::with_capacity(wanted.size_hint().1.unwrap_or(0));
        moves.extend(wanted.filter_map(|(value, to)| {
            let place = value.as_value().map(|n| self.places[n]).unwrap_or_default();
            let there = match to {
                Target::Slot(slot) => place.slot == Some(slot),
                Target::Register(reg) => place.reg == Some(reg),
            };
            (!there).then(|| (self.locate(value), to))
        }));
        moves
    }

    /// Places for the values that are known from operation `from` on; none for those that nobody needs. `back` is what
    /// the jump back to here passes.
    fn choose(&mut self, values: &[usize], from: At, back: Option<&[Ref]>) -> Vec<Option<Target>> {
        let mut choice = Choice {
            targets: vec![None; values.len()],
            taken: RegSet::EMPTY,
        };
        let changes = |n: usize| back.is_some_and(|back| back[n] != Ref::value(values[n]));
        for bank in Bank::ALL {
            let mut order: Vec<(usize, At)> = Vec::with_capacity(values.len());
            order.extend(
                (0..values.len())
                    .filter(|n| Bank::of(self.trace.kind(Ref::value(values[*n]))) == bank)
                    .filter_map(|n| Some((n, self.wanted_at(values[n], from, changes(n))?))),
            );
            if order.is_empty() {
                continue;
            }
            order.sort_by_key(|(n, next)| (*next, *n));
            let most = pressure(self.live, self.trace, from, values, |kind| Bank::of(kind) == bank);
            let registers = bank.allocatable().len();
            let room = if most <= registers {
                registers
            } else {
                // what does not fit is left to slots from the start, not moved there in every iteration
                registers.saturating_sub(SPARE.max(most.saturating_sub(order.len())).min(registers / 2))
            };
            for (n, next) in order.into_iter().take(room) {
                if let Some(reg) = self.choose_register(&choice, values[n], from, next, changes(n)) {
                    choice.targets[n] = Some(Target::Register(reg));
                    choice.taken.insert(reg);
                }
            }
        }
        let mut used_slots = rustc_hash::FxHashSet::default();
        for (n, value) in values.iter().enumerate() {
            if choice.targets[n].is_none() && self.live.is_used(*value, from) {
                let slot = self.places[*value].slot.filter(|slot| used_slots.insert(*slot));
                choice.targets[n] = Some(Target::Slot(slot.unwrap_or_else(|| self.new_slot())));
            }
        }
        choice.targets
    }

    /// When the value is needed in a register. What only exits need is best in a slot, unless it `changes` in each
    /// iteration: then it may have what is left.
    fn wanted_at(&self, value: usize, from: At, changes: bool) -> Option<At> {
        let spare = (changes && self.live.is_used(value, from)).then_some(At::MAX);
        self.live.next_use(value, from).or(spare)
    }

    /// A register for a value that is used next at `next`, and in each iteration `changes`; none if a slot is better.
    fn choose_register(&self, choice: &Choice, value: usize, from: At, next: At, changes: bool) -> Option<Reg> {
        let bank = Bank::of(self.trace.kind(Ref::value(value)));
        let free = bank.allocatable().without(choice.taken);
        let saved = free.and(Reg::CALLEE_SAVED);
        let now = self.places[value].reg;
        let pick = |set: RegSet| now.filter(|reg| set.contains(*reg)).or_else(|| set.first());
        if !self.live.is_used_across_call(value, from) {
            return pick(free.without(saved)).or_else(|| pick(free));
        }
        pick(saved).or_else(|| {
            // it is stored at the call, so it may as well be in a slot, unless it is new and used before
            let before = self.live.next_call(from).is_some_and(|call| next < call);
            if changes && before { pick(free) } else { None }
        })
    }

    // ---- jumps

    fn jump(&mut self) -> Result<(), BackendError> {
        let op = &self.trace.ops[self.at];
        let token = op.descr().target();
        if let Some(label) = self.labels.iter().find(|label| label.token == token) {
            let (targets, offset) = (label.targets.clone(), label.offset);
            self.move_arguments(&targets);
            self.code.jump_back(offset);
        } else {
            let label = (self.context.label)(token).ok_or(BackendError::UnknownTarget(token))?;
            self.move_arguments(&label.targets);
            self.jumps_to(token, &label);
            self.code.jump_to(label.address);
        }
        Ok(())
    }

    fn move_arguments(&mut self, targets: &[Option<Target>]) {
        let args = &self.trace.ops[self.at].args;
        assert_eq!(
            args.len(),
            targets.len(),
            "a jump has a word for each argument of its label"
        );
        let wanted = args.iter().zip(targets).filter_map(|(arg, to)| to.map(|to| (*arg, to)));
        let moves = self.needed_moves(wanted);
        self.move_all(moves);
    }

    fn targets_of(&self, token: TargetToken) -> Option<Rc<[Option<Target>]>> {
        let own = self
            .labels
            .iter()
            .find(|label| label.token == token)
            .map(|label| label.targets.clone());
        own.or_else(|| Some((self.context.label)(token)?.targets))
    }

    /// From where values go at the end, and in calls, to where they had best come from, in the operations from `from`
    /// up to the next label.
    pub(crate) fn plan_hints(&mut self, from: At) {
        let trace = self.trace;
        let ops = &trace.ops[from..];
        let end = from
            + ops
                .iter()
                .position(|op| op.opcode == Opcode::Label)
                .unwrap_or(ops.len());
        self.hints.fill(None);
        if let Some(jump) = trace.ops[from..end].last().filter(|op| op.opcode == Opcode::Jump) {
            let targets = self.targets_of(jump.descr().target());
            for (arg, target) in jump.args.iter().zip(targets.iter().flat_map(|targets| targets.iter())) {
                if let (Some(value), Some(Target::Register(reg))) = (arg.as_value(), target) {
                    self.hints[value] = Some(*reg);
                }
            }
        }
        for at in (from..end).rev() {
            match trace.ops[at].opcode.class() {
                Class::Call => self.hint_arguments(at, from),
                Class::Pure | Class::Overflow => self.hint_operand(at),
                _ => {}
            }
        }
    }

    /// An operand that the operation changes into its result had best be where the result goes.
    fn hint_operand(&mut self, at: At) {
        let result = self.trace.result(at);
        let hint = result.as_value().and_then(|result| self.hints[result]);
        let operand = self.trace.ops[at].args.first().and_then(|arg| arg.as_value());
        if let (Some(hint), Some(operand)) = (hint, operand) {
            let same_bank = Bank::of(self.trace.kind(Ref::value(operand))) == hint.bank();
            if same_bank && self.live.last_use(operand) == Some(at) {
                self.hints[operand].get_or_insert(hint);
            }
        }
    }

    /// An argument that is made for a call only had best be where the call wants it.
    fn hint_arguments(&mut self, at: At, from: At) {
        for (arg, reg) in self.trace.ops[at].args[1..].iter().zip(Reg::ARGUMENTS) {
            let Some(value) = arg.as_value() else { continue };
            let made_at = self.trace.defining_op(*arg).map_or(from, |made| made + 1).max(from);
            if self.live.last_use(value) == Some(at) && self.live.next_call(made_at) == Some(at) {
                self.hints[value].get_or_insert(reg);
            }
        }
    }

    // ---- frame slots

    /// A frame slot whose address is known: no code, and never the place of a value.
    pub(crate) fn alloca(&mut self) -> Result<(), BackendError> {
        let op = &self.trace.ops[self.at];
        if op.opcode != Opcode::Alloca {
            return Err(BackendError::Unsupported(op.opcode));
        }
        let metatrace_ir::Descr::Size(size) = &**op.descr() else {
            panic!("alloca without a size")
        };
        let words = size.size.div_ceil(8).max(1);
        let needed = u64::from(self.slots.count) + u64::from(words) + 1;
        if needed * 8 > self.context.frame_limit.into() {
            return Err(BackendError::FrameTooLarge {
                needed: u32::try_from(needed * 8).unwrap_or(u32::MAX),
            });
        }
        // the last slot has the lowest address, which is to be a multiple of 16 if that is wanted
        let mut last = Slot(self.slots.count + words - 1);
        if size.align > 8 && last.offset() % 16 != 0 {
            last.0 += 1;
        }
        debug_assert_eq!(ACTIVATION % 16, 0);
        self.slots.exposed.push(self.slots.count..last.0 + 1);
        self.slots.count = last.0 + 1;
        let result = self.result();
        self.places[result].known = Some(Location::FrameAddress(last.offset()));
        Ok(())
    }

    /// The bank of a value.
    pub(crate) fn is_float(&self, value: Ref) -> bool {
        self.trace.kind(value) == Kind::Float
    }
}

/// Places chosen so far.
struct Choice {
    targets: Vec<Option<Target>>,
    taken: RegSet,
}
