//! The trace in a text: as it stands there, or in a section of a log.
//!
//! Lines keep their numbers, whatever part of a text is read, so that messages name the place in the file.

use metatrace_ir::text::parse_located;
use metatrace_ir::{Trace, verify};
use std::fmt::{self, Write as _};

/// Where and why a text is no well-formed trace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InputError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for InputError {}

/// A trace in a log.
#[derive(Debug)]
struct Section<'t> {
    category: &'t str,
    /// The first and last line of its body, from 0.
    lines: std::ops::Range<usize>,
}

/// The trace in a text; the `section`th from 1, if the text is a log.
///
/// # Errors
/// The text has no trace, or several of which none was chosen; or the trace cannot be parsed, or breaks an invariant.
pub fn trace(text: &str, section: Option<usize>) -> Result<Trace, InputError> {
    let chosen = choose(text, section)?;
    let (trace, op_lines) = parse_located(&chosen).map_err(|error| InputError {
        line: error.line,
        column: error.column,
        message: error.message,
    })?;
    verify(&trace).map_err(|error| {
        let line = match &error.op {
            Some((op, _)) => op_lines.get(*op).copied(),
            None => chosen
                .lines()
                .position(|line| line.trim_start().starts_with('['))
                .map(|n| n + 1),
        };
        let line = line.unwrap_or(1);
        let indented = chosen
            .lines()
            .nth(line - 1)
            .map_or(0, |text| text.len() - text.trim_start().len());
        InputError {
            line,
            column: indented + 1,
            message: error.message,
        }
    })?;
    Ok(trace)
}

/// Whether the text has the log's form: its descriptors stand where they are used.
pub fn is_log_form(text: &str) -> bool {
    text.split("descr=<").skip(1).any(|descr| !descr.starts_with("Guard"))
}

/// The text with nothing but the trace that is meant, in its lines.
fn choose(text: &str, section: Option<usize>) -> Result<String, InputError> {
    let given: Vec<&str> = text.lines().take_while(|line| *line != "---").collect();
    let only = |range: std::ops::Range<usize>| {
        let kept = given
            .iter()
            .enumerate()
            .map(|(n, line)| if range.contains(&n) { line } else { "" });
        kept.collect::<Vec<_>>().join("\n")
    };
    let error = |line: usize, message: String| InputError {
        line: line + 1,
        column: 1,
        message,
    };
    if !given.iter().any(|line| marker(line).is_some()) {
        return match section {
            None | Some(1) => Ok(only(0..given.len())),
            Some(_) => Err(error(0, "this is one trace, and no log with sections".to_owned())),
        };
    }
    let sections = sections(&given);
    match (section, &sections[..]) {
        (_, []) => Err(error(
            0,
            "no trace is in this log: PYPYLOG=jit-log-noopt:FILE writes them".to_owned(),
        )),
        (None, [single]) => Ok(only(single.lines.clone())),
        (None, several) => {
            let mut message = format!("{} traces are in this log: choose one with --section N", several.len());
            for (n, section) in several.iter().enumerate() {
                let header = given[section.lines.clone()]
                    .first()
                    .map_or("", |line| line.trim_start_matches(['#', ' ']));
                let _ = write!(message, "\n{:>6}  {}: {header}", n + 1, section.category);
            }
            Err(error(several[1].lines.start, message))
        }
        (Some(n), sections) => match n.checked_sub(1).and_then(|n| sections.get(n)) {
            Some(section) => Ok(only(section.lines.clone())),
            None => Err(error(
                0,
                format!("no section {n}: {} traces are in this log", sections.len()),
            )),
        },
    }
}

/// The sections with traces; one that does not end goes to the end of the text.
fn sections<'t>(lines: &[&'t str]) -> Vec<Section<'t>> {
    let mut sections: Vec<Section<'t>> = Vec::new();
    let mut open = false;
    for (n, line) in lines.iter().enumerate() {
        let Some(marker) = marker(line) else { continue };
        if open && let Some(last) = sections.last_mut() {
            last.lines.end = n;
        }
        open = marker
            .strip_prefix('{')
            .is_some_and(|category| category.starts_with("jit-log-"));
        if open {
            sections.push(Section {
                category: &marker[1..],
                lines: n + 1..lines.len(),
            });
        }
    }
    sections
}

/// What stands behind the time in `[time] {category` and `[time] category}`.
fn marker(line: &str) -> Option<&str> {
    let (time, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let is_time = !time.is_empty() && time.bytes().all(|c| c.is_ascii_hexdigit());
    (is_time && (rest.starts_with('{') || rest.ends_with('}'))).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use metatrace_ir::random::Random;

    const ONE: &str = "# root p0 = exclusive\n[p0, i1]\n\n  i2 = int_add(i1, 1)\nfinish() [i2]\n";

    fn message(text: &str, section: Option<usize>) -> String {
        trace(text, section).expect_err("no trace").to_string()
    }

    #[test]
    fn what_the_verifier_finds_has_a_place() {
        assert!(trace(ONE, None).is_ok());
        let undefined = ONE.replace("(i1, 1)", "(p0, 1)");
        assert_eq!(message(&undefined, None), "4:3: p0 is not of kind Int");
        assert_eq!(
            message("\n[f0]\n", None),
            "2:1: the trace does not end in jump or finish"
        );
        assert_eq!(
            message("# root f0 = green\n[f0]\nfinish() []", None),
            "2:1: a root is a float"
        );
    }

    #[test]
    fn what_cannot_be_parsed_has_a_place() {
        let unknown = ONE.replace("int_add", "int_sum");
        assert_eq!(message(&unknown, None), "4:8: no operation has the name 'int_sum'");
        assert_eq!(message("", None), "1:1: no line of inputs, as [i0, p1]");
    }

    fn log(bodies: &[(&str, &str)]) -> String {
        let section = |(category, body): &(&str, &str)| format!("[1a] {{{category}\n{body}[1b] {category}}}\n");
        bodies.iter().map(section).collect()
    }

    #[test]
    fn sections_of_logs_are_chosen() {
        let other = ONE.replace("int_add", "int_sub");
        let text = log(&[
            ("jit-tracing", ""),
            ("jit-log-noopt", ONE),
            ("jit-backend-dump", "CODE_DUMP @1 +0 90\n"),
            ("jit-log-opt-loop", &other),
        ]);
        assert_eq!(trace(&text, Some(1)), trace(ONE, None));
        assert_eq!(trace(&text, Some(2)), trace(&other, None));
        let several = message(&text, None);
        assert!(
            several.contains("2 traces are in this log: choose one with --section N"),
            "{several}"
        );
        assert!(several.contains("\n     2  jit-log-opt-loop: root p0"), "{several}");
        assert_eq!(message(&text, Some(3)), "1:1: no section 3: 2 traces are in this log");
        assert!(message(&log(&[("jit-backend", "")]), None).contains("no trace"));
        assert_eq!(trace(&log(&[("jit-log-noopt", ONE)]), None), trace(ONE, None));
        let broken = log(&[("jit-log-noopt", ONE), ("jit-log-noopt", &ONE.replace("i2]", "i3]"))]);
        assert_eq!(message(&broken, Some(2)), "13:11: i3 is not defined before this line");
    }

    #[test]
    fn what_is_expected_is_not_read() {
        assert_eq!(trace(&format!("{ONE}---\nnonsense"), None), trace(ONE, None));
    }

    /// Mistakes anywhere give a message, or another trace that the optimiser takes.
    #[test]
    fn no_text_makes_anything_panic() {
        let text = include_str!("../../../tests/traces/heap/interpreter_step.trace");
        let mut random = Random(7);
        for _ in 0..3000 {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..=random.below(3) {
                let (at, other) = (random.below(bytes.len()), random.below(bytes.len()));
                match random.below(3) {
                    0 => bytes[at] = bytes[other],
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, bytes[other]),
                }
            }
            if let Ok(trace) = trace(&String::from_utf8_lossy(&bytes), None) {
                metatrace_opt::optimize(&trace, &metatrace_opt::Options::default());
            }
        }
    }
}
