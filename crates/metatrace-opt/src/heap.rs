//! Loads and stores: a load of what is known to be in memory is that value, and a store of it is nothing.
//!
//! ```text
//! # root p0 = exclusive
//! [p0, p1, i2]                                   [p0, p1, i2]
//! i3 = getfield_gc_i(p0, descr=Frame.pc)         i3 = getfield_gc_i(p0, descr=Frame.pc)
//! setfield_gc(p1, i2, descr=Cell.value)     ──▶  setfield_gc(p1, i2, descr=Cell.value)
//! call_n(4096, p1, descr=put)                    call_n(4096, p1, descr=put)
//! i4 = getfield_gc_i(p0, descr=Frame.pc)         jump(i3, …)
//! jump(i4, …)
//! ```
//!
//! What lets `i4` be `i3` is ownership ([`alias`]): the frame is behind a `&mut`, and neither `p1` nor the call can reach
//! it. Every pointer has *regions* that it may point into: below one exclusive root or allocation, or the unknown rest.
//!
//! | memory | killed by |
//! |---|---|
//! | below an exclusive root, on a frozen path | stores that may overlap it; a call that gets a pointer into it, or one into memory where such a pointer was stored; storing such a pointer elsewhere |
//! | an allocation whose address has not escaped | stores that may overlap it |
//! | frozen paths below a shared or green root | nothing |
//! | the rest | stores that may overlap it; calls with any effect, and those on their arguments' memory that get any pointer |
//! | raw memory and atomics | never remembered |
//!
//! A pointer stored or passed on may live on, but not beyond the next access through its root: Rust's rules for
//! references see to that. So it is enough to forget the root's memory at the moment when the pointer leaves.
//!
//! Only the last [`CAPACITY`] accesses are remembered, so that each operation takes constant time. Absent: stores that are
//! delayed or removed because a later one overwrites them, and facts by type (two objects of one type with different
//! fields).

mod alias;

use crate::context::Context;
use crate::range::Range;
use crate::{Decision, Pass};
use alias::{Access, Aliases, Place, Regions};
use metatrace_ir::{CallDescr, Class, Descr, Effect, Kind, Memory, Op, Opcode, Ref, Word};
use rustc_hash::FxHashMap;

/// The rules of this pass.
pub(crate) const RULES: &[&str] = &[
    "forward_load",
    "forward_frozen_load",
    "forward_store",
    "forward_truncated",
    "forward_bits",
    "redundant_store",
];

/// Accesses that are remembered at a time.
const CAPACITY: usize = 256;

/// What memory holds at a place.
#[derive(Clone, Copy)]
struct Content {
    access: Access,
    value: Ref,
    /// Whether the value came from a store, so that a narrow place holds only its low bytes.
    stored: bool,
}

#[derive(Default)]
pub(crate) struct Heap {
    aliases: Aliases,
    contents: Vec<Content>,
    /// Where the next content goes when all places are taken.
    oldest: usize,
    /// What never changes.
    frozen: FxHashMap<(Place, Word), Ref>,
}

impl Pass for Heap {
    fn visit(&mut self, op: &Op, context: &mut Context) -> Decision {
        match op.opcode.class() {
            Class::Load => self.load(op, context),
            Class::Store => self.store(op, context),
            _ => Decision::Keep,
        }
    }

    fn emitted(&mut self, op: &Op, value: Ref, context: &mut Context) {
        self.aliases.define(op, value, context);
        match op.opcode.class() {
            Class::Load => self.loaded(op, value, context),
            Class::Store => self.stored(op, context),
            Class::Call => self.call(op, context),
            _ => {}
        }
    }

    fn learned(&mut self, value: Ref, constant: Ref, _context: &Context) {
        self.aliases.learned(value, constant);
    }

    fn start(&mut self, before: &[Ref], behind: &[Ref], context: &mut Context) {
        self.contents.clear();
        self.frozen.clear();
        self.aliases.start(before, behind, context.roots());
    }
}

impl Heap {
    fn load(&mut self, op: &Op, context: &mut Context) -> Decision {
        let Some((access, Memory::Rust | Memory::Gc)) = self.aliases.access(op, context) else {
            return Decision::Keep;
        };
        if access.is_frozen
            && let Some(&value) = self.frozen.get(&(access.place, access.word))
        {
            return Decision::Equal("forward_frozen_load", context.resolve(value));
        }
        let Some(content) = self.content_at(&access) else {
            return Decision::Keep;
        };
        let value = context.resolve(content.value);
        let (held, wanted) = (content.access.word, access.word);
        match (held.kind(), wanted.kind()) {
            (held, wanted) if held != wanted => bits_of(value, wanted, context),
            (Kind::Int, _) if held == wanted && !content.stored => Decision::Equal("forward_load", value),
            (Kind::Int, _) if context.range(value).within(Range::of_word(wanted)) => Decision::Equal(
                if content.stored {
                    "forward_store"
                } else {
                    "forward_load"
                },
                value,
            ),
            (Kind::Int, _) => Decision::Replace("forward_truncated", truncated(value, wanted, context)),
            _ => Decision::Equal(
                if content.stored {
                    "forward_store"
                } else {
                    "forward_load"
                },
                value,
            ),
        }
    }

    fn store(&mut self, op: &Op, context: &mut Context) -> Decision {
        let Some((access, Memory::Rust | Memory::Gc)) = self.aliases.access(op, context) else {
            return Decision::Keep;
        };
        let value = *op.args.last().expect("a store has a value");
        match self.content_at(&access) {
            Some(content) if context.resolve(content.value) == value => Decision::Remove("redundant_store"),
            _ => Decision::Keep,
        }
    }

    /// What is known to be at exactly this place, if possible as a value of the same kind.
    fn content_at(&self, access: &Access) -> Option<Content> {
        let same = |content: &&Content| {
            content.access.place == access.place && content.access.word.size() == access.word.size()
        };
        let mut views = self.contents.iter().filter(same);
        let any = views.clone().next();
        views
            .find(|content| content.access.word.kind() == access.word.kind())
            .or(any)
            .copied()
    }

    fn loaded(&mut self, op: &Op, value: Ref, context: &Context) {
        let Some((access, Memory::Rust | Memory::Gc)) = self.aliases.access(op, context) else {
            return;
        };
        if access.is_frozen {
            self.frozen.insert((access.place, access.word), value);
        } else {
            self.remember(Content {
                access,
                value,
                stored: false,
            });
        }
    }

    fn stored(&mut self, op: &Op, context: &Context) {
        let Some((access, memory)) = self.aliases.access(op, context) else {
            return;
        };
        self.forget(|aliases, content| aliases.may_overlap(&content.access, &access));
        let value = *op.args.last().expect("a store has a value");
        let leaves = self.aliases.store_pointer(value, &access);
        self.forget(|aliases, content| aliases.reaches(leaves, content.access.regions));
        if memory != Memory::Raw {
            self.remember(Content {
                access,
                value,
                stored: true,
            });
        }
    }

    fn call(&mut self, op: &Op, context: &Context) {
        let Some(Descr::Call(descr)) = op.descr.as_deref() else {
            return;
        };
        if descr.effect == Effect::Elidable {
            return;
        }
        let args = &op.args[1..];
        let reached = self.reached(descr, args, context);
        let beyond = self.aliases.beyond_reach(args);
        self.forget(|aliases, content| {
            aliases.reaches(reached, content.access.regions) && !beyond.contains(&content.access)
        });
        self.aliases.escape(reached);
    }

    /// What a call may read and write.
    fn reached(&self, descr: &CallDescr, args: &[Ref], context: &Context) -> Regions {
        let mut reached = Regions::NONE;
        for &arg in args {
            if may_be_pointer(arg, context) {
                reached = reached | self.aliases.pointer(arg).regions | Regions::UNKNOWN;
            }
        }
        if descr.effect == Effect::Any {
            reached = reached | Regions::UNKNOWN;
        }
        self.aliases.closure(reached)
    }

    fn remember(&mut self, content: Content) {
        if self.contents.len() < CAPACITY {
            self.contents.push(content);
            return;
        }
        self.oldest = (self.oldest + 1) % CAPACITY;
        let gone = std::mem::replace(&mut self.contents[self.oldest], content);
        self.aliases.disown(gone.value, &gone.access);
    }

    fn forget(&mut self, killed: impl Fn(&Aliases, &Content) -> bool) {
        // judged before anything is forgotten: what owns what must be as it was
        let aliases = &mut self.aliases;
        let mut gone = Vec::new();
        let judge = &*aliases;
        self.contents.retain(|content| {
            let kill = killed(judge, content);
            if kill {
                gone.push(*content);
            }
            !kill
        });
        for content in gone {
            aliases.disown(content.value, &content.access);
        }
    }
}

/// Whether a word may be an address: small numbers and those of narrow types are not.
fn may_be_pointer(value: Ref, context: &Context) -> bool {
    let narrow = Range::new(-(1 << 31), (1 << 32) - 1);
    match context.kind(value) {
        Kind::Float => false,
        Kind::Ref => context.bits(value) != Some(0),
        Kind::Int if value.is_const() => !context.range(value).within(Range::new(-4096, 4096)),
        Kind::Int => !context.range(value).within(narrow),
    }
}

/// The low bytes of an int, extended as a load of `word` would.
fn truncated(value: Ref, word: Word, context: &mut Context) -> Op {
    let bytes = i64::from(word.size());
    if word.is_signed() {
        let bytes = context.int(bytes);
        Op::new(Opcode::IntSignext, &[value, bytes])
    } else {
        let mask = context.int((1 << (8 * bytes)) - 1);
        Op::new(Opcode::IntAnd, &[value, mask])
    }
}

/// An int seen as a float, or the other way round. No pointer is made of an int, nor the other way round: what is known
/// of where it leads would be lost.
fn bits_of(value: Ref, wanted: Kind, context: &mut Context) -> Decision {
    let opcode = match (context.kind(value), wanted) {
        (Kind::Int, Kind::Float) => Opcode::ConvertLonglongBytesToFloat,
        (Kind::Float, Kind::Int) => Opcode::ConvertFloatBytesToLonglong,
        _ => return Decision::Keep,
    };
    Decision::Replace("forward_bits", Op::new(opcode, &[value]))
}
