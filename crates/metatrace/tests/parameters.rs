//! A portal's parameters, assigned in every way there is: an exit writes back what has another value.

use metatrace::{JitDriver, can_enter_jit, jit, jit_merge_point};

#[jit]
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pair {
    low: u32,
    high: i16,
}

#[jit]
struct Program {
    length: usize,
}

#[jit]
fn step(counter: &mut u8, by: u8) -> bool {
    *counter = counter.wrapping_add(by);
    *counter & 1 == 0
}

#[jit]
fn both(a: i64, b: i64) -> (i64, i64) {
    (a.wrapping_mul(3), b ^ a)
}

/// Everything that changes, at the end.
type End = (i64, i64, Pair, u8, Option<i64>, bool, i64);

#[allow(clippy::too_many_arguments, reason = "each is assigned in another way")]
#[jit::portal(driver = jit, greens(pc, program))]
fn run<'p>(
    jit: &JitDriver<'p>,
    mut pc: usize,
    program: &'p Program,
    mut left: i64,
    mut right: i64,
    mut pair: Pair,
    mut counter: u8,
    mut last: Option<i64>,
    mut even: bool,
    mut checked: i64,
    mut rounds: u64,
    limit: u64,
) -> End {
    loop {
        jit_merge_point!();
        match pc {
            0 => std::mem::swap(&mut left, &mut right),
            1 => (left, right) = both(left, right),
            2 => pair.low = pair.low.wrapping_mul(5).wrapping_add(1),
            3 => pair.high = pair.high.wrapping_sub(7),
            4 => even = step(&mut counter, 3),
            5 => last = if even { Some(left) } else { None },
            _ => {
                if let Some(next) = checked.checked_add(1 << 60) {
                    checked = next;
                } else {
                    checked = i64::MIN;
                }
            }
        }
        pc += 1;
        if pc == program.length {
            rounds += 1;
            if rounds == limit {
                return (left, right, pair, counter, last, even, checked);
            }
            pc = 0;
            can_enter_jit!();
        }
    }
}

fn end(params: &str, limit: u64) -> (End, u64) {
    let program = Program { length: 7 };
    let jit = JitDriver::with_param_text(params).expect("good parameters");
    let pair = Pair { low: 1, high: -3 };
    let end = run(&jit, 0, &program, 3, 5, pair, 250, None, false, -7, 0, limit);
    (end, jit.stats().loops)
}

#[test]
fn what_is_assigned_is_written_back() {
    for limit in [1, 5, 40, 1000] {
        let (expected, _) = end("off", limit);
        for params in [
            "threshold=2,trace_eagerness=1",
            "threshold=3,trace_eagerness=2,force_exits=2,seed=3",
            "threshold=3,trace_eagerness=1000000,force_exits=3,seed=4",
            "threshold=2,trace_eagerness=3,check=10,strict=1",
            "threshold=2,trace_eagerness=1,backend=reference",
        ] {
            let (now, loops) = end(params, limit);
            assert_eq!(now, expected, "{limit} rounds with {params}");
            assert!(limit < 40 || loops > 0, "{params}");
        }
    }
}
