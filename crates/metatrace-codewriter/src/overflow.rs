//! Whether the author's build checks arithmetic for overflow. A macro cannot ask (`cfg!(overflow_checks)` is not stable), and
//! `debug_assertions` is only the default; so a sum that overflows is tried, once for each crate, in code of that crate: the
//! library's `add` is compiled where it is named, and checks as that crate does.
//!
//! Where it panics, nobody is to see that: the panic hook is silent for this thread while it is tried, and is then what it was.
//! Where a panic ends the process, or the thread is panicking already, the build's `debug_assertions` decide.

use std::cell::Cell;
use std::hint::black_box;
use std::panic::{PanicHookInfo, UnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Arc, Mutex, PoisonError};

/// Whether arithmetic is checked in the crate of the module. `add` is compiled there; `assertions` says whether
/// `debug_assertions` are on there.
pub fn overflow_checks(module: &'static str, assertions: bool, add: fn(u8, u8) -> u8) -> bool {
    static KNOWN: Mutex<Vec<(&str, bool)>> = Mutex::new(Vec::new());
    if cfg!(panic = "abort") || std::thread::panicking() {
        return assertions;
    }
    let name = module.split("::").next().unwrap_or(module);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, checks)) = known.iter().find(|(known, _)| *known == name) {
        return *checks;
    }
    let checks = panics(|| add(black_box(u8::MAX), black_box(1)));
    known.push((name, checks));
    checks
}

/// Whether the function panics, of which nothing is reported.
fn panics(probe: impl FnOnce() -> u8 + UnwindSafe) -> bool {
    thread_local! {
        static IS_PROBING: Cell<bool> = const { Cell::new(false) };
    }
    let hook: Arc<dyn Fn(&PanicHookInfo<'_>) + Send + Sync> = Arc::from(take_hook());
    let others = hook.clone();
    set_hook(Box::new(move |info| {
        if !IS_PROBING.get() {
            others(info);
        }
    }));
    IS_PROBING.set(true);
    let panics = catch_unwind(probe).is_err();
    IS_PROBING.set(false);
    drop(take_hook());
    set_hook(Box::new(move |info| hook(info)));
    panics
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::Add;

    #[test]
    fn a_crate_is_asked_once() {
        let wraps = |_, _| 0;
        let checks = |_, _| panic!("as an overflow does");
        assert!(!overflow_checks("wrapping::module", true, wraps));
        assert!(!overflow_checks("wrapping::other", true, checks));
        assert!(overflow_checks("checked", false, checks));
        assert!(overflow_checks("checked::module", false, wraps));
    }

    #[test]
    fn this_crate_is_as_its_profile_says() {
        let checks = overflow_checks(module_path!(), false, <u8 as Add>::add);
        assert_eq!(checks, cfg!(debug_assertions));
    }
}
