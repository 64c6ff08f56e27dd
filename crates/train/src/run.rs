//! A whole run: data in, a folder of results out.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Instant;

use candle_core::{Device, Tensor};
use serde_json::{Value, json};
use vdvae_datasets::{Dataset, OnBadImage, Preparation, Split};
use vdvae_model::VdvaeConfig;

use crate::checkpoint::{State, write_model, write_state};
use crate::evaluate::evaluate;
use crate::events::EventFile;
use crate::folder::Folder;
use crate::loader::{Loader, Pixels};
use crate::metrics::{Metrics, MetricsFile};
use crate::observer::Event;
use crate::samples::sample_grid;
use crate::skip::SkipWatch;
use crate::trainer::{Likelihood, StepStats, Trainer, check_device};
use crate::{Error, Result, TrainConfig};

/// What is trained on what, and where the results go.
pub struct Run<'a> {
    /// The network.
    pub network: &'a VdvaeConfig,
    /// How it is trained.
    pub config: &'a TrainConfig,
    /// The pictures: split train, and split valid where there is one.
    pub dataset: &'a dyn Dataset,
    /// How pictures are cut and resized; the size is always the network's.
    pub preparation: Preparation,
    /// What happens to pictures that cannot be read.
    pub on_bad_image: OnBadImage,
    /// Where the network is computed.
    pub device: &'a Device,
    /// The folder that everything is written into.
    pub out: &'a Path,
    /// Whether the newest complete checkpoint in `out` is continued, if there is one.
    pub resume: bool,
}

/// What came out of a run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// Steps made in all.
    pub steps: u64,
    /// Updates made in all: steps that were not skipped.
    pub updates: u64,
    /// The step that the run went on from; 0 for a fresh one.
    pub resumed_from: u64,
    /// The line of the last step, unless it had been made before.
    pub last: Option<Metrics>,
    /// The moving average of the weights: the file to share.
    pub model: PathBuf,
    /// SHA-256 of that file, in lower-case hexadecimal.
    pub sha256: String,
}

/// Trains a network and writes into [`Run::out`]:
/// - `config.json`: the network's configuration, and the training's under `train`
/// - `metrics.jsonl`: a line a step, see [`Metrics`]
/// - `checkpoints/step-N.safetensors`: everything to resume
/// - `model.safetensors`: the moving average of the weights, as of the newest checkpoint
/// - `samples/step-N.png`: pictures drawn from the prior by the moving average
/// - `events.out.tfevents.*`: the numbers of `metrics.jsonl` for TensorBoard
///
/// A resumed run gives the same numbers as one that was never stopped, with as many threads.
/// `observer` is told what happens.
///
/// # Errors
/// Before any work: those for which [`crate::Error::is_usage`] holds, an empty training split, and
/// a folder that cannot be written to. Later: files that cannot be written or pictures that cannot
/// be read.
pub fn train(run: &Run<'_>, observer: &mut dyn FnMut(&Event)) -> Result<Summary> {
    run.config.validate()?;
    run.network.validate()?;
    check_device(run.config, run.device)?;
    run.dataset.require(&[Split::Train])?;
    let size = run.network.image_size;
    let run = &Run { preparation: Preparation { size, ..run.preparation }, ..*run };
    let folder = Folder::create(run.out, run.resume)?;
    let mut metrics = MetricsFile::open(&folder.metrics())?;
    folder.remove_partial_files()?;
    let identity = identity(run);
    let trainer = match resume(run, &folder, &identity, observer)? {
        Some(trainer) => trainer,
        None => Trainer::new(run.network, run.config, run.device)?,
    };
    let (resumed_from, steps) = (trainer.steps(), run.config.steps);
    if resumed_from > steps {
        let expected = format!("at least {resumed_from}, the steps made already");
        return Err(Error::Config { field: "steps", expected, found: steps.to_string() });
    }
    folder.replace(&folder.config(), config_json(run).as_bytes())?;
    observer(&Event::Started {
        step: resumed_from,
        steps,
        images: run.dataset.len(Split::Train),
        parameters: run.network.num_parameters(),
    });
    metrics.cut(resumed_from)?;
    let events = EventFile::create(run.out, resumed_from)?;
    let (watch, queued) = (SkipWatch::default(), VecDeque::new());
    let mut session =
        Session { run, folder, identity, trainer, metrics, events, watch, queued, observer };
    let last = session.all_steps()?;
    let sha256 = session.save()?;
    Ok(Summary {
        steps: session.trainer.steps(),
        updates: session.trainer.updates(),
        resumed_from,
        last,
        model: session.folder.model(),
        sha256,
    })
}

/// The newest run in the folder that can be continued.
fn resume(
    run: &Run<'_>,
    folder: &Folder,
    identity: &Value,
    observer: &mut dyn FnMut(&Event),
) -> Result<Option<Trainer>> {
    for step in if run.resume { folder.checkpoints()? } else { vec![] } {
        match State::read(&folder.checkpoint(step)) {
            Ok(state) => {
                return state.restore(run.network, run.config, identity, run.device).map(Some);
            }
            Err(error) => observer(&Event::DamagedCheckpoint { reason: error.to_string() }),
        }
    }
    Ok(None)
}

/// What the weights of a run depend on, to be kept with them.
fn identity(run: &Run<'_>) -> Value {
    let mut identity = run.config.identity();
    identity["data"] = data_json(run);
    identity["network"] = json!(run.network);
    identity
}

fn data_json(run: &Run<'_>) -> Value {
    let Preparation { crop, resize, .. } = run.preparation;
    json!({
        "name": run.dataset.name(),
        "fingerprint": run.dataset.fingerprint(),
        "images": run.dataset.len(Split::Train),
        "crop": crop.to_string(),
        "resize": resize.to_string(),
    })
}

/// The network's configuration with a section for the training.
fn config_json(run: &Run<'_>) -> String {
    let mut config = json!(run.network);
    config["train"] = json!(run.config);
    config["train"]["data"] = data_json(run);
    let mut text = serde_json::to_string_pretty(&config).expect("plain numbers and strings");
    text.push('\n');
    text
}

/// A run that has started.
struct Session<'a, 'b> {
    run: &'a Run<'a>,
    folder: Folder,
    identity: Value,
    trainer: Trainer,
    metrics: MetricsFile,
    events: EventFile,
    watch: SkipWatch,
    /// Pictures of the steps that were not collected.
    queued: VecDeque<usize>,
    observer: &'b mut dyn FnMut(&Event),
}

/// Batches that are decoded before a GPU asks for them; a CPU is busy enough with one.
const AHEAD_OF_GPU: usize = 4;
/// Steps that a GPU is given at most before it is asked what they did.
const MOST_QUEUED: u64 = 50;

impl Session<'_, '_> {
    /// Makes the steps that are left; the last line where there was one.
    ///
    /// On a GPU the next batch is decoded and uploaded while the step before it is computed, and
    /// the host waits for the GPU only where something is due.
    fn all_steps(&mut self) -> Result<Option<Metrics>> {
        let run = self.run;
        thread::scope(|scope| {
            let loader = Loader::new(run.dataset, run.preparation, run.on_bad_image);
            let ahead = if run.device.is_cpu() { 1 } else { AHEAD_OF_GPU };
            let batches = loader.spawn(scope, run.config, self.trainer.steps(), ahead);
            let (mut next, mut last) = (None, None);
            let mut before = Instant::now();
            while let Some(images) = next.take().or_else(|| self.upload(&batches)) {
                let images = images?;
                self.trainer.enqueue(&images)?;
                self.queued.push_back(images.dim(0)?);
                if !run.device.is_cpu() {
                    next = self.upload(&batches);
                }
                if self.is_due(self.trainer.steps()) {
                    last = self.collect(before)?.or(last);
                    before = Instant::now();
                }
            }
            Ok(last)
        })
    }

    /// The next batch, on the device; `None` after the last.
    fn upload(&mut self, batches: &Receiver<Result<Pixels>>) -> Option<Result<Tensor>> {
        let Pixels { data, images, skipped } = match batches.recv().ok()? {
            Ok(pixels) => pixels,
            Err(error) => return Some(Err(error)),
        };
        for (key, reason) in skipped {
            (self.observer)(&Event::BadPicture { key, reason });
        }
        let size = self.run.network.image_size;
        let images = Tensor::from_vec(data, (images, size, size, 3), self.run.device);
        Some(images.map_err(Error::from))
    }

    /// Whether the steps up to this one are to be written down before another is made.
    fn is_due(&self, step: u64) -> bool {
        let config = self.run.config;
        let log_every = if config.log_every == 0 { MOST_QUEUED } else { config.log_every };
        let others = [config.save_every, config.eval_every, config.sample_every];
        self.run.device.is_cpu()
            || self.after(log_every.min(MOST_QUEUED), step)
            || others.iter().any(|&every| self.after(every, step))
    }

    /// Whether something is to be done after this step that is done after so many, and at the end.
    fn after(&self, every: u64, step: u64) -> bool {
        every > 0 && (step == self.run.config.steps || step.is_multiple_of(every))
    }

    /// Waits for the steps since `before` and writes them down; the last line.
    fn collect(&mut self, before: Instant) -> Result<Option<Metrics>> {
        let steps = self.trainer.collect()?;
        let images: usize = self.queued.drain(..).sum();
        let images_per_second = images as f64 / before.elapsed().as_secs_f64();
        let mut last = None;
        for stats in steps {
            if let Some((skipped, of)) = self.watch.note(stats.skipped) {
                let (grad_norm, threshold) = (stats.grad_norm, stats.skip_threshold);
                (self.observer)(&Event::Stuck { skipped, of, grad_norm, threshold });
            }
            last = Some(self.record(stats, images_per_second)?);
        }
        Ok(last)
    }

    /// Writes down a step, with whatever else is due after it.
    fn record(&mut self, stats: StepStats, images_per_second: f64) -> Result<Metrics> {
        let config = self.run.config;
        let due = |every| self.after(every, stats.step);
        let last = stats.step == config.steps;
        let evaluated = due(config.eval_every) && !self.run.dataset.is_empty(Split::Valid);
        let (logged, sampled) = (due(config.log_every), due(config.sample_every));
        let saved = due(config.save_every);
        let valid = if evaluated { Some(self.evaluate()?) } else { None };
        let metrics = self.line(stats, images_per_second, valid);
        self.metrics.write(&metrics)?;
        if logged || evaluated {
            self.events.scalars(stats.step, &metrics.curves())?;
        }
        if sampled {
            let path = self.folder.samples(stats.step);
            let model = self.trainer.ema_model()?;
            let png = sample_grid(&model, 2 * config.batch_size, config.seed)?;
            self.folder.replace(&path, &png)?;
            (self.observer)(&Event::Wrote(path));
        }
        // The end of the run saves on its own.
        if saved && !last {
            self.save()?;
        }
        (self.observer)(&Event::Step(metrics));
        Ok(metrics)
    }

    fn evaluate(&self) -> Result<Likelihood> {
        let Run { dataset, preparation, on_bad_image, config, .. } = *self.run;
        evaluate(&self.trainer.ema_model()?, dataset, &preparation, on_bad_image, config)
    }

    fn line(&self, stats: StepStats, images_per_second: f64, valid: Option<Likelihood>) -> Metrics {
        let seen = stats.step as f64 * self.run.config.batch_size as f64;
        Metrics {
            step: stats.step,
            epoch: seen / self.run.dataset.len(Split::Train) as f64,
            nats_per_dim: stats.nats_per_dim,
            distortion: stats.distortion,
            rate: stats.rate,
            grad_norm: stats.grad_norm,
            skipped: stats.skipped,
            learning_rate: stats.learning_rate,
            images_per_second,
            valid_nats_per_dim: valid.map(|valid| valid.nats_per_dim),
            valid_distortion: valid.map(|valid| valid.distortion),
            valid_rate: valid.map(|valid| valid.rate),
        }
    }

    /// Writes a checkpoint and the model, whose hash it returns.
    fn save(&mut self) -> Result<String> {
        let step = self.trainer.steps();
        // First, so that a checkpoint never runs ahead of the lines it counts on.
        self.metrics.sync()?;
        let path = self.folder.checkpoint(step);
        write_state(&self.trainer, &self.identity, &path)?;
        let sha256 = write_model(&self.trainer, &self.identity, &self.folder.model())?;
        self.folder.prune(step, self.run.config.keep_checkpoints)?;
        (self.observer)(&Event::Wrote(path));
        Ok(sha256)
    }
}

#[cfg(test)]
mod tests;
