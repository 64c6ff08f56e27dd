//! How often, and after what wait, a request is made again.

use std::time::Duration;

use crate::options::HubOptions;

/// Most further tries of one request.
pub(crate) const TRIES: usize = 3;
/// Longest wait that is sat out; a server that asks for more is left alone.
const LONGEST: Duration = Duration::from_secs(60);

/// Counts the tries of one request.
pub(crate) struct Wait<'a> {
    options: &'a HubOptions,
    tries: usize,
}

impl<'a> Wait<'a> {
    pub(crate) fn new(options: &'a HubOptions) -> Self {
        Self { options, tries: 0 }
    }

    /// Waits as long as the server asks, or twice as long as the last time; `false` where there
    /// have been enough tries, or the wait would be too long.
    pub(crate) fn again(&mut self, asked: Option<Duration>) -> bool {
        let wait = asked.unwrap_or(self.options.retry_delay * (1 << self.tries.min(10)));
        if self.tries == TRIES || wait > LONGEST {
            return false;
        }
        self.tries += 1;
        if wait > Duration::from_secs(5) {
            let text = format!("too many requests: waiting {} seconds", wait.as_secs());
            self.options.progress.tell(|progress| progress.notice(&text));
        }
        std::thread::sleep(wait);
        true
    }

    /// Starts to count anew: something has arrived.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}
