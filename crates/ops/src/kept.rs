//! What an operator's forward pass keeps for its gradient.

use std::any::Any;
use std::sync::Mutex;

/// A place for what one call keeps, if it keeps anything. It is taken out by the first gradient;
/// one more has to compute it again.
pub(crate) struct Kept {
    keep: bool,
    value: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Kept {
    /// For a call that keeps something, or one that does not.
    pub(crate) fn new(keep: bool) -> Self {
        Self { keep, value: Mutex::new(None) }
    }

    /// Whether the call is to keep something.
    pub(crate) fn wanted(&self) -> bool {
        self.keep
    }

    /// Keeps a value, or drops it.
    pub(crate) fn put(&self, value: impl Any + Send) {
        if self.keep {
            *self.value.lock().expect("no panic while held") = Some(Box::new(value));
        }
    }

    /// What was kept, if it is of this type.
    pub(crate) fn take<V: Any>(&self) -> Option<V> {
        let value = self.value.lock().expect("no panic while held").take();
        value.and_then(|value| value.downcast().ok()).map(|value| *value)
    }
}
