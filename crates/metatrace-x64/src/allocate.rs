//! Registers and slots during the walk.
//!
//! A value gets a register when it is defined, and keeps it until its last use or until another value needs one: then
//! the value goes to a slot whose next real use is farthest, first of all those that only exits need. A value never
//! changes, so what was once stored needs no second store, and constants are never in a register for longer than an
//! operation.
//!
//! Within an operation: operands are pinned first; then registers are taken for what must be in one; then operands
//! whose last use this is are released; then the result gets its register, perhaps an operand's. Code that moves
//! values out of the way is made on the spot, so nothing of the operation itself may have been made by then that
//! changes a register.

use crate::encode::{self, Mem, PoolRef, Rm};
use crate::locations::{Bank, Location, Reg, RegSet, Slot};
use crate::moves::{Target, sequence};
use crate::walk::{Place, Walk};
use metatrace_ir::{Ref, Word};

impl Walk<'_> {
    /// Where a value is, the best place to read it from.
    #[inline(always)] // a few instructions, asked for at every turn
    pub(crate) fn locate(&self, value: Ref) -> Location {
        self.find(value)
            .unwrap_or_else(|| panic!("{value:?} has no place, at {}", self.trace.print_op(self.at)))
    }

    fn find(&self, value: Ref) -> Option<Location> {
        if let Some(constant) = self.trace.as_const(value) {
            return Some(Location::Constant(constant.bits));
        }
        let place = self.places[value.as_value()?];
        place
            .known
            .or(place.reg.map(Location::Register))
            .or(place.slot.map(Location::Slot))
    }

    /// The bits or the frame address of a value that is known without being anywhere.
    pub(crate) fn known(&self, value: Ref) -> Option<Location> {
        self.find(value)
            .filter(|location| matches!(location, Location::Constant(_) | Location::FrameAddress(_)))
    }

    /// Whether this operation is the last to use the value.
    pub(crate) fn dies(&self, value: Ref) -> bool {
        value.as_value().is_some_and(|n| !self.live.is_used(n, self.at + 1))
    }

    fn bank(&self, value: usize) -> Bank {
        Bank::of(self.trace.kind(Ref::value(value)))
    }

    /// The value that the operation defines.
    pub(crate) fn result(&self) -> usize {
        self.trace.inputs.len() + self.at
    }

    // ---- operands

    /// Everything the operation reads, but what exits need.
    fn operands(&self) -> impl Iterator<Item = usize> {
        let trace = self.trace;
        let fused = self.live.fused[self.at]
            .into_iter()
            .flat_map(|comparison| trace.ops[comparison].args.iter());
        trace.ops[self.at]
            .args
            .iter()
            .chain(fused)
            .filter_map(|arg| arg.as_value())
    }

    /// So that no operand is lost while another gets its register.
    pub(crate) fn pin_operands(&mut self) {
        self.pinned = RegSet::EMPTY;
        let class = self.trace.ops[self.at].opcode.class();
        if !matches!(class, metatrace_ir::Class::Call | metatrace_ir::Class::Control) {
            let regs: RegSet = self
                .operands()
                .filter_map(|value| self.places[value].reg)
                .fold(RegSet::EMPTY, RegSet::with);
            self.pinned = regs;
        }
    }

    /// An operand where it is, in a register if that pays.
    pub(crate) fn operand(&mut self, value: Ref) -> Location {
        let location = self.locate(value);
        if let (Location::Slot(_), Some(n)) = (location, value.as_value()) {
            let bank = self.bank(n);
            let again = self.live.next_use(n, self.at + 1).is_some();
            if again && !self.free_registers(bank).without(self.pinned).is_empty() {
                return Location::Register(self.in_register(value));
            }
        }
        location
    }

    /// An operand in a register, one of its own or for this operation only.
    pub(crate) fn in_register(&mut self, value: Ref) -> Reg {
        let location = self.locate(value);
        let reg = match (location, value.as_value()) {
            (Location::Register(reg), _) => reg,
            (Location::Slot(_), Some(n)) => {
                let reg = self.allocate(self.bank(n), Some(n), RegSet::EMPTY);
                self.load_location(reg, location);
                self.hold(reg, n);
                reg
            }
            _ => {
                let reg = self.temporary(Bank::of(self.trace.kind(value)));
                self.load_location(reg, location);
                reg
            }
        };
        self.pinned.insert(reg);
        reg
    }

    /// A register for this operation only.
    pub(crate) fn temporary(&mut self, bank: Bank) -> Reg {
        let reg = self.allocate(bank, None, RegSet::EMPTY);
        self.pinned.insert(reg);
        reg
    }

    /// A location as an operand of an instruction; constants and addresses of the general bank come by the scratch
    /// register.
    pub(crate) fn rm(&mut self, bank: Bank, location: Location) -> Rm {
        match (location, bank) {
            (Location::Register(reg), _) => Rm::Reg(reg),
            (Location::Slot(slot), _) => Rm::Mem(Mem::frame(slot.offset())),
            (Location::Constant(bits), Bank::Float) => Rm::Pool(self.code.constant(bits)),
            (location, bank) => {
                let scratch = bank.scratch();
                self.load_location(scratch, location);
                Rm::Reg(scratch)
            }
        }
    }

    pub(crate) fn pool_mask(&mut self, bits: u64) -> Rm {
        let mask: PoolRef = self.code.wide_constant(bits);
        Rm::Pool(mask)
    }

    /// Code that brings a word into a register; the flags stay as they are.
    pub(crate) fn load_location(&mut self, to: Reg, from: Location) {
        let inst = match from {
            Location::Register(from) if from == to => return,
            Location::Register(from) => encode::mov(to, from),
            Location::Slot(slot) => encode::load(to, Mem::frame(slot.offset()), Word::U64),
            Location::FrameAddress(offset) => encode::lea(to, Mem::frame(offset)),
            Location::Constant(bits) if to.bank() == Bank::General => encode::mov_imm(to, bits),
            Location::Constant(0) => encode::xorps(to, Rm::Reg(to)),
            Location::Constant(bits) => {
                let constant = self.code.constant(bits);
                encode::load_word(to, Rm::Pool(constant))
            }
        };
        self.code.push(inst);
    }

    // ---- results

    /// A register for the result, once nothing of the operation needs the operands that die.
    pub(crate) fn define(&mut self) -> Reg {
        self.release_operands();
        self.define_apart()
    }

    /// A register for the result that no operand is in.
    pub(crate) fn define_apart(&mut self) -> Reg {
        let value = self.result();
        let reg = self.allocate(self.bank(value), Some(value), RegSet::EMPTY);
        self.hold(reg, value);
        self.pinned.insert(reg);
        reg
    }

    /// The result is in this register; whatever was, is not any more.
    pub(crate) fn define_in(&mut self, reg: Reg) {
        self.drop_register(reg);
        self.hold(reg, self.result());
        self.pinned.insert(reg);
    }

    /// The operands of `a op= b` in one register, which then has the result, and where `b` is.
    pub(crate) fn two_address(&mut self, a: Ref, b: Ref, commutes: bool) -> (Reg, Location) {
        let in_dying_register =
            |walk: &Self, value| walk.dies(value) && matches!(walk.locate(value), Location::Register(_));
        let swap = commutes
            && !in_dying_register(self, a)
            && (in_dying_register(self, b) || self.known(a).is_some() || matches!(self.locate(a), Location::Slot(_)));
        let (a, b) = if swap && self.known(b).is_none() {
            (b, a)
        } else {
            (a, b)
        };
        let right = self.operand(b);
        (self.define_over(a), right)
    }

    /// The result's register with the bits of `a` in it, which the operation then changes. The other operands are where
    /// they were.
    pub(crate) fn define_over(&mut self, a: Ref) -> Reg {
        match self.operand(a) {
            Location::Register(reg) if self.dies(a) => {
                self.define_in(reg);
                reg
            }
            from => {
                let reg = self.define_apart();
                self.load_location(reg, from);
                reg
            }
        }
    }

    /// The result is what `a` is.
    pub(crate) fn copy(&mut self, a: Ref) {
        self.define_over(a);
    }

    // ---- the state

    pub(crate) fn hold(&mut self, reg: Reg, value: usize) {
        self.forget_scaled(reg);
        debug_assert!(self.holders[reg.index()].is_none(), "{reg:?} is taken");
        self.holders[reg.index()] = Some(value);
        self.places[value].reg = Some(reg);
    }

    /// The register is not what it was remembered for any more.
    pub(crate) fn forget_scaled(&mut self, reg: Reg) {
        self.scaled.retain(|scaled| scaled.reg != reg);
    }

    /// The register's value is not in it any more.
    pub(crate) fn drop_register(&mut self, reg: Reg) {
        self.forget_scaled(reg);
        if let Some(value) = self.holders[reg.index()].take() {
            self.places[value].reg = None;
        }
    }

    fn free_registers(&self, bank: Bank) -> RegSet {
        bank.allocatable()
            .iter()
            .filter(|reg| self.holders[reg.index()].is_none())
            .fold(RegSet::EMPTY, RegSet::with)
    }

    /// A register that is not pinned, for a value if it is for one, with nothing in it.
    fn allocate(&mut self, bank: Bank, value: Option<usize>, avoid: RegSet) -> Reg {
        let avoid = avoid.or(self.pinned);
        let free = self.free_registers(bank).without(avoid);
        let across = value.is_some_and(|value| self.live.is_used_across_call(value, self.at + 1));
        let saved = free.and(Reg::CALLEE_SAVED);
        let hint = value
            .and_then(|value| self.hints[value])
            .filter(|reg| free.contains(*reg));
        if let Some(reg) = hint.filter(|reg| !across || saved.is_empty() || saved.contains(*reg)) {
            self.forget_scaled(reg);
            return reg;
        }
        // what is remembered only gives way before any value does
        let unused = self
            .scaled
            .iter()
            .fold(free, |free, scaled| free.without(RegSet::of(&[scaled.reg])));
        let (first, second) = if across {
            (saved, free)
        } else {
            (free.without(saved), saved)
        };
        let choices = [first.and(unused), second.and(unused), first, second];
        let reg = choices
            .iter()
            .find_map(|set| set.first())
            .unwrap_or_else(|| self.evict(bank, avoid));
        self.forget_scaled(reg);
        reg
    }

    /// Frees the register whose value is needed last.
    fn evict(&mut self, bank: Bank, avoid: RegSet) -> Reg {
        let candidates = bank.allocatable().without(avoid).iter();
        let farthest = candidates.max_by_key(|reg| {
            let value = self.holders[reg.index()].expect("no register is free");
            let next = self.live.next_use(value, self.at + 1).unwrap_or(usize::MAX);
            (next, self.places[value].slot.is_some())
        });
        let reg = farthest.expect("an operation pins fewer registers than there are");
        self.spill(reg);
        self.drop_register(reg);
        reg
    }

    /// Stores the register's value into a slot, unless it is in one; it stays in the register, too.
    pub(crate) fn spill(&mut self, reg: Reg) {
        let value = self.holders[reg.index()].expect("a value is spilled");
        let place = self.places[value];
        if place.slot.is_none() && place.known.is_none() {
            let slot = self.new_slot();
            self.places[value].slot = Some(slot);
            self.code.push(encode::store(Mem::frame(slot.offset()), reg, Word::U64));
        }
    }

    /// Takes the register's value elsewhere, so that the operation can use the register for something of its own.
    /// Neither the pinned registers nor those in `avoid` get it.
    pub(crate) fn clear(&mut self, reg: Reg, avoid: RegSet) {
        self.forget_scaled(reg);
        let Some(value) = self.holders[reg.index()] else { return };
        let free = self.free_registers(reg.bank()).without(avoid.or(self.pinned));
        let across = self.live.is_used_across_call(value, self.at + 1);
        let saved = free.and(Reg::CALLEE_SAVED);
        let elsewhere = if across { saved } else { free }.first();
        match elsewhere {
            Some(to) if self.places[value].slot.is_none() && self.live.next_use(value, self.at).is_some() => {
                self.code.push(encode::mov(to, reg));
                self.drop_register(reg);
                self.hold(to, value);
            }
            _ => {
                self.spill(reg);
                self.drop_register(reg);
            }
        }
    }

    pub(crate) fn new_slot(&mut self) -> Slot {
        self.slots.free.pop().unwrap_or_else(|| {
            let slot = Slot(self.slots.count);
            self.slots.count += 1;
            self.slots.words.push(slot);
            slot
        })
    }

    /// Gives up the places of a value.
    pub(crate) fn release(&mut self, value: usize) {
        let Place { reg, slot, .. } = std::mem::take(&mut self.places[value]);
        if let Some(reg) = reg {
            self.holders[reg.index()] = None;
        }
        self.slots.released.extend(slot);
    }

    /// Releases the operands whose last use this is.
    pub(crate) fn release_operands(&mut self) {
        self.release_dying(&self.trace.ops[self.at].args);
        if let Some(comparison) = self.live.fused[self.at] {
            self.release_dying(&self.trace.ops[comparison].args);
        }
    }

    fn release_dying(&mut self, operands: &[Ref]) {
        for &operand in operands {
            let Some(value) = operand.as_value().filter(|_| self.dies(operand)) else {
                continue;
            };
            if let Some(reg) = self.places[value].reg {
                self.pinned.remove(reg);
            }
            self.release(value);
        }
    }

    /// Releases all whose last use this was, and a result that nobody uses.
    pub(crate) fn end_op(&mut self) {
        self.release_operands();
        for n in 0..self.live.exit(self.at).len() {
            let value = self.live.exit(self.at)[n];
            if self.dies(value) {
                self.release(value.as_value().expect("exits have no constants"));
            }
        }
        if self.live.last_use(self.result()).is_none() {
            self.release(self.result());
        }
        self.slots.free.append(&mut self.slots.released);
    }

    /// Moves words to where they are wanted, all at once. Only code: the state is the caller's.
    pub(crate) fn move_all(&mut self, moves: Vec<(Location, Target)>) {
        for (from, to) in sequence(moves) {
            match to {
                Target::Register(reg) => self.load_location(reg, from),
                Target::Slot(slot) => self.store_location(slot, from),
            }
        }
    }

    fn store_location(&mut self, slot: Slot, from: Location) {
        let at = Mem::frame(slot.offset());
        let imm = match from {
            Location::Constant(bits) => i32::try_from(bits as i64).ok(),
            _ => None,
        };
        match (from, imm) {
            (_, Some(imm)) => self.code.push(encode::store_imm(at, imm, Word::U64)),
            (Location::Register(reg), _) => self.code.push(encode::store(at, reg, Word::U64)),
            _ => {
                let scratch = Bank::General.scratch();
                self.load_location(scratch, from);
                self.code.push(encode::store(at, scratch, Word::U64));
            }
        }
    }
}
