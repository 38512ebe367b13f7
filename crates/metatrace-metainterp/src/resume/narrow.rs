//! Which ints at a guard are narrow, from where they come: what a bridge may know of its inputs.
//!
//! Loads of narrow words, masks, sign extensions and comparisons say so, and what is declared of inputs. What is stored as
//! the length of a `Vec` is one. Absent: sums of such, which only the optimiser's ranges tell.

use crate::assemble::is_narrow;
use metatrace_ir::{Class, Descr, InputWord, Opcode, Ref, Trace, Word};

/// What is known while a walk goes over a trace.
#[derive(Default)]
pub(super) struct Narrow {
    /// By value.
    words: Vec<Option<Word>>,
}

impl Narrow {
    /// Goes to the start of a trace.
    pub(super) fn restart(&mut self, trace: &Trace) {
        self.words.clear();
        self.words.resize(trace.value_count(), None);
        for InputWord { value, word } in trace.words.iter().filter(|narrow| is_narrow(narrow.word)) {
            self.words[value.as_value().expect("an input")] = Some(*word);
        }
    }

    /// Of the exit's values, which become the inputs of a bridge.
    pub(super) fn inherited(&self, exit: &[Ref], inherited: &mut Vec<InputWord>) {
        let narrow = |(n, value): (usize, &Ref)| {
            let word = self.words[value.as_value()?]?;
            Some(InputWord {
                value: Ref::value(n),
                word,
            })
        };
        inherited.extend(exit.iter().enumerate().filter_map(narrow));
    }

    /// Goes over operation `n`.
    pub(super) fn follow(&mut self, trace: &Trace, n: usize) {
        let op = &trace.ops[n];
        let held = op.descr.as_deref().and_then(Descr::word);
        let operand = |n: usize| trace.as_const(op.args[n]).map(|constant| constant.bits);
        let word = match op.opcode {
            opcode if opcode.class() == Class::Load => held.filter(|word| is_narrow(*word)),
            opcode if opcode.is_comparison() => Some(Word::U8),
            Opcode::IntAnd => operand(1).and_then(|mask| match mask {
                0..=0xff => Some(Word::U8),
                0x100..=0xffff => Some(Word::U16),
                0x1_0000..=0xffff_ffff => Some(Word::U32),
                _ => None,
            }),
            Opcode::IntSignext => operand(1).and_then(|bytes| match bytes {
                1 => Some(Word::I8),
                2 => Some(Word::I16),
                4 => Some(Word::I32),
                _ => None,
            }),
            Opcode::Label => return self.forget(trace, &op.args),
            opcode if opcode.class() == Class::Store && held == Some(Word::Length) => {
                let stored = op.args.last().and_then(|value| value.as_value());
                if let Some(stored) = stored {
                    self.words[stored].get_or_insert(Word::Length);
                }
                return;
            }
            _ => None,
        };
        self.words[trace.inputs.len() + n] = word;
    }

    /// Behind a label only what is declared of its arguments is known.
    fn forget(&mut self, trace: &Trace, args: &[Ref]) {
        let is_declared = |arg: &&Ref| trace.words.iter().any(|narrow| narrow.value == **arg);
        for arg in args.iter().filter(|arg| !is_declared(arg)) {
            self.words[arg.as_value().expect("no constant")] = None;
        }
    }
}
