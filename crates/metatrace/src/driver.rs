//! The driver: owner of counters and code, passed to the portal by shared reference.
//!
//! It is invariant in `'p`, the life of the programs it has seen: a driver that accepted two short-lived programs in turn
//! would keep code that is special for the dead one. It is neither `Send` nor `Sync`; any number of drivers may exist.
//! One driver serves any number of portals.

use crate::greens::Greens;
use metatrace_log::Log;
use metatrace_metainterp::{ConfigError, Parameters, Stats};
use std::cell::Cell;
use std::marker::PhantomData;

#[cfg(feature = "jit")]
use metatrace_jitcode::{CalleeKey, Words};
#[cfg(feature = "jit")]
use metatrace_metainterp::{Engine, Entry, Location, Next as EngineNext, engine::hash_greens};

/// Owns what a portal needs to become fast: counters, traces, machine code. See the module's documentation.
///
/// A program that dies before the driver is rejected at compile time: declare the driver behind the program.
pub struct JitDriver<'p> {
    #[cfg(feature = "jit")]
    engine: Engine,
    #[cfg(not(feature = "jit"))]
    params: std::cell::RefCell<Parameters>,
    _invariant: PhantomData<(Cell<&'p ()>, *mut ())>,
}

impl Default for JitDriver<'_> {
    fn default() -> Self {
        JitDriver::new()
    }
}

impl<'p> JitDriver<'p> {
    /// A cold driver with the default parameters.
    pub fn new() -> JitDriver<'p> {
        JitDriver::with_parameters(Parameters::default())
    }

    /// A cold driver with these parameters.
    ///
    /// # Panics
    /// If they ask for what is [not in this build](Parameters::are_built).
    #[cfg(feature = "jit")]
    pub fn with_parameters(params: Parameters) -> JitDriver<'p> {
        let library = metatrace_codewriter::Library::of_thread();
        JitDriver {
            engine: Engine::new(params, library, Box::new(backend)),
            _invariant: PhantomData,
        }
    }

    /// A driver that does nothing, with these parameters.
    #[cfg(not(feature = "jit"))]
    pub fn with_parameters(params: Parameters) -> JitDriver<'p> {
        JitDriver {
            params: std::cell::RefCell::new(params),
            _invariant: PhantomData,
        }
    }

    /// A cold driver with parameters given as text: `off`, `default`, or pairs such as `threshold=10,trace_limit=100`.
    ///
    /// # Errors
    /// Names the part of the text that cannot be used.
    pub fn with_param_text(text: &str) -> Result<JitDriver<'p>, ConfigError> {
        let mut params = Parameters::default();
        params.apply(text)?;
        Ok(JitDriver::with_parameters(params))
    }

    /// The parameters.
    pub fn parameters(&self) -> Parameters {
        #[cfg(feature = "jit")]
        return self.engine.parameters();
        #[cfg(not(feature = "jit"))]
        return self.params.borrow().clone();
    }

    /// Changes parameters by text, as in [`with_param_text`](Self::with_param_text). What concerns the backend has no
    /// effect once something has been compiled.
    ///
    /// # Errors
    /// Names the part of the text that cannot be used; nothing has changed then.
    pub fn set_param(&self, text: &str) -> Result<(), ConfigError> {
        let mut params = self.parameters();
        params.apply(text)?;
        #[cfg(feature = "jit")]
        self.engine.set_parameters(params);
        #[cfg(not(feature = "jit"))]
        self.params.replace(params);
        Ok(())
    }

    /// From here on, writes what it does to `log` (see [`Log::from_env`]).
    pub fn set_log(&mut self, log: Log) {
        #[cfg(feature = "jit")]
        self.engine.set_log(log);
        #[cfg(not(feature = "jit"))]
        drop(log);
    }

    /// Ends the log with a summary; so does dropping the driver, which cannot report an error.
    ///
    /// # Errors
    /// What was wrong with writing the log.
    pub fn finish_log(&mut self) -> std::io::Result<()> {
        #[cfg(feature = "jit")]
        return self.engine.finish_log();
        #[cfg(not(feature = "jit"))]
        return Ok(());
    }

    /// What the driver has done so far.
    pub fn stats(&self) -> Stats {
        #[cfg(feature = "jit")]
        return self.engine.stats();
        #[cfg(not(feature = "jit"))]
        return Stats::default();
    }

    /// Counts a back-edge of the guest program; whether [`enter`] is due. The cost of a cold one is a few instructions.
    #[cfg(feature = "jit")]
    #[inline(always)]
    pub fn back_edge<G: Greens<'p>>(&self, greens: G) -> bool {
        self.engine.counters().tick(hash_greens(greens.words().as_ref()))
    }

    /// Never due.
    #[cfg(not(feature = "jit"))]
    #[inline(always)]
    pub fn back_edge<G: Greens<'p>>(&self, _: G) -> bool {
        false
    }
}

#[cfg(feature = "jit")]
fn backend(params: &Parameters) -> Result<Box<dyn metatrace_backend::Backend>, metatrace_backend::BackendError> {
    use metatrace_backend::Forcing;
    let forcing = match (params.force_guard, params.force_exits) {
        (Some(guard), _) => Forcing::Guard(metatrace_ir::GuardId(guard)),
        (None, 0) => Forcing::Off,
        (None, n) => Forcing::OneIn { n, seed: params.seed },
    };
    if params.reference {
        return Ok(Box::new(metatrace_backend::reference::ReferenceExecutor::new(forcing)));
    }
    let options = metatrace_x64::Options {
        forcing,
        ..metatrace_x64::Options::default()
    };
    Ok(Box::new(metatrace_x64::X64Backend::new(options)?))
}

/// A way to a driver that nobody can replace while its code runs: a shared reference, and nothing else. Behind a unique
/// reference, or in a field of what the portal changes, a driver could be dropped by a call that its own code makes.
#[diagnostic::on_unimplemented(
    message = "a portal's driver is a shared reference `&JitDriver`, and this is `{Self}`",
    label = "not a `&JitDriver`",
    note = "the driver owns the code that runs: take `jit: &JitDriver<'p>` as a parameter, or keep such a reference"
)]
pub trait SharedDriver<'j, 'p>: sealed::Sealed {
    /// The reference.
    fn shared(self) -> &'j JitDriver<'p>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for &super::JitDriver<'_> {}
}

impl<'j, 'p> SharedDriver<'j, 'p> for &'j JitDriver<'p> {
    #[inline(always)]
    fn shared(self) -> &'j JitDriver<'p> {
        self
    }
}

/// The driver of a portal's activation.
#[inline(always)]
pub fn shared<'j, 'p, D: SharedDriver<'j, 'p>>(driver: D) -> &'j JitDriver<'p> {
    driver.shared()
}

/// How a portal's native function goes on after [`enter`].
#[derive(Debug)]
pub enum Next<R> {
    /// At its merge point, with its parameters as they are now.
    Go,
    /// It returns this.
    Return(R),
}

/// What [`enter`] must know of a portal.
#[derive(Clone, Copy, Debug)]
pub struct Portal<G> {
    /// Builds its jitcode.
    pub build: fn(),
    /// Its readable name.
    pub name: &'static str,
    /// The author's `get_printable_location`.
    pub location: Option<fn(G) -> String>,
}

/// Takes over at a back-edge that is due: records, compiles, runs machine code, and comes back at a merge point or with
/// the portal's result.
///
/// # Safety
/// Called by the expansion of `#[jit::portal]` only: `params` are the addresses of the portal's parameters in order,
/// `greens` is the key at this merge point, `R` is the portal's return type.
/// # Panics
/// Resumes a panic of the interpreter's own code.
#[cold]
#[inline(never)]
pub unsafe fn enter<'p, G: Greens<'p>, R>(
    jit: &JitDriver<'p>,
    portal: &Portal<G>,
    greens: G,
    params: &mut [*mut u8],
) -> Next<R> {
    #[cfg(not(feature = "jit"))]
    {
        let _ = (jit, portal.build, portal.name, portal.location, greens, params);
        Next::Go
    }
    #[cfg(feature = "jit")]
    {
        let words = greens.words();
        let params: Words<u64> = params.iter().map(|param| *param as u64).collect();
        let mut result = std::mem::MaybeUninit::<R>::uninit();
        let entry = Entry {
            portal: CalleeKey(portal.build as usize),
            name: portal.name,
            location: portal.location.map(|function| Location {
                function: function as *const (),
                call: print_location::<G>,
            }),
            greens: words.as_ref(),
            hash: hash_greens(words.as_ref()),
            params: &params,
            result: result.as_mut_ptr() as u64,
        };
        // SAFETY: the addresses and the key are the portal's, by the caller's promise; the references in the key live for
        // `'p`, and the engine belongs to a driver of `'p`.
        match unsafe { jit.engine.enter(&entry) } {
            EngineNext::Go => Next::Go,
            // SAFETY: the engine has written the result.
            EngineNext::Return => Next::Return(unsafe { result.assume_init() }),
            EngineNext::Panic(payload) => std::panic::resume_unwind(payload),
        }
    }
}

/// # Safety
/// `function` is a `fn(G) -> String`, and `words` are those of a key whose references are alive.
#[cfg(feature = "jit")]
unsafe fn print_location<'p, G: Greens<'p>>(function: *const (), words: &[u64]) -> String {
    // SAFETY: made from such a function in `enter`.
    let function = unsafe { std::mem::transmute::<*const (), fn(G) -> String>(function) };
    // SAFETY: the caller's promise.
    function(unsafe { G::from_words(words) })
}

/// A driver stays in its thread: were it `Send` or `Sync`, the name would be ambiguous, and this would not compile.
#[cfg(test)]
const _: fn() = || {
    trait Unless<Marker> {
        fn here() {}
    }
    struct Sends;
    struct Syncs;
    impl<T: ?Sized> Unless<()> for T {}
    impl<T: ?Sized + Send> Unless<Sends> for T {}
    impl<T: ?Sized + Sync> Unless<Syncs> for T {}
    let _ = <JitDriver<'static> as Unless<_>>::here;
};
