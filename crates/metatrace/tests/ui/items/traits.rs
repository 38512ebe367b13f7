use metatrace::jit;

#[jit]
trait Step {
    type Out;
    fn step(&self) -> Self::Out;
    fn convert<T>(&self, n: u8) -> T;
    fn opaque(&self) -> impl Sized;
}

#[jit]
trait Walk {
    fn walk(&self, n: u8) -> u8;
}

struct Unmarked;

impl Walk for Unmarked {
    fn walk(&self, n: u8) -> u8 {
        n
    }
}

#[jit]
struct Marked;

#[jit]
impl Marked {
    fn array<const N: usize>(&self) -> [u8; N] {
        [0; N]
    }
}

#[jit]
fn constant_in_a_turbofish(m: &Marked) -> usize {
    m.array::<3>().len()
}

fn main() {}
