//! Which bounds checks have passed at a guard: what a bridge need not ask of its inputs again.
//!
//! ```text
//! i5 = int_add(i1, 11)
//! i6 = uint_lt(i5, i3)
//! guard_true(i6) [i1, i3]
//! …
//! guard_true(i9) [i5, i3]        its bridge knows: e0 <u e1
//! ```
//!
//! Sums of one value are at a distance from it; of several that are below one bound, the nearest and the farthest are kept:
//! what lies between them the optimiser finds out. Behind a label nothing is known. Absent: other comparisons, bounds that
//! are constants.

use metatrace_ir::{Op, Opcode, Ref, Trace};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// A value at a distance from another, which wraps around.
#[derive(Clone, Copy)]
struct Sum {
    of: Ref,
    distance: i64,
}

/// `value + distance <u bound`, of inputs of a bridge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Below {
    /// The number of the value among the inputs.
    pub value: usize,
    /// The distance.
    pub distance: i64,
    /// The number of the bound among the inputs.
    pub bound: usize,
}

/// What is known while a walk goes over a trace.
#[derive(Default)]
pub(super) struct Bounds {
    /// By value; of inputs and what is no sum, itself.
    sums: Vec<Sum>,
    /// The first operation behind the last label.
    part: usize,
    /// By value: what it is below.
    known: FxHashMap<Ref, SmallVec<[Known; 2]>>,
    /// By value: its place in the exit that had it last.
    places: Vec<usize>,
    /// By value: the last exit of which was told what it is below; and the number of exits.
    told: Vec<u32>,
    exits: u32,
}

/// At which distances a value is below a bound: the nearest and the farthest.
struct Known {
    bound: Ref,
    low: i64,
    high: i64,
}

impl Bounds {
    /// Goes to the start of a trace.
    pub(super) fn restart(&mut self, trace: &Trace) {
        let itself = |n| Sum {
            of: Ref::value(n),
            distance: 0,
        };
        let count = trace.value_count();
        self.sums.clear();
        self.sums.extend((0..count).map(itself));
        self.part = 0;
        self.known.clear();
        self.places.clear();
        self.places.resize(count, 0);
        self.told.clear();
        self.told.resize(count, 0);
        self.exits = 0;
    }

    /// Of the exit's values, which become the inputs of a bridge.
    pub(super) fn inherited(&mut self, exit: &[Ref], inherited: &mut Vec<Below>) {
        if self.known.is_empty() {
            return;
        }
        let number = |value: Ref| value.as_value().expect("no constant");
        for (n, value) in exit.iter().enumerate() {
            self.places[number(*value)] = n;
        }
        let place = |value: Ref| Some(self.places[number(value)]).filter(|n| exit.get(*n) == Some(&value));
        self.exits += 1;
        for (n, value) in exit.iter().enumerate() {
            let Sum { of, distance } = self.sums[number(*value)];
            let Some(bounds) = self.known.get(&of) else { continue };
            if std::mem::replace(&mut self.told[number(of)], self.exits) == self.exits {
                continue;
            }
            // as seen from itself, or from this sum of it
            let (value, offset) = place(of).map_or((n, distance), |itself| (itself, 0));
            for Known { bound, low, high } in bounds {
                let Some(bound) = place(*bound) else { continue };
                let below = |distance: i64| Below {
                    value,
                    distance: distance.wrapping_sub(offset),
                    bound,
                };
                inherited.push(below(*low));
                if low != high {
                    inherited.push(below(*high));
                }
            }
        }
    }

    /// Goes over operation `n`.
    pub(super) fn follow(&mut self, trace: &Trace, n: usize) {
        let op = &trace.ops[n];
        match op.opcode {
            Opcode::IntAdd | Opcode::IntAddOvf => {
                if let (Some(a), Some(distance)) = (op.args[0].as_value(), trace.as_const(op.args[1])) {
                    let Sum { of, distance: first } = self.sums[a];
                    self.sums[trace.inputs.len() + n] = Sum {
                        of,
                        distance: first.wrapping_add(distance.bits as i64),
                    };
                }
            }
            Opcode::GuardTrue | Opcode::RecordTrue => self.learn(trace, op),
            Opcode::Label => {
                self.part = n + 1;
                self.known.clear();
                for arg in &op.args {
                    let n = arg.as_value().expect("no constant");
                    self.sums[n] = Sum { of: *arg, distance: 0 };
                }
            }
            _ => {}
        }
    }

    fn learn(&mut self, trace: &Trace, op: &Op) {
        // a comparison that comes in through a label says nothing of what its operands are there
        let tested = trace.defining_op_in(op.args[0], self.part);
        let tested = tested.map(|n| &trace.ops[n]);
        let Some(tested) = tested.filter(|tested| tested.opcode == Opcode::UintLt) else {
            return;
        };
        let (Some(a), bound) = (tested.args[0].as_value(), tested.args[1]) else {
            return;
        };
        let Sum { of, distance } = self.sums[a];
        if bound.is_const() {
            return;
        }
        let bounds = self.known.entry(of).or_default();
        match bounds.iter_mut().find(|known| known.bound == bound) {
            Some(known) => (known.low, known.high) = (known.low.min(distance), known.high.max(distance)),
            None => bounds.push(Known {
                bound,
                low: distance,
                high: distance,
            }),
        }
    }
}
