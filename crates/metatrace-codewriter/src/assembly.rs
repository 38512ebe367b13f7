//! How native code takes values in memory apart into their words, and puts them together.
//!
//! Of each type there is one [`Assembly`], made of its [`Shape`](crate::shape::Shape). What rustc alone knows, the layout
//! of an `Option` or `Result`, is behind functions of their own ([`SumAccess`]).
//!
//! ```text
//! (u8, Option<u32>)  =  parts [words [u8 at 0], tagged [u32 at 0: 0 → [], 1 → [u32 at 4]]]
//! ```

use crate::layout::TagLayout;
use crate::shape::{FieldWords, ShapeWord, Source, Tagging};
use crate::types::{Type, TypeShape, VariantShape};
use metatrace_ir::Word;
use metatrace_native::{ShimResult, load, store};
use std::cell::OnceCell;
use std::hint::black_box;
use std::mem::ManuallyDrop;
use std::ops::Range;

/// How values of a type in memory and their words are made of each other.
#[derive(Debug)]
pub(crate) enum Assembly {
    /// The words lie in the value.
    Words(Box<[Place]>),
    /// The words lie in the value; which of them are there depends on the tag, a word like the others.
    Tagged {
        tag: Place,
        /// Values of the tag, and the words that are there then.
        cases: Box<[(u64, Box<[Place]>)]>,
        otherwise: Box<[Place]>,
    },
    /// The values in it.
    Parts(Box<[Part]>),
    /// The variant's number is the first word; the payload of each variant.
    Sum {
        access: &'static SumAccess,
        payloads: Box<[Part]>,
    },
}

/// Where a word lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    number: usize,
    offset: u32,
    word: Word,
}

/// A value in another one.
#[derive(Debug)]
pub(crate) struct Part {
    /// Where it lies; a payload's access functions know.
    offset: u32,
    /// Its first word among those of the whole.
    first: usize,
    size: u32,
    assembly: &'static Assembly,
}

/// Where words go: the first one stays here, word `n` goes to `rest + n`.
struct Words {
    first: u64,
    rest: *mut u64,
}

impl Words {
    /// # Safety
    /// There is room behind `rest` for a word of this number, unless it is 0.
    #[inline(always)]
    unsafe fn put(&mut self, number: usize, word: u64) {
        if number == 0 {
            self.first = word;
        } else {
            // SAFETY: the caller's promise.
            unsafe { self.rest.add(number).write(word) };
        }
    }

    /// # Safety
    /// The words lie in the value at `at`; as for [`put`](Self::put).
    #[inline(always)]
    unsafe fn load_all(&mut self, at: *const u8, first: usize, places: &[Place]) {
        for place in places {
            // SAFETY: forwarded.
            unsafe { self.put(first + place.number, place.load(at)) };
        }
    }
}

impl Place {
    /// # Safety
    /// The word lies in the value at `at`.
    #[inline(always)]
    unsafe fn load(self, at: *const u8) -> u64 {
        // SAFETY: forwarded.
        unsafe { load(at as u64 + u64::from(self.offset), self.word) }
    }

    /// # Safety
    /// The word is to lie in the value at `at`, which is writable; `words` are the value's.
    unsafe fn store(self, at: *mut u8, words: *const u64) {
        // SAFETY: forwarded.
        unsafe {
            store(
                at as u64 + u64::from(self.offset),
                self.word,
                words.add(self.number).read(),
            )
        };
    }
}

/// The words that are there with this tag.
#[inline(always)]
fn there<'a>(tag: u64, cases: &'a [(u64, Box<[Place]>)], otherwise: &'a [Place]) -> &'a [Place] {
    cases
        .iter()
        .find(|(value, _)| *value == tag)
        .map_or(otherwise, |(_, places)| places)
}

impl Assembly {
    pub(crate) fn of(ty: Type) -> Assembly {
        let shape = ty.shape();
        if shape.direct {
            let place = |(number, word): (usize, &ShapeWord)| Place {
                number,
                offset: word.offset,
                word: word.word,
            };
            let places: Vec<Place> = shape.words.iter().enumerate().map(place).collect();
            return Assembly::tagged(ty, &places).unwrap_or(Assembly::Words(places.into()));
        }
        let view = ty.view().expect("a shape that is not direct has a structure");
        match ty.structure() {
            Some(structure @ (TypeShape::Struct { .. } | TypeShape::Cell(_))) => {
                let fields = structure.fields(0).iter().zip(&view.fields[0]);
                let part = |(field, place): (&crate::types::FieldShape, _)| Part {
                    offset: field.offset,
                    first: first_word(place),
                    size: field.ty.size,
                    assembly: field.ty.assembly(),
                };
                Assembly::Parts(fields.map(part).collect())
            }
            Some(TypeShape::Sum { variants, access }) => {
                let payload = |(variant, places): (&VariantShape, &Vec<FieldWords>)| {
                    let ty = variant.fields.first().map_or(Type::of::<()>(), |field| field.ty);
                    Part {
                        offset: 0,
                        first: places.first().map_or(0, first_word),
                        size: ty.size,
                        assembly: ty.assembly(),
                    }
                };
                let payloads = variants.iter().zip(&view.fields).map(payload).collect();
                Assembly::Sum { access, payloads }
            }
            _ => unreachable!("{ty:?} lies in memory as its words say"),
        }
    }

    /// Where a whole word tells which of the words are there.
    fn tagged(ty: Type, places: &[Place]) -> Option<Assembly> {
        let structure = ty.structure()?;
        let source = match &ty.view()?.tagging {
            Tagging::Word { source, .. } | Tagging::Niche { source, .. } => source,
            Tagging::None | Tagging::Null { .. } | Tagging::Native => return None,
        };
        let Source::Whole(tag) = *source else { return None };
        let of_variant = |variant: usize| -> Box<[Place]> {
            let ranges: Vec<_> = structure.payload_ranges(variant).collect();
            let is_there = |place: &&Place| {
                let end = place.offset + place.word.size();
                let overlaps = |range: &Range<u32>| place.offset < range.end && range.start < end;
                place.number != tag && ranges.iter().any(overlaps)
            };
            places.iter().filter(is_there).copied().collect()
        };
        let (cases, otherwise) = match &ty.view()?.tagging {
            Tagging::Niche { niche, value, .. } => {
                let niche = *niche as usize;
                (vec![(*value, of_variant(niche))], of_variant(1 - niche))
            }
            Tagging::Word { values, .. } => {
                let case = |(variant, value): (usize, &u64)| (*value, of_variant(variant));
                (values.iter().enumerate().map(case).collect(), Box::default())
            }
            Tagging::None | Tagging::Null { .. } | Tagging::Native => return None,
        };
        Some(Assembly::Tagged {
            tag: places[tag],
            cases: cases.into(),
            otherwise,
        })
    }

    /// Takes the value at `at` apart, which is copied, not moved. Its first word is `first` among those of the whole.
    ///
    /// # Safety
    /// `at` points to a value of the type; there is room for its words.
    unsafe fn take_apart(&self, at: *const u8, first: usize, words: &mut Words) {
        match self {
            // SAFETY: the words lie within the value; the caller has room for them.
            Assembly::Words(places) => unsafe { words.load_all(at, first, places) },
            Assembly::Tagged { tag, cases, otherwise } => {
                // SAFETY: as above.
                unsafe {
                    let value = tag.load(at);
                    words.put(first + tag.number, value);
                    words.load_all(at, first, there(value, cases, otherwise));
                }
            }
            Assembly::Parts(parts) => {
                for part in parts {
                    // SAFETY: the part lies there.
                    unsafe {
                        let at = at.add(part.offset as usize);
                        part.assembly.take_apart(at, first + part.first, words);
                    }
                }
            }
            Assembly::Sum { access, payloads } => {
                // SAFETY: `at` points to a value of the type; then the payload of the variant that is there.
                unsafe {
                    let (variant, payload) = (access.split)(at);
                    words.put(first, variant);
                    let part = &payloads[variant as usize];
                    part.assembly.take_apart(payload, first + part.first, words);
                }
            }
        }
    }

    /// The first word of the value at `at`, and the others behind `rest`.
    ///
    /// # Safety
    /// As for [`take_apart`](Self::take_apart); word `n` other than the first goes to `rest + n`.
    pub(crate) unsafe fn words(&self, at: *const u8, rest: *mut u64) -> u64 {
        // What most results are takes the short way.
        if let Assembly::Tagged { tag, cases, otherwise } = self
            && tag.number == 0
        {
            // SAFETY: forwarded.
            unsafe {
                let value = tag.load(at);
                for place in there(value, cases, otherwise) {
                    rest.add(place.number).write(place.load(at));
                }
                return value;
            }
        }
        let mut words = Words { first: 0, rest };
        // SAFETY: forwarded.
        unsafe { self.take_apart(at, 0, &mut words) };
        words.first
    }

    /// Makes a value of its words at `at`.
    ///
    /// # Safety
    /// The words are a value of the type, which is given away; `at` is writable for it.
    pub(crate) unsafe fn put_together(&self, at: *mut u8, words: *const u64) {
        match self {
            Assembly::Words(places) => {
                for place in places {
                    // SAFETY: the words lie within the value.
                    unsafe { place.store(at, words) };
                }
            }
            Assembly::Tagged { tag, cases, otherwise } => {
                // SAFETY: as above.
                unsafe {
                    let value = words.add(tag.number).read();
                    tag.store(at, words);
                    for place in there(value, cases, otherwise) {
                        place.store(at, words);
                    }
                }
            }
            Assembly::Parts(parts) => {
                for part in parts {
                    // SAFETY: the part lies there, and these are its words.
                    unsafe {
                        let at = at.add(part.offset as usize);
                        part.assembly.put_together(at, words.add(part.first));
                    }
                }
            }
            Assembly::Sum { access, payloads } => {
                // SAFETY: the first word is the variant, those of its payload follow; the buffer is large enough for that,
                // which is given away. The place is the caller's promise.
                unsafe {
                    let variant = words.read();
                    let part = &payloads[variant as usize];
                    let mut small = [0u128; 4];
                    let mut large = Vec::new();
                    let payload: *mut u8 = if part.size as usize <= size_of_val(&small) {
                        small.as_mut_ptr().cast()
                    } else {
                        large = buffer(part.size);
                        large.as_mut_ptr().cast()
                    };
                    part.assembly.put_together(payload, words.add(part.first));
                    (access.make)(at, variant as u32, payload);
                    drop(large);
                }
            }
        }
    }
}

/// The number of the first word of a field whose words follow one another.
fn first_word(place: &FieldWords) -> usize {
    match place {
        FieldWords::Words(sources) => match sources.first() {
            Some(Source::Whole(first)) => *first,
            None => 0,
            Some(Source::Bits(_)) => unreachable!("fields of such types are whole words"),
        },
        FieldWords::Memory => unreachable!("fields of such types are words"),
    }
}

/// `take_apart` for jitcode: address of the value, of the place of all words but the first, of the assembly.
pub(crate) unsafe extern "C" fn take_apart_shim(at: u64, rest: u64, assembly: *const Assembly) -> ShimResult {
    // SAFETY: the codewriter passes a slot for the words and an assembly, which is leaked.
    let value = unsafe { (*assembly).words(at as *const u8, rest as *mut u64) };
    ShimResult { value, panicked: 0 }
}

/// `put_together` for jitcode: address of the value, of the words, of the assembly.
pub(crate) unsafe extern "C" fn put_together_shim(at: u64, words: u64, assembly: *const Assembly) -> ShimResult {
    // SAFETY: as for `take_apart_shim`.
    unsafe { (*assembly).put_together(at as *mut u8, words as *const u64) };
    ShimResult { value: 0, panicked: 0 }
}

/// How native code sees an `Option` or a `Result`.
pub struct SumAccess {
    /// The type, for reading.
    pub(crate) name: String,
    pub(crate) size: u32,
    /// The variant of the value at an address, and the address of its payload; any address where it has none.
    split: unsafe fn(*const u8) -> (u64, *const u8),
    make: unsafe fn(*mut u8, u32, *const u8),
    layout: OnceCell<TagLayout>,
}

impl std::fmt::Debug for SumAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SumAccess({} bytes)", self.size)
    }
}

impl SumAccess {
    fn leak<S>(
        split: unsafe fn(*const u8) -> (u64, *const u8),
        make: unsafe fn(*mut u8, u32, *const u8),
    ) -> &'static SumAccess {
        Box::leak(Box::new(SumAccess {
            name: crate::types::short_name(std::any::type_name::<S>()),
            size: size_of::<S>() as u32,
            split,
            make,
            layout: OnceCell::new(),
        }))
    }

    pub(crate) fn layout(&self, variants: &[VariantShape]) -> TagLayout {
        self.layout.get_or_init(|| TagLayout::probe(variants, self)).clone()
    }

    /// `Option<T>`: `None` is variant 0.
    pub(crate) fn option<T>() -> &'static SumAccess {
        unsafe fn split<T>(at: *const u8) -> (u64, *const u8) {
            // SAFETY: the caller passes the address of an `Option<T>`.
            match unsafe { &*at.cast::<Option<T>>() } {
                None => (0, at),
                Some(value) => (1, (value as *const T).cast()),
            }
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
        SumAccess::leak::<Option<T>>(split::<T>, make::<T>)
    }

    /// `Result<T, E>`: `Ok` is variant 0.
    pub(crate) fn result<T, E>() -> &'static SumAccess {
        unsafe fn split<T, E>(at: *const u8) -> (u64, *const u8) {
            // SAFETY: the caller passes the address of a `Result<T, E>`.
            match unsafe { &*at.cast::<Result<T, E>>() } {
                Ok(value) => (0, (value as *const T).cast()),
                Err(error) => (1, (error as *const E).cast()),
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
        SumAccess::leak::<Result<T, E>>(split::<T, E>, make::<T, E>)
    }
}

/// An aligned buffer for any value of the type.
fn buffer(size: u32) -> Vec<u128> {
    vec![0; size.div_ceil(16).max(1) as usize]
}

/// The variant of the value at an address: its address, then its [`SumAccess`]'.
pub(crate) unsafe extern "C" fn variant_shim(at: u64, access: *const SumAccess) -> ShimResult {
    // SAFETY: the codewriter passes the address of a value of the type, and leaked access functions.
    let value = unsafe { ((*access).split)(at as *const u8) }.0;
    ShimResult { value, panicked: 0 }
}

/// The address of the payload of the value at an address.
pub(crate) unsafe extern "C" fn payload_shim(at: u64, access: *const SumAccess) -> ShimResult {
    // SAFETY: as for `variant_shim`.
    let value = unsafe { ((*access).split)(at as *const u8) }.1 as u64;
    ShimResult { value, panicked: 0 }
}

/// Makes a variant at an address, of the payload at another one.
pub(crate) unsafe extern "C" fn make_shim(at: u64, variant: u64, payload: u64, access: *const SumAccess) -> ShimResult {
    // SAFETY: the codewriter passes a slot for the value, the payload of that variant, and leaked access functions.
    unsafe { ((*access).make)(at as *mut u8, variant as u32, payload as *const u8) };
    ShimResult { value: 0, panicked: 0 }
}

/// The words of a constant, which is given away.
pub(crate) fn words_of<T>(ty: Type, value: T) -> Vec<u64> {
    words_at(ty, &*ManuallyDrop::new(value))
}

/// The words of a constant that stays where it is.
pub(crate) fn words_at<T>(ty: Type, value: &T) -> Vec<u64> {
    let mut words = vec![0; ty.shape().words.len()];
    // SAFETY: `ty` is `T`: all callers pass `Type::of::<T>()`.
    let first = unsafe { ty.assembly().words((value as *const T).cast(), words.as_mut_ptr()) };
    if let Some(word) = words.first_mut() {
        *word = first;
    }
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
            niche,
            value,
        }) => {
            let same = source_word(words, source, *word) == *value;
            if same { *niche as usize } else { 1 - *niche as usize }
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
            offset = ((access.split)(at).1 as usize).wrapping_sub(at as usize) as u32;
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

/// For layout probes: the variant of what may be the image of a value, and where its payload would lie.
pub(crate) fn split_image(access: &SumAccess, image: &[u8]) -> (u64, u32) {
    let mut place = buffer(access.size);
    let at = black_box(place.as_mut_ptr().cast::<u8>());
    // SAFETY: the buffer is as long as the image. Only the variant and the address of the payload are asked for, so that
    // this may be no value.
    unsafe {
        std::ptr::copy_nonoverlapping(image.as_ptr(), at, image.len());
        let (variant, payload) = (access.split)(at);
        (variant, (payload as usize).wrapping_sub(at as usize) as u32)
    }
}
