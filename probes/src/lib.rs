//! Probes that measure what a representation knows: linear classifiers, metrics, controls
