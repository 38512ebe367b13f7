//! The interpreter of jitcode.
//!
//! It keeps a [`Stack`] of activations and executes the innermost one until the outermost returns, a panic leaves it, or
//! the domain stops at a merge point. Execution may start at a function's beginning ([`Interp::call`]) or in the middle of
//! several ([`Interp::new`] with activations rebuilt from resume data, then [`Interp::resume`] or [`Interp::unwind`]).
//!
//! The memory it works on is real: loads, stores and native calls go to the addresses in registers. That these are valid
//! is the front end's promise (it emits such operations only where Rust allows the access) and the caller's, who supplies
//! the first words; hence `unsafe` at the entry points, and here.
//!
//! Of a frame slot the domain is told once in an activation ([`stack`](crate::stack)).

use crate::domain::{Domain, Flow};
use crate::insn::{DescrIndex, Insn, Pc, Reg};
use crate::liveness::is_binary;
use crate::stack::{Activation, Exchange, Stack};
use crate::{InlineCall, JitCode, JitCodeSource, SwitchTable};
use metatrace_ir::eval::{location, overflows};
use metatrace_ir::{Const, Opcode, Word, eval};
use metatrace_native::{Payload, call, load, store};
use smallvec::SmallVec;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

/// Words of a value, an argument list, a green key: nearly always few.
pub type Words<V> = SmallVec<[V; 8]>;

/// How an execution ended.
#[derive(Debug)]
pub enum Outcome<V> {
    /// The domain stopped at the portal's merge point.
    MergePoint {
        /// The words of the green key.
        greens: Words<V>,
        /// The words of the reds.
        reds: Words<V>,
    },
    /// The outermost function returned these words.
    Return(Words<V>),
    /// A panic left the outermost function.
    Panic(Payload),
}

/// A place in memory, and the words that lead there.
struct Access<V> {
    base: V,
    index: Option<V>,
    address: u64,
    word: Word,
}

/// An execution of jitcode. See the module's documentation.
pub struct Interp<'a, D: Domain> {
    /// What is done besides.
    pub domain: D,
    /// The stack of activations.
    pub stack: Stack<D::Value>,
    source: &'a dyn JitCodeSource,
    /// A panic is in flight, and cleanup code is being executed: nothing may panic out of it.
    is_cleaning_up: bool,
    /// The merge point at which the execution was resumed is not one that it has come to.
    at_start: bool,
    steps: u64,
}

impl<'a, D: Domain> Interp<'a, D> {
    /// An interpreter that stands where the stack says.
    pub fn new(domain: D, source: &'a dyn JitCodeSource, stack: Stack<D::Value>) -> Interp<'a, D> {
        Interp {
            domain,
            stack,
            source,
            is_cleaning_up: false,
            at_start: false,
            steps: 0,
        }
    }

    /// Instructions executed so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Calls a function with these words and runs it.
    ///
    /// # Safety
    /// The words are valid arguments of the function.
    pub unsafe fn call(&mut self, code: &Rc<JitCode>, args: &[D::Value]) -> Outcome<D::Value> {
        let frame = self.enter(code.clone(), args.len());
        frame.registers[..args.len()].copy_from_slice(args);
        // SAFETY: forwarded.
        unsafe { self.run() }
    }

    /// Goes on where the activations stand.
    ///
    /// # Safety
    /// The registers that are live there hold valid words.
    pub unsafe fn run(&mut self) -> Outcome<D::Value> {
        loop {
            let code = self.frame().code.clone();
            let depth = self.stack.len();
            // as long as its activation is the innermost: a step enters or leaves one at the most
            while self.stack.len() == depth {
                // SAFETY: forwarded; every step keeps the live registers valid.
                if let Some(outcome) = unsafe { self.step(&code) } {
                    return outcome;
                }
            }
        }
    }

    /// Goes on behind an exit. An exit *at* a merge point does not count as having come to it: the execution goes on to the
    /// next one, so that each exit makes progress.
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    pub unsafe fn resume(&mut self) -> Outcome<D::Value> {
        let frame = self.frame();
        self.at_start = matches!(frame.code.insns[frame.pc as usize], Insn::Header | Insn::MergePoint);
        // SAFETY: forwarded.
        unsafe { self.run() }
    }

    /// Goes on where the native call at which the innermost activation stands has panicked.
    ///
    /// # Safety
    /// As for [`run`](Self::run); `payload` is owned by the caller, who gives it away.
    pub unsafe fn unwind(&mut self, payload: Payload) -> Outcome<D::Value> {
        // SAFETY: forwarded.
        unsafe { self.propagate(payload) }
    }

    /// Enters a function, whose arguments are to be put into its first registers.
    fn enter(&mut self, code: Rc<JitCode>, args: usize) -> &mut Activation<D::Value> {
        assert_eq!(args, code.params.len(), "argument words of {}", code.name);
        let nothing = self.domain.constant(Const::int(0));
        self.stack.push(code, 0, nothing)
    }

    fn frame(&mut self) -> &mut Activation<D::Value> {
        self.stack.last_mut().expect("an activation is running")
    }

    fn get(&mut self, reg: Reg) -> D::Value {
        let frame = self.stack.last().expect("an activation is running");
        frame.get(reg, |constant| self.domain.constant(constant))
    }

    fn set(&mut self, reg: Reg, value: D::Value) {
        self.frame().registers[reg.0 as usize] = value;
    }

    fn get_all(&mut self, regs: &[Reg]) -> Words<D::Value> {
        regs.iter().map(|reg| self.get(*reg)).collect()
    }

    fn advance(&mut self) {
        self.frame().pc += 1;
    }

    /// Sets a register and goes to the next instruction.
    fn define(&mut self, reg: Reg, value: D::Value) {
        self.set(reg, value);
        self.advance();
    }

    /// Goes to the next instruction where `holds`, else to `if_false`.
    fn branch_to(&mut self, holds: bool, if_false: Pc) {
        let frame = self.frame();
        frame.pc = if holds { frame.pc + 1 } else { if_false };
    }

    /// Executes one instruction. `code` is the innermost activation's.
    ///
    /// # Safety
    /// The live registers hold valid words.
    #[inline(always)] // into the loop that executes nearly all of them
    unsafe fn step(&mut self, code: &JitCode) -> Option<Outcome<D::Value>> {
        self.steps += 1;
        let insn = code.insns[self.frame().pc as usize];
        match insn {
            Insn::Move { dst, src } => {
                let value = self.get(src);
                self.define(dst, value);
            }
            Insn::Pure { op, dst, a, b } => {
                let (args, count) = self.operands(op, a, b);
                let result = evaluate::<D>(op, &args[..count], code);
                let value = self.domain.pure(op, &args[..count], result);
                self.define(dst, value);
            }
            Insn::Overflow {
                op,
                dst,
                a,
                b,
                overflow,
            } => self.overflow(code, op, dst, [a, b], overflow),
            Insn::PtrField { dst, base, descr } => self.address_of(code, dst, base, None, descr),
            Insn::PtrItem {
                dst,
                base,
                index,
                descr,
            } => self.address_of(code, dst, base, Some(index), descr),
            // SAFETY: forwarded.
            Insn::Load { dst, base, descr } => unsafe { self.load_word(code, dst, base, None, descr) },
            // SAFETY: forwarded.
            Insn::Store { base, src, descr } => unsafe { self.store_word(code, src, base, None, descr) },
            Insn::LoadItem {
                dst,
                base,
                index,
                descr,
            } => {
                // SAFETY: forwarded.
                unsafe { self.load_word(code, dst, base, Some(index), descr) }
            }
            Insn::StoreItem {
                base,
                index,
                src,
                descr,
            } => {
                // SAFETY: forwarded.
                unsafe { self.store_word(code, src, base, Some(index), descr) }
            }
            Insn::Alloca { dst, descr } => {
                let address = self.slot(code, descr);
                self.define(dst, address);
            }
            Insn::Goto { to } => self.frame().pc = to,
            Insn::Branch { cond, if_false } => {
                let cond = self.get(cond);
                let holds = D::bits(cond) != 0;
                self.domain.branch(&self.stack, cond, holds);
                self.branch_to(holds, if_false);
            }
            Insn::BranchIf { op, a, b, if_false } => {
                let (args, count) = self.operands(op, a, b);
                let holds = evaluate::<D>(op, &args[..count], code) != 0;
                self.domain.branch_if(&self.stack, op, &args[..count], holds);
                self.branch_to(holds, if_false);
            }
            Insn::Switch { value, table } => self.switch(&code.switches[table as usize], value),
            // SAFETY: forwarded.
            Insn::CallNative { call } => return unsafe { self.call_native(code, call) },
            Insn::CallInline { call } => self.call_inline(&code.inline_calls[call as usize]),
            Insn::Return { values } => {
                return self.return_values(&code.returns[values as usize]);
            }
            Insn::ResumeUnwind => panic!("{} ends a cleanup, with no panic in flight", code.name),
            Insn::Unreachable => panic!("{} reached {} which cannot be reached", code.name, self.frame().pc),
            Insn::Promote { reg } => {
                let value = self.get(reg);
                let value = self.domain.promote(&self.stack, value);
                self.frame().set_unless_const(reg, value);
                self.advance();
            }
            Insn::Header => self.header(),
            Insn::MergePoint => return self.merge_point(code),
            Insn::BackEdge => {
                self.domain.back_edge(&self.stack);
                self.advance();
            }
        }
        None
    }

    /// The operands of a pure operation, and how many it has: one or two.
    #[inline(always)]
    fn operands(&mut self, op: Opcode, a: Reg, b: Reg) -> ([D::Value; 2], usize) {
        let first = self.get(a);
        match is_binary(op) {
            true => ([first, self.get(b)], 2),
            false => ([first; 2], 1),
        }
    }

    fn overflow(&mut self, code: &JitCode, op: Opcode, dst: Reg, args: [Reg; 2], overflow: Pc) {
        let args = args.map(|arg| self.get(arg));
        let overflowed = overflows(op, D::bits(args[0]), D::bits(args[1]));
        let result = evaluate::<D>(op, &args, code);
        let value = self.domain.overflow(&self.stack, op, args, result, overflowed);
        if overflowed {
            self.frame().pc = overflow;
        } else {
            self.define(dst, value);
        }
    }

    /// The field (without an index) or item that an instruction names.
    #[inline(always)]
    fn access(&mut self, code: &JitCode, base: Reg, index: Option<Reg>, descr: DescrIndex) -> Access<D::Value> {
        let (base, index) = (self.get(base), index.map(|index| self.get(index)));
        let (address, word) = location(code.descr(descr), &[D::bits(base), index.map_or(0, D::bits)]);
        Access {
            base,
            index,
            address,
            word,
        }
    }

    fn address_of(&mut self, code: &JitCode, dst: Reg, base: Reg, index: Option<Reg>, descr: DescrIndex) {
        let at = self.access(code, base, index, descr);
        let value = self.domain.address(code, descr, at.base, at.index, at.address);
        self.define(dst, value);
    }

    /// # Safety
    /// As for [`step`](Self::step).
    unsafe fn load_word(&mut self, code: &JitCode, dst: Reg, base: Reg, index: Option<Reg>, descr: DescrIndex) {
        let at = self.access(code, base, index, descr);
        // SAFETY: the front end loads only what Rust may read there, and has checked the index.
        let bits = unsafe { load(at.address, at.word) };
        let value = self.domain.load(code, descr, at.base, at.index, bits);
        self.define(dst, value);
    }

    /// # Safety
    /// As for [`step`](Self::step).
    unsafe fn store_word(&mut self, code: &JitCode, src: Reg, base: Reg, index: Option<Reg>, descr: DescrIndex) {
        let at = self.access(code, base, index, descr);
        let value = self.get(src);
        // SAFETY: the front end stores only where Rust may write this word, and has checked the index.
        unsafe { store(at.address, at.word, D::bits(value)) };
        self.domain.store(code, descr, at.base, at.index, value);
        self.advance();
    }

    fn switch(&mut self, table: &SwitchTable, value: Reg) {
        let value = self.get(value);
        let case = table.cases.iter().find(|(case, _)| *case == D::bits(value));
        self.domain.switch(&self.stack, value, case.is_some(), &table.cases);
        self.frame().pc = case.map_or(table.default, |(_, target)| *target);
    }

    fn call_inline(&mut self, call: &InlineCall) {
        let callee = call.callee.resolve(self.source).clone();
        self.domain.enter_inline(&self.stack, &callee);
        self.enter(callee, call.args.len());
        let [.., caller, callee] = &mut *self.stack else {
            unreachable!("a function was entered from another");
        };
        for (register, arg) in callee.registers.iter_mut().zip(&call.args) {
            *register = caller.get(*arg, |constant| self.domain.constant(constant));
        }
    }

    fn header(&mut self) {
        self.frame().clear_slots();
        self.domain.header(&mut Exchange(&mut self.stack));
        self.advance();
    }

    fn merge_point(&mut self, code: &JitCode) -> Option<Outcome<D::Value>> {
        let flow = self.domain.merge_point(&mut Exchange(&mut self.stack));
        let at_start = std::mem::take(&mut self.at_start);
        if flow == Flow::Stop && !at_start {
            let point = code.merge_point.as_ref().expect("only portals have merge points");
            return Some(Outcome::MergePoint {
                greens: self.get_all(&point.greens),
                reds: self.get_all(&point.reds),
            });
        }
        self.advance();
        None
    }

    /// The address of the slot that belongs to the current `alloca`.
    fn slot(&mut self, code: &JitCode, descr: DescrIndex) -> D::Value {
        if let Some(address) = self.frame().slot() {
            return address;
        }
        let size = code.descr(descr).size().size as usize;
        let mut memory = vec![0u128; size.div_ceil(16).max(1)].into_boxed_slice();
        let address = self.domain.alloca(code, descr, memory.as_mut_ptr() as u64);
        self.frame().add_slot(memory, address);
        address
    }

    /// # Safety
    /// As for [`step`](Self::step).
    unsafe fn call_native(&mut self, code: &JitCode, index: u16) -> Option<Outcome<D::Value>> {
        let site = &code.native_calls[index as usize];
        let args = self.get_all(&site.args);
        self.domain.before_call(&self.stack, site, &args);
        let words: Words<u64> = args.iter().map(|arg| D::bits(*arg)).collect();
        // SAFETY: the front end made the shim for these words.
        let result = unsafe { call(site.function, &words) };
        if result.panicked != 0 {
            // SAFETY: the shim says so, and hands the payload over once.
            let payload = unsafe { Payload::from_word(result.value) };
            self.domain.after_call(&self.stack, site, &args, None);
            // SAFETY: forwarded.
            return Some(unsafe { self.propagate(payload) });
        }
        let value = self.domain.after_call(&self.stack, site, &args, Some(result.value));
        match site.dst {
            Some(dst) => self.define(dst, value),
            None => self.advance(),
        }
        None
    }

    fn return_values(&mut self, values: &[Reg]) -> Option<Outcome<D::Value>> {
        self.domain.leave(&self.stack);
        let [.., caller, callee] = &mut *self.stack else {
            let values = self.get_all(values);
            self.stack.pop();
            return Some(Outcome::Return(values));
        };
        let Insn::CallInline { call } = caller.code.insns[caller.pc as usize] else {
            panic!("{} returned to something that is no call", caller.code.name);
        };
        let dsts = &caller.code.inline_calls[call as usize].dsts;
        assert_eq!(
            dsts.len(),
            values.len(),
            "result words of a call in {}",
            caller.code.name
        );
        for (dst, value) in dsts.iter().zip(values) {
            caller.registers[dst.0 as usize] = callee.get(*value, |constant| self.domain.constant(constant));
        }
        caller.pc += 1;
        self.stack.pop();
        None
    }

    /// A panic leaves the call at which the innermost activation stands, and all activations, after their cleanup.
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    unsafe fn propagate(&mut self, mut payload: Payload) -> Outcome<D::Value> {
        if self.is_cleaning_up {
            // Out of the destructor that `clean_up` has made of the cleanup code, which Rust answers by aborting.
            resume_unwind(payload.into_box());
        }
        while !self.stack.is_empty() {
            self.domain.unwind(&self.stack);
            let frame = self.frame();
            let unwind = match frame.code.insns[frame.pc as usize] {
                Insn::CallNative { call } => frame.code.native_calls[call as usize].unwind,
                Insn::CallInline { call } => frame.code.inline_calls[call as usize].unwind,
                other => panic!("{}: a panic came out of {other:?}", frame.code.name),
            };
            if let Some(target) = unwind {
                frame.pc = target;
                // SAFETY: forwarded.
                payload = unsafe { self.clean_up(payload) };
            }
            self.stack.pop();
        }
        Outcome::Panic(payload)
    }

    /// Executes the innermost activation's cleanup code as what it is: destructors that run while the thread unwinds. They
    /// can see that it does ([`std::thread::panicking`]).
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    unsafe fn clean_up(&mut self, payload: Payload) -> Payload {
        /// # Safety
        /// As for [`Interp::step`].
        #[inline(never)] // a second copy of the interpreter would serve cleanups only
        unsafe fn step_out_of_line<D: Domain>(interp: &mut Interp<'_, D>, code: &JitCode) -> Option<Outcome<D::Value>> {
            // SAFETY: forwarded.
            unsafe { interp.step(code) }
        }

        struct CleanUp<'i, 'a, D: Domain>(&'i mut Interp<'a, D>);
        impl<D: Domain> Drop for CleanUp<'_, '_, D> {
            fn drop(&mut self) {
                loop {
                    let frame = self.0.frame();
                    if matches!(frame.code.insns[frame.pc as usize], Insn::ResumeUnwind) {
                        return;
                    }
                    let code = frame.code.clone();
                    // SAFETY: forwarded from `clean_up`.
                    let outcome = unsafe { step_out_of_line(self.0, &code) };
                    assert!(outcome.is_none(), "cleanup code leaves the interpreter");
                }
            }
        }
        self.is_cleaning_up = true;
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _clean_up = CleanUp(self);
            resume_unwind(payload.into_box())
        }));
        self.is_cleaning_up = false;
        let Err(payload) = unwound;
        Payload::new(payload)
    }
}

fn evaluate<D: Domain>(op: Opcode, args: &[D::Value], code: &JitCode) -> u64 {
    let mut bits = [0; 2];
    for (bits, arg) in bits.iter_mut().zip(args) {
        *bits = D::bits(*arg);
    }
    eval::eval(op, &bits[..args.len()])
        .unwrap_or_else(|| panic!("{}: {} is undefined on {bits:?}", code.name, op.name()))
}
