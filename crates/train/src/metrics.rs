//! `metrics.jsonl`: one JSON object a line, one line a step.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use vdvae_model::Evaluation;

use crate::StepStats;
use crate::error::{Error, Result, io_error};

/// One line: a step, and what belongs to it. Numbers that are not finite are written as `null`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Metrics {
    /// What the step did.
    pub stats: StepStats,
    /// Passes over the training pictures, this step included.
    pub epoch: f64,
    /// Pictures trained on per second of wall-clock time.
    pub images_per_second: f64,
    /// The moving average of the weights on the validation pictures, where it was evaluated after
    /// this step.
    pub valid: Option<Evaluation>,
}

impl Metrics {
    /// The numbers that are there, under the names of their curves.
    pub(crate) fn curves(&self) -> Vec<(&'static str, f64)> {
        let mut curves = vec![
            ("train/nats_per_dim", self.stats.nats_per_dim),
            ("train/distortion", self.stats.distortion),
            ("train/rate", self.stats.rate),
            ("train/grad_norm", self.stats.grad_norm),
            ("train/skipped", f64::from(u8::from(self.stats.skipped))),
            ("train/learning_rate", self.stats.learning_rate),
            ("train/images_per_second", self.images_per_second),
        ];
        if let Some(valid) = &self.valid {
            curves.extend([
                ("valid/nats_per_dim", valid.nats_per_dim()),
                ("valid/distortion", valid.distortion),
                ("valid/rate", valid.rate),
            ]);
        }
        curves
    }
}

impl Serialize for Metrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stats = &self.stats;
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("step", &stats.step)?;
        line.serialize_entry("epoch", &self.epoch)?;
        line.serialize_entry("nats_per_dim", &stats.nats_per_dim)?;
        line.serialize_entry("distortion", &stats.distortion)?;
        line.serialize_entry("rate", &stats.rate)?;
        line.serialize_entry("grad_norm", &stats.grad_norm)?;
        line.serialize_entry("skipped", &stats.skipped)?;
        line.serialize_entry("learning_rate", &stats.learning_rate)?;
        line.serialize_entry("images_per_second", &self.images_per_second)?;
        if let Some(valid) = &self.valid {
            line.serialize_entry("valid_nats_per_dim", &valid.nats_per_dim())?;
            line.serialize_entry("valid_distortion", &valid.distortion)?;
            line.serialize_entry("valid_rate", &valid.rate)?;
            line.serialize_entry("valid_kl_nats", &valid.kl_nats)?;
        }
        line.end()
    }
}

/// The open file.
#[derive(Debug)]
pub(crate) struct MetricsFile {
    path: PathBuf,
    file: File,
}

#[derive(Deserialize)]
struct Line {
    step: u64,
}

impl MetricsFile {
    /// Opens the file, and keeps other runs out of the folder for as long as it is open.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(io_error(path, "write"))?;
        // A file system without locks is no reason not to train.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(Error::InUse { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), file })
    }

    /// Makes the file ready for the steps after `step`: what a run that was stopped wrote beyond
    /// that step, and a line it did not finish, is cut off.
    pub(crate) fn cut(&mut self, step: u64) -> Result<()> {
        let mut cut = || {
            self.file.rewind()?;
            let keep = length_up_to(&mut self.file, step)?;
            self.file.set_len(keep)?;
            self.file.seek(SeekFrom::Start(keep))
        };
        cut().map(drop).map_err(io_error(&self.path, "write"))
    }

    /// Appends a line in one write, so that other programs see whole lines.
    pub(crate) fn write(&mut self, metrics: &Metrics) -> Result<()> {
        let mut line = serde_json::to_string(metrics).expect("plain numbers always serialise");
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(io_error(&self.path, "write"))
    }

    /// Waits until everything is on disk.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(io_error(&self.path, "write"))
    }
}

/// Longer lines are not ours.
const MAX_LINE: u64 = 1 << 16;

/// Bytes of the whole lines at the start whose steps rise and are at most `step`.
fn length_up_to(file: &mut File, step: u64) -> io::Result<u64> {
    let mut reader = BufReader::new(file);
    let (mut length, mut last) = (0, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
        let whole = line.ends_with(b"\n");
        match serde_json::from_slice::<Line>(&line) {
            Ok(parsed) if whole && parsed.step > last && parsed.step <= step => {
                last = parsed.step;
                length += read as u64;
            }
            _ => return Ok(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(step: u64) -> Metrics {
        let stats = StepStats {
            step,
            images: 4,
            nats_per_dim: 2.0,
            distortion: 1.5,
            rate: 0.5,
            grad_norm: f64::NAN,
            skip_threshold: f64::INFINITY,
            skipped: true,
            learning_rate: 1e-3,
        };
        Metrics { stats, epoch: 0.5, images_per_second: 8.0, valid: None }
    }

    #[test]
    fn a_line_is_the_documented_object() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut file = MetricsFile::open(&path).unwrap();
        file.write(&metrics(1)).unwrap();
        let kl_nats = vec![1.0, 2.5];
        let valid = Evaluation { distortion: 0.5, rate: 0.25, kl_nats, ..Evaluation::default() };
        file.write(&Metrics { valid: Some(valid), ..metrics(2) }).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let line = r#""epoch":0.5,"nats_per_dim":2.0,"distortion":1.5,"rate":0.5,"grad_norm":null,"skipped":true,"learning_rate":0.001,"images_per_second":8.0"#;
        let valid = r#""valid_nats_per_dim":0.75,"valid_distortion":0.5,"valid_rate":0.25,"valid_kl_nats":[1.0,2.5]"#;
        let expected = format!("{{\"step\":1,{line}}}\n{{\"step\":2,{line},{valid}}}\n");
        assert_eq!(text, expected);
    }

    #[test]
    fn a_second_run_is_kept_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let first = MetricsFile::open(&path).unwrap();
        let error = MetricsFile::open(&path).unwrap_err();
        assert!(error.to_string().ends_with("metrics.jsonl: another run is writing into it"));
        drop(first);
        MetricsFile::open(&path).unwrap();
    }

    #[test]
    fn lines_beyond_the_step_and_half_lines_are_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let steps_after = |written: &str, step| {
            std::fs::write(&path, written).unwrap();
            let mut file = MetricsFile::open(&path).unwrap();
            file.cut(step).unwrap();
            file.write(&metrics(step + 1)).unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            let step = |line: &str| serde_json::from_str::<Line>(line).unwrap().step;
            text.lines().map(step).collect::<Vec<_>>()
        };
        let three = "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n";
        assert_eq!(steps_after(three, 2), [1, 2, 3]);
        assert_eq!(steps_after(three, 0), [1]);
        assert_eq!(steps_after(three, 3), [1, 2, 3, 4]);
        assert_eq!(steps_after(&format!("{three}{{\"step\":4,\"ep"), 3), [1, 2, 3, 4]);
        assert_eq!(steps_after(&format!("{three}{{\"step\":4}}"), 4), [1, 2, 3, 5]);
        assert_eq!(steps_after("{\"step\":1}\n{\"step\":1}\n", 1), [1, 2]);
        assert_eq!(steps_after("\u{0}\u{0}\n", 1), [2]);
    }
}
