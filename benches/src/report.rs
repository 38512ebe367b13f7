//! The table.

use crate::contender::{Median, Program};

/// Prints the columns' names.
pub fn header() {
    println!(
        "{:<28} {:>9} {:>9} {:>9} {:>12} {:>9}",
        "seconds", "native", "jit", "gcc -O2", "native/jit", "jit/gcc"
    );
}

/// Prints one program's medians.
pub fn row(program: &Program, medians: &[Median]) {
    let of = |name: &str| {
        medians
            .iter()
            .find(|median| median.name == name)
            .map(|median| median.seconds)
    };
    let show = |seconds: Option<f64>| seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.3}"));
    let ratio = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => format!("{:.2}", a / b),
        _ => "-".to_owned(),
    };
    let (native, jit, gcc) = (of("native"), of("jit"), of("gcc -O2"));
    println!(
        "{:<28} {:>9} {:>9} {:>9} {:>12} {:>9}",
        program.name,
        show(native),
        show(jit),
        show(gcc),
        ratio(native, jit),
        ratio(jit, gcc)
    );
}
