//! Checks every invariant of a trace that the documentation of [`trace`](crate::trace) and of the operations states.
//! Takes time linear in the trace.

use crate::descr::{ArrayDescr, CallDescr, Descr, Effect, SizeDescr, TargetToken};
use crate::op::{Class, Opcode, Operands};
use crate::trace::{GuardId, InputWord, Op, Reach, RootKind, SnapshotId, Trace};
use crate::value::{Kind, Ref};
use rustc_hash::{FxHashMap, FxHashSet};
use std::fmt;

/// An invariant that a trace breaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifyError {
    /// The operation's index and text; `None` for what concerns the trace as a whole.
    pub op: Option<(usize, String)>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.op {
            Some((n, op)) => write!(f, "operation {n}, {op}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for VerifyError {}

/// Whether the trace is as every reader of traces expects it.
///
/// # Errors
/// The first invariant that is broken.
pub fn verify(trace: &Trace) -> Result<(), VerifyError> {
    let whole = |message| VerifyError { op: None, message };
    let mut verifier = Verifier {
        trace,
        segment: 1,
        visible_in: vec![0; trace.value_count()],
        snapshot_in: vec![0; trace.snapshots.len()],
        labels: FxHashMap::default(),
        guards: FxHashSet::default(),
    };
    verifier.roots().map_err(whole)?;
    verifier.words().map_err(whole)?;
    verifier.snapshots().map_err(whole)?;
    verifier.visible_in[..trace.inputs.len()].fill(1);
    for (n, op) in trace.ops.iter().enumerate() {
        verifier.op(n, op).map_err(|message| VerifyError {
            op: Some((n, trace.print_op(n))),
            message,
        })?;
    }
    match trace.ops.last() {
        Some(op) if is_final(op.opcode) => Ok(()),
        _ => Err(whole("the trace does not end in jump or finish".to_string())),
    }
}

fn is_final(opcode: Opcode) -> bool {
    matches!(opcode, Opcode::Jump | Opcode::Finish)
}

type Check = Result<(), String>;

fn check(ok: bool, message: impl FnOnce() -> String) -> Check {
    if ok { Ok(()) } else { Err(message()) }
}

struct Verifier<'a> {
    trace: &'a Trace,
    /// The number of labels passed, from 1: what was defined in an earlier segment is out of sight.
    segment: u32,
    /// By value: the last segment in which it is visible; 0 before its definition.
    visible_in: Vec<u32>,
    /// By snapshot: the last segment in which its values were checked.
    snapshot_in: Vec<u32>,
    labels: FxHashMap<TargetToken, Vec<Kind>>,
    /// By segment: a guard is there again in another round of a peeled loop.
    guards: FxHashSet<(u32, GuardId)>,
}

impl Verifier<'_> {
    fn roots(&self) -> Check {
        let mut seen = FxHashSet::default();
        for root in &self.trace.roots {
            let input = root.value.as_value().is_some_and(|n| n < self.trace.inputs.len());
            check(input, || format!("the root {:?} is not an input", root.value))?;
            check(self.trace.kind(root.value) != Kind::Float, || {
                "a root is a float".to_string()
            })?;
            check(seen.insert(root.value), || {
                format!("two facts about the root {:?}", root.value)
            })?;
        }
        for derived in &self.trace.derived {
            let root = self.trace.roots.iter().find(|root| root.value == derived.root);
            check(root.is_some_and(|root| root.kind == RootKind::Exclusive), || {
                format!("{:?} derives from what is no exclusive root", derived.value)
            })?;
            let input = derived.value.as_value().is_some_and(|n| n < self.trace.inputs.len());
            check(input && !seen.contains(&derived.value), || {
                format!("{:?}, which is derived, is a root or no input", derived.value)
            })?;
            let facts = self.trace.derived.iter().filter(|other| other.value == derived.value);
            check(derived.reach == Reach::Perhaps || facts.count() == 1, || {
                format!("{:?} has two origins", derived.value)
            })?;
        }
        Ok(())
    }

    fn words(&self) -> Check {
        let mut seen = FxHashSet::default();
        for InputWord { value, word } in &self.trace.words {
            let input = value.as_value().is_some_and(|n| n < self.trace.inputs.len());
            check(
                input && self.trace.kind(*value) == Kind::Int && word.kind() == Kind::Int,
                || format!("a word of {value:?}, which is no input, or of what is no int"),
            )?;
            check(seen.insert(value), || format!("two words of {value:?}"))?;
        }
        Ok(())
    }

    fn snapshots(&self) -> Check {
        for (n, snapshot) in self.trace.snapshots.iter().enumerate() {
            check(snapshot.parent.is_none_or(|parent| (parent.0 as usize) < n), || {
                format!("snapshot {n}: its parent does not come before it")
            })?;
        }
        Ok(())
    }

    fn op(&mut self, n: usize, op: &Op) -> Check {
        op.args.iter().try_for_each(|arg| self.visible(*arg))?;
        self.sunk(op)?;
        self.operands(op)?;
        self.neighbours(n, op)?;
        self.exit(op)?;
        if op.opcode == Opcode::Label {
            self.label(op)?;
        }
        let last = n + 1 == self.trace.ops.len();
        check(last || !is_final(op.opcode), || "operations follow".to_string())?;
        if op.opcode.result().is_some() || op.sunk {
            self.visible_in[self.trace.inputs.len() + n] = self.segment;
        }
        Ok(())
    }

    fn visible(&self, value: Ref) -> Check {
        if value.is_const() {
            let constant = self.trace.find_const(value);
            check(constant.is_some(), || format!("there is no constant {value:?}"))?;
            let float = constant.is_some_and(|constant| constant.kind == Kind::Float);
            return check(!(float && value.is_green()), || "a green float".to_string());
        }
        let n = value.as_value().expect("not a constant");
        let segment = self.visible_in.get(n).copied().unwrap_or(0);
        check(segment == self.segment, || match segment {
            0 => format!("{} is not defined before it is used", self.show(value)),
            _ => format!(
                "{} is out of sight behind the label, of which it is no argument",
                self.show(value)
            ),
        })
    }

    /// What is sunk may be, and what is in line depends on nothing that is.
    fn sunk(&self, op: &Op) -> Check {
        if !op.sunk {
            let in_line = |arg: &Ref| self.trace.sunk_op(*arg).is_none();
            let sunk = op.args.iter().find(|arg| !in_line(arg));
            return check(sunk.is_none(), || {
                format!("{} is sunk: only exits know it", self.show(*sunk.expect("one is")))
            });
        }
        check(op.opcode.may_be_sunk(), || "it cannot be sunk".to_string())?;
        op.args.iter().try_for_each(|arg| self.has_result(*arg))
    }

    fn has_result(&self, value: Ref) -> Check {
        let store = self.trace.sunk_op(value).is_some_and(|op| op.opcode.result().is_none());
        check(!store, || format!("{} is a store", self.show(value)))
    }

    /// The value's name in the printed trace; for messages.
    fn show(&self, value: Ref) -> String {
        self.trace.print(&Default::default()).value(value)
    }

    fn kinds(&self, args: &[Ref], expected: &[Kind]) -> Check {
        check(args.len() == expected.len(), || {
            format!("{} operands instead of {}", args.len(), expected.len())
        })?;
        for (&arg, &kind) in args.iter().zip(expected) {
            check(self.trace.kind(arg) == kind, || {
                format!("{} is not of kind {kind:?}", self.show(arg))
            })?;
        }
        Ok(())
    }

    /// Operands and descriptor.
    fn operands(&self, op: &Op) -> Check {
        let args = &op.args[..];
        match op.opcode.info().operands {
            Operands::Fixed(kinds) => self.kinds(args, kinds)?,
            Operands::One => check(args.len() == 1, || format!("{} operands instead of 1", args.len()))?,
            Operands::ValueAndConst => {
                check(args.len() == 2, || format!("{} operands instead of 2", args.len()))?;
                check(args[1].is_const(), || {
                    "the second operand is not a constant".to_string()
                })?;
                self.kinds(&args[1..], &[self.trace.kind(args[0])])?;
            }
            Operands::Any => {}
        }
        if op.opcode == Opcode::IntSignext {
            let width = self.trace.as_const(args[1]).map(|width| width.bits);
            check(matches!(width, Some(1 | 2 | 4)), || {
                "the width is not a constant 1, 2 or 4".to_string()
            })?;
        }
        self.descr(op)
    }

    fn descr(&self, op: &Op) -> Check {
        use Opcode::*;
        let args = &op.args[..];
        let result = op.opcode.result();
        match (op.opcode, op.descr.as_deref()) {
            (GetfieldGcI | GetfieldGcR | GetfieldGcF, Some(Descr::Field(d))) => {
                check(Some(d.word.kind()) == result, || {
                    format!("the field holds a {:?}", d.word)
                })
            }
            (SetfieldGc, Some(Descr::Field(d))) => self.kinds(args, &[Kind::Ref, d.word.kind()]),
            (PtrField, Some(Descr::Field(_))) => Ok(()),
            (GetarrayitemRawI | GetarrayitemRawR | GetarrayitemRawF, Some(Descr::Array(d))) => {
                check(Some(d.word.kind()) == result, || {
                    format!("an item holds a {:?}", d.word)
                })?;
                array(d)
            }
            (SetarrayitemRaw, Some(Descr::Array(d))) => {
                self.kinds(args, &[Kind::Int, Kind::Int, d.word.kind()])?;
                array(d)
            }
            (PtrItem | NewArray, Some(Descr::Array(d))) => array(d),
            (Alloca | New, Some(Descr::Size(d))) => size(d),
            (NewWithVtable, Some(Descr::Size(d))) => {
                check(d.vtable.is_some(), || "the descriptor has no vtable".to_string())?;
                size(d)
            }
            (CallI | CallR | CallN | CallPureI | CallPureR, Some(Descr::Call(d))) => self.call(op, d),
            (Label, Some(Descr::Target(_))) => Ok(()),
            (Jump, Some(Descr::Target(token))) => self.jump(args, *token),
            (DebugMergePoint, Some(Descr::Location(..))) => {
                check(args.is_empty(), || "a debug_merge_point with operands".to_string())
            }
            (_, descr) => match (expected_descr(op.opcode), descr) {
                (None, None) => Ok(()),
                (None, Some(_)) => Err("a descriptor where none belongs".to_string()),
                (Some(expected), None) => Err(format!("no descriptor; it needs {expected}")),
                (Some(expected), Some(_)) => Err(format!("the wrong sort of descriptor; it needs {expected}")),
            },
        }
    }

    fn call(&self, op: &Op, descr: &CallDescr) -> Check {
        let [function, args @ ..] = &op.args[..] else {
            return Err("no function address".to_string());
        };
        let address = self
            .trace
            .as_const(*function)
            .is_some_and(|function| function.kind == Kind::Int);
        check(address, || "the function address is not a constant int".to_string())?;
        check(args.len() <= CallDescr::MAX_ARGS, || {
            format!("more than {} arguments", CallDescr::MAX_ARGS)
        })?;
        self.kinds(args, &descr.args)?;
        check(!descr.args.contains(&Kind::Float), || {
            "an argument is a float".to_string()
        })?;
        check(descr.result == op.opcode.result(), || {
            format!("the callee returns {:?}", descr.result)
        })?;
        let pure = matches!(op.opcode, Opcode::CallPureI | Opcode::CallPureR);
        check(!pure || descr.effect == Effect::Elidable, || {
            "the callee is not elidable".to_string()
        })
    }

    fn jump(&self, args: &[Ref], token: TargetToken) -> Check {
        // a label of another trace is checked where traces meet
        let Some(kinds) = self.labels.get(&token) else {
            return Ok(());
        };
        self.kinds(args, kinds)
            .map_err(|message| format!("against its label: {message}"))
    }

    /// What must stand right before or behind the operation.
    fn neighbours(&self, n: usize, op: &Op) -> Check {
        let before = n.checked_sub(1).map(|n| &self.trace.ops[n]);
        let panicking_call = |op: &Op| matches!(op.descr.as_deref(), Some(Descr::Call(call)) if call.can_panic);
        match op.opcode {
            Opcode::GuardNoOverflow | Opcode::GuardOverflow => {
                let overflow = before.is_some_and(|op| op.opcode.class() == Class::Overflow);
                check(overflow, || {
                    "not right behind an operation that sets the overflow flag".to_string()
                })
            }
            Opcode::GuardNoException => check(before.is_some_and(panicking_call), || {
                "not right behind a call that may panic".to_string()
            }),
            opcode if opcode.class() == Class::Call && panicking_call(op) => {
                let guard = self
                    .trace
                    .ops
                    .get(n + 1)
                    .is_some_and(|op| op.opcode == Opcode::GuardNoException);
                check(guard, || {
                    "may panic, but no guard_no_exception is right behind it".to_string()
                })
            }
            _ => Ok(()),
        }
    }

    fn exit(&mut self, op: &Op) -> Check {
        match (op.snapshot, op.opcode.can_exit()) {
            (Some(snapshot), true) => self.snapshot(snapshot)?,
            (None, true) => return Err("it may leave the trace, but has no snapshot".to_string()),
            (Some(_), false) => return Err("it never leaves the trace, but has a snapshot".to_string()),
            (None, false) => {}
        }
        check(!op.early || op.opcode.is_guard(), || {
            "it is early, but no guard".to_string()
        })?;
        if let Some(stores) = &op.pending {
            check(op.opcode.can_exit(), || {
                "it never leaves the trace, but stores are pending".to_string()
            })?;
            self.pending(stores)?;
        }
        if let Some(guard) = op.guard {
            check(op.opcode.can_exit(), || {
                "it never leaves the trace, but has a guard's name".to_string()
            })?;
            check(self.guards.insert((self.segment, guard)), || {
                format!("two guards have the name {:#x}", guard.0)
            })?;
        }
        Ok(())
    }

    fn pending(&self, stores: &[Ref]) -> Check {
        for store in stores {
            self.visible(*store)?;
            let is_store = |op: &Op| op.opcode.class() == Class::Store;
            check(self.trace.sunk_op(*store).is_some_and(is_store), || {
                format!("{} is pending, but no sunk store", self.show(*store))
            })?;
        }
        check(stores.is_sorted(), || "pending stores out of order".to_string())
    }

    fn snapshot(&mut self, innermost: SnapshotId) -> Check {
        let mut next = Some(innermost);
        while let Some(id) = next {
            let n = id.0 as usize;
            let Some(snapshot) = self.trace.snapshots.get(n) else {
                return Err(format!("there is no snapshot {n}"));
            };
            if self.snapshot_in[n] == self.segment {
                break; // checked at an earlier guard, with its parents
            }
            for &value in &snapshot.values {
                self.visible(value)?;
                self.has_result(value)?;
            }
            self.snapshot_in[n] = self.segment;
            next = snapshot.parent;
        }
        Ok(())
    }

    fn label(&mut self, op: &Op) -> Check {
        self.segment += 1;
        for arg in &op.args {
            let Some(n) = arg.as_value() else {
                return Err("an argument is a constant".to_string());
            };
            check(self.visible_in[n] != self.segment, || {
                format!("{} is an argument twice", self.show(*arg))
            })?;
            self.visible_in[n] = self.segment;
        }
        let kinds = op.args.iter().map(|arg| self.trace.kind(*arg)).collect();
        let token = op.descr().target();
        check(self.labels.insert(token, kinds).is_none(), || {
            "two labels have this token".to_string()
        })
    }
}

fn array(descr: &ArrayDescr) -> Check {
    let end = u64::from(descr.offset) + u64::from(descr.word.size());
    check(end <= descr.item_size.into(), || {
        "the word lies outside of the array's items".to_string()
    })
}

fn size(descr: &SizeDescr) -> Check {
    let ok = descr.align.is_power_of_two() && descr.align <= 16;
    check(ok, || format!("the alignment {} is not 1, 2, 4, 8 or 16", descr.align))
}

fn expected_descr(opcode: Opcode) -> Option<&'static str> {
    use Opcode::*;
    match opcode {
        GetfieldGcI | GetfieldGcR | GetfieldGcF | SetfieldGc | PtrField => Some("a field's"),
        GetarrayitemRawI | GetarrayitemRawR | GetarrayitemRawF | SetarrayitemRaw | PtrItem | NewArray => {
            Some("an array's")
        }
        Alloca | New | NewWithVtable => Some("a size's"),
        CallI | CallR | CallN | CallPureI | CallPureR => Some("a call's"),
        Label | Jump => Some("a target token"),
        DebugMergePoint => Some("a location"),
        _ => None,
    }
}
