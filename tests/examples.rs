//! Runs every example and looks at what it prints. `cargo test` builds them first, with the rest of
//! the package.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The examples with a test below.
const TESTED: [&str; 14] = [
    "autoregressive_baseline",
    "autoregressive_limit",
    "brain_decoding",
    "extract_latents",
    "few_shot_omniglot",
    "few_shot_tiny_imagenet",
    "few_shot_toy_faces",
    "information_per_layer",
    "layer_sweep",
    "linear_probe",
    "skipped_updates",
    "train_small",
    "transfer_table",
    "unpooling",
];

/// This test lies in `deps/`, the examples beside that in `examples/`.
fn binary(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let profile = this.parent().and_then(Path::parent).unwrap();
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let path = profile.join("examples").join(file);
    assert!(path.exists(), "{name} is not built: `cargo test` does, or `cargo build --examples`");
    path
}

fn run(name: &str, args: &[&Path]) -> Output {
    Command::new(binary(name)).args(args).output().unwrap()
}

/// Lines on stdout of an example that must succeed.
fn lines(name: &str, args: &[&Path]) -> Vec<String> {
    let output = run(name, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}, {errors}", output.status);
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// The word at `index` of a line, as a number.
fn number(line: &str, index: usize) -> f64 {
    let word = line.split_whitespace().nth(index).unwrap_or_default();
    word.parse().unwrap_or_else(|_| panic!("`{word}` is no number, in `{line}`"))
}

#[test]
fn every_example_has_a_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let found: BTreeSet<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        // A folder is what several examples share.
        .filter(|path| path.is_file())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(found, TESTED.map(str::to_owned).into());
}

#[test]
fn autoregressive_baseline_compares_two_models_and_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let args = "--sizes small --minutes 1e-6 --eval-every 1 --batch-size 2 --num 2 --draw 1 --out";
    let args: Vec<&Path> = args.split(' ').map(Path::new).chain([folder.path()]).collect();
    let table = lines("autoregressive_baseline", &args);
    assert!(table[0].contains("2 test pictures"), "{table:#?}");
    let [ours, theirs] = [&table[4], &table[5]].map(|row| {
        let cells: Vec<String> = row.split('|').map(|cell| cell.trim().to_owned()).collect();
        // One step, of hardly trained weights: bytes at random cost 8 bits.
        assert_eq!(cells[4], "1", "{row}");
        let bits: f64 =
            cells[5].trim_start_matches("≤ ").split(' ').next().unwrap().parse().unwrap();
        assert!((2.0..12.0).contains(&bits), "{row}");
        assert!(cells[6].parse::<f64>().unwrap() > 0.0, "{row}");
        cells
    });
    assert_eq!((&*ours[1], &*theirs[1]), ("VDVAE", "PixelCNN++"));
    assert!(ours[8].is_empty() && theirs[8].parse::<f64>().unwrap() > 0.0, "{theirs:?}");
    let json = std::fs::read_to_string(folder.path().join("results.json")).unwrap();
    assert_eq!(json.matches("\"curve\"").count(), 2, "{json}");
    for name in ["vdvae.png", "pixelcnn.png"] {
        assert_eq!(image::open(folder.path().join(name)).unwrap().width(), 64);
    }
    // The same weights again, without another step.
    let again = lines("autoregressive_baseline", &args);
    for (before, after) in table[4..].iter().zip(&again[4..]) {
        let trained = |row: &str| row.split('|').take(6).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(trained(before), trained(after));
    }
    let other = [&args[..], &["--vdvae-learning-rate", "1e-3"].map(Path::new)].concat();
    other_values_are_refused("autoregressive_baseline", &other, "learning_rate");
}

/// What was trained with other values is not given for what was asked for.
fn other_values_are_refused(name: &str, args: &[&Path], field: &str) {
    let output = run(name, args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    let last = error.lines().last().unwrap_or_default();
    assert!(last.contains(&format!("{field}: expected")), "{error}");
}

#[test]
fn skipped_updates_has_a_line_a_rule_and_keeps_its_runs() {
    let folder = tempfile::tempdir().unwrap();
    let args =
        "--steps 3 --seeds 2 --learning-rates 1e-3 --threshold 1e-6 --num 2 --batch-size 2 --out";
    let args: Vec<&Path> = args.split(' ').map(Path::new).chain([folder.path()]).collect();
    let table = lines("skipped_updates", &args);
    let rows: Vec<Vec<&str>> =
        table[4..].iter().map(|row| row.split('|').map(str::trim).collect()).collect();
    let names: Vec<&str> = rows.iter().map(|row| row[2]).collect();
    assert_eq!(names, ["every update", "clipped", "fixed", "adaptive", "clipped-fixed"]);
    // Every norm is above the fixed threshold, and too few are known for a median.
    let left_out: Vec<&str> = rows.iter().map(|row| row[5]).collect();
    assert_eq!(left_out, ["0.0", "0.0", "100.0", "0.0", "100.0"]);
    assert!(rows.iter().all(|row| row[3].ends_with("of 2")), "{table:#?}");
    assert_eq!(lines("skipped_updates", &args), table);
    let other = [&args[..], &["--grad-clip", "7"].map(Path::new)].concat();
    other_values_are_refused("skipped_updates", &other, "grad_clip");
    assert!(folder.path().join("figure.svg").is_file());
}

#[test]
fn unpooling_has_a_line_a_way_and_keeps_its_runs() {
    let folder = tempfile::tempdir().unwrap();
    let args = "--steps 10 --seeds 2 --kl-warmup-steps 5 --num 2 --batch-size 2 --out";
    let args: Vec<&Path> = args.split(' ').map(Path::new).chain([folder.path()]).collect();
    let table = lines("unpooling", &args);
    let rows: Vec<Vec<&str>> =
        table[4..].iter().map(|row| row.split('|').map(str::trim).collect()).collect();
    let names: Vec<&str> = rows.iter().map(|row| row[1]).collect();
    assert_eq!(names, ["nearest", "nearest, warm-up", "learned", "learned, warm-up"]);
    let bits: Vec<f64> = rows.iter().map(|row| number(row[2], 0)).collect();
    assert!(bits.iter().all(|bits| (3.0..12.0).contains(bits)), "{table:#?}");
    // Four ways, four networks.
    let json = std::fs::read_to_string(folder.path().join("results.json")).unwrap();
    let results: serde_json::Value = serde_json::from_str(&json).unwrap();
    let curves = results["ways"].as_array().unwrap().iter().map(|way| way["curves"].to_string());
    assert_eq!(curves.collect::<BTreeSet<_>>().len(), 4);
    assert!(rows.iter().all(|row| row[7].ends_with("of 9")), "{table:#?}");
    assert_eq!(lines("unpooling", &args), table);
    assert!(folder.path().join("figure.svg").is_file());
}

#[test]
fn extract_latents_prints_every_layer() {
    let lines = lines("extract_latents", &[]);
    let layers = builtin_layers();
    assert_eq!(lines.len(), layers.len() + 2, "{lines:#?}");
    for (line, (index, resolution, channels)) in lines[1..].iter().zip(&layers) {
        let shape = format!("[1, {resolution}, {resolution}, {channels}]");
        assert_eq!(number(line, 0), *index as f64);
        assert!(line.contains(&shape), "{line}");
        assert!(number(line, 5) >= 0.0, "{line}");
    }
    let total: f64 = lines[1..=layers.len()].iter().map(|line| number(line, 5)).sum();
    let printed = number(&lines[layers.len() + 1], 3);
    // Each of the lines was rounded to a thousandth.
    assert!((total - printed).abs() < 0.02 && total > 1.0, "{total} and {printed}");
}

#[test]
fn extract_latents_reads_pictures_and_names_a_bad_one() {
    let folder = tempfile::tempdir().unwrap();
    let [good, bad] = ["good.png", "bad.png"].map(|name| folder.path().join(name));
    image::RgbImage::from_pixel(40, 30, image::Rgb([200, 90, 10])).save(&good).unwrap();
    std::fs::write(&bad, b"not a picture").unwrap();
    assert!(lines("extract_latents", &[&good, &good])[1].contains("[2, 1, 1, "));
    let output = run("extract_latents", &[&good, &bad]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("bad.png"));
}

#[test]
fn linear_probe_beats_chance() {
    let lines = lines("linear_probe", &[]);
    let attributes: Vec<_> = vdvae::datasets::Attribute::ALL
        .into_iter()
        .filter(|attribute| !attribute.is_of_person())
        .collect();
    assert_eq!(lines.len(), attributes.len() + 2, "{lines:#?}");
    for (line, attribute) in lines[1..].iter().zip(&attributes) {
        assert!(line.starts_with(attribute.name()), "{line}");
        assert!((0.0..=1.0).contains(&number(line, 1)), "{line}");
    }
    // The brightness of the background is there whatever the network has learned.
    let brightness = lines.iter().find(|line| line.starts_with("Bright_Background")).unwrap();
    assert!(number(brightness, 1) > 0.9, "{brightness}");
    let mean = lines.last().unwrap();
    assert!(mean.contains("200 test pictures"), "{mean}");
    let value: f64 = mean.split([' ', ',']).nth(2).unwrap().parse().unwrap();
    assert!(value > 0.6, "{mean}");
}

/// Lines of the table that a few-shot example prints: source, layers, and accuracy.
fn accuracies(lines: &[String]) -> Vec<(String, f64)> {
    assert!(lines.iter().any(|line| line.contains("40 episodes of 5 classes")), "{lines:#?}");
    let first = lines.iter().position(|line| line.starts_with("source")).unwrap();
    let [layers, columns] = ["layers", "columns"].map(|name| lines[first].find(name).unwrap());
    let parse = |line: &String| {
        let name = format!("{} {}", line[..layers].trim(), line[layers..columns].trim());
        // Pixels have no layers. Columns and the classifier stand before the accuracy.
        (name.trim_end_matches(" -").to_owned(), number(&line[columns..], 2))
    };
    lines[first + 1..].iter().take_while(|line| !line.is_empty()).map(parse).collect()
}

/// Pixels come last; every resolution and all layers of both networks before.
fn check_lines(found: &[(String, f64)]) {
    let mut resolutions: Vec<usize> = builtin_layers().iter().map(|layer| layer.1).collect();
    resolutions.dedup();
    assert_eq!(found.len(), 2 * (resolutions.len() + 1) + 1, "{found:?}");
    assert_eq!(found[0].0, "latents 1x1");
    assert_eq!(found[found.len() - 1].0, "pixels");
}

#[test]
fn few_shot_toy_faces_tells_people_apart() {
    let found = accuracies(&lines("few_shot_toy_faces", &[Path::new("--episodes=40")]));
    check_lines(&found);
    let all = found.iter().find(|(name, _)| name == "latents all").unwrap();
    // Chance is 0.2; one picture of a person says little about others, taken elsewhere: 0.3 is what
    // 600 episodes give, and the accuracy of 40 is known to about 0.02.
    assert!(all.1 > 0.23, "{found:?}");
}

/// A drawing of one of several shapes that a classifier cannot miss, moved a little, in its own grey
/// from the fourth copy on.
fn drawing(class: u32, copy: u32) -> image::RgbImage {
    image::RgbImage::from_fn(32, 32, |x, y| {
        let (x, y) = (x + copy % 2, y + copy / 2 % 2);
        let inside = (x / 8 + y / 8 * 4) % 16 == class % 16 || (class > 15 && x / 4 == class % 8);
        image::Rgb([if inside { copy / 4 } else { 255 } as u8; 3])
    })
}

#[test]
fn few_shot_omniglot_reads_the_published_layout() {
    let directory = tempfile::tempdir().unwrap();
    for (part, alphabets) in [("images_background", 0..7), ("images_evaluation", 7..9)] {
        for alphabet in alphabets {
            for character in 1..=4 {
                let class = (4 * (alphabet - 7i32).max(0) + character) as u32;
                let folder = format!("{part}/Alphabet_{alphabet}/character{character:02}");
                let folder = directory.path().join(folder);
                std::fs::create_dir_all(&folder).unwrap();
                for copy in 1..=4 {
                    let file = format!("{class:04}_{copy:02}.png");
                    drawing(class, copy + 4 * alphabet as u32).save(folder.join(file)).unwrap();
                }
            }
        }
    }
    let root = format!("--data-root={}", directory.path().display());
    let args = [&root, "--episodes=40", "--queries=3"].map(Path::new);
    let found = accuracies(&lines("few_shot_omniglot", &args));
    check_lines(&found);
    assert!(found[found.len() - 1].1 > 0.6, "pixels tell the shapes apart: {found:?}");
    let missing = run("few_shot_omniglot", &[]);
    assert!(!missing.status.success());
    assert!(String::from_utf8_lossy(&missing.stderr).contains("--data-root"), "{missing:?}");
}

#[test]
fn few_shot_tiny_imagenet_reads_the_published_layout() {
    let directory = tempfile::tempdir().unwrap();
    // 25 classes: five for episodes, two or three for centring.
    let ids: Vec<String> = (0..25).map(|class| format!("n{class:08}")).collect();
    for (class, id) in ids.iter().enumerate() {
        let folder = directory.path().join(format!("tiny-imagenet-200/train/{id}/images"));
        std::fs::create_dir_all(&folder).unwrap();
        for copy in 0..4 {
            let file = folder.join(format!("{id}_{copy}.JPEG"));
            drawing(class as u32, copy).save_with_format(file, image::ImageFormat::Jpeg).unwrap();
        }
    }
    let list = directory.path().join("tiny-imagenet-200/wnids.txt");
    std::fs::write(list, ids.join("\n")).unwrap();
    let root = format!("--data-root={}", directory.path().display());
    let args = [&root, "--episodes=40", "--queries=3"].map(Path::new);
    let found = accuracies(&lines("few_shot_tiny_imagenet", &args));
    check_lines(&found);
    assert!(found[found.len() - 1].1 > 0.6, "pixels tell the shapes apart: {found:?}");
}

#[test]
fn layer_sweep_prints_a_curve() {
    let lines = lines("layer_sweep", &[]);
    let layers = builtin_layers();
    assert_eq!(lines.len(), layers.len() + 1, "{lines:#?}");
    let mut best: f64 = 0.0;
    for (line, (index, resolution, channels)) in lines[1..].iter().zip(&layers) {
        assert_eq!(number(line, 0), *index as f64);
        assert!(line.contains(&format!("{resolution}x{resolution}")), "{line}");
        let cells = (*resolution).min(4).pow(2);
        assert_eq!(number(line, 2), (cells * channels) as f64, "{line}");
        best = best.max(number(line, 3));
    }
    assert!((0.6..=1.0).contains(&best), "{best}");
}

#[test]
fn train_small_learns_and_writes_samples() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new");
    let lines = lines("train_small", &[&out]);
    let loss = |line: &String| number(line.split(": ").nth(1).unwrap(), 0);
    let losses: Vec<f64> =
        lines.iter().filter(|line| line.ends_with("bits/dim")).map(loss).collect();
    assert_eq!(losses.len(), 7, "{lines:#?}");
    assert!(losses[6] < losses[0] - 0.7, "{losses:?}");
    let samples = image::open(out.join("samples.png")).unwrap();
    assert_eq!((samples.width(), samples.height()), (64, 64));
}

/// What an experiment on a claim writes: its table, which it prints too, and every number.
fn claim(name: &str, flags: &[&str]) -> (String, serde_json::Value) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new/claim");
    let flags = flags.iter().map(Path::new).chain([Path::new("--out"), &out]);
    let output = run(name, &flags.collect::<Vec<_>>());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |file: &str| std::fs::read_to_string(out.join(file)).unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), read("table.md"));
    assert!(read("figure.svg").starts_with("<svg"));
    (read("table.md"), serde_json::from_str(&read("results.json")).unwrap())
}

#[test]
fn autoregressive_limit_is_reached() {
    let (table, results) = claim("autoregressive_limit", &["--models", "2"]);
    assert_eq!(table.matches("8 layers, 2 models").count(), 2, "{table}");
    // (at, mean over models, largest) of a part.
    let gaps = |part: &str| -> Vec<[f64; 3]> {
        let of = |gap: &serde_json::Value| {
            let mean: Vec<f64> = serde_json::from_value(gap["mean"].clone()).unwrap();
            assert_eq!(mean.len(), 2);
            let mean = mean.iter().sum::<f64>() / 2.0;
            [gap["at"].as_f64().unwrap(), mean, gap["largest"].as_f64().unwrap()]
        };
        results[part].as_array().unwrap().iter().map(of).collect()
    };
    let (bits, gaussians) = (gaps("bits"), gaps("gaussians"));
    for part in [&bits, &gaussians] {
        assert!(part.windows(2).all(|pair| pair[0][1] > pair[1][1]), "{part:?}");
    }
    let [exact, nearly] = [bits[bits.len() - 1], bits[bits.len() - 2]];
    assert_eq!(exact[0], 0.0);
    assert!(exact[2] < 1e-12 && nearly[1] > 1e-5, "{bits:?}");
    // As the square of the width.
    let at = |width| gaussians.iter().find(|gap| gap[0] == width).unwrap()[1];
    assert!((at(1e-3) / at(1e-4) - 100.0).abs() < 0.1, "{gaussians:?}");
    assert!(at(1e-4) > 0.0 && at(1e-4) < 1e-6);
    // A bin of 2/255 around the mean of a logistic of scale e^-7; the outermost are open.
    let half = (7f64).exp() / 255.0;
    let (inner, outer) = ((half / 2.0).tanh(), 1.0 / (1.0 + (-half).exp()));
    let expected = -(254.0 * inner.log2() + 2.0 * outer.log2()) / 256.0;
    let copying = results["copying"][0]["bits_per_dim"].as_f64().unwrap();
    assert!((copying - expected).abs() < 1e-5, "{copying} {expected}");
    assert!(results["copying"][1]["bits_per_dim"].as_f64().unwrap() < 1e-6);
}

#[test]
fn information_per_layer_adds_up() {
    let (table, results) = claim("information_per_layer", &["--num", "5"]);
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    let layers = builtin_layers();
    let depths = results["depths"].as_array().unwrap();
    assert_eq!((depths.len(), number(&results["pictures"])), (layers.len() + 1, 5.0));
    for (depth, (index, resolution, _)) in depths[1..].iter().zip(&layers) {
        assert_eq!(depth["layers"], index + 1);
        assert_eq!(depth["resolution"], *resolution);
    }
    let nats: f64 = depths.iter().map(|depth| number(&depth["kl_nats"])).sum();
    let bits = nats / 3072.0 / std::f64::consts::LN_2;
    assert!((bits - number(&results["rate_bits_per_dim"])).abs() < 1e-5, "{bits}");
    assert!((number(&depths[layers.len()]["given_nats"]) - nats).abs() < 1e-9);
    // Every picture says more with all of its latents than without any.
    let ssim = |of: &serde_json::Value| number(&of["likeness"]["ssim"]["value"]);
    assert!(ssim(&depths[layers.len()]) > ssim(&depths[0]) + 0.3, "{table}");
    let reduced = results["reduced"].as_array().unwrap();
    assert!((ssim(reduced.last().unwrap()) - 1.0).abs() < 1e-9, "of all its pixels it is itself");
    assert!(reduced.windows(2).all(|pair| ssim(&pair[0]) < ssim(&pair[1])), "{table}");
    // A head, its rule, nothing, and each resolution.
    assert_eq!(table.lines().filter(|line| line.starts_with('|')).count(), 3 + reduced.len());
}

#[test]
fn brain_decoding_tells_pictures_apart() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--num=200,20", "--voxels=100", "--prefixes=2,6", "--out"].map(Path::new);
    let output = run("brain_decoding", &[&args[..], &[folder.path()]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results = std::fs::read_to_string(folder.path().join("results.json")).unwrap();
    let results: serde_json::Value = serde_json::from_str(&results).unwrap();
    let prefixes = results["prefixes"].as_array().unwrap();
    assert_eq!((prefixes.len(), &results["test"]), (2, &serde_json::Value::from(20)));
    for prefix in prefixes {
        let number = |what: &str| prefix[what]["value"].as_f64().unwrap();
        // Chance is 0.5, known to about 0.07 of 20 pictures.
        assert!(number("identification") > 0.7, "{prefix}");
        assert!(number("ssim_of_true_latents") > 0.0, "{prefix}");
    }
    // The picture, and one decoded from each prefix.
    let size = image::image_dimensions(folder.path().join("pictures.png")).unwrap();
    assert_eq!(size, (3 * (3 * 33 + 1), 3 * (8 * 33 + 1)));
    let table = std::fs::read_to_string(folder.path().join("table.md")).unwrap();
    assert_eq!(table.lines().filter(|line| line.starts_with("| ")).count(), 3, "{table}");
    let args = [Path::new("--num=5"), Path::new("--out"), folder.path()];
    let refused = run("brain_decoding", &args);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("TRAIN,TEST"), "{refused:?}");
}

/// (index, resolution, channels) of the built-in model's layers.
fn builtin_layers() -> Vec<(usize, usize, usize)> {
    let model = vdvae::Vdvae::builtin(&vdvae::Device::Cpu).unwrap();
    let layers = model.config().latent_layers();
    layers.iter().map(|layer| (layer.index, layer.resolution, layer.channels)).collect()
}

#[test]
fn transfer_table_scores_what_is_there_and_names_what_is_not() {
    let folder = tempfile::tempdir().unwrap();
    // Two kinds of pictures that every resolution tells apart.
    for (split, count) in [("train", 12), ("valid", 6), ("test", 6)] {
        for class in 0..2 {
            let classes = folder.path().join(format!("shapes/{split}/{class}"));
            std::fs::create_dir_all(&classes).unwrap();
            for copy in 0..count {
                let offset = ["train", "valid", "test"].iter().position(|s| *s == split).unwrap();
                let picture = drawing(5 * class, copy + 16 * offset as u32);
                picture.save(classes.join(format!("{copy}.png"))).unwrap();
            }
        }
    }
    let (out, cache) = (folder.path().join("out"), folder.path().join("cache"));
    let task = format!("--task=folder:{}", folder.path().join("shapes").display());
    let run = |flags: &[&str]| {
        let mut command = Command::new(binary("transfer_table"));
        command.args(flags).arg("--out").arg(&out).env("VDVAE_CACHE", &cache);
        command.env_remove("VDVAE_DATA").output().unwrap()
    };
    let output = run(&[&task, "--statistic=mean,state"]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = std::fs::read_to_string(out.join("transfer.md")).unwrap();
    assert!(stdout.ends_with(&table), "{stdout}");
    let lines: Vec<&str> = table.lines().collect();
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let head = cells(lines[0]);
    assert_eq!(lines.len(), 4, "{table}");
    assert_eq!(head[5..10].join(" "), "1×1 4×4 8×8 16×16 32×32");
    let all = head.iter().position(|cell| cell == "all").unwrap();
    for (line, read) in lines[2..].iter().map(|line| cells(line)).zip(["mean", "state"]) {
        assert_eq!((line.len(), &line[3][..]), (head.len(), read), "{table}");
        assert!(
            line[4].starts_with("logistic: accuracy") && line[all].starts_with("1.000 ["),
            "{table}"
        );
        assert!(line[line.len() - 2].contains(", "), "the difference has an interval: {table}");
    }
    let svg = std::fs::read_to_string(out.join("transfer.svg")).unwrap();
    assert_eq!(svg.matches("font-weight=\"600\"").count(), 2);
    for read in ["mean", "state"] {
        assert_eq!(std::fs::read_dir(out.join("built-in").join(read)).unwrap().count(), 1);
    }
    let missing = run(&["--task=celeba-attrs"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("celeba"), "{missing:?}");
}
