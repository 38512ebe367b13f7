//! The log of a run, as a reader of RPython's logs sees it: sections nest, every compiled trace is there, every bridge leaves
//! a guard that an earlier trace has, every jump goes to a label, and the summary counts what the log shows.
#![forbid(unsafe_code)]

use brainfuck::{Form, Io, Program};
use metatrace::{JitDriver, Log, Stats};
use metatrace_ir::text::parse;
use metatrace_ir::verify;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Runs a brainfuck program of ours with a log of these sections: the log's text, and what the driver did.
fn logged(program: &str, sections: &str) -> (String, Stats) {
    let path = own(program);
    let source = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let program = Program::parse(&source, Form::Plain).expect("a well-formed program");
    let folder = tempfile::tempdir().expect("there can be temporary folders");
    let file = folder.path().join("run.log");
    let log = Log::open(&format!("{sections}{}", file.display())).expect("a temporary file can be written");
    let mut jit = JitDriver::with_param_text("threshold=50,trace_eagerness=10,strict=1").expect("good parameters");
    jit.set_log(log);
    brainfuck::run(&jit, &program, &mut Io::in_memory(&[])).expect("the program runs");
    jit.finish_log().expect("a temporary file can be written");
    let text = std::fs::read_to_string(&file).expect("the log was written");
    (text, jit.stats())
}

fn own(program: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let programs = root
        .expect("tests/ lies in the repository")
        .join("interpreters/brainfuck/programs");
    programs.join(program)
}

/// A section's category and the lines that are its own.
struct Section<'a> {
    category: &'a str,
    lines: Vec<&'a str>,
}

/// The sections in the order of their ends.
///
/// # Panics
/// If they do not nest, or time goes back.
fn sections(log: &str) -> Vec<Section<'_>> {
    let (mut open, mut ended): (Vec<Section<'_>>, Vec<Section<'_>>) = Default::default();
    let mut last = 0;
    for line in log.lines() {
        let marker = line.strip_prefix('[').and_then(|line| line.split_once("] "));
        let marker = marker.and_then(|(time, rest)| Some((u64::from_str_radix(time, 16).ok()?, rest)));
        let Some((time, rest)) = marker else {
            open.last_mut().expect("a line is in a section").lines.push(line);
            continue;
        };
        assert!(time >= last, "time goes back: {line}");
        last = time;
        if let Some(category) = rest.strip_prefix('{') {
            let lines = Vec::new();
            open.push(Section { category, lines });
        } else {
            let section = open.pop().expect("a section ends that has begun");
            assert_eq!(rest.strip_suffix('}'), Some(section.category), "{line}");
            ended.push(section);
        }
    }
    assert!(open.is_empty(), "{} has no end", open[0].category);
    ended
}

/// The texts between `before` and `after` in a line.
fn between<'a>(line: &'a str, before: &str, after: char) -> Vec<&'a str> {
    line.split(before)
        .skip(1)
        .filter_map(|rest| Some(rest.split_once(after)?.0))
        .collect()
}

#[test]
fn sections_of_all_kinds_fit_together() {
    let (log, stats) = logged("primes.b", ":");
    let (mut guards, mut labels): (HashSet<&str>, HashSet<&str>) = Default::default();
    let (mut loops, mut bridges, mut recorded) = (0, 0, 0);
    for section in sections(&log) {
        match section.category {
            "jit-log-opt-loop" => loops += 1,
            "jit-log-opt-bridge" => {
                bridges += 1;
                let guard = between(section.lines[0], "bridge out of Guard ", ' ');
                assert!(
                    guards.contains(guard[0]),
                    "{} leaves a guard of an earlier trace",
                    section.lines[0]
                );
            }
            "jit-log-noopt" => recorded += 1,
            _ => continue,
        }
        let of = |opcode: &str| {
            section
                .lines
                .iter()
                .filter(|line| line.contains(opcode))
                .copied()
                .collect::<Vec<_>>()
        };
        for label in of("label(") {
            labels.extend(between(label, "TargetToken(", ')'));
        }
        for line in of("guard_") {
            guards.extend(between(line, "<Guard", '>'));
        }
        if section.category != "jit-log-noopt" {
            for jump in of("jump(") {
                assert!(
                    labels.contains(between(jump, "TargetToken(", ')')[0]),
                    "{jump} goes to a label"
                );
            }
        }
    }
    assert!(stats.loops > 1 && stats.bridges > 1, "{stats:?}");
    assert_eq!((loops, bridges), (stats.loops, stats.bridges));
    assert_eq!(recorded, stats.backend_runs);
}

/// What was recorded is in the log as it went into the optimiser: roots, frames, green constants and all.
#[test]
fn recorded_traces_are_read_again() {
    let (log, _) = logged("primes.b", "jit-log-noopt:");
    for section in sections(&log) {
        let text = section.lines.join("\n") + "\n";
        let (header, body) = text.split_once('\n').expect("a header");
        assert!(header.starts_with("# Traced loop or bridge with"), "{header}");
        let trace = parse(body).unwrap_or_else(|error| panic!("{error}\n{body}"));
        assert_eq!(verify(&trace), Ok(()), "{body}");
        assert_eq!(trace.to_string(), body);
        assert!(!trace.roots.is_empty(), "{body}");
        assert_eq!(body.contains("guard_"), body.contains(") [j"), "{body}");
    }
}

#[test]
fn the_summary_counts_what_was_done() {
    let (log, stats) = logged("primes.b", "jit-summary:");
    let sections = sections(&log);
    let [summary] = &sections[..] else {
        panic!("only the summary was asked for: {log}")
    };
    assert_eq!(summary.category, "jit-summary");
    let value = |label: &str| {
        let line = summary.lines.iter().find(|line| line.starts_with(label));
        let (_, value) = line
            .and_then(|line| line.split_once(":\t").or(line.split_once("\t")))
            .expect(label);
        value
            .trim()
            .split('\t')
            .next()
            .expect("a value")
            .parse::<u64>()
            .expect("a number")
    };
    assert_eq!(value("Total # of loops"), stats.loops);
    assert_eq!(value("Total # of bridges"), stats.bridges);
    assert_eq!(value("opt ops"), stats.opt_ops);
    assert_eq!(value("recorded ops"), stats.recorded_ops);
}
