//! What a bridge may still rely on about the memory behind its inputs.
//!
//! A root's facts hold for the pointer itself. A bridge gets plain words; if one of them was *derived* from an exclusive
//! root (a field's address, the buffer of a `Vec`), the bridge could reach the root's memory by a pointer it knows nothing
//! of, so the root's exclusiveness is not passed on with it.

use metatrace_ir::{Descr, Kind, Opcode, Pointee, Ref, RootKind, Trace};

/// For each value of a trace, the root it is or derives from.
#[derive(Debug)]
pub struct Derivations {
    /// By value number.
    derived_from: Vec<Option<Ref>>,
    roots: Vec<(Ref, RootKind)>,
}

impl Derivations {
    /// Follows the pointers of a trace.
    pub fn of(trace: &Trace) -> Derivations {
        let mut derived_from: Vec<Option<Ref>> = vec![None; trace.value_count()];
        let roots: Vec<(Ref, RootKind)> = trace.roots.iter().map(|root| (root.value, root.kind)).collect();
        for (value, _) in &roots {
            derived_from[value.as_value().expect("a root is an input")] = Some(*value);
        }
        for (n, op) in trace.ops.iter().enumerate() {
            if !may_make_pointer(op.opcode, op.descr.as_deref()) {
                continue;
            }
            let of = |value: &Ref| value.as_value().and_then(|value| derived_from[value]);
            let from = op.args.iter().find_map(of);
            let value = trace.result(n).as_value().expect("a result is a value");
            derived_from[value] = from;
        }
        Derivations { derived_from, roots }
    }

    /// The facts about an exit's values that a bridge inherits.
    pub fn inherited(&self, values: &[Ref]) -> Box<[Option<RootKind>]> {
        let of = |value: Ref| value.as_value().and_then(|n| self.derived_from[n]);
        let inherited = |value: &Ref| {
            let (root, kind) = *self.roots.iter().find(|(root, _)| root == value)?;
            let is_shadowed = values.iter().any(|other| other != value && of(*other) == Some(root));
            (kind != RootKind::Exclusive || !is_shadowed).then_some(kind)
        };
        values.iter().map(inherited).collect()
    }
}

/// Whether the operation's result may point into memory that an operand points to.
fn may_make_pointer(opcode: Opcode, descr: Option<&Descr>) -> bool {
    match opcode {
        Opcode::PtrField | Opcode::PtrItem | Opcode::SameAsR | Opcode::SameAsI => true,
        Opcode::IntAdd | Opcode::IntSub | Opcode::CastPtrToInt | Opcode::CastIntToPtr => true,
        Opcode::CallI | Opcode::CallR | Opcode::CallPureI | Opcode::CallPureR => true,
        _ => match descr {
            Some(Descr::Field(field)) => field.pointee != Pointee::Unknown || field.word.kind() == Kind::Ref,
            Some(Descr::Array(array)) => array.pointee != Pointee::Unknown || array.word.kind() == Kind::Ref,
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metatrace_ir::{FieldDescr, Memory, Op, Root, Word};
    use std::rc::Rc;

    fn field(pointee: Pointee, word: Word) -> Rc<Descr> {
        let name = "S.f".to_owned();
        Rc::new(Descr::Field(FieldDescr {
            name,
            offset: 8,
            word,
            memory: Memory::Rust,
            frozen: true,
            pointee,
        }))
    }

    #[test]
    fn a_derived_pointer_beside_its_root_ends_the_roots_exclusiveness() {
        let mut trace = Trace::new(vec![Kind::Ref]);
        let root = trace.input(0);
        trace.roots.push(Root {
            value: root,
            kind: RootKind::Exclusive,
        });
        let number = trace.push(Op::with_descr(
            Opcode::GetfieldGcI,
            &[root],
            field(Pointee::Unknown, Word::U64),
        ));
        let buffer = trace.push(Op::with_descr(
            Opcode::GetfieldGcI,
            &[root],
            field(Pointee::Owned, Word::U64),
        ));
        let derivations = Derivations::of(&trace);
        assert_eq!(
            *derivations.inherited(&[root, number]),
            [Some(RootKind::Exclusive), None]
        );
        assert_eq!(*derivations.inherited(&[root, buffer]), [None, None]);
    }
}
