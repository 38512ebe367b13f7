//! `#[cfg]` on everything it may stand on. What is configured away may be nonsense.

use crate::harness::agree;
use metatrace::jit;

#[jit]
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
enum Op {
    A,
    #[cfg(any())]
    Gone(NoSuchType),
    B(u8),
    #[cfg(all())]
    Kept {
        x: u8,
        #[cfg(any())]
        gone: NoSuchType,
    },
}

#[jit]
#[derive(Clone, Copy, Debug)]
struct S {
    #[cfg(any())]
    gone: NoSuchType,
    a: u8,
    #[cfg(all())]
    b: u16,
}

#[jit]
fn arms(op: Op) -> u8 {
    match op {
        Op::A => 1,
        #[cfg(any())]
        Op::Gone(n) => no_such_function(n),
        #[cfg(all())]
        Op::B(n) => n,
        Op::Kept {
            x,
            #[cfg(any())]
            gone,
        } => x,
    }
}

#[jit]
fn fields(a: u8) -> u16 {
    let s = S {
        #[cfg(any())]
        gone: no_such_function(),
        a,
        #[cfg(all())]
        b: 300,
    };
    let S {
        a,
        #[cfg(all())]
        b,
        #[cfg(any())]
        gone,
    } = s;
    a as u16 + b
}

#[jit]
fn statements(n: u8) -> u8 {
    let x = n;
    #[cfg(any())]
    let x = no_such_function();
    #[cfg(all())]
    let x = x / 2;
    #[cfg(any())]
    no_such_function();
    #[cfg(any())]
    panic!("gone");
    #[cfg(all())]
    assert!(x < 100, "kept");
    #[cfg(any())]
    {
        return no_such_function();
    }
    #[cfg(all())]
    #[cfg(not(any()))]
    if x == 7 {
        return 77;
    }
    x
}

#[jit]
fn tails(n: u8) -> u8 {
    let _n = n;
    #[cfg(all())]
    {
        n / 3
    }
    #[cfg(any())]
    {
        no_such_function(n)
    }
}

#[jit]
fn other_tails(n: u8) -> u8 {
    #[cfg(any())]
    {
        no_such_function(n)
    }
    #[cfg(not(any()))]
    {
        n / 5
    }
}

#[jit]
#[cfg(any())]
fn gone(x: NoSuchType) {}

#[cfg(all())]
#[jit]
fn kept(n: u8) -> u8 {
    n
}

#[jit]
#[derive(Clone, Copy, Debug)]
struct M;

#[jit]
impl M {
    #[cfg(any())]
    fn gone(self) -> NoSuchType {}

    #[cfg(all())]
    fn kept(self, n: u8) -> u8 {
        n ^ 1
    }
}

#[jit]
#[cfg(any())]
impl NoSuchType {
    fn gone(&self) -> NoSuchType {}
}

#[jit]
fn methods(n: u8) -> u8 {
    M.kept(kept(n))
}

#[test]
fn configured() {
    for n in [0, 3, 14, 15, 255] {
        agree!(fields(n));
        agree!(statements(n));
        agree!(tails(n));
        agree!(other_tails(n));
        agree!(methods(n));
        agree!(arms(Op::B(n)));
        agree!(arms(Op::Kept { x: n }));
    }
    agree!(arms(Op::A));
}
