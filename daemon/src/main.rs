//! The `trefoil` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    trefoil_daemon::cli::main()
}
