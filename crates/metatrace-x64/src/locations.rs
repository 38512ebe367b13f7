//! Registers, frame slots, and the places a value can be in.
//!
//! The frame of an activation, addressed from `rbp`:
//!
//! ```text
//! rbp + 8    return address
//! rbp        the caller's rbp
//! rbp - 40   rbx, r12, r13, r14, r15 of the caller
//! rbp - 48   the activation's record
//! rbp - 56…  slots, of 8 bytes each, downwards
//! rsp        below all slots, a multiple of 16
//! ```
//!
//! Every piece of code that runs in the frame (a loop, its bridges, loops they jump to) shares this layout, and lowers
//! `rsp` where it needs more slots than the piece it is entered from.

use metatrace_ir::Kind;

/// A register: a general one or an SSE one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Reg(u8);

/// The two kinds of register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bank {
    General,
    Float,
}

impl Bank {
    pub(crate) const ALL: [Bank; 2] = [Bank::General, Bank::Float];

    /// The bank that holds values of this kind.
    pub(crate) fn of(kind: Kind) -> Bank {
        match kind {
            Kind::Int | Kind::Ref => Bank::General,
            Kind::Float => Bank::Float,
        }
    }

    /// The registers that hold values.
    pub(crate) fn allocatable(self) -> RegSet {
        match self {
            // rsp, rbp and the scratch register are not
            Bank::General => RegSet(0xffff & !(1 << 4 | 1 << 5 | 1 << 11)),
            Bank::Float => RegSet(0x7fff_0000),
        }
    }

    /// The register that no value is ever in, for use within one operation.
    pub(crate) fn scratch(self) -> Reg {
        match self {
            Bank::General => Reg::R11,
            Bank::Float => Reg::XMM15,
        }
    }
}

impl Reg {
    pub(crate) const RAX: Reg = Reg(0);
    pub(crate) const RCX: Reg = Reg(1);
    pub(crate) const RDX: Reg = Reg(2);
    pub(crate) const RSP: Reg = Reg(4);
    pub(crate) const RBP: Reg = Reg(5);
    pub(crate) const RSI: Reg = Reg(6);
    pub(crate) const RDI: Reg = Reg(7);
    pub(crate) const R8: Reg = Reg(8);
    pub(crate) const R9: Reg = Reg(9);
    pub(crate) const R11: Reg = Reg(11);
    pub(crate) const XMM15: Reg = Reg(31);

    /// What a callee preserves.
    pub(crate) const CALLEE_SAVED: RegSet = RegSet(1 << 3 | 0xf000);
    /// Where the words of a call go.
    pub(crate) const ARGUMENTS: [Reg; 6] = [Reg::RDI, Reg::RSI, Reg::RDX, Reg::RCX, Reg::R8, Reg::R9];

    pub(crate) fn bank(self) -> Bank {
        if self.0 < 16 { Bank::General } else { Bank::Float }
    }

    /// Its number within the bank, as instructions encode it.
    pub(crate) fn code(self) -> u8 {
        self.0 & 15
    }

    /// Its number among all registers, of both banks.
    pub(crate) fn index(self) -> usize {
        self.0.into()
    }
}

impl std::fmt::Debug for Reg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const NAMES: [&str; 16] = [
            "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
            "r15",
        ];
        match self.bank() {
            Bank::General => f.write_str(NAMES[self.index()]),
            Bank::Float => write!(f, "xmm{}", self.code()),
        }
    }
}

/// A set of registers.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RegSet(u32);

impl RegSet {
    pub(crate) const EMPTY: RegSet = RegSet(0);

    pub(crate) fn of(regs: &[Reg]) -> RegSet {
        regs.iter().fold(RegSet::EMPTY, |set, reg| set.with(*reg))
    }

    pub(crate) fn with(self, reg: Reg) -> RegSet {
        RegSet(self.0 | 1 << reg.0)
    }

    pub(crate) fn insert(&mut self, reg: Reg) {
        *self = self.with(reg);
    }

    pub(crate) fn remove(&mut self, reg: Reg) {
        self.0 &= !(1 << reg.0);
    }

    pub(crate) fn contains(self, reg: Reg) -> bool {
        self.0 & 1 << reg.0 != 0
    }

    pub(crate) fn and(self, other: RegSet) -> RegSet {
        RegSet(self.0 & other.0)
    }

    pub(crate) fn or(self, other: RegSet) -> RegSet {
        RegSet(self.0 | other.0)
    }

    pub(crate) fn without(self, other: RegSet) -> RegSet {
        RegSet(self.0 & !other.0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub(crate) fn first(self) -> Option<Reg> {
        (self.0 != 0).then(|| Reg(self.0.trailing_zeros() as u8))
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Reg> {
        let mut rest = self;
        std::iter::from_fn(move || {
            let reg = rest.first()?;
            rest.remove(reg);
            Some(reg)
        })
    }
}

impl std::fmt::Debug for RegSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// A word of the frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Slot(pub(crate) u32);

/// Where the activation's record is, from `rbp`.
pub(crate) const ACTIVATION: i32 = -48;

impl Slot {
    /// Its address from `rbp`.
    pub(crate) fn offset(self) -> i32 {
        ACTIVATION - 8 * (self.0 as i32 + 1)
    }
}

/// The distance from `rbp` down to `rsp` of a frame with this many slots.
pub(crate) fn frame_size(slots: u32) -> u32 {
    (ACTIVATION.unsigned_abs() + 8 * slots).next_multiple_of(16)
}

/// Where a value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Location {
    Register(Reg),
    Slot(Slot),
    /// Nowhere: its bits are known.
    Constant(u64),
    /// Nowhere: it is the address at this distance from `rbp`.
    FrameAddress(i32),
}
