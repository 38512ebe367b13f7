//! The `trace-opt` binary: its options, messages, exit status and streams.
#![forbid(unsafe_code)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const GIVEN: &str = "\
# root p0 = exclusive
# descr Frame.pc = field(offset=8, u64, frozen)
[p0, i1]
i2 = getfield_gc_i(p0, descr=Frame.pc)
i3 = int_add(i2, 0)
i4 = getfield_gc_i(p0, descr=Frame.pc)
i5 = int_sub(i3, i4)
finish() [i2, i5]
";
const OPTIMIZED: &str = "\
# root p0 = exclusive
# descr Frame.pc = field(offset=8, u64, frozen)
[p0, i1]
i2 = getfield_gc_i(p0, descr=Frame.pc)
finish() [i2, 0]
";

/// Status, standard output and standard error of a run on this input.
fn run(arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_trace-opt"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("trace-opt starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    // who finds a mistake in its arguments reads nothing
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("the scratch folder can be written");
    path
}

fn ok(stdout: &str) -> (Option<i32>, String, String) {
    (Some(0), stdout.to_owned(), String::new())
}

#[test]
fn reads_standard_input_or_a_file() {
    assert_eq!(run(&[], GIVEN), ok(OPTIMIZED));
    assert_eq!(run(&["-"], GIVEN), ok(OPTIMIZED));
    let file = file("given.trace", GIVEN);
    assert_eq!(run(&[file.to_str().expect("a plain name")], ""), ok(OPTIMIZED));
}

#[test]
fn what_it_prints_it_reads_again() {
    assert_eq!(run(&["--passes", "none"], GIVEN), ok(GIVEN));
    assert_eq!(run(&[], OPTIMIZED), ok(OPTIMIZED));
}

#[test]
fn passes_are_chosen() {
    let (status, stdout, _) = run(&["--passes", "heap"], GIVEN);
    assert_eq!(status, Some(0));
    assert!(stdout.contains("i4 = int_sub(i3, i2)"), "{stdout}");
    let (_, stdout, _) = run(&["--passes=fold"], GIVEN);
    assert!(stdout.contains("i4 = int_sub(i2, i3)"), "{stdout}");
}

#[test]
fn statistics_count_rules() {
    let (status, stdout, stderr) = run(&["--stats"], GIVEN);
    assert_eq!((status, &stdout[..]), (Some(0), OPTIMIZED));
    assert!(stderr.starts_with("5 operations became 2\n"), "{stderr}");
    for line in ["      1 forward_load\n", "      1 add_zero\n"] {
        assert!(stderr.contains(line), "{stderr}");
    }
}

#[test]
fn checking_reports_what_was_compared() {
    let (status, stdout, stderr) = run(&["--check", "50"], GIVEN);
    assert_eq!(status, Some(0));
    assert!(stdout.ends_with("finish(descr=<Guard0x0>) [i2, 0]\n"), "{stdout}");
    assert!(
        stderr.starts_with("no difference in 50 worlds (0 undefined): "),
        "{stderr}"
    );
    assert!(stderr.ends_with("1 of 1 exits reached\n"), "{stderr}");
}

#[test]
fn loops_are_peeled() {
    let text = "[i0]\nlabel(i0, descr=TargetToken(7))\ni1 = int_add(i0, 1)\ni2 = int_lt(i1, 9)\nguard_true(i2) [i1]\n\
                jump(i1, descr=TargetToken(7))\n";
    let (status, stdout, stderr) = run(&["--peel", "--check", "20"], text);
    assert_eq!(status, Some(0), "{stderr}");
    assert!(
        stdout.contains("jump(i") && stdout.contains("descr=TargetToken(8))\n"),
        "{stdout}"
    );
    let (_, stdout, _) = run(&[], text);
    assert!(!stdout.contains("TargetToken(8)"), "{stdout}");
}

#[test]
fn verifying_prints_nothing() {
    assert_eq!(run(&["--verify"], GIVEN), ok(""));
    let invalid = GIVEN.replace("int_sub(i3, i4)", "int_sub(i3, p0)");
    let message = "trace-opt: standard input:7:1: p0 is not of kind Int\n";
    assert_eq!(
        run(&["--verify"], &invalid),
        (Some(1), String::new(), message.to_owned())
    );
    assert_eq!(run(&[], &invalid), (Some(1), String::new(), message.to_owned()));
}

#[test]
fn mistakes_have_a_place_and_nothing_is_printed() {
    let failing = |arguments: &[&str], input: &str, status, message: &str| {
        let (got, stdout, stderr) = run(arguments, input);
        assert_eq!((got, &stdout[..]), (Some(status), ""), "{stderr}");
        assert!(
            stderr.starts_with("trace-opt: ") && stderr.contains(message),
            "{stderr}"
        );
    };
    failing(
        &[],
        &GIVEN.replace("int_add(i2", "int_add(i9"),
        1,
        "standard input:5:14: i9 is not defined",
    );
    failing(&[], &GIVEN.replace("u64", "u63"), 1, ":2:47: what does it hold?");
    failing(&["/nowhere/x.trace"], "", 1, "cannot read /nowhere/x.trace: ");
    failing(&["--passes", "haep"], GIVEN, 2, "no pass is called 'haep'");
    failing(&["--frobnicate"], GIVEN, 2, "invalid option '--frobnicate'");
    failing(
        &[],
        "[1f] {jit-backend\n[20] jit-backend}\n",
        1,
        "no trace is in this log",
    );
    failing(&[], "i0 = int_add(1, 2)\n", 1, ":1:1: expected the line of inputs");
    failing(
        &[],
        "[i0]\ni1 = call_pure_i(ConstClass(ll_div), i0)\n",
        1,
        "write it as a number",
    );
    let sunk = "[i0]\nsunk i1 = int_neg(i0)\nguard_true(i0) [i1]\nfinish() []\n";
    assert_eq!(run(&["--verify"], sunk), ok(""));
    failing(&[], sunk, 1, "sunk operations, so it is optimised already");
}

#[test]
fn the_form_of_compiled_traces_says_what_it_lost() {
    let text = "[p0]\n+4: i1 = getfield_gc_i(p0, descr=<FieldU Frame.pc 8 pure>)\n+9: finish() [p0, i1]\n";
    let (status, stdout, stderr) = run(&[], text);
    assert_eq!(status, Some(0));
    assert!(
        stdout.contains("# descr Frame.pc = field(offset=8, u64, frozen)"),
        "{stdout}"
    );
    assert!(
        stderr.contains("roots, frames and green constants are lost"),
        "{stderr}"
    );
}

#[test]
fn help_names_the_passes() {
    let (status, stdout, _) = run(&["--help"], "");
    assert_eq!(status, Some(0));
    for word in ["Usage: trace-opt", "--section", "guards", "fold", "pure", "heap"] {
        assert!(stdout.contains(word), "{word}");
    }
    assert_eq!(
        run(&["-V"], ""),
        ok(concat!("trace-opt ", env!("CARGO_PKG_VERSION"), "\n"))
    );
}
