//! Portals of every allowed form: the native function with its two loops, cold and hot, does what the loop alone does, and
//! so does the twin.
//!
//! Each portal is written once, by a macro that also makes the same function without attributes.

use crate::harness::{D, compare, event, make, staged};
use metatrace::{JitDriver, can_enter_jit, jit, jit_merge_point};

/// A program for the machines below.
#[jit]
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
pub enum Op {
    Add(i64),
    Jump { back: usize, while_below: i64 },
    Skip(usize),
    Fail,
    Halt,
}

#[jit]
#[derive(Debug)]
pub struct Program {
    pub ops: Vec<Op>,
}

#[jit]
#[derive(Debug, PartialEq)]
#[repr(u8)]
pub enum Failure {
    At(usize),
    Overflow,
}

/// A portal, and in a module the function without attributes.
macro_rules! machine {
    ($name:ident $plain:ident [$($mark:tt)*] $(<$g:lifetime>)? ($($param:tt)*) -> $r:ty $body:block) => {
        mod $plain {
            #[allow(unused_imports)]
            use super::*;
            #[allow(unused_mut, unused_variables, unused_labels)]
            pub fn $name<'p>($($param)*) -> $r $body
        }
        #[allow(unused_labels)]
        #[jit::portal($($mark)*)]
        fn $name<'p>($($param)*) -> $r $body
    };
}

machine! { forever plain_forever [driver = jit, greens(pc, program)]
    (jit: &JitDriver<'p>, mut pc: usize, program: &'p Program, mut acc: i64, log: &mut Vec<i64>) -> Result<i64, Failure> {
        loop {
            jit_merge_point!();
            match program.ops[pc] {
                Op::Add(n) => acc = acc.checked_add(n).ok_or(Failure::Overflow)?,
                Op::Jump { back, while_below } if acc < while_below => {
                    log.push(acc);
                    pc = back;
                    can_enter_jit!();
                    continue;
                }
                Op::Jump { .. } => {}
                Op::Skip(n) => pc += n,
                Op::Fail => return Err(Failure::At(pc)),
                Op::Halt => return Ok(acc),
            }
            pc += 1;
        }
    }
}

machine! { labelled plain_labelled [driver = jit, greens(pc, program)]
    (jit: &JitDriver<'p>, mut pc: usize, program: &'p Program, mut acc: i64, log: &mut Vec<i64>) -> Result<i64, Failure> {
        'dispatch: loop {
            jit_merge_point!();
            let mut rounds = 0;
            while rounds < 3 {
                rounds += 1;
                match program.ops[pc] {
                    Op::Add(n) => acc += n,
                    Op::Jump { back, while_below } => {
                        if acc < while_below {
                            pc = back;
                            can_enter_jit!();
                            continue 'dispatch;
                        }
                    }
                    Op::Skip(n) => {
                        log.push(acc);
                        pc += n
                    }
                    Op::Fail => break 'dispatch Err(Failure::At(pc)),
                    Op::Halt => break 'dispatch Ok(acc),
                }
                pc += 1;
            }
        }
    }
}

machine! { with_tail plain_with_tail [driver = jit, greens(pc, program)]
    (jit: &JitDriver<'p>, mut pc: usize, program: &'p Program, mut acc: i64, log: &mut Vec<i64>) -> Result<i64, Failure> {
        loop {
            jit_merge_point!();
            match program.ops[pc] {
                Op::Add(n) => acc += n,
                Op::Jump { back, while_below } if acc < while_below => pc = back.wrapping_sub(1),
                Op::Skip(n) => pc += n,
                Op::Fail => return Err(Failure::At(pc)),
                Op::Halt => break,
                _ => log.push(acc),
            }
            pc = pc.wrapping_add(1);
            if let Op::Add(_) = program.ops[pc] {
                can_enter_jit!();
            }
        }
        if acc > 1000 { Err(Failure::Overflow) } else { Ok(acc + log.len() as i64) }
    }
}

machine! { while_loop plain_while [driver = jit, greens(pc, program)]
    (jit: &JitDriver<'p>, mut pc: usize, program: &'p Program, mut acc: i64, log: &mut Vec<i64>) -> Result<i64, Failure> {
        while program.ops[pc] != Op::Halt {
            jit_merge_point!();
            match program.ops[pc] {
                Op::Add(n) => acc += n,
                Op::Jump { back, while_below } if acc < while_below => {
                    pc = back;
                    can_enter_jit!();
                    continue;
                }
                Op::Jump { .. } => log.push(acc),
                Op::Skip(n) => pc += n,
                Op::Fail => return Err(Failure::At(pc)),
                Op::Halt => unreachable!(),
            }
            pc += 1;
        }
        Ok(acc)
    }
}

machine! { while_let plain_while_let [driver = jit, greens(pc, program)]
    (jit: &JitDriver<'p>, mut pc: usize, program: &'p Program, mut acc: i64, log: &mut Vec<i64>) -> Result<i64, Failure> {
        'run: while let Some(op) = program.ops.get(pc) {
            jit_merge_point!();
            pc += 1;
            match op {
                Op::Add(n) => acc += *n,
                Op::Jump { back, while_below } => {
                    if acc < *while_below {
                        pc = *back;
                        can_enter_jit!();
                        continue 'run;
                    }
                    log.push(acc)
                }
                Op::Skip(n) => pc += *n,
                Op::Fail => return Err(Failure::At(pc - 1)),
                Op::Halt => break 'run,
            }
        }
        Ok(acc)
    }
}

machine! { unit plain_unit [driver = jit, greens(program), overflow = "wrapping"]
    (jit: &JitDriver<'p>, program: &'p Program, mut acc: i64, log: &mut Vec<i64>) -> () {
        loop {
            jit_merge_point!();
            acc = acc.wrapping_add(1);
            let op = program.ops[acc as usize % program.ops.len()];
            match op {
                Op::Halt => {
                    log.push(acc);
                    return;
                }
                Op::Fail => panic!("fails at {acc}"),
                _ => {
                    can_enter_jit!();
                }
            }
        }
    }
}

// Reds that own memory stay with the native frame; arms have destructors, which run before machine code takes over.
machine! { owning plain_owning [driver = jit, greens(pc, program)]
    (jit: &JitDriver<'p>, mut pc: usize, program: &'p Program, mut jumps: i64, d: D, mut stack: Vec<D>) -> u32 {
        loop {
            jit_merge_point!();
            match program.ops[pc] {
                Op::Add(n) => {
                    let fresh = make(n as u32);
                    if n > 1 {
                        stack.push(fresh);
                    }
                }
                Op::Jump { back, while_below } if jumps < while_below => {
                    let _guard = make(100);
                    jumps += 1;
                    pc = back;
                    can_enter_jit!();
                    continue;
                }
                Op::Jump { .. } => {}
                Op::Skip(_) => stack.truncate(1),
                Op::Fail => panic!("with {} on the stack", stack.len()),
                Op::Halt => return d.0 + stack.len() as u32,
            }
            pc += 1;
        }
    }
}

fn location(key: (usize, &Program)) -> String {
    format!("{} of {}", key.0, key.1.ops.len())
}

/// A machine that keeps its position in itself, and its driver as well.
#[jit]
pub struct Machine<'p, 'd> {
    driver: &'d JitDriver<'p>,
    program: &'p Program,
    pc: usize,
    acc: i64,
    log: Vec<i64>,
}

#[jit]
impl<'p, 'd> Machine<'p, 'd> {
    #[jit::portal(driver = self.driver, location = location)]
    fn run(&mut self, step: i64) -> Result<i64, Failure> {
        loop {
            jit_merge_point!(pc = self.pc, program = self.program);
            match self.program.ops[self.pc] {
                Op::Add(n) => self.add(n * step)?,
                Op::Jump { back, while_below } if self.acc < while_below => {
                    self.pc = back;
                    can_enter_jit!();
                    continue;
                }
                Op::Jump { .. } => self.log.push(self.acc),
                Op::Skip(n) => self.pc += n,
                Op::Fail => return Err(Failure::At(self.pc)),
                Op::Halt => return Ok(self.acc),
            }
            self.pc += 1;
        }
    }

    fn add(&mut self, n: i64) -> Result<(), Failure> {
        match self.acc.checked_add(n) {
            Some(sum) => {
                self.acc = sum;
                Ok(())
            }
            None => Err(Failure::Overflow),
        }
    }
}

/// Generic, and calls itself.
trait Sink {
    fn put(&mut self, n: i64);
}

#[jit]
impl Sink for Vec2 {
    fn put(&mut self, n: i64) {
        self.0.push(n);
    }
}

#[jit]
#[derive(Clone, Debug)]
pub struct Vec2(Vec<i64>);

#[jit::portal(driver = jit, greens(pc, program))]
fn nested<'p, const STEP: i64>(
    jit: &JitDriver<'p>,
    mut pc: usize,
    program: &'p Program,
    mut acc: i64,
    depth: u8,
    sink: &mut Vec2,
) -> i64 {
    loop {
        jit_merge_point!();
        match program.ops[pc] {
            Op::Add(n) => acc += n * STEP,
            Op::Jump { back, while_below } if acc < while_below => {
                pc = back;
                can_enter_jit!();
                continue;
            }
            Op::Jump { .. } => {}
            Op::Skip(n) if depth < 2 => {
                let inner = nested::<STEP>(jit, pc + 1, program, 0, depth + 1, &mut *sink);
                sink.put(inner);
                acc += inner;
                pc += n;
            }
            Op::Skip(n) => pc += n,
            Op::Fail | Op::Halt => return acc,
        }
        pc += 1;
    }
}

fn programs() -> Vec<Program> {
    use Op::*;
    let jump = |back, while_below| Jump { back, while_below };
    // Where sums wrap, a loop up to the largest number has no end.
    let overflowing = if cfg!(debug_assertions) { i64::MAX } else { 0 };
    [
        vec![Halt],
        vec![Add(1), jump(0, 20), Halt],
        vec![Add(1), Skip(1), Fail, Add(3), jump(0, 60), Add(100), Halt],
        vec![Add(2), jump(0, 40), Fail, Halt],
        vec![
            Add(2),
            jump(0, 9),
            Add(5),
            jump(2, 90),
            Skip(0),
            Add(-1),
            jump(5, -5),
            Halt,
        ],
        vec![Add(i64::MAX / 8), jump(0, overflowing), Halt],
        vec![Add(1), jump(0, 5)],
        vec![Add(1), Add(1), jump(0, 3), Fail],
    ]
    .map(|ops| Program { ops })
    .into()
}

/// Cold, and at thresholds at which loops and bridges are made at once.
const SETTINGS: [&str; 3] = [
    "off",
    "threshold=3,trace_eagerness=2",
    "threshold=2,trace_eagerness=1,backend=reference",
];

macro_rules! compare_portals {
    ($($name:ident $plain:ident),*) => {$(
        for program in &programs() {
            for setting in SETTINGS {
                let what = format!("{} with {setting} on {program:?}", stringify!($name));
                compare(
                    &what,
                    Vec::new,
                    |log| format!("{:?}", $plain::$name(&JitDriver::new(), 0, program, 0, log)),
                    |log| {
                        let jit = JitDriver::with_param_text(setting).unwrap();
                        format!("{:?}", $name(&jit, 0, program, 0, log))
                    },
                );
            }
            compare(
                concat!(stringify!($name), "'s twin"),
                Vec::new,
                |log| format!("{:?}", $plain::$name(&JitDriver::new(), 0, program, 0, log)),
                |log| format!("{:?}", staged!($name(&JitDriver::new(), 0, program, 0, log))),
            );
        }
    )*};
}

#[test]
fn forms() {
    compare_portals!(
        forever plain_forever,
        labelled plain_labelled,
        with_tail plain_with_tail,
        while_loop plain_while,
        while_let plain_while_let
    );
}

#[test]
fn unit_result() {
    for program in &programs() {
        if program.ops.iter().all(|op| !matches!(op, Op::Halt | Op::Fail)) {
            continue;
        }
        for setting in SETTINGS {
            for start in 0..4 {
                compare(
                    &format!("unit with {setting} from {start} on {program:?}"),
                    Vec::new,
                    |log| format!("{:?}", plain_unit::unit(&JitDriver::new(), program, start, log)),
                    |log| {
                        let jit = JitDriver::with_param_text(setting).unwrap();
                        format!("{:?}", unit(&jit, program, start, log))
                    },
                );
            }
        }
    }
}

#[test]
fn owned_reds_and_destructors() {
    for program in &programs()[..5] {
        for setting in SETTINGS {
            compare(
                &format!("owning with {setting} on {program:?}"),
                || (),
                |()| {
                    format!(
                        "{:?}",
                        plain_owning::owning(&JitDriver::new(), 0, program, 0, make(7), vec![])
                    )
                },
                |()| {
                    let jit = JitDriver::with_param_text(setting).unwrap();
                    let result = format!("{:?}", owning(&jit, 0, program, 0, make(7), vec![]));
                    result
                },
            );
        }
    }
    event("done");
}

#[test]
fn methods() {
    for program in &programs() {
        for step in [1, 3] {
            let run = |setting: &str| {
                let jit = JitDriver::with_param_text(setting).unwrap();
                let mut machine = Machine {
                    driver: &jit,
                    program,
                    pc: 0,
                    acc: 0,
                    log: Vec::new(),
                };
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| machine.run(step)));
                format!(
                    "{:?} {} {} {:?}",
                    result.map_err(drop),
                    machine.pc,
                    machine.acc,
                    machine.log
                )
            };
            for setting in SETTINGS {
                assert_eq!(run("off"), run(setting), "with {setting} on {program:?}");
            }
        }
    }
}

#[test]
fn recursion() {
    for program in &programs()[..5] {
        let run = |setting: &str| {
            let jit = JitDriver::with_param_text(setting).unwrap();
            let mut sink = Vec2(Vec::new());
            let result = nested::<2>(&jit, 0, program, 0, 0, &mut sink);
            (result, nested::<5>(&jit, 0, program, 0, 0, &mut sink), sink.0)
        };
        for setting in SETTINGS {
            assert_eq!(run("off"), run(setting), "with {setting} on {program:?}");
        }
    }
}
