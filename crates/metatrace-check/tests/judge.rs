//! Right and wrong rewrites by hand: the judge lets the right ones pass, and says what is wrong with the others.
#![forbid(unsafe_code)]

use metatrace_check::{Mismatch, Options, Report, check};
use metatrace_ir::text::parse;
use metatrace_ir::{Trace, verify};

const DECLARATIONS: &str = "\
# descr S.x = field(offset=0, i64, frozen)
# descr S.y = field(offset=8, i64, frozen)
# descr S.byte = field(offset=16, u8, frozen)
# descr S.cell = field(offset=24, i64)
# descr S.data = field(offset=32, u64, frozen, pointee=owned)
# descr S.next = field(offset=40, ref, frozen, pointee=owned)
# descr S = size(48)
# descr items = array(item_size=8, i64, frozen)
# descr bytes = array(item_size=1, u8, frozen)
# descr see = call(args=p, effect=arguments)
# descr see_number = call(args=pi, effect=arguments)
# descr S.link = field(offset=48, ref)
# descr any = call(effect=any)
# descr get = call(args=i, result=i, effect=elidable)
";

fn trace(roots: &str, text: &str) -> Trace {
    let trace = parse(&format!("{roots}{DECLARATIONS}{text}")).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(verify(&trace), Ok(()), "{text}");
    trace
}

fn judge(roots: &str, recorded: &str, optimized: &str) -> Result<Report, Mismatch> {
    let options = Options { worlds: 300, seed: 1 };
    check(&trace(roots, recorded), &trace(roots, optimized), &options)
}

#[track_caller]
fn right(roots: &str, recorded: &str, optimized: &str) {
    match judge(roots, recorded, optimized) {
        Ok(report) => assert!(report.states > 0, "{report:?}"),
        Err(mismatch) => panic!("{mismatch}"),
    }
}

#[track_caller]
fn wrong(roots: &str, recorded: &str, optimized: &str, message: &str) {
    let mismatch = judge(roots, recorded, optimized).expect_err("a difference").to_string();
    assert!(mismatch.contains(message), "{mismatch}");
}

const ROOT: &str = "# root p0 = exclusive\n";
const END: &str = "descr=<Guard0x9>";

#[test]
fn values() {
    let recorded = "[i0]\ni1 = int_add(i0, 1)\ni2 = int_add(i1, 1)\nfinish(descr=<Guard0x9>) [i2]\n";
    right(
        "",
        recorded,
        "[i0]\ni2 = int_add(i0, 2)\nfinish(descr=<Guard0x9>) [i2]\n",
    );
    wrong(
        "",
        recorded,
        "[i0]\ni2 = int_add(i0, 3)\nfinish(descr=<Guard0x9>) [i2]\n",
        "values [3] instead of [2]",
    );
}

/// A number that the call may overwrite turns out to be the address of what the call has left elsewhere.
#[test]
fn a_number_that_becomes_an_address() {
    let text = "[p0]
i1 = getfield_gc_i(p0, descr=S.cell)
i2 = int_add(i1, 1)
setfield_gc(p0, i2, descr=S.cell)
call_n(123456, p0, i2, descr=see_number)
p3 = getfield_gc_r(p0, descr=S.link)
p4 = getfield_gc_r(p3, descr=S.link)
i5 = ptr_ne(p4, ConstPtr(null))
guard_false(i5, descr=<Guard0x1>) [p4]
finish(descr=<Guard0x9>) []
";
    let text = trace("", text);
    for seed in 1..5 {
        let outcome = check(&text, &text, &Options { worlds: 2_000, seed });
        outcome.unwrap_or_else(|mismatch| panic!("{mismatch}"));
    }
}

/// One value in the middle of all decides.
#[test]
fn values_at_a_boundary() {
    let guard = "[i0]\ni1 = int_lt(i0, 1234567)\nguard_true(i1, descr=<Guard0x1>) []\n";
    let recorded = format!("{guard}i2 = int_le(i0, 1234565)\nfinish({END}) [i2]\n");
    wrong(
        "",
        &recorded,
        &format!("{guard}finish({END}) [1]\n"),
        "input 0 = 1234566",
    );
}

#[test]
fn guards_are_not_lost() {
    let recorded = "[i0]\nguard_true(i0, descr=<Guard0x1>) []\nfinish(descr=<Guard0x9>) [i0]\n";
    wrong(
        "",
        recorded,
        "[i0]\nfinish(descr=<Guard0x9>) [i0]\n",
        "the recorded one leaves at guard_true",
    );
}

#[test]
fn guards_may_fail_earlier_if_a_later_one_does() {
    let recorded = |end: &str| {
        format!(
            "[i0, i1]\ni2 = int_lt(i0, i1)\nguard_true(i2, descr=<Guard0x1>) [i0]\ni3 = int_lt(i0, 5)\n\
             guard_true(i3, descr=<Guard0x2>) [i1]\nfinish({END}) [{end}]\n"
        )
    };
    let strengthened = "[i0, i1]\ni2 = int_lt(i0, i1)\ni3 = int_lt(i0, 5)\ni4 = int_and(i2, i3)\n\
                        early guard_true(i4, descr=<Guard0x1>) [i0]\nfinish(descr=<Guard0x9>) [i0]\n";
    right("", &recorded("i0"), strengthened);
    let unmarked = strengthened.replace("early ", "");
    wrong(
        "",
        &recorded("i0"),
        &unmarked,
        "the optimised trace leaves at guard_true(i2",
    );
    let needless = strengthened.replace("int_lt(i0, 5)", "int_lt(i0, 4)");
    wrong(
        "",
        &recorded("i0"),
        &needless,
        "the optimised trace leaves at guard_true(i2",
    );
}

#[test]
fn loads_are_not_forwarded_past_stores_that_may_alias() {
    let recorded = "[p0, p1]\ni2 = getfield_gc_i(p0, descr=S.x)\nsetfield_gc(p1, 5, descr=S.x)\n\
                    i3 = getfield_gc_i(p0, descr=S.x)\nfinish(descr=<Guard0x9>) [i2, i3]\n";
    let forwarded = "[p0, p1]\ni2 = getfield_gc_i(p0, descr=S.x)\nsetfield_gc(p1, 5, descr=S.x)\n\
                     finish(descr=<Guard0x9>) [i2, i2]\n";
    right(ROOT, recorded, forwarded);
    wrong("", recorded, forwarded, "instead of");
    // with another layout of the same memory
    let recorded = recorded.replace("setfield_gc(p1, 5, descr=S.x)", "setfield_gc(p1, 5, descr=S.y)");
    let forwarded = forwarded.replace("setfield_gc(p1, 5, descr=S.x)", "setfield_gc(p1, 5, descr=S.y)");
    wrong("", &recorded, &forwarded, "instead of");
}

#[test]
fn loads_are_not_forwarded_past_calls_that_reach_them() {
    let with = |call: &str, last: &str| {
        let second = if last == "i3" {
            "i3 = getfield_gc_i(p0, descr=S.x)\n"
        } else {
            ""
        };
        format!("[p0, p1]\ni2 = getfield_gc_i(p0, descr=S.x)\n{call}\n{second}finish({END}) [{last}]\n")
    };
    for (roots, call, holds) in [
        (ROOT, "call_n(4096, p0, descr=see)", false),
        (ROOT, "call_n(4096, p1, descr=see)", true),
        (ROOT, "call_n(4096, descr=any)", true),
        ("", "call_n(4096, descr=any)", false),
        ("", "call_n(4096, p1, descr=see)", false),
        ("# root p0 = shared\n", "call_n(4096, p0, descr=see)", true),
    ] {
        let outcome = judge(roots, &with(call, "i3"), &with(call, "i2"));
        assert_eq!(outcome.is_ok(), holds, "{roots}{call}: {outcome:?}");
    }
}

#[test]
fn cells_change_behind_shared_references() {
    let recorded = "[p0]\ni1 = getfield_gc_i(p0, descr=S.cell)\ncall_n(4096, descr=any)\n\
                    i2 = getfield_gc_i(p0, descr=S.cell)\nfinish(descr=<Guard0x9>) [i2]\n";
    let forwarded =
        "[p0]\ni1 = getfield_gc_i(p0, descr=S.cell)\ncall_n(4096, descr=any)\nfinish(descr=<Guard0x9>) [i1]\n";
    for root in ["# root p0 = shared\n", ROOT, ""] {
        wrong(root, recorded, forwarded, "instead of");
    }
}

#[test]
fn calls_and_exits_see_stores() {
    let recorded = "[p0, i1]\nsetfield_gc(p0, i1, descr=S.x)\nguard_true(i1, descr=<Guard0x1>) []\n\
                    call_n(4096, p0, descr=see)\nsetfield_gc(p0, 1, descr=S.x)\nfinish(descr=<Guard0x9>) []\n";
    let delayed = "[p0, i1]\nsunk s2 = setfield_gc(p0, i1, descr=S.x)\nguard_true(i1, descr=<Guard0x1>) [] {s2}\n\
                   setfield_gc(p0, i1, descr=S.x)\ncall_n(4096, p0, descr=see)\nsetfield_gc(p0, 1, descr=S.x)\n\
                   finish(descr=<Guard0x9>) []\n";
    right(ROOT, recorded, delayed);
    wrong(
        ROOT,
        recorded,
        &delayed.replace(" {s2}", ""),
        "guard_true(i1, descr=<Guard0x1>) []",
    );
    let unseen = delayed.replace("setfield_gc(p0, i1, descr=S.x)\ncall", "call");
    wrong(ROOT, recorded, &unseen, "call 1, see at 4096, could see");
    let lost = delayed.replace("setfield_gc(p0, 1, descr=S.x)\n", "");
    wrong(ROOT, recorded, &lost, "memory with");
}

#[test]
fn calls_are_not_lost_nor_merged() {
    let recorded = "[p0]\ncall_n(4096, p0, descr=see)\ncall_n(4096, p0, descr=see)\nfinish(descr=<Guard0x9>) []\n";
    wrong(
        "",
        recorded,
        "[p0]\ncall_n(4096, p0, descr=see)\nfinish(descr=<Guard0x9>) []\n",
        "1 calls instead of 2",
    );
    let elidable = "[i0]\ni1 = call_pure_i(64, i0, descr=get)\ni2 = call_pure_i(64, i0, descr=get)\n\
                    finish(descr=<Guard0x9>) [i1, i2]\n";
    right(
        "",
        elidable,
        "[i0]\ni1 = call_pure_i(64, i0, descr=get)\nfinish(descr=<Guard0x9>) [i1, i1]\n",
    );
}

#[test]
fn allocations_are_the_same_by_any_address() {
    let recorded = "[p0, i1]\np2 = new(descr=S)\np3 = new(descr=S)\nsetfield_gc(p3, i1, descr=S.x)\n\
                    setfield_gc(p0, p3, descr=S.next)\nguard_true(i1, descr=<Guard0x1>) [p3]\nfinish(descr=<Guard0x9>) [i1]\n";
    let other = "[p0, i1]\np3 = new(descr=S)\nsetfield_gc(p3, i1, descr=S.x)\nsetfield_gc(p0, p3, descr=S.next)\n\
                 guard_true(i1, descr=<Guard0x1>) [p3]\nfinish(descr=<Guard0x9>) [i1]\n";
    right(ROOT, recorded, other);
    let virtual_one = "[p0, i1]\nsunk p3 = new(descr=S)\nsunk s4 = setfield_gc(p3, i1, descr=S.x)\n\
                       sunk s5 = setfield_gc(p0, p3, descr=S.next)\nguard_true(i1, descr=<Guard0x1>) [p3] {s4, s5}\n\
                       finish(descr=<Guard0x9>) [i1] {s4, s5}\n";
    right(ROOT, recorded, virtual_one);
    wrong(ROOT, recorded, &virtual_one.replace("{s4, s5}", "{s5}"), "memory with");
}

#[test]
fn narrow_stores_are_truncated() {
    let recorded = "[p0, i1]\nsetfield_gc(p0, i1, descr=S.byte)\ni2 = getfield_gc_i(p0, descr=S.byte)\nfinish(descr=<Guard0x9>) [i2]\n";
    let whole = "[p0, i1]\nsetfield_gc(p0, i1, descr=S.byte)\nfinish(descr=<Guard0x9>) [i1]\n";
    wrong(ROOT, recorded, whole, "instead of");
}

#[test]
fn what_owners_lead_to_is_apart_until_it_is_moved() {
    let roots = "# root p0 = exclusive\n# root p1 = exclusive\n";
    let with = |exchange: &str, last: &str| {
        format!(
            "[p0, p1]\ni2 = getfield_gc_i(p0, descr=S.data)\ni3 = getarrayitem_raw_i(i2, 0, descr=items)\n{exchange}\
             i4 = getfield_gc_i(p1, descr=S.data)\nsetarrayitem_raw(i4, 0, 7, descr=items)\n\
             i5 = getarrayitem_raw_i(i2, 0, descr=items)\nfinish({END}) [{last}]\n"
        )
    };
    let moved = "setfield_gc(p1, i2, descr=S.data)\nsetfield_gc(p0, 0, descr=S.data)\n";
    right(roots, &with("", "i5"), &with("", "i3"));
    wrong(roots, &with(moved, "i5"), &with(moved, "i3"), "instead of");
}

const LOOP: &str = "\
[p0, i1]
label(p0, i1, descr=TargetToken(1))
i2 = getfield_gc_i(p0, descr=S.x)
i3 = int_add(i2, i1)
setfield_gc(p0, i3, descr=S.x)
i4 = int_lt(i3, 100)
guard_true(i4, descr=<Guard0x1>) [p0, i1]
jump(p0, i1, descr=TargetToken(1))
";

/// The second copy of the body is the second round.
#[test]
fn loops_may_be_peeled_and_their_cells_stay_in_registers() {
    let peeled = "\
[p0, i1]
label(p0, i1, descr=TargetToken(1))
i2 = getfield_gc_i(p0, descr=S.x)
i3 = int_add(i2, i1)
i4 = int_lt(i3, 100)
sunk s5 = setfield_gc(p0, i3, descr=S.x)
guard_true(i4, descr=<Guard0x1>) [p0, i1] {s5}
label(p0, i1, i3, descr=TargetToken(2))
i6 = int_add(i3, i1)
i7 = int_lt(i6, 100)
sunk s8 = setfield_gc(p0, i6, descr=S.x)
guard_true(i7, descr=<Guard0x1>) [p0, i1] {s8}
jump(p0, i1, i6, descr=TargetToken(2))
";
    right(ROOT, LOOP, peeled);
    // a fact of the first round only
    let first_only = peeled.replace("jump(p0, i1, i6", "jump(p0, i1, i3");
    wrong(ROOT, LOOP, &first_only, "rounds");
    let stale = peeled.replace("{s8}", "");
    wrong(ROOT, LOOP, &stale, "rounds");
}

#[test]
fn other_traces_enter_at_labels() {
    let recorded = "[i0]\ni1 = int_and(i0, 7)\nlabel(i1, descr=TargetToken(1))\ni2 = int_lt(i1, 8)\n\
                    guard_true(i2, descr=<Guard0x1>) [i1]\nfinish(descr=<Guard0x9>) []\n";
    let believed = "[i0]\ni1 = int_and(i0, 7)\nlabel(i1, descr=TargetToken(1))\nfinish(descr=<Guard0x9>) []\n";
    wrong("", recorded, believed, "from label 1");
}

#[test]
fn loops_do_not_leave_needlessly() {
    let leaving = LOOP.replace("int_lt(i3, 100)", "int_lt(i3, 90)");
    wrong(ROOT, LOOP, &leaving, "the optimised trace leaves at");
}

#[test]
fn what_is_undefined_promises_nothing() {
    let recorded = "[i0, i1]\ni2 = int_floordiv(i0, i1)\nfinish(descr=<Guard0x9>) [i2]\n";
    let other = "[i0, i1]\ni2 = int_floordiv(i0, i1)\ni3 = int_mod(i0, i1)\nfinish(descr=<Guard0x9>) [i2]\n";
    right("", recorded, other);
    let more = "[i0, i1]\ni2 = int_floordiv(i0, i1)\ni3 = int_floordiv(i1, i0)\nfinish(descr=<Guard0x9>) [i2]\n";
    wrong("", recorded, more, "undefined");
}
