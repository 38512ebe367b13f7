//! The assembler: one pass over the lines of a source, which builds function after function; names that may be used before
//! they are known (labels, functions, variables) are looked up at the end of their function or of the source.
//!
//! Absent: expressions, macros, more than one file.

use crate::code::{Code, Function, Op, Position};
use crate::error::AssembleError;
use crate::value::Value;
use std::collections::HashMap;

type Result<T, E = AssembleError> = std::result::Result<T, E>;

/// Assembles a program. Its language, line by line (`;` begins a comment):
///
/// ```text
/// const STEP 5            ; a name for a constant: an int, a float, true, false or nil
///
/// func main n             ; a function and its parameters
///     LOAD_CONST 0        ; a constant, or the name of one
///     STORE_VAR i         ; storing declares a variable; until then it is nil
/// again:                  ; a label, known in its function
///     LOAD_VAR i
///     LOAD_VAR n
///     GREATER_EQUAL
///     JUMP_IF_TRUE done   ; conditional jumps lead forward only
///     LOAD_VAR i
///     CALL next           ; takes its arguments from the stack
///     STORE_VAR i
///     JUMP again
/// done:
///     LOAD_VAR i
///     RETURN              ; every function ends in RETURN or JUMP
/// end
///
/// func next i
///     LOAD_VAR i
///     LOAD_CONST STEP
///     ADD
///     RETURN
/// end
/// ```
///
/// The other instructions have no operand: `POP`, `DUP`, `ADD`, `SUB`, `MUL`, `DIV`, `REM`, `NEG`, `EQUAL`, `NOT_EQUAL`,
/// `LESS`, `LESS_EQUAL`, `GREATER`, `NOT`, `NEW_ARRAY`, `ARRAY_GET`, `ARRAY_SET`, `ARRAY_LEN`, `PRINT`; [`Op`] tells what
/// they do.
///
/// A byte order mark at the start is not part of it.
///
/// # Errors
/// The first mistake, with its place.
pub fn assemble(source: &str) -> Result<Code> {
    let mut assembler = Assembler::default();
    let mut last = 1;
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    for (index, text) in source.lines().enumerate() {
        last = index + 1;
        assembler.line(&words(text, last))?;
    }
    assembler.finish(Position { line: last, column: 1 })
}

/// A word of the source.
#[derive(Clone, Copy)]
struct Word<'s> {
    text: &'s str,
    position: Position,
}

impl Word<'_> {
    fn error<T>(self, message: impl Into<String>) -> Result<T> {
        Err(AssembleError {
            position: self.position,
            message: message.into(),
        })
    }
}

/// The words of a line, without its comment.
fn words(line: &str, number: usize) -> Vec<Word<'_>> {
    let code = line.split(';').next().unwrap_or_default();
    let mut words = Vec::new();
    let mut rest = code;
    loop {
        rest = rest.trim_start();
        let Some(text) = rest.split_whitespace().next() else {
            return words;
        };
        let column = 1 + code[..code.len() - rest.len()].chars().count();
        words.push(Word {
            text,
            position: Position { line: number, column },
        });
        rest = &rest[text.len()..];
    }
}

#[derive(Default)]
struct Assembler<'s> {
    constants: HashMap<&'s str, Value>,
    functions: Vec<Function>,
    /// Where in `functions` a function is.
    indices: HashMap<&'s str, usize>,
    calls: Vec<Call<'s>>,
    /// The function whose `end` has not come yet.
    open: Option<Body<'s>>,
}

/// A CALL and the name of its callee.
struct Call<'s> {
    /// The index of the caller.
    function: usize,
    op: usize,
    callee: Word<'s>,
}

/// A function in the making.
struct Body<'s> {
    name: Word<'s>,
    function: Function,
    /// Where in `function.variables` a variable is.
    variables: HashMap<&'s str, usize>,
    /// LOAD_VARs of names that had not been stored yet.
    loads: Vec<Reference<'s>>,
    labels: HashMap<&'s str, Label>,
    jumps: Vec<Reference<'s>>,
}

/// An op whose operand is a name.
struct Reference<'s> {
    op: usize,
    name: Word<'s>,
}

struct Label {
    /// The op behind it.
    target: usize,
    position: Position,
}

impl<'s> Assembler<'s> {
    fn line(&mut self, words: &[Word<'s>]) -> Result<()> {
        let Some((&first, rest)) = words.split_first() else {
            return Ok(());
        };
        match (first.text, &mut self.open) {
            ("const", None) => self.constant(first, rest),
            ("func", None) => self.function(first, rest),
            ("end", Some(_)) => self.end(first, rest),
            ("const" | "func", Some(body)) => first.error(format!(
                "`{}` inside function `{}`: its `end` is missing",
                first.text, body.name.text
            )),
            (_, None) => first.error(format!("`{}` outside a function", first.text)),
            (text, Some(body)) => match text.strip_suffix(':') {
                Some(name) => {
                    body.label(Word { text: name, ..first })?;
                    self.line(rest)
                }
                None => self.instruction(first, rest),
            },
        }
    }

    fn constant(&mut self, keyword: Word<'s>, rest: &[Word<'s>]) -> Result<()> {
        let &[name, literal] = rest else {
            return keyword.error("`const` takes a name and a value");
        };
        check_name(name)?;
        let value = value(literal, &self.constants)?;
        match self.constants.insert(name.text, value) {
            Some(_) => name.error(format!("constant `{}` is already defined", name.text)),
            None => Ok(()),
        }
    }

    fn function(&mut self, keyword: Word<'s>, rest: &[Word<'s>]) -> Result<()> {
        let Some((&name, parameters)) = rest.split_first() else {
            return keyword.error("`func` takes a name");
        };
        check_name(name)?;
        if self.indices.insert(name.text, self.functions.len()).is_some() {
            return name.error(format!("function `{}` is already defined", name.text));
        }
        self.open = Some(Body::new(name, parameters)?);
        Ok(())
    }

    fn end(&mut self, keyword: Word<'s>, rest: &[Word<'s>]) -> Result<()> {
        if let Some(extra) = rest.first() {
            return extra.error("`end` stands alone");
        }
        if let Some(body) = self.open.take() {
            self.functions.push(body.finish(keyword)?);
        }
        Ok(())
    }

    fn instruction(&mut self, mnemonic: Word<'s>, operands: &[Word<'s>]) -> Result<()> {
        let Some(body) = &mut self.open else { return Ok(()) };
        let Some(instruction) = Instruction::named(mnemonic.text) else {
            return mnemonic.error(format!("unknown instruction `{}`", mnemonic.text));
        };
        let op = match (instruction, operands) {
            (Instruction::Bare(op), []) => op,
            (Instruction::Bare(_), [extra, ..]) => {
                return extra.error(format!("{} takes no operand", mnemonic.text));
            }
            (_, []) => return mnemonic.error(format!("{} takes an operand", mnemonic.text)),
            (_, [_, extra, ..]) => return extra.error(format!("{} takes one operand", mnemonic.text)),
            (Instruction::LoadConst, &[literal]) => body.constant(value(literal, &self.constants)?),
            (Instruction::LoadVar, &[name]) => body.load(name),
            (Instruction::StoreVar, &[name]) => body.store(name)?,
            (Instruction::Jump(op), &[label]) => body.jump(op, label),
            (Instruction::Call, &[callee]) => {
                self.calls.push(Call {
                    function: self.functions.len(),
                    op: body.function.ops.len(),
                    callee,
                });
                Op::Call(0)
            }
        };
        body.function.ops.push(op);
        body.function.lines.push(mnemonic.position.line);
        Ok(())
    }

    fn finish(mut self, end: Position) -> Result<Code> {
        if let Some(body) = self.open {
            return body.name.error(format!("function `{}` has no `end`", body.name.text));
        }
        for Call { function, op, callee } in self.calls {
            match self.indices.get(callee.text) {
                Some(&index) => self.functions[function].ops[op] = Op::Call(index),
                None => return callee.error(format!("there is no function `{}`", callee.text)),
            }
        }
        match self.indices.get("main") {
            Some(&main) => Ok(Code {
                functions: self.functions,
                main,
            }),
            None => Err(AssembleError {
                position: end,
                message: "there is no function `main`".into(),
            }),
        }
    }
}

impl<'s> Body<'s> {
    fn new(name: Word<'s>, parameters: &[Word<'s>]) -> Result<Body<'s>> {
        let function = Function {
            name: name.text.to_owned(),
            ops: Vec::new(),
            lines: Vec::new(),
            constants: Vec::new(),
            parameters: parameters.len(),
            variables: Vec::new(),
        };
        let mut body = Body {
            name,
            function,
            variables: HashMap::new(),
            loads: Vec::new(),
            labels: HashMap::new(),
            jumps: Vec::new(),
        };
        for &parameter in parameters {
            check_name(parameter)?;
            if body.variables.contains_key(parameter.text) {
                return parameter.error(format!("there are two parameters `{}`", parameter.text));
            }
            body.variable(parameter.text);
        }
        Ok(body)
    }

    /// The variable of that name, a new one if need be.
    fn variable(&mut self, name: &'s str) -> usize {
        *self.variables.entry(name).or_insert_with(|| {
            self.function.variables.push(name.to_owned());
            self.function.variables.len() - 1
        })
    }

    fn constant(&mut self, value: Value) -> Op {
        self.function.constants.push(value);
        Op::LoadConst(self.function.constants.len() - 1)
    }

    fn load(&mut self, name: Word<'s>) -> Op {
        self.loads.push(Reference {
            op: self.function.ops.len(),
            name,
        });
        Op::LoadVar(0)
    }

    fn store(&mut self, name: Word<'s>) -> Result<Op> {
        check_name(name)?;
        Ok(Op::StoreVar(self.variable(name.text)))
    }

    fn jump(&mut self, op: Op, label: Word<'s>) -> Op {
        self.jumps.push(Reference {
            op: self.function.ops.len(),
            name: label,
        });
        op
    }

    fn label(&mut self, name: Word<'s>) -> Result<()> {
        check_name(name)?;
        let label = Label {
            target: self.function.ops.len(),
            position: name.position,
        };
        match self.labels.insert(name.text, label) {
            Some(_) => name.error(format!("label `{}` is already defined", name.text)),
            None => Ok(()),
        }
    }

    /// The function, with its names resolved.
    fn finish(mut self, end: Word<'s>) -> Result<Function> {
        self.check_end(end)?;
        for Reference { op, name } in self.loads {
            match self.variables.get(name.text) {
                Some(&variable) => self.function.ops[op] = Op::LoadVar(variable),
                None => return name.error(format!("variable `{}` is never stored", name.text)),
            }
        }
        for Reference { op, name } in self.jumps {
            let Some(&Label { target, .. }) = self.labels.get(name.text) else {
                return name.error(format!(
                    "there is no label `{}` in function `{}`",
                    name.text, self.name.text
                ));
            };
            self.function.ops[op] = match self.function.ops[op] {
                Op::Jump(_) if target <= op => Op::JumpBack(target),
                Op::Jump(_) => Op::Jump(target),
                _ if target <= op => return name.error("a conditional jump leads forward only: go back with JUMP"),
                Op::JumpIfFalse(_) => Op::JumpIfFalse(target),
                _ => Op::JumpIfTrue(target),
            };
        }
        Ok(self.function)
    }

    /// No op and no label leads past the end.
    fn check_end(&self, end: Word<'s>) -> Result<()> {
        let Some(Op::Return | Op::Jump(_)) = self.function.ops.last() else {
            return end.error(format!(
                "function `{}` can run past its end: RETURN or JUMP before",
                self.name.text
            ));
        };
        let length = self.function.ops.len();
        match self.labels.values().find(|label| label.target == length) {
            Some(label) => Err(AssembleError {
                position: label.position,
                message: "no instruction follows".into(),
            }),
            None => Ok(()),
        }
    }
}

/// An instruction, by what its operand is.
enum Instruction {
    Bare(Op),
    LoadConst,
    LoadVar,
    StoreVar,
    /// The op waits for its target.
    Jump(Op),
    Call,
}

impl Instruction {
    fn named(mnemonic: &str) -> Option<Instruction> {
        Some(match mnemonic {
            "LOAD_CONST" => Instruction::LoadConst,
            "LOAD_VAR" => Instruction::LoadVar,
            "STORE_VAR" => Instruction::StoreVar,
            "POP" => Instruction::Bare(Op::Pop),
            "DUP" => Instruction::Bare(Op::Dup),
            "ADD" => Instruction::Bare(Op::Add),
            "SUB" => Instruction::Bare(Op::Sub),
            "MUL" => Instruction::Bare(Op::Mul),
            "DIV" => Instruction::Bare(Op::Div),
            "REM" => Instruction::Bare(Op::Rem),
            "NEG" => Instruction::Bare(Op::Neg),
            "EQUAL" => Instruction::Bare(Op::Equal),
            "NOT_EQUAL" => Instruction::Bare(Op::NotEqual),
            "LESS" => Instruction::Bare(Op::Less),
            "LESS_EQUAL" => Instruction::Bare(Op::LessEqual),
            "GREATER" => Instruction::Bare(Op::Greater),
            "GREATER_EQUAL" => Instruction::Bare(Op::GreaterEqual),
            "NOT" => Instruction::Bare(Op::Not),
            "JUMP" => Instruction::Jump(Op::Jump(0)),
            "JUMP_IF_FALSE" => Instruction::Jump(Op::JumpIfFalse(0)),
            "JUMP_IF_TRUE" => Instruction::Jump(Op::JumpIfTrue(0)),
            "CALL" => Instruction::Call,
            "RETURN" => Instruction::Bare(Op::Return),
            "NEW_ARRAY" => Instruction::Bare(Op::NewArray),
            "ARRAY_GET" => Instruction::Bare(Op::ArrayGet),
            "ARRAY_SET" => Instruction::Bare(Op::ArraySet),
            "ARRAY_LEN" => Instruction::Bare(Op::ArrayLen),
            "PRINT" => Instruction::Bare(Op::Print),
            _ => return None,
        })
    }
}

/// Names are letters, digits and underscores, and do not begin with a digit, so no number is one.
fn is_name(text: &str) -> bool {
    let letter = |c: char| c.is_alphabetic() || c == '_';
    text.starts_with(letter) && text.chars().all(|c| letter(c) || c.is_ascii_digit())
}

fn check_name(word: Word<'_>) -> Result<()> {
    match word.text {
        "true" | "false" | "nil" => word.error(format!("`{}` is a value, not a name", word.text)),
        text if is_name(text) => Ok(()),
        text => word.error(format!("`{text}` is not a name")),
    }
}

/// The constant that a word stands for.
fn value(word: Word<'_>, constants: &HashMap<&str, Value>) -> Result<Value> {
    match word.text {
        "true" => Ok(Value::Bool(true)),
        "false" => Ok(Value::Bool(false)),
        "nil" => Ok(Value::Nil),
        name if is_name(name) => match constants.get(name) {
            Some(&value) => Ok(value),
            None => word.error(format!("there is no constant `{name}` above")),
        },
        number => match number.contains(['.', 'e', 'E']) {
            false => number
                .parse()
                .map(Value::Int)
                .or_else(|_| word.error(format!("`{number}` is not an int"))),
            true => match number.parse() {
                Ok(float) if f64::is_finite(float) => Ok(Value::Float(float)),
                _ => word.error(format!("`{number}` is not a float")),
            },
        },
    }
}
