//! A portal's driver is a shared reference: what it owns or borrows uniquely, a call could replace while its code runs.

use metatrace::{JitDriver, can_enter_jit, jit, jit_merge_point};

#[jit]
struct Machine<'p> {
    jit: JitDriver<'p>,
    left: i64,
}

#[jit]
impl<'p> Machine<'p> {
    #[jit::portal(driver = self.jit)]
    fn owned(&mut self) -> i64 {
        loop {
            jit_merge_point!(k = 0_u8);
            if self.left == 0 {
                return 0;
            }
            self.left -= 1;
            self.replace_driver();
            can_enter_jit!();
        }
    }

    #[jit::dont_look_inside]
    fn replace_driver(&mut self) {
        self.jit = JitDriver::new();
    }
}

#[jit::portal(driver = jit, greens(k))]
fn unique<'p>(jit: &mut JitDriver<'p>, k: u8, mut left: i64) -> i64 {
    loop {
        jit_merge_point!();
        if left == 0 {
            return 0;
        }
        left -= 1;
        can_enter_jit!();
    }
}

fn main() {}
