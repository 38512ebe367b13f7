//! The jitcode of small functions, as text.

use expect_test::{Expect, expect};
use metatrace_codewriter::stage::*;
use std::marker::PhantomData;

fn check(twin: fn(), expected: Expect) {
    expected.assert_eq(&show(twin));
}

/// `fn sum(v: &[i64]) -> i64 { let mut t = 0; for x in v { t += *x } t }`, wrapping.
fn sum(_: PhantomData<fn(&[i64]) -> i64>) {
    probe!(&[i64]);
    begin::<i64>("sum", true, false);
    let items = param::<&[i64]>();
    let total = bind(lit(0i64));
    let iter = IntoJitIter::jit_iter(items.__get());
    let join = Join::<Var<()>>::new();
    let (head, done) = (block(), block());
    goto(head);
    switch(head);
    let item = tmp(JitIter::next(&iter, done));
    add_assign((*item).__get(), total);
    again(Some(unit()), head, join.depth());
    switch(done);
    join.arm(Some(unit()));
    join.end();
    ret::<i64>(&total.__get());
}

#[test]
fn a_loop_over_a_slice() {
    check(
        key(sum),
        expect![[r#"
            jitcode sum(i0, i1) -> (int)
                0  i2 = 0
                1  i3 = 0
                2  branch uint_lt i3 i1 else 8  live [i0, i1, i2, i3]
                3  i4 = i3
                4  i3 = int_add i4 1
                5  i5 = i0[i4].[i64]
                6  i2 = int_add i2 i5
                7  goto 2
                8  return [i2]  live [i2]
        "#]],
    );
}

/// `fn push(v: &mut Vec<(u8, f64)>, a: u8) -> usize { v.push((a, 1.5)); v.len() }`
#[allow(clippy::type_complexity)]
fn push(_: PhantomData<fn(&mut Vec<(u8, f64)>, u8) -> usize>) {
    probe!((u8, f64));
    probe!(Vec<(u8, f64)>);
    probe!(&mut Vec<(u8, f64)>);
    begin::<usize>("push", true, false);
    let (items, first) = (param::<&mut Vec<(u8, f64)>>(), param::<u8>());
    let receiver = recv(&*items);
    let pair = tuple2(first.__get(), lit(1.5));
    receiver.push(&pair);
    ret::<usize>(&items.len());
}

#[test]
fn pushing_onto_a_vec() {
    check(
        key(push),
        expect![[r#"
        jitcode push(p0, i1) -> (int)
            0  i2 = p0.Vec<(u8;f64)>.len
            1  i3 = p0.Vec<(u8;f64)>.capacity
            2  branch int_ne i2 i3 else 9  live [p0, i1, i2, i3]
            3  i3 = p0.Vec<(u8;f64)>.data
            4  i3[i2].[(u8;f64)].0 = i1
            5  i3[i2].[(u8;f64)].1 = 1.5
            6  i3 = int_add i2 1
            7  p0.Vec<(u8;f64)>.len = i3
            8  return [i3]  live [i3]
            9  native Vec::reserve[p0]  live [p0, i1, i2]
           10  goto 3
    "#]],
    );
}

/// `fn name(a: bool) -> String { let s = String::new(); if a { return s } f(); String::new() }`: `s` is dropped on one path
/// only, and where `f` unwinds.
fn flags(_: PhantomData<fn(bool) -> String>) {
    use statics::StringStatics;
    probe!(String);
    begin::<String>("flags", true, false);
    let cond = param::<bool>();
    let text = bind(String::__jit_new());
    let not = block();
    test(cond.__get(), not);
    ret::<String>(&text.__get());
    switch(not);
    native0(
        Native {
            elidable: false,
            nounwind: false,
        },
        "f",
        || (),
    );
    ret::<String>(&String::__jit_new());
}

#[test]
fn drops_and_cleanup() {
    check(
        key(flags),
        expect![[r#"
        jitcode flags(i0) -> (int, int, int)
            0  branch i0 else 2  live [i0]
            1  return [1, 0, 0]  live []
            2  native f[] unwind 9  live []
            3  p1 = alloca String
            4  p1.String.data = 1
            5  p1.String.capacity = 0
            6  p1.String.len = 0
            7  native drop<String>[p1]  live [p1]
            8  return [1, 0, 0]  live []
            9  p1 = alloca String
           10  p1.String.data = 1
           11  p1.String.capacity = 0
           12  p1.String.len = 0
           13  native drop<String>[p1]  live [p1]
           14  resume unwind
    "#]],
    );
}
