//! What is known of Rust types, learnt as twins run.
//!
//! A type is known by its [`TypeInfo`], one for each type and thread, which lives as long as the thread: there are as many
//! as the source names types. Lifetimes do not tell types apart. What a type consists of ([`TypeShape`]) is learnt from
//! its derive, from the std types that the runtime knows, from constructors; the [`Shape`] that its values have in
//! registers is settled when the first value is made, and never changes.

use crate::assembly::{Assembly, SumAccess};
use crate::shape::{Shape, View};
use crate::shims::DropShims;
use metatrace_ir::{Pointee, Word};
use rustc_hash::FxHashMap;
use std::any::TypeId;
use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

/// A type.
#[derive(Clone, Copy)]
pub struct Type(&'static TypeInfo);

impl PartialEq for Type {
    fn eq(&self, other: &Type) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Type {}

impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name)
    }
}

impl std::ops::Deref for Type {
    type Target = TypeInfo;

    fn deref(&self) -> &TypeInfo {
        self.0
    }
}

/// Facts of a type.
pub struct TypeInfo {
    /// Readable, without module paths, white space, commas and `#`.
    pub(crate) name: String,
    pub(crate) size: u32,
    pub(crate) align: u32,
    /// Whether some bit patterns of the type are no values, which `Option` may use.
    pub(crate) has_niche: bool,
    /// How to drop a value, where there is anything to drop.
    pub(crate) drop: Option<DropShims>,
    structure: OnceCell<TypeShape>,
    /// A pointer to a slice whose items are not of size zero.
    has_sized_items: Cell<bool>,
    learning: Cell<bool>,
    shape: OnceCell<Shape>,
    view: OnceCell<View>,
    assembly: OnceCell<Assembly>,
}

/// A scalar's interpretation of its word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scalar {
    #[allow(missing_docs)]
    U8,
    #[allow(missing_docs)]
    U16,
    #[allow(missing_docs)]
    U32,
    #[allow(missing_docs)]
    U64,
    #[allow(missing_docs)]
    I8,
    #[allow(missing_docs)]
    I16,
    #[allow(missing_docs)]
    I32,
    #[allow(missing_docs)]
    I64,
    #[allow(missing_docs)]
    F64,
    #[allow(missing_docs)]
    Bool,
    #[allow(missing_docs)]
    Char,
}

impl Scalar {
    /// Its word in memory.
    pub(crate) fn word(self) -> Word {
        match self {
            Scalar::U8 | Scalar::Bool => Word::U8,
            Scalar::U16 => Word::U16,
            Scalar::U32 | Scalar::Char => Word::U32,
            Scalar::U64 => Word::U64,
            Scalar::I8 => Word::I8,
            Scalar::I16 => Word::I16,
            Scalar::I32 => Word::I32,
            Scalar::I64 => Word::I64,
            Scalar::F64 => Word::F64,
        }
    }
}

/// A word of a type whose layout the runtime has probed.
#[derive(Clone, Copy, Debug)]
pub struct KnownWord {
    pub(crate) name: &'static str,
    pub(crate) offset: u32,
    pub(crate) word: Word,
    pub(crate) pointee: Pointee,
}

/// What a type consists of. Derives make [`TypeShape::Struct`] and [`TypeShape::Enum`].
pub enum TypeShape {
    /// A number, `bool` or `char`.
    Scalar(Scalar),
    /// A pointer that is never null, `&T`, `&mut T`, `Box<T>`, `Rc<T>`; of two words where the type has 16 bytes.
    Pointer(Pointee),
    /// A raw pointer.
    RawPointer,
    /// Words at known offsets, such as a `Vec`'s.
    Known(Vec<KnownWord>),
    /// A struct or tuple.
    Struct {
        /// The type's name.
        name: &'static str,
        /// Its fields, in the order of declaration.
        fields: Vec<FieldShape>,
    },
    /// A `Cell`, `RefCell` or the like: a struct whose content changes behind shared references.
    Cell(Vec<FieldShape>),
    /// An enum with `#[repr(u8)]`.
    Enum {
        /// The type's name.
        name: &'static str,
        /// Its variants, in the order of declaration.
        variants: Vec<VariantShape>,
    },
    /// `Option` or `Result`: each variant has one field or none, the compiler chose the layout.
    Sum {
        /// The variants, in the order of their tags.
        variants: Vec<VariantShape>,
        /// How native code sees it.
        access: &'static SumAccess,
    },
    /// An array.
    Array {
        /// The type of its items.
        item: Type,
        /// How many.
        len: usize,
    },
}

/// A field.
#[derive(Clone, Copy, Debug)]
pub struct FieldShape {
    pub(crate) name: &'static str,
    pub(crate) offset: u32,
    pub(crate) ty: Type,
}

/// A field of type `F`, `offset` bytes from the start of its struct.
pub fn field<F>(name: &'static str, offset: usize) -> FieldShape {
    FieldShape {
        name,
        offset: offset as u32,
        ty: Type::of::<F>(),
    }
}

/// A variant of an enum.
#[derive(Clone, Debug)]
pub struct VariantShape {
    /// Its name.
    pub name: &'static str,
    /// For tuple variants what `type_name_of_val` says of the constructor, else empty.
    pub ctor: &'static str,
    /// Its tag.
    pub discriminant: u8,
    /// Its fields; the runtime computes their offsets.
    pub fields: Vec<FieldShape>,
}

/// A variant as a derive declares it. All of it is constant: an enum of a hundred variants is a table in the author's crate,
/// and not a function that rustc must compile.
pub struct VariantDecl {
    name: &'static str,
    ctor: fn() -> &'static str,
    discriminant: Option<u8>,
    fields: &'static [FieldDecl],
}

/// A field's name and type.
pub type FieldDecl = (&'static str, fn() -> Type);

impl VariantDecl {
    /// A variant; without a discriminant of its own it has the one after the last variant's.
    pub const fn new(
        name: &'static str,
        ctor: fn() -> &'static str,
        discriminant: Option<u8>,
        fields: &'static [FieldDecl],
    ) -> VariantDecl {
        VariantDecl {
            name,
            ctor,
            discriminant,
            fields,
        }
    }
}

/// What tells the name of a variant's constructor.
pub const fn ctor_name<F>(_: &F) -> fn() -> &'static str {
    std::any::type_name::<F>
}

/// That of a variant without one.
pub fn no_ctor() -> &'static str {
    ""
}

/// The shape of an enum.
pub fn enum_shape(name: &'static str, variants: &[VariantDecl]) -> TypeShape {
    let mut next = 0u8;
    let variant = |decl: &VariantDecl| {
        let discriminant = decl.discriminant.unwrap_or(next);
        next = discriminant.wrapping_add(1);
        let field = |&(name, ty): &FieldDecl| FieldShape {
            name,
            offset: 0,
            ty: ty(),
        };
        VariantShape {
            name: decl.name,
            ctor: (decl.ctor)(),
            discriminant,
            fields: decl.fields.iter().map(field).collect(),
        }
    };
    TypeShape::Enum {
        name,
        variants: variants.iter().map(variant).collect(),
    }
}

/// Types that patterns take apart and whose shape the JIT knows: those with a derive, scalars, tuples, `Option` …
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not known to the JIT",
    label = "mark the type `#[jit]`, or leave what needs its inside to a function marked `#[jit::dont_look_inside]`"
)]
pub trait TypeIsJit: Sized {
    /// What the type consists of.
    fn shape() -> TypeShape;
}

/// Types that patterns look through, or that coerce further, and whose shape the JIT knows: references, `Box`, `Vec` …
pub trait KnownType: Sized {
    /// What the type consists of.
    fn known_shape() -> TypeShape;
}

thread_local! {
    static TYPES: RefCell<FxHashMap<TypeId, Type>> = RefCell::default();
    static NAMES: RefCell<FxHashMap<TypeId, Rc<str>>> = RefCell::default();
}

/// The readable name of a type that may be unsized.
pub(crate) fn name_of<T: ?Sized>() -> Rc<str> {
    readable(typeid::of::<T>(), std::any::type_name::<T>())
}

fn readable(id: TypeId, name: &str) -> Rc<str> {
    let short = || short_name(name).into();
    NAMES.with_borrow_mut(|names| names.entry(id).or_insert_with(short).clone())
}

/// What rustc knows of a type.
struct Facts {
    name: &'static str,
    size: usize,
    align: usize,
    has_niche: bool,
    drop: Option<DropShims>,
}

impl Type {
    /// The type `T`.
    #[inline(never)]
    pub fn of<T>() -> Type {
        let facts = Facts {
            name: std::any::type_name::<T>(),
            size: size_of::<T>(),
            align: align_of::<T>(),
            has_niche: size_of::<Option<T>>() == size_of::<T>(),
            drop: DropShims::of::<T>(),
        };
        Type::known(typeid::of::<T>(), facts)
    }

    fn known(id: TypeId, facts: Facts) -> Type {
        let make = || TypeInfo {
            name: short_name(facts.name),
            size: u32::try_from(facts.size).expect("types are smaller than 4 GiB"),
            align: facts.align as u32,
            has_niche: facts.has_niche,
            drop: facts.drop,
            structure: OnceCell::new(),
            has_sized_items: Cell::new(false),
            learning: Cell::new(false),
            shape: OnceCell::new(),
            view: OnceCell::new(),
            assembly: OnceCell::new(),
        };
        TYPES.with_borrow_mut(|types| *types.entry(id).or_insert_with(|| Type(Box::leak(Box::new(make())))))
    }

    /// The type `T`, whose shape is learnt.
    #[inline(never)]
    pub fn learn<T: TypeIsJit>() -> Type {
        Type::of::<T>().learn_from(T::shape)
    }

    /// The same for pointers and sequences.
    #[inline(never)]
    pub fn learn_known<T: KnownType>() -> Type {
        Type::of::<T>().learn_from(T::known_shape)
    }

    #[inline(never)]
    fn learn_from(self, shape: fn() -> TypeShape) -> Type {
        // A derive's `shape` learns the types of its fields, which may lead back here.
        if self.0.structure.get().is_none() && !self.0.learning.replace(true) {
            let shape = shape().with_offsets();
            let _ = self.0.structure.set(shape);
        }
        self
    }

    /// Learns of pointers to slices of `T` whether they have items of a size.
    pub(crate) fn learn_items<T>() {
        let is_sized = size_of::<T>() > 0;
        for pointer in [Type::of::<&[T]>(), Type::of::<&mut [T]>(), Type::of::<Box<[T]>>()] {
            pointer.0.has_sized_items.set(is_sized);
        }
    }

    /// Whether it is a pointer to a slice, known to have items of a size, so that no slice is longer than `isize::MAX`.
    pub(crate) fn has_sized_items(self) -> bool {
        self.0.has_sized_items.get()
    }

    /// What it consists of, where that is known.
    pub(crate) fn structure(self) -> Option<&'static TypeShape> {
        self.0.structure.get()
    }

    /// The words of its values, settled now.
    pub(crate) fn shape(self) -> &'static Shape {
        self.0.shape.get_or_init(|| Shape::of(self))
    }

    /// Where the parts of its values are found in their words, where its structure is known.
    pub(crate) fn view(self) -> Option<&'static View> {
        let structure = self.structure()?;
        Some(self.0.view.get_or_init(|| View::of(self, structure)))
    }

    /// How its values in memory and their words are made of each other.
    pub(crate) fn assembly(self) -> &'static Assembly {
        self.0.assembly.get_or_init(|| Assembly::of(self))
    }

    /// Whether its values are pointers that are never null, which gives `Option` a guaranteed layout.
    pub(crate) fn is_pointer(self) -> bool {
        matches!(self.structure(), Some(TypeShape::Pointer(_)))
    }
}

impl TypeShape {
    /// Puts the fields of enums where `#[repr(u8)]` does: a union of `repr(C)` structs that begin with the tag.
    fn with_offsets(mut self) -> TypeShape {
        if let TypeShape::Enum { variants, .. } = &mut self {
            for variant in variants {
                let mut end = 1;
                for field in &mut variant.fields {
                    field.offset = u32::next_multiple_of(end, field.ty.align);
                    end = field.offset + field.ty.size;
                }
            }
        }
        self
    }

    /// The variants of an enum; a struct is its own only one.
    pub(crate) fn fields(&self, variant: usize) -> &[FieldShape] {
        match self {
            TypeShape::Struct { fields, .. } | TypeShape::Cell(fields) => fields,
            TypeShape::Enum { variants, .. } | TypeShape::Sum { variants, .. } => &variants[variant].fields,
            _ => &[],
        }
    }

    /// Where the fields of a variant lie, native code willing to tell.
    pub(crate) fn payload_ranges(&self, variant: usize) -> impl Iterator<Item = Range<u32>> {
        let payload = match self {
            TypeShape::Sum { variants, access } => access.layout(variants).payload(variant),
            _ => None,
        };
        let range = move |field: &FieldShape| {
            let start = payload.unwrap_or(field.offset);
            start..start + field.ty.size
        };
        self.fields(variant).iter().map(range)
    }

    pub(crate) fn variants(&self) -> &[VariantShape] {
        match self {
            TypeShape::Enum { variants, .. } | TypeShape::Sum { variants, .. } => variants,
            _ => &[],
        }
    }
}

/// `alloc::vec::Vec<a::B<u8, c::D>>` becomes `Vec<B<u8;D>>`.
pub(crate) fn short_name(name: &str) -> String {
    let mut short = String::new();
    let mut segment = String::new();
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ':' if chars.peek() == Some(&':') => {
                chars.next();
                segment.clear();
            }
            c if c.is_alphanumeric() || c == '_' => segment.push(c),
            c => {
                short.push_str(&std::mem::take(&mut segment));
                match c {
                    ',' => short.push(';'),
                    ' ' | '#' => {}
                    c => short.push(c),
                }
            }
        }
    }
    short + &segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_printable() {
        assert_eq!(short_name("alloc::vec::Vec<a::B<u8, c::D>>"), "Vec<B<u8;D>>");
        assert_eq!(
            short_name("&mut [core::option::Option<(u8, i64)>]"),
            "&mut[Option<(u8;i64)>]"
        );
    }
}
