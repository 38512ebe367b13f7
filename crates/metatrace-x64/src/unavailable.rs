//! The backend where there is no machine for it.

use crate::Options;
use metatrace_backend::{Assembled, Backend, BackendError, ExitHandler, LoopToken};
use metatrace_ir::{GuardId, Trace};

/// Runs traces as x86-64 machine code; not on this machine.
pub enum X64Backend {}

impl X64Backend {
    /// A backend without code.
    ///
    /// # Errors
    /// Always.
    pub fn new(_: Options) -> Result<X64Backend, BackendError> {
        Err(BackendError::Unavailable("this is not x86-64 Linux".to_string()))
    }
}

impl Backend for X64Backend {
    fn name(&self) -> &'static str {
        match *self {}
    }

    fn compile_loop(&self, _: LoopToken, _: &Trace) -> Result<Assembled, BackendError> {
        match *self {}
    }

    fn compile_bridge(&self, _: LoopToken, _: GuardId, _: &Trace) -> Result<Assembled, BackendError> {
        match *self {}
    }

    unsafe fn execute(&self, _: LoopToken, _: &[u64], _: &mut dyn ExitHandler) {
        match *self {}
    }

    fn free_loop(&self, _: LoopToken) {
        match *self {}
    }
}
