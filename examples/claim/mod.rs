//! What the experiments on the paper's claims leave behind: a table, a figure, and every number.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// What came out, as text for people and as numbers.
pub(crate) struct Findings<R> {
    /// Markdown.
    pub(crate) table: String,
    /// SVG.
    pub(crate) figure: Option<String>,
    pub(crate) results: R,
}

/// Runs an experiment, prints its table, and writes `table.md`, `figure.svg` and `results.json` into a
/// folder, which is made first. An error is one line.
pub(crate) fn run<R: Serialize>(out: &Path, of: impl FnOnce() -> Outcome<Findings<R>>) -> ExitCode {
    match make_folder(out).and_then(|()| write(out, &of()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn make_folder(out: &Path) -> Outcome<()> {
    fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()).into())
}

fn write<R: Serialize>(out: &Path, findings: &Findings<R>) -> Outcome<()> {
    let write = |name: &str, text: &str| {
        let path = out.join(name);
        vdvae_io::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    print!("{}", findings.table);
    write("table.md", &findings.table)?;
    findings.figure.as_ref().map_or(Ok(()), |figure| write("figure.svg", figure))?;
    write("results.json", &(serde_json::to_string_pretty(&findings.results)? + "\n"))?;
    Ok(())
}
