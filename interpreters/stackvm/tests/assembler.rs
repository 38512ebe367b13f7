//! What the assembler accepts, what it makes of it, and what it says of the rest.

#![forbid(unsafe_code)]

use stackvm::{Op, assemble};

#[test]
fn names_become_numbers_and_loops_close_with_a_jump_back() {
    let code = assemble(
        "const ONE 1 ; a comment
         func main n
         again: LOAD_VAR n
             JUMP_IF_FALSE done
             CALL next
             STORE_VAR x
             JUMP again
         done:
             LOAD_CONST ONE
             RETURN
         end
         func next
             JUMP on
         on: LOAD_CONST 2.5e3
             RETURN
         end",
    )
    .expect("it is a program");
    let expected = [
        Op::LoadVar(0),
        Op::JumpIfFalse(5),
        Op::Call(1),
        Op::StoreVar(1),
        Op::JumpBack(0),
        Op::LoadConst(0),
        Op::Return,
    ];
    assert_eq!(code.main().ops(), expected);
    assert_eq!(code.main().parameters(), ["n"]);
    assert_eq!(code.main().line(5), 9);
    assert_eq!(code.functions()[1].ops(), [Op::Jump(1), Op::LoadConst(0), Op::Return]);
}

#[test]
fn mistakes_in_a_program() {
    let cases = [
        ("", "1:1: there is no function `main`"),
        ("func f\nRETURN\nend", "3:1: there is no function `main`"),
        ("\n  RETURN", "2:3: `RETURN` outside a function"),
        ("end", "1:1: `end` outside a function"),
        ("func", "1:1: `func` takes a name"),
        ("func 5", "1:6: `5` is not a name"),
        ("func main\nRETURN", "1:6: function `main` has no `end`"),
        (
            "func main\nRETURN\nfunc g",
            "3:1: `func` inside function `main`: its `end` is missing",
        ),
        ("func main\nRETURN\nend main", "3:5: `end` stands alone"),
        (
            "func main\nRETURN\nend\nfunc main",
            "4:6: function `main` is already defined",
        ),
        ("func main a b a", "1:15: there are two parameters `a`"),
        ("const X", "1:1: `const` takes a name and a value"),
        ("const X Y", "1:9: there is no constant `Y` above"),
        ("const nil 5", "1:7: `nil` is a value, not a name"),
        ("const X 1\nconst X 2", "2:7: constant `X` is already defined"),
    ];
    for (source, expected) in cases {
        assert_eq!(assemble(source).expect_err(source).to_string(), expected, "{source}");
    }
}

/// Each stands in a function `main`, whose first line is line 2.
#[test]
fn mistakes_in_a_function() {
    let cases = [
        ("  FETCH 1", "2:3: unknown instruction `FETCH`"),
        ("é: FETCH", "2:4: unknown instruction `FETCH`"),
        ("ADD 1", "2:5: ADD takes no operand"),
        ("LOAD_CONST", "2:1: LOAD_CONST takes an operand"),
        ("LOAD_CONST 1 2", "2:14: LOAD_CONST takes one operand"),
        ("LOAD_CONST 1x", "2:12: `1x` is not an int"),
        (
            "LOAD_CONST 9223372036854775808",
            "2:12: `9223372036854775808` is not an int",
        ),
        ("LOAD_CONST 1.5.", "2:12: `1.5.` is not a float"),
        ("LOAD_CONST 1e999", "2:12: `1e999` is not a float"),
        ("LOAD_CONST X", "2:12: there is no constant `X` above"),
        ("LOAD_VAR x\nRETURN", "2:10: variable `x` is never stored"),
        ("STORE_VAR 1", "2:11: `1` is not a name"),
        ("JUMP nowhere", "2:6: there is no label `nowhere` in function `main`"),
        ("CALL nobody\nRETURN", "2:6: there is no function `nobody`"),
        ("a:\na:", "3:1: label `a` is already defined"),
        ("1: RETURN", "2:1: `1` is not a name"),
        (
            "a: LOAD_CONST true\nJUMP_IF_TRUE a\nRETURN",
            "3:14: a conditional jump leads forward only: go back with JUMP",
        ),
        ("JUMP a\nRETURN\na:", "4:1: no instruction follows"),
        ("", "3:1: function `main` can run past its end: RETURN or JUMP before"),
        (
            "LOAD_CONST 1",
            "3:1: function `main` can run past its end: RETURN or JUMP before",
        ),
    ];
    for (lines, expected) in cases {
        let error = assemble(&format!("func main\n{lines}\nend")).expect_err(lines);
        assert_eq!(error.to_string(), expected, "{lines}");
    }
}
