//! Traits whose methods staged generic code calls.
//!
//! ```text
//! #[jit] trait Step { fn step(&mut self, by: u8) -> bool; }
//!
//! trait Step: MethodIsJit<hash("step"), (u8,), bool> { … }
//! ```
//!
//! So `T: Step` says that `T`'s methods have twins, which is what a call of them in a twin asks for, and every impl of the
//! trait must be a `#[jit] impl`. Methods with a body of their own have no twin: impls may leave them out, and cannot be
//! asked for one.

use crate::attrs::{Marker, Marks};
use crate::errors::Errors;
use crate::items::{Named, check_signature, receiver_type};
use crate::names;
use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::visit::{self, Visit};
use syn::{FnArg, GenericParam, ItemTrait, Lifetime, ReturnType, Signature, TraitItem, Type, TypePath, parse_quote};

/// `#[jit]` on a trait.
pub(crate) fn expand(arguments: TokenStream, mut item: ItemTrait) -> TokenStream {
    let mut errors = Errors::default();
    errors.ok(Marks::take(Some((Marker::Jit, arguments)), &mut item.attrs));
    if cfg!(feature = "jit") {
        let mut bounds = Vec::new();
        for member in &item.items {
            if let TraitItem::Fn(method) = member
                && method.default.is_none()
                && let Some(bound) = bound(&method.sig, &mut errors)
            {
                bounds.push(bound);
            }
        }
        if bounds.iter().any(|bound| names_self(bound.clone())) {
            // Twins pass values, whose types are sized.
            bounds.push(quote!(::core::marker::Sized));
        }
        for bound in bounds {
            item.supertraits.push(parse_quote!(#bound));
            item.colon_token.get_or_insert_default();
        }
    }
    let errors = errors.into_tokens();
    quote!(#item #errors)
}

fn names_self(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "Self",
        TokenTree::Group(group) => names_self(group.stream()),
        _ => false,
    })
}

/// That a method has a twin.
fn bound(sig: &Signature, errors: &mut Errors) -> Option<TokenStream> {
    let before = errors.len();
    check_signature(sig, false, errors);
    let mut receiver = None;
    let mut params = Vec::new();
    for input in &sig.inputs {
        match input {
            FnArg::Receiver(this) => receiver = receiver_type(this, errors),
            FnArg::Typed(param) => params.push(((*param.pat).clone(), (*param.ty).clone())),
        }
    }
    let output = match &sig.output {
        ReturnType::Default => parse_quote!(()),
        ReturnType::Type(_, ty) => (**ty).clone(),
    };
    let types = params.iter().map(|(_, ty)| ty).chain([&output]);
    if let Some(ty) = types.into_iter().find_map(associated_type) {
        errors.at(
            &ty,
            "an associated type in a signature of a `#[jit] trait` does not stage: make it a parameter of the trait",
        );
    }
    let mut lifetimes: Vec<Lifetime> = Vec::new();
    for param in &sig.generics.params {
        match param {
            GenericParam::Lifetime(param) => lifetimes.push(param.lifetime.clone()),
            other => errors.at(
                other,
                "a generic method of a `#[jit] trait` does not stage: make the trait generic",
            ),
        }
    }
    if errors.len() > before {
        return None;
    }
    let named = Named::new(receiver.as_ref(), &params, &output);
    lifetimes.extend(named.lifetimes);
    let (stage, hash) = (names::stage(), names::hash(&names::plain(&sig.ident)));
    let (params, output) = (named.params, named.output);
    let of_trait = if receiver.is_some() {
        quote!(MethodIsJit)
    } else {
        quote!(AssocIsJit)
    };
    Some(quote!(for<#(#lifetimes),*> #stage::#of_trait<#hash, (#(#params,)*), #output>))
}

/// `Self::Item` within a type.
fn associated_type(ty: &Type) -> Option<TokenStream> {
    struct Find(Option<TokenStream>);
    impl<'ast> Visit<'ast> for Find {
        fn visit_type_path(&mut self, path: &'ast TypePath) {
            let segments = &path.path.segments;
            if path.qself.is_some() || segments.len() > 1 && segments[0].ident == "Self" {
                self.0 = Some(path.to_token_stream());
            }
            visit::visit_type_path(self, path);
        }
    }
    let mut find = Find(None);
    find.visit_type(ty);
    find.0
}
