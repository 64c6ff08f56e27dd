//! The labels of pictures: which probes predict them, and from how many labelled pictures.

mod illustrate;
mod known;
mod within;

use std::collections::BTreeMap;
use std::path::PathBuf;

use vdvae_datasets::{Dataset, Labels, Split};
use vdvae_features::Targets;
use vdvae_probes::{
    Bootstrap, Comparison, Evaluated, LinearProbe, Probe, ProbeResult, RidgeProbe, SavedProbe,
    Solver, Units, average_networks, compare,
};
use vdvae_report::{Answer, RocCurve};

use known::check_known;
use within::{Stratum, check_within, strata};

use super::{Scores, Task};
use crate::candidate::Candidate;
use crate::error::{Error, Result};

/// Predict the labels of pictures: binary attributes, classes or numbers.
pub struct TargetsTask {
    /// What reports call the task.
    pub name: String,
    /// Probes to run; the usual ones where there are none.
    pub probes: Vec<Box<dyn Probe>>,
    /// The usual probe of attributes and classes, and that of numbers.
    pub usual: (LinearProbe, RidgeProbe),
    /// Shares of the training and validation pictures to use, above 0 and up to 1. Each subset is
    /// part of the larger ones.
    pub train_fractions: Vec<f64>,
    /// Seeds that draw subsets; each fraction below 1 is scored once with every seed.
    pub label_seeds: Vec<u64>,
    /// Targets inside each value of which the others are scored, too: among the test pictures that
    /// have it, by probes that were fitted to all.
    pub within: Vec<String>,
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
            usual: Default::default(),
            train_fractions: vec![1.0],
            label_seeds: vec![0],
            within: Vec::new(),
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
        let labels = data.labels(Split::Train);
        let parts: Vec<&Labels> = match &labels {
            Labels::None => {
                return unfit(
                    "expected labels to predict, found none; put the pictures of each class into a \
                     folder of its name, or name a column of the table"
                        .to_owned(),
                );
            }
            Labels::Several(parts) if self.saves_probe() => {
                let names: Vec<&str> = parts.iter().map(|(name, _)| &name[..]).collect();
                let problem = format!("expected targets of one kind, found {}", names.join(", "));
                return Err(Error::Setting { setting: "save probe", problem });
            }
            Labels::Several(parts) => parts.iter().map(|(_, part)| part).collect(),
            one => vec![one],
        };
        for part in parts {
            self.check_classes(data, part)?;
            self.check_numbers(part)?;
        }
        check_within(&self.within, data)?;
        check_known(data)
    }

    /// Fails where a probe is asked for that cannot predict numbers.
    fn check_numbers(&self, labels: &Labels) -> Result<()> {
        let Labels::Real { names, .. } = labels else { return Ok(()) };
        let wrong = self.probes.iter().find(|probe| !probe.predicts_numbers());
        let Some(probe) = wrong else { return Ok(()) };
        let (probe, names) = (probe.name(), names.join(", "));
        let problem = format!("expected ridge or knn for the numbers {names}, found {probe}");
        Err(Error::Setting { setting: "probe", problem })
    }

    /// Fails where there is one class, or a solver that cannot fit several.
    fn check_classes(&self, data: &dyn Dataset, labels: &Labels) -> Result<()> {
        let Labels::Classes { names, .. } = labels else { return Ok(()) };
        let what = data.name().to_owned();
        if names.len() < 2 {
            let problem = format!("expected at least 2 classes, found {}", names.join(", "));
            return Err(Error::Unfit { what, problem });
        }
        let usual: [&dyn Probe; 1] = [&self.usual.0];
        let asked = self.probes.iter().map(|probe| &**probe);
        let mut probes = usual.into_iter().filter(|_| self.probes.is_empty()).chain(asked);
        match probes.find(|probe| probe.solver() == Solver::Linfa.name()) {
            None => Ok(()),
            Some(probe) => Err(Error::Solver {
                solver: probe.solver(),
                data: what,
                instead: Solver::Batched.name(),
            }),
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

    fn drawn(&self) -> String {
        let Bootstrap { replicates, seed } = self.bootstrap;
        format!("{replicates} replicates, seed {seed}")
    }

    fn scores<'a>(&'a self, _data: &'a dyn Dataset) -> Box<dyn Scores + 'a> {
        let mut fractions = self.train_fractions.clone();
        fractions.sort_unstable_by(f64::total_cmp);
        fractions.dedup();
        let (evaluated, known) = (Vec::new(), BTreeMap::new());
        Box::new(TargetScores { task: self, fractions, evaluated, known })
    }
}

/// Results with their test scores; those of subsets of the training rows are not kept.
struct TargetScores<'a> {
    task: &'a TargetsTask,
    /// Smallest first, each once.
    fractions: Vec<f64>,
    evaluated: Vec<Evaluated>,
    /// Rows of the test table that were scored, by the name of their labels where there are several
    /// kinds.
    known: BTreeMap<String, Vec<usize>>,
}

/// What is scored of the same features.
struct Asked<'a> {
    /// Which labels, where there are several kinds.
    labels: Option<&'a str>,
    /// Parts of the test rows that are scored beside all of them.
    strata: Vec<Stratum>,
}

impl TargetScores<'_> {
    /// All subsets of the rows.
    fn fractions(&mut self, asked: &Asked, candidate: &Candidate) -> Result<()> {
        for fraction in self.fractions.clone() {
            if fraction == 1.0 {
                self.probe(asked, candidate)?;
                continue;
            }
            for &seed in &self.task.label_seeds {
                self.probe(asked, &candidate.subset(fraction, seed))?;
            }
        }
        Ok(())
    }

    /// Every probe on the same features.
    fn probe(&mut self, asked: &Asked, candidate: &Candidate) -> Result<()> {
        let TargetsTask { probes, usual: (of_labels, of_numbers), .. } = self.task;
        if !probes.is_empty() {
            return probes.iter().try_for_each(|probe| self.score(&**probe, asked, candidate));
        }
        match candidate.tables[0].targets {
            Targets::Real { .. } => self.score(of_numbers, asked, candidate),
            _ => self.score(of_labels, asked, candidate),
        }
    }

    fn score(&mut self, probe: &dyn Probe, asked: &Asked, candidate: &Candidate) -> Result<()> {
        let Candidate { origin, tables: [train, valid, test], features } = candidate;
        let fitted = probe.fit(train, valid)?;
        let evaluated = fitted.evaluate(test, self.task.bootstrap)?;
        let mut evaluated = evaluated.with_origin(*origin);
        evaluated.result.labels = asked.labels.map(str::to_owned);
        if origin.train_fraction < 1.0 {
            evaluated.scores = Default::default();
        }
        self.evaluated.push(evaluated);
        for Stratum { words, rows } in &asked.strata {
            let evaluated = fitted.evaluate(&test.select_rows(rows), self.task.bootstrap)?;
            let mut evaluated = evaluated.with_origin(*origin);
            let labels = asked.labels.into_iter().chain([&words[..]]);
            evaluated.result.labels = Some(labels.collect::<Vec<_>>().join(" "));
            // Curves and answers are those of all pictures.
            evaluated.scores = Default::default();
            self.evaluated.push(evaluated);
        }
        if let Some(path) = &self.task.save_probe
            && let Some(features) = features
        {
            let (task, features) = (self.task.name.clone(), features.clone());
            SavedProbe::new(&fitted, task, features, train.view())?.save(path)?;
        }
        Ok(())
    }

    /// The results of each kind of labels, in order of appearance.
    fn by_labels(&self) -> Vec<(Option<String>, Vec<&Evaluated>)> {
        let mut parts: Vec<(Option<String>, Vec<&Evaluated>)> = Vec::new();
        for one in &self.evaluated {
            let labels = &one.result.labels;
            match parts.iter_mut().find(|(known, _)| known == labels) {
                Some((_, part)) => part.push(one),
                None => parts.push((labels.clone(), vec![one])),
            }
        }
        parts
    }
}

impl Scores for TargetScores<'_> {
    fn add(&mut self, candidate: &Candidate) -> Result<()> {
        let test = &candidate.tables[2];
        let strata = strata(&self.task.within, &test.targets);
        let Targets::Several(parts) = &candidate.tables[0].targets else {
            return self.fractions(&Asked { labels: None, strata }, candidate);
        };
        for (place, (name, _)) in parts.iter().enumerate() {
            let rows = match test.targets.parts().get(place) {
                Some((_, part)) => part.known_rows(test.rows()),
                None => Vec::new(), // which the probe refuses
            };
            let strata = strata.iter().map(|stratum| stratum.among(&rows));
            let strata = strata.filter(|stratum| !stratum.rows.is_empty()).collect();
            // The latents come first; shuffled labels are of other rows.
            self.known.entry(name.clone()).or_insert(rows);
            let tables = candidate.tables.each_ref().map(|table| table.part(place));
            let (origin, features) = (candidate.origin, candidate.features.clone());
            let candidate = Candidate { origin, tables, features };
            self.fractions(&Asked { labels: Some(name), strata }, &candidate)?;
        }
        Ok(())
    }

    fn results(&self) -> Vec<ProbeResult> {
        average_networks(&self.evaluated).into_iter().map(|one| one.result).collect()
    }

    fn comparisons(&self) -> Vec<Comparison> {
        compare(&average_networks(&self.evaluated))
    }

    fn units(&self) -> Vec<Units> {
        let averaged = average_networks(&self.evaluated);
        averaged.into_iter().map(|one| Units::Replicates(one.replicated)).collect()
    }

    fn roc(&self) -> Vec<RocCurve> {
        self.by_labels().iter().flat_map(|(_, part)| illustrate::roc(part)).collect()
    }

    fn answers(&self, row: usize) -> Vec<Answer> {
        let answers = |(labels, part): &(Option<String>, Vec<&Evaluated>)| {
            let row = match labels.as_ref().and_then(|labels| self.known.get(labels)) {
                None => Some(row),
                Some(known) => known.binary_search(&row).ok(),
            };
            row.map_or_else(Vec::new, |row| illustrate::answers(part, row))
        };
        self.by_labels().iter().flat_map(answers).collect()
    }
}
