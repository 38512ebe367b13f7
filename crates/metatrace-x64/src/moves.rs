//! Parallel moves: all sources are read before any target is written, as far as anybody can tell.
//!
//! ```text
//! rax <- rcx, rcx <- rax, [slot 1] <- 5        r11 <- rax; rax <- rcx; rcx <- r11; [slot 1] <- 5
//! ```
//!
//! A cycle is broken with the scratch register of the general bank, whatever is in it; a move from slot to slot goes
//! through the scratch register of the other one, so the two never meet.

use crate::locations::{Bank, Location, Reg, Slot};

/// Where a move goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    Register(Reg),
    Slot(Slot),
}

impl Target {
    fn location(self) -> Location {
        match self {
            Target::Register(reg) => Location::Register(reg),
            Target::Slot(slot) => Location::Slot(slot),
        }
    }
}

/// The moves one after the other. Never from slot to slot; constants and addresses come last, and need the general
/// scratch register at most. Targets are distinct.
pub(crate) fn sequence(moves: impl IntoIterator<Item = (Location, Target)>) -> Vec<(Location, Target)> {
    let mut steps = Vec::new();
    let (mut pending, last): (Vec<_>, Vec<_>) = moves
        .into_iter()
        .filter(|(from, to)| *from != to.location())
        .partition(|(from, _)| matches!(from, Location::Register(_) | Location::Slot(_)));
    while !pending.is_empty() {
        let before = pending.len();
        let mut n = 0;
        while n < pending.len() {
            let (from, to) = pending[n];
            if pending.iter().any(|(from, _)| *from == to.location()) {
                n += 1;
            } else {
                step(&mut steps, from, to);
                pending.swap_remove(n);
            }
        }
        if pending.len() == before {
            // only cycles are left: open the first
            let (from, _) = pending[0];
            let scratch = Bank::General.scratch();
            steps.push((from, Target::Register(scratch)));
            for (other, _) in &mut pending {
                if *other == from {
                    *other = Location::Register(scratch);
                }
            }
        }
    }
    steps.extend(last);
    steps
}

fn step(steps: &mut Vec<(Location, Target)>, from: Location, to: Target) {
    if let (Location::Slot(_), Target::Slot(_)) = (from, to) {
        let scratch = Bank::Float.scratch();
        steps.push((from, Target::Register(scratch)));
        steps.push((Location::Register(scratch), to));
    } else {
        steps.push((from, to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locations::RegSet;
    use metatrace_ir::random::Random;
    use std::collections::HashMap;

    fn places() -> Vec<Target> {
        let mut places: Vec<Target> = RegSet::of(&[Reg::RAX, Reg::RCX, Reg::RDX])
            .iter()
            .map(Target::Register)
            .collect();
        places.extend(Bank::Float.allocatable().iter().take(3).map(Target::Register));
        places.extend((0..3).map(|n| Target::Slot(Slot(n))));
        places
    }

    /// Executes the steps on a machine whose places hold their own number.
    #[test]
    fn all_sources_are_read_first() {
        let mut random = Random(1);
        let places = places();
        for _ in 0..20_000 {
            let mut targets = places.clone();
            for n in (1..targets.len()).rev() {
                targets.swap(n, random.below(n + 1));
            }
            targets.truncate(random.below(targets.len() + 1));
            let moves: Vec<(Location, Target)> = targets
                .iter()
                .map(|to| match random.below(6) {
                    0 => (Location::Constant(random.word()), *to),
                    _ => (random.pick(&places).location(), *to),
                })
                .collect();
            let key = |location: Location| format!("{location:?}");
            let start: HashMap<String, u64> = places
                .iter()
                .enumerate()
                .map(|(n, place)| (key(place.location()), n as u64))
                .collect();
            let read = |machine: &HashMap<String, u64>, from: Location| match from {
                Location::Constant(bits) => bits,
                other => machine[&key(other)],
            };
            let mut machine = start.clone();
            for (from, to) in sequence(moves.clone()) {
                let slots = matches!((from, to), (Location::Slot(_), Target::Slot(_)));
                assert!(!slots, "no instruction moves from slot to slot");
                let word = read(&machine, from);
                machine.insert(key(to.location()), word);
            }
            for place in &places {
                let source = moves
                    .iter()
                    .find(|(_, to)| to == place)
                    .map_or(place.location(), |(from, _)| *from);
                assert_eq!(
                    machine[&key(place.location())],
                    read(&start, source),
                    "{place:?} of {moves:?}"
                );
            }
        }
    }
}
