//! Adds the folder of libtorch to the run path of programs, tests and examples, so that they start without
//! `LD_LIBRARY_PATH`. Cargo applies link arguments to the package whose build script names them, so every
//! package that links libtorch names this file as its build script.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-env-changed=LIBTORCH_LIB");
    let Some(folder) = env::var_os("LIBTORCH_LIB").or_else(|| env::var_os("LIBTORCH")) else { return };
    let linked = Path::new(&folder).join("lib");
    // First the link in the checkout, which follows a change of the pinned engine without a new build; then
    // where it leads now, for a program that is copied or whose checkout has moved.
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", linked.display());
    if let Ok(cached) = linked.canonicalize()
        && cached != linked
    {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", cached.display());
    }
}
