//! A thread with room for candle's walk over the graph, which recurses once an operator.

use std::thread::{self, Builder};

use crate::{Error, Result};

/// Enough for networks several times as deep as the published ones, whose graphs hold a few
/// thousand operators; memory that is not touched is not taken.
const STACK_BYTES: usize = 64 << 20;

/// Runs `work` on a thread with a deep stack and waits for it. The graph must be dropped there
/// too, for dropping it recurses as well.
pub(crate) fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| {
        let spawned = Builder::new()
            .name("vdvae-train".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|source| Error::Thread { stack_bytes: STACK_BYTES, source })?;
        Ok(spawned.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_recursion_returns() {
        fn depth(n: usize) -> usize {
            let frame = std::hint::black_box([n; 100]);
            if n == 0 { 0 } else { 1 + depth(frame[99] - 1) }
        }
        // About 16 MiB: eight times what a thread has by default.
        assert_eq!(on_deep_stack(|| depth(20_000)).unwrap(), 20_000);
    }
}
