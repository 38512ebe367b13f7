//! What the CPU has beyond the base of x86-64.

/// Instruction set extensions that code may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Features {
    /// `tzcnt`.
    pub(crate) bmi1: bool,
    /// `shlx`, `shrx`, `sarx`.
    pub(crate) bmi2: bool,
    pub(crate) lzcnt: bool,
    pub(crate) popcnt: bool,
}

impl Features {
    /// What this CPU has.
    pub(crate) fn detect() -> Features {
        Features {
            bmi1: is_x86_feature_detected!("bmi1"),
            bmi2: is_x86_feature_detected!("bmi2"),
            lzcnt: is_x86_feature_detected!("lzcnt"),
            popcnt: is_x86_feature_detected!("popcnt"),
        }
    }

    /// What every x86-64 CPU has.
    pub(crate) fn base() -> Features {
        Features {
            bmi1: false,
            bmi2: false,
            lzcnt: false,
            popcnt: false,
        }
    }
}
