//! The `trefoil` binary.

mod memory;

use std::process::ExitCode;

fn main() -> ExitCode {
    memory::keep_what_is_free();
    trefoil_daemon::cli::main()
}
