//! The executor that interprets traces, one operation at a time, on real memory: the meaning that machine code is
//! held to.
//!
//! A piece of code is a compiled trace. An activation is in one piece at a time and moves to another by a `jump` to a
//! label there, or where a guard fails that has a bridge; the values it takes along are copied at once.
//!
//! Absent: speed, and any check of the memory that a trace touches.

use crate::forcing::Countdown;
use crate::{Assembled, Backend, BackendError, Exit, ExitHandler, Forcing, LoopToken};
use metatrace_ir::eval::{eval, eval_with_descr, location, overflows};
use metatrace_ir::{Class, Descr, GuardId, Op, Opcode, Ref, SizeDescr, TargetToken, Trace};
use metatrace_native::ShimResult;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::rc::Rc;

/// Interprets traces.
pub struct ReferenceExecutor {
    forcing: Forcing,
    countdown: Option<Countdown>,
    state: RefCell<State>,
    /// What `new*` has made; released with the executor.
    heap: RefCell<Memory>,
}

#[derive(Default)]
struct State {
    loops: FxHashMap<LoopToken, Rc<Piece>>,
    bridges: FxHashMap<GuardId, Bridge>,
    targets: FxHashMap<TargetToken, Label>,
    /// What each compiled guard is, and the loop in whose code it lies.
    guards: FxHashMap<GuardId, (Opcode, LoopToken)>,
}

struct Bridge {
    owner: LoopToken,
    piece: Rc<Piece>,
}

#[derive(Clone)]
struct Label {
    owner: LoopToken,
    piece: Rc<Piece>,
    op: usize,
}

/// A compiled trace.
struct Piece {
    trace: Trace,
    /// By operation: what leaves with an exit there.
    exits: Vec<Option<PieceExit>>,
    /// Where the final `jump` goes.
    destination: Option<Destination>,
}

/// The operands of an operation.
type Words = SmallVec<[u64; 8]>;

struct PieceExit {
    guard: GuardId,
    args: Vec<Ref>,
}

enum Destination {
    /// A label of the same piece, by operation.
    Own(usize),
    Other(Label),
}

/// Memory in blocks that never move.
#[derive(Default)]
struct Memory {
    blocks: Vec<Box<[u128]>>,
    /// Units of 16 bytes left at the end of the last block.
    left: usize,
}

impl Memory {
    /// Zeroed memory, aligned to 16 bytes.
    fn allocate(&mut self, size: u64) -> u64 {
        const BLOCK: usize = 1 << 12;
        let units = usize::try_from(size.div_ceil(16).max(1)).expect("allocations fit the address space");
        if units > self.left {
            self.left = units.max(BLOCK);
            self.blocks.push(vec![0; self.left].into_boxed_slice());
        }
        let block = self.blocks.last_mut().expect("a block was pushed");
        let start = block.len() - self.left;
        self.left -= units;
        block[start..].as_mut_ptr() as u64
    }
}

/// One execution: where it is, and what it knows.
struct Activation {
    piece: Rc<Piece>,
    values: Vec<u64>,
    frame: Memory,
    /// Of the last operation of class `Overflow`.
    overflowed: bool,
    /// Of the last call.
    call: ShimResult,
}

/// Where control goes after an operation.
enum Next {
    Op(usize),
    Exit { op: usize, payload: Option<u64> },
}

impl ReferenceExecutor {
    /// An executor with no code. `forcing` makes guards fail although their conditions hold.
    pub fn new(forcing: Forcing) -> ReferenceExecutor {
        let countdown = match forcing {
            Forcing::OneIn { n, seed } => Some(Countdown::new(n, seed)),
            Forcing::Off | Forcing::Guard(_) => None,
        };
        ReferenceExecutor {
            forcing,
            countdown,
            state: RefCell::default(),
            heap: RefCell::default(),
        }
    }

    fn compile(&self, owner: LoopToken, trace: &Trace) -> Result<Rc<Piece>, BackendError> {
        let mut state = self.state.borrow_mut();
        let own_label = |token| {
            trace
                .ops
                .iter()
                .position(|op| op.opcode == Opcode::Label && op.descr().target() == token)
        };
        let last = trace.ops.last().expect("a trace ends in jump or finish");
        let destination = match last.opcode {
            Opcode::Jump => {
                let token = last.descr().target();
                Some(match own_label(token) {
                    Some(op) => Destination::Own(op),
                    None => Destination::Other(
                        state
                            .targets
                            .get(&token)
                            .cloned()
                            .ok_or(BackendError::UnknownTarget(token))?,
                    ),
                })
            }
            Opcode::Finish => None,
            other => panic!("a trace ends in jump or finish, not in {}", other.name()),
        };
        let exits = trace
            .ops
            .iter()
            .map(|op| op.opcode.can_exit().then(|| PieceExit::new(trace, op)))
            .collect();
        let piece = Rc::new(Piece {
            trace: trace.clone(),
            exits,
            destination,
        });
        for (n, op) in trace.ops.iter().enumerate() {
            if op.opcode == Opcode::Label {
                state.targets.insert(
                    op.descr().target(),
                    Label {
                        owner,
                        piece: piece.clone(),
                        op: n,
                    },
                );
            }
        }
        for (op, exit) in trace.ops.iter().zip(&piece.exits) {
            state
                .guards
                .extend(exit.iter().map(|exit| (exit.guard, (op.opcode, owner))));
        }
        Ok(piece)
    }

    /// Runs until the activation leaves the code for good; where, and with which payload.
    fn run(&self, activation: &mut Activation) -> (usize, Option<u64>) {
        let mut at = 0;
        loop {
            let piece = activation.piece.clone();
            match self.step(&piece, at, activation) {
                Next::Op(next) => at = next,
                Next::Exit { op, payload } => {
                    let exit = piece.exit(op);
                    let bridge = self
                        .state
                        .borrow()
                        .bridges
                        .get(&exit.guard)
                        .map(|bridge| bridge.piece.clone());
                    let Some(bridge) = bridge else { return (op, payload) };
                    let inputs = activation.read(&piece, &exit.args);
                    activation.enter(bridge, &inputs);
                    at = 0;
                }
            }
        }
    }

    fn step(&self, piece: &Rc<Piece>, at: usize, activation: &mut Activation) -> Next {
        let op = &piece.trace.ops[at];
        if op.sunk {
            return Next::Op(at + 1);
        }
        let args = activation.read(piece, &op.args);
        let result = match op.opcode.class() {
            Class::Guard => {
                let fails = self.forced(piece, at) || activation.guard_fails(op.opcode, &args);
                let payload = (fails && op.opcode == Opcode::GuardNoException).then_some(activation.call.value);
                return if fails {
                    Next::Exit { op: at, payload }
                } else {
                    Next::Op(at + 1)
                };
            }
            Class::Control => return activation.control(piece, at, &args),
            Class::Pure | Class::Partial => {
                eval_with_descr(op.opcode, op.descr.as_deref(), &args).unwrap_or_else(|| {
                    panic!(
                        "{} of {args:?} is undefined, at {at} of {:#?}",
                        op.opcode.name(),
                        piece.trace
                    )
                })
            }
            Class::Overflow => {
                activation.overflowed = overflows(op.opcode, args[0], args[1]);
                eval(op.opcode, &args).expect("overflow operations are total")
            }
            Class::Load => load(op, &args),
            Class::Store => store(op, &args),
            Class::Alloc => self.allocate(op, &args, activation),
            Class::Call => {
                activation.call = call(&args);
                let guarded = piece.trace.ops[at + 1].opcode == Opcode::GuardNoException;
                assert!(
                    guarded || activation.call.panicked == 0,
                    "an unguarded call panicked, at {at}: {op:?}"
                );
                activation.call.value
            }
            Class::Debug => 0,
        };
        let inputs = piece.trace.inputs.len();
        activation.values[inputs + at] = result;
        Next::Op(at + 1)
    }

    fn forced(&self, piece: &Piece, at: usize) -> bool {
        let guard = piece.exit(at).guard;
        self.forcing.applies_to(piece.trace.ops[at].opcode, guard)
            && self.countdown.as_ref().is_none_or(Countdown::tick)
    }

    fn allocate(&self, op: &Op, args: &[u64], activation: &mut Activation) -> u64 {
        let descr = op.descr();
        let mut heap = self.heap.borrow_mut();
        match (op.opcode, &**descr) {
            (Opcode::Alloca, Descr::Size(size)) => activation.frame.allocate(size.size.into()),
            (Opcode::New, Descr::Size(size)) => heap.allocate(size.size.into()),
            (Opcode::NewWithVtable, Descr::Size(size)) => new_with_vtable(&mut heap, size),
            (Opcode::NewArray, Descr::Array(array)) => heap.allocate(args[0] * u64::from(array.item_size)),
            _ => panic!("{} with the descriptor {descr:?}", op.opcode.name()),
        }
    }
}

impl PieceExit {
    fn new(trace: &Trace, op: &Op) -> PieceExit {
        let guard = op
            .guard
            .unwrap_or_else(|| panic!("{} without a name", op.opcode.name()));
        PieceExit {
            guard,
            args: trace.exit(op).values,
        }
    }
}

impl Piece {
    fn exit(&self, op: usize) -> &PieceExit {
        self.exits[op].as_ref().expect("guards and finish have an exit")
    }
}

impl Activation {
    fn read(&self, piece: &Piece, refs: &[Ref]) -> Words {
        let read = |&value: &Ref| match value.as_value() {
            Some(n) => self.values[n],
            None => piece.trace.as_const(value).expect("a value or a constant").bits,
        };
        refs.iter().map(read).collect()
    }

    /// Moves to the start of a piece.
    fn enter(&mut self, piece: Rc<Piece>, inputs: &[u64]) {
        assert_eq!(
            inputs.len(),
            piece.trace.inputs.len(),
            "a trace is entered with a word for each input"
        );
        self.values.clear();
        self.values.extend_from_slice(inputs);
        self.values.resize(piece.trace.value_count(), 0);
        self.piece = piece;
    }

    fn guard_fails(&self, opcode: Opcode, args: &[u64]) -> bool {
        match opcode {
            Opcode::GuardTrue | Opcode::GuardNonnull => args[0] == 0,
            Opcode::GuardFalse | Opcode::GuardIsnull => args[0] != 0,
            Opcode::GuardValue => args[0] != args[1],
            Opcode::GuardNoOverflow => self.overflowed,
            Opcode::GuardOverflow => !self.overflowed,
            Opcode::GuardNoException => self.call.panicked != 0,
            Opcode::GuardAlwaysFails => true,
            other => panic!("{} is no guard", other.name()),
        }
    }

    fn control(&mut self, piece: &Rc<Piece>, at: usize, args: &[u64]) -> Next {
        match piece.trace.ops[at].opcode {
            Opcode::Finish => return Next::Exit { op: at, payload: None },
            Opcode::Label => return Next::Op(at + 1),
            Opcode::Jump => {}
            other => panic!("{} is no control operation", other.name()),
        }
        let (piece, at) = match piece.destination.as_ref().expect("a jump has a destination") {
            Destination::Own(op) => (piece, *op),
            Destination::Other(label) => (&label.piece, label.op),
        };
        let label = &piece.trace.ops[at];
        assert_eq!(
            label.args.len(),
            args.len(),
            "a jump has a word for each argument of its label"
        );
        self.values.resize(piece.trace.value_count(), 0);
        self.piece = piece.clone();
        for (value, word) in label.args.iter().zip(args) {
            self.values[value.as_value().expect("the arguments of a label are values")] = *word;
        }
        Next::Op(at + 1)
    }
}

fn load(op: &Op, args: &[u64]) -> u64 {
    let (address, word) = location(op.descr(), args);
    // SAFETY: whoever calls `execute` promises that the trace's memory operations are allowed on what its inputs point
    // to.
    unsafe { metatrace_native::load(address, word) }
}

fn store(op: &Op, args: &[u64]) -> u64 {
    let (address, word) = location(op.descr(), args);
    let value = *args.last().expect("a store has a value");
    // SAFETY: as for loads.
    unsafe { metatrace_native::store(address, word, value) };
    0
}

fn call(args: &[u64]) -> ShimResult {
    let (function, args) = args.split_first().expect("a call has a function");
    // SAFETY: a call operation names a shim and passes valid arguments, by the promise made to `execute`.
    unsafe { metatrace_native::call(*function, args) }
}

fn new_with_vtable(heap: &mut Memory, size: &SizeDescr) -> u64 {
    let address = heap.allocate(size.size.into());
    let vtable = size
        .vtable
        .unwrap_or_else(|| panic!("new_with_vtable of {}, which has no vtable", size.name));
    assert!(size.size >= 8, "{} has no room for its vtable", size.name);
    // SAFETY: freshly allocated, and at least 8 bytes.
    unsafe { metatrace_native::store(address, metatrace_ir::Word::U64, vtable) };
    address
}

impl Backend for ReferenceExecutor {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn compile_loop(&self, token: LoopToken, trace: &Trace) -> Result<Assembled, BackendError> {
        assert!(
            !self.state.borrow().loops.contains_key(&token),
            "{token:?} is compiled already"
        );
        let piece = self.compile(token, trace)?;
        self.state.borrow_mut().loops.insert(token, piece);
        Ok(Assembled::default())
    }

    fn compile_bridge(&self, token: LoopToken, guard: GuardId, trace: &Trace) -> Result<Assembled, BackendError> {
        let failing = self.state.borrow().guards.get(&guard).copied();
        match failing {
            None => panic!("a bridge for {guard:?}, which is not compiled"),
            Some((opcode @ (Opcode::GuardNoException | Opcode::Finish), _)) => {
                return Err(BackendError::Unsupported(opcode));
            }
            Some(_) => {}
        }
        let piece = self.compile(token, trace)?;
        self.state
            .borrow_mut()
            .bridges
            .insert(guard, Bridge { owner: token, piece });
        Ok(Assembled::default())
    }

    unsafe fn execute(&self, token: LoopToken, args: &[u64], handler: &mut dyn ExitHandler) {
        let piece = self.state.borrow().loops.get(&token).cloned();
        let piece = piece.unwrap_or_else(|| panic!("{token:?} is not compiled"));
        let mut activation = Activation {
            piece: piece.clone(),
            values: Vec::new(),
            frame: Memory::default(),
            overflowed: false,
            call: ShimResult { value: 0, panicked: 0 },
        };
        activation.enter(piece, args);
        let (op, payload) = self.run(&mut activation);
        let exit = activation.piece.exit(op);
        let values = activation.read(&activation.piece, &exit.args);
        handler.exit(Exit {
            guard: exit.guard,
            values: &values,
            may_be_forced: self
                .forcing
                .applies_to(activation.piece.trace.ops[op].opcode, exit.guard),
            payload,
            inside: None,
        });
    }

    fn free_loop(&self, token: LoopToken) {
        let mut state = self.state.borrow_mut();
        state.loops.remove(&token);
        state.bridges.retain(|_, bridge| bridge.owner != token);
        state.targets.retain(|_, label| label.owner != token);
        state.guards.retain(|_, (_, owner)| *owner != token);
    }
}

#[cfg(test)]
mod tests {
    use super::ReferenceExecutor;
    use crate::conformance;

    #[test]
    fn passes_the_suite() {
        for case in conformance::cases() {
            println!("{}", case.name); // shown where it fails
            (case.run)(&mut |forcing| Box::new(ReferenceExecutor::new(forcing)));
        }
    }

    /// The programs that backends are compared on run to their end.
    #[test]
    fn runs_random_programs() {
        for seed in 0..300 {
            let make = || ReferenceExecutor::new(crate::Forcing::Off);
            conformance::random::compare(seed, conformance::random::Size::smoke(), &make(), &make());
        }
    }
}
