//! `results.json`.

use std::path::Path;

use vdvae_probes::ProbeReport;

use crate::{Result, error::write};

/// The report as indented JSON with a final newline; undefined numbers are `null`.
///
/// # Errors
/// [`Error::Json`](crate::Error::Json) where the model's configuration cannot be represented.
pub fn results_json(report: &ProbeReport) -> Result<String> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    Ok(text)
}

/// Writes [`results_json`] to `path`, atomically.
///
/// # Errors
/// [`Error::Write`](crate::Error::Write) and those of [`results_json`].
pub fn write_json(path: &Path, report: &ProbeReport) -> Result<()> {
    write(path, results_json(report)?.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn what_is_written_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        write_json(&path, &fixture::report()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("}\n") && text.contains("\"layers\": null"), "{text}");
        assert_eq!(serde_json::from_str::<ProbeReport>(&text).unwrap(), fixture::report());
    }
}
