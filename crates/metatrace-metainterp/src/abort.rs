//! Every reason to give up a trace, in one table: its text, and what to do about the place.
//!
//! Giving up is normal: the execution goes on in the interpreter, the reason is counted and logged. A place that keeps
//! failing is left alone for longer and longer, and in the end for good.

use metatrace_backend::BackendError;
use std::fmt;

/// What happens to a place after an abort there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retry {
    /// Try again later; each abort doubles the wait, until the limit of attempts.
    Later,
    /// Never again.
    Never,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident $text:literal $retry:ident;)*) => {
        /// Why a trace was given up.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
        pub enum Abort { $($(#[$doc])* #[doc = concat!("\"", $text, "\"")] $reason,)* }

        impl Abort {
            /// Every reason, in the table's order.
            pub const ALL: &'static [Abort] = &[$(Abort::$reason),*];

            /// What it is, in words.
            pub fn text(self) -> &'static str {
                match self { $(Abort::$reason => $text),* }
            }

            /// What to do about the place.
            pub fn retry(self) -> Retry {
                match self { $(Abort::$reason => Retry::$retry),* }
            }
        }
    };
}

reasons! {
    TraceTooLong "trace too long" Later;
    InliningTooDeep "calls nest too deep to be inlined" Later;
    Panic "a panic while tracing" Later;
    /// The recording ended, by a return, before it had come to a merge point, and so has nothing to begin a loop with.
    NoMergePoint "the portal returned before its merge point" Later;
    Unsupported "the backend has no code for an operation" Never;
    OutOfCodeMemory "no more room for code" Never;
    FrameTooLarge "the trace needs too large a frame" Later;
    UnknownTarget "a loop to jump to is gone" Later;
    Unavailable "generated code cannot run here" Never;
    /// The budget of bridges of one loop.
    TooManyBridges "the loop has too many bridges" Never;
}

impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl From<BackendError> for Abort {
    fn from(error: BackendError) -> Abort {
        match error {
            BackendError::Unsupported(_) => Abort::Unsupported,
            BackendError::OutOfCodeMemory => Abort::OutOfCodeMemory,
            BackendError::FrameTooLarge { .. } => Abort::FrameTooLarge,
            BackendError::UnknownTarget(_) => Abort::UnknownTarget,
            BackendError::Unavailable(_) => Abort::Unavailable,
        }
    }
}

impl Abort {
    /// Whether the program has ended its recording itself, so that nothing is amiss, in strict mode either.
    pub fn is_the_guests(self) -> bool {
        matches!(self, Abort::Panic)
    }
}

/// What is left to try at a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Backoff {
    failures: u32,
    given_up: bool,
}

impl Backoff {
    /// Attempts after which a place is left alone for good.
    pub const MAX_FAILURES: u32 = 6;

    /// Records an abort.
    pub fn abort(&mut self, reason: Abort) {
        self.failures += 1;
        self.given_up |= self.failures >= Self::MAX_FAILURES || reason.retry() == Retry::Never;
    }

    /// Whether it is left alone.
    pub fn has_given_up(&self) -> bool {
        self.given_up
    }

    /// The threshold after the failures so far.
    pub fn scale(&self, threshold: u32) -> u32 {
        threshold.saturating_mul(1 << self.failures.min(16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_numbered_as_they_stand_in_the_table() {
        for (n, reason) in Abort::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, n);
        }
    }

    #[test]
    fn waits_double_and_end() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.scale(10), 10);
        backoff.abort(Abort::TraceTooLong);
        backoff.abort(Abort::TraceTooLong);
        assert_eq!(backoff.scale(10), 40);
        assert!(!backoff.has_given_up());
        for _ in 2..Backoff::MAX_FAILURES {
            backoff.abort(Abort::Panic);
        }
        assert!(backoff.has_given_up());
    }

    #[test]
    fn what_can_never_work_is_not_tried_again() {
        let mut backoff = Backoff::default();
        backoff.abort(Abort::Unsupported);
        assert!(backoff.has_given_up());
    }
}
