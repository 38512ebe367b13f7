//! `twin-cost`: what staging costs at compile time. Writes an interpreter of about 1,500 lines with a hundred opcodes into
//! a temporary crate, once plain and once marked for the JIT, and times `cargo check` and `cargo build --release` of that
//! crate alone, its dependencies built before.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

/// Opcodes of the interpreter.
const OPCODES: usize = 100;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("twin-cost: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    println!("{:<10} {:>6} {:>12} {:>22}", "", "lines", "check", "build --release");
    for (name, features) in [
        ("plain", "default-features = false"),
        ("marked", "default-features = true"),
    ] {
        let krate = folder.path().join(name);
        let lines = write_crate(&krate, name, features)?;
        let check = time(&krate, &["check"])?;
        let build = time(&krate, &["build", "--release"])?;
        println!("{name:<10} {lines:>6} {check:>10.2} s {build:>20.2} s");
    }
    Ok(())
}

fn write_crate(krate: &Path, name: &str, features: &str) -> Result<usize, String> {
    let facade = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/metatrace");
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\nmetatrace = {{ path = {:?}, {features} }}\n",
        facade
    );
    let source = interpreter();
    let write = |path: &str, text: &str| std::fs::write(krate.join(path), text).map_err(|error| error.to_string());
    std::fs::create_dir_all(krate.join("src")).map_err(|error| error.to_string())?;
    write("Cargo.toml", &manifest)?;
    write("src/lib.rs", &source)?;
    Ok(source.lines().count())
}

/// Seconds that cargo takes for the crate itself: it is touched, its dependencies are not.
fn time(krate: &Path, args: &[&str]) -> Result<f64, String> {
    let cargo = || {
        let output = Command::new("cargo")
            .args(args)
            .current_dir(krate)
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    cargo()?;
    let mut times = Vec::new();
    for round in 0..3 {
        let path = krate.join("src/lib.rs");
        let source = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
        std::fs::write(&path, format!("{source}// {round}\n")).map_err(|error| error.to_string())?;
        let start = Instant::now();
        cargo()?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[1])
}

/// A register machine: each opcode has an arm of a few lines and a helper of its own.
fn interpreter() -> String {
    let mut out = String::from(
        "use metatrace::{JitDriver, can_enter_jit, jit, jit_merge_point};\n\n\
         #[jit]\n#[derive(Clone, Copy)]\n#[repr(u8)]\npub enum Op {\n",
    );
    let mut line = |text: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{text}");
    };
    for n in 0..OPCODES {
        line(format!("    Op{n}(usize, usize, i64),"));
    }
    line("    Loop(usize),\n    Halt,\n}\n".into());
    line("#[jit]\npub struct Program {\n    pub ops: Vec<Op>,\n}\n".into());
    line("#[jit]\npub struct Machine {\n    pub registers: Vec<i64>,\n    pub limit: i64,\n}\n".into());
    line("#[jit]\nimpl Machine {".into());
    for n in 0..OPCODES {
        line(format!(
            "    fn op{n}(&mut self, a: usize, b: usize, k: i64) -> Option<i64> {{"
        ));
        line("        let x = self.registers[a];".into());
        line("        let y = self.registers[b];".into());
        line(format!("        let z = match {} {{", n % 3));
        line("            0 => x.wrapping_add(y.wrapping_mul(k)),".into());
        line("            1 if x < y => y - x,".into());
        line("            _ => x ^ y,".into());
        line("        };".into());
        line("        self.registers[a] = z;".into());
        line("        if z > self.limit { None } else { Some(z) }".into());
        line("    }\n".into());
    }
    line("}\n".into());
    line("#[jit::portal(driver = jit, greens(pc, program))]".into());
    line("pub fn run<'p>(jit: &JitDriver<'p>, mut pc: usize, program: &'p Program, machine: &mut Machine) -> Option<i64> {".into());
    line("    loop {\n        jit_merge_point!();\n        match program.ops[pc] {".into());
    for n in 0..OPCODES {
        line(format!("            Op::Op{n}(a, b, k) => {{"));
        line(format!("                machine.op{n}(a, b, k)?;"));
        line("            }".into());
    }
    line("            Op::Loop(target) => {\n                pc = target;\n                can_enter_jit!();".into());
    line("                continue;\n            }\n            Op::Halt => return Some(machine.limit),".into());
    line("        }\n        pc += 1;\n    }\n}".into());
    out
}
