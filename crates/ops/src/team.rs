//! Threads that share the work of one operator after another without going to sleep in between.
//!
//! A small block divides its work among threads a dozen times in a millisecond. By rayon's
//! parallel iterators a caller that is not of the pool goes to sleep each time until the pool has
//! finished, and the workers do soon after. Here the caller is one of the threads that work and
//! waits for none to begin: [`together`] lends it rayon's other workers, as far as they are free,
//! who look out for what it [`share`]s until it returns. Those that went home because nothing was
//! shared for a while are called again by the next.
//!
//! Work inside work is not divided again, and a worker that is busy elsewhere is not waited for:
//! where every worker has a batch of its own, each does its own work alone.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::{ptr, slice};

use candle_core::Device;
use rayon::Scope;

/// Looks for work before a helper offers the processor to others between any two.
const LOOKS: usize = 1 << 12;
/// Looks, with such offers between them, before it goes home: about a millisecond. A leader that
/// waits for rayon, whose workers its helpers are, must not find them waiting for it.
const PATIENCE: usize = LOOKS + (1 << 11);

/// What this thread is to a team.
#[derive(Clone, Copy)]
enum Role {
    /// None.
    Outside,
    /// It divides its work among the team, which outlives the role, and calls for helpers in the
    /// scope, which does so too.
    Leading(*const Team, *const Scope<'static>),
    /// It is doing a part of divided work.
    Inside,
}

thread_local! {
    static ROLE: Cell<Role> = const { Cell::new(Role::Outside) };
}

/// Puts this thread's role back when dropped.
struct Restore(Role);

impl Role {
    fn enter(self) -> Restore {
        Restore(ROLE.replace(self))
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        ROLE.set(self.0);
    }
}

/// Runs operators of a device with the threads of rayon's pool at hand, as far as they have nothing
/// else to do: each operator on the CPU finds them awake.
///
/// For operators that follow one another closely: after about a millisecond without one, these
/// threads turn to other things, and have to be woken for the next. Where this thread already has
/// them, the pool is of one thread, or the device is a GPU, it is the same as calling `work`.
pub fn together<R>(device: &Device, work: impl FnOnce() -> R) -> R {
    if device.is_cpu() { in_team(work) } else { work() }
}

/// See [`together`].
fn in_team<R>(work: impl FnOnce() -> R) -> R {
    let threads = rayon::current_num_threads();
    match ROLE.get() {
        Role::Outside if threads == 1 => return alone(work),
        Role::Outside => {}
        Role::Leading(..) | Role::Inside => return work(),
    }
    let team = Team { helpers: threads - 1, ..Team::default() };
    rayon::in_place_scope(|scope| {
        team.call(scope);
        let _close = Close(&team);
        let scope = ptr::from_ref(scope).cast::<Scope<'static>>();
        let _role = Role::Leading(&raw const team, scope).enter();
        work()
    })
}

/// Multiplications from which dividing them gains more than waking a thread costs: some 40 µs of
/// one core.
const WORTH_WAKING: usize = 2_000_000;

/// Runs `work` on the CPU, which takes about so many multiplications, [`together`] where that pays,
/// else [`alone`].
pub(crate) fn together_if_worth<R>(multiplications: usize, work: impl FnOnce() -> R) -> R {
    if multiplications < WORTH_WAKING { alone(work) } else { in_team(work) }
}

/// Runs `work` with all work inside it left to this thread.
pub(crate) fn alone<R>(work: impl FnOnce() -> R) -> R {
    let _role = Role::Inside.enter();
    work()
}

/// Divides the numbers below `pieces` among threads: each calls `work` once, with an iterator over
/// those that fall to it.
pub(crate) fn share(pieces: usize, work: impl Fn(Pieces<'_>) + Sync) {
    let next = AtomicUsize::new(0);
    let mine = Pieces { next: &next, pieces };
    match ROLE.get() {
        _ if pieces < 2 => work(mine),
        Role::Inside => work(mine),
        Role::Leading(team, scope) => {
            // SAFETY: a team and its scope outlive the role of the leader, which only this thread is.
            let (team, scope) = unsafe { (&*team, &*scope) };
            team.call(scope);
            team.run(mine, &work);
        }
        // With another role: `in_team` gives one.
        Role::Outside => in_team(|| share(pieces, work)),
    }
}

/// Divides `out` into chunks of `size`, the last one shorter where it must be, and these among
/// threads: each calls `work` once, with an iterator over those that fall to it, numbered.
pub(crate) fn share_chunks<T: Send>(
    out: &mut [T],
    size: usize,
    work: impl Fn(Chunks<'_, '_, T>) + Sync,
) {
    assert!(size > 0, "chunks of nothing");
    let (len, start) = (out.len(), Start(out.as_mut_ptr()));
    share(len.div_ceil(size), |pieces| {
        work(&mut pieces.map(|piece| {
            let first = piece * size;
            // SAFETY: the chunk lies inside the slice, which is borrowed while this lasts, and
            // no piece is given out twice.
            let chunk =
                unsafe { slice::from_raw_parts_mut(start.get().add(first), size.min(len - first)) };
            (piece, chunk)
        }));
    });
}

/// As [`share_chunks`], of two slices side by side: chunk i of the second, of `second_size`, goes with
/// chunk i of the first.
pub(crate) fn share_side_by_side<T: Send, U: Send>(
    (first, first_size): (&mut [T], usize),
    (second, second_size): (&mut [U], usize),
    work: impl Fn(&mut dyn Iterator<Item = (usize, &mut [T], &mut [U])>) + Sync,
) {
    let mut others: Vec<_> = match second.is_empty() {
        true => first.chunks(first_size).map(|_| Default::default()).collect(),
        false => second.chunks_mut(second_size).collect(),
    };
    let mut pairs: Vec<_> = first.chunks_mut(first_size).zip(&mut others).collect();
    share_chunks(&mut pairs, 1, |chunks| {
        work(&mut chunks.map(|(i, pair)| {
            let (first, second) = &mut pair[0];
            (i, &mut **first, &mut ***second)
        }));
    });
}

/// Chunks of a slice that fall to one thread, numbered through the slice.
pub(crate) type Chunks<'c, 'a, T> = &'c mut dyn Iterator<Item = (usize, &'a mut [T])>;

/// As [`share_chunks`], of `len` zeros, which are returned. Each chunk is zeroed by the thread that
/// works on it, while it is in that core's cache, instead of all of them before by one.
pub(crate) fn share_new<T: Copy + Default + Send>(
    len: usize,
    size: usize,
    work: impl Fn(Chunks<'_, '_, T>) + Sync,
) -> Vec<T> {
    let mut out = Vec::with_capacity(len);
    share_chunks(&mut out.spare_capacity_mut()[..len], size, |chunks| {
        let mut chunks = chunks.map(|(i, chunk)| (i, zeroed(chunk)));
        work(&mut chunks);
        chunks.for_each(drop);
    });
    // SAFETY: the chunks are all of it, and every one was taken and zeroed.
    unsafe { out.set_len(len) };
    out
}

fn zeroed<T: Copy + Default>(chunk: &mut [MaybeUninit<T>]) -> &mut [T] {
    chunk.fill(MaybeUninit::new(T::default()));
    // SAFETY: every number has just been written; the layouts are the same.
    unsafe { &mut *(ptr::from_mut(chunk) as *mut [T]) }
}

/// Where results go.
pub(crate) enum Out<'a, T> {
    /// Over what is there.
    Held(&'a mut [T]),
    /// A new vector of so many numbers.
    New(&'a mut Vec<T>, usize),
}

impl<T: Copy + Default + Send> Out<'_, T> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Held(out) => out.len(),
            Self::New(_, len) => *len,
        }
    }

    /// See [`share_chunks`].
    pub(crate) fn share_chunks(self, size: usize, work: impl Fn(Chunks<'_, '_, T>) + Sync) {
        match self {
            Self::Held(out) => share_chunks(out, size, work),
            Self::New(out, len) => *out = share_new(len, size, work),
        }
    }
}

/// `work` of every number below `pieces`, in order.
pub(crate) fn share_map<R: Send>(pieces: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let mut results: Vec<Option<R>> = (0..pieces).map(|_| None).collect();
    share_chunks(&mut results, 1, |chunks| {
        for (i, result) in chunks {
            result[0] = Some(work(i));
        }
    });
    results.into_iter().flatten().collect()
}

/// The numbers of divided work, each given to one thread.
#[derive(Clone, Copy)]
pub(crate) struct Pieces<'a> {
    next: &'a AtomicUsize,
    pieces: usize,
}

impl Iterator for Pieces<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let piece = self.next.fetch_add(1, Ordering::Relaxed);
        (piece < self.pieces).then_some(piece)
    }
}

/// The first number of a slice that is divided.
struct Start<T>(*mut T);

// SAFETY: threads reach disjoint chunks through it, which `T: Send` allows.
unsafe impl<T: Send> Sync for Start<T> {}

impl<T> Start<T> {
    fn get(&self) -> *mut T {
        self.0
    }
}

/// What a leader shares with its helpers.
#[derive(Default)]
struct Team {
    task: Mutex<Option<Task>>,
    /// Counts tasks.
    epoch: AtomicUsize,
    /// Helpers that are at work on the task.
    busy: AtomicUsize,
    /// How many helpers there are to be.
    helpers: usize,
    /// Helpers that were ever called, and that have gone home since.
    called: AtomicUsize,
    home: AtomicUsize,
    closed: AtomicBool,
}

/// Divided work, borrowed from the leader, who takes it back before what it borrows from ends.
#[derive(Clone, Copy)]
struct Task {
    work: *const (dyn Fn(Pieces<'_>) + Sync),
    next: *const AtomicUsize,
    pieces: usize,
}

// SAFETY: both pointers are to what may be shared between threads.
unsafe impl Send for Task {}

impl Team {
    fn task(&self) -> MutexGuard<'_, Option<Task>> {
        self.task.lock().expect("no panic while held")
    }

    /// Helpers that are on their way, look for work or do some.
    fn out(&self) -> usize {
        self.called.load(Ordering::Relaxed) - self.home.load(Ordering::Acquire)
    }

    /// Calls those helpers who are at home.
    fn call<'scope>(&'scope self, scope: &Scope<'scope>) {
        // Only the leader calls, so that there are never more than there should be.
        for _ in self.out()..self.helpers {
            self.called.fetch_add(1, Ordering::Relaxed);
            scope.spawn(|_| {
                let _home = Home(self);
                self.help();
            });
        }
    }

    /// The leader's part: offers the work, does what the others leave, and waits for theirs.
    fn run(&self, pieces: Pieces<'_>, work: &(dyn Fn(Pieces<'_>) + Sync)) {
        // SAFETY: only the lifetime changes. `TakeBack` ends every use of it before this returns.
        let work: &'static (dyn Fn(Pieces<'_>) + Sync) = unsafe { std::mem::transmute(work) };
        let task = Task { work, next: pieces.next, pieces: pieces.pieces };
        *self.task() = Some(task);
        self.epoch.fetch_add(1, Ordering::Release);
        let _take_back = TakeBack(self);
        alone(|| work(pieces));
    }

    /// A helper's part: works on one task after another until the team is closed or no more come.
    fn help(&self) {
        let _role = Role::Inside.enter();
        let mut seen = 0;
        loop {
            let mut looks = 0;
            while self.epoch.load(Ordering::Acquire) == seen {
                if looks == PATIENCE || self.closed.load(Ordering::Acquire) {
                    return;
                }
                looks += 1;
                if looks < LOOKS { std::hint::spin_loop() } else { std::thread::yield_now() }
            }
            seen = self.epoch.load(Ordering::Acquire);
            let Some((task, _busy)) = self.join() else { continue };
            // SAFETY: the leader waits for this helper before what the task borrows ends.
            let (work, next) = unsafe { (&*task.work, &*task.next) };
            if next.load(Ordering::Relaxed) < task.pieces {
                work(Pieces { next, pieces: task.pieces });
            }
        }
    }

    /// The task, if there still is one; the leader waits for what comes with it to be dropped.
    fn join(&self) -> Option<(Task, Busy<'_>)> {
        let task = self.task();
        let task = (*task)?;
        self.busy.fetch_add(1, Ordering::Relaxed);
        Some((task, Busy(self)))
    }
}

/// A helper that was called; it has gone home when this is dropped.
struct Home<'a>(&'a Team);

impl Drop for Home<'_> {
    fn drop(&mut self) {
        self.0.home.fetch_add(1, Ordering::Release);
    }
}

/// A helper at work.
struct Busy<'a>(&'a Team);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Release);
    }
}

/// Takes the task back when dropped: no helper joins any more, and those at work have finished.
struct TakeBack<'a>(&'a Team);

impl Drop for TakeBack<'_> {
    fn drop(&mut self) {
        *self.0.task() = None;
        let mut looks = 0;
        while self.0.busy.load(Ordering::Acquire) > 0 {
            looks += 1;
            if looks < LOOKS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
    }
}

/// Sends the helpers home when dropped.
struct Close<'a>(&'a Team);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
