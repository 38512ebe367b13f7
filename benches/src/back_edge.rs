//! `back-edge`: what a cold back-edge costs, in nanoseconds, beside the same loop without it; medians of several rounds.
//!
//! For instructions: `valgrind --tool=callgrind target/release/back-edge 1000000`.
#![forbid(unsafe_code)]

use metatrace::JitDriver;
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 9;

/// A loop over positions, as a guest program's back-edges come.
#[inline(never)]
fn plain(count: usize) -> usize {
    let mut sum = 0usize;
    for n in 0..count {
        sum = sum.wrapping_add(black_box(n & 1023));
    }
    sum
}

/// The same, with a driver that never gets hot.
#[inline(never)]
fn counted<'p>(jit: &JitDriver<'p>, program: &'p [usize; 4], count: usize) -> usize {
    let mut sum = 0usize;
    for n in 0..count {
        let pc = black_box(n & 1023);
        if jit.back_edge((pc, program)) {
            sum += 1;
        }
        sum = sum.wrapping_add(pc);
    }
    sum
}

fn nanoseconds_each(count: usize, mut work: impl FnMut(usize) -> usize) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            black_box(work(count));
            start.elapsed().as_nanos() as f64 / count as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

fn main() {
    let count = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(50_000_000);
    let program = [0; 4];
    let jit = JitDriver::with_param_text("off").expect("good parameters");
    let without = nanoseconds_each(count, plain);
    let with = nanoseconds_each(count, |count| counted(&jit, &program, count));
    println!(
        "without {without:.2} ns, with {with:.2} ns, a cold back-edge costs {:.2} ns",
        with - without
    );
}
