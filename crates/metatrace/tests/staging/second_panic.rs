//! A destructor that panics while the thread unwinds ends the process, in jitcode as in Rust.

use crate::harness::staged;
use metatrace::jit;
use std::process::Command;

#[jit]
struct Bomb(u32);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("bomb {} went off", self.0);
    }
}

#[jit]
fn panics_twice(n: u32) -> u32 {
    let bomb = Bomb(n);
    assert!(n > 100, "the first panic");
    bomb.0
}

/// Not a test by itself: the process that it runs in ends.
#[test]
#[ignore = "ends the process: run by `ends_the_process`"]
fn panic_twice() {
    staged!(panics_twice(1));
}

#[test]
fn ends_the_process() {
    let test = std::env::current_exe().expect("this test has a path");
    let run = Command::new(test)
        .args(["--ignored", "--exact", "--nocapture", "second_panic::panic_twice"])
        .output()
        .expect("this test runs");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(!run.status.success() && !said.contains("FAILED"), "{said}");
    for part in ["the first panic", "bomb 1 went off", "aborting"] {
        assert!(said.contains(part), "{said}");
    }
}
