//! Descriptors: facts of layout or effect of a field, an array, a size, a call.
//!
//! Descriptors are shared (`Rc`) and compared by content. Two fields or arrays with the same owner, offset and word are
//! one memory location family for alias analysis; different owners say nothing (a struct may be seen through two types).

use crate::value::Kind;
use std::rc::Rc;

/// A shared descriptor.
pub type DescrRef = Rc<Descr>;

/// Which memory a location lies in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Memory {
    /// Owned by Rust: stack, `Box`, `Vec`, `Rc` …; ownership facts apply.
    Rust,
    /// Behind a raw pointer or an atomic: nothing is known.
    Raw,
    /// Managed by the collector.
    Gc,
}

/// The width and meaning of one word in memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Word {
    /// Unsigned integers (`bool` and `char` too): loads zero-extend.
    U8,
    #[allow(missing_docs)]
    U16,
    #[allow(missing_docs)]
    U32,
    /// Unsigned 64 bits: the same bits as `I64`.
    U64,
    /// Unsigned 64 bits, never more than `i64::MAX`: how many items a slice or a `Vec` has, or has room for, if they are not
    /// of size zero.
    Length,
    /// Signed integers: loads sign-extend.
    I8,
    #[allow(missing_docs)]
    I16,
    #[allow(missing_docs)]
    I32,
    #[allow(missing_docs)]
    I64,
    /// A pointer to an object's start.
    Ref,
    /// An `f64`.
    F64,
}

impl Word {
    /// Size in bytes: 1, 2, 4 or 8.
    #[inline]
    pub fn size(self) -> u32 {
        match self {
            Word::U8 | Word::I8 => 1,
            Word::U16 | Word::I16 => 2,
            Word::U32 | Word::I32 => 4,
            Word::U64 | Word::Length | Word::I64 | Word::Ref | Word::F64 => 8,
        }
    }

    /// The kind of register that holds it.
    pub fn kind(self) -> Kind {
        match self {
            Word::Ref => Kind::Ref,
            Word::F64 => Kind::Float,
            _ => Kind::Int,
        }
    }

    /// Whether loads sign-extend.
    pub fn is_signed(self) -> bool {
        matches!(self, Word::I8 | Word::I16 | Word::I32 | Word::I64)
    }

    /// The register content for the low [`size`](Self::size) bytes of `bits`, extended as a load would.
    pub fn extend(self, bits: u64) -> u64 {
        match self {
            Word::U8 => bits as u8 as u64,
            Word::U16 => bits as u16 as u64,
            Word::U32 => bits as u32 as u64,
            Word::I8 => bits as i8 as i64 as u64,
            Word::I16 => bits as i16 as i64 as u64,
            Word::I32 => bits as i32 as i64 as u64,
            Word::U64 | Word::Length | Word::I64 | Word::Ref | Word::F64 => bits,
        }
    }
}

/// What a pointer loaded from a location says of the memory behind it. The optimiser combines it with the root and the
/// path of the pointer it was loaded through.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Pointee {
    /// Not a pointer, or a raw one.
    Unknown,
    /// Owned by the place it was loaded from (`Box`, the buffer of a `Vec`).
    Owned,
    /// A `&mut`.
    Exclusive,
    /// A `&`.
    Shared,
    /// A counted reference (`Rc`, `Arc`).
    Counted,
    /// An owning pointer at times, at others anything else: a word that variants of an enum share, or of a memory image.
    Mixed,
}

impl Pointee {
    /// Whether the word may own what it leads to.
    pub fn may_own(self) -> bool {
        match self {
            Pointee::Owned | Pointee::Exclusive | Pointee::Mixed => true,
            Pointee::Unknown | Pointee::Shared | Pointee::Counted => false,
        }
    }

    /// Of a word that is at times one of these, at others the other.
    pub fn or(self, other: Pointee) -> Pointee {
        match (self, other) {
            (one, same) if one == same => one,
            (one, other) if one.may_own() || other.may_own() => Pointee::Mixed,
            _ => Pointee::Unknown,
        }
    }
}

/// A field at a fixed offset from an object's start.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FieldDescr {
    /// Readable name, `Owner.field`; no comma, `#` or white space.
    pub name: String,
    /// Byte offset from the pointer operand.
    pub offset: u32,
    /// What is stored there.
    pub word: Word,
    /// Memory kind.
    pub memory: Memory,
    /// Whether the path from the pointer operand to the field crosses no `Cell`, `RefCell`, atomic or raw pointer.
    pub frozen: bool,
    /// What the loaded word points to.
    pub pointee: Pointee,
}

/// Items of an array, or one word of each item where items are larger: item `i` is at
/// `base + i * item_size + offset`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ArrayDescr {
    /// Readable name; no comma, `#` or white space.
    pub name: String,
    /// Distance of two items in bytes.
    pub item_size: u32,
    /// Offset of the word within an item.
    pub offset: u32,
    /// What is stored there.
    pub word: Word,
    /// Memory kind.
    pub memory: Memory,
    /// As for fields, from the data pointer.
    pub frozen: bool,
    /// What the loaded word points to.
    pub pointee: Pointee,
}

/// The size of an allocation, or of a frame slot.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SizeDescr {
    /// Readable name; no comma, `#` or white space.
    pub name: String,
    /// Size in bytes.
    pub size: u32,
    /// Alignment in bytes, a power of two, at most 16.
    pub align: u32,
    /// Address of the type's identity, for `new_with_vtable`.
    pub vtable: Option<u64>,
    /// Memory kind.
    pub memory: Memory,
}

/// What a call may do beyond its result.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Effect {
    /// Same arguments, same result, no side effect. It may read what its arguments lead to, as long as that does not change
    /// from one call with these arguments to the next.
    Elidable,
    /// Reads and writes only what its pointer arguments reach.
    Arguments,
    /// Anything.
    Any,
}

/// A residual call.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CallDescr {
    /// Readable name of the callee; no comma, `#` or white space.
    pub name: String,
    /// Kinds of the arguments after the function address; at most [`CallDescr::MAX_ARGS`], never `Float`.
    pub args: Vec<Kind>,
    /// Kind of the result: `Int`, `Ref` or none.
    pub result: Option<Kind>,
    /// What it may do.
    pub effect: Effect,
    /// Whether it may panic; then a `guard_no_exception` follows the call.
    pub can_panic: bool,
}

impl CallDescr {
    /// Arguments a shim takes in registers; what is more travels through a frame slot.
    pub const MAX_ARGS: usize = 6;
}

/// Identifies a label that `jump` may go to; unique within a driver.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct TargetToken(pub u32);

/// A descriptor.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Descr {
    #[allow(missing_docs)]
    Field(FieldDescr),
    #[allow(missing_docs)]
    Array(ArrayDescr),
    #[allow(missing_docs)]
    Size(SizeDescr),
    #[allow(missing_docs)]
    Call(CallDescr),
    /// The identity of a `label`, and where a `jump` goes.
    Target(TargetToken),
    /// The text of a `debug_merge_point`: call depth, call number, location.
    Location(u32, u32, String),
}

impl Descr {
    /// The field descriptor. Panics on another kind: the verifier has let a wrong operation through.
    pub fn field(&self) -> &FieldDescr {
        match self {
            Descr::Field(field) => field,
            other => panic!("not a field descriptor: {other:?}"),
        }
    }

    /// The array descriptor. Panics on another kind.
    #[inline]
    pub fn array(&self) -> &ArrayDescr {
        match self {
            Descr::Array(array) => array,
            other => panic!("not an array descriptor: {other:?}"),
        }
    }

    /// The word in a field or item; `None` for a descriptor of no memory location.
    #[inline]
    pub fn word(&self) -> Option<Word> {
        match self {
            Descr::Field(field) => Some(field.word),
            Descr::Array(array) => Some(array.word),
            _ => None,
        }
    }

    /// What the word in a field or item points to. Panics on a descriptor of no memory location.
    #[inline]
    pub fn pointee(&self) -> Pointee {
        match self {
            Descr::Field(field) => field.pointee,
            Descr::Array(array) => array.pointee,
            other => panic!("not a memory location: {other:?}"),
        }
    }

    /// The size descriptor. Panics on another kind.
    pub fn size(&self) -> &SizeDescr {
        match self {
            Descr::Size(size) => size,
            other => panic!("not a size descriptor: {other:?}"),
        }
    }

    /// The call descriptor. Panics on another kind.
    pub fn call(&self) -> &CallDescr {
        match self {
            Descr::Call(call) => call,
            other => panic!("not a call descriptor: {other:?}"),
        }
    }

    /// The target token. Panics on another kind.
    pub fn target(&self) -> TargetToken {
        match self {
            Descr::Target(token) => *token,
            other => panic!("not a target token: {other:?}"),
        }
    }
}
