//! Our side of `episodes.py`: scores the episodes it reads of and answers with the milliseconds of
//! each run and the mean accuracy.
//!
//! `peer_episodes serve` reads lines `FOLDER ROWS COLUMNS WAYS SHOTS QUERIES EPISODES SEED` from
//! standard input. `FOLDER` has `features.f32`, `base.f32` (the mean of the base rows) and
//! `labels.u32`. Without arguments it does nothing, so that `cargo bench` passes over it.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use ndarray::{Array1, Array2};
use vdvae::probes::{Classifier, EpisodeConfig, FewShot, Standardiser};

// What the command-line programs do, see `vdvae_cli::settle`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    vdvae_cli::set_up_process();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().map(String::as_str) != Some("serve") {
        return Ok(());
    }
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (milliseconds, accuracy) = run(&line.split(' ').collect::<Vec<_>>())?;
        println!("{milliseconds} {accuracy}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// Milliseconds of one run, sampler and all, and the mean accuracy.
fn run(words: &[&str]) -> Result<(f64, f64)> {
    let &[folder, rows, columns, ways, shots, queries, episodes, seed] = words else {
        return Err(format!("expected 8 words, found {words:?}").into());
    };
    let folder = Path::new(folder);
    let (ways, shots, queries) = (ways.parse()?, shots.parse()?, queries.parse()?);
    let config = EpisodeConfig { ways, shots, queries, seed: seed.parse()? };
    let values = floats(&folder.join("features.f32"))?;
    let features: Array2<f32> = Array2::from_shape_vec((rows.parse()?, columns.parse()?), values)?;
    let mean: Array1<f64> = floats(&folder.join("base.f32"))?.into_iter().map(f64::from).collect();
    let base = Standardiser { deviation: Array1::ones(mean.len()), mean };
    let labels = std::fs::read(folder.join("labels.u32"))?;
    let labels: Vec<u32> =
        labels.as_chunks().0.iter().map(|&four| u32::from_le_bytes(four)).collect();

    let start = Instant::now();
    let few_shot = FewShot::new(&labels, config, episodes.parse()?)?;
    let scores = few_shot.evaluate(features.view(), &base, Classifier::Cl2n)?;
    Ok((start.elapsed().as_secs_f64() * 1e3, scores.mean()))
}

fn floats(path: &Path) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path)?;
    Ok(bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect())
}
