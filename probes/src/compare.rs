//! Which differences between results are more than chance.

use vdvae_features::LayerSelection;

use crate::bootstrap::{PairedDifference, Replicated};
use crate::evaluate::Evaluated;
use crate::result::{Compared, Comparison, ProbeResult, Source};

/// A headline, and what it takes to tell its difference from another on the same rows.
pub(crate) trait Paired {
    /// The headline; `None` where it is undefined.
    fn value(&self) -> Option<f64>;

    /// `self - other`; `None` where either is undefined.
    fn difference(&self, other: &Self) -> Option<PairedDifference>;
}

impl Paired for Replicated {
    fn value(&self) -> Option<f64> {
        self.value
    }

    fn difference(&self, other: &Self) -> Option<PairedDifference> {
        self.minus(other)
    }
}

/// Results that differ in their label seed alone, as one.
pub(crate) struct Entry<T> {
    side: Compared,
    columns: usize,
    scores: T,
}

impl<T> Entry<T> {
    /// `scores` of a result, or of several that are alike.
    pub(crate) fn new(result: &ProbeResult, scores: T) -> Self {
        Self { side: result.side(), columns: result.columns, scores }
    }

    /// Whether the layers are those of one resolution, as in `32x32`.
    fn is_resolution(&self) -> bool {
        matches!(self.side.layers, Some(LayerSelection::Resolution(_)))
    }
}

/// Paired differences between results on the same test rows, within one probe, number of matched
/// columns and training fraction; results of several label seeds are averaged first.
///
/// - Latents of each selection less each control on the same selection (pixels and their
///   components have no selection, and are compared with all).
/// - Latents of each resolution less those of the next better one.
/// - Latents of each selection less those of `all`.
///
/// Latents matched to N columns are compared with what was matched to N too, and with what had no
/// more than N columns to begin with. The intervals describe other test rows, for the fits at hand, and for
/// random weights of several seeds ([`average_networks`](crate::average_networks)) other networks too;
/// p-values are not corrected for the number of comparisons.
pub fn compare(evaluated: &[Evaluated]) -> Vec<Comparison> {
    compare_entries(&entries(evaluated))
}

/// [`compare`] of any kind of scores.
pub(crate) fn compare_entries<T: Paired>(entries: &[Entry<T>]) -> Vec<Comparison> {
    let is_latents = |entry: &Entry<T>| entry.side.source == Source::Latents;
    let mut comparisons = Vec::new();
    for (index, latent) in entries.iter().enumerate().filter(|(_, entry)| is_latents(entry)) {
        let controls = entries.iter().filter(|entry| is_control_of(entry, latent));
        comparisons.extend(controls.filter_map(|control| difference(latent, control)));
        let rivals: Vec<(usize, &Entry<T>)> = entries
            .iter()
            .enumerate()
            .filter(|(_, other)| is_latents(other) && same_settings(other, latent))
            .collect();
        let value = latent.scores.value();
        // Of equals, the one that comes first counts as the better.
        let better = |(at, other): &&(usize, &Entry<T>)| {
            let theirs = other.scores.value();
            other.is_resolution() && (theirs > value || (theirs == value && *at < index))
        };
        let rank =
            |(at, other): &&(usize, &Entry<T>)| (other.scores.value(), std::cmp::Reverse(*at));
        let next_better = rivals
            .iter()
            .filter(better)
            .min_by(|a, b| rank(a).partial_cmp(&rank(b)).expect("no value is NaN"));
        let next_better = next_better.filter(|_| latent.is_resolution());
        let is_all = |entry: &Entry<T>| entry.side.layers == Some(LayerSelection::All);
        let all = rivals.iter().find(|(_, other)| is_all(other)).filter(|_| !is_all(latent));
        let rivals = [next_better, all].into_iter().flatten();
        comparisons.extend(rivals.filter_map(|(_, other)| difference(latent, other)));
    }
    comparisons
}

/// Writes into each result of latents by how much it beats the same features with shuffled labels.
pub fn set_selectivity(results: &mut [ProbeResult]) {
    let of_shuffled: Vec<ProbeResult> =
        results.iter().filter(|r| r.source == Source::ShuffledLabels).cloned().collect();
    for result in results.iter_mut().filter(|result| result.source == Source::Latents) {
        let shuffled = of_shuffled.iter().find(|other| {
            let side = Compared { source: Source::ShuffledLabels, ..result.side() };
            other.side() == side && other.label_seed == result.label_seed
        });
        result.selectivity = shuffled.and_then(|other| Some(result.value? - other.value?));
    }
}

fn entries(evaluated: &[Evaluated]) -> Vec<Entry<Replicated>> {
    let mut sides: Vec<Vec<&Evaluated>> = Vec::new();
    for one in evaluated {
        let side = one.result.side();
        match sides.iter_mut().find(|members| members[0].result.side() == side) {
            Some(members) => members.push(one),
            None => sides.push(vec![one]),
        }
    }
    let entry = |members: Vec<&Evaluated>| {
        let replicated: Vec<&Replicated> = members.iter().map(|one| &one.replicated).collect();
        Entry::new(&members[0].result, Replicated::mean(&replicated))
    };
    sides.into_iter().map(entry).collect()
}

/// Whether an entry belongs to the curve another one is on.
fn same_settings<T>(one: &Entry<T>, other: &Entry<T>) -> bool {
    let (a, b) = (&one.side, &other.side);
    // Too few columns to be matched: the raw result stands for the matched one.
    let stands_in =
        a.matched_columns.is_none() && b.matched_columns.is_some_and(|most| one.columns <= most);
    a.probe == b.probe
        && a.labels == b.labels
        && a.train_fraction == b.train_fraction
        && (a.matched_columns == b.matched_columns || stands_in)
}

fn is_control_of<T>(control: &Entry<T>, latent: &Entry<T>) -> bool {
    same_settings(control, latent)
        && control.side.source != Source::Latents
        && (!control.side.source.has_layers() || control.side.layers == latent.side.layers)
}

fn difference<T: Paired>(a: &Entry<T>, b: &Entry<T>) -> Option<Comparison> {
    let paired = a.scores.difference(&b.scores)?;
    Some(Comparison {
        a: a.side.clone(),
        b: b.side.clone(),
        difference: paired.value,
        ci95: paired.ci95,
        p_value: paired.p_value,
    })
}

#[cfg(test)]
mod tests;
