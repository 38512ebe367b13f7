//! Blocks and statements.
//!
//! ```text
//! { let x = f(); g(x); x.0 }
//!
//! { let sc = scope(false);
//!   let ts = scope(true); let x = bind_leaving(ts, f…);
//!   let ts = scope(true); let _ = g…; pop(ts);
//!   scope24(); let t = get(x.0); leave(sc, t) }
//! ```
//!
//! Every statement of the author's becomes a list of statements, each of which carries his `#[cfg]`s.

use crate::body::{self, Body};
use crate::errors::OUTLINE;
use crate::expr::Context;
use crate::syntax;
use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Block, Expr, ExprMacro, Item, Local, LocalInit, Meta, Pat, Stmt, Type};

/// A statement that could be the block's tail, had those behind it been configured away.
struct Tail<'a> {
    expr: Expr,
    cfgs: Vec<&'a Attribute>,
}

impl Body {
    /// A block as a value.
    pub(crate) fn block(&mut self, block: &Block, context: Context<'_>) -> TokenStream {
        self.names(|body| {
            let tails = tails(block);
            let statements = &block.stmts[..block.stmts.len() - tails.len()];
            if statements.is_empty()
                && let [tail] = &*tails
                && tail.cfgs.is_empty()
            {
                let value = body.tail_value(&tail.expr, context);
                return quote!({ #value });
            }
            let scope = body.local("sc");
            let mut out = quote!(let #scope = __mt::scope(false););
            for stmt in statements {
                out.extend(body.statement(stmt));
            }
            out.extend(body.end_block(block, &scope, &tails, context));
            quote!({ #out })
        })
    }

    fn end_block(&mut self, block: &Block, scope: &Ident, tails: &[Tail<'_>], context: Context<'_>) -> TokenStream {
        match tails {
            [] if syntax::block_diverges(block) => self.stop(),
            [] => quote!(__mt::done(#scope)),
            [tail] if tail.cfgs.is_empty() && self.leaves_nothing(&tail.expr) => {
                let (value, result) = (self.value_in(&tail.expr, context), self.local("t"));
                quote!(let #result = #value; __mt::leave(#scope, #result))
            }
            [tail] if tail.cfgs.is_empty() => {
                // The temporaries' scope is left with the block's, before the locals go.
                let (value, result) = (self.value_in(&tail.expr, context), self.local("t"));
                quote!(__mt::scope24(); let #result = #value; __mt::leave(#scope, #result))
            }
            _ => self.configured_tails(scope, tails, context),
        }
    }

    /// The tail's value. Since edition 2024 its temporaries go before the block's locals do.
    fn tail_value(&mut self, expr: &Expr, context: Context<'_>) -> TokenStream {
        if self.leaves_nothing(expr) {
            return self.value_in(expr, context);
        }
        let (temps, result) = (self.local("ts"), self.local("t"));
        let value = self.value_in(expr, context);
        quote!(let #temps = __mt::scope24(); let #result = #value; __mt::leave(#temps, #result))
    }

    /// Of several candidates, the last one that is configured in is the tail; those before it are statements.
    fn configured_tails(&mut self, scope: &Ident, tails: &[Tail<'_>], context: Context<'_>) -> TokenStream {
        let result = self.local("t");
        let conditions: Vec<TokenStream> = tails.iter().map(|tail| predicate(&tail.cfgs)).collect();
        let mut out = TokenStream::new();
        for (n, tail) in tails.iter().enumerate() {
            let (own, later) = (&conditions[n], &conditions[n + 1..]);
            if !later.is_empty() {
                for statement in self.expression_statement(&tail.expr, false) {
                    out.extend(quote!(#[cfg(all(#own, any(#(#later),*)))] #statement));
                }
            }
            let value = self.tail_value(&tail.expr, context);
            out.extend(quote!(#[cfg(all(#own, not(any(#(#later),*))))] let #result = { #value };));
        }
        out.extend(quote!(#[cfg(not(any(#(#conditions),*)))] let #result = __mt::unit(); __mt::leave(#scope, #result)));
        out
    }

    fn statement(&mut self, stmt: &Stmt) -> TokenStream {
        let (statements, cfgs) = match stmt {
            Stmt::Local(local) => (self.let_statement(local), syntax::cfgs(&local.attrs)),
            Stmt::Expr(expr, semi) => (self.expression_statement(expr, semi.is_some()), syntax::expr_cfgs(expr)),
            Stmt::Macro(stmt) => {
                let value = self.author_macro(&stmt.mac);
                (self.discard(value, false), syntax::cfgs(&stmt.attrs))
            }
            Stmt::Item(item) => (vec![self.item(item)], Vec::new()),
        };
        let configured = statements.iter().map(|statement| quote!(#(#cfgs)* #statement));
        quote!(#(#configured)*)
    }

    /// Items stay where they are, except those that would exist twice.
    fn item(&mut self, item: &Item) -> TokenStream {
        match item {
            Item::Use(_) | Item::Const(_) | Item::Type(_) | Item::Fn(_) | Item::Macro(_) => item.to_token_stream(),
            _ => self.error(
                item,
                "this item would exist twice, in the function and in its twin: move it out of the function",
            ),
        }
    }

    fn expression_statement(&mut self, expr: &Expr, semi: bool) -> Vec<TokenStream> {
        let value = self.value(expr);
        let assigns = match syntax::bare(expr) {
            Expr::Assign(_) => true,
            Expr::Binary(binary) => syntax::is_assignment(&binary.op),
            _ => false,
        };
        if assigns && self.leaves_nothing(expr) {
            return vec![quote!(let _ = #value;)];
        }
        self.discard(value, !semi)
    }

    /// Evaluates and drops; a statement without `;` has the value `()`.
    fn discard(&mut self, value: TokenStream, unit: bool) -> Vec<TokenStream> {
        let temps = self.local("ts");
        let ty = unit.then(|| quote!(: __mt::Var<()>));
        vec![
            quote!(let #temps = __mt::scope(true);),
            quote!(let _ #ty = #value;),
            quote!(__mt::pop(#temps);),
        ]
    }

    fn let_statement(&mut self, local: &Local) -> Vec<TokenStream> {
        let (pat, ty) = match &local.pat {
            Pat::Type(typed) => (&*typed.pat, Some(&*typed.ty)),
            pat => (pat, None),
        };
        let mut out = Vec::new();
        if let Some(ty) = ty {
            self.check_type(ty);
            let probes = body::probes([ty]);
            out.push(quote!({ #probes }));
        }
        match &local.init {
            None => out.extend(self.let_later(pat, ty)),
            Some(init) => out.extend(self.let_now(pat, ty, init)),
        }
        out
    }

    /// `let x;`
    fn let_later(&mut self, pat: &Pat, ty: Option<&Type>) -> Vec<TokenStream> {
        let Pat::Ident(pat) = pat else {
            return vec![self.error(pat, "a `let` without a value declares one name: write one for each")];
        };
        let name = &pat.ident;
        self.declare(name);
        let ty = ty.map_or(quote!(_), |ty| quote!(#ty));
        vec![quote_spanned!(name.span()=> let #name = __mt::Place::<#ty>::__fresh();)]
    }

    fn let_now(&mut self, pat: &Pat, ty: Option<&Type>, init: &LocalInit) -> Vec<TokenStream> {
        let by_name = match pat {
            Pat::Ident(name) if name.by_ref.is_none() && syntax::is_binding(name) && name.subpat.is_none() => {
                Some(&name.ident)
            }
            _ => None,
        };
        if let (Some(name), None) = (by_name, &init.diverge)
            && self.leaves_nothing(&init.expr)
        {
            let value = self.typed(&init.expr, ty);
            self.declare(name);
            return vec![quote_spanned!(name.span()=> let #name = __mt::bind(#value);)];
        }
        let temps = self.local("ts");
        let mut out = vec![quote!(let #temps = __mt::scope(true);)];
        if by_name.is_none() && ty.is_none() && syntax::is_place(&init.expr) {
            let place = self.place(&init.expr);
            self.let_pattern(&mut out, pat, place, init, &temps);
            return out;
        }
        let value = self.typed(&init.expr, ty);
        match (by_name, &init.diverge) {
            (Some(name), None) => {
                out.push(quote_spanned!(name.span()=> let #name = __mt::bind_leaving(#temps, #value);));
                self.declare(name);
            }
            _ => self.let_pattern(&mut out, pat, quote!(__mt::tmp(#value)), init, &temps),
        }
        out
    }

    /// An initialiser, coerced to the type that the `let` gives it.
    fn typed(&mut self, init: &Expr, ty: Option<&Type>) -> TokenStream {
        let value = self.value_in(init, Context { extended: true, ty });
        match ty {
            None => value,
            Some(ty) => {
                let uncoerced = self.local("x");
                quote_spanned!(init.span()=> { let #uncoerced = #value; __mt::typed::<#ty>(&#uncoerced) })
            }
        }
    }

    fn let_pattern(
        &mut self,
        out: &mut Vec<TokenStream>,
        pat: &Pat,
        place: TokenStream,
        init: &LocalInit,
        temps: &Ident,
    ) {
        let (scrutinee, fail) = (self.local("s"), self.local("f"));
        out.push(quote!(let #scrutinee = __mt::scrut(#place);));
        out.push(quote!(let #fail = __mt::block();));
        let otherwise = init.diverge.as_ref().map(|(_, expr)| self.let_else(expr, &fail, temps));
        let matcher = self.pattern(pat, &scrutinee.to_token_stream(), &fail);
        let (snapshot, otherwise) = otherwise.unzip();
        out.extend(matcher.tests);
        out.extend(snapshot);
        out.extend(matcher.binds);
        out.push(quote!(__mt::pop(#temps);));
        out.extend(otherwise.into_iter().flatten());
    }

    /// The snapshot of what to drop where the pattern fails, and the `else` block.
    fn let_else(&mut self, expr: &Expr, fail: &Ident, temps: &Ident) -> (TokenStream, Vec<TokenStream>) {
        let (owned, matched, depth) = (self.local("cs"), self.local("m"), self.local("d"));
        let (exit, value) = self.arm(|body| body.value(expr));
        let otherwise = vec![
            quote!(let #matched = __mt::block();),
            quote!(__mt::goto(#matched);),
            quote!(__mt::switch(#fail);),
            quote!(__mt::drop_list(&#owned);),
            quote!(let #depth = __mt::depth();),
            quote!(let _: __mt::Option<__mt::Var<()>> = #exit: { __mt::Some(#value) };),
            quote!(__mt::trunc(#depth);),
            quote!(__mt::switch(#matched);),
        ];
        (quote!(let #owned = __mt::snap(#temps);), otherwise)
    }

    /// Types that no value of which can be staged.
    pub(crate) fn check_type(&mut self, ty: &Type) {
        if let Some(object) = crate::items::trait_object(ty) {
            self.error(
                &object,
                format_args!("trait objects do not stage: make the function generic, or {OUTLINE}"),
            );
        }
    }
}

/// The candidates for a block's tail: the last statement, if it is an expression without `;`, and as long as such a one
/// may be configured away, the one before it.
fn tails(block: &Block) -> Vec<Tail<'_>> {
    let mut tails = Vec::new();
    for stmt in block.stmts.iter().rev() {
        let tail = match stmt {
            Stmt::Expr(expr, None) => Tail {
                expr: expr.clone(),
                cfgs: syntax::expr_cfgs(expr),
            },
            Stmt::Macro(stmt) if stmt.semi_token.is_none() => Tail {
                expr: Expr::Macro(ExprMacro {
                    attrs: Vec::new(),
                    mac: stmt.mac.clone(),
                }),
                cfgs: syntax::cfgs(&stmt.attrs),
            },
            _ => break,
        };
        let certain = tail.cfgs.is_empty();
        tails.push(tail);
        if certain {
            break;
        }
    }
    tails.reverse();
    tails
}

/// The condition of some `#[cfg]`s.
fn predicate(cfgs: &[&Attribute]) -> TokenStream {
    let conditions = cfgs.iter().map(|cfg| match &cfg.meta {
        Meta::List(list) => list.tokens.clone(),
        _ => TokenStream::new(),
    });
    quote!(all(#(#conditions),*))
}
