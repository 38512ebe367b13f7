//! Nothing: the package is there for its tests, which are the staging suite's files compiled in edition 2021.
