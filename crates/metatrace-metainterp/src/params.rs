//! The parameters of a driver, after RPython's names and defaults, and their textual form.

use std::fmt;

/// Tuning of a driver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parameters {
    /// Back-edges at one green key until it is traced.
    pub threshold: u32,
    /// Exits at one guard until a bridge is traced from it.
    pub trace_eagerness: u32,
    /// Operations after which a trace is given up.
    pub trace_limit: u32,
    /// How much the back-edge counters shrink each time a trace is made, in thousandths.
    pub decay: u32,
    /// Calls that may nest in a trace.
    pub max_inline_depth: u32,
    /// Bridges one loop may have.
    pub max_bridges: u32,
    /// Whether traces are optimised.
    pub optimize: bool,
    /// Recorded operations from which on a loop is not peeled, for its code would be twice as long.
    pub disable_unrolling: u32,
    /// Whether loops whose entries do not pay are left alone for a while. What pays is judged by time, so a test that counts
    /// what is compiled turns it off.
    pub demotion: bool,
    /// Whether any abort is a failure (a panic that says why): for tests.
    pub strict: bool,
    /// Whether compiled code counts the merge points it passes, which slows it down: for measuring its share.
    pub count: bool,
    /// In how many worlds every optimised trace is compared with what was recorded; a difference is a panic that shows both;
    /// 0: none. For tests, and only with the feature `check`.
    pub check: u32,
    /// Guards forced to fail about once in so many executions; 0: none. For tests.
    pub force_exits: u32,
    /// Start of the sequence that chooses them.
    pub seed: u64,
    /// Every execution of the guard with this number is forced to fail. For tests.
    pub force_guard: Option<u32>,
    /// Whether traces run in the reference executor instead of machine code. For tests.
    pub reference: bool,
    /// Whether the JIT is on at all.
    pub enabled: bool,
}

impl Default for Parameters {
    fn default() -> Parameters {
        Parameters {
            threshold: 1039,
            trace_eagerness: 100,
            trace_limit: 6000,
            decay: 40,
            max_inline_depth: 64,
            max_bridges: 1000,
            optimize: true,
            disable_unrolling: 1000,
            demotion: true,
            strict: false,
            count: false,
            check: 0,
            force_exits: 0,
            seed: 1,
            force_guard: None,
            reference: false,
            enabled: true,
        }
    }
}

/// A parameter text that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigError {
    /// There is no such parameter.
    Unknown(String),
    /// The value does not fit the parameter.
    BadValue {
        /// Which parameter.
        name: String,
        /// What was given.
        value: String,
        /// What is expected.
        expected: &'static str,
    },
    /// Not of the form `name=value`.
    NoValue(String),
    /// The parameter needs the feature of this name, without which the framework was built.
    NotBuilt(&'static str),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Unknown(name) => {
                write!(
                    f,
                    "unknown JIT parameter '{name}' (known: {})",
                    Parameters::NAMES.join(", ")
                )
            }
            ConfigError::BadValue { name, value, expected } => {
                write!(f, "JIT parameter '{name}' cannot be '{value}': {expected} expected")
            }
            ConfigError::NoValue(text) => write!(
                f,
                "JIT parameter '{text}' is neither 'off' nor 'default' nor of the form 'name=value'"
            ),
            ConfigError::NotBuilt(name) => write!(
                f,
                "JIT parameter '{name}' is not in this build: it needs the feature '{name}' of the crate 'metatrace'"
            ),
        }
    }
}

impl std::error::Error for ConfigError {}

impl Parameters {
    /// The names the textual form knows.
    pub const NAMES: &'static [&'static str] = &[
        "threshold",
        "trace_eagerness",
        "trace_limit",
        "decay",
        "max_inline_depth",
        "max_bridges",
        "enable_opts",
        "disable_unrolling",
        "demotion",
        "strict",
        "count",
        "check",
        "force_exits",
        "seed",
        "force_guard",
        "backend",
    ];

    /// Whether this build has all that they ask for.
    ///
    /// # Errors
    /// [`ConfigError::NotBuilt`] with the name of the feature that is missing.
    pub fn are_built(&self) -> Result<(), ConfigError> {
        match self.check {
            1.. if cfg!(not(feature = "check")) => Err(ConfigError::NotBuilt("check")),
            _ => Ok(()),
        }
    }

    /// Applies a text: `off`, `default`, or `name=value` pairs separated by commas; no part of it is empty.
    ///
    /// # Errors
    /// Names the part that cannot be used; nothing has changed then.
    pub fn apply(&mut self, text: &str) -> Result<(), ConfigError> {
        let mut changed = self.clone();
        for part in text.split(',').map(str::trim) {
            match part {
                "off" => changed.enabled = false,
                "default" => changed = Parameters::default(),
                _ => {
                    let (name, value) = part
                        .split_once('=')
                        .ok_or_else(|| ConfigError::NoValue(part.to_owned()))?;
                    changed.set(name.trim(), value.trim())?;
                }
            }
        }
        changed.are_built()?;
        *self = changed;
        Ok(())
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        match name {
            "threshold" => self.threshold = number(name, value, 1)?,
            "trace_eagerness" => self.trace_eagerness = number(name, value, 1)?,
            "trace_limit" => self.trace_limit = number(name, value, 1)?,
            "decay" => match number(name, value, 0)? {
                decay @ ..=1000 => self.decay = decay,
                _ => return Err(bad(name, value, "a number up to 1000")),
            },
            "max_inline_depth" => self.max_inline_depth = number(name, value, 0)?,
            "max_bridges" => self.max_bridges = number(name, value, 0)?,
            "enable_opts" => self.optimize = choice(name, value, &[("all", true), ("", false), ("none", false)])?,
            "disable_unrolling" => self.disable_unrolling = number(name, value, 0)?,
            "demotion" => self.demotion = choice(name, value, &[("1", true), ("0", false)])?,
            "strict" => self.strict = choice(name, value, &[("1", true), ("0", false)])?,
            "count" => self.count = choice(name, value, &[("1", true), ("0", false)])?,
            "check" => self.check = number(name, value, 0)?,
            "force_exits" => self.force_exits = number(name, value, 0)?,
            "seed" => self.seed = number(name, value, 0)?.into(),
            "force_guard" => self.force_guard = Some(number(name, value, 0)?),
            "backend" => self.reference = choice(name, value, &[("reference", true), ("native", false)])?,
            _ => return Err(ConfigError::Unknown(name.to_owned())),
        }
        Ok(())
    }
}

fn bad(name: &str, value: &str, expected: &'static str) -> ConfigError {
    ConfigError::BadValue {
        name: name.to_owned(),
        value: value.to_owned(),
        expected,
    }
}

fn number(name: &str, value: &str, least: u32) -> Result<u32, ConfigError> {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    let number: Option<u32> = value.parse().ok().filter(|_| is_number);
    let number = number.ok_or_else(|| bad(name, value, "a whole number below 2^32"))?;
    if number < least {
        Err(bad(name, value, "a number above 0"))
    } else {
        Ok(number)
    }
}

fn choice(name: &str, value: &str, choices: &[(&str, bool)]) -> Result<bool, ConfigError> {
    let known = choices.iter().find(|(text, _)| *text == value);
    let expected = match choices {
        [("all", _), ..] => "'all' or 'none'",
        [("reference", _), ..] => "'reference' or 'native'",
        _ => "0 or 1",
    };
    let known = known.map(|(_, choice)| *choice);
    known.ok_or_else(|| bad(name, value, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_set_parameters() {
        let mut params = Parameters::default();
        params.apply("threshold=10, trace_limit=100").expect("a good text");
        assert_eq!(
            (params.threshold, params.trace_limit, params.trace_eagerness),
            (10, 100, 100)
        );
        params.apply("default,off").expect("a good text");
        assert_eq!(
            params,
            Parameters {
                enabled: false,
                ..Parameters::default()
            }
        );
    }

    #[cfg(not(feature = "check"))]
    #[test]
    fn a_parameter_that_was_not_built_says_what_it_needs() {
        let mut params = Parameters::default();
        params.apply("check=0").expect("nothing is asked for");
        let error = params.apply("check=5").expect_err("it is not there").to_string();
        assert!(error.contains("the feature 'check'"), "{error}");
    }

    #[test]
    fn bad_texts_change_nothing_and_say_why() {
        let mut params = Parameters::default();
        for (text, part) in [
            ("threshold=10,treshold=3", "unknown JIT parameter 'treshold'"),
            ("threshold=many", "a whole number"),
            ("threshold=0", "above 0"),
            ("threshold", "name=value"),
            ("OFF", "neither 'off' nor"),
            ("", "'' is neither"),
            ("threshold=3,", "'' is neither"),
            ("threshold=+3", "a whole number"),
            ("strict=yes", "0 or 1"),
            ("decay=1001", "up to 1000"),
        ] {
            let error = params.apply(text).expect_err("a bad text").to_string();
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(params, Parameters::default());
    }
}
