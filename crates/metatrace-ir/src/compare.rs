//! Whether two traces are the same: exactly (`==`), or up to the names of guards and labels.
//!
//! Values have no names but their positions, so traces that differ in the names of their printed values are equal. The
//! order of the table of constants, the sharing of snapshots and snapshots that no operation has do not count either.

use crate::descr::{Descr, TargetToken};
use crate::trace::{GuardId, Op, SnapshotId, Trace};
use crate::value::Ref;
use rustc_hash::{FxHashMap, FxHashSet};
use std::fmt;
use std::hash::Hash;

/// The first place where two traces differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The operation's index; `None` where inputs, roots or lengths differ.
    pub op: Option<usize>,
    /// What differs.
    pub message: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.op {
            Some(n) => write!(f, "operation {n}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Difference {}

impl PartialEq for Trace {
    fn eq(&self, other: &Trace) -> bool {
        Comparison::new(self, other, false).run().is_ok()
    }
}

impl Trace {
    /// Whether `other` is the same trace, when each guard and each label of one may have another name in the other.
    ///
    /// # Errors
    /// The first difference.
    pub fn same_up_to_renaming(&self, other: &Trace) -> Result<(), Difference> {
        Comparison::new(self, other, true).run()
    }
}

/// A renaming, one to one.
struct Renaming<T> {
    allowed: bool,
    to: FxHashMap<T, T>,
    from: FxHashMap<T, T>,
}

impl<T: Copy + Eq + Hash> Renaming<T> {
    fn new(allowed: bool) -> Renaming<T> {
        Renaming {
            allowed,
            to: FxHashMap::default(),
            from: FxHashMap::default(),
        }
    }

    fn same(&mut self, left: T, right: T) -> bool {
        if !self.allowed {
            return left == right;
        }
        *self.to.entry(left).or_insert(right) == right && *self.from.entry(right).or_insert(left) == left
    }
}

struct Comparison<'a> {
    left: &'a Trace,
    right: &'a Trace,
    guards: Renaming<GuardId>,
    labels: Renaming<TargetToken>,
    same_snapshots: FxHashSet<(SnapshotId, SnapshotId)>,
}

impl<'a> Comparison<'a> {
    fn new(left: &'a Trace, right: &'a Trace, renaming: bool) -> Comparison<'a> {
        Comparison {
            left,
            right,
            guards: Renaming::new(renaming),
            labels: Renaming::new(renaming),
            same_snapshots: FxHashSet::default(),
        }
    }

    fn run(&mut self) -> Result<(), Difference> {
        let (left, right) = (self.left, self.right);
        let whole = |message: &str| Difference {
            op: None,
            message: message.to_string(),
        };
        if left.inputs != right.inputs {
            return Err(whole("the inputs differ"));
        }
        let same_roots = left.roots.len() == right.roots.len()
            && left
                .roots
                .iter()
                .zip(&right.roots)
                .all(|(l, r)| l.kind == r.kind && self.same_value(l.value, r.value));
        if !same_roots || left.derived != right.derived {
            return Err(whole("the roots differ"));
        }
        if left.words != right.words {
            return Err(whole("the words of inputs differ"));
        }
        for (n, (l, r)) in left.ops.iter().zip(&right.ops).enumerate() {
            self.same_op(l, r).map_err(|message| Difference {
                op: Some(n),
                message: message.to_string(),
            })?;
        }
        if left.ops.len() == right.ops.len() {
            Ok(())
        } else {
            Err(whole(&format!(
                "{} operations, and {}",
                left.ops.len(),
                right.ops.len()
            )))
        }
    }

    fn same_value(&self, left: Ref, right: Ref) -> bool {
        match (left.is_const(), right.is_const()) {
            (false, false) => left == right,
            (true, true) => {
                left.is_green() == right.is_green() && self.left.find_const(left) == self.right.find_const(right)
            }
            _ => false,
        }
    }

    fn same_values(&self, left: &[Ref], right: &[Ref]) -> bool {
        left.len() == right.len() && left.iter().zip(right).all(|(l, r)| self.same_value(*l, *r))
    }

    fn same_op(&mut self, left: &'a Op, right: &'a Op) -> Result<(), &'static str> {
        if left.opcode != right.opcode {
            return Err("different operations");
        }
        if !self.same_values(&left.args, &right.args) {
            return Err("the operands differ");
        }
        let same_descr = match (left.descr.as_deref(), right.descr.as_deref()) {
            (Some(Descr::Target(l)), Some(Descr::Target(r))) => self.labels.same(*l, *r),
            (l, r) => l == r,
        };
        if !same_descr {
            return Err("the descriptors differ");
        }
        let same_guard = match (left.guard, right.guard) {
            (Some(l), Some(r)) => self.guards.same(l, r),
            (l, r) => l == r,
        };
        if !same_guard {
            return Err("the guards' names differ");
        }
        if left.early != right.early {
            return Err("one is early");
        }
        if left.sunk != right.sunk {
            return Err("one is sunk");
        }
        let pending = |op: &'a Op| op.pending.as_deref().unwrap_or_default();
        if !self.same_values(pending(left), pending(right)) {
            return Err("the pending stores differ");
        }
        if self.same_snapshot(left.snapshot, right.snapshot) {
            Ok(())
        } else {
            Err("the frames differ")
        }
    }

    fn same_snapshot(&mut self, mut left: Option<SnapshotId>, mut right: Option<SnapshotId>) -> bool {
        loop {
            let (l, r) = match (left, right) {
                (None, None) => return true,
                (Some(l), Some(r)) => (l, r),
                _ => return false,
            };
            if !self.same_snapshots.insert((l, r)) {
                return true; // compared before: a difference would have ended the comparison
            }
            let frames = (
                self.left.snapshots.get(l.0 as usize),
                self.right.snapshots.get(r.0 as usize),
            );
            let (Some(l), Some(r)) = frames else { return false };
            if l.frame != r.frame || !self.same_values(&l.values, &r.values) {
                return false;
            }
            (left, right) = (l.parent, r.parent);
        }
    }
}
