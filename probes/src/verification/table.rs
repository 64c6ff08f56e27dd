//! Verification of feature tables in one call.

use std::collections::BTreeSet;

use vdvae_features::FeatureTable;

use super::pairs::{Pair, check_row};
use super::projection::Projection;
use super::protocol::{verify, verify_each};
use super::scorer::{Scorer, Training, VerificationScore};
use crate::who::identity_of_rows;
use crate::{Error, ProbeResult, Result};

/// Verifies pairs of test rows.
///
/// With training rows, one scorer is fitted on them; nobody in them may be in the test rows. Without,
/// each fold has a scorer of its own, fitted on the test rows of everyone who is not in the fold, as
/// the published pairs of LFW ask for.
///
/// Identities are the groups of the rows, or their classes. The result is one of latents without
/// layers until [`ProbeResult::with_origin`] says more.
///
/// # Errors
/// [`Error::Pairs`] where a table has neither groups nor classes, or there is no fold; those of
/// [`Scorer::fit`], [`Scorer::score`] and [`verify`].
pub fn verify_table(
    score: VerificationScore,
    projection: Projection,
    train: Option<&FeatureTable>,
    test: &FeatureTable,
    pairs: &[Vec<Pair>],
) -> Result<ProbeResult> {
    let Some(train) = train else { return fold_by_fold(score, projection, test, pairs) };
    let (known, tested) = (people(train)?, people(test)?);
    let training = Training { features: train.view(), identities: &known };
    let scorer = Scorer::fit(score, training, &tested, projection)?;
    let scores = scorer.score(test.view(), pairs)?;
    Ok(verify(&scores, pairs)?.result(score, &scorer, pairs))
}

/// A scorer for each fold, fitted on the rows of everyone who is not in it.
fn fold_by_fold(
    score: VerificationScore,
    projection: Projection,
    test: &FeatureTable,
    pairs: &[Vec<Pair>],
) -> Result<ProbeResult> {
    let people = people(test)?;
    let mut scores = Vec::new();
    let mut last = None;
    for fold in pairs {
        let rows = fold.iter().flat_map(|pair| [pair.a, pair.b]);
        let inside = rows.map(|row| who(&people, row)).collect::<Result<BTreeSet<u64>>>()?;
        let rows: Vec<usize> =
            (0..test.rows()).filter(|&row| !inside.contains(&people[row])).collect();
        let others = test.select_rows(&rows);
        let known: Vec<u64> = rows.iter().map(|&row| people[row]).collect();
        let training = Training { features: others.view(), identities: &known };
        let inside: Vec<u64> = inside.into_iter().collect();
        let scorer = Scorer::fit(score, training, &inside, projection)?;
        scores.push(scorer.score(test.view(), pairs)?);
        last = Some(scorer);
    }
    let verification = verify_each(&scores, pairs)?;
    let scorer = last.expect("the protocol has checked that there are folds");
    Ok(verification.result(score, &scorer, pairs))
}

/// Who is in the picture of every row.
fn people(table: &FeatureTable) -> Result<Vec<u64>> {
    identity_of_rows(&table.targets, table.groups.as_deref()).ok_or_else(|| Error::Pairs {
        expected: "people to tell apart".to_owned(),
        found: "rows without groups or classes".to_owned(),
    })
}

/// The identity of a row that a pair names.
fn who(people: &[u64], row: usize) -> Result<u64> {
    check_row(row, people.len())?;
    Ok(people[row])
}
