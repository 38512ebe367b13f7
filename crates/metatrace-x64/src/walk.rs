//! One walk over a trace from its start, which gives each value its places and makes the code.
//!
//! [`Walk`] is the state of the walk. How values get registers is in [`allocate`](crate::allocate), how they get to
//! where labels and jumps want them in [`control`](crate::control); the code of the operations is in
//! [`integers`](crate::integers), [`floats`](crate::floats), [`memory`](crate::memory), and of guards in
//! [`guards`](crate::guards).
//!
//! The outcome is a [`Piece`]: code without an address, and everything that has to be known to install it, to leave
//! it at a guard, to enter it at a label.

use crate::code::{Code, Fixup};
use crate::encode;
use crate::features::Features;
use crate::liveness::{At, Liveness, refill};
use crate::locations::{Location, Reg, RegSet, Slot, frame_size};
use crate::moves::Target;
use dynasmrt::DynamicLabel;
use metatrace_backend::{BackendError, Forcing};
use metatrace_ir::{Class, GuardId, Kind, Opcode, Ref, TargetToken, Trace};
use smallvec::SmallVec;
use std::ops::Range;
use std::rc::Rc;

/// What code is made for, beside the trace.
pub(crate) struct Context<'a> {
    pub(crate) features: Features,
    pub(crate) forcing: Forcing,
    /// Address of the countdown to the next forced exit.
    pub(crate) countdown: Option<u64>,
    /// Addresses of the routines that all code shares.
    pub(crate) routines: Routines,
    /// The label of this name in other code.
    pub(crate) label: &'a dyn Fn(TargetToken) -> Option<Label>,
    /// Whether a 4-byte distance leads to this address from wherever the code will be.
    pub(crate) reaches: &'a dyn Fn(u64) -> bool,
    /// The most bytes a frame may have.
    pub(crate) frame_limit: u32,
}

/// Code that all pieces jump to or call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Routines {
    /// Leaves the code; the exit's number is in r11d.
    pub(crate) exit: u64,
    /// Re-arms the countdown; changes no register but r11.
    pub(crate) rearm: u64,
}

/// Where a piece is entered.
pub(crate) enum Entry<'a> {
    /// By a call, with the address of the inputs in rdi and the activation's record in rsi.
    Call,
    /// By the jump of a guard that failed.
    Guard {
        /// Where the inputs are.
        inputs: &'a [Location],
        frame: &'a Frame,
    },
}

/// What a piece takes of the frame that all code of an activation shares.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    /// Number of slots.
    pub(crate) slots: u32,
    /// Slots whose addresses may be known to others: of this piece and those that lead to it.
    pub(crate) exposed: Vec<Range<u32>>,
}

/// A label as a jump sees it.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub(crate) address: u64,
    /// Where the arguments go; `None` for one that nobody needs.
    pub(crate) targets: Rc<[Option<Target>]>,
    /// Slots of the piece it is in.
    pub(crate) slots: u32,
}

/// A label in the piece that defines it.
pub(crate) struct OwnLabel {
    pub(crate) token: TargetToken,
    pub(crate) offset: u32,
    pub(crate) targets: Rc<[Option<Target>]>,
}

/// How a piece is left.
pub(crate) struct PieceExit {
    pub(crate) guard: GuardId,
    pub(crate) opcode: Opcode,
    /// Whether it may be taken although the guard's condition holds.
    pub(crate) may_be_forced: bool,
    /// Where the values of the exit are.
    pub(crate) values: Rc<[Location]>,
    /// Jumps that lead to it, by the offsets of their distances, each aligned to 4 bytes.
    pub(crate) sites: SmallVec<[u32; 1]>,
    /// Where the exit's number goes, 4 bytes; `None` where no code leads to it.
    pub(crate) number_at: Option<u32>,
}

/// A compiled trace without an address.
pub(crate) struct Piece {
    pub(crate) code: Vec<u8>,
    /// Offset of the first instruction.
    pub(crate) entry: u32,
    pub(crate) fixups: Vec<Fixup>,
    pub(crate) exits: Vec<PieceExit>,
    pub(crate) labels: Vec<OwnLabel>,
    pub(crate) frame: Frame,
    pub(crate) op_offsets: Vec<u32>,
    /// The label of other code that the final jump goes to.
    pub(crate) jumps_to: Option<TargetToken>,
}

/// Where one value is. In several places at once, it is the same in each.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Place {
    pub(crate) reg: Option<Reg>,
    pub(crate) slot: Option<Slot>,
    /// Known without being anywhere: a [`Location::Constant`] or [`Location::FrameAddress`].
    pub(crate) known: Option<Location>,
}

/// An index times a size: `reg << shift`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scaled {
    pub(crate) index: Ref,
    pub(crate) size: u32,
    pub(crate) reg: Reg,
    pub(crate) shift: u8,
}

/// The slots of the frame.
#[derive(Default)]
pub(crate) struct Slots {
    pub(crate) count: u32,
    /// Those that hold words of values, used or not.
    pub(crate) words: Vec<Slot>,
    pub(crate) free: Vec<Slot>,
    /// Of values that this operation is the last to use: free behind it, for it may read them late.
    pub(crate) released: Vec<Slot>,
    pub(crate) exposed: Vec<Range<u32>>,
}

/// Code that is seldom run and stands behind the rest.
pub(crate) enum Late {
    /// A forced exit: where the countdown jumps to, and the exit.
    Forced { start: DynamicLabel, exit: u32 },
    /// A conversion whose fast way gave no result.
    Convert {
        start: DynamicLabel,
        back: DynamicLabel,
        slow: crate::floats::SlowConversion,
    },
}

/// The state of the walk.
pub(crate) struct Walk<'a> {
    pub(crate) trace: &'a Trace,
    pub(crate) context: &'a Context<'a>,
    pub(crate) live: &'a Liveness,
    pub(crate) code: Code,
    /// The operation that code is made for.
    pub(crate) at: At,
    /// By value.
    pub(crate) places: &'a mut Vec<Place>,
    /// By register: the value in it.
    pub(crate) holders: [Option<usize>; 32],
    /// Registers that hold indices times sizes of items, for as long as nobody else wants them.
    pub(crate) scaled: Vec<Scaled>,
    /// Registers that the operation uses, and must not lose.
    pub(crate) pinned: RegSet,
    /// By value: the register it had best be in.
    pub(crate) hints: &'a mut Vec<Option<Reg>>,
    pub(crate) slots: Slots,
    pub(crate) labels: Vec<OwnLabel>,
    pub(crate) exits: Vec<PieceExit>,
    pub(crate) late: Vec<Late>,
    /// Slots that other pieces need which this one jumps to.
    pub(crate) least_slots: u32,
    jumps_to: Option<TargetToken>,
    op_offsets: Vec<u32>,
}

/// What a walk leaves for the next: memory, and nothing that is known.
#[derive(Default)]
pub(crate) struct Scratch {
    live: Liveness,
    places: Vec<Place>,
    hints: Vec<Option<Reg>>,
}

/// Length of the instruction that sets `rsp`, with a displacement of 4 bytes at its end.
const SET_RSP: usize = 7;

/// Makes code for a trace.
///
/// # Errors
/// [`BackendError::Unsupported`], [`BackendError::UnknownTarget`], [`BackendError::FrameTooLarge`].
pub(crate) fn compile(
    trace: &Trace,
    context: &Context<'_>,
    entry: Entry<'_>,
    scratch: &mut Scratch,
) -> Result<Piece, BackendError> {
    let Scratch { live, places, hints } = scratch;
    live.scan(trace, context.forcing != Forcing::Off);
    refill(places, trace.value_count(), Place::default());
    refill(hints, trace.value_count(), None);
    let mut walk = Walk {
        trace,
        context,
        live,
        code: Code::for_ops(trace.ops.len()),
        at: 0,
        places,
        holders: [None; 32],
        scaled: Vec::new(),
        pinned: RegSet::EMPTY,
        hints,
        slots: Slots::default(),
        labels: Vec::new(),
        exits: Vec::with_capacity(trace.ops.len() / 4 + 1),
        late: Vec::new(),
        least_slots: 0,
        jumps_to: None,
        op_offsets: Vec::with_capacity(trace.ops.len()),
    };
    walk.plan_hints(0);
    let set_rsp = walk.enter(&entry);
    for at in 0..trace.ops.len() {
        walk.at = at;
        walk.op()?;
    }
    walk.finish(&entry, set_rsp)
}

impl Walk<'_> {
    fn op(&mut self) -> Result<(), BackendError> {
        self.op_offsets.push(self.code.offset());
        if self.live.skipped[self.at] {
            return Ok(());
        }
        let op = &self.trace.ops[self.at];
        self.pin_operands();
        if !self.fold() {
            match op.opcode.class() {
                Class::Pure | Class::Partial | Class::Overflow => self.computation(),
                Class::Load => self.load(),
                Class::Store => self.store(),
                Class::Alloc => self.alloca()?,
                Class::Call => self.call(),
                Class::Guard => self.guard(),
                Class::Control => self.control()?,
                Class::Debug => {}
            }
        }
        self.end_op();
        Ok(())
    }

    /// Whether the operation's result is known now, without any code.
    fn fold(&mut self) -> bool {
        let op = &self.trace.ops[self.at];
        let value = self.trace.inputs.len() + self.at;
        self.places[value].known = None;
        let is_computed = matches!(op.opcode.class(), Class::Pure | Class::Partial);
        if !is_computed || op.args.iter().any(|arg| self.known(*arg).is_none()) {
            return false;
        }
        let known: SmallVec<[Option<Location>; 4]> = op.args.iter().map(|arg| self.known(*arg)).collect();
        let result = match (op.opcode, &known[..]) {
            (Opcode::PtrField, [Some(Location::FrameAddress(at))]) => at
                .checked_add_unsigned(op.descr().field().offset)
                .map(Location::FrameAddress),
            (opcode, [Some(address @ Location::FrameAddress(_))]) if is_copy(opcode) => Some(*address),
            (opcode, known) if matches!(opcode.class(), Class::Pure | Class::Partial) => {
                let words: Option<SmallVec<[u64; 2]>> = known
                    .iter()
                    .map(|known| match known {
                        Some(Location::Constant(bits)) => Some(*bits),
                        _ => None,
                    })
                    .collect();
                words
                    .and_then(|words| metatrace_ir::eval::eval(opcode, &words))
                    .map(Location::Constant)
            }
            _ => None,
        };
        self.places[value].known = result;
        result.is_some()
    }

    fn computation(&mut self) {
        let op = &self.trace.ops[self.at];
        let floats = op.args.iter().any(|arg| self.trace.kind(*arg) == Kind::Float);
        match op.opcode {
            Opcode::PtrField | Opcode::PtrItem => self.address(),
            opcode if is_copy(opcode) => self.copy(op.args[0]),
            opcode if opcode.is_comparison() => self.comparison(),
            _ if floats || op.opcode.result() == Some(Kind::Float) => self.float_op(),
            _ => self.int_op(),
        }
    }

    /// Names the exit of the operation, a guard or `finish`, with its values where they are now.
    pub(crate) fn record_exit(&mut self) -> u32 {
        let op = &self.trace.ops[self.at];
        let guard = op
            .guard
            .unwrap_or_else(|| panic!("{} without a name", op.opcode.name()));
        // a comparison that is fused has no place; that its guard fails says what it gives
        let fused = self.live.fused[self.at].map(|comparison| self.trace.result(comparison));
        let outcome = Location::Constant(u64::from(op.opcode == Opcode::GuardFalse));
        let exit = self.live.exit(self.at);
        let values = exit
            .iter()
            .map(|value| {
                if Some(*value) == fused {
                    outcome
                } else {
                    self.locate(*value)
                }
            })
            .collect();
        self.exits.push(PieceExit {
            guard,
            opcode: op.opcode,
            may_be_forced: self.context.forcing.applies_to(op.opcode, guard),
            values,
            sites: SmallVec::new(),
            number_at: None,
        });
        self.exits.len() as u32 - 1
    }

    /// Code that leaves at an exit for good.
    pub(crate) fn leave(&mut self, exit: u32) {
        self.code.push(encode::mov_imm(Reg::R11, 0));
        self.exits[exit as usize].number_at = Some(self.code.offset() - 4);
        self.code.jump_to(self.context.routines.exit);
    }

    pub(crate) fn jumps_to(&mut self, token: TargetToken, label: &Label) {
        self.jumps_to = Some(token);
        self.least_slots = self.least_slots.max(label.slots);
    }

    fn finish(mut self, entry: &Entry<'_>, set_rsp: u32) -> Result<Piece, BackendError> {
        for late in std::mem::take(&mut self.late) {
            self.late(late);
        }
        let slots = self.slots.count.max(self.least_slots);
        let size = frame_size(slots);
        if size > self.context.frame_limit {
            return Err(BackendError::FrameTooLarge { needed: size });
        }
        // bridges need not lower rsp when the frame they are entered with is large enough
        let has_room = matches!(entry, Entry::Guard { frame, .. } if frame_size(frame.slots) >= size);
        let probe = (size >= PAGE && !has_room).then(|| {
            let start = self.code.offset();
            self.probe(size, set_rsp + SET_RSP as u32);
            start
        });
        let mut stubs = vec![None; self.exits.len()];
        for n in 0..self.code.sites().len() {
            let exit = self.code.sites()[n].exit;
            if stubs[exit as usize].is_none() {
                stubs[exit as usize] = Some(self.code.offset());
                self.leave(exit);
            }
        }
        let (mut code, sites, fixups) = self.code.finish();
        for site in sites {
            let stub = stubs[site.exit as usize].expect("every exit that is jumped to has a stub");
            crate::code::set_distance(&mut code, site.at, stub);
            self.exits[site.exit as usize].sites.push(site.at);
        }
        match probe {
            Some(probe) => {
                let at = set_rsp as usize;
                code[at..at + SET_RSP].copy_from_slice(&[0xe9, 0, 0, 0, 0, 0x66, 0x90]);
                crate::code::set_distance(&mut code, set_rsp + 1, probe);
            }
            None => {
                let at = set_rsp as usize + 3;
                code[at..at + 4].copy_from_slice(&(-(size as i32)).to_le_bytes());
            }
        }
        Ok(Piece {
            code,
            entry: if has_room { set_rsp + SET_RSP as u32 } else { 0 },
            fixups,
            exits: self.exits,
            labels: self.labels,
            frame: Frame {
                slots,
                exposed: self.slots.exposed,
            },
            op_offsets: self.op_offsets,
            jumps_to: self.jumps_to,
        })
    }

    /// Touches every page of a large frame, from the top, before `rsp` goes below it.
    fn probe(&mut self, size: u32, back: u32) {
        for page in (PAGE..size).step_by(PAGE as usize) {
            let touched = encode::Mem::frame(-(page as i32));
            self.code.push(encode::alu_reversed(
                encode::Alu::Cmp,
                encode::Rm::Mem(touched),
                Reg::RSP,
            ));
        }
        self.code
            .push(encode::lea(Reg::RSP, encode::Mem::frame(-(size as i32))));
        self.code.jump_back(back);
    }

    fn late(&mut self, late: Late) {
        use dynasmrt::DynasmLabelApi;
        match late {
            Late::Forced { start, exit } => {
                self.code.ops.dynamic_label(start);
                self.code.call_to(self.context.routines.rearm);
                self.code.leave_always(exit);
            }
            Late::Convert { start, back, slow } => {
                self.code.ops.dynamic_label(start);
                self.slow_conversion(slow);
                dynasmrt::dynasm!(self.code.ops; .arch x64; jmp =>back);
            }
        }
    }
}

const PAGE: u32 = 4096;

/// Operations that only give their operand another name or kind.
fn is_copy(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::SameAsI | Opcode::SameAsR | Opcode::SameAsF | Opcode::CastPtrToInt | Opcode::CastIntToPtr
    )
}
