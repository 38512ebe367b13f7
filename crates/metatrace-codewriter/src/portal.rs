//! Portals: merge points, and the small jitcodes that carry words between native variables and registers.

use crate::builder::{Builder, PortalState, ValueId, with};
use crate::handles::{AnyVar, Var};
use crate::library::Lowered;
use crate::lower;
use crate::place::{Mem, RootHome};
use crate::types::{Type, TypeShape};
use metatrace_graph::{MergeWords, Op, Operand, Term, VReg};
use metatrace_ir::{JitCodeId, Kind, Pointee, RootKind, Word};
use metatrace_jitcode::JitCode;
use metatrace_jitcode::portal::ParamWord;

/// The function is a portal; `greens` are the indices of its green parameters. Comes before the parameters.
#[inline(never)]
pub fn portal_begin(_driver: Option<u32>, greens: &[u32]) {
    with(|b| {
        b.portal = Some(PortalState {
            greens: greens.to_vec(),
            params: Vec::new(),
        })
    });
}

/// The head of the portal's loop.
#[inline(never)]
pub fn header() {
    with(|b| {
        b.addressed_params(false);
        let reds = b.red_regs();
        b.graph.merge_point = Some(MergeWords {
            greens: Vec::new(),
            frozen: Vec::new(),
            reds,
        });
        b.emit(Op::Header);
    });
}

/// The merge point, with the green values.
#[inline(never)]
pub fn merge_point(greens: &[AnyVar]) {
    with(|b| {
        let (mut words, mut frozen) = (Vec::new(), Vec::new());
        for green in greens {
            let value = b.get(ValueId(green.0)).clone();
            let shared = is_shared_reference(value.ty);
            frozen.extend(value.words.iter().map(|_| shared));
            words.extend(value.words);
        }
        let state = b.portal.as_ref().expect("only portals have merge points");
        // Where a green is a parameter, it is that parameter's register.
        let params: Vec<VReg> = state
            .greens
            .iter()
            .flat_map(|n| state.params[*n as usize].regs.iter().copied())
            .collect();
        if !params.is_empty() {
            words = params.into_iter().map(Operand::Reg).collect();
        }
        let merge = b.graph.merge_point.as_mut().expect("the header comes first");
        (merge.greens, merge.frozen) = (words, frozen);
        b.emit(Op::MergePoint);
        b.addressed_params(true);
    });
}

/// A back-edge of the guest program.
#[inline(never)]
pub fn back_edge() {
    with(|b| b.emit(Op::BackEdge));
}

/// The tracer makes a constant of the value.
#[inline(never)]
pub fn promote<T>(value: Var<T>) -> Var<T> {
    let ty = Type::of::<T>();
    Var::new(with(|b| {
        let mut words = Vec::new();
        for word in b.words(value.__value()) {
            let copy = b.copy(word);
            if let Operand::Reg(reg) = copy {
                b.emit(Op::Promote { reg });
            }
            words.push(copy);
        }
        b.consume(value.__value());
        b.owned_value(ty, words)
    }))
}

fn is_shared_reference(ty: Type) -> bool {
    matches!(ty.structure(), Some(TypeShape::Pointer(Pointee::Shared)))
}

impl Builder {
    fn red_regs(&self) -> Vec<VReg> {
        let state = self.portal.as_ref().expect("only portals have headers");
        let reds = state
            .params
            .iter()
            .enumerate()
            .filter(|(n, _)| !state.greens.contains(&(*n as u32)));
        reds.flat_map(|(_, param)| param.regs.iter().copied()).collect()
    }

    /// Parameters that live in frame slots are in registers between header and merge point.
    fn addressed_params(&mut self, behind: bool) {
        let state = self.portal.as_ref().expect("only portals have headers");
        let params: Vec<_> = state
            .params
            .iter()
            .filter_map(|param| Some((param.root?, param.ty, param.regs.clone())))
            .collect();
        for (root, ty, regs) in params {
            let RootHome::Slot(slot) = self.roots[root as usize].home else {
                continue;
            };
            let memory = Mem::behind(slot, ty.name.as_str().into());
            if behind {
                let dst = slot.as_reg().expect("slots are registers");
                let fresh = self.alloca(&ty.name, ty.size, ty.align);
                self.emit(Op::Move { dst, src: fresh });
                let words: Vec<Operand> = regs.into_iter().map(Operand::Reg).collect();
                self.store_words(&memory, ty, &words);
            } else {
                let words = self.load_words(&memory, ty);
                self.move_all(&regs, &words);
            }
        }
    }
}

/// What the library needs of a portal besides its jitcode.
pub(crate) struct PortalParts {
    pub(crate) param_words: Vec<ParamWord>,
    pub(crate) red_roots: Vec<Option<RootKind>>,
    pub(crate) red_words: Vec<Word>,
}

/// The roles of a portal's parameter words.
pub(crate) fn parts(b: &Builder) -> PortalParts {
    let state = b.portal.as_ref().expect("a portal");
    let green_at = |param: usize| state.greens.iter().position(|green| *green == param as u32);
    let words_of = |param: u32| state.params[param as usize].regs.len();
    let (mut param_words, mut red_roots, mut red_words) = (Vec::new(), Vec::new(), Vec::new());
    for (n, param) in state.params.iter().enumerate() {
        match green_at(n) {
            Some(position) => {
                let first: usize = state.greens[..position].iter().map(|green| words_of(*green)).sum();
                param_words.extend((0..param.regs.len()).map(|word| ParamWord::Green(first + word)));
            }
            None => {
                for word in 0..param.regs.len() {
                    param_words.push(ParamWord::Red(red_roots.len()));
                    red_roots.push(root_kind(param.ty, param.root.is_none(), word));
                    red_words.push(red_word(param.ty, param.root.is_none(), word));
                }
            }
        }
    }
    PortalParts {
        param_words,
        red_roots,
        red_words,
    }
}

fn red_word(ty: Type, by_address: bool, word: usize) -> Word {
    if by_address {
        return Word::Ref;
    }
    let is_length = ty.is_pointer() && word == 1 && ty.has_sized_items();
    if is_length {
        Word::Length
    } else {
        ty.shape().words[word].word
    }
}

fn root_kind(ty: Type, by_address: bool, word: usize) -> Option<RootKind> {
    if by_address {
        return Some(RootKind::Exclusive);
    }
    match ty.structure() {
        Some(TypeShape::Pointer(Pointee::Exclusive)) if word == 0 => Some(RootKind::Exclusive),
        Some(TypeShape::Pointer(Pointee::Shared)) if word == 0 => Some(RootKind::Shared),
        _ => None,
    }
}

/// A parameter as the small jitcodes see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NativeParam {
    pub(crate) ty: Type,
    /// Its word is the address.
    pub(crate) by_address: bool,
    /// The function gives its variable another value.
    pub(crate) is_assigned: bool,
}

fn small(name: &'static str, id: JitCodeId, result: Type, build: impl FnOnce(&mut Builder)) -> JitCode {
    let mut b = Builder::standalone();
    b.begin(name, result, true, true);
    build(&mut b);
    let Lowered { jitcode, .. } = lower::lower(b, id);
    jitcode
}

fn address_params(b: &mut Builder, params: &[NativeParam]) -> Vec<Operand> {
    let regs: Vec<VReg> = params.iter().map(|_| b.reg(Kind::Ref)).collect();
    b.graph.params.extend(&regs);
    regs.into_iter().map(Operand::Reg).collect()
}

/// From the addresses of the parameters to their words.
pub(crate) fn load_params(params: &[NativeParam], id: JitCodeId) -> JitCode {
    small("load_params", id, Type::of::<()>(), |b| {
        let addresses = address_params(b, params);
        let mut words = Vec::new();
        for (param, address) in params.iter().zip(addresses) {
            if param.by_address {
                words.push(address);
            } else {
                let memory = Mem::behind(address, param.ty.name.as_str().into());
                words.extend(b.load_words(&memory, param.ty));
            }
        }
        b.end(Term::Return(words));
    })
}

/// From the addresses, then the words: writes the variables that may have another value.
pub(crate) fn store_params(params: &[NativeParam], id: JitCodeId) -> JitCode {
    small("store_params", id, Type::of::<()>(), |b| {
        let addresses = address_params(b, params);
        for (param, address) in params.iter().zip(addresses) {
            if param.by_address {
                let unused = b.reg(Kind::Ref);
                b.graph.params.push(unused);
                continue;
            }
            let words = word_params(b, param.ty);
            if param.is_assigned {
                let memory = Mem::behind(address, param.ty.name.as_str().into());
                b.store_words(&memory, param.ty, &words);
            }
        }
        b.end(Term::Return(Vec::new()));
    })
}

/// From the address of an uninitialised value, then its words: writes it.
pub(crate) fn store_result(ty: Type, id: JitCodeId) -> JitCode {
    small("store_result", id, Type::of::<()>(), |b| {
        let address = b.reg(Kind::Ref);
        b.graph.params.push(address);
        let words = word_params(b, ty);
        let memory = Mem::behind(Operand::Reg(address), ty.name.as_str().into());
        b.store_words(&memory, ty, &words);
        b.end(Term::Return(Vec::new()));
    })
}

fn word_params(b: &mut Builder, ty: Type) -> Vec<Operand> {
    let kinds: Vec<Kind> = ty.shape().kinds().collect();
    let regs: Vec<VReg> = kinds.into_iter().map(|kind| b.reg(kind)).collect();
    b.graph.params.extend(&regs);
    regs.into_iter().map(Operand::Reg).collect()
}
