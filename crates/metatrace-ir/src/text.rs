//! The textual form of traces: one syntax for logs, tests and tools.
//!
//! ```text
//! # root p0 = exclusive
//! # derived i1 = below p0
//! # word i1 = length
//! # descr Point.x = field(offset=8, u8, frozen, pointee=owned)
//! # descr Point = size(16, align=8, vtable=0x1000, memory=gc)
//! # descr Tape = array(item_size=8, offset=0, i64)
//! # descr put = call(args=pi, result=i, effect=arguments, can_panic)
//! [p0, i1]
//! label(p0, i1, descr=TargetToken(1))
//! i2 = getfield_gc_i(p0, descr=Point.x)
//! i3 = int_lt(i2, 10)
//! guard_true(i3, descr=<Guard0x1f>) [j0@12: p0, i2 | j3@7: i1, 5]
//! debug_merge_point(0, 0, 'add')
//! jump(p0, i2, descr=TargetToken(1))
//! ```
//!
//! **Full form**: header lines declare roots, what derives from them, narrow ints, and descriptors, so that parsing what was printed gives an equal trace. A
//! guard lists its frames, outermost first: jitcode, position, live values; a trace written by hand just lists values.
//! Sunk operations begin with `sunk`; sunk stores have names that begin with `s`, by which guards list those that are
//! pending, in braces behind the frames. Guards that may fail although what was recorded holds begin with `early`.
//! A fact that has its default is left out: `memory=rust`, `pointee=unknown`, `align=8`, an array's `offset=0`, no
//! `args`. Two descriptors of one name get different labels, and the second a `name=`. Names are quoted where they are
//! not plain.
//!
//! **Log form**: what PyPy's log tools read. Descriptors stand inline (`<FieldU Point.x 8 pure u8>`), a guard lists the
//! values its exit needs, operations unknown to RPython look like calls, lines may carry the offsets of their code. It
//! parses, but has lost frames, roots, sunk operations, which guards are early, and what of names and locations RPython's reader does not bear.
//!
//! Constants: integers are decimal (`0x…` parses too), pointers `ConstPtr(0x…)` and `ConstPtr(null)`, green ones
//! `GreenPtr(0x…)` and, as data pointers, `GreenInt(0x…)` (in the full form); floats have a point, an exponent or are `inf`;
//! a NaN is `float(0x…)` with its bits. Value names are `i`, `p` or `f` and a number without
//! meaning.

#[cfg(feature = "parse")]
mod parse;
mod print;

#[cfg(feature = "parse")]
pub use parse::{ParseError, parse, parse_located};
pub use print::{Offsets, PrintOptions, Printed, Style};

use crate::descr::{Effect, Memory, Pointee, Word};
use crate::trace::{Reach, RootKind};

/// A word of the syntax for each variant of an enum, in both directions.
macro_rules! words {
    ($name:ident: $of:ty { $($variant:path => $word:literal),* $(,)? }) => {
        mod $name {
            use super::*;
            pub(super) fn word(value: $of) -> &'static str {
                match value { $($variant => $word),* }
            }
            #[cfg(feature = "parse")]
            pub(super) fn parse(word: &str) -> Option<$of> {
                match word { $($word => Some($variant),)* _ => None }
            }
            #[cfg(feature = "parse")]
            pub(super) const ALL: &str = concat!($($word, " "),*);
        }
    };
}

words!(words: Word {
    Word::U8 => "u8", Word::U16 => "u16", Word::U32 => "u32", Word::U64 => "u64", Word::Length => "length",
    Word::I8 => "i8", Word::I16 => "i16", Word::I32 => "i32", Word::I64 => "i64",
    Word::Ref => "ref", Word::F64 => "f64",
});
words!(memories: Memory { Memory::Rust => "rust", Memory::Raw => "raw", Memory::Gc => "gc" });
words!(pointees: Pointee {
    Pointee::Unknown => "unknown", Pointee::Owned => "owned", Pointee::Exclusive => "exclusive",
    Pointee::Shared => "shared", Pointee::Counted => "counted", Pointee::Mixed => "mixed",
});
words!(effects: Effect {
    Effect::Elidable => "elidable", Effect::Arguments => "arguments", Effect::Any => "any",
});
words!(roots: RootKind {
    RootKind::Exclusive => "exclusive", RootKind::Shared => "shared", RootKind::Green => "green",
});

words!(reaches: Reach { Reach::Inside => "inside", Reach::Below => "below", Reach::Perhaps => "perhaps" });

/// The letter that begins the names of sunk stores.
const SUNK_STORE: char = 's';

/// Whether a name can stand in the full form without quotes.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('<')
        && name
            .chars()
            .all(|c| !c.is_whitespace() && !c.is_control() && !"(),=#\"'\\".contains(c))
}

/// How an operation that RPython does not know looks in the log form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum LogName {
    /// Its own name.
    Own,
    /// Another name with the same operands.
    Renamed(&'static str),
    /// A call of a function of the operation's name.
    Call,
    /// `guard_true(0)`.
    FailingGuard,
}

fn log_name(opcode: crate::Opcode) -> LogName {
    use crate::Opcode::*;
    match opcode {
        IntFloordiv | IntMod | UintFloordiv | UintMod | IntClz | IntCtz | IntPopcount | FloatSqrt | CastFloatToUint
        | CastUintToFloat | PtrField | PtrItem | Alloca => LogName::Call,
        GetarrayitemRawR => LogName::Renamed("getarrayitem_gc_r"),
        GuardAlwaysFails => LogName::FailingGuard,
        _ => LogName::Own,
    }
}
