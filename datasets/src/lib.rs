//! Readers of published image data sets, and the built-in toy-faces renderer
