use metatrace::{JitDriver, can_enter_jit, jit, jit_merge_point};

#[jit]
struct Program {
    ops: Vec<u8>,
}

#[jit::portal(driver = jit, greens(pc, program))]
fn short_lived_green<'p>(jit: &JitDriver<'p>, mut pc: usize, program: &Program) -> usize {
    loop {
        jit_merge_point!();
        pc += program.ops[pc] as usize;
        if pc > 3 {
            return pc;
        }
        can_enter_jit!();
    }
}

fn main() {}
