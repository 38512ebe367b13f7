//! `#[cfg]` on everything it may stand on. What is configured away may be nonsense.

use crate::harness::agree;
use metatrace::jit;

#[jit]
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
enum Op {
    A,
    #[cfg(target_pointer_width = "16")]
    Gone(NoSuchType),
    B(u8),
    #[cfg(target_pointer_width = "64")]
    Kept {
        x: u8,
        #[cfg(target_pointer_width = "16")]
        gone: NoSuchType,
    },
}

#[jit]
#[derive(Clone, Copy, Debug)]
struct S {
    #[cfg(target_pointer_width = "16")]
    gone: NoSuchType,
    a: u8,
    #[cfg(target_pointer_width = "64")]
    b: u16,
}

#[jit]
fn arms(op: Op) -> u8 {
    match op {
        Op::A => 1,
        #[cfg(target_pointer_width = "16")]
        Op::Gone(n) => no_such_function(n),
        #[cfg(target_pointer_width = "64")]
        Op::B(n) => n,
        Op::Kept {
            x,
            #[cfg(target_pointer_width = "16")]
            gone,
        } => x,
    }
}

#[jit]
fn fields(a: u8) -> u16 {
    let s = S {
        #[cfg(target_pointer_width = "16")]
        gone: no_such_function(),
        a,
        #[cfg(target_pointer_width = "64")]
        b: 300,
    };
    let S {
        a,
        #[cfg(target_pointer_width = "64")]
        b,
        #[cfg(target_pointer_width = "16")]
        gone,
    } = s;
    a as u16 + b
}

#[jit]
fn statements(n: u8) -> u8 {
    let x = n;
    #[cfg(target_pointer_width = "16")]
    let x = no_such_function();
    #[cfg(target_pointer_width = "64")]
    let x = x / 2;
    #[cfg(target_pointer_width = "16")]
    no_such_function();
    #[cfg(target_pointer_width = "16")]
    panic!("gone");
    #[cfg(target_pointer_width = "64")]
    assert!(x < 100, "kept");
    #[cfg(target_pointer_width = "16")]
    {
        return no_such_function();
    }
    #[cfg(target_pointer_width = "64")]
    #[cfg(not(any()))]
    if x == 7 {
        return 77;
    }
    x
}

#[jit]
fn tails(n: u8) -> u8 {
    let _n = n;
    #[cfg(target_pointer_width = "64")]
    {
        n / 3
    }
    #[cfg(target_pointer_width = "16")]
    {
        no_such_function(n)
    }
}

#[jit]
fn other_tails(n: u8) -> u8 {
    #[cfg(target_pointer_width = "16")]
    {
        no_such_function(n)
    }
    #[cfg(not(any()))]
    {
        n / 5
    }
}

#[jit]
#[cfg(target_pointer_width = "16")]
fn gone(x: NoSuchType) {}

#[cfg(target_pointer_width = "64")]
#[jit]
fn kept(n: u8) -> u8 {
    n
}

#[jit]
#[derive(Clone, Copy, Debug)]
struct M;

#[jit]
impl M {
    #[cfg(target_pointer_width = "16")]
    fn gone(self) -> NoSuchType {}

    #[cfg(target_pointer_width = "64")]
    fn kept(self, n: u8) -> u8 {
        n ^ 1
    }
}

#[jit]
#[cfg(target_pointer_width = "16")]
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
