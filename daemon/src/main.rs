//! The `trefoil` binary.

use std::process::ExitCode;

/// A write takes a dozen allocations that end on other threads or much later; the C library's
/// allocator gives their memory back to the system and asks for it again, with every write.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    trefoil_daemon::cli::main()
}
