//! Macros in staged bodies: those of std that authors use, and the framework's own.
//!
//! `matches!` and the assertions are control flow. What formats is outlined: its arguments are staged, and a native closure
//! borrows them and does the formatting, so that text and panic messages are exactly those of the function:
//!
//! ```text
//! format!("{a}: {:?}", b.x)      __mt::outline2(a, b.x, |a0, a1| format!("{a}: {:?}", *a1, a = *a0))
//! panic!("no {}", a)             __mt::outline1(a, |a0| -> () { panic!("no {}", *a0) }); __mt::unreachable_(); break 'exit None
//! ```
//!
//! The expansion of any other macro is not visible to `#[jit]`, so it is an error.

use crate::body::Body;
use crate::call::Exprs;
use crate::errors::{OUTLINE, hole};
use crate::names;
use crate::syntax;
use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Expr, Lit, Macro, Pat, Result, Token};

/// The arguments of a formatting macro.
struct Format {
    /// The format string, and whatever tokens stand before the arguments.
    text: Option<Expr>,
    args: Vec<FormatArg>,
}

struct FormatArg {
    name: Option<Ident>,
    value: Expr,
}

impl Parse for Format {
    fn parse(input: ParseStream<'_>) -> Result<Format> {
        let mut format = Format {
            text: None,
            args: Vec::new(),
        };
        if input.is_empty() {
            return Ok(format);
        }
        format.text = Some(input.parse()?);
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if input.is_empty() {
                break;
            }
            let name = if input.peek(syn::Ident) && input.peek2(Token![=]) && !input.peek2(Token![==]) {
                let name = input.parse()?;
                input.parse::<Token![=]>()?;
                Some(name)
            } else {
                None
            };
            let value = input.parse()?;
            format.args.push(FormatArg { name, value });
        }
        Ok(format)
    }
}

/// `first, format…`
struct After<const N: usize> {
    first: Vec<Expr>,
    format: Format,
}

impl<const N: usize> Parse for After<N> {
    fn parse(input: ParseStream<'_>) -> Result<After<N>> {
        let mut first = Vec::new();
        while first.len() < N {
            first.push(input.parse()?);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(After {
            first,
            format: input.parse()?,
        })
    }
}

/// `matches!(expr, pattern if guard)`
struct Matches {
    expr: Expr,
    pat: Pat,
    guard: Option<Expr>,
}

impl Parse for Matches {
    fn parse(input: ParseStream<'_>) -> Result<Matches> {
        let expr = input.parse()?;
        input.parse::<Token![,]>()?;
        let pat = Pat::parse_multi_with_leading_vert(input)?;
        let guard = if input.peek(Token![if]) {
            input.parse::<Token![if]>()?;
            Some(input.parse()?)
        } else {
            None
        };
        input.parse::<Option<Token![,]>>()?;
        Ok(Matches { expr, pat, guard })
    }
}

/// What `vec!` is given.
enum VecOf {
    List(Exprs),
    Repeat(Box<(Expr, Expr)>),
}

impl Parse for VecOf {
    fn parse(input: ParseStream<'_>) -> Result<VecOf> {
        if input.is_empty() {
            return Ok(VecOf::List(Exprs::new()));
        }
        let first: Expr = input.parse()?;
        if input.peek(Token![;]) {
            input.parse::<Token![;]>()?;
            return Ok(VecOf::Repeat(Box::new((first, input.parse()?))));
        }
        let mut list = Exprs::new();
        list.push_value(first);
        while !input.is_empty() {
            list.push_punct(input.parse()?);
            if input.is_empty() {
                break;
            }
            list.push_value(input.parse()?);
        }
        Ok(VecOf::List(list))
    }
}

/// Arguments of an outlined macro.
#[derive(Default)]
struct Outlined {
    /// Statements that evaluate them.
    lets: TokenStream,
    /// Their places.
    places: Vec<Ident>,
    /// The closure's parameters.
    params: Vec<Ident>,
}

impl Body {
    /// A macro's value.
    pub(crate) fn author_macro(&mut self, mac: &Macro) -> TokenStream {
        let name = syntax::macro_name(mac);
        match &*name {
            "jit_merge_point" => self.error(
                mac,
                "`jit_merge_point!()` is the first statement in the loop of a portal",
            ),
            "can_enter_jit" => self.can_enter_jit(mac),
            "residual" => self.residual(&mac.tokens),
            "panic" | "unreachable" | "todo" | "unimplemented" => self.panic(mac),
            "format" | "print" | "println" | "eprint" | "eprintln" => {
                self.parsed(mac, |body, format: Format| body.format(mac, &format))
            }
            "write" | "writeln" => self.parsed(mac, |body, after: After<1>| body.write(mac, &after)),
            "vec" => self.parsed(mac, |body, list: VecOf| body.vec(mac, &list)),
            "assert" => self.parsed(mac, |body, after: After<1>| body.assert(mac, &after)),
            "assert_eq" | "assert_ne" => {
                self.parsed(mac, |body, after: After<2>| body.assert_compared(mac, &name, &after))
            }
            "debug_assert" | "debug_assert_eq" | "debug_assert_ne" => self.debug_assert(mac, &name),
            "matches" => self.parsed(mac, |body, matches: Matches| body.matches(mac, &matches)),
            "concat" | "stringify" | "file" | "module_path" | "env" | "include_str" => {
                quote_spanned!(mac.span()=> __mt::lit_str(#mac))
            }
            "line" | "column" | "cfg" | "option_env" | "include_bytes" => quote_spanned!(mac.span()=> __mt::lit(#mac)),
            _ => self.error(
                &mac.path,
                format_args!("`#[jit]` cannot see what this macro expands to: write its expansion, or {OUTLINE}"),
            ),
        }
    }

    fn parsed<T: Parse>(&mut self, mac: &Macro, stage: impl FnOnce(&mut Body, T) -> TokenStream) -> TokenStream {
        match self.errors.ok(mac.parse_body::<T>()) {
            Some(parsed) => stage(self, parsed),
            None => hole(),
        }
    }

    /// Evaluates an argument of a formatting macro, borrows it, and gives what the closure writes for it.
    fn outlined_arg(&mut self, value: &Expr, outlined: &mut Outlined) -> TokenStream {
        if syntax::is_literal(value) || matches!(syntax::bare(value), Expr::Lit(_)) {
            return value.to_token_stream();
        }
        let (place, param) = (self.local("p"), self.local("a"));
        let staged = self.place(value);
        outlined.lets.extend(quote!(let #place = #staged;));
        outlined.places.push(place);
        outlined.params.push(param.clone());
        quote!(*#param)
    }

    /// Evaluates the arguments of a formatting macro; gives the tokens of its call in the closure.
    fn formatted(&mut self, format: &Format, outlined: &mut Outlined) -> TokenStream {
        let Some(text) = &format.text else {
            return TokenStream::new();
        };
        let mut tokens = text.to_token_stream();
        for arg in &format.args {
            let value = self.outlined_arg(&arg.value, outlined);
            let name = arg.name.as_ref().map(|name| quote!(#name =));
            tokens.extend(quote!(, #name #value));
        }
        for name in captures(text) {
            let ident = Ident::new(&name, text.span());
            let explicit = format
                .args
                .iter()
                .any(|arg| arg.name.as_ref().is_some_and(|given| *given == name));
            if explicit || !self.is_variable(&ident) {
                continue;
            }
            let value = self.outlined_arg(&Expr::Path(syn::parse_quote!(#ident)), outlined);
            tokens.extend(quote!(, #ident = #value));
        }
        tokens
    }

    fn outline(&mut self, mac: &Macro, outlined: &Outlined, body: TokenStream) -> TokenStream {
        let Outlined { lets, places, params } = outlined;
        if places.len() > names::MAX_ARITY {
            return self.error(
                mac,
                format_args!(
                    "more than {} arguments of a macro do not stage: {OUTLINE}",
                    names::MAX_ARITY
                ),
            );
        }
        let function = format_ident!("outline{}", places.len());
        quote_spanned!(mac.span()=> { #lets __mt::#function(#(#places,)* |#(#params),*| #body) })
    }

    fn format(&mut self, mac: &Macro, format: &Format) -> TokenStream {
        let mut outlined = Outlined::default();
        let (path, tokens) = (&mac.path, self.formatted(format, &mut outlined));
        self.outline(mac, &outlined, quote_spanned!(mac.span()=> { #path!(#tokens) }))
    }

    /// `write!(destination, …)`
    fn write(&mut self, mac: &Macro, after: &After<1>) -> TokenStream {
        let mut outlined = Outlined::default();
        let (place, param) = (self.local("p"), self.local("a"));
        let destination = self.place(&after.first[0]);
        let (path, tokens) = (&mac.path, self.formatted(&after.format, &mut outlined));
        let Outlined { lets, places, params } = &outlined;
        if places.len() >= names::MAX_ARITY {
            return self.error(
                mac,
                format_args!("this many arguments of a macro do not stage: {OUTLINE}"),
            );
        }
        let function = format_ident!("outline_mut{}", places.len() + 1);
        quote_spanned! {mac.span()=> {
            let #place = #destination;
            #lets
            __mt::#function(#place, #(#places,)* |#param, #(#params),*| { #path!(*#param, #tokens) })
        }}
    }

    /// A macro that panics, called natively, and what never happens behind it.
    fn panic(&mut self, mac: &Macro) -> TokenStream {
        let Some(format) = self.errors.ok(mac.parse_body::<Format>()) else {
            return hole();
        };
        let mut outlined = Outlined::default();
        let (path, tokens) = (&mac.path, self.formatted(&format, &mut outlined));
        let call = self.outline(mac, &outlined, quote_spanned!(mac.span()=> -> () { #path!(#tokens) }));
        let stop = self.stop();
        quote!({ let _ = #call; __mt::unreachable_(); #stop })
    }

    fn assert(&mut self, mac: &Macro, after: &After<1>) -> TokenStream {
        let fail = self.local("f");
        let (condition, path) = (&after.first[0], &mac.path);
        let tests = self.condition(condition, &fail);
        let mut outlined = Outlined::default();
        let tokens = self.formatted(&after.format, &mut outlined);
        let message = if tokens.is_empty() {
            quote!(::core::panic!(::core::concat!(
                "assertion failed: ",
                ::core::stringify!(#condition)
            )))
        } else {
            quote!(#path!(false, #tokens))
        };
        self.checked(mac, &fail, tests, &outlined, message)
    }

    /// `assert_eq!(a, b, …)`: where they compare wrongly, the macro itself is called natively, for its message.
    fn assert_compared(&mut self, mac: &Macro, name: &str, after: &After<2>) -> TokenStream {
        let mut outlined = Outlined::default();
        let (left, right) = (self.local("p"), self.local("p"));
        let (first, second) = (self.place(&after.first[0]), self.place(&after.first[1]));
        let lets = quote!(let #left = #first; let #right = #second;);
        let params = [self.local("a"), self.local("a")];
        outlined.places = vec![left.clone(), right.clone()];
        outlined.params = params.to_vec();
        let tokens = self.formatted(&after.format, &mut outlined);
        let compare = if name.ends_with("eq") { "eq" } else { "ne" };
        let (compare, fail, path) = (Ident::new(compare, mac.span()), self.local("f"), &mac.path);
        let tests = quote_spanned! {mac.span()=>
            __mt::test(__mt::#compare(__mt::peek(#left), __mt::peek(#right)), #fail);
        };
        let [left, right] = params;
        let message = quote!(#path!(*#left, *#right, #tokens));
        let checked = self.checked(mac, &fail, tests, &outlined, message);
        quote!({ #lets #checked })
    }

    /// `tests`, and in the failure block a native call that panics.
    fn checked(
        &mut self,
        mac: &Macro,
        fail: &Ident,
        tests: TokenStream,
        outlined: &Outlined,
        message: TokenStream,
    ) -> TokenStream {
        let (holds, temps) = (self.local("h"), self.local("ts"));
        let panic = self.outline(mac, outlined, quote_spanned!(mac.span()=> -> () { #message; }));
        quote! {{
            let #fail = __mt::block();
            #tests
            let #holds = __mt::cur();
            __mt::switch(#fail);
            let #temps = __mt::scope(true);
            let _ = #panic;
            __mt::unreachable_();
            __mt::trunc(#temps);
            __mt::switch(#holds);
            __mt::unit()
        }}
    }

    /// The build's `debug_assertions` decide whether the twin has the assertion.
    fn debug_assert(&mut self, mac: &Macro, name: &str) -> TokenStream {
        let mut assertion = mac.clone();
        let plain = Ident::new(name.trim_start_matches("debug_"), mac.path.span());
        assertion.path = syn::parse_quote!(::core::#plain);
        let value = self.author_macro(&assertion);
        quote!({ if ::core::cfg!(debug_assertions) { let _: __mt::Var<()> = #value; } __mt::unit() })
    }

    fn matches(&mut self, mac: &Macro, matches: &Matches) -> TokenStream {
        let Matches { expr, pat, guard } = matches;
        let guard = guard.as_ref().map(|guard| quote!(if #guard));
        let arms = quote_spanned!(mac.span()=> match () { #pat #guard => true, _ => false });
        match self.errors.ok(syn::parse2::<syn::ExprMatch>(arms)) {
            Some(mut matching) => {
                // put in as it is: a struct's braces would be the match's if it was read again
                *matching.expr = expr.clone();
                self.value(&Expr::Match(matching))
            }
            None => hole(),
        }
    }

    fn vec(&mut self, mac: &Macro, list: &VecOf) -> TokenStream {
        let span = mac.span();
        match list {
            VecOf::Repeat(repeat) => {
                let (value, count) = (self.value(&repeat.0), self.value(&repeat.1));
                quote_spanned!(span=> __mt::vec_repeat(#value, #count))
            }
            VecOf::List(list) => {
                let values: Vec<TokenStream> = list.iter().map(|value| self.value(value)).collect();
                quote_spanned!(span=> __mt::vec_of([#(#values),*]))
            }
        }
    }
}

/// The names that a format string captures: `{name}`, `{name:?}`, `{:width$}`, `{:.precision$}`.
fn captures(text: &Expr) -> Vec<String> {
    let Expr::Lit(lit) = syntax::bare(text) else {
        return Vec::new();
    };
    let Lit::Str(text) = &lit.lit else { return Vec::new() };
    let text = text.value().replace("{{", "").replace("}}", "");
    let mut names: Vec<String> = Vec::new();
    for piece in text.split('{').skip(1) {
        let Some((argument, _)) = piece.split_once('}') else {
            continue;
        };
        let (argument, format) = argument.split_once(':').unwrap_or((argument, ""));
        let counts = format.split('$').rev().skip(1).map(trailing_name);
        for name in std::iter::once(argument.trim()).chain(counts) {
            if name.starts_with(|c: char| c.is_alphabetic() || c == '_') && !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
    }
    names
}

/// The identifier that a piece of a format specification ends with (before a `$`).
fn trailing_name(piece: &str) -> &str {
    let start = piece
        .char_indices()
        .rev()
        .take_while(|(_, c)| c.is_alphanumeric() || *c == '_')
        .last()
        .map_or(piece.len(), |(start, _)| start);
    piece[start..].trim_start_matches(|c: char| c.is_ascii_digit())
}
