//! Functions and impls: the item as the author wrote it, and its twin beside it.
//!
//! ```text
//! #[jit] pub fn f(x: u8) -> u8 { … }       pub fn f(x: u8) -> u8 { … }
//!                                          pub enum f {}
//!                                          impl f {
//!                                              pub fn stage(a0: Var<u8>) -> Var<u8> { call(key(f::build), &[a0.__any()]) }
//!                                              pub fn build(_: PhantomData<fn(u8) -> u8>) { the twin's body }
//!                                          }
//! ```
//!
//! Types stay the author's, verbatim, so that what their lifetimes imply holds in the twin; the key of a builder carries the
//! whole signature for the same reason. A residual function has a `stage` that calls it natively, and no builder.

use crate::attrs::{Marker, Marks};
use crate::body::{self, Source};
use crate::call::{self, native_flags};
use crate::errors::{Errors, OUTLINE};
use crate::names;
use crate::portal::Portal;
use crate::shape;
use crate::syntax;
use crate::traits;
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::token::Paren;
use syn::visit::Visit;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, Block, Expr, ExprParen, ExprPath, FnArg, GenericParam, Generics, ImplItem, ImplItemFn, Item, ItemFn,
    ItemImpl, Lifetime, Pat, Path, Receiver, ReturnType, Signature, Type, TypeImplTrait, TypePath, TypeReference,
    TypeTraitObject, Visibility, parse_quote,
};

/// Expands an attribute on an item.
pub(crate) fn expand(marker: Marker, arguments: TokenStream, tokens: TokenStream) -> TokenStream {
    let mut item = match syn::parse2::<Item>(tokens.clone()) {
        Ok(item) => item,
        Err(error) => return or_method(tokens, error),
    };
    Ungroup.visit_item_mut(&mut item);
    let expanded = match item {
        Item::Fn(function) => expand_fn(marker, arguments, function),
        Item::Impl(block) if marker == Marker::Jit => expand_impl(arguments, block),
        Item::Trait(item) if marker == Marker::Jit => Ok(traits::expand(arguments, item)),
        Item::Struct(_) | Item::Enum(_) if marker == Marker::Jit => Ok(shape::attribute(&item)),
        other => {
            let tokens = other.to_token_stream();
            let message = match marker {
                Marker::Jit => "`#[jit]` goes on a fn, an impl, a trait, a struct or an enum",
                _ => "this attribute goes on a fn, or on a method inside a `#[jit] impl`",
            };
            let error = syn::Error::new_spanned(&tokens, message);
            Err((tokens, error))
        }
    };
    expanded.unwrap_or_else(|(item, error)| {
        let error = error.to_compile_error();
        quote!(#item #error)
    })
}

/// Attributes of methods are read by the `#[jit]` of their impl.
fn or_method(tokens: TokenStream, error: syn::Error) -> TokenStream {
    let error = match syn::parse2::<ImplItemFn>(tokens.clone()) {
        Ok(method) => syn::Error::new_spanned(&method.sig.ident, METHOD_ALONE),
        Err(_) => error,
    };
    let error = error.to_compile_error();
    quote!(#tokens #error)
}

const METHOD_ALONE: &str = "methods are marked inside a `#[jit] impl`: put `#[jit]` on the impl";

/// Operands that a `macro_rules!` has put in come in invisible groups, which rustc forgets when it reads a proc macro's
/// output: `$a * 2` with `1 + 1` for `$a` must stay `(1 + 1) * 2`.
struct Ungroup;

impl VisitMut for Ungroup {
    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        visit_mut::visit_expr_mut(self, expr);
        if let Expr::Group(group) = expr {
            let inner = (*group.expr).clone();
            *expr = match inner {
                Expr::Binary(_)
                | Expr::Unary(_)
                | Expr::Cast(_)
                | Expr::Range(_)
                | Expr::Assign(_)
                | Expr::Reference(_)
                | Expr::Let(_)
                | Expr::Closure(_)
                | Expr::Return(_)
                | Expr::Break(_) => Expr::Paren(ExprParen {
                    attrs: Vec::new(),
                    paren_token: Paren(Span::mixed_site()),
                    expr: Box::new(inner),
                }),
                inner => inner,
            };
        }
    }
}

/// `build_twins!(path)`
pub(crate) fn build_twins(tokens: TokenStream) -> TokenStream {
    const USAGE: &str = "name a portal: `build_twins!(run)`, `build_twins!(Machine::run)`";
    let path = match syn::parse2::<ExprPath>(tokens) {
        Ok(path) => path,
        Err(error) => return syn::Error::new(error.span(), USAGE).into_compile_error(),
    };
    let driver = names::driver();
    if cfg!(not(feature = "jit")) {
        return quote!({ let _ = #path; #driver::no_twins() });
    }
    let mut build = path.clone();
    let owner = build.path.segments.iter().rev().nth(1).map(|owner| &owner.ident);
    let is_method = path.qself.is_some() || owner.is_some_and(call::names_a_type);
    let of_trait = path.qself.as_ref().filter(|qself| qself.position > 0).map(|qself| {
        let segments = path.path.segments.iter().take(qself.position).cloned();
        Path {
            leading_colon: path.path.leading_colon,
            segments: segments.collect(),
        }
    });
    let last = build.path.segments.last_mut().expect("a path has segments");
    let (stage, arguments) = (names::stage(), std::mem::take(&mut last.arguments));
    let key = if is_method {
        last.ident = names::builder(of_trait.as_ref(), &last.ident);
        if let Some(qself) = &mut build.qself {
            let ty = &qself.ty;
            let function = &last.ident;
            quote!(#stage::key(<#ty>::#function #arguments))
        } else {
            last.arguments = arguments;
            quote!(#stage::key(#build))
        }
    } else {
        let span = path
            .path
            .segments
            .last()
            .map_or_else(Span::call_site, |last| last.ident.span());
        quote_spanned! {span=> {
            use #stage::callee::unmarked0::*;
            #[allow(unused_imports)]
            use #build as __callee;
            #stage::key(<__callee>::build #arguments)
        }}
    };
    quote!(#driver::build_twins(#key))
}

/// What is emitted, or the bare item and an error about its attributes.
type Expanded = Result<TokenStream, (TokenStream, syn::Error)>;

fn expand_fn(marker: Marker, arguments: TokenStream, mut function: ItemFn) -> Expanded {
    if function.sig.receiver().is_some() {
        let error = syn::Error::new_spanned(&function.sig.ident, METHOD_ALONE);
        return Err((function.to_token_stream(), error));
    }
    let marks = match Marks::take(Some((marker, arguments)), &mut function.attrs) {
        Ok(marks) => marks,
        Err(error) => return Err((quiet(&function), error)),
    };
    let is_portal = marks.portal.is_some();
    if cfg!(not(feature = "jit")) {
        return Ok(function.to_token_stream());
    }
    let mut errors = Errors::default();
    let callable = Callable::new(
        &function.attrs,
        &function.vis,
        &function.sig,
        &function.block,
        marks,
        None,
        &mut errors,
    );
    let twin = callable.function_twin(&mut errors);
    let native = callable.native(|portal, callable| {
        let (sig, name) = (portal.native_signature(&function.sig), &function.sig.ident);
        let key = callable.key(quote!(<#name>::build));
        let (attrs, vis, block) = (
            &function.attrs,
            &function.vis,
            portal.native_block(&callable.name, &key),
        );
        quote!(#(#attrs)* #[allow(unused_mut)] #vis #sig #block)
    });
    let native = native.unwrap_or_else(|| match is_portal {
        true => quiet(&function),
        false => function.to_token_stream(),
    });
    let errors = errors.into_tokens();
    Ok(quote!(#native #twin #errors))
}

/// A function whose attribute is wrong: without what that adds, parameters would be said to be unused.
fn quiet(function: &ItemFn) -> TokenStream {
    quote!(#[allow(unused)] #function)
}

fn expand_impl(arguments: TokenStream, mut block: ItemImpl) -> Expanded {
    let defaults = match Marks::take(Some((Marker::Jit, arguments)), &mut block.attrs) {
        Ok(marks) => marks,
        Err(error) => return Err((block.to_token_stream(), error)),
    };
    let mut errors = Errors::default();
    let mut twins = TokenStream::new();
    let around = Around::new(&block, &mut errors);
    if !errors.is_empty() {
        block.items.iter_mut().for_each(|item| {
            if let ImplItem::Fn(method) = item {
                let _ = Marks::take(None, &mut method.attrs);
            }
        });
        let errors = errors.into_tokens();
        return Ok(quote!(#block #errors));
    }
    for item in &mut block.items {
        let ImplItem::Fn(method) = item else { continue };
        let mut marks = match Marks::take(None, &mut method.attrs) {
            Ok(marks) => marks,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        marks.overflow_checks = marks.overflow_checks.or(defaults.overflow_checks);
        if cfg!(not(feature = "jit")) {
            continue;
        }
        let (sig, body) = (method.sig.clone(), method.block.clone());
        let mut own = Errors::default();
        let callable = Callable::new(&method.attrs, &method.vis, &sig, &body, marks, Some(&around), &mut own);
        twins.extend(callable.method_twin(&around, &mut own));
        errors.append(own);
        if let Some(portal) = &callable.portal {
            let builder = names::builder(around.of_trait.as_ref(), &sig.ident);
            let key = callable.key(quote!(Self::#builder));
            method.sig = portal.native_signature(&sig);
            let native = portal.native_block(&callable.name, &key);
            method.block = parse_quote!(#native);
            method.attrs.push(parse_quote!(#[allow(unused_mut)]));
        }
    }
    let errors = errors.into_tokens();
    Ok(quote!(#block #twins #errors))
}

/// The impl around a method.
struct Around {
    self_ty: Type,
    generics: Generics,
    of_trait: Option<Path>,
    /// Associated types that the impl defines.
    types: Vec<Ident>,
    cfgs: Vec<Attribute>,
}

impl Around {
    fn new(block: &ItemImpl, errors: &mut Errors) -> Around {
        if !matches!(&*block.self_ty, Type::Path(_)) {
            errors.at(
                &block.self_ty,
                "a `#[jit] impl` is of a struct or an enum: write a function that takes this type",
            );
        }
        let types = block.items.iter().filter_map(|item| match item {
            ImplItem::Type(ty) => Some(ty.ident.clone()),
            _ => None,
        });
        Around {
            self_ty: (*block.self_ty).clone(),
            generics: block.generics.clone(),
            of_trait: block.trait_.as_ref().map(|(_, path, _)| path.clone()),
            types: types.collect(),
            cfgs: syntax::cfgs(&block.attrs).into_iter().cloned().collect(),
        }
    }

    /// In a trait's impl `Self::Item` is the trait's; beside it, that must be said.
    fn qualify(&self, node: impl FnOnce(&mut Qualify<'_>)) {
        if let Some(of_trait) = &self.of_trait {
            node(&mut Qualify {
                of_trait,
                types: &self.types,
            });
        }
    }
}

struct Qualify<'a> {
    of_trait: &'a Path,
    types: &'a [Ident],
}

impl VisitMut for Qualify<'_> {
    fn visit_type_path_mut(&mut self, path: &mut TypePath) {
        visit_mut::visit_type_path_mut(self, path);
        let segments = &path.path.segments;
        if path.qself.is_none()
            && segments.len() == 2
            && segments[0].ident == "Self"
            && self.types.contains(&segments[1].ident)
        {
            let (of_trait, item) = (self.of_trait, &segments[1]);
            *path = parse_quote!(<Self as #of_trait>::#item);
        }
    }
}

/// A function or method, read.
struct Callable {
    name: String,
    ident: Ident,
    vis: Visibility,
    generics: Generics,
    /// The type of `self`.
    receiver: Option<Type>,
    params: Vec<(Pat, Type)>,
    output: Type,
    block: Block,
    cfgs: Vec<Attribute>,
    marks: Marks,
    portal: Option<Portal>,
}

impl Callable {
    fn new(
        attrs: &[Attribute],
        vis: &Visibility,
        sig: &Signature,
        block: &Block,
        mut marks: Marks,
        around: Option<&Around>,
        errors: &mut Errors,
    ) -> Callable {
        check_signature(sig, marks.residual, errors);
        let portal = marks
            .portal
            .take()
            .and_then(|args| Portal::new(args, sig, around.map(|around| &around.generics), block, errors));
        let mut block = portal.as_ref().map_or(block, |portal| &portal.block).clone();
        let mut receiver = None;
        let mut params = Vec::new();
        for input in &sig.inputs {
            match input {
                FnArg::Receiver(this) => receiver = receiver_type(this, errors),
                FnArg::Typed(param) => params.push(((*param.pat).clone(), (*param.ty).clone())),
            }
        }
        let mut output = match &sig.output {
            ReturnType::Default => parse_quote!(()),
            ReturnType::Type(_, ty) => (**ty).clone(),
        };
        let name = match around {
            Some(around) => format!("{}::{}", type_name(&around.self_ty), names::plain(&sig.ident)),
            None => names::plain(&sig.ident),
        };
        if let Some(around) = around {
            around.qualify(|qualify| {
                params.iter_mut().for_each(|(_, ty)| qualify.visit_type_mut(ty));
                qualify.visit_type_mut(&mut output);
                qualify.visit_block_mut(&mut block);
            });
        }
        Callable {
            name,
            ident: sig.ident.clone(),
            vis: vis.clone(),
            generics: sig.generics.clone(),
            receiver,
            params,
            output,
            block,
            cfgs: syntax::cfgs(attrs).into_iter().cloned().collect(),
            marks,
            portal,
        }
    }

    /// The native item of a portal; every other function's is the author's.
    fn native(&self, portal: impl FnOnce(&Portal, &Callable) -> TokenStream) -> Option<TokenStream> {
        self.portal.as_ref().map(|checked| portal(checked, self))
    }

    /// `path` with the function's type and const parameters.
    fn instance(&self, path: TokenStream) -> TokenStream {
        let params: Vec<&Ident> = self
            .generics
            .params
            .iter()
            .filter_map(|param| match param {
                GenericParam::Type(param) => Some(&param.ident),
                GenericParam::Const(param) => Some(&param.ident),
                GenericParam::Lifetime(_) => None,
            })
            .collect();
        if params.is_empty() {
            path
        } else {
            quote!(#path::<#(#params),*>)
        }
    }

    /// The key of a builder.
    fn key(&self, builder: TokenStream) -> TokenStream {
        let (stage, builder) = (names::stage(), self.instance(builder));
        quote!(#stage::key(#builder))
    }

    /// A call: of the builder's jitcode, or for residual functions and portals, of the function itself.
    fn staged_call(&self, function: TokenStream, builder: TokenStream, output: &Type, args: &[Ident]) -> TokenStream {
        let stage = names::stage();
        if self.marks.residual || self.portal.is_some() {
            let params = self.params.iter().map(|(_, ty)| ty);
            let probes = body::probes(self.receiver.iter().chain(params).chain([output]));
            let (native, name) = (format_ident!("native{}", args.len()), &self.name);
            let flags = native_flags(self.marks.elidable, self.marks.nounwind);
            let function = self.instance(function);
            quote!(#probes #stage::#native(#flags, #name, #function, #(#args),*))
        } else {
            // The arguments are values, whose types are known; the builder will tell of its parameters'.
            let (key, probes) = (self.key(builder), body::probes([output]));
            quote!(#probes #stage::call::<#output>(#key, &[#(#args.__any()),*]))
        }
    }

    /// The twin's body, unless the function is residual. Where something does not stage, an empty one.
    fn body(&self, errors: &mut Errors) -> TokenStream {
        if !errors.is_empty() {
            return crate::errors::hole();
        }
        let body = body::build(
            Source {
                name: self.name.clone(),
                receiver: self.receiver.as_ref(),
                params: &self.params,
                output: &self.output,
                block: &self.block,
                overflow_checks: self.marks.overflow_checks,
                portal: self.portal.as_ref().map(Portal::twin),
            },
            errors,
        );
        if errors.is_empty() { body } else { crate::errors::hole() }
    }

    fn function_twin(&self, errors: &mut Errors) -> TokenStream {
        let (name, vis) = (&self.ident, &self.vis);
        let (generics, clause) = (&self.generics.params, &self.generics.where_clause);
        let types: Vec<&Type> = self.params.iter().map(|(_, ty)| ty).collect();
        let (args, output) = (names::arguments(types.len()), &self.output);
        if (self.marks.residual || self.portal.is_some()) && args.len() > names::MAX_ARITY {
            errors.at(
                name,
                format_args!(
                    "a native call passes at most {} arguments: pass a struct",
                    names::MAX_ARITY
                ),
            );
        }
        if !errors.is_empty() {
            return self.refused();
        }
        let call = self.staged_call(quote!(#name), quote!(<#name>::build), output, &args);
        let build = (!self.marks.residual).then(|| {
            let body = self.body(errors);
            quote! {
                #[doc(hidden)]
                #vis fn build<#generics>(_: ::core::marker::PhantomData<fn(#(#types),*) -> #output>) #clause { #body }
            }
        });
        self.twin_type(&args, &types, output, &call, build)
    }

    /// The type that stands for the function among twins: how it is called, and how it is built.
    fn twin_type(
        &self,
        args: &[Ident],
        types: &[&Type],
        output: &Type,
        call: &TokenStream,
        build: Option<TokenStream>,
    ) -> TokenStream {
        let (stage, name, vis, cfgs) = (names::stage(), &self.ident, &self.vis, &self.cfgs);
        let (generics, clause) = (&self.generics.params, &self.generics.where_clause);
        quote! {
            #(#cfgs)*
            #[doc(hidden)]
            #[allow(warnings, clippy::all, clippy::pedantic)]
            #vis enum #name {}
            #(#cfgs)*
            #[allow(warnings, clippy::all, clippy::pedantic)]
            impl #name {
                #[doc(hidden)]
                #vis fn stage<#generics>(#(#args: #stage::Var<#types>),*) -> #stage::Var<#output> #clause { #call }
                #build
            }
        }
    }

    /// The twin of a function whose signature does not stage: its callers report nothing.
    fn refused(&self) -> TokenStream {
        let types: Vec<&Type> = self.params.iter().map(|(_, ty)| ty).collect();
        let output = match opaque_type(&self.output) {
            Some(_) => &parse_quote!(()),
            None => &self.output,
        };
        let args = names::arguments(types.len());
        self.twin_type(&args, &types, output, &crate::errors::hole(), None)
    }

    fn method_twin(&self, around: &Around, errors: &mut Errors) -> TokenStream {
        let named = Named::new(self.receiver.as_ref(), &self.params, &self.output);
        let arity = self.params.len() + usize::from(self.receiver.is_some());
        if arity > names::MAX_ARITY {
            errors.at(
                &self.ident,
                format_args!(
                    "a staged method has at most {} parameters: pass a struct",
                    names::MAX_ARITY
                ),
            );
            return TokenStream::new();
        }
        let types = self.params.iter().map(|(_, ty)| ty).chain([&self.output]);
        if types.into_iter().any(|ty| opaque_type(ty).is_some()) {
            return TokenStream::new();
        }
        let mut out = self.method_builder(around, &named, errors);
        if self.receiver.is_some() {
            out.extend(self.method_lookup(around, &named));
        }
        out.extend(match &around.of_trait {
            None => self.inherent_lookup(around, &named),
            Some(_) if self.receiver.is_none() => self.associated_lookup(around, &named),
            Some(_) => TokenStream::new(),
        });
        out
    }

    /// `impl S { fn __jit_build_m(..) { the twin's body } }`
    fn method_builder(&self, around: &Around, named: &Named, errors: &mut Errors) -> TokenStream {
        if self.marks.residual {
            return TokenStream::new();
        }
        let (vis, builder) = (&self.vis, names::builder(around.of_trait.as_ref(), &self.ident));
        let (generics, clause) = (named.generics(self.generics.params.iter()), &self.generics.where_clause);
        let (types, output) = (named.types(), &named.output);
        let body = self.body(errors);
        around.inherent(
            &self.cfgs,
            quote! {
                #[doc(hidden)]
                #vis fn #builder<#generics>(_: ::core::marker::PhantomData<fn(#(#types),*) -> #output>) #clause { #body }
            },
        )
    }

    /// The native function that a residual method is.
    fn native_path(&self, around: &Around) -> TokenStream {
        let name = &self.ident;
        match &around.of_trait {
            Some(of_trait) => quote!(<Self as #of_trait>::#name),
            None => quote!(Self::#name),
        }
    }

    /// `impl MethodIsJit<hash("m"), (Args,), Out> for S`
    fn method_lookup(&self, around: &Around, named: &Named) -> TokenStream {
        let (stage, hash) = (names::stage(), names::hash(&names::plain(&self.ident)));
        let (this, receive) = (names::local("s", 0), self.receive());
        let args = names::arguments(named.params.len());
        let all: Vec<Ident> = [this.clone()].into_iter().chain(args.iter().cloned()).collect();
        let builder = names::builder(around.of_trait.as_ref(), &self.ident);
        let call = self.staged_call(self.native_path(around), quote!(Self::#builder), &named.output, &all);
        let (types, output) = (&named.params, &named.output);
        let place = names::local("p", 0);
        let generics = self.generics.type_params().map(|param| &param.ident);
        around.implementing(
            self,
            named,
            quote!(#stage::MethodIsJit<#hash, (#(#types,)*), #output>),
            quote! {
                type Generics = (#(#generics,)*);
                fn stage(#place: #stage::Place<Self>, (#(#args,)*): (#(#stage::Var<#types>,)*)) -> #stage::Var<#output> {
                    let #this = #place.#receive();
                    #call
                }
            },
        )
    }

    /// How a place becomes `self`.
    fn receive(&self) -> Ident {
        let name = match &self.receiver {
            Some(Type::Reference(reference)) if reference.mutability.is_some() => "__addr_mut",
            Some(Type::Reference(_)) => "__addr",
            _ => "__get",
        };
        Ident::new(name, Span::call_site())
    }

    /// `impl S { fn __jit_f(..) }`, found through the type's name.
    fn inherent_lookup(&self, around: &Around, named: &Named) -> TokenStream {
        let (stage, vis, function) = (names::stage(), &self.vis, names::associated(&self.ident));
        let (generics, clause) = (named.generics(self.generics.params.iter()), &self.generics.where_clause);
        let (types, output) = (named.types(), &named.output);
        let args = names::arguments(types.len());
        let builder = names::builder(None, &self.ident);
        let call = self.staged_call(self.native_path(around), quote!(Self::#builder), output, &args);
        around.inherent(
            &self.cfgs,
            quote! {
                #[doc(hidden)]
                #vis fn #function<#generics>(#(#args: &#stage::Var<#types>),*) -> #stage::Var<#output> #clause {
                    #(let #args = *#args;)*
                    #call
                }
            },
        )
    }

    /// `impl AssocIsJit<hash("f"), (Args,), Out> for S`
    fn associated_lookup(&self, around: &Around, named: &Named) -> TokenStream {
        let (stage, hash) = (names::stage(), names::hash(&names::plain(&self.ident)));
        let args = names::arguments(named.params.len());
        let builder = names::builder(around.of_trait.as_ref(), &self.ident);
        let call = self.staged_call(self.native_path(around), quote!(Self::#builder), &named.output, &args);
        let (types, output) = (&named.params, &named.output);
        around.implementing(
            self,
            named,
            quote!(#stage::AssocIsJit<#hash, (#(#types,)*), #output>),
            quote! {
                fn stage((#(#args,)*): (#(#stage::Var<#types>,)*)) -> #stage::Var<#output> { #call }
            },
        )
    }
}

impl Around {
    /// An item in an inherent impl of the type.
    fn inherent(&self, cfgs: &[Attribute], item: TokenStream) -> TokenStream {
        let (ty, own) = (&self.self_ty, &self.cfgs);
        let (params, clause) = (&self.generics.params, &self.generics.where_clause);
        quote! {
            #(#own)* #(#cfgs)*
            #[allow(warnings, clippy::all, clippy::pedantic)]
            impl<#params> #ty #clause { #item }
        }
    }

    /// An impl of one of the traits that methods are found through, with all lifetimes named.
    fn implementing(
        &self,
        callable: &Callable,
        named: &Named,
        of_trait: TokenStream,
        item: TokenStream,
    ) -> TokenStream {
        let (ty, own, cfgs) = (&self.self_ty, &self.cfgs, &callable.cfgs);
        let params = named.generics(self.generics.params.iter().chain(callable.generics.params.iter()));
        let clauses = [&self.generics.where_clause, &callable.generics.where_clause];
        let predicates = clauses
            .into_iter()
            .flatten()
            .flat_map(|clause| clause.predicates.iter());
        quote! {
            #(#own)* #(#cfgs)*
            #[allow(warnings, clippy::all, clippy::pedantic)]
            impl<#params> #of_trait for #ty where #(#predicates),* { #item }
        }
    }
}

/// A method's types with every elided lifetime named: neither an impl's header nor a function pointer elides as a method
/// does.
pub(crate) struct Named {
    pub(crate) lifetimes: Vec<Lifetime>,
    receiver: Option<Type>,
    pub(crate) params: Vec<Type>,
    pub(crate) output: Type,
}

impl Named {
    pub(crate) fn new(receiver: Option<&Type>, params: &[(Pat, Type)], output: &Type) -> Named {
        let mut fresh = Fresh {
            prefix: "s",
            fixed: None,
            names: Vec::new(),
        };
        let mut receiver = receiver.cloned();
        if let Some(ty) = &mut receiver {
            fresh.visit_type_mut(ty);
        }
        let of_self = match &receiver {
            Some(Type::Reference(reference)) => reference.lifetime.clone(),
            _ => None,
        };
        fresh.prefix = "l";
        let before = fresh.names.len();
        let mut params: Vec<Type> = params.iter().map(|(_, ty)| ty.clone()).collect();
        params.iter_mut().for_each(|ty| fresh.visit_type_mut(ty));
        let of_param = fresh.names.get(before).cloned();
        let mut output = output.clone();
        let mut elided = Fresh {
            prefix: "o",
            fixed: of_self.or(of_param).or_else(|| only_lifetime(&params)),
            names: Vec::new(),
        };
        elided.visit_type_mut(&mut output);
        Named {
            lifetimes: fresh.names.into_iter().chain(elided.names).collect(),
            receiver,
            params,
            output,
        }
    }

    /// All parameters' types, `self` first.
    fn types(&self) -> Vec<&Type> {
        self.receiver.iter().chain(&self.params).collect()
    }

    /// Generic parameters, with the made-up lifetimes; lifetimes come first.
    fn generics<'a>(&self, params: impl Iterator<Item = &'a GenericParam>) -> TokenStream {
        let made_up = &self.lifetimes;
        let (lifetimes, others): (Vec<_>, Vec<_>) =
            params.partition(|param| matches!(param, GenericParam::Lifetime(_)));
        quote!(#(#made_up,)* #(#lifetimes,)* #(#others,)*)
    }
}

/// The one lifetime that parameters name: what an elided one in the result then is.
fn only_lifetime(params: &[Type]) -> Option<Lifetime> {
    struct Lifetimes(Vec<Lifetime>);
    impl<'ast> Visit<'ast> for Lifetimes {
        fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
            if !self.0.contains(lifetime) {
                self.0.push(lifetime.clone());
            }
        }
    }
    let mut lifetimes = Lifetimes(Vec::new());
    params.iter().for_each(|ty| lifetimes.visit_type(ty));
    match &*lifetimes.0 {
        [only] => Some(only.clone()),
        _ => None,
    }
}

/// Gives elided lifetimes a name: fresh ones, or always the same.
struct Fresh {
    prefix: &'static str,
    fixed: Option<Lifetime>,
    names: Vec<Lifetime>,
}

impl Fresh {
    fn next(&mut self) -> Lifetime {
        if let Some(fixed) = &self.fixed {
            return fixed.clone();
        }
        let name = Lifetime::new(&format!("'__{}{}", self.prefix, self.names.len()), Span::call_site());
        self.names.push(name.clone());
        name
    }
}

impl VisitMut for Fresh {
    fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
        if reference.lifetime.is_none() {
            reference.lifetime = Some(self.next());
        }
        visit_mut::visit_type_reference_mut(self, reference);
    }

    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if lifetime.ident == "_" {
            *lifetime = self.next();
        }
    }

    fn visit_type_bare_fn_mut(&mut self, _: &mut syn::TypeBareFn) {}
}

/// `Self`, `&Self` or `&mut Self`.
pub(crate) fn receiver_type(receiver: &Receiver, errors: &mut Errors) -> Option<Type> {
    let ty = (*receiver.ty).clone();
    let target = match &ty {
        Type::Reference(reference) => &*reference.elem,
        other => other,
    };
    if !matches!(target, Type::Path(path) if path.path.is_ident("Self")) {
        errors.at(
            &receiver.ty,
            "`self`, `&self` and `&mut self` stage, other receivers do not: take it as a parameter",
        );
    }
    Some(ty)
}

/// What no twin can have in its signature.
pub(crate) fn check_signature(sig: &Signature, residual: bool, errors: &mut Errors) {
    if let Some(token) = &sig.asyncness {
        errors.at(
            token,
            "an `async` function does not stage: leave the `async` to whoever calls the interpreter",
        );
    }
    if let Some(token) = &sig.unsafety {
        errors.at(
            token,
            "an `unsafe` function does not stage: call it from a safe one marked `#[jit::dont_look_inside]`",
        );
    }
    if let Some(abi) = &sig.abi {
        errors.at(
            abi,
            "a function of another ABI does not stage: call it by `residual!`, unmarked",
        );
    }
    let params = sig.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(param) => Some(&*param.ty),
        FnArg::Receiver(_) => None,
    });
    let output = match &sig.output {
        ReturnType::Type(_, ty) => Some(&**ty),
        ReturnType::Default => None,
    };
    for ty in params.chain(output) {
        if let Some(opaque) = opaque_type(ty) {
            errors.at(
                &opaque,
                "`impl Trait` in a signature does not stage: write a type parameter, or the type",
            );
        }
        if !residual && let Some(object) = trait_object(ty) {
            errors.at(
                &object,
                format_args!("trait objects do not stage: make the function generic, or {OUTLINE}"),
            );
        }
    }
}

/// A trait object within a type.
pub(crate) fn trait_object(ty: &Type) -> Option<TypeTraitObject> {
    struct Find(Option<TypeTraitObject>);
    impl<'ast> Visit<'ast> for Find {
        fn visit_type_trait_object(&mut self, object: &'ast TypeTraitObject) {
            self.0 = Some(object.clone());
        }
    }
    let mut find = Find(None);
    find.visit_type(ty);
    find.0
}

fn opaque_type(ty: &Type) -> Option<TypeImplTrait> {
    struct Find(Option<TypeImplTrait>);
    impl<'ast> Visit<'ast> for Find {
        fn visit_type_impl_trait(&mut self, opaque: &'ast TypeImplTrait) {
            self.0 = Some(opaque.clone());
        }
    }
    let mut find = Find(None);
    find.visit_type(ty);
    find.0
}

/// A type's name, for logs.
fn type_name(ty: &Type) -> String {
    match ty {
        Type::Path(path) => path
            .path
            .segments
            .last()
            .map(|s| names::plain(&s.ident))
            .unwrap_or_default(),
        other => other.to_token_stream().to_string(),
    }
}
