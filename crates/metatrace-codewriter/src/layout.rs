//! The layouts of std types, probed.
//!
//! Separate tags of `Option` and `Result`, `Vec`, `Rc` and fat pointers are learnt by writing example values over filled
//! buffers and looking at them. So are niches where the payload is one scalar that fills the type, which must then hold
//! the niche. Others are not: what a compiler leaves in bytes that mean nothing differs from write to write.

use crate::shape::unsigned;
use crate::shims::{self, SumAccess};
use crate::types::{Type, TypeShape, VariantShape};
use metatrace_ir::{Kind, Word};
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
    /// Variant `empty`, which has no payload, is one value of the other variant's only word, which is no payload.
    Niche { empty: u32, value: u64 },
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
        let mut images = Vec::new();
        let mut payloads = Vec::new();
        for (n, variant) in variants.iter().enumerate() {
            let example = match payload(variant) {
                None => Vec::new(),
                Some(ty) => match example(ty) {
                    Some(example) => example,
                    None => return TagLayout::Unknown,
                },
            };
            let (image, offset) = shims::image_of_variant(access, n as u32, &example);
            images.push(image);
            payloads.push(offset);
        }
        let is_payload = |byte: u32| {
            let inside = |(variant, offset): (&VariantShape, &u32)| {
                payload(variant).is_some_and(|ty| (*offset..*offset + ty.size).contains(&byte))
            };
            variants.iter().zip(&payloads).any(inside)
        };
        let tells = |byte: &u32| {
            let value = |n: usize| images[n][*byte as usize];
            !is_payload(*byte) && (0..variants.len()).all(|n| value(n) == Some(n as u8))
        };
        let Some(tag_offset) = (0..access.size).find(tells) else {
            return TagLayout::Unknown;
        };
        let zero = |byte: u32| {
            byte < access.size && !is_payload(byte) && images.iter().all(|image| image[byte as usize] == Some(0))
        };
        let size = [8, 4, 2]
            .into_iter()
            .find(|size| tag_offset.is_multiple_of(*size) && (tag_offset + 1..tag_offset + size).all(zero));
        TagLayout::Separate {
            tag_offset,
            tag: unsigned(size.unwrap_or(1)),
            payloads,
        }
    }
}

impl TagLayout {
    /// Where the payload is a scalar that fills the type, so must the niche.
    fn probe_niche(variants: &[VariantShape], access: &SumAccess) -> Option<TagLayout> {
        let payload = |n: usize| variants[n].fields.first().map(|field| field.ty);
        let size = |n: usize| payload(n).map_or(0, |ty| ty.size);
        let (empty, full) = if size(0) == 0 { (0, 1) } else { (1, 0) };
        let word = match &payload(full)?.shape().words[..] {
            [word] if size(empty) == 0 && word.offset == 0 && word.word.size() == access.size => word.word,
            _ => return None,
        };
        let (image, _) = shims::image_of_variant(access, empty as u32, &[]);
        let bytes: Option<Vec<u8>> = image.into_iter().collect();
        let value = bytes?.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
        (word.kind() == Kind::Int).then(|| TagLayout::Niche {
            empty: empty as u32,
            value: word.extend(value),
        })
    }
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
            let simplest = variants.iter().min_by_key(|variant| variant.fields.len())?;
            put(0, vec![simplest.discriminant]);
            for field in &simplest.fields {
                put(field.offset, example(field.ty)?);
            }
        }
        // Without a niche every bit pattern is a value.
        _ if !ty.has_niche => {}
        _ => return None,
    }
    Some(image)
}
