//! Frame slots: one address for each `alloca` and activation.

use metatrace_ir::{Const, Descr, JitCodeId, Kind, Memory, Opcode, SizeDescr};
use metatrace_jitcode::domain::Flow;
use metatrace_jitcode::liveness::Liveness;
use metatrace_jitcode::{
    Callee, CalleeKey, Concrete, DescrIndex, InlineCall, Insn, Interp, JitCode, JitCodeSource, Outcome, Reg, Stack,
};
use std::rc::Rc;

struct Source(Vec<Rc<JitCode>>);

impl JitCodeSource for Source {
    fn jitcode(&self, key: CalleeKey) -> Rc<JitCode> {
        self.0[key.0].clone()
    }

    fn by_id(&self, id: JitCodeId) -> Rc<JitCode> {
        self.0[id.0 as usize].clone()
    }
}

fn blank(id: u32, name: &str) -> JitCode {
    let slot = SizeDescr {
        name: "slot".into(),
        size: 24,
        align: 8,
        vtable: None,
        memory: Memory::Rust,
    };
    JitCode {
        id: JitCodeId(id),
        name: name.into(),
        params: Vec::new(),
        results: Vec::new(),
        registers: Vec::new(),
        consts: Vec::new(),
        insns: Vec::new(),
        descrs: vec![Rc::new(Descr::Size(slot))],
        native_calls: Vec::new(),
        inline_calls: Vec::new(),
        switches: Vec::new(),
        returns: Vec::new(),
        merge_point: None,
        liveness: Liveness::default(),
    }
}

fn finished(mut code: JitCode) -> Rc<JitCode> {
    code.liveness = Liveness::compute(&code);
    Rc::new(code)
}

/// `fn addresses() -> (first, last)`: the address of one slot, made by each of a hundred rounds of a loop.
fn addresses() -> Rc<JitCode> {
    let (round, first, slot) = (Reg(0), Reg(1), Reg(2));
    let (zero, one, hundred) = (Reg(3), Reg(4), Reg(5));
    let mut code = blank(0, "addresses");
    code.registers = vec![Kind::Int, Kind::Ref, Kind::Ref];
    code.results = vec![Kind::Ref, Kind::Ref];
    code.consts = [0, 1, 100].map(Const::int).to_vec();
    code.returns = vec![Box::new([first, slot])];
    let descr = DescrIndex(0);
    let branch = |op, a, b, if_false| Insn::BranchIf { op, a, b, if_false };
    code.insns = vec![
        Insn::Move { dst: round, src: zero },
        Insn::Alloca { dst: slot, descr },
        branch(Opcode::IntIsZero, round, round, 4),
        Insn::Move { dst: first, src: slot },
        Insn::Pure {
            op: Opcode::IntAdd,
            dst: round,
            a: round,
            b: one,
        },
        branch(Opcode::IntEq, round, hundred, 1),
        Insn::Return { values: 0 },
    ];
    finished(code)
}

/// `fn outer() -> (own, inner)`: the addresses of its own slot and of the one that `addresses`, called by it, has.
fn outer() -> Rc<JitCode> {
    let (own, first, last) = (Reg(0), Reg(1), Reg(2));
    let mut code = blank(1, "outer");
    code.registers = vec![Kind::Ref; 3];
    code.results = vec![Kind::Ref, Kind::Ref];
    code.returns = vec![Box::new([own, last])];
    code.inline_calls = vec![InlineCall {
        callee: Callee::new(CalleeKey(0), "addresses".into()),
        args: Box::new([]),
        dsts: Box::new([first, last]),
        unwind: None,
    }];
    let descr = DescrIndex(0);
    code.insns = vec![
        Insn::Alloca { dst: own, descr },
        Insn::CallInline { call: 0 },
        Insn::Return { values: 0 },
    ];
    finished(code)
}

fn run(entry: usize) -> [u64; 2] {
    let source = Source(vec![addresses(), outer()]);
    let domain = Concrete {
        at_merge_point: Flow::Continue,
    };
    let mut interp = Interp::new(domain, &source, Stack::default());
    // SAFETY: the functions have no parameters, and access no memory.
    match unsafe { interp.call(&source.0[entry], &[]) } {
        Outcome::Return(words) => words.as_slice().try_into().expect("two words"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_loop_has_one_slot() {
    let [first, last] = run(0);
    assert_ne!(first, 0);
    assert_eq!(first, last);
}

#[test]
fn activations_do_not_share_slots() {
    let [own, inner] = run(1);
    assert_ne!(own, inner);
}
