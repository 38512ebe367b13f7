use metatrace::jit;

struct Point {
    x: u8,
    y: u8,
}

enum Shape {
    Dot,
    Line(u8),
    Box { side: u8 },
}

#[jit]
fn reads_a_field(p: &Point) -> u8 {
    p.x
}

#[jit]
fn makes_one(x: u8) -> Point {
    Point { x, y: x }
}

#[jit]
fn takes_one_apart(p: &Point) -> u8 {
    let Point { x, .. } = p;
    *x
}

#[jit]
fn matches(s: &Shape) -> u8 {
    match s {
        Shape::Dot => 0,
        Shape::Line(n) => *n,
        Shape::Box { side } => *side,
    }
}

#[jit]
fn adds(a: i128, b: i128) -> i128 {
    a + b
}

fn main() {}
