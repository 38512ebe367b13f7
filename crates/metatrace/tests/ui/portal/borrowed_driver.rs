//! The reference to the driver lives as long as the portal runs, so no borrow of a field can stand for it.

use metatrace::{JitDriver, can_enter_jit, jit, jit_merge_point};

#[jit]
struct Machine<'p> {
    jit: JitDriver<'p>,
    left: i64,
}

#[jit]
impl<'p> Machine<'p> {
    #[jit::portal(driver = &self.jit)]
    fn borrowed(&mut self) -> i64 {
        loop {
            jit_merge_point!(k = 0_u8);
            if self.left == 0 {
                return 0;
            }
            self.replace_driver();
            can_enter_jit!();
        }
    }

    #[jit::dont_look_inside]
    fn replace_driver(&mut self) {
        self.left -= 1;
        self.jit = JitDriver::new();
    }
}

fn main() {}
