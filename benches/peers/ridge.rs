//! Our side of `ridge.py`: fits what it reads, predicts other rows, and answers with seconds and the most
//! memory the process had.
//!
//! `peer_ridge FOLDER ROWS COLUMNS TARGETS TEST STRENGTH` reads `features.f32` (rows × columns),
//! `targets.f32` (rows × targets) and `test.f32` (test × columns), and leaves `ours.f32`, what it
//! predicts. A tenth of the rows is the validation split, which the last fit takes in. Without arguments
//! it does nothing, so that `cargo bench` passes over it.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use ndarray::Array2;
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
    let first = rows - rows / 10;
    let table = |from, to| -> Result<FeatureTable> {
        let column = FeatureColumn { layer: None, resolution: None, channel: 0, cell: 0 };
        Ok(FeatureTable {
            keys: (from..to).map(|row: usize| row.to_string()).collect(),
            groups: None,
            columns: vec![column; columns],
            targets: Targets::Real {
                names: (0..targets).map(|target| target.to_string()).collect(),
                values: read(&folder.join("targets.f32"), from..to, targets)?.mapv(f64::from),
            },
            features: read(&folder.join("features.f32"), from..to, columns)?,
        })
    };
    let (train, valid) = (table(0, first)?, table(first, rows)?);
    let test = read(&folder.join("test.f32"), 0..test, columns)?;

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

/// Some rows of a matrix of float32, read as they are converted.
fn read(path: &Path, rows: Range<usize>, columns: usize) -> Result<Array2<f32>> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    file.seek(SeekFrom::Start((rows.start * columns * 4) as u64))?;
    let mut values = Vec::with_capacity(rows.len() * columns);
    let mut row = vec![0; columns * 4];
    for _ in rows.clone() {
        file.read_exact(&mut row)?;
        values.extend(row.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)));
    }
    Ok(Array2::from_shape_vec((rows.len(), columns), values)?)
}
