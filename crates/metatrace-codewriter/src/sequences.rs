//! `Vec`, slices, arrays, `String` and `str`.
//!
//! What reads and writes without growing is loads, stores and a bounds check on the words of the `Vec` or slice. What may
//! grow, or moves many items, is a native call.

use crate::builder::{Builder, ValueId, with};
use crate::control;
use crate::handles::{AnyVar, JitType, Place, Var};
use crate::layout::vec_layout;
use crate::natives::{Callee, Facts, panic, std_call};
use crate::place::{Base, Located, Mem, PlaceId, PlaceKind, SliceData, SlicePlace, WordLoc};
use crate::scalar::{eq, lit};
use crate::types::{KnownType, KnownWord, Type, TypeIsJit, TypeShape};
use metatrace_graph::{Op, Operand, VReg};
use metatrace_ir::{Const, Kind, Opcode, Pointee, Word};
use std::ops::{Deref, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

/// How many there are, or may be, of items of that size.
fn count_word(item_size: u32) -> Word {
    if item_size > 0 { Word::Length } else { Word::U64 }
}

/// The words of a `Vec` or `String`, in the order data, capacity, length.
fn vec_words(item_size: u32) -> TypeShape {
    let layout = vec_layout();
    let word = |name, offset, word, pointee| KnownWord {
        name,
        offset,
        word,
        pointee,
    };
    TypeShape::Known(vec![
        word(".data", layout.data, Word::U64, Pointee::Owned),
        word(".capacity", layout.capacity, count_word(item_size), Pointee::Unknown),
        word(".len", layout.len, count_word(item_size), Pointee::Unknown),
    ])
}

impl<T> KnownType for Vec<T> {
    fn known_shape() -> TypeShape {
        vec_words(size_of::<T>() as u32)
    }
}

impl TypeIsJit for String {
    fn shape() -> TypeShape {
        vec_words(1)
    }
}

impl<T, const N: usize> KnownType for [T; N] {
    fn known_shape() -> TypeShape {
        TypeShape::Array {
            item: Type::of::<T>(),
            len: N,
        }
    }
}

/// One of the words of a `Vec`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum VecWord {
    Data = 0,
    Capacity = 1,
    Len = 2,
}

impl VecWord {
    fn name(self) -> &'static str {
        [".data", ".capacity", ".len"][self as usize]
    }

    fn offset(self) -> u32 {
        let layout = vec_layout();
        [layout.data, layout.capacity, layout.len][self as usize]
    }

    /// How it is kept in memory.
    fn word(self, item_size: u32) -> Word {
        match self {
            VecWord::Data => Word::U64,
            VecWord::Capacity | VecWord::Len => count_word(item_size),
        }
    }

    fn pointee(self) -> Pointee {
        if self == VecWord::Data {
            Pointee::Owned
        } else {
            Pointee::Unknown
        }
    }
}

impl Builder {
    fn vec_word(&mut self, vec: PlaceId, word: VecWord, item_size: u32) -> Operand {
        let held = word.word(item_size);
        match self.locate(vec) {
            Located::Mem(mem) => self.load_word(&mem, held, word.offset(), word.name(), (true, word.pointee())),
            Located::Words(words, _) => match &words[word as usize] {
                WordLoc::Whole { reg, .. } => self.copy(*reg),
                WordLoc::Bits { .. } => unreachable!("a Vec's words are not shared"),
            },
        }
    }

    fn set_vec_len(&mut self, vec: PlaceId, item_size: u32, src: Operand) {
        let (mem, word) = (self.in_memory(vec), VecWord::Len);
        self.store_word(
            &mem,
            word.word(item_size),
            word.offset(),
            word.name(),
            (true, word.pointee()),
            src,
        );
    }

    /// The place of an item, which is there.
    fn item(&mut self, data: &SliceData, index: Operand, item: Type, frozen: bool) -> Mem {
        if let (SliceData::Array(array), Some(index)) = (data, index.as_const()) {
            return Mem {
                frozen: array.frozen && frozen,
                ..array.word_at(index as u32 * item.size, &format!(".{index}"))
            };
        }
        if let SliceData::Array(Mem {
            base: Base::Object(Operand::Const(address)),
            offset,
            ..
        }) = data
        {
            let data = Operand::Const(Const {
                kind: Kind::Int,
                bits: address.bits + u64::from(*offset),
            });
            return self.item(&SliceData::Pointer(data), index, item, frozen);
        }
        let name = format!("[{}]", item.name).into();
        let frozen = frozen && !matches!(data, SliceData::Array(array) if !array.frozen);
        let data = self.data_pointer(data);
        Mem {
            base: Base::Item {
                data,
                index,
                size: item.size,
            },
            offset: 0,
            frozen,
            name,
            enum_start: None,
        }
    }

    fn slice_of(&mut self, place: PlaceId) -> SlicePlace {
        match self.places[place.0 as usize].kind.clone() {
            PlaceKind::Slice(slice) => slice,
            _ => unreachable!("a slice's place"),
        }
    }

    /// Panics where the index is out of bounds.
    fn check_index(&mut self, index: Operand, len: Operand) {
        let inside = self.pure(Opcode::UintLt, index, len);
        self.check(inside, |b| {
            let callee = Callee::of::<_, (usize, usize), ()>(|index: usize, len: usize| {
                panic!("index out of bounds: the len is {len} but the index is {index}")
            });
            let ty = Type::of::<usize>();
            let args = [b.value(ty, vec![index]), b.value(ty, vec![len])];
            panic(b, "index_out_of_bounds", callee, &args);
        });
    }
}

#[inline(never)]
fn vec_slice_place(vec: PlaceId, item_size: u32) -> PlaceId {
    with(|b| {
        b.in_sequence_of(vec, |b| {
            let data = SliceData::Pointer(b.vec_word(vec, VecWord::Data, item_size));
            let len = b.vec_word(vec, VecWord::Len, item_size);
            b.place(PlaceKind::Slice(SlicePlace {
                data,
                len,
                frozen: true,
            }))
        })
    })
}

/// The items of a `Vec`.
pub(crate) fn vec_slice<T>(vec: Place<Vec<T>>) -> Place<[T]> {
    Type::learn_known::<Vec<T>>();
    Place::new(vec_slice_place(vec.__id(), size_of::<T>() as u32))
}

/// The bytes of a `String`.
pub(crate) fn string_str(string: Place<String>) -> Place<str> {
    Type::learn::<String>();
    Place::new(vec_slice_place(string.__id(), 1))
}

/// The items of an array.
pub(crate) fn array_slice<T, const N: usize>(array: Place<[T; N]>) -> Place<[T]> {
    Type::learn_known::<[T; N]>();
    Place::new(with(|b| {
        b.in_sequence_of(array.__id(), |b| {
            let data = SliceData::Array(b.in_memory(array.__id()));
            b.place(PlaceKind::Slice(SlicePlace {
                data,
                len: Operand::int(N as u64),
                frozen: true,
            }))
        })
    }))
}

/// What a place of type `Vec<T>` leads to.
#[derive(Debug)]
pub struct VecProxy<T>(Place<Vec<T>>);

impl<T> JitType for Vec<T> {
    type Target = VecProxy<T>;
    #[inline(never)]
    fn target(place: Place<Self>) -> VecProxy<T> {
        Type::learn_known::<Vec<T>>();
        VecProxy(place)
    }
}

impl<T> Deref for VecProxy<T> {
    type Target = SliceProxy<T>;
    #[inline(never)]
    fn deref(&self) -> &SliceProxy<T> {
        crate::handles::leak(SliceProxy(vec_slice(self.0)))
    }
}

impl<T> VecProxy<T> {
    /// `SliceProxy`'s, without the way there.
    #[doc(hidden)]
    #[inline(never)]
    pub fn __index<I: JitIndex<T>>(&self, index: &Var<I>) -> Place<I::Out> {
        I::index(vec_slice(self.0), *index)
    }
}

#[inline(never)]
fn vec_push(vec: PlaceId, value: ValueId, item: Type, grow: Callee) {
    with(|b| {
        let len = b.vec_word(vec, VecWord::Len, item.size);
        let capacity = b.vec_word(vec, VecWord::Capacity, item.size);
        let has_room = b.pure(Opcode::IntNe, len, capacity);
        let (full, room) = (b.graph.block(), b.graph.block());
        b.test(has_room, full);
        b.goto(room);
        b.current = full;
        let reference = b.reference(vec);
        crate::natives::emit_call(b, "Vec::reserve", Facts::STD, grow.images(), reference, None);
        b.goto(room);
        b.current = room;
        let data = SliceData::Pointer(b.vec_word(vec, VecWord::Data, item.size));
        let words = b.words(value);
        let mem = b.item(&data, len, item, true);
        b.consume(value);
        b.store_words(&mem, item, &words);
        let longer = b.pure(Opcode::IntAdd, len, Operand::int(1));
        b.set_vec_len(vec, item.size, longer);
    });
}

#[inline(never)]
fn vec_pop(vec: PlaceId, item: Type, option: Type) -> ValueId {
    with(|b| {
        let kinds: Vec<Kind> = option.shape().kinds().collect();
        let regs: Vec<_> = kinds.into_iter().map(|kind| b.reg(kind)).collect();
        let (empty, join) = (b.graph.block(), b.graph.block());
        let len = b.vec_word(vec, VecWord::Len, item.size);
        let some = b.pure1(Opcode::IntIsTrue, len);
        b.test(some, empty);
        let shorter = b.pure(Opcode::IntSub, len, Operand::int(1));
        b.set_vec_len(vec, item.size, shorter);
        let data = SliceData::Pointer(b.vec_word(vec, VecWord::Data, item.size));
        let mem = b.item(&data, shorter, item, true);
        let words = b.load_words(&mem, item);
        let words = b.construct_words(option, 1, &[words]);
        b.move_all(&regs, &words);
        b.goto(join);
        b.current = empty;
        let words = b.construct_words(option, 0, &[]);
        b.move_all(&regs, &words);
        b.goto(join);
        b.current = join;
        b.owned_value(option, regs.into_iter().map(Operand::Reg).collect())
    })
}

impl Builder {
    pub(crate) fn move_all(&mut self, regs: &[VReg], words: &[Operand]) {
        for (dst, src) in regs.iter().zip(words) {
            self.emit(Op::Move { dst: *dst, src: *src });
        }
    }
}

/// Arguments of a native method: the receiver's reference, then the others.
fn method<'a, S: ?Sized + 'a, A: crate::shims::Arguments, F: crate::shims::Invoke<A, R>, R>(
    name: &'static str,
    this: Place<S>,
    f: F,
    args: &[u32],
) -> Var<R> {
    let mut all = vec![this.__here().__addr_mut().__id()];
    all.extend(args);
    std_call::<F, A, R>(name, Facts::STD, f, &all)
}

impl<T> VecProxy<T> {
    /// `Vec::push`.
    #[inline(never)]
    pub fn push(&self, value: &Var<T>) -> Var<()> {
        let grow = Callee::of::<_, (&mut Vec<T>,), ()>(|vec: &mut Vec<T>| vec.reserve(1));
        vec_push(self.0.__here().__id(), value.__value(), Type::of::<T>(), grow);
        control::unit()
    }

    /// `Vec::pop`.
    #[inline(never)]
    pub fn pop(&self) -> Var<Option<T>> {
        let option = Type::learn::<Option<T>>();
        Var::new(vec_pop(self.0.__here().__id(), Type::of::<T>(), option))
    }

    /// `Vec::capacity`.
    #[inline(never)]
    pub fn capacity(&self) -> Var<usize> {
        let id = self.0.__here().__id();
        Var::number(crate::scalar::scalar_value(Type::of::<usize>(), |b| {
            b.vec_word(id, VecWord::Capacity, size_of::<T>() as u32)
        }))
    }

    /// `Vec::truncate`.
    #[inline(never)]
    pub fn truncate(&self, len: &Var<usize>) -> Var<()> {
        method::<_, (&mut Vec<T>, usize), _, ()>(
            "truncate",
            self.0,
            |v: &mut Vec<T>, n: usize| v.truncate(n),
            &[len.__id()],
        )
    }

    /// `Vec::clear`.
    #[inline(never)]
    pub fn clear(&self) -> Var<()> {
        method::<_, (&mut Vec<T>,), _, ()>("clear", self.0, |v: &mut Vec<T>| v.clear(), &[])
    }

    /// `Vec::insert`.
    #[inline(never)]
    pub fn insert(&self, at: &Var<usize>, value: &Var<T>) -> Var<()> {
        let f = |v: &mut Vec<T>, at: usize, value: T| v.insert(at, value);
        method::<_, (&mut Vec<T>, usize, T), _, ()>("insert", self.0, f, &[at.__id(), value.__id()])
    }

    /// `Vec::remove`.
    #[inline(never)]
    pub fn remove(&self, at: &Var<usize>) -> Var<T> {
        method::<_, (&mut Vec<T>, usize), _, T>(
            "remove",
            self.0,
            |v: &mut Vec<T>, at: usize| v.remove(at),
            &[at.__id()],
        )
    }

    /// `Vec::swap_remove`.
    #[inline(never)]
    pub fn swap_remove(&self, at: &Var<usize>) -> Var<T> {
        let f = |v: &mut Vec<T>, at: usize| v.swap_remove(at);
        method::<_, (&mut Vec<T>, usize), _, T>("swap_remove", self.0, f, &[at.__id()])
    }

    /// `Vec::reserve`.
    #[inline(never)]
    pub fn reserve(&self, more: &Var<usize>) -> Var<()> {
        method::<_, (&mut Vec<T>, usize), _, ()>(
            "reserve",
            self.0,
            |v: &mut Vec<T>, n: usize| v.reserve(n),
            &[more.__id()],
        )
    }

    /// `Vec::append`.
    #[inline(never)]
    pub fn append<'a>(&self, other: &Var<&'a mut Vec<T>>) -> Var<()>
    where
        T: 'a,
    {
        let f = |v: &mut Vec<T>, other: &mut Vec<T>| v.append(other);
        method::<_, (&mut Vec<T>, &mut Vec<T>), _, ()>("append", self.0, f, &[other.__id()])
    }

    /// `Vec::resize`.
    #[inline(never)]
    pub fn resize(&self, len: &Var<usize>, value: &Var<T>) -> Var<()>
    where
        T: Clone,
    {
        let f = |v: &mut Vec<T>, len: usize, value: T| v.resize(len, value);
        method::<_, (&mut Vec<T>, usize, T), _, ()>("resize", self.0, f, &[len.__id(), value.__id()])
    }

    /// `Vec::extend_from_slice`.
    #[inline(never)]
    pub fn extend_from_slice<'a>(&self, other: &Var<&'a [T]>) -> Var<()>
    where
        T: Clone + 'a,
    {
        let f = |v: &mut Vec<T>, other: &[T]| v.extend_from_slice(other);
        method::<_, (&mut Vec<T>, &[T]), _, ()>("extend_from_slice", self.0, f, &[other.__id()])
    }

    /// `Vec::as_slice`.
    #[inline(never)]
    pub fn as_slice<'a>(&self) -> Var<&'a [T]> {
        vec_slice(self.0.__here()).__addr()
    }

    /// `Vec::as_mut_slice`.
    #[inline(never)]
    pub fn as_mut_slice<'a>(&self) -> Var<&'a mut [T]> {
        vec_slice(self.0.__here()).__addr_mut()
    }
}

/// What a place of slice type leads to.
#[derive(Debug)]
pub struct SliceProxy<T>(Place<[T]>);

impl<T> JitType for [T] {
    type Target = SliceProxy<T>;
    #[inline(never)]
    fn target(place: Place<Self>) -> SliceProxy<T> {
        Type::learn_items::<T>();
        SliceProxy(place)
    }
}

impl<T, const N: usize> JitType for [T; N] {
    type Target = SliceProxy<T>;
    #[inline(never)]
    fn target(place: Place<Self>) -> SliceProxy<T> {
        SliceProxy(array_slice(place))
    }
}

#[inline(never)]
fn slice_len(slice: PlaceId) -> ValueId {
    with(|b| {
        let len = b.slice_of(slice).len;
        b.value(Type::of::<usize>(), vec![len])
    })
}

/// `first`, `last`, `get` and the like: a reference to the item, where it is there. `index`: `None` is the last one.
#[inline(never)]
fn slice_get(slice: PlaceId, index: Option<ValueId>, item: Type, option: Type) -> ValueId {
    with(|b| {
        let SlicePlace { data, len, frozen } = b.slice_of(slice);
        let kinds: Vec<Kind> = option.shape().kinds().collect();
        let regs: Vec<_> = kinds.into_iter().map(|kind| b.reg(kind)).collect();
        let (missing, join) = (b.graph.block(), b.graph.block());
        let index = match index {
            Some(index) => {
                let index = b.word(index);
                let inside = b.pure(Opcode::UintLt, index, len);
                b.test(inside, missing);
                index
            }
            None => {
                let some = b.pure1(Opcode::IntIsTrue, len);
                b.test(some, missing);
                b.pure(Opcode::IntSub, len, Operand::int(1))
            }
        };
        let mem = b.item(&data, index, item, frozen);
        let address = b.address(&mem);
        let words = b.construct_words(option, 1, &[vec![address]]);
        b.move_all(&regs, &words);
        b.goto(join);
        b.current = missing;
        let words = b.construct_words(option, 0, &[]);
        b.move_all(&regs, &words);
        b.goto(join);
        b.current = join;
        b.value(option, regs.into_iter().map(Operand::Reg).collect())
    })
}

impl<T> SliceProxy<T> {
    /// `len`.
    #[inline(never)]
    pub fn len(&self) -> Var<usize> {
        Var::new(slice_len(self.0.__id()))
    }

    /// `is_empty`.
    #[inline(never)]
    pub fn is_empty(&self) -> Var<bool> {
        eq(self.len(), lit(0))
    }

    fn option_ref<'a>(&self, index: Option<ValueId>) -> Var<Option<&'a T>> {
        Type::learn_known::<&'a T>();
        let option = Type::learn::<Option<&'a T>>();
        Var::new(slice_get(self.0.__here().__id(), index, Type::of::<T>(), option))
    }

    fn option_mut<'a>(&self, index: Option<ValueId>) -> Var<Option<&'a mut T>> {
        Type::learn_known::<&'a mut T>();
        let option = Type::learn::<Option<&'a mut T>>();
        Var::new(slice_get(self.0.__here().__id(), index, Type::of::<T>(), option))
    }

    /// `first`.
    #[inline(never)]
    pub fn first<'a>(&self) -> Var<Option<&'a T>> {
        let zero = lit(0usize);
        self.option_ref(Some(zero.__value()))
    }

    /// `first_mut`.
    #[inline(never)]
    pub fn first_mut<'a>(&self) -> Var<Option<&'a mut T>> {
        let zero = lit(0usize);
        self.option_mut(Some(zero.__value()))
    }

    /// `last`.
    #[inline(never)]
    pub fn last<'a>(&self) -> Var<Option<&'a T>> {
        self.option_ref(None)
    }

    /// `last_mut`.
    #[inline(never)]
    pub fn last_mut<'a>(&self) -> Var<Option<&'a mut T>> {
        self.option_mut(None)
    }

    /// `get`.
    #[inline(never)]
    pub fn get<'a>(&self, index: &Var<usize>) -> Var<Option<&'a T>> {
        self.option_ref(Some(index.__value()))
    }

    /// `get_mut`.
    #[inline(never)]
    pub fn get_mut<'a>(&self, index: &Var<usize>) -> Var<Option<&'a mut T>> {
        self.option_mut(Some(index.__value()))
    }

    /// `swap`.
    #[inline(never)]
    pub fn swap(&self, i: &Var<usize>, j: &Var<usize>) -> Var<()> {
        slice_swap(self.0.__here().__id(), i.__value(), j.__value(), Type::of::<T>());
        control::unit()
    }

    /// `fill`.
    #[inline(never)]
    pub fn fill(&self, value: &Var<T>) -> Var<()>
    where
        T: Clone,
    {
        method::<_, (&mut [T], T), _, ()>("fill", self.0, |s: &mut [T], value: T| s.fill(value), &[value.__id()])
    }

    /// `reverse`.
    #[inline(never)]
    pub fn reverse(&self) -> Var<()> {
        method::<_, (&mut [T],), _, ()>("reverse", self.0, |s: &mut [T]| s.reverse(), &[])
    }

    /// `copy_from_slice`.
    #[inline(never)]
    pub fn copy_from_slice<'a>(&self, other: &Var<&'a [T]>) -> Var<()>
    where
        T: Copy + 'a,
    {
        let f = |s: &mut [T], other: &[T]| s.copy_from_slice(other);
        method::<_, (&mut [T], &[T]), _, ()>("copy_from_slice", self.0, f, &[other.__id()])
    }

    /// `to_vec`.
    #[inline(never)]
    pub fn to_vec(&self) -> Var<Vec<T>>
    where
        T: Clone,
    {
        Type::learn_known::<Vec<T>>();
        method::<_, (&mut [T],), _, Vec<T>>("to_vec", self.0, |s: &mut [T]| s.to_vec(), &[])
    }

    /// `contains`.
    #[inline(never)]
    pub fn contains<'a>(&self, item: &Var<&'a T>) -> Var<bool>
    where
        T: PartialEq + 'a,
    {
        method::<_, (&mut [T], &T), _, bool>(
            "contains",
            self.0,
            |s: &mut [T], item: &T| s.contains(item),
            &[item.__id()],
        )
    }

    /// `iter`.
    #[inline(never)]
    pub fn iter<'a>(&self) -> Var<&'a [T]> {
        self.0.__here().__addr()
    }

    /// `iter_mut`.
    #[inline(never)]
    pub fn iter_mut<'a>(&self) -> Var<&'a mut [T]> {
        self.0.__here().__addr_mut()
    }

    #[doc(hidden)]
    #[inline(never)]
    pub fn __index<I: JitIndex<T>>(&self, index: &Var<I>) -> Place<I::Out> {
        I::index(self.0, *index)
    }
}

#[inline(never)]
fn slice_swap(slice: PlaceId, i: ValueId, j: ValueId, item: Type) {
    with(|b| {
        let SlicePlace { data, len, frozen } = b.slice_of(slice);
        let (i, j) = (b.word(i), b.word(j));
        b.check_index(i, len);
        b.check_index(j, len);
        let (first, second) = (b.item(&data, i, item, frozen), b.item(&data, j, item, frozen));
        let (one, two) = (b.load_words(&first, item), b.load_words(&second, item));
        b.store_words(&first, item, &two);
        b.store_words(&second, item, &one);
    });
}

/// What a slice can be indexed by.
#[diagnostic::on_unimplemented(message = "the type `[{T}]` cannot be indexed by `{Self}` in staged code")]
pub trait JitIndex<T>: Sized {
    /// What is there.
    type Out: ?Sized;
    /// Its place.
    fn index(slice: Place<[T]>, index: Var<Self>) -> Place<Self::Out>;
}

impl<T> JitIndex<T> for usize {
    type Out = T;
    #[inline(never)]
    fn index(slice: Place<[T]>, index: Var<usize>) -> Place<T> {
        Place::new(slice_index(slice.__here().__id(), index.__value(), Type::of::<T>()))
    }
}

#[inline(never)]
fn slice_index(slice: PlaceId, index: ValueId, item: Type) -> PlaceId {
    with(|b| {
        let SlicePlace { data, len, frozen } = b.slice_of(slice);
        let index = b.word(index);
        b.check_index(index, len);
        let mem = b.item(&data, index, item, frozen);
        b.mem_place(mem)
    })
}

macro_rules! range_indices {
    ($($range:ty)*) => {$(
        impl<T> JitIndex<T> for $range {
            type Out = [T];
            #[inline(never)]
            fn index(slice: Place<[T]>, index: Var<Self>) -> Place<[T]> {
                sub_slice_of(slice, index)
            }
        }
    )*};
}
range_indices!(Range<usize> RangeFrom<usize> RangeTo<usize> RangeInclusive<usize> RangeToInclusive<usize>);

/// A part of a slice: its address and length, so that no lifetime is named.
fn sub_slice_of<T, I: std::slice::SliceIndex<[T], Output = [T]>>(slice: Place<[T]>, index: Var<I>) -> Place<[T]> {
    let callee = |data: *mut T, len: usize, index: I| -> (usize, usize) {
        let whole = std::ptr::slice_from_raw_parts_mut(data, len);
        let part = crate::shims::sub_slice(whole, index);
        (part.cast::<T>() as usize, part.len())
    };
    Type::learn::<(usize, usize)>();
    let here = slice.__here().__id();
    let (data, len) = with(|b| {
        let SlicePlace { data, len, .. } = b.slice_of(here);
        let data = b.data_pointer(&data);
        let data = b.reinterpret(data, Kind::Ref);
        (
            b.value(Type::learn_known::<*mut T>(), vec![data]),
            b.value(Type::of::<usize>(), vec![len]),
        )
    });
    let args = [data.0, len.0, index.__id()];
    let part = std_call::<_, (*mut T, usize, I), (usize, usize)>("subslice", Facts::STD, callee, &args);
    Place::new(with(|b| {
        let words = b.words(part.__value());
        b.place(PlaceKind::Slice(SlicePlace {
            data: SliceData::Pointer(words[0]),
            len: words[1],
            frozen: true,
        }))
    }))
}

impl<T> JitIndex<T> for RangeFull {
    type Out = [T];
    #[inline(never)]
    fn index(slice: Place<[T]>, _: Var<Self>) -> Place<[T]> {
        slice
    }
}

// ---- strings

/// What a place of type `str` leads to.
#[derive(Debug)]
pub struct StrProxy(Place<str>);

impl JitType for str {
    type Target = StrProxy;
    #[inline(never)]
    fn target(place: Place<Self>) -> StrProxy {
        StrProxy(place)
    }
}

/// What a place of type `String` leads to.
#[derive(Debug)]
pub struct StringProxy(Place<String>);

impl JitType for String {
    type Target = StringProxy;
    #[inline(never)]
    fn target(place: Place<Self>) -> StringProxy {
        Type::learn::<String>();
        StringProxy(place)
    }
}

impl Deref for StringProxy {
    type Target = StrProxy;
    #[inline(never)]
    fn deref(&self) -> &StrProxy {
        crate::handles::leak(StrProxy(string_str(self.0)))
    }
}

impl StringProxy {
    /// `String::push_str`.
    #[inline(never)]
    pub fn push_str(&self, text: &Var<&str>) -> Var<()> {
        let f = |s: &mut String, text: &str| s.push_str(text);
        method::<_, (&mut String, &str), _, ()>("push_str", self.0, f, &[text.__id()])
    }

    /// `String::push`.
    #[inline(never)]
    pub fn push(&self, c: &Var<char>) -> Var<()> {
        method::<_, (&mut String, char), _, ()>("push", self.0, |s: &mut String, c: char| s.push(c), &[c.__id()])
    }

    /// `String::clear`.
    #[inline(never)]
    pub fn clear(&self) -> Var<()> {
        method::<_, (&mut String,), _, ()>("clear", self.0, |s: &mut String| s.clear(), &[])
    }

    /// `String::as_str`.
    #[inline(never)]
    pub fn as_str<'a>(&self) -> Var<&'a str> {
        string_str(self.0.__here()).__addr()
    }
}

impl StrProxy {
    /// `str::len`.
    #[inline(never)]
    pub fn len(&self) -> Var<usize> {
        Var::new(slice_len(self.0.__id()))
    }

    /// `str::is_empty`.
    #[inline(never)]
    pub fn is_empty(&self) -> Var<bool> {
        eq(self.len(), lit(0))
    }

    /// `str::as_bytes`.
    #[inline(never)]
    pub fn as_bytes<'a>(&self) -> Var<&'a [u8]> {
        let ty = Type::learn_known::<&'a [u8]>();
        let place = self.0.__here().__id();
        Var::new(with(|b| {
            let words = b.reference(place);
            b.value(ty, words)
        }))
    }
}

// ---- arrays

/// `[a, b, c]`.
#[inline(never)]
pub fn array<T, const N: usize>(items: [Var<T>; N]) -> Var<[T; N]> {
    let items: Vec<AnyVar> = items.iter().map(|item| item.__any()).collect();
    let ty = Type::learn_known::<[T; N]>();
    Var::new(array_value(ty, Type::of::<T>(), &items))
}

/// `[x; N]`.
#[inline(never)]
pub fn array_repeat<T: Copy, const N: usize>(item: Var<T>) -> Var<[T; N]> {
    Type::learn_known::<[T; N]>();
    std_call::<_, (T,), [T; N]>("array_repeat", Facts::PURE, |item: T| [item; N], &[item.__id()])
}

#[inline(never)]
fn array_value(ty: Type, item: Type, items: &[AnyVar]) -> ValueId {
    with(|b| {
        let slot = b.alloca(&ty.name, ty.size, ty.align);
        let memory = Mem::behind(slot, ty.name.as_str().into());
        for (n, value) in items.iter().enumerate() {
            let words = b.words(ValueId(value.0));
            b.consume(ValueId(value.0));
            let mem = memory.word_at(n as u32 * item.size, &format!(".{n}"));
            b.store_words(&mem, item, &words);
        }
        let words = b.load_words(&memory, ty);
        b.owned_value(ty, words)
    })
}

/// `vec![a, b, c]`.
#[inline(never)]
pub fn vec_of<T, const N: usize>(items: [Var<T>; N]) -> Var<Vec<T>> {
    Type::learn_known::<Vec<T>>();
    let items = array(items);
    std_call::<_, ([T; N],), Vec<T>>("vec", Facts::STD, |items: [T; N]| Vec::from(items), &[items.__id()])
}

/// `vec![x; n]`.
#[inline(never)]
pub fn vec_repeat<T: Clone>(item: Var<T>, len: Var<usize>) -> Var<Vec<T>> {
    Type::learn_known::<Vec<T>>();
    std_call::<_, (T, usize), Vec<T>>(
        "vec",
        Facts::STD,
        |item: T, len: usize| vec![item; len],
        &[item.__id(), len.__id()],
    )
}
