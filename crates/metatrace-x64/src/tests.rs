//! The conformance suite and random programs, on every sort of code memory and CPU.

use crate::{Options, X64Backend};
use metatrace_backend::conformance::{self, random};
use metatrace_backend::reference::ReferenceExecutor;
use metatrace_backend::{Assembled, Backend, BackendError, Exit, ExitHandler, Forcing, LoopToken};
use metatrace_ir::Trace;
use std::ops::Range;

fn backend(options: Options) -> X64Backend {
    X64Backend::new(options).expect("this machine runs generated code")
}

fn pass_the_suite(options: &Options, groups: &[&str]) {
    for case in conformance::cases() {
        if !groups.iter().any(|group| case.name.starts_with(group)) {
            continue;
        }
        println!("{}", case.name); // shown where it fails
        (case.run)(&mut |forcing| {
            Box::new(backend(Options {
                forcing,
                ..options.clone()
            }))
        });
    }
}

#[test]
fn passes_the_suite() {
    pass_the_suite(&Options::default(), &[""]);
}

#[test]
fn passes_on_any_cpu() {
    pass_the_suite(
        &Options {
            cpu_extensions: false,
            ..Options::default()
        },
        &["arithmetic"],
    );
}

#[test]
fn passes_where_pages_change_their_protection() {
    pass_the_suite(
        &Options {
            two_views: false,
            ..Options::default()
        },
        &["control", "calls", "bridges", "forced"],
    );
}

/// The options that seed `n` is run with, and the size of its programs.
fn variant(n: u64) -> (Options, random::Size) {
    let forcing = match n % 4 {
        0 => Forcing::OneIn {
            n: 2 + (n % 13) as u32,
            seed: n,
        },
        _ => Forcing::Off,
    };
    let options = Options {
        forcing,
        cpu_extensions: !n.is_multiple_of(3),
        code_memory: 8 << 20,
        ..Options::default()
    };
    let ops = [10, 40, 120][(n / 12 % 3) as usize];
    (
        options,
        random::Size {
            ops,
            ..random::Size::smoke()
        },
    )
}

fn agree_with_the_reference(seeds: Range<u64>) {
    for seed in seeds {
        let (options, size) = variant(seed);
        let reference = ReferenceExecutor::new(options.forcing);
        random::compare(seed, size, &reference, &backend(options));
    }
}

#[test]
fn agrees_with_the_reference_on_random_programs() {
    agree_with_the_reference(0..1000);
}

/// For long runs: `METATRACE_SEEDS=1000..100000 cargo test --release -p metatrace-x64 -- --ignored`.
#[test]
#[ignore = "runs as long as it is told to"]
fn agrees_with_the_reference_on_many_random_programs() {
    let seeds = std::env::var("METATRACE_SEEDS").unwrap_or_else(|_| "0..20000".to_string());
    let (from, to) = seeds.split_once("..").expect("a range of seeds");
    let number = |text: &str| text.parse().expect("a number");
    agree_with_the_reference(number(from)..number(to));
}

fn parse(text: &str) -> Trace {
    let trace: Trace = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    metatrace_ir::verify(&trace).unwrap_or_else(|error| panic!("{error}\n{text}"));
    trace
}

fn compile(backend: &X64Backend, token: u32, text: &str) -> Assembled {
    backend
        .compile_loop(LoopToken(token), &parse(text))
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The instructions of one operation, without their offsets.
fn instructions(text: &str, op: &str) -> Vec<String> {
    let assembled = compile(&backend(Options::default()), 1, text);
    let listing = crate::disassemble(&assembled, &parse(text));
    let lines = listing
        .lines()
        .skip_while(|line| !line.starts_with(&format!("; {op}")))
        .skip(1);
    lines
        .take_while(|line| !line.starts_with(';'))
        .map(|line| line[8..].to_string())
        .collect()
}

struct Values(Vec<u64>);

impl ExitHandler for Values {
    fn exit(&mut self, exit: Exit<'_>) {
        self.0 = exit.values.to_vec();
    }
}

fn run(backend: &X64Backend, token: u32, args: &[u64]) -> Vec<u64> {
    let mut values = Values(vec![]);
    // SAFETY: callers run traces that touch no memory but their own.
    unsafe { backend.execute(LoopToken(token), args, &mut values) };
    values.0
}

const COUNT: &str = "[i0, i1]
    label(i0, i1, descr=TargetToken(1))
    i2 = int_add(i0, 1)
    i3 = int_lt(i2, i1)
    guard_true(i3, descr=<Guard0x1>) [i2]
    jump(i2, i1, descr=TargetToken(1))";

#[test]
fn a_counting_loop_touches_no_memory() {
    assert_eq!(instructions(COUNT, "i2 = int_add"), ["add rax, 1"]);
    assert_eq!(instructions(COUNT, "i3 = int_lt"), [""; 0]);
    assert_eq!(instructions(COUNT, "guard_true"), ["cmp rax, rcx", "jl 0x20"]);
    // behind the loop, to the exit
    assert!(instructions(COUNT, "jump").iter().any(|text| text.starts_with("jmp")));
}

/// Distances that are patched are aligned, whatever is in front of them.
#[test]
fn guards_can_be_patched_by_one_store() {
    let mut text = String::from("[i0, i1, f2, f3]\n");
    for n in 0..40 {
        let comparisons = [
            "int_lt(i0, i1)",
            "int_eq(i0, 1000)",
            "float_eq(f2, f3)",
            "float_lt(f2, 0.5)",
            "uint_gt(i1, 0x123456789a)",
        ];
        text += &format!(
            "i{} = {}\nguard_true(i{}, descr=<Guard{:#x}>) [i0]\n",
            n + 10,
            comparisons[n % 5],
            n + 10,
            n
        );
        text += &format!(
            "i{} = int_add(i0, {})\nguard_value(i{}, {n}, descr=<Guard{:#x}>) [i0]\n",
            n + 100,
            n * n,
            n + 100,
            n + 100
        );
    }
    text += "finish(descr=<Guard0x200>) []";
    let assembled = compile(&backend(Options::default()), 1, &text);
    assert_eq!(assembled.address % 16, 0);
    let mut decoder = iced_x86::Decoder::with_ip(64, &assembled.code, 0, iced_x86::DecoderOptions::NONE);
    let is_jcc = |instruction: &iced_x86::Instruction| {
        instruction.op0_kind() == iced_x86::OpKind::NearBranch64 && instruction.mnemonic() != iced_x86::Mnemonic::Jmp
    };
    let jumps: Vec<_> = decoder.iter().filter(|jump| is_jcc(jump) && jump.len() == 6).collect();
    assert!(jumps.len() >= 80, "{}", jumps.len());
    assert!(jumps.iter().all(|jump| jump.next_ip() % 4 == 0));
}

#[test]
fn large_frames_are_probed() {
    let text = "# descr Big = size(20000)\n[i0]\np1 = alloca(descr=Big)\nfinish(descr=<Guard0x1>) [p1]";
    let assembled = compile(&backend(Options::default()), 1, text);
    let listing = crate::disassemble(&assembled, &parse(text));
    for page in 1..=4 {
        assert!(listing.contains(&format!("[rbp-{:#x}], rsp", page * 4096)), "{listing}");
    }
    let small = X64Backend::new(Options {
        frame_limit: 16 << 10,
        ..Options::default()
    })
    .expect("as before");
    let refused = small.compile_loop(LoopToken(1), &parse(text));
    assert!(
        matches!(refused, Err(BackendError::FrameTooLarge { needed: 20000.. })),
        "{refused:?}"
    );
}

/// Memory that is full is an error; what is freed can be used again, over and over.
#[test]
fn code_memory_is_reused() {
    let backend = backend(Options {
        code_memory: 64 << 10,
        ..Options::default()
    });
    let mut token = 0;
    let error = loop {
        match backend.compile_loop(LoopToken(token), &parse(COUNT)) {
            Ok(_) => token += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, BackendError::OutOfCodeMemory);
    assert!(token > 100, "{token} loops in 64 KiB");
    let exits = backend.exit_numbers();
    for round in 0..token + 10 {
        let token = LoopToken(round % token);
        backend.free_loop(token);
        backend.compile_loop(token, &parse(COUNT)).expect("there is room again");
        assert_eq!(run(&backend, token.0, &[0, 10]), [10]);
    }
    assert_eq!(backend.exit_numbers(), exits, "the numbers of exits are reused, too");
}

/// Code leaves the registers that belong to its caller as they were.
#[test]
fn callee_saved_registers_survive() {
    let backend = backend(Options::default());
    let names: Vec<String> = (0..20).map(|n| format!("i{n}")).collect();
    let sums: String = (0..20)
        .map(|n| format!("i{} = int_add(i{n}, i{})\n", n + 20, (n + 1) % 20))
        .collect();
    let all: Vec<String> = (20..40).map(|n| format!("i{n}")).collect();
    let text = format!(
        "[{}]\n{sums}guard_value(i20, 0, descr=<Guard0x1>) [{}]\nfinish(descr=<Guard0x2>) []",
        names.join(", "),
        all.join(", ")
    );
    compile(&backend, 1, &text);

    extern "C" fn call(backend: &X64Backend) {
        let args: Vec<u64> = (0..20).collect();
        assert_eq!(run(backend, 1, &args)[..3], [1, 3, 5]);
    }
    let (rbx, r12, r13, r14, r15): (u64, u64, u64, u64, u64);
    // SAFETY: `call` is a function with one argument, which is alive; what it changes by its ABI is declared, rbx is
    // put back.
    unsafe {
        std::arch::asm!(
            "push rbx",
            "sub rsp, 8",
            "mov rbx, 1001",
            "call rax",
            "mov rax, rbx",
            "add rsp, 8",
            "pop rbx",
            inout("rax") call as *const () as u64 => rbx,
            in("rdi") &raw const backend,
            inout("r12") 1002u64 => r12,
            inout("r13") 1003u64 => r13,
            inout("r14") 1004u64 => r14,
            inout("r15") 1005u64 => r15,
            clobber_abi("C"),
        );
    }
    assert_eq!([rbx, r12, r13, r14, r15], [1001, 1002, 1003, 1004, 1005]);
}

/// A stack trace from a function that machine code calls goes on to what called the code.
#[test]
#[cfg(target_env = "gnu")]
fn stack_traces_go_through_code() {
    use metatrace_native::{ShimResult, catch};
    extern "C" fn look(to: u64) -> ShimResult {
        // SAFETY: the test passes the address of a string that it does not use meanwhile.
        let to = unsafe { &mut *(to as *mut String) };
        catch(|| {
            *to = std::backtrace::Backtrace::force_capture().to_string();
            0
        })
    }
    #[inline(never)]
    fn the_one_that_runs_code(backend: &X64Backend, to: &mut String) {
        run(backend, 1, &[&raw mut *to as u64]);
    }
    let backend = backend(Options::default());
    compile(
        &backend,
        1,
        &format!(
            "# descr look = call(args=i, effect=any)\n[i0]\ncall_n({}, i0, descr=look)\nfinish(descr=<Guard0x1>) []",
            look as *const () as u64
        ),
    );
    let mut trace = String::new();
    the_one_that_runs_code(&backend, &mut trace);
    assert!(trace.contains("the_one_that_runs_code"), "{trace}");
}
