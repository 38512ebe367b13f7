use metatrace::jit;

#[jit]
struct Counter {
    n: u8,
}

impl Counter {
    fn new() -> Counter {
        Counter { n: 0 }
    }

    fn step(&mut self, by: u8) {
        self.n += by;
    }
}

#[jit]
fn calls_a_method(counter: &mut Counter) -> u8 {
    counter.step(3);
    counter.n
}

#[jit]
fn calls_a_function() -> Counter {
    Counter::new()
}

#[jit]
fn calls_a_std_method(text: &mut String) {
    text.retain(char::is_numeric);
}

#[jit]
fn calls_a_std_function(n: u8) -> String {
    String::from_utf8_lossy(&[n]).into_owned()
}

fn main() {}
