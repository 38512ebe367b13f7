//! Structs and enums: what the runtime learns of their layout, and how staged code reaches their parts.
//!
//! ```text
//! #[jit] struct P { x: u8, y: T }     struct __JitProxy_P { __this: Place<P>, x: Place<u8>, y: Place<T> }
//!                                     impl JitType for P { … }             // a Place<P> dereferences to the proxy
//!                                     impl TypeIsJit for P { … }           // names, offsets and types of the fields
//!                                     impl P { fn __new_of_jit_type(), fn __pattern_of_jit_type(scrut), fn __update_of_jit_type(..) }
//! #[jit] #[repr(u8)]
//! enum E { A(u8), B { x: T } }        impl TypeIsJit for E { … }           // variants, their constructors, discriminants
//!                                     impl E { fn __pattern_of_jit_type_A(scrut, fail), fn __pattern_of_jit_type_B(..), fn __new_of_jit_type_B() }
//! ```
//!
//! Parts are told by index, so that the runtime is free to keep a value in words of its own order. A derive does the work,
//! since a derive sees its item after `#[cfg]`. `#[repr(u8)]` makes the layout of an enum with data known: without it, an
//! error says so.

use crate::names;
use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::{
    Attribute, Data, DataEnum, DeriveInput, Error, Field, Fields, FieldsNamed, GenericParam, Generics, Index, Item,
    Result, Token, Type, Variant, punctuated::Punctuated,
};

/// `#[jit]` on a struct or enum: the item with a derive.
pub(crate) fn attribute(item: &Item) -> TokenStream {
    if cfg!(feature = "jit") {
        quote!(#[derive(::metatrace::__JitShape)] #item)
    } else {
        item.to_token_stream()
    }
}

/// The derive.
pub(crate) fn derive(tokens: TokenStream) -> TokenStream {
    let expanded = syn::parse2::<DeriveInput>(tokens).and_then(|input| {
        let reprs = reprs(&input.attrs)?;
        if let Some(packed) = reprs.iter().find(|repr| *repr == "packed") {
            return Err(Error::new(
                packed.span(),
                "packed types do not stage: their fields have no addresses",
            ));
        }
        let ty = Shaped::new(&input);
        match &input.data {
            Data::Struct(data) => Ok(ty.struct_(&data.fields)),
            Data::Enum(data) => {
                let enum_ = ty.enum_(data)?;
                // With the impls beside it, this is the only error.
                let repr = check_repr(&input.ident, data, &reprs)
                    .err()
                    .map(Error::into_compile_error);
                Ok(quote!(#enum_ #repr))
            }
            Data::Union(data) => Err(Error::new(data.union_token.span, "unions do not stage: use an enum")),
        }
    });
    expanded.unwrap_or_else(Error::into_compile_error)
}

/// What the `#[repr(..)]`s say.
fn reprs(attrs: &[Attribute]) -> Result<Vec<Ident>> {
    let mut reprs = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("repr")) {
        attr.parse_nested_meta(|meta| {
            reprs.extend(meta.path.get_ident().cloned());
            if meta.input.peek(syn::token::Paren) {
                let arguments;
                syn::parenthesized!(arguments in meta.input);
                arguments.parse::<TokenStream>()?;
            }
            Ok(())
        })?;
    }
    Ok(reprs)
}

fn check_repr(name: &Ident, data: &DataEnum, reprs: &[Ident]) -> Result<()> {
    let is = |what: &str| reprs.iter().any(|repr| repr == what);
    if data.variants.is_empty() || is("u8") && !is("C") {
        return Ok(());
    }
    Err(Error::new(
        name.span(),
        format_args!(
            "the JIT reads `{name}` in memory and must know its layout: write `#[repr(u8)]` on it{}",
            if is("C") { ", without `C`" } else { "" }
        ),
    ))
}

/// The type that is derived for.
struct Shaped<'a> {
    input: &'a DeriveInput,
    stage: TokenStream,
    /// Generic parameters with their bounds, without defaults.
    params: Vec<GenericParam>,
    /// The same as arguments.
    args: Vec<TokenStream>,
}

impl<'a> Shaped<'a> {
    fn new(input: &'a DeriveInput) -> Shaped<'a> {
        Shaped {
            input,
            stage: names::stage(),
            params: without_defaults(&input.generics),
            args: input.generics.params.iter().map(argument).collect(),
        }
    }

    fn struct_(&self, fields: &Fields) -> TokenStream {
        match fields {
            Fields::Named(fields) => self.named_struct(fields),
            Fields::Unnamed(fields) => {
                let (stage, name, vis) = (&self.stage, &self.input.ident, &self.input.vis);
                let proxy = format_ident!("__JitProxy_{}", name);
                let (params, args, clause) = (&self.params, &self.args, &self.input.generics.where_clause);
                let (types, visibilities) = parts(&fields.unnamed);
                let indices = 0..types.len() as u32;
                let proxied = quote! {
                    #[doc(hidden)]
                    #[allow(warnings, clippy::all, clippy::pedantic)]
                    #vis struct #proxy<#(#params),*>(#(#visibilities #stage::Place<#types>),*) #clause;
                };
                let target = quote!(#proxy<#(#args),*>);
                let impls = self.jit_type(
                    &target,
                    &quote!(#proxy(#(#stage::Place::__field::<#types>(&place, #indices)),*)),
                );
                let shape = self.struct_shape(&fields.unnamed);
                quote!(#proxied #impls #shape)
            }
            Fields::Unit => {
                let impls = self.jit_type(&quote!(()), &quote!(()));
                let shape = self.struct_shape(&Punctuated::new());
                quote!(#impls #shape)
            }
        }
    }

    fn named_struct(&self, fields: &FieldsNamed) -> TokenStream {
        let (stage, name, vis) = (&self.stage, &self.input.ident, &self.input.vis);
        let (proxy, pattern) = (format_ident!("__JitProxy_{}", name), format_ident!("__JitPat_{}", name));
        let (params, args, clause) = (&self.params, &self.args, &self.input.generics.where_clause);
        let (types, visibilities) = parts(&fields.named);
        let names: Vec<_> = fields.named.iter().map(|field| &field.ident).collect();
        let texts: Vec<String> = names
            .iter()
            .map(|name| name.as_ref().map(names::plain).unwrap_or_default())
            .collect();
        let indices: Vec<u32> = (0..types.len() as u32).collect();
        let impls = self.jit_type(
            &quote!(#proxy<#(#args),*>),
            &quote!(#proxy { __this: place, #(#names: #stage::Place::__field::<#types>(&place, #indices)),* }),
        );
        let shape = self.struct_shape(&fields.named);
        let inherent = self.inherent(&quote! {
            #vis fn __new_of_jit_type() -> #proxy<#(#args),*> {
                #stage::probe!(Self);
                <Self as #stage::JitType>::target(#stage::Place::<Self>::__raw())
            }
            #vis fn __pattern_of_jit_type<__M>(scrut: #stage::Scrut<Self, __M>) -> #pattern<#(#args,)* __M> {
                #stage::probe!(Self);
                #pattern { __this: scrut, #(#names: #stage::Scrut::__field::<#types>(&scrut, #indices)),* }
            }
            #vis fn __update_of_jit_type(new: &#proxy<#(#args),*>, base: #stage::Place<Self>, given: &[&str]) {
                let base = <Self as #stage::JitType>::target(base);
                #(if !given.contains(&#texts) { #stage::init(new.#names, &#stage::get(base.#names)); })*
            }
        });
        quote! {
            #[doc(hidden)]
            #[allow(warnings, clippy::all, clippy::pedantic)]
            #vis struct #proxy<#(#params),*> #clause {
                #vis __this: #stage::Place<#name<#(#args),*>>,
                #(#visibilities #names: #stage::Place<#types>,)*
            }
            #[doc(hidden)]
            #[allow(warnings, clippy::all, clippy::pedantic)]
            #vis struct #pattern<#(#params,)* __M> #clause {
                #vis __this: #stage::Scrut<#name<#(#args),*>, __M>,
                #(#visibilities #names: #stage::Scrut<#types, __M>,)*
            }
            #impls
            #shape
            #inherent
        }
    }

    /// `impl JitType`: what a place of this type dereferences to.
    fn jit_type(&self, target: &TokenStream, value: &TokenStream) -> TokenStream {
        let stage = &self.stage;
        let jit_type = self.implementing(
            &quote!(JitType),
            &quote! {
                type Target = #target;
                fn target(place: #stage::Place<Self>) -> Self::Target { #value }
            },
        );
        let eq = self.implementing(&quote!(JitEq), &TokenStream::new());
        let clone = self.implementing(&quote!(statics::JitClone), &TokenStream::new());
        let coercion = self.coercion();
        quote!(#jit_type #eq #clone #coercion)
    }

    /// `impl CoerceMut`: a mutable reference to this type coerces to a shared one.
    fn coercion(&self) -> TokenStream {
        let (stage, name) = (&self.stage, &self.input.ident);
        let (params, args) = (&self.params, &self.args);
        let clause = self.input.generics.where_clause.iter();
        let bounds = clause.flat_map(|clause| &clause.predicates);
        quote! {
            #[allow(warnings, clippy::all, clippy::pedantic)]
            impl<'__jit, #(#params),*> #stage::CoerceMut<'__jit> for #name<#(#args),*> where Self: '__jit, #(#bounds),* {
                type Next = #stage::Var<&'__jit Self>;
                fn next(reference: #stage::Var<&'__jit mut Self>) -> Self::Next {
                    #stage::as_shared(reference)
                }
            }
        }
    }

    fn struct_shape(&self, fields: &Punctuated<Field, Token![,]>) -> TokenStream {
        let stage = &self.stage;
        let text = names::plain(&self.input.ident);
        let (types, _) = parts(fields);
        let members: Vec<TokenStream> = fields.iter().enumerate().map(|(n, field)| member(n, field)).collect();
        let texts = members
            .iter()
            .map(|member| member.to_string().trim_start_matches("r#").to_owned());
        self.shape(
            &types,
            &quote! {
                #stage::TypeShape::Struct {
                    name: #text,
                    fields: ::std::vec![#(#stage::field::<#types>(#texts, ::core::mem::offset_of!(Self, #members))),*],
                }
            },
        )
    }

    fn enum_(&self, data: &DataEnum) -> Result<TokenStream> {
        let mut items = TokenStream::new();
        let mut inherent = TokenStream::new();
        for (n, variant) in (0u32..).zip(&data.variants) {
            match &variant.fields {
                Fields::Named(fields) => {
                    let (structs, functions) = self.named_variant(n, variant, fields);
                    items.extend(structs);
                    inherent.extend(functions);
                }
                Fields::Unnamed(fields) if fields.unnamed.len() > names::MAX_ARITY => {
                    return Err(Error::new(
                        variant.ident.span(),
                        format_args!(
                            "a variant with more than {} unnamed fields does not stage: name them",
                            names::MAX_ARITY
                        ),
                    ));
                }
                _ => inherent.extend(self.pattern_test(n, variant)),
            }
        }
        let impls = self.jit_type(&quote!(()), &quote!(()));
        let shape = self.enum_shape(data);
        let inherent = self.inherent(&inherent);
        let fieldless = data
            .variants
            .iter()
            .all(|variant| variant.fields.is_empty())
            .then(|| self.implementing(&quote!(JitFieldless), &TokenStream::new()));
        Ok(quote!(#items #impls #shape #inherent #fieldless))
    }

    /// `E::V { .. }` of a variant without named fields.
    fn pattern_test(&self, n: u32, variant: &Variant) -> TokenStream {
        let (stage, vis) = (&self.stage, &self.input.vis);
        let pattern = format_ident!("__pattern_of_jit_type_{}", variant.ident);
        quote! {
            #vis fn #pattern<__M>(scrut: #stage::Scrut<Self, __M>, fail: #stage::Blk) {
                #stage::Scrut::__test_variant(scrut, #n, fail);
            }
        }
    }

    fn named_variant(&self, n: u32, variant: &Variant, fields: &FieldsNamed) -> (TokenStream, TokenStream) {
        let (stage, name, vis, variant) = (&self.stage, &self.input.ident, &self.input.vis, &variant.ident);
        let (proxy, pattern) = (
            format_ident!("__JitNew_{}_{}", name, variant),
            format_ident!("__JitPat_{}_{}", name, variant),
        );
        let (new, test) = (
            format_ident!("__new_of_jit_type_{}", variant),
            format_ident!("__pattern_of_jit_type_{}", variant),
        );
        let (params, args, clause) = (&self.params, &self.args, &self.input.generics.where_clause);
        let (types, _) = parts(&fields.named);
        let names: Vec<_> = fields.named.iter().map(|field| &field.ident).collect();
        let indices: Vec<u32> = (0..types.len() as u32).collect();
        let structs = quote! {
            #[doc(hidden)]
            #[allow(warnings, clippy::all, clippy::pedantic)]
            #vis struct #proxy<#(#params),*> #clause {
                #vis __this: #stage::Place<#name<#(#args),*>>,
                #(#vis #names: #stage::Place<#types>,)*
            }
            #[doc(hidden)]
            #[allow(warnings, clippy::all, clippy::pedantic)]
            #vis struct #pattern<#(#params,)* __M> #clause {
                #vis __this: #stage::Scrut<#name<#(#args),*>, __M>,
                #(#vis #names: #stage::Scrut<#types, __M>,)*
            }
        };
        let functions = quote! {
            #vis fn #new() -> #proxy<#(#args),*> {
                #stage::probe!(Self);
                let place = #stage::Place::<Self>::__raw_variant(#n);
                #proxy { __this: place, #(#names: #stage::Place::__variant_field::<#types>(&place, #n, #indices)),* }
            }
            #vis fn #test<__M>(scrut: #stage::Scrut<Self, __M>, fail: #stage::Blk) -> #pattern<#(#args,)* __M> {
                #stage::probe!(Self);
                #stage::Scrut::__test_variant(scrut, #n, fail);
                #pattern { __this: scrut, #(#names: #stage::Scrut::__variant_field::<#types>(&scrut, #n, #indices)),* }
            }
        };
        (structs, functions)
    }

    fn enum_shape(&self, data: &DataEnum) -> TokenStream {
        let stage = &self.stage;
        let text = names::plain(&self.input.ident);
        let all: Vec<&Type> = data
            .variants
            .iter()
            .flat_map(|v| v.fields.iter().map(|f| &f.ty))
            .collect();
        let variants = data.variants.iter().map(|variant| {
            let (ident, text) = (&variant.ident, names::plain(&variant.ident));
            let types = variant.fields.iter().map(|field| &field.ty);
            let texts = variant.fields.iter().enumerate().map(|(n, field)| match &field.ident {
                Some(name) => names::plain(name),
                None => n.to_string(),
            });
            let constructor = match &variant.fields {
                Fields::Unnamed(_) => quote!(__mt::ctor_name(&Self::#ident)),
                _ => quote!(__mt::no_ctor),
            };
            let discriminant = match &variant.discriminant {
                Some((_, value)) => quote!(__mt::Some(#value)),
                None => quote!(__mt::None),
            };
            quote! {
                __mt::VariantDecl::new(#text, #constructor, #discriminant, &[#((#texts, __mt::Type::of::<#types>)),*])
            }
        });
        self.shape(
            &all,
            &quote! {{
                use #stage as __mt;
                __mt::enum_shape(#text, const { &[#(#variants),*] })
            }},
        )
    }

    /// `impl TypeIsJit`. Types within are told first.
    fn shape(&self, types: &[&Type], value: &TokenStream) -> TokenStream {
        let stage = &self.stage;
        let probes = crate::body::probes(types.iter().copied());
        self.implementing(
            &quote!(TypeIsJit),
            &quote! {
                fn shape() -> #stage::TypeShape {
                    #probes
                    #value
                }
            },
        )
    }

    fn implementing(&self, of_trait: &TokenStream, items: &TokenStream) -> TokenStream {
        let (stage, name) = (&self.stage, &self.input.ident);
        let (params, args, clause) = (&self.params, &self.args, &self.input.generics.where_clause);
        quote! {
            #[allow(warnings, clippy::all, clippy::pedantic)]
            impl<#(#params),*> #stage::#of_trait for #name<#(#args),*> #clause { #items }
        }
    }

    fn inherent(&self, items: &TokenStream) -> TokenStream {
        let name = &self.input.ident;
        let (params, args, clause) = (&self.params, &self.args, &self.input.generics.where_clause);
        quote! {
            #[doc(hidden)]
            #[allow(warnings, clippy::all, clippy::pedantic)]
            impl<#(#params),*> #name<#(#args),*> #clause { #items }
        }
    }
}

/// Types and visibilities of fields.
fn parts(fields: &Punctuated<Field, Token![,]>) -> (Vec<&Type>, Vec<&syn::Visibility>) {
    fields.iter().map(|field| (&field.ty, &field.vis)).unzip()
}

fn member(n: usize, field: &Field) -> TokenStream {
    match &field.ident {
        Some(name) => name.to_token_stream(),
        None => Index::from(n).to_token_stream(),
    }
}

fn without_defaults(generics: &Generics) -> Vec<GenericParam> {
    let mut params: Vec<GenericParam> = generics.params.iter().cloned().collect();
    for param in &mut params {
        match param {
            GenericParam::Type(param) => (param.eq_token, param.default) = (None, None),
            GenericParam::Const(param) => (param.eq_token, param.default) = (None, None),
            GenericParam::Lifetime(_) => {}
        }
    }
    params
}

fn argument(param: &GenericParam) -> TokenStream {
    match param {
        GenericParam::Type(param) => param.ident.to_token_stream(),
        GenericParam::Const(param) => param.ident.to_token_stream(),
        GenericParam::Lifetime(param) => param.lifetime.to_token_stream(),
    }
}
