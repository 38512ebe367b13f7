//! Calls and constructors.
//!
//! ```text
//! f::<T>(a)        { let x = A; { use f as __callee; <__callee>::stage::<T>(__mt::coerce(&x)) } }
//! S::new(a)        { let x = A; S::__jit_new(&x) }
//! r.m(a)           { let r = recv(&R); let x = A; r.m(&x) }
//! Some(a)          { let x = A; __mt::ctor1(Some).call1(&x) }
//! S { b: e, a: f } { let x = E; let y = F; let s = S::__new_of_jit_type(); init(s.b, &x); …; Place::__owned(s.__this) }
//! ```
//!
//! Each argument is bound by a `let` of its own, so that no expectation flows into it, and passed by reference, so that
//! rustc coerces the handle as it would coerce the value. A receiver leaves a placeholder (`recv`) for what its
//! autoderef loads, which comes before the arguments.

use crate::body::{self, Body};
use crate::errors::OUTLINE;
use crate::expr::Context;
use crate::names;
use crate::pat::split_variant;
use crate::syntax;
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{
    AngleBracketedGenericArguments, Expr, ExprCall, ExprMethodCall, ExprPath, ExprStruct, GenericArgument,
    PathArguments, Token, Type, TypePath,
};

/// Arguments: the statements that evaluate them, and their names.
pub(crate) struct Arguments {
    pub(crate) lets: TokenStream,
    pub(crate) names: Vec<Ident>,
}

impl Body {
    /// Evaluates arguments in order.
    pub(crate) fn arguments<'e>(
        &mut self,
        args: impl IntoIterator<Item = &'e Expr>,
        context: Context<'_>,
    ) -> Arguments {
        let mut lets = TokenStream::new();
        let mut names = Vec::new();
        for arg in args {
            let value = self.value_in(arg, context);
            let name = self.local("x");
            lets.extend(quote!(let #name = #value;));
            names.push(name);
        }
        Arguments { lets, names }
    }

    pub(crate) fn call(&mut self, call: &ExprCall, context: Context<'_>) -> TokenStream {
        let Expr::Path(path) = syntax::bare(&call.func) else {
            return self.error(
                &call.func,
                format_args!("only functions called by name stage; if this one is computed, {OUTLINE}"),
            );
        };
        if self.as_variable(&call.func).is_some() {
            return self.error(
                &call.func,
                format_args!("calling a function pointer or closure does not stage: {OUTLINE}"),
            );
        }
        let last = path.path.segments.last().expect("a path has segments");
        let constructor = names::is_capitalised(&last.ident);
        let context = if constructor {
            context.payload(&last.ident)
        } else {
            Context::default()
        };
        let Arguments { lets, names } = self.arguments(&call.args, context);
        let call = if constructor {
            self.constructor_call(path, &names)
        } else if syntax::is_exit(&call.func) {
            let stop = self.stop();
            let native = self.native_call(path, &names);
            quote!(let _ = #native; __mt::unreachable_(); #stop)
        } else {
            self.function_call(path, &names)
        };
        quote!({ #lets #call })
    }

    fn constructor_call(&mut self, path: &ExprPath, args: &[Ident]) -> TokenStream {
        let (span, count) = (path.span(), args.len());
        if count == 0 || count > names::MAX_ARITY {
            return self.error(
                path,
                "a constructor of this many fields does not stage: use one with named fields",
            );
        }
        let constructor = format_ident!("ctor{count}", span = span);
        let construct = format_ident!("call{count}", span = span);
        quote_spanned!(span=> __mt::#constructor(#path).#construct(#(&#args),*))
    }

    fn function_call(&mut self, path: &ExprPath, args: &[Ident]) -> TokenStream {
        let span = path.span();
        let count = path.path.segments.len();
        let last = &path.path.segments[count - 1];
        let owner = (count >= 2).then(|| &path.path.segments[count - 2].ident);
        if path.qself.is_none() && owner.is_some_and(names_a_std_trait) {
            // Which implementation it is, inference will tell; it is called natively.
            return self.native_call(path, args);
        }
        if path.qself.is_some() || owner.is_some_and(names_a_type) {
            let mut function = without_trait(path);
            let name = &mut function.path.segments.last_mut().expect("a path has segments").ident;
            self.associated.insert((names::plain(name), args.len()));
            *name = names::associated(name);
            let probes = owner_type(path).map(|owner| body::probes([&owner]));
            return quote_spanned!(span=> { #probes #function(#(&#args),*) });
        }
        if path.path.is_ident("drop") && args.len() == 1 {
            // std's, which is in everybody's scope without an import; an author's own does the same natively.
            return self.native_call(path, args);
        }
        if owner.is_some_and(|owner| owner == "mem") && ["swap", "take", "replace"].iter().any(|f| last.ident == f) {
            let function = format_ident!("mem_{}", last.ident, span = last.ident.span());
            return quote_spanned!(span=> __mt::#function(#path, #(&#args),*));
        }
        // The turbofish is the function's, and `f` names its twin, a type without parameters.
        let mut twin = path.path.clone();
        let turbofish = match twin.segments.last_mut() {
            Some(segment) => std::mem::replace(&mut segment.arguments, PathArguments::None),
            None => PathArguments::None,
        };
        // An import of `f` finds its twin as well, if it has one. If not, the glob's stand-in has the name, and says so.
        let stand_in = format_ident!("unmarked{}", args.len().min(names::MAX_ARITY + 1));
        quote_spanned! {last.ident.span()=> {
            use __mt::callee::#stand_in::*;
            use #twin as __callee;
            <__callee>::stage #turbofish (#(__mt::coerce(&#args)),*)
        }}
    }

    /// A native call of a function given by its path.
    pub(crate) fn native_call(&mut self, path: &ExprPath, args: &[Ident]) -> TokenStream {
        let span = path.span();
        if args.len() > names::MAX_ARITY {
            return self.error(
                path,
                "a native call with this many arguments does not stage: pass a struct",
            );
        }
        // In two steps, so that the function's parameters are known when the arguments are coerced to them.
        let native = format_ident!("residual{}", args.len(), span = span);
        let name = path
            .path
            .segments
            .iter()
            .map(|segment| names::plain(&segment.ident))
            .collect::<Vec<_>>()
            .join("::");
        let flags = native_flags(false, false);
        quote_spanned!(span=> __mt::#native(#flags, #name, #path).call(#(&#args),*))
    }

    pub(crate) fn method_call(&mut self, call: &ExprMethodCall) -> TokenStream {
        let (receiver, method_span) = (self.local("r"), call.method.span());
        let place = self.place(&call.receiver);
        let Arguments { lets, names } = self.arguments(&call.args, Context::default());
        let call = match &call.turbofish {
            None => {
                let method = names::method(&call.method);
                self.methods.insert((method.to_string(), names.len()));
                quote_spanned!(call.method.span()=> #receiver.#method(#(&#names),*))
            }
            Some(turbofish) => {
                let types = self.turbofish_types(turbofish);
                let (name, span) = (names::plain(&call.method), call.method.span());
                let method = format_ident!("__turbofish_{}", name, span = span);
                self.turbofished.insert((name, names.len()));
                quote_spanned!(span=> #receiver.#method(::core::marker::PhantomData::<(#(#types,)*)>, #(&#names),*))
            }
        };
        quote_spanned! {method_span=> {
            let #receiver = __mt::recv(&(#place));
            #lets
            #call
        }}
    }

    fn turbofish_types<'t>(&mut self, turbofish: &'t AngleBracketedGenericArguments) -> Vec<&'t Type> {
        let mut types = Vec::new();
        for argument in &turbofish.args {
            match argument {
                GenericArgument::Type(ty) => types.push(ty),
                GenericArgument::Lifetime(_) => {}
                other => {
                    self.error(
                        other,
                        "a constant in a method's turbofish does not stage: make the method a function",
                    );
                }
            }
        }
        types
    }

    pub(crate) fn struct_literal(&mut self, literal: &ExprStruct, context: Context<'static>) -> TokenStream {
        let span = literal.path.span();
        let (owner, variant) = split_variant(&literal.path);
        let new = match &variant {
            Some(variant) => format_ident!("__new_of_jit_type_{}", variant, span = span),
            None => Ident::new("__new_of_jit_type", span),
        };
        let made = self.local("s");
        let mut lets = TokenStream::new();
        let mut sets = TokenStream::new();
        for field in &literal.fields {
            let cfgs = syntax::cfgs(&field.attrs);
            let (value, name, member) = (self.value_in(&field.expr, context), self.local("x"), &field.member);
            lets.extend(quote!(#(#cfgs)* let #name = #value;));
            sets.extend(quote_spanned!(member.span()=> #(#cfgs)* __mt::init(#made.#member, &#name);));
        }
        if let Some(base) = &literal.rest {
            let (place, name) = (self.place(base), self.local("x"));
            let given = literal
                .fields
                .iter()
                .map(|field| syntax::member_name(&field.member).to_string());
            lets.extend(quote!(let #name = #place;));
            sets.extend(quote_spanned!(base.span()=> #owner::__update_of_jit_type(&#made, #name, &[#(#given),*]);));
        }
        quote_spanned! {span=> {
            #lets
            let #made = #owner::#new();
            #sets
            __mt::Place::__owned(#made.__this)
        }}
    }

    /// `residual!(f(x))`
    pub(crate) fn residual(&mut self, tokens: &TokenStream) -> TokenStream {
        let call = match syn::parse2::<Expr>(tokens.clone()) {
            Ok(Expr::Call(call)) => call,
            Ok(Expr::MethodCall(call)) => return self.residual_method(&call),
            Ok(other) => return self.error(&other, "`residual!` takes a call: `residual!(f(x))`"),
            Err(error) => {
                self.errors.push(error);
                return crate::errors::hole();
            }
        };
        let Expr::Path(path) = syntax::bare(&call.func) else {
            return self.error(
                &call.func,
                "`residual!` takes a call of a named function: `residual!(f(x))`",
            );
        };
        let Arguments { lets, names } = self.arguments(&call.args, Context::default());
        let native = self.native_call(path, &names);
        quote!({ #lets #native })
    }

    fn residual_method(&mut self, call: &ExprMethodCall) -> TokenStream {
        let message = format!("name the type: `residual!(Type::{}(&value))`", call.method);
        self.error(call, message)
    }
}

/// Whether a path segment before a function's name is a trait of the prelude.
fn names_a_std_trait(segment: &Ident) -> bool {
    const TRAITS: [&str; 14] = [
        "AsMut",
        "AsRef",
        "Clone",
        "Default",
        "Drop",
        "From",
        "Into",
        "Iterator",
        "Ord",
        "PartialEq",
        "PartialOrd",
        "ToOwned",
        "ToString",
        "TryFrom",
    ];
    TRAITS.iter().any(|name| segment == name)
}

/// `<T as Trait>::f` is found as `<T>::f`: the twin of `Trait` has no functions.
fn without_trait(path: &ExprPath) -> ExprPath {
    let mut path = path.clone();
    if let Some(qself) = &mut path.qself
        && qself.position > 0
    {
        qself.position = 0;
        qself.as_token = None;
        let last = path.path.segments.pop().map(|pair| pair.into_value());
        path.path.segments = last.into_iter().collect();
        path.path.leading_colon = Some(Token![::](path.path.segments.span()));
    }
    path
}

/// The type before an associated function, where all of it is written: `Vec::<u8>::new`, `<[u8; 4]>::default`.
fn owner_type(path: &ExprPath) -> Option<Type> {
    if let Some(qself) = &path.qself {
        return Some((*qself.ty).clone());
    }
    let mut owner = path.path.clone();
    owner.segments.pop();
    owner.segments.pop_punct();
    let generic = matches!(owner.segments.last()?.arguments, PathArguments::AngleBracketed(_));
    generic.then(|| {
        Type::Path(TypePath {
            qself: None,
            path: owner,
        })
    })
}

/// What the runtime is told of a native function.
pub(crate) fn native_flags(elidable: bool, nounwind: bool) -> TokenStream {
    let stage = names::stage();
    quote!(#stage::Native { elidable: #elidable, nounwind: #nounwind })
}

/// Whether a path segment before a function's name is a type and not a module.
pub(crate) fn names_a_type(segment: &Ident) -> bool {
    const PRIMITIVES: [&str; 17] = [
        "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32", "f64", "bool",
        "char", "str",
    ];
    names::is_capitalised(segment) || PRIMITIVES.iter().any(|primitive| segment == primitive)
}

/// Arguments of a macro: expressions between commas.
pub(crate) type Exprs = Punctuated<Expr, Token![,]>;
