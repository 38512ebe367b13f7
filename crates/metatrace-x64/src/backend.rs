//! The backend: what is compiled, where it is, and when its memory can be used again.
//!
//! A loop owns the code that was compiled under its token: its own and that of bridges. Code of one loop can lead
//! into another, by a jump to a label or by a bridge that belongs to the other. A freed loop is kept until neither a
//! loop that is not freed nor a running activation can lead into it.

use crate::Options;
use crate::code_memory::{Chunk, CodeMemory};
use crate::exits::{self, ExitRecord, ExitTable};
use crate::features::Features;
use crate::locations::Location;
use crate::walk::{self, Context, Entry, Frame, Label, Piece, PieceExit, Routines};
use metatrace_backend::forcing::Countdown;
use metatrace_backend::{Assembled, Backend, BackendError, ExitHandler, Forcing, LoopToken};
use metatrace_ir::{GuardId, Opcode, TargetToken, Trace};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

/// Runs traces as x86-64 machine code.
pub struct X64Backend {
    options: Options,
    features: Features,
    countdown: Option<Box<Countdown>>,
    routines: Routines,
    state: RefCell<State>,
    scratch: RefCell<walk::Scratch>,
    exits: RefCell<ExitTable>,
    /// The loops that activations were entered at, the innermost last.
    active: RefCell<Vec<LoopId>>,
    /// Whether there are freed loops.
    has_freed: Cell<bool>,
}

/// A loop for its whole life, which goes on for a while when it is freed and its token has another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct LoopId(u32);

struct State {
    memory: CodeMemory,
    tokens: FxHashMap<LoopToken, LoopId>,
    loops: FxHashMap<LoopId, Loop>,
    guards: FxHashMap<GuardId, Guard>,
    labels: FxHashMap<TargetToken, (LoopId, Label)>,
    next: u32,
}

#[derive(Default)]
struct Loop {
    /// Where it is entered, and the number of inputs; `None` where there are only bridges.
    entry: Option<(u64, usize)>,
    chunks: Vec<Chunk>,
    exits: Vec<u32>,
    guards: Vec<GuardId>,
    labels: Vec<TargetToken>,
    /// Guards whose bridges are its own, or once were.
    bridged: Vec<GuardId>,
    /// Other loops that its code can lead to.
    leads_to: FxHashSet<LoopId>,
    is_freed: bool,
}

/// A piece that has got its address.
struct Installed {
    owner: LoopId,
    entry: u64,
    assembled: Assembled,
}

/// A guard or `finish` in the code of a loop that is not freed.
struct Guard {
    owner: LoopId,
    opcode: Opcode,
    values: Rc<[Location]>,
    frame: Rc<Frame>,
    /// Addresses of the distances that lead to its exit or its bridge.
    sites: SmallVec<[u64; 1]>,
    /// Address of its exit.
    stub: u64,
    /// The owner of its bridge.
    bridge: Option<LoopId>,
}

impl X64Backend {
    /// A backend without code.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] where the system lets no generated code run.
    pub fn new(options: Options) -> Result<X64Backend, BackendError> {
        let countdown = match options.forcing {
            Forcing::OneIn { n, seed } => Some(Box::new(Countdown::new(n, seed))),
            Forcing::Off | Forcing::Guard(_) => None,
        };
        // distances of 4 bytes reach everywhere
        let size = options.code_memory.min(1 << 30);
        let mut memory = CodeMemory::new(size, options.two_views).map_err(unavailable)?;
        let (code, offsets) = exits::routines(countdown.as_deref());
        let chunk = memory.allocate(code.len()).ok_or(BackendError::OutOfCodeMemory)?;
        memory.write(chunk, &code).map_err(unavailable)?;
        let routines = exits::routines_at(memory.address(chunk), offsets);
        let state = State {
            memory,
            tokens: FxHashMap::default(),
            loops: FxHashMap::default(),
            guards: FxHashMap::default(),
            labels: FxHashMap::default(),
            next: 0,
        };
        Ok(X64Backend {
            features: if options.cpu_extensions {
                Features::detect()
            } else {
                Features::base()
            },
            options,
            countdown,
            routines,
            state: RefCell::new(state),
            scratch: RefCell::default(),
            exits: RefCell::default(),
            active: RefCell::default(),
            has_freed: Cell::new(false),
        })
    }

    fn compile(&self, trace: &Trace, entry: Entry<'_>) -> Result<Piece, BackendError> {
        let state = self.state.borrow();
        if !state.memory.is_usable() {
            return Err(BackendError::Unavailable("the process was forked".to_string()));
        }
        let context = Context {
            features: self.features,
            forcing: self.options.forcing,
            countdown: self.countdown.as_ref().map(|countdown| countdown.left.as_ptr() as u64),
            routines: self.routines,
            label: &|token| state.labels.get(&token).map(|(_, label)| label.clone()),
            reaches: &|address| state.memory.reaches(address),
            frame_limit: self.options.frame_limit,
        };
        walk::compile(trace, &context, entry, &mut self.scratch.borrow_mut())
    }

    /// How many exits were numbered, those of freed loops once more for others.
    #[cfg(test)]
    pub(crate) fn exit_numbers(&self) -> usize {
        self.exits.borrow().len()
    }

    /// Gives back the memory of freed loops that nothing leads to any more.
    fn collect(&self) {
        if self.has_freed.get() {
            let mut state = self.state.borrow_mut();
            let (rest, exits) = state.collect(&self.active.borrow());
            self.has_freed.set(rest);
            let mut table = self.exits.borrow_mut();
            exits.into_iter().for_each(|number| table.remove(number));
        }
    }
}

fn unavailable(error: io::Error) -> BackendError {
    BackendError::Unavailable(format!("no executable memory: {error}"))
}

impl State {
    /// The loop of a token, a new one if it has none.
    fn owner(&mut self, token: LoopToken) -> LoopId {
        let (loops, next) = (&mut self.loops, &mut self.next);
        *self.tokens.entry(token).or_insert_with(|| {
            let id = LoopId(*next);
            *next += 1;
            loops.insert(id, Loop::default());
            id
        })
    }

    /// Puts a piece into memory as the owner's.
    fn install(
        &mut self,
        token: LoopToken,
        mut piece: Piece,
        exits: &mut ExitTable,
    ) -> Result<Installed, BackendError> {
        let chunk = self
            .memory
            .allocate(piece.code.len())
            .ok_or(BackendError::OutOfCodeMemory)?;
        let address = self.memory.address(chunk);
        for fixup in &piece.fixups {
            let at = fixup.at as usize;
            let distance = distance(address + u64::from(fixup.at), fixup.target);
            piece.code[at..at + 4].copy_from_slice(&distance.to_le_bytes());
        }
        let mut numbers = Vec::new();
        for exit in &piece.exits {
            if let Some(at) = exit.number_at {
                let has_payload = exit.opcode == Opcode::GuardNoException;
                let number = exits.add(ExitRecord {
                    guard: exit.guard,
                    values: exit.values.clone(),
                    may_be_forced: exit.may_be_forced,
                    has_payload,
                });
                piece.code[at as usize..at as usize + 4].copy_from_slice(&number.to_le_bytes());
                numbers.push(number);
            }
        }
        if let Err(error) = self.memory.write(chunk, &piece.code) {
            numbers.into_iter().for_each(|number| exits.remove(number));
            return Err(unavailable(error));
        }
        let owner = self.owner(token);
        let target = piece.jumps_to.map(|token| self.labels[&token].0);
        let entry = self.loops.get_mut(&owner).expect("an owner has a loop");
        entry.chunks.push(chunk);
        entry.exits.extend(numbers);
        entry.leads_to.extend(target);
        entry.guards.extend(piece.exits.iter().map(|exit| exit.guard));
        entry.labels.extend(piece.labels.iter().map(|label| label.token));
        for label in &piece.labels {
            let label_ = Label {
                address: address + u64::from(label.offset),
                targets: label.targets.clone(),
                slots: piece.frame.slots,
            };
            self.labels.insert(label.token, (owner, label_));
        }
        let frame = Rc::new(piece.frame);
        for exit in &piece.exits {
            self.guards.insert(exit.guard, guard(exit, owner, address, &frame));
        }
        let frame_size = crate::locations::frame_size(frame.slots);
        let assembled = Assembled {
            address,
            code: piece.code,
            op_offsets: piece.op_offsets,
            frame_size,
        };
        Ok(Installed {
            owner,
            entry: address + u64::from(piece.entry),
            assembled,
        })
    }

    /// Leads a guard's failure to this address.
    fn attach(&mut self, guard: GuardId, to: u64) -> Result<(), BackendError> {
        let sites = self.guards[&guard].sites.clone();
        for site in sites {
            self.memory.patch(site, distance(site, to)).map_err(unavailable)?;
        }
        Ok(())
    }

    /// Frees what nothing leads to; whether freed loops are left, and the numbers of exits that are gone.
    fn collect(&mut self, active: &[LoopId]) -> (bool, Vec<u32>) {
        let mut reached: FxHashSet<LoopId> = FxHashSet::default();
        let mut open: Vec<LoopId> = active.to_vec();
        open.extend(
            self.loops
                .iter()
                .filter(|(_, entry)| !entry.is_freed)
                .map(|(id, _)| *id),
        );
        while let Some(id) = open.pop() {
            if reached.insert(id) {
                open.extend(self.loops[&id].leads_to.iter().filter(|id| self.loops.contains_key(id)));
            }
        }
        let gone: Vec<LoopId> = self.loops.keys().copied().filter(|id| !reached.contains(id)).collect();
        let mut exits = Vec::new();
        for id in gone {
            let entry = self.loops.remove(&id).expect("it was just there");
            exits.extend(entry.exits);
            for chunk in entry.chunks {
                // memory that cannot be written is lost, which is no reason to stop
                let _ = self.memory.release(chunk);
            }
        }
        (self.loops.values().any(|entry| entry.is_freed), exits)
    }
}

fn guard(exit: &PieceExit, owner: LoopId, address: u64, frame: &Rc<Frame>) -> Guard {
    Guard {
        owner,
        opcode: exit.opcode,
        values: exit.values.clone(),
        frame: frame.clone(),
        sites: exit.sites.iter().map(|site| address + u64::from(*site)).collect(),
        // the number is at the end of the stub's first instruction, of 6 bytes
        stub: exit.number_at.map_or(0, |at| address + u64::from(at) - 2),
        bridge: None,
    }
}

/// What the 4 bytes at `site` hold to lead to `target`.
fn distance(site: u64, target: u64) -> i32 {
    let distance = target.wrapping_sub(site + 4) as i64;
    i32::try_from(distance).expect("code memory is smaller than 2 GiB")
}

impl Backend for X64Backend {
    fn name(&self) -> &'static str {
        "x86-64"
    }

    fn is_available(&self) -> bool {
        self.state.borrow().memory.is_usable()
    }

    fn compile_loop(&self, token: LoopToken, trace: &Trace) -> Result<Assembled, BackendError> {
        let entry = |state: &State| state.tokens.get(&token).and_then(|id| state.loops[id].entry);
        assert!(entry(&self.state.borrow()).is_none(), "{token:?} is compiled already");
        let piece = self.compile(trace, Entry::Call)?;
        let mut state = self.state.borrow_mut();
        let Installed {
            owner,
            entry,
            assembled,
        } = state.install(token, piece, &mut self.exits.borrow_mut())?;
        state.loops.get_mut(&owner).expect("an owner has a loop").entry = Some((entry, trace.inputs.len()));
        Ok(assembled)
    }

    fn compile_bridge(&self, token: LoopToken, name: GuardId, trace: &Trace) -> Result<Assembled, BackendError> {
        let (opcode, values, frame) = {
            let state = self.state.borrow();
            let guard = state
                .guards
                .get(&name)
                .unwrap_or_else(|| panic!("a bridge for {name:?}, which is not compiled"));
            (guard.opcode, guard.values.clone(), guard.frame.clone())
        };
        if matches!(opcode, Opcode::GuardNoException | Opcode::Finish) {
            return Err(BackendError::Unsupported(opcode));
        }
        let piece = self.compile(
            trace,
            Entry::Guard {
                inputs: &values,
                frame: &frame,
            },
        )?;
        let mut state = self.state.borrow_mut();
        let Installed {
            owner,
            entry,
            assembled,
        } = state.install(token, piece, &mut self.exits.borrow_mut())?;
        // What keeps the bridge alive is noted first: where attaching fails halfway, some sites lead there.
        let guard = state.guards.get_mut(&name).expect("it was just there");
        guard.bridge = Some(owner);
        let from = guard.owner;
        state
            .loops
            .get_mut(&from)
            .expect("a guard's owner has a loop")
            .leads_to
            .insert(owner);
        state
            .loops
            .get_mut(&owner)
            .expect("an owner has a loop")
            .bridged
            .push(name);
        state.attach(name, entry)?;
        Ok(assembled)
    }

    unsafe fn execute(&self, token: LoopToken, args: &[u64], handler: &mut dyn ExitHandler) {
        let (id, address) = {
            let state = self.state.borrow();
            assert!(state.memory.is_usable(), "machine code is not run in a forked child");
            let id = state.tokens.get(&token).copied();
            let entry = id.and_then(|id| Some((id, state.loops[&id].entry?)));
            let (id, (address, inputs)) = entry.unwrap_or_else(|| panic!("{token:?} is not compiled"));
            assert_eq!(args.len(), inputs, "a loop is entered with a word for each input");
            (id, address)
        };
        self.active.borrow_mut().push(id);
        let _active = Active(self);
        // SAFETY: the entry of a loop with as many inputs, which stays while it is active; the rest is the caller's
        // promise.
        unsafe { exits::execute(address, args, &self.exits, handler) };
    }

    fn free_loop(&self, token: LoopToken) {
        let mut state = self.state.borrow_mut();
        let Some(id) = state.tokens.remove(&token) else { return };
        let freed = state.loops.get_mut(&id).expect("a token has a loop");
        freed.is_freed = true;
        let (guards, labels) = (std::mem::take(&mut freed.guards), std::mem::take(&mut freed.labels));
        let bridged = std::mem::take(&mut freed.bridged);
        for guard in guards {
            if state.guards.get(&guard).is_some_and(|guard| guard.owner == id) {
                state.guards.remove(&guard);
            }
        }
        for label in labels {
            if state.labels.get(&label).is_some_and(|(owner, _)| *owner == id) {
                state.labels.remove(&label);
            }
        }
        for name in bridged {
            let Some(stub) = state
                .guards
                .get(&name)
                .filter(|guard| guard.bridge == Some(id))
                .map(|guard| guard.stub)
            else {
                continue;
            };
            // where the memory cannot be written, the bridge stays reachable, and so it stays
            if state.attach(name, stub).is_ok() {
                state.guards.get_mut(&name).expect("it was just there").bridge = None;
            }
        }
        drop(state);
        self.has_freed.set(true);
        self.collect();
    }
}

/// An activation is running, until this is dropped.
struct Active<'a>(&'a X64Backend);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.active.borrow_mut().pop();
        self.0.collect();
    }
}
