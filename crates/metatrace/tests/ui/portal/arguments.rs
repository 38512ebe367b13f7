use metatrace::{JitDriver, can_enter_jit, jit, jit_merge_point};

#[jit::portal]
fn no_driver(jit: &JitDriver<'_>, mut pc: usize) {
    loop {
        jit_merge_point!();
        pc += 1;
        can_enter_jit!();
    }
}

#[jit::portal(driver = jit, reds(pc))]
fn unknown_key(jit: &JitDriver<'_>, mut pc: usize) {
    loop {
        jit_merge_point!();
        pc += 1;
        can_enter_jit!();
    }
}

#[jit::portal(driver = engine, greens(pc))]
fn unknown_driver(jit: &JitDriver<'_>, mut pc: usize) {
    loop {
        jit_merge_point!();
        pc += 1;
        can_enter_jit!();
    }
}

#[jit::portal(driver = jit, greens(pc, program))]
fn unknown_green(jit: &JitDriver<'_>, mut pc: usize) {
    loop {
        jit_merge_point!();
        pc += 1;
        can_enter_jit!();
    }
}

#[jit::portal(driver = jit)]
fn no_greens(jit: &JitDriver<'_>, mut pc: usize) {
    loop {
        jit_merge_point!();
        pc += 1;
        can_enter_jit!();
    }
}

#[jit::portal(driver = jit, greens(pc))]
fn greens_twice(jit: &JitDriver<'_>, mut pc: usize) {
    loop {
        jit_merge_point!(pc = pc);
        pc += 1;
        can_enter_jit!();
    }
}

#[jit::portal(driver = jit)]
fn unnamed_greens(jit: &JitDriver<'_>, mut pc: usize) {
    loop {
        jit_merge_point!(pc + 1);
        pc += 1;
        can_enter_jit!();
    }
}

#[jit::portal(driver = jit, driver = jit, greens(pc))]
fn driver_twice(jit: &JitDriver<'_>, mut pc: usize) {
    loop {
        jit_merge_point!();
        pc += 1;
        can_enter_jit!();
    }
}

#[jit::portal(driver: jit, greens(pc))]
fn no_equals_sign(jit: &JitDriver<'_>, mut pc: usize) {
    loop {
        jit_merge_point!();
        pc += 1;
        can_enter_jit!();
    }
}

#[jit::portal(driver = jit, greens = pc)]
fn greens_without_parentheses(jit: &JitDriver<'_>, mut pc: usize) {
    loop {
        jit_merge_point!();
        pc += 1;
        can_enter_jit!();
    }
}

#[jit::portal(driver = jit, greens(pc + 1))]
fn green_expression(jit: &JitDriver<'_>, mut pc: usize) {
    loop {
        jit_merge_point!();
        pc += 1;
        can_enter_jit!();
    }
}

fn main() {}
