//! Every invariant of the verifier, broken once.

use metatrace_ir::text::parse;
use metatrace_ir::{
    Const, Frame, GuardId, JitCodeId, Kind, Op, Opcode, Ref, Root, RootKind, Snapshot, SnapshotId, Trace, verify,
};

const DESCRS: &str = "\
# descr x = field(offset=8, i64)
# descr r = field(offset=16, ref)
# descr a = array(item_size=8, i64)
# descr outside = array(item_size=8, offset=4, i64)
# descr s = size(16)
# descr v = size(16, vtable=0x10)
# descr odd = size(16, align=3)
# descr call = call(args=pi, result=i, effect=any)
# descr panics = call(result=i, effect=any, can_panic)
# descr seven = call(args=iiiiiii, effect=any)
# descr floating = call(args=f, effect=any)
# descr pure = call(result=i, effect=elidable)
";

/// Inputs `i0`, `p1`, `f2`; the trace ends by itself where `body` does not end it.
fn parsed(body: &str) -> Trace {
    let end = if body.contains("jump(") || body.contains("finish(") {
        ""
    } else {
        "finish() []\n"
    };
    let text = format!("{DESCRS}[i0, p1, f2]\n{body}\n{end}");
    parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[track_caller]
fn accepted(body: &str) {
    if let Err(error) = verify(&parsed(body)) {
        panic!("{error}");
    }
}

#[track_caller]
fn refused(body: &str, message: &str) {
    let error = verify(&parsed(body)).expect_err("must be refused").to_string();
    assert!(error.contains(message), "got: {error}\nnot: {message}");
}

#[test]
fn operands() {
    accepted("i3 = int_add(i0, 1)");
    refused(
        "i3 = int_add(i0)",
        "operation 0, i3 = int_add(i0): 1 operands instead of 2",
    );
    refused("i3 = int_add(i0, p1)", "p1 is not of kind Int");
    refused("i3 = float_lt(f2, 1)", "1 is not of kind Float");
    refused("i3 = int_signext(i0, 3)", "the width is not a constant 1, 2 or 4");
    refused("i3 = int_signext(i0, i0)", "the width is not a constant 1, 2 or 4");
    accepted("guard_value(f2, 1.5) []");
    refused("guard_value(i0, i0) []", "the second operand is not a constant");
    refused("guard_value(p1, 5) []", "5 is not of kind Ref");
    refused("debug_merge_point(0, 0, 'x')\ni3 = int_add(i0, 1, 2)", "operation 1");
}

#[test]
fn memory() {
    accepted("setfield_gc(p1, i0, descr=x)\nsetfield_gc(p1, p1, descr=r)\nsetarrayitem_raw(i0, 1, 2, descr=a)");
    refused("setfield_gc(p1, descr=x)", "1 operands instead of 2");
    refused("setfield_gc(p1, f2, descr=x)", "f2 is not of kind Int");
    refused("setfield_gc(i0, i0, descr=x)", "i0 is not of kind Ref");
    refused("setarrayitem_raw(i0, 1, descr=a)", "2 operands instead of 3");
    refused("i3 = getfield_gc_i(p1, descr=r)", "the field holds a Ref");
    refused(
        "i3 = getfield_gc_i(p1, descr=a)",
        "the wrong sort of descriptor; it needs a field's",
    );
    refused("i3 = getfield_gc_i(p1)", "no descriptor; it needs a field's");
    refused(
        "i3 = getarrayitem_raw_i(i0, 0, descr=outside)",
        "outside of the array's items",
    );
    refused("p3 = getarrayitem_raw_r(i0, 0, descr=a)", "an item holds a I64");
    refused("p3 = new_with_vtable(descr=s)", "the descriptor has no vtable");
    refused("p3 = alloca(descr=odd)", "the alignment 3 is not");
    accepted(
        "p3 = new_with_vtable(descr=v)\np4 = alloca(descr=s)\np5 = ptr_field(p4, descr=x)\np6 = ptr_item(i0, 1, descr=a)",
    );
    refused("i3 = int_neg(i0, descr=x)", "a descriptor where none belongs");
}

#[test]
fn calls() {
    accepted("i3 = call_i(4096, p1, i0, descr=call)");
    refused("i3 = call_i(descr=call)", "no function address");
    refused(
        "i3 = call_i(i0, p1, i0, descr=call)",
        "the function address is not a constant int",
    );
    refused(
        "i3 = call_i(ConstPtr(0x1000), p1, i0, descr=call)",
        "the function address is not a constant int",
    );
    refused("i3 = call_i(4096, i0, i0, descr=call)", "i0 is not of kind Ref");
    refused("i3 = call_i(4096, p1, descr=call)", "1 operands instead of 2");
    refused(
        "call_n(4096, 1, 2, 3, 4, 5, 6, 7, descr=seven)",
        "more than 6 arguments",
    );
    refused("call_n(4096, f2, descr=floating)", "an argument is a float");
    refused("call_n(4096, p1, i0, descr=call)", "the callee returns Some(Int)");
    refused(
        "i3 = call_pure_i(4096, p1, i0, descr=call)",
        "the callee is not elidable",
    );
    accepted("i3 = call_pure_i(4096, descr=pure)");
}

#[test]
fn guards_behind_what_they_test() {
    accepted(
        "i3 = int_add_ovf(i0, 1)\nguard_no_overflow() []\ni4 = call_i(4096, descr=panics)\nguard_no_exception() []",
    );
    accepted("i3 = int_add_ovf(i0, 1)");
    refused(
        "guard_no_overflow() []",
        "not right behind an operation that sets the overflow flag",
    );
    refused(
        "i3 = int_add(i0, 1)\nguard_overflow() []",
        "not right behind an operation that sets the overflow flag",
    );
    refused(
        "i3 = call_i(4096, descr=panics)\ndebug_merge_point(0, 0, 'x')\nguard_no_exception() []",
        "may panic, but no guard_no_exception is right behind it",
    );
    refused(
        "i3 = call_i(4096, p1, i0, descr=call)\nguard_no_exception() []",
        "not right behind a call that may panic",
    );
    refused("guard_no_exception() []", "not right behind a call that may panic");
}

#[test]
fn snapshots() {
    refused("guard_true(i0)", "it may leave the trace, but has no snapshot");
    let mut trace = parsed("i3 = int_neg(i0)");
    trace.ops[0].snapshot = Some(SnapshotId(0));
    assert!(
        verify(&trace)
            .expect_err("refused")
            .message
            .contains("it never leaves the trace")
    );
    trace.ops[0].snapshot = None;
    trace.ops[0].guard = Some(GuardId(1));
    assert!(
        verify(&trace)
            .expect_err("refused")
            .message
            .contains("it never leaves the trace")
    );
    refused(
        "guard_true(i0, descr=<Guard0x1>) []\nguard_true(i0, descr=<Guard0x1>) []",
        "two guards have the name 0x1",
    );

    let mut trace = parsed("guard_true(i0) [j0@1: i0 | j1@2: p1]");
    assert_eq!(verify(&trace), Ok(()));
    trace.snapshots.swap(0, 1);
    assert!(
        verify(&trace)
            .expect_err("refused")
            .message
            .contains("its parent does not come before it")
    );
    let mut trace = parsed("guard_true(i0) []");
    trace.ops[0].snapshot = Some(SnapshotId(9));
    let error = verify(&trace).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "operation 0, guard_true(i0) [?]: there is no snapshot 9"
    );
}

#[test]
fn definitions_and_labels() {
    let mut trace = Trace::new(vec![Kind::Int]);
    trace.push(Op::new(Opcode::IntNeg, &[Ref::value(1)]));
    assert!(
        verify(&trace)
            .expect_err("refused")
            .message
            .contains("i1 is not defined before it is used")
    );
    trace.ops[0].args[0] = Ref::value(7);
    assert!(
        verify(&trace)
            .expect_err("refused")
            .message
            .contains("?v7 is not defined")
    );
    trace.ops[0].args[0] = Ref::constant(0);
    assert!(
        verify(&trace)
            .expect_err("refused")
            .message
            .contains("there is no constant c0")
    );

    accepted("i3 = int_neg(i0)\nlabel(i3, p1, descr=TargetToken(0))\ni4 = int_add(i3, 5)\nguard_true(i4) [p1]");
    refused(
        "label(i0, descr=TargetToken(0))\nguard_true(i0) [p1]",
        "p1 is out of sight behind the label",
    );
    refused(
        "i3 = int_neg(i0)\nlabel(i0, descr=TargetToken(0))\ni4 = int_neg(i3)",
        "i3 is out of sight",
    );
    refused("label(i0, i0, descr=TargetToken(0))", "i0 is an argument twice");
    refused("label(i0, 5, descr=TargetToken(0))", "an argument is a constant");
    refused(
        "label(descr=TargetToken(0))\nlabel(descr=TargetToken(0))",
        "two labels have this token",
    );

    // a frame shared by guards on both sides of a label
    let mut trace = parsed("guard_true(i0) [j0@1: p1]\nlabel(i0, descr=TargetToken(0))\nguard_true(i0) [j0@1: i0]");
    trace.ops[2].snapshot = trace.ops[0].snapshot;
    assert!(
        verify(&trace)
            .expect_err("refused")
            .message
            .contains("p1 is out of sight")
    );
}

#[test]
fn sunk_operations() {
    accepted("sunk i3 = int_add(i0, 1)\nsunk s4 = setfield_gc(p1, i3, descr=x)\nguard_true(i0) [i3] {s4}");
    refused(
        "sunk i3 = int_add(i0, 1)\ni4 = int_neg(i3)",
        "i3 is sunk: only exits know it",
    );
    refused(
        "sunk i3 = int_add(i0, 1)\nlabel(i3, descr=TargetToken(0))",
        "i3 is sunk",
    );
    refused("sunk i3 = int_floordiv(i0, 2)", "it cannot be sunk");
    refused("sunk i3 = getfield_gc_i(p1, descr=x)", "it cannot be sunk");
    refused(
        "sunk i3 = int_add(i0, 1)\nguard_true(i0) [] {i3}",
        "i3 is pending, but no sunk store",
    );
    let stores = "sunk s3 = setfield_gc(p1, i0, descr=x)\nsunk s4 = setfield_gc(p1, 5, descr=x)\n";
    refused(
        &format!("{stores}guard_true(i0) [] {{s4, s3}}"),
        "pending stores out of order",
    );
    refused(
        "sunk s3 = setfield_gc(p1, i0, descr=x)\nlabel(i0, descr=TargetToken(0))\nguard_true(i0) [] {s3}",
        "s3 is out of sight",
    );
    let mut trace = parsed("sunk s3 = setfield_gc(p1, i0, descr=x)\nguard_true(i0) []");
    let store = trace.result(0);
    trace.snapshots[0].values.push(store);
    assert!(verify(&trace).expect_err("refused").message.contains("s3 is a store"));
    let mut trace = parsed("i3 = int_neg(i0)");
    trace.ops[0].pending = Some([].into());
    assert!(
        verify(&trace)
            .expect_err("refused")
            .message
            .contains("it never leaves the trace")
    );
}

#[test]
fn the_end() {
    refused("jump(descr=TargetToken(0))\ni3 = int_neg(i0)", "operations follow");
    let mut trace = parsed("i3 = int_neg(i0)");
    trace.ops.pop();
    assert_eq!(
        verify(&trace).expect_err("refused").to_string(),
        "the trace does not end in jump or finish"
    );
    assert!(verify(&Trace::default()).is_err());
    let label = "label(i0, p1, descr=TargetToken(3))\n";
    accepted(&format!("{label}jump(5, p1, descr=TargetToken(3))"));
    accepted(&format!("{label}jump(descr=TargetToken(4))"));
    refused(
        &format!("{label}jump(5, descr=TargetToken(3))"),
        "against its label: 1 operands instead of 2",
    );
    refused(
        &format!("{label}jump(p1, p1, descr=TargetToken(3))"),
        "against its label: p1 is not of kind Int",
    );
    refused("jump(i0)", "no descriptor; it needs a target token");
}

#[test]
fn roots() {
    let mut trace = parsed("i3 = int_neg(i0)");
    let root = |value| Root {
        value,
        kind: RootKind::Exclusive,
    };
    let refusal = |trace: &Trace| verify(trace).expect_err("must be refused").message;
    trace.roots = vec![root(Ref::value(3))];
    assert!(refusal(&trace).contains("is not an input"));
    trace.roots = vec![root(Ref::value(2))];
    assert!(refusal(&trace).contains("a root is a float"));
    trace.roots = vec![root(Ref::value(1)), root(Ref::value(1))];
    assert!(refusal(&trace).contains("two facts about the root"));
    let constant = trace.constant(Const::ptr(0x1000));
    trace.roots = vec![root(constant)];
    assert!(refusal(&trace).contains("is not an input"));
    trace.roots = vec![root(Ref::value(1))];
    assert_eq!(verify(&trace), Ok(()));
    assert!(trace.to_string().starts_with("# root p1 = exclusive\n"));
}

#[test]
fn green_is_a_fact_about_the_reference_not_the_word() {
    let trace = parsed("i3 = ptr_eq(GreenPtr(0x1000), ConstPtr(0x1000))");
    let [green, plain] = trace.ops[0].args[..] else {
        panic!("two operands")
    };
    assert!(green.is_green() && !plain.is_green() && green != plain);
    assert_eq!((green.plain(), trace.as_const(green)), (plain, trace.as_const(plain)));
    assert!(trace != parsed("i3 = ptr_eq(ConstPtr(0x1000), GreenPtr(0x1000))"));
    assert!(trace.to_string().contains("ptr_eq(GreenPtr(0x1000), ConstPtr(0x1000))"));
    let mut trace = parsed("i3 = int_add(i0, GreenInt(0x20))");
    let float = trace.constant(Const::float(1.5)).green();
    trace.ops[0].args[1] = float;
    assert_eq!(verify(&trace).expect_err("must be refused").message, "a green float");
}

#[test]
fn comparison_up_to_renaming() {
    let text = "[i0]\nlabel(i0, descr=TargetToken(1))\nguard_true(i0, descr=<Guard0x1>) [5, i0]\njump(7, descr=TargetToken(1))";
    let renamed = "[i4]\nlabel(i4, descr=TargetToken(2))\nguard_true(i4, descr=<Guard0x3>) [5, i4]\njump(7, descr=TargetToken(2))";
    let trace = |text: &str| parse(text).expect("parses");
    assert!(trace(text) == trace(&text.replace("i0", "i9")));
    assert!(trace(text) != trace(renamed));
    assert_eq!(trace(text).same_up_to_renaming(&trace(renamed)), Ok(()));
    let difference = |other: &str| {
        trace(text)
            .same_up_to_renaming(&trace(other))
            .expect_err("differs")
            .to_string()
    };
    assert_eq!(
        difference(&text.replace("jump(7", "jump(8")),
        "operation 2: the operands differ"
    );
    assert_eq!(
        difference(&text.replace("[5, i0]", "[6, i0]")),
        "operation 1: the frames differ"
    );
    assert_eq!(
        difference(&text.replace("[5, i0]", "[5]")),
        "operation 1: the frames differ"
    );
    assert_eq!(difference(&text.replace("[i0]", "[i0, i1]")), "the inputs differ");
    assert_eq!(
        difference(&text.replace("jump(7, descr=TargetToken(1))", "jump(7, descr=TargetToken(2))")),
        "operation 2: the descriptors differ"
    );
    assert_eq!(
        difference(&text.replace("guard_true", "guard_false")),
        "operation 1: different operations"
    );
    assert_eq!(
        difference(&text.replace(", descr=<Guard0x1>", "")),
        "operation 1: the guards' names differ"
    );
    assert_eq!(
        difference(&text[..text.rfind('\n').expect("lines")]),
        "3 operations, and 2"
    );

    // the order of the constant table, and frames that no operation has, do not count
    let mut other = Trace::new(vec![Kind::Int]);
    let large = 1 << 40;
    other.constant(Const::int(large + 1));
    other.add_snapshot(Snapshot {
        frame: Some(Frame {
            jitcode: JitCodeId(0),
            pc: 0,
        }),
        values: Vec::new().into(),
        parent: None,
    });
    let constant = other.constant(Const::int(large));
    let snapshot = other.add_snapshot(Snapshot {
        frame: None,
        values: vec![constant].into(),
        parent: None,
    });
    other.push(Op::with_snapshot(Opcode::Finish, &[], snapshot));
    assert!(other == trace(&format!("[i0]\nfinish() [{large}]")));
    assert!(other != trace(&format!("[i0]\nfinish() [{}]", large + 1)));
}
