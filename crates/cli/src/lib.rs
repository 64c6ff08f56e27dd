//! The command-line programs `vdvae` and `vdvae-probe`: flags in, one library call, results out.

mod common;
mod data;
mod device;
mod download;
mod exit;
mod model;
mod output;
mod probe;
mod process;
mod train;
mod verbs;

pub use probe::main as probe_main;
pub use process::set_up_process;
pub use verbs::main as vdvae_main;
