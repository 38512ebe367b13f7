use metatrace::{JitDriver, jit};

#[jit(inline)]
fn unknown_key() {}

#[jit(overflow = "sometimes")]
fn unknown_value() {}

#[jit(overflow)]
fn no_value() {}

#[jit::dont_look_inside(please)]
fn no_arguments() {}

#[jit::elidable]
#[jit::portal(driver = jit)]
fn residual_portal(jit: &JitDriver<'_>) {}

#[jit(overflow = "checked", overflow = "wrapping")]
fn twice() {}

fn main() {}
