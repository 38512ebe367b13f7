use metatrace::jit;

#[jit]
fn closure(x: u8) -> u8 {
    let _double = |y: u8| y.wrapping_mul(2);
    x
}

#[jit]
fn unsafe_block(x: &[u8]) -> u8 {
    unsafe { *x.get_unchecked(0) }
}

#[jit]
fn async_block(x: u8) -> u8 {
    let _later = async { x };
    x
}

#[jit]
fn awaiting(x: u8) -> u8 {
    let _later = async { std::future::ready(x).await };
    x
}

#[jit]
fn long_tuple(x: u8) -> u8 {
    let t = (x, x, x, x, x, x, x, x, x, x, x, x, x);
    t.0
}

#[jit]
fn wide_destructuring(x: [u8; 3]) -> u8 {
    let (mut a, b);
    [a, .., b] = x;
    a += b;
    a
}

#[jit]
fn borrow_of_a_temporary(x: u8) -> u8 {
    let r: &u8 = {
        let y = x;
        &(y + 1)
    };
    *r
}

#[jit]
fn raw_address(x: u8) -> bool {
    (&raw const x).is_null()
}

#[jit]
fn calls_them(x: u8) -> u8 {
    closure(x) + long_tuple(x)
}

fn main() {}
