//! `csv:FILE` in both programs.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;

use serde_json::Value;
use support::{add_tiny_model, csv_faces, probe, vdvae};

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    add_tiny_model(folder.path());
    csv_faces(&folder.path().join("faces"), 64);
    folder
}

const PROBE: &str = "--task csv:faces/labels.csv --checkpoint model.safetensors --replicates 20 \
                     --strengths 10,1000 --layer 4x4 --controls pixels --json";

#[test]
fn targets_are_chosen_and_scored() {
    let folder = folder();
    let report = |targets: &str| -> Value {
        let json = probe(folder.path(), &format!("{PROBE} --targets {targets}")).ok();
        serde_json::from_str(&json).unwrap()
    };
    let hats = report("Hat");
    let counts = ["n_train", "n_valid", "n_test"].map(|key| hats["data"][key].as_u64().unwrap());
    assert_eq!(counts, [32, 16, 16]);
    assert_eq!(hats["data"]["name"], "csv:faces/labels.csv");
    assert_eq!(hats["results"][0]["metric"], "auroc");
    assert_eq!(hats["results"][0]["per_target"][0]["target"], "Hat");
    let kinds = report("kind");
    assert_eq!(kinds["results"][0]["metric"], "accuracy");
    assert_eq!(kinds["results"][0]["per_target"][1]["target"], "light");
    let all = report("Hat,brightness,kind");
    let found: Vec<_> = all["results"].as_array().unwrap().iter().map(|r| &r["labels"]).collect();
    let labels = ["binary", "real", "kind:class"];
    assert_eq!(found, [labels, labels].concat());
    let remarks = all["data"]["remarks"].as_array().unwrap();
    assert_eq!(remarks[0], "splits are those of column `split`");
    assert!(remarks[1].as_str().unwrap().starts_with("target `Hat`: binary, "), "{remarks:?}");
}

#[test]
fn mistakes_are_one_line() {
    let folder = folder();
    let path = folder.path().join("faces/labels.csv");
    let whole = fs::read_to_string(&path).unwrap();
    let run = |flags: &str| probe(folder.path(), &format!("{PROBE} {flags}"));
    let line = run("--path-column picture").error(1);
    assert!(line.contains("expected a column `picture`, found `path`, `split`"), "{line}");
    assert!(line.ends_with("; --path-column NAME chooses"), "{line}");
    let line = run("--targets kind:real").error(1);
    assert!(line.contains("labels.csv, line 2: expected a number in column `kind`"), "{line}");
    assert!(line.ends_with("; choose with --targets"), "{line}");
    let line = probe(folder.path(), "--split-column fold").error(2);
    assert!(line.contains("--split-column: expected csv:FILE, a table, found toy-faces"), "{line}");
    let line = run("--targets Hats").error(1);
    assert!(line.contains("expected a target column `Hats`, found `Hat`, `brightness`"), "{line}");
    let line = run("--targets Hat:int").error(2);
    assert!(line.contains("NAME:class"), "{line}");
    fs::write(&path, whole.replace("pictures/5.png", "pictures/500.png")).unwrap();
    let line = run("--targets Hat").error(1);
    assert!(line.contains("labels.csv, line 7: expected a picture, found "), "{line}");
    fs::write(&path, whole.replace(",test,", ",train,").replace(",valid,", ",train,")).unwrap();
    let line = run("--targets Hat").error(1);
    assert!(line.contains("split `test` is empty in faces/labels.csv, whose column"), "{line}");
    let line = probe(folder.path(), "--task csv:").error(2);
    assert!(line.contains("csv:FILE"), "{line}");
}

#[test]
fn a_person_in_two_splits_is_a_leak() {
    let folder = folder();
    let path = folder.path().join("faces/labels.csv");
    let whole = fs::read_to_string(&path).unwrap();
    // Pictures 6 and 7 are of test, 0 and 1 of train.
    fs::write(&path, whole.replace(",p3,", ",p0,")).unwrap();
    let flags = format!("{} --targets Hat", PROBE.replace("--json", ""));
    let leak = "LEAK: 1 group is in train and in test: 2 test pictures, such as pictures/6.png, of \
                the group of pictures/0.png in train\n";
    let text = probe(folder.path(), &flags).ok();
    assert!(text.contains(leak), "{text}");
    let text = probe(folder.path(), &format!("{flags} --allow-leaks")).ok();
    assert!(!text.contains("LEAK"), "{text}");
    let json = probe(folder.path(), &format!("{flags} --allow-leaks --json")).ok();
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&report["leaks"][0]["what"], &report["leaks"][0]["allowed"]),
        (&"groups".into(), &true.into())
    );
}

#[test]
fn numbers_and_samples_are_extracted() {
    let folder = folder();
    let extract = |flags: &str, out: &str| {
        let flags =
            format!("{flags} --targets brightness --pool mean --layers first:4 --out {out}");
        let model = "--checkpoint model.safetensors --data csv:faces/labels.csv";
        vdvae(folder.path(), &format!("extract {model} {flags}")).ok();
        fs::read(folder.path().join(out)).unwrap()
    };
    let sampled = extract("--statistic z --samples 3 --batch-size 5", "a.npy");
    assert_eq!(sampled, extract("--statistic z --samples 3 --batch-size 32 --threads 1", "b.npy"));
    assert_ne!(sampled, extract("--statistic z", "c.npy"));
    assert_ne!(sampled, extract("--statistic z --samples 3 --seed 1", "d.npy"));
    let manifest = fs::read_to_string(folder.path().join("a.npy.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!((&manifest["samples"], &manifest["deviation_floor"]), (&3.into(), &1e-5.into()));
    assert_eq!(manifest["labels"]["numbers"][0], "brightness");
    let values = manifest["labels"]["values"].as_array().unwrap();
    assert_eq!((values.len(), manifest["groups"].as_array().unwrap().len()), (16, 16));
    assert!(values.iter().all(|row| (0.0..255.0).contains(&row[0].as_f64().unwrap())));
    let line =
        vdvae(folder.path(), "extract --checkpoint model.safetensors --samples 2 --out x.npy")
            .error(2);
    assert!(line.contains("samples: expected 1"), "{line}");
}
