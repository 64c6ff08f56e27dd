//! The whole protocol of `vdvae-probe` on a few rendered faces: probes, controls, matched columns,
//! fewer labels, and probes that are kept.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use support::{add_tiny_model, celeba, names, probe};

const RUN: &str = "--task celeba-attrs --data-root celeba --checkpoint model.safetensors \
                   --replicates 40 --strengths 1,100,10000";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    add_tiny_model(folder.path());
    celeba(&folder.path().join("celeba"), 64);
    folder
}

fn report(folder: &tempfile::TempDir, flags: &str) -> Value {
    let json = probe(folder.path(), &format!("{RUN} {flags} --json")).ok();
    serde_json::from_str(&json).unwrap()
}

/// One line a result: its text fields, with `-` for null.
fn lines(report: &Value, keys: &[&str]) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let line =
        |result: &Value| keys.iter().map(|key| text(&result[*key])).collect::<Vec<_>>().join(" ");
    report["results"].as_array().unwrap().iter().map(line).collect()
}

#[test]
fn every_probe_on_every_control() {
    let folder = folder();
    let controls = "pixels,pca,hog,random-init,shuffled-labels";
    let flags = format!(
        "--layer 4x4 --controls {controls} --pca-columns 20 --probe logistic,ridge,knn,centroid"
    );
    let report = report(&folder, &flags);
    let mut expected = Vec::new();
    let sources = "latents 4x4,random-init 4x4,pixels -,hog -,pca -,shuffled-labels 4x4";
    for source in sources.split(',') {
        for (probe, solver) in [
            ("logistic", "batched"),
            ("ridge", "cholesky"),
            ("knn", "cosine"),
            ("centroid", "cosine"),
        ] {
            expected.push(format!("{source} {probe} {solver} auroc true 1.0 32 -"));
        }
    }
    let keys = [
        "source",
        "layers",
        "probe",
        "solver",
        "metric",
        "converged",
        "train_fraction",
        "n_train",
        "label_seed",
    ];
    assert_eq!(lines(&report, &keys), expected);
    let results = report["results"].as_array().unwrap();
    assert_eq!(results[16]["columns"], 20);
    // Of 16×16 pixels in 8×8 cells: 7·7 blocks of 4 cells of 9 orientations.
    assert_eq!(results[12]["columns"], 1764);
    for result in results {
        let selectivity = &result["selectivity"];
        assert_eq!(selectivity.is_number(), result["source"] == "latents", "{result}");
        let target = &result["per_target"][0];
        let penalised = ["logistic", "ridge"].iter().any(|probe| result["probe"] == *probe);
        assert_eq!(target["strength"].is_number(), penalised);
        assert_eq!(target["neighbours"].is_number(), result["probe"] == "knn");
    }
    // Each probe's latents with each of the five controls.
    let comparisons = report["comparisons"].as_array().unwrap();
    assert_eq!(comparisons.len(), 20);
    for comparison in comparisons {
        assert_eq!(comparison["a"]["source"], "latents");
        assert_eq!(comparison["a"]["probe"], comparison["b"]["probe"]);
        let p = comparison["p_value"].as_f64().unwrap();
        assert!(p > 0.0 && p <= 1.0, "{comparison}");
    }
    let table = probe(folder.path(), &format!("{RUN} {flags}")).ok();
    assert!(table.contains("difference of") && table.contains("control pca: "), "{table}");
}

#[test]
fn selections_from_the_top_and_matched_columns() {
    let folder = folder();
    for kind in ["pca", "projection"] {
        let flags = format!("--cumulative --controls none --match-columns 20,{kind} --pool mean");
        let report = report(&folder, &flags);
        // Nine layers of 8 channels: 1×1 has two, 4×4 two, 8×8 two, 16×16 three.
        let found = lines(&report, &["layers", "columns", "matched_columns"]);
        let layers: Vec<&str> = found.iter().map(|line| line.split(' ').next().unwrap()).collect();
        let ends: Vec<_> = layers.iter().filter(|name| name.starts_with("first:")).collect();
        assert_eq!(ends.iter().collect::<BTreeSet<_>>().len(), 4, "{found:?}");
        for line in &found {
            let fields: Vec<&str> = line.split(' ').collect();
            let columns: usize = fields[1].parse().unwrap();
            let matched = found.contains(&format!("{} {columns} 20", fields[0]));
            // Raw always; reduced where there was more.
            assert!(found.contains(&format!("{} {columns} -", fields[0])));
            assert_eq!(matched, columns > 20, "{found:?}");
        }
    }
    let flags = "--cumulative --controls none --match-columns 20 --pool mean";
    let table = probe(folder.path(), &format!("{RUN} {flags}")).ok();
    assert!(table.contains("matched to 20 columns where there were more"), "{table}");
}

#[test]
fn fewer_labels_in_nested_subsets() {
    let folder = folder();
    let flags = "--layer 4x4 --controls none --train-fraction 1,0.25,0.5 --label-seeds 2 --seed 7";
    let report = report(&folder, flags);
    let keys = ["train_fraction", "n_train", "label_seed"];
    let expected = ["0.25 8 7", "0.25 8 8", "0.5 16 7", "0.5 16 8", "1.0 32 -"];
    assert_eq!(lines(&report, &keys), expected);
    let table = probe(folder.path(), &format!("{RUN} {flags}")).ok();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("latents")).collect();
    assert_eq!(rows.len(), 3, "{table}");
}

#[test]
fn targets_inside_the_values_of_another() {
    let folder = folder();
    let flags = "--layer 4x4 --controls pixels --within Hat";
    let report = report(&folder, flags);
    let expected = ["latents -", "latents where Hat is 0", "latents where Hat is 1"];
    let pixels = expected.map(|line| line.replace("latents", "pixels"));
    assert_eq!(
        lines(&report, &["source", "labels"]),
        [&expected.map(str::to_owned)[..], &pixels].concat()
    );
    // There is nothing to tell apart where all have a hat, or none.
    for result in &report["results"].as_array().unwrap()[1..3] {
        assert_eq!(result["per_target"][0]["target"], "Hat");
        assert!(result["per_target"][0]["auroc"].is_null() && result["value"].is_f64(), "{result}");
    }
    let table = probe(folder.path(), &format!("{RUN} {flags}")).ok();
    assert!(table.contains("\ntargets where Hat is 1\nsource"), "{table}");
}

#[test]
fn a_probe_is_kept_and_predicts_what_it_scored() {
    let folder = folder();
    let flags = "--layer first:6 --controls none --save-probe p.safetensors --out out";
    probe(folder.path(), &format!("{RUN} {flags}")).ok();
    let images = "celeba/img_align_celeba/000001.jpg celeba/img_align_celeba/000005.jpg";
    let model = "--checkpoint model.safetensors";
    let predict = |flags: &str| {
        probe(folder.path(), &format!("predict --probe p.safetensors {flags} {images}"))
    };
    let json: Value = serde_json::from_str(&predict(&format!("{model} --json")).ok()).unwrap();
    assert_eq!(json["probe"]["features"]["layers"], "first:6");
    let image = &json["images"][1];
    assert_eq!(image["image"], "celeba/img_align_celeba/000005.jpg");
    let targets: Vec<_> =
        image["predictions"].as_array().unwrap().iter().map(|p| p["target"].clone()).collect();
    assert_eq!(targets, ["Hat", "Parity"]);
    let csv = predict(&format!("{model} --csv")).ok();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!((lines[0], lines.len()), ("image,target,score,probability", 5));
    let probability = image["predictions"][0]["probability"].as_f64().unwrap();
    let last: f64 = lines[3].rsplit(',').next().unwrap().parse().unwrap();
    assert!((last - probability).abs() < 1e-12 && (0.0..1.0).contains(&last));
    let table = predict(model).ok();
    assert!(table.contains(&format!("{probability:.3}")), "{table}");

    let line = predict("").error(2);
    assert!(line.contains("expected the network model.safetensors with sha256"), "{line}");
    fs::write(folder.path().join("p.safetensors"), b"nothing").unwrap();
    let line = predict(model).error(1);
    assert!(line.contains("p.safetensors: expected a whole safetensors file"), "{line}");
    let written = names(&folder.path().join("out"));
    assert_eq!(written, ["pairing.json", "report.html", "results.csv", "results.json"]);
}

#[test]
fn classes_by_every_probe() {
    let folder = tempfile::tempdir().unwrap();
    add_tiny_model(folder.path());
    // Two classes that every pixel tells apart.
    for (class, level) in [("dark", 40), ("light", 200)] {
        fs::create_dir_all(folder.path().join("two").join(class)).unwrap();
        for index in 0..20u8 {
            let picture = image::RgbImage::from_fn(16, 16, |x, _| {
                image::Rgb([level + index, level, x as u8])
            });
            picture.save(folder.path().join(format!("two/{class}/{index}.png"))).unwrap();
        }
    }
    let flags = "--task folder:two --checkpoint model.safetensors --layer 4x4 --controls pixels \
                 --probe logistic,ridge,knn,centroid --replicates 20 --json";
    let report: Value = serde_json::from_str(&probe(folder.path(), flags).ok()).unwrap();
    for result in &report["results"].as_array().unwrap()[4..] {
        let found = (&result["source"], &result["metric"], &result["value"]);
        assert_eq!(found, (&"pixels".into(), &"accuracy".into(), &1.0.into()), "{result}");
    }
}
