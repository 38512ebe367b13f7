//! Jitcode: what a `#[jit]` function becomes, and the one interpreter of it.
//!
//! A [`JitCode`] is a control-flow graph laid out as fixed-size instructions over registers of three banks (int, ref,
//! float). It is made by the codewriter and never changes. [`interp::Interp`] executes it; what happens besides is its
//! [`Domain`]'s business: [`Concrete`] does nothing more (the blackhole), the tracer's
//! records operations. So the two cannot drift apart.
//!
//! ```text
//! jitcode double_until(i0, i1) -> int
//!   0  i2 = int_add i0 i0
//!   1  branch int_lt i2 i1 else 3
//!   2  return i1
//!   3  return i2
//! ```
//!
//! Registers hold words; a value of several words (an enum, a slice) has several registers. Register numbers from
//! [`JitCode::registers`] upwards denote constants. A register is written before it is read on every path.
//!
//! **Resuming.** Execution may leave machine code at a guard and go on here, *at* the instruction that made the guard,
//! which is evaluated again. [`JitCode::live`] lists, for such a position, the registers that matter; their order is the
//! order of a snapshot's values.
//!
//! **Panics.** A native call that panics delivers a payload. It goes to the instruction's unwind target, whose code drops
//! what the frame owns and ends in [`Insn::ResumeUnwind`], or straight to the caller's frame.

#![deny(unsafe_code)]

#[allow(unsafe_code, reason = "works on the guest's real memory")]
pub mod copies;
pub mod data_flow;
pub mod domain;
pub mod insn;
#[allow(unsafe_code, reason = "works on the guest's real memory")]
pub mod interp;
pub mod liveness;
pub mod portal;
mod print;
pub mod stack;

pub use copies::SmallCode;
pub use domain::{Concrete, Domain};
pub use insn::{DescrIndex, Insn, Pc, Reg};
pub use interp::{Interp, Outcome, Words};
pub use portal::{ParamWord, PortalCode, PortalSource, Twins, Unstageable};
pub use stack::{Activation, Exchange, Stack};

use metatrace_ir::{CallDescr, Const, DescrRef, JitCodeId, Kind};
use std::cell::OnceCell;
use std::rc::Rc;

/// A residual call: a native function behind its shim.
#[derive(Clone, Debug)]
pub struct NativeCall {
    /// Address of the shim (see `metatrace_native` for the convention).
    pub function: u64,
    /// The argument words.
    pub args: Box<[Reg]>,
    /// Where the result goes.
    pub dst: Option<Reg>,
    /// A [`CallDescr`].
    pub descr: DescrRef,
    /// Where a panic goes in this function; `None`: to the caller.
    pub unwind: Option<Pc>,
}

impl NativeCall {
    /// The call's descriptor.
    pub fn call_descr(&self) -> &CallDescr {
        self.descr.call()
    }
}

/// A call of a function that has jitcode.
#[derive(Clone, Debug)]
pub struct InlineCall {
    /// Which function.
    pub callee: Callee,
    /// The argument words, in the order of the callee's parameters.
    pub args: Box<[Reg]>,
    /// Where the result words go.
    pub dsts: Box<[Reg]>,
    /// Where a panic goes in this function; `None`: to the caller.
    pub unwind: Option<Pc>,
}

/// Names a function before its jitcode exists: the address of its builder.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CalleeKey(pub usize);

/// A callee whose jitcode is built when it is first needed.
#[derive(Clone, Debug)]
pub struct Callee {
    /// Which function.
    pub key: CalleeKey,
    /// Readable name.
    pub name: Rc<str>,
    resolved: OnceCell<Rc<JitCode>>,
}

impl Callee {
    /// A callee not yet resolved.
    pub fn new(key: CalleeKey, name: Rc<str>) -> Callee {
        Callee {
            key,
            name,
            resolved: OnceCell::new(),
        }
    }

    /// Its jitcode, asked from `source` the first time.
    pub fn resolve(&self, source: &dyn JitCodeSource) -> &Rc<JitCode> {
        self.resolved.get_or_init(|| source.jitcode(self.key))
    }
}

/// Where jitcodes come from: the codewriter's store.
pub trait JitCodeSource {
    /// The jitcode of a function, built now if need be.
    fn jitcode(&self, key: CalleeKey) -> Rc<JitCode>;

    /// The jitcode with this number, which has been built.
    fn by_id(&self, id: JitCodeId) -> Rc<JitCode>;
}

/// A jump table: value to target.
#[derive(Clone, Debug)]
pub struct SwitchTable {
    /// Pairs of value and target; values are distinct.
    pub cases: Box<[(u64, Pc)]>,
    /// Where all other values go.
    pub default: Pc,
}

/// The registers at the merge point of a portal.
#[derive(Clone, Debug)]
pub struct MergePoint {
    /// The words of the green key, in order.
    pub greens: Box<[Reg]>,
    /// For each green word, whether it is a reference whose frozen contents live as long as the driver.
    pub frozen: Box<[bool]>,
    /// The words of the reds, in order: what a trace takes as inputs.
    pub reds: Box<[Reg]>,
}

/// A function, ready to be interpreted and traced.
#[derive(Clone, Debug)]
pub struct JitCode {
    /// Its number in the store.
    pub id: JitCodeId,
    /// Readable name.
    pub name: Rc<str>,
    /// Kinds of the parameters' words, which arrive in registers 0, 1, ….
    pub params: Vec<Kind>,
    /// Kinds of the result's words.
    pub results: Vec<Kind>,
    /// The kinds of the registers.
    pub registers: Vec<Kind>,
    /// Constants: register `registers.len() + n` is constant `n`.
    pub consts: Vec<Const>,
    /// The instructions.
    pub insns: Vec<Insn>,
    /// Descriptors that instructions refer to.
    pub descrs: Vec<DescrRef>,
    /// Residual calls that instructions refer to.
    pub native_calls: Vec<NativeCall>,
    /// Calls of jitcode that instructions refer to.
    pub inline_calls: Vec<InlineCall>,
    /// Jump tables that instructions refer to.
    pub switches: Vec<SwitchTable>,
    /// Lists of registers that `Return`s refer to.
    pub returns: Vec<Box<[Reg]>>,
    /// A portal's merge point.
    pub merge_point: Option<MergePoint>,
    /// Live registers where execution may resume.
    pub liveness: liveness::Liveness,
}

/// How execution stands at an instruction, which decides what is live there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Position {
    /// About to execute it.
    Before,
    /// Inside the function it calls: its results are not there yet.
    Calling,
    /// Its native call has panicked.
    Unwinding,
}

impl JitCode {
    /// The kind of a register or constant.
    pub fn kind(&self, reg: Reg) -> Kind {
        let n = reg.0 as usize;
        match self.registers.get(n) {
            Some(kind) => *kind,
            None => self.consts[n - self.registers.len()].kind,
        }
    }

    /// The descriptor an instruction refers to.
    pub fn descr(&self, index: DescrIndex) -> &DescrRef {
        &self.descrs[index.0 as usize]
    }

    /// The registers that matter at an instruction, in ascending order.
    pub fn live(&self, pc: Pc, position: Position) -> &[Reg] {
        self.liveness.at(pc, position)
    }
}
