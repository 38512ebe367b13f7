//! The words a type's values have in registers, and how the words of a field are found in those of its owner.
//!
//! - A scalar or thin pointer is one word; a fat pointer is its data pointer and length, as ints.
//! - A struct or tuple is its fields' words one after the other.
//! - An enum with `#[repr(u8)]` is its tag, then words that its variants share: each group of overlapping fields is cut
//!   into words with *one* memory offset each, so that loading, storing and copying a value needs no test of its tag.
//!   Fields that overlap with differing types are bits of an int word.
//! - `Option` of a pointer is the pointer's words, null for `None`. Other `Option`s and `Result`s are their tag or niche and
//!   their payloads as they lie in memory, where each word of a payload is a word of theirs. Otherwise they are the
//!   variant's number, then words of our own order that the variants share.
//! - A type of which nothing is known is the words of its memory image.
//!
//! Where a value lies in memory as its words say, it is loaded and stored word by word ([`Shape::direct`]); otherwise
//! native code takes it apart and puts it together ([`crate::shims`]).

use crate::assembly::SumAccess;
use crate::layout::{self, TagLayout};
use crate::types::{FieldShape, Scalar, Type, TypeShape, VariantShape};
use metatrace_ir::{Kind, Pointee, Word};

/// A word of a value.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct ShapeWord {
    /// How it is held, and how it lies in memory where the shape is direct.
    pub(crate) word: Word,
    /// From the value's start; meaningless where the shape is not direct.
    pub(crate) offset: u32,
    pub(crate) pointee: Pointee,
    /// Whether no cell is crossed within the value.
    pub(crate) frozen: bool,
    /// Whether it is bytes of a type of which nothing is known: they are moved, nobody computes with them.
    pub(crate) image: bool,
    /// What is appended to the name of the place, `.field` or nothing.
    pub(crate) name: String,
}

/// Some bits of an owner's word, which become bits of a field's word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slice {
    pub(crate) word: usize,
    pub(crate) from: u32,
    pub(crate) width: u32,
    pub(crate) to: u32,
}

/// Where a field's word is found in its owner's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// The register's content of that word, seen as the field's word.
    Whole(usize),
    /// Bits.
    Bits(Vec<Slice>),
}

/// Where the words of a field are found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum FieldWords {
    /// One for each of the field's words.
    Words(Vec<Source>),
    /// Only in memory: the owner holds an image that just native code can take apart.
    Memory,
}

/// How variants are told apart in the words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Tagging {
    /// There is one variant.
    None,
    /// By a word, which has these values.
    Word {
        source: Source,
        word: Word,
        values: Vec<u64>,
    },
    /// Variant 0 is null in this word.
    Null { source: Source, word: Word },
    /// A variant is this value of a word.
    Niche {
        source: Source,
        word: Word,
        niche: u32,
        value: u64,
    },
    /// By native code, in memory.
    Native,
}

/// The words of a type's values.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) words: Vec<ShapeWord>,
    /// Whether values lie in memory as the words say.
    pub(crate) direct: bool,
}

/// Where the parts of a value are found in its words. Also of shapes that were settled as an image, before the type's
/// structure was learnt.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) tagging: Tagging,
    /// For each variant and field.
    pub(crate) fields: Vec<Vec<FieldWords>>,
}

impl Shape {
    pub(crate) fn of(ty: Type) -> Shape {
        match ty.structure() {
            None | Some(TypeShape::Array { .. }) => Shape::image(ty),
            Some(TypeShape::Scalar(scalar)) => Shape::words(vec![word(scalar.word(), 0, Pointee::Unknown, "")]),
            Some(TypeShape::Pointer(pointee)) if ty.size == 16 => Shape::words(vec![
                word(Word::U64, layout::FAT_DATA, *pointee, ".data"),
                word(Word::U64, layout::FAT_LEN, Pointee::Unknown, ".len"),
            ]),
            Some(TypeShape::Pointer(pointee)) => Shape::words(vec![word(Word::Ref, 0, *pointee, "")]),
            Some(TypeShape::RawPointer) => Shape::words(vec![word(Word::Ref, 0, Pointee::Unknown, "")]),
            Some(TypeShape::Known(words)) => Shape::words(
                words
                    .iter()
                    .map(|known| word(known.word, known.offset, known.pointee, known.name))
                    .collect(),
            ),
            Some(TypeShape::Struct { fields, .. }) => Shape::structure(fields, true),
            Some(TypeShape::Cell(fields)) => Shape::structure(fields, false),
            Some(TypeShape::Enum { variants, .. }) if variants.is_empty() => Shape::words(Vec::new()),
            Some(TypeShape::Enum { variants, .. }) => {
                Shape::overlay(word(Word::U8, 0, Pointee::Unknown, ".tag"), variants).with_any_lengths()
            }
            Some(TypeShape::Sum { variants, access }) => Shape::sum(variants, access).with_any_lengths(),
        }
    }

    /// Without promises of lengths: where one variant has such a word, another may have anything.
    fn with_any_lengths(mut self) -> Shape {
        for word in self.words.iter_mut().filter(|word| word.word == Word::Length) {
            word.word = Word::U64;
        }
        self
    }

    fn words(words: Vec<ShapeWord>) -> Shape {
        Shape { words, direct: true }
    }

    /// The words of the memory image.
    fn image(ty: Type) -> Shape {
        let mut words = Vec::new();
        cut(0, ty.size, |offset, size| {
            let name = if ty.size <= 8 {
                String::new()
            } else {
                format!(".@{offset}")
            };
            words.push(ShapeWord {
                frozen: false,
                image: true,
                name,
                ..word(unsigned(size), offset, Pointee::Unknown, "")
            });
        });
        Shape::words(words)
    }

    fn structure(fields: &[FieldShape], frozen: bool) -> Shape {
        let mut shape = Shape::words(Vec::new());
        for field in fields {
            let inner = field.ty.shape();
            shape.direct &= inner.direct;
            shape.words.extend(inner.words.iter().map(|word| ShapeWord {
                offset: word.offset + field.offset,
                frozen: word.frozen && frozen,
                name: format!(".{}{}", field.name, word.name),
                ..word.clone()
            }));
        }
        shape
    }

    /// A tag and the fields of all variants, where they lie in memory. Where the tag is part of a field, as niches are, it
    /// is a word all the same: native code writes it as such, and what is written in one piece is best read so.
    fn overlay(mut tag: ShapeWord, variants: &[VariantShape]) -> Shape {
        let mut rest = Vec::new();
        for field in variants.iter().flat_map(|variant| &variant.fields).flat_map(held) {
            let (start, end) = (tag.offset, tag.offset + tag.word.size());
            let field_end = field.offset + field.word.size();
            if field_end <= start || end <= field.offset {
                rest.push(field);
            } else if field.offset == start && field.word.size() == tag.word.size() {
                tag = ShapeWord {
                    name: tag.name,
                    ..field
                };
            } else {
                let mut piece = |offset, size| {
                    rest.push(ShapeWord {
                        word: unsigned(size),
                        offset,
                        pointee: field.pointee.or(Pointee::Unknown),
                        ..field.clone()
                    });
                };
                cut(field.offset, start, &mut piece);
                cut(end, field_end, &mut piece);
            }
        }
        let mut words = vec![tag];
        words.extend(clusters(rest));
        Shape::words(words)
    }

    fn sum(variants: &[VariantShape], access: &SumAccess) -> Shape {
        match access.layout(variants) {
            TagLayout::Null => {
                let pointer = variants[1].fields[0].ty;
                Shape::words(pointer.shape().words.clone())
            }
            TagLayout::Niche {
                offset,
                word: held,
                payloads,
                ..
            } if payloads_are_direct(variants) => {
                let tag = word(held, offset, Pointee::Unknown, &format!(".@{offset}"));
                Shape::as_placed(tag, &placed(variants, &payloads))
            }
            TagLayout::Separate {
                tag_offset,
                tag,
                payloads,
            } if payloads_are_direct(variants) => {
                let tag = word(tag, tag_offset, Pointee::Unknown, ".tag");
                Shape::as_placed(tag, &placed(variants, &payloads))
            }
            _ => Shape::own_order(variants),
        }
    }

    /// As the value lies in memory, unless that would make a payload's word bits of others: values live in registers, where
    /// these would be cut and joined again and again.
    fn as_placed(tag: ShapeWord, variants: &[VariantShape]) -> Shape {
        let shape = Shape::overlay(tag, variants);
        let is_whole = |word: &ShapeWord| word.image || matches!(source(&shape.words, word), Source::Whole(_));
        let fields = variants.iter().flat_map(|variant| &variant.fields);
        if fields.flat_map(held).all(|word| is_whole(&word)) {
            shape
        } else {
            Shape::own_order(variants)
        }
    }

    /// A tag, then the variants' words one by one, shared as they come.
    fn own_order(variants: &[VariantShape]) -> Shape {
        let mut words = vec![word(Word::U64, 0, Pointee::Unknown, ".tag")];
        for variant in variants {
            let inner = variant.fields.first().map_or(&[][..], |field| &field.ty.shape().words);
            for (i, own) in inner.iter().enumerate() {
                match words.get_mut(i + 1) {
                    None => words.push(ShapeWord {
                        offset: 8 * (i as u32 + 1),
                        ..own.clone()
                    }),
                    Some(shared) => {
                        if shared.word != own.word {
                            shared.word = Word::U64;
                        }
                        shared.pointee = shared.pointee.or(own.pointee);
                        shared.frozen &= own.frozen;
                        shared.image &= own.image;
                    }
                }
            }
        }
        Shape { words, direct: false }
    }

    pub(crate) fn kinds(&self) -> impl Iterator<Item = Kind> + '_ {
        self.words.iter().map(|word| word.word.kind())
    }
}

impl View {
    pub(crate) fn of(ty: Type, structure: &TypeShape) -> View {
        let shape = ty.shape();
        match structure {
            TypeShape::Struct { fields, .. } | TypeShape::Cell(fields) if shape.direct => View {
                tagging: Tagging::None,
                fields: vec![fields.iter().map(|field| found(shape, field)).collect()],
            },
            TypeShape::Struct { fields, .. } | TypeShape::Cell(fields) => View {
                tagging: Tagging::None,
                fields: vec![in_order(0, fields)],
            },
            TypeShape::Enum { variants, .. } => {
                let values = variants.iter().map(|variant| variant.discriminant.into()).collect();
                View::tagged(shape, Word::U8, 0, variants, values)
            }
            TypeShape::Sum { variants, access } => View::of_sum(shape, variants, access),
            _ => View {
                tagging: Tagging::None,
                fields: Vec::new(),
            },
        }
    }

    /// A tag and fields where they lie in memory.
    fn tagged(shape: &Shape, tag: Word, offset: u32, variants: &[VariantShape], values: Vec<u64>) -> View {
        let source = source(&shape.words, &word(tag, offset, Pointee::Unknown, ""));
        let tagging = if values.len() < 2 {
            Tagging::None
        } else {
            Tagging::Word {
                source,
                word: tag,
                values,
            }
        };
        View {
            tagging,
            fields: View::found_all(shape, variants),
        }
    }

    fn found_all(shape: &Shape, variants: &[VariantShape]) -> Vec<Vec<FieldWords>> {
        let of_variant = |variant: &VariantShape| variant.fields.iter().map(|field| found(shape, field)).collect();
        variants.iter().map(of_variant).collect()
    }

    fn of_sum(shape: &Shape, variants: &[VariantShape], access: &SumAccess) -> View {
        let values: Vec<u64> = (0..variants.len() as u64).collect();
        match access.layout(variants) {
            TagLayout::Null => {
                let payload = variants[1].fields[0];
                let pointer = payload.ty.shape().words[0].word;
                let source = source(&shape.words, &word(pointer, 0, Pointee::Unknown, ""));
                let fields = vec![Vec::new(), vec![found(shape, &payload)]];
                View {
                    tagging: Tagging::Null { source, word: pointer },
                    fields,
                }
            }
            TagLayout::Niche {
                niche,
                value,
                offset,
                word: held,
                payloads,
            } if shape.direct && payloads_are_direct(variants) => {
                let source = source(&shape.words, &word(held, offset, Pointee::Unknown, ""));
                // A pointer is looked at as one.
                let held = match source {
                    Source::Whole(index) if value == 0 && shape.words[index].word == Word::Ref => Word::Ref,
                    Source::Whole(_) | Source::Bits(_) => held,
                };
                let tagging = Tagging::Niche {
                    source,
                    word: held,
                    niche,
                    value,
                };
                View {
                    tagging,
                    fields: View::found_all(shape, &placed(variants, &payloads)),
                }
            }
            TagLayout::Separate {
                tag_offset,
                tag,
                payloads,
            } if shape.direct && payloads_are_direct(variants) => {
                View::tagged(shape, tag, tag_offset, &placed(variants, &payloads), values)
            }
            _ if shape.direct => {
                let fields = variants
                    .iter()
                    .map(|variant| vec![FieldWords::Memory; variant.fields.len()])
                    .collect();
                View {
                    tagging: Tagging::Native,
                    fields,
                }
            }
            _ => {
                let tagging = Tagging::Word {
                    source: Source::Whole(0),
                    word: Word::U64,
                    values,
                };
                View {
                    tagging,
                    fields: variants.iter().map(|variant| in_order(1, &variant.fields)).collect(),
                }
            }
        }
    }
}

/// The words of fields that follow one another.
fn in_order(mut first: usize, fields: &[FieldShape]) -> Vec<FieldWords> {
    let mut words = Vec::new();
    for field in fields {
        let count = field.ty.shape().words.len();
        words.push(FieldWords::Words((first..first + count).map(Source::Whole).collect()));
        first += count;
    }
    words
}

/// A field's words by their offsets.
fn found(shape: &Shape, field: &FieldShape) -> FieldWords {
    if !field.ty.shape().direct {
        return FieldWords::Memory;
    }
    FieldWords::Words(held(field).iter().map(|word| source(&shape.words, word)).collect())
}

fn payloads_are_direct(variants: &[VariantShape]) -> bool {
    variants
        .iter()
        .flat_map(|variant| &variant.fields)
        .all(|field| field.ty.shape().direct)
}

/// The variants with their payloads where they were found.
fn placed(variants: &[VariantShape], payloads: &[u32]) -> Vec<VariantShape> {
    let mut placed = variants.to_vec();
    for (variant, offset) in placed.iter_mut().zip(payloads) {
        variant.fields.iter_mut().for_each(|field| field.offset = *offset);
    }
    placed
}

fn word(word: Word, offset: u32, pointee: Pointee, name: &str) -> ShapeWord {
    ShapeWord {
        word,
        offset,
        pointee,
        frozen: true,
        image: false,
        name: name.to_owned(),
    }
}

/// The words by which an enum holds a field: its image where native code must take it apart.
fn held(field: &FieldShape) -> Vec<ShapeWord> {
    let shape = field.ty.shape();
    let image;
    let words = if shape.direct {
        &shape.words
    } else {
        image = Shape::image(field.ty);
        &image.words
    };
    words
        .iter()
        .map(|word| ShapeWord {
            offset: word.offset + field.offset,
            ..word.clone()
        })
        .collect()
}

/// The unsigned word of that size.
pub(crate) fn unsigned(size: u32) -> Word {
    match size {
        1 => Word::U8,
        2 => Word::U16,
        4 => Word::U32,
        _ => Word::U64,
    }
}

/// Cuts a byte range into aligned words.
fn cut(start: u32, end: u32, mut piece: impl FnMut(u32, u32)) {
    let mut at = start;
    while at < end {
        let size = [8, 4, 2, 1]
            .into_iter()
            .find(|size| at.is_multiple_of(*size) && at + size <= end)
            .unwrap_or(1);
        piece(at, size);
        at += size;
    }
}

/// Words for all fields of all variants: one for those that agree, pieces of bytes where they overlap otherwise.
fn clusters(mut fields: Vec<ShapeWord>) -> Vec<ShapeWord> {
    fields.sort_by_key(|field| (field.offset, field.word.size()));
    let mut words = Vec::new();
    let mut rest = fields.as_slice();
    while let Some(first) = rest.first() {
        let (start, mut end, mut count) = (first.offset, first.offset + first.word.size(), 1);
        while let Some(next) = rest.get(count).filter(|next| next.offset < end) {
            end = end.max(next.offset + next.word.size());
            count += 1;
        }
        let (group, behind) = rest.split_at(count);
        rest = behind;
        let same = |field: &ShapeWord| field.word == first.word && field.offset == start;
        let pointee = group.iter().fold(first.pointee, |all, field| all.or(field.pointee));
        let frozen = group.iter().all(|field| field.frozen);
        let image = group.iter().all(|field| field.image);
        let make = |kind, offset| ShapeWord {
            word: kind,
            offset,
            pointee,
            frozen,
            image,
            name: format!(".@{offset}"),
        };
        if group.iter().all(same) {
            words.push(make(first.word, start));
        } else if let Some(widest) = group
            .iter()
            .find(|field| field.offset == start && field.offset + field.word.size() == end)
        {
            words.push(make(unsigned(widest.word.size()), start));
        } else {
            cut(start, end, |offset, size| words.push(make(unsigned(size), offset)));
        }
    }
    words
}

/// Finds a field's word among the words of its enum.
fn source(words: &[ShapeWord], field: &ShapeWord) -> Source {
    let (start, end) = (field.offset, field.offset + field.word.size());
    let mut slices = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let (from, to) = (word.offset.max(start), (word.offset + word.word.size()).min(end));
        if from >= to {
            continue;
        }
        let exact = word.offset == start && word.word.size() == field.word.size();
        if exact && (word.word == field.word || field.word.size() == 8) {
            return Source::Whole(index);
        }
        slices.push(Slice {
            word: index,
            from: (from - word.offset) * 8,
            width: (to - from) * 8,
            to: (from - start) * 8,
        });
    }
    Source::Bits(slices)
}

/// What a scalar type's values are, where it is one.
pub(crate) fn scalar_of(ty: Type) -> Option<Scalar> {
    match ty.structure() {
        Some(TypeShape::Scalar(scalar)) => Some(*scalar),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{TypeIsJit, field};

    struct Value;
    struct Op;

    /// A type of 16 bytes that the tests lay out as they like.
    #[repr(C)]
    struct Image([u64; 2]);

    fn variant(name: &'static str, discriminant: u8, fields: Vec<FieldShape>) -> VariantShape {
        VariantShape {
            name,
            ctor: "",
            discriminant,
            fields,
        }
    }

    fn words(shape: &Shape) -> String {
        let word = |word: &ShapeWord| format!("{:?}@{}", word.word, word.offset);
        shape.words.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    /// The words of `enum { Int(i64), Float(f64), Bool(bool), Nil }`.
    #[test]
    fn overlapping_fields_share_words() {
        Type::learn::<Value>();
        assert_eq!(words(Type::of::<Value>().shape()), "U8@0 U8@1 U64@8");
    }

    impl TypeIsJit for Value {
        fn shape() -> TypeShape {
            crate::scalar::learn_scalars();
            TypeShape::Enum {
                name: "Value",
                variants: vec![
                    variant("Int", 0, vec![field::<i64>("0", 0)]),
                    variant("Float", 1, vec![field::<f64>("0", 0)]),
                    variant("Bool", 2, vec![field::<bool>("0", 0)]),
                    variant("Nil", 3, vec![]),
                ],
            }
        }
    }

    impl TypeIsJit for Op {
        fn shape() -> TypeShape {
            crate::scalar::learn_scalars();
            TypeShape::Enum {
                name: "Op",
                variants: vec![
                    variant(
                        "A",
                        0,
                        vec![field::<u8>("0", 0), field::<u8>("1", 0), field::<u16>("2", 0)],
                    ),
                    variant("B", 7, vec![field::<u32>("0", 0)]),
                    variant("C", 9, vec![field::<[u8; 7]>("0", 0)]),
                ],
            }
        }
    }

    /// `A(u8, u8, u16)`, `B(u32)` and `C([u8; 7])` overlap in bytes 1 to 7: words of 1, 2 and 4 bytes hold them.
    #[test]
    fn fields_that_cross_words_are_put_together_of_bits() {
        let ty = Type::learn::<Op>();
        assert_eq!(words(ty.shape()), "U8@0 U8@1 U16@2 U32@4");
        let view = ty.view().expect("it has been learnt");
        assert_eq!(
            view.fields[0][2],
            FieldWords::Words(vec![Source::Bits(vec![Slice {
                word: 3,
                from: 0,
                width: 16,
                to: 0
            }])])
        );
        assert_eq!(view.fields[1][0], FieldWords::Words(vec![Source::Whole(3)]));
    }

    #[test]
    fn options_lie_as_the_compiler_laid_them() {
        crate::scalar::learn_scalars();
        assert_eq!(words(Type::learn::<Option<u32>>().shape()), "U32@0 U32@4");
        assert_eq!(words(Type::learn::<Option<u8>>().shape()), "U8@0 U8@1");
        assert_eq!(words(Type::learn::<Option<i64>>().shape()), "U64@0 I64@8");
        assert_eq!(words(Type::learn::<Option<bool>>().shape()), "U8@0");
        Type::learn_known::<Box<u8>>();
        assert_eq!(words(Type::learn::<Option<Box<u8>>>().shape()), "Ref@0");
        Type::learn_known::<&str>();
        assert_eq!(words(Type::learn::<Option<&str>>().shape()), "U64@0 U64@8");
    }

    /// Which variant the words of these values are of.
    fn tags<T>(values: &[T]) -> Vec<usize> {
        let ty = Type::of::<T>();
        let tag = |value| crate::assembly::tag_of(&crate::assembly::words_at(ty, value), ty);
        values.iter().map(tag).collect()
    }

    #[repr(u8)]
    #[allow(dead_code, reason = "its layout matters")]
    enum Failure {
        At(u64) = 3,
        With(String),
        Nothing,
    }

    impl TypeIsJit for Failure {
        fn shape() -> TypeShape {
            Type::learn::<String>();
            TypeShape::Enum {
                name: "Failure",
                variants: vec![
                    variant("At", 3, vec![field::<u64>("0", 0)]),
                    variant("With", 4, vec![field::<String>("0", 0)]),
                    variant("Nothing", 5, vec![]),
                ],
            }
        }
    }

    #[test]
    fn niches_are_found_by_their_effect() {
        crate::scalar::learn_scalars();
        Type::learn::<String>();
        let text = || String::from("text");
        assert!(Type::learn::<Option<String>>().shape().direct);
        assert_eq!(tags(&[None, Some(text()), Some(String::new())]), [0, 1, 1]);
        // The `u32` lies within the string's pointer.
        let mixed = Type::learn::<Result<u32, String>>();
        assert_eq!(words(mixed.shape()), "U64@0 U64@8 U64@16 U64@24");
        assert_eq!(
            tags(&[Ok(0), Ok(u32::MAX), Err(text()), Err(String::new())]),
            [0, 0, 1, 1]
        );
        Type::learn::<Failure>();
        assert!(Type::learn::<Result<(), Failure>>().shape().direct);
        assert!(Type::learn::<Result<u8, Failure>>().shape().direct);
        let values = [
            Ok(0u8),
            Ok(7),
            Err(Failure::At(0)),
            Err(Failure::With(text())),
            Err(Failure::Nothing),
        ];
        assert_eq!(tags(&values), [0, 0, 1, 1, 1]);
        assert_eq!(
            tags(&[Ok(()), Err(Failure::At(u64::MAX)), Err(Failure::Nothing)]),
            [0, 1, 1]
        );
    }

    #[test]
    fn niches_of_types_that_are_not_known() {
        crate::scalar::learn_scalars();
        assert!(Type::learn::<Result<u64, std::io::Error>>().shape().direct);
        let error = || std::io::Error::other("why");
        assert_eq!(tags(&[Ok(0u64), Ok(u64::MAX), Err(error())]), [0, 0, 1]);
        assert_eq!(words(Type::learn::<Result<(), std::io::Error>>().shape()), "U64@0");
        assert_eq!(tags(&[Ok(()), Err(error())]), [0, 1]);
        let ty = Type::learn::<Result<u8, Unknown>>();
        assert_eq!(words(ty.shape()), "U8@0 U8@1 U16@2 U32@4 U64@8 U64@16");
        let values = [
            Ok(0u8),
            Ok(255),
            Err(Unknown::Small(1)),
            Err(Unknown::Large(0, 9)),
            Err(Unknown::Io(error())),
        ];
        assert_eq!(tags(&values), [0, 0, 1, 1, 1]);
    }

    #[allow(dead_code, reason = "its layout matters")]
    enum Unknown {
        Small(u8),
        Large(u64, u64),
        Io(std::io::Error),
    }

    #[test]
    fn what_cannot_be_found_is_left_to_native_code() {
        crate::scalar::learn_scalars();
        type Count = std::num::NonZero<u8>;
        let ty = Type::learn::<Result<Count, Count>>();
        assert!(!ty.shape().direct);
        let count = Count::new(5).expect("it is not 0");
        assert_eq!(tags(&[Ok(count), Err(count)]), [0, 1]);
    }

    #[test]
    fn a_shape_settled_early_is_an_image_in_which_parts_are_found() {
        let ty = Type::of::<Result<u32, u16>>();
        assert_eq!(words(ty.shape()), "U64@0");
        crate::scalar::learn_scalars();
        Type::learn::<Result<u32, u16>>();
        let view = ty.view().expect("it has been learnt");
        assert_eq!(
            view.fields[0][0],
            FieldWords::Words(vec![Source::Bits(vec![Slice {
                word: 0,
                from: 32,
                width: 32,
                to: 0
            }])])
        );
        assert_eq!(words(Type::of::<Image>().shape()), "U64@0 U64@8");
        let _ = |image: Image| image.0;
    }
}
