//! A run that has started: steps, and what is written down between them.

use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Instant;

use candle_core::Tensor;
use serde_json::Value;
use vdvae_datasets::Split;

use super::Run;
use crate::Result;
use crate::checkpoint::{write_model, write_state};
use crate::error::io_error;
use crate::evaluate::evaluate;
use crate::events::EventFile;
use crate::folder::Folder;
use crate::loader::{Loader, Pixels};
use crate::metrics::{Metrics, MetricsFile};
use crate::observer::Event;
use crate::samples::sample_grid;
use crate::skip::SkipWatch;
use crate::trainer::{Likelihood, StepStats, Trainer};
use crate::upload::Upload;

/// A run that has started.
pub(super) struct Session<'a, 'b> {
    pub(super) run: &'a Run<'a>,
    pub(super) folder: Folder,
    pub(super) identity: Value,
    pub(super) trainer: Trainer,
    pub(super) upload: Upload,
    pub(super) metrics: MetricsFile,
    pub(super) events: EventFile,
    pub(super) watch: SkipWatch,
    /// Pictures of the steps that were not collected.
    pub(super) queued: usize,
    pub(super) observer: &'b mut dyn FnMut(&Event),
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
    pub(super) fn all_steps(&mut self) -> Result<Option<Metrics>> {
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
                self.queued += images.dim(0)?;
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
        Some(self.upload.tensor(data, (images, size, size, 3)))
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
        let images = std::mem::take(&mut self.queued);
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
            let grid = sample_grid(&model, 2 * config.batch_size, config.seed)?;
            grid.save(&path, 1).map_err(io_error(&path, "write"))?;
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
    pub(super) fn save(&mut self) -> Result<String> {
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
