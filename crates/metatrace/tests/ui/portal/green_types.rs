use metatrace::{JitDriver, can_enter_jit, jit, jit_merge_point};

#[jit::portal(driver = jit, greens(at))]
fn float_green(jit: &JitDriver<'_>, mut at: f64) -> f64 {
    loop {
        jit_merge_point!();
        at += 1.0;
        if at > 7.0 {
            return at;
        }
        can_enter_jit!();
    }
}

#[jit::portal(driver = pc, greens(pc))]
fn no_driver(mut pc: usize) -> usize {
    loop {
        jit_merge_point!();
        pc += 1;
        if pc > 7 {
            return pc;
        }
        can_enter_jit!();
    }
}

fn main() {}
