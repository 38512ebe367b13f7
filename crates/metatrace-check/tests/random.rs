//! Random traces, as they are and optimised, do the same: for a second, or for `CHECK_SECONDS`. A trace that does not is
//! made as short as it can be before it is shown.
#![forbid(unsafe_code)]

mod generate;

use metatrace_check::{Options, check, numbered};
use metatrace_ir::random::{self, Config, Random};
use metatrace_ir::{Opcode, TargetToken, Trace, verify};
use metatrace_opt::optimize;
use std::cell::RefCell;
use std::time::{Duration, Instant};

thread_local! {
    /// Optimises all traces of a thread, and is to forget each.
    static KEPT: RefCell<metatrace_opt::Optimizer> = RefCell::default();
}

fn seconds() -> u64 {
    let given = std::env::var("CHECK_SECONDS").ok();
    given.map_or(1, |given| given.parse().expect("a number of seconds"))
}

/// `CHECK_SEED` starts elsewhere.
fn seed() -> u64 {
    let given = std::env::var("CHECK_SEED").ok();
    given.map_or(1, |given| given.parse().expect("a number"))
}

/// What differs, and both traces.
fn difference(recorded: &Trace, worlds: u32) -> Option<String> {
    assert_eq!(verify(recorded), Ok(()), "{recorded}");
    let recorded = numbered(recorded);
    let differs = |peel| {
        let passes = metatrace_opt::Options {
            peel,
            ..metatrace_opt::Options::default()
        };
        let optimized = optimize(&recorded, &passes);
        KEPT.with_borrow_mut(|kept| {
            let again = kept.optimize(&recorded, &passes);
            assert_eq!(
                again.to_string(),
                optimized.to_string(),
                "not as if it was the first:\n{recorded}"
            );
            kept.recycle(again);
        });
        let options = Options { worlds, seed: seed() };
        let mismatch = check(&recorded, &optimized, &options).err()?;
        Some(format!("{mismatch}\n{recorded}---\n{optimized}"))
    };
    differs(None).or_else(|| differs(Some(TargetToken(1_000_000))))
}

/// Drops what seeds can be dropped while there still is a difference.
fn shrink(mut seeds: Vec<u64>, make: &dyn Fn(&[u64]) -> Trace, mut found: String) -> String {
    let mut size = seeds.len() / 2;
    while size > 0 {
        let mut at = 1;
        while at + size <= seeds.len() {
            let mut fewer = seeds.clone();
            fewer.drain(at..at + size);
            match difference(&make(&fewer), 200) {
                Some(difference) => (seeds, found) = (fewer, difference),
                None => at += size,
            }
        }
        size /= 2;
    }
    found
}

fn search(steps: usize, make: &dyn Fn(&[u64]) -> Trace) {
    let start = Instant::now();
    let mut random = Random(seed());
    let mut count = 0;
    while start.elapsed() < Duration::from_secs(seconds()) {
        let seeds: Vec<u64> = (0..random.below(steps) + 2).map(|_| random.word()).collect();
        count += 1;
        if let Some(found) = difference(&make(&seeds), 40) {
            panic!("trace {count}: {}", shrink(seeds, make, found));
        }
    }
    println!("{count} traces");
}

#[test]
fn traces_on_memory_do_the_same() {
    search(60, &generate::trace);
}

#[test]
fn arithmetic_does_the_same() {
    let mut config = Config::arithmetic();
    let comparisons = [
        Opcode::IntLt,
        Opcode::IntLe,
        Opcode::IntEq,
        Opcode::IntGe,
        Opcode::UintLt,
        Opcode::UintGe,
    ];
    for _ in 0..3 {
        config.opcodes.extend(comparisons);
        config.opcodes.extend([Opcode::GuardTrue, Opcode::GuardFalse]);
    }
    let more = [
        Opcode::Label,
        Opcode::Jump,
        Opcode::IntAdd,
        Opcode::IntAnd,
        Opcode::UintLt,
        Opcode::GuardTrue,
    ];
    config.opcodes.extend(more);
    search(60, &|seeds| random::trace(seeds, &config));
}
