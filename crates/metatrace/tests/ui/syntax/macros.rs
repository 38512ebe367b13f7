use metatrace::{can_enter_jit, jit, jit_merge_point};
use std::fmt::Write;

macro_rules! twice {
    ($x:expr) => {
        $x + $x
    };
}

#[jit]
fn unknown(x: u8) -> u8 {
    twice!(x)
}

#[jit]
fn merge_point(x: u8) -> u8 {
    jit_merge_point!();
    x
}

#[jit]
fn back_edge(mut x: u8) -> u8 {
    loop {
        if x > 7 {
            return x;
        }
        x += 1;
        can_enter_jit!();
    }
}

#[jit]
fn many_arguments(x: u8) -> String {
    format!("{}{}{}{}{}{}{}{}{}{}{}{}{}", x, x, x, x, x, x, x, x, x, x, x, x, x)
}

#[jit]
fn many_written(out: &mut String, x: u8) {
    write!(out, "{}{}{}{}{}{}{}{}{}{}{}{}", x, x, x, x, x, x, x, x, x, x, x, x).unwrap();
}

fn main() {}
