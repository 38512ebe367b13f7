//! What a scan over a trace finds out of each value, in memory that is kept for the next.

use metatrace_ir::{FramesOnce, Op, Ref, Trace};

#[derive(Default)]
pub(crate) struct ByValue<T> {
    known: Vec<T>,
    frames: FramesOnce,
}

impl<T: Copy> ByValue<T> {
    /// Goes to another trace, of whose values all is known that is said here.
    pub(crate) fn restart(&mut self, trace: &Trace, known: T) {
        self.known.clear();
        self.known.resize(trace.value_count(), known);
        self.frames.restart(trace);
    }

    /// What is known of a value, which is no constant.
    pub(crate) fn of(&self, value: Ref) -> T {
        self.known[value.as_value().expect("no constant")]
    }

    /// Goes on from what is known of these values; of constants nothing is.
    pub(crate) fn update(&mut self, values: &[Ref], next: impl Fn(T) -> T) {
        for n in values.iter().filter_map(|value| value.as_value()) {
            self.known[n] = next(self.known[n]);
        }
    }

    /// The same of the values in those frames of an exit that were at none before.
    pub(crate) fn update_frames(&mut self, trace: &Trace, exit: &Op, next: impl Fn(T) -> T) {
        for frame in self.frames.of(trace, exit) {
            for n in frame.values.iter().filter_map(|value| value.as_value()) {
                self.known[n] = next(self.known[n]);
            }
        }
    }
}
