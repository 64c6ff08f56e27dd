//! Our side of `ridge.py`: fits what it reads, predicts other rows, and answers with seconds and the most
//! memory the process had.
//!
//! `peer_ridge FOLDER ROWS COLUMNS TARGETS TEST STRENGTH` reads `features.f32` (rows × columns),
//! `targets.f32` (rows × targets) and `test.f32` (test × columns), and leaves `ours.f32`, what it
//! predicts. A tenth of the rows is the validation split, which the last fit takes in. Without arguments
//! it does nothing, so that `cargo bench` passes over it.

use std::path::Path;
use std::time::Instant;

use ndarray::{Array2, Axis};
use vdvae::features::{FeatureColumn, FeatureTable, Targets};
use vdvae::probes::{Probe, RidgeProbe};

// What the command-line programs do, see `vdvae_cli::set_up_process`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    vdvae_cli::set_up_process();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.is_empty() {
        return Ok(());
    }
    let [folder, rows, columns, targets, test, strength] = &words[..] else {
        return Err(format!("expected 6 words, found {words:?}").into());
    };
    let folder = Path::new(folder);
    let [rows, columns, targets, test] =
        [rows, columns, targets, test].map(|word| word.parse::<usize>());
    let (rows, columns, targets, test) = (rows?, columns?, targets?, test?);
    let strength: f64 = strength.parse()?;
    let read = |name: &str, shape| -> Result<Array2<f32>> {
        let bytes = std::fs::read(folder.join(name))?;
        let values = bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect();
        Ok(Array2::from_shape_vec(shape, values)?)
    };
    let features = read("features.f32", (rows, columns))?;
    let responses = read("targets.f32", (rows, targets))?.mapv(f64::from);
    let test = read("test.f32", (test, columns))?;
    let (train_x, valid_x) = features.view().split_at(Axis(0), rows - rows / 10);
    let (train_y, valid_y) = responses.view().split_at(Axis(0), rows - rows / 10);
    let table = |x: ndarray::ArrayView2<'_, f32>, y: ndarray::ArrayView2<'_, f64>| {
        let column = FeatureColumn { layer: None, resolution: None, channel: 0, cell: 0 };
        FeatureTable {
            keys: (0..x.nrows()).map(|row| row.to_string()).collect(),
            groups: None,
            columns: vec![column; x.ncols()],
            targets: Targets::Real {
                names: (0..y.ncols()).map(|target| target.to_string()).collect(),
                values: y.to_owned(),
            },
            features: x.to_owned(),
        }
    };
    let (train, valid) = (table(train_x, train_y), table(valid_x, valid_y));
    drop((features, responses));

    let start = Instant::now();
    let fitted = RidgeProbe { strengths: vec![strength] }.fit(&train, &valid)?;
    let predicted = fitted.predict(test.view())?;
    let seconds = start.elapsed().as_secs_f64();

    let bytes: Vec<u8> = predicted.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect();
    std::fs::write(folder.join("ours.f32"), bytes)?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|text| text.trim().strip_suffix(" kB")).ok_or("no VmHWM")?;
    println!("{seconds} {}", peak.trim());
    Ok(())
}
