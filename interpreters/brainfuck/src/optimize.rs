//! Rewriting a program into fewer, wider ops. Two passes over a list of ops whose jumps are not resolved yet:
//!
//! - [`fold_runs`]: `>>>` becomes `RightBy(3)`, `<<` `LeftBy(2)`, `+++--` `Add(1)`.
//! - [`fold_loops`]: `[-]` becomes `Clear`, `[->++>+<<]` becomes `MulRight {1, 2} MulRight {2, 1} Clear`.
//!
//! Both keep what a program does, its tape errors included; only the position of such an error becomes that of the first
//! character of the folded ones. So `><` stays, which fails at the tape's end, and a loop folds only if the multiplications
//! check every cell that its pointer would have passed.
//!
//! Absent: loops that step by more than one, loops around loops, dead code, scans (`[>]`).

use crate::program::{Located, Op, Position};
use std::collections::BTreeMap;

/// Folds runs of one kind of move, and runs of `+` and `-`, into one op each.
pub(crate) fn fold_runs(code: &[Located]) -> Vec<Located> {
    let mut folded: Vec<Located> = Vec::with_capacity(code.len());
    for &Located { op, position } in code {
        let op = counted(op);
        let merged = folded.last().and_then(|last| merge(last.op, op));
        match (folded.last_mut(), merged) {
            (Some(last), Some(merged)) => last.op = merged,
            _ => folded.push(Located { op, position }),
        }
    }
    folded.retain(|located| located.op != Op::Add(0));
    folded
}

fn counted(op: Op) -> Op {
    match op {
        Op::Right => Op::RightBy(1),
        Op::Left => Op::LeftBy(1),
        Op::Inc => Op::Add(1),
        Op::Dec => Op::Add(u8::MAX),
        other => other,
    }
}

fn merge(first: Op, second: Op) -> Option<Op> {
    match (first, second) {
        (Op::RightBy(a), Op::RightBy(b)) => Some(Op::RightBy(a + b)),
        (Op::LeftBy(a), Op::LeftBy(b)) => Some(Op::LeftBy(a + b)),
        (Op::Add(a), Op::Add(b)) => Some(Op::Add(a.wrapping_add(b))),
        _ => None,
    }
}

/// Replaces loops that only clear their cell, or add multiples of it to others. Expects what [`fold_runs`] returns.
pub(crate) fn fold_loops(code: &[Located]) -> Vec<Located> {
    let mut folded = Vec::with_capacity(code.len());
    let mut index = 0;
    while let Some(&located) = code.get(index) {
        match Transfer::recognise(&code[index..]) {
            Some(transfer) => {
                transfer.emit(located.position, &mut folded);
                index += transfer.length;
            }
            None => {
                folded.push(located);
                index += 1;
            }
        }
    }
    folded
}

/// A loop that empties its cell into others.
struct Transfer {
    /// Ops of the loop, brackets included.
    length: usize,
    /// What each step adds to which cell, by its offset from the loop's own.
    factors: BTreeMap<isize, u8>,
}

impl Transfer {
    /// The transfer that `code` begins with, if it does: a loop of moves and additions that ends at the cell where it
    /// began, having changed it by one.
    fn recognise(code: &[Located]) -> Option<Transfer> {
        let (first, body) = code.split_first()?;
        if !matches!(first.op, Op::Open(_)) {
            return None;
        }
        let mut factors = BTreeMap::from([(0, 0)]);
        let (mut offset, mut leftmost, mut rightmost) = (0_isize, 0, 0);
        for (index, located) in body.iter().enumerate() {
            match located.op {
                Op::RightBy(n) => offset = offset.checked_add_unsigned(n)?,
                Op::LeftBy(n) => offset = offset.checked_sub_unsigned(n)?,
                Op::Add(n) => {
                    let factor: &mut u8 = factors.entry(offset).or_default();
                    *factor = factor.wrapping_add(n);
                }
                Op::Close(_) if offset == 0 => {
                    return Transfer::new(index + 2, factors, leftmost, rightmost);
                }
                _ => return None,
            }
            leftmost = leftmost.min(offset);
            rightmost = rightmost.max(offset);
        }
        None
    }

    /// `None` unless the loop steps by one, and touches the outermost cells that it passes, so that the tape's ends are
    /// checked as before.
    fn new(length: usize, mut factors: BTreeMap<isize, u8>, leftmost: isize, rightmost: isize) -> Option<Transfer> {
        if !factors.contains_key(&leftmost) || !factors.contains_key(&rightmost) {
            return None;
        }
        match factors.remove(&0)? {
            u8::MAX => Some(Transfer { length, factors }),
            1 => {
                // Counting up to 256 takes `-cell` steps.
                factors.values_mut().for_each(|factor| *factor = factor.wrapping_neg());
                Some(Transfer { length, factors })
            }
            _ => None,
        }
    }

    fn emit(&self, position: Position, folded: &mut Vec<Located>) {
        for (&offset, &factor) in &self.factors {
            let distance = offset.unsigned_abs();
            let op = if offset > 0 {
                Op::MulRight { distance, factor }
            } else {
                Op::MulLeft { distance, factor }
            };
            folded.push(Located { op, position });
        }
        folded.push(Located {
            op: Op::Clear,
            position,
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::program::{Form, Op, Program};

    fn optimized(source: &str) -> Vec<Op> {
        let program = Program::parse(source.as_bytes(), Form::Optimized).expect("balanced");
        program.ops()[..program.ops().len() - 1].to_vec()
    }

    #[test]
    fn runs_fold_across_comments() {
        assert_eq!(optimized("> > a >"), [Op::RightBy(3)]);
        assert_eq!(optimized("+++--"), [Op::Add(1)]);
        assert_eq!(optimized("+-"), []);
    }

    #[test]
    fn moves_to_and_fro_stay() {
        assert_eq!(optimized("<>"), [Op::LeftBy(1), Op::RightBy(1)]);
    }

    #[test]
    fn clearing_loops() {
        assert_eq!(optimized("[-]"), [Op::Clear]);
        assert_eq!(optimized("[+]"), [Op::Clear]);
        assert_eq!(optimized("[--]"), [Op::Open(3), Op::Add(254), Op::Close(1)]);
    }

    #[test]
    fn multiplying_loops() {
        let expected = [
            Op::MulLeft {
                distance: 1,
                factor: 255,
            },
            Op::MulRight { distance: 2, factor: 3 },
            Op::Clear,
        ];
        assert_eq!(optimized("[->>+++<<<->]"), expected);
        assert_eq!(
            optimized("[>+<+]"),
            [
                Op::MulRight {
                    distance: 1,
                    factor: 255
                },
                Op::Clear
            ]
        );
    }

    #[test]
    fn loops_that_pass_more_cells_than_they_touch_stay() {
        assert_eq!(optimized("[->+>><<<]").first(), Some(&Op::Open(7)));
        assert_eq!(
            optimized("[->>+-<<]"),
            [Op::Open(5), Op::Add(255), Op::RightBy(2), Op::LeftBy(2), Op::Close(1)]
        );
    }

    #[test]
    fn loops_with_other_work_stay() {
        for source in ["[-.]", "[,]", "[]", "[>]", "[->[-]<]"] {
            assert!(matches!(optimized(source)[0], Op::Open(_)), "{source}");
        }
    }
}
