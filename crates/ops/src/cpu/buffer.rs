//! Temporary storage that is kept for the next call instead of freed.
//!
//! The operators of a network ask for the same sizes step after step. A fresh vector of such a size
//! costs a pass over memory to zero it, about a tenth of a small network's training step; a
//! [`Buffer`] comes back with whatever its last user left in it.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard};

/// Vectors kept; when more come back, the smallest is freed. A 3×3 convolution by Winograd's
/// transforms takes 36 for its weights.
const KEPT: usize = 160;

/// Vectors that wait for their next use.
pub(crate) struct Pool<T>(Mutex<Vec<Vec<T>>>);

impl<T> Pool<T> {
    /// Holds nothing.
    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<T>>> {
        self.0.lock().expect("no panic while held")
    }

    /// The smallest kept vector of at least `len` numbers.
    fn take(&self, len: usize) -> Option<Vec<T>> {
        let mut kept = self.lock();
        // Sorted by length, see `put`.
        let first = kept.partition_point(|vector| vector.len() < len);
        (first < kept.len()).then(|| kept.remove(first))
    }

    fn put(&self, vector: Vec<T>) {
        let mut kept = self.lock();
        let position = kept.partition_point(|other| other.len() < vector.len());
        kept.insert(position, vector);
        if kept.len() > KEPT {
            kept.remove(0);
        }
    }
}

/// Number types that have a pool.
pub(crate) trait Pooled: Sized + Copy + Default + 'static {
    /// The process's pool of this type.
    fn pool() -> &'static Pool<Self>;
}

macro_rules! pooled {
    ($($type:ty),+) => {
        $(impl Pooled for $type {
            fn pool() -> &'static Pool<Self> {
                static POOL: Pool<$type> = Pool::new();
                &POOL
            }
        })+
    };
}
pooled!(f32, f64, half::bf16, u32);

/// `len` numbers, borrowed from the process's pool.
pub(crate) struct Buffer<T: Pooled> {
    data: Vec<T>,
    len: usize,
}

impl<T: Pooled> Buffer<T> {
    /// Numbers left over from another use: for results that are written before they are read.
    pub(crate) fn stale(len: usize) -> Self {
        let data = match len {
            0 => Vec::new(),
            _ => T::pool().take(len).unwrap_or_else(|| vec![T::default(); len]),
        };
        Self { data, len }
    }

    /// Zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let mut buffer = Self::stale(len);
        buffer.fill(T::default());
        buffer
    }

    /// The same numbers in memory of their own size, for what is kept a long time.
    pub(crate) fn unpooled(self) -> Self {
        Self { data: self.to_vec(), len: self.len }
    }
}

impl<T: Pooled> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::stale(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl<T: Pooled> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<T: Pooled> Drop for Buffer<T> {
    fn drop(&mut self) {
        if !self.data.is_empty() {
            T::pool().put(std::mem::take(&mut self.data));
        }
    }
}

impl<T: Pooled> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.data[..self.len]
    }
}

impl<T: Pooled> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.data[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::Pool;

    #[test]
    fn the_smallest_that_fits_and_never_more_than_it_keeps() {
        let pool = Pool::new();
        for len in [8, 2, 5] {
            pool.put(vec![0.0f32; len]);
        }
        assert_eq!(pool.take(3).map(|v| v.len()), Some(5));
        assert_eq!(pool.take(3).map(|v| v.len()), Some(8));
        assert_eq!(pool.take(3), None);
        for len in 1..=2 * super::KEPT {
            pool.put(vec![0.0; len]);
        }
        assert_eq!(pool.lock().len(), super::KEPT);
        assert_eq!(pool.take(1).map(|v| v.len()), Some(super::KEPT + 1));
    }
}
