//! Structures of Thrift's compact protocol, walked before `parquet` reads them.
//!
//! `parquet` passes over what it does not know one element after the other, also where a list claims
//! two thousand million elements that are not there, or that take no bytes: a file of a thousand bytes
//! could keep it busy for many seconds. Once a structure was walked, each of its elements has bytes of
//! its own. Fields that it knows it reads as what they should be, whatever kind they say they are: both
//! have to agree, or what was walked is not what is read.

use std::io::{self, Read, Take};

/// How deep structures may lie in each other; those of Parquet lie ten deep.
const MAX_DEPTH: u8 = 32;

/// Fields that are known by their number.
pub(crate) type Fields = &'static [(i16, Kind)];

/// What a field or an element is.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Boolean,
    Byte,
    /// A whole number of 16 to 64 bits, or a name for one.
    Number,
    Double,
    Binary,
    List(&'static Self),
    Structure(Fields),
}

/// How the protocol numbers them.
mod kinds {
    pub(super) const STOP: u8 = 0;
    pub(super) const TRUE: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const BYTE: u8 = 3;
    pub(super) const I16: u8 = 4;
    pub(super) const I64: u8 = 6;
    pub(super) const DOUBLE: u8 = 7;
    pub(super) const BINARY: u8 = 8;
    pub(super) const LIST: u8 = 9;
    pub(super) const SET: u8 = 10;
    pub(super) const MAP: u8 = 11;
    pub(super) const STRUCTURE: u8 = 12;
    pub(super) const UUID: u8 = 13;
}

impl Kind {
    fn fits(self, kind: u8) -> bool {
        match self {
            Self::Boolean => is_boolean(kind),
            Self::Byte => kind == kinds::BYTE,
            Self::Number => (kinds::I16..=kinds::I64).contains(&kind),
            Self::Double => kind == kinds::DOUBLE,
            Self::Binary => kind == kinds::BINARY,
            Self::List(_) => kind == kinds::LIST,
            Self::Structure(_) => kind == kinds::STRUCTURE,
        }
    }
}

fn is_boolean(kind: u8) -> bool {
    kind == kinds::TRUE || kind == kinds::FALSE
}

/// Walks one structure.
pub(crate) struct Walk<R> {
    from: Take<R>,
    /// Whether lists may occur.
    lists: bool,
}

impl<R: Read> Walk<R> {
    /// Of a structure that ends within `left` bytes.
    pub(crate) fn new(from: R, left: u64, lists: bool) -> Self {
        Self { from: from.take(left), lists }
    }

    /// Tells whole numbers among the fields of the structure itself, with the number of their field. Fails
    /// where the structure is not whole, or has what cannot be.
    pub(crate) fn structure(
        mut self,
        known: Fields,
        tell: &mut dyn FnMut(i16, i64),
    ) -> io::Result<()> {
        self.fields(known, MAX_DEPTH, tell)
    }

    fn fields(
        &mut self,
        known: Fields,
        depth: u8,
        tell: &mut dyn FnMut(i16, i64),
    ) -> io::Result<()> {
        if depth == 0 {
            return Err(io::Error::other("structures too deep in each other"));
        }
        let mut number: i16 = 0;
        loop {
            // Kind, and by how much the number of the field is above the last; 0 if it is written out.
            let head = self.byte()?;
            let kind = head & 15;
            // `parquet` cuts a number that is too large down to 16 bits: it would be another field.
            let next = match head >> 4 {
                _ if kind == kinds::STOP => return Ok(()),
                0 => i16::try_from(unzigzag(varint(&mut self.from)?)).ok(),
                step => number.checked_add(step.into()),
            };
            number = next.ok_or_else(|| io::Error::other("a field of no number"))?;
            let known = known.iter().find(|(of, _)| *of == number).map(|(_, known)| *known);
            if known.is_some_and(|known| !known.fits(kind)) {
                return Err(io::Error::other(format!("field {number} of the kind {kind}")));
            }
            match kind {
                kinds::I16..=kinds::I64 => tell(number, unzigzag(varint(&mut self.from)?)),
                _ => self.value(kind, known, depth)?,
            }
        }
    }

    /// `known` fits the kind, where it is known.
    fn value(&mut self, kind: u8, known: Option<Kind>, depth: u8) -> io::Result<()> {
        match kind {
            // The kind is the value.
            kinds::TRUE | kinds::FALSE => Ok(()),
            kinds::BYTE => self.skip(1),
            kinds::I16..=kinds::I64 => varint(&mut self.from).map(drop),
            kinds::DOUBLE => self.skip(8),
            kinds::BINARY => {
                let length = varint(&mut self.from)?;
                self.skip(length)
            }
            kinds::LIST | kinds::SET if self.lists => {
                let head = self.byte()?;
                let size =
                    if head >> 4 == 15 { varint(&mut self.from)? } else { (head >> 4).into() };
                let known = match known {
                    Some(Kind::List(element)) => Some(*element),
                    _ => None,
                };
                self.elements(size, &[head & 15], known, depth)
            }
            kinds::MAP if self.lists => match varint(&mut self.from)? {
                0 => Ok(()),
                size => {
                    let kinds = self.byte()?;
                    self.elements(size, &[kinds >> 4, kinds & 15], None, depth)
                }
            },
            kinds::STRUCTURE => {
                let known = match known {
                    Some(Kind::Structure(known)) => known,
                    _ => &[],
                };
                self.fields(known, depth - 1, &mut |_, _| ())
            }
            kinds::UUID => self.skip(16),
            _ => {
                Err(io::Error::other(format!("a field of the kind {kind}, which Parquet has not")))
            }
        }
    }

    fn elements(
        &mut self,
        size: u64,
        kinds: &[u8],
        known: Option<Kind>,
        depth: u8,
    ) -> io::Result<()> {
        let left = self.from.limit();
        if size > left {
            return Err(io::Error::other(format!("{size} elements in {left} bytes")));
        }
        // Writers and readers do not agree on whether a boolean takes a byte, and Parquet has no such
        // list where this is asked.
        let wrong =
            |kind: &&u8| is_boolean(**kind) || known.is_some_and(|known| !known.fits(**kind));
        if let Some(kind) = kinds.iter().find(wrong).filter(|_| size > 0) {
            return Err(io::Error::other(format!("a list of the kind {kind}")));
        }
        if depth == 1 {
            return Err(io::Error::other("lists too deep in each other"));
        }
        for _ in 0..size {
            kinds.iter().try_for_each(|kind| self.value(*kind, known, depth - 1))?;
        }
        Ok(())
    }

    fn byte(&mut self) -> io::Result<u8> {
        byte(&mut self.from)
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        match io::copy(&mut self.from.by_ref().take(bytes), &mut io::sink())? {
            skipped if skipped == bytes => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn byte(from: &mut impl Read) -> io::Result<u8> {
    let mut byte = [0];
    from.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// A whole number of up to 64 bits, seven of them a byte, the lowest first.
pub(crate) fn varint(from: &mut impl Read) -> io::Result<u64> {
    let mut value = 0;
    for place in 0..9 {
        let byte = byte(from)?;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    // The tenth byte of the most negative numbers.
    match byte(from)? {
        0 | 1 => Ok(value),
        _ => Err(io::Error::other("a number of more than 64 bits")),
    }
}

/// 0, -1, 1, -2, … as they are written: 0, 1, 2, 3.
fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(bytes: &[u8], lists: bool) -> Result<(), String> {
        let walk = Walk::new(bytes, bytes.len() as u64, lists);
        walk.structure(&[], &mut |_, _| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn structures_are_walked_to_their_end() {
        // Field 1: i32; 2: true; 3: binary of 2 bytes; 20: structure of one byte; 21: double.
        let flat = [&[0x15, 0x80, 1, 0x11, 0x18, 2, 7, 7, 0x0c, 40, 0x13, 9, 0, 0x17][..], &[0; 8]];
        let whole = [&flat.concat()[..], &[0]].concat();
        assert_eq!(walk(&whole, false), Ok(()));
        for cut in 0..whole.len() {
            assert!(walk(&whole[..cut], false).is_err(), "{cut}");
        }
        // Two numbers; fifteen and more are written out; a map of one number to one structure.
        let lists = [0x19, 0x25, 1, 2, 0x19, 0xf8, 15];
        let lists = [&lists[..], &[0; 15], &[0x1b, 1, 0x5c, 1, 0, 0]].concat();
        assert_eq!(walk(&lists, true), Ok(()));
        assert!(walk(&lists, false).unwrap_err().contains("kind 9"));
    }

    #[test]
    fn numbers_are_told() {
        // Field 1: 64 bits, 100; 2: a structure with a number of its own; 5, by 3 more: -1; 2 again: 3.
        let bytes = [0x16, 0xc8, 1, 0x1c, 0x15, 8, 0, 0x35, 1, 0x05, 4, 6, 0];
        let mut told = Vec::new();
        let walk = Walk::new(&bytes[..], bytes.len() as u64, false);
        walk.structure(&[], &mut |field, value| told.push((field, value))).unwrap();
        assert_eq!(told, [(1, 100), (5, -1), (2, 3)]);
    }

    /// Each would keep `parquet` busy.
    #[test]
    fn elements_have_bytes_of_their_own() {
        let huge = [0xff, 0xff, 0xff, 0xff, 7];
        let doubles = [&[0x19, 0xf7][..], &huge, &[0; 99]].concat();
        assert_eq!(walk(&doubles, true), Err("2147483647 elements in 99 bytes".into()));
        let map = [&[0x1b][..], &huge, &[0x77], &[0; 99]].concat();
        assert_eq!(walk(&map, true), Err("2147483647 elements in 99 bytes".into()));
        let booleans = [&[0x19, 0x21][..], &[0; 9]].concat();
        assert!(walk(&booleans, true).unwrap_err().contains("a list of the kind 1"));
        assert!(walk(&[0x1c; 100], true).unwrap_err().contains("too deep"));
        assert!(walk(&[0x19, 0x19].repeat(100), true).unwrap_err().contains("too deep"));
    }

    #[test]
    fn known_fields_are_of_their_kind() {
        const INNER: Fields = &[(2, Kind::Boolean)];
        const KNOWN: Fields = &[(1, Kind::Number), (3, Kind::Structure(INNER))];
        let walk = |bytes: &[u8]| {
            let walk = Walk::new(bytes, bytes.len() as u64, false);
            walk.structure(KNOWN, &mut |_, _| ()).map_err(|error| error.to_string())
        };
        // Numbers of 16, 32 and 64 bits; a structure of the field 2, which is false; then others.
        for number in [0x14, 0x15, 0x16] {
            assert_eq!(walk(&[number, 9, 0x2c, 0x22, 0, 0x18, 1, 7, 0]), Ok(()));
        }
        // A number in words, and the number of a field written out: 3 is 6 there.
        assert_eq!(walk(&[0x18, 1, 7, 0]), Err("field 1 of the kind 8".into()));
        assert_eq!(walk(&[0x08, 6, 1, 7, 0]), Err("field 3 of the kind 8".into()));
        assert_eq!(walk(&[0x3c, 0x25, 9, 0, 0]), Err("field 2 of the kind 5".into()));
        // 65,537, of which 16 bits are 1; and one more than 32,767.
        for number in [&[0x08, 0x82, 0x80, 8, 1, 7, 0][..], &[0x05, 0xfe, 0xff, 3, 9, 0x15, 9, 0]] {
            assert_eq!(walk(number), Err("a field of no number".into()));
        }
        const LISTS: Fields = &[(1, Kind::List(&Kind::Structure(INNER)))];
        let walk = |bytes: &[u8]| {
            let walk = Walk::new(bytes, bytes.len() as u64, true);
            walk.structure(LISTS, &mut |_, _| ()).map_err(|error| error.to_string())
        };
        assert_eq!(walk(&[0x19, 0x2c, 0x21, 0, 0x22, 0, 0]), Ok(()));
        assert_eq!(walk(&[0x19, 0x1c, 0x28, 0, 0, 0]), Err("field 2 of the kind 8".into()));
        assert_eq!(walk(&[0x19, 0x15, 7, 0]), Err("a list of the kind 5".into()));
        assert_eq!(walk(&[0x19, 0x05, 0]), Ok(()), "an empty one may be of any");
    }
}
