//! `PYPYLOG`: sections of text in the format of RPython's logs, so that PyPy's own tools read them.
//!
//! ```text
//! PYPYLOG=jit-log-opt,jit-summary:run.log     sections whose names begin with one of these
//! PYPYLOG=:run.log                            all sections
//! PYPYLOG=run.log                             the markers of all sections only: where time goes
//! PYPYLOG=jit-log:-                           to standard error; `%d` in a file's name is the process id
//! ```
//!
//! A section is `[time] {category` … `[time] category}`; sections nest strictly, and each is tested on its own name.
//!
//! The library prints nothing by itself. An error while writing ends the log; [`Log::finish`] reports it. Absent: deciding
//! what is worth a section, which is the engine's.
#![forbid(unsafe_code)]

mod jit;

pub use jit::{Counted, Counters, Summary, TraceKind, address_text, counts_text, dump_text, trace_text};

use std::cell::RefCell;
use std::env::VarError;
use std::ffi::OsString;
use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, BufWriter, LineWriter, Write};
use std::rc::Rc;
use std::time::Instant;

/// A value of `PYPYLOG` that cannot be used.
#[derive(Debug)]
pub enum LogError {
    /// No file name.
    NoFile,
    /// No section's name begins so.
    UnknownSection(String),
    /// Not UTF-8.
    NotUnicode(OsString),
    /// The file cannot be written.
    File(String, io::Error),
}

impl Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::NoFile => write!(
                f,
                "PYPYLOG names no file: 'prefix,prefix:file', ':file' or 'file' expected"
            ),
            LogError::UnknownSection(prefix) => write!(
                f,
                "PYPYLOG: no section's name begins with '{prefix}' (sections: {})",
                SECTIONS.join(", ")
            ),
            LogError::NotUnicode(value) => write!(f, "PYPYLOG: {value:?} is not UTF-8"),
            LogError::File(name, error) => write!(f, "PYPYLOG: cannot write '{name}': {error}"),
        }
    }
}

impl std::error::Error for LogError {}

/// The sections that RPython's logs know; not all of them are written here.
pub const SECTIONS: &[&str] = &[
    "gc-collect-done",
    "gc-collect-step",
    "gc-major",
    "gc-minor",
    "gc-minor-walkroots",
    "jit-abort",
    "jit-abort-longest-function",
    "jit-backend",
    "jit-backend-addr",
    "jit-backend-counts",
    "jit-backend-dump",
    "jit-disableinlining",
    "jit-invalidate-quasi-immutable",
    "jit-log-noopt",
    "jit-log-opt-bridge",
    "jit-log-opt-loop",
    "jit-log-short-preamble",
    "jit-mem-collect",
    "jit-mem-looptoken-alloc",
    "jit-mem-looptoken-free",
    "jit-optimize",
    "jit-regalloc-stats",
    "jit-summary",
    "jit-trace-done",
    "jit-tracing",
];

/// Which sections are written.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Selection {
    /// Their markers only, of all.
    Markers,
    /// Those whose names begin with one of these.
    Prefixes(Vec<String>),
}

struct Output {
    writer: Box<dyn Write>,
    error: Option<io::Error>,
}

/// An open log; clones write to the same file.
#[derive(Clone)]
pub struct Log {
    selection: Rc<Selection>,
    output: Rc<RefCell<Output>>,
    start: Instant,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("selection", &self.selection)
            .finish_non_exhaustive()
    }
}

impl Log {
    /// Opens the log that the environment variable `PYPYLOG` asks for; none where it is unset or empty.
    ///
    /// # Errors
    /// The value is not UTF-8, or names no file, or one that cannot be written, or a section that does not exist.
    pub fn from_env() -> Result<Option<Log>, LogError> {
        match std::env::var("PYPYLOG") {
            Ok(value) if !value.is_empty() => Log::open(&value).map(Some),
            Ok(_) | Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(value)) => Err(LogError::NotUnicode(value)),
        }
    }

    /// Opens the log that a value of `PYPYLOG` asks for.
    ///
    /// # Errors
    /// The value names no file, or one that cannot be written, or a section that does not exist.
    pub fn open(value: &str) -> Result<Log, LogError> {
        // as RPython does, at the first colon: no section has one in its name, but a file may
        let (selection, file) = match value.split_once(':') {
            None => (Selection::Markers, value),
            Some((prefixes, file)) => (
                Selection::Prefixes(prefixes.split(',').map(known_prefix).collect::<Result<_, _>>()?),
                file,
            ),
        };
        if file.is_empty() {
            return Err(LogError::NoFile);
        }
        if file == "-" {
            return Ok(Log::to(selection, Box::new(LineWriter::new(io::stderr()))));
        }
        let name = file.replace("%d", &std::process::id().to_string());
        match File::create(&name) {
            Ok(file) => Ok(Log::to(selection, Box::new(BufWriter::new(file)))),
            Err(error) => Err(LogError::File(name, error)),
        }
    }

    fn to(selection: Selection, writer: Box<dyn Write>) -> Log {
        let output = Rc::new(RefCell::new(Output { writer, error: None }));
        Log {
            selection: Rc::new(selection),
            output,
            start: Instant::now(),
        }
    }

    /// Whether the content of a section with this name is written.
    pub fn wants(&self, category: &str) -> bool {
        match &*self.selection {
            Selection::Markers => false,
            Selection::Prefixes(prefixes) => prefixes.iter().any(|prefix| category.starts_with(prefix.as_str())),
        }
    }

    /// Begins a section, which ends when the returned value is dropped.
    pub fn section(&self, category: &'static str) -> Section<'_> {
        debug_assert!(
            SECTIONS.contains(&category),
            "{category} is not in the list of sections"
        );
        let is_marked = *self.selection == Selection::Markers || self.wants(category);
        if is_marked {
            self.write(format_args!("[{:x}] {{{category}\n", self.ticks()));
        }
        Section {
            log: self,
            category,
            is_marked,
            has_content: self.wants(category),
        }
    }

    /// A section whose content is made only if it is written.
    pub fn write_section<T: Display>(&self, category: &'static str, content: impl FnOnce() -> T) {
        let section = self.section(category);
        if section.has_content {
            section.line(content());
        }
    }

    fn ticks(&self) -> u128 {
        self.start.elapsed().as_nanos()
    }

    fn write(&self, text: fmt::Arguments<'_>) {
        let output = &mut *self.output.borrow_mut();
        if output.error.is_none() {
            output.error = output.writer.write_fmt(text).err();
        }
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// The first error there was.
    pub fn finish(&self) -> io::Result<()> {
        let output = &mut *self.output.borrow_mut();
        match output.error.take() {
            Some(error) => Err(error),
            None => output.writer.flush(),
        }
    }
}

/// What sections' names are selected by.
fn known_prefix(prefix: &str) -> Result<String, LogError> {
    match SECTIONS.iter().any(|section| section.starts_with(prefix)) {
        true => Ok(prefix.to_owned()),
        false => Err(LogError::UnknownSection(prefix.to_owned())),
    }
}

/// A section that has begun.
#[must_use = "the section ends when this is dropped"]
#[derive(Debug)]
pub struct Section<'a> {
    log: &'a Log,
    category: &'static str,
    is_marked: bool,
    has_content: bool,
}

impl Section<'_> {
    /// Writes a line, or several; the last need not end in a newline.
    pub fn line(&self, text: impl Display) {
        if self.has_content {
            let text = text.to_string();
            self.log.write(format_args!("{}\n", text.trim_end_matches('\n')));
        }
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        if self.is_marked {
            self.log
                .write(format_args!("[{:x}] {}}}\n", self.log.ticks(), self.category));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written with a selection, without times.
    fn written(value: &str, work: impl FnOnce(&Log)) -> String {
        let folder = std::env::temp_dir().join(format!("metatrace-log-{}-{}", std::process::id(), value.len()));
        let path = format!("{}.{:?}", folder.display(), std::thread::current().id());
        let log = Log::open(&format!("{value}{path}")).expect("a temporary file can be written");
        work(&log);
        log.finish().expect("a temporary file can be written");
        let text = std::fs::read_to_string(&path).expect("the log was written");
        std::fs::remove_file(&path).expect("the log can be removed");
        let untimed = |line: &str| match line.strip_prefix('[').and_then(|line| line.split_once("] ")) {
            Some((time, rest)) if u64::from_str_radix(time, 16).is_ok() => rest.to_owned() + "\n",
            _ => line.to_owned() + "\n",
        };
        text.lines().map(untimed).collect()
    }

    fn nested(log: &Log) {
        let outer = log.section("jit-tracing");
        outer.line("outside");
        log.write_section("jit-log-opt-loop", || "inside");
    }

    #[test]
    fn every_section_is_tested_on_its_own_name() {
        assert_eq!(
            written("jit-log-opt,gc:", nested),
            "{jit-log-opt-loop\ninside\njit-log-opt-loop}\n"
        );
        assert_eq!(written("jit-t:", nested), "{jit-tracing\noutside\njit-tracing}\n");
        assert_eq!(
            written(":", nested),
            "{jit-tracing\noutside\n{jit-log-opt-loop\ninside\njit-log-opt-loop}\njit-tracing}\n"
        );
        assert_eq!(
            written("", nested),
            "{jit-tracing\n{jit-log-opt-loop\njit-log-opt-loop}\njit-tracing}\n"
        );
    }

    #[test]
    fn a_files_name_may_have_colons_and_the_process_in_it() {
        let folder = std::env::temp_dir();
        let name = format!(
            "{}/metatrace:log-%d-{:?}",
            folder.display(),
            std::thread::current().id()
        );
        let path = name.replace("%d", &std::process::id().to_string());
        let log = Log::open(&format!("jit:{name}")).expect("a temporary file can be written");
        log.write_section("jit-abort", || "too long");
        drop(log);
        let text = std::fs::read_to_string(&path).expect("the log was written when it was dropped");
        std::fs::remove_file(&path).expect("the log can be removed");
        assert!(text.contains("{jit-abort\ntoo long\n["), "{text}");
    }

    #[test]
    fn what_is_not_selected_is_not_made() {
        let written = written("jit-abort:", |log| {
            assert!(log.wants("jit-abort-longest-function") && !log.wants("jit-tracing"));
            log.write_section("jit-tracing", || -> &str { panic!("nobody asked for it") });
        });
        assert_eq!(written, "");
    }

    #[test]
    fn bad_values_are_errors() {
        assert!(matches!(Log::open("jit-log:"), Err(LogError::NoFile)));
        let error = Log::open("jit:/no/such/folder/log")
            .expect_err("no such folder")
            .to_string();
        assert!(error.contains("/no/such/folder/log"), "{error}");
        let error = Log::open("jit-log,jti-summary:log")
            .expect_err("no such section")
            .to_string();
        assert!(
            error.contains("'jti-summary'") && error.contains("jit-summary"),
            "{error}"
        );
    }
}
