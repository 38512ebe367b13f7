use metatrace::build_twins;

fn unmarked() {}

fn main() {
    let _ = build_twins!(3);
    let _ = build_twins!(unmarked);
}
