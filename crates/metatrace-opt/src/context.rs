//! What the passes may ask of the trace that is being built, and what they tell each other.

use crate::bits::{self, Bits};
use crate::range::{self, Range};
use metatrace_ir::{
    Class, Const, Derived, Descr, FramesOnce, InputWord, Kind, Op, Opcode, Ref, Root, SnapshotId, Trace,
};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// So many definitions back goes what a guard proves.
const BACK: u32 = 4;

/// What is known of a value by now.
#[derive(Clone, Copy, Debug)]
struct Facts {
    /// Where an int lies.
    range: Range,
    /// Which of an int's bits are known. Agrees with the range.
    bits: Bits,
    /// Itself, or the constant that a guard has proved it to be.
    equal: Ref,
}

impl Facts {
    fn none(value: Ref) -> Facts {
        Facts {
            range: Range::FULL,
            bits: Bits::ANY,
            equal: value,
        }
    }
}

/// The new trace as the passes see it: they read definitions, make constants and add facts, but only the driver adds
/// operations.
pub(crate) struct Context {
    trace: Trace,
    /// By constant of the given trace: the new trace's.
    constants: Vec<Option<Ref>>,
    /// The first value that is defined in this part of the trace: of older ones nothing is known behind a label.
    part: usize,
    /// Behind the label of a peeled loop: by value of the preamble, whether it is the same in each round.
    invariant: Vec<bool>,
    /// By value.
    facts: Vec<Facts>,
    /// By value: where an int lies by what was known at its definition, of label arguments by what they are. Unlike
    /// [`Facts::range`] this holds wherever the value is visible.
    born: Vec<Range>,
    /// Sunk values, and those that have taken their places.
    in_line: FxHashMap<Ref, Ref>,
    /// What the exit holds that stands right behind the operation; `None` until somebody wants to know.
    exit_behind: Option<Vec<Ref>>,
    /// What was learnt since the driver last looked.
    learned: VecDeque<(Ref, Ref)>,
    /// What is known of the memory behind inputs and arguments of the last label.
    roots: Vec<Root>,
    /// What is known of inputs, and of arguments of the last label, from what they are.
    words: Vec<InputWord>,
    /// The operation before was one that sets the overflow flag and is no longer there: whether it overflows.
    pub(crate) overflow: Option<bool>,
}

impl Default for Context {
    /// Of no trace yet.
    fn default() -> Context {
        Context {
            trace: Trace::default(),
            constants: Vec::new(),
            part: 0,
            invariant: Vec::new(),
            facts: Vec::new(),
            born: Vec::new(),
            in_line: FxHashMap::default(),
            exit_behind: None,
            learned: VecDeque::new(),
            roots: Vec::new(),
            words: Vec::new(),
            overflow: None,
        }
    }
}

impl Context {
    /// Goes to the start of a trace that is made of `input`.
    pub(crate) fn restart(&mut self, input: &Trace) {
        self.trace.restart_like(input);
        self.constants.clear();
        self.part = input.inputs.len();
        self.invariant.clear();
        self.facts.clear();
        self.facts
            .extend((0..input.inputs.len()).map(|n| Facts::none(Ref::value(n))));
        self.born.clear();
        self.born.resize(input.inputs.len(), Range::FULL);
        self.in_line.clear();
        self.exit_behind = None;
        self.learned.clear();
        self.roots.clone_from(&input.roots);
        self.words.clone_from(&input.words);
        self.overflow = None;
        self.start_words();
    }

    /// The operation that defines a value; `None` for constants, inputs, what a label has made anew, and in a peeled loop for
    /// values of the preamble that vary: true as it is, what is made of their operands would have to be carried along.
    pub(crate) fn definition(&self, value: Ref) -> Option<&Op> {
        match self.invariant.get(value.as_value()?) {
            Some(false) => None,
            _ => self.computation(value),
        }
    }

    /// As [`definition`](Self::definition), for who only compares.
    pub(crate) fn computation(&self, value: Ref) -> Option<&Op> {
        let n = self.trace.defining_op(value)?;
        (value.as_value()? >= self.part).then(|| &self.trace.ops[n])
    }

    /// The reference to a constant.
    pub(crate) fn constant(&mut self, constant: Const) -> Ref {
        self.trace.constant(constant)
    }

    /// The reference to a constant of the given trace.
    pub(crate) fn constant_of(&mut self, input: &Trace, value: Ref) -> Ref {
        self.trace.constant_from(input, value, &mut self.constants)
    }

    /// The reference to a constant int.
    pub(crate) fn int(&mut self, value: i64) -> Ref {
        self.trace.constant(Const::int(value))
    }

    /// The bits of a constant.
    pub(crate) fn bits(&self, value: Ref) -> Option<u64> {
        self.trace.as_const(value).map(|constant| constant.bits)
    }

    pub(crate) fn kind(&self, value: Ref) -> Kind {
        self.trace.kind(value)
    }

    /// Where an int lies; full for other kinds.
    pub(crate) fn range(&self, value: Ref) -> Range {
        match (self.trace.as_const(value), value.as_value()) {
            (Some(Const { kind: Kind::Int, bits }), _) => Range::constant(bits as i64),
            (_, Some(n)) => self.facts[n].range,
            _ => Range::FULL,
        }
    }

    /// Which bits of an int are known; none of other kinds.
    pub(crate) fn known_bits(&self, value: Ref) -> Bits {
        match (self.trace.as_const(value), value.as_value()) {
            (Some(Const { kind: Kind::Int, bits }), _) => Bits::constant(bits),
            (_, Some(n)) => self.facts[n].bits,
            _ => Bits::ANY,
        }
    }

    /// At the start of the trace: what derives from roots. Behind a label nothing is known of that.
    pub(crate) fn derived(&self) -> Option<&[Derived]> {
        self.trace.ops.is_empty().then_some(&self.trace.derived[..])
    }

    /// What is known of the memory behind values of this part.
    pub(crate) fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// The value, or the constant that it is known to be; in the place of a sunk value the one that has taken it.
    pub(crate) fn resolve(&self, value: Ref) -> Ref {
        let value = self.in_line(value);
        value.as_value().map_or(value, |n| self.facts[n].equal)
    }

    /// The value, or the one that has taken its place if it was sunk.
    pub(crate) fn in_line(&self, value: Ref) -> Ref {
        match self.in_line.is_empty() {
            true => value,
            false => self.in_line.get(&value).copied().unwrap_or(value),
        }
    }

    /// The values in the frames of an exit.
    pub(crate) fn exit_values(&self, op: &Op) -> Vec<Ref> {
        let innermost = op.snapshot.expect("an exit has frames");
        let frames = self.trace.frames(innermost);
        frames.flat_map(|frame| &frame.values).copied().collect()
    }

    /// What the exit holds that stands right behind the operation, where nothing can be put in between; the operation's own
    /// result is not among it. Known for operations that come when somebody [has asked](Context::ask_for_exits).
    pub(crate) fn exit_behind(&self) -> Vec<Ref> {
        self.exit_behind.clone().unwrap_or_default()
    }

    pub(crate) fn ask_for_exits(&mut self) {
        self.exit_behind.get_or_insert_default();
    }

    /// A guard has proved that `value` is `constant`.
    pub(crate) fn learn(&mut self, value: Ref, constant: Ref) {
        if let Some(n) = value.as_value()
            && self.facts[n].equal == value
        {
            self.facts[n].equal = constant;
            self.learned.push_back((value, constant));
            let (range, bits) = (self.range(constant), self.known_bits(constant));
            self.narrow_back(value, range, bits, BACK);
        }
    }

    /// A guard has proved that an int lies in `range`, and what follows for the operands it was computed from. A
    /// contradiction, behind which nothing is ever executed, changes nothing.
    pub(crate) fn narrow(&mut self, value: Ref, range: Range) {
        self.narrow_back(value, range, Bits::ANY, BACK);
    }

    fn narrow_back(&mut self, value: Ref, range: Range, bits: Bits, depth: u32) {
        let Some(n) = value.as_value() else { return };
        let known = self.facts[n];
        let narrowed = known.range.intersect(range).zip(known.bits.meet(bits));
        let Some((range, bits)) = narrowed.and_then(|(range, bits)| bits::refine(range, bits)) else {
            return;
        };
        if (range, bits) == (known.range, known.bits) {
            return;
        }
        self.facts[n] = Facts { range, bits, ..known };
        let Some(op) = self.definition(value).filter(|_| depth > 0) else {
            return;
        };
        let is_arithmetic = matches!(op.opcode.class(), Class::Pure | Class::Overflow) && !op.opcode.is_comparison();
        if !is_arithmetic {
            return;
        }
        let opcode = op.opcode;
        let (operands, count) = match op.args[..] {
            [a] => ([a, a], 1),
            [a, b] => ([a, b], 2),
            _ => unreachable!("arithmetic has one operand or two"),
        };
        let [a, b] = operands;
        for (n, operand) in operands.into_iter().enumerate().take(count) {
            let from = range::backward(opcode, range, self.range(a), self.range(b), n);
            let known = bits::backward(opcode, bits, self.known_bits(a), self.known_bits(b), n);
            self.narrow_back(operand, from, known, depth - 1);
        }
    }

    // ---- for the driver

    /// From now on `value`, which is in line, stands in the place of `sunk`.
    pub(crate) fn replace(&mut self, sunk: Ref, value: Ref) {
        self.in_line.insert(sunk, value);
    }

    /// How many sunk values were replaced.
    pub(crate) fn replaced(&self) -> usize {
        self.in_line.len()
    }

    pub(crate) fn wants_exits(&self) -> bool {
        self.exit_behind.is_some()
    }

    pub(crate) fn set_exit_behind(&mut self, values: Vec<Ref>) {
        self.exit_behind = Some(values);
    }

    pub(crate) fn snapshot(&self, id: SnapshotId) -> &metatrace_ir::Snapshot {
        &self.trace.snapshots[id.0 as usize]
    }

    /// Whether exits compute the value.
    pub(crate) fn is_sunk(&self, value: Ref) -> bool {
        self.trace.sunk_op(value).is_some()
    }

    /// What was learnt first since the driver last looked.
    pub(crate) fn take_learned(&mut self) -> Option<(Ref, Ref)> {
        self.learned.pop_front()
    }

    /// Appends an operation; returns the value it defines.
    pub(crate) fn push(&mut self, op: Op) -> Ref {
        let (range, bits) = self.knowledge_of(&op);
        let value = self.trace.push(op);
        self.facts.push(Facts {
            range,
            bits,
            equal: value,
        });
        self.born.push(range);
        value
    }

    /// Appends an operation that was put off: by now other values may stand in the places of its operands.
    pub(crate) fn push_late(&mut self, mut op: Op) -> Ref {
        for arg in &mut op.args {
            *arg = self.resolve(*arg);
        }
        self.push(op)
    }

    /// What the operation's result is known to be.
    pub(crate) fn knowledge_of(&self, op: &Op) -> (Range, Bits) {
        if op.opcode.result() != Some(Kind::Int) {
            return (Range::FULL, Bits::ANY);
        }
        if op.opcode.is_comparison() {
            return (Range::BOOL, Bits::BOOL);
        }
        let word = op.descr.as_deref().and_then(Descr::word);
        let (range, bits) = match (op.opcode.class(), word) {
            (Class::Load, Some(word)) => (Range::of_word(word), Bits::ANY),
            _ => {
                let range = |n: usize| op.args.get(n).map_or(Range::FULL, |arg| self.range(*arg));
                let bits = |n: usize| op.args.get(n).map_or(Bits::ANY, |arg| self.known_bits(*arg));
                (
                    range::transfer(op.opcode, range(0), range(1)),
                    bits::transfer(op.opcode, bits(0), bits(1)),
                )
            }
        };
        // a contradiction: never executed
        bits::refine(range, bits).unwrap_or((Range::FULL, Bits::ANY))
    }

    pub(crate) fn add_snapshot(&mut self, snapshot: metatrace_ir::Snapshot) -> SnapshotId {
        self.trace.add_snapshot(snapshot)
    }

    /// A label with these arguments was pushed: forgets what was known of them. What was declared of `declared`, those of them
    /// that are inputs of the given trace, holds of the arguments: whoever jumps here keeps to it.
    pub(crate) fn start_part(&mut self, declared: &[Option<Ref>], args: &[Ref]) {
        self.part = self.trace.value_count();
        for &arg in args {
            let n = arg.as_value().expect("a label's argument is no constant");
            self.facts[n] = Facts::none(arg);
            self.born[n] = Range::FULL;
        }
        let words = std::mem::take(&mut self.words);
        self.words = words
            .into_iter()
            .filter_map(|narrow| {
                let n = declared.iter().position(|value| *value == Some(narrow.value))?;
                Some(InputWord {
                    value: args[n],
                    ..narrow
                })
            })
            .collect();
        self.start_words();
        let roots = std::mem::take(&mut self.roots);
        self.roots = roots
            .into_iter()
            .filter_map(|root| {
                let n = declared.iter().position(|value| *value == Some(root.value))?;
                Some(Root { value: args[n], ..root })
            })
            .collect();
    }

    /// Whether something is declared of the value by what it is.
    pub(crate) fn is_declared(&self, value: Ref) -> bool {
        self.words.iter().any(|narrow| narrow.value == value) || self.roots.iter().any(|root| root.value == value)
    }

    fn start_words(&mut self) {
        for InputWord { value, word } in &self.words {
            let n = value.as_value().expect("no constant");
            let range = Range::of_word(*word);
            self.facts[n].range = range;
            self.facts[n].bits = Bits::of_range(range);
            self.born[n] = range;
        }
    }

    // ---- for peeling

    pub(crate) fn value_count(&self) -> usize {
        self.trace.value_count()
    }

    /// The label of a peeled loop comes next; of the first label's arguments, these are invariant. `stays` says of a load
    /// from an invariant address whether it would give the same value again.
    pub(crate) fn enter_loop(&mut self, args: &[Ref], stays: impl Fn(&Op, Ref, &Context) -> bool) {
        let mut invariant = vec![false; self.trace.value_count()];
        for arg in args {
            invariant[arg.as_value().expect("a label's argument is no constant")] = true;
        }
        for (n, op) in self.trace.ops.iter().enumerate() {
            let value = self.trace.result(n);
            let is_invariant = |arg: &Ref| arg.as_value().is_none_or(|n| invariant[n]);
            let repeats = match op.opcode.class() {
                Class::Pure => true,
                Class::Load => stays(op, value, self),
                _ => false,
            };
            if repeats && op.args.iter().all(is_invariant) {
                invariant[value.as_value().expect("a result")] = true;
            }
        }
        self.invariant = invariant;
    }

    /// Whether the value is the same in each round of the loop to come.
    pub(crate) fn is_invariant(&self, value: Ref) -> bool {
        value.as_value().is_none_or(|n| self.invariant[n])
    }

    /// The values in front of the label that are the bits of a float, and vary from round to round.
    pub(crate) fn bits_of_floats(&self, label: Ref) -> Vec<Ref> {
        let end = self.trace.defining_op(label).expect("a label is an operation");
        let bits = self.trace.ops[..end].iter().enumerate().filter(|(n, op)| {
            let are_bits = op.opcode == Opcode::ConvertFloatBytesToLonglong && !op.sunk && !op.args[0].is_const();
            are_bits && !self.is_invariant(self.trace.result(*n))
        });
        bits.map(|(n, _)| self.trace.result(n)).collect()
    }

    /// The number of guards that always fail.
    pub(crate) fn exits_always(&self) -> usize {
        let fails = |op: &&Op| op.opcode == Opcode::GuardAlwaysFails;
        self.trace.ops.iter().filter(fails).count()
    }

    /// What must be known behind the label for what happens there: operands of operations that cannot be left out, and the
    /// values of exits.
    pub(crate) fn needed_behind(&self, label: Ref) -> Vec<Ref> {
        let trace = &self.trace;
        let start = trace.defining_op(label).expect("a label is an operation");
        let mut needed = Vec::new();
        let mut frames = FramesOnce::new(trace);
        for (n, op) in trace.ops.iter().enumerate().skip(start) {
            if !op.sunk && !trace.is_removable(n) {
                needed.extend_from_slice(&op.args);
            }
            // what the exit's program needs are operands of what the frames and the pending stores need
            needed.extend(op.pending.iter().flat_map(|stores| stores.iter()));
            for frame in frames.of(trace, op) {
                needed.extend_from_slice(&frame.values);
            }
        }
        needed
    }

    /// The operands of the operation that computes a value.
    pub(crate) fn operands(&self, value: Ref) -> &[Ref] {
        let n = self.trace.defining_op(value).expect("an operation's result");
        &self.trace.ops[n].args
    }

    /// The arguments of a label that was pushed without.
    pub(crate) fn set_args(&mut self, label: Ref, args: &[Ref]) {
        let n = self.trace.defining_op(label).expect("a label is an operation");
        self.trace.ops[n].args = args.iter().copied().collect();
    }

    /// The trace, and where each of its values lies.
    pub(crate) fn take_trace(&mut self) -> (Trace, &[Range]) {
        (std::mem::take(&mut self.trace), &self.born)
    }

    /// The next trace is to be made in this one's memory.
    pub(crate) fn recycle(&mut self, trace: Trace) {
        self.trace = trace;
    }
}
