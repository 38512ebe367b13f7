//! Portals: functions whose body is a loop that begins with the merge point.
//!
//! The native function keeps the author's loop and gets one around it, which enters machine code. A cold back-edge is one
//! step of a counter; `continue '__portal` runs the destructors of the arm first, and no native frame is ever left behind:
//!
//! ```text
//! fn run(jit: &JitDriver<'p>, pc: usize, …) -> R {          fn run(mut jit: &JitDriver<'p>, mut pc: usize, …) -> R {
//!     loop {                                                    let (driver, mut hot) = (shared(jit), false);
//!         jit_merge_point!();                                   '__portal: loop {
//!         … pc = to; can_enter_jit!(); continue; …                  if hot {
//!     }                                                                 hot = false;
//! }                                                                     match enter(driver, …, (pc, program), &mut [&raw mut jit …]) {
//!                                                                           Next::Go => {}
//!                                                                           Next::Return(r) => return r,
//!                                                                       }
//!                                                                   }
//!                                                                   loop { … pc = to;
//!                                                                       if driver.back_edge((pc, program)) { hot = true; continue '__portal; }
//!                                                                       continue; … } } }
//! ```
//!
//! The driver is found once, and must be a shared reference: whatever the loop does, it cannot drop the driver under its feet.
//!
//! In the twin the loop's head is marked (`header`), then the greens are evaluated and the merge point recorded. A `while`
//! has its merge point before its condition, which comes to the same.
//!
//! Only parameters are live at a merge point, so their types are known from the signature. What breaks the rule is an error.

use crate::attrs::PortalArgs;
use crate::body::Body;
use crate::errors::Errors;
use crate::expr::Context;
use crate::names;
use crate::syntax;
use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{
    Block, Expr, ExprClosure, ExprContinue, FnArg, Generics, Item, Lifetime, Macro, Pat, Result, Signature, Stmt,
    Token, Type, parse_quote,
};

/// A portal that keeps to the rule.
pub(crate) struct Portal {
    driver: Expr,
    greens: Vec<Expr>,
    /// Indices of the parameters that are driver and greens, where those are parameters.
    driver_param: Option<u32>,
    green_params: Vec<u32>,
    location: Option<syn::Path>,
    /// The body, without the merge point.
    pub(crate) block: Block,
    merge_point: Macro,
    /// Name and type of each parameter; `self` without a type.
    params: Vec<(Ident, Option<Type>)>,
    /// Type and const parameters around.
    generics: Vec<Ident>,
}

/// What the twin's body needs to know.
pub(crate) struct PortalTwin {
    begin: TokenStream,
    greens: Vec<Expr>,
    /// The loop has not been staged yet.
    pending: bool,
    params: Vec<(Ident, Option<Type>)>,
    generics: Vec<Ident>,
}

/// `pc = self.pc, code = self.code`
struct NamedGreens(Vec<Expr>);

impl Parse for NamedGreens {
    fn parse(input: ParseStream<'_>) -> Result<NamedGreens> {
        let one = |input: ParseStream<'_>| {
            input.parse::<Ident>()?;
            input.parse::<Token![=]>()?;
            input.parse::<Expr>()
        };
        let greens = Punctuated::<Expr, Token![,]>::parse_terminated_with(input, one)
            .map_err(|error| syn::Error::new(error.span(), NAMED_GREENS))?;
        Ok(NamedGreens(greens.into_iter().collect()))
    }
}

const NOT_A_LOOP: &str =
    "a portal's body is one loop: `loop { jit_merge_point!(); … }` or `while`, behind which an expression may follow";
const LOCAL_BEFORE: &str = "nothing but parameters may live at the merge point: make this one a parameter (a red), \
     or wrap the portal in a function that computes it";
const NAMED_GREENS: &str = "greens that are expressions have names: `jit_merge_point!(pc = self.pc, code = self.code)`";
const NOT_FIRST: &str = "a portal's loop begins with `jit_merge_point!();`";
const NOT_LAST: &str = "`can_enter_jit!()` closes the loop: put `continue` of the portal's loop right behind it";
const NEVER_HOT: &str = "without a `can_enter_jit!()` this portal never gets hot: \
     put one where the interpreted program jumps backward";

impl Portal {
    /// Checks the rule; errors go to `errors`.
    pub(crate) fn new(
        args: PortalArgs,
        sig: &Signature,
        around: Option<&Generics>,
        block: &Block,
        errors: &mut Errors,
    ) -> Option<Portal> {
        let before = errors.len();
        let params = params(sig, errors);
        let (block, merge_point) = strip_merge_point(block, errors)?;
        let index = |name: &Ident| params.iter().position(|(param, _)| param == name).map(|n| n as u32);
        let mut green_params = Vec::new();
        let greens = match (merge_point.tokens.is_empty(), args.greens.is_empty()) {
            (true, true) => {
                errors.at(
                    &merge_point,
                    "which variables are green? Name parameters in `#[jit::portal(driver = …, greens(…))]`, \
                     or give expressions here: `jit_merge_point!(pc = self.pc)`",
                );
                Vec::new()
            }
            (true, false) => {
                for green in &args.greens {
                    match index(green) {
                        Some(n) => green_params.push(n),
                        None => errors.at(
                            green,
                            "no parameter has this name: greens are parameters, or expressions in `jit_merge_point!(pc = self.pc)`",
                        ),
                    }
                }
                args.greens.iter().map(|green| parse_quote!(#green)).collect()
            }
            (false, true) => errors
                .ok(merge_point.parse_body::<NamedGreens>())
                .map_or(Vec::new(), |greens| greens.0),
            (false, false) => {
                errors.at(&merge_point, "the greens are given twice: here, and in the attribute");
                Vec::new()
            }
        };
        let driver_param = syntax::single_ident(&args.driver).and_then(index);
        if driver_param.is_none() && syntax::single_ident(&args.driver).is_some() {
            errors.at(
                &args.driver,
                "no parameter has this name: the driver is a parameter, or a place such as `self.jit`",
            );
        }
        check_back_edges(&block, errors);
        (errors.len() == before).then(|| Portal {
            driver: args.driver,
            greens,
            driver_param,
            green_params,
            location: args.location,
            block,
            merge_point,
            params,
            generics: type_level_params(around.into_iter().chain([&sig.generics])),
        })
    }

    /// What the twin needs.
    pub(crate) fn twin(&self) -> PortalTwin {
        let driver = match self.driver_param {
            Some(n) => quote!(::core::option::Option::Some(#n)),
            None => quote!(::core::option::Option::None),
        };
        let greens = &self.green_params;
        PortalTwin {
            begin: quote!(__mt::portal_begin(#driver, &[#(#greens),*]);),
            greens: self.greens.clone(),
            pending: true,
            params: self.params.clone(),
            generics: self.generics.clone(),
        }
    }

    /// The native function's signature: every parameter is a variable, whose address machine code gets.
    pub(crate) fn native_signature(&self, sig: &Signature) -> Signature {
        let mut sig = sig.clone();
        for input in &mut sig.inputs {
            match input {
                FnArg::Receiver(receiver) => {
                    let ty = &receiver.ty;
                    *receiver = parse_quote!(mut self: #ty);
                }
                FnArg::Typed(param) => {
                    if let Pat::Ident(name) = &mut *param.pat {
                        name.mutability = Some(Token![mut](name.ident.span()));
                    }
                }
            }
        }
        sig
    }

    /// The green key, as a tuple.
    fn key(&self) -> TokenStream {
        let greens = &self.greens;
        let span = greens.first().map_or_else(Span::call_site, Spanned::span);
        quote_spanned!(span=> (#(#greens,)*))
    }

    /// The native function's body. `build` is the key of the twin's.
    pub(crate) fn native_block(&self, name: &str, build: &TokenStream) -> TokenStream {
        let (module, hot, outer) = (names::driver(), names::local("hot", 0), names::label("portal", 0));
        let (expression, key, driver) = (&self.driver, self.key(), names::local("driver", 0));
        let shared = quote_spanned!(expression.span()=> #module::shared(#expression));
        let (addresses, result) = (names::local("addresses", 0), names::local("result", 0));
        let variables = self.params.iter().map(|(name, _)| name);
        let location = match &self.location {
            Some(path) => quote!(::core::option::Option::Some(#path)),
            None => quote!(::core::option::Option::None),
        };
        let mut block = self.block.clone();
        Native {
            back_edge: parse_quote! {
                if ::metatrace::JitDriver::back_edge(#driver, #key) {
                    #hot = true;
                    continue #outer;
                }
            },
        }
        .visit_block_mut(&mut block);
        if let Some(body) = loop_body(&mut block) {
            let merge_point = &self.merge_point;
            body.stmts.insert(0, parse_quote!(#merge_point;));
        }
        let (repeat, tail) = match &*block.stmts {
            [repeat, tail] => (repeat, Some(tail)),
            [repeat] => (repeat, None),
            _ => unreachable!("a portal is a loop and perhaps a tail"),
        };
        let leave = match (repeat, tail) {
            (_, Some(tail)) => quote!(#repeat break #outer { #tail };),
            (Stmt::Expr(Expr::Loop(forever), _), None)
                if !syntax::has_break(&forever.body, forever.label.as_ref().map(|label| &label.name)) =>
            {
                quote!(#repeat)
            }
            (Stmt::Expr(repeat, semi), None) => quote!(break #outer #repeat #semi),
            _ => quote!(#repeat),
        };
        quote! {{
            let #driver = #shared;
            let mut #hot = false;
            #outer: loop {
                if #hot {
                    #hot = false;
                    let mut #addresses = [#(&raw mut #variables as *mut u8),*];
                    // SAFETY: these are the addresses of all parameters, in order, and none is borrowed here.
                    let #result = unsafe {
                        #module::enter(
                            #driver,
                            &#module::Portal { build: #build, name: #name, location: #location },
                            #key,
                            &mut #addresses,
                        )
                    };
                    match #result {
                        #module::Next::Go => {}
                        #module::Next::Return(#result) => return #result,
                    }
                }
                #leave
            }
        }}
    }
}

impl PortalTwin {
    /// Announces the portal, before its parameters are received.
    pub(crate) fn begin(&self) -> TokenStream {
        self.begin.clone()
    }

    /// The type of a parameter.
    fn param_type(&self, name: &Ident) -> Option<&Type> {
        self.params
            .iter()
            .find(|(param, _)| param == name)
            .and_then(|(_, ty)| ty.as_ref())
    }
}

impl Body {
    /// The head of the portal's loop.
    pub(crate) fn merge_point(&mut self) -> TokenStream {
        let greens = match &mut self.portal {
            Some(portal) if portal.pending => {
                portal.pending = false;
                portal.greens.clone()
            }
            _ => return TokenStream::new(),
        };
        let (temps, crate::call::Arguments { lets, names }) =
            (self.local("ts"), self.arguments(&greens, Context::default()));
        quote! {
            __mt::header();
            let #temps = __mt::scope(true);
            #lets
            __mt::pop(#temps);
            __mt::merge_point(&[#(#names.__any()),*]);
        }
    }

    /// `can_enter_jit!()`: the edge itself is the `continue` behind it.
    pub(crate) fn can_enter_jit(&mut self, mac: &Macro) -> TokenStream {
        if self.portal.is_none() {
            return self.error(
                mac,
                "`can_enter_jit!()` belongs to a portal: `#[jit::portal(driver = …, greens(…))]`",
            );
        }
        quote!({
            __mt::back_edge();
            __mt::unit()
        })
    }

    /// A red that owns memory belongs to the native frame, which drops it: it may be neither assigned nor moved. Only the
    /// compiler knows which types do.
    pub(crate) fn check_owned(&mut self, name: &Ident) -> TokenStream {
        let Some(portal) = &self.portal else {
            return TokenStream::new();
        };
        let Some(ty) = portal.param_type(name) else {
            return TokenStream::new();
        };
        if matches!(ty, Type::Reference(_)) || self.is_shadowed(name) {
            return TokenStream::new();
        }
        let message = format!(
            "the portal's parameter `{name}` owns what it holds, which the native frame will drop: \
             it can be neither moved nor assigned here. Take it by `&mut`"
        );
        let span = name.span();
        if mentions(ty, &portal.generics) {
            return quote_spanned!(span=> const { ::core::assert!(!::core::mem::needs_drop::<#ty>(), #message) });
        }
        let mut ty = ty.clone();
        Static.visit_type_mut(&mut ty);
        quote_spanned!(span=> const _: () = ::core::assert!(!::core::mem::needs_drop::<#ty>(), #message);)
    }
}

/// The parameters' names, which must be plain.
fn params(sig: &Signature, errors: &mut Errors) -> Vec<(Ident, Option<Type>)> {
    let mut params = Vec::new();
    for input in &sig.inputs {
        match input {
            FnArg::Receiver(receiver) => params.push((Ident::from(receiver.self_token), None)),
            FnArg::Typed(param) => match &*param.pat {
                Pat::Ident(name) if name.by_ref.is_none() && name.subpat.is_none() => {
                    params.push((name.ident.clone(), Some((*param.ty).clone())));
                }
                pat => errors.at(
                    pat,
                    "a portal's parameters are plain names: take this one apart in the loop",
                ),
            },
        }
    }
    params
}

/// The body without its merge point, and the merge point.
fn strip_merge_point(block: &Block, errors: &mut Errors) -> Option<(Block, Macro)> {
    let mut block = block.clone();
    match block.stmts.first() {
        Some(Stmt::Expr(Expr::Loop(_) | Expr::While(_), _)) => {}
        Some(first @ Stmt::Local(_)) => {
            errors.at(first, LOCAL_BEFORE);
            return None;
        }
        Some(first) => {
            errors.at(first, NOT_A_LOOP);
            return None;
        }
        None => {
            errors.push(syn::Error::new(block.brace_token.span.join(), NOT_A_LOOP));
            return None;
        }
    }
    if let Some(extra) = block
        .stmts
        .iter()
        .skip(1)
        .find(|stmt| !matches!(stmt, Stmt::Expr(_, None) | Stmt::Macro(_)))
        && block.stmts.len() != 1
    {
        errors.at(extra, NOT_A_LOOP);
        return None;
    }
    if block.stmts.len() > 2 {
        errors.at(&block.stmts[2], NOT_A_LOOP);
        return None;
    }
    let body = loop_body(&mut block)?;
    match body
        .stmts
        .first()
        .and_then(|stmt| statement_macro(stmt, "jit_merge_point"))
    {
        Some(merge_point) => {
            let merge_point = merge_point.clone();
            body.stmts.remove(0);
            Some((block, merge_point))
        }
        None => {
            match body.stmts.first() {
                Some(first) => errors.at(first, NOT_FIRST),
                None => errors.push(syn::Error::new(body.brace_token.span.join(), NOT_FIRST)),
            }
            None
        }
    }
}

/// The body of the portal's loop.
fn loop_body(block: &mut Block) -> Option<&mut Block> {
    match block.stmts.first_mut() {
        Some(Stmt::Expr(Expr::Loop(forever), _)) => Some(&mut forever.body),
        Some(Stmt::Expr(Expr::While(repeat), _)) => Some(&mut repeat.body),
        _ => None,
    }
}

fn statement_macro<'a>(stmt: &'a Stmt, name: &str) -> Option<&'a Macro> {
    let mac = match stmt {
        Stmt::Macro(stmt) => &stmt.mac,
        Stmt::Expr(Expr::Macro(expr), _) => &expr.mac,
        _ => return None,
    };
    (syntax::macro_name(mac) == name).then_some(mac)
}

/// Behind `can_enter_jit!()` comes the next iteration, in the twin by the author's own `continue`, natively at once.
fn check_back_edges(block: &Block, errors: &mut Errors) {
    let (body, label, head) = match block.stmts.first() {
        Some(Stmt::Expr(Expr::Loop(forever), _)) => (&forever.body, &forever.label, forever.loop_token.span),
        Some(Stmt::Expr(Expr::While(repeat), _)) => (&repeat.body, &repeat.label, repeat.while_token.span),
        _ => return,
    };
    let mut edges = BackEdges {
        label: label.as_ref().map(|label| &label.name.ident),
        depth: 0,
        tail: true,
        found: 0,
        errors,
    };
    edges.visit_block(body);
    if edges.found == 0 {
        errors.push(syn::Error::new(head, NEVER_HOT));
    }
}

struct BackEdges<'a> {
    label: Option<&'a Ident>,
    /// Loops around, inside the portal's.
    depth: usize,
    /// Whether the next iteration follows what is being visited.
    tail: bool,
    found: usize,
    errors: &'a mut Errors,
}

impl BackEdges<'_> {
    fn found(&mut self, mac: &Macro, closes: bool) {
        self.found += 1;
        if !closes {
            self.errors.at(mac, NOT_LAST);
        }
    }

    fn continues(&self, next: Option<&Stmt>) -> bool {
        let Some(Stmt::Expr(Expr::Continue(ExprContinue { label, .. }), _)) = next else {
            return false;
        };
        match label {
            None => self.depth == 0,
            Some(label) => self.label == Some(&label.ident),
        }
    }

    fn with_tail(&mut self, tail: bool, visit: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.tail, tail);
        visit(self);
        self.tail = outer;
    }

    fn nested_loop(&mut self, visit: impl FnOnce(&mut Self)) {
        self.depth += 1;
        self.with_tail(false, visit);
        self.depth -= 1;
    }
}

impl<'ast> Visit<'ast> for BackEdges<'_> {
    fn visit_block(&mut self, block: &'ast Block) {
        let tail = self.tail;
        for (n, stmt) in block.stmts.iter().enumerate() {
            let last = n + 1 == block.stmts.len();
            match statement_macro(stmt, "can_enter_jit") {
                Some(mac) => self.found(mac, last && tail || self.continues(block.stmts.get(n + 1))),
                None => self.with_tail(last && tail, |edges| edges.visit_stmt(stmt)),
            }
        }
    }

    fn visit_expr(&mut self, expr: &'ast Expr) {
        match expr {
            Expr::Macro(mac) if syntax::macro_name(&mac.mac) == "can_enter_jit" => self.found(&mac.mac, self.tail),
            Expr::If(branch) => {
                self.with_tail(false, |edges| edges.visit_expr(&branch.cond));
                self.visit_block(&branch.then_branch);
                if let Some((_, other)) = &branch.else_branch {
                    self.visit_expr(other);
                }
            }
            Expr::Match(matching) => {
                self.with_tail(false, |edges| edges.visit_expr(&matching.expr));
                for arm in &matching.arms {
                    self.visit_expr(&arm.body);
                }
            }
            Expr::Block(block) => self.visit_block(&block.block),
            Expr::Paren(inner) => self.visit_expr(&inner.expr),
            Expr::Loop(_) | Expr::While(_) | Expr::ForLoop(_) => {
                self.nested_loop(|edges| visit::visit_expr(edges, expr))
            }
            _ => self.with_tail(false, |edges| visit::visit_expr(edges, expr)),
        }
    }

    fn visit_macro(&mut self, mac: &'ast Macro) {
        if syntax::macro_name(mac) == "jit_merge_point" {
            self.errors
                .at(mac, "a portal has one merge point, at the head of its loop");
        }
    }

    fn visit_expr_closure(&mut self, _: &'ast ExprClosure) {}

    fn visit_item(&mut self, _: &'ast Item) {}
}

/// Puts the back-edge behind `can_enter_jit!()` in the native function. The author's macros stay, so that his imports of
/// them are used; they expand to nothing.
struct Native {
    back_edge: Expr,
}

impl Native {
    fn behind(&self, mac: &Macro) -> Expr {
        let back_edge = &self.back_edge;
        parse_quote!({ #mac; #back_edge })
    }
}

impl VisitMut for Native {
    fn visit_stmt_mut(&mut self, stmt: &mut Stmt) {
        if let Some(mac) = statement_macro(stmt, "can_enter_jit") {
            *stmt = Stmt::Expr(self.behind(mac), None);
        } else {
            visit_mut::visit_stmt_mut(self, stmt);
        }
    }

    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        match expr {
            Expr::Macro(mac) if syntax::macro_name(&mac.mac) == "can_enter_jit" => *expr = self.behind(&mac.mac),
            _ => visit_mut::visit_expr_mut(self, expr),
        }
    }

    fn visit_item_mut(&mut self, _: &mut Item) {}
}

/// Makes every lifetime `'static`, so that a type can stand in a constant.
struct Static;

impl VisitMut for Static {
    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        *lifetime = Lifetime::new("'static", lifetime.span());
    }
}

fn type_level_params<'a>(generics: impl Iterator<Item = &'a Generics>) -> Vec<Ident> {
    let mut names = vec![Ident::from(Token![Self](Span::call_site()))];
    for generics in generics {
        names.extend(generics.type_params().map(|param| param.ident.clone()));
        names.extend(generics.const_params().map(|param| param.ident.clone()));
    }
    names
}

/// Whether a type depends on type or const parameters, or on what `Self` is.
fn mentions(ty: &Type, params: &[Ident]) -> bool {
    struct Mentions<'a>(&'a [Ident], bool);
    impl<'ast> Visit<'ast> for Mentions<'_> {
        fn visit_ident(&mut self, ident: &'ast Ident) {
            self.1 |= self.0.contains(ident);
        }
    }
    let mut mentions = Mentions(params, false);
    mentions.visit_type(ty);
    mentions.1
}
