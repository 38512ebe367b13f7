//! What an execution of jitcode does besides computing: nothing, or recording.
//!
//! The interpreter computes every result on plain words and tells the domain; the domain pairs the word with whatever it
//! wants to remember of it. Nothing a domain does can change the course of execution, except to stop it at a merge point: where
//! it may set registers ([`Exchange`]), it puts other values with the same words there.

use crate::insn::DescrIndex;
use crate::stack::{Activation, Exchange};
use crate::{JitCode, NativeCall};
use metatrace_ir::{Const, Opcode};

/// Whether to go on behind a merge point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// Execute the next instruction.
    Continue,
    /// Leave the interpreter here.
    Stop,
}

/// A domain. In every method `frames` is the stack of activations, the innermost last, standing *at* the instruction that
/// is reported, with its registers not yet changed.
pub trait Domain {
    /// A word, and what the domain remembers of it.
    type Value: Copy;

    /// The word.
    fn bits(value: Self::Value) -> u64;

    /// A constant of the jitcode.
    fn constant(&mut self, constant: Const) -> Self::Value;

    /// A pure or partial operation gave `result`.
    fn pure(&mut self, op: Opcode, args: &[Self::Value], result: u64) -> Self::Value;

    /// An overflow operation gave the wrapped `result`.
    fn overflow(
        &mut self,
        frames: &[Activation<Self::Value>],
        op: Opcode,
        args: [Self::Value; 2],
        result: u64,
        overflowed: bool,
    ) -> Self::Value;

    /// The address of a field or item was computed.
    fn address(
        &mut self,
        code: &JitCode,
        descr: DescrIndex,
        base: Self::Value,
        index: Option<Self::Value>,
        result: u64,
    ) -> Self::Value;

    /// A field or item was loaded.
    fn load(
        &mut self,
        code: &JitCode,
        descr: DescrIndex,
        base: Self::Value,
        index: Option<Self::Value>,
        result: u64,
    ) -> Self::Value;

    /// A field or item was stored.
    fn store(
        &mut self,
        code: &JitCode,
        descr: DescrIndex,
        base: Self::Value,
        index: Option<Self::Value>,
        value: Self::Value,
    );

    /// A frame slot was made. The same `alloca` in the same activation has this value again.
    fn alloca(&mut self, code: &JitCode, descr: DescrIndex, address: u64) -> Self::Value;

    /// A branch on a boolean is about to be taken (`holds`: it falls through).
    fn branch(&mut self, frames: &[Activation<Self::Value>], cond: Self::Value, holds: bool);

    /// A fused comparison is about to be branched on; unary comparisons have one operand.
    fn branch_if(&mut self, frames: &[Activation<Self::Value>], op: Opcode, args: &[Self::Value], holds: bool);

    /// A switch is about to jump; `case`: whether the value is one of the table's, which are `cases`.
    fn switch(
        &mut self,
        frames: &[Activation<Self::Value>],
        value: Self::Value,
        case: bool,
        cases: &[(u64, crate::Pc)],
    );

    /// The value is to be made a constant. Returns it as such.
    fn promote(&mut self, frames: &[Activation<Self::Value>], value: Self::Value) -> Self::Value;

    /// A residual call is about to be made.
    fn before_call(&mut self, frames: &[Activation<Self::Value>], call: &NativeCall, args: &[Self::Value]);

    /// It returned, or panicked (`None`). The value is meaningless for calls without result.
    fn after_call(
        &mut self,
        frames: &[Activation<Self::Value>],
        call: &NativeCall,
        args: &[Self::Value],
        result: Option<u64>,
    ) -> Self::Value;

    /// A function with jitcode is about to be entered.
    fn enter_inline(&mut self, frames: &[Activation<Self::Value>], callee: &JitCode);

    /// A function is about to return to the activation below, or the outermost one to leave the interpreter.
    fn leave(&mut self, frames: &[Activation<Self::Value>]);

    /// A panic leaves its call; cleanup code runs from here on.
    fn unwind(&mut self, frames: &[Activation<Self::Value>]);

    /// The portal's loop begins again. The innermost activation's reds, and the greens that are not
    /// [evaluated anew](crate::liveness::Liveness::greens_at_header), may be exchanged for other values with the same words;
    /// what its other registers hold nobody reads.
    fn header(&mut self, exchange: &mut Exchange<'_, Self::Value>);

    /// The merge point. The innermost activation's greens may be exchanged for other values with the same words.
    fn merge_point(&mut self, exchange: &mut Exchange<'_, Self::Value>) -> Flow;

    /// A back-edge of the guest program.
    fn back_edge(&mut self, frames: &[Activation<Self::Value>]);
}

/// Plain execution: the blackhole, and the evaluator of the front end's tests.
#[derive(Clone, Copy, Debug)]
pub struct Concrete {
    /// Whether to leave the interpreter at a merge point: the blackhole does, a test that runs a whole portal does not.
    pub at_merge_point: Flow,
}

impl Domain for Concrete {
    type Value = u64;

    fn bits(value: u64) -> u64 {
        value
    }

    fn constant(&mut self, constant: Const) -> u64 {
        constant.bits
    }

    fn pure(&mut self, _: Opcode, _: &[u64], result: u64) -> u64 {
        result
    }

    fn overflow(&mut self, _: &[Activation<u64>], _: Opcode, _: [u64; 2], result: u64, _: bool) -> u64 {
        result
    }

    fn address(&mut self, _: &JitCode, _: DescrIndex, _: u64, _: Option<u64>, result: u64) -> u64 {
        result
    }

    fn load(&mut self, _: &JitCode, _: DescrIndex, _: u64, _: Option<u64>, result: u64) -> u64 {
        result
    }

    fn store(&mut self, _: &JitCode, _: DescrIndex, _: u64, _: Option<u64>, _: u64) {}

    fn alloca(&mut self, _: &JitCode, _: DescrIndex, address: u64) -> u64 {
        address
    }

    fn branch(&mut self, _: &[Activation<u64>], _: u64, _: bool) {}

    fn branch_if(&mut self, _: &[Activation<u64>], _: Opcode, _: &[u64], _: bool) {}

    fn switch(&mut self, _: &[Activation<u64>], _: u64, _: bool, _: &[(u64, crate::Pc)]) {}

    fn promote(&mut self, _: &[Activation<u64>], value: u64) -> u64 {
        value
    }

    fn before_call(&mut self, _: &[Activation<u64>], _: &NativeCall, _: &[u64]) {}

    fn after_call(&mut self, _: &[Activation<u64>], _: &NativeCall, _: &[u64], result: Option<u64>) -> u64 {
        result.unwrap_or(0)
    }

    fn enter_inline(&mut self, _: &[Activation<u64>], _: &JitCode) {}

    fn leave(&mut self, _: &[Activation<u64>]) {}

    fn unwind(&mut self, _: &[Activation<u64>]) {}

    fn header(&mut self, _: &mut Exchange<'_, u64>) {}

    fn merge_point(&mut self, _: &mut Exchange<'_, u64>) -> Flow {
        self.at_merge_point
    }

    fn back_edge(&mut self, _: &[Activation<u64>]) {}
}
