//! Green keys: what identifies a loop of the guest program.
//!
//! A green is one word: an integer, a `bool`, a `char`, or a reference that lives as long as the driver (compared by
//! address). References to anything shorter-lived do not compile: code that is special for them could outlive them.

use std::fmt::Debug;

mod sealed {
    pub trait Sealed {}
}

/// A value that can be part of a green key.
///
/// # Safety
/// Implemented here only: the word determines the value for as long as `'p` lasts, and is the register content that the
/// jitcode has for it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a green",
    label = "greens are integers, `bool`, `char`, and references that live as long as the driver",
    note = "what identifies a position in the guest program is green; make everything else a red"
)]
pub unsafe trait Green<'p>: Copy + sealed::Sealed {
    /// The word.
    fn word(self) -> u64;

    /// The value.
    ///
    /// # Safety
    /// `word` came from [`word`](Self::word) of a value that lives for `'p`.
    unsafe fn from_word(word: u64) -> Self;
}

macro_rules! integers {
    ($($int:ty as $wide:ty),*) => { $(
        impl sealed::Sealed for $int {}
        // SAFETY: the integer, extended after its sign, is what a register holds.
        unsafe impl Green<'_> for $int {
            #[inline(always)]
            fn word(self) -> u64 {
                self as $wide as u64
            }

            unsafe fn from_word(word: u64) -> $int {
                word as $int
            }
        }
    )* };
}

integers!(u8 as u64, u16 as u64, u32 as u64, u64 as u64, usize as u64);
integers!(i8 as i64, i16 as i64, i32 as i64, i64 as i64, isize as i64);

impl sealed::Sealed for bool {}
// SAFETY: 0 or 1.
unsafe impl Green<'_> for bool {
    #[inline(always)]
    fn word(self) -> u64 {
        self.into()
    }

    unsafe fn from_word(word: u64) -> bool {
        word != 0
    }
}

impl sealed::Sealed for char {}
// SAFETY: the code point.
unsafe impl Green<'_> for char {
    #[inline(always)]
    fn word(self) -> u64 {
        self.into()
    }

    unsafe fn from_word(word: u64) -> char {
        char::from_u32(word as u32).expect("the word came from a char")
    }
}

impl<T> sealed::Sealed for &T {}
// SAFETY: the address; the reference lives for `'p`.
unsafe impl<'p, T> Green<'p> for &'p T {
    #[inline(always)]
    fn word(self) -> u64 {
        std::ptr::from_ref(self) as u64
    }

    unsafe fn from_word(word: u64) -> &'p T {
        // SAFETY: the word is the address of a reference that lives for `'p`, by the caller's promise.
        unsafe { &*(word as *const T) }
    }
}

/// A green key: a tuple of [`Green`]s.
///
/// # Safety
/// Implemented here only, as for [`Green`].
#[diagnostic::on_unimplemented(message = "`{Self}` cannot be a green key", label = "a portal has one to six greens")]
pub unsafe trait Greens<'p>: Copy {
    /// An array of words.
    type Words: AsRef<[u64]> + Debug;

    /// The words.
    fn words(self) -> Self::Words;

    /// The key.
    ///
    /// # Safety
    /// As for [`Green::from_word`], for each word.
    unsafe fn from_words(words: &[u64]) -> Self;
}

macro_rules! tuples {
    ($($count:literal: $($green:ident $index:tt),*;)*) => { $(
        // SAFETY: each word is a green's.
        unsafe impl<'p, $($green: Green<'p>),*> Greens<'p> for ($($green,)*) {
            type Words = [u64; $count];

            #[inline(always)]
            fn words(self) -> [u64; $count] {
                [$(self.$index.word()),*]
            }

            unsafe fn from_words(words: &[u64]) -> Self {
                // SAFETY: the words came from `words`, by the caller's promise.
                unsafe { ($($green::from_word(words[$index]),)*) }
            }
        }
    )* };
}

tuples! {
    1: A 0;
    2: A 0, B 1;
    3: A 0, B 1, C 2;
    4: A 0, B 1, C 2, D 3;
    5: A 0, B 1, C 2, D 3, E 4;
    6: A 0, B 1, C 2, D 3, E 4, F 5;
}
