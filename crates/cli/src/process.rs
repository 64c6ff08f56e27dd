//! What has to be set up before a program's first line: allocator and thread pools.

use std::sync::OnceLock;

/// Most threads that may be asked for: a pool of more is a typing error, and may not even start.
pub(crate) const MAX_THREADS: usize = 1024;

/// mimalloc's `purge_delay`, which its bindings leave out.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

static THREADS: OnceLock<usize> = OnceLock::new();

/// Sets up allocator and thread pools. The first thing `main` does.
///
/// The allocator keeps the memory that is freed: the network frees and takes the same large
/// buffers at every step, and asking the kernel for them each time doubled the time of a step.
///
/// candle's own pool, which reads `RAYON_NUM_THREADS`, gets one thread: its workers spin while
/// they wait, on cores that our operators and the parts of a batch already keep busy (a fifth of a
/// training step went there). What the variable said remains the default of `--threads`.
pub fn set_up_process() {
    // SAFETY: setting an option of the allocator touches none of its memory.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
    const VARIABLE: &str = "RAYON_NUM_THREADS";
    let asked = std::env::var(VARIABLE).ok().and_then(|n| n.parse().ok());
    let asked = asked.filter(|n| (1..=MAX_THREADS).contains(n));
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    THREADS.get_or_init(|| asked.unwrap_or_else(cores));
    // SAFETY: `main` calls this first, so no other thread exists that could read the environment.
    unsafe { std::env::set_var(VARIABLE, "1") };
}

/// Threads to start where none are asked for.
pub(crate) fn default_threads() -> usize {
    THREADS.get().copied().unwrap_or(0)
}

/// The command line of a program, quoted where a shell needs it.
pub(crate) fn command(program: &str) -> String {
    let words = std::env::args().enumerate().map(|(index, word)| {
        let word = match index {
            0 => program.to_owned(),
            _ => word,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
        match !word.is_empty() && word.chars().all(plain) {
            true => word,
            false => format!("'{}'", word.replace('\'', r"'\''")),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}
