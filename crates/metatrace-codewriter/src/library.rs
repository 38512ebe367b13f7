//! The store of jitcodes, built as they are asked for.

use crate::builder;
use crate::lower;
use crate::natives;
use crate::portal::{self, NativeParam};
use crate::shims;
use crate::types::Type;
use metatrace_ir::JitCodeId;
use metatrace_jitcode::domain::Flow;
use metatrace_jitcode::portal::{PortalCode, PortalSource, Twins, Unstageable};
use metatrace_jitcode::{CalleeKey, Concrete, Interp, JitCode, JitCodeSource, Outcome, SmallCode, Stack, Words};
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

thread_local! {
    /// The twins that have been named on this thread, by the address of their key.
    static KEYS: RefCell<FxHashMap<usize, (fn(), &'static str)>> = RefCell::default();

    static OF_THREAD: Rc<Library> = Rc::default();
}

/// A twin's key, erased: `F` is the twin, whose parameter is zero-sized.
pub fn key<P, F: Fn(PhantomData<P>)>(twin: F) -> fn() {
    std::mem::forget(twin);
    let key: fn() = shims::run_twin::<P, F>;
    name_key(key, std::any::type_name::<F>());
    key
}

fn name_key(key: fn(), name: &'static str) {
    KEYS.with_borrow_mut(|keys| keys.insert(key as usize, (key, name)));
}

/// A readable name of the function whose twin this is.
pub(crate) fn name_of_key(key: fn()) -> &'static str {
    let name = KEYS.with_borrow(|keys| keys.get(&(key as usize)).map_or("?", |(_, name)| name));
    let name = name.strip_suffix("::build").unwrap_or(name);
    let name = name.split("::build<").next().unwrap_or(name);
    let last = name.rsplit("::").next().unwrap_or(name);
    last.strip_prefix("__jit_build_").unwrap_or(last)
}

fn twin_of_key(key: CalleeKey) -> fn() {
    KEYS.with_borrow(|keys| keys.get(&key.0).map(|(twin, _)| *twin))
        .expect("a key made on this thread")
}

/// A function's jitcode, and what else its twin has told.
pub(crate) struct Lowered {
    pub(crate) jitcode: JitCode,
    pub(crate) params: Vec<NativeParam>,
    pub(crate) result: Type,
    pub(crate) portal: Option<portal::PortalParts>,
}

/// A function with the jitcodes by which native code calls it.
#[derive(Clone, Debug)]
struct Entry {
    jitcode: Rc<JitCode>,
    /// Sizes of the parameters.
    sizes: Vec<u32>,
    load_params: Rc<JitCode>,
    store_result: Rc<JitCode>,
}

#[derive(Default)]
struct Store {
    by_id: Vec<Rc<JitCode>>,
    functions: FxHashMap<CalleeKey, Rc<JitCode>>,
    entries: FxHashMap<CalleeKey, Entry>,
    portals: FxHashMap<CalleeKey, Rc<PortalCode>>,
}

/// A store of jitcodes.
#[derive(Default)]
pub struct Library {
    store: RefCell<Store>,
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Library({} jitcodes)", self.store.borrow().by_id.len())
    }
}

impl Library {
    /// The store that all drivers of this thread share: what a twin builds does not depend on who asks.
    pub fn of_thread() -> Rc<Library> {
        OF_THREAD.with(Rc::clone)
    }

    fn next_id(&self) -> JitCodeId {
        JitCodeId(self.store.borrow().by_id.len() as u32)
    }

    fn add(&self, jitcode: JitCode) -> Rc<JitCode> {
        debug_assert_eq!(jitcode.id, self.next_id());
        let jitcode = Rc::new(jitcode);
        self.store.borrow_mut().by_id.push(jitcode.clone());
        jitcode
    }

    /// # Panics
    /// If the function cannot be staged.
    fn stage(&self, key: CalleeKey) -> (Rc<JitCode>, Lowered) {
        self.try_stage(key).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_stage(&self, key: CalleeKey) -> Result<(Rc<JitCode>, Lowered), Unstageable> {
        crate::scalar::learn_scalars();
        let build = || lower::lower(builder::run(twin_of_key(key)), self.next_id());
        let lowered = catch_unwind(AssertUnwindSafe(build)).map_err(|payload| match payload.downcast() {
            Ok(error) => *error,
            Err(payload) => resume_unwind(payload),
        })?;
        let jitcode = self.add(lowered.jitcode.clone());
        self.store.borrow_mut().functions.insert(key, jitcode.clone());
        Ok((jitcode, lowered))
    }

    fn try_jitcode(&self, key: CalleeKey) -> Result<Rc<JitCode>, Unstageable> {
        let known = self.store.borrow().functions.get(&key).cloned();
        match known {
            Some(jitcode) => Ok(jitcode),
            None => Ok(self.try_stage(key)?.0),
        }
    }

    fn entry(&self, key: CalleeKey) -> Entry {
        if let Some(entry) = self.store.borrow().entries.get(&key) {
            return entry.clone();
        }
        let (jitcode, lowered) = self.stage(key);
        let load_params = self.add(portal::load_params(&lowered.params, self.next_id()));
        let store_result = self.add(portal::store_result(lowered.result, self.next_id()));
        let sizes = lowered.params.iter().map(|param| param.ty.size).collect();
        let entry = Entry {
            jitcode,
            sizes,
            load_params,
            store_result,
        };
        self.store.borrow_mut().entries.insert(key, entry.clone());
        entry
    }

    /// # Panics
    /// If the values are not of the parameters' sizes.
    fn check_sizes(&self, twin: fn(), args: &[(*const u8, usize)]) {
        let entry = self.entry(CalleeKey(twin as usize));
        let sizes: Vec<u32> = args.iter().map(|(_, size)| *size as u32).collect();
        assert_eq!(entry.sizes, sizes, "sizes of the arguments of {}", entry.jitcode.name);
    }

    /// The function's jitcode, by its twin's key: for reading it.
    pub fn show(&self, twin: fn()) -> Rc<JitCode> {
        self.jitcode(CalleeKey(twin as usize))
    }

    /// Runs a function's jitcode on values at these addresses, which are given away; writes its result to `result`.
    ///
    /// # Safety
    /// The addresses are of valid values of the parameter types, in order; `result` is writable for the result type.
    unsafe fn evaluate(&self, twin: fn(), args: &[u64], result: u64) {
        let entry = self.entry(CalleeKey(twin as usize));
        // SAFETY: the caller's promise: addresses of the parameters, then their words.
        let words = unsafe { self.interpret(&entry.load_params, args) };
        // SAFETY: the words of valid arguments.
        let mut words = unsafe { self.interpret(&entry.jitcode, &words) };
        words.insert(0, result);
        // SAFETY: the address of the result, and its words.
        unsafe { self.interpret(&entry.store_result, &words) };
    }

    /// # Safety
    /// The words are valid arguments of the jitcode.
    unsafe fn interpret(&self, code: &Rc<JitCode>, args: &[u64]) -> Words<u64> {
        let mut interp = Interp::new(
            Concrete {
                at_merge_point: Flow::Continue,
            },
            self,
            Stack::default(),
        );
        // SAFETY: forwarded.
        match unsafe { interp.call(code, args) } {
            Outcome::Return(words) => words,
            Outcome::Panic(payload) => std::panic::resume_unwind(payload.into_box()),
            Outcome::MergePoint { .. } => unreachable!("this domain goes on at merge points"),
        }
    }
}

impl JitCodeSource for Library {
    fn jitcode(&self, key: CalleeKey) -> Rc<JitCode> {
        self.try_jitcode(key).unwrap_or_else(|error| panic!("{error}"))
    }

    fn by_id(&self, id: JitCodeId) -> Rc<JitCode> {
        self.store.borrow().by_id[id.0 as usize].clone()
    }
}

impl PortalSource for Library {
    fn build_twins(&self, key: CalleeKey) -> Result<Twins, Unstageable> {
        let is_new = !self.store.borrow().functions.contains_key(&key);
        if is_new {
            let staged = self.try_stage(key)?;
            if staged.1.portal.is_some() {
                self.add_portal(key, staged);
            }
        }
        let mut twins = Twins::default();
        let mut reached = vec![key];
        let mut next = 0;
        while let Some(key) = reached.get(next).copied() {
            let jitcode = self.try_jitcode(key)?;
            twins.functions.push(jitcode.name.clone());
            for call in jitcode.native_calls.iter().filter(|call| natives::is_accessor(call)) {
                twins.count_accessor(&call.call_descr().name);
            }
            for call in &jitcode.inline_calls {
                if !reached.contains(&call.callee.key) {
                    reached.push(call.callee.key);
                }
            }
            next += 1;
        }
        Ok(twins)
    }

    fn portal(&self, key: CalleeKey) -> Rc<PortalCode> {
        if let Some(portal) = self.store.borrow().portals.get(&key) {
            return portal.clone();
        }
        self.add_portal(key, self.stage(key))
    }
}

impl Library {
    fn add_portal(&self, key: CalleeKey, (jitcode, lowered): (Rc<JitCode>, Lowered)) -> Rc<PortalCode> {
        let parts = lowered.portal.expect("a portal's twin says that it is one");
        let portal = Rc::new(PortalCode {
            jitcode,
            load_params: SmallCode::new(self.add(portal::load_params(&lowered.params, self.next_id()))),
            store_params: SmallCode::new(self.add(portal::store_params(&lowered.params, self.next_id()))),
            store_result: SmallCode::new(self.add(portal::store_result(lowered.result, self.next_id()))),
            param_words: parts.param_words,
            red_roots: parts.red_roots,
            red_words: parts.red_words,
        });
        self.store.borrow_mut().portals.insert(key, portal.clone());
        portal
    }
}

/// Runs a function's jitcode: arguments are addresses and sizes of values, which are given away.
///
/// # Safety
/// `twin` is the key of a twin whose parameter types are those of the values, in order, and whose result type is `R`.
pub unsafe fn run<R>(twin: fn(), args: &[(*const u8, usize)]) -> R {
    let library = Library::of_thread();
    library.check_sizes(twin, args);
    let args: Vec<u64> = args.iter().map(|(address, _)| *address as u64).collect();
    // SAFETY: forwarded; evaluation writes the result or unwinds.
    unsafe { shims::filled(|result| library.evaluate(twin, &args, result)) }
}

/// Stages a portal and all functions that it may trace into, in a library of its own.
///
/// # Errors
/// The first function that cannot be staged.
pub fn build_twins(twin: fn()) -> Result<Twins, Unstageable> {
    Library::default().build_twins(CalleeKey(twin as usize))
}

/// The jitcode of a function as text, for tests and for reading.
pub fn show(twin: fn()) -> String {
    Library::of_thread().show(twin).to_string()
}
