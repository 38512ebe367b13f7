//! The layouts of std types, probed.
//!
//! `Vec`, `Rc` and fat pointers are learnt by writing example values over filled buffers and looking at them. So are the
//! tags and niches of `Option` and `Result`: of an example of one variant byte after byte is changed, and those on which
//! it depends that the value is still seen as that variant are the tag or niche. What cannot be found so is left to native
//! code.

use crate::assembly::{self, SumAccess};
use crate::shape::unsigned;
use crate::shims;
use crate::types::{FieldShape, Type, TypeShape, VariantShape};
use metatrace_ir::{Pointee, Word};
use std::ops::Range;
use std::sync::OnceLock;

/// Where a fat pointer keeps its data pointer.
pub(crate) const FAT_DATA: u32 = 0;
/// Where a fat pointer keeps its length.
pub(crate) const FAT_LEN: u32 = 8;

/// Where a `Vec` keeps its words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VecLayout {
    pub(crate) data: u32,
    pub(crate) capacity: u32,
    pub(crate) len: u32,
}

/// The layout of all `Vec`s.
///
/// # Panics
/// If `Vec` is not three words that can be told apart, or a slice reference is not (pointer, length): such a compiler
/// needs another codewriter.
pub(crate) fn vec_layout() -> VecLayout {
    static LAYOUT: OnceLock<VecLayout> = OnceLock::new();
    *LAYOUT.get_or_init(|| {
        let mut probe: Vec<u64> = Vec::with_capacity(7);
        probe.extend([1, 2, 3]);
        let words = shims::words_of_vec(&probe);
        let find = |value: usize| {
            let at = words
                .iter()
                .position(|word| *word == value)
                .expect("a Vec is pointer, capacity, length");
            at as u32 * 8
        };
        let layout = VecLayout {
            data: find(probe.as_ptr() as usize),
            capacity: find(probe.capacity()),
            len: find(probe.len()),
        };
        let slice = shims::words_of_slice(&probe);
        assert_eq!(
            slice,
            [probe.as_ptr() as usize, 3],
            "a slice reference is pointer and length"
        );
        layout
    })
}

/// Offset of the value behind the pointer of an `Rc`, by the value's alignment.
pub(crate) fn rc_offset(align: u32) -> u32 {
    static CHECKED: OnceLock<()> = OnceLock::new();
    CHECKED.get_or_init(|| {
        assert_eq!(shims::offset_in_rc(5u8), 16, "an Rc's counts come before its value");
        assert_eq!(shims::offset_in_rc(5u128), 16, "an Rc's counts come before its value");
    });
    16u32.next_multiple_of(align)
}

/// How `Option` or `Result` lie in memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum TagLayout {
    /// `None` is the null pointer.
    Null,
    /// A tag of its own that is the variant's number, and for each variant the offset of its payload.
    Separate {
        tag_offset: u32,
        tag: Word,
        payloads: Vec<u32>,
    },
    /// Variant `niche` is one value of some bytes of the other variant's payload, which no such payload has.
    Niche {
        niche: u32,
        value: u64,
        /// Where these bytes are.
        offset: u32,
        word: Word,
        /// For each variant the offset of its payload.
        payloads: Vec<u32>,
    },
    /// Known to native code only.
    Unknown,
}

impl TagLayout {
    /// Probes a type whose values `access` can make.
    pub(crate) fn probe(variants: &[VariantShape], access: &SumAccess) -> TagLayout {
        let payload = |variant: &VariantShape| variant.fields.first().map(|field| field.ty);
        if let ([none, some], Some(ty)) = (variants, payload(&variants[1]))
            && none.fields.is_empty()
            && some.fields.len() == 1
            && ty.is_pointer()
        {
            return TagLayout::Null;
        }
        let largest = variants.iter().filter_map(payload).map(|ty| ty.size).max().unwrap_or(0);
        if access.size <= largest {
            return TagLayout::probe_niche(variants, access).unwrap_or(TagLayout::Unknown);
        }
        TagLayout::probe_tag(variants, access).unwrap_or(TagLayout::Unknown)
    }

    /// Where the payload of a variant lies, if that is known and not the start.
    pub(crate) fn payload(&self, variant: usize) -> Option<u32> {
        match self {
            TagLayout::Separate { payloads, .. } | TagLayout::Niche { payloads, .. } => Some(payloads[variant]),
            TagLayout::Null | TagLayout::Unknown => None,
        }
    }

    /// Where the type is larger than its payloads, it has a tag of its own: the variant's number.
    fn probe_tag(variants: &[VariantShape], access: &SumAccess) -> Option<TagLayout> {
        let payload = |n: usize| variants[n].fields.first().map(|field| field.ty);
        let example_of = |n: usize| payload(n).map_or(Some(Vec::new()), example);
        let (known, example) = (0..variants.len()).find_map(|n| Some((n, example_of(n)?)))?;
        let other = 1 - known;
        let (image, payload_at) = assembly::image_of_variant(access, known as u32, &example);
        let concrete: Vec<u8> = image.iter().map(|byte| byte.unwrap_or(0)).collect();
        let deciding = deciding_bytes(&concrete, |image| {
            assembly::split_image(access, image).0 == known as u64
        })?;
        let tag_offset = deciding.start as u32;
        let mut with_other_tag = concrete.clone();
        with_other_tag[deciding.start] = other as u8;
        let (variant, other_at) = assembly::split_image(access, &with_other_tag);
        if image[deciding.start] != Some(known as u8) || variant != other as u64 {
            return None;
        }
        let mut payloads = vec![payload_at; 2];
        payloads[other] = if payload(other).is_some() { other_at } else { 0 };
        let is_payload = |byte: u32| {
            let inside = |n: usize| payload(n).is_some_and(|ty| (payloads[n]..payloads[n] + ty.size).contains(&byte));
            inside(known) || inside(other)
        };
        // The tag goes as far as zeros are written; small numbers have no more than one byte that is not 0.
        let other_example = (other > known).then(|| example_of(other)).flatten();
        let other_image = other_example.map(|example| assembly::image_of_variant(access, other as u32, &example).0);
        let images: Vec<_> = std::iter::once(image).chain(other_image).collect();
        let zero = |byte: u32| {
            byte < access.size && !is_payload(byte) && images.iter().all(|image| image[byte as usize] == Some(0))
        };
        let is_tag = |size: &u32| tag_offset.is_multiple_of(*size) && (tag_offset + 1..tag_offset + size).all(zero);
        let size = [8, 4, 2, 1].into_iter().find(is_tag)?;
        (!is_payload(tag_offset) && deciding.end as u32 <= tag_offset + size).then(|| TagLayout::Separate {
            tag_offset,
            tag: unsigned(size),
            payloads,
        })
    }

    /// Where a payload is as large as the type, a value that it cannot have must tell the other variant.
    fn probe_niche(variants: &[VariantShape], access: &SumAccess) -> Option<TagLayout> {
        let payload = |n: usize| variants[n].fields.first().map(|field| field.ty);
        let size = |n: usize| payload(n).map_or(0, |ty| ty.size);
        let niche = if size(0) < size(1) { 0 } else { 1 };
        let example = payload(niche).map_or(Some(Vec::new()), example)?;
        let (image, payload_at) = assembly::image_of_variant(access, niche as u32, &example);
        let concrete: Vec<u8> = image.iter().map(|byte| byte.unwrap_or(0)).collect();
        let is_niche = |image: &[u8]| assembly::split_image(access, image).0 == niche as u64;
        let place = deciding_bytes(&concrete, is_niche)?;
        let is_apart = place.end <= payload_at as usize || (payload_at + size(niche)) as usize <= place.start;
        let is_written = image[place.clone()].iter().all(Option::is_some);
        if !is_apart || !is_written {
            return None;
        }
        let mut payloads = vec![0; 2];
        payloads[niche] = payload_at;
        let bytes = concrete[place.clone()].iter().rev();
        Some(TagLayout::Niche {
            niche: niche as u32,
            value: bytes.fold(0, |value, byte| value << 8 | u64::from(*byte)),
            offset: place.start as u32,
            word: unsigned(place.len() as u32),
            payloads,
        })
    }
}

/// The bytes of `image` on which alone it depends that `holds` of it; an aligned word.
fn deciding_bytes(image: &[u8], holds: impl Fn(&[u8]) -> bool) -> Option<Range<usize>> {
    let decides = |at: usize| {
        let byte = image[at];
        let bits = (0..8).map(|bit| byte ^ 1 << bit);
        let others = [0, !byte, byte.wrapping_add(1), byte.wrapping_sub(1)];
        bits.chain(others).any(|other| {
            let mut changed = image.to_vec();
            changed[at] = other;
            !holds(&changed)
        })
    };
    let deciding: Vec<usize> = (0..image.len()).filter(|at| decides(*at)).collect();
    let place = *deciding.first()?..*deciding.last()? + 1;
    let is_word = [1, 2, 4, 8].contains(&place.len()) && place.start.is_multiple_of(place.len());
    if !is_word || deciding.len() != place.len() {
        return None;
    }
    // Whatever all other bytes are together.
    let mut state = 1u64;
    let mut noise = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let noisy = (0..64).map(|_| image.iter().map(|_| noise()).collect::<Vec<u8>>());
    let mut others = [vec![0; image.len()], vec![0xff; image.len()]].into_iter().chain(noisy);
    let alone = others.all(|mut other| {
        other[place.clone()].copy_from_slice(&image[place.clone()]);
        holds(&other)
    });
    alone.then_some(place)
}

/// The image of a valid value that needs no drop, where one can be made.
fn example(ty: Type) -> Option<Vec<u8>> {
    let mut image = vec![0; ty.size as usize];
    let mut put = |offset: u32, part: Vec<u8>| image[offset as usize..][..part.len()].copy_from_slice(&part);
    match ty.structure() {
        Some(TypeShape::Scalar(_) | TypeShape::RawPointer) => {}
        Some(TypeShape::Struct { fields, .. } | TypeShape::Cell(fields)) => {
            for field in fields {
                put(field.offset, example(field.ty)?);
            }
        }
        Some(TypeShape::Enum { variants, .. }) => {
            let fields = |variant: &VariantShape| -> Option<Vec<(u32, Vec<u8>)>> {
                let field = |field: &FieldShape| Some((field.offset, example(field.ty)?));
                variant.fields.iter().map(field).collect()
            };
            let (discriminant, fields) = variants
                .iter()
                .find_map(|variant| Some((variant.discriminant, fields(variant)?)))?;
            put(0, vec![discriminant]);
            for (offset, field) in fields {
                put(offset, field);
            }
        }
        // An empty `Vec` or `String`, whose data pointer is as much aligned as any type asks.
        Some(TypeShape::Known(words)) => {
            for word in words.iter().filter(|word| word.pointee == Pointee::Owned) {
                put(word.offset, u64::to_le_bytes(16).to_vec());
            }
        }
        // Without a niche every bit pattern is a value.
        _ if !ty.has_niche => {}
        _ => return None,
    }
    Some(image)
}
