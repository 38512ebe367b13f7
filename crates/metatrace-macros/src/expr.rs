//! Expressions: as values (`Var<T>`) and as places (`Place<T>`).
//!
//! ```text
//! a.x + v[i]      __mt::add(get(a.x), get({ let b = v; let i = get(i); b.__index(&i) }))
//! *p = q          { let v = get(q); assign(*p, &v) }
//! &mut a.x        Place::__addr_mut(&a.x)
//! ```
//!
//! Operations of the runtime are always paths: a method of a handle whose type is not yet known would stop rustc's
//! inference. Operators that only look (`==`) peek at places; all others move or copy.

use crate::body::{self, Body};
use crate::errors::OUTLINE;
use crate::names;
use crate::syntax;
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    BinOp, Block, Expr, ExprArray, ExprAssign, ExprBinary, ExprBlock, ExprLit, ExprPath, ExprRange, ExprReference,
    ExprRepeat, ExprTuple, ExprUnary, Lit, Local, LocalInit, Pat, RangeLimits, Stmt, Token, Type, UnOp, parse_quote,
};

/// What is known of where a value goes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Context<'a> {
    /// It initialises a variable: what it borrows lives as long as that, and not only as long as other temporaries.
    pub(crate) extended: bool,
    /// Its type, which the arms of a branch are coerced to one by one. A macro knows it of results and annotated `let`s.
    pub(crate) ty: Option<&'a Type>,
}

impl Context<'_> {
    /// An operand's: its type is not known.
    pub(crate) fn operand(self) -> Context<'static> {
        Context {
            extended: self.extended,
            ty: None,
        }
    }

    /// The operand's of `Some`, `Ok` or `Err`, whose type is in that of the whole.
    pub(crate) fn payload(self, constructor: &Ident) -> Self {
        let index = match &*constructor.to_string() {
            "Some" | "Ok" => 0,
            "Err" => 1,
            _ => usize::MAX,
        };
        let ty = self.ty.and_then(|ty| syntax::type_arguments(ty).nth(index));
        Context { ty, ..self }
    }
}

impl Body {
    /// An expression's value.
    pub(crate) fn value(&mut self, expr: &Expr) -> TokenStream {
        self.value_in(expr, Context::default())
    }

    /// An expression's value in a context.
    pub(crate) fn value_in(&mut self, expr: &Expr, context: Context<'_>) -> TokenStream {
        match expr {
            Expr::Paren(inner) => self.value_in(&inner.expr, context),
            Expr::Group(inner) => self.value_in(&inner.expr, context),
            Expr::Block(block) => match &block.label {
                Some(label) => self.labelled_block(block, label, context),
                None => {
                    self.check_extended_tail(&block.block, context);
                    self.block(&block.block, context)
                }
            },
            Expr::If(branch) => self.if_(branch, context),
            Expr::Match(matching) => self.match_(matching, context),
            Expr::Loop(forever) => self.loop_(forever, context),
            _ => {
                let value = match expr {
                    Expr::Call(call) => self.call(call, context),
                    _ => self.leaf(expr, context.operand()),
                };
                match context.ty {
                    Some(ty @ Type::Reference(_)) if !syntax::diverges(expr) => {
                        let uncoerced = self.local("x");
                        quote_spanned!(expr.span()=> { let #uncoerced = #value; __mt::typed::<#ty>(&#uncoerced) })
                    }
                    _ => value,
                }
            }
        }
    }

    /// The value of an expression that is not control flow with a value.
    fn leaf(&mut self, expr: &Expr, context: Context<'static>) -> TokenStream {
        let span = expr.span();
        if !matches!(expr, Expr::Lit(_)) && syntax::is_literal(expr) {
            return quote_spanned!(span=> __mt::lit(#expr));
        }
        match expr {
            Expr::Lit(lit) => literal(lit),
            Expr::Path(path) => self.path(path),
            Expr::Field(_) | Expr::Index(_) => self.read(expr),
            Expr::Unary(unary) => self.unary(unary),
            Expr::Binary(binary) => self.binary(binary),
            Expr::Assign(assign) => self.assign(assign),
            Expr::Cast(cast) => {
                self.check_type(&cast.ty);
                let (value, ty) = (self.value_in(&cast.expr, context), &cast.ty);
                quote_spanned!(span=> __mt::cast::<_, #ty>(#value))
            }
            Expr::Reference(reference) => self.reference(reference, context),
            Expr::Tuple(tuple) => self.tuple_of(tuple, context),
            Expr::Array(array) => self.array_of(array, context),
            Expr::Repeat(repeat) => self.repeat(repeat, context),
            Expr::While(repeat) => self.while_(repeat),
            Expr::ForLoop(each) => self.for_(each),
            Expr::Break(leave) => self.break_(leave),
            Expr::Continue(next) => self.continue_(next),
            Expr::Return(leave) => self.return_(leave),
            Expr::Try(attempt) => {
                let (value, output) = (self.value(&attempt.expr), self.output.clone());
                quote_spanned!(span=> __mt::try_::<#output, _>(#value))
            }
            Expr::Range(range) => self.range(range),
            Expr::MethodCall(call) => self.method_call(call),
            Expr::Struct(literal) => self.struct_literal(literal, context),
            Expr::Macro(mac) => self.author_macro(&mac.mac),
            _ => self.unstaged(expr),
        }
    }

    fn unstaged(&mut self, expr: &Expr) -> TokenStream {
        match expr {
            Expr::Closure(closure) => self.error(
                &closure.or1_token,
                format_args!("closures do not stage: write the loop or the branch out, or take the code that uses the closure and {OUTLINE}"),
            ),
            Expr::Unsafe(block) => self.error(
                &block.unsafe_token,
                format_args!("`unsafe` does not stage, since the JIT could not know what it does: {OUTLINE}"),
            ),
            Expr::Async(block) => self.error(&block.async_token, format_args!("`async` does not stage: {OUTLINE}")),
            Expr::Await(wait) => self.error(&wait.await_token, format_args!("`await` does not stage: {OUTLINE}")),
            Expr::Let(binding) => self.error(&binding.let_token, "`let` stages in the conditions of `if` and `while` only"),
            other => self.error(other, format_args!("this expression does not stage: {OUTLINE}")),
        }
    }

    /// A variable is read; anything else a path may be is a constant to the JIT.
    fn path(&mut self, path: &ExprPath) -> TokenStream {
        let expr = Expr::Path(path.clone());
        if let Some(name) = self.as_variable(&expr) {
            let (check, value) = (self.check_owned(name), self.read(&expr));
            return if check.is_empty() {
                value
            } else {
                quote!({ #check #value })
            };
        }
        if path.path.is_ident("None") {
            return quote_spanned!(path.span()=> __mt::none());
        }
        quote_spanned!(path.span()=> __mt::lit(#path))
    }

    fn read(&mut self, expr: &Expr) -> TokenStream {
        let place = self.place(expr);
        quote_spanned!(expr.span()=> __mt::get(#place))
    }

    /// An expression as a place; a value is a temporary.
    pub(crate) fn place(&mut self, expr: &Expr) -> TokenStream {
        self.place_in(expr, Context::default())
    }

    fn place_in(&mut self, expr: &Expr, context: Context<'static>) -> TokenStream {
        let span = expr.span();
        match expr {
            Expr::Paren(inner) => self.place_in(&inner.expr, context),
            Expr::Group(inner) => self.place_in(&inner.expr, context),
            Expr::Path(path) => match self.as_variable(expr) {
                Some(name) if name == "self" => {
                    let mut this = body::this();
                    this.set_span(this.span().located_at(span));
                    this.to_token_stream()
                }
                Some(name) => name.to_token_stream(),
                None => quote_spanned!(span=> __mt::static_place(&#path)),
            },
            Expr::Field(field) => {
                self.takes_apart(&field.base);
                let (base, member) = (self.place_in(&field.base, context), &field.member);
                quote_spanned!(member.span()=> (#base).#member)
            }
            Expr::Index(index) => {
                let (base, position) = (self.local("b"), self.local("i"));
                let (place, value) = (self.place_in(&index.expr, context), self.value(&index.index));
                quote_spanned!(span=> { let #base = #place; let #position = #value; #base.__index(&#position) })
            }
            Expr::Unary(ExprUnary {
                op: UnOp::Deref(_),
                expr,
                ..
            }) => {
                let place = self.place(expr);
                quote_spanned!(span=> (*(#place)))
            }
            value if context.extended => {
                let value = self.value_in(value, context);
                quote_spanned!(span=> __mt::bind(#value))
            }
            value => {
                let value = self.value(value);
                quote_spanned!(span=> __mt::tmp(#value))
            }
        }
    }

    fn unary(&mut self, unary: &ExprUnary) -> TokenStream {
        let function = match unary.op {
            UnOp::Deref(_) => return self.read(&Expr::Unary(unary.clone())),
            UnOp::Neg(_) => "neg",
            _ => "not",
        };
        let (function, value) = (Ident::new(function, unary.op.span()), self.value(&unary.expr));
        quote_spanned!(unary.span()=> __mt::#function(#value))
    }

    fn binary(&mut self, binary: &ExprBinary) -> TokenStream {
        let span = binary.op.span();
        let name = match binary.op {
            BinOp::And(_) | BinOp::Or(_) => return self.lazy(binary),
            op => operator(&op),
        };
        let function = Ident::new(name, span);
        let (left, right) = match binary.op {
            op if syntax::is_assignment(&op) => {
                let (right, place) = (self.value(&binary.right), self.place(&binary.left));
                return quote_spanned!(span=> __mt::#function(#right, #place));
            }
            BinOp::Eq(_) | BinOp::Ne(_) | BinOp::Lt(_) | BinOp::Le(_) | BinOp::Gt(_) | BinOp::Ge(_) => {
                (self.peek(&binary.left), self.peek(&binary.right))
            }
            _ => (self.value(&binary.left), self.value(&binary.right)),
        };
        quote_spanned!(span=> __mt::#function(#left, #right))
    }

    /// Whether an expression leaves no temporaries behind but its own value, so that it needs no scope for them. Of those
    /// that do not, only the ones that interpreters are full of are told apart.
    pub(crate) fn leaves_nothing(&self, expr: &Expr) -> bool {
        match syntax::bare(expr) {
            Expr::Lit(_) | Expr::Path(_) => true,
            Expr::Field(_) | Expr::Index(_) => self.names_a_part(expr),
            Expr::Unary(ExprUnary { expr: inner, op, .. }) => match op {
                UnOp::Deref(_) => self.names_a_part(expr),
                _ => self.leaves_nothing(inner),
            },
            Expr::Cast(cast) => self.leaves_nothing(&cast.expr),
            Expr::Assign(assign) => self.names_a_part(&assign.left) && self.leaves_nothing(&assign.right),
            Expr::Binary(binary) => match binary.op {
                BinOp::And(_) | BinOp::Or(_) => false,
                op if syntax::is_assignment(&op) => {
                    self.names_a_part(&binary.left) && self.leaves_nothing(&binary.right)
                }
                // What is compared is not consumed.
                BinOp::Eq(_) | BinOp::Ne(_) | BinOp::Lt(_) | BinOp::Le(_) | BinOp::Gt(_) | BinOp::Ge(_) => {
                    let looked_at = |operand| self.names_a_part(operand) || syntax::is_literal(operand);
                    looked_at(&binary.left) && looked_at(&binary.right)
                }
                _ => self.leaves_nothing(&binary.left) && self.leaves_nothing(&binary.right),
            },
            Expr::Call(call) => match syntax::bare(&call.func) {
                Expr::Path(path) => {
                    let constructor = path
                        .path
                        .segments
                        .last()
                        .is_some_and(|last| names::is_capitalised(&last.ident));
                    constructor && call.args.iter().all(|arg| self.leaves_nothing(arg))
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether an expression is a variable or a part of one.
    fn names_a_part(&self, expr: &Expr) -> bool {
        match syntax::bare(expr) {
            expr @ Expr::Path(_) => self.as_variable(expr).is_some(),
            Expr::Field(field) => self.names_a_part(&field.base),
            Expr::Index(index) => self.names_a_part(&index.expr) && self.leaves_nothing(&index.index),
            Expr::Unary(unary) => matches!(unary.op, UnOp::Deref(_)) && self.names_a_part(&unary.expr),
            _ => false,
        }
    }

    /// Whether a block as an arm leaves no temporaries behind: those of its statements go with them.
    pub(crate) fn arm_leaves_nothing(&self, arm: &Expr) -> bool {
        match arm {
            Expr::Block(ExprBlock { block, label: None, .. }) => match block.stmts.last() {
                Some(Stmt::Expr(tail, None)) => syntax::expr_cfgs(tail).is_empty() && self.arm_leaves_nothing(tail),
                Some(Stmt::Macro(tail)) => tail.semi_token.is_some(),
                _ => true,
            },
            arm => self.leaves_nothing(arm),
        }
    }

    /// An operand that is looked at and not moved.
    fn peek(&mut self, expr: &Expr) -> TokenStream {
        if syntax::is_place(expr) && (self.as_variable(expr).is_some() || !matches!(syntax::bare(expr), Expr::Path(_)))
        {
            let place = self.place(expr);
            quote_spanned!(expr.span()=> __mt::peek(#place))
        } else {
            self.value(expr)
        }
    }

    fn assign(&mut self, assign: &ExprAssign) -> TokenStream {
        let span = assign.eq_token.span;
        match syntax::bare(&assign.left) {
            Expr::Infer(_) if syntax::is_place(&assign.right) => {
                let place = self.place(&assign.right);
                quote_spanned!(span=> { let _ = #place; __mt::unit() })
            }
            Expr::Infer(_) => {
                let value = self.value(&assign.right);
                quote_spanned!(span=> { let _ = #value; __mt::unit() })
            }
            Expr::Tuple(_) | Expr::Array(_) | Expr::Struct(_) | Expr::Call(_) => self.destructure(assign),
            _ => {
                let check = self.as_variable(&assign.left).map(|name| self.check_owned(name));
                let (value, place, result) = (self.value(&assign.right), self.place(&assign.left), self.local("v"));
                quote_spanned!(span=> { #check let #result = #value; __mt::assign(#place, &#result) })
            }
        }
    }

    /// `(a, b.x) = e` is `{ let (t0, t1) = e; a = t0; b.x = t1; }`.
    fn destructure(&mut self, assign: &ExprAssign) -> TokenStream {
        let mut targets = Vec::new();
        let Some(pat) = self.assignee(&assign.left, &mut targets) else {
            return self.error(
                &assign.left,
                "this assignment does not stage: assign to one place at a time",
            );
        };
        let (eq, semi) = (assign.eq_token, Token![;](assign.eq_token.span));
        let mut stmts = vec![Stmt::Local(Local {
            attrs: Vec::new(),
            let_token: Token![let](eq.span),
            pat,
            init: Some(LocalInit {
                eq_token: eq,
                expr: assign.right.clone(),
                diverge: None,
            }),
            semi_token: semi,
        })];
        for (name, target) in targets {
            stmts.push(parse_quote!(#target #eq #name #semi));
        }
        self.block(
            &Block {
                brace_token: syn::token::Brace(eq.span),
                stmts,
            },
            Context::default(),
        )
    }

    fn assignee(&mut self, expr: &Expr, targets: &mut Vec<(Ident, Expr)>) -> Option<Pat> {
        let mut each = |exprs: &mut dyn Iterator<Item = &Expr>| -> Option<Vec<Pat>> {
            exprs.map(|expr| self.assignee(expr, targets)).collect()
        };
        Some(match syntax::bare(expr) {
            Expr::Infer(_) => parse_quote!(_),
            Expr::Range(range) if range.start.is_none() && range.end.is_none() => parse_quote!(..),
            Expr::Tuple(tuple) => {
                let elems = each(&mut tuple.elems.iter())?;
                parse_quote!((#(#elems,)*))
            }
            Expr::Call(call) => {
                let (elems, path) = (each(&mut call.args.iter())?, &call.func);
                let Expr::Path(_) = &**path else { return None };
                parse_quote!(#path(#(#elems),*))
            }
            Expr::Struct(literal) if literal.rest.is_none() => {
                let elems = each(&mut literal.fields.iter().map(|field| &field.expr))?;
                let (path, members) = (&literal.path, literal.fields.iter().map(|field| &field.member));
                let dots = &literal.dot2_token;
                parse_quote!(#path { #(#members: #elems,)* #dots })
            }
            place if syntax::is_place(place) => {
                let name = self.local("t");
                targets.push((name.clone(), place.clone()));
                parse_quote!(#name)
            }
            _ => return None,
        })
    }

    fn reference(&mut self, reference: &ExprReference, context: Context<'static>) -> TokenStream {
        let span = reference.span();
        let (inner, mutable) = (&reference.expr, reference.mutability.is_some());
        if !mutable && syntax::is_promoted(inner) {
            return quote_spanned!(span=> __mt::Place::__addr(&__mt::static_place(&#inner)));
        }
        let place = self.place_in(inner, context);
        let address = Ident::new(if mutable { "__addr_mut" } else { "__addr" }, span);
        quote_spanned!(span=> __mt::Place::#address(&(#place)))
    }

    /// `let x = { …; &temporary() }` extends the temporary's life beyond the block that makes it.
    fn check_extended_tail(&mut self, block: &Block, context: Context<'_>) {
        if context.extended
            && let Some(Stmt::Expr(Expr::Reference(reference), None)) = block.stmts.last()
            && !syntax::is_place(&reference.expr)
            && !syntax::is_promoted(&reference.expr)
        {
            self.error(
                reference,
                "this borrow of a temporary does not stage: bind the temporary with a `let` before",
            );
        }
    }

    fn tuple_of(&mut self, tuple: &ExprTuple, context: Context<'static>) -> TokenStream {
        let span = tuple.span();
        match tuple.elems.len() {
            0 => quote_spanned!(span=> __mt::unit()),
            n if n > crate::names::MAX_ARITY => self.error(tuple, "tuples this long do not stage: use a struct"),
            n => {
                let function = Ident::new(&format!("tuple{n}"), span);
                let values: Vec<TokenStream> = tuple.elems.iter().map(|elem| self.value_in(elem, context)).collect();
                quote_spanned!(span=> __mt::#function(#(#values),*))
            }
        }
    }

    fn array_of(&mut self, array: &ExprArray, context: Context<'static>) -> TokenStream {
        let values: Vec<TokenStream> = array.elems.iter().map(|elem| self.value_in(elem, context)).collect();
        quote_spanned!(array.span()=> __mt::array([#(#values),*]))
    }

    fn repeat(&mut self, repeat: &ExprRepeat, context: Context<'static>) -> TokenStream {
        let (value, count) = (self.value_in(&repeat.expr, context), &repeat.len);
        quote_spanned!(repeat.span()=> __mt::array_repeat::<_, { #count }>(#value))
    }

    fn range(&mut self, range: &ExprRange) -> TokenStream {
        let closed = matches!(range.limits, RangeLimits::Closed(_));
        let bounds: Vec<TokenStream> = [&range.start, &range.end]
            .into_iter()
            .flatten()
            .map(|bound| self.value(bound))
            .collect();
        let function = match (&range.start, &range.end, closed) {
            (Some(_), Some(_), false) => "range_val",
            (Some(_), Some(_), true) => "range_inclusive_val",
            (Some(_), None, _) => "range_from",
            (None, Some(_), false) => "range_to",
            (None, Some(_), true) => "range_to_inclusive",
            (None, None, _) => "range_full",
        };
        let function = Ident::new(function, Span::call_site());
        quote_spanned!(range.span()=> __mt::#function(#(#bounds),*))
    }
}

fn literal(lit: &ExprLit) -> TokenStream {
    match &lit.lit {
        Lit::Str(text) => quote_spanned!(text.span()=> __mt::lit_str(#text)),
        other => quote_spanned!(other.span()=> __mt::lit(#other)),
    }
}

fn operator(op: &BinOp) -> &'static str {
    use BinOp::*;
    match op {
        Add(_) => "add",
        Sub(_) => "sub",
        Mul(_) => "mul",
        Div(_) => "div",
        Rem(_) => "rem",
        BitXor(_) => "bitxor",
        BitAnd(_) => "bitand",
        BitOr(_) => "bitor",
        Shl(_) => "shl",
        Shr(_) => "shr",
        Eq(_) => "eq",
        Lt(_) => "lt",
        Le(_) => "le",
        Ne(_) => "ne",
        Ge(_) => "ge",
        Gt(_) => "gt",
        AddAssign(_) => "add_assign",
        SubAssign(_) => "sub_assign",
        MulAssign(_) => "mul_assign",
        DivAssign(_) => "div_assign",
        RemAssign(_) => "rem_assign",
        BitXorAssign(_) => "bitxor_assign",
        BitAndAssign(_) => "bitand_assign",
        BitOrAssign(_) => "bitor_assign",
        ShlAssign(_) => "shl_assign",
        ShrAssign(_) => "shr_assign",
        _ => "unsupported_operator",
    }
}
