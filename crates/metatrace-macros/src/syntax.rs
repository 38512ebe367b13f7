//! Questions about syntax: what is a place, what is a constant, what diverges. A macro sees no types, so each answer is
//! exact about syntax alone; where types decide, rustc does, in the twin.

use crate::names;
use proc_macro2::{Ident, Span};
use syn::visit::{self, Visit};
use syn::{
    Attribute, BinOp, Block, Expr, ExprBinary, ExprBreak, ExprClosure, ExprForLoop, ExprLoop, ExprPath, ExprWhile,
    GenericArgument, Item, Lifetime, Lit, Macro, Member, Pat, PatIdent, PathArguments, Stmt, Type, TypeInfer, UnOp,
};

/// Strips parentheses and invisible groups.
pub(crate) fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Paren(paren) => bare(&paren.expr),
        Expr::Group(group) => bare(&group.expr),
        other => other,
    }
}

/// Whether an expression names a place rather than making a value.
pub(crate) fn is_place(expr: &Expr) -> bool {
    match bare(expr) {
        Expr::Path(_) | Expr::Field(_) | Expr::Index(_) => true,
        Expr::Unary(unary) => matches!(unary.op, UnOp::Deref(_)),
        _ => false,
    }
}

/// Whether an expression consists of scalar literals and operators. Such a one is emitted as it is, in a `lit(..)`: taken
/// apart, its literals would be inferred one by one (`0xFFFF_FFFF as u32`).
pub(crate) fn is_literal(expr: &Expr) -> bool {
    match bare(expr) {
        Expr::Lit(lit) => !matches!(lit.lit, Lit::Str(_) | Lit::ByteStr(_) | Lit::CStr(_)),
        Expr::Cast(cast) => is_literal(&cast.expr),
        Expr::Unary(unary) => !matches!(unary.op, UnOp::Deref(_)) && is_literal(&unary.expr),
        Expr::Binary(binary) => !is_assignment(&binary.op) && is_literal(&binary.left) && is_literal(&binary.right),
        Expr::Const(_) => true,
        _ => false,
    }
}

/// Whether rustc makes a static of `&expr`: literals, constants, and constructors of such.
pub(crate) fn is_promoted(expr: &Expr) -> bool {
    match bare(expr) {
        Expr::Lit(_) => true,
        Expr::Path(path) => is_capitalised(path),
        Expr::Array(array) => array.elems.iter().all(is_promoted),
        Expr::Tuple(tuple) => tuple.elems.iter().all(is_promoted),
        Expr::Repeat(repeat) => is_promoted(&repeat.expr),
        Expr::Struct(literal) => literal.rest.is_none() && literal.fields.iter().all(|field| is_promoted(&field.expr)),
        Expr::Call(call) => match &*call.func {
            Expr::Path(path) => is_capitalised(path) && call.args.iter().all(is_promoted),
            _ => false,
        },
        Expr::Reference(reference) => reference.mutability.is_none() && is_promoted(&reference.expr),
        other => is_literal(other),
    }
}

fn is_capitalised(path: &ExprPath) -> bool {
    path.path
        .segments
        .last()
        .is_some_and(|segment| names::is_capitalised(&segment.ident))
}

/// Whether an operator assigns.
pub(crate) fn is_assignment(op: &BinOp) -> bool {
    use BinOp::*;
    matches!(
        op,
        AddAssign(_)
            | SubAssign(_)
            | MulAssign(_)
            | DivAssign(_)
            | RemAssign(_)
            | BitXorAssign(_)
            | BitAndAssign(_)
            | BitOrAssign(_)
            | ShlAssign(_)
            | ShrAssign(_)
    )
}

/// The identifier of a path of one segment without arguments.
pub(crate) fn single_ident(expr: &Expr) -> Option<&Ident> {
    match bare(expr) {
        Expr::Path(path) if path.qself.is_none() => path.path.get_ident(),
        _ => None,
    }
}

/// The macro's last name.
pub(crate) fn macro_name(mac: &Macro) -> String {
    mac.path
        .segments
        .last()
        .map(|segment| names::plain(&segment.ident))
        .unwrap_or_default()
}

/// Whether a macro never returns.
pub(crate) fn panics(mac: &Macro) -> bool {
    matches!(&*macro_name(mac), "panic" | "unreachable" | "todo" | "unimplemented")
}

/// Whether a call ends the process.
pub(crate) fn is_exit(expr: &Expr) -> bool {
    let Expr::Path(path) = bare(expr) else { return false };
    let segments: Vec<String> = path.path.segments.iter().map(|s| names::plain(&s.ident)).collect();
    match &*segments {
        [.., module, name] => module == "process" && (name == "exit" || name == "abort"),
        _ => false,
    }
}

/// Whether evaluating an expression certainly diverges: a block in which a statement does has type `!`, and its twin must
/// have it as well.
pub(crate) fn diverges(expr: &Expr) -> bool {
    match bare(expr) {
        Expr::Return(_) | Expr::Break(_) | Expr::Continue(_) => true,
        Expr::Macro(mac) => panics(&mac.mac),
        Expr::Block(block) => block.label.is_none() && block_diverges(&block.block),
        Expr::If(branch) => {
            condition_diverges(&branch.cond)
                || branch.else_branch.as_ref().is_some_and(|(_, other)| diverges(other))
                    && block_diverges(&branch.then_branch)
        }
        Expr::Match(matching) => {
            diverges(&matching.expr)
                || matching
                    .arms
                    .iter()
                    .all(|arm| cfgs(&arm.attrs).is_empty() && diverges(&arm.body))
        }
        Expr::Loop(forever) => !has_break(&forever.body, forever.label.as_ref().map(|label| &label.name)),
        Expr::While(repeat) => condition_diverges(&repeat.cond),
        Expr::Binary(ExprBinary { left, op, right, .. }) => {
            diverges(left) || !matches!(op, BinOp::And(_) | BinOp::Or(_)) && diverges(right)
        }
        Expr::Unary(unary) => diverges(&unary.expr),
        Expr::Call(call) => is_exit(&call.func) || call.args.iter().any(diverges),
        Expr::MethodCall(call) => diverges(&call.receiver) || call.args.iter().any(diverges),
        Expr::Assign(assign) => diverges(&assign.right) || diverges(&assign.left),
        Expr::Try(attempt) => diverges(&attempt.expr),
        Expr::Cast(cast) => diverges(&cast.expr),
        Expr::Field(field) => diverges(&field.base),
        Expr::Reference(reference) => diverges(&reference.expr),
        Expr::Tuple(tuple) => tuple.elems.iter().any(diverges),
        Expr::Array(array) => array.elems.iter().any(diverges),
        Expr::Index(index) => diverges(&index.expr) || diverges(&index.index),
        Expr::Struct(literal) => literal.fields.iter().any(|field| diverges(&field.expr)),
        _ => false,
    }
}

fn condition_diverges(condition: &Expr) -> bool {
    match bare(condition) {
        Expr::Let(binding) => diverges(&binding.expr),
        Expr::Binary(ExprBinary {
            left,
            op: BinOp::And(_),
            ..
        }) => condition_diverges(left),
        other => diverges(other),
    }
}

/// Whether some statement of a block, or its tail, diverges.
pub(crate) fn block_diverges(block: &Block) -> bool {
    block.stmts.iter().any(|stmt| match stmt {
        Stmt::Expr(expr, _) => expr_cfgs(expr).is_empty() && diverges(expr),
        Stmt::Macro(mac) => cfgs(&mac.attrs).is_empty() && panics(&mac.mac),
        Stmt::Local(local) => {
            cfgs(&local.attrs).is_empty() && local.init.as_ref().is_some_and(|init| diverges(&init.expr))
        }
        Stmt::Item(_) => false,
    })
}

/// Whether a loop is left by `break`.
pub(crate) fn has_break(body: &Block, label: Option<&Lifetime>) -> bool {
    struct Breaks<'a> {
        label: Option<&'a Lifetime>,
        depth: usize,
        found: bool,
    }
    impl Breaks<'_> {
        fn nested(&mut self, body: &Block) {
            self.depth += 1;
            self.visit_block(body);
            self.depth -= 1;
        }
    }
    impl<'ast> Visit<'ast> for Breaks<'_> {
        fn visit_expr_break(&mut self, node: &'ast ExprBreak) {
            self.found |= match (&node.label, self.label) {
                (None, _) => self.depth == 0,
                (Some(target), Some(label)) => target.ident == label.ident,
                (Some(_), None) => false,
            };
            visit::visit_expr_break(self, node);
        }
        fn visit_expr_loop(&mut self, node: &'ast ExprLoop) {
            self.nested(&node.body);
        }
        fn visit_expr_while(&mut self, node: &'ast ExprWhile) {
            self.visit_expr(&node.cond);
            self.nested(&node.body);
        }
        fn visit_expr_for_loop(&mut self, node: &'ast ExprForLoop) {
            self.visit_expr(&node.expr);
            self.nested(&node.body);
        }
        fn visit_expr_closure(&mut self, _: &'ast ExprClosure) {}
        fn visit_item(&mut self, _: &'ast Item) {}
    }
    let mut breaks = Breaks {
        label,
        depth: 0,
        found: false,
    };
    breaks.visit_block(body);
    breaks.found
}

/// Whether a pattern is certainly one of a struct or an enum.
pub(crate) fn has_constructor(pat: &Pat) -> bool {
    match pat {
        Pat::TupleStruct(_) | Pat::Struct(_) => true,
        Pat::Paren(inner) => has_constructor(&inner.pat),
        Pat::Or(alternatives) => alternatives.cases.iter().any(has_constructor),
        _ => false,
    }
}

/// The names that a pattern binds, each once. Bindings only: a capitalised name is a constant.
pub(crate) fn bound_names(pat: &Pat) -> Vec<Ident> {
    struct Names(Vec<Ident>);
    impl<'ast> Visit<'ast> for Names {
        fn visit_pat_ident(&mut self, node: &'ast PatIdent) {
            if is_binding(node) && !self.0.contains(&node.ident) {
                self.0.push(node.ident.clone());
            }
            visit::visit_pat_ident(self, node);
        }
    }
    let mut names = Names(Vec::new());
    names.visit_pat(pat);
    names.0
}

/// Whether an identifier pattern binds a variable: it says so, or its name is not capitalised.
pub(crate) fn is_binding(pat: &PatIdent) -> bool {
    pat.by_ref.is_some() || pat.mutability.is_some() || pat.subpat.is_some() || !names::is_capitalised(&pat.ident)
}

/// The `#[cfg(..)]`s among some attributes.
pub(crate) fn cfgs(attrs: &[Attribute]) -> Vec<&Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident("cfg")).collect()
}

/// The attributes of an expression.
pub(crate) fn expr_attrs(expr: &Expr) -> &[Attribute] {
    match expr {
        Expr::Array(e) => &e.attrs,
        Expr::Assign(e) => &e.attrs,
        Expr::Binary(e) => &e.attrs,
        Expr::Block(e) => &e.attrs,
        Expr::Break(e) => &e.attrs,
        Expr::Call(e) => &e.attrs,
        Expr::Continue(e) => &e.attrs,
        Expr::Field(e) => &e.attrs,
        Expr::ForLoop(e) => &e.attrs,
        Expr::If(e) => &e.attrs,
        Expr::Index(e) => &e.attrs,
        Expr::Lit(e) => &e.attrs,
        Expr::Loop(e) => &e.attrs,
        Expr::Macro(e) => &e.attrs,
        Expr::Match(e) => &e.attrs,
        Expr::MethodCall(e) => &e.attrs,
        Expr::Paren(e) => &e.attrs,
        Expr::Path(e) => &e.attrs,
        Expr::Return(e) => &e.attrs,
        Expr::Struct(e) => &e.attrs,
        Expr::Try(e) => &e.attrs,
        Expr::Tuple(e) => &e.attrs,
        Expr::Unary(e) => &e.attrs,
        Expr::While(e) => &e.attrs,
        _ => &[],
    }
}

/// The `#[cfg(..)]`s of an expression statement. (They stand on the leftmost operand.)
pub(crate) fn expr_cfgs(expr: &Expr) -> Vec<&Attribute> {
    let own = cfgs(expr_attrs(expr));
    if !own.is_empty() {
        return own;
    }
    match expr {
        Expr::Assign(e) => expr_cfgs(&e.left),
        Expr::Binary(e) => expr_cfgs(&e.left),
        Expr::Call(e) => expr_cfgs(&e.func),
        Expr::MethodCall(e) => expr_cfgs(&e.receiver),
        Expr::Field(e) => expr_cfgs(&e.base),
        Expr::Index(e) => expr_cfgs(&e.expr),
        Expr::Try(e) => expr_cfgs(&e.expr),
        Expr::Cast(e) => expr_cfgs(&e.expr),
        _ => own,
    }
}

/// Every sized type within `ty` that has a name, inside out, `ty` itself last: what the runtime is told the shapes of.
pub(crate) fn types_within(ty: &Type, found: &mut Vec<Type>) {
    match ty {
        Type::Paren(paren) => return types_within(&paren.elem, found),
        Type::Group(group) => return types_within(&group.elem, found),
        Type::Slice(slice) => return types_within(&slice.elem, found),
        Type::TraitObject(_) | Type::ImplTrait(_) | Type::Infer(_) | Type::Never(_) | Type::Macro(_) => return,
        Type::Reference(reference) => types_within(&reference.elem, found),
        Type::Array(array) => types_within(&array.elem, found),
        Type::Tuple(tuple) => tuple.elems.iter().for_each(|elem| types_within(elem, found)),
        Type::Path(path) => {
            if path.path.is_ident("str") {
                return;
            }
            if let Some(PathArguments::AngleBracketed(arguments)) = path.path.segments.last().map(|s| &s.arguments) {
                for argument in &arguments.args {
                    match argument {
                        GenericArgument::Type(Type::TraitObject(_)) => return,
                        GenericArgument::Type(argument) if !is_constant(argument) => types_within(argument, found),
                        _ => {}
                    }
                }
            }
        }
        _ => {}
    }
    if !found.contains(ty) && !is_partial(ty) {
        found.push(ty.clone());
    }
}

/// Whether a type is a number, `bool` or `char`, by its name.
pub(crate) fn is_scalar(ty: &Type) -> bool {
    const SCALARS: [&str; 13] = [
        "u8", "u16", "u32", "u64", "usize", "i8", "i16", "i32", "i64", "isize", "f64", "bool", "char",
    ];
    matches!(ty, Type::Path(path) if path.qself.is_none() && SCALARS.iter().any(|scalar| path.path.is_ident(scalar)))
}

/// The type arguments of an `Option` or `Result`.
pub(crate) fn type_arguments(ty: &Type) -> impl Iterator<Item = &Type> {
    let segment = match ty {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    };
    let arguments = match segment.map(|segment| (&segment.ident, &segment.arguments)) {
        Some((name, PathArguments::AngleBracketed(arguments))) if name == "Option" || name == "Result" => {
            Some(&arguments.args)
        }
        _ => None,
    };
    arguments.into_iter().flatten().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// Whether a generic argument that parses as a type may be a constant: one name in capitals. Not telling the runtime of a
/// type so called costs nothing but speed, and nothing at all for a type parameter, which is not known here.
fn is_constant(argument: &Type) -> bool {
    let Type::Path(path) = argument else { return false };
    path.path
        .get_ident()
        .is_some_and(|name| !names::plain(name).contains(char::is_lowercase))
}

/// Whether some of a type is left to inference.
fn is_partial(ty: &Type) -> bool {
    struct Partial(bool);
    impl<'ast> Visit<'ast> for Partial {
        fn visit_type_infer(&mut self, _: &'ast TypeInfer) {
            self.0 = true;
        }
    }
    let mut partial = Partial(false);
    partial.visit_type(ty);
    partial.0
}

/// The name of a field as an identifier.
pub(crate) fn member_name(member: &Member) -> Ident {
    match member {
        Member::Named(name) => name.clone(),
        Member::Unnamed(index) => Ident::new(&format!("_{}", index.index), Span::call_site()),
    }
}
