//! A run that has started: steps, and what is written down between them.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;
use vdvae_datasets::{AHEAD_OF_GPU, Split, read_ahead};
use vdvae_model::Evaluation;

use super::Run;
use crate::checkpoint::{write_model, write_state};
use crate::error::io_error;
use crate::evaluate::evaluate;
use crate::event::Event;
use crate::events::EventFile;
use crate::fit::Observer;
use crate::folder::Folder;
use crate::loader::{Loader, Pixels};
use crate::metrics::{Metrics, MetricsFile};
use crate::samples::sample_grid;
use crate::skip::SkipWatch;
use crate::upload::Upload;
use crate::{Error, Network, Result, StepStats, Trainer};

/// A run that has started.
pub(super) struct Session<'a, 'b, 'c, N: Network> {
    run: &'a Run<'a, N>,
    folder: Folder,
    identity: Value,
    metrics: MetricsFile,
    events: EventFile,
    watch: SkipWatch,
    /// When the steps that were not written down yet began.
    began: Instant,
    /// The last line.
    last: Option<Metrics>,
    /// Told of steps, and of pictures that are read for the next ones meanwhile.
    observer: &'b RefCell<&'c mut dyn FnMut(&Event)>,
}

impl<'a, 'b, 'c, N: Network> Session<'a, 'b, 'c, N> {
    pub(super) fn new(
        run: &'a Run<'a, N>,
        folder: Folder,
        identity: Value,
        metrics: MetricsFile,
        events: EventFile,
        observer: &'b RefCell<&'c mut dyn FnMut(&Event)>,
    ) -> Self {
        let watch = SkipWatch::default();
        let began = Instant::now();
        Self { run, folder, identity, metrics, events, watch, began, last: None, observer }
    }

    /// Makes the steps that are left; the last line where there was one.
    pub(super) fn train(&mut self, trainer: &mut Trainer<N>) -> Result<Option<Metrics>> {
        let (run, observer) = (self.run, self.observer);
        let loader = Loader::new(run.dataset, run.preparation, run.on_bad_image);
        // A CPU is busy enough with one.
        let ahead = if run.device.is_cpu() { 1 } else { AHEAD_OF_GPU };
        let mut upload = Upload::new(run.device)?;
        read_ahead(ahead, loader.batches(run.config, trainer.steps()), |batches| {
            let images = batches.map(|pixels| {
                let Pixels { data, images, skipped } = pixels?;
                for (key, reason) in skipped {
                    observer.borrow_mut()(&Event::BadPicture { key, reason });
                }
                let size = N::image_size(run.network);
                upload.tensor(data, (images, size, size, 3))
            });
            self.began = Instant::now();
            trainer.fit(images, self)
        })?;
        Ok(self.last.take())
    }

    /// Whether something is to be done after this step that is done after so many, and at the end.
    fn after(&self, every: u64, step: u64) -> bool {
        every > 0 && (step == self.run.config.steps || step.is_multiple_of(every))
    }

    /// Writes down a step, with whatever else is due after it.
    fn record(
        &mut self,
        trainer: &Trainer<N>,
        stats: StepStats,
        images_per_second: f64,
    ) -> Result<Metrics> {
        let config = self.run.config;
        let due = |every| self.after(every, stats.step);
        let last = stats.step == config.steps;
        let evaluated = due(config.eval_every) && !self.run.dataset.is_empty(Split::Valid);
        let (logged, sampled) = (due(config.log_every), due(config.sample_every));
        let saved = due(config.save_every);
        let valid = if evaluated { Some(self.evaluate(trainer)?) } else { None };
        let seen = stats.step as f64 * config.batch_size as f64;
        let epoch = seen / self.run.dataset.len(Split::Train) as f64;
        let metrics = Metrics { stats, epoch, images_per_second, valid };
        self.metrics.write(&metrics)?;
        if logged || evaluated {
            self.events.scalars(stats.step, &metrics.curves())?;
        }
        if sampled {
            let path = self.folder.samples(stats.step);
            let grid = sample_grid(&trainer.ema_model()?, 2 * config.batch_size, config.seed)?;
            grid.save(&path, 1).map_err(io_error(&path, "write"))?;
            self.tell(&Event::Wrote(path));
        }
        // The end of the run saves on its own.
        if saved && !last {
            self.save(trainer)?;
        }
        self.tell(&Event::Step(metrics.clone()));
        Ok(metrics)
    }

    fn tell(&self, event: &Event) {
        self.observer.borrow_mut()(event);
    }

    fn evaluate(&self, trainer: &Trainer<N>) -> Result<Evaluation> {
        let Run { dataset, preparation, on_bad_image, config, .. } = *self.run;
        evaluate(&trainer.ema_model()?, dataset, preparation, on_bad_image, config)
    }

    /// Writes a checkpoint and the model, whose hash it returns.
    pub(super) fn save(&mut self, trainer: &Trainer<N>) -> Result<String> {
        let step = trainer.steps();
        // First, so that a checkpoint never runs ahead of the lines it counts on.
        self.metrics.sync()?;
        let path = self.folder.checkpoint(step);
        write_state(trainer, &self.identity, &path)?;
        let sha256 = write_model(trainer, &self.identity, &self.folder.model())?;
        self.folder.prune(step, self.run.config.keep_checkpoints)?;
        self.tell(&Event::Wrote(path));
        Ok(sha256)
    }

    /// The model's file.
    pub(super) fn model(&self) -> PathBuf {
        self.folder.model()
    }
}

impl<N: Network> Observer<N> for Session<'_, '_, '_, N> {
    fn is_due(&self, step: u64) -> bool {
        let config = self.run.config;
        [config.log_every, config.save_every, config.eval_every, config.sample_every]
            .into_iter()
            .any(|every| self.after(every, step))
    }

    /// Writes the steps down.
    fn steps(&mut self, trainer: &Trainer<N>, steps: &[StepStats]) -> Result<()> {
        let images: usize = steps.iter().map(|stats| stats.images).sum();
        let images_per_second = images as f64 / self.began.elapsed().as_secs_f64();
        for &stats in steps {
            if let Some((skipped, of)) = self.watch.note(stats.skipped) {
                let (grad_norm, threshold) = (stats.grad_norm, stats.skip_threshold);
                self.tell(&Event::Stuck { skipped, of, grad_norm, threshold });
            }
            self.last = Some(self.record(trainer, stats, images_per_second)?);
            if let Some(steps) = self.watch.diverged(stats.grad_norm) {
                return Err(Error::Diverged { step: stats.step, steps });
            }
        }
        self.began = Instant::now();
        Ok(())
    }
}
