//! What a portal's small jitcodes do, as a table: most only copy words between variables and registers, and they are executed
//! at each entry and exit, many more times than the code of any loop's compilation.
//!
//! A table is made of a jitcode without branches and calls, in which addresses are parameters at an offset; of others there is
//! none, and they are interpreted.

use crate::JitCode;
use crate::insn::{Insn, Reg};
use crate::interp::Words;
use metatrace_ir::{Descr, Word};
use metatrace_native::{load, store};
use rustc_hash::FxHashMap;
use std::rc::Rc;

/// Where a word is found.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// An argument's own word, which many bytes further on.
    Arg(u16, u32),
    Constant(u64),
    /// What lies at so many bytes behind the address that an argument is.
    Memory(u16, u32, Word),
}

/// The word that lies at so many bytes behind the address that an argument is becomes another argument, or a constant.
#[derive(Clone, Copy, Debug)]
struct Store {
    address: u16,
    offset: u32,
    word: Word,
    value: Source,
}

/// A jitcode as a table.
#[derive(Clone, Debug)]
pub struct Copies {
    params: usize,
    /// Of words that are loaded only for the results, which come first.
    results: Box<[Source]>,
    stores: Box<[Store]>,
}

/// A small jitcode, and its table.
#[derive(Clone, Debug)]
pub struct SmallCode {
    /// The jitcode.
    pub code: Rc<JitCode>,
    /// What it does, if it only copies.
    pub copies: Option<Copies>,
}

impl SmallCode {
    /// With its table.
    pub fn new(code: Rc<JitCode>) -> SmallCode {
        SmallCode {
            copies: Copies::of(&code),
            code,
        }
    }
}

impl Copies {
    /// The table of a jitcode, if it does nothing else.
    pub fn of(code: &JitCode) -> Option<Copies> {
        let mut known: FxHashMap<Reg, Source> = FxHashMap::default();
        let mut stores = Vec::new();
        for n in 0..code.params.len() {
            known.insert(Reg(n as u16), Source::Arg(n as u16, 0));
        }
        let source = |known: &FxHashMap<Reg, Source>, reg: Reg| match (reg.0 as usize).checked_sub(code.registers.len())
        {
            Some(n) => Some(Source::Constant(code.consts[n].bits)),
            None => known.get(&reg).copied(),
        };
        for insn in &code.insns {
            match *insn {
                Insn::Move { dst, src } => _ = known.insert(dst, source(&known, src)?),
                Insn::PtrField { dst, base, descr } => {
                    let Source::Arg(n, offset) = source(&known, base)? else {
                        return None;
                    };
                    let offset = offset.checked_add(code.descr(descr).field().offset)?;
                    known.insert(dst, Source::Arg(n, offset));
                }
                Insn::Load { dst, base, descr } => {
                    let (n, offset, word) = place(source(&known, base)?, code.descr(descr))?;
                    if !stores.is_empty() {
                        return None;
                    }
                    known.insert(dst, Source::Memory(n, offset, word));
                }
                Insn::Store { base, src, descr } => {
                    let (address, offset, word) = place(source(&known, base)?, code.descr(descr))?;
                    let value = source(&known, src)?;
                    if matches!(value, Source::Memory(..)) {
                        return None;
                    }
                    stores.push(Store {
                        address,
                        offset,
                        word,
                        value,
                    });
                }
                Insn::Return { values } => {
                    let values = code.returns[values as usize].iter();
                    let results: Option<Vec<Source>> = values.map(|reg| source(&known, *reg)).collect();
                    return Some(Copies {
                        params: code.params.len(),
                        stores: stores.into(),
                        results: results?.into(),
                    });
                }
                _ => return None,
            }
        }
        None
    }

    /// Does what the jitcode does.
    ///
    /// # Safety
    /// `args` are valid arguments of the jitcode.
    pub unsafe fn execute(&self, args: &[u64]) -> Words<u64> {
        assert_eq!(args.len(), self.params, "an argument for each parameter");
        let word = |source: Source| match source {
            Source::Arg(n, offset) => args[n as usize].wrapping_add(offset.into()),
            Source::Constant(bits) => bits,
            Source::Memory(n, offset, word) => {
                // SAFETY: the jitcode loads there.
                unsafe { load(args[n as usize].wrapping_add(offset.into()), word) }
            }
        };
        let results = self.results.iter().map(|source| word(*source)).collect();
        for to in &self.stores {
            // SAFETY: the jitcode stores there.
            unsafe {
                store(
                    args[to.address as usize].wrapping_add(to.offset.into()),
                    to.word,
                    word(to.value),
                );
            }
        }
        results
    }
}

/// Where a field of what an argument points to lies.
fn place(base: Source, descr: &Descr) -> Option<(u16, u32, Word)> {
    let Source::Arg(n, offset) = base else { return None };
    let field = descr.field();
    Some((n, offset.checked_add(field.offset)?, field.word))
}
