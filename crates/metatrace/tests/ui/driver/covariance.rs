use metatrace::JitDriver;

fn shorten<'long: 'short, 'short>(jit: &'short JitDriver<'long>) -> &'short JitDriver<'short> {
    jit
}

fn lengthen<'long, 'short>(jit: &'short JitDriver<'short>) -> &'short JitDriver<'long> {
    jit
}

fn main() {}
