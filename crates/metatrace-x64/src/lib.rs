//! The x86-64 backend: traces become machine code, on Linux.
//!
//! A trace is compiled in two passes. `liveness` scans it from its end, for what is dead and when values are used next;
//! `walk` goes from its start, gives values registers and slots, and makes code as it goes. The outcome is put into
//! `code_memory` by `backend`, entered and left through `exits`.
//!
//! | module | |
//! |---|---|
//! | `locations`, `moves` | registers, slots, the frame; parallel moves |
//! | `encode`, `code` | instructions as bytes; the buffer they go to |
//! | `allocate`, `control` | registers during the walk; places at entries, labels and jumps |
//! | `integers`, `floats`, `memory`, `calls`, `guards` | the code of operations |
//!
//! Unsafe code is in `code_memory`, `exits` and the one call of `backend`. On other machines
//! [`X64Backend::new`] says that the backend is unavailable.

#![deny(unsafe_code)]

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod allocate;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[allow(unsafe_code, reason = "enters machine code")]
mod backend;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod calls;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod code;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[allow(unsafe_code, reason = "maps memory")]
mod code_memory;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod control;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod encode;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[allow(unsafe_code, reason = "entry into machine code and exits from it")]
mod exits;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod features;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod floats;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod guards;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod integers;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod liveness;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod locations;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod memory;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod moves;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod walk;

#[cfg(any(test, feature = "disasm"))]
mod disasm;
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
#[allow(unsafe_code, reason = "implements an unsafe contract")]
mod unavailable;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub use backend::X64Backend;
#[cfg(any(test, feature = "disasm"))]
pub use disasm::disassemble;
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub use unavailable::X64Backend;

use metatrace_backend::Forcing;

/// What a backend is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Guards that fail although their conditions hold, for tests.
    pub forcing: Forcing,
    /// Bytes of address space for code; memory is taken as code is made. At most 1 GiB.
    pub code_memory: usize,
    /// The most bytes that a frame may have.
    pub frame_limit: u32,
    /// Whether to map code twice, so that no page ever changes between writable and executable. Without, and where the
    /// system refuses, pages change.
    pub two_views: bool,
    /// Whether to use what the CPU has beyond the base of x86-64.
    pub cpu_extensions: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            forcing: Forcing::Off,
            code_memory: 64 << 20,
            frame_limit: 256 << 10,
            two_views: true,
            cpu_extensions: true,
        }
    }
}

#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
#[allow(unsafe_code, reason = "runs machine code")]
mod tests;
