//! Values of enums: made by constructors, matched, and the methods of `Option` and `Result`.

// What panics in these methods' cold paths is std's own method, for its message.
#![allow(clippy::unnecessary_literal_unwrap)]

use crate::assembly::SumAccess;
use crate::builder::{Builder, ValueId, with};
use crate::control;
use crate::handles::{JitType, Place, Var, tmp};
use crate::natives::{Callee, Facts, native, panic};
use crate::place::{Mem, PlaceId};
use crate::shape::{FieldWords, Source, Tagging};
use crate::types::{Type, TypeIsJit, TypeShape, VariantShape, field};
use metatrace_graph::{Blk, Op, Operand};
use metatrace_ir::{Const, Kind, Opcode};
use std::fmt;

impl<T> TypeIsJit for Option<T> {
    fn shape() -> TypeShape {
        let none = VariantShape {
            name: "None",
            ctor: "",
            discriminant: 0,
            fields: Vec::new(),
        };
        let some = std::any::type_name_of_val(&Some::<T>);
        let some = VariantShape {
            name: "Some",
            ctor: some,
            discriminant: 1,
            fields: vec![field::<T>("0", 0)],
        };
        TypeShape::Sum {
            variants: vec![none, some],
            access: SumAccess::option::<T>(),
        }
    }
}

impl<T, E> TypeIsJit for Result<T, E> {
    fn shape() -> TypeShape {
        let ok = std::any::type_name_of_val(&Ok::<T, E>);
        let ok = VariantShape {
            name: "Ok",
            ctor: ok,
            discriminant: 0,
            fields: vec![field::<T>("0", 0)],
        };
        let err = std::any::type_name_of_val(&Err::<T, E>);
        let err = VariantShape {
            name: "Err",
            ctor: err,
            discriminant: 1,
            fields: vec![field::<E>("0", 0)],
        };
        TypeShape::Sum {
            variants: vec![ok, err],
            access: SumAccess::result::<T, E>(),
        }
    }
}

const NONE: u32 = 0;
const SOME: u32 = 1;
const OK: u32 = 0;
const ERR: u32 = 1;

impl Builder {
    /// The words of a value of this variant whose fields are not there yet.
    pub(crate) fn variant_words(&mut self, ty: Type, variant: u32) -> Vec<Operand> {
        let shape = ty.shape();
        let constant = |kind| Operand::Const(Const { kind, bits: 0 });
        let mut words: Vec<Operand> = shape.kinds().map(constant).collect();
        match ty.view().map(|view| &view.tagging) {
            Some(Tagging::Word { source, values, .. }) => {
                self.put_source(&mut words, source, Operand::int(values[variant as usize]));
            }
            Some(Tagging::Niche {
                source, niche, value, ..
            }) if *niche == variant => {
                self.put_source(&mut words, source, Operand::int(*value));
            }
            _ => {}
        }
        // The tag of a type with one variant is there all the same.
        if let (Some(TypeShape::Enum { variants, .. }), [only, ..]) = (ty.structure(), &shape.words[..])
            && variants.len() == 1
            && only.offset == 0
        {
            words[0] = Operand::int(variants[0].discriminant.into());
        }
        words
    }

    /// The words of a value made of these fields.
    pub(crate) fn construct_words(&mut self, ty: Type, variant: u32, fields: &[Vec<Operand>]) -> Vec<Operand> {
        let Some(places) = self.fields_in_words(ty, variant) else {
            return self.construct_in_memory(ty, variant, fields);
        };
        let mut words = self.variant_words(ty, variant);
        for (sources, field) in places.into_iter().zip(fields) {
            for (source, value) in sources.iter().zip(field) {
                self.put_source(&mut words, source, *value);
            }
        }
        self.tell_from_niche(ty, variant, &mut words);
        words
    }

    /// Makes it known that the payload of this variant is not the niche, so that a test of what has just been made is none.
    fn tell_from_niche(&mut self, ty: Type, variant: u32, words: &mut [Operand]) {
        let (source, never) = match ty.view().map(|view| &view.tagging) {
            Some(Tagging::Niche {
                source, niche, value, ..
            }) if *niche != variant => (source, *value),
            Some(Tagging::Null { source, .. }) if variant == SOME => (source, 0),
            _ => return,
        };
        if let Source::Whole(index) = *source
            && words[index].as_reg().is_some()
        {
            let dst = self.reg(self.graph.kind(words[index]));
            self.emit(Op::Distinct {
                dst,
                src: words[index],
                never,
            });
            words[index] = Operand::Reg(dst);
        }
    }

    /// The words of an `Option` of an integer that is there where `exact` is 1.
    pub(crate) fn option_words(&mut self, ty: Type, exact: Operand, value: Operand) -> Vec<Operand> {
        let mut words = self.variant_words(ty, NONE);
        let Some(Tagging::Word { source, .. }) = ty.view().map(|view| &view.tagging) else {
            unreachable!("an integer has no niche")
        };
        self.put_source(&mut words, source, exact);
        let fields = self
            .fields_in_words(ty, SOME)
            .expect("an integer's word is found in its `Option`'s");
        for source in fields[0] {
            self.put_source(&mut words, source, value);
        }
        words
    }

    /// The same for an `Option` or `Result` whose shape was settled before it was known to be one: native code makes it.
    fn construct_in_memory(&mut self, ty: Type, variant: u32, fields: &[Vec<Operand>]) -> Vec<Operand> {
        let Some(TypeShape::Sum { variants, access }) = ty.structure() else {
            self.refuse(&format!(
                "`{ty:?}` was used before its type was known: name the type before"
            ))
        };
        let payload = match (variants[variant as usize].fields.first(), fields.first()) {
            (Some(field), Some(words)) => crate::natives::spill(self, field.ty, words),
            _ => Operand::Const(Const::ptr(0)),
        };
        let slot = self.alloca(&ty.name, ty.size, ty.align);
        let access = Operand::int(*access as *const SumAccess as u64);
        let args = vec![slot, Operand::int(variant.into()), payload, access];
        let facts = Facts {
            can_panic: false,
            aborts: false,
            ..Facts::STD
        };
        crate::natives::emit_call(
            self,
            &format!("make_variant<{}>", ty.name),
            facts,
            crate::assembly::make_shim as *const () as u64,
            args,
            None,
        );
        self.load_words(&Mem::behind(slot, ty.name.as_str().into()), ty)
    }

    fn put_source(&mut self, words: &mut [Operand], source: &Source, value: Operand) {
        match source {
            Source::Whole(index) => {
                let kind = self.graph.kind(words[*index]);
                words[*index] = self.reinterpret(value, kind);
            }
            Source::Bits(slices) => {
                let value = self.reinterpret(value, Kind::Int);
                for slice in slices {
                    let part = self.pure(Opcode::UintRshift, value, Operand::int(slice.to.into()));
                    let mask = if slice.width == 64 {
                        u64::MAX
                    } else {
                        (1 << slice.width) - 1
                    };
                    let part = self.pure(Opcode::IntAnd, part, Operand::int(mask));
                    let part = self.pure(Opcode::IntLshift, part, Operand::int(slice.from.into()));
                    words[slice.word] = match words[slice.word].as_const() {
                        Some(0) => part,
                        _ => self.pure(Opcode::IntOr, words[slice.word], part),
                    };
                }
            }
        }
    }

    /// Where a variant's fields are found, where all are in the words.
    fn fields_in_words(&self, ty: Type, variant: u32) -> Option<Vec<&'static [Source]>> {
        let view = ty.view().filter(|view| view.tagging != Tagging::Native)?;
        let words = |field: &'static FieldWords| match field {
            FieldWords::Words(sources) => Some(sources.as_slice()),
            FieldWords::Memory => None,
        };
        view.fields.get(variant as usize)?.iter().map(words).collect()
    }

    /// A value made by a constructor: by words where the type is known, else by a call of it.
    pub(crate) fn construct(
        &mut self,
        name: &str,
        ty: Type,
        variant: Option<u32>,
        ctor: Callee,
        args: &[u32],
    ) -> ValueId {
        for arg in args {
            self.consume(ValueId(*arg));
        }
        match variant {
            Some(variant) if self.fields_in_words(ty, variant).is_some() => {
                let fields: Vec<Vec<Operand>> = args.iter().map(|arg| self.words(ValueId(*arg))).collect();
                let words = self.construct_words(ty, variant, &fields);
                self.owned_value(ty, words)
            }
            _ => native(self, name, Facts::PURE, ctor, args, ty),
        }
    }

    /// Branches on a variant; the other one goes to `fail`.
    pub(crate) fn test_variant(&mut self, place: PlaceId, ty: Type, variant: u32, fail: Blk) {
        let holds = self.is_variant(place, ty, variant);
        if holds.as_const() != Some(1) {
            self.test(holds, fail);
        }
    }
}

/// Which variant a constructor makes.
pub(crate) fn variant_of_ctor(ty: Type, ctor: &str) -> Option<u32> {
    match ty.structure()? {
        TypeShape::Struct { .. } => Some(0),
        shape => shape
            .variants()
            .iter()
            .position(|variant| variant.ctor == ctor)
            .map(|variant| variant as u32),
    }
}

/// A value of a type of this crate's knowledge, made of words.
#[inline(never)]
fn made(ty: Type, variant: u32, fields: &[ValueId]) -> ValueId {
    with(|b| {
        let fields: Vec<Vec<Operand>> = fields
            .iter()
            .map(|field| {
                b.consume(*field);
                b.words(*field)
            })
            .collect();
        let words = b.construct_words(ty, variant, &fields);
        b.owned_value(ty, words)
    })
}

/// The whole place is moved, a part of it has been read.
#[inline(never)]
fn take_part(whole: PlaceId, ty: Type, part: PlaceId, part_ty: Type) -> ValueId {
    with(|b| {
        let words = b.read(part, part_ty);
        b.moved_out(whole, ty);
        b.owned_value(part_ty, words)
    })
}

/// What a place of type `Option<T>` leads to.
#[derive(Debug)]
pub struct OptProxy<T>(Place<Option<T>>);

impl<T> JitType for Option<T> {
    type Target = OptProxy<T>;
    #[inline(never)]
    fn target(place: Place<Self>) -> OptProxy<T> {
        Type::learn::<Option<T>>();
        OptProxy(place)
    }
}

#[inline(never)]
fn test_place(place: PlaceId, ty: Type, variant: u32) -> ValueId {
    with(|b| {
        b.in_sequence_of(place, |b| {
            let holds = b.is_variant(place, ty, variant);
            b.value(Type::of::<bool>(), vec![holds])
        })
    })
}

/// Takes the payload of `variant`; control goes on where it is there, else `otherwise` ends the block.
#[inline(never)]
fn take_payload(
    place: PlaceId,
    ty: Type,
    variant: u32,
    payload: Type,
    otherwise: impl FnOnce(&mut Builder),
) -> ValueId {
    with(|b| {
        let fail = b.graph.block();
        b.test_variant(place, ty, variant, fail);
        let here = std::mem::replace(&mut b.current, fail);
        otherwise(b);
        b.current = here;
        let part = b.field(place, ty, variant, 0);
        let words = b.read(part, payload);
        b.moved_out(place, ty);
        b.owned_value(payload, words)
    })
}

/// The payload where it is there, else what `otherwise` gives.
#[inline(never)]
fn payload_or(
    place: PlaceId,
    ty: Type,
    variant: u32,
    payload: Type,
    otherwise: impl FnOnce(&mut Builder) -> ValueId,
) -> ValueId {
    with(|b| {
        let kinds: Vec<Kind> = payload.shape().kinds().collect();
        let regs: Vec<_> = kinds.into_iter().map(|kind| b.reg(kind)).collect();
        let (fail, join) = (b.graph.block(), b.graph.block());
        b.test_variant(place, ty, variant, fail);
        let part = b.field(place, ty, variant, 0);
        let words = b.read(part, payload);
        b.move_all(&regs, &words);
        b.goto(join);
        b.current = fail;
        let other = otherwise(b);
        let words = b.words(other);
        b.consume(other);
        b.move_all(&regs, &words);
        b.goto(join);
        b.current = join;
        b.moved_out(place, ty);
        b.owned_value(payload, regs.into_iter().map(Operand::Reg).collect())
    })
}

/// `as_ref`, `as_mut`: an `Option` of a reference to the payload.
#[inline(never)]
fn reference_to_payload(place: PlaceId, ty: Type, option: Type) -> ValueId {
    with(|b| {
        let kinds: Vec<Kind> = option.shape().kinds().collect();
        let regs: Vec<_> = kinds.into_iter().map(|kind| b.reg(kind)).collect();
        let (fail, join) = (b.graph.block(), b.graph.block());
        b.test_variant(place, ty, SOME, fail);
        let part = b.field(place, ty, SOME, 0);
        let mem = b.in_memory(part);
        let address = b.address(&mem);
        let words = b.construct_words(option, SOME, &[vec![address]]);
        b.move_all(&regs, &words);
        b.goto(join);
        b.current = fail;
        let words = b.construct_words(option, NONE, &[]);
        b.move_all(&regs, &words);
        b.goto(join);
        b.current = join;
        b.value(option, regs.into_iter().map(Operand::Reg).collect())
    })
}

impl<T> OptProxy<T> {
    fn ty() -> Type {
        Type::of::<Option<T>>()
    }

    /// `is_some`.
    #[inline(never)]
    pub fn is_some(&self) -> Var<bool> {
        Var::new(test_place(self.0.__id(), Self::ty(), SOME))
    }

    /// `is_none`.
    #[inline(never)]
    pub fn is_none(&self) -> Var<bool> {
        Var::new(test_place(self.0.__id(), Self::ty(), NONE))
    }

    /// `unwrap`.
    #[inline(never)]
    pub fn unwrap(&self) -> Var<T> {
        let callee = Callee::of::<_, (), ()>(|| None::<()>.unwrap());
        Var::new(take_payload(
            self.0.__here().__id(),
            Self::ty(),
            SOME,
            Type::of::<T>(),
            |b| panic(b, "unwrap_failed", callee, &[]),
        ))
    }

    /// `expect`.
    #[inline(never)]
    pub fn expect(&self, message: &Var<&'static str>) -> Var<T> {
        let callee = Callee::of::<_, (&'static str,), ()>(|message: &'static str| None::<()>.expect(message));
        let message = message.__value();
        Var::new(take_payload(
            self.0.__here().__id(),
            Self::ty(),
            SOME,
            Type::of::<T>(),
            |b| {
                panic(b, "expect_failed", callee, &[message]);
            },
        ))
    }

    /// `unwrap_or`.
    #[inline(never)]
    pub fn unwrap_or(&self, default: &Var<T>) -> Var<T> {
        let default = default.__value();
        Var::new(payload_or(
            self.0.__here().__id(),
            Self::ty(),
            SOME,
            Type::of::<T>(),
            |_| default,
        ))
    }

    /// `unwrap_or_default`.
    #[inline(never)]
    pub fn unwrap_or_default(&self) -> Var<T>
    where
        T: Default,
    {
        let callee = Callee::of::<_, (), T>(T::default);
        Var::new(payload_or(
            self.0.__here().__id(),
            Self::ty(),
            SOME,
            Type::of::<T>(),
            |b| native(b, "default", Facts::STD, callee, &[], Type::of::<T>()),
        ))
    }

    /// `take`.
    #[inline(never)]
    pub fn take(&self) -> Var<Option<T>> {
        let place = self.0.__here();
        let old = crate::memory::taken(place);
        let none = Var::<Option<T>>::new(made(Self::ty(), NONE, &[]));
        crate::memory::overwrite(place.__id(), none.__value());
        old
    }

    /// `replace`.
    #[inline(never)]
    pub fn replace(&self, value: &Var<T>) -> Var<Option<T>> {
        let place = self.0.__here();
        let old = crate::memory::taken(place);
        let some = Var::<Option<T>>::new(made(Self::ty(), SOME, &[value.__value()]));
        crate::memory::overwrite(place.__id(), some.__value());
        old
    }

    /// `as_ref`.
    #[inline(never)]
    pub fn as_ref<'a>(&self) -> Var<Option<&'a T>> {
        Type::learn_known::<&'a T>();
        let option = Type::learn::<Option<&'a T>>();
        Var::new(reference_to_payload(self.0.__here().__id(), Self::ty(), option))
    }

    /// `as_mut`.
    #[inline(never)]
    pub fn as_mut<'a>(&self) -> Var<Option<&'a mut T>> {
        Type::learn_known::<&'a mut T>();
        let option = Type::learn::<Option<&'a mut T>>();
        Var::new(reference_to_payload(self.0.__here().__id(), Self::ty(), option))
    }

    /// `ok_or`.
    #[inline(never)]
    pub fn ok_or<E>(&self, error: &Var<E>) -> Var<Result<T, E>> {
        let result = Type::learn::<Result<T, E>>();
        let (ty, payload) = (Self::ty(), Type::of::<T>());
        let place = self.0.__here().__id();
        let join = control::Join::<Var<Result<T, E>>>::new();
        let fail = control::block();
        with(|b| b.test_variant(place, ty, SOME, fail));
        let part = with(|b| b.field(place, ty, SOME, 0));
        let value = take_part(place, ty, part, payload);
        join.arm(Some(Var::new(made(result, OK, &[value]))));
        control::switch(fail);
        with(|b| b.moved_out(place, ty));
        join.arm(Some(Var::new(made(result, ERR, &[error.__value()]))));
        join.end().expect("both arms have values")
    }
}

impl<'a, T: Copy> OptProxy<&'a T> {
    /// `copied`.
    #[inline(never)]
    pub fn copied(&self) -> Var<Option<T>> {
        let option = Type::learn::<Option<T>>();
        let ty = Self::ty();
        let place = self.0.__here().__id();
        let join = control::Join::<Var<Option<T>>>::new();
        let fail = control::block();
        with(|b| b.test_variant(place, ty, SOME, fail));
        let part = Place::<&'a T>::new(with(|b| b.field(place, ty, SOME, 0)));
        let value = crate::pointers::pointee::<&'a T, T>(part, 0).__peek();
        join.arm(Some(Var::new(made(option, SOME, &[value.__value()]))));
        control::switch(fail);
        join.arm(Some(Var::new(made(option, NONE, &[]))));
        join.end().expect("both arms have values")
    }

    /// `cloned`, of what is `Copy`.
    #[inline(never)]
    pub fn cloned(&self) -> Var<Option<T>> {
        self.copied()
    }
}

/// What a place of type `Result<T, E>` leads to.
#[derive(Debug)]
pub struct ResProxy<T, E>(Place<Result<T, E>>);

impl<T, E> JitType for Result<T, E> {
    type Target = ResProxy<T, E>;
    #[inline(never)]
    fn target(place: Place<Self>) -> Self::Target {
        Type::learn::<Result<T, E>>();
        ResProxy(place)
    }
}

impl<T, E> ResProxy<T, E> {
    fn ty() -> Type {
        Type::of::<Result<T, E>>()
    }

    /// `is_ok`.
    #[inline(never)]
    pub fn is_ok(&self) -> Var<bool> {
        Var::new(test_place(self.0.__id(), Self::ty(), OK))
    }

    /// `is_err`.
    #[inline(never)]
    pub fn is_err(&self) -> Var<bool> {
        Var::new(test_place(self.0.__id(), Self::ty(), ERR))
    }

    /// `unwrap`.
    #[inline(never)]
    pub fn unwrap(&self) -> Var<T>
    where
        E: fmt::Debug,
    {
        let callee = Callee::of::<_, (E,), ()>(|error: E| Err::<(), E>(error).unwrap());
        let place = self.0.__here().__id();
        Var::new(take_payload(place, Self::ty(), OK, Type::of::<T>(), |b| {
            let error = b.field(place, Self::ty(), ERR, 0);
            let words = b.read(error, Type::of::<E>());
            b.moved_out(place, Self::ty());
            let error = b.value(Type::of::<E>(), words);
            panic(b, "unwrap_failed", callee, &[error]);
        }))
    }

    /// `unwrap_or`.
    #[inline(never)]
    pub fn unwrap_or(&self, default: &Var<T>) -> Var<T> {
        let default = default.__value();
        Var::new(payload_or(
            self.0.__here().__id(),
            Self::ty(),
            OK,
            Type::of::<T>(),
            |_| default,
        ))
    }

    fn half<P>(&self, variant: u32) -> Var<Option<P>> {
        let option = Type::learn::<Option<P>>();
        let (ty, payload) = (Self::ty(), Type::of::<P>());
        let place = self.0.__here().__id();
        let join = control::Join::<Var<Option<P>>>::new();
        let fail = control::block();
        with(|b| b.test_variant(place, ty, variant, fail));
        let part = with(|b| b.field(place, ty, variant, 0));
        let value = take_part(place, ty, part, payload);
        join.arm(Some(Var::new(made(option, SOME, &[value]))));
        control::switch(fail);
        join.arm(Some(Var::new(made(option, NONE, &[]))));
        join.end().expect("both arms have values")
    }

    /// `ok`.
    #[inline(never)]
    pub fn ok(&self) -> Var<Option<T>> {
        self.half(OK)
    }

    /// `err`.
    #[inline(never)]
    pub fn err(&self) -> Var<Option<E>> {
        self.half(ERR)
    }
}

/// `None`.
#[inline(never)]
pub fn none<T>() -> Var<Option<T>> {
    Var::new(made(Type::learn::<Option<T>>(), NONE, &[]))
}

// ---- `?`

/// What `?` applies to.
pub trait JitTry: Sized {
    /// What it yields.
    type Out;
    /// Learns the type; the variant that goes on.
    fn good() -> (Type, u32);
}

impl<T> JitTry for Option<T> {
    type Out = T;
    #[inline(never)]
    fn good() -> (Type, u32) {
        (Type::learn::<Option<T>>(), SOME)
    }
}

impl<T, E> JitTry for Result<T, E> {
    type Out = T;
    #[inline(never)]
    fn good() -> (Type, u32) {
        (Type::learn::<Result<T, E>>(), OK)
    }
}

/// What a function that uses `?` returns.
#[diagnostic::on_unimplemented(message = "`?` couldn't convert the error: `{Self}` cannot be made from `{R}`")]
pub trait JitFromResidual<R> {
    /// Returns, with what stopped `?`; the place is `R`'s.
    fn return_residual(place: Place<R>);
}

impl<T, U> JitFromResidual<Option<T>> for Option<U> {
    #[inline(never)]
    fn return_residual(_: Place<Option<T>>) {
        let none = Var::<Option<U>>::new(made(Type::learn::<Option<U>>(), NONE, &[]));
        control::ret(&none);
    }
}

impl<T, E, U, F: From<E>> JitFromResidual<Result<T, E>> for Result<U, F> {
    #[inline(never)]
    fn return_residual(place: Place<Result<T, E>>) {
        let (from, ty) = (Type::of::<Result<T, E>>(), Type::learn::<Result<U, F>>());
        let error = with(|b| b.field(place.__id(), from, ERR, 0));
        let error = take_part(place.__id(), from, error, Type::of::<E>());
        let error = if Type::of::<E>() == Type::of::<F>() {
            // `From<T> for T`, and lifetimes do not matter to words.
            error
        } else {
            let callee = Callee::of::<_, (E,), F>(F::from);
            with(|b| {
                b.consume(error);
                native(b, "From::from", Facts::ANY, callee, &[error.0], Type::of::<F>())
            })
        };
        let value = Var::<Result<U, F>>::new(made(ty, ERR, &[error]));
        control::ret(&value);
    }
}

/// `?`.
#[inline(never)]
pub fn try_<R: JitFromResidual<X>, X: JitTry>(value: Var<X>) -> Var<X::Out> {
    let (ty, good) = X::good();
    let place = tmp(value);
    let bad = control::block();
    with(|b| b.test_variant(place.__id(), ty, good, bad));
    let here = control::cur();
    control::switch(bad);
    R::return_residual(place);
    control::switch(here);
    let part = with(|b| b.field(place.__id(), ty, good, 0));
    Var::new(take_part(place.__id(), ty, part, Type::of::<X::Out>()))
}
