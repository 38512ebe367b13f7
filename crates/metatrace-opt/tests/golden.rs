//! Traces before and after, as files: `tests/traces/<pass>/<what>.trace` holds the given trace, a line `---`, and what
//! the optimiser makes of it, without the declarations, which are the given one's.
//!
//! Loops are peeled in the folder `peel` only, so that others show what one walk does.
//!
//! `BLESS=1 cargo test -p metatrace-opt --test golden` writes what is the case now as what is expected.

#[path = "../../../tests/golden_files.rs"]
mod golden_files;

use golden_files::golden_files;
use metatrace_ir::text::parse;
use metatrace_ir::{TargetToken, Trace, verify};
use metatrace_opt::{Optimizer, Options, Rewrites, optimize_counting, rule_names};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn is_declaration(line: &str) -> bool {
    ["# root ", "# derived ", "# word ", "# descr "]
        .iter()
        .any(|declaration| line.starts_with(declaration))
}

fn valid(text: &str) -> Result<Trace, String> {
    let trace = parse(text).map_err(|error| error.to_string())?;
    verify(&trace).map_err(|error| error.to_string())?;
    Ok(trace)
}

/// What the optimiser makes of the given part of a file, and what it did.
fn optimized(given: &str, path: &Path) -> Result<(Trace, Rewrites), String> {
    let is_peeled = path.parent().is_some_and(|folder| folder.ends_with("peel"));
    let options = Options {
        peel: is_peeled.then_some(TargetToken(1000)),
        ..Options::default()
    };
    Ok(optimize_counting(&valid(given)?, &options))
}

fn without_declarations(trace: &Trace) -> String {
    trace
        .to_string()
        .lines()
        .filter(|line| !is_declaration(line))
        .map(|line| format!("{line}\n"))
        .collect()
}

fn check(given: &str, expected: &str, path: &Path) -> Result<(), String> {
    let (now, _) = optimized(given, path)?;
    let declarations: String = given
        .lines()
        .filter(|line| is_declaration(line))
        .map(|line| format!("{line}\n"))
        .collect();
    let expected = parse(&format!("{declarations}{expected}")).map_err(|error| format!("what is expected: {error}"))?;
    expected.same_up_to_renaming(&now).map_err(|difference| {
        format!(
            "{difference}\nexpected:\n{}now:\n{}",
            without_declarations(&expected),
            without_declarations(&now)
        )
    })
}

#[test]
fn traces_become_what_their_files_say() {
    let mut failures = Vec::new();
    for path in golden_files() {
        let text = fs::read_to_string(&path).expect("a readable file");
        let (given, expected) = text.split_once("---\n").unwrap_or((&text, ""));
        let result = if std::env::var_os("BLESS").is_some() {
            optimized(given, &path).map(|(now, _)| {
                let blessed = format!("{given}---\n{}", without_declarations(&now));
                if blessed != text {
                    // in one step: the other test reads the same files
                    let new = path.with_extension("new");
                    fs::write(&new, blessed)
                        .and_then(|()| fs::rename(&new, &path))
                        .expect("a writable folder");
                }
            })
        } else {
            check(given, expected, &path)
        };
        failures.extend(result.err().map(|error| format!("{}: {error}", path.display())));
    }
    assert!(
        failures.is_empty(),
        "{}\n{} traces differ; BLESS=1 accepts them",
        failures.join("\n"),
        failures.len()
    );
}

/// Nothing that was known of one trace is believed of the next.
#[test]
fn an_optimiser_forgets() {
    let mut optimizer = Optimizer::default();
    // twice, so that each comes behind all others
    for path in golden_files().iter().chain(&golden_files()) {
        let text = fs::read_to_string(path).expect("a readable file");
        let given = valid(text.split("---\n").next().expect("a first part")).expect("a valid trace");
        for peel in [None, Some(TargetToken(1000))] {
            let options = Options {
                peel,
                ..Options::default()
            };
            let (fresh, _) = optimize_counting(&given, &options);
            let used = optimizer.optimize(&given, &options);
            assert_eq!(used.to_string(), fresh.to_string(), "{}", path.display());
            optimizer.recycle(used);
        }
    }
}

#[test]
fn every_rule_fires() {
    let mut silent: BTreeSet<&str> = rule_names().collect();
    for path in golden_files() {
        let text = fs::read_to_string(&path).expect("a readable file");
        let given = text.split("---\n").next().expect("a first part");
        let (_, rewrites) = optimized(given, &path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for (rule, count) in rewrites.iter() {
            assert!(count > 0 && rewrites.of(rule) == count);
            silent.remove(rule);
        }
    }
    assert!(silent.is_empty(), "rules that fire in no golden trace: {silent:?}");
}

#[test]
fn a_wrong_expectation_is_noticed() {
    let given = "[i0]\ni1 = int_add(i0, 0)\nfinish() [i1]\n";
    assert_eq!(check(given, "[i7]\nfinish() [i7]\n", Path::new("")), Ok(()));
    assert!(
        check(given, given, Path::new(""))
            .expect_err("differs")
            .contains("operation 0: different operations")
    );
    assert!(
        check("[i0]\ni1 = int_add(i0)\nfinish() [i1]\n", given, Path::new(""))
            .expect_err("invalid")
            .contains("1 operands")
    );
}
