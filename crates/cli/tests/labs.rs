//! What laboratories do with latents: lay them out as others do, decode what they predict, look at the
//! layers, and edit pictures.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde_json::Value;
use support::{add_tiny_model, csv_faces, faces_npy, names, npy, probe, vdvae};
use vdvae_io::NpyHeader;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Every array of an .npz file: its shape and its float32 numbers.
fn arrays(path: &Path) -> BTreeMap<String, (Vec<u64>, Vec<f32>)> {
    let mut zip = zip::ZipArchive::new(File::open(path).unwrap()).unwrap();
    let mut arrays = BTreeMap::new();
    for i in 0..zip.len() {
        let mut entry = zip.by_index(i).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        arrays.insert(entry.name().unwrap().into_owned(), matrix(&bytes));
    }
    arrays
}

fn matrix(bytes: &[u8]) -> (Vec<u64>, Vec<f32>) {
    let header = NpyHeader::parse(bytes).unwrap();
    assert_eq!(header.descr, "<f4");
    let (numbers, _) = bytes[header.data..].as_chunks();
    (header.shape, numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// Writes a matrix of float64, as predictions of scikit-learn come.
fn write_matrix(path: &Path, columns: usize, values: impl Iterator<Item = f32>) {
    let bytes: Vec<u8> = values.flat_map(|value| f64::from(value).to_le_bytes()).collect();
    let rows = bytes.len() / 8 / columns;
    fs::write(path, npy("<f8", &[rows, columns], &bytes)).unwrap();
}

#[test]
fn latents_go_out_and_come_back_as_brain_diffuser_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    add_tiny_model(folder);
    fs::write(folder.join("a.npy"), faces_npy(12)).unwrap();
    fs::write(folder.join("b.npy"), faces_npy(5)).unwrap();
    let model = "--checkpoint model.safetensors";
    let extract = format!("extract {model} --layers first:3 --seed 7");
    let like = format!(
        "{extract} --like brain-diffuser --out f.npz \
         --arrays train_latents=npy:a.npy,test_latents=npy:b.npy"
    );
    let said = vdvae(folder, &like).ok();
    assert_eq!(
        said,
        "f.npz: train_latents: 12 images, 132 columns\n\
         f.npz: test_latents: 5 images, 132 columns\n"
    );
    let found = arrays(&folder.join("f.npz"));
    assert_eq!(found.keys().collect::<Vec<_>>(), ["test_latents.npy", "train_latents.npy"]);
    // One seeded sample of each layer, side by side.
    for (name, data) in [("train_latents.npy", "a.npy"), ("test_latents.npy", "b.npy")] {
        vdvae(folder, &format!("{extract} --statistic z --data npy:{data} --out z.npy")).ok();
        assert_eq!(found[name], matrix(&fs::read(folder.join("z.npy")).unwrap()), "{name}");
    }
    let manifest = json(&fs::read_to_string(folder.join("f.npz.json")).unwrap());
    assert_eq!(manifest["statistic"], "z");
    assert_eq!(manifest["matrices"]["test_latents"]["keys"].as_array().unwrap().len(), 5);
    assert!(!folder.join("f.npz.arrays").exists());

    // A matrix that an earlier run finished is taken as it is; means are another one.
    let first = folder.join("g.npz.arrays/train_latents.npy");
    fs::create_dir(folder.join("g.npz.arrays")).unwrap();
    let z = format!(
        "{extract} --statistic z --data npy:a.npy --split all --out g.npz.arrays/train_latents.npy"
    );
    vdvae(folder, &z).ok();
    write_matrix(&first, 132, (0..12 * 132).map(|i| i as f32));
    vdvae(folder, &like.replace("f.npz", "g.npz")).ok();
    let mut zip = zip::ZipArchive::new(File::open(folder.join("g.npz")).unwrap()).unwrap();
    assert_eq!(zip.by_name("train_latents.npy").unwrap().size(), 128 + 12 * 132 * 8);
    vdvae(folder, &format!("{like} --statistic mean")).ok();
    assert_ne!(arrays(&folder.join("f.npz")), found);
    vdvae(folder, &like).ok();

    let decode = format!("decode {model} --temperature 0");
    let names_like = format!("{decode} --like brain-diffuser --layers first:3 --latents");
    vdvae(folder, &format!("{names_like} f.npz:test_latents --out large")).ok();
    assert_eq!(image::image_dimensions(folder.join("large/4.png")).unwrap(), (512, 512));
    vdvae(folder, &format!("{names_like} f.npz:test_latents --out like --size 16")).ok();
    assert_eq!(names(&folder.join("like")), ["0.png", "1.png", "2.png", "3.png", "4.png"]);
    vdvae(folder, &format!("{decode} --latents z.npy --out plain --batch-size 2")).ok();
    for i in 0..5 {
        let same = ["like/", "plain/00000"]
            .map(|start| fs::read(folder.join(format!("{start}{i}.png"))).unwrap());
        assert_eq!(same[0], same[1], "batches, names and files change no picture");
    }
    // The same latents in other files are the same pictures.
    let other = |statistic: &str, file: &str| {
        let flags = format!("--statistic {statistic} --data npy:b.npy --out {file}");
        vdvae(folder, &format!("{extract} {flags}")).ok();
    };
    for file in ["z.npz", "z.safetensors", "z.parquet"] {
        other("z", file);
        vdvae(folder, &format!("{decode} --latents {file} --out {file}.pictures")).ok();
        for i in 0..5 {
            let same = ["plain".to_owned(), format!("{file}.pictures")]
                .map(|out| fs::read(folder.join(format!("{out}/00000{i}.png"))).unwrap());
            assert_eq!(same[0], same[1], "{file}");
        }
    }
    other("log-std", "wrong.parquet");
    let said = vdvae(folder, &format!("{decode} --latents z.npy --layers first:2 --out two")).ok();
    assert_eq!(said, "two: 5 pictures, 2 layers given\n");

    let refused = |args: &str, code: i32, part: &str| {
        let line = vdvae(folder, args).error(code);
        assert!(line.contains(part), "{args}: {line}");
    };
    let none = format!("{decode} --out none --latents");
    refused(&format!("{none} f.npz"), 1, "found test_latents, train_latents");
    refused(
        &format!("{none} f.npz:other"),
        1,
        "an array `other`, found train_latents, test_latents",
    );
    refused(&format!("{none} wrong.parquet"), 1, "found log-std in its manifest");
    refused(&format!("{none} z.npy --layers first:4"), 1, "latents of 4 layers, found 3");
    refused(&format!("{none} z.npy --layers first:10"), 2, "--layers: expected first:1 to first:9");
    refused(&format!("{none} z.npy --layers 4x4"), 2, "--layers: expected first:1 to first:9");
    // The layers of the layout, where none are given.
    refused(&format!("{none} z.npy --like brain-diffuser"), 2, "found first:31");
    refused(
        &like.replace("f.npz", "f.npy"),
        2,
        "--arrays, --like: expected --out FILE.npz, found f.npy",
    );
    refused(&format!("{like} --shard 0/2"), 2, "--shard");
    refused(&format!("{like} --split valid"), 2, "--split");
    refused(
        &format!("{like} --data npy:a.npy"),
        2,
        "--data: expected --arrays NAME=SPLIT to read it",
    );
    refused(&like.replace("test_latents=", "train_latents="), 2, "expected each name once");
    refused(&like.replace("b.npy", "c.npy"), 1, "c.npy");
    assert!(!folder.join("none").exists());
}

#[test]
fn all_pictures_of_a_folder_come_in_the_order_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    csv_faces(folder, 24);
    add_tiny_model(folder);
    let model = "--checkpoint model.safetensors --layers 4x4";
    let run =
        vdvae(folder, &format!("extract {model} --data folder:pictures --split all --out a.npy"));
    let said = run.ok();
    assert!(said.starts_with("a.npy: 24 images"), "{said}");
    let manifest = json(&fs::read_to_string(folder.join("a.npy.json")).unwrap());
    assert_eq!(manifest["data"]["split"], "all");
    let keys: Vec<String> = (0..24).map(|i| format!("{i}.png")).collect();
    assert_eq!(manifest["keys"], serde_json::json!(keys));
    // The table has splits, and labels, of the same pictures.
    vdvae(folder, &format!("extract {model} --data csv:labels.csv --split all --out b.npy")).ok();
    let rows = |file: &str| matrix(&fs::read(folder.join(file)).unwrap());
    assert_eq!(rows("a.npy"), rows("b.npy"));
    let manifest = json(&fs::read_to_string(folder.join("b.npy.json")).unwrap());
    assert_eq!(manifest["groups"].as_array().unwrap().len(), 24);
    let text = manifest["labels"].to_string();
    assert!(text.contains("brightness") && text.contains("Hat"), "{text}");
    // A data set in place of a split is all of it.
    vdvae(
        folder,
        &format!("extract {model} --arrays x=folder:pictures,y=test@folder:pictures --out c.npz"),
    )
    .ok();
    let found = arrays(&folder.join("c.npz"));
    assert_eq!(found["x.npy"], rows("a.npy"));
    assert_eq!(found["y.npy"].0[0], 2, "a tenth");
    let said =
        vdvae(folder, "eval --checkpoint model.safetensors --data folder:pictures --split all")
            .ok();
    assert!(said.contains(" all: 24 images"), "{said}");
    let analyze = "analyze --checkpoint model.safetensors --decoded 0 --num 24 --out looked";
    let said = vdvae(folder, &format!("{analyze} --data folder:pictures --split all")).ok();
    assert!(said.contains(" all: 24 images"), "{said}");
}

#[test]
fn predictions_get_the_spread_of_what_they_predict() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    add_tiny_model(folder);
    fs::write(folder.join("a.npy"), faces_npy(12)).unwrap();
    let model = "--checkpoint model.safetensors";
    vdvae(folder, &format!("extract {model} --layers first:3 --data npy:a.npy --out true.npy"))
        .ok();
    let (shape, latents) = matrix(&fs::read(folder.join("true.npy")).unwrap());
    let columns = shape[1] as usize;
    // A regression that has half the spread and is off by as much everywhere.
    let halved = |values: &[f32]| values.iter().map(|v| v / 2.0 + 0.25).collect::<Vec<_>>();
    write_matrix(&folder.join("train.npy"), columns, halved(&latents).into_iter());
    write_matrix(&folder.join("test.npy"), columns, halved(&latents[..4 * columns]).into_iter());

    let decode = format!("decode {model} --temperature 0 --out");
    let pixels = |out: &str| {
        let read = |i: usize| image::open(folder.join(format!("{out}/00000{i}.png"))).unwrap();
        (0..4).flat_map(|i| read(i).to_rgb8().into_raw()).collect::<Vec<u8>>()
    };
    vdvae(folder, &format!("{decode} true --latents true.npy")).ok();
    vdvae(folder, &format!("{decode} raw --latents test.npy")).ok();
    let standardised = format!("{decode} back --latents test.npy --standardize-to true.npy");
    vdvae(folder, &format!("{standardised} --standardize-from train.npy")).ok();
    let differing = |a: &[u8], b: &[u8]| a.iter().zip(b).filter(|(a, b)| a != b).count();
    let (of_true, raw) = (pixels("true"), pixels("raw"));
    // Rounding may move a number that is drawn across a boundary.
    let rounded = differing(&pixels("back"), &of_true);
    assert!(rounded < of_true.len() / 200, "{rounded}");
    assert!(differing(&raw, &of_true) > of_true.len() / 4);

    // By the batch itself: pictures then depend on those beside them.
    let batch = vdvae(folder, &format!("{standardised} --standardize-from-latents"));
    assert!(batch.stderr.contains("warning: --standardize-from-latents"), "{}", batch.stderr);
    batch.ok();
    let by_batch = differing(&pixels("back"), &of_true);
    assert!(by_batch > 4 * rounded.max(1), "{by_batch} {rounded}");

    let refused = |args: &str, code: i32, part: &str| {
        let line = vdvae(folder, &format!("{decode} none --latents test.npy {args}")).error(code);
        assert!(line.contains(part), "{args}: {line}");
    };
    refused("--standardize-to true.npy", 2, "--standardize-from");
    refused("--standardize-from train.npy", 2, "--standardize-to");
    refused(
        "--standardize-to true.npy --standardize-from train.npy --standardize-from-latents",
        2,
        "cannot be used with",
    );
    write_matrix(&folder.join("short.npy"), 4, (0..8).map(|i| i as f32));
    refused(
        "--standardize-to short.npy --standardize-from train.npy",
        1,
        "short.npy: expected latents of 3 layers, found 1",
    );
}

#[test]
fn pictures_are_edited_and_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    csv_faces(folder, 48);
    let train = |flags: &str| {
        let task = "--task csv:labels.csv --targets Hat --controls none --probe ridge";
        probe(folder, &format!("{task} --replicates 10 {flags}")).ok()
    };
    train("--layer 8x8 --save-probe hat.safetensors");
    train("--layer 8x8 --statistic state --save-probe state.safetensors");

    let edit = "edit pictures/1.png pictures/2.png --probe hat.safetensors --target Hat";
    let said = json(&vdvae(folder, &format!("{edit} --strength -4..4 --columns 5 --json")).ok());
    assert_eq!(said["strengths"], serde_json::json!([-4.0, -2.0, 0.0, 2.0, 4.0]));
    let size = image::image_dimensions(folder.join("edited.png")).unwrap();
    assert_eq!(size, (6 * 33 + 1, 2 * 33 + 1));
    for image in said["images"].as_array().unwrap() {
        let score = |i: usize| image["edited"][i].as_f64().unwrap();
        assert!(image["score"].is_f64() && score(4) > score(0), "{image}");
    }
    let said = vdvae(folder, &format!("{edit} --strength 2 --layers 8x8 --given first:13")).ok();
    assert!(said.contains("pictures/2.png") && said.contains("2.00"), "{said}");
    let size = image::image_dimensions(folder.join("edited.png")).unwrap();
    assert_eq!(size, (2 * 33 + 1, 2 * 33 + 1));

    let refused = |args: &str, code: i32, part: &str| {
        let line = vdvae(folder, args).error(code);
        assert!(line.contains(part), "{args}: {line}");
    };
    refused(&edit.replace("Hat", "Beret"), 2, "expected a target of Hat, found `Beret`");
    refused(&edit.replace("hat.", "state."), 2, "mean or z, found state");
    refused(&format!("{edit} --layers 4x4"), 2, "reads layers of 4x4, found 8x8");
    refused(&format!("{edit} --given 8x8"), 2, "--given: expected first:1 to first:20, or all");
    refused(&format!("{edit} --strength 1 --columns 3"), 2, "--strength A..B");
    refused(&edit.replace("2.png", "none.png"), 1, "none.png");
    add_tiny_model(folder);
    refused(&format!("{edit} --checkpoint model.safetensors"), 2, "use --checkpoint");

    let mixed = "interpolate pictures/1.png pictures/2.png --columns 3 --out m.png";
    assert_eq!(vdvae(folder, mixed).ok(), "m.png: 3 pictures, 20 of 20 layers mixed\n");
    assert_eq!(image::image_dimensions(folder.join("m.png")).unwrap(), (5 * 33 + 1, 34));
    let said = vdvae(folder, &format!("{mixed} --layers 1x1")).ok();
    assert_eq!(said, "m.png: 3 pictures, 2 of 20 layers mixed\n");
    refused(&format!("{mixed} --layers 64x64"), 2, "found 64x64");
    vdvae(folder, "sample --num 2 --temperature 0.9,32x32=0.1 --out s.png").ok();
    refused("sample --temperature 64x64=1", 2, "--temperature: expected resolutions of 1x1, 4x4");
}

#[test]
fn a_network_is_analyzed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    csv_faces(folder, 48);
    let task = "--task csv:labels.csv --targets Hat --probe ridge";
    let said = json(&vdvae(folder, &format!("analyze --num 8 --decoded 3 {task} --json")).ok());
    let out = folder.join("vdvae-analyze-out");
    assert_eq!(json(&fs::read_to_string(out.join("analysis.json")).unwrap()), said);
    let layers = said["analysis"]["layers"].as_array().unwrap();
    assert_eq!((layers.len(), &said["analysis"]["images"]), (20, &Value::from(8)));
    assert_eq!(said["scores"].as_array().unwrap().len(), 20);
    assert_eq!(said["scores"][0]["prior"]["value"], 0.5);
    let page = fs::read_to_string(out.join("analysis.html")).unwrap();
    for id in ["kl", "reliability", "rate-distortion", "born", "numbers", "provenance"] {
        assert!(page.contains(&format!("section id=\"{id}\"")), "{id}");
    }

    let said = vdvae(folder, "analyze --num 4 --decoded 0 --out plain").ok();
    let header = said.lines().nth(3).unwrap();
    assert!(header.ends_with("reliability") && !said.contains("rate, distortion"), "{said}");
    assert_eq!(said.lines().filter(|line| line.contains("16x16")).count(), 4, "{said}");

    let refused = |args: &str, part: &str| {
        let line = vdvae(folder, &format!("analyze --out none {args}")).error(2);
        assert!(line.contains(part), "{args}: {line}");
    };
    refused("--task omniglot-5way-1shot", "expected one that predicts labels");
    refused("--probe ridge", "--task");
    refused("--task csv:labels.csv --data toy-faces", "cannot be used with");
    assert!(!folder.join("none").exists());
}

#[test]
fn runs_are_merged_and_paired_where_they_scored_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    csv_faces(folder, 48);
    let run = |flags: &str| {
        let task = "--task csv:labels.csv --targets Hat --probe ridge --replicates 50";
        probe(folder, &format!("{task} --layer 4x4 --layer all --controls pixels {flags}")).ok();
    };
    run("--out means");
    run("--out states --statistic state");
    run("--out others --seed 1");
    let said = json(&probe(folder, "merge a=means states c=others --json").ok());
    let written = fs::read_to_string(folder.join("vdvae-probe-merged/merged.json")).unwrap();
    assert_eq!(json(&written), said);
    let paired: Vec<bool> =
        said["runs"].as_array().unwrap().iter().map(|r| r["paired"] == true).collect();
    assert_eq!(paired, [true, true, false], "another seed draws other replicates");
    let differences = said["differences"].as_array().unwrap();
    assert_eq!(differences.len(), 4, "two selections of latents in two runs");
    for difference in differences {
        let of = |run: &str| -> f64 {
            let path = folder.join(run).join("results.json");
            let results = json(&fs::read_to_string(path).unwrap());
            let results = results["results"].as_array().unwrap().clone();
            let same =
                |r: &&Value| r["source"] == "latents" && r["layers"] == difference["of"]["layers"];
            results.iter().find(same).unwrap()["value"].as_f64().unwrap()
        };
        let run = if difference["run"] == "states" { "states" } else { "others" };
        let expected = of(run) - of("means");
        assert!((difference["difference"].as_f64().unwrap() - expected).abs() < 1e-12);
        assert_eq!(difference["ci95"].is_array(), run == "states", "{difference}");
        assert_eq!(difference["less"], "a");
    }
    // Differences over draws of labels are of the means over draws.
    let drawn = "--train-fraction 0.5 --label-seeds 3";
    run(&format!("--out drawn {drawn}"));
    run(&format!("--out drawn-states {drawn} --statistic state"));
    let said = json(&probe(folder, "merge drawn drawn-states --out draws --json").ok());
    for difference in said["differences"].as_array().unwrap() {
        let mean = |run: usize| -> f64 {
            let results = said["runs"][run]["report"]["results"].as_array().unwrap();
            let same =
                |r: &&Value| r["source"] == "latents" && r["layers"] == difference["of"]["layers"];
            let values: Vec<f64> =
                results.iter().filter(same).map(|r| r["value"].as_f64().unwrap()).collect();
            assert_eq!(values.len(), 3);
            values.iter().sum::<f64>() / 3.0
        };
        let expected = mean(1) - mean(0);
        assert!((difference["difference"].as_f64().unwrap() - expected).abs() < 1e-12);
        let ends: [f64; 2] = serde_json::from_value(difference["ci95"].clone()).unwrap();
        assert!(ends[0] <= expected && expected <= ends[1], "{difference}");
    }
    assert_eq!(said["differences"].as_array().unwrap().len(), 2, "one a selection, not one a draw");
    let said = probe(folder, "merge a=means states c=others --out again").ok();
    assert!(said.contains("states less a") && said.contains("not paired"), "{said}");
    let page = fs::read_to_string(folder.join("again/merged.html")).unwrap();
    assert!(page.contains("states less a") && page.contains("section id=\"figure\""));

    let refused = |args: &str, code: i32, part: &str| {
        let line = probe(folder, &format!("merge --out none {args}")).error(code);
        assert!(line.contains(part), "{args}: {line}");
    };
    refused("means", 2, "two runs or more, found one");
    refused("means means", 2, "means: expected each run once");
    refused("means pictures", 1, "pictures/results.json: expected the results of a run");
    run("--out numbers --targets brightness:real");
    refused("means numbers", 2, "expected runs that measure the same");
    fs::write(folder.join("others/pairing.json"), "{").unwrap();
    refused("means others", 1, "pairing.json: expected what vdvae-probe writes");
    // Results of a run that was stopped have nothing to be paired by.
    fs::remove_file(folder.join("others/pairing.json")).unwrap();
    probe(folder, "merge means others").ok();
    assert!(!folder.join("none").exists());
}
