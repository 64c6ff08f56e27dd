//! Shows on stderr what an experiment does.

use indicatif::ProgressBar;
use vdvae_experiment::Event;
use vdvae_io::printable;

use crate::output::progress;

/// The progress bar of what is being done.
#[derive(Default)]
pub(super) struct Watch(Option<ProgressBar>);

impl Watch {
    pub(super) fn show(&mut self, event: Event<'_>) {
        match event {
            Event::Reading { pictures } => {
                self.0 = Some(progress(pictures as u64, "reading latents"));
            }
            Event::Read { pictures } => self.advance(pictures),
            Event::Skipped { key, reason } => self.line(&format!("skipped {key}: {reason}")),
            Event::Warning(text) => self.line(&format!("warning: {text}")),
            Event::AllRead { time, reused, tables } => {
                if let Some(bar) = self.0.take() {
                    let seconds = time.as_secs_f64();
                    bar.println(format!(
                        "features: {seconds:.2} s, {reused} of {tables} tables from the cache"
                    ));
                    bar.finish_and_clear();
                }
            }
            Event::Scoring { lines } => self.0 = Some(progress(lines as u64, "probing")),
            Event::Scored => self.advance(1),
            Event::AllScored => {
                if let Some(bar) = self.0.take() {
                    bar.finish_and_clear();
                }
            }
            _ => {}
        }
    }

    fn advance(&self, steps: usize) {
        if let Some(bar) = &self.0 {
            bar.inc(steps as u64);
        }
    }

    /// A line above the bar.
    fn line(&self, text: &str) {
        let text = printable(text);
        match &self.0 {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }
}
