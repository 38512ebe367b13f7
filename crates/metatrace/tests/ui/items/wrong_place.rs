use metatrace::jit;

#[jit]
mod module {}

#[jit]
union Both {
    a: u8,
    b: i8,
}

#[jit::elidable]
struct Elided;

#[jit::portal(driver = jit)]
impl Both {}

struct Machine;

impl Machine {
    #[jit]
    fn alone(&self) {}

    #[jit::dont_look_inside]
    fn also_alone(&self) {}
}

trait Step {
    fn step(&self);
}

#[jit]
impl Step for [u8] {
    fn step(&self) {}
}

#[jit]
impl Step for &Machine {
    fn step(&self) {}
}

#[jit]
static TABLE: [u8; 2] = [1, 2];

fn main() {}
