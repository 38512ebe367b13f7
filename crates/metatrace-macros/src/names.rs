//! Names: where the runtime is, what the twins of an author's items are called, and hygiene.
//!
//! Twins are found through the author's own names, so imports, renames and visibility work as for the originals:
//!
//! | author's item | its twin |
//! |---|---|
//! | `fn foo` | `enum foo {}` in the type namespace, with `foo::stage` (a call) and `foo::build` (the body) |
//! | method `S::m` | `impl MethodIsJit<hash("m"), (Args,), Out> for S`, body in `S::__jit_build_m` |
//! | associated function `S::f` | `S::__jit_f`; of a trait impl, `impl AssocIsJit<hash("f"), (Args,), Out> for S` |
//! | `struct S { x: T }` | `__JitProxy_S { x: Place<T> }`, `S::__new_of_jit_type`, `S::__pattern_of_jit_type` |
//! | variant `E::V { x: T }` | `E::__new_of_jit_type_V`, `E::__pattern_of_jit_type_V` |
//!
//! Local variables and labels that a twin makes up have mixed-site hygiene, so none can meet the author's. Those the author
//! declares keep their identifier and span.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::{Lifetime, Path};

/// The most parameters of a native call, fields of a constructor, and elements of a tuple: the runtime has one entry point
/// for each number.
pub(crate) const MAX_ARITY: usize = 12;

/// Where the runtime is. Bodies of twins import it as `__mt`.
pub(crate) fn stage() -> TokenStream {
    quote!(::metatrace::__stage)
}

/// Where portals enter machine code.
pub(crate) fn driver() -> TokenStream {
    quote!(::metatrace::__driver)
}

/// The name of a method as a number, for the traits that methods are found through: FNV-1a.
pub(crate) fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// The text of an identifier, without `r#`.
pub(crate) fn plain(ident: &Ident) -> String {
    let text = ident.to_string();
    match text.strip_prefix("r#") {
        Some(text) => text.to_owned(),
        None => text,
    }
}

/// A made-up local variable.
pub(crate) fn local(name: &str, number: usize) -> Ident {
    Ident::new(&format!("__{name}{number}"), Span::mixed_site())
}

/// A made-up label.
pub(crate) fn label(name: &str, number: usize) -> Lifetime {
    Lifetime::new(&format!("'__{name}{number}"), Span::mixed_site())
}

/// Parameters `a0`, `a1`, … of a generated function.
pub(crate) fn arguments(count: usize) -> Vec<Ident> {
    (0..count).map(|n| local("a", n)).collect()
}

/// A method as the twin calls it. Handles are `Copy`, so methods of blanket impls that every type has would be taken for
/// the handle's own: the runtime has them under another name.
pub(crate) fn method(name: &Ident) -> Ident {
    const BLANKET: [&str; 8] = [
        "clone",
        "clone_from",
        "into",
        "try_into",
        "to_owned",
        "borrow",
        "borrow_mut",
        "type_id",
    ];
    if BLANKET.iter().any(|blanket| name == blanket) {
        format_ident!("__m_{}", name, span = name.span())
    } else {
        name.clone()
    }
}

/// The name that [`method`] was given.
pub(crate) fn written(method: &str) -> &str {
    let plain = method.strip_prefix("r#").unwrap_or(method);
    plain.strip_prefix("__m_").unwrap_or(plain)
}

/// An associated function's twin.
pub(crate) fn associated(name: &Ident) -> Ident {
    format_ident!("__jit_{}", name, span = name.span())
}

/// The function that builds the body of a method or associated function. Methods of trait impls carry the trait, since a
/// type may have several of the same name.
pub(crate) fn builder(of_trait: Option<&Path>, name: &Ident) -> Ident {
    match of_trait {
        None => format_ident!("__jit_build_{}", name),
        Some(path) => {
            let trait_name = &path.segments.last().expect("a path has segments").ident;
            let instance = hash(&path.to_token_stream().to_string());
            format_ident!("__jit_build_{}_{:x}_{}", trait_name, instance, name)
        }
    }
}

/// Whether a name is taken for a constant, a type or a constructor: its first letter is a capital.
pub(crate) fn is_capitalised(name: &Ident) -> bool {
    plain(name).trim_start_matches('_').starts_with(char::is_uppercase)
}
