//! How much a compressed file may grow.

/// Bytes allowed beyond [`MAX_RATIO`] times the compressed ones.
const ALLOWANCE: u64 = 256 << 20;
/// Pictures and latents hardly compress and tables compress tenfold: beyond this it is a bomb.
const MAX_RATIO: u64 = 64;

/// Most bytes that so many compressed bytes may become.
#[must_use]
pub fn most_inflated(compressed: u64) -> u64 {
    // Below the largest number, so that one more can be asked for.
    compressed.saturating_mul(MAX_RATIO).saturating_add(ALLOWANCE).min(u64::MAX - 1)
}
