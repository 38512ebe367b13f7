//! What two runs share: the choices that make a world, and which memory there is.
//!
//! Everything that a trace does not say itself is a *choice*: the words of inputs, what memory holds before the run, what
//! calls return and write. A choice has a [`Key`] and is drawn when it is first needed, from a generator that depends on
//! the key alone, so it does not matter which run asks first, nor how often. The search changes single choices and leaves
//! the others.
//!
//! Addresses are handles: the region's place, shifted by 36, and the offset there, with its zero in the middle, so that every sum of a pointer and
//! a reasonable number lies in its region. A region may be *placed* at a constant's address, where a guard compares
//! its pointer with that. All other addresses of the size of real ones are one region.

use metatrace_ir::{Kind, Opcode, Pointee, Ref, Trace, Word};
use rustc_hash::{FxHashMap, FxHasher};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.word() % n.max(1) as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let n = self.below(items.len());
        items.get(n)
    }
}

pub(crate) fn hash(value: impl Hash) -> u64 {
    let mut hasher = FxHasher::default();
    value.hash(&mut hasher);
    // the low bits of this hash are weak
    Random(hasher.finish()).word()
}

/// What is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub(crate) enum Key {
    /// The word of an input, or of an argument of the label at which the run begins.
    Input(u32),
    /// What the region of this name holds at an offset before the run.
    Content(u64, i64),
    /// What a call writes there, by the number of the call.
    Written(u32, u64, i64),
    /// What a call returns.
    Result(u32),
    /// Whether it panics.
    Panic(u32),
    /// What an elidable call returns, by its callee and arguments.
    Elidable(u64),
}

/// Index of a region of memory; those of a run's own allocations follow behind those of the world.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub(crate) struct RegionId(pub u32);

/// Who reaches a region.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Class {
    /// Only who has a pointer that derives from its root.
    Exclusive,
    /// Anybody; but nothing changes on frozen paths.
    Frozen,
    /// Anybody.
    Unknown,
    /// Only who is told its address.
    Fresh,
}

#[derive(Clone, Debug)]
pub(crate) struct Region {
    /// Does not depend on the order in which regions are made.
    pub name: u64,
    pub class: Class,
    /// Of memory that an exclusive root owns: the root's.
    root: Option<RegionId>,
    /// The address of offset 0.
    pub base: u64,
}

const SHIFT: u32 = 36;
const MIDDLE: u64 = 1 << (SHIFT - 1);
/// The number of the first region, in the high bits of addresses: above all real ones, and positive.
const FIRST: u64 = 1 << 20;
/// The number of the first region that belongs to one run: with no pattern in it, so that its place is no number that is
/// likely to be drawn.
pub(crate) const FRESH: u32 = 0x2b_63d9;
/// Places of regions, and what their numbers are multiplied by.
const NUMBERS: u64 = 1 << 24;
const SCATTER: u64 = 0x9e_3779;
/// Where real addresses lie.
const REAL: std::ops::Range<u64> = 4096..1 << 47;
/// The size of a region that is placed at a constant's address.
const PLACED: u64 = 4096;
/// Regions that unknown pointers lead to.
const POOL: usize = 4;

/// What memory of a place is, by how it was first accessed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Facts {
    pub holds: Holds,
    /// Others have a way there besides its region's: it is behind a `Cell`, or raw.
    pub is_open: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Holds {
    Number(Word),
    Pointer { pointee: Pointee, owning: bool },
}

/// What is known of a trace's values, for choosing well.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hints {
    /// By value: whether it is used as an address.
    pub is_address: Vec<bool>,
    /// By value: the constants with which it is compared.
    pub compared: Vec<Vec<u64>>,
    /// By value: the green constants that guards prove it to be.
    pub greens: Vec<Vec<u64>>,
    /// The constants of the trace, by kind.
    pub ints: Vec<u64>,
    pub floats: Vec<u64>,
}

impl Hints {
    pub(crate) fn new(trace: &Trace) -> Hints {
        let count = trace.value_count();
        let mut hints = Hints {
            is_address: vec![false; count],
            compared: vec![Vec::new(); count],
            greens: vec![Vec::new(); count],
            ..Hints::default()
        };
        for constant in trace.constants() {
            match constant.kind {
                Kind::Int => hints.ints.push(constant.bits),
                Kind::Float => hints.floats.push(constant.bits),
                Kind::Ref => {}
            }
        }
        for words in [&mut hints.ints, &mut hints.floats] {
            words.sort_unstable();
            words.dedup();
        }
        // twice: the arguments of a label may be found out at its jump
        for _ in 0..2 {
            for n in (0..trace.ops.len()).rev() {
                hints.op(trace, n);
            }
        }
        hints.keep_numbers_from_addresses(trace);
        hints
    }

    /// No number is the address of memory that the trace knows by a constant: whoever got it would seem to have a way there.
    fn keep_numbers_from_addresses(&mut self, trace: &Trace) {
        let mut addresses: Vec<u64> = Vec::new();
        for op in &trace.ops {
            let address = match (op.opcode, &op.args[..]) {
                (Opcode::GuardValue, &[value, constant]) => {
                    let is_address = value.as_value().is_some_and(|n| self.is_address[n]);
                    is_address.then_some(constant)
                }
                (opcode, &[base, ..]) if opcode.class() == metatrace_ir::Class::Load => Some(base),
                _ => None,
            };
            let constant = address.and_then(|address| trace.as_const(address));
            addresses.extend(constant.map(|constant| constant.bits));
        }
        let is_near = |bits: &u64| addresses.iter().any(|address| bits.abs_diff(*address) < 4096);
        self.ints.retain(|bits| !is_near(bits));
        for (list, is_address) in self.compared.iter_mut().zip(&self.is_address) {
            list.retain(|bits| *is_address || !is_near(bits));
        }
    }

    fn mark(&mut self, value: Ref) {
        if let Some(n) = value.as_value() {
            self.is_address[n] = true;
        }
    }

    fn op(&mut self, trace: &Trace, n: usize) {
        use Opcode::*;
        let op = &trace.ops[n];
        let result = trace.result(n).as_value().expect("a result");
        match op.opcode {
            GetarrayitemRawI | GetarrayitemRawR | GetarrayitemRawF | SetarrayitemRaw => self.mark(op.args[0]),
            CastPtrToInt | CastIntToPtr | SameAsI | SameAsR | PtrItem | IntAdd | IntSub
                if self.is_address[result] || op.opcode == PtrItem =>
            {
                self.mark(op.args[0]);
            }
            Jump => {
                let own = trace
                    .ops
                    .iter()
                    .find(|label| label.opcode == Label && label.descr == op.descr);
                let args = own.map(|label| label.args.clone()).unwrap_or_default();
                for (arg, value) in args.iter().zip(&op.args) {
                    if arg.as_value().is_some_and(|n| self.is_address[n]) {
                        self.mark(*value);
                    }
                }
            }
            _ => {}
        }
        if let ([value, constant], true) = (&op.args[..], op.opcode.is_comparison() || op.opcode == GuardValue)
            && let (Some(n), Some(known)) = (value.as_value(), trace.as_const(*constant))
        {
            let is_green = op.opcode == GuardValue && constant.is_green();
            let list = if is_green { &mut self.greens } else { &mut self.compared };
            if !list[n].contains(&known.bits) {
                list[n].push(known.bits);
            }
        }
    }
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct World {
    seed: u64,
    /// Choices that are drawn anew.
    salts: FxHashMap<Key, u32>,
    /// Choices of numbers that are not drawn.
    fixed: FxHashMap<Key, u64>,
    drawn: FxHashMap<Key, (u64, u32)>,
    /// The keys in the order in which they were drawn first.
    pub order: Vec<Key>,
    pub regions: Vec<Region>,
    by_name: FxHashMap<u64, RegionId>,
    placed: BTreeMap<u64, RegionId>,
    /// By name of a region, and offset.
    facts: FxHashMap<(u64, i64), Facts>,
    /// Memory that a derived input leads to, of which it is not known yet where its root owns it.
    /// With the root; memory that it owns itself is not found there, so nothing owns itself.
    below: Vec<(RegionId, RegionId)>,
}

/// The region of all addresses that are not ours.
pub(crate) const REAL_REGION: RegionId = RegionId(0);

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let real = Region {
            name: 0,
            class: Class::Unknown,
            root: None,
            base: 0,
        };
        World {
            seed,
            salts: FxHashMap::default(),
            fixed: FxHashMap::default(),
            drawn: FxHashMap::default(),
            order: Vec::new(),
            regions: vec![real],
            by_name: FxHashMap::default(),
            placed: BTreeMap::new(),
            facts: FxHashMap::default(),
            below: Vec::new(),
        }
    }

    /// The same choices, with nothing drawn yet.
    pub(crate) fn again(&self) -> World {
        World {
            salts: self.salts.clone(),
            fixed: self.fixed.clone(),
            ..World::new(self.seed)
        }
    }

    /// How much of it has been made.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.regions.len(), self.facts.len())
    }

    /// Draws a choice anew.
    pub(crate) fn redraw(&mut self, key: Key) {
        self.fixed.remove(&key);
        *self.salts.entry(key).or_insert(0) += 1;
    }

    /// Fixes a choice, if it is one of a number.
    pub(crate) fn fix(&mut self, key: Key, bits: u64) {
        self.fixed.insert(key, bits);
    }

    /// Whether this is an address in the trace's own memory. Nobody guesses where that will be.
    pub(crate) fn is_own(&self, bits: u64) -> bool {
        self.resolve(bits).is_some_and(|(region, _)| region.0 >= FRESH)
    }

    /// What was drawn.
    pub(crate) fn chosen(&self, key: Key) -> Option<u64> {
        self.drawn.get(&key).map(|(bits, _)| *bits)
    }

    /// What was drawn, with the number of the choice, from 1.
    fn known(&self, key: Key) -> Option<(u64, u32)> {
        self.drawn.get(&key).copied()
    }

    fn random(&self, key: Key) -> Random {
        Random(hash((self.seed, key, self.salts.get(&key))))
    }

    fn keep(&mut self, key: Key, bits: u64) -> (u64, u32) {
        self.order.push(key);
        let chosen = (bits, self.order.len() as u32);
        self.drawn.insert(key, chosen);
        chosen
    }

    // ---- numbers

    /// A number as a place of this word holds it; `value` is where it will be seen.
    pub(crate) fn number(&mut self, key: Key, word: Word, hints: &Hints, value: Option<usize>) -> (u64, u32) {
        if let Some(known) = self.known(key) {
            return known;
        }
        let bits = match self.fixed.get(&key) {
            Some(bits) => *bits,
            None => {
                let random = &mut self.random(key);
                let compared = value
                    .and_then(|n| hints.compared.get(n))
                    .map_or(&[][..], |compared| compared);
                match word {
                    Word::F64 => float(random, compared, &hints.floats),
                    _ => int(random, word, compared, &hints.ints),
                }
            }
        };
        self.keep(key, fitting(word, bits))
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, key: Key, n: usize) -> bool {
        if let Some((bits, _)) = self.known(key) {
            return bits != 0;
        }
        let is_one = self.random(key).one_in(n);
        self.keep(key, is_one.into()).0 != 0
    }

    // ---- pointers

    /// A pointer that is found in a region, in memory of this class; `value` is where it will be seen.
    pub(crate) fn pointer(
        &mut self,
        key: Key,
        (holder, found_in): (Class, RegionId),
        (pointee, owning): (Pointee, bool),
        hints: &Hints,
        value: Option<usize>,
    ) -> (u64, u32) {
        if let Some(known) = self.known(key) {
            return known;
        }
        let mut random = self.random(key);
        let mut constant = |of: &[Vec<u64>]| {
            let constants = value.and_then(|n| of.get(n)).map_or(&[][..], |constants| constants);
            random.pick(constants).copied().filter(|_| !random.one_in(3))
        };
        let (green, at) = (constant(&hints.greens), constant(&hints.compared));
        let bits = match holder {
            _ if green.is_some() => self.own(key, Class::Frozen, None, green),
            _ if random.one_in(16) => 0,
            Class::Exclusive if owning => {
                let root = self.regions.get(found_in.0 as usize).and_then(|region| region.root);
                let of_root = |(of, _): &(RegionId, RegionId)| Some(*of) == root;
                match self.below.iter().position(of_root).filter(|_| random.one_in(2)) {
                    Some(n) => {
                        let (_, region) = self.below.swap_remove(n);
                        self.regions[region.0 as usize].base
                    }
                    None => self.own(key, Class::Exclusive, root, at),
                }
            }
            Class::Frozen if owning || pointee == Pointee::Shared => self.own(key, Class::Frozen, None, at),
            _ if owning => self.own(key, Class::Unknown, None, at),
            _ => self.unknown_pointer(&mut random, key, at),
        };
        self.keep(key, bits)
    }

    /// A pointer to memory of its own; its address.
    fn own(&mut self, key: Key, class: Class, root: Option<RegionId>, at: Option<u64>) -> u64 {
        let region = self.region(hash(("owned", key)), class, root, at);
        self.regions[region.0 as usize].base
    }

    fn unknown_pointer(&mut self, random: &mut Random, key: Key, at: Option<u64>) -> u64 {
        if at.is_some() {
            return self.own(key, Class::Unknown, None, at);
        }
        let pool = self.region(hash(("pool", random.below(POOL))), Class::Unknown, None, None);
        // two objects may be one, or one a part of the other
        let inside = random.pick(&[0i64, 0, 0, 8, 16]).copied().unwrap_or(0);
        self.regions[pool.0 as usize].base.wrapping_add_signed(inside)
    }

    /// The pointer of an input that is a root, or derives from one.
    pub(crate) fn input(&mut self, n: u32, class: Class, constants: &[u64]) -> (u64, u32) {
        let key = Key::Input(n);
        if let Some(known) = self.known(key) {
            return known;
        }
        let mut random = self.random(key);
        let at = random.pick(constants).copied().filter(|_| random.one_in(2));
        let bits = self.own(key, class, None, at);
        self.keep(key, bits)
    }

    /// An input that leads inside the memory at `root`, or below it.
    pub(crate) fn derived(&mut self, n: u32, root: u64, below: bool) -> (u64, u32) {
        let key = Key::Input(n);
        if let Some(known) = self.known(key) {
            return known;
        }
        let mut random = self.random(key);
        let bits = if below {
            let bits = self.own(key, Class::Exclusive, None, None);
            if let Some((root, _)) = self.resolve(root) {
                self.below.push((root, self.by_name[&hash(("owned", key))]));
            }
            bits
        } else {
            root + 8 * random.below(4) as u64
        };
        self.keep(key, bits)
    }

    /// One of several ways, for a choice that is made before another with its key.
    pub(crate) fn way(&self, key: Key, n: usize) -> usize {
        Random(self.random(key).word() ^ 0x5555).below(n)
    }

    fn region(&mut self, name: u64, class: Class, root: Option<RegionId>, at: Option<u64>) -> RegionId {
        if let Some(region) = self.by_name.get(&name) {
            return *region;
        }
        let id = RegionId(self.regions.len() as u32);
        let at = at.filter(|at| REAL.contains(at) && self.placed_at(*at).is_none());
        let base = at.unwrap_or_else(|| base(id));
        if at.is_some() {
            self.placed.insert(base, id);
        }
        // an exclusive region that nobody owns is a root's
        let root = root.or((class == Class::Exclusive).then_some(id));
        self.regions.push(Region {
            name,
            class,
            root,
            base,
        });
        self.by_name.insert(name, id);
        id
    }

    fn placed_at(&self, address: u64) -> Option<(u64, RegionId)> {
        let (base, region) = self.placed.range(..=address).next_back()?;
        (address - base < PLACED).then_some((*base, *region))
    }

    /// Where an address leads: a region and the offset in it.
    pub(crate) fn resolve(&self, address: u64) -> Option<(RegionId, i64)> {
        if let Some((base, region)) = self.placed_at(address) {
            return Some((region, (address - base) as i64));
        }
        if REAL.contains(&address) {
            return Some((REAL_REGION, address as i64));
        }
        let id = at_place(address >> SHIFT)?;
        let exists = id.0 >= FRESH || (id.0 as usize) < self.regions.len();
        // a placed region is not where it would be otherwise
        let in_place = id.0 >= FRESH
            || self
                .regions
                .get(id.0 as usize)
                .is_some_and(|region| region.base == base(id));
        (exists && in_place && id != REAL_REGION).then(|| (id, address.wrapping_sub(base(id)) as i64))
    }

    /// The places of a region from this offset on that runs have looked at.
    pub(crate) fn places(&self, region: u64, from: i64) -> Vec<(i64, Facts)> {
        let places = self
            .facts
            .iter()
            .filter(|((name, at), _)| *name == region && *at >= from);
        let mut places: Vec<(i64, Facts)> = places.map(|((_, at), facts)| (*at, *facts)).collect();
        places.sort_unstable_by_key(|(at, _)| *at);
        places
    }

    /// What the place is, which `facts` are about if nobody has asked before.
    pub(crate) fn facts(&mut self, region: u64, at: i64, facts: Facts) -> Facts {
        *self.facts.entry((region, at)).or_insert(facts)
    }
}

/// The address of offset 0 of a region that is not placed. Regions lie at odd distances, so that no number that is likely
/// to be drawn leads from one to another.
pub(crate) fn base(region: RegionId) -> u64 {
    let scattered = u64::from(region.0).wrapping_mul(SCATTER) % NUMBERS;
    ((FIRST + scattered) << SHIFT) + MIDDLE
}

/// The region whose place this is.
fn at_place(number: u64) -> Option<RegionId> {
    let scattered = number.checked_sub(FIRST).filter(|n| *n < NUMBERS)?;
    // the inverse of an odd number modulo a power of two, by Newton's method
    let inverse = (0..5).fold(SCATTER, |x, _| {
        x.wrapping_mul(2u64.wrapping_sub(SCATTER.wrapping_mul(x)))
    });
    Some(RegionId((scattered.wrapping_mul(inverse) % NUMBERS) as u32))
}

/// The number that a place of this word holds instead.
pub(crate) fn fitting(word: Word, bits: u64) -> u64 {
    match word {
        Word::Length => bits & (i64::MAX as u64),
        word => word.extend(bits),
    }
}

fn int(random: &mut Random, word: Word, compared: &[u64], constants: &[u64]) -> u64 {
    let bits = 8 * word.size();
    let near = |random: &mut Random, known: u64| known.wrapping_add(random.below(3) as u64).wrapping_sub(1);
    match random.below(10) {
        0..=2 if !compared.is_empty() => {
            let known = *random.pick(compared).expect("one at least");
            if random.one_in(2) { known } else { near(random, known) }
        }
        0..=4 => random.below(4) as u64,
        5 => random.below(40) as u64,
        6 => random.pick(constants).copied().map_or(1, |known| near(random, known)),
        7 => near(random, 1 << (bits - 1)),
        8 => {
            let bit = random.below(bits as usize);
            near(random, 1 << bit)
        }
        _ => random.word(),
    }
}

fn float(random: &mut Random, compared: &[u64], constants: &[u64]) -> u64 {
    let special = [
        0.0,
        -0.0,
        1.0,
        -1.5,
        0.5,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        5e-324,
        f64::MAX,
    ];
    match random.below(8) {
        0 | 1 if !compared.is_empty() => *random.pick(compared).expect("one at least"),
        0..=2 => random.pick(&special).expect("there are some").to_bits(),
        3 => random.pick(constants).copied().unwrap_or(0),
        4 | 5 => (random.below(200) as f64 - 100.0).to_bits(),
        _ => ((random.word() as i64 >> random.below(63)) as f64 / 1024.0).to_bits(),
    }
}

/// A float as runs are compared: Rust does not say which NaN arithmetic gives.
pub(crate) fn one_nan(bits: u64) -> u64 {
    if f64::from_bits(bits).is_nan() {
        f64::NAN.to_bits()
    } else {
        bits
    }
}
