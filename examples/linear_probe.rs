//! Which attributes of a face can a linear classifier read from the 16×16 latents?
//!
//! ```text
//! cargo run --release --example linear_probe
//! ```
//!
//! Prints one line an attribute, with its AUROC and average precision on faces of people who were
//! not in training, then the mean AUROC with its 95% interval. The attributes are those that vary
//! between pictures of one person (light, pose, glasses, …): the forty people of this small
//! subset are too few to learn those that do not. `vdvae-probe` is the whole measurement.

use std::error::Error;

use ndarray::Axis;
use vdvae::datasets::{Attribute, Preparation, Split, ToyFaces};
use vdvae::features::{
    Extraction, FeatureSource, FeatureSpec, FeatureTable, LayerSelection, Targets,
};
use vdvae::probes::{Bootstrap, LinearProbe, evaluate};
use vdvae::{Device, Vdvae};

fn main() -> Result<(), Box<dyn Error>> {
    let model = Vdvae::builtin(&Device::Cpu)?;
    // Twenty pictures of each person: 800 to fit, 200 to choose the penalty, 200 to score.
    let faces = ToyFaces::with_people(0, [40, 10, 10]);
    let [train, valid, test] = [
        features(&model, &faces, Split::Train)?,
        features(&model, &faces, Split::Valid)?,
        features(&model, &faces, Split::Test)?,
    ];

    // Fewer penalties than the default, so that it takes seconds.
    let probe = LinearProbe { strengths: vec![10.0, 1e3, 1e5], ..LinearProbe::default() };
    let result = evaluate(&probe, &train, &valid, &test, Bootstrap::default())?.result;
    println!("attribute            AUROC  average precision");
    for target in &result.per_target {
        let (auroc, precision) = (number(target.auroc), number(target.average_precision));
        println!("{:20} {auroc}  {precision}", target.target);
    }
    let [low, high] = result.ci95.unwrap_or([f64::NAN; 2]);
    println!(
        "mean AUROC {}, 95% interval {low:.3} to {high:.3}, {} columns, {} test pictures",
        number(result.value),
        result.columns,
        test.rows()
    );
    Ok(())
}

/// Posterior means of the 16×16 layers, each pooled to 4×4 cells, with the chosen attributes.
fn features(model: &Vdvae, faces: &ToyFaces, split: Split) -> Result<FeatureTable, Box<dyn Error>> {
    let preparation = Preparation::new(model.config().image_size);
    let layers = LayerSelection::Resolution(16);
    let source = FeatureSource::Latents { model, spec: FeatureSpec::default(), layers };
    let mut table = Extraction::new(faces, split, preparation).table(source)?;
    table.targets = of_the_picture(&table.targets);
    Ok(table)
}

/// The attributes that vary between pictures of one person.
fn of_the_picture(targets: &Targets) -> Targets {
    let Targets::Binary { names, values } = targets else { return targets.clone() };
    let kept: Vec<usize> = Attribute::ALL
        .iter()
        .filter(|attribute| !attribute.is_of_person())
        .filter_map(|attribute| names.iter().position(|name| name == attribute.name()))
        .collect();
    Targets::Binary {
        names: kept.iter().map(|&column| names[column].clone()).collect(),
        values: values.select(Axis(1), &kept),
    }
}

/// Undefined where the test pictures are all of one kind.
fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "    –".into(), |value| format!("{value:.3}"))
}
