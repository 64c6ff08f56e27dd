//! The command-line programs `vdvae` and `vdvae-probe`: flags in, one library call, results out.

mod common;
mod device;
mod download;
mod probe;
mod process;
mod train;
mod verbs;

pub use probe::main as probe_main;
pub use process::settle;
pub use verbs::main as vdvae_main;
