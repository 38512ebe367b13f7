//! Residual calls: how values become the words of a shim, and its result a value again.

use crate::assembly::{self, Assembly, SumAccess};
use crate::builder::{Builder, Value, ValueId, with};
use crate::handles::Var;
use crate::place::{Mem, held_whole};
use crate::scalar::JitScalar;
use crate::shape::{Shape, ShapeWord};
use crate::shims::{Arguments, Invoke, Shim, ShimAddress, Signature, WordsArgument};
use crate::types::Type;
use metatrace_graph::{Inline, Native, Op, Operand, Term, Unwind};
use metatrace_ir::{CallDescr, Descr, DescrRef, Effect, Kind, Opcode, Pointee, Word};
use metatrace_jitcode::{CalleeKey, NativeCall};
use std::marker::PhantomData;
use std::rc::Rc;

/// What the author says of a native function.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NativeFlags {
    /// Same arguments, same result, no effect.
    pub elidable: bool,
    /// It never panics.
    pub nounwind: bool,
}

/// Facts of a residual call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) effect: Effect,
    pub(crate) can_panic: bool,
    /// That it cannot panic is the author's word: if it does, the process ends.
    pub(crate) aborts: bool,
}

impl Facts {
    /// Pure and without panic.
    pub(crate) const PURE: Facts = Facts {
        effect: Effect::Elidable,
        can_panic: false,
        aborts: false,
    };
    /// A function of std, which changes only what it is given.
    pub(crate) const STD: Facts = Facts {
        effect: Effect::Arguments,
        can_panic: true,
        aborts: false,
    };
    /// Anything.
    pub(crate) const ANY: Facts = Facts {
        effect: Effect::Any,
        can_panic: true,
        aborts: false,
    };
}

impl From<NativeFlags> for Facts {
    fn from(flags: NativeFlags) -> Facts {
        Facts {
            effect: if flags.elidable { Effect::Elidable } else { Effect::Any },
            can_panic: !flags.nounwind,
            aborts: flags.nounwind,
        }
    }
}

/// A callee's shims.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Callee {
    images: ShimAddress,
    /// Scalars lie in memory as their words say: callees that take and return nothing else have no such shim.
    worded: Option<ShimAddress>,
}

/// Arguments that are all scalars.
pub(crate) trait ScalarArguments: Arguments {}

impl ScalarArguments for () {}
impl<A: JitScalar> ScalarArguments for (A,) {}
impl<A: JitScalar, B: JitScalar> ScalarArguments for (A, B) {}
impl<A: JitScalar, B: JitScalar, C: JitScalar> ScalarArguments for (A, B, C) {}

impl Callee {
    pub(crate) fn of<F: Invoke<A, R>, A: Arguments, R>(callee: F) -> Callee {
        std::mem::forget(callee);
        Callee {
            images: Shim::<F, A, R>::IMAGES,
            worded: Some(Shim::<F, A, R>::WORDED),
        }
    }

    /// A callee from scalars to a scalar that is never called as one that aborts.
    pub(crate) fn of_scalars<F: Invoke<A, R>, A: ScalarArguments, R: JitScalar>(callee: F) -> Callee {
        std::mem::forget(callee);
        Callee {
            images: Shim::<F, A, R>::IMAGES,
            worded: None,
        }
    }

    /// The address of the shim that takes images.
    pub(crate) fn images(self) -> u64 {
        self.images.address as u64
    }
}

/// A residual call whose arguments are given away.
#[inline(never)]
pub(crate) fn call(name: &str, facts: Facts, callee: Callee, args: &[u32], result: Type) -> u32 {
    with(|b| {
        for arg in args {
            b.consume(ValueId(*arg));
        }
        native(b, name, facts, callee, args, result).0
    })
}

/// The same, but the arguments are only looked at: the callee takes them as `ManuallyDrop`.
#[inline(never)]
pub(crate) fn peek(name: &str, facts: Facts, callee: Callee, args: &[u32], result: Type) -> u32 {
    with(|b| native(b, name, facts, callee, args, result).0)
}

pub(crate) fn native(b: &mut Builder, name: &str, facts: Facts, callee: Callee, args: &[u32], result: Type) -> ValueId {
    let args: Vec<Value> = args.iter().map(|arg| b.get(ValueId(*arg)).clone()).collect();
    let is_direct = result.shape().direct && args.iter().all(|arg| arg.ty.shape().direct);
    let words = if is_direct && !facts.aborts {
        call_by_images(b, name, facts, callee.images, &args, result)
    } else {
        let worded = callee
            .worded
            .expect("scalars are direct, and what only takes them does not abort");
        call_by_words(b, name, facts, worded, &args, result)
    };
    b.owned_value(result, words)
}

/// All values lie in memory as their words say.
fn call_by_images(
    b: &mut Builder,
    name: &str,
    facts: Facts,
    shim: ShimAddress,
    args: &[Value],
    result: Type,
) -> Vec<Operand> {
    let out = (result.size > 8).then(|| b.alloca(&result.name, result.size, result.align));
    let mut words = Vec::from_iter(out);
    for arg in args {
        image_words(b, arg.ty, &arg.words, &mut words);
    }
    let in_slots = out.is_some() || args.iter().any(|arg| arg.ty.size > 16);
    let shape = result.shape();
    let by_ref = matches!(&shape.words[..], [word] if word.word == Word::Ref);
    let kind = match result.size {
        0 => None,
        1..=8 if by_ref => Some(Kind::Ref),
        1..=8 => Some(Kind::Int),
        _ => None,
    };
    match (call_shim(b, name, facts, shim, words, in_slots, kind), out) {
        (Some(image), _) => words_of_image(b, result, image),
        (None, Some(out)) => b.load_words(&Mem::behind(out, result.name.as_str().into()), result),
        // A zero-sized type may have a tag.
        (None, None) => shape.words.iter().map(|_| Operand::int(0)).collect(),
    }
}

/// Some values do not lie in memory as their words say, or more must be known of the call.
fn call_by_words(
    b: &mut Builder,
    name: &str,
    facts: Facts,
    shim: ShimAddress,
    args: &[Value],
    result: Type,
) -> Vec<Operand> {
    let shape = result.shape();
    let rest = (shape.words.len() > 1).then(|| b.words_slot(shape.words.len(), 0));
    let (mut words, mut by_words) = (Vec::new(), Vec::new());
    for arg in args {
        if arg.ty.shape().direct || arg.ty.size == 0 {
            image_words(b, arg.ty, &arg.words, &mut words);
        } else {
            by_words.push(argument_by_words(b, arg, words.len(), &mut words));
        }
    }
    let in_slots = rest.is_some() || !by_words.is_empty() || args.iter().any(|arg| arg.ty.size > 16);
    let signature: &'static Signature = Box::leak(Box::new(Signature {
        args: by_words.into(),
        result: result.assembly(),
        aborts: facts.aborts,
    }));
    let head = [
        Operand::int(signature as *const Signature as u64),
        rest.unwrap_or(Operand::int(0)),
    ];
    words.splice(0..0, head);
    let kind = shape.kinds().next().map(|kind| match kind {
        Kind::Ref => Kind::Ref,
        Kind::Int | Kind::Float => Kind::Int,
    });
    let first = call_shim(b, name, facts, shim, words, in_slots, kind);
    words_of_result(b, shape, first, rest)
}

/// The words of a value of which native code has given the first, and has put the others in a slot.
fn words_of_result(b: &mut Builder, shape: &Shape, first: Option<Operand>, rest: Option<Operand>) -> Vec<Operand> {
    let mut words = Vec::new();
    for (n, word) in shape.words.iter().enumerate() {
        let operand = if n == 0 {
            let first = first.expect("a value with words has a first one");
            b.reinterpret(first, word.word.kind())
        } else {
            let rest = rest.expect("more words are in a slot");
            b.load_held(rest, n, word)
        };
        words.push(operand);
    }
    words
}

/// Puts the words of an argument in a slot, of which the shim makes the image.
fn argument_by_words(b: &mut Builder, arg: &Value, at: usize, words: &mut Vec<Operand>) -> WordsArgument {
    let (held, size) = (8 * arg.words.len() as u32, arg.ty.size);
    // Behind the words, with the alignment that all slots have.
    let behind = (size > 16).then(|| held.next_multiple_of(16));
    let room = behind.map_or(0, |behind| behind - held + size);
    let slot = b.words_slot(arg.words.len(), room);
    b.store_held(slot, arg.ty.shape(), &arg.words);
    words.push(slot);
    if (9..=16).contains(&size) {
        words.push(Operand::int(0));
    }
    WordsArgument {
        at,
        image: behind.map(|behind| behind as usize),
        assembly: arg.ty.assembly(),
    }
}

/// Calls a shim of a native function. `in_slots`: some of what it is given and returns is in frame slots.
fn call_shim(
    b: &mut Builder,
    name: &str,
    facts: Facts,
    shim: ShimAddress,
    mut words: Vec<Operand>,
    in_slots: bool,
    result: Option<Kind>,
) -> Option<Operand> {
    let facts = if in_slots || shim.packed {
        Facts {
            effect: through_memory(facts.effect),
            ..facts
        }
    } else {
        facts
    };
    if shim.packed {
        words = vec![pack(b, &words)];
    }
    emit_call(b, name, facts, shim.address as u64, words, result)
}

/// The effect of a call that reads or writes frame slots.
fn through_memory(effect: Effect) -> Effect {
    match effect {
        Effect::Elidable => Effect::Arguments,
        other => other,
    }
}

/// Emits the call of a shim.
pub(crate) fn emit_call(
    b: &mut Builder,
    name: &str,
    facts: Facts,
    function: u64,
    args: Vec<Operand>,
    result: Option<Kind>,
) -> Option<Operand> {
    let mut ints = Vec::new();
    for arg in args {
        let kind = b.graph.kind(arg);
        ints.push(if kind == Kind::Float {
            b.reinterpret(arg, Kind::Int)
        } else {
            arg
        });
    }
    let descr: DescrRef = Rc::new(Descr::Call(CallDescr {
        name: printable(name),
        args: ints.iter().map(|arg| b.graph.kind(*arg)).collect(),
        result,
        effect: facts.effect,
        can_panic: facts.can_panic,
    }));
    let dst = result.map(|kind| b.reg(kind));
    let unwind = if facts.can_panic {
        Unwind::Owned(b.owned_now())
    } else {
        Unwind::Block(None)
    };
    b.emit(Op::Native(Box::new(Native {
        function,
        descr,
        args: ints,
        dst,
        unwind,
    })));
    dst.map(Operand::Reg)
}

/// Names in descriptors have no white space, comma or `#`.
fn printable(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_whitespace() || c == ',' || c == '#' {
                '_'
            } else {
                c
            }
        })
        .collect()
}

/// A pure look through an `Option`'s or `Result`'s access functions.
pub(crate) fn access(b: &mut Builder, name: &str, shim: *const (), at: Operand, access: &'static SumAccess) -> Operand {
    let name = format!("{name}<{}>", access.name);
    let access = Operand::int(access as *const SumAccess as u64);
    // Reads memory that its argument reaches, so it is not elidable.
    let facts = Facts {
        can_panic: false,
        ..Facts::STD
    };
    emit_call(b, &name, facts, shim as u64, vec![at, access], Some(Kind::Int)).expect("it has a result")
}

/// Whether a call does nothing but read or write a layout which only native code knows.
pub(crate) fn is_accessor(call: &NativeCall) -> bool {
    let accessors = [
        assembly::variant_shim as *const (),
        assembly::payload_shim as *const (),
        assembly::make_shim as *const (),
        assembly::take_apart_shim as *const (),
        assembly::put_together_shim as *const (),
    ];
    accessors.iter().any(|shim| *shim as u64 == call.function)
}

/// The words of a value in memory that does not lie there as they say.
pub(crate) fn take_apart(b: &mut Builder, at: Operand, ty: Type) -> Vec<Operand> {
    let shape = ty.shape();
    let rest = (shape.words.len() > 1).then(|| b.words_slot(shape.words.len(), 0));
    let kind = shape.kinds().next().map(|_| Kind::Int);
    let place = rest.unwrap_or(Operand::int(0));
    let shim = assembly::take_apart_shim as *const ();
    let first = convert(b, "take_apart", shim, [at, place], ty, kind);
    words_of_result(b, shape, first, rest)
}

/// Writes a value that does not lie in memory as its words say.
pub(crate) fn put_together(b: &mut Builder, at: Operand, ty: Type, words: &[Operand]) {
    let slot = b.words_slot(words.len(), 0);
    b.store_held(slot, ty.shape(), words);
    let shim = assembly::put_together_shim as *const ();
    convert(b, "put_together", shim, [at, slot], ty, None);
}

fn convert(
    b: &mut Builder,
    name: &str,
    shim: *const (),
    [at, words]: [Operand; 2],
    ty: Type,
    result: Option<Kind>,
) -> Option<Operand> {
    let facts = Facts {
        can_panic: false,
        ..Facts::STD
    };
    let assembly = Operand::int(ty.assembly() as *const Assembly as u64);
    let name = format!("{name}<{}>", ty.name);
    emit_call(b, &name, facts, shim as u64, vec![at, words, assembly], result)
}

/// Drops the value at an address.
pub(crate) fn drop_at(b: &mut Builder, ty: Type, at: Operand) {
    let Some(shims) = ty.drop else { return };
    let name = format!("drop<{}>", ty.name);
    emit_call(b, &name, Facts::ANY, shims.catching as u64, vec![at], None);
}

/// A slot that holds the words of a call.
fn pack(b: &mut Builder, words: &[Operand]) -> Operand {
    let slot = b.alloca("arguments", 8 * words.len() as u32, 8);
    let memory = Mem::behind(slot, "arguments".into());
    for (n, word) in words.iter().enumerate() {
        let held = held_whole(b.graph.kind(*word));
        let facts = (true, Pointee::Unknown);
        b.store_word(&memory, held, 8 * n as u32, &format!(".{n}"), facts, *word);
    }
    slot
}

/// The words by which an argument travels.
fn image_words(b: &mut Builder, ty: Type, words: &[Operand], out: &mut Vec<Operand>) {
    let shape = ty.shape();
    match ty.size {
        0 => {}
        1..=16 => match granules(shape, ty.size) {
            Some(granules) => {
                for granule in granules {
                    let word = image_word(b, &granule, shape, words);
                    out.push(word);
                }
            }
            None => {
                let slot = spill(b, ty, words);
                let memory = Mem::behind(slot, ty.name.as_str().into());
                for offset in (0..ty.size).step_by(8) {
                    let size = (ty.size - offset).min(8);
                    let word = load_image(b, &memory, offset, size);
                    out.push(word);
                }
            }
        },
        _ => out.push(spill(b, ty, words)),
    }
}

/// For each 8 bytes of a direct image, the words in them.
fn granules(shape: &Shape, size: u32) -> Option<Vec<Vec<usize>>> {
    if !shape.direct {
        return None;
    }
    let mut granules = vec![Vec::new(); size.div_ceil(8) as usize];
    for (n, word) in shape.words.iter().enumerate() {
        let (first, last) = (word.offset / 8, (word.offset + word.word.size() - 1) / 8);
        if first != last {
            return None;
        }
        granules[first as usize].push(n);
    }
    granules.iter().all(|granule| granule.len() <= 3).then_some(granules)
}

fn image_word(b: &mut Builder, granule: &[usize], shape: &Shape, words: &[Operand]) -> Operand {
    let mut image = None;
    for n in granule {
        let ShapeWord { word, offset, .. } = shape.words[*n];
        let shift = (offset % 8) * 8;
        let mut bits = words[*n];
        if granule.len() > 1 || shift != 0 {
            bits = b.reinterpret(bits, Kind::Int);
            if word.is_signed() && word.size() < 8 {
                bits = b.pure(Opcode::IntAnd, bits, Operand::int((1 << (word.size() * 8)) - 1));
            }
            if shift != 0 {
                bits = b.pure(Opcode::IntLshift, bits, Operand::int(shift.into()));
            }
        }
        image = Some(match image {
            None => bits,
            Some(image) => b.pure(Opcode::IntOr, image, bits),
        });
    }
    image.unwrap_or(Operand::int(0))
}

/// `size` bytes at `offset`, which may be no power of two. Owning pointers may be among them.
fn load_image(b: &mut Builder, memory: &Mem, offset: u32, size: u32) -> Operand {
    let (mut image, mut at) = (Operand::int(0), 0);
    for piece in [8, 4, 2, 1] {
        while size - at >= piece {
            let word = crate::shape::unsigned(piece);
            let part = b.load_word(
                memory,
                word,
                offset + at,
                &format!(".@{}", offset + at),
                (false, Pointee::Mixed),
            );
            let part = b.pure(Opcode::IntLshift, part, Operand::int(u64::from(at) * 8));
            image = if at == 0 {
                part
            } else {
                b.pure(Opcode::IntOr, image, part)
            };
            at += piece;
        }
    }
    image
}

/// A frame slot that holds the value.
pub(crate) fn spill(b: &mut Builder, ty: Type, words: &[Operand]) -> Operand {
    let slot = b.alloca(&ty.name, ty.size, ty.align);
    let memory = Mem::behind(slot, ty.name.as_str().into());
    b.store_words(&memory, ty, words);
    slot
}

/// The words of a value of at most 8 bytes.
fn words_of_image(b: &mut Builder, ty: Type, image: Operand) -> Vec<Operand> {
    let shape = ty.shape();
    let mut words = Vec::new();
    for word in &shape.words {
        let mut bits = image;
        let size = word.word.size();
        if b.graph.kind(bits) != Kind::Ref {
            if word.offset != 0 {
                bits = b.pure(Opcode::UintRshift, bits, Operand::int(u64::from(word.offset) * 8));
            }
            if word.word.is_signed() && size < 8 {
                bits = b.pure(Opcode::IntSignext, bits, Operand::int(size.into()));
            } else if word.offset + size < ty.size {
                bits = b.pure(Opcode::IntAnd, bits, Operand::int((1u64 << (size * 8)) - 1));
            }
        }
        words.push(b.reinterpret(bits, word.word.kind()));
    }
    words
}

/// A call of a function with jitcode.
#[inline(never)]
pub(crate) fn inline(key: usize, name: &'static str, args: &[u32], result: Type) -> u32 {
    with(|b| {
        let mut words = Vec::new();
        for arg in args {
            b.consume(ValueId(*arg));
            words.extend(b.words(ValueId(*arg)));
        }
        let kinds: Vec<Kind> = result.shape().kinds().collect();
        let dsts: Vec<_> = kinds.into_iter().map(|kind| b.reg(kind)).collect();
        let unwind = Unwind::Owned(b.owned_now());
        let results = dsts.iter().map(|dst| Operand::Reg(*dst)).collect();
        b.emit(Op::Inline(Box::new(Inline {
            key: CalleeKey(key),
            name: name.into(),
            args: words,
            dsts,
            unwind,
        })));
        b.owned_value(result, results).0
    })
}

/// Ends the block with a panic by a native function that only panics.
pub(crate) fn panic(b: &mut Builder, name: &str, callee: Callee, args: &[ValueId]) {
    let args: Vec<u32> = args.iter().map(|arg| arg.0).collect();
    native(b, name, Facts::STD, callee, &args, Type::of::<()>());
    b.end(Term::Unreachable);
}

macro_rules! natives {
    ($($name:ident($($arg:ident: $T:ident),*);)*) => {$(
        /// A residual call of `f`, which is zero-sized.
        #[inline(never)]
        #[allow(clippy::too_many_arguments, missing_docs)]
        pub fn $name<Callee_: Fn($($T),*) -> R, $($T,)* R>(
            flags: NativeFlags, name: &'static str, f: Callee_, $($arg: Var<$T>),*
        ) -> Var<R> {
            let callee = Callee::of::<Callee_, ($($T,)*), R>(f);
            Var::number(call(name, flags.into(), callee, &[$($arg.__id()),*], Type::of::<R>()))
        }
    )*};
}
natives! {
    native0();
    native1(a: A);
    native2(a: A, b: B);
    native3(a: A, b: B, c: C);
    native4(a: A, b: B, c: C, d: D);
    native5(a: A, b: B, c: C, d: D, e: E);
    native6(a: A, b: B, c: C, d: D, e: E, f_: F);
    native7(a: A, b: B, c: C, d: D, e: E, f_: F, g: G);
    native8(a: A, b: B, c: C, d: D, e: E, f_: F, g: G, h: H);
    native9(a: A, b: B, c: C, d: D, e: E, f_: F, g: G, h: H, i: I);
    native10(a: A, b: B, c: C, d: D, e: E, f_: F, g: G, h: H, i: I, j: J);
    native11(a: A, b: B, c: C, d: D, e: E, f_: F, g: G, h: H, i: I, j: J, k: K);
    native12(a: A, b: B, c: C, d: D, e: E, f_: F, g: G, h: H, i: I, j: J, k: K, l: L);
}

/// A residual call that is told its arguments in a second step, so that these coerce.
#[derive(Clone, Copy, Debug)]
pub struct Residual<F, A, R> {
    flags: NativeFlags,
    name: &'static str,
    f: F,
    of: PhantomData<fn() -> (A, R)>,
}

macro_rules! residuals {
    ($($name:ident $native:ident($($arg:ident: $T:ident),*);)*) => {$(
        /// `residual!(f(…))`.
        #[inline(never)]
        pub fn $name<Callee_: Fn($($T),*) -> R + Copy, $($T,)* R>(
            flags: NativeFlags, name: &'static str, f: Callee_,
        ) -> Residual<Callee_, ($($T,)*), R> {
            Residual { flags, name, f, of: PhantomData }
        }

        impl<Callee_: Fn($($T),*) -> R + Copy, $($T,)* R> Residual<Callee_, ($($T,)*), R> {
            /// The call.
            #[inline(never)]
            #[allow(clippy::too_many_arguments)]
            pub fn call(self, $($arg: &Var<$T>),*) -> Var<R> {
                $native(self.flags, self.name, self.f, $(*$arg),*)
            }
        }
    )*};
}
residuals! {
    residual0 native0();
    residual1 native1(a: A);
    residual2 native2(a: A, b: B);
    residual3 native3(a: A, b: B, c: C);
    residual4 native4(a: A, b: B, c: C, d: D);
    residual5 native5(a: A, b: B, c: C, d: D, e: E);
    residual6 native6(a: A, b: B, c: C, d: D, e: E, f_: F);
    residual7 native7(a: A, b: B, c: C, d: D, e: E, f_: F, g: G);
    residual8 native8(a: A, b: B, c: C, d: D, e: E, f_: F, g: G, h: H);
    residual9 native9(a: A, b: B, c: C, d: D, e: E, f_: F, g: G, h: H, i: I);
    residual10 native10(a: A, b: B, c: C, d: D, e: E, f_: F, g: G, h: H, i: I, j: J);
    residual11 native11(a: A, b: B, c: C, d: D, e: E, f_: F, g: G, h: H, i: I, j: J, k: K);
    residual12 native12(a: A, b: B, c: C, d: D, e: E, f_: F, g: G, h: H, i: I, j: J, k: K, l: L);
}

/// A residual call of a function of std.
#[inline(never)]
pub(crate) fn std_call<F: Invoke<A, R>, A: Arguments, R>(
    name: &'static str,
    facts: Facts,
    f: F,
    args: &[u32],
) -> Var<R> {
    Var::number(call(name, facts, Callee::of::<F, A, R>(f), args, Type::of::<R>()))
}

/// The same of one from scalars to a scalar.
#[inline(never)]
pub(crate) fn scalar_call<F: Invoke<A, R>, A: ScalarArguments, R: JitScalar>(
    name: &'static str,
    facts: Facts,
    f: F,
    args: &[u32],
) -> Var<R> {
    let callee = Callee::of_scalars::<F, A, R>(f);
    Var::number(call(name, facts, callee, args, Type::of::<R>()))
}
