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
//! What lets `i4` be `i3` is ownership ([`metatrace_ir::ownership`]): the frame is behind a `&mut`, and neither `p1` nor the
//! call can reach it.
//!
//! Absent: stores that are delayed or removed because a later one overwrites them.

use crate::context::Context;
use crate::range::Range;
use crate::{Decision, Pass};
use metatrace_ir::ownership::{Content, Contents, Values};
use metatrace_ir::{Class, Kind, Op, Opcode, Ref, Word};

/// The rules of this pass.
pub(crate) const RULES: &[&str] = &[
    "forward_load",
    "forward_store",
    "forward_truncated",
    "forward_bits",
    "redundant_store",
];

#[derive(Default)]
pub(crate) struct Heap {
    contents: Contents,
}

impl Pass for Heap {
    fn visit(&mut self, op: &Op, context: &mut Context) -> Decision {
        match op.opcode.class() {
            Class::Load => match self.contents.of_op(op, context) {
                Some(content) => forwarded(&content, op, context),
                None => Decision::Keep,
            },
            Class::Store => {
                let value = *op.args.last().expect("a store has a value");
                match self.contents.of_op(op, context) {
                    Some(content) if context.resolve(content.value) == value => Decision::Remove("redundant_store"),
                    _ => Decision::Keep,
                }
            }
            _ => Decision::Keep,
        }
    }

    fn emitted(&mut self, op: &Op, value: Ref, context: &mut Context) {
        self.contents.observe(op, value, context);
    }

    fn learned(&mut self, value: Ref, constant: Ref, _context: &Context) {
        self.contents.learned(value, constant);
    }

    fn start(&mut self, before: &[Ref], behind: &[Ref], context: &mut Context) {
        match context.derived() {
            Some(derived) => self.contents = Contents::new(context.roots(), derived),
            None => self.contents.start(before, behind, context.roots()),
        }
    }
}

impl Values for Context {
    fn bits(&self, value: Ref) -> Option<u64> {
        Context::bits(self, value)
    }

    fn definition(&self, value: Ref) -> Option<&Op> {
        Context::definition(self, value)
    }

    /// Small numbers and those of narrow types are no addresses.
    fn may_be_address(&self, value: Ref) -> bool {
        let narrow = Range::new(-(1 << 31), (1 << 32) - 1);
        match self.kind(value) {
            Kind::Float => false,
            Kind::Ref => Context::bits(self, value) != Some(0),
            Kind::Int if value.is_const() => !self.range(value).within(Range::new(-4096, 4096)),
            Kind::Int => !self.range(value).within(narrow),
        }
    }
}

/// The load of a place that is known to hold this.
fn forwarded(content: &Content, op: &Op, context: &mut Context) -> Decision {
    let wanted = match op.descr().as_ref() {
        metatrace_ir::Descr::Field(field) => field.word,
        descr => descr.array().word,
    };
    let value = context.resolve(content.value);
    let held = content.word();
    let whole = Decision::Equal(
        if content.stored {
            "forward_store"
        } else {
            "forward_load"
        },
        value,
    );
    match (held.kind(), wanted.kind()) {
        (held, wanted) if held != wanted => bits_of(value, wanted, context),
        (Kind::Int, _) if held == wanted && !content.stored => whole,
        (Kind::Int, _) if wanted.size() == 8 || context.range(value).within(Range::of_word(wanted)) => whole,
        (Kind::Int, _) => Decision::Replace("forward_truncated", truncated(value, wanted, context)),
        _ => whole,
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
