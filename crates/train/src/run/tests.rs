use std::fs;

use candle_core::Tensor;
use vdvae_datasets::ToyFaces;
use vdvae_model::{Noise, Preset, Vdvae, VdvaeConfig, Weights, write_safetensors};

use super::*;
use crate::Skip;
use crate::evaluate::evaluate;
use crate::loader::Loader;

fn config(steps: u64) -> TrainConfig {
    TrainConfig {
        steps,
        batch_size: 3,
        warmup_steps: 2,
        save_every: 2,
        eval_every: 3,
        eval_images: 4,
        sample_every: 4,
        log_every: 1,
        flip: true,
        shift: 1,
        skip: Skip::Adaptive(10.0),
        ..TrainConfig::preset(Preset::Tiny)
    }
}

fn train_in(
    out: &Path,
    config: &TrainConfig,
    resume: bool,
    observer: impl FnMut(&Event),
) -> Result<Summary> {
    train_from(None, out, config, resume, observer)
}

fn train_from(
    init: Option<&Checkpoint>,
    out: &Path,
    config: &TrainConfig,
    resume: bool,
    mut observer: impl FnMut(&Event),
) -> Result<Summary> {
    let network = Preset::Tiny.config();
    let run = Run {
        network: &network,
        config,
        dataset: &ToyFaces::new(0),
        preparation: Preparation::new(16),
        on_bad_image: OnBadImage::Fail,
        device: &Device::Cpu,
        out,
        resume,
        init,
    };
    train(&run, &mut observer)
}

fn lines(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The lines without what depends on the clock.
fn numbers(out: &Path) -> Vec<Value> {
    let mut lines = lines(out);
    for line in &mut lines {
        line.as_object_mut().unwrap().remove("images_per_second").unwrap();
    }
    lines
}

fn model(out: &Path) -> Vec<u8> {
    fs::read(out.join("model.safetensors")).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_run_writes_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new/run");
    let config = TrainConfig { keep_checkpoints: 2, ..config(6) };
    let mut events = vec![];
    let summary = train_in(&out, &config, false, |event| events.push(event.clone())).unwrap();
    assert_eq!((summary.steps, summary.updates, summary.resumed_from), (6, 6, 0));

    let lines = lines(&out);
    let steps: Vec<_> = lines.iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [1, 2, 3, 4, 5, 6]);
    assert_eq!(lines[5]["epoch"], 18.0 / 4000.0);
    assert_eq!(lines[0]["learning_rate"], 0.0);
    let evaluated: Vec<_> = lines.iter().map(|l| l["valid_nats_per_dim"].is_f64()).collect();
    assert_eq!(evaluated, [false, false, true, false, false, true]);

    assert_eq!(names(&out.join("checkpoints")), ["step-4.safetensors", "step-6.safetensors"]);
    assert_eq!(names(&out.join("samples")), ["step-4.png", "step-6.png"]);
    let grid = image::open(out.join("samples/step-4.png")).unwrap().to_rgb8();
    assert_eq!(grid.dimensions(), (34, 34), "2 × 2 pictures: at most two a picture of the batch");

    let trained = Vdvae::load(out.join("model.safetensors"), &Device::Cpu).unwrap();
    assert_eq!(*trained.config(), Preset::Tiny.config());
    assert_eq!(TrainConfig::read(out.join("config.json")).unwrap(), Some(config));
    assert!(matches!(events[0], Event::Started { step: 0, steps: 6, images: 4000, .. }));
    let told = events.iter().filter(|event| matches!(event, Event::Step(_))).count();
    assert_eq!(told, 6);
}

/// Weights as large as such steps make them have no finite likelihood.
#[test]
fn a_run_that_diverged_ends_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let config = TrainConfig {
        learning_rate: 1e9,
        skip: Skip::None,
        save_every: 1,
        keep_checkpoints: 500,
        eval_every: 0,
        sample_every: 0,
        batch_size: 1,
        ..config(500)
    };
    let error = train_in(folder.path(), &config, false, |_| {}).unwrap_err();
    let Error::Diverged { step, steps: 100 } = error else { panic!("{error}") };
    assert!(step < 400 && lines(folder.path()).len() as u64 == step, "{step}");
    assert_eq!(names(&folder.path().join("checkpoints")).len() as u64, step);
}

#[test]
fn a_resumed_run_is_the_uninterrupted_one() {
    let folder = tempfile::tempdir().unwrap();
    let (straight, stopped) = (folder.path().join("a"), folder.path().join("b"));
    train_in(&straight, &config(7), false, |_| {}).unwrap();

    // Killed in the middle of writing the line of step 6, after the checkpoint of step 4.
    train_in(&stopped, &config(5), false, |_| {}).unwrap();
    fs::remove_file(stopped.join("checkpoints/step-5.safetensors")).unwrap();
    let half = fs::read_to_string(stopped.join("metrics.jsonl")).unwrap() + "{\"step\":6,\"ep";
    fs::write(stopped.join("metrics.jsonl"), half).unwrap();
    let partial = stopped.join("checkpoints/.step-5.safetensors.1-0.partial");
    fs::write(&partial, "half").unwrap();
    let summary = train_in(&stopped, &config(7), true, |_| {}).unwrap();
    assert_eq!(summary.resumed_from, 4);
    assert!(!partial.exists());
    assert_eq!(model(&straight), model(&stopped));
    assert_eq!(numbers(&straight), numbers(&stopped));
    let checkpoint = |out: &Path| fs::read(out.join("checkpoints/step-7.safetensors")).unwrap();
    assert_eq!(checkpoint(&straight), checkpoint(&stopped));

    // Once more: nothing is left to do, and nothing changes.
    let summary = train_in(&stopped, &config(7), true, |_| {}).unwrap();
    assert_eq!((summary.resumed_from, summary.last), (7, None));
    assert_eq!(model(&straight), model(&stopped));
    assert_eq!(numbers(&straight), numbers(&stopped));
}

#[test]
fn a_run_starts_at_given_weights() {
    let folder = tempfile::tempdir().unwrap();
    let [first, on, fresh] = ["first", "on", "fresh"].map(|name| folder.path().join(name));
    train_in(&first, &config(4), false, |_| {}).unwrap();
    let init = Checkpoint::read(first.join("model.safetensors")).unwrap();
    let one = TrainConfig { eval_every: 1, ..config(1) };
    let summary = train_from(Some(&init), &on, &one, false, |_| {}).unwrap();
    let last = summary.last.unwrap();

    // The first step's loss is that of the checkpoint's network, on the same pictures and noise.
    let faces = ToyFaces::new(0);
    let network = Vdvae::load(first.join("model.safetensors"), &Device::Cpu).unwrap();
    let prep = Preparation::new(16);
    let pixels =
        Loader::new(&faces, prep, OnBadImage::Fail).batches(&one, 0).next().unwrap().unwrap();
    let pixels = Tensor::from_vec(pixels.data, (3, 16, 16, 3), &Device::Cpu).unwrap();
    let loss = network.loss(&pixels, Noise::Seeded { seed: 0, first: 0 }).unwrap().mean().unwrap();
    let loss = f64::from(loss.to_scalar::<f32>().unwrap());
    // Sums of float32 in another order.
    let same = |a: f64, b: f64| (a - b).abs() < 1e-5 * b;
    assert!(same(last.stats.nats_per_dim, loss), "{last:?}, {loss}");
    // The warm-up begins with a learning rate of 0: the average is still where it started.
    let valid = evaluate(&network, &faces, prep, OnBadImage::Fail, &one).unwrap();
    assert!(same(last.valid.unwrap().nats_per_dim(), valid.nats_per_dim()), "{valid:?}");
    let other = train_in(&fresh, &one, false, |_| {}).unwrap().last.unwrap();
    assert!(
        !same(other.stats.nats_per_dim, loss) && !same(other.valid.unwrap().nats_per_dim(), loss)
    );

    let written = fs::read_to_string(on.join("config.json")).unwrap();
    let written: Value = serde_json::from_str(&written).unwrap();
    let name = json!({"name": "model.safetensors", "sha256": init.sha256});
    assert_eq!(written["train"]["init"], name);
    assert_eq!(TrainConfig::read(on.join("config.json")).unwrap(), Some(one));
}

#[test]
fn a_run_that_started_at_given_weights_is_resumed_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let [first, straight, stopped] = ["a", "b", "c"].map(|name| folder.path().join(name));
    train_in(&first, &config(2), false, |_| {}).unwrap();
    let init = &Checkpoint::read(first.join("model.safetensors")).unwrap();
    train_from(Some(init), &straight, &config(4), false, |_| {}).unwrap();
    train_from(Some(init), &stopped, &config(3), true, |_| {}).unwrap();
    let refused = |init, out| {
        let error = train_from(init, out, &config(4), true, |_| {}).unwrap_err();
        assert!(error.is_usage(), "{error}");
        error.to_string()
    };
    let text = refused(None, &stopped);
    let expected = format!("init: expected \"{}\" as the run was started, found null", init.sha256);
    assert!(text.ends_with(&expected), "{text}");
    let text = refused(Some(init), &first);
    assert!(text.contains("init: expected null as the run was started"), "{text}");
    let other = Checkpoint::read(straight.join("model.safetensors")).unwrap();
    assert!(refused(Some(&other), &stopped).contains(&other.sha256));

    let summary = train_from(Some(init), &stopped, &config(4), true, |_| {}).unwrap();
    assert_eq!(summary.resumed_from, 3);
    assert_eq!(model(&straight), model(&stopped));
    assert_eq!(numbers(&straight), numbers(&stopped));
}

#[test]
fn weights_of_another_network_are_no_start() {
    let folder = tempfile::tempdir().unwrap();
    let other = VdvaeConfig { zdim: 5, ..Preset::Tiny.config() };
    let path = folder.path().join("other.safetensors");
    write_safetensors(&path, &Weights::initialise(&other, 0), &other, &Default::default()).unwrap();
    let init = Checkpoint::read(&path).unwrap();
    let out = folder.path().join("run");
    let error = train_from(Some(&init), &out, &config(1), false, |_| {}).unwrap_err().to_string();
    assert!(error.contains("other.safetensors do not fit") && !error.contains('\n'), "{error}");
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_used() {
    let folder = tempfile::tempdir().unwrap();
    let (straight, damaged) = (folder.path().join("a"), folder.path().join("b"));
    train_in(&straight, &config(6), false, |_| {}).unwrap();
    train_in(&damaged, &config(5), false, |_| {}).unwrap();
    // Cut short, and one bit wrong.
    let path = |step| damaged.join(format!("checkpoints/step-{step}.safetensors"));
    let bytes = fs::read(path(5)).unwrap();
    fs::write(path(5), &bytes[..bytes.len() / 2]).unwrap();
    let mut bytes = fs::read(path(4)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path(4), bytes).unwrap();
    let mut warnings = vec![];
    let summary =
        train_in(&damaged, &config(6), true, |event| warnings.extend(event.warning())).unwrap();
    assert_eq!(summary.resumed_from, 2);
    assert_eq!(warnings.len(), 2);
    assert!(warnings[0].contains("step-5.safetensors"), "{warnings:?}");
    assert!(warnings[1].contains("step-4.safetensors"), "{warnings:?}");
    assert!(warnings[1].contains("hash"), "{warnings:?}");
    assert_eq!(model(&straight), model(&damaged));
    assert_eq!(numbers(&straight), numbers(&damaged));
}

#[test]
fn resuming_starts_fresh_where_there_is_nothing_and_refuses_another_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    fs::write(out.join("metrics.jsonl"), "{\"step\":1}\n").unwrap();
    let summary = train_in(out, &config(2), true, |_| {}).unwrap();
    assert_eq!((summary.resumed_from, lines(out).len()), (0, 2));

    let other = TrainConfig { learning_rate: 0.5, ..config(4) };
    let error = train_in(out, &other, true, |_| {}).unwrap_err();
    let text = error.to_string();
    assert!(error.is_usage() && text.contains("step-2.safetensors: learning_rate"), "{text}");
    assert!(text.contains("expected 0.001") && text.contains("found 0.5"), "{text}");
    let other = TrainConfig { shift: 0, ..config(4) };
    let text = train_in(out, &other, true, |_| {}).unwrap_err().to_string();
    assert!(text.ends_with("shift: expected 1 as the run was started, found 0"), "{text}");
    // How often it saves is not part of what a run is.
    let other = TrainConfig { save_every: 1, eval_every: 0, ..config(3) };
    assert_eq!(train_in(out, &other, true, |_| {}).unwrap().resumed_from, 2);
    let error = train_in(out, &config(1), true, |_| {}).unwrap_err().to_string();
    assert_eq!(error, "train: steps: expected at least 3, the steps made already, found 1");
}

#[test]
fn a_cosine_does_not_change_its_length_on_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let cosine = |steps| TrainConfig { schedule: crate::Schedule::Cosine, ..config(steps) };
    train_in(folder.path(), &cosine(2), false, |_| {}).unwrap();
    let error = train_in(folder.path(), &cosine(3), true, |_| {}).unwrap_err().to_string();
    assert!(error.contains("steps: expected 2 as the run was started, found 3"), "{error}");
}

#[test]
fn an_output_folder_that_cannot_be_used_is_found_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = |event: &Event| panic!("no work may start: {event:?}");
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let error = train_in(folder.path(), &config(1), false, nothing).unwrap_err();
    assert!(error.is_usage() && matches!(error, Error::OutNotEmpty { .. }), "{error}");
    assert!(error.to_string().contains("notes.txt"), "{error}");
    assert_eq!(names(folder.path()), ["notes.txt"]);

    let error = train_in(&folder.path().join("notes.txt/run"), &config(1), false, nothing);
    let text = error.unwrap_err().to_string();
    assert!(text.contains("notes.txt") && !text.contains('\n'), "{text}");
}

#[test]
fn a_run_that_never_updates_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let config = TrainConfig {
        skip: Skip::Fixed(1e-9),
        batch_size: 1,
        eval_every: 0,
        sample_every: 0,
        save_every: 0,
        ..config(101)
    };
    let mut warnings = vec![];
    let summary = train_in(folder.path(), &config, false, |event| warnings.extend(event.warning()));
    assert_eq!(summary.unwrap().updates, 0);
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].contains("100 of the last 100") && warnings[0].contains("the adaptive rule")
    );
}

#[test]
fn weights_do_not_say_where_their_pictures_lay() {
    for (name, kept) in [
        ("folder:/home/ada/photos/", "folder:photos"),
        ("csv:../tables/a.csv", "csv:a.csv"),
        ("folder:.", "folder"),
        ("hf:owner/repo", "hf:owner/repo"),
        ("celeba", "celeba"),
    ] {
        assert_eq!(without_folders(name), kept);
    }
}
