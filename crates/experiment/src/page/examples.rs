//! Test pictures, what is predicted of them, and the training pictures nearest to them.

use vdvae_datasets::Split;
use vdvae_probes::nearest_rows;
use vdvae_report::{Example, Neighbour};

use super::pictures::{of_rows, spread};
use crate::candidate::Splits;
use crate::error::Result;
use crate::experiment::Experiment;
use crate::task::Scores;

/// Test pictures shown.
const PICTURES: usize = 12;
/// Training pictures shown beside each.
const NEIGHBOURS: usize = 5;

/// None where there is no training split.
pub(crate) fn examples(
    experiment: &Experiment<'_>,
    latents: &Splits,
    scores: &dyn Scores,
) -> Result<Vec<Example>> {
    let [train, _, test] = latents;
    if train.rows() == 0 {
        return Ok(Vec::new());
    }
    let rows = spread(test.rows(), PICTURES);
    let queries = test.select_rows(&rows);
    let near = nearest_rows(train.view(), queries.view(), NEIGHBOURS)?;
    let shown = of_rows(experiment, Split::Test, &queries)?;
    let wanted: Vec<usize> = near.iter().flatten().map(|&(row, _)| row as usize).collect();
    let neighbours = of_rows(experiment, Split::Train, &train.select_rows(&wanted))?;
    let mut examples = Vec::new();
    for ((&row, key), near) in rows.iter().zip(&queries.keys).zip(&near) {
        let Some(image) = shown.get(key) else { continue };
        let neighbours = near.iter().filter_map(|&(row, similarity)| {
            let key = &train.keys[row as usize];
            let (image, key) = (neighbours.get(key)?.clone(), key.clone());
            Some(Neighbour { image, key, similarity: similarity.into() })
        });
        examples.push(Example {
            image: image.clone(),
            key: key.clone(),
            answers: scores.answers(row),
            neighbours: neighbours.collect(),
        });
    }
    Ok(examples)
}
