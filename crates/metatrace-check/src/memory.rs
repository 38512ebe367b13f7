//! The memory of one run: what the world holds, what the trace has stored over it, what calls have written.
//!
//! Memory is in cells of eight bytes, made when they are first touched. Each knows what it would hold if the trace had
//! stored nothing (`clean`), so the trace's stores, the only thing that two runs are compared by, are the cells in which
//! both differ: a load more or less leaves no trace, nor does a store of what is there already.
//!
//! **Calls** write to all that they may reach: what is behind their pointers, from the address on; what addresses found
//! there lead to; and all memory that anybody reaches, unless they get no pointer and promise to do nothing else. What
//! they write follows from the number of the call and the place. A cell that is made after a call is what the call has
//! made of it. What they could have *seen* is an [`Event`].
//!
//! Allocations have other addresses in each run, so what is compared names them by the order in which they are found.

use crate::world::{Class, FRESH, Facts, Hints, Holds, Key, REAL_REGION, RegionId, World, base, hash};
use metatrace_ir::{Kind, Memory as Sort, Pointee, Word};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};

/// The choices that a value depends on, by their numbers; the first few.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Taint([u32; 4]);

impl Taint {
    pub(crate) fn of(choice: u32) -> Taint {
        Taint([choice, 0, 0, 0])
    }

    pub(crate) fn add(&mut self, other: Taint) {
        for choice in other.choices() {
            if !self.0.contains(&choice)
                && let Some(free) = self.0.iter_mut().find(|known| **known == 0)
            {
                *free = choice;
            }
        }
    }

    pub(crate) fn choices(self) -> impl Iterator<Item = u32> {
        self.0.into_iter().filter(|choice| *choice != 0)
    }
}

/// A word and what it depends on.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Value {
    pub bits: u64,
    pub taint: Taint,
}

/// Something that no run may do, so that nothing is promised of it.
pub(crate) type Undefined = &'static str;

/// A load or store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    pub address: u64,
    /// The pointer that the address is computed from.
    pub pointer: u64,
    pub word: Word,
    pub frozen: bool,
    pub sort: Sort,
    pub pointee: Pointee,
    /// The value that is loaded, of the recorded trace.
    pub value: Option<usize>,
    /// Whether the value is used as an address.
    pub is_address: bool,
    /// Whether the pointer is a green constant.
    pub is_green: bool,
}

impl Access {
    fn on_frozen_path(&self) -> bool {
        self.frozen && self.sort != Sort::Raw
    }
}

/// A word as runs are compared: itself, or the allocation that it leads to, numbered from 1, and the offset there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Named {
    pub allocation: u32,
    pub bits: u64,
}

/// What the trace has made of a cell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Stored {
    pub at: Named,
    pub holds: Named,
}

/// What others see of a run before it ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Event {
    pub what: String,
    pub args: Vec<Named>,
    pub memory: Vec<Stored>,
}

#[derive(Clone, Debug)]
struct Cell {
    now: u64,
    clean: u64,
    facts: Facts,
    /// By byte.
    taint: [u32; 8],
}

#[derive(Default, Debug)]
struct Contents {
    cells: BTreeMap<i64, Cell>,
    /// The calls that reached it, and from which offset on, in order.
    reached: Vec<(u32, i64)>,
}

/// Regions that a call reaches, and from which offset on.
#[derive(Default, Debug)]
struct Reach {
    regions: BTreeMap<RegionId, i64>,
    /// All that anybody reaches.
    pool: bool,
}

/// See the module's documentation.
#[derive(Default, Debug)]
pub(crate) struct Memory {
    contents: BTreeMap<RegionId, Contents>,
    /// By allocation: whether it is zero at first, and a name that it shares with others of its sort: not all are made in
    /// both runs, nor in one order.
    allocations: Vec<(bool, u64)>,
    /// The calls that reached all that anybody reaches.
    pool_reached: Vec<u32>,
    pub calls: u32,
    pub events: Vec<Event>,
    names: FxHashMap<RegionId, u32>,
    named: Vec<RegionId>,
}

/// Memory that derives from an exclusive root without being seen in it.
pub(crate) type Below = BTreeMap<RegionId, Vec<RegionId>>;

/// What the accesses of a run need besides its own memory.
pub(crate) struct Outside<'a> {
    pub world: &'a mut World,
    pub hints: &'a Hints,
    pub below: &'a Below,
}

const WHOLE: i64 = i64::MIN;

impl Memory {
    /// The address of a new allocation of this sort.
    pub(crate) fn allocate(&mut self, zeroed: bool, sort: impl std::hash::Hash) -> u64 {
        let region = RegionId(FRESH + self.allocations.len() as u32);
        self.allocations.push((zeroed, hash(("allocation", sort))));
        base(region)
    }

    fn class(&self, region: RegionId, world: &World) -> Class {
        match region.0.checked_sub(FRESH) {
            Some(_) => Class::Fresh,
            None => world.regions[region.0 as usize].class,
        }
    }

    fn name(&self, region: RegionId, world: &World) -> u64 {
        match region.0.checked_sub(FRESH) {
            Some(n) => self.allocations.get(n as usize).map_or(0, |(_, name)| *name),
            None => world.regions[region.0 as usize].name,
        }
    }

    // ---- loads and stores

    /// Where an access goes: into the region that its pointer leads to.
    fn place(&self, access: &Access, world: &World) -> Option<(RegionId, i64)> {
        let (region, at) = world.resolve(access.address)?;
        let (led_to, _) = world.resolve(access.pointer)?;
        (region == led_to && self.exists(region)).then_some((region, at))
    }

    /// Whether it is no allocation, or one that was made.
    fn exists(&self, region: RegionId) -> bool {
        let allocation = region.0.checked_sub(FRESH);
        allocation.is_none_or(|n| (n as usize) < self.allocations.len())
    }

    pub(crate) fn load(&mut self, access: &Access, out: &mut Outside<'_>) -> Result<Value, Undefined> {
        let (region, at) = self.place(access, out.world).ok_or("a load from no memory")?;
        let mut bits = 0u64;
        let mut value = Value::default();
        for n in 0..i64::from(access.word.size()) {
            let cell = self.cell(region, at + n, access, out)?;
            let lane = (at + n).rem_euclid(8);
            let (now, taint) = (cell.now, cell.taint[lane as usize]);
            let is_part = access.word.size() < 8 || at % 8 != 0;
            let is_number = access.word.kind() == Kind::Int && access.pointee == Pointee::Unknown;
            let is_changed = now != cell.clean && (is_part || is_number);
            let leads_to = out.world.resolve(now).filter(|_| is_changed);
            if leads_to.is_some_and(|(led_to, _)| led_to.0 >= FRESH && self.exists(led_to)) {
                // it has another address in each run
                return Err("a load of an allocation's address, or of a part of it, as a number");
            }
            bits |= (now >> (8 * lane) & 0xff) << (8 * n);
            value.taint.add(Taint::of(taint));
        }
        value.bits = access.word.extend(bits);
        let is_apart = self.class(region, out.world) == Class::Exclusive && access.sort == Sort::Rust;
        if access.value.is_none() || !is_apart || !access.frozen {
            return Ok(value);
        }
        match (access.pointee, self.led_to(value.bits, out.world)) {
            (Pointee::Owned | Pointee::Exclusive, None) if value.bits != 0 => {
                Err("a load of an owning pointer that owns nothing")
            }
            // what one place of a type owns is at no place of another type
            (pointee, Some((led_to, _))) if !pointee.may_own() && self.class(led_to, out.world) == Class::Exclusive => {
                Err("a load of something else where an owning pointer is")
            }
            _ => Ok(value),
        }
    }

    pub(crate) fn store(&mut self, access: &Access, value: Value, out: &mut Outside<'_>) -> Result<(), Undefined> {
        let (region, at) = self.place(access, out.world).ok_or("a store to no memory")?;
        if access.word == Word::Ref && at % 8 != 0 {
            // a part of an own allocation's address could not be compared
            return Err("a store of a pointer at an odd place");
        }
        if access.pointee.may_own() && access.on_frozen_path() && self.owns(value.bits, region, out.world) {
            return Err("a store that makes an owner own itself");
        }
        let class = self.class(region, out.world);
        let from = value.taint.choices().next().unwrap_or(0);
        for n in 0..i64::from(access.word.size()) {
            let cell = self.cell(region, at + n, access, out)?;
            let frozen = matches!(class, Class::Frozen | Class::Unknown);
            if frozen && !cell.facts.is_open {
                return Err("a store to frozen memory");
            }
            let lane = (at + n).rem_euclid(8);
            let byte = value.bits >> (8 * n) & 0xff;
            cell.now = cell.now & !(0xff << (8 * lane)) | byte << (8 * lane);
            cell.taint[lane as usize] = from;
        }
        Ok(())
    }

    /// Whether memory that a word leads to is this region, or leads to it in turn.
    fn owns(&self, bits: u64, region: RegionId, world: &World) -> bool {
        let mut found = Vec::from_iter(self.led_to(bits, world).map(|(led_to, _)| led_to));
        let mut next = 0;
        while let Some(owner) = found.get(next).copied() {
            if owner == region {
                return true;
            }
            let cells = self
                .contents
                .get(&owner)
                .into_iter()
                .flat_map(|contents| contents.cells.values());
            let below = cells.filter_map(|cell| self.led_to(cell.now, world));
            let new: Vec<RegionId> = below
                .map(|(led_to, _)| led_to)
                .filter(|led_to| !found.contains(led_to))
                .collect();
            found.extend(new);
            next += 1;
        }
        false
    }

    /// The cell that a byte lies in, made if need be. What one access takes for owned, and another for a place that others
    /// may write to at any time, is of no type.
    fn cell(
        &mut self,
        region: RegionId,
        byte: i64,
        access: &Access,
        out: &mut Outside<'_>,
    ) -> Result<&mut Cell, Undefined> {
        let at = byte & !7;
        let is_known = self
            .contents
            .get(&region)
            .is_some_and(|contents| contents.cells.contains_key(&at));
        if !is_known {
            let cell = self.new_cell(region, at, access, out);
            self.contents.entry(region).or_default().cells.insert(at, cell);
        }
        let is_owned = self.class(region, out.world) == Class::Exclusive && access.on_frozen_path();
        let contents = self.contents.get_mut(&region).expect("just made");
        let cell = contents.cells.get_mut(&at).expect("just made");
        if is_owned && cell.facts.is_open {
            return Err("a place that is owned, and open to all");
        }
        Ok(cell)
    }

    fn new_cell(&mut self, region: RegionId, at: i64, access: &Access, out: &mut Outside<'_>) -> Cell {
        let is_pointer = access.word.size() == 8
            && (access.word == Word::Ref || access.pointee != Pointee::Unknown || access.is_address);
        let owning = access.pointee.may_own() && access.sort == Sort::Rust;
        let holds = if is_pointer {
            let pointee = access.pointee;
            Holds::Pointer { pointee, owning }
        } else {
            Holds::Number(access.word)
        };
        let class = self.class(region, out.world);
        let is_open = !access.on_frozen_path() || (class == Class::Unknown && !access.is_green);
        let name = self.name(region, out.world);
        let facts = out.world.facts(name, at, Facts { holds, is_open });
        self.cell_of(region, at, facts, access.value, out)
    }

    fn cell_of(
        &mut self,
        region: RegionId,
        at: i64,
        facts: Facts,
        value: Option<usize>,
        out: &mut Outside<'_>,
    ) -> Cell {
        let name = self.name(region, out.world);
        let mut cell = Cell {
            now: 0,
            clean: 0,
            facts,
            taint: [0; 8],
        };
        let allocation = region.0.checked_sub(FRESH).map(|n| self.allocations.get(n as usize));
        let zeroed = allocation.flatten().is_some_and(|(zeroed, _)| *zeroed);
        if !zeroed {
            let key = |at| Key::Content(name, at);
            self.choose(&mut cell, region, at, key, value, out);
        }
        for call in self.calls_before(region, at, &facts, out.world) {
            if let Some((inner, from)) = self.led_to(cell.now, out.world) {
                self.reach_one(inner, from, call, out);
            }
            self.written(&mut cell, region, at, call, value, out);
        }
        cell
    }

    /// What the other run has looked at in a region is there in this one too, though it may have no use for the load.
    fn look_at_all(&mut self, region: RegionId, from: i64, out: &mut Outside<'_>) {
        if region.0 >= FRESH {
            return;
        }
        for (at, facts) in out.world.places(self.name(region, out.world), from) {
            let contents = self.contents.get(&region);
            if contents.is_none_or(|contents| !contents.cells.contains_key(&at)) {
                let cell = self.cell_of(region, at, facts, None, out);
                self.contents.entry(region).or_default().cells.insert(at, cell);
            }
        }
    }

    /// The calls that reached a place until now, in order.
    fn calls_before(&self, region: RegionId, at: i64, facts: &Facts, world: &World) -> BTreeSet<u32> {
        let class = self.class(region, world);
        let mut calls = BTreeSet::new();
        let unchanging = matches!(class, Class::Frozen | Class::Unknown);
        if unchanging && !facts.is_open {
            return calls;
        }
        if let Some(contents) = self.contents.get(&region) {
            let reached = contents.reached.iter().filter(|(_, from)| *from <= at);
            calls.extend(reached.map(|(call, _)| *call));
        }
        if facts.is_open && class != Class::Fresh {
            calls.extend(&self.pool_reached);
        }
        calls
    }

    /// Gives a cell contents that are chosen by these keys.
    fn choose(
        &self,
        cell: &mut Cell,
        region: RegionId,
        at: i64,
        key: impl Fn(i64) -> Key,
        value: Option<usize>,
        out: &mut Outside<'_>,
    ) {
        let class = match self.class(region, out.world) {
            Class::Unknown if !cell.facts.is_open => Class::Frozen,
            Class::Exclusive | Class::Frozen if cell.facts.is_open => Class::Unknown,
            class => class,
        };
        match cell.facts.holds {
            Holds::Pointer { pointee, owning } => {
                let (bits, choice) = out
                    .world
                    .pointer(key(at), (class, region), (pointee, owning), out.hints, value);
                cell.now = bits;
                cell.taint = [choice; 8];
            }
            Holds::Number(word) => {
                cell.now = 0;
                let size = word.size() as usize;
                for lane in (0..8).step_by(size) {
                    let (bits, choice) = out.world.number(key(at + lane as i64), word, out.hints, value);
                    let bits = if size == 8 {
                        bits
                    } else {
                        bits & ((1 << (8 * size)) - 1)
                    };
                    cell.now |= bits << (8 * lane);
                    cell.taint[lane..lane + size].fill(choice);
                }
            }
        }
        cell.clean = cell.now;
    }

    /// What a call makes of a cell that it reaches.
    fn written(
        &self,
        cell: &mut Cell,
        region: RegionId,
        at: i64,
        call: u32,
        value: Option<usize>,
        out: &mut Outside<'_>,
    ) {
        let name = self.name(region, out.world);
        let key = |at| Key::Written(call, name, at);
        let is_number = matches!(cell.facts.holds, Holds::Number(_));
        let is_address = out
            .world
            .resolve(cell.now)
            .is_some_and(|(region, _)| region != REAL_REGION);
        if (is_number && is_address) || out.world.way(key(at), 2) == 0 {
            return;
        }
        self.choose(cell, region, at, key, value, out);
    }

    // ---- calls

    /// Memory that only those reach who are told, if a word leads there.
    fn led_to(&self, bits: u64, world: &World) -> Option<(RegionId, i64)> {
        let (region, at) = world.resolve(bits)?;
        matches!(self.class(region, world), Class::Exclusive | Class::Fresh).then_some((region, at))
    }

    /// Notes a call with these arguments, as far as others can tell, and lets it write.
    pub(crate) fn call(&mut self, what: String, args: &[(Kind, u64)], any: bool, out: &mut Outside<'_>) {
        let reach = self.reach(args, any, out);
        let args = args.iter().map(|(_, bits)| self.named(*bits, out.world)).collect();
        let memory = self.stored(&reach, out.world);
        self.events.push(Event { what, args, memory });
        self.calls += 1;
        let call = self.calls;
        self.write_reached(&reach, call, out);
    }

    fn reach(&mut self, args: &[(Kind, u64)], any: bool, out: &mut Outside<'_>) -> Reach {
        let world = &*out.world;
        let mut reach = Reach {
            pool: any,
            ..Reach::default()
        };
        let mut pending = Vec::new();
        for (kind, bits) in args {
            let Some((region, _)) = world.resolve(*bits) else {
                continue;
            };
            // a number of the size of an address is no address
            if *kind == Kind::Ref || region != REAL_REGION {
                reach.pool = true;
                pending.extend(self.led_to(*bits, world));
            }
        }
        if reach.pool {
            let open = self.contents.iter().flat_map(|(region, contents)| {
                contents
                    .cells
                    .values()
                    .filter(|cell| self.is_in_pool(*region, cell, world))
            });
            pending.extend(open.filter_map(|cell| self.led_to(cell.now, world)));
        }
        while let Some((region, from)) = pending.pop() {
            let known = reach.regions.entry(region).or_insert(i64::MAX);
            if *known <= from {
                continue;
            }
            *known = from;
            self.look_at_all(region, from, out);
            let world = &*out.world;
            pending.extend(
                out.below
                    .get(&region)
                    .into_iter()
                    .flatten()
                    .map(|below| (*below, WHOLE)),
            );
            let cells = self
                .contents
                .get(&region)
                .into_iter()
                .flat_map(|contents| &contents.cells);
            let cells = cells.filter(|(at, _)| **at >= from).map(|(_, cell)| cell);
            pending.extend(cells.filter_map(|cell| self.led_to(cell.now, world)));
        }
        reach
    }

    /// Whether anybody reaches the cell.
    fn is_in_pool(&self, region: RegionId, cell: &Cell, world: &World) -> bool {
        match self.class(region, world) {
            Class::Unknown | Class::Exclusive | Class::Frozen => cell.facts.is_open,
            Class::Fresh => false,
        }
    }

    fn write_reached(&mut self, reach: &Reach, call: u32, out: &mut Outside<'_>) {
        if reach.pool {
            self.pool_reached.push(call);
        }
        for (region, from) in &reach.regions {
            self.contents.entry(*region).or_default().reached.push((call, *from));
        }
        let regions: Vec<RegionId> = self.contents.keys().copied().collect();
        for region in regions {
            let from = reach.regions.get(&region).copied();
            let contents = self.contents.get_mut(&region).expect("listed");
            let mut cells = std::mem::take(&mut contents.cells);
            for (at, cell) in &mut cells {
                let is_reached = from.is_some_and(|from| *at >= from);
                if is_reached || (reach.pool && self.is_in_pool(region, cell, out.world)) {
                    self.written(cell, region, *at, call, None, out);
                }
            }
            self.contents.get_mut(&region).expect("listed").cells = cells;
        }
    }

    /// A call of the past turns out to have reached a region of which nothing is known yet.
    fn reach_one(&mut self, region: RegionId, from: i64, call: u32, out: &mut Outside<'_>) {
        let contents = self.contents.entry(region).or_default();
        if contents.cells.is_empty() && !contents.reached.contains(&(call, from)) {
            contents.reached.push((call, from));
            for below in out.below.get(&region).into_iter().flatten() {
                self.reach_one(*below, WHOLE, call, out);
            }
        }
    }

    // ---- comparing

    /// A word as runs are compared.
    pub(crate) fn named(&mut self, bits: u64, world: &World) -> Named {
        match world.resolve(bits) {
            Some((region, at)) if region.0 >= FRESH => {
                let next = self.named.len() as u32 + 1;
                let allocation = *self.names.entry(region).or_insert(next);
                if allocation == next {
                    self.named.push(region);
                }
                Named {
                    allocation,
                    bits: at as u64,
                }
            }
            _ => Named { allocation: 0, bits },
        }
    }

    /// A word as calls see it that look at nothing else, and that one of the runs may not make: itself, or the sort of the
    /// allocation that it leads to.
    pub(crate) fn alike(&self, bits: u64, world: &World) -> (u64, u64) {
        match world.resolve(bits) {
            Some((region, at)) if region.0 >= FRESH => (self.name(region, world), at as u64),
            _ => (0, bits),
        }
    }

    /// What the trace has stored in memory that is reached.
    fn stored(&mut self, reach: &Reach, world: &World) -> Vec<Stored> {
        let mut all = Vec::new();
        let regions: Vec<RegionId> = self
            .contents
            .keys()
            .copied()
            .filter(|region| region.0 < FRESH)
            .collect();
        for region in regions {
            let from = reach.regions.get(&region).copied();
            self.stored_in(region, from, reach.pool, world, &mut all);
        }
        let mut n = 0;
        while let Some(region) = self.named.get(n).copied() {
            if let Some(from) = reach.regions.get(&region).copied() {
                self.stored_in(region, Some(from), false, world, &mut all);
            }
            n += 1;
        }
        all
    }

    fn stored_in(&mut self, region: RegionId, from: Option<i64>, pool: bool, world: &World, all: &mut Vec<Stored>) {
        let Some(contents) = self.contents.get(&region) else {
            return;
        };
        let changed = contents.cells.iter().filter(|(_, cell)| cell.now != cell.clean);
        let reached = changed.filter(|(at, cell)| {
            from.is_some_and(|from| **at >= from) || (pool && self.is_in_pool(region, cell, world))
        });
        let found: Vec<(i64, u64)> = reached.map(|(at, cell)| (*at, cell.now)).collect();
        for (at, bits) in found {
            let address = match region.0 >= FRESH {
                true => base(region),
                false => world.regions[region.0 as usize].base,
            };
            let at = self.named(address.wrapping_add_signed(at), world);
            let holds = self.named(bits, world);
            all.push(Stored { at, holds });
        }
    }

    /// Everything that the trace has stored, but for allocations that nobody can find.
    pub(crate) fn all_stored(&mut self, world: &World) -> Vec<Stored> {
        let allocations = (0..self.allocations.len() as u32).map(|n| RegionId(FRESH + n));
        let regions = self.contents.keys().copied().chain(allocations);
        let reach = Reach {
            regions: regions.map(|region| (region, WHOLE)).collect(),
            pool: true,
        };
        self.stored(&reach, world)
    }
}

impl std::fmt::Debug for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.allocation {
            0 if self.bits < 1 << 40 || self.bits > !0 - (1 << 40) => write!(f, "{}", self.bits as i64),
            0 => write!(f, "{:#x}", self.bits),
            n => write!(f, "allocation {n} + {}", self.bits as i64),
        }
    }
}
