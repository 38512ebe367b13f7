//! The activations of an execution, and the memory they are made of.
//!
//! Executions are short and many: an exit's way to the next merge point is a dozen instructions. A [`Stack`] so keeps the
//! registers of activations that have ended for those to come; its owner passes it from one execution to the next.
//!
//! **Frame slots** belong to their activation, one for each `alloca` of the function: executed again (by a loop inside the
//! function), it gives the same address. An activation frees its slots when it ends, and where the portal's loop begins
//! again, since only parameters are live there.

use crate::JitCode;
use crate::insn::{Pc, Reg};
use metatrace_ir::Const;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// A function in execution.
#[derive(Debug)]
pub struct Activation<V> {
    /// The function.
    pub code: Rc<JitCode>,
    /// The instruction being executed; in callers, the call.
    pub pc: Pc,
    /// The registers. What was never written is unspecified.
    pub registers: Vec<V>,
    slots: Vec<Slot<V>>,
}

/// A frame slot.
#[derive(Debug)]
struct Slot<V> {
    /// The `alloca` that made it.
    site: Pc,
    address: V,
    /// What keeps the address valid.
    _memory: Box<[u128]>,
}

impl<V: Copy> Activation<V> {
    /// What a register holds, or one of the function's constants, which `constant` makes a value of.
    pub fn get(&self, reg: Reg, constant: impl FnOnce(Const) -> V) -> V {
        let n = reg.0 as usize;
        match self.registers.get(n) {
            Some(value) => *value,
            None => constant(self.code.consts[n - self.registers.len()]),
        }
    }

    /// Sets a register; a constant stays what it is.
    pub(crate) fn set_unless_const(&mut self, reg: Reg, value: V) {
        if let Some(register) = self.registers.get_mut(reg.0 as usize) {
            *register = value;
        }
    }

    /// The address of the slot that the `alloca` here has made before.
    pub(crate) fn slot(&self) -> Option<V> {
        let slot = self.slots.iter().find(|slot| slot.site == self.pc)?;
        Some(slot.address)
    }

    /// A slot for the `alloca` here; `address` makes a value of where it lies.
    pub(crate) fn add_slot(&mut self, memory: Box<[u128]>, address: V) {
        self.slots.push(Slot {
            site: self.pc,
            address,
            _memory: memory,
        });
    }

    /// Frees the slots.
    pub(crate) fn clear_slots(&mut self) {
        self.slots.clear();
    }
}

/// A stack of activations, of which the innermost's registers may get other values with the same words.
#[derive(Debug)]
pub struct Exchange<'a, V>(pub(crate) &'a mut [Activation<V>]);

impl<V: Copy> Exchange<'_, V> {
    /// The activations, the innermost last.
    pub fn frames(&self) -> &[Activation<V>] {
        self.0
    }

    /// The innermost activation.
    pub fn innermost(&self) -> &Activation<V> {
        self.0.last().expect("an activation is running")
    }

    /// Sets a register; a constant stays what it is.
    pub fn set(&mut self, reg: Reg, value: V) {
        self.innermost_mut().set_unless_const(reg, value);
    }

    /// Sets all registers; for those that nobody reads.
    pub fn fill(&mut self, value: V) {
        self.innermost_mut().registers.fill(value);
    }

    fn innermost_mut(&mut self) -> &mut Activation<V> {
        self.0.last_mut().expect("an activation is running")
    }
}

/// A stack of activations, the innermost last.
#[derive(Debug)]
pub struct Stack<V> {
    frames: Vec<Activation<V>>,
    /// Memory of registers.
    spare: Vec<Vec<V>>,
}

impl<V> Default for Stack<V> {
    fn default() -> Stack<V> {
        Stack {
            frames: Vec::new(),
            spare: Vec::new(),
        }
    }
}

impl<V: Copy> Stack<V> {
    const SPARE: usize = 16;

    /// Enters a function at the instruction `pc`, with all registers `fill`.
    pub fn push(&mut self, code: Rc<JitCode>, pc: Pc, fill: V) -> &mut Activation<V> {
        let mut registers = self.spare.pop().unwrap_or_default();
        registers.resize(code.registers.len(), fill);
        self.frames.push(Activation {
            code,
            pc,
            registers,
            slots: Vec::new(),
        });
        self.frames.last_mut().expect("it was just pushed")
    }

    /// Leaves the innermost function.
    pub(crate) fn pop(&mut self) {
        let mut frame = self.frames.pop().expect("an activation is running");
        frame.registers.clear();
        self.spare.push(frame.registers);
    }

    /// Ends all activations; the memory stays, but for what only deep stacks need.
    pub fn clear(&mut self) {
        while !self.frames.is_empty() {
            self.pop();
        }
        self.spare.truncate(Self::SPARE);
    }
}

impl<V> Deref for Stack<V> {
    type Target = [Activation<V>];

    fn deref(&self) -> &[Activation<V>] {
        &self.frames
    }
}

impl<V> DerefMut for Stack<V> {
    fn deref_mut(&mut self) -> &mut [Activation<V>] {
        &mut self.frames
    }
}
