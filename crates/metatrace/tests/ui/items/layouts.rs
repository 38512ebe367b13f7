use metatrace::jit;

#[jit]
enum Value {
    Int(i64),
    Float(f64),
}

#[jit]
#[repr(C, u8)]
enum Both {
    Int(i64),
}

#[jit]
#[repr(C, packed)]
struct Packed {
    x: u64,
}

#[jit]
#[repr(u8)]
enum Wide {
    Many(u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8),
}

#[jit]
#[repr(u8)]
enum Good {
    Int(i64),
}

#[jit]
fn of_good(x: Good) -> i64 {
    let Good::Int(n) = x;
    n
}

#[jit]
fn of_value(x: Value) -> i64 {
    match x {
        Value::Int(n) => n,
        Value::Float(_) => 0,
    }
}

fn main() {}
