//! The text files of Tiny-ImageNet: `wnids.txt`, `words.txt` and `val_annotations.txt`.

use std::collections::HashMap;

use crate::Result;
use crate::text::{Text, quoted};

/// Identifiers of `wnids.txt`, sorted.
pub(super) fn ids(text: Text<'_>) -> Result<Vec<String>> {
    let mut ids: Vec<(&str, usize)> = Vec::new();
    for (number, line) in text.lines() {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [id] => ids.push((id, number)),
            _ => return Err(text.error(number, "one identifier", quoted(line))),
        }
    }
    ids.sort_unstable();
    match ids.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        None => Ok(ids.into_iter().map(|(id, _)| id.to_owned()).collect()),
        Some(pair) => Err(text.error(pair[1].1, "every identifier once", quoted(pair[1].0))),
    }
}

/// The words of every class, as `words.txt` has them; the class itself where it has none.
pub(super) fn words(text: Text<'_>, classes: &[String]) -> Result<Vec<String>> {
    let rows: HashMap<&str, usize> =
        classes.iter().enumerate().map(|(row, class)| (class.as_str(), row)).collect();
    let mut words = classes.to_vec();
    for (number, line) in text.lines() {
        let Some((id, meaning)) = line.split_once('\t') else {
            return Err(text.error(number, "an identifier, a tab and words", quoted(line)));
        };
        if let Some(&row) = rows.get(id) {
            words[row] = meaning.trim().to_owned();
        }
    }
    Ok(words)
}

/// The class of every file in `val_annotations.txt`, `None` where no training picture is of it; lines
/// about other files do not count.
pub(super) fn annotations(
    text: Text<'_>,
    files: &[&str],
    label: &dyn Fn(&str) -> Result<u32, usize>,
) -> Result<Vec<Option<u32>>> {
    let rows: HashMap<&str, usize> = files.iter().enumerate().map(|(i, &file)| (file, i)).collect();
    let mut labels: Vec<Option<Option<u32>>> = vec![None; files.len()];
    for (number, line) in text.lines() {
        let mut fields = line.split_whitespace();
        let (Some(file), Some(id)) = (fields.next(), fields.next()) else {
            return Err(text.error(number, "a file name and an identifier", quoted(line)));
        };
        let Some(&row) = rows.get(file) else { continue };
        let class = label(id).ok();
        if class.is_none() && !is_identifier(id) {
            return Err(text.error(number, "a class of the training set", quoted(id)));
        }
        if labels[row].replace(class).is_some() {
            return Err(text.error(number, "one line a picture, found a second one", quoted(file)));
        }
    }
    let missing = labels.iter().position(Option::is_none);
    match missing {
        None => Ok(labels.into_iter().flatten().collect()),
        Some(row) => Err(text.no_line(files[row])),
    }
}

/// Whether a class could be one of ImageNet's: `n` and eight digits.
fn is_identifier(id: &str) -> bool {
    let digits = id.strip_prefix('n').unwrap_or_default();
    digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit())
}
