//! Training of Very Deep VAEs
