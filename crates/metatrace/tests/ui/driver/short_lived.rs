use metatrace::{JitDriver, can_enter_jit, jit, jit_merge_point};

#[jit]
struct Program {
    ops: Vec<u8>,
}

#[jit::portal(driver = jit, greens(pc, program))]
fn run<'p>(jit: &JitDriver<'p>, mut pc: usize, program: &'p Program) -> usize {
    loop {
        jit_merge_point!();
        pc += program.ops[pc] as usize;
        if pc > 3 {
            return pc;
        }
        can_enter_jit!();
    }
}

fn main() {
    let jit = JitDriver::new();
    for n in 1..3 {
        let program = Program { ops: vec![n; 4] };
        run(&jit, 0, &program);
    }
}
