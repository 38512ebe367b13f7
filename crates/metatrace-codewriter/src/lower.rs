//! From what a twin has recorded to jitcode, with what the library needs besides.

use crate::builder::{Builder, PortalParam, refuse};
use crate::library::Lowered;
use crate::ownership;
use crate::portal::{self, NativeParam};
use crate::types::Type;
use metatrace_ir::JitCodeId;

/// The jitcode of what a twin has recorded. Where it would be too large, unwinds as [`refuse`] does.
pub(crate) fn lower(mut b: Builder, id: JitCodeId) -> Lowered {
    let result = b.result.expect("the twin has begun a function");
    let portal = b.portal.as_ref().map(|_| portal::parts(&b));
    let params = native_params(&b);
    metatrace_graph::close(&mut b.graph);
    ownership::expand(&mut b);
    let name = b.graph.name;
    let jitcode = metatrace_graph::lower(b.graph, id).unwrap_or_else(|error| refuse(name, &error.to_string()));
    Lowered {
        jitcode,
        params,
        result,
        portal,
    }
}

fn native_params(b: &Builder) -> Vec<NativeParam> {
    let Some(portal) = &b.portal else {
        let param = |ty: &Type| NativeParam {
            ty: *ty,
            by_address: false,
            is_assigned: false,
        };
        return b.params.iter().map(param).collect();
    };
    let assigned = b.graph.assigned();
    let param = |param: &PortalParam| NativeParam {
        ty: param.ty,
        by_address: param.root.is_none(),
        is_assigned: param.regs.iter().any(|reg| assigned[reg.0 as usize]),
    };
    portal.params.iter().map(param).collect()
}
