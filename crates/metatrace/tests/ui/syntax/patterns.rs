use metatrace::jit;

macro_rules! one {
    () => {
        1
    };
}

struct Wide(u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8);

#[jit]
fn slice(x: &[u8]) -> u8 {
    match x {
        [first, ..] => *first,
        _ => 0,
    }
}

#[jit]
fn expanded(x: u8) -> bool {
    match x {
        one!() => true,
        _ => false,
    }
}

#[jit]
fn rest_first(x: (u8, u8, u8)) -> u8 {
    let (.., last) = x;
    last
}

#[jit]
#[repr(u8)]
enum Three {
    All(u8, u8, u8),
}

#[jit]
fn rest_between(x: Three) -> u8 {
    let Three::All(first, .., last) = x;
    first + last
}

#[jit]
fn many_fields(x: &Wide) -> u8 {
    let Wide(a, _, _, _, _, _, _, _, _, _, _, _, _) = x;
    *a
}

fn main() {}
