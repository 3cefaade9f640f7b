//! Holds the import arrows and the file sizes.
