//! The texts of the JIT's sections.

use metatrace_ir::text::{Offsets, PrintOptions, Style};
use metatrace_ir::{TargetToken, Trace};
use std::fmt;

/// What a trace is, for its header.
#[derive(Clone, Debug)]
pub enum TraceKind {
    /// What was recorded.
    Recorded,
    /// A loop: its number and location.
    Loop(u32, String),
    /// A bridge: the guard's number.
    Bridge(u32),
}

/// The body of `jit-log-noopt`, `jit-log-opt-loop` and `jit-log-opt-bridge`. What was recorded is in the full form, which
/// `trace-opt` takes as it is: PyPy's tools read the compiled ones only.
pub fn trace_text(trace: &Trace, kind: &TraceKind, offsets: Option<Offsets<'_>>) -> String {
    let count = trace.ops.len();
    let header = match kind {
        TraceKind::Recorded => format!("# Traced loop or bridge with {count} ops"),
        TraceKind::Loop(number, location) => {
            format!("# Loop {number} ({}) : loop with {count} ops", plain(location))
        }
        TraceKind::Bridge(guard) => format!("# bridge out of Guard {guard:#x} with {count} ops"),
    };
    let style = match kind {
        TraceKind::Recorded => Style::Full,
        TraceKind::Loop(..) | TraceKind::Bridge(_) => Style::Log,
    };
    let body = trace.print(&PrintOptions { style, offsets });
    let end = if offsets.is_some() { "" } else { "--end of the loop--\n" };
    let end = if matches!(kind, TraceKind::Recorded) { "" } else { end };
    format!("{header}\n{body}{end}")
}

/// A location as the header can bear it: the reader takes `Guard` for a bridge's header, and splits at commas.
fn plain(location: &str) -> String {
    location
        .replace("Guard", "guard")
        .replace(',', ".")
        .replace(['\n', '#'], " ")
}

/// The body of `jit-backend-dump`: the code's bytes.
pub fn dump_text(address: u64, code: &[u8]) -> String {
    let bytes: String = code.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("BACKEND x86_64\nSYS_EXECUTABLE metatrace\nCODE_DUMP @{address:x} +0  {bytes}")
}

/// The body of `jit-backend-addr`: where a trace's code lies.
pub fn address_text(kind: &TraceKind, address: u64, size: usize) -> String {
    let end = address + size as u64;
    match kind {
        TraceKind::Loop(number, location) => {
            let location = plain(location);
            format!("Loop {number} ({location}) has address {address:#x} to {end:#x} (bootstrap {address:#x})")
        }
        TraceKind::Bridge(guard) => format!("bridge out of Guard {guard:#x} has address {address:#x} to {end:#x}"),
        TraceKind::Recorded => format!("a recording has address {address:#x} to {end:#x}"),
    }
}

/// What was entered, in `jit-backend-counts`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counted {
    /// A loop from its start: its number.
    Entry(u32),
    /// A label.
    Label(TargetToken),
    /// A bridge: the guard's number.
    Bridge(u32),
}

/// The body of `jit-backend-counts`: how often each was entered.
pub fn counts_text(counts: impl IntoIterator<Item = (Counted, u64)>) -> String {
    let line = |(counted, count)| match counted {
        Counted::Entry(number) => format!("entry {number}:{count}\n"),
        Counted::Label(token) => format!("TargetToken({}):{count}\n", token.0),
        Counted::Bridge(guard) => format!("bridge {guard}:{count}\n"),
    };
    counts.into_iter().map(line).collect()
}

/// How often something was done, and how long it took in all.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counters {
    /// How often.
    pub count: u64,
    /// Nanoseconds.
    pub ns: u64,
}

/// The body of `jit-summary`.
#[derive(Clone, Copy, Default, Debug)]
#[allow(missing_docs, reason = "the fields bear the summary's own labels")]
pub struct Summary {
    pub tracing: Counters,
    pub backend: Counters,
    pub total_ns: u64,
    pub ops: u64,
    pub heapcached_ops: u64,
    pub recorded_ops: u64,
    pub calls: u64,
    pub guards: u64,
    pub opt_ops: u64,
    pub opt_guards: u64,
    pub abort_too_long: u64,
    pub abort_compiling: u64,
    pub abort_bad_loop: u64,
    pub loops: u64,
    pub bridges: u64,
    pub freed_loops: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ns: u64| ns as f64 / 1e9;
        writeln!(
            f,
            "Tracing:         \t{}\t{:.6}",
            self.tracing.count,
            seconds(self.tracing.ns)
        )?;
        writeln!(
            f,
            "Backend:         \t{}\t{:.6}",
            self.backend.count,
            seconds(self.backend.ns)
        )?;
        writeln!(f, "TOTAL:           \t\t{:.6}", seconds(self.total_ns))?;
        for (label, value) in [
            ("ops", self.ops),
            ("heapcached ops", self.heapcached_ops),
            ("recorded ops", self.recorded_ops),
            ("  calls", self.calls),
            ("guards", self.guards),
            ("opt ops", self.opt_ops),
            ("opt guards", self.opt_guards),
            ("opt guards shared", 0),
            ("forcings", 0),
            ("abort: trace too long", self.abort_too_long),
            ("abort: compiling", self.abort_compiling),
            ("abort: vable escape", 0),
            ("abort: bad loop", self.abort_bad_loop),
            ("abort: force quasi-immut", 0),
            ("abort: segmenting trace", 0),
            ("virtualizables forced", 0),
            ("nvirtuals", 0),
            ("nvholes", 0),
            ("nvreused", 0),
            ("vecopt tried", 0),
            ("vecopt success", 0),
            ("Total # of loops", self.loops),
            ("Total # of bridges", self.bridges),
            ("Freed # of loops", self.freed_loops),
            ("Freed # of bridges", 0),
        ] {
            writeln!(f, "{:<17}\t{value}", format!("{label}:"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_what_the_reader_looks_for() {
        let trace = metatrace_ir::text::parse("[i0]\nfinish() []\n").expect("a trace");
        let text = trace_text(&trace, &TraceKind::Loop(3, "f, Guard #1".into()), None);
        assert!(
            text.starts_with("# Loop 3 (f. guard  1) : loop with 1 ops\n[i0]\n"),
            "{text}"
        );
        assert!(text.ends_with("--end of the loop--\n"), "{text}");
        let text = trace_text(&trace, &TraceKind::Bridge(42), None);
        assert!(text.starts_with("# bridge out of Guard 0x2a with 1 ops\n"), "{text}");
    }

    #[test]
    fn counts_bear_decimal_numbers() {
        let counts = [
            (Counted::Entry(0), 1),
            (Counted::Label(TargetToken(4096)), 1000),
            (Counted::Bridge(42), 200),
        ];
        assert_eq!(
            counts_text(counts),
            "entry 0:1\nTargetToken(4096):1000\nbridge 42:200\n"
        );
    }

    #[test]
    fn the_summary_has_the_lines_that_are_matched_by_position() {
        let text = Summary {
            loops: 7,
            ..Summary::default()
        }
        .to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 28);
        assert_eq!(lines[3], "ops:             \t0");
        assert_eq!(lines[24], "Total # of loops:\t7");
    }
}
