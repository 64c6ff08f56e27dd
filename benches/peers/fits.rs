//! Our side of `fits.py`: fits what it reads and answers with the milliseconds of each run.
//!
//! `peer_fits serve` reads lines `KIND FOLDER ROWS COLUMNS TARGETS TOLERANCE STRENGTH,STRENGTH...`
//! from standard input. `FOLDER` has `features.f32`, and `labels.i8` (targets × rows) for the kind
//! `binary` or `labels.u32` for `classes`; the weights of all targets × strengths are left in
//! `weights.f64`, the intercept after those of each output. Without arguments it does nothing, so
//! that `cargo bench` passes over it.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use ndarray::Array2;
use vdvae::probes::logistic::{Design, Fit, Job, Response, Settings, Solver, fit};

// What the command-line programs do, see `vdvae_cli::settle`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Tables of more values than this are converted block by block, not as a whole.
const MOST_IN_FLOAT64: usize = 1 << 26;

fn main() -> Result<()> {
    vdvae_cli::set_up_process();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().map(String::as_str) != Some("serve") {
        return Ok(());
    }
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (milliseconds, iterations) = run(&line.split(' ').collect::<Vec<_>>())?;
        println!("{milliseconds} {iterations}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// Milliseconds and iterations of all fits of one line.
fn run(words: &[&str]) -> Result<(f64, usize)> {
    let &[kind, folder, rows, columns, targets, tolerance, strengths] = words else {
        return Err(format!("expected 7 words, found {words:?}").into());
    };
    let folder = Path::new(folder);
    let (rows, columns, targets): (usize, usize, usize) =
        (rows.parse()?, columns.parse()?, targets.parse()?);
    let strengths = strengths.split(',').map(str::parse).collect::<Result<Vec<f64>, _>>()?;
    let settings = Settings { tolerance: tolerance.parse()?, ..Settings::default() };
    let bytes = std::fs::read(folder.join("features.f32"))?;
    let values = bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect();
    let features: Array2<f32> = Array2::from_shape_vec((rows, columns), values)?;
    let name = if kind == "binary" { "labels.i8" } else { "labels.u32" };
    let labels = std::fs::read(folder.join(name))?;
    let binary: Vec<i8> = labels.iter().map(|&byte| byte.cast_signed()).collect();
    let classes: Vec<u32> =
        labels.as_chunks().0.iter().map(|&four| u32::from_le_bytes(four)).collect();
    let responses: Vec<Response<'_>> = match kind {
        "binary" => binary.chunks_exact(rows).map(Response::Binary).collect(),
        _ => vec![Response::Classes { labels: &classes, classes: targets }],
    };
    let job = |(&response, &strength)| Job { response, strength, start: None };
    let jobs: Vec<Job<'_>> =
        responses.iter().flat_map(|r| strengths.iter().map(move |s| (r, s))).map(job).collect();

    let start = Instant::now();
    let design = if features.len() > MOST_IN_FLOAT64 {
        Design::streamed(features)
    } else {
        Design::new(&[features.mapv(f64::from).view()])?
    };
    let fits = fit(&design, &jobs, Solver::Batched, settings)?;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;

    let fits: Vec<Fit> = fits.into_iter().flatten().collect();
    if let Some(lost) = fits.iter().find(|fit| !fit.converged) {
        return Err(format!("a fit stopped at a gradient of {}", lost.gradient_norm).into());
    }
    let outputs = |fit: &Fit| {
        let rows = fit.weights.rows().into_iter().zip(&fit.intercept);
        rows.flat_map(|(row, b)| row.iter().chain([b]).copied().collect::<Vec<f64>>())
            .flat_map(f64::to_le_bytes)
            .collect::<Vec<u8>>()
    };
    std::fs::write(folder.join("weights.f64"), fits.iter().flat_map(outputs).collect::<Vec<u8>>())?;
    Ok((milliseconds, fits.iter().filter_map(|fit| fit.iterations).sum()))
}
