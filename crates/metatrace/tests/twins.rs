//! Building every twin of a portal: what only the running twin can know is an error that names function and remedy.

#![allow(dead_code)]

use metatrace::{JitDriver, build_twins, can_enter_jit, jit, jit_merge_point};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A type that the JIT knows nothing of: how a `Result` of two lies in memory, only native code knows.
type Letter = std::num::NonZero<u8>;

#[jit]
struct Tape {
    names: Vec<String>,
    last: Result<Letter, Letter>,
}

#[jit::dont_look_inside]
fn is_late(letter: Letter) -> bool {
    letter.get() > 7
}

#[jit]
fn helper(tape: &Tape, n: usize) -> bool {
    match tape.last {
        Ok(letter) => is_late(letter) && deep(n),
        Err(_) => false,
    }
}

#[jit]
fn deep(n: usize) -> bool {
    n == 3
}

#[jit::portal(driver = jit, greens(pc))]
fn run(jit: &JitDriver<'_>, mut pc: usize, tape: &mut Tape, mut n: u32) -> u32 {
    loop {
        jit_merge_point!();
        pc += 1;
        if pc > 3 {
            pc = 0;
            n += 1;
            if n > 5_000 || helper(tape, pc) {
                return n;
            }
            can_enter_jit!();
        }
    }
}

#[jit]
struct Machine {
    pc: usize,
    total: u64,
}

#[jit]
impl Machine {
    #[jit::portal(driver = jit)]
    fn run(&mut self, jit: &JitDriver<'_>) -> u64 {
        loop {
            jit_merge_point!(pc = self.pc);
            self.step();
            if self.total > 10_000 {
                return self.total;
            }
            can_enter_jit!();
        }
    }

    fn step(&mut self) {
        self.total += 1;
    }
}

#[jit::portal(driver = jit, greens(pc))]
fn owned_red(jit: &JitDriver<'_>, mut pc: usize, name: Option<String>) -> usize {
    loop {
        jit_merge_point!();
        pc += 1;
        if pc > 3_000
            && let Some(text) = name
        {
            return text.len();
        }
        can_enter_jit!();
    }
}

mod swap {
    /// Called like std's, and another function.
    pub mod mem {
        pub fn swap<T>(a: &mut T, b: &mut T) {
            std::mem::swap(a, b);
        }
    }
}
use swap::mem;

#[jit]
fn swaps(a: &mut u32, b: &mut u32) {
    mem::swap(a, b);
}

#[jit::portal(driver = jit, greens(pc))]
fn far(jit: &JitDriver<'_>, mut pc: usize, mut a: u32, mut b: u32) -> u32 {
    loop {
        jit_merge_point!();
        pc = 1 - pc;
        b += 1;
        if b > 3_000 {
            return a;
        }
        if b > 70_000 {
            swaps(&mut a, &mut b);
        }
        can_enter_jit!();
    }
}

#[test]
fn functions_are_told_the_portal_first() {
    let twins = build_twins!(run).unwrap();
    let functions: Vec<&str> = twins.functions.iter().map(|name| &**name).collect();
    assert_eq!(functions, ["run", "helper", "deep"]);
    let twins = build_twins!(Machine::run).unwrap();
    let functions: Vec<&str> = twins.functions.iter().map(|name| &**name).collect();
    assert_eq!(functions, ["Machine::run", "Machine::step"]);
    assert_eq!(twins.to_string(), "2 functions, 0 native accessors");
}

#[test]
fn accessors_of_layouts_that_are_std_s_are_counted() {
    let twins = build_twins!(run).unwrap();
    println!("{twins}");
    assert!(twins.accessor_count() > 0, "{twins}");
    assert!(
        twins
            .accessors
            .iter()
            .all(|(name, _)| name.contains("<Result<NonZero<u8>;NonZero<u8>>>")),
        "{twins}"
    );
}

#[test]
fn what_only_the_twin_knows_is_an_error_with_its_remedy() {
    let error = build_twins!(far).unwrap_err();
    assert_eq!(error.function, "swaps");
    assert!(error.to_string().starts_with("`swaps` cannot be staged: "), "{error}");
    assert!(error.why.contains("call it by another name"), "{error}");
    let error = build_twins!(owned_red).unwrap_err();
    assert_eq!(error.function, "owned_red");
    assert!(error.why.contains("use `&mut`"), "{error}");
}

#[test]
fn strict_mode_builds_every_twin_when_the_portal_is_first_entered() {
    // The call of `swaps` is never reached: without strict mode nobody notices.
    let lax = JitDriver::with_param_text("threshold=10").unwrap();
    assert_eq!(far(&lax, 0, 1, 2), 1);
    assert!(lax.stats().loops > 0);
    let strict = JitDriver::with_param_text("threshold=10,strict=1").unwrap();
    let payload = catch_unwind(AssertUnwindSafe(|| far(&strict, 0, 1, 2))).unwrap_err();
    let message = payload.downcast_ref::<String>().unwrap();
    assert!(message.starts_with("strict: `swaps` cannot be staged: "), "{message}");
    assert_eq!(strict.stats().loops, 0);
}
