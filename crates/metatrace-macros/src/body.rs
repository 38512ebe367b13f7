//! The body of a function becomes the body of its twin: a function that, run once, builds the jitcode.
//!
//! Its control structure is the author's. A value of type `T` is a `Var<T>`, a place a `Place<T>`, an operation a call of
//! the runtime, and rustc infers all the types:
//!
//! ```text
//! fn twice(x: u8) -> u8 { x + x }
//!
//! fn build(_: PhantomData<fn(u8) -> u8>) {
//!     __mt::begin::<u8>("twice", …);
//!     let x = __mt::param::<u8>();
//!     let r: Option<Var<_>> = 'exit: { __mt::scope(true); Some({ …; __mt::add(get(x), get(x)) }) };
//!     if let Some(r) = r { __mt::ret::<u8>(&r); }
//! }
//! ```
//!
//! **Divergence** is rustc's own. Each arm of a branch is a labelled block that yields `Option<Var<T>>`; `return`, `break`,
//! `continue` and `panic!` record their edge and `break` that block with `None`. So what has type `!` in the function has it
//! in the twin, and `T` need not be known where nothing arrives.
//!
//! **Scopes.** `scope(false)` begins a scope of locals, `scope(true)` one of temporaries; `pop` and `leave` end them with
//! their drops, and every leaving edge unwinds to the depth of the join it goes to. There is one of temporaries for each
//! statement, tail, arm, condition, guard and lazy operand.

use crate::errors::Errors;
use crate::expr::Context;
use crate::names;
use crate::portal::PortalTwin;
use crate::syntax;
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use std::collections::{BTreeSet, HashSet};
use syn::spanned::Spanned;
use syn::visit_mut::VisitMut;
use syn::{Block, Expr, Lifetime, Pat, Token, Type};

/// What a twin is made from.
pub(crate) struct Source<'a> {
    /// For logs.
    pub(crate) name: String,
    /// The type of `self`.
    pub(crate) receiver: Option<&'a Type>,
    pub(crate) params: &'a [(Pat, Type)],
    pub(crate) output: &'a Type,
    pub(crate) block: &'a Block,
    pub(crate) overflow_checks: Option<bool>,
    pub(crate) portal: Option<PortalTwin>,
}

/// Something `break` and `continue` can name.
pub(crate) struct Target {
    pub(crate) label: Option<Ident>,
    /// Joins the edges that leave it.
    pub(crate) join: Ident,
    /// The block that `continue` goes to; a labelled block has none.
    pub(crate) head: Option<Ident>,
    /// The type of what `break` gives, where known.
    pub(crate) ty: Option<Type>,
}

/// A twin's body in the making.
pub(crate) struct Body {
    /// Names of the author's variables, by scope.
    scopes: Vec<HashSet<String>>,
    targets: Vec<Target>,
    /// Labels of the arms around, which a diverging expression breaks.
    exits: Vec<Lifetime>,
    made_up: usize,
    pub(crate) errors: Errors,
    /// Methods called, with their number of arguments.
    pub(crate) methods: BTreeSet<(String, usize)>,
    /// The same of those called with a turbofish.
    pub(crate) turbofished: BTreeSet<(String, usize)>,
    /// Associated functions called.
    pub(crate) associated: BTreeSet<(String, usize)>,
    /// What the function returns.
    pub(crate) output: Type,
    pub(crate) portal: Option<PortalTwin>,
    /// Types of the parameters that have names.
    params: Vec<(Ident, Type)>,
    /// Indices of those whose fields are used, or that constructors' patterns match.
    taken_apart: BTreeSet<usize>,
}

/// The body of a twin's `build`.
pub(crate) fn build(source: Source<'_>, errors: &mut Errors) -> TokenStream {
    let mut body = Body {
        scopes: vec![HashSet::new()],
        targets: Vec::new(),
        exits: Vec::new(),
        made_up: 0,
        errors: std::mem::take(errors),
        methods: BTreeSet::new(),
        turbofished: BTreeSet::new(),
        associated: BTreeSet::new(),
        output: source.output.clone(),
        portal: source.portal,
        params: named_params(source.receiver, source.params),
        taken_apart: BTreeSet::new(),
    };
    let begin = begin(&source.name, source.output, source.block, source.overflow_checks);
    let params = source.params.iter().map(|(_, ty)| ty);
    let probes = probes(source.receiver.into_iter().chain(params).chain([source.output]));
    let portal = body.portal.as_ref().map(PortalTwin::begin);
    let params = body.params(source.receiver, source.params);
    let (exit, value) = body.arm(|body| {
        body.block(
            source.block,
            Context {
                extended: false,
                ty: Some(source.output),
            },
        )
    });
    let parts = body.parts_known();
    let mut lookups = lookups(&body.methods, &body.associated);
    lookups.extend(turbofished(&body.turbofished));
    *errors = std::mem::take(&mut body.errors);
    let stage = names::stage();
    let (result, output) = (names::local("r", 0), source.output);
    quote! {
        use #stage as __mt;
        use #stage::statics::*;
        #lookups
        #parts
        #begin
        #probes
        #portal
        #(#params)*
        let #result: __mt::Option<__mt::Var<_>> = #exit: {
            __mt::scope(true);
            __mt::Some(#value)
        };
        if let __mt::Some(#result) = #result {
            __mt::ret::<#output>(&#result);
        }
    }
}

/// Editions differ in when they drop temporaries. A macro cannot ask for the author's, but his spans carry it: `gen` is a
/// type's name before edition 2024, and a keyword since, which a macro of the runtime tells apart.
fn begin(name: &str, output: &Type, block: &Block, overflow_checks: Option<bool>) -> TokenStream {
    let probe = Ident::new("gen", block.brace_token.span.open());
    let overflow_checks = match overflow_checks {
        Some(checks) => checks.to_token_stream(),
        // in the author's crate, where his build decides
        None => quote!(__mt::overflow_checks(
            ::core::module_path!(),
            ::core::cfg!(debug_assertions),
            <u8 as ::core::ops::Add>::add
        )),
    };
    quote!(__mt::begin::<#output>(#name, __mt::edition_2024!(#probe), #overflow_checks);)
}

/// Tells the runtime of types, and those within them, before they are used. It knows scalars by itself.
pub(crate) fn probes<'t>(types: impl IntoIterator<Item = &'t Type>) -> TokenStream {
    let stage = names::stage();
    let mut within = Vec::new();
    types.into_iter().for_each(|ty| syntax::types_within(ty, &mut within));
    within.retain(|ty| !syntax::is_scalar(ty));
    within.iter_mut().for_each(|ty| Elide.visit_type_mut(ty));
    quote!(#(#stage::probe!(#within);)*)
}

/// Lifetimes say nothing of a shape, and what one implies of another need not be known where a type is probed.
struct Elide;

impl VisitMut for Elide {
    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if lifetime.ident != "static" {
            *lifetime = Lifetime::new("'_", lifetime.span());
        }
    }

    fn visit_type_bare_fn_mut(&mut self, _: &mut syn::TypeBareFn) {}

    fn visit_type_trait_object_mut(&mut self, _: &mut syn::TypeTraitObject) {}
}

/// One trait for each method name and arity that the twin calls, through which ordinary autoderef finds the methods that
/// `#[jit] impl` blocks have made known; and the same for associated functions.
fn lookups(methods: &BTreeSet<(String, usize)>, associated: &BTreeSet<(String, usize)>) -> TokenStream {
    let mut out = TokenStream::new();
    for (name, arity) in methods {
        let hash = names::hash(names::written(name));
        let (lookup, method) = (
            ident(&format!("__Method_{}_{arity}", name.trim_start_matches("r#"))),
            ident(name),
        );
        let (args, types) = (names::arguments(*arity), type_params(*arity));
        out.extend(quote! {
            trait #lookup<#(#types,)* __R> {
                fn #method(&self, #(#args: &__mt::Var<#types>),*) -> __mt::Var<__R>;
            }
            impl<__T: __mt::MethodIsJit<#hash, (#(#types,)*), __R>, #(#types,)* __R> #lookup<#(#types,)* __R>
                for __mt::Place<__T>
            {
                #[inline(always)]
                fn #method(&self, #(#args: &__mt::Var<#types>),*) -> __mt::Var<__R> {
                    <__T as __mt::MethodIsJit<#hash, (#(#types,)*), __R>>::stage(*self, (#(*#args,)*))
                }
            }
        });
    }
    for (name, arity) in associated {
        let hash = names::hash(name);
        let (lookup, function) = (
            ident(&format!("__Associated_{name}_{arity}")),
            ident(&format!("__jit_{name}")),
        );
        let (args, types) = (names::arguments(*arity), type_params(*arity));
        out.extend(quote! {
            trait #lookup<#(#types,)* __R>: Sized {
                fn #function(#(#args: &__mt::Var<#types>),*) -> __mt::Var<__R>;
            }
            impl<__T: __mt::AssocIsJit<#hash, (#(#types,)*), __R>, #(#types,)* __R> #lookup<#(#types,)* __R> for __T {
                #[inline(always)]
                fn #function(#(#args: &__mt::Var<#types>),*) -> __mt::Var<__R> {
                    <__T as __mt::AssocIsJit<#hash, (#(#types,)*), __R>>::stage((#(*#args,)*))
                }
            }
        });
    }
    out
}

/// The same for methods with a turbofish, whose types are the first argument.
fn turbofished(methods: &BTreeSet<(String, usize)>) -> TokenStream {
    let mut out = TokenStream::new();
    for (name, arity) in methods {
        let hash = names::hash(name);
        let (lookup, method) = (
            ident(&format!("__Turbofish_{name}_{arity}")),
            ident(&format!("__turbofish_{name}")),
        );
        let (args, types) = (names::arguments(*arity), type_params(*arity));
        out.extend(quote! {
            trait #lookup<__G, #(#types,)* __R> {
                fn #method(&self, _: ::core::marker::PhantomData<__G>, #(#args: &__mt::Var<#types>),*) -> __mt::Var<__R>;
            }
            impl<__T: __mt::MethodIsJit<#hash, (#(#types,)*), __R, Generics = __G>, __G, #(#types,)* __R>
                #lookup<__G, #(#types,)* __R> for __mt::Place<__T>
            {
                #[inline(always)]
                fn #method(&self, _: ::core::marker::PhantomData<__G>, #(#args: &__mt::Var<#types>),*) -> __mt::Var<__R> {
                    <__T as __mt::MethodIsJit<#hash, (#(#types,)*), __R>>::stage(*self, (#(*#args,)*))
                }
            }
        });
    }
    out
}

fn ident(name: &str) -> Ident {
    match name.strip_prefix("r#") {
        Some(name) => Ident::new_raw(name, Span::call_site()),
        None => Ident::new(name, Span::call_site()),
    }
}

fn type_params(count: usize) -> Vec<Ident> {
    (0..count).map(|n| ident(&format!("__A{n}"))).collect()
}

impl Body {
    /// A made-up variable.
    pub(crate) fn local(&mut self, name: &str) -> Ident {
        self.made_up += 1;
        names::local(name, self.made_up)
    }

    /// Reports that something does not stage.
    pub(crate) fn error(&mut self, what: &dyn ToTokens, message: impl std::fmt::Display) -> TokenStream {
        self.errors.at(what, message);
        crate::errors::hole()
    }

    /// Runs `inner` as one arm: a labelled block. Diverging expressions inside break that label.
    pub(crate) fn arm<R>(&mut self, inner: impl FnOnce(&mut Body) -> R) -> (Lifetime, R) {
        self.made_up += 1;
        let label = names::label("exit", self.made_up);
        self.exits.push(label.clone());
        let result = inner(self);
        self.exits.pop();
        (label, result)
    }

    /// What a diverging expression ends with.
    pub(crate) fn stop(&self) -> TokenStream {
        let exit = self.exits.last().expect("a body has an arm");
        quote!(break #exit __mt::None)
    }

    /// The value of a join, which diverges when no arm arrives there.
    pub(crate) fn end_of(&self, join: &Ident) -> TokenStream {
        let (stop, value) = (self.stop(), names::local("v", 0));
        quote! {
            match #join.end() {
                __mt::Some(#value) => #value,
                __mt::None => #stop,
            }
        }
    }

    /// Runs `inner` in a scope of names.
    pub(crate) fn names<R>(&mut self, inner: impl FnOnce(&mut Body) -> R) -> R {
        self.scopes.push(HashSet::new());
        let result = inner(self);
        self.scopes.pop();
        result
    }

    /// Declares a variable of the author's.
    pub(crate) fn declare(&mut self, name: &Ident) {
        let scope = self.scopes.last_mut().expect("a body has a scope");
        scope.insert(names::plain(name));
    }

    /// Whether a name is a variable (and not a constant, a static, a function).
    pub(crate) fn is_variable(&self, name: &Ident) -> bool {
        let name = names::plain(name);
        name == "self" || self.scopes.iter().any(|scope| scope.contains(&name))
    }

    /// Whether a variable inside the function has the name of a parameter.
    pub(crate) fn is_shadowed(&self, name: &Ident) -> bool {
        let name = names::plain(name);
        self.scopes.iter().skip(1).any(|scope| scope.contains(&name))
    }

    /// Whether an expression is a variable.
    pub(crate) fn as_variable<'e>(&self, expr: &'e Expr) -> Option<&'e Ident> {
        syntax::single_ident(expr).filter(|name| self.is_variable(name))
    }

    /// Runs `inner` as the body of something that `break` can leave.
    pub(crate) fn target<R>(&mut self, target: Target, inner: impl FnOnce(&mut Body) -> R) -> R {
        self.targets.push(target);
        let result = inner(self);
        self.targets.pop();
        result
    }

    /// What `break` or `continue` refers to: without a label, the innermost loop.
    pub(crate) fn find_target(&self, label: Option<&Lifetime>) -> Option<&Target> {
        self.targets.iter().rev().find(|target| match label {
            None => target.head.is_some(),
            Some(label) => target.label.as_ref().is_some_and(|name| *name == label.ident),
        })
    }

    /// Parameters, each taken apart by its pattern before the next one: they are dropped in the opposite order.
    fn params(&mut self, receiver: Option<&Type>, params: &[(Pat, Type)]) -> Vec<TokenStream> {
        let mut receive = Vec::new();
        if let Some(ty) = receiver {
            let this = this();
            receive.push(quote!(let #this = __mt::param::<#ty>();));
        }
        for (pat, ty) in params {
            if let Pat::Ident(name) = pat
                && name.by_ref.is_none()
                && syntax::is_binding(name)
                && name.subpat.is_none()
            {
                let ident = &name.ident;
                self.declare(ident);
                receive.push(quote!(let #ident = __mt::param::<#ty>();));
                continue;
            }
            let (param, scrutinee, fail) = (self.local("p"), self.local("s"), self.local("f"));
            receive.push(quote!(let #param = __mt::param::<#ty>();));
            let matcher = self.pattern(pat, &scrutinee.to_token_stream(), &fail);
            receive.push(quote!(let #fail = __mt::block(); let #scrutinee = __mt::scrut(#param);));
            receive.extend(matcher.tests);
            receive.extend(matcher.binds);
        }
        receive
    }
}

/// The parameters that are plain names.
fn named_params(receiver: Option<&Type>, params: &[(Pat, Type)]) -> Vec<(Ident, Type)> {
    let this = receiver.map(|ty| (Ident::from(Token![self](Span::call_site())), ty.clone()));
    let named = params.iter().filter_map(|(pat, ty)| match pat {
        Pat::Ident(name) => Some((name.ident.clone(), ty.clone())),
        _ => None,
    });
    this.into_iter().chain(named).collect()
}

impl Body {
    /// Notes that an expression is taken apart, if it is a parameter.
    pub(crate) fn takes_apart(&mut self, expr: &Expr) {
        if let Some(name) = self.as_variable(expr)
            && !self.is_shadowed(name)
            && let Some(n) = self.params.iter().position(|(param, _)| param == name)
        {
            self.taken_apart.insert(n);
        }
    }

    /// That parts are missing, rustc would say of the handle; that a type is unknown, it says of the type.
    fn parts_known(&self) -> TokenStream {
        let mut out = TokenStream::new();
        for n in &self.taken_apart {
            let mut ty = &self.params[*n].1;
            while let Type::Reference(reference) = ty {
                ty = &reference.elem;
            }
            if let Type::Path(_) = ty {
                let mut ty = ty.clone();
                Elide.visit_type_mut(&mut ty);
                out.extend(quote_spanned!(ty.span()=> __mt::parts_of::<#ty>();));
            }
        }
        out
    }
}

/// The twin's `self`.
pub(crate) fn this() -> Ident {
    Ident::new("__self", Span::mixed_site())
}
