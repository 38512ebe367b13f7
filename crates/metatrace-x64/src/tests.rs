//! The conformance suite and random programs, on every sort of code memory and CPU.

use crate::{Options, X64Backend};
use metatrace_backend::Forcing;
use metatrace_backend::conformance::{self, random};
use metatrace_backend::reference::ReferenceExecutor;
use std::ops::Range;

fn backend(options: Options) -> X64Backend {
    X64Backend::new(options).expect("this machine runs generated code")
}

fn pass_the_suite(options: &Options) {
    for case in conformance::cases() {
        println!("{}", case.name); // shown where it fails
        (case.run)(&mut |forcing| {
            Box::new(backend(Options {
                forcing,
                ..options.clone()
            }))
        });
    }
}

#[test]
fn passes_the_suite() {
    pass_the_suite(&Options::default());
}

/// The options that seed `n` is run with, and the size of its programs.
fn variant(n: u64) -> (Options, random::Size) {
    let forcing = match n % 4 {
        0 => Forcing::OneIn {
            n: 2 + (n % 13) as u32,
            seed: n,
        },
        _ => Forcing::Off,
    };
    let options = Options {
        forcing,
        cpu_extensions: n % 3 != 0,
        code_memory: 8 << 20,
        ..Options::default()
    };
    let ops = [10, 40, 120][(n / 12 % 3) as usize];
    (
        options,
        random::Size {
            ops,
            ..random::Size::smoke()
        },
    )
}

fn agree_with_the_reference(seeds: Range<u64>) {
    for seed in seeds {
        let (options, size) = variant(seed);
        let reference = ReferenceExecutor::new(options.forcing);
        random::compare(seed, size, &reference, &backend(options));
    }
}

#[test]
fn agrees_with_the_reference_on_random_programs() {
    agree_with_the_reference(0..600);
}

/// For long runs: `METATRACE_SEEDS=1000..100000 cargo test --release -p metatrace-x64 -- --ignored`.
#[test]
#[ignore = "runs as long as it is told to"]
fn agrees_with_the_reference_on_many_random_programs() {
    let seeds = std::env::var("METATRACE_SEEDS").unwrap_or_else(|_| "0..20000".to_string());
    let (from, to) = seeds.split_once("..").expect("a range of seeds");
    let number = |text: &str| text.parse().expect("a number");
    agree_with_the_reference(number(from)..number(to));
}
