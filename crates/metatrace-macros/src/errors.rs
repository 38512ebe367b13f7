//! What does not stage is an error at the author's span that says what to do.
//!
//! Expansion never stops at the first one: all errors of an item are reported together, and the item's twin is emitted with
//! an empty body, so that its callers report nothing.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::Error;

/// The way out that always works.
pub(crate) const OUTLINE: &str = "move it into a function marked `#[jit::dont_look_inside]` and call that";

/// The errors of one item.
#[derive(Default)]
pub(crate) struct Errors {
    errors: Vec<Error>,
}

impl Errors {
    /// Reports that `what` does not stage.
    pub(crate) fn at(&mut self, what: &dyn ToTokens, message: impl std::fmt::Display) {
        self.errors.push(Error::new_spanned(what, message));
    }

    /// Reports an error of the parser, or a prepared one.
    pub(crate) fn push(&mut self, error: Error) {
        self.errors.push(error);
    }

    /// Takes the value of a success, reports a failure.
    pub(crate) fn ok<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.errors.push(error)).ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.errors.len()
    }

    pub(crate) fn append(&mut self, other: Errors) {
        self.errors.extend(other.errors);
    }

    /// All of them, as items.
    pub(crate) fn into_tokens(self) -> TokenStream {
        self.errors.into_iter().map(|error| error.to_compile_error()).collect()
    }
}

/// What stands where something could not be staged. The item's expansion is thrown away.
pub(crate) fn hole() -> TokenStream {
    quote!(::core::unreachable!())
}
