//! What is asked of the features: the one file to read before adding a task.
//!
//! A [`Task`] is a plain struct of settings. The experiment asks it, in this order:
//!
//! 1. [`Task::splits`]: which splits have to be read. The pictures of a split come from the
//!    experiment's data set, those of the test split from [`Task::test_set`] where the task brings
//!    its own.
//! 2. [`Task::check`]: whether its settings and the data set fit together, before any work.
//! 3. [`Task::scores`]: an empty list of results.
//! 4. [`Scores::add`], once for each line of the table: a [`Candidate`] has the features of all
//!    splits and says where they came from. One candidate may give several results, one for each
//!    probe for example. A result is a [`ProbeResult`]; what it takes to compare it with others (scores
//!    on bootstrap replicates, accuracies of episodes or folds) stays beside it in the list.
//! 5. [`Scores::results`] after every line, [`Scores::comparisons`] at the end, what other runs are
//!    compared by ([`Scores::units`], [`Task::drawn`]), and what the page shows: [`Scores::roc`],
//!    [`Scores::answers`] and [`Task::intervals`].
//!
//! A new task is a file beside those of the three there are ([`TargetsTask`], [`FewShotTask`],
//! [`VerificationTask`]); to give it a name on the command line, add it to [`TaskKind`] and
//! to `vdvae-probe`'s `tasks.rs`. Numbers that a result needs and [`ProbeResult`] lacks become an
//! optional part of it, as [`ProbeResult::few_shot`] is.

mod few_shot;
mod name;
mod targets;
mod verification;

use vdvae_datasets::{Dataset, Split};
use vdvae_probes::{Comparison, ProbeResult, Units};
use vdvae_report::{Answer, RocCurve};

use crate::candidate::Candidate;
use crate::error::Result;

pub use few_shot::{Episodes, FewShotTask};
pub use name::{TaskKind, TaskName};
pub use targets::TargetsTask;
pub use verification::{Pairs, VerificationTask};

/// What is asked of the features.
pub trait Task {
    /// Its name in reports and messages, such as `omniglot-5way-1shot`.
    fn name(&self) -> &str;

    /// Splits whose pictures are read; the test split is always one of them.
    fn splits(&self) -> &[Split];

    /// Pictures that take the place of the data set's test split; none by default.
    fn test_set(&self) -> Option<&dyn Dataset> {
        None
    }

    /// Fails where the data set does not have what is asked about, or the task's settings cannot be.
    /// It is called before any work.
    ///
    /// # Errors
    /// [`Error::Unfit`](crate::Error::Unfit), [`Error::Setting`](crate::Error::Setting), or one of
    /// the task's own.
    fn check(&self, data: &dyn Dataset) -> Result<()>;

    /// Whether it writes a probe that is to read the features of other pictures; no by default. The
    /// experiment then has to be of one selection, without matched columns, of pictures that are
    /// prepared as by default.
    fn saves_probe(&self) -> bool {
        false
    }

    /// What the 95% intervals of its results are over, in words, for the page.
    fn intervals(&self) -> String;

    /// How the units that results are means over are drawn from the test pictures, so that two runs of
    /// the same pictures for which it is the same have the same units; nothing by default.
    fn drawn(&self) -> String {
        String::new()
    }

    /// A list without results. `data` is the experiment's data set.
    fn scores<'a>(&'a self, data: &'a dyn Dataset) -> Box<dyn Scores + 'a>;
}

/// The results of a task, in the order of the report.
pub trait Scores {
    /// Scores one line of the table, and keeps its results.
    ///
    /// # Errors
    /// What went wrong while a probe was fitted or scored.
    fn add(&mut self, candidate: &Candidate) -> Result<()>;

    /// The results so far.
    fn results(&self) -> Vec<ProbeResult>;

    /// Paired differences between them.
    fn comparisons(&self) -> Vec<Comparison>;

    /// [`Self::results`] on every unit that they are means over, in the same order; none by default, and
    /// runs are not paired.
    fn units(&self) -> Vec<Units> {
        Vec::new()
    }

    /// Receiver operating characteristics of the best latents and of their controls, where the task
    /// has some.
    fn roc(&self) -> Vec<RocCurve> {
        Vec::new()
    }

    /// What the best latents say of one row of the test table, where they give probabilities.
    fn answers(&self, _row: usize) -> Vec<Answer> {
        Vec::new()
    }
}
