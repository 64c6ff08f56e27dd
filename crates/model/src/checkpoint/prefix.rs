//! Which of a file's tensors are the network: one rule for every kind of file.
//!
//! Training programs keep a network under a name of their own (`state_dict`, `model`, `ema`, `net`,
//! Lightning's `model.`), wrap it (`module.`, `_orig_mod.`), and may keep its moving average beside it.
//! All of that comes before the published names, which say where they begin.

use vdvae_io::{Fault, quote};

use super::fault::Parse;
use super::weights::Weights;

/// A parameter that every network has.
const ANCHOR: &str = "encoder.in_conv.weight";
/// Saved from a data-parallel wrapper, every name starts with this.
const DATA_PARALLEL: &str = "module.";

/// Most networks of a file: every name is compared with all of them.
const MAX_NETWORKS: usize = 64;
/// Longest name that is asked whether it is of an average, in bytes: a pickle may repeat a long one.
const MAX_NAME: usize = 256;

/// What comes before the published names, where a name is that of the parameter that tells.
pub(super) fn of_anchor(name: &str) -> Option<&str> {
    let prefix = name.strip_suffix(ANCHOR)?;
    (prefix.is_empty() || prefix.ends_with('.')).then_some(prefix)
}

/// What comes before the names of the networks that names are of.
pub(super) struct Networks<'a>(Vec<&'a str>);

impl<'a> Networks<'a> {
    /// None where there are too many of them.
    pub(super) fn among(names: impl Iterator<Item = &'a str>) -> Self {
        let mut prefixes: Vec<&str> = names.filter_map(of_anchor).collect();
        if prefixes.len() > MAX_NETWORKS {
            prefixes.clear();
        }
        Self(prefixes)
    }

    /// Whether a name is that of something else than a part of a network, beside one: what counts the
    /// networks of an average (`n_averaged`) is no weight, and not missed.
    pub(super) fn has_beside(&self, name: &str) -> bool {
        !self.0.is_empty() && !self.0.iter().any(|prefix| name.starts_with(prefix))
    }
}

/// What to say of tensors that are left out.
pub(super) fn left_out(names: &[&str]) -> Option<String> {
    let first = names.first()?;
    let (count, are) = (names.len(), if names.len() == 1 { " is" } else { "s are" });
    Some(format!("{count} other tensor{are} left out, first {}", quote(first)))
}

/// Whether a name says that what it stands for is an average.
pub(super) fn is_average(name: &str) -> bool {
    if name.len() > MAX_NAME {
        return false;
    }
    let name = name.to_ascii_lowercase();
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| ["ema", "averaged", "average", "swa"].contains(&word))
}

/// The network to take, of those that a file holds: the only one, or the only averaged one; and what to
/// say where others are left out.
pub(super) fn choose(prefixes: &[String]) -> Parse<(usize, Option<String>)> {
    let average: Vec<usize> = (0..prefixes.len()).filter(|&i| is_average(&prefixes[i])).collect();
    let shown = |prefix: &String| quote(prefix.trim_end_matches('.'));
    let expected = "one network, or one averaged one";
    match (prefixes, &average[..]) {
        ([_], _) => Ok((0, None)),
        _ if prefixes.len() > MAX_NETWORKS => {
            Err(Fault::new("weights", expected, prefixes.len().to_string()))
        }
        (_, &[one]) => {
            let others = (0..prefixes.len()).filter(|&i| i != one);
            let others: Vec<String> = others.map(|other| shown(&prefixes[other])).collect();
            let taken = shown(&prefixes[one]);
            let remark = format!(
                "the averaged weights `{taken}` are taken, beside `{}`",
                others.join("`, `")
            );
            Ok((one, Some(remark)))
        }
        _ => {
            let all: Vec<String> = prefixes.iter().map(shown).collect();
            Err(Fault::new("weights", expected, all.join(", ")))
        }
    }
}

/// The network's tensors under their published names, and what to say of those left out. Tensors that
/// are no network stay as they are, but for a prefix that all have.
pub(super) fn unwrap(mut weights: Weights) -> Parse<(Weights, Vec<String>)> {
    let prefixes: Vec<String> =
        weights.iter().filter_map(|(name, _)| of_anchor(name)).map(str::to_owned).collect();
    if prefixes.is_empty() {
        let all = weights.iter().all(|(name, _)| name.starts_with(DATA_PARALLEL));
        return Ok((if all { weights.split_prefix(DATA_PARALLEL) } else { weights }, Vec::new()));
    }
    let (chosen, remark) = choose(&prefixes)?;
    let network = weights.split_prefix(&prefixes[chosen]);
    let mut remarks: Vec<String> = remark.into_iter().collect();
    let of_others = |name: &str| {
        prefixes.iter().enumerate().any(|(i, p)| i != chosen && name.starts_with(p.as_str()))
    };
    let left: Vec<&str> =
        weights.iter().map(|(name, _)| name).filter(|name| !of_others(name)).collect();
    remarks.extend(left_out(&left));
    Ok((network, remarks))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Array;

    fn weights(names: &[&str]) -> Weights {
        let array =
            |(i, name): (usize, &&str)| ((*name).to_owned(), Array::new(vec![1], vec![i as f32]));
        names.iter().enumerate().map(array).collect()
    }

    fn unwrapped(names: &[&str]) -> (Vec<String>, f32, Vec<String>) {
        let (weights, remarks) = unwrap(weights(names)).unwrap();
        let names = weights.iter().map(|(name, _)| name.to_owned()).collect();
        (names, weights.get(ANCHOR).map_or(-1.0, |array| array.data()[0]), remarks)
    }

    #[test]
    fn every_wrapper_is_taken_off() {
        for prefix in ["", "module.", "_orig_mod.", "model._orig_mod.module.", "net.", "ema."] {
            let (anchor, gain) = (format!("{prefix}{ANCHOR}"), format!("{prefix}decoder.gain"));
            let (names, _, remarks) = unwrapped(&[&anchor, &gain]);
            assert_eq!((names, remarks), (vec![ANCHOR.to_owned(), "decoder.gain".into()], vec![]));
        }
        // What belongs to no network, and a network without a prefix, are for the name check to report.
        assert_eq!(unwrapped(&["module.a", "module.b"]).0, ["a", "b"]);
        assert_eq!(unwrapped(&["module.a", "b"]).0, ["module.a", "b"]);
        assert_eq!(unwrapped(&[ANCHOR, "zebra"]).0, [ANCHOR, "zebra"]);
    }

    #[test]
    fn the_averaged_network_is_taken_and_said() {
        let names = ["model.encoder.in_conv.weight", "model_ema.module.encoder.in_conv.weight"];
        let (found, value, remarks) = unwrapped(&names);
        assert_eq!((found, value), (vec![ANCHOR.to_owned()], 1.0));
        assert_eq!(remarks, ["the averaged weights `model_ema.module` are taken, beside `model`"]);
        let names = ["model.encoder.in_conv.weight", "loss.vgg.weight"];
        let (_, value, remarks) = unwrapped(&names);
        assert_eq!(value, 0.0);
        assert_eq!(remarks, ["1 other tensor is left out, first loss.vgg.weight"]);
        assert!(is_average("ema_model") && !is_average(&"ema ".repeat(100)));
        let many: Vec<String> = (0..65).map(|i| format!("{i}.")).collect();
        assert!(choose(&many).unwrap_err().to_string().ends_with("averaged one, found 65"));
        assert_eq!(choose(&["G.".to_owned(), "EMA.".to_owned()]).unwrap().0, 1);
        let two = weights(&["a.encoder.in_conv.weight", "b.encoder.in_conv.weight"]);
        let text = unwrap(two).unwrap_err().to_string();
        assert_eq!(text, "weights: expected one network, or one averaged one, found a, b");
    }
}
