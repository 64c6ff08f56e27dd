//! The labels of pictures: which probes predict them, and from how many labelled pictures.

mod illustrate;

use std::path::PathBuf;

use vdvae_datasets::{Dataset, Labels, Split};
use vdvae_features::Targets;
use vdvae_probes::{
    Bootstrap, Comparison, Evaluated, LinearProbe, Probe, ProbeResult, RidgeProbe, SavedProbe,
    Solver, compare,
};
use vdvae_report::{Answer, RocCurve};

use super::{Scores, Task};
use crate::candidate::Candidate;
use crate::error::{Error, Result};

/// Predict the labels of pictures: binary attributes, classes or numbers.
pub struct TargetsTask {
    /// What reports call the task.
    pub name: String,
    /// Probes to run. None of them stands for logistic regression, or ridge regression where the
    /// labels are numbers.
    pub probes: Vec<Box<dyn Probe>>,
    /// Shares of the training and validation pictures to use, above 0 and up to 1. Each subset is
    /// part of the larger ones.
    pub train_fractions: Vec<f64>,
    /// Seeds that draw subsets; each fraction below 1 is scored once with every seed.
    pub label_seeds: Vec<u64>,
    /// What the intervals are over.
    pub bootstrap: Bootstrap,
    /// Where the fitted probe is written, for other pictures: for an experiment of one selection and
    /// one linear probe on all rows.
    pub save_probe: Option<PathBuf>,
}

impl Default for TargetsTask {
    /// The probe that fits the labels, on all pictures.
    fn default() -> Self {
        Self {
            name: "targets".to_owned(),
            probes: Vec::new(),
            train_fractions: vec![1.0],
            label_seeds: vec![0],
            bootstrap: Bootstrap::default(),
            save_probe: None,
        }
    }
}

impl TargetsTask {
    /// Fails for shares that cannot be, and where there would be more than one probe to save, or
    /// one that cannot be saved.
    fn check_settings(&self) -> Result<()> {
        let setting = |setting, problem| Err(Error::Setting { setting, problem });
        if let Some(wrong) = self.train_fractions.iter().find(|f| !(**f > 0.0 && **f <= 1.0)) {
            let problem = format!("expected above 0 and up to 1, found {wrong}");
            return setting("train fraction", problem);
        }
        if self.train_fractions.is_empty() || self.label_seeds.is_empty() {
            return setting(
                "train fraction",
                "expected fractions and seeds, found none".to_owned(),
            );
        }
        let linear = match &self.probes[..] {
            [] => true,
            [only] => matches!(only.name(), "logistic" | "ridge"),
            _ => false,
        };
        match self.saves_probe() && !(linear && self.train_fractions[..] == [1.0]) {
            true => Err(Error::NotSavable),
            false => Ok(()),
        }
    }

    /// Fails where there is nothing to predict, or a solver cannot.
    fn check_labels(&self, data: &dyn Dataset) -> Result<()> {
        let unfit = |problem| Err(Error::Unfit { what: data.name().to_owned(), problem });
        let mut solvers = self.probes.iter().map(|probe| probe.solver());
        match data.labels(Split::Train) {
            Labels::None => unfit(
                "expected labels to predict, found none; put the pictures of each class into a \
                 folder of its name"
                    .to_owned(),
            ),
            Labels::Classes { names, .. } if names.len() < 2 => {
                unfit(format!("expected at least 2 classes, found {}", names.join(", ")))
            }
            Labels::Classes { .. } => match solvers.find(|name| *name == Solver::Linfa.name()) {
                None => Ok(()),
                Some(solver) => Err(Error::Solver {
                    solver,
                    data: data.name().to_owned(),
                    instead: Solver::Batched.name(),
                }),
            },
            _ => Ok(()),
        }
    }
}

impl Task for TargetsTask {
    fn name(&self) -> &str {
        &self.name
    }

    fn splits(&self) -> &[Split] {
        &Split::ALL
    }

    fn check(&self, data: &dyn Dataset) -> Result<()> {
        self.check_settings()?;
        self.check_labels(data)
    }

    fn saves_probe(&self) -> bool {
        self.save_probe.is_some()
    }

    fn intervals(&self) -> String {
        format!("95%, {} bootstrap replicates", self.bootstrap.replicates)
    }

    fn scores<'a>(&'a self, _data: &'a dyn Dataset) -> Box<dyn Scores + 'a> {
        let mut fractions = self.train_fractions.clone();
        fractions.sort_unstable_by(f64::total_cmp);
        fractions.dedup();
        Box::new(TargetScores { task: self, fractions, evaluated: Vec::new() })
    }
}

/// Results with their test scores; those of subsets of the training rows are not kept.
struct TargetScores<'a> {
    task: &'a TargetsTask,
    /// Smallest first, each once.
    fractions: Vec<f64>,
    evaluated: Vec<Evaluated>,
}

impl TargetScores<'_> {
    /// Every probe on the same features.
    fn probe(&mut self, candidate: &Candidate) -> Result<()> {
        let task = self.task;
        if !task.probes.is_empty() {
            return task.probes.iter().try_for_each(|probe| self.score(&**probe, candidate));
        }
        match candidate.tables[0].targets {
            Targets::Real { .. } => self.score(&RidgeProbe::default(), candidate),
            _ => self.score(&LinearProbe::default(), candidate),
        }
    }

    fn score(&mut self, probe: &dyn Probe, candidate: &Candidate) -> Result<()> {
        let Candidate { origin, tables: [train, valid, test], features } = candidate;
        let fitted = probe.fit(train, valid)?;
        let evaluated = fitted.evaluate(test, self.task.bootstrap)?;
        let mut evaluated = evaluated.with_origin(*origin);
        if origin.train_fraction < 1.0 {
            evaluated.scores = Default::default();
        }
        self.evaluated.push(evaluated);
        if let Some(path) = &self.task.save_probe
            && let Some(features) = features
        {
            SavedProbe::new(&fitted, self.task.name.clone(), features.clone())?.save(path)?;
        }
        Ok(())
    }
}

impl Scores for TargetScores<'_> {
    fn add(&mut self, candidate: &Candidate) -> Result<()> {
        for fraction in self.fractions.clone() {
            if fraction == 1.0 {
                self.probe(candidate)?;
                continue;
            }
            for &seed in &self.task.label_seeds {
                self.probe(&candidate.subset(fraction, seed))?;
            }
        }
        Ok(())
    }

    fn results(&self) -> Vec<ProbeResult> {
        self.evaluated.iter().map(|one| one.result.clone()).collect()
    }

    fn comparisons(&self) -> Vec<Comparison> {
        compare(&self.evaluated)
    }

    fn roc(&self) -> Vec<RocCurve> {
        illustrate::roc(&self.evaluated)
    }

    fn answers(&self, row: usize) -> Vec<Answer> {
        illustrate::answers(&self.evaluated, row)
    }
}
