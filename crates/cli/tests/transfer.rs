//! Few labels and faces, from a data set to the results.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::{add_tiny_model, celeba, names, probe};
use vdvae_datasets::{Dataset, Split, ToyFaces};

const MODEL: &str = "--checkpoint model.safetensors";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    add_tiny_model(folder.path());
    celeba(&folder.path().join("celeba"), 64);
    folder
}

fn report(folder: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(folder.join("out/results.json")).unwrap()).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("expected a number, found {value}"))
}

#[test]
fn people_are_classes_of_episodes() {
    let folder = folder();
    let flags = "--task celeba-5way-1shot --data-root celeba --queries 1 --episodes 60 --out out \
                 --probe cl2n,knn,logistic --layer 4x4 --layer all --controls pixels";
    let table = probe(folder.path(), &format!("{flags} {MODEL}")).ok();
    assert!(table.contains("60 episodes of 5 classes, 1 labelled and 1 more"), "{table}");
    let report = report(folder.path());
    let results = report["results"].as_array().unwrap();
    let found: Vec<_> = results
        .iter()
        .map(|r| {
            (r["source"].as_str().unwrap(), r["layers"].as_str(), r["probe"].as_str().unwrap())
        })
        .collect();
    let classifiers = ["cl2n", "knn", "logistic"];
    let lines = [("latents", Some("4x4")), ("latents", Some("all")), ("pixels", None)];
    let expected: Vec<_> =
        lines.iter().flat_map(|&(s, l)| classifiers.map(|c| (s, l, c))).collect();
    assert_eq!(found, expected);
    for result in results {
        assert_eq!(result["metric"], "accuracy");
        let value = number(&result["value"]);
        assert!(number(&result["ci95"][0]) <= value && value <= number(&result["ci95"][1]));
        let info = &result["few_shot"];
        let shape = ["ways", "shots", "queries", "episodes"].map(|key| info[key].as_u64().unwrap());
        assert_eq!(shape, [5, 1, 1, 60]);
    }
    // Two pictures of one rendered person are alike even to pixels; chance is 0.2.
    assert!(number(&results[6]["ci95"][0]) > 0.2, "{}", results[6]);
    // Latents of 4x4 with all, and each with the pixels, by each of the classifiers.
    assert_eq!(report["comparisons"].as_array().unwrap().len(), 9);
    assert_eq!(
        names(&folder.path().join("out")),
        ["pairing.json", "report.html", "results.csv", "results.json"]
    );
    let page = fs::read_to_string(folder.path().join("out/report.html")).unwrap();
    assert!(page.contains("Few labels") && page.contains("celeba-5way-1shot"));
    // A header and a line a result.
    let csv = fs::read_to_string(folder.path().join("out/results.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + results.len());
}

#[test]
fn episodes_of_columns_that_are_only_centred_have_a_name_of_their_own() {
    let folder = folder();
    let accuracies = |flags: &str, name: &str| {
        let base = "--task celeba-5way-1shot --data-root celeba --queries 1 --episodes 50 --json";
        let flags = format!("{base} --layer all --controls none {flags} {MODEL}");
        let report: Value = serde_json::from_str(&probe(folder.path(), &flags).ok()).unwrap();
        let result = &report["results"][0];
        assert_eq!(result["probe"], name);
        number(&result["value"])
    };
    assert_ne!(accuracies("", "cl2n"), accuracies("--centre-only", "cl2n-centred"));
}

#[test]
fn episodes_do_not_depend_on_threads_or_on_the_other_lines() {
    let folder = folder();
    let accuracy = |flags: &str| {
        let base = "--task celeba-5way-1shot --data-root celeba --queries 1 --episodes 50 --json";
        let json = probe(folder.path(), &format!("{base} {flags} {MODEL}")).ok();
        let report: Value = serde_json::from_str(&json).unwrap();
        let results = report["results"].as_array().unwrap().clone();
        let pixels = results.iter().find(|result| result["source"] == "pixels").unwrap();
        number(&pixels["value"])
    };
    let first = accuracy("--threads 1 --layer 1x1");
    assert_eq!(first, accuracy("--threads 3 --layer 4x4 --layer 8x8"));
    assert_ne!(first, accuracy("--seed 1"), "another seed draws other episodes");
}

#[test]
fn faces_of_celeba_are_verified() {
    let folder = folder();
    let flags = "--task celeba-verification --data-root celeba --folds 2 --pairs 8 --out out \
                 --probe cosine,euclidean,whitened,lda --layer all";
    let table = probe(folder.path(), &format!("{flags} {MODEL}")).ok();
    assert!(table.contains("16 pairs in 2 folds") && table.contains("TAR at 0.1"), "{table}");
    let report = report(folder.path());
    let results = report["results"].as_array().unwrap();
    // Latents, random weights and pixels, by four scores.
    assert_eq!(results.len(), 12);
    for result in results {
        let info = &result["verification"];
        assert_eq!(info["fold_accuracies"].as_array().unwrap().len(), 2);
        assert_eq!(info["pairs"], 16);
        // Eight impostors cannot tell a share of one in ten.
        assert!(info["tar_at_far"][0][1].is_null(), "{info}");
        let target = &result["per_target"][0];
        assert_eq!(target["target"], "same person");
        assert!((0.0..=1.0).contains(&number(&target["auroc"])));
    }
    let page = fs::read_to_string(folder.path().join("out/report.html")).unwrap();
    assert!(page.contains("same person"), "no ROC curve");
}

#[test]
fn random_weights_of_several_seeds_are_one_line() {
    let folder = folder();
    for task in
        ["celeba-5way-1shot --queries 1 --episodes 60", "celeba-verification --folds 2 --pairs 8"]
    {
        let run = |flags: &str| {
            let base = "--data-root celeba --controls random-init --layer all --out out";
            let table = probe(folder.path(), &format!("--task {task} {base} {flags} {MODEL}")).ok();
            (table, report(folder.path()))
        };
        let (_, alone) = run("");
        let (table, report) = run("--random-seeds 3");
        assert!(table.contains("\nrandom-init is the mean over 3 networks; "), "{table}");
        let of = |source: &str| {
            let results = report["results"].as_array().unwrap().iter();
            results.filter(|result| result["source"] == source).cloned().collect::<Vec<_>>()
        };
        let (latents, random) = (of("latents"), of("random-init"));
        // A line a classifier or score, as with one network.
        assert_eq!(random.len(), latents.len());
        assert_eq!(alone["results"].as_array().unwrap().len(), 2 * random.len());
        for (random, latents) in random.iter().zip(&latents) {
            let networks = random["networks"].as_array().unwrap();
            assert_eq!(networks.len(), 3);
            let mean = networks.iter().map(|network| number(&network["value"])).sum::<f64>() / 3.0;
            assert!((number(&random["value"]) - mean).abs() < 1e-12, "{random}");
            let [low, high] = [0, 1].map(|end| number(&random["ci95"][end]));
            assert!(low <= mean && mean <= high, "{random}");
            let difference = number(&latents["value"]) - mean;
            let compared = report["comparisons"].as_array().unwrap().iter();
            let mut of_probe = compared.filter(|one| one["a"]["probe"] == random["probe"]);
            let found = number(&of_probe.next().unwrap()["difference"]);
            assert!((found - difference).abs() < 1e-12, "{found} is not {difference}");
        }
        // The first of them is the one there is without the flag.
        let first = &alone["results"].as_array().unwrap()[latents.len()];
        assert_eq!(first["value"], random[0]["networks"][0]["value"]);
    }
}

/// Six people of three pictures each, and two folds of pairs without a person in common.
fn lfw(folder: &Path) {
    let faces = ToyFaces::new(0);
    for person in 0..6 {
        let name = format!("Person_{person}");
        fs::create_dir_all(folder.join("lfw").join(&name)).unwrap();
        for picture in 0..3 {
            let image = faces.render(Split::Train, 20 * person + picture, 32).unwrap();
            let file = format!("lfw/{name}/{name}_{:04}.jpg", picture + 1);
            image.save(folder.join(file)).unwrap();
        }
    }
    let mut text = "2\t3\n".to_owned();
    for fold in 0..2 {
        let name = |person: usize| format!("Person_{}", 3 * fold + person);
        for person in 0..3 {
            text += &format!("{}\t1\t2\n", name(person));
        }
        for person in 0..3 {
            text += &format!("{}\t1\t{}\t3\n", name(person), name((person + 1) % 3));
        }
    }
    fs::write(folder.join("pairs.txt"), text).unwrap();
}

#[test]
fn lfw_view_2_from_its_published_layout() {
    let folder = folder();
    lfw(&folder.path().join("faces"));
    let flags = "--task lfw-verification --data-root faces --probe cosine,lda --layer all \
                 --controls pixels --out out";
    let table = probe(folder.path(), &format!("{flags} {MODEL}")).ok();
    assert!(table.contains("0 train, 0 valid, 18 test pictures"), "{table}");
    let report = report(folder.path());
    assert_eq!(report["data"]["name"], "lfw");
    for result in report["results"].as_array().unwrap() {
        assert_eq!(result["verification"]["pairs"], 12);
        assert_eq!(result["verification"]["thresholds"].as_array().unwrap().len(), 2);
    }
    let auroc = |report: &Value| report["results"][1]["per_target"][0]["auroc"].clone();
    let cropped =
        probe(folder.path(), &format!("{flags} {MODEL} --crop 9 --resize bicubic --json"));
    let cropped: Value = serde_json::from_str(&cropped.ok()).unwrap();
    assert_ne!(cropped["results"], report["results"], "the crop changed nothing");
    assert!(auroc(&cropped).is_number());
    // A pair that names a picture that is not there.
    let pairs = folder.path().join("faces/pairs.txt");
    let text = fs::read_to_string(&pairs).unwrap().replacen("\t1\t2", "\t1\t9", 1);
    fs::write(&pairs, text).unwrap();
    let line = probe(folder.path(), &format!("{flags} {MODEL}")).error(1);
    assert!(line.contains("pairs.txt") && line.contains("line 2"), "{line}");
    fs::remove_file(pairs).unwrap();
    let line = probe(folder.path(), &format!("{flags} {MODEL}")).error(1);
    assert!(line.contains("expected pairs.txt"), "{line}");
}

/// Two runs of three characters each, and background characters to centre on.
fn omniglot(folder: &Path) {
    let ink = |class: usize, copy: usize| {
        image::RgbImage::from_fn(21, 21, |x, y| {
            let place = (x as usize / 7) + 3 * (y as usize / 7);
            let drawn = place == class || (place == 8 && x as usize % 7 == copy);
            image::Rgb([if drawn { 0 } else { 255 }; 3])
        })
    };
    let save = |path: &Path, image: image::RgbImage| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        image.save(path).unwrap();
    };
    for alphabet in 0..6 {
        for copy in 1..3 {
            let file =
                format!("images_background/A{alphabet}/character01/{alphabet:04}_0{copy}.png");
            save(&folder.join(file), ink(alphabet % 3, copy));
        }
    }
    for run in 1..3 {
        let mut answers = String::new();
        let of_run = |kind: &str, name: String| format!("run0{run}/{kind}/{name}.png");
        for class in 1..4 {
            let (item, shown) = (class % 3 + 1, class);
            let training = of_run("training", format!("class0{shown}"));
            let test = of_run("test", format!("item0{item}"));
            save(&folder.join("all_runs").join(&training), ink(class + run, 1));
            save(&folder.join("all_runs").join(&test), ink(class + run, 2));
            answers += &format!("{test} {training}\n");
        }
        fs::write(folder.join(format!("all_runs/run0{run}/class_labels.txt")), answers).unwrap();
    }
}

#[test]
fn published_runs_of_omniglot() {
    let folder = folder();
    omniglot(&folder.path().join("omniglot"));
    let flags = "--task omniglot-runs --data-root omniglot --layer all --out out --json";
    let json = probe(folder.path(), &format!("{flags} {MODEL}")).ok();
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["data"]["n_test"], 12);
    let results = report["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    for result in results {
        let info = &result["few_shot"];
        assert_eq!([&info["ways"], &info["queries"], &info["episodes"]], [3, 1, 2]);
        assert!(info["seed"].is_null());
    }
    // The shapes are told apart by eye, and by pixels.
    assert_eq!(number(&results[2]["value"]), 1.0, "{}", results[2]);
}

#[test]
fn mistakes_are_found_before_any_work() {
    let folder = folder();
    let cases = [
        ("--task celeba-50way-1shot", "50"),
        ("--task celeba-5way-1shot", "15"),
        ("--task celeba-0way-1shot", "ways"),
        ("--task celeba-verification", "pairs"),
        ("--task celeba-verification --folds 2 --pairs 7", "even"),
        ("--task celeba-attrs --episodes 10", "--episodes: expected a task of sampled episodes"),
        ("--task celeba-attrs --centre-only", "--centre-only: expected a task of few labels"),
        ("--task celeba-5way-1shot --pairs 10", "--pairs: expected a task of sampled pairs"),
        ("--task celeba-5way-1shot --train-fraction 0.5", "--train-fraction: expected a task that"),
        ("--task celeba-5way-1shot --replicates 9", "--replicates"),
        ("--task celeba-5way-1shot --queries 1 --probe ridge", "cl2n, centroid, knn, logistic"),
        ("--task celeba-5way-1shot --queries 1 --strengths 1", "of --probe logistic"),
        ("--task celeba-verification --probe cl2n", "cosine, euclidean, whitened, lda"),
        ("--task celeba-verification --strengths 1", "no penalty"),
        ("--task celeba-3way-1shots", "DATA-Nway-Kshot"),
        ("--task celeba-attrs --crop 0", "square, none, or a number of pixels"),
        ("--task toy-faces --crop 20", "drawn at the network's size"),
        ("--task lfw-verification --controls pca", "--controls pca: expected a task with a train"),
        ("--task lfw-verification --match-columns 8", "--match-columns: expected a task with a tr"),
    ];
    for (flags, expected) in cases {
        let args = format!("--data-root celeba --out nowhere {MODEL} {flags}");
        let line = probe(folder.path(), &args).error(2);
        assert!(line.contains(expected), "{flags}: {line}");
        assert!(!folder.path().join("nowhere").exists(), "{flags}");
    }
}
