//! Runs a function natively and by its jitcode, on the same arguments, and compares what can be seen: the result, a panic
//! and its message, what became of the arguments' memory, and the log of events (which drops write to).

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static EVENTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Writes to the log of events.
pub fn event(what: impl ToString) {
    EVENTS.with_borrow_mut(|events| events.push(what.to_string()));
}

/// A value whose drop is an event, which tells whether the thread unwinds.
#[metatrace::jit]
#[derive(Debug, PartialEq)]
pub struct D(pub u32);

impl Drop for D {
    fn drop(&mut self) {
        let unwinding = if std::thread::panicking() { " unwinding" } else { "" };
        event(format_args!("drop {}{unwinding}", self.0));
    }
}

/// Makes a droppable value, which is an event as well.
#[metatrace::jit::dont_look_inside]
pub fn make(n: u32) -> D {
    event(format_args!("make {n}"));
    D(n)
}

/// An event from staged code.
#[metatrace::jit::dont_look_inside]
pub fn log(n: u32) {
    event(format_args!("log {n}"));
}

/// What a run did.
#[derive(PartialEq)]
struct Seen {
    outcome: Result<String, String>,
    after: String,
    events: Vec<String>,
}

impl Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.outcome {
            Ok(value) => write!(f, "{value}")?,
            Err(message) => write!(f, "panic: {message}")?,
        }
        if self.after != "()" {
            write!(f, "\n          after: {}", self.after)?;
        }
        if !self.events.is_empty() {
            write!(f, "\n          events: {}", self.events.join(", "))?;
        }
        Ok(())
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a payload that is no text".to_owned(),
    }
}

/// Panics are expected here, and say nothing.
fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                hook(info);
            }
        }));
    });
}

fn watch<S: Debug>(mut state: S, run: impl FnOnce(&mut S) -> String) -> Seen {
    EVENTS.with_borrow_mut(Vec::clear);
    QUIET.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| run(&mut state)));
    QUIET.set(false);
    let after = format!("{state:?}");
    drop(state);
    Seen {
        outcome: outcome.map_err(|payload| message(&*payload)),
        after,
        events: EVENTS.with_borrow_mut(std::mem::take),
    }
}

/// Compares two ways of running something on equal states; they give what they return as text.
///
/// # Panics
/// If they differ.
pub fn compare<S: Debug>(
    what: &str,
    state: impl Fn() -> S,
    native: impl FnOnce(&mut S) -> String,
    staged: impl FnOnce(&mut S) -> String,
) {
    silence_panics();
    let before = format!("{:?}", state());
    let (native, staged) = (watch(state(), native), watch(state(), staged));
    assert!(
        native == staged,
        "{what} on {before} differs\n  native: {native:?}\n  staged: {staged:?}"
    );
}

/// A function's jitcode, to be called like the function: its parameter types are known before its arguments are coerced.
pub struct Staged<A, R> {
    twin: fn(),
    signature: PhantomData<fn(A) -> R>,
}

macro_rules! staged_callers {
    ($($name:ident($($arg:ident: $A:ident),*);)*) => {$(
        pub fn $name<$($A,)* R>(_: impl Fn($($A),*) -> R, twin: fn()) -> Staged<($($A,)*), R> {
            Staged { twin, signature: PhantomData }
        }

        impl<$($A,)* R> Staged<($($A,)*), R> {
            pub fn call(self $(, $arg: $A)*) -> R {
                $(let $arg = ManuallyDrop::new($arg);)*
                let arguments: &[(*const u8, usize)] = &[$((&raw const $arg as *const u8, size_of::<$A>())),*];
                // SAFETY: the twin is that of the function, whose arguments and result these are.
                unsafe { metatrace::__stage::run(self.twin, arguments) }
            }
        }
    )*};
}
staged_callers! {
    staged0();
    staged1(a: A);
    staged2(a: A, b: B);
    staged3(a: A, b: B, c: C);
    staged4(a: A, b: B, c: C, d: D);
    staged5(a: A, b: B, c: C, d: D, e: E);
}

/// `staged!(f(a, b))`: calls the jitcode of `f`.
macro_rules! staged {
    ($($f:ident)::+ ()) => { $crate::harness::staged!(@ staged0 [$($f)::+]) };
    ($($f:ident)::+ ($a:expr $(,)?)) => { $crate::harness::staged!(@ staged1 [$($f)::+] $a) };
    ($($f:ident)::+ ($a:expr, $b:expr $(,)?)) => { $crate::harness::staged!(@ staged2 [$($f)::+] $a, $b) };
    ($($f:ident)::+ ($a:expr, $b:expr, $c:expr $(,)?)) => { $crate::harness::staged!(@ staged3 [$($f)::+] $a, $b, $c) };
    ($($f:ident)::+ ($a:expr, $b:expr, $c:expr, $d:expr $(,)?)) => {
        $crate::harness::staged!(@ staged4 [$($f)::+] $a, $b, $c, $d)
    };
    ($($f:ident)::+ ($a:expr, $b:expr, $c:expr, $d:expr, $e:expr $(,)?)) => {
        $crate::harness::staged!(@ staged5 [$($f)::+] $a, $b, $c, $d, $e)
    };
    (@ $caller:ident [$f:path] $($a:expr),*) => {
        $crate::harness::$caller($f, metatrace::__stage::key(<$f>::build)).call($($a),*)
    };
}
pub(crate) use staged;

/// `agree!(f(a, b))`: the function and its jitcode do the same on these arguments, which are evaluated for each.
/// `agree!(state => f(state.0))`: on a state that they may change (`state` is a `&mut` of it).
macro_rules! agree {
    ($($f:ident)::+ ($($a:expr),* $(,)?)) => {
        $crate::harness::compare(
            &format!("{} {:?}", stringify!($($f)::+), ($(&$a,)*)),
            || (),
            |_| format!("{:?}", $($f)::+($($a),*)),
            |_| format!("{:?}", $crate::harness::staged!($($f)::+($($a),*))),
        )
    };
    ($state:ident = $value:expr => $($f:ident)::+ ($($a:expr),* $(,)?)) => {
        $crate::harness::compare(
            stringify!($($f)::+),
            || $value,
            |$state| format!("{:?}", $($f)::+($($a),*)),
            |$state| format!("{:?}", $crate::harness::staged!($($f)::+($($a),*))),
        )
    };
}
pub(crate) use agree;

/// A small generator of random numbers (xorshift64*), the same in every run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// Types with boundary values and random ones.
pub trait Sample: Sized {
    fn samples(random: &mut Random, count: usize) -> Vec<Self>;
}

macro_rules! sample_ints {
    ($($t:ident)*) => {$(
        impl Sample for $t {
            fn samples(random: &mut Random, count: usize) -> Vec<$t> {
                let mut samples = vec![0, 1, 2, 3, 7, $t::MAX, $t::MAX - 1, $t::MAX / 2, $t::MIN, $t::MIN + 1, $t::MAX / 2 + 1];
                samples.extend([0 as $t, 1, 2, 5, 9].map(|n| n.wrapping_neg()));
                for _ in 0..count {
                    // Numbers of every length.
                    samples.push((random.next() >> random.below(64)) as $t);
                }
                samples
            }
        }
    )*};
}
sample_ints!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);

impl Sample for f64 {
    fn samples(random: &mut Random, count: usize) -> Vec<f64> {
        let mut samples = vec![
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.5,
            -2.5,
            255.9,
            -128.5,
            1e10,
            -1e20,
            1e300,
            f64::MIN_POSITIVE,
            f64::EPSILON,
            f64::MAX,
            f64::MIN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            9.007199254740993e15,
            i64::MAX as f64,
        ];
        for _ in 0..count {
            samples.push(f64::from_bits(random.next()));
            samples.push((random.next() as i64 >> random.below(64)) as f64 / 8.0);
        }
        samples
    }
}

impl Sample for bool {
    fn samples(_: &mut Random, _: usize) -> Vec<bool> {
        vec![false, true]
    }
}

impl Sample for char {
    fn samples(random: &mut Random, count: usize) -> Vec<char> {
        let mut samples = vec![
            '\0',
            'a',
            'Z',
            '9',
            '_',
            '\u{7f}',
            'é',
            '\u{d7ff}',
            '\u{e000}',
            char::MAX,
        ];
        samples.extend((0..count).filter_map(|_| char::from_u32(random.next() as u32 % 0x11_0000)));
        samples
    }
}
