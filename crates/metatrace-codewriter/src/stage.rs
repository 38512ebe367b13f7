//! Everything that macro-generated code names; the facade re-exports this module as `metatrace::__stage`.

pub use crate::control::{
    Join, Snapshot, again, begin, block, call, cont, cur, depth, done, drop_list, goto, leave, param, pop, ret, scope,
    scope24, snap, switch, test, test_leaving, trunc, unit, unreachable_, unwind_to,
};
pub use crate::handles::{
    AnyVar, JitType, Mv, Place, Rf, RfMut, Var, assign, bind, bind_leaving, coerce, get, init, parts_of, peek, recv,
    tmp, typed,
};
pub use crate::iter::{
    IntoJitIter, JitIter, range, range_from, range_full, range_inclusive, range_inclusive_val, range_to,
    range_to_inclusive, range_val,
};
pub use crate::library::{build_twins, key, run, show};
pub use crate::memory::{
    mem_replace, mem_swap, mem_take, outline_mut1, outline_mut2, outline_mut3, outline_mut4, outline_mut5,
    outline_mut6, outline_mut7, outline_mut8, outline_mut9, outline_mut10, outline_mut11, outline_mut12, outline0,
    outline1, outline2, outline3, outline4, outline5, outline6, outline7, outline8, outline9, outline10, outline11,
    outline12,
};
pub use crate::methods::{
    ArgTuple, AssocIsJit, FunctionIsJit, MethodIsJit, Probe, ProbeJit, ProbeKnown, ProbeUnknown, callee, probe_of,
};
pub use crate::natives::{
    NativeFlags as Native, native0, native1, native2, native3, native4, native5, native6, native7, native8, native9,
    native10, native11, native12, residual0, residual1, residual2, residual3, residual4, residual5, residual6,
    residual7, residual8, residual9, residual10, residual11, residual12,
};
pub use crate::overflow::overflow_checks;
pub use crate::patterns::{
    Scrut, bind_raw, ctor1, ctor2, ctor3, ctor4, ctor5, ctor6, ctor7, ctor8, ctor9, ctor10, ctor11, ctor12, pat_any,
    pat_rest, pat1, pat2, pat3, pat4, pat5, pat6, pat7, pat8, pat9, pat10, pat11, pat12, scrut, tuple1, tuple2, tuple3,
    tuple4, tuple5, tuple6, tuple7, tuple8, tuple9, tuple10, tuple11, tuple12,
};
pub use crate::pointers::{CoerceMut, CoerceRef, as_shared, static_place};
pub use crate::portal::{back_edge, header, merge_point, portal_begin, promote};
pub use crate::scalar::{
    JitArith, JitBits, JitCastFrom, JitConst, JitEq, JitFieldless, JitInt, JitNeg, JitScalar, add, add_assign, bitand,
    bitand_assign, bitor, bitor_assign, bitxor, bitxor_assign, cast, div, div_assign, eq, ge, gt, le, lit, lit_str, lt,
    mul, mul_assign, ne, neg, not, rem, rem_assign, shl, shl_assign, shr, shr_assign, sub, sub_assign,
};
pub use crate::sequences::{JitIndex, array, array_repeat, vec_of, vec_repeat};
pub use crate::statics;
pub use crate::sums::{JitFromResidual, JitTry, none, try_};
pub use crate::types::{
    FieldShape, KnownType, Type, TypeIsJit, TypeShape, VariantDecl, VariantShape, ctor_name, enum_shape, field, no_ctor,
};
pub use crate::{ctor, edition_2024, probe, probe_value};
pub use metatrace_graph::Blk;
pub use std::option::Option::{self, None, Some};
