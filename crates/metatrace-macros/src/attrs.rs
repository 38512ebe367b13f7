//! The attributes an author writes, read and taken off the item.
//!
//! Whichever of them stands outermost expands the item, and finds the others still there: `#[jit::dont_look_inside]
//! #[jit::nounwind] fn f()` is one function with two marks. Methods carry theirs inside a `#[jit] impl`.

use crate::names;
use proc_macro2::{Span, TokenStream};
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, Error, Expr, Ident, LitStr, Meta, Path, Result, Token, parenthesized};

/// One of the attributes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Marker {
    Jit,
    Portal,
    DontLookInside,
    Elidable,
    NoUnwind,
    UnrollSafe,
}

impl Marker {
    fn of(path: &Path) -> Option<Marker> {
        let mut segments = path.segments.iter().rev();
        let last = names::plain(&segments.next()?.ident);
        if let Some(module) = segments.next()
            && module.ident != "jit"
            && !(last == "jit" && module.ident == "metatrace")
        {
            return None;
        }
        Some(match &*last {
            "jit" => Marker::Jit,
            "portal" => Marker::Portal,
            "dont_look_inside" => Marker::DontLookInside,
            "elidable" => Marker::Elidable,
            "nounwind" => Marker::NoUnwind,
            "unroll_safe" => Marker::UnrollSafe,
            _ => return None,
        })
    }
}

/// What the attributes of one function say.
#[derive(Default)]
pub(crate) struct Marks {
    /// It is a portal.
    pub(crate) portal: Option<PortalArgs>,
    /// It is called, not looked into.
    pub(crate) residual: bool,
    /// Its result depends on its arguments alone.
    pub(crate) elidable: bool,
    /// It does not panic.
    pub(crate) nounwind: bool,
    /// Whether its arithmetic checks for overflow; by default as the build does.
    pub(crate) overflow_checks: Option<bool>,
}

/// `#[jit::portal(driver = …, greens(…), location = …)]`
pub(crate) struct PortalArgs {
    /// A parameter, or a place that holds a shared reference to the driver.
    pub(crate) driver: Expr,
    /// Parameters that identify a loop; empty where the merge point lists them.
    pub(crate) greens: Vec<Ident>,
    /// A function that names a loop, for logs.
    pub(crate) location: Option<Path>,
    overflow_checks: Option<bool>,
    /// Of the attribute.
    pub(crate) span: Span,
}

impl Marks {
    /// Reads the attribute that expands the item, and takes the others off `attrs`.
    pub(crate) fn take(outer: Option<(Marker, TokenStream)>, attrs: &mut Vec<Attribute>) -> Result<Marks> {
        let mut marks = Marks::default();
        if let Some((marker, arguments)) = outer {
            marks.add(marker, arguments, Span::call_site())?;
        }
        let mut result = Ok(());
        attrs.retain(|attr| {
            let Some(marker) = Marker::of(attr.path()) else {
                return true;
            };
            let arguments = match &attr.meta {
                Meta::List(list) => list.tokens.clone(),
                _ => TokenStream::new(),
            };
            let span = attr.pound_token.span;
            if let Err(error) = marks.add(marker, arguments, span) {
                result = Err(error);
            }
            false
        });
        result.map(|()| marks)
    }

    fn add(&mut self, marker: Marker, arguments: TokenStream, span: Span) -> Result<()> {
        match marker {
            Marker::Jit => self.overflow_checks = Parser::parse2(overflow_only, arguments)?.or(self.overflow_checks),
            Marker::Portal => {
                let mut portal: PortalArgs = syn::parse2(arguments)?;
                portal.span = span;
                self.overflow_checks = portal.overflow_checks.or(self.overflow_checks);
                self.portal = Some(portal);
            }
            Marker::DontLookInside => {
                no_arguments(arguments)?;
                self.residual = true;
            }
            Marker::Elidable => {
                no_arguments(arguments)?;
                (self.residual, self.elidable) = (true, true);
            }
            Marker::NoUnwind => {
                no_arguments(arguments)?;
                (self.residual, self.nounwind) = (true, true);
            }
            Marker::UnrollSafe => no_arguments(arguments)?,
        }
        if self.residual
            && let Some(portal) = &self.portal
        {
            return Err(Error::new(
                portal.span,
                "a portal is looked into: it cannot be `dont_look_inside`, `elidable` or `nounwind`",
            ));
        }
        Ok(())
    }
}

fn no_arguments(arguments: TokenStream) -> Result<()> {
    if arguments.is_empty() {
        Ok(())
    } else {
        Err(Error::new_spanned(arguments, "this attribute takes no arguments"))
    }
}

fn overflow_only(input: ParseStream<'_>) -> Result<Option<bool>> {
    if input.is_empty() {
        return Ok(None);
    }
    const USAGE: &str = "`#[jit]` takes only `overflow = \"checked\"` or `overflow = \"wrapping\"`";
    let start = input.fork();
    let usage = |_| start.error(USAGE);
    let key: Ident = input.parse().map_err(usage)?;
    if key != "overflow" {
        return Err(Error::new(key.span(), USAGE));
    }
    let checks = overflow(input)?;
    if input.is_empty() {
        Ok(Some(checks))
    } else {
        Err(input.error(USAGE))
    }
}

fn overflow(input: ParseStream<'_>) -> Result<bool> {
    const USAGE: &str = "write `overflow = \"checked\"` or `overflow = \"wrapping\"`";
    let usage = |error: Error| Error::new(error.span(), USAGE);
    input.parse::<Token![=]>().map_err(usage)?;
    let value: LitStr = input.parse().map_err(usage)?;
    match &*value.value() {
        "checked" => Ok(true),
        "wrapping" => Ok(false),
        _ => Err(Error::new(value.span(), USAGE)),
    }
}

impl Parse for PortalArgs {
    fn parse(input: ParseStream<'_>) -> Result<PortalArgs> {
        let start = input.span();
        let (mut driver, mut greens, mut location, mut overflow_checks) = (None, None, None, None);
        while !input.is_empty() {
            let key: Ident = input.parse().map_err(portal_usage)?;
            let twice = match &*key.to_string() {
                "driver" => driver.replace(after_equals(input)?).is_some(),
                "greens" => greens.replace(green_names(input)?).is_some(),
                "location" => location.replace(after_equals(input)?).is_some(),
                "overflow" => overflow_checks.replace(overflow(input)?).is_some(),
                _ => return Err(Error::new(key.span(), PORTAL_USAGE)),
            };
            if twice {
                return Err(Error::new(key.span(), format_args!("`{key}` is given twice: keep one")));
            }
            if !input.is_empty() {
                input.parse::<Token![,]>().map_err(portal_usage)?;
            }
        }
        let driver = driver.ok_or_else(|| {
            Error::new(
                start,
                "which `JitDriver` is it? Write `#[jit::portal(driver = …, greens(…))]` with a parameter",
            )
        })?;
        Ok(PortalArgs {
            driver,
            greens: greens.unwrap_or_default(),
            location,
            overflow_checks,
            span: start,
        })
    }
}

const PORTAL_USAGE: &str =
    "a portal takes `driver = parameter`, `greens(parameter, …)`, `location = function` and `overflow = \"…\"`";

fn portal_usage(error: Error) -> Error {
    Error::new(error.span(), PORTAL_USAGE)
}

fn after_equals<T: Parse>(input: ParseStream<'_>) -> Result<T> {
    input.parse::<Token![=]>().map_err(portal_usage)?;
    input.parse().map_err(portal_usage)
}

fn green_names(input: ParseStream<'_>) -> Result<Vec<Ident>> {
    let one = |input: ParseStream<'_>| {
        let list;
        parenthesized!(list in input);
        Punctuated::<Ident, Token![,]>::parse_terminated(&list)
    };
    let names = one(input)
        .map_err(|error| Error::new(error.span(), "greens are names of parameters: `greens(pc, program)`; expressions stand in `jit_merge_point!(pc = self.pc)`"))?;
    Ok(names.into_iter().collect())
}
