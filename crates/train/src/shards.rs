//! A batch divided among the threads, each with its own forward and backward pass.
//!
//! Small networks have too little work in one operator to keep several threads busy, and some
//! operators run on one; pictures are independent until the gradients are summed.

use std::ops::Range;
use std::sync::Arc;
use std::thread::ScopedJoinHandle;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{Error, Result};

/// Threads for one forward and backward pass each.
#[derive(Debug, Clone)]
pub(crate) struct Shards {
    pools: Arc<Vec<ThreadPool>>,
}

impl Shards {
    /// One pool of a single thread for each thread of the caller's pool.
    pub(crate) fn new() -> Result<Self> {
        let pool = |_| {
            ThreadPoolBuilder::new()
                .num_threads(1)
                .thread_name(|_| "vdvae-train".to_owned())
                .build()
                .map_err(|source| Error::Threads { source })
        };
        let pools = (0..rayon::current_num_threads()).map(pool).collect::<Result<_>>()?;
        Ok(Self { pools: Arc::new(pools) })
    }

    /// Calls `work` with consecutive ranges that cover `0..rows`, at the same time, and returns
    /// the results in order.
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
}
