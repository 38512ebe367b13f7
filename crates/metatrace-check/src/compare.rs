//! Whether two runs in one world are the same to others.

use crate::memory::{Event, Stored};
use crate::run::{Ending, Entry, Run, Setting, State, Visit, run};
use crate::world::{Random, World};
use metatrace_ir::{Opcode, Trace};
use rustc_hash::FxHashSet;

/// Exits that are not taken and are compared all the same, in each world.
const FORCED: usize = 2;

/// Attempts to find two runs that see the same world.
const ATTEMPTS: usize = 4;

/// The traces, and where runs of them begin.
pub(crate) struct Pair<'a> {
    pub setting: &'a Setting<'a>,
    pub optimized: &'a Trace,
    pub entry: Entry,
}

impl Pair<'_> {
    pub(crate) fn recorded(&self, world: &mut World, stop: Option<Visit>) -> Run {
        run(self.setting, self.setting.recorded, self.entry, stop, world)
    }

    fn optimized(&self, world: &mut World, stop: Option<Visit>) -> Run {
        run(self.setting, self.optimized, self.entry, stop, world)
    }

    /// Runs the optimised trace where the recorded one has run. Returns the number of states compared.
    ///
    /// A world is made as it is looked at, and a number may turn out later to be the address of something. So a difference
    /// counts when nothing was made on the way to it; otherwise both run again in what the world has become.
    pub(crate) fn compare(&self, world: &mut World, recorded: &Run, random: &mut Random) -> Result<u32, String> {
        let start = random.clone();
        let mut outcome = self.compare_once(world, recorded, random);
        for _ in 1..ATTEMPTS {
            if outcome.is_ok() {
                break;
            }
            let size = world.size();
            let recorded = self.recorded(world, None);
            outcome = self.compare_once(world, &recorded, &mut start.clone());
            if world.size() == size {
                break;
            }
        }
        outcome
    }

    fn compare_once(&self, world: &mut World, recorded: &Run, random: &mut Random) -> Result<u32, String> {
        let optimized = self.optimized(world, None);
        let mut states = self.endings(world, recorded, &optimized)?;
        let reached: FxHashSet<Visit> = recorded.visits.iter().copied().collect();
        let forcible: Vec<Visit> = optimized
            .visits
            .iter()
            .copied()
            .filter(|visit| self.can_be_forced(*visit))
            .collect();
        for _ in 0..FORCED {
            let Some(visit) = random.pick(&forcible).copied() else {
                break;
            };
            if !reached.contains(&visit) {
                // the recorded run ended before: `endings` has judged that
                continue;
            }
            let (before, after) = (self.recorded(world, Some(visit)), self.optimized(world, Some(visit)));
            let at = |run: &Run| matches!(run.ending, Ending::Exit { visit: at, .. } if at == visit);
            if at(&before) && at(&after) {
                same(&before.state, &after.state)
                    .map_err(|what| format!("{}, if it fails: {what}", self.name(visit)))?;
                states += 1;
            } else if let (true, Ending::Undefined { why, .. }) = (at(&before), &after.ending) {
                return Err(format!(
                    "{}, if it fails: the optimised trace does {why}",
                    self.name(visit)
                ));
            }
        }
        Ok(states)
    }

    fn endings(&self, world: &mut World, recorded: &Run, optimized: &Run) -> Result<u32, String> {
        if let Ending::Undefined { .. } = recorded.ending {
            return Ok(0);
        }
        match &optimized.ending {
            Ending::Undefined { why, op } => {
                let op = self.optimized.print_op(*op);
                Err(format!(
                    "the optimised trace does {why}, and the recorded one does not: {op}"
                ))
            }
            Ending::Exit { visit, .. } => self.exit(world, recorded, optimized, *visit),
            Ending::Away(_) if optimized.ending == recorded.ending => {
                same(&recorded.state, &optimized.state).map(|()| 1)
            }
            Ending::Enough(to) if matches!(recorded.ending, Ending::Enough(_)) => {
                // a loop that was peeled has another label, and another state there
                if to.is_some() && optimized.ending == recorded.ending {
                    return same(&recorded.state, &optimized.state).map(|()| 1);
                }
                same_events(&recorded.state.events, &optimized.state.events).map(|()| 0)
            }
            Ending::Away(_) | Ending::Enough(_) => Err(format!(
                "the optimised trace {}, the recorded one {}",
                self.told(optimized),
                self.told(recorded)
            )),
        }
    }

    fn exit(&self, world: &mut World, recorded: &Run, optimized: &Run, visit: Visit) -> Result<u32, String> {
        let named = |what| format!("{}: {what}", self.name(visit));
        if matches!(recorded.ending, Ending::Exit { visit: at, .. } if at == visit) {
            return same(&recorded.state, &optimized.state).map(|()| 1).map_err(named);
        }
        let fails = |run: &Run| matches!(run.ending, Ending::Exit { op, .. } if self.setting.recorded.ops[op].opcode.is_guard());
        let is_early = matches!(optimized.ending, Ending::Exit { op, .. } if self.optimized.ops[op].early);
        if !is_early || !recorded.visits.contains(&visit) || !fails(recorded) {
            let (optimized, recorded) = (self.told(optimized), self.told(recorded));
            return Err(format!("the optimised trace {optimized}, the recorded one {recorded}"));
        }
        // one behind it fails, whose work it does too
        let before = self.recorded(world, Some(visit));
        same(&before.state, &optimized.state).map(|()| 1).map_err(named)
    }

    fn op(&self, visit: Visit) -> Option<usize> {
        let ops = &self.setting.recorded.ops;
        ops.iter().position(|op| op.guard == Some(visit.guard))
    }

    fn can_be_forced(&self, visit: Visit) -> bool {
        let never = [Opcode::GuardNoException, Opcode::GuardNoOverflow, Opcode::GuardOverflow];
        self.op(visit)
            .is_some_and(|op| !never.contains(&self.setting.recorded.ops[op].opcode))
    }

    fn name(&self, visit: Visit) -> String {
        let op = self
            .op(visit)
            .map_or_else(|| format!("{:?}", visit.guard), |op| self.setting.recorded.print_op(op));
        match visit.iteration {
            0 => op,
            n => format!("{op} (after {n} rounds)"),
        }
    }

    fn told(&self, run: &Run) -> String {
        match &run.ending {
            Ending::Exit { visit, .. } => format!("leaves at {}", self.name(*visit)),
            Ending::Away(token) => format!("jumps to {token:?}"),
            Ending::Enough(_) => "goes on".to_owned(),
            Ending::Undefined { why, .. } => format!("does {why}"),
        }
    }
}

fn same(recorded: &State, optimized: &State) -> Result<(), String> {
    same_events(&recorded.events, &optimized.events)?;
    if recorded.frames != optimized.frames {
        let (before, after) = (&recorded.frames, &optimized.frames);
        let differ = before.iter().zip(after).position(|(before, after)| before != after);
        return Err(match differ {
            Some(n) if before[n].0 == after[n].0 => {
                format!(
                    "values {:?} instead of {:?}, in frame {n} from outside",
                    after[n].1, before[n].1
                )
            }
            _ => format!("frames {after:?} instead of {before:?}"),
        });
    }
    same_memory(&recorded.memory, &optimized.memory)
}

fn same_events(recorded: &[Event], optimized: &[Event]) -> Result<(), String> {
    for (n, (before, after)) in recorded.iter().zip(optimized).enumerate() {
        if (&before.what, &before.args) != (&after.what, &after.args) {
            let of = |event: &Event| format!("{} with {:?}", event.what, event.args);
            return Err(format!("call {} is {} instead of {}", n + 1, of(after), of(before)));
        }
        same_memory(&before.memory, &after.memory)
            .map_err(|what| format!("call {}, {}, could see: {what}", n + 1, before.what))?;
    }
    if recorded.len() != optimized.len() {
        return Err(format!("{} calls instead of {}", optimized.len(), recorded.len()));
    }
    Ok(())
}

fn same_memory(recorded: &[Stored], optimized: &[Stored]) -> Result<(), String> {
    let missing = |from: &[Stored], others: &[Stored]| from.iter().find(|stored| !others.contains(stored)).cloned();
    let told = |stored: Option<Stored>| match stored {
        Some(stored) => format!("{:?} stored at {:?}", stored.holds, stored.at),
        None => "nothing stored there".to_owned(),
    };
    if recorded == optimized {
        return Ok(());
    }
    let (before, after) = (missing(recorded, optimized), missing(optimized, recorded));
    Err(format!("memory with {} instead of {}", told(after), told(before)))
}
