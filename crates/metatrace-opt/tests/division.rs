//! Divisions by constants, and what their results are known to be, on words at all boundaries.

mod machine;

use machine::Machine;
use metatrace_ir::eval::eval;
use metatrace_ir::random::Random;
use metatrace_ir::{Const, InputWord, Kind, Op, Opcode, Ref, Snapshot, Trace, Word};
use metatrace_opt::{Options, optimize};

fn interesting(random: &mut Random) -> u64 {
    match random.below(4) {
        0 => random.below(40) as u64,
        1 => (random.below(40) as u64).wrapping_neg(),
        2 => 1u64
            .rotate_left(random.below(64) as u32)
            .wrapping_add(random.below(5) as u64)
            .wrapping_sub(2),
        _ => random.interesting_word(),
    }
}

/// `i1 = opcode(i0, divisor); i2 = i1 < i0`, and back with both.
fn trace(opcode: Opcode, divisor: u64, word: Option<Word>) -> Trace {
    let mut trace = Trace::new(vec![Kind::Int]);
    let x = Ref::value(0);
    trace.words.extend(word.map(|word| InputWord { value: x, word }));
    let divisor = trace.constant(Const::int(divisor as i64));
    let result = trace.push(Op::new(opcode, &[x, divisor]));
    let is_less = trace.push(Op::new(Opcode::IntLt, &[result, divisor]));
    let snapshot = trace.add_snapshot(Snapshot {
        frame: None,
        values: vec![result, is_less].into(),
        parent: None,
    });
    trace.push(Op::with_snapshot(Opcode::Finish, &[], snapshot));
    trace
}

#[test]
fn results_are_exact() {
    let mut random = Random(11);
    let mut divisions_left = 0;
    for _ in 0..6_000 {
        let opcode = *random.pick(&[
            Opcode::IntFloordiv,
            Opcode::IntMod,
            Opcode::UintFloordiv,
            Opcode::UintMod,
        ]);
        let divisor = interesting(&mut random);
        let word = *random.pick(&[None, Some(Word::Length), Some(Word::U16)]);
        let given = trace(opcode, divisor, word);
        let optimized = optimize(&given, &Options::default());
        divisions_left += optimized.ops.iter().filter(|op| op.opcode == opcode).count();
        for _ in 0..20 {
            let x = word.map_or(!0, |word| if word == Word::U16 { 0xffff } else { !0 >> 1 }) & interesting(&mut random);
            if eval(opcode, &[x, divisor]).is_none() {
                continue;
            }
            let inputs = [(Ref::value(0), x)];
            let expected = Machine::new().run(&given, 0, &inputs);
            let got = Machine::new().run(&optimized, 0, &inputs);
            assert_eq!(expected, got, "{x} by {divisor}\n{given}\n---\n{optimized}");
        }
    }
    assert!(divisions_left < 600, "{divisions_left} divisions are left");
}
