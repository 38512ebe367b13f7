//! Programs, who runs them, and how long that takes.

use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A guest program.
pub struct Program {
    /// For the table.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    args: Vec<String>,
    options: Vec<String>,
}

impl Program {
    /// The program at `path`, with guest arguments (empty ones are left out) and options of its interpreter.
    pub fn new(path: PathBuf, args: &[&str], options: &[&str]) -> Program {
        let stem = stem(&path);
        let name = [stem.as_ref()]
            .iter()
            .chain(args)
            .chain(options)
            .copied()
            .collect::<Vec<_>>()
            .join(" ");
        let owned = |texts: &[&str]| {
            texts
                .iter()
                .filter(|text| !text.is_empty())
                .map(|text| text.to_string())
                .collect()
        };
        Program {
            name: name.trim().to_owned(),
            path,
            args: owned(args),
            options: owned(options),
        }
    }

    /// Its name without arguments and options.
    pub fn stem(&self) -> Cow<'_, str> {
        stem(&self.path)
    }

    /// Whether it is brainfuck; else it is stackvm's.
    pub fn is_brainfuck(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "b")
    }

    /// Whether it is brainfuck in its default form.
    pub fn is_plain_brainfuck(&self) -> bool {
        self.is_brainfuck() && self.options.is_empty()
    }

    fn input(&self) -> Result<Stdio, String> {
        let path = self.path.with_extension("in");
        if !path.is_file() {
            return Ok(Stdio::null());
        }
        File::open(&path)
            .map(Stdio::from)
            .map_err(|error| format!("{}: {error}", path.display()))
    }
}

fn stem(path: &Path) -> Cow<'_, str> {
    path.file_stem().unwrap_or_default().to_string_lossy()
}

/// Somebody who runs one program.
pub struct Contender<'a> {
    /// For the table.
    pub name: &'static str,
    program: &'a Program,
    command: PathBuf,
    args: Vec<String>,
    is_peer: bool,
}

impl<'a> Contender<'a> {
    /// The program's interpreter, from the folder `bin`, with `--jit jit`.
    pub fn interpreter(name: &'static str, bin: &Path, program: &'a Program, jit: &str) -> Contender<'a> {
        let command = bin.join(if program.is_brainfuck() { "bf" } else { "stackvm" });
        let mut args = vec![program.path.display().to_string()];
        args.extend(program.args.iter().cloned());
        args.extend(["--jit".to_owned(), jit.to_owned()]);
        args.extend(program.options.iter().cloned());
        Contender {
            name,
            program,
            command,
            args,
            is_peer: false,
        }
    }

    /// A peer: a binary, of the program itself or of an interpreter.
    pub fn binary(name: &'static str, command: PathBuf, program: &'a Program) -> Contender<'a> {
        Contender {
            name,
            program,
            command,
            args: Vec::new(),
            is_peer: true,
        }
    }

    /// With one more argument.
    pub fn with_arg(mut self, arg: String) -> Contender<'a> {
        self.args.push(arg);
        self
    }

    /// One run: its wall time and output.
    fn run(&self) -> Result<(Duration, Vec<u8>), String> {
        let input = self.program.input()?;
        let start = Instant::now();
        let output = Command::new(&self.command).args(&self.args).stdin(input).output();
        let time = start.elapsed();
        let output = output.map_err(|error| format!("{}: {error}", self.command.display()))?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(format!(
                "{} under {}: {}\n{stderr}",
                self.program.name, self.name, output.status
            ));
        }
        Ok((time, output.stdout))
    }
}

/// A contender's median wall time.
pub struct Median {
    /// Who.
    pub name: &'static str,
    /// In seconds.
    pub seconds: f64,
}

/// Runs the contenders in turn, `rounds` times. A peer that fails is named, and takes no further part.
///
/// # Errors
/// One of our own fails, or somebody prints something else than the others.
pub fn measure(contenders: &[Contender<'_>], rounds: usize) -> Result<Vec<Median>, String> {
    let mut times = vec![Some(Vec::new()); contenders.len()];
    let mut expected: Option<Vec<u8>> = None;
    for _ in 0..rounds {
        for (contender, times) in contenders.iter().zip(&mut times) {
            let Some(taken) = times else { continue };
            let (time, output) = match contender.run() {
                Ok(run) => run,
                Err(why) if contender.is_peer => {
                    println!(
                        "{} is absent: {}",
                        contender.name,
                        why.lines().next().unwrap_or_default()
                    );
                    *times = None;
                    continue;
                }
                Err(why) => return Err(why),
            };
            taken.push(time.as_secs_f64());
            if *expected.get_or_insert_with(|| output.clone()) != output {
                return Err(format!(
                    "{} under {} prints something else",
                    contender.program.name, contender.name
                ));
            }
        }
    }
    let median = |(contender, times): (&Contender<'_>, Option<Vec<f64>>)| {
        let mut times = times?;
        times.sort_by(f64::total_cmp);
        Some(Median {
            name: contender.name,
            seconds: times[times.len() / 2],
        })
    };
    Ok(contenders.iter().zip(times).filter_map(median).collect())
}
