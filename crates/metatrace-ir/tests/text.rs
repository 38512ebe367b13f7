//! The textual form: what traces look like, what parses, what is said of what does not, and that printing and parsing
//! are inverse.

use expect_test::{Expect, expect};
use metatrace_ir::random::{self, Config, Random};
use metatrace_ir::text::{Offsets, ParseError, PrintOptions, Style, parse};
use metatrace_ir::{Const, Descr, GuardId, JitCodeId, Kind, Op, Opcode, Snapshot, Trace, verify};
use proptest::prelude::*;

fn trace(text: &str) -> Trace {
    let trace = parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    verify(&trace).unwrap_or_else(|error| panic!("{error}\n{text}"));
    trace
}

const EXAMPLE: &str = "\
# root p0 = exclusive
# root p1 = shared
# descr Point.x = field(offset=8, u8, frozen, pointee=owned)
# descr Point = size(16, align=16, vtable=0x1000, memory=gc)
# descr Tape = array(item_size=16, offset=8, f64)
# descr put = call(args=pi, result=i, effect=arguments, can_panic)
# descr min = call(effect=any)
[p0, p1, i2]
label(p0, p1, i2, descr=TargetToken(1))
i3 = getfield_gc_i(p0, descr=Point.x)
p4 = new_with_vtable(descr=Point)
i5 = int_lt(i3, -10)
debug_merge_point(0, 3, 'it\\'s, #1')
guard_true(i5, descr=<Guard0x1f>) [j0@12: p0, i2 | j3@7: i3, 5, i2]
guard_value(p1, ConstPtr(0x1000), descr=<Guard0x20>) [j0@12: p0, i2 | j3@7:]
f6 = getarrayitem_raw_f(i2, i3, descr=Tape)
f7 = float_add(f6, -0.0)
i8 = call_i(4096, p0, i3, descr=put)
guard_no_exception(descr=<Guard0x21>) [p0, i2]
call_n(4096, descr=min)
i9 = int_floordiv(i8, i3)
guard_always_fails(descr=<Guard0x22>) []
jump(p0, p4, i2, descr=TargetToken(1))
";

#[test]
fn the_full_form_is_what_it_was_parsed_from() {
    let parsed = trace(EXAMPLE);
    assert_eq!(parsed.to_string(), EXAMPLE);
    assert_eq!(parsed.roots.len(), 2);
    let guard = parsed
        .ops
        .iter()
        .find(|op| op.opcode == Opcode::GuardTrue)
        .expect("is in the text");
    assert_eq!(guard.guard, Some(GuardId(0x1f)));
    let frames: Vec<_> = parsed.frames(guard.snapshot.expect("a guard's")).collect();
    assert_eq!(
        frames[0].frame.map(|frame| (frame.jitcode, frame.pc)),
        Some((JitCodeId(3), 7))
    );
    assert_eq!(frames[0].values.len(), 3);
    assert_eq!(frames[1].values.len(), 2);
}

#[test]
fn neighbouring_guards_share_outer_frames() {
    let parsed = trace(EXAMPLE);
    // j0@12, two innermost frames, two plain lists
    assert_eq!(parsed.snapshots.len(), 5);
}

#[test]
fn the_log_form_is_rpythons() {
    let parsed = trace(EXAMPLE);
    let offsets: Vec<u32> = (0..parsed.ops.len() as u32).map(|n| n * 4).collect();
    let offsets = Some(Offsets {
        ops: &offsets,
        end: 100,
    });
    let log = parsed
        .print(&PrintOptions {
            style: Style::Log,
            offsets,
        })
        .to_string();
    expect![[r#"
        [p0, p1, i2]
        +0: label(p0, p1, i2, descr=TargetToken(1))
        +4: i3 = getfield_gc_i(p0, descr=<FieldU Point.x 8 pure u8 owned>)
        +8: p4 = new_with_vtable(descr=<SizeDescr 16 Point align=16 vtable=0x1000 gc>)
        +12: i5 = int_lt(i3, -10)
        debug_merge_point(0, 3, 'it"s. #1')
        +20: guard_true(i5, descr=<Guard0x1f>) [p0, i2, i3]
        +24: guard_value(p1, ConstPtr(0x1000), descr=<Guard0x20>) [p0, i2]
        +28: f6 = getarrayitem_raw_f(i2, i3, descr=<ArrayF 16 +8 Tape>)
        +32: f7 = float_add(f6, -0.0)
        +36: i8 = call_i(4096, p0, i3, descr=<Calli 8 ri EF=5 put>)
        +40: guard_no_exception(descr=<Guard0x21>) [p0, i2]
        +44: call_n(4096, descr=<Callv 0 EF=7 min nounwind>)
        +48: i9 = call_pure_i(ConstClass(int_floordiv), i8, i3)
        +52: guard_true(0, descr=<Guard0x22>) []
        +56: jump(p0, p4, i2, descr=TargetToken(1))
        +100: --end of the loop--
    "#]]
    .assert_eq(&log);
    let back = trace(&log);
    assert_eq!(back.ops.len(), parsed.ops.len());
    assert_eq!(back.ops[1].descr, parsed.ops[1].descr, "descriptors survive a log");
    assert_eq!(back.ops[9].descr, parsed.ops[9].descr);
    assert_eq!(back.ops[12].opcode, Opcode::IntFloordiv);
    assert_eq!(
        back.print(&PrintOptions {
            style: Style::Log,
            offsets
        })
        .to_string(),
        log
    );
}

#[test]
fn an_example_log_parses() {
    let body = "\
# Loop 0 (main;examples/a.tl:1-2~LOAD) : loop with 6 ops
[i0, i1, p9]
+4: label(i0, i1, p9, descr=TargetToken(4096))
debug_merge_point(0, 0, 'main;examples/a.tl:1-2~LOAD')
+8: i2 = int_lt(i0, i1)
+14: guard_true(i2, descr=<Guard0x2a>) [i0, i1, None]
+16: p3 = getfield_gc_r(p9, descr=<FieldP mylang::Frame.stack 16 pure>)
+20: jump(i0, i1, p9, descr=TargetToken(4096))
+22: --end of the loop--
";
    let parsed = trace(body);
    assert_eq!(parsed.ops.len(), 6);
    assert_eq!(parsed.exit(&parsed.ops[3]).values.len(), 2);
}

const SUNK: &str = "\
# root p0 = exclusive
# descr Frame.pc = field(offset=8, u64)
# descr Pair = size(16)
# descr Pair.a = field(offset=0, i64)
[p0, i1, i2, i3]
sunk i4 = int_add(i1, -9)
sunk s5 = setfield_gc(p0, i4, descr=Frame.pc)
sunk p6 = new(descr=Pair)
sunk s7 = setfield_gc(p6, i2, descr=Pair.a)
guard_true(i1, descr=<Guard0x1>) [j0@12: p0, i1 | j3@7: p6, i3] {s5, s7}
guard_true(i2, descr=<Guard0x2>) [i4] {}
finish(descr=<Guard0x3>) [j0@9: i2, p0] {s5}
";

#[test]
fn sunk_operations_are_part_of_the_text_and_of_exits() {
    let parsed = trace(SUNK);
    assert_eq!(parsed.to_string(), SUNK);
    let shown = |values: &[metatrace_ir::Ref]| {
        values
            .iter()
            .map(|v| v.as_value().expect("a value"))
            .collect::<Vec<_>>()
    };
    let exits = [
        (vec![0, 1, 3, 2], vec![4, 5, 6, 7]),
        (vec![1], vec![4]),
        (vec![2, 0, 1], vec![4, 5]),
    ];
    for (op, (values, program)) in parsed.ops[4..].iter().zip(exits) {
        let exit = parsed.exit(op);
        assert_eq!(
            (shown(&exit.values), shown(&exit.program)),
            (values, program),
            "{}",
            op.opcode.name()
        );
    }
    let log = parsed
        .print(&PrintOptions {
            style: Style::Log,
            offsets: None,
        })
        .to_string();
    expect![[r#"
        [p0, i1, i2, i3]
        guard_true(i1, descr=<Guard0x1>) [p0, i1, i3, i2]
        guard_true(i2, descr=<Guard0x2>) [i1]
        finish(descr=<Guard0x3>) [i2, p0, i1]
    "#]]
    .assert_eq(&log);
}

#[test]
fn the_designs_example_parses() {
    let text = "\
# root p9 = exclusive
# descr Point = size(16, vtable=0x1000, memory=gc)
# descr Point.x = field(Point, offset=8, int)
[i0, p9]
p1 = new_with_vtable(descr=Point)
setfield_gc(p1, i0, descr=Point.x)
i2 = getfield_gc_i(p1, descr=Point.x)
i3 = int_add(i2, 1)
jump(i3, descr=TargetToken(0))
";
    assert_eq!(trace(text).ops.len(), 5);
}

#[test]
fn constants_keep_their_bits() {
    let mut written = Trace::new(vec![]);
    let nan = Const {
        kind: Kind::Float,
        bits: 0xfff8_0000_dead_beef,
    };
    let floats = [
        0.0,
        -0.0,
        1.0,
        1e300,
        5e-324,
        0.1,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ]
    .map(Const::float);
    let others = [
        nan,
        Const::int(i64::MIN),
        Const::int(-1),
        Const::ptr(0),
        Const::ptr(u64::MAX),
    ];
    let constants: Vec<Const> = floats.into_iter().chain(others).collect();
    let values = constants.iter().map(|constant| written.constant(*constant)).collect();
    let snapshot = written.add_snapshot(Snapshot {
        frame: None,
        values,
        parent: None,
    });
    written.push(Op::with_snapshot(Opcode::Finish, &[], snapshot));
    let text = written.to_string();
    expect![[r#"
        []
        finish() [0.0, -0.0, 1.0, 1e300, 5e-324, 0.1, inf, -inf, float(0x7ff8000000000000), float(0xfff80000deadbeef), -9223372036854775808, -1, ConstPtr(null), ConstPtr(0xffffffffffffffff)]
    "#]]
    .assert_eq(&text);
    assert_eq!(trace(&text).constants().collect::<Vec<_>>(), constants);
}

#[test]
fn other_spellings_of_constants() {
    let text = "[]\nfinish() [0x10, 0xffffffffffffffff, ConstPtr(ptr20), 1.5e-3]\n";
    let parsed = trace(text);
    assert_eq!(
        parsed.constants().collect::<Vec<_>>(),
        [Const::int(16), Const::int(-1), Const::ptr(20), Const::float(0.0015)]
    );
}

#[test]
fn descriptors_of_one_name_keep_apart() {
    let text = "\
# descr x = field(offset=0, i64)
# descr x~2 = field(name=x, offset=8, i64)
# descr \"a b\" = field(offset=16, i64)
[p0]
i1 = getfield_gc_i(p0, descr=x)
i2 = getfield_gc_i(p0, descr=x~2)
i3 = getfield_gc_i(p0, descr=\"a b\")
finish() []
";
    let parsed = trace(text);
    assert_eq!(parsed.to_string(), text);
    let Some(Descr::Field(second)) = parsed.ops[1].descr.as_deref() else {
        panic!("a field's")
    };
    assert_eq!((second.name.as_str(), second.offset), ("x", 8));
}

fn check_error(text: &str, expected: Expect) {
    let error = parse(text).map(|trace| trace.to_string()).expect_err("must not parse");
    expected.assert_eq(&error.to_string());
}

#[test]
fn errors_say_where_and_what() {
    check_error("", expect!["1:1: no line of inputs, as [i0, p1]"]);
    check_error(
        "i0 = int_add(1, 2)",
        expect!["1:1: expected the line of inputs, as [i0, p1]"],
    );
    check_error(
        "[x0]",
        expect!["1:2: expected the name of a value: i, p or f (int, ref, float) and a number, as i0"],
    );
    check_error("[i0, i0]", expect!["1:8: two inputs have the name i0"]);
    check_error("[i0", expect!["1:4: expected ',', found the end of the line"]);
    check_error("[i0] i1", expect!["1:6: unexpected 'i1'"]);
    check_error(
        "[i0]\n\ni1 = int_ad(i0, 1)",
        expect!["3:6: no operation has the name 'int_ad'"],
    );
    check_error(
        "[i0]\ni1 = int_add(i0, i2)",
        expect!["2:18: i2 is not defined before this line"],
    );
    check_error(
        "[i0]\ni1 = int_add(i0, x)",
        expect!["2:18: x is neither a value nor a constant"],
    );
    check_error(
        "[i0]\ni1 = int_add(i0, 9223372036854775808)",
        expect!["2:18: 9223372036854775808 is neither a value nor a constant"],
    );
    check_error("[i0]\ni0 = int_add(i0, 1)", expect!["2:1: i0 is defined twice"]);
    check_error(
        "[i0]\np1 = int_add(i0, 1)",
        expect!["2:1: int_add has a result: a name that begins with 'i'"],
    );
    check_error(
        "[i0]\nint_add(i0, 1)",
        expect!["2:1: int_add has a result: a name that begins with 'i'"],
    );
    check_error("[i0]\ni1 = guard_true(i0) []", expect!["2:1: guard_true has no result"]);
    check_error(
        "[i0]\ni1 = int_neg(i0) [i0]",
        expect!["2:18: only guards and finish have values behind them"],
    );
    check_error(
        "[i0]\nguard_true(i0) [i0",
        expect!["2:19: expected ',', found the end of the line"],
    );
    check_error(
        "[i0]\nguard_true(i0) [j0@: i0]",
        expect!["2:20: expected the position in the jitcode, a number, found ':'"],
    );
    check_error(
        "[i0]\nguard_true(i0, descr=<Guard0xfffffffff>) []",
        expect!["2:28: the guard's number is out of range"],
    );
    check_error(
        "[p0]\ni1 = getfield_gc_i(p0, descr=x)",
        expect!["2:30: the descriptor x is not declared by a line '# descr x = …' before this one"],
    );
    check_error(
        "[p0]\ni1 = getfield_gc_i(p0, descr=<Fild x 8>)",
        expect!["2:30: no descriptor looks like <Fild>: field, array, size or call"],
    );
    check_error(
        "[]\ncall_n(ConstClass(put))",
        expect!["2:8: the address of a function cannot be told from its name: write it as a number"],
    );
    check_error(
        "[]\ndebug_merge_point(0, 0, 'a",
        expect!["2:25: a quote that does not end"],
    );
}

#[test]
fn errors_in_headers() {
    check_error(
        "# root p1 = exclusive\n[p0]",
        expect!["1:8: p1 is not defined before this line"],
    );
    check_error(
        "# root p0 = mine\n[p0]",
        expect!["1:13: expected one of: exclusive shared green"],
    );
    check_error(
        "# descr x = feld(8)",
        expect!["1:13: expected field(…), array(…), size(…) or call(…)"],
    );
    check_error(
        "# descr x = field(u8)",
        expect!["1:21: a declaration field(…) needs offset=…"],
    );
    check_error(
        "# descr x = field(offset=8)",
        expect!["1:27: what does it hold? One of: u8 u16 u32 u64 length i8 i16 i32 i64 ref f64"],
    );
    check_error(
        "# descr x = field(offset=a, u8)",
        expect!["1:19: offset is a number below 2^32"],
    );
    check_error(
        "# descr x = field(offset=8, u8, memory=heap)",
        expect!["1:33: memory is one of: rust raw gc"],
    );
    check_error(
        "# descr x = field(offset=8, u8, frosen)",
        expect!["1:33: field(…) has no fact frosen, or has it already"],
    );
    check_error(
        "# descr x = call(args=ix)",
        expect!["1:18: args: a letter i, p or f for each kind"],
    );
    check_error(
        "# descr x = size(vtable=1)",
        expect!["1:26: expected the size in bytes"],
    );
}

fn seeds() -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(any::<u64>(), 0..80)
}

proptest! {
    #[test]
    fn parsing_undoes_printing(seeds in seeds()) {
        let trace = random::trace(&seeds, &Config::everything());
        let text = trace.to_string();
        prop_assert_eq!(verify(&trace), Ok(()), "{}", &text);
        let parsed = match parse(&text) {
            Ok(parsed) => parsed,
            Err(error) => return Err(TestCaseError::fail(format!("{error}\n{text}"))),
        };
        prop_assert!(parsed == trace, "{}\n{}", &text, parsed);
        prop_assert_eq!(verify(&parsed), Ok(()));
        prop_assert_eq!(parsed.to_string(), text);
    }

    #[test]
    fn logs_parse_and_print_the_same_again(seeds in seeds()) {
        let trace = random::trace(&seeds, &Config { sunk: false, ..Config::everything() });
        let options = PrintOptions { style: Style::Log, offsets: None };
        let log = trace.print(&options).to_string();
        let parsed = match parse(&log) {
            Ok(parsed) => parsed,
            Err(error) => return Err(TestCaseError::fail(format!("{error}\n{log}"))),
        };
        prop_assert_eq!(verify(&parsed), Ok(()));
        prop_assert_eq!(parsed.print(&options).to_string(), log);
    }

    /// Whatever becomes of a text, the parser, the printer and the verifier answer.
    #[test]
    fn no_text_makes_anything_panic(seeds in seeds(), log in any::<bool>(), mutations in 1usize..30, seed in any::<u64>()) {
        let trace = random::trace(&seeds, &Config::everything());
        let style = if log { Style::Log } else { Style::Full };
        let text = trace.print(&PrintOptions { style, offsets: None }).to_string();
        let mutated = mutate(&text, mutations, Random(seed));
        if let Ok(parsed) = parse(&mutated) {
            let printed = parsed.to_string();
            let _verdict = verify(&parsed);
            let again = parse(&printed);
            prop_assert!(again.is_ok_and(|again| again == parsed), "{}\n{}", mutated, printed);
        }
    }

    #[test]
    fn arbitrary_text_is_refused_with_its_place(text in "\\PC*") {
        if let Err(ParseError { line, column, .. }) = parse(&text) {
            prop_assert!(line >= 1 && column >= 1);
        }
    }
}

/// Characters and pieces of lines removed, doubled, exchanged.
fn mutate(text: &str, mutations: usize, mut random: Random) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..mutations {
        let at = random.below(chars.len());
        let end = (at + random.below(8)).min(chars.len());
        match random.below(4) {
            0 => drop(chars.drain(at..end)),
            1 => {
                chars[at] = *random.pick(&[
                    '(', ')', '[', ']', ',', '=', '#', '<', '>', '"', '\'', '\\', 'é', '0', 'i', '\n',
                ])
            }
            2 => {
                let piece = chars[at..end].to_vec();
                let to = random.below(chars.len());
                chars.splice(to..to, piece);
            }
            _ => {
                let other = random.below(chars.len());
                chars.swap(at, other);
            }
        }
        if chars.is_empty() {
            chars.push('[');
        }
    }
    chars.into_iter().collect()
}
