//! The built-in model: a small network trained on `toy-faces` with this code.

use crate::Result;
use crate::checkpoint::Checkpoint;

/// Weights and configuration, as `vdvae train` wrote them. `assets/README.md` has the command.
static BYTES: &[u8] = include_bytes!("../assets/builtin.safetensors");

/// The built-in model's checkpoint.
///
/// # Errors
/// Never in a program that was built as its tests were: the file is compiled in.
pub fn builtin_checkpoint() -> Result<Checkpoint> {
    Checkpoint::read_bytes(BYTES, "built-in model")
}
