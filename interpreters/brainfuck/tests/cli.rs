//! The `bf` binary: its options, messages, exit status and streams.

#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn bf() -> Command {
    Command::new(env!("CARGO_BIN_EXE_bf"))
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

fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("bf starts")
}

/// Status, standard output and standard error.
fn parts(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn check(command: &mut Command, status: i32, stdout: &str, stderr: &str) {
    assert_eq!(
        parts(&output(command)),
        (Some(status), stdout.into(), stderr.into()),
        "{command:?}"
    );
}

#[test]
fn runs_programs_in_every_way() {
    let greeting = "Hello, metatrace\n";
    check(bf().arg(own("hello.b")), 0, greeting, "");
    check(bf().arg("--optimize").arg(own("hello.b")), 0, greeting, "");
    check(bf().arg(own("hello.b")).args(["--jit", "off"]), 0, greeting, "");
    check(bf().arg(own("hello.b")).arg("--jit=off"), 0, greeting, "");
}

#[test]
fn help_and_version() {
    let (status, stdout, _) = parts(&output(bf().arg("--help")));
    assert_eq!(status, Some(0));
    for word in ["Usage: bf FILE", "--optimize", "--jit", "--version"] {
        assert!(stdout.contains(word), "{word}");
    }
    check(bf().arg("-V"), 0, concat!("bf ", env!("CARGO_PKG_VERSION"), "\n"), "");
}

#[test]
fn usage_errors() {
    check(&mut bf(), 2, "", "bf: missing argument FILE (`bf --help` tells more)\n");
    check(
        bf().args(["x.b", "--faster"]),
        2,
        "",
        "bf: invalid option '--faster' (`bf --help` tells more)\n",
    );
    check(
        bf().args(["x.b", "--jit"]),
        2,
        "",
        "bf: missing argument for option '--jit' (`bf --help` tells more)\n",
    );
}

#[test]
fn a_missing_file() {
    let (status, stdout, stderr) = parts(&output(bf().arg("no/such.b")));
    assert_eq!((status, stdout.as_str()), (Some(2), ""));
    assert!(stderr.starts_with("bf: cannot read no/such.b: "), "{stderr}");
}

#[test]
fn unbalanced_brackets() {
    let path = source_file("open.b", "+\n [[-]");
    check(
        bf().arg(&path),
        2,
        "",
        &format!("bf: {}:2:2: this `[` is never closed\n", path.display()),
    );
    let path = source_file("close.b", "+.]");
    check(
        bf().arg(&path),
        2,
        "",
        &format!("bf: {}:1:3: this `]` closes nothing\n", path.display()),
    );
}

#[test]
fn output_before_a_runtime_error_appears() {
    let path = source_file("left.b", "++++++++[>++++++++<-]>.<\n<");
    let message = format!("bf: {}:2:1: the pointer moved left of the first cell\n", path.display());
    check(bf().arg(&path), 1, "@", &message);
}

#[test]
fn a_prompt_appears_before_its_answer_is_read() {
    let path = source_file("prompt.b", "++++++++[>++++++++<-]>.,.");
    let mut child = bf()
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("bf starts");
    let mut stdout = child.stdout.take().expect("it is piped");
    let mut prompt = [0];
    stdout.read_exact(&mut prompt).expect("the prompt comes unasked");
    assert_eq!(&prompt, b"@");
    child
        .stdin
        .take()
        .expect("it is piped")
        .write_all(b"y")
        .expect("bf reads");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("bf writes text");
    assert_eq!((rest.as_str(), child.wait().expect("it ends").code()), ("y", Some(0)));
}

#[test]
fn a_closed_pipe_ends_the_run_quietly() {
    let path = source_file("forever.b", "+[.]");
    let mut child = bf()
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bf starts");
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
    let (status, _, stderr) = parts(&bf().arg(own("hello.b")).stdout(full).output().expect("bf starts"));
    assert_eq!(status, Some(1));
    assert!(stderr.starts_with("bf: cannot write output: "), "{stderr}");
}
