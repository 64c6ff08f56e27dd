//! Latents moved along what a probe has learnt.

use candle_core::{Device, Tensor};
use vdvae_features::{LayerSelection, Statistic, selection_parts, unpooled};
use vdvae_model::{LatentLayer, VdvaeConfig};
use vdvae_probes::SavedProbe;

use crate::error::{Error, Result};

/// The way latents go where a target's score rises: one change a layer of the network.
///
/// It is the probe's pattern ([`SavedProbe::pattern`]), not its weights, put back onto the grids of the
/// layers: every position of a pooled cell moves as the cell's mean does.
#[derive(Debug, Clone)]
pub struct Direction {
    /// (1, r, r, Z) for a standard deviation of the score, of the layers that move.
    layers: Vec<Option<Tensor>>,
}

impl Direction {
    /// The direction of a target or class, in those of the probe's layers that are selected.
    ///
    /// # Errors
    /// [`Error::Unfit`] where the probe reads no means or samples of latents, or cells that do not
    /// divide a layer; where it knows no such target, or learnt nothing of it; and where it reads none
    /// of the layers.
    pub fn new(
        config: &VdvaeConfig,
        probe: &SavedProbe,
        target: &str,
        layers: LayerSelection,
    ) -> Result<Self> {
        let unfit = |problem: String| Error::Unfit { what: "probe".to_owned(), problem };
        let info = &probe.info.features;
        if !matches!(info.statistic, Statistic::Mean | Statistic::Z) {
            let found = info.statistic;
            return Err(unfit(format!("expected one of latents, mean or z, found {found}")));
        }
        let Some(pattern) = probe.pattern(target) else {
            let known = probe.info.targets.join(", ");
            return Err(unfit(format!("expected a target of {known}, found `{target}`")));
        };
        if pattern.iter().all(|&value| value == 0.0) {
            return Err(unfit(format!("expected one that learnt `{target}`, found none")));
        }
        let read = info.spec().layers(config, info.layers)?;
        let parts = selection_parts(config, &info.spec(), info.layers)?;
        let columns: usize = parts.iter().map(|part| part.columns()).sum();
        if columns != pattern.len() {
            let found = pattern.len();
            return Err(unfit(format!(
                "expected {columns} columns of this network, found {found}"
            )));
        }
        let mut moved = vec![None; config.latent_layers().len()];
        let pattern = pattern.to_vec();
        let mut start = 0;
        for (shape, part) in read.iter().zip(&parts) {
            let columns = &pattern[start..][..part.columns()];
            start += part.columns();
            if layers.contains(shape) {
                let (r, z) = (shape.resolution, shape.channels);
                let change = unpooled(columns, r, info.pooling)?;
                moved[shape.index] = Some(Tensor::from_vec(change, (1, r, r, z), &Device::Cpu)?);
            }
        }
        if moved.iter().all(Option::is_none) {
            let (reads, asked) = (info.layers, layers);
            return Err(unfit(format!("expected one that reads layers of {asked}, found {reads}")));
        }
        Ok(Self { layers: moved })
    }

    /// The means of all layers, moved by `strength` standard deviations of the score over the probe's
    /// training rows; layers that do not move as they are.
    ///
    /// # Shapes
    /// - result: (N, r, r, Z) a layer
    ///
    /// # Errors
    /// Where the device's memory does not suffice.
    pub fn moved(&self, latents: &[LatentLayer], strength: f64) -> Result<Vec<Tensor>> {
        let moved = self.layers.iter().zip(latents).map(|(change, layer)| match change {
            None => Ok(layer.mean.clone()),
            Some(change) => {
                let change = change.to_device(layer.mean.device())?;
                Ok(layer.mean.broadcast_add(&(change * strength)?)?)
            }
        });
        moved.collect()
    }
}

/// The means of all layers of two pictures, mixed in those that are selected: 0 is the first picture, 1
/// the second. Other layers are the first's.
///
/// # Errors
/// Where the device's memory does not suffice.
pub fn mixed(
    config: &VdvaeConfig,
    [a, b]: [&[LatentLayer]; 2],
    share: f64,
    layers: LayerSelection,
) -> Result<Vec<Tensor>> {
    let shapes = config.latent_layers();
    let mixed = a.iter().zip(b).zip(&shapes).map(|((a, b), shape)| {
        if !layers.contains(shape) {
            return Ok(a.mean.clone());
        }
        Ok(((&a.mean * (1.0 - share))? + (&b.mean * share)?)?)
    });
    mixed.collect()
}

#[cfg(test)]
mod tests {
    use vdvae_datasets::{Dataset, Split, ToyFaces};
    use vdvae_features::{FeatureSpec, features};
    use vdvae_model::Vdvae;
    use vdvae_probes::{FeatureInfo, Probe, RidgeProbe};

    use super::*;

    fn probe(model: &Vdvae, faces: &ToyFaces, layers: LayerSelection) -> SavedProbe {
        let spec = FeatureSpec::default();
        let read = |split| features(model, faces, split, &spec).unwrap();
        let (mut train, mut valid) = (read(Split::Train), read(Split::Valid));
        let keep = |columns: &vdvae_features::FeatureColumn| {
            columns
                .layer
                .is_some_and(|index| layers.contains(&model.config().latent_layers()[index]))
        };
        for table in [&mut train, &mut valid] {
            *table = table.select_columns(keep);
        }
        let info = FeatureInfo {
            network: "built-in".into(),
            sha256: "00".repeat(32),
            layers,
            statistic: spec.statistic,
            pooling: spec.pooling,
            seed: spec.seed,
            samples: spec.samples,
        };
        let fitted = RidgeProbe::default().fit(&train, &valid).unwrap();
        SavedProbe::new(&fitted, "toy-faces".into(), info, train.view()).unwrap()
    }

    #[test]
    fn a_moved_latent_has_the_score_that_was_asked_for() {
        let model = Vdvae::builtin(&Device::Cpu).unwrap();
        let faces = ToyFaces::with_people(0, [4, 2, 2]);
        let layers = LayerSelection::Resolution(8);
        let probe = probe(&model, &faces, layers);
        let config = model.config();
        let target = &probe.info.targets[0];
        let picture = faces.render(Split::Test, 0, config.image_size).unwrap();
        let latents = model.extract_latents(&picture).unwrap();
        let direction = Direction::new(config, &probe, target, LayerSelection::All).unwrap();
        // The score of pooled means, as the probe reads them.
        let score = |means: &[Tensor]| {
            let mut row = Vec::new();
            for (mean, shape) in means.iter().zip(config.latent_layers()) {
                if layers.contains(&shape) {
                    let cells = mean.reshape((4, 2, 4, 2, shape.channels)).unwrap();
                    let cells = cells.mean(3).unwrap().mean(1).unwrap();
                    let cells = cells.permute((2, 0, 1)).unwrap().flatten_all().unwrap();
                    row.extend(cells.to_vec1::<f32>().unwrap());
                }
            }
            let row = ndarray::Array2::from_shape_vec((1, row.len()), row).unwrap();
            probe.predict(row.view()).unwrap()[[0, 0]].score.unwrap()
        };
        let at = |strength| score(&direction.moved(latents.layers(), strength).unwrap());
        let (still, up, down) = (at(0.0), at(1.0), at(-2.0));
        assert!(up > still && ((down - still) / (up - still) + 2.0).abs() < 1e-3);
        // Layers that the probe does not read stay as they are.
        let moved = direction.moved(latents.layers(), 3.0).unwrap();
        for (layer, moved) in latents.layers().iter().zip(&moved) {
            let difference = (&layer.mean - moved).unwrap().abs().unwrap().sum_all().unwrap();
            let same = difference.to_scalar::<f32>().unwrap() == 0.0;
            assert_eq!(same, layer.resolution != 8, "layer {}", layer.index);
        }

        let refused = |target: &str, layers: LayerSelection| {
            Direction::new(config, &probe, target, layers).unwrap_err().to_string()
        };
        assert!(refused("Beret", LayerSelection::All).ends_with("found `Beret`"));
        let other = LayerSelection::Resolution(4);
        assert!(refused(target, other).ends_with("reads layers of 4x4, found 8x8"));
    }

    #[test]
    fn a_mixture_goes_from_one_picture_to_the_other() {
        let model = Vdvae::builtin(&Device::Cpu).unwrap();
        let faces = ToyFaces::with_people(0, [1, 1, 1]);
        let latents = |i| {
            let picture = faces.render(Split::Test, i, model.config().image_size).unwrap();
            model.extract_latents(&picture).unwrap()
        };
        let (a, b) = (latents(0), latents(1));
        let both = [a.layers(), b.layers()];
        let distance = |x: &Tensor, y: &Tensor| {
            (x - y).unwrap().abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap()
        };
        let ends = [0.0, 1.0]
            .map(|share| mixed(model.config(), both, share, LayerSelection::All).unwrap());
        for (mixed, latents) in ends.iter().zip(both) {
            for (mixed, layer) in mixed.iter().zip(latents) {
                assert_eq!(distance(mixed, &layer.mean), 0.0);
            }
        }
        let half = mixed(model.config(), both, 1.0, LayerSelection::First(2)).unwrap();
        assert_eq!(distance(&half[0], &b.layers()[0].mean), 0.0);
        assert_eq!(distance(&half[2], &a.layers()[2].mean), 0.0);
    }
}
