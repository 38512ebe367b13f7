//! Prints traces. Total: whatever a trace contains, even what the verifier would refuse, prints.

use super::{LogName, SUNK_STORE, effects, is_plain, log_name, memories, pointees, reaches, roots, words};
use crate::descr::{CallDescr, Descr, Effect, Memory, Pointee, Word};
use crate::op::{Class, Opcode};
use crate::trace::{Op, Snapshot, SnapshotId, Trace};
use crate::value::{Const, Kind, Ref};
use rustc_hash::{FxHashMap, FxHashSet};
use std::fmt::{self, Display, Formatter, Write};

/// Which of the two forms; see [the module](super).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Style {
    /// With everything that the trace contains.
    #[default]
    Full,
    /// As PyPy's log tools read it.
    Log,
}

/// Where the code of each operation begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offsets<'a> {
    /// By operation, in bytes from the start of the code; what is beyond its end has none.
    pub ops: &'a [u32],
    /// The length of the code.
    pub end: u32,
}

/// How to print a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PrintOptions<'a> {
    /// Which form.
    pub style: Style,
    /// Print `+N: ` before operations, and a last line with the length of the code.
    pub offsets: Option<Offsets<'a>>,
}

/// A trace ready to be printed by [`Display`].
pub struct Printed<'a> {
    trace: &'a Trace,
    options: PrintOptions<'a>,
    names: Names<'a>,
}

impl Trace {
    /// The trace in the form that `options` chooses.
    pub fn print<'a>(&'a self, options: &PrintOptions<'a>) -> Printed<'a> {
        Printed {
            trace: self,
            options: *options,
            names: Names::new(self),
        }
    }

    /// One operation in the full form, for messages. Takes time linear in the trace.
    ///
    /// # Panics
    /// If there is no operation `n`.
    pub fn print_op(&self, n: usize) -> String {
        self.print(&PrintOptions::default()).op(n)
    }
}

impl Display for Trace {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.print(&PrintOptions::default()).fmt(f)
    }
}

impl Display for Printed<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let trace = self.trace;
        if self.options.style == Style::Full {
            for root in &trace.roots {
                writeln!(f, "# root {} = {}", self.value(root.value), roots::word(root.kind))?;
            }
            for derived in &trace.derived {
                let (value, root) = (self.value(derived.value), self.value(derived.root));
                writeln!(f, "# derived {value} = {} {root}", reaches::word(derived.reach))?;
            }
            for narrow in &trace.words {
                writeln!(f, "# word {} = {}", self.value(narrow.value), words::word(narrow.word))?;
            }
            for (descr, label) in &self.names.declared {
                writeln!(f, "# descr {} = {}", name(label), declaration(descr, label))?;
            }
        }
        writeln!(f, "[{}]", self.values((0..trace.inputs.len()).map(Ref::value)))?;
        for (n, op) in trace.ops.iter().enumerate() {
            if op.sunk && self.options.style == Style::Log {
                continue;
            }
            if let Some(offset) = self.options.offsets.and_then(|offsets| offsets.ops.get(n))
                && op.opcode.class() != Class::Debug
            {
                write!(f, "+{offset}: ")?;
            }
            writeln!(f, "{}", self.op(n))?;
        }
        match self.options.offsets {
            Some(Offsets { end, .. }) => writeln!(f, "+{end}: --end of the loop--"),
            None => Ok(()),
        }
    }
}

impl Printed<'_> {
    fn op(&self, n: usize) -> String {
        let op = &self.trace.ops[n];
        let result = match op.opcode.result() {
            None if !op.sunk => String::new(),
            _ => self.value(self.trace.result(n)) + " = ",
        };
        let mark = match (op.sunk, op.early && self.options.style == Style::Full) {
            (true, _) => "sunk ",
            (false, true) => "early ",
            (false, false) => "",
        };
        let (name, mut operands) = self.name_and_first_operands(op.opcode);
        operands.extend(op.args.iter().map(|&arg| self.value(arg)));
        match op.descr.as_deref() {
            Some(Descr::Location(depth, call, text)) => {
                operands.extend([
                    depth.to_string(),
                    call.to_string(),
                    format!("'{}'", self.location(text)),
                ]);
            }
            Some(descr) => operands.push(format!("descr={}", self.descr(descr))),
            None => {}
        }
        if let Some(guard) = op.guard {
            operands.push(format!("descr=<Guard{:#x}>", guard.0));
        }
        let exit = match (op.snapshot, self.options.style) {
            (None, _) => String::new(),
            (Some(snapshot), Style::Full) => format!(" [{}]", self.frames(snapshot)),
            (Some(_), Style::Log) => format!(" [{}]", self.values(self.trace.exit(op).values)),
        };
        let pending = match (&op.pending, self.options.style) {
            (Some(stores), Style::Full) => format!(" {{{}}}", self.values(stores.iter().copied())),
            _ => String::new(),
        };
        format!("{mark}{result}{name}({}){exit}{pending}", operands.join(", "))
    }

    fn name_and_first_operands(&self, opcode: Opcode) -> (String, Vec<String>) {
        let own = opcode.name();
        let log_name = if self.options.style == Style::Log {
            log_name(opcode)
        } else {
            LogName::Own
        };
        match log_name {
            LogName::Own => (own.to_string(), Vec::new()),
            LogName::Renamed(name) => (name.to_string(), Vec::new()),
            LogName::FailingGuard => (Opcode::GuardTrue.name().to_string(), vec!["0".to_string()]),
            LogName::Call => {
                let pure = if opcode.class() == Class::Alloc { "" } else { "_pure" };
                let kind = opcode.result().map_or('n', result_letter);
                (format!("call{pure}_{kind}"), vec![format!("ConstClass({own})")])
            }
        }
    }

    fn values(&self, values: impl IntoIterator<Item = Ref>) -> String {
        values
            .into_iter()
            .map(|value| self.value(value))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The name of a value, or a constant.
    pub(crate) fn value(&self, value: Ref) -> String {
        if value.is_const() {
            return self.trace.find_const(value).map_or_else(
                || format!("?{value:?}"),
                |constant| const_text(constant, value.is_green() && self.options.style == Style::Full),
            );
        }
        match self.names.values.get(value.as_value().expect("not a constant")) {
            Some(Some((letter, number))) => format!("{letter}{number}"),
            _ => format!("?{value:?}"),
        }
    }

    fn frames(&self, innermost: SnapshotId) -> String {
        let frames = self.frames_outermost_first(innermost);
        if let [
            Some(Snapshot {
                frame: None, values, ..
            }),
        ] = &frames[..]
        {
            return self.values(values.iter().copied());
        }
        let printed = frames.iter().map(|frame| {
            let Some(snapshot) = frame else { return "?".to_string() };
            let mut printed = match snapshot.frame {
                Some(frame) => format!("j{}@{}:", frame.jitcode.0, frame.pc),
                None => "_:".to_string(),
            };
            if !snapshot.values.is_empty() {
                printed.push(' ');
                printed += &self.values(snapshot.values.iter().copied());
            }
            printed
        });
        printed.collect::<Vec<_>>().join(" | ")
    }

    /// The frames of a snapshot; `None` stands for one that does not exist, or for a chain that does not end.
    fn frames_outermost_first(&self, innermost: SnapshotId) -> Vec<Option<&Snapshot>> {
        let mut frames = Vec::new();
        let mut next = Some(innermost);
        while let Some(id) = next {
            let frame = self.trace.snapshots.get(id.0 as usize);
            frames.push(frame);
            // a parent has a smaller number than its child
            next = frame.and_then(|frame| frame.parent).filter(|parent| {
                let ok = *parent < id;
                if !ok {
                    frames.push(None);
                }
                ok
            });
        }
        frames.reverse();
        frames
    }

    fn descr(&self, descr: &Descr) -> String {
        match (descr, self.options.style) {
            (Descr::Target(token), _) => format!("TargetToken({})", token.0),
            (descr, Style::Log) => log_descr(descr),
            (descr, Style::Full) => name(&self.names.labels[descr]),
        }
    }

    /// The text of a merge point between its quotes.
    fn location(&self, text: &str) -> String {
        match self.options.style {
            Style::Full => escaped(text, '\''),
            Style::Log => text
                .chars()
                .map(|c| match c {
                    ',' => '.',
                    '\'' => '"',
                    '\\' => '/',
                    c if c.is_control() => ' ',
                    c => c,
                })
                .collect(),
        }
    }
}

/// The names of values and the labels of descriptors.
struct Names<'a> {
    /// By the number of the value: the letter and the number of its name; `None` where an operation needs none.
    values: Vec<Option<(char, u32)>>,
    /// Each descriptor that needs a declaration and its label, in order of first use.
    declared: Vec<(&'a Descr, String)>,
    labels: FxHashMap<&'a Descr, String>,
}

impl<'a> Names<'a> {
    fn new(trace: &'a Trace) -> Names<'a> {
        let inputs = trace.inputs.iter().map(|kind| Some(kind.letter()));
        let letters = inputs.chain(trace.ops.iter().map(letter_of_result));
        let mut next = 0..;
        let values = letters
            .map(|letter| letter.map(|letter| (letter, next.next().expect("endless"))))
            .collect();
        let mut names = Names {
            values,
            declared: Vec::new(),
            labels: FxHashMap::default(),
        };
        let mut taken = FxHashSet::default();
        for descr in trace.ops.iter().filter_map(|op| op.descr.as_deref()) {
            if !names.labels.contains_key(descr)
                && let Some(name) = name_of(descr)
            {
                let label = std::iter::once(name.to_string())
                    .chain((2..).map(|n| format!("{name}~{n}")))
                    .find(|label| taken.insert(label.clone()))
                    .expect("endless");
                names.labels.insert(descr, label.clone());
                names.declared.push((descr, label));
            }
        }
        names
    }
}

/// With which letter the name of an operation's result begins: sunk stores have names too, for guards list them.
fn letter_of_result(op: &Op) -> Option<char> {
    match op.opcode.result() {
        Some(kind) => Some(kind.letter()),
        None => op.sunk.then_some(SUNK_STORE),
    }
}

/// The name of a descriptor that is declared; `None` for those that stand where they are used.
fn name_of(descr: &Descr) -> Option<&str> {
    match descr {
        Descr::Field(field) => Some(&field.name),
        Descr::Array(array) => Some(&array.name),
        Descr::Size(size) => Some(&size.name),
        Descr::Call(call) => Some(&call.name),
        Descr::Target(_) | Descr::Location(..) => None,
    }
}

fn const_text(constant: Const, green: bool) -> String {
    match constant.kind {
        Kind::Int if green => format!("GreenInt({:#x})", constant.bits),
        Kind::Ref if green => format!("GreenPtr({:#x})", constant.bits),
        Kind::Int => (constant.bits as i64).to_string(),
        Kind::Ref if constant.bits == 0 => "ConstPtr(null)".to_string(),
        Kind::Ref => format!("ConstPtr({:#x})", constant.bits),
        // Rust prints the shortest digits that give the same bits back, but for NaN
        Kind::Float if f64::from_bits(constant.bits).is_nan() => format!("float({:#x})", constant.bits),
        Kind::Float => format!("{:?}", f64::from_bits(constant.bits)),
    }
}

fn escaped(text: &str, quote: char) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            c if c == quote || c == '\\' => escaped.extend(['\\', c]),
            c if c.is_control() || (c.is_whitespace() && c != ' ') => {
                write!(escaped, "\\u{{{:x}}}", u32::from(c)).expect("strings take everything");
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// A name, quoted where it is not plain.
fn name(name: &str) -> String {
    if is_plain(name) {
        name.to_string()
    } else {
        format!("\"{}\"", escaped(name, '"'))
    }
}

/// The facts of a descriptor.
fn declaration(descr: &Descr, label: &str) -> String {
    let (head, mut facts) = match descr {
        Descr::Field(d) => (
            "field",
            vec![format!("offset={}", d.offset), words::word(d.word).to_string()],
        ),
        Descr::Array(d) => {
            let mut facts = vec![format!("item_size={}", d.item_size), words::word(d.word).to_string()];
            if d.offset != 0 {
                facts.insert(1, format!("offset={}", d.offset));
            }
            ("array", facts)
        }
        Descr::Size(d) => {
            let mut facts = vec![d.size.to_string()];
            if d.align != 8 {
                facts.push(format!("align={}", d.align));
            }
            facts.extend(d.vtable.map(|vtable| format!("vtable={vtable:#x}")));
            ("size", facts)
        }
        Descr::Call(d) => ("call", call_facts(d)),
        Descr::Target(_) | Descr::Location(..) => unreachable!("stands where it is used"),
    };
    facts.extend(place_facts(descr));
    if let Some(own) = name_of(descr)
        && own != label
    {
        facts.insert(0, format!("name={}", name(own)));
    }
    format!("{head}({})", facts.join(", "))
}

fn call_facts(call: &CallDescr) -> Vec<String> {
    let mut facts = Vec::new();
    if !call.args.is_empty() {
        facts.push(format!(
            "args={}",
            call.args.iter().map(|kind| kind.letter()).collect::<String>()
        ));
    }
    facts.extend(call.result.map(|kind| format!("result={}", kind.letter())));
    facts.push(format!("effect={}", effects::word(call.effect)));
    if call.can_panic {
        facts.push("can_panic".to_string());
    }
    facts
}

/// The facts that several sorts of descriptor have, where they differ from the default.
fn place_facts(descr: &Descr) -> Vec<String> {
    let (memory, frozen, pointee) = match descr {
        Descr::Field(d) => (d.memory, d.frozen, d.pointee),
        Descr::Array(d) => (d.memory, d.frozen, d.pointee),
        Descr::Size(d) => (d.memory, false, Pointee::Unknown),
        _ => return Vec::new(),
    };
    let mut facts = Vec::new();
    if memory != Memory::Rust {
        facts.push(format!("memory={}", memories::word(memory)));
    }
    if frozen {
        facts.push("frozen".to_string());
    }
    if pointee != Pointee::Unknown {
        facts.push(format!("pointee={}", pointees::word(pointee)));
    }
    facts
}

/// RPython's letter for the result of a call.
fn result_letter(kind: Kind) -> char {
    match kind {
        Kind::Int => 'i',
        Kind::Ref => 'r',
        Kind::Float => 'f',
    }
}

/// A descriptor as RPython prints it, with what else is needed to read it again behind it.
fn log_descr(descr: &Descr) -> String {
    let mut words = Vec::new();
    match descr {
        Descr::Field(d) => {
            words.extend([
                format!("Field{}", flag(d.word)),
                log_safe(&d.name),
                d.offset.to_string(),
            ]);
            words.extend(log_facts(d.word, d.memory, d.frozen, d.pointee));
        }
        Descr::Array(d) => {
            words.extend([format!("Array{}", flag(d.word)), d.item_size.to_string()]);
            if d.offset != 0 {
                words.push(format!("+{}", d.offset));
            }
            words.push(log_safe(&d.name));
            words.extend(log_facts(d.word, d.memory, d.frozen, d.pointee));
        }
        Descr::Size(d) => {
            words.extend(["SizeDescr".to_string(), d.size.to_string(), log_safe(&d.name)]);
            words.push(format!("align={}", d.align));
            words.extend(d.vtable.map(|vtable| format!("vtable={vtable:#x}")));
            words.extend(log_facts(Word::I64, d.memory, false, Pointee::Unknown));
        }
        Descr::Call(d) => {
            let (letter, size) = d.result.map_or(('v', 0), |kind| (result_letter(kind), 8));
            words.extend([format!("Call{letter}"), size.to_string()]);
            if !d.args.is_empty() {
                words.push(d.args.iter().copied().map(result_letter).collect());
            }
            words.extend([format!("EF={}", effect_number(d)), log_safe(&d.name)]);
            if d.effect == Effect::Any && !d.can_panic {
                words.push("nounwind".to_string());
            }
        }
        Descr::Target(token) => return format!("TargetToken({})", token.0),
        Descr::Location(_, _, text) => return log_safe(text),
    }
    format!("<{}>", words.join(" "))
}

fn log_facts(word: Word, memory: Memory, frozen: bool, pointee: Pointee) -> Vec<String> {
    let mut facts = Vec::new();
    if frozen {
        facts.push("pure");
    }
    if word.size() != 8 {
        facts.push(words::word(word));
    }
    if memory != Memory::Rust {
        facts.push(memories::word(memory));
    }
    if pointee != Pointee::Unknown {
        facts.push(pointees::word(pointee));
    }
    facts.into_iter().map(str::to_string).collect()
}

/// RPython's letter for what a location holds.
fn flag(word: Word) -> char {
    match word.kind() {
        Kind::Ref => 'P',
        Kind::Float => 'F',
        Kind::Int if word.is_signed() => 'S',
        Kind::Int => 'U',
    }
}

/// The numbers of RPython's `EffectInfo`.
fn effect_number(call: &CallDescr) -> u32 {
    match (call.effect, call.can_panic) {
        (Effect::Elidable, false) => 0,
        (Effect::Elidable, true) => 4,
        (Effect::Arguments, false) => 2,
        (Effect::Arguments, true) => 5,
        (Effect::Any, _) => 7,
    }
}

/// A name as one word without what splits lines and operands of a log.
fn log_safe(name: &str) -> String {
    let word: String = name
        .chars()
        .map(|c| {
            if c.is_whitespace() || c.is_control() || ",#()=".contains(c) {
                '_'
            } else {
                c
            }
        })
        .collect();
    if word.is_empty() { "_".to_string() } else { word }
}
