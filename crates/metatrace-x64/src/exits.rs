//! Entering machine code, and what happens where it is left: the border between Rust and generated code.
//!
//! Code is entered by a call. At an exit it jumps, with the exit's number in r11d, to a routine that saves all
//! registers and calls [`on_exit`]. That gathers the exit's values from registers and frame, and calls the handler
//! while the frame is alive. Then the routine leaves the frame, and the call returns.
//!
//! No panic crosses generated code: one of the handler is caught, and goes on when the frame is gone.

use crate::locations::{ACTIVATION, Location, Reg};
use crate::walk::Routines;
use dynasmrt::x64::X64Relocation;
use dynasmrt::{DynasmApi, VecAssembler, dynasm};
use metatrace_backend::forcing::Countdown;
use metatrace_backend::{Exit, ExitHandler};
use metatrace_ir::GuardId;
use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Instant;

/// What an exit's number stands for.
#[derive(Debug)]
pub(crate) struct ExitRecord {
    pub(crate) guard: GuardId,
    /// Where the values are.
    pub(crate) values: Rc<[Location]>,
    /// Whether it may be taken although the guard's condition holds.
    pub(crate) may_be_forced: bool,
    /// Whether rax holds the payload of a panic.
    pub(crate) has_payload: bool,
}

/// The exits of all code, by number.
#[derive(Default)]
pub(crate) struct ExitTable {
    records: Vec<Option<Rc<ExitRecord>>>,
    free: Vec<u32>,
}

impl ExitTable {
    /// The number of a new exit.
    pub(crate) fn add(&mut self, record: ExitRecord) -> u32 {
        let record = Some(Rc::new(record));
        if let Some(number) = self.free.pop() {
            self.records[number as usize] = record;
            return number;
        }
        self.records.push(record);
        u32::try_from(self.records.len() - 1).expect("fewer than 2^32 exits")
    }

    /// The number's code is gone.
    pub(crate) fn remove(&mut self, number: u32) {
        self.records[number as usize] = None;
        self.free.push(number);
    }

    /// How many numbers there are, in use or not.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    fn get(&self, number: u32) -> Rc<ExitRecord> {
        let record = self.records[number as usize].clone();
        record.unwrap_or_else(|| panic!("code left by exit {number}, which does not exist any more"))
    }
}

/// One execution, for the exit that ends it.
struct Activation<'a> {
    exits: &'a RefCell<ExitTable>,
    handler: &'a mut dyn ExitHandler,
    panic: Option<Box<dyn Any + Send>>,
    /// When the code was entered.
    start: Instant,
}

/// The registers at an exit, by [`Reg::index`].
#[repr(C)]
struct Registers([u64; 32]);

/// Runs code from its entry until an exit, and calls `handler` there. A panic of the handler goes on from here.
///
/// # Safety
/// `entry` is the entry of installed code for a trace with `args.len()` inputs, whose exits are in `exits`, and which
/// stays installed while it runs; the trace's operations are allowed on `args`.
pub(crate) unsafe fn execute(entry: u64, args: &[u64], exits: &RefCell<ExitTable>, handler: &mut dyn ExitHandler) {
    // SAFETY: the code at an entry takes these two arguments, by the caller's promise.
    let code = unsafe {
        std::mem::transmute::<*const (), unsafe extern "C" fn(*const u64, *mut Activation<'_>)>(entry as *const ())
    };
    let mut activation = Activation {
        exits,
        handler,
        panic: None,
        start: Instant::now(),
    };
    // SAFETY: there are as many words as the code loads; the activation outlives the call, and is used by `on_exit`
    // only.
    unsafe { code(args.as_ptr(), &mut activation) };
    if let Some(payload) = activation.panic {
        resume_unwind(payload);
    }
}

/// Called by the exit routine, once in each execution.
///
/// # Safety
/// `activation` is that of `execute`, `registers` are saved below the frame that `frame` is the rbp of, and the code
/// was left by the exit of this number, whose record describes that frame.
unsafe extern "C" fn on_exit(activation: *mut Activation<'_>, number: u32, registers: *const Registers, frame: u64) {
    // SAFETY: alive and used by nobody else, as `execute` sees to.
    let activation = unsafe { &mut *activation };
    let inside = activation.start.elapsed();
    // SAFETY: the routine has just written them.
    let registers = unsafe { &*registers };
    let result = catch_unwind(AssertUnwindSafe(|| {
        let record = activation.exits.borrow().get(number);
        let word = |location: &Location| match *location {
            Location::Register(reg) => registers.0[reg.index()],
            Location::Constant(bits) => bits,
            Location::FrameAddress(offset) => frame.wrapping_add_signed(offset.into()),
            // SAFETY: a slot of the frame, which is alive; code has written it before the exit.
            Location::Slot(slot) => unsafe { (frame.wrapping_add_signed(slot.offset().into()) as *const u64).read() },
        };
        let values: smallvec::SmallVec<[u64; 32]> = record.values.iter().map(word).collect();
        let payload = record.has_payload.then_some(registers.0[Reg::RAX.index()]);
        activation.handler.exit(Exit {
            guard: record.guard,
            values: &values,
            may_be_forced: record.may_be_forced,
            payload,
            inside: Some(inside),
        });
    }));
    activation.panic = result.err();
}

/// Called by the routine for forced exits.
///
/// # Safety
/// `countdown` is the backend's.
unsafe extern "C" fn rearm(countdown: *const Countdown) {
    // SAFETY: by the caller's promise; it has interior mutability and no other thread.
    unsafe { &*countdown }.rearm();
}

/// The code of the shared routines, and the offsets of each.
pub(crate) fn routines(countdown: Option<&Countdown>) -> (Vec<u8>, [usize; 2]) {
    let mut ops: VecAssembler<X64Relocation> = VecAssembler::new(0);
    exit_routine(&mut ops);
    ops.align(16, 0xcc);
    let rearm = ops.offset().0;
    rearm_routine(&mut ops, countdown.map_or(0, |countdown| &raw const *countdown as u64));
    (ops.finalize().expect("the routines have no labels"), [0, rearm])
}

/// The routines that are installed at `address`.
pub(crate) fn routines_at(address: u64, offsets: [usize; 2]) -> Routines {
    let [exit, rearm] = offsets.map(|offset| address + offset as u64);
    Routines { exit, rearm }
}

#[allow(clippy::useless_conversion, reason = "dynasm converts the numbers of registers")]
fn exit_routine(ops: &mut VecAssembler<X64Relocation>) {
    dynasm!(ops ; .arch x64 ; lea rsp, [rsp - 256]);
    for n in 0..16u8 {
        dynasm!(ops ; .arch x64
            ; mov [rsp + 8 * i32::from(n)], Rq(n)
            ; movsd [rsp + 128 + 8 * i32::from(n)], Rx(n));
    }
    dynasm!(ops ; .arch x64
        ; mov rdi, [rbp + ACTIVATION]
        ; mov esi, r11d
        ; mov rdx, rsp
        ; mov rcx, rbp
        ; mov rax, QWORD on_exit as *const () as i64
        ; call rax
        // what the caller of the code wants back
        ; mov rbx, [rbp - 8] ; mov r12, [rbp - 16] ; mov r13, [rbp - 24] ; mov r14, [rbp - 32] ; mov r15, [rbp - 40]
        ; leave
        ; ret);
}

/// Changes no register but r11 and the flags. It is called where rsp is a multiple of 16.
#[allow(clippy::useless_conversion, reason = "dynasm converts the numbers of registers")]
fn rearm_routine(ops: &mut VecAssembler<X64Relocation>, countdown: u64) {
    const LOST: [u8; 8] = [0, 1, 2, 6, 7, 8, 9, 10];
    dynasm!(ops ; .arch x64 ; lea rsp, [rsp - 200]);
    for (n, reg) in LOST.into_iter().enumerate() {
        dynasm!(ops ; .arch x64 ; mov [rsp + 128 + 8 * n as i32], Rq(reg));
    }
    for reg in 0..16u8 {
        dynasm!(ops ; .arch x64 ; movsd [rsp + 8 * i32::from(reg)], Rx(reg));
    }
    dynasm!(ops ; .arch x64
        ; mov rdi, QWORD countdown as i64
        ; mov rax, QWORD rearm as *const () as i64
        ; call rax);
    for (n, reg) in LOST.into_iter().enumerate() {
        dynasm!(ops ; .arch x64 ; mov Rq(reg), [rsp + 128 + 8 * n as i32]);
    }
    for reg in 0..16u8 {
        dynasm!(ops ; .arch x64 ; movsd Rx(reg), [rsp + 8 * i32::from(reg)]);
    }
    dynasm!(ops ; .arch x64 ; lea rsp, [rsp + 200] ; ret);
}
