//! Control flow: branches, loops, labels, early exits, and what diverges.

use crate::harness::agree;
use metatrace::jit;

#[jit]
fn if_value(a: i64, c: bool) -> i64 {
    let x = if c {
        a + 1
    } else if a > 4 {
        return 7;
    } else {
        -1
    };
    x * 2
}

#[jit]
fn if_statement(a: &mut u8, n: u8) {
    if *a > n {
        *a -= n;
    }
    if *a == 3 {
        return;
    }
    if n > 100 {
        *a = 0
    } else if n > 50 {
        *a = 1
    }
}

#[jit]
fn loop_value(mut a: i64) -> i64 {
    let r = loop {
        a += 1;
        if a > 10 {
            break a * 2;
        }
        if a == 5 {
            continue;
        }
    };
    r
}

#[jit]
fn while_loop(n: u8) -> u8 {
    let mut i = 0;
    while i < n {
        if i == 30 {
            return i;
        }
        if i == 20 {
            i += 5;
            continue;
        }
        i += 1;
        if i == 27 {
            break;
        }
    }
    i
}

#[jit]
fn labels(n: usize) -> usize {
    let mut t = 0;
    'outer: for i in 0..n {
        for j in 0..i {
            if j == 3 {
                continue 'outer;
            }
            if i * j > 100 {
                break 'outer;
            }
            t += j;
        }
    }
    t
}

#[jit]
fn labelled_values(n: i64) -> i64 {
    let r = 'block: {
        if n == 3 {
            break 'block 1;
        }
        let k = loop {
            if n > 5 {
                break 'block 2;
            }
            break n * 2;
        };
        k + 1
    };
    let mut t = 0;
    let z = 'outer: loop {
        let mut i = 0;
        while i < 10 {
            i += 1;
            t += i;
            if t > 50 {
                break 'outer t * 2;
            }
            if i == n {
                continue 'outer;
            }
        }
    };
    r * 1000 + z
}

#[jit]
fn ranges(mut n: u8) -> u32 {
    let mut t = 0;
    for i in 0..n {
        n /= 2;
        t += i as u32;
    }
    for i in 250..=255u8 {
        t += i as u32;
    }
    for i in n..=3 {
        t = t * 3 + i as u32;
    }
    for _ in 5..n {
        t += 1;
    }
    for i in -3..3i64 {
        t = t.wrapping_add(i as u32);
    }
    t + n as u32
}

#[jit]
fn inclusive_limits(a: u8, b: u8) -> u64 {
    let mut t = 0u64;
    for i in a..=b {
        t = t * 7 + i as u64 & 0xFFFF_FFFF;
    }
    t
}

#[jit]
fn sequences(v: &[u8], w: &Vec<u16>, m: &mut Vec<u64>) -> u64 {
    let mut t = 0;
    for x in v {
        t += *x as u64;
    }
    for &x in w {
        t += x as u64;
    }
    for x in &mut *m {
        *x += 1;
        if *x == 5 {
            continue;
        }
        t += *x;
    }
    for (i, x) in &[(0, 1u64), (2, 3)] {
        t = t * 10 + *i + *x;
    }
    t
}

#[jit]
fn lazy(a: u8, b: &mut u8) -> bool {
    let x = a > 3 && {
        *b += 1;
        a < 9
    } || {
        *b += 10;
        a == 0
    };
    let y = a == 200 || a / 10 > 5 && 255 / a > 1;
    x ^ y
}

#[jit]
fn if_let(a: Option<u8>, b: Option<u8>) -> u8 {
    if let Some(x) = a {
        x ^ 3
    } else if let Some(x @ ..100) | Some(x) = b {
        x
    } else {
        7
    }
}

#[jit]
fn while_let(v: &mut Vec<i64>) -> i64 {
    let mut t = 0;
    while let Some(x) = v.pop() {
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
fn let_else(v: &[u8], i: usize) -> Result<u8, usize> {
    let Some(x) = v.get(i) else {
        return Err(i);
    };
    let 3..=9 = *x else { return Ok(0) };
    let (Some(a), b @ 1..) = (v.get(0), i) else {
        return Err(99);
    };
    Ok(*a + *x + b as u8)
}

#[jit]
fn early(a: u8) -> u8 {
    let x = match a {
        0 => return 3,
        1 => {
            return 4;
        }
        n => n,
    };
    let y = if x > 9 { x } else { return x * 2 };
    y + { if a > 100 { return 0 } else { 5 } }
        + match a {
            11 => return 8,
            k => k,
        }
}

#[jit]
fn divergent_arms(a: u8) -> u8 {
    match a {
        0 => return 1,
        1 => panic!("one"),
        2 => unreachable!("two is {a}"),
        3 => todo!(),
        _ => return 2,
    };
}

#[jit]
fn divergent_loop(a: u8) -> u8 {
    loop {
        if a > 3 {
            return 1;
        }
        return 4;
    }
}

#[jit]
#[allow(unreachable_code, unused_variables, clippy::diverging_sub_expression)]
fn divergent_let(a: u8) -> u8 {
    let x: u8 = return a;
    x
}

#[jit]
#[allow(unreachable_code)]
fn divergent_statement(a: u8) -> u8 {
    if a > 3 {
        return 1;
    } else {
        panic!("at most three: {}", a);
    };
    7
}

#[jit]
#[allow(unreachable_code, clippy::never_loop)]
fn divergent_argument(a: u8) -> u8 {
    if a == 9 {
        let _ = early(return a + 1);
    }
    let b = loop {
        if a == 1 {
            return 9;
        }
        break a;
    };
    b.wrapping_add(if a == 7 { return 70 } else { 1 })
}

#[jit]
fn nested_blocks(x: i64) -> i64 {
    let x = x + 1;
    let y = {
        let x = x * 2;
        {
            let y = x;
            y + 1
        }
    };
    let z;
    if x > 3 {
        z = y
    } else {
        z = x
    }
    x * y + z
}

#[jit]
fn deferred(a: u8) -> u8 {
    let x;
    let y: u8;
    if a > 1 {
        x = a;
        y = 1
    } else {
        x = 2;
        y = 2
    }
    x ^ y
}

#[jit]
fn unit_match(a: u8) {
    match a {
        0 => return,
        1 => {}
        2 => assert!(a != 2, "two"),
        _ => {
            let _x = 1;
        }
    }
}

#[jit]
fn exits_the_process(a: u8) -> u8 {
    if a > 250 && a < 250 {
        std::process::exit(3);
    }
    match a.checked_add(1) {
        Some(b) => b,
        None if a == 255 => 0,
        None => std::process::abort(),
    }
}

#[test]
fn branches() {
    for a in 0..=255u8 {
        for n in [0, 3, 51, 101, 255] {
            agree!(s = a => if_statement(s, n));
            agree!(s = n => lazy(a, s));
            agree!(if_let(Some(a), Some(n)));
        }
        agree!(if_let(Some(a), None::<u8>));
        agree!(if_let(None::<u8>, Some(a)));
        agree!(early(a));
        agree!(deferred(a));
        agree!(unit_match(a));
        agree!(exits_the_process(a));
    }
    for a in -3..20 {
        agree!(if_value(a, false));
        agree!(if_value(a, true));
        agree!(nested_blocks(a));
    }
}

#[test]
fn loops() {
    for a in -3..20 {
        agree!(loop_value(a));
        agree!(labelled_values(a));
    }
    for n in 0..=255u8 {
        agree!(while_loop(n));
        agree!(ranges(n));
        agree!(inclusive_limits(n, 255));
        agree!(inclusive_limits(n, n / 2 + 64));
    }
    for n in 0..40 {
        agree!(labels(n));
    }
    let (v, w): (Vec<u8>, Vec<u16>) = ((0..20).collect(), (0..20).map(|i| i * 313).collect());
    for n in 0..7 {
        agree!(s = (0..n as u64).collect::<Vec<u64>>() => sequences(&v[..n], &w, s));
    }
}

#[test]
fn conditional_patterns() {
    for n in 0..8 {
        agree!(s = (0..n).collect::<Vec<i64>>() => while_let(s));
        agree!(s = (0..n).rev().collect::<Vec<i64>>() => while_let(s));
        let v: Vec<u8> = (0..n as u8 * 2).collect();
        for i in 0..v.len() + 2 {
            agree!(let_else(&v, i));
        }
    }
}

#[test]
fn divergence() {
    for a in 0..16 {
        agree!(divergent_arms(a));
        agree!(divergent_loop(a));
        agree!(divergent_let(a));
        agree!(divergent_statement(a));
        agree!(divergent_argument(a));
    }
}
