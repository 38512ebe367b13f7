use metatrace::{JitDriver, can_enter_jit, jit, jit_merge_point};

#[jit::portal(driver = jit, greens(pc))]
fn no_merge_point(jit: &JitDriver<'_>, mut pc: usize) {
    loop {
        pc += 1;
        can_enter_jit!();
    }
}

#[jit::portal(driver = jit, greens(pc))]
fn merge_point_not_first(jit: &JitDriver<'_>, mut pc: usize) {
    loop {
        pc += 1;
        jit_merge_point!();
        can_enter_jit!();
    }
}

#[jit::portal(driver = jit, greens(pc))]
fn two_merge_points(jit: &JitDriver<'_>, mut pc: usize) {
    loop {
        jit_merge_point!();
        pc += 1;
        if pc == 7 {
            jit_merge_point!();
        }
        can_enter_jit!();
    }
}

#[jit::portal(driver = jit, greens(pc))]
fn no_loop(jit: &JitDriver<'_>, pc: usize) -> usize {
    pc
}

#[jit::portal(driver = jit, greens(pc))]
fn empty(jit: &JitDriver<'_>, pc: usize) {}

#[jit::portal(driver = jit, greens(pc))]
fn empty_loop(jit: &JitDriver<'_>, pc: usize) {
    loop {}
}

#[jit::portal(driver = jit, greens(pc))]
fn for_loop(jit: &JitDriver<'_>, pc: usize) {
    for _ in 0..pc {
        jit_merge_point!();
        can_enter_jit!();
    }
}

#[jit::portal(driver = jit, greens(pc))]
fn local_before(jit: &JitDriver<'_>, mut pc: usize) -> usize {
    let limit = 10;
    loop {
        jit_merge_point!();
        pc += 1;
        if pc > limit {
            return pc;
        }
        can_enter_jit!();
    }
}

#[jit::portal(driver = jit, greens(pc))]
fn two_tails(jit: &JitDriver<'_>, mut pc: usize) -> usize {
    while pc < 10 {
        jit_merge_point!();
        pc += 1;
        can_enter_jit!();
    }
    pc += 1;
    pc
}

#[jit::portal(driver = jit, greens(pc))]
fn never_hot(jit: &JitDriver<'_>, mut pc: usize) {
    loop {
        jit_merge_point!();
        pc += 1;
    }
}

#[jit::portal(driver = jit, greens(pc))]
fn back_edge_not_last(jit: &JitDriver<'_>, mut pc: usize) {
    loop {
        jit_merge_point!();
        can_enter_jit!();
        pc += 1;
    }
}

#[jit::portal(driver = jit, greens(pc))]
fn back_edge_of_another_loop(jit: &JitDriver<'_>, mut pc: usize) {
    loop {
        jit_merge_point!();
        while pc < 10 {
            pc += 1;
            can_enter_jit!();
            continue;
        }
    }
}

#[jit::portal(driver = jit, greens(pc))]
fn parameter_by_pattern(jit: &JitDriver<'_>, mut pc: usize, (a, b): (u8, u8)) -> u8 {
    loop {
        jit_merge_point!();
        pc += 1;
        if pc > 7 {
            return a + b;
        }
        can_enter_jit!();
    }
}

fn main() {}
