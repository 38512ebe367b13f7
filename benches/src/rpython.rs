//! The same interpreter in RPython (`benches/rpython/bf.py`), translated with its JIT: the peer that metatrace learns from.
//!
//! Translating takes minutes, so the binary is kept in the build folder, and made again when the source is newer. It needs
//! Python 2.7 (`python2.7`, or what the environment variable `PYTHON27` names) with pip, and a C compiler; the released
//! package `rpython` is installed beside the binary, not into the system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is installed.
const PACKAGES: [&str; 3] = ["rpython==0.2.1", "py==1.11.0", "pytest<5"];

/// The translated interpreter, in a folder beside this program.
///
/// # Errors
/// Why it cannot be had; or that nobody has asked for it.
pub fn interpreter(is_asked_for: bool) -> Result<PathBuf, String> {
    if !is_asked_for {
        return Err("not asked for (--rpython)".to_owned());
    }
    let source = &Path::new(env!("CARGO_MANIFEST_DIR")).join("rpython/bf.py");
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let folder = &this.with_file_name("rpython-peer");
    let binary = folder.join("rpython-bf");
    let modified = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    if modified(&binary) > modified(source) {
        return Ok(binary);
    }
    let python = std::env::var_os("PYTHON27").unwrap_or_else(|| "python2.7".into());
    let site = folder.join("site");
    fs::create_dir_all(&site).map_err(|error| format!("{}: {error}", site.display()))?;
    if !site.join("rpython").is_dir() {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--target"])
            .arg(&site)
            .args(PACKAGES);
        succeed(&mut pip)?;
    }
    println!("translating {} by RPython, which takes minutes", source.display());
    let mut translate = Command::new(&python);
    translate.args(["-m", "rpython", "--batch", "--opt=jit"]).arg(source);
    succeed(translate.env("PYTHONPATH", &site).current_dir(folder))?;
    Ok(binary)
}

/// Runs a command to its end.
///
/// # Errors
/// It cannot be run, or fails; then the last lines of what it said.
fn succeed(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().display().to_string();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().collect();
    let last = &lines[lines.len().saturating_sub(5)..];
    Err(format!("{program}: {}\n{}", output.status, last.join("\n")))
}
