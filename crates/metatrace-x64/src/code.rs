//! The buffer that a piece of code is assembled into, before it has an address.
//!
//! Whatever depends on the final address, or on code that is made later, is kept as a list and filled in at the end:
//! constants behind the code, jumps to exit stubs, jumps and calls to other code.

use crate::encode::{self, Cond, Inst, PoolRef};
use dynasmrt::x64::X64Relocation;
use dynasmrt::{DynasmApi, VecAssembler};
use rustc_hash::FxHashMap;

/// dynasm's side of the buffer.
pub(crate) type Ops = VecAssembler<X64Relocation>;

/// The buffer and what is to be filled in.
pub(crate) struct Code {
    pub(crate) ops: Ops,
    pool: Pool,
    sites: Vec<Site>,
    fixups: Vec<Fixup>,
    /// Where a conditional jump to an exit ended last, if all that goes on behind it comes from there.
    left_at: Option<u32>,
    /// Conditional jumps to exits that became jumps back under the opposite condition: their ends and targets.
    turned: Vec<(u32, u32)>,
}

/// A 4-byte distance at `at` in the code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Site {
    pub(crate) at: u32,
    /// Which of the piece's exits it leads to.
    pub(crate) exit: u32,
}

/// A 4-byte distance at `at` in the code, to an address outside of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fixup {
    pub(crate) at: u32,
    pub(crate) target: u64,
}

/// Constants behind the code. Wide ones have 16 bytes, the word twice, and are aligned.
#[derive(Default)]
struct Pool {
    entries: Vec<(u64, bool)>,
    index: FxHashMap<(u64, bool), PoolRef>,
    uses: Vec<(u32, PoolRef)>,
}

impl Code {
    /// With room for the code of about so many operations.
    pub(crate) fn for_ops(count: usize) -> Code {
        Code {
            ops: VecAssembler::new_with_capacity(0, 16 * count, 0, 0, 0, 0, 0),
            pool: Pool::default(),
            sites: Vec::new(),
            fixups: Vec::new(),
            left_at: None,
            turned: Vec::new(),
        }
    }

    /// The length so far.
    pub(crate) fn offset(&self) -> u32 {
        self.ops.offset().0 as u32
    }

    pub(crate) fn push(&mut self, inst: Inst) {
        if let Some((at, pool)) = inst.pool {
            self.pool.uses.push((self.offset() + at as u32, pool));
        }
        self.ops.extend(&inst.bytes[..]);
    }

    /// A constant of 8 bytes.
    pub(crate) fn constant(&mut self, bits: u64) -> PoolRef {
        self.pool.entry(bits, false)
    }

    /// A constant of 16 bytes, the word twice.
    pub(crate) fn wide_constant(&mut self, bits: u64) -> PoolRef {
        self.pool.entry(bits, true)
    }

    /// A test and the jump that leaves at `exit` under `cond`. They stay together, so that the CPU can fuse them, and
    /// the distance is aligned to 4 bytes, so that it can be patched by one store.
    pub(crate) fn leave_if(&mut self, test: Option<Inst>, cond: Cond, exit: u32) {
        let jump = encode::jcc(cond);
        let len = jump.bytes.len() + test.as_ref().map_or(0, |test| test.bytes.len());
        let missing = self.missing(len);
        match test {
            Some(test) => self.push(encode::lengthened(test, missing)),
            None => self.fill(missing),
        }
        self.leave(jump, exit);
        self.left_at = Some(self.offset());
    }

    /// What follows may be jumped to.
    pub(crate) fn is_joined(&mut self) {
        self.left_at = None;
    }

    /// Jumps to `exit`, by a distance that can be patched.
    pub(crate) fn leave_always(&mut self, exit: u32) {
        let jump = encode::jmp();
        self.fill(self.missing(jump.bytes.len()));
        self.leave(jump, exit);
    }

    fn leave(&mut self, jump: Inst, exit: u32) {
        self.push(jump);
        self.sites.push(Site {
            at: self.offset() - 4,
            exit,
        });
    }

    /// How many bytes are missing so that `len` more end at a multiple of 4.
    fn missing(&self, len: usize) -> usize {
        (self.offset() as usize + len).wrapping_neg() % 4
    }

    fn fill(&mut self, len: usize) {
        if len > 0 {
            self.push(encode::nop(len));
        }
    }

    /// Jumps out of the piece.
    pub(crate) fn jump_to(&mut self, target: u64) {
        self.push(encode::jmp());
        self.fixups.push(Fixup {
            at: self.offset() - 4,
            target,
        });
    }

    pub(crate) fn call_to(&mut self, target: u64) {
        self.ops.push(0xe8);
        self.ops.push_i32(0);
        self.fixups.push(Fixup {
            at: self.offset() - 4,
            target,
        });
    }

    /// Jumps to an earlier place in the code. Right behind a jump to an exit the two change places: the conditional
    /// jump goes back, and the loop has one jump less.
    pub(crate) fn jump_back(&mut self, target: u32) {
        if self.left_at == Some(self.offset()) {
            let site = self.sites.pop().expect("the jump to the exit");
            self.turned.push((self.offset(), target));
            self.leave_always(site.exit);
            return;
        }
        let distance = |len: u32| target as i32 - (self.offset() + len) as i32;
        match i8::try_from(distance(2)) {
            Ok(near) => {
                self.ops.push(0xeb);
                self.ops.push_i8(near);
            }
            Err(_) => {
                let far = distance(5);
                self.ops.push(0xe9);
                self.ops.push_i32(far);
            }
        }
    }

    /// Pads with long nops to a multiple of `alignment`, a power of two of at most 16.
    pub(crate) fn align(&mut self, alignment: u32) {
        let mut missing = self.offset().wrapping_neg() % alignment;
        while missing > 0 {
            let len = missing.min(9);
            self.fill(len as usize);
            missing -= len;
        }
    }

    /// The jumps to exits so far.
    pub(crate) fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// Appends the constants; the finished bytes, the jumps to exits, and what the address is needed for.
    pub(crate) fn finish(mut self) -> (Vec<u8>, Vec<Site>, Vec<Fixup>) {
        self.align(if self.pool.entries.is_empty() { 4 } else { 16 });
        let mut at = self.offset();
        let mut offsets = vec![0; self.pool.entries.len()];
        for wide in [true, false] {
            for (n, (bits, _)) in self
                .pool
                .entries
                .iter()
                .enumerate()
                .filter(|(_, entry)| entry.1 == wide)
            {
                offsets[n] = at;
                for _ in 0..if wide { 2 } else { 1 } {
                    self.ops.push_u64(*bits);
                    at += 8;
                }
            }
        }
        let mut bytes = self
            .ops
            .finalize()
            .unwrap_or_else(|error| panic!("a label without a place: {error}"));
        for (end, target) in self.turned {
            bytes[end as usize - 5] ^= 1; // the lowest bit of a condition's number negates it
            set_distance(&mut bytes, end - 4, target);
        }
        for (at, pool) in self.pool.uses {
            set_distance(&mut bytes, at, offsets[pool.0 as usize]);
        }
        (bytes, self.sites, self.fixups)
    }
}

impl Pool {
    fn entry(&mut self, bits: u64, wide: bool) -> PoolRef {
        let entries = &mut self.entries;
        *self.index.entry((bits, wide)).or_insert_with(|| {
            entries.push((bits, wide));
            PoolRef(entries.len() as u32 - 1)
        })
    }
}

/// Sets the distance at `at` so that it leads to `target`, both offsets in the code.
pub(crate) fn set_distance(code: &mut [u8], at: u32, target: u32) {
    let distance = target as i32 - (at as i32 + 4);
    code[at as usize..at as usize + 4].copy_from_slice(&distance.to_le_bytes());
}
