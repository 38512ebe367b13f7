//! Generated native code, and everything else here that rustc cannot check.
//!
//! Residual calls go through [`Shim`]s, which follow the convention of `metatrace_native`: arguments of up to 8 bytes are
//! one word (their memory image), of up to 16 bytes two, larger ones travel by address; a result of more than 8 bytes is
//! written through a pointer that comes first. Where that makes more than six words, all of them lie in one frame slot,
//! whose address is the only word. The callee is a zero-sized function item or closure, which the shim conjures.
//!
//! Values that do not lie in memory as their words say are taken apart ([`take_apart`]) and put together
//! ([`put_together`]) here.

use crate::layout::TagLayout;
use crate::shape::{FieldWords, Source, Tagging};
use crate::types::{Type, TypeInfo, TypeShape, VariantShape};
use metatrace_ir::{CallDescr, Word};
use metatrace_native::{ShimResult, catch, load, store};
use std::cell::OnceCell;
use std::hint::black_box;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::rc::Rc;

/// Conjures a function item or a closure without captures.
///
/// # Safety
/// A value of the type exists or has existed.
unsafe fn conjure<F>() -> F {
    const {
        assert!(
            size_of::<F>() == 0,
            "native callees are function items or closures that capture nothing"
        )
    };
    // SAFETY: zero-sized, and by the caller's promise inhabited; function items and such closures have no invariants.
    unsafe { std::ptr::NonNull::<F>::dangling().as_ptr().read() }
}

/// How many words an argument takes.
const fn argument_words(size: usize) -> usize {
    match size {
        0 => 0,
        1..=8 => 1,
        9..=16 => 2,
        _ => 1,
    }
}

/// Reads the next argument.
///
/// # Safety
/// The words at `next` hold an argument of type `T`, whose ownership passes to the caller.
unsafe fn read_argument<T>(next: &mut *const u64) -> T {
    // SAFETY: the caller's promise; images of up to 16 bytes lie in the words themselves, others behind the address.
    unsafe {
        let at = if size_of::<T>() > 16 {
            next.read() as *const T
        } else {
            next.cast::<T>()
        };
        *next = next.add(argument_words(size_of::<T>()));
        at.read_unaligned()
    }
}

/// Arguments of a native function.
pub trait Arguments {
    /// How many words they take.
    const WORDS: usize;

    /// Reads them.
    ///
    /// # Safety
    /// The words hold arguments of these types, whose ownership passes to the caller.
    unsafe fn read(words: *const u64) -> Self;
}

/// A function that takes the arguments `A`.
pub trait Invoke<A, R> {
    /// Calls it.
    fn invoke(&self, args: A) -> R;
}

macro_rules! arities {
    ($($T:ident)*) => {
        impl<$($T),*> Arguments for ($($T,)*) {
            const WORDS: usize = 0 $(+ argument_words(size_of::<$T>()))*;

            #[allow(unused, non_snake_case, clippy::unused_unit)]
            unsafe fn read(words: *const u64) -> Self {
                let mut next = words;
                // SAFETY: forwarded.
                $(let $T = unsafe { read_argument::<$T>(&mut next) };)*
                ($($T,)*)
            }
        }

        impl<Callee: Fn($($T),*) -> R, $($T,)* R> Invoke<($($T,)*), R> for Callee {
            #[allow(non_snake_case)]
            fn invoke(&self, ($($T,)*): ($($T,)*)) -> R {
                self($($T),*)
            }
        }
    };
}
arities!();
arities!(A);
arities!(A B);
arities!(A B C);
arities!(A B C D);
arities!(A B C D E);
arities!(A B C D E F);
arities!(A B C D E F G);
arities!(A B C D E F G H);
arities!(A B C D E F G H I);
arities!(A B C D E F G H I J);
arities!(A B C D E F G H I J K);
arities!(A B C D E F G H I J K L);

/// The shims of the callee type `F`.
pub(crate) struct Shim<F, A, R>(PhantomData<(F, A, R)>);

/// Where a shim is, and how its words travel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShimAddress {
    pub(crate) address: *const (),
    /// All words lie in one slot.
    pub(crate) packed: bool,
}

impl<F: Invoke<A, R>, A: Arguments, R> Shim<F, A, R> {
    const WORDS: usize = A::WORDS + (size_of::<R>() > 8) as usize;
    const PACKED: bool = Self::WORDS > CallDescr::MAX_ARGS;

    /// The shim that catches panics.
    pub(crate) const CATCHING: ShimAddress = ShimAddress {
        address: Self::address::<true>(),
        packed: Self::PACKED,
    };
    /// The shim that aborts on a panic.
    pub(crate) const ABORTING: ShimAddress = ShimAddress {
        address: Self::address::<false>(),
        packed: Self::PACKED,
    };

    const fn address<const CATCH: bool>() -> *const () {
        if Self::PACKED {
            return shim_packed::<F, A, R, CATCH> as *const ();
        }
        match Self::WORDS {
            0 => shim0::<F, A, R, CATCH> as *const (),
            1 => shim1::<F, A, R, CATCH> as *const (),
            2 => shim2::<F, A, R, CATCH> as *const (),
            3 => shim3::<F, A, R, CATCH> as *const (),
            4 => shim4::<F, A, R, CATCH> as *const (),
            5 => shim5::<F, A, R, CATCH> as *const (),
            _ => shim6::<F, A, R, CATCH> as *const (),
        }
    }

    /// # Safety
    /// The words are the out pointer, where there is one, and arguments given away by the caller.
    unsafe fn run(words: *const u64) -> u64 {
        let by_pointer = size_of::<R>() > 8;
        // SAFETY: whoever chose this shim had a value of `F`, and the words are the caller's promise.
        unsafe {
            let callee = conjure::<F>();
            let result = callee.invoke(A::read(words.add(by_pointer as usize)));
            if by_pointer {
                (words.read() as *mut R).write(result);
                0
            } else {
                image(result)
            }
        }
    }

    /// # Safety
    /// As for [`run`](Self::run).
    unsafe fn enter<const CATCH: bool>(words: *const u64) -> ShimResult {
        if CATCH {
            // SAFETY: forwarded.
            catch(|| unsafe { Self::run(words) })
        } else {
            // SAFETY: forwarded.
            let value = unsafe { Self::run(words) };
            ShimResult { value, panicked: 0 }
        }
    }
}

macro_rules! shims {
    ($($name:ident($($w:ident),*);)*) => {$(
        unsafe extern "C" fn $name<F: Invoke<A, R>, A: Arguments, R, const CATCH: bool>($($w: u64),*) -> ShimResult {
            let words: &[u64] = &[$($w),*];
            // SAFETY: the caller passes the words that this shim's call descriptor lists.
            unsafe { Shim::<F, A, R>::enter::<CATCH>(words.as_ptr()) }
        }
    )*};
}
shims! {
    shim0();
    shim1(a);
    shim2(a, b);
    shim3(a, b, c);
    shim4(a, b, c, d);
    shim5(a, b, c, d, e);
    shim6(a, b, c, d, e, f);
}

unsafe extern "C" fn shim_packed<F: Invoke<A, R>, A: Arguments, R, const CATCH: bool>(slot: u64) -> ShimResult {
    // SAFETY: the slot holds the words.
    unsafe { Shim::<F, A, R>::enter::<CATCH>(slot as *const u64) }
}

/// The memory image of a value of at most 8 bytes, which is given away.
fn image<T>(value: T) -> u64 {
    let value = ManuallyDrop::new(value);
    let mut word = 0u64;
    // SAFETY: both are valid for that many bytes. Padding is copied as it is; `black_box` keeps the compiler from knowing
    // that such bits of the word have no value.
    unsafe {
        std::ptr::copy_nonoverlapping(
            (&raw const value).cast::<u8>(),
            (&raw mut word).cast::<u8>(),
            size_of::<T>(),
        );
        black_box(&raw const word).read_volatile()
    }
}

/// How to drop values of a type: shims that take the value's address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DropShims {
    /// Catches panics.
    pub(crate) catching: *const (),
    /// Aborts on a panic, as cleanup does.
    pub(crate) aborting: *const (),
}

impl DropShims {
    pub(crate) fn of<T>() -> Option<DropShims> {
        const {
            if std::mem::needs_drop::<T>() {
                Some(DropShims {
                    catching: drop_catching::<T> as *const (),
                    aborting: drop_aborting::<T> as *const (),
                })
            } else {
                None
            }
        }
    }
}

unsafe extern "C" fn drop_catching<T>(at: u64) -> ShimResult {
    catch(|| {
        // SAFETY: the caller gives the value at this address away.
        unsafe { (at as *mut T).drop_in_place() };
        0
    })
}

unsafe extern "C" fn drop_aborting<T>(at: u64) -> ShimResult {
    // SAFETY: the caller gives the value at this address away.
    unsafe { (at as *mut T).drop_in_place() };
    ShimResult { value: 0, panicked: 0 }
}

/// How native code sees an `Option` or a `Result`.
pub struct SumAccess {
    /// The type, for reading.
    pub(crate) name: String,
    pub(crate) size: u32,
    variant: unsafe fn(*const u8) -> u64,
    payload: unsafe fn(*const u8) -> *const u8,
    make: unsafe fn(*mut u8, u32, *const u8),
    layout: OnceCell<TagLayout>,
}

impl SumAccess {
    fn leak<S>(
        variant: unsafe fn(*const u8) -> u64,
        payload: unsafe fn(*const u8) -> *const u8,
        make: unsafe fn(*mut u8, u32, *const u8),
    ) -> &'static SumAccess {
        Box::leak(Box::new(SumAccess {
            name: crate::types::short_name(std::any::type_name::<S>()),
            size: size_of::<S>() as u32,
            variant,
            payload,
            make,
            layout: OnceCell::new(),
        }))
    }

    pub(crate) fn layout(&self, variants: &[VariantShape]) -> TagLayout {
        self.layout.get_or_init(|| TagLayout::probe(variants, self)).clone()
    }

    /// `Option<T>`: `None` is variant 0.
    pub(crate) fn option<T>() -> &'static SumAccess {
        unsafe fn variant<T>(at: *const u8) -> u64 {
            // SAFETY: the caller passes the address of an `Option<T>`.
            unsafe { &*at.cast::<Option<T>>() }.is_some().into()
        }
        unsafe fn payload<T>(at: *const u8) -> *const u8 {
            // SAFETY: as above.
            unsafe { &*at.cast::<Option<T>>() }
                .as_ref()
                .map_or(std::ptr::null(), |value| (value as *const T).cast())
        }
        unsafe fn make<T>(at: *mut u8, variant: u32, payload: *const u8) {
            // SAFETY: the caller gives the payload away, of a `Some`, and owns the place.
            unsafe {
                let value = if variant == 0 {
                    None
                } else {
                    Some(payload.cast::<T>().read_unaligned())
                };
                at.cast::<Option<T>>().write(value);
            }
        }
        SumAccess::leak::<Option<T>>(variant::<T>, payload::<T>, make::<T>)
    }

    /// `Result<T, E>`: `Ok` is variant 0.
    pub(crate) fn result<T, E>() -> &'static SumAccess {
        unsafe fn variant<T, E>(at: *const u8) -> u64 {
            // SAFETY: the caller passes the address of a `Result<T, E>`.
            unsafe { &*at.cast::<Result<T, E>>() }.is_err().into()
        }
        unsafe fn payload<T, E>(at: *const u8) -> *const u8 {
            // SAFETY: as above.
            match unsafe { &*at.cast::<Result<T, E>>() } {
                Ok(value) => (value as *const T).cast(),
                Err(error) => (error as *const E).cast(),
            }
        }
        unsafe fn make<T, E>(at: *mut u8, variant: u32, payload: *const u8) {
            // SAFETY: the caller gives the variant's payload away, and owns the place.
            unsafe {
                let value = match variant {
                    0 => Ok(payload.cast::<T>().read_unaligned()),
                    _ => Err(payload.cast::<E>().read_unaligned()),
                };
                at.cast::<Result<T, E>>().write(value);
            }
        }
        SumAccess::leak::<Result<T, E>>(variant::<T, E>, payload::<T, E>, make::<T, E>)
    }
}

/// An aligned buffer for any value of the type.
fn buffer(size: u32) -> Vec<u128> {
    vec![0; size.div_ceil(16).max(1) as usize]
}

/// The register contents of the words of the value at `at`.
///
/// # Safety
/// `at` points to a value of the type. It is copied, not moved.
pub(crate) unsafe fn take_apart(ty: Type, at: *const u8, words: &mut [u64]) {
    let shape = ty.shape();
    if shape.direct {
        for (word, slot) in shape.words.iter().zip(words) {
            // SAFETY: the words of a direct shape lie within the value.
            *slot = unsafe { load(at as u64 + u64::from(word.offset), word.word) };
        }
        return;
    }
    let view = ty.view().expect("a shape that is not direct has a structure");
    match ty.structure() {
        Some(structure @ (TypeShape::Struct { .. } | TypeShape::Cell(_))) => {
            for (field, place) in structure.fields(0).iter().zip(&view.fields[0]) {
                let range = whole_range(place);
                // SAFETY: the field lies there.
                unsafe { take_apart(field.ty, at.add(field.offset as usize), &mut words[range]) };
            }
        }
        Some(TypeShape::Sum { variants, access }) => {
            // SAFETY: `at` points to a value of the type.
            let variant = unsafe { (access.variant)(at) };
            words[0] = variant;
            if let Some(field) = variants[variant as usize].fields.first() {
                let range = whole_range(&view.fields[variant as usize][0]);
                // SAFETY: the payload of the variant that is there.
                unsafe { take_apart(field.ty, (access.payload)(at), &mut words[range]) };
            }
        }
        _ => unreachable!("{ty:?} lies in memory as its words say"),
    }
}

/// Makes a value of its words at `at`.
///
/// # Safety
/// The words are a value of the type, which is given away; `at` is writable for it.
pub(crate) unsafe fn put_together(ty: Type, at: *mut u8, words: &[u64]) {
    let shape = ty.shape();
    if shape.direct {
        for (word, value) in shape.words.iter().zip(words) {
            // SAFETY: the words of a direct shape lie within the value.
            unsafe { store(at as u64 + u64::from(word.offset), word.word, *value) };
        }
        return;
    }
    let view = ty.view().expect("a shape that is not direct has a structure");
    match ty.structure() {
        Some(structure @ (TypeShape::Struct { .. } | TypeShape::Cell(_))) => {
            for (field, place) in structure.fields(0).iter().zip(&view.fields[0]) {
                // SAFETY: the field lies there.
                unsafe { put_together(field.ty, at.add(field.offset as usize), &words[whole_range(place)]) };
            }
        }
        Some(TypeShape::Sum { variants, access }) => {
            let variant = words[0] as usize;
            let mut payload = Vec::new();
            if let Some(field) = variants[variant].fields.first() {
                payload = buffer(field.ty.size);
                let range = whole_range(&view.fields[variant][0]);
                // SAFETY: the buffer is large enough, and the words are those of this variant's payload.
                unsafe { put_together(field.ty, payload.as_mut_ptr().cast(), &words[range]) };
            }
            // SAFETY: the payload is given away; the place is the caller's promise.
            unsafe { (access.make)(at, variant as u32, payload.as_ptr().cast()) };
        }
        _ => unreachable!("{ty:?} lies in memory as its words say"),
    }
}

/// The words of a field whose sources are consecutive whole words.
fn whole_range(place: &FieldWords) -> std::ops::Range<usize> {
    let FieldWords::Words(sources) = place else {
        unreachable!("fields of such types are words")
    };
    match sources.first() {
        Some(Source::Whole(first)) => *first..*first + sources.len(),
        _ => 0..0,
    }
}

/// `take_apart` for jitcode: address of the value, of the words, of the type.
pub(crate) unsafe extern "C" fn take_apart_shim(at: u64, words: u64, ty: *const TypeInfo) -> ShimResult {
    // SAFETY: the codewriter passes a slot for the words and a type that it got from `type_word`.
    unsafe {
        let ty = type_of_word(ty);
        let words = std::slice::from_raw_parts_mut(words as *mut u64, ty.shape().words.len());
        take_apart(ty, at as *const u8, words);
    }
    ShimResult { value: 0, panicked: 0 }
}

/// `put_together` for jitcode: address of the value, of the words, of the type.
pub(crate) unsafe extern "C" fn put_together_shim(at: u64, words: u64, ty: *const TypeInfo) -> ShimResult {
    // SAFETY: as for `take_apart_shim`.
    unsafe {
        let ty = type_of_word(ty);
        let words = std::slice::from_raw_parts(words as *const u64, ty.shape().words.len());
        put_together(ty, at as *mut u8, words);
    }
    ShimResult { value: 0, panicked: 0 }
}

/// The variant of the value at an address: its address, then its [`SumAccess`]'.
pub(crate) unsafe extern "C" fn variant_shim(at: u64, access: *const SumAccess) -> ShimResult {
    // SAFETY: the codewriter passes the address of a value of the type, and leaked access functions.
    let value = unsafe { ((*access).variant)(at as *const u8) };
    ShimResult { value, panicked: 0 }
}

/// The address of the payload of the value at an address.
pub(crate) unsafe extern "C" fn payload_shim(at: u64, access: *const SumAccess) -> ShimResult {
    // SAFETY: as for `variant_shim`.
    let value = unsafe { ((*access).payload)(at as *const u8) } as u64;
    ShimResult { value, panicked: 0 }
}

/// Makes a variant at an address, of the payload at another one.
pub(crate) unsafe extern "C" fn make_shim(at: u64, variant: u64, payload: u64, access: *const SumAccess) -> ShimResult {
    // SAFETY: the codewriter passes a slot for the value, the payload of that variant, and leaked access functions.
    unsafe { ((*access).make)(at as *mut u8, variant as u32, payload as *const u8) };
    ShimResult { value: 0, panicked: 0 }
}

/// Frees the memory of a `Box` whose content has been moved out.
pub(crate) unsafe extern "C" fn free_box(at: u64, size: u64, align: u64) -> ShimResult {
    if size != 0 {
        // SAFETY: the memory of a box of a type with this size and alignment, which nobody uses any more.
        unsafe {
            let layout = std::alloc::Layout::from_size_align_unchecked(size as usize, align as usize);
            std::alloc::dealloc(at as *mut u8, layout);
        }
    }
    ShimResult { value: 0, panicked: 0 }
}

/// The type as a constant of jitcode.
pub(crate) fn type_word(ty: Type) -> u64 {
    ty.info() as *const TypeInfo as u64
}

/// # Safety
/// The word came from [`type_word`].
unsafe fn type_of_word(word: *const TypeInfo) -> Type {
    // SAFETY: type infos are leaked.
    Type::from_info(unsafe { &*word })
}

/// The words of a constant, which is given away.
pub(crate) fn words_of<T>(ty: Type, value: T) -> Vec<u64> {
    let value = ManuallyDrop::new(value);
    let mut words = vec![0; ty.shape().words.len()];
    // SAFETY: `ty` is `T`: all callers pass `Type::of::<T>()`.
    unsafe { take_apart(ty, (&raw const value).cast(), &mut words) };
    words
}

/// The words of a constant that stays where it is.
pub(crate) fn words_at<T>(ty: Type, value: &T) -> Vec<u64> {
    let mut words = vec![0; ty.shape().words.len()];
    // SAFETY: `ty` is `T`: all callers pass `Type::of::<T>()`.
    unsafe { take_apart(ty, (value as *const T).cast(), &mut words) };
    words
}

/// The words of a field of a constant, where they are in its words.
pub(crate) fn field_words(ty: Type, variant: usize, field: usize, words: &[u64]) -> Option<Vec<u64>> {
    let FieldWords::Words(sources) = &ty.view()?.fields[variant][field] else {
        return None;
    };
    let inner = &ty.structure()?.fields(variant)[field].ty.shape().words;
    Some(
        sources
            .iter()
            .zip(inner)
            .map(|(source, word)| source_word(words, source, word.word))
            .collect(),
    )
}

fn source_word(words: &[u64], source: &Source, word: Word) -> u64 {
    match source {
        Source::Whole(index) => words[*index],
        Source::Bits(slices) => {
            let bits = slices.iter().fold(0, |bits, slice| {
                let mask = if slice.width == 64 {
                    u64::MAX
                } else {
                    (1 << slice.width) - 1
                };
                bits | (words[slice.word] >> slice.from & mask) << slice.to
            });
            word.extend(bits)
        }
    }
}

/// Which variant the words of a constant are of.
pub(crate) fn tag_of(words: &[u64], ty: Type) -> usize {
    match ty.view().map(|view| &view.tagging) {
        Some(Tagging::Null { source, word }) => (source_word(words, source, *word) != 0) as usize,
        Some(Tagging::Niche {
            source,
            word,
            empty,
            value,
        }) => {
            let same = source_word(words, source, *word) == *value;
            if same { *empty as usize } else { 1 - *empty as usize }
        }
        Some(Tagging::Word { source, word, values }) => {
            let tag = source_word(words, source, *word);
            values
                .iter()
                .position(|value| *value == tag)
                .expect("a constant is of one of its variants")
        }
        Some(Tagging::None | Tagging::Native) | None => 0,
    }
}

/// For layout probes: the three words of a `Vec`.
pub(crate) fn words_of_vec(vec: &Vec<u64>) -> [usize; 3] {
    const { assert!(size_of::<Vec<u64>>() == 24) };
    // SAFETY: `Vec` is 24 bytes without padding: it is three words of pointer size.
    unsafe { (vec as *const Vec<u64>).cast::<[usize; 3]>().read() }
}

/// For layout probes: the two words of a slice reference.
pub(crate) fn words_of_slice(slice: &[u64]) -> [usize; 2] {
    // SAFETY: a slice reference is two words of pointer size.
    unsafe { std::mem::transmute::<&[u64], [usize; 2]>(slice) }
}

/// For layout probes: where an `Rc`'s value lies behind the pointer.
pub(crate) fn offset_in_rc<T>(value: T) -> usize {
    let rc = Rc::new(value);
    // SAFETY: an `Rc` of a sized type is one pointer.
    let word = unsafe { (&raw const rc).cast::<usize>().read() };
    Rc::as_ptr(&rc) as usize - word
}

/// For layout probes: the bytes that making a variant of this payload writes (`None`: left alone), and where the payload
/// lies.
pub(crate) fn image_of_variant(access: &SumAccess, variant: u32, payload: &[u8]) -> (Vec<Option<u8>>, u32) {
    let mut offset = 0;
    let mut example = buffer(payload.len() as u32);
    // SAFETY: the buffer is at least as long as the payload.
    unsafe { std::ptr::copy_nonoverlapping(payload.as_ptr(), example.as_mut_ptr().cast(), payload.len()) };
    let mut write = |fill: u8| -> Vec<u8> {
        let mut place = buffer(access.size);
        let at = black_box(place.as_mut_ptr().cast::<u8>());
        // SAFETY: `payload` is the image of a valid value, says `layout::example`; the value is never dropped or used. The
        // bytes behind `at` are read through `black_box`, so that the compiler does not know which are padding.
        unsafe {
            std::ptr::write_bytes(at, fill, access.size as usize);
            (access.make)(at, variant, example.as_ptr().cast());
            offset = ((access.payload)(at) as usize).wrapping_sub(at as usize) as u32;
            let at = black_box(at);
            (0..access.size as usize)
                .map(|byte| at.add(byte).read_volatile())
                .collect()
        }
    };
    let (zeros, fives) = (write(0), write(0xa5));
    let image = zeros.iter().zip(&fives).map(|(a, b)| (a == b).then_some(*a)).collect();
    (image, if payload.is_empty() { 0 } else { offset })
}

/// A thunk that runs the twin `F`, for use as a key.
pub(crate) fn run_twin<P, F: Fn(PhantomData<P>)>() {
    // SAFETY: `stage::key` was given a value of `F`.
    let twin = unsafe { conjure::<F>() };
    twin(PhantomData);
}

/// A handle of the author's control flow: `Var<T>`, or whatever rustc falls back to where all arms diverge (`()` or `!`,
/// of which no handle exists). Returns its number.
pub(crate) fn number_of_handle<V>(handle: &V) -> Option<u32> {
    // SAFETY: the macro passes only `Var<T>`, which is `repr(transparent)` over `u32`, or zero-sized types.
    (size_of::<V>() == 4).then(|| unsafe { (handle as *const V).cast::<u32>().read() })
}

/// The opposite of [`number_of_handle`].
///
/// # Panics
/// If `V` is no `Var<T>`: the join's arms had values, so it is.
pub(crate) fn handle_of_number<V>(number: u32) -> V {
    assert_eq!(size_of::<V>(), 4, "only handles have values");
    // SAFETY: the macro names joins with `V = Var<T>`, see `number_of_handle`.
    unsafe { (&raw const number).cast::<V>().read() }
}

/// Runs `fill` on an uninitialised value, which it writes.
///
/// # Safety
/// `fill` initialises the value at the address that it is given.
pub(crate) unsafe fn filled<T>(fill: impl FnOnce(u64)) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    fill(value.as_mut_ptr() as u64);
    // SAFETY: the caller's promise.
    unsafe { value.assume_init() }
}

/// The words of a reference to a static.
pub(crate) fn words_of_reference<T: ?Sized>(target: &'static T) -> Vec<u64> {
    let reference: *const &'static T = &target;
    let words = size_of::<&T>() / 8;
    // SAFETY: a reference is one pointer, or a pointer and a word more.
    (0..words)
        .map(|n| unsafe { reference.cast::<u64>().add(n).read() })
        .collect()
}

/// A part of a slice, checked as indexing checks.
pub(crate) fn sub_slice<T, I: std::slice::SliceIndex<[T], Output = [T]>>(whole: *mut [T], index: I) -> *mut [T] {
    // SAFETY: the codewriter passes the data pointer and length of a slice that the author's code may access.
    unsafe { &mut (&mut *whole)[index] }
}
