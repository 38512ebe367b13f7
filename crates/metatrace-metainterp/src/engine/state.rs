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
}

#[derive(Debug)]
pub(super) struct Loop {
    pub(super) cell: CellId,
    pub(super) bridges: u32,
    pub(super) balance: Balance,
}

/// Time spent in a loop's code, and on getting out of it, over its latest exits.
#[derive(Debug, Default)]
pub(super) struct Balance {
    pub(super) exits: u32,
    pub(super) inside_ns: u64,
    pub(super) outside_ns: u64,
}

impl Balance {
    /// Exits after which a balance is drawn.
    const PERIOD: u32 = 2000;

    /// Adds an exit; whether the code has cost more than it can have saved: machine code is a few times faster than the
    /// interpreter, so what it saves is at most a few times the time spent in it.
    pub(super) fn add(&mut self, inside_ns: u64, outside_ns: u64) -> bool {
        self.exits += 1;
        self.inside_ns += inside_ns;
        self.outside_ns += outside_ns;
        if self.exits < Self::PERIOD {
            return false;
        }
        let is_losing = self.inside_ns.saturating_mul(3) < self.outside_ns;
        *self = Balance::default();
        is_losing
    }
}

#[derive(Debug)]
pub(super) struct Guard {
    pub(super) portal: PortalId,
    pub(super) token: LoopToken,
    pub(super) resume: ResumeData,
    pub(super) exits: u32,
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
                });
                CellId(cells.len() - 1)
            })
    }

    pub(super) fn cell_by_key(&mut self, portal: PortalId, greens: &[u64]) -> CellId {
        self.cell(portal, greens, hash_greens(greens))
    }
}

/// The hash of a green key, by which back-edges are counted: Fibonacci hashing, word by word.
#[inline(always)]
pub fn hash_greens(greens: &[u64]) -> u64 {
    greens.iter().fold(0, |hash: u64, green| {
        (hash.rotate_left(5) ^ green).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    })
}
