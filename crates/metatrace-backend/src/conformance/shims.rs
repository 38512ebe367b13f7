//! Native functions for traces to call.

use metatrace_native::{Payload, ShimResult, catch};
use std::panic::resume_unwind;

/// Overwrites every register that a callee may.
fn trash() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: only registers are written, all of which are declared as clobbered.
    unsafe {
        std::arch::asm!(
            "mov rax, -0x5a5a5a5b",
            "mov rcx, rax",
            "mov rdx, rax",
            "mov rsi, rax",
            "mov rdi, rax",
            "mov r8, rax",
            "mov r9, rax",
            "mov r10, rax",
            "mov r11, rax",
            "movq xmm0, rax",
            "movq xmm1, rax",
            "movq xmm2, rax",
            "movq xmm3, rax",
            "movq xmm4, rax",
            "movq xmm5, rax",
            "movq xmm6, rax",
            "movq xmm7, rax",
            "movq xmm8, rax",
            "movq xmm9, rax",
            "movq xmm10, rax",
            "movq xmm11, rax",
            "movq xmm12, rax",
            "movq xmm13, rax",
            "movq xmm14, rax",
            "movq xmm15, rax",
            clobber_abi("C"),
        );
    }
}

/// What the shims compute of their arguments: every word and every position matters.
pub(super) fn mixed(args: &[u64]) -> u64 {
    args.iter().fold(args.len() as u64, |hash, arg| {
        (hash ^ arg).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17)
    })
}

/// Whether a [`fussy`] shim panics, with [`mixed`] as its payload.
pub(super) fn is_refused(args: &[u64]) -> bool {
    mixed(args).is_multiple_of(4)
}

macro_rules! shims {
    ($($mix:ident $fussy:ident ($($arg:ident)*);)*) => {
        $(
            extern "C" fn $mix($($arg: u64),*) -> ShimResult {
                let result = catch(|| mixed(&[$($arg),*]));
                trash();
                result
            }
            extern "C" fn $fussy($($arg: u64),*) -> ShimResult {
                let args = [$($arg),*];
                // no panic hook, so no output
                let result = catch(|| if is_refused(&args) { resume_unwind(Box::new(mixed(&args))) } else { mixed(&args) });
                trash();
                result
            }
        )*
        /// Addresses by number of arguments.
        static ADDRESSES: &[(fn() -> u64, fn() -> u64)] =
            &[$((|| $mix as *const () as u64, || $fussy as *const () as u64)),*];
    };
}

shims! {
    mix0 fussy0 ();
    mix1 fussy1 (a);
    mix2 fussy2 (a b);
    mix3 fussy3 (a b c);
    mix4 fussy4 (a b c d);
    mix5 fussy5 (a b c d e);
    mix6 fussy6 (a b c d e f);
}

/// The shim that returns [`mixed`] of `n` arguments.
pub(super) fn mix(n: usize) -> u64 {
    ADDRESSES[n].0()
}

/// The shim that does the same, but panics where [`is_refused`].
pub(super) fn fussy(n: usize) -> u64 {
    ADDRESSES[n].1()
}

/// Adds 1 to the integer that it gets a pointer to, and returns the sum.
pub(super) extern "C" fn increment(at: u64) -> ShimResult {
    let at = at as *mut u64;
    // SAFETY: traces of the suite call it with the address of a word that they may write.
    let result = catch(|| unsafe {
        *at += 1;
        *at
    });
    trash();
    result
}

/// Unpacks the payload of a [`fussy`] shim.
pub(super) fn payload(word: u64) -> u64 {
    // SAFETY: cases call this once for each exit that carries a payload.
    let payload = unsafe { Payload::from_word(word).into_box() };
    *payload.downcast::<u64>().expect("a payload of the suite")
}

/// Lines that declare the shims' descriptors: `mix0`, …, `fussy6`, `increment`.
pub(super) fn descrs() -> String {
    let mut lines = String::from("# descr increment = call(args=p, result=i, effect=any)\n");
    for n in 0..ADDRESSES.len() {
        let args = if n == 0 {
            String::new()
        } else {
            format!("args={}, ", "i".repeat(n))
        };
        lines += &format!("# descr mix{n} = call({args}result=i, effect=any)\n");
        lines += &format!("# descr fussy{n} = call({args}result=i, effect=any, can_panic)\n");
    }
    lines
}
