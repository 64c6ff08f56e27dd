//! One step after another: train, resume, evaluate, sample, reconstruct, extract, decode; and what
//! is stopped half-way continues.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use support::{Ran, add_tiny_model, csv_faces, faces_npy, names, probe, vdvae, vdvae_command};

fn same(folder: &Path, a: &str, b: &str) -> bool {
    fs::read(folder.join(a)).unwrap() == fs::read(folder.join(b)).unwrap()
}

fn is_png(path: &Path, width: u32, height: u32) {
    assert_eq!(image::image_dimensions(path).unwrap(), (width, height), "{}", path.display());
}

#[test]
fn a_model_is_trained_resumed_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("faces.npy"), faces_npy(24)).unwrap();
    let flags = "train --preset tiny --data npy:faces.npy --batch-size 4 --save-every 2 \
                 --eval-images 4 --sample-every 0";
    vdvae(folder, &format!("{flags} --out whole --steps 4")).ok();
    vdvae(folder, &format!("{flags} --out parts --steps 2")).ok();
    vdvae(folder, &format!("{flags} --out parts --steps 4 --resume")).ok();
    assert!(same(folder, "whole/model.safetensors", "parts/model.safetensors"));
    let metrics = fs::read_to_string(folder.join("parts/metrics.jsonl")).unwrap();
    let steps: Vec<Value> = metrics.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(steps.iter().map(|m| m["step"].clone()).collect::<Vec<_>>(), [1, 2, 3, 4]);

    // From its weights, whose network is the one that is trained.
    let more = flags.replace("--preset tiny", "--init whole/model.safetensors --eval-every 1");
    vdvae(folder, &format!("{more} --out more --steps 1")).ok();
    let line = |run: &str, number: usize| -> Value {
        let text = fs::read_to_string(folder.join(run).join("metrics.jsonl")).unwrap();
        serde_json::from_str(text.lines().nth(number).unwrap()).unwrap()
    };
    let valid = |line: Value| line["valid_nats_per_dim"].as_f64().unwrap();
    assert!((valid(line("more", 0)) - valid(line("whole", 3))).abs() < 1e-5);
    let line = vdvae(folder, &format!("{more} --preset toy-faces --out none")).error(1);
    assert!(line.contains("as given, found") && line.contains("model.safetensors"), "{line}");
    assert!(!folder.join("none").exists());

    let model = "--checkpoint whole/model.safetensors";
    let info: Value =
        serde_json::from_str(&vdvae(folder, "info whole/model.safetensors --json").ok()).unwrap();
    assert_eq!(info["parameters"], 46_084);
    let eval = vdvae(folder, &format!("eval {model} --data npy:faces.npy --json --seed 3")).ok();
    let again = vdvae(
        folder,
        &format!("eval {model} --data npy:faces.npy --json --seed 3 --batch-size 5 --threads 1"),
    );
    let bits =
        |json: &str| serde_json::from_str::<Value>(json).unwrap()["bits_per_dim"].as_f64().unwrap();
    assert!((bits(&eval) - bits(&again.ok())).abs() < 1e-5, "batches change the noise");

    vdvae(folder, &format!("sample {model} --num 6 --out s.png --zoom 2")).ok();
    is_png(&folder.join("s.png"), 2 * (3 * 17 + 1), 2 * (2 * 17 + 1));
    vdvae(folder, &format!("reconstruct {model} --data npy:faces.npy --num 2 --out r.png")).ok();
    is_png(&folder.join("r.png"), 5 * 17 + 1, 2 * 17 + 1);

    let extract = format!("extract {model} --data npy:faces.npy --pool none --layers first:3");
    vdvae(folder, &format!("{extract} --out l.npz")).ok();
    let said = vdvae(folder, &format!("decode {model} --latents l.npz --out pictures")).ok();
    assert_eq!(said, "pictures: 24 pictures, 3 layers given\n");
    assert_eq!(names(&folder.join("pictures")).len(), 24);
    is_png(&folder.join("pictures/000023.png"), 16, 16);
    vdvae(folder, &format!("extract {model} --data npy:faces.npy --pool mean --out p.npz")).ok();
    let line = vdvae(folder, &format!("decode {model} --latents p.npz --out none")).error(1);
    assert!(
        line.contains("p.npz: expected latents that are not pooled, found pooling mean"),
        "{line}"
    );
    assert!(!folder.join("none").exists());
    // One matrix of the first layers decodes to the same pictures.
    vdvae(folder, &format!("{extract} --out l.npy")).ok();
    vdvae(folder, &format!("decode {model} --latents l.npy --out again")).ok();
    assert!(same(folder, "pictures/000005.png", "again/000005.png"));
    fs::remove_file(folder.join("l.npy.json")).unwrap();
    vdvae(folder, &format!("decode {model} --latents l.npy --out plain")).ok();
    assert!(same(folder, "pictures/000005.png", "plain/000005.png"));
    vdvae(folder, &format!("{extract} --statistic log-std --out s.npz")).ok();
    let line = vdvae(folder, &format!("decode {model} --latents s.npz --out none")).error(1);
    assert!(line.contains("the statistic mean or z, found log-std"), "{line}");
}

#[test]
fn every_command_reads_half_precision_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    add_tiny_model(folder);
    fs::create_dir_all(folder.join("weights")).unwrap();
    fs::create_dir(folder.join("inner")).unwrap();
    vdvae(folder, "convert model.safetensors weights/half.safetensors --dtype f16").ok();
    fs::write(folder.join("faces.npy"), faces_npy(24)).unwrap();
    let json = |text: String| serde_json::from_str::<Value>(&text).unwrap();

    let [half, whole] = ["half", "model.safetensors"].map(|name| {
        let run = |args: &str| vdvae(folder, &args.replace("MODEL", name)).ok();
        let info = json(run("info MODEL --json"));
        let eval = json(run("eval --checkpoint MODEL --data npy:faces.npy --json"));
        run("extract --checkpoint MODEL --data npy:faces.npy --pool none --out MODEL.npz");
        let decoded = run("decode --checkpoint MODEL --latents MODEL.npz --out MODEL.pictures");
        assert!(decoded.ends_with("24 pictures, 9 layers given\n"), "{decoded}");
        run("train --init MODEL --data npy:faces.npy --steps 1 --batch-size 4 --eval-images 4 \
             --sample-every 0 --out MODEL.run");
        csv_faces(folder, 48);
        let asked =
            format!("--task csv:labels.csv --targets Hat --checkpoint {name} --out {name}.probe");
        probe(
            folder,
            &format!("{asked} --controls none --layer 4x4 --probe ridge --replicates 10"),
        )
        .ok();
        let results =
            fs::read_to_string(folder.join(format!("{name}.probe/results.json"))).unwrap();
        (info, eval["bits_per_dim"].as_f64().unwrap(), json(results)["results"][0]["value"].clone())
    });
    assert_eq!(half.0["name"], "half.safetensors");
    assert_eq!(half.0["config"], whole.0["config"]);
    assert_ne!(half.0["sha256"], whole.0["sha256"]);
    // Weights that are rounded by up to 4.9e-4 of themselves.
    assert!((half.1 - whole.1).abs() < 1e-3 && half.1 != whole.1, "{} {}", half.1, whole.1);
    assert!(half.2.is_f64() && whole.2.is_f64(), "{half:?} {whole:?}");

    let inner = vdvae(&folder.join("inner"), "info half --json").ok();
    assert_eq!(json(inner), half.0, "found in a folder above");
    let mut other = vdvae_command(&folder.join("inner"), "info model --json");
    let given = Ran::of(other.env("VDVAE_WEIGHTS", folder).output().unwrap()).ok();
    assert_eq!(json(given), whole.0);
    let line = vdvae(folder, "eval --checkpoint model --data npy:faces.npy").error(2);
    let here = folder.canonicalize().unwrap();
    let places = format!(
        "model: no such file, and no weights of this name in VDVAE_WEIGHTS (not set), \
        `weights` in or above {}, ",
        here.display()
    );
    assert!(line.contains(&places), "{line}");
    assert!(line.ends_with(".cache/weights"), "{line}");
}

#[test]
fn an_extraction_that_is_killed_continues() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    add_tiny_model(folder);
    fs::write(folder.join("faces.npy"), faces_npy(300)).unwrap();
    let extract = |out: &str, size: usize| {
        let data = "--data npy:faces.npy --pool none";
        format!("extract --checkpoint model.safetensors {data} --batch-size {size} --out {out}")
    };
    vdvae(folder, &extract("whole.npz", 32)).ok();

    let mut command = vdvae_command(folder, &extract("part.npz", 1));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let progress = folder.join("part.npz.partial/progress.json");
    while !progress.exists() {
        assert!(child.try_wait().unwrap().is_none(), "ended without having begun");
        std::thread::yield_now();
    }
    // While it lives, no other process may append to the same file.
    let line = vdvae(folder, &extract("part.npz", 1)).error(1);
    assert!(line.contains("another that is writing it now"), "{line}");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!folder.join("part.npz").exists(), "it was killed before its end");
    let done: Value = serde_json::from_slice(&fs::read(&progress).unwrap()).unwrap();
    assert!((1..300).contains(&done["consumed"].as_u64().unwrap()), "{done}");

    vdvae(folder, &extract("part.npz", 32)).ok();
    assert!(same(folder, "whole.npz", "part.npz"));
    assert!(same(folder, "whole.npz.json", "part.npz.json"));
    let left: Vec<_> = names(folder).into_iter().filter(|name| name.contains("partial")).collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn shards_together_are_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    add_tiny_model(folder);
    fs::write(folder.join("faces.npy"), faces_npy(3)).unwrap();
    let extract = "extract --checkpoint model.safetensors --data npy:faces.npy --pool mean";
    vdvae(folder, &format!("{extract} --out f.npy")).ok();
    let rows = |name: &str| {
        let array = candle_core::Tensor::read_npy(folder.join(name)).unwrap();
        array.to_vec2::<f32>().unwrap()
    };
    // More shards than pictures: some are empty, and still succeed.
    let mut joined = Vec::new();
    for shard in 0..4 {
        vdvae(folder, &format!("{extract} --out f.npy --shard {shard}/4")).ok();
        joined.extend(rows(&format!("f.{shard}-of-4.npy")));
    }
    assert_eq!(joined.len(), 3);
    for (whole, part) in rows("f.npy").iter().flatten().zip(joined.iter().flatten()) {
        assert!((whole - part).abs() < 1e-5, "batches change the order of sums only");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = vdvae_command(folder.path(), "info")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
