use metatrace::jit;

fn helper(x: u8) -> u8 {
    x
}

mod far {
    pub fn away(x: u8, _: &str) -> u8 {
        x
    }
}

#[jit]
fn calls(x: u8) -> u8 {
    let y = helper(x);
    far::away(x, "there") + y
}

fn main() {}
