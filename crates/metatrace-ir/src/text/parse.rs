//! Parses traces in either form. Never panics; what it accepts is well-formed but not verified.

use super::{SUNK_STORE, effects, memories, pointees, reaches, roots, words};
use crate::args::Args;
use crate::descr::{
    ArrayDescr, CallDescr, Descr, DescrRef, Effect, FieldDescr, Memory, Pointee, SizeDescr, TargetToken, Word,
};
use crate::op::Opcode;
use crate::trace::{
    Derived, Frame, GuardId, InputWord, JitCodeId, Op, Reach, Root, RootKind, Snapshot, SnapshotId, Trace,
};
use crate::value::{Const, Kind, Ref};
use rustc_hash::FxHashMap;
use std::fmt;
use std::rc::Rc;
use std::str::FromStr;

/// Where and why a text is not a trace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for ParseError {}

impl FromStr for Trace {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Trace, ParseError> {
        parse(text)
    }
}

/// The trace that a text stands for. Empty lines and lines that begin with `#` and declare nothing are ignored.
///
/// # Errors
/// The first place where the text is not one. The invariants of traces are left to [`verify`](crate::verify::verify).
pub fn parse(text: &str) -> Result<Trace, ParseError> {
    parse_located(text).map(|(trace, _)| trace)
}

/// As [`parse`], with the line of each operation, from 1: for messages about what the verifier finds.
///
/// # Errors
/// As [`parse`].
pub fn parse_located(text: &str) -> Result<(Trace, Vec<usize>), ParseError> {
    let mut parser = Parser::default();
    let mut last = 0;
    for (n, line) in text.lines().enumerate() {
        last = n + 1;
        let mut cursor = Cursor {
            line,
            at: 0,
            number: n + 1,
        };
        cursor.skip_space();
        if cursor.eat("#") {
            parser.header(&mut cursor)?;
        } else if !cursor.rest().is_empty() {
            parser.line(&mut cursor)?;
        }
    }
    if !parser.has_inputs {
        return Err(ParseError {
            line: last.max(1),
            column: 1,
            message: "no line of inputs, as [i0, p1]".to_string(),
        });
    }
    Ok((parser.trace, parser.op_lines))
}

type Parsed<T> = Result<T, ParseError>;

/// A place in a line.
#[derive(Clone, Copy)]
struct Cursor<'t> {
    line: &'t str,
    at: usize,
    number: usize,
}

impl<'t> Cursor<'t> {
    fn rest(&self) -> &'t str {
        &self.line[self.at..]
    }

    fn error(&self, message: impl Into<String>) -> ParseError {
        let column = self.line[..self.at].chars().count() + 1;
        ParseError {
            line: self.number,
            column,
            message: message.into(),
        }
    }

    fn skip_space(&mut self) {
        self.at = self.line.len() - self.rest().trim_start().len();
    }

    /// Steps over `token` and the space behind it, if it stands here.
    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
            self.skip_space();
        }
        found
    }

    fn expect(&mut self, token: &str) -> Parsed<()> {
        if self.eat(token) {
            Ok(())
        } else {
            Err(self.error(format!("expected '{token}'{}", self.found())))
        }
    }

    fn found(&self) -> String {
        match self.rest().chars().next() {
            Some(c) => format!(", found '{c}'"),
            None => ", found the end of the line".to_string(),
        }
    }

    /// The characters here that `accept` takes, perhaps none.
    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !accept(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// A word of letters, digits and `_`, perhaps empty; steps over the space behind it.
    fn word(&mut self) -> &'t str {
        let word = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
        self.skip_space();
        word
    }

    fn number<T: FromStr>(&mut self, what: &str) -> Parsed<T> {
        let start = *self;
        let digits = self.take_while(|c| c.is_ascii_digit());
        self.skip_space();
        digits.parse().map_err(|_| match digits {
            "" => start.error(format!("expected {what}, a number{}", start.found())),
            _ => start.error(format!("{what} {digits} is out of range")),
        })
    }

    /// `0x…` or a decimal number.
    fn address(&mut self, what: &str) -> Parsed<u64> {
        let start = *self;
        if !self.eat("0x") {
            return self.number(what);
        }
        let digits = self.take_while(|c| c.is_ascii_hexdigit());
        self.skip_space();
        u64::from_str_radix(digits, 16).map_err(|_| start.error(format!("{what}: expected up to 16 hex digits")))
    }

    fn end(&self) -> Parsed<()> {
        if self.rest().is_empty() {
            Ok(())
        } else {
            Err(self.error(format!("unexpected '{}'", self.rest())))
        }
    }

    /// Text in quotes, with the printer's escapes.
    fn quoted(&mut self, quote: char) -> Parsed<String> {
        let start = *self;
        let mut text = String::new();
        let mut chars = self.rest().char_indices();
        if chars.next().map(|(_, c)| c) != Some(quote) {
            return Err(self.error(format!("expected {quote}{}", self.found())));
        }
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.at += at + c.len_utf8();
                    self.skip_space();
                    return Ok(text);
                }
                '\\' => match chars.next().map(|(_, c)| c) {
                    Some('n') => text.push('\n'),
                    Some('u') => {
                        let mut digits = chars.by_ref().map(|(_, c)| c).skip_while(|c| *c == '{');
                        let digits: String = digits.by_ref().take_while(|c| *c != '}').collect();
                        let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                        text.push(code.ok_or_else(|| start.error("a bad \\u{…} in this text"))?);
                    }
                    Some(c) => text.push(c),
                    None => break,
                },
                c => text.push(c),
            }
        }
        Err(start.error("a quote that does not end"))
    }

    /// A plain or a quoted name.
    fn name(&mut self) -> Parsed<String> {
        if self.rest().starts_with('"') {
            return self.quoted('"');
        }
        let name = self.take_while(|c| !c.is_whitespace() && !c.is_control() && !"(),=#\"'\\".contains(c));
        if name.is_empty() {
            return Err(self.error(format!("expected a name{}", self.found())));
        }
        self.skip_space();
        Ok(name.to_string())
    }

    /// One of an enum's words.
    fn choice<T>(&mut self, parse: impl Fn(&str) -> Option<T>, all: &str) -> Parsed<T> {
        let start = *self;
        parse(self.word()).ok_or_else(|| start.error(format!("expected one of: {}", all.trim_end())))
    }
}

#[derive(Default)]
struct Parser<'t> {
    trace: Trace,
    has_inputs: bool,
    op_lines: Vec<usize>,
    values: FxHashMap<&'t str, Ref>,
    descrs: FxHashMap<String, DescrRef>,
    /// Descriptors that stand where they are used.
    inline_descrs: FxHashMap<Descr, DescrRef>,
    /// Declared before the inputs, which they name.
    roots: Vec<(Cursor<'t>, RootKind)>,
    derived: Vec<(Cursor<'t>, Reach, Cursor<'t>)>,
    words: Vec<(Cursor<'t>, Word)>,
    snapshots: FxHashMap<Snapshot, SnapshotId>,
}

/// What stands between an operation's parentheses.
#[derive(Default)]
struct Operands {
    args: Vec<Ref>,
    descr: Option<DescrRef>,
    guard: Option<GuardId>,
    /// The `ConstClass(name)` that comes first in the log form of an operation unknown to RPython.
    function: Option<Opcode>,
}

impl<'t> Parser<'t> {
    /// A line behind its `#`.
    fn header(&mut self, cursor: &mut Cursor<'t>) -> Parsed<()> {
        match cursor.word() {
            "root" => {
                let value = *cursor;
                cursor.take_while(|c| c != '=');
                cursor.expect("=")?;
                let kind = cursor.choice(roots::parse, roots::ALL)?;
                self.roots.push((value, kind));
                if self.has_inputs {
                    self.resolve_roots()?
                }
                cursor.end()
            }
            "derived" => {
                let value = *cursor;
                cursor.take_while(|c| c != '=');
                cursor.expect("=")?;
                let reach = cursor.choice(reaches::parse, reaches::ALL)?;
                let root = *cursor;
                cursor.take_while(|_| true);
                self.derived.push((value, reach, root));
                if self.has_inputs {
                    self.resolve_roots()?
                }
                cursor.end()
            }
            "word" => {
                let value = *cursor;
                cursor.take_while(|c| c != '=');
                cursor.expect("=")?;
                let word = cursor.choice(words::parse, words::ALL)?;
                self.words.push((value, word));
                if self.has_inputs {
                    self.resolve_roots()?
                }
                cursor.end()
            }
            "descr" => {
                let label = cursor.name()?;
                cursor.expect("=")?;
                let descr = declaration(cursor, &label)?;
                self.descrs.insert(label, Rc::new(descr));
                cursor.end()
            }
            _ => Ok(()),
        }
    }

    fn resolve_roots(&mut self) -> Parsed<()> {
        for (mut cursor, kind) in std::mem::take(&mut self.roots) {
            let value = self.operand(&mut cursor)?;
            cursor.expect("=")?;
            self.trace.roots.push(Root { value, kind });
        }
        for (mut cursor, reach, mut root) in std::mem::take(&mut self.derived) {
            let value = self.operand(&mut cursor)?;
            cursor.expect("=")?;
            let at = root;
            let root = self.operand(&mut root)?;
            if !self.trace.roots.iter().any(|known| known.value == root) {
                return Err(at.error("no root".to_owned()));
            }
            self.trace.derived.push(Derived { value, root, reach });
        }
        for (mut cursor, word) in std::mem::take(&mut self.words) {
            let value = self.operand(&mut cursor)?;
            cursor.expect("=")?;
            self.trace.words.push(InputWord { value, word });
        }
        Ok(())
    }

    fn line(&mut self, cursor: &mut Cursor<'t>) -> Parsed<()> {
        if !self.has_inputs {
            return self.inputs(cursor);
        }
        if cursor.eat("+") {
            cursor.number::<u32>("an offset")?;
            cursor.expect(":")?;
        }
        if cursor.eat("--end of the loop--") {
            return cursor.end();
        }
        self.op(cursor)
    }

    fn inputs(&mut self, cursor: &mut Cursor<'t>) -> Parsed<()> {
        if !cursor.eat("[") {
            return Err(cursor.error("expected the line of inputs, as [i0, p1]"));
        }
        while !cursor.rest().starts_with(']') {
            if !self.trace.inputs.is_empty() {
                cursor.expect(",")?;
            }
            let (name, kind) = new_value(cursor)?;
            let value = Ref::value(self.trace.inputs.len());
            self.trace.inputs.push(kind);
            if self.values.insert(name, value).is_some() {
                return Err(cursor.error(format!("two inputs have the name {name}")));
            }
        }
        cursor.expect("]")?;
        self.has_inputs = true;
        self.resolve_roots()?;
        cursor.end()
    }

    fn op(&mut self, cursor: &mut Cursor<'t>) -> Parsed<()> {
        let sunk = cursor.eat("sunk ");
        let early = cursor.eat("early ");
        let start = *cursor;
        let result = if cursor.rest().split('(').next().is_some_and(|head| head.contains('=')) {
            let (name, kind) = if sunk && cursor.rest().starts_with(SUNK_STORE) {
                (cursor.word(), None)
            } else {
                let (name, kind) = new_value(cursor)?;
                (name, Some(kind))
            };
            cursor.expect("=")?;
            Some((name, kind))
        } else {
            None
        };
        let name_at = *cursor;
        let name = cursor.word();
        cursor.expect("(")?;
        let operands = match name {
            "debug_merge_point" => self.location(cursor)?,
            _ => self.operands(cursor)?,
        };
        let opcode = operands
            .function
            .or_else(|| {
                if name == "getarrayitem_gc_r" {
                    Some(Opcode::GetarrayitemRawR)
                } else {
                    name.parse().ok()
                }
            })
            .ok_or_else(|| name_at.error(format!("no operation has the name '{name}'")))?;
        cursor.expect(")")?;
        let snapshot = if !cursor.rest().starts_with('[') {
            None
        } else if opcode.can_exit() {
            Some(self.frames(cursor)?)
        } else {
            return Err(cursor.error("only guards and finish have values behind them"));
        };
        let pending = self.pending(cursor, opcode)?;
        cursor.end()?;
        let Operands { args, descr, guard, .. } = operands;
        self.op_lines.push(start.number);
        let value = self.trace.push(Op {
            opcode,
            args: Args::new(&args),
            descr,
            snapshot,
            guard,
            sunk,
            early,
            pending,
        });
        match (result, opcode.result()) {
            (Some((name, kind)), expected) if kind == expected => match self.values.insert(name, value) {
                None => Ok(()),
                Some(_) => Err(start.error(format!("{name} is defined twice"))),
            },
            (None, None) if sunk => Err(start.error("a sunk store has a name, as s0")),
            (None, None) => Ok(()),
            (_, None) => Err(start.error(format!("{name} has no result"))),
            (_, Some(kind)) => Err(start.error(format!(
                "{name} has a result: a name that begins with '{}'",
                kind.letter()
            ))),
        }
    }

    fn location(&mut self, cursor: &mut Cursor<'t>) -> Parsed<Operands> {
        let depth = cursor.number("the call depth")?;
        cursor.expect(",")?;
        let call = cursor.number("the call's number")?;
        cursor.expect(",")?;
        let text = cursor.quoted('\'')?;
        Ok(Operands {
            descr: Some(self.intern(Descr::Location(depth, call, text))),
            ..Operands::default()
        })
    }

    fn operands(&mut self, cursor: &mut Cursor<'t>) -> Parsed<Operands> {
        let mut operands = Operands::default();
        let mut first = true;
        while !cursor.rest().starts_with(')') {
            if !first {
                cursor.expect(",")?;
            }
            let at = *cursor;
            if cursor.eat("descr=") {
                if cursor.rest().starts_with("<Guard") {
                    operands.guard = Some(guard(cursor)?);
                } else if operands.descr.replace(self.descr(cursor)?).is_some() {
                    return Err(at.error("a second descriptor"));
                }
            } else if first && cursor.eat("ConstClass(") {
                operands.function = Some(cursor.word().parse().map_err(|_| {
                    at.error("the address of a function cannot be told from its name: write it as a number")
                })?);
                cursor.expect(")")?;
            } else {
                operands.args.push(self.operand(cursor)?);
            }
            first = false;
        }
        Ok(operands)
    }

    /// A value's name or a constant.
    fn operand(&mut self, cursor: &mut Cursor<'t>) -> Parsed<Ref> {
        let at = *cursor;
        if cursor.eat("ConstPtr(") {
            let address = if cursor.eat("null") {
                0
            } else {
                cursor.eat("ptr");
                cursor.address("an address")?
            };
            cursor.expect(")")?;
            return Ok(self.trace.constant(Const::ptr(address)));
        }
        for (name, kind) in [("GreenPtr(", Kind::Ref), ("GreenInt(", Kind::Int)] {
            if cursor.eat(name) {
                let bits = cursor.address("an address")?;
                cursor.expect(")")?;
                return Ok(self.trace.constant(Const { kind, bits }).green());
            }
        }
        if cursor.eat("float(") {
            let bits = cursor.address("the bits of a float")?;
            cursor.expect(")")?;
            return Ok(self.trace.constant(Const {
                kind: Kind::Float,
                bits,
            }));
        }
        let token = cursor.take_while(|c| c.is_ascii_alphanumeric() || "._+-".contains(c));
        cursor.skip_space();
        if let Some(value) = self.values.get(token) {
            return Ok(*value);
        }
        if token.is_empty() {
            return Err(at.error(format!("expected a value{}", at.found())));
        }
        match number(token) {
            Some(constant) => Ok(self.trace.constant(constant)),
            None if value_kind(token).is_some() => Err(at.error(format!("{token} is not defined before this line"))),
            None => Err(at.error(format!("{token} is neither a value nor a constant"))),
        }
    }

    fn descr(&mut self, cursor: &mut Cursor<'t>) -> Parsed<DescrRef> {
        let at = *cursor;
        if cursor.eat("TargetToken(") {
            let token = cursor.number("the label's number")?;
            cursor.expect(")")?;
            return Ok(self.intern(Descr::Target(TargetToken(token))));
        }
        if cursor.eat("<") {
            let text = cursor.rest();
            let end = text.find(">)").ok_or_else(|| at.error("a '<' without its '>)'"))?;
            cursor.at += end;
            cursor.expect(">")?;
            let descr = log_descr(&text[..end]).map_err(|message| at.error(message))?;
            return Ok(self.intern(descr));
        }
        let label = cursor.name()?;
        self.descrs.get(&label).cloned().ok_or_else(|| {
            at.error(format!(
                "the descriptor {label} is not declared by a line '# descr {label} = …' before this one"
            ))
        })
    }

    fn intern(&mut self, descr: Descr) -> DescrRef {
        self.inline_descrs
            .entry(descr)
            .or_insert_with_key(|descr| Rc::new(descr.clone()))
            .clone()
    }

    /// `[values]`, or `[j0@12: values | …]` with the outermost frame first.
    fn frames(&mut self, cursor: &mut Cursor<'t>) -> Parsed<SnapshotId> {
        cursor.expect("[")?;
        let mut parent = None;
        loop {
            let frame = frame(cursor)?;
            let frame = Snapshot {
                frame,
                values: self.frame_values(cursor)?.into(),
                parent,
            };
            let trace = &mut self.trace;
            let snapshot = *self
                .snapshots
                .entry(frame)
                .or_insert_with_key(|frame| trace.add_snapshot(frame.clone()));
            if cursor.eat("]") {
                return Ok(snapshot);
            }
            cursor.expect("|")?;
            parent = Some(snapshot);
        }
    }

    /// The stores that are pending at a guard.
    fn pending(&mut self, cursor: &mut Cursor<'t>, opcode: Opcode) -> Parsed<Option<Rc<[Ref]>>> {
        let at = *cursor;
        if !cursor.eat("{") {
            return Ok(None);
        }
        if !opcode.can_exit() {
            return Err(at.error("only at guards and finish are stores pending"));
        }
        let mut stores = Vec::new();
        while !cursor.eat("}") {
            if !stores.is_empty() {
                cursor.expect(",")?;
            }
            let at = *cursor;
            let name = cursor.word();
            let store = self.values.get(name).copied();
            stores.push(store.ok_or_else(|| at.error(format!("'{name}' is no sunk store")))?);
        }
        Ok(Some(stores.into()))
    }

    fn frame_values(&mut self, cursor: &mut Cursor<'t>) -> Parsed<Vec<Ref>> {
        let mut values = Vec::new();
        let mut first = true;
        while !cursor.rest().starts_with(['|', ']']) {
            if !first {
                cursor.expect(",")?;
            }
            first = false;
            // what RPython's logs have where an exit needs nothing
            if !cursor.eat("None") {
                values.push(self.operand(cursor)?);
            }
        }
        Ok(values)
    }
}

fn value_kind(name: &str) -> Option<Kind> {
    let digits = name.get(1..)?;
    let numbered = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
    Kind::from_letter(name.chars().next()?).filter(|_| numbered)
}

/// A name at its definition.
fn new_value<'t>(cursor: &mut Cursor<'t>) -> Parsed<(&'t str, Kind)> {
    let at = *cursor;
    let name = cursor.word();
    let kind = value_kind(name)
        .ok_or_else(|| at.error("expected the name of a value: i, p or f (int, ref, float) and a number, as i0"))?;
    Ok((name, kind))
}

/// An integer or a float.
fn number(token: &str) -> Option<Const> {
    if let Some(digits) = token.strip_prefix("0x") {
        return Some(Const {
            kind: Kind::Int,
            bits: u64::from_str_radix(digits, 16).ok()?,
        });
    }
    if let Ok(value) = token.parse() {
        return Some(Const::int(value));
    }
    // Rust takes "nan" and "infinity" too, and integers out of range: all of them are mistakes here
    let float = matches!(token, "inf" | "-inf")
        || (token.contains(['.', 'e']) && token.bytes().all(|c| c.is_ascii_digit() || b".e+-".contains(&c)));
    if float {
        token.parse().ok().map(Const::float)
    } else {
        None
    }
}

fn guard(cursor: &mut Cursor<'_>) -> Parsed<GuardId> {
    cursor.expect("<Guard")?;
    let at = *cursor;
    let number = cursor.address("the guard's number")?;
    cursor.expect(">")?;
    u32::try_from(number)
        .map(GuardId)
        .map_err(|_| at.error("the guard's number is out of range"))
}

/// `j0@12:`, `_:` or nothing.
fn frame(cursor: &mut Cursor<'_>) -> Parsed<Option<Frame>> {
    if cursor.eat("_") {
        cursor.expect(":")?;
        return Ok(None);
    }
    if !cursor.eat("j") {
        return Ok(None);
    }
    let jitcode = JitCodeId(cursor.number("the jitcode's number")?);
    cursor.expect("@")?;
    let pc = cursor.number("the position in the jitcode")?;
    cursor.expect(":")?;
    Ok(Some(Frame { jitcode, pc }))
}

/// `head(fact, …)`, what stands behind `# descr label =`.
fn declaration(cursor: &mut Cursor<'_>, label: &str) -> Parsed<Descr> {
    let head_at = *cursor;
    let head = cursor.word();
    cursor.expect("(")?;
    let mut facts = Facts {
        head,
        facts: Vec::new(),
        end: *cursor,
    };
    while !cursor.rest().starts_with(')') {
        if !facts.facts.is_empty() {
            cursor.expect(",")?;
        }
        let at = *cursor;
        let key = cursor.name()?;
        let value = if cursor.eat("=") { Some(cursor.name()?) } else { None };
        facts.facts.push(Fact { key, value, at });
    }
    facts.end = *cursor;
    cursor.expect(")")?;
    let name = facts.value("name").map_or_else(|| label.to_string(), |(name, _)| name);
    let descr = match head {
        "field" => Descr::Field(FieldDescr {
            offset: facts.number("offset", None)?,
            word: facts.held()?,
            memory: facts.choice("memory", memories::parse, memories::ALL, Memory::Rust)?,
            frozen: facts.flag("frozen"),
            pointee: facts.choice("pointee", pointees::parse, pointees::ALL, Pointee::Unknown)?,
            name,
        }),
        "array" => Descr::Array(ArrayDescr {
            item_size: facts.number("item_size", None)?,
            offset: facts.number("offset", Some(0))?,
            word: facts.held()?,
            memory: facts.choice("memory", memories::parse, memories::ALL, Memory::Rust)?,
            frozen: facts.flag("frozen"),
            pointee: facts.choice("pointee", pointees::parse, pointees::ALL, Pointee::Unknown)?,
            name,
        }),
        "size" => Descr::Size(SizeDescr {
            size: facts.size()?,
            align: facts.number("align", Some(8))?,
            vtable: facts.address("vtable")?,
            memory: facts.choice("memory", memories::parse, memories::ALL, Memory::Rust)?,
            name,
        }),
        "call" => Descr::Call(CallDescr {
            args: facts.kinds("args")?,
            result: facts.kinds("result")?.first().copied(),
            effect: facts.choice("effect", effects::parse, effects::ALL, Effect::Any)?,
            can_panic: facts.flag("can_panic"),
            name,
        }),
        _ => return Err(head_at.error("expected field(…), array(…), size(…) or call(…)")),
    };
    // a field may name its owner, which its own name says already
    if head == "field" {
        facts.flag(label.rsplit_once('.').map_or("", |(owner, _)| owner));
    }
    facts.finish()?;
    Ok(descr)
}

/// `key` or `key=value`.
struct Fact<'t> {
    key: String,
    value: Option<String>,
    at: Cursor<'t>,
}

/// The facts of a declaration that are not yet used.
struct Facts<'t> {
    head: &'t str,
    facts: Vec<Fact<'t>>,
    end: Cursor<'t>,
}

impl<'t> Facts<'t> {
    fn value(&mut self, key: &str) -> Option<(String, Cursor<'t>)> {
        let n = self
            .facts
            .iter()
            .position(|fact| fact.key == key && fact.value.is_some())?;
        let Fact { value, at, .. } = self.facts.remove(n);
        Some((value?, at))
    }

    fn flag(&mut self, key: &str) -> bool {
        let n = self
            .facts
            .iter()
            .position(|fact| fact.key == key && fact.value.is_none());
        n.map(|n| self.facts.remove(n)).is_some()
    }

    /// A number, with what it is where it is not given.
    fn number(&mut self, key: &str, default: Option<u32>) -> Parsed<u32> {
        match (self.value(key), default) {
            (Some((value, at)), _) => value
                .parse()
                .map_err(|_| at.error(format!("{key} is a number below 2^32"))),
            (None, Some(default)) => Ok(default),
            (None, None) => Err(self.end.error(format!("a declaration {}(…) needs {key}=…", self.head))),
        }
    }

    fn address(&mut self, key: &str) -> Parsed<Option<u64>> {
        let Some((value, at)) = self.value(key) else {
            return Ok(None);
        };
        let parsed = match value.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => value.parse(),
        };
        parsed
            .map(Some)
            .map_err(|_| at.error(format!("{key} is an address, as 0x1000")))
    }

    fn choice<T>(&mut self, key: &str, parse: impl Fn(&str) -> Option<T>, all: &str, default: T) -> Parsed<T> {
        let Some((value, at)) = self.value(key) else {
            return Ok(default);
        };
        parse(&value).ok_or_else(|| at.error(format!("{key} is one of: {}", all.trim_end())))
    }

    fn kinds(&mut self, key: &str) -> Parsed<Vec<Kind>> {
        let Some((value, at)) = self.value(key) else {
            return Ok(Vec::new());
        };
        let kinds: Option<Vec<Kind>> = value.chars().map(Kind::from_letter).collect();
        match kinds {
            Some(kinds) if key == "args" || kinds.len() == 1 => Ok(kinds),
            _ => Err(at.error(format!("{key}: a letter i, p or f for each kind"))),
        }
    }

    /// What a location holds: `u8`, `ref`, …; also the names of the kinds.
    fn held(&mut self) -> Parsed<Word> {
        let word = |key: &str| match key {
            "int" => Some(Word::I64),
            "float" => Some(Word::F64),
            key => words::parse(key),
        };
        let found = self
            .facts
            .iter()
            .position(|fact| fact.value.is_none() && word(&fact.key).is_some());
        match found.and_then(|n| word(&self.facts.remove(n).key)) {
            Some(word) => Ok(word),
            None => Err(self
                .end
                .error(format!("what does it hold? One of: {}", words::ALL.trim_end()))),
        }
    }

    /// The bare number of a size.
    fn size(&mut self) -> Parsed<u32> {
        let n = self.facts.iter().position(|fact| fact.value.is_none());
        let fact = n
            .map(|n| self.facts.remove(n))
            .ok_or_else(|| self.end.error("expected the size in bytes"))?;
        fact.key
            .parse()
            .map_err(|_| fact.at.error("the size is a number below 2^32"))
    }

    fn finish(&self) -> Parsed<()> {
        match self.facts.first() {
            None => Ok(()),
            Some(fact) => Err(fact
                .at
                .error(format!("{}(…) has no fact {}, or has it already", self.head, fact.key))),
        }
    }
}

/// A descriptor as a log shows it, without its brackets.
fn log_descr(text: &str) -> Result<Descr, String> {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() {
        return Err("an empty descriptor".to_string());
    }
    let head = words.remove(0);
    if let Some(flag) = head.strip_prefix("Field") {
        let name = first(&mut words, "a name")?.to_string();
        let offset = log_number(first(&mut words, "an offset")?)?;
        let LogFacts {
            word,
            memory,
            frozen,
            pointee,
        } = LogFacts::new(flag, &words)?;
        Ok(Descr::Field(FieldDescr {
            name,
            offset,
            word,
            memory,
            frozen,
            pointee,
        }))
    } else if let Some(flag) = head.strip_prefix("Array") {
        let item_size = log_number(first(&mut words, "the size of an item")?)?;
        let offset = match words.first().and_then(|word| word.strip_prefix('+')) {
            Some(offset) => {
                words.remove(0);
                log_number(offset)?
            }
            None => 0,
        };
        let name = first(&mut words, "").unwrap_or("Array").to_string();
        let LogFacts {
            word,
            memory,
            frozen,
            pointee,
        } = LogFacts::new(flag, &words)?;
        Ok(Descr::Array(ArrayDescr {
            name,
            item_size,
            offset,
            word,
            memory,
            frozen,
            pointee,
        }))
    } else if head == "SizeDescr" {
        log_size(words)
    } else if let Some(letter) = head.strip_prefix("Call") {
        log_call(letter, words)
    } else {
        Err(format!("no descriptor looks like <{head}>: field, array, size or call"))
    }
}

fn first<'t>(words: &mut Vec<&'t str>, what: &str) -> Result<&'t str, String> {
    if words.is_empty() {
        Err(format!("{what} is missing"))
    } else {
        Ok(words.remove(0))
    }
}

fn log_number(word: &str) -> Result<u32, String> {
    word.parse().map_err(|_| format!("{word} is not a number below 2^32"))
}

/// The words at the end of a field or an array.
struct LogFacts {
    word: Word,
    memory: Memory,
    frozen: bool,
    pointee: Pointee,
}

impl LogFacts {
    fn new(flag: &str, facts: &[&str]) -> Result<LogFacts, String> {
        let word = match flag {
            "P" => Word::Ref,
            "F" => Word::F64,
            "S" => Word::I64,
            "U" => Word::U64,
            _ => return Err(format!("{flag} is none of P, F, S, U")),
        };
        let mut parsed = LogFacts {
            word,
            memory: Memory::Rust,
            frozen: false,
            pointee: Pointee::Unknown,
        };
        for fact in facts {
            if *fact == "pure" {
                parsed.frozen = true;
            } else if let Some(word) = words::parse(fact) {
                parsed.word = word;
            } else if let Some(memory) = memories::parse(fact) {
                parsed.memory = memory;
            } else if let Some(pointee) = pointees::parse(fact) {
                parsed.pointee = pointee;
            } else {
                return Err(format!("{fact} says nothing of a location"));
            }
        }
        Ok(parsed)
    }
}

fn log_size(mut words: Vec<&str>) -> Result<Descr, String> {
    let size = log_number(first(&mut words, "the size")?)?;
    let name = first(&mut words, "").unwrap_or("Size").to_string();
    let mut descr = SizeDescr {
        name,
        size,
        align: 8,
        vtable: None,
        memory: Memory::Rust,
    };
    for fact in words {
        if let Some(align) = fact.strip_prefix("align=") {
            descr.align = log_number(align)?;
        } else if let Some(vtable) = fact.strip_prefix("vtable=0x") {
            descr.vtable = Some(u64::from_str_radix(vtable, 16).map_err(|_| format!("{fact} is no address"))?);
        } else {
            descr.memory = memories::parse(fact).ok_or_else(|| format!("{fact} says nothing of a size"))?;
        }
    }
    Ok(Descr::Size(descr))
}

fn log_call(letter: &str, mut words: Vec<&str>) -> Result<Descr, String> {
    let kind = |letter: char| match letter {
        'i' => Ok(Kind::Int),
        'r' => Ok(Kind::Ref),
        'f' => Ok(Kind::Float),
        _ => Err(format!("{letter} is none of i, r, f")),
    };
    let result = if letter == "v" {
        None
    } else {
        Some(kind(letter.chars().next().unwrap_or('?'))?)
    };
    first(&mut words, "the size of the result")?;
    let args = match words.first() {
        Some(word) if !word.starts_with("EF=") => {
            words.remove(0).chars().map(kind).collect::<Result<Vec<Kind>, _>>()?
        }
        _ => Vec::new(),
    };
    let effect = first(&mut words, "EF=")?;
    let (effect, can_panic) = match effect {
        "EF=0" => (Effect::Elidable, false),
        "EF=4" => (Effect::Elidable, true),
        "EF=2" => (Effect::Arguments, false),
        "EF=5" => (Effect::Arguments, true),
        "EF=7" => (Effect::Any, !words.contains(&"nounwind")),
        _ => return Err(format!("{effect} is none of EF=0, 2, 4, 5, 7")),
    };
    let name = words.first().copied().unwrap_or("call").to_string();
    Ok(Descr::Call(CallDescr {
        name,
        args,
        result,
        effect,
        can_panic,
    }))
}
