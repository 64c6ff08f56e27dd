//! Pairs of rows, and how they are drawn where a data set publishes none.

use std::collections::BTreeSet;

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::check_range;
use crate::who::places_by;
use crate::{Error, Result};

/// Two rows, and whether they show the same person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// One row.
    pub a: usize,
    /// The other.
    pub b: usize,
    /// Whether the two are of one identity.
    pub same: bool,
}

/// Fails where a pair names a row that is not there.
pub(super) fn check_row(row: usize, rows: usize) -> Result<()> {
    let expected = "an index below the number of rows";
    check_range(row < rows, "row of a pair", expected, format_args!("{row} of {rows}"))
}

/// Folds of pairs, in each as many of one identity (first) as of two: a pure function of the
/// identities, one a row, and the seed.
///
/// Identities are dealt to the folds, so that no two folds share one. Pairs of one identity are
/// spread over the identities of the fold as evenly as their pictures allow; those of two are drawn
/// from the pictures of the fold. No pair occurs twice.
///
/// # Errors
/// [`Error::OutOfRange`] for fewer than two folds or an odd number of pairs (or none);
/// [`Error::Pairs`] where the identities of a fold have too few pictures.
pub fn sample_pairs(
    identities: &[u64],
    folds: usize,
    pairs_per_fold: usize,
    seed: u64,
) -> Result<Vec<Vec<Pair>>> {
    check_range(folds >= 2, "folds", "at least 2", folds)?;
    let even = pairs_per_fold > 0 && pairs_per_fold.is_multiple_of(2);
    check_range(even, "pairs of a fold", "an even number above 0", pairs_per_fold)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let dealt = deal(identities, folds, &mut rng);
    let half = pairs_per_fold / 2;
    let too_few = |fold: usize, which: &str, found: u64| {
        let of_each = dealt.iter().map(|people| pairs_within(people).min(pairs_between(people)));
        let fit = match of_each.min() {
            Some(fewest @ 1..) => format!(" ({} pairs a fold would fit all)", 2 * fewest),
            _ => String::new(),
        };
        Error::Pairs {
            expected: format!("at least {half} pairs {which} in every fold"),
            found: format!("{found} in fold {fold}{fit}"),
        }
    };
    let sample = |(fold, people): (usize, &Vec<Vec<usize>>)| {
        // A stream of its own: a fold does not depend on how many draws another took.
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(fold as u64 + 1);
        let mut pairs = genuine(people, half, &mut rng)
            .map_err(|found| too_few(fold, "of one identity", found))?;
        let impostors = impostors(people, half, &mut rng)
            .map_err(|found| too_few(fold, "of two identities", found))?;
        pairs.extend(impostors);
        Ok(pairs)
    };
    dealt.iter().enumerate().map(sample).collect()
}

/// The rows of each identity, identities dealt in turn: first those with several rows, then those
/// with one, so that every fold has its share of both.
fn deal(identities: &[u64], folds: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<Vec<usize>>> {
    let (mut several, mut single): (Vec<_>, Vec<_>) =
        places_by(identities).into_values().partition(|rows| rows.len() > 1);
    several.shuffle(rng);
    single.shuffle(rng);
    let mut dealt = vec![Vec::new(); folds];
    for (at, rows) in several.into_iter().chain(single).enumerate() {
        dealt[at % folds].push(rows);
    }
    dealt
}

/// Pairs there are among `count` rows.
fn pairs_among(count: usize) -> u64 {
    count as u64 * (count as u64).saturating_sub(1) / 2
}

/// Pairs there are within identities.
fn pairs_within(people: &[Vec<usize>]) -> u64 {
    people.iter().map(|rows| pairs_among(rows.len())).sum()
}

/// Pairs there are between identities.
fn pairs_between(people: &[Vec<usize>]) -> u64 {
    pairs_among(people.iter().map(Vec::len).sum()) - pairs_within(people)
}

/// Pairs within identities, or how many there are where those are too few.
fn genuine(
    people: &[Vec<usize>],
    needed: usize,
    rng: &mut ChaCha8Rng,
) -> std::result::Result<Vec<Pair>, u64> {
    let available = |rounds: u64| -> u64 {
        people.iter().map(|rows| pairs_among(rows.len()).min(rounds)).sum()
    };
    if pairs_within(people) < needed as u64 {
        return Err(pairs_within(people));
    }
    // The fewest pairs of an identity at most that are enough together.
    let rounds = (1..).find(|&rounds| available(rounds) >= needed as u64).unwrap_or(u64::MAX);
    let mut pairs = Vec::new();
    let mut last = Vec::new();
    for rows in people {
        let all = pairs_among(rows.len());
        let drawn = distinct(rng, all, rounds.min(all));
        // The last round is the one that not everyone takes part in.
        for (round, index) in (1..).zip(drawn) {
            let [a, b] = pair_of(index).map(|at| rows[at]);
            let into = if round == rounds { &mut last } else { &mut pairs };
            into.push(Pair { a, b, same: true });
        }
    }
    last.shuffle(rng);
    last.truncate(needed - pairs.len());
    pairs.extend(last);
    pairs.shuffle(rng);
    Ok(pairs)
}

/// `count` distinct numbers below `end`, in random order (Floyd's algorithm, then a shuffle).
fn distinct(rng: &mut ChaCha8Rng, end: u64, count: u64) -> Vec<u64> {
    let mut drawn = BTreeSet::new();
    for last in end - count..end {
        let number = rng.random_range(0..=last);
        if !drawn.insert(number) {
            drawn.insert(last);
        }
    }
    let mut drawn: Vec<u64> = drawn.into_iter().collect();
    drawn.shuffle(rng);
    drawn
}

/// The pair of positions with this number: (1, 0), (2, 0), (2, 1), (3, 0), …
fn pair_of(index: u64) -> [usize; 2] {
    let mut high = (((8.0 * index as f64 + 1.0).sqrt() + 1.0) / 2.0) as u64;
    // The root is rounded.
    while high * (high - 1) / 2 > index {
        high -= 1;
    }
    while (high + 1) * high / 2 <= index {
        high += 1;
    }
    [high as usize, (index - high * (high - 1) / 2) as usize]
}

/// Pairs between identities, or how many there are where those are too few.
fn impostors(
    people: &[Vec<usize>],
    needed: usize,
    rng: &mut ChaCha8Rng,
) -> std::result::Result<Vec<Pair>, u64> {
    let pictures: Vec<(usize, usize)> = (0..)
        .zip(people)
        .flat_map(|(person, rows)| rows.iter().map(move |&row| (person, row)))
        .collect();
    let available = pairs_between(people);
    if available < needed as u64 {
        return Err(available);
    }
    let pair = |[a, b]: [(usize, usize); 2]| Pair { a: a.1, b: b.1, same: false };
    if available < 4 * needed as u64 {
        let all = pictures.iter().enumerate();
        let all = all.flat_map(|(at, &a)| pictures[..at].iter().map(move |&b| [a, b]));
        let mut pairs: Vec<Pair> = all.filter(|[a, b]| a.0 != b.0).map(pair).collect();
        pairs.shuffle(rng);
        pairs.truncate(needed);
        return Ok(pairs);
    }
    let (mut pairs, mut seen) = (Vec::with_capacity(needed), BTreeSet::new());
    while pairs.len() < needed {
        let [a, b] = [(); 2].map(|()| rng.random_range(0..pictures.len()));
        if pictures[a].0 != pictures[b].0 && seen.insert([a.min(b), a.max(b)]) {
            pairs.push(pair([pictures[a], pictures[b]]));
        }
    }
    Ok(pairs)
}
