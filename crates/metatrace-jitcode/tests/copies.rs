//! The tables of jitcodes that only copy: they do what the interpreter does.

use metatrace_ir::{Const, Descr, DescrRef, FieldDescr, JitCodeId, Kind, Memory, Opcode, Pointee, Word};
use metatrace_jitcode::copies::Copies;
use metatrace_jitcode::domain::Flow;
use metatrace_jitcode::liveness::Liveness;
use metatrace_jitcode::{CalleeKey, Concrete, DescrIndex, Insn, Interp, JitCode, JitCodeSource, Outcome, Reg, Stack};
use std::rc::Rc;

struct Nowhere;

impl JitCodeSource for Nowhere {
    fn jitcode(&self, key: CalleeKey) -> Rc<JitCode> {
        panic!("nothing is called: {key:?}")
    }

    fn by_id(&self, id: JitCodeId) -> Rc<JitCode> {
        panic!("nothing is resumed: {id:?}")
    }
}

fn field(offset: u32, word: Word) -> DescrRef {
    Rc::new(Descr::Field(FieldDescr {
        name: "S.field".into(),
        offset,
        word,
        frozen: false,
        memory: Memory::Rust,
        pointee: Pointee::Unknown,
    }))
}

/// A function of two parameters, with six registers in all, and the constant 77 as the seventh.
fn code(insns: Vec<Insn>, returns: &[u16]) -> Rc<JitCode> {
    let mut code = JitCode {
        id: JitCodeId(0),
        name: "copies".into(),
        params: vec![Kind::Ref, Kind::Int],
        results: vec![Kind::Int; returns.len()],
        registers: vec![Kind::Ref, Kind::Int, Kind::Int, Kind::Int, Kind::Ref, Kind::Int],
        consts: vec![Const::int(77)],
        insns,
        descrs: vec![field(0, Word::U64), field(8, Word::U8), field(8, Word::I16)],
        native_calls: Vec::new(),
        inline_calls: Vec::new(),
        switches: Vec::new(),
        returns: vec![returns.iter().map(|reg| Reg(*reg)).collect()],
        merge_point: None,
        liveness: Liveness::default(),
    };
    code.liveness = Liveness::compute(&code);
    Rc::new(code)
}

const DATA: [u64; 3] = [0x0102_0304_0506_0708, 0xfff0_ffff_ffff_fffe, 0x1111];

/// What the function returns, and the memory behind it, from its table and from the interpreter.
fn both(code: &Rc<JitCode>) -> [(Vec<u64>, [u64; 3]); 2] {
    let copies = Copies::of(code).expect("it only copies");
    let mut memory = DATA;
    // SAFETY: the function works on the memory that its argument points to.
    let words = unsafe { copies.execute(&[memory.as_mut_ptr() as u64, 5]) };
    let by_table = (words.to_vec(), memory);
    let mut memory = DATA;
    let domain = Concrete {
        at_merge_point: Flow::Continue,
    };
    let mut interp = Interp::new(domain, &Nowhere, Stack::default());
    // SAFETY: likewise.
    match unsafe { interp.call(code, &[memory.as_mut_ptr() as u64, 5]) } {
        Outcome::Return(words) => [by_table, (words.to_vec(), memory)],
        other => panic!("{other:?}"),
    }
}

fn load(dst: u16, base: u16, descr: u16) -> Insn {
    let (dst, base, descr) = (Reg(dst), Reg(base), DescrIndex(descr));
    Insn::Load { dst, base, descr }
}

fn store(base: u16, descr: u16, src: u16) -> Insn {
    let (base, descr, src) = (Reg(base), DescrIndex(descr), Reg(src));
    Insn::Store { base, src, descr }
}

#[test]
fn loads_extend_and_addresses_add_up() {
    let (dst, base, descr) = (Reg(4), Reg(0), DescrIndex(1));
    let moved = Insn::Move {
        dst: Reg(5),
        src: Reg(1),
    };
    let insns = vec![
        load(2, 0, 1),
        Insn::PtrField { dst, base, descr },
        load(3, 4, 0),
        moved,
        Insn::Return { values: 0 },
    ];
    let [by_table, by_interp] = both(&code(insns, &[2, 3, 5, 1, 6]));
    assert_eq!(by_table, by_interp);
    assert_eq!(by_table.0, [0xfe, DATA[1], 5, 5, 77]);
}

#[test]
fn stores_write_their_width() {
    let insns = vec![store(0, 0, 1), store(0, 2, 6), Insn::Return { values: 0 }];
    let [by_table, by_interp] = both(&code(insns, &[]));
    assert_eq!(by_table, by_interp);
    assert_eq!(by_table.1, [5, 0xfff0_ffff_ffff_004d, 0x1111]);
}

#[test]
fn what_does_more_has_no_table() {
    let tables = |insns| Copies::of(&code(insns, &[2])).is_some();
    let end = Insn::Return { values: 0 };
    assert!(tables(vec![load(2, 0, 0), end]));
    assert!(!tables(vec![store(0, 0, 1), load(2, 0, 0), end]), "what was stored");
    assert!(!tables(vec![load(4, 0, 0), load(2, 4, 0), end]), "behind a pointer");
    assert!(
        !tables(vec![load(2, 0, 0), store(0, 1, 2), end]),
        "from memory to memory"
    );
    let (dst, a, b) = (Reg(2), Reg(1), Reg(6));
    let op = Opcode::IntAdd;
    assert!(!tables(vec![Insn::Pure { op, dst, a, b }, end]), "arithmetic");
}
