//! `vdvae-probe` from a data set to its tables, on a few rendered faces in the layout of CelebA.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::{add_tiny_model, celeba, names, probe};

const MODEL: &str = "--checkpoint model.safetensors --replicates 50 --strengths 1,100,10000";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    add_tiny_model(folder.path());
    celeba(&folder.path().join("celeba"), 64);
    folder
}

fn celeba_args(flags: &str) -> String {
    format!("--task celeba-attrs --data-root celeba {MODEL} {flags}")
}

fn edit(path: &Path, change: impl Fn(String) -> String) {
    fs::write(path, change(fs::read_to_string(path).unwrap())).unwrap();
}

#[test]
fn celeba_from_pictures_to_results() {
    let folder = folder();
    let flags =
        celeba_args("--layer 16x16 --layer all --controls pixels,random-init,shuffled-labels");
    let table = probe(folder.path(), &format!("{flags} --out out")).ok();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].ends_with(": 32 train, 16 valid, 16 test pictures"), "{table}");
    assert!(lines[2].starts_with("source"), "{table}");
    let json = fs::read_to_string(folder.path().join("out/results.json")).unwrap();
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["task"], "celeba-attrs");
    assert_eq!(report["model"]["name"], "model.safetensors");
    assert_eq!(report["model"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(report["model"]["config"]["image_size"], 16);
    let counts = ["n_train", "n_valid", "n_test"].map(|key| report["data"][key].as_u64().unwrap());
    assert_eq!(counts, [32, 16, 16]);
    let results = report["results"].as_array().unwrap();
    let found: Vec<_> = results
        .iter()
        .map(|r| (r["source"].as_str().unwrap(), r["layers"].as_str(), r["resolution"].as_u64()))
        .collect();
    let mut expected = Vec::new();
    for source in ["latents", "random-init", "pixels", "shuffled-labels"] {
        if source == "pixels" {
            expected.push((source, None, None));
        } else {
            expected.push((source, Some("16x16"), Some(16)));
            expected.push((source, Some("all"), None));
        }
    }
    assert_eq!(found, expected);
    for result in results {
        check_result(result);
    }
    assert_eq!(results[4]["columns"], 768);
    check_csv(folder.path(), results);
    assert_eq!(
        names(&folder.path().join("out")),
        ["pairing.json", "report.html", "results.csv", "results.json"]
    );
}

#[test]
fn random_weights_of_several_seeds_are_one_line() {
    let folder = folder();
    let run = |flags: &str| {
        let args = celeba_args(&format!("--layer all --controls random-init {flags}"));
        let table = probe(folder.path(), &args).ok();
        let json = fs::read(folder.path().join("vdvae-probe-out/results.json")).unwrap();
        (table, serde_json::from_slice::<Value>(&json).unwrap())
    };
    let (table, report) = run("--random-seeds 3");
    assert!(table.contains("\nrandom-init is the mean over 3 networks; "), "{table}");
    let [latents, random] = &report["results"].as_array().unwrap()[..] else { panic!("{report}") };
    assert_eq!(random["source"], "random-init");
    assert!(latents.get("networks").is_none());
    let networks = random["networks"].as_array().unwrap();
    let number = |value: &Value| value.as_f64().unwrap();
    let mean = networks.iter().map(|network| number(&network["value"])).sum::<f64>() / 3.0;
    assert!((number(&random["value"]) - mean).abs() < 1e-12, "{random}");
    let difference = number(&report["comparisons"][0]["difference"]);
    assert!((difference - number(&latents["value"]) + mean).abs() < 1e-12, "{report}");
    // Each of them is the control of its seed.
    for (seed, network) in networks.iter().enumerate() {
        assert_eq!(network["seed"], seed);
        let (_, alone) = run(&format!("--seed {seed}"));
        assert_eq!(alone["results"][1]["value"], network["value"], "{seed}");
        assert!(alone["results"][1].get("networks").is_none());
    }
}

/// The fields that other programs read, and their ranges.
fn check_result(result: &Value) {
    assert_eq!(result["metric"], "auroc");
    assert_eq!(result["probe"], "logistic");
    assert_eq!(result["solver"], "batched");
    assert!(result["matched_columns"].is_null());
    let value = result["value"].as_f64().unwrap();
    let ci: Vec<f64> = serde_json::from_value(result["ci95"].clone()).unwrap();
    assert!(0.0 <= ci[0] && ci[0] <= ci[1] && ci[1] <= 1.0, "{ci:?}");
    let targets = result["per_target"].as_array().unwrap();
    let of = |key: &str| targets.iter().map(|t| t[key].as_f64().unwrap()).collect::<Vec<_>>();
    assert_eq!(
        targets.iter().map(|t| t["target"].as_str().unwrap()).collect::<Vec<_>>(),
        ["Hat", "Parity"]
    );
    assert!((of("auroc").iter().sum::<f64>() / 2.0 - value).abs() < 1e-12);
    for key in ["average_precision", "balanced_accuracy", "accuracy", "base_rate"] {
        assert!(of(key).iter().all(|v| (0.0..=1.0).contains(v)), "{key}");
    }
    assert!(of("strength").iter().all(|s| [1.0, 100.0, 10_000.0].contains(s)));
}

fn check_csv(folder: &Path, results: &[Value]) {
    let csv = fs::read_to_string(folder.join("out/results.csv")).unwrap();
    let header = csv.lines().next().unwrap();
    for key in ["task", "sha256", "source", "layers", "value", "target", "auroc", "strength"] {
        assert!(header.split(',').any(|column| column == key), "{key}");
    }
    assert_eq!(csv.lines().count(), 1 + 2 * results.len());
}

#[test]
fn json_is_what_the_file_holds_and_runs_repeat() {
    let folder = folder();
    let flags = celeba_args("--layer 4x4 --controls none --json");
    let printed = probe(folder.path(), &format!("{flags} --out a")).ok();
    let file = fs::read_to_string(folder.path().join("a/results.json")).unwrap();
    assert_eq!(printed.trim_end(), file.trim_end());
    let again = probe(folder.path(), &format!("{flags} --out b --threads 1")).ok();
    let value = |json: &str| {
        serde_json::from_str::<Value>(json).unwrap()["results"][0]["value"].as_f64().unwrap()
    };
    assert!((value(&printed) - value(&again)).abs() < 1e-9);
}

#[test]
fn label_files_with_mistakes_are_named_by_line() {
    let folder = folder();
    let root = folder.path().join("celeba");
    let run = |flags: &str| probe(folder.path(), &celeba_args(&format!("--layer 1x1 {flags}")));
    let whole = fs::read_to_string(root.join("list_attr_celeba.txt")).unwrap();
    type Change = fn(&str) -> String;
    let cases: [(Change, &str); 4] = [
        (|t| t.replacen("000005.jpg", "900005.jpg", 1), "list_attr_celeba.txt: picture 000005.jpg"),
        (
            |t| t[..t.len() - 5].to_owned(),
            "list_attr_celeba.txt, line 66: expected a file name and 2",
        ),
        (
            |t| {
                t.replacen("000002.jpg -1", "000002.jpg  3", 1).replacen(
                    "000002.jpg  1",
                    "000002.jpg  3",
                    1,
                )
            },
            "line 4: expected 1, -1 or 0",
        ),
        (
            |t| t.replacen("64\r\n", "65\r\n", 1),
            "line 1: expected the number of rows, 64, found 65",
        ),
    ];
    for (change, expected) in cases {
        fs::write(root.join("list_attr_celeba.txt"), change(&whole)).unwrap();
        let line = run("").error(1);
        assert!(line.contains(expected), "{line}");
    }
    fs::write(root.join("list_attr_celeba.txt"), &whole).unwrap();
    edit(&root.join("list_eval_partition.txt"), |text| text.replace(" 2\n", " 0\n"));
    let line = run("").error(1);
    assert!(line.contains("split `test` is empty under list_eval_partition.txt"), "{line}");
    assert!(line.contains("--partition FILE"), "{line}");
    assert!(!folder.path().join("vdvae-probe-out").exists());
    // The same pictures with a partition of one's own; Kaggle's form, without identities.
    let partition: String = (1..=64).map(|i| format!("{i:06}.jpg,{}\n", i % 3)).collect();
    fs::write(folder.path().join("mine.csv"), format!("image_id,partition\n{partition}")).unwrap();
    fs::remove_file(root.join("identity_CelebA.txt")).unwrap();
    run("--controls none --partition mine.csv").ok();
}

#[test]
fn a_broken_picture_is_named_and_can_be_skipped() {
    let folder = folder();
    let picture = folder.path().join("celeba/img_align_celeba/000007.jpg");
    let whole = fs::read(&picture).unwrap();
    fs::write(&picture, &whole[..whole.len() / 2]).unwrap();
    let flags = celeba_args("--layer 1x1 --controls none");
    assert!(probe(folder.path(), &flags).error(1).contains("picture 000007.jpg: "));
    let ran = probe(folder.path(), &format!("{flags} --on-bad-image skip --json"));
    assert!(ran.stderr.contains("\nskipped 000007.jpg: "), "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.ok()).unwrap();
    let data = &report["data"];
    let counts = ["n_train", "n_valid", "n_test"].map(|key| data[key].as_u64().unwrap());
    assert_eq!(counts.iter().sum::<u64>(), 63);
}

#[test]
fn folders_of_classes_are_scored_by_accuracy() {
    let folder = folder();
    // Two classes that one pixel tells apart.
    for (class, level) in [("dark", 40), ("light", 200)] {
        fs::create_dir_all(folder.path().join("two").join(class)).unwrap();
        for index in 0..20u8 {
            let picture = image::RgbImage::from_fn(20, 16, |x, _| {
                image::Rgb([level + index, level, x as u8])
            });
            let name = format!("two/{class}/{index}.png");
            picture.save(folder.path().join(name)).unwrap();
        }
    }
    let flags = "--layer 4x4 --controls pixels --json";
    let json = probe(folder.path(), &format!("--task folder:two {MODEL} {flags}")).ok();
    let report: Value = serde_json::from_str(&json).unwrap();
    let pixels = &report["results"][1];
    assert_eq!(
        (pixels["metric"].as_str(), pixels["value"].as_f64()),
        (Some("accuracy"), Some(1.0))
    );
    assert_eq!(pixels["per_target"][0]["target"], "dark");
    let line = probe(folder.path(), &format!("--task folder:two {MODEL} --solver linfa")).error(2);
    assert!(line.contains("use batched"), "{line}");
}
