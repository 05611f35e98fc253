//! The allocator of every program that links this crate: jemalloc that keeps what it was given.
//!
//! glibc returns large tensors to the kernel at every step and pays page faults for them again. jemalloc
//! without decay reuses them: a U-Net step took 1.9 s instead of 3.0 s, in less memory. The unprefixed build
//! takes the place of `malloc` for the whole process, so it serves libtorch too.
//!
//! Freed extents may be split for requests of any size. By default jemalloc leaves one alone that is more than 64 times as
//! large as the request; as nothing is ever given back here, small requests then made new memory at every step: a training with
//! attention in bf16 grew by 4 MiB a step without end.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// jemalloc's options, read by it before `main`: freed pages are never given back, and any may be reused.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "jemalloc looks for a symbol of this name")]
// SAFETY: jemalloc declares the symbol as a weak `const char *` and reads a C string from it; a thin pointer
// to a static C string in an `Option` has that form.
#[unsafe(export_name = "malloc_conf")]
#[used]
static OPTIONS: Option<&'static std::ffi::c_char> = {
    let options: &'static std::ffi::CStr = c"dirty_decay_ms:-1,muzzy_decay_ms:-1,lg_extent_max_active_fit:30";
    // SAFETY: the pointer comes from a static string, so it is valid for ever and aligned for bytes.
    Some(unsafe { &*options.as_ptr() })
};
