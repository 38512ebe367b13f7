//! The machine.
//!
//! [`Vm::run`] is a portal of metatrace's JIT: a method whose body is one loop, with nothing live at
//! its head but `self`, and each arm a call of a small method. `self.pc` and `self.function` say where the program is (the
//! greens). It never calls itself: CALL saves the caller in [`Frame`]s and goes on in the same loop. Loops of the program
//! close at [`Op::JumpBack`], recursion at [`Op::Call`]: these are the back-edges.
//!
//! An instruction that fails leaves `pc` where it is, so [`Vm::execute`] can tell its place; the methods need not.
//!
//! Invariants: `floor <= stack.len()`, and the operands below `floor` are the callers'; the running call's variables are
//! `variables[base..]`.

use crate::arith::{self, Arith, Order};
use crate::code::{Code, Function, Op};
use crate::error::{RuntimeError, VmError};
use crate::heap::Heap;
use crate::output::Output;
use crate::value::Value;
use metatrace::{JitDriver, can_enter_jit, jit, jit_merge_point};

/// Operands that the stack holds.
pub const MAX_STACK: usize = 1 << 20;
/// Variables that all calls together may have.
pub const MAX_VARIABLES: usize = 1 << 20;
/// Calls that may wait for another.
pub const MAX_FRAMES: usize = 100_000;

/// A machine that runs one program once.
#[jit]
pub struct Vm<'p> {
    code: &'p Code,
    /// The running function.
    function: &'p Function,
    /// The next op of it.
    pc: usize,
    /// Where its variables begin.
    base: usize,
    /// Where its operands begin.
    floor: usize,
    stack: Vec<Value>,
    variables: Vec<Value>,
    /// The calls that wait for the running one, the latest last.
    frames: Vec<Frame<'p>>,
    heap: Heap,
    output: Output,
}

/// A call that waits for another: what to go back to.
#[jit]
#[derive(Debug)]
pub struct Frame<'p> {
    function: &'p Function,
    pc: usize,
    base: usize,
    floor: usize,
}

impl<'p> Vm<'p> {
    /// A machine about to run `code.main()`. Its parameters get the `arguments`; those without one are nil, and arguments
    /// without a parameter are ignored: whoever asks the user for them compares with [`Function::parameters`].
    pub fn new(code: &'p Code, arguments: &[i64], output: Output) -> Vm<'p> {
        let function = code.main();
        let mut variables = vec![Value::Nil; function.variables.len()];
        for (variable, &argument) in variables[..function.parameters].iter_mut().zip(arguments) {
            *variable = Value::Int(argument);
        }
        Vm {
            code,
            function,
            pc: 0,
            base: 0,
            floor: 0,
            stack: Vec::new(),
            variables,
            frames: Vec::new(),
            heap: Heap::default(),
            output,
        }
    }

    /// Runs the program to its end, and writes its output, also what it had printed before an error.
    ///
    /// # Errors
    /// An instruction failed. The machine is of no more use then.
    pub fn execute(&mut self, jit: &JitDriver<'p>) -> Result<Value, RuntimeError> {
        let outcome = self.run(jit);
        let flushed = self.output.flush();
        outcome
            .and_then(|value| flushed.map(|()| value))
            .map_err(|error| self.locate(error))
    }

    /// Prints a value on a line of its own; of an array in an array, no elements.
    ///
    /// # Errors
    /// [`VmError::Output`]
    pub fn print_value(&mut self, value: Value) -> Result<(), VmError> {
        let text = match value {
            Value::Array(array) => {
                let elements: Vec<String> = self.heap.elements(array).iter().map(|&element| show(element)).collect();
                format!("[{}]", elements.join(", "))
            }
            other => show(other),
        };
        self.output.print_line(&text)
    }

    /// Its output stream, after the run.
    pub fn into_output(self) -> Output {
        self.output
    }

    /// `error` as one of the current instruction.
    fn locate(&self, error: VmError) -> RuntimeError {
        RuntimeError {
            error,
            function: self.function.name.clone(),
            instruction: self.pc,
            line: self.function.lines[self.pc],
        }
    }
}

#[jit]
impl<'p> Vm<'p> {
    /// Runs from the current instruction until `main` returns.
    ///
    /// # Errors
    /// An instruction failed; `pc` is still at it. Output may be pending in either case.
    #[jit::portal(driver = jit, location = location)]
    pub fn run(&mut self, jit: &JitDriver<'p>) -> Result<Value, VmError> {
        loop {
            jit_merge_point!(pc = self.pc, function = self.function);
            match self.function.ops[self.pc] {
                Op::LoadConst(constant) => self.push(self.function.constants[constant])?,
                Op::LoadVar(variable) => self.push(self.variables[self.base + variable])?,
                Op::StoreVar(variable) => self.store_var(variable)?,
                Op::Pop => self.drop_top()?,
                Op::Dup => self.dup()?,
                Op::Add => self.arith(Arith::Add)?,
                Op::Sub => self.arith(Arith::Sub)?,
                Op::Mul => self.arith(Arith::Mul)?,
                Op::Div => self.arith(Arith::Div)?,
                Op::Rem => self.arith(Arith::Rem)?,
                Op::Neg => self.negate()?,
                Op::Equal => self.equal(true)?,
                Op::NotEqual => self.equal(false)?,
                Op::Less => self.compare(Order::Less)?,
                Op::LessEqual => self.compare(Order::LessEqual)?,
                Op::Greater => self.compare(Order::Greater)?,
                Op::GreaterEqual => self.compare(Order::GreaterEqual)?,
                Op::Not => self.not()?,
                Op::Jump(target) => {
                    self.pc = target;
                    continue;
                }
                Op::JumpBack(target) => {
                    self.pc = target;
                    can_enter_jit!();
                    continue;
                }
                Op::JumpIfFalse(target) => {
                    if !self.pop()?.as_bool()? {
                        self.pc = target;
                        continue;
                    }
                }
                Op::JumpIfTrue(target) => {
                    if self.pop()?.as_bool()? {
                        self.pc = target;
                        continue;
                    }
                }
                Op::Call(function) => {
                    self.call(function)?;
                    can_enter_jit!();
                    continue;
                }
                Op::Return => {
                    let value = self.pop()?;
                    if self.frames.is_empty() {
                        return Ok(value);
                    }
                    self.leave(value)?;
                }
                Op::NewArray => self.new_array()?,
                Op::ArrayGet => self.array_get()?,
                Op::ArraySet => self.array_set()?,
                Op::ArrayLen => self.array_len()?,
                Op::Print => self.print()?,
            }
            self.pc += 1;
        }
    }

    fn push(&mut self, value: Value) -> Result<(), VmError> {
        if self.stack.len() >= MAX_STACK {
            return Err(VmError::StackOverflow);
        }
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, VmError> {
        if self.stack.len() <= self.floor {
            return Err(VmError::StackUnderflow);
        }
        match self.stack.pop() {
            Some(value) => Ok(value),
            None => Err(VmError::StackUnderflow),
        }
    }

    fn store_var(&mut self, variable: usize) -> Result<(), VmError> {
        let value = self.pop()?;
        self.variables[self.base + variable] = value;
        Ok(())
    }

    fn drop_top(&mut self) -> Result<(), VmError> {
        self.pop()?;
        Ok(())
    }

    fn dup(&mut self) -> Result<(), VmError> {
        let value = self.pop()?;
        self.push(value)?;
        self.push(value)
    }

    fn arith(&mut self, op: Arith) -> Result<(), VmError> {
        let b = self.pop()?;
        let a = self.pop()?;
        self.push(arith::arith(op, a, b)?)
    }

    fn negate(&mut self) -> Result<(), VmError> {
        let value = self.pop()?;
        self.push(arith::negate(value)?)
    }

    /// Pushes whether the answer to "are they equal?" is `wanted`.
    fn equal(&mut self, wanted: bool) -> Result<(), VmError> {
        let b = self.pop()?;
        let a = self.pop()?;
        self.push(Value::Bool(arith::equal(a, b) == wanted))
    }

    fn compare(&mut self, order: Order) -> Result<(), VmError> {
        let b = self.pop()?;
        let a = self.pop()?;
        self.push(Value::Bool(arith::compare(order, a, b)?))
    }

    fn not(&mut self) -> Result<(), VmError> {
        let truth = self.pop()?.as_bool()?;
        self.push(Value::Bool(!truth))
    }

    /// Moves the arguments from the stack into new variables, and continues at the start of the function.
    fn call(&mut self, function: usize) -> Result<(), VmError> {
        let code = self.code;
        let callee = &code.functions[function];
        let base = self.variables.len();
        if self.frames.len() >= MAX_FRAMES || base + callee.variables.len() > MAX_VARIABLES {
            return Err(VmError::CallDepth);
        }
        for _ in 0..callee.variables.len() {
            self.variables.push(Value::Nil);
        }
        let mut parameter = callee.parameters;
        while parameter > 0 {
            parameter -= 1;
            let argument = self.pop()?;
            self.variables[base + parameter] = argument;
        }
        self.frames.push(Frame {
            function: self.function,
            pc: self.pc,
            base: self.base,
            floor: self.floor,
        });
        self.function = callee;
        self.pc = 0;
        self.base = base;
        self.floor = self.stack.len();
        Ok(())
    }

    /// Drops the running call and goes back to the CALL that made it, whose result is `value`.
    fn leave(&mut self, value: Value) -> Result<(), VmError> {
        while self.stack.len() > self.floor {
            self.stack.pop();
        }
        for _ in 0..self.function.variables.len() {
            self.variables.pop();
        }
        if let Some(frame) = self.frames.pop() {
            self.function = frame.function;
            self.pc = frame.pc;
            self.base = frame.base;
            self.floor = frame.floor;
        }
        self.push(value)
    }

    fn new_array(&mut self) -> Result<(), VmError> {
        let length = self.pop()?.as_int()?;
        let array = self.heap.allocate(length)?;
        self.push(Value::Array(array))
    }

    fn array_get(&mut self) -> Result<(), VmError> {
        let index = self.pop()?.as_int()?;
        let array = self.pop()?.as_array()?;
        let value = self.heap.get(array, index)?;
        self.push(value)
    }

    fn array_set(&mut self) -> Result<(), VmError> {
        let value = self.pop()?;
        let index = self.pop()?.as_int()?;
        let array = self.pop()?.as_array()?;
        self.heap.set(array, index, value)
    }

    fn array_len(&mut self) -> Result<(), VmError> {
        let array = self.pop()?.as_array()?;
        self.push(Value::Int(self.heap.length(array) as i64))
    }

    #[jit::dont_look_inside]
    fn print(&mut self) -> Result<(), VmError> {
        let value = self.pop()?;
        self.print_value(value)
    }
}

/// How logs name the place of a loop.
fn location((pc, function): (usize, &Function)) -> String {
    let line = function.lines[pc];
    format!("{};program:{line}-{line}~{:?}", function.name, function.ops[pc])
}

fn show(value: Value) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Bool(truth) => truth.to_string(),
        Value::Nil => "nil".to_owned(),
        Value::Array(_) => "[...]".to_owned(),
    }
}
