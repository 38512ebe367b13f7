//! The table, and the verdict.

use crate::contender::{Median, Program};

/// Prints the columns' names.
pub fn header() {
    println!(
        "{:<28} {:>9} {:>9} {:>9} {:>9} {:>12} {:>9} {:>12}",
        "seconds", "native", "jit", "gcc -O2", "rpython", "native/jit", "jit/gcc", "jit/rpython"
    );
}

/// The part of a program's time, and the seconds on top of it, by which the JIT may make it slower.
pub const TOLERANCE: f64 = 0.05;
/// See [`TOLERANCE`].
pub const START: f64 = 0.020;

fn seconds(medians: &[Median], name: &str) -> Option<f64> {
    let median = medians.iter().find(|median| median.name == name);
    median.map(|median| median.seconds)
}

/// Whether the JIT makes a program slower than it may.
pub fn is_slower(medians: &[Median]) -> bool {
    match (seconds(medians, "native"), seconds(medians, "jit")) {
        (Some(native), Some(jit)) => jit > native * (1.0 + TOLERANCE) + START,
        _ => false,
    }
}

/// Prints one program's medians.
pub fn row(program: &Program, medians: &[Median]) {
    let show = |seconds: Option<f64>| seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.3}"));
    let ratio = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => format!("{:.2}", a / b),
        _ => "-".to_owned(),
    };
    let [native, jit, gcc, rpython] =
        ["native", "jit", "gcc -O2", "rpython"].map(|contender| seconds(medians, contender));
    println!(
        "{:<28} {:>9} {:>9} {:>9} {:>9} {:>12} {:>9} {:>12}",
        program.name,
        show(native),
        show(jit),
        show(gcc),
        show(rpython),
        ratio(native, jit),
        ratio(jit, gcc),
        ratio(jit, rpython)
    );
}
