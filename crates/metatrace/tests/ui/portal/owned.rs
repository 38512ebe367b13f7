use metatrace::{JitDriver, can_enter_jit, jit, jit_merge_point};

#[jit::portal(driver = jit, greens(pc))]
fn moved(jit: &JitDriver<'_>, mut pc: usize, stack: Vec<u8>) -> Vec<u8> {
    loop {
        jit_merge_point!();
        pc += 1;
        if pc > 9 {
            return stack;
        }
        can_enter_jit!();
    }
}

#[jit::portal(driver = jit, greens(pc))]
fn assigned(jit: &JitDriver<'_>, mut pc: usize, mut stack: Vec<u8>) -> usize {
    loop {
        jit_merge_point!();
        pc += 1;
        if pc > 9 {
            return stack.len();
        }
        stack = Vec::new();
        can_enter_jit!();
    }
}

fn main() {}
