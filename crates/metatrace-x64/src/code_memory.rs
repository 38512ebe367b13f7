//! Memory for code: one range of addresses, reserved at the start, so that any code reaches any other by a 4-byte
//! distance.
//!
//! The pages are mapped twice: one view is writable, the other executable, and no page is ever both. Where the kernel
//! refuses that, there is one view, and `mprotect` makes the pages of a chunk writable while it is written; no code of
//! the thread runs meanwhile, and the memory belongs to one thread.
//!
//! The second view comes from `mremap` with an old size of 0, which duplicates shared pages; unlike a `memfd`, it
//! leaves the mapping anonymous, so that `perf` looks for a map file. That a patch made through one view is seen
//! through the other needs no more than the coherence of caches, which is by physical address, and the jumps between
//! a patch and its use.
//!
//! After `fork` the child shares the pages with its parent, which goes on writing them. So the child, which loses the
//! writable view, gives the memory up: see [`CodeMemory::is_usable`].
//!
//! The range is near the program if there is room, so that calls of its functions take a 4-byte distance, too.
//!
//! One description of frames covers the whole range, so that stack traces go through generated code: all of it has the
//! frame that [`locations`](crate::locations) describes, but for the few instructions that make and leave it.

use libc::{
    MAP_ANONYMOUS, MAP_FAILED, MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED, PROT_EXEC, PROT_NONE, PROT_READ, PROT_WRITE,
};
use std::io;
use std::ptr::{null_mut, slice_from_raw_parts_mut};

/// A piece of the memory, in bytes from its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Chunk {
    start: usize,
    len: usize,
}

pub(crate) struct CodeMemory {
    /// Where code runs.
    exec: Mapping,
    /// Where it is written; `None` where pages change their protection.
    write: Option<Mapping>,
    /// A byte that is 1, and 0 in a child.
    alive: Mapping,
    free: FreeList,
    frames: Option<FrameInfo>,
}

/// Chunks begin at multiples of this.
const ALIGNMENT: usize = 16;

const TRAP: u8 = 0xcc;

impl CodeMemory {
    /// Reserves `size` bytes of addresses; pages take memory when they are used. With `double`, by two views if
    /// possible.
    ///
    /// # Errors
    /// Where the system maps no executable pages.
    pub(crate) fn new(size: usize, double: bool) -> io::Result<CodeMemory> {
        let size = size.next_multiple_of(page_size());
        let alive = Mapping::new(page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE)?;
        alive.store(0, &[1]);
        let views = match alive.advise(libc::MADV_WIPEONFORK) {
            Ok(()) if double => CodeMemory::two_views(size),
            Ok(()) => Err(io::Error::other("one view was asked for")),
            // Without it a child would not know that it is one, and write to pages that it does not have.
            Err(error) => Err(error),
        };
        let (exec, write) = match views {
            Ok((exec, write)) => (exec, Some(write)),
            Err(_) => (CodeMemory::one_view(size)?, None),
        };
        let frames = FrameInfo::register(exec.address, size);
        Ok(CodeMemory {
            exec,
            write,
            alive,
            free: FreeList::new(size),
            frames,
        })
    }

    fn two_views(size: usize) -> io::Result<(Mapping, Mapping)> {
        let write = Mapping::new(size, PROT_READ | PROT_WRITE, MAP_SHARED)?;
        let exec = match Mapping::near_this_program(size, PROT_NONE) {
            Some(near) => write.duplicate_over(near)?,
            None => write.duplicate()?,
        };
        exec.protect(0, size, PROT_READ | PROT_EXEC)?;
        write.advise(libc::MADV_DONTFORK)?;
        Ok((exec, write))
    }

    fn one_view(size: usize) -> io::Result<Mapping> {
        let exec = match Mapping::near_this_program(size, PROT_NONE) {
            Some(near) => near,
            None => Mapping::new(size, PROT_NONE, MAP_PRIVATE)?,
        };
        // what will be done for every chunk
        exec.protect(0, page_size(), PROT_READ | PROT_WRITE)?;
        exec.protect(0, page_size(), PROT_READ | PROT_EXEC)?;
        Ok(exec)
    }

    /// Whether the memory is this process's own: not in a child that was forked while there were two views.
    pub(crate) fn is_usable(&self) -> bool {
        self.write.is_none() || self.alive.load(0) == 1
    }

    /// Whether there are two views.
    #[cfg(test)]
    fn is_double(&self) -> bool {
        self.write.is_some()
    }

    /// Takes a chunk; `None` when there is no room.
    pub(crate) fn allocate(&mut self, len: usize) -> Option<Chunk> {
        self.free.allocate(len.max(1).next_multiple_of(ALIGNMENT))
    }

    /// Gives a chunk back. No code runs in it or jumps to it any more.
    ///
    /// # Errors
    /// Where the memory cannot be written, as for all that writes; the chunk is lost then.
    pub(crate) fn release(&mut self, chunk: Chunk) -> io::Result<()> {
        self.write_at(chunk.start, &vec![TRAP; chunk.len])?;
        self.free.release(chunk);
        Ok(())
    }

    /// Whether all of the memory reaches this address by a distance of 4 bytes.
    pub(crate) fn reaches(&self, target: u64) -> bool {
        let end = self.exec.address + self.exec.size as u64;
        target.abs_diff(self.exec.address).max(target.abs_diff(end)) < i32::MAX as u64
    }

    /// The address at which the chunk's code runs.
    pub(crate) fn address(&self, chunk: Chunk) -> u64 {
        self.exec.address + chunk.start as u64
    }

    /// Fills a chunk from its start.
    pub(crate) fn write(&mut self, chunk: Chunk, code: &[u8]) -> io::Result<()> {
        assert!(code.len() <= chunk.len, "code fits its chunk");
        self.write_at(chunk.start, code)
    }

    /// Replaces 4 bytes of code, by one store: code that runs into them sees the old or the new ones.
    pub(crate) fn patch(&mut self, address: u64, value: i32) -> io::Result<()> {
        assert_eq!(address % 4, 0, "distances that are patched are aligned");
        let at = usize::try_from(address - self.exec.address).expect("an address of the memory");
        self.write_at(at, &value.to_le_bytes())
    }

    fn write_at(&mut self, at: usize, bytes: &[u8]) -> io::Result<()> {
        if !self.is_usable() {
            return Err(io::Error::other("the process was forked"));
        }
        match &self.write {
            Some(write) => write.store(at, bytes),
            None => {
                let page = page_size();
                let start = at / page * page;
                let len = (at + bytes.len()).next_multiple_of(page) - start;
                self.exec.protect(start, len, PROT_READ | PROT_WRITE)?;
                self.exec.store(at, bytes);
                self.exec.protect(start, len, PROT_READ | PROT_EXEC)?;
            }
        }
        Ok(())
    }
}

impl Drop for CodeMemory {
    fn drop(&mut self) {
        drop(self.frames.take());
        if !self.is_usable() {
            // the child does not have the writable view, and perhaps something else in its place
            std::mem::forget(self.write.take());
        }
    }
}

fn page_size() -> usize {
    // SAFETY: asks a number.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("pages have a size")
}

/// Pages of this process, unmapped when dropped. Only the owner reads or writes them by their address; code that runs
/// in them is not seen by Rust.
struct Mapping {
    address: u64,
    size: usize,
}

impl Mapping {
    fn new(size: usize, protection: i32, sharing: i32) -> io::Result<Mapping> {
        let flags = sharing | MAP_ANONYMOUS | MAP_NORESERVE;
        // SAFETY: a new mapping, at an address that the system chooses.
        Mapping::made(unsafe { libc::mmap(null_mut(), size, protection, flags, -1, 0) }, size)
    }

    /// Private pages at most 1 GiB below the code of this program; `None` where there is no room.
    fn near_this_program(size: usize, protection: i32) -> Option<Mapping> {
        const FARTHEST: u64 = 1 << 30;
        let program = page_size as *const () as u64 & !0xffff;
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        // each driver's memory is below the one before
        (1..=8).find_map(|n| {
            let wish = program.checked_sub(n * size as u64 + (16 << 20))?;
            // SAFETY: a new mapping; where something is at the wished address, the system chooses another.
            let address = unsafe { libc::mmap(wish as *mut _, size, protection, flags, -1, 0) };
            let mapping = Mapping::made(address, size).ok()?;
            (mapping.address < program && program - mapping.address < FARTHEST).then_some(mapping)
        })
    }

    fn made(address: *mut libc::c_void, size: usize) -> io::Result<Mapping> {
        if address == MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapping {
            address: address as u64,
            size,
        })
    }

    /// Another view of the same shared pages.
    fn duplicate(&self) -> io::Result<Mapping> {
        // SAFETY: with an old size of 0, the old mapping stays as it is, and the new one is at an address that the
        // system chooses.
        Mapping::made(
            unsafe { libc::mremap(self.pointer().cast(), 0, self.size, libc::MREMAP_MAYMOVE) },
            self.size,
        )
    }

    /// Another view of the same shared pages, in the place of a mapping of the same size.
    fn duplicate_over(&self, place: Mapping) -> io::Result<Mapping> {
        assert_eq!(self.size, place.size, "views have one size");
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        // SAFETY: as in `duplicate`; what is replaced is all of a mapping that belongs to the caller.
        let address = unsafe { libc::mremap(self.pointer().cast(), 0, self.size, flags, place.pointer()) };
        let view = Mapping::made(address, self.size)?;
        std::mem::forget(place);
        Ok(view)
    }

    fn pointer(&self) -> *mut u8 {
        self.address as *mut u8
    }

    fn protect(&self, at: usize, len: usize, protection: i32) -> io::Result<()> {
        assert!(at + len <= self.size, "pages of the mapping");
        // SAFETY: pages of this mapping. Nothing in Rust holds a reference into them.
        let result = unsafe { libc::mprotect(self.pointer().wrapping_add(at).cast(), len, protection) };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    fn advise(&self, advice: i32) -> io::Result<()> {
        // SAFETY: pages of this mapping; what is advised concerns forked children only.
        match unsafe { libc::madvise(self.pointer().cast(), self.size, advice) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn store(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.size, "bytes of the mapping");
        let to = self.pointer().wrapping_add(at);
        if let (Ok(word), 0) = (<[u8; 4]>::try_from(bytes), at % 4) {
            // SAFETY: 4 aligned bytes of this mapping, which is writable where this is called, by its one owner.
            unsafe { to.cast::<u32>().write_volatile(u32::from_le_bytes(word)) };
        } else {
            // SAFETY: bytes of this mapping, as above; no reference to them exists besides this one.
            unsafe { (&mut *slice_from_raw_parts_mut(to, bytes.len())).copy_from_slice(bytes) };
        }
    }

    fn load(&self, at: usize) -> u8 {
        assert!(at < self.size, "a byte of the mapping");
        // SAFETY: a byte of this mapping, which is readable where this is called. Volatile, for the system changes it
        // at a fork.
        unsafe { self.pointer().wrapping_add(at).read_volatile() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this mapping, which nobody uses any more.
        unsafe { libc::munmap(self.pointer().cast(), self.size) };
    }
}

/// Free ranges, in their order; neighbours are merged.
struct FreeList {
    ranges: Vec<Chunk>,
}

impl FreeList {
    fn new(size: usize) -> FreeList {
        FreeList {
            ranges: vec![Chunk { start: 0, len: size }],
        }
    }

    /// The first range that fits, so that the far end stays untouched.
    fn allocate(&mut self, len: usize) -> Option<Chunk> {
        let n = self.ranges.iter().position(|range| range.len >= len)?;
        let found = &mut self.ranges[n];
        let start = found.start;
        if found.len == len {
            self.ranges.remove(n);
        } else {
            *found = Chunk {
                start: start + len,
                len: found.len - len,
            };
        }
        Some(Chunk { start, len })
    }

    fn release(&mut self, chunk: Chunk) {
        let end = chunk.start + chunk.len;
        let n = self.ranges.partition_point(|range| range.start < chunk.start);
        let before = self.ranges[..n].last().map(|range| range.start + range.len);
        let behind = self.ranges.get(n).map(|range| range.start);
        assert!(
            before.is_none_or(|before| before <= chunk.start) && behind.is_none_or(|behind| end <= behind),
            "a chunk is released once"
        );
        // the ranges that it becomes one with
        let first = n - usize::from(before == Some(chunk.start));
        let last = n + usize::from(behind == Some(end));
        let joined = self.ranges[first..last].iter().fold(chunk, |all, range| Chunk {
            start: all.start.min(range.start),
            len: all.len + range.len,
        });
        self.ranges.splice(first..last, [joined]);
    }
}

/// The description of frames that the unwinder knows, until it is dropped.
struct FrameInfo {
    /// In the format of `.eh_frame`.
    words: Box<[u64]>,
}

#[cfg(target_env = "gnu")]
unsafe extern "C" {
    fn __register_frame(begin: *const u8);
    fn __deregister_frame(begin: *const u8);
}

impl FrameInfo {
    /// Only where the unwinder takes whole sections, which is libgcc's.
    #[cfg(target_env = "gnu")]
    fn register(start: u64, size: usize) -> Option<FrameInfo> {
        let info = FrameInfo {
            words: eh_frame(start, size),
        };
        // SAFETY: a well-formed section, which stays where it is until it is deregistered.
        unsafe { __register_frame(info.words.as_ptr().cast()) };
        Some(info)
    }

    #[cfg(not(target_env = "gnu"))]
    fn register(_: u64, _: usize) -> Option<FrameInfo> {
        None
    }
}

impl Drop for FrameInfo {
    fn drop(&mut self) {
        #[cfg(target_env = "gnu")]
        // SAFETY: it was registered when it was made.
        unsafe {
            __deregister_frame(self.words.as_ptr().cast());
        }
    }
}

/// One CIE and one FDE: the caller's frame ends at `rbp + 16`, below are the return address, rbp, rbx, r12 to r15.
fn eh_frame(start: u64, size: usize) -> Box<[u64]> {
    const DEF_CFA: u8 = 0x0c;
    const OFFSET: u8 = 0x80;
    let mut section = Vec::new();
    let mut entry = |body: &[u8]| {
        let len = (body.len() + 4).next_multiple_of(8) - 4;
        section.extend((len as u32).to_le_bytes());
        section.extend(body);
        section.resize(section.len() + len - body.len(), 0); // DW_CFA_nop
        section.len()
    };
    // id, version, no augmentation, code alignment 1, data alignment -8, return address column 16
    let mut cie = vec![0, 0, 0, 0, 1, 0, 1, 0x78, 16, DEF_CFA, 6, 16];
    for (register, words) in [(16, 1), (6, 2), (3, 3), (12, 4), (13, 5), (14, 6), (15, 7)] {
        cie.extend([OFFSET | register, words]);
    }
    let fde_at = entry(&cie);
    let mut fde = Vec::from(((fde_at + 4) as u32).to_le_bytes());
    fde.extend(start.to_le_bytes());
    fde.extend((size as u64).to_le_bytes());
    entry(&fde);
    section.extend([0; 8]);
    section
        .chunks(8)
        .map(|word| u64::from_le_bytes(word.try_into().expect("entries are multiples of 8 bytes")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_reused_and_merged() {
        let mut free = FreeList::new(1000);
        let chunks: Vec<Chunk> = (0..10).map(|_| free.allocate(100).expect("there is room")).collect();
        assert_eq!(free.allocate(1), None);
        for n in [3, 5, 4, 0] {
            free.release(chunks[n]);
        }
        let ranges = |free: &FreeList| {
            free.ranges
                .iter()
                .map(|range| (range.start, range.len))
                .collect::<Vec<_>>()
        };
        assert_eq!(ranges(&free), [(0, 100), (300, 300)]);
        assert_eq!(free.allocate(250), Some(Chunk { start: 300, len: 250 }));
        assert_eq!(free.allocate(60), Some(Chunk { start: 0, len: 60 }));
        assert_eq!(ranges(&free), [(60, 40), (550, 50)]);
    }

    #[test]
    #[should_panic(expected = "a chunk is released once")]
    fn a_chunk_that_overlaps_free_memory_is_refused() {
        let mut free = FreeList::new(100);
        free.allocate(40);
        free.release(Chunk { start: 20, len: 30 });
    }

    /// Code written to each sort of memory runs, also after a patch and after the chunk was used for something else.
    #[test]
    fn code_runs() {
        for double in [true, false] {
            let mut memory = CodeMemory::new(1 << 20, double).expect("this machine runs generated code");
            assert!(double || !memory.is_double());
            for round in 0..3 {
                let chunk = memory.allocate(6000).expect("there is room");
                // nop nop nop mov eax, imm32; ret
                memory
                    .write(chunk, &[0x90, 0x90, 0x90, 0xb8, 1, 0, 0, 0, 0xc3])
                    .expect("the memory is writable");
                let call = || {
                    // SAFETY: the code above, which takes and keeps nothing.
                    let code = unsafe {
                        std::mem::transmute::<*const (), extern "C" fn() -> u32>(memory.address(chunk) as *const ())
                    };
                    code()
                };
                assert_eq!(call(), 1);
                memory
                    .patch(memory.address(chunk) + 4, 77 + round)
                    .expect("the memory is writable");
                let call = || {
                    // SAFETY: as before.
                    let code = unsafe {
                        std::mem::transmute::<*const (), extern "C" fn() -> u32>(memory.address(chunk) as *const ())
                    };
                    code()
                };
                assert_eq!(call(), 77 + round as u32);
                memory.release(chunk).expect("the memory is writable");
            }
        }
    }

    /// A forked child sees that the memory is not its own, and leaves the parent's alone.
    #[test]
    fn a_child_gives_the_memory_up() {
        let memory = CodeMemory::new(1 << 16, true).expect("this machine runs generated code");
        if !memory.is_double() {
            return;
        }
        assert!(memory.is_usable());
        // SAFETY: the child reads a byte, unmaps pages and exits, without the allocator's or anybody's locks but its
        // own.
        match unsafe { libc::fork() } {
            0 => {
                let usable = memory.is_usable();
                // SAFETY: exits at once.
                unsafe { libc::_exit(usable.into()) }
            }
            child => {
                let mut status = 0;
                // SAFETY: waits for the child.
                unsafe { libc::waitpid(child, &mut status, 0) };
                assert_eq!(status, 0, "the child finds the memory unusable");
            }
        }
    }
}
