use metatrace::{jit, residual};

fn native(x: u8) -> u8 {
    x
}

struct Outside(u8);

impl Outside {
    fn get(&self) -> u8 {
        self.0
    }
}

#[jit]
fn function_pointer(f: fn(u8) -> u8, x: u8) -> u8 {
    f(x)
}

#[jit]
fn computed(f: &[fn(u8) -> u8], x: u8) -> u8 {
    f[0](x)
}

#[jit]
fn residual_of_a_value(x: u8) -> u8 {
    residual!(x + 1)
}

#[jit]
fn residual_of_a_method(x: &Outside) -> u8 {
    residual!(x.get())
}

#[jit]
fn residual_of_a_pointer(f: &[fn(u8) -> u8], x: u8) -> u8 {
    residual!(f[0](x))
}

fn thirteen(_: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8) {}

#[jit]
fn residual_of_many_arguments(x: u8) {
    residual!(thirteen(x, x, x, x, x, x, x, x, x, x, x, x, x))
}

struct Wide(u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8);

#[jit]
fn constructor_of_many_fields(x: u8) -> Wide {
    Wide(x, x, x, x, x, x, x, x, x, x, x, x, x)
}

fn main() {}
