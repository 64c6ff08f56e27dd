//! The preset whose network a file without a configuration holds.

use std::mem::discriminant;

use super::Checkpoint;
use crate::{Error, Preset, Result, WeightProblem};

/// The preset that asks for exactly these names and shapes: no two presets ask for the same.
pub(super) fn recognise(checkpoint: &Checkpoint) -> Result<Preset> {
    let problems = |preset: Preset| (preset, checkpoint.weights.problems(&preset.config()));
    let closest = Preset::ALL.into_iter().map(problems).min_by_key(|(_, problems)| problems.len());
    let (closest, problems) = closest.expect("there are presets");
    if problems.is_empty() {
        return Ok(closest);
    }
    Err(Error::NoConfig { file: checkpoint.file.clone(), closest, differences: by_kind(&problems) })
}

/// How many problems of each kind there are, and the first of them.
fn by_kind(problems: &[WeightProblem]) -> Vec<(usize, WeightProblem)> {
    let mut kinds: Vec<(usize, WeightProblem)> = Vec::new();
    for problem in problems {
        match kinds.iter_mut().find(|(_, first)| discriminant(first) == discriminant(problem)) {
            Some((count, _)) => *count += 1,
            None => kinds.push((1, problem.clone())),
        }
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Array, Weights};

    /// A file of arrays of these names and shapes. Those of the large presets are not made.
    fn checkpoint(weights: Weights) -> Checkpoint {
        let bytes = crate::builtin_checkpoint().unwrap();
        Checkpoint { file: "model.th".into(), weights, config: None, ..bytes }
    }

    #[test]
    fn no_two_presets_have_the_same_names_and_shapes() {
        let all = Preset::ALL.map(|preset| {
            let mut parameters = preset.config().parameters();
            parameters.sort_by(|a, b| a.name.cmp(&b.name));
            parameters
        });
        for (i, one) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|other| other != one), "{}", Preset::ALL[i]);
        }
    }

    #[test]
    fn a_file_is_known_by_its_parameters() {
        for preset in [Preset::Tiny, Preset::ToyFaces] {
            let file = checkpoint(Weights::initialise(&preset.config(), 0));
            assert_eq!(recognise(&file).unwrap(), preset);
            assert_eq!(file.resolve_config(None).unwrap(), preset.config());
        }
    }

    #[test]
    fn the_closest_preset_is_named_with_what_differs() {
        let mut weights = Weights::initialise(&Preset::Tiny.config(), 0);
        weights.remove("decoder.gain");
        weights.remove("encoder.in_conv.bias");
        weights.insert("decoder.bias", Array::new(vec![24], vec![0.0; 24]));
        weights.insert("zebra", Array::new(vec![2], vec![1.0; 2]));
        assert_eq!(
            checkpoint(weights).resolve_config(None).unwrap_err().to_string(),
            "model.th: no configuration inside, and its tensors fit no preset: closest is tiny, \
             with 1 of the wrong shape, decoder.bias: expected (1, 24, 1, 1), found (24); \
             2 missing, first decoder.gain: expected (1, 24, 1, 1), found nothing; \
             1 extra, zebra: expected nothing, found (2)"
        );
    }
}
