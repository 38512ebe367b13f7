//! The two things an interpreter of jitcode or of traces must do on real memory: access a word at an address, and call a
//! native function through its shim. Machine code does both by itself and follows the same conventions.
//!
//! **Shims.** A residual call goes through an `extern "C"` function that takes up to [`CallDescr::MAX_ARGS`] words and
//! returns a [`ShimResult`]. Floats travel as bits; what else the words mean is between the shim and the front end that made
//! it. A shim never unwinds: it catches a panic and hands the payload over as [`Payload`].
//!
//! Absent: deciding *which* memory may be accessed. That is the front end's promise, made where it emits the operation.

#![allow(unsafe_code, reason = "this crate is the module of these primitives")]

use metatrace_ir::{CallDescr, Word};
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a shim returns, in two registers.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ShimResult {
    /// The result's word; where the callee panicked, the payload's.
    pub value: u64,
    /// 0 or 1.
    pub panicked: u64,
}

/// A caught panic on its way through interpreter frames or machine code, one word wide.
pub struct Payload(Box<Box<dyn Any + Send>>);

impl Payload {
    /// Packs a caught payload.
    pub fn new(payload: Box<dyn Any + Send>) -> Payload {
        Payload(Box::new(payload))
    }

    /// The word that stands for it in a [`ShimResult`]. It leaks if nobody makes a payload of it again.
    pub fn into_word(self) -> u64 {
        Box::into_raw(self.0) as u64
    }

    /// The payload that a [`ShimResult`] carries.
    ///
    /// # Safety
    /// `word` is the `value` of a shim's result with `panicked` set, and this is done once for each.
    pub unsafe fn from_word(word: u64) -> Payload {
        // SAFETY: the word came from `Box::into_raw` in `into_word`, and nobody else makes a box of it.
        Payload(unsafe { Box::from_raw(word as *mut Box<dyn Any + Send>) })
    }

    /// Unpacks it, for `resume_unwind`.
    pub fn into_box(self) -> Box<dyn Any + Send> {
        *self.0
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Payload")
    }
}

/// Runs the body of a shim: a panic becomes a payload.
#[inline(always)]
pub fn catch(body: impl FnOnce() -> u64) -> ShimResult {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => ShimResult { value, panicked: 0 },
        Err(payload) => ShimResult {
            value: Payload::new(payload).into_word(),
            panicked: 1,
        },
    }
}

/// Loads a word, extended to 64 bits.
///
/// # Safety
/// `address` is readable for the word's size. It need not be aligned, and the bytes may be padding.
#[inline]
pub unsafe fn load(address: u64, word: Word) -> u64 {
    // SAFETY: readable for that size, by the caller's promise.
    unsafe {
        match word {
            Word::U8 => (address as *const u8).read_unaligned().into(),
            Word::U16 => (address as *const u16).read_unaligned().into(),
            Word::U32 => (address as *const u32).read_unaligned().into(),
            Word::I8 => (address as *const i8).read_unaligned() as u64,
            Word::I16 => (address as *const i16).read_unaligned() as u64,
            Word::I32 => (address as *const i32).read_unaligned() as u64,
            Word::U64 | Word::Length | Word::I64 | Word::Ref | Word::F64 => (address as *const u64).read_unaligned(),
        }
    }
}

/// Stores the low bytes of `bits`.
///
/// # Safety
/// `address` is writable for the word's size, and `bits` is a valid value of whatever Rust type lives there.
#[inline]
pub unsafe fn store(address: u64, word: Word, bits: u64) {
    // SAFETY: writable for that size, by the caller's promise.
    unsafe {
        match word.size() {
            1 => (address as *mut u8).write_unaligned(bits as u8),
            2 => (address as *mut u16).write_unaligned(bits as u16),
            4 => (address as *mut u32).write_unaligned(bits as u32),
            _ => (address as *mut u64).write_unaligned(bits),
        }
    }
}

/// Calls a shim.
///
/// # Safety
/// `function` is the address of a shim that takes `args.len()` words, and the words are valid arguments of it.
/// # Panics
/// With more than [`CallDescr::MAX_ARGS`] arguments: a bug of the front end.
pub unsafe fn call(function: u64, args: &[u64]) -> ShimResult {
    macro_rules! call {
        ($($arg:expr),*) => {{
            call!(@ $($arg),* ; )
        }};
        (@ $($arg:expr),* ; ) => {{
            // SAFETY: the caller promises that a shim with this many words is at this address.
            let shim = unsafe { std::mem::transmute::<*const (), unsafe extern "C" fn($(call!(word $arg)),*) -> ShimResult>(function as *const ()) };
            // SAFETY: the words are valid arguments, by the caller's promise.
            unsafe { shim($($arg),*) }
        }};
        (word $arg:expr) => { u64 };
    }
    match *args {
        [] => call!(),
        [a] => call!(a),
        [a, b] => call!(a, b),
        [a, b, c] => call!(a, b, c),
        [a, b, c, d] => call!(a, b, c, d),
        [a, b, c, d, e] => call!(a, b, c, d, e),
        [a, b, c, d, e, f] => call!(a, b, c, d, e, f),
        _ => panic!("a shim takes at most {} words, not {}", CallDescr::MAX_ARGS, args.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    extern "C" fn sum(a: u64, b: u64, c: u64) -> ShimResult {
        catch(|| a.checked_add(b).expect("no overflow") + c)
    }

    #[test]
    fn shims_return_values_and_panics() {
        let address = sum as *const () as u64;
        // SAFETY: `sum` takes three words.
        let fine = unsafe { call(address, &[1, 2, 3]) };
        assert_eq!((fine.value, fine.panicked), (6, 0));
        // SAFETY: as above.
        let bad = unsafe { call(address, &[u64::MAX, 2, 3]) };
        assert_eq!(bad.panicked, 1);
        // SAFETY: the result of a shim that panicked, unpacked once.
        let payload = unsafe { Payload::from_word(bad.value).into_box() };
        assert_eq!(
            payload.downcast_ref::<String>().map(String::as_str),
            Some("no overflow")
        );
    }

    #[test]
    fn words_are_extended_after_their_sign() {
        let mut cell = [0xffu8; 8];
        let address = cell.as_mut_ptr() as u64;
        // SAFETY: eight bytes of an array.
        unsafe {
            assert_eq!(load(address, Word::U8), 0xff);
            assert_eq!(load(address, Word::I16), u64::MAX);
            store(address, Word::U32, 0x1234_5678_9abc_def0);
            assert_eq!(load(address, Word::U64), 0xffff_ffff_9abc_def0);
        }
    }
}
