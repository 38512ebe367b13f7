//! Every operation that computes, on boundary values, with variables and constants in each position, compared with
//! [`eval`].

use super::Make;
use super::bench::{Bench, same, show};
use crate::Forcing;
use metatrace_ir::eval::{eval, overflows};
use metatrace_ir::op::Operands;
use metatrace_ir::{Class, Const, GuardId, Kind, Op, Opcode, Ref, Snapshot, Trace};

const INTS: &[i64] = &[
    0,
    1,
    2,
    3,
    7,
    10,
    -1,
    -2,
    -10,
    i64::MIN,
    i64::MIN + 1,
    i64::MAX,
    i64::MAX - 1,
    31,
    32,
    63,
    64,
    65,
    127,
    128,
    -128,
    -129,
    255,
    256,
    0x7fff,
    0x8000,
    0xffff,
    -0x8001,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    -0x8000_0000,
    -0x8000_0001,
    0x0123_4567_89ab_cdef,
    1 << 53,
    (1 << 53) + 1,
    (1 << 62) + 513,
    // ties and what is just above them, when rounded to a float
    0x8000_0000_0000_0400u64 as i64,
    0x8000_0000_0000_0401u64 as i64,
    0x8000_0000_0000_0c00u64 as i64,
    (1 << 54) + 2,
    (1 << 54) + 6,
];

const FLOATS: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    -1.5,
    2.0,
    0.1,
    5e-324,
    -5e-324,
    f64::MIN_POSITIVE,
    1e-310,
    f64::MAX,
    f64::MIN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    2147483647.0,
    2147483648.0,
    -2147483649.0,
    4294967296.0,
    4503599627370497.5,
    9007199254740993.0,
    9223372036854774784.0,
    9223372036854775808.0,
    -9223372036854775808.0,
    -9223372036854777856.0,
    18446744073709549568.0,
    18446744073709551616.0,
    1e300,
    -1e300,
];

fn samples(kind: Kind) -> Vec<u64> {
    match kind {
        Kind::Int => INTS.iter().map(|int| *int as u64).collect(),
        Kind::Ref => vec![0, 8, 0x1000, 0x7fff_ffff_fff8, 0xffff_ffff, 0x8000_0000],
        Kind::Float => {
            let mut floats: Vec<u64> = FLOATS.iter().map(|float| float.to_bits()).collect();
            floats.push((-f64::NAN).to_bits());
            floats
        }
    }
}

/// The operations that compute, but the addresses, which need a descriptor.
fn opcodes() -> impl Iterator<Item = (Opcode, &'static [Kind])> {
    Opcode::ALL.iter().filter_map(|opcode| {
        let computes = matches!(opcode.class(), Class::Pure | Class::Partial | Class::Overflow);
        match opcode.info().operands {
            Operands::Fixed(kinds) if computes && !matches!(opcode, Opcode::PtrField | Opcode::PtrItem) => {
                Some((*opcode, kinds))
            }
            _ => None,
        }
    })
}

/// The operands of an operation: a constant where there is one.
fn shapes(opcode: Opcode, kinds: &[Kind]) -> Vec<Vec<Option<u64>>> {
    let constants = |position: usize| {
        samples(kinds[position])
            .into_iter()
            .map(move |bits| (0..kinds.len()).map(|n| (n == position).then_some(bits)).collect())
    };
    match (opcode, kinds.len()) {
        (Opcode::IntSignext, _) => [1, 2, 4].map(|width| vec![None, Some(width)]).to_vec(),
        (_, 1) => constants(0).collect(),
        _ => constants(0).chain(constants(1)).collect(),
    }
}

/// Every choice of words for the operands that `shape` leaves open.
fn inputs(kinds: &[Kind], shape: &[Option<u64>]) -> Vec<Vec<u64>> {
    let mut all = vec![vec![]];
    for (kind, constant) in kinds.iter().zip(shape) {
        let words = constant.map_or_else(|| samples(*kind), |word| vec![word]);
        all = all
            .iter()
            .flat_map(|head: &Vec<u64>| words.iter().map(move |word| [&head[..], &[*word]].concat()))
            .collect();
    }
    all
}

/// What is around the operation.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Around {
    /// Whether the exit wants the operands too.
    keep: bool,
    /// More values of each bank, used before and behind the operation.
    others: usize,
}

fn constant(trace: &mut Trace, kind: Kind, bits: u64) -> Ref {
    trace.constant(Const { kind, bits })
}

fn finish(trace: &mut Trace, guard: u32, values: Vec<Ref>) {
    let snapshot = trace.add_snapshot(Snapshot {
        frame: None,
        values: values.into(),
        parent: None,
    });
    let mut op = Op::with_snapshot(Opcode::Finish, &[], snapshot);
    op.guard = Some(GuardId(guard));
    trace.push(op);
}

/// `finish [op(…), …]`, where the result is used twice more.
fn trace(opcode: Opcode, kinds: &[Kind], shape: &[Option<u64>], around: Around) -> Trace {
    let others = [Kind::Int, Kind::Float].map(|kind| vec![kind; around.others]).concat();
    let mut trace = Trace::new([kinds, &others].concat());
    let operands: Vec<Ref> = (0..kinds.len())
        .map(|n| shape[n].map_or(Ref::value(n), |bits| constant(&mut trace, kinds[n], bits)))
        .collect();
    let spare: Vec<Ref> = (0..others.len()).map(|n| trace.input(kinds.len() + n)).collect();
    let add = |trace: &mut Trace, value: Ref| {
        let opcode = if trace.kind(value) == Kind::Int {
            Opcode::IntAdd
        } else {
            Opcode::FloatAdd
        };
        trace.push(Op::new(opcode, &[value, value]))
    };
    let before: Vec<Ref> = spare.iter().map(|value| add(&mut trace, *value)).collect();
    let result = trace.push(Op::new(opcode, &operands));
    let kind = trace.kind(result);
    let again = trace.push(Op::new(Opcode::same_as(kind), &[result]));
    let doubled = match kind {
        Kind::Ref => trace.push(Op::new(Opcode::SameAsR, &[again])),
        _ => add(&mut trace, result),
    };
    let behind: Vec<Ref> = spare.iter().map(|value| add(&mut trace, *value)).collect();
    let kept: &[Ref] = if around.keep { &operands } else { &[] };
    finish(
        &mut trace,
        1,
        [&[result, again, doubled], kept, &before[..], &behind].concat(),
    );
    trace
}

/// Compiles the operation in this shape, and compares it with `eval` on every choice of inputs.
fn compare(bench: &Bench, token: &mut u32, opcode: Opcode, kinds: &[Kind], shape: &[Option<u64>], around: Around) {
    *token += 1;
    let trace = trace(opcode, kinds, shape, around);
    bench.compile_trace(*token, &trace);
    let others: Vec<u64> = (0..2 * around.others).map(|n| (n as f64).to_bits()).collect();
    let result_kind = opcode.result().expect("it computes");
    let mut choices = inputs(kinds, shape);
    if around.others > 0 {
        choices = choices.into_iter().step_by(19).collect();
    }
    for words in choices {
        let Some(expected) = eval(opcode, &words) else { continue };
        let left = bench.run(*token, &[&words[..], &others].concat());
        let fine = left.values[..2].iter().all(|value| same(result_kind, *value, expected));
        assert!(
            fine,
            "{} of {words:x?} is {expected:#x}, not {:#x?}\n{}",
            opcode.name(),
            left.values,
            show(&trace)
        );
        let doubled = match result_kind {
            Kind::Int => expected.wrapping_add(expected),
            Kind::Float => eval(Opcode::FloatAdd, &[expected, expected]).expect("floats are total"),
            Kind::Ref => expected,
        };
        let mut rest = vec![(result_kind, doubled)];
        if around.keep {
            rest.extend(
                (0..kinds.len())
                    .filter(|n| shape[*n].is_none())
                    .map(|n| (kinds[n], words[n])),
            );
        }
        for _ in ["before", "behind"] {
            for (n, word) in others.iter().enumerate() {
                let (kind, opcode) = if n < around.others {
                    (Kind::Int, Opcode::IntAdd)
                } else {
                    (Kind::Float, Opcode::FloatAdd)
                };
                rest.push((kind, eval(opcode, &[*word, *word]).expect("total")));
            }
        }
        assert_eq!(left.values.len(), rest.len() + 2, "{}", show(&trace));
        for ((kind, expected), value) in rest.iter().zip(&left.values[2..]) {
            assert!(
                same(*kind, *value, *expected),
                "{value:#x}, not {expected:#x}, beside {}\n{}",
                opcode.name(),
                show(&trace)
            );
        }
    }
}

const KEEP: Around = Around { keep: true, others: 0 };
const DROP: Around = Around { keep: false, others: 0 };

fn each_variable(make: &mut Make<'_>, around: Around) {
    let bench = Bench::new(make(Forcing::Off));
    let mut token = 0;
    for (opcode, kinds) in opcodes().filter(|(opcode, _)| *opcode != Opcode::IntSignext) {
        compare(&bench, &mut token, opcode, kinds, &[None, None][..kinds.len()], around);
    }
}

pub(super) fn variables(make: &mut Make<'_>) {
    each_variable(make, KEEP);
}

pub(super) fn dead_operands(make: &mut Make<'_>) {
    each_variable(make, DROP);
    let bench = Bench::new(make(Forcing::Off));
    same_operand_twice(&bench);
}

fn same_operand_twice(bench: &Bench) {
    for (token, (opcode, kinds)) in opcodes().filter(|(_, kinds)| kinds.len() == 2).enumerate() {
        if opcode == Opcode::IntSignext {
            continue;
        }
        for (token, keep) in [(2 * token as u32, true), (2 * token as u32 + 1, false)] {
            let mut trace = Trace::new(vec![kinds[0]]);
            let x = trace.input(0);
            let result = trace.push(Op::new(opcode, &[x, x]));
            finish(&mut trace, 1, if keep { vec![result, x] } else { vec![result] });
            bench.compile_trace(token, &trace);
            for word in samples(kinds[0]) {
                let Some(expected) = eval(opcode, &[word, word]) else {
                    continue;
                };
                let left = bench.run(token, &[word]);
                let fine = same(opcode.result().expect("it computes"), left.values[0], expected);
                assert!(fine, "{} of {word:#x} twice gives {left:x?}", opcode.name());
                assert!(
                    !keep || left.values[1] == word,
                    "{} of {word:#x} twice gives {left:x?}",
                    opcode.name()
                );
            }
        }
    }
}

pub(super) fn pressure(make: &mut Make<'_>) {
    for others in [6, 13, 20] {
        for keep in [true, false] {
            each_variable(make, Around { keep, others });
        }
    }
}

pub(super) fn constants(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    let mut token = 0;
    for (opcode, kinds) in opcodes() {
        for (n, shape) in shapes(opcode, kinds).iter().enumerate() {
            let defined = inputs(kinds, shape).iter().any(|words| eval(opcode, words).is_some());
            if defined {
                let around = if n % 2 == 0 { KEEP } else { DROP };
                compare(&bench, &mut token, opcode, kinds, shape, around);
            }
        }
    }
    both_constant(&bench, token + 1);
}

/// Not what an optimiser leaves behind, but valid.
fn both_constant(bench: &Bench, mut token: u32) {
    for (opcode, kinds) in opcodes() {
        for words in inputs(kinds, &[None, None]).into_iter().step_by(97) {
            let defined = opcode != Opcode::IntSignext || matches!(words[1], 1 | 2 | 4);
            let Some(expected) = eval(opcode, &words).filter(|_| defined) else {
                continue;
            };
            let mut trace = Trace::new(vec![]);
            let args: Vec<Ref> = words
                .iter()
                .zip(kinds)
                .map(|(bits, kind)| constant(&mut trace, *kind, *bits))
                .collect();
            let result = trace.push(Op::new(opcode, &args));
            finish(&mut trace, 1, vec![result]);
            bench.compile_trace(token, &trace);
            let left = bench.run(token, &[]);
            let fine = same(opcode.result().expect("it computes"), left.values[0], expected);
            assert!(fine, "{} of {words:x?} gives {left:x?}", opcode.name());
            token += 1;
        }
    }
}

/// Appends a guard with this exit.
fn guard(trace: &mut Trace, opcode: Opcode, args: &[Ref], name: u32, values: Vec<Ref>) {
    let snapshot = trace.add_snapshot(Snapshot {
        frame: None,
        values: values.into(),
        parent: None,
    });
    let mut op = Op::with_snapshot(opcode, args, snapshot);
    op.guard = Some(GuardId(name));
    trace.push(op);
}

pub(super) fn overflow_guards(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    let mut token = 0;
    for (opcode, kinds) in opcodes().filter(|(opcode, _)| opcode.class() == Class::Overflow) {
        let shapes = [vec![vec![None, None]], shapes(opcode, kinds)].concat();
        for (shape, result_dies) in shapes.iter().flat_map(|shape| [(shape, false), (shape, true)]) {
            for check in [Opcode::GuardNoOverflow, Opcode::GuardOverflow] {
                token += 1;
                let mut trace = Trace::new(kinds.to_vec());
                let inputs_ = vec![trace.input(0), trace.input(1)];
                let args: Vec<Ref> = (0..2)
                    .map(|n| shape[n].map_or(Ref::value(n), |bits| constant(&mut trace, kinds[n], bits)))
                    .collect();
                let result = trace.push(Op::new(opcode, &args));
                guard(&mut trace, check, &[], 1, inputs_);
                finish(&mut trace, 2, if result_dies { vec![] } else { vec![result] });
                bench.compile_trace(token, &trace);
                for words in inputs(kinds, shape) {
                    let left = bench.run(token, &words);
                    let stays = overflows(opcode, words[0], words[1]) == (check == Opcode::GuardOverflow);
                    let expected = match (stays, result_dies) {
                        (false, _) => words.clone(),
                        (true, true) => vec![],
                        (true, false) => vec![eval(opcode, &words).expect("total")],
                    };
                    let guard = if stays { 2 } else { 1 };
                    assert_eq!(
                        (left.guard, left.values),
                        (guard, expected),
                        "{words:x?}\n{}",
                        show(&trace)
                    );
                }
            }
        }
    }
}

/// Comparisons fused with the guard behind them; their result needed for the guard only, or behind it too.
pub(super) fn comparison_guards(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    let mut token = 0;
    let comparisons = || opcodes().filter(|(opcode, _)| opcode.is_comparison());
    assert_eq!(comparisons().count(), 20);
    for (opcode, kinds) in comparisons() {
        let variables = vec![None; kinds.len()];
        let shapes = [vec![variables], shapes(opcode, kinds).into_iter().step_by(3).collect()].concat();
        for shape in &shapes {
            for (check, result_lives) in [
                (Opcode::GuardTrue, false),
                (Opcode::GuardFalse, false),
                (Opcode::GuardTrue, true),
                (Opcode::GuardFalse, true),
            ] {
                token += 1;
                let mut trace = Trace::new(kinds.to_vec());
                let operands: Vec<Ref> = (0..kinds.len()).map(Ref::value).collect();
                let args: Vec<Ref> = (0..kinds.len())
                    .map(|n| shape[n].map_or(Ref::value(n), |bits| constant(&mut trace, kinds[n], bits)))
                    .collect();
                let result = trace.push(Op::new(opcode, &args));
                guard(&mut trace, check, &[result], 1, operands.clone());
                finish(&mut trace, 2, if result_lives { vec![result] } else { operands });
                bench.compile_trace(token, &trace);
                for words in inputs(kinds, shape) {
                    let left = bench.run(token, &words);
                    let holds = eval(opcode, &words).expect("total");
                    let stays = (holds != 0) == (check == Opcode::GuardTrue);
                    let expected = if stays && result_lives {
                        vec![holds]
                    } else {
                        words.clone()
                    };
                    let guard = if stays { 2 } else { 1 };
                    assert_eq!(
                        (left.guard, left.values),
                        (guard, expected),
                        "{words:x?}\n{}",
                        show(&trace)
                    );
                }
            }
        }
    }
}
