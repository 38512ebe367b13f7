//! Generated native code: the shims by which residual calls reach native functions.
//!
//! Shims follow the convention of `metatrace_native`, in one of two ways ([`Convention`]). *Images*: what travels is the
//! memory image of arguments and result; arguments of up to 8 bytes are one word, of up to 16 bytes two, larger ones travel
//! by address; a result of more than 8 bytes is written through a pointer that comes first. *Words*: a [`Signature`] comes
//! first, which says what arrives as its words and is put together by the shim; then the place of all words of the result
//! but the first, which is returned. So a call is one native call, however its values lie in memory.
//!
//! Where that makes more than six words, all of them lie in one frame slot, whose address is the only word. The callee is a
//! zero-sized function item or closure, which the shim conjures.

use crate::assembly::Assembly;
use metatrace_ir::CallDescr;
use metatrace_native::{ShimResult, catch};
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

/// What a shim that takes words must know of a call.
#[derive(Debug)]
pub(crate) struct Signature {
    /// Arguments that arrive as the address of their words.
    pub(crate) args: Box<[WordsArgument]>,
    pub(crate) result: &'static Assembly,
    /// The author says that the callee does not panic: if it does, the process ends.
    pub(crate) aborts: bool,
}

/// An argument that arrives as the address of its words.
#[derive(Debug)]
pub(crate) struct WordsArgument {
    /// Which word of the call it is.
    pub(crate) at: usize,
    /// Where the image is made: so many bytes behind the words; `None`: in place of the address, where up to two words are
    /// kept for it.
    pub(crate) image: Option<usize>,
    pub(crate) assembly: &'static Assembly,
}

impl Signature {
    /// Puts the arguments together that arrive as words.
    ///
    /// # Safety
    /// `words` are the call's behind signature and result, as the signature says.
    #[inline]
    unsafe fn put_together(&self, words: *mut u64) {
        if !self.args.is_empty() {
            // SAFETY: forwarded.
            unsafe { self.put_all_together(words) };
        }
    }

    /// # Safety
    /// As for [`put_together`](Self::put_together).
    unsafe fn put_all_together(&self, words: *mut u64) {
        for arg in &self.args {
            // SAFETY: the address of a slot with the argument's words, and room for its image where the signature says so;
            // images of up to 16 bytes have their place in the words themselves.
            unsafe {
                let place = words.add(arg.at);
                let from = place.read() as *mut u64;
                match arg.image {
                    None => arg.assembly.put_together(place.cast(), from),
                    Some(behind) => {
                        let image = from.byte_add(behind);
                        arg.assembly.put_together(image.cast(), from);
                        place.write(image as u64);
                    }
                }
            }
        }
    }
}

/// The shims of the callee type `F`.
pub(crate) struct Shim<F, A, R>(PhantomData<(F, A, R)>);

/// Where a shim is, and how its words travel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShimAddress {
    pub(crate) address: *const (),
    /// All words lie in one slot.
    pub(crate) packed: bool,
}

/// How the words of a shim are understood.
trait Convention {
    const WORDS: usize;
    const ADDRESS: ShimAddress = ShimAddress {
        address: match Self::WORDS {
            0 => shim0::<Self> as *const (),
            1 => shim1::<Self> as *const (),
            2 => shim2::<Self> as *const (),
            3 => shim3::<Self> as *const (),
            4 => shim4::<Self> as *const (),
            5 => shim5::<Self> as *const (),
            6 => shim6::<Self> as *const (),
            _ => shim_packed::<Self> as *const (),
        },
        packed: Self::WORDS > CallDescr::MAX_ARGS,
    };

    /// # Safety
    /// The words are what the convention says, arguments are given away by the caller.
    unsafe fn run(words: *mut u64) -> ShimResult;
}

/// By images.
struct Images<F, A, R>(PhantomData<(F, A, R)>);

/// By words.
struct Worded<F, A, R>(PhantomData<(F, A, R)>);

impl<F: Invoke<A, R>, A: Arguments, R> Shim<F, A, R> {
    pub(crate) const IMAGES: ShimAddress = Images::<F, A, R>::ADDRESS;
    pub(crate) const WORDED: ShimAddress = Worded::<F, A, R>::ADDRESS;
}

impl<F: Invoke<A, R>, A: Arguments, R> Convention for Images<F, A, R> {
    const WORDS: usize = A::WORDS + (size_of::<R>() > 8) as usize;

    unsafe fn run(words: *mut u64) -> ShimResult {
        let by_pointer = size_of::<R>() > 8;
        catch(|| {
            // SAFETY: whoever chose this shim had a value of `F`, and the words are the caller's promise.
            unsafe {
                let result = conjure::<F>().invoke(A::read(words.add(by_pointer as usize)));
                if by_pointer {
                    give_away(result, words.read() as *mut R);
                    0
                } else {
                    image(result)
                }
            }
        })
    }
}

/// Moves a value that has just been made.
///
/// A load that is wider than the stores which it reads from waits for these, so the first bytes, where a tag and a small
/// payload are, go one by one, and no word goes together with another.
///
/// # Safety
/// `to` is writable.
unsafe fn give_away<T>(value: T, to: *mut T) {
    let value = ManuallyDrop::new(value);
    let (from, to) = ((&raw const value).cast::<u8>(), to.cast::<u8>());
    let mut at = 0;
    macro_rules! piece {
        ($word:ty) => {
            if at + size_of::<$word>() <= size_of::<T>() {
                // SAFETY: within the value; the bytes may be padding.
                unsafe {
                    let word = from.add(at).cast::<MaybeUninit<$word>>();
                    let word = if word.is_aligned() {
                        word.read_volatile()
                    } else {
                        word.read_unaligned()
                    };
                    to.add(at).cast::<MaybeUninit<$word>>().write_unaligned(word);
                }
                at += size_of::<$word>();
            }
        };
    }
    piece!(u8);
    piece!(u8);
    piece!(u16);
    piece!(u32);
    while at + 8 <= size_of::<T>().min(64) {
        piece!(u64);
    }
    // SAFETY: within the value.
    unsafe { std::ptr::copy_nonoverlapping(from.add(at), to.add(at), size_of::<T>() - at) };
}

impl<F: Invoke<A, R>, A: Arguments, R> Convention for Worded<F, A, R> {
    const WORDS: usize = A::WORDS + 2;

    unsafe fn run(words: *mut u64) -> ShimResult {
        // SAFETY: signatures are leaked.
        let signature = unsafe { &*(words.read() as *const Signature) };
        let result = catch(|| {
            // SAFETY: as for images; the result becomes its words, and is not dropped.
            unsafe {
                let args = words.add(2);
                signature.put_together(args);
                let result = ManuallyDrop::new(conjure::<F>().invoke(A::read(args)));
                let rest = words.add(1).read() as *mut u64;
                signature.result.words((&raw const result).cast(), rest)
            }
        });
        if result.panicked != 0 && signature.aborts {
            std::process::abort();
        }
        result
    }
}

macro_rules! shims {
    ($($name:ident($($w:ident),*);)*) => {$(
        unsafe extern "C" fn $name<C: Convention + ?Sized>($($w: u64),*) -> ShimResult {
            let words: &mut [u64] = &mut [$($w),*];
            // SAFETY: the caller passes the words that this shim's call descriptor lists.
            unsafe { C::run(words.as_mut_ptr()) }
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

unsafe extern "C" fn shim_packed<C: Convention + ?Sized>(slot: u64) -> ShimResult {
    // SAFETY: the slot holds the words.
    unsafe { C::run(slot as *mut u64) }
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

/// A thunk that runs the twin `F`, for use as a key.
pub(crate) fn run_twin<P, F: Fn(PhantomData<P>)>() {
    // SAFETY: `stage::key` was given a value of `F`.
    let twin = ManuallyDrop::new(unsafe { conjure::<F>() });
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
    // SAFETY: the codewriter passes the data pointer and length of a slice that the author's code may access, shared or
    // not; the reference is shared, and what comes of it is an address.
    let part: *const [T] = unsafe { &(&*whole)[index] };
    part.cast_mut()
}
