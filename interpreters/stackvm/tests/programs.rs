//! The programs in `programs/`, and small ones that show what the machine does and where it stops.

#![forbid(unsafe_code)]

use metatrace::JitDriver;
use stackvm::{Expected, Kind, Output, RuntimeError, Value, Vm, VmError, assemble};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}

/// Runs `source`; its outcome, and what it printed.
fn outcome(source: &str, arguments: &[i64]) -> (Result<Value, RuntimeError>, String) {
    let code = assemble(source).expect("it is a program");
    let mut vm = Vm::new(&code, arguments, Output::in_memory());
    let result = vm.execute(&JitDriver::new());
    (
        result,
        String::from_utf8(vm.into_output().into_bytes()).expect("it prints text"),
    )
}

/// Runs a function `main` without parameters of these instructions.
fn instructions(lines: &str) -> (Result<Value, RuntimeError>, String) {
    outcome(&format!("func main\n{lines}\nend"), &[])
}

fn check(name: &str, cases: &[(i64, Value)]) {
    let source = std::fs::read_to_string(folder().join(name).with_extension("svm")).expect("the program exists");
    for &(argument, expected) in cases {
        assert_eq!(outcome(&source, &[argument]).0, Ok(expected), "{name} {argument}");
    }
}

#[test]
fn sum() {
    check(
        "sum",
        &[
            (0, Value::Int(0)),
            (1, Value::Int(0)),
            (100_000, Value::Int(4_999_950_000)),
        ],
    );
}

#[test]
fn pi() {
    check(
        "pi",
        &[
            (0, Value::Float(0.0)),
            (1, Value::Float(4.0)),
            (100_000, Value::Float(3.1415826535897198)),
        ],
    );
}

#[test]
fn count() {
    check(
        "count",
        &[
            (-1, Value::Int(0)),
            (5, Value::Int(1)),
            (6, Value::Int(2)),
            (100_000, Value::Int(20_000)),
        ],
    );
}

#[test]
fn factorial() {
    check(
        "factorial",
        &[
            (0, Value::Int(1)),
            (5, Value::Int(120)),
            (20, Value::Int(2_432_902_008_176_640_000)),
        ],
    );
}

#[test]
fn fibonacci() {
    check(
        "fibonacci",
        &[
            (0, Value::Int(0)),
            (1, Value::Int(1)),
            (10, Value::Int(55)),
            (20, Value::Int(6765)),
        ],
    );
}

#[test]
fn dot() {
    let cases = [
        (0, Value::Float(0.0)),
        (3, Value::Float(5.5)),
        (1000, Value::Float(166_916_250.0)),
    ];
    check("dot", &cases);
}

#[test]
fn sieve() {
    check(
        "sieve",
        &[(0, Value::Int(0)), (3, Value::Int(1)), (10_000, Value::Int(1229))],
    );
    let source = std::fs::read_to_string(folder().join("sieve.svm")).expect("the program exists");
    assert_eq!(outcome(&source, &[20]).1, "2\n3\n5\n7\n11\n13\n17\n19\n");
}

#[test]
fn alias() {
    check(
        "alias",
        &[(0, Value::Int(0)), (3, Value::Int(6)), (10_000, Value::Int(50_005_000))],
    );
}

#[test]
fn every_program_has_a_test() {
    let tests = include_str!("programs.rs");
    for entry in std::fs::read_dir(folder()).expect("the folder exists") {
        let path = entry.expect("its entries can be read").path();
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("names are UTF-8");
        assert!(tests.contains(&format!("\"{name}\"")), "{name} has none");
    }
}

#[test]
fn printing() {
    let (result, output) = instructions(
        "LOAD_CONST -5\nPRINT\nLOAD_CONST 2.0\nPRINT\nLOAD_CONST true\nPRINT\nLOAD_CONST nil\nPRINT
         LOAD_CONST 2\nNEW_ARRAY\nSTORE_VAR a
         LOAD_VAR a\nLOAD_CONST 1\nLOAD_VAR a\nARRAY_SET
         LOAD_VAR a\nPRINT\nLOAD_VAR a\nARRAY_LEN\nRETURN",
    );
    assert_eq!(
        (result, output.as_str()),
        (Ok(Value::Int(2)), "-5\n2.0\ntrue\nnil\n[nil, [...]]\n")
    );
}

#[test]
fn stack_and_truth() {
    let cases = [
        ("LOAD_CONST 7\nDUP\nADD\nRETURN", Value::Int(14)),
        ("LOAD_CONST 1\nLOAD_CONST 2\nPOP\nRETURN", Value::Int(1)),
        ("LOAD_CONST true\nNOT\nRETURN", Value::Bool(false)),
        ("LOAD_CONST 1.5\nNEG\nRETURN", Value::Float(-1.5)),
        ("LOAD_CONST 1\nLOAD_CONST true\nNOT_EQUAL\nRETURN", Value::Bool(true)),
        ("LOAD_CONST 1\nLOAD_CONST 1.0\nEQUAL\nRETURN", Value::Bool(true)),
        (
            "LOAD_CONST 2\nLOAD_CONST 2.5\nGREATER_EQUAL\nRETURN",
            Value::Bool(false),
        ),
        ("LOAD_CONST 2\nLOAD_CONST 2\nLESS_EQUAL\nRETURN", Value::Bool(true)),
        ("LOAD_CONST 7\nLOAD_CONST 2\nDIV\nRETURN", Value::Int(3)),
        ("LOAD_CONST 7.0\nLOAD_CONST 2\nREM\nRETURN", Value::Float(1.0)),
    ];
    for (lines, expected) in cases {
        assert_eq!(instructions(lines).0, Ok(expected), "{lines}");
    }
}

/// A jump that is taken, one that is not, and one that goes back to itself's neighbour.
#[test]
fn jumps() {
    let choose = "func main n\nLOAD_VAR n\nLOAD_CONST 0\nLESS\nJUMP_IF_TRUE below\nLOAD_CONST 1\nRETURN
                  below: LOAD_CONST -1\nRETURN\nend";
    assert_eq!(outcome(choose, &[-3]).0, Ok(Value::Int(-1)));
    assert_eq!(outcome(choose, &[3]).0, Ok(Value::Int(1)));
    let hop = "JUMP there\nhere: LOAD_CONST 4\nRETURN\nthere: JUMP here";
    assert_eq!(instructions(hop).0, Ok(Value::Int(4)));
}

/// Arguments arrive in order, locals are fresh in every call, and operands that a callee leaves are dropped.
#[test]
fn calls() {
    let source =
        "func main\nLOAD_CONST 100\nLOAD_CONST 7\nLOAD_CONST 2\nCALL minus\nADD\nCALL fresh\nPRINT\nRETURN\nend
                  func minus a b\nLOAD_CONST 1\nSTORE_VAR x\nLOAD_CONST 5\nLOAD_VAR a\nLOAD_VAR b\nSUB\nRETURN\nend
                  func fresh\nLOAD_VAR x\nLOAD_CONST 1\nSTORE_VAR x\nRETURN\nend";
    assert_eq!(outcome(source, &[]), (Ok(Value::Int(105)), "nil\n".into()));
}

#[test]
fn errors_tell_their_place() {
    let source = "func main\n  LOAD_CONST 1\n  PRINT\n  LOAD_CONST 8\n  CALL half\n  RETURN\nend\n
                  func half n\n  LOAD_VAR n\n  LOAD_CONST 0\n\n  DIV\n  RETURN\nend";
    let (result, output) = outcome(source, &[]);
    let error = result.expect_err("it divides by 0");
    assert_eq!(
        (error.function.as_str(), error.line, error.instruction),
        ("half", 13, 2)
    );
    assert_eq!(error.to_string(), "13: in `half`: division by zero");
    assert_eq!(output, "1\n");
}

#[test]
fn errors_of_instructions() {
    let cases = [
        ("RETURN", VmError::StackUnderflow),
        ("LOAD_CONST 1\nADD\nRETURN", VmError::StackUnderflow),
        (
            "LOAD_CONST 9223372036854775807\nLOAD_CONST 1\nADD\nRETURN",
            VmError::IntOverflow,
        ),
        ("LOAD_CONST 1\nLOAD_CONST 0\nREM\nRETURN", VmError::DivisionByZero),
        (
            "LOAD_CONST nil\nLOAD_CONST 1\nADD\nRETURN",
            type_error(Expected::Number, Kind::Nil),
        ),
        ("LOAD_CONST 1\nNOT\nRETURN", type_error(Expected::Bool, Kind::Int)),
        (
            "LOAD_CONST 1\nJUMP_IF_TRUE on\non: LOAD_CONST 1\nRETURN",
            type_error(Expected::Bool, Kind::Int),
        ),
        (
            "LOAD_CONST 1.0\nNEW_ARRAY\nRETURN",
            type_error(Expected::Int, Kind::Float),
        ),
        (
            "LOAD_CONST true\nARRAY_LEN\nRETURN",
            type_error(Expected::Array, Kind::Bool),
        ),
        ("LOAD_CONST -1\nNEW_ARRAY\nRETURN", VmError::NegativeLength(-1)),
        ("LOAD_CONST 9223372036854775807\nNEW_ARRAY\nRETURN", VmError::ArraySpace),
        (
            "LOAD_CONST 2\nNEW_ARRAY\nLOAD_CONST 2\nARRAY_GET\nRETURN",
            VmError::Index { index: 2, length: 2 },
        ),
        (
            "LOAD_CONST 2\nNEW_ARRAY\nLOAD_CONST -1\nDUP\nARRAY_SET\nRETURN",
            VmError::Index { index: -1, length: 2 },
        ),
    ];
    for (lines, expected) in cases {
        let error = instructions(lines).0.expect_err("it fails");
        assert_eq!(error.error, expected, "{lines}");
    }
}

fn type_error(expected: Expected, found: Kind) -> VmError {
    VmError::Type { expected, found }
}

/// A callee cannot reach the operands of its caller.
#[test]
fn operands_of_callers_are_out_of_reach() {
    let source = "func main\nLOAD_CONST 1\nCALL thief\nRETURN\nend\nfunc thief\nPOP\nLOAD_CONST 2\nRETURN\nend";
    let error = outcome(source, &[]).0.expect_err("it takes what is not its own");
    assert_eq!(
        (error.error, error.function.as_str()),
        (VmError::StackUnderflow, "thief")
    );
}

/// Programs that would fill the memory end before they do.
#[test]
fn limits() {
    let cases = [
        (
            "func main\nagain: LOAD_CONST 1\nJUMP again\nend",
            VmError::StackOverflow,
        ),
        ("func main\nCALL main\nRETURN\nend", VmError::CallDepth),
        (
            "func main\nagain: LOAD_CONST 100000\nNEW_ARRAY\nPOP\nJUMP again\nend",
            VmError::ArraySpace,
        ),
    ];
    for (source, expected) in cases {
        assert_eq!(
            outcome(source, &[]).0.expect_err("it fails").error,
            expected,
            "{source}"
        );
    }
}

#[test]
fn everything_the_portal_reaches_stages() {
    let twins = metatrace::build_twins!(Vm::run).expect("it stages");
    assert!(twins.functions.len() > 10, "{twins}");
    // What is not looked into returns std's layout; nothing else may be.
    let mut accessors = twins.accessors.iter().map(|(name, _)| name);
    assert!(accessors.all(|name| name.contains("Result<")), "{twins}");
}
