//! The jitcode of values of several words: what is made and matched at once stays in registers, whole words of it, and
//! needs no test.

use crate::harness::agree;
use expect_test::{Expect, expect};
use metatrace::__stage::{key, show};
use metatrace::jit;

#[jit]
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub enum Cell {
    Whole(i64),
    Flag(bool),
    Small(u32),
}

/// Its words overlap with those of a [`Cell`] that lies behind its tag.
#[jit]
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
pub enum Failure {
    Empty,
    At { place: u64, line: u64 },
}

#[jit]
fn pop(stack: &mut Vec<Cell>) -> Result<Cell, Failure> {
    match stack.pop() {
        Some(cell) => Ok(cell),
        None => Err(Failure::Empty),
    }
}

#[jit]
fn pop_two(stack: &mut Vec<Cell>, line: u64) -> Result<Cell, Failure> {
    let top = pop(stack)?;
    match (pop(stack), top) {
        (Ok(_), Cell::Flag(false)) => Err(Failure::At {
            place: stack.len() as u64,
            line,
        }),
        (Ok(next), Cell::Flag(true)) => Ok(next),
        (Ok(_), _) => Ok(top),
        (Err(failure), _) => Err(failure),
    }
}

#[jit]
fn pop_whole(stack: &mut Vec<Cell>) -> Result<i64, Failure> {
    match pop(stack)? {
        Cell::Whole(number) => Ok(number),
        Cell::Flag(flag) => Ok(flag as i64),
        Cell::Small(number) => Ok(number as i64),
    }
}

#[jit]
#[derive(Clone, Copy, Debug)]
pub struct Frame<'p> {
    name: &'p u64,
    pc: usize,
}

#[jit]
fn leave(frames: &mut Vec<Frame<'_>>) -> usize {
    match frames.pop() {
        Some(frame) => frame.pc.wrapping_add(*frame.name as usize),
        None => 0,
    }
}

#[jit]
fn name_of(slot: &mut Option<Frame<'_>>) -> u64 {
    match slot {
        Some(frame) => *frame.name,
        None => 0,
    }
}

#[jit]
fn whole_of(slot: &mut Option<Cell>) -> i64 {
    match slot {
        Some(Cell::Whole(number)) => *number,
        _ => 0,
    }
}

fn check(twin: fn(), expected: Expect) {
    expected.assert_eq(&show(twin));
}

#[test]
fn what_was_popped_is_known_to_be_there() {
    check(
        key(<pop>::build),
        expect![[r#"
            jitcode pop(p0) -> (int, int, int, int, int)
                0  i1 = p0.Vec<Cell>.len
                1  branch i1 else 11  live [p0, i1]
                2  i7 = int_add i1 -1
                3  p0.Vec<Cell>.len = i7
                4  i8 = p0.Vec<Cell>.data
                5  i2 = i8[i7].[Cell].tag
                6  i3 = i8[i7].[Cell].@1
                7  i4 = i8[i7].[Cell].@4
                8  i5 = i8[i7].[Cell].@8
                9  i6 = 0
               10  return [i6, i2, i3, i4, i5]  live [i2, i3, i4, i5, i6]
               11  i6 = 1
               12  i2 = 0
               13  i3 = 0
               14  i4 = 0
               15  i5 = 0
               16  goto 10
        "#]],
    );
    check(
        key(<leave>::build),
        expect![[r#"
            jitcode leave(p0) -> (int)
                0  i1 = p0.Vec<Frame<'_>>.len
                1  branch i1 else 10  live [p0, i1]
                2  i3 = int_add i1 -1
                3  p0.Vec<Frame<'_>>.len = i3
                4  i4 = p0.Vec<Frame<'_>>.data
                5  p5 = i4[i3].[Frame<'_>].name
                6  i6 = i4[i3].[Frame<'_>].pc
                7  i4 = p5.u64
                8  i2 = int_add i6 i4
                9  return [i2]  live [i2]
               10  i2 = 0
               11  goto 9
        "#]],
    );
}

#[test]
fn results_of_marked_functions_are_whole_words() {
    check(
        key(<pop_whole>::build),
        expect![[r#"
            jitcode pop_whole(p0) -> (int, int, int)
                0  [i6, i1, i2, i3, i4] = call pop[p0]  live [p0]
                1  branch i6 else 3  live [i1, i2, i3, i4, i6]
                2  return [i1, i2, i3]  live [i1, i2, i3]
                3  branch i1 else 9  live [i1, i2, i3, i4]
                4  branch int_eq i1 1 else 7  live [i1, i2, i3]
                5  i5 = i2
                6  return [2, i5, 0]  live [i5]
                7  i5 = i3
                8  goto 6
                9  i5 = i4
               10  goto 6
        "#]],
    );
}

#[test]
fn they_do_the_same() {
    let cells = [
        Cell::Whole(-1),
        Cell::Flag(false),
        Cell::Small(u32::MAX),
        Cell::Flag(true),
    ];
    for n in 0..=cells.len() {
        agree!(stack = cells[..n].to_vec() => pop(stack));
        agree!(stack = cells[..n].to_vec() => pop_whole(stack));
        agree!(stack = cells[..n].to_vec() => pop_two(stack, u64::MAX));
    }
    let frame = Frame { name: &5, pc: 7 };
    agree!(frames = vec![frame] => leave(frames));
    agree!(frames = Vec::new() => leave(frames));
    for slot in [Some(frame), None] {
        agree!(state = slot => name_of(state));
    }
    for slot in [Some(Cell::Whole(3)), Some(Cell::Small(4)), None] {
        agree!(state = slot => whole_of(state));
    }
}

#[test]
fn a_niche_in_memory_is_read_as_the_word_that_it_is_part_of() {
    check(
        key(<name_of>::build),
        expect![[r#"
        jitcode name_of(p0) -> (int)
            0  p2 = p0.Option<Frame<'_>>.@0
            1  branch ptr_ne p2 ptr(0x0) else 5  live [p0, p2]
            2  p2 = p0.Frame<'_>.name
            3  i1 = p2.u64
            4  return [i1]  live [i1]
            5  i1 = 0
            6  goto 4
    "#]],
    );
    check(
        key(<whole_of>::build),
        expect![[r#"
            jitcode whole_of(p0) -> (int)
                0  i1 = p0.Option<Cell>.@0
                1  branch int_ne i1 3 else 3  live [p0, i1]
                2  branch i1 else 5  live [p0, i1]
                3  i2 = 0
                4  return [i2]  live [i2]
                5  i2 = p0.Option<Cell>.@8
                6  goto 4
        "#]],
    );
}
