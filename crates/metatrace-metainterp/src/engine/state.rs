//! What an engine remembers: portals, green keys, loops, guards.

use super::Location;
use crate::abort::Backoff;
use crate::recorder::GreenKey;
use crate::resume::ResumeData;
use metatrace_backend::LoopToken;
use metatrace_ir::TargetToken;
use metatrace_jitcode::{CalleeKey, PortalCode};
use rustc_hash::FxHashMap;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct PortalId(pub(super) usize);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct CellId(pub(super) usize);

#[derive(Debug)]
pub(super) struct Portal {
    pub(super) name: &'static str,
    pub(super) location: Option<Location>,
    pub(super) code: OnceCell<Rc<PortalCode>>,
    pub(super) key: CalleeKey,
}

/// What is known of a green key.
#[derive(Debug)]
pub(super) struct KeyCell {
    pub(super) hash: u64,
    /// Back-edges counted by look-up, where the table's counter is not the key's own.
    pub(super) ticks: u32,
    pub(super) backoff: Backoff,
    pub(super) code: Option<(LoopToken, TargetToken)>,
    pub(super) demotion: Demotion,
}

impl KeyCell {
    /// The code to enter from the interpreter.
    pub(super) fn entry(&self) -> Option<LoopToken> {
        let (token, _) = self.code?;
        (!self.demotion.is_on).then_some(token)
    }
}

/// Entering the code did not pay: for a while, back-edges stay in the native function. Traces still jump to it.
#[derive(Debug, Default)]
pub(super) struct Demotion {
    pub(super) is_on: bool,
    /// Losses without a win between them.
    losses: u32,
}

impl Demotion {
    /// The longest wait is so many thresholds' doublings: then another try costs next to nothing.
    const MAX_DOUBLINGS: u32 = 14;

    pub(super) fn lose(&mut self) {
        self.is_on = true;
        self.losses += 1;
    }

    pub(super) fn win(&mut self) {
        self.losses = 0;
    }

    /// Back-edges to wait for the next try: twice as many after each loss.
    pub(super) fn wait(&self, threshold: u32) -> u32 {
        threshold.saturating_mul(1 << self.losses.min(Self::MAX_DOUBLINGS))
    }
}

#[derive(Debug)]
pub(super) struct Loop {
    pub(super) cell: CellId,
    pub(super) bridges: u32,
    pub(super) balance: Balance,
}

/// What entering a loop has cost and saved over its latest exits.
///
/// An entry is a bet: machine code saves a part of the time that is spent in it, and the way out costs rebuilt frames and
/// a stretch of the blackhole, or a bridge. What is executed outside is counted, not timed, so that what the guest program's
/// own calls take meanwhile is not held against the loop. All that disturbs the measured time inside speaks for the loop.
#[derive(Debug, Default)]
pub(super) struct Balance {
    exits: u32,
    inside_ns: u64,
    cost_ns: u64,
}

/// What an exit has led to.
#[derive(Clone, Copy, Debug)]
pub(super) enum WayOut {
    /// So many instructions in the blackhole.
    Blackhole { steps: u64 },
    /// A recording of so many operations, whose compilation took so long.
    Recording { operations: u64, compile_ns: u64 },
}

impl Balance {
    /// Exits after which a balance is drawn.
    pub(super) const PERIOD: u32 = 2000;
    /// What an entry and an exit cost by themselves, and an instruction in the blackhole.
    const EXIT_NS: u64 = 500;
    const STEP_NS: u64 = 10;
    /// What recording an operation costs.
    const RECORD_NS: u64 = 300;
    /// Machine code saves so many times the time that is spent in it: it is at least three times as fast.
    const SAVED: u64 = 2;

    /// Adds an exit. At the end of a period: whether entering the loop has paid.
    pub(super) fn add(&mut self, inside_ns: u64, way_out: WayOut) -> Option<bool> {
        self.exits += 1;
        self.inside_ns += inside_ns;
        self.cost_ns += match way_out {
            WayOut::Blackhole { steps } => Self::EXIT_NS + steps * Self::STEP_NS,
            WayOut::Recording { operations, compile_ns } => operations * Self::RECORD_NS + compile_ns,
        };
        if self.exits < Self::PERIOD {
            return None;
        }
        let has_paid = self.inside_ns.saturating_mul(Self::SAVED) >= self.cost_ns;
        *self = Balance::default();
        Some(has_paid)
    }
}

#[derive(Debug)]
pub(super) struct Guard {
    pub(super) portal: PortalId,
    pub(super) token: LoopToken,
    pub(super) resume: ResumeData,
    pub(super) exits: u32,
    pub(super) has_bridge: bool,
    pub(super) backoff: Backoff,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) portals: Vec<Rc<Portal>>,
    pub(super) portal_ids: FxHashMap<CalleeKey, PortalId>,
    pub(super) cells: Vec<KeyCell>,
    pub(super) cell_ids: FxHashMap<(PortalId, GreenKey), CellId>,
    pub(super) loops: Vec<Loop>,
    pub(super) targets: u32,
    pub(super) guards: Vec<Rc<RefCell<Guard>>>,
}

impl State {
    /// What is known of a key, if anything is.
    pub(super) fn known_cell(&self, portal: PortalId, greens: &[u64]) -> Option<&KeyCell> {
        let cell = self.cell_ids.get(&(portal, GreenKey::from_slice(greens)))?;
        Some(&self.cells[cell.0])
    }

    pub(super) fn cell(&mut self, portal: PortalId, greens: &[u64], hash: u64) -> CellId {
        let cells = &mut self.cells;
        *self
            .cell_ids
            .entry((portal, GreenKey::from_slice(greens)))
            .or_insert_with(|| {
                cells.push(KeyCell {
                    hash,
                    ticks: 0,
                    backoff: Backoff::default(),
                    code: None,
                    demotion: Demotion::default(),
                });
                CellId(cells.len() - 1)
            })
    }

    pub(super) fn cell_by_key(&mut self, portal: PortalId, greens: &[u64]) -> CellId {
        self.cell(portal, greens, hash_greens(greens))
    }
}

/// The hash of a green key, by which back-edges are counted: each word's own Fibonacci hash, combined so that which keys share
/// a counter does not depend on a word that is the same in both. So it is not up to the address of a guest's program which of
/// its loops get hot early.
#[inline(always)]
pub fn hash_greens(greens: &[u64]) -> u64 {
    // the golden ratio, and other odd numbers: none is a small multiple of another
    const MULTIPLIERS: [u64; 8] = [
        0x9E37_79B9_7F4A_7C15,
        0xBF58_476D_1CE4_E5B9,
        0x94D0_49BB_1331_11EB,
        0xD6E8_FEB8_6659_FD93,
        0xA076_1D64_78BD_642F,
        0xE703_7ED1_A0B4_28DB,
        0x8EBC_6AF0_9C88_C6E3,
        0x5899_65CC_7537_4CC3,
    ];
    let words = greens.iter().enumerate();
    words.fold(0, |hash, (n, green)| {
        hash ^ green.wrapping_mul(MULTIPLIERS[n % MULTIPLIERS.len()])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 2,000 keys of two small numbers, no two are one, and few share a counter.
    #[test]
    fn small_numbers_spread() {
        let keys = (0..100).flat_map(|a| (0..20).map(move |b| hash_greens(&[a, b])));
        let mut hashes: Vec<u64> = keys.collect();
        hashes.sort_unstable();
        assert!(hashes.windows(2).all(|pair| pair[0] != pair[1]));
        let most = hashes.chunk_by(|a, b| a >> 52 == b >> 52).map(<[u64]>::len).max();
        assert!(most <= Some(5), "{most:?} keys share a counter");
    }

    /// Positions of one program, wherever it lies.
    #[test]
    fn which_keys_share_a_counter_is_not_up_to_addresses() {
        let counter = |pc: u64, program: u64| hash_greens(&[pc, program]) >> 52;
        let shared = |program| {
            let pairs = (0..200).flat_map(|a| (0..a).map(move |b| (a, b)));
            let shared = pairs.filter(|(a, b)| counter(*a, program) == counter(*b, program));
            shared.collect::<Vec<_>>()
        };
        let somewhere = shared(0x7fff_1234_5678);
        assert!(
            [0, 0x5555_0000_1000, 0x7ffe_dcba_9870]
                .iter()
                .all(|program| shared(*program) == somewhere)
        );
        assert!(somewhere.is_empty(), "neighbours are apart: {somewhere:?}");
    }

    /// Whether a loop loses whose executions all take so long, inside and outside.
    fn is_losing(inside_ns: u64, steps: u64) -> bool {
        let way_out = WayOut::Blackhole { steps };
        let mut balance = Balance::default();
        for _ in 1..Balance::PERIOD {
            assert_eq!(balance.add(inside_ns, way_out), None, "before the period's end");
        }
        balance.add(inside_ns, way_out) == Some(false)
    }

    #[test]
    fn a_loop_loses_where_its_exits_cost_more_than_it_saves() {
        assert!(is_losing(20, 10), "left at once");
        assert!(is_losing(300, 100), "a long way in the blackhole");
        assert!(!is_losing(5_000, 10), "a long time in machine code");
    }

    #[test]
    fn a_loop_pays_for_its_bridges() {
        let with_bridges = |every: u32| {
            let drawn = (0..Balance::PERIOD).scan(Balance::default(), |balance, n| {
                let way_out = match n % every {
                    0 => WayOut::Recording {
                        operations: 100,
                        compile_ns: 70_000,
                    },
                    _ => WayOut::Blackhole { steps: 10 },
                };
                Some(balance.add(2_000, way_out))
            });
            drawn.last().flatten()
        };
        assert_eq!(with_bridges(200), Some(true));
        assert_eq!(with_bridges(20), Some(false));
    }

    #[test]
    fn a_balance_starts_again_after_each_period() {
        let mut balance = Balance::default();
        let drawn = |balance: &mut Balance, inside_ns| {
            (0..Balance::PERIOD).find_map(|_| balance.add(inside_ns, WayOut::Blackhole { steps: 10 }))
        };
        assert_eq!(drawn(&mut balance, 1_000_000), Some(true));
        assert_eq!(drawn(&mut balance, 20), Some(false), "past merits do not count");
    }

    #[test]
    fn tries_become_rarer_with_each_loss_until_one_pays() {
        let mut demotion = Demotion::default();
        demotion.lose();
        assert!(demotion.is_on);
        assert_eq!(demotion.wait(10), 20);
        for _ in 0..40 {
            demotion.lose();
        }
        assert_eq!(demotion.wait(10), 10 << 14, "never for good");
        demotion.win();
        demotion.lose();
        assert_eq!(demotion.wait(10), 20);
    }
}
