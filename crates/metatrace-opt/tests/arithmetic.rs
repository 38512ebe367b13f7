//! Random arithmetic and guards: the optimised trace leaves at the same guard with the same values, from its start and
//! from each of its labels.

mod machine;

use machine::{Machine, Outcome};
use metatrace_ir::random::{self, Config, Random};
use metatrace_ir::{Args, Const, Kind, Opcode, Ref, Trace, verify};
use metatrace_opt::{Options, optimize};
use proptest::prelude::*;

fn config() -> Config {
    let mut config = Config::arithmetic();
    config.opcodes.extend([
        Opcode::Label,
        Opcode::Jump,
        Opcode::DebugMergePoint,
        Opcode::IntAdd,
        Opcode::IntAnd,
    ]);
    // which bits a NaN has is nobody's promise
    config
        .opcodes
        .retain(|opcode| *opcode != Opcode::ConvertFloatBytesToLonglong);
    config.guard_names = true;
    config
}

/// Guards on a NaN's bits compare with another number.
fn without_guards_on_nan(trace: &mut Trace) {
    for n in 0..trace.ops.len() {
        if trace.ops[n].opcode == Opcode::GuardValue {
            let constant = trace.as_const(trace.ops[n].args[1]).expect("the verifier's");
            if constant.kind == Kind::Float && f64::from_bits(constant.bits).is_nan() {
                trace.ops[n].args[1] = trace.constant(Const::float(1.5));
            }
        }
    }
}

fn interesting(kind: Kind, random: &mut Random) -> u64 {
    match kind {
        Kind::Int if random.one_in(2) => random.below(4) as u64,
        Kind::Int => random.interesting_word(),
        Kind::Ref => *random.pick(&[0, 0x1000, 0x7fff_0000_1238]),
        Kind::Float => random.interesting_float(),
    }
}

fn inputs(trace: &Trace, random: &mut Random) -> Vec<(Ref, u64)> {
    trace
        .inputs
        .iter()
        .enumerate()
        .map(|(n, kind)| (Ref::value(n), interesting(*kind, random)))
        .collect()
}

/// Turns most guards that fail on these inputs into their opposites, so that much of the trace is executed.
fn let_guards_hold(trace: &mut Trace, inputs: &[(Ref, u64)], random: &mut Random) {
    let mut machine = Machine::new();
    let mut state = vec![0; trace.value_count()];
    for (value, bits) in inputs {
        state[value.as_value().expect("an input")] = *bits;
    }
    for n in 0..trace.ops.len() {
        if machine.step(trace, n, &mut state).is_none() || random.one_in(30) {
            continue;
        }
        let opposite = match trace.ops[n].opcode {
            Opcode::GuardTrue => Opcode::GuardFalse,
            Opcode::GuardFalse => Opcode::GuardTrue,
            Opcode::GuardNonnull => Opcode::GuardIsnull,
            Opcode::GuardIsnull => Opcode::GuardNonnull,
            Opcode::GuardNoOverflow => Opcode::GuardOverflow,
            Opcode::GuardOverflow => Opcode::GuardNoOverflow,
            Opcode::GuardValue => {
                let value = trace.ops[n].args[0];
                let bits = machine::value_of(trace, &state, value);
                let constant = Const {
                    kind: trace.kind(value),
                    bits,
                };
                if constant.kind == Kind::Float && f64::from_bits(bits).is_nan() {
                    continue;
                }
                trace.ops[n].args[1] = trace.constant(constant);
                continue;
            }
            Opcode::GuardAlwaysFails => {
                let one = trace.constant(Const::int(1));
                trace.ops[n].args = Args::new(&[one]);
                Opcode::GuardTrue
            }
            _ => continue,
        };
        trace.ops[n].opcode = opposite;
    }
}

/// Where execution may begin, and the values that are visible there.
fn entries(trace: &Trace) -> Vec<(usize, Vec<Ref>)> {
    let labels = trace
        .ops
        .iter()
        .enumerate()
        .filter(|(_, op)| op.opcode == Opcode::Label);
    let start = (0, (0..trace.inputs.len()).map(Ref::value).collect());
    std::iter::once(start)
        .chain(labels.map(|(n, op)| (n, op.args.to_vec())))
        .collect()
}

fn options() -> impl Strategy<Value = Options> {
    let all = Just(Options::default());
    let some =
        any::<[bool; 9]>().prop_map(
            |[fold, guards, pure, virtuals, heap, group, chain, demand, sink]| Options {
                fold,
                guards,
                pure,
                virtuals,
                heap,
                group,
                chain,
                demand,
                sink,
                peel: None,
            },
        );
    prop_oneof![3 => all, 1 => some]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_same_guard_fails_with_the_same_values(
        seeds in proptest::collection::vec(any::<u64>(), 0..70),
        seed in any::<u64>(),
        options in options(),
    ) {
        let mut random = Random(seed);
        let mut trace = random::trace(&seeds, &config());
        without_guards_on_nan(&mut trace);
        let first = inputs(&trace, &mut random);
        let_guards_hold(&mut trace, &first, &mut random);
        prop_assert_eq!(verify(&trace), Ok(()));
        let optimized = optimize(&trace, &options);
        for run in 0..6 {
            let (before, after) = (entries(&trace), entries(&optimized));
            prop_assert_eq!(before.len(), after.len());
            for ((from, values), (optimized_from, optimized_values)) in before.into_iter().zip(after) {
                let words = if from == 0 && run == 0 {
                    first.iter().map(|(_, bits)| *bits).collect::<Vec<_>>()
                } else {
                    values.iter().map(|value| interesting(trace.kind(*value), &mut random)).collect()
                };
                let with = |values: Vec<Ref>| values.into_iter().zip(words.iter().copied()).collect::<Vec<_>>();
                let mut machine = Machine::new();
                let got = machine.run(&optimized, optimized_from, &with(optimized_values));
                let expected: Outcome = Machine::like(&machine).run(&trace, from, &with(values));
                prop_assert_eq!(expected, got, "from {} with {:x?}\n{}\n---\n{}", from, words, trace, optimized);
            }
        }
    }

    #[test]
    fn guards_never_multiply(seeds in proptest::collection::vec(any::<u64>(), 0..70)) {
        let trace = random::trace(&seeds, &config());
        // what is sunk is not optimised twice
        let options = Options { sink: false, ..Options::default() };
        let once = optimize(&trace, &options);
        let twice = optimize(&once, &options);
        let guards = |trace: &Trace| trace.ops.iter().filter(|op| op.opcode.is_guard()).count();
        prop_assert!(guards(&twice) <= guards(&once));
        prop_assert!(guards(&once) <= guards(&trace));
    }

    /// Whatever is in a trace, the result is valid; debug builds verify it inside.
    #[test]
    fn every_valid_trace_gives_a_valid_one(seeds in proptest::collection::vec(any::<u64>(), 0..90)) {
        let trace = random::trace(&seeds, &Config { sunk: false, ..Config::everything() });
        let optimized = optimize(&trace, &Options::default());
        prop_assert_eq!(verify(&optimized), Ok(()));
    }
}
