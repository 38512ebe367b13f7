//! Worlds worth running in: of those that let the recorded trace come far, single choices are changed, those first on which
//! the guard depends that failed. A world in which the traces differ is made smaller before it is told.

use crate::compare::Pair;
use crate::run::{Ending, Entry, Run, Setting, Visit};
use crate::world::{Key, Random, World, hash};
use crate::{Mismatch, Options, Report};
use metatrace_ir::{GuardId, Opcode, Trace};
use rustc_hash::FxHashSet;
use std::fmt::Write;

/// Choices that are told.
const TOLD: usize = 60;
/// Attempts to make a world smaller.
const SHRINKS: usize = 400;

pub(crate) fn check(recorded: &Trace, optimized: &Trace, options: &Options) -> Result<Report, Mismatch> {
    let setting = Setting::new(recorded);
    let has = |op: &&metatrace_ir::Op| {
        let same = |other: &metatrace_ir::Op| other.opcode == Opcode::Label && other.descr == op.descr;
        op.opcode == Opcode::Label && optimized.ops.iter().any(same)
    };
    let labels = recorded
        .ops
        .iter()
        .filter(has)
        .map(|op| Entry::Label(op.descr().target()));
    let entries: Vec<Entry> = std::iter::once(Entry::Start).chain(labels).collect();
    let mut report = Report::default();
    let mut guards: FxHashSet<GuardId> = FxHashSet::default();
    let mut searches: Vec<Search> = entries.iter().map(|entry| Search::new(*entry, options.seed)).collect();
    for n in 0..options.worlds as usize {
        // half of them from the start
        let search = if n % 2 == 0 { 0 } else { (n / 2) % searches.len() };
        let search = &mut searches[search];
        let pair = Pair {
            setting: &setting,
            optimized,
            entry: search.entry,
        };
        let states = search.step(&pair, &mut guards, &mut report)?;
        report.worlds += 1;
        report.states += states;
    }
    report.guards = guards.len() as u32;
    Ok(report)
}

/// The search from one entry.
struct Search {
    entry: Entry,
    random: Random,
    best: Option<Best>,
    /// Worlds tried since the best one was found.
    stale: u32,
}

struct Best {
    world: World,
    run: Run,
    score: (usize, usize),
}

impl Search {
    fn new(entry: Entry, seed: u64) -> Search {
        let number = match entry {
            Entry::Start => 0,
            Entry::Label(token) => u64::from(token.0) + 1,
        };
        Search {
            entry,
            random: Random(hash((seed, number))),
            best: None,
            stale: 0,
        }
    }

    fn step(&mut self, pair: &Pair<'_>, guards: &mut FxHashSet<GuardId>, report: &mut Report) -> Result<u32, Mismatch> {
        let mut world = self.next();
        let recorded = pair.recorded(&mut world, None);
        guards.extend(recorded.visits.iter().map(|visit: &Visit| visit.guard));
        let is_undefined = matches!(recorded.ending, Ending::Undefined { .. });
        report.undefined += u32::from(is_undefined);
        let random = self.random.clone();
        let outcome = pair.compare(&mut world, &recorded, &mut self.random);
        let states = outcome.map_err(|what| {
            let (world, what) = smaller(pair, &world, &random, what);
            Mismatch {
                what,
                world: told(&world, self.entry),
            }
        })?;
        // what is undefined ends a run as soon as a guard does, but counts less
        let score = (recorded.visits.len(), usize::from(!is_undefined));
        self.stale += 1;
        if self.best.as_ref().is_none_or(|best| score >= best.score) {
            if self.best.as_ref().is_none_or(|best| score > best.score) {
                self.stale = 0;
            }
            let run = recorded;
            self.best = Some(Best { world, run, score });
        }
        Ok(states)
    }

    /// Another world: one of its own, or the best with a choice changed.
    fn next(&mut self) -> World {
        let fresh = self.random.one_in(8) || self.stale > 60;
        let Some(best) = self.best.as_ref().filter(|_| !fresh) else {
            if self.stale > 60 {
                (self.best, self.stale) = (None, 0);
            }
            return World::new(self.random.word());
        };
        let mut world = best.world.again();
        let random = &mut self.random;
        let order = &best.world.order;
        let reasons: Vec<Key> = best
            .run
            .taint
            .choices()
            .filter_map(|n| order.get(n as usize - 1).copied())
            .collect();
        if reasons.is_empty() || random.one_in(3) {
            // any comparison of the run, at the point where it changes its mind
            let comparison = random.pick(&best.run.comparisons);
            let choice = comparison.and_then(|(taint, ..)| random.pick(&taint.choices().collect::<Vec<_>>()).copied());
            let key = choice.and_then(|choice| order.get(choice as usize - 1).copied());
            if let (Some((_, a, b)), Some(key)) = (comparison, key)
                && let Some(now) = best.world.chosen(key)
                && best.world.resolve(now).is_none()
                && ![*a, *b].iter().any(|word| best.world.is_own(*word))
            {
                world.fix(key, nearer(random, now, *a, *b));
                return world;
            }
        }
        for _ in 0..1 + random.below(2) {
            let among: &[Key] = if reasons.is_empty() || random.one_in(6) {
                order
            } else {
                &reasons
            };
            let Some(key) = random.pick(among).copied() else { break };
            match (best.run.compared, best.world.chosen(key)) {
                (Some((a, b)), Some(now))
                    if best.world.resolve(now).is_none()
                        && ![a, b].iter().any(|word| best.world.is_own(*word))
                        && !random.one_in(3) =>
                {
                    world.fix(key, nearer(random, now, a, b));
                }
                _ => world.redraw(key),
            }
        }
        world
    }
}

/// The number, changed as far as a comparison of `a` and `b` is from changing its mind, or a little less or more.
fn nearer(random: &mut Random, now: u64, a: u64, b: u64) -> u64 {
    let distance = if random.one_in(2) {
        b.wrapping_sub(a)
    } else {
        a.wrapping_sub(b)
    };
    let around = (random.below(3) as u64).wrapping_sub(1);
    now.wrapping_add(distance).wrapping_add(around)
}

/// The same difference, or another one, with as many choices as possible being 0 or 1.
fn smaller(pair: &Pair<'_>, world: &World, random: &Random, what: String) -> (World, String) {
    let mut found = (world.clone(), what);
    let mut tries = 0;
    let mut n = 0;
    while n < found.0.order.len() && tries < SHRINKS {
        let key = found.0.order[n];
        for bits in [0, 1] {
            if found.0.chosen(key) == Some(bits) {
                break;
            }
            tries += 1;
            let mut smaller = found.0.again();
            smaller.fix(key, bits);
            let recorded = pair.recorded(&mut smaller, None);
            if let Err(what) = pair.compare(&mut smaller, &recorded, &mut random.clone()) {
                found = (smaller, what);
                break;
            }
        }
        n += 1;
    }
    found
}

fn told(world: &World, entry: Entry) -> String {
    let mut text = match entry {
        Entry::Start => "from the start, with\n".to_owned(),
        Entry::Label(token) => format!("from label {}, with\n", token.0),
    };
    let region = |name: u64| match world.regions.iter().find(|region| region.name == name) {
        Some(region) => region.base,
        None => 0,
    };
    for key in world.order.iter().take(TOLD) {
        let Some(bits) = world.chosen(*key) else { continue };
        let what = match key {
            Key::Input(n) => format!("input {n}"),
            Key::Content(name, at) => format!("memory at {:#x}", region(*name).wrapping_add_signed(*at)),
            Key::Written(call, name, at) => {
                format!(
                    "memory at {:#x} behind call {call}",
                    region(*name).wrapping_add_signed(*at)
                )
            }
            Key::Result(call) => format!("the result of call {call}"),
            Key::Panic(call) => format!("whether call {call} panics"),
            Key::Elidable(_) => "the result of an elidable call".to_owned(),
        };
        let is_small = (-1 << 40..1 << 40).contains(&(bits as i64));
        let bits = if is_small {
            (bits as i64).to_string()
        } else {
            format!("{bits:#x}")
        };
        let _ = writeln!(text, "    {what} = {bits}");
    }
    if world.order.len() > TOLD {
        let _ = writeln!(text, "    and {} more", world.order.len() - TOLD);
    }
    text
}
