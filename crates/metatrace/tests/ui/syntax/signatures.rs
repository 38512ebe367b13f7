use metatrace::jit;
use std::fmt::Display;
use std::rc::Rc;

#[jit]
async fn asynchronous(x: u8) -> u8 {
    x
}

#[jit]
unsafe fn dangerous(x: u8) -> u8 {
    x
}

#[jit]
extern "C" fn foreign(x: u8) -> u8 {
    x
}

#[jit]
fn opaque(x: impl Display) -> String {
    format!("{x}")
}

#[jit]
fn object(x: &dyn Display) -> String {
    format!("{x}")
}

#[jit]
fn boxed(x: u8) -> Box<dyn Display> {
    Box::new(x)
}

#[jit]
struct Counter {
    n: u8,
}

#[jit]
impl Counter {
    fn shared(self: Rc<Self>) -> u8 {
        self.n
    }

    #[allow(clippy::too_many_arguments)]
    fn many(&self, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8) -> u8 {
        self.n
    }
}

#[jit::dont_look_inside]
fn many(_: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8) {}

#[jit]
fn calls_them(x: u8) -> u8 {
    many(x, x, x, x, x, x, x, x, x, x, x, x, x);
    foreign(x).wrapping_add(opaque(x).len() as u8)
}

fn main() {}
