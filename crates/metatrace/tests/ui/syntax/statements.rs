use metatrace::jit;
use std::fmt::Display;

#[jit]
fn item_within(x: u8) -> u8 {
    struct Inner(u8);
    Inner(x).0
}

#[jit]
fn late_pattern(x: u8) -> u8 {
    let (a, b);
    a = x;
    b = x;
    a + b
}

#[jit]
fn object(x: u8) -> String {
    let shown: &dyn Display = &x;
    format!("{shown}")
}

#[jit]
fn object_by_cast(x: u8) -> String {
    format!("{}", &x as &dyn Display)
}

#[jit]
fn out_of_nothing(x: u8) -> u8 {
    break;
    x
}

fn main() {}
