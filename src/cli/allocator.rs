//! Memory that the system refuses is told.

use std::alloc::{GlobalAlloc, Layout};
use std::io::{Write, stderr};
use std::sync::atomic::{AtomicBool, Ordering};

use super::exit::RESOURCES;

/// An allocator that ends the program with a message and the exit code 8 where there is no memory left,
/// rather than by an abort. Where the system promises more memory than it has, as Linux mostly does, it
/// kills a program that takes it, and no allocator is asked: against that, work is estimated first.
#[derive(Debug)]
pub struct Telling<A>(pub A);

static TOLD: AtomicBool = AtomicBool::new(false);

impl<A> Telling<A> {
    fn check(memory: *mut u8, bytes: usize) -> *mut u8 {
        // What is allocated on the way out may fail too.
        if memory.is_null() && bytes > 0 && !TOLD.swap(true, Ordering::SeqCst) {
            // Nothing here allocates: the text is put together on the stack.
            let mut text = [0; 256];
            let mut rest = &mut text[..];
            let _ = writeln!(
                rest,
                "error: the system has no {} MiB of memory left; use smaller batches or images (--max-side), \
                 or fewer maps; checkpoints written so far are whole",
                bytes.div_ceil(1 << 20)
            );
            let length = 256 - rest.len();
            let _ = stderr().write_all(&text[..length]);
            std::process::exit(RESOURCES.into());
        }
        memory
    }
}

// SAFETY: every call is that of the allocator within, whose results are handed on as they are.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Telling<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::check(unsafe { self.0.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::check(unsafe { self.0.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::check(unsafe { self.0.realloc(memory, layout, size) }, size)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { self.0.dealloc(memory, layout) }
    }
}
