//! Staged code frees what it allocates: drops alone do not show that.

use crate::harness::staged;
use metatrace::jit;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

/// Counts what is allocated on each thread.
struct Counting;

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.set(LIVE.get() + layout.size() as isize);
        // SAFETY: forwarded.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size() as isize);
        // SAFETY: forwarded.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[jit]
#[derive(Debug)]
struct Node {
    text: String,
    next: Option<Box<Node>>,
}

#[jit]
fn unboxes(n: usize) -> usize {
    let a = Box::new(Node {
        text: format!("{n}"),
        next: None,
    });
    let b = Box::new(Node {
        text: format!("{n}{n}"),
        next: Some(a),
    });
    let whole = *b;
    let Node { text, next } = whole;
    let inner = match next {
        Some(node) => *node,
        None => return 0,
    };
    let only = if n > 3 { inner.text } else { text };
    only.len()
}

#[jit]
fn fills(n: usize) -> Result<usize, String> {
    let mut v = Vec::new();
    let mut i = 0;
    while i < n {
        v.push(format!("{i}"));
        i += 1;
        if i == 6 {
            return Err(format!("{} {i}", v[0]));
        }
    }
    let first = v.swap_remove(0);
    let old = std::mem::take(&mut v);
    let s = last(old)?;
    Ok(first.len() + s.len())
}

#[jit]
fn last(mut v: Vec<String>) -> Result<String, String> {
    match v.pop() {
        Some(s) if s.len() > 0 => Ok(s),
        _ => Err(format!("empty")),
    }
}

#[jit]
fn unwinds(n: usize) -> usize {
    let a = Box::new(format!("{n}"));
    let text = *a;
    let v = vec![text, format!("x")];
    assert!(n < 3, "too many: {}", v[0]);
    v.len()
}

/// Runs `run` until it allocates nothing for itself, then expects that it leaves nothing behind.
fn check(what: &str, run: impl Fn()) {
    run();
    run();
    let before = LIVE.get();
    for _ in 0..5 {
        run();
    }
    assert_eq!(LIVE.get() - before, 0, "{what} leaves this many bytes behind in 5 runs");
}

#[test]
fn nothing_leaks() {
    for n in 0..8 {
        check(&format!("unboxes({n})"), || {
            let _ = staged!(unboxes(n));
        });
        if n > 0 {
            check(&format!("fills({n})"), || drop(staged!(fills(n))));
        }
    }
}

#[test]
fn nothing_leaks_while_unwinding() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let checked = catch_unwind(|| {
        for n in 0..6 {
            check(&format!("unwinds({n})"), || {
                drop(catch_unwind(AssertUnwindSafe(|| staged!(unwinds(n)))));
            });
        }
    });
    std::panic::set_hook(hook);
    if let Err(payload) = checked {
        std::panic::resume_unwind(payload);
    }
}
