//! What the JIT believes of ownership, on portals whose functions move owners about and go on to use them by every name.
//!
//! Each portal runs plainly and with code made early, by the recorded trace and by the optimised one.

#![allow(clippy::all, reason = "the functions are odd on purpose")]

use metatrace::{JitDriver, can_enter_jit, jit, jit_merge_point};

/// A portal that calls `$f($state, n & 1)` for each `n` down to 0 and adds up what it gives; and the test of it.
macro_rules! portal {
    ($test:ident, $f:ident, $state:ty, $new:expr) => {
        mod $test {
            use super::*;

            #[jit::portal(driver = jit, greens(pc))]
            fn run(jit: &JitDriver<'_>, pc: usize, mut n: i64, mut sum: i64, state: &mut $state) -> i64 {
                loop {
                    jit_merge_point!();
                    if n == 0 {
                        return sum;
                    }
                    n -= 1;
                    sum += $f(state, (n & 1) as usize);
                    can_enter_jit!();
                }
            }

            #[test]
            fn agrees() {
                let plain = run(&JitDriver::with_param_text("off").unwrap(), 0, 100, 0, &mut $new);
                for params in [
                    "enable_opts=none",
                    "enable_opts=all",
                    "backend=reference",
                    "force_exits=3,demotion=0",
                ] {
                    let params = format!("threshold=7,trace_eagerness=2,strict=1,{params}");
                    let jit = JitDriver::with_param_text(&params).unwrap();
                    assert_eq!(run(&jit, 0, 100, 0, &mut $new), plain, "{params}");
                    assert!(jit.stats().loops > 0, "{params}");
                }
            }
        }
    };
}

#[jit]
struct Numbers {
    x: i64,
    y: i64,
}

#[jit]
fn references_to_locals(_: &mut Numbers, i: usize) -> i64 {
    let (mut a, mut b, mut c, mut d) = (1i64, 2i64, 0i64, 0i64);
    let mut references = [&mut c, &mut d];
    references[0] = &mut a;
    references[1] = &mut b;
    *references[0] = 3;
    *references[i] = 5;
    a * 10 + b
}
portal!(locals, references_to_locals, Numbers, Numbers { x: 0, y: 0 });

#[jit]
fn references_to_fields(numbers: &mut Numbers, i: usize) -> i64 {
    let (mut c, mut d) = (0i64, 0i64);
    let mut references = [&mut c, &mut d];
    references[0] = &mut numbers.x;
    references[1] = &mut numbers.y;
    *references[0] = 3;
    *references[i] = 5;
    numbers.x * 10 + numbers.y
}
portal!(fields, references_to_fields, Numbers, Numbers { x: 0, y: 0 });

#[jit]
struct Rows {
    rows: Vec<Vec<i64>>,
}

#[jit]
fn pushed_row(state: &mut Rows, i: usize) -> i64 {
    let mut row: Vec<i64> = Vec::with_capacity(4);
    row.push(7);
    let last = state.rows.len();
    state.rows.push(row);
    state.rows[last][0] = 3;
    state.rows[i][0] = 5;
    let got = state.rows[last][0];
    state.rows.pop();
    got
}
portal!(row, pushed_row, Rows, Rows { rows: vec![vec![1]] });

#[jit]
fn row_there_and_back(state: &mut Rows, i: usize) -> i64 {
    state.rows[0][0] = 1;
    state.rows[1][0] = 2;
    let moved = std::mem::take(&mut state.rows[0]);
    let kept = std::mem::replace(&mut state.rows[i], moved);
    state.rows[i][0] += 10;
    state.rows[1][0] += 20;
    let got = state.rows[i][0];
    state.rows[0] = kept;
    if i == 1 {
        state.rows.swap(0, 1);
    } else {
        state.rows[0] = vec![got];
    }
    got * 100 + state.rows[0][0] + state.rows[1][0]
}
portal!(
    there_and_back,
    row_there_and_back,
    Rows,
    Rows {
        rows: vec![vec![1], vec![2]]
    }
);

#[jit]
struct Frame {
    locals: Vec<i64>,
}

#[jit]
struct Vm {
    frames: Vec<Frame>,
}

#[jit]
fn guest_call(vm: &mut Vm, target: usize) -> i64 {
    let base = vm.frames.len();
    let mut locals: Vec<i64> = Vec::with_capacity(4);
    locals.push(1);
    vm.frames.push(Frame { locals });
    vm.frames[base].locals[0] = 10;
    vm.frames[target].locals[0] += 1;
    let got = vm.frames[base].locals[0];
    vm.frames.pop();
    got
}
portal!(
    frames,
    guest_call,
    Vm,
    Vm {
        frames: vec![Frame { locals: vec![1] }]
    }
);

#[jit]
struct Lists {
    first: Option<Box<Node>>,
    second: Option<Box<Node>>,
}

#[jit]
struct Node {
    value: i64,
    next: Option<Box<Node>>,
}

#[jit]
fn moved_node(lists: &mut Lists, i: usize) -> i64 {
    let node = Box::new(Node { value: 1, next: None });
    if i == 0 {
        lists.first = Some(node);
    } else {
        lists.second = Some(node);
    }
    if let Some(first) = &mut lists.first {
        first.value += 2;
    }
    if let Some(second) = &mut lists.second {
        second.value += 3;
    }
    let taken = if i == 0 {
        lists.first.take()
    } else {
        lists.second.take()
    };
    match taken {
        Some(node) => node.value,
        None => -1,
    }
}
portal!(
    nodes,
    moved_node,
    Lists,
    Lists {
        first: None,
        second: None
    }
);

#[jit::elidable]
fn norm(of: &Numbers) -> i64 {
    of.x.wrapping_mul(3) ^ of.y
}

#[jit::elidable]
fn looked_up(numbers: &Numbers, _version: i64) -> i64 {
    numbers.x
}

#[jit]
fn elidable_of_local(numbers: &mut Numbers, i: usize) -> i64 {
    numbers.x += 1;
    let local = Numbers {
        x: numbers.x,
        y: i as i64,
    };
    norm(&local)
}
portal!(local_read, elidable_of_local, Numbers, Numbers { x: 0, y: 0 });

#[jit]
fn elidable_of_version(numbers: &mut Numbers, _: usize) -> i64 {
    numbers.y += 1;
    numbers.x = numbers.y * 5;
    looked_up(numbers, numbers.y)
}
portal!(version_read, elidable_of_version, Numbers, Numbers { x: 0, y: 0 });

#[jit]
#[repr(u8)]
enum Held {
    Number(i64),
    Owned(Box<Numbers>),
}

#[jit]
struct Slot {
    held: Held,
    seen: i64,
}

/// Doubles what is behind an owner, wherever that is.
#[jit::dont_look_inside]
fn doubled(held: Held) -> Held {
    match held {
        Held::Number(n) => Held::Number(n * 2 % 1001),
        Held::Owned(mut numbers) => {
            numbers.x = numbers.x * 2 % 1001;
            Held::Owned(numbers)
        }
    }
}

#[jit]
fn owner_in_a_word_that_numbers_share(slot: &mut Slot, i: usize) -> i64 {
    if let Held::Owned(numbers) = &mut slot.held {
        numbers.x += 1 + i as i64;
    }
    slot.held = doubled(std::mem::replace(&mut slot.held, Held::Number(0)));
    if let Held::Owned(numbers) = &mut slot.held {
        slot.seen += numbers.x;
    }
    slot.seen
}
portal!(
    shared_word,
    owner_in_a_word_that_numbers_share,
    Slot,
    Slot {
        held: Held::Owned(Box::new(Numbers { x: 3, y: 0 })),
        seen: 0
    }
);

#[jit]
struct Pair {
    pair: (u32, Box<Numbers>),
    seen: i64,
}

#[jit::dont_look_inside]
fn doubled_in_a_pair(pair: (u32, Box<Numbers>)) -> (u32, Box<Numbers>) {
    let (n, mut numbers) = pair;
    numbers.x = numbers.x * 2 % 1001;
    (n ^ 1, numbers)
}

#[jit]
fn owner_in_an_image_of_two_words(state: &mut Pair, i: usize) -> i64 {
    state.pair.1.x += 1 + i as i64;
    let empty = (7u32, Box::new(Numbers { x: 0, y: 0 }));
    state.pair = doubled_in_a_pair(std::mem::replace(&mut state.pair, empty));
    state.seen += state.pair.1.x + state.pair.0 as i64;
    state.seen
}
portal!(
    pair,
    owner_in_an_image_of_two_words,
    Pair,
    Pair {
        pair: (1, Box::new(Numbers { x: 3, y: 0 })),
        seen: 0
    }
);

#[jit]
#[repr(u8)]
enum Wide {
    Numbers(i64, i64, i64),
    Owners(Box<Numbers>, i64, Box<Numbers>),
}

#[jit]
struct WideSlot {
    wide: Wide,
    seen: i64,
}

#[jit::dont_look_inside]
fn doubled_wide(wide: Wide) -> Wide {
    match wide {
        Wide::Numbers(a, b, c) => Wide::Numbers(b, c, a),
        Wide::Owners(mut a, n, mut b) => {
            (a.x, b.x) = (b.x * 2 % 1001, a.x + 1);
            Wide::Owners(b, n + 1, a)
        }
    }
}

#[jit]
fn owners_in_a_value_passed_by_address(slot: &mut WideSlot, i: usize) -> i64 {
    if let Wide::Owners(a, _, b) = &mut slot.wide {
        a.x += 1 + i as i64;
        b.x += 3;
    }
    slot.wide = doubled_wide(std::mem::replace(&mut slot.wide, Wide::Numbers(1, 2, 3)));
    if let Wide::Owners(a, n, b) = &mut slot.wide {
        slot.seen += a.x * 2 + *n + b.x;
    }
    slot.seen
}
portal!(
    wide,
    owners_in_a_value_passed_by_address,
    WideSlot,
    WideSlot {
        wide: Wide::Owners(Box::new(Numbers { x: 3, y: 0 }), 1, Box::new(Numbers { x: 4, y: 0 })),
        seen: 0
    }
);

#[jit]
fn owner_moved_between_shared_words(slots: &mut (Slot, Slot), i: usize) -> i64 {
    if let Held::Owned(numbers) = &mut slots.0.held {
        numbers.x += 1 + i as i64;
    }
    std::mem::swap(&mut slots.0.held, &mut slots.1.held);
    if let Held::Owned(numbers) = &mut slots.1.held {
        numbers.x += 5;
    }
    slots.1.held = doubled(std::mem::replace(&mut slots.1.held, Held::Number(0)));
    std::mem::swap(&mut slots.0.held, &mut slots.1.held);
    if let Held::Owned(numbers) = &slots.0.held {
        slots.0.seen += numbers.x;
    }
    slots.0.seen
}
portal!(
    shared_words,
    owner_moved_between_shared_words,
    (Slot, Slot),
    (
        Slot {
            held: Held::Owned(Box::new(Numbers { x: 3, y: 0 })),
            seen: 0
        },
        Slot {
            held: Held::Number(4),
            seen: 0
        }
    )
);

/// What is stored last was there before the first, but the store in the middle may have been to it, and the load sees that one
/// alone.
#[jit]
fn item_restored_behind_another(items: &mut Vec<i64>, i: usize) -> i64 {
    let old = items[1];
    items[1] = 5;
    items[i] = 6;
    items[1] = 7;
    let other = items[2];
    items[1] = old;
    items[2] += 1;
    other + items[1] * 10
}
portal!(restored, item_restored_behind_another, Vec<i64>, vec![1, 2, 3]);
