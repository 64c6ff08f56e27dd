//! A batch divided among the threads, each with its own forward and backward pass.
//!
//! Small networks have too little work in one operator to keep several threads busy, and candle
//! adds gradients on one; pictures are independent until the gradients are summed. Each part runs
//! on a pool whose threads have room for candle's walk over the graph, which recurses once an
//! operator.

use std::ops::Range;
use std::sync::Arc;
use std::thread::ScopedJoinHandle;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{Error, Result};

/// Enough for networks several times as deep as the published ones, whose graphs hold a few
/// thousand operators; memory that is not touched is not taken.
const STACK_BYTES: usize = 64 << 20;

/// Threads for one forward and backward pass each.
#[derive(Debug, Clone)]
pub(crate) struct Shards {
    pools: Arc<Vec<ThreadPool>>,
}

impl Shards {
    /// One pool of a single thread for each thread of the caller's pool.
    pub(crate) fn new() -> Result<Self> {
        Self::of(rayon::current_num_threads())
    }

    /// A single one, for a device that takes a batch whole.
    pub(crate) fn single() -> Result<Self> {
        Self::of(1)
    }

    fn of(count: usize) -> Result<Self> {
        let pool = |_| {
            ThreadPoolBuilder::new()
                .num_threads(1)
                .stack_size(STACK_BYTES)
                .thread_name(|_| "vdvae-train".to_owned())
                .build()
                .map_err(|source| Error::Threads { stack_bytes: STACK_BYTES, source })
        };
        let pools = (0..count).map(pool).collect::<Result<_>>()?;
        Ok(Self { pools: Arc::new(pools) })
    }

    /// Calls `work` with consecutive ranges that cover `0..rows`, at the same time, and returns
    /// the results in order. Graphs must be dropped in `work`, for dropping them recurses too.
    pub(crate) fn run<T: Send, E: Send>(
        &self,
        rows: usize,
        work: impl Fn(Range<usize>) -> Result<T, E> + Sync,
    ) -> Result<Vec<T>, E> {
        let count = self.pools.len().min(rows).max(1);
        let range = |i: usize| rows * i / count..rows * (i + 1) / count;
        let work = &work;
        std::thread::scope(|scope| {
            let threads: Vec<_> = self.pools[..count]
                .iter()
                .enumerate()
                .map(|(i, pool)| scope.spawn(move || pool.install(|| work(range(i)))))
                .collect();
            let join = |thread: ScopedJoinHandle<'_, Result<T, E>>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_one_place() {
        let shards = Shards::new().unwrap();
        for rows in [1, 2, 5, 64] {
            let parts = shards.run(rows, |range| Ok::<_, ()>(range.collect::<Vec<_>>())).unwrap();
            assert_eq!(parts.concat(), (0..rows).collect::<Vec<_>>());
            assert!(parts.iter().all(|part| !part.is_empty()));
        }
    }

    #[test]
    fn deep_recursion_returns() {
        fn depth(n: usize) -> usize {
            let frame = std::hint::black_box([n; 100]);
            if n == 0 { 0 } else { 1 + depth(frame[99] - 1) }
        }
        // About 16 MiB: eight times what a thread has by default.
        let shards = Shards::new().unwrap();
        assert_eq!(shards.run(1, |_| Ok::<_, ()>(depth(20_000))).unwrap(), [20_000]);
    }
}
