//! Patterns.
//!
//! A scrutinee is a `Scrut<T, M>`: a place with its default binding mode, which dereferences through references as match
//! ergonomics do. A pattern gives three lists of statements, so that nothing moves before the guard has held:
//!
//! ```text
//! Some(n @ 1..=9) if n > k => …
//!
//! tests   let t = pat1(&Some, s, fail); t.0.__test_range(1..=9, fail);
//! peeks   let n = t.0.__peek();          // a bitwise copy, for the guard
//! binds   let n = t.0.__bind();          // the move
//! ```
//!
//! Constructors are passed as values, so imports, renames and generics resolve as rustc resolves them. An or-pattern tests
//! its alternatives in turn; each fills the slots of the variables they share, and the value is marked as moved once.

use crate::body::Body;
use crate::names;
use crate::syntax;
use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Index, Pat, PatIdent, PatOr, PatStruct, PatTuple, PatTupleStruct, Path};

/// What a pattern does.
#[derive(Default)]
pub(crate) struct Matcher {
    /// Tests, which go to the failure block where the pattern does not match.
    pub(crate) tests: Vec<TokenStream>,
    /// Bindings that a guard may look at.
    pub(crate) peeks: Vec<TokenStream>,
    /// Bindings of the arm.
    pub(crate) binds: Vec<TokenStream>,
}

impl Matcher {
    fn test(test: TokenStream) -> Matcher {
        Matcher {
            tests: vec![test],
            ..Matcher::default()
        }
    }

    fn extend(&mut self, other: Matcher) {
        self.tests.extend(other.tests);
        self.peeks.extend(other.peeks);
        self.binds.extend(other.binds);
    }
}

impl Body {
    /// Matches `scrutinee` (an expression that is cheap to repeat) against a pattern, going to the block `fail` where it
    /// does not match. Declares the names.
    pub(crate) fn pattern(&mut self, pat: &Pat, scrutinee: &TokenStream, fail: &Ident) -> Matcher {
        let span = pat.span();
        match pat {
            Pat::Wild(_) | Pat::Rest(_) => Matcher::default(),
            Pat::Paren(inner) => self.pattern(&inner.pat, scrutinee, fail),
            Pat::Type(typed) => self.pattern(&typed.pat, scrutinee, fail),
            Pat::Ident(name) if syntax::is_binding(name) => self.binding(name, scrutinee, fail),
            Pat::Ident(name) => constant(&name.ident, scrutinee, fail),
            Pat::Path(path) => constant(path, scrutinee, fail),
            Pat::Lit(lit) => Matcher::test(quote_spanned!(span=> (#scrutinee).__test_eq(#lit, #fail);)),
            Pat::Range(range) => Matcher::test(quote_spanned!(span=> (#scrutinee).__test_range(#range, #fail);)),
            Pat::TupleStruct(pat) => self.constructor(pat, scrutinee, fail),
            Pat::Tuple(pat) => self.tuple(pat, scrutinee, fail),
            Pat::Struct(pat) => self.fields(pat, scrutinee, fail),
            Pat::Reference(pat) => {
                let deref = if pat.mutability.is_some() {
                    "__deref_mut_pat"
                } else {
                    "__deref_pat"
                };
                let deref = Ident::new(deref, span);
                let inner = self.local("s");
                let mut matcher = Matcher::test(quote_spanned!(span=> let #inner = (#scrutinee).#deref();));
                matcher.extend(self.pattern(&pat.pat, &inner.to_token_stream(), fail));
                matcher
            }
            Pat::Or(alternatives) => self.alternatives(alternatives, scrutinee, fail),
            Pat::Slice(_) => self.unstaged_pattern(pat, "slice patterns do not stage: test `len()` and use indices"),
            Pat::Macro(_) => self.unstaged_pattern(pat, "macros in patterns do not stage: write the pattern out"),
            _ => self.unstaged_pattern(pat, "this pattern does not stage"),
        }
    }

    fn unstaged_pattern(&mut self, pat: &Pat, message: &str) -> Matcher {
        for name in syntax::bound_names(pat) {
            self.declare(&name);
        }
        Matcher::test(self.error(pat, message))
    }

    fn binding(&mut self, pat: &PatIdent, scrutinee: &TokenStream, fail: &Ident) -> Matcher {
        let mut matcher = match &pat.subpat {
            Some((_, subpattern)) => self.pattern(subpattern, scrutinee, fail),
            None => Matcher::default(),
        };
        let name = &pat.ident;
        self.declare(name);
        let (peek, bind) = match (&pat.by_ref, &pat.mutability) {
            (None, _) => ("__peek", "__bind"),
            (Some(_), None) => ("__bind_ref", "__bind_ref"),
            (Some(_), Some(_)) => ("__bind_mut", "__bind_mut"),
        };
        let span = pat.span();
        let (peek, bind) = (Ident::new(peek, span), Ident::new(bind, span));
        matcher
            .peeks
            .push(quote_spanned!(span=> let #name = (#scrutinee).#peek();));
        matcher
            .binds
            .push(quote_spanned!(span=> let #name = (#scrutinee).#bind();));
        matcher
    }

    /// `Path(a, b)`
    fn constructor(&mut self, pat: &PatTupleStruct, scrutinee: &TokenStream, fail: &Ident) -> Matcher {
        let (span, path) = (pat.span(), &pat.path);
        let mut elems: Vec<&Pat> = pat.elems.iter().collect();
        let rest = elems.iter().position(|elem| matches!(elem, Pat::Rest(_)));
        let function = match rest {
            None if elems.len() > names::MAX_ARITY => return self.too_many(pat),
            None => format_ident!("pat{}", elems.len(), span = span),
            Some(0) if elems.len() == 1 => {
                return Matcher::test(quote_spanned!(span=> __mt::pat_any(&#path, (#scrutinee).__adt(), #fail);));
            }
            Some(n) if n + 1 == elems.len() => {
                elems.pop();
                Ident::new("pat_rest", span)
            }
            Some(_) => return self.unstaged_pattern(&Pat::TupleStruct(pat.clone()), REST_NOT_LAST),
        };
        let parts = self.local("t");
        let test = quote_spanned!(span=> let #parts = __mt::#function(&#path, (#scrutinee).__adt(), #fail););
        self.elements(test, &parts, &elems, fail)
    }

    fn tuple(&mut self, pat: &PatTuple, scrutinee: &TokenStream, fail: &Ident) -> Matcher {
        let span = pat.span();
        let mut elems: Vec<&Pat> = pat.elems.iter().collect();
        if elems.is_empty() {
            return Matcher::default();
        }
        let rest = elems.iter().position(|elem| matches!(elem, Pat::Rest(_)));
        let method = match rest {
            None if elems.len() > names::MAX_ARITY => return self.too_many(pat),
            None => format_ident!("__tup{}", elems.len(), span = span),
            Some(0) if elems.len() == 1 => return Matcher::default(),
            Some(n) if n + 1 == elems.len() => {
                elems.pop();
                Ident::new("__tup_rest", span)
            }
            Some(_) => return self.unstaged_pattern(&Pat::Tuple(pat.clone()), REST_NOT_LAST),
        };
        let parts = self.local("t");
        let test = quote_spanned!(span=> let #parts = (#scrutinee).#method(););
        self.elements(test, &parts, &elems, fail)
    }

    fn too_many(&mut self, pat: &dyn ToTokens) -> Matcher {
        Matcher::test(self.error(
            pat,
            format_args!(
                "more than {} fields do not stage: use a struct with named ones",
                names::MAX_ARITY
            ),
        ))
    }

    fn elements(&mut self, test: TokenStream, parts: &Ident, elems: &[&Pat], fail: &Ident) -> Matcher {
        let mut matcher = Matcher::test(test);
        for (n, elem) in elems.iter().enumerate() {
            let index = Index::from(n);
            matcher.extend(self.pattern(elem, &quote!(#parts.#index), fail));
        }
        matcher
    }

    /// `Path { x, y: 3, .. }`
    fn fields(&mut self, pat: &PatStruct, scrutinee: &TokenStream, fail: &Ident) -> Matcher {
        let span = pat.span();
        let parts = self.local("t");
        let (owner, variant) = split_variant(&pat.path);
        let test = match variant {
            Some(variant) => {
                let function = format_ident!("__pattern_of_jit_type_{}", variant, span = span);
                quote_spanned!(span=> let #parts = #owner::#function((#scrutinee).__adt(), #fail);)
            }
            None => quote_spanned!(span=> let #parts = #owner::__pattern_of_jit_type((#scrutinee).__adt());),
        };
        let mut matcher = Matcher::test(test);
        for field in &pat.fields {
            let member = &field.member;
            let inner = self.pattern(&field.pat, &quote_spanned!(member.span()=> #parts.#member), fail);
            let cfgs = syntax::cfgs(&field.attrs);
            let configured = |statements: Vec<TokenStream>| {
                let cfgs = &cfgs;
                statements.into_iter().map(|s| quote!(#(#cfgs)* #s)).collect()
            };
            matcher.extend(Matcher {
                tests: configured(inner.tests),
                peeks: configured(inner.peeks),
                binds: configured(inner.binds),
            });
        }
        matcher
    }

    fn alternatives(&mut self, pat: &PatOr, scrutinee: &TokenStream, fail: &Ident) -> Matcher {
        let names = syntax::bound_names(&Pat::Or(pat.clone()));
        let slots: Vec<Ident> = names.iter().map(|_| self.local("or")).collect();
        let matched = self.local("ok");
        let mut tests = vec![quote!(let #matched = __mt::block();)];
        tests.extend(
            slots
                .iter()
                .map(|slot| quote!(let #slot = __mt::Place::<_, __mt::Mv>::__raw();)),
        );
        for case in &pat.cases {
            let next = self.local("f");
            let Matcher {
                tests: case_tests,
                peeks,
                ..
            } = self.pattern(case, scrutinee, &next);
            tests.push(quote! {
                {
                    let #next = __mt::block();
                    #(#case_tests)*
                    #(#peeks)*
                    #(__mt::init(#slots, &__mt::peek(#names));)*
                    __mt::goto(#matched);
                    __mt::switch(#next);
                }
            });
        }
        tests.push(quote!(__mt::goto(#fail);));
        tests.push(quote!(__mt::switch(#matched);));
        let peeks = names
            .iter()
            .zip(&slots)
            .map(|(name, slot)| quote!(let #name = #slot;))
            .collect();
        let mut binds: Vec<TokenStream> = names
            .iter()
            .zip(&slots)
            .map(|(name, slot)| quote!(let #name = __mt::bind_raw(#slot);))
            .collect();
        if !names.is_empty() {
            binds.push(quote!((#scrutinee).__or_moved();));
        }
        Matcher { tests, peeks, binds }
    }
}

const REST_NOT_LAST: &str = "`..` stages at the end of a pattern only: write `_` for each field before others";

fn constant(path: &dyn ToTokens, scrutinee: &TokenStream, fail: &Ident) -> Matcher {
    let path = path.to_token_stream();
    let span = path.span();
    Matcher::test(quote_spanned!(span=> (#scrutinee).__test_unit(&#path, #fail);))
}

/// Takes `Enum::Variant` apart. A path whose last but one name is not capitalised is a struct's in a module.
pub(crate) fn split_variant(path: &Path) -> (Path, Option<Ident>) {
    let count = path.segments.len();
    if count < 2 || !names::is_capitalised(&path.segments[count - 2].ident) {
        return (path.clone(), None);
    }
    let mut owner = path.clone();
    let variant = owner.segments.pop().map(|pair| pair.into_value().ident);
    owner.segments.pop_punct();
    (owner, variant)
}
