//! The cache of features as the programs use it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{add_tiny_model, celeba, names, probe};

const PROBE: &str = "--task celeba-attrs --data-root celeba --checkpoint model.safetensors \
                     --replicates 20 --json";

/// What is said of the data set below.
const PARTIAL: &str = "note: 64 of the 202,599 published pictures are here\n";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    add_tiny_model(folder.path());
    celeba(&folder.path().join("celeba"), 64);
    folder
}

/// The scores of some results; sums may be rounded in another order on other threads.
fn assert_close(a: &[Value], b: &[Value]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert_eq!((&a["source"], &a["layers"]), (&b["source"], &b["layers"]));
        let value = |result: &Value| result["value"].as_f64().unwrap();
        assert!((value(a) - value(b)).abs() < 1e-9, "{a} {b}");
    }
}

/// Runs a probe; its results, which must come with nothing on stderr but the size of the data.
fn results(folder: &Path, flags: &str) -> Vec<Value> {
    let ran = probe(folder, &format!("{PROBE} {flags}"));
    assert_eq!(ran.stderr, PARTIAL);
    let report: Value = serde_json::from_str(&ran.ok()).unwrap();
    report["results"].as_array().unwrap().clone()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let features = folder.join(".cache/features");
    names(&features).into_iter().map(|name| features.join(name)).collect()
}

/// Breaks a picture in a way that its length and time of change do not tell.
fn break_unseen(picture: &Path) {
    let modified = fs::metadata(picture).unwrap().modified().unwrap();
    let length = fs::read(picture).unwrap().len();
    fs::write(picture, vec![0; length]).unwrap();
    let file = fs::File::options().write(true).open(picture).unwrap();
    file.set_modified(modified).unwrap();
}

#[test]
fn a_second_run_reads_no_picture_and_finds_the_same() {
    let folder = folder();
    let first = results(folder.path(), "--strengths 10,1000");
    // Two networks and the pixels, three splits each.
    assert_eq!(entries(folder.path()).len(), 9);
    let picture = folder.path().join("celeba/img_align_celeba/000007.jpg");
    let whole = fs::read(&picture).unwrap();
    break_unseen(&picture);
    assert_close(&results(folder.path(), "--strengths 10,1000"), &first);
    // Other probes, and fewer layers.
    let layer = results(folder.path(), "--strengths 10,1000 --layer 8x8 --controls none");
    let same = first.iter().find(|r| r["layers"] == "8x8").unwrap();
    assert_close(&layer, std::slice::from_ref(same));
    results(folder.path(), "--strengths 5 --layer first:3 --controls none");
    // What was not asked for before, or must not come from the cache, reads the broken picture.
    for flags in ["--pool mean", "--no-cache", "--statistic z", "--exact", "--seed 1"] {
        let line = probe(folder.path(), &format!("{PROBE} {flags}")).error(1);
        assert!(line.contains("picture 000007.jpg"), "{line}");
    }
    // A picture that was replaced is another data set.
    fs::write(&picture, &whole[..whole.len() / 2]).unwrap();
    let line = probe(folder.path(), PROBE).error(1);
    assert!(line.contains("picture 000007.jpg"), "{line}");
}

#[test]
fn a_damaged_entry_costs_a_warning() {
    let folder = folder();
    let flags = "--strengths 10 --layer 4x4 --controls none";
    let first = results(folder.path(), flags);
    let entry = entries(folder.path()).remove(0);
    let bytes = fs::read(&entry).unwrap();
    fs::write(&entry, &bytes[..bytes.len() / 2]).unwrap();
    let ran = probe(folder.path(), &format!("{PROBE} {flags}"));
    let warning = ran.stderr.strip_prefix(PARTIAL).unwrap_or_default();
    assert!(warning.starts_with("warning: ") && warning.lines().count() == 1, "{}", ran.stderr);
    assert!(warning.contains("computed again"), "{warning}");
    let report: Value = serde_json::from_str(&ran.ok()).unwrap();
    assert_close(report["results"].as_array().unwrap(), &first);
    assert_eq!(fs::read(&entry).unwrap(), bytes);
}

#[test]
fn the_cache_is_listed_and_cleared() {
    let folder = folder();
    let run = |args: &str| probe(folder.path(), args);
    let empty = run("cache list").ok();
    assert!(empty.trim_end().ends_with("features: 0 entries, 0 B"), "{empty}");
    results(folder.path(), "--strengths 10 --layer 4x4 --controls pixels --cache-dir kept");
    assert_eq!(entries(folder.path()).len(), 0, "another folder was asked for");
    let table = run("cache list --cache-dir kept").ok();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("kept: 6 entries, "), "{table}");
    assert!(lines[1].starts_with("key "), "{table}");
    let shown = |words: &[&str]| {
        lines.iter().filter(|line| words.iter().all(|word| line.contains(word))).count()
    };
    assert_eq!(shown(&["model.safetensors", "celeba", "mean grid:4"]), 3, "{table}");
    assert_eq!(shown(&["pixels", "test", "16x16", "16 x 768"]), 1, "{table}");
    let json = run("cache list --cache-dir kept --json").ok();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["entries"].as_array().unwrap().len(), 6);
    assert!(json["entries"][0]["identity"]["data"].is_string());
    let cleared = run("cache clear --cache-dir kept").ok();
    assert!(cleared.starts_with("kept: 6 entries removed, "), "{cleared}");
    assert_eq!(names(&folder.path().join("kept")), [""; 0]);
}

#[test]
fn mistakes_are_found_before_any_work() {
    let folder = folder();
    let run = |flags: &str| probe(folder.path(), &format!("{PROBE} {flags}"));
    let line = run("--no-cache --cache-dir x").error(2);
    assert!(line.contains("--cache-dir"), "{line}");
    let line = run("--cache-dir model.safetensors/x").error(1);
    assert!(line.contains("model.safetensors/x: cannot create"), "{line}");
    let line = run("--samples 2").error(2);
    assert!(line.contains("samples: expected 1 with the statistic mean"), "{line}");
    let line = run("--targets Hat").error(2);
    assert!(line.contains("--targets: expected csv:FILE"), "{line}");
    // A default folder that cannot be used is no reason to stop.
    fs::write(folder.path().join(".cache"), "in the way").unwrap();
    let ran = run("--strengths 10 --layer 1x1 --controls none");
    let warning = ran.stderr.strip_prefix(PARTIAL).unwrap_or_default();
    assert!(warning.starts_with("warning: no cache of features: "), "{}", ran.stderr);
    ran.ok();
}
