//! A disk that fails, from a seed.
