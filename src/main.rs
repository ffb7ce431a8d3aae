//! argv → [`autoglm_boot::main`] → exit code.

use std::process::ExitCode;

use autoglm_boot::{exit::Exit, system::Real};

fn main() -> ExitCode {
    let Ok(system) = Real::with_signals() else {
        return Exit::Failed.into();
    };
    autoglm_boot::main(std::env::args_os(), &system).into()
}
