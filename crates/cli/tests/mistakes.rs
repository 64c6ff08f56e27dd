//! What is wrong is one line that says what would be right, before any work: exit code 2 for the
//! command line, 1 for files.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;

use support::{add_tiny_model, faces_npy, names, npy, probe, vdvae};

#[test]
fn bad_usage_of_vdvae() {
    let folder = tempfile::tempdir().unwrap();
    add_tiny_model(folder.path());
    fs::write(folder.path().join("im.npy"), faces_npy(2)).unwrap();
    let header = br#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let foreign = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 4]].concat();
    fs::write(folder.path().join("foreign.safetensors"), foreign).unwrap();
    let before = names(folder.path());
    let cases = [
        ("--layers 7x7", "expected 1x1, 4x4, 8x8, 16x16, all, 0 to 8, or first:1 to first:9"),
        ("--layers 9", "found `9`"),
        ("--layers first:0", "first:1 to first:9"),
        (
            "--statistic median",
            "expected mean, z, prior-mean, log-std, prior-log-std, state, activation",
        ),
        ("--pool max", "expected none, mean, grid:K"),
        ("--batch-size 0", "0 is not in 1.."),
        ("--shard 5/4", "expected I/N with I from 0 to N-1"),
        ("--split dev", "expected one of train, valid, test, all, found `dev`"),
        ("--data nothing", "toy-faces[:PEOPLE], celeba[:PATH]"),
        ("--data cifar10", "--data-root"),
        ("--out f.txt", ".npz, .npy, .safetensors or .parquet"),
        ("--out .", "ends in"),
        ("--on-bad-image ignore", "fail, skip"),
        ("--threads 99999999", "0..=1024"),
        ("--device tpu", "expected cpu, cuda or cuda:N"),
        ("--precision f16", "expected one of f32, tf32, bf16"),
        (
            "--device cpu --precision tf32",
            "--precision: expected f32 or bf16 on the CPU, found tf32",
        ),
        (
            "--device cpu --precision bf16 --exact",
            "--exact: expected precision f32 on the CPU, found bf16",
        ),
        ("--preset huge", "tiny, toy-faces"),
        ("--layers", "a value is required"),
        ("--laiers 3", "similar argument exists: '--layers'"),
    ];
    for (flags, expected) in cases {
        let base = match flags.split_whitespace().next().unwrap() {
            "--data" => "extract --checkpoint model.safetensors --out f.npz",
            "--out" => "extract --checkpoint model.safetensors --data npy:im.npy",
            _ => "extract --checkpoint model.safetensors --data npy:im.npy --out f.npz",
        };
        let line = vdvae(folder.path(), &format!("{base} {flags}")).error(2);
        assert!(line.contains(expected), "{flags}: {line}");
    }
    let cases = [
        (
            "info foreign.safetensors",
            "closest is tiny, with 1 extra, a: expected nothing, found (1)",
        ),
        ("info foreign.safetensors", "316 missing, first decoder.bias: expected (1, 24, 1, 1)"),
        ("info foreign.safetensors", "--preset NAME or --config FILE"),
        ("convert model.th x.th --config config.json", "ends in .safetensors"),
        ("sample --temperature nan", "expected 0 or more"),
        ("eval --posterior mode", "expected sample or mean"),
        (
            "reconstruct --checkpoint model.safetensors --images a.png --partition f",
            "--partition: expected --data, found --images",
        ),
        ("train --preset cifer10 --out t", "cifar10"),
        ("train --steps 0 --out t", "steps"),
        ("train --data nothing --out t", "toy-faces"),
        ("train --preset tiny --out .", "--resume"),
        ("train --preset tiny --out t --device cpu --precision tf32", "found tf32"),
        (
            "train --preset tiny --out t --device cpu --precision bf16 --exact",
            "--exact: expected precision f32",
        ),
    ];
    for (args, expected) in cases {
        let line = vdvae(folder.path(), args).error(2);
        assert!(line.contains(expected), "{args}: {line}");
    }
    assert_eq!(names(folder.path()), before);
}

#[test]
fn bad_usage_of_the_probe() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("flat")).unwrap();
    for index in 0..12 {
        let picture = image::RgbImage::from_pixel(4, 4, image::Rgb([index, 0, 0]));
        picture.save(folder.path().join(format!("flat/{index}.png"))).unwrap();
    }
    let cases = [
        ("--layer 7x7", "expected 1x1, 4x4"),
        (
            "--task faces",
            "cifar10, cifar100-fine, cifar100-coarse, mnist, fashion-mnist, kmnist, emnist-",
        ),
        ("--task folder:flat", "a folder of its name"),
        ("--task celeba-attrs", "--data-root"),
        ("--controls noise", "pixels, pca, hog, random-init, shuffled-labels, none, found `noise`"),
        ("--probe svm", "logistic, ridge, knn, centroid, found `svm`"),
        ("--match-columns 0", "1 to 65536"),
        ("--match-columns 16,tsne", "`,pca` or `,projection` after it, found `16,tsne`"),
        ("--train-fraction 0", "above 0 and up to 1, found 0"),
        ("--train-fraction 0.5,1.5", "found 1.5"),
        ("--label-seeds 0", "1..=1000"),
        ("--save-probe f", "expected one --layer"),
        ("--layer all --probe knn --save-probe f", "--probe logistic or ridge"),
        ("--layer all --train-fraction 0.5 --save-probe f", "without --match-columns"),
        ("predict --probe none", "IMAGE"),
        ("--strengths 0", "positive"),
        ("--replicates 0", "1..=1000000"),
        ("--solver newton", "batched, linfa"),
        ("--label-seeds 5", "expected a --train-fraction below 1 with it"),
        ("--within Nobody", "Smiling"),
        ("--task toy-faces-5way-1shot --within Smiling", "expected a task that predicts labels"),
        ("--pca-columns 16", "expected --controls pca with it"),
        ("--controls pixels --random-seeds 3", "expected --controls random-init with it"),
        ("--random-seeds 0", "1..=100"),
        ("--probe knn --solver linfa", "expected --probe logistic with it"),
        ("--probe knn,centroid --strengths 1,10", "expected --probe logistic or ridge with it"),
        ("--partition f", "expected celeba, which has one, found toy-faces"),
        ("--layout nchw", "expected npy:FILE or npz:FILE, an array, found toy-faces"),
        ("--data-root flat", "expected a data set that is looked for, found toy-faces"),
        ("--task folder:flat --data-root flat", "found folder:flat beside flat"),
        ("--task folder:flat --targets a", "which have columns to choose from, found folder:flat"),
        ("--preset tiny", "--checkpoint"),
    ];
    for (flags, expected) in cases {
        let line = probe(folder.path(), flags).error(2);
        assert!(line.contains(expected), "{flags}: {line}");
    }
    assert_eq!(names(folder.path()), ["flat"]);
}

#[test]
fn outputs_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    add_tiny_model(folder.path());
    let before = names(folder.path());
    // A file in place of the folder: not even a superuser can write below it.
    let cases = [
        "extract --checkpoint model.safetensors --out model.th/x.npz",
        "convert model.th model.th/x.safetensors --config config.json",
        "sample --checkpoint model.safetensors --out model.th/x.png",
        "train --preset tiny --steps 1 --out model.th/x",
    ];
    for args in cases {
        let line = vdvae(folder.path(), args).error(1);
        assert!(line.contains("model.th/x"), "{args}: {line}");
    }
    assert!(probe(folder.path(), "--out model.th/x").error(1).contains("model.th/x"));
    assert_eq!(names(folder.path()), before);
}

#[test]
fn damaged_and_foreign_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    add_tiny_model(folder.path());
    let file = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    let info = |args: &str| vdvae(folder.path(), &format!("info {args}")).error(1);
    for name in ["model.th", "model-legacy.th", "model.safetensors"] {
        let whole = fs::read(folder.path().join(name)).unwrap();
        for length in [0, 7, 100, whole.len() / 2, whole.len() - 1] {
            file("cut", &whole[..length]);
            assert!(info("cut --config config.json").contains("cut: "));
        }
        if name == "model-legacy.th" {
            continue; // it has no checksum that could show a flipped bit
        }
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 4;
        file("flipped", &flipped);
        assert!(info("flipped --config config.json").contains("flipped: "));
    }
    file("text", b"not a checkpoint at all");
    assert!(info("text").contains("expected a safetensors file or a PyTorch checkpoint"));
    assert!(info(".").contains("found a folder"));
    let line = info("model.th --preset cifar10");
    assert!(line.contains("model.th do not fit the configuration: wrong shape"), "{line}");
    let line = info("model.safetensors --preset cifar10");
    assert!(line.contains("image_size: expected 32 as given, found 16"), "{line}");
    let config = fs::read_to_string(folder.path().join("config.json")).unwrap();
    file("wide.json", config.replace("\"width\": 24", "\"width\": 0").as_bytes());
    let line = info("model.th --config wide.json");
    assert!(line.contains("wide.json: config: width: expected 1 to"), "{line}");
}

#[test]
fn arrays_that_are_no_pictures() {
    let folder = tempfile::tempdir().unwrap();
    add_tiny_model(folder.path());
    let cases = [
        (npy("<c8", &[1, 16, 16, 3], &[0; 6144]), "expected whole numbers or floats"),
        (npy("<f4", &[1, 16, 16, 3], &[0xff; 3072]), "found NaN in picture 0"),
        (npy("|u1", &[2, 768], &[0; 1536]), "expected a shape (N, H, W, C)"),
        (npy("|u1", &[2, 16, 16, 3], &[0; 1535]), "expected 1536 bytes of [2, 16, 16, 3]"),
        (npy("|u1", &[0, 16, 16, 3], &[]), "empty"),
        (b"PK\x03\x04".to_vec(), "expected a .npy header"),
    ];
    for (bytes, expected) in cases {
        fs::write(folder.path().join("a.npy"), bytes).unwrap();
        let args = "eval --checkpoint model.safetensors --data npy:a.npy";
        let line = vdvae(folder.path(), args).error(1);
        assert!(line.contains("a.npy") && line.contains(expected), "{line}");
    }
    fs::write(folder.path().join("a.npy"), npy("|u1", &[1, 3, 16, 3], &[0; 144])).unwrap();
    let args = "eval --checkpoint model.safetensors --data npy:a.npy";
    assert!(vdvae(folder.path(), args).error(2).contains("--layout nhwc or nchw"));
    let said = vdvae(folder.path(), &format!("{args} --layout nchw"));
    assert!(said.stderr.contains("a.npy: pictures are read as N×3×16×3"), "{}", said.stderr);
    said.ok();
}

/// A build without CUDA says how to get one with it; the other that there is no GPU, which the
/// tests hide from it.
#[test]
fn a_gpu_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    add_tiny_model(folder.path());
    let before = names(folder.path());
    let commands = ["sample --checkpoint model.safetensors", "train --preset tiny --out t"];
    for (args, place) in [("--device cuda", "cuda:0"), ("--device cuda:3", "cuda:3")] {
        for command in commands {
            let ran = vdvae(folder.path(), &format!("{command} {args}"));
            let line = ran.error(if cfg!(feature = "cuda") { 1 } else { 2 });
            assert!(line.starts_with(&format!("error: --device {place}: ")), "{line}");
            if !cfg!(feature = "cuda") {
                assert!(line.contains("--features cuda,cudnn"), "{line}");
            }
        }
    }
    assert_eq!(names(folder.path()), before);
    // Without the flag the CPU takes its place.
    vdvae(folder.path(), "sample --checkpoint model.safetensors --num 1 --out s.png").ok();
}
