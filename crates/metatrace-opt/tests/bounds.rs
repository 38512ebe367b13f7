//! Random walks along an array with bounds guards of all kinds: the optimised trace leaves at the same guard with the same
//! values, or at an early one with what the given trace has there; and few guards are left of many.

mod machine;

use machine::Machine;
use metatrace_ir::random::Random;
use metatrace_ir::{Const, GuardId, InputWord, Kind, Op, Opcode, Ref, Snapshot, Trace, Word, verify};
use metatrace_opt::{Options, optimize};
use proptest::prelude::*;

/// Records a trace on three ints: a place, a length, something else.
struct Recorder {
    trace: Trace,
    place: Ref,
    at: i64,
    guards: u32,
}

const LENGTH: usize = 1;
const OTHER: usize = 2;

impl Recorder {
    fn new() -> Recorder {
        let mut trace = Trace::new(vec![Kind::Int; 3]);
        trace.words.push(InputWord {
            value: Ref::value(LENGTH),
            word: Word::Length,
        });
        Recorder {
            trace,
            place: Ref::value(0),
            at: 0,
            guards: 0,
        }
    }

    fn constant(&mut self, value: i64) -> Ref {
        self.trace.constant(Const::int(value))
    }

    fn guard(&mut self, opcode: Opcode, tested: Ref) {
        let snapshot = self.trace.add_snapshot(Snapshot {
            frame: None,
            values: vec![self.place, Ref::value(OTHER)].into(),
            parent: None,
        });
        self.guards += 1;
        self.trace.push(Op {
            guard: Some(GuardId(self.guards)),
            ..Op::with_snapshot(opcode, &[tested], snapshot)
        });
    }

    fn go(&mut self, distance: i64) {
        let distance_value = self.constant(distance);
        self.place = self.trace.push(Op::new(Opcode::IntAdd, &[self.place, distance_value]));
        self.at += distance;
    }

    /// One move or check, with the checks that an interpreter makes, or without some of them.
    fn step(&mut self, random: &mut Random) {
        let length = Ref::value(LENGTH);
        match random.below(13) {
            0..=2 => {
                self.go(1 + random.below(2) as i64);
                let is_end = self.trace.push(Op::new(Opcode::IntEq, &[self.place, length]));
                self.guard(Opcode::GuardFalse, is_end);
            }
            3..=5 => {
                let is_start = self.trace.push(Op::new(Opcode::IntIsZero, &[self.place]));
                self.guard(Opcode::GuardFalse, is_start);
                self.go(-1 - random.below(2) as i64);
            }
            6 | 7 => {
                let inside = self.trace.push(Op::new(Opcode::UintLt, &[self.place, length]));
                self.guard(Opcode::GuardTrue, inside);
            }
            8 | 9 => {
                let distance = 1 + random.below(3) as i64;
                let bound = self.constant(distance);
                let room = self.trace.push(Op::new(Opcode::IntSub, &[length, self.place]));
                let none = self.trace.push(Op::new(Opcode::UintLe, &[room, bound]));
                self.guard(Opcode::GuardFalse, none);
                self.go(distance);
            }
            10 | 11 => {
                let distance = 1 + random.below(3) as i64;
                let bound = self.constant(distance);
                let too_low = self.trace.push(Op::new(Opcode::IntLt, &[self.place, bound]));
                self.guard(Opcode::GuardFalse, too_low);
                self.go(-distance);
            }
            _ => self.guard(Opcode::GuardTrue, Ref::value(OTHER)),
        }
    }

    fn finish(mut self) -> Trace {
        let snapshot = self.trace.add_snapshot(Snapshot {
            frame: None,
            values: vec![self.place].into(),
            parent: None,
        });
        self.trace.push(Op::with_snapshot(Opcode::Finish, &[], snapshot));
        self.trace
    }
}

fn guards(trace: &Trace) -> usize {
    trace.ops.iter().filter(|op| op.opcode.is_guard()).count()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn walks_do_the_same(seeds in proptest::collection::vec(any::<u64>(), 0..40)) {
        let mut recorder = Recorder::new();
        for seed in seeds {
            recorder.step(&mut Random(seed));
        }
        let trace = recorder.finish();
        prop_assert_eq!(verify(&trace), Ok(()));
        let optimized = optimize(&trace, &Options::default());
        prop_assert!(guards(&optimized) <= guards(&trace));
        let ends = [0, 1, 2, 7, 30, i64::MAX as u64 - 1, i64::MAX as u64];
        for length in ends {
            for place in (0..12).chain([u64::MAX - 3, u64::MAX, 1 << 63]).chain(length.wrapping_sub(12)..length.wrapping_add(3)) {
                let inputs = [place, length, 1 - (place & 1) / (1 + place % 3)];
                let inputs: Vec<(Ref, u64)> = inputs.into_iter().enumerate().map(|(n, word)| (Ref::value(n), word)).collect();
                let mut machine = Machine::new();
                let got = machine.run(&optimized, 0, &inputs);
                let expected = Machine::like(&machine).run(&trace, 0, &inputs);
                prop_assert_eq!(expected, got, "with {:?}\n{}\n---\n{}", inputs, trace, optimized);
            }
        }
    }
}

/// However long a walk is: one guard for each end, when nothing else is tested.
#[test]
fn two_guards_are_enough() {
    let mut recorder = Recorder::new();
    let mut random = Random(7);
    let inside = recorder
        .trace
        .push(Op::new(Opcode::UintLt, &[Ref::value(0), Ref::value(LENGTH)]));
    recorder.guard(Opcode::GuardTrue, inside);
    for _ in 0..500 {
        let mut random = Random(random.word());
        recorder.step(&mut random);
    }
    let trace = recorder.finish();
    let data = trace
        .ops
        .iter()
        .filter(|op| op.opcode == Opcode::GuardTrue && op.args[0] == Ref::value(OTHER))
        .count();
    assert!(data > 20 && guards(&trace) > 400);
    let optimized = optimize(&trace, &Options::default());
    assert!(
        guards(&optimized) <= 1 + 2 * (data + 1),
        "{} of {}",
        guards(&optimized),
        guards(&trace)
    );
}
