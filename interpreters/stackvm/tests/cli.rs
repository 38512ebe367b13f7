//! The `stackvm` binary: its arguments, messages, exit status and streams.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn stackvm() -> Command {
    Command::new(env!("CARGO_BIN_EXE_stackvm"))
}

fn own(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(name)
}

/// A source file of this test run alone.
fn source_file(name: &str, source: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, source).expect("the scratch folder can be written");
    path
}

/// Status, standard output and standard error.
fn parts(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    parts(&command.output().expect("stackvm starts"))
}

fn check(command: &mut Command, status: i32, stdout: &str, stderr: &str) {
    assert_eq!(
        run(command),
        (Some(status), stdout.into(), stderr.into()),
        "{command:?}"
    );
}

#[test]
fn runs_programs_in_every_way() {
    check(stackvm().arg(own("sum.svm")).arg("10"), 0, "45\n", "");
    check(stackvm().arg(own("sum.svm")).arg("-10"), 0, "0\n", "");
    check(
        stackvm().arg(own("count.svm")).args(["11", "--jit", "off"]),
        0,
        "3\n",
        "",
    );
    check(
        stackvm().arg("--jit=off").arg(own("sieve.svm")).arg("6"),
        0,
        "2\n3\n5\n3\n",
        "",
    );
}

#[test]
fn help_and_version() {
    let (status, stdout, _) = run(stackvm().arg("--help"));
    assert_eq!(status, Some(0));
    for word in ["Usage: stackvm PROGRAM [ARG...]", "--jit", "--version"] {
        assert!(stdout.contains(word), "{word}");
    }
    check(
        stackvm().arg("-V"),
        0,
        concat!("stackvm ", env!("CARGO_PKG_VERSION"), "\n"),
        "",
    );
}

#[test]
fn usage_errors() {
    let more = "(`stackvm --help` tells more)";
    check(
        &mut stackvm(),
        2,
        "",
        &format!("stackvm: missing argument PROGRAM {more}\n"),
    );
    check(
        stackvm().arg("--faster"),
        2,
        "",
        &format!("stackvm: invalid option '--faster' {more}\n"),
    );
    let (status, stdout, stderr) = run(stackvm().arg(own("sum.svm")).arg("ten"));
    assert_eq!((status, stdout.as_str()), (Some(2), ""));
    assert!(stderr.starts_with("stackvm: cannot parse argument \"ten\""), "{stderr}");
}

#[test]
fn wrong_number_of_arguments() {
    let sum = own("sum.svm");
    let message = format!("stackvm: {} takes 1 argument (n), ", sum.display());
    check(stackvm().arg(&sum), 2, "", &format!("{message}0 given\n"));
    check(
        stackvm().arg(&sum).args(["1", "2"]),
        2,
        "",
        &format!("{message}2 given\n"),
    );
    let none = source_file("none.svm", "func main\nLOAD_CONST 1\nRETURN\nend");
    check(
        stackvm().arg(&none).arg("1"),
        2,
        "",
        &format!("stackvm: {} takes 0 arguments, 1 given\n", none.display()),
    );
}

#[test]
fn a_missing_file() {
    let (status, stdout, stderr) = run(stackvm().arg("no/such.svm"));
    assert_eq!((status, stdout.as_str()), (Some(2), ""));
    assert!(stderr.starts_with("stackvm: cannot read no/such.svm: "), "{stderr}");
}

#[test]
fn a_mistake_in_the_source() {
    let path = source_file("mistake.svm", "func main\n  ADDD\nend");
    check(
        stackvm().arg(&path),
        2,
        "",
        &format!("stackvm: {}:2:3: unknown instruction `ADDD`\n", path.display()),
    );
}

#[test]
fn output_before_a_runtime_error_appears() {
    let path = source_file("fails.svm", "func main\nLOAD_CONST 1\nPRINT\nRETURN\nend");
    let message = format!(
        "stackvm: {}:4: in `main`: too few operands on the stack\n",
        path.display()
    );
    check(stackvm().arg(&path), 1, "1\n", &message);
    let factorial = own("factorial.svm");
    let message = format!("stackvm: {}:14: in `main`: int overflow\n", factorial.display());
    check(stackvm().arg(&factorial).arg("21"), 1, "", &message);
}

#[test]
fn a_closed_pipe_ends_the_run_quietly() {
    let path = source_file("forever.svm", "func main\nagain: LOAD_CONST 1\nPRINT\nJUMP again\nend");
    let mut child = stackvm()
        .arg(&path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("stackvm starts");
    drop(child.stdout.take());
    let (status, _, stderr) = parts(&child.wait_with_output().expect("it ends"));
    assert_eq!((status, stderr.as_str()), (Some(1), ""));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .expect("Linux has it");
    let (status, _, stderr) = run(stackvm().arg(own("sum.svm")).arg("10").stdout(full));
    assert_eq!(status, Some(1));
    assert!(stderr.starts_with("stackvm: cannot write output: "), "{stderr}");
}
