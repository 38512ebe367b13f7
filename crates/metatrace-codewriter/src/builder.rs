//! The builder: what a twin calls, through its handles, while it runs.
//!
//! There is one current builder for each thread, while a twin runs. Handles are numbers into its tables: *values*
//! (operands, one for each word), *places*, *roots* (locals and temporaries that places begin at), *joins*.
//!
//! **Two runs.** Whether a local may live in registers is known when the twin has run: its address may be taken at the
//! very end. So the builder notes such roots in [`Learnt`], and when there are new ones, the twin runs again, with those
//! roots in frame slots from the start. Roots are numbered in the order in which the twin makes them, which does not
//! depend on where they live.

use crate::drops::{Owner, Path};
use crate::place::{PlaceData, Root};
use crate::types::Type;
use metatrace_graph::{Blk, Graph, Op, Operand, OwnerId, Term, Unwind, VReg};
use metatrace_ir::{Class, Const, Descr, DescrRef, Kind, Memory, Opcode, SizeDescr, eval};
use metatrace_jitcode::Unstageable;
use std::cell::Cell;
use std::rc::Rc;

/// A value: its type and words.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) ty: Type,
    pub(crate) words: Vec<Operand>,
    /// Who drops it.
    pub(crate) owner: Option<OwnerId>,
}

/// Number of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ValueId(pub(crate) u32);

/// What runs of a twin learn for the next.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Learnt {
    /// Roots that need an address, in order.
    addressed: Vec<u32>,
    /// Parts that are moved out of roots, in order.
    parts: Vec<(u32, Path)>,
}

impl Learnt {
    /// The root needs an address.
    pub(crate) fn address(&mut self, root: u32) {
        insert_in_order(&mut self.addressed, root);
    }

    /// The part is moved out of the root.
    pub(crate) fn part(&mut self, root: u32, path: Path) {
        insert_in_order(&mut self.parts, (root, path));
    }
}

fn insert_in_order<T: Ord>(list: &mut Vec<T>, value: T) {
    if let Err(n) = list.binary_search(&value) {
        list.insert(n, value);
    }
}

/// A scope of locals or of temporaries.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) temporaries: bool,
    pub(crate) owned: Vec<OwnerId>,
}

/// The state of a join.
#[derive(Debug)]
pub(crate) struct JoinState {
    /// Where its arms meet.
    pub(crate) block: Blk,
    /// How many scopes were open when it was made.
    pub(crate) depth: usize,
    /// The registers that its arms write.
    pub(crate) value: Option<(Type, Vec<VReg>)>,
    pub(crate) owned: bool,
}

/// What is known of a portal while its twin runs.
#[derive(Debug)]
pub(crate) struct PortalState {
    /// Which parameters are green.
    pub(crate) greens: Vec<u32>,
    /// For each native parameter: its type, the registers of its words, its root unless it is passed by address.
    pub(crate) params: Vec<PortalParam>,
}

/// A parameter of a portal.
#[derive(Debug)]
pub(crate) struct PortalParam {
    pub(crate) ty: Type,
    pub(crate) regs: Vec<VReg>,
    pub(crate) root: Option<u32>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Builder {
    pub(crate) graph: Graph,
    pub(crate) result: Option<Type>,
    /// Whether temporaries of tail expressions are dropped as in edition 2024.
    pub(crate) edition_2024: bool,
    /// Whether arithmetic checks for overflow.
    pub(crate) overflow_checks: bool,
    pub(crate) current: Blk,
    /// The receiver's placeholder that operations go to.
    pub(crate) sequence: Option<u32>,
    pub(crate) values: Vec<Value>,
    pub(crate) places: Vec<PlaceData>,
    pub(crate) roots: Vec<Root>,
    pub(crate) joins: Vec<JoinState>,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) owners: Vec<Owner>,
    /// What scopes owned when the twin asked.
    pub(crate) snapshots: Vec<Vec<OwnerId>>,
    owned_now: Option<Rc<[OwnerId]>>,
    pub(crate) portal: Option<PortalState>,
    /// Types of the parameters.
    pub(crate) params: Vec<Type>,
    /// What earlier runs have learnt.
    known: Learnt,
    /// That, and what this one has.
    pub(crate) learnt: Learnt,
}

thread_local! {
    static CURRENT: Cell<Option<Box<Builder>>> = const { Cell::new(None) };
}

/// Runs `f` on the current builder. There are hundreds of callers, many of them generic: what is not `f` is a few calls.
///
/// # Panics
/// Outside of a twin's run.
pub(crate) fn with<R>(f: impl FnOnce(&mut Builder) -> R) -> R {
    f(Lent::take().builder())
}

/// The current builder, until it is given back.
struct Lent(Option<Box<Builder>>);

impl Lent {
    fn take() -> Lent {
        Lent(CURRENT.take())
    }

    fn builder(&mut self) -> &mut Builder {
        self.0.as_mut().expect("handles are used only while a twin runs")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// Gives a function up that cannot be staged: unwinds to the library, which has a twin run.
pub(crate) fn refuse(function: &str, why: &str) -> ! {
    let error = Unstageable {
        function: function.to_owned(),
        why: why.to_owned(),
    };
    std::panic::resume_unwind(Box::new(error))
}

/// Runs a twin until nothing more is learnt, and returns the builder of its last run.
///
/// # Panics
/// If a twin runs already on this thread. Where the twin finds that its function cannot be staged, unwinds with an
/// [`Unstageable`].
pub(crate) fn run(twin: fn()) -> Builder {
    let mut known = Learnt::default();
    loop {
        let builder = run_once(twin, known.clone());
        if builder.learnt == known {
            return builder;
        }
        known = builder.learnt;
    }
}

fn run_once(twin: fn(), known: Learnt) -> Builder {
    /// Leaves no builder behind where a twin panics.
    struct Clear;
    impl Drop for Clear {
        fn drop(&mut self) {
            CURRENT.set(None);
        }
    }
    let before = CURRENT.replace(Some(Box::new(Builder::new(known))));
    assert!(before.is_none(), "a twin runs already");
    let _clear = Clear;
    twin();
    *CURRENT.take().expect("the twin is done with it")
}

impl Builder {
    fn new(known: Learnt) -> Builder {
        Builder {
            graph: Graph::new(""),
            result: None,
            edition_2024: true,
            overflow_checks: true,
            current: Blk(0),
            sequence: None,
            values: Vec::new(),
            places: Vec::new(),
            roots: Vec::new(),
            joins: Vec::new(),
            scopes: Vec::new(),
            owners: Vec::new(),
            snapshots: Vec::new(),
            owned_now: None,
            portal: None,
            params: Vec::new(),
            learnt: known.clone(),
            known,
        }
    }

    /// Begins the function.
    pub(crate) fn begin(&mut self, name: &'static str, result: Type, edition_2024: bool, overflow_checks: bool) {
        self.graph.name = name;
        self.result = Some(result);
        self.edition_2024 = edition_2024;
        self.overflow_checks = overflow_checks;
        self.current = self.graph.block();
        self.push_scope(false);
    }

    /// Whether earlier runs found that this root needs an address.
    pub(crate) fn is_addressed(&self, root: u32) -> bool {
        self.known.addressed.binary_search(&root).is_ok()
    }

    /// The parts that earlier runs found to be moved out of this root, in order.
    pub(crate) fn known_parts(&self, root: u32) -> &[(u32, Path)] {
        let parts = &self.known.parts;
        let start = parts.partition_point(|(of, _)| *of < root);
        let end = parts.partition_point(|(of, _)| *of <= root);
        &parts[start..end]
    }

    /// The author's function cannot be staged.
    pub(crate) fn refuse(&self, why: &str) -> ! {
        refuse(self.graph.name, why)
    }

    // ---- emission

    pub(crate) fn emit(&mut self, op: Op) {
        match self.sequence {
            Some(sequence) => self.graph.sequences[sequence as usize].push(op),
            None => self.graph.blocks[self.current.0 as usize].ops.push(op),
        }
    }

    /// Ends the current block; what follows cannot be reached unless another block is switched to.
    pub(crate) fn end(&mut self, term: Term) {
        assert!(self.sequence.is_none(), "a receiver's loads are straight code");
        let block = &mut self.graph.blocks[self.current.0 as usize];
        assert!(matches!(block.term, Term::Open), "a block ends once");
        block.term = term;
        self.current = self.graph.block();
    }

    pub(crate) fn goto(&mut self, to: Blk) {
        self.end(Term::Goto(to));
    }

    /// Goes on here where `cond` holds, else to `fail`.
    pub(crate) fn test(&mut self, cond: Operand, fail: Blk) {
        let then = self.graph.block();
        self.end(Term::If { cond, then, or: fail });
        self.current = then;
    }

    /// Goes on here where `cond` holds, else executes `cold`, which ends its block.
    pub(crate) fn check(&mut self, cond: Operand, cold: impl FnOnce(&mut Builder)) {
        if cond.as_const().is_some_and(|bits| bits != 0) {
            return;
        }
        let fail = self.graph.block();
        self.test(cond, fail);
        let here = std::mem::replace(&mut self.current, fail);
        cold(self);
        self.current = here;
    }

    pub(crate) fn reg(&mut self, kind: Kind) -> VReg {
        self.graph.reg(kind)
    }

    /// A pure operation; constants fold.
    pub(crate) fn pure(&mut self, op: Opcode, a: Operand, b: Operand) -> Operand {
        let kind = op.result().expect("pure operations have results");
        if op.class() == Class::Pure
            && let (Some(x), Some(y)) = (a.as_const(), b.as_const())
            && let Some(bits) = eval::eval(op, &[x, y])
        {
            return Operand::Const(Const { kind, bits });
        }
        let dst = self.reg(kind);
        self.emit(Op::Pure { op, dst, a, b });
        Operand::Reg(dst)
    }

    /// A pure operation with one operand.
    pub(crate) fn pure1(&mut self, op: Opcode, a: Operand) -> Operand {
        self.pure(op, a, a)
    }

    pub(crate) fn copy(&mut self, src: Operand) -> Operand {
        if src.as_const().is_some() {
            return src;
        }
        let dst = self.reg(self.graph.kind(src));
        self.emit(Op::Move { dst, src });
        Operand::Reg(dst)
    }

    /// The same bits in a register of another bank.
    pub(crate) fn reinterpret(&mut self, operand: Operand, kind: Kind) -> Operand {
        if let Operand::Const(constant) = operand {
            return Operand::Const(Const {
                kind,
                bits: constant.bits,
            });
        }
        match (self.graph.kind(operand), kind) {
            (from, to) if from == to => operand,
            (Kind::Int, Kind::Float) => self.pure1(Opcode::ConvertLonglongBytesToFloat, operand),
            (Kind::Float, Kind::Int) => self.pure1(Opcode::ConvertFloatBytesToLonglong, operand),
            (Kind::Int, Kind::Ref) => self.pure1(Opcode::CastIntToPtr, operand),
            (Kind::Ref, Kind::Int) => self.pure1(Opcode::CastPtrToInt, operand),
            (_, to) => {
                let int = self.reinterpret(operand, Kind::Int);
                self.reinterpret(int, to)
            }
        }
    }

    /// A fresh frame slot.
    pub(crate) fn alloca(&mut self, name: &str, size: u32, align: u32) -> Operand {
        let descr: DescrRef = Rc::new(Descr::Size(SizeDescr {
            name: name.to_owned(),
            size,
            align: align.min(16),
            vtable: None,
            memory: Memory::Rust,
        }));
        assert!(align <= 16, "{name}: frame slots are aligned to at most 16 bytes");
        let dst = self.reg(Kind::Ref);
        self.emit(Op::Alloca { dst, descr });
        Operand::Reg(dst)
    }

    // ---- values

    pub(crate) fn value(&mut self, ty: Type, words: Vec<Operand>) -> ValueId {
        debug_assert_eq!(words.len(), ty.shape().words.len(), "words of {ty:?}");
        self.values.push(Value { ty, words, owner: None });
        ValueId(self.values.len() as u32 - 1)
    }

    /// A value that the current temporaries' scope owns.
    pub(crate) fn owned_value(&mut self, ty: Type, words: Vec<Operand>) -> ValueId {
        let value = self.value(ty, words);
        self.own_value(value);
        value
    }

    pub(crate) fn get(&self, value: ValueId) -> &Value {
        &self.values[value.0 as usize]
    }

    pub(crate) fn words(&self, value: ValueId) -> Vec<Operand> {
        self.get(value).words.clone()
    }

    /// The word of a scalar.
    pub(crate) fn word(&self, value: ValueId) -> Operand {
        let value = self.get(value);
        assert_eq!(value.words.len(), 1, "{:?} is one word", value.ty);
        value.words[0]
    }

    pub(crate) fn unit(&mut self) -> ValueId {
        self.value(Type::of::<()>(), Vec::new())
    }

    // ---- scopes

    pub(crate) fn push_scope(&mut self, temporaries: bool) -> usize {
        self.scopes.push(Scope {
            temporaries,
            owned: Vec::new(),
        });
        self.scopes.len() - 1
    }

    pub(crate) fn truncate_scopes(&mut self, depth: usize) {
        self.scopes.truncate(depth);
        self.scopes_changed();
    }

    pub(crate) fn scopes_changed(&mut self) {
        self.owned_now = None;
    }

    /// What the scopes from `depth` upwards own, to be dropped in this order.
    pub(crate) fn owned_above(&self, depth: usize) -> Vec<OwnerId> {
        let scopes = self.scopes.get(depth..).unwrap_or(&[]);
        scopes
            .iter()
            .rev()
            .flat_map(|scope| scope.owned.iter().rev().copied())
            .collect()
    }

    /// All that the frame owns now.
    pub(crate) fn owned_now(&mut self) -> Rc<[OwnerId]> {
        if self.owned_now.is_none() {
            self.owned_now = Some(self.owned_above(0).into());
        }
        self.owned_now.clone().expect("just computed")
    }
}

impl Builder {
    /// A builder that no twin drives.
    pub(crate) fn standalone() -> Builder {
        Builder::new(Learnt::default())
    }
}

impl Builder {
    /// Says where the call that has just been emitted unwinds to.
    pub(crate) fn set_last_unwind(&mut self, unwind: Unwind) {
        match self.graph.blocks[self.current.0 as usize].ops.last_mut() {
            Some(Op::Native(call)) => call.unwind = unwind,
            other => unreachable!("a native call was emitted, not {other:?}"),
        }
    }
}
