//! At which layer does a network keep what can be read linearly?
//!
//! ```text
//! cargo run --release --example layer_sweep
//! ```
//!
//! Prints a curve: one line a layer from 1×1 to 32×32, the mean AUROC of a linear probe over the
//! attributes of toy faces, a bar from 0.5 (chance) to 1, and the columns the probe read. The
//! network runs once; each probe reads columns of the same table. Columns grow with resolution up
//! to the 4×4 pooling cells, so 1×1 is not comparable with the rest; `vdvae-probe --per-layer`
//! has the controls and the intervals that this curve lacks.

use std::error::Error;

use vdvae::datasets::{OnBadImage, Preparation, Split, ToyFaces};
use vdvae::features::{Extraction, FeatureSource, FeatureSpec, FeatureTable, LayerSelection};
use vdvae::probes::{Bootstrap, LinearProbe, evaluate};
use vdvae::{Device, Vdvae};

/// Characters of a bar that stands for an AUROC of 1.
const WIDTH: f64 = 50.0;

fn main() -> Result<(), Box<dyn Error>> {
    let model = Vdvae::builtin(&Device::Cpu)?;
    // Twenty pictures of each person; no person is in two splits.
    let faces = ToyFaces::with_people(0, [30, 10, 10]);
    let [train, valid, test] = [
        every_layer(&model, &faces, Split::Train)?,
        every_layer(&model, &faces, Split::Valid)?,
        every_layer(&model, &faces, Split::Test)?,
    ];

    // Fewer penalties than the default, and no interval, so that it takes seconds.
    let strengths = vec![100.0, 1e4];
    let probe = LinearProbe { strengths, ..LinearProbe::default() };
    let no_interval = Bootstrap { replicates: 0, seed: 0 };
    println!("layer  grid   columns  mean AUROC");
    for layer in model.config().latent_layers() {
        let only = |table: &FeatureTable| table.select_columns(|c| c.layer == Some(layer.index));
        let [train, valid, test] = [&train, &valid, &test].map(only);
        let result = evaluate(&probe, &train, &valid, &test, no_interval)?.result;
        let auroc = result.value.ok_or("no attribute has both kinds of test pictures")?;
        let bar = "█".repeat(((2.0 * auroc - 1.0).max(0.0) * WIDTH).round() as usize);
        let grid = format!("{0}x{0}", layer.resolution);
        println!("{:5}  {grid:5}  {:7}  {auroc:.3} {bar}", layer.index, result.columns);
    }
    Ok(())
}

/// One table with the pooled posterior means of all layers side by side.
fn every_layer(
    model: &Vdvae,
    faces: &ToyFaces,
    split: Split,
) -> Result<FeatureTable, Box<dyn Error>> {
    let extraction = Extraction {
        dataset: faces,
        split,
        preparation: Preparation::new(model.config().image_size),
        on_bad_image: OnBadImage::Fail,
        batch_size: 32,
    };
    let layers = LayerSelection::All;
    let source = FeatureSource::Latents { model, spec: FeatureSpec::default(), layers };
    Ok(extraction.run(&[source], |_| ())?.tables.remove(0))
}
