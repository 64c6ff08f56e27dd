//! The structures of a Parquet file: the kind of each field by its number, as the format's
//! `parquet.thrift` (2.12) has them.

use crate::thrift::{Fields, Kind};
use Kind::{Binary, Boolean, Byte, Double, List, Number, Structure};

/// `PageHeader`.
pub(crate) const PAGE_HEADER: Fields = &[
    (1, Number),
    (UNCOMPRESSED_SIZE, Number),
    (3, Number),
    (4, Number),
    (5, Structure(DATA_PAGE_HEADER)),
    (6, Structure(NOTHING)),
    (7, Structure(&[(1, Number), (2, Number), (3, Boolean)])),
    (8, Structure(DATA_PAGE_HEADER_V2)),
];

/// Bytes of the page once decompressed (`uncompressed_page_size`).
pub(crate) const UNCOMPRESSED_SIZE: i16 = 2;

/// `FileMetaData`, which ends a file.
pub(crate) const FILE_METADATA: Fields = &[
    (1, Number),
    (2, List(&Structure(SCHEMA_ELEMENT))),
    (3, Number),
    (4, List(&Structure(ROW_GROUP))),
    (5, List(&Structure(KEY_VALUE))),
    (6, Binary),
    (7, List(&Structure(&[(1, Structure(NOTHING))]))),
    (8, Structure(&[(1, Structure(ENCRYPTION)), (2, Structure(ENCRYPTION))])),
    (9, Binary),
];

const NOTHING: Fields = &[];

const DATA_PAGE_HEADER: Fields =
    &[(1, Number), (2, Number), (3, Number), (4, Number), (5, Structure(STATISTICS))];

const DATA_PAGE_HEADER_V2: Fields = &[
    (1, Number),
    (2, Number),
    (3, Number),
    (4, Number),
    (5, Number),
    (6, Number),
    (7, Boolean),
    (8, Structure(STATISTICS)),
];

const STATISTICS: Fields = &[
    (1, Binary),
    (2, Binary),
    (3, Number),
    (4, Number),
    (5, Binary),
    (6, Binary),
    (7, Boolean),
    (8, Boolean),
];

const SCHEMA_ELEMENT: Fields = &[
    (1, Number),
    (2, Number),
    (3, Number),
    (4, Binary),
    (5, Number),
    (6, Number),
    (7, Number),
    (8, Number),
    (9, Number),
    (10, Structure(LOGICAL_TYPE)),
];

const LOGICAL_TYPE: Fields = &[
    (1, Structure(NOTHING)),
    (2, Structure(NOTHING)),
    (3, Structure(NOTHING)),
    (4, Structure(NOTHING)),
    (5, Structure(&[(1, Number), (2, Number)])),
    (6, Structure(NOTHING)),
    (7, Structure(TIME)),
    (8, Structure(TIME)),
    (10, Structure(&[(1, Byte), (2, Boolean)])),
    (11, Structure(NOTHING)),
    (12, Structure(NOTHING)),
    (13, Structure(NOTHING)),
    (14, Structure(NOTHING)),
    (15, Structure(NOTHING)),
    (16, Structure(&[(1, Byte)])),
    (17, Structure(&[(1, Binary)])),
    (18, Structure(&[(1, Binary), (2, Number)])),
];

const TIME: Fields = &[(1, Boolean), (2, Structure(TIME_UNIT))];

const TIME_UNIT: Fields =
    &[(1, Structure(NOTHING)), (2, Structure(NOTHING)), (3, Structure(NOTHING))];

const ROW_GROUP: Fields = &[
    (1, List(&Structure(COLUMN_CHUNK))),
    (2, Number),
    (3, Number),
    (4, List(&Structure(&[(1, Number), (2, Boolean), (3, Boolean)]))),
    (5, Number),
    (6, Number),
    (7, Number),
];

const COLUMN_CHUNK: Fields = &[
    (1, Binary),
    (2, Number),
    (3, Structure(COLUMN_METADATA)),
    (4, Number),
    (5, Number),
    (6, Number),
    (7, Number),
    (8, Structure(&[(1, Structure(NOTHING)), (2, Structure(&[(1, List(&Binary)), (2, Binary)]))])),
    (9, Binary),
];

const COLUMN_METADATA: Fields = &[
    (1, Number),
    (2, List(&Number)),
    (3, List(&Binary)),
    (4, Number),
    (5, Number),
    (6, Number),
    (7, Number),
    (8, List(&Structure(KEY_VALUE))),
    (9, Number),
    (10, Number),
    (11, Number),
    (12, Structure(STATISTICS)),
    (13, List(&Structure(&[(1, Number), (2, Number), (3, Number)]))),
    (14, Number),
    (15, Number),
    (16, Structure(&[(1, Number), (2, List(&Number)), (3, List(&Number))])),
    (17, Structure(&[(1, Structure(BOUNDING_BOX)), (2, List(&Number))])),
];

const KEY_VALUE: Fields = &[(1, Binary), (2, Binary)];

const BOUNDING_BOX: Fields = &[
    (1, Double),
    (2, Double),
    (3, Double),
    (4, Double),
    (5, Double),
    (6, Double),
    (7, Double),
    (8, Double),
];

const ENCRYPTION: Fields = &[(1, Binary), (2, Binary), (3, Boolean)];
