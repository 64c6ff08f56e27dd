//! What programs write: results and progress.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::exit::usage;

/// Writes a result to stdout.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}

/// A progress bar on stderr that shows itself only on a terminal.
pub(crate) fn progress(total: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let style = "{msg} {wide_bar} {pos}/{len} {per_sec} {eta}";
    bar.set_style(ProgressStyle::with_template(style).expect("a valid template"));
    bar.set_message(what);
    bar
}

/// Fails where a file cannot be written, before the work whose result it is to hold.
pub(crate) fn check_writable(path: &Path) -> Result<()> {
    vdvae_io::check_writable(path).map_err(|error| match error.kind() {
        io::ErrorKind::IsADirectory => {
            usage(format!("{}: expected a file's name, found a folder", path.display()))
        }
        _ => anyhow::Error::new(error).context(cannot_write(path)),
    })
}

/// What is said of a file that cannot be written.
pub(crate) fn cannot_write(path: &Path) -> String {
    format!("{}: cannot write", path.display())
}

/// Says on stderr which pictures were left out.
pub(crate) fn report_skipped(skipped: &[(String, String)]) {
    for (key, reason) in skipped {
        eprintln!("skipped {}", vdvae_io::printable(&format!("{key}: {reason}")));
    }
}
