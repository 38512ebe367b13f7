//! The back-edge counters: a fixed-size table keyed by the green key's hash.
//!
//! A cold back-edge adds one and compares. Keys that share a counter heat each other, which costs a look-up too early and
//! nothing else: the full key is compared before code is entered. A counter of a key that has code is *pinned*, so every
//! back-edge at it takes the slow path into the code.

use std::cell::Cell;

/// Number of counters, a power of two.
const COUNTERS: usize = 1 << 12;

/// The table.
#[derive(Debug)]
pub struct Counters {
    ticks: Box<[Cell<u32>]>,
    threshold: Cell<u32>,
}

impl Counters {
    const PINNED: u32 = u32::MAX - 1;

    /// A cold table.
    pub fn new(threshold: u32) -> Counters {
        let ticks = (0..COUNTERS).map(|_| Cell::new(0)).collect();
        Counters {
            ticks,
            threshold: Cell::new(threshold),
        }
    }

    /// Changes the threshold; `u32::MAX` is never reached.
    pub fn set_threshold(&self, threshold: u32) {
        self.threshold.set(threshold);
    }

    /// Counts a back-edge; whether the slow path is due.
    #[inline(always)]
    pub fn tick(&self, hash: u64) -> bool {
        let counter = self.counter(hash);
        let ticks = counter.get().saturating_add(1);
        counter.set(ticks);
        ticks >= self.threshold.get()
    }

    /// From now on every back-edge with this hash is due.
    pub fn pin(&self, hash: u64) {
        self.counter(hash).set(Self::PINNED);
    }

    /// Whether the counter is pinned, by this key or another.
    pub fn is_pinned(&self, hash: u64) -> bool {
        self.counter(hash).get() >= Self::PINNED
    }

    /// Starts again from 0, unless pinned.
    pub fn reset(&self, hash: u64) {
        if !self.is_pinned(hash) {
            self.counter(hash).set(0);
        }
    }

    /// Starts again from 0 even if pinned: the key's code is gone. Other keys that share the counter are pinned again by
    /// their next look-up.
    pub fn unpin(&self, hash: u64) {
        self.counter(hash).set(0);
    }

    /// Shrinks every counter that is not pinned by `decay` thousandths.
    pub fn decay(&self, decay: u32) {
        for counter in &self.ticks {
            let ticks = counter.get();
            if ticks < Self::PINNED {
                counter.set(ticks - (u64::from(ticks) * u64::from(decay.min(1000)) / 1000) as u32);
            }
        }
    }

    #[inline(always)]
    fn counter(&self, hash: u64) -> &Cell<u32> {
        &self.ticks[(hash >> (64 - COUNTERS.trailing_zeros())) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_at_the_threshold_and_for_good_when_pinned() {
        let counters = Counters::new(3);
        let hash = 0x1234_5678_9abc_def0;
        assert_eq!(
            [counters.tick(hash), counters.tick(hash), counters.tick(hash)],
            [false, false, true]
        );
        counters.reset(hash);
        assert!(!counters.tick(hash));
        counters.pin(hash);
        counters.decay(1000);
        counters.reset(hash);
        assert!(counters.tick(hash) && counters.tick(hash));
        counters.unpin(hash);
        assert!(!counters.tick(hash));
    }

    #[test]
    fn counters_decay() {
        let counters = Counters::new(10);
        for _ in 0..5 {
            counters.tick(7);
        }
        counters.decay(400);
        let more = (0..).take_while(|_| !counters.tick(7)).count();
        assert_eq!(more, 6, "3 were left of 5");
    }
}
