//! A portal: its jitcode, and the bridge between the native function's variables and words.
//!
//! The native portal function keeps its parameters in variables; machine code and the interpreter keep their words in
//! registers. Three small jitcodes carry them across, so that layouts are known in one place only.

use crate::{CalleeKey, JitCode, JitCodeSource, SmallCode, Words};
use metatrace_ir::{Kind, RootKind, Word};
use std::error::Error;
use std::fmt::{self, Display};
use std::rc::Rc;

/// Where a parameter's word is found at the merge point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParamWord {
    /// Index into [`crate::MergePoint::greens`].
    Green(usize),
    /// Index into [`crate::MergePoint::reds`].
    Red(usize),
}

/// A portal function, staged.
#[derive(Clone, Debug)]
pub struct PortalCode {
    /// The function. Called with the parameters' words it comes to its header; its merge point is known.
    pub jitcode: Rc<JitCode>,
    /// From the addresses of the native parameters, in order, to the parameters' words.
    pub load_params: SmallCode,
    /// From the addresses, then the parameters' words: writes the variables that the function gives other values.
    pub store_params: SmallCode,
    /// From the address of an uninitialised result, then the result's words: writes it.
    pub store_result: SmallCode,
    /// For each parameter word, where it is found at the merge point. The reds come in their order.
    pub param_words: Vec<ParamWord>,
    /// For each red word, what its type says of the memory behind it.
    pub red_roots: Vec<Option<RootKind>>,
    /// For each red word, what its type says of its bits.
    pub red_words: Vec<Word>,
}

impl PortalCode {
    /// The kinds of the reds.
    pub fn red_kinds(&self) -> Vec<Kind> {
        self.merge_point()
            .reds
            .iter()
            .map(|red| self.jitcode.kind(*red))
            .collect()
    }

    /// The merge point's registers.
    pub fn merge_point(&self) -> &crate::MergePoint {
        self.jitcode.merge_point.as_ref().expect("a portal has a merge point")
    }

    /// The parameters' words, from those of the merge point.
    pub fn param_values<V: Copy>(&self, greens: &[V], reds: &[V]) -> Words<V> {
        let word = |word: &ParamWord| match *word {
            ParamWord::Green(n) => greens[n],
            ParamWord::Red(n) => reds[n],
        };
        self.param_words.iter().map(word).collect()
    }

    /// The reds, from the parameters' words.
    pub fn reds_of_params<V: Copy>(&self, params: &[V]) -> Words<V> {
        let words = self.param_words.iter().zip(params);
        words
            .filter(|(word, _)| matches!(word, ParamWord::Red(_)))
            .map(|(_, value)| *value)
            .collect()
    }
}

/// What is known of a portal when every function that it may trace into has been staged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Twins {
    /// The functions, the portal first.
    pub functions: Vec<Rc<str>>,
    /// Calls of generated native code that reads or writes a layout which is std's own, and how often each stands in the
    /// functions: every one is a call in traces, too. By name.
    pub accessors: Vec<(String, usize)>,
}

impl Twins {
    /// How many accessors there are.
    pub fn accessor_count(&self) -> usize {
        self.accessors.iter().map(|(_, count)| count).sum()
    }

    /// One more such call.
    pub fn count_accessor(&mut self, name: &str) {
        match self.accessors.binary_search_by(|(known, _)| known.as_str().cmp(name)) {
            Ok(n) => self.accessors[n].1 += 1,
            Err(n) => self.accessors.insert(n, (name.to_owned(), 1)),
        }
    }
}

impl Display for Twins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} functions, {} native accessors",
            self.functions.len(),
            self.accessor_count()
        )?;
        for (n, (name, count)) in self.accessors.iter().enumerate() {
            write!(f, "{} {count} × {name}", if n == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

/// A function that cannot be staged, for a reason that only its running twin has found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unstageable {
    /// The function.
    pub function: String,
    /// What is wrong, and the remedy.
    pub why: String,
}

impl Display for Unstageable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` cannot be staged: {}", self.function, self.why)
    }
}

impl Error for Unstageable {}

/// A store of jitcodes that knows portals too.
pub trait PortalSource: JitCodeSource {
    /// Stages a portal, and every function that it may trace into.
    ///
    /// # Errors
    /// The first function that cannot be staged.
    fn build_twins(&self, key: CalleeKey) -> Result<Twins, Unstageable>;

    /// The portal with this builder, staged now if need be.
    fn portal(&self, key: CalleeKey) -> Rc<PortalCode>;
}
