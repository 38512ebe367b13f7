//! Circuits compute what [`eval`] does, and what conditions do.

use super::*;
use crate::rules::TABLE;
use crate::rules::condition::{Known, Matched};
use crate::rules::tests::known_around;
use metatrace_ir::eval::{eval, overflows as eval_overflows};
use metatrace_ir::random::Random;
use metatrace_ir::{Class, Kind, op::Operands};

/// Operands of an operation for each of the 64 values of a bit.
fn operands(opcode: Opcode, random: &mut Random) -> Vec<[u64; 64]> {
    let Operands::Fixed(kinds) = opcode.info().operands else {
        unreachable!("arithmetic has fixed operands")
    };
    let mut word = |n: usize| match kinds[n] {
        Kind::Float => random.interesting_float(),
        _ if opcode == Opcode::IntSignext && n == 1 => *random.pick(&[1, 2, 4, 8, 0, 3]),
        _ if random.one_in(3) => random.below(70) as u64,
        _ => random.interesting_word(),
    };
    let mut operands: Vec<[u64; 64]> = (0..kinds.len()).map(|n| std::array::from_fn(|_| word(n))).collect();
    if let [a, b] = &mut operands[..] {
        // the same twice, in some lanes
        b[..8].copy_from_slice(&a[..8]);
        a[8] = i64::MIN as u64;
        b[8] = if opcode == Opcode::IntSignext { 2 } else { u64::MAX };
    }
    operands
}

/// The 64 values of each bit, of 64 words.
fn lanes(words: &[u64; 64]) -> [u64; 64] {
    std::array::from_fn(|bit| (0..64).map(|lane| (words[lane] >> bit & 1) << lane).sum())
}

fn values(graph: &Graph, operands: &[[u64; 64]]) -> Values {
    let inputs: Vec<u64> = operands.iter().flat_map(lanes).collect();
    graph.values(|n| inputs[n])
}

fn is_known(opcode: Opcode) -> bool {
    if !matches!(opcode.class(), Class::Pure | Class::Partial | Class::Overflow) || opcode == Opcode::PtrField {
        return false;
    }
    let graph = Graph::new();
    let zero = Word::constant(&graph, 64, 0);
    computed(opcode, &[zero, zero]).is_some()
}

fn check(opcode: Opcode, result: Computed<'_>, overflows: Option<Bit<'_>>, values: &Values, operands: &[[u64; 64]]) {
    for lane in 0..64 {
        let args: Vec<u64> = operands.iter().map(|words| words[lane]).collect();
        let defined = values.bit(result.defined) >> lane & 1 != 0;
        let got = defined.then(|| result.word.value(values, lane));
        assert_eq!(eval(opcode, &args), got, "{} of {args:x?}", opcode.name());
        if let Some(overflows) = overflows {
            assert_eq!(
                eval_overflows(opcode, args[0], args[1]),
                values.bit(overflows) >> lane & 1 != 0,
                "{} of {args:x?}",
                opcode.name()
            );
        }
    }
}

fn overflow_of<'g>(opcode: Opcode, args: &[Word<'g>]) -> Option<Bit<'g>> {
    (opcode.class() == Class::Overflow).then(|| overflows(opcode, args[0], args[1]))
}

/// Every circuit on unknown words; and as it folds where the second operand is a constant.
#[test]
fn circuits_compute_what_eval_does() {
    let mut known = 0;
    for opcode in Opcode::ALL.iter().copied().filter(|opcode| is_known(*opcode)) {
        known += 1;
        let mut random = Random(opcode as u64);
        let graph = Graph::new();
        let arity = operands(opcode, &mut random).len();
        let args: Vec<Word<'_>> = (0..arity).map(|_| Word::input(&graph, 64)).collect();
        let result = computed(opcode, &args).expect("known");
        let overflows = overflow_of(opcode, &args);
        for _ in 0..20 {
            let operands = operands(opcode, &mut random);
            check(opcode, result, overflows, &values(&graph, &operands), &operands);
        }
        for _ in 0..40 {
            let mut operands = operands(opcode, &mut random);
            let [a, b] = &mut operands[..] else { break };
            *b = [*random.pick(&*b); 64];
            let graph = Graph::new();
            let args = [Word::input(&graph, 64), Word::constant(&graph, 64, b[0])];
            let result = computed(opcode, &args).expect("known");
            let overflows = overflow_of(opcode, &args);
            check(opcode, result, overflows, &values(&graph, &[*a]), &operands);
        }
    }
    assert!(known > 50, "only {known} operations have circuits");
}

/// Narrow arithmetic is that of sign-extended words: its low bits, and its overflow where they are not all.
#[test]
fn narrow_circuits_compute_what_eval_does() {
    use Opcode::{IntAdd, IntAddOvf, IntLe, IntLt, IntMul, IntMulOvf, IntSub, IntSubOvf};
    for opcode in [IntAdd, IntSub, IntMul, IntLt, IntLe, IntAddOvf, IntSubOvf, IntMulOvf] {
        check_narrow(opcode, 6);
        check_narrow(opcode, 8);
    }
}

fn check_narrow(opcode: Opcode, width: usize) {
    let extended = |n: u64| ((n << (64 - width)) as i64 >> (64 - width)) as u64;
    let graph = Graph::new();
    let args = [Word::input(&graph, width), Word::input(&graph, width)];
    let result = computed(opcode, &args).expect("known");
    let overflows = overflow_of(opcode, &args);
    let numbers = 1u64 << width;
    for (a, b) in (0..numbers).step_by(64).flat_map(|a| (0..numbers).map(move |b| (a, b))) {
        let bits = [std::array::from_fn(|lane| a + lane as u64), [b; 64]].map(|words| lanes(&words));
        let values = graph.values(|n| bits[n / width][n % width]);
        for lane in 0..64 {
            let a = a + lane as u64;
            let exact = eval(opcode, &[extended(a), extended(b)]).expect("defined");
            let got = result.word.value(&values, lane);
            assert_eq!(exact % numbers, got, "{} of {a}, {b}", opcode.name());
            if let Some(overflows) = overflows {
                let overflows = values.bit(overflows) >> lane & 1 != 0;
                assert_eq!(exact != extended(got), overflows, "{} of {a}, {b}", opcode.name());
            }
        }
    }
}

/// The two instances of each condition.
#[test]
fn circuits_of_conditions_are_the_conditions() {
    let mut both = [0, 0];
    for (n, rule) in TABLE.iter().enumerate() {
        let Some(condition) = rule.condition else { continue };
        let mut random = Random(n as u64);
        let graph = Graph::new();
        let word = || Word::input(&graph, 64);
        let known = || Known {
            lo: word(),
            hi: word(),
            zeros: word(),
            ones: word(),
        };
        let circuit = (condition.circuit)(&Matched {
            x: known(),
            y: known(),
            c: word(),
            d: word(),
        });
        for _ in 0..10 {
            let matched: [Matched<u64>; 64] = std::array::from_fn(|_| {
                let mut word = || match random.below(3) {
                    0 => random.below(70) as u64,
                    1 => random.interesting_float(),
                    _ => random.interesting_word(),
                };
                let [x, y, c, d] = std::array::from_fn(|_| word());
                let [x, y] = [x, y].map(|value| known_around(value, &mut random));
                Matched { x, y, c, d }
            });
            let numbers = |of: fn(&Matched<u64>) -> u64| std::array::from_fn(|lane| of(&matched[lane]));
            let operands = [
                numbers(|m| m.x.lo),
                numbers(|m| m.x.hi),
                numbers(|m| m.x.zeros),
                numbers(|m| m.x.ones),
                numbers(|m| m.y.lo),
                numbers(|m| m.y.hi),
                numbers(|m| m.y.zeros),
                numbers(|m| m.y.ones),
                numbers(|m| m.c),
                numbers(|m| m.d),
            ];
            let values = values(&graph, &operands);
            for (lane, matched) in matched.iter().enumerate() {
                let holds = (condition.holds)(matched);
                both[usize::from(holds)] += 1;
                assert_eq!(
                    holds,
                    values.bit(circuit) >> lane & 1 != 0,
                    "{} with {matched:x?}",
                    rule.name
                );
            }
        }
    }
    assert!(both.iter().all(|count| *count > 1_000), "{both:?}");
}
