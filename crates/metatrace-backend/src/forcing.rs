//! Guards forced to fail, for tests: a guard resumes *at* its operation, which is evaluated again, so an exit whose
//! condition still holds must change nothing but speed.
//!
//! `guard_no_overflow`, `guard_overflow` and `guard_no_exception` are never forced: they report what the operation before
//! them has done, which is not done again.

use metatrace_ir::{GuardId, Opcode};
use std::cell::Cell;

/// Which guards fail although their condition holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Forcing {
    /// None.
    #[default]
    Off,
    /// One in about `n` executions of all guards, chosen by a seeded sequence.
    OneIn {
        /// About how many executions pass between two forced exits; at least 1.
        n: u32,
        /// Start of the sequence.
        seed: u64,
    },
    /// Every execution of this guard.
    Guard(GuardId),
}

impl Forcing {
    /// Whether this guard is subject to forcing at all.
    pub fn applies_to(self, opcode: Opcode, guard: GuardId) -> bool {
        let forcible = !matches!(
            opcode,
            Opcode::GuardNoOverflow | Opcode::GuardOverflow | Opcode::GuardNoException | Opcode::GuardAlwaysFails
        );
        forcible
            && opcode.is_guard()
            && match self {
                Forcing::Off => false,
                Forcing::OneIn { .. } => true,
                Forcing::Guard(chosen) => chosen == guard,
            }
    }
}

/// The executions left until the next forced exit. Machine code decrements [`Countdown::left`] in place and exits when it
/// reaches 0; the exit path calls [`Countdown::rearm`].
#[derive(Debug)]
pub struct Countdown {
    /// Executions left.
    pub left: Cell<u64>,
    state: Cell<u64>,
    n: u32,
}

impl Countdown {
    /// For `Forcing::OneIn`.
    pub fn new(n: u32, seed: u64) -> Countdown {
        let countdown = Countdown {
            left: Cell::new(0),
            state: Cell::new(seed | 1),
            n: n.max(1),
        };
        countdown.rearm();
        countdown
    }

    /// Draws the next distance, uniformly from 1 to 2n - 1.
    pub fn rearm(&self) {
        // xorshift64 (Marsaglia 2003)
        let mut x = self.state.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.state.set(x);
        self.left.set(1 + x % (2 * u64::from(self.n) - 1));
    }

    /// Counts one execution; whether it is to be forced.
    pub fn tick(&self) -> bool {
        let left = self.left.get() - 1;
        self.left.set(left);
        if left == 0 {
            self.rearm();
        }
        left == 0
    }
}
