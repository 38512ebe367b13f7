//! Every golden trace of the optimiser does what it did before.
#![forbid(unsafe_code)]

#[path = "../../../tests/golden_files.rs"]
mod golden_files;

use golden_files::golden_files;
use metatrace_check::{Options, check, numbered};
use metatrace_ir::text::parse;
use metatrace_ir::{TargetToken, Trace};
use metatrace_opt::optimize;
use std::fs;

/// `CHECK_WORLDS=10000` looks longer.
fn worlds() -> u32 {
    let given = std::env::var("CHECK_WORLDS").ok();
    given.map_or(60, |given| given.parse().expect("a number of worlds"))
}

#[test]
fn golden_traces_do_the_same() {
    let mut failures = Vec::new();
    for path in golden_files() {
        let text = fs::read_to_string(&path).expect("a readable file");
        let given = text.split("---\n").next().expect("a first part");
        let recorded = numbered(&parse(given).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
        for peel in [None, Some(TargetToken(1_000_000))] {
            failures.extend(judge(&recorded, peel).map(|failure| format!("{}: {failure}", path.display())));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What is wrong with what the optimiser makes of the trace.
fn judge(recorded: &Trace, peel: Option<TargetToken>) -> Option<String> {
    let passes = metatrace_opt::Options {
        peel,
        ..metatrace_opt::Options::default()
    };
    let optimized = optimize(recorded, &passes);
    let options = Options {
        worlds: worlds(),
        seed: 1,
    };
    match check(recorded, &optimized, &options) {
        // where a peeled loop without guards is, nothing but its calls can be compared
        Ok(report) if peel.is_none() && report.states == 0 && report.undefined < report.worlds => {
            Some(format!("never compared: {report:?}"))
        }
        Ok(_) => None,
        Err(mismatch) => Some(format!("{mismatch}\n{optimized}")),
    }
}
