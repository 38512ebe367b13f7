//! Let chains, which edition 2024 has.

use crate::harness::{D, agree, compare, log, make};
use metatrace::{JitDriver, can_enter_jit, jit, jit_merge_point};

#[jit]
fn some(d: D, c: bool) -> Option<D> {
    if c { Some(d) } else { None }
}

#[jit]
fn if_let(a: Option<u8>, b: Option<u8>) -> u8 {
    if let Some(x) = a
        && x > 3
        && let Some(y) = b
    {
        x ^ y
    } else if let Some(x @ ..100) | Some(x) = b {
        x
    } else {
        7
    }
}

#[jit]
fn while_let(v: &mut Vec<i64>) -> i64 {
    let mut t = 0;
    while let Some(x) = v.pop()
        && x != 4
    {
        t += x;
        if let Some(y) = v.last() {
            t += *y;
        } else {
            break;
        }
    }
    let Some(z) = v.pop() else { return t };
    t + z * 100
}

#[jit]
fn drops(c: bool) -> u32 {
    if let Some(x) = some(make(1), c)
        && let Some(y) = some(make(2), x.0 == 2).as_ref()
    {
        log(x.0 + y.0)
    } else if let Some(z) = some(make(3), !c)
        && make(4).0 == 4
        && let Some(w) = some(make(5), true).as_ref()
    {
        log(z.0 + w.0)
    } else {
        log(6)
    }
    7
}

#[jit]
fn drops_in_loops(n: u32) -> u32 {
    let mut k = 0;
    while let Some(x) = some(make(k), k < 5)
        && let Some(y) = some(make(k + 10), x.0 != n).as_ref()
        && make(k + 20).0 > n
        && let Some(z) = some(make(k + 30), true)
    {
        k += 1;
        if y.0 == 12 {
            log(z.0);
            continue;
        }
        if n == 9 {
            break;
        }
        if n == 8 {
            return x.0;
        }
        if n == 7 {
            panic!("{}", z.0);
        }
    }
    k
}

#[jit::portal(driver = jit, greens(pc, ops))]
fn chained<'p>(jit: &JitDriver<'p>, mut pc: usize, ops: &'p Vec<i64>, mut acc: i64) -> i64 {
    while let Some(op) = ops.get(pc)
        && *op != 0
    {
        jit_merge_point!();
        pc += 1;
        acc += *op;
        if *op < 0 && acc < 100_000 {
            pc = 0;
            acc += 10;
            can_enter_jit!();
        }
    }
    acc
}

#[test]
fn conditions() {
    for a in (0..=255u8).step_by(5) {
        for n in [0, 3, 51, 101, 255] {
            agree!(if_let(Some(a), Some(n)));
        }
        agree!(if_let(Some(a), None::<u8>));
        agree!(if_let(None::<u8>, Some(a)));
    }
    for n in 0..8 {
        agree!(s = (0..n).collect::<Vec<i64>>() => while_let(s));
        agree!(s = (0..n).rev().collect::<Vec<i64>>() => while_let(s));
    }
}

#[test]
fn drops_of_chains() {
    agree!(drops(false));
    agree!(drops(true));
    for n in 0..10 {
        agree!(drops_in_loops(n));
    }
}

#[test]
fn portal() {
    let ops = vec![3, 5, -4, 7, 0, 9];
    compare(
        "chained",
        || (),
        |_| chained(&JitDriver::with_param_text("off").unwrap(), 0, &ops, 1).to_string(),
        |_| {
            let jit = JitDriver::with_param_text("threshold=5,strict=1").unwrap();
            let result = chained(&jit, 0, &ops, 1).to_string();
            assert_eq!(jit.stats().loops, 1);
            result
        },
    );
}
