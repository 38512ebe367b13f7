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
pub(super) struct Bounds<'a> {
    trace: &'a Trace,
    /// By value; of inputs and what is no sum, itself.
    sums: Vec<Sum>,
    /// The first operation behind the last label.
    part: usize,
    /// By value and bound: the distances at which the value is below it, the nearest and the farthest.
    known: Vec<(Ref, Ref, [i64; 2])>,
}

impl Bounds<'_> {
    pub(super) fn new(trace: &Trace) -> Bounds<'_> {
        let itself = |n| Sum {
            of: Ref::value(n),
            distance: 0,
        };
        Bounds {
            trace,
            sums: (0..trace.value_count()).map(itself).collect(),
            part: 0,
            known: Vec::new(),
        }
    }

    /// Of the exit's values, which become the inputs of a bridge.
    pub(super) fn inherited(&self, exit: &[Ref]) -> Vec<Below> {
        let mut inherited = Vec::new();
        if self.known.is_empty() {
            return inherited;
        }
        let places: FxHashMap<Ref, usize> = exit.iter().enumerate().map(|(n, value)| (*value, n)).collect();
        for (value, bound, distances) in &self.known {
            let Some(&bound) = places.get(bound) else { continue };
            let near = places.get(value).map(|n| (*n, 0));
            // or another sum of it
            let found = near.or_else(|| {
                let sums = exit.iter().enumerate();
                let mut sums = sums.map(|(n, other)| (n, self.sums[other.as_value().expect("no constant")]));
                let (n, sum) = sums.find(|(_, sum)| sum.of == *value)?;
                Some((n, sum.distance))
            });
            let Some((value, offset)) = found else { continue };
            let below = |distance: &i64| Below {
                value,
                distance: distance.wrapping_sub(offset),
                bound,
            };
            inherited.push(below(&distances[0]));
            if distances[0] != distances[1] {
                inherited.push(below(&distances[1]));
            }
        }
        inherited
    }

    /// Goes over operation `n`.
    pub(super) fn follow(&mut self, n: usize) {
        let op = &self.trace.ops[n];
        match op.opcode {
            Opcode::IntAdd | Opcode::IntAddOvf => {
                if let (Some(a), Some(distance)) = (op.args[0].as_value(), self.trace.as_const(op.args[1])) {
                    let Sum { of, distance: first } = self.sums[a];
                    self.sums[self.trace.inputs.len() + n] = Sum {
                        of,
                        distance: first.wrapping_add(distance.bits as i64),
                    };
                }
            }
            Opcode::GuardTrue | Opcode::RecordTrue => self.learn(op),
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

    fn learn(&mut self, op: &Op) {
        // a comparison that comes in through a label says nothing of what its operands are there
        let tested = self.trace.defining_op(op.args[0]).filter(|n| *n >= self.part);
        let tested = tested.map(|n| &self.trace.ops[n]);
        let Some(tested) = tested.filter(|tested| tested.opcode == Opcode::UintLt) else {
            return;
        };
        let (Some(a), bound) = (tested.args[0].as_value(), tested.args[1]) else {
            return;
        };
        let Sum { of, distance } = self.sums[a];
        let pair = self
            .known
            .iter_mut()
            .find(|(value, of_bound, _)| (*value, *of_bound) == (of, bound));
        match pair {
            Some((_, _, [low, high])) => (*low, *high) = ((*low).min(distance), (*high).max(distance)),
            None if bound.is_const() => {}
            None => self.known.push((of, bound, [distance; 2])),
        }
    }
}
