//! Threads in teams.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;

/// Runs `work` with a pool of `threads`, from outside it and from inside.
fn on_pool(threads: usize, work: impl Fn() + Sync) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(&work);
    work();
}

#[test]
fn helpers_that_went_home_are_called_again() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    pool.install(|| {
        in_team(|| {
            let Role::Leading(team, _) = ROLE.get() else { panic!("no leader") };
            // SAFETY: the team outlives the role.
            let team = unsafe { &*team };
            assert_eq!(team.called.load(Ordering::Relaxed), 2);
            // They go home when nothing is shared.
            let start = Instant::now();
            while team.out() > 0 {
                assert!(start.elapsed() < Duration::from_secs(60), "they stay");
                std::thread::yield_now();
            }
            let done = AtomicUsize::new(0);
            share(100, |pieces| {
                done.fetch_add(pieces.count(), Ordering::Relaxed);
            });
            assert_eq!(team.called.load(Ordering::Relaxed), 4);
            assert_eq!(done.into_inner(), 100);
        });
    });
}

#[test]
fn every_piece_is_done_once() {
    for threads in [1, 2, 5] {
        on_pool(threads, || {
            in_team(|| {
                for pieces in [0, 1, 2, 7, 100] {
                    let done: Vec<_> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
                    share(pieces, |mine| {
                        mine.for_each(|i| {
                            done[i].fetch_add(1, Ordering::Relaxed);
                        });
                    });
                    assert!(done.iter().all(|done| done.load(Ordering::Relaxed) == 1));
                }
            });
        });
    }
}

#[test]
fn chunks_cover_the_slice_and_results_are_in_order() {
    on_pool(3, || {
        let mut numbers = vec![0; 1003];
        share_chunks(&mut numbers, 10, |chunks| {
            for (i, chunk) in chunks {
                chunk.iter_mut().enumerate().for_each(|(j, n)| *n = 10 * i + j);
            }
        });
        assert!(numbers.iter().enumerate().all(|(i, &n)| i == n));
        let new = share_new(1003, 10, |chunks| {
            // A thread that leaves some of its chunks alone leaves zeros.
            for (i, chunk) in chunks.take(2) {
                chunk.fill(i);
            }
        });
        assert!(
            new.chunks(10).enumerate().all(|(i, chunk)| {
                chunk.iter().all(|&n| n == i) || chunk.iter().all(|&n| n == 0)
            })
        );
        assert_eq!(share_map(50, |i| i * i), (0..50).map(|i| i * i).collect::<Vec<_>>());
    });
}

/// A helper that is not there in time is not waited for, so one division may miss it.
#[test]
fn helpers_take_their_part() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    pool.install(|| {
        let seen = Mutex::new(HashSet::new());
        let both = (0..1_000_000).any(|_| {
            share(2, |pieces| {
                for _ in pieces {
                    seen.lock().unwrap().insert(std::thread::current().id());
                    std::thread::yield_now();
                }
            });
            seen.lock().unwrap().len() == 2
        });
        assert!(both, "the second thread never helped");
    });
}

#[test]
fn work_inside_work_is_done_by_the_same_thread() {
    on_pool(3, || {
        share(4, |pieces| {
            for _ in pieces {
                let here = std::thread::current().id();
                share(8, |inner| {
                    inner.for_each(|_| assert_eq!(std::thread::current().id(), here));
                });
            }
        });
    });
}

#[test]
fn every_worker_with_a_team_of_its_own_gets_done() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let total = AtomicUsize::new(0);
    pool.scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|_| {
                in_team(|| {
                    for _ in 0..10 {
                        share(6, |pieces| {
                            total.fetch_add(pieces.count(), Ordering::Relaxed);
                        });
                    }
                });
            });
        }
    });
    assert_eq!(total.into_inner(), 20 * 10 * 6);
}

/// Every worker leads a team and waits for rayon inside it, where it may take up the helpers'
/// part of another's, or its own.
#[test]
fn leaders_that_wait_for_rayon_get_done() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let total = AtomicUsize::new(0);
    let count = || _ = total.fetch_add(1, Ordering::Relaxed);
    pool.scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|_| {
                in_team(|| rayon::join(|| rayon::join(count, count), || in_team(count)));
            });
        }
    });
    assert_eq!(total.into_inner(), 36);
}

#[test]
fn a_panic_arrives_and_the_pool_goes_on() {
    on_pool(3, || {
        for broken in 0..4 {
            let failed = catch_unwind(AssertUnwindSafe(|| {
                share(4, |pieces| pieces.for_each(|i| assert_ne!(i, broken)));
            }));
            assert!(failed.is_err());
            assert_eq!(share_map(3, |i| i), [0, 1, 2]);
        }
    });
}
