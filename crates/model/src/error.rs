//! The one error type of this crate.

use std::path::PathBuf;

/// What [`crate`]'s functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong while configuring, loading or running a model.
///
/// Every message is a single line that says where, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration describes no network.
    #[error("config: {field}: expected {expected}, found {found}")]
    Config {
        /// The JSON key, with the offending element where there is one.
        field: String,
        /// What would be valid.
        expected: String,
        /// What is there.
        found: String,
    },

    /// A configuration is not JSON of the documented form.
    #[error("{origin}: not a model configuration: {reason}")]
    ConfigJson {
        /// The file it was read from, or `config`.
        origin: String,
        /// What the JSON parser says, with line and column.
        reason: String,
    },

    /// No preset, or no precision, has this name.
    #[error("unknown {what} {found}: expected one of {expected}")]
    UnknownName {
        /// `preset` or `precision`.
        what: &'static str,
        /// The name that was asked for.
        found: String,
        /// Every valid name.
        expected: String,
    },

    /// The device does not compute in numbers of this precision.
    #[error("precision: expected f32 or bf16 on the CPU, found {found}: it needs a GPU")]
    Precision {
        /// What was asked for.
        found: crate::Precision,
    },

    /// Exact convolutions were asked for in bfloat16.
    #[error("exact: expected precision f32 on the CPU, found bf16")]
    ExactBf16,

    /// The operating system refused to read or write a file.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done, as a verb: `read`, `write`.
        action: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },

    /// Weights that no network can compute with.
    #[error("{file}: expected finite numbers, found {found}")]
    NotFinite {
        /// Where the weights come from.
        file: String,
        /// The first that is not, and how many there are.
        found: String,
    },

    /// A file is not a checkpoint, or a damaged or hostile one.
    #[error("{file}: {position}: expected {expected}, found {found}")]
    Checkpoint {
        /// The file.
        file: String,
        /// Where in it: an entry, a tensor, an offset.
        position: String,
        /// What belongs there.
        expected: String,
        /// What is there.
        found: String,
    },

    /// The names or shapes of the weights are not those of the configuration.
    #[error("{} in {file} do not fit the configuration: {}",
        count(*total, "tensor"), list_problems(problems, *total))]
    WeightMismatch {
        /// Where the weights came from.
        file: String,
        /// The first problems in order of name, at most [`crate::MAX_LISTED_PROBLEMS`].
        problems: Vec<WeightProblem>,
        /// How many there are in all.
        total: usize,
    },

    /// A checkpoint does not carry its configuration, none was given, and no preset fits.
    #[error(
        "{file}: no configuration inside, and its tensors fit no preset: closest is {closest}, \
        with {}",
        list_differences(differences)
    )]
    NoConfig {
        /// The checkpoint.
        file: String,
        /// The preset with the fewest differences.
        closest: crate::Preset,
        /// For each kind of difference how many there are, and the first in order of name.
        differences: Vec<(usize, WeightProblem)>,
    },

    /// There are no weights of a name.
    #[error(
        "{name}: no such file, and no weights of this name in {}{}",
        looked.join(", "),
        if *published { format!("; `vdvae fetch {name}` downloads them") } else { String::new() }
    )]
    NoWeights {
        /// The name.
        name: String,
        /// Where they were looked for.
        looked: Vec<String>,
        /// Whether they are published.
        published: bool,
    },

    /// A checkpoint carries another configuration than the one that was given.
    #[error("{file}: {field}: expected {expected} as given, found {found} in the checkpoint")]
    ConfigConflict {
        /// The checkpoint.
        file: String,
        /// The first key that differs.
        field: String,
        /// Its value in the configuration that was given.
        expected: String,
        /// Its value in the checkpoint.
        found: String,
    },

    /// Tensors that do not match the units of a network one by one.
    #[error("parameters: expected {expected} flat tensors of the units' sizes, found {found}")]
    Units {
        /// Units of the network.
        expected: usize,
        /// Tensors given.
        found: usize,
    },

    /// A given latent does not fit its layer.
    #[error(
        "layer {layer}: expected a latent of {}, found {}",
        shape_text(expected),
        shape_text(found)
    )]
    GivenLatent {
        /// Layer, from 0 at the top.
        layer: usize,
        /// (N, r, r, Z).
        expected: Vec<usize>,
        /// Shape given.
        found: Vec<usize>,
    },

    /// More layers of latents than the network has.
    #[error("latents: expected at most {expected} layers, found {found}")]
    TooManyLayers {
        /// Layers of the network.
        expected: usize,
        /// Layers given.
        found: usize,
    },

    /// A resolution at which the network has no layer.
    #[error(
        "temperature: expected resolutions of {}, found {found}x{found}",
        expected.iter().map(|r| format!("{r}x{r}")).collect::<Vec<_>>().join(", ")
    )]
    NoResolution {
        /// Those of its layers, top first.
        expected: Vec<usize>,
        /// The one asked for.
        found: usize,
    },

    /// A picture that cannot be prepared.
    #[error(transparent)]
    Preparation(#[from] vdvae_io::Error),

    /// A picture without pixels.
    #[error("picture {index}: expected at least one pixel, found none")]
    EmptyPicture {
        /// Position in the batch.
        index: usize,
    },

    /// A tensor that is not a batch of pictures of the network's size.
    #[error("pictures: expected u8 (N, {size}, {size}, 3), found {dtype} {}", shape_text(found))]
    PixelTensor {
        /// Height and width of the network's pictures.
        size: usize,
        /// Element type given.
        dtype: String,
        /// Shape given.
        found: Vec<usize>,
    },

    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// The one of `all` that has a name.
pub(crate) fn named<T: Copy + ToString>(what: &'static str, all: &[T], name: &str) -> Result<T> {
    all.iter().copied().find(|one| one.to_string() == name).ok_or_else(|| {
        let expected = all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Error::UnknownName { what, found: vdvae_io::quote(name), expected }
    })
}

/// One way in which a set of weights differs from what a configuration asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeightProblem {
    /// The configuration has this parameter, the weights do not.
    Missing {
        /// Published name.
        name: String,
        /// Its shape, in PyTorch's order.
        expected: Vec<usize>,
    },
    /// The weights have this tensor, the configuration does not.
    Extra {
        /// Published name.
        name: String,
        /// Its shape, in PyTorch's order.
        found: Vec<usize>,
    },
    /// Both have it, in different shapes.
    Shape {
        /// Published name.
        name: String,
        /// Shape by the configuration, in PyTorch's order.
        expected: Vec<usize>,
        /// Shape in the weights.
        found: Vec<usize>,
    },
}

impl WeightProblem {
    /// The published name of the tensor in question.
    pub fn name(&self) -> &str {
        match self {
            Self::Missing { name, .. } | Self::Extra { name, .. } | Self::Shape { name, .. } => {
                name
            }
        }
    }

    /// What kind of problem it is.
    fn kind(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing",
            Self::Extra { .. } => "extra",
            Self::Shape { .. } => "wrong shape",
        }
    }

    /// The name, with what was expected and found under it.
    fn details(&self) -> String {
        let (expected, found) = match self {
            Self::Missing { expected, .. } => (shape_text(expected), "nothing".to_owned()),
            Self::Extra { found, .. } => ("nothing".to_owned(), shape_text(found)),
            Self::Shape { expected, found, .. } => (shape_text(expected), shape_text(found)),
        };
        format!("{}: expected {expected}, found {found}", vdvae_io::quote(self.name()))
    }
}

impl std::fmt::Display for WeightProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind(), self.details())
    }
}

fn list_differences(differences: &[(usize, WeightProblem)]) -> String {
    let text = |(count, example): &(usize, WeightProblem)| {
        let of = if matches!(example, WeightProblem::Shape { .. }) { "of the " } else { "" };
        let first = if *count > 1 { "first " } else { "" };
        format!("{count} {of}{}, {first}{}", example.kind(), example.details())
    };
    differences.iter().map(text).collect::<Vec<_>>().join("; ")
}

fn list_problems(problems: &[WeightProblem], total: usize) -> String {
    let mut text = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if total > problems.len() {
        text += &format!("; and {} more", total - problems.len());
    }
    text
}

fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// `(16, 8, 8)`, the way a shape is written in every message.
pub(crate) fn shape_text(shape: &[usize]) -> String {
    format!("({})", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_beyond_the_listed_ones_are_counted() {
        let problems = vec![WeightProblem::Extra { name: "a".into(), found: vec![2, 3] }];
        let error = Error::WeightMismatch { file: "m.th".into(), problems, total: 3 };
        assert_eq!(
            error.to_string(),
            "3 tensors in m.th do not fit the configuration: \
             extra a: expected nothing, found (2, 3); and 2 more"
        );
    }
}
