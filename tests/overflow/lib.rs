//! Nothing but a test, in a package whose profiles check for overflow where others do not, and do not where others do.
#![forbid(unsafe_code)]

#[cfg(test)]
mod tests {
    use metatrace::{JitDriver, can_enter_jit, jit, jit_merge_point};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[jit]
    fn next(byte: u8) -> u8 {
        byte + 1
    }

    #[jit::portal(driver = jit, greens(pc))]
    fn run(jit: &JitDriver<'_>, pc: usize, mut rounds: u32, mut byte: u8) -> u8 {
        loop {
            jit_merge_point!();
            if rounds == 0 {
                return byte;
            }
            rounds -= 1;
            byte = next(byte);
            can_enter_jit!();
        }
    }

    /// What 300 rounds give, and how many loops were compiled.
    fn outcome(params: &str) -> (Result<u8, String>, u64) {
        let jit = JitDriver::with_param_text(params).expect("good parameters");
        let result = catch_unwind(AssertUnwindSafe(|| run(&jit, 0, 300, 0)));
        let message = |payload: Box<dyn std::any::Any + Send>| match payload.downcast::<&str>() {
            Ok(text) => text.to_string(),
            Err(payload) => *payload.downcast::<String>().expect("a text"),
        };
        (result.map_err(message), jit.stats().loops)
    }

    #[test]
    fn arithmetic_is_as_in_the_native_function() {
        let (native, _) = outcome("off");
        let expected = match cfg!(debug_assertions) {
            true => Ok(44),
            false => Err("attempt to add with overflow".to_owned()),
        };
        assert_eq!(native, expected, "the package's profile");
        for params in [
            "threshold=5",
            "threshold=5,backend=reference",
            "threshold=5,enable_opts=none",
        ] {
            let (result, loops) = outcome(params);
            assert_eq!((result, loops), (expected.clone(), 1), "{params}");
        }
    }
}
