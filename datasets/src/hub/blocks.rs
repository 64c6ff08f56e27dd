//! Blocks of pictures that were read last.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use vdvae_hub::Block;

use crate::Result;

/// Blocks of pictures that are kept: batches read a few rows here and there, or many in a row.
const BLOCKS: usize = 32;

/// The blocks used last. Threads that want the same one wait for the first to read it.
#[derive(Debug, Default)]
pub(super) struct Blocks(Mutex<VecDeque<(BlockId, Slot)>>);

/// Filled by the first thread that needs it; `None` where that failed.
type Slot = Arc<OnceLock<Option<Arc<Block>>>>;

/// Table, row group, block.
pub(super) type BlockId = (usize, usize, usize);

impl Blocks {
    pub(super) fn get(&self, id: BlockId, read: impl Fn() -> Result<Block>) -> Result<Arc<Block>> {
        let slot = {
            let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let found = blocks.iter().position(|(known, _)| *known == id);
            let slot = match found.and_then(|at| blocks.remove(at)) {
                Some((_, slot)) => slot,
                None => Arc::default(),
            };
            blocks.push_back((id, Arc::clone(&slot)));
            if blocks.len() > BLOCKS {
                blocks.pop_front();
            }
            slot
        };
        // An error is not kept: each who asks reads again, and gets its own.
        match slot.get_or_init(|| read().ok().map(Arc::new)) {
            Some(block) => Ok(Arc::clone(block)),
            None => read().map(Arc::new),
        }
    }
}
