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

use vdvae::datasets::ToyFaces;
use vdvae::experiment::{Experiment, TargetsTask, each_layer};
use vdvae::probes::{Bootstrap, LinearProbe};
use vdvae::{Device, Vdvae};

/// Characters of a bar that stands for an AUROC of 1.
const WIDTH: f64 = 50.0;

fn main() -> Result<(), Box<dyn Error>> {
    let model = Vdvae::builtin(&Device::Cpu)?;
    // Twenty pictures of each person; no person is in two splits.
    let faces = ToyFaces::with_people(0, [30, 10, 10]);
    // Fewer penalties than the default, and no interval, so that it takes seconds.
    let probe = LinearProbe { strengths: vec![100.0, 1e4], ..LinearProbe::default() };
    let task = TargetsTask {
        probes: vec![Box::new(probe)],
        bootstrap: Bootstrap { replicates: 0, seed: 0 },
        ..TargetsTask::default()
    };
    let experiment = Experiment {
        selections: each_layer(model.config()),
        controls: Vec::new(),
        ..Experiment::new(&model, &faces, &task)
    };
    let report = experiment.run(&mut |_| ())?;

    println!("layer  grid   columns  mean AUROC");
    for (layer, result) in model.config().latent_layers().iter().zip(&report.results.results) {
        let auroc = result.value.ok_or("no attribute has both kinds of test pictures")?;
        let bar = "█".repeat(((2.0 * auroc - 1.0).max(0.0) * WIDTH).round() as usize);
        let grid = format!("{0}x{0}", layer.resolution);
        println!("{:5}  {grid:5}  {:7}  {auroc:.3} {bar}", layer.index, result.columns);
    }
    Ok(())
}
