//! Whole programs, in both forms, against their expected output: those in `programs/`, and, where a folder of public ones
//! stands beside the repository, the fast of those.

#![forbid(unsafe_code)]

use brainfuck::{Error, Form, Io, Program, TapeEnd, run};
use metatrace::JitDriver;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const BOTH: [Form; 2] = [Form::Plain, Form::Optimized];

/// Runs `source`; its outcome, and its output.
fn outcome(source: &[u8], form: Form, input: &[u8]) -> (Result<(), Error>, Vec<u8>) {
    let program = Program::parse(source, form).expect("brackets match");
    let mut io = Io::in_memory(input);
    (run(&JitDriver::new(), &program, &mut io), io.into_output())
}

/// Runs `NAME.b` of `folder` on `NAME.in`, if that exists, and expects `NAME.out`.
fn check(folder: &Path, name: &str, forms: &[Form]) {
    let read = |extension| std::fs::read(folder.join(name).with_extension(extension));
    let source = read("b").expect("the program exists");
    let expected = read("out").expect("its output exists");
    let input = match read("in") {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        input => input.expect("its input can be read"),
    };
    for &form in forms {
        let (result, output) = outcome(&source, form, &input);
        result.expect("it runs to its end");
        assert_eq!(
            String::from_utf8_lossy(&output),
            String::from_utf8_lossy(&expected),
            "{name}, {form:?}"
        );
    }
}

fn check_own(name: &str) {
    check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("programs"), name, &BOTH);
}

/// Does nothing where the folder is absent.
fn check_public(name: &str, forms: &[Form]) {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "..", "..", "shared", "bf"]
        .iter()
        .collect();
    if folder.is_dir() {
        check(&folder, name, forms);
    }
}

#[test]
fn hello() {
    check_own("hello");
}

#[test]
fn cat() {
    check_own("cat");
}

#[test]
fn reverse() {
    check_own("reverse");
}

#[test]
fn fibonacci() {
    check_own("fibonacci");
}

#[test]
fn primes() {
    check_own("primes");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "six seconds in a debug build")]
fn e() {
    check_own("e");
}

#[test]
fn public_squares() {
    check_public("squares", &BOTH);
}

#[test]
fn public_sierpinski() {
    check_public("sierpinski", &BOTH);
}

#[test]
fn public_hanoi() {
    check_public("hanoi", &[Form::Optimized]);
}

#[test]
fn every_program_has_a_test() {
    let tests = include_str!("programs.rs");
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")).expect("the folder exists") {
        let path = entry.expect("its entries can be read").path();
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("names are UTF-8");
        assert!(tests.contains(&format!("check_own(\"{name}\")")), "{name} has none");
    }
}

/// Expects a tape error at `end`, `line:column`, and the output `.` before it.
fn check_tape_error(source: &str, expected: TapeEnd, places: [&str; 2]) {
    for (form, place) in BOTH.into_iter().zip(places) {
        let (result, output) = outcome(source.as_bytes(), form, b".");
        match result.expect_err("the pointer leaves the tape") {
            Error::Tape { end, position } => {
                assert_eq!((end, position.to_string().as_str()), (expected, place), "{form:?}");
            }
            other => panic!("{other}"),
        }
        assert_eq!(output, b".", "{form:?}");
    }
}

fn to_the_last_cell() -> String {
    ">".repeat(29_999)
}

#[test]
fn left_end() {
    check_tape_error(",.\n ><<", TapeEnd::Left, ["2:4", "2:3"]);
}

#[test]
fn right_end() {
    let source = format!(",.\n{}\n >", to_the_last_cell());
    check_tape_error(&source, TapeEnd::Right, ["3:2", "2:1"]);
}

#[test]
fn ends_inside_folded_loops() {
    check_tape_error(",.[-<+>]", TapeEnd::Left, ["1:5", "1:3"]);
    let source = format!(",.{}+\n[->+<]", to_the_last_cell());
    check_tape_error(&source, TapeEnd::Right, ["2:3", "2:1"]);
}

#[test]
fn the_outermost_cells_are_usable() {
    let source = format!("+.{}<[->+<]>+.", to_the_last_cell());
    for form in BOTH {
        let (result, output) = outcome(source.as_bytes(), form, b"");
        assert_eq!((result.is_ok(), output), (true, vec![1, 1]), "{form:?}");
    }
}

#[test]
fn a_folded_loop_that_runs_no_round_checks_no_end() {
    for form in BOTH {
        let (result, output) = outcome(b"[-<+>]+.", form, b"");
        assert_eq!((result.is_ok(), output), (true, vec![1]), "{form:?}");
    }
}

#[test]
fn cells_wrap_and_the_end_of_input_reads_as_zero() {
    for form in BOTH {
        let (result, output) = outcome(b"-.+.+,.,.", form, b"x");
        assert_eq!((result.is_ok(), output), (true, vec![255, 0, b'x', 0]), "{form:?}");
    }
}

/// Multiplying loops that count down, count up and wrap, from every value of their cell.
#[test]
fn folded_loops_compute_what_plain_ones_do() {
    for source in [
        ",[->+>+++<<]>.>.",
        ",>+++<[>->++<<+]>.>.",
        ">>,[<+<-->>-]<.<.>>.",
        ",[>+++<-]>[<+>-]<.",
    ] {
        for cell in 0..=u8::MAX {
            let (plain, expected) = outcome(source.as_bytes(), Form::Plain, &[cell]);
            let (optimized, output) = outcome(source.as_bytes(), Form::Optimized, &[cell]);
            assert_eq!((plain.is_ok(), optimized.is_ok()), (true, true), "{source} {cell}");
            assert_eq!(output, expected, "{source} {cell}");
        }
    }
}

/// Numbers without a pattern, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A program of runs, outputs, and loops that step by one and touch other cells on both sides. All loops end.
fn random_program(random: &mut Random) -> String {
    let mut source = ">>>".to_owned();
    for _ in 0..12 {
        match random.below(8) {
            0 => source.push_str(".>.>.<<"),
            1 => source.push('>'),
            2 => source.push('<'),
            3..5 => source.push_str(&"+".repeat(random.below(9) as usize)),
            5 => source.push_str("-+--"),
            _ => {
                let (right, left) = (random.below(4) as usize, random.below(4) as usize);
                let step = ["+", "-"][random.below(2) as usize];
                // An addition at the cell itself would change the step.
                let at_right = ["", "+", "--", "+-"][if right == 0 { 0 } else { random.below(4) as usize }];
                let at_left = ["", "-", "+++"][if right == left { 0 } else { random.below(3) as usize }];
                let (away, back) = (">".repeat(right), "<".repeat(left));
                let home = if left > right {
                    ">".repeat(left - right)
                } else {
                    "<".repeat(right - left)
                };
                source.push_str(&format!("[{away}{at_right}{back}{at_left}{home}{step}]"));
            }
        }
    }
    source + ".<.<."
}

#[test]
fn random_programs_do_the_same_in_both_forms() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut failed = 0;
    for _ in 0..2000 {
        let source = random_program(&mut random);
        let (plain, expected) = outcome(source.as_bytes(), Form::Plain, b"");
        let (optimized, output) = outcome(source.as_bytes(), Form::Optimized, b"");
        assert_eq!((optimized.is_ok(), output), (plain.is_ok(), expected), "{source}");
        failed += usize::from(plain.is_err());
    }
    assert!(
        (200..1800).contains(&failed),
        "{failed} runs left the tape: too few or too many to tell anything"
    );
}

#[test]
fn everything_the_portal_reaches_stages() {
    let twins = metatrace::build_twins!(brainfuck::interpret).expect("it stages");
    assert_eq!(*twins.functions[0], *"interpret", "{twins}");
    // What `Io` returns is std's layout; nothing else may be.
    let mut accessors = twins.accessors.iter().map(|(name, _)| name);
    assert!(accessors.all(|name| name.contains("Result<")), "{twins}");
}
