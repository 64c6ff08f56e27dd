//! Tables, CSV and JSON of probe results
