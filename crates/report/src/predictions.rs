//! What a saved probe says of pictures, as a table or CSV.

use ndarray::{Array2, ArrayView2};
use vdvae_probes::Prediction;

use crate::Result;
use crate::csv::{optional, text};
use crate::table::layout::{Column, align};

/// One line a picture and target.
///
/// # Shapes
/// `predictions`: `(images, targets)`.
///
/// # Panics
/// When there is not one row an image and one column a target.
pub fn predictions_table(
    images: &[String],
    targets: &[String],
    predictions: &Array2<Prediction>,
) -> String {
    let lines = lines(images, targets, predictions.view());
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.3}"));
    let mut columns = vec![
        Column::left("image", lines.iter().map(|line| line.0.to_owned())),
        Column::left("target", lines.iter().map(|line| line.1.to_owned())),
        Column::right("score", lines.iter().map(|line| number(line.2.score))),
    ];
    if lines.iter().any(|line| line.2.probability.is_some()) {
        let probability = lines.iter().map(|line| number(line.2.probability));
        columns.push(Column::right("probability", probability));
    }
    align(&columns)
}

/// The same with a header of `image,target,score,probability`; undefined numbers are empty.
///
/// # Errors
/// [`Error::Csv`](crate::Error::Csv) where the text cannot be built.
///
/// # Panics
/// As [`predictions_table`].
pub fn predictions_csv(
    images: &[String],
    targets: &[String],
    predictions: &Array2<Prediction>,
) -> Result<String> {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer.write_record(["image", "target", "score", "probability"])?;
    for (image, target, prediction) in lines(images, targets, predictions.view()) {
        let (score, probability) = (optional(prediction.score), optional(prediction.probability));
        writer.write_record([image, target, &score, &probability])?;
    }
    text(writer)
}

fn lines<'a>(
    images: &'a [String],
    targets: &'a [String],
    predictions: ArrayView2<'_, Prediction>,
) -> Vec<(&'a str, &'a str, Prediction)> {
    assert_eq!(predictions.dim(), (images.len(), targets.len()), "images and targets");
    let line = |((image, target), prediction): ((usize, usize), &Prediction)| {
        (&images[image][..], &targets[target][..], *prediction)
    };
    predictions.indexed_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn predictions_of_fixed_numbers() {
        let names = |names: [&str; 2]| names.map(str::to_owned);
        let (images, targets) = (names(["a.png", "b, c.png"]), names(["Smiling", "Hat"]));
        let some = |score, probability| Prediction { score: Some(score), probability };
        let none = Prediction { score: None, probability: None };
        let predictions = array![
            [some(1.5, Some(0.8125)), none],
            [some(-2.0, Some(0.125)), some(0.0, Some(0.5))]
        ];
        let expected = "\
image     target    score  probability
a.png     Smiling   1.500        0.812
a.png     Hat           -            -
b, c.png  Smiling  -2.000        0.125
b, c.png  Hat       0.000        0.500
";
        assert_eq!(predictions_table(&images, &targets, &predictions), expected);
        let expected = "\
image,target,score,probability
a.png,Smiling,1.5,0.8125
a.png,Hat,,
\"b, c.png\",Smiling,-2,0.125
\"b, c.png\",Hat,0,0.5
";
        assert_eq!(predictions_csv(&images, &targets, &predictions).unwrap(), expected);
        let ridge = predictions.mapv(|p| Prediction { probability: None, ..p });
        assert!(!predictions_table(&images, &targets, &ridge).contains("probability"));
    }
}
