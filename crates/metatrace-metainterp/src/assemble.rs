//! From a recording to a trace that can be compiled: the part behind a mark is cut out and gets its label and its jump.

use crate::recorder::Mark;
use metatrace_ir::{
    Descr, InputWord, Kind, Op, Opcode, Ref, Root, RootKind, Snapshot, SnapshotId, TargetToken, Trace, Word,
};
use smallvec::SmallVec;
use std::rc::Rc;

/// How a cut trace ends.
#[derive(Clone, Debug)]
pub enum Ending {
    /// A jump with these values of the recording.
    Jump(TargetToken, Vec<Ref>),
    /// The recording's own last operation, `finish`.
    Finish,
}

/// The loop that starts at `mark`: its inputs are the reds there, its label is `label`.
///
/// # Panics
/// If an operation behind the mark uses a value from before it, or the mark is behind the end: bugs of the recorder.
pub fn cut_loop(
    recorded: &Trace,
    mark: &Mark,
    label: TargetToken,
    ending: &Ending,
    roots: &[Option<RootKind>],
) -> Trace {
    let kinds: Vec<Kind> = mark.reds.iter().map(|red| recorded.kind(*red)).collect();
    let mut trace = Trace::new(kinds);
    trace.roots = roots
        .iter()
        .enumerate()
        .filter_map(|(n, kind)| {
            kind.map(|kind| Root {
                value: trace.input(n),
                kind,
            })
        })
        .collect();
    let inputs: Vec<Ref> = (0..mark.reds.len()).map(|n| trace.input(n)).collect();
    let mut values = vec![None; recorded.value_count()];
    for (red, input) in mark.reds.iter().zip(&inputs) {
        values[red.as_value().expect("reds are distinct values at a mark")] = Some(*input);
    }
    // besides its ends, a label and a jump; there are as many snapshots at most, and it is gone when it is compiled
    trace.reserve(recorded.ops.len() - mark.op + 2, recorded.snapshots.len());
    trace.push(Op::with_descr(Opcode::Label, &inputs, Rc::new(Descr::Target(label))));
    let mut cut = Cut {
        recorded,
        trace,
        values,
        constants: Vec::new(),
        snapshots: vec![None; recorded.snapshots.len()],
    };
    cut.copy_from(mark.op);
    cut.end(ending);
    cut.trace
}

/// Facts about the inputs of a trace, from the types of the words.
pub fn words_of_inputs(words: &[Word]) -> Vec<InputWord> {
    let narrow = |(n, word): (usize, &Word)| {
        let value = Ref::value(n);
        is_narrow(*word).then_some(InputWord { value, word: *word })
    };
    words.iter().enumerate().filter_map(narrow).collect()
}

/// Whether not every int is one of this word's.
pub(crate) fn is_narrow(word: Word) -> bool {
    word.size() < 8 || word == Word::Length
}

/// Appends the ending to a recording that began at a guard.
pub fn close_bridge(recorded: &mut Trace, ending: &Ending) {
    if let Ending::Jump(target, reds) = ending {
        recorded.push(Op::with_descr(Opcode::Jump, reds, Rc::new(Descr::Target(*target))));
    }
}

struct Cut<'a> {
    recorded: &'a Trace,
    trace: Trace,
    /// By value, constant and snapshot of the recording: the trace's.
    values: Vec<Option<Ref>>,
    constants: Vec<Option<Ref>>,
    snapshots: Vec<Option<SnapshotId>>,
}

impl Cut<'_> {
    fn copy_from(&mut self, start: usize) {
        for n in start..self.recorded.ops.len() {
            let mut op = self.recorded.ops[n].clone();
            for arg in &mut op.args {
                *arg = self.value(*arg);
            }
            op.snapshot = op.snapshot.map(|snapshot| self.snapshot(snapshot));
            let value = self.trace.push(op);
            self.values[self.recorded.inputs.len() + n] = Some(value);
        }
    }

    fn end(&mut self, ending: &Ending) {
        if let Ending::Jump(target, reds) = ending {
            let reds: Vec<Ref> = reds.iter().map(|red| self.value(*red)).collect();
            self.trace
                .push(Op::with_descr(Opcode::Jump, &reds, Rc::new(Descr::Target(*target))));
        }
    }

    fn value(&mut self, value: Ref) -> Ref {
        let Some(n) = value.as_value() else {
            return self.trace.constant_from(self.recorded, value, &mut self.constants);
        };
        self.values[n].unwrap_or_else(|| panic!("{value:?} comes from before the merge point\n{}", self.recorded))
    }

    fn snapshot(&mut self, id: SnapshotId) -> SnapshotId {
        if let Some(known) = self.snapshots[id.0 as usize] {
            return known;
        }
        let snapshot = &self.recorded.snapshots[id.0 as usize];
        let parent = snapshot.parent.map(|parent| self.snapshot(parent));
        let mut values = SmallVec::from_slice(&snapshot.values);
        for value in &mut values {
            *value = self.value(*value);
        }
        let copy = self.trace.add_snapshot(Snapshot {
            frame: snapshot.frame,
            values,
            parent,
        });
        self.snapshots[id.0 as usize] = Some(copy);
        copy
    }
}
