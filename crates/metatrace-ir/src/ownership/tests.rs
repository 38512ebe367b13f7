//! Each fact, where it is used rightly and where using it would give a wrong value: the last load of a trace is known to be
//! a certain value, or must be made.

use super::*;
use crate::text::parse;
use crate::verify;

const DECLARED: &str = "
    # descr S.x = field(offset=0, i64, frozen)
    # descr S.y = field(offset=8, i64, frozen)
    # descr S.box = field(offset=16, ref, frozen, pointee=owned)
    # descr S.data = field(offset=24, u64, frozen, pointee=owned)
    # descr S.shared = field(offset=32, ref, frozen, pointee=shared)
    # descr S.counted = field(offset=40, ref, frozen, pointee=counted)
    # descr S.cell = field(offset=48, i64)
    # descr S.raw = field(offset=56, i64, frozen, memory=raw)
    # descr numbers = array(item_size=8, i64, frozen)
    # descr rows = array(item_size=24, offset=8, u64, frozen, pointee=owned)
    # descr Slot = size(16)
    # descr any = call(args=p, effect=any)
    # descr none = call(effect=any)
    # descr own = call(args=p, effect=arguments)
    # descr find = call(args=p, result=p, effect=elidable)
";

fn trace(facts: &str, ops: &str) -> Trace {
    let inputs = "[p0, p1, p2, i3, i4, i5]";
    let text = format!("{facts}{DECLARED}{inputs}\n{ops}\nfinish() []");
    let text: String = text.lines().map(|line| format!("{}\n", line.trim())).collect();
    let trace = parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    verify(&trace).unwrap_or_else(|error| panic!("{error}\n{text}"));
    trace
}

/// Two exclusive roots, one unknown pointer, three numbers.
const ROOTS: &str = "# root p0 = exclusive\n# root p1 = exclusive\n";

/// What the last load is known to give, with these facts.
fn last_load_with(facts: &str, ops: &str) -> Option<String> {
    let trace = trace(facts, ops);
    let mut contents = Contents::new(&trace.roots, &trace.derived);
    let last = trace.ops.len() - 2;
    let values = Part {
        trace: &trace,
        start: 0,
    };
    for (n, op) in trace.ops[..last].iter().enumerate() {
        contents.observe(op, trace.result(n), &values);
        if op.opcode == Opcode::GuardValue {
            contents.learned(op.args[0], op.args[1]);
        }
    }
    let content = contents.of_op(&trace.ops[last], &values)?;
    Some(trace.print(&crate::text::PrintOptions::default()).value(content.value))
}

fn last_load(ops: &str) -> Option<String> {
    last_load_with(ROOTS, ops)
}

#[track_caller]
fn is_known(ops: &str, value: &str) {
    assert_eq!(last_load(ops).as_deref(), Some(value), "{ops}");
}

#[track_caller]
fn is_not_known(ops: &str) {
    assert_eq!(last_load(ops), None, "{ops}");
}

#[test]
fn exclusive_roots_are_apart_from_each_other_and_from_the_unknown() {
    let store_to = |other: &str| {
        format!(
            "setfield_gc(p0, i3, descr=S.x)
             setfield_gc({other}, i4, descr=S.x)
             i6 = getfield_gc_i(p0, descr=S.x)"
        )
    };
    is_known(&store_to("p1"), "i3");
    is_known(&store_to("p2"), "i3");
    is_known(&store_to("p0"), "i4");
    assert_eq!(last_load_with("", &store_to("p1")), None, "no roots, no facts");
}

#[test]
fn a_store_changes_the_bytes_it_overlaps() {
    is_known(
        "setfield_gc(p2, i3, descr=S.x)
         setfield_gc(p2, i4, descr=S.y)
         i6 = getfield_gc_i(p2, descr=S.x)",
        "i3",
    );
    is_not_known(
        "setfield_gc(p2, i3, descr=S.x)
         i6 = int_add(i5, 4)
         setarrayitem_raw(i6, 0, i4, descr=numbers)
         i7 = getfield_gc_i(p2, descr=S.x)",
    );
}

#[test]
fn index_arithmetic_tells_items_apart() {
    let items = |index: &str| {
        format!(
            "i6 = int_add(i4, 1)
             setarrayitem_raw(i3, i4, 7, descr=numbers)
             setarrayitem_raw(i3, {index}, 8, descr=numbers)
             i7 = getarrayitem_raw_i(i3, i4, descr=numbers)"
        )
    };
    is_known(&items("i6"), "7");
    is_known(&items("i4"), "8");
    is_not_known(&items("i5"));
}

#[test]
fn what_is_remembered_is_bounded_and_the_newest() {
    let after_stores = |count: usize, load: usize| {
        let stores: String = (0..count)
            .map(|n| format!("setarrayitem_raw(i3, {n}, {}, descr=numbers)\n", n + 1000))
            .collect();
        last_load(&format!("{stores}i6 = getarrayitem_raw_i(i3, {load}, descr=numbers)"))
    };
    for count in [600, 1000, 3000] {
        assert_eq!(after_stores(count, count - 1), Some((count + 999).to_string()));
        assert_eq!(after_stores(count, count - 256), Some((count + 744).to_string()));
        assert_eq!(after_stores(count, count - 513), None);
    }
}

#[test]
fn behind_a_label_an_index_is_not_what_it_was_computed_as() {
    let trace = trace(
        "",
        "i6 = int_add(i4, 1)
         label(i3, i4, i6, descr=TargetToken(1))
         setarrayitem_raw(i3, i4, 7, descr=numbers)
         setarrayitem_raw(i3, i6, 8, descr=numbers)
         i7 = getarrayitem_raw_i(i3, i4, descr=numbers)",
    );
    let known = |start: usize| {
        let values = Part { trace: &trace, start };
        let mut contents = Contents::new(&[], &[]);
        for n in 2..4 {
            contents.observe(&trace.ops[n], trace.result(n), &values);
        }
        contents.of_op(&trace.ops[4], &values).is_some()
    };
    assert!(known(0), "in the part that computes the sum");
    assert!(!known(2), "whoever jumps to the label may bring the same index twice");
}

#[test]
fn what_a_root_owns_is_apart_from_the_root_itself() {
    is_known(
        "setfield_gc(p0, i3, descr=S.x)
         i6 = getfield_gc_i(p0, descr=S.data)
         setarrayitem_raw(i6, i4, i5, descr=numbers)
         i7 = getfield_gc_i(p0, descr=S.x)",
        "i3",
    );
    is_known(
        "i6 = getfield_gc_i(p0, descr=S.data)
         p7 = getfield_gc_r(p0, descr=S.box)
         setfield_gc(p7, i3, descr=S.x)
         setarrayitem_raw(i6, i4, i5, descr=numbers)
         i8 = getfield_gc_i(p7, descr=S.x)",
        "i3",
    );
}

#[test]
fn what_a_root_only_refers_to_may_be_anywhere() {
    for field in ["S.shared", "S.counted"] {
        is_not_known(&format!(
            "p6 = getfield_gc_r(p0, descr={field})
             setfield_gc(p6, i3, descr=S.x)
             setfield_gc(p2, i4, descr=S.x)
             i7 = getfield_gc_i(p6, descr=S.x)"
        ));
    }
}

#[test]
fn two_rows_may_be_one_buffer() {
    is_not_known(
        "i6 = getfield_gc_i(p0, descr=S.data)
         i7 = getarrayitem_raw_i(i6, i3, descr=rows)
         i8 = getarrayitem_raw_i(i6, i4, descr=rows)
         setarrayitem_raw(i7, i5, 1, descr=numbers)
         setarrayitem_raw(i8, i5, 2, descr=numbers)
         i9 = getarrayitem_raw_i(i7, i5, descr=numbers)",
    );
    is_known(
        "i6 = getfield_gc_i(p0, descr=S.data)
         i7 = getarrayitem_raw_i(i6, 3, descr=rows)
         i8 = getarrayitem_raw_i(i6, 4, descr=rows)
         setarrayitem_raw(i7, i5, 1, descr=numbers)
         setarrayitem_raw(i8, i5, 2, descr=numbers)
         i9 = getarrayitem_raw_i(i7, i5, descr=numbers)",
        "1",
    );
}

#[test]
fn an_owner_that_was_stored_to_owns_another_buffer() {
    let moved = |between: &str| {
        format!(
            "i6 = getfield_gc_i(p0, descr=S.data)
             setarrayitem_raw(i6, i3, 1, descr=numbers)
             {between}
             p7 = getfield_gc_r(p0, descr=S.box)
             setfield_gc(p7, i5, descr=S.x)
             i8 = getarrayitem_raw_i(i6, i3, descr=numbers)"
        )
    };
    is_known(&moved(""), "1");
    // the box may be the buffer by now
    is_not_known(&moved("setfield_gc(p0, i4, descr=S.data)"));
}

#[test]
fn a_call_changes_what_it_is_given_and_what_is_unknown() {
    let across = |base: &str, call: &str| {
        format!(
            "setfield_gc({base}, i3, descr=S.x)
             {call}
             i6 = getfield_gc_i({base}, descr=S.x)"
        )
    };
    is_known(&across("p0", "call_n(4096, p1, descr=any)"), "i3");
    is_known(&across("p0", "call_n(4096, p2, descr=any)"), "i3");
    is_not_known(&across("p0", "call_n(4096, p0, descr=own)"));
    is_not_known(&across("p2", "call_n(4096, descr=none)"));
    is_not_known(&across("p2", "call_n(4096, p0, descr=own)"));
    is_known(&across("p2", "p7 = call_pure_r(4096, p2, descr=find)"), "i3");
}

#[test]
fn a_call_finds_what_was_stored_where_it_looks() {
    let stored = |at: &str, given: &str| {
        format!(
            "setfield_gc({at}, p0, descr=S.counted)
             setfield_gc(p0, i3, descr=S.x)
             call_n(4096, {given}, descr=own)
             i6 = getfield_gc_i(p0, descr=S.x)"
        )
    };
    is_not_known(&stored("p1", "p1"));
    is_not_known(&stored("p2", "p2"));
    // what p1 leads to may be what p2 is
    is_not_known(&stored("p2", "p1"));
}

#[test]
fn a_pointer_that_is_stored_is_another_way() {
    is_not_known(
        "setfield_gc(p0, i3, descr=S.x)
         setfield_gc(p2, p0, descr=S.counted)
         i6 = getfield_gc_i(p0, descr=S.x)",
    );
}

#[test]
fn what_a_call_returns_may_be_what_it_was_given() {
    is_not_known(
        "p6 = call_pure_r(4096, p0, descr=find)
         setfield_gc(p0, i3, descr=S.x)
         setfield_gc(p6, i4, descr=S.x)
         i7 = getfield_gc_i(p0, descr=S.x)",
    );
}

#[test]
fn an_allocation_is_alone_until_its_address_is_told() {
    let slot = |between: &str| {
        format!(
            "p6 = alloca(descr=Slot)
             setfield_gc(p6, i3, descr=S.x)
             {between}
             call_n(4096, descr=none)
             i7 = getfield_gc_i(p6, descr=S.x)"
        )
    };
    is_known(&slot("setfield_gc(p2, i4, descr=S.x)"), "i3");
    is_not_known(&slot("setfield_gc(p2, p6, descr=S.counted)"));
    is_not_known(&slot("call_n(4096, p6, descr=own)"));
    // the first call may have kept the address
    is_not_known(
        "p6 = alloca(descr=Slot)
         call_n(4096, p6, descr=own)
         setfield_gc(p6, i3, descr=S.x)
         call_n(4096, descr=none)
         i7 = getfield_gc_i(p6, descr=S.x)",
    );
}

#[test]
fn cells_are_reached_by_other_ways_and_raw_memory_is_not_remembered() {
    is_not_known(
        "setfield_gc(p0, i3, descr=S.cell)
         setfield_gc(p2, i4, descr=S.x)
         i6 = getfield_gc_i(p0, descr=S.cell)",
    );
    is_not_known(
        "setfield_gc(p0, i3, descr=S.raw)
         i6 = getfield_gc_i(p0, descr=S.raw)",
    );
}

#[test]
fn frozen_memory_never_changes_and_the_rest_does() {
    for kind in ["shared", "green"] {
        let facts = format!("# root p0 = {kind}\n");
        let twice = |field: &str| {
            format!(
                "i6 = getfield_gc_i(p0, descr={field})
                 setfield_gc(p2, i4, descr=S.x)
                 call_n(4096, descr=none)
                 i7 = getfield_gc_i(p0, descr={field})"
            )
        };
        assert_eq!(last_load_with(&facts, &twice("S.y")).as_deref(), Some("i6"));
        assert_eq!(last_load_with(&facts, &twice("S.cell")), None);
    }
}

/// A constant that stands for a pointer leads where the pointer does: stores by one name are seen by the other.
#[test]
fn a_promoted_pointer_is_still_derived_from_its_root() {
    is_not_known(
        "p6 = ptr_field(p0, descr=S.x)
         guard_value(p6, ConstPtr(0x1000)) []
         i7 = getfield_gc_i(ConstPtr(0x1000), descr=S.x)
         call_n(4096, p0, descr=own)
         i8 = getfield_gc_i(ConstPtr(0x1000), descr=S.x)",
    );
    is_known(
        "p6 = ptr_field(p0, descr=S.x)
         guard_value(p6, ConstPtr(0x1000)) []
         i7 = getfield_gc_i(ConstPtr(0x1000), descr=S.x)
         setfield_gc(p0, i4, descr=S.x)
         i8 = getfield_gc_i(ConstPtr(0x1000), descr=S.x)",
        "i4",
    );
}

#[test]
fn what_is_known_of_a_pointer_holds_for_the_constant_that_it_is() {
    is_known(
        "p6 = getfield_gc_r(p0, descr=S.shared)
         guard_value(p6, GreenPtr(0x1000)) []
         p7 = getfield_gc_r(p0, descr=S.shared)",
        "GreenPtr(0x1000)",
    );
}

// ---- bridges

/// What a bridge inherits at the trace's end if its inputs are these values: facts, as the textual form has them.
fn inherited(facts: &str, ops: &str, inputs: &[&str]) -> Vec<String> {
    let trace = trace(facts, ops);
    let mut ownership = Ownership::new(&trace.roots, &trace.derived);
    (0..trace.ops.len()).for_each(|n| ownership.follow(&trace, n));
    let printed = trace.print(&crate::text::PrintOptions::default());
    let all: Vec<Ref> = (0..trace.value_count()).map(Ref::value).collect();
    let named = |name: &&str| all.iter().copied().find(|value| printed.value(*value) == **name);
    let inputs: Vec<Ref> = inputs.iter().map(|name| named(name).expect("a value")).collect();
    let (mut roots, mut derived) = (Vec::new(), Vec::new());
    ownership.inherited(&inputs, &mut roots, &mut derived);
    let mut bridge = Trace::new(inputs.iter().map(|input| trace.kind(*input)).collect());
    (bridge.roots, bridge.derived) = (roots, derived);
    let text = bridge.to_string();
    text.lines()
        .filter_map(|line| line.strip_prefix("# "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_bridge_inherits_roots_and_what_derives_from_them() {
    let ops = "i6 = getfield_gc_i(p0, descr=S.data)
               p7 = ptr_field(p0, descr=S.y)
               p8 = call_pure_r(4096, p0, descr=find)
               i9 = getfield_gc_i(p0, descr=S.x)";
    assert_eq!(
        inherited(ROOTS, ops, &["p0", "i6", "p7", "p8", "i9", "p1", "p2"]),
        [
            "root p0 = exclusive",
            "root p5 = exclusive",
            "derived i1 = below p0",
            "derived p2 = inside p0",
            "derived p3 = perhaps p0",
        ]
    );
    assert_eq!(
        inherited(ROOTS, ops, &["i6", "p7"]),
        [""; 0],
        "without the root, nothing"
    );
    let shared = "# root p0 = shared\n# root p1 = exclusive\n";
    let ops = "p6 = getfield_gc_r(p0, descr=S.shared)\np7 = getfield_gc_r(p1, descr=S.shared)";
    assert_eq!(inherited(shared, ops, &["p6", "p7"]), ["root p0 = shared"]);
}

/// A bridge that loads the pointer again, or has it as a constant, would take it for one that leads elsewhere.
#[test]
fn a_root_that_can_be_found_in_memory_or_in_a_constant_is_none_in_a_bridge() {
    for ops in [
        "setfield_gc(p2, p0, descr=S.counted)",
        "setfield_gc(p1, p0, descr=S.counted)",
        "p6 = alloca(descr=Slot)\nsetfield_gc(p6, p0, descr=S.x.p)",
        "p6 = ptr_field(p0, descr=S.y)\nguard_value(p6, ConstPtr(0x1000)) []",
    ] {
        let ops = ops.replace("S.x.p", "S.counted");
        assert_eq!(inherited(ROOTS, &ops, &["p0", "p1"]), ["root p1 = exclusive"], "{ops}");
    }
    let within = "p6 = ptr_field(p0, descr=S.y)\nsetfield_gc(p0, p6, descr=S.counted)";
    assert_eq!(inherited(ROOTS, within, &["p0"]), ["root p0 = exclusive"]);
}

/// In the bridge: the buffer may be the one that is loaded again from its owner, and is apart from the owner itself.
#[test]
fn derived_inputs_alias_what_is_below_their_root() {
    let facts = |reach| format!("# root p0 = exclusive\n# root p1 = exclusive\n# derived i3 = {reach} p0\n");
    let again = "i6 = getfield_gc_i(p0, descr=S.data)
                 setarrayitem_raw(i3, i4, 1, descr=numbers)
                 setarrayitem_raw(i6, i5, 2, descr=numbers)
                 i7 = getarrayitem_raw_i(i3, i4, descr=numbers)";
    let own = |root: &str| {
        format!(
            "setfield_gc({root}, i5, descr=S.x)
             setarrayitem_raw(i3, i4, 1, descr=numbers)
             i7 = getfield_gc_i({root}, descr=S.x)"
        )
    };
    assert_eq!(last_load_with(&facts("below"), again), None);
    assert_eq!(last_load_with(&facts("below"), &own("p0")).as_deref(), Some("i5"));
    for reach in ["inside", "perhaps"] {
        assert_eq!(last_load_with(&facts(reach), &own("p0")), None);
        assert_eq!(last_load_with(&facts(reach), &own("p1")).as_deref(), Some("i5"));
    }
    let call = "setarrayitem_raw(i3, i4, 1, descr=numbers)
                call_n(4096, p0, descr=own)
                i7 = getarrayitem_raw_i(i3, i4, descr=numbers)";
    assert_eq!(last_load_with(&facts("below"), call), None);
}
