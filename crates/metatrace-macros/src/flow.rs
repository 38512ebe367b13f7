//! Control flow: branches, matches, loops, and the ways out of them.
//!
//! ```text
//! if c { a } else { b }
//!
//! { let j = Join::new(); let f = block();
//!   { let ts = scope(true); let c = C; test_leaving(ts, c, f); }
//!   j.case('then: { Some(A) }, f);               // an edge to the join, if the arm arrives; goes on in `f`
//!   j.arm('else: { scope(true); Some(B) });
//!   match j.end() { Some(v) => v, None => break 'around None } }
//! ```
//!
//! A loop is a block `h` that its body goes back to (`again`) and `continue` goes to (`cont`); `break` is an edge to the
//! join behind it.

use crate::body::{Body, Target};
use crate::expr::Context;
use crate::syntax;
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    Arm, BinOp, Block, Expr, ExprBinary, ExprBlock, ExprBreak, ExprContinue, ExprForLoop, ExprIf, ExprLoop, ExprMatch,
    ExprRange, ExprReturn, ExprWhile, Label, RangeLimits, Type,
};

/// What a loop does before each iteration, other than its body.
struct Step {
    /// Evaluated at its head; goes to the failure block when the loop is over. Declares names that the body sees.
    condition: TokenStream,
    /// Where the condition goes.
    fail: Ident,
    /// Whether it binds variables, and so owns what must be dropped.
    binds: bool,
}

impl Body {
    pub(crate) fn if_(&mut self, branch: &ExprIf, context: Context<'_>) -> TokenStream {
        let (join, fail) = (self.local("j"), self.local("f"));
        let (then, owned) = self.names(|body| {
            let condition = body.condition(&branch.cond, &fail);
            let (exit, value) = body.arm(|body| body.block(&branch.then_branch, context));
            if !has_let(&branch.cond) {
                let arm = quote!(#join.case(#exit: { __mt::Some(#value) }, #fail););
                return (quote!(#condition #arm), None);
            }
            let arm = quote!(#join.arm(#exit: { __mt::Some(#value) }););
            // What the condition owns lives until the arm has ended; and is dropped where a pattern has failed, too.
            let owned = body.local("cs");
            let then = quote! {
                let #owned;
                {
                    __mt::scope24();
                    __mt::scope(false);
                    #condition
                    #owned = __mt::snap(#join.depth());
                    #arm
                }
            };
            (then, Some(owned))
        });
        let drops = owned.map(|owned| quote!(__mt::switch(#fail); __mt::drop_list(&#owned);));
        let otherwise = match &branch.else_branch {
            None => quote!(#join.arm(__mt::Some(__mt::unit()));),
            Some((_, other)) => {
                let (exit, value) = self.arm(|body| body.value_in(other, context));
                let temps = self.temporaries_of_arm(other);
                quote!(#join.arm(#exit: { #temps __mt::Some(#value) });)
            }
        };
        let end = self.end_of(&join);
        quote_spanned! {branch.if_token.span=> {
            let #join = __mt::Join::new();
            let #fail = __mt::block();
            #then
            #drops
            #otherwise
            #end
        }}
    }

    /// The scope of an arm's temporaries, if it has any.
    fn temporaries_of_arm(&self, arm: &Expr) -> Option<TokenStream> {
        (!self.arm_leaves_nothing(arm)).then(|| quote!(__mt::scope(true);))
    }

    pub(crate) fn match_(&mut self, matching: &ExprMatch, context: Context<'_>) -> TokenStream {
        let (join, scrutinee) = (self.local("j"), self.local("m"));
        if matching.arms.iter().any(|arm| syntax::has_constructor(&arm.pat)) {
            self.takes_apart(&matching.expr);
        }
        let place = self.place(&matching.expr);
        let arms: Vec<TokenStream> = matching
            .arms
            .iter()
            .map(|arm| self.match_arm(arm, &scrutinee, &join, context))
            .collect();
        let end = self.end_of(&join);
        quote_spanned! {matching.match_token.span=> {
            let #scrutinee = __mt::scrut(#place);
            let #join = __mt::Join::new();
            #(#arms)*
            #end
        }}
    }

    fn match_arm(&mut self, arm: &Arm, scrutinee: &Ident, join: &Ident, context: Context<'_>) -> TokenStream {
        let fail = self.local("f");
        self.names(|body| {
            let matcher = body.pattern(&arm.pat, &scrutinee.to_token_stream(), &fail);
            let (guard, bound) = match &arm.guard {
                Some((_, guard)) => body.guard(guard, &matcher.peeks, &fail),
                None => Default::default(),
            };
            let (exit, value) = body.arm(|body| body.value_in(&arm.body, context));
            let temps = body.temporaries_of_arm(&arm.body);
            let (cfgs, tests, binds) = (syntax::cfgs(&arm.attrs), matcher.tests, matcher.binds);
            let names = (!binds.is_empty() || arm.guard.is_some()).then(|| quote!(__mt::scope(false);));
            quote! {
                #(#cfgs)*
                {
                    let #fail = __mt::block();
                    #names
                    #(#tests)*
                    #guard
                    #(#binds)*
                    #bound
                    #join.case(#exit: { #temps __mt::Some(#value) }, #fail);
                }
            }
        })
    }

    /// A guard sees copies of what the pattern binds, which moves only when the guard has held. What the guard itself binds
    /// (the second result) hides names of the pattern.
    fn guard(&mut self, guard: &Expr, peeks: &[TokenStream], fail: &Ident) -> (TokenStream, TokenStream) {
        let tests = self.condition(guard, fail);
        let mut names = Vec::new();
        let_names(guard, &mut names);
        let kept: Vec<Ident> = names.iter().map(|_| self.local("g")).collect();
        let guard = quote!(#(#peeks)* #tests #(let #kept = #names;)*);
        (guard, quote!(#(let #names = #kept;)*))
    }

    /// Tests of a condition, with its let chains: falls through where it holds, goes to `fail` where not. Declares the names.
    pub(crate) fn condition(&mut self, condition: &Expr, fail: &Ident) -> TokenStream {
        match condition {
            Expr::Let(binding) => {
                if syntax::has_constructor(&binding.pat) {
                    self.takes_apart(&binding.expr);
                }
                let scrutinee = self.local("s");
                let place = self.place(&binding.expr);
                let matcher = self.pattern(&binding.pat, &scrutinee.to_token_stream(), fail);
                let (tests, binds) = (matcher.tests, matcher.binds);
                quote!(let #scrutinee = __mt::scrut(#place); #(#tests)* #(#binds)*)
            }
            Expr::Binary(ExprBinary {
                left,
                op: BinOp::And(_),
                right,
                ..
            }) => {
                let mut tests = self.condition(left, fail);
                if has_let(left) && has_let(right) {
                    // In a chain, bindings and temporaries are dropped in the opposite of one common order.
                    tests.extend(quote!(__mt::scope(true); __mt::scope(false);));
                }
                tests.extend(self.condition(right, fail));
                tests
            }
            Expr::Group(group) => self.condition(&group.expr, fail),
            condition if self.leaves_nothing(condition) => {
                let value = self.value(condition);
                quote_spanned!(condition.span()=> __mt::test(#value, #fail);)
            }
            condition => {
                let (temps, holds) = (self.local("ts"), self.local("c"));
                let value = self.value(condition);
                quote_spanned! {condition.span()=> {
                    let #temps = __mt::scope(true);
                    let #holds = #value;
                    __mt::test_leaving(#temps, #holds, #fail);
                }}
            }
        }
    }

    /// `a && b`, `a || b`
    pub(crate) fn lazy(&mut self, binary: &ExprBinary) -> TokenStream {
        let (join, fail) = (self.local("j"), self.local("f"));
        let left = self.value(&binary.left);
        let (exit, right) = self.arm(|body| body.value(&binary.right));
        let right = quote!(#join.arm(#exit: { __mt::scope(true); __mt::Some(#right) }););
        let decided = |value: bool| quote!(#join.arm(__mt::Some(__mt::lit(#value))););
        let (holds, fails) = match binary.op {
            BinOp::Or(_) => (decided(true), right),
            _ => (right, decided(false)),
        };
        quote_spanned! {binary.op.span()=> {
            let #join = __mt::Join::new();
            let #fail = __mt::block();
            __mt::test(#left, #fail);
            #holds
            __mt::switch(#fail);
            #fails
            #join.end().unwrap()
        }}
    }

    pub(crate) fn labelled_block(&mut self, block: &ExprBlock, label: &Label, context: Context<'_>) -> TokenStream {
        let join = self.local("j");
        let target = Target {
            label: Some(label.name.ident.clone()),
            join: join.clone(),
            head: None,
            ty: context.ty.cloned(),
        };
        let (exit, value) = self.target(target, |body| body.arm(|body| body.block(&block.block, context)));
        let end = self.end_of(&join);
        let arrives = self.local("v");
        quote! {{
            let #join = __mt::Join::new();
            let #arrives = #exit: { __mt::Some(#value) };
            #join.arm(#arrives);
            #end
        }}
    }

    pub(crate) fn loop_(&mut self, forever: &ExprLoop, context: Context<'_>) -> TokenStream {
        let (join, head) = (self.local("j"), self.local("h"));
        let merge_point = self.merge_point();
        let body = self.loop_body((forever.label.as_ref(), context.ty), &forever.body, &join, &head);
        let end = self.end_of(&join);
        quote_spanned! {forever.loop_token.span=> {
            let #join = __mt::Join::new();
            let #head = __mt::block();
            __mt::goto(#head);
            __mt::switch(#head);
            #merge_point
            #body
            #end
        }}
    }

    pub(crate) fn while_(&mut self, repeat: &ExprWhile) -> TokenStream {
        let merge_point = self.merge_point();
        self.stepped(
            repeat.label.as_ref(),
            &repeat.body,
            merge_point,
            repeat.while_token.span,
            |body| {
                let fail = body.local("f");
                let condition = body.condition(&repeat.cond, &fail);
                let binds = has_let(&repeat.cond);
                Step { condition, fail, binds }
            },
        )
    }

    pub(crate) fn for_(&mut self, each: &ExprForLoop) -> TokenStream {
        let iterator = self.local("it");
        let source = match syntax::bare(&each.expr) {
            Expr::Range(ExprRange {
                start: Some(start),
                end: Some(end),
                limits,
                ..
            }) => {
                let range = match limits {
                    RangeLimits::HalfOpen(_) => "range",
                    RangeLimits::Closed(_) => "range_inclusive",
                };
                let range = Ident::new(range, limits.span());
                let (start, end) = (self.value(start), self.value(end));
                quote_spanned!(each.expr.span()=> __mt::#range(#start, #end))
            }
            other => self.value(other),
        };
        let repeat = self.stepped(
            each.label.as_ref(),
            &each.body,
            TokenStream::new(),
            each.for_token.span,
            |body| {
                let (fail, item, scrutinee) = (body.local("f"), body.local("x"), body.local("s"));
                let matcher = body.pattern(&each.pat, &scrutinee.to_token_stream(), &fail);
                let (tests, binds) = (matcher.tests, matcher.binds);
                let condition = quote! {
                    let #item = __mt::JitIter::next(&#iterator, #fail);
                    let #scrutinee = __mt::scrut(__mt::tmp(#item));
                    #(#tests)*
                    #(#binds)*
                };
                let binds = true;
                Step { condition, fail, binds }
            },
        );
        // Temporaries go with the loop, even where it is a block's tail.
        let (temps, result) = (self.local("ts"), self.local("v"));
        quote_spanned! {each.for_token.span=> {
            let #temps = __mt::scope(true);
            let #iterator = __mt::IntoJitIter::jit_iter(#source);
            let #result = #repeat;
            __mt::leave(#temps, #result)
        }}
    }

    /// A loop that ends when something at its head fails.
    fn stepped(
        &mut self,
        label: Option<&Label>,
        block: &Block,
        at_head: TokenStream,
        span: Span,
        step: impl FnOnce(&mut Body) -> Step,
    ) -> TokenStream {
        let (join, head, owned) = (self.local("j"), self.local("h"), self.local("cs"));
        let (Step { condition, fail, binds }, repeated) = self.names(|body| {
            let step = step(body);
            let repeated = body.loop_body((label, None), block, &join, &head);
            (step, repeated)
        });
        let (iterate, drops) = if binds {
            let iterate = quote! {
                let #owned;
                {
                    __mt::scope(true);
                    __mt::scope(false);
                    #condition
                    #owned = __mt::snap(#join.depth());
                    #repeated
                }
            };
            (iterate, Some(quote!(__mt::drop_list(&#owned);)))
        } else {
            (quote!(#condition #repeated), None)
        };
        quote_spanned! {span=> {
            let #join = __mt::Join::new();
            let #head = __mt::block();
            __mt::goto(#head);
            __mt::switch(#head);
            #at_head
            let #fail = __mt::block();
            #iterate
            __mt::switch(#fail);
            #drops
            #join.arm(__mt::Some(__mt::unit()));
            #join.end().unwrap()
        }}
    }

    fn loop_body(
        &mut self,
        (label, ty): (Option<&Label>, Option<&Type>),
        block: &Block,
        join: &Ident,
        head: &Ident,
    ) -> TokenStream {
        let target = Target {
            label: label.map(|label| label.name.ident.clone()),
            join: join.clone(),
            head: Some(head.clone()),
            ty: ty.cloned(),
        };
        let (exit, value) = self.target(target, |body| body.arm(|body| body.block(block, Context::default())));
        quote!(__mt::again(#exit: { __mt::Some(#value) }, #head, #join.depth());)
    }

    pub(crate) fn break_(&mut self, leave: &ExprBreak) -> TokenStream {
        let Some(target) = self.find_target(leave.label.as_ref()) else {
            return rustc_says();
        };
        let (join, ty) = (target.join.clone(), target.ty.clone());
        let value = match &leave.expr {
            Some(value) => self.value_in(
                value,
                Context {
                    extended: false,
                    ty: ty.as_ref(),
                },
            ),
            None => quote!(__mt::unit()),
        };
        let (stop, result) = (self.stop(), self.local("v"));
        quote_spanned!(leave.break_token.span=> { let #result = #value; #join.brk(#result); #stop })
    }

    pub(crate) fn continue_(&mut self, next: &ExprContinue) -> TokenStream {
        let target = self.find_target(next.label.as_ref());
        let Some((join, Some(head))) = target.map(|target| (target.join.clone(), target.head.clone())) else {
            return rustc_says();
        };
        let stop = self.stop();
        quote_spanned!(next.continue_token.span=> { __mt::cont(#head, #join.depth()); #stop })
    }

    pub(crate) fn return_(&mut self, leave: &ExprReturn) -> TokenStream {
        let output = self.output.clone();
        let value = match &leave.expr {
            Some(value) => self.value_in(
                value,
                Context {
                    extended: false,
                    ty: Some(&output),
                },
            ),
            None => quote!(__mt::unit()),
        };
        let (stop, result) = (self.stop(), self.local("v"));
        quote_spanned!(leave.return_token.span=> { let #result = #value; __mt::ret::<#output>(&#result); #stop })
    }
}

/// What stands for a mistake that is one in the function itself, where rustc reports it.
fn rustc_says() -> TokenStream {
    crate::errors::hole()
}

fn has_let(condition: &Expr) -> bool {
    match condition {
        Expr::Let(_) => true,
        Expr::Binary(ExprBinary {
            left,
            op: BinOp::And(_),
            right,
            ..
        }) => has_let(left) || has_let(right),
        Expr::Group(group) => has_let(&group.expr),
        _ => false,
    }
}

/// The names that the `let`s of a condition bind.
fn let_names(condition: &Expr, names: &mut Vec<Ident>) {
    match condition {
        Expr::Let(binding) => names.extend(syntax::bound_names(&binding.pat)),
        Expr::Binary(ExprBinary {
            left,
            op: BinOp::And(_),
            right,
            ..
        }) => {
            let_names(left, names);
            let_names(right, names);
        }
        Expr::Group(group) => let_names(&group.expr, names),
        _ => {}
    }
}
